//! My second factor: adding an authenticator app, recovery codes, removing it; and the page that asks who is there before a risky act.

use askama::Template;
use portcullis_accounts::second_factor::{self, Proposed};
use portcullis_accounts::session;
use portcullis_authz::{Operation, op};
use portcullis_guard::{Body, Ctx, Entity, Handlers, Input, OpMode, Outcome, Proof, Reply, SignIn, View};
use portcullis_model::Problem;
use serde_json::json;

use crate::frame::{self, Frame, Section};
use crate::moment::Moment;
use crate::sign_in::failed_words;

/// What the page is about at the moment.
pub(crate) enum Stage {
    /// There is none.
    None,
    /// A secret waits to be scanned, and for its first code.
    Scan { picture: String, secret: String, sealed: String, error: &'static str },
    /// There is one.
    Added { since: Moment, codes_left: i64 },
}

#[derive(Template)]
#[template(path = "second_factor.html")]
pub(crate) struct SecondFactorPage {
    pub frame: Frame,
    pub notice: &'static str,
    pub required: bool,
    pub stage: Stage,
    /// Recovery codes that were just made; shown this once.
    pub codes: Vec<String>,
    pub begin_token: String,
    pub add_token: String,
    pub remove_token: String,
    pub codes_token: String,
}

fn page_of<O: Operation>(
    cx: &Ctx<O>,
    stage: Stage,
    codes: Vec<String>,
    notice: &'static str,
) -> Result<SecondFactorPage, Problem>
where
    O::Mode: OpMode,
{
    let user = cx.user()?;
    let required = cx.view().with(|snapshot| snapshot.second_factor_required(user));
    let token = |operation: &str| cx.caller().form_token(operation);
    Ok(SecondFactorPage {
        frame: Frame::of(cx, Section::Account),
        notice,
        required,
        stage,
        codes,
        begin_token: token("consoleBeginSecondFactor"),
        add_token: token("consoleAddSecondFactor"),
        remove_token: token("consoleRemoveSecondFactor"),
        codes_token: token("consoleNewRecoveryCodes"),
    })
}

async fn stage_of<O: Operation>(cx: &mut Ctx<O>) -> Result<Stage, Problem>
where
    O::Mode: OpMode,
{
    let (user, now) = (cx.user()?, cx.now());
    Ok(match second_factor::of(cx.tx(), user).await? {
        None => Stage::None,
        Some(factor) => {
            Stage::Added { since: Moment::of(factor.created_at_ms, now.0), codes_left: factor.recovery_codes }
        }
    })
}

async fn show(mut cx: Ctx<op::ConsoleSecondFactor>, input: Input) -> Outcome<op::ConsoleSecondFactor> {
    let stage = stage_of(&mut cx).await?;
    let reply = frame::page(&page_of(&cx, stage, Vec::new(), frame::notice(input.query("done")))?)?;
    cx.done(reply)
}

fn scan(view: &View, proposed: Proposed, error: &'static str) -> Result<Stage, Problem> {
    let (site, email) = view.with(|snapshot| {
        let person = view.caller().user().and_then(|user| snapshot.person(user));
        (snapshot.settings.site_name.clone(), person.and_then(|person| person.email_folded.clone()))
    });
    let site = if site.trim().is_empty() { "Portcullis" } else { site.trim() };
    let url = proposed.url(site, email.as_deref().unwrap_or("account"))?;
    let code = qrcode::QrCode::new(url.as_bytes()).map_err(Problem::bug)?;
    let drawn = code.render::<qrcode::render::svg::Color<'_>>().min_dimensions(220, 220).build();
    let picture = drawn.find("<svg").and_then(|at| drawn.get(at..)).unwrap_or_default().to_owned();
    Ok(Stage::Scan { picture, secret: proposed.key(), sealed: proposed.sealed, error })
}

async fn begin(mut cx: Ctx<op::ConsoleBeginSecondFactor>, _: Input) -> Outcome<op::ConsoleBeginSecondFactor> {
    let user = cx.user()?;
    if second_factor::of(cx.tx(), user).await?.is_some() {
        return cx.done(Reply::see_other("/account/second-factor"));
    }
    let proposed = Proposed::issue(cx.view(), user)?;
    let stage = scan(cx.view(), proposed, "")?;
    let reply = frame::page(&page_of(&cx, stage, Vec::new(), "")?)?;
    cx.done(reply)
}

async fn add(mut cx: Ctx<op::ConsoleAddSecondFactor>, input: Input) -> Outcome<op::ConsoleAddSecondFactor> {
    let user = cx.user()?;
    let sealed = input.form("proposed").unwrap_or_default();
    let Some(proposed) = Proposed::open(cx.view(), user, sealed) else {
        return Err(Problem::invalid("The page was open for too long. Begin again."));
    };
    let Some(step) = proposed.step_of(input.form("code").unwrap_or_default(), cx.now()) else {
        let error = "This is not the code that belongs to this moment. Check that the clock of your phone is right, and type the code it shows now.";
        let stage = scan(cx.view(), proposed, error)?;
        let reply = frame::page(&page_of(&cx, stage, Vec::new(), "")?)?.with_status(400);
        return cx.done(reply);
    };
    let view = cx.view().clone();
    let codes = second_factor::add(cx.tx(), &view, user, &proposed, step).await?;
    let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
    cx.audit(target, None, Some(json!({"secondFactor": "added"})));
    cx.changed(Entity::User(user));
    let stage = stage_of(&mut cx).await?;
    let notice = "Your second factor is added. From now on you are asked for its code when you sign in.";
    let reply = frame::page(&page_of(&cx, stage, codes, notice)?)?;
    cx.done(reply)
}

async fn remove(mut cx: Ctx<op::ConsoleRemoveSecondFactor>, _: Input) -> Outcome<op::ConsoleRemoveSecondFactor> {
    let user = cx.user()?;
    if second_factor::remove(cx.tx(), user).await? {
        let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
        cx.audit(target, None, Some(json!({"secondFactor": "removed"})));
        cx.changed(Entity::User(user));
    }
    cx.done(Reply::see_other("/account/second-factor?done=factor-removed"))
}

async fn new_codes(mut cx: Ctx<op::ConsoleNewRecoveryCodes>, _: Input) -> Outcome<op::ConsoleNewRecoveryCodes> {
    let user = cx.user()?;
    if second_factor::of(cx.tx(), user).await?.is_none() {
        return cx.done(Reply::see_other("/account/second-factor"));
    }
    let view = cx.view().clone();
    let codes = second_factor::renew_codes(cx.tx(), user, view.entropy()).await?;
    let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
    cx.audit(target, None, Some(json!({"recoveryCodes": "renewed"})));
    let stage = stage_of(&mut cx).await?;
    let reply = frame::page(&page_of(&cx, stage, codes, "These codes replace the ones you had.")?)?;
    cx.done(reply)
}

#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct ConfirmPage<'a> {
    pub frame: Frame,
    /// Where the form goes that is confirmed.
    pub action: &'a str,
    /// What was in it.
    pub fields: Vec<&'a (String, String)>,
    pub email: String,
    pub second_factor: bool,
    pub error: String,
}

