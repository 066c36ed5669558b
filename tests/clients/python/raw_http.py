"""Facts on the wire that client libraries hide. Standard library only."""

import base64
import http.client
import json
from types import SimpleNamespace
from urllib.parse import urlsplit

from harness import BASE, CLOUD_ID, GATE_TEXT, NO_ISSUE, Checks, equal, fields, no_project, no_value, people, word

check = Checks("raw-http")
JSON = "application/json;charset=UTF-8"
PROBLEM = "application/problem+json;charset=UTF-8"


def basic(email, token):
    return "Basic " + base64.b64encode(f"{email}:{token}".encode()).decode()


def send(method, path, who=None, body=None, accept="application/json", kind="application/json", **headers):
    """One request exactly as written: no redirect, no header but those named here."""
    url = urlsplit(BASE)
    connection = (http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection)(url.netloc, timeout=30)
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(who, str):
        sent["Authorization"] = who
    elif who:
        sent["Authorization"] = basic(who.email, who.api_token)
    if accept:
        sent["Accept"] = accept
    if kind and method not in ("GET", "HEAD"):
        sent["Content-Type"] = kind
    try:
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    return SimpleNamespace(status=answer.status, headers=answer.headers, text=text, json=parsed,
                           names=sorted(name.lower() for name in answer.headers))


def errors(*messages, **fields):
    return {"errorMessages": list(messages), "errors": fields}


def new_issue(who=people.ben, **more):
    answer = send("POST", "/rest/api/3/issue", who, {"fields": {**fields(), **more}})
    assert answer.status == 201, f"{answer.status} {answer.text}"
    check.remove_issue_later(answer.json["key"])
    return answer.json["key"]


WRONG = basic(people.ben.email, "not-the-token")


@check("no credential: 401 with exactly 53 bytes and a challenge")
def _():
    for accept, kind in [("*/*", "text/html"), (None, "text/plain"), ("application/json", "application/json")]:
        answer = send("GET", "/rest/api/3/myself", accept=accept)
        equal((answer.status, answer.text, len(answer.text)), (401, GATE_TEXT, 53))
        equal(answer.headers.get_content_type(), kind)
        assert answer.headers["WWW-Authenticate"].startswith('OAuth realm="'), answer.headers["WWW-Authenticate"]
        assert "X-Seraph-LoginReason" not in answer.headers


@check("every answer carries its own Atl-Traceid of 32 hex digits")
def _():
    answers = [
        send("GET", "/rest/api/3/myself", people.ben), send("GET", "/rest/api/3/myself"),
        send("GET", "/rest/api/3/nope", people.ben), send("PUT", "/rest/api/3/myself", people.ben, {}),
        send("GET", "/rest/api/3/issue/VAULT-1", people.cleo), send("GET", "/rest/api/3/search?jql=x", people.ben),
    ]
    traces = [answer.headers["Atl-Traceid"] for answer in answers]
    for trace in traces:
        assert trace and len(trace) == 32 and set(trace) <= set("0123456789abcdef"), traces
    equal(len(set(traces)), len(traces))


@check("JSON answers say application/json;charset=UTF-8, are not kept, and name the caller")
def _():
    for answer in [send("GET", "/rest/api/3/myself", people.ben), send("GET", "/rest/api/3/issue/NOPE-1", people.ben)]:
        equal(answer.headers["Content-Type"], JSON)
        assert "no-store" in answer.headers["Cache-Control"]
        equal(answer.headers["X-Content-Type-Options"], "nosniff")
        equal(answer.headers["X-AAccountId"], people.ben.account_id)


@check("refusals carry Portcullis-Decision: 401, 403, and 404 that hides")
def _():
    key = new_issue(people.cleo)
    for answer, status in [
        (send("GET", "/rest/api/3/myself"), 401),
        (send("DELETE", f"/rest/api/3/issue/{key}", people.cleo), 403),
        (send("PUT", "/rest/api/3/project/DEMO", people.cleo, {"name": "Cleo's"}), 403),
        (send("GET", "/rest/api/3/issue/VAULT-1", people.cleo), 404),
        (send("GET", "/rest/api/3/project/VAULT", people.cleo), 404),
    ]:
        equal(answer.status, status)
        assert answer.headers["Portcullis-Decision"], f"no Portcullis-Decision on a {status}"


