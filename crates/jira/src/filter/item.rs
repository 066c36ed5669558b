//! A filter as an object.

use std::collections::{HashMap, HashSet};

use portcullis_guard::{AnyMode, Input, Row, SqlBuilder, StoreError, Tx, View};
use portcullis_model::{Problem, UserId};
use serde_json::{Map, Value as Json, json};

use crate::filter::share::{Rights, Share, shares_json, shares_of};
use crate::filter::unavailable;
use crate::search::asker::Asker;
use crate::search::sanitise::sanitised;
use crate::wire::{self, Person, encode_query};

/// A row of `jira_filter`.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) id: i64,
    pub(crate) owner: UserId,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) jql: String,
}

impl Filter {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.get("id")?,
            owner: UserId(row.get("owner_id")?),
            name: row.get("name")?,
            description: row.get("description")?,
            jql: row.get("jql")?,
        })
    }
}

/// The filters with these ids, in their order; unknown ids are left out. Whether the caller may see them is the caller's business.
pub(crate) async fn load<M: AnyMode>(tx: &mut Tx<M>, ids: &[i64]) -> Result<Vec<Filter>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT id, owner_id, name, description, jql FROM jira_filter WHERE id IN ");
    sql.ids(ids);
    let rows = tx.query(sql, &[]).await?;
    let mut found = HashMap::new();
    for row in &rows {
        let filter = Filter::of(row)?;
        found.insert(filter.id, filter);
    }
    Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
}

/// What lists show of a filter.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// Everything, as single filters and plain lists show.
    Whole,
    /// The name and what `expand` asks for.
    Expanded(Vec<String>),
}

impl Shown {
    fn has(&self, member: &str) -> bool {
        match self {
            Self::Whole => true,
            Self::Expanded(members) => members.iter().any(|expanded| expanded == member),
        }
    }
}

const EXPANDABLE: &str = "description,owner,jql,viewUrl,searchUrl,favourite,favouritedCount,sharePermissions,editPermissions,isWritable,subscriptions";

/// What showing filters takes, read for all of them at once.
struct Around {
    people: HashMap<UserId, Person>,
    favourites: HashSet<i64>,
    favourited: HashMap<i64, i64>,
    shares: HashMap<i64, Vec<(Rights, Json)>>,
    user: Option<UserId>,
}

impl Around {
    async fn load<M: AnyMode>(
        tx: &mut Tx<M>,
        view: &View,
        asker: &Asker,
        input: &Input,
        filters: &[Filter],
    ) -> Result<Self, StoreError> {
        let ids: Vec<i64> = filters.iter().map(|filter| filter.id).collect();
        let owners: Vec<UserId> = filters.iter().map(|filter| filter.owner).collect();
        let people = wire::people(tx, &owners).await?;
        let (mut favourites, mut favourited) = (HashSet::new(), HashMap::new());
        let mut sql =
            SqlBuilder::new("SELECT filter_id, COUNT(*) AS count FROM jira_filter_favourite WHERE filter_id IN ");
        sql.ids(&ids).push(" GROUP BY filter_id");
        for row in tx.query(sql, &[]).await? {
            favourited.insert(row.get("filter_id")?, row.get("count")?);
        }
        if let Some(user) = asker.user {
            let mut sql = SqlBuilder::new("SELECT filter_id FROM jira_filter_favourite WHERE user_id = ");
            sql.bind(user.0).push(" AND filter_id IN ").ids(&ids);
            for row in tx.query(sql, &[]).await? {
                favourites.insert(row.get("filter_id")?);
            }
        }
        let found: Vec<(Filter, Vec<Share>)> = {
            let mut shares = shares_of(tx, &ids).await?;
            filters.iter().map(|filter| (filter.clone(), shares.remove(&filter.id).unwrap_or_default())).collect()
        };
        let shares = shares_json(tx, view, asker, input, &found).await?;
        Ok(Self { people, favourites, favourited, shares, user: asker.user })
    }

    fn json(&self, filter: &Filter, input: &Input, shown: &Shown) -> Json {
        let mut out = Map::new();
        let mut put = |member: &str, value: &dyn Fn() -> Json| {
            if shown.has(member) {
                out.insert(member.to_owned(), value());
            }
        };
        let shares = |rights: Rights| {
            let all = self.shares.get(&filter.id).into_iter().flatten();
            Json::Array(all.filter(|(found, _)| *found == rights).map(|(_, json)| json.clone()).collect())
        };
        if !filter.description.is_empty() {
            put("description", &|| filter.description.clone().into());
        }
        if let Some(owner) = self.people.get(&filter.owner) {
            put("owner", &|| owner.json(input));
        }
        put("jql", &|| filter.jql.clone().into());
        put("viewUrl", &|| format!("{}/issues/?filter={}", input.base_url(), filter.id).into());
        put("searchUrl", &|| input.api_url(&format!("/search/jql?jql={}", encode_query(&filter.jql))).into());
        put("favourite", &|| self.favourites.contains(&filter.id).into());
        put("favouritedCount", &|| self.favourited.get(&filter.id).copied().unwrap_or(0).into());
        put("sharePermissions", &|| shares(Rights::View));
        put("editPermissions", &|| shares(Rights::Edit));
        put("isWritable", &|| (self.user == Some(filter.owner)).into());
        match shown {
            Shown::Whole => {
                // Subscriptions and the people behind shares are not kept.
                let none = json!({"size": 0, "items": [], "max-results": 0, "start-index": 0, "end-index": 0});
                out.insert("sharedUsers".into(), none.clone());
                out.insert("subscriptions".into(), none);
            }
            Shown::Expanded(_) => {
                put("subscriptions", &|| json!([]));
                out.insert("expand".into(), EXPANDABLE.into());
            }
        }
        out.insert("self".into(), input.api_url(&format!("/filter/{}", filter.id)).into());
        out.insert("id".into(), filter.id.to_string().into());
        out.insert("name".into(), filter.name.clone().into());
        Json::Object(out)
    }
}

/// Filters as objects, in the order of `ids`, which the caller was found to see.
pub(crate) async fn filters_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    asker: &Asker,
    input: &Input,
    ids: &[i64],
    shown: &Shown,
) -> Result<Vec<Json>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut filters = load(tx, ids).await?;
    for filter in filters.iter_mut().filter(|filter| asker.user != Some(filter.owner)) {
        filter.jql = sanitised(tx, asker, &filter.jql).await?;
    }
    let around = Around::load(tx, view, asker, input, &filters).await?;
    Ok(filters.iter().map(|filter| around.json(filter, input, shown)).collect())
}

/// One filter as an object.
pub(crate) async fn filter_json<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    asker: &Asker,
    input: &Input,
    id: i64,
) -> Result<Json, Problem> {
    filters_json(tx, view, asker, input, &[id], &Shown::Whole).await?.pop().ok_or_else(unavailable)
}
