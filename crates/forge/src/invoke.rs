//! Running a function of an app.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_apps::edge::{Call, Reaches};
use portcullis_authz::op;
use portcullis_guard::{Ctx, Guard, Handlers, Input, Outcome, Read, Reply, View};
use portcullis_model::{ForgeInstallationId, Problem, ProblemKind};
use portcullis_sandbox::{BuildError, Ended, Image, Limit, Limits};
use serde_json::{Value as Json, json};
use tokio::sync::OnceCell;

use crate::broker::Broker;
use crate::log::{Finished, Outcome as Ending};
use crate::manifest::{Behind, Manifest, TIMEOUT_S_MAX};
use crate::{Forge, archive, remote, variable, wire};

/// Images that are kept between invocations, in bytes; those used last stay.
const IMAGES_BYTES_MAX: usize = 512 << 20;

/// The vendor's bound for what nobody sits and waits for, where that of other functions is not shorter on purpose.
const WALL_OF_BACKGROUND: Duration = Duration::from_secs(55);

/// The bounds of a function that says `timeoutSeconds`, for a type of module. Consumers and scheduled triggers may take up to 900
/// seconds, and what they may compute and ask for grows with it; others may ask for less than they have, not for more.
fn bounds(whole: Limits, module_type: &str, timeout_s: Option<u16>) -> Limits {
    if whole.wall != Limits::default().wall {
        return whole;
    }
    let asked = timeout_s.map(|s| Duration::from_secs(u64::from(s)));
    let (usual, most) = match module_type {
        "consumer" | "scheduledTrigger" => (WALL_OF_BACKGROUND, Duration::from_secs(u64::from(TIMEOUT_S_MAX))),
        "webtrigger" | "preUninstall" => (WALL_OF_BACKGROUND, WALL_OF_BACKGROUND),
        _ => (whole.wall, whole.wall),
    };
    let wall = asked.unwrap_or(usual).min(most);
    let times = u32::try_from(wall.as_secs().div_ceil(WALL_OF_BACKGROUND.as_secs())).unwrap_or(1);
    Limits { wall, cpu: whole.cpu * times, host_calls: whole.host_calls.saturating_mul(times), ..whole }
}

/// An app's code.
#[derive(Clone)]
pub(crate) struct Code {
    pub manifest: Arc<Manifest>,
    pub files: Arc<BTreeMap<String, String>>,
}

/// An installation as its invocations need it.
pub(crate) struct Installed {
    pub id: ForgeInstallationId,
    pub uuid: String,
    pub app: String,
    pub environment: String,
    pub environment_kind: String,
    /// The row of the version that runs.
    pub version_row: i64,
    pub version: String,
    pub code: Code,
    pub variables: Vec<(String, String)>,
    image: OnceCell<Image>,
}

/// What is kept of installations between invocations.
#[derive(Default)]
pub(crate) struct Loaded(Mutex<HashMap<ForgeInstallationId, Kept>>);

struct Kept {
    /// The policy's revision that it was read at: whatever changes an installation raises it.
    revision: i64,
    used: Instant,
    installed: Arc<Installed>,
}

impl Loaded {
    fn kept(&self) -> MutexGuard<'_, HashMap<ForgeInstallationId, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, id: ForgeInstallationId, revision: i64) -> Option<Arc<Installed>> {
        let mut kept = self.kept();
        let found = kept.get_mut(&id).filter(|found| found.revision == revision)?;
        found.used = Instant::now();
        Some(Arc::clone(&found.installed))
    }

    fn keep(&self, forge: &Forge, revision: i64, installed: Installed) -> Arc<Installed> {
        let mut kept = self.kept();
        let same = kept.get(&installed.id).filter(|before| {
            before.installed.version_row == installed.version_row && before.installed.variables == installed.variables
        });
        let installed = match same {
            Some(before) => Arc::clone(&before.installed),
            None => Arc::new(installed),
        };
        let fresh = Kept { revision, used: Instant::now(), installed: Arc::clone(&installed) };
        let mut dropped: Vec<Kept> = kept.insert(installed.id, fresh).into_iter().collect();
        dropped.retain(|before| !Arc::ptr_eq(&before.installed, &installed));
        let bytes = |kept: &Kept| kept.installed.image.get().map_or(0, Image::bytes);
        while kept.values().map(bytes).sum::<usize>() > IMAGES_BYTES_MAX {
            let oldest = kept.iter().filter(|(id, _)| **id != installed.id).min_by_key(|(_, kept)| kept.used);
            let Some(id) = oldest.map(|(id, _)| *id) else { break };
            dropped.extend(kept.remove(&id));
        }
        drop(kept);
        for image in dropped.iter().filter_map(|kept| kept.installed.image.get()) {
            forge.0.pool.forget(image);
        }
        installed
    }
}

