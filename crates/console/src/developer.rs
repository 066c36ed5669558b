//! The developer console: my OAuth 2.0 apps, what they may ask for, where answers go, secrets, and why a request failed.

use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_apps::connect::Services;
use portcullis_apps::oauth::client::{self, App, Change, New};
use portcullis_apps::oauth::grant::{self, Of};
use portcullis_apps::oauth::scope::{self, Shown};
use portcullis_apps::oauth::test_call::{self, Tried};
use portcullis_authz::{Operation, op};
use portcullis_guard::oauth::{ClientKind, Registered, WireProfile};
use portcullis_guard::{Ctx, Entity, Handlers, Input, OpMode, Outcome, Policy, Reply, View};
use portcullis_model::{Problem, ProblemKind, ScopeSet};
use serde_json::{Value as Json, json};

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

/// Characters of a form field that are given back with an error.
const FIELD_CHARS_MAX: usize = 4_000;
const GRANTS_SHOWN_MAX: i64 = 50;
/// Refusals shown; the node keeps a few more.
const TROUBLES_SHOWN_MAX: usize = 20;

pub(crate) struct AppLine {
    pub id: i64,
    pub name: String,
    pub client_id: String,
    pub kind: &'static str,
    pub shared: bool,
    pub blocked: bool,
    pub scopes: usize,
    pub changed: Moment,
}

#[derive(Template)]
#[template(path = "developer.html")]
pub(crate) struct DeveloperPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub apps: Vec<AppLine>,
    pub name: String,
    pub callback: String,
    pub kind: String,
    pub error_field: String,
    pub error: String,
    pub create_token: String,
}

impl DeveloperPage {
    pub(crate) fn wrong(&self, field: &str) -> bool {
        !self.error.is_empty() && self.error_field == field
    }
}

pub(crate) struct ScopeLine {
    pub name: &'static str,
    pub title: String,
    pub words: String,
    pub operations: usize,
    pub chosen: bool,
}

pub(crate) struct SecretLine {
    pub id: i64,
    pub hint: String,
    pub created: Moment,
    pub last_used: Option<Moment>,
}

pub(crate) struct GrantLine {
    pub user: String,
    pub scopes: usize,
    pub since: Moment,
    pub last_used: Option<Moment>,
}

pub(crate) struct TroubleLine {
    pub at: Moment,
    pub operation: &'static str,
    pub reason: String,
    pub details: String,
    pub steps: Vec<String>,
}

/// What a test call came back with.
pub(crate) struct TriedLine {
    pub status: u16,
    pub body: String,
    /// Header that says which scopes are missing, or who is asked to prove themselves.
    pub challenge: String,
    pub decision: String,
}

/// What a call would need.
pub(crate) struct Explained {
    pub found: bool,
    pub operation: String,
    pub for_apps: bool,
    pub classic: Vec<String>,
    pub granular: Vec<String>,
    pub missing: Vec<String>,
}

#[derive(Template)]
#[template(path = "developer_app.html")]
pub(crate) struct AppPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub app: App,
    pub kind: &'static str,
    pub fresh_secret: Option<String>,
    pub secrets: Vec<SecretLine>,
    pub secrets_max: usize,
    pub classic: Vec<ScopeLine>,
    pub granular: Vec<ScopeLine>,
    pub chosen: usize,
    pub callbacks: String,
    pub authorize_url: String,
    pub token_url: String,
    pub gateway_url: String,
    pub grants: Vec<GrantLine>,
    pub troubles: Vec<TroubleLine>,
    pub method: String,
    pub path: String,
    pub test_method: String,
    pub test_path: String,
    pub test_body: String,
    pub tried: Option<TriedLine>,
    pub explained: Option<Explained>,
    pub error_field: String,
    pub error: String,
    pub test_token: String,
    pub settings_token: String,
    pub scopes_token: String,
    pub callbacks_token: String,
    pub secret_token: String,
    pub revoke_secret_token: String,
    pub delete_token: String,
}

impl AppPage {
    pub(crate) fn uses_granular(&self) -> bool {
        self.granular.iter().any(|scope| scope.chosen)
    }

    pub(crate) fn wrong(&self, field: &str) -> bool {
        !self.error.is_empty() && self.error_field == field
    }
}

