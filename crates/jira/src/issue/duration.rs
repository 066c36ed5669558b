//! Durations as Jira writes them, `1w 2d 3h 30m`: weeks of five days, days of eight hours.

const UNITS: [(char, i64); 4] = [('w', 5 * 8 * 3600), ('d', 8 * 3600), ('h', 3600), ('m', 60)];

/// Longest duration accepted, in seconds: a hundred working years.
pub const SECONDS_MAX: i64 = 100 * 52 * 5 * 8 * 3600;

/// Seconds of a duration; a number without a unit counts minutes. `None` for anything else, also for a negative one.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim().to_ascii_lowercase();
    if text.is_empty() || text.len() > 64 {
        return None;
    }
    if let Ok(minutes) = text.parse::<f64>() {
        return seconds(minutes, 60);
    }
    let mut total = 0i64;
    let mut number = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() || letter == '.' {
            number.push(letter);
        } else if letter.is_whitespace() {
            continue;
        } else {
            let (_, unit) = UNITS.iter().find(|(name, _)| *name == letter)?;
            total = total.checked_add(seconds(number.parse().ok()?, *unit)?)?;
            number.clear();
        }
    }
    (number.is_empty() && total <= SECONDS_MAX).then_some(total)
}

fn seconds(amount: f64, unit: i64) -> Option<i64> {
    #[expect(clippy::cast_precision_loss, reason = "units are small")]
    let seconds = (amount * unit as f64).round();
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "checked against the bound")]
    let whole = (seconds >= 0.0 && seconds <= SECONDS_MAX as f64).then_some(seconds as i64);
    whole
}

/// The duration in words, largest unit first: `1d 4h`; `0m` for nothing.
pub fn format(seconds: i64) -> String {
    let mut rest = seconds.max(0);
    let mut out: Vec<String> = Vec::new();
    for (letter, unit) in UNITS {
        if rest >= unit {
            out.push(format!("{}{letter}", rest / unit));
            rest %= unit;
        }
    }
    if out.is_empty() { "0m".to_owned() } else { out.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::{format, parse};

    #[test]
    fn durations_are_normalised() {
        assert_eq!(parse("1h 30m"), Some(5400));
        assert_eq!(parse("1d"), Some(28_800));
        assert_eq!(parse("2w"), Some(288_000));
        assert_eq!(parse("1.5h"), Some(5400));
        assert_eq!(parse("90"), Some(5400));
        assert_eq!(format(5400), "1h 30m");
        assert_eq!(format(28_800 + 7200), "1d 2h");
        assert_eq!(format(0), "0m");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "h", "1x", "1h 30", "-1h", "1 fortnight", "99999999999999w", "1..5h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
