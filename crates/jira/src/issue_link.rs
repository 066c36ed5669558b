//! Links between issues: made, read by id, removed.
//!
//! A stored link says "source *outward words* destination": HSP-1 blocks MKY-1. On the wire a request names both ends, and the words
//! stand the other way round than they sound: what it calls `inwardIssue` is the source, what it calls `outwardIssue` the destination,
//! because an issue that is read shows the *other* end under these names (the source shows its `outwardIssue`).

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, SqlBuilder, StoreError, Tx, Writes};
use portcullis_model::{Problem, ProblemKind, ProjectPermission, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::comment::{self, NewComment};
use crate::event;
use crate::issue::history::{self, ChangeItem};
use crate::issue::touch;
use crate::refs::{LinkType, Refs, link_types};
use crate::text::int_of;

/// Links of one issue; Jira's limit.
const PER_ISSUE_MAX: i64 = 2_000;

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    link_type: Json,
    comment: Option<Json>,
}

/// `POST /issueLink`: 201 without a body, also when the link is there already. The comment goes to the outward issue.
pub async fn add(mut cx: Ctx<op::LinkIssues>, input: Input) -> Outcome<op::LinkIssues> {
    let view = cx.view().clone();
    let source = cx.target().issue()?.clone();
    let missing = || Problem::bug("a link without a second issue");
    let destination = cx.target().other_issue.clone().ok_or_else(missing)?;
    let now = cx.now();
    let body: Body = input.parse()?;
    let comment = match body.comment.filter(|comment| !comment.is_null()) {
        Some(json) => Some(NewComment::parse(&input, &json)?),
        None => None,
    };
    let link_type = named_type(cx.tx(), &body.link_type).await?;
    let author = view.caller().user();
    let marks = (event::mark(&mut cx, source.id).await?, event::mark(&mut cx, destination.id).await?);
    let link = link(cx.tx(), author, now, &link_type, &source, &destination).await?;
    let mut commented = None;
    if let Some(comment) = comment {
        // The row asks for the right to link alone.
        if !view.may(ProjectPermission::AddComments, destination.project, Some(&destination)) {
            let words = "You do not have the permission to comment on this issue.";
            return Err(Problem::field("comment", words));
        }
        commented = Some(comment::insert(cx.tx(), &view, &destination, now, comment).await?);
    }
    event::updated(&mut cx, source.id, marks.0, "issue_updated").await?;
    // The link itself is told of once.
    event::updated(&mut cx, destination.id, marks.1.map(|mark| mark.after_link(link)), "issue_updated").await?;
    cx.audit(
        format!("issue_link:{link}"),
        None,
        Some(json!({
            "type": link_type.name,
            "source": source.id.0,
            "destination": destination.id.0,
            "comment": commented,
        })),
    );
    cx.done(Reply::empty(201))
}

/// The link type that `{id}` or `{name}` names; names are compared without regard to case.
///
/// # Errors
/// 400 when it names none, 404 when there is no such type.
pub(crate) async fn named_type<M: AnyMode>(tx: &mut Tx<M>, named: &Json) -> Result<LinkType, Problem> {
    let id = named.get("id").and_then(int_of);
    let name = named.get("name").and_then(Json::as_str);
    let (found, words) = match (id, name) {
        (Some(id), _) => {
            let found = link_types(tx).await?.into_iter().find(|kind| kind.id == id);
            (found, format!("No issue link type with id '{id}' found."))
        }
        (None, Some(name)) => {
            let wanted = name.to_lowercase();
            let found = link_types(tx).await?.into_iter().find(|kind| kind.name.to_lowercase() == wanted);
            (found, format!("No issue link type with name '{name}' found."))
        }
        (None, None) => return Err(Problem::field("type", "An issue link type is required, by 'id' or 'name'.")),
    };
    found.ok_or_else(|| Problem::not_found(words))
}

/// Links two issues that the caller was found to be allowed to link, and says the link's id; the one that is there, when there is
/// one. Both changelogs tell of it.
///
/// # Errors
/// 400 for an issue with itself, or with too many links.
pub(crate) async fn link<M: Writes>(
    tx: &mut Tx<M>,
    author: Option<UserId>,
    now: Timestamp,
    link_type: &LinkType,
    source: &IssueFacts,
    destination: &IssueFacts,
) -> Result<i64, Problem> {
    if source.id == destination.id {
        return Err(Problem::invalid("You cannot link an issue to itself."));
    }
    let (from, to) = (source.id.0, destination.id.0);
    let sql = "SELECT id FROM jira_issue_link WHERE type_id = $1 AND source_id = $2 AND destination_id = $3";
    let values = [link_type.id.into(), from.into(), to.into()];
    if let Some(row) = tx.query_opt(sql, &values).await? {
        return Ok(row.get("id")?);
    }
    for issue in [from, to] {
        let sql = "SELECT COUNT(*) AS total FROM jira_issue_link WHERE source_id = $1 OR destination_id = $1";
        let total: i64 = tx.query_one(sql, &[issue.into()]).await?.get("total")?;
        if total >= PER_ISSUE_MAX {
            return Err(Problem::new(
                ProblemKind::TooLarge,
                format!("An issue can have at most {PER_ISSUE_MAX} links."),
            ));
        }
    }
    let sql = "INSERT INTO jira_issue_link (type_id, source_id, destination_id) VALUES ($1, $2, $3) RETURNING id";
    let id: i64 = tx.query_one(sql, &values).await?.get("id")?;
    for (own, item) in told(tx, link_type, source, destination).await? {
        history::record(tx, own.id, author, now, &[ChangeItem::system("Link", "issuelinks").to(item.0, item.1)])
            .await?;
        touch(tx, own.id, now).await?;
    }
    Ok(id)
}

