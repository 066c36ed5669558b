// Apps with the shapes of public ones, built of the packages that those use, deployed by the unmodified command line, and their backends
// called end to end. `apps/` holds them; the first line of each manifest says what it is.
import { deepStrictEqual as same, match, ok } from 'node:assert';
import { createHash, createHmac, createPublicKey, createSign, generateKeyPairSync } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer } from 'node:http';
import jwt from 'jsonwebtoken';
import { asked, copyOf, forge, start, until } from './forge.mjs';
import { BASE, checks, people } from './harness.mjs';

const { ada, ben, cleo } = people;
const check = checks('forge-apps');
const folders = [];

/** One app: deployed and installed, then looked at. */
async function app(name, module, look, change) {
  const folder = copyOf(`apps/${name}`, change);
  folders.push(folder);
  await check(name, async () => look(await start(folder, name, module)));
}

const post = async (url, body, headers = {}) => {
  const answer = await fetch(url, { method: 'POST', headers, body: typeof body === 'string' ? body : JSON.stringify(body) });
  const text = await answer.text();
  try { return { status: answer.status, body: JSON.parse(text) }; } catch { return { status: answer.status, body: text }; }
};
const newIssue = async summary => (await asked(ben, 'POST', '/rest/api/3/issue', { fields: { project: { key: 'DEMO' }, summary, issuetype: { name: 'Task' } } })).body;

/** Takes an app's account out of the project VAULT. */
async function shutOut(installation) {
  const { values } = (await asked(ada, 'GET', '/api/portcullis/v1/forge/installations')).body;
  const { account } = values.find(({ id }) => id === installation);
  const role = new URL((await asked(ada, 'GET', '/rest/api/3/project/VAULT/role')).body['atlassian-addons-project-access']).pathname;
  same((await asked(ada, 'DELETE', `${role}?user=${encodeURIComponent(account.accountId)}`)).status, 204);
}

await app('intake', undefined, async ({ folder, installation, address }) => {
  const url = await address('intake');
  const ticket = { project: 'DEMO', title: 'From outside', text: 'As text', kind: 'Task' };
  same((await post(url, ticket, { 'X-Intake-Key': '' })).status, 401, 'while there is no key');
  same((await forge(ben, folder, 'variables', 'set', 'INTAKE_KEY', 'k1', '--encrypt', '-e', 'development')).status, 0);
  same(await post(url, ticket, { 'X-Intake-Key': 'wrong' }), { status: 401, body: { refused: 'key' } });
  const made = await post(url, ticket, { 'X-Intake-Key': 'k1' });
  same(made.status, 201, JSON.stringify(made.body));
  same((await asked(ben, 'GET', `/rest/api/2/issue/${made.body.key}`)).body.fields.description, 'As text');
  // The app's own account decides, and not who knocks; where it may work is an administrator's to say.
  await shutOut(installation);
  same((await post(url, { ...ticket, project: 'VAULT' }, { 'X-Intake-Key': 'k1' })).status, 400);
});

await app('reports', 'global-page', async ({ value }) => {
  same(await value(ada, 'choices'), {
    projects: ['DEMO', 'VAULT'], people: true, assignable: 200, statuses: ['To Do', 'In Progress', 'Done'],
    types: ['Epic', 'Story', 'Task', 'Sub-task', 'Bug'], suggested: 200, removed: 410, boards: 404,
  });
  same((await value(cleo, 'choices')).projects, ['DEMO']);
  const searched = await value(cleo, 'issues', { jql: 'created is not empty order by created ASC' }, { moduleKey: 'project-page' });
  ok(searched.status === 200 && searched.keys.includes('DEMO-1') && !searched.keys.some(key => key.startsWith('VAULT')), JSON.stringify(searched));
  same(await value(cleo, 'saved', { name: 'Mine' }), { found: [{ name: 'Mine', owner: cleo.account_id }], gone: true });
  const exported = await value(cleo, 'exported', { watcher: ben.account_id });
  same({ ...exported, key: undefined }, { key: undefined, attached: 200, whole: true, watched: 204, commented: 201 });
  ok((await asked(ben, 'GET', `/rest/api/3/issue/${exported.key}/watchers`)).body.watchers.some(({ accountId }) => accountId === ben.account_id));
});

