//! Consent: who asks, what each scope lets it do, how far that reaches for this person, for how long. Approve or decline.

use std::sync::Arc;

use askama::Template;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_apps::connect::Services;
use portcullis_apps::oauth::authorize::{self, Asked, NotShown};
use portcullis_apps::oauth::metadata_document::{self, Document, Documents};
use portcullis_apps::oauth::scope::{Shown, Weight};
use portcullis_apps::oauth::{client, code, device, grant, redirect_uri, scope};
use portcullis_authz::{Operation, op};
use portcullis_guard::oauth::{ClientFacts, Registered};
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, OpMode, Outcome, Reply, Trouble, Tx, View};
use portcullis_model::{Problem, ScopeSet, UserId};
use serde_json::json;

use crate::frame::{self, Frame, Section};
use crate::reach::{self, Reach};

/// A scope on the page.
pub(crate) struct Line {
    pub name: &'static str,
    pub title: String,
    pub words: String,
    /// `reads`, `changes` or `administers`; for the look.
    pub weight: &'static str,
    pub is_new: bool,
    /// A permission that the person lacks, so that the scope leads to nothing.
    pub without_effect: Option<&'static str>,
}

/// What is asked, as both pages show it.
pub(crate) struct Question {
    pub app: String,
    pub description: String,
    pub maker: Option<String>,
    /// It registered itself: nobody vouches for it.
    pub unproven: bool,
    /// The host whose owner vouches for it: its id is an address there.
    pub vouched_by: Option<String>,
    pub lines: Vec<Line>,
    pub lasting: bool,
    /// The app was let in before.
    pub again: bool,
    /// What it had and does not ask for any more.
    pub given_up: Vec<&'static str>,
    pub reach: Reach,
    pub destination: String,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage {
    pub frame: Frame,
    pub question: Question,
    pub account: String,
    pub site_name: String,
    pub site_url: String,
    pub cloud_id: String,
    pub error: &'static str,
    pub request: String,
    pub form_token: String,
}

#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct DevicePage {
    pub frame: Frame,
    pub question: Option<Question>,
    pub user_code: String,
    pub account: String,
    pub error: &'static str,
    pub done: &'static str,
    pub form_token: String,
}

/// The rules of a page that leads to an app: no other site learns its address, nobody frames it, and its form may end at the app
/// alone. (`no-referrer` would keep the browser from naming its origin even to us, and the form would be refused.)
fn guarded(reply: Reply, destination: Option<&str>) -> Reply {
    let form_action = destination.map(|origin| format!(" {origin}")).unwrap_or_default();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'{form_action}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    reply
        .with_header("content-security-policy", policy)
        .with_header("referrer-policy", "same-origin")
        .with_header("cache-control", "no-store")
}

fn local_page(title: &str, words: &str) -> Reply {
    guarded(Reply::html(crate::error_page(400, title, words, "")).with_status(400), None)
}

fn person(view: &View, user: UserId) -> (String, String, String, String) {
    view.with(|snapshot| {
        let person = snapshot.person(user);
        let name = person.map(|person| person.display_name.clone()).unwrap_or_default();
        let email = person.and_then(|person| person.email_folded.clone()).unwrap_or_default();
        (name, email, snapshot.settings.site_name.clone(), snapshot.settings.cloud_id.clone())
    })
}

async fn question<M: AnyMode>(
    tx: &mut Tx<M>,
    view: &View,
    client: &ClientFacts,
    user: UserId,
    scopes: &str,
    destination: String,
) -> Result<Question, Problem> {
    let asked = ScopeSet::of_names(scopes);
    let difference = grant::difference(view, client.id, user, &asked);
    let (new, gone) = difference.unwrap_or_default();
    let again = difference.is_some();
    let reach = reach::of(tx, view, user, &format!("oauth:{}", client.client_id)).await?;
    let is_new = |name: &str| again && new.names().any(|new| new == name);
    let without_effect = |shown: &Shown| reach.lacks(view, user, shown);
    let lines = scope::of_text(scopes)
        .into_iter()
        .filter(|shown| shown.name != scope::OFFLINE)
        .map(|shown| Line {
            name: shown.name,
            weight: match shown.weight {
                Weight::Reads => "reads",
                Weight::Changes => "changes",
                Weight::Administers => "administers",
            },
            is_new: is_new(shown.name),
            without_effect: without_effect(&shown),
            title: shown.title,
            words: shown.words,
        })
        .collect();
    let maker = view.with(|snapshot| {
        client.owner.and_then(|owner| snapshot.person(owner)).map(|person| person.display_name.clone())
    });
    let app = portcullis_apps::oauth::client::get(tx, client.id).await?;
    Ok(Question {
        app: client.name.clone(),
        description: app.map(|app| app.description).unwrap_or_default(),
        maker,
        unproven: client.registered == Registered::Dynamic,
        vouched_by: match client.registered {
            Registered::Metadata => Some(redirect_uri::origin(&client.client_id)),
            Registered::Console | Registered::Dynamic => None,
        },
        lines,
        lasting: scopes.split(' ').any(|name| name == scope::OFFLINE),
        again,
        given_up: gone.names().collect(),
        reach,
        destination,
    })
}

