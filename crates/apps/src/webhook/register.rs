//! Webhooks that an app registers while it works: `/rest/api/3/webhook`. They end after 30 days unless they are refreshed.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply, View, WebhookFacts, WebhookOwner};
use portcullis_model::{Problem, WebhookId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use url::Url;

use super::{New, insert, registered};
use crate::connect::Services;

/// Days that a webhook lives without a refresh, as the vendor has it.
const LIFE_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;
/// Webhooks of one Connect app.
const PER_CONNECT_APP_MAX: i64 = 100;
/// Webhooks of one OAuth 2.0 app for one account, as the vendor has it.
const PER_GRANT_MAX: i64 = 5;
const URL_CHARS_MAX: usize = 2_000;
const JQL_CHARS_MAX: usize = 2_000;
const LIST_MAX: usize = 100;
/// What failed is shown for so long.
const FAILED_KEPT_MS: i64 = 72 * 3_600_000;

/// Events that can be registered, as the vendor lists them.
const EVENTS: [&str; 8] = [
    "jira:issue_created",
    "jira:issue_updated",
    "jira:issue_deleted",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "issue_property_set",
    "issue_property_deleted",
];

/// The app that asks; the decision has made sure that it is one.
fn owner(view: &View) -> Result<WebhookOwner, Problem> {
    let caller = view.caller();
    if let Some(app) = caller.connect_app() {
        // For a person the app may do what the person may, and no person has webhooks.
        return match caller.is_app_only() {
            true => Ok(WebhookOwner::Connect(app)),
            false => Err(Problem::forbidden("Only the app itself can see and change its webhooks.")),
        };
    }
    let grant = caller.app().zip(caller.user()).and_then(|(client, user)| {
        view.with(|snapshot| snapshot.oauth().grant_of(client, user).map(|grant| (client, grant.id)))
    });
    grant.map(|(client, grant)| WebhookOwner::Oauth { client, grant }).ok_or_else(|| Problem::bug("webhooks of no app"))
}

fn own(view: &View) -> Result<Vec<std::sync::Arc<WebhookFacts>>, Problem> {
    let owner = owner(view)?;
    let now = view.now();
    let mut all = view.with(|snapshot| snapshot.webhooks().of(owner));
    all.retain(|webhook| !webhook.fixed && webhook.expires_at_ms.is_none_or(|until| now.0 < until));
    Ok(all)
}

/// `2026-07-01T12:34:56.789+0000`.
fn moment(ms: i64) -> String {
    let timestamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string()
}

#[derive(Deserialize)]
struct Body {
    url: String,
    webhooks: Vec<Json>,
}

/// The address has to be the app's own: below its base URL, or where its callbacks are.
fn check_url(view: &View, owner: WebhookOwner, text: &str) -> Result<(), Problem> {
    let wrong = |words: &str| Problem::field("url", words);
    if text.chars().count() > URL_CHARS_MAX {
        return Err(wrong("The URL is too long."));
    }
    let url: Url = text.parse().map_err(|_| wrong("The URL is no address."))?;
    if url.as_str() != text && format!("{text}/") != url.as_str() {
        return Err(wrong("The URL is not written the way a browser would write it."));
    }
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("The URL must not have a user or a fragment."));
    }
    let fits = view.with(|snapshot| match owner {
        WebhookOwner::Connect(app) => snapshot.connect().app(app).is_some_and(|app| {
            text.strip_prefix(&app.base_url).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        }),
        WebhookOwner::Forge(_) => false,
        WebhookOwner::Oauth { client, .. } => snapshot.oauth().client(client).is_some_and(|client| {
            let callbacks = client.redirect_uris.iter().filter_map(|uri| uri.parse::<Url>().ok());
            matches!(url.scheme(), "https" | "http")
                && callbacks.into_iter().any(|callback| callback.origin() == url.origin())
        }),
    });
    if fits { Ok(()) } else { Err(wrong("URL must be on the same base URL as the app.")) }
}

fn strings(value: Option<&Json>) -> Result<Vec<String>, String> {
    let items = match value {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(items)) if items.len() <= LIST_MAX => items,
        Some(_) => return Err(format!("A filter is a list of at most {LIST_MAX} texts.")),
    };
    let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    texts.ok_or_else(|| "A filter holds something that is no text.".to_owned())
}

struct Wanted {
    events: Vec<String>,
    jql: String,
    field_ids: Vec<String>,
    property_keys: Vec<String>,
}

