"""PyPI `atlassian-python-api`, legacy class `Jira` with cloud=True: /rest/api/2 with a few calls to v3."""

import io

from atlassian import Jira
from requests import HTTPError

from harness import BASE, NO_ISSUE, PROJECT_ID, Checks, equal, fields, no_project, no_value, people, word

check = Checks("atlassian-python-api")


def login(person, token=None):
    return Jira(url=BASE, username=person.email, password=token or person.api_token, cloud=True, timeout=30)


def refused(status, call):
    """This client raises requests' HTTPError, with the server's words as its text and the response on it."""
    try:
        call()
    except HTTPError as error:
        assert error.response.status_code == status, f"expected {status}, got {error.response.status_code}: {error}"
        return error
    raise AssertionError(f"expected {status}, but it was allowed")


def new_issue(jira, **more):
    key = jira.create_issue(fields={**fields(), **more})["key"]
    check.remove_issue_later(key)
    return key


def field(jira, key, name):
    return jira.get_issue(key)["fields"][name]


ben, cleo, dan = login(people.ben), login(people.cleo), login(people.dan)


@check("ben is himself")
def _():
    equal(ben.myself()["accountId"], people.ben.account_id)


@check("ben lists DEMO and VAULT")
def _():
    assert {"DEMO", "VAULT"} <= {project["key"] for project in ben.projects()}


@check("ben creates an issue and reads it")
def _():
    summary = f"Client check {word()}"
    key = new_issue(ben, summary=summary, description="Some *bold* text")
    equal(ben.issue(key)["fields"]["summary"], summary)
    equal(field(ben, key, "description"), "Some *bold* text")
    assert ben.issue_exists(key)


@check("ben edits the summary")
def _():
    key = new_issue(ben)
    ben.update_issue_field(key, {"summary": "A better summary"})
    equal(field(ben, key, "summary"), "A better summary")


@check("ben comments, edits and deletes the comment")
def _():
    key = new_issue(ben)
    comment = ben.issue_add_comment(key, "first words")["id"]
    ben.issue_edit_comment(key, comment, "second words")
    equal(ben.issue_get_comment(key, comment)["body"], "second words")
    equal(ben.issue_get_comments(key)["total"], 1)
    ben.delete(f"rest/api/2/issue/{key}/comment/{comment}")     # no method of its own
    refused(404, lambda: ben.issue_get_comment(key, comment))


@check("ben moves an issue by a transition from the list")
def _():
    key = new_issue(ben)
    before = ben.get_issue_status(key)
    choice = next(t for t in ben.get_issue_transitions(key) if t["to"] != before)
    ben.set_issue_status_by_transition_id(key, choice["id"])
    equal(ben.get_issue_status(key), choice["to"])


@check("ben assigns and unassigns")
def _():
    key = new_issue(ben)
    found = ben.user_find_by_user_string(query="Cleo")
    assert people.cleo.account_id in {user["accountId"] for user in found}, found
    ben.assign_issue(key, people.cleo.account_id)
    equal(field(ben, key, "assignee")["accountId"], people.cleo.account_id)
    ben.assign_issue(key, None)
    equal(field(ben, key, "assignee"), None)


@check("ben logs work")
def _():
    key = new_issue(ben)
    ben.issue_worklog(key, "2026-07-01T12:00:00.000+0000", 5400, "thinking")
    worklog = ben.issue_get_worklog(key)["worklogs"][0]
    equal((worklog["timeSpent"], worklog["timeSpentSeconds"], worklog["comment"]), ("1h 30m", 5400, "thinking"))


@check("ben links two issues and unlinks them")
def _():
    inward, outward = new_issue(ben), new_issue(ben)
    ben.create_issue_link({"type": {"name": ben.get_issue_link_types()[0]["name"]},
                           "inwardIssue": {"key": inward}, "outwardIssue": {"key": outward}})
    link = field(ben, outward, "issuelinks")[0]
    equal(link["inwardIssue"]["key"], inward)
    equal(ben.get_issue_link(link["id"])["outwardIssue"]["key"], outward)
    ben.remove_issue_link(link["id"])
    equal(field(ben, outward, "issuelinks"), [])


@check("ben adds and removes a watcher")
def _():
    key = new_issue(ben)
    ben.issue_add_watcher(key, people.cleo.account_id)
    assert people.cleo.account_id in {w["accountId"] for w in ben.issue_get_watchers(key)["watchers"]}
    ben.issue_delete_watcher(key, account_id=people.cleo.account_id)
    assert people.cleo.account_id not in {w["accountId"] for w in ben.issue_get_watchers(key)["watchers"]}


@check("ben attaches a file and reads it back")
def _():
    key, content = new_issue(ben), bytes(range(256))
    file = io.BytesIO(content)
    file.name = "all bytes.bin"
    ben.add_attachment_object(key, file)
    (attachment,) = ben.get_attachments_ids_from_issue(key)
    equal(attachment["filename"], "all bytes.bin")
    equal(ben.get_attachment_content(attachment["attachment_id"]), content)
    ben.remove_attachment(attachment["attachment_id"])
    equal(field(ben, key, "attachment"), [])


@check("ben finds the issue by JQL")
def _():
    mark = word()
    key = new_issue(ben, summary=f"Client check {mark}")
    equal([i["key"] for i in ben.jql(f"project = DEMO AND summary ~ {mark}")["issues"]], [key])
    equal([i["key"] for i in ben.enhanced_jql_get_list_of_tickets(f"summary ~ {mark}", fields="summary")], [key])
    equal(ben.approximate_issue_count(f"summary ~ {mark}")["count"], 1)


