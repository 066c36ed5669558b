import Resolver from '@forge/resolver';
import api, { route } from '@forge/api-6';
import { kvs } from '@forge/kvs';
import { createHmac, timingSafeEqual } from 'crypto';
import { Octokit } from 'octokit';

const definitions = new Resolver();
definitions.define('keep', async ({ payload }) => { await kvs.setSecret('token', payload.token); return { kept: (await kvs.getSecret('token')) === payload.token }; });
definitions.define('elsewhere', async ({ payload }) => {
  // The manifest names one address; the client is pointed at another.
  const octokit = new Octokit({ auth: await kvs.getSecret('token'), baseUrl: payload.url });
  try { return (await octokit.request('GET /user/repos')).status; } catch (error) { return error.status; }
});
export const resolver = definitions.getDefinitions();

export const merged = async ({ headers, body }) => {
  const own = `sha256=${createHmac('sha256', process.env.SHARED_SECRET ?? '').update(body).digest('hex')}`;
  const given = headers['x-hub-signature-256']?.[0] ?? '';
  if (given.length !== own.length || !timingSafeEqual(Buffer.from(given), Buffer.from(own))) return { statusCode: 403, headers: {}, body: 'not signed' };
  const [key] = JSON.parse(body).title.match(/[A-Z]+-\d+/) ?? [];
  const transitions = route`/rest/api/3/issue/${key}/transitions`;
  const known = await (await api.asApp().requestJira(transitions)).json();
  const { id } = known.transitions.find(({ to }) => to.name === 'Done');
  const done = await api.asApp().requestJira(transitions, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ transition: { id } }) });
  return { statusCode: 200, headers: {}, body: String(done.status) };
};
