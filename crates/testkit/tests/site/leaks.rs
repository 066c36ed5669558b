//! Ways by which a caller once learned of, or changed, what it may not. Each test is one that was found open.

use portcullis_testkit::world::{Answer, Client, Engine, World};
use serde_json::{Value as Json, json};

fn ok(answer: Answer) -> Answer {
    assert!((200..300).contains(&answer.status), "{} {}", answer.status, answer.text);
    answer
}

async fn new_issue(by: &Client<'_>, fields: Json) -> String {
    let mut all = json!({"issuetype": {"name": "Task"}, "summary": "an issue"});
    for (name, value) in fields.as_object().into_iter().flatten() {
        all[name] = value.clone();
    }
    ok(by.post("/rest/api/3/issue", json!({"fields": all})).await).at("/key")
}

/// A scheme like the default one, with these grants in place of those for the same permissions.
async fn scheme_with(ada: &Client<'_>, name: &str, over: Json) -> String {
    let default = ok(ada.get("/rest/api/3/permissionscheme/0?expand=permissions").await).json();
    let mut grants = Vec::new();
    for grant in default["permissions"].as_array().unwrap() {
        let permission = grant["permission"].as_str().unwrap();
        if over.get(permission).is_none() {
            let holder = json!({"type": grant["holder"]["type"], "parameter": grant["holder"].get("parameter")});
            grants.push(json!({"permission": permission, "holder": holder}));
        }
    }
    for (permission, holders) in over.as_object().unwrap() {
        for holder in holders.as_array().unwrap() {
            grants.push(json!({"permission": permission, "holder": holder}));
        }
    }
    let body = json!({"name": name, "permissions": grants});
    ok(ada.post("/rest/api/3/permissionscheme", body).await).at("/id")
}

async fn new_project(world: &World, key: &str, more: Json) -> String {
    let mut body = json!({"key": key, "name": format!("Project {key}"), "projectTypeKey": "software",
                          "leadAccountId": world.person("Ada").account_id});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    ok(world.by("Ada").post("/rest/api/3/project", body).await).at("/id")
}

/// Levels that only a hidden project uses were offered to everybody, signed in or not, as soon as anybody might be in them.
#[tokio::test]
async fn levels_of_hidden_projects_are_neither_offered_nor_found() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ada = world.by("Ada");
        let levels = json!([{"name": "Layoffs", "members": [{"type": "anyone"}]},
                            {"name": "Merger", "members": [{"type": "reporter"}]}]);
        let body = json!({"name": "Secret levels", "levels": levels});
        let scheme = ok(ada.post("/rest/api/3/issuesecurityschemes", body).await).at("/id");
        ok(ada.put("/rest/api/3/project/VAULT", json!({"issueSecurityScheme": scheme})).await);
        let offered = "/rest/api/3/jql/autocompletedata/suggestions?fieldName=level&fieldValue=";
        assert!(ok(world.by("Ben").get(offered).await).text.contains("Layoffs"), "Ben is in VAULT");
        for by in [world.by("Cleo"), world.by("Dan"), world.anonymous()] {
            assert_eq!(ok(by.get(offered).await).text, r#"{"results":[]}"#);
            let count = |level: &'static str| json!({"jql": format!("level = {level}")});
            let hidden = by.post("/rest/api/3/search/approximate-count", count("Layoffs")).await;
            let unknown = by.post("/rest/api/3/search/approximate-count", count("Nothing")).await;
            assert_eq!((hidden.status, hidden.text), (400, unknown.text.replace("Nothing", "Layoffs")));
        }
    }
}

