import api, { asUser, asApp, route, getAppContext } from '@forge/api';
import Resolver from '@forge/resolver';
import { kvs } from '@forge/kvs';
import { Queue } from '@forge/events';
import axios from 'axios';

const told = async (response) => {
  const text = await response.text();
  try { return { status: response.status, body: JSON.parse(text) }; } catch { return { status: response.status, body: text }; }
};

const resolver = new Resolver();
resolver.define('hello', ({ payload, context }) => ({ hello: payload.name, accountId: context.accountId, issue: context.extension.issue?.key }));
resolver.define('issueAsUser', async ({ payload }) => told(await asUser().requestJira(route`/rest/api/3/issue/${payload.key}?fields=summary`)));
resolver.define('issueAsApp', async ({ payload }) => told(await asApp().requestJira(route`/rest/api/3/issue/${payload.key}?fields=summary`)));
resolver.define('myself', async () => told(await asUser().requestJira(route`/rest/api/3/myself`)));
resolver.define('commentAsApp', async ({ payload }) => told(await asApp().requestJira(route`/rest/api/3/issue/${payload.key}/comment`, {
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify({ body: { type: 'doc', version: 1, content: [{ type: 'paragraph', content: [{ type: 'text', text: payload.text }] }] } }),
})));
resolver.define('keep', async ({ payload }) => { await kvs.set(payload.key, payload.value); return kvs.get(payload.key); });
resolver.define('kept', async ({ payload }) => ({ value: await kvs.get(payload.key), missing: (await kvs.get('nothing')) === undefined }));
resolver.define('secret', async () => { await kvs.setSecret('token', { value: 'hush' }); return { secret: await kvs.getSecret('token'), plain: (await kvs.get('token')) ?? null }; });
resolver.define('list', async () => (await kvs.query().limit(10).getMany()).results.map(({ key }) => key));
resolver.define('egress', async ({ payload }) => told(await api.fetch(payload.url)));
resolver.define('variable', () => process.env.GREETING ?? null);
resolver.define('context', () => getAppContext());
resolver.define('fail', () => { throw new Error('on purpose'); });
resolver.define('axios', async ({ payload }) => axios.get(payload.url).then(({ status }) => ({ status }), (error) => ({ status: error.response?.status, message: error.message })));
resolver.define('push', async ({ payload }) => {
  const queue = new Queue({ key: 'work' });
  const { jobId } = await queue.push({ body: payload });
  return { jobId, stats: await queue.getJob(jobId).getStats() };
});
resolver.define('stats', async ({ payload }) => new Queue({ key: 'work' }).getJob(payload.jobId).getStats());
const resolverHandler = resolver.getDefinitions();

export { resolverHandler as resolver };

export const consume = async (event) => { await kvs.set('consumed', event.body); };
export const commented = async (event) => { await kvs.set('commented', { event: event.eventType, issue: event.issue.key, by: event.atlassianId, comment: event.comment.body.type }); };

export const hook = async (request) => {
  console.log('hook called with', request.body);
  return { statusCode: 200, headers: { 'Content-Type': ['application/json'], 'X-From': ['contract'] }, body: JSON.stringify({ method: request.method, query: request.queryParameters, greeting: process.env.GREETING ?? null }) };
};
