//! Links from an issue to things outside Jira. A link with a `globalId` is known by it: posting the same one again changes it.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, Writes};
use portcullis_model::{IssueId, Problem, ProblemKind, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::issue::history::{self, ChangeItem};
use crate::issue::touch;
use crate::issue_link::keys;

/// Remote links of one issue; Jira's limit.
const PER_ISSUE_MAX: i64 = 2_000;
const GLOBAL_ID_CHARS_MAX: usize = 255;
const TEXT_CHARS_MAX: usize = 255;
const SUMMARY_CHARS_MAX: usize = 32_767;
const URL_CHARS_MAX: usize = 2_000;

/// A picture; members that are missing are left out.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Icon {
    #[serde(skip_serializing_if = "Option::is_none")]
    url16x16: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Status {
    #[serde(skip_serializing_if = "Option::is_none")]
    resolved: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    icon: Icon,
}

/// The thing that is linked.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Object {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    icon: Icon,
    #[serde(default, deserialize_with = "or_default")]
    status: Status,
}

/// The application that it belongs to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Application {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    global_id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    application: Application,
    relationship: Option<String>,
    object: Option<Object>,
}

/// `null` where an object may stand is the same as nothing.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A link as it will be stored.
struct Checked {
    global_id: Option<String>,
    relationship: Option<String>,
    title: String,
    application: String,
    object: String,
}

impl Body {
    fn check(self) -> Result<Checked, Problem> {
        let object = self.object.ok_or_else(|| Problem::field("object", "'object' is required."))?;
        let mut wrong: Vec<(String, String)> = Vec::new();
        let mut say = |field: &str, words: String| wrong.push((field.to_owned(), words));
        let title = object.title.clone().unwrap_or_default();
        if title.trim().is_empty() {
            say("title", "'title' is required.".to_owned());
        }
        match object.url.as_deref().map(str::trim) {
            None | Some("") => say("url", "'url' is required.".to_owned()),
            Some(url) if !is_web_address(url) => say("url", "'url' is not a valid http or https address.".to_owned()),
            Some(_) => {}
        }
        // Clients make links of these: nothing but the web may hide behind them.
        let links = [
            ("object.icon.url16x16", &object.icon.url16x16),
            ("object.icon.link", &object.icon.link),
            ("object.status.icon.url16x16", &object.status.icon.url16x16),
            ("object.status.icon.link", &object.status.icon.link),
        ];
        for (field, link) in links {
            if link.as_deref().is_some_and(|link| !link.is_empty() && !is_web_address(link)) {
                say(field, format!("'{field}' is not a valid http or https address."));
            }
        }
        let texts = [
            ("globalId", &self.global_id, GLOBAL_ID_CHARS_MAX),
            ("relationship", &self.relationship, TEXT_CHARS_MAX),
            ("title", &object.title, TEXT_CHARS_MAX),
            ("summary", &object.summary, SUMMARY_CHARS_MAX),
            ("application.type", &self.application.kind, TEXT_CHARS_MAX),
            ("application.name", &self.application.name, TEXT_CHARS_MAX),
            ("object.icon.title", &object.icon.title, TEXT_CHARS_MAX),
            ("object.status.icon.title", &object.status.icon.title, TEXT_CHARS_MAX),
        ];
        for (field, text, chars_max) in texts {
            let Some(text) = text else { continue };
            if text.chars().count() > chars_max {
                say(field, format!("'{field}' is longer than {chars_max} characters."));
            } else if text.contains('\0') {
                say(field, format!("'{field}' holds a character that cannot be stored."));
            }
        }
        if !wrong.is_empty() {
            return Err(Problem::fields(wrong));
        }
        Ok(Checked {
            global_id: self.global_id.filter(|id| !id.is_empty()),
            relationship: self.relationship.filter(|text| !text.is_empty()),
            title,
            application: serde_json::to_string(&self.application).map_err(Problem::bug)?,
            object: serde_json::to_string(&object).map_err(Problem::bug)?,
        })
    }
}

