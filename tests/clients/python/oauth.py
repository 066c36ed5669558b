"""What the OAuth 2.0 scripts share: the demo's app, and a browser that signs a person in and answers the consent page."""

import re
from types import SimpleNamespace
from urllib.parse import parse_qs, urljoin, urlsplit

import requests

from harness import CLOUD_ID, card, people

APP = SimpleNamespace(**card["oauth_app"])
ENDPOINTS = SimpleNamespace(**card["endpoints"])
GATEWAY = ENDPOINTS.gateway.replace("{cloud_id}", CLOUD_ID)


def consent(person, url, decision="approve"):
    """The callback address that a fresh browser of this person ends at."""
    browser = requests.Session()
    at = urljoin(url, "/")[:-1]
    browser.headers["Origin"] = at
    answer = browser.get(url, allow_redirects=False)
    if answer.status_code == 303 and answer.headers["location"].startswith("/login"):
        back = parse_qs(urlsplit(answer.headers["location"]).query)["return_to"][0]
        form = {"email": person.email, "password": person.password, "return_to": back}
        answer = browser.post(at + "/login", data=form, allow_redirects=False)
        assert answer.status_code == 303, answer.status_code
        answer = browser.get(at + answer.headers["location"], allow_redirects=False)
    if answer.status_code == 303:
        return answer.headers["location"]
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"

    def value(name):
        return re.search(f'name="{name}" value="([^"]*)"', answer.text)[1]

    form = {name: value(name) for name in ("form_token", "request", "site")} | {"decision": decision}
    answer = browser.post(at + "/authorize", data=form, allow_redirects=False)
    assert answer.status_code == 303, f"{answer.status_code} {answer.text[:300]}"
    return answer.headers["location"]


def parameter(url, name):
    return parse_qs(urlsplit(url).query).get(name, [None])[0]


def reads_only(get):
    """What every flow ends with: reading works within the person's permissions, and writing without the scope does not."""
    assert get("/rest/api/3/issue/DEMO-1").status_code == 200
    assert get("/rest/api/3/issue/VAULT-1").status_code == 404
    refused = get("/rest/api/3/auditing/record")
    assert refused.status_code == 401, refused.status_code
    assert refused.json() == {"code": 401, "message": "Unauthorized; scope does not match"}, refused.text
    assert "insufficient_scope" in refused.headers["WWW-Authenticate"]


SITE_URL = card["site"]["url"]
cleo = people.cleo