@check("ben makes a version and a component and deletes them")
def _():
    version = ben.add_version(project_id=PROJECT_ID["DEMO"], version=f"1.0 {word()}")
    component = ben.create_component({"name": f"Part {word()}", "project": "DEMO"})
    assert version["id"] in {v["id"] for v in ben.get_project_versions("DEMO")}
    assert component["id"] in {c["id"] for c in ben.get_project_components("DEMO")}
    ben.delete_version(version["id"])
    ben.delete_component(component["id"])
    refused(404, lambda: ben.component(component["id"]))


@check("ben keeps an issue property and a filter")
def _():
    key = new_issue(ben)
    ben.set_issue_property(key, "check", {"colour": "green"})
    equal(ben.get_issue_property(key, "check")["value"], {"colour": "green"})
    made = ben.create_filter(f"Filter {word()}", "project = DEMO")["id"]
    equal(ben.get_filter(made)["jql"], "project = DEMO")
    ben.delete_filter(made)


@check("ben and cleo read what they may do")
def _():
    held = lambda jira: {key: entry["havePermission"] for key, entry in
                         jira.get_permissions("ADMINISTER_PROJECTS,DELETE_ISSUES", project_key="DEMO")["permissions"].items()}
    equal(held(ben), {"ADMINISTER_PROJECTS": True, "DELETE_ISSUES": True})
    equal(held(cleo), {"ADMINISTER_PROJECTS": False, "DELETE_ISSUES": False})


@check("ben reads fields, priorities, statuses, create metadata and the permission scheme")
def _():
    assert ben.get_all_fields() and ben.get_all_priorities() and ben.get_all_statuses()
    assert ben.issue_createmeta_issuetypes("DEMO")["issueTypes"]
    assert ben.issue_createmeta("DEMO")["projects"][0]["issuetypes"]
    assert ben.get_project_permission_scheme("DEMO")["name"]
    assert ben.get_all_permissionschemes()


@check("ben renames DEMO and renames it back")
def _():
    before = ben.project("DEMO")["name"]
    try:
        equal(ben.update_project("DEMO", {"name": f"{before} renamed"})["name"], f"{before} renamed")
    finally:
        ben.update_project("DEMO", {"name": before})
    equal(ben.project("DEMO")["name"], before)


@check("ben deletes an issue, and then it is not found")
def _():
    key = new_issue(ben)
    ben.delete_issue(key)
    equal(str(refused(404, lambda: ben.get_issue(key))), NO_ISSUE)
    assert not ben.issue_exists(key)


@check("cleo creates, edits and comments in DEMO")
def _():
    key = new_issue(cleo)
    cleo.update_issue_field(key, {"summary": "By Cleo"})
    cleo.issue_add_comment(key, "hello")
    equal(field(ben, key, "summary"), "By Cleo")


@check("cleo may not delete an issue")
def _():
    key = new_issue(cleo)
    error = refused(403, lambda: cleo.delete_issue(key))
    assert str(error) not in ("", "Unknown error"), "the refusal has no words that this client reads"
    ben.get_issue(key)


@check("cleo may not rename DEMO")
def _():
    before = ben.project("DEMO")["name"]
    error = refused(403, lambda: cleo.update_project("DEMO", {"name": "Cleo's"}))
    assert str(error) not in ("", "Unknown error"), "the refusal has no words that this client reads"
    equal(ben.project("DEMO")["name"], before)


@check("cleo does not see VAULT in the list")
def _():
    keys = {project["key"] for project in cleo.projects()}
    assert "DEMO" in keys and "VAULT" not in keys, keys


@check("cleo gets the same not-found errors for VAULT as for nothing")
def _():
    equal(str(refused(404, lambda: cleo.project("VAULT"))), no_project("VAULT"))
    equal(str(refused(404, lambda: cleo.project("NOPE"))), no_project("NOPE"))
    equal(str(refused(404, lambda: cleo.get_issue("VAULT-1"))), NO_ISSUE)
    equal(str(refused(404, lambda: cleo.get_issue("NOPE-1"))), NO_ISSUE)


@check("cleo gets the same JQL error for VAULT as for an unknown project")
def _():
    equal(str(refused(400, lambda: cleo.jql("project = VAULT"))), no_value("VAULT"))
    equal(str(refused(400, lambda: cleo.jql("project = NOPE"))), no_value("NOPE"))


@check("dan has no access to Jira: no projects, no issue, no creating")
def _():
    equal(dan.projects(), [])
    equal(str(refused(404, lambda: dan.get_issue("DEMO-1"))), NO_ISSUE)
    mark = word()
    try:
        new_issue(dan, summary=mark)
        raise AssertionError("Dan created an issue")
    except HTTPError as error:
        assert error.response.status_code in (400, 401, 403), error.response.status_code
    equal(ben.jql(f"summary ~ {mark}")["issues"], [])


@check("dan's myself is refused: it needs access to Jira")
def _():
    try:
        dan.myself()
        raise AssertionError("myself answered")
    except HTTPError as error:
        assert error.response.status_code in (401, 403), error.response.status_code


@check("a wrong token is not let in and told so")
def _():
    error = refused(401, login(people.ben, token="not-the-token").myself)
    equal(str(error), "Unauthorized (401)")      # the client's fixed words for every 401 that is not its kind of JSON
    equal(error.response.headers["X-Seraph-LoginReason"], "AUTHENTICATED_FAILED")


check.end()
