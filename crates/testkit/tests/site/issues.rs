//! Issues over the wire and on both engines: created, read, edited, moved through the workflow, deleted; and what each refuses.

use portcullis_testkit::world::{Client, Engine, World};
use serde_json::{Value as Json, json};

fn paragraph(text: &str) -> Json {
    json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]})
}

fn cannot_be_set(field: &str) -> Json {
    json!({"errorMessages": [], "errors": {
        field: format!("Field '{field}' cannot be set. It is not on the appropriate screen, or unknown.")}})
}

async fn new_issue(by: &Client<'_>, project: &str, kind: &str, more: Json) -> (String, String) {
    let mut fields = json!({"project": {"key": project}, "issuetype": {"name": kind}, "summary": "An issue"});
    for (field, value) in more.as_object().into_iter().flatten() {
        fields[field] = value.clone();
    }
    let answer = by.post("/rest/api/3/issue", json!({"fields": fields})).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    (answer.at("/id"), answer.at("/key"))
}

#[tokio::test]
async fn an_issue_is_created_and_read_back() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let me = world.person("Cleo").account_id.clone();
        let body = json!({
            "fields": {
                "project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "  Paint the gate ",
                "description": paragraph("With *real* paint"), "labels": ["paint", "gate", "paint"],
                "priority": {"id": "2"}, "duedate": "2026-12-24", "assignee": {"accountId": me},
                "timetracking": {"originalEstimate": "1d 2h"}, "customfield_10016": 5,
            },
            "update": {"worklog": [{"add": {"timeSpent": "30m"}}]},
            "properties": [{"key": "color", "value": {"rgb": "red"}}],
        });
        let created = cleo.post("/rest/api/3/issue", body).await;
        assert_eq!(created.status, 201, "{}", created.text);
        let (id, key) = (created.at("/id"), created.at("/key"));
        assert_eq!(created.at("/self"), format!("http://portcullis.test/rest/api/3/issue/{id}"));

        let read = cleo.get(&format!("/rest/api/3/issue/{}", key.to_lowercase())).await;
        assert_eq!(read.status, 200, "{}", read.text);
        let issue = read.json();
        assert_eq!((&issue["id"], &issue["key"]), (&json!(id), &json!(key)));
        let fields = &issue["fields"];
        assert_eq!(fields["summary"], "Paint the gate");
        assert_eq!(fields["description"], paragraph("With *real* paint"));
        assert_eq!(fields["labels"], json!(["gate", "paint"]));
        assert_eq!(fields["priority"]["name"], "High");
        assert_eq!(fields["status"]["statusCategory"]["key"], "new");
        assert_eq!(fields["assignee"]["accountId"], json!(me));
        assert_eq!(fields["reporter"]["accountId"], json!(me));
        assert_eq!(fields["creator"]["accountId"], json!(me));
        assert_eq!(fields["project"]["key"], "DEMO");
        assert_eq!(fields["duedate"], "2026-12-24");
        assert_eq!(fields["created"], "2026-11-25T12:00:00.000+0000");
        assert_eq!(fields["customfield_10016"].as_f64(), Some(5.0));
        assert_eq!(fields["watches"]["watchCount"], 1);
        assert_eq!(fields["watches"]["isWatching"], true);
        assert_eq!(fields["timetracking"]["originalEstimate"], "1d 2h");
        assert_eq!(fields["timetracking"]["remainingEstimate"], "1d 1h 30m");
        assert_eq!(fields["timetracking"]["timeSpentSeconds"], 1800);
        assert_eq!(fields["worklog"]["total"], 1);
        assert_eq!(fields["comment"]["total"], 0);
        assert_eq!(fields["workratio"], 5);
        assert_eq!(fields["progress"], json!({"progress": 1800, "total": 36000, "percent": 5}));
        for empty in ["resolution", "resolutiondate", "lastViewed", "environment", "security"] {
            assert_eq!(fields[empty], Json::Null, "{empty}");
        }
        for list in ["subtasks", "issuelinks", "components", "fixVersions", "versions", "attachment"] {
            assert_eq!(fields[list], json!([]), "{list}");
        }
        assert!(fields.get("parent").is_none());

        let v2 = cleo.get(&format!("/rest/api/2/issue/{id}?fields=description,status,-status")).await;
        let text = v2.json()["fields"]["description"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains("With") && text.contains("real"), "{}", v2.text);
        assert_eq!(v2.json()["fields"].as_object().unwrap().len(), 1);
        let expand = "renderedFields,names,schema,transitions,operations,editmeta,changelog";
        let expanded = cleo.get(&format!("/rest/api/3/issue/{id}?expand={expand}&properties=*all")).await.json();
        assert_eq!(expanded["properties"], json!({"color": {"rgb": "red"}}));
        assert_eq!(expanded["renderedFields"]["description"], "<p>With *real* paint</p>");
        assert_eq!(expanded["names"]["duedate"], "Due date");
        assert_eq!(expanded["schema"]["labels"], json!({"type": "array", "items": "string", "system": "labels"}));
        assert_eq!(expanded["transitions"].as_array().map(Vec::len), Some(3));
        assert_eq!(expanded["editmeta"]["fields"]["summary"]["required"], true);
        assert!(expanded["editmeta"]["fields"].get("security").is_none());
        assert!(expanded["changelog"]["total"].as_i64().is_some());
        assert_eq!(world.by("Dan").get(&format!("/rest/api/3/issue/{id}")).await.status, 404);
    }
}

