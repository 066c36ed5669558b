//! Who a grant of a permission scheme or a member row of a security level names: as columns, and as `{type,parameter,value}`.

use std::collections::HashMap;

use portcullis_guard::{AnyMode, Input, Row, SqlBuilder, StoreError, Tx, Value, View};
use portcullis_model::{Problem, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::field;
use crate::group;
use crate::text::int_of;
use crate::wire::{Person, people};

/// A holder as clients send it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Body {
    #[serde(rename = "type")]
    pub kind: String,
    pub parameter: Option<Json>,
    pub value: Option<Json>,
}

/// A holder as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub kind: &'static str,
    pub user: Option<i64>,
    pub group: Option<i64>,
    pub role: Option<i64>,
    pub field: Option<i64>,
    pub application: Option<String>,
}

impl Holder {
    fn plain(kind: &'static str) -> Self {
        Self { kind, user: None, group: None, role: None, field: None, application: None }
    }

    /// Reads a holder and makes sure that what it names is there.
    ///
    /// # Errors
    /// 400 in words about the holder; the database's.
    pub(crate) async fn parse<M: AnyMode>(tx: &mut Tx<M>, view: &View, body: &Body) -> Result<Self, Problem> {
        let given = [&body.value, &body.parameter].into_iter().flatten().map(text_of).find(|text| !text.is_empty());
        let named = || {
            given.clone().ok_or_else(|| Problem::invalid(format!("The holder type '{}' needs a parameter.", body.kind)))
        };
        let missing = |what: &str, name: &str| Problem::invalid(format!("The {what} '{name}' does not exist."));
        match body.kind.as_str() {
            "anyone" => Ok(Self::plain("anyone")),
            "projectLead" => Ok(Self::plain("projectLead")),
            "reporter" => Ok(Self::plain("reporter")),
            "assignee" => Ok(Self::plain("assignee")),
            "sd.customer.portal.only" => Ok(Self::plain("sd.customer.portal.only")),
            "applicationRole" => {
                if let Some(key) = &given {
                    view.with(|snapshot| snapshot.application(key)).ok_or_else(|| missing("application", key))?;
                }
                Ok(Self { application: given, ..Self::plain("applicationRole") })
            }
            "user" => {
                let account_id = named()?;
                let user = view.with(|snapshot| snapshot.user_by_account_id(&account_id));
                let user = user.ok_or_else(|| missing("user", &account_id))?;
                Ok(Self { user: Some(user.0), ..Self::plain("user") })
            }
            "group" => {
                let name = named()?;
                let found = match group::by_uuid(tx, &name).await? {
                    Some(found) => Some(found),
                    None => group::by_name(tx, &name).await?,
                };
                let group = found.ok_or_else(|| missing("group", &name))?;
                Ok(Self { group: Some(group.id.0), ..Self::plain("group") })
            }
            "projectRole" | "projectrole" => {
                let id = named()?;
                let found = match id.parse::<i64>() {
                    Ok(id) => tx.query_opt("SELECT id FROM jira_role WHERE id = $1", &[id.into()]).await?,
                    Err(_) => None,
                };
                let role = found.ok_or_else(|| missing("project role", &id))?.get("id")?;
                Ok(Self { role: Some(role), ..Self::plain("projectRole") })
            }
            "userCustomField" => {
                let id = field::of_kind(tx, &named()?, &["userpicker", "multiuserpicker"]).await?;
                Ok(Self { field: Some(id), ..Self::plain("userCustomField") })
            }
            "groupCustomField" => {
                let id = field::of_kind(tx, &named()?, &["grouppicker"]).await?;
                Ok(Self { field: Some(id), ..Self::plain("groupCustomField") })
            }
            other => Err(Problem::invalid(format!("The holder type '{other}' is not valid."))),
        }
    }

    /// `holder_type, user_id, group_id, role_id, field_id, application_key`.
    pub(crate) fn values(&self) -> [Value; 6] {
        [
            self.kind.into(),
            self.user.into(),
            self.group.into(),
            self.role.into(),
            self.field.into(),
            self.application.clone().into(),
        ]
    }
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => int_of(other).map(|number| number.to_string()).unwrap_or_default(),
    }
}

/// What a read needs of a row: the holder's columns, with the names of user and group.
pub(crate) const COLUMNS: &str =
    "h.id, h.holder_type, h.user_id, h.role_id, h.field_id, h.application_key, u.account_id,
    g.name AS group_name, g.uuid AS group_uuid";