/// Where the answer goes, as people read it.
fn destination_of(uri: &str) -> String {
    redirect_uri::origin(uri)
}

/// What a client that is named by its address says of itself.
async fn meet(
    documents: Documents,
    view: View,
    input: Input,
) -> Result<Option<Result<Arc<Document>, String>>, Problem> {
    Ok(match input.query("client_id") {
        Some(client_id) => documents.of(&view, client_id).await,
        None => None,
    })
}

async fn show(
    mut cx: Ctx<op::ConsoleAuthorize>,
    input: Input,
    _: Documents,
    introduced: Option<Result<Arc<Document>, String>>,
) -> Outcome<op::ConsoleAuthorize> {
    let view = cx.view().clone();
    let introduced = match introduced.transpose() {
        Ok(introduced) => introduced,
        Err(words) => {
            let words = format!("{words} Tell the developer of the app that sent you here.");
            return cx.done(local_page("This app could not introduce itself", &words));
        }
    };
    let is_address = matches!(input.query("client_id").map(metadata_document::address), Some(Ok(Some(_))));
    let open = view.with(|snapshot| snapshot.settings.app_registration_open);
    if is_address && open && view.caller().user().is_none() {
        // Nothing is fetched for strangers.
        return cx.done(guarded(Reply::see_other(sign_in(&input)), None));
    }
    let (asked, client) = match authorize::read(cx.tx(), &view, input.query_pairs(), introduced.as_deref()).await? {
        Ok(found) => found,
        Err(NotShown::Page { title, words }) => return cx.done(local_page(title, &words)),
        Err(NotShown::Redirect { location, error, words }) => {
            note(&view, input.query_pairs(), error, &words);
            return cx.done(guarded(Reply::see_other(location), None));
        }
    };
    let Some(user) = view.caller().user() else {
        return cx.done(guarded(Reply::see_other(sign_in(&input)), None));
    };
    if let Err((title, words)) = authorize::may_ask(&view, &client, user) {
        note(&view, input.query_pairs(), "access_denied", &words);
        return cx.done(guarded(Reply::html(crate::error_page(403, title, &words, "")).with_status(403), None));
    }
    let page = page(&mut cx, &asked, &client, user, "").await?;
    let reply = frame::page(&page)?;
    let origin = redirect_uri::origin(&asked.redirect_uri);
    cx.done(guarded(reply, Some(&origin)))
}

async fn page<O: Operation>(
    cx: &mut Ctx<O>,
    asked: &Asked,
    client: &ClientFacts,
    user: UserId,
    error: &'static str,
) -> Result<ConsentPage, Problem>
where
    O::Mode: OpMode,
{
    let view = cx.view().clone();
    // One question and nothing else: the page has no menu, and no other form.
    let question = question(cx.tx(), &view, client, user, &asked.scopes, destination_of(&asked.redirect_uri)).await?;
    let (name, email, site_name, cloud_id) = person(&view, user);
    Ok(ConsentPage {
        frame: Frame { person: None, ..Frame::of(cx, Section::Elsewhere) },
        question,
        account: if email.is_empty() { name } else { format!("{name} ({email})") },
        site_name,
        site_url: view.addresses().site.clone(),
        cloud_id,
        error,
        request: asked.seal(&view, user)?,
        form_token: view.caller().form_token("consoleConsent"),
    })
}