@check("hidden and never there give the same answer: status, body, headers")
def _():
    hidden, absent = (send("GET", f"/rest/api/3/issue/{key}", people.cleo) for key in ("VAULT-1", "NOPE-1"))
    equal((hidden.status, hidden.json), (404, errors(NO_ISSUE)))
    equal((hidden.status, hidden.text, hidden.names), (absent.status, absent.text, absent.names))
    hidden, absent = (send("GET", f"/rest/api/3/project/{key}", people.cleo) for key in ("VAULT", "NOPE"))
    equal((hidden.status, hidden.json), (404, errors(no_project("VAULT"))))
    equal((hidden.status, hidden.text, hidden.names), (404, absent.text.replace("NOPE", "VAULT"), absent.names))


@check("hidden and never there are the same for writes too")
def _():
    for method, path, body in [
        ("PUT", "", {"fields": {"summary": "x"}}), ("DELETE", "", None), ("POST", "/comment", {"body": None}),
        ("POST", "/worklog", {"timeSpent": "1h"}), ("POST", "/watchers", None), ("GET", "/transitions", None),
        ("PUT", "/assignee", {"accountId": people.cleo.account_id}), ("PUT", "/properties/check", {"a": 1}),
    ]:
        hidden, absent = (send(method, f"/rest/api/3/issue/{key}{path}", people.cleo, body) for key in ("VAULT-1", "NOPE-1"))
        assert hidden.status in (400, 404), f"{method} {path}: {hidden.status}"
        equal((hidden.status, hidden.text, hidden.names), (absent.status, absent.text, absent.names))


@check("JQL names a hidden project exactly as an unknown one")
def _():
    for method in ("GET", "POST"):
        ask = lambda key: (send("GET", f"/rest/api/3/search/jql?jql=project%3D{key}", people.cleo) if method == "GET" else
                           send("POST", "/rest/api/3/search/jql", people.cleo, {"jql": f"project = {key}"}))
        hidden, absent = ask("VAULT"), ask("NOPE")
        equal((hidden.status, hidden.json["errorMessages"]), (400, [no_value("VAULT")]))
        equal((hidden.text, hidden.names), (absent.text.replace("NOPE", "VAULT"), absent.names))


@check("a project key in a path counts its capitals, an issue key does not")
def _():
    key = new_issue()
    equal(send("GET", "/rest/api/3/project/demo", people.ben).status, 404)
    equal(send("GET", f"/rest/api/3/issue/{key.lower()}", people.ben).json["key"], key)


@check("a wrong token: anonymous answers, and the Seraph header on each")
def _():
    # The documents leave open whether the site answers such a caller as anonymous or refuses at once.
    listed = send("GET", "/rest/api/3/project/search", WRONG)
    assert listed.status == 401 or (listed.status, listed.json["values"]) == (200, []), listed.text
    issue = send("GET", "/rest/api/3/issue/DEMO-1", WRONG)
    assert issue.status == 401 or (issue.status, issue.json) == (404, errors(NO_ISSUE)), issue.text
    myself = send("GET", "/rest/api/3/myself", WRONG)
    equal(myself.status, 401)
    for answer in (listed, issue, myself):
        equal(answer.headers["X-Seraph-LoginReason"], "AUTHENTICATED_FAILED")
        assert "X-AAccountId" not in answer.headers


@check("a wrong token writes nothing")
def _():
    mark = word()
    answer = send("POST", "/rest/api/3/issue", WRONG, {"fields": fields(mark)})
    assert answer.status in (400, 401, 403), answer.status
    equal(send("GET", f"/rest/api/3/search/jql?jql=summary~{mark}", people.ben).json["issues"], [])


@check("after wrong tokens the right one still works")
def _():
    for _ in range(5):
        send("GET", "/rest/api/3/myself", WRONG)
    equal(send("GET", "/rest/api/3/myself", people.ben).status, 200)


@check("a password is no API token")
def _():
    equal(send("GET", "/rest/api/3/myself", basic(people.ben.email, people.ben.password)).status, 401)


@check("an opaque bearer on the site host: 403")
def _():
    answer = send("GET", "/rest/api/3/myself", "Bearer something")
    equal((answer.status, answer.json), (403, {"error": "Failed to parse Connect Session Auth Token"}))


@check("unknown path: 404 problem+json for Ben, the gate for nobody")
def _():
    answer = send("GET", "/rest/api/3/nope", people.ben)
    equal((answer.status, answer.headers["Content-Type"]), (404, PROBLEM))
    equal((answer.json["type"], answer.json["status"], answer.json["detail"]), ("about:blank", 404, "No endpoint GET /rest/api/3/nope."))
    assert "title" in answer.json and "instance" in answer.json, answer.text
    equal(send("GET", "/rest/api/3/nope").status, 401)


