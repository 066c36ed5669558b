//! The decision: one pure function over the row, the subject, the located facts and the policy.
//!
//! Order: kind of credential, app's scopes, app access rule, then the subject's permission. Every step that was looked at is
//! in the trace, in order. What is unknown refuses.

use portcullis_model::{AccessKind, ConnectScope, GlobalPermission, ProjectId, ProjectPermission, ScopeSet, UserId};

use crate::policy::{AccountKind, IssueFacts, Match, Policy};
use crate::row::{CallerRule, ConnectRule, Expr, Locate, Of, Row, Thing, When};

/// The one operation on a project in the trash.
const RESTORE: &str = "restore";

/// Who asks, as proven by the guard.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// How the caller proved itself.
    pub access: AccessKind,
    /// The account whose permissions count; `None` is anonymous.
    pub user: Option<UserId>,
    /// Scopes of the credential; `None` means the kind of credential has none (classic API token, session).
    pub scopes: Option<ScopeSet>,
    /// Connect scopes of the app.
    pub connect: Option<ConnectGrant>,
    /// The app acts without a user.
    pub app_only: bool,
    /// The person sits in front of a page of the app, which asks in that person's session: nobody is acted for.
    pub in_page: bool,
    /// Projects an app access rule closes to this app.
    pub blocked: &'a [ProjectId],
}

/// Connect scopes an installation was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectGrant {
    /// The highest of the ordered scopes.
    pub top: ConnectScope,
    /// Whether it may act for users.
    pub act_as_user: bool,
    /// Whether it may read e-mail addresses.
    pub emails: bool,
}

/// A fact about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact<T> {
    /// Found out.
    Known(T),
    /// The thing is not there.
    Missing,
    /// Not found out; refuses.
    Unknown,
}

impl<T> Fact<T> {
    /// The value, where known.
    pub const fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Missing | Fact::Unknown => None,
        }
    }
}

/// Restriction of a comment or worklog to a group or a role in the issue's project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// Everyone who sees the issue.
    None,
    /// Members of the group.
    Group(portcullis_model::GroupId),
    /// Actors of the role.
    Role(portcullis_model::RoleId),
    /// A restriction whose group or role is gone: nobody.
    Nobody,
}

/// Everything that was located. [`Facts::unknown`] refuses whatever needs a fact.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The project of [`Of::Project`].
    pub project: Fact<ProjectId>,
    /// The second project of an operation on two.
    pub other_project: Fact<ProjectId>,
    /// The issue of [`Of::Issue`].
    pub issue: Fact<&'a IssueFacts>,
    /// The second issue of an operation on two.
    pub other_issue: Fact<&'a IssueFacts>,
    /// The issues of [`Of::EachIssue`].
    pub issues: Fact<&'a [IssueFacts]>,
    /// The projects of [`Of::EachProject`]; one that does not exist is [`Fact::Missing`].
    pub projects: Fact<&'a [Fact<ProjectId>]>,
    /// The projects of [`Of::AnyProjectUsing`].
    pub using: Fact<&'a [ProjectId]>,
    /// Whether the caller takes part in an issue of the project that makes the project visible (reporter, assignee, picker).
    pub participates: Fact<bool>,
    /// The restriction of the located thing.
    pub restriction: Fact<Restriction>,
    /// Who made or owns the located thing; `Known(None)`: nobody (anonymous).
    pub owner: Fact<Option<UserId>>,
    /// Whether a share of the located thing matches the caller.
    pub shared: Fact<bool>,
    /// Whether an edit share of the located thing matches the caller.
    pub editable: Fact<bool>,
    /// Conditions that were found to hold.
    pub holding: Conditions,
}

impl Facts<'_> {
    /// Nothing found out.
    pub const fn unknown() -> Self {
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
            holding: Conditions::NONE,
        }
    }
}

/// The conditions of a row's cases that hold for this request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions(u32);

impl Conditions {
    /// None holds.
    pub const NONE: Self = Self(0);

