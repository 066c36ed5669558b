//! A power cut while webhooks are sent: each change that was acknowledged is told, and nothing is told that was not stored.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::run::{Client, Folder, Server, wait_for};

const WRITERS: usize = 4;
/// Changes that are told before the power goes.
const TOLD_MIN: usize = 60;

/// A Connect app that answers everything and keeps the keys of issues that it is told of.
#[derive(Clone)]
struct App {
    descriptor: Arc<String>,
    told: Arc<Mutex<HashSet<String>>>,
    url: String,
}

impl App {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let descriptor = json!({
            "key": "com.example.power", "name": "Power", "baseUrl": url, "authentication": {"type": "jwt"}, "scopes": ["READ"],
            "lifecycle": {"installed": "/installed"},
            "modules": {"webhooks": [{"event": "jira:issue_created", "url": "/made"}]},
        });
        let app = Self { descriptor: Arc::new(descriptor.to_string()), told: Arc::default(), url };
        let served = app.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let app = served.clone();
                thread::spawn(move || while app.answer(&stream).is_some() {});
            }
        });
        app
    }

    /// Answers one request; `None` when the connection is over.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if first.contains(" /made ") {
            let body: Json = serde_json::from_slice(&body).unwrap();
            self.told.lock().unwrap().insert(body["issue"]["key"].as_str().unwrap().to_owned());
        }
        let text = if first.contains("descriptor") { self.descriptor.as_str() } else { "{}" };
        write!(&mut &*stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok()
    }

    fn told(&self) -> HashSet<String> {
        self.told.lock().unwrap().clone()
    }
}

#[test]
fn every_acknowledged_change_is_told_after_a_power_cut_and_nothing_else() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let server = Server::demo(&data, &[]);
    let app = App::start();
    let (ada, cleo) = (server.person("Ada"), server.person("Cleo"));
    let install = json!({"descriptorUrl": format!("{}/descriptor", app.url)});
    let mut client = Client::connect(server.address).unwrap();
    let (status, answer) = client.send(Some(&ada), "POST", "/api/portcullis/v1/connect-apps", Some(&install)).unwrap();
    assert_eq!(status, 201, "{answer}");
    let address = server.address;
    let acknowledged: HashSet<String> = thread::scope(|scope| {
        let write = |writer: usize| {
            let (mut client, mut made) = (Client::connect(address).unwrap(), HashSet::new());
            for number in 0.. {
                let issue = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": format!("{writer} {number}")}});
                match client.send(Some(&cleo), "POST", "/rest/api/3/issue", Some(&issue)) {
                    Ok((201, answer)) => made.insert(answer["key"].as_str().unwrap().to_owned()),
                    Ok(other) => panic!("{other:?}"),
                    // What a connection says when it breaks off is no answer.
                    Err(_) => break,
                };
            }
            made
        };
        let threads: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        wait_for("webhooks", || (app.told().len() >= TOLD_MIN).then_some(()));
        server.cut();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(server.ended().code(), None, "ended by a signal");
    let before = app.told();
    let server = Server::demo(&data, &[]);
    wait_for("the rest of the webhooks", || acknowledged.is_subset(&app.told()).then_some(()));
    // A moment more, for what would be told and should not be.
    thread::sleep(Duration::from_millis(300));
    let mut client = Client::connect(server.address).unwrap();
    for key in app.told() {
        let (status, _) =
            client.send(Some(&cleo), "GET", &format!("/rest/api/3/issue/{key}?fields=summary"), None).unwrap();
        assert_eq!(status, 200, "{key} was told and is not there");
    }
    assert!(before.len() >= TOLD_MIN);
}
