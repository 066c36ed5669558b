//! One row of the operation table, as the engine reads it.
//!
//! The rows are written in `operations.toml`, for people; `cargo xtask operations` turns them into [`crate::op`].

use portcullis_model::mode::{HasModeKind, ModeKind};
use portcullis_model::{AccessKind, ConnectScope, GlobalPermission, ProjectPermission, ScopeSet};

/// Everything that is fixed about an operation.
#[derive(Debug)]
pub struct Row {
    /// The vendor's operation id, or ours (`portcullis...`).
    pub id: &'static str,
    /// Position in [`crate::op::ROWS`].
    pub number: u16,
    /// HTTP method.
    pub method: Method,
    /// Path template; Jira rows are written with `/rest/api/3`, versions 2 and `latest` are aliases.
    pub path: &'static str,
    /// Whose operation it is.
    pub area: Area,
    /// Reads, writes, or changes rights.
    pub mode: ModeKind,
    /// Whether a caller without credential reaches the permission rule (it may still refuse).
    pub anonymous: bool,
    /// Kinds of credential that may be used at all.
    pub access: AccessSet,
    /// Classic scopes, all needed; `None`: the operation has no classic set, which is not the empty set.
    pub classic: Option<ScopeSet>,
    /// Granular scopes, all needed; an alternative to the classic set.
    pub granular: Option<ScopeSet>,
    /// What a Connect app needs.
    pub connect: ConnectRule,
    /// Whether an app access rule leaves the operation alone.
    pub rule_exempt: bool,
    /// Whether a person in a browser proves anew who they are when their last proof is some time ago (OWASP ASVS 5.0, 7.5.1).
    pub fresh: bool,
    /// Whether a person who has to have a second factor and has none yet may still do this in a browser.
    pub without_second_factor: bool,
    /// The permission rule.
    pub permission: Expr,
    /// What is found out about the target before the decision.
    pub locate: Locate,
    /// Status for a caller who may know that the target exists.
    pub deny: Option<u16>,
    /// Whether the document answers 404 for a missing permission.
    pub hide: bool,
    /// Where the permission cell comes from.
    pub source: Source,
    /// Why the operation is open to callers without any proof (sign-in, health); `None` for all others.
    pub open: Option<&'static str>,
}

/// A row as a type: the handler of one operation cannot be registered for another.
pub trait Operation: Send + Sync + 'static {
    /// What its transaction may do.
    type Mode: HasModeKind;
    /// The row.
    const ROW: &'static Row;
}

/// HTTP methods of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET, also answers HEAD.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
}

impl Method {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// Which part of the outside an operation belongs to; decides its surface and the shape of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// Jira platform REST API.
    Jira,
    /// Session probes, tenant info and other site paths outside `/rest/api`.
    Site,
    /// The OAuth 2.0 authorization server: clients prove themselves there, not people.
    Authorization,
    /// The API gateway outside a site: `/me`, `/oauth/token/accessible-resources`.
    Gateway,
    /// `/api/portcullis/v1`.
    Management,
    /// Pages.
    Console,
    /// Health, metrics, emulator.
    Operations,
}

/// Which kinds of credential an operation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessSet(u16);

impl AccessSet {
    /// A set of the given kinds; used by generated code.
    #[expect(clippy::indexing_slicing, reason = "a const loop has no iterator; the bound is the slice's length")]
    pub const fn of(kinds: &[AccessKind]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Whether `kind` is accepted.
    pub const fn contains(self, kind: AccessKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }
}

/// What a Connect app needs for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectRule {
    /// At least this scope.
    Scope(ConnectScope),
    /// No Connect app, whatever its scopes.
    Inaccessible,
}

/// Where a permission cell comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The vendor's text.
    Text,
    /// No text; taken from sibling operations.
    Inferred,
    /// Not clear: the cell asks for global ADMINISTER until a source says otherwise. Holds the reason.
    Unclear(&'static str),
    /// Our own operation.
    Ours,
}

