//! The first gate: scripts with e-mail and API token, on both engines.

use portcullis_testkit::world::{Engine, World};
use serde_json::json;

const PROJECT: &str = "/rest/api/3/project/DEMO";

#[tokio::test]
async fn renaming_a_project_needs_administer_projects() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;

        let refused = world.by("Cleo").put(PROJECT, json!({"name": "Cleo's"})).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(refused.at("/errorMessages/0").contains("ADMINISTER_PROJECTS"), "{}", refused.text);
        assert_eq!(world.by("Ben").get(PROJECT).await.at("/name"), "Demo");

        let renamed = world.by("Ben").put(PROJECT, json!({"name": "Renamed"})).await;
        assert_eq!((renamed.status, renamed.at("/name")), (200, "Renamed".to_owned()), "{}", renamed.text);
        assert_eq!(world.by("Cleo").get(PROJECT).await.at("/name"), "Renamed");
    }
}

#[tokio::test]
async fn changing_key_or_scheme_needs_administer_jira() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        for body in [json!({"key": "OTHER"}), json!({"permissionScheme": 10000}), json!({"notificationScheme": 1})] {
            let refused = world.by("Ben").put(PROJECT, body.clone()).await;
            assert_eq!(refused.status, 403, "{body} {}", refused.text);
        }
        let same_key = world.by("Ben").put(PROJECT, json!({"key": "DEMO", "name": "Still Ben's"})).await;
        assert_eq!(same_key.status, 200, "the key it has already is no change: {}", same_key.text);
        let moved = world.by("Ada").put(PROJECT, json!({"key": "OTHER"})).await;
        // Ada administers Jira but not the project; the row asks for ADMINISTER when the key changes.
        assert_eq!(moved.status, 200, "{}", moved.text);
        assert_eq!(
            world.by("Ben").get("/rest/api/3/issue/DEMO-1").await.at("/key"),
            "OTHER-1",
            "old keys keep finding it"
        );
    }
}

#[tokio::test]
async fn vault_does_not_exist_for_cleo() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let everywhere = [
            "/rest/api/3/project",
            "/rest/api/3/project/search",
            "/rest/api/3/project/search?query=vault",
            "/rest/api/3/project/recent",
            "/rest/api/3/issue/createmeta",
            "/rest/api/3/search/jql?jql=project%20is%20not%20EMPTY&fields=*all&maxResults=100",
            "/rest/api/3/search/jql?jql=NOT%20project%20%3D%20DEMO&fields=*all",
            "/rest/api/3/search/jql?jql=text%20~%20signing&fields=*all",
            "/rest/api/3/issue/picker?query=signing",
            "/rest/api/3/user/search?query=ada",
            "/rest/api/3/label",
            "/rest/api/3/role",
            "/rest/api/2/project",
        ];
        for path in everywhere {
            let answer = cleo.get(path).await;
            let low = answer.text.to_lowercase();
            assert!(!low.contains("vault") && !low.contains("signing"), "{path} tells of VAULT: {}", answer.text);
        }
        for (hidden, absent) in [
            ("/rest/api/3/issue/VAULT-1", "/rest/api/3/issue/NOPE-1"),
            ("/rest/api/3/project/VAULT", "/rest/api/3/project/NOPE"),
            ("/rest/api/3/search/jql?jql=project%3DVAULT", "/rest/api/3/search/jql?jql=project%3DNOPE"),
            ("/rest/api/3/search/jql?jql=key%3DVAULT-1", "/rest/api/3/search/jql?jql=key%3DNOPE-1"),
            ("/rest/api/3/search/jql?jql=project%21%3DVAULT", "/rest/api/3/search/jql?jql=project%21%3DNOPE"),
            (
                "/rest/api/3/mypermissions?permissions=BROWSE_PROJECTS&projectKey=VAULT",
                "/rest/api/3/mypermissions?permissions=BROWSE_PROJECTS&projectKey=NOPE",
            ),
            ("/rest/api/3/user/assignable/search?project=VAULT", "/rest/api/3/user/assignable/search?project=NOPE"),
            ("/browse/VAULT-1", "/browse/NOPE-1"),
        ] {
            let (hidden, absent) = (cleo.get(hidden).await, cleo.get(absent).await);
            assert_eq!((hidden.status, hidden.text.replace("VAULT", "NOPE")), (absent.status, absent.text.clone()));
        }
        let count = |who: &'static str| {
            let world = &world;
            async move {
                let body = json!({"jql": "project is not EMPTY"});
                world.by(who).post("/rest/api/3/search/approximate-count", body).await.at("/count")
            }
        };
        assert_eq!((count("Cleo").await, count("Ben").await), ("3".to_owned(), "4".to_owned()));
    }
}

