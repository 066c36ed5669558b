//! From the words of a query to ids, among what the caller may see. What is hidden is not found, in the same words as what is not
//! there.

use std::collections::{HashMap, HashSet};

use portcullis_guard::{AnyMode, SqlBuilder, StoreError, Tx};

use crate::issue::facts::parse_key;
use crate::jql::{Operator, Value};
use crate::refs::StatusCategory;
use crate::search::asker::Asker;
use crate::search::evaluate::{Compiler, Set, Stop, said, shown, symbol};
use crate::search::fields::{CustomField, CustomKind, Kind};
use crate::search::fragment::Fragment;
use crate::search::functions::{self, Function};
use crate::visible::push_issue_visible;

/// The most names or ids of one look-up statement.
const CHUNK: usize = 5_000;

fn unknown<T>(name: &str, value: &Value) -> Result<T, Stop> {
    Err(Stop::Unknown(match value {
        Value::Number(id) => format!("A value with ID '{id}' does not exist for the field '{name}'."),
        Value::Text(_) | Value::Function { .. } | Value::Empty => {
            format!("The value '{}' does not exist for the field '{name}'.", shown(value))
        }
    }))
}

/// The projects the caller may name: those it browses, and those in which it sees at least one issue.
pub(crate) async fn known_projects<M: AnyMode>(tx: &mut Tx<M>, asker: &Asker) -> Result<Vec<i64>, StoreError> {
    let visibility = &asker.visibility;
    let mut known: Vec<i64> = visibility.projects.iter().map(|project| project.0).collect();
    let mut conditional: Vec<i64> = visibility.conditional.iter().map(|(project, _)| project.0).collect();
    conditional.retain(|project| !visibility.projects.iter().any(|known| known.0 == *project));
    conditional.sort_unstable();
    conditional.dedup();
    if !conditional.is_empty() {
        let mut sql = SqlBuilder::new("SELECT DISTINCT i.project_id FROM jira_issue i WHERE i.project_id IN ");
        sql.ids(&conditional).push(" AND ");
        push_issue_visible(&mut sql, visibility);
        for row in tx.query(sql, &[]).await? {
            known.push(row.get("project_id")?);
        }
    }
    known.sort_unstable();
    Ok(known)
}

/// The security levels that the caller is in, at least for some issues, in projects it may name: a level that only a hidden project
/// uses is as hidden as that project.
pub(crate) fn levels_in(asker: &Asker, known: &[i64]) -> Vec<i64> {
    let visibility = &asker.visibility;
    let always = visibility.levels.iter().map(|(project, level)| (project.0, level.0));
    let sometimes = visibility.conditional_levels.iter().map(|(project, level, _)| (project.0, level.0));
    let in_known = always.chain(sometimes).filter(|(project, _)| known.binary_search(project).is_ok());
    let mut ids: Vec<i64> = in_known.map(|(_, level)| level).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The custom fields that can be searched.
pub(crate) async fn custom_fields<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<CustomField>, StoreError> {
    let rows = tx.query("SELECT id, name, kind FROM jira_field WHERE trashed_at_ms IS NULL ORDER BY id", &[]).await?;
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(kind) = CustomKind::of(&row.get::<String>("kind")?) else { continue };
        out.push(CustomField { id: row.get("id")?, name: row.get("name")?, kind });
    }
    Ok(out)
}

/// Small whole numbers that a text may be, as an id.
fn id_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(id) => Some(*id),
        Value::Text(text) if !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) => {
            text.parse().ok()
        }
        Value::Text(_) | Value::Function { .. } | Value::Empty => None,
    }
}

/// Named things in memory: looked up by name in any case, then by id; by id first for an unquoted number.
struct Named(Vec<(i64, String)>);

impl Named {
    fn find(&self, value: &Value) -> Vec<i64> {
        let folded = shown(value).to_lowercase();
        let by_name: Vec<i64> = self.0.iter().filter(|(_, name)| *name == folded).map(|(id, _)| *id).collect();
        let by_id = || id_of(value).filter(|id| self.0.iter().any(|(known, _)| known == id)).into_iter().collect();
        let is_number = matches!(value, Value::Number(_));
        match (by_name.is_empty(), is_number) {
            (true, _) => by_id(),
            (false, true) => {
                let ids: Vec<i64> = by_id();
                if ids.is_empty() { by_name } else { ids }
            }
            (false, false) => by_name,
        }
    }
}

