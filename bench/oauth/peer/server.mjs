// npm `oidc-provider` with its in-memory adapter: a client, and refresh tokens to begin with. Prints the target as JSON.
//   node server.mjs PORT opaque|jwt CLIENTS
import { generateKeyPairSync } from 'node:crypto';
import { Provider } from 'oidc-provider';

const [port, format, clients] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const issuer = `http://127.0.0.1:${port}`;
const client = { client_id: 'bench', client_secret: 'a-secret-of-enough-length-for-the-bench', redirect_uris: ['https://app.example/cb'], grant_types: ['authorization_code', 'refresh_token', 'client_credentials'], token_endpoint_auth_method: 'client_secret_post' };
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
/** The adapter that comes with the package keeps a thousand entries, fewer than a second of this load makes. */
const kept = new Map();
class Memory {
  constructor(name) { this.name = name; }
  key(id) { return `${this.name}:${id}`; }
  async upsert(id, payload) { kept.set(this.key(id), payload); }
  async find(id) { return kept.get(this.key(id)); }
  async findByUid() { return undefined; }
  async findByUserCode() { return undefined; }
  async destroy(id) { kept.delete(this.key(id)); }
  async consume(id) { kept.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async revokeByGrantId() {}
}
const provider = new Provider(issuer, {
  adapter: Memory,
  clients: [client],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'k' }] },
  scopes: ['offline_access', 'read'],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:bench',
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'read', audience: 'urn:bench', accessTokenFormat: format, accessTokenTTL: 3600, ...(format === 'jwt' ? { jwt: { sign: { alg: 'RS256' } } } : {}) }),
    },
  },
  rotateRefreshToken: () => true,
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  ttl: { RefreshToken: 86400, Grant: 86400, AccessToken: 3600, ClientCredentials: 3600 },
});
provider.listen(port, '127.0.0.1', async () => {
  const known = await provider.Client.find(client.client_id);
  const tokens = [];
  for (let n = 0; n < clients; n += 1) {
    const grant = new provider.Grant({ accountId: `user${n}`, clientId: client.client_id });
    grant.addResourceScope('urn:bench', 'read');
    grant.addOIDCScope('offline_access');
    const grantId = await grant.save();
    const token = new provider.RefreshToken({ accountId: `user${n}`, client: known, grantId, scope: 'offline_access read', resource: 'urn:bench', gty: 'authorization_code', expiresWithSession: false, sessionUid: undefined });
    tokens.push(await token.save());
  }
  console.log(JSON.stringify({ name: `oidc-provider, in memory, ${format === 'jwt' ? 'JWT (RS256)' : 'opaque'}`, address: `127.0.0.1:${port}`, host: `127.0.0.1:${port}`, path: '/token', pid: process.pid, client_id: client.client_id, client_secret: client.client_secret, refresh_tokens: tokens }));
});
