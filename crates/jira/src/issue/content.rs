//! What can be written into an issue, as one value: read from the database, changed in memory by the fields of a request, and saved
//! as the difference, which is the changelog too.

use std::collections::{BTreeMap, HashMap};

use portcullis_guard::{AnyMode, Row, SqlBuilder, StoreError, Tx, Value, Writes};
use portcullis_model::{GroupId, IssueId, LevelId, ProjectId, Timestamp, UserId};

use super::history::{self, ChangeItem};
use crate::refs::{self, Refs};
use crate::rich_text::Document;
use crate::wire;

/// One value of a custom field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomValue {
    /// Text, number, date (`2026-07-01`), moment (as the wire writes it, in UTC), ADF text, option id, account id or `groupId`.
    pub text: String,
    /// What searches compare with, in lower case: of an option its words, of a group its name, of rich text its plain text.
    pub folded: String,
    /// The person of a user picker.
    pub user: Option<UserId>,
    /// The group of a group picker.
    pub group: Option<GroupId>,
    /// The option of a select list.
    pub option: Option<i64>,
}

/// What can be written into an issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Its project.
    pub project: ProjectId,
    /// Its type.
    pub issue_type: i64,
    /// Its status; `None` where new issues start.
    pub status: Option<i64>,
    /// One line.
    pub summary: String,
    /// Rich text.
    pub description: Option<Document>,
    /// Rich text.
    pub environment: Option<Document>,
    /// How urgent; on creation `None` is the site's usual one.
    pub priority: Option<i64>,
    /// How it ended.
    pub resolution: Option<i64>,
    /// Who may see it.
    pub security: Option<LevelId>,
    /// The issue it is part of.
    pub parent: Option<IssueId>,
    /// Who asked for it.
    pub reporter: Option<UserId>,
    /// Who does it.
    pub assignee: Option<UserId>,
    /// `2026-07-01`.
    pub due_date: Option<String>,
    /// Estimate at the start, in seconds.
    pub original_estimate_s: Option<i64>,
    /// Estimate of what is left, in seconds.
    pub remaining_estimate_s: Option<i64>,
    /// Words; sorted, each once.
    pub labels: Vec<String>,
    /// Components of the project; sorted, each once.
    pub components: Vec<i64>,
    /// Versions it is fixed in; sorted, each once.
    pub fix_versions: Vec<i64>,
    /// Versions it is in; sorted, each once.
    pub affects_versions: Vec<i64>,
    /// Values of custom fields by field id; an empty field is absent.
    pub custom: BTreeMap<i64, Vec<CustomValue>>,
}

/// Lower case for searches, without what the database cannot hold.
pub(crate) fn fold(text: &str) -> String {
    crate::text::fold(text).replace('\0', "")
}

impl Content {
    /// An issue with nothing but what every issue needs.
    pub fn new(project: ProjectId, issue_type: i64, summary: impl Into<String>) -> Self {
        Self {
            project,
            issue_type,
            status: None,
            summary: summary.into(),
            description: None,
            environment: None,
            priority: None,
            resolution: None,
            security: None,
            parent: None,
            reporter: None,
            assignee: None,
            due_date: None,
            original_estimate_s: None,
            remaining_estimate_s: None,
            labels: Vec::new(),
            components: Vec::new(),
            fix_versions: Vec::new(),
            affects_versions: Vec::new(),
            custom: BTreeMap::new(),
        }
    }