/// What an app did wrong is for its developer to see.
fn note(view: &View, pairs: &[(String, String)], error: &'static str, words: &str) {
    let named = pairs.iter().find(|(name, _)| name == "client_id").map(|(_, value)| value.as_str()).unwrap_or_default();
    if let Some(app) = view.with(|snapshot| snapshot.oauth().client_named(named).map(|client| client.id)) {
        let trouble = Trouble {
            at_ms: view.now().0,
            operation: "consoleAuthorize",
            account_id: None,
            reason: error,
            details: words.to_owned(),
            decision: String::new(),
        };
        view.note_trouble(app, trouble);
    }
}

/// The sign-in page, which leads back here with the same request.
fn sign_in(input: &Input) -> String {
    let pairs: Vec<String> = input
        .query_pairs()
        .iter()
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(name, NON_ALPHANUMERIC), utf8_percent_encode(value, NON_ALPHANUMERIC))
        })
        .collect();
    let here = format!("/authorize?{}", pairs.join("&"));
    format!("/login?return_to={}", utf8_percent_encode(&here, NON_ALPHANUMERIC))
}

const OUT_OF_DATE: (&str, &str) =
    ("This form is out of date", "It was open for too long, or was used already. Go back to the app and start again.");

async fn decide(mut cx: Ctx<op::ConsoleConsent>, input: Input) -> Outcome<op::ConsoleConsent> {
    let view = cx.view().clone();
    let user = cx.user()?;
    let Some(asked) = Asked::open(&view, user, input.form("request").unwrap_or_default()) else {
        return cx.done(local_page(OUT_OF_DATE.0, OUT_OF_DATE.1));
    };
    // The app may have been changed, blocked or deleted since the page was shown.
    let client = match &asked.document {
        Some(document) => {
            view.with(|snapshot| snapshot.settings.app_registration_open).then(|| Arc::new(document.facts(&view)))
        }
        None => view.with(|snapshot| snapshot.oauth().client(asked.client()).cloned()),
    };
    let Some(client) = client.filter(|client| {
        client.redirect_uris.iter().any(|uri| redirect_uri::matches(uri, &asked.redirect_uri))
            && (asked
                .scope_set()
                .names()
                .all(|name| name == scope::OFFLINE || client.scopes.names().any(|has| has == name)))
    }) else {
        return cx
            .done(local_page(OUT_OF_DATE.0, "The app was changed meanwhile. Go back to the app and start again."));
    };
    let issuer = view.addresses().issuer.clone();
    let declined = match input.form("decision") {
        Some("approve") => false,
        Some("decline") => true,
        _ => return cx.done(local_page("Nothing was decided", "Go back and choose Approve or Decline.")),
    };
    if let Err((title, words)) = authorize::may_ask(&view, &client, user) {
        return cx.done(guarded(Reply::html(crate::error_page(403, title, &words, "")).with_status(403), None));
    }
    let cloud_id = view.with(|snapshot| snapshot.settings.cloud_id.clone());
    let sites: Vec<&str> =
        input.fields().iter().filter(|(name, _)| name == "site").map(|(_, value)| value.as_str()).collect();
    if !declined && (sites.is_empty() || sites.iter().any(|site| *site != cloud_id)) {
        let page = page(&mut cx, &asked, &client, user, "Choose the site that the app may use.").await?;
        let reply = frame::page(&page)?.with_status(400);
        let origin = redirect_uri::origin(&asked.redirect_uri);
        return cx.done(guarded(reply, Some(&origin)));
    }
    if !authorize::use_up(cx.tx(), &asked).await? {
        return cx.done(local_page(OUT_OF_DATE.0, OUT_OF_DATE.1));
    }
    if declined {
        cx.audit(
            format!("oauth_app:{}", client.id),
            None,
            Some(json!({"consent": "declined", "scopes": asked.scopes})),
        );
        let location = asked.refused(&issuer, "access_denied", "User did not authorize the request");
        return cx.done(guarded(Reply::see_other(location), None));
    }
    let (client, asked) = match &asked.document {
        Some(document) => {
            let id = client::introduce(cx.tx(), &view, document).await?;
            cx.changed(Entity::OauthClient(id));
            (Arc::new(ClientFacts { id, ..document.facts(&view) }), Asked { client: id.0, ..asked })
        }
        None => (client, asked),
    };
    let now = view.now();
    let before = view.with(|snapshot| snapshot.oauth().grant_of(client.id, user).map(|grant| grant.scopes));
    let granted = grant::approve(cx.tx(), &client, user, &asked, now).await?;
    let code = code::issue(cx.tx(), &view, &asked, granted, user).await?;
    let before = before.map(|scopes| json!({"scopes": scopes.names().collect::<Vec<_>>()}));
    let after = json!({"consent": "approved", "app": client.client_id, "scopes": asked.scopes, "site": cloud_id});
    cx.audit(format!("app_grant:{granted}"), before, Some(after));
    cx.changed(Entity::AppGrant(granted));
    let location = asked.approved(&issuer, code.expose_secret());
    cx.done(guarded(Reply::see_other(location), None))
}

