//! Finding out about the target before the decision: from the path, query and body to projects, issues and what is on them.
//!
//! Reads only. What cannot be found out stays unknown and refuses; what is not there is `Missing` and looks like what is hidden.

use portcullis_authz::decide::{Conditions, Fact, Facts, Restriction};
use portcullis_authz::policy::{Condition, IssueFacts};
use portcullis_authz::{Locate, Row, Thing, When};
use portcullis_model::{FieldId, GroupId, IssueId, LevelId, ProjectId, RoleId, UserId};
use portcullis_store::{Mode, SqlBuilder, StoreError, Tx};
use serde_json::Value as Json;

use crate::input::Input;
use crate::snapshot::Snapshot;

/// What was found, owned; lends itself to the engine as [`Facts`].
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub project: Fact<ProjectId>,
    pub issue: Fact<IssueFacts>,
    pub other_issue: Fact<IssueFacts>,
    pub projects: Fact<Vec<Fact<ProjectId>>>,
    pub using: Fact<Vec<ProjectId>>,
    pub restriction: Fact<Restriction>,
    pub owner: Fact<Option<UserId>>,
    pub shared: Fact<bool>,
    pub editable: Fact<bool>,
    pub participates: Fact<bool>,
    pub holding: Conditions,
    /// The comment, worklog, attachment, version, component, link or filter that the path names.
    pub thing: Option<i64>,
    /// The account that the request is about.
    pub user: Option<UserId>,
    /// What the request named, for the text of a refusal.
    pub name: String,
}

impl Located {
    fn nothing() -> Self {
        Self {
            project: Fact::Unknown,
            issue: Fact::Unknown,
            other_issue: Fact::Unknown,
            projects: Fact::Unknown,
            using: Fact::Unknown,
            restriction: Fact::Unknown,
            owner: Fact::Unknown,
            shared: Fact::Unknown,
            editable: Fact::Unknown,
            participates: Fact::Unknown,
            holding: Conditions::NONE,
            thing: None,
            user: None,
            name: String::new(),
        }
    }

    pub(crate) fn facts(&self) -> Facts<'_> {
        Facts {
            project: self.project,
            issue: borrow(&self.issue),
            other_issue: borrow(&self.other_issue),
            projects: match &self.projects {
                Fact::Known(projects) => Fact::Known(projects.as_slice()),
                Fact::Missing => Fact::Missing,
                Fact::Unknown => Fact::Unknown,
            },
            using: match &self.using {
                Fact::Known(projects) => Fact::Known(projects.as_slice()),
                Fact::Missing => Fact::Missing,
                Fact::Unknown => Fact::Unknown,
            },
            participates: self.participates,
            restriction: self.restriction,
            owner: self.owner,
            shared: self.shared,
            editable: self.editable,
            holding: self.holding,
            ..Facts::unknown()
        }
    }
}

fn borrow(fact: &Fact<IssueFacts>) -> Fact<&IssueFacts> {
    match fact {
        Fact::Known(issue) => Fact::Known(issue),
        Fact::Missing => Fact::Missing,
        Fact::Unknown => Fact::Unknown,
    }
}

/// A look-up by project key or id needs memory only; `names_fields` says whether issues need their picker fields.
pub(crate) struct Directory<'a> {
    pub project: &'a (dyn Fn(&str) -> Option<ProjectId> + Sync),
    pub user: &'a (dyn Fn(&str) -> Option<UserId> + Sync),
    pub browse_conditions: &'a (dyn Fn(ProjectId) -> Vec<Condition> + Sync),
    pub team_managed: &'a (dyn Fn(ProjectId) -> Option<bool> + Sync),
    /// Whether this is the project's key today; a former one is not.
    pub has_key: &'a (dyn Fn(ProjectId, &str) -> bool + Sync),
    pub scheme: &'a (dyn Fn(ProjectId) -> Option<i64> + Sync),
    pub share_matches: &'a (dyn Fn(&Share) -> bool + Sync),
    pub all_projects: &'a (dyn Fn() -> Vec<ProjectId> + Sync),
    /// The account of the Connect app with this key.
    pub connect_app: &'a (dyn Fn(&str) -> Option<UserId> + Sync),
    pub names_fields: bool,
}

/// A share permission of a filter, as stored.
#[derive(Clone, Debug)]
pub(crate) enum Share {
    Global,
    Authenticated,
    User(UserId),
    Group(GroupId),
    Project(ProjectId),
    ProjectRole(ProjectId, RoleId),
    Nobody,
}

