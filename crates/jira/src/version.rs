//! Versions of projects.

use std::collections::HashMap;

use jiff::civil::Date;
use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View, Writes};
use portcullis_model::{Problem, ProjectId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::event;
use crate::project;
use crate::refs::{VERSION_COLUMNS, VersionRef, versions};
use crate::text::{bounded, fold, int_of};
use crate::visible::push_issue_visible;
use crate::wire::{Paging, is_date};

/// Versions of one project; the plain list has no pages.
const PER_PROJECT_MAX: i64 = 2000;

/// The version's object with its project and dates for people.
fn version_json(version: &VersionRef, now: Timestamp, input: &Input) -> Map<String, Json> {
    let mut out = Map::new();
    out.insert("self".into(), input.api_url(&format!("/version/{}", version.id)).into());
    out.insert("id".into(), version.id.to_string().into());
    if let Some(description) = &version.description {
        out.insert("description".into(), description.clone().into());
    }
    out.insert("name".into(), version.name.clone().into());
    out.insert("archived".into(), version.archived.into());
    out.insert("released".into(), version.released.into());
    if let Some(date) = &version.start_date {
        out.insert("startDate".into(), date.clone().into());
        out.insert("userStartDate".into(), for_people(date).into());
    }
    if let Some(date) = &version.release_date {
        out.insert("releaseDate".into(), date.clone().into());
        out.insert("userReleaseDate".into(), for_people(date).into());
        if !version.released {
            out.insert("overdue".into(), (date.as_str() < today(now).as_str()).into());
        }
    }
    out.insert("projectId".into(), version.project.0.into());
    out
}

/// `01/Jul/26`.
fn for_people(date: &str) -> String {
    match date.parse::<Date>() {
        Ok(date) => date.strftime("%d/%b/%y").to_string(),
        Err(_) => date.to_owned(),
    }
}

/// `2026-07-01`; dates in this form are compared as text.
fn today(now: Timestamp) -> String {
    crate::wire::moment(now.0).get(..10).unwrap_or_default().to_owned()
}

async fn of_project<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId) -> Result<Vec<VersionRef>, StoreError> {
    let mut sql = SqlBuilder::new(VERSION_COLUMNS);
    sql.push("WHERE project_id = ").bind(project.0).push(" ORDER BY position, id LIMIT ").bind(PER_PROJECT_MAX);
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(VersionRef::of).collect()
}

async fn load<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<VersionRef, Problem> {
    let found = versions(tx, &[id]).await?.remove(&id);
    found.ok_or_else(|| Problem::bug("located version without a row"))
}

/// The versions of a project as the project object shows them.
///
/// # Errors
/// The database's.
pub(crate) async fn list<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId, input: &Input) -> Result<Json, StoreError> {
    let versions = of_project(tx, project).await?;
    Ok(versions.iter().map(|version| told(version, input)).collect())
}

/// Adds `issuesStatusForFixVersion` where `expand` asks for it: issues that the caller sees, by category.
async fn add_statuses<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    shown: &mut [(i64, Map<String, Json>)],
    input: &Input,
) -> Result<(), StoreError> {
    if !input.query_list("expand").contains(&"issuesstatus") {
        return Ok(());
    }
    let mut sql = SqlBuilder::new(
        "SELECT iv.version_id, s.category, count(*) AS issues FROM jira_issue_version iv JOIN jira_issue i ON i.id = iv.issue_id
           JOIN jira_status s ON s.id = i.status_id WHERE iv.kind = 'fix' AND iv.version_id IN ",
    );
    sql.ids(&shown.iter().map(|(id, _)| *id).collect::<Vec<_>>()).push(" AND ");
    push_issue_visible(&mut sql, &view.visibility());
    sql.push(" GROUP BY iv.version_id, s.category");
    let mut counts: HashMap<(i64, String), i64> = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        counts.insert((row.get("version_id")?, row.get("category")?), row.get("issues")?);
    }
    for (id, json) in shown {
        let count = |category: &str| counts.get(&(*id, category.to_owned())).copied().unwrap_or(0);
        json.insert(
            "issuesStatusForFixVersion".into(),
            json!({"unmapped": 0, "toDo": count("new"), "inProgress": count("indeterminate"), "done": count("done")}),
        );
    }
    Ok(())
}

