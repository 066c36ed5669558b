//! What issues refer to by id: the site's small tables, loaded once per request, and projects, versions, components and levels in batches.

use std::collections::HashMap;

use portcullis_guard::{AnyMode, Input, Row, SqlBuilder, StoreError, Tx};
use portcullis_model::{LevelId, ProjectId};
use serde_json::{Map, Value as Json, json};

/// A kind of issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueType {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// -1 sub-task, 0 standard, 1 epic.
    pub hierarchy_level: i64,
}

impl IssueType {
    /// Whether its issues need a parent.
    pub fn is_subtask(&self) -> bool {
        self.hierarchy_level < 0
    }

    /// The object as it stands in issues and lists.
    pub fn json(&self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/issuetype/{}", self.id)),
            "id": self.id.to_string(),
            "description": self.description,
            "iconUrl": format!("{}/static/issuetype.svg", input.base_url()),
            "name": self.name,
            "subtask": self.is_subtask(),
            "hierarchyLevel": self.hierarchy_level,
        })
    }
}

/// The three groups of statuses that boards and reports know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusCategory {
    /// Not begun.
    New,
    /// Under way.
    Indeterminate,
    /// Finished.
    Done,
}

impl StatusCategory {
    /// All, in the order of their ids.
    pub const ALL: [StatusCategory; 3] = [StatusCategory::New, StatusCategory::Done, StatusCategory::Indeterminate];

    /// The category with this key; a text that is none counts as not begun, which the database's check rules out.
    pub fn of_key(key: &str) -> Self {
        Self::ALL.into_iter().find(|category| category.key() == key).unwrap_or(StatusCategory::New)
    }

    /// The number on the wire.
    pub const fn id(self) -> i64 {
        match self {
            StatusCategory::New => 2,
            StatusCategory::Done => 3,
            StatusCategory::Indeterminate => 4,
        }
    }

    /// The key on the wire and in the database.
    pub const fn key(self) -> &'static str {
        match self {
            StatusCategory::New => "new",
            StatusCategory::Done => "done",
            StatusCategory::Indeterminate => "indeterminate",
        }
    }

    /// The name people see.
    pub const fn name(self) -> &'static str {
        match self {
            StatusCategory::New => "To Do",
            StatusCategory::Done => "Done",
            StatusCategory::Indeterminate => "In Progress",
        }
    }

    const fn color(self) -> &'static str {
        match self {
            StatusCategory::New => "blue-gray",
            StatusCategory::Done => "green",
            StatusCategory::Indeterminate => "yellow",
        }
    }

    /// `{self,id,key,colorName,name}`.
    pub fn json(self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/statuscategory/{}", self.id())),
            "id": self.id(),
            "key": self.key(),
            "colorName": self.color(),
            "name": self.name(),
        })
    }
}

/// A status of the workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// Its group.
    pub category: StatusCategory,
}

impl Status {
    /// The object as it stands in issues and lists.
    pub fn json(&self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/status/{}", self.id)),
            "description": self.description,
            "iconUrl": format!("{}/static/status.svg", input.base_url()),
            "name": self.name,
            "id": self.id.to_string(),
            "statusCategory": self.category.json(input),
        })
    }
}

/// A priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// `#rrggbb`.
    pub color: String,
}

impl Priority {
    fn icon(&self, input: &Input) -> String {
        format!("{}/static/priority.svg", input.base_url())
    }

    /// The object as it stands in issues.
    pub fn json(&self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/priority/{}", self.id)),
            "iconUrl": self.icon(input),
            "name": self.name,
            "id": self.id.to_string(),
        })
    }

    /// The object as it stands in lists of priorities.
    pub fn full_json(&self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/priority/{}", self.id)),
            "statusColor": self.color,
            "description": self.description,
            "iconUrl": self.icon(input),
            "name": self.name,
            "id": self.id.to_string(),
        })
    }
}

/// How an issue came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
}

impl Resolution {
    /// The object as it stands in issues and lists.
    pub fn json(&self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/resolution/{}", self.id)),
            "id": self.id.to_string(),
            "description": self.description,
            "name": self.name,
        })
    }
}

/// A kind of link between issues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkType {
    /// Its id.
    pub id: i64,
    /// Its name, as "Blocks".
    pub name: String,
    /// Said of the destination: "is blocked by".
    pub inward: String,
    /// Said of the source: "blocks".
    pub outward: String,
}

