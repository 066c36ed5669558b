//! What hangs on issues, over the wire and on both engines: comments, worklogs, attachments, links, watchers, votes. Each test says
//! what happens and what somebody outside does not learn of it.

use bytes::Bytes;
use portcullis_testkit::world::{Answer, Client, Engine, World};
use serde_json::{Value as Json, json};

fn paragraph(text: &str) -> Json {
    json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]})
}

fn pick<'a>(json: &'a Json, pointer: &str) -> &'a Json {
    json.pointer(pointer).unwrap_or(&Json::Null)
}

async fn new_issue(by: &Client<'_>, project: &str, summary: &str) -> (String, String) {
    let body = json!({"fields": {"project": {"key": project}, "issuetype": {"name": "Task"}, "summary": summary}});
    let answer = by.post("/rest/api/3/issue", body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    (answer.at("/id"), answer.at("/key"))
}

fn ids(answer: &Answer, list: &str) -> Vec<String> {
    let json = answer.json();
    let items = if list.is_empty() { json } else { pick(&json, list).clone() };
    items.as_array().into_iter().flatten().map(|item| pick(item, "/id").to_string().replace('"', "")).collect()
}

#[tokio::test]
async fn comments_are_written_listed_and_removed() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let (_, key) = new_issue(&cleo, "DEMO", "talk").await;
        let path = format!("/rest/api/3/issue/{key}/comment");

        let none = cleo.get(&path).await;
        assert_eq!(none.json(), json!({"comments": [], "startAt": 0, "maxResults": 100, "total": 0}));
        let first = cleo.post(&path, json!({"body": paragraph("first")})).await;
        assert_eq!(first.status, 201, "{}", first.text);
        assert_eq!(first.at("/created"), first.at("/updated"));
        assert_eq!(first.at("/author/accountId"), world.person("Cleo").account_id);
        assert_eq!(first.json().pointer("/visibility"), None);
        let id = first.at("/id");

        world.clock.advance_ms(5);
        let v2 = cleo.put(&format!("/rest/api/2/issue/{key}/comment/{id}"), json!({"body": "*edited*"})).await;
        assert_eq!((v2.status, v2.at("/body")), (200, "*edited*".to_owned()), "{}", v2.text);
        assert!(v2.at("/updated") > v2.at("/created"));
        let rendered = cleo.get(&format!("{path}/{id}?expand=renderedBody")).await;
        assert_eq!(rendered.at("/renderedBody"), "<p><b>edited</b></p>");
        assert_eq!(rendered.at("/body/type"), "doc");

        let second =
            cleo.post(&path, json!({"body": paragraph("second"), "properties": [{"key": "k", "value": 1}]})).await;
        let newest_first = cleo.get(&format!("{path}?orderBy=-created")).await;
        assert_eq!(ids(&newest_first, "/comments"), [second.at("/id"), id.clone()]);
        assert_eq!(cleo.get(&format!("{path}?orderBy=+created&startAt=1&maxResults=0")).await.at("/maxResults"), "1");
        assert_eq!(cleo.get(&format!("{path}?orderBy=body")).await.status, 400);
        let listed = cleo
            .post(
                "/rest/api/3/comment/list?expand=properties",
                json!({"ids": [second.at("/id").parse::<i64>().unwrap(), 1]}),
            )
            .await;
        assert_eq!(ids(&listed, "/values"), [second.at("/id")], "{}", listed.text);
        assert_eq!(listed.at("/values/0/properties"), r#"[{"key":"k","value":1}]"#);

        for (body, words) in [
            (json!({}), "Comment body can not be empty!"),
            (json!({"body": paragraph("  ")}), "Comment body can not be empty!"),
            (json!({"body": "text"}), "Comment body is not valid!"),
        ] {
            let answer = cleo.post(&path, body).await;
            assert_eq!(
                (answer.status, answer.json()),
                (400, json!({"errorMessages": [], "errors": {"comment": words}}))
            );
        }
        let (_, other) = new_issue(&cleo, "DEMO", "elsewhere").await;
        assert_eq!(cleo.get(&format!("/rest/api/3/issue/{other}/comment/{id}")).await.status, 404);
        assert_eq!(cleo.delete(&format!("{path}/{id}")).await.status, 204);
        assert_eq!(cleo.get(&format!("{path}/{id}")).await.status, 404);
        assert_eq!(cleo.get(&path).await.at("/total"), "1");
        assert_eq!(world.by("Dan").get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn a_restricted_comment_exists_for_its_readers_only() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let (_, key) = new_issue(&cleo, "DEMO", "secret talk").await;
        let path = format!("/rest/api/3/issue/{key}/comment");
        let admins = json!({"type": "role", "value": "Administrators"});

        let refused = cleo.post(&path, json!({"body": paragraph("x"), "visibility": admins})).await;
        assert_eq!(refused.status, 400);
        assert_eq!(
            refused.json(),
            json!({"errorMessages": [], "errors": {
                "commentLevel": "You are currently not a member of the project role: Administrators."}})
        );
        let unknown = json!({"type": "group", "value": "no-such-group"});
        let real = json!({"type": "group", "value": "jira-administrators"});
        for group in [unknown, real] {
            let answer = cleo.post(&path, json!({"body": paragraph("x"), "visibility": group})).await;
            let words =
                format!("You are currently not a member of the group: {}.", pick(&group, "/value").as_str().unwrap());
            assert_eq!((answer.status, answer.at("/errors/commentLevel")), (400, words));
        }
        assert_eq!(cleo.get(&path).await.at("/total"), "0");

        let hidden = ben.post(&path, json!({"body": paragraph("zebra"), "visibility": admins})).await;
        assert_eq!(hidden.status, 201, "{}", hidden.text);
        assert_eq!(hidden.at("/visibility/value"), "Administrators");
        let id = hidden.at("/id");
        let open = cleo.post(&path, json!({"body": paragraph("open")})).await.at("/id");

        assert_eq!(ids(&ben.get(&path).await, "/comments"), [id.clone(), open.clone()]);
        let seen = cleo.get(&path).await;
        assert_eq!((ids(&seen, "/comments"), seen.at("/total")), (vec![open.clone()], "1".to_owned()));
        let absent = cleo.get(&format!("{path}/99999999")).await;
        let asked = cleo.get(&format!("{path}/{id}")).await;
        assert_eq!((asked.status, asked.text), (404, absent.text));
        assert_eq!(cleo.put(&format!("{path}/{id}"), json!({"body": paragraph("mine")})).await.status, 404);
        assert_eq!(cleo.delete(&format!("{path}/{id}")).await.status, 404);
        let wanted = json!({"ids": [id.parse::<i64>().unwrap(), open.parse::<i64>().unwrap()]});
        let by_ids = cleo.post("/rest/api/3/comment/list", wanted).await;
        assert_eq!((ids(&by_ids, "/values"), by_ids.at("/total")), (vec![open.clone()], "1".to_owned()));
        let issue = cleo.get(&format!("/rest/api/3/issue/{key}?fields=comment")).await;
        assert_eq!(issue.at("/fields/comment/total"), "1", "{}", issue.text);
        assert!(!issue.text.contains("zebra"));

        // What an edit leaves out stays; `null` opens the comment to everyone.
        let kept = ben.put(&format!("{path}/{id}"), json!({"body": paragraph("zebra 2")})).await;
        assert_eq!(kept.at("/visibility/type"), "role", "{}", kept.text);
        assert_eq!(cleo.get(&format!("{path}/{id}")).await.status, 404);
        let opened = ben.put(&format!("{path}/{id}"), json!({"body": paragraph("zebra 3"), "visibility": null})).await;
        assert_eq!((opened.status, opened.json().pointer("/visibility").cloned()), (200, None));
        assert_eq!(cleo.get(&format!("{path}/{id}")).await.status, 200);
        // Being an administrator of Jira is no pass: only the group counts.
        let group = json!({"type": "group", "value": "jira-administrators"});
        let by_ada = ada.post(&path, json!({"body": paragraph("group"), "visibility": group})).await;
        assert_eq!(by_ada.status, 201, "{}", by_ada.text);
        assert_eq!(ben.get(&format!("{path}/{}", by_ada.at("/id"))).await.status, 404);
    }
}

#[tokio::test]
async fn worklogs_move_the_time_tracking_of_their_issue() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (issue_id, key) = new_issue(&cleo, "DEMO", "work").await;
        let path = format!("/rest/api/3/issue/{key}/worklog");
        let spent = async |by: &Client<'_>| {
            let answer = by.get(&format!("/rest/api/3/issue/{key}?fields=timetracking")).await;
            let json = answer.json();
            let at = |member: &str| pick(&json, &format!("/fields/timetracking/{member}")).as_i64();
            (at("timeSpentSeconds"), at("remainingEstimateSeconds"))
        };

        let new = cleo.post(&path, json!({"timeSpent": "1h 30m", "comment": paragraph("worked on it")})).await;
        assert_eq!(new.status, 201, "{}", new.text);
        assert_eq!((new.at("/timeSpentSeconds"), new.at("/timeSpent")), ("5400".to_owned(), "1h 30m".to_owned()));
        assert_eq!((new.at("/issueId"), new.at("/started")), (issue_id, new.at("/created")));
        assert_eq!(spent(&cleo).await, (Some(5_400), Some(0)));
        let one = format!("{path}/{}", new.at("/id"));
        assert_eq!(cleo.get(&one).await.at("/comment/type"), "doc");

        let update = format!("{one}?adjustEstimate=new&newEstimate=1d");
        let changed = cleo.put(&update, json!({"timeSpent": "2h"})).await;
        assert_eq!((changed.status, changed.at("/timeSpentSeconds")), (200, "7200".to_owned()), "{}", changed.text);
        assert_eq!(spent(&cleo).await, (Some(7_200), Some(28_800)));
        assert_eq!(cleo.post(&path, json!({"timeSpentSeconds": 900})).await.status, 201);
        assert_eq!(spent(&cleo).await, (Some(8_100), Some(27_900)));

        let limited = cleo.get(&format!("{path}?maxResults=1")).await;
        assert_eq!((ids(&limited, "/worklogs").len(), limited.at("/total")), (1, "2".to_owned()));
        let by_ids =
            cleo.post("/rest/api/3/worklog/list", json!({"ids": [new.at("/id").parse::<i64>().unwrap()]})).await;
        assert_eq!(ids(&by_ids, ""), [new.at("/id")], "{}", by_ids.text);

        for body in [
            json!({"timeSpent": "not a duration"}),
            json!({"timeSpentSeconds": 59}),
            json!({"timeSpentSeconds": -60}),
            json!({"comment": paragraph("no time")}),
            json!({"timeSpent": "1h", "started": "yesterday"}),
            json!({"timeSpent": "1h", "comment": "no document"}),
            json!({"timeSpent": ["1h"]}),
        ] {
            let answer = cleo.post(&path, body.clone()).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        }
        assert_eq!(spent(&cleo).await.0, Some(8_100));

        // Work that only administrators may know of.
        let admins = json!({"type": "role", "value": "Administrators"});
        let body = json!({"timeSpent": "4h", "visibility": admins, "comment": paragraph("zebra")});
        let hidden = ben.post(&format!("{path}?adjustEstimate=leave"), body).await;
        assert_eq!(hidden.status, 201, "{}", hidden.text);
        assert_eq!(cleo.get(&format!("{path}/{}", hidden.at("/id"))).await.status, 404);
        assert_eq!(cleo.get(&path).await.at("/total"), "2");
        assert_eq!(spent(&cleo).await.0, Some(8_100));
        assert_eq!(spent(&ben).await.0, Some(22_500));
        let log = cleo.get(&format!("/rest/api/3/issue/{key}/changelog")).await.text;
        assert!(log.contains("timespent") && !log.contains("22500"), "{log}");
        let feed = cleo.get("/rest/api/3/worklog/updated?since=0").await;
        assert!(!feed.text.contains(&format!("\"worklogId\":{}", hidden.at("/id"))), "{}", feed.text);
        assert_eq!(feed.at("/lastPage"), "true");

        assert_eq!(cleo.delete(&format!("{one}?adjustEstimate=manual&increaseBy=30m")).await.status, 204);
        assert_eq!(spent(&cleo).await, (Some(900), Some(29_700)));
        let gone = cleo.get("/rest/api/3/worklog/deleted?since=0").await;
        assert_eq!(gone.at("/values/0/worklogId"), new.at("/id"), "{}", gone.text);
    }
}

