import crypto from 'crypto';
import Resolver from '@forge/resolver';
import { asApp, asUser, route, storage, webTrigger } from '@forge/api-4';

const definitions = new Resolver();
definitions.define('watch', async ({ payload, context }) => {
  await storage.setSecret(`of:${payload.project}`, payload.secret);
  await storage.set('projects', { ...(await storage.get('projects')), [payload.project]: { since: new Date().toISOString() } });
  return { url: await webTrigger.getUrl('incoming'), by: context.accountId, licensed: context.license?.isActive ?? null };
});
definitions.define('issue', async ({ context }) => {
  const answer = await asUser().requestJira(route`/rest/api/3/issue/${context.extension.issue.key}?fields=summary,labels,comment`);
  const settled = await Promise.allSettled([answer.json(), Promise.reject(new Error('one of two'))]);
  return settled.map(({ status }) => status);
});
definitions.define('types', async () => {
  const answer = await asUser().requestJira(route`/rest/api/3/issue/createmeta/${'DEMO'}/issuetypes`);
  return (await answer.json()).issueTypes.filter(({ subtask }) => !subtask).map(({ name }) => name);
});
definitions.define('lived', async () => (await storage.get('life')) ?? []);
export const resolver = definitions.getDefinitions();

export async function life({ eventType }) { await storage.set('life', [...((await storage.get('life')) ?? []), eventType]); }
export async function hourly() { console.log('looked'); }

const cell = (type, text) => ({ type, content: [{ type: 'paragraph', content: [{ type: 'text', text }] }] });
export async function incoming({ headers, body }) {
  const { project, id } = JSON.parse(body);
  const [own, given] = [await storage.getSecret(`of:${project}`), headers['x-secret']?.[0]].map((text) => Buffer.from(text ?? ''));
  if (!own.length || own.length !== given.length || !crypto.timingSafeEqual(own, given)) return { statusCode: 403, body: '{"refused":true}' };
  const description = { type: 'doc', version: 1, content: [
    { type: 'heading', attrs: { level: 2 }, content: [{ type: 'text', text: id }] },
    { type: 'panel', attrs: { panelType: 'warning' }, content: [{ type: 'paragraph', content: [{ type: 'text', text: 'Act', marks: [{ type: 'strong' }] }] }] },
    { type: 'table', attrs: { isNumberColumnEnabled: false, layout: 'default' }, content: [{ type: 'tableRow', content: [cell('tableHeader', 'Id'), cell('tableCell', id)] }] },
    { type: 'bulletList', content: [cell('listItem', 'Update')] },
  ] };
  const made = await asApp().requestJira(route`/rest/api/3/issue`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ fields: { project: { key: project }, issuetype: { name: 'Task' }, summary: `Advisory ${id}`, priority: { name: 'High' }, labels: ['advisory'], description } }) });
  return { statusCode: 200, body: JSON.stringify({ made: made.status }) };
}
