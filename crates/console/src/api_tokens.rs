//! My API tokens: made and shown once, listed by their hint, revoked.

use askama::Template;
use portcullis_accounts::api_token;
use portcullis_authz::{Operation, op};
use portcullis_guard::{AnyMode, Body, Ctx, Entity, Handlers, Input, OpMode, Outcome, Reply, Tx};
use portcullis_model::{ApiTokenId, Problem, ProblemKind, Timestamp, UserId};
use serde_json::json;

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;

const DAY_MS: i64 = 86_400_000;
/// What the form proposes, unless the site allows less.
const DAYS_PROPOSED: i64 = 30;
/// Lives that the form offers to choose from.
const DAYS_CHOICES: [i64; 5] = [1, 7, 30, 90, 365];
/// Characters of a form field that are given back with an error.
const FIELD_CHARS_MAX: usize = 4_000;

/// Scopes that most programs need, with what they allow; the granular ones are written by name.
const COMMON_SCOPES: [(&str, &str); 6] = [
    ("read:jira-work", "Read projects, issues, comments, worklogs and attachments"),
    ("write:jira-work", "Create and change issues, comments, worklogs and attachments"),
    ("read:jira-user", "Read names and e-mail addresses of people"),
    ("manage:jira-project", "Change settings of projects: versions, components, people in roles"),
    ("manage:jira-configuration", "Change settings of the site: schemes, fields, groups"),
    ("manage:jira-webhook", "Register and remove webhooks"),
];

pub(crate) struct Token {
    pub id: i64,
    pub label: String,
    pub hint: String,
    /// Empty: full access.
    pub scopes: Vec<String>,
    pub created: Moment,
    pub ends: Moment,
    pub over: bool,
    pub last_used: Option<Moment>,
}

/// The token that was just made; the only page that ever holds its text.
pub(crate) struct NewToken {
    pub label: String,
    pub text: String,
    pub ends: Moment,
    pub scoped: bool,
    pub email: String,
    pub api_url: String,
}

pub(crate) struct ScopeChoice {
    pub name: &'static str,
    pub words: &'static str,
    pub chosen: bool,
}

/// The form as it is shown: empty at first, or as it was sent when something in it was wrong.
pub(crate) struct Form {
    pub label: String,
    pub days: String,
    pub days_max: i64,
    pub days_choices: Vec<i64>,
    pub scoped: bool,
    pub scopes: Vec<ScopeChoice>,
    pub more_scopes: String,
    /// Where the error is: `label`, `days`, `scopes`, or empty for the form as a whole.
    pub error_field: String,
    pub error: String,
}

#[derive(Template)]
#[template(path = "api_tokens.html")]
pub(crate) struct ApiTokensPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub allowed: bool,
    pub fresh: Option<NewToken>,
    pub tokens: Vec<Token>,
    pub form: Form,
    pub site_url: String,
    pub gateway_url: String,
    pub create_token: String,
    pub revoke_token: String,
    pub revoke_all_token: String,
}

impl Form {
    pub(crate) fn empty(days_max: i64) -> Self {
        let mut days_choices: Vec<i64> = DAYS_CHOICES.into_iter().filter(|days| *days < days_max).collect();
        days_choices.push(days_max);
        Self {
            label: String::new(),
            days: DAYS_PROPOSED.min(days_max).to_string(),
            days_max,
            days_choices,
            scoped: false,
            scopes: COMMON_SCOPES.iter().map(|(name, words)| ScopeChoice { name, words, chosen: false }).collect(),
            more_scopes: String::new(),
            error_field: String::new(),
            error: String::new(),
        }
    }

    fn sent(input: &Input, days_max: i64, problem: &Problem) -> Self {
        let field = |name: &str| input.form(name).unwrap_or_default().chars().take(FIELD_CHARS_MAX).collect::<String>();
        let ticked = ticked_scopes(input);
        let mut form = Self::empty(days_max);
        form.label = field("label");
        form.days = field("days");
        form.scoped = wants_scopes(input);
        form.more_scopes = field("more_scopes");
        for scope in &mut form.scopes {
            scope.chosen = ticked.contains(&scope.name);
        }
        if let Some((at, words)) = problem.fields.first() {
            form.error_field.clone_from(at);
            form.error.clone_from(words);
        } else {
            form.error = problem.messages.first().cloned().unwrap_or_default();
        }
        form
    }

    pub(crate) fn wrong(&self, field: &str) -> bool {
        !self.error.is_empty() && self.error_field == field
    }
}