    const fn bit(when: When) -> u32 {
        match when {
            When::Otherwise | When::NeverKnown(_) => 0,
            When::TargetUserIsCaller => 1,
            When::AccountIsCaller => 2,
            When::ChangesKeyOrScheme => 4,
            When::CompanyManaged => 8,
            When::TeamManaged => 16,
            When::SystemAvatar => 32,
            When::ProjectAvatar => 64,
            When::IssueTypeAvatar => 128,
            When::ProjectOrIssueGiven => 256,
            When::ConnectAppOnly => 512,
            When::KeepsKeyAndSchemes => 1024,
        }
    }

    /// The same, with `when` holding too.
    #[must_use]
    pub const fn with(self, when: When) -> Self {
        Self(self.0 | Self::bit(when))
    }

    /// Whether `when` holds; [`When::Otherwise`] always does, [`When::NeverKnown`] never.
    pub const fn holds(self, when: When) -> bool {
        matches!(when, When::Otherwise) || self.0 & Self::bit(when) != 0
    }
}

/// The outcome, with the way to it.
#[derive(Clone, Debug)]
pub struct Decision {
    /// Allowed, or why not.
    pub outcome: Outcome,
    /// The steps looked at, in order.
    pub trace: Vec<Step>,
}

impl Decision {
    /// Whether the request may go on.
    pub const fn is_allow(&self) -> bool {
        matches!(self.outcome, Outcome::Allow)
    }
}

/// Allowed, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Allow,
    /// Refused.
    Deny {
        /// Why.
        reason: Reason,
        /// Whether the caller may know that the target exists.
        target: TargetSeen,
    },
}

/// Whether a refused caller may know of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSeen {
    /// It sees the target, or there is none.
    Yes,
    /// The target must look absent.
    No,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The operation needs a credential and there is none.
    NotAuthenticated,
    /// The account is deactivated or gone.
    Inactive,
    /// This kind of credential is not accepted here.
    AccessKind,
    /// Scopes are missing.
    Scope,
    /// An app access rule closes the project to the app.
    AppAccessRule,
    /// A permission is missing.
    Permission,
    /// The target is not there, or must look so.
    NotVisible,
    /// A fact could not be found out.
    Unknown,
    /// The edge refused before the operation: too many requests, or a form of another site.
    AtEdge,
}

impl Reason {
    /// The word used in logs, metrics and the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::NotAuthenticated => "not_authenticated",
            Reason::Inactive => "inactive",
            Reason::AccessKind => "access_kind",
            Reason::Scope => "scope",
            Reason::AppAccessRule => "app_access_rule",
            Reason::Permission => "permission",
            Reason::NotVisible => "not_visible",
            Reason::Unknown => "unknown_fact",
            Reason::AtEdge => "at_edge",
        }
    }
}

/// One rule that was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// What it said.
    pub verdict: Verdict,
}

/// What a rule said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// A fact is missing.
    Unknown,
}

/// The rules that can appear in a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The kind of credential is accepted.
    AccessKind(AccessKind),
    /// The account is active.
    Active,
    /// The classic scope set is covered.
    ClassicScopes,
    /// The granular scope set is covered.
    GranularScopes,
    /// The Connect scope is covered.
    ConnectScope(ConnectRule),
    /// No app access rule closes the project.
    AppAccessRule(ProjectId),
    /// The caller has access to Jira.
    LoggedIn,
    /// The caller has an active account.
    Account,
    /// The caller administers people and groups.
    SiteAdmin,
    /// A global permission.
    Global(GlobalPermission),
    /// A project permission, with the grant that gave it.
    Project(ProjectPermission, Option<ProjectId>, Option<Match>),
    /// An issue security level, with the member row that let the caller in; `None` where the issue has no level.
    IssueSecurity(Option<Match>),
    /// A group or role restriction.
    Restriction(Thing),
    /// Ownership.
    Owner(Thing),
    /// A share.
    Shared(Thing),
    /// An edit share.
    Editable(Thing),
    /// The kind of principal.
    Caller(CallerRule),
    /// A condition that is not kept.
    NeverKnown(&'static str),
    /// The case that applied.
    Case(When),
    /// The target exists and the caller may know it.
    TargetVisible,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Three {
    Yes,
    No,
    Unknown,
}

struct Evaluation<'a> {
    policy: &'a Policy,
    row: &'a Row,
    subject: &'a Subject<'a>,
    facts: &'a Facts<'a>,
    trace: Vec<Step>,
}

