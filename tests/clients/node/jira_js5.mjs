// npm `jira.js` 5: axios, everything through /rest/api/3, strings turned into documents by the client.
import { HttpException, Version3Client } from 'jira5';
import { BASE, GATE_TEXT, NO_ISSUE, PROJECT_ID, checks, equal, fields, holds, noProject, noValue, people, rejection, word, words } from './harness.mjs';

const check = checks('jira.js5');
const login = (person, token) =>
  new Version3Client({ host: BASE, authentication: { basic: { email: person.email, apiToken: token ?? person.api_token } } });
const [ben, cleo, dan] = [people.ben, people.cleo, people.dan].map(person => login(person));

/** The client's own error: `status`, the parsed body under `response.data`, the axios error as `cause`. */
async function refused(status, call) {
  const error = await rejection(call);
  holds(error instanceof HttpException, `not the client's own error: ${error}`);
  holds(error.status === status, `expected ${status}, got ${error.status}: ${JSON.stringify(error.response?.data)}`);
  return error;
}
const says = error => error.response.data.errorMessages;

async function newIssue(jira, more) {
  const { key } = await jira.issues.createIssue({ fields: await fields(more) });
  check.removeIssueLater(key);
  return key;
}
const field = async (jira, key, name) => (await jira.issues.getIssue({ issueIdOrKey: key, fields: [name] })).fields[name];

await check('ben is himself', async () => {
  equal((await ben.myself.getCurrentUser()).accountId, people.ben.account_id);
});

await check('ben lists DEMO and VAULT', async () => {
  const keys = (await ben.projects.searchProjects()).values.map(project => project.key);
  holds(keys.includes('DEMO') && keys.includes('VAULT'), `got ${keys}`);
});

await check('ben creates an issue and reads it', async () => {
  const summary = `Client check ${word()}`;
  const key = await newIssue(ben, { summary, description: 'plain words' });
  const issue = await ben.issues.getIssue({ issueIdOrKey: key });
  equal([issue.key, issue.fields.summary, words(issue.fields.description)], [key, summary, 'plain words']);
});

await check('ben edits the summary', async () => {
  const key = await newIssue(ben);
  await ben.issues.editIssue({ issueIdOrKey: key, fields: { summary: 'A better summary' } });
  equal(await field(ben, key, 'summary'), 'A better summary');
});

await check('ben comments, edits and deletes the comment', async () => {
  const issueIdOrKey = await newIssue(ben);
  const { id } = await ben.issueComments.addComment({ issueIdOrKey, comment: 'first words' });
  await ben.issueComments.updateComment({ issueIdOrKey, id, body: 'second words' });
  equal(words((await ben.issueComments.getComment({ issueIdOrKey, id })).body), 'second words');
  equal((await ben.issueComments.getComments({ issueIdOrKey })).total, 1);
  await ben.issueComments.deleteComment({ issueIdOrKey, id });
  await refused(404, () => ben.issueComments.getComment({ issueIdOrKey, id }));
});

await check('ben moves an issue by a transition from the list', async () => {
  const key = await newIssue(ben);
  const before = (await field(ben, key, 'status')).id;
  const { transitions } = await ben.issues.getTransitions({ issueIdOrKey: key });
  const choice = transitions.find(({ to }) => to.id !== before);
  await ben.issues.doTransition({ issueIdOrKey: key, transition: { id: choice.id } });
  equal((await field(ben, key, 'status')).id, choice.to.id);
});

await check('ben assigns and unassigns', async () => {
  const key = await newIssue(ben);
  await ben.issues.assignIssue({ issueIdOrKey: key, accountId: people.cleo.account_id });
  equal((await field(ben, key, 'assignee')).accountId, people.cleo.account_id);
  await ben.issues.assignIssue({ issueIdOrKey: key, accountId: null });
  equal(await field(ben, key, 'assignee'), null);
});

await check('ben logs work', async () => {
  const issueIdOrKey = await newIssue(ben);
  const { id } = await ben.issueWorklogs.addWorklog({ issueIdOrKey, timeSpent: '1h 30m', comment: 'thinking' });
  const { worklogs } = await ben.issueWorklogs.getIssueWorklog({ issueIdOrKey });
  equal(worklogs.map(w => [w.id, w.timeSpentSeconds]), [[id, 5400]]);
});

