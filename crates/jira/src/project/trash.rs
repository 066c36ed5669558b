//! `GET /api/portcullis/v1/trash/projects`: what can be restored, and who threw it away when.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::UserId;
use serde_json::{Value as Json, json};

use crate::wire::{moment, people};

/// Projects shown; the latest first.
const SHOWN_MAX: i64 = 1_000;

async fn list(mut cx: Ctx<op::ManageListTrashedProjects>, input: Input) -> Outcome<op::ManageListTrashedProjects> {
    let sql = "SELECT p.id, p.key, p.name, p.trashed_at_ms, p.trashed_by,
                      (SELECT count(*) FROM jira_issue i WHERE i.project_id = p.id) AS issues
                 FROM jira_project p WHERE p.trashed_at_ms IS NOT NULL ORDER BY p.trashed_at_ms DESC, p.id LIMIT $1";
    let rows = cx.tx().query(sql, &[SHOWN_MAX.into()]).await?;
    let mut by = Vec::new();
    for row in &rows {
        by.extend(row.get::<Option<i64>>("trashed_by")?.map(UserId));
    }
    let people = people(cx.tx(), &by).await?;
    let mut values: Vec<Json> = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: i64 = row.get("id")?;
        let who = row.get::<Option<i64>>("trashed_by")?.and_then(|id| people.get(&UserId(id)));
        values.push(json!({
            "id": id.to_string(),
            "key": row.get::<String>("key")?,
            "name": row.get::<String>("name")?,
            "issues": row.get::<i64>("issues")?,
            "trashed": moment(row.get("trashed_at_ms")?),
            "trashedBy": who.map(|person| json!({"accountId": person.account_id, "displayName": person.display_name})),
            "restore": input.api_url(&format!("/project/{id}/restore")),
        }));
    }
    let total = values.len();
    cx.done(Reply::json(json!({"values": values, "total": total, "startAt": 0, "maxResults": SHOWN_MAX})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
}
