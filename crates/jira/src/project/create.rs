//! Making a project: `POST /project`, and the function that the demo uses too.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, OpMode, Outcome, Reply, Tx, Writes};
use portcullis_model::{Problem, ProjectId, SchemeId, SecuritySchemeId, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::bootstrap::{ADMINISTRATORS, DEFAULT_SCHEME};
use crate::event;
use crate::text::{bounded, fold, int_of};

const KEY_CHARS_MAX: usize = 10;
const NAME_CHARS_MAX: usize = 80;

/// Who gets issues that name no assignee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssigneeType {
    /// The lead.
    ProjectLead,
    /// Nobody.
    Unassigned,
}

impl AssigneeType {
    /// The word on the wire and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            AssigneeType::ProjectLead => "PROJECT_LEAD",
            AssigneeType::Unassigned => "UNASSIGNED",
        }
    }

    pub(crate) fn of(word: &str) -> Result<Self, Problem> {
        match word {
            "PROJECT_LEAD" => Ok(AssigneeType::ProjectLead),
            "UNASSIGNED" => Ok(AssigneeType::Unassigned),
            _ => Err(Problem::field("assigneeType", "The default assignee type is invalid.")),
        }
    }
}

/// A company-managed project to be made.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// Its UUID, from [`uuid`].
    pub uuid: String,
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// A link for its page; may be empty.
    pub url: String,
    /// Its lead.
    pub lead: Option<UserId>,
    /// `software`, `business` or `service_desk`.
    pub type_key: String,
    /// Who gets issues that name no assignee.
    pub assignee_type: AssigneeType,
    /// Its permission scheme; `None`: the default one.
    pub permission_scheme: Option<SchemeId>,
    /// Its issue security scheme.
    pub security_scheme: Option<SecuritySchemeId>,
    /// Its category.
    pub category: Option<i64>,
}

/// Makes a project with the default actors of every role, and its lead among the administrators. The caller's operation names
/// [`Entity::Project`].
///
/// # Errors
/// 400 per field, in Jira's words; the database's.
pub async fn insert<M: Writes>(tx: &mut Tx<M>, new: NewProject, now: Timestamp) -> Result<ProjectId, Problem> {
    check_key_and_name(tx, &new.key, &new.name, None).await?;
    let scheme = new.permission_scheme.unwrap_or(DEFAULT_SCHEME);
    check_references(tx, Some(scheme), new.security_scheme, new.category).await?;
    let sql = "
        INSERT INTO jira_project (uuid, key, name, name_folded, description, url, lead_id, type_key, team_managed, assignee_type,
                                  permission_scheme_id, security_scheme_id, category_id, next_issue_number, created_at_ms)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, 1, $13) RETURNING id";
    let params = [
        new.uuid.into(),
        new.key.into(),
        new.name.as_str().into(),
        fold(&new.name).into(),
        new.description.into(),
        new.url.into(),
        new.lead.map(|lead| lead.0).into(),
        new.type_key.into(),
        new.assignee_type.word().into(),
        scheme.0.into(),
        new.security_scheme.map(|scheme| scheme.0).into(),
        new.category.into(),
        now.0.into(),
    ];
    let project = ProjectId(tx.query_one(sql, &params).await?.get("id")?);
    let sql = "
        INSERT INTO jira_role_actor (project_id, role_id, user_id, group_id)
        SELECT CAST($1 AS BIGINT), a.role_id, a.user_id, a.group_id
          FROM jira_role_default_actor a JOIN jira_role r ON r.id = a.role_id WHERE r.project_id IS NULL ORDER BY a.id";
    tx.execute(sql, &[project.0.into()]).await?;
    if let Some(lead) = new.lead {
        // An administrator may have removed the role: then the lead gets none.
        let sql = "
            INSERT INTO jira_role_actor (project_id, role_id, user_id)
            SELECT CAST($1 AS BIGINT), id, CAST($3 AS BIGINT) FROM jira_role WHERE id = $2 ON CONFLICT DO NOTHING";
        tx.execute(sql, &[project.0.into(), ADMINISTRATORS.0.into(), lead.0.into()]).await?;
    }
    Ok(project)
}

