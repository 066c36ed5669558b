// npm `atlassian-connect-express`: installs itself through the plugin manager's API, checks who called, shows its page in a frame,
// calls back with its JWT, is told of events, acts for a person, and is uninstalled. Its own settings: where keys are looked up, and that this host may install it.
import { createHmac, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, request as plainRequest } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { BASE, checks, equal, holds, people } from './harness.mjs';
import { Browser } from './oauth.mjs';

const require = createRequire(import.meta.url);
const check = checks('ace');
const { ada, ben, cleo } = people;
const card = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const KEY = 'com.example.ace-check';
const SCOPES = ['READ', 'WRITE', 'ACT_AS_USER'];

const listener = createServer();
await new Promise(resolve => listener.listen(0, '127.0.0.1', resolve));
const port = listener.address().port;
const own = `http://localhost:${port}`;
const folder = mkdtempSync(join(tmpdir(), 'ace-'));
writeFileSync(join(folder, 'atlassian-connect.json'), JSON.stringify({
  key: KEY, name: 'ACE check', description: 'A check of a real framework.', vendor: { name: 'Example', url: 'https://example.org' },
  baseUrl: '{{localBaseUrl}}', authentication: { type: 'jwt' }, scopes: SCOPES, apiVersion: 1,
  apiMigrations: { gdpr: true, 'signed-install': true, 'context-qsh': true },
  lifecycle: { installed: '/installed', enabled: '/enabled', disabled: '/disabled', uninstalled: '/uninstalled' },
  modules: {
    generalPages: [{ key: 'page', name: { value: 'Page' }, url: '/page' }],
    webhooks: [{ event: 'jira:issue_created', url: '/told', filter: 'project = DEMO' }, { event: 'comment_created', url: '/told-of-comments' }],
  },
}));
const site = new URL(BASE);
const credential = `${encodeURIComponent(ada.email)}:${encodeURIComponent(ada.api_token)}`;
Object.assign(process.env, { AC_LOCAL_BASE_URL: own, CONNECT_KEYS_CDN_URL: card.endpoints.install_keys, AC_OPTS: 'force-reg' });
writeFileSync(join(folder, 'config.json'), JSON.stringify({
  product: 'jira',
  development: {
    port, errorTemplate: false, store: { adapter: 'plain' }, whitelist: [site.hostname],
    hosts: [`${site.protocol}//${credential}@${site.host}`],
  },
}));
process.chdir(folder);

const ace = require('atlassian-connect-express');
const express = require('express');
// The store is an interface of the framework; this one is a map.
ace.store.register('plain', () => {
  const kept = new Map();
  const at = (key, clientKey) => `${clientKey}/${key}`;
  return {
    get: async (key, clientKey) => kept.get(at(key, clientKey)) ?? null,
    set: async (key, value, clientKey) => { kept.set(at(key, clientKey), value); return value; },
    del: async (key, clientKey) => { kept.delete(at(key, clientKey)); },
    saveInstallation: async (value, clientKey) => { kept.set(at('clientInfo', clientKey), value); return value; },
    getAllClientInfos: async () => [...kept].filter(([key]) => key.endsWith('/clientInfo')).map(([, value]) => value),
    isMemoryStore: () => false,
  };
});
const app = express();
app.set('env', 'development');
const quiet = { info() {}, debug() {}, warn() {}, error() {} };
const events = [];
let signedBy;
app.post('/installed', (request, answer, next) => {
  signedBy ??= JSON.parse(Buffer.from(request.headers.authorization.split(' ')[1].split('.')[0], 'base64url')).kid;
  next();
});
const addon = ace(app, {}, quiet);
app.use(require('body-parser').json());
for (const event of ['enabled', 'disabled']) {
  app.post(`/${event}`, addon.authenticate(), (request, answer) => { events.push(event); answer.status(204).end(); });
}
app.post('/uninstalled', addon.authenticateInstall(), async (request, answer) => {
  // The app's token works until it has answered.
  const still = await call(request.body.clientKey, '/rest/api/3/myself');
  events.push(`uninstalled ${still.status}`);
  answer.status(204).end();
});
// What the framework believes of a request.
const believed = ({ context: { userAccountId, clientKey, hostBaseUrl, context } }, answer) => answer.json({ userAccountId, clientKey, hostBaseUrl, context });
app.get('/page', addon.authenticate(), believed);
app.get('/asked-by-its-page', addon.checkValidToken(), believed);
listener.on('request', app);

