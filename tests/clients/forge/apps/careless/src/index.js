import Resolver from '@forge/resolver';
import api, { assumeTrustedRoute, route, storage } from '@forge/api-3';
import { encodeSymmetric } from 'atlassian-jwt';
import { createHash } from 'crypto';
import CryptoJS from 'crypto-js';
import jwt from 'jsonwebtoken';

const definitions = new Resolver();
definitions.define('remember', async ({ payload }) => { await storage.setSecret('shared', payload.secret); return createHash('sha256').update(payload.secret).digest('hex'); });
// Whatever the caller says is the path, and the app asks in its own name.
definitions.define('anything', async ({ payload }) => {
  const answer = await api.asApp().requestJira(assumeTrustedRoute(payload.path), payload.init);
  return answer.status;
});
definitions.define('summary', async ({ payload }) => (await api.asApp().requestJira(route`/rest/api/3/issue/${payload.key}?fields=summary`)).status);
definitions.define('tokens', () => ({
  jwt: jwt.verify(jwt.sign({ a: 1 }, 'k', { algorithm: 'HS512' }), 'k', { algorithms: ['HS512'] }).a,
  connect: encodeSymmetric({ a: 1 }, 'k'.repeat(32)).split('.').length,
  aes: CryptoJS.AES.decrypt(CryptoJS.AES.encrypt('text', 'k').toString(), 'k').toString(CryptoJS.enc.Utf8),
}));
export const resolver = definitions.getDefinitions();

export async function knock({ headers }, { installContext }) {
  const [, token] = (headers['x-knock']?.[0] ?? '').split(' ');
  try {
    jwt.verify(token, await storage.getSecret('shared'), { algorithms: ['HS256'], audience: installContext });
    return { statusCode: 200, body: 'come in' };
  } catch (error) {
    return { statusCode: 500, body: error.message };
  }
}
