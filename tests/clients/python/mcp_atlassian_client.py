"""PyPI `mcp-atlassian`: the vendor's addresses are in its code, so it runs against the demo under the vendor's names."""

import os
import tempfile

import vendor_hosts  # noqa: F401  before anything that connects

os.environ["HOME"] = tempfile.mkdtemp()  # it writes its tokens there
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"

from mcp_atlassian.jira import JiraFetcher
from mcp_atlassian.jira.config import JiraConfig
from mcp_atlassian.utils.oauth import OAuthConfig

from harness import CLOUD_ID, Checks, equal
from oauth import APP, SITE_URL, cleo, consent, parameter

check = Checks("mcp-atlassian")
config = OAuthConfig(
    client_id=APP.client_id, client_secret=APP.client_secret, redirect_uri=APP.redirect_uri,
    scope="read:jira-work read:jira-user read:me offline_access")


@check("code flow, and it finds the site")
def _():
    url = config.get_authorization_url(state="a state")
    assert url.startswith("https://auth.atlassian.com/authorize?"), url
    callback = consent(cleo, url)
    assert config.exchange_code_for_tokens(parameter(callback, "code")), "the exchange failed; its log says why"
    equal(config.cloud_id, CLOUD_ID)


@check("reads an issue through the gateway")
def _():
    jira = JiraFetcher(JiraConfig(url=SITE_URL, auth_type="oauth", oauth_config=config, https_proxy=os.environ["HTTPS_PROXY"]))
    equal(jira.get_issue("DEMO-1").key, "DEMO-1")
    try:
        jira.get_issue("VAULT-1")
    except Exception:
        return
    raise AssertionError("VAULT-1 was read")


@check("refreshes")
def _():
    old = config.access_token
    config.expires_at = 1
    assert config.ensure_valid_token(), "the refresh failed; its log says why"
    assert config.access_token != old


check.end()
