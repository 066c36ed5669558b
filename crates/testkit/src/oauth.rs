//! An OAuth 2.0 client for tests: signs people in, answers the consent page, exchanges and refreshes, all over the edge.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use portcullis_crypto::sha256;
use serde_json::{Value as Json, json};

use crate::world::{Answer, BASE_URL, Client, World};

const FORM: &str = "application/x-www-form-urlencoded";
/// Where the tests' apps wait for answers.
pub const CALLBACK: &str = "https://app.example/callback";

/// An app of the world.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id in addresses of ours.
    pub id: String,
    /// Its public id.
    pub client_id: String,
    /// Its secret; empty for a public one.
    pub secret: String,
}

/// What the token endpoint gave.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token; empty when there is none.
    pub refresh: String,
    /// The whole answer.
    pub json: Json,
}

/// Text as a form or a query carries it.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Pairs as a form or a query carries them.
pub fn pairs(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// A parameter of an address; empty when it has none.
pub fn parameter(address: &str, name: &str) -> String {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let found = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    let mut out = Vec::new();
    let mut bytes = found.unwrap_or_default().bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = bytes.by_ref().take(2).collect();
                let text = String::from_utf8(digits).unwrap_or_default();
                out.push(u8::from_str_radix(&text, 16).unwrap_or(b'?'));
            }
            b'+' => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).unwrap_or_default()
}

/// The value of a hidden field of a page.
pub fn field(page: &str, name: &str) -> String {
    let marker = format!("name=\"{name}\" value=\"");
    let from = page.find(&marker).map(|at| at + marker.len());
    let rest = from.and_then(|from| page.get(from..)).unwrap_or_default();
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// A verifier of PKCE and its challenge.
pub fn pkce() -> (String, String) {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
    let challenge = URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    (verifier, challenge)
}

impl World {
    /// An app of a person's, made with the management API.
    ///
    /// # Panics
    /// When it is not made.
    pub async fn app(&self, owner: &str, change: Json) -> App {
        let mut body = json!({
            "name": "An app", "redirectUris": [CALLBACK], "shared": true, "pkceRequired": false,
            "scopes": ["read:me", "read:jira-user", "read:jira-work", "write:jira-work", "manage:jira-project"],
        });
        if let (Some(body), Some(change)) = (body.as_object_mut(), change.as_object()) {
            body.extend(change.clone());
        }
        let made = self.by(owner).post("/api/portcullis/v1/oauth-apps", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        App { id: made.at("/id"), client_id: made.at("/clientId"), secret: made.at("/clientSecret") }
    }

    /// A browser in which a person is signed in.
    ///
    /// # Panics
    /// When the password is not taken.
    pub async fn browser(&self, name: &str) -> Client<'_> {
        let person = self.person(name);
        let form = pairs(&[("email", &person.email), ("password", &person.password)]);
        let answer = self.anonymous().send_bytes("POST", "/login", Some(FORM), form.into()).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        let cookie = answer.header("set-cookie").unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
        self.with_header("cookie", &cookie).header("origin", BASE_URL)
    }

    /// The address that asks for consent.
    pub fn authorize_path(&self, app: &App, scopes: &str, more: &[(&str, &str)]) -> String {
        let mut all = vec![
            ("client_id", app.client_id.as_str()),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", scopes),
            ("state", "xyz"),
        ];
        all.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        all.extend(more.iter().copied().filter(|(_, value)| !value.is_empty()));
        format!("/authorize?{}", pairs(&all))
    }

    /// Shows the consent page and decides; the answer that leads back to the app.
    pub async fn decide(&self, browser: &Client<'_>, path: &str, decision: &str) -> Answer {
        let page = browser.get(path).await;
        if page.status != 200 {
            return page;
        }
        let cloud_id = self.cloud_id();
        let form = pairs(&[
            ("form_token", &field(&page.text, "form_token")),
            ("request", &field(&page.text, "request")),
            ("site", &cloud_id),
            ("decision", decision),
        ]);
        browser.send_bytes("POST", "/authorize", Some(FORM), form.into()).await
    }

    /// A code that a person approves.
    ///
    /// # Panics
    /// When there is none.
    pub async fn code(&self, who: &str, app: &App, scopes: &str, more: &[(&str, &str)]) -> String {
        let browser = self.browser(who).await;
        let answer = self.decide(&browser, &self.authorize_path(app, scopes, more), "approve").await;
        let location = answer.header("location").unwrap_or_default().to_owned();
        let code = parameter(&location, "code");
        assert!(answer.status == 303 && !code.is_empty(), "{} {location} {}", answer.status, answer.text);
        code
    }

    /// A request to an endpoint of the authorization server, as a form.
    pub async fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.anonymous().send_bytes("POST", path, Some(FORM), pairs(fields).into()).await
    }

    /// A request to the token endpoint with the app's secret in the body.
    pub async fn token(&self, app: &App, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("client_id", app.client_id.as_str())];
        if !app.secret.is_empty() {
            all.push(("client_secret", app.secret.as_str()));
        }
        all.extend_from_slice(fields);
        self.ask("/oauth/token", &all).await
    }

    /// Exchanges a code.
    pub async fn exchange(&self, app: &App, code: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)];
        fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        fields.extend_from_slice(more);
        self.token(app, &fields).await
    }

    /// Uses a refresh token.
    pub async fn refresh(&self, app: &App, token: &str) -> Answer {
        self.token(app, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    /// Tokens of a person for an app, the whole way.
    ///
    /// # Panics
    /// When there are none.
    pub async fn tokens(&self, who: &str, app: &App, scopes: &str) -> Tokens {
        let code = self.code(who, app, scopes, &[]).await;
        let answer = self.exchange(app, &code, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        Tokens::of(&answer)
    }

    /// What an app gets for a person at a callback of its own.
    pub async fn tokens_at(&self, who: &str, app: &App, scopes: &str, callback: &str) -> Tokens {
        let code = self.code(who, app, scopes, &[("redirect_uri", callback)]).await;
        Tokens::of(&self.exchange(app, &code, &[("redirect_uri", callback)]).await)
    }

    /// Requests with an access token.
    pub fn bearer(&self, token: &str) -> Client<'_> {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// A path at the gateway of the site.
    pub fn at_gateway(&self, path: &str) -> String {
        format!("/ex/jira/{}{path}", self.cloud_id())
    }
}

impl Tokens {
    /// What an answer of the token endpoint holds.
    pub fn of(answer: &Answer) -> Self {
        Self { access: answer.at("/access_token"), refresh: answer.at("/refresh_token"), json: answer.json() }
    }
}

/// `Basic` of a client (RFC 6749, section 2.3.1).
pub fn basic(app: &App) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(&app.client_id), encode(&app.secret))))
}
