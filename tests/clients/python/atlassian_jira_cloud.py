"""PyPI `atlassian-python-api`, class `JiraCloud`: methods generated from the vendor's contract, everything through /rest/api/3."""

import io

from atlassian.jira import JiraCloud
from requests import HTTPError

from harness import BASE, NO_ISSUE, PROJECT_ID, Checks, equal, fields, no_project, people, word

check = Checks("atlassian-jira-cloud")


def login(person, token=None):
    return JiraCloud(BASE, username=person.email, password=token or person.api_token, timeout=30)


def refused(status, call):
    """This client raises requests' HTTPError, with the server's words as its text and the response on it."""
    try:
        call()
    except HTTPError as error:
        assert error.response.status_code == status, f"expected {status}, got {error.response.status_code}: {error}"
        return error
    raise AssertionError(f"expected {status}, but it was allowed")


def document(text):
    return {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]}


def words(node):
    return node.get("text", "") + "".join(words(child) for child in node.get("content", []))


def new_issue(jira, **more):
    key = jira.create_issue(data={"fields": {**fields(), **more}})["key"]
    check.remove_issue_later(key)
    return key


def field(jira, key, name):
    return jira.get_issue(key, fields=name)["fields"][name]


ben, cleo, dan = login(people.ben), login(people.cleo), login(people.dan)


@check("ben is himself")
def _():
    equal(ben.get_current_user()["accountId"], people.ben.account_id)
    equal(ben.get_server_info()["deploymentType"], "Cloud")


@check("ben lists DEMO and VAULT")
def _():
    page = ben.search_projects(expand="description,lead,issueTypes,url,projectKeys,permissions,insight")
    assert {"DEMO", "VAULT"} <= {project["key"] for project in page["values"]}


@check("ben creates, edits and reads an issue")
def _():
    key = new_issue(ben, description=document("plain words"))
    ben.edit_issue(key, data={"fields": {"summary": "A better summary"}, "update": {"labels": [{"add": "checked"}]}})
    issue = ben.get_issue(key, expand="renderedFields,names,schema,transitions,operations,editmeta,changelog")
    read = issue["fields"]
    equal((read["summary"], read["labels"], words(read["description"])), ("A better summary", ["checked"], "plain words"))


@check("ben comments, edits and deletes the comment")
def _():
    key = new_issue(ben)
    comment = ben.add_comment(key, data={"body": document("first words")})["id"]
    ben.update_comment(key, comment, data={"body": document("second words")})
    equal(words(ben.get_comment(key, comment)["body"]), "second words")
    equal(ben.get_comments(key, order_by="-created")["total"], 1)
    ben.delete_comment(key, comment)
    refused(404, lambda: ben.get_comment(key, comment))


@check("ben moves an issue by a transition from the list and reads the change, also of many issues at once")
def _():
    key, other = new_issue(ben), new_issue(ben)
    before = field(ben, key, "status")["id"]
    choice = next(t for t in ben.get_transitions(key)["transitions"] if t["to"]["id"] != before)
    ben.do_transition(key, data={"transition": {"id": choice["id"]}})
    equal(field(ben, key, "status")["id"], choice["to"]["id"])
    (change,) = [c for c in ben.get_change_logs(key)["values"] if c["items"][0]["fieldId"] == "status"]
    ben.edit_issue(other, data={"fields": {"summary": "Another summary"}})
    logs = ben.get_bulk_changelogs(data={"issueIdsOrKeys": [key, other, "DEMO-999999"], "fieldIds": ["status"]})
    equal([h["id"] for log in logs["issueChangeLogs"] for h in log["changeHistories"]], [change["id"]])


@check("ben pages through the changes of many issues")
def _():
    keys, seen, token = [new_issue(ben), new_issue(ben)], [], None
    for key in keys:
        for label in ("one", "two", "three"):
            ben.edit_issue(key, data={"update": {"labels": [{"add": label}]}})
    for _ in range(3):
        asked = {"issueIdsOrKeys": keys, "fieldIds": ["labels"], "maxResults": 2, "nextPageToken": token}
        page = ben.get_bulk_changelogs(data=asked)
        seen += [item["toString"] for log in page["issueChangeLogs"] for h in log["changeHistories"] for item in h["items"]]
        token = page.get("nextPageToken")
    equal((len(seen), token), (6, None))
    refused(400, lambda: ben.get_bulk_changelogs(data={"issueIdsOrKeys": keys, "nextPageToken": "nonsense"}))


@check("ben assigns, watches and logs work")
def _():
    key = new_issue(ben)
    (found,) = ben.find_users(query=people.cleo.email)
    (found,) = ben.find_bulk_assignable_users(project_keys="DEMO", query=people.cleo.email)
    ben.assign_issue(key, data={"accountId": found["accountId"]})
    equal(field(ben, key, "assignee")["accountId"], people.cleo.account_id)
    ben.remove_watcher(key, account_id=people.ben.account_id)
    equal(ben.get_issue_watchers(key)["isWatching"], False)
    ben.add_worklog(key, data={"timeSpent": "1h 30m", "comment": document("thinking")})
    equal([w["timeSpentSeconds"] for w in ben.get_issue_worklog(key)["worklogs"]], [5400])


