//! What an explanation reads of the site besides the snapshot: grants with their names, and which groups give what.

use std::collections::HashMap;

use portcullis_authz::policy::IssueFacts;
use portcullis_authz::{Conditions, When};
use portcullis_guard::{AnyMode, Row, Snapshot, SqlBuilder, StoreError, Tx};
use portcullis_model::{FieldId, GroupId, IssueId, LevelId, ProjectId, RoleId, UserId};

/// Rows read of a table that administrators fill.
const ROWS_MAX: i64 = 2_000;

/// Who holds a grant or belongs to a security level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    /// Users of an application, or of any.
    Application(Option<String>),
    User(UserId),
    Group(GroupId),
    Role(RoleId),
    Lead,
    Reporter,
    Assignee,
    UserField(FieldId),
    GroupField(FieldId),
    /// Nobody through this API.
    Other,
}

impl Who {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let user = row.get::<Option<i64>>("user_id")?.map(UserId);
        let group = row.get::<Option<i64>>("group_id")?.map(GroupId);
        let role = row.get::<Option<i64>>("role_id")?.map(RoleId);
        let field = row.get::<Option<i64>>("field_id")?.map(FieldId);
        Ok(match (row.get::<String>("holder_type")?.as_str(), user, group, role, field) {
            ("anyone", ..) => Who::Anyone,
            ("applicationRole", ..) => Who::Application(row.get("application_key")?),
            ("user", Some(user), ..) => Who::User(user),
            ("group", _, Some(group), ..) => Who::Group(group),
            ("projectRole", _, _, Some(role), _) => Who::Role(role),
            ("projectLead", ..) => Who::Lead,
            ("reporter", ..) => Who::Reporter,
            ("assignee", ..) => Who::Assignee,
            ("userCustomField", _, _, _, Some(field)) => Who::UserField(field),
            ("groupCustomField", _, _, _, Some(field)) => Who::GroupField(field),
            _ => Who::Other,
        })
    }
}

/// A grant of a permission scheme.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub id: i64,
    pub scheme: i64,
    pub permission: String,
    pub who: Who,
}

/// The rows.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub grants: Vec<Grant>,
    pub schemes: HashMap<i64, String>,
    pub roles: HashMap<RoleId, String>,
    pub fields: HashMap<FieldId, String>,
    pub level: Option<(LevelId, String)>,
    pub level_members: Vec<Who>,
    /// Global permissions by group.
    pub global: Vec<(String, GroupId)>,
    /// Groups that give access to an application: key, group, whether new people are put there.
    pub application_groups: Vec<(String, GroupId, bool)>,
    pub applications: HashMap<String, String>,
    pub site_admin_groups: Vec<GroupId>,
    pub issue: Option<IssueFacts>,
    pub issue_key: Option<String>,
}

impl Site {
    /// Reads what explains decisions on these projects and on this issue.
    pub(super) async fn read<M: AnyMode>(
        tx: &mut Tx<M>,
        projects: &[(ProjectId, i64)],
        issue: Option<(IssueFacts, String)>,
    ) -> Result<Self, StoreError> {
        let mut out = Site::default();
        let schemes: Vec<i64> = projects.iter().map(|(_, scheme)| *scheme).collect();
        let mut sql = SqlBuilder::new("SELECT id, name FROM jira_permission_scheme WHERE id IN ");
        sql.ids(&schemes);
        for row in tx.query(sql, &[]).await? {
            out.schemes.insert(row.get("id")?, row.get("name")?);
        }
        let mut sql = SqlBuilder::new(
            "SELECT id, scheme_id, permission, holder_type, user_id, group_id, role_id, field_id, application_key
               FROM jira_permission_grant WHERE scheme_id IN ",
        );
        sql.ids(&schemes).push(" ORDER BY id LIMIT ").bind(ROWS_MAX);
        for row in tx.query(sql, &[]).await? {
            let (id, scheme) = (row.get("id")?, row.get("scheme_id")?);
            out.grants.push(Grant { id, scheme, permission: row.get("permission")?, who: Who::of(&row)? });
        }
        for row in tx.query("SELECT id, name FROM jira_role ORDER BY id LIMIT $1", &[ROWS_MAX.into()]).await? {
            out.roles.insert(RoleId(row.get("id")?), row.get("name")?);
        }
        for row in tx.query("SELECT id, name FROM jira_field ORDER BY id LIMIT $1", &[ROWS_MAX.into()]).await? {
            out.fields.insert(FieldId(row.get("id")?), row.get("name")?);
        }
        out.read_groups(tx).await?;
        if let Some((issue, key)) = issue {
            if let Some(level) = issue.level {
                out.read_level(tx, level).await?;
            }
            out.issue = Some(issue);
            out.issue_key = Some(key);
        }
        Ok(out)
    }

    async fn read_groups<M: AnyMode>(&mut self, tx: &mut Tx<M>) -> Result<(), StoreError> {
        let sql =
            "SELECT permission, group_id FROM account_global_grant WHERE group_id IS NOT NULL ORDER BY id LIMIT $1";
        for row in tx.query(sql, &[ROWS_MAX.into()]).await? {
            self.global.push((row.get("permission")?, GroupId(row.get("group_id")?)));
        }
        let sql = "SELECT application_key, group_id, is_default FROM account_application_group
                    ORDER BY is_default DESC, group_id LIMIT $1";
        for row in tx.query(sql, &[ROWS_MAX.into()]).await? {
            let group = GroupId(row.get("group_id")?);
            self.application_groups.push((row.get("application_key")?, group, row.get("is_default")?));
        }
        for row in tx.query("SELECT key, name FROM account_application", &[]).await? {
            self.applications.insert(row.get("key")?, row.get("name")?);
        }
        let sql = "SELECT id FROM account_group WHERE site_admin = 1 ORDER BY id LIMIT $1";
        for row in tx.query(sql, &[ROWS_MAX.into()]).await? {
            self.site_admin_groups.push(GroupId(row.get("id")?));
        }
        Ok(())
    }

