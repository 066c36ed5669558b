//! The changelog of an issue: recording it with every write, and reading it.
//!
//! What a restricted comment, worklog or attachment says is not recorded by those who write them. Items that name another issue
//! (links, parents) carry its key in `from` or `to`, and are shown to those who see that issue. Security levels are named to those who
//! are in them.

use std::collections::{HashMap, HashSet};

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, View, Writes};
use portcullis_model::{IssueId, Problem, ProjectId, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::facts;
use super::sql::push_ids;
use crate::wire::{self, Paging};

/// Changes read per issue.
const CHANGES_MAX: i64 = 5000;
/// Changes inside `expand=changelog`.
const EXPANDED_MAX: usize = 100;
/// Issues whose changes are read together.
const BULK_ISSUES_MAX: usize = 1000;
/// Fields that the changes read together can be reduced to.
const BULK_FIELDS_MAX: usize = 10;
/// Changes on a page of those read together.
const BULK_CHANGES_MAX: usize = 10_000;
const BULK_CHANGES_DEFAULT: usize = 1000;

/// One changed field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeItem {
    /// The field's name as the changelog shows it: `status`, `Fix Version`.
    pub field: String,
    /// `jira` or `custom`.
    pub field_type: &'static str,
    /// The field's id: `status`, `fixVersions`, `customfield_10001`.
    pub field_id: String,
    /// The old value's id.
    pub from: Option<String>,
    /// The old value as people see it.
    pub from_text: Option<String>,
    /// The new value's id.
    pub to: Option<String>,
    /// The new value as people see it.
    pub to_text: Option<String>,
}

impl ChangeItem {
    /// A change of a system field, without values.
    pub fn system(field: &str, field_id: &str) -> Self {
        Self {
            field: field.to_owned(),
            field_type: "jira",
            field_id: field_id.to_owned(),
            from: None,
            from_text: None,
            to: None,
            to_text: None,
        }
    }

    /// The same with the old value: id and text.
    #[must_use]
    pub fn from(mut self, id: Option<String>, text: Option<String>) -> Self {
        (self.from, self.from_text) = (id, text);
        self
    }

    /// The same with the new value: id and text.
    #[must_use]
    pub fn to(mut self, id: Option<String>, text: Option<String>) -> Self {
        (self.to, self.to_text) = (id, text);
        self
    }
}

/// Marks the issue as updated now.
///
/// # Errors
/// The database's.
pub async fn touch<M: Writes>(tx: &mut Tx<M>, issue: IssueId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE jira_issue SET updated_at_ms = $2 WHERE id = $1";
    tx.execute(sql, &[issue.0.into(), now.0.into()]).await.map(drop)
}

/// Adds one change with its items; nothing when there are none. Does not touch the issue.
///
/// # Errors
/// The database's.
pub async fn record<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    author: Option<UserId>,
    now: Timestamp,
    items: &[ChangeItem],
) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO jira_change (issue_id, author_id, created_at_ms) VALUES ($1, $2, $3) RETURNING id";
    let author = author.map(|user| user.0);
    let change: i64 = tx.query_one(sql, &[issue.0.into(), author.into(), now.0.into()]).await?.get("id")?;
    for (position, item) in items.iter().enumerate() {
        let sql = "INSERT INTO jira_change_item
                       (change_id, position, field, field_type, field_id, from_value, from_text, to_value, to_text)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            change.into(),
            position.into(),
            item.field.as_str().into(),
            item.field_type.into(),
            item.field_id.as_str().into(),
            item.from.clone().into(),
            item.from_text.clone().into(),
            item.to.clone().into(),
            item.to_text.clone().into(),
        ];
        tx.execute(sql, &values).await?;
    }
    Ok(())
}

/// A change as stored.
struct Change {
    id: i64,
    issue: i64,
    author: Option<UserId>,
    created_at_ms: i64,
    items: Vec<ChangeItem>,
}

