import Resolver from '@forge/resolver';
import { invokeRemote } from '@forge/api-6';

const definitions = new Resolver();
definitions.define('ask', async ({ payload }) => {
  try {
    const answer = await invokeRemote(payload.remote, { path: payload.path, method: 'PUT', headers: { Authorization: 'Bearer mine', 'X-Own': 'kept' }, body: 'asked' });
    return { status: answer.status, body: await answer.json() };
  } catch (error) {
    return { threw: error.name, message: error.message };
  }
});
export const resolver = definitions.getDefinitions();