/// An installation by its row.
///
/// # Errors
/// 404 when it is not installed any more.
pub(crate) async fn installed(
    forge: &Forge,
    guard: &Guard,
    id: ForgeInstallationId,
) -> Result<Arc<Installed>, Problem> {
    let revision = guard.revision();
    if let Some(kept) = forge.0.loaded.fresh(id, revision) {
        return Ok(kept);
    }
    let mut job = guard.begin_job::<Read>("forge_invoke").await?;
    let sql = "SELECT i.uuid, i.code, e.id AS environment_id, e.uuid AS environment, e.kind, a.uuid AS app, v.major, v.minor, v.manifest, v.files
               FROM forge_installation i JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app
               JOIN forge_version v ON v.id = i.code WHERE i.id = $1 AND i.uninstalled_at_ms IS NULL";
    let row = job.tx().query_opt(sql, &[id.0.into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("The app is not installed."))?;
    let manifest = Manifest::parse(&row.get::<String>("manifest")?).map_err(|faults| Problem::bug(faults.join(" ")))?;
    let files: String = row.get::<Option<String>>("files")?.unwrap_or_else(|| "{}".to_owned());
    let (major, minor): (i64, i64) = (row.get("major")?, row.get("minor")?);
    let variables =
        variable::all(job.tx(), guard.system_view("forge_invoke").keys(), row.get("environment_id")?).await?;
    let installed = Installed {
        id,
        uuid: row.get("uuid")?,
        app: row.get("app")?,
        environment: row.get("environment")?,
        environment_kind: row.get("kind")?,
        version_row: row.get("code")?,
        version: format!("{major}.{minor}.0"),
        code: Code {
            manifest: Arc::new(manifest),
            files: Arc::new(serde_json::from_str(&files).map_err(Problem::bug)?),
        },
        variables,
        image: OnceCell::new(),
    };
    Ok(forge.0.loaded.keep(forge, revision, installed))
}

/// The script that carries an app's files into an isolate.
fn script(code: &Code, variables: &[(String, String)]) -> Result<String, Problem> {
    let quoted = |text: &str| serde_json::to_string(text).map_err(Problem::bug);
    let mut out = String::from("__load({ sources: {\n");
    let mut texts = BTreeMap::new();
    for (name, text) in code.files.iter() {
        if name.ends_with(".js") || name.ends_with(".cjs") {
            // Whatever the text does to end the function early, it stays in the isolate that it would run in anyway.
            out.push_str(&format!(
                "{}: function (module, exports, require, __filename, __dirname) {{\n{text}\n}},\n",
                quoted(name)?
            ));
        } else {
            texts.insert(name, text);
        }
    }
    let files = code.manifest.functions.values().map(|handler| handler.file.as_str());
    let entries: BTreeMap<&str, Option<&str>> = files.map(|file| (file, archive::file_of(&code.files, file))).collect();
    let variables: BTreeMap<_, _> = variables.iter().map(|(key, value)| (key, value)).collect();
    out.push_str(&format!(
        "}}, texts: {}, entries: {}, variables: {} }});",
        json!(texts),
        json!(entries),
        json!(variables)
    ));
    Ok(out)
}

/// Loads an app's code into an image.
///
/// # Errors
/// 400 with what the code did, 503 when no worker can be had.
pub(crate) async fn load(forge: &Forge, code: &Code, variables: &[(String, String)]) -> Result<Image, Problem> {
    let script = script(code, variables)?;
    forge.0.pool.build("app.js", &script, &Limits::default()).await.map_err(|error| match error {
        BuildError::Code(_) | BuildError::Limit(_) => {
            let text = error.to_string();
            Problem::invalid(text.chars().take(2_000).collect::<String>())
        }
        BuildError::Pool(error) => unavailable(&error),
    })
}

fn unavailable(error: &portcullis_sandbox::PoolError) -> Problem {
    tracing::error!(%error, "apps cannot run");
    Problem::new(
        ProblemKind::Unavailable,
        "The sandbox of this server is not available. Its administrator finds why in the log.",
    )
}

/// What is to be run.
pub(crate) struct Run {
    pub behind: Behind,
    pub module_type: String,
    pub module_key: String,
    /// The first argument.
    pub event: Json,
    /// The account that the app may act for: who started it.
    pub principal: Option<String>,
    /// How many events of a queue have led to this run.
    pub depth: u32,
}

/// Runs what is behind a module of an installation; what it does, and what it says, is in the log when this returns.
///
/// # Errors
/// 404 when the app is not installed or has no such function, 503 when no worker can be had.
pub(crate) async fn run(forge: &Forge, installed: &Arc<Installed>, run: Run) -> Result<Finished, Problem> {
    let (guard, _) = forge.serving()?;
    let (id, now) = (guard.system_view("forge_invoke").entropy().uuid(), guard.now());
    let started = Instant::now();
    let ended = match &run.behind {
        Behind::Function(function) => run_function(forge, installed, &run, function, &id).await?,
        Behind::Endpoint(endpoint) => call_endpoint(forge, installed, &run, endpoint).await?,
    };
    let finished = Finished {
        id,
        installation: installed.id,
        version: installed.version_row,
        function: run.behind.key().to_owned(),
        module_type: run.module_type,
        module_key: run.module_key,
        principal: run.principal,
        started_at_ms: now.0,
        took_us: i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX),
        outcome: ended.outcome,
        detail: ended.detail,
        host_calls: ended.host_calls,
        lines: ended.lines,
        value: ended.value,
    };
    forge.0.journal.note(&finished);
    Ok(finished)
}

