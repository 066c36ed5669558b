//! Fields of issues: the fixed ones and the custom ones.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::text::{bounded, fold};
use crate::visible::sees_projects;
use crate::wire::Paging;

const TYPE_PREFIX: &str = "com.atlassian.jira.plugin.system.customfieldtypes:";

/// A field that every site has.
struct System {
    id: &'static str,
    name: &'static str,
    orderable: bool,
    navigable: bool,
    searchable: bool,
    clauses: &'static [&'static str],
    /// Type, and the type of the items of an array.
    schema: Option<(&'static str, Option<&'static str>)>,
}

const fn system(
    id: &'static str,
    name: &'static str,
    (orderable, navigable, searchable): (bool, bool, bool),
    clauses: &'static [&'static str],
    schema: Option<(&'static str, Option<&'static str>)>,
) -> System {
    System { id, name, orderable, navigable, searchable, clauses, schema }
}

/// On screens, in lists and in searches.
const ALL: (bool, bool, bool) = (true, true, true);
/// In lists and searches.
const FOUND: (bool, bool, bool) = (false, true, true);
/// In lists.
const SHOWN: (bool, bool, bool) = (false, true, false);
/// On screens and in searches.
const ENTERED: (bool, bool, bool) = (true, false, true);

const SYSTEM: &[System] = &[
    system(
        "statuscategorychangedate",
        "Status Category Changed",
        FOUND,
        &["statusCategoryChangedDate"],
        Some(("datetime", None)),
    ),
    system("issuetype", "Issue Type", ALL, &["issuetype", "type"], Some(("issuetype", None))),
    system("parent", "Parent", SHOWN, &["parent"], None),
    system("timespent", "Time Spent", SHOWN, &["timespent"], Some(("number", None))),
    system("project", "Project", FOUND, &["project"], Some(("project", None))),
    system("fixVersions", "Fix versions", ALL, &["fixVersion"], Some(("array", Some("version")))),
    system("aggregatetimespent", "Σ Time Spent", SHOWN, &[], Some(("number", None))),
    system("statusCategory", "Status Category", FOUND, &["statusCategory"], Some(("statusCategory", None))),
    system("resolution", "Resolution", ALL, &["resolution"], Some(("resolution", None))),
    system("resolutiondate", "Resolved", FOUND, &["resolutiondate", "resolved"], Some(("datetime", None))),
    system("workratio", "Work Ratio", FOUND, &["workratio"], Some(("number", None))),
    system("watches", "Watchers", SHOWN, &["watchers"], Some(("watches", None))),
    system("lastViewed", "Last Viewed", SHOWN, &["lastViewed"], Some(("datetime", None))),
    system("created", "Created", FOUND, &["created", "createdDate"], Some(("datetime", None))),
    system("priority", "Priority", ALL, &["priority"], Some(("priority", None))),
    system("labels", "Labels", ALL, &["labels"], Some(("array", Some("string")))),
    system("timeestimate", "Remaining Estimate", SHOWN, &["remainingEstimate", "timeestimate"], Some(("number", None))),
    system("aggregatetimeoriginalestimate", "Σ Original Estimate", SHOWN, &[], Some(("number", None))),
    system("versions", "Affects versions", ALL, &["affectedVersion"], Some(("array", Some("version")))),
    system("issuelinks", "Linked Issues", ALL, &["issueLink"], Some(("array", Some("issuelinks")))),
    system("assignee", "Assignee", ALL, &["assignee"], Some(("user", None))),
    system("updated", "Updated", FOUND, &["updated", "updatedDate"], Some(("datetime", None))),
    system("status", "Status", FOUND, &["status"], Some(("status", None))),
    system("components", "Components", ALL, &["component"], Some(("array", Some("component")))),
    system("issuekey", "Key", SHOWN, &["id", "issue", "issuekey", "key"], None),
    system(
        "timeoriginalestimate",
        "Original estimate",
        SHOWN,
        &["originalEstimate", "timeoriginalestimate"],
        Some(("number", None)),
    ),
    system("description", "Description", ALL, &["description"], Some(("string", None))),
    system("timetracking", "Time tracking", ENTERED, &[], Some(("timetracking", None))),
    system("security", "Security Level", ALL, &["level"], Some(("securitylevel", None))),
    system("attachment", "Attachment", ENTERED, &["attachments"], Some(("array", Some("attachment")))),
    system("aggregatetimeestimate", "Σ Remaining Estimate", SHOWN, &[], Some(("number", None))),
    system("summary", "Summary", ALL, &["summary"], Some(("string", None))),
    system("creator", "Creator", FOUND, &["creator"], Some(("user", None))),
    system("subtasks", "Sub-tasks", SHOWN, &["subtasks"], Some(("array", Some("issuelinks")))),
    system("reporter", "Reporter", ALL, &["reporter"], Some(("user", None))),
    system("aggregateprogress", "Σ Progress", SHOWN, &[], Some(("progress", None))),
    system("environment", "Environment", ALL, &["environment"], Some(("string", None))),
    system("duedate", "Due date", ALL, &["due", "duedate"], Some(("date", None))),
    system("progress", "Progress", SHOWN, &["progress"], Some(("progress", None))),
    system("votes", "Votes", SHOWN, &["votes"], Some(("votes", None))),
    system("comment", "Comment", ENTERED, &["comment"], Some(("comments-page", None))),
    system("worklog", "Log Work", ENTERED, &[], Some(("array", Some("worklog")))),
];