#[tokio::test]
async fn creation_names_all_that_is_missing_or_wrong() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let create = async |fields: Json| {
            let mut all = json!({"project": {"key": "DEMO"}, "issuetype": {"name": "Task"}, "summary": "x"});
            for (field, value) in fields.as_object().into_iter().flatten() {
                all[field] = value.clone();
            }
            cleo.post("/rest/api/3/issue", json!({"fields": all})).await
        };
        let bare = cleo.post("/rest/api/3/issue", json!({"fields": {"project": {"key": "DEMO"}}})).await;
        assert_eq!(bare.status, 400);
        assert_eq!(
            bare.json()["errors"],
            json!({"summary": "You must specify a summary of the issue.", "issuetype": "Specify an issue type"})
        );
        for (field, value, words) in [
            ("summary", json!("a\nb"), "The summary is invalid because it contains newline characters."),
            ("summary", json!("x".repeat(256)), "Summary must be less than 255 characters."),
            ("issuetype", json!({"name": "Nonsense"}), "Specify a valid issue type"),
            (
                "description",
                json!("text"),
                "Operation value must be an Atlassian Document (see the Atlassian Document Format)",
            ),
            ("duedate", json!("tomorrow"), "Error parsing date string: tomorrow"),
            ("labels", json!(["a b"]), "The label 'a b' contains spaces which is invalid."),
            ("components", json!([{"name": "None"}]), "Component name 'None' is not valid"),
            ("versions", json!([{"id": "77"}]), "Version id '77' is not valid"),
            ("priority", json!({"id": "99"}), "The priority selected is invalid."),
            ("assignee", json!({"accountId": "nobody"}), "User 'nobody' cannot be assigned issues."),
            ("parent", json!({"key": "VAULT-1"}), "Could not find issue by id or key."),
            ("parent", json!({"key": "DEMO-999"}), "Could not find issue by id or key."),
            ("parent", json!({"key": "DEMO-1"}), "Given parent issue does not belong to appropriate hierarchy."),
        ] {
            let answer = create(json!({field: value})).await;
            assert_eq!(answer.status, 400, "{field}: {}", answer.text);
            assert_eq!(answer.json(), json!({"errorMessages": [], "errors": {field: words}}));
        }
        for field in ["reporter", "security", "status", "created", "resolution", "customfield_99999", "nonsense"] {
            let answer = create(json!({field: {"accountId": world.person("Cleo").account_id}})).await;
            assert_eq!((answer.status, answer.json()), (400, cannot_be_set(field)), "{field}");
        }
        let subtask = create(json!({"issuetype": {"name": "Sub-task"}})).await;
        assert_eq!(subtask.at("/errors/parent"), "Issue type is a sub-task but parent issue key or id not specified.");
        // A project that is hidden is refused as one that is not there.
        let hidden = create(json!({"project": {"key": "VAULT"}})).await;
        let unknown = create(json!({"project": {"key": "NOPE"}})).await;
        assert_eq!(hidden.status, 400);
        assert_eq!(hidden.text.replace("VAULT", "X"), unknown.text.replace("NOPE", "X"));
    }
}

