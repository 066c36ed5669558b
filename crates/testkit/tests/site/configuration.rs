//! Projects and what configures them, over the wire and on both engines: roles, permission schemes, issue security, versions,
//! components, fields, properties, users and groups. Each test says what happens and what somebody outside does not learn of it.

use portcullis_testkit::world::{Answer, Client, Engine, World};
use serde_json::{Value as Json, json};

fn pick<'a>(json: &'a Json, pointer: &str) -> &'a Json {
    json.pointer(pointer).unwrap_or(&Json::Null)
}

fn texts(answer: &Answer, list: &str, member: &str) -> Vec<String> {
    let json = answer.json();
    let items = if list.is_empty() { &json } else { pick(&json, list) };
    items.as_array().into_iter().flatten().map(|item| pick(item, member).to_string().replace('"', "")).collect()
}

fn paragraph() -> Json {
    json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "x"}]}]})
}

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

/// Every read once: what is not there, what is empty, and that the SQL means the same on both engines.
#[tokio::test]
async fn reads_answer() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let ada = world.by("Ada");
        let account = &world.person("Cleo").account_id;
        for path in [
            "serverInfo",
            "myself?expand=groups,applicationRoles",
            "field",
            "field/search?query=story",
            "field/search/trashed",
            "issuetype",
            "issuetype/10002",
            "issuetype/10002/alternatives",
            "issuetype/project?projectId=10000",
            "issuetype/10002/properties",
            "status",
            "status/Done",
            "status/10000",
            "statuscategory",
            "statuscategory/done",
            "priority",
            "priority/3",
            "priority/search?priorityName=high",
            "statuses?id=10000&id=99",
            "statuses/search?searchString=o&statusCategory=DONE",
            "mypreferences/locale",
            "resolution",
            "resolution/10000",
            "resolution/search",
            "issueLinkType",
            "issueLinkType/10000",
            "label",
            "project",
            "project?expand=description,lead,issueTypes,url,projectKeys,permissions,insight",
            "project/search?expand=insight,lead&orderBy=-issueCount&query=d",
            "project/search?orderBy=owner&action=edit&status=live&status=deleted",
            "project/recent",
            "project/type",
            "project/type/accessible",
            "project/type/software",
            "project/type/software/accessible",
            "project/DEMO?expand=projectKeys,permissions,insight&properties=*all",
            "project/DEMO/statuses",
            "project/DEMO/role",
            "project/DEMO/role/10002",
            "project/DEMO/roledetails?currentMember=true",
            "project/DEMO/versions?expand=issuesstatus",
            "project/DEMO/version?orderBy=-releaseDate&query=x&status=released",
            "project/DEMO/components",
            "project/DEMO/component?orderBy=-name",
            "project/DEMO/properties",
            "project/DEMO/avatars",
            "project/DEMO/permissionscheme?expand=all",
            "project/DEMO/securitylevel",
            "component?projectIdsOrKeys=DEMO,VAULT",
            "projectCategory",
            "projectvalidate/key?key=DEMO",
            "projectvalidate/validProjectKey?key=demo",
            "projectvalidate/validProjectName?name=Demo",
            "role",
            "role/10002",
            "role/10002/actors",
            "permissionscheme?expand=permissions",
            "permissionscheme/0",
            "permissionscheme/0/permission?expand=all",
            "permissions",
            "mypermissions?permissions=BROWSE_PROJECTS,ADMINISTER",
            "mypermissions?permissions=BROWSE_PROJECTS&projectKey=DEMO",
            "mypermissions?permissions=BROWSE_PROJECTS&issueKey=DEMO-1",
            "mypermissions?permissions=BROWSE_PROJECTS&commentId=10000",
            "issuesecurityschemes",
            "issuesecurityschemes/search",
            "issuesecurityschemes/level",
            "issuesecurityschemes/level/member",
            "issuesecurityschemes/project",
            "users",
            "users/search?maxResults=2",
            "user/search?query=cle",
            "user/search?property=a.b=c",
            "user/assignable/search?project=DEMO&query=b",
            "user/assignable/search?issueKey=DEMO-1",
            "user/viewissue/search?query=b&issueKey=VAULT-1",
            "user/permission/search?permissions=BROWSE_PROJECTS&projectKey=VAULT",
            "user/picker?query=cl&showAvatar=true",
            "user/picker?query=",
            "groupuserpicker?query=",
            "groups/picker?query=jira",
            "group/bulk",
            "applicationrole",
            "applicationrole/jira-software",
        ] {
            let answer = ada.get(&format!("/rest/api/3/{path}")).await;
            assert_eq!(answer.status, 200, "{engine:?} {path}: {}", answer.text);
        }
        for path in ["user", "user/groups", "user/bulk", "user/properties"] {
            ok(ada.get(&format!("/rest/api/3/{path}?accountId={account}")).await);
        }
        for path in [
            "project/NOPE",
            "project/10999",
            "project/type/nope",
            "role/999",
            "permissionscheme/999",
            "permissionscheme/0/permission/1",
            "priority/99",
            "project/10000/hierarchy",
            "project/DEMO/notificationscheme",
            "filter/99999",
            "mypreferences?key=absent",
            "status/nope",
            "issuetype/99",
            "issueLinkType/99",
            "component/99",
            "version/99",
            "projectCategory/99",
            "securitylevel/99",
            "project/DEMO/issuesecuritylevelscheme",
            "project/DEMO/properties/nope",
            "user?accountId=nope",
            "group/member?groupname=nope",
            "mypermissions?permissions=BROWSE_PROJECTS&projectKey=NOPE",
            "user/assignable/search?project=NOPE",
        ] {
            let answer = ada.get(&format!("/rest/api/3/{path}")).await;
            assert_eq!(answer.status, 404, "{engine:?} {path}: {}", answer.text);
        }
        for path in [
            "mypermissions",
            "mypermissions?permissions=NOPE",
            "user",
            "user/search",
            "user/assignable/search",
            "project/search?orderBy=colour",
            "project/search?action=fly",
            "user/picker",
            "groupuserpicker",
            "statuses",
            "mypreferences",
            "user/email?accountId=x",
            "group/bulk?accessType=user",
        ] {
            let answer = ada.get(&format!("/rest/api/3/{path}")).await;
            assert_eq!(answer.status, 400, "{engine:?} {path}: {}", answer.text);
        }
        assert_eq!(texts(&ada.get("/rest/api/3/project").await, "", "/id"), ["10000", "10001"]);
        assert_eq!(
            texts(&ada.get("/rest/api/3/user/viewissue/search?query=b&issueKey=VAULT-1").await, "", "/displayName"),
            ["Ben"]
        );
    }
}

