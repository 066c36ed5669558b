// What the OAuth 2.0 scripts share: the demo's app, and a browser that signs a person in and answers the consent page.
import { readFileSync } from 'node:fs';
import { equal, holds, people } from './harness.mjs';

const card = JSON.parse(readFileSync(process.argv[2], 'utf8'));
export const APP = card.oauth_app;
export const ENDPOINTS = card.endpoints;
export const CLOUD_ID = card.site.cloud_id;
export const SITE_URL = card.site.url;
export const GATEWAY = ENDPOINTS.gateway.replace('{cloud_id}', CLOUD_ID);

/** A browser without JavaScript: keeps cookies, and follows redirects until one leads away from the server. */
export class Browser {
  cookies = new Map();
  at = ENDPOINTS.authorize;

  async request(url, options = {}) {
    this.at = new URL(url, this.at).href;
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(this.at, { ...options, redirect: 'manual', headers: { ...options.headers, cookie, origin: new URL(this.at).origin } });
    for (const line of answer.headers.getSetCookie()) {
      const [name, value] = line.split(';')[0].split('=');
      this.cookies.set(name, value);
    }
    return answer;
  }

  submit(action, fields) {
    return this.request(action, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields) });
  }

  /** Opens an authorization URL as a person, decides, and returns the address of the app that this leads to. */
  async decide(person, url, decision = 'approve') {
    let answer = await this.request(url);
    if (answer.status === 303 && answer.headers.get('location').startsWith('/login')) {
      const back = new URL(answer.headers.get('location'), this.at).searchParams.get('return_to');
      answer = await this.submit('/login', { email: person.email, password: person.password, return_to: back });
      equal(answer.status, 303);
      answer = await this.request(answer.headers.get('location'));
    }
    if (answer.status === 303) return new URL(answer.headers.get('location'));
    const page = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status}: ${page.match(/<p class="lead">([^<]*)/)?.[1]}`);
    const value = name => page.match(new RegExp(`name="${name}" value="([^"]*)"`))[1];
    const fields = { form_token: value('form_token'), request: value('request'), site: value('site'), decision };
    answer = await this.submit('/authorize', fields);
    equal(answer.status, 303);
    return new URL(answer.headers.get('location'));
  }
}

/** The callback address that a fresh browser of this person ends at. */
export const consent = (person, url, decision) => new Browser().decide(person, url, decision);

/** What an access token may do, asked of the API itself. */
export async function api(token, path, options = {}) {
  const answer = await fetch(GATEWAY + path, { ...options, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...options.headers } });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: text && JSON.parse(text) };
}

/** Looks at what every flow ends with: reading works, writing without the scope does not, and nobody sees more than the person. */
export async function readsOnly(token) {
  equal((await api(token, '/rest/api/3/issue/DEMO-1')).status, 200);
  equal((await api(token, '/rest/api/3/issue/VAULT-1')).status, 404);
  const refused = await api(token, '/rest/api/3/issue', { method: 'POST', body: '{"fields":{}}' });
  equal([refused.status, refused.body], [401, { code: 401, message: 'Unauthorized; scope does not match' }]);
  holds(refused.headers.get('www-authenticate').includes('scope="write:jira-work"'), 'the header names the missing scope');
}

export const cleo = people.cleo;