    /// What is stored of an issue.
    ///
    /// # Errors
    /// The database's, also when there is no such issue.
    pub(crate) async fn load<M: AnyMode>(tx: &mut Tx<M>, issue: IssueId) -> Result<Self, StoreError> {
        let sql = "SELECT project_id, issue_type_id, status_id, summary, description, environment, priority_id, resolution_id,
                          security_level_id, parent_id, reporter_id, assignee_id, due_date, original_estimate_s,
                          remaining_estimate_s
                     FROM jira_issue WHERE id = $1";
        let row = tx.query_one(sql, &[issue.0.into()]).await?;
        let mut out = Self {
            project: ProjectId(row.get("project_id")?),
            issue_type: row.get("issue_type_id")?,
            status: Some(row.get("status_id")?),
            summary: row.get("summary")?,
            description: document(row.get("description")?),
            environment: document(row.get("environment")?),
            priority: row.get("priority_id")?,
            resolution: row.get("resolution_id")?,
            security: row.get::<Option<i64>>("security_level_id")?.map(LevelId),
            parent: row.get::<Option<i64>>("parent_id")?.map(IssueId),
            reporter: row.get::<Option<i64>>("reporter_id")?.map(UserId),
            assignee: row.get::<Option<i64>>("assignee_id")?.map(UserId),
            due_date: row.get("due_date")?,
            original_estimate_s: row.get("original_estimate_s")?,
            remaining_estimate_s: row.get("remaining_estimate_s")?,
            labels: Vec::new(),
            components: Vec::new(),
            fix_versions: Vec::new(),
            affects_versions: Vec::new(),
            custom: BTreeMap::new(),
        };
        let sql = "SELECT label FROM jira_issue_label WHERE issue_id = $1 ORDER BY label {{c}}";
        out.labels = column(&tx.query(sql, &[issue.0.into()]).await?, "label")?;
        let sql = "SELECT component_id FROM jira_issue_component WHERE issue_id = $1 ORDER BY component_id";
        out.components = column(&tx.query(sql, &[issue.0.into()]).await?, "component_id")?;
        let sql = "SELECT version_id, kind FROM jira_issue_version WHERE issue_id = $1 ORDER BY version_id";
        for row in tx.query(sql, &[issue.0.into()]).await? {
            let fix = row.get::<String>("kind")? == "fix";
            let versions = if fix { &mut out.fix_versions } else { &mut out.affects_versions };
            versions.push(row.get("version_id")?);
        }
        let sql = "SELECT field_id, value, value_folded, user_id, group_id, option_id
                     FROM jira_issue_value WHERE issue_id = $1 ORDER BY field_id, position";
        for row in tx.query(sql, &[issue.0.into()]).await? {
            out.custom.entry(row.get("field_id")?).or_default().push(CustomValue {
                text: row.get("value")?,
                folded: row.get("value_folded")?,
                user: row.get::<Option<i64>>("user_id")?.map(UserId),
                group: row.get::<Option<i64>>("group_id")?.map(GroupId),
                option: row.get("option_id")?,
            });
        }
        Ok(out)
    }
}

fn column<T: portcullis_guard::FromValue>(rows: &[Row], name: &str) -> Result<Vec<T>, StoreError> {
    rows.iter().map(|row| row.get(name)).collect()
}

/// The document in a column; what is there was checked when it was written.
fn document(text: Option<String>) -> Option<Document> {
    Document::from_adf(serde_json::from_str(&text?).ok()?).ok()
}

fn adf_text(document: Option<&Document>) -> Option<String> {
    document.map(|document| document.as_json().to_string())
}

fn folded_text(document: Option<&Document>) -> String {
    document.map(|document| fold(&document.to_text())).unwrap_or_default()
}

/// The columns of `jira_issue` that hold the content, in the order of both statements below.
fn values(content: &Content) -> Vec<Value> {
    vec![
        content.issue_type.into(),
        content.status.into(),
        content.priority.into(),
        content.resolution.into(),
        content.security.map(|level| level.0).into(),
        content.parent.map(|issue| issue.0).into(),
        content.reporter.map(|user| user.0).into(),
        content.assignee.map(|user| user.0).into(),
        content.summary.as_str().into(),
        fold(&content.summary).into(),
        adf_text(content.description.as_ref()).into(),
        folded_text(content.description.as_ref()).into(),
        adf_text(content.environment.as_ref()).into(),
        folded_text(content.environment.as_ref()).into(),
        content.due_date.clone().into(),
        content.original_estimate_s.into(),
        content.remaining_estimate_s.into(),
    ]
}