/// Whether key and name are well-formed and free, `except` for the project that has them now. Projects in the trash keep theirs.
pub(crate) async fn check_key_and_name<M: AnyMode>(
    tx: &mut Tx<M>,
    key: &str,
    name: &str,
    except: Option<ProjectId>,
) -> Result<(), Problem> {
    let mut problems = Vec::new();
    if let Some(problem) = name_problem(tx, name, except).await? {
        problems.push(("projectName".to_owned(), problem));
    }
    if let Some(problem) = key_problem(tx, key, except).await? {
        problems.push(("projectKey".to_owned(), problem));
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::fields(problems)) }
}

async fn name_problem<M: AnyMode>(
    tx: &mut Tx<M>,
    name: &str,
    except: Option<ProjectId>,
) -> Result<Option<String>, Problem> {
    if name.trim().chars().count() < 2 {
        return Ok(Some("You must specify a valid project name.".to_owned()));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Ok(Some(format!("The project name must not exceed {NAME_CHARS_MAX} characters in length.")));
    }
    let sql = "SELECT id FROM jira_project WHERE name_folded = $1";
    let taken = tx.query_opt(sql, &[fold(name).into()]).await?.map(|row| row.get::<i64>("id")).transpose()?;
    let taken = taken.is_some_and(|id| Some(ProjectId(id)) != except);
    Ok(taken.then(|| "A project with that name already exists.".to_owned()))
}

pub(crate) async fn key_problem<M: AnyMode>(
    tx: &mut Tx<M>,
    key: &str,
    except: Option<ProjectId>,
) -> Result<Option<String>, Problem> {
    if let Some(problem) = key_form_problem(key) {
        return Ok(Some(problem));
    }
    let sql = "SELECT p.id, p.name FROM jira_project p
                WHERE p.key = $1 OR EXISTS (SELECT 1 FROM jira_project_former_key f WHERE f.project_id = p.id AND f.key = $1)";
    let taken = tx.query_opt(sql, &[key.into()]).await?;
    let Some(row) = taken else { return Ok(None) };
    if Some(ProjectId(row.get("id")?)) == except {
        return Ok(None);
    }
    Ok(Some(format!("Project '{}' uses this project key.", row.get::<String>("name")?)))
}

/// What is wrong with the spelling of a key.
pub(crate) fn key_form_problem(key: &str) -> Option<String> {
    if key.is_empty() {
        return Some("You must specify a valid project key.".to_owned());
    }
    if key.len() > KEY_CHARS_MAX {
        return Some(format!("The project key must not exceed {KEY_CHARS_MAX} characters in length."));
    }
    let well_formed = key.len() >= 2
        && key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    (!well_formed).then(|| {
        "Project keys must start with an uppercase letter, followed by one or more uppercase alphanumeric characters."
            .to_owned()
    })
}