/// Decides one request.
pub fn decide(policy: &Policy, row: &Row, subject: &Subject<'_>, facts: &Facts<'_>) -> Decision {
    // An anonymous caller is nobody, whatever else a subject says.
    let user = if subject.access == AccessKind::Anonymous { None } else { subject.user };
    let subject = &Subject { user, ..*subject };
    let mut evaluation = Evaluation { policy, row, subject, facts, trace: Vec::with_capacity(8) };
    let outcome = evaluation.run();
    Decision { outcome, trace: evaluation.trace }
}

fn deny(reason: Reason) -> Outcome {
    Outcome::Deny { reason, target: TargetSeen::Yes }
}

impl Evaluation<'_> {
    fn note(&mut self, rule: Rule, holds: bool) -> Three {
        let verdict = if holds { Verdict::Yes } else { Verdict::No };
        self.trace.push(Step { rule, verdict });
        if holds { Three::Yes } else { Three::No }
    }

    fn unknown(&mut self, rule: Rule) -> Three {
        self.trace.push(Step { rule, verdict: Verdict::Unknown });
        Three::Unknown
    }

    fn run(&mut self) -> Outcome {
        let (row, subject) = (self.row, self.subject);
        // The operator has the database in hand; what it does goes through the same door so that it is in the audit log.
        if matches!(subject.access, AccessKind::Operator | AccessKind::System) {
            self.note(Rule::AccessKind(subject.access), true);
            if self.target_missing() {
                return Outcome::Deny { reason: Reason::NotVisible, target: TargetSeen::No };
            }
            return Outcome::Allow;
        }
        let accepted = row.access.contains(subject.access);
        if self.note(Rule::AccessKind(subject.access), accepted) != Three::Yes {
            return deny(match subject.access {
                AccessKind::Anonymous => Reason::NotAuthenticated,
                _ => Reason::AccessKind,
            });
        }
        if let Some(user) = subject.user {
            let active = self.policy.user(user).is_some_and(|facts| facts.active);
            if self.note(Rule::Active, active) != Three::Yes {
                return deny(Reason::Inactive);
            }
        } else if !matches!(subject.access, AccessKind::Anonymous) {
            // A credential that belongs to nobody proves nothing; an app acts with its own user's permissions.
            self.trace.push(Step { rule: Rule::Active, verdict: Verdict::Unknown });
            return deny(Reason::Inactive);
        }
        if subject.access == AccessKind::Connect
            && !subject.app_only
            && !subject.in_page
            && let Err(reason) = self.impersonation()
        {
            return deny(reason);
        }
        if !self.scopes_cover(row) {
            return deny(Reason::Scope);
        }
        if !row.rule_exempt && !subject.blocked.is_empty() && !self.outside_app_access_rules() {
            return Outcome::Deny { reason: Reason::AppAccessRule, target: TargetSeen::No };
        }
        let mut verdict = self.evaluate(&row.permission);
        if verdict == Three::Yes && !row.rule_exempt && !subject.blocked.is_empty() && self.located_is_unknown() {
            // What was not found out may be in a project that is closed to the app.
            verdict = self.unknown(Rule::TargetVisible);
        }
        let missing = self.target_missing();
        if verdict == Three::Yes && !missing {
            return Outcome::Allow;
        }
        if missing || !self.target_visible() {
            return Outcome::Deny { reason: Reason::NotVisible, target: TargetSeen::No };
        }
        deny(if verdict == Three::Unknown { Reason::Unknown } else { Reason::Permission })
    }

    /// A Connect app acts for a user only with the scope for it, and only for a person who is not shut out of Jira.
    fn impersonation(&mut self) -> Result<(), Reason> {
        let person = self.subject.user.filter(|user| {
            self.policy.has_access(*user) && self.policy.user(*user).is_some_and(|facts| facts.kind != AccountKind::App)
        });
        if self.note(Rule::LoggedIn, person.is_some()) != Three::Yes {
            return Err(Reason::Inactive);
        }
        let granted = self.subject.connect.is_some_and(|grant| grant.act_as_user);
        match self.note(Rule::ConnectScope(ConnectRule::Scope(ConnectScope::ActAsUser)), granted) {
            Three::Yes => Ok(()),
            Three::No | Three::Unknown => Err(Reason::Scope),
        }
    }

    /// Whether something that the row locates was not found out.
    fn located_is_unknown(&self) -> bool {
        let facts = self.facts;
        match self.row.locate {
            Locate::Nothing | Locate::User | Locate::Filter(_) | Locate::UsedEverywhere => false,
            Locate::Project(_)
            | Locate::ProjectUpdate(_)
            | Locate::Version(_)
            | Locate::Component(_)
            | Locate::QueryProject
            | Locate::BodyCreateIssue
            | Locate::BodyVersion
            | Locate::BodyComponent => facts.project == Fact::Unknown,
            Locate::Issue(_)
            | Locate::IssueAndUser(_)
            | Locate::OnIssue(..)
            | Locate::Attachment(_)
            | Locate::CommentById(_) => facts.issue == Fact::Unknown,
            Locate::IssueLink(_) | Locate::BodyIssueLink => {
                facts.issue == Fact::Unknown || facts.other_issue == Fact::Unknown
            }
            Locate::BodyCreateIssues => match facts.projects {
                Fact::Known(projects) => projects.contains(&Fact::Unknown),
                Fact::Missing => false,
                Fact::Unknown => true,
            },
            Locate::NotLocated => true,
        }
    }

    /// Whether something that the path or body names is not there. Whoever may do it to anything cannot do it to nothing.
    fn target_missing(&mut self) -> bool {
        let facts = self.facts;
        let missing = facts.project == Fact::Missing
            || facts.other_project == Fact::Missing
            || facts.issue == Fact::Missing
            || facts.other_issue == Fact::Missing
            || facts.issues == Fact::Missing
            || facts.projects == Fact::Missing
            || facts.restriction == Fact::Missing
            || facts.owner == Fact::Missing
            || (self.in_trash() && self.row.id != RESTORE);
        if missing {
            self.note(Rule::TargetVisible, false);
        }
        missing
    }

    /// Whether the target is in a project in the trash, which does not exist for anyone.
    fn in_trash(&self) -> bool {
        let facts = self.facts;
        let projects = [facts.project.known().copied(), facts.other_project.known().copied()];
        let issues = [facts.issue.known(), facts.other_issue.known()].map(|issue| issue.map(|issue| issue.project));
        projects
            .into_iter()
            .chain(issues)
            .flatten()
            .any(|id| self.policy.project(id).is_some_and(|facts| facts.trashed))
    }

    fn scopes_cover(&mut self, row: &Row) -> bool {
        let subject = self.subject;
        match subject.access {
            AccessKind::Connect => {
                let granted = match (row.connect, subject.connect) {
                    (ConnectRule::Inaccessible, _) | (_, None) => false,
                    (ConnectRule::Scope(needed), Some(grant)) => connect_covers(grant, needed),
                };
                self.note(Rule::ConnectScope(row.connect), granted) == Three::Yes
            }
            AccessKind::ApiToken | AccessKind::Session if subject.scopes.is_none() => true,
            AccessKind::OAuth
            | AccessKind::Forge
            | AccessKind::ScopedApiToken
            | AccessKind::ApiToken
            | AccessKind::Session => {
                let Some(have) = subject.scopes else { return false };
                if let Some(needed) = &row.classic
                    && self.note(Rule::ClassicScopes, have.covers(needed)) == Three::Yes
                {
                    return true;
                }
                match &row.granular {
                    Some(needed) => self.note(Rule::GranularScopes, have.covers(needed)) == Three::Yes,
                    None => false,
                }
            }
            AccessKind::Anonymous | AccessKind::Operator | AccessKind::System => true,
        }
    }

    /// No located project may be one that a rule closes to the app.
    fn outside_app_access_rules(&mut self) -> bool {
        let facts = self.facts;
        let mut touched: Vec<ProjectId> = Vec::new();
        touched.extend(facts.project.known());
        touched.extend(facts.other_project.known());
        touched.extend(facts.issue.known().map(|issue| issue.project));
        touched.extend(facts.other_issue.known().map(|issue| issue.project));
        touched.extend(facts.issues.known().into_iter().flat_map(|issues| issues.iter().map(|issue| issue.project)));
        touched.extend(
            facts.projects.known().into_iter().flat_map(|all| all.iter().filter_map(|one| one.known().copied())),
        );
        for project in touched {
            let open = !self.subject.blocked.contains(&project);
            if self.note(Rule::AppAccessRule(project), open) != Three::Yes {
                return false;
            }
        }
        true
    }

    fn evaluate(&mut self, expr: &Expr) -> Three {
        let subject = self.subject;
        match expr {
            Expr::Nothing => Three::Yes,
            Expr::LoggedIn => {
                let holds = subject.user.is_some_and(|user| self.policy.has_access(user));
                self.note(Rule::LoggedIn, holds)
            }
            Expr::Account => self.note(Rule::Account, subject.user.is_some()),
            Expr::SiteAdmin | Expr::OrgAdmin => {
                let holds = subject.user.is_some_and(|user| self.policy.is_site_admin(user));
                self.note(Rule::SiteAdmin, holds)
            }
            Expr::Global(permission) => {
                let holds = self.policy.holds_global(subject.user, *permission);
                self.note(Rule::Global(*permission), holds)
            }
            Expr::Project(permission, of) => self.project(*permission, *of),
            Expr::IssueSecurity(of) => self.security(*of),
            Expr::Visible(thing) => self.restriction(*thing),
            Expr::Owner(thing) => match (self.facts.owner, subject.user) {
                (Fact::Known(owner), Some(user)) => self.note(Rule::Owner(*thing), owner == Some(user)),
                (Fact::Known(_) | Fact::Missing, _) => self.note(Rule::Owner(*thing), false),
                (Fact::Unknown, _) => self.unknown(Rule::Owner(*thing)),
            },
            Expr::Shared(thing) => self.flag(self.facts.shared, Rule::Shared(*thing)),
            Expr::Editable(thing) => self.flag(self.facts.editable, Rule::Editable(*thing)),
            Expr::Caller(rule) => {
                let kind = match subject.access {
                    AccessKind::Connect => rule.connect,
                    AccessKind::Forge => rule.forge,
                    AccessKind::OAuth => rule.oauth,
                    AccessKind::Anonymous
                    | AccessKind::ApiToken
                    | AccessKind::ScopedApiToken
                    | AccessKind::Session
                    | AccessKind::Operator
                    | AccessKind::System => false,
                };
                if !kind || (rule.app_only && !subject.app_only) {
                    return self.note(Rule::Caller(*rule), false);
                }
                // `self`: the app's own objects, which its credential already singles out.
                if rule.owns.is_some_and(|what| what != "self") {
                    return match self.facts.owner {
                        Fact::Known(owner) => self.note(Rule::Caller(*rule), owner.is_some() && owner == subject.user),
                        Fact::Missing => self.note(Rule::Caller(*rule), false),
                        Fact::Unknown => self.unknown(Rule::Caller(*rule)),
                    };
                }
                self.note(Rule::Caller(*rule), true)
            }
            Expr::NeverKnown(words) => self.unknown(Rule::NeverKnown(words)),
            Expr::All(rules) => {
                for rule in *rules {
                    let verdict = self.evaluate(rule);
                    if verdict != Three::Yes {
                        return verdict;
                    }
                }
                Three::Yes
            }
            Expr::Any(rules) => {
                let mut out = Three::No;
                for rule in *rules {
                    match self.evaluate(rule) {
                        Three::Yes => return Three::Yes,
                        Three::Unknown => out = Three::Unknown,
                        Three::No => {}
                    }
                }
                out
            }
            Expr::Cases(cases) => {
                for (when, rule) in *cases {
                    let holds = self.facts.holding.holds(*when)
                        || (*when == When::ConnectAppOnly && subject.access == AccessKind::Connect && subject.app_only);
                    if holds {
                        self.note(Rule::Case(*when), true);
                        return self.evaluate(rule);
                    }
                }
                Three::No
            }
        }
    }

    fn flag(&mut self, fact: Fact<bool>, rule: Rule) -> Three {
        match fact {
            Fact::Known(holds) => self.note(rule, holds),
            Fact::Missing => self.note(rule, false),
            Fact::Unknown => self.unknown(rule),
        }
    }

    fn project(&mut self, permission: ProjectPermission, of: Of) -> Three {
        let facts = self.facts;
        match of {
            Of::Project => self.on_project(permission, facts.project),
            Of::OtherProject => self.on_project(permission, facts.other_project),
            Of::Issue => self.on_issue(permission, facts.issue),
            Of::OtherIssue => self.on_issue(permission, facts.other_issue),
            Of::BothIssues => {
                let first = self.on_issue(permission, facts.issue);
                if first == Three::Yes { self.on_issue(permission, facts.other_issue) } else { first }
            }
            Of::EachIssue => match facts.issues {
                Fact::Known([]) | Fact::Missing => self.note(Rule::Project(permission, None, None), false),
                Fact::Unknown => self.unknown(Rule::Project(permission, None, None)),
                Fact::Known(issues) => {
                    for issue in issues {
                        let verdict = self.on_issue(permission, Fact::Known(issue));
                        if verdict != Three::Yes {
                            return verdict;
                        }
                    }
                    Three::Yes
                }
            },
            Of::EachProject => match facts.projects {
                Fact::Known([]) | Fact::Missing => self.note(Rule::Project(permission, None, None), false),
                Fact::Unknown => self.unknown(Rule::Project(permission, None, None)),
                Fact::Known(projects) => {
                    for project in projects {
                        let verdict = self.on_project(permission, *project);
                        if verdict != Three::Yes {
                            return verdict;
                        }
                    }
                    Three::Yes
                }
            },
            Of::AnyProject => {
                let user = self.subject.user;
                let policy = self.policy;
                let found = policy.projects().filter(|project| self.open_to_app(project.id)).find_map(|project| {
                    let found = policy.holds(user, permission, project.id, None)?;
                    Some((project.id, found))
                });
                let (project, grant) = found.map_or((None, None), |(project, grant)| (Some(project), Some(grant)));
                self.note(Rule::Project(permission, project, grant), grant.is_some())
            }
            Of::AnyProjectUsing => match facts.using {
                Fact::Known(projects) => {
                    let user = self.subject.user;
                    let found = projects
                        .iter()
                        .filter(|project| self.open_to_app(**project))
                        .find_map(|project| Some((*project, self.policy.holds(user, permission, *project, None)?)));
                    let (project, grant) = found.map_or((None, None), |(project, grant)| (Some(project), Some(grant)));
                    self.note(Rule::Project(permission, project, grant), grant.is_some())
                }
                Fact::Missing => self.note(Rule::Project(permission, None, None), false),
                Fact::Unknown => self.unknown(Rule::Project(permission, None, None)),
            },
        }
    }

    /// What a closed project would give counts for nothing.
    fn open_to_app(&self, project: ProjectId) -> bool {
        self.row.rule_exempt || !self.subject.blocked.contains(&project)
    }

    fn on_project(&mut self, permission: ProjectPermission, project: Fact<ProjectId>) -> Three {
        match project {
            Fact::Known(id) => {
                let grant = self.policy.holds(self.subject.user, permission, id, None);
                // A holder that needs an issue (reporter, assignee) shows the project only to someone who takes part in one of
                // its issues; Jira shows the project's name to everyone signed in, which we do not copy.
                let takes_part = grant.is_none()
                    && permission == ProjectPermission::BrowseProjects
                    && self.policy.depends_on_issue(permission, id)
                    && self.facts.project == Fact::Known(id)
                    && self.facts.participates == Fact::Known(true);
                self.note(Rule::Project(permission, Some(id), grant), grant.is_some() || takes_part)
            }
            Fact::Missing => self.note(Rule::Project(permission, None, None), false),
            Fact::Unknown => self.unknown(Rule::Project(permission, None, None)),
        }
    }

    fn on_issue(&mut self, permission: ProjectPermission, issue: Fact<&IssueFacts>) -> Three {
        match issue {
            Fact::Known(issue) => {
                let grant = self.policy.holds(self.subject.user, permission, issue.project, Some(issue));
                self.note(Rule::Project(permission, Some(issue.project), grant), grant.is_some())
            }
            Fact::Missing => self.note(Rule::Project(permission, None, None), false),
            Fact::Unknown => self.unknown(Rule::Project(permission, None, None)),
        }
    }

    fn security(&mut self, of: Of) -> Three {
        let facts = self.facts;
        match of {
            Of::Issue => self.in_level(facts.issue),
            Of::OtherIssue => self.in_level(facts.other_issue),
            Of::BothIssues => {
                let first = self.in_level(facts.issue);
                if first == Three::Yes { self.in_level(facts.other_issue) } else { first }
            }
            Of::EachIssue => match facts.issues {
                Fact::Known(issues) => {
                    for issue in issues {
                        let verdict = self.in_level(Fact::Known(issue));
                        if verdict != Three::Yes {
                            return verdict;
                        }
                    }
                    Three::Yes
                }
                Fact::Missing => self.note(Rule::IssueSecurity(None), false),
                Fact::Unknown => self.unknown(Rule::IssueSecurity(None)),
            },
            Of::Project | Of::OtherProject | Of::EachProject | Of::AnyProject | Of::AnyProjectUsing => {
                self.unknown(Rule::IssueSecurity(None))
            }
        }
    }

    fn in_level(&mut self, issue: Fact<&IssueFacts>) -> Three {
        match issue {
            Fact::Known(issue) => match self.policy.in_level(self.subject.user, issue) {
                Ok(found) => self.note(Rule::IssueSecurity(found), true),
                Err(_) => self.note(Rule::IssueSecurity(None), false),
            },
            Fact::Missing => self.note(Rule::IssueSecurity(None), false),
            Fact::Unknown => self.unknown(Rule::IssueSecurity(None)),
        }
    }

    fn restriction(&mut self, thing: Thing) -> Three {
        match self.facts.restriction {
            Fact::Known(restriction) => {
                let project = self.facts.issue.known().map(|issue| issue.project);
                let holds = sees_restricted(self.policy, self.subject.user, project, restriction);
                self.note(Rule::Restriction(thing), holds)
            }
            Fact::Missing => self.note(Rule::Restriction(thing), false),
            Fact::Unknown => self.unknown(Rule::Restriction(thing)),
        }
    }

    /// Whether the caller may know that the located project, issue and restricted thing exist.
    fn target_visible(&mut self) -> bool {
        let facts = self.facts;
        let seen = [facts.issue, facts.other_issue].into_iter().all(|issue| match issue {
            Fact::Known(issue) => issue_visible(self.policy, self.subject.user, issue),
            Fact::Missing => false,
            Fact::Unknown => true,
        }) && [facts.project, facts.other_project].into_iter().all(|project| self.project_seen(project))
            && match facts.issues {
                Fact::Known(issues) => issues.iter().all(|issue| issue_visible(self.policy, self.subject.user, issue)),
                Fact::Missing => false,
                Fact::Unknown => true,
            }
            && match facts.projects {
                Fact::Known(projects) => projects.iter().all(|project| self.project_seen(*project)),
                Fact::Missing => false,
                Fact::Unknown => true,
            }
            && match facts.restriction {
                Fact::Known(restriction) => {
                    let project = facts.issue.known().map(|issue| issue.project);
                    sees_restricted(self.policy, self.subject.user, project, restriction)
                }
                Fact::Missing => false,
                Fact::Unknown => true,
            }
            && !matches!(facts.owner, Fact::Missing)
            // A filter is its owner's, and of those it is shared with.
            && !matches!((facts.shared, facts.owner), (Fact::Known(false), Fact::Known(owner)) if owner.is_none() || owner != self.subject.user);
        self.note(Rule::TargetVisible, seen) == Three::Yes
    }

    fn project_seen(&self, project: Fact<ProjectId>) -> bool {
        match project {
            Fact::Known(id) => {
                // When the project was located through an issue, the issue decides.
                if self.facts.issue.known().is_some_and(|issue| issue.project == id) {
                    return true;
                }
                project_visible(self.policy, self.subject.user, id)
                    || (self.facts.participates == Fact::Known(true)
                        && self.facts.project == Fact::Known(id)
                        && self.policy.depends_on_issue(ProjectPermission::BrowseProjects, id))
            }
            Fact::Missing => false,
            Fact::Unknown => true,
        }
    }
}