/** One call by the framework's own client. */
function call(clientKey, url, { method = 'get', user, body } = {}) {
  let client = addon.httpClient({ clientKey });
  if (user) client = client.asUserByAccountId(user);
  return new Promise((resolve, reject) => client[method]({ url, ...(body && { json: body }) }, (error, response, text) => {
    if (error) reject(error);
    else resolve({ status: response.statusCode, body: typeof text === 'string' && text ? safe(text) : text });
  }));
}
const safe = text => { try { return JSON.parse(text); } catch { return text; } };
const until = async condition => {
  for (let n = 0; n < 100 && !condition(); n += 1) await new Promise(resolve => setTimeout(resolve, 50));
  holds(condition(), `waited in vain; events: ${events}`);
};
async function manage(person, method, path, body) {
  const answer = await fetch(BASE + path, {
    method, body: body && JSON.stringify(body),
    headers: { authorization: `Basic ${Buffer.from(`${person.email}:${person.api_token}`).toString('base64')}`, 'content-type': 'application/json' },
  });
  return { status: answer.status, body: safe(await answer.text()) };
}
const APP = `/api/portcullis/v1/connect-apps/${KEY}`;
let tenant;

await check('it registers itself, and believes who installs it', async () => {
  const saved = new Promise(resolve => addon.once('host_settings_saved', (clientKey, data) => resolve(data)));
  await addon.register();
  tenant = await Promise.race([saved, new Promise((_, fail) => setTimeout(() => fail(new Error('not installed')), 8000))]);
  equal([tenant.baseUrl, tenant.productType, tenant.eventType], [BASE, 'jira', 'installed']);
  await until(() => events.includes('enabled'));
  const shown = await manage(ada, 'GET', APP);
  equal([shown.status, shown.body.enabled, shown.body.scopes.map(scope => scope.name)], [200, true, SCOPES]);
});

await check('only a site administrator installs, sees and removes apps', async () => {
  for (const [method, path] of [['GET', APP], ['DELETE', APP], ['POST', '/api/portcullis/v1/connect-apps'], ['GET', '/rest/plugins/1.0/']]) {
    equal((await manage(ben, method, path, method === 'POST' ? { descriptorUrl: `${own}/atlassian-connect.json` } : undefined)).status, 403);
  }
});

let issue;
await check('it calls back as itself, within its scopes', async () => {
  const me = await call(tenant.clientKey, '/rest/api/3/myself');
  equal([me.status, me.body.displayName, me.body.accountType], [200, 'ACE check', 'app']);
  const made = await call(tenant.clientKey, '/rest/api/3/issue', {
    method: 'post', body: { fields: { project: { key: 'DEMO' }, issuetype: { name: 'Task' }, summary: 'By an app' } } });
  equal(made.status, 201);
  issue = made.body.key;
  check.removeIssueLater(issue);
  equal((await call(tenant.clientKey, `/rest/api/3/issue/${issue}?expand=names&fields=summary&fields=status`)).body.fields.summary, 'By an app');
  equal((await call(tenant.clientKey, `/rest/api/3/issue/${issue}`, { method: 'del' })).status, 403, 'DELETE is no scope of it');
  equal((await call(tenant.clientKey, '/rest/api/3/project/DEMO', { method: 'put', body: { name: 'Mine' } })).status, 403);
});

await check('it is told of what happens, signed so that it believes it', async () => {
  const told = [];
  // Word of the issue that it made itself may still be on its way.
  const hear = (name, body) => { if (body.issue.key !== issue) told.push({ name, body }); };
  for (const event of ['jira:issue_created', 'comment_created']) addon.on(event, hear);
  const made = await manage(cleo, 'POST', '/rest/api/3/issue', { fields: { project: { key: 'DEMO' }, issuetype: { name: 'Task' }, summary: 'Told of' } });
  equal(made.status, 201);
  check.removeIssueLater(made.body.key);
  await until(() => told.length === 1);
  equal([told[0].name, told[0].body.issue.key, told[0].body.user.accountId], ['jira:issue_created', made.body.key, cleo.account_id]);
  equal((await manage(cleo, 'POST', `/rest/api/2/issue/${made.body.key}/comment`, { body: 'A word' })).status, 201);
  await until(() => told.length === 2);
  equal([told[1].name, told[1].body.comment.body], ['comment_created', 'A word']);
  // The same request with another secret is refused by the framework.
  const jwt = require('atlassian-jwt');
  const now = Math.floor(Date.now() / 1000);
  const forged = { iss: tenant.clientKey, iat: now, exp: now + 180, qsh: jwt.createQueryStringHash({ method: 'POST', pathname: '/told', query: {} }) };
  const answer = await fetch(`${own}/told`, { method: 'POST', headers: { authorization: `JWT ${jwt.encodeSymmetric(forged, 'another secret of enough characters')}` } });
  equal([[400, 401].includes(answer.status), told.length], [true, 2]);
  const log = await manage(ada, 'GET', `${APP}/deliveries`);
  equal(log.body.values.slice(0, 2).map(delivery => [delivery.event, delivery.status]), [['comment_created', 'delivered'], ['jira:issue_created', 'delivered']]);
});

