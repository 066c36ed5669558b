// The MCP TypeScript SDK: an agent that knows only the API's address finds the server, registers itself, asks, and refreshes.
import { auth, refreshAuthorization, discoverOAuthProtectedResourceMetadata, discoverAuthorizationServerMetadata } from '@modelcontextprotocol/sdk/client/auth.js';
import { BASE, checks, equal, holds, people } from './harness.mjs';
import { GATEWAY, api, cleo, consent } from './oauth.mjs';

const check = checks('mcp-sdk');

/** An administrator's switch; off in a fresh demo. */
async function registration(value) {
  const credential = Buffer.from(`${people.ada.email}:${people.ada.api_token}`).toString('base64');
  const answer = await fetch(`${BASE}/api/portcullis/v1/settings/apps.registration_open`, {
    method: 'PUT', headers: { authorization: `Basic ${credential}`, 'content-type': 'application/json' }, body: JSON.stringify({ value }),
  });
  equal(answer.status, 200);
}

class Provider {
  redirectUrl = 'http://127.0.0.1:9876/callback';
  clientMetadata = {
    client_name: 'An agent', redirect_uris: [this.redirectUrl], grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'], token_endpoint_auth_method: 'none', scope: 'read:jira-work offline_access',
  };
  state() { return 'agent-state'; }
  clientInformation() { return this.information; }
  saveClientInformation(information) { this.information = information; }
  tokens() { return this.saved; }
  saveTokens(tokens) { this.saved = tokens; }
  saveCodeVerifier(verifier) { this.verifier = verifier; }
  codeVerifier() { return this.verifier; }
  async redirectToAuthorization(url) { this.url = url; }
}

const provider = new Provider();
let metadata, resource;

await check('finds the authorization server from the API’s address', async () => {
  resource = await discoverOAuthProtectedResourceMetadata(GATEWAY);
  equal(resource.resource, GATEWAY);
  metadata = await discoverAuthorizationServerMetadata(resource.authorization_servers[0]);
  holds(metadata.code_challenge_methods_supported.includes('S256'), 'PKCE');
});

await registration(true);
check.later(() => registration(false));

await check('registers itself and asks', async () => {
  equal(await auth(provider, { serverUrl: GATEWAY }), 'REDIRECT');
  equal(provider.information.client_secret, undefined);
  equal(provider.url.searchParams.get('resource'), GATEWAY);
});

await check('cleo approves, and the agent has tokens', async () => {
  const callback = await consent(cleo, provider.url);
  equal(await auth(provider, { serverUrl: GATEWAY, authorizationCode: callback.searchParams.get('code') }), 'AUTHORIZED');
  equal((await api(provider.saved.access_token, '/rest/api/3/issue/DEMO-1')).status, 200);
  equal((await api(provider.saved.access_token, '/rest/api/3/issue/VAULT-1')).status, 404);
});

await check('it refreshes without a secret', async () => {
  const tokens = await refreshAuthorization(resource.authorization_servers[0], {
    metadata, clientInformation: provider.information, refreshToken: provider.saved.refresh_token, resource: new URL(GATEWAY),
  });
  equal((await api(tokens.access_token, '/rest/api/3/issue/DEMO-1')).status, 200);
});

await check.end();
