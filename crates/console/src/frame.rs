//! What stands around every page: the site's name, who is signed in, where one is, and the emulator's warning.

use std::sync::atomic::{AtomicBool, Ordering};

use askama::Template;
use portcullis_authz::Operation;
use portcullis_guard::{Ctx, OpMode, Reply, View};
use portcullis_model::Problem;

static EMULATOR: AtomicBool = AtomicBool::new(false);

/// Says, once at start, whether the emulator's controls are on; every page then warns of them.
pub fn set_emulator(on: bool) {
    EMULATOR.store(on, Ordering::Relaxed);
}

/// Where in the menu a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Account,
    ApiTokens,
    Sessions,
    ConnectedApps,
    Developer,
    Admin,
    Elsewhere,
}

/// Who is signed in, as the head of the page shows it.
pub(crate) struct Person {
    pub name: String,
    pub sign_out_token: String,
    /// Whether the pages of administrators are offered.
    pub is_site_admin: bool,
}

pub(crate) struct Frame {
    pub site: String,
    pub person: Option<Person>,
    pub section: Section,
    pub emulator: bool,
    pub version: &'static str,
}

impl Frame {
    pub(crate) fn of<O: Operation>(cx: &Ctx<O>, section: Section) -> Self
    where
        O::Mode: OpMode,
    {
        Self::of_view(cx.view(), section)
    }

    /// The same for a page that is made without a transaction.
    pub(crate) fn of_view(view: &View, section: Section) -> Self {
        let caller = view.caller();
        let (site, name, is_site_admin) = view.with(|snapshot| {
            let person = caller.user().and_then(|user| snapshot.person(user));
            let is_site_admin = caller.user().is_some_and(|user| snapshot.policy.is_site_admin(user));
            (snapshot.settings.site_name.clone(), person.map(|person| person.display_name.clone()), is_site_admin)
        });
        let person = name.filter(|_| caller.session().is_some()).map(|name| Person {
            name,
            sign_out_token: caller.form_token("consoleLogout"),
            is_site_admin,
        });
        Self { site: named(site), person, section, ..Self::without_caller() }
    }

    /// For pages that are made outside an operation.
    pub(crate) fn without_caller() -> Self {
        Self {
            site: named(String::new()),
            person: None,
            section: Section::Elsewhere,
            emulator: EMULATOR.load(Ordering::Relaxed),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn named(site: String) -> String {
    if site.trim().is_empty() { "Portcullis".to_owned() } else { site }
}

/// 200 with the page.
pub(crate) fn page(template: &impl Template) -> Result<Reply, Problem> {
    template.render().map(Reply::html).map_err(Problem::bug)
}

/// The sentence that a page shows after a redirect. The address holds a word, never the sentence: nobody else's text gets in.
pub(crate) fn notice(word: Option<&str>) -> &'static str {
    match word {
        Some("token-revoked") => "The token is revoked. Programs that used it are refused from now on.",
        Some("tokens-revoked") => "All your API tokens are revoked. Programs that used them are refused from now on.",
        Some("session-ended") => "That session is signed out.",
        Some("others-ended") => "All your other sessions are signed out.",
        Some("app-revoked") => "The app is revoked: it is refused from now on. It can ask you again.",
        Some("apps-revoked") => "All your apps are revoked. Each can ask you again.",
        Some("app-saved") => "The settings are saved.",
        Some("scopes-saved") => "The permissions are saved. What you took away is refused from now on.",
        Some("callbacks-saved") => "The callback URLs are saved.",
        Some("secret-revoked") => "The secret is revoked. Whoever uses it is refused from now on.",
        Some("app-deleted") => "The app is deleted, with everything people let it do.",
        Some("app-blocked") => "The app is blocked. Its tokens are refused from now on.",
        Some("app-unblocked") => "The app is let in again.",
        Some("apps-revoked-for-all") => {
            "The app is revoked for everyone. It can ask each person again, unless you block it."
        }
        Some("app-revoked-for-one") => "The app is revoked for this person. It can ask them again.",
        Some("app-installed") => "The app is installed.",
        Some("app-declined") => "The app is not installed. Nothing was changed.",
        Some("app-stopped") => "The app is stopped. It is refused from now on.",
        Some("app-started") => "The app may work again.",
        Some("app-uninstalled") => "The app is uninstalled.",
        Some("sent-again") => "It is sent again.",
        Some("rule-added") => "The project is closed to it from the next request on.",
        Some("rule-removed") => "The rule is removed.",
        Some("factor-removed") => "Your second factor is removed.",
        Some("saved") => "Saved.",
        Some("signed-out") => "You are signed out.",
        _ => "",
    }
}
