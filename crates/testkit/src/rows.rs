//! A request for each row of the operation table.

use portcullis_authz::{Area, Locate, Method, Row};
use serde_json::{Value as Json, json};

use crate::world::{Answer, Client};

/// The row's path with something that the demo has in every place: `DEMO`, `DEMO-1`, ids that exist where they are easy to know.
pub fn path(row: &Row, project: &str, issue: &str) -> String {
    let parts: Vec<String> = row
        .path
        .split('/')
        .map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None => part.to_owned(),
            Some("projectIdOrKey" | "projectKeyOrId" | "projectId") => project.to_owned(),
            Some("issueIdOrKey") => issue.to_owned(),
            Some("issueId") => "10000".to_owned(),
            Some("key") if matches!(row.locate, Locate::Project(_)) => project.to_owned(),
            Some(_) => "10000".to_owned(),
        })
        .collect();
    parts.join("/")
}

/// A body that names its target, for rows that take it from there.
pub fn body(row: &Row, project: &str, issue: &str) -> Option<Json> {
    if row.method == Method::Get || row.area == Area::Console || row.id == "addAttachment" {
        return None;
    }
    Some(match row.locate {
        Locate::BodyCreateIssue => json!({"fields": {"project": {"key": project}}}),
        Locate::BodyCreateIssues => json!({"issueUpdates": [{"fields": {"project": {"key": project}}}]}),
        Locate::BodyIssueLink => json!({"inwardIssue": {"key": issue}, "outwardIssue": {"key": issue}}),
        Locate::BodyVersion | Locate::BodyComponent => json!({"project": project}),
        _ => json!({}),
    })
}

/// Calls the row's operation; `prefix` is put before the path, as in `/ex/jira/{cloudId}`.
pub async fn call(client: &Client<'_>, row: &Row, prefix: &str, project: &str, issue: &str) -> Answer {
    let path = format!("{prefix}{}", path(row, project, issue));
    match row.id {
        "addAttachment" => {
            let content =
                "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\na\r\n--edge--\r\n";
            let client = client.clone().header("x-atlassian-token", "no-check");
            client.send_bytes("POST", &path, Some("multipart/form-data; boundary=edge"), content.into()).await
        }
        _ if row.area == Area::Console && row.method != Method::Get => {
            client.send_bytes("POST", &path, Some("application/x-www-form-urlencoded"), "a=b".into()).await
        }
        _ => client.send(row.method.name(), &path, body(row, project, issue)).await,
    }
}