/// Inserts an issue under its number. `content.status` is set by now.
pub(crate) async fn insert_row<M: Writes>(
    tx: &mut Tx<M>,
    content: &Content,
    number: i64,
    creator: Option<UserId>,
    now: Timestamp,
) -> Result<IssueId, StoreError> {
    let sql = "INSERT INTO jira_issue
                   (issue_type_id, status_id, priority_id, resolution_id, security_level_id, parent_id, reporter_id, assignee_id,
                    summary, summary_folded, description, description_folded, environment, environment_folded, due_date,
                    original_estimate_s, remaining_estimate_s, project_id, number, creator_id, created_at_ms, updated_at_ms,
                    status_changed_at_ms, resolved_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $21, $21,
                       $22)
               RETURNING id";
    let mut all = values(content);
    all.extend([content.project.0.into(), number.into(), creator.map(|user| user.0).into(), now.0.into()]);
    all.push(content.resolution.map(|_| now.0).into());
    let issue = IssueId(tx.query_one(sql, &all).await?.get("id")?);
    insert_lists(tx, issue, content).await?;
    Ok(issue)
}

async fn insert_lists<M: Writes>(tx: &mut Tx<M>, issue: IssueId, content: &Content) -> Result<(), StoreError> {
    insert_labels(tx, issue, &content.labels).await?;
    insert_components(tx, issue, &content.components).await?;
    insert_versions(tx, issue, &content.fix_versions, "fix").await?;
    insert_versions(tx, issue, &content.affects_versions, "affects").await?;
    for (field, values) in &content.custom {
        insert_custom(tx, issue, *field, values).await?;
    }
    Ok(())
}

async fn insert_labels<M: Writes>(tx: &mut Tx<M>, issue: IssueId, labels: &[String]) -> Result<(), StoreError> {
    for label in labels {
        let sql = "INSERT INTO jira_issue_label (issue_id, label) VALUES ($1, $2)";
        tx.execute(sql, &[issue.0.into(), label.into()]).await?;
    }
    Ok(())
}

async fn insert_components<M: Writes>(tx: &mut Tx<M>, issue: IssueId, components: &[i64]) -> Result<(), StoreError> {
    for component in components {
        let sql = "INSERT INTO jira_issue_component (issue_id, component_id) VALUES ($1, $2)";
        tx.execute(sql, &[issue.0.into(), (*component).into()]).await?;
    }
    Ok(())
}

async fn insert_versions<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    versions: &[i64],
    kind: &'static str,
) -> Result<(), StoreError> {
    for version in versions {
        let sql = "INSERT INTO jira_issue_version (issue_id, version_id, kind) VALUES ($1, $2, $3)";
        tx.execute(sql, &[issue.0.into(), (*version).into(), kind.into()]).await?;
    }
    Ok(())
}

async fn insert_custom<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    field: i64,
    values: &[CustomValue],
) -> Result<(), StoreError> {
    for (position, value) in values.iter().enumerate() {
        let sql = "INSERT INTO jira_issue_value
                       (issue_id, field_id, position, value, value_folded, user_id, group_id, option_id)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let all = [
            issue.0.into(),
            field.into(),
            position.into(),
            value.text.as_str().into(),
            value.folded.as_str().into(),
            value.user.map(|user| user.0).into(),
            value.group.map(|group| group.0).into(),
            value.option.into(),
        ];
        tx.execute(sql, &all).await?;
    }
    Ok(())
}

/// Who writes, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    pub user: Option<UserId>,
    pub now: Timestamp,
}

