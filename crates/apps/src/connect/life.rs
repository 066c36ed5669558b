//! Installed, enabled, disabled, uninstalled: one way for the management API, the plugin manager's API and the pages.
//!
//! The app is called first, while no transaction is open; what it answered is then stored in one transaction. So an installation
//! that fails leaves nothing behind, and an update that fails leaves the app as it was.

use std::sync::Arc;

use portcullis_authz::{Operation, op};
use portcullis_crypto::jws::SigningKey;
use portcullis_crypto::{PlainToken, TokenKind};
use portcullis_guard::connect::{ConnectFacts, SHARED_SECRET, grant_of};
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, OpMode, Outcome, Policy, Reply, Row, Tx, View};
use portcullis_model::{ConnectAppId, ConnectScope, Problem, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::call::{self, Callee};
use super::descriptor::{self, Descriptor};
use super::{Reach, Services, dynamic, install_key};
use crate::{webhook, wire};

/// The secret before the one in force is accepted for this long: requests that are under way do not fail.
const OVERLAP_MS: i64 = 5 * 60_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Asked {
    descriptor_url: String,
    /// The hash that the preview showed: another descriptor is then refused.
    #[serde(default)]
    descriptor_hash: Option<String>,
}

/// An app that has accepted its secret.
#[derive(Clone)]
pub struct Accepted {
    descriptor: Arc<Descriptor>,
    descriptor_url: String,
    secret: Arc<PlainToken>,
    callee: Callee,
}

impl Accepted {
    /// Its key.
    pub fn key(&self) -> &str {
        &self.descriptor.key
    }
}

fn installed(view: &View, key: &str) -> Option<Arc<ConnectFacts>> {
    view.with(|snapshot| snapshot.connect().app_named(key).cloned())
}

/// Fetches, shows the descriptor's faults, gives the app its secret.
///
/// # Errors
/// 400 and 409 with one sentence for the administrator.
pub async fn introduce(
    services: &Services,
    view: &View,
    descriptor_url: &str,
    expected_hash: Option<&str>,
) -> Result<Accepted, Problem> {
    let descriptor = call::fetch(&services.outbound, descriptor_url).await?;
    if expected_hash.is_some_and(|expected| expected != descriptor.hash()) {
        return Err(Problem::conflict(
            "The descriptor has changed since it was shown. Look at it again before you install it.",
        ));
    }
    let before = installed(view, &descriptor.key);
    if before.as_ref().is_some_and(|before| before.base_url != descriptor.base_url) {
        return Err(Problem::conflict(
            "An app with this key is installed from another address. Uninstall it first, if this one is to take its place.",
        ));
    }
    let callee = Callee {
        key: descriptor.key.clone(),
        base_url: descriptor.base_url.clone(),
        client_key: view.with(|snapshot| snapshot.settings.cloud_id.clone()),
        oauth_client_id: before.map_or_else(|| view.entropy().uuid(), |before| before.oauth_client_id.clone()),
    };
    let secret = PlainToken::issue(TokenKind::ConnectSecret, view.entropy());
    let key = install_key::current(view)?;
    let token = call::token(view, &callee, &key, "POST", &descriptor.installed)?;
    let body = call::event(view, &callee, "installed", Some(secret.expose_secret()));
    let said = match call::post(&services.outbound, &callee, &descriptor.installed, &token, &body).await {
        Ok(200 | 201 | 204) => None,
        Ok(status @ (401 | 403)) => Some(format!(
            "The app refused the installation (HTTP {status}). It may not trust this site's key; tell it to look up keys at {}/connect/install-keys.",
            view.addresses().issuer
        )),
        Ok(status) => Some(format!("The app answered the installation with HTTP status {status}.")),
        Err(error) => Some(format!("The app's address {error}.")),
    };
    match said {
        None => Ok(Accepted {
            descriptor: Arc::new(descriptor),
            descriptor_url: descriptor_url.trim().to_owned(),
            secret: Arc::new(secret),
            callee,
        }),
        Some(words) => Err(Problem::field("descriptorUrl", words)),
    }
}

/// Stores an app that has accepted its secret, new or again. Names what changed.
///
/// # Errors
/// The database's; 409 for an update whose base address another request has changed meanwhile.
pub(super) async fn store(
    tx: &mut Tx<Policy>,
    services: &Services,
    view: &View,
    by: Option<UserId>,
    app: &Accepted,
) -> Result<(ConnectAppId, Vec<Entity>), Problem> {
    let now = view.now();
    let descriptor = &app.descriptor;
    let sealed = view
        .keys()
        .seal(app.secret.expose_secret().as_bytes(), SHARED_SECRET, descriptor.key.as_bytes(), view.entropy())
        .map_err(Problem::bug)?;
    let sql = "SELECT id, user_id, scopes, base_url, secret, uninstalled_at_ms FROM app_connect WHERE app_key = $1";
    let scopes = descriptor.scopes.join(" ");
    let reach = reach_of(&scopes);
    let before = tx.query_opt(sql, &[descriptor.key.as_str().into()]).await?;
    let (user, had, previous) = match &before {
        Some(row) => {
            let gone = row.get::<Option<i64>>("uninstalled_at_ms")?.is_some();
            if !gone && row.get::<String>("base_url")? != descriptor.base_url {
                return Err(Problem::conflict("The app was installed from another address meanwhile."));
            }
            let user = UserId(row.get("user_id")?);
            services.accounts.set_active(tx, user, true).await?;
            let previous: Option<Vec<u8>> = if gone { None } else { row.get("secret")? };
            (user, reach_of(&row.get::<String>("scopes")?), previous)
        }
        None => (
            services.accounts.make(tx, view, &descriptor.name).await?,
            Reach { writes: false, administers: false },
            None,
        ),
    };
    let mut changed = vec![Entity::User(user)];
    // What it had before is not proposed again: an administrator may have taken it away.
    let more = Reach { writes: reach.writes && !had.writes, administers: reach.administers && !had.administers };
    changed.extend(services.accounts.let_in(tx, user, more).await?);
    let params = [
        descriptor.key.as_str().into(),
        descriptor.name.as_str().into(),
        descriptor.description.as_str().into(),
        descriptor.vendor.as_str().into(),
        app.descriptor_url.as_str().into(),
        descriptor.text.as_str().into(),
        descriptor.base_url.as_str().into(),
        descriptor.enabled.clone().into(),
        descriptor.disabled.clone().into(),
        descriptor.uninstalled.clone().into(),
        scopes.into(),
        user.0.into(),
        app.callee.client_key.as_str().into(),
        app.callee.oauth_client_id.as_str().into(),
        sealed.into(),
        previous.clone().into(),
        previous.map(|_| now.0 + OVERLAP_MS).into(),
        now.0.into(),
        // The operator has no account.
        by.unwrap_or(user).0.into(),
        after(now).into(),
    ];
    let sql = "INSERT INTO app_connect (app_key, name, description, vendor, descriptor_url, descriptor, base_url, enabled_path,
                      disabled_path, uninstalled_path, scopes, user_id, client_key, oauth_client_id, secret, previous_secret,
                      previous_until_ms, since_ms, installed_by, installed_at_ms, changed_at_ms, enabled)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $18, $18, 1)
               ON CONFLICT (app_key) DO UPDATE SET name = $2, description = $3, vendor = $4, descriptor_url = $5, descriptor = $6,
                      base_url = $7, enabled_path = $8, disabled_path = $9, uninstalled_path = $10, scopes = $11,
                      oauth_client_id = $14, secret = $15, previous_secret = $16, previous_until_ms = $17, since_ms = $20,
                      installed_by = $19, changed_at_ms = $18, enabled = 1, uninstalled_at_ms = NULL
               RETURNING id";
    let id = ConnectAppId(tx.query_one(sql, &params).await?.get("id")?);
    changed.push(Entity::ConnectApp(id));
    dynamic::give_way(tx, id).await?;
    changed.extend(webhook::describe(tx, id, &descriptor.base_url, now).await?);
    Ok((id, changed))
}

