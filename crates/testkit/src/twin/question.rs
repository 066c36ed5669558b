//! One question to a decision engine, in plain words, and how the real engine answers it.

use std::fmt;

use portcullis_authz::decide::{
    Conditions, ConnectGrant, Fact, Facts, Outcome, Restriction, Subject, TargetSeen, decide,
};
use portcullis_authz::policy::IssueFacts;
use portcullis_authz::row::When;
use portcullis_authz::{Policy, Row};
use portcullis_model::{AccessKind, ConnectScope, GroupId, ProjectId, RoleId, ScopeSet, UserId};

use super::world::World;

/// Connect scopes that imply each other, lowest first.
pub const CONNECT_CHAIN: [(&str, ConnectScope); 6] = [
    ("NONE", ConnectScope::None),
    ("READ", ConnectScope::Read),
    ("WRITE", ConnectScope::Write),
    ("DELETE", ConnectScope::Delete),
    ("PROJECT_ADMIN", ConnectScope::ProjectAdmin),
    ("ADMIN", ConnectScope::Admin),
];

/// Who asks for what, and what was found out.
#[derive(Clone)]
pub struct Question {
    pub row: &'static Row,
    pub access: AccessKind,
    pub user: Option<i64>,
    pub scopes: Option<Vec<&'static str>>,
    /// Connect scopes of the app, any of the chain and the two that stand alone.
    pub connect: Option<Vec<&'static str>>,
    pub app_only: bool,
    /// The person sits in front of a page of the app.
    pub in_page: bool,
    pub blocked: Vec<i64>,
    pub targets: Targets,
}

/// What was found out about the target. Issues are named by their id in the world.
#[derive(Clone, Debug)]
pub struct Targets {
    pub project: Fact<i64>,
    pub other_project: Fact<i64>,
    pub issue: Fact<i64>,
    pub other_issue: Fact<i64>,
    pub issues: Fact<Vec<i64>>,
    pub projects: Fact<Vec<Fact<i64>>>,
    pub using: Fact<Vec<i64>>,
    pub participates: Fact<bool>,
    /// `visibility` of a comment or worklog: nothing, or type and identifier.
    pub restriction: Fact<Option<(&'static str, i64)>>,
    pub owner: Fact<Option<i64>>,
    pub shared: Fact<bool>,
    pub editable: Fact<bool>,
    pub holding: Vec<When>,
}

impl Targets {
    /// Nothing found out.
    pub fn unknown() -> Self {
        Self {
            project: Fact::Unknown,
            other_project: Fact::Unknown,
            issue: Fact::Unknown,
            other_issue: Fact::Unknown,
            issues: Fact::Unknown,
            projects: Fact::Unknown,
            using: Fact::Unknown,
            participates: Fact::Unknown,
            restriction: Fact::Unknown,
            owner: Fact::Unknown,
            shared: Fact::Unknown,
            editable: Fact::Unknown,
            holding: Vec::new(),
        }
    }
}

/// A row by its name and rules; the scopes of a set by theirs.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.row;
        let names = |set: Option<ScopeSet>| set.map(|set| set.names().collect::<Vec<_>>());
        f.debug_struct("Question")
            .field("row", &row.id)
            .field("permission", &format_args!("{:?}", row.permission))
            .field("locate", &format_args!("{:?}", row.locate))
            .field("classic", &format_args!("{:?}", names(row.classic)))
            .field("granular", &format_args!("{:?}", names(row.granular)))
            .field("connect_rule", &row.connect)
            .field("rule_exempt", &row.rule_exempt)
            .field("access", &self.access)
            .field("user", &format_args!("{:?}", self.user))
            .field("scopes", &format_args!("{:?}", self.scopes))
            .field("connect", &format_args!("{:?}", self.connect))
            .field("app_only", &self.app_only)
            .field("in_page", &self.in_page)
            .field("blocked", &format_args!("{:?}", self.blocked))
            .field("targets", &format_args!("{:?}", self.targets))
            .finish()
    }
}

