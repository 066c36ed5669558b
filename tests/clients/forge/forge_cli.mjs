// The unmodified command line of Forge, and an app built of Forge's own packages: registered, deployed, installed, called, upgraded with
// consent, uninstalled. Then the same app on the majors of @forge/api before.
import { deepStrictEqual as same, match, ok } from 'node:assert';
import { rmSync } from 'node:fs';
import { admit, asked, copyOf, deploy, develop, edit, forge, install, register, site, start, until } from './forge.mjs';
import { checks, people } from './harness.mjs';

const { ada, ben, cleo } = people;
const check = checks('forge-cli');
const folder = copyOf('contract');
let app;

await check('a developer is known by e-mail and API token', async () => {
  match((await forge(ben, folder, 'whoami')).text, /ben@acme.example/);
  ok((await forge({ ...ben, api_token: 'wrong' }, folder, 'whoami')).status !== 0);
});

await check('register, deploy, install: an administrator consents, a developer does not', async () => {
  await register(folder, 'Contract');
  const refused = await forge(ben, folder, ...install);
  ok(refused.status !== 0, refused.text);
  app = await admit(folder);
});

await check('a resolver is called with its payload and the context that the server made', async () => {
  same((await app.call(cleo, 'hello', { name: 'Cleo' })).body, { hello: 'Cleo', accountId: cleo.account_id, issue: 'DEMO-1' });
});

await check('asUser: the app\'s scopes and the person\'s permissions together', async () => {
  same((await app.call(cleo, 'issueAsUser', { key: 'DEMO-1' })).body.status, 200);
  same((await app.call(cleo, 'issueAsUser', { key: 'VAULT-1' })).body.status, 404);
  same((await app.call(ben, 'issueAsUser', { key: 'VAULT-1' })).body.status, 200);
  const refused = (await app.call(ada, 'myself')).body;
  same([refused.status, refused.body.message], [401, 'Unauthorized; scope does not match']);
});

await check('asApp: the app\'s own account', async () => {
  same((await app.call(cleo, 'issueAsApp', { key: 'DEMO-1' })).body.status, 200);
  same((await app.call(ada, 'issueAsApp', { key: 'VAULT-1' })).body.status, 404);
  same((await app.call(ada, 'commentAsApp', { key: 'DEMO-1', text: 'hi' })).body.status, 401);
});

await check('@forge/kvs keeps values, and secrets apart from them', async () => {
  same((await app.call(cleo, 'keep', { key: 'k', value: { a: [1] } })).body, { a: [1] });
  same((await app.call(ben, 'kept', { key: 'k' })).body, { value: { a: [1] }, missing: true });
  same((await app.call(ben, 'secret')).body, { secret: { value: 'hush' }, plain: null });
  same((await app.call(ben, 'list')).body, ['k']);
});

await check('fetch goes where the manifest says, which is nowhere', async () => {
  same((await app.call(ben, 'egress', { url: 'https://example.com/' })).body.status, 403);
});

await check('axios, which builds on the https of Node, is held by the same rule', async () => {
  same((await app.call(ben, 'axios', { url: 'https://example.com/' })).body.status, 403);
});

await check('@forge/events: what is pushed is consumed, and counted', async () => {
  const pushed = (await app.call(cleo, 'push', { n: 7 })).body;
  ok(pushed.jobId, JSON.stringify(pushed));
  same((await until(() => app.call(cleo, 'kept', { key: 'consumed' }), answer => answer.body.value)).body.value, { n: 7 });
  const stats = await until(() => app.call(cleo, 'stats', { jobId: pushed.jobId }), answer => answer.body.success === 1);
  same(stats.body, { success: 1, inProgress: 0, failed: 0 });
});

await check('a trigger is told of a comment', async () => {
  const body = { body: { type: 'doc', version: 1, content: [{ type: 'paragraph', content: [{ type: 'text', text: 'for the trigger' }] }] } };
  same((await asked(ben, 'POST', '/rest/api/3/issue/DEMO-1/comment', body)).status, 201);
  const told = await until(() => app.call(cleo, 'kept', { key: 'commented' }), answer => answer.body.value);
  same(told.body.value, { event: 'avi:jira:commented:issue', issue: 'DEMO-1', by: ben.account_id, comment: 'doc' });
});

await check('variables', async () => {
  same((await forge(ben, folder, 'variables', 'set', 'GREETING', 'hello', '-e', 'development')).status, 0);
  same((await forge(ben, folder, 'variables', 'set', 'HIDDEN', 'do-not-tell', '--encrypt', '-e', 'development')).status, 0);
  const listed = (await forge(ben, folder, 'variables', 'list', '-e', 'development')).text;
  ok(/GREETING/.test(listed) && /hello/.test(listed) && /HIDDEN/.test(listed) && !/do-not-tell/.test(listed), listed);
  same((await app.call(ben, 'variable')).body, 'hello');
  same((await forge(ben, folder, 'variables', 'unset', 'GREETING', '-e', 'development')).status, 0);
  same((await app.call(ben, 'variable')).body, null);
});

