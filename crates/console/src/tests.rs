//! Every page rendered with sample data. `PORTCULLIS_CONSOLE_SAMPLES=/some/folder` writes them there to look at.

use std::path::Path;

use askama::Template;

use crate::account::AccountPage;
use crate::api_tokens::{ApiTokensPage, Form, NewToken, Token};
use crate::browse::IssuePage;
use crate::frame::{Frame, Person, Section};
use crate::moment::Moment;
use crate::sessions::{Session, SessionsPage};
use crate::sign_in::SignInPage;
use crate::{error_page, static_file};

const NOW: i64 = 1_782_909_296_789;
const DAY: i64 = 86_400_000;
const FILES: [&str; 8] = [
    "portcullis.css",
    "portcullis.js",
    "portcullis.svg",
    "favicon.svg",
    "avatar-16.svg",
    "avatar-24.svg",
    "avatar-32.svg",
    "avatar-48.svg",
];

fn frame(section: Section) -> Frame {
    let person = Person { name: "Ben Baker".to_owned(), sign_out_token: "ptft_x".to_owned(), is_site_admin: true };
    Frame { site: "Acme Jira".to_owned(), person: Some(person), section, ..Frame::without_caller() }
}

fn token(id: i64, label: &str, scopes: &[&str], created_days: i64, lives_days: i64, used_ms: Option<i64>) -> Token {
    let created = NOW - created_days * DAY;
    let ends = created + lives_days * DAY;
    Token {
        id,
        label: label.to_owned(),
        hint: if scopes.is_empty() { "ptat_…p0aB" } else { "ptst_…9xQz" }.to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        created: Moment::of(created, NOW),
        ends: Moment::of(ends, NOW),
        over: ends <= NOW,
        last_used: used_ms.map(|ms| Moment::of(NOW - ms, NOW)),
    }
}

fn tokens_page(tokens: Vec<Token>, form: Form, fresh: Option<NewToken>) -> ApiTokensPage {
    ApiTokensPage {
        frame: frame(Section::ApiTokens),
        notice: "",
        allowed: true,
        fresh,
        tokens,
        form,
        site_url: "http://127.0.0.1:8080".to_owned(),
        gateway_url: "http://127.0.0.1:8080/ex/jira/7f1c9b1e-6a55-4b0e-9d7e-3a2f6a1f5c11".to_owned(),
        create_token: "ptft_a".to_owned(),
        revoke_token: "ptft_b".to_owned(),
        revoke_all_token: "ptft_c".to_owned(),
    }
}

fn session(id: i64, current: bool, user_agent: &str, address: &str) -> Session {
    Session {
        id,
        current,
        device: crate::device::name(user_agent),
        user_agent: user_agent.to_owned(),
        address: address.to_owned(),
        created: Moment::of(NOW - id * 3_600_000, NOW),
        expires: Moment::of(NOW + (12 - id) * 3_600_000, NOW),
    }
}

fn pages() -> Vec<(&'static str, String)> {
    let sign_in = |email, notice, error| {
        let frame = Frame { site: "Acme Jira".to_owned(), ..Frame::without_caller() };
        SignInPage { frame, email, return_to: "/account", notice, error }.render().unwrap()
    };
    let tokens = || {
        vec![
            token(3, "Nightly report", &[], 2, 30, Some(7_200_000)),
            token(2, "CI: <deploy> & \"notify\"", &["read:jira-work", "write:jira-work"], 40, 90, None),
            token(1, "Old laptop", &[], 100, 30, Some(80 * DAY)),
        ]
    };
    let fresh = NewToken {
        label: "Nightly report".to_owned(),
        text: "ptat_0Jx9QmT4bK2p0aB0Jx9QmT4bK2p0aB0Jx9K2p0aB".to_owned(),
        ends: Moment::of(NOW + 30 * DAY, NOW),
        scoped: false,
        email: "ben@acme.example".to_owned(),
        api_url: "http://127.0.0.1:8080".to_owned(),
    };
    let mut wrong = Form::empty(365);
    wrong.scoped = true;
    wrong.label = "Report".to_owned();
    wrong.error_field = "scopes".to_owned();
    wrong.error = "There is no scope `read:everything`.".to_owned();
    let mut switched_off = tokens_page(tokens(), Form::empty(365), None);
    switched_off.allowed = false;
    switched_off.frame.emulator = true;
    let chrome =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
    let sessions = SessionsPage {
        frame: frame(Section::Sessions),
        notice: "That session is signed out.",
        sessions: vec![session(1, true, chrome, "127.0.0.1"), session(5, false, iphone, "2001:db8::17")],
        others: 1,
        revoke_token: "ptft_d".to_owned(),
        revoke_others_token: "ptft_e".to_owned(),
    };
    let account = AccountPage {
        frame: frame(Section::Account),
        name: "Ben Baker".to_owned(),
        email: Some("ben@acme.example".to_owned()),
        account_id: "712020:7f1c9b1e-6a55-4b0e-9d7e-3a2f6a1f5c11".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        site_admin: false,
        has_access: true,
        groups: vec!["developers".to_owned(), "jira-software-users".to_owned()],
        site_url: "http://127.0.0.1:8080",
        gateway_url: "http://127.0.0.1:8080/ex/jira/7f1c9b1e-6a55-4b0e-9d7e-3a2f6a1f5c11".to_owned(),
        second_factor: false,
    };
    let issue = IssuePage {
        frame: frame(Section::Elsewhere),
        key: "DEMO-17".to_owned(),
        project: "Demo".to_owned(),
        issue_type: "Story".to_owned(),
        summary: "Let people see which tokens were used lately".to_owned(),
        status: "In Progress".to_owned(),
        category: "indeterminate".to_owned(),
        assignee: Some("Cleo Castro".to_owned()),
        updated: Moment::of(NOW - 5_400_000, NOW),
        rest_path: "/rest/api/3/issue/DEMO-17".to_owned(),
    };
    vec![
        ("sign-in", sign_in("", "", "")),
        ("signed-out", sign_in("", "You are signed out.", "")),
        (
            "sign-in-wrong",
            sign_in(
                "ben@acme.example",
                "",
                "This e-mail address and password do not belong together. Check both and try again.",
            ),
        ),
        ("account", account.render().unwrap()),
        ("tokens-none", tokens_page(Vec::new(), Form::empty(365), None).render().unwrap()),
        ("tokens", tokens_page(tokens(), Form::empty(90), None).render().unwrap()),
        ("tokens-new", tokens_page(tokens(), Form::empty(365), Some(fresh)).render().unwrap()),
        ("tokens-wrong", tokens_page(tokens(), wrong, None).render().unwrap()),
        ("tokens-off", switched_off.render().unwrap()),
        ("sessions", sessions.render().unwrap()),
        ("issue", issue.render().unwrap()),
        (
            "error",
            error_page(
                404,
                "Nothing here",
                "The page does not exist, or you may not see it.",
                "0af7651916cd43dd8448eb211c80319c",
            ),
        ),
    ]
}

