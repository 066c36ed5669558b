//! The OpenAPI document of our management API, made from the operation table.

use portcullis_authz::{Area, op};
use serde_json::{Map, Value as Json, json};

/// OpenAPI 3.1 for `/api/portcullis/v1`.
pub(crate) fn document(base_url: &str) -> Json {
    let mut paths: Map<String, Json> = Map::new();
    for row in op::ROWS.iter().filter(|row| row.area == Area::Management) {
        let parameters: Vec<Json> = row
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let operation = json!({
            "operationId": row.id,
            "parameters": parameters,
            "security": if row.open.is_some() { json!([]) } else { json!([{"basic": []}, {"session": []}]) },
            "responses": {
                "200": {"description": "Done."},
                "401": {"description": "No usable credential."},
                "403": {"description": "Not allowed."},
                "404": {"description": "Not there, or not visible."},
            },
        });
        let path = paths.entry(row.path.to_owned()).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(row.method.name().to_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Portcullis management API", "version": env!("CARGO_PKG_VERSION")},
        "servers": [{"url": base_url}],
        "components": {"securitySchemes": {
            "basic": {"type": "http", "scheme": "basic", "description": "E-mail and API token."},
            "session": {"type": "apiKey", "in": "cookie", "name": "portcullis.session"},
        }},
        "paths": paths,
    })
}
