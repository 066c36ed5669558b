//! The functions of the query language.

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    CurrentUser,
    MembersOf,
    IssueHistory,
    WatchedIssues,
    VotedIssues,
    LinkedIssues,
    ProjectsLeadByUser,
    ReleasedVersions,
    UnreleasedVersions,
    StandardIssueTypes,
    SubtaskIssueTypes,
    /// `now`, `startOfDay` and the like: [`crate::jql::date`] knows them.
    Moment,
}

const USER: &str = "com.atlassian.jira.user.ApplicationUser";
const ISSUE: &str = "com.atlassian.jira.issue.Issue";
const VERSION: &str = "com.atlassian.jira.project.version.Version";
const TYPE: &str = "com.atlassian.jira.issue.issuetype.IssueType";
const DATE: &str = "java.util.Date";

/// Name as suggestions show it, function, type of its values.
pub const ALL: &[(&str, Function, &str)] = &[
    ("currentUser", Function::CurrentUser, USER),
    ("endOfDay", Function::Moment, DATE),
    ("endOfMonth", Function::Moment, DATE),
    ("endOfWeek", Function::Moment, DATE),
    ("endOfYear", Function::Moment, DATE),
    ("issueHistory", Function::IssueHistory, ISSUE),
    ("linkedIssues", Function::LinkedIssues, ISSUE),
    ("membersOf", Function::MembersOf, USER),
    ("now", Function::Moment, DATE),
    ("projectsLeadByUser", Function::ProjectsLeadByUser, "com.atlassian.jira.project.Project"),
    ("releasedVersions", Function::ReleasedVersions, VERSION),
    ("standardIssueTypes", Function::StandardIssueTypes, TYPE),
    ("startOfDay", Function::Moment, DATE),
    ("startOfMonth", Function::Moment, DATE),
    ("startOfWeek", Function::Moment, DATE),
    ("startOfYear", Function::Moment, DATE),
    ("subTaskIssueTypes", Function::SubtaskIssueTypes, TYPE),
    ("unreleasedVersions", Function::UnreleasedVersions, VERSION),
    ("votedIssues", Function::VotedIssues, ISSUE),
    ("watchedIssues", Function::WatchedIssues, ISSUE),
];

/// The function of this name, in any case.
pub fn find(name: &str) -> Option<Function> {
    ALL.iter().find(|(known, _, _)| known.eq_ignore_ascii_case(name)).map(|(_, function, _)| *function)
}

impl Function {
    /// Whether it gives a list, which goes with `IN` and not with `=`.
    pub fn is_list(self) -> bool {
        !matches!(self, Self::CurrentUser | Self::Moment)
    }
}

/// The message for a function that gives values of another type.
pub fn invalid(function: &str, field: &str) -> String {
    format!("A value provided by the function '{function}' is invalid for the field '{field}'.")
}

/// The message for a wrong number of arguments; `None` when it is right.
pub fn arguments(function: &str, received: usize, least: usize, most: usize) -> Option<String> {
    if (least..=most).contains(&received) {
        return None;
    }
    Some(if least == most {
        format!("Function '{function}' expected '{least}' arguments but received '{received}'.")
    } else {
        format!("Function '{function}' expected between '{least}' and '{most}' arguments but received '{received}'.")
    })
}
