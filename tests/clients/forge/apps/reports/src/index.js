import Resolver from '@forge/resolver';
import { asApp, asUser, route, startsWith, storage } from '@forge/api-6';
import { randomUUID } from 'crypto';
import * as XLSX from 'xlsx';

const definitions = new Resolver();
const read = async (url, as = asUser()) => {
  const answer = await as.requestJira(url);
  return { status: answer.status, body: await answer.json() };
};
const send = (url, content, as = asApp()) => as.requestJira(url, { method: 'POST', headers: { Accept: 'application/json', 'Content-Type': 'application/json' }, body: JSON.stringify(content) });

definitions.define('choices', async () => {
  const names = async (url) => (await read(url)).body.map(({ name }) => name);
  return {
    projects: (await read(route`/rest/api/3/project/search`)).body.values.map(({ key }) => key),
    people: (await read(route`/rest/api/3/user/search?query=${''}`)).body.length > 3,
    assignable: (await read(route`/rest/api/3/user/assignable/multiProjectSearch?projectKeys=${'DEMO'}&query=${''}`)).status,
    statuses: await names(route`/rest/api/3/status`),
    types: await names(route`/rest/api/3/issuetype`),
    suggested: (await read(route`/rest/api/3/jql/autocompletedata/suggestions?fieldName=labels`)).status,
    removed: (await read(route`/rest/api/3/search?jql=${'project = DEMO'}`)).status,
    boards: (await read(route`/rest/agile/1.0/board?projectKeyOrId=${'DEMO'}`)).status,
  };
});

definitions.define('issues', async ({ payload }) => {
  const answer = await send(route`/rest/api/3/search/jql`, { jql: payload.jql, fields: ['summary', 'status', 'assignee', 'timetracking', 'comment', 'priority', 'labels', 'parent'] }, asUser());
  return { status: answer.status, keys: answer.ok ? (await answer.json()).issues.map(({ key }) => key) : [] };
});

definitions.define('saved', async ({ payload, context }) => {
  const key = `report-${randomUUID()}`;
  await storage.set(key, { name: payload.name, owner: context.accountId });
  const { results } = await storage.query().where('key', startsWith('report-')).getMany();
  await storage.delete(key);
  return { found: results.map(({ value }) => value), gone: (await storage.get(key)) === undefined };
});

definitions.define('exported', async ({ payload }) => {
  const book = XLSX.utils.book_new();
  XLSX.utils.book_append_sheet(book, XLSX.utils.json_to_sheet([{ Key: 'DEMO-1', Hours: 3 }]), 'Hours');
  const sheet = Buffer.from(XLSX.write(book, { bookType: 'xlsx', type: 'array' }));
  const { body } = await read(route`/rest/api/3/issue/createmeta?projectKeys=${'DEMO'}`, asApp());
  const { id } = body.projects[0].issuetypes.find(({ name }) => name === 'Task');
  const description = { type: 'doc', version: 1, content: [{ type: 'paragraph', content: [{ type: 'text', text: 'Attached.' }] }] };
  const issue = await (await send(route`/rest/api/3/issue`, { fields: { project: { key: 'DEMO' }, summary: 'Hours', issuetype: { id }, description } })).json();
  const line = 'x-reports-x';
  const head = `--${line}\r\nContent-Disposition: form-data; name="file"; filename="hours.xlsx"\r\nContent-Type: application/octet-stream\r\n\r\n`;
  const attached = await asApp().requestJira(route`/rest/api/3/issue/${issue.id}/attachments`, {
    method: 'POST',
    headers: { 'X-Atlassian-Token': 'no-check', 'Content-Type': `multipart/form-data; boundary=${line}` },
    body: Buffer.concat([Buffer.from(head), sheet, Buffer.from(`\r\n--${line}--`)]),
  });
  const [file] = await attached.json();
  const watched = await send(route`/rest/api/3/issue/${issue.id}/watchers`, payload.watcher);
  const mention = { type: 'paragraph', content: [{ type: 'mention', attrs: { id: payload.watcher, text: '@you' } }] };
  const commented = await send(route`/rest/api/3/issue/${issue.id}/comment`, { body: { type: 'doc', version: 1, content: [mention] } });
  return { key: issue.key, attached: attached.status, whole: file.size === sheet.length, watched: watched.status, commented: commented.status };
});

export const resolver = definitions.getDefinitions();
export const hourly = async () => { await storage.set('ticks', ((await storage.get('ticks')) ?? 0) + 1); };