async fn all(mut cx: Ctx<op::GetProjectVersions>, input: Input) -> Outcome<op::GetProjectVersions> {
    let (project, view, now) = (cx.target().project()?, cx.view().clone(), cx.now());
    let versions = of_project(cx.tx(), project).await?;
    let mut shown: Vec<_> = versions.iter().map(|version| (version.id, version_json(version, now, &input))).collect();
    add_statuses(cx.tx(), &view, &mut shown, &input).await?;
    cx.done(Reply::json(shown.into_iter().map(|(_, json)| Json::Object(json)).collect()))
}

async fn page(mut cx: Ctx<op::GetProjectVersionsPaginated>, input: Input) -> Outcome<op::GetProjectVersionsPaginated> {
    let (project, view, now) = (cx.target().project()?, cx.view().clone(), cx.now());
    let paging = Paging::of(&input, 50, 100)?;
    let mut versions = of_project(cx.tx(), project).await?;
    if let Some(query) = input.query("query").map(fold).filter(|query| !query.is_empty()) {
        let matches = |text: &str| fold(text).contains(&query);
        versions.retain(|version| matches(&version.name) || version.description.as_deref().is_some_and(matches));
    }
    let statuses = input.query_list("status");
    if !statuses.is_empty() {
        versions.retain(|version| {
            statuses.iter().any(|status| match *status {
                "released" => version.released && !version.archived,
                "unreleased" => !version.released && !version.archived,
                "archived" => version.archived,
                _ => false,
            })
        });
    }
    let text = input.query("orderBy").unwrap_or("sequence").trim_start_matches(['+', ' ']);
    let (order, reversed) = text.strip_prefix('-').map_or((text, false), |order| (order, true));
    match order {
        "sequence" | "" => {}
        "name" => versions.sort_by_key(|version| fold(&version.name)),
        "description" => versions.sort_by_key(|version| version.description.as_deref().map(fold)),
        "startDate" => versions.sort_by(|a, b| a.start_date.cmp(&b.start_date)),
        "releaseDate" => versions.sort_by(|a, b| a.release_date.cmp(&b.release_date)),
        _ => return Err(Problem::invalid(format!("The field '{order}' cannot be used to order versions."))),
    }
    if reversed {
        versions.reverse();
    }
    let total = i64::try_from(versions.len()).unwrap_or(i64::MAX);
    let versions = paging.cut(versions);
    let mut shown: Vec<_> = versions.iter().map(|version| (version.id, version_json(version, now, &input))).collect();
    add_statuses(cx.tx(), &view, &mut shown, &input).await?;
    let items = shown.into_iter().map(|(_, json)| Json::Object(json)).collect();
    cx.done(Reply::json(paging.page(&input, &format!("/project/{project}/version"), "values", total, items)))
}