#[tokio::test]
async fn answers_follow_the_vendor_where_its_documents_are_silent() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben) = (world.by("Ada"), world.by("Ben"));

        let path = "/rest/api/3/mypreferences?key=jira.test";
        assert_eq!(ada.put(path, json!("first")).await.status, 204, "{engine:?}");
        assert_eq!(ada.put(path, json!("second")).await.status, 204);
        assert_eq!(ok(ada.get(path).await).json(), json!("second"));
        assert_eq!(ben.get(path).await.status, 404, "a preference is its user's alone");
        assert_eq!(ben.delete(path).await.status, 404);
        assert_eq!((ada.delete(path).await.status, ada.get(path).await.status), (204, 404));

        let plain = ok(ada.get("/rest/api/3/permissionscheme/0").await);
        let grants = ok(ada.get("/rest/api/3/permissionscheme/0/permission").await);
        assert_eq!(texts(&plain, "/permissions", "/id"), texts(&grants, "/permissions", "/id"));

        let all = ok(ada.get("/rest/api/3/auditing/record?limit=1").await);
        let none = ok(ada.get("/rest/api/3/auditing/record?filter=nothingmatchesthis").await);
        assert_eq!((none.at("/total"), none.at("/records/0/id")), (all.at("/total"), String::new()));

        let found = ok(ada.get("/rest/api/3/priority/search").await);
        assert!(texts(&found, "/values", "/isDefault").iter().all(|text| text == "false"), "{}", found.text);

        let body = json!({"issueIds": [10000], "jqls": ["project = DEMO", "project = NOPE", "nope = 1"]});
        let matched = ok(ada.post("/rest/api/3/jql/match", body.clone()).await);
        assert_eq!(matched.json()["matches"][1], json!({"matchedIssues": [], "errors": []}));
        assert_ne!(matched.json()["matches"][2]["errors"], json!([]));
        let hidden = json!({"issueIds": [10000], "jqls": ["project = VAULT"]});
        let hidden = ok(world.by("Cleo").post("/rest/api/3/jql/match", hidden).await);
        assert_eq!(hidden.json()["matches"][0], matched.json()["matches"][1], "hidden is as absent");

        let people = ok(ada.get("/rest/api/3/groupuserpicker?query=cl").await);
        assert_eq!(people.at("/users/users/0/displayName"), "Cleo");
        assert_eq!(texts(&ok(ada.get("/rest/api/3/statuses?id=10000&id=99").await), "", "/id"), ["10000"]);
    }
}