impl Share {
    fn of(row: &portcullis_store::Row) -> Result<Self, StoreError> {
        let user = row.get::<Option<i64>>("user_id")?.map(UserId);
        let group = row.get::<Option<i64>>("group_id")?.map(GroupId);
        let project = row.get::<Option<i64>>("project_id")?.map(ProjectId);
        let role = row.get::<Option<i64>>("role_id")?.map(RoleId);
        Ok(match (row.get::<String>("share_type")?.as_str(), user, group, project, role) {
            ("global", ..) => Share::Global,
            ("authenticated", ..) => Share::Authenticated,
            ("user", Some(user), ..) => Share::User(user),
            ("group", _, Some(group), ..) => Share::Group(group),
            ("projectRole", _, _, Some(project), Some(role)) => Share::ProjectRole(project, role),
            ("project", _, _, Some(project), _) => Share::Project(project),
            _ => Share::Nobody,
        })
    }

    /// Whether the share admits the account (`None`: anonymous). Sharing with a project means those who may browse it.
    pub(crate) fn admits(&self, snapshot: &Snapshot, user: Option<UserId>) -> bool {
        let policy = &snapshot.policy;
        match (self, user) {
            (Share::Global, _) => true,
            (Share::Project(project), user) => {
                policy.holds(user, portcullis_model::ProjectPermission::BrowseProjects, *project, None).is_some()
            }
            (Share::Authenticated, Some(user)) => policy.has_access(user),
            (Share::User(id), Some(user)) => *id == user,
            (Share::Group(group), Some(user)) => policy.is_member(user, *group),
            (Share::ProjectRole(project, role), Some(user)) => policy.has_role(user, *project, *role),
            (Share::Authenticated | Share::User(_) | Share::Group(_) | Share::ProjectRole(..), None)
            | (Share::Nobody, _) => false,
        }
    }
}

/// A project named by id or key; keys are matched as they are written.
pub(crate) fn project_named(snapshot: &Snapshot, name: &str) -> Option<ProjectId> {
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        let id = ProjectId(name.parse().ok()?);
        return snapshot.policy.project(id).map(|_| id);
    }
    snapshot.project_by_key(name)
}

fn found<T>(value: Option<T>) -> Fact<T> {
    value.map_or(Fact::Missing, Fact::Known)
}

