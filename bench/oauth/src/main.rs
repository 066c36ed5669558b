//! Drives a token endpoint over kept connections: each client refreshes its own chain, or asks for client credentials, as fast as it
//! is answered. Prints the rate, the rate per second of the server's processor time, and latencies.
//!
//!   bench-oauth TARGET.json SECONDS
//!
//! TARGET.json: {"name", "address", "host", "path", "pid", "client_id", "client_secret", "refresh_tokens": [...]} for refreshes, or
//! "grant": "client_credentials" with "clients": n.

use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Ticks of a processor in a second (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

/// Seconds of processor time that a process has used.
fn processor_s(pid: i64) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// One request on a kept connection; the body of its answer.
async fn post(stream: &mut TcpStream, head: &str, body: &str, buffer: &mut Vec<u8>) -> Result<Json, String> {
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    buffer.clear();
    let mut chunk = [0; 8_192];
    loop {
        let read = stream.read(&mut chunk).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("the connection ended".to_owned());
        }
        buffer.extend_from_slice(&chunk[..read]);
        let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.trim().parse().ok());
        let length: usize = length.ok_or("no length")?;
        if buffer.len() >= end + 4 + length {
            let status_good = head.starts_with("http/1.1 200");
            let body = String::from_utf8_lossy(&buffer[end + 4..end + 4 + length]).into_owned();
            return if status_good { serde_json::from_str(&body).map_err(|error| error.to_string()) } else { Err(body) };
        }
    }
}

async fn client(target: Json, refresh: Option<String>, until: Instant) -> Result<Vec<u32>, String> {
    let mut stream = TcpStream::connect(text(&target, "address")).await.map_err(|error| error.to_string())?;
    let _ = stream.set_nodelay(true);
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n",
        text(&target, "path"),
        text(&target, "host")
    );
    let (id, secret) = (text(&target, "client_id"), text(&target, "client_secret"));
    let mut token = refresh;
    let mut took = Vec::new();
    let mut buffer = Vec::new();
    while Instant::now() < until {
        let body = match &token {
            Some(token) => format!("grant_type=refresh_token&client_id={id}&client_secret={secret}&refresh_token={token}"),
            None => format!("grant_type=client_credentials&client_id={id}&client_secret={secret}"),
        };
        let started = Instant::now();
        let answer = post(&mut stream, &head, &body, &mut buffer).await?;
        took.push(u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX));
        if token.is_some() {
            token = Some(text(&answer, "refresh_token")).filter(|token| !token.is_empty());
            if token.is_none() {
                return Err("no refresh token".to_owned());
            }
        }
    }
    Ok(took)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: bench-oauth TARGET.json SECONDS")?;
    let seconds: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10);
    let target: Json = serde_json::from_str(&std::fs::read_to_string(file).map_err(|error| error.to_string())?)
        .map_err(|error| error.to_string())?;
    let mut tokens: Vec<Option<String>> =
        target["refresh_tokens"].as_array().into_iter().flatten().map(|token| token.as_str().map(str::to_owned)).collect();
    if tokens.is_empty() {
        let many = target["clients"].as_u64().unwrap_or(64);
        tokens = (0..many).map(|_| None).collect();
    }
    let pid = target["pid"].as_i64().unwrap_or(0);
    let clients = tokens.len();
    let (started, before) = (Instant::now(), processor_s(pid));
    let until = started + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for token in tokens {
        tasks.spawn(client(target.clone(), token, until));
    }
    let mut took: Vec<u32> = Vec::new();
    while let Some(result) = tasks.join_next().await {
        took.extend(result.map_err(|error| error.to_string())??);
    }
    let (elapsed, used) = (started.elapsed().as_secs_f64(), processor_s(pid) - before);
    took.sort_unstable();
    let at = |share: f64| f64::from(took[((took.len() - 1) as f64 * share) as usize]) / 1_000.0;
    let many = took.len() as f64;
    println!(
        "{:<44} {clients:>3} clients {:>7.0}/s {:>7.0} per core second   p50 {:>6.2} ms   p99 {:>6.2} ms",
        text(&target, "name"),
        many / elapsed,
        if used > 0.0 { many / used } else { 0.0 },
        at(0.50),
        at(0.99)
    );
    Ok(())
}
