//! Showing issues: which fields, what `expand` adds, and the objects themselves, read in batches.

use std::collections::{BTreeSet, HashMap};

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{GroupId, IssueId, LevelId, Problem, ProjectId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::sql::{self, push_ids};
use super::{duration, facts, history, meta, transition};
use crate::comment::{self, html_of, shown_text};
use crate::refs::{self, LevelRef, ProjectRef, Refs};
use crate::restriction::push_unrestricted_in;
use crate::wire::{self, Person};

/// Comments inside an issue.
const COMMENTS_MAX: i64 = 100;
/// Worklogs inside an issue, as Jira has it.
const WORKLOGS_MAX: i64 = 20;
/// Sub-tasks, links or attachments read in one answer.
const RELATED_MAX: i64 = 20_000;
/// Issues in one `bulkfetch`, as Jira has it.
const BULK_MAX: usize = 100;
/// Properties shown with an issue.
const PROPERTIES_MAX: i64 = 200;

/// What a selection starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `*all`.
    All,
    /// `*navigable`.
    Navigable,
    /// Only what is named.
    Nothing,
}

/// Fields that `*navigable` leaves out.
const NOT_NAVIGABLE: [&str; 4] = ["attachment", "comment", "timetracking", "worklog"];

/// Which fields of an issue are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSelection {
    base: Base,
    named: BTreeSet<String>,
    left_out: BTreeSet<String>,
}

impl FieldSelection {
    /// Reads `*all`, `*navigable`, `a,b` and `-x`. Without any field, or with exclusions only, it starts from `default`.
    pub fn parse(fields: &[&str], default: Base) -> Self {
        let mut out = Self { base: Base::Nothing, named: BTreeSet::new(), left_out: BTreeSet::new() };
        for field in fields.iter().flat_map(|field| field.split(',')).map(str::trim).filter(|field| !field.is_empty()) {
            match field {
                "*all" => out.base = Base::All,
                "*navigable" if out.base == Base::Nothing => out.base = Base::Navigable,
                "*navigable" => {}
                field => match field.strip_prefix('-') {
                    Some(field) => drop(out.left_out.insert(field.to_owned())),
                    None => drop(out.named.insert(field.to_owned())),
                },
            }
        }
        if out.base == Base::Nothing && out.named.is_empty() {
            let only_exclusions = !out.left_out.is_empty();
            out.base = if only_exclusions && default == Base::Nothing { Base::Navigable } else { default };
        }
        out
    }

    /// Whether the field is shown.
    pub fn has(&self, field: &str) -> bool {
        if self.left_out.contains(field) {
            return false;
        }
        match self.base {
            Base::All => true,
            Base::Navigable => !NOT_NAVIGABLE.contains(&field) || self.named.contains(field),
            Base::Nothing => self.named.contains(field),
        }
    }

    /// Whether nothing but the id is asked for: the object is then `{id}` alone.
    pub fn is_id_only(&self) -> bool {
        self.base == Base::Nothing && self.named.iter().all(|field| field == "id")
    }

    /// Whether the object has the member `fields`.
    pub fn has_fields(&self) -> bool {
        self.base != Base::Nothing || self.named.iter().any(|field| field != "id" && field != "key")
    }

    /// The same with the key, so that it is never the id alone.
    #[must_use]
    pub fn with_key(mut self) -> Self {
        self.named.insert("key".to_owned());
        self
    }

    fn has_any(&self, fields: &[&str]) -> bool {
        fields.iter().any(|field| self.has(field))
    }

    fn has_custom(&self) -> bool {
        self.base != Base::Nothing || self.named.iter().any(|field| field.starts_with("customfield_"))
    }
}

/// What `expand` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expand {
    /// `renderedFields`: rich text as HTML.
    pub rendered_fields: bool,
    /// `names`: what fields are called.
    pub names: bool,
    /// `schema`: what fields hold.
    pub schema: bool,
    /// `transitions`.
    pub transitions: bool,
    /// `transitions.fields`.
    pub transition_fields: bool,
    /// `operations`.
    pub operations: bool,
    /// `editmeta`.
    pub edit_meta: bool,
    /// `changelog`.
    pub changelog: bool,
}

impl Expand {
    /// Reads the words of `expand`; unknown ones are ignored.
    pub fn parse(words: &[&str]) -> Self {
        let has = |word: &str| words.iter().flat_map(|words| words.split(',')).any(|found| found.trim() == word);
        Self {
            rendered_fields: has("renderedFields"),
            names: has("names"),
            schema: has("schema"),
            transitions: has("transitions") || has("transitions.fields"),
            transition_fields: has("transitions.fields"),
            operations: has("operations"),
            edit_meta: has("editmeta"),
            changelog: has("changelog"),
        }
    }

    /// From the query.
    pub fn of(input: &Input) -> Self {
        Self::parse(&input.query_list("expand"))
    }
}

/// What the `expand` member of an issue lists.
const EXPANDABLE: &str = "renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations";

/// An issue's own row.
#[derive(Clone, Debug)]
pub(crate) struct IssueRow {
    pub facts: IssueFacts,
    pub key: String,
    pub issue_type: i64,
    pub status: i64,
    pub priority: Option<i64>,
    pub resolution: Option<i64>,
    pub parent: Option<i64>,
    pub creator: Option<UserId>,
    pub summary: String,
    pub description: Option<String>,
    pub environment: Option<String>,
    pub due_date: Option<String>,
    pub created_at_ms: i64,
    pub updated_at_ms: i64,
    pub resolved_at_ms: Option<i64>,
    pub status_changed_at_ms: i64,
    pub original_estimate_s: Option<i64>,
    pub remaining_estimate_s: Option<i64>,
}

