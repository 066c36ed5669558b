//! The restriction of a comment or worklog to a group or to a project role; `visibility` on the wire.
//!
//! Who writes a restriction must be inside it. A group or role that the writer is not in and one that does not exist get the same
//! answer, so that asking tells nothing about groups.

use std::collections::HashMap;

use portcullis_authz::Visibility;
use portcullis_authz::decide::Restriction;
use portcullis_guard::{AnyMode, Row, SqlBuilder, StoreError, Tx, Value, View};
use portcullis_model::{GroupId, Problem, ProjectId, RoleId};
use serde_json::{Value as Json, json};

use crate::visible::readers;

/// What a body says about `visibility`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// Nothing: a new item is for everyone, an old one stays as it is.
    Unsaid,
    /// `null`: for everyone who sees the issue.
    Everyone,
    /// A group.
    Group(Named),
    /// A project role.
    Role(Named),
}

/// How a group or role is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// By `identifier`: a group's id; a role's id or name.
    Identifier(String),
    /// By `value`: the name.
    Name(String),
}

impl Named {
    fn text(&self) -> &str {
        match self {
            Named::Identifier(text) | Named::Name(text) => text,
        }
    }
}

impl Asked {
    /// Reads the member `visibility` of a comment or worklog body.
    ///
    /// # Errors
    /// 400 for anything but `null` and `{type, value?, identifier?}`. A restriction that names nobody is refused rather than
    /// read as "everyone".
    pub(crate) fn parse(body: &Json) -> Result<Self, Problem> {
        let Some(said) = body.get("visibility") else { return Ok(Asked::Unsaid) };
        if said.is_null() {
            return Ok(Asked::Everyone);
        }
        let text = |member: &str| match said.get(member) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(Json::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(invalid()),
        };
        let kind = text("type")?;
        let named = match (text("identifier")?, text("value")?) {
            (Some(identifier), _) => Named::Identifier(identifier),
            (None, Some(name)) => Named::Name(name),
            (None, None) => return Err(invalid()),
        };
        match kind.as_deref() {
            Some("group") => Ok(Asked::Group(named)),
            Some("role") => Ok(Asked::Role(named)),
            _ => Err(invalid()),
        }
    }

    /// The restriction that the caller may set on something in `project`; `before` is the one it has.
    ///
    /// # Errors
    /// 400 in Jira's words when the caller is not inside it.
    pub(crate) async fn admit<M: AnyMode>(
        self,
        tx: &mut Tx<M>,
        view: &View,
        project: ProjectId,
        before: Restriction,
    ) -> Result<Restriction, Problem> {
        match self {
            Asked::Unsaid => Ok(before),
            Asked::Everyone => Ok(Restriction::None),
            Asked::Group(named) => own_group(view, &named).map(Restriction::Group).ok_or_else(|| {
                let text = named.text();
                Problem::field("commentLevel", format!("You are currently not a member of the group: {text}."))
            }),
            Asked::Role(named) => {
                let found = own_role(tx, view, project, &named).await?;
                found.map(Restriction::Role).ok_or_else(|| {
                    let text = named.text();
                    Problem::field(
                        "commentLevel",
                        format!("You are currently not a member of the project role: {text}."),
                    )
                })
            }
        }
    }
}

fn invalid() -> Problem {
    Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again.")
}

/// The group of that name or id among the caller's own.
fn own_group(view: &View, named: &Named) -> Option<GroupId> {
    let user = view.caller().user()?;
    view.with(|snapshot| {
        snapshot.policy.groups_of(user).iter().copied().find(|group| {
            snapshot.group(*group).is_some_and(|(name, uuid)| match named {
                Named::Identifier(text) => text == uuid,
                Named::Name(text) => text.to_lowercase() == name.to_lowercase(),
            })
        })
    })
}

/// The role of that name or id among those the caller has in the project.
async fn own_role<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    project: ProjectId,
    named: &Named,
) -> Result<Option<RoleId>, StoreError> {
    let (_, roles) = readers(view, project);
    let names = role_names(tx, &roles).await?;
    let by_name = |text: &str| {
        let wanted = text.to_lowercase();
        roles.iter().copied().find(|role| names.get(role).is_some_and(|name| name.to_lowercase() == wanted))
    };
    let found = match named {
        Named::Identifier(text) => {
            let by_id = text.parse::<i64>().ok().filter(|id| roles.contains(id));
            by_id.or_else(|| by_name(text))
        }
        Named::Name(text) => by_name(text),
    };
    Ok(found.map(RoleId))
}

async fn role_names<M: AnyMode>(tx: &mut Tx<M>, roles: &[i64]) -> Result<HashMap<i64, String>, StoreError> {
    if roles.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new("SELECT id, name FROM jira_role WHERE id IN ");
    sql.ids(roles);
    tx.query(sql, &[]).await?.iter().map(|row| Ok((row.get("id")?, row.get("name")?))).collect()
}

/// Reads the columns `restriction_type`, `group_id`, `role_id`. A type whose group or role is gone admits nobody.
pub(crate) fn of_row(row: &Row) -> Result<Restriction, StoreError> {
    let kind = row.get::<Option<String>>("restriction_type")?;
    let group = row.get::<Option<i64>>("group_id")?;
    let role = row.get::<Option<i64>>("role_id")?;
    Ok(match (kind.as_deref(), group, role) {
        (None, _, _) => Restriction::None,
        (Some("group"), Some(id), _) => Restriction::Group(GroupId(id)),
        (Some("role"), _, Some(id)) => Restriction::Role(RoleId(id)),
        (Some(_), _, _) => Restriction::Nobody,
    })
}