impl System {
    fn schema_json(&self) -> Option<Json> {
        let (kind, items) = self.schema?;
        let mut schema = Map::new();
        schema.insert("type".into(), kind.into());
        if let Some(items) = items {
            schema.insert("items".into(), items.into());
        }
        schema.insert("system".into(), self.id.into());
        Some(Json::Object(schema))
    }

    fn json(&self) -> Json {
        let mut out = Map::new();
        out.insert("id".into(), self.id.into());
        out.insert("key".into(), self.id.into());
        out.insert("name".into(), self.name.into());
        out.insert("custom".into(), false.into());
        out.insert("orderable".into(), self.orderable.into());
        out.insert("navigable".into(), self.navigable.into());
        out.insert("searchable".into(), self.searchable.into());
        out.insert("clauseNames".into(), self.clauses.into());
        if let Some(schema) = self.schema_json() {
            out.insert("schema".into(), schema);
        }
        Json::Object(out)
    }
}

/// Kind, type, type of the items of an array.
const KINDS: [(&str, &str, Option<&str>); 12] = [
    ("textfield", "string", None),
    ("textarea", "string", None),
    ("float", "number", None),
    ("datepicker", "date", None),
    ("datetime", "datetime", None),
    ("select", "option", None),
    ("multiselect", "array", Some("option")),
    ("userpicker", "user", None),
    ("multiuserpicker", "array", Some("user")),
    ("grouppicker", "group", None),
    ("labels", "array", Some("string")),
    ("url", "string", None),
];

/// A custom field.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub id: i64,
    pub name: String,
    pub description: String,
    pub kind: String,
    pub trashed: bool,
}

const COLUMNS: &str = "SELECT id, name, description, kind, trashed_at_ms FROM jira_field ";

impl Field {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            kind: row.get("kind")?,
            trashed: row.get::<Option<i64>>("trashed_at_ms")?.is_some(),
        })
    }

    fn key(&self) -> String {
        format!("customfield_{}", self.id)
    }

    /// `{type,items?,custom,customId}`.
    pub(crate) fn schema_json(&self) -> Json {
        let (kind, items) = KINDS
            .into_iter()
            .find(|(kind, _, _)| *kind == self.kind)
            .map_or(("any", None), |(_, kind, items)| (kind, items));
        let mut schema = Map::new();
        schema.insert("type".into(), kind.into());
        if let Some(items) = items {
            schema.insert("items".into(), items.into());
        }
        schema.insert("custom".into(), format!("{TYPE_PREFIX}{}", self.kind).into());
        schema.insert("customId".into(), self.id.into());
        Json::Object(schema)
    }

    /// The object of `GET /field`.
    pub(crate) fn json(&self) -> Json {
        json!({
            "id": self.key(),
            "key": self.key(),
            "name": self.name,
            "untranslatedName": self.name,
            "custom": true,
            "orderable": true,
            "navigable": true,
            "searchable": true,
            "clauseNames": [format!("cf[{}]", self.id), self.name],
            "schema": self.schema_json(),
        })
    }
}

/// The custom fields that are not in the trash, by id.
///
/// # Errors
/// The database's.
pub(crate) async fn customs<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Field>, StoreError> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE trashed_at_ms IS NULL ORDER BY id");
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(Field::of).collect()
}

/// `customfield_10016` or `10016` as a number.
pub(crate) fn id_of(text: &str) -> Option<i64> {
    text.strip_prefix("customfield_").unwrap_or(text).parse().ok()
}