impl IssueRow {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            facts: facts::of_row(row)?,
            key: format!("{}-{}", row.get::<String>("project_key")?, row.get::<i64>("number")?),
            issue_type: row.get("issue_type_id")?,
            status: row.get("status_id")?,
            priority: row.get("priority_id")?,
            resolution: row.get("resolution_id")?,
            parent: row.get("parent_id")?,
            creator: row.get::<Option<i64>>("creator_id")?.map(UserId),
            summary: row.get("summary")?,
            description: row.get("description")?,
            environment: row.get("environment")?,
            due_date: row.get("due_date")?,
            created_at_ms: row.get("created_at_ms")?,
            updated_at_ms: row.get("updated_at_ms")?,
            resolved_at_ms: row.get("resolved_at_ms")?,
            status_changed_at_ms: row.get("status_changed_at_ms")?,
            original_estimate_s: row.get("original_estimate_s")?,
            remaining_estimate_s: row.get("remaining_estimate_s")?,
        })
    }

    fn id(&self) -> i64 {
        self.facts.id.0
    }
}

/// An issue that another one shows: parent, sub-task, the other end of a link.
struct Related {
    facts: IssueFacts,
    key: String,
    summary: String,
    status: i64,
    priority: Option<i64>,
    issue_type: i64,
    original_estimate_s: Option<i64>,
    remaining_estimate_s: Option<i64>,
    row: Row,
}

const RELATED_COLUMNS: &str = "
    i.id, i.project_id, i.security_level_id, i.reporter_id, i.assignee_id, p.key AS project_key, i.number, i.summary,
    i.status_id, i.priority_id, i.issue_type_id, i.parent_id, i.original_estimate_s, i.remaining_estimate_s ";

impl Related {
    fn json(&self, refs: &Refs, input: &Input) -> Json {
        json!({
            "id": self.facts.id.to_string(),
            "key": self.key,
            "self": input.api_url(&format!("/issue/{}", self.facts.id)),
            "fields": {
                "summary": self.summary,
                "status": refs.status(self.status, input),
                "priority": refs.priority(self.priority, input),
                "issuetype": refs.issue_type(self.issue_type, input),
            },
        })
    }
}

/// The related issues of a query that the caller sees. What is hidden is left out by the rule that decides requests for it.
async fn related<M: AnyMode>(tx: &mut Tx<M>, view: &View, sql: SqlBuilder) -> Result<Vec<Related>, StoreError> {
    let rows = tx.query(sql, &[]).await?;
    let mut all = rows.iter().map(facts::of_row).collect::<Result<Vec<_>, _>>()?;
    facts::add_pickers(tx, view, &mut all).await?;
    let mut out = Vec::with_capacity(rows.len());
    for (row, facts) in rows.into_iter().zip(all) {
        if !facts::sees(view, &facts) {
            continue;
        }
        out.push(Related {
            key: format!("{}-{}", row.get::<String>("project_key")?, row.get::<i64>("number")?),
            summary: row.get("summary")?,
            status: row.get("status_id")?,
            priority: row.get("priority_id")?,
            issue_type: row.get("issue_type_id")?,
            original_estimate_s: row.get("original_estimate_s")?,
            remaining_estimate_s: row.get("remaining_estimate_s")?,
            facts,
            row,
        });
    }
    Ok(out)
}

/// A custom field.
#[derive(Clone, Debug)]
pub(crate) struct CustomField {
    pub id: i64,
    pub name: String,
    pub kind: String,
}

/// The custom fields that are not in the trash, by id.
///
/// # Errors
/// The database's.
pub(crate) async fn custom_fields<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<CustomField>, StoreError> {
    let rows = tx.query("SELECT id, name, kind FROM jira_field WHERE trashed_at_ms IS NULL ORDER BY id", &[]).await?;
    let read = |row: &Row| Ok(CustomField { id: row.get("id")?, name: row.get("name")?, kind: row.get("kind")? });
    rows.iter().map(read).collect()
}

struct CustomRow {
    text: String,
    user: Option<UserId>,
    group: Option<i64>,
    option: Option<(i64, String)>,
}

/// Everything around the issues of one answer.
#[derive(Default)]
struct Around {
    refs: Refs,
    projects: HashMap<ProjectId, ProjectRef>,
    people: HashMap<UserId, Person>,
    levels: HashMap<LevelId, LevelRef>,
    labels: HashMap<i64, Vec<String>>,
    components: HashMap<i64, Vec<Json>>,
    fix_versions: HashMap<i64, Vec<Json>>,
    affects_versions: HashMap<i64, Vec<Json>>,
    fields: Vec<CustomField>,
    values: HashMap<(i64, i64), Vec<CustomRow>>,
    group_names: HashMap<i64, String>,
    parents: HashMap<i64, Related>,
    subtasks: HashMap<i64, Vec<Related>>,
    links: HashMap<i64, Vec<Json>>,
    comments: HashMap<i64, Json>,
    worklogs: HashMap<i64, Json>,
    attachments: HashMap<i64, Vec<Json>>,
    watches: HashMap<i64, (i64, bool)>,
    votes: HashMap<i64, (i64, bool)>,
    spent: HashMap<i64, i64>,
}

const TIME_FIELDS: [&str; 10] = [
    "timetracking",
    "timespent",
    "timeestimate",
    "timeoriginalestimate",
    "aggregatetimespent",
    "aggregatetimeestimate",
    "aggregatetimeoriginalestimate",
    "progress",
    "aggregateprogress",
    "workratio",
];
const AGGREGATES: [&str; 4] =
    ["aggregatetimespent", "aggregatetimeestimate", "aggregatetimeoriginalestimate", "aggregateprogress"];