/// Full access unless scopes are asked for by the form's own choice, so that boxes ticked and then hidden do not count.
fn wants_scopes(input: &Input) -> bool {
    input.form("access") == Some("scoped")
}

fn ticked_scopes(input: &Input) -> Vec<&str> {
    match input.body() {
        Body::Form(fields) => {
            fields.iter().filter(|(name, _)| name == "scope").map(|(_, scope)| scope.as_str()).collect()
        }
        Body::Empty | Body::Json(_) | Body::Multipart(_) | Body::Bytes(_) => Vec::new(),
    }
}

fn chosen_scopes(input: &Input) -> Result<Option<Vec<&str>>, Problem> {
    if !wants_scopes(input) {
        return Ok(None);
    }
    let mut scopes = ticked_scopes(input);
    let more = input.form("more_scopes").unwrap_or_default();
    scopes.extend(more.split(|letter: char| letter.is_whitespace() || letter == ',').filter(|name| !name.is_empty()));
    if scopes.is_empty() {
        return Err(Problem::field("scopes", "Choose at least one scope, or full access."));
    }
    Ok(Some(scopes))
}

async fn list(mut cx: Ctx<op::ConsoleApiTokens>, input: Input) -> Outcome<op::ConsoleApiTokens> {
    let user = cx.user()?;
    let days_max = days_max(&cx);
    let now = cx.now();
    let tokens = tokens_of(cx.tx(), user, days_max, now).await?;
    let page = page_of(&cx, &input, tokens, Form::empty(days_max), None);
    let reply = frame::page(&page)?;
    cx.done(reply)
}

async fn create(mut cx: Ctx<op::ConsoleCreateApiToken>, input: Input) -> Outcome<op::ConsoleCreateApiToken> {
    let user = cx.user()?;
    let days_max = days_max(&cx);
    let (form, fresh, status) = match issue(&mut cx, &input, user).await {
        Ok((id, fresh)) => {
            let public = json!({"label": fresh.label, "expires": fresh.ends.machine, "scoped": fresh.scoped});
            cx.audit(format!("api_token:{id}"), None, Some(public));
            cx.changed(Entity::ApiToken(id));
            (Form::empty(days_max), Some(fresh), 200)
        }
        // A problem with a cause is the database's or ours; one without is something to correct in the form.
        Err(problem) if problem.cause.is_none() => {
            let status = match problem.kind {
                ProblemKind::Forbidden => 403,
                ProblemKind::Conflict => 409,
                _ => 400,
            };
            (Form::sent(&input, days_max, &problem), None, status)
        }
        Err(problem) => return Err(problem),
    };
    let now = cx.now();
    let tokens = tokens_of(cx.tx(), user, days_max, now).await?;
    let page = page_of(&cx, &input, tokens, form, fresh);
    let reply = frame::page(&page)?.with_status(status);
    cx.done(reply)
}

async fn issue(
    cx: &mut Ctx<op::ConsoleCreateApiToken>,
    input: &Input,
    user: UserId,
) -> Result<(ApiTokenId, NewToken), Problem> {
    let view = cx.view().clone();
    let label = input.form("label").unwrap_or_default().trim();
    if label.is_empty() {
        return Err(Problem::field("label", "Give the token a name, so that you know later what uses it."));
    }
    let days: i64 = input.form("days").unwrap_or_default().trim().parse().map_err(|_| no_days(days_max(cx)))?;
    if !(1..=days_max(cx)).contains(&days) {
        return Err(no_days(days_max(cx)));
    }
    let days = api_token::days_allowed(&view, Some(days))?;
    let scopes = chosen_scopes(input)?;
    let now = view.now();
    let (id, token) = api_token::issue(cx.tx(), user, label, days, scopes.as_deref(), now, view.entropy()).await?;
    let email = view.with(|snapshot| snapshot.person(user).and_then(|person| person.email_folded.clone()));
    let (site_url, gateway_url) = addresses(cx, input);
    let fresh = NewToken {
        label: label.to_owned(),
        text: token.expose_secret().to_owned(),
        ends: Moment::of(now.plus_ms(days.saturating_mul(DAY_MS)).0, now.0),
        scoped: scopes.is_some(),
        email: email.unwrap_or_default(),
        api_url: if scopes.is_some() { gateway_url } else { site_url },
    };
    Ok((id, fresh))
}

fn no_days(days_max: i64) -> Problem {
    Problem::field("days", format!("Write a whole number of days from 1 to {days_max}."))
}

