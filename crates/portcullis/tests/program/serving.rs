//! The server as a process: ready, stopped, two on one database, backed up while it works, demo started again.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value as Json, json};

use crate::run::{Client, Folder, Server, demo_arguments, head, portcullis, wait_for};

/// A configuration that serves the database of a demo, or a copy of it.
fn configuration(folder: &Folder, database: &Path, key: &Path) -> PathBuf {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nbase_url = \"http://127.0.0.1\"\nkey_file = {key:?}\n[database]\nsqlite = {database:?}\n"
    );
    folder.write("serve.toml", &text)
}

pub fn new_issue(summary: &str) -> Json {
    json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": summary}})
}

fn summary_of(server: &Server, person: &crate::run::Person, key: &str) -> Json {
    let (status, issue) = server.get(person, &format!("/rest/api/3/issue/{key}?fields=summary"));
    assert_eq!(status, 200, "{issue}");
    issue["fields"]["summary"].clone()
}

fn refused_by(arguments: &[PathBuf]) -> String {
    portcullis(arguments).refused()
}

#[test]
fn stopped_server_finishes_the_request_in_flight() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let server = Server::demo(&data, &[]);
    let ben = server.person("Ben");
    let body = new_issue("Written while stopping").to_string();
    let (first, rest) = body.split_at(body.len() / 2);
    let mut client = Client::connect(server.address).unwrap();
    let head = head(Some(&ben), "POST", "/rest/api/3/issue", body.len());
    client.write(&format!("{head}Expect: 100-continue\r\n\r\n")).unwrap();
    // Now the server is known to be in the middle of this request.
    assert_eq!(client.answer_head().unwrap().0, 100);
    client.write(first).unwrap();

    server.terminate();
    wait_for("the end of listening", || TcpStream::connect(server.address).err());
    client.write(rest).unwrap();

    let (status, made) = client.answer().unwrap();
    assert_eq!(status, 201, "{made}");
    let status = server.ended();
    assert_eq!(status.code(), Some(0), "{status}");
    let server = Server::demo(&data, &[]);
    assert_eq!(summary_of(&server, &ben, made["key"].as_str().unwrap()), "Written while stopping");
    server.stop();
}

#[test]
fn serve_is_well_and_alone_on_its_database() {
    let folder = Folder::new();
    let config = folder.path("portcullis.toml");
    let text = config.to_str().unwrap();
    let init = ["init", "--config", text, "--email", "ada@acme.example", "--listen", "127.0.0.1:0"];
    portcullis(&init).ok();

    let server = Server::serve(&config);

    assert_eq!(server.anonymous("/healthz").0, 200);
    assert_eq!(server.anonymous("/readyz").0, 200);
    // Off unless the configuration says so.
    assert_eq!(server.anonymous("/_emulator/clock").0, 404);
    let in_use =
        |line: String| assert!(line.contains("database is in use: ") && line.contains(".lock` is locked"), "{line}");
    in_use(portcullis(&["serve", "--config", text]).refused());
    let line = portcullis(&["admin", "user", "list", "--config", text]).refused();
    assert!(line.starts_with("while the server runs, use its management API at http://127.0.0.1:0/api/"), "{line}");
    in_use(line);
    let doctor = portcullis(&["doctor", "--config", text]).ok();
    assert!(doctor.contains("ok   the database is in use by a running server\n"), "{doctor}");
    assert_eq!(server.anonymous("/readyz").0, 200);
    server.stop();
    assert!(portcullis(&["admin", "user", "list", "--config", text]).ok().contains("ada@acme.example"));
}