#[tokio::test]
async fn an_edit_is_saved_with_its_changelog() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (id, key) = new_issue(&cleo, "DEMO", "Task", json!({"labels": ["a"]})).await;
        let path = format!("/rest/api/3/issue/{key}");
        world.clock.advance_ms(1000);
        let edit = json!({
            "fields": {"summary": "Renamed", "description": paragraph("new")},
            "update": {"labels": [{"add": "b"}, {"remove": "a"}], "comment": [{"add": {"body": paragraph("done")}}]},
        });
        let answer = cleo.put(&path, edit).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{}", answer.text);
        let fields = cleo.get(&path).await.json()["fields"].clone();
        assert_eq!((&fields["summary"], &fields["labels"]), (&json!("Renamed"), &json!(["b"])));
        assert_eq!(fields["comment"]["total"], 1);
        assert_eq!(fields["updated"], "2026-11-25T12:00:01.000+0000");

        let log = cleo.get(&format!("{path}/changelog")).await.json();
        assert_eq!((&log["total"], &log["isLast"]), (&json!(1), &json!(true)));
        let items = log["values"][0]["items"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = items.iter().filter_map(|item| item["field"].as_str()).collect();
        assert_eq!(names, ["summary", "description", "labels"]);
        assert_eq!((&items[0]["fromString"], &items[0]["toString"]), (&json!("An issue"), &json!("Renamed")));
        let change = log["values"][0]["id"].as_str().unwrap().parse::<i64>().unwrap();
        let listed = cleo.post(&format!("{path}/changelog/list"), json!({"changelogIds": [change, 1]})).await;
        assert_eq!(listed.json()["histories"].as_array().map(Vec::len), Some(1), "{}", listed.text);

        let both = json!({"fields": {"labels": []}, "update": {"labels": [{"add": "x"}]}});
        let answer = cleo.put(&path, both).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.at("/errors/labels").is_empty());
        assert_eq!(cleo.put(&path, json!({})).await.status, 400);
        assert_eq!(cleo.put(&path, json!({"update": {"summary": [{"add": "x"}]}})).await.status, 400);
        for project in ["VAULT", "NOPE"] {
            let answer = cleo.put(&path, json!({"fields": {"project": {"key": project}}})).await;
            assert_eq!((answer.status, answer.json()), (400, cannot_be_set("project")));
        }
        assert_eq!(cleo.put(&path, json!({"fields": {"project": {"key": "DEMO"}}})).await.status, 204);
        let reporter = json!({"fields": {"reporter": {"accountId": world.person("Ben").account_id}}});
        let answer = cleo.put(&path, reporter.clone()).await;
        assert_eq!((answer.status, answer.json()), (400, cannot_be_set("reporter")));
        assert_eq!(ben.put(&path, reporter).await.status, 204);

        assert_eq!(
            cleo.put(&format!("{path}?notifyUsers=false"), json!({"fields": {"summary": "q"}})).await.status,
            403
        );
        assert_eq!(
            ben.put(&format!("{path}?notifyUsers=false"), json!({"fields": {"summary": "q"}})).await.status,
            204
        );
        for flag in ["overrideScreenSecurity", "overrideEditableFlag"] {
            let answer = world.by("Ada").put(&format!("{path}?{flag}=true"), json!({"fields": {"summary": "z"}})).await;
            assert_eq!(answer.status, 403, "{flag}");
        }
        let returned = cleo.put(&format!("{path}?returnIssue=true"), json!({"fields": {"summary": "r"}})).await;
        assert_eq!((returned.status, returned.at("/fields/summary")), (200, "r".to_owned()));
        let links = json!({"update": {"issuelinks": [
            {"add": {"type": {"name": "Blocks"}, "outwardIssue": {"key": "DEMO-1"}}}]}});
        assert_eq!(cleo.put(&path, links).await.status, 204);
        let shown = cleo.get(&path).await.json()["fields"]["issuelinks"].clone();
        assert_eq!(shown[0]["outwardIssue"]["key"], "DEMO-1");
        let other = cleo.get("/rest/api/3/issue/DEMO-1?fields=issuelinks").await.json()["fields"]["issuelinks"].clone();
        assert_eq!(other[0]["inwardIssue"]["id"], json!(id));
        assert_eq!(other[0]["id"], shown[0]["id"]);
        let hidden = json!({"update": {"issuelinks": [
            {"add": {"type": {"name": "Blocks"}, "outwardIssue": {"key": "VAULT-1"}}}]}});
        let unknown = json!({"update": {"issuelinks": [
            {"add": {"type": {"name": "Blocks"}, "outwardIssue": {"key": "NOPE-1"}}}]}});
        assert_eq!(cleo.put(&path, hidden).await.text, cleo.put(&path, unknown).await.text);
    }
}