fn kind_words(kind: &str) -> &'static str {
    match kind {
        "confidential" => "With a secret",
        "public" => "Without a secret (PKCE)",
        _ => "For a service account",
    }
}

fn cut(text: Option<&str>) -> String {
    text.unwrap_or_default().chars().take(FIELD_CHARS_MAX).collect()
}

/// A problem that its form shows; one with a cause is the database's or ours.
fn to_correct(problem: Problem) -> Result<(String, String, u16), Problem> {
    if problem.cause.is_some() || problem.kind == ProblemKind::NotFound {
        return Err(problem);
    }
    let status = if problem.kind == ProblemKind::Conflict { 409 } else { 400 };
    Ok(match problem.fields.into_iter().next() {
        Some((field, words)) => (field, words, status),
        None => (String::new(), problem.messages.into_iter().next().unwrap_or_default(), status),
    })
}

async fn list_page<O: Operation>(
    cx: &mut Ctx<O>,
    input: &Input,
    (error_field, error): (String, String),
) -> Result<DeveloperPage, Problem>
where
    O::Mode: OpMode,
{
    let user = cx.user()?;
    let now = cx.now();
    let apps = client::list(cx.tx(), Some(user)).await?;
    let apps = apps
        .into_iter()
        .map(|app| AppLine {
            id: app.id.0,
            kind: kind_words(&app.kind),
            scopes: app.scopes.split(' ').filter(|name| !name.is_empty()).count(),
            changed: Moment::of(app.changed_at_ms, now.0),
            name: app.name,
            client_id: app.client_id,
            shared: app.shared,
            blocked: app.blocked,
        })
        .collect();
    Ok(DeveloperPage {
        frame: Frame::of(cx, Section::Developer),
        notice: frame::notice(input.query("done")),
        apps,
        name: cut(input.form("name")),
        callback: cut(input.form("callback")),
        kind: cut(input.form("kind").or(Some("confidential"))),
        error_field,
        error,
        create_token: cx.caller().form_token("consoleCreateOauthApp"),
    })
}

