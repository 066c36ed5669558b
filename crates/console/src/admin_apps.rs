//! Apps as administrators see them: who let which app do what, revoke for one or for all, shut an app out.

use askama::Template;
use portcullis_accounts::settings;
use portcullis_apps::oauth::client;
use portcullis_apps::oauth::grant::{self, Of};
use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Reply};
use portcullis_model::Problem;
use serde_json::json;

use crate::connected_apps::lines;
use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

const GRANTS_SHOWN_MAX: i64 = 500;

pub(crate) struct AppLine {
    pub id: i64,
    pub name: String,
    pub maker: String,
    pub kind: &'static str,
    pub people: usize,
    pub blocked: bool,
    pub last_used: Option<Moment>,
}

pub(crate) struct GrantLine {
    pub id: i64,
    pub user: String,
    pub lines: Vec<(String, String)>,
    pub since: Moment,
    pub last_used: Option<Moment>,
}

#[derive(Template)]
#[template(path = "admin_apps.html")]
pub(crate) struct AdminAppsPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub allowed: bool,
    pub apps: Vec<AppLine>,
    pub settings_token: String,
}

#[derive(Template)]
#[template(path = "admin_app.html")]
pub(crate) struct AdminAppPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub id: i64,
    pub name: String,
    pub description: String,
    pub client_id: String,
    pub maker: String,
    pub kind: &'static str,
    pub blocked: bool,
    pub lines: Vec<(String, String)>,
    pub callbacks: Vec<String>,
    pub grants: Vec<GrantLine>,
    pub block_token: String,
    pub revoke_token: String,
    pub revoke_all_token: String,
}

fn kind_words(kind: &str, registered: &str) -> &'static str {
    match (kind, registered) {
        ("service", _) => "Service account",
        (_, "dynamic") => "Registered itself",
        (_, "metadata") => "Known by its address",
        ("public", _) => "Public app",
        _ => "App with a secret",
    }
}

