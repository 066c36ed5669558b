// npm `arctic`: the vendor's addresses are in its code, so it runs against the demo under the vendor's names.
import { Atlassian, OAuth2RequestError } from 'arctic';
import { checks, equal, holds, rejection } from './harness.mjs';
import { APP, cleo, consent, readsOnly } from './oauth.mjs';

const check = checks('arctic');
const client = new Atlassian(APP.client_id, APP.client_secret, APP.redirect_uri);
let tokens;

await check('code flow', async () => {
  const url = client.createAuthorizationURL('a state', ['read:jira-work', 'offline_access']);
  equal(url.host, 'auth.atlassian.com');
  const callback = await consent(cleo, url);
  tokens = await client.validateAuthorizationCode(callback.searchParams.get('code'));
  holds(tokens.accessTokenExpiresInSeconds() === 3600 && tokens.hasRefreshToken(), 'an hour, and a refresh token');
  await readsOnly(tokens.accessToken());
});

await check('refresh', async () => {
  const next = await client.refreshAccessToken(tokens.refreshToken());
  await readsOnly(next.accessToken());
});

await check('errors are its own', async () => {
  const error = await rejection(() => client.refreshAccessToken('x'));
  holds(error instanceof OAuth2RequestError && error.code === 'invalid_grant', String(error));
});

await check.end();