#[tokio::test]
async fn hidden_issues_are_absent_from_links_and_history() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let path = format!("/rest/api/3/issue/{key}");
        let link = json!({"update": {"issuelinks": [
            {"add": {"type": {"name": "Blocks"}, "outwardIssue": {"key": "VAULT-1"}}}]}});
        assert_eq!(ben.put(&path, link).await.status, 204);
        let seen = ben.get(&format!("{path}?expand=changelog")).await;
        assert_eq!(seen.json()["fields"]["issuelinks"].as_array().map(Vec::len), Some(1), "{}", seen.text);
        assert_eq!(seen.at("/changelog/total"), "1");
        let unseen = cleo.get(&format!("{path}?expand=changelog")).await;
        assert_eq!(unseen.json()["fields"]["issuelinks"], json!([]));
        assert_eq!(unseen.at("/changelog/total"), "0");
        assert!(!unseen.text.contains("VAULT"), "{}", unseen.text);
        assert_eq!(cleo.get(&format!("{path}/changelog")).await.at("/total"), "0");

        let fetch = json!({"issueIdsOrKeys": [key, "VAULT-1", "NOPE-1"], "fields": ["summary"]});
        let fetched = cleo.post("/rest/api/3/issue/bulkfetch", fetch.clone()).await;
        assert_eq!(fetched.status, 200, "{}", fetched.text);
        assert_eq!(fetched.json()["issues"].as_array().map(Vec::len), Some(1));
        assert_eq!(fetched.json()["issueErrors"], json!([]));
        assert_eq!(
            ben.post("/rest/api/3/issue/bulkfetch", fetch).await.json()["issues"].as_array().map(Vec::len),
            Some(2)
        );
    }
}