#[tokio::test]
async fn a_project_hides_from_those_who_do_not_browse_it() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, cleo, anonymous) = (world.by("Ada"), world.by("Cleo"), world.anonymous());
        ok(ada.post("/rest/api/3/version", json!({"name": "1.0", "project": "VAULT"})).await);
        let component = ok(ada.post("/rest/api/3/component", json!({"name": "safe", "project": "VAULT"})).await);
        new_issue(&ada, json!({"project": {"key": "VAULT"}, "labels": ["hidden"]})).await;
        new_issue(&ada, json!({"project": {"key": "DEMO"}, "labels": ["shown"]})).await;

        assert_eq!(texts(&cleo.get("/rest/api/3/project").await, "", "/key"), ["DEMO"]);
        let found = cleo.get("/rest/api/3/project/search?status=live&status=deleted").await;
        assert_eq!((found.at("/total"), texts(&found, "/values", "/key")), ("1".to_owned(), vec!["DEMO".to_owned()]));
        assert_eq!(texts(&cleo.get("/rest/api/3/project/recent").await, "", "/key"), ["DEMO"]);
        assert_eq!(anonymous.get("/rest/api/3/project/search").await.at("/total"), "0");
        let hidden = cleo.get("/rest/api/3/project/VAULT").await;
        let unknown = cleo.get("/rest/api/3/project/NOPE").await;
        assert_eq!(hidden.text.replace("VAULT", "NOPE"), unknown.text);
        assert_eq!((hidden.status, unknown.status), (404, 404));

        assert_eq!(cleo.get("/rest/api/3/label").await.json().pointer("/values"), Some(&json!(["shown"])));
        assert_eq!(ada.get("/rest/api/3/label").await.at("/total"), "2");
        assert_eq!(
            cleo.get("/rest/api/3/projectvalidate/key?key=VAULT").await.json().pointer("/errors"),
            Some(&json!({}))
        );
        assert_ne!(
            cleo.get("/rest/api/3/projectvalidate/key?key=DEMO").await.json().pointer("/errors"),
            Some(&json!({}))
        );
        assert_eq!(cleo.get("/rest/api/3/component?projectIdsOrKeys=DEMO,VAULT").await.at("/total"), "0");
        let counts = format!("/rest/api/3/component/{}/relatedIssueCounts", component.at("/id"));
        assert_eq!((ada.get(&counts).await.status, cleo.get(&counts).await.status), (200, 404));
        for path in [
            "mypermissions?permissions=BROWSE_PROJECTS&projectKey=VAULT",
            "mypermissions?permissions=BROWSE_PROJECTS&issueKey=VAULT-1",
            "user/assignable/search?project=VAULT",
            "user/viewissue/search?query=b&issueKey=VAULT-1",
            "user/viewissue/search?query=b&projectKey=VAULT",
        ] {
            let answer = cleo.get(&format!("/rest/api/3/{path}")).await;
            let nope = cleo.get(&format!("/rest/api/3/{}", path.replace("VAULT", "NOPE"))).await;
            assert_eq!(answer.status, 404, "{path}: {}", answer.text);
            assert_eq!(answer.text.replace("VAULT", "NOPE"), nope.text);
        }
        let asked = json!({"projectPermissions": [
            {"permissions": ["BROWSE_PROJECTS"], "projects": [10000, 10001, 99999], "issues": [10000, 10003, 99999]}]});
        let told = ok(cleo.post("/rest/api/3/permissions/check", asked.clone()).await);
        assert_eq!(
            told.json().pointer("/projectPermissions"),
            Some(&json!([{"permission": "BROWSE_PROJECTS", "issues": [10000], "projects": [10000]}]))
        );
        let told = ok(ada.post("/rest/api/3/permissions/check", asked).await);
        assert_eq!(told.json().pointer("/projectPermissions/0/projects"), Some(&json!([10000, 10001])));
        let permitted =
            ok(cleo.post("/rest/api/3/permissions/project", json!({"permissions": ["CREATE_ISSUES"]})).await);
        assert_eq!(permitted.json(), json!({"projects": [{"id": 10000, "key": "DEMO"}]}));
    }
}

#[tokio::test]
async fn a_project_is_made_changed_trashed_restored_and_deleted() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let lead = &world.person("Cleo").account_id;
        let body = json!({"key": "NEW", "name": "New one", "projectTypeKey": "business", "leadAccountId": lead});
        let made = ada.post("/rest/api/3/project", body.clone()).await;
        assert_eq!((made.status, made.json().get("id")), (201, Some(&json!(10002))), "{}", made.text);
        let again = ada.post("/rest/api/3/project", body).await;
        assert_eq!(again.status, 400);
        assert_eq!(again.at("/errors/projectKey"), "Project 'New one' uses this project key.");
        assert_eq!(again.at("/errors/projectName"), "A project with that name already exists.");
        assert_eq!(ben.post("/rest/api/3/project", json!({})).await.status, 403);

        // The lead administers it; who does not, cannot change it; nobody but an administrator of Jira changes its key.
        ok(cleo.put("/rest/api/3/project/NEW", json!({"description": "words"})).await);
        assert_eq!(ben.put("/rest/api/3/project/NEW", json!({"description": "no"})).await.status, 403);
        assert_eq!(cleo.put("/rest/api/3/project/NEW", json!({"key": "NEWER"})).await.status, 403);
        assert_eq!(cleo.put("/rest/api/3/project/NEW", json!({"permissionScheme": 10000})).await.status, 403);
        let category = ok(ada.post("/rest/api/3/projectCategory", json!({"name": "Inner"})).await).at("/id");
        let changed = ok(ada
            .put(
                "/rest/api/3/project/NEW",
                json!({"key": "NEWER", "categoryId": category, "url": "https://acme.example"}),
            )
            .await);
        assert_eq!((changed.at("/key"), changed.at("/projectCategory/name")), ("NEWER".to_owned(), "Inner".to_owned()));
        assert_eq!(ada.get("/rest/api/3/project/NEW").await.at("/key"), "NEWER");
        assert_eq!(cleo.put("/rest/api/3/project/NEWER", json!({"key": "NEW"})).await.status, 403);
        ok(ada.send("DELETE", &format!("/rest/api/3/projectCategory/{category}"), None).await);

        let key = new_issue(&cleo, json!({"project": {"key": "NEWER"}, "labels": ["x"]})).await;
        ok(cleo.post(&format!("/rest/api/3/issue/{key}/comment"), json!({"body": paragraph()})).await);
        ok(cleo.put(&format!("/rest/api/3/issue/{key}/properties/p"), json!(1)).await);
        ok(cleo.put("/rest/api/3/project/NEWER/properties/p", json!({"a": [1, 2]})).await);
        assert_eq!(cleo.send("DELETE", "/rest/api/3/project/NEWER", None).await.status, 404);
        assert_eq!(ada.send("DELETE", "/rest/api/3/project/NEWER", None).await.status, 204);
        for path in
            ["project/NEWER", "project/NEW", "project/10002/properties", "project/NEWER/role", &format!("issue/{key}")]
        {
            assert_eq!(ada.get(&format!("/rest/api/3/{path}")).await.status, 404, "{path}");
        }
        assert_eq!(ada.get("/rest/api/3/project/search").await.at("/total"), "2");
        let trash = ada.get("/rest/api/3/project/search?status=deleted").await;
        assert_eq!(texts(&trash, "/values", "/deleted"), ["true"]);
        ok(ada.post("/rest/api/3/project/NEWER/restore", json!({})).await);
        assert_eq!(cleo.get(&format!("/rest/api/3/issue/{key}")).await.status, 200);
        assert_eq!(ada.post("/rest/api/3/project/NEWER/restore", json!({})).await.status, 400);
        assert_eq!(ada.send("DELETE", "/rest/api/3/project/NEWER?enableUndo=false", None).await.status, 204);
        assert_eq!(cleo.get(&format!("/rest/api/3/issue/{key}")).await.status, 404);
        let body = json!({"key": "NEW", "name": "New one", "leadAccountId": lead});
        assert_eq!(
            ok(ada.post("/rest/api/3/project", body).await).json().get("id"),
            Some(&json!(10003)),
            "ids do not return"
        );
    }
}

