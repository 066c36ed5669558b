//! The filters that every list and search over issues, comments and worklogs carries, so that counts and pages do not leak.

use portcullis_authz::Visibility;
use portcullis_authz::policy::Condition;
use portcullis_guard::{SqlBuilder, View};
use portcullis_model::{GlobalPermission, LevelId, ProjectId};

/// Appends `(...)`: the condition that an issue, under the alias `i`, is visible.
///
/// Projects the caller browses, or single issues in projects where a grant asks for the reporter, assignee or a picker field;
/// and no security level, or one the caller is in.
pub fn push_issue_visible(sql: &mut SqlBuilder, visibility: &Visibility) {
    sql.push("((");
    sql.push("i.project_id IN ").ids(&visibility.projects.iter().map(|id| id.0).collect::<Vec<_>>());
    for condition in distinct(visibility.conditional.iter().map(|(_, condition)| *condition)) {
        let projects: Vec<i64> =
            visibility.conditional.iter().filter(|(_, c)| *c == condition).map(|(project, _)| project.0).collect();
        sql.push(" OR (i.project_id IN ").ids(&projects).push(" AND ");
        push_condition(sql, visibility, condition);
        sql.push(")");
    }
    sql.push(") AND (i.security_level_id IS NULL");
    for level in distinct(visibility.levels.iter().map(|(_, level)| *level)) {
        let projects: Vec<i64> =
            visibility.levels.iter().filter(|(_, l)| *l == level).map(|(project, _)| project.0).collect();
        sql.push(" OR (i.security_level_id IN ").ids(&[level.0]).push(" AND i.project_id IN ").ids(&projects).push(")");
    }
    for (level, condition) in distinct(visibility.conditional_levels.iter().map(|(_, level, c)| (*level, *c))) {
        let projects = projects_of_level(visibility, level, condition);
        sql.push(" OR (i.security_level_id IN ")
            .ids(&[level.0])
            .push(" AND i.project_id IN ")
            .ids(&projects)
            .push(" AND ");
        push_condition(sql, visibility, condition);
        sql.push(")");
    }
    sql.push("))");
}

fn projects_of_level(visibility: &Visibility, level: LevelId, condition: Condition) -> Vec<i64> {
    visibility
        .conditional_levels
        .iter()
        .filter(|(_, l, c)| *l == level && *c == condition)
        .map(|(project, _, _)| project.0)
        .collect()
}

fn push_condition(sql: &mut SqlBuilder, visibility: &Visibility, condition: Condition) {
    let Some(user) = visibility.user else {
        // Nobody anonymous is a reporter, an assignee or in a field.
        sql.push("1 = 0");
        return;
    };
    match condition {
        Condition::Reporter => {
            sql.push("i.reporter_id = ").bind(user.0);
        }
        Condition::Assignee => {
            sql.push("i.assignee_id = ").bind(user.0);
        }
        Condition::UserField(field) => {
            sql.push("EXISTS (SELECT 1 FROM jira_issue_value v WHERE v.issue_id = i.id AND v.field_id = ")
                .bind(field.0);
            sql.push(" AND v.user_id = ").bind(user.0).push(")");
        }
        Condition::GroupField(field) => {
            sql.push("EXISTS (SELECT 1 FROM jira_issue_value v JOIN account_membership m ON m.group_id = v.group_id");
            sql.push(" WHERE v.issue_id = i.id AND v.field_id = ").bind(field.0);
            sql.push(" AND m.user_id = ").bind(user.0).push(")");
        }
    }
}

/// Whether the caller sees some project. The site's fields and types are for those who do, and for Jira's administrators.
pub fn sees_projects(view: &View) -> bool {
    let visibility = view.visibility();
    !visibility.projects.is_empty()
        || !visibility.conditional.is_empty()
        || view.may_global(GlobalPermission::Administer)
}

/// Appends `(...)`: the condition that a comment or worklog, under the alias `c`, of an issue in `project` is not restricted to others.
pub fn push_unrestricted(sql: &mut SqlBuilder, view: &View, project: ProjectId) {
    let (groups, roles) = readers(view, project);
    sql.push("(c.restriction_type IS NULL OR (c.restriction_type = 'group' AND c.group_id IN ").ids(&groups);
    sql.push(") OR (c.restriction_type = 'role' AND c.role_id IN ").ids(&roles).push("))");
}

/// Groups the caller is in, and roles it has in the project.
pub fn readers(view: &View, project: ProjectId) -> (Vec<i64>, Vec<i64>) {
    let Some(user) = view.caller().user() else { return (Vec::new(), Vec::new()) };
    view.with(|snapshot| {
        let policy = &snapshot.policy;
        let groups = policy.groups_of(user).iter().map(|group| group.0).collect();
        let mut roles: Vec<i64> = policy
            .project(project)
            .map(|facts| facts.actors.iter().map(|(role, _)| *role).collect::<Vec<_>>())
            .unwrap_or_default()
            .into_iter()
            .filter(|role| policy.has_role(user, project, *role))
            .map(|role| role.0)
            .collect();
        roles.sort_unstable();
        roles.dedup();
        (groups, roles)
    })
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut out = Vec::new();
    for item in items {
        if !out.contains(&item) {
            out.push(item);
        }
    }
    out
}