/// How a run ended, before it is written down.
struct EndedRun {
    value: Json,
    outcome: Ending,
    detail: String,
    host_calls: u32,
    lines: Vec<crate::log::Line>,
}

impl EndedRun {
    fn new(
        guard: &Guard,
        (value, outcome, detail): (Json, Ending, Option<String>),
        mut lines: Vec<crate::log::Line>,
    ) -> Self {
        if let Some(detail) = detail.as_deref().filter(|_| outcome != Ending::Ok) {
            lines.push(crate::log::Line { at_ms: guard.now().0, level: "ERROR".to_owned(), text: detail.to_owned() });
        }
        Self { value, outcome, detail: detail.unwrap_or_default(), host_calls: 0, lines }
    }
}

async fn run_function(
    forge: &Forge,
    installed: &Arc<Installed>,
    run: &Run,
    function: &str,
    id: &str,
) -> Result<EndedRun, Problem> {
    let (guard, edge) = forge.serving()?;
    let handler = installed.code.manifest.functions.get(function);
    let handler = handler.ok_or_else(|| Problem::not_found(format!("The app has no function `{function}`.")))?;
    let image = installed.image.get_or_try_init(|| load(forge, &installed.code, &installed.variables)).await?;
    let now = guard.now();
    let cloud_id = guard.site().1;
    let context_ari = format!("ari:cloud:jira::site/{cloud_id}");
    let limits = bounds(forge.0.limits, &run.module_type, handler.timeout_s);
    let contexts =
        json!({"ari": format!("ari:cloud:ecosystem::installation/{}", installed.uuid), "contexts": [context_ari]});
    let principal = run.principal.as_ref().map(|account_id| json!({"accountId": account_id}));
    let mut context = json!({"installContext": context_ari, "installation": contexts});
    if let (Some(principal), Some(context)) = (principal, context.as_object_mut()) {
        context.insert("principal".to_owned(), principal);
    }
    let manifest = &installed.code.manifest;
    let runtime = json!({
        "proxy": {"token": "", "url": "http://localhost/"},
        "contextAri": context_ari,
        "aaid": run.principal,
        "container": {"region": "local", "runtime": "nodejs22.x", "handler": format!("{}.{}", handler.file, handler.export), "appCodeDir": "/"},
        "appContext": {
            "appId": installed.app,
            "appVersion": installed.version,
            "environmentId": installed.environment,
            "environmentType": installed.environment_kind,
            "invocationId": id,
            "installationId": installed.uuid,
            "functionKey": function,
            "moduleType": run.module_type,
            "moduleKey": run.module_key,
            "installation": contexts,
            "permissions": {"scopes": manifest.scopes, "external": {"fetch": {"backend": manifest.egress}}},
        },
        "tracing": {"traceId": id.replace('-', ""), "spanId": id.get(..8)},
        "externalAuth": [],
        "deadlineMs": now.0.saturating_add(i64::try_from(limits.wall.as_millis()).unwrap_or(i64::MAX)),
    });
    let variables: BTreeMap<_, _> = installed.variables.iter().map(|(key, value)| (key, value)).collect();
    let message = json!({
        "t": "invoke", "entry": handler.file, "name": handler.export, "event": run.event, "context": context,
        "runtime": runtime, "variables": variables,
    });
    let broker = Arc::new(Broker::new(forge.clone(), guard.clone(), Arc::clone(edge), Arc::clone(installed), run));
    let tenant = u64::try_from(installed.id.0).unwrap_or_default();
    let message = message.to_string();
    let invocation = forge.0.pool.invoke(image, tenant, message.as_bytes(), &limits, Arc::clone(&broker)).await;
    let invocation = invocation.map_err(|error| unavailable(&error))?;
    let mut ended = EndedRun::new(guard, ending(invocation.ended), broker.take_lines());
    ended.host_calls = invocation.usage.host_calls;
    if invocation.usage.log_lines_dropped > 0 {
        let text = format!("{} more lines found no room in the log.", invocation.usage.log_lines_dropped);
        ended.lines.push(crate::log::Line { at_ms: guard.now().0, level: "WARN".to_owned(), text });
    }
    Ok(ended)
}

