// npm `jira-client`: /rest/api/2, an error that is a plain Error holding the answer's body as JSON.
import { subscribe } from 'node:diagnostics_channel';
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import JiraApi from 'jira-client';
import { BASE, GATE_TEXT, NO_ISSUE, PROJECT_ID, checks, equal, fields, holds, noProject, noValue, people, rejection, word } from './harness.mjs';

const check = checks('jira-client');
const { protocol, hostname, port } = new URL(BASE);
const login = (person, token) =>
  new JiraApi({ protocol: protocol.slice(0, -1), host: hostname, port, username: person.email, password: token ?? person.api_token, apiVersion: '2' });
const [ben, cleo, dan] = [people.ben, people.cleo, people.dan].map(person => login(person));

// The client drops the status and the headers of a refusal; Node itself tells what came last.
let last;
subscribe('http.client.response.finish', ({ response }) => { last = response; });

/** The body of a refusal, read the only way the client offers: out of the message. */
async function refused(status, call) {
  const error = await rejection(call);
  holds(last.statusCode === status, `expected ${status}, got ${last.statusCode}: ${error.message}`);
  return JSON.parse(error.message);
}

/** Requests for which the client has no method, through its own request function. */
const raw = (jira, method, pathname, body, intermediatePath) =>
  jira.doRequest(jira.makeRequestHeader(jira.makeUri({ pathname, intermediatePath }), { method, ...(body === undefined ? {} : { body }) }));
const rename = (jira, name) => raw(jira, 'PUT', '/project/DEMO', { name }, '/rest/api/3');

async function newIssue(jira, more) {
  const { key } = await jira.addNewIssue({ fields: await fields(more) });
  check.removeIssueLater(key);
  return key;
}
const field = async (jira, key, name) => (await jira.findIssue(key)).fields[name];
const search = (jira, jql) => jira.genericGet(`search/jql?fields=summary&jql=${jql}`);

await check('ben is himself', async () => {
  equal((await ben.getCurrentUser()).accountId, people.ben.account_id);
  equal((await ben.getServerInfo()).deploymentType, 'Cloud');
});

await check('ben lists DEMO and VAULT', async () => {
  const keys = (await ben.listProjects()).map(project => project.key);
  holds(keys.includes('DEMO') && keys.includes('VAULT'), `got ${keys}`);
});

await check('ben creates an issue and reads it', async () => {
  const summary = `Client check ${word()}`;
  const key = await newIssue(ben, { summary, description: 'Some *bold* text' });
  const issue = await ben.findIssue(key);
  equal([issue.key, issue.fields.summary, issue.fields.description], [key, summary, 'Some *bold* text']);
});

await check('ben edits the summary', async () => {
  const key = await newIssue(ben);
  await ben.updateIssue(key, { fields: { summary: 'A better summary' } });
  equal(await field(ben, key, 'summary'), 'A better summary');
});

await check('ben comments, edits and deletes the comment', async () => {
  const key = await newIssue(ben);
  const { id } = await ben.addComment(key, 'first words');
  await ben.updateComment(key, id, 'second words');
  equal((await ben.getComment(key, id)).body, 'second words');
  await ben.deleteComment(key, id);
  await refused(404, () => ben.getComment(key, id));
});

await check('ben moves an issue by a transition from the list', async () => {
  const key = await newIssue(ben);
  const before = (await field(ben, key, 'status')).id;
  const choice = (await ben.listTransitions(key)).transitions.find(({ to }) => to.id !== before);
  await ben.transitionIssue(key, { transition: { id: choice.id } });
  equal((await field(ben, key, 'status')).id, choice.to.id);
});

await check('ben assigns and unassigns', async () => {
  const key = await newIssue(ben);
  await ben.updateAssigneeWithId(key, people.cleo.account_id);
  equal((await field(ben, key, 'assignee')).accountId, people.cleo.account_id);
  await ben.updateAssigneeWithId(key, null);
  equal(await field(ben, key, 'assignee'), null);
});

