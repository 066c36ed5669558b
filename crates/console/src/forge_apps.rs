//! Forge apps as administrators see them: what each may do and keeps, how it runs, what it said; and its end.

use askama::Template;
use portcullis_apps::oauth::scope;
use portcullis_authz::op;
use portcullis_forge::{Forge, install, overview};
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, View};
use portcullis_model::{Problem, UserId};

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

const INVOCATIONS_SHOWN_MAX: i64 = 50;

pub(crate) struct ForgeLine {
    pub id: String,
    pub name: String,
    pub environment: String,
    pub version: String,
    pub newer_waits: bool,
    pub scopes: Vec<(String, String)>,
    pub egress: Vec<String>,
    pub account: String,
    pub owner: String,
    pub installed: Moment,
    pub stored: i64,
    pub stored_size: String,
    pub runs: i64,
    pub threw: i64,
    pub limited: i64,
    pub crashed: i64,
}

impl ForgeLine {
    pub(crate) fn trouble(&self) -> bool {
        self.threw + self.limited + self.crashed > 0
    }
}

pub(crate) struct RunLine {
    pub at: Moment,
    pub function: String,
    pub module: String,
    pub took: String,
    pub state: &'static str,
    pub failed: bool,
    pub detail: String,
    pub lines: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "forge_apps.html")]
pub(crate) struct ForgeAppsPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub apps: Vec<ForgeLine>,
}

#[derive(Template)]
#[template(path = "forge_app.html")]
pub(crate) struct ForgeAppPage {
    pub frame: Frame,
    pub app: ForgeLine,
    pub runs: Vec<RunLine>,
    pub uninstall_token: String,
}

fn size(bytes: i64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KB", bytes / 1_024),
        _ => format!("{} MB", bytes / 1_048_576),
    }
}

fn took(us: i64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
    }
}

fn line(view: &View, app: overview::Installed) -> ForgeLine {
    let name = |user: UserId| {
        view.with(|snapshot| snapshot.person(user).map(|person| person.display_name.clone())).unwrap_or_default()
    };
    let titles = |name: &String| scope::of_text(name).into_iter().next().map(|shown| shown.title).unwrap_or_default();
    ForgeLine {
        scopes: app.scopes.iter().map(|name| (titles(name), name.clone())).collect(),
        account: name(app.user),
        owner: name(app.owner),
        installed: Moment::of(app.installed_at_ms, view.now().0),
        stored_size: size(app.stored_bytes),
        id: app.id,
        name: app.name,
        environment: app.environment,
        version: app.version,
        newer_waits: app.newer_waits,
        egress: app.egress,
        stored: app.stored,
        runs: app.runs,
        threw: app.threw,
        limited: app.limited,
        crashed: app.crashed,
    }
}

async fn list(mut cx: Ctx<op::ConsoleForgeApps>, input: Input) -> Outcome<op::ConsoleForgeApps> {
    let view = cx.view().clone();
    let apps = overview::installed(cx.tx(), None, view.now().0).await?;
    let page = ForgeAppsPage {
        frame: Frame::of(&cx, Section::Admin),
        notice: frame::notice(input.query("done")),
        apps: apps.into_iter().map(|app| line(&view, app)).collect(),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn show(mut cx: Ctx<op::ConsoleForgeApp>, input: Input) -> Outcome<op::ConsoleForgeApp> {
    let view = cx.view().clone();
    let now = view.now();
    let id = input.param("installationId");
    let app = overview::installed(cx.tx(), Some(id), now.0).await?.into_iter().next();
    let app = app.ok_or_else(|| Problem::not_found("The app is not installed."))?;
    let runs = overview::invocations(cx.tx(), id, INVOCATIONS_SHOWN_MAX).await?;
    let runs = runs.into_iter().map(|run| RunLine {
        at: Moment::of(run.started_at_ms, now.0),
        function: run.function,
        module: run.module,
        took: took(run.took_us),
        state: match run.outcome.as_str() {
            "ok" => "Done",
            "threw" => "Failed",
            "limited" => "Hit a limit",
            _ => "Broke off",
        },
        failed: run.outcome != "ok",
        detail: run.detail,
        lines: run.lines,
    });
    let page = ForgeAppPage {
        frame: Frame::of(&cx, Section::Admin),
        app: line(&view, app),
        runs: runs.collect(),
        uninstall_token: cx.caller().form_token("consoleUninstallForgeApp"),
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

pub(crate) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    handlers.on(list);
    handlers.on(show);
    handlers.on_prepared(forge, install::part, |cx: Ctx<op::ConsoleUninstallForgeApp>, input: Input, forge, ()| {
        install::finish_uninstall(cx, input, forge, Reply::see_other("/admin/forge-apps?done=app-uninstalled"))
    });
}
