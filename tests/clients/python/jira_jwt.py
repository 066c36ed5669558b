"""PyPI `jira` with a Connect app's JWT, and PyPI `atlassian-jwt`."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests
from atlassian_jwt import encode_token
from jira import JIRA
from jira.exceptions import JIRAError

from harness import BASE, Checks, equal, fields, people

check = Checks("jira-jwt")
KEY = "com.example.pyjira"
given = {}


class App(BaseHTTPRequestHandler):
    """A descriptor, and a place to keep the secret."""

    def do_GET(self):
        descriptor = {"key": KEY, "name": KEY, "baseUrl": own, "authentication": {"type": "jwt"}, "scopes": ["WRITE"],
                      "lifecycle": {"installed": "/installed"}}
        self.answer(200, json.dumps(descriptor).encode())

    def do_POST(self):
        given.update(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.answer(204, b"")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), App)
own = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=server.serve_forever, daemon=True).start()
ada = (people.ada.email, people.ada.api_token)
apps = BASE + "/api/portcullis/v1/connect-apps"
made = requests.post(apps, json={"descriptorUrl": own + "/atlassian-connect.json"}, auth=ada, timeout=30)
assert made.status_code == 201, made.text


def login(secret):
    return JIRA(server=BASE, jwt={"secret": secret, "payload": {"iss": KEY}}, max_retries=0, logging=False, get_server_info=False)


@check("the app is itself and writes")
def _():
    jira = login(given["sharedSecret"])
    equal(jira.myself()["accountType"], "app")
    issue = jira.create_issue(fields=fields())
    check.remove_issue_later(issue.key)
    equal(jira.issue(issue.key, fields="summary,status").key, issue.key)
    try:
        issue.delete()
    except JIRAError as error:
        equal(error.status_code, 403)
    else:
        raise AssertionError("deleted without the scope")


@check("another secret")
def _():
    try:
        login(given["sharedSecret"] + "x").myself()
    except JIRAError as error:
        equal(error.status_code, 401)
    else:
        raise AssertionError("let in")


@check("atlassian-jwt signs a request")
def _():
    path = "/rest/api/3/issue/DEMO-1?fields=summary&fields=status"
    token = encode_token("GET", path, **given, payload_kwargs={"iss": KEY})
    answer = requests.get(BASE + path, headers={"Authorization": f"JWT {token}"}, timeout=30)
    equal((answer.status_code, answer.json().get("key")), (200, "DEMO-1"))
    answer = requests.get(BASE + path + "&expand=names", headers={"Authorization": f"JWT {token}"}, timeout=30)
    equal(answer.status_code, 401)


equal(requests.delete(f"{apps}/{KEY}", auth=ada, timeout=30).status_code, 204)
check.end()