/// A permission rule. `All` and `Any` read left to right; the trace follows that order.
#[derive(Clone, Copy, Debug)]
pub enum Expr {
    /// No permission needed.
    Nothing,
    /// Access to Jira: a member of a group of any application, or an app user.
    LoggedIn,
    /// Signed in with any active account, with or without access to Jira; for a person's own account.
    Account,
    /// Administers the site's people and groups.
    SiteAdmin,
    /// Administers the organisation. One site is one organisation here, so the same people as [`Expr::SiteAdmin`].
    OrgAdmin,
    /// A global permission.
    Global(GlobalPermission),
    /// A project permission on what was located.
    Project(ProjectPermission, Of),
    /// The caller is in the issue's security level, where it has one.
    IssueSecurity(Of),
    /// The caller matches the group or role restriction of a comment, worklog or attachment's comment.
    Visible(Thing),
    /// The caller made or owns the thing.
    Owner(Thing),
    /// A share permission of the thing matches the caller.
    Shared(Thing),
    /// The caller may edit the thing by a share permission.
    Editable(Thing),
    /// Only this kind of principal.
    Caller(CallerRule),
    /// A condition on facts that Portcullis does not keep; never known, so it never allows.
    NeverKnown(&'static str),
    /// Every one.
    All(&'static [Expr]),
    /// At least one.
    Any(&'static [Expr]),
    /// The rule of the first case whose condition holds; none holding refuses.
    Cases(&'static [(When, Expr)]),
}

/// Which located object a project permission or a security check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// The located project (named itself, or through a version, component, ...).
    Project,
    /// The located issue.
    Issue,
    /// The second issue of an operation on two: the outward issue of a link, the destination of a move.
    OtherIssue,
    /// Both issues.
    BothIssues,
    /// Each of the issues named in the body.
    EachIssue,
    /// Each of the projects named in the body or query.
    EachProject,
    /// The second project of an operation on two: the destination of a move.
    OtherProject,
    /// Any project of the site.
    AnyProject,
    /// Any project in which something is used (a field, an issue type, a scheme, a status); located by the row.
    AnyProjectUsing,
}

/// Things that have an owner, a restriction or shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thing {
    /// A comment.
    Comment,
    /// A worklog.
    Worklog,
    /// An attachment.
    Attachment,
    /// The comment an attachment was added with.
    AttachmentComment,
    /// A saved filter.
    Filter,
    /// A dashboard.
    Dashboard,
    /// A long-running task.
    Task,
    /// Something an app owns, by the name of what it is.
    AppOwned(&'static str),
}

/// A rule about the kind of principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerRule {
    /// Connect apps.
    pub connect: bool,
    /// Forge apps.
    pub forge: bool,
    /// OAuth 2.0 (3LO) apps.
    pub oauth: bool,
    /// The vendor's internal services; nobody here.
    pub internal: bool,
    /// What the app must own.
    pub owns: Option<&'static str>,
    /// Only without a user.
    pub app_only: bool,
}

/// Conditions on the input or target, found out by `locate`. An unknown condition does not hold, and its case is then refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum When {
    /// Always.
    Otherwise,
    /// The user the request is about is the caller.
    TargetUserIsCaller,
    /// The request names no account, or the caller's.
    AccountIsCaller,
    /// The body of `PUT project` changes the key or a scheme.
    ChangesKeyOrScheme,
    /// The body of `PUT project` was looked at and changes neither.
    KeepsKeyAndSchemes,
    /// The project is company-managed.
    CompanyManaged,
    /// The project is team-managed.
    TeamManaged,
    /// The avatar is the system's or a priority's.
    SystemAvatar,
    /// The avatar is a project's.
    ProjectAvatar,
    /// The avatar is an issue type's.
    IssueTypeAvatar,
    /// A project or issue is named in the query.
    ProjectOrIssueGiven,
    /// The caller is a Connect app without a user.
    ConnectAppOnly,
    /// A condition that is never found out; holds the words of the document.
    NeverKnown(&'static str),
}

/// How the target is found, by the names of path, query or body members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locate {
    /// Nothing to find.
    Nothing,
    /// A project by id or key in a path parameter.
    Project(&'static str),
    /// An issue by id or key in a path parameter.
    Issue(&'static str),
    /// A thing on an issue: parameter of the issue, kind, parameter of the thing.
    OnIssue(&'static str, Thing, &'static str),
    /// An attachment by id, with its issue and the restriction of its comment.
    Attachment(&'static str),
    /// A version by id, with its project.
    Version(&'static str),
    /// A component by id, with its project.
    Component(&'static str),
    /// An issue link by id, with both issues.
    IssueLink(&'static str),
    /// A filter by id.
    Filter(&'static str),
    /// The comment whose id is in the path, with its issue.
    CommentById(&'static str),
    /// Project in the query, by any of `project`, `projectKey`, `projectId`, `projectIdOrKey`, `projectKeyOrId`, or through `issueKey`/`issueId`.
    QueryProject,
    /// Projects of issue creation in the body: `fields.project`.
    BodyCreateIssue,
    /// Each project of a bulk creation: `issueUpdates[].fields.project`.
    BodyCreateIssues,
    /// `inwardIssue`, `outwardIssue` and the comment's restriction of a link to be made.
    BodyIssueLink,
    /// `projectId` or `project` of a version to be made.
    BodyVersion,
    /// `project` of a component to be made.
    BodyComponent,
    /// The user of a request: `accountId` in the query or body.
    User,
    /// An issue, and whether the user that the body or query names is the caller (watchers).
    IssueAndUser(&'static str),
    /// The body of `PUT project`: the project and which aspects change.
    ProjectUpdate(&'static str),
    /// A status, issue type or field, which every project uses.
    UsedEverywhere,
    /// Issues named in the body by the members listed in the row's document; not found out, so refused.
    NotLocated,
}
