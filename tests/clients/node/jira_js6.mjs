// npm `jira.js` 6: fetch and /rest/api/3; every answer is held against a schema, and here a mismatch is an error.
import { createCloudClient, isAuthError, isForbiddenError, isNotFoundError, isApiError } from 'jira6';
import { BASE, GATE_TEXT, NO_ISSUE, PROJECT_ID, checks, document, equal, fields, holds, noProject, noValue, people, rejection, word, words } from './harness.mjs';

const check = checks('jira.js6');
const login = (person, token) => createCloudClient({
  host: BASE,
  auth: { type: 'basic', email: person.email, apiToken: token ?? person.api_token },
  onSchemaMismatch: 'throw', // the default only warns
});
const [ada, ben, cleo, dan] = [people.ada, people.ben, people.cleo, people.dan].map(person => login(person));

const recognises = { 400: isApiError, 401: isAuthError, 403: isForbiddenError, 404: isNotFoundError };

/** The client's own error of the right kind: `status`, and the parsed answer as `body`. */
async function refused(status, call) {
  const error = await rejection(call);
  holds(error.status === status, `expected ${status}, got ${error}`);
  holds(recognises[status](error), `not the client's own error for ${status}: ${error.name}`);
  return error;
}
const says = error => error.body.errorMessages;

async function newIssue(jira, more) {
  const { key } = await jira.issues.createIssue({ fields: await fields(more) });
  check.removeIssueLater(key);
  return key;
}
const read = (jira, key) => jira.issues.getIssue({ issueIdOrKey: key });
const field = async (jira, key, name) => (await read(jira, key)).fields[name];
const nonEmpty = list => holds(list?.length > 0, 'an empty list');
const has = (list, test) => holds(list.some(test), `not in ${JSON.stringify(list).slice(0, 200)}`);

await check('ben lists DEMO and VAULT', async () => {
  const keys = (await ben.projects.searchProjects({ expand: ['description', 'lead', 'issueTypes', 'url'] })).values.map(p => p.key);
  holds(keys.includes('DEMO') && keys.includes('VAULT'), `got ${keys}`);
});

await check('ben creates an issue and reads it', async () => {
  const summary = `Client check ${word()}`;
  const key = await newIssue(ben, { summary, description: document('plain words') });
  const issue = await read(ben, key);
  equal([issue.key, issue.fields.summary, words(issue.fields.description)], [key, summary, 'plain words']);
});

await check('ben writes plain text, which the client sends to v2', async () => {
  const issueIdOrKey = await newIssue(ben, { description: 'plain words' });
  equal(words(await field(ben, issueIdOrKey, 'description')), 'plain words');
  const comment = await ben.issueComments.addComment({ issueIdOrKey, body: 'plain words' });
  equal(words(comment.body), 'plain words');
});

await check('ben edits the summary', async () => {
  const issueIdOrKey = await newIssue(ben);
  await ben.issues.editIssue({ issueIdOrKey, fields: { summary: 'A better summary' } });
  equal(await field(ben, issueIdOrKey, 'summary'), 'A better summary');
});

await check('ben comments, edits and deletes the comment', async () => {
  const issueIdOrKey = await newIssue(ben);
  const { id } = await ben.issueComments.addComment({ issueIdOrKey, body: document('first words') });
  await ben.issueComments.updateComment({ issueIdOrKey, id, body: { body: document('second words') } });
  equal(words((await ben.issueComments.getComment({ issueIdOrKey, id })).body), 'second words');
  equal((await ben.issueComments.getComments({ issueIdOrKey })).total, 1);
  await ben.issueComments.deleteComment({ issueIdOrKey, id });
  await refused(404, () => ben.issueComments.getComment({ issueIdOrKey, id }));
});

await check('ben moves an issue by a transition from the list', async () => {
  const issueIdOrKey = await newIssue(ben);
  const before = (await field(ben, issueIdOrKey, 'status')).id;
  const { transitions } = await ben.issues.getTransitions({ issueIdOrKey, expand: 'transitions.fields' });
  const choice = transitions.find(({ to }) => to.id !== before);
  await ben.issues.doTransition({ issueIdOrKey, transition: { id: choice.id } });
  equal((await field(ben, issueIdOrKey, 'status')).id, choice.to.id);
});