fn upload(files: &[(&str, &str, &[u8])]) -> Bytes {
    let mut body = Vec::new();
    for (name, kind, content) in files {
        body.extend_from_slice(b"--cut\r\n");
        let head = format!(
            "Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--cut--\r\n");
    Bytes::from(body)
}

#[tokio::test]
async fn attachments_are_served_as_downloads() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo").header("x-atlassian-token", "no-check");
        let (_, key) = new_issue(&cleo, "DEMO", "files").await;
        let path = format!("/rest/api/3/issue/{key}/attachments");
        let kind = Some("multipart/form-data; boundary=cut");

        let page = b"<script>alert(1)</script>";
        let files = upload(&[("page.html", "text/html", page), ("../b.txt", "text/plain; charset=utf-8", b"second")]);
        let answer = cleo.send_bytes("POST", &path, kind, files).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!((answer.at("/0/filename"), answer.at("/1/filename")), ("page.html".to_owned(), "b.txt".to_owned()));
        assert_eq!((answer.at("/0/size"), answer.at("/1/mimeType")), ("25".to_owned(), "text/plain".to_owned()));
        let id = answer.at("/0/id");

        let meta = cleo.get(&format!("/rest/api/3/attachment/{id}")).await;
        assert!(meta.json().pointer("/id").is_some_and(Json::is_i64), "{}", meta.text);
        let content = cleo.get(&format!("/rest/api/3/attachment/content/{id}")).await;
        assert_eq!((content.status, content.text.as_bytes()), (200, &page[..]));
        assert!(content.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
        assert_eq!(content.header("x-content-type-options"), Some("nosniff"));
        let issue = cleo.get(&format!("/rest/api/3/issue/{key}?fields=attachment")).await;
        assert_eq!(ids(&issue, "/fields/attachment"), ids(&answer, ""), "{}", issue.text);
        assert_eq!(world.by("Dan").get(&format!("/rest/api/3/attachment/content/{id}")).await.status, 404);
        assert_eq!(world.by("Dan").delete(&format!("/rest/api/3/attachment/{id}")).await.status, 404);

        assert_eq!(cleo.delete(&format!("/rest/api/3/attachment/{id}")).await.status, 204);
        assert_eq!(cleo.get(&format!("/rest/api/3/attachment/{id}")).await.status, 404);
        assert_eq!(cleo.get(&format!("/rest/api/3/attachment/content/{id}")).await.status, 404);
        let log = cleo.get(&format!("/rest/api/3/issue/{key}/changelog")).await;
        assert!(log.text.contains("page.html"), "{}", log.text);
        let settings = cleo.get("/rest/api/3/attachment/meta").await;
        assert_eq!(settings.json(), json!({"enabled": true, "uploadLimit": 20_971_520}));
    }
}

