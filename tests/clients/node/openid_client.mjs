// npm `openid-client` 6: discovery by the OpenID name, code flow with state and PKCE, refresh, introspection, revocation.
import * as client from 'openid-client';
import { checks, equal, rejection } from './harness.mjs';
import { APP, ENDPOINTS, cleo, consent, readsOnly } from './oauth.mjs';

const check = checks('openid-client');
const issuer = new URL(new URL(ENDPOINTS.authorize).origin);
const scope = 'read:jira-work read:me offline_access';
let config, tokens;

await check('discovers the server', async () => {
  config = await client.discovery(issuer, APP.client_id, APP.client_secret, undefined, { execute: [client.allowInsecureRequests], algorithm: 'oauth2' });
  await client.discovery(issuer, APP.client_id, APP.client_secret, undefined, { execute: [client.allowInsecureRequests] });
});

await check('code flow with state, PKCE and the issuer in the answer', async () => {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: APP.redirect_uri, scope, state,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256',
  });
  tokens = await client.authorizationCodeGrant(config, await consent(cleo, url), { pkceCodeVerifier, expectedState: state });
  await readsOnly(tokens.access_token);
});

await check('who am I', async () => {
  const answer = await client.fetchProtectedResource(config, tokens.access_token, new URL(ENDPOINTS.me), 'GET');
  equal((await answer.json()).email, cleo.email);
});

await check('refresh', async () => {
  tokens = await client.refreshTokenGrant(config, tokens.refresh_token);
  await readsOnly(tokens.access_token);
});

await check('introspection', async () => equal((await client.tokenIntrospection(config, tokens.access_token)).active, true));

await check('a mix-up is noticed', async () => {
  const state = client.randomState();
  const url = client.buildAuthorizationUrl(config, { redirect_uri: APP.redirect_uri, scope, state });
  const callback = await consent(cleo, url);
  callback.searchParams.set('iss', 'https://evil.example');
  await rejection(() => client.authorizationCodeGrant(config, callback, { expectedState: state }));
});

await check('revocation', async () => {
  await client.tokenRevocation(config, tokens.refresh_token);
  equal((await rejection(() => client.refreshTokenGrant(config, tokens.refresh_token))).error, 'invalid_grant');
});

await check.end();