/// Issues as objects, in the order of `ids`, which the caller was found to see; unknown ids are left out.
///
/// # Errors
/// The database's.
pub async fn issues_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    ids: &[i64],
    select: &FieldSelection,
    expand: &Expand,
) -> Result<Vec<Json>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    if select.is_id_only() && *expand == Expand::default() {
        return Ok(ids.iter().map(|id| json!({"id": id.to_string()})).collect());
    }
    // One issue: how much there is of everything comes with the row, so that nothing is asked for in vain.
    let single = ids.len() == 1;
    let mut statement = SqlBuilder::new(if single { sql::ISSUE_WITH_COUNTS } else { sql::ISSUE });
    push_ids(&mut statement, ids);
    let raw = tx.query(statement, &[]).await?;
    let counts = if single { raw.first() } else { None };
    let rows = raw.iter().map(IssueRow::of).collect::<Result<Vec<_>, _>>()?;
    let around = load_around(tx, view, input, &rows, counts, select).await?;
    let expanded = Expanded::load(tx, view, input, &rows, &around, expand).await?;
    let mut by_id: HashMap<i64, &IssueRow> = rows.iter().map(|row| (row.id(), row)).collect();
    Ok(ids
        .iter()
        .filter_map(|id| by_id.remove(id))
        .map(|row| one(row, &around, &expanded, input, select, expand))
        .collect())
}

/// Reads what the selected fields need, each kind of thing once for all issues.
async fn load_around<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    rows: &[IssueRow],
    counts: Option<&Row>,
    select: &FieldSelection,
) -> Result<Around, Problem> {
    let mut out = Around::default();
    let ids: Vec<i64> = rows.iter().map(IssueRow::id).collect();
    let there = |relation: &str| counts.is_none_or(|row| row.get::<i64>(relation).is_ok_and(|count| count > 0));
    let refers = ["issuetype", "status", "priority", "resolution", "parent", "subtasks", "issuelinks"];
    if select.has_any(&refers) {
        out.refs = Refs::load(tx).await?;
    }
    if select.has("project") {
        let projects: Vec<ProjectId> = rows.iter().map(|row| row.facts.project).collect();
        out.projects = refs::projects(tx, &projects).await?;
    }
    if select.has("security") {
        let levels: Vec<LevelId> = rows.iter().filter_map(|row| row.facts.level).collect();
        out.levels = refs::levels(tx, &levels).await?;
    }
    if select.has("labels") && there("labels") {
        let mut sql = SqlBuilder::new("SELECT issue_id, label FROM jira_issue_label WHERE issue_id IN ");
        push_ids(&mut sql, &ids);
        sql.push(" ORDER BY label {{c}}");
        for row in tx.query(sql, &[]).await? {
            out.labels.entry(row.get("issue_id")?).or_default().push(row.get("label")?);
        }
    }
    if select.has("components") && there("components") {
        out.components = components(tx, input, &ids).await?;
    }
    if select.has_any(&["fixVersions", "versions"]) && there("versions") {
        versions(tx, input, &ids, &mut out).await?;
    }
    if select.has_custom() {
        out.fields = custom_fields(tx).await?;
        if there("field_values") {
            out.values = custom_values(tx, &ids).await?;
            let groups = out.values.values().flatten().filter_map(|value| value.group);
            out.group_names = view
                .with(|snapshot| groups.filter_map(|id| Some((id, snapshot.group(GroupId(id))?.0.clone()))).collect());
        }
    }
    if select.has("parent") {
        let parents: Vec<i64> = rows.iter().filter_map(|row| row.parent).collect();
        if !parents.is_empty() {
            let mut sql = related_sql();
            sql.push("WHERE i.id IN ");
            push_ids(&mut sql, &parents);
            out.parents = related(tx, view, sql).await?.into_iter().map(|found| (found.facts.id.0, found)).collect();
        }
    }
    if (select.has("subtasks") || select.has_any(&AGGREGATES)) && there("children") {
        let mut sql = related_sql();
        sql.push("JOIN jira_issue_type t ON t.id = i.issue_type_id WHERE t.hierarchy_level < 0 AND i.parent_id IN ");
        push_ids(&mut sql, &ids);
        sql.push(" ORDER BY i.id LIMIT ").bind(RELATED_MAX);
        for found in related(tx, view, sql).await? {
            out.subtasks.entry(found.row.get("parent_id")?).or_default().push(found);
        }
    }
    if select.has("issuelinks") && there("links") {
        out.links = links(tx, view, input, &ids, &out.refs).await?;
    }
    if select.has("comment") && there("comments") {
        out.comments = comment::page(tx, view, input, &ids, COMMENTS_MAX).await?;
    }
    if select.has("worklog") && there("worklogs") {
        out.worklogs = crate::worklog::page(tx, view, input, &ids, WORKLOGS_MAX).await?;
    }
    if select.has("attachment") && there("attachments") {
        out.attachments = crate::attachment::of_issues(tx, view, input, &ids).await?;
    }
    let user = view.caller().user();
    if select.has("watches") && there("watchers") {
        out.watches = counted(tx, Counted::Watchers, &ids, user).await?;
    }
    if select.has("votes") && there("votes") {
        out.votes = counted(tx, Counted::Voters, &ids, user).await?;
    }
    if select.has_any(&TIME_FIELDS) && (there("worklogs") || !out.subtasks.is_empty()) {
        out.spent = spent(tx, view, rows, &out.subtasks).await?;
    }
    let mut people: Vec<UserId> = Vec::new();
    for row in rows {
        people.extend(row.facts.assignee.filter(|_| select.has("assignee")));
        people.extend(row.facts.reporter.filter(|_| select.has("reporter")));
        people.extend(row.creator.filter(|_| select.has("creator")));
    }
    people.extend(out.values.values().flatten().filter_map(|value| value.user));
    out.people = wire::people(tx, &people).await?;
    Ok(out)
}