await check('ben links two issues and unlinks them', async () => {
  const [inward, outward] = [await newIssue(ben), await newIssue(ben)];
  const { issueLinkTypes } = await ben.issueLinkTypes.getIssueLinkTypes();
  await ben.issueLinks.linkIssues({ type: { name: issueLinkTypes[0].name }, inwardIssue: { key: inward }, outwardIssue: { key: outward } });
  const [link] = await field(ben, outward, 'issuelinks');
  equal(link.inwardIssue.key, inward);
  await ben.issueLinks.deleteIssueLink({ linkId: link.id });
  equal(await field(ben, inward, 'issuelinks'), []);
});

await check('ben adds and removes a watcher', async () => {
  const issueIdOrKey = await newIssue(ben);
  const { account_id: accountId } = people.cleo;
  const watching = async () => (await ben.issueWatchers.getIssueWatchers({ issueIdOrKey })).watchers.some(w => w.accountId === accountId);
  await ben.issueWatchers.addWatcher({ issueIdOrKey, accountId });
  holds(await watching(), 'Cleo does not watch');
  await ben.issueWatchers.removeWatcher({ issueIdOrKey, accountId });
  holds(!(await watching()), 'Cleo still watches');
});

await check('ben attaches a file and reads it back', async () => {
  const issueIdOrKey = await newIssue(ben);
  const content = Buffer.from([...Array(256).keys()]);
  const [{ id }] = await ben.issueAttachments.addAttachment({ issueIdOrKey, attachment: { filename: 'all bytes.bin', file: content } });
  equal((await ben.issueAttachments.getAttachment({ id })).filename, 'all bytes.bin');
  const direct = await ben.issueAttachments.getAttachmentContent(id);
  const redirected = await ben.issueAttachments.getAttachmentContent({ id });
  holds(content.equals(Buffer.from(direct)) && content.equals(Buffer.from(redirected)), 'the bytes differ');
  await ben.issueAttachments.removeAttachment({ id });
  equal(await field(ben, issueIdOrKey, 'attachment'), []);
});

await check('ben finds the issue by JQL, by GET and by POST', async () => {
  const mark = word();
  const key = await newIssue(ben, { summary: `Client check ${mark}` });
  const jql = `project = DEMO AND summary ~ ${mark}`;
  const got = await ben.issueSearch.searchForIssuesUsingJqlEnhancedSearch({ jql, fields: ['summary'] });
  const posted = await ben.issueSearch.searchForIssuesUsingJqlEnhancedSearchPost({ jql, fields: ['summary'] });
  equal([got, posted].map(({ issues }) => issues.map(issue => issue.key)), [[key], [key]]);
  equal((await ben.issueSearch.countIssues({ jql })).count, 1);
});

await check('its old search methods get 410 and the way to the new one', async () => {
  for (const old of ['searchForIssuesUsingJql', 'searchForIssuesUsingJqlPost']) {
    const error = await refused(410, () => ben.issueSearch[old]({ jql: 'project = DEMO' }));
    holds(says(error)[0].includes('/rest/api/3/search/jql'), says(error)[0]);
  }
});

await check('ben makes a version and a component and deletes them', async () => {
  const version = await ben.projectVersions.createVersion({ name: `1.0 ${word()}`, projectId: Number(PROJECT_ID.DEMO) });
  const component = await ben.projectComponents.createComponent({ name: `Part ${word()}`, project: 'DEMO' });
  holds((await ben.projectVersions.getProjectVersions({ projectIdOrKey: 'DEMO' })).some(v => v.id === version.id), 'no such version');
  holds((await ben.projectComponents.getProjectComponents({ projectIdOrKey: 'DEMO' })).some(c => c.id === component.id), 'no such component');
  await ben.projectVersions.deleteAndReplaceVersion({ id: version.id });
  await ben.projectComponents.deleteComponent({ id: component.id });
  await refused(404, () => ben.projectVersions.getVersion({ id: version.id }));
});

await check('ben keeps an issue property', async () => {
  const at = { issueIdOrKey: await newIssue(ben), propertyKey: 'check' };
  await ben.issueProperties.setIssueProperty({ ...at, propertyValue: { colour: 'green' } });
  equal((await ben.issueProperties.getIssueProperty(at)).value, { colour: 'green' });
  await ben.issueProperties.deleteIssueProperty(at);
  await refused(404, () => ben.issueProperties.getIssueProperty(at));
});

