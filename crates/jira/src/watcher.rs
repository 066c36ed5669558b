//! Who watches an issue.

use std::collections::HashSet;

use portcullis_authz::decide::issue_visible;
use portcullis_authz::op;
use portcullis_guard::{Body, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder};
use portcullis_model::{Problem, ProjectPermission, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::issue_link::keys;
use crate::visible::push_issue_visible;
use crate::wire;

/// People shown of one issue.
const SHOWN_MAX: i64 = 1_000;
/// Issues in one question whether the caller watches them.
const IDS_MAX: usize = 1_000;

/// `GET /issue/{issueIdOrKey}/watchers`. Without View Voters and Watchers the list shows nobody but the caller; the count stays.
pub async fn list(mut cx: Ctx<op::GetIssueWatchers>, input: Input) -> Outcome<op::GetIssueWatchers> {
    let view = cx.view().clone();
    let issue = cx.target().issue()?.clone();
    let sees_all = view.may(ProjectPermission::ViewVotersAndWatchers, issue.project, Some(&issue));
    // No account has the id 0.
    let caller = view.caller().user().unwrap_or(UserId(0));
    let sql = "SELECT COUNT(*) AS total, COALESCE(MAX(CASE WHEN user_id = $2 THEN 1 ELSE 0 END), 0) AS mine
                 FROM jira_watcher WHERE issue_id = $1";
    let counted = cx.tx().query_one(sql, &[issue.id.0.into(), caller.0.into()]).await?;
    let mut sql = SqlBuilder::new(
        "SELECT w.user_id FROM jira_watcher w JOIN account_user u ON u.id = w.user_id WHERE w.issue_id = ",
    );
    sql.bind(issue.id.0);
    if !sees_all {
        sql.push(" AND w.user_id = ").bind(caller.0);
    }
    sql.push(" ORDER BY u.name_folded {{c}}, u.id LIMIT ").bind(SHOWN_MAX);
    let mut ids: Vec<UserId> = Vec::new();
    for row in cx.tx().query(sql, &[]).await? {
        ids.push(UserId(row.get("user_id")?));
    }
    let people = wire::people(cx.tx(), &ids).await?;
    let watchers: Vec<Json> = ids.iter().filter_map(|id| people.get(id)).map(|person| person.json(&input)).collect();
    let key = keys(cx.tx(), &[issue.id.0]).await?.remove(&issue.id.0).unwrap_or_else(|| issue.id.to_string());
    cx.done(Reply::json(json!({
        "self": input.api_url(&format!("/issue/{key}/watchers")),
        "isWatching": counted.get::<bool>("mine")?,
        "watchCount": counted.get::<i64>("total")?,
        "watchers": watchers,
    })))
}

/// `POST /issue/{issueIdOrKey}/watchers`: the body is an account id as a JSON string; without one it is the caller.
pub async fn add(mut cx: Ctx<op::AddWatcher>, input: Input) -> Outcome<op::AddWatcher> {
    match input.body() {
        Body::Empty | Body::Json(Json::Null | Json::String(_)) => {}
        Body::Json(_) | Body::Form(_) | Body::Multipart(_) | Body::Bytes(_) => {
            return Err(Problem::invalid("The body has to be an account id, as a JSON string."));
        }
    }
    let issue = cx.target().issue()?.clone();
    let named = input.json().as_str().or_else(|| input.query("accountId"));
    let user = match (cx.target().user, named) {
        (Some(user), _) => user,
        (None, Some(_)) => return Err(no_such_user()),
        (None, None) => cx.user()?,
    };
    let may_see = cx.view().with(|snapshot| {
        snapshot.policy.user(user).is_some_and(|facts| facts.active)
            && issue_visible(&snapshot.policy, Some(user), &issue)
    });
    if !may_see {
        return Err(Problem::invalid(
            "The user does not have permission to view this issue. This user will not be added to the watch list.",
        ));
    }
    let sql = "INSERT INTO jira_watcher (issue_id, user_id) VALUES ($1, $2) ON CONFLICT (issue_id, user_id) DO NOTHING";
    cx.tx().execute(sql, &[issue.id.0.into(), user.0.into()]).await?;
    cx.audit(format!("issue:{}", issue.id), None, Some(json!({"watcher": user.0})));
    cx.done(Reply::no_content())
}

/// `DELETE /issue/{issueIdOrKey}/watchers?accountId=`: somebody who does not watch stays so.
pub async fn remove(mut cx: Ctx<op::RemoveWatcher>, input: Input) -> Outcome<op::RemoveWatcher> {
    if input.query("accountId").is_none_or(str::is_empty) {
        return Err(Problem::invalid("The query parameter 'accountId' is required."));
    }
    let issue = cx.target().issue()?.id;
    let user = cx.target().user.ok_or_else(no_such_user)?;
    let sql = "DELETE FROM jira_watcher WHERE issue_id = $1 AND user_id = $2";
    cx.tx().execute(sql, &[issue.0.into(), user.0.into()]).await?;
    cx.audit(format!("issue:{issue}"), Some(json!({"watcher": user.0})), None);
    cx.done(Reply::no_content())
}

fn no_such_user() -> Problem {
    Problem::not_found("The user does not exist.")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Issues {
    issue_ids: Vec<Json>,
}

/// `POST /issue/watching`: for each id whether the caller watches it; `false` as well for what it does not see or what is no id.
pub async fn is_watching(mut cx: Ctx<op::GetIsWatchingIssueBulk>, input: Input) -> Outcome<op::GetIsWatchingIssueBulk> {
    let view = cx.view().clone();
    let Issues { issue_ids } = input.parse()?;
    if issue_ids.len() > IDS_MAX {
        return Err(Problem::invalid(format!("At most {IDS_MAX} issue ids can be asked for at once.")));
    }
    let ids: Vec<i64> = issue_ids.iter().filter_map(crate::text::int_of).collect();
    let mut watched: HashSet<i64> = HashSet::new();
    if let Some(user) = view.caller().user() {
        let mut sql = SqlBuilder::new(
            "SELECT i.id FROM jira_issue i JOIN jira_watcher w ON w.issue_id = i.id WHERE w.user_id = ",
        );
        sql.bind(user.0).push(" AND i.id IN ").ids(&ids).push(" AND ");
        push_issue_visible(&mut sql, &view.visibility());
        for row in cx.tx().query(sql, &[]).await? {
            watched.insert(row.get("id")?);
        }
    }
    let mut out = Map::new();
    for named in &issue_ids {
        let text = named.as_str().map_or_else(|| named.to_string(), str::to_owned);
        let watches = crate::text::int_of(named).is_some_and(|id| watched.contains(&id));
        out.insert(text, watches.into());
    }
    cx.done(Reply::json(json!({"issuesIsWatching": out})))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(add);
    handlers.on(remove);
    handlers.on(is_watching);
}