fn related_sql() -> SqlBuilder {
    let mut sql = SqlBuilder::new("SELECT ");
    sql.push(RELATED_COLUMNS).push("FROM jira_issue i JOIN jira_project p ON p.id = i.project_id ");
    sql
}

async fn components<M: AnyMode>(
    tx: &mut Tx<M>,
    input: &Input,
    ids: &[i64],
) -> Result<HashMap<i64, Vec<Json>>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT r.issue_id, c.id, c.project_id, c.name, c.description
           FROM jira_issue_component r JOIN jira_component c ON c.id = r.component_id WHERE r.issue_id IN ",
    );
    push_ids(&mut sql, ids);
    sql.push(" ORDER BY c.name_folded {{c}}, c.id");
    let mut out: HashMap<i64, Vec<Json>> = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let component = refs::ComponentRef {
            id: row.get("id")?,
            project: ProjectId(row.get("project_id")?),
            name: row.get("name")?,
            description: row.get("description")?,
        };
        out.entry(row.get("issue_id")?).or_default().push(component.json(input));
    }
    Ok(out)
}

async fn versions<M: AnyMode>(tx: &mut Tx<M>, input: &Input, ids: &[i64], out: &mut Around) -> Result<(), StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT r.issue_id, r.kind, v.id, v.project_id, v.name, v.description, v.archived, v.released, v.start_date,
                v.release_date, v.position
           FROM jira_issue_version r JOIN jira_version v ON v.id = r.version_id WHERE r.issue_id IN ",
    );
    push_ids(&mut sql, ids);
    sql.push(" ORDER BY v.position, v.id");
    for row in tx.query(sql, &[]).await? {
        let fix = row.get::<String>("kind")? == "fix";
        let side = if fix { &mut out.fix_versions } else { &mut out.affects_versions };
        side.entry(row.get("issue_id")?).or_default().push(refs::VersionRef::of(&row)?.json(input));
    }
    Ok(())
}

async fn custom_values<M: AnyMode>(
    tx: &mut Tx<M>,
    ids: &[i64],
) -> Result<HashMap<(i64, i64), Vec<CustomRow>>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT v.issue_id, v.field_id, v.value, v.user_id, v.group_id, o.id AS option_id, o.value AS option_value
           FROM jira_issue_value v LEFT JOIN jira_field_option o ON o.id = v.option_id WHERE v.issue_id IN ",
    );
    push_ids(&mut sql, ids);
    sql.push(" ORDER BY v.issue_id, v.field_id, v.position");
    let mut out: HashMap<(i64, i64), Vec<CustomRow>> = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let option = match row.get::<Option<i64>>("option_id")? {
            Some(id) => Some((id, row.get("option_value")?)),
            None => None,
        };
        out.entry((row.get("issue_id")?, row.get("field_id")?)).or_default().push(CustomRow {
            text: row.get("value")?,
            user: row.get::<Option<i64>>("user_id")?.map(UserId),
            group: row.get("group_id")?,
            option,
        });
    }
    Ok(out)
}

/// Links by issue. Of a link the source shows the `outwardIssue` ("blocks"), the destination the `inwardIssue`.
async fn links<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    ids: &[i64],
    refs: &Refs,
) -> Result<HashMap<i64, Vec<Json>>, StoreError> {
    let mut sql =
        SqlBuilder::new("SELECT * FROM (SELECT l.id AS link_id, l.type_id, l.source_id AS owner_id, 1 AS outward,");
    sql.push(RELATED_COLUMNS);
    sql.push("FROM jira_issue_link l JOIN jira_issue i ON i.id = l.destination_id JOIN jira_project p ON p.id = i.project_id");
    sql.push(" WHERE l.source_id IN ");
    push_ids(&mut sql, ids);
    sql.push(" UNION ALL SELECT l.id AS link_id, l.type_id, l.destination_id AS owner_id, 0 AS outward,");
    sql.push(RELATED_COLUMNS);
    sql.push(
        "FROM jira_issue_link l JOIN jira_issue i ON i.id = l.source_id JOIN jira_project p ON p.id = i.project_id",
    );
    sql.push(" WHERE l.destination_id IN ");
    push_ids(&mut sql, ids);
    sql.push(") linked ORDER BY link_id, outward LIMIT ").bind(RELATED_MAX);
    let mut out: HashMap<i64, Vec<Json>> = HashMap::new();
    for other in related(tx, view, sql).await? {
        let link: i64 = other.row.get("link_id")?;
        let side = if other.row.get::<bool>("outward")? { "outwardIssue" } else { "inwardIssue" };
        let mut json = Map::new();
        json.insert("id".into(), link.to_string().into());
        json.insert("self".into(), input.api_url(&format!("/issueLink/{link}")).into());
        json.insert("type".into(), refs.link_type(other.row.get("type_id")?, input));
        json.insert(side.into(), other.json(refs, input));
        out.entry(other.row.get("owner_id")?).or_default().push(Json::Object(json));
    }
    Ok(out)
}

/// Which people are counted.
#[derive(Clone, Copy)]
enum Counted {
    Watchers,
    Voters,
}