/// Finds what the row asks for.
pub(crate) async fn locate<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    row: &Row,
    caller: Option<UserId>,
    input: &Input,
) -> Result<Located, StoreError> {
    let mut out = Located::nothing();
    match row.locate {
        Locate::Nothing | Locate::NotLocated => {
            // What an app keeps for itself belongs to its own account.
            let key = input.param("addonKey");
            if !key.is_empty() {
                out.name = key.to_owned();
                // One that is not installed is nobody's: which apps are installed is not told.
                out.owner = Fact::Known((directory.connect_app)(key));
            }
        }
        // One workflow and one set of types and fields serve every project.
        Locate::UsedEverywhere => out.using = Fact::Known((directory.all_projects)()),
        Locate::Project(param) => project(tx, directory, &mut out, input.param(param), caller).await?,
        Locate::ProjectUpdate(param) => {
            project(tx, directory, &mut out, input.param(param), caller).await?;
            if changes_key_or_scheme(directory, &out, input) {
                out.holding = out.holding.with(When::ChangesKeyOrScheme);
            } else {
                out.holding = out.holding.with(When::KeepsKeyAndSchemes);
            }
        }
        Locate::Issue(param) => issue(tx, directory, &mut out, input.param(param)).await?,
        Locate::IssueAndUser(param) => {
            issue(tx, directory, &mut out, input.param(param)).await?;
            let named =
                input.json().as_str().map(str::to_owned).or_else(|| input.query("accountId").map(str::to_owned));
            target_user(directory, &mut out, named.as_deref(), caller);
        }
        Locate::OnIssue(issue_param, thing, thing_param) => {
            issue(tx, directory, &mut out, input.param(issue_param)).await?;
            on_issue(tx, &mut out, thing, input.param(thing_param)).await?;
        }
        Locate::CommentById(param) => {
            out.name = input.param(param).to_owned();
            let id = input.param(param).parse::<i64>().ok();
            let sql = "SELECT issue_id FROM jira_comment WHERE id = $1";
            let parent = match id {
                Some(id) => tx.query_opt(sql, &[id.into()]).await?,
                None => None,
            };
            match parent {
                Some(row) => {
                    out.issue = issue_by_id(tx, directory.names_fields, row.get("issue_id")?).await?;
                    on_issue(tx, &mut out, Thing::Comment, input.param(param)).await?;
                }
                None => out.issue = Fact::Missing,
            }
            out.project = project_of(&out.issue);
        }
        Locate::Attachment(param) => attachment(tx, directory, &mut out, input.param(param)).await?,
        Locate::Version(param) => {
            let sql = "SELECT id, project_id FROM jira_version WHERE id = $1";
            owned_by_project(tx, &mut out, sql, input.param(param)).await?;
            participation(tx, directory, &mut out, caller).await?;
        }
        Locate::Component(param) => {
            let sql = "SELECT id, project_id FROM jira_component WHERE id = $1";
            owned_by_project(tx, &mut out, sql, input.param(param)).await?;
            participation(tx, directory, &mut out, caller).await?;
        }
        Locate::IssueLink(param) => {
            out.name = input.param(param).to_owned();
            let sql = "SELECT id, source_id, destination_id FROM jira_issue_link WHERE id = $1";
            let link = match input.param(param).parse::<i64>() {
                Ok(id) => tx.query_opt(sql, &[id.into()]).await?,
                Err(_) => None,
            };
            match link {
                Some(row) => {
                    out.thing = Some(row.get("id")?);
                    out.issue = issue_by_id(tx, directory.names_fields, row.get("destination_id")?).await?;
                    out.other_issue = issue_by_id(tx, directory.names_fields, row.get("source_id")?).await?;
                }
                None => {
                    out.issue = Fact::Missing;
                    out.other_issue = Fact::Missing;
                }
            }
        }
        Locate::Filter(param) => filter(tx, directory, &mut out, input.param(param)).await?,
        Locate::QueryProject => query_project(tx, directory, &mut out, input, caller).await?,
        Locate::BodyCreateIssue => {
            let name = project_reference(input.json().pointer("/fields/project"));
            project(tx, directory, &mut out, &name, caller).await?;
        }
        Locate::BodyCreateIssues => {
            let updates = input.json().get("issueUpdates").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
            let projects = updates
                .iter()
                .map(|update| found((directory.project)(&project_reference(update.pointer("/fields/project")))))
                .collect();
            out.projects = Fact::Known(projects);
        }
        Locate::BodyIssueLink => {
            let named = |side: &str| project_reference(input.json().get(side));
            let (inward, outward) = (named("inwardIssue"), named("outwardIssue"));
            out.name = inward.clone();
            // The engine's other issue is the outward one, on whose project LINK_ISSUES is asked.
            out.issue = issue_named(tx, directory, &inward).await?;
            out.other_issue = issue_named(tx, directory, &outward).await?;
            out.restriction = Fact::Known(Restriction::None);
        }
        Locate::BodyVersion => {
            let body = input.json();
            let name = body.get("projectId").map_or_else(|| text_of(body.get("project")), |id| text_of(Some(id)));
            project(tx, directory, &mut out, &name, caller).await?;
        }
        Locate::BodyComponent => {
            project(tx, directory, &mut out, &text_of(input.json().get("project")), caller).await?
        }
        Locate::User => {
            let named = input
                .query("accountId")
                .map(str::to_owned)
                .or_else(|| input.json().get("accountId").and_then(Json::as_str).map(str::to_owned));
            if named.is_none() {
                out.holding = out.holding.with(When::AccountIsCaller);
            }
            target_user(directory, &mut out, named.as_deref(), caller);
        }
    }
    if let Fact::Known(id) = out.project
        && let Some(team_managed) = (directory.team_managed)(id)
    {
        out.holding = out.holding.with(if team_managed { When::TeamManaged } else { When::CompanyManaged });
    }
    Ok(out)
}