/// Calls the remote behind an endpoint: with what a page asks, or with an event.
async fn call_endpoint(forge: &Forge, installed: &Installed, run: &Run, endpoint: &str) -> Result<EndedRun, Problem> {
    const EVENT: Duration = Duration::from_secs(5);
    let (guard, _) = forge.serving()?;
    let found = remote::of_endpoint(&installed.code.manifest, endpoint);
    let (remote, path, auth) =
        found.ok_or_else(|| Problem::not_found(format!("The app has no endpoint `{endpoint}`.")))?;
    let by_page = run.module_type.starts_with("jira:");
    let json = |text: &[u8]| serde_json::from_slice::<Json>(text).unwrap_or_default();
    let asked = if by_page {
        let payload = run.event.pointer("/call/payload").cloned().unwrap_or_default();
        let word = |name: &str| payload.get(name).and_then(Json::as_str);
        let method = word("method").unwrap_or("POST").to_ascii_uppercase();
        let headers = payload.get("headers").and_then(Json::as_object).into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let mut headers: Vec<_> = headers.collect();
        let body = match payload.get("body") {
            None | Some(Json::Null) => Vec::new(),
            Some(Json::String(text)) => text.clone().into_bytes(),
            Some(body) => {
                if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
                    headers.push(("content-type".to_owned(), "application/json".to_owned()));
                }
                body.to_string().into_bytes()
            }
        };
        let method = http::Method::from_bytes(method.as_bytes());
        let method = method.map_err(|_| Problem::field("payload", "payload.method is no method."))?;
        let path = format!("{path}{}", word("path").unwrap_or_default());
        remote::Asked { method, path, headers, body, auth, within: Limits::default().wall }
    } else {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let body = run.event.to_string().into_bytes();
        remote::Asked { method: http::Method::POST, path, headers, body, auth, within: EVENT }
    };
    let nothing = json!({"cloudId": guard.site().1, "moduleKey": run.module_key, "environmentId": installed.environment, "environmentType": installed.environment_kind, "appVersion": installed.version});
    let behalf = remote::Behalf {
        principal: run.principal.as_deref(),
        module_type: &run.module_type,
        module_key: &run.module_key,
        context: run.event.get("context").filter(|_| by_page).unwrap_or(&nothing),
    };
    let again = |words: String| {
        (json!({"name": "FUNCTION_UPSTREAM_RATE_LIMITED", "message": words}), Ending::Limited, Some(words))
    };
    let failed = |words: String| (json!({"name": "Error", "message": words}), Ending::Threw, Some(words));
    let ended = match remote::call(forge, guard, installed, remote, asked, behalf).await {
        Ok(answered) if by_page => (answered.json(), Ending::Ok, None),
        Ok(answered) if (200..300).contains(&answered.status) => (json(&answered.body), Ending::Ok, None),
        Ok(answered) if answered.status == 429 || answered.status >= 500 => {
            again(format!("The remote `{}` answered with status {}.", remote.key, answered.status))
        }
        Ok(answered) => failed(format!("The remote `{}` answered with status {}.", remote.key, answered.status)),
        Err(error @ remote::CallFailed::Sending(_)) if !by_page => again(format!("Remote `{}`: {error}.", remote.key)),
        Err(error) => failed(format!("Remote `{}`: {error}.", remote.key)),
    };
    Ok(EndedRun::new(guard, ended, Vec::new()))
}