/// Reads one webhook; all that is wrong with it, else.
fn wanted(services: &Services, json: &Json) -> Result<Wanted, Vec<String>> {
    let mut wrong = Vec::new();
    let events = strings(json.get("events")).unwrap_or_default();
    if events.is_empty() {
        wrong.push("At least one event has to be named in 'events'.".to_owned());
    }
    for event in events.iter().filter(|event| !EVENTS.contains(&event.as_str())) {
        wrong.push(format!("The event '{event}' cannot be registered. Known are: {}.", EVENTS.join(", ")));
    }
    let jql = json.get("jqlFilter").and_then(Json::as_str).unwrap_or_default().trim().to_owned();
    if jql.is_empty() || jql.chars().count() > JQL_CHARS_MAX {
        wrong.push(format!("'jqlFilter' has to be a query of at most {JQL_CHARS_MAX} characters."));
    } else if let Err(words) = services.queries.check(&jql) {
        wrong.push(words);
    }
    let mut list = |member: &str| {
        strings(json.get(member)).unwrap_or_else(|words| {
            wrong.push(format!("'{member}': {words}"));
            Vec::new()
        })
    };
    let (field_ids, property_keys) = (list("fieldIdsFilter"), list("issuePropertyKeysFilter"));
    if wrong.is_empty() { Ok(Wanted { events, jql, field_ids, property_keys }) } else { Err(wrong) }
}

type Register = op::RegisterDynamicWebhooks;
async fn register(mut cx: Ctx<Register>, input: Input, services: Services, (): ()) -> Outcome<Register> {
    let (view, now) = (cx.view().clone(), cx.now());
    let body: Body = input.parse()?;
    if body.webhooks.is_empty() || body.webhooks.len() > LIST_MAX {
        return Err(Problem::field(
            "webhooks",
            format!("Between 1 and {LIST_MAX} webhooks can be registered at once."),
        ));
    }
    let owner = owner(&view)?;
    check_url(&view, owner, &body.url)?;
    let (there, most, connect_app, client, grant) = match owner {
        WebhookOwner::Connect(app) => {
            let sql = "SELECT count(*) AS n FROM app_webhook WHERE connect_app = $1 AND fixed = 0";
            (registered(cx.tx(), sql, app.0).await?, PER_CONNECT_APP_MAX, Some(app.0), None, None)
        }
        WebhookOwner::Forge(_) => return Err(Problem::bug("a Forge app registers no webhooks")),
        WebhookOwner::Oauth { client, grant } => {
            let sql = "SELECT count(*) AS n FROM app_webhook WHERE grant_id = $1";
            (registered(cx.tx(), sql, grant.0).await?, PER_GRANT_MAX, None, Some(client.0), Some(grant.0))
        }
    };
    let mut room = most.saturating_sub(there);
    let mut results = Vec::with_capacity(body.webhooks.len());
    let mut made = Vec::new();
    for json in &body.webhooks {
        let wanted = match wanted(&services, json) {
            Ok(_) if room == 0 => {
                let words = format!("The app has {most} webhooks already, which is the most that it can register.");
                results.push(json!({"errors": [words]}));
                continue;
            }
            Ok(wanted) => wanted,
            Err(words) => {
                results.push(json!({"errors": words}));
                continue;
            }
        };
        room -= 1;
        let new = New {
            connect_app,
            client,
            grant,
            fixed: false,
            url: &body.url,
            events: &wanted.events,
            jql: &wanted.jql,
            field_ids: &wanted.field_ids,
            property_keys: &wanted.property_keys,
            exclude_body: false,
            expires_at_ms: Some(now.0 + LIFE_DAYS * DAY_MS),
        };
        let id = insert(cx.tx(), &new, now).await?;
        cx.changed(Entity::Webhook(id));
        made.push(id.0);
        results.push(json!({"createdWebhookId": id.0}));
    }
    cx.audit("webhooks", None, Some(json!({"created": made, "url": body.url})));
    cx.done(Reply::json(json!({"webhookRegistrationResult": results})))
}

type List = op::GetDynamicWebhooksForApp;
async fn list(cx: Ctx<List>, input: Input) -> Outcome<List> {
    let all = own(cx.view())?;
    let start = usize::try_from(input.query_int("startAt")?.unwrap_or(0).max(0)).unwrap_or(0);
    let size = usize::try_from(input.query_int("maxResults")?.unwrap_or(100).clamp(1, 100)).unwrap_or(100);
    let total = all.len();
    let values: Vec<Json> = all.iter().skip(start).take(size).map(|webhook| json_of(webhook)).collect();
    cx.done(Reply::json(json!({
        "self": input.api_url(&format!("/webhook?startAt={start}&maxResults={size}")),
        "maxResults": size,
        "startAt": start,
        "total": total,
        "isLast": start.saturating_add(values.len()) >= total,
        "values": values,
    })))
}