async fn list(mut cx: Ctx<op::ConsoleDeveloper>, input: Input) -> Outcome<op::ConsoleDeveloper> {
    let page = list_page(&mut cx, &input, Default::default()).await?;
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn create(mut cx: Ctx<op::ConsoleCreateOauthApp>, input: Input) -> Outcome<op::ConsoleCreateOauthApp> {
    let view = cx.view().clone();
    let user = cx.user()?;
    let callbacks: Vec<String> =
        input.form("callback").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let kind = if input.form("kind") == Some("public") { ClientKind::Public } else { ClientKind::Confidential };
    let new = New {
        name: input.form("name").unwrap_or_default(),
        description: "",
        kind,
        registered: Registered::Console,
        owner: Some(user),
        service_user: None,
        profile: WireProfile::Rfc,
        scopes: ScopeSet::of_names("read:me read:jira-user read:jira-work"),
        redirect_uris: &callbacks,
        shared: false,
        pkce_required: true,
    };
    match client::create(cx.tx(), &view, &new).await {
        Ok(made) => {
            let app = client::get(cx.tx(), made.id).await?.ok_or_else(|| Problem::bug("an app that was just made"))?;
            cx.audit(format!("oauth_app:{}", made.id), None, Some(client::public_json(&app)));
            cx.changed(Entity::OauthClient(made.id));
            let secret = made.secret.map(|secret| secret.expose_secret().to_owned());
            let page = app_page(&mut cx, &input, app, Extra { secret, ..Extra::default() }).await?;
            let reply = frame::page(&page)?.with_header("cache-control", "no-store");
            cx.done(reply)
        }
        Err(problem) => {
            let (field, words, status) = to_correct(problem)?;
            let page = list_page(&mut cx, &input, (field, words)).await?;
            let reply = frame::page(&page)?.with_status(status);
            cx.done(reply)
        }
    }
}

/// What a page about an app shows beside the app.
#[derive(Default)]
struct Extra {
    secret: Option<String>,
    error: Option<(String, String)>,
    tried: Option<Tried>,
}

fn explained(view: &View, app: &App, input: &Input) -> Option<Explained> {
    let path = input.query("path").filter(|path| !path.trim().is_empty())?;
    let method = input.query("method").unwrap_or("GET");
    let have = ScopeSet::of_names(&app.scopes);
    let _ = view;
    let Some(json) = scope::explain(method, path.trim(), Some(&have)) else {
        return Some(Explained {
            found: false,
            operation: String::new(),
            for_apps: false,
            classic: Vec::new(),
            granular: Vec::new(),
            missing: Vec::new(),
        });
    };
    let texts = |name: &str| -> Vec<String> {
        let items = json.get(name).and_then(Json::as_array);
        items.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    };
    Some(Explained {
        found: true,
        operation: json.get("operation").and_then(Json::as_str).unwrap_or_default().to_owned(),
        for_apps: json.get("forApps").and_then(Json::as_bool) == Some(true),
        classic: texts("classic"),
        granular: texts("granular"),
        missing: texts("missing"),
    })
}

fn scope_line(shown: Shown, have: &ScopeSet) -> ScopeLine {
    ScopeLine {
        name: shown.name,
        title: shown.title,
        words: shown.words,
        operations: shown.operations,
        chosen: have.names().any(|name| name == shown.name),
    }
}

async fn app_page<O: Operation>(cx: &mut Ctx<O>, input: &Input, app: App, extra: Extra) -> Result<AppPage, Problem>
where
    O::Mode: OpMode,
{
    let view = cx.view().clone();
    let now = view.now();
    let secrets = client::secrets(cx.tx(), app.id).await?;
    let grants = grant::list(cx.tx(), Of::Client(app.id), GRANTS_SHOWN_MAX).await?;
    let have = ScopeSet::of_names(&app.scopes);
    let (classic, granular): (Vec<Shown>, Vec<Shown>) = scope::every().into_iter().partition(|shown| shown.is_classic);
    let troubles = view.troubles(app.id).into_iter().take(TROUBLES_SHOWN_MAX).map(|trouble| TroubleLine {
        at: Moment::of(trouble.at_ms, now.0),
        operation: trouble.operation,
        reason: reason_words(trouble.reason),
        details: trouble.details,
        // Only scopes are the developer's own business; what the person may or may not is not told.
        steps: match (trouble.reason, view.open_decision(&trouble.decision)) {
            ("scope", Some(record)) => record.missing_scopes,
            _ => Vec::new(),
        },
    });
    let addresses = view.addresses();
    let first = app.redirect_uris.first().cloned().unwrap_or_default();
    let scopes = format!("{} {}", app.scopes, scope::OFFLINE);
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let authorize_url = format!(
        "{}/authorize?audience=api.atlassian.com&client_id={}&scope={}&redirect_uri={}&state=YOUR_STATE&response_type=code&prompt=consent",
        addresses.issuer,
        encode(&app.client_id),
        encode(scopes.trim()),
        encode(&first)
    );
    let cloud_id = view.with(|snapshot| snapshot.settings.cloud_id.clone());
    let (error_field, error) = extra.error.unwrap_or_default();
    let token = |operation: &str| cx.caller().form_token(operation);
    Ok(AppPage {
        frame: Frame::of(cx, Section::Developer),
        notice: frame::notice(input.query("done")),
        kind: kind_words(&app.kind),
        fresh_secret: extra.secret,
        secrets: secrets
            .into_iter()
            .map(|secret| SecretLine {
                id: secret.id.0,
                hint: secret.hint,
                created: Moment::of(secret.created_at_ms, now.0),
                last_used: secret.last_used_at_ms.map(|ms| Moment::of(ms, now.0)),
            })
            .collect(),
        secrets_max: client::SECRETS_MAX,
        chosen: have.names().count(),
        classic: classic.into_iter().map(|shown| scope_line(shown, &have)).collect(),
        granular: granular.into_iter().map(|shown| scope_line(shown, &have)).collect(),
        callbacks: match (error_field.as_str(), input.form("callbacks")) {
            ("redirect_uris", Some(sent)) => cut(Some(sent)),
            _ => app.redirect_uris.join("\n"),
        },
        authorize_url,
        token_url: format!("{}/oauth/token", addresses.issuer),
        gateway_url: addresses.gateway(&cloud_id),
        grants: grants
            .into_iter()
            .map(|grant| GrantLine {
                user: grant.user_name,
                scopes: grant.scopes.split(' ').count(),
                since: Moment::of(grant.changed_at_ms, now.0),
                last_used: grant.last_used_at_ms.map(|ms| Moment::of(ms, now.0)),
            })
            .collect(),
        troubles: troubles.collect(),
        method: cut(input.query("method").or(Some("GET"))),
        path: cut(input.query("path")),
        test_method: cut(input.form("method").or(Some("GET"))),
        test_path: cut(input.form("path").or(Some("/rest/api/3/myself"))),
        test_body: cut(input.form("body")),
        tried: extra.tried.map(|tried| TriedLine {
            status: tried.status,
            challenge: tried.header("www-authenticate").unwrap_or_default().to_owned(),
            decision: tried.header("portcullis-decision").unwrap_or_default().to_owned(),
            body: tried.body,
        }),
        explained: explained(&view, &app, input),
        error_field,
        error,
        test_token: token("consoleTestOauthApp"),
        settings_token: token("consoleOauthAppSettings"),
        scopes_token: token("consoleOauthAppScopes"),
        callbacks_token: token("consoleOauthAppCallbacks"),
        secret_token: token("consoleCreateOauthAppSecret"),
        revoke_secret_token: token("consoleRevokeOauthAppSecret"),
        delete_token: token("consoleDeleteOauthApp"),
        app,
    })
}

fn reason_words(reason: &str) -> String {
    match reason {
        "scope" => "The token lacks scopes".to_owned(),
        "permission" => "The person lacks the permission".to_owned(),
        "not_visible" => "Not there, or not visible to the person".to_owned(),
        "inactive" => "The account is deactivated".to_owned(),
        "access_kind" => "Apps cannot call this".to_owned(),
        "not_authenticated" => "The token does not count any more".to_owned(),
        "at_edge" => "Too many requests".to_owned(),
        other => other.replace('_', " "),
    }
}

async fn show(mut cx: Ctx<op::ConsoleOauthApp>, input: Input) -> Outcome<op::ConsoleOauthApp> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let page = app_page(&mut cx, &input, app, Extra::default()).await?;
    let reply = frame::page(&page)?;
    cx.done(reply)
}

