//! Who is in a level.

use portcullis_authz::op;
use portcullis_guard::{
    AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View, Writes,
};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::{level, scheme};
use crate::permission::holder::{self, COLUMNS, Details, Expand, Holder, JOINS};
use crate::wire::Paging;

const MEMBERS_MAX: usize = 1000;

/// A member as clients send it.
pub(super) type MemberBody = holder::Body;

/// Adds members to a level; those that are there stay.
///
/// # Errors
/// 400 in words about the member; the database's.
pub(super) async fn insert<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    level: i64,
    members: &[MemberBody],
) -> Result<(), Problem> {
    if members.len() > MEMBERS_MAX {
        return Err(Problem::invalid(format!("At most {MEMBERS_MAX} members can be added at once.")));
    }
    for body in members {
        let holder = Holder::parse(tx, view, body).await?;
        if holder.kind == "sd.customer.portal.only" {
            return Err(Problem::invalid(format!("The member type '{}' is not valid.", body.kind)));
        }
        let sql = "
            INSERT INTO jira_security_member (level_id, holder_type, user_id, group_id, role_id, field_id, application_key)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let mut params = vec![level.into()];
        params.extend(holder.values());
        tx.execute(sql, &params).await?;
    }
    Ok(())
}

async fn rows<M: AnyMode>(tx: &mut Tx<M>) -> Result<Vec<Row>, StoreError> {
    let mut sql = SqlBuilder::new("SELECT h.level_id, l.scheme_id, ");
    sql.push(COLUMNS).push(" FROM jira_security_member h JOIN jira_security_level l ON l.id = h.level_id").push(JOINS);
    sql.push("ORDER BY h.id");
    tx.query(sql, &[]).await
}

/// Rows whose column is one of the listed ids; all for an empty list.
fn keep(rows: Vec<Row>, column: &str, wanted: &[&str]) -> Result<Vec<Row>, StoreError> {
    if wanted.is_empty() {
        return Ok(rows);
    }
    let mut out = Vec::new();
    for row in rows {
        if wanted.contains(&row.get::<i64>(column)?.to_string().as_str()) {
            out.push(row);
        }
    }
    Ok(out)
}

/// Ids are numbers here and text in [`search`], as in Jira.
async fn of_scheme(
    mut cx: Ctx<op::GetIssueSecurityLevelMembers>,
    input: Input,
) -> Outcome<op::GetIssueSecurityLevelMembers> {
    let paging = Paging::of(&input, 50, 50)?;
    let scheme = scheme::named(cx.tx(), input.param("issueSecuritySchemeId")).await?;
    let rows = keep(rows(cx.tx()).await?, "scheme_id", &[scheme.id.to_string().as_str()])?;
    let rows = keep(rows, "level_id", &input.query_list("issueSecurityLevelId"))?;
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let rows = paging.cut(rows);
    let details = Details::load(cx.tx(), &rows, Expand::of(&input)).await?;
    let items = rows
        .iter()
        .map(|row| {
            let (id, level): (i64, i64) = (row.get("id")?, row.get("level_id")?);
            Ok(json!({"id": id, "issueSecurityLevelId": level, "holder": details.json(row, &input)?}))
        })
        .collect::<Result<Vec<Json>, StoreError>>()?;
    let path = format!("/issuesecurityschemes/{}/members", scheme.id);
    cx.done(Reply::json(paging.page(&input, &path, "values", total, items)))
}

async fn search(mut cx: Ctx<op::GetSecurityLevelMembers>, input: Input) -> Outcome<op::GetSecurityLevelMembers> {
    let paging = Paging::of(&input, 50, 50)?;
    let rows = keep(rows(cx.tx()).await?, "id", &input.query_list("id"))?;
    let rows = keep(rows, "scheme_id", &input.query_list("schemeId"))?;
    let rows = keep(rows, "level_id", &input.query_list("levelId"))?;
    let total = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    let rows = paging.cut(rows);
    let details = Details::load(cx.tx(), &rows, Expand::of(&input)).await?;
    let items = rows
        .iter()
        .map(|row| {
            Ok(json!({
                "id": row.get::<i64>("id")?.to_string(),
                "issueSecurityLevelId": row.get::<i64>("level_id")?.to_string(),
                "issueSecuritySchemeId": row.get::<i64>("scheme_id")?.to_string(),
                "holder": details.json(row, &input)?,
                "managed": false,
            }))
        })
        .collect::<Result<Vec<Json>, StoreError>>()?;
    cx.done(Reply::json(paging.page(&input, "/issuesecurityschemes/level/member", "values", total, items)))
}

async fn of_level<M: AnyMode>(tx: &mut Tx<M>, level: i64, input: &Input) -> Result<Vec<Json>, StoreError> {
    let rows = keep(rows(tx).await?, "level_id", &[level.to_string().as_str()])?;
    let details = Details::load(tx, &rows, Expand::default()).await?;
    rows.iter().map(|row| details.json(row, input)).collect()
}

#[derive(Deserialize)]
struct Members {
    members: Vec<MemberBody>,
}

async fn add(mut cx: Ctx<op::AddSecurityLevelMembers>, input: Input) -> Outcome<op::AddSecurityLevelMembers> {
    let view = cx.view().clone();
    let scheme = scheme::named(cx.tx(), input.param("schemeId")).await?;
    let level = level::in_scheme(cx.tx(), scheme.id, input.param("levelId")).await?;
    let body: Members = input.parse()?;
    let before = of_level(cx.tx(), level, &input).await?;
    insert(cx.tx(), &view, level, &body.members).await?;
    let after = of_level(cx.tx(), level, &input).await?;
    cx.audit(format!("security_level:{level}"), Some(Json::Array(before)), Some(Json::Array(after)));
    cx.changed(Entity::SecurityScheme(scheme.id));
    cx.done(Reply::no_content())
}

async fn remove(
    mut cx: Ctx<op::RemoveMemberFromSecurityLevel>,
    input: Input,
) -> Outcome<op::RemoveMemberFromSecurityLevel> {
    let scheme = scheme::named(cx.tx(), input.param("schemeId")).await?;
    let level = level::in_scheme(cx.tx(), scheme.id, input.param("levelId")).await?;
    let before = of_level(cx.tx(), level, &input).await?;
    let text = input.param("memberId");
    let removed = match text.parse::<i64>() {
        Ok(id) => {
            let sql = "DELETE FROM jira_security_member WHERE id = $1 AND level_id = $2";
            cx.tx().execute(sql, &[id.into(), level.into()]).await?
        }
        Err(_) => 0,
    };
    if removed == 0 {
        return Err(Problem::not_found(format!("The issue security level member with id '{text}' does not exist.")));
    }
    let after = of_level(cx.tx(), level, &input).await?;
    cx.audit(format!("security_level:{level}"), Some(Json::Array(before)), Some(Json::Array(after)));
    cx.changed(Entity::SecurityScheme(scheme.id));
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(of_scheme);
    handlers.on(search);
    handlers.on(add);
    handlers.on(remove);
}
