//! Connect apps for administrators: look at what one asks for, install exactly that, stop it, remove it.

use std::sync::Arc;

use askama::Template;
use portcullis_apps::connect::Services;
use portcullis_apps::connect::call;
use portcullis_apps::connect::descriptor::Descriptor;
use portcullis_apps::connect::life::{self, Accepted};
use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, View};
use portcullis_model::Problem;
use serde_json::Value as Json;

use crate::frame::{self, Frame, Section};

pub(crate) struct ConnectLine {
    pub key: String,
    pub name: String,
    pub base_url: String,
    pub account: String,
    pub enabled: bool,
    pub scopes: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "connect_apps.html")]
pub(crate) struct ConnectAppsPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub apps: Vec<ConnectLine>,
    pub url: String,
    pub error: String,
    pub preview_token: String,
    pub enable_token: String,
    pub disable_token: String,
    pub uninstall_token: String,
}

/// A scope as a person reads it.
pub(crate) struct ScopeLine {
    pub name: String,
    pub title: String,
    pub words: String,
    pub weight: &'static str,
    pub new: bool,
}

#[derive(Template)]
#[template(path = "connect_preview.html")]
pub(crate) struct ConnectPreviewPage {
    pub frame: Frame,
    pub url: String,
    pub hash: String,
    pub name: String,
    pub key: String,
    pub vendor: String,
    pub description: String,
    pub base_url: String,
    pub reach: String,
    pub installed: bool,
    pub scopes: Vec<ScopeLine>,
    pub events: Vec<String>,
    pub modules: Vec<String>,
    pub install_token: String,
}

fn text(json: &Json, name: &str) -> String {
    json.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn items<'a>(json: &'a Json, name: &str) -> impl Iterator<Item = &'a Json> {
    json.get(name).and_then(Json::as_array).into_iter().flatten()
}

async fn list_page<O>(cx: &mut Ctx<O>, input: &Input, url: &str, error: String) -> Result<Reply, Problem>
where
    O: portcullis_authz::Operation,
    O::Mode: portcullis_guard::OpMode + portcullis_guard::AnyMode,
{
    let view = cx.view().clone();
    let apps = life::all(cx.tx(), &view).await?;
    let token = |operation: &str| view.caller().form_token(operation);
    let page = ConnectAppsPage {
        frame: Frame::of(cx, Section::Admin),
        notice: frame::notice(input.query("done")),
        apps: apps
            .iter()
            .map(|app| ConnectLine {
                key: text(app, "key"),
                name: text(app, "name"),
                base_url: text(app, "baseUrl"),
                account: app.get("account").map(|account| text(account, "displayName")).unwrap_or_default(),
                enabled: app.get("enabled").and_then(Json::as_bool).unwrap_or_default(),
                scopes: items(app, "scopes").map(|scope| (text(scope, "title"), text(scope, "name"))).collect(),
            })
            .collect(),
        url: url.to_owned(),
        preview_token: token("consolePreviewConnectApp"),
        enable_token: token("consoleEnableConnectApp"),
        disable_token: token("consoleDisableConnectApp"),
        uninstall_token: token("consoleUninstallConnectApp"),
        error,
    };
    let wrong = !page.error.is_empty();
    let reply = frame::page(&page)?;
    Ok(if wrong { reply.with_status(400) } else { reply })
}

async fn list(mut cx: Ctx<op::ConsoleConnectApps>, input: Input) -> Outcome<op::ConsoleConnectApps> {
    let reply = list_page(&mut cx, &input, "", String::new()).await?;
    cx.done(reply)
}