async fn get(mut cx: Ctx<op::GetVersion>, input: Input) -> Outcome<op::GetVersion> {
    let (id, view, now) = (cx.target().thing()?, cx.view().clone(), cx.now());
    let version = load(cx.tx(), id).await?;
    let mut shown = [(id, version_json(&version, now, &input))];
    add_statuses(cx.tx(), &view, &mut shown, &input).await?;
    let [(_, json)] = shown;
    cx.done(Reply::json(Json::Object(json)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    name: Option<String>,
    description: Option<String>,
    archived: Option<bool>,
    released: Option<bool>,
    start_date: Option<String>,
    release_date: Option<String>,
    move_unfixed_issues_to: Option<String>,
}

impl Body {
    /// Puts what the body names into the version.
    fn apply(self, version: &mut VersionRef) -> Result<(), Problem> {
        if let Some(description) = self.description {
            bounded("description", &description, 16_384)?;
            version.description = Some(description).filter(|text| !text.is_empty());
        }
        version.archived = self.archived.unwrap_or(version.archived);
        version.released = self.released.unwrap_or(version.released);
        if let Some(date) = self.start_date {
            version.start_date = checked_date("startDate", date)?;
        }
        if let Some(date) = self.release_date {
            version.release_date = checked_date("releaseDate", date)?;
        }
        if let (Some(start), Some(release)) = (&version.start_date, &version.release_date)
            && start > release
        {
            return Err(Problem::field("startDate", "The start date must not be later than the release date."));
        }
        Ok(())
    }
}

/// Empty text takes a date away.
fn checked_date(field: &str, date: String) -> Result<Option<String>, Problem> {
    if date.is_empty() {
        return Ok(None);
    }
    if !is_date(&date) {
        return Err(Problem::field(field, "The date is not in the format yyyy-MM-dd."));
    }
    Ok(Some(date))
}

async fn checked_name<M: AnyMode>(tx: &mut Tx<M>, project: ProjectId, name: &str, own: i64) -> Result<String, Problem> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Problem::field("name", "You must specify a valid version name"));
    }
    bounded("name", name, 255)?;
    let sql = "SELECT id FROM jira_version WHERE project_id = $1 AND name_folded = $2 AND id <> $3";
    if tx.query_opt(sql, &[project.0.into(), fold(name).into(), own.into()]).await?.is_some() {
        return Err(Problem::field("name", "A version with this name already exists in this project."));
    }
    Ok(name.to_owned())
}

async fn create(mut cx: Ctx<op::CreateVersion>, input: Input) -> Outcome<op::CreateVersion> {
    let (project, now) = (cx.target().project()?, cx.now());
    live(cx.view(), project)?;
    let body: Body = input.parse()?;
    let name = checked_name(cx.tx(), project, body.name.as_deref().unwrap_or_default(), 0).await?;
    let mut version = VersionRef {
        id: 0,
        project,
        name,
        description: None,
        archived: false,
        released: false,
        start_date: None,
        release_date: None,
        position: 0,
    };
    body.apply(&mut version)?;
    let sql = "SELECT coalesce(max(position), 0) + 1 AS next FROM jira_version WHERE project_id = $1";
    version.position = cx.tx().query_one(sql, &[project.0.into()]).await?.get("next")?;
    let sql = "
        INSERT INTO jira_version (project_id, name, name_folded, description, archived, released, start_date, release_date, position)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id";
    let params = [
        project.0.into(),
        version.name.as_str().into(),
        fold(&version.name).into(),
        version.description.clone().into(),
        version.archived.into(),
        version.released.into(),
        version.start_date.clone().into(),
        version.release_date.clone().into(),
        version.position.into(),
    ];
    version.id = cx.tx().query_one(sql, &params).await?.get("id")?;
    let json = Json::Object(version_json(&version, now, &input));
    event::about_project(&mut cx, "jira:version_created", project, Some(("version", told(&version, &input)))).await?;
    cx.audit(format!("version:{}", version.id), None, Some(json.clone()));
    cx.done(Reply::created(json))
}

