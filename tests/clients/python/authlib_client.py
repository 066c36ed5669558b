"""PyPI `Authlib`: code with PKCE, refresh and revocation; the secret in the Authorization header."""

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from jira import JIRA

from harness import Checks, equal
from oauth import APP, ENDPOINTS, GATEWAY, cleo, consent, reads_only

check = Checks("authlib")
REVOKE = ENDPOINTS.token.replace("/oauth/token", "/oauth/revoke")
SCOPE = "read:jira-work offline_access"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


def session(secret=None):
    return OAuth2Session(
        APP.client_id, secret or APP.client_secret, scope=SCOPE, redirect_uri=APP.redirect_uri,
        token_endpoint=ENDPOINTS.token, code_challenge_method="S256")


def refused(error, call):
    try:
        call()
    except OAuthError as caught:
        return equal(caught.error, error)
    raise AssertionError(f"expected {error}")


client = session()


@check("code flow with PKCE")
def _():
    url, state = client.create_authorization_url(ENDPOINTS.authorize, code_verifier=VERIFIER)
    callback = consent(cleo, url)
    token = client.fetch_token(ENDPOINTS.token, authorization_response=callback, code_verifier=VERIFIER, state=state)
    equal((token["token_type"], token["scope"]), ("Bearer", SCOPE))
    reads_only(lambda path: client.get(GATEWAY + path))


@check("pycontribs jira works with the token at the gateway")
def _():
    jira = JIRA(server=GATEWAY, token_auth=client.token["access_token"], max_retries=0)
    equal(jira.issue("DEMO-1").key, "DEMO-1")


@check("refreshes when the token has expired")
def _():
    old = client.token["access_token"]
    client.token["expires_at"] = 1
    reads_only(lambda path: client.get(GATEWAY + path))
    assert client.token["access_token"] != old


@check("a code is good once")
def _():
    again = session()
    url, state = again.create_authorization_url(ENDPOINTS.authorize, code_verifier=VERIFIER)
    callback = consent(cleo, url)

    def fetch():
        return session().fetch_token(ENDPOINTS.token, authorization_response=callback, code_verifier=VERIFIER, state=state)
    fetch()
    refused("invalid_grant", fetch)


@check("a wrong secret")
def _():
    refused("invalid_client", lambda: session("wrong").fetch_token(ENDPOINTS.token, code="x", grant_type="authorization_code"))


@check("revokes")
def _():
    answer = client.revoke_token(REVOKE, client.token["refresh_token"], token_type_hint="refresh_token")
    equal(answer.status_code, 200)
    refused("invalid_grant", lambda: client.refresh_token(ENDPOINTS.token))


check.end()