/// A level that an issue has left behind was named by the changelog to all who see the issue now.
#[tokio::test]
async fn changelogs_name_levels_to_those_in_them() {
    let world = World::start(Engine::Sqlite).await;
    let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
    let member = json!({"type": "user", "parameter": world.person("Ada").account_id});
    let body = json!({"name": "Levels", "levels": [{"name": "Layoffs", "members": [member]}]});
    let security = ok(ada.post("/rest/api/3/issuesecurityschemes", body).await).at("/id");
    let level = ok(ada.get(&format!("/rest/api/3/issuesecurityschemes/{security}")).await).at("/levels/0/id");
    let scheme =
        scheme_with(&ada, "May set levels", json!({"SET_ISSUE_SECURITY": [{"type": "applicationRole"}]})).await;
    new_project(&world, "LEV", json!({"permissionScheme": scheme, "issueSecurityScheme": security})).await;
    let issue = new_issue(&ada, json!({"project": {"key": "LEV"}})).await;
    let path = format!("/rest/api/3/issue/{issue}");
    ok(ada.put(&path, json!({"fields": {"security": {"id": level}}})).await);
    assert_eq!(cleo.get(&path).await.status, 404);
    ok(ada.put(&path, json!({"fields": {"security": null, "summary": "open"}})).await);
    for read in [format!("{path}/changelog"), format!("{path}?expand=changelog")] {
        let seen = ok(cleo.get(&read).await);
        assert!(seen.text.contains("open") && !seen.text.contains("Layoffs"), "{}", seen.text);
        assert!(ok(ada.get(&read).await).text.contains("Layoffs"));
    }
}

/// A shared filter named hidden things inside functions and in fields other than project and key.
#[tokio::test]
async fn shared_queries_name_nothing_hidden() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben) = (world.by("Ada"), world.by("Ben"));
        ok(ada.put("/rest/api/3/project/VAULT", json!({"key": "SAFE"})).await);
        ok(ada.post("/rest/api/3/component", json!({"project": "SAFE", "name": "Hiddencomponent"})).await);
        ok(ada.post("/rest/api/3/version", json!({"project": "SAFE", "name": "Hiddenversion"})).await);
        ok(ada.post("/rest/api/3/component", json!({"project": "DEMO", "name": "Opencomponent"})).await);
        ok(ada.post("/rest/api/3/filter", json!({"name": "Hiddenfilter", "jql": "project = SAFE"})).await);
        let jql = "project = VAULT OR issue in linkedIssues(SAFE-1) OR issue in linkedIssues(DEMO-1) \
                   OR fixVersion in releasedVersions(SAFE) OR fixVersion = Hiddenversion OR component = Hiddencomponent \
                   OR component = Opencomponent OR filter = Hiddenfilter";
        let shares = json!([{"type": "authenticated"}]);
        let made =
            ok(ada.post("/rest/api/3/filter", json!({"name": "All", "jql": jql, "sharePermissions": shares})).await);
        assert_eq!(made.at("/jql"), jql, "its owner sees it as it is");
        let filter = format!("/rest/api/3/filter/{}", made.at("/id"));
        let seen = ok(world.by("Cleo").get(&filter).await);
        for word in ["SAFE", "VAULT", "Hidden"] {
            assert!(!seen.text.contains(word), "{word}: {}", seen.text);
        }
        assert!(seen.at("/jql").contains("DEMO-1") && seen.at("/jql").contains("Opencomponent"), "{}", seen.text);
        assert!(ok(ben.get(&filter).await).at("/jql").contains("linkedIssues(SAFE-1)"), "Ben is in SAFE");
    }
}

/// A filter could be looked for by a share that its object does not name.
#[tokio::test]
async fn filters_are_not_found_by_hidden_shares() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
        let shares = json!([{"type": "user", "accountId": world.person("Cleo").account_id},
                            {"type": "project", "projectId": "10001"}, {"type": "project", "projectId": "10000"}]);
        let body = json!({"name": "Two shares", "jql": "project = DEMO", "sharePermissions": shares});
        ok(ada.post("/rest/api/3/filter", body).await);
        let total = async |by: &Client<'_>, query: &str| {
            ok(by.get(&format!("/rest/api/3/filter/search?{query}")).await).at("/total")
        };
        assert_eq!(total(&cleo, "projectId=10000").await, "1");
        assert_eq!(total(&cleo, "projectId=10001").await, "0", "VAULT");
        assert_eq!(total(&ada, "projectId=10001").await, "1");
    }
}