fn json_of(webhook: &WebhookFacts) -> Json {
    let mut out = Map::new();
    out.insert("id".into(), webhook.id.0.into());
    out.insert("jqlFilter".into(), webhook.jql.clone().into());
    out.insert("events".into(), webhook.events.clone().into());
    out.insert("url".into(), webhook.url.clone().into());
    if !webhook.field_ids.is_empty() {
        out.insert("fieldIdsFilter".into(), webhook.field_ids.clone().into());
    }
    if !webhook.property_keys.is_empty() {
        out.insert("issuePropertyKeysFilter".into(), webhook.property_keys.clone().into());
    }
    if let Some(until) = webhook.expires_at_ms {
        out.insert("expirationDate".into(), moment(until).into());
    }
    Json::Object(out)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    webhook_ids: Vec<i64>,
}

/// The app's own among those that a body names; the others are passed over, as the vendor does.
fn named(view: &View, input: &Input) -> Result<Vec<WebhookId>, Problem> {
    let body: Named = input.parse()?;
    if body.webhook_ids.is_empty() {
        return Err(Problem::field("webhookIds", "At least one webhook has to be named."));
    }
    Ok(own(view)?.iter().map(|webhook| webhook.id).filter(|id| body.webhook_ids.contains(&id.0)).collect())
}

type Delete = op::DeleteWebhookById;
async fn delete(mut cx: Ctx<Delete>, input: Input) -> Outcome<Delete> {
    let ids = named(cx.view(), &input)?;
    for id in &ids {
        cx.tx().execute("DELETE FROM app_webhook WHERE id = $1", &[id.0.into()]).await?;
        cx.changed(Entity::Webhook(*id));
    }
    cx.audit("webhooks", Some(json!({"deleted": ids.iter().map(|id| id.0).collect::<Vec<_>>()})), None);
    cx.done(Reply::empty(202))
}

type Refresh = op::RefreshWebhooks;
async fn refresh(mut cx: Ctx<Refresh>, input: Input) -> Outcome<Refresh> {
    let ids = named(cx.view(), &input)?;
    let until = cx.now().0 + LIFE_DAYS * DAY_MS;
    for id in &ids {
        let sql = "UPDATE app_webhook SET expires_at_ms = $2 WHERE id = $1";
        cx.tx().execute(sql, &[id.0.into(), until.into()]).await?;
        cx.changed(Entity::Webhook(*id));
    }
    cx.audit("webhooks", None, Some(json!({"refreshed": ids.iter().map(|id| id.0).collect::<Vec<_>>()})));
    cx.done(Reply::json(json!({"expirationDate": moment(until)})))
}

type Failed = op::GetFailedWebhooks;
async fn failed(mut cx: Ctx<Failed>, input: Input) -> Outcome<Failed> {
    let owner = owner(cx.view())?.word();
    let after = input.query_int("after")?.unwrap_or(0);
    let size = input.query_int("maxResults")?.unwrap_or(100).clamp(1, 100);
    let since = after.max(cx.now().0.saturating_sub(FAILED_KEPT_MS));
    let sql = "SELECT o.identifier, b.body, o.settled_at_ms, w.url
                 FROM store_outbox o JOIN app_webhook w ON w.id = o.target JOIN store_outbox_body b ON b.id = o.body_id
                WHERE o.owner = $1 AND o.status = 'failed' AND o.settled_at_ms > $2 ORDER BY o.settled_at_ms, o.id LIMIT $3";
    let rows = cx.tx().query(sql, &[owner.into(), since.into(), size.into()]).await?;
    let mut last = None;
    let mut values = Vec::with_capacity(rows.len());
    for row in &rows {
        let at: i64 = row.get("settled_at_ms")?;
        last = Some(at);
        values.push(json!({
            "id": row.get::<String>("identifier")?,
            "body": row.get::<String>("body")?,
            "url": row.get::<String>("url")?,
            "failureTime": at,
        }));
    }
    let mut out = json!({"values": values, "maxResults": size});
    if let (Some(last), true, Some(members)) =
        (last, i64::try_from(rows.len()).unwrap_or(i64::MAX) == size, out.as_object_mut())
    {
        members.insert("next".into(), input.api_url(&format!("/webhook/failed?after={last}&maxResults={size}")).into());
    }
    cx.done(Reply::json(out))
}

pub(super) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on_prepared(services, crate::connect::life::say_nothing, register);
    handlers.on(list);
    handlers.on(delete);
    handlers.on(refresh);
    handlers.on(failed);
}