await check('ben assigns and unassigns', async () => {
  const issueIdOrKey = await newIssue(ben);
  await ben.issues.assignIssue({ issueIdOrKey, accountId: people.cleo.account_id });
  equal((await field(ben, issueIdOrKey, 'assignee')).accountId, people.cleo.account_id);
  await ben.issues.assignIssue({ issueIdOrKey, accountId: null });
  equal(await field(ben, issueIdOrKey, 'assignee'), null);
});

await check('ben logs work, changes and deletes it', async () => {
  const issueIdOrKey = await newIssue(ben);
  const { id } = await ben.issueWorklogs.addWorklog({ issueIdOrKey, timeSpent: '1h 30m', comment: document('thinking') });
  await ben.issueWorklogs.updateWorklog({ issueIdOrKey, id, body: { timeSpentSeconds: 3600 } });
  equal((await ben.issueWorklogs.getWorklog({ issueIdOrKey, id })).timeSpent, '1h');
  equal((await ben.issueWorklogs.getIssueWorklog({ issueIdOrKey })).worklogs.map(w => [w.id, w.timeSpentSeconds]), [[id, 3600]]);
  await ben.issueWorklogs.deleteWorklog({ issueIdOrKey, id });
  await refused(404, () => ben.issueWorklogs.getWorklog({ issueIdOrKey, id }));
});

await check('ben links two issues and unlinks them', async () => {
  const [inward, outward] = [await newIssue(ben), await newIssue(ben)];
  const { issueLinkTypes: [type] } = await ben.issueLinkTypes.getIssueLinkTypes();
  await ben.issueLinks.linkIssues({ type: { name: type.name }, inwardIssue: { key: inward }, outwardIssue: { key: outward } });
  const [{ id: linkId }] = await field(ben, outward, 'issuelinks');
  const link = await ben.issueLinks.getIssueLink({ linkId });
  equal([link.inwardIssue.key, link.outwardIssue.key], [inward, outward]);
  await ben.issueLinks.deleteIssueLink({ linkId });
  equal(await field(ben, outward, 'issuelinks'), []);
});

await check('ben adds and removes a watcher', async () => {
  const issueIdOrKey = await newIssue(ben);
  const { account_id: accountId } = people.cleo;
  const watching = async () => (await ben.issueWatchers.getIssueWatchers({ issueIdOrKey })).watchers.some(w => w.accountId === accountId);
  await ben.issueWatchers.addWatcher({ issueIdOrKey, body: accountId });
  holds(await watching(), 'Cleo does not watch');
  await ben.issueWatchers.removeWatcher({ issueIdOrKey, accountId });
  holds(!(await watching()), 'Cleo still watches');
});

await check('ben attaches a file and reads it back', async () => {
  const issueIdOrKey = await newIssue(ben);
  const content = Uint8Array.from(Array(256).keys());
  const [{ id }] = await ben.issueAttachments.addAttachment({ issueIdOrKey, attachments: { filename: 'all bytes.bin', content } });
  const about = await ben.issueAttachments.getAttachment({ id });
  equal([about.filename, about.size], ['all bytes.bin', 256]);
  for (const redirect of [undefined, false])
    holds(Buffer.from(content).equals(Buffer.from(await ben.issueAttachments.getAttachmentContent({ id, redirect }))), 'the bytes differ');
  await ben.issueAttachments.removeAttachment({ id });
  equal(await field(ben, issueIdOrKey, 'attachment'), []);
});

await check('ben finds the issue by JQL, by GET and by POST', async () => {
  const mark = word();
  const key = await newIssue(ben, { summary: `Client check ${mark}` });
  const jql = `project = DEMO AND summary ~ ${mark}`;
  const got = await ben.issueSearch.searchAndReconsileIssuesUsingJql({ jql, fields: ['*all'], expand: ['names', 'schema'] });
  const posted = await ben.issueSearch.searchAndReconsileIssuesUsingJqlPost({ jql, fields: ['summary', 'status'] });
  equal([got, posted].map(({ issues }) => issues.map(issue => issue.key)), [[key], [key]]);
  equal((await ben.issueSearch.countIssues({ jql })).count, 1);
});