/// The id of a custom field of one of these kinds.
///
/// # Errors
/// 400; the database's.
pub(crate) async fn of_kind<M: AnyMode>(tx: &mut Tx<M>, text: &str, kinds: &[&str]) -> Result<i64, Problem> {
    let unknown = || Problem::invalid(format!("The custom field '{text}' does not exist or is not of a fitting type."));
    let field = find(tx, text).await?.ok_or_else(unknown)?;
    if kinds.contains(&field.kind.as_str()) && !field.trashed { Ok(field.id) } else { Err(unknown()) }
}

async fn find<M: AnyMode>(tx: &mut Tx<M>, text: &str) -> Result<Option<Field>, StoreError> {
    let Some(id) = id_of(text) else { return Ok(None) };
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE id = ").bind(id);
    tx.query_opt(sql, &[]).await?.as_ref().map(Field::of).transpose()
}

async fn named<M: AnyMode>(tx: &mut Tx<M>, text: &str) -> Result<Field, Problem> {
    let found = find(tx, text).await?;
    found.ok_or_else(|| Problem::not_found(format!("The custom field was not found: {text}")))
}

async fn all(mut cx: Ctx<op::GetFields>, _: Input) -> Outcome<op::GetFields> {
    let mut out: Vec<Json> = SYSTEM.iter().map(System::json).collect();
    // Custom fields are those of the caller's projects, which are all or none: every project has the same.
    if sees_projects(cx.view()) {
        out.extend(customs(cx.tx()).await?.iter().map(Field::json));
    }
    cx.done(Reply::json(Json::Array(out)))
}

/// The object of `GET /field/search`.
fn search_json(key: &str, name: &str, description: &str, schema: Json, is_system: bool) -> Json {
    json!({
        "id": key,
        "key": key,
        "name": name,
        "schema": schema,
        "description": description,
        "isLocked": is_system,
        "isUnscreenable": false,
        "contextsCount": i64::from(!is_system),
        "screensCount": 1,
        "lastUsed": {"type": "NOT_TRACKED"},
    })
}

async fn search(mut cx: Ctx<op::GetFieldsPaginated>, input: Input) -> Outcome<op::GetFieldsPaginated> {
    let paging = Paging::of(&input, 50, 100)?;
    let types = input.query_list("type");
    if types.iter().any(|kind| !matches!(*kind, "custom" | "system")) {
        return Err(Problem::invalid("Invalid field type. Valid values are: custom, system."));
    }
    let mut found: Vec<(String, String, Json)> = Vec::new();
    if types.is_empty() || types.contains(&"system") {
        for field in SYSTEM {
            let schema = field.schema_json().unwrap_or_else(|| json!({"type": "any", "system": field.id}));
            found.push((
                field.id.to_owned(),
                field.name.to_owned(),
                search_json(field.id, field.name, "", schema, true),
            ));
        }
    }
    if (types.is_empty() || types.contains(&"custom")) && sees_projects(cx.view()) {
        for field in customs(cx.tx()).await? {
            let json = search_json(&field.key(), &field.name, &field.description, field.schema_json(), false);
            found.push((field.key(), field.name, json));
        }
    }
    let ids = input.query_list("id");
    if !ids.is_empty() {
        found.retain(|(id, _, _)| ids.contains(&id.as_str()));
    }
    if let Some(query) = input.query("query").filter(|query| !query.is_empty()) {
        let query = fold(query);
        found.retain(|(_, name, _)| fold(name).contains(&query));
    }
    found.sort_by_key(|(_, name, _)| fold(name));
    if input.query("orderBy").is_some_and(|order| order.starts_with('-')) {
        found.reverse();
    }
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let items = paging.cut(found).into_iter().map(|(_, _, json)| json).collect();
    cx.done(Reply::json(paging.page(&input, "/field/search", "values", total, items)))
}

async fn trashed(mut cx: Ctx<op::GetTrashedFieldsPaginated>, input: Input) -> Outcome<op::GetTrashedFieldsPaginated> {
    let paging = Paging::of(&input, 50, 100)?;
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("WHERE trashed_at_ms IS NOT NULL ORDER BY name {{c}}, id");
    let rows = cx.tx().query(sql, &[]).await?;
    let fields = rows.iter().map(Field::of).collect::<Result<Vec<_>, _>>()?;
    let total = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    let items = paging
        .cut(fields)
        .iter()
        .map(|field| search_json(&field.key(), &field.name, &field.description, field.schema_json(), false))
        .collect();
    cx.done(Reply::json(paging.page(&input, "/field/search/trashed", "values", total, items)))
}