await check('an administrator keeps its account out of a project', async () => {
  equal((await call(tenant.clientKey, '/rest/api/3/issue/VAULT-1')).status, 200);
  const account = (await manage(ada, 'GET', APP)).body.account.accountId;
  const roles = (await manage(ada, 'GET', '/rest/api/3/project/VAULT/role')).body;
  const role = roles['atlassian-addons-project-access'].split('/').at(-1);
  equal((await manage(ada, 'DELETE', `/rest/api/3/project/VAULT/role/${role}?user=${encodeURIComponent(account)}`)).status, 204);
  equal((await call(tenant.clientKey, '/rest/api/3/issue/VAULT-1')).status, 404);
  await addon.register(true);
  equal((await call(tenant.clientKey, '/rest/api/3/issue/VAULT-1')).status, 404, 'an update does not give it back');
});

await check('a token for another request, a changed one and an expired one are refused', async () => {
  const jwt = require('atlassian-jwt');
  const settings = await addon.settings.get('clientInfo', tenant.clientKey);
  const now = Math.floor(Date.now() / 1000);
  const request = { method: 'GET', pathname: '/rest/api/3/myself', query: {} };
  const claims = { iss: KEY, iat: now, exp: now + 180, qsh: jwt.createQueryStringHash(request) };
  const ask = async (claims, path = '/rest/api/3/myself', secret = settings.sharedSecret) => {
    const answer = await fetch(BASE + path, { headers: { authorization: `JWT ${jwt.encodeSymmetric(claims, secret)}` } });
    return [answer.status, await answer.text(), answer.headers.get('portcullis-decision')];
  };
  equal((await ask(claims))[0], 200);
  const refused = {
    'another path': [claims, '/rest/api/3/project'], 'another query': [claims, '/rest/api/3/myself?expand=groups'],
    'another secret': [claims, undefined, 'a secret of enough characters, but another'], 'no qsh': [{ ...claims, qsh: undefined }],
    'a context token': [{ ...claims, qsh: 'context-qsh' }], 'expired': [{ ...claims, iat: now - 900, exp: now - 60 }],
    'the clientKey as issuer': [{ ...claims, iss: tenant.clientKey }], 'an unknown issuer': [{ ...claims, iss: 'nobody' }],
    'another site': [{ ...claims, aud: ['another'] }], 'endless': [{ ...claims, exp: now + 90_000 }],
  };
  for (const [what, [claims, path, secret]] of Object.entries(refused)) {
    const [status, text, decision] = await ask(JSON.parse(JSON.stringify(claims)), path, secret);
    equal([what, status, text.includes('qsh'), Boolean(decision)], [what, 401, false, true]);
  }
  const [, , decision] = await ask(claims, '/rest/api/3/project');
  const explained = await manage(ada, 'GET', `/api/portcullis/v1/decisions/${decision}`);
  holds(JSON.stringify(explained.body).includes('GET&/rest/api/3/project&'), `the decision names what was hashed: ${JSON.stringify(explained.body)}`);
});

await check('a token for one path opens no other, however it is written', async () => {
  const jwt = require('atlassian-jwt');
  const { sharedSecret } = await addon.settings.get('clientInfo', tenant.clientKey);
  const now = Math.floor(Date.now() / 1000);
  const qsh = jwt.createQueryStringHash({ method: 'GET', pathname: '/rest/api/3/myself', query: {} });
  const token = jwt.encodeSymmetric({ iss: KEY, iat: now, exp: now + 180, qsh }, sharedSecret);
  // `fetch` would tidy the path up before it is sent.
  const ask = path => new Promise((resolve, reject) => {
    const options = { host: site.hostname, port: site.port, path, headers: { authorization: `JWT ${token}` } };
    plainRequest(options, answer => { answer.resume(); resolve(answer.statusCode); }).on('error', reject).end();
  });
  equal(await ask('/rest/api/3/myself'), 200);
  for (const path of [
    '/rest/api/3/myself/../project', '/rest/api/3/myself/..%2fproject', '/rest/api/3/myself%2f..%2fproject', '/rest/api/3/./project', '/rest/api/3//project',
    '/rest/api/3/myself;/../project', '/rest/api/3/project?/rest/api/3/myself', '/rest/api/3/project#/rest/api/3/myself', '/rest/api/3/project%3f&/rest/api/3/myself',
    '/rest/api/3/myself&/rest/api/3/project', '/rest/api/3/myself?expand=groups', '/rest/api/3/%6dyself/../project', '/rest/api/3/issue/DEMO-1', '/REST/API/3/PROJECT',
  ]) {
    const status = await ask(path);
    holds([400, 401, 404].includes(status), `${path}: ${status}`);
  }
});