/// How many people watch or voted, and whether the caller is one of them.
async fn counted<M: AnyMode>(
    tx: &mut Tx<M>,
    who: Counted,
    ids: &[i64],
    user: Option<UserId>,
) -> Result<HashMap<i64, (i64, bool)>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT issue_id, COUNT(*) AS total, MAX(CASE WHEN user_id = ");
    // No account has the id 0.
    sql.bind(user.map_or(0, |user| user.0)).push(" THEN 1 ELSE 0 END) AS mine FROM ");
    sql.push(match who {
        Counted::Watchers => "jira_watcher",
        Counted::Voters => "jira_vote",
    });
    sql.push(" WHERE issue_id IN ");
    push_ids(&mut sql, ids);
    sql.push(" GROUP BY issue_id");
    let read = |row: &Row| Ok((row.get("issue_id")?, (row.get("total")?, row.get("mine")?)));
    tx.query(sql, &[]).await?.iter().map(read).collect()
}

/// Time logged, per issue and sub-task, in worklogs that are not restricted to others.
async fn spent<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    rows: &[IssueRow],
    subtasks: &HashMap<i64, Vec<Related>>,
) -> Result<HashMap<i64, i64>, StoreError> {
    let subtasks = subtasks.values().flatten().map(|found| &found.facts);
    let all: Vec<&IssueFacts> = rows.iter().map(|row| &row.facts).chain(subtasks).collect();
    let mut projects: Vec<ProjectId> = all.iter().map(|facts| facts.project).collect();
    projects.sort_unstable();
    projects.dedup();
    let mut sql = SqlBuilder::new(
        "SELECT c.issue_id, CAST(SUM(c.time_spent_s) AS BIGINT) AS spent_s
           FROM jira_worklog c JOIN jira_issue i ON i.id = c.issue_id WHERE c.issue_id IN ",
    );
    push_ids(&mut sql, &all.iter().map(|facts| facts.id.0).collect::<Vec<_>>());
    sql.push(" AND ");
    push_unrestricted_in(&mut sql, view, &projects);
    sql.push(" GROUP BY c.issue_id");
    tx.query(sql, &[]).await?.iter().map(|row| Ok((row.get("issue_id")?, row.get("spent_s")?))).collect()
}

/// What `expand` adds, by issue.
#[derive(Default)]
struct Expanded {
    names: Json,
    schema: Json,
    changelogs: HashMap<i64, Json>,
    transitions: HashMap<i64, Json>,
    edit_metas: HashMap<i64, Json>,
}

impl Expanded {
    async fn load<M: AnyMode>(
        tx: &mut Tx<M>,
        view: &View,
        input: &Input,
        rows: &[IssueRow],
        around: &Around,
        expand: &Expand,
    ) -> Result<Self, Problem> {
        let mut out = Self::default();
        if expand.names || expand.schema {
            let loaded = if around.fields.is_empty() { custom_fields(tx).await? } else { around.fields.clone() };
            (out.names, out.schema) = meta::names_and_schema(&loaded);
        }
        if expand.changelog {
            let ids: Vec<i64> = rows.iter().map(IssueRow::id).collect();
            out.changelogs = history::expanded(tx, view, input, &ids).await?;
        }
        if expand.transitions || expand.edit_meta {
            let mut all: Vec<IssueFacts> = rows.iter().map(|row| row.facts.clone()).collect();
            facts::add_pickers(tx, view, &mut all).await?;
            for (row, facts) in rows.iter().zip(&all) {
                if expand.transitions {
                    let list =
                        transition::list_json(tx, view, input, facts, row.status, expand.transition_fields).await?;
                    out.transitions.insert(row.id(), Json::Array(list));
                }
                if expand.edit_meta {
                    let fields = meta::edit_fields(tx, view, input, facts, row.issue_type).await?;
                    out.edit_metas.insert(row.id(), json!({"fields": fields}));
                }
            }
        }
        Ok(out)
    }
}

/// What fields are called and what they hold, for the answers of a search (`expand=names,schema`).
///
/// # Errors
/// The database's.
pub async fn names_and_schema<M: AnyMode>(tx: &mut Tx<M>) -> Result<(Json, Json), StoreError> {
    Ok(meta::names_and_schema(&custom_fields(tx).await?))
}

fn one(
    row: &IssueRow,
    around: &Around,
    expanded: &Expanded,
    input: &Input,
    select: &FieldSelection,
    expand: &Expand,
) -> Json {
    let id = row.id();
    let mut out = Map::new();
    out.insert("expand".into(), EXPANDABLE.into());
    out.insert("id".into(), id.to_string().into());
    out.insert("self".into(), input.api_url(&format!("/issue/{id}")).into());
    out.insert("key".into(), row.key.clone().into());
    if expand.names {
        out.insert("names".into(), expanded.names.clone());
    }
    if expand.schema {
        out.insert("schema".into(), expanded.schema.clone());
    }
    if expand.operations {
        out.insert("operations".into(), json!({"linkGroups": []}));
    }
    if let Some(transitions) = expanded.transitions.get(&id) {
        out.insert("transitions".into(), transitions.clone());
    }
    if let Some(edit_meta) = expanded.edit_metas.get(&id) {
        out.insert("editmeta".into(), edit_meta.clone());
    }
    if let Some(changelog) = expanded.changelogs.get(&id) {
        out.insert("changelog".into(), changelog.clone());
    }
    if !select.has_fields() {
        return Json::Object(out);
    }
    let fields = Sheet { row, around, input, select, out: Map::new() }.fill();
    if expand.rendered_fields {
        out.insert("renderedFields".into(), rendered(row, around, input, &fields));
    }
    out.insert("fields".into(), Json::Object(fields));
    Json::Object(out)
}

/// The fields of one issue, being filled in.
struct Sheet<'a> {
    row: &'a IssueRow,
    around: &'a Around,
    input: &'a Input,
    select: &'a FieldSelection,
    out: Map<String, Json>,
}