#[tokio::test]
async fn roles_give_and_take_rights() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let cleo_id = &world.person("Cleo").account_id;
        let members = texts(&ada.get("/rest/api/3/role").await, "", "/id").last().cloned().unwrap();
        let path = format!("/rest/api/3/project/VAULT/role/{members}");

        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 404);
        assert_eq!(ben.post(&path, json!({"user": [cleo_id]})).await.status, 401);
        let added = ok(ada.post(&path, json!({"user": [cleo_id]})).await);
        assert_eq!(texts(&added, "/actors", "/displayName"), ["Ada", "Ben", "Cleo"]);
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 200);
        assert_eq!(ada.send("DELETE", &format!("{path}?user={cleo_id}"), None).await.status, 204);
        assert_eq!(ada.send("DELETE", &format!("{path}?user={cleo_id}"), None).await.status, 204);
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 404);
        assert_eq!(ada.send("DELETE", &path, None).await.status, 400);

        ok(ada.post(&path, json!({"group": ["jira-software-users"]})).await);
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 200);
        let ada_id = &world.person("Ada").account_id;
        ok(ada.put(&path, json!({"categorisedActors": {"atlassian-user-role-actor": [ada_id]}})).await);
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 404);
        assert_eq!(ben.get("/rest/api/3/project/VAULT").await.status, 404);
        assert_eq!(ada.post(&path, json!({"user": ["nope"]})).await.status, 404);
        assert_eq!(ada.post(&path, json!({"user": [], "group": []})).await.status, 400);

        // A role in use goes only with another in its place, which then gives the same.
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/role/{members}"), None).await.status, 409);
        let other = ok(ada.post("/rest/api/3/role", json!({"name": "Guests", "description": ""})).await).at("/id");
        assert_eq!(ada.post("/rest/api/3/role", json!({"name": "guests"})).await.status, 409);
        ok(ada.post(&format!("/rest/api/3/project/VAULT/role/{other}"), json!({"user": [cleo_id]})).await);
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 404);
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/role/{members}?swap={other}"), None).await.status, 204);
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 200);

        // Default actors are for projects to come.
        ok(ada.post(&format!("/rest/api/3/role/{other}/actors"), json!({"user": [cleo_id]})).await);
        ok(ada.post("/rest/api/3/project", json!({"key": "NEW", "name": "New", "leadAccountId": ada_id})).await);
        let actors = ok(ada.get(&format!("/rest/api/3/project/NEW/role/{other}")).await);
        assert_eq!(texts(&actors, "/actors", "/actorUser/accountId").join(" "), *cleo_id);
        ok(ada.send("DELETE", &format!("/rest/api/3/role/{other}/actors?user={cleo_id}"), None).await);
        ok(ada.put(&format!("/rest/api/3/role/{other}"), json!({"name": "Visitors", "description": "d"})).await);
        assert_eq!(
            ok(ada.post(&format!("/rest/api/3/role/{other}"), json!({"name": "Callers"})).await).at("/name"),
            "Callers"
        );
        assert_eq!(cleo.get("/rest/api/3/role").await.status, 403);
    }
}

