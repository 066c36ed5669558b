//! What a fresh site holds before its first project: roles, the default permission scheme, types, statuses, priorities.
//!
//! These rows have fixed ids, those that clients and scripts know from Jira. Ids of later rows are handed out by the database and
//! begin behind them: `store/migrations/0003_jira.sqlite.sql` and `0003_jira.postgres.sql`.

use portcullis_guard::{StoreError, Tx, Value, Writes};
use portcullis_model::{GroupId, ProjectPermission, RoleId, SchemeId};

use crate::text::fold;

/// Project administrators; the lead of a new project gets it.
pub const ADMINISTRATORS: RoleId = RoleId(10002);

/// Apps with more than read scopes; the vendor's name, because scripts look for it.
pub const APPS: RoleId = RoleId(10003);
/// Its name.
pub const APPS_NAME: &str = "atlassian-addons-project-access";

/// What new projects get, and what projects fall back to.
pub const DEFAULT_SCHEME: SchemeId = SchemeId(0);

/// Who is granted a permission by the default scheme, besides the apps' role, which is granted all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Granted {
    /// Users of any application.
    LoggedIn,
    /// The role Administrators.
    Administrators,
    /// Nobody else.
    AppsOnly,
}

/// The vendor's defaults: published for some rows, inferred for the rest (docs: jira-api-and-permissions, section 3.9).
const fn granted_by_default(permission: ProjectPermission) -> Granted {
    use ProjectPermission as P;
    match permission {
        P::AdministerProjects | P::EditWorkflow | P::EditIssueLayout => Granted::Administrators,
        P::DeleteIssues | P::ModifyReporter | P::ManageWatchers => Granted::Administrators,
        P::DeleteAllComments | P::EditAllComments | P::DeleteAllAttachments => Granted::Administrators,
        P::DeleteAllWorklogs | P::EditAllWorklogs => Granted::Administrators,
        P::ManageSprintsPermission | P::ServicedeskAgent | P::SetIssueSecurity => Granted::AppsOnly,
        P::BrowseProjects | P::ViewAggregatedData | P::ViewDevTools | P::ViewReadonlyWorkflow => Granted::LoggedIn,
        P::AssignableUser | P::AssignIssues | P::CloseIssues | P::CreateIssues | P::EditIssues => Granted::LoggedIn,
        P::LinkIssues | P::MoveIssues | P::ResolveIssues | P::ScheduleIssues | P::TransitionIssues => Granted::LoggedIn,
        P::ViewVotersAndWatchers | P::AddComments | P::DeleteOwnComments | P::EditOwnComments => Granted::LoggedIn,
        P::CreateAttachments | P::DeleteOwnAttachments => Granted::LoggedIn,
        P::DeleteOwnWorklogs | P::EditOwnWorklogs | P::WorkOnIssues => Granted::LoggedIn,
    }
}

/// Id, name, what it is for, level.
const ISSUE_TYPES: [(i64, &str, &str, i64); 5] = [
    (10000, "Epic", "A big user story that needs to be broken down.", 1),
    (10001, "Story", "Functionality or a feature expressed as a user goal.", 0),
    (10002, "Task", "A small, distinct piece of work.", 0),
    (10003, "Sub-task", "A small piece of work that is part of a larger task.", -1),
    (10004, "Bug", "A problem or error.", 0),
];

/// Id, name, category.
const STATUSES: [(i64, &str, &str); 3] =
    [(10000, "To Do", "new"), (10001, "In Progress", "indeterminate"), (10002, "Done", "done")];

/// Id, name, target; each from every status.
const TRANSITIONS: [(i64, &str, i64); 3] = [(11, "To Do", 10000), (21, "In Progress", 10001), (31, "Done", 10002)];

/// The status of a new issue.
pub const FIRST_STATUS: i64 = 10000;

/// Id (the order too), name, meaning, colour.
const PRIORITIES: [(i64, &str, &str, &str); 5] = [
    (1, "Highest", "This problem will block progress.", "#d04437"),
    (2, "High", "Serious problem that could block progress.", "#f15C75"),
    (3, "Medium", "Has the potential to affect progress.", "#f79232"),
    (4, "Low", "Minor problem or easily worked around.", "#707070"),
    (5, "Lowest", "Trivial problem with little or no impact on progress.", "#999999"),
];

/// The priority of a new issue.
pub const DEFAULT_PRIORITY: i64 = 3;

/// Id, name, meaning.
const RESOLUTIONS: [(i64, &str, &str); 4] = [
    (10000, "Done", "Work has been completed on this issue."),
    (10001, "Won't Do", "This issue won't be actioned."),
    (10002, "Duplicate", "The problem is a duplicate of an existing issue."),
    (10003, "Cannot Reproduce", "All attempts at reproducing this issue failed."),
];

