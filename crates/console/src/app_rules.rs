//! App access rules: which projects are closed to which apps.

use askama::Template;
use portcullis_apps::access_rule;
use portcullis_authz::op;
use portcullis_guard::{ALL_APPS, Ctx, Handlers, Input, OpMode, Outcome, Reply};
use portcullis_model::Problem;

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

pub(crate) struct RuleLine {
    pub id: i64,
    pub project: String,
    pub app: String,
    pub since: Moment,
}

pub(crate) struct Choice {
    pub value: String,
    pub words: String,
    pub chosen: bool,
}

#[derive(Template)]
#[template(path = "app_rules.html")]
pub(crate) struct AppRulesPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub error: String,
    pub rules: Vec<RuleLine>,
    pub projects: Vec<Choice>,
    pub apps: Vec<Choice>,
    pub create_token: String,
    pub delete_token: String,
}

const EVERY_APP: &str = "Every app, also those that come later";

async fn page<O: portcullis_authz::Operation>(
    cx: &mut Ctx<O>,
    input: &Input,
    error: String,
) -> Result<AppRulesPage, Problem>
where
    O::Mode: OpMode,
{
    let now = cx.now();
    let rules = access_rule::all(cx.tx()).await?;
    let (project, app) = (input.form("project").unwrap_or_default(), input.form("app").unwrap_or(ALL_APPS));
    let (mut projects, known) = cx.view().with(|snapshot| {
        let projects = snapshot.policy.projects().filter(|facts| !facts.trashed);
        let projects: Vec<(i64, String)> = projects.map(|facts| (facts.id.0, facts.key.clone())).collect();
        (projects, access_rule::apps(snapshot))
    });
    projects.sort_by(|a, b| a.1.cmp(&b.1));
    let named = |word: &str| match known.iter().find(|(known, _)| known == word) {
        _ if word == ALL_APPS => "Every app".to_owned(),
        Some((_, name)) => name.clone(),
        None => format!("{word} (not here any more)"),
    };
    let kind = |word: &str| match word.split_once(':') {
        Some(("connect", _)) => "Connect",
        Some(("forge", _)) => "Forge",
        _ => "OAuth 2.0",
    };
    let of_all = Choice { value: ALL_APPS.to_owned(), words: EVERY_APP.to_owned(), chosen: app == ALL_APPS };
    let each = known.iter().map(|(word, name)| Choice {
        value: word.clone(),
        words: format!("{name} ({})", kind(word)),
        chosen: app == word,
    });
    Ok(AppRulesPage {
        frame: Frame::of(cx, Section::Admin),
        notice: frame::notice(input.query("done")),
        error,
        rules: rules
            .into_iter()
            .map(|rule| RuleLine {
                id: rule.id,
                project: projects
                    .iter()
                    .find(|(id, _)| *id == rule.project.0)
                    .map_or_else(|| format!("project {} (not here any more)", rule.project.0), |(_, key)| key.clone()),
                app: named(&rule.app),
                since: Moment::of(rule.created_at_ms, now.0),
            })
            .collect(),
        apps: std::iter::once(of_all).chain(each).collect(),
        projects: projects
            .into_iter()
            .map(|(_, key)| Choice { chosen: key == project, words: key.clone(), value: key })
            .collect(),
        create_token: cx.caller().form_token("consoleCreateAppRule"),
        delete_token: cx.caller().form_token("consoleDeleteAppRule"),
    })
}

async fn list(mut cx: Ctx<op::ConsoleAppRules>, input: Input) -> Outcome<op::ConsoleAppRules> {
    let reply = frame::page(&page(&mut cx, &input, String::new()).await?)?;
    cx.done(reply)
}

async fn create(mut cx: Ctx<op::ConsoleCreateAppRule>, input: Input) -> Outcome<op::ConsoleCreateAppRule> {
    let (project, app) = (input.form("project").unwrap_or_default(), input.form("app").unwrap_or_default());
    match access_rule::add(&mut cx, project, app).await {
        Ok(_) => cx.done(Reply::see_other("/admin/app-rules?done=rule-added")),
        Err(problem) if problem.cause.is_none() => {
            let words = problem.into_words()?;
            let reply = frame::page(&page(&mut cx, &input, words).await?)?.with_status(400);
            cx.done(reply)
        }
        Err(problem) => Err(problem),
    }
}

async fn delete(mut cx: Ctx<op::ConsoleDeleteAppRule>, input: Input) -> Outcome<op::ConsoleDeleteAppRule> {
    let none = || Problem::not_found("There is no such rule. It may have been removed already.");
    let id: i64 = input.param("ruleId").parse().map_err(|_| none())?;
    if !access_rule::remove(&mut cx, id).await? {
        return Err(none());
    }
    cx.done(Reply::see_other("/admin/app-rules?done=rule-removed"))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(create);
    handlers.on(delete);
}