#[tokio::test]
async fn grants_take_effect_at_once() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
        let cleo_id = &world.person("Cleo").account_id;
        let scheme = ok(ada.get("/rest/api/3/project/VAULT/permissionscheme").await).at("/id");
        let path = format!("/rest/api/3/permissionscheme/{scheme}/permission");
        let browse = |holder: Json| json!({"permission": "BROWSE_PROJECTS", "holder": holder});

        for holder in [
            json!({"type": "user", "parameter": cleo_id}),
            json!({"type": "group", "parameter": "jira-software-users"}),
            json!({"type": "applicationRole"}),
            json!({"type": "applicationRole", "parameter": "jira-software"}),
            json!({"type": "anyone"}),
        ] {
            assert_eq!(cleo.get("/rest/api/3/issue/VAULT-1").await.status, 404, "{holder}");
            let grant = ada.post(&path, browse(holder.clone())).await;
            assert_eq!(grant.status, 201, "{}", grant.text);
            assert_eq!(cleo.get("/rest/api/3/issue/VAULT-1").await.status, 200, "{holder}");
            assert_eq!(ada.post(&path, browse(holder.clone())).await.status, 400, "twice");
            let one = format!("{path}/{}", grant.at("/id"));
            assert_eq!(
                ok(ada.get(&format!("{one}?expand=all")).await).at("/holder/type"),
                holder["type"].as_str().unwrap()
            );
            assert_eq!(ada.send("DELETE", &one, None).await.status, 204);
            assert_eq!(ada.send("DELETE", &one, None).await.status, 404);
        }
        for body in [
            json!({"permission": "FLY", "holder": {"type": "anyone"}}),
            json!({"permission": "ADMINISTER", "holder": {"type": "anyone"}}),
            browse(json!({"type": "user", "parameter": "nope"})),
            browse(json!({"type": "user"})),
            browse(json!({"type": "userCustomField", "parameter": "customfield_10016"})),
            json!({"permission": "BROWSE_PROJECTS"}),
        ] {
            assert_eq!(ada.post(&path, body.clone()).await.status, 400, "{body}");
        }
        assert_eq!(cleo.post(&path, browse(json!({"type": "anyone"}))).await.status, 403);

        // Reporters see their own issue, and the project with it; nobody else learns of either.
        ok(ada.post(&path, browse(json!({"type": "reporter"}))).await);
        assert_eq!(cleo.get("/rest/api/3/project/search").await.at("/total"), "1");
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 404);
        new_issue(&ada, json!({"project": {"key": "VAULT"}, "reporter": {"accountId": cleo_id}})).await;
        assert_eq!(cleo.get("/rest/api/3/issue/VAULT-2").await.status, 200);
        assert_eq!(cleo.get("/rest/api/3/issue/VAULT-1").await.status, 404);
        assert_eq!(cleo.get("/rest/api/3/project/search").await.at("/total"), "2");
        assert_eq!(cleo.get("/rest/api/3/project/VAULT").await.status, 200);

        // A scheme is copied, replaced, assigned, and cannot go while it is used.
        let made = ada
            .post(
                "/rest/api/3/permissionscheme?expand=permissions",
                json!({"name": "Open", "permissions": [
            {"permission": "BROWSE_PROJECTS", "holder": {"type": "anyone"}}]}),
            )
            .await;
        assert_eq!(
            (made.status, texts(&made, "/permissions", "/permission")),
            (201, vec!["BROWSE_PROJECTS".to_owned()])
        );
        let open: i64 = made.at("/id").parse().unwrap();
        assert_eq!(ada.post("/rest/api/3/permissionscheme", json!({"name": "open"})).await.status, 400);
        ok(ada.put("/rest/api/3/project/VAULT/permissionscheme", json!({"id": open})).await);
        assert_eq!(world.anonymous().get("/rest/api/3/issue/VAULT-1").await.status, 200);
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/permissionscheme/{open}"), None).await.status, 400);
        ok(ada
            .put(&format!("/rest/api/3/permissionscheme/{open}"), json!({"name": "Closed", "permissions": []}))
            .await);
        assert_eq!(world.anonymous().get("/rest/api/3/issue/VAULT-1").await.status, 404);
        assert_eq!(
            ada.get("/rest/api/3/issue/VAULT-1").await.status,
            404,
            "an administrator of Jira browses nothing by that"
        );
        ok(ada.put("/rest/api/3/project/VAULT/permissionscheme", json!({"id": 0})).await);
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/permissionscheme/{open}"), None).await.status, 204);
        assert_eq!(cleo.get("/rest/api/3/issue/VAULT-1").await.status, 200);
    }
}