impl Sheet<'_> {
    fn put(&mut self, field: &str, value: impl FnOnce(&Self) -> Json) {
        if self.select.has(field) {
            let value = value(self);
            self.out.insert(field.to_owned(), value);
        }
    }

    fn fill(mut self) -> Map<String, Json> {
        let (row, around, input) = (self.row, self.around, self.input);
        let id = row.id();
        let list = |lists: &HashMap<i64, Vec<Json>>| Json::Array(lists.get(&id).cloned().unwrap_or_default());
        let person = |id: Option<UserId>| wire::person_json(&around.people, id, input);
        self.put("statuscategorychangedate", |_| wire::moment(row.status_changed_at_ms).into());
        self.put("issuetype", |_| around.refs.issue_type(row.issue_type, input));
        if let Some(parent) = row.parent.and_then(|parent| around.parents.get(&parent)) {
            self.put("parent", |_| parent.json(&around.refs, input));
        }
        self.put("project", |_| around.projects.get(&row.facts.project).map_or(Json::Null, |found| found.json(input)));
        self.put("fixVersions", |_| list(&around.fix_versions));
        self.put("resolution", |_| around.refs.resolution(row.resolution, input));
        self.put("resolutiondate", |_| row.resolved_at_ms.map(wire::moment).into());
        self.put("lastViewed", |_| Json::Null);
        self.put("watches", |_| {
            let (count, mine) = around.watches.get(&id).copied().unwrap_or_default();
            let link = input.api_url(&format!("/issue/{}/watchers", row.key));
            json!({"self": link, "watchCount": count, "isWatching": mine})
        });
        self.put("created", |_| wire::moment(row.created_at_ms).into());
        self.put("priority", |_| around.refs.priority(row.priority, input));
        self.put("labels", |_| around.labels.get(&id).cloned().unwrap_or_default().into());
        self.put("versions", |_| list(&around.affects_versions));
        self.put("issuelinks", |_| list(&around.links));
        self.put("assignee", |_| person(row.facts.assignee));
        self.put("updated", |_| wire::moment(row.updated_at_ms).into());
        self.put("status", |_| around.refs.status(row.status, input));
        self.put("components", |_| list(&around.components));
        self.put("description", |_| text(input, row.description.as_deref()));
        self.put("security", |_| {
            row.facts.level.and_then(|level| around.levels.get(&level)).map_or(Json::Null, |level| level.json(input))
        });
        self.put("attachment", |_| list(&around.attachments));
        self.put("summary", |_| row.summary.clone().into());
        self.put("creator", |_| person(row.creator));
        self.put("subtasks", |_| {
            let subtasks = around.subtasks.get(&id).map_or(&[][..], Vec::as_slice);
            Json::Array(subtasks.iter().map(|found| found.json(&around.refs, input)).collect())
        });
        self.put("reporter", |_| person(row.facts.reporter));
        self.put("environment", |_| text(input, row.environment.as_deref()));
        self.put("duedate", |_| row.due_date.clone().into());
        self.put("votes", |_| {
            let (count, mine) = around.votes.get(&id).copied().unwrap_or_default();
            json!({"self": input.api_url(&format!("/issue/{}/votes", row.key)), "votes": count, "hasVoted": mine})
        });
        self.put("comment", |_| around.comments.get(&id).cloned().unwrap_or_else(|| no_comments(input, id)));
        self.put("worklog", |_| around.worklogs.get(&id).cloned().unwrap_or_else(no_worklogs));
        self.time();
        for field in &around.fields {
            self.put(&format!("customfield_{}", field.id), |_| custom_json(field, around, id, input));
        }
        self.out
    }

    /// Estimates and time spent, of the issue and together with its visible sub-tasks.
    fn time(&mut self) {
        if !self.select.has_any(&TIME_FIELDS) {
            return;
        }
        let (row, around) = (self.row, self.around);
        let id = row.id();
        let own = Effort {
            spent_s: around.spent.get(&id).copied(),
            original_s: row.original_estimate_s,
            remaining_s: row.remaining_estimate_s,
        };
        let parts = around.subtasks.get(&id).into_iter().flatten().map(|found| Effort {
            spent_s: around.spent.get(&found.facts.id.0).copied(),
            original_s: found.original_estimate_s,
            remaining_s: found.remaining_estimate_s,
        });
        let all = parts.fold(own, Effort::plus);
        self.put("timespent", |_| own.spent_s.into());
        self.put("timeestimate", |_| own.remaining_s.into());
        self.put("timeoriginalestimate", |_| own.original_s.into());
        self.put("aggregatetimespent", |_| all.spent_s.into());
        self.put("aggregatetimeestimate", |_| all.remaining_s.into());
        self.put("aggregatetimeoriginalestimate", |_| all.original_s.into());
        self.put("progress", |_| own.progress());
        self.put("aggregateprogress", |_| all.progress());
        self.put("workratio", |_| own.ratio().into());
        self.put("timetracking", |_| own.json());
    }
}

/// Estimates and time spent, in seconds.
#[derive(Clone, Copy)]
struct Effort {
    spent_s: Option<i64>,
    original_s: Option<i64>,
    remaining_s: Option<i64>,
}

impl Effort {
    fn plus(self, other: Self) -> Self {
        let sum = |a: Option<i64>, b: Option<i64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        Self {
            spent_s: sum(self.spent_s, other.spent_s),
            original_s: sum(self.original_s, other.original_s),
            remaining_s: sum(self.remaining_s, other.remaining_s),
        }
    }

    fn progress(self) -> Json {
        let spent = self.spent_s.unwrap_or(0);
        let total = spent.saturating_add(self.remaining_s.unwrap_or(0));
        if total == 0 {
            return json!({"progress": 0, "total": 0});
        }
        json!({"progress": spent, "total": total, "percent": spent.saturating_mul(100) / total})
    }