/// The moment from which tokens count again: what was issued in this very millisecond does not, also once the app may work again.
const fn after(now: Timestamp) -> i64 {
    now.0 + 1
}

fn reach_of(scopes: &str) -> Reach {
    let top = grant_of(scopes).top;
    Reach { writes: !matches!(top, ConnectScope::None | ConnectScope::Read), administers: top == ConnectScope::Admin }
}

/// Tells an app that it may work, once that is stored. Apps learn of it when they can; nothing depends on it.
pub(super) fn tell_enabled(services: &Services, view: &View, app: &Accepted) {
    let Some(path) = app.descriptor.enabled.clone() else { return };
    let Ok(key) = SigningKey::hs256(String::new(), app.secret.expose_secret().as_bytes()) else { return };
    tell_later(services, view, app.callee.clone(), path, "enabled", &key);
}

fn tell_later(services: &Services, view: &View, app: Callee, path: String, event: &'static str, key: &SigningKey) {
    let body = call::event(view, &app, event, None);
    let Ok(token) = call::token(view, &app, key, "POST", &path) else { return };
    let outbound = services.outbound.clone();
    let told = async move { tell(&outbound, &app, &path, &token, &body).await };
    if view.is_ours() {
        // The operator's command ends with its answer, and would take the task with it.
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(told));
    } else {
        tokio::spawn(told);
    }
}

