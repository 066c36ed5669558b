"""What the Python scripts share: the card, one line per check, and cleaning up afterwards."""

import base64
import json
import sys
import traceback
import urllib.error
import urllib.request
import uuid
from types import SimpleNamespace

with open(sys.argv[1], encoding="utf-8") as file:
    card = json.load(file)

BASE = card["base_url"].rstrip("/")
CLOUD_ID = card["site"]["cloud_id"]
PROJECT_ID = {project["key"]: project["id"] for project in card["projects"]}
people = SimpleNamespace(**{
    person["name"].split()[0].lower(): SimpleNamespace(**person) for person in card["people"]
})

# Texts that real programs match on; the same whether the thing is hidden or was never there.
GATE_TEXT = "Client must be authenticated to access this resource."
NO_ISSUE = "Issue does not exist or you do not have permission to see it."


def no_project(key):
    return f"No project could be found with key '{key}'."


def no_value(key):
    return f"The value '{key}' does not exist for the field 'project'."


def word():
    """A word that occurs nowhere else on the site, so that searches find exactly what a check made."""
    return "w" + uuid.uuid4().hex[:12]


def http(person, method, path, body=None):
    """One request without any client library, for preparing and cleaning up."""
    credential = base64.b64encode(f"{person.email}:{person.api_token}".encode()).decode()
    request = urllib.request.Request(
        BASE + path, method=method, data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {credential}", "Accept": "application/json", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


_issue_type = None


def issue_type():
    """The id of a type in DEMO that is not a sub-task: `Task` if there is one."""
    global _issue_type
    if _issue_type is None:
        types = [t for t in http(people.ben, "GET", "/rest/api/3/project/DEMO")["issueTypes"] if not t["subtask"]]
        _issue_type = next((t for t in types if t["name"] == "Task"), types[0])["id"]
    return _issue_type


def fields(summary=None):
    return {"project": {"key": "DEMO"}, "issuetype": {"id": issue_type()}, "summary": summary or f"Client check {word()}"}


class Checks:
    """`@check("ben creates an issue")` runs the function at once and prints how it went."""

    def __init__(self, client):
        self.client, self.failed, self._later = client, 0, []

    def __call__(self, name):
        def run(function):
            try:
                function()
                print(f"ok {self.client} {name}", flush=True)
            except Exception as error:
                self.failed += 1
                print(f"FAIL {self.client} {name}: {describe(error)}", flush=True)
        return run

    def later(self, undo):
        self._later.append(undo)

    def remove_issue_later(self, key):
        self.later(lambda: http(people.ben, "DELETE", f"/rest/api/3/issue/{key}?deleteSubtasks=true"))

    def end(self):
        """Removes what is left of the run's own things (most are gone already) and sets the exit status."""
        for undo in reversed(self._later):
            try:
                undo()
            except Exception:
                pass
        sys.exit(10 if self.failed else 0)


def describe(error):
    """The error on one line, with the line of the script it comes from and without any credential."""
    here = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == sys.argv[0]]
    where = f" [line {here[-1].lineno}: {here[-1].line}]" if here else ""
    # str() of a client's error may be pages long or empty: take what the server said.
    answer = getattr(error, "response", None)
    text = f"{answer.url} {answer.text}" if answer is not None else str(error)
    for person in vars(people).values():
        text = text.replace(person.api_token, "***")
    return f"{type(error).__name__} {getattr(error, 'status_code', '')} {' '.join(text.split())[:400]}{where}"


def equal(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"
