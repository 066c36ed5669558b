import Resolver from '@forge/resolver';
import api, { startsWith, storage } from '@forge/api-3';
import { Queue } from '@forge/events';
import { chunk, groupBy } from 'lodash';
import { dump, load } from 'js-yaml';

const definitions = new Resolver();
definitions.define('start', async ({ payload }) => {
  const queue = new Queue({ key: 'import-queue' });
  for (const names of chunk(payload.names, 2)) await queue.push({ body: { names } });
});
definitions.define('imported', async () => {
  const pages = [];
  let cursor;
  do {
    let query = storage.query().where('key', startsWith('project-')).limit(2);
    if (cursor) query = query.cursor(cursor);
    const page = await query.getMany();
    pages.push(page.results.map(({ key }) => key));
    cursor = page.nextCursor;
  } while (cursor);
  return pages.flat();
});
definitions.define('configured', ({ payload }) => ({ ...load(payload.yaml), again: dump({ a: [1] }), grouped: groupBy([1, 2, 3], (n) => n % 2) }));
definitions.define('graph', async () => {
  const answer = await api.asApp().requestGraph('query { me { user { accountId } } }');
  return { status: answer.status, errors: (await answer.json()).errors?.length };
});
export const resolver = definitions.getDefinitions();

const consumed = new Resolver();
consumed.define('import', async ({ payload }) => { for (const name of payload.names) await storage.set(`project-${name}`, { name }); });
export const consumer = consumed.getDefinitions();
export const ignored = async () => ({});
export const event = async ({ queryParameters }, { installContext }) => ({ statusCode: 200, headers: { 'Content-Type': ['application/json'] }, body: JSON.stringify({ installContext, queryParameters }) });