#[tokio::test]
async fn security_levels_hide_issues_and_are_never_lost() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let ben_id = &world.person("Ben").account_id;
        let scheme = ok(ada
            .post(
                "/rest/api/3/issuesecurityschemes",
                json!({"name": "Secrets", "levels": [
                    {"name": "Ben", "members": [{"type": "user", "parameter": ben_id}]},
                    {"name": "Reporters", "isDefault": false, "members": [{"type": "reporter"}]}]}),
            )
            .await)
        .at("/id");
        let whole = ok(ada.get(&format!("/rest/api/3/issuesecurityschemes/{scheme}")).await);
        let levels = texts(&whole, "/levels", "/id");
        let [ben_level, reporters] = levels.as_slice() else { panic!("two levels: {}", whole.text) };
        let members = format!("/rest/api/3/issuesecurityschemes/{scheme}/members");
        assert_eq!(texts(&ada.get(&members).await, "/values", "/holder/type"), ["user", "reporter"]);

        let associate = json!({"projectId": "10000", "schemeId": scheme});
        ok(ada.put("/rest/api/3/issuesecurityschemes/project", associate.clone()).await);
        assert_eq!(ok(ada.get("/rest/api/3/project/DEMO/issuesecuritylevelscheme").await).at("/name"), "Secrets");
        // Only apps may set levels by the default scheme.
        let grant = json!({"permission": "SET_ISSUE_SECURITY", "holder": {"type": "applicationRole"}});
        ok(ada.post("/rest/api/3/permissionscheme/0/permission", grant).await);
        assert_eq!(
            texts(&ben.get("/rest/api/3/project/DEMO/securitylevel").await, "/levels", "/name"),
            ["Ben", "Reporters"]
        );
        assert_eq!(texts(&cleo.get("/rest/api/3/project/DEMO/securitylevel").await, "/levels", "/name"), ["Reporters"]);
        assert_eq!(ben.get(&format!("/rest/api/3/securitylevel/{ben_level}")).await.status, 200);
        assert_eq!(cleo.get(&format!("/rest/api/3/securitylevel/{ben_level}")).await.status, 404);

        let key =
            new_issue(&ben, json!({"project": {"key": "DEMO"}, "security": {"id": ben_level}, "labels": ["deep"]}))
                .await;
        let path = format!("/rest/api/3/issue/{key}");
        assert_eq!(
            (ben.get(&path).await.status, cleo.get(&path).await.status, ada.get(&path).await.status),
            (200, 404, 404)
        );
        assert_eq!(cleo.get("/rest/api/3/label").await.at("/total"), "0");

        let one = format!("/rest/api/3/issuesecurityschemes/{scheme}/level/{ben_level}");
        ok(ada
            .put(&format!("{one}/member"), json!({"members": [{"type": "projectLead"}, {"type": "applicationRole"}]}))
            .await);
        assert_eq!(cleo.get(&path).await.status, 200);
        let found = ada.get(&format!("/rest/api/3/issuesecurityschemes/level/member?levelId={ben_level}")).await;
        for (id, kind) in texts(&found, "/values", "/id").iter().zip(texts(&found, "/values", "/holder/type")) {
            if kind == "applicationRole" {
                assert_eq!(ada.send("DELETE", &format!("{one}/member/{id}"), None).await.status, 204);
            }
        }
        assert_eq!(cleo.get(&path).await.status, 404);

        // A level in use goes only with another in its place; so does a scheme.
        assert_eq!(ada.send("DELETE", &one, None).await.status, 409);
        let second = ok(ada
            .post("/rest/api/3/issuesecurityschemes", json!({"name": "Other", "levels": [{"name": "None"}]}))
            .await)
        .at("/id");
        let none =
            texts(&ada.get(&format!("/rest/api/3/issuesecurityschemes/{second}")).await, "/levels", "/id").remove(0);
        assert_eq!(ada.put("/rest/api/3/project/DEMO", json!({"issueSecurityScheme": second})).await.status, 400);
        let moved = json!({"projectId": "10000", "schemeId": second});
        assert_eq!(ada.put("/rest/api/3/issuesecurityschemes/project", moved).await.status, 400);
        let moved = json!({"projectId": "10000", "schemeId": second,
            "oldToNewSecurityLevelMappings": [{"oldLevelId": ben_level, "newLevelId": none}]});
        ok(ada.put("/rest/api/3/issuesecurityschemes/project", moved).await);
        assert_eq!((ben.get(&path).await.status, cleo.get(&path).await.status), (404, 404));
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/issuesecurityschemes/{second}"), None).await.status, 400);
        let back = json!({"projectId": "10000", "schemeId": scheme,
            "oldToNewSecurityLevelMappings": [{"oldLevelId": none, "newLevelId": ben_level}]});
        ok(ada.put("/rest/api/3/issuesecurityschemes/project", back).await);
        assert_eq!(ben.get(&path).await.status, 200);
        assert_eq!(ada.send("DELETE", &format!("{one}?replaceWith={reporters}"), None).await.status, 204);
        assert_eq!((ben.get(&path).await.status, cleo.get(&path).await.status), (200, 404));
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/issuesecurityschemes/{second}"), None).await.status, 204);
        ok(ada.put(&format!("/rest/api/3/issuesecurityschemes/{scheme}"), json!({"name": "Renamed"})).await);
        let level = format!("/rest/api/3/issuesecurityschemes/{scheme}/level/{reporters}");
        ok(ada.put(&level, json!({"name": "Reporter"})).await);
        ok(ada
            .put(&format!("/rest/api/3/issuesecurityschemes/{scheme}/level"), json!({"levels": [{"name": "More"}]}))
            .await);
        let default = json!({"defaultValues": [{"issueSecuritySchemeId": scheme, "defaultLevelId": reporters}]});
        ok(ada.put("/rest/api/3/issuesecurityschemes/level/default", default).await);
        let whole = ok(ada.get(&format!("/rest/api/3/issuesecurityschemes/{scheme}")).await);
        assert_eq!(whole.at("/defaultSecurityLevelId"), *reporters);
        assert_eq!(cleo.get("/rest/api/3/issuesecurityschemes").await.status, 403);
    }
}