impl LinkType {
    /// `{id,name,inward,outward,self}`.
    pub fn json(&self, input: &Input) -> Json {
        json!({
            "id": self.id.to_string(),
            "name": self.name,
            "inward": self.inward,
            "outward": self.outward,
            "self": input.api_url(&format!("/issueLinkType/{}", self.id)),
        })
    }
}

/// The site's small tables, each in the order in which lists show it.
#[derive(Clone, Debug, Default)]
pub struct Refs {
    /// By id.
    pub issue_types: Vec<IssueType>,
    /// By id.
    pub statuses: Vec<Status>,
    /// By position, the most urgent first.
    pub priorities: Vec<Priority>,
    /// By id.
    pub resolutions: Vec<Resolution>,
    /// By name.
    pub link_types: Vec<LinkType>,
}

impl Refs {
    /// Reads the five tables.
    ///
    /// # Errors
    /// The database's.
    pub async fn load<M: AnyMode>(tx: &mut Tx<M>) -> Result<Self, StoreError> {
        Ok(Self {
            issue_types: issue_types(tx).await?,
            statuses: statuses(tx).await?,
            priorities: priorities(tx).await?,
            resolutions: resolutions(tx).await?,
            link_types: link_types(tx).await?,
        })
    }

    /// The issue type's object; `null` for an id that is gone.
    pub fn issue_type(&self, id: i64, input: &Input) -> Json {
        self.find_issue_type(id).map_or(Json::Null, |found| found.json(input))
    }

    /// The status's object; `null` for an id that is gone.
    pub fn status(&self, id: i64, input: &Input) -> Json {
        self.find_status(id).map_or(Json::Null, |found| found.json(input))
    }

    /// The priority's object; `null` for none.
    pub fn priority(&self, id: Option<i64>, input: &Input) -> Json {
        id.and_then(|id| self.find_priority(id)).map_or(Json::Null, |found| found.json(input))
    }

    /// The resolution's object; `null` for none.
    pub fn resolution(&self, id: Option<i64>, input: &Input) -> Json {
        id.and_then(|id| self.find_resolution(id)).map_or(Json::Null, |found| found.json(input))
    }

    /// The link type's object; `null` for an id that is gone.
    pub fn link_type(&self, id: i64, input: &Input) -> Json {
        self.find_link_type(id).map_or(Json::Null, |found| found.json(input))
    }

    /// The issue type with this id.
    pub fn find_issue_type(&self, id: i64) -> Option<&IssueType> {
        self.issue_types.iter().find(|found| found.id == id)
    }

    /// The status with this id.
    pub fn find_status(&self, id: i64) -> Option<&Status> {
        self.statuses.iter().find(|found| found.id == id)
    }

    /// The priority with this id.
    pub fn find_priority(&self, id: i64) -> Option<&Priority> {
        self.priorities.iter().find(|found| found.id == id)
    }

    /// The resolution with this id.
    pub fn find_resolution(&self, id: i64) -> Option<&Resolution> {
        self.resolutions.iter().find(|found| found.id == id)
    }

    /// The link type with this id.
    pub fn find_link_type(&self, id: i64) -> Option<&LinkType> {
        self.link_types.iter().find(|found| found.id == id)
    }
}