/// The changes of issues, oldest first, without the items whose other issue the caller does not see.
async fn load<M: AnyMode>(tx: &mut Tx<M>, view: &View, issues: &[i64]) -> Result<Vec<Change>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT c.id, c.issue_id, c.author_id, c.created_at_ms, t.field, t.field_type, t.field_id,
                t.from_value, t.from_text, t.to_value, t.to_text
           FROM (SELECT id, issue_id, author_id, created_at_ms,
                        ROW_NUMBER() OVER (PARTITION BY issue_id ORDER BY id DESC) AS age
                   FROM jira_change WHERE issue_id IN ",
    );
    push_ids(&mut sql, issues);
    sql.push(") c JOIN jira_change_item t ON t.change_id = c.id WHERE c.age <= ").bind(CHANGES_MAX);
    sql.push(" ORDER BY c.id, t.position");
    let mut changes: Vec<Change> = Vec::new();
    for row in tx.query(sql, &[]).await? {
        let id: i64 = row.get("id")?;
        let item = ChangeItem {
            field: row.get("field")?,
            field_type: if row.get::<String>("field_type")? == "custom" { "custom" } else { "jira" },
            field_id: row.get("field_id")?,
            from: row.get("from_value")?,
            from_text: row.get("from_text")?,
            to: row.get("to_value")?,
            to_text: row.get("to_text")?,
        };
        match changes.last_mut() {
            Some(change) if change.id == id => change.items.push(item),
            _ => changes.push(Change {
                id,
                issue: row.get("issue_id")?,
                author: row.get::<Option<i64>>("author_id")?.map(UserId),
                created_at_ms: row.get("created_at_ms")?,
                items: vec![item],
            }),
        }
    }
    hide(tx, view, &mut changes).await?;
    Ok(changes)
}

/// Items that name another issue by key in `from` and `to`.
fn names_issue(item: &ChangeItem) -> bool {
    item.field_type == "jira" && matches!(item.field.as_str(), "Link" | "Parent" | "IssueParentAssociation")
}

/// Items that tell of one worklog: shown to those who see it.
fn names_worklog(item: &ChangeItem) -> bool {
    item.field_type == "jira" && item.field == "WorklogId"
}

/// Items that name security levels: each side is shown to those who are in its level.
fn names_level(item: &ChangeItem) -> bool {
    item.field_type == "jira" && item.field == "security"
}

fn ids_in(item: &ChangeItem) -> impl Iterator<Item = &String> {
    item.from.iter().chain(&item.to)
}

/// Takes out what tells of things that the caller does not see; changes that are empty then go too.
async fn hide<M: AnyMode>(tx: &mut Tx<M>, view: &View, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let mut keys: Vec<String> = Vec::new();
    let mut worklogs: Vec<i64> = Vec::new();
    for item in changes.iter().flat_map(|change| &change.items) {
        if names_issue(item) {
            keys.extend(ids_in(item).filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>());
        } else if names_worklog(item) {
            worklogs.extend(ids_in(item).filter_map(|id| id.parse::<i64>().ok()));
        }
    }
    if !keys.is_empty() {
        let seen: HashSet<String> =
            facts::visible_all_named(tx, view, &keys).await?.into_iter().map(|(key, _)| key).collect();
        for change in changes.iter_mut() {
            change.items.retain(|item| !names_issue(item) || ids_in(item).all(|key| seen.contains(key)));
        }
    }
    if !worklogs.is_empty() {
        let seen = visible_worklogs(tx, view, &worklogs).await?;
        for change in changes.iter_mut() {
            let hidden = change.items.iter().any(|item| {
                names_worklog(item) && !ids_in(item).all(|id| id.parse().is_ok_and(|id: i64| seen.contains(&id)))
            });
            if hidden {
                change.items.retain(|item| {
                    !names_worklog(item) && !matches!(item.field.as_str(), "timespent" | "timeestimate")
                });
            }
        }
    }
    if changes.iter().flat_map(|change| &change.items).any(names_level) {
        hide_levels(view, changes);
    }
    changes.retain(|change| !change.items.is_empty());
    Ok(())
}

/// Empties the sides that name a level which the caller is in nowhere; an item that says nothing then goes.
fn hide_levels(view: &View, changes: &mut [Change]) {
    let visibility = view.visibility();
    let mut seen: HashSet<String> = visibility.levels.iter().map(|(_, level)| level.to_string()).collect();
    seen.extend(visibility.conditional_levels.iter().map(|(_, level, _)| level.to_string()));
    for change in changes {
        for item in change.items.iter_mut().filter(|item| names_level(item)) {
            if item.from.as_ref().is_some_and(|level| !seen.contains(level)) {
                (item.from, item.from_text) = (None, None);
            }
            if item.to.as_ref().is_some_and(|level| !seen.contains(level)) {
                (item.to, item.to_text) = (None, None);
            }
        }
        change.items.retain(|item| !names_level(item) || item.from.is_some() || item.to.is_some());
    }
}

async fn visible_worklogs<M: AnyMode>(tx: &mut Tx<M>, view: &View, ids: &[i64]) -> Result<HashSet<i64>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT c.id, c.restriction_type, c.group_id, c.role_id, i.project_id
           FROM jira_worklog c JOIN jira_issue i ON i.id = c.issue_id WHERE c.id IN ",
    );
    sql.ids(ids);
    let mut out = HashSet::new();
    for row in tx.query(sql, &[]).await? {
        let (groups, roles) = crate::visible::readers(view, ProjectId(row.get("project_id")?));
        let seen = match row.get::<Option<String>>("restriction_type")?.as_deref() {
            None => true,
            Some("group") => row.get::<Option<i64>>("group_id")?.is_some_and(|id| groups.contains(&id)),
            Some("role") => row.get::<Option<i64>>("role_id")?.is_some_and(|id| roles.contains(&id)),
            Some(_) => false,
        };
        if seen {
            out.insert(row.get("id")?);
        }
    }
    Ok(out)
}