async fn confirm(mut cx: Ctx<op::ConsoleConfirm>, input: Input, proof: Proof) -> Outcome<op::ConsoleConfirm> {
    let Some(user) = second_factor::redeem(cx.tx(), proof).await? else {
        let reply = ask(cx.view(), &input, &SignIn::Wrong)?;
        return cx.done(reply);
    };
    let Some(id) = cx.caller().session().map(|session| session.id) else {
        return Err(Problem::bug("a fresh proof without a session"));
    };
    let now = cx.now();
    session::prove(cx.tx(), user, id, now).await?;
    cx.audit(format!("session:{id}"), None, None);
    cx.changed(Entity::Session(id));
    cx.done(Reply::see_other("/account"))
}

/// The page that asks, with everything that was in the form, so that nothing has to be typed twice.
fn ask(view: &View, input: &Input, sign_in: &SignIn) -> Result<Reply, Problem> {
    let fields = match input.body() {
        Body::Form(fields) => fields.iter().filter(|(name, _)| !name.starts_with("confirm_")).collect(),
        _ => Vec::new(),
    };
    let (email, second_factor) = view.with(|snapshot| {
        let person = view.caller().user().and_then(|user| snapshot.person(user));
        let email = person.and_then(|person| person.email_folded.clone()).unwrap_or_default();
        (email, person.is_some_and(|person| person.second_factor))
    });
    let error = match sign_in {
        SignIn::NotTried => String::new(),
        SignIn::CodeNeeded(_) => "The code is missing. Type your password again, and the code.".to_owned(),
        SignIn::Wrong => "This is not your password, or the code was used before. Try again.".to_owned(),
        SignIn::Throttled(_) | SignIn::WrongCode(_) => failed_words(sign_in),
    };
    let action = match input.param("action") {
        "" => "/confirm",
        action => action,
    };
    let page =
        ConfirmPage { frame: Frame::of_view(view, Section::Elsewhere), action, fields, email, second_factor, error };
    Ok(frame::page(&page)?.with_status(403))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(show);
    handlers.on(begin);
    handlers.on(add);
    handlers.on(remove);
    handlers.on(new_codes);
    handlers.on_fresh_proof(confirm, ask);
}