#[tokio::test]
async fn links_show_opposite_ends_and_never_a_hidden_issue() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (_, inward) = new_issue(&ben, "DEMO", "blocker").await;
        let (_, outward) = new_issue(&ben, "DEMO", "blocked").await;
        let (_, vault) = new_issue(&ben, "VAULT", "zebra").await;
        let body = |inward: &str, outward: &str| json!({"type": {"name": "Blocks"}, "inwardIssue": {"key": inward}, "outwardIssue": {"key": outward}});

        let made = ben.post("/rest/api/3/issueLink", body(&inward, &outward)).await;
        assert_eq!((made.status, made.text.as_str()), (201, ""));
        assert_eq!(ben.post("/rest/api/3/issueLink", body(&inward, &outward)).await.status, 201);
        let links = async |by: &Client<'_>, key: &str| {
            let answer = by.get(&format!("/rest/api/3/issue/{key}?fields=issuelinks")).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            pick(&answer.json(), "/fields/issuelinks").clone()
        };
        let (of_inward, of_outward) = (links(&ben, &inward).await, links(&ben, &outward).await);
        assert_eq!(pick(&of_inward, "/0/outwardIssue/key"), &json!(outward), "{of_inward}");
        assert_eq!(pick(&of_outward, "/0/inwardIssue/key"), &json!(inward), "{of_outward}");
        assert_eq!(pick(&of_outward, "/1"), &Json::Null);
        let id = pick(&of_inward, "/0/id").as_str().unwrap().to_owned();
        let read = ben.get(&format!("/rest/api/3/issueLink/{id}")).await;
        assert_eq!((read.at("/inwardIssue/key"), read.at("/outwardIssue/key")), (inward.clone(), outward.clone()));
        let log = ben.get(&format!("/rest/api/3/issue/{inward}/changelog")).await;
        assert!(log.text.contains(&format!("This issue blocks {outward}")), "{}", log.text);

        assert_eq!(ben.post("/rest/api/3/issueLink", body(&outward, &vault)).await.status, 201);
        let hidden_id = pick(&links(&ben, &vault).await, "/0/id").as_str().unwrap().to_owned();
        let seen = links(&cleo, &outward).await;
        assert_eq!(seen.as_array().map(Vec::len), Some(1), "{seen}");
        let asked = cleo.get(&format!("/rest/api/3/issueLink/{hidden_id}")).await;
        let absent = cleo.get("/rest/api/3/issueLink/99999999").await;
        assert_eq!((asked.status, asked.text), (404, absent.text));
        assert_eq!(cleo.delete(&format!("/rest/api/3/issueLink/{hidden_id}")).await.status, 404);
        let log = cleo.get(&format!("/rest/api/3/issue/{outward}/changelog")).await;
        assert!(!log.text.contains(&vault), "{}", log.text);
        let to_hidden = cleo.post("/rest/api/3/issueLink", body(&inward, &vault)).await;
        let to_nothing = cleo.post("/rest/api/3/issueLink", body(&inward, "NOSUCH-1")).await;
        assert_eq!((to_hidden.status, to_hidden.text), (404, to_nothing.text));
        assert_eq!(ben.post("/rest/api/3/issueLink", body(&inward, &inward)).await.status, 400);

        assert_eq!(ben.delete(&format!("/rest/api/3/issueLink/{id}")).await.status, 204);
        assert_eq!(ben.get(&format!("/rest/api/3/issueLink/{id}")).await.status, 404);
        assert_eq!(links(&ben, &inward).await, json!([]));
    }
}