/// The texts of a list, in lower case, that can be bound.
fn folded(values: &[Value]) -> Vec<String> {
    values
        .iter()
        .filter(|value| matches!(value, Value::Text(_) | Value::Number(_)))
        .map(|value| shown(value).to_lowercase().replace('\0', "\u{fffd}"))
        .collect()
}

fn push_texts(sql: &mut SqlBuilder, texts: &[String]) {
    sql.push("(");
    for (at, text) in texts.iter().enumerate() {
        if at > 0 {
            sql.push(", ");
        }
        sql.bind(text.as_str());
    }
    sql.push(")");
}

impl<M: AnyMode> Compiler<'_, M> {
    pub(crate) async fn known(&mut self) -> Result<Vec<i64>, StoreError> {
        if self.known.is_none() {
            self.known = Some(known_projects(self.tx, self.asker).await?);
        }
        Ok(self.known.clone().unwrap_or_default())
    }

    pub(crate) async fn custom_fields(&mut self) -> Result<&[CustomField], StoreError> {
        if self.custom.is_none() {
            let visibility = &self.asker.visibility;
            let sees_none = visibility.projects.is_empty() && visibility.conditional.is_empty();
            self.custom = Some(if sees_none { Vec::new() } else { custom_fields(self.tx).await? });
        }
        Ok(self.custom.as_deref().unwrap_or_default())
    }

    /// Projects by key (now or formerly), name or id.
    pub(crate) async fn projects(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let mut set = Set::default();
        let plain = self.plain(name, values, &mut set, |function, args, user| match (function, args) {
            (Function::ProjectsLeadByUser, []) => match user {
                Some(user) => {
                    let mut select = Fragment::new("(SELECT p.id FROM jira_project p WHERE p.lead_id = ");
                    select.bind(user).push(")");
                    Ok(Some(select))
                }
                None => said("Function 'projectsLeadByUser' cannot be called as anonymous user.".to_owned()),
            },
            _ => Ok(None),
        })?;
        let found = self.project_ids(&plain).await?;
        for (value, id) in plain.iter().zip(found) {
            match id {
                Some(id) => set.ids.push(id),
                None => return unknown(name, value),
            }
        }
        Ok(set)
    }

    /// The visible project of each value.
    async fn project_ids(&mut self, values: &[Value]) -> Result<Vec<Option<i64>>, StoreError> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let known: HashSet<i64> = self.known().await?.into_iter().collect();
        let texts = folded(values);
        let mut by_text: HashMap<String, i64> = HashMap::new();
        for chunk in texts.chunks(CHUNK) {
            let keys: Vec<String> = chunk.iter().map(|text| text.to_uppercase()).collect();
            let mut sql = SqlBuilder::new(
                "SELECT f.project_id AS id, f.key, '' AS name_folded FROM jira_project_former_key f WHERE f.key IN ",
            );
            push_texts(&mut sql, &keys);
            // Present keys and names come later and win over former keys.
            sql.push(" UNION ALL SELECT p.id, p.key, p.name_folded FROM jira_project p WHERE p.key IN ");
            push_texts(&mut sql, &keys);
            sql.push(" OR p.name_folded IN ");
            push_texts(&mut sql, chunk);
            let mut rows = Vec::new();
            for row in self.tx.query(sql, &[]).await? {
                let row: (i64, String, String) = (row.get("id")?, row.get("key")?, row.get("name_folded")?);
                if known.contains(&row.0) {
                    rows.push(row);
                }
            }
            rows.sort_by_key(|(_, _, name)| !name.is_empty());
            for (id, _, name) in rows.iter().filter(|(_, _, name)| !name.is_empty()) {
                by_text.insert(name.clone(), *id);
            }
            for (id, key, _) in rows {
                by_text.insert(key.to_lowercase(), id);
            }
        }
        Ok(values
            .iter()
            .map(|value| {
                let by_name = by_text.get(&shown(value).to_lowercase()).copied();
                let by_id = id_of(value).filter(|id| known.contains(id));
                if matches!(value, Value::Number(_)) { by_id.or(by_name) } else { by_name.or(by_id) }
            })
            .collect())
    }

    /// Issues by key (now or formerly) or id.
    pub(crate) async fn issues(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let mut set = Set::default();
        let mut plain = Vec::new();
        for value in values {
            match value {
                Value::Empty => set.empty = true,
                Value::Function { name: called, args } => match functions::find(called) {
                    Some(function) => match self.issue_function(called, function, args).await? {
                        Some(Some(select)) => set.selects.push(select),
                        Some(None) => {}
                        None => {
                            return said(format!(
                                "A value provided by the function '{called}' for the field '{name}' is not a valid issue key."
                            ));
                        }
                    },
                    None => return said(format!("Unable to find JQL function '{value}'.")),
                },
                Value::Text(_) | Value::Number(_) => plain.push(value.clone()),
            }
        }
        let found = self.issue_ids(&plain).await?;
        for (value, found) in plain.iter().zip(found) {
            match (found, value) {
                (Some((id, _, _)), _) => set.ids.push(id),
                (None, Value::Number(id)) => {
                    return said(format!("A value with ID '{id}' does not exist for the field '{name}'."));
                }
                (None, value) => {
                    let text = shown(value);
                    return match id_of(value) {
                        Some(id) => said(format!("A value with ID '{id}' does not exist for the field '{name}'.")),
                        None if parse_key(&text).is_some() => {
                            said(format!("An issue with key '{text}' does not exist for field '{name}'."))
                        }
                        None => said(format!("The issue key '{text}' for field '{name}' is invalid.")),
                    };
                }
            }
        }
        Ok(set)
    }

    /// Id, project and number of the visible issue of each value.
    async fn issue_ids(&mut self, values: &[Value]) -> Result<Vec<Option<(i64, i64, i64)>>, StoreError> {
        let keys: Vec<Option<(String, i64)>> = values.iter().map(|value| parse_key(&shown(value))).collect();
        let mut names: Vec<Value> = keys.iter().flatten().map(|(key, _)| Value::Text(key.clone())).collect();
        names.sort_by_key(shown);
        names.dedup();
        let projects: HashMap<String, i64> = {
            let ids = self.project_ids(&names).await?;
            names.iter().map(shown).zip(ids).filter_map(|(name, id)| Some((name, id?))).collect()
        };
        // (project, number) of keys as they are now, then issues that had a key before they moved.
        let mut numbers: HashMap<i64, Vec<i64>> = HashMap::new();
        for (key, number) in keys.iter().flatten() {
            if let Some(project) = projects.get(key) {
                numbers.entry(*project).or_default().push(*number);
            }
        }
        let mut by_number: HashMap<(i64, i64), i64> = HashMap::new();
        for (project, numbers) in numbers {
            let mut sql = SqlBuilder::new("SELECT i.id, i.number FROM jira_issue i WHERE i.project_id = ");
            sql.bind(project).push(" AND i.number IN ").ids(&numbers).push(" AND ");
            push_issue_visible(&mut sql, &self.asker.visibility);
            for row in self.tx.query(sql, &[]).await? {
                by_number.insert((project, row.get("number")?), row.get("id")?);
            }
        }
        let present = |key: &(String, i64)| by_number.get(&(*projects.get(&key.0)?, key.1)).copied();
        let mut ids: Vec<Option<i64>> =
            keys.iter().zip(values).map(|(key, value)| key.as_ref().map_or_else(|| id_of(value), present)).collect();
        let moved: Vec<(String, i64)> = keys.iter().flatten().filter(|key| present(key).is_none()).cloned().collect();
        let mut former: HashMap<(String, i64), i64> = HashMap::new();
        for chunk in moved.chunks(CHUNK) {
            let mut texts: Vec<String> = chunk.iter().map(|(key, _)| key.clone()).collect();
            texts.sort();
            texts.dedup();
            let mut sql = SqlBuilder::new(
                "SELECT project_key, number, issue_id FROM jira_issue_former_key WHERE project_key IN ",
            );
            push_texts(&mut sql, &texts);
            sql.push(" AND number IN ").ids(&chunk.iter().map(|(_, number)| *number).collect::<Vec<_>>());
            for row in self.tx.query(sql, &[]).await? {
                former.insert((row.get("project_key")?, row.get("number")?), row.get("issue_id")?);
            }
        }
        for (id, key) in ids.iter_mut().zip(&keys) {
            if let (None, Some(key)) = (&id, key) {
                *id = former.get(key).copied();
            }
        }
        let wanted: Vec<i64> = ids.iter().flatten().copied().collect();
        let mut visible: HashMap<i64, (i64, i64)> = HashMap::new();
        for chunk in wanted.chunks(CHUNK) {
            let mut sql = SqlBuilder::new("SELECT i.id, i.project_id, i.number FROM jira_issue i WHERE i.id IN ");
            sql.ids(chunk).push(" AND ");
            push_issue_visible(&mut sql, &self.asker.visibility);
            for row in self.tx.query(sql, &[]).await? {
                visible.insert(row.get("id")?, (row.get("project_id")?, row.get("number")?));
            }
        }
        Ok(ids
            .into_iter()
            .map(|id| {
                let id = id?;
                visible.get(&id).map(|(project, number)| (id, *project, *number))
            })
            .collect())
    }

    /// `key > X-10`: issues of the same project with greater numbers.
    pub(crate) async fn key_order(
        &mut self,
        name: &str,
        operator: Operator,
        values: &[Value],
    ) -> Result<Fragment, Stop> {
        self.issues(name, values).await?;
        let found = self.issue_ids(values).await?;
        let Some(Some((_, project, number))) = found.first().copied() else { return Ok(Fragment::never()) };
        let mut out = Fragment::new("(i.project_id = ");
        out.bind(project).push(" AND i.number").push(symbol(operator)).bind(number).push(")");
        Ok(out)
    }

    /// `None`: not a function that gives issues. `Some(None)`: it gives none.
    async fn issue_function(
        &mut self,
        called: &str,
        function: Function,
        args: &[String],
    ) -> Result<Option<Option<Fragment>>, Stop> {
        let mine = |start: &'static str| -> Result<Option<Option<Fragment>>, Stop> {
            if let Some(message) = functions::arguments(called, args.len(), 0, 0) {
                return said(message);
            }
            let Some(user) = self.asker.user else {
                return said(format!("Function '{called}' cannot be called as anonymous user."));
            };
            let mut select = Fragment::new(start);
            select.bind(user.0).push(")");
            Ok(Some(Some(select)))
        };
        match function {
            Function::IssueHistory => match functions::arguments(called, args.len(), 0, 0) {
                Some(message) => said(message),
                None => Ok(Some(None)),
            },
            Function::WatchedIssues => mine("(SELECT w.issue_id FROM jira_watcher w WHERE w.user_id = "),
            Function::VotedIssues => mine("(SELECT w.issue_id FROM jira_vote w WHERE w.user_id = "),
            Function::LinkedIssues => self.linked_issues(called, args).await.map(|select| Some(Some(select))),
            Function::CurrentUser
            | Function::MembersOf
            | Function::ProjectsLeadByUser
            | Function::ReleasedVersions
            | Function::UnreleasedVersions
            | Function::StandardIssueTypes
            | Function::SubtaskIssueTypes
            | Function::Moment => Ok(None),
        }
    }

    async fn linked_issues(&mut self, called: &str, args: &[String]) -> Result<Fragment, Stop> {
        let Some((issue, descriptions)) = args.split_first() else {
            return said(format!(
                "Incorrect number of arguments for function '{called}'. Usage: '{called} ( issuekey [, linkDescription ]* )'."
            ));
        };
        let found = self.issue_ids(&[Value::Text(issue.clone())]).await?;
        let Some(Some((id, _, _))) = found.first().copied() else {
            return said(format!("Issue '{issue}' could not be found in function '{called}'."));
        };
        let types = crate::refs::link_types(self.tx).await?;
        let (mut outward, mut inward) = (Vec::new(), Vec::new());
        for description in descriptions {
            let is = |text: &str| text.to_lowercase() == description.to_lowercase();
            let before = outward.len() + inward.len();
            outward.extend(types.iter().filter(|t| is(&t.outward)).map(|t| t.id));
            inward.extend(types.iter().filter(|t| is(&t.inward)).map(|t| t.id));
            if before == outward.len() + inward.len() {
                return said(format!("Issue link type '{description}' could not be found in function '{called}'."));
            }
        }
        let mut out = Fragment::new("(SELECT l.destination_id FROM jira_issue_link l WHERE l.source_id = ");
        out.bind(id);
        if !descriptions.is_empty() {
            out.push(" AND l.type_id IN ").ids(&outward);
        }
        out.push(" UNION SELECT l.source_id FROM jira_issue_link l WHERE l.destination_id = ").bind(id);
        if !descriptions.is_empty() {
            out.push(" AND l.type_id IN ").ids(&inward);
        }
        out.push(")");
        Ok(out)
    }

    /// Values of the site's small tables.
    pub(crate) async fn site_values(&mut self, name: &str, values: &[Value], kind: &Kind) -> Result<Set, Stop> {
        let sql = match kind {
            Kind::IssueType => "SELECT id, name FROM jira_issue_type ORDER BY id",
            Kind::Priority => "SELECT id, name FROM jira_priority ORDER BY id",
            Kind::Resolution => "SELECT id, name FROM jira_resolution ORDER BY id",
            _ => "SELECT id, name FROM jira_status ORDER BY id",
        };
        let named = named(self.tx.query(sql, &[]).await?)?;
        let mut set = Set::default();
        let is_type = *kind == Kind::IssueType;
        let plain = self.plain(name, values, &mut set, |function, args, _| match function {
            Function::StandardIssueTypes if is_type && args.is_empty() => {
                Ok(Some(Fragment::new("(SELECT t.id FROM jira_issue_type t WHERE t.hierarchy_level >= 0)")))
            }
            Function::SubtaskIssueTypes if is_type && args.is_empty() => {
                Ok(Some(Fragment::new("(SELECT t.id FROM jira_issue_type t WHERE t.hierarchy_level < 0)")))
            }
            _ => Ok(None),
        })?;
        for value in plain {
            if *kind == Kind::Resolution && shown(&value).eq_ignore_ascii_case("unresolved") {
                set.empty = true;
                continue;
            }
            let found = named.find(&value);
            if found.is_empty() {
                return unknown(name, &value);
            }
            set.ids.extend(found);
        }
        Ok(set)
    }

    pub(crate) fn status_categories(&self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let mut set = Set::default();
        for value in values {
            if let Value::Function { name: function, .. } = value {
                return said(functions::invalid(function, name));
            }
            let text = shown(value).to_lowercase();
            let found = StatusCategory::ALL.into_iter().find(|category| {
                category.name().to_lowercase() == text || category.key() == text || category.id().to_string() == text
            });
            let Some(category) = found else { return unknown(name, value) };
            let mut select = Fragment::new("(SELECT t.id FROM jira_status t WHERE t.category = ");
            select.bind(category.key()).push(")");
            set.selects.push(select);
        }
        Ok(set)
    }

    /// Security levels the caller is in, at least for some issues.
    pub(crate) async fn levels(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let ids = levels_in(self.asker, &self.known().await?);
        let mut sql = SqlBuilder::new("SELECT id, name FROM jira_security_level WHERE id IN ");
        sql.ids(&ids).push(" ORDER BY id");
        let named = named(self.tx.query(sql, &[]).await?)?;
        self.named_values(name, values, &named)
    }

    fn named_values(&self, name: &str, values: &[Value], named: &Named) -> Result<Set, Stop> {
        let mut set = Set::default();
        for value in values {
            match value {
                Value::Empty => set.empty = true,
                Value::Function { name: function, .. } => return said(functions::invalid(function, name)),
                Value::Text(_) | Value::Number(_) => {
                    let found = named.find(value);
                    if found.is_empty() {
                        return unknown(name, value);
                    }
                    set.ids.extend(found);
                }
            }
        }
        Ok(set)
    }

    /// People by account id; by name or e-mail for those who may look people up.
    pub(crate) async fn people(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let mut set = Set::default();
        let mut plain = Vec::new();
        for value in values {
            match value {
                Value::Empty => set.empty = true,
                Value::Function { name: called, args } => match functions::find(called) {
                    Some(Function::CurrentUser) => {
                        if let Some(message) = functions::arguments(called, args.len(), 0, 0) {
                            return said(message);
                        }
                        set.ids.extend(self.asker.user.map(|user| user.0));
                    }
                    Some(Function::MembersOf) => {
                        if let Some(message) = functions::arguments(called, args.len(), 1, 1) {
                            return said(message);
                        }
                        let group = args.first().cloned().unwrap_or_default();
                        let Some(id) = self.group_ids(std::slice::from_ref(&group)).await?.first().copied().flatten()
                        else {
                            return said(format!(
                                "Function '{called}' can not generate a list of usernames for group '{group}'; the group does not exist."
                            ));
                        };
                        let mut select =
                            Fragment::new("(SELECT m.user_id FROM account_membership m WHERE m.group_id = ");
                        select.bind(id).push(")");
                        set.selects.push(select);
                    }
                    _ => return said(functions::invalid(called, name)),
                },
                Value::Text(_) | Value::Number(_) => plain.push(value.clone()),
            }
        }
        let may_pick = self.asker.picks_users();
        let mut by_text: HashMap<String, Vec<i64>> = HashMap::new();
        let texts: Vec<String> = plain.iter().map(|value| shown(value).replace('\0', "\u{fffd}")).collect();
        for chunk in texts.chunks(CHUNK) {
            let lower: Vec<String> = chunk.iter().map(|text| text.to_lowercase()).collect();
            let mut sql = SqlBuilder::new(
                "SELECT id, account_id, email_folded, name_folded FROM account_user WHERE account_id IN ",
            );
            push_texts(&mut sql, chunk);
            if may_pick {
                sql.push(" OR email_folded IN ");
                push_texts(&mut sql, &lower);
                sql.push(" OR name_folded IN ");
                push_texts(&mut sql, &lower);
            }
            for row in self.tx.query(sql, &[]).await? {
                let id: i64 = row.get("id")?;
                by_text.entry(row.get("account_id")?).or_default().push(id);
                if may_pick {
                    by_text.entry(row.get("name_folded")?).or_default().push(id);
                    if let Some(email) = row.get::<Option<String>>("email_folded")? {
                        by_text.entry(email).or_default().push(id);
                    }
                }
            }
        }
        for value in plain {
            let text = shown(&value);
            match by_text.get(&text).or_else(|| by_text.get(&text.to_lowercase())) {
                Some(ids) => set.ids.extend(ids),
                None => return said(format!("The value '{text}' does not exist for the field '{name}'.")),
            }
        }
        Ok(set)
    }

    /// Groups by name or `groupId`: the caller's own, and all for those who may look groups up.
    async fn group_ids(&mut self, names: &[String]) -> Result<Vec<Option<i64>>, StoreError> {
        let own = self.asker.groups();
        let may_pick = self.asker.picks_users();
        let mut out = Vec::with_capacity(names.len());
        for name in names {
            let sql = "SELECT id FROM account_group WHERE name_folded = $1 OR uuid = $2 ORDER BY id";
            let name = name.replace('\0', "\u{fffd}");
            let rows = self.tx.query(sql, &[name.to_lowercase().into(), name.into()]).await?;
            let mut found = None;
            for row in rows {
                let id: i64 = row.get("id")?;
                if found.is_none() && (may_pick || own.contains(&id)) {
                    found = Some(id);
                }
            }
            out.push(found);
        }
        Ok(out)
    }

    pub(crate) async fn groups(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let mut set = Set::default();
        // One look-up each: group fields are compared with few groups.
        if values.len() > 100 {
            return said("The query is too complex. Use fewer clauses or values.".to_owned());
        }
        for value in values {
            match value {
                Value::Empty => set.empty = true,
                Value::Function { name: function, .. } => {
                    return said(format!(
                        "A group provided by the function '{function}' for the field '{name}' does not exist."
                    ));
                }
                Value::Text(_) | Value::Number(_) => {
                    match self.group_ids(&[shown(value)]).await?.first().copied().flatten() {
                        Some(id) => set.ids.push(id),
                        None => return unknown(name, value),
                    }
                }
            }
        }
        Ok(set)
    }

    pub(crate) async fn options(&mut self, name: &str, field: i64, values: &[Value]) -> Result<Set, Stop> {
        let sql = "SELECT id, value AS name FROM jira_field_option WHERE field_id = $1 ORDER BY id";
        let named = named(self.tx.query(sql, &[field.into()]).await?)?;
        let mut set = Set::default();
        for value in values {
            match value {
                Value::Empty => set.empty = true,
                Value::Function { name: function, .. } => {
                    return said(format!(
                        "An option provided by the function '{function}' for the field '{name}' does not exist."
                    ));
                }
                Value::Text(_) | Value::Number(_) => {
                    let found = named.find(value);
                    if found.is_empty() {
                        return said(format!("The option '{}' for field '{name}' does not exist.", shown(value)));
                    }
                    set.ids.extend(found);
                }
            }
        }
        Ok(set)
    }

    pub(crate) async fn components(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let known = self.known().await?;
        let named = self.project_things(
            "SELECT id, name_folded AS name FROM jira_component WHERE project_id IN ",
            &known,
            values,
        );
        let named = named.await?;
        self.named_values(name, values, &named)
    }

    /// Versions or components of these projects that the values may mean.
    async fn project_things(
        &mut self,
        start: &'static str,
        projects: &[i64],
        values: &[Value],
    ) -> Result<Named, StoreError> {
        let mut out = Vec::new();
        for chunk in values.chunks(CHUNK) {
            let texts = folded(chunk);
            if texts.is_empty() {
                continue;
            }
            let mut sql = SqlBuilder::new(start);
            sql.ids(projects).push(" AND (name_folded IN ");
            push_texts(&mut sql, &texts);
            sql.push(" OR id IN ").ids(&chunk.iter().filter_map(id_of).collect::<Vec<_>>()).push(") ORDER BY id");
            out.extend(named(self.tx.query(sql, &[]).await?)?.0);
        }
        Ok(Named(out))
    }

    pub(crate) async fn versions(&mut self, name: &str, values: &[Value]) -> Result<Set, Stop> {
        let known = self.known().await?;
        let mut set = Set::default();
        let mut plain = Vec::new();
        for value in values {
            match value {
                Value::Function { name: called, args } => {
                    let start = match functions::find(called) {
                        Some(Function::ReleasedVersions) => {
                            "(SELECT v.id FROM jira_version v WHERE v.released = 1 AND v.archived = 0 AND v.project_id IN "
                        }
                        Some(Function::UnreleasedVersions) => {
                            "(SELECT v.id FROM jira_version v WHERE v.released = 0 AND v.archived = 0 AND v.project_id IN "
                        }
                        _ => return said(functions::invalid(called, name)),
                    };
                    let mut projects = known.clone();
                    if !args.is_empty() {
                        let args: Vec<Value> = args.iter().cloned().map(Value::Text).collect();
                        let found = self.project_ids(&args).await?;
                        projects.clear();
                        for (arg, id) in args.iter().zip(found) {
                            match id {
                                Some(id) => projects.push(id),
                                None => {
                                    return said(format!(
                                        "Could not resolve the project '{}' provided to function '{called}'.",
                                        shown(arg)
                                    ));
                                }
                            }
                        }
                    }
                    let mut select = Fragment::new(start);
                    select.ids(&projects).push(")");
                    set.selects.push(select);
                }
                Value::Text(_) | Value::Number(_) | Value::Empty => plain.push(value.clone()),
            }
        }
        let start = "SELECT id, name_folded AS name FROM jira_version WHERE project_id IN ";
        let named = self.project_things(start, &known, &plain).await?;
        let found = self.named_values(name, &plain, &named)?;
        set.ids.extend(found.ids);
        set.empty |= found.empty;
        Ok(set)
    }

    /// Versions before or after the named one in their project's order.
    pub(crate) async fn versions_by_order(
        &mut self,
        name: &str,
        operator: Operator,
        values: &[Value],
    ) -> Result<Set, Stop> {
        let named = self.versions(name, values).await?;
        let start =
            "(SELECT v.id FROM jira_version v JOIN jira_version n ON n.project_id = v.project_id WHERE v.position";
        let mut select = Fragment::new(start);
        select.push(symbol(operator)).push("n.position AND n.id IN ").ids(&named.ids).push(")");
        Ok(Set { selects: vec![select], ..Set::default() })
    }

    pub(crate) async fn link_types(
        &mut self,
        name: &str,
        test: crate::search::evaluate::Test,
        values: &[Value],
    ) -> Result<Fragment, Stop> {
        let types = crate::refs::link_types(self.tx).await?;
        let (mut any, mut outward, mut inward) = (Vec::new(), Vec::new(), Vec::new());
        for value in values {
            if let Value::Function { name: function, .. } = value {
                return said(functions::invalid(function, name));
            }
            let text = shown(value).to_lowercase();
            let before = any.len() + outward.len() + inward.len();
            // The words for one direction win over the name: "Blocks" is both.
            outward.extend(types.iter().filter(|found| found.outward.to_lowercase() == text).map(|found| found.id));
            inward.extend(types.iter().filter(|found| found.inward.to_lowercase() == text).map(|found| found.id));
            if before == any.len() + outward.len() + inward.len() {
                let named = |found: &&crate::refs::LinkType| {
                    found.name.to_lowercase() == text || id_of(value) == Some(found.id)
                };
                any.extend(types.iter().filter(named).map(|found| found.id));
            }
            if before == any.len() + outward.len() + inward.len() {
                return unknown(name, value);
            }
        }
        Ok(crate::search::evaluate::linked(test, &any, &outward, &inward))
    }

    /// Id, name and text of the filters that the caller sees under this name or id.
    pub(crate) async fn filters_named(
        &mut self,
        name: &str,
        value: &Value,
    ) -> Result<Vec<(i64, String, String)>, Stop> {
        if let Value::Function { name: function, .. } = value {
            return said(functions::invalid(function, name));
        }
        let mut sql =
            SqlBuilder::new("SELECT f.id, f.name, f.jql, f.name_folded FROM jira_filter f WHERE (f.name_folded = ");
        sql.bind(shown(value).to_lowercase().replace('\0', "\u{fffd}")).push(" OR f.id IN ");
        sql.ids(&id_of(value).into_iter().collect::<Vec<_>>()).push(") AND ");
        self.asker.filter_visible().write_to(&mut sql);
        sql.push(" ORDER BY f.id LIMIT ").bind(FILTERS_OF_A_NAME_MAX);
        let (mut by_id, mut by_name) = (Vec::new(), Vec::new());
        for row in self.tx.query(sql, &[]).await? {
            let found: (i64, String, String) = (row.get("id")?, row.get("name")?, row.get("jql")?);
            if id_of(value) == Some(found.0) { by_id.push(found) } else { by_name.push(found) }
        }
        let found = if by_name.is_empty() || (matches!(value, Value::Number(_)) && !by_id.is_empty()) {
            by_id
        } else {
            by_name
        };
        if found.is_empty() { unknown(name, value) } else { Ok(found) }
    }

    /// Takes the functions out of a list, each answered by `call`; what it does not know is of another type.
    fn plain(
        &self,
        field: &str,
        values: &[Value],
        set: &mut Set,
        call: impl Fn(Function, &[String], Option<i64>) -> Result<Option<Fragment>, Stop>,
    ) -> Result<Vec<Value>, Stop> {
        let mut plain = Vec::with_capacity(values.len());
        for value in values {
            match value {
                Value::Empty => set.empty = true,
                Value::Text(_) | Value::Number(_) => plain.push(value.clone()),
                Value::Function { name, args } => {
                    let function = functions::find(name);
                    let takes_none = matches!(
                        function,
                        Some(Function::StandardIssueTypes | Function::SubtaskIssueTypes | Function::ProjectsLeadByUser)
                    );
                    if takes_none && let Some(message) = functions::arguments(name, args.len(), 0, 0) {
                        return said(message);
                    }
                    let user = self.asker.user.map(|user| user.0);
                    match function.map(|function| call(function, args, user)).transpose()?.flatten() {
                        Some(select) => set.selects.push(select),
                        None => return said(functions::invalid(name, field)),
                    }
                }
            }
        }
        Ok(plain)
    }
}

/// The most filters that one name is read as.
const FILTERS_OF_A_NAME_MAX: i64 = 20;

fn named(rows: Vec<portcullis_guard::Row>) -> Result<Named, StoreError> {
    let read = |row: &portcullis_guard::Row| Ok((row.get("id")?, row.get::<String>("name")?.to_lowercase()));
    Ok(Named(rows.iter().map(read).collect::<Result<_, StoreError>>()?))
}