/// Deleting an issue with its sub-tasks took those along that the caller does not see.
#[tokio::test]
async fn hidden_subtasks_are_not_deleted_with_their_parent() {
    let world = World::start(Engine::Sqlite).await;
    let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
    let member = json!({"type": "user", "parameter": world.person("Ada").account_id});
    let grants =
        json!({"BROWSE_PROJECTS": [{"type": "reporter"}, member], "DELETE_ISSUES": [{"type": "applicationRole"}]});
    let scheme = scheme_with(&ada, "For reporters", grants).await;
    new_project(&world, "REP", json!({"permissionScheme": scheme})).await;
    let reporter = json!({"accountId": world.person("Cleo").account_id});
    let parent = new_issue(&ada, json!({"project": {"key": "REP"}, "reporter": reporter})).await;
    let kind = json!({"name": "Sub-task"});
    let child = new_issue(&ada, json!({"project": {"key": "REP"}, "issuetype": kind, "parent": {"key": parent}})).await;
    assert_eq!(cleo.get(&format!("/rest/api/3/issue/{child}")).await.status, 404);
    for query in ["", "?deleteSubtasks=true"] {
        let refused = cleo.delete(&format!("/rest/api/3/issue/{parent}{query}")).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert!(!refused.text.contains("sub"), "{}", refused.text);
    }
    ok(ada.get(&format!("/rest/api/3/issue/{child}")).await);
    ok(ada.delete(&format!("/rest/api/3/issue/{parent}?deleteSubtasks=true")).await);
}

/// Issue properties could be set by a transition without the right to edit.
#[tokio::test]
async fn transitions_set_no_properties_without_the_right_to_edit() {
    let world = World::start(Engine::Sqlite).await;
    let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
    let scheme = scheme_with(&ada, "Leads edit", json!({"EDIT_ISSUES": [{"type": "projectLead"}]})).await;
    new_project(&world, "LED", json!({"permissionScheme": scheme})).await;
    let issue = new_issue(&ada, json!({"project": {"key": "LED"}})).await;
    let path = format!("/rest/api/3/issue/{issue}");
    assert_eq!(cleo.put(&format!("{path}/properties/mine"), json!(1)).await.status, 403);
    let step = ok(cleo.get(&format!("{path}/transitions")).await).at("/transitions/1/id");
    let body = json!({"transition": {"id": step}, "properties": [{"key": "mine", "value": 1}]});
    assert_eq!(cleo.post(&format!("{path}/transitions"), body.clone()).await.status, 400);
    assert_eq!(ok(ada.get(&format!("{path}/properties")).await).text, r#"{"keys":[]}"#);
    ok(ada.post(&format!("{path}/transitions"), body).await);
    ok(cleo.post(&format!("{path}/transitions"), json!({"transition": {"id": step}})).await);
}

/// Whoever browses a project, even without a name, could reorder its versions and take properties off worklogs.
#[tokio::test]
async fn browsing_changes_neither_versions_nor_worklog_properties() {
    let world = World::start(Engine::Sqlite).await;
    let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
    let scheme = scheme_with(&ada, "Public", json!({"BROWSE_PROJECTS": [{"type": "anyone"}]})).await;
    new_project(&world, "PUB", json!({"permissionScheme": scheme})).await;
    let first = ok(ada.post("/rest/api/3/version", json!({"project": "PUB", "name": "1"})).await).at("/id");
    ok(ada.post("/rest/api/3/version", json!({"project": "PUB", "name": "2"})).await);
    let issue = new_issue(&ada, json!({"project": {"key": "PUB"}})).await;
    let body = json!({"timeSpent": "1h", "properties": [{"key": "p", "value": 1}]});
    let worklog = ok(ada.post(&format!("/rest/api/3/issue/{issue}/worklog"), body).await).at("/id");
    let property = format!("/rest/api/3/issue/{issue}/worklog/{worklog}/properties/p");
    let order = json!({"position": "First"});
    for (by, expected) in [(world.anonymous(), 401), (cleo, 403)] {
        let moved = by.post(&format!("/rest/api/3/version/{first}/move"), order.clone()).await;
        assert_eq!(moved.status, expected, "{}", moved.text);
        ok(by.get(&property).await);
        assert_eq!(by.delete(&property).await.status, expected);
    }
    ok(ada.post(&format!("/rest/api/3/version/{first}/move"), order).await);
    ok(ada.delete(&property).await);
}

/// Anybody who may look people up could try values of their properties, which only administrators read.
#[tokio::test]
async fn people_are_not_found_by_properties_that_the_caller_may_not_read() {
    let world = World::start(Engine::Sqlite).await;
    let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
    for name in ["Ada", "Cleo"] {
        let account = &world.person(name).account_id;
        let path = format!("/rest/api/3/user/properties/desk?accountId={account}");
        ok(world.by(name).put(&path, json!({"room": "7"})).await);
    }
    let found = async |by: &Client<'_>| {
        ok(by.get("/rest/api/3/user/search?property=desk.room=7").await).json().as_array().map_or(0, Vec::len)
    };
    assert_eq!((found(&ada).await, found(&cleo).await), (2, 1));
}