fn json_of(change: &Change, people: &HashMap<UserId, wire::Person>, input: &Input) -> Json {
    let items: Vec<Json> = change.items.iter().map(item_json).collect();
    let mut out = Map::new();
    out.insert("id".into(), change.id.to_string().into());
    if let Some(author) = change.author.and_then(|author| people.get(&author)) {
        out.insert("author".into(), author.json(input));
    }
    out.insert("created".into(), wire::moment(change.created_at_ms).into());
    out.insert("items".into(), Json::Array(items));
    Json::Object(out)
}

fn item_json(item: &ChangeItem) -> Json {
    json!({
        "field": item.field,
        "fieldtype": item.field_type,
        "fieldId": item.field_id,
        "from": item.from,
        "fromString": item.from_text,
        "to": item.to,
        "toString": item.to_text,
    })
}

/// What the caller sees of the changes after one, together and oldest first, as `{id, items}`; and the ids of the fields. `None` when
/// there is nothing.
///
/// # Errors
/// The database's.
pub(crate) async fn after<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    issue: IssueId,
    change: i64,
) -> Result<Option<(Json, Vec<String>)>, StoreError> {
    let mut changes = load(tx, view, &[issue.0]).await?;
    changes.retain(|found| found.id > change);
    let Some(last) = changes.last() else { return Ok(None) };
    let id = last.id.to_string();
    let items: Vec<&ChangeItem> = changes.iter().flat_map(|change| &change.items).collect();
    let fields = items.iter().map(|item| item.field_id.clone()).collect();
    let items: Vec<Json> = items.into_iter().map(item_json).collect();
    Ok(Some((json!({"id": id, "items": items}), fields)))
}

async fn authors<M: AnyMode>(tx: &mut Tx<M>, changes: &[Change]) -> Result<HashMap<UserId, wire::Person>, StoreError> {
    let ids: Vec<UserId> = changes.iter().filter_map(|change| change.author).collect();
    wire::people(tx, &ids).await
}

/// `changelog` of each issue, for `expand=changelog`: the newest first.
///
/// # Errors
/// The database's.
pub(crate) async fn expanded<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issues: &[i64],
) -> Result<HashMap<i64, Json>, StoreError> {
    let changes = load(tx, view, issues).await?;
    let people = authors(tx, &changes).await?;
    let mut histories: HashMap<i64, Vec<Json>> = issues.iter().map(|issue| (*issue, Vec::new())).collect();
    for change in changes.iter().rev() {
        histories.entry(change.issue).or_default().push(json_of(change, &people, input));
    }
    let page = |mut histories: Vec<Json>| {
        let total = histories.len();
        histories.truncate(EXPANDED_MAX);
        json!({"startAt": 0, "maxResults": histories.len(), "total": total, "histories": histories})
    };
    Ok(histories.into_iter().map(|(issue, histories)| (issue, page(histories))).collect())
}

