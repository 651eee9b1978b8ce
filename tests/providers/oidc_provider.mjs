// A real OpenID provider on loopback: `node oidc_provider.mjs PORT FOLDER`, where FOLDER holds node_modules.
// Its keys are new at each start; people are whoever signs in, with the groups below.
import { createRequire } from 'node:module';
import { generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import { pathToFileURL } from 'node:url';
import path from 'node:path';

const [port, folder] = process.argv.slice(2);
const require = createRequire(path.join(folder, 'package.json'));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));
const issuer = `http://127.0.0.1:${port}`;

function key(kind, options, extra) {
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: 'jwk' }), ...extra };
}
const stamp = Date.now();
const keys = [
  key('rsa', { modulusLength: 2048 }, { kid: `rsa-${stamp}`, use: 'sig', alg: 'RS256' }),
  key('ec', { namedCurve: 'P-256' }, { kid: `ec-${stamp}`, use: 'sig', alg: 'ES256' }),
];
const people = {
  alice: { groups: ['engineering', 'admin'], email: 'alice@x.test', email_verified: true },
  bob: { groups: ['engineering'], email: 'bob@x.test', email_verified: false },
};
const api = { scope: 'tools:read', audience: 'urn:altar:grid', accessTokenTTL: 300, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: 'altar',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
    },
    {
      client_id: 'other',
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
      response_types: ['code'],
      redirect_uris: ['http://127.0.0.1/callback'],
    },
    {
      client_id: 'robot',
      client_secret: 'a-secret-of-the-tests-only',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
  ],
  jwks: { keys },
  scopes: ['openid', 'profile', 'email', 'groups', 'tools:read'],
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'], groups: ['groups'] },
  conformIdTokenClaims: false,
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: () => undefined, getResourceServerInfo: () => api, useGrantedResource: () => true },
  },
  findAccount: async (_context, id) => ({
    accountId: id,
    async claims() {
      return { sub: id, name: `${id} of X`, preferred_username: id, ...(people[id] ?? { groups: [] }) };
    },
  }),
  cookies: { keys: ['of-the-tests-only'] },
  pkce: { required: () => true },
});
http.createServer(provider.callback()).listen(Number(port), '127.0.0.1', () => console.log('READY'));