/// Id, name, inward, outward.
const LINK_TYPES: [(i64, &str, &str, &str); 4] = [
    (10000, "Blocks", "is blocked by", "blocks"),
    (10001, "Cloners", "is cloned by", "clones"),
    (10002, "Duplicate", "is duplicated by", "duplicates"),
    (10003, "Relates", "relates to", "relates to"),
];

/// Id, name, meaning, kind.
const FIELDS: [(i64, &str, &str, &str); 1] =
    [(10016, "Story Points", "Measurement of complexity and/or size of a requirement.", "float")];

/// Writes the base data of a fresh site. `administrators` is the group that every new project's Administrators role begins with.
///
/// # Errors
/// The database's; on a site that has base data already, a broken uniqueness rule.
pub async fn site<M: Writes>(tx: &mut Tx<M>, administrators: GroupId) -> Result<(), StoreError> {
    roles(tx, administrators).await?;
    default_scheme(tx).await?;
    for (id, name, description, level) in ISSUE_TYPES {
        let sql = "INSERT INTO jira_issue_type (id, name, description, hierarchy_level) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, &[id.into(), name.into(), description.into(), level.into()]).await?;
    }
    for (id, name, category) in STATUSES {
        let sql = "INSERT INTO jira_status (id, name, description, category) VALUES ($1, $2, '', $3)";
        tx.execute(sql, &[id.into(), name.into(), category.into()]).await?;
    }
    for (id, name, to) in TRANSITIONS {
        let sql = "INSERT INTO jira_transition (id, name, from_status_id, to_status_id) VALUES ($1, $2, NULL, $3)";
        tx.execute(sql, &[id.into(), name.into(), to.into()]).await?;
    }
    for (id, name, description, color) in PRIORITIES {
        let sql = "INSERT INTO jira_priority (id, name, description, color, position) VALUES ($1, $2, $3, $4, $1)";
        tx.execute(sql, &[id.into(), name.into(), description.into(), color.into()]).await?;
    }
    for (id, name, description) in RESOLUTIONS {
        let sql = "INSERT INTO jira_resolution (id, name, description) VALUES ($1, $2, $3)";
        tx.execute(sql, &[id.into(), name.into(), description.into()]).await?;
    }
    for (id, name, inward, outward) in LINK_TYPES {
        let sql = "INSERT INTO jira_link_type (id, name, inward, outward) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, &[id.into(), name.into(), inward.into(), outward.into()]).await?;
    }
    for (id, name, description, kind) in FIELDS {
        let sql = "INSERT INTO jira_field (id, name, description, kind) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, &[id.into(), name.into(), description.into(), kind.into()]).await?;
    }
    Ok(())
}

async fn roles<M: Writes>(tx: &mut Tx<M>, administrators: GroupId) -> Result<(), StoreError> {
    let roles = [
        (ADMINISTRATORS, "Administrators", "A project role that represents administrators in a project"),
        (APPS, APPS_NAME, "A project role that represents apps that may work in a project"),
    ];
    for (id, name, description) in roles {
        let sql = "INSERT INTO jira_role (id, name, name_folded, description) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, &[id.0.into(), name.into(), fold(name).into(), description.into()]).await?;
    }
    let sql = "INSERT INTO jira_role_default_actor (role_id, group_id) VALUES ($1, $2)";
    tx.execute(sql, &[ADMINISTRATORS.0.into(), administrators.0.into()]).await?;
    Ok(())
}

async fn default_scheme<M: Writes>(tx: &mut Tx<M>) -> Result<(), StoreError> {
    let name = "Default Permission Scheme";
    let description =
        "This is the default Permission Scheme. Any new projects that are created will be assigned this scheme.";
    let sql = "INSERT INTO jira_permission_scheme (id, name, name_folded, description) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &[DEFAULT_SCHEME.0.into(), name.into(), fold(name).into(), description.into()]).await?;
    for permission in ProjectPermission::ALL {
        match granted_by_default(permission) {
            Granted::LoggedIn => grant(tx, permission, "applicationRole", None).await?,
            Granted::Administrators => grant(tx, permission, "projectRole", Some(ADMINISTRATORS)).await?,
            Granted::AppsOnly => {}
        }
        grant(tx, permission, "projectRole", Some(APPS)).await?;
    }
    Ok(())
}

async fn grant<M: Writes>(
    tx: &mut Tx<M>,
    permission: ProjectPermission,
    holder_type: &str,
    role: Option<RoleId>,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO jira_permission_grant (scheme_id, permission, holder_type, role_id) VALUES ($1, $2, $3, $4)";
    let role: Value = role.map(|role| role.0).into();
    tx.execute(sql, &[DEFAULT_SCHEME.0.into(), permission.key().into(), holder_type.into(), role]).await?;
    Ok(())
}
