"""PyPI `requests-oauthlib`: raises a warning as an error when a scope differs, refreshes with the secret in the body."""

import os

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the demo speaks plain HTTP on this machine

from oauthlib.oauth2.rfc6749.errors import InvalidGrantError, MismatchingStateError
from requests_oauthlib import OAuth2Session

from harness import Checks, equal
from oauth import APP, ENDPOINTS, GATEWAY, cleo, consent, reads_only

check = Checks("requests-oauthlib")
SCOPE = ["read:jira-work", "read:me", "offline_access"]
client = OAuth2Session(APP.client_id, scope=SCOPE, redirect_uri=APP.redirect_uri)


@check("code flow as the vendor documents it")
def _():
    url, _ = client.authorization_url(ENDPOINTS.authorize, audience="api.atlassian.com", prompt="consent")
    callback = consent(cleo, url)
    client.fetch_token(ENDPOINTS.token, authorization_response=callback.replace("http://localhost", "https://localhost"),
                       client_secret=APP.client_secret)
    reads_only(lambda path: client.get(GATEWAY + path))
    equal(client.get(ENDPOINTS.me).json()["email"], cleo.email)
    equal(len(client.get(ENDPOINTS.accessible_resources).json()), 1)


@check("refreshes")
def _():
    old = client.token["refresh_token"]
    token = client.refresh_token(ENDPOINTS.token, client_id=APP.client_id, client_secret=APP.client_secret)
    assert token["refresh_token"] != old
    reads_only(lambda path: client.get(GATEWAY + path))


@check("an answer to somebody else's question is refused by the client")
def _():
    other = OAuth2Session(APP.client_id, scope=SCOPE, redirect_uri=APP.redirect_uri)
    other.authorization_url(ENDPOINTS.authorize)
    callback = consent(cleo, OAuth2Session(APP.client_id, scope=SCOPE, redirect_uri=APP.redirect_uri).authorization_url(ENDPOINTS.authorize)[0])
    try:
        other.fetch_token(ENDPOINTS.token, authorization_response=callback, client_secret=APP.client_secret)
    except MismatchingStateError:
        return
    raise AssertionError("expected MismatchingStateError")


@check("a wrong code")
def _():
    try:
        OAuth2Session(APP.client_id, redirect_uri=APP.redirect_uri).fetch_token(ENDPOINTS.token, code="x", client_secret=APP.client_secret)
    except InvalidGrantError:
        return
    raise AssertionError("expected InvalidGrantError")


check.end()
