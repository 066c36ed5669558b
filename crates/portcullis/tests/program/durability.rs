//! A power cut under load: what was acknowledged is there with its audit entry, and nothing is half-made.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value as Json;

use crate::run::{Client, Folder, Person, Server, wait_for};
use crate::serving::new_issue;

const THREADS: usize = 4;
/// Acknowledged issues after which the power goes.
const ACKNOWLEDGED_MIN: usize = 60;

/// Creates issues until the server is gone; key and summary of those that were acknowledged.
fn create_until_cut(address: SocketAddr, person: &Person, name: &str, count: &AtomicUsize) -> Vec<(String, String)> {
    let mut client = Client::connect(address).unwrap();
    let mut made = Vec::new();
    for number in 0.. {
        let summary = format!("{name} {number}");
        match client.send(Some(person), "POST", "/rest/api/3/issue", Some(&new_issue(&summary))) {
            Ok((201, issue)) => {
                made.push((issue["key"].as_str().unwrap().to_owned(), summary));
                count.fetch_add(1, Ordering::Relaxed);
            }
            // Too fast for one account: not acknowledged, so nothing is promised.
            Ok((429, _)) => {}
            Ok((status, answer)) => panic!("{status} {answer}"),
            Err(_) => break,
        }
    }
    made
}

/// Every issue of DEMO: key to id, summary and creator.
fn issues(server: &Server, ada: &Person) -> BTreeMap<String, (String, String, String)> {
    let mut out = BTreeMap::new();
    let mut page = String::new();
    loop {
        let fields = "fields=summary,creator,status&maxResults=100";
        let (status, answer) = server.get(ada, &format!("/rest/api/3/search/jql?jql=project=DEMO&{fields}{page}"));
        assert_eq!(status, 200, "{answer}");
        for issue in answer["issues"].as_array().unwrap() {
            let text = |pointer: &str| issue.pointer(pointer).and_then(Json::as_str).unwrap().to_owned();
            assert_eq!(text("/fields/status/name"), "To Do");
            let facts = (text("/id"), text("/fields/summary"), text("/fields/creator/accountId"));
            out.insert(text("/key"), facts);
        }
        match answer["nextPageToken"].as_str() {
            Some(token) => page = format!("&nextPageToken={token}"),
            None => return out,
        }
    }
}

#[test]
fn acknowledged_issues_survive_a_power_cut() {
    let folder = Folder::new();
    let data = folder.path("demo");
    let mut server = Server::demo(&data, &[]);
    let before = issues(&server, &server.person("Ada")).len();
    let mut acknowledged = Vec::new();
    // Twice, so that a database that was recovered once is cut again.
    for round in 0..2 {
        let people = ["Ada", "Ben", "Cleo", "Ben"].map(|name| server.person(name));
        let count = AtomicUsize::new(0);
        let (address, count) = (server.address, &count);
        let made = thread::scope(|scope| {
            let start = |at: usize| {
                let (person, name) = (&people[at], format!("Round {round} thread {at} issue"));
                scope.spawn(move || create_until_cut(address, person, &name, count))
            };
            let threads: Vec<_> = (0..THREADS).map(start).collect();
            wait_for("enough issues", || (count.load(Ordering::Relaxed) >= ACKNOWLEDGED_MIN).then_some(()));
            server.cut();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(made.len() >= ACKNOWLEDGED_MIN);
        assert_eq!(server.ended().code(), None, "ended by a signal");
        acknowledged.extend(made);

        server = Server::demo(&data, &[]);
        let ada = server.person("Ada");
        let there = issues(&server, &ada);
        for (key, summary) in &acknowledged {
            assert_eq!(there.get(key).map(|(_, there, _)| there), Some(summary), "{key} was acknowledged");
        }
        // At most one request of each thread was in flight at each cut.
        let unasked = there.len() - before - acknowledged.len();
        assert!(unasked <= THREADS * (round + 1), "{unasked} issues that nobody was told of");
        // Numbers are given in the transaction that makes the issue: a hole would be an issue of which a part was kept.
        for number in 1..=there.len() {
            assert!(there.contains_key(&format!("DEMO-{number}")), "DEMO-{number} is missing of {}", there.len());
        }

        // One audit entry for each issue, and none for an issue that is not there.
        let audit = server.all(&ada, "/api/portcullis/v1/audit?operation=createIssue");
        let mut entries: Vec<(String, String, String)> = audit
            .iter()
            .filter(|entry| entry["after"]["key"].as_str().unwrap().starts_with("DEMO-"))
            .map(|entry| {
                assert_eq!(entry["outcome"], "allowed");
                let text = |pointer: &str| entry.pointer(pointer).and_then(Json::as_str).unwrap().to_owned();
                (text("/after/key"), text("/target"), text("/subject"))
            })
            .collect();
        entries.sort_unstable();
        // In the order of their keys, as the map is.
        let expected: Vec<(String, String, String)> =
            there.into_iter().map(|(key, (id, _, creator))| (key, format!("issue:{id}"), creator)).collect();
        assert_eq!(entries, expected);
    }
    server.stop();
}