/// Hidden issues and unknown ones were told apart by the words of the refusal.
#[tokio::test]
async fn searches_for_people_refuse_hidden_and_unknown_issues_alike() {
    let world = World::start(Engine::Sqlite).await;
    let cleo = world.by("Cleo");
    for path in
        ["assignable/search?query=&issueKey=", "viewissue/search?query=&issueKey=", "assignable/search?issueId="]
    {
        let (hidden, unknown) = if path.ends_with("Key=") { ("VAULT-1", "VAULT-99") } else { ("10003", "99999") };
        let answer = async |name: &str| {
            let answer = cleo.get(&format!("/rest/api/3/user/{path}{name}")).await;
            (answer.status, answer.text.replace(name, "it"))
        };
        let (of_hidden, of_unknown) = (answer(hidden).await, answer(unknown).await);
        assert_eq!(of_hidden, of_unknown, "{path}");
        assert_eq!(of_hidden.0, 404, "{path}");
    }
}

/// On a public project, anonymous readers saw the e-mail addresses of all who work there.
#[tokio::test]
async fn nobody_anonymous_sees_e_mail_addresses() {
    let world = World::start(Engine::Sqlite).await;
    let ada = world.by("Ada");
    let scheme = scheme_with(&ada, "Public", json!({"BROWSE_PROJECTS": [{"type": "anyone"}]})).await;
    new_project(&world, "PUB", json!({"permissionScheme": scheme})).await;
    let issue = new_issue(&ada, json!({"project": {"key": "PUB"}})).await;
    let path = format!("/rest/api/3/issue/{issue}");
    let seen = ok(world.anonymous().get(&path).await);
    assert!(seen.text.contains("Ada") && !seen.text.contains("acme.example"), "{}", seen.text);
    assert!(ok(world.by("Cleo").get(&path).await).text.contains("ada@acme.example"));
}