#[tokio::test]
async fn remote_links_are_known_by_their_global_id() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ben = world.by("Ben").header("content-type", "application/json");
        let (_, key) = new_issue(&world.by("Ben"), "DEMO", "elsewhere").await;
        let path = format!("/rest/api/3/issue/{key}/remotelink");
        let by = world.by("Ben");
        let link = |url: &str, global: Json| json!({"globalId": global, "relationship": "documented by", "object": {"url": url, "title": "Spec"}});

        assert_eq!(by.get(&path).await.json(), json!([]));
        let new = by.post(&path, link("https://example.com/1", json!("g=1"))).await;
        assert_eq!(new.status, 201, "{}", new.text);
        assert!(new.json().pointer("/id").is_some_and(Json::is_i64));
        let again = by.post(&path, link("https://example.com/2", json!("g=1"))).await;
        assert_eq!((again.status, again.at("/id")), (200, new.at("/id")));
        assert_eq!(by.post(&path, link("https://example.com/3", Json::Null)).await.status, 201);
        let all = by.get(&path).await;
        assert_eq!(all.json().as_array().map(Vec::len), Some(2), "{}", all.text);
        assert_eq!(all.at("/0/object/url"), "https://example.com/2");
        assert_eq!(by.get(&format!("{path}?globalId=g%3D1")).await.at("/globalId"), "g=1");
        let bad = by.post(&path, link("javascript:alert(1)", Json::Null)).await;
        assert_eq!(bad.status, 400, "{}", bad.text);

        let one = format!("{path}/{}", new.at("/id"));
        assert_eq!(by.put(&one, link("https://example.com/4", json!("g=2"))).await.status, 204);
        assert_eq!(by.get(&one).await.at("/globalId"), "g=2");
        assert_eq!(ben.delete(&format!("{path}?globalId=g%3D1")).await.status, 404);
        assert_eq!(ben.delete(&format!("{path}?globalId=g%3D2")).await.status, 204);
        assert_eq!(by.get(&one).await.status, 404);
        assert_eq!(world.by("Dan").get(&path).await.status, 404);
    }
}