/// Saves what differs, with its changelog, and marks the issue as updated. `more` are items about what is stored elsewhere.
/// Returns whether anything differed.
pub(crate) async fn save<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    author: Author,
    before: &Content,
    after: &Content,
    more: Vec<ChangeItem>,
) -> Result<bool, StoreError> {
    let mut items = more;
    if before != after {
        items.extend(differences(tx, before, after).await?);
        update_row(tx, issue, author.now, before, after).await?;
        update_lists(tx, issue, before, after).await?;
        if before.security != after.security {
            follow_security(tx, issue, author, before, after).await?;
        }
    }
    if items.is_empty() && before == after {
        return Ok(false);
    }
    history::touch(tx, issue, author.now).await?;
    history::record(tx, issue, author.user, author.now, &items).await?;
    Ok(true)
}

async fn update_row<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    now: Timestamp,
    before: &Content,
    after: &Content,
) -> Result<(), StoreError> {
    let sql = "UPDATE jira_issue
                  SET issue_type_id = $1, status_id = $2, priority_id = $3, resolution_id = $4, security_level_id = $5,
                      parent_id = $6, reporter_id = $7, assignee_id = $8, summary = $9, summary_folded = $10,
                      description = $11, description_folded = $12, environment = $13, environment_folded = $14,
                      due_date = $15, original_estimate_s = $16, remaining_estimate_s = $17
                WHERE id = $18";
    let mut all = values(after);
    all.push(issue.0.into());
    tx.execute(sql, &all).await?;
    if before.status != after.status {
        let sql = "UPDATE jira_issue SET status_changed_at_ms = $2 WHERE id = $1";
        tx.execute(sql, &[issue.0.into(), now.0.into()]).await?;
    }
    if before.resolution.is_some() != after.resolution.is_some() {
        let sql = "UPDATE jira_issue SET resolved_at_ms = $2 WHERE id = $1";
        tx.execute(sql, &[issue.0.into(), after.resolution.map(|_| now.0).into()]).await?;
    }
    Ok(())
}

async fn update_lists<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    before: &Content,
    after: &Content,
) -> Result<(), StoreError> {
    let id: Value = issue.0.into();
    if before.labels != after.labels {
        tx.execute("DELETE FROM jira_issue_label WHERE issue_id = $1", std::slice::from_ref(&id)).await?;
        insert_labels(tx, issue, &after.labels).await?;
    }
    if before.components != after.components {
        tx.execute("DELETE FROM jira_issue_component WHERE issue_id = $1", std::slice::from_ref(&id)).await?;
        insert_components(tx, issue, &after.components).await?;
    }
    if before.fix_versions != after.fix_versions || before.affects_versions != after.affects_versions {
        tx.execute("DELETE FROM jira_issue_version WHERE issue_id = $1", std::slice::from_ref(&id)).await?;
        insert_versions(tx, issue, &after.fix_versions, "fix").await?;
        insert_versions(tx, issue, &after.affects_versions, "affects").await?;
    }
    for field in before.custom.keys().chain(after.custom.keys().filter(|field| !before.custom.contains_key(field))) {
        if before.custom.get(field) == after.custom.get(field) {
            continue;
        }
        let sql = "DELETE FROM jira_issue_value WHERE issue_id = $1 AND field_id = $2";
        tx.execute(sql, &[id.clone(), (*field).into()]).await?;
        insert_custom(tx, issue, *field, after.custom.get(field).map_or(&[], Vec::as_slice)).await?;
    }
    Ok(())
}

/// Sub-tasks have the security level of their parent at all times.
async fn follow_security<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    author: Author,
    before: &Content,
    after: &Content,
) -> Result<(), StoreError> {
    let sql = "UPDATE jira_issue SET security_level_id = $2, updated_at_ms = $3
                WHERE parent_id = $1 AND issue_type_id IN (SELECT id FROM jira_issue_type WHERE hierarchy_level < 0)
            RETURNING id";
    let level: Value = after.security.map(|level| level.0).into();
    let subtasks = tx.query(sql, &[issue.0.into(), level, author.now.0.into()]).await?;
    if subtasks.is_empty() {
        return Ok(());
    }
    let item = security_item(tx, before, after).await?;
    for row in subtasks {
        history::record(tx, IssueId(row.get("id")?), author.user, author.now, std::slice::from_ref(&item)).await?;
    }
    Ok(())
}

