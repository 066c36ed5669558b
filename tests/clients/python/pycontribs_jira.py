"""PyPI `jira` (pycontribs): speaks /rest/api/2, follows the `self` and `content` URLs it is given."""

import io

from jira import JIRA
from jira.exceptions import JIRAError

from harness import BASE, GATE_TEXT, NO_ISSUE, Checks, equal, fields, no_project, no_value, people, word

check = Checks("jira")


def login(person, token=None):
    return JIRA(server=BASE, basic_auth=(person.email, token or person.api_token), max_retries=0, logging=False)


def refused(status, call):
    """The client's own error, with the status it should recognise."""
    try:
        call()
    except JIRAError as error:
        assert error.status_code == status, f"expected {status}, got {error.status_code}: {error.text}"
        return error
    raise AssertionError(f"expected {status}, but it was allowed")


def new_issue(jira, **more):
    issue = jira.create_issue(fields={**fields(), **more})
    check.remove_issue_later(issue.key)
    return issue


ben, cleo, dan = login(people.ben), login(people.cleo), login(people.dan)


@check("sees a Cloud deployment")
def _():
    equal(ben.server_info()["deploymentType"], "Cloud")
    equal(ben.server_info()["baseUrl"], BASE)


@check("ben is himself, also by session()")
def _():
    equal(ben.myself()["accountId"], people.ben.account_id)
    equal(JIRA(server=BASE, basic_auth=(people.ben.email, people.ben.api_token), validate=True, logging=False)
          .current_user("accountId"), people.ben.account_id)


@check("ben lists DEMO and VAULT")
def _():
    assert {"DEMO", "VAULT"} <= {project.key for project in ben.projects()}


@check("ben creates an issue and reads it")
def _():
    summary = f"Client check {word()}"
    made = new_issue(ben, summary=summary, description="Some *bold* text")
    read = ben.issue(made.key)
    equal(read.fields.summary, summary)
    equal(read.fields.description, "Some *bold* text")
    equal(read.fields.reporter.accountId, people.ben.account_id)


@check("ben edits the summary")
def _():
    issue = new_issue(ben)
    issue.update(summary="A better summary")
    equal(ben.issue(issue.key).fields.summary, "A better summary")


@check("ben comments, edits and deletes the comment")
def _():
    issue = new_issue(ben)
    comment = ben.add_comment(issue, "first words")
    comment.update(body="second words")
    equal(ben.comment(issue, comment.id).body, "second words")
    equal([c.id for c in ben.comments(issue)], [comment.id])
    comment.delete()
    refused(404, lambda: ben.comment(issue, comment.id))


@check("ben moves an issue by a transition from the list")
def _():
    issue = new_issue(ben)
    choice = next(t for t in ben.transitions(issue) if t["to"]["id"] != issue.fields.status.id)
    ben.transition_issue(issue, choice["id"])
    equal(ben.issue(issue.key).fields.status.id, choice["to"]["id"])


@check("ben assigns and unassigns")
def _():
    issue = new_issue(ben)
    ben.assign_issue(issue, people.cleo.email)
    equal(ben.issue(issue.key).fields.assignee.accountId, people.cleo.account_id)
    ben.assign_issue(issue, None)
    equal(ben.issue(issue.key).fields.assignee, None)


@check("ben logs work and deletes it")
def _():
    issue = new_issue(ben)
    worklog = ben.add_worklog(issue, timeSpent="1h 30m", comment="thinking")
    equal(worklog.timeSpentSeconds, 5400)
    equal([w.id for w in ben.worklogs(issue)], [worklog.id])
    worklog.delete()
    equal(ben.worklogs(issue), [])


@check("ben links two issues and unlinks them")
def _():
    inward, outward = new_issue(ben), new_issue(ben)
    ben.create_issue_link(ben.issue_link_types()[0].name, inward.key, outward.key)
    link = ben.issue(outward.key).fields.issuelinks[0]
    equal(link.inwardIssue.key, inward.key)
    equal(ben.issue(inward.key).fields.issuelinks[0].outwardIssue.key, outward.key)
    ben.delete_issue_link(link.id)
    equal(ben.issue(outward.key).fields.issuelinks, [])


@check("ben adds and removes a watcher")
def _():
    issue = new_issue(ben)
    ben.add_watcher(issue, people.cleo.email)
    assert people.cleo.account_id in {w.accountId for w in ben.watchers(issue).watchers}
    ben.remove_watcher(issue, people.cleo.email)
    assert people.cleo.account_id not in {w.accountId for w in ben.watchers(issue).watchers}


@check("ben attaches a file and reads it back")
def _():
    issue, content = new_issue(ben), bytes(range(256))
    made = ben.add_attachment(issue=issue.key, attachment=io.BytesIO(content), filename="all bytes.bin")
    read = ben.attachment(made.id)
    equal(read.filename, "all bytes.bin")
    equal(read.get(), content)
    read.delete()
    equal(ben.issue(issue.key).fields.attachment, [])


@check("ben finds the issue by JQL, by GET and by POST")
def _():
    mark = word()
    issue = new_issue(ben, summary=f"Client check {mark}")
    equal([i.key for i in ben.search_issues(f"project = DEMO AND summary ~ {mark}")], [issue.key])
    equal([i.key for i in ben.enhanced_search_issues(f"summary ~ {mark}", fields="summary", use_post=False)], [issue.key])
    equal(ben.approximate_issue_count(f"summary ~ {mark}"), 1)