#[test]
fn pages_keep_to_their_content_security_policy() {
    for (name, page) in pages() {
        assert!(!page.contains(" style="), "{name}: no inline style");
        assert!(!page.contains("<style"), "{name}: no inline style sheet");
        assert_eq!(
            page.matches("<script").count(),
            page.matches("<script src=\"/static/").count(),
            "{name}: no inline script"
        );
        assert!(!page.contains(" onclick="), "{name}: no inline handler");
        assert!(!page.contains("javascript:"), "{name}");
    }
}

#[test]
fn pages_have_one_heading_and_the_landmarks() {
    for (name, page) in pages() {
        assert_eq!(page.matches("<h1").count(), 1, "{name}");
        for part in ["<html lang=\"en\">", "<title>", "<main id=\"main\"", "<header", "class=\"skip\" href=\"#main\""] {
            assert!(page.contains(part), "{name}: {part}");
        }
    }
}

#[test]
fn texts_of_people_are_escaped() {
    let (_, page) = pages().into_iter().find(|(name, _)| *name == "tokens").unwrap();
    assert!(!page.contains("<deploy>"));
    assert!(page.contains("&#60;deploy&#62;"));
    let page = error_page(400, "<b>", "<img src=x>", "\"><script>");
    assert!(!page.contains("<b>") && !page.contains("<img src=x>") && !page.contains("\"><script>"));
}

#[test]
fn every_posting_form_carries_a_form_token_but_for_the_sign_in() {
    for (name, page) in pages() {
        let forms = page.matches("method=\"post\"").count();
        let open = page.matches("action=\"/login\"").count();
        assert_eq!(page.matches("name=\"form_token\"").count(), forms - open, "{name}");
    }
}

#[test]
fn emulator_warning_is_on_every_page_while_it_is_on() {
    let (_, page) = pages().into_iter().find(|(name, _)| *name == "tokens-off").unwrap();
    assert!(page.contains("Emulator controls are on."));
    let (_, page) = pages().into_iter().find(|(name, _)| *name == "tokens").unwrap();
    assert!(!page.contains("Emulator controls are on."));
}

#[test]
fn files_have_a_type_and_others_are_not_there() {
    for name in FILES {
        let (content_type, text) = static_file(name).unwrap_or_else(|| panic!("{name}"));
        assert!(!text.is_empty() && content_type.contains('/'), "{name}");
    }
    for name in ["", "x.css", "../Cargo.toml", "portcullis.css.map", "avatar-64.svg"] {
        assert_eq!(static_file(name), None, "{name}");
    }
}

#[test]
fn samples_are_written_where_asked() {
    let Some(folder) = std::env::var_os("PORTCULLIS_CONSOLE_SAMPLES") else { return };
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder.join("static")).unwrap();
    for name in FILES {
        std::fs::write(folder.join("static").join(name), static_file(name).unwrap().1).unwrap();
    }
    for (name, page) in pages() {
        std::fs::write(folder.join(format!("{name}.html")), page.replace("\"/static/", "\"static/")).unwrap();
    }
}