async fn tell(outbound: &portcullis_outbound::Outbound, app: &Callee, path: &str, token: &str, body: &Json) {
    let event = body.get("eventType").and_then(Json::as_str).unwrap_or_default();
    match call::post(outbound, app, path, token, body).await {
        Ok(200..=299) => {}
        Ok(status) => tracing::warn!(app = %app.key, event, status, "a Connect app did not accept an event"),
        Err(error) => tracing::warn!(app = %app.key, event, %error, "a Connect app could not be told of an event"),
    }
}

/// Says good-bye: `disabled` first, and once that was answered `uninstalled`. The app's token works until both were answered.
///
/// # Errors
/// 404 when there is none; what the app answers is no error.
pub async fn part(services: &Services, view: &View, key: &str, for_good: bool) -> Result<(), Problem> {
    let app = installed(view, key).ok_or_else(absent)?;
    let to = call::callee(&app);
    if let (Some(path), true) = (&app.paths.disabled, app.enabled) {
        let token = call::token(view, &to, &app.secret, "POST", path)?;
        tell(&services.outbound, &to, path, &token, &call::event(view, &to, "disabled", None)).await;
    }
    if let (Some(path), true) = (&app.paths.uninstalled, for_good) {
        let token = call::token(view, &to, install_key::current(view)?.as_ref(), "POST", path)?;
        tell(&services.outbound, &to, path, &token, &call::event(view, &to, "uninstalled", None)).await;
    }
    Ok(())
}

/// Forgets an app's secrets and stops its account. What it did stays attributable.
pub(super) async fn remove(
    tx: &mut Tx<Policy>,
    services: &Services,
    view: &View,
    key: &str,
) -> Result<Vec<Entity>, Problem> {
    let now = view.now();
    let (id, user) = find(tx, key).await?;
    let sql = "UPDATE app_connect SET enabled = 0, secret = NULL, previous_secret = NULL, previous_until_ms = NULL,
                      since_ms = $3, changed_at_ms = $2, uninstalled_at_ms = $2 WHERE id = $1";
    tx.execute(sql, &[id.0.into(), now.0.into(), after(now).into()]).await?;
    tx.execute("DELETE FROM app_connect_property WHERE app = $1", &[id.0.into()]).await?;
    services.accounts.set_active(tx, user, false).await?;
    let mut changed = vec![Entity::ConnectApp(id), Entity::User(user)];
    changed.extend(webhook::forget_connect(tx, id).await?);
    Ok(changed)
}

fn absent() -> Problem {
    Problem::not_found("There is no Connect app with this key.")
}

async fn find(tx: &mut Tx<Policy>, key: &str) -> Result<(ConnectAppId, UserId), Problem> {
    let sql = "SELECT id, user_id FROM app_connect WHERE app_key = $1 AND uninstalled_at_ms IS NULL";
    let row = tx.query_opt(sql, &[key.into()]).await?.ok_or_else(absent)?;
    Ok((ConnectAppId(row.get("id")?), UserId(row.get("user_id")?)))
}

// ---- the management API

/// What an app asks for, in words: what an administrator decides by.
pub fn preview(view: &View, descriptor: &Descriptor) -> Json {
    let before = installed(view, &descriptor.key);
    let had = before.as_ref().map(|app| app.grant);
    let new: Vec<&str> = descriptor
        .scopes
        .iter()
        .copied()
        .filter(|scope| {
            had.is_some_and(|had| portcullis_guard::connect::intersection(grant_of(scope), had) != grant_of(scope))
        })
        .collect();
    let reach = reach_of(&descriptor.scopes.join(" "));
    let projects = view.with(|snapshot| snapshot.policy.projects().count());
    let words = match (descriptor.scopes.iter().any(|scope| *scope != "ACCESS_EMAIL_ADDRESSES"), reach.writes) {
        (false, _) => "No project: the app asks for no scope that reaches one.".to_owned(),
        (true, false) => "What every user of Jira sees, until you add its account to roles or groups.".to_owned(),
        (true, true) => format!(
            "All {projects} projects, hidden ones too, and those made later: its account gets the role \
             atlassian-addons-project-access. Take it out of that role in a project to keep the app out."
        ),
    };
    json!({
        "key": descriptor.key,
        "name": descriptor.name,
        "description": descriptor.description,
        "vendor": descriptor.vendor,
        "baseUrl": descriptor.base_url,
        "descriptorHash": descriptor.hash(),
        "scopes": descriptor::scope_words(&descriptor.scopes),
        "installed": before.is_some(),
        "newScopes": new,
        "reach": words,
        "webhooks": descriptor.webhooks.iter().map(|webhook| &webhook.event).collect::<Vec<_>>(),
        "modules": descriptor.modules.iter().map(|(kind, n)| json!({"kind": kind, "count": n})).collect::<Vec<_>>(),
    })
}

