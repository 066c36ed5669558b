//! Queries: which values and entities of an installation a question finds, in which order, page by page.

use std::cmp::Ordering;

use portcullis_guard::{Read, Tx, View};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use super::{Entry, KVS, Kept, Store, list, refused};

const PAGE: usize = 10;
const PAGE_MAX: usize = 100;

/// Values by key, where conditions on the key hold.
pub(super) async fn query(tx: &mut Tx<Read>, view: &View, body: &Json) -> Kept<Json> {
    let store = Store::open(tx, view).await?;
    let mut entries = store.all(tx, KVS).await?;
    for condition in list(body, "where") {
        if condition.get("property").and_then(Json::as_str) != Some("key") {
            return Err(refused(400, "INVALID_QUERY", "Values are queried by their key."));
        }
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            if compare(condition, &entry.key.as_str().into())? {
                kept.push(entry);
            }
        }
        entries = kept;
    }
    page(entries, body, body.get("after").or_else(|| body.get("cursor")))
}

/// Entities of one name by an index of the manifest: partition, range, filters, order.
pub(super) async fn entity_query(tx: &mut Tx<Read>, view: &View, body: &Json) -> Kept<Json> {
    let name = body.get("entityName").and_then(Json::as_str).unwrap_or_default();
    let store = Store::open(tx, view).await?;
    let entity = entity(tx, &store, name).await?;
    let index = Index::of(&entity, body.get("indexName").and_then(Json::as_str).unwrap_or_default())?;
    let partition = list(body, "partition");
    if partition.len() != index.partition.len() {
        return Err(refused(
            400,
            "INVALID_PARTITION",
            format!("The index has {} attributes of partition.", index.partition.len()),
        ));
    }
    let mut entries = Vec::new();
    for entry in store.all(tx, &format!("entity:{name}")).await? {
        let in_partition =
            index.partition.iter().zip(partition).all(|(attribute, value)| entry.value.get(attribute) == Some(value));
        let ranged = index.ranged(&entry);
        // An entity without the attribute is not in the index.
        if in_partition
            && !ranged.is_null()
            && body
                .get("range")
                .filter(|range| !range.is_null())
                .is_none_or(|range| compare(range, &ranged).unwrap_or(false))
            && body
                .get("filters")
                .filter(|filters| !filters.is_null())
                .map_or(Ok(true), |filters| holds(filters, &entry.value))?
        {
            entries.push(entry);
        }
    }
    entries
        .sort_by(|a, b| order(&index.ranged(a), &index.ranged(b)).unwrap_or(Ordering::Equal).then(a.key.cmp(&b.key)));
    if body.get("sort").and_then(Json::as_str) == Some("DESC") {
        entries.reverse();
    }
    page(entries, body, body.get("cursor"))
}

/// One page of entries; the cursor is the key that it ended with.
fn page(entries: Vec<Entry>, body: &Json, cursor: Option<&Json>) -> Kept<Json> {
    let limit = match body.get("limit").filter(|limit| !limit.is_null()) {
        None => PAGE,
        Some(limit) => {
            let limit = limit.as_u64().and_then(|limit| usize::try_from(limit).ok());
            limit
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| refused(400, "INVALID_LIMIT", format!("limit is 1 to {PAGE_MAX}.")))?
        }
    };
    let from = match cursor.and_then(Json::as_str).filter(|cursor| !cursor.is_empty()) {
        None => 0,
        Some(cursor) => match entries.iter().position(|entry| entry.key == cursor) {
            Some(at) => at + 1,
            None => {
                return Err(refused(
                    400,
                    "INVALID_CURSOR",
                    "The cursor is none of this query's, or its value is gone.",
                ));
            }
        },
    };
    let options = body.get("options").unwrap_or(&Json::Null);
    let shown: Vec<_> = entries.iter().skip(from).take(limit).collect();
    let mut out = json!({"data": shown.iter().map(|entry| entry.json(options)).collect::<Vec<_>>()});
    if let (true, Some(last), Some(object)) = (from + limit < entries.len(), shown.last(), out.as_object_mut()) {
        object.insert("cursor".to_owned(), last.key.as_str().into());
    }
    Ok(out)
}