await check('ben logs work and deletes it', async () => {
  const key = await newIssue(ben);
  const { id } = await ben.addWorklog(key, { timeSpent: '1h 30m', comment: 'thinking' });
  equal((await ben.getIssueWorklogs(key)).worklogs.map(w => [w.id, w.timeSpentSeconds]), [[id, 5400]]);
  await ben.deleteWorklog(key, id);
  equal((await ben.getIssueWorklogs(key)).worklogs, []);
});

await check('ben links two issues and unlinks them', async () => {
  const [inward, outward] = [await newIssue(ben), await newIssue(ben)];
  const { issueLinkTypes } = await ben.listIssueLinkTypes();
  await ben.issueLink({ type: { name: issueLinkTypes[0].name }, inwardIssue: { key: inward }, outwardIssue: { key: outward } });
  const [link] = await field(ben, outward, 'issuelinks');
  equal(link.inwardIssue.key, inward);
  await ben.deleteIssueLink(link.id);
  equal(await field(ben, outward, 'issuelinks'), []);
});

await check('ben adds a watcher', async () => {
  const key = await newIssue(ben);
  await ben.addWatcher(key, people.cleo.account_id);
  const { watchers } = await ben.getIssueWatchers(key);
  holds(watchers.some(w => w.accountId === people.cleo.account_id), 'Cleo does not watch');
});