async fn update(mut cx: Ctx<op::UpdateVersion>, input: Input) -> Outcome<op::UpdateVersion> {
    let (id, now) = (cx.target().thing()?, cx.now());
    let mut version = load(cx.tx(), id).await?;
    live(cx.view(), version.project)?;
    let before = Json::Object(version_json(&version, now, &input));
    let was = version.clone();
    let body: Body = input.parse()?;
    if let Some(name) = &body.name {
        version.name = checked_name(cx.tx(), version.project, name, id).await?;
    }
    let heir = match &body.move_unfixed_issues_to {
        Some(link) if body.released == Some(true) => Some(sibling(cx.tx(), &version, link).await?),
        Some(_) | None => None,
    };
    body.apply(&mut version)?;
    let sql = "
        UPDATE jira_version
           SET name = $2, name_folded = $3, description = $4, archived = $5, released = $6, start_date = $7, release_date = $8
         WHERE id = $1";
    let params = [
        id.into(),
        version.name.as_str().into(),
        fold(&version.name).into(),
        version.description.clone().into(),
        version.archived.into(),
        version.released.into(),
        version.start_date.clone().into(),
        version.release_date.clone().into(),
    ];
    cx.tx().execute(sql, &params).await?;
    if let Some(heir) = heir {
        for statement in MOVE_UNRESOLVED {
            cx.tx().execute(statement, &[id.into(), heir.into()]).await?;
        }
    }
    let json = Json::Object(version_json(&version, now, &input));
    for event in events(&was, &version) {
        event::about_project(&mut cx, event, version.project, Some(("version", told(&version, &input)))).await?;
    }
    cx.audit(format!("version:{id}"), Some(before), Some(json.clone()));
    cx.done(Reply::json(json))
}

/// What happened to a version besides that it was changed.
fn events(was: &VersionRef, is: &VersionRef) -> Vec<&'static str> {
    let mut out = vec!["jira:version_updated"];
    match (was.released, is.released) {
        (false, true) => out.push("jira:version_released"),
        (true, false) => out.push("jira:version_unreleased"),
        (true, true) | (false, false) => {}
    }
    out
}

/// A version as a project and events tell of it.
fn told(version: &VersionRef, input: &Input) -> Json {
    let mut json = version.json(input);
    if let Some(members) = json.as_object_mut() {
        members.insert("projectId".into(), version.project.0.into());
    }
    json
}

/// Unresolved issues to be fixed in `$1` are to be fixed in `$2`.
const MOVE_UNRESOLVED: [&str; 2] = [
    "INSERT INTO jira_issue_version (issue_id, version_id, kind)
     SELECT iv.issue_id, CAST($2 AS BIGINT), iv.kind FROM jira_issue_version iv JOIN jira_issue i ON i.id = iv.issue_id
      WHERE iv.version_id = $1 AND iv.kind = 'fix' AND i.resolution_id IS NULL ON CONFLICT DO NOTHING",
    "DELETE FROM jira_issue_version WHERE version_id = $1 AND kind = 'fix' AND version_id <> CAST($2 AS BIGINT) AND issue_id IN
        (SELECT id FROM jira_issue WHERE resolution_id IS NULL)",
];

/// Another version of the same project, named by id or link.
async fn sibling<M: AnyMode>(tx: &mut Tx<M>, version: &VersionRef, text: &str) -> Result<i64, Problem> {
    let id = text.rsplit('/').next().and_then(|id| id.parse::<i64>().ok()).filter(|id| *id != version.id);
    let found = match id {
        Some(id) => versions(tx, &[id]).await?.remove(&id).filter(|found| found.project == version.project),
        None => None,
    };
    found.map(|found| found.id).ok_or_else(|| unknown(text))
}

fn unknown(text: &str) -> Problem {
    Problem::not_found(format!("Could not find version for id '{text}'"))
}

/// Removes a version; its issues get `fix` and `affects` in its place.
async fn remove<M: Writes>(
    tx: &mut Tx<M>,
    version: &VersionRef,
    fix: Option<i64>,
    affects: Option<i64>,
) -> Result<(), Problem> {
    for (kind, heir) in [("fix", fix), ("affects", affects)] {
        if let Some(heir) = heir {
            let sql = "INSERT INTO jira_issue_version (issue_id, version_id, kind)
                       SELECT issue_id, CAST($2 AS BIGINT), kind FROM jira_issue_version WHERE version_id = $1 AND kind = $3
                       ON CONFLICT DO NOTHING";
            tx.execute(sql, &[version.id.into(), heir.into(), kind.into()]).await?;
        }
    }
    tx.execute("DELETE FROM jira_issue_version WHERE version_id = $1", &[version.id.into()]).await?;
    tx.execute("DELETE FROM jira_version WHERE id = $1", &[version.id.into()]).await?;
    Ok(())
}

