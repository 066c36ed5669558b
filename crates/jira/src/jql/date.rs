//! What a date field may be compared with: a date, a period from now, or a function such as `startOfWeek(-1w)`.
//!
//! Time and zone come from the caller. The zone is a fixed offset in minutes: across a change to or from summer time, a
//! day found by [`parse_moment`] or [`function_moment`] begins an hour off, so the caller passes the offset of the
//! user's zone now.
//!
//! Source: <https://support.atlassian.com/jira-software-cloud/docs/jql-functions/> and the field reference beside it
//! (under "Created").

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The most of any unit in a period or increment, so that no sum leaves the range of time: a million years are 2^55 ms.
const UNITS_MAX: i64 = 1_000_000;

/// A point in time, in milliseconds since 1970-01-01T00:00Z.
///
/// Source: Jira compares date-times by their instant, even where only a day was written (`created <= "2026-01-01"` ends
/// as that day begins). For fields that are days, such as `due`, take [`Moment::local_date`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// Source: an unquoted number after a date field is milliseconds since 1970 to Jira.
    pub fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970-01-01T00:00Z.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// The day this moment falls on in a zone, as `yyyy-MM-dd`. Source: the form of date fields in Jira's REST API.
    pub fn local_date(self, zone_minutes: i32) -> String {
        let (year, month, day) = civil_from_days(local_ms(self.0, zone_minutes).div_euclid(DAY_MS));
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Why a date operand is not one. [`BadDate::message`] gives the whole of Jira's message.
///
/// Source: `errorMessages` of Jira as quoted in public tests.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDate {
    #[error("`{value}` is neither a date nor a period")]
    Value { value: String },
    #[error("`{function}` is no function that gives a date")]
    Function { function: String },
    #[error("increment of `{function}` is malformed")]
    Increment { function: String },
    #[error("`{function}` takes at most {most} arguments, not {received}")]
    Arguments { function: String, most: usize, received: usize },
}

impl BadDate {
    /// What to tell who compared `field` with this. Source: as [`BadDate`].
    pub fn message(&self, field: &str) -> String {
        match self {
            Self::Value { value } => format!(
                "Date value '{value}' for field '{field}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', \
                 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
            ),
            Self::Function { function } => {
                format!("A date for the field '{field}' provided by the function '{function}' is not valid.")
            }
            Self::Increment { function } => {
                format!(
                    "Duration for function '{function}' should have the format (+/-)n(yMwdm), e.g -1M for 1 month earlier."
                )
            }
            Self::Arguments { function, most: 0, received } => {
                format!("Function '{function}' expected '0' arguments but received '{received}'.")
            }
            Self::Arguments { function, most, received } => {
                format!("Function '{function}' expected between '0' and '{most}' arguments but received '{received}'.")
            }
        }
    }
}

/// Reads a text operand: `2026-01-31`, `2026/1/31 23:59`, or a period from now such as `-30m`, `4w 2d`, `-1w 2d`.
///
/// Weeks, days and hours of a period are exact multiples (24 h, 7 d), its sign holds for the whole of it, and a lone
/// number is minutes. Months and years are not units here; `-1M` is refused rather than taken for a minute. Source:
/// Jira's field reference ("use w, d, h and m ... the default is m").
pub fn parse_moment(text: &str, now_ms: i64, zone_minutes: i32) -> Result<Moment, BadDate> {
    let trimmed = text.trim();
    absolute(trimmed, zone_minutes)
        .or_else(|| Some(now_ms.saturating_add(period_ms(trimmed)?)))
        .map(Moment)
        .ok_or_else(|| BadDate::Value { value: text.to_owned() })
}

/// Evaluates a date function: `now()`, or the first or last millisecond of the current day, week, month or year, moved
/// by an increment.
///
/// An increment is `(+/-)n(y|M|w|d|h|m)`, and without unit counts periods of the function. It moves the boundary, so
/// `startOfMonth(+14d)` is the 15th, and `endOfMonth(-1)` the last millisecond of the month before, however long that
/// is. Weeks start on Sunday. Names are read in any case.
///
/// Source: the function reference. [`BadDate::Function`] for every other name: `currentUser` exists, but gives no date.
pub fn function_moment(name: &str, args: &[String], now_ms: i64, zone_minutes: i32) -> Result<Moment, BadDate> {
    let function = || name.to_owned();
    let (period, edge) = match name.to_ascii_lowercase().as_str() {
        "now" if args.is_empty() => return Ok(Moment(now_ms)),
        "now" => return Err(BadDate::Arguments { function: function(), most: 0, received: args.len() }),
        "startofday" => (Unit::Day, Edge::Start),
        "startofweek" => (Unit::Week, Edge::Start),
        "startofmonth" => (Unit::Month, Edge::Start),
        "startofyear" => (Unit::Year, Edge::Start),
        "endofday" => (Unit::Day, Edge::End),
        "endofweek" => (Unit::Week, Edge::End),
        "endofmonth" => (Unit::Month, Edge::End),
        "endofyear" => (Unit::Year, Edge::End),
        _ => return Err(BadDate::Function { function: function() }),
    };
    let (count, unit) = match args {
        [] => (0, period),
        [increment] => parse_increment(increment, period).ok_or_else(|| BadDate::Increment { function: function() })?,
        _ => return Err(BadDate::Arguments { function: function(), most: 1, received: args.len() }),
    };
    let start = start_of(period, local_ms(now_ms, zone_minutes));
    let local = match edge {
        Edge::Start => moved(start, count, unit),
        // The end is where the next period starts, less one: moving that start keeps the ends of short months right.
        Edge::End => moved(moved(start, 1, period), count, unit).saturating_sub(1),
    };
    Ok(Moment(utc_ms(local, zone_minutes)))
}