#[tokio::test]
async fn changes_of_many_issues_are_read_page_by_page_without_hidden_ones() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (first, _) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let (second, second_key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let (hidden, _) = new_issue(&ben, "VAULT", "Task", json!({})).await;
        for issue in [&first, &second, &hidden] {
            for summary in ["one", "two"] {
                let edit = json!({"fields": {"summary": summary, "duedate": "2026-12-24"}});
                assert_eq!(ben.put(&format!("/rest/api/3/issue/{issue}"), edit).await.status, 204);
            }
        }
        let path = "/rest/api/3/changelog/bulkfetch";
        let named = json!([second_key, first, hidden, "NOPE-1"]);
        let mut ask = json!({"issueIdsOrKeys": named, "fieldIds": ["summary"], "maxResults": 3});
        let page = cleo.post(path, ask.clone()).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let told = |page: &Json| -> Vec<(String, usize)> {
            let logs = page["issueChangeLogs"].as_array().cloned().unwrap_or_default();
            let count = |log: &Json| log["changeHistories"].as_array().map_or(0, Vec::len);
            logs.iter().map(|log| (log["issueId"].as_str().unwrap_or_default().to_owned(), count(log))).collect()
        };
        assert_eq!(told(&page.json()), [(first, 2), (second.clone(), 1)]);
        let change = page.json()["issueChangeLogs"][0]["changeHistories"][0].clone();
        assert_eq!((&change["items"][0]["toString"], &change["items"][1]), (&json!("one"), &Json::Null));
        assert!(change["created"].is_i64(), "{change}");

        ask["nextPageToken"] = page.json()["nextPageToken"].clone();
        let rest = cleo.post(path, ask.clone()).await.json();
        assert_eq!((told(&rest), &rest["nextPageToken"]), (vec![(second, 1)], &Json::Null));
        assert_eq!(ben.post(path, ask.clone()).await.status, 400, "somebody else's page");
        for wrong in [json!({"issueIdsOrKeys": []}), json!({"issueIdsOrKeys": ["DEMO-1"], "maxResults": 0}), json!({})]
        {
            assert_eq!(cleo.post(path, wrong).await.status, 400);
        }
        assert_eq!(world.anonymous().post(path, ask).await.status, 401);
    }
}

#[tokio::test]
async fn transitions_set_and_clear_the_resolution() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let path = format!("/rest/api/3/issue/{key}");
        let list = cleo.get(&format!("{path}/transitions?expand=transitions.fields")).await.json();
        let done = list["transitions"].as_array().unwrap().iter().find(|step| step["name"] == "Done").cloned().unwrap();
        assert_eq!(done["to"]["statusCategory"]["key"], "done");
        assert!(done["fields"]["resolution"]["allowedValues"].is_array());
        let take = json!({
            "transition": {"id": done["id"].as_str().unwrap().parse::<i64>().unwrap()},
            "update": {"comment": [{"add": {"body": paragraph("finished")}}]},
        });
        world.clock.advance_ms(1000);
        let answer = cleo.post(&format!("{path}/transitions"), take).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        let fields = cleo.get(&path).await.json()["fields"].clone();
        assert_eq!((&fields["status"]["name"], &fields["resolution"]["name"]), (&json!("Done"), &json!("Done")));
        assert_eq!(fields["resolutiondate"], "2026-11-25T12:00:01.000+0000");
        assert_eq!(fields["comment"]["total"], 1);

        let back = json!({"transition": {"id": "11"}});
        assert_eq!(cleo.post(&format!("{path}/transitions"), back).await.status, 204);
        let fields = cleo.get(&path).await.json()["fields"].clone();
        assert_eq!((&fields["resolution"], &fields["resolutiondate"]), (&Json::Null, &Json::Null));
        let given = json!({"transition": {"id": "31"}, "fields": {"resolution": {"name": "Won't Do"}}});
        assert_eq!(cleo.post(&format!("{path}/transitions"), given).await.status, 204);
        assert_eq!(cleo.get(&path).await.at("/fields/resolution/name"), "Won't Do");

        for (body, words) in [
            (json!({}), "Missing 'transition' identifier"),
            (json!({"transition": {"id": 999}}), "Transition id '999' is not valid for this issue."),
        ] {
            let answer = cleo.post(&format!("{path}/transitions"), body).await;
            assert_eq!((answer.status, answer.at("/errorMessages/0")), (400, words.to_owned()));
        }
    }
}