@check("ben makes a version and a component and deletes them")
def _():
    version = ben.create_version(name=f"1.0 {word()}", project="DEMO")
    component = ben.create_component(name=f"Part {word()}", project="DEMO")
    issue = new_issue(ben, fixVersions=[{"id": version.id}], components=[{"id": component.id}])
    assert version.id in {v.id for v in ben.project_versions("DEMO")}
    assert component.id in {c.id for c in ben.project_components("DEMO")}
    version.delete()
    component.delete()
    equal(ben.issue(issue.key).fields.fixVersions, [])
    equal(ben.issue(issue.key).fields.components, [])


@check("ben keeps an issue property and a remote link")
def _():
    issue = new_issue(ben)
    ben.add_issue_property(issue, "check", {"colour": "green"})
    equal(ben.issue_property(issue, "check").value.colour, "green")
    ben.add_simple_link(issue.key, {"url": "https://example.com/page", "title": "A page"})
    equal([link.object.title for link in ben.remote_links(issue)], ["A page"])


@check("ben and cleo read what they may do")
def _():
    asked = "ADMINISTER,ADMINISTER_PROJECTS,CREATE_ISSUES,DELETE_ISSUES"
    held = lambda jira: {key: entry["havePermission"] for key, entry in
                         jira.my_permissions(projectKey="DEMO", permissions=asked)["permissions"].items()}
    equal(held(ben), {"ADMINISTER": False, "ADMINISTER_PROJECTS": True, "CREATE_ISSUES": True, "DELETE_ISSUES": True})
    equal(held(cleo), {"ADMINISTER": False, "ADMINISTER_PROJECTS": False, "CREATE_ISSUES": True, "DELETE_ISSUES": False})


@check("ben reads roles and the permission scheme of DEMO")
def _():
    for role in ben.project_roles("DEMO").values():
        assert ben.project_role("DEMO", role["id"]).name
    assert ben.project_permissionscheme("DEMO").name


@check("ben renames DEMO and renames it back")
def _():
    project = ben.project("DEMO")
    before = project.name
    try:
        project.update(name=f"{before} renamed")
        equal(ben.project("DEMO").name, f"{before} renamed")
    finally:
        project.update(name=before)
    equal(ben.project("DEMO").name, before)


@check("ben deletes an issue, and then it is not found")
def _():
    issue = new_issue(ben)
    issue.delete()
    equal(refused(404, lambda: ben.issue(issue.key)).text, NO_ISSUE)


@check("cleo creates, edits and comments in DEMO")
def _():
    issue = new_issue(cleo)
    issue.update(summary="By Cleo")
    cleo.add_comment(issue, "hello")
    equal(ben.issue(issue.key).fields.summary, "By Cleo")
    equal(ben.comments(issue)[0].author.accountId, people.cleo.account_id)


@check("cleo may not delete an issue")
def _():
    issue = new_issue(cleo)
    refused(403, issue.delete)
    ben.issue(issue.key)


@check("cleo may not rename DEMO")
def _():
    project = cleo.project("DEMO")
    assert refused(403, lambda: project.update(name="Cleo's")).text
    equal(ben.project("DEMO").name, project.name)


@check("cleo does not see VAULT in the list")
def _():
    keys = {project.key for project in cleo.projects()}
    assert "DEMO" in keys and "VAULT" not in keys, keys


@check("cleo gets the same not-found errors for VAULT as for nothing")
def _():
    equal(refused(404, lambda: cleo.project("VAULT")).text, no_project("VAULT"))
    equal(refused(404, lambda: cleo.project("NOPE")).text, no_project("NOPE"))
    equal(refused(404, lambda: cleo.issue("VAULT-1")).text, NO_ISSUE)
    equal(refused(404, lambda: cleo.issue("NOPE-1")).text, NO_ISSUE)


@check("cleo gets the same JQL error for VAULT as for an unknown project")
def _():
    equal(refused(400, lambda: cleo.search_issues("project = VAULT")).text, no_value("VAULT"))
    equal(refused(400, lambda: cleo.search_issues("project = NOPE")).text, no_value("NOPE"))


@check("dan has no access to Jira: no projects, no issue, no creating")
def _():
    equal(dan.projects(), [])
    equal(refused(404, lambda: dan.issue("DEMO-1")).text, NO_ISSUE)
    mark = word()
    try:
        new_issue(dan, summary=mark)
        raise AssertionError("Dan created an issue")
    except JIRAError as error:
        assert error.status_code in (400, 401, 403), error.status_code
    equal(ben.search_issues(f"summary ~ {mark}"), [])


@check("dan's myself is refused: it needs access to Jira")
def _():
    try:
        dan.myself()
        raise AssertionError("myself answered")
    except JIRAError as error:
        assert error.status_code in (401, 403), error.status_code


@check("a wrong token is not let in and told so")
def _():
    stranger = login(people.ben, token="not-the-token")
    error = refused(401, stranger.myself)
    equal(error.text, GATE_TEXT)
    equal(error.response.headers["X-Seraph-LoginReason"], "AUTHENTICATED_FAILED")


check.end()