/// The issue types alone, by id.
///
/// # Errors
/// The database's.
pub async fn issue_types<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<IssueType>, StoreError> {
    let rows = tx.query("SELECT id, name, description, hierarchy_level FROM jira_issue_type ORDER BY id", &[]).await?;
    let read = |row: &Row| {
        Ok(IssueType {
            id: row.get("id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            hierarchy_level: row.get("hierarchy_level")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The statuses alone, by id.
///
/// # Errors
/// The database's.
pub async fn statuses<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Status>, StoreError> {
    let rows = tx.query("SELECT id, name, description, category FROM jira_status ORDER BY id", &[]).await?;
    let read = |row: &Row| {
        Ok(Status {
            id: row.get("id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            category: StatusCategory::of_key(&row.get::<String>("category")?),
        })
    };
    rows.iter().map(read).collect()
}

/// The priorities alone, the most urgent first.
///
/// # Errors
/// The database's.
pub async fn priorities<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Priority>, StoreError> {
    let rows = tx.query("SELECT id, name, description, color FROM jira_priority ORDER BY position, id", &[]).await?;
    let read = |row: &Row| {
        Ok(Priority {
            id: row.get("id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            color: row.get("color")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The resolutions alone, by id.
///
/// # Errors
/// The database's.
pub async fn resolutions<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Resolution>, StoreError> {
    let rows = tx.query("SELECT id, name, description FROM jira_resolution ORDER BY id", &[]).await?;
    let read =
        |row: &Row| Ok(Resolution { id: row.get("id")?, name: row.get("name")?, description: row.get("description")? });
    rows.iter().map(read).collect()
}

/// The link types alone, by name.
///
/// # Errors
/// The database's.
pub async fn link_types<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<LinkType>, StoreError> {
    let rows = tx.query("SELECT id, name, inward, outward FROM jira_link_type ORDER BY name {{c}}, id", &[]).await?;
    let read = |row: &Row| {
        Ok(LinkType {
            id: row.get("id")?,
            name: row.get("name")?,
            inward: row.get("inward")?,
            outward: row.get("outward")?,
        })
    };
    rows.iter().map(read).collect()
}

/// A project as issues and lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRef {
    /// Its id.
    pub id: ProjectId,
    /// Its key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// `software` or `business`.
    pub type_key: String,
    /// Team-managed.
    pub team_managed: bool,
    /// Id, name and description of its category.
    pub category: Option<(i64, String, String)>,
}

impl ProjectRef {
    /// `{self,id,key,name,projectTypeKey,simplified,avatarUrls,projectCategory?}`.
    pub fn json(&self, input: &Input) -> Json {
        let mut out = Map::new();
        out.insert("self".into(), input.api_url(&format!("/project/{}", self.id)).into());
        out.insert("id".into(), self.id.to_string().into());
        out.insert("key".into(), self.key.clone().into());
        out.insert("name".into(), self.name.clone().into());
        out.insert("projectTypeKey".into(), self.type_key.clone().into());
        out.insert("simplified".into(), self.team_managed.into());
        out.insert("avatarUrls".into(), project_avatar_urls(input));
        if let Some((id, name, description)) = &self.category {
            out.insert("projectCategory".into(), category_json(*id, name, description, input));
        }
        Json::Object(out)
    }
}

/// The avatar links of a project, served by us.
pub fn project_avatar_urls(input: &Input) -> Json {
    let url = format!("{}/static/project.svg", input.base_url());
    json!({"48x48": url, "24x24": url, "16x16": url, "32x32": url})
}

/// `{self,id,name,description}`.
pub fn category_json(id: i64, name: &str, description: &str, input: &Input) -> Json {
    json!({
        "self": input.api_url(&format!("/projectCategory/{id}")),
        "id": id.to_string(),
        "name": name,
        "description": description,
    })
}

/// The projects with these ids; unknown ids are absent. Whether the caller may see them is the caller's business.
///
/// # Errors
/// The database's.
pub async fn projects<M: AnyMode>(
    tx: &mut Tx<M>,
    ids: &[ProjectId],
) -> Result<HashMap<ProjectId, ProjectRef>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new(
        "SELECT p.id, p.key, p.name, p.type_key, p.team_managed, c.id AS category_id, c.name AS category_name,
                c.description AS category_description
           FROM jira_project p LEFT JOIN jira_project_category c ON c.id = p.category_id WHERE p.id IN ",
    );
    sql.ids(&distinct(ids.iter().map(|id| id.0)));
    let mut out = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let category = match row.get::<Option<i64>>("category_id")? {
            Some(id) => Some((id, row.get("category_name")?, row.get("category_description")?)),
            None => None,
        };
        let project = ProjectRef {
            id: ProjectId(row.get("id")?),
            key: row.get("key")?,
            name: row.get("name")?,
            type_key: row.get("type_key")?,
            team_managed: row.get("team_managed")?,
            category,
        };
        out.insert(project.id, project);
    }
    Ok(out)
}

/// A version as issues show it, and all that lists of versions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRef {
    /// Its id.
    pub id: i64,
    /// Its project.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Archived.
    pub archived: bool,
    /// Released.
    pub released: bool,
    /// `2026-07-01`.
    pub start_date: Option<String>,
    /// `2026-07-01`.
    pub release_date: Option<String>,
    /// Place in the project's order.
    pub position: i64,
}

pub(crate) const VERSION_COLUMNS: &str = "SELECT id, project_id, name, description, archived, released, start_date, release_date, position FROM jira_version ";

impl VersionRef {
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            project: ProjectId(row.get("project_id")?),
            name: row.get("name")?,
            description: row.get("description")?,
            archived: row.get("archived")?,
            released: row.get("released")?,
            start_date: row.get("start_date")?,
            release_date: row.get("release_date")?,
            position: row.get("position")?,
        })
    }

    /// The object as it stands in issues: `{self,id,description?,name,archived,released,releaseDate?}`.
    pub fn json(&self, input: &Input) -> Json {
        let mut out = Map::new();
        out.insert("self".into(), input.api_url(&format!("/version/{}", self.id)).into());
        out.insert("id".into(), self.id.to_string().into());
        if let Some(description) = &self.description {
            out.insert("description".into(), description.clone().into());
        }
        out.insert("name".into(), self.name.clone().into());
        out.insert("archived".into(), self.archived.into());
        out.insert("released".into(), self.released.into());
        if let Some(date) = &self.release_date {
            out.insert("releaseDate".into(), date.clone().into());
        }
        Json::Object(out)
    }
}

/// The versions with these ids; unknown ids are absent.
///
/// # Errors
/// The database's.
pub async fn versions<M: AnyMode>(tx: &mut Tx<M>, ids: &[i64]) -> Result<HashMap<i64, VersionRef>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new(VERSION_COLUMNS);
    sql.push("WHERE id IN ").ids(&distinct(ids.iter().copied()));
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| VersionRef::of(row).map(|version| (version.id, version))).collect()
}

/// A component as issues show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentRef {
    /// Its id.
    pub id: i64,
    /// Its project.
    pub project: ProjectId,
    /// Its name.
    pub name: String,
    /// What it is for; may be empty.
    pub description: String,
}

impl ComponentRef {
    /// The object as it stands in issues: `{self,id,name,description?}`.
    pub fn json(&self, input: &Input) -> Json {
        let mut out = Map::new();
        out.insert("self".into(), input.api_url(&format!("/component/{}", self.id)).into());
        out.insert("id".into(), self.id.to_string().into());
        out.insert("name".into(), self.name.clone().into());
        if !self.description.is_empty() {
            out.insert("description".into(), self.description.clone().into());
        }
        Json::Object(out)
    }
}

/// The components with these ids; unknown ids are absent.
///
/// # Errors
/// The database's.
pub async fn components<M: AnyMode>(tx: &mut Tx<M>, ids: &[i64]) -> Result<HashMap<i64, ComponentRef>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new("SELECT id, project_id, name, description FROM jira_component WHERE id IN ");
    sql.ids(&distinct(ids.iter().copied()));
    let mut out = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let component = ComponentRef {
            id: row.get("id")?,
            project: ProjectId(row.get("project_id")?),
            name: row.get("name")?,
            description: row.get("description")?,
        };
        out.insert(component.id, component);
    }
    Ok(out)
}