/// Whether the caller may know that an issue exists: BROWSE_PROJECTS on it, and its security level.
pub fn issue_visible(policy: &Policy, user: Option<UserId>, issue: &IssueFacts) -> bool {
    policy.holds(user, ProjectPermission::BrowseProjects, issue.project, Some(issue)).is_some()
        && policy.in_level(user, issue).is_ok()
}

/// Whether the caller may know that a project exists: it may browse it, administer it, or administer Jira.
pub fn project_visible(policy: &Policy, user: Option<UserId>, project: ProjectId) -> bool {
    let live = policy.project(project).is_some_and(|facts| !facts.trashed);
    live && (policy.holds(user, ProjectPermission::BrowseProjects, project, None).is_some()
        || policy.holds(user, ProjectPermission::AdministerProjects, project, None).is_some()
        || policy.holds_global(user, GlobalPermission::Administer))
}

/// Whether the caller matches the restriction of a comment or worklog in `project`.
pub fn sees_restricted(
    policy: &Policy,
    user: Option<UserId>,
    project: Option<ProjectId>,
    restriction: Restriction,
) -> bool {
    match (restriction, user, project) {
        (Restriction::None, _, _) => true,
        (Restriction::Group(group), Some(user), _) => policy.is_member(user, group),
        (Restriction::Role(role), Some(user), Some(project)) => policy.has_role(user, project, role),
        (Restriction::Group(_) | Restriction::Role(_) | Restriction::Nobody, _, _) => false,
    }
}

/// Whether a Connect grant covers what an operation needs: the ordered scopes imply lower ones, the other two stand alone.
fn connect_covers(grant: ConnectGrant, needed: ConnectScope) -> bool {
    match needed {
        ConnectScope::ActAsUser => grant.act_as_user,
        ConnectScope::AccessEmailAddresses => grant.emails,
        ordered => match (grant.top.rank(), ordered.rank()) {
            (Some(have), Some(need)) => have >= need,
            _ => false,
        },
    }
}
