//! Votes for an issue. On Cloud the reporter may vote too, unlike on Server; a resolved issue takes no votes.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, Tx};
use portcullis_model::{IssueId, Problem, ProjectPermission, UserId};
use serde_json::{Value as Json, json};

use crate::issue_link::keys;
use crate::wire;

/// People shown of one issue.
const SHOWN_MAX: i64 = 1_000;

/// `GET /issue/{issueIdOrKey}/votes`. Without View Voters and Watchers the list shows nobody but the caller; the count stays.
pub async fn get(mut cx: Ctx<op::GetVotes>, input: Input) -> Outcome<op::GetVotes> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let sees_all = view.may(ProjectPermission::ViewVotersAndWatchers, issue.project, Some(&issue));
    // No account has the id 0.
    let caller = view.caller().user().unwrap_or(UserId(0));
    let sql = "SELECT COUNT(*) AS total, COALESCE(MAX(CASE WHEN user_id = $2 THEN 1 ELSE 0 END), 0) AS mine
                 FROM jira_vote WHERE issue_id = $1";
    let counted = cx.tx().query_one(sql, &[issue.id.0.into(), caller.0.into()]).await?;
    let mut sql = SqlBuilder::new(
        "SELECT v.user_id FROM jira_vote v JOIN account_user u ON u.id = v.user_id WHERE v.issue_id = ",
    );
    sql.bind(issue.id.0);
    if !sees_all {
        sql.push(" AND v.user_id = ").bind(caller.0);
    }
    sql.push(" ORDER BY u.name_folded {{c}}, u.id LIMIT ").bind(SHOWN_MAX);
    let mut ids: Vec<UserId> = Vec::new();
    for row in cx.tx().query(sql, &[]).await? {
        ids.push(UserId(row.get("user_id")?));
    }
    let people = wire::people(cx.tx(), &ids).await?;
    let voters: Vec<Json> = ids.iter().filter_map(|id| people.get(id)).map(|person| person.json(&input)).collect();
    let key = keys(cx.tx(), &[issue.id.0]).await?.remove(&issue.id.0).unwrap_or_else(|| issue.id.to_string());
    cx.done(Reply::json(json!({
        "self": input.api_url(&format!("/issue/{key}/votes")),
        "votes": counted.get::<i64>("total")?,
        "hasVoted": counted.get::<bool>("mine")?,
        "voters": voters,
    })))
}

/// `POST /issue/{issueIdOrKey}/votes`: once, however often.
pub async fn add(mut cx: Ctx<op::AddVote>, _: Input) -> Outcome<op::AddVote> {
    let user = cx.user()?;
    let issue = cx.target().issue()?.id;
    check_open(cx.tx(), issue).await?;
    let sql = "INSERT INTO jira_vote (issue_id, user_id) VALUES ($1, $2) ON CONFLICT (issue_id, user_id) DO NOTHING";
    cx.tx().execute(sql, &[issue.0.into(), user.0.into()]).await?;
    cx.audit(format!("issue:{issue}"), None, Some(json!({"vote": user.0})));
    cx.done(Reply::no_content())
}

/// `DELETE /issue/{issueIdOrKey}/votes`: a vote that was not given is no error.
pub async fn remove(mut cx: Ctx<op::RemoveVote>, _: Input) -> Outcome<op::RemoveVote> {
    let user = cx.user()?;
    let issue = cx.target().issue()?.id;
    check_open(cx.tx(), issue).await?;
    let sql = "DELETE FROM jira_vote WHERE issue_id = $1 AND user_id = $2";
    cx.tx().execute(sql, &[issue.0.into(), user.0.into()]).await?;
    cx.audit(format!("issue:{issue}"), Some(json!({"vote": user.0})), None);
    cx.done(Reply::no_content())
}

/// Jira answers 404 for votes on a resolved issue.
async fn check_open<M: AnyMode>(tx: &mut Tx<M>, issue: IssueId) -> Result<(), Problem> {
    let sql = "SELECT resolution_id FROM jira_issue WHERE id = $1";
    let resolution: Option<i64> = tx.query_one(sql, &[issue.0.into()]).await?.get("resolution_id")?;
    match resolution {
        None => Ok(()),
        Some(_) => Err(Problem::not_found("You cannot vote or change your vote on resolved issues.")),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(add);
    handlers.on(remove);
}