/// The values of the columns `restriction_type`, `group_id`, `role_id`.
pub(crate) fn columns(restriction: Restriction) -> [Value; 3] {
    match restriction {
        Restriction::None => [Value::Null, Value::Null, Value::Null],
        Restriction::Group(id) => ["group".into(), id.0.into(), Value::Null],
        Restriction::Role(id) => ["role".into(), Value::Null, id.0.into()],
        // Which of the two it was is of no use any more.
        Restriction::Nobody => ["group".into(), Value::Null, Value::Null],
    }
}

/// The names that showing some restrictions takes.
#[derive(Debug, Default)]
pub(crate) struct Names {
    roles: HashMap<i64, String>,
}

impl Names {
    /// Looks them up, all in one query.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn of<M: AnyMode>(
        tx: &mut Tx<M>,
        restrictions: impl Iterator<Item = Restriction>,
    ) -> Result<Self, StoreError> {
        let mut roles: Vec<i64> = restrictions
            .filter_map(|restriction| match restriction {
                Restriction::Role(role) => Some(role.0),
                Restriction::None | Restriction::Group(_) | Restriction::Nobody => None,
            })
            .collect();
        roles.sort_unstable();
        roles.dedup();
        Ok(Self { roles: role_names(tx, &roles).await? })
    }

    /// `{type, value, identifier}`; `None` where there is no restriction to show.
    pub(crate) fn json(&self, view: &View, restriction: Restriction) -> Option<Json> {
        match restriction {
            Restriction::None | Restriction::Nobody => None,
            Restriction::Group(id) => {
                let (name, uuid) = view.with(|snapshot| snapshot.group(id).cloned())?;
                Some(json!({"type": "group", "value": name, "identifier": uuid}))
            }
            Restriction::Role(id) => {
                let name = self.roles.get(&id.0)?;
                Some(json!({"type": "role", "value": name, "identifier": name}))
            }
        }
    }
}

/// A summary for the audit log.
pub(crate) fn word(restriction: Restriction) -> String {
    match restriction {
        Restriction::None => "everyone".to_owned(),
        Restriction::Group(id) => format!("group:{id}"),
        Restriction::Role(id) => format!("role:{id}"),
        Restriction::Nobody => "nobody".to_owned(),
    }
}

/// The projects in which a caller may see something.
pub(crate) fn projects_of(visibility: &Visibility) -> Vec<ProjectId> {
    let mut out = visibility.projects.clone();
    out.extend(visibility.conditional.iter().map(|(project, _)| *project));
    out.sort_unstable();
    out.dedup();
    out
}

/// Appends `(...)`: the condition that a comment or worklog `c` of an issue `i` in one of `projects` is not restricted to others.
/// As [`crate::visible::push_unrestricted`], which is for one project.
pub(crate) fn push_unrestricted_in(sql: &mut SqlBuilder, view: &View, projects: &[ProjectId]) {
    let groups: Vec<i64> = match view.caller().user() {
        Some(user) => view.with(|snapshot| snapshot.policy.groups_of(user).iter().map(|group| group.0).collect()),
        None => Vec::new(),
    };
    let mut projects_of_role: HashMap<i64, Vec<i64>> = HashMap::new();
    for project in projects {
        for role in readers(view, *project).1 {
            projects_of_role.entry(role).or_default().push(project.0);
        }
    }
    let mut roles: Vec<(i64, Vec<i64>)> = projects_of_role.into_iter().collect();
    roles.sort_unstable();
    sql.push("(c.restriction_type IS NULL OR (c.restriction_type = 'group' AND c.group_id IN ").ids(&groups).push(")");
    for (role, projects) in roles {
        sql.push(" OR (c.restriction_type = 'role' AND c.role_id IN ").ids(&[role]);
        sql.push(" AND i.project_id IN ").ids(&projects).push(")");
    }
    sql.push(")");
}

#[cfg(test)]
mod tests {
    use super::{Asked, Named};
    use serde_json::json;

    #[test]
    fn visibility_says_nothing_everyone_or_one_holder() {
        let read = |body| Asked::parse(&body).ok();
        assert_eq!(read(json!({"body": "x"})), Some(Asked::Unsaid));
        assert_eq!(read(json!({"visibility": null})), Some(Asked::Everyone));
        assert_eq!(
            read(json!({"visibility": {"type": "role", "value": "Administrators"}})),
            Some(Asked::Role(Named::Name("Administrators".to_owned())))
        );
        assert_eq!(
            read(json!({"visibility": {"type": "role", "identifier": 10002}})),
            Some(Asked::Role(Named::Identifier("10002".to_owned())))
        );
    }

    #[test]
    fn identifier_wins_over_the_name_and_null_leaves_it_to_the_name() {
        let both = json!({"visibility": {"type": "group", "value": "developers", "identifier": "276f955c"}});
        assert_eq!(Asked::parse(&both).ok(), Some(Asked::Group(Named::Identifier("276f955c".to_owned()))));
        let name = json!({"visibility": {"type": "group", "value": "developers", "identifier": null}});
        assert_eq!(Asked::parse(&name).ok(), Some(Asked::Group(Named::Name("developers".to_owned()))));
    }

    #[test]
    fn a_restriction_that_names_nobody_is_refused_not_dropped() {
        for visibility in [
            json!({}),
            json!("role"),
            json!({"type": "role"}),
            json!({"type": "role", "value": ""}),
            json!({"type": "role", "value": null, "identifier": null}),
            json!({"type": "user", "value": "someone"}),
            json!({"value": "Administrators"}),
            json!({"type": "role", "value": ["Administrators"]}),
        ] {
            assert!(Asked::parse(&json!({"visibility": visibility})).is_err(), "{visibility}");
        }
    }
}