/// How a manifest describes an entity.
async fn entity(tx: &mut Tx<Read>, store: &Store, name: &str) -> Kept<Json> {
    let sql = "SELECT v.manifest FROM forge_installation i JOIN forge_version v ON v.id = i.code WHERE i.id = $1";
    let text: String = tx.query_one(sql, &[store.installation.0.into()]).await?.get("manifest")?;
    let manifest: Json = serde_json::from_str(&text).map_err(Problem::bug)?;
    let entities = manifest.pointer("/app/storage/entities").and_then(Json::as_array);
    let found = entities.into_iter().flatten().find(|entity| entity.get("name").and_then(Json::as_str) == Some(name));
    found.cloned().ok_or_else(|| refused(400, "INVALID_ENTITY", format!("The manifest has no entity `{name}`.")))
}

struct Index {
    partition: Vec<String>,
    /// The attribute that it is ordered by; `None` for the key.
    range: Option<String>,
}

impl Index {
    fn of(entity: &Json, name: &str) -> Kept<Self> {
        if name.is_empty() || name == "by-key" {
            return Ok(Self { partition: Vec::new(), range: None });
        }
        let names = |index: &Json, field: &str| -> Vec<String> {
            list(index, field).iter().filter_map(Json::as_str).map(str::to_owned).collect()
        };
        for index in list(entity, "indexes") {
            if index.as_str() == Some(name) {
                return Ok(Self { partition: Vec::new(), range: Some(name.to_owned()) });
            }
            if index.get("name").and_then(Json::as_str) == Some(name) {
                let range = names(index, "range").into_iter().next();
                return Ok(Self { partition: names(index, "partition"), range });
            }
        }
        Err(refused(400, "INVALID_INDEX", format!("The entity has no index `{name}`.")))
    }

    fn ranged(&self, entry: &Entry) -> Json {
        match &self.range {
            None => entry.key.as_str().into(),
            Some(attribute) => entry.value.get(attribute).cloned().unwrap_or_default(),
        }
    }
}

/// Whether conditions, joined by `and` or `or`, hold for a value.
pub(super) fn holds(conditions: &Json, value: &Json) -> Kept<bool> {
    let of = |condition: &Json| {
        let property = condition.get("property").and_then(Json::as_str).unwrap_or_default();
        compare(condition, value.get(property).unwrap_or(&Json::Null))
    };
    let mut any = None;
    for condition in list(conditions, "or") {
        any = Some(any.unwrap_or(false) || of(condition)?);
    }
    for condition in list(conditions, "and") {
        if !of(condition)? {
            return Ok(false);
        }
    }
    Ok(any.unwrap_or(true))
}

fn order(a: &Json, b: &Json) -> Option<Ordering> {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        (Json::String(a), Json::String(b)) => Some(a.cmp(b)),
        (Json::Bool(a), Json::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Whether one condition holds for a value.
fn compare(condition: &Json, value: &Json) -> Kept<bool> {
    let values = list(condition, "values");
    let first = values.first().unwrap_or(&Json::Null);
    let ordered = |wanted: &[Ordering]| order(value, first).is_some_and(|found| wanted.contains(&found));
    let contains = || match (value, first) {
        (Json::String(text), Json::String(part)) => text.contains(part.as_str()),
        (Json::Array(list), item) => list.contains(item),
        _ => false,
    };
    Ok(match condition.get("condition").and_then(Json::as_str).unwrap_or_default() {
        "BEGINS_WITH" | "STARTS_WITH" => {
            value.as_str().zip(first.as_str()).is_some_and(|(text, start)| text.starts_with(start))
        }
        "BETWEEN" => {
            let last = values.get(1).unwrap_or(&Json::Null);
            ordered(&[Ordering::Greater, Ordering::Equal])
                && order(value, last).is_some_and(|found| found != Ordering::Greater)
        }
        "CONTAINS" => contains(),
        "NOT_CONTAINS" => !contains(),
        "EQUAL_TO" => order(value, first) == Some(Ordering::Equal) || value == first,
        "NOT_EQUAL_TO" => !(order(value, first) == Some(Ordering::Equal) || value == first),
        "EXISTS" => !value.is_null(),
        "NOT_EXISTS" => value.is_null(),
        "GREATER_THAN" => ordered(&[Ordering::Greater]),
        "GREATER_THAN_EQUAL_TO" => ordered(&[Ordering::Greater, Ordering::Equal]),
        "LESS_THAN" => ordered(&[Ordering::Less]),
        "LESS_THAN_EQUAL_TO" => ordered(&[Ordering::Less, Ordering::Equal]),
        other => return Err(refused(400, "INVALID_CONDITION", format!("There is no condition `{other}`."))),
    })
}