#[test]
fn the_walls_around_apps_code_are_told_when_ready_and_in_the_audit_log() {
    let folder = Folder::new();
    let config = folder.path("portcullis.toml");
    let text = config.to_str().unwrap();
    portcullis(&["init", "--config", text, "--email", "ada@acme.example", "--listen", "127.0.0.1:0"]).ok();
    let server = Server::serve(&config);

    let words = wait_for("a look at the sandbox", || {
        let (_, words) = server.anonymous("/readyz?verbose");
        let words = words.as_str().unwrap().to_owned();
        (!words.contains("sandbox: not looked at yet")).then_some(words)
    });
    assert!(words.starts_with("ready\ndatabase: answers\nsandbox: system-call filter on, Landlock "), "{words}");
    assert_eq!(server.anonymous("/readyz").1, "ready\n");
    server.stop();

    let audit = portcullis(&["audit", "--operation", "look_at_sandbox", "--json", "--config", text]).json();
    let entry = &audit["values"][0];
    assert_eq!(
        (&entry["subject"], &entry["after"]["walls"]["system-call filter"]),
        (&json!("system:look_at_sandbox"), &json!(true)),
        "{audit:#}"
    );
}

#[test]
fn backup_under_load_is_whole_and_restores() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let server = Server::demo(&data, &[]);
    let (ada, ben) = (server.person("Ada"), server.person("Ben"));
    let backup = folder.path("monday.db");
    let over = AtomicBool::new(false);
    let (before, made) = thread::scope(|scope| {
        let (acknowledged, count) = std::sync::mpsc::channel();
        let (address, ben, over) = (server.address, &ben, &over);
        let writer = scope.spawn(move || {
            let mut client = Client::connect(address).unwrap();
            let mut made = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let summary = format!("Under load {}", made.len());
                let (status, issue) =
                    client.send(Some(ben), "POST", "/rest/api/3/issue", Some(&new_issue(&summary))).unwrap();
                if status == 201 {
                    made.push((issue["key"].as_str().unwrap().to_owned(), summary));
                    let _ = acknowledged.send(());
                }
            }
            made
        });
        for _ in 0..20 {
            count.recv().unwrap();
        }
        let arguments =
            ["backup", "--database", data.join("portcullis.db").to_str().unwrap(), "--to"].map(PathBuf::from);
        let out = portcullis(&[&arguments[..], std::slice::from_ref(&backup)].concat()).ok();
        assert_eq!(out, format!("Wrote `{}`.\n", backup.display()));
        for _ in 0..5 {
            count.recv().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        (20, writer.join().unwrap())
    });
    assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

    let restore = |to: &Path, more: &[&str]| {
        let mut arguments: Vec<PathBuf> = vec!["restore".into(), "--from".into(), backup.clone(), "--database".into()];
        arguments.push(to.to_owned());
        arguments.extend(more.iter().map(PathBuf::from));
        portcullis(&arguments)
    };
    let line = restore(&data.join("portcullis.db"), &["--overwrite"]).refused();
    assert!(line.starts_with("nothing was restored: database is in use"), "{line}");
    server.stop();
    let line = restore(&data.join("portcullis.db"), &[]).refused();
    assert!(line.ends_with("exists already"), "{line}");
    let elsewhere = folder.path("elsewhere.db");
    let out = restore(&elsewhere, &[]).ok();
    assert_eq!(out, format!("Restored `{}` from `{}`.\n", elsewhere.display(), backup.display()));

    let server = Server::serve(&configuration(&folder, &elsewhere, &data.join("sealing.key")));
    for (key, summary) in &made[..before] {
        assert_eq!(summary_of(&server, &ada, key), *summary);
    }
    // What came in while the copy was made is in it up to one moment, and nothing after that.
    let there: Vec<bool> = made
        .iter()
        .map(|(key, _)| server.get(&ada, &format!("/rest/api/3/issue/{key}?fields=summary")).0 == 200)
        .collect();
    assert!(there.is_sorted_by(|earlier, later| earlier >= later), "{there:?}");
    // It is a site like any other: it takes writes.
    let body = new_issue("After the restore");
    let mut client = Client::connect(server.address).unwrap();
    let (status, issue) = client.send(Some(&ben), "POST", "/rest/api/3/issue", Some(&body)).unwrap();
    assert_eq!(status, 201, "{issue}");
    server.stop();

    let damaged = folder.write("damaged.db", "not a database");
    let arguments = [Path::new("restore"), "--from".as_ref(), &damaged, "--database".as_ref(), &folder.path("new.db")];
    let line = refused_by(&arguments.map(Path::to_owned));
    assert!(line.starts_with("nothing was restored: `") && !folder.path("new.db").exists(), "{line}");
}