    /// Time spent as a percentage of the estimate; -1 without one.
    fn ratio(self) -> i64 {
        match self.original_s {
            Some(original) if original > 0 => self.spent_s.unwrap_or(0).saturating_mul(100) / original,
            _ => -1,
        }
    }

    fn json(self) -> Json {
        let mut out = Map::new();
        let members = [
            ("originalEstimate", self.original_s),
            ("remainingEstimate", self.remaining_s),
            ("timeSpent", self.spent_s),
        ];
        for (name, seconds) in members {
            if let Some(seconds) = seconds {
                out.insert(name.to_owned(), duration::format(seconds).into());
            }
        }
        for (name, seconds) in members {
            if let Some(seconds) = seconds {
                out.insert(format!("{name}Seconds"), seconds.into());
            }
        }
        Json::Object(out)
    }
}

fn text(input: &Input, stored: Option<&str>) -> Json {
    stored.map_or(Json::Null, |stored| shown_text(input, stored))
}

fn no_comments(input: &Input, issue: i64) -> Json {
    let link = input.api_url(&format!("/issue/{issue}/comment"));
    json!({"comments": [], "self": link, "maxResults": 0, "total": 0, "startAt": 0})
}

fn no_worklogs() -> Json {
    json!({"startAt": 0, "maxResults": WORKLOGS_MAX, "total": 0, "worklogs": []})
}

fn custom_json(field: &CustomField, around: &Around, issue: i64, input: &Input) -> Json {
    let values = around.values.get(&(issue, field.id)).map_or(&[][..], Vec::as_slice);
    if values.is_empty() {
        return Json::Null;
    }
    let shown = values.iter().filter_map(|value| custom_value_json(field, value, around, input));
    if meta::is_list(&field.kind) { Json::Array(shown.collect()) } else { shown.take(1).next().unwrap_or(Json::Null) }
}

fn custom_value_json(field: &CustomField, value: &CustomRow, around: &Around, input: &Input) -> Option<Json> {
    match field.kind.as_str() {
        "textarea" => Some(shown_text(input, &value.text)),
        "float" => value.text.parse::<serde_json::Number>().ok().map(Json::Number),
        "select" | "multiselect" => {
            let (id, words) = value.option.as_ref()?;
            let link = input.api_url(&format!("/customFieldOption/{id}"));
            Some(json!({"self": link, "value": words, "id": id.to_string()}))
        }
        "userpicker" | "multiuserpicker" => Some(around.people.get(&value.user?)?.json(input)),
        "grouppicker" => {
            let name = around.group_names.get(&value.group?)?;
            let link = input.api_url(&format!("/group?groupId={}", wire::encode_query(&value.text)));
            Some(json!({"name": name, "groupId": value.text, "self": link}))
        }
        _ => Some(value.text.clone().into()),
    }
}

/// `renderedFields`: rich text as HTML, moments as people read them, `null` for what has no other form.
fn rendered(row: &IssueRow, around: &Around, input: &Input, fields: &Map<String, Json>) -> Json {
    let mut out = Map::new();
    for (name, value) in fields {
        let html = |stored: Option<&str>| Json::from(stored.map(html_of).unwrap_or_default());
        let shown = match name.as_str() {
            "description" => html(row.description.as_deref()),
            "environment" => html(row.environment.as_deref()),
            "created" => wire_date(row.created_at_ms).into(),
            "updated" => wire_date(row.updated_at_ms).into(),
            "statuscategorychangedate" => wire_date(row.status_changed_at_ms).into(),
            "resolutiondate" => row.resolved_at_ms.map(wire_date).into(),
            "timespent"
            | "timeestimate"
            | "timeoriginalestimate"
            | "aggregatetimespent"
            | "aggregatetimeestimate"
            | "aggregatetimeoriginalestimate" => value.as_i64().map(duration::format).into(),
            "duedate" | "timetracking" | "issuelinks" | "subtasks" | "attachment" => value.clone(),
            "comment" => with_html(value, "comments", "body", input),
            "worklog" => with_html(value, "worklogs", "comment", input),
            custom => rendered_custom(custom, row, around),
        };
        out.insert(name.clone(), shown);
    }
    Json::Object(out)
}

fn rendered_custom(name: &str, row: &IssueRow, around: &Around) -> Json {
    let id = name.strip_prefix("customfield_").and_then(|id| id.parse::<i64>().ok());
    let field = around.fields.iter().find(|field| Some(field.id) == id && field.kind == "textarea");
    field
        .and_then(|field| around.values.get(&(row.id(), field.id))?.first())
        .map_or(Json::Null, |value| html_of(&value.text).into())
}

/// A page of comments or worklogs with HTML in place of its text.
fn with_html(page: &Json, list: &str, member: &str, input: &Input) -> Json {
    let mut page = page.clone();
    for item in page.get_mut(list).and_then(Json::as_array_mut).into_iter().flatten() {
        let Some(text) = item.get_mut(member) else { continue };
        *text = meta::html(input, text).into();
    }
    page
}

/// `01/Jul/26 12:34 PM`.
fn wire_date(ms: i64) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let moment = wire::moment(ms);
    let part = |from: usize, to: usize| moment.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"");
    let hour = part(11, 13).parse::<u32>().unwrap_or(0);
    let half = if hour < 12 { "AM" } else { "PM" };
    let shown = if hour % 12 == 0 { 12 } else { hour % 12 };
    format!("{}/{month}/{} {shown}:{} {half}", part(8, 10), part(2, 4), part(14, 16))
}

/// `GET issue/{issueIdOrKey}`.
pub async fn get(mut cx: Ctx<op::GetIssue>, input: Input) -> Outcome<op::GetIssue> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.id;
    let select = FieldSelection::parse(&input.query_list("fields"), Base::All).with_key();
    let json = shown(cx.tx(), &view, &input, issue, &select).await?;
    cx.done(Reply::json(json))
}

