//! Webhooks to a sink on this machine: installs an app with many webhooks, changes an issue, and counts what comes. Every delivery is
//! signed, stored before it is sent, and written down afterwards. Beside it, in the same run, the limit: the same requests from a bare
//! loop over kept connections, without signature, outbox or log.
//!
//!   bench-webhooks CARD.json PID CHANGES WEBHOOKS

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Ticks of a processor in a second (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;
/// Connections of the bare loop, as many as the server opens to one app.
const LINES: usize = 16;

fn processor_s(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

#[derive(Default)]
struct Sink {
    came: AtomicUsize,
    identifiers: Mutex<HashSet<String>>,
    descriptor: Mutex<String>,
}

/// One message from a kept connection: its head in lower case, and its body.
async fn read(stream: &mut TcpStream, left: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let mut chunk = [0; 16_384];
    loop {
        if let Some(end) = left.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&left[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.trim().parse().ok());
            let whole = end + 4 + length.unwrap_or(0);
            if left.len() >= whole {
                let body = left[end + 4..whole].to_vec();
                left.drain(..whole);
                return Some((head, body));
            }
        }
        let n = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        left.extend_from_slice(&chunk[..n]);
    }
}

async fn serve(mut stream: TcpStream, sink: Arc<Sink>) {
    let _ = stream.set_nodelay(true);
    let mut left = Vec::new();
    while let Some((head, _)) = read(&mut stream, &mut left).await {
        let body = if head.starts_with("get /descriptor") { sink.descriptor.lock().map(|it| it.clone()).unwrap_or_default() } else { String::new() };
        if head.starts_with("post /hook") {
            if let Some(identifier) = head.lines().find_map(|line| line.strip_prefix("x-atlassian-webhook-identifier: "))
                && let Ok(mut identifiers) = sink.identifiers.lock()
            {
                identifiers.insert(identifier.to_owned());
            }
            sink.came.fetch_add(1, Ordering::Relaxed);
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

struct Site {
    address: String,
    authorization: String,
}

impl Site {
    async fn call(&self, stream: &mut TcpStream, left: &mut Vec<u8>, method: &str, path: &str, body: &Json) -> (u16, Json) {
        let body = body.to_string();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address, self.authorization, body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("the site takes a request");
        let (head, body) = read(stream, left).await.expect("the site answers");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, card, pid, changes, webhooks] = arguments.as_slice() else { panic!("bench-webhooks CARD.json PID CHANGES WEBHOOKS") };
    let (changes, webhooks): (usize, usize) = (changes.parse().expect("a number"), webhooks.parse().expect("a number"));
    let card: Json = serde_json::from_str(&std::fs::read_to_string(card).expect("a card")).expect("a card");
    let person = |name: &str| {
        let people = card["people"].as_array().expect("people");
        let person = people.iter().find(|person| person["name"] == name).expect("a person");
        let pair = format!("{}:{}", person["email"].as_str().unwrap_or_default(), person["api_token"].as_str().unwrap_or_default());
        format!("Basic {}", STANDARD.encode(pair))
    };
    let address = card["base_url"].as_str().unwrap_or_default().trim_start_matches("http://").to_owned();
    let sink = Arc::new(Sink::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let own = format!("http://{}", listener.local_addr().expect("an address"));
    let hooks: Vec<Json> = (0..webhooks).map(|n| json!({"event": "jira:issue_updated", "url": format!("/hook/{n}")})).collect();
    let descriptor = json!({
        "key": "bench.webhooks", "name": "Bench", "baseUrl": own, "authentication": {"type": "jwt"}, "scopes": ["READ"],
        "lifecycle": {"installed": "/installed"}, "modules": {"webhooks": hooks},
    });
    *sink.descriptor.lock().expect("a lock") = descriptor.to_string();
    let served = Arc::clone(&sink);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&served)));
        }
    });
    let (ada, cleo) = (
        Site { address: address.clone(), authorization: person("Ada") },
        Site { address: address.clone(), authorization: person("Cleo") },
    );
    let mut stream = TcpStream::connect(&address).await.expect("the site");
    let mut left = Vec::new();
    let install = json!({"descriptorUrl": format!("{own}/descriptor")});
    let (status, answer) = ada.call(&mut stream, &mut left, "POST", "/api/portcullis/v1/connect-apps", &install).await;
    assert_eq!(status, 201, "{answer}");
    let issue = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "Bench"}});
    let (status, made) = cleo.call(&mut stream, &mut left, "POST", "/rest/api/3/issue", &issue).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/rest/api/3/issue/{}", made["key"].as_str().unwrap_or_default());

    let (before, started) = (processor_s(pid), Instant::now());
    for n in 0..changes {
        let body = json!({"fields": {"summary": format!("Bench {n}")}});
        let (status, answer) = cleo.call(&mut stream, &mut left, "PUT", &path, &body).await;
        assert_eq!(status, 204, "{answer}");
    }
    let written = started.elapsed().as_secs_f64();
    let expected = changes * webhooks;
    while sink.came.load(Ordering::Relaxed) < expected {
        assert!(started.elapsed() < Duration::from_secs(300), "{} of {expected} came", sink.came.load(Ordering::Relaxed));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let (took, used) = (started.elapsed().as_secs_f64(), processor_s(pid) - before);
    let unique = sink.identifiers.lock().expect("a lock").len();
    let came = sink.came.load(Ordering::Relaxed);

    // The limit: the same body from a bare loop. Its process does the sink's work too, so its rate is by the clock.
    let body = json!({"webhookEvent": "jira:issue_updated", "padding": "x".repeat(4_000)}).to_string();
    let begun = Instant::now();
    let per_line = expected / LINES;
    let lines: Vec<_> = (0..LINES)
        .map(|_| {
            let (address, body) = (own.trim_start_matches("http://").to_owned(), body.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.expect("the sink");
                let _ = stream.set_nodelay(true);
                let mut left = Vec::new();
                for _ in 0..per_line {
                    let request = format!("POST /bare HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    stream.write_all(request.as_bytes()).await.expect("the sink takes it");
                    read(&mut stream, &mut left).await.expect("the sink answers");
                }
            })
        })
        .collect();
    for line in lines {
        line.await.expect("a line");
    }
    let bare = (per_line * LINES) as f64 / begun.elapsed().as_secs_f64();
    let rate = expected as f64 / took;
    println!("{changes} changes, {webhooks} webhooks each: {expected} deliveries, {unique} identifiers, {came} requests");
    println!("  {rate:.0} deliveries/s by the clock, {:.0} for a second of the server's processor time ({used:.2} s)", expected as f64 / used);
    println!("  changes acknowledged after {written:.2} s, the last delivery after {took:.2} s");
    println!("  bare loop to the same sink: {bare:.0} requests/s by the clock; ratio {:.2}", rate / bare);
}