/// Whether the schemes and the category that a body names exist.
pub(crate) async fn check_references<M: AnyMode>(
    tx: &mut Tx<M>,
    scheme: Option<SchemeId>,
    security_scheme: Option<SecuritySchemeId>,
    category: Option<i64>,
) -> Result<(), Problem> {
    if let Some(scheme) = scheme {
        // A scheme of a team-managed project serves that project alone.
        let sql = "SELECT id FROM jira_permission_scheme WHERE id = $1 AND project_id IS NULL";
        if tx.query_opt(sql, &[scheme.0.into()]).await?.is_none() {
            return Err(Problem::field(
                "permissionScheme",
                format!("Permission scheme with ID {scheme} does not exist."),
            ));
        }
    }
    if let Some(scheme) = security_scheme {
        let sql = "SELECT id FROM jira_security_scheme WHERE id = $1";
        if tx.query_opt(sql, &[scheme.0.into()]).await?.is_none() {
            let message = format!("Issue security scheme with ID {scheme} does not exist.");
            return Err(Problem::field("issueSecurityScheme", message));
        }
    }
    if let Some(category) = category {
        let sql = "SELECT id FROM jira_project_category WHERE id = $1";
        if tx.query_opt(sql, &[category.into()]).await?.is_none() {
            return Err(Problem::field("categoryId", format!("Project category with ID {category} does not exist.")));
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    key: Option<String>,
    name: Option<String>,
    description: Option<String>,
    url: Option<String>,
    lead_account_id: Option<String>,
    assignee_type: Option<String>,
    project_type_key: Option<String>,
    project_template_key: Option<String>,
    permission_scheme: Option<Json>,
    issue_security_scheme: Option<Json>,
    category_id: Option<Json>,
}

/// `POST /project`.
async fn create(mut cx: Ctx<op::CreateProject>, input: Input) -> Outcome<op::CreateProject> {
    let body: Body = input.parse()?;
    let key = body.key.unwrap_or_default();
    let name = body.name.unwrap_or_default();
    check_key_and_name(cx.tx(), &key, &name, None).await?;
    let lead = match &body.lead_account_id {
        Some(account_id) => Some(lead(&cx, account_id)?),
        None => return Err(Problem::field("projectLead", "You must specify a valid project lead.")),
    };
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 32_767)?;
    let url = body.url.unwrap_or_default();
    check_url(&url)?;
    let new = NewProject {
        uuid: cx.entropy().uuid(),
        key: key.clone(),
        name,
        description,
        url,
        lead,
        type_key: type_key(body.project_type_key.as_deref(), body.project_template_key.as_deref())?.to_owned(),
        assignee_type: AssigneeType::of(body.assignee_type.as_deref().unwrap_or("UNASSIGNED"))?,
        permission_scheme: reference("permissionScheme", body.permission_scheme.as_ref())?.map(SchemeId),
        security_scheme: reference("issueSecurityScheme", body.issue_security_scheme.as_ref())?.map(SecuritySchemeId),
        category: reference("categoryId", body.category_id.as_ref())?,
    };
    let now = cx.now();
    let project = insert(cx.tx(), new, now).await?;
    let after = super::read::audit_json(cx.tx(), project).await?;
    event::about_project(&mut cx, "project_created", project, None).await?;
    cx.audit(format!("project:{project}"), None, Some(after));
    cx.changed(Entity::Project(project));
    let link = input.api_url(&format!("/project/{project}"));
    cx.done(Reply::created(json!({"self": link, "id": project.0, "key": key})))
}

/// The account that a body names as lead.
pub(crate) fn lead<O: portcullis_authz::Operation>(cx: &Ctx<O>, account_id: &str) -> Result<UserId, Problem>
where
    O::Mode: OpMode,
{
    let found = cx.view().with(|snapshot| {
        let user = snapshot.user_by_account_id(account_id)?;
        snapshot.policy.user(user).filter(|facts| facts.active).map(|facts| facts.id)
    });
    found.ok_or_else(|| Problem::field("projectLead", "You must specify a valid project lead."))
}

/// A link that may stand on a project's page.
pub(crate) fn check_url(url: &str) -> Result<(), Problem> {
    bounded("url", url, 255)?;
    if url.is_empty() || url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    Err(Problem::field("projectUrl", "The URL specified is not valid - it must start with http://"))
}

/// An id that clients send as a number or as text; absent and `null` mean none.
pub(crate) fn reference(field: &str, value: Option<&Json>) -> Result<Option<i64>, Problem> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(value) => match int_of(value) {
            Some(id) => Ok(Some(id)),
            None => Err(Problem::field(field, format!("The {field} must be a number."))),
        },
    }
}

fn type_key(named: Option<&str>, template: Option<&str>) -> Result<&'static str, Problem> {
    let by_template = template.map(|template| {
        if template.starts_with("com.atlassian.jira-core-project-templates:") {
            "business"
        } else if template.starts_with("com.atlassian.servicedesk:") {
            "service_desk"
        } else {
            "software"
        }
    });
    match named {
        None => Ok(by_template.unwrap_or("software")),
        Some("software") => Ok("software"),
        Some("business") => Ok("business"),
        Some("service_desk") => Ok("service_desk"),
        Some(_) => Err(Problem::field("projectTypeKey", "The project type is not installed.")),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(create);
}

#[cfg(test)]
mod tests {
    use super::key_form_problem;

    #[test]
    fn keys_are_upper_case_and_begin_with_a_letter() {
        for good in ["AB", "A1", "ACME_2", "ABCDEFGHIJ"] {
            assert_eq!(key_form_problem(good), None, "{good}");
        }
        for bad in ["", "A", "ab", "1A", "A-B", "ÄÖ", "ABCDEFGHIJK"] {
            assert!(key_form_problem(bad).is_some(), "{bad}");
        }
    }
}
