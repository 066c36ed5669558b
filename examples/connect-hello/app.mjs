// A Connect app in one file: it is installed, checks every request that claims to come from the site, is told of new issues, shows a
// page, and asks the site as itself. Nothing but Node.js is needed.
import { createHash, createHmac, createVerify, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const KEY = 'com.example.connect-hello';
const card = process.argv[2];
const port = Number(process.env.CONNECT_HELLO_PORT ?? 8089);
const own = `http://localhost:${port}`;
const say = (...words) => console.log('connect-hello:', ...words);
if (!card) {
  console.error('usage: node app.mjs CARD   (the card.json of a running demo)');
  process.exit(2);
}

const descriptor = {
  key: KEY, name: 'Hello', description: 'Greets whoever looks, and tells of new issues.', vendor: { name: 'Example', url: 'https://example.com' },
  baseUrl: own, authentication: { type: 'jwt' }, scopes: ['READ'], apiVersion: 1,
  apiMigrations: { gdpr: true, 'signed-install': true, 'context-qsh': true },
  lifecycle: { installed: '/installed', uninstalled: '/uninstalled' },
  modules: {
    generalPages: [{ key: 'hello', name: { value: 'Hello' }, url: '/hello' }],
    webhooks: [{ event: 'jira:issue_created', url: '/told' }],
  },
};

// What a real app keeps in a database.
let site;
const told = [];

const b64 = bytes => Buffer.from(bytes).toString('base64url');
const unb64 = text => Buffer.from(text, 'base64url');
const encode = text => encodeURIComponent(text).replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

/** The hash that ties a token to one request. */
function qsh(method, url) {
  const { pathname, searchParams } = new URL(url, own);
  searchParams.delete('jwt');
  const names = [...new Set(searchParams.keys())].sort((a, b) => (encode(a) < encode(b) ? -1 : 1));
  const query = names.map(name => `${encode(name)}=${searchParams.getAll(name).sort().map(encode).join(',')}`).join('&');
  return createHash('sha256').update(`${method}&${pathname}&${query}`).digest('hex');
}

/** The claims of a token of the site, or an error that says what is wrong. `key`: a shared secret, or a public key. */
function verified(token, algorithm, key, expectedQsh) {
  const [head, body, signature] = (token ?? '').split('.');
  const header = JSON.parse(unb64(head));
  // The algorithm is ours to choose, never the token's.
  if (header.alg !== algorithm) throw new Error(`${header.alg} is not ${algorithm}`);
  const good = algorithm === 'HS256'
    ? timingSafeEqual(createHmac('sha256', key).update(`${head}.${body}`).digest(), unb64(signature))
    : createVerify('RSA-SHA256').update(`${head}.${body}`).verify(key, unb64(signature));
  if (!good) throw new Error('the signature is wrong');
  const claims = JSON.parse(unb64(body));
  if (claims.exp < Date.now() / 1000 - 30) throw new Error('the token is over');
  if (claims.qsh !== expectedQsh) throw new Error('the token is for another request');
  return claims;
}

/** `installed` and `uninstalled` are signed with the site's own key, which is looked up where the card says. */
async function byTheSite(request) {
  const token = request.headers.authorization?.replace(/^JWT /, '');
  const { kid } = JSON.parse(unb64(token.split('.')[0]));
  const answer = await fetch(`${JSON.parse(readFileSync(card)).endpoints.install_keys}/${encodeURIComponent(kid)}`);
  if (!answer.ok) throw new Error('the key is not known');
  const claims = verified(token, 'RS256', await answer.text(), qsh(request.method, request.url));
  if (![claims.aud].flat().includes(own)) throw new Error('the token is for another app');
}

const bySecret = (request, token) => verified(token, 'HS256', site?.sharedSecret ?? '', qsh(request.method, request.url));

/** A call to the site as the app itself. */
async function ask(path) {
  const now = Math.floor(Date.now() / 1000);
  const head = b64(JSON.stringify({ alg: 'HS256', typ: 'JWT' }));
  const body = b64(JSON.stringify({ iss: KEY, iat: now, exp: now + 180, qsh: qsh('GET', path) }));
  const signature = createHmac('sha256', site.sharedSecret).update(`${head}.${body}`).digest('base64url');
  const answer = await fetch(site.baseUrl + path, { headers: { authorization: `JWT ${head}.${body}.${signature}` } });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

const text = value => String(value).replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

async function page(claims) {
  const projects = (await ask('/rest/api/3/project/search')).values;
  const person = await ask(`/rest/api/3/user?accountId=${encode(claims.sub)}`);
  const list = items => (items.length ? `<ul>${items.map(item => `<li>${text(item)}</li>`).join('')}</ul>` : '<p>Nothing yet.</p>');
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Hello</title><link rel="stylesheet" href="${text(site.baseUrl)}/atlassian-connect/all.css">
<script src="${text(site.baseUrl)}/atlassian-connect/all.js" defer></script>
<script defer src="/page.js"></script>
<h1>Hello, ${text(person.displayName)}</h1>
<p>This comes from ${text(own)}. The site signed its address for you.</p>
<h2>Projects that my account sees</h2>${list(projects.map(project => `${project.key}: ${project.name}`))}
<h2>Issues that I was told of</h2>${list(told)}
<h2>What I may do in your name</h2><p id="mine">Asking through the page …</p>`;
}

const PAGE_JS = `AP.request('/rest/api/3/myself').then(({ body }) => {
  document.getElementById('mine').textContent = 'Read, as ' + JSON.parse(body).displayName + ': my scope is READ.';
});`;

const routes = {
  'GET /atlassian-connect.json': async (_, answer) => answer.json(descriptor),
  'POST /installed': async (request, answer, body) => { await byTheSite(request); site = body; say('installed by', site.baseUrl); answer.json({}); },
  'POST /uninstalled': async (request, answer) => { await byTheSite(request); site = undefined; answer.json({}); },
  'POST /told': async (request, answer, body) => {
    bySecret(request, request.headers.authorization?.replace(/^JWT /, ''));
    told.unshift(`${body.issue.key}: ${body.issue.fields.summary}`);
    told.splice(10);
    answer.json({});
  },
  'GET /hello': async (request, answer) => answer.html(await page(bySecret(request, new URL(request.url, own).searchParams.get('jwt')))),
  'GET /page.js': async (_, answer) => answer.send(200, 'text/javascript', PAGE_JS),
};

const server = createServer(async (request, response) => {
  const send = (status, type, content) => response.writeHead(status, { 'content-type': `${type};charset=utf-8` }).end(content);
  const answer = { send, json: value => send(200, 'application/json', JSON.stringify(value)), html: value => send(200, 'text/html', value) };
  const route = routes[`${request.method} ${new URL(request.url, own).pathname}`];
  if (!route) return send(404, 'text/plain', 'There is no such page.');
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  let body = {};
  try { body = JSON.parse(Buffer.concat(chunks).toString() || '{}'); } catch { return send(400, 'text/plain', 'This is not JSON.'); }
  try {
    await route(request, answer, body);
  } catch (error) {
    say(request.method, request.url.split('?')[0], 'refused:', error.message);
    send(401, 'text/plain', 'Refused.');
  }
});

/** Installs the app as the administrator on the card, once the demo runs. */
async function install() {
  const { base_url: base, people } = JSON.parse(readFileSync(card));
  const ada = people.find(person => person.name === 'Ada');
  const call = (method, path, body) => fetch(base + path, {
    method, body: body && JSON.stringify(body),
    headers: { authorization: `Basic ${Buffer.from(`${ada.email}:${ada.api_token}`).toString('base64')}`, 'content-type': 'application/json' },
  });
  const asked = { descriptorUrl: `${own}/atlassian-connect.json` };
  let answer = await call('POST', '/api/portcullis/v1/connect-apps', asked);
  if (answer.status === 409) {
    // From another port, in an earlier demo.
    await call('DELETE', `/api/portcullis/v1/connect-apps/${KEY}`);
    answer = await call('POST', '/api/portcullis/v1/connect-apps', asked);
  }
  if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
  say(`look at ${base}/plugins/servlet/ac/${KEY}/hello`);
}

server.on('error', error => { say(`not started: ${error.message}. CONNECT_HELLO_PORT chooses another port.`); process.exit(1); });
server.listen(port, '127.0.0.1', async () => {
  const started = Date.now();
  const parent = process.ppid;
  // With the demo that started it the app ends too.
  setInterval(() => process.ppid !== parent && process.exit(), 1000).unref();
  for (;;) {
    try {
      if (existsSync(card)) { await install(); return; }
    } catch (error) {
      if (!(error instanceof TypeError) || Date.now() - started > 60_000) { say('not installed:', error.message); process.exit(1); }
    }
    await new Promise(resolve => setTimeout(resolve, 300));
  }
});