/// What an engine said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Allowed,
    Refused {
        /// The word of the reason.
        reason: &'static str,
        /// Whether the caller may know of the target.
        seen: bool,
    },
}

impl Question {
    /// The real engine's answer.
    pub fn ask(&self, policy: &Policy, world: &World) -> Answer {
        let blocked: Vec<ProjectId> = self.blocked.iter().map(|id| ProjectId(*id)).collect();
        let subject = Subject {
            access: self.access,
            user: self.user.map(UserId),
            scopes: self.scopes.as_ref().map(|names| {
                let mut set = ScopeSet::EMPTY;
                names.iter().for_each(|name| assert!(set.insert(name), "no scope `{name}`"));
                set
            }),
            connect: self.connect.as_ref().map(|names| ConnectGrant {
                top: CONNECT_CHAIN
                    .iter()
                    .rev()
                    .find(|(name, _)| names.contains(name))
                    .map_or(ConnectScope::None, |(_, scope)| *scope),
                act_as_user: names.contains(&"ACT_AS_USER"),
                emails: names.contains(&"ACCESS_EMAIL_ADDRESSES"),
            }),
            app_only: self.app_only,
            in_page: self.in_page,
            blocked: &blocked,
        };
        let found = |id: &i64| world.issue(*id).expect("a question names issues of its world").facts();
        let targets = &self.targets;
        let issue = map(&targets.issue, found);
        let other_issue = map(&targets.other_issue, found);
        let issues = map(&targets.issues, |ids| ids.iter().map(found).collect::<Vec<IssueFacts>>());
        let projects =
            map(&targets.projects, |all| all.iter().map(|one| map(one, |id| ProjectId(*id))).collect::<Vec<_>>());
        let using = map(&targets.using, |all| all.iter().map(|id| ProjectId(*id)).collect::<Vec<_>>());
        let facts = Facts {
            project: map(&targets.project, |id| ProjectId(*id)),
            other_project: map(&targets.other_project, |id| ProjectId(*id)),
            issue: lend(&issue),
            other_issue: lend(&other_issue),
            issues: lend_all(&issues),
            projects: lend_all(&projects),
            using: lend_all(&using),
            participates: targets.participates,
            restriction: map(&targets.restriction, |restriction| match restriction {
                None => Restriction::None,
                Some(("group", id)) => Restriction::Group(GroupId(*id)),
                Some(("role", id)) => Restriction::Role(RoleId(*id)),
                Some(_) => Restriction::Nobody,
            }),
            owner: map(&targets.owner, |owner| owner.map(UserId)),
            shared: targets.shared,
            editable: targets.editable,
            holding: targets.holding.iter().fold(Conditions::NONE, |all, when| all.with(*when)),
        };
        match decide(policy, self.row, &subject, &facts).outcome {
            Outcome::Allow => Answer::Allowed,
            Outcome::Deny { reason, target } => {
                Answer::Refused { reason: reason.word(), seen: target == TargetSeen::Yes }
            }
        }
    }
}

fn map<T, U>(fact: &Fact<T>, change: impl FnOnce(&T) -> U) -> Fact<U> {
    match fact {
        Fact::Known(value) => Fact::Known(change(value)),
        Fact::Missing => Fact::Missing,
        Fact::Unknown => Fact::Unknown,
    }
}

fn lend<T>(fact: &Fact<T>) -> Fact<&T> {
    match fact {
        Fact::Known(value) => Fact::Known(value),
        Fact::Missing => Fact::Missing,
        Fact::Unknown => Fact::Unknown,
    }
}

fn lend_all<T>(fact: &Fact<Vec<T>>) -> Fact<&[T]> {
    match fact {
        Fact::Known(value) => Fact::Known(value.as_slice()),
        Fact::Missing => Fact::Missing,
        Fact::Unknown => Fact::Unknown,
    }
}