await check('ben makes, reads and deletes a version', async () => {
  const { id } = await ben.projectVersions.createVersion({ name: `1.0 ${word()}`, projectId: Number(PROJECT_ID.DEMO) });
  equal((await ben.projectVersions.updateVersion({ id, body: { released: true } })).released, true);
  equal((await ben.projectVersions.getVersion({ id })).projectId, Number(PROJECT_ID.DEMO));
  has(await ben.projectVersions.getProjectVersions({ projectIdOrKey: 'DEMO' }), v => v.id === id);
  await ben.projectVersions.deleteAndReplaceVersion({ id });
  await refused(404, () => ben.projectVersions.getVersion({ id }));
});

await check('ben makes, reads and deletes a component', async () => {
  const { id } = await ben.projectComponents.createComponent({ name: `Part ${word()}`, project: 'DEMO' });
  equal((await ben.projectComponents.getComponent({ id })).project, 'DEMO');
  has(await ben.projectComponents.getProjectComponents({ projectIdOrKey: 'DEMO' }), c => c.id === id);
  await ben.projectComponents.deleteComponent({ id });
  await refused(404, () => ben.projectComponents.getComponent({ id }));
});

await check('ben makes, reads and deletes a filter; cleo does not see it', async () => {
  const { id } = await ben.filters.createFilter({ name: `Filter ${word()}`, jql: 'project = DEMO' });
  equal((await ben.filters.getFilter({ id: Number(id) })).jql, 'project = DEMO');
  await refused(404, () => cleo.filters.getFilter({ id: Number(id) }));
  await ben.filters.deleteFilter({ id: Number(id) });
  holds(isApiError(await rejection(() => ben.filters.getFilter({ id: Number(id) }))), 'the filter is still there');
});

await check('ben keeps an issue property', async () => {
  const issueIdOrKey = await newIssue(ben);
  const at = { issueIdOrKey, propertyKey: 'check' };
  await ben.issueProperties.setIssueProperty({ ...at, body: { colour: 'green' } });
  equal((await ben.issueProperties.getIssueProperty(at)).value, { colour: 'green' });
  equal((await ben.issueProperties.getIssuePropertyKeys({ issueIdOrKey })).keys.map(({ key }) => key), ['check']);
  await ben.issueProperties.deleteIssueProperty(at);
  await refused(404, () => ben.issueProperties.getIssueProperty(at));
});

await check('ben keeps a remote link', async () => {
  const issueIdOrKey = await newIssue(ben);
  const globalId = word();
  const made = { issueIdOrKey, globalId, object: { url: 'https://example.com/page', title: 'A page' } };
  const { id } = await ben.issueRemoteLinks.createOrUpdateRemoteIssueLink(made);
  equal((await ben.issueRemoteLinks.createOrUpdateRemoteIssueLink(made)).id, id);
  equal((await ben.issueRemoteLinks.getRemoteIssueLinkById({ issueIdOrKey, linkId: String(id) })).object.title, 'A page');
  holds(await ben.issueRemoteLinks.getRemoteIssueLinks({ issueIdOrKey }), 'no list');
  await ben.issueRemoteLinks.deleteRemoteIssueLinkByGlobalId({ issueIdOrKey, globalId });
});

await check('cleo votes for an issue of ben', async () => {
  const issueIdOrKey = await newIssue(ben);
  await cleo.issueVotes.addVote({ issueIdOrKey });
  const { votes, hasVoted } = await cleo.issueVotes.getVotes({ issueIdOrKey });
  equal([votes, hasVoted], [1, true]);
  await cleo.issueVotes.removeVote({ issueIdOrKey });
});

await check('ben reads the history of an issue', async () => {
  const issueIdOrKey = await newIssue(ben);
  await ben.issues.editIssue({ issueIdOrKey, fields: { summary: 'Changed' } });
  const { values } = await ben.issues.getChangeLogs({ issueIdOrKey });
  has(values.flatMap(({ items }) => items), item => item.field === 'summary' && item.toString === 'Changed');
});

