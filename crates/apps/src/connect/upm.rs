//! The plugin manager's API, as far as atlassian-connect-express and scripts of vendors use it to install an app.
//!
//! The call of an administrator is the consent here; the audit log has it.

use portcullis_authz::op;
use portcullis_crypto::Purpose;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply, View};
use portcullis_model::Problem;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::Services;
use super::life::{self, Accepted};

const UPM_TOKEN: Purpose = Purpose::new("upm token");
/// A token of the plugin manager is good for this long.
const TOKEN_LIFE_MS: i64 = 10 * 60_000;
/// How an installation ended can be asked for this long.
const TASK_LIFE_MS: i64 = 60 * 60_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    plugin_uri: String,
}

async fn settings(cx: Ctx<op::UpmSettings>, _: Input) -> Outcome<op::UpmSettings> {
    cx.done(Reply::json(json!({"settings": [{"key": "connectDeveloperListingsEnabled", "value": true}]})))
}

fn account(view: &View) -> String {
    view.caller().account_id().unwrap_or_default().to_owned()
}

async fn list(cx: Ctx<op::UpmList>, input: Input) -> Outcome<op::UpmList> {
    let view = cx.view().clone();
    let text = format!("{}", view.now().0 + TOKEN_LIFE_MS);
    let token = view
        .keys()
        .seal_to_text(text.as_bytes(), UPM_TOKEN, account(&view).as_bytes(), view.entropy())
        .map_err(Problem::bug)?;
    let mut apps: Vec<(String, String, bool)> = view.with(|snapshot| {
        snapshot.connect().apps().map(|app| (app.key.clone(), app.name.clone(), app.enabled)).collect()
    });
    apps.sort();
    let plugins: Vec<Json> = apps
        .iter()
        .map(|(key, name, enabled)| {
            json!({
                "key": key, "name": name, "enabled": enabled, "userInstalled": true, "remotable": true,
                "links": {"self": format!("{}/rest/plugins/1.0/{key}-key", input.base_url())},
            })
        })
        .collect();
    cx.done(Reply::json(json!({"plugins": plugins})).with_header("upm-token", token))
}

fn token_is_good(view: &View, token: &str) -> bool {
    let opened = view.keys().open_text(token, UPM_TOKEN, account(view).as_bytes()).ok();
    let until = opened.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| text.parse::<i64>().ok());
    until.is_some_and(|until| view.now().0 < until)
}

/// What became of an installation: an app that accepted its secret, or words for the administrator.
#[derive(Clone)]
enum Introduced {
    Accepted(Box<Accepted>),
    Failed(String),
}

async fn introduce(services: Services, view: View, input: Input) -> Result<Introduced, Problem> {
    if !input.query("token").is_some_and(|token| token_is_good(&view, token)) {
        return Err(Problem::forbidden(
            "The upm-token is missing or has expired. Get one from /rest/plugins/1.0/ first.",
        ));
    }
    let asked: Asked = input.parse()?;
    match life::introduce(&services, &view, &asked.plugin_uri, None).await {
        Ok(app) => Ok(Introduced::Accepted(Box::new(app))),
        Err(problem) => problem.into_words().map(Introduced::Failed),
    }
}

async fn install(
    mut cx: Ctx<op::UpmInstall>,
    input: Input,
    services: Services,
    introduced: Introduced,
) -> Outcome<op::UpmInstall> {
    let view = cx.view().clone();
    let task = view.fresh_id();
    let (key, problem) = match &introduced {
        Introduced::Accepted(app) => (Some(app.key().to_owned()), None),
        Introduced::Failed(words) => (None, Some(words.clone())),
    };
    let sql = "DELETE FROM app_connect_task WHERE expires_at_ms < $1";
    cx.tx().execute(sql, &[view.now().0.into()]).await?;
    let sql = "INSERT INTO app_connect_task (id, app_key, problem, expires_at_ms) VALUES ($1, $2, $3, $4)";
    let ends = view.now().0 + TASK_LIFE_MS;
    cx.tx().execute(sql, &[task.as_str().into(), key.into(), problem.into(), ends.into()]).await?;
    let link = format!("{}/rest/plugins/1.0/pending/{task}", path_of(input.base_url()));
    let reply = Reply::json(json!({
        "type": "INSTALL", "pingAfter": 100, "status": {"done": false}, "links": {"self": link},
    }))
    .with_status(202);
    match introduced {
        Introduced::Accepted(app) => life::finish_install(cx, services, *app, reply).await,
        Introduced::Failed(words) => {
            cx.audit("connect_app", None, Some(json!({"failed": words})));
            cx.done(reply)
        }
    }
}

/// The path of an address: clients put their own host before it.
fn path_of(base_url: &str) -> &str {
    base_url
        .splitn(4, '/')
        .nth(3)
        .filter(|path| !path.is_empty())
        .map_or("", |path| base_url.get(base_url.len() - path.len() - 1..).unwrap_or_default())
}

async fn task(mut cx: Ctx<op::UpmTask>, input: Input) -> Outcome<op::UpmTask> {
    let sql = "SELECT app_key, problem FROM app_connect_task WHERE id = $1";
    let row = cx.tx().query_opt(sql, &[input.param("taskId").into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no such task."))?;
    match (row.get::<Option<String>>("app_key")?, row.get::<Option<String>>("problem")?) {
        (Some(key), _) => {
            let address = format!("{}/rest/plugins/1.0/{key}-key", input.base_url());
            cx.done(Reply::see_other(address))
        }
        (None, problem) => {
            let words = problem.unwrap_or_default();
            let status = json!({"done": true, "statusCode": 200, "errorMessage": words, "subCode": "upm.error"});
            cx.done(Reply::json(json!({"type": "INSTALL", "pingAfter": 100, "status": status})))
        }
    }
}

/// Keys are written `{key}-key` there.
fn key_of(input: &Input) -> String {
    let text = input.param("pluginKey");
    text.strip_suffix("-key").unwrap_or(text).to_owned()
}

async fn plugin(cx: Ctx<op::UpmPlugin>, input: Input) -> Outcome<op::UpmPlugin> {
    let key = key_of(&input);
    let app = cx.view().with(|snapshot| snapshot.connect().app_named(&key).cloned());
    let app = app.ok_or_else(|| Problem::not_found("There is no Connect app with this key."))?;
    let link = format!("{}/rest/plugins/1.0/{key}-key", input.base_url());
    cx.done(Reply::json(json!({
        "key": app.key, "name": app.name, "enabled": app.enabled, "userInstalled": true, "remotable": true,
        "links": {"self": link},
    })))
}

pub(super) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on(settings);
    handlers.on(list);
    handlers.on(task);
    handlers.on(plugin);
    handlers.on_prepared(services, introduce, install);
    handlers.on_prepared(
        services,
        |services: Services, view: View, input: Input| async move {
            life::part(&services, &view, &key_of(&input), true).await
        },
        |cx: Ctx<op::UpmUninstall>, input: Input, services, ()| {
            life::finish_uninstall(cx, services, key_of(&input), Reply::no_content())
        },
    );
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn the_path_of_an_address() {
        assert_eq!(path_of("http://localhost:8080"), "");
        assert_eq!(path_of("https://example.org/jira"), "/jira");
    }
}