#[tokio::test]
async fn assignees_can_be_assigned() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let path = format!("/rest/api/3/issue/{key}");
        let to = async |body: Json| cleo.put(&format!("{path}/assignee"), body).await;
        let ben = &world.person("Ben").account_id;
        assert_eq!(to(json!({"accountId": ben})).await.status, 204);
        assert_eq!(&cleo.get(&path).await.at("/fields/assignee/accountId"), ben);
        assert_eq!(to(json!({"accountId": null})).await.status, 204);
        assert_eq!(cleo.get(&path).await.json()["fields"]["assignee"], Json::Null);
        assert_eq!(to(json!({"accountId": "-1"})).await.status, 204);
        let dan = &world.person("Dan").account_id;
        for account in [dan.as_str(), "nobody"] {
            let answer = to(json!({"accountId": account})).await;
            let words = format!("User '{account}' cannot be assigned issues.");
            assert_eq!((answer.status, answer.at("/errors/assignee")), (400, words));
        }
        assert_eq!(to(json!({})).await.status, 400);
    }
}

#[tokio::test]
async fn deletion_takes_subtasks_only_when_asked() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let (_, child) = new_issue(&cleo, "DEMO", "Sub-task", json!({"parent": {"key": key}})).await;
        let path = format!("/rest/api/3/issue/{key}");
        let parent = cleo.get(&path).await.json();
        assert_eq!(parent["fields"]["subtasks"][0]["key"], json!(child));
        assert_eq!(cleo.get(&format!("/rest/api/3/issue/{child}")).await.at("/fields/parent/key"), key);
        for (what, value) in [
            ("worklog", json!({"timeSpent": "1h", "comment": paragraph("w")})),
            ("comment", json!({"body": paragraph("c")})),
        ] {
            assert_eq!(cleo.post(&format!("/rest/api/3/issue/{child}/{what}"), value).await.status, 201);
        }
        assert_eq!(cleo.get(&path).await.at("/fields/aggregatetimespent"), "3600");
        assert_eq!(cleo.delete(&path).await.status, 403);
        assert_eq!(world.by("Dan").delete(&path).await.status, 404);
        assert_eq!(ben.delete(&path).await.status, 400);
        let answer = ben.delete(&format!("{path}?deleteSubtasks=true")).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        for gone in [&key, &child] {
            assert_eq!(cleo.get(&format!("/rest/api/3/issue/{gone}")).await.status, 404);
        }
        // Numbers are not used twice.
        let (_, next) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        assert_ne!(next, child);
    }
}

#[tokio::test]
async fn bulk_creation_reports_per_item() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let cleo = world.by("Cleo");
        let good = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}, "summary": "good"}});
        let bad = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Bug"}}});
        let answer = cleo.post("/rest/api/3/issue/bulk", json!({"issueUpdates": [good, bad, good]})).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        let json = answer.json();
        assert_eq!(json["issues"].as_array().map(Vec::len), Some(2));
        assert_eq!(json["errors"][0]["failedElementNumber"], 1);
        assert_eq!(
            json["errors"][0]["elementErrors"]["errors"],
            json!({"summary": "You must specify a summary of the issue."})
        );
        let none = cleo.post("/rest/api/3/issue/bulk", json!({"issueUpdates": [bad]})).await;
        assert_eq!((none.status, none.json()["issues"].clone()), (400, json!([])));
        let many = vec![good; 51];
        assert_eq!(cleo.post("/rest/api/3/issue/bulk", json!({"issueUpdates": many})).await.status, 400);
    }
}