/// A security level as issues show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelRef {
    /// Its id.
    pub id: LevelId,
    /// Its scheme's id.
    pub scheme: i64,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether new issues get it.
    pub is_default: bool,
}

impl LevelRef {
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        let id = row.get::<i64>("id")?;
        Ok(Self {
            id: LevelId(id),
            scheme: row.get("scheme_id")?,
            name: row.get("name")?,
            description: row.get("description")?,
            is_default: row.get::<Option<i64>>("default_level_id")? == Some(id),
        })
    }

    /// The object as it stands in issues: `{self,id,description,name}`.
    pub fn json(&self, input: &Input) -> Json {
        json!({
            "self": input.api_url(&format!("/securitylevel/{}", self.id)),
            "id": self.id.to_string(),
            "description": self.description,
            "name": self.name,
        })
    }
}

pub(crate) const LEVEL_COLUMNS: &str = "
    SELECT l.id, l.scheme_id, l.name, l.description, s.default_level_id
      FROM jira_security_level l JOIN jira_security_scheme s ON s.id = l.scheme_id ";

/// The security levels with these ids; unknown ids are absent.
///
/// # Errors
/// The database's.
pub async fn levels<M: AnyMode>(tx: &mut Tx<M>, ids: &[LevelId]) -> Result<HashMap<LevelId, LevelRef>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut sql = SqlBuilder::new(LEVEL_COLUMNS);
    sql.push("WHERE l.id IN ").ids(&distinct(ids.iter().map(|id| id.0)));
    let rows = tx.query(sql, &[]).await?;
    rows.iter().map(|row| LevelRef::of(row).map(|level| (level.id, level))).collect()
}

fn distinct(ids: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut out: Vec<i64> = ids.collect();
    out.sort_unstable();
    out.dedup();
    out
}