/// Changes an app and goes back to its page, or shows what is wrong.
async fn change<O: Operation<Mode = Policy>>(
    mut cx: Ctx<O>,
    input: Input,
    change: Result<Change<'_>, Problem>,
    done: &str,
) -> Outcome<O> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let result = match change {
        Ok(change) => client::update(cx.tx(), &view, &app, &change).await,
        Err(problem) => Err(problem),
    };
    match result {
        Ok(new) => {
            cx.audit(format!("oauth_app:{}", app.id), Some(client::public_json(&app)), Some(client::public_json(&new)));
            cx.changed(Entity::OauthClient(app.id));
            cx.done(Reply::see_other(format!("/console/apps/{}?done={done}", app.id)))
        }
        Err(problem) => {
            let (field, words, status) = to_correct(problem)?;
            let extra = Extra { error: Some((field, words)), ..Extra::default() };
            let page = app_page(&mut cx, &input, app, extra).await?;
            let reply = frame::page(&page)?.with_status(status);
            cx.done(reply)
        }
    }
}

async fn settings(cx: Ctx<op::ConsoleOauthAppSettings>, input: Input) -> Outcome<op::ConsoleOauthAppSettings> {
    let input_of = input.clone();
    let ticked = |name: &str| Some(input_of.form(name) == Some("yes"));
    let profile = match input_of.form("profile") {
        Some(profile) => client::parse_profile(profile).map(Some),
        None => Ok(None),
    };
    let wanted = profile.map(|profile| Change {
        name: input_of.form("name"),
        description: input_of.form("description"),
        jwks: input_of.form("jwks"),
        profile,
        shared: ticked("shared"),
        pkce_required: ticked("pkce_required"),
        par_required: ticked("par_required"),
        dpop_required: ticked("dpop_required"),
        ..Change::default()
    });
    change(cx, input, wanted, "app-saved").await
}

async fn scopes(cx: Ctx<op::ConsoleOauthAppScopes>, input: Input) -> Outcome<op::ConsoleOauthAppScopes> {
    let names: Vec<String> =
        input.fields().iter().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.clone()).collect();
    let wanted = client::parse_scopes(&names).map(|scopes| Change { scopes: Some(scopes), ..Change::default() });
    change(cx, input, wanted, "scopes-saved").await
}