await app('followup', 'settings', async ({ value }) => {
  const { key, id } = await newIssue('Followed');
  const { transitions } = (await asked(ben, 'GET', `/rest/api/3/issue/${key}/transitions`)).body;
  same((await asked(ben, 'POST', `/rest/api/3/issue/${key}/transitions`, { transition: { id: transitions.find(({ to }) => to.name === 'In Progress').id } })).status, 204);
  same(await until(() => value(cleo, 'load', { key: `moved-${key}` }), Boolean), { to: 'In Progress', comment: 201, open: true });
  same((await value(cleo, 'load', { key: 'nothing' })) ?? null, null);
  same(await value(ben, 'may', { issues: [id] }), { edit: true, remove: true });
  same((await value(cleo, 'may', { issues: id })).remove, false);
});

await app('reviews', 'settings', async ({ folder, value, address }) => {
  same(await value(ada, 'keep', { token: 'a token' }, { moduleKey: 'context' }), { kept: true });
  same(await value(ada, 'elsewhere', { url: 'https://elsewhere.example' }), 403);
  same((await forge(ben, folder, 'variables', 'set', 'SHARED_SECRET', 's', '--encrypt', '-e', 'development')).status, 0);
  const { key } = await newIssue('Reviewed');
  const url = await address('merged');
  const body = JSON.stringify({ title: `${key} is done` });
  const signed = secret => ({ 'X-Hub-Signature-256': `sha256=${createHmac('sha256', secret).update(body).digest('hex')}` });
  same(await post(url, body, signed('wrong')), { status: 403, body: 'not signed' });
  same(await post(url, body, signed('s')), { status: 200, body: 204 });
  same((await asked(ben, 'GET', `/rest/api/3/issue/${key}?fields=status`)).body.fields.status.name, 'Done');
});

await app('fields', undefined, async ({ address }) => {
  // Its scopes and its account's role in the project together let it change the project; what is not built is said after that.
  same(await post(await address('now'), ''), { status: 200, body: { by: 'web trigger', fields: 200, known: true, screens: 501, described: 200 } });
});

const badges = createServer((request, answer) => answer.setHeader('Content-Type', 'application/json').end(JSON.stringify({ from: request.url })));
await new Promise(listening => { badges.listen(0, '127.0.0.1', listening); });
const source = `http://127.0.0.1:${badges.address().port}`;
await app('badges', 'panel', async ({ value }) => {
  const { key } = await newIssue('Badged');
  same(await until(() => value(ben, 'badge', {}, { issue: key }), Boolean), { from: '/badge?shape=round', elsewhere: 403 });
  same(await value(ben, 'badge', {}, { issue: 'DEMO-1' }), null);
}, text => text.replaceAll('BADGES', source));
badges.close();

await app('builds', 'home', async ({ value }) => {
  const [own, other] = [0, 1].map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
  await value(ada, 'trust', { keys: [{ ...own.publicKey.export({ format: 'jwk' }), kid: 'k1' }] }, { moduleKey: 'configure' });
  const { url } = await value(ada, 'address', { key: 'news' });
  const part = content => Buffer.from(JSON.stringify(content)).toString('base64url');
  const token = (key, claims, alg = 'RS256') => {
    const text = `${part({ alg, kid: 'k1', typ: 'JWT' })}.${part({ sub: 'builder', aud: 'builds', exp: Math.floor(Date.now() / 1000) + 60, ...claims })}`;
    return `${text}.${alg === 'none' ? '' : createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`;
  };
  const news = async authorization => post(url, '{"builds":[]}', { authorization });
  const taken = await news(token(own.privateKey));
  same([taken.status, taken.body.by, taken.body.news], [200, 'builder', 0]);
  same(await news(token(other.privateKey)), { status: 401, body: 'invalid signature' });
  same(await news(token(own.privateKey, { exp: 1 })), { status: 401, body: 'jwt expired' });
  same(await news(token(own.privateKey, { aud: 'others' })), { status: 401, body: 'jwt audience invalid. expected: builds' });
  same((await news(token(own.privateKey, {}, 'none'))).status, 401);
});

await app('advisories', 'settings', async ({ value }) => {
  const watched = await value(ada, 'watch', { project: 'DEMO', secret: 'hush' });
  same([watched.by, watched.licensed], [ada.account_id, null]);
  for (const moduleKey of ['panel', 'glance', 'gadget', 'browse']) same(await value(cleo, 'types', {}, { moduleKey }), ['Epic', 'Story', 'Task', 'Bug']);
  same(await value(cleo, 'issue', {}, { moduleKey: 'panel' }), ['fulfilled', 'rejected']);
  same(await until(() => value(ada, 'lived'), ({ length }) => length > 0), ['avi:forge:installed:app']);
  same(await post(watched.url, { project: 'DEMO', id: 'A-1' }, { 'X-Secret': 'wrong' }), { status: 403, body: { refused: true } });
  same(await post(watched.url, { project: 'DEMO', id: 'A-1' }, { 'X-Secret': 'hush' }), { status: 200, body: { made: 201 } });
  const found = (await asked(ben, 'GET', `/rest/api/3/search/jql?jql=${encodeURIComponent('labels = advisory')}&fields=description`)).body.issues;
  same(found[0].fields.description.content.map(({ type }) => type), ['heading', 'panel', 'table', 'bulletList']);
});

