//! crates.io `atlassian-app-auth`: a Connect app that signs its requests with it. Of the query string hash the crate has what stands in
//! its documentation: names without escapes, each once, and paths without a slash at the end.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlassian_app_auth::{AuthError, Header, Parameters};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const KEY: &str = "com.example.app-auth-check";

/// One message of a connection: its head and its body.
fn message(stream: &mut TcpStream) -> Result<(String, String), Failure> {
    let mut all = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        let n = stream.read(&mut chunk)?;
        all.extend_from_slice(&chunk[..n]);
        let Some(at) = all.windows(4).position(|four| four == b"\r\n\r\n") else {
            if n == 0 { return Err("the connection ended".into()) } else { continue }
        };
        let head = String::from_utf8_lossy(&all[..at]).into_owned();
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ").and_then(|n| n.trim().parse().ok()));
        if n == 0 || all.len() >= at + 4 + length.unwrap_or(0) {
            return Ok((head, String::from_utf8_lossy(&all[at + 4..]).into_owned()));
        }
    }
}

fn call(base: &str, method: &str, path: &str, authorization: &str, body: &str) -> Result<(u16, Json), Failure> {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\nauthorization: {authorization}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    let (head, body) = message(&mut stream)?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Json::Null)))
}

/// Answers with the descriptor and keeps the secret that it is given.
fn serve(listener: TcpListener, own: String, secret: Arc<Mutex<String>>) {
    for mut stream in listener.incoming().flatten() {
        let Ok((head, body)) = message(&mut stream) else { continue };
        let answer = if head.starts_with("GET /atlassian-connect.json") {
            json!({"key": KEY, "name": "App auth check", "baseUrl": own, "authentication": {"type": "jwt"}, "scopes": ["READ"],
                "lifecycle": {"installed": "/installed"}})
            .to_string()
        } else {
            let body: Json = serde_json::from_str(&body).unwrap_or_default();
            if let (Some(given), Ok(mut secret)) = (body["sharedSecret"].as_str(), secret.lock()) {
                *secret = given.to_owned();
            }
            "{}".to_owned()
        };
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
    }
}

fn signed(base: &str, method: &str, path: &str, secret: &str) -> Result<String, Failure> {
    let parameters = Parameters {
        method: method.to_owned(),
        url: format!("{base}{path}").parse()?,
        valid_for: Duration::from_secs(180),
        app_key: KEY.to_owned(),
        shared_secret: secret.to_owned(),
    };
    let header: Header = atlassian_app_auth::create_auth_header(&parameters).map_err(|error: AuthError| error.to_string())?;
    if header.name != "Authorization" {
        return Err(format!("a header {}", header.name).into());
    }
    Ok(header.value)
}

fn run() -> Result<Vec<(String, bool)>, Failure> {
    let card: Json = serde_json::from_str(&std::fs::read_to_string(std::env::args().nth(1).ok_or("usage: app_auth CARD.json")?)?)?;
    let base = card["base_url"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    let people: HashMap<&str, &Json> =
        card["people"].as_array().into_iter().flatten().filter_map(|person| Some((person["name"].as_str()?, person))).collect();
    let basic = |name: &str| {
        let text = |member: &str| people[name][member].as_str().unwrap_or_default();
        format!("Basic {}", STANDARD.encode(format!("{}:{}", text("email"), text("api_token"))))
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let own = format!("http://{}", listener.local_addr()?);
    let secret = Arc::new(Mutex::new(String::new()));
    let (served, address) = (Arc::clone(&secret), own.clone());
    std::thread::spawn(move || serve(listener, address, served));
    let install = json!({"descriptorUrl": format!("{own}/atlassian-connect.json")}).to_string();
    let (status, answer) = call(&base, "POST", "/api/portcullis/v1/connect-apps", &basic("Ada"), &install)?;
    if status != 201 {
        return Err(format!("not installed: {status} {answer}").into());
    }
    let secret = secret.lock().map_err(|_| "a lock")?.clone();
    let mut out = Vec::new();
    for (what, path) in [
        ("a path", "/rest/api/3/myself"),
        ("a query", "/rest/api/3/issue/DEMO-1?fields=summary&expand=names"),
        ("a query with escapes", "/rest/api/3/search/jql?jql=project%20%3D%20DEMO&maxResults=1"),
    ] {
        let (status, answer) = call(&base, "GET", path, &signed(&base, "GET", path, &secret)?, "")?;
        out.push((format!("it is answered: {what}{}", if status == 200 { String::new() } else { format!(" ({status} {answer})") }), status == 200));
    }
    let (status, _) = call(&base, "GET", "/rest/api/3/issue/VAULT-1", &signed(&base, "GET", "/rest/api/3/issue/VAULT-1", &secret)?, "")?;
    out.push(("it does not see what its account does not see".to_owned(), status == 404));
    let (status, _) = call(&base, "GET", "/rest/api/3/project", &signed(&base, "GET", "/rest/api/3/myself", &secret)?, "")?;
    out.push(("a token for another request is refused".to_owned(), status == 401));
    let (status, _) = call(&base, "GET", "/rest/api/3/myself", &signed(&base, "GET", "/rest/api/3/myself", "another secret, as long as one is")?, "")?;
    out.push(("a token with another secret is refused".to_owned(), status == 401));
    let (status, _) = call(&base, "DELETE", &format!("/api/portcullis/v1/connect-apps/{KEY}"), &basic("Ada"), "")?;
    out.push(("it is uninstalled".to_owned(), status == 204));
    let (status, _) = call(&base, "GET", "/rest/api/3/myself", &signed(&base, "GET", "/rest/api/3/myself", &secret)?, "")?;
    out.push(("and refused".to_owned(), status == 401));
    Ok(out)
}

fn main() {
    match run() {
        Ok(checks) => {
            let failed = checks.iter().filter(|(_, good)| !good).count();
            for (what, good) in &checks {
                println!("{} atlassian-app-auth {what}", if *good { "ok" } else { "FAIL" });
            }
            std::process::exit(if failed > 0 { 10 } else { 0 });
        }
        Err(error) => {
            println!("FAIL atlassian-app-auth {error}");
            std::process::exit(10);
        }
    }
}