@check("ben links two issues and unlinks them")
def _():
    inward, outward = new_issue(ben), new_issue(ben)
    kind = ben.get_issue_link_types()["issueLinkTypes"][0]["name"]
    ben.link_issues(data={"type": {"name": kind}, "inwardIssue": {"key": inward}, "outwardIssue": {"key": outward}})
    (link,) = field(ben, outward, "issuelinks")
    equal(link["inwardIssue"]["key"], inward)
    ben.delete_issue_link(link["id"])
    equal(field(ben, inward, "issuelinks"), [])


@check("ben attaches a file and reads it back")
def _():
    key, content = new_issue(ben), bytes(range(256))
    # The generated method knows no multipart; the client's own request function takes files.
    (made,) = ben.add_attachment(key, headers={"Accept": "application/json", "X-Atlassian-Token": "no-check"},
                                 files={"file": ("all bytes.bin", io.BytesIO(content))})
    equal(ben.get_attachment(made["id"])["filename"], "all bytes.bin")
    equal(ben.get_attachment_content(made["id"], not_json_response=True), content)
    ben.remove_attachment(made["id"])
    equal(field(ben, key, "attachment"), [])


@check("ben finds the issue by JQL, by GET and by POST")
def _():
    mark = word()
    key = new_issue(ben, summary=f"Client check {mark}")
    jql = f"project = DEMO AND summary ~ {mark}"
    got = ben.search_and_reconsile_issues_using_jql(jql=jql, fields="summary")
    posted = ben.search_and_reconsile_issues_using_jql_post(data={"jql": jql, "fields": ["summary"]})
    equal([[issue["key"] for issue in page["issues"]] for page in (got, posted)], [[key], [key]])
    equal(ben.count_issues(data={"jql": jql})["count"], 1)
    error = refused(410, lambda: ben.search_for_issues_using_jql(jql=jql))
    assert "/rest/api/3/search/jql" in str(error), error


@check("ben makes a version and a component and deletes them")
def _():
    version = ben.create_version(data={"name": f"1.0 {word()}", "projectId": int(PROJECT_ID["DEMO"])})
    component = ben.create_component(data={"name": f"Part {word()}", "project": "DEMO"})
    assert version["id"] in {v["id"] for v in ben.get_project_versions("DEMO")}
    assert component["id"] in {c["id"] for c in ben.get_project_components("DEMO")}
    ben.delete_and_replace_version(version["id"], data={})
    ben.delete_component(component["id"])
    refused(404, lambda: ben.get_component(component["id"]))


@check("ben and cleo read what they may do")
def _():
    held = lambda jira: {key: entry["havePermission"] for key, entry in jira.get_my_permissions(
        project_key="DEMO", permissions="ADMINISTER_PROJECTS,DELETE_ISSUES")["permissions"].items()}
    equal(held(ben), {"ADMINISTER_PROJECTS": True, "DELETE_ISSUES": True})
    equal(held(cleo), {"ADMINISTER_PROJECTS": False, "DELETE_ISSUES": False})


@check("ben deletes an issue, and then it is not found")
def _():
    key = new_issue(ben)
    ben.delete_issue(key)
    equal(str(refused(404, lambda: ben.get_issue(key))), NO_ISSUE)


@check("cleo may not delete an issue nor rename DEMO")
def _():
    key = new_issue(cleo)
    for call in (lambda: cleo.delete_issue(key), lambda: cleo.update_project("DEMO", data={"name": "Cleo's"})):
        assert str(refused(403, call)) not in ("", "Unknown error"), "the refusal has no words that this client reads"
    ben.get_issue(key)


@check("cleo sees nothing of VAULT")
def _():
    assert "VAULT" not in {project["key"] for project in cleo.search_projects()["values"]}
    equal(str(refused(404, lambda: cleo.get_project("VAULT"))), no_project("VAULT"))
    equal(str(refused(404, lambda: cleo.get_issue("VAULT-1"))), NO_ISSUE)
    equal(str(refused(404, lambda: cleo.find_bulk_assignable_users(project_keys="DEMO,VAULT"))), no_project("VAULT"))
    fetched = cleo.bulk_fetch_issues(data={"issueIdsOrKeys": ["VAULT-1", "DEMO-1"]})
    equal([issue["key"] for issue in fetched["issues"]], ["DEMO-1"])
    equal(cleo.get_bulk_changelogs(data={"issueIdsOrKeys": ["VAULT-1", "VAULT-999999"]})["issueChangeLogs"], [])


@check("dan and a wrong token reach nothing")
def _():
    refused(404, lambda: dan.get_issue("DEMO-1"))
    equal(dan.search_projects()["values"], [])
    wrong = login(people.ben, "wrong")
    equal(refused(401, wrong.get_current_user).response.headers["x-seraph-loginreason"], "AUTHENTICATED_FAILED")
    refused(404, lambda: wrong.get_issue("DEMO-1"))


check.end()
