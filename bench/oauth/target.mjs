// Approves the demo's app as Cleo as often as there are clients, and prints the target of the bench.
//   node target.mjs CARD.json PID CLIENTS [client_credentials]
import { readFileSync } from 'node:fs';

const [file, pid, clients, grant] = process.argv.slice(2);
const card = JSON.parse(readFileSync(file, 'utf8'));
const BASE = card.base_url;
const app = card.oauth_app;
const person = name => card.people.find(person => person.name === name);
const host = new URL(BASE).host;
const target = { address: host, host, path: '/oauth/token', pid: Number(pid), clients: Number(clients) };

if (grant === 'client_credentials') {
  const headers = { authorization: `Basic ${Buffer.from(`${person('Ada').email}:${person('Ada').api_token}`).toString('base64')}`, 'content-type': 'application/json' };
  const post = async (path, body) => (await fetch(`${BASE}/api/portcullis/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json();
  const account = await post('/users', { kind: 'service', displayName: `Bench ${Date.now()}` });
  const client = await post(`/service-accounts/${account.accountId}/oauth-clients`, { name: 'Bench', scopes: ['read:jira-work'] });
  console.log(JSON.stringify({ ...target, name: 'Portcullis, client credentials, on disk, ES256', client_id: client.clientId, client_secret: client.clientSecret }));
} else {
  const form = fields => ({ method: 'POST', redirect: 'manual', headers: { origin: BASE, cookie, 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields) });
  let cookie = '';
  const login = await fetch(`${BASE}/login`, form({ email: person('Cleo').email, password: person('Cleo').password }));
  cookie = login.headers.getSetCookie()[0].split(';')[0];
  const url = `${BASE}/authorize?${new URLSearchParams({ client_id: app.client_id, redirect_uri: app.redirect_uri, response_type: 'code', scope: 'read:jira-work offline_access', state: 'x' })}`;
  const refresh_tokens = [];
  for (let n = 0; n < Number(clients); n += 1) {
    const page = await (await fetch(url, { headers: { cookie } })).text();
    const value = name => page.match(new RegExp(`name="${name}" value="([^"]*)"`))[1];
    const answer = await fetch(`${BASE}/authorize`, form({ form_token: value('form_token'), request: value('request'), site: value('site'), decision: 'approve' }));
    const code = new URL(answer.headers.get('location')).searchParams.get('code');
    const tokens = await fetch(`${BASE}/oauth/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: app.redirect_uri, client_id: app.client_id, client_secret: app.client_secret }) });
    refresh_tokens.push((await tokens.json()).refresh_token);
  }
  console.log(JSON.stringify({ ...target, name: 'Portcullis, refresh, on disk, JWT (ES256)', client_id: app.client_id, client_secret: app.client_secret, refresh_tokens }));
}