    async fn read_level<M: AnyMode>(&mut self, tx: &mut Tx<M>, level: LevelId) -> Result<(), StoreError> {
        let row = tx.query_opt("SELECT name FROM jira_security_level WHERE id = $1", &[level.0.into()]).await?;
        if let Some(row) = row {
            self.level = Some((level, row.get("name")?));
        }
        let sql = "SELECT holder_type, user_id, group_id, role_id, field_id, application_key
                     FROM jira_security_member WHERE level_id = $1 ORDER BY id LIMIT $2";
        for row in tx.query(sql, &[level.0.into(), ROWS_MAX.into()]).await? {
            self.level_members.push(Who::of(&row)?);
        }
        Ok(())
    }

    pub(super) fn role(&self, id: RoleId) -> String {
        self.roles.get(&id).cloned().unwrap_or_else(|| format!("with id {id}"))
    }

    pub(super) fn field(&self, id: FieldId) -> String {
        self.fields.get(&id).cloned().unwrap_or_else(|| format!("customfield_{id}"))
    }

    pub(super) fn application(&self, key: &str) -> String {
        self.applications.get(key).cloned().unwrap_or_else(|| key.to_owned())
    }

    pub(super) fn scheme(&self, id: i64) -> String {
        self.schemes.get(&id).cloned().unwrap_or_else(|| format!("with id {id}"))
    }
}

/// The name of a group, for a sentence.
pub(super) fn group_name(snapshot: &Snapshot, id: GroupId) -> String {
    snapshot.group(id).map_or_else(|| format!("with id {id}"), |(name, _)| name.clone())
}

/// The key of a project, for a sentence.
pub(super) fn project_key(snapshot: &Snapshot, id: ProjectId) -> String {
    snapshot.policy.project(id).map_or_else(|| format!("the project with id {id}"), |facts| facts.key.clone())
}

/// The conditions that a project alone decides.
pub(super) fn conditions(snapshot: &Snapshot, project: Option<ProjectId>) -> Conditions {
    match project.and_then(|id| snapshot.policy.project(id)) {
        Some(project) => {
            let kind = if project.team_managed { When::TeamManaged } else { When::CompanyManaged };
            Conditions::NONE.with(kind).with(When::ProjectOrIssueGiven)
        }
        None => Conditions::NONE,
    }
}

/// An issue as the engine sees it, and its key.
pub(super) async fn issue<M: AnyMode>(tx: &mut Tx<M>, id: IssueId) -> Result<Option<(IssueFacts, String)>, StoreError> {
    let sql = "SELECT i.id, i.project_id, i.number, i.security_level_id, i.reporter_id, i.assignee_id, p.key
                 FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.id = $1";
    let Some(row) = tx.query_opt(sql, &[id.0.into()]).await? else { return Ok(None) };
    let mut facts = IssueFacts {
        id,
        project: ProjectId(row.get("project_id")?),
        level: row.get::<Option<i64>>("security_level_id")?.map(LevelId),
        reporter: row.get::<Option<i64>>("reporter_id")?.map(UserId),
        assignee: row.get::<Option<i64>>("assignee_id")?.map(UserId),
        user_fields: Vec::new(),
        group_fields: Vec::new(),
    };
    let key = format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?);
    let sql = "SELECT field_id, user_id, group_id FROM jira_issue_value
                WHERE issue_id = $1 AND (user_id IS NOT NULL OR group_id IS NOT NULL)
                ORDER BY field_id, position LIMIT $2";
    for value in tx.query(sql, &[id.0.into(), ROWS_MAX.into()]).await? {
        let field = FieldId(value.get("field_id")?);
        if let Some(user) = value.get::<Option<i64>>("user_id")? {
            facts.user_fields.push((field, UserId(user)));
        }
        if let Some(group) = value.get::<Option<i64>>("group_id")? {
            facts.group_fields.push((field, GroupId(group)));
        }
    }
    Ok(Some((facts, key)))
}

/// The issue that a text names by id, key or former key.
pub(super) async fn issue_named<M: AnyMode>(
    tx: &mut Tx<M>,
    project_by_key: impl Fn(&str) -> Option<ProjectId>,
    name: &str,
) -> Result<Option<(IssueFacts, String)>, StoreError> {
    if let Ok(id) = name.parse::<i64>() {
        return issue(tx, IssueId(id)).await;
    }
    let Some((key, number)) = name.rsplit_once('-') else { return Ok(None) };
    let (key, Ok(number)) = (crate::wire::comparable(key).to_ascii_uppercase(), number.parse::<i64>()) else {
        return Ok(None);
    };
    let mut found = None;
    if let Some(project) = project_by_key(&key) {
        let sql = "SELECT id FROM jira_issue WHERE project_id = $1 AND number = $2";
        found = tx.query_opt(sql, &[project.0.into(), number.into()]).await?;
    }
    if found.is_none() {
        let sql = "SELECT issue_id AS id FROM jira_issue_former_key WHERE project_key = $1 AND number = $2";
        found = tx.query_opt(sql, &[key.into(), number.into()]).await?;
    }
    match found {
        Some(row) => issue(tx, IssueId(row.get("id")?)).await,
        None => Ok(None),
    }
}
