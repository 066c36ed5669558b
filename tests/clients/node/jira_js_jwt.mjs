// npm `jira.js` 5 with a Connect app's JWT.
import { Version3Client } from 'jira5';
import { BASE, checks, equal, fields, rejection } from './harness.mjs';
import { installed } from './connect.mjs';

const check = checks('jira.js5-jwt');
const app = await installed('com.example.jirajs', ['READ', 'WRITE']);
const client = secret => new Version3Client({ host: BASE, authentication: { jwt: { issuer: app.key, secret, expiryTimeSeconds: 180 } } });
const jira = client(app.secret);

await check('the app is itself', async () => {
  const me = await jira.myself.getCurrentUser();
  equal([me.accountType, me.displayName], ['app', app.key]);
});

await check('it writes, and deletes nothing', async () => {
  const made = await jira.issues.createIssue({ fields: await fields() });
  check.removeIssueLater(made.key);
  equal((await jira.issues.getIssue({ issueIdOrKey: made.key, fields: ['summary', 'status'], expand: 'names' })).key, made.key);
  const refused = await rejection(() => jira.issues.deleteIssue({ issueIdOrKey: made.key }));
  equal(refused.status ?? refused.response?.status, 403);
});

await check('searches with blanks, commas and quotes', async () => {
  const found = await jira.issueSearch.searchForIssuesUsingJqlEnhancedSearch({ jql: 'project = "DEMO" AND key in (DEMO-1, DEMO-2) order by key', fields: ['summary'] });
  equal(found.issues[0].key, 'DEMO-1');
});

await check('another secret', async () => {
  const refused = await rejection(() => client(`${app.secret}x`).myself.getCurrentUser());
  equal(refused.status ?? refused.response?.status, 401);
});

await app.remove();
await check.end();