/// The names of custom fields were told to those who see no project at all.
#[tokio::test]
async fn custom_fields_are_for_those_who_see_a_project() {
    let world = World::start(Engine::Sqlite).await;
    let ada = world.by("Ada");
    let body = json!({"name": "Severance", "type": "textfield"});
    ok(ada.post("/rest/api/3/field", body).await);
    for path in ["/rest/api/3/field", "/rest/api/3/jql/autocompletedata"] {
        assert!(ok(world.by("Cleo").get(path).await).text.contains("Severance"), "{path}");
        for by in [world.by("Dan"), world.anonymous()] {
            let seen = ok(by.get(path).await);
            assert!(seen.text.contains("summary") && !seen.text.contains("Severance"), "{path}");
        }
    }
    let count = |field: &str| json!({"jql": format!("{field} is EMPTY")});
    let anonymous = world.anonymous();
    let hidden = anonymous.post("/rest/api/3/search/approximate-count", count("Severance")).await;
    let unknown = anonymous.post("/rest/api/3/search/approximate-count", count("Nothing")).await;
    assert_eq!((hidden.status, hidden.text), (400, unknown.text.replace("Nothing", "Severance")));
}

/// An edit that decides who sees an issue left no trace of what it was before and after.
#[tokio::test]
async fn edits_of_who_may_see_an_issue_are_in_the_audit_log() {
    let world = World::start(Engine::Sqlite).await;
    let ada = world.by("Ada");
    let reporter = json!({"accountId": world.person("Cleo").account_id});
    let fields = json!({"reporter": reporter, "summary": "x"});
    ok(world.by("Ben").put("/rest/api/3/issue/DEMO-1", json!({"fields": fields})).await);
    let log = ok(ada.get("/api/portcullis/v1/audit?operation=editIssue").await);
    let entries = log.json();
    let entry = entries["values"]
        .as_array()
        .and_then(|values| values.iter().find(|entry| entry.to_string().contains("editIssue")));
    let entry = entry.unwrap_or_else(|| panic!("{}", log.text)).to_string();
    assert_eq!(entry.matches("reporter").count(), 3, "named, before and after: {entry}");
}

/// Where the handler hid what the guard had let through, the refusal had no decision id, which that of an unknown thing has.
#[tokio::test]
async fn refusals_of_hidden_and_unknown_things_have_the_same_headers() {
    let world = World::start(Engine::Sqlite).await;
    let (ada, ben) = (world.by("Ada"), world.by("Ben"));
    let component = ok(ada.post("/rest/api/3/component", json!({"project": "VAULT", "name": "Door"})).await).at("/id");
    let filter = ok(ada.post("/rest/api/3/filter", json!({"name": "Mine", "jql": "project = VAULT"})).await).at("/id");
    let body = json!({"key": "DARK", "name": "Dark", "projectTypeKey": "software", "leadAccountId": world.person("Ada").account_id});
    ok(ada.post("/rest/api/3/project", body).await);
    let scheme = scheme_with(&ada, "Ada alone", json!({"BROWSE_PROJECTS": [{"type": "projectLead"}]})).await;
    ok(ada.put("/rest/api/3/project/DARK", json!({"permissionScheme": scheme})).await);
    let cleo = world.by("Cleo");
    for (by, method, before, hidden, after) in [
        (&cleo, "GET", "component/", component.as_str(), "/relatedIssueCounts"),
        (&cleo, "DELETE", "filter/", filter.as_str(), "/favourite"),
        (&ben, "GET", "project/", "DARK", "/role"),
    ] {
        let unknown = if hidden == "DARK" { "NONE" } else { "99999" };
        let ask = async |name: &str| {
            let answer = by.send(method, &format!("/rest/api/3/{before}{name}{after}"), None).await;
            let headers: Vec<String> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
            (answer.status, answer.text.replace(name, "it"), headers)
        };
        let (of_hidden, of_unknown) = (ask(hidden).await, ask(unknown).await);
        assert_eq!(of_hidden, of_unknown, "{before}");
        assert!(of_hidden.0 >= 400, "{before}");
    }
    ok(ben.get("/rest/api/3/project/DEMO/role").await);
    ok(ada.get(&format!("/rest/api/3/component/{component}/relatedIssueCounts")).await);
    ok(ada.delete(&format!("/rest/api/3/filter/{filter}/favourite")).await);
}