#[tokio::test]
async fn metadata_lists_what_the_caller_may_set() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let types = cleo.get("/rest/api/3/issue/createmeta/DEMO/issuetypes").await.json();
        let task = types["issueTypes"].as_array().unwrap().iter().find(|kind| kind["name"] == "Task").cloned().unwrap();
        let path = format!("/rest/api/3/issue/createmeta/DEMO/issuetypes/{}", task["id"].as_str().unwrap());
        let ids = async |by: &Client<'_>| -> Vec<String> {
            let json = by.get(&path).await.json();
            let fields = json["fields"].as_array().cloned().unwrap_or_default();
            fields.iter().filter_map(|field| field["fieldId"].as_str().map(str::to_owned)).collect()
        };
        let (bens, cleos) = (ids(&ben).await, ids(&cleo).await);
        assert!(cleos.contains(&"summary".to_owned()) && !cleos.contains(&"reporter".to_owned()), "{cleos:?}");
        assert!(bens.contains(&"reporter".to_owned()), "{bens:?}");
        let bare = cleo.get("/rest/api/2/issue/createmeta?expand=projects.issuetypes.fields").await.json();
        let keys: Vec<&str> = bare["projects"].as_array().unwrap().iter().filter_map(|p| p["key"].as_str()).collect();
        assert_eq!(keys, ["DEMO"]);
        assert!(bare["projects"][0]["issuetypes"][0]["fields"]["summary"]["required"].as_bool().unwrap());
        let edit = cleo.get("/rest/api/3/issue/DEMO-1/editmeta").await.json();
        assert!(edit["fields"].get("summary").is_some() && edit["fields"].get("reporter").is_none());
        assert_eq!(cleo.get("/rest/api/3/issue/VAULT-1/editmeta").await.status, 404);
        assert_eq!(
            cleo.get("/rest/api/3/issue/createmeta/VAULT/issuetypes").await.status,
            cleo.get("/rest/api/3/issue/createmeta/NOPE/issuetypes").await.status
        );
    }
}

#[tokio::test]
async fn each_field_asks_for_its_own_permission() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
        let bare: Vec<Json> =
            ["BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "TRANSITION_ISSUES", "ASSIGNABLE_USER"]
                .into_iter()
                .map(|permission| json!({"permission": permission, "holder": {"type": "applicationRole"}}))
                .collect();
        let scheme = ada.post("/rest/api/3/permissionscheme", json!({"name": "Bare", "permissions": bare})).await;
        assert_eq!(scheme.status, 201, "{}", scheme.text);
        let id: i64 = scheme.at("/id").parse().unwrap();
        let put = ada.put("/rest/api/3/project/DEMO/permissionscheme", json!({"id": id})).await;
        assert_eq!(put.status, 200, "{}", put.text);

        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let path = format!("/rest/api/3/issue/{key}");
        let me = json!({"accountId": world.person("Cleo").account_id});
        for (field, value) in [
            ("reporter", me.clone()),
            ("assignee", me),
            ("duedate", json!("2026-12-24")),
            ("fixVersions", json!([])),
            ("resolution", json!({"name": "Done"})),
            ("security", json!(null)),
            ("timetracking", json!({"originalEstimate": "1d"})),
        ] {
            let answer = cleo.put(&path, json!({"fields": {field: value}})).await;
            assert_eq!((answer.status, answer.json()), (400, cannot_be_set(field)));
        }
        for (field, value) in [
            ("comment", json!({"body": paragraph("x")})),
            ("worklog", json!({"timeSpent": "1h"})),
            ("issuelinks", json!({"type": {"name": "Blocks"}, "outwardIssue": {"key": "DEMO-1"}})),
        ] {
            let answer = cleo.put(&path, json!({"update": {field: [{"add": value}]}})).await;
            assert_eq!((answer.status, answer.json()), (400, cannot_be_set(field)));
            let take = json!({"transition": {"id": "31"}, "update": {field: [{"add": value}]}});
            let answer = cleo.post(&format!("{path}/transitions"), take).await;
            assert_eq!((answer.status, answer.json()), (400, cannot_be_set(field)));
        }
        let take = json!({"transition": {"id": "31"}, "fields": {"resolution": {"name": "Duplicate"}}});
        assert_eq!(cleo.post(&format!("{path}/transitions"), take).await.json(), cannot_be_set("resolution"));
        let fields = cleo.get(&path).await.json()["fields"].clone();
        assert_eq!((&fields["status"]["name"], &fields["comment"]["total"]), (&json!("To Do"), &json!(0)));
        let done = json!({"transition": {"id": "31"}});
        assert_eq!(cleo.post(&format!("{path}/transitions"), done).await.status, 204);
        assert_eq!(cleo.get(&path).await.at("/fields/resolution/name"), "Done");
    }
}