async fn heir<M: AnyMode>(tx: &mut Tx<M>, version: &VersionRef, text: Option<&str>) -> Result<Option<i64>, Problem> {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => sibling(tx, version, text).await.map(Some),
        None => Ok(None),
    }
}

async fn delete(mut cx: Ctx<op::DeleteVersion>, input: Input) -> Outcome<op::DeleteVersion> {
    let (id, now) = (cx.target().thing()?, cx.now());
    let version = load(cx.tx(), id).await?;
    live(cx.view(), version.project)?;
    let fix = heir(cx.tx(), &version, input.query("moveFixIssuesTo")).await?;
    let affects = heir(cx.tx(), &version, input.query("moveAffectedIssuesTo")).await?;
    event::about_project(&mut cx, "jira:version_deleted", version.project, Some(("version", told(&version, &input))))
        .await?;
    remove(cx.tx(), &version, fix, affects).await?;
    cx.audit(format!("version:{id}"), Some(Json::Object(version_json(&version, now, &input))), None);
    cx.done(Reply::no_content())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Swap {
    move_fix_issues_to: Option<Json>,
    move_affected_issues_to: Option<Json>,
}

async fn swap(mut cx: Ctx<op::DeleteAndReplaceVersion>, input: Input) -> Outcome<op::DeleteAndReplaceVersion> {
    let (id, now) = (cx.target().thing()?, cx.now());
    let version = load(cx.tx(), id).await?;
    live(cx.view(), version.project)?;
    let body: Swap = input.parse()?;
    let text = |value: &Option<Json>| value.as_ref().and_then(int_of).map(|id| id.to_string());
    let fix = heir(cx.tx(), &version, text(&body.move_fix_issues_to).as_deref()).await?;
    let affects = heir(cx.tx(), &version, text(&body.move_affected_issues_to).as_deref()).await?;
    event::about_project(&mut cx, "jira:version_deleted", version.project, Some(("version", told(&version, &input))))
        .await?;
    remove(cx.tx(), &version, fix, affects).await?;
    cx.audit(format!("version:{id}"), Some(Json::Object(version_json(&version, now, &input))), None);
    cx.done(Reply::no_content())
}

async fn merge(mut cx: Ctx<op::MergeVersions>, input: Input) -> Outcome<op::MergeVersions> {
    let (id, now) = (cx.target().thing()?, cx.now());
    let version = load(cx.tx(), id).await?;
    live(cx.view(), version.project)?;
    let into = sibling(cx.tx(), &version, input.param("moveIssuesTo")).await?;
    event::about_project(&mut cx, "jira:version_deleted", version.project, Some(("version", told(&version, &input))))
        .await?;
    remove(cx.tx(), &version, Some(into), Some(into)).await?;
    let before = Json::Object(version_json(&version, now, &input));
    cx.audit(format!("version:{id}"), Some(before), Some(json!({"mergedInto": into})));
    cx.done(Reply::no_content())
}

#[derive(Deserialize)]
struct Move {
    after: Option<String>,
    position: Option<String>,
}

async fn reorder(mut cx: Ctx<op::MoveVersion>, input: Input) -> Outcome<op::MoveVersion> {
    let (id, now) = (cx.target().thing()?, cx.now());
    let version = load(cx.tx(), id).await?;
    let body: Move = input.parse()?;
    let mut order: Vec<i64> = of_project(cx.tx(), version.project).await?.iter().map(|version| version.id).collect();
    let at = order.iter().position(|other| *other == id).unwrap_or(0);
    order.retain(|other| *other != id);
    let to = match (body.after.as_deref(), body.position.as_deref()) {
        (Some(link), None) => {
            let other = sibling(cx.tx(), &version, link).await?;
            order.iter().position(|known| *known == other).map_or(0, |found| found + 1)
        }
        (None, Some("First")) => 0,
        (None, Some("Last")) => order.len(),
        (None, Some("Earlier")) => at.saturating_sub(1),
        (None, Some("Later")) => at.saturating_add(1),
        _ => {
            return Err(Problem::invalid(
                "Exactly one of 'after' and 'position' (Earlier, Later, First, Last) must be given.",
            ));
        }
    };
    order.insert(to.min(order.len()), id);
    for (position, id) in order.into_iter().enumerate() {
        let sql = "UPDATE jira_version SET position = $2 WHERE id = $1 AND position <> $2";
        cx.tx().execute(sql, &[id.into(), position.into()]).await?;
    }
    cx.audit(format!("version:{id}"), Some(json!({"place": at})), Some(json!({"place": to})));
    let json = Json::Object(version_json(&version, now, &input));
    cx.done(Reply::json(json))
}

/// Issues of the version that the caller sees: all, and those without a resolution.
async fn count<M: AnyMode>(tx: &mut Tx<M>, view: &View, id: i64, kind: &str) -> Result<(i64, i64), StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT count(*) AS issues, count(CASE WHEN i.resolution_id IS NULL THEN 1 END) AS unresolved
           FROM jira_issue_version iv JOIN jira_issue i ON i.id = iv.issue_id WHERE iv.version_id = ",
    );
    sql.bind(id).push(" AND iv.kind = ").bind(kind).push(" AND ");
    push_issue_visible(&mut sql, &view.visibility());
    let row = tx.query_one(sql, &[]).await?;
    Ok((row.get("issues")?, row.get("unresolved")?))
}