#[tokio::test]
async fn versions_and_components_follow_their_issues() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let mut versions = Vec::new();
        for name in ["1.0", "2.0", "3.0"] {
            let made = ben
                .post("/rest/api/3/version", json!({"name": name, "projectId": 10000, "releaseDate": "2026-01-01"}))
                .await;
            assert_eq!((made.status, made.at("/overdue")), (201, "true".to_owned()), "{}", made.text);
            versions.push(made.at("/id"));
        }
        let [one, two, three] = versions.as_slice() else { unreachable!() };
        assert_eq!(ben.post("/rest/api/3/version", json!({"name": "1.0", "project": "DEMO"})).await.status, 400);
        assert_eq!(cleo.post("/rest/api/3/version", json!({"name": "4.0", "project": "DEMO"})).await.status, 404);
        let key = new_issue(
            &ben,
            json!({"project": {"key": "DEMO"}, "fixVersions": [{"id": one}], "versions": [{"id": two}]}),
        )
        .await;
        let named = async |member: &str| {
            texts(&ben.get(&format!("/rest/api/3/issue/{key}")).await, &format!("/fields/{member}"), "/name")
        };

        let related = ok(ben.get(&format!("/rest/api/3/version/{one}/relatedIssueCounts")).await);
        assert_eq!(
            (related.at("/issuesFixedCount"), related.at("/issuesAffectedCount")),
            ("1".to_owned(), "0".to_owned())
        );
        let unresolved = ok(ben.get(&format!("/rest/api/3/version/{one}/unresolvedIssueCount")).await);
        assert_eq!(unresolved.at("/issuesUnresolvedCount"), "1");
        let expanded = ok(ben.get(&format!("/rest/api/3/version/{one}?expand=issuesstatus")).await);
        assert_eq!(expanded.at("/issuesStatusForFixVersion/toDo"), "1");

        let released = json!({"released": true, "moveUnfixedIssuesTo": format!("http://x/rest/api/3/version/{two}")});
        ok(ben.put(&format!("/rest/api/3/version/{one}"), released).await);
        assert_eq!(named("fixVersions").await, ["2.0"]);
        ok(ben.put(&format!("/rest/api/3/version/{two}/mergeto/{three}"), json!({})).await);
        assert_eq!(
            (named("fixVersions").await, named("versions").await),
            (vec!["3.0".to_owned()], vec!["3.0".to_owned()])
        );
        assert_eq!(ben.get(&format!("/rest/api/3/version/{two}")).await.status, 404);
        ok(ben.post(&format!("/rest/api/3/version/{three}/move"), json!({"position": "First"})).await);
        assert_eq!(texts(&ben.get("/rest/api/3/project/DEMO/versions").await, "", "/name"), ["3.0", "1.0"]);
        ok(ben.post(&format!("/rest/api/3/version/{three}/move"), json!({"after": format!("/version/{one}")})).await);
        assert_eq!(texts(&ben.get("/rest/api/3/project/DEMO/versions").await, "", "/name"), ["1.0", "3.0"]);
        let swap = json!({"moveFixIssuesTo": one.parse::<i64>().unwrap()});
        assert_eq!(ben.post(&format!("/rest/api/3/version/{three}/removeAndSwap"), swap).await.status, 204);
        assert_eq!((named("fixVersions").await, named("versions").await), (vec!["1.0".to_owned()], Vec::new()));
        assert_eq!(ben.send("DELETE", &format!("/rest/api/3/version/{one}"), None).await.status, 204);
        assert_eq!(named("fixVersions").await, Vec::<String>::new());

        let made = ben
            .post("/rest/api/3/component", json!({"name": "Engine", "project": "DEMO", "assigneeType": "PROJECT_LEAD"}))
            .await;
        assert_eq!((made.status, made.at("/assignee/displayName")), (201, "Ben".to_owned()), "{}", made.text);
        let (engine_id, other) = (
            made.at("/id"),
            ok(ben.post("/rest/api/3/component", json!({"name": "Wings", "project": "DEMO"})).await).at("/id"),
        );
        assert_eq!(ben.post("/rest/api/3/component", json!({"name": "engine", "project": "DEMO"})).await.status, 400);
        assert_eq!(cleo.post("/rest/api/3/component", json!({"name": "x", "project": "DEMO"})).await.status, 403);
        ok(ben.put(&format!("/rest/api/3/issue/{key}"), json!({"fields": {"components": [{"id": engine_id}]}})).await);
        let page = ok(ben.get("/rest/api/3/project/DEMO/component?query=eng").await);
        assert_eq!((page.at("/total"), page.at("/values/0/issueCount")), ("1".to_owned(), "1".to_owned()));
        ok(ben.put(&format!("/rest/api/3/component/{engine_id}"), json!({"name": "Motor"})).await);
        assert_eq!(
            ben.send("DELETE", &format!("/rest/api/3/component/{engine_id}?moveIssuesTo={other}"), None).await.status,
            204
        );
        assert_eq!(named("components").await, ["Wings"]);
        assert_eq!(ben.send("DELETE", &format!("/rest/api/3/component/{other}"), None).await.status, 204);
        assert_eq!(ada.get(&format!("/rest/api/3/component/{other}")).await.status, 404);
    }
}

#[tokio::test]
async fn properties_are_kept_per_entity_and_seen_by_those_who_see_it() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, ben, cleo) = (world.by("Ada"), world.by("Ben"), world.by("Cleo"));
        let (ben_id, cleo_id) = (&world.person("Ben").account_id, &world.person("Cleo").account_id);
        let log = ok(ben.post("/rest/api/3/issue/DEMO-1/worklog", json!({"timeSpent": "1h"})).await).at("/id");
        let comment = texts(&ben.get("/rest/api/3/issue/VAULT-1/comment").await, "/comments", "/id").remove(0);
        for (path, query) in [
            ("issue/DEMO-1/properties".to_owned(), String::new()),
            (format!("issue/DEMO-1/worklog/{log}/properties"), String::new()),
            (format!("comment/{comment}/properties"), String::new()),
            ("project/DEMO/properties".to_owned(), String::new()),
            ("user/properties".to_owned(), format!("?accountId={ben_id}")),
        ] {
            let one = format!("/rest/api/3/{path}/a.key{query}");
            assert_eq!(ben.get(&one).await.status, 404, "{path}");
            let first = ben.put(&one, json!({"deep": [1, null, "x"]})).await;
            assert_eq!((first.status, first.text.as_str()), (201, ""), "{path}");
            assert_eq!(ben.put(&one, json!("text")).await.status, 200, "{path}");
            assert_eq!(ben.get(&one).await.json(), json!({"key": "a.key", "value": "text"}), "{path}");
            let keys = ben.get(&format!("/rest/api/3/{path}{query}")).await;
            assert_eq!(texts(&keys, "/keys", "/key"), ["a.key"], "{path}");
            assert_eq!(ben.put(&one, json!("x".repeat(40_000))).await.status, 400, "{path}");
            assert_eq!(
                ben.put(&format!("/rest/api/3/{path}/{}{query}", "k".repeat(256)), json!(1)).await.status,
                400,
                "{path}"
            );
            assert_eq!(ben.send("DELETE", &one, None).await.status, 204, "{path}");
            assert_eq!(ben.send("DELETE", &one, None).await.status, 404, "{path}");
        }
        let hidden = format!("/rest/api/3/comment/{comment}/properties/k");
        assert_eq!((cleo.get(&hidden).await.status, cleo.put(&hidden, json!(1)).await.status), (404, 404));
        assert_eq!(cleo.put("/rest/api/3/project/DEMO/properties/k", json!(1)).await.status, 403);
        let of_cleo = format!("/rest/api/3/user/properties/k?accountId={cleo_id}");
        assert_eq!((ben.put(&of_cleo, json!(1)).await.status, ada.put(&of_cleo, json!(1)).await.status), (403, 201));
        assert_eq!(cleo.get(&of_cleo).await.at("/value"), "1");
        assert_eq!(cleo.get("/rest/api/3/user/properties").await.status, 400);
        ok(ada.put("/rest/api/3/issuetype/10002/properties/k", json!(1)).await);
        assert_eq!(cleo.get("/rest/api/3/issuetype/10002/properties/k").await.at("/value"), "1");
        assert_eq!(cleo.put("/rest/api/3/issuetype/10002/properties/k", json!(1)).await.status, 403);
    }
}

