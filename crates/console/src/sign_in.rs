//! Signing in and out: the only place that sets the session cookie.

use askama::Template;
use portcullis_accounts::{second_factor, session};
use portcullis_authz::op;
use portcullis_guard::{Ctx, Entity, Handlers, Input, Outcome, Proof, Reply, SignIn, View};
use portcullis_model::Problem;

use crate::frame::{self, Frame, Section};
use crate::return_to::own_path;

/// The cookie that carries a browser session.
pub const SESSION_COOKIE: &str = "portcullis.session";

/// Characters of a refused e-mail address that the page gives back.
const EMAIL_CHARS_MAX: usize = 254;

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignInPage<'a> {
    pub frame: Frame,
    pub email: &'a str,
    pub return_to: &'a str,
    pub notice: &'a str,
    pub error: &'a str,
}

/// The start of the console is the account page.
async fn home(cx: Ctx<op::ConsoleHome>, _: Input) -> Outcome<op::ConsoleHome> {
    cx.done(Reply::see_other("/account"))
}

async fn login_page(cx: Ctx<op::ConsoleLoginPage>, input: Input) -> Outcome<op::ConsoleLoginPage> {
    let return_to = own_path(input.query("return_to"));
    if cx.caller().session().is_some() {
        return cx.done(Reply::see_other(return_to));
    }
    let page = SignInPage {
        frame: Frame::of(&cx, Section::Elsewhere),
        email: "",
        return_to,
        notice: frame::notice(input.query("done")),
        error: "",
    };
    let reply = frame::page(&page)?;
    cx.done(reply)
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
pub(crate) struct SignInCodePage<'a> {
    pub frame: Frame,
    pub ticket: &'a str,
    pub return_to: &'a str,
    pub error: &'a str,
}

async fn login(mut cx: Ctx<op::ConsoleLogin>, input: Input, proof: Proof) -> Outcome<op::ConsoleLogin> {
    let Some(user) = second_factor::redeem(cx.tx(), proof).await? else {
        let reply = refused(cx.view(), &input, &SignIn::Wrong)?;
        return cx.done(reply);
    };
    // A browser has one session: signing in anew ends the one it came with, so that nothing is kept over.
    if let Some(old) = cx.caller().session().map(|session| session.id) {
        session::end(cx.tx(), old).await?;
        cx.changed(Entity::Session(old));
    }
    let view = cx.view().clone();
    let caller = view.caller();
    let address = caller.address().map(|address| address.to_string()).unwrap_or_default();
    let (id, token) = session::open(cx.tx(), user, caller.user_agent(), &address, view.now(), view.entropy()).await?;
    cx.changed(Entity::Session(id));
    for old in session::end_oldest(cx.tx(), user).await? {
        cx.changed(Entity::Session(old));
    }
    let account_id =
        view.with(|snapshot| snapshot.person(user).map(|person| person.account_id.clone())).unwrap_or_default();
    cx.audit(format!("session:{id}"), None, Some(serde_json::json!({"accountId": account_id})));
    let cookie = cookie(token.expose_secret(), session::SESSION_MS / 1_000, &input);
    cx.done(Reply::see_other(own_path(input.form("return_to"))).with_header("set-cookie", cookie))
}

/// The page again, with what went wrong, or the next one. One text for an unknown account and a wrong password.
fn refused(view: &View, input: &Input, sign_in: &SignIn) -> Result<Reply, Problem> {
    let frame = Frame::of_view(view, Section::Elsewhere);
    let return_to = own_path(input.form("return_to"));
    let error = failed_words(sign_in);
    let reply = match sign_in {
        SignIn::CodeNeeded(ticket) | SignIn::WrongCode(ticket) => {
            frame::page(&SignInCodePage { frame, ticket, return_to, error: &error })?
        }
        SignIn::NotTried | SignIn::Wrong | SignIn::Throttled(_) => {
            let email: String = input.form("email").unwrap_or_default().trim().chars().take(EMAIL_CHARS_MAX).collect();
            frame::page(&SignInPage { frame, email: &email, return_to, notice: "", error: &error })?
        }
    };
    Ok(match sign_in {
        SignIn::Throttled(seconds) => reply.with_status(429).with_header("retry-after", seconds.to_string()),
        SignIn::CodeNeeded(_) | SignIn::NotTried | SignIn::Wrong | SignIn::WrongCode(_) => reply.with_status(401),
    })
}

/// What went wrong, for the person who tried; empty when nothing did.
pub(crate) fn failed_words(sign_in: &SignIn) -> String {
    match sign_in {
        SignIn::NotTried | SignIn::CodeNeeded(_) => String::new(),
        SignIn::Wrong => {
            "This e-mail address and password do not belong together. Check both and try again.".to_owned()
        }
        SignIn::Throttled(seconds) => {
            format!("Too many failed attempts. Wait {} before you try again.", wait(*seconds))
        }
        SignIn::WrongCode(_) => {
            "This code is not right, or it was used before. Wait for the next one, or use a recovery code.".to_owned()
        }
    }
}

fn wait(seconds: u32) -> String {
    match seconds {
        0 | 1 => "1 second".to_owned(),
        2..=90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

async fn logout(mut cx: Ctx<op::ConsoleLogout>, input: Input) -> Outcome<op::ConsoleLogout> {
    if let Some(id) = cx.caller().session().map(|session| session.id) {
        session::end(cx.tx(), id).await?;
        cx.changed(Entity::Session(id));
        cx.audit(format!("session:{id}"), None, None);
    }
    cx.done(signed_out(&input))
}

/// The sign-in page, and the browser forgets the cookie.
pub(crate) fn signed_out(input: &Input) -> Reply {
    Reply::see_other("/login?done=signed-out").with_header("set-cookie", cookie("", 0, input))
}

fn cookie(value: &str, max_age_s: i64, input: &Input) -> String {
    // Over plain HTTP (a demo on this machine) browsers would not keep a cookie marked `Secure`.
    let secure = if input.base_url().starts_with("https://") { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{secure}")
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(home);
    handlers.on(login_page);
    handlers.on_sign_in(login, refused);
    handlers.on(logout);
}

#[cfg(test)]
mod tests {
    use portcullis_guard::{ApiVersion, Body, Input};

    use super::{cookie, wait};

    fn input(base_url: &str) -> Input {
        Input::new(Vec::new(), Vec::new(), Body::Empty, ApiVersion::V3, base_url.to_owned())
    }

    #[test]
    fn cookie_is_for_this_site_and_not_for_scripts() {
        assert_eq!(
            cookie("x", 43_200, &input("https://jira.example")),
            "portcullis.session=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=43200; Secure"
        );
        assert!(!cookie("x", 1, &input("http://127.0.0.1:8080")).contains("Secure"));
    }

    #[test]
    fn waits_are_said_in_words() {
        assert_eq!([wait(1), wait(45), wait(100)], ["1 second", "45 seconds", "2 minutes"]);
    }
}