await check('a web trigger has an address, and answers as the app says', async () => {
  const made = (await forge(ben, folder, 'webtrigger', 'create', '-f', 'hook', '-e', 'development', '--site', site, '--product', 'jira')).text;
  const url = /http\S+\/x1\/\S+/.exec(made)?.[0];
  ok(url, made);
  const answer = await fetch(`${url}?a=1`, { method: 'POST', body: 'knock' });
  same([answer.status, answer.headers.get('x-from'), (await answer.json()).query], [200, 'contract', { a: ['1'] }]);
});

await check('getAppContext and errors are as the packages expect', async () => {
  match((await app.call(ben, 'context')).body.appAri, new RegExp(app.id));
  same((await app.call(ben, 'fail')).error.errorMessage, 'on purpose');
});

await check('logs', async () => {
  await new Promise(later => { setTimeout(later, 600); });
  const { text } = await forge(ben, folder, 'logs', '-e', 'development', '--limit', '200');
  ok(/hook called with knock/.test(text) && /on purpose/.test(text), text);
});

await check('code that does not load is refused with its reason', async () => {
  edit(folder, 'src/index.js', text => `throw new Error('broken at load');\n${text}`);
  const { status, text } = await forge(ben, folder, ...deploy);
  ok(status !== 0 && /broken at load/.test(text), text);
  edit(folder, 'src/index.js', text => text.replace(/^throw.*\n/, ''));
  same((await app.call(cleo, 'hello', { name: 'Cleo' })).success, true);
});

await check('a new scope waits for an administrator', async () => {
  edit(folder, 'manifest.yml', text => text.replace('- read:jira-work', '- read:jira-work\n    - write:jira-work'));
  same((await forge(ben, folder, ...deploy)).status, 0);
  same((await app.call(ada, 'commentAsApp', { key: 'DEMO-1', text: 'hi' })).body.status, 401);
  const upgraded = await forge(ada, folder, ...install, '--upgrade');
  same(upgraded.status, 0, upgraded.text);
  same((await app.call(ada, 'commentAsApp', { key: 'DEMO-1', text: 'hi' })).body.status, 201);
});

await check('uninstall', async () => {
  const gone = await forge(ada, folder, 'uninstall', '--site', site, '--product', 'jira', '-e', 'development');
  same(gone.status, 0, gone.text);
  same((await asked(ada, 'GET', `/api/portcullis/v1/forge/installations?appId=${app.id}`)).body.total, 0);
});

// Majors before have storage of their own; those before 5 speak through the https of Node.
const withStorage = name => `
import { storage } from '${name}';
resolver.define('storage', async () => {
  await storage.set('a', { n: 1 });
  await storage.setSecret('s', 'hush');
  const { results } = await storage.query().limit(50).getMany();
  return { value: await storage.get('a'), secret: await storage.getSecret('s'), keys: results.map(({ key }) => key), missing: (await storage.get('zz')) === undefined };
});`;
const older = [];
for (const major of [7, 4, 3, 2]) {
  const name = `@forge/api-${major}`;
  const copy = copyOf('contract', (text, file) => (file === 'src/index.js' ? text.replaceAll(`'@forge/api'`, `'${name}'`) + withStorage(name) : text));
  older.push(copy);
  await check(`the same app on major ${major} of @forge/api`, async () => {
    const before = await start(copy, `Contract ${major}`);
    same((await before.call(cleo, 'issueAsUser', { key: 'DEMO-1' })).body.status, 200);
    same((await before.call(cleo, 'issueAsUser', { key: 'VAULT-1' })).body.status, 404);
    same((await before.call(cleo, 'issueAsApp', { key: 'DEMO-1' })).body.status, 200);
    same((await before.call(ada, 'commentAsApp', { key: 'DEMO-1', text: 'hi' })).body.status, 401);
    same((await before.call(cleo, 'egress', { url: 'https://example.com/' })).body.status, 403);
    same((await before.call(cleo, 'storage')).body, { value: { n: 1 }, secret: 'hush', keys: ['a'], missing: true });
    same((await asked(ada, 'DELETE', `/api/portcullis/v1/forge/installations/${before.installation}`)).status, 204);
  });
}

for (const used of [folder, ...older]) rmSync(used, { recursive: true, force: true });
await check.end();