#[tokio::test]
async fn dan_has_no_access_to_jira() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let dan = world.by("Dan");
        assert_eq!(dan.get("/rest/api/3/issue/DEMO-1").await.status, 404);
        assert_eq!(dan.get("/rest/api/3/project/search").await.at("/total"), "0");
        assert_eq!(dan.get("/rest/api/3/myself").await.status, 403);
        let body = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x"}});
        assert_eq!(dan.post("/rest/api/3/issue", body).await.status, 400);
        assert_eq!(dan.get("/rest/auth/1/session").await.status, 200, "it is his account all the same");
    }
}

#[tokio::test]
async fn an_issue_lives_from_creation_to_deletion() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ben = world.by("Ben");
        let fields =
            json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "Life", "labels": ["one"]});
        let made = ben.post("/rest/api/3/issue", json!({"fields": fields})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let issue = format!("/rest/api/3/issue/{}", made.at("/key"));

        assert_eq!(ben.put(&issue, json!({"fields": {"summary": "Longer life"}})).await.status, 204);
        let doc = json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "Hello"}]}]});
        assert_eq!(ben.post(&format!("{issue}/comment"), json!({"body": doc})).await.status, 201);
        let transitions = ben.get(&format!("{issue}/transitions")).await;
        let done = transitions.json()["transitions"].as_array().unwrap().iter().find(|t| t["name"] == "Done").unwrap()
            ["id"]
            .clone();
        assert_eq!(ben.post(&format!("{issue}/transitions"), json!({"transition": {"id": done}})).await.status, 204);

        let read = ben.get(&issue).await;
        assert_eq!(read.at("/fields/summary"), "Longer life");
        assert_eq!(read.at("/fields/status/name"), "Done");
        assert_eq!(read.at("/fields/resolution/name"), "Done");
        assert_eq!(read.at("/fields/comment/total"), "1");
        let found = ben.get("/rest/api/3/search/jql?jql=summary~longer%20AND%20status%3DDone&fields=summary").await;
        assert_eq!(found.at("/issues/0/key"), made.at("/key"), "{}", found.text);

        let refused = world.by("Cleo").delete(&issue).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert_eq!(ben.delete(&issue).await.status, 204);
        assert_eq!(ben.get(&issue).await.status, 404);
    }
}

#[tokio::test]
async fn a_refusal_explains_itself_to_those_entitled() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let refused = world.by("Cleo").put(PROJECT, json!({"name": "Cleo's"})).await;
        let path = format!("/api/portcullis/v1/decisions/{}", refused.header("portcullis-decision").unwrap());

        let to_ada = world.by("Ada").get(&path).await;
        assert_eq!(to_ada.status, 200, "{}", to_ada.text);
        assert!(to_ada.text.contains("ADMINISTER_PROJECTS") && to_ada.text.contains("DEMO"), "{}", to_ada.text);
        let to_cleo = world.by("Cleo").get(&path).await;
        assert_eq!(to_cleo.status, 200, "{}", to_cleo.text);
        assert!(to_cleo.text.contains("ADMINISTER_PROJECTS"), "{}", to_cleo.text);
        assert_eq!(world.by("Ben").get(&path).await.status, 404, "somebody else's refusal");

        let hidden = world.by("Cleo").get("/rest/api/3/issue/VAULT-1").await;
        let absent = world.by("Cleo").get("/rest/api/3/issue/NOPE-1").await;
        let explain = |answer: &portcullis_testkit::world::Answer| {
            format!("/api/portcullis/v1/decisions/{}", answer.header("portcullis-decision").unwrap())
        };
        let (hidden, absent) =
            (world.by("Cleo").get(&explain(&hidden)).await, world.by("Cleo").get(&explain(&absent)).await);
        assert_eq!(hidden.status, 200, "{}", hidden.text);
        assert!(!hidden.text.contains("10001"), "tells of the project: {}", hidden.text);
        let shape = |text: &str| text.replace("VAULT", "NOPE").len();
        assert!(shape(&hidden.text).abs_diff(shape(&absent.text)) < 40, "{}\n{}", hidden.text, absent.text);
    }
}

#[tokio::test]
async fn writes_and_refusals_are_in_the_audit_log() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        world.by("Ben").put(PROJECT, json!({"name": "Audited"})).await;
        world.by("Cleo").put(PROJECT, json!({"name": "Refused"})).await;
        world.gateway.guard().flush_refusals().await.unwrap();
        let log = world.by("Ada").get("/api/portcullis/v1/audit?operation=updateProject").await;
        assert_eq!(log.status, 200, "{}", log.text);
        let entries = log.json()["values"].as_array().cloned().unwrap_or_default();
        let find =
            |outcome: &str| entries.iter().find(|entry| entry["outcome"] == outcome).cloned().unwrap_or_default();
        assert_eq!(find("allowed")["subject"], world.person("Ben").account_id.as_str());
        assert!(find("allowed").to_string().contains("Audited"), "before and after: {}", find("allowed"));
        assert_eq!(find("denied")["subject"], world.person("Cleo").account_id.as_str());
        assert!(find("denied").to_string().contains("ADMINISTER_PROJECTS"), "{}", find("denied"));
        assert!(!log.text.contains(&world.person("Ben").api_token), "no secret in the log");
        assert_eq!(world.by("Cleo").get("/api/portcullis/v1/audit").await.status, 403);
    }
}

