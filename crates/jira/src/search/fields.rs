//! Which fields a query may name, and which operators each of them takes.

use crate::jql::Operator;

/// What a field is, for looking its values up and for SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Project,
    Key,
    IssueType,
    Status,
    StatusCategory,
    Priority,
    Resolution,
    Level,
    /// A user in a column of the issue.
    Person(&'static str),
    /// A text in a folded column of the issue.
    Text(&'static str),
    Comment,
    /// Every text of an issue at once.
    AnyText,
    Labels,
    Component,
    /// Versions; the kind of `jira_issue_version`.
    Version(&'static str),
    Parent,
    /// A moment in a column of the issue.
    Moment(&'static str),
    /// A day in a column of the issue.
    Due,
    Watcher,
    Voter,
    /// How many rows of another table belong to the issue; the subquery.
    Count(&'static str),
    WorklogAuthor,
    WorklogDate,
    /// Seconds in a column of the issue.
    Duration(&'static str),
    /// Seconds of the worklogs that the caller may read.
    TimeSpent,
    Attachments,
    LinkType,
    Filter,
    LastViewed,
    Custom(CustomField),
}

/// A custom field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomField {
    /// The number in `cf[10010]`.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: CustomKind,
}

/// The types of custom fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomKind {
    Text,
    Url,
    Number,
    Day,
    Moment,
    Option,
    Person,
    Group,
    Labels,
}

impl CustomKind {
    /// The type by its word in `jira_field.kind`.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "textfield" | "textarea" => Self::Text,
            "url" => Self::Url,
            "float" => Self::Number,
            "datepicker" => Self::Day,
            "datetime" => Self::Moment,
            "select" | "multiselect" => Self::Option,
            "userpicker" | "multiuserpicker" => Self::Person,
            "grouppicker" => Self::Group,
            "labels" => Self::Labels,
            _ => return None,
        })
    }
}

const COUNT_VOTES: &str = "(SELECT COUNT(*) FROM jira_vote t WHERE t.issue_id = i.id)";
const COUNT_WATCHERS: &str = "(SELECT COUNT(*) FROM jira_watcher t WHERE t.issue_id = i.id)";

/// A system field.
pub struct SystemField {
    /// The name suggestions show.
    pub name: &'static str,
    /// Other names, in lower case.
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    /// Whether `ORDER BY` takes it.
    pub orderable: bool,
    /// The Java type that Jira's reference data name.
    pub java_type: &'static str,
}

const fn field(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    orderable: bool,
    java_type: &'static str,
) -> SystemField {
    SystemField { name, aliases, kind, orderable, java_type }
}

const USER: &str = "com.atlassian.jira.user.ApplicationUser";
const DATE: &str = "java.util.Date";
const TEXT: &str = "java.lang.String";
const NUMBER: &str = "java.lang.Number";
const DURATION: &str = "com.atlassian.jira.issue.fields.JiraDuration";
const ISSUE: &str = "com.atlassian.jira.issue.Issue";
const VERSION: &str = "com.atlassian.jira.project.version.Version";

/// Every system field.
pub const SYSTEM_FIELDS: &[SystemField] = &[
    field("affectedVersion", &["affectsversion"], Kind::Version("affects"), true, VERSION),
    field("assignee", &[], Kind::Person("i.assignee_id"), true, USER),
    field("attachments", &["attachment"], Kind::Attachments, false, "com.atlassian.jira.issue.attachment.Attachment"),
    field("comment", &["comments"], Kind::Comment, false, TEXT),
    field(
        "component",
        &["components"],
        Kind::Component,
        true,
        "com.atlassian.jira.bc.project.component.ProjectComponent",
    ),
    field("created", &["createddate"], Kind::Moment("i.created_at_ms"), true, DATE),
    field("creator", &[], Kind::Person("i.creator_id"), true, USER),
    field("description", &[], Kind::Text("i.description_folded"), true, TEXT),
    field("due", &["duedate"], Kind::Due, true, DATE),
    field("environment", &[], Kind::Text("i.environment_folded"), true, TEXT),
    field(
        "filter",
        &["request", "savedfilter", "searchrequest"],
        Kind::Filter,
        false,
        "com.atlassian.jira.issue.search.SearchRequest",
    ),
    field("fixVersion", &["fixversions"], Kind::Version("fix"), true, VERSION),
    field("issueLinkType", &[], Kind::LinkType, false, "com.atlassian.jira.issue.link.IssueLinkType"),
    field("issuekey", &["id", "issue", "key"], Kind::Key, true, ISSUE),
    field("issuetype", &["type"], Kind::IssueType, true, "com.atlassian.jira.issue.issuetype.IssueType"),
    field("labels", &["label"], Kind::Labels, true, "com.atlassian.jira.issue.label.Label"),
    field("lastViewed", &[], Kind::LastViewed, true, DATE),
    field("level", &["security"], Kind::Level, true, "com.atlassian.jira.issue.security.IssueSecurityLevel"),
    field("originalEstimate", &["timeoriginalestimate"], Kind::Duration("i.original_estimate_s"), true, DURATION),
    field("parent", &[], Kind::Parent, true, ISSUE),
    field("priority", &[], Kind::Priority, true, "com.atlassian.jira.issue.priority.Priority"),
    field("project", &[], Kind::Project, true, "com.atlassian.jira.project.Project"),
    field("remainingEstimate", &["timeestimate"], Kind::Duration("i.remaining_estimate_s"), true, DURATION),
    field("reporter", &[], Kind::Person("i.reporter_id"), true, USER),
    field("resolution", &[], Kind::Resolution, true, "com.atlassian.jira.issue.resolution.Resolution"),
    field("resolved", &["resolutiondate"], Kind::Moment("i.resolved_at_ms"), true, DATE),
    field("status", &[], Kind::Status, true, "com.atlassian.jira.issue.status.Status"),
    field("statusCategory", &[], Kind::StatusCategory, true, "com.atlassian.jira.issue.status.category.StatusCategory"),
    field("statusCategoryChangedDate", &[], Kind::Moment("i.status_changed_at_ms"), true, DATE),
    field("summary", &[], Kind::Text("i.summary_folded"), true, TEXT),
    field("text", &[], Kind::AnyText, false, TEXT),
    field("timespent", &[], Kind::TimeSpent, true, DURATION),
    field("updated", &["updateddate"], Kind::Moment("i.updated_at_ms"), true, DATE),
    field("voter", &[], Kind::Voter, false, USER),
    field("votes", &[], Kind::Count(COUNT_VOTES), true, NUMBER),
    field("watcher", &[], Kind::Watcher, false, USER),
    field("watchers", &["watches"], Kind::Count(COUNT_WATCHERS), true, NUMBER),
    field("worklogAuthor", &[], Kind::WorklogAuthor, false, USER),
    field("worklogDate", &[], Kind::WorklogDate, false, DATE),
];

