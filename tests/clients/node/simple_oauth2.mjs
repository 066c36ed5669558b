// npm `simple-oauth2`: code, refresh and revocation with the secret in the Authorization header.
import { AuthorizationCode } from 'simple-oauth2';
import { checks, equal, holds, rejection } from './harness.mjs';
import { APP, ENDPOINTS, api, cleo, consent, readsOnly } from './oauth.mjs';

const check = checks('simple-oauth2');
const issuer = new URL(ENDPOINTS.authorize).origin;
const client = new AuthorizationCode({
  client: { id: APP.client_id, secret: APP.client_secret },
  auth: { tokenHost: issuer, tokenPath: '/oauth/token', authorizePath: '/authorize', revokePath: '/oauth/revoke' },
});
const scope = ['read:jira-work', 'offline_access'];
let token;

await check('cleo approves and the code is exchanged', async () => {
  const url = client.authorizeURL({ redirect_uri: APP.redirect_uri, scope, state: 'a state' });
  const callback = await consent(cleo, url);
  equal(callback.searchParams.get('state'), 'a state');
  token = await client.getToken({ code: callback.searchParams.get('code'), redirect_uri: APP.redirect_uri });
  equal(token.token.token_type, 'Bearer');
  holds(!token.expired(), 'expires_in is a number of seconds ahead');
});

await check('the token works within its scopes and cleo’s permissions', () => readsOnly(token.token.access_token));

await check('it refreshes, and the old refresh token gives the same successor', async () => {
  const [first, second] = await Promise.all([token.refresh(), token.refresh()]);
  equal(first.token.refresh_token, second.token.refresh_token);
  holds(first.token.refresh_token !== token.token.refresh_token, 'rotated');
  token = first;
  await readsOnly(token.token.access_token);
});

await check('a wrong code and a wrong secret are told apart', async () => {
  const wrong = await rejection(() => client.getToken({ code: 'x', redirect_uri: APP.redirect_uri }));
  equal([wrong.output.statusCode, wrong.data.payload.error], [400, 'invalid_grant']);
  const stranger = new AuthorizationCode({ client: { id: APP.client_id, secret: 'wrong' }, auth: { tokenHost: issuer, tokenPath: '/oauth/token' } });
  const refused = await rejection(() => stranger.getToken({ code: 'x', redirect_uri: APP.redirect_uri }));
  equal([refused.output.statusCode, refused.data.payload.error], [401, 'invalid_client']);
});

await check('cleo declines', async () => {
  const callback = await consent(cleo, client.authorizeURL({ redirect_uri: APP.redirect_uri, scope, state: 's' }), 'decline');
  equal([callback.searchParams.get('error'), callback.searchParams.get('state')], ['access_denied', 's']);
});

await check('it revokes, and the tokens are refused at once', async () => {
  await token.revokeAll();
  equal((await api(token.token.access_token, '/rest/api/3/issue/DEMO-1')).status, 401);
  equal((await rejection(() => token.refresh())).data.payload.error, 'invalid_grant');
});

await check.end();