#[tokio::test]
async fn a_deleted_project_waits_in_the_trash() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        // Jira answers 404 to who may not delete the project.
        assert_eq!(world.by("Ben").delete("/rest/api/3/project/DEMO").await.status, 404);
        assert_eq!(world.by("Ada").delete("/rest/api/3/project/DEMO").await.status, 204);
        assert_eq!(world.by("Ben").get("/rest/api/3/issue/DEMO-1").await.status, 404);
        assert_eq!(world.by("Ada").get("/rest/api/3/project/DEMO").await.status, 404);
        let trash = world.by("Ada").get("/api/portcullis/v1/trash/projects").await;
        assert!(trash.text.contains("DEMO"), "{}", trash.text);
        let restored = world.by("Ada").post("/rest/api/3/project/DEMO/restore", json!({})).await;
        assert_eq!(restored.status, 200, "{}", restored.text);
        assert_eq!(world.by("Ben").get("/rest/api/3/issue/DEMO-1").await.status, 200);
    }
}

#[tokio::test]
async fn deactivation_ends_every_credential_at_once() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ben = world.person("Ben").clone();
        let gone =
            world.by("Ada").post(&format!("/api/portcullis/v1/users/{}/deactivate", ben.account_id), json!({})).await;
        assert!(gone.status == 200 || gone.status == 204, "{}", gone.text);
        assert_eq!(world.by("Ben").get("/rest/api/3/myself").await.status, 401);
        let back =
            world.by("Ada").post(&format!("/api/portcullis/v1/users/{}/activate", ben.account_id), json!({})).await;
        assert!(back.status == 200 || back.status == 204, "{}", back.text);
        assert_eq!(world.by("Ben").get("/rest/api/3/myself").await.status, 401, "ended credentials stay ended");
    }
}

#[tokio::test]
async fn site_policy_can_forbid_and_shorten_tokens() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let set = |key: &'static str, value: serde_json::Value| {
            let world = &world;
            async move { world.by("Ada").put(&format!("/api/portcullis/v1/settings/{key}"), json!({"value": value})).await }
        };
        let shortened = set("api_tokens.days_max", json!(30)).await;
        assert!(shortened.status == 200 || shortened.status == 204, "{}", shortened.text);
        let make = |days: i64| {
            let world = &world;
            async move {
                let body = json!({"label": "long", "days": days});
                world.by("Cleo").post("/api/portcullis/v1/me/api-tokens", body).await.status
            }
        };
        assert_eq!((make(31).await, make(30).await), (400, 201));
        world.clock.advance_ms(29 * 86_400_000);
        assert_eq!(world.by("Cleo").get("/rest/api/3/myself").await.status, 200);
        world.clock.advance_ms(2 * 86_400_000);
        assert_eq!(world.by("Cleo").get("/rest/api/3/myself").await.status, 401, "older than the site allows");
    }
}

#[tokio::test]
async fn strict_mode_answers_a_wrong_token_with_401() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let wrong = world.with_basic("ben@acme.example", "wrong");
        let lenient = wrong.get("/rest/api/3/project/search").await;
        assert_eq!((lenient.status, lenient.at("/total")), (200, "0".to_owned()));
        assert_eq!(lenient.header("x-seraph-loginreason"), Some("AUTHENTICATED_FAILED"));
        world.by("Ada").put("/api/portcullis/v1/settings/basic.failed_is_anonymous", json!({"value": false})).await;
        let strict = wrong.get("/rest/api/3/project/search").await;
        assert_eq!(strict.status, 401, "{}", strict.text);
        assert_eq!(strict.header("www-authenticate"), Some("Basic realm=\"Portcullis\""));
        assert_eq!(strict.header("x-seraph-loginreason"), Some("AUTHENTICATED_FAILED"));
    }
}

#[tokio::test]
async fn failed_attempts_are_slowed_and_the_owner_is_not_locked_out() {
    let world = World::start(Engine::Sqlite).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(world.with_basic("ben@acme.example", "wrong").get("/rest/api/3/myself").await.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 30);
    assert_eq!(statuses.last(), Some(&429));
    assert_eq!(world.by("Ben").get("/rest/api/3/myself").await.status, 200, "the right token still works");
    world.clock.advance_ms(61_000);
    assert_eq!(world.with_basic("ben@acme.example", "wrong").get("/rest/api/3/myself").await.status, 401);
}