await check('ben reads an issue with everything expanded', async () => {
  const issueIdOrKey = await newIssue(ben, { description: document('plain words') });
  const issue = await ben.issues.getIssue({
    issueIdOrKey,
    fields: ['*all'],
    expand: ['renderedFields', 'names', 'schema', 'transitions', 'editmeta', 'operations', 'changelog'].join(','),
  });
  holds(issue.renderedFields.description.includes('plain words'), 'no rendered description');
  for (const part of ['names', 'schema', 'transitions', 'editmeta', 'changelog']) holds(issue[part], `no ${part}`);
});

await check('ben and cleo read what they may do', async () => {
  const held = async jira => Object.fromEntries(
    Object.entries((await jira.permissions.getMyPermissions({ projectKey: 'DEMO', permissions: 'ADMINISTER_PROJECTS,DELETE_ISSUES' })).permissions)
      .map(([key, entry]) => [key, entry.havePermission]));
  equal(await held(ben), { ADMINISTER_PROJECTS: true, DELETE_ISSUES: true });
  equal(await held(cleo), { ADMINISTER_PROJECTS: false, DELETE_ISSUES: false });
});

await check('permissions/check and permissions/project tell the same', async () => {
  const asked = { permissions: ['DELETE_ISSUES'], projects: [Number(PROJECT_ID.DEMO), Number(PROJECT_ID.VAULT), 99999999] };
  const allowed = async jira => (await jira.permissions.getBulkPermissions({ globalPermissions: ['ADMINISTER'], projectPermissions: [asked] }));
  has((await allowed(ben)).projectPermissions[0].projects, id => id === Number(PROJECT_ID.DEMO));
  equal((await allowed(ben)).globalPermissions, []);
  equal((await allowed(ada)).globalPermissions, ['ADMINISTER']);
  equal((await allowed(cleo)).projectPermissions.flatMap(({ projects }) => projects), []);
  const { projects } = await cleo.permissions.getPermittedProjects({ permissions: ['BROWSE_PROJECTS'] });
  equal(projects.map(({ key }) => key).filter(key => ['DEMO', 'VAULT'].includes(key)), ['DEMO']);
});