@check("wrong method: 405 problem+json with Allow")
def _():
    answer = send("PUT", "/rest/api/3/serverInfo", people.ben, {})
    equal((answer.status, answer.headers["Content-Type"], answer.json["detail"]), (405, PROBLEM, "Method 'PUT' is not supported."))
    assert "GET" in answer.headers["Allow"] and "PUT" not in answer.headers["Allow"], answer.headers["Allow"]


@check("PATCH never gets in: 400")
def _():
    equal(send("PATCH", "/rest/api/3/issue/DEMO-1", people.ben, {"fields": {"summary": "x"}}).status, 400)


@check("wrong media type: 415 problem+json, before any credential is looked at")
def _():
    for who in (people.ben, None):
        for kind, named in [("text/plain", "text/plain"), (None, "null")]:
            answer = send("POST", "/rest/api/3/issue", who, '{"fields":{}}', kind=kind)
            equal((answer.status, answer.headers["Content-Type"], answer.json["detail"]),
                  (415, PROBLEM, f"Content-Type '{named}' is not supported."))
            assert "application/json" in answer.headers["Accept"]


@check("a body that is not JSON: 400 that says so")
def _():
    for body in ("{", "", "[]"):
        answer = send("POST", "/rest/api/3/issue", people.ben, body)
        equal(answer.status, 400)
        assert answer.json["errorMessages"], answer.text


@check("a parameter of the wrong type: 400 problem+json, seen or unseen")
def _():
    for key in ("DEMO-1", "VAULT-1", "NOPE-1"):
        answer = send("GET", f"/rest/api/3/issue/{key}/comment?maxResults=abc", people.cleo)
        equal((answer.status, answer.headers["Content-Type"]), (400, PROBLEM))
        assert answer.json["detail"].startswith("Failed to convert 'maxResults' with value: 'abc'"), answer.text


@check("the removed search: 410 that names its successor, both versions and methods")
def _():
    for version in (2, 3):
        for method in ("GET", "POST"):
            answer = send(method, f"/rest/api/{version}/search", people.ben, {"jql": "project = DEMO"} if method == "POST" else None)
            equal(answer.status, 410)
            assert "/rest/api/3/search/jql" in answer.json["errorMessages"][0], answer.text


@check("search/jql: unbounded, bad page size, unknown member and bad token are 400")
def _():
    for body in ({}, {"jql": ""}, {"jql": "ORDER BY created"}, {"jql": "project = DEMO", "maxResults": 0},
                 {"jql": "project = DEMO", "startAt": 0}, {"jql": "project = DEMO", "nextPageToken": "nope"}):
        answer = send("POST", "/rest/api/3/search/jql", people.ben, body)
        assert answer.status == 400, f"{body}: {answer.status} {answer.text}"


@check("search/jql: pages by token, ids only unless fields are asked for")
def _():
    mark = word()
    keys = {new_issue(summary=f"{mark} {n}") for n in range(3)}
    seen, token = [], None
    for _ in range(3):
        page = send("POST", "/rest/api/3/search/jql", people.ben,
                    {"jql": f"summary ~ {mark}", "maxResults": 2, **({"nextPageToken": token} if token else {})}).json
        seen += page["issues"]
        token = page.get("nextPageToken")
        equal(page["isLast"], token is None)
        if not token:
            break
    equal(len(seen), 3)
    assert all("id" in issue and "fields" not in issue for issue in seen), seen
    found = send("GET", f"/rest/api/3/search/jql?jql=summary~{mark}&fields=summary", people.ben).json["issues"]
    equal({issue["key"] for issue in found}, keys)


def upload(who, key, token):
    form = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--edge--\r\n"
    more = {"X_Atlassian_Token": token} if token else {}
    return send("POST", f"/rest/api/3/issue/{key}/attachments", who, form, kind="multipart/form-data; boundary=edge", **more)


@check("attaching without X-Atlassian-Token: 403, and nothing is attached")
def _():
    key = new_issue()
    answer = upload(people.ben, key, None)
    equal((answer.status, "XSRF" in answer.text), (403, True))
    equal(send("GET", f"/rest/api/3/issue/{key}?fields=attachment", people.ben).json["fields"]["attachment"], [])