async fn security_item<M: AnyMode>(
    tx: &mut Tx<M>,
    before: &Content,
    after: &Content,
) -> Result<ChangeItem, StoreError> {
    let ids: Vec<LevelId> = before.security.into_iter().chain(after.security).collect();
    let levels = refs::levels(tx, &ids).await?;
    let name = |level: Option<LevelId>| level.and_then(|level| levels.get(&level)).map(|level| level.name.clone());
    Ok(ChangeItem::system("security", "security")
        .from(id_text(before.security.map(|level| level.0)), name(before.security))
        .to(id_text(after.security.map(|level| level.0)), name(after.security)))
}

fn id_text(id: Option<i64>) -> Option<String> {
    id.map(|id| id.to_string())
}

/// The changelog items of a difference.
async fn differences<M: AnyMode>(
    tx: &mut Tx<M>,
    before: &Content,
    after: &Content,
) -> Result<Vec<ChangeItem>, StoreError> {
    let mut items = Vec::new();
    if before.summary != after.summary {
        let item = ChangeItem::system("summary", "summary");
        items.push(item.from(None, Some(before.summary.clone())).to(None, Some(after.summary.clone())));
    }
    let wiki = |document: &Option<Document>| document.as_ref().map(|document| document.to_wiki().replace('\0', ""));
    for (name, old, new) in [
        ("description", &before.description, &after.description),
        ("environment", &before.environment, &after.environment),
    ] {
        if old != new {
            items.push(ChangeItem::system(name, name).from(None, wiki(old)).to(None, wiki(new)));
        }
    }
    if before.due_date != after.due_date {
        let item = ChangeItem::system("duedate", "duedate");
        let (old, new) = (before.due_date.clone(), after.due_date.clone());
        items.push(item.from(old.clone(), old).to(new.clone(), new));
    }
    for (name, old, new) in [
        ("timeoriginalestimate", before.original_estimate_s, after.original_estimate_s),
        ("timeestimate", before.remaining_estimate_s, after.remaining_estimate_s),
    ] {
        if old != new {
            let item = ChangeItem::system(name, name);
            items.push(item.from(id_text(old), id_text(old)).to(id_text(new), id_text(new)));
        }
    }
    if before.labels != after.labels {
        let item = ChangeItem::system("labels", "labels");
        items.push(
            item.from(Some(String::new()), Some(before.labels.join(" ")))
                .to(Some(String::new()), Some(after.labels.join(" "))),
        );
    }
    items.extend(small_tables(tx, before, after).await?);
    items.extend(people(tx, before, after).await?);
    if before.security != after.security {
        items.push(security_item(tx, before, after).await?);
    }
    if before.parent != after.parent {
        items.push(parent_item(tx, before, after).await?);
    }
    items.extend(members(tx, before, after).await?);
    items.extend(custom(tx, before, after).await?);
    Ok(items)
}

async fn small_tables<M: AnyMode>(
    tx: &mut Tx<M>,
    before: &Content,
    after: &Content,
) -> Result<Vec<ChangeItem>, StoreError> {
    let same = before.issue_type == after.issue_type
        && before.status == after.status
        && before.priority == after.priority
        && before.resolution == after.resolution;
    if same {
        return Ok(Vec::new());
    }
    let refs = Refs::load(tx).await?;
    let names = |name: &str, id: Option<i64>| {
        let id = id?;
        match name {
            "issuetype" => refs.find_issue_type(id).map(|found| found.name.clone()),
            "status" => refs.find_status(id).map(|found| found.name.clone()),
            "priority" => refs.find_priority(id).map(|found| found.name.clone()),
            _ => refs.find_resolution(id).map(|found| found.name.clone()),
        }
    };
    let all = [
        ("issuetype", Some(before.issue_type), Some(after.issue_type)),
        ("status", before.status, after.status),
        ("priority", before.priority, after.priority),
        ("resolution", before.resolution, after.resolution),
    ];
    Ok(all
        .into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(name, old, new)| {
            ChangeItem::system(name, name).from(id_text(old), names(name, old)).to(id_text(new), names(name, new))
        })
        .collect())
}

