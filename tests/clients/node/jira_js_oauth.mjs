// npm `jira.js` 5 and 6 with OAuth 2.0: the vendor's addresses are in their code, so they run against the demo under the vendor's names.
import * as five from 'jira5';
import * as six from 'jira6';
import { checks, equal, holds, rejection } from './harness.mjs';
import { APP, CLOUD_ID, SITE_URL, api, cleo, consent } from './oauth.mjs';

const client = { clientId: APP.client_id, clientSecret: APP.client_secret };
const scopes = ['read:jira-work', 'read:jira-user', 'read:me', 'offline_access'];

const versions = {
  'jira.js5-oauth': {
    library: five,
    login: oauth2 => five.createVersion3Client?.({ authentication: { oauth2 } }) ?? new five.Version3Client({ authentication: { oauth2 } }),
    read: (jira, key) => jira.issues.getIssue({ issueIdOrKey: key }),
    write: jira => jira.issues.createIssue({ fields: { project: { key: 'DEMO' }, issuetype: { name: 'Task' }, summary: 'x' } }),
  },
  'jira.js6-oauth': {
    library: six,
    login: oauth2 => six.createCloudClient({ auth: { type: 'oauth2', ...oauth2 }, onSchemaMismatch: 'throw' }),
    read: (jira, key) => jira.issues.getIssue({ issueIdOrKey: key }),
    write: jira => jira.issues.createIssue({ fields: { project: { key: 'DEMO' }, issuetype: { name: 'Task' }, summary: 'x' } }),
  },
};

for (const [name, { library, login, read, write }] of Object.entries(versions)) {
  const check = checks(name);
  let tokens, jira, refreshed;

  await check('code flow with its own helpers', async () => {
    const url = library.generateAuthorizationUrl({ clientId: APP.client_id, scopes, redirectUri: APP.redirect_uri, state: 'a state' });
    equal(new URL(url).host, 'auth.atlassian.com');
    const callback = await consent(cleo, url);
    const { code } = library.parseCallbackUrl?.(callback, { expectedState: 'a state' }) ?? { code: callback.searchParams.get('code') };
    tokens = await library.exchangeAuthorizationCode({ ...client, code, redirectUri: APP.redirect_uri });
    const sites = await library.getAccessibleResources(tokens.access_token ?? tokens.accessToken);
    equal(sites.map(site => [site.id, site.url]), [[CLOUD_ID, SITE_URL]]);
  });

  const access = () => tokens.access_token ?? tokens.accessToken;
  const refresh = () => tokens.refresh_token ?? tokens.refreshToken;

  await check('finds the site by itself and works within cleo’s permissions', async () => {
    jira = login({ accessToken: access(), refreshToken: refresh(), ...client, expiresAt: Date.now() + 3_000_000, onTokenRefresh: next => { refreshed = next; } });
    equal((await read(jira, 'DEMO-1')).key, 'DEMO-1');
    equal((await rejection(() => read(jira, 'VAULT-1'))).status ?? 404, 404);
  });

  await check('refreshes when the token is about to end', async () => {
    const old = login({ accessToken: access(), refreshToken: refresh(), ...client, expiresAt: Date.now() - 1, onTokenRefresh: next => { refreshed = next; } });
    const keys = await Promise.all([1, 2, 3].map(() => read(old, 'DEMO-1')));
    equal(keys.map(issue => issue.key), ['DEMO-1', 'DEMO-1', 'DEMO-1']);
    holds(refreshed, 'the program is told of the new tokens');
  });

  await check('a missing scope is not taken for an expired token', async () => {
    const error = await rejection(() => write(jira));
    holds(/scope/i.test(`${error.name} ${error.message} ${JSON.stringify(error.response?.data ?? error.body ?? '')}`), `${error.name}: ${error.message}`);
    equal((await api(access(), '/rest/api/3/issue/DEMO-1')).status, 200);
  });

  await check.end();
}