#[tokio::test]
async fn fields_types_and_link_types_are_made_changed_and_removed() {
    for engine in Engine::ALL {
        let world = World::start(engine).await;
        let (ada, cleo) = (world.by("Ada"), world.by("Cleo"));
        let body = json!({"name": "Watchdog", "type": "com.atlassian.jira.plugin.system.customfieldtypes:userpicker"});
        let made = ada.post("/rest/api/3/field", body).await;
        assert_eq!((made.status, made.at("/schema/type")), (201, "user".to_owned()), "{}", made.text);
        let field = made.at("/id");
        assert_eq!(ada.post("/rest/api/3/field", json!({"name": "x", "type": "nope"})).await.status, 400);

        // Who is in the field sees the issue by it.
        let scheme = ok(ada.get("/rest/api/3/project/VAULT/permissionscheme").await).at("/id");
        let grant = json!({"permission": "BROWSE_PROJECTS", "holder": {"type": "userCustomField", "parameter": field}});
        let grant =
            ok(ada.post(&format!("/rest/api/3/permissionscheme/{scheme}/permission?expand=field"), grant).await);
        assert_eq!(grant.at("/holder/field/name"), "Watchdog");
        let cleo_id = &world.person("Cleo").account_id;
        let key = new_issue(&ada, json!({"project": {"key": "VAULT"}, field.clone(): {"accountId": cleo_id}})).await;
        assert_eq!(cleo.get(&format!("/rest/api/3/issue/{key}")).await.status, 200);
        assert_eq!(cleo.get("/rest/api/3/issue/VAULT-1").await.status, 404);
        assert_eq!(texts(&cleo.get("/rest/api/3/project/search").await, "/values", "/key"), ["DEMO", "VAULT"]);

        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/field/{field}"), None).await.status, 400);
        ok(ada.put(&format!("/rest/api/3/field/{field}"), json!({"name": "Keeper"})).await);
        ok(ada.post(&format!("/rest/api/3/field/{field}/trash"), json!({})).await);
        assert_eq!(texts(&ada.get("/rest/api/3/field/search/trashed").await, "/values", "/name"), ["Keeper"]);
        ok(ada.post(&format!("/rest/api/3/field/{field}/restore"), json!({})).await);
        ok(ada.post(&format!("/rest/api/3/field/{field}/trash"), json!({})).await);
        ok(ada.send("DELETE", &format!("/rest/api/3/field/{field}"), None).await);
        assert_eq!(cleo.get(&format!("/rest/api/3/issue/{key}")).await.status, 404);

        let kind = ok(ada.post("/rest/api/3/issuetype", json!({"name": "Chore", "type": "standard"})).await).at("/id");
        assert_eq!(ada.post("/rest/api/3/issuetype", json!({"name": "chore"})).await.status, 409);
        ok(ada.put(&format!("/rest/api/3/issuetype/{kind}"), json!({"name": "Errand"})).await);
        let key = new_issue(&ada, json!({"project": {"key": "DEMO"}, "issuetype": {"id": kind}})).await;
        assert_eq!(ada.send("DELETE", &format!("/rest/api/3/issuetype/{kind}"), None).await.status, 409);
        ok(ada.send("DELETE", &format!("/rest/api/3/issuetype/{kind}?alternativeIssueTypeId=10004"), None).await);
        assert_eq!(ada.get(&format!("/rest/api/3/issue/{key}")).await.at("/fields/issuetype/name"), "Bug");

        let link = json!({"name": "Follows", "inward": "is followed by", "outward": "follows"});
        let made = ada.post("/rest/api/3/issueLinkType", link).await;
        assert_eq!(made.status, 201, "{}", made.text);
        ok(ada.put(&format!("/rest/api/3/issueLinkType/{}", made.at("/id")), json!({"outward": "comes after"})).await);
        ok(ada.send("DELETE", &format!("/rest/api/3/issueLinkType/{}", made.at("/id")), None).await);
        assert_eq!(cleo.send("DELETE", "/rest/api/3/issueLinkType/10000", None).await.status, 404);
    }
}