await check('ben and cleo read what they may do', async () => {
  const held = async jira => Object.fromEntries(
    Object.entries((await jira.permissions.getMyPermissions({ projectKey: 'DEMO', permissions: 'ADMINISTER_PROJECTS,DELETE_ISSUES' })).permissions)
      .map(([key, entry]) => [key, entry.havePermission]));
  equal(await held(ben), { ADMINISTER_PROJECTS: true, DELETE_ISSUES: true });
  equal(await held(cleo), { ADMINISTER_PROJECTS: false, DELETE_ISSUES: false });
});

await check('ben renames DEMO and renames it back', async () => {
  const { name } = await ben.projects.getProject({ projectIdOrKey: 'DEMO' });
  try {
    await ben.projects.updateProject({ projectIdOrKey: 'DEMO', name: `${name} renamed` });
    equal((await ben.projects.getProject('DEMO')).name, `${name} renamed`);
  } finally {
    await ben.projects.updateProject({ projectIdOrKey: 'DEMO', name });
  }
  equal((await ben.projects.getProject('DEMO')).name, name);
});

await check('ben deletes an issue, and then it is not found', async () => {
  const issueIdOrKey = await newIssue(ben);
  await ben.issues.deleteIssue({ issueIdOrKey });
  equal(says(await refused(404, () => ben.issues.getIssue({ issueIdOrKey }))), [NO_ISSUE]);
});

await check('cleo creates, edits and comments in DEMO', async () => {
  const issueIdOrKey = await newIssue(cleo);
  await cleo.issues.editIssue({ issueIdOrKey, fields: { summary: 'By Cleo' } });
  await cleo.issueComments.addComment({ issueIdOrKey, comment: 'hello' });
  equal(await field(ben, issueIdOrKey, 'summary'), 'By Cleo');
});

await check('cleo may not delete an issue', async () => {
  const issueIdOrKey = await newIssue(cleo);
  holds(says(await refused(403, () => cleo.issues.deleteIssue({ issueIdOrKey }))).length > 0, 'a refusal without words');
  await ben.issues.getIssue({ issueIdOrKey });
});

await check('cleo may not rename DEMO', async () => {
  const { name } = await ben.projects.getProject('DEMO');
  await refused(403, () => cleo.projects.updateProject({ projectIdOrKey: 'DEMO', name: "Cleo's" }));
  equal((await ben.projects.getProject('DEMO')).name, name);
});

await check('cleo does not see VAULT in the list', async () => {
  const page = await cleo.projects.searchProjects();
  const keys = page.values.map(project => project.key);
  holds(keys.includes('DEMO') && !keys.includes('VAULT'), `got ${keys}`);
  equal(page.total, keys.length);
});

await check('cleo gets the same not-found errors for VAULT as for nothing', async () => {
  for (const key of ['VAULT', 'NOPE']) {
    equal(says(await refused(404, () => cleo.projects.getProject(key))), [noProject(key)]);
    equal(says(await refused(404, () => cleo.issues.getIssue({ issueIdOrKey: `${key}-1` }))), [NO_ISSUE]);
  }
});

await check('cleo gets the same JQL error for VAULT as for an unknown project', async () => {
  for (const key of ['VAULT', 'NOPE']) {
    const error = await refused(400, () => cleo.issueSearch.searchForIssuesUsingJqlEnhancedSearch({ jql: `project = ${key}` }));
    equal(says(error), [noValue(key)]);
  }
});

await check('dan has no access to Jira: no projects, no issue, no creating', async () => {
  equal((await dan.projects.searchProjects()).values, []);
  equal(says(await refused(404, () => dan.issues.getIssue({ issueIdOrKey: 'DEMO-1' }))), [NO_ISSUE]);
  const mark = word();
  const error = await rejection(() => newIssue(dan, { summary: mark }));
  holds([400, 401, 403].includes(error.status), `got ${error.status}`);
  equal((await ben.issueSearch.countIssues({ jql: `summary ~ ${mark}` })).count, 0);
});

await check("dan's myself is refused: it needs access to Jira", async () => {
  const error = await rejection(() => dan.myself.getCurrentUser());
  holds([401, 403].includes(error.status), `got ${error.status}`);
});

await check('a wrong token is not let in and told so', async () => {
  const error = await refused(401, () => login(people.ben, 'not-the-token').myself.getCurrentUser());
  equal(error.response.data, GATE_TEXT);
  equal(error.cause.response.headers['x-seraph-loginreason'], 'AUTHENTICATED_FAILED');
});

await check.end();
