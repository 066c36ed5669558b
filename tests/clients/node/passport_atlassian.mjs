// npm `passport-atlassian-oauth2`: sign-in with the vendor's strategy; only its four addresses are ours.
import AtlassianStrategy from 'passport-atlassian-oauth2';
import { checks, equal, holds } from './harness.mjs';
import { APP, CLOUD_ID, ENDPOINTS, cleo, consent, readsOnly } from './oauth.mjs';

const check = checks('passport-atlassian-oauth2');
const strategy = (secret = APP.client_secret) => {
  const made = new AtlassianStrategy({
    authorizationURL: ENDPOINTS.authorize, tokenURL: ENDPOINTS.token, profileURL: ENDPOINTS.me, accessibleResourcesURL: ENDPOINTS.accessible_resources,
    clientID: APP.client_id, clientSecret: secret, callbackURL: APP.redirect_uri, scope: 'read:jira-work offline_access', state: false,
  }, (accessToken, refreshToken, profile, done) => done(null, { accessToken, refreshToken, profile }));
  return made;
};

/** One pass through the strategy, as passport makes it. */
const pass = (made, query) => new Promise((resolve, reject) => {
  const run = Object.create(made);
  Object.assign(run, { redirect: url => resolve({ url }), success: user => resolve({ user }), fail: info => resolve({ info }), error: reject });
  run.authenticate({ query, session: {}, url: '/', headers: {} }, {});
});

let user;
await check('sends cleo to the consent page, and signs her in', async () => {
  const { url } = await pass(strategy(), {});
  holds(url.includes('audience=api.atlassian.com') && url.includes('prompt=consent'), url);
  const callback = await consent(cleo, url);
  ({ user } = await pass(strategy(), Object.fromEntries(callback.searchParams)));
  equal([user.profile.id, user.profile.displayName, user.profile.email], [cleo.account_id, 'Cleo', cleo.email]);
  equal(user.profile.accessibleResources.map(site => site.id), [CLOUD_ID]);
});

await check('the token works within its scopes', () => readsOnly(user.accessToken));

await check('cleo declines', async () => {
  const { url } = await pass(strategy(), {});
  const callback = await consent(cleo, url, 'decline');
  const { info } = await pass(strategy(), Object.fromEntries(callback.searchParams));
  holds(info !== undefined, 'passport takes it for a failure, not for an error');
});

await check('a wrong secret', async () => {
  const { url } = await pass(strategy(), {});
  const callback = await consent(cleo, url);
  let error;
  try { await pass(strategy('wrong'), Object.fromEntries(callback.searchParams)); } catch (caught) { error = caught; }
  equal(error?.code, 'invalid_client');
});

await check.end();