fn text_of(value: Option<&Json>) -> String {
    match value {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// `{"id": ...}` or `{"key": ...}`.
fn project_reference(value: Option<&Json>) -> String {
    let id = text_of(value.and_then(|value| value.get("id")));
    if id.is_empty() { text_of(value.and_then(|value| value.get("key"))) } else { id }
}

fn project_of(issue: &Fact<IssueFacts>) -> Fact<ProjectId> {
    match issue {
        Fact::Known(issue) => Fact::Known(issue.project),
        Fact::Missing => Fact::Missing,
        Fact::Unknown => Fact::Unknown,
    }
}

async fn project<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    out: &mut Located,
    name: &str,
    caller: Option<UserId>,
) -> Result<(), StoreError> {
    out.name = name.to_owned();
    out.project = found((directory.project)(name));
    participation(tx, directory, out, caller).await
}

/// Whether the caller takes part in an issue of the project in a way that a grant asks for; asked only where one does.
async fn participation<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    out: &mut Located,
    caller: Option<UserId>,
) -> Result<(), StoreError> {
    let (Fact::Known(project), Some(user)) = (out.project, caller) else { return Ok(()) };
    let conditions = (directory.browse_conditions)(project);
    if conditions.is_empty() {
        return Ok(());
    }
    // Issues with a security level are left out: whether one of them is visible is not settled here.
    let mut sql =
        SqlBuilder::new("SELECT 1 AS one FROM jira_issue i WHERE i.security_level_id IS NULL AND i.project_id = ");
    sql.bind(project.0).push(" AND (1 = 0");
    for condition in conditions {
        match condition {
            Condition::Reporter => sql.push(" OR i.reporter_id = ").bind(user.0),
            Condition::Assignee => sql.push(" OR i.assignee_id = ").bind(user.0),
            Condition::UserField(field) => {
                sql.push(" OR EXISTS (SELECT 1 FROM jira_issue_value v WHERE v.issue_id = i.id AND v.field_id = ");
                sql.bind(field.0).push(" AND v.user_id = ").bind(user.0).push(")")
            }
            Condition::GroupField(field) => {
                sql.push(
                    " OR EXISTS (SELECT 1 FROM jira_issue_value v JOIN account_membership m ON m.group_id = v.group_id",
                );
                sql.push(" WHERE v.issue_id = i.id AND v.field_id = ").bind(field.0);
                sql.push(" AND m.user_id = ").bind(user.0).push(")")
            }
        };
    }
    sql.push(") LIMIT 1");
    out.participates = Fact::Known(tx.query_opt(sql, &[]).await?.is_some());
    Ok(())
}

async fn issue<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    out: &mut Located,
    name: &str,
) -> Result<(), StoreError> {
    out.name = name.to_owned();
    out.issue = issue_named(tx, directory, name).await?;
    out.project = project_of(&out.issue);
    Ok(())
}

/// `ABC-12` split into its parts; the key is matched without regard to case.
pub(crate) fn parse_issue_key(name: &str) -> Option<(String, i64)> {
    let (key, number) = name.rsplit_once('-')?;
    let digits = !number.is_empty() && number.len() <= 12 && number.bytes().all(|byte| byte.is_ascii_digit());
    if key.is_empty() || !digits {
        return None;
    }
    Some((key.to_ascii_uppercase(), number.parse().ok()?))
}

async fn issue_named<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    name: &str,
) -> Result<Fact<IssueFacts>, StoreError> {
    if !name.is_empty() && name.len() <= 18 && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return match name.parse() {
            Ok(id) => issue_by_id(tx, directory.names_fields, id).await,
            Err(_) => Ok(Fact::Missing),
        };
    }
    let Some((key, number)) = parse_issue_key(name) else { return Ok(Fact::Missing) };
    if let Some(project) = (directory.project)(&key) {
        let sql = "SELECT id, project_id, security_level_id, reporter_id, assignee_id
                     FROM jira_issue WHERE project_id = $1 AND number = $2";
        if let Some(row) = tx.query_opt(sql, &[project.0.into(), number.into()]).await? {
            return issue_of_row(tx, directory.names_fields, &row).await;
        }
    }
    let sql = "SELECT issue_id FROM jira_issue_former_key WHERE project_key = $1 AND number = $2";
    match tx.query_opt(sql, &[key.into(), number.into()]).await? {
        Some(row) => issue_by_id(tx, directory.names_fields, row.get("issue_id")?).await,
        None => Ok(Fact::Missing),
    }
}

pub(crate) async fn issue_by_id<M: Mode>(
    tx: &mut Tx<M>,
    names_fields: bool,
    id: i64,
) -> Result<Fact<IssueFacts>, StoreError> {
    let sql = "SELECT id, project_id, security_level_id, reporter_id, assignee_id FROM jira_issue WHERE id = $1";
    match tx.query_opt(sql, &[id.into()]).await? {
        Some(row) => issue_of_row(tx, names_fields, &row).await,
        None => Ok(Fact::Missing),
    }
}

