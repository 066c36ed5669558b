// What the Node scripts share: the card, one line per check, and cleaning up afterwards.
import { deepStrictEqual } from 'node:assert';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';

const card = JSON.parse(readFileSync(process.argv[2], 'utf8'));

export const BASE = card.base_url.replace(/\/$/, '');
export const PROJECT_ID = Object.fromEntries(card.projects.map(({ key, id }) => [key, id]));
export const people = Object.fromEntries(card.people.map(p => [p.name.split(' ')[0].toLowerCase(), p]));

// Texts that real programs match on; the same whether the thing is hidden or was never there.
export const GATE_TEXT = 'Client must be authenticated to access this resource.';
export const NO_ISSUE = 'Issue does not exist or you do not have permission to see it.';
export const noProject = key => `No project could be found with key '${key}'.`;
export const noValue = key => `The value '${key}' does not exist for the field 'project'.`;

/** A word that occurs nowhere else on the site, so that searches find exactly what a check made. */
export const word = () => `w${randomBytes(6).toString('hex')}`;

export const document = text => ({ type: 'doc', version: 1, content: [{ type: 'paragraph', content: [{ type: 'text', text }] }] });

/** The words of a document, to compare what was written with what is read. */
export const words = node => (node.text ?? '') + (node.content ?? []).map(words).join('');

/** One request without any client library, for preparing and cleaning up. */
export async function http(person, method, path) {
  const credential = Buffer.from(`${person.email}:${person.api_token}`).toString('base64');
  const answer = await fetch(BASE + path, { method, headers: { Authorization: `Basic ${credential}`, Accept: 'application/json' } });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : undefined;
}

let issueType;

/** The id of a type in DEMO that is not a sub-task: `Task` if there is one. */
async function issueTypeId() {
  const types = (await http(people.ben, 'GET', '/rest/api/3/project/DEMO')).issueTypes.filter(type => !type.subtask);
  return (types.find(type => type.name === 'Task') ?? types[0]).id;
}

export async function fields(more = {}) {
  issueType ??= await issueTypeId();
  return { project: { key: 'DEMO' }, issuetype: { id: issueType }, summary: `Client check ${word()}`, ...more };
}

/** `await check('ben creates an issue', async () => …)` runs at once and prints how it went. */
export function checks(client) {
  const undo = [];
  let failed = 0;

  async function check(name, run) {
    try {
      await run();
      console.log(`ok ${client} ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${client} ${name}: ${describe(error)}`);
    }
  }
  check.later = action => undo.push(action);
  check.removeIssueLater = key => undo.push(() => http(people.ben, 'DELETE', `/rest/api/3/issue/${key}?deleteSubtasks=true`));
  /** Removes what is left of the run's own things (most are gone already) and sets the exit status. */
  check.end = async () => {
    for (const action of undo.reverse()) await Promise.resolve().then(action).catch(() => {});
    process.exitCode = failed ? 10 : process.exitCode ?? 0;
  };
  return check;
}

/** The error on one line, with the line of the script it comes from and without any credential. */
function describe(error) {
  const script = process.argv[1];
  const where = String(error?.stack).split('\n').find(line => line.includes(script))?.match(/:(\d+):\d+\)?$/);
  let text = `${error?.name}: ${error?.message}`;
  // Two clients say no more than "status code 400"; what the server said is elsewhere, each in its own place.
  const said = error?.response?.data ?? error?.issues ?? error?.report?.issues;
  if (said) text += ` ${Buffer.isBuffer(said) ? said : JSON.stringify(said)}`;
  for (const { api_token } of Object.values(people)) text = text.replaceAll(api_token, '***');
  return text.replace(/\s+/g, ' ').slice(0, 600) + (where ? ` [line ${where[1]}]` : '');
}

export function equal(actual, expected) {
  try {
    deepStrictEqual(actual, expected);
  } catch {
    throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

export function holds(condition, what) {
  if (!condition) throw new Error(what);
}

/** The error that a call ends with; fails if it does not. */
export async function rejection(call) {
  let value;
  try {
    value = await call();
  } catch (error) {
    return error;
  }
  throw new Error(`expected a refusal, got ${JSON.stringify(value)?.slice(0, 200)}`);
}