async fn list(mut cx: Ctx<op::ConsoleAdminApps>, input: Input) -> Outcome<op::ConsoleAdminApps> {
    let view = cx.view().clone();
    let now = view.now();
    let apps = client::list(cx.tx(), None).await?;
    let grants = grant::list(cx.tx(), Of::Everyone, i64::MAX).await?;
    let apps = apps
        .into_iter()
        .map(|app| {
            let mine = grants.iter().filter(|grant| grant.client == app.id);
            let last_used = mine.clone().filter_map(|grant| grant.last_used_at_ms).max();
            AppLine {
                id: app.id.0,
                maker: view.with(|snapshot| {
                    let owner = app.owner.and_then(|owner| snapshot.person(owner));
                    owner.map(|person| person.display_name.clone()).unwrap_or_default()
                }),
                kind: kind_words(&app.kind, &app.registered),
                people: mine.count(),
                blocked: app.blocked,
                last_used: last_used.map(|ms| Moment::of(ms, now.0)),
                name: app.name,
            }
        })
        .collect();
    let page = AdminAppsPage {
        frame: Frame::of(&cx, Section::Admin),
        notice: frame::notice(input.query("done")),
        allowed: view.with(|snapshot| snapshot.settings.user_apps_allowed),
        apps,
        settings_token: cx.caller().form_token("consoleAdminUserApps"),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn show(mut cx: Ctx<op::ConsoleAdminApp>, input: Input) -> Outcome<op::ConsoleAdminApp> {
    let view = cx.view().clone();
    let now = view.now();
    let app = client::any(cx.tx(), &input).await?;
    let grants = grant::list(cx.tx(), Of::Client(app.id), GRANTS_SHOWN_MAX).await?;
    let page = AdminAppPage {
        frame: Frame::of(&cx, Section::Admin),
        notice: frame::notice(input.query("done")),
        id: app.id.0,
        maker: view.with(|snapshot| {
            let owner = app.owner.and_then(|owner| snapshot.person(owner));
            owner.map(|person| person.display_name.clone()).unwrap_or_default()
        }),
        kind: kind_words(&app.kind, &app.registered),
        blocked: app.blocked,
        lines: lines(&app.scopes),
        callbacks: app.redirect_uris,
        grants: grants
            .into_iter()
            .map(|grant| GrantLine {
                id: grant.id.0,
                user: grant.user_name,
                lines: lines(&grant.scopes),
                since: Moment::of(grant.changed_at_ms, now.0),
                last_used: grant.last_used_at_ms.map(|ms| Moment::of(ms, now.0)),
            })
            .collect(),
        name: app.name,
        description: app.description,
        client_id: app.client_id,
        block_token: cx.caller().form_token("consoleAdminBlockApp"),
        revoke_token: cx.caller().form_token("consoleAdminRevokeGrant"),
        revoke_all_token: cx.caller().form_token("consoleAdminRevokeApp"),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn block(mut cx: Ctx<op::ConsoleAdminBlockApp>, input: Input) -> Outcome<op::ConsoleAdminBlockApp> {
    let app = client::any(cx.tx(), &input).await?;
    let blocked = match input.form("blocked") {
        Some("yes") => true,
        Some("no") => false,
        _ => return Err(Problem::invalid("Choose to block the app or to let it in again.")),
    };
    client::block(cx.tx(), app.id, blocked).await?;
    let (before, after) = (json!({"blocked": app.blocked}), json!({"blocked": blocked}));
    cx.audit(format!("oauth_app:{}", app.id), Some(before), Some(after));
    cx.changed(Entity::OauthClient(app.id));
    let done = if blocked { "app-blocked" } else { "app-unblocked" };
    cx.done(Reply::see_other(format!("/admin/apps/{}?done={done}", app.id)))
}

async fn revoke_all(mut cx: Ctx<op::ConsoleAdminRevokeApp>, input: Input) -> Outcome<op::ConsoleAdminRevokeApp> {
    let app = client::any(cx.tx(), &input).await?;
    let grants = grant::revoke_all(cx.tx(), Of::Client(app.id)).await?;
    grants.iter().for_each(|grant| cx.changed(Entity::AppGrant(grant.id)));
    cx.audit(format!("oauth_app:{}", app.id), None, Some(json!({"grantsRevoked": grants.len()})));
    cx.done(Reply::see_other(format!("/admin/apps/{}?done=apps-revoked-for-all", app.id)))
}

async fn revoke(mut cx: Ctx<op::ConsoleAdminRevokeGrant>, input: Input) -> Outcome<op::ConsoleAdminRevokeGrant> {
    let id = grant::id_of(&input)?;
    let grant = grant::revoke(cx.tx(), id, None).await?;
    let grant = grant.ok_or_else(|| Problem::not_found("There is no such connection. It may be revoked already."))?;
    let before = json!({"app": grant.client_id, "accountId": grant.account_id, "scopes": grant.scopes});
    cx.audit(format!("app_grant:{id}"), Some(before), None);
    cx.changed(Entity::AppGrant(id));
    cx.done(Reply::see_other(format!("/admin/apps/{}?done=app-revoked-for-one", grant.client)))
}

async fn user_apps(mut cx: Ctx<op::ConsoleAdminUserApps>, input: Input) -> Outcome<op::ConsoleAdminUserApps> {
    let allowed = match input.form("user_apps") {
        Some("allow") => true,
        Some("block") => false,
        _ => return Err(Problem::invalid("Choose to allow or to block apps that people connect themselves.")),
    };
    let before = cx.view().with(|snapshot| snapshot.settings.user_apps_allowed);
    settings::allow_user_apps(cx.tx(), allowed).await?;
    let target = format!("setting:{}", settings::APPS_USER_INSTALLED);
    cx.audit(target, Some(json!({"value": before})), Some(json!({"value": allowed})));
    cx.changed(Entity::Settings);
    cx.done(Reply::see_other("/admin/apps?done=saved"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(show);
    handlers.on(block);
    handlers.on(revoke_all);
    handlers.on(revoke);
    handlers.on(user_apps);
}
