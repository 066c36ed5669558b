//! A power cut while apps refresh: each still has one token that works, and none has two.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::run::{Client, Folder, Server};

const APPS: usize = 16;
/// Acknowledged refreshes after which the power goes.
const ACKNOWLEDGED_MIN: usize = 10_000;

/// Machines that run all tests at once are slow; nothing waits for this to pass.
const PATIENCE: Duration = Duration::from_secs(180);

/// One request over a connection of its own; status, headers and body as text.
fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let text = String::from_utf8(all).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn encode(text: &str) -> String {
    let one = |byte: u8| {
        if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    text.bytes().map(one).collect()
}

fn form(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// The demo's app, with what its card says of it.
struct App {
    client_id: String,
    client_secret: String,
    redirect_uri: String,
}

impl App {
    fn of(server: &Server) -> Self {
        let text = |name: &str| server.card["oauth_app"][name].as_str().unwrap().to_owned();
        Self { client_id: text("client_id"), client_secret: text("client_secret"), redirect_uri: text("redirect_uri") }
    }

    fn token(&self, client: &mut Client, more: Json) -> std::io::Result<(u16, Json)> {
        let mut body = json!({"client_id": self.client_id, "client_secret": self.client_secret});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.send(None, "POST", "/oauth/token", Some(&body))
    }

    fn refresh(&self, client: &mut Client, token: &str) -> std::io::Result<(u16, Json)> {
        self.token(client, json!({"grant_type": "refresh_token", "refresh_token": token}))
    }

    /// Cleo lets the app in; the first refresh token of that.
    fn approved(&self, server: &Server, cookie: &str) -> String {
        let address = server.address;
        let asked = form(&[
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("response_type", "code"),
            ("scope", "read:jira-work offline_access"),
            ("state", "x"),
        ]);
        let (_, page) = exchange(address, "GET", &format!("/authorize?{asked}"), &format!("Cookie: {cookie}\r\n"), "");
        let value = |name: &str| {
            let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).expect("a field of the page");
            rest.split('"').next().unwrap().to_owned()
        };
        let decision = form(&[
            ("form_token", &value("form_token")),
            ("request", &value("request")),
            ("site", &value("site")),
            ("decision", "approve"),
        ]);
        let (head, _) = exchange(address, "POST", "/authorize", &posted(server, cookie), &decision);
        let (_, rest) = head.split_once("code=").expect("a code");
        let code: String = rest.chars().take_while(|c| !"&\r\n".contains(*c)).collect();
        let mut client = Client::connect(address).unwrap();
        let redirect_uri = &self.redirect_uri;
        let exchange = json!({"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri});
        let (status, answer) = self.token(&mut client, exchange).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["refresh_token"].as_str().unwrap().to_owned()
    }
}

fn posted(server: &Server, cookie: &str) -> String {
    let origin = server.card["base_url"].as_str().unwrap();
    format!("Cookie: {cookie}\r\nOrigin: {origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n")
}

fn signed_in(server: &Server, name: &str) -> String {
    let people = server.card["people"].as_array().unwrap();
    let person = people.iter().find(|person| person["name"] == name).unwrap();
    let text = |name: &str| person[name].as_str().unwrap();
    let body = form(&[("email", text("email")), ("password", text("password"))]);
    let (head, _) = exchange(server.address, "POST", "/login", &posted(server, ""), &body);
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie: ")).expect("a session");
    line[12..].split(';').next().unwrap().to_owned()
}

#[test]
fn each_app_has_one_usable_token_after_a_power_cut() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let mut server = Server::demo(&data, &[]);
    let app = App::of(&server);
    let cookie = signed_in(&server, "Cleo");
    let tokens: Vec<String> = (0..APPS).map(|_| app.approved(&server, &cookie)).collect();
    let count = AtomicUsize::new(0);
    let (address, count, app) = (server.address, &count, &app);
    let last: Vec<String> = thread::scope(|scope| {
        let refresh_until_cut = |mut token: String| {
            let mut client = Client::connect(address).unwrap();
            // What a connection says when it breaks off is no answer.
            while let Ok((status, answer)) = app.refresh(&mut client, &token) {
                assert_eq!(status, 200, "{answer}");
                token = answer["refresh_token"].as_str().unwrap().to_owned();
                count.fetch_add(1, Ordering::Relaxed);
            }
            token
        };
        let threads: Vec<_> = tokens.into_iter().map(|token| scope.spawn(move || refresh_until_cut(token))).collect();
        let started = Instant::now();
        while count.load(Ordering::Relaxed) < ACKNOWLEDGED_MIN {
            assert!(started.elapsed() < PATIENCE, "only {} refreshes", count.load(Ordering::Relaxed));
            thread::sleep(Duration::from_millis(20));
        }
        server.cut();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(server.ended().code(), None, "ended by a signal");

    server = Server::demo(&data, &[]);
    let mut client = Client::connect(server.address).unwrap();
    for token in last {
        // What was acknowledged last works, also where the answer after it was lost, and leads to one successor alone.
        let (status, first) = app.refresh(&mut client, &token).unwrap();
        assert_eq!(status, 200, "{first}");
        let (status, again) = app.refresh(&mut client, &token).unwrap();
        assert_eq!((status, &again["refresh_token"]), (200, &first["refresh_token"]));
        // The successor takes over, and with it the family is one: what came before is a replay, which ends it.
        let next = first["refresh_token"].as_str().unwrap();
        let (status, after) = app.refresh(&mut client, next).unwrap();
        assert_eq!(status, 200, "{after}");
        assert_eq!(app.refresh(&mut client, &token).unwrap().0, 400);
        assert_eq!(app.refresh(&mut client, after["refresh_token"].as_str().unwrap()).unwrap().0, 400);
    }
    server.stop();
}