#[derive(Deserialize)]
struct Body {
    name: Option<String>,
    description: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

fn checked_name(name: Option<&str>) -> Result<&str, Problem> {
    let name = name.unwrap_or_default().trim();
    if name.is_empty() {
        return Err(Problem::field("name", "The custom field name must not be empty."));
    }
    bounded("name", name, 255)?;
    Ok(name)
}

async fn create(mut cx: Ctx<op::CreateCustomField>, input: Input) -> Outcome<op::CreateCustomField> {
    let body: Body = input.parse()?;
    let name = checked_name(body.name.as_deref())?.to_owned();
    let description = body.description.unwrap_or_default();
    bounded("description", &description, 40_000)?;
    let wanted = body.kind.unwrap_or_default();
    let kind = wanted.strip_prefix(TYPE_PREFIX).unwrap_or(&wanted);
    let Some((kind, _, _)) = KINDS.into_iter().find(|(known, _, _)| *known == kind) else {
        return Err(Problem::field("fieldType", format!("The custom field type '{wanted}' is not supported.")));
    };
    let sql = "INSERT INTO jira_field (name, description, kind) VALUES ($1, $2, $3) RETURNING id";
    let params = [name.as_str().into(), description.as_str().into(), kind.into()];
    let id: i64 = cx.tx().query_one(sql, &params).await?.get("id")?;
    let field = Field { id, name, description, kind: kind.to_owned(), trashed: false };
    cx.audit(format!("field:{id}"), None, Some(json!({"name": field.name, "type": field.kind})));
    cx.done(Reply::created(field.json()))
}

async fn update(mut cx: Ctx<op::UpdateCustomField>, input: Input) -> Outcome<op::UpdateCustomField> {
    let field = named(cx.tx(), input.param("fieldId")).await?;
    let body: Body = input.parse()?;
    let name = match &body.name {
        Some(name) => checked_name(Some(name))?.to_owned(),
        None => field.name.clone(),
    };
    let description = body.description.unwrap_or_else(|| field.description.clone());
    bounded("description", &description, 40_000)?;
    let sql = "UPDATE jira_field SET name = $2, description = $3 WHERE id = $1";
    cx.tx().execute(sql, &[field.id.into(), name.as_str().into(), description.as_str().into()]).await?;
    let note = |name: &str, description: &str| Some(json!({"name": name, "description": description}));
    cx.audit(format!("field:{}", field.id), note(&field.name, &field.description), note(&name, &description));
    cx.done(Reply::no_content())
}

async fn trash(mut cx: Ctx<op::TrashCustomField>, input: Input) -> Outcome<op::TrashCustomField> {
    let field = named(cx.tx(), input.param("id")).await?;
    let now = cx.now();
    let sql = "UPDATE jira_field SET trashed_at_ms = $2 WHERE id = $1 AND trashed_at_ms IS NULL";
    cx.tx().execute(sql, &[field.id.into(), now.0.into()]).await?;
    cx.audit(format!("field:{}", field.id), Some(json!({"trashed": field.trashed})), Some(json!({"trashed": true})));
    cx.done(Reply::json(json!({})))
}

async fn restore(mut cx: Ctx<op::RestoreCustomField>, input: Input) -> Outcome<op::RestoreCustomField> {
    let field = named(cx.tx(), input.param("id")).await?;
    cx.tx().execute("UPDATE jira_field SET trashed_at_ms = NULL WHERE id = $1", &[field.id.into()]).await?;
    cx.audit(format!("field:{}", field.id), Some(json!({"trashed": field.trashed})), Some(json!({"trashed": false})));
    cx.done(Reply::json(json!({})))
}

/// For good. Jira does this in the background; here it is done when the answer arrives. Grants that name the field stay and match
/// nobody: ids are not used again.
async fn delete(mut cx: Ctx<op::DeleteCustomField>, input: Input) -> Outcome<op::DeleteCustomField> {
    let field = named(cx.tx(), input.param("id")).await?;
    if !field.trashed {
        return Err(Problem::invalid("The custom field must be moved to the trash before it is deleted."));
    }
    cx.tx().execute("DELETE FROM jira_issue_value WHERE field_id = $1", &[field.id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_field_option WHERE field_id = $1", &[field.id.into()]).await?;
    cx.tx().execute("DELETE FROM jira_field WHERE id = $1", &[field.id.into()]).await?;
    cx.audit(format!("field:{}", field.id), Some(json!({"name": field.name, "type": field.kind})), None);
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(all);
    handlers.on(search);
    handlers.on(trashed);
    handlers.on(create);
    handlers.on(update);
    handlers.on(trash);
    handlers.on(restore);
    handlers.on(delete);
}