/// One issue with what the query asks for in `expand` and `properties`.
pub(crate) async fn shown<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    input: &Input,
    issue: IssueId,
    select: &FieldSelection,
) -> Result<Json, Problem> {
    let mut found = issues_json(tx, view, input, &[issue.0], select, &Expand::of(input)).await?;
    let mut json = found.pop().ok_or_else(|| Problem::bug("a located issue is missing"))?;
    let wanted = input.query_list("properties");
    if !wanted.is_empty()
        && let Some(object) = json.as_object_mut()
    {
        object.insert(
            "properties".into(),
            properties(tx, &[issue.0], &wanted).await?.remove(&issue.0).unwrap_or_else(|| json!({})),
        );
    }
    Ok(json)
}

/// The properties of issues, as `{key: value}`: all for `*all`, else those named, without those named with `-`.
///
/// # Errors
/// The database's.
pub async fn properties<M: AnyMode>(
    tx: &mut Tx<M>,
    issues: &[i64],
    wanted: &[&str],
) -> Result<HashMap<i64, Json>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT entity_id, key, value FROM (
             SELECT entity_id, key, value, ROW_NUMBER() OVER (PARTITION BY entity_id ORDER BY key {{c}}) AS place
               FROM jira_property WHERE entity_type = 'issue' AND entity_id IN ",
    );
    push_ids(&mut sql, issues);
    sql.push(") kept WHERE place <= ").bind(PROPERTIES_MAX).push(" ORDER BY entity_id, place");
    let all = wanted.contains(&"*all") || wanted.iter().all(|key| key.starts_with('-'));
    let mut out: HashMap<i64, Map<String, Json>> = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let key: String = row.get("key")?;
        let left_out = wanted.iter().any(|word| word.strip_prefix('-') == Some(key.as_str()));
        if left_out || !(all || wanted.contains(&key.as_str())) {
            continue;
        }
        let value = serde_json::from_str(&row.get::<String>("value")?).unwrap_or(Json::Null);
        out.entry(row.get("entity_id")?).or_default().insert(key, value);
    }
    Ok(out.into_iter().map(|(issue, properties)| (issue, Json::Object(properties))).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkFetch {
    issue_ids_or_keys: Vec<String>,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    expand: Vec<String>,
    #[serde(default)]
    properties: Vec<String>,
}

/// `POST issue/bulkfetch`: of the issues named, those that the caller sees.
pub async fn bulk_fetch(mut cx: Ctx<op::BulkFetchIssues>, input: Input) -> Outcome<op::BulkFetchIssues> {
    let view = cx.view().clone();
    let body: BulkFetch = input.parse()?;
    if body.issue_ids_or_keys.is_empty() || body.issue_ids_or_keys.len() > BULK_MAX {
        return Err(Problem::field(
            "issueIdsOrKeys",
            format!("Between 1 and {BULK_MAX} issues can be fetched at once."),
        ));
    }
    let named = facts::visible_all_named(cx.tx(), &view, &body.issue_ids_or_keys).await?;
    let mut ids: Vec<i64> = named.iter().map(|(_, facts)| facts.id.0).collect();
    // Jira answers in ascending order of id.
    ids.sort_unstable();
    let fields: Vec<&str> = body.fields.iter().map(String::as_str).collect();
    let expand: Vec<&str> = body.expand.iter().map(String::as_str).collect();
    let select = FieldSelection::parse(&fields, Base::Navigable).with_key();
    let mut issues = issues_json(cx.tx(), &view, &input, &ids, &select, &Expand::parse(&expand)).await?;
    if !body.properties.is_empty() && !ids.is_empty() {
        let wanted: Vec<&str> = body.properties.iter().map(String::as_str).collect();
        let mut found = properties(cx.tx(), &ids, &wanted).await?;
        for (id, issue) in ids.iter().zip(&mut issues) {
            if let Some(issue) = issue.as_object_mut() {
                issue.insert("properties".into(), found.remove(id).unwrap_or_else(|| json!({})));
            }
        }
    }
    cx.done(Reply::json(json!({"expand": EXPANDABLE, "issues": issues, "issueErrors": []})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(bulk_fetch);
}

#[cfg(test)]
mod tests {
    use super::{Base, FieldSelection, wire_date};

    #[test]
    fn selections_read_as_jira_reads_them() {
        let all = FieldSelection::parse(&[], Base::All);
        assert!(all.has("comment") && all.has("customfield_10001") && all.has_fields());
        let some = FieldSelection::parse(&["summary,status", "-status"], Base::All);
        assert!(some.has("summary") && !some.has("status") && !some.has("comment"));
        let without = FieldSelection::parse(&["-description"], Base::Nothing);
        assert!(without.has("summary") && !without.has("description") && !without.has("comment"));
        let navigable = FieldSelection::parse(&["*navigable", "comment"], Base::Nothing);
        assert!(navigable.has("comment") && !navigable.has("worklog"));
    }

    #[test]
    fn id_alone_has_no_fields() {
        assert!(FieldSelection::parse(&[], Base::Nothing).is_id_only());
        assert!(FieldSelection::parse(&["id"], Base::All).is_id_only());
        let key = FieldSelection::parse(&["key"], Base::Nothing);
        assert!(!key.is_id_only() && !key.has_fields());
        assert!(!FieldSelection::parse(&["id"], Base::All).with_key().is_id_only());
    }

    #[test]
    fn rendered_moments_read_like_jiras() {
        assert_eq!(wire_date(1_751_373_296_789), "01/Jul/25 12:34 PM");
        assert_eq!(wire_date(0), "01/Jan/70 12:00 AM");
    }
}