async fn preview(
    mut cx: Ctx<op::ConsolePreviewConnectApp>,
    input: Input,
    _: Services,
    found: Result<Arc<Descriptor>, String>,
) -> Outcome<op::ConsolePreviewConnectApp> {
    let url = input.form("url").unwrap_or_default().to_owned();
    let descriptor = match found {
        Ok(descriptor) => descriptor,
        Err(error) => {
            let reply = list_page(&mut cx, &input, &url, error).await?;
            return cx.done(reply);
        }
    };
    let shown = life::preview(cx.view(), &descriptor);
    let new: Vec<&str> = items(&shown, "newScopes").filter_map(Json::as_str).collect();
    let page = ConnectPreviewPage {
        frame: Frame::of(&cx, Section::Admin),
        hash: text(&shown, "descriptorHash"),
        name: text(&shown, "name"),
        key: text(&shown, "key"),
        vendor: text(&shown, "vendor"),
        description: text(&shown, "description"),
        base_url: text(&shown, "baseUrl"),
        reach: text(&shown, "reach"),
        installed: shown.get("installed").and_then(Json::as_bool).unwrap_or_default(),
        scopes: items(&shown, "scopes")
            .map(|scope| {
                let name = text(scope, "name");
                ScopeLine {
                    title: text(scope, "title"),
                    words: text(scope, "words"),
                    weight: match name.as_str() {
                        "READ" => "reads",
                        "WRITE" | "ACCESS_EMAIL_ADDRESSES" => "changes",
                        _ => "administers",
                    },
                    new: new.contains(&name.as_str()),
                    name,
                }
            })
            .collect(),
        events: items(&shown, "webhooks").filter_map(Json::as_str).map(str::to_owned).collect(),
        modules: items(&shown, "modules")
            .map(|module| text(module, "kind"))
            .filter(|kind| kind != "webhooks")
            .collect(),
        install_token: cx.caller().form_token("consoleInstallConnectApp"),
        url,
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn install(
    mut cx: Ctx<op::ConsoleInstallConnectApp>,
    input: Input,
    services: Services,
    introduced: Result<Option<Accepted>, String>,
) -> Outcome<op::ConsoleInstallConnectApp> {
    match introduced {
        Ok(None) => cx.done(back("app-declined")),
        Ok(Some(app)) => life::finish_install(cx, services, app, back("app-installed")).await,
        Err(error) => {
            let url = input.form("url").unwrap_or_default().to_owned();
            let reply = list_page(&mut cx, &input, &url, error).await?;
            cx.done(reply)
        }
    }
}

fn back(done: &str) -> Reply {
    Reply::see_other(format!("/admin/connect-apps?done={done}"))
}

async fn look(services: Services, _: View, input: Input) -> Result<Result<Arc<Descriptor>, String>, Problem> {
    match call::fetch(&services.outbound, input.form("url").unwrap_or_default()).await {
        Ok(descriptor) => Ok(Ok(Arc::new(descriptor))),
        Err(problem) => problem.into_words().map(Err),
    }
}

async fn introduce(services: Services, view: View, input: Input) -> Result<Result<Option<Accepted>, String>, Problem> {
    let field = |name: &str| input.form(name).unwrap_or_default();
    match field("decision") {
        "approve" => {}
        "decline" => return Ok(Ok(None)),
        _ => return Err(Problem::invalid("Choose to install the app or not.")),
    }
    match life::introduce(&services, &view, field("url"), Some(field("hash"))).await {
        Ok(app) => Ok(Ok(Some(app))),
        Err(problem) => problem.into_words().map(Err),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on(list);
    handlers.on_prepared(services, look, preview);
    handlers.on_prepared(services, introduce, install);
    handlers.on_prepared(
        services,
        life::part_for_now,
        |cx: Ctx<op::ConsoleDisableConnectApp>, input: Input, services, ()| {
            life::set_enabled(cx, services, input.param("appKey").to_owned(), false, back("app-stopped"))
        },
    );
    handlers.on_prepared(
        services,
        life::say_nothing,
        |cx: Ctx<op::ConsoleEnableConnectApp>, input: Input, services, ()| {
            life::set_enabled(cx, services, input.param("appKey").to_owned(), true, back("app-started"))
        },
    );
    handlers.on_prepared(
        services,
        life::part_for_good,
        |cx: Ctx<op::ConsoleUninstallConnectApp>, input: Input, services, ()| {
            life::finish_uninstall(cx, services, input.param("appKey").to_owned(), back("app-uninstalled"))
        },
    );
}
