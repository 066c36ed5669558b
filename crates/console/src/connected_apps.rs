//! Apps that I let in: what each may do, when it was used, and taking that back.

use askama::Template;
use portcullis_apps::oauth::grant::{self, Grant, Of};
use portcullis_apps::oauth::scope;
use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::json;

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

const SHOWN_MAX: i64 = 200;

/// An app on the page.
pub(crate) struct ConnectedApp {
    pub id: i64,
    pub name: String,
    pub lines: Vec<(String, String)>,
    pub lasting: bool,
    pub blocked: bool,
    pub since: Moment,
    pub last_used: Option<Moment>,
}

/// Something that happened to an app.
pub(crate) struct Event {
    pub words: String,
    pub at: Moment,
}

#[derive(Template)]
#[template(path = "connected_apps.html")]
pub(crate) struct ConnectedAppsPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub allowed: bool,
    pub apps: Vec<ConnectedApp>,
    pub events: Vec<Event>,
    pub revoke_token: String,
    pub revoke_all_token: String,
}

/// What a scope text lets an app do, in words; the scope for refresh tokens is told apart.
pub(crate) fn lines(scopes: &str) -> Vec<(String, String)> {
    scope::of_text(scopes)
        .into_iter()
        .filter(|shown| shown.name != scope::OFFLINE)
        .map(|shown| (shown.title, shown.name.to_owned()))
        .collect()
}

pub(crate) fn event_words(kind: &str, app: &str) -> String {
    let app = if app.is_empty() { "an app that was deleted" } else { app };
    match kind {
        "refresh_token_replayed" => format!(
            "A key of {app} was used a second time, long after the first: somebody may have copied it. That connection was ended to be safe; connect the app again if you still need it."
        ),
        "code_replayed" => format!(
            "A sign-in of {app} was answered twice. What came of it was ended to be safe; connect the app again if you still need it."
        ),
        _ => format!("Something happened to {app}."),
    }
}

async fn list(mut cx: Ctx<op::ConsoleConnectedApps>, input: Input) -> Outcome<op::ConsoleConnectedApps> {
    let user = cx.user()?;
    let now = cx.now();
    let view = cx.view().clone();
    let apps = grant::list(cx.tx(), Of::User(user), SHOWN_MAX).await?;
    let apps = apps
        .into_iter()
        .map(|grant: Grant| ConnectedApp {
            id: grant.id.0,
            lines: lines(&grant.scopes),
            lasting: grant.scopes.split(' ').any(|name| name == scope::OFFLINE),
            blocked: view.with(|snapshot| snapshot.oauth().client(grant.client).is_some_and(|client| client.blocked)),
            since: Moment::of(grant.changed_at_ms, now.0),
            last_used: grant.last_used_at_ms.map(|ms| Moment::of(ms, now.0)),
            name: grant.app_name,
        })
        .collect();
    let events = grant::notices(cx.tx(), user).await?;
    let page = ConnectedAppsPage {
        frame: Frame::of(&cx, Section::ConnectedApps),
        notice: frame::notice(input.query("done")),
        allowed: view.with(|snapshot| snapshot.settings.user_apps_allowed),
        apps,
        events: events
            .into_iter()
            .map(|(kind, app, at_ms)| Event { words: event_words(&kind, &app), at: Moment::of(at_ms, now.0) })
            .collect(),
        revoke_token: cx.caller().form_token("consoleRevokeApp"),
        revoke_all_token: cx.caller().form_token("consoleRevokeAllApps"),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn revoke(mut cx: Ctx<op::ConsoleRevokeApp>, input: Input) -> Outcome<op::ConsoleRevokeApp> {
    let user = cx.user()?;
    let id = grant::id_of(&input)?;
    let grant = grant::revoke(cx.tx(), id, Some(user)).await?;
    let grant = grant.ok_or_else(|| Problem::not_found("There is no such connection. It may be revoked already."))?;
    cx.audit(format!("app_grant:{id}"), Some(json!({"app": grant.client_id, "scopes": grant.scopes})), None);
    cx.changed(Entity::AppGrant(id));
    cx.done(Reply::see_other("/account/apps?done=app-revoked"))
}

async fn revoke_all(mut cx: Ctx<op::ConsoleRevokeAllApps>, _: Input) -> Outcome<op::ConsoleRevokeAllApps> {
    let user = cx.user()?;
    let grants = grant::revoke_all(cx.tx(), Of::User(user)).await?;
    grants.iter().for_each(|grant| cx.changed(Entity::AppGrant(grant.id)));
    let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
    cx.audit(target, None, Some(json!({"appsRevoked": grants.len()})));
    cx.done(Reply::see_other("/account/apps?done=apps-revoked"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(revoke);
    handlers.on(revoke_all);
}