#[tokio::test]
async fn security_levels_are_set_by_their_members_and_followed_by_subtasks() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let member = json!({"type": "user", "parameter": world.person("Ben").account_id});
        let levels = json!([{"name": "Ben only", "members": [member]}, {"name": "Nobody", "members": []}]);
        let scheme =
            ada.post("/rest/api/3/issuesecurityschemes", json!({"name": "Levels", "levels": levels})).await.at("/id");
        let put = json!({"projectId": "10000", "schemeId": scheme});
        let answer = ada.put("/rest/api/3/issuesecurityschemes/project", put).await;
        assert!(answer.status < 400, "{}", answer.text);
        let grant = json!({"permission": "SET_ISSUE_SECURITY", "holder": {"type": "applicationRole"}});
        assert_eq!(ada.post("/rest/api/3/permissionscheme/0/permission", grant).await.status, 201);

        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let (_, child) = new_issue(&cleo, "DEMO", "Sub-task", json!({"parent": {"key": key}})).await;
        let (path, below) = (format!("/rest/api/3/issue/{key}"), format!("/rest/api/3/issue/{child}"));
        let level = |name: &str| json!({"fields": {"security": {"name": name}}});
        let not_member = cleo.put(&path, level("Ben only")).await;
        assert_eq!(not_member.status, 400);
        assert_eq!(not_member.text, cleo.put(&path, level("No such level")).await.text);
        assert_eq!(ben.put(&path, level("Nobody")).await.status, 400);
        assert_eq!(ben.put(&below, level("Ben only")).await.json(), cannot_be_set("security"));

        assert_eq!(ben.put(&path, level("Ben only")).await.status, 204);
        for hidden in [&path, &below] {
            assert_eq!((ben.get(hidden).await.status, cleo.get(hidden).await.status), (200, 404));
        }
        // A sub-task cannot be hung below what its author does not see.
        let blind = json!({"fields": {"project": {"key": "DEMO"}, "issuetype": {"name": "Sub-task"}, "summary": "x",
            "parent": {"key": key}}});
        assert_eq!(
            cleo.post("/rest/api/3/issue", blind).await.at("/errors/parent"),
            "Could not find issue by id or key."
        );
        assert_eq!(ben.put(&path, json!({"fields": {"security": null}})).await.status, 204);
        assert_eq!(cleo.get(&below).await.status, 200);
        // An epic that is hidden is no parent to those who do not see it.
        let (_, epic) = new_issue(&ben, "DEMO", "Epic", json!({"security": {"name": "Ben only"}})).await;
        assert_eq!(ben.put(&path, json!({"fields": {"parent": {"key": epic}}})).await.status, 204);
        assert_eq!(ben.get(&path).await.at("/fields/parent/key"), epic);
        let seen = cleo.get(&format!("{path}?expand=changelog")).await;
        assert!(seen.json()["fields"].get("parent").is_none());
        assert!(!seen.text.contains(&format!("\"{epic}\"")), "{}", seen.text);
    }
}

#[tokio::test]
async fn restricted_work_does_not_show_in_totals() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ben, cleo) = (world.by("Ben"), world.by("Cleo"));
        let (_, key) = new_issue(&cleo, "DEMO", "Task", json!({})).await;
        let path = format!("/rest/api/3/issue/{key}");
        let admins = json!({"type": "role", "value": "Administrators"});
        let log = json!({"timeSpent": "2h", "visibility": admins});
        assert_eq!(ben.post(&format!("{path}/worklog"), log).await.status, 201);
        assert_eq!(ben.get(&path).await.at("/fields/timespent"), "7200");
        let unseen = cleo.get(&format!("{path}?expand=changelog")).await;
        assert_eq!(unseen.json()["fields"]["timespent"], Json::Null);
        assert_eq!(
            (unseen.at("/fields/worklog/total"), unseen.at("/changelog/total")),
            ("0".to_owned(), "0".to_owned())
        );
    }
}
