//! Pages of Connect apps, each in a frame of the app's own origin.

use askama::Template;
use portcullis_apps::connect::module::{self, About, Framed, Module};
use portcullis_authz::{Operation, op};
use portcullis_guard::connect::ConnectFacts;
use portcullis_guard::{Ctx, Handlers, Input, OpMode, Outcome, Reply};
use portcullis_jira::issue::facts::visible_named;
use portcullis_model::{Problem, ProjectId, ProjectPermission};
use serde_json::json;
use std::sync::Arc;

use crate::frame::{self, Frame, Section};

#[derive(Template)]
#[template(path = "connect_page.html")]
pub(crate) struct ConnectPage {
    pub frame: Frame,
    pub app: String,
    pub key: String,
    pub name: String,
    pub url: String,
    pub origin: String,
    pub about: String,
    pub account_id: String,
    pub form_token: String,
}

fn absent() -> Problem {
    Problem::not_found("There is no such page, or it is not for you.")
}

/// The page of the path, when it is for the caller.
async fn found<O: Operation>(cx: &mut Ctx<O>, input: &Input) -> Result<(Arc<ConnectFacts>, Module), Problem>
where
    O::Mode: OpMode,
{
    let key = input.param("appKey");
    let app = cx.view().with(|snapshot| snapshot.connect().app_named(key).filter(|app| app.enabled).cloned());
    let app = app.ok_or_else(absent)?;
    let module =
        module::of_app(cx.tx(), app.id).await?.into_iter().find(|module| module.key == input.param("moduleKey"));
    Ok((app, module.filter(|module| module.is_for(cx.view())).ok_or_else(absent)?))
}

/// What the page is about, as far as the caller sees it.
async fn about<O: Operation>(cx: &mut Ctx<O>, project: Option<&str>, issue: Option<&str>) -> Result<About, Problem>
where
    O::Mode: OpMode,
{
    let mut about = About::default();
    let view = cx.view().clone();
    if let Some(name) = issue.filter(|name| !name.is_empty()) {
        let facts = visible_named(cx.tx(), &view, name).await?.ok_or_else(absent)?;
        let id = facts.id.0;
        let sql = "SELECT p.key, i.number, i.issue_type_id FROM jira_issue i JOIN jira_project p ON p.id = i.project_id WHERE i.id = $1";
        let row = cx.tx().query_opt(sql, &[id.into()]).await?.ok_or_else(absent)?;
        let project: String = row.get("key")?;
        about.issue = Some((id, format!("{project}-{}", row.get::<i64>("number")?), row.get("issue_type_id")?));
        about.project = Some((facts.project.0, project));
    } else if let Some(name) = project.filter(|name| !name.is_empty()) {
        let found = view.with(|snapshot| {
            let by_id = name.parse().ok().map(ProjectId);
            let id = snapshot.project_by_key(name).or(by_id)?;
            snapshot.policy.project(id).map(|facts| (id, facts.key.clone()))
        });
        let (id, key) = found.ok_or_else(absent)?;
        if !view.may(ProjectPermission::BrowseProjects, id, None) {
            return Err(absent());
        }
        about.project = Some((id.0, key));
    }
    Ok(about)
}

async fn show(mut cx: Ctx<op::ConsoleConnectPage>, input: Input) -> Outcome<op::ConsoleConnectPage> {
    let (app, module) = found(&mut cx, &input).await?;
    let of = |name: &str| input.query(&format!("{name}.key")).or_else(|| input.query(&format!("{name}.id")));
    let about = about(&mut cx, of("project"), of("issue")).await?;
    let Framed { url, origin } = module::framed(cx.view(), &app, &module, &about)?;
    let page = ConnectPage {
        frame: Frame::of(&cx, Section::Elsewhere),
        app: app.name.clone(),
        key: app.key.clone(),
        name: module.name,
        about: about.json().to_string(),
        account_id: cx.caller().account_id().unwrap_or_default().to_owned(),
        form_token: cx.caller().form_token("consoleConnectContextToken"),
        url,
        origin: origin.clone(),
    };
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src {origin}; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    let reply =
        frame::page(&page)?.with_header("content-security-policy", policy).with_header("cache-control", "no-store");
    cx.done(reply)
}

/// The token that the page shows to its own server.
async fn token(mut cx: Ctx<op::ConsoleConnectContextToken>, input: Input) -> Outcome<op::ConsoleConnectContextToken> {
    let (app, _) = found(&mut cx, &input).await?;
    // What the browser says that the page is about is looked up again: it is no proof of what the person sees.
    let said: serde_json::Value = serde_json::from_str(input.form("about").unwrap_or("{}")).unwrap_or_default();
    let id = |place: &str| said.pointer(place).and_then(serde_json::Value::as_str);
    let about = about(&mut cx, id("/jira/project/id"), id("/jira/issue/id")).await?;
    let token = module::context_token(cx.view(), &app, &about)?;
    cx.done(Reply::json(json!({"token": token})).with_header("cache-control", "no-store"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(show);
    handlers.on(token);
}