@check("attaching with no-check, or nocheck as one client writes it")
def _():
    key = new_issue()
    for token in ("no-check", "nocheck"):
        answer = upload(people.ben, key, token)
        assert answer.status == 200, f"{token}: {answer.status} {answer.text}"
        assert isinstance(answer.json[0]["id"], str)
    whole = send("GET", f"/rest/api/3/attachment/{answer.json[0]['id']}", people.ben).json
    assert isinstance(whole["id"], int)
    content = send("GET", f"/rest/api/3/attachment/content/{whole['id']}?redirect=false", people.ben, accept="*/*")
    equal((content.status, content.text, content.headers.get_content_type()), (200, "hello", "text/plain"))
    part = send("GET", f"/rest/api/3/attachment/content/{whole['id']}?redirect=false", people.ben, accept="*/*", Range="bytes=1-2")
    equal((part.status, part.text), (206, "el"))


@check("an attachment's address is no way round a right that ended")
def _():
    key = new_issue()
    made = upload(people.ben, key, "no-check").json[0]["id"]
    assert send("GET", f"/rest/api/3/attachment/content/{made}", people.dan).status in (401, 403, 404)
    assert send("GET", f"/rest/api/3/attachment/content/{made}").status in (401, 403, 404)
    send("DELETE", f"/rest/api/3/issue/{key}", people.ben)
    equal(send("GET", f"/rest/api/3/attachment/{made}", people.ben).status, 404)


@check("linking two issues: 201 with an empty body; a second time is a success")
def _():
    inward, outward = new_issue(), new_issue()
    kind = send("GET", "/rest/api/3/issueLinkType", people.ben).json["issueLinkTypes"][0]["name"]
    for _ in range(2):
        answer = send("POST", "/rest/api/3/issueLink", people.ben,
                      {"type": {"name": kind}, "inwardIssue": {"key": inward}, "outwardIssue": {"key": outward}})
        equal((answer.status, answer.text, answer.headers["Location"]), (201, "", None))


@check("v3 wants a document, v2 wants text, and each reads what the other wrote")
def _():
    document = {"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": "plain words"}]}]}
    equal(send("POST", "/rest/api/3/issue", people.ben, {"fields": {**fields(), "description": "plain words"}}).status, 400)
    key = new_issue(description=document)
    equal(send("GET", f"/rest/api/2/issue/{key}?fields=description", people.ben).json["fields"]["description"], "plain words")
    send("PUT", f"/rest/api/2/issue/{key}", people.ben, {"fields": {"description": "plain words"}})
    equal(send("GET", f"/rest/api/3/issue/{key}?fields=description", people.ben).json["fields"]["description"], document)


@check("`self` follows the version that was called; latest is 2")
def _():
    for version, named in [("3", "3"), ("2", "2"), ("latest", "2")]:
        equal(send("GET", f"/rest/api/{version}/project/DEMO", people.ben).json["self"].split("/project/")[0], f"{BASE}/rest/api/{named}")


@check("mypermissions wants to be asked for something it knows")
def _():
    for query in ("", "?permissions=", "?permissions=NO_SUCH_PERMISSION"):
        equal(send("GET", f"/rest/api/3/mypermissions{query}", people.ben).status, 400)
    hidden, absent = (send("GET", f"/rest/api/3/mypermissions?permissions=BROWSE_PROJECTS&projectKey={key}", people.cleo)
                      for key in ("VAULT", "NOPE"))
    equal((hidden.status, hidden.text), (404, absent.text.replace("NOPE", "VAULT")))


@check("what nobody may read without a credential: serverInfo and the cloud id, no project")
def _():
    equal(send("GET", "/rest/api/3/serverInfo").json["deploymentType"], "Cloud")
    equal(send("GET", "/_edge/tenant_info").json, {"cloudId": CLOUD_ID})
    equal(send("GET", "/rest/api/3/project/search").json["values"], [])
    equal(send("GET", "/rest/api/3/issue/DEMO-1").json, errors(NO_ISSUE))


@check("a path that is not in its plain form: 400")
def _():
    for path in ("/rest/api/3/../3/myself", "/rest/api/3/./myself", "/rest/api/3/%2e%2e/3/myself"):
        equal(send("GET", path, people.ben).status, 400)


@check("too much: 413 for a body, 431 for headers; nothing breaks")
def _():
    try:
        equal(send("POST", "/rest/api/3/issue", people.ben, '{"fields":{"summary":"' + "x" * (64 << 20) + '"}}').status, 413)
    except (BrokenPipeError, ConnectionResetError):
        pass        # answered and hung up before the body was sent: as good
    try:
        equal(send("GET", "/rest/api/3/myself", people.ben, X_Long="x" * (40 << 10)).status, 431)
    except (BrokenPipeError, ConnectionResetError):
        pass
    equal(send("GET", "/rest/api/3/myself", people.ben).status, 200)


check.end()