// Reads, each held against its schema. `only` names the one who may; the other gets the client's error for 403.
const demo = { projectIdOrKey: 'DEMO' };
const issue1 = { issueIdOrKey: 'DEMO-1' };
const cleoId = { accountId: people.cleo.account_id };
const schemes = async jira => (await jira.permissionSchemes.getAllPermissionSchemes({ expand: 'all' })).permissionSchemes;
const schemeId = async jira => (await schemes(jira))[0].id;
const firstType = async jira => (await jira.issues.getCreateIssueMetaIssueTypes(demo)).issueTypes[0].id;
const reads = [
  ['server info', async jira => equal((await jira.serverInfo.getServerInfo()).baseUrl, BASE)],
  ['myself with groups', async jira => nonEmpty((await jira.myself.getCurrentUser({ expand: ['groups', 'applicationRoles'] })).groups.items)],
  ['fields', async jira => has(await jira.issueFields.getFields(), ({ id }) => id === 'summary')],
  ['statuses', async jira => nonEmpty(await jira.workflowStatuses.getStatuses())],
  ['issue types', async jira => nonEmpty(await jira.issueTypes.getIssueAllTypes())],
  ['link types', async jira => nonEmpty((await jira.issueLinkTypes.getIssueLinkTypes()).issueLinkTypes)],
  ['project search, a page of one', async jira => equal((await jira.projects.searchProjects({ maxResults: 1 })).values.length, 1)],
  ['project', async jira => equal((await jira.projects.getProject({ ...demo, expand: 'description,issueTypes,lead,projectKeys' })).id, PROJECT_ID.DEMO)],
  ['project roles', async jira => nonEmpty(Object.keys(await jira.projectRoles.getProjectRoles(demo)))],
  ['each project role', async jira => {
    for (const url of Object.values(await jira.projectRoles.getProjectRoles(demo)))
      await jira.projectRoles.getProjectRole({ ...demo, id: Number(url.split('/').pop()) });
  }],
  ['all roles', async jira => nonEmpty(await jira.projectRoles.getAllProjectRoles()), 'ada'],
  ['permission schemes, expanded', async jira => nonEmpty((await schemes(jira))[0].permissions)],
  ['a permission scheme', async jira => jira.permissionSchemes.getPermissionScheme({ schemeId: await schemeId(jira), expand: 'all' })],
  ['grants of a scheme', async jira => nonEmpty((await jira.permissionSchemes.getPermissionSchemeGrants({ schemeId: await schemeId(jira) })).permissions)],
  ["DEMO's permission scheme", async jira => jira.projectPermissionSchemes.getAssignedPermissionScheme({ projectKeyOrId: 'DEMO' })],
  ['all permissions', async jira => holds((await jira.permissions.getAllPermissions()).permissions.BROWSE_PROJECTS, 'no BROWSE_PROJECTS')],
  ['my permissions on an issue', async jira => jira.permissions.getMyPermissions({ issueKey: 'DEMO-1', permissions: 'EDIT_ISSUES' })],
  ['user search', async jira => has(await jira.userSearch.findUsers({ query: 'cleo' }), ({ accountId }) => accountId === cleoId.accountId)],
  ['assignable users', async jira => has(await jira.userSearch.findAssignableUsers({ project: 'DEMO' }), ({ accountId }) => accountId === cleoId.accountId)],
  ['a user', async jira => equal((await jira.users.getUser(cleoId)).displayName, people.cleo.name)],
  ['create metadata', async jira => nonEmpty((await jira.issues.getCreateIssueMetaIssueTypes(demo)).issueTypes)],
  ['create metadata of a type', async jira =>
    has((await jira.issues.getCreateIssueMetaIssueTypeId({ ...demo, issueTypeId: await firstType(jira) })).fields, ({ fieldId }) => fieldId === 'summary')],
  ['edit metadata', async jira => holds((await jira.issues.getEditIssueMeta(issue1)).fields.summary, 'no summary')],
  ['an issue', async jira => equal((await jira.issues.getIssue(issue1)).key, 'DEMO-1')],
  ['transitions', async jira => nonEmpty((await jira.issues.getTransitions(issue1)).transitions)],
  ['comments, rendered', async jira => jira.issueComments.getComments({ ...issue1, expand: 'renderedBody', orderBy: '-created' })],
  ['worklogs', async jira => jira.issueWorklogs.getIssueWorklog(issue1)],
  ['watchers', async jira => jira.issueWatchers.getIssueWatchers(issue1)],
  ['property keys', async jira => jira.issueProperties.getIssuePropertyKeys(issue1)],
  ['remote links', async jira => jira.issueRemoteLinks.getRemoteIssueLinks(issue1)],
  ['versions', async jira => jira.projectVersions.getProjectVersions(demo)],
  ['components', async jira => jira.projectComponents.getProjectComponents(demo)],
  ['favourite filters', async jira => jira.filters.getFavouriteFilters()],
  // Beyond the eighty operations that most clients share.
  ['priorities', async jira => nonEmpty((await jira.issuePriorities.searchPriorities()).values)],
  ['votes', async jira => jira.issueVotes.getVotes(issue1)],
  ['history', async jira => jira.issues.getChangeLogs(issue1)],
  ['groups picker', async jira => nonEmpty((await jira.groups.findGroups()).groups)],
  ['user picker', async jira => nonEmpty((await jira.userSearch.findUsersForPicker({ query: 'cleo' })).users)],
  ['all users', async jira => nonEmpty(await jira.users.getAllUsers())],
  ['groups of a user', async jira => nonEmpty(await jira.users.getUserGroups(cleoId))],
  ['members of a group', async jira => {
    const [{ groupId }] = await jira.users.getUserGroups(cleoId);
    has((await jira.groups.getUsersFromGroup({ groupId })).values, ({ accountId }) => accountId === cleoId.accountId);
  }],
  ['statuses of DEMO by type', async jira => nonEmpty(await jira.projects.getAllStatuses(demo))],
  ['status categories', async jira => nonEmpty(await jira.workflowStatusCategories.getStatusCategories())],
  ['labels', async jira => jira.labels.getAllLabels()],
  ['own filters', async jira => jira.filters.getMyFilters()],
  ['filters by page', async jira => jira.filters.getFiltersPaginated()],
  ['dashboards', async jira => jira.dashboards.getAllDashboards()],
  ['versions by page', async jira => jira.projectVersions.getProjectVersionsPaginated(demo)],
  ['components by page', async jira => jira.projectComponents.getProjectComponentsPaginated(demo)],
  ['project properties', async jira => jira.projectProperties.getProjectPropertyKeys(demo)],
  ['security levels', async jira => jira.projectPermissionSchemes.getSecurityLevelsForProject({ projectKeyOrId: 'DEMO' })],
  ['role details', async jira => nonEmpty(await jira.projectRoles.getProjectRoleDetails(demo))],
  ['attachment settings', async jira => equal((await jira.issueAttachments.getAttachmentMeta()).enabled, true)],
  ['a parsed query', async jira => equal((await jira.jql.parseJqlQueries({ validation: 'strict', queries: ['project = DEMO'] })).queries.length, 1)],
  ['issues in bulk', async jira => equal((await jira.issues.bulkFetchIssues({ issueIdsOrKeys: ['DEMO-1', 'NOPE-1'] })).issues.map(({ key }) => key), ['DEMO-1'])],
  ['application roles', async jira => nonEmpty(await jira.applicationRoles.getAllApplicationRoles()), 'ada'],
  ['audit records', async jira => nonEmpty((await jira.auditRecords.getAuditRecords()).records), 'ada'],
];
for (const [what, get, only] of reads) {
  await check(`ada reads ${what}`, () => get(ada));
  if (only) await check(`ben may not read ${what}`, () => refused(403, () => get(ben)));
  else await check(`ben reads ${what}`, () => get(ben));
}