async function attached(content) {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-clients-'));
  try {
    const path = join(folder, 'notes.txt');
    writeFileSync(path, content);
    const [attachment] = await ben.addAttachmentOnIssue(await newIssue(ben), createReadStream(path));
    return attachment;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

await check('ben attaches a file, reads it back and deletes it', async () => {
  const { id, filename } = await attached('some notes\n');
  equal(filename, 'notes.txt');
  equal(await ben.genericGet(`attachment/content/${id}`), 'some notes\n');
  await ben.deleteAttachment(id);
  await refused(404, () => ben.genericGet(`attachment/${id}`));
});

await check('ben downloads a file by the old address that this client knows', async () => {
  equal(String(await ben.downloadAttachment(await attached('some notes\n'))), 'some notes\n');
  equal(last.statusCode, 200);
});

await check('ben finds the issue by JQL', async () => {
  const mark = word();
  const key = await newIssue(ben, { summary: `Client check ${mark}` });
  equal((await search(ben, `project = DEMO AND summary ~ ${mark}`)).issues.map(issue => issue.key), [key]);
});

await check('its own searchJira gets 410 and the way to the new search', async () => {
  const { errorMessages } = await refused(410, () => ben.searchJira('project = DEMO'));
  holds(errorMessages[0].includes('/rest/api/3/search/jql'), errorMessages[0]);
});

await check('ben makes a version and a component and deletes them', async () => {
  const version = await ben.createVersion({ name: `1.0 ${word()}`, projectId: Number(PROJECT_ID.DEMO) });
  const component = await ben.addNewComponent({ name: `Part ${word()}`, project: 'DEMO' });
  holds((await ben.getVersions('DEMO')).some(v => v.id === version.id), 'no such version');
  holds((await ben.listComponents('DEMO')).some(c => c.id === component.id), 'no such component');
  await ben.deleteVersion(version.id);
  await ben.deleteComponent(component.id);
  await refused(404, () => ben.getVersion(version.id));
});

await check('ben reads fields, priorities, statuses, types, create metadata and the changelog', async () => {
  for (const list of [await ben.listFields(), await ben.listPriorities(), await ben.listStatus(), await ben.listIssueTypes()])
    holds(Array.isArray(list) && list.length > 0, 'an empty list');
  holds((await ben.getIssueCreateMetadata({ projectKeys: 'DEMO' })).projects[0].issuetypes.length > 0, 'no types to create');
  const key = await newIssue(ben);
  await ben.updateIssue(key, { fields: { summary: 'Changed' } });
  holds((await ben.getIssueChangelog(key)).values.some(({ items }) => items.some(item => item.toString === 'Changed')), 'no such change');
});

await check('ben and cleo read what they may do', async () => {
  const held = async jira => Object.fromEntries(
    Object.entries((await jira.genericGet('mypermissions?projectKey=DEMO&permissions=ADMINISTER_PROJECTS,DELETE_ISSUES')).permissions)
      .map(([key, entry]) => [key, entry.havePermission]));
  equal(await held(ben), { ADMINISTER_PROJECTS: true, DELETE_ISSUES: true });
  equal(await held(cleo), { ADMINISTER_PROJECTS: false, DELETE_ISSUES: false });
});

await check('ben renames DEMO and renames it back', async () => {
  const { name } = await ben.getProject('DEMO');
  try {
    equal((await rename(ben, `${name} renamed`)).name, `${name} renamed`);
  } finally {
    await rename(ben, name);
  }
  equal((await ben.getProject('DEMO')).name, name);
});

await check('ben deletes an issue, and then it is not found', async () => {
  const key = await newIssue(ben);
  await ben.deleteIssue(key);
  equal(await refused(404, () => ben.findIssue(key)), { errorMessages: [NO_ISSUE], errors: {} });
});

await check('cleo creates, edits and comments in DEMO', async () => {
  const key = await newIssue(cleo);
  await cleo.updateIssue(key, { fields: { summary: 'By Cleo' } });
  await cleo.addComment(key, 'hello');
  equal(await field(ben, key, 'summary'), 'By Cleo');
});

await check('cleo may not delete an issue', async () => {
  const key = await newIssue(cleo);
  holds((await refused(403, () => cleo.deleteIssue(key))).errorMessages.length > 0, 'a refusal without words');
  await ben.findIssue(key);
});

await check('cleo may not rename DEMO', async () => {
  const { name } = await ben.getProject('DEMO');
  holds((await refused(403, () => rename(cleo, "Cleo's"))).errorMessages.length > 0, 'a refusal without words');
  equal((await ben.getProject('DEMO')).name, name);
});

await check('cleo does not see VAULT in the list', async () => {
  const keys = (await cleo.listProjects()).map(project => project.key);
  holds(keys.includes('DEMO') && !keys.includes('VAULT'), `got ${keys}`);
});

await check('cleo gets the same not-found errors for VAULT as for nothing', async () => {
  for (const key of ['VAULT', 'NOPE']) {
    equal((await refused(404, () => cleo.getProject(key))).errorMessages, [noProject(key)]);
    equal((await refused(404, () => cleo.findIssue(`${key}-1`))).errorMessages, [NO_ISSUE]);
  }
});

await check('cleo gets the same JQL error for VAULT as for an unknown project', async () => {
  for (const key of ['VAULT', 'NOPE'])
    equal((await refused(400, () => search(cleo, `project = ${key}`))).errorMessages, [noValue(key)]);
});

await check('dan has no access to Jira: no projects, no issue, no creating', async () => {
  equal(await dan.listProjects(), []);
  equal((await refused(404, () => dan.findIssue('DEMO-1'))).errorMessages, [NO_ISSUE]);
  const mark = word();
  await rejection(() => newIssue(dan, { summary: mark }));
  holds([400, 401, 403].includes(last.statusCode), `got ${last.statusCode}`);
  equal((await search(ben, `summary ~ ${mark}`)).issues, []);
});

await check("dan's myself is refused: it needs access to Jira", async () => {
  await rejection(() => dan.getCurrentUser());
  holds([401, 403].includes(last.statusCode), `got ${last.statusCode}`);
});

await check('a wrong token is not let in and told so', async () => {
  equal(await refused(401, () => login(people.ben, 'not-the-token').getCurrentUser()), GATE_TEXT);
  equal(last.headers['x-seraph-loginreason'], 'AUTHENTICATED_FAILED');
});

await check.end();