#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

#[derive(Clone, Copy)]
enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

fn absolute(text: &str, zone_minutes: i32) -> Option<i64> {
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time.trim_start())),
        None => (text, None),
    };
    let separator = if date.contains('/') { '/' } else { '-' };
    let mut parts = date.split(separator);
    let (year, month, day) = (digits(parts.next()?, 4, 4)?, digits(parts.next()?, 1, 2)?, digits(parts.next()?, 1, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    let (hour, minute) = match time {
        Some(time) => {
            let (hour, minute) = time.split_once(':')?;
            (digits(hour, 1, 2)?, digits(minute, 1, 2)?)
        }
        None => (0, 0),
    };
    if hour > 23 || minute > 59 {
        return None;
    }
    Some(utc_ms(days_from_civil(year, month, day) * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS, zone_minutes))
}

/// A number of `least` to `most` ASCII digits.
fn digits(text: &str, least: usize, most: usize) -> Option<i64> {
    ((least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn period_ms(text: &str) -> Option<i64> {
    let (sign, mut rest) = signed(text);
    if let Some(minutes) = units(rest) {
        return Some(sign * minutes * MINUTE_MS);
    }
    let mut total: i64 = 0;
    loop {
        let (count, after) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let unit_ms = match after.chars().next()? {
            'w' | 'W' => WEEK_MS,
            'd' | 'D' => DAY_MS,
            'h' | 'H' => HOUR_MS,
            'm' => MINUTE_MS,
            _ => return None,
        };
        total = total.checked_add(units(count)? * unit_ms)?;
        rest = after[1..].trim_start();
        if rest.is_empty() {
            return Some(sign * total);
        }
    }
}

fn parse_increment(text: &str, natural: Unit) -> Option<(i64, Unit)> {
    let (sign, rest) = signed(text.trim());
    let (count, unit) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let unit = match unit {
        "" => natural,
        "y" => Unit::Year,
        "M" => Unit::Month,
        "w" => Unit::Week,
        "d" => Unit::Day,
        "h" => Unit::Hour,
        "m" => Unit::Minute,
        _ => return None,
    };
    Some((sign * units(count)?, unit))
}

fn signed(text: &str) -> (i64, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    }
}

fn units(count: &str) -> Option<i64> {
    digits(count, 1, 7).filter(|count| *count <= UNITS_MAX)
}

fn start_of(period: Unit, local: i64) -> i64 {
    let days = local.div_euclid(DAY_MS);
    let (year, month, _) = civil_from_days(days);
    let day = match period {
        Unit::Minute => return local - local.rem_euclid(MINUTE_MS),
        Unit::Hour => return local - local.rem_euclid(HOUR_MS),
        Unit::Day => days,
        // 1970-01-01, day 0, was a Thursday: four days after a Sunday.
        Unit::Week => days - (days + 4).rem_euclid(7),
        Unit::Month => days_from_civil(year, month, 1),
        Unit::Year => days_from_civil(year, 1, 1),
    };
    day.saturating_mul(DAY_MS)
}

fn moved(local: i64, count: i64, unit: Unit) -> i64 {
    let months = match unit {
        Unit::Minute => return local.saturating_add(count * MINUTE_MS),
        Unit::Hour => return local.saturating_add(count * HOUR_MS),
        Unit::Day => return local.saturating_add(count * DAY_MS),
        Unit::Week => return local.saturating_add(count * WEEK_MS),
        Unit::Month => count,
        Unit::Year => count * 12,
    };
    let (year, month, day) = civil_from_days(local.div_euclid(DAY_MS));
    let total = year * 12 + (month - 1) + months;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    let day = day.min(days_in_month(year, month));
    days_from_civil(year, month, day).saturating_mul(DAY_MS).saturating_add(local.rem_euclid(DAY_MS))
}

fn local_ms(utc: i64, zone_minutes: i32) -> i64 {
    utc.saturating_add(i64::from(zone_minutes) * MINUTE_MS)
}

fn utc_ms(local: i64, zone_minutes: i32) -> i64 {
    local.saturating_sub(i64::from(zone_minutes) * MINUTE_MS)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar. Source:
/// <https://howardhinnant.github.io/date_algorithms.html>, counting years from March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-03-11 13:45:30.250 UTC, a Wednesday.
    const NOW: i64 = 1_773_236_730_250;

    fn shown(moment: Moment, zone_minutes: i32) -> String {
        let local = local_ms(moment.ms(), zone_minutes).rem_euclid(DAY_MS);
        let (hour, minute, ms) = (local / HOUR_MS, local % HOUR_MS / MINUTE_MS, local % MINUTE_MS);
        format!(
            "{} {hour:02}:{minute:02}:{:06.3}",
            moment.local_date(zone_minutes),
            f64::from(i32::try_from(ms).unwrap()) / 1000.0
        )
    }

    fn function(call: &str, zone_minutes: i32) -> Result<Moment, BadDate> {
        let (name, args) = call.trim_end_matches(')').split_once('(').unwrap();
        let args: Vec<String> = args.split(',').filter(|arg| !arg.is_empty()).map(str::to_owned).collect();
        function_moment(name, &args, NOW, zone_minutes)
    }

    #[test]
    fn absolute_dates_are_local_to_the_zone() {
        for (text, zone, ms) in [
            ("1970-01-01", 0, 0),
            ("1970/01/01 00:01", 0, 60_000),
            ("1970-1-1 1:5", 60, 5 * 60_000),
            ("1969-12-31 18:30", -330, 0),
            ("2000-02-29", 0, 951_782_400_000),
            (" 2026-03-11 13:45 ", 0, NOW - 30_250),
            ("0000-01-01", 0, -62_167_219_200_000),
            ("9999-12-31 23:59", 0, 253_402_300_740_000),
        ] {
            assert_eq!(parse_moment(text, NOW, zone), Ok(Moment::from_ms(ms)), "{text}");
        }
    }

    #[test]
    fn periods_count_from_now() {
        for (text, ms) in [
            ("-30m", -30 * MINUTE_MS),
            ("-1d", -DAY_MS),
            ("4w", 4 * WEEK_MS),
            ("+2h", 2 * HOUR_MS),
            ("4w 2d", 4 * WEEK_MS + 2 * DAY_MS),
            ("-1w 2d", -(WEEK_MS + 2 * DAY_MS)),
            ("-1W2D3h4m", -(WEEK_MS + 2 * DAY_MS + 3 * HOUR_MS + 4 * MINUTE_MS)),
            ("-90", -90 * MINUTE_MS),
            ("0d", 0),
        ] {
            assert_eq!(parse_moment(text, NOW, 330), Ok(Moment(NOW + ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused_in_jiras_words() {
        for text in [
            "",
            "yesterday",
            "20/12/10",
            "17/FAKE/09",
            "2026-02-30",
            "2025-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01",
            "2026-01-01-01",
            "2026-01/01",
            "2026-01-01T00:00",
            "2026-01-01 24:00",
            "2026-01-01 10:60",
            "2026-01-01 10",
            "2026-01-01 10:00:00",
            "-",
            "-1M",
            "-1y",
            "1x",
            "d",
            "-1d 2",
            "1d -2d",
            "- 1d",
            "5 d",
            "99999999d",
            "1000001w",
            "now",
            "now()",
            "²d",
            "1é",
        ] {
            assert_eq!(parse_moment(text, NOW, 0), Err(BadDate::Value { value: text.to_owned() }), "{text}");
        }
        assert_eq!(
            parse_moment("x", NOW, 0).unwrap_err().message("created"),
            "Date value 'x' for field 'created' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period \
             format e.g. '-5d', '4w 2d'."
        );
    }

    #[test]
    fn functions_find_boundaries_in_the_zone() {
        for (call, zone, expected) in [
            ("now()", 0, "2026-03-11 13:45:30.250"),
            ("startOfDay()", 0, "2026-03-11 00:00:00.000"),
            ("endOfDay()", 0, "2026-03-11 23:59:59.999"),
            ("startOfDay()", 720, "2026-03-12 00:00:00.000"),
            ("startOfDay()", -840, "2026-03-10 00:00:00.000"),
            ("startOfDay(-1d)", 0, "2026-03-10 00:00:00.000"),
            ("startofday(-1)", 0, "2026-03-10 00:00:00.000"),
            ("startOfDay(+8h)", 0, "2026-03-11 08:00:00.000"),
            ("startOfDay(90m)", 0, "2026-03-11 01:30:00.000"),
            ("endOfDay(1M)", 0, "2026-04-11 23:59:59.999"),
            ("startOfWeek()", 0, "2026-03-08 00:00:00.000"),
            ("endOfWeek()", 0, "2026-03-14 23:59:59.999"),
            ("startOfWeek(+2w)", 0, "2026-03-22 00:00:00.000"),
            ("startOfWeek(+1d)", 0, "2026-03-09 00:00:00.000"),
            ("startOfMonth()", 60, "2026-03-01 00:00:00.000"),
            ("startOfMonth(-1)", 0, "2026-02-01 00:00:00.000"),
            ("startOfMonth(+14d)", 0, "2026-03-15 00:00:00.000"),
            ("endOfMonth()", 0, "2026-03-31 23:59:59.999"),
            ("endOfMonth(-1)", 0, "2026-02-28 23:59:59.999"),
            ("endOfMonth(1M)", 0, "2026-04-30 23:59:59.999"),
            ("endOfMonth(+15d)", 0, "2026-04-15 23:59:59.999"),
            ("endOfMonth(-25M)", 0, "2024-02-29 23:59:59.999"),
            ("startOfYear()", 0, "2026-01-01 00:00:00.000"),
            ("startOfYear(1M)", 0, "2026-02-01 00:00:00.000"),
            ("endOfYear(-1y)", 0, "2025-12-31 23:59:59.999"),
            ("endOfYear()", 0, "2026-12-31 23:59:59.999"),
        ] {
            assert_eq!(shown(function(call, zone).unwrap(), zone), expected, "{call}");
        }
    }

    #[test]
    fn weeks_start_on_sunday_on_every_day_of_the_week() {
        for day in 0..7 {
            let sunday = function_moment("startOfWeek", &[], 1_772_928_000_000 + day * DAY_MS, 0).unwrap();
            assert_eq!(sunday.local_date(0), "2026-03-08", "{day}");
        }
    }

    #[test]
    fn bad_calls_are_refused_in_jiras_words() {
        for (call, message) in [
            ("now(1)", "Function 'now' expected '0' arguments but received '1'."),
            ("startOfDay(1,2)", "Function 'startOfDay' expected between '0' and '1' arguments but received '2'."),
            (
                "startOfDay(invalid)",
                "Duration for function 'startOfDay' should have the format (+/-)n(yMwdm), e.g -1M for 1 month earlier.",
            ),
            (
                "endOfYear(-1x)",
                "Duration for function 'endOfYear' should have the format (+/-)n(yMwdm), e.g -1M for 1 month earlier.",
            ),
            (
                "endOfYear(1d 2h)",
                "Duration for function 'endOfYear' should have the format (+/-)n(yMwdm), e.g -1M for 1 month earlier.",
            ),
            (
                "endOfYear(+)",
                "Duration for function 'endOfYear' should have the format (+/-)n(yMwdm), e.g -1M for 1 month earlier.",
            ),
            (
                "endOfYear(9999999)",
                "Duration for function 'endOfYear' should have the format (+/-)n(yMwdm), e.g -1M for 1 month earlier.",
            ),
            ("currentUser()", "A date for the field 'due' provided by the function 'currentUser' is not valid."),
        ] {
            assert_eq!(function(call, 0).unwrap_err().message("due"), message, "{call}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_operand_at_no_time_makes_it_panic(text in prop_oneof![any::<String>(), "[-+]?[0-9]{0,8}[yMwdhm]?", "[-+]?([0-9]{1,8}[wdhm] ?){1,4}"], now: i64, zone: i32) {
            if let Ok(moment) = parse_moment(&text, now, zone) {
                moment.local_date(zone);
            }
            for name in ["now", "startOfDay", "startOfWeek", "startOfMonth", "startOfYear", "endOfDay", "endOfWeek", "endOfMonth", "endOfYear"] {
                let _ = function_moment(name, std::slice::from_ref(&text), now, zone);
                function_moment(name, &[], now, zone).unwrap().local_date(zone);
            }
        }

        #[test]
        fn days_and_dates_are_inverse_and_in_order(days in -1_000_000_000i64..1_000_000_000) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
            prop_assert!((1..=days_in_month(year, month)).contains(&day));
            prop_assert!(civil_from_days(days + 1) > (year, month, day));
        }

        #[test]
        fn a_date_reads_back_as_itself(now in -62_167_219_200_000i64..253_402_300_800_000, zone in -840i32..=840) {
            let date = Moment::from_ms(now).local_date(zone);
            prop_assume!(!date.starts_with('-') && date.len() == 10);
            prop_assert_eq!(parse_moment(&date, 0, zone).unwrap().local_date(zone), date);
        }
    }
}