await check('it believes no installation but one that is signed with the key of this site', async () => {
  const jwt = require('atlassian-jwt');
  const before = await addon.settings.get('clientInfo', tenant.clientKey);
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: tenant.clientKey, aud: [own], iat: now, exp: now + 180, qsh: jwt.createQueryStringHash({ method: 'POST', pathname: '/installed', query: {} }) };
  const kid = signedBy;
  const publicKey = await (await fetch(`${card.endpoints.install_keys}/${kid}`)).text();
  holds(publicKey.startsWith('-----BEGIN PUBLIC KEY-----'), publicKey);
  const part = json => Buffer.from(JSON.stringify(json)).toString('base64url');
  const hs256 = secret => {
    const text = `${part({ alg: 'HS256', typ: 'JWT', kid })}.${part(claims)}`;
    return `JWT ${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const { privateKey: another } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const install = headers => fetch(`${own}/installed`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ ...before, sharedSecret: 'a secret of somebody else, long enough', eventType: 'installed' }),
  });
  for (const [what, headers] of Object.entries({
    'unsigned': {},
    'no algorithm': { authorization: `JWT ${part({ alg: 'none', typ: 'JWT', kid })}.${part(claims)}.` },
    'HS256 with the public key': { authorization: hs256(publicKey) },
    'HS256 with the old secret': { authorization: hs256(before.sharedSecret) },
    'RS256 with another key': { authorization: `JWT ${jwt.encodeAsymmetric(claims, another.export({ type: 'pkcs8', format: 'pem' }), 'RS256', { kid })}` },
  })) {
    const { status } = await install(headers);
    holds(status >= 400 && status < 500, `${what}: ${status}`);
  }
  equal((await addon.settings.get('clientInfo', tenant.clientKey)).sharedSecret, before.sharedSecret);
  equal((await call(tenant.clientKey, '/rest/api/3/myself')).status, 200);
});

await check('its page is framed for cleo with an address that it believes, and a changed or old one it does not', async () => {
  const jwt = require('atlassian-jwt');
  const { sharedSecret } = await addon.settings.get('clientInfo', tenant.clientKey);
  const path = `/plugins/servlet/ac/${KEY}/page?project.key=DEMO`;
  const browser = new Browser();
  equal((await browser.submit(`${BASE}/login`, { email: cleo.email, password: cleo.password, return_to: path })).status, 303);
  const page = await (await browser.request(BASE + path)).text();
  const written = name => page.match(new RegExp(`<iframe [^>]*\\b${name}="([^"]*)"`))[1].replaceAll(/&#(\d+);/g, (_, code) => String.fromCharCode(code)).replaceAll('&amp;', '&');
  const framed = new URL(written('src'));
  const ask = async (url, headers = {}) => {
    const answer = await fetch(url, { headers });
    return { status: answer.status, body: safe(await answer.text()), session: answer.headers.get('x-acpt') };
  };
  const shown = await ask(framed);
  equal([shown.status, shown.body.userAccountId, shown.body.clientKey, shown.body.hostBaseUrl], [200, cleo.account_id, tenant.clientKey, BASE]);

  const changed = more => { const url = new URL(framed); more(url.searchParams, url); return url; };
  const signed = claims => changed(query => query.set('jwt', jwt.encodeSymmetric(claims, sharedSecret)));
  const claims = jwt.decodeSymmetric(framed.searchParams.get('jwt'), sharedSecret, 'HS256');
  const now = Math.floor(Date.now() / 1000);
  equal((await ask(signed(claims))).status, 200, 'what follows fails for its fault alone');
  const refused = {
    'no token': changed(query => query.delete('jwt')),
    'another context': changed(query => query.set('cp', '/elsewhere')),
    'one parameter more': changed(query => query.set('admin', 'true')),
    'another spelling of the path': changed((_, url) => { url.pathname = '/Page'; }),
    'another person': changed(query => query.set('jwt', jwt.encodeSymmetric({ ...claims, sub: ben.account_id }, 'a secret of enough characters, but another'))),
    'expired': signed({ ...claims, iat: now - 900, exp: now - 1 }),
    'a context token': signed({ ...claims, qsh: 'context-qsh' }),
  };
  for (const [what, url] of Object.entries(refused)) {
    const { status } = await ask(url);
    holds(status === 400 || status === 401, `${what}: ${status}`);
  }

  // What the page gets by AP.context.getToken, as the page of this site asks for it.
  const asked = await browser.submit(`${BASE}${path.split('?')[0]}/token`, { form_token: written('data-token'), about: written('data-about') });
  const { token } = await asked.json();
  const context = await ask(`${own}/asked-by-its-page`, { authorization: `JWT ${token}` });
  equal([context.status, context.body.userAccountId, context.body.context.jira.project.key], [200, cleo.account_id, 'DEMO']);
  equal((await ask(`${own}/asked-by-its-page`, { authorization: `JWT ${shown.session}` })).status, 200, "the framework's own session token");
  const old = jwt.encodeSymmetric({ ...jwt.decodeSymmetric(token, sharedSecret, 'HS256'), iat: now - 1_000, exp: now - 100 }, sharedSecret);
  equal((await ask(`${own}/asked-by-its-page`, { authorization: `JWT ${old}` })).status, 401, 'an old context token');
  equal((await ask(`${own}/page`, { authorization: `JWT ${token}` })).status, 401, 'a context token opens no page');
  for (const [what, token_] of Object.entries({ context: token, session: shown.session, frame: framed.searchParams.get('jwt') })) {
    equal([what, (await ask(`${BASE}/rest/api/3/myself`, { authorization: `JWT ${token_}` })).status], [what, 401]);
  }
});