#[tokio::test]
async fn watchers_and_voters() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo, dan) = (world.by("Ben"), world.by("Cleo"), world.person("Dan").account_id.clone());
        let (id, key) = new_issue(&ben, "DEMO", "look").await;
        let path = format!("/rest/api/3/issue/{key}/watchers");
        let me = world.person("Cleo").account_id.clone();

        assert_eq!(cleo.post(&path, json!(me)).await.status, 204);
        assert_eq!(cleo.post(&path, json!(me)).await.status, 204);
        let list = cleo.get(&path).await;
        assert_eq!(list.at("/isWatching"), "true", "{}", list.text);
        assert!(list.text.contains(&me));
        let bulk = cleo.post("/rest/api/3/issue/watching", json!({"issueIds": [id, "1"]})).await;
        assert_eq!(bulk.json(), json!({"issuesIsWatching": {id.clone(): true, "1": false}}));
        // Others: only with the right, only people who exist, only those who see the issue.
        assert_eq!(cleo.post(&path, json!(world.person("Ben").account_id)).await.status, 403);
        assert_eq!(ben.post(&path, json!("no-such-account")).await.status, 404);
        assert_eq!(ben.post(&path, json!(dan)).await.status, 400);
        assert_eq!(ben.post(&path, json!({"accountId": me})).await.status, 400);
        assert_eq!(cleo.delete(&path).await.status, 400);
        assert_eq!(cleo.delete(&format!("{path}?accountId={me}")).await.status, 204);
        assert_eq!(cleo.get(&path).await.at("/isWatching"), "false");

        let votes = format!("/rest/api/3/issue/{key}/votes");
        assert_eq!(ben.send("POST", &votes, None).await.status, 204);
        assert_eq!(ben.send("POST", &votes, None).await.status, 204);
        assert_eq!(
            (ben.get(&votes).await.at("/votes"), ben.get(&votes).await.at("/hasVoted")),
            ("1".into(), "true".into())
        );
        assert_eq!(cleo.get(&votes).await.at("/hasVoted"), "false");
        assert_eq!(ben.delete(&votes).await.status, 204);
        assert_eq!(ben.delete(&votes).await.status, 204);
        assert_eq!(ben.get(&votes).await.at("/votes"), "0");
        assert_eq!(world.anonymous().send("POST", &votes, None).await.status, 404);
    }
}