async fn issue_of_row<M: Mode>(
    tx: &mut Tx<M>,
    names_fields: bool,
    row: &portcullis_store::Row,
) -> Result<Fact<IssueFacts>, StoreError> {
    let id: i64 = row.get("id")?;
    let mut facts = IssueFacts {
        id: IssueId(id),
        project: ProjectId(row.get("project_id")?),
        level: row.get::<Option<i64>>("security_level_id")?.map(LevelId),
        reporter: row.get::<Option<i64>>("reporter_id")?.map(UserId),
        assignee: row.get::<Option<i64>>("assignee_id")?.map(UserId),
        user_fields: Vec::new(),
        group_fields: Vec::new(),
    };
    if names_fields {
        let sql = "SELECT field_id, user_id, group_id FROM jira_issue_value
                    WHERE issue_id = $1 AND (user_id IS NOT NULL OR group_id IS NOT NULL)";
        for value in tx.query(sql, &[id.into()]).await? {
            let field = FieldId(value.get("field_id")?);
            if let Some(user) = value.get::<Option<i64>>("user_id")? {
                facts.user_fields.push((field, UserId(user)));
            }
            if let Some(group) = value.get::<Option<i64>>("group_id")? {
                facts.group_fields.push((field, GroupId(group)));
            }
        }
    }
    Ok(Fact::Known(facts))
}

/// Reads a row's restriction; a type whose group or role is gone admits nobody.
fn restriction(row: &portcullis_store::Row) -> Result<Restriction, StoreError> {
    Ok(match row.get::<Option<String>>("restriction_type")?.as_deref() {
        None => Restriction::None,
        Some("group") => {
            row.get::<Option<i64>>("group_id")?.map_or(Restriction::Nobody, |id| Restriction::Group(GroupId(id)))
        }
        Some("role") => {
            row.get::<Option<i64>>("role_id")?.map_or(Restriction::Nobody, |id| Restriction::Role(RoleId(id)))
        }
        Some(_) => Restriction::Nobody,
    })
}

async fn on_issue<M: Mode>(tx: &mut Tx<M>, out: &mut Located, thing: Thing, name: &str) -> Result<(), StoreError> {
    let sql = match thing {
        Thing::Comment => {
            "SELECT id, issue_id, author_id, restriction_type, group_id, role_id FROM jira_comment WHERE id = $1"
        }
        Thing::Worklog => {
            "SELECT id, issue_id, author_id, restriction_type, group_id, role_id FROM jira_worklog WHERE id = $1"
        }
        Thing::Attachment
        | Thing::AttachmentComment
        | Thing::Filter
        | Thing::Dashboard
        | Thing::Task
        | Thing::AppOwned(_) => return Ok(()),
    };
    let row = match name.parse::<i64>() {
        Ok(id) => tx.query_opt(sql, &[id.into()]).await?,
        Err(_) => None,
    };
    let on_this_issue = match (&row, &out.issue) {
        (Some(row), Fact::Known(issue)) => row.get::<i64>("issue_id")? == issue.id.0,
        _ => false,
    };
    match row.filter(|_| on_this_issue) {
        Some(row) => {
            out.thing = Some(row.get("id")?);
            out.owner = Fact::Known(row.get::<Option<i64>>("author_id")?.map(UserId));
            out.restriction = Fact::Known(restriction(&row)?);
        }
        None => {
            out.owner = Fact::Missing;
            out.restriction = Fact::Missing;
        }
    }
    Ok(())
}

async fn attachment<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    out: &mut Located,
    name: &str,
) -> Result<(), StoreError> {
    out.name = name.to_owned();
    let sql = "SELECT a.id, a.issue_id, a.author_id, a.comment_id, c.restriction_type, c.group_id, c.role_id
                 FROM jira_attachment a LEFT JOIN jira_comment c ON c.id = a.comment_id WHERE a.id = $1";
    let row = match name.parse::<i64>() {
        Ok(id) => tx.query_opt(sql, &[id.into()]).await?,
        Err(_) => None,
    };
    match row {
        Some(row) => {
            out.thing = Some(row.get("id")?);
            out.owner = Fact::Known(row.get::<Option<i64>>("author_id")?.map(UserId));
            out.restriction = Fact::Known(restriction(&row)?);
            out.issue = issue_by_id(tx, directory.names_fields, row.get("issue_id")?).await?;
        }
        None => {
            out.issue = Fact::Missing;
            out.owner = Fact::Missing;
            out.restriction = Fact::Missing;
        }
    }
    out.project = project_of(&out.issue);
    Ok(())
}