await check('ben renames DEMO and renames it back', async () => {
  const { name } = await ben.projects.getProject(demo);
  try {
    equal((await ben.projects.updateProject({ ...demo, name: `${name} renamed` })).name, `${name} renamed`);
  } finally {
    await ben.projects.updateProject({ ...demo, name });
  }
  equal((await ben.projects.getProject(demo)).name, name);
});

await check('ben deletes an issue, and then it is not found', async () => {
  const issueIdOrKey = await newIssue(ben);
  await ben.issues.deleteIssue({ issueIdOrKey });
  equal(says(await refused(404, () => read(ben, issueIdOrKey))), [NO_ISSUE]);
});

await check('cleo creates, edits and comments in DEMO', async () => {
  const issueIdOrKey = await newIssue(cleo);
  await cleo.issues.editIssue({ issueIdOrKey, fields: { summary: 'By Cleo' } });
  await cleo.issueComments.addComment({ issueIdOrKey, body: document('hello') });
  equal(await field(ben, issueIdOrKey, 'summary'), 'By Cleo');
});

await check('cleo may not delete an issue', async () => {
  const issueIdOrKey = await newIssue(cleo);
  nonEmpty(says(await refused(403, () => cleo.issues.deleteIssue({ issueIdOrKey }))));
  await read(ben, issueIdOrKey);
});

await check('cleo may not rename DEMO', async () => {
  const { name } = await ben.projects.getProject(demo);
  nonEmpty(says(await refused(403, () => cleo.projects.updateProject({ ...demo, name: "Cleo's" }))));
  equal((await ben.projects.getProject(demo)).name, name);
});

await check('cleo does not see VAULT in the list', async () => {
  const { values, total } = await cleo.projects.searchProjects();
  const keys = values.map(({ key }) => key);
  holds(keys.includes('DEMO') && !keys.includes('VAULT'), `got ${keys}`);
  equal(total, keys.length);
});

await check('cleo gets the same not-found errors for VAULT as for nothing', async () => {
  for (const key of ['VAULT', 'NOPE']) {
    equal(says(await refused(404, () => cleo.projects.getProject({ projectIdOrKey: key }))), [noProject(key)]);
    equal(says(await refused(404, () => read(cleo, `${key}-1`))), [NO_ISSUE]);
  }
});

await check('cleo gets the same JQL error for VAULT as for an unknown project', async () => {
  for (const key of ['VAULT', 'NOPE'])
    equal(says(await refused(400, () => cleo.issueSearch.searchAndReconsileIssuesUsingJqlPost({ jql: `project = ${key}` }))), [noValue(key)]);
});

await check('dan has no access to Jira: no projects, no issue, no creating', async () => {
  equal((await dan.projects.searchProjects()).values, []);
  equal(says(await refused(404, () => read(dan, 'DEMO-1'))), [NO_ISSUE]);
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
  equal(error.body, GATE_TEXT);
});

await check.end();