/// `GET issue/{key}/changelog`: the oldest first.
pub async fn list(mut cx: Ctx<op::GetChangeLogs>, input: Input) -> Outcome<op::GetChangeLogs> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.id;
    let paging = Paging::of(&input, 100, 100)?;
    let changes = load(cx.tx(), &view, &[issue.0]).await?;
    let total = i64::try_from(changes.len()).unwrap_or(i64::MAX);
    let page = paging.cut(changes);
    let people = authors(cx.tx(), &page).await?;
    let values = page.iter().map(|change| json_of(change, &people, &input)).collect();
    let path = format!("/issue/{}/changelog", wire::encode_query(input.param("issueIdOrKey")));
    cx.done(Reply::json(paging.page(&input, &path, "values", total, values)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ByIds {
    changelog_ids: Vec<i64>,
}

/// `POST issue/{key}/changelog/list`: the changes with these ids.
pub async fn list_by_ids(mut cx: Ctx<op::GetChangeLogsByIds>, input: Input) -> Outcome<op::GetChangeLogsByIds> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.id;
    let body: ByIds = input.parse()?;
    if body.changelog_ids.is_empty() {
        return Err(Problem::field("changelogIds", "must not be empty"));
    }
    let wanted: HashSet<i64> = body.changelog_ids.into_iter().collect();
    let mut changes = load(cx.tx(), &view, &[issue.0]).await?;
    changes.retain(|change| wanted.contains(&change.id));
    let people = authors(cx.tx(), &changes).await?;
    let histories: Vec<Json> = changes.iter().map(|change| json_of(change, &people, &input)).collect();
    let shown = histories.len();
    cx.done(Reply::json(json!({"startAt": 0, "maxResults": shown, "total": shown, "histories": histories})))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bulk {
    issue_ids_or_keys: Vec<String>,
    field_ids: Option<Vec<String>>,
    max_results: Option<usize>,
    next_page_token: Option<String>,
}

/// `POST changelog/bulkfetch`: the changes of the issues named, of those that the caller sees; by issue, the oldest first.
pub async fn bulk_fetch(mut cx: Ctx<op::GetBulkChangelogs>, input: Input) -> Outcome<op::GetBulkChangelogs> {
    let view = cx.view().clone();
    let body: Bulk = input.parse()?;
    if body.issue_ids_or_keys.is_empty() || body.issue_ids_or_keys.len() > BULK_ISSUES_MAX {
        let words = format!("Between 1 and {BULK_ISSUES_MAX} issues must be named.");
        return Err(Problem::field("issueIdsOrKeys", words));
    }
    let fields: HashSet<String> = body.field_ids.unwrap_or_default().into_iter().collect();
    if fields.len() > BULK_FIELDS_MAX {
        return Err(Problem::field("fieldIds", format!("At most {BULK_FIELDS_MAX} fields can be named.")));
    }
    let mut room = body.max_results.unwrap_or(BULK_CHANGES_DEFAULT);
    if !(1..=BULK_CHANGES_MAX).contains(&room) {
        return Err(Problem::field("maxResults", format!("must be between 1 and {BULK_CHANGES_MAX}")));
    }
    let mut after = match body.next_page_token.filter(|token| !token.is_empty()) {
        Some(token) => view
            .open_page(&token)
            .and_then(|state| BulkPosition::open(&state))
            .ok_or_else(|| Problem::invalid("The provided nextPageToken is invalid or has expired."))?,
        None => BulkPosition { issue: 0, change: 0 },
    };
    let named = facts::visible_all_named(cx.tx(), &view, &body.issue_ids_or_keys).await?;
    let mut issues: Vec<i64> = named.iter().map(|(_, facts)| facts.id.0).filter(|id| *id >= after.issue).collect();
    issues.sort_unstable();
    let mut out = Map::new();
    let mut logs: Vec<Json> = Vec::new();
    // One issue at a time, so that no more changes are in memory than of one issue and the page.
    for issue in issues {
        let mut changes = load(cx.tx(), &view, &[issue]).await?;
        if !fields.is_empty() {
            changes.iter_mut().for_each(|change| change.items.retain(|item| fields.contains(&item.field_id)));
        }
        changes.retain(|change| !change.items.is_empty() && (issue > after.issue || change.id > after.change));
        let more = changes.len() > room;
        changes.truncate(room);
        room = room.saturating_sub(changes.len());
        if let Some(last) = changes.last() {
            after = BulkPosition { issue, change: last.id };
            let people = authors(cx.tx(), &changes).await?;
            let histories: Vec<Json> = changes.iter().map(|change| bulk_json(change, &people, &input)).collect();
            logs.push(json!({"issueId": issue.to_string(), "changeHistories": histories}));
        }
        if more {
            out.insert("nextPageToken".into(), view.seal_page(&after.sealed())?.into());
            break;
        }
    }
    out.insert("issueChangeLogs".into(), logs.into());
    cx.done(Reply::json(Json::Object(out)))
}

/// Unlike elsewhere, Jira gives the moment in milliseconds here.
fn bulk_json(change: &Change, people: &HashMap<UserId, wire::Person>, input: &Input) -> Json {
    let mut json = json_of(change, people, input);
    if let Some(json) = json.as_object_mut() {
        json.insert("created".into(), change.created_at_ms.into());
    }
    json
}

/// The last change of a page of changes read together.
struct BulkPosition {
    issue: i64,
    change: i64,
}

impl BulkPosition {
    /// The word in front keeps page tokens of searches out.
    const WORD: &str = "changes";

    fn sealed(&self) -> Vec<u8> {
        format!("{} {} {}", Self::WORD, self.issue, self.change).into_bytes()
    }

    fn open(state: &[u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(state).ok()?.split(' ');
        words.next().filter(|word| *word == Self::WORD)?;
        let issue = words.next()?.parse().ok()?;
        let change = words.next()?.parse().ok()?;
        words.next().is_none().then_some(Self { issue, change })
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(list_by_ids);
    handlers.on(bulk_fetch);
}