await app('digest', 'page', async ({ value }) => {
  same(await value(ada, 'people'), 200);
  same([await value(cleo, 'issue', { key: 'DEMO-1' }), await value(cleo, 'issue', { key: 'VAULT-1' }), await value(ben, 'issue', { key: 'VAULT-1' })], [200, 404, 200]);
  same([await value(cleo, 'kept', { a: [1] }), await value(cleo, 'secret', 'hush')], [{ a: [1] }, 'hush']);
});

await app('gatekeeper', undefined, async ({ address }) => {
  const url = await address('ask');
  const { statuses } = (await asked(ben, 'GET', '/rest/api/3/project/DEMO/statuses')).body[0];
  same((await post(`${url}?issue=DEMO-1&to=${statuses[0].id}`, '')).body, { result: true, from: 'To Do', asked: 1, elsewhere: 403 });
  same((await post(`${url}?issue=DEMO-1&to=1`, '')).body, { result: false, from: 'To Do', asked: 2, elsewhere: 403 });
});

await app('importer', 'page', async ({ value, address }) => {
  await value(ada, 'start', { names: ['a', 'b', 'c', 'd', 'e'] });
  same(await until(() => value(ada, 'imported'), ({ length }) => length === 5), ['a', 'b', 'c', 'd', 'e'].map(name => `project-${name}`));
  same(await value(ada, 'configured', { yaml: 'a: [1, {b: c}]' }), { a: [1, { b: 'c' }], again: 'a:\n  - 1\n', grouped: { 0: [2], 1: [1, 3] } });
  same(await value(ada, 'graph'), { status: 200, errors: 1 });
  const told = await post(`${await address('event')}?a=1,2&b=3`, '');
  same(told.body.queryParameters, { a: ['1', '2'], b: ['3'] });
  match(told.body.installContext, /^ari:cloud:jira::site\//);
});

await app('careless', 'settings', async ({ value, installation, address }) => {
  same(await value(ada, 'remember', { secret: 'x'.repeat(32) }), createHash('sha256').update('x'.repeat(32)).digest('hex'));
  same(await value(cleo, 'tokens', {}, { moduleKey: 'project' }), { jwt: 1, connect: 3, aes: 'text' });
  // The app does whatever it is told, in its own name; what its own account may not, nobody gets by it.
  same(await value(cleo, 'summary', { key: 'VAULT-1' }), 200, 'the mistake of this app');
  await shutOut(installation);
  same(await value(cleo, 'summary', { key: 'VAULT-1' }), 404);
  same(await value(cleo, 'summary', { key: '../../../../VAULT-1?x=' }).catch(() => 404), 404);
  const anything = (path, init) => value(cleo, 'anything', { path, init });
  same(await anything('/rest/api/3/project/VAULT', { method: 'PUT', headers: { 'Content-Type': 'application/json' }, body: '{"name":"Mine"}' }), 403);
  same(await anything('/rest/api/3/issue/../../../api/portcullis/v1/users'), 400);
  same(await anything('/api/portcullis/v1/users'), 404);
  same(await anything('//evil.example/rest/api/3/myself'), 400);
  const url = await address('knock');
  same(await post(url, '', { 'X-Knock': 'Bearer eyJhbGciOiJub25lIn0.e30.' }), { status: 500, body: 'jwt signature is required' });
});

const heard = [];
const own = createServer(async (request, answer) => {
  let body = '';
  for await (const part of request) body += part;
  const told = { path: request.url, method: request.method, headers: request.headers, body };
  heard.push(told);
  // The invocation token, checked as a remote's code does it.
  const { keys } = await (await fetch(`${BASE}/.well-known/forge/jwks.json`)).json();
  const token = request.headers.authorization.replace('Bearer ', '');
  const { kid } = jwt.decode(token, { complete: true }).header;
  told.claims = jwt.verify(token, createPublicKey({ key: keys.find(key => key.kid === kid), format: 'jwk' }), { algorithms: ['RS256'], issuer: 'forge/invocation-token' });
  const asks = async (bearer, path) => (bearer ? (await fetch(`${told.claims.app.apiBaseUrl}${path}`, { headers: { Authorization: `Bearer ${bearer}` } })).status : null);
  const user = request.headers['x-forge-oauth-user'];
  const system = request.headers['x-forge-oauth-system'];
  const statuses = await Promise.all([asks(user, '/rest/api/3/issue/DEMO-1'), asks(user, '/rest/api/3/issue/VAULT-1'), asks(user, '/rest/api/3/myself'), asks(system, '/rest/api/3/issue/DEMO-1'), asks(`${user}x`, '/rest/api/3/issue/DEMO-1')]);
  if (request.url.endsWith('/away')) answer.writeHead(302, { Location: 'https://evil.example' }).end();
  else answer.setHeader('Content-Type', 'application/json').end(JSON.stringify({ path: told.path, principal: told.claims.principal ?? null, statuses }));
});
await new Promise(listening => { own.listen(0, '127.0.0.1', listening); });
const base = `http://127.0.0.1:${own.address().port}`;
await app('remote', 'action', async ({ id, value, call }) => {
  const answered = await value(cleo, undefined, { path: '/to?a=1', body: { any: 'thing' }, headers: { 'X-Forge-Oauth-User': 'forged', 'X-Own': 'kept' } });
  // Scopes and the person together: VAULT is not Cleo's, and a profile needs another scope.
  same([answered.status, answered.body], [200, { path: '/base/answers/to?a=1', principal: cleo.account_id, statuses: [200, 404, 401, 200, 401] }]);
  const [{ claims, headers, body, method }] = heard;
  same([method, body, headers['x-own'], claims.aud, claims.app.module], ['POST', '{"any":"thing"}', 'kept', `ari:cloud:ecosystem::app/${id}`, { type: 'jira:issueAction', key: 'action' }]);
  same([claims.context.extension.issue.key, claims.context.accountId, claims.exp - claims.iat, /^[0-9a-f]{32}$/.test(headers['x-b3-traceid'])], ['DEMO-1', cleo.account_id, 25, true]);
  same((await value(ben, undefined, { path: '/to' })).body.statuses.slice(0, 2), [200, 200]);
  match((await call(cleo, undefined, { path: '/away' })).error.errorMessage, /redirects/);
  match((await call(cleo, undefined, { path: '/../../admin' })).error.errorMessage, /leads away/);

  // A function gets the tokens that the remote's own entry allows, and may not bring its own.
  same(await value(cleo, 'ask', { remote: 'own', path: '/asked' }, { moduleKey: 'page' }), { status: 200, body: { path: '/base/asked', principal: cleo.account_id, statuses: [null, null, null, 200, 401] } });
  match((await value(cleo, 'ask', { remote: 'closed', path: '/' }, { moduleKey: 'page' })).message, /Invalid remote key/);
  match((await value(cleo, 'ask', { remote: 'nobody', path: '/' }, { moduleKey: 'page' })).message, /Invalid remote key/);

  heard.length = 0;
  const comment = { body: { type: 'doc', version: 1, content: [{ type: 'paragraph', content: [{ type: 'text', text: 'for the remote' }] }] } };
  same((await asked(ben, 'POST', '/rest/api/3/issue/DEMO-1/comment', comment)).status, 201);
  const told = await until(async () => heard.find(({ path }) => path === '/base/hears'), Boolean);
  const event = JSON.parse(told.body);
  same([event.eventType, event.issue.key, told.headers['x-forge-oauth-user']], ['avi:jira:commented:issue', 'DEMO-1', undefined]);

  // What a remote was given ends with the app.
  const token = (await value(cleo, undefined, { path: '/to' })) && heard.at(-1).headers['x-forge-oauth-system'];
  const at = `${heard.at(-1).claims.app.apiBaseUrl}/rest/api/3/issue/DEMO-1`;
  const status = async () => (await fetch(at, { headers: { Authorization: `Bearer ${token}` } })).status;
  same(await status(), 200);
  const { values } = (await asked(ada, 'GET', `/api/portcullis/v1/forge/installations?appId=${id}`)).body;
  same((await asked(ada, 'DELETE', `/api/portcullis/v1/forge/installations/${values[0].id}`)).status, 204);
  same(await status(), 401);
}, text => text.replaceAll('OWN', base));
own.close();

for (const used of folders) rmSync(used, { recursive: true, force: true });
await check.end();