/// The value, how it went, and the words for the log.
fn ending(ended: Ended) -> (Json, Ending, Option<String>) {
    match ended {
        Ended::Returned(text) => match serde_json::from_slice(&text) {
            Ok(value) => (value, Ending::Ok, None),
            Err(error) => (Json::Null, Ending::Threw, Some(format!("the result is not JSON: {error}"))),
        },
        Ended::Threw(text) => {
            let thrown: Json = serde_json::from_slice(&text).unwrap_or_default();
            let word = |name: &str| thrown.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let detail = format!("{}: {}\n{}", word("name"), word("message"), word("stack"));
            (thrown, Ending::Threw, Some(detail.trim_end().chars().take(4_000).collect()))
        }
        Ended::Uncaught(text) => (json!({"name": "Error", "message": text}), Ending::Threw, Some(text)),
        Ended::Stalled => {
            let text = "The function waits for something that cannot come: no call and no timer is open.".to_owned();
            (json!({"name": "Error", "message": text}), Ending::Threw, Some(text))
        }
        Ended::Limited(limit) => {
            let (name, text) = match limit {
                Limit::Cpu => ("FUNCTION_TIME_OUT", "The function used up its processor time."),
                Limit::Wall => ("FUNCTION_TIME_OUT", "The function took too long."),
                Limit::Stack => ("FUNCTION_OUT_OF_MEMORY", "The function nests too deep."),
                Limit::Memory => ("FUNCTION_OUT_OF_MEMORY", "The function used up its memory."),
                Limit::Message => ("FUNCTION_PAYLOAD_TOO_LARGE", "What the function returned or sent is too large."),
                Limit::HostCalls => ("FUNCTION_PLATFORM_RATE_LIMITED", "The function made too many calls."),
            };
            (json!({"name": name, "message": text}), Ending::Limited, Some(text.to_owned()))
        }
        Ended::Crashed(why) => {
            tracing::error!(why, "a worker of the sandbox died");
            let text = "The function ended with its worker.".to_owned();
            (json!({"name": "FUNCTION_PLATFORM_UNKNOWN_ERROR", "message": text}), Ending::Crashed, Some(text))
        }
    }
}

/// What an error looks like to whoever called.
pub(crate) fn error_of(finished: &Finished) -> Json {
    let word = |name: &str| finished.value.get(name).and_then(Json::as_str).unwrap_or_default();
    let platform = [
        "REQUEST_EGRESS_ALLOWLIST_ERR",
        "FUNCTION_FETCH_ERR",
        "NEEDS_AUTHENTICATION_ERR",
        "PROXY_ERR",
        "API_NOT_READY_ERR",
    ];
    let kind = match finished.outcome {
        Ending::Threw if !platform.contains(&word("name")) => "FUNCTION_ERR",
        _ => word("name"),
    };
    json!({
        "errorMessage": word("message"),
        "errorType": kind,
        "name": word("name"),
        "serviceKey": finished.value.get("serviceKey"),
        "stack": word("stack").lines().collect::<Vec<_>>(),
    })
}

// ---- a module in the user interface, called without one

