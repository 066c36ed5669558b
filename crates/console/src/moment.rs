//! Moments in words: a date that means the same everywhere, and how far away it is.

/// A moment as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// For `<time datetime>`.
    pub machine: String,
    /// `1 Jul 2026, 12:34 UTC`.
    pub exact: String,
    /// `in 3 days`, `2 hours ago`.
    pub distance: String,
}

impl Moment {
    pub(crate) fn of(ms: i64, now_ms: i64) -> Self {
        let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Self {
            machine: timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: timestamp.strftime("%-d %b %Y, %H:%M UTC").to_string(),
            distance: distance(ms, now_ms),
        }
    }
}

fn distance(ms: i64, now_ms: i64) -> String {
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let away = ms.saturating_sub(now_ms);
    let size = away.saturating_abs();
    let (number, unit) = match size {
        0..MINUTE => return "just now".to_owned(),
        MINUTE..HOUR => (rounded(size, MINUTE), "minute"),
        HOUR..DAY => (rounded(size, HOUR), "hour"),
        _ => (rounded(size, DAY), "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    if away > 0 { format!("in {number} {unit}{plural}") } else { format!("{number} {unit}{plural} ago") }
}

fn rounded(size: i64, unit: i64) -> i64 {
    size.saturating_add(unit / 2) / unit
}

#[cfg(test)]
mod tests {
    use super::{Moment, distance};

    #[test]
    fn moments_are_dates_that_mean_the_same_everywhere() {
        let moment = Moment::of(1_782_909_296_789, 1_782_909_296_789);
        assert_eq!(moment.machine, "2026-07-01T12:34:56Z");
        assert_eq!(moment.exact, "1 Jul 2026, 12:34 UTC");
        assert_eq!(moment.distance, "just now");
    }

    #[test]
    fn distances_are_rounded_to_one_unit() {
        for (away_s, words) in [
            (59, "just now"),
            (60, "in 1 minute"),
            (-3_540, "59 minutes ago"),
            (7_200, "in 2 hours"),
            (-86_400, "1 day ago"),
            (30 * 86_400 - 5, "in 30 days"),
        ] {
            assert_eq!(distance(away_s * 1_000, 0), words, "{away_s}");
        }
    }

    #[test]
    fn extreme_moments_are_shown_without_failing() {
        assert!(Moment::of(i64::MAX, i64::MIN).distance.starts_with("in "));
        assert!(Moment::of(i64::MIN, i64::MAX).distance.ends_with(" ago"));
    }
}