async fn people<M: AnyMode>(tx: &mut Tx<M>, before: &Content, after: &Content) -> Result<Vec<ChangeItem>, StoreError> {
    let pairs = [("assignee", before.assignee, after.assignee), ("reporter", before.reporter, after.reporter)];
    let changed: Vec<_> = pairs.into_iter().filter(|(_, old, new)| old != new).collect();
    let ids: Vec<UserId> = changed.iter().flat_map(|(_, old, new)| old.iter().chain(new).copied()).collect();
    let people = wire::people(tx, &ids).await?;
    let account = |id: Option<UserId>| id.and_then(|id| people.get(&id)).map(|person| person.account_id.clone());
    let name = |id: Option<UserId>| id.and_then(|id| people.get(&id)).map(|person| person.display_name.clone());
    Ok(changed
        .into_iter()
        .map(|(field, old, new)| {
            ChangeItem::system(field, field).from(account(old), name(old)).to(account(new), name(new))
        })
        .collect())
}

async fn parent_item<M: AnyMode>(tx: &mut Tx<M>, before: &Content, after: &Content) -> Result<ChangeItem, StoreError> {
    let mut keys: HashMap<IssueId, String> = HashMap::new();
    for parent in before.parent.into_iter().chain(after.parent) {
        keys.insert(parent, key_of(tx, parent).await?);
    }
    let key = |parent: Option<IssueId>| parent.and_then(|parent| keys.get(&parent).cloned());
    Ok(ChangeItem::system("Parent", "parent")
        .from(id_text(before.parent.map(|issue| issue.0)), key(before.parent))
        .to(id_text(after.parent.map(|issue| issue.0)), key(after.parent)))
}

/// The key of an issue, as `ABC-12`.
///
/// # Errors
/// The database's, also when there is no such issue.
pub(crate) async fn key_of<M: AnyMode>(tx: &mut Tx<M>, issue: IssueId) -> Result<String, StoreError> {
    let sql = "SELECT p.key AS project_key, i.number FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.id = $1";
    let row = tx.query_one(sql, &[issue.0.into()]).await?;
    Ok(format!("{}-{}", row.get::<String>("project_key")?, row.get::<i64>("number")?))
}

/// Components and versions: one item for each that came or went.
async fn members<M: AnyMode>(tx: &mut Tx<M>, before: &Content, after: &Content) -> Result<Vec<ChangeItem>, StoreError> {
    let components: Vec<i64> = symmetric(&before.components, &after.components);
    let mut versions: Vec<i64> = symmetric(&before.fix_versions, &after.fix_versions);
    versions.extend(symmetric(&before.affects_versions, &after.affects_versions));
    let mut names: HashMap<i64, String> =
        refs::components(tx, &components).await?.into_iter().map(|(id, found)| (id, found.name)).collect();
    let mut items = member_items("Component", "components", &before.components, &after.components, &names);
    names = refs::versions(tx, &versions).await?.into_iter().map(|(id, found)| (id, found.name)).collect();
    items.extend(member_items("Fix Version", "fixVersions", &before.fix_versions, &after.fix_versions, &names));
    items.extend(member_items("Version", "versions", &before.affects_versions, &after.affects_versions, &names));
    Ok(items)
}