await check('it acts for cleo, within its scopes and her permissions', async () => {
  const oauth2 = require('atlassian-oauth2');
  const settings = await addon.settings.get('clientInfo', tenant.clientKey);
  const ask = (account, more = {}) => oauth2.getAccessToken({
    hostBaseUrl: settings.baseUrl, oauthClientId: settings.oauthClientId, sharedSecret: settings.sharedSecret, userAccountId: account,
    authorizationServerBaseUrl: new URL(card.endpoints.connect_token).origin, authorizationPath: '/oauth2/token', ...more });
  const { access_token: token, expires_in: life } = await ask(cleo.account_id);
  equal(life, 900);
  const as = async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    return fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
  };
  equal((await (await as('GET', '/rest/api/3/myself')).json()).accountId, cleo.account_id);
  equal((await as('GET', '/rest/api/3/issue/VAULT-1')).status, 404, 'what she cannot see');
  equal((await as('DELETE', `/rest/api/3/issue/${issue}`)).status, 403, 'no scope of the app');
  for (const account of ['712020:nobody', (await manage(ada, 'GET', APP)).body.account.accountId, people.dan.account_id]) {
    const error = await ask(account).then(() => 'a token', error => String(error?.message ?? error));
    holds(error !== 'a token', `a token for ${account}`);
  }
  await manage(ada, 'POST', `${APP}/disable`);
  equal((await as('GET', '/rest/api/3/myself')).status, 401);
  equal((await call(tenant.clientKey, '/rest/api/3/myself')).status, 401);
  await until(() => events.includes('disabled'));
  await manage(ada, 'POST', `${APP}/enable`);
  equal((await call(tenant.clientKey, '/rest/api/3/myself')).status, 200);
});

await check('it keeps properties that are its own', async () => {
  const path = `/rest/atlassian-connect/1/addons/${KEY}/properties/settings`;
  equal((await call(tenant.clientKey, path, { method: 'put', body: { color: 'red' } })).status, 201);
  equal((await call(tenant.clientKey, path)).body.value, { color: 'red' });
  equal((await manage(ada, 'GET', path)).status, 403);
  equal((await call(tenant.clientKey, path.replace(KEY, 'another'))).status, 403);
  equal((await call(tenant.clientKey, `/rest/atlassian-connect/1/addons/${KEY}`)).body.state, 'ENABLED');
});

await check('it is uninstalled in order, and its secret is worth nothing', async () => {
  await addon.deregister();
  await until(() => events.some(event => event.startsWith('uninstalled')));
  equal(events.slice(-2), ['disabled', 'uninstalled 200']);
  equal((await call(tenant.clientKey, '/rest/api/3/myself')).status, 401);
  equal((await manage(ada, 'GET', APP)).status, 404);
});

await check.end();
listener.close();
listener.closeAllConnections();
process.exit();
