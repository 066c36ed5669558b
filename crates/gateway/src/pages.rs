//! Errors as pages, for people in a browser.

use portcullis_model::Problem;

use crate::errors::{self, Shape};
use crate::trail::Trail;

pub(crate) fn refusal(refusal: &portcullis_guard::Refusal, trail: &Trail) -> Shape {
    use portcullis_guard::RefusalKind;
    let (status, title, words) = match refusal.kind {
        RefusalKind::Unauthenticated if trail.method == http::Method::GET => {
            let query = trail.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
            let here = format!("{}{query}", trail.path);
            let back = percent_encoding::utf8_percent_encode(&here, percent_encoding::NON_ALPHANUMERIC);
            return Shape {
                status: 303,
                content_type: "text/html;charset=UTF-8",
                text: String::new(),
                headers: vec![("location", format!("/login?return_to={back}"))],
            };
        }
        RefusalKind::Unauthenticated | RefusalKind::WrongCredential => {
            (401, "Sign in first", "Your session has ended. Sign in and try again.")
        }
        RefusalKind::NotFresh => {
            (403, "Sign in again", "You signed in a while ago. Sign in again, then try once more.")
        }
        RefusalKind::NoSecondFactor if trail.method == http::Method::GET => {
            return Shape {
                status: 303,
                content_type: "text/html;charset=UTF-8",
                text: String::new(),
                headers: vec![("location", "/account/second-factor".to_owned())],
            };
        }
        RefusalKind::NoSecondFactor => {
            (403, "Add a second factor first", "This site asks you for a second factor, and you have none yet.")
        }
        RefusalKind::CrossSite => return from_elsewhere(&trail.request_id),
        RefusalKind::TooMany { .. } => (429, "Too many attempts", "Wait a minute before you try again."),
        RefusalKind::Hidden => (404, "Nothing here", "The page does not exist, or you may not see it."),
        RefusalKind::Scope | RefusalKind::Forbidden => (403, "Not allowed", "You do not have permission to do this."),
        RefusalKind::Unavailable => (503, "Try again", "The server cannot decide at the moment."),
    };
    shape(status, title, words, &trail.request_id)
}

pub(crate) fn from_elsewhere(request_id: &str) -> Shape {
    let words = "The request did not come from a page of this site, so nothing was done.";
    shape(403, "Not from this site", words, request_id)
}

pub(crate) fn problem(problem: &Problem, trail: &Trail) -> Shape {
    let as_json = errors::problem(problem, &trail.path, &trail.request_id);
    let words =
        problem.messages.first().or(problem.fields.first().map(|(_, words)| words)).cloned().unwrap_or_default();
    shape(as_json.status, "That did not work", &words, &trail.request_id)
}

pub(crate) fn shape(status: u16, title: &str, words: &str, request_id: &str) -> Shape {
    let text = portcullis_console::error_page(status, title, words, request_id);
    Shape { status, content_type: "text/html;charset=UTF-8", text, headers: page_headers() }
}

/// Pages run nothing from elsewhere and cannot be framed.
pub(crate) fn page_headers() -> Vec<(&'static str, String)> {
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    vec![
        ("content-security-policy", policy.to_owned()),
        ("x-frame-options", "DENY".to_owned()),
        ("referrer-policy", "same-origin".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
    ]
}