async fn callbacks(cx: Ctx<op::ConsoleOauthAppCallbacks>, input: Input) -> Outcome<op::ConsoleOauthAppCallbacks> {
    let uris: Vec<String> = input.form("callbacks").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let wanted = Ok(Change { redirect_uris: Some(&uris), ..Change::default() });
    change(cx, input, wanted, "callbacks-saved").await
}

async fn create_secret(
    mut cx: Ctx<op::ConsoleCreateOauthAppSecret>,
    input: Input,
) -> Outcome<op::ConsoleCreateOauthAppSecret> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    if app.kind == "public" {
        return Err(Problem::conflict("A public app has no secret: it proves itself with PKCE."));
    }
    let (extra, status) = match client::add_secret(cx.tx(), &view, app.id).await {
        Ok((id, secret)) => {
            let after = json!({"secret": id.to_string(), "hint": secret.hint()});
            cx.audit(format!("oauth_app:{}", app.id), None, Some(after));
            cx.changed(Entity::OauthClient(app.id));
            (Extra { secret: Some(secret.expose_secret().to_owned()), ..Extra::default() }, 200)
        }
        Err(problem) => {
            let (_, words, status) = to_correct(problem)?;
            (Extra { error: Some(("secret".to_owned(), words)), ..Extra::default() }, status)
        }
    };
    let page = app_page(&mut cx, &input, app, extra).await?;
    let reply = frame::page(&page)?.with_status(status).with_header("cache-control", "no-store");
    cx.done(reply)
}

async fn revoke_secret(
    mut cx: Ctx<op::ConsoleRevokeOauthAppSecret>,
    input: Input,
) -> Outcome<op::ConsoleRevokeOauthAppSecret> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let secret = client::secret_of(&input)?;
    let hint = client::revoke_secret(cx.tx(), app.id, secret).await?;
    cx.audit(format!("oauth_app:{}", app.id), Some(json!({"secret": secret.to_string(), "hint": hint})), None);
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::see_other(format!("/console/apps/{}?done=secret-revoked", app.id)))
}

async fn delete(mut cx: Ctx<op::ConsoleDeleteOauthApp>, input: Input) -> Outcome<op::ConsoleDeleteOauthApp> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let grants = client::delete(cx.tx(), app.id).await?;
    let after = json!({"grantsRevoked": grants.len()});
    cx.audit(format!("oauth_app:{}", app.id), Some(client::public_json(&app)), Some(after));
    grants.into_iter().for_each(|grant| cx.changed(Entity::AppGrant(grant)));
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::see_other("/console/apps?done=app-deleted"))
}

/// A call, or why there is none: a field of the form, words, status.
type Attempt = Result<Tried, (String, String, u16)>;

async fn try_call(services: Services, view: View, input: Input) -> Result<Attempt, Problem> {
    let field = |name: &str| input.form(name).unwrap_or_default();
    match test_call::make(&services, &view, &input, (field("method"), field("path"), field("body"))).await {
        Ok(tried) => Ok(Ok(tried)),
        Err(problem) => to_correct(problem).map(Err),
    }
}

async fn show_call(
    mut cx: Ctx<op::ConsoleTestOauthApp>,
    input: Input,
    _: Services,
    attempt: Attempt,
) -> Outcome<op::ConsoleTestOauthApp> {
    let view = cx.view().clone();
    let app = client::own(cx.tx(), &view, &input).await?;
    let (extra, status) = match attempt {
        Ok(tried) => (Extra { tried: Some(tried), ..Extra::default() }, 200),
        Err((_, words, status)) => (Extra { error: Some(("test".to_owned(), words)), ..Extra::default() }, status),
    };
    let page = app_page(&mut cx, &input, app, extra).await?;
    let reply = frame::page(&page)?.with_status(status).with_header("cache-control", "no-store");
    cx.done(reply)
}

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on_prepared(services, try_call, show_call);
    handlers.on(list);
    handlers.on(create);
    handlers.on(show);
    handlers.on(settings);
    handlers.on(scopes);
    handlers.on(callbacks);
    handlers.on(create_secret);
    handlers.on(revoke_secret);
    handlers.on(delete);
}