type Told<'a> = (&'a IssueFacts, (Option<String>, Option<String>));

/// What each end's changelog says of the link: the other end's key, and a sentence.
async fn told<'a, M: AnyMode>(
    tx: &mut Tx<M>,
    link_type: &LinkType,
    source: &'a IssueFacts,
    destination: &'a IssueFacts,
) -> Result<Vec<Told<'a>>, StoreError> {
    let keys = keys(tx, &[source.id.0, destination.id.0]).await?;
    let key = |issue: &IssueFacts| keys.get(&issue.id.0).cloned().unwrap_or_default();
    let says = |words: &str, other: &IssueFacts| (Some(key(other)), Some(format!("This issue {words} {}", key(other))));
    Ok(vec![(source, says(&link_type.outward, destination)), (destination, says(&link_type.inward, source))])
}

/// The keys of some issues.
///
/// # Errors
/// The database's.
pub(crate) async fn keys<M: AnyMode>(tx: &mut Tx<M>, issues: &[i64]) -> Result<HashMap<i64, String>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT i.id, i.number, p.key FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.id IN ",
    );
    sql.ids(issues);
    let read = |row: &portcullis_guard::Row| {
        Ok((row.get("id")?, format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?)))
    };
    tx.query(sql, &[]).await?.iter().map(read).collect()
}

struct Link {
    id: i64,
    link_type: i64,
    source: i64,
    destination: i64,
}

async fn one<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Link, Problem> {
    let sql = "SELECT id, type_id, source_id, destination_id FROM jira_issue_link WHERE id = $1";
    let row = tx.query_opt(sql, &[id.into()]).await?.ok_or_else(|| {
        Problem::not_found("No issue link with the given id exists, or you do not have permission to see it.")
    })?;
    Ok(Link {
        id: row.get("id")?,
        link_type: row.get("type_id")?,
        source: row.get("source_id")?,
        destination: row.get("destination_id")?,
    })
}

/// `GET /issueLink/{linkId}`: both ends; the guard has looked that both are visible.
pub async fn get(mut cx: Ctx<op::GetIssueLink>, input: Input) -> Outcome<op::GetIssueLink> {
    let id = cx.target().thing()?;
    let link = one(cx.tx(), id).await?;
    let refs = Refs::load(cx.tx()).await?;
    let mut ends = ends(cx.tx(), &input, &refs, &[link.source, link.destination]).await?;
    cx.done(Reply::json(json!({
        "id": link.id.to_string(),
        "self": input.api_url(&format!("/issueLink/{}", link.id)),
        "type": refs.link_type(link.link_type, &input),
        "inwardIssue": ends.remove(&link.source),
        "outwardIssue": ends.remove(&link.destination),
    })))
}

/// Issues as links show them.
async fn ends<M: AnyMode>(
    tx: &mut Tx<M>,
    input: &Input,
    refs: &Refs,
    issues: &[i64],
) -> Result<HashMap<i64, Json>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT i.id, i.number, p.key, i.summary, i.status_id, i.priority_id, i.issue_type_id
           FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.id IN ",
    );
    sql.ids(issues);
    let mut out = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let id: i64 = row.get("id")?;
        let json = json!({
            "id": id.to_string(),
            "key": format!("{}-{}", row.get::<String>("key")?, row.get::<i64>("number")?),
            "self": input.api_url(&format!("/issue/{id}")),
            "fields": {
                "summary": row.get::<String>("summary")?,
                "status": refs.status(row.get("status_id")?, input),
                "priority": refs.priority(row.get("priority_id")?, input),
                "issuetype": refs.issue_type(row.get("issue_type_id")?, input),
            },
        });
        out.insert(id, json);
    }
    Ok(out)
}

/// `DELETE /issueLink/{linkId}`.
pub async fn remove(mut cx: Ctx<op::DeleteIssueLink>, _: Input) -> Outcome<op::DeleteIssueLink> {
    let id = cx.target().thing()?;
    let author = cx.caller().user();
    let now = cx.now();
    let link = one(cx.tx(), id).await?;
    // The guard located the ends in the order in which it stores its facts; the row says which is which.
    let located: Vec<IssueFacts> =
        [cx.target().issue.clone(), cx.target().other_issue.clone()].into_iter().flatten().collect();
    let end = |id: i64| {
        let found = located.iter().find(|issue| issue.id.0 == id);
        found.ok_or_else(|| Problem::bug("a link whose ends were not located"))
    };
    let (source, destination) = (end(link.source)?, end(link.destination)?);
    let marks = [
        (source.id, event::mark(&mut cx, source.id).await?),
        (destination.id, event::mark(&mut cx, destination.id).await?),
    ];
    event::link(&mut cx, "issuelink_deleted", id).await?;
    cx.tx().execute("DELETE FROM jira_issue_link WHERE id = $1", &[id.into()]).await?;
    let types = link_types(cx.tx()).await?;
    if let Some(link_type) = types.iter().find(|kind| kind.id == link.link_type) {
        for (own, item) in told(cx.tx(), link_type, source, destination).await? {
            let item = ChangeItem::system("Link", "issuelinks").from(item.0, item.1);
            history::record(cx.tx(), own.id, author, now, &[item]).await?;
            touch(cx.tx(), own.id, now).await?;
        }
    }
    for (issue, mark) in marks {
        event::updated(&mut cx, issue, mark, "issue_updated").await?;
    }
    cx.audit(
        format!("issue_link:{id}"),
        Some(json!({"type": link.link_type, "source": link.source, "destination": link.destination})),
        None,
    );
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(add);
    handlers.on(get);
    handlers.on(remove);
}
