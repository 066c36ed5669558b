//! What logging work does to the remaining estimate: `adjustEstimate` and its companions.

use portcullis_guard::Input;
use portcullis_model::Problem;

use crate::issue::duration::{self, SECONDS_MAX};

/// How a change of a worklog changes the issue's remaining estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Adjust {
    /// By the time that was logged or taken back.
    Auto,
    /// Not at all.
    Leave,
    /// To this many seconds.
    New(i64),
    /// By this many seconds, more or less.
    By(i64),
}

/// The parameter that `manual` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manual {
    /// `reduceBy`, when work is logged.
    Reduce,
    /// `increaseBy`, when a worklog is deleted.
    Increase,
    /// There is none, when a worklog is changed.
    No,
}

impl Adjust {
    /// Reads the query.
    ///
    /// # Errors
    /// 400 for a word or duration that is none, or a duration that is missing.
    pub(super) fn of_query(input: &Input, manual: Manual) -> Result<Self, Problem> {
        const NO_AMOUNT: &str = "You must supply a valid amount of time to adjust the estimate by.";
        let seconds = |parameter: &'static str, words: &'static str| {
            let given = input.query(parameter).and_then(duration::parse);
            given.ok_or_else(|| Problem::field(parameter, words))
        };
        match input.query("adjustEstimate").unwrap_or("auto").to_ascii_lowercase().as_str() {
            "" | "auto" => Ok(Adjust::Auto),
            "leave" => Ok(Adjust::Leave),
            "new" => Ok(Adjust::New(seconds("newEstimate", "You must supply a valid new estimate.")?)),
            "manual" => match manual {
                Manual::Reduce => Ok(Adjust::By(-seconds("reduceBy", NO_AMOUNT)?)),
                Manual::Increase => Ok(Adjust::By(seconds("increaseBy", NO_AMOUNT)?)),
                Manual::No => Err(Problem::field(
                    "adjustEstimate",
                    "The estimate cannot be adjusted by 'manual' when a worklog is changed; use 'new', 'leave' or 'auto'.",
                )),
            },
            other => Err(Problem::field(
                "adjustEstimate",
                format!("'{other}' is none of 'new', 'leave', 'manual' and 'auto'."),
            )),
        }
    }

    /// The estimate after `logged_s` more seconds were logged (fewer, when negative). An issue without an estimate counts as one
    /// of zero, as in Jira.
    pub(super) fn applied(self, remaining_s: Option<i64>, logged_s: i64) -> Option<i64> {
        let moved = |by: i64| Some(remaining_s.unwrap_or(0).saturating_add(by).clamp(0, SECONDS_MAX));
        match self {
            Adjust::Auto => moved(logged_s.saturating_neg()),
            Adjust::Leave => remaining_s,
            Adjust::New(seconds) => Some(seconds),
            Adjust::By(seconds) => moved(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Adjust, Manual};
    use portcullis_guard::{ApiVersion, Body, Input};

    fn adjust(query: &[(&str, &str)], manual: Manual) -> Option<Adjust> {
        let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let input = Input::new(Vec::new(), query, Body::Empty, ApiVersion::V3, String::new());
        Adjust::of_query(&input, manual).ok()
    }

    #[test]
    fn the_query_names_one_way_to_adjust() {
        assert_eq!(adjust(&[], Manual::Reduce), Some(Adjust::Auto));
        assert_eq!(adjust(&[("adjustEstimate", "AUTO")], Manual::No), Some(Adjust::Auto));
        assert_eq!(adjust(&[("adjustEstimate", "leave")], Manual::No), Some(Adjust::Leave));
        let new = [("adjustEstimate", "new"), ("newEstimate", "2d")];
        assert_eq!(adjust(&new, Manual::No), Some(Adjust::New(57_600)));
        assert_eq!(adjust(&[("adjustEstimate", "new")], Manual::Reduce), None);
        let less = [("adjustEstimate", "manual"), ("reduceBy", "1h")];
        assert_eq!(adjust(&less, Manual::Reduce), Some(Adjust::By(-3_600)));
        assert_eq!(adjust(&less, Manual::Increase), None);
        assert_eq!(adjust(&less, Manual::No), None);
        assert_eq!(adjust(&[("adjustEstimate", "never")], Manual::Reduce), None);
    }

    #[test]
    fn the_estimate_never_falls_below_zero() {
        assert_eq!(Adjust::Auto.applied(Some(3_600), 1_800), Some(1_800));
        assert_eq!(Adjust::Auto.applied(Some(3_600), 7_200), Some(0));
        assert_eq!(Adjust::Auto.applied(Some(3_600), -1_800), Some(5_400));
        assert_eq!(Adjust::Auto.applied(None, 1_800), Some(0));
        assert_eq!(Adjust::Leave.applied(None, 1_800), None);
        assert_eq!(Adjust::New(60).applied(Some(3_600), 1_800), Some(60));
        assert_eq!(Adjust::By(-7_200).applied(Some(3_600), 1_800), Some(0));
    }
}