async fn revoke(mut cx: Ctx<op::ConsoleRevokeApiToken>, input: Input) -> Outcome<op::ConsoleRevokeApiToken> {
    let user = cx.user()?;
    let none = || Problem::not_found("There is no such API token. It may be revoked already.");
    let id = ApiTokenId(input.param("tokenId").parse().map_err(|_| none())?);
    let (label, hint) = api_token::revoke_own(cx.tx(), user, id).await?.ok_or_else(none)?;
    cx.audit(format!("api_token:{id}"), Some(json!({"label": label, "hint": hint})), None);
    cx.changed(Entity::ApiToken(id));
    cx.done(Reply::see_other("/account/api-tokens?done=token-revoked"))
}

async fn revoke_all(mut cx: Ctx<op::ConsoleRevokeAllApiTokens>, _: Input) -> Outcome<op::ConsoleRevokeAllApiTokens> {
    let user = cx.user()?;
    let revoked = api_token::revoke_of(cx.tx(), user).await?;
    revoked.iter().for_each(|id| cx.changed(Entity::ApiToken(*id)));
    let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
    cx.audit(target, None, Some(json!({"apiTokensRevoked": revoked.len()})));
    cx.done(Reply::see_other("/account/api-tokens?done=tokens-revoked"))
}

fn days_max<O: Operation>(cx: &Ctx<O>) -> i64
where
    O::Mode: OpMode,
{
    cx.view().with(|snapshot| snapshot.settings.api_token_days_max)
}

/// Where tokens without and with scopes work.
fn addresses<O: Operation>(cx: &Ctx<O>, input: &Input) -> (String, String)
where
    O::Mode: OpMode,
{
    let cloud_id = cx.view().with(|snapshot| snapshot.settings.cloud_id.clone());
    (input.base_url().to_owned(), format!("{}/ex/jira/{cloud_id}", input.base_url()))
}

fn page_of<O: Operation>(
    cx: &Ctx<O>,
    input: &Input,
    tokens: Vec<Token>,
    form: Form,
    fresh: Option<NewToken>,
) -> ApiTokensPage
where
    O::Mode: OpMode,
{
    let (site_url, gateway_url) = addresses(cx, input);
    let caller = cx.caller();
    ApiTokensPage {
        frame: Frame::of(cx, Section::ApiTokens),
        notice: frame::notice(input.query("done")),
        allowed: cx.view().with(|snapshot| snapshot.settings.api_tokens_allowed),
        fresh,
        tokens,
        form,
        site_url,
        gateway_url,
        create_token: caller.form_token("consoleCreateApiToken"),
        revoke_token: caller.form_token("consoleRevokeApiToken"),
        revoke_all_token: caller.form_token("consoleRevokeAllApiTokens"),
    }
}

/// Tokens of one account; `accounts` bounds their number.
async fn tokens_of<M: AnyMode>(
    tx: &mut Tx<M>,
    user: UserId,
    days_max: i64,
    now: Timestamp,
) -> Result<Vec<Token>, Problem> {
    let sql = "SELECT id, label, hint, scopes, created_at_ms, expires_at_ms, last_used_at_ms
                 FROM account_api_token WHERE user_id = $1 ORDER BY created_at_ms DESC, id DESC";
    let rows = tx.query(sql, &[user.0.into()]).await?;
    let mut tokens = Vec::with_capacity(rows.len());
    for row in &rows {
        let created_ms: i64 = row.get("created_at_ms")?;
        // The site may allow shorter lives now than when the token was made; it then ends earlier than it says.
        let ends_ms = row.get::<i64>("expires_at_ms")?.min(created_ms.saturating_add(days_max.saturating_mul(DAY_MS)));
        let scopes: Option<String> = row.get("scopes")?;
        let last_used_ms: Option<i64> = row.get("last_used_at_ms")?;
        tokens.push(Token {
            id: row.get("id")?,
            label: row.get("label")?,
            hint: row.get("hint")?,
            scopes: scopes.map(|names| names.split(' ').map(str::to_owned).collect()).unwrap_or_default(),
            created: Moment::of(created_ms, now.0),
            ends: Moment::of(ends_ms, now.0),
            over: ends_ms <= now.0,
            last_used: last_used_ms.map(|ms| Moment::of(ms, now.0)),
        });
    }
    Ok(tokens)
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(create);
    handlers.on(revoke);
    handlers.on(revoke_all);
}
