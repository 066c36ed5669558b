//! Properties that come and go with a comment or worklog: set by its body, shown by `expand=properties`, deleted with it.

use std::collections::HashMap;

use portcullis_guard::{AnyMode, SqlBuilder, StoreError, Tx, Writes};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

/// Properties that one body may set.
const PROPERTIES_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 255;
const VALUE_CHARS_MAX: usize = 32_768;

/// A property as a body sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    key: String,
    value: String,
}

impl Property {
    /// Reads the member `properties` of a body: `[{key, value}]`.
    ///
    /// # Errors
    /// 400.
    pub(crate) fn parse_all(body: &Json) -> Result<Vec<Self>, Problem> {
        let invalid =
            || Problem::invalid("Invalid request payload. Refer to the REST API documentation and try again.");
        let items = match body.get("properties") {
            None | Some(Json::Null) => return Ok(Vec::new()),
            Some(Json::Array(items)) => items,
            Some(_) => return Err(invalid()),
        };
        if items.len() > PROPERTIES_MAX {
            return Err(Problem::field(
                "properties",
                format!("At most {PROPERTIES_MAX} properties can be set at once."),
            ));
        }
        items
            .iter()
            .map(|item| {
                let key = item.get("key").and_then(Json::as_str).ok_or_else(invalid)?;
                if key.is_empty() || key.chars().count() > KEY_CHARS_MAX || key.contains('\0') {
                    let words = format!("A property key has 1 to {KEY_CHARS_MAX} characters.");
                    return Err(Problem::field("properties", words));
                }
                let value = item.get("value").unwrap_or(&Json::Null).to_string();
                if value.chars().count() > VALUE_CHARS_MAX {
                    let words = format!("The value of property '{key}' is longer than {VALUE_CHARS_MAX} characters.");
                    return Err(Problem::field("properties", words));
                }
                Ok(Self { key: key.to_owned(), value })
            })
            .collect()
    }
}

/// Sets properties of a new or changed item. `entity` is `comment` or `worklog`.
pub(crate) async fn store_properties<M: Writes>(
    tx: &mut Tx<M>,
    entity: &'static str,
    id: i64,
    properties: &[Property],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO jira_property (entity_type, entity_id, key, value) VALUES ($1, $2, $3, $4)
               ON CONFLICT (entity_type, entity_id, key) DO UPDATE SET value = excluded.value";
    for property in properties {
        let key = property.key.as_str().into();
        tx.execute(sql, &[entity.into(), id.into(), key, property.value.as_str().into()]).await?;
    }
    Ok(())
}

/// Deletes the properties of an item.
pub(crate) async fn remove_properties<M: Writes>(
    tx: &mut Tx<M>,
    entity: &'static str,
    id: i64,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM jira_property WHERE entity_type = $1 AND entity_id = $2";
    tx.execute(sql, &[entity.into(), id.into()]).await?;
    Ok(())
}

/// `[{key, value}]` of each item that has some.
pub(crate) async fn properties_of<M: AnyMode>(
    tx: &mut Tx<M>,
    entity: &'static str,
    ids: &[i64],
) -> Result<HashMap<i64, Vec<Json>>, StoreError> {
    let mut out: HashMap<i64, Vec<Json>> = HashMap::new();
    let mut sql = SqlBuilder::new("SELECT entity_id, key, value FROM jira_property WHERE entity_type = ");
    sql.bind(entity).push(" AND entity_id IN ").ids(ids).push(" ORDER BY entity_id, key {{c}}");
    for row in tx.query(sql, &[]).await? {
        let value: Json = serde_json::from_str(&row.get::<String>("value")?).unwrap_or(Json::Null);
        out.entry(row.get("entity_id")?).or_default().push(json!({"key": row.get::<String>("key")?, "value": value}));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::Property;
    use serde_json::json;

    #[test]
    fn properties_are_a_list_of_keys_and_values() {
        let body = json!({"properties": [{"key": "a", "value": {"n": 1}}, {"key": "b"}]});
        let read = Property::parse_all(&body).unwrap();
        assert_eq!(read[0], Property { key: "a".to_owned(), value: r#"{"n":1}"#.to_owned() });
        assert_eq!(read[1].value, "null");
        assert!(Property::parse_all(&json!({})).unwrap().is_empty());
        assert!(Property::parse_all(&json!({"properties": {"a": 1}})).is_err());
        assert!(Property::parse_all(&json!({"properties": [{"value": 1}]})).is_err());
        for key in ["", "a\0b", &"k".repeat(256)] {
            assert!(Property::parse_all(&json!({"properties": [{"key": key, "value": 1}]})).is_err(), "{key:?}");
        }
    }
}