#[test]
fn demo_keeps_its_site_until_a_fresh_one_is_asked_for() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let first = Server::demo(&data, &[]);
    for private in ["card.json", "people.json", "sealing.key", "portcullis.db"] {
        let mode = fs::metadata(data.join(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{private}");
    }
    let card = first.card.clone();
    let names: Vec<&str> =
        card["people"].as_array().unwrap().iter().map(|person| person["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Ada", "Ben", "Cleo", "Dan"]);
    assert_eq!(card["projects"], json!([{"key": "DEMO", "id": "10000"}, {"key": "VAULT", "id": "10001"}]));
    assert_eq!(first.get(&first.person("Cleo"), "/rest/api/3/issue/VAULT-1").0, 404);

    // A second one on the folder, fresh or not, is told so and takes nothing away.
    let line = refused_by(&demo_arguments(&data, &[]));
    assert!(line.contains("database is in use"), "{line}");
    let line = refused_by(&demo_arguments(&data, &["--fresh"]));
    assert!(line.starts_with("a demo is running on this folder: "), "{line}");
    assert_eq!(serde_json::from_slice::<Json>(&fs::read(data.join("card.json")).unwrap()).unwrap(), card);
    assert_eq!(first.get(&first.person("Cleo"), "/rest/api/3/issue/DEMO-1").0, 200);
    first.stop();

    let second = Server::demo(&data, &[]);
    assert_eq!((&second.card["people"], &second.card["projects"]), (&card["people"], &card["projects"]));
    assert_eq!(second.card["site"]["cloud_id"], card["site"]["cloud_id"]);
    let ada = second.person("Ada");
    assert_eq!(second.get(&ada, "/rest/api/3/myself").0, 200);
    second.stop();

    let fresh = Server::demo(&data, &["--fresh"]);
    assert_ne!(fresh.card["site"]["cloud_id"], card["site"]["cloud_id"]);
    for (new, old) in fresh.card["people"].as_array().unwrap().iter().zip(card["people"].as_array().unwrap()) {
        assert_eq!(new["email"], old["email"]);
        assert!(new["api_token"] != old["api_token"] && new["password"] != old["password"]);
    }
    assert_eq!(fresh.get(&ada, "/rest/api/3/myself").0, 401);
    assert_eq!(fresh.get(&fresh.person("Ada"), "/rest/api/3/myself").0, 200);
    fresh.stop();
}

#[test]
fn half_made_demo_is_made_anew() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let first = Server::demo(&data, &[]);
    let card = first.card.clone();
    first.stop();
    // As if the power had gone before the last step, and the disk had lost a part of the database.
    fs::rename(data.join("people.json"), data.join("demo.unfinished")).unwrap();
    fs::write(data.join("portcullis.db"), "half").unwrap();

    let second = Server::demo(&data, &[]);

    assert_ne!(second.card["site"]["cloud_id"], card["site"]["cloud_id"]);
    assert_eq!(second.get(&second.person("Ada"), "/rest/api/3/myself").0, 200);
    assert!(!data.join("demo.unfinished").exists());
    second.stop();
}

#[test]
fn card_appears_only_when_the_server_answers() {
    let folder = Folder::new();
    let data = folder.path("demo");
    Server::demo(&data, &[]).stop();
    let old = fs::read_to_string(data.join("card.json")).unwrap();
    let card = folder.write("elsewhere/card.json", &old);

    let more = ["--card", card.to_str().unwrap()];
    let server = Server::start_demo(&data, &more);

    let base_url = wait_for("another card", || {
        let text = fs::read_to_string(&card).ok().filter(|text| *text != old)?;
        let card: Json = serde_json::from_str(&text).expect("a card appears whole");
        Some(card["base_url"].as_str().unwrap().to_owned())
    });
    let address = base_url.strip_prefix("http://").unwrap().parse().unwrap();
    let (status, _) = Client::connect(address).unwrap().send(None, "GET", "/healthz", None).unwrap();
    assert_eq!(status, 200);
    server.stop();
}