/// A site has tens of apps, so one is found among all.
const APPS: &str = "SELECT a.app_key, a.name, a.description, a.vendor, a.descriptor_url, a.base_url, a.scopes, a.enabled,
           a.installed_at_ms, a.changed_at_ms, a.user_id, a.installed_by FROM app_connect a WHERE a.uninstalled_at_ms IS NULL
           ORDER BY a.name, a.id";

fn json_of(view: &View, row: &Row) -> Result<Json, Problem> {
    let scopes: String = row.get("scopes")?;
    let names: Vec<&str> = scopes.split(' ').collect();
    let account = |column: &str| -> Result<Json, Problem> {
        let user = UserId(row.get(column)?);
        let person = view.with(|snapshot| snapshot.person(user).cloned());
        Ok(person.map_or(Json::Null, |it| json!({"accountId": it.account_id, "displayName": it.display_name})))
    };
    Ok(json!({
        "key": row.get::<String>("app_key")?,
        "name": row.get::<String>("name")?,
        "description": row.get::<String>("description")?,
        "vendor": row.get::<String>("vendor")?,
        "baseUrl": row.get::<String>("base_url")?,
        "descriptorUrl": row.get::<String>("descriptor_url")?,
        "scopes": descriptor::scope_words(&names),
        "enabled": row.get::<bool>("enabled")?,
        "account": account("user_id")?,
        // The operator, who has no account, is no person to show.
        "installedBy": if row.get::<i64>("installed_by")? == row.get::<i64>("user_id")? { Json::Null } else { account("installed_by")? },
        "installed": wire::moment(row.get("installed_at_ms")?),
        "changed": wire::moment(row.get("changed_at_ms")?),
    }))
}

/// Every installed app, by name.
///
/// # Errors
/// The database's.
pub async fn all<M: AnyMode>(tx: &mut Tx<M>, view: &View) -> Result<Vec<Json>, Problem> {
    tx.query(APPS, &[]).await?.iter().map(|row| json_of(view, row)).collect()
}

async fn list(mut cx: Ctx<op::ManageListConnectApps>, _: Input) -> Outcome<op::ManageListConnectApps> {
    let view = cx.view().clone();
    let apps = all(cx.tx(), &view).await?;
    cx.done(Reply::json(wire::whole(apps)))
}

async fn get(mut cx: Ctx<op::ManageGetConnectApp>, input: Input) -> Outcome<op::ManageGetConnectApp> {
    let view = cx.view().clone();
    let apps = all(cx.tx(), &view).await?;
    let app = apps.into_iter().find(|app| app.get("key").and_then(Json::as_str) == Some(input.param("appKey")));
    cx.done(Reply::json(app.ok_or_else(absent)?))
}

/// Lets an app work, or stops it; `key` names it.
///
/// # Errors
/// 404 when there is none.
pub async fn set_enabled<O>(mut cx: Ctx<O>, services: Services, key: String, enabled: bool, reply: Reply) -> Outcome<O>
where
    O: Operation<Mode = Policy>,
    Policy: OpMode,
{
    let view = cx.view().clone();
    let (id, user) = find(cx.tx(), &key).await?;
    let sql = "UPDATE app_connect SET enabled = $2, changed_at_ms = $3 WHERE id = $1";
    cx.tx().execute(sql, &[id.0.into(), enabled.into(), view.now().0.into()]).await?;
    if !enabled {
        let sql = "UPDATE app_connect SET since_ms = $2 WHERE id = $1";
        cx.tx().execute(sql, &[id.0.into(), after(view.now()).into()]).await?;
    }
    services.accounts.set_active(cx.tx(), user, enabled).await?;
    cx.audit(format!("connect_app:{key}"), Some(json!({"enabled": !enabled})), Some(json!({"enabled": enabled})));
    cx.changed(Entity::ConnectApp(id));
    cx.changed(Entity::User(user));
    cx.done_then(reply, move |reply| {
        if let (true, Some(app)) = (enabled, installed(&view, &key))
            && let Some(path) = app.paths.enabled.clone()
        {
            tell_later(&services, &view, call::callee(&app), path, "enabled", &app.secret);
        }
        Ok(reply)
    })
}