async fn call(forge: Forge, view: View, input: Input) -> Result<Json, Problem> {
    let body = input.json();
    let word = |name: &str| body.get(name).and_then(Json::as_str);
    let (guard, _) = forge.serving()?;
    let installed = find(&forge, guard, input.param("installationId")).await?;
    let module_key =
        word("moduleKey").ok_or_else(|| Problem::field("moduleKey", "moduleKey names a module of the app."))?;
    let modules = installed.code.manifest.modules.iter();
    let module = modules.filter(|module| module.kind.starts_with("jira:")).find(|module| module.key == module_key);
    let module = module.ok_or_else(|| {
        Problem::field("moduleKey", format!("The app has no module `{module_key}` in the user interface."))
    })?;
    let behind =
        module.behind.clone().ok_or_else(|| Problem::field("moduleKey", "The module has no function behind it."))?;
    let account_id = view.caller().account_id().map(str::to_owned);
    let mut extension = json!({"type": module.kind});
    if let Some(key) = word("issue") {
        let issue = issue_for(&forge, &view, key).await?;
        if let (Some(extension), Some(found)) = (extension.as_object_mut(), issue.as_object()) {
            extension.extend(found.clone());
        }
    }
    let (_, cloud_id) = guard.site();
    let context = json!({
        "accountId": account_id,
        "accountType": "licensed",
        "cloudId": cloud_id,
        "siteUrl": view.addresses().site,
        "localId": format!("ari:cloud:ecosystem::extension/{}/{}/static/{module_key}", installed.app, installed.environment),
        "moduleKey": module_key,
        "environmentId": installed.environment,
        "environmentType": installed.environment_kind,
        "locale": "en-US",
        "timezone": "Etc/UTC",
        "extension": extension,
    });
    let call = json!({"functionKey": word("functionKey").unwrap_or_default(), "payload": body.get("payload").cloned().unwrap_or_default()});
    let finished = run(
        &forge,
        &installed,
        Run {
            behind,
            module_type: module.kind.clone(),
            module_key: module_key.to_owned(),
            event: json!({"call": call, "context": context}),
            principal: account_id,
            depth: 0,
        },
    )
    .await?;
    Ok(match finished.outcome {
        Ending::Ok => json!({"success": true, "invocationId": finished.id, "body": finished.value}),
        _ => json!({"success": false, "invocationId": finished.id, "error": error_of(&finished)}),
    })
}

/// The issue that a module is shown on, as whoever looks at it sees it.
async fn issue_for(forge: &Forge, view: &View, key: &str) -> Result<Json, Problem> {
    let (_, edge) = forge.serving()?;
    let key = percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC);
    let answer = edge
        .answer(Call {
            caller: view.caller().clone(),
            reaches: Reaches::Jira,
            method: http::Method::GET,
            path: format!("/rest/api/3/issue/{key}?fields=project,issuetype"),
            headers: Vec::new(),
            body: bytes::Bytes::new(),
        })
        .await;
    let issue: Json = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status != 200 {
        return Err(Problem::not_found("Issue does not exist or you do not have permission to see it."));
    }
    let at = |pointer: &str| issue.pointer(pointer).cloned().unwrap_or_default();
    Ok(json!({
        "issue": {"id": at("/id"), "key": at("/key"), "type": at("/fields/issuetype/name"), "typeId": at("/fields/issuetype/id")},
        "project": {"id": at("/fields/project/id"), "key": at("/fields/project/key"), "type": at("/fields/project/projectTypeKey")},
    }))
}

/// An installation by its id to the outside.
///
/// # Errors
/// 404.
pub(crate) async fn find(forge: &Forge, guard: &Guard, uuid: &str) -> Result<Arc<Installed>, Problem> {
    let uuid = wire::bare(uuid);
    let view = guard.system_view("forge_invoke");
    let id = view.with(|snapshot| snapshot.forge().installations().find(|app| app.uuid == uuid).map(|app| app.id));
    installed(forge, guard, id.ok_or_else(|| Problem::not_found("The app is not installed."))?).await
}

async fn answer(cx: Ctx<op::ManageInvokeForge>, _: Input, _: Forge, answer: Json) -> Outcome<op::ManageInvokeForge> {
    cx.done(Reply::json(answer))
}

pub(super) fn handlers(handlers: &mut Handlers, forge: &Forge) {
    handlers.on_prepared(forge, call, answer);
}

#[cfg(test)]
mod tests {
    use super::{Duration, Limits, bounds};

    #[test]
    fn functions_behind_queues_and_schedules_may_take_long_and_others_may_not() {
        let seconds = |module_type, timeout_s| bounds(Limits::default(), module_type, timeout_s).wall.as_secs();
        assert_eq!(
            [seconds("consumer", None), seconds("consumer", Some(900)), seconds("consumer", Some(10))],
            [55, 900, 10]
        );
        assert_eq!(seconds("scheduledTrigger", Some(600)), 600);
        assert_eq!(
            [seconds("webtrigger", None), seconds("webtrigger", Some(900)), seconds("webtrigger", Some(5))],
            [55, 55, 5]
        );
        assert_eq!([seconds("jira:issuePanel", None), seconds("jira:issuePanel", Some(900))], [25, 25]);
        let long = bounds(Limits::default(), "consumer", Some(900));
        assert_eq!((long.cpu, long.host_calls), (Limits::default().cpu * 17, Limits::default().host_calls * 17));
        let short = Limits { wall: Duration::from_secs(1), ..Limits::default() };
        assert_eq!(bounds(short, "consumer", Some(900)).wall, short.wall, "an operator's bound is a bound");
    }
}
