//! Issues as the policy engine sees them, in batches; and whether the caller sees one.

use std::collections::HashMap;

use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Row, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{FieldId, GroupId, IssueId, LevelId, ProjectId, ProjectPermission, UserId};

use super::sql::push_ids;

/// The columns of `jira_issue` that [`of_row`] reads, under the alias `i`.
pub(crate) const COLUMNS: &str = "i.id, i.project_id, i.security_level_id, i.reporter_id, i.assignee_id";

/// The facts in a row that has the columns of [`COLUMNS`]; without the picker fields, see [`add_pickers`].
pub(crate) fn of_row(row: &Row) -> Result<IssueFacts, StoreError> {
    Ok(IssueFacts {
        id: IssueId(row.get("id")?),
        project: ProjectId(row.get("project_id")?),
        level: row.get::<Option<i64>>("security_level_id")?.map(LevelId),
        reporter: row.get::<Option<i64>>("reporter_id")?.map(UserId),
        assignee: row.get::<Option<i64>>("assignee_id")?.map(UserId),
        user_fields: Vec::new(),
        group_fields: Vec::new(),
    })
}

/// Adds the people and groups in picker fields, where some grant or security level names such a field.
///
/// # Errors
/// The database's.
pub async fn add_pickers<M: AnyMode>(tx: &mut Tx<M>, view: &View, issues: &mut [IssueFacts]) -> Result<(), StoreError> {
    if issues.is_empty() || !view.with(|snapshot| snapshot.names_fields()) {
        return Ok(());
    }
    let ids: Vec<i64> = issues.iter().map(|issue| issue.id.0).collect();
    let mut sql =
        SqlBuilder::new("SELECT issue_id, field_id, user_id, group_id FROM jira_issue_value WHERE issue_id IN ");
    push_ids(&mut sql, &ids);
    sql.push(" AND (user_id IS NOT NULL OR group_id IS NOT NULL)");
    let mut at: HashMap<IssueId, Vec<usize>> = HashMap::new();
    for (position, issue) in issues.iter().enumerate() {
        at.entry(issue.id).or_default().push(position);
    }
    for row in tx.query(sql, &[]).await? {
        let field = FieldId(row.get("field_id")?);
        let user = row.get::<Option<i64>>("user_id")?.map(UserId);
        let group = row.get::<Option<i64>>("group_id")?.map(GroupId);
        for position in at.get(&IssueId(row.get("issue_id")?)).into_iter().flatten() {
            let Some(issue) = issues.get_mut(*position) else { continue };
            issue.user_fields.extend(user.map(|user| (field, user)));
            issue.group_fields.extend(group.map(|group| (field, group)));
        }
    }
    Ok(())
}

/// The facts of issues by id; unknown ids are absent.
///
/// # Errors
/// The database's.
pub async fn load<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    ids: &[i64],
) -> Result<HashMap<i64, IssueFacts>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new("SELECT ");
    sql.push(COLUMNS).push(" FROM jira_issue i WHERE i.id IN ");
    push_ids(&mut sql, ids);
    let rows = tx.query(sql, &[]).await?;
    let mut facts = rows.iter().map(of_row).collect::<Result<Vec<_>, _>>()?;
    add_pickers(tx, view, &mut facts).await?;
    Ok(facts.into_iter().map(|facts| (facts.id.0, facts)).collect())
}

/// Whether the caller sees the issue: browses its project and is in its security level.
pub fn sees(view: &View, issue: &IssueFacts) -> bool {
    view.may(ProjectPermission::BrowseProjects, issue.project, Some(issue))
        && view.with(|snapshot| snapshot.policy.in_level(view.caller().user(), issue)).is_ok()
}

/// An issue by id or key (any case, now or formerly), when the caller sees it; one that is hidden is as absent as one that is not.
///
/// # Errors
/// The database's.
pub async fn visible_named<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    name: &str,
) -> Result<Option<IssueFacts>, StoreError> {
    let Some(id) = id_of_name(tx, view, name).await? else { return Ok(None) };
    Ok(load(tx, view, &[id]).await?.remove(&id).filter(|issue| sees(view, issue)))
}

async fn id_of_name<M: AnyMode>(tx: &mut Tx<M>, view: &View, name: &str) -> Result<Option<i64>, StoreError> {
    if name.len() <= 18 && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(name.parse().ok());
    }
    let Some((key, number)) = parse_key(name) else { return Ok(None) };
    if let Some(project) = view.with(|snapshot| snapshot.project_by_key(&key)) {
        let sql = "SELECT id FROM jira_issue WHERE project_id = $1 AND number = $2";
        if let Some(row) = tx.query_opt(sql, &[project.0.into(), number.into()]).await? {
            return row.get("id").map(Some);
        }
    }
    let sql = "SELECT issue_id FROM jira_issue_former_key WHERE project_key = $1 AND number = $2";
    let row = tx.query_opt(sql, &[key.into(), number.into()]).await?;
    row.map(|row| row.get("issue_id")).transpose()
}

/// `abc-12` as (`ABC`, 12).
pub(crate) fn parse_key(name: &str) -> Option<(String, i64)> {
    let (key, number) = name.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.len() <= 12 && number.bytes().all(|byte| byte.is_ascii_digit());
    if key.is_empty() || !is_number || key.contains('\0') {
        return None;
    }
    Some((key.to_ascii_uppercase(), number.parse().ok()?))
}

/// The issues with these names that the caller sees, in the order of the names, each once.
///
/// # Errors
/// The database's.
pub async fn visible_all_named<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    names: &[String],
) -> Result<Vec<(String, IssueFacts)>, StoreError> {
    let mut wanted: Vec<(String, i64)> = Vec::new();
    for name in names {
        // One small indexed look-up per name; the callers bound how many there are.
        if let Some(id) = id_of_name(tx, view, name).await?
            && !wanted.iter().any(|(_, seen)| *seen == id)
        {
            wanted.push((name.clone(), id));
        }
    }
    let ids: Vec<i64> = wanted.iter().map(|(_, id)| *id).collect();
    let mut found = load(tx, view, &ids).await?;
    Ok(wanted
        .into_iter()
        .filter_map(|(name, id)| Some((name, found.remove(&id)?)))
        .filter(|(_, issue)| sees(view, issue))
        .collect())
}