/// Stores an installation and answers with `reply`.
///
/// # Errors
/// The database's; 409 where another request was faster.
pub async fn finish_install<O>(mut cx: Ctx<O>, services: Services, app: Accepted, reply: Reply) -> Outcome<O>
where
    O: Operation<Mode = Policy>,
    Policy: OpMode,
{
    let (view, by) = (cx.view().clone(), cx.caller().user());
    let (_, changed) = store(cx.tx(), &services, &view, by, &app).await?;
    for entity in changed {
        cx.changed(entity);
    }
    cx.audit(
        format!("connect_app:{}", app.descriptor.key),
        None,
        Some(json!({"baseUrl": app.descriptor.base_url, "scopes": app.descriptor.scopes, "descriptorHash": app.descriptor.hash()})),
    );
    cx.done_then(reply, move |reply| {
        tell_enabled(&services, &view, &app);
        Ok(reply)
    })
}

/// Removes an app that was told so.
///
/// # Errors
/// 404 when there is none.
pub async fn finish_uninstall<O>(mut cx: Ctx<O>, services: Services, key: String, reply: Reply) -> Outcome<O>
where
    O: Operation<Mode = Policy>,
    Policy: OpMode,
{
    let view = cx.view().clone();
    for entity in remove(cx.tx(), &services, &view, &key).await? {
        cx.changed(entity);
    }
    cx.audit(format!("connect_app:{key}"), None, Some(json!({"uninstalled": true})));
    cx.done(reply)
}

async fn look(services: Services, _: View, input: Input) -> Result<Arc<Descriptor>, Problem> {
    let asked: Asked = input.parse()?;
    call::fetch(&services.outbound, &asked.descriptor_url).await.map(Arc::new)
}

async fn introduce_asked(services: Services, view: View, input: Input) -> Result<Accepted, Problem> {
    let asked: Asked = input.parse()?;
    introduce(&services, &view, &asked.descriptor_url, asked.descriptor_hash.as_deref()).await
}

/// [`part`] with the app that the path names, for good.
///
/// # Errors
/// As there.
pub async fn part_for_good(services: Services, view: View, input: Input) -> Result<(), Problem> {
    part(&services, &view, input.param("appKey"), true).await
}

/// [`part`] with the app that the path names, until it may work again.
///
/// # Errors
/// As there.
pub async fn part_for_now(services: Services, view: View, input: Input) -> Result<(), Problem> {
    part(&services, &view, input.param("appKey"), false).await
}

/// An app is told that it may work once that is stored, not before.
///
/// # Errors
/// Never.
pub async fn say_nothing(_: Services, _: View, _: Input) -> Result<(), Problem> {
    Ok(())
}

pub(super) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on(list);
    handlers.on(get);
    handlers.on_prepared(
        services,
        look,
        |cx: Ctx<op::ManagePreviewConnectApp>, _: Input, _: Services, descriptor: Arc<Descriptor>| async move {
            let json = preview(cx.view(), &descriptor);
            cx.done(Reply::json(json))
        },
    );
    handlers.on_prepared(
        services,
        introduce_asked,
        |cx: Ctx<op::ManageInstallConnectApp>, _: Input, services, app: Accepted| {
            let reply =
                Reply::created(json!({"key": app.descriptor.key, "name": app.descriptor.name, "enabled": true}));
            finish_install(cx, services, app, reply)
        },
    );
    handlers.on_prepared(
        services,
        part_for_good,
        |cx: Ctx<op::ManageUninstallConnectApp>, input: Input, services, ()| {
            finish_uninstall(cx, services, input.param("appKey").to_owned(), Reply::no_content())
        },
    );
    handlers.on_prepared(services, part_for_now, |cx: Ctx<op::ManageDisableConnectApp>, input: Input, services, ()| {
        set_enabled(cx, services, input.param("appKey").to_owned(), false, Reply::no_content())
    });
    handlers.on_prepared(services, say_nothing, |cx: Ctx<op::ManageEnableConnectApp>, input: Input, services, ()| {
        set_enabled(cx, services, input.param("appKey").to_owned(), true, Reply::no_content())
    });
}
