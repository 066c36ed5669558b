//! Server-rendered pages: sign in, my account, my API tokens, my sessions, my connected apps, consent, the developer console, apps
//! for administrators, one issue to read.
//!
//! Each page and form action is a row of the operation table; the console has no rights of its own. Pages work without JavaScript.
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

mod account;
mod admin_apps;
mod api_tokens;
mod app_rules;
mod assets;
mod browse;
mod connect_apps;
mod connect_page;
mod connected_apps;
mod consent;
mod deliveries;
mod developer;
mod device;
mod forge_apps;
mod frame;
mod moment;
mod reach;
mod return_to;
mod second_factor;
mod sessions;
mod sign_in;

use askama::Template;
use portcullis_apps::connect::Services;
use portcullis_forge::Forge;
use portcullis_guard::Handlers;

pub use assets::{connect_file, static_file};
pub use frame::set_emulator;
pub use sign_in::SESSION_COOKIE;

use frame::{Frame, Section};

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers, services: &Services, forge: &Forge) {
    sign_in::handlers(handlers);
    second_factor::handlers(handlers);
    account::handlers(handlers);
    api_tokens::handlers(handlers);
    sessions::handlers(handlers);
    browse::handlers(handlers);
    consent::handlers(handlers, services);
    connected_apps::handlers(handlers);
    developer::handlers(handlers, services);
    admin_apps::handlers(handlers);
    app_rules::handlers(handlers);
    connect_apps::handlers(handlers, services);
    forge_apps::handlers(handlers, forge);
    deliveries::handlers(handlers);
    connect_page::handlers(handlers);
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame,
    status: u16,
    title: &'a str,
    words: &'a str,
    request_id: &'a str,
}

/// A page that says what went wrong and what to do. `request_id` may be empty.
pub fn error_page(status: u16, title: &str, words: &str, request_id: &str) -> String {
    let page = ErrorPage { frame: Frame::without_caller(), status, title, words, request_id };
    // Writing to a String does not fail; the plain title is still an answer.
    page.render().unwrap_or_else(|_| title.to_owned())
}

#[cfg(test)]
mod tests;