async fn related(mut cx: Ctx<op::GetVersionRelatedIssues>, input: Input) -> Outcome<op::GetVersionRelatedIssues> {
    let (id, view) = (cx.target().thing()?, cx.view().clone());
    let (fixed, _) = count(cx.tx(), &view, id, "fix").await?;
    let (affected, _) = count(cx.tx(), &view, id, "affects").await?;
    cx.done(Reply::json(json!({
        "self": input.api_url(&format!("/version/{id}")),
        "issuesFixedCount": fixed,
        "issuesAffectedCount": affected,
        "issueCountWithCustomFieldsShowingVersion": 0,
        "customFieldUsage": [],
    })))
}

async fn unresolved(
    mut cx: Ctx<op::GetVersionUnresolvedIssues>,
    input: Input,
) -> Outcome<op::GetVersionUnresolvedIssues> {
    let (id, view) = (cx.target().thing()?, cx.view().clone());
    let (issues, unresolved) = count(cx.tx(), &view, id, "fix").await?;
    let link = input.api_url(&format!("/version/{id}"));
    cx.done(Reply::json(json!({"self": link, "issuesUnresolvedCount": unresolved, "issuesCount": issues})))
}

fn live(view: &View, project: ProjectId) -> Result<(), Problem> {
    let live = view.with(|snapshot| snapshot.policy.project(project).is_some_and(|facts| !facts.trashed));
    if live { Ok(()) } else { Err(project::unknown(&project.to_string())) }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(page);
    handlers.on(get);
    handlers.on(create);
    handlers.on(update);
    handlers.on(delete);
    handlers.on(swap);
    handlers.on(merge);
    handlers.on(reorder);
    handlers.on(related);
    handlers.on(unresolved);
}

#[cfg(test)]
mod tests {
    use super::{checked_date, for_people};

    #[test]
    fn dates_for_people_have_the_month_in_words() {
        assert_eq!(for_people("2026-07-01"), "01/Jul/26");
    }

    #[test]
    fn an_empty_date_takes_it_away_and_a_wrong_one_is_refused() {
        assert_eq!(checked_date("startDate", String::new()).unwrap(), None);
        assert!(checked_date("startDate", "01.07.2026".to_owned()).is_err());
    }
}
