//! A Connect app for tests: a small server with a descriptor, which keeps what it is sent and signs what it asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis_crypto::jws::{SigningKey, UnverifiedJws};
use portcullis_guard::qsh;
use portcullis_model::{Clock, Timestamp};
use serde_json::{Map, Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::oauth::pairs;
use crate::world::{Answer, Client, World};

/// What an app was sent.
#[derive(Clone, Debug)]
pub struct Received {
    /// Path with query.
    pub path: String,
    /// The token of its `Authorization: JWT`.
    pub token: String,
    /// The body.
    pub body: Json,
    /// The body, as it came.
    pub bytes: Vec<u8>,
    /// The head, as it came.
    pub head: String,
}

impl Received {
    /// A header's value; empty when there is none.
    pub fn header(&self, name: &str) -> String {
        header(&self.head, name)
    }
}

#[derive(Default)]
struct State {
    descriptor: Json,
    received: Vec<Received>,
    statuses: HashMap<String, u16>,
}

/// A running app.
#[derive(Clone)]
pub struct ConnectApp {
    state: Arc<Mutex<State>>,
    /// Where it is.
    pub base_url: String,
    /// Its key.
    pub key: String,
}

impl ConnectApp {
    /// Starts one with these scopes.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn start(key: &str, scopes: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://127.0.0.1:{}", listener.local_addr().expect("an address").port());
        let descriptor = json!({
            "key": key, "name": format!("App {key}"), "baseUrl": base_url, "authentication": {"type": "jwt"}, "scopes": scopes,
            "lifecycle": {"installed": "/installed", "enabled": "/enabled", "disabled": "/disabled", "uninstalled": "/uninstalled"},
        });
        let state = Arc::new(Mutex::new(State { descriptor, ..State::default() }));
        let app = Self { state: Arc::clone(&state), base_url, key: key.to_owned() };
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    let Some((head, body)) = read(&mut stream).await else { return };
                    let (status, answer) = answer(&state, &head, &body);
                    let text = format!(
                        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}",
                        answer.len()
                    );
                    let _ = stream.write_all(text.as_bytes()).await;
                });
            }
        });
        app
    }

    fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the descriptor.
    pub fn change(&self, change: &Json) {
        self.with(|state| {
            for (name, value) in change.as_object().into_iter().flatten() {
                state.descriptor[name] = value.clone();
            }
        });
    }

    /// Answers a path with a status from now on.
    pub fn answers(&self, path: &str, status: u16) {
        self.with(|state| state.statuses.insert(path.to_owned(), status));
    }

    /// What was received so far.
    pub fn received(&self) -> Vec<Received> {
        self.with(|state| state.received.clone())
    }

    /// The newest of a path.
    ///
    /// # Panics
    /// When there is none within some seconds.
    pub async fn last(&self, path: &str) -> Received {
        for _ in 0..200 {
            if let Some(found) = self.received().into_iter().rev().find(|received| received.path == path) {
                return found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("nothing came to {path}: {:?}", self.received());
    }

    /// What came to a path, once there are so many.
    ///
    /// # Panics
    /// When there are fewer within some seconds.
    pub async fn all(&self, path: &str, number: usize) -> Vec<Received> {
        let of_path = || self.received().into_iter().filter(|it| it.path == path).collect::<Vec<_>>();
        for _ in 0..200 {
            if of_path().len() >= number {
                return of_path();
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{} came to {path} and not {number}: {:?}", of_path().len(), self.received());
    }

    /// Where its descriptor is.
    pub fn descriptor_url(&self) -> String {
        format!("{}/atlassian-connect.json", self.base_url)
    }

    /// The secret that it was given last.
    pub async fn secret(&self) -> String {
        self.last("/installed").await.body["sharedSecret"].as_str().unwrap_or_default().to_owned()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut buffer = [0; 8_192];
    loop {
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        all.extend_from_slice(&buffer[..n]);
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let length = header(&head, "content-length").parse().unwrap_or(0);
        if all.len() >= end + 4 + length {
            return Some((head, all[end + 4..].to_vec()));
        }
    }
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case(name)));
    line.map(|(_, value)| value.to_owned()).unwrap_or_default()
}

fn answer(state: &Mutex<State>, head: &str, body: &[u8]) -> (u16, String) {
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if path == "/atlassian-connect.json" {
        return (state.statuses.get(&path).copied().unwrap_or(200), state.descriptor.to_string());
    }
    let token = header(head, "authorization").split_once(' ').map(|(_, token)| token.to_owned()).unwrap_or_default();
    state.received.push(Received {
        path: path.clone(),
        token,
        body: serde_json::from_slice(body).unwrap_or(Json::Null),
        bytes: body.to_vec(),
        head: head.to_owned(),
    });
    (state.statuses.get(&path).copied().unwrap_or(204), "{}".to_owned())
}

/// The claims of a token, unverified.
///
/// # Panics
/// When it is none.
pub fn claims_of(token: &str) -> Map<String, Json> {
    let payload = UnverifiedJws::parse(token).map(|jws| jws.unverified_payload().to_vec()).expect("a token");
    serde_json::from_slice(&payload).expect("claims")
}

/// A token signed with HS256.
///
/// # Panics
/// When the secret is too short.
pub fn hs256(secret: &str, claims: &Json) -> String {
    let key = SigningKey::hs256(String::new(), secret.as_bytes()).expect("a secret");
    key.sign("JWT", claims).expect("a token")
}

impl World {
    /// The present.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Installs an app as Ada.
    pub async fn install(&self, app: &ConnectApp) -> Answer {
        self.by("Ada").post("/api/portcullis/v1/connect-apps", json!({"descriptorUrl": app.descriptor_url()})).await
    }

    /// The claims of a good token for a request.
    pub fn connect_claims(&self, app: &ConnectApp, method: &str, target: &str) -> Json {
        let now_s = self.now().0 / 1_000;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let qsh = qsh::hash(&qsh::canonical(method, path, query, qsh::SortedBy::Decoded));
        json!({"iss": app.key, "iat": now_s, "exp": now_s + 180, "qsh": qsh})
    }

    /// Requests with a token.
    pub fn jwt(&self, token: &str) -> Client<'_> {
        self.with_header("authorization", &format!("JWT {token}"))
    }

    /// One request of an app as itself.
    pub async fn as_app(&self, app: &ConnectApp, method: &str, target: &str, body: Option<Json>) -> Answer {
        let token = hs256(&app.secret().await, &self.connect_claims(app, method, target));
        let client = self.jwt(&token);
        match body {
            Some(body) => client.send_bytes(method, target, Some("application/json"), body.to_string().into()).await,
            None => client.send_bytes(method, target, None, bytes::Bytes::new()).await,
        }
    }

    /// The claims of a good assertion to act for somebody.
    pub async fn assertion(&self, app: &ConnectApp, account_id: &str) -> Json {
        let now_s = self.now().0 / 1_000;
        let installed = app.last("/installed").await.body;
        json!({
            "iss": format!("urn:atlassian:connect:clientid:{}", installed["oauthClientId"].as_str().unwrap_or_default()),
            "sub": format!("urn:atlassian:connect:useraccountid:{account_id}"),
            "tnt": installed["baseUrl"],
            "aud": "https://oauth-2-authorization-server.services.atlassian.com",
            "iat": now_s,
            "exp": now_s + 60,
        })
    }

    /// Asks for a token to act for somebody.
    pub async fn act_as(&self, assertion: &str, scope: &str) -> Answer {
        let mut fields = vec![("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", assertion)];
        if !scope.is_empty() {
            fields.push(("scope", scope));
        }
        let form = "application/x-www-form-urlencoded";
        self.anonymous().send_bytes("POST", "/oauth2/token", Some(form), pairs(&fields).into()).await
    }
}