/// Joins for [`COLUMNS`]; the rows stand under the alias `h`.
pub(crate) const JOINS: &str =
    " LEFT JOIN account_user u ON u.id = h.user_id LEFT JOIN account_group g ON g.id = h.group_id ";

/// What `expand` asks to be shown of holders.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expand {
    user: bool,
    group: bool,
    role: bool,
    field: bool,
}

impl Expand {
    pub(crate) fn of(input: &Input) -> Self {
        let expand = input.query_list("expand");
        let has = |what: &str| expand.contains(&what) || expand.contains(&"all");
        Self { user: has("user"), group: has("group"), role: has("projectRole"), field: has("field") }
    }
}

/// Holders' details, loaded at once for many rows.
#[derive(Default)]
pub(crate) struct Details {
    expand: Expand,
    people: HashMap<UserId, Person>,
    roles: HashMap<i64, (String, String)>,
    fields: HashMap<i64, field::Field>,
}

impl Details {
    pub(crate) async fn load<M: AnyMode>(tx: &mut Tx<M>, rows: &[Row], expand: Expand) -> Result<Self, StoreError> {
        let column = |name: &str| -> Result<Vec<i64>, StoreError> {
            let values = rows.iter().map(|row| row.get::<Option<i64>>(name)).collect::<Result<Vec<_>, _>>()?;
            Ok(values.into_iter().flatten().collect())
        };
        let mut out = Self { expand, ..Self::default() };
        if expand.user {
            let ids: Vec<UserId> = column("user_id")?.into_iter().map(UserId).collect();
            out.people = people(tx, &ids).await?;
        }
        let roles = column("role_id")?;
        if expand.role && !roles.is_empty() {
            let mut sql = SqlBuilder::new("SELECT id, name, description FROM jira_role WHERE id IN ");
            sql.ids(&roles);
            for row in tx.query(sql, &[]).await? {
                out.roles.insert(row.get("id")?, (row.get("name")?, row.get("description")?));
            }
        }
        if expand.field && !column("field_id")?.is_empty() {
            out.fields = field::customs(tx).await?.into_iter().map(|field| (field.id, field)).collect();
        }
        Ok(out)
    }

    /// `{type,parameter?,value?,expand?}` and what was asked for.
    pub(crate) fn json(&self, row: &Row, input: &Input) -> Result<Json, StoreError> {
        let kind: String = row.get("holder_type")?;
        let mut out = Map::new();
        out.insert("type".into(), kind.clone().into());
        let mut name = |parameter: String, value: String, expand: Option<&str>| {
            out.insert("parameter".into(), parameter.into());
            out.insert("value".into(), value.into());
            if let Some(expand) = expand {
                out.insert("expand".into(), expand.into());
            }
        };
        let mut detail: Option<(&str, Json)> = None;
        if let Some(account_id) = row.get::<Option<String>>("account_id")? {
            name(account_id.clone(), account_id, Some("user"));
            let user = row.get::<Option<i64>>("user_id")?.map(UserId);
            detail = user.and_then(|id| self.people.get(&id)).map(|person| ("user", person.json(input)));
        } else if let Some(uuid) = row.get::<Option<String>>("group_uuid")? {
            let group_name = row.get::<Option<String>>("group_name")?.unwrap_or_default();
            name(group_name.clone(), uuid.clone(), Some("group"));
            if self.expand.group {
                let link = crate::role::group_link(&uuid, input);
                detail = Some(("group", json!({"name": group_name, "groupId": uuid, "self": link})));
            }
        } else if let Some(role) = row.get::<Option<i64>>("role_id")? {
            name(role.to_string(), role.to_string(), Some("projectRole"));
            detail = self.roles.get(&role).map(|(name, description)| {
                let link = input.api_url(&format!("/role/{role}"));
                ("projectRole", json!({"self": link, "name": name, "id": role, "description": description}))
            });
        } else if let Some(id) = row.get::<Option<i64>>("field_id")? {
            let key = format!("customfield_{id}");
            name(key.clone(), key, Some("field"));
            detail = self.fields.get(&id).map(|field| ("field", field.json()));
        } else if let Some(key) = row.get::<Option<String>>("application_key")? {
            name(key.clone(), key, None);
        }
        if let Some((member, json)) = detail {
            out.insert(member.to_owned(), json);
        }
        Ok(Json::Object(out))
    }
}
