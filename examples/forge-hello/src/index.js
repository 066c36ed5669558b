import { asUser, route } from '@forge/api';
import { kvs } from '@forge/kvs';
import Resolver from '@forge/resolver';

const definitions = new Resolver();

// What the person in front of the panel may see, and nothing else: the app's scopes and the person's permissions together.
definitions.define('summary', async ({ context }) => {
  const answer = await asUser().requestJira(route`/rest/api/3/issue/${context.extension.issue.key}?fields=summary`);
  const visits = ((await kvs.get('visits')) ?? 0) + 1;
  await kvs.set('visits', visits);
  console.log('visit', visits);
  return { summary: answer.ok ? (await answer.json()).fields.summary : null, visits };
});

export const resolver = definitions.getDefinitions();

export const knock = async (request) => ({ statusCode: 200, headers: { 'Content-Type': ['text/plain'] }, body: `You knocked with ${request.method}.\n` });