async fn owned_by_project<M: Mode>(
    tx: &mut Tx<M>,
    out: &mut Located,
    sql: &'static str,
    name: &str,
) -> Result<(), StoreError> {
    out.name = name.to_owned();
    let row = match name.parse::<i64>() {
        Ok(id) => tx.query_opt(sql, &[id.into()]).await?,
        Err(_) => None,
    };
    match row {
        Some(row) => {
            out.thing = Some(row.get("id")?);
            out.project = Fact::Known(ProjectId(row.get("project_id")?));
        }
        None => out.project = Fact::Missing,
    }
    Ok(())
}

async fn filter<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    out: &mut Located,
    name: &str,
) -> Result<(), StoreError> {
    out.name = name.to_owned();
    let sql = "SELECT id, owner_id FROM jira_filter WHERE id = $1";
    let row = match name.parse::<i64>() {
        Ok(id) => tx.query_opt(sql, &[id.into()]).await?,
        Err(_) => None,
    };
    match row {
        Some(row) => {
            out.thing = Some(row.get("id")?);
            out.owner = Fact::Known(Some(UserId(row.get("owner_id")?)));
            let sql = "SELECT share_type, rights, user_id, group_id, project_id, role_id
                         FROM jira_filter_share WHERE filter_id = $1";
            let (mut shared, mut editable) = (false, false);
            for share in tx.query(sql, &[row.get::<i64>("id")?.into()]).await? {
                if (directory.share_matches)(&Share::of(&share)?) {
                    shared = true;
                    editable |= share.get::<String>("rights")? == "edit";
                }
            }
            out.shared = Fact::Known(shared);
            out.editable = Fact::Known(editable);
        }
        None => {
            out.owner = Fact::Missing;
            out.shared = Fact::Missing;
            out.editable = Fact::Missing;
        }
    }
    Ok(())
}

fn target_user(directory: &Directory<'_>, out: &mut Located, named: Option<&str>, caller: Option<UserId>) {
    out.user = match named {
        Some(account_id) => (directory.user)(account_id),
        None => caller,
    };
    if out.user.is_some() && out.user == caller {
        out.holding = out.holding.with(When::TargetUserIsCaller).with(When::AccountIsCaller);
    }
}

async fn query_project<M: Mode>(
    tx: &mut Tx<M>,
    directory: &Directory<'_>,
    out: &mut Located,
    input: &Input,
    caller: Option<UserId>,
) -> Result<(), StoreError> {
    let named = |names: &[&str]| {
        names.iter().find_map(|name| input.query(name).filter(|value| !value.is_empty())).map(str::to_owned)
    };
    if let Some(name) = named(&["issueKey", "issueId"]) {
        out.holding = out.holding.with(When::ProjectOrIssueGiven);
        return issue(tx, directory, out, &name).await;
    }
    if let Some(name) = named(&["project", "projectKey", "projectId", "projectIdOrKey", "projectKeyOrId"]) {
        out.holding = out.holding.with(When::ProjectOrIssueGiven);
        return project(tx, directory, out, &name, caller).await;
    }
    Ok(())
}

/// Whether `PUT project` asks for more than Administer Projects gives: another key, or another scheme of any kind.
fn changes_key_or_scheme(directory: &Directory<'_>, out: &Located, input: &Input) -> bool {
    const SCHEMES: [&str; 6] = [
        "notificationScheme",
        "issueSecurityScheme",
        "workflowScheme",
        "issueTypeScheme",
        "issueTypeScreenScheme",
        "fieldConfigurationScheme",
    ];
    let body = input.json();
    let project = out.project.known().copied();
    let key_changes = body.get("key").is_some_and(|key| {
        let same = key.as_str().is_some_and(|key| project.is_some_and(|id| (directory.has_key)(id, key)));
        !same && !key.is_null()
    });
    let scheme_changes = body.get("permissionScheme").is_some_and(|scheme| {
        let same = project.is_some_and(|id| (directory.scheme)(id) == text_of(Some(scheme)).parse().ok());
        !same && !scheme.is_null()
    });
    key_changes || scheme_changes || SCHEMES.iter().any(|name| body.get(name).is_some_and(|value| !value.is_null()))
}
