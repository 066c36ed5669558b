// What scripts of Connect clients share: an app that is nothing but a descriptor and a place to keep the secret.
import { createServer } from 'node:http';
import { BASE, people } from './harness.mjs';

const basic = ({ email, api_token }) => `Basic ${Buffer.from(`${email}:${api_token}`).toString('base64')}`;

/** Installs an app with these scopes as Ada; `{ key, secret, remove }`. */
export async function installed(key, scopes) {
  let secret;
  const server = createServer((request, answer) => {
    if (request.url === '/atlassian-connect.json') {
      answer.setHeader('content-type', 'application/json');
      answer.end(JSON.stringify({ key, name: key, baseUrl, authentication: { type: 'jwt' }, scopes, lifecycle: { installed: '/installed' } }));
      return;
    }
    let text = '';
    request.on('data', part => { text += part; });
    request.on('end', () => { secret = JSON.parse(text).sharedSecret; answer.statusCode = 204; answer.end(); });
  });
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  const baseUrl = `http://127.0.0.1:${server.address().port}`;
  const manage = (method, path, body) => fetch(`${BASE}/api/portcullis/v1/connect-apps${path}`, {
    method, body: body && JSON.stringify(body), headers: { authorization: basic(people.ada), 'content-type': 'application/json' },
  });
  const made = await manage('POST', '', { descriptorUrl: `${baseUrl}/atlassian-connect.json` });
  if (made.status !== 201) throw new Error(`install: ${made.status} ${await made.text()}`);
  return {
    key, secret,
    remove: async () => { await manage('DELETE', `/${key}`); server.close(); server.closeAllConnections(); },
  };
}