async fn device_page<O: Operation>(
    cx: &mut Ctx<O>,
    code: &str,
    error: &'static str,
    done: &'static str,
) -> Result<Reply, Problem>
where
    O::Mode: OpMode,
{
    let view = cx.view().clone();
    let user = cx.user()?;
    let waiting = if code.is_empty() { None } else { device::waiting(cx.tx(), &view, code).await? };
    let mut error = error;
    let question = match &waiting {
        Some(waiting) => {
            let client = view.with(|snapshot| snapshot.oauth().client(waiting.client).cloned());
            match client {
                Some(client) if authorize::may_ask(&view, &client, user).is_ok() => {
                    Some(question(cx.tx(), &view, &client, user, &waiting.scopes, String::new()).await?)
                }
                _ => {
                    error = "This app cannot be connected to your account.";
                    None
                }
            }
        }
        None => {
            if !code.is_empty() && error.is_empty() && done.is_empty() {
                error =
                    "No device waits with this code. Check it, or start again on the device: codes last ten minutes.";
            }
            None
        }
    };
    let (name, email, ..) = person(&view, user);
    let page = DevicePage {
        frame: Frame { person: None, ..Frame::of(cx, Section::Elsewhere) },
        question,
        user_code: code.chars().filter(|letter| letter.is_ascii_graphic()).take(20).collect(),
        account: if email.is_empty() { name } else { format!("{name} ({email})") },
        error,
        done,
        form_token: view.caller().form_token("consoleDeviceDecision"),
    };
    let reply = frame::page(&page)?;
    Ok(guarded(if error.is_empty() { reply } else { reply.with_status(400) }, None))
}

async fn device_form(mut cx: Ctx<op::ConsoleDevice>, input: Input) -> Outcome<op::ConsoleDevice> {
    let reply = device_page(&mut cx, input.query("user_code").unwrap_or_default(), "", "").await?;
    cx.done(reply)
}

async fn device_decide(mut cx: Ctx<op::ConsoleDeviceDecision>, input: Input) -> Outcome<op::ConsoleDeviceDecision> {
    let view = cx.view().clone();
    let user = cx.user()?;
    let code = input.form("user_code").unwrap_or_default().to_owned();
    let approved = match input.form("decision") {
        Some("approve") => true,
        Some("decline") => false,
        _ => {
            let reply = device_page(&mut cx, &code, "", "").await?;
            return cx.done(reply);
        }
    };
    let Some(waiting) = device::waiting(cx.tx(), &view, &code).await? else {
        let reply = device_page(&mut cx, &code, "", "").await?;
        return cx.done(reply);
    };
    let client = view.with(|snapshot| snapshot.oauth().client(waiting.client).cloned());
    let allowed = client.as_ref().is_some_and(|client| authorize::may_ask(&view, client, user).is_ok());
    if approved && !allowed {
        let reply = device_page(&mut cx, "", "This app cannot be connected to your account.", "").await?;
        return cx.done(reply);
    }
    match device::decide(cx.tx(), &view, &waiting, user, approved).await? {
        Some(granted) => {
            let words = if approved { "approved" } else { "declined" };
            cx.audit(
                format!("oauth_app:{}", waiting.client),
                None,
                Some(json!({"consent": words, "scopes": waiting.scopes, "device": true})),
            );
            if let Some(granted) = granted {
                cx.changed(Entity::AppGrant(granted));
            }
            let done = if approved {
                "Approved. Go back to your device: it goes on by itself."
            } else {
                "Declined. The device gets nothing."
            };
            let reply = device_page(&mut cx, "", "", done).await?;
            cx.done(reply)
        }
        None => {
            let reply = device_page(&mut cx, &code, "", "").await?;
            cx.done(reply)
        }
    }
}

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
    handlers.on_prepared(&Documents::new(services.outbound.clone()), meet, show);
    handlers.on(decide);
    handlers.on(device_form);
    handlers.on(device_decide);
}