fn symmetric(old: &[i64], new: &[i64]) -> Vec<i64> {
    let gone = old.iter().filter(|id| !new.contains(id));
    gone.chain(new.iter().filter(|id| !old.contains(id))).copied().collect()
}

fn member_items(
    field: &str,
    field_id: &str,
    old: &[i64],
    new: &[i64],
    names: &HashMap<i64, String>,
) -> Vec<ChangeItem> {
    let gone = old
        .iter()
        .filter(|id| !new.contains(id))
        .map(|id| ChangeItem::system(field, field_id).from(Some(id.to_string()), names.get(id).cloned()));
    let come = new
        .iter()
        .filter(|id| !old.contains(id))
        .map(|id| ChangeItem::system(field, field_id).to(Some(id.to_string()), names.get(id).cloned()));
    gone.chain(come).collect()
}

async fn custom<M: AnyMode>(tx: &mut Tx<M>, before: &Content, after: &Content) -> Result<Vec<ChangeItem>, StoreError> {
    let mut changed: Vec<i64> = before.custom.keys().chain(after.custom.keys()).copied().collect();
    changed.sort_unstable();
    changed.dedup();
    changed.retain(|field| before.custom.get(field) != after.custom.get(field));
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let mut names: HashMap<i64, String> = HashMap::new();
    for row in tx.query("SELECT id, name FROM jira_field", &[]).await? {
        names.insert(row.get("id")?, row.get("name")?);
    }
    let shown = shown_values(tx, before, after, &changed).await?;
    let texts = |values: Option<&Vec<CustomValue>>| {
        let text = |value: &CustomValue| shown.get(&value.text).cloned().unwrap_or_else(|| value.text.clone());
        values.map(|values| values.iter().map(text).collect::<Vec<_>>().join(", "))
    };
    let ids = |values: Option<&Vec<CustomValue>>| {
        let ids =
            values?.iter().filter(|value| value.user.is_some() || value.group.is_some() || value.option.is_some());
        Some(ids.map(|value| value.text.as_str()).collect::<Vec<_>>().join(", ")).filter(|ids| !ids.is_empty())
    };
    Ok(changed
        .into_iter()
        .map(|field| {
            let (old, new) = (before.custom.get(&field), after.custom.get(&field));
            let name = names.get(&field).cloned().unwrap_or_default();
            let mut item = ChangeItem::system(&name, &format!("customfield_{field}"));
            item.field_type = "custom";
            item.from(ids(old), texts(old)).to(ids(new), texts(new))
        })
        .collect())
}

/// Values as people read them, by what is stored: options, people and rich text.
async fn shown_values<M: AnyMode>(
    tx: &mut Tx<M>,
    before: &Content,
    after: &Content,
    fields: &[i64],
) -> Result<HashMap<String, String>, StoreError> {
    let of = |content: &Content| -> Vec<CustomValue> {
        fields.iter().filter_map(|field| content.custom.get(field)).flatten().cloned().collect()
    };
    let values: Vec<CustomValue> = of(before).into_iter().chain(of(after)).collect();
    let mut out = HashMap::new();
    let options: Vec<i64> = values.iter().filter_map(|value| value.option).collect();
    if !options.is_empty() {
        let mut sql = SqlBuilder::new("SELECT id, value FROM jira_field_option WHERE id IN ");
        sql.ids(&options);
        for row in tx.query(sql, &[]).await? {
            out.insert(row.get::<i64>("id")?.to_string(), row.get("value")?);
        }
    }
    let users: Vec<UserId> = values.iter().filter_map(|value| value.user).collect();
    for person in wire::people(tx, &users).await?.into_values() {
        out.insert(person.account_id, person.display_name);
    }
    for value in values.iter().filter(|value| value.text.starts_with('{')) {
        if let Some(document) = document(Some(value.text.clone())) {
            out.insert(value.text.clone(), document.to_wiki().replace('\0', ""));
        }
    }
    Ok(out)
}
