import Resolver from '@forge/resolver';
import { storage, webTrigger } from '@forge/api-2';
import { decode, verify } from 'jsonwebtoken';
import jwkToPem from 'jwk-to-pem';

const definitions = new Resolver();
definitions.define('address', async ({ payload }) => ({ url: await webTrigger.getUrl(payload.key) }));
definitions.define('trust', async ({ payload }) => { await storage.set('keys', payload.keys); });
export const resolver = definitions.getDefinitions();

export async function news({ headers, body }, { installContext }) {
  const [token] = headers.authorization ?? [];
  if (!token) return { statusCode: 401, body: 'no token' };
  let claims;
  try {
    const { kid } = decode(token, { complete: true }).header;
    const key = (await storage.get('keys')).find((one) => one.kid === kid);
    claims = verify(token, jwkToPem(key), { algorithms: ['RS256'], audience: 'builds' });
  } catch (error) {
    return { statusCode: 401, body: error.message };
  }
  return { statusCode: 200, body: JSON.stringify({ by: claims.sub, news: JSON.parse(body).builds.length, on: installContext }) };
}
