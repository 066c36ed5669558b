// npm `oauth4webapi`: discovery, PKCE, PAR, DPoP, introspection, revocation; it checks every answer against the RFCs.
import * as oauth from 'oauth4webapi';
import { checks, equal, holds, rejection } from './harness.mjs';
import { APP, ENDPOINTS, GATEWAY, cleo, consent, readsOnly } from './oauth.mjs';

const check = checks('oauth4webapi');
const options = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(new URL(ENDPOINTS.authorize).origin);
const client = { client_id: APP.client_id };
const scope = 'read:jira-work offline_access';
let as, auth, tokens;

/** The whole code flow with PKCE; `push` sends the request itself first. */
async function flow({ push = false, DPoP } = {}) {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  let parameters = new URLSearchParams({
    client_id: client.client_id, redirect_uri: APP.redirect_uri, response_type: 'code', scope, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  });
  if (push) {
    const answer = await oauth.pushedAuthorizationRequest(as, client, auth, parameters, { ...options, DPoP });
    const { request_uri } = await oauth.processPushedAuthorizationResponse(as, client, answer);
    parameters = new URLSearchParams({ client_id: client.client_id, request_uri });
  }
  const callback = await consent(cleo, `${as.authorization_endpoint}?${parameters}`);
  const validated = oauth.validateAuthResponse(as, client, callback, state);
  const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, validated, APP.redirect_uri, verifier, { ...options, DPoP });
  return oauth.processAuthorizationCodeResponse(as, client, answer);
}

await check('discovers the server', async () => {
  const answer = await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oauth2' });
  as = await oauth.processDiscoveryResponse(issuer, answer);
  const openid = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...options, algorithm: 'oidc' }));
  equal(openid, as);
});

for (const [name, method] of [['client_secret_basic', oauth.ClientSecretBasic], ['client_secret_post', oauth.ClientSecretPost]]) {
  await check(`code flow with PKCE, ${name}`, async () => {
    auth = method(APP.client_secret);
    tokens = await flow();
    equal(tokens.scope, scope);
    await readsOnly(tokens.access_token);
  });
}

await check('the access token verifies with the published keys (RFC 9068)', async () => {
  const request = new Request(GATEWAY, { headers: { authorization: `Bearer ${tokens.access_token}` } });
  const claims = await oauth.validateJwtAccessToken(as, request, new URL(GATEWAY).origin, options);
  equal([claims.client_id, claims.sub], [APP.client_id, cleo.account_id]);
});

await check('refresh', async () => {
  const answer = await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, options);
  tokens = await oauth.processRefreshTokenResponse(as, client, answer);
  await readsOnly(tokens.access_token);
});

await check('introspection', async () => {
  const about = async token => oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, token, options));
  equal((await about(tokens.access_token)).active, true);
  equal(await about('x'), { active: false });
});

await check('a pushed request', async () => {
  const pushed = await flow({ push: true });
  await readsOnly(pushed.access_token);
});

await check('tokens bound to a key', async () => {
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
  const bound = await flow({ DPoP });
  equal(bound.token_type.toLowerCase(), 'dpop');
  const call = () => oauth.protectedResourceRequest(bound.access_token, 'GET', new URL(`${GATEWAY}/rest/api/3/issue/DEMO-1`), undefined, undefined, { ...options, DPoP });
  equal((await call()).status, 200);
  const plain = await fetch(`${GATEWAY}/rest/api/3/issue/DEMO-1`, { headers: { authorization: `Bearer ${bound.access_token}` } });
  equal(plain.status, 401);
  const answer = await oauth.refreshTokenGrantRequest(as, client, auth, bound.refresh_token, { ...options, DPoP });
  equal((await oauth.processRefreshTokenResponse(as, client, answer)).token_type.toLowerCase(), 'dpop');
});

await check('a wrong verifier is an invalid grant', async () => {
  const state = oauth.generateRandomState();
  const parameters = new URLSearchParams({
    client_id: client.client_id, redirect_uri: APP.redirect_uri, response_type: 'code', scope, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(oauth.generateRandomCodeVerifier()), code_challenge_method: 'S256',
  });
  const callback = oauth.validateAuthResponse(as, client, await consent(cleo, `${as.authorization_endpoint}?${parameters}`), state);
  const answer = await oauth.authorizationCodeGrantRequest(as, client, auth, callback, APP.redirect_uri, oauth.generateRandomCodeVerifier(), options);
  const error = await rejection(() => oauth.processAuthorizationCodeResponse(as, client, answer));
  equal([error.status, error.error], [400, 'invalid_grant']);
});

await check('the device flow begins, and waits', async () => {
  const answer = await oauth.deviceAuthorizationRequest(as, client, auth, new URLSearchParams({ scope }), options);
  const device = await oauth.processDeviceAuthorizationResponse(as, client, answer);
  holds(/^[A-Z]{4}-[A-Z]{4}$/.test(device.user_code), device.user_code);
  const polled = await oauth.deviceCodeGrantRequest(as, client, auth, device.device_code, options);
  equal((await rejection(() => oauth.processDeviceCodeResponse(as, client, polled))).error, 'authorization_pending');
});

await check('revocation', async () => {
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, tokens.refresh_token, options));
  const answer = await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, options);
  equal((await rejection(() => oauth.processRefreshTokenResponse(as, client, answer))).error, 'invalid_grant');
});

await check.end();