/// The system field with this name, in any case.
pub fn system_field(name: &str) -> Option<&'static SystemField> {
    let folded = name.to_lowercase();
    SYSTEM_FIELDS
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case(&folded) || field.aliases.contains(&folded.as_str()))
}

impl Kind {
    /// Whether the field takes the operator at all.
    pub fn takes(&self, operator: Operator) -> bool {
        use Operator::*;
        let equality = matches!(operator, Equals | NotEquals | In | NotIn);
        let emptiness = matches!(operator, Is | IsNot);
        let order = matches!(operator, Less | LessOrEqual | Greater | GreaterOrEqual);
        let likeness = matches!(operator, Like | NotLike);
        match self {
            Self::Project
            | Self::IssueType
            | Self::Status
            | Self::StatusCategory
            | Self::Resolution
            | Self::Level
            | Self::Person(_)
            | Self::Labels
            | Self::Component
            | Self::Parent => equality || emptiness,
            Self::Key
            | Self::Priority
            | Self::Version(_)
            | Self::Moment(_)
            | Self::Due
            | Self::LastViewed
            | Self::Duration(_)
            | Self::TimeSpent => equality || emptiness || order,
            Self::Text(_) | Self::Comment => likeness || emptiness,
            Self::AnyText => operator == Like,
            Self::Watcher | Self::Voter => equality || emptiness,
            Self::Count(_) | Self::WorklogDate => equality || order,
            Self::WorklogAuthor | Self::LinkType | Self::Filter => equality,
            Self::Attachments => emptiness,
            Self::Custom(field) => match field.kind {
                CustomKind::Text => likeness || emptiness,
                CustomKind::Url | CustomKind::Option | CustomKind::Person | CustomKind::Group | CustomKind::Labels => {
                    equality || emptiness
                }
                CustomKind::Number | CustomKind::Day | CustomKind::Moment => equality || emptiness || order,
            },
        }
    }

    /// The operators as reference data list them.
    pub fn operators(&self) -> Vec<&'static str> {
        use Operator::*;
        let all = [
            (Equals, "="),
            (NotEquals, "!="),
            (Like, "~"),
            (NotLike, "!~"),
            (Less, "<"),
            (LessOrEqual, "<="),
            (Greater, ">"),
            (GreaterOrEqual, ">="),
            (In, "in"),
            (NotIn, "not in"),
            (Is, "is"),
            (IsNot, "is not"),
        ];
        all.into_iter().filter(|(operator, _)| self.takes(*operator)).map(|(_, word)| word).collect()
    }

    /// Whether suggestions can complete its values.
    pub fn completes(&self) -> bool {
        match self {
            Self::Project
            | Self::IssueType
            | Self::Status
            | Self::StatusCategory
            | Self::Priority
            | Self::Resolution
            | Self::Level
            | Self::Person(_)
            | Self::Labels
            | Self::Component
            | Self::Version(_)
            | Self::Watcher
            | Self::Voter
            | Self::WorklogAuthor
            | Self::LinkType
            | Self::Filter => true,
            Self::Key
            | Self::Text(_)
            | Self::Comment
            | Self::AnyText
            | Self::Parent
            | Self::Moment(_)
            | Self::Due
            | Self::Count(_)
            | Self::WorklogDate
            | Self::Duration(_)
            | Self::TimeSpent
            | Self::Attachments
            | Self::LastViewed => false,
            Self::Custom(field) => matches!(field.kind, CustomKind::Option | CustomKind::Person | CustomKind::Group),
        }
    }
}

/// The opposite of an operator: what `NOT` makes of it. As in Jira, `NOT assignee = x` is `assignee != x` and finds no empty
/// assignees.
pub fn negated(operator: Operator) -> Operator {
    use Operator::*;
    match operator {
        Equals => NotEquals,
        NotEquals => Equals,
        Like => NotLike,
        NotLike => Like,
        Less => GreaterOrEqual,
        LessOrEqual => Greater,
        Greater => LessOrEqual,
        GreaterOrEqual => Less,
        In => NotIn,
        NotIn => In,
        Is => IsNot,
        IsNot => Is,
        Was => WasNot,
        WasNot => Was,
        WasIn => WasNotIn,
        WasNotIn => WasIn,
        Changed => Changed,
    }
}