fn is_web_address(text: &str) -> bool {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| text.get(scheme.len()..)).flatten()
    });
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or("");
    !host.is_empty()
        && text.chars().count() <= URL_CHARS_MAX
        && !text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\\' | '`'))
}

struct Remote {
    id: i64,
    global_id: Option<String>,
    relationship: Option<String>,
    application: Json,
    object: Json,
}

const COLUMNS: &str = "SELECT id, global_id, relationship, application, object FROM jira_remote_link WHERE issue_id = ";

impl Remote {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let json = |text: String| serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
        Ok(Self {
            id: row.get("id")?,
            global_id: row.get("global_id")?,
            relationship: row.get("relationship")?,
            application: json(row.get("application")?),
            object: json(row.get("object")?),
        })
    }

    fn title(&self) -> &str {
        self.object.get("title").and_then(Json::as_str).unwrap_or("")
    }

    fn json(&self, input: &Input, key: &str) -> Json {
        let mut out = Map::new();
        out.insert("id".into(), self.id.into());
        out.insert("self".into(), link_url(input, key, self.id).into());
        if let Some(global_id) = &self.global_id {
            out.insert("globalId".into(), global_id.clone().into());
        }
        out.insert("application".into(), self.application.clone());
        if let Some(relationship) = &self.relationship {
            out.insert("relationship".into(), relationship.clone().into());
        }
        out.insert("object".into(), self.object.clone());
        Json::Object(out)
    }

    fn summary(&self, issue: IssueId) -> Json {
        json!({"issue": issue.0, "globalId": self.global_id, "url": self.object.get("url"), "title": self.title()})
    }
}

fn link_url(input: &Input, key: &str, id: i64) -> String {
    input.api_url(&format!("/issue/{key}/remotelink/{id}"))
}

async fn key_of<M: AnyMode>(tx: &mut Tx<M>, issue: IssueId) -> Result<String, StoreError> {
    Ok(keys(tx, &[issue.0]).await?.remove(&issue.0).unwrap_or_else(|| issue.to_string()))
}

async fn by_global_id<M: AnyMode>(tx: &mut Tx<M>, issue: IssueId, id: &str) -> Result<Option<Remote>, StoreError> {
    // What cannot be stored is not there.
    if id.contains('\0') {
        return Ok(None);
    }
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.bind(issue.0).push(" AND global_id = ").bind(id);
    tx.query_opt(sql, &[]).await?.map(|row| Remote::of(&row)).transpose()
}

/// The link of this issue that the path names; one of another issue is as absent as none.
async fn by_path<M: AnyMode>(tx: &mut Tx<M>, issue: IssueId, input: &Input) -> Result<Remote, Problem> {
    let found = match input.param("linkId").parse::<i64>() {
        Ok(id) => {
            let mut sql = SqlBuilder::new(COLUMNS);
            sql.bind(issue.0).push(" AND id = ").bind(id);
            tx.query_opt(sql, &[]).await?.map(|row| Remote::of(&row)).transpose()?
        }
        Err(_) => None,
    };
    found.ok_or_else(|| {
        Problem::not_found(format!("No remote link exists for issue with id '{}'.", input.param("linkId")))
    })
}

fn no_global(global_id: &str) -> Problem {
    Problem::not_found(format!("No remote link exists with the global id '{global_id}'."))
}

/// `GET /issue/{issueIdOrKey}/remotelink`: an array, or one object when `globalId` is asked for.
pub async fn list(mut cx: Ctx<op::GetRemoteIssueLinks>, input: Input) -> Outcome<op::GetRemoteIssueLinks> {
    let issue = cx.target().issue()?.id;
    let key = key_of(cx.tx(), issue).await?;
    if let Some(global_id) = input.query("globalId").filter(|id| !id.is_empty()) {
        let found = by_global_id(cx.tx(), issue, global_id).await?.ok_or_else(|| no_global(global_id))?;
        return cx.done(Reply::json(found.json(&input, &key)));
    }
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.bind(issue.0).push(" ORDER BY id LIMIT ").bind(PER_ISSUE_MAX);
    let found: Vec<Remote> =
        cx.tx().query(sql, &[]).await?.iter().map(Remote::of).collect::<Result<_, StoreError>>()?;
    let json = found.iter().map(|link| link.json(&input, &key)).collect();
    cx.done(Reply::json(Json::Array(json)))
}

/// `GET /issue/{issueIdOrKey}/remotelink/{linkId}`.
pub async fn get(mut cx: Ctx<op::GetRemoteIssueLinkById>, input: Input) -> Outcome<op::GetRemoteIssueLinkById> {
    let issue = cx.target().issue()?.id;
    let key = key_of(cx.tx(), issue).await?;
    let found = by_path(cx.tx(), issue, &input).await?;
    cx.done(Reply::json(found.json(&input, &key)))
}

/// `POST /issue/{issueIdOrKey}/remotelink`: 201 for a new link, 200 for one that is known by its `globalId`.
pub async fn add(
    mut cx: Ctx<op::CreateOrUpdateRemoteIssueLink>,
    input: Input,
) -> Outcome<op::CreateOrUpdateRemoteIssueLink> {
    let issue = cx.target().issue()?.id;
    let author = cx.caller().user();
    let now = cx.now();
    let new = input.parse::<Body>()?.check()?;
    let known = match &new.global_id {
        Some(global_id) => by_global_id(cx.tx(), issue, global_id).await?,
        None => None,
    };
    let key = key_of(cx.tx(), issue).await?;
    let (status, id) = match &known {
        Some(old) => {
            replace(cx.tx(), old.id, &new).await?;
            (200, old.id)
        }
        None => (201, insert(cx.tx(), issue, &new).await?),
    };
    tell(cx.tx(), issue, author, now, known.as_ref().map(|old| (old.id, old.title())), Some((id, &new.title))).await?;
    cx.audit(
        format!("remote_link:{id}"),
        known.map(|old| old.summary(issue)),
        Some(json!({"issue": issue.0, "globalId": new.global_id, "title": new.title})),
    );
    cx.done(Reply::json(json!({"id": id, "self": link_url(&input, &key, id)})).with_status(status))
}

/// `PUT /issue/{issueIdOrKey}/remotelink/{linkId}`: what the body leaves out is emptied, as in Jira.
pub async fn update(mut cx: Ctx<op::UpdateRemoteIssueLink>, input: Input) -> Outcome<op::UpdateRemoteIssueLink> {
    let issue = cx.target().issue()?.id;
    let author = cx.caller().user();
    let now = cx.now();
    let new = input.parse::<Body>()?.check()?;
    let old = by_path(cx.tx(), issue, &input).await?;
    if let Some(global_id) = &new.global_id
        && by_global_id(cx.tx(), issue, global_id).await?.is_some_and(|other| other.id != old.id)
    {
        return Err(Problem::field("globalId", "Another remote link of the issue has this 'globalId'."));
    }
    replace(cx.tx(), old.id, &new).await?;
    tell(cx.tx(), issue, author, now, Some((old.id, old.title())), Some((old.id, &new.title))).await?;
    cx.audit(
        format!("remote_link:{}", old.id),
        Some(old.summary(issue)),
        Some(json!({"issue": issue.0, "globalId": new.global_id, "title": new.title})),
    );
    cx.done(Reply::no_content())
}

/// `DELETE /issue/{issueIdOrKey}/remotelink/{linkId}`.
pub async fn remove(
    mut cx: Ctx<op::DeleteRemoteIssueLinkById>,
    input: Input,
) -> Outcome<op::DeleteRemoteIssueLinkById> {
    let issue = cx.target().issue()?.id;
    let author = cx.caller().user();
    let now = cx.now();
    let old = by_path(cx.tx(), issue, &input).await?;
    delete(cx.tx(), issue, author, now, &old).await?;
    cx.audit(format!("remote_link:{}", old.id), Some(old.summary(issue)), None);
    cx.done(Reply::no_content())
}

/// `DELETE /issue/{issueIdOrKey}/remotelink?globalId=`.
pub async fn remove_by_global_id(
    mut cx: Ctx<op::DeleteRemoteIssueLinkByGlobalId>,
    input: Input,
) -> Outcome<op::DeleteRemoteIssueLinkByGlobalId> {
    let issue = cx.target().issue()?.id;
    let author = cx.caller().user();
    let now = cx.now();
    let Some(global_id) = input.query("globalId").filter(|id| !id.is_empty()) else {
        return Err(Problem::invalid("The query parameter 'globalId' is required."));
    };
    let old = by_global_id(cx.tx(), issue, global_id).await?.ok_or_else(|| no_global(global_id))?;
    delete(cx.tx(), issue, author, now, &old).await?;
    cx.audit(format!("remote_link:{}", old.id), Some(old.summary(issue)), None);
    cx.done(Reply::no_content())
}

async fn insert<M: Writes>(tx: &mut Tx<M>, issue: IssueId, new: &Checked) -> Result<i64, Problem> {
    let sql = "SELECT COUNT(*) AS total FROM jira_remote_link WHERE issue_id = $1";
    let total: i64 = tx.query_one(sql, &[issue.0.into()]).await?.get("total")?;
    if total >= PER_ISSUE_MAX {
        let words = format!("An issue can have at most {PER_ISSUE_MAX} remote links.");
        return Err(Problem::new(ProblemKind::TooLarge, words));
    }
    let sql = "INSERT INTO jira_remote_link (issue_id, global_id, relationship, application, object)
               VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let values = [
        issue.0.into(),
        new.global_id.clone().into(),
        new.relationship.clone().into(),
        new.application.as_str().into(),
        new.object.as_str().into(),
    ];
    Ok(tx.query_one(sql, &values).await?.get("id")?)
}

async fn replace<M: Writes>(tx: &mut Tx<M>, id: i64, new: &Checked) -> Result<(), StoreError> {
    let sql =
        "UPDATE jira_remote_link SET global_id = $2, relationship = $3, application = $4, object = $5 WHERE id = $1";
    let values = [
        id.into(),
        new.global_id.clone().into(),
        new.relationship.clone().into(),
        new.application.as_str().into(),
        new.object.as_str().into(),
    ];
    tx.execute(sql, &values).await.map(drop)
}

async fn delete<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    author: Option<UserId>,
    now: Timestamp,
    old: &Remote,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM jira_remote_link WHERE id = $1", &[old.id.into()]).await?;
    tell(tx, issue, author, now, Some((old.id, old.title())), None).await
}

/// Tells the issue's changelog which link (by id and title) became which.
async fn tell<M: Writes>(
    tx: &mut Tx<M>,
    issue: IssueId,
    author: Option<UserId>,
    now: Timestamp,
    from: Option<(i64, &str)>,
    to: Option<(i64, &str)>,
) -> Result<(), StoreError> {
    let id = |side: Option<(i64, &str)>| side.map(|(id, _)| id.to_string());
    let text = |side: Option<(i64, &str)>| side.map(|(_, title)| format!("This issue links to \"{title}\""));
    let item = ChangeItem::system("RemoteIssueLink", "RemoteIssueLink").from(id(from), text(from)).to(id(to), text(to));
    history::record(tx, issue, author, now, &[item]).await?;
    touch(tx, issue, now).await
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(get);
    handlers.on(add);
    handlers.on(update);
    handlers.on(remove);
    handlers.on(remove_by_global_id);
}

#[cfg(test)]
mod tests {
    use super::{Body, is_web_address};
    use serde_json::{Value as Json, json};

    fn check(body: Json) -> Result<super::Checked, Vec<String>> {
        let body: Body = serde_json::from_value(body).map_err(|error| vec![error.to_string()])?;
        body.check().map_err(|problem| problem.fields.into_iter().map(|(field, _)| field).collect())
    }

    #[test]
    fn a_link_needs_a_title_and_an_address_of_the_web() {
        let fine = check(json!({"object": {"url": "https://example.com/spec", "title": "Spec"}})).ok();
        assert_eq!(
            fine.map(|link| link.object).as_deref(),
            Some(r#"{"url":"https://example.com/spec","title":"Spec","icon":{},"status":{"icon":{}}}"#)
        );
        assert_eq!(check(json!({})).err(), Some(vec!["object".to_owned()]));
        assert_eq!(check(json!({"object": {}})).err(), Some(vec!["title".to_owned(), "url".to_owned()]));
        let script = json!({"object": {"url": "javascript:alert(1)", "title": "x", "icon": {"link": "data:,x"}}});
        assert_eq!(check(script).err(), Some(vec!["url".to_owned(), "object.icon.link".to_owned()]));
        assert!(check(json!({"object": {"url": "https://a", "title": 7}})).is_err());
        let nulls =
            json!({"globalId": null, "application": null, "object": {"url": "http://a", "title": "t", "icon": null}});
        assert_eq!(check(nulls).ok().map(|link| link.application).as_deref(), Some("{}"));
    }

    #[test]
    fn addresses_of_the_web() {
        for fine in ["http://a", "HTTPS://example.com/x?y=z#w", "https://[::1]:8080/"] {
            assert!(is_web_address(fine), "{fine}");
        }
        for odd in
            ["", "http://", "https:///x", "ftp://a", "//a", "a", "http://a b", "http://a\"><script>", "ｈttp://a"]
        {
            assert!(!is_web_address(odd), "{odd}");
        }
    }
}
