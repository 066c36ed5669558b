// The console as people use it: signing in and out, API tokens, sessions; by mouse, by keyboard, without JavaScript.
import { createHmac, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [cardFile, executablePath] = process.argv.slice(2);
const card = JSON.parse(readFileSync(cardFile, 'utf8'));
const BASE = card.base_url.replace(/\/$/, '');
const GATEWAY = card.endpoints.gateway;
const people = Object.fromEntries(card.people.map(person => [person.name.split(' ')[0].toLowerCase(), person]));
const { ada, ben, cleo, dan } = people;
const app = card.oauth_app;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const pictures = process.env.PORTCULLIS_SCREENSHOTS;
const WRONG = 'This e-mail address and password do not belong together. Check both and try again.';
const PHONE = { width: 390, height: 844 };

const browser = await chromium.launch({
  executablePath,
  args: ['--disable-gpu', '--disable-quic', '--disable-component-update', '--disable-sync', '--disable-background-networking'],
});
const secrets = [card.oauth_app.client_secret, ...card.people.flatMap(person => [person.password, person.api_token])];
const violations = [];
let failed = 0;

/** Runs at once and prints how it went; everything opened in it is closed after it. */
async function check(name, run) {
  const contexts = [];
  /** A browser of its own, with no cookies. */
  const visitor = async options => {
    const context = await browser.newContext({ baseURL: BASE, ...options });
    context.setDefaultTimeout(10_000);
    contexts.push(context);
    const page = await context.newPage();
    page.on('console', message => { if (/content security policy/i.test(message.text())) violations.push(message.text()); });
    return page;
  };
  try {
    await run(visitor);
    console.log(`ok browser ${name}`);
  } catch (error) {
    failed += 1;
    let text = String(error?.message).replace(/\u001b\[\d+m/g, '').replace(/\s+/g, ' ').slice(0, 500);
    for (const secret of secrets) text = text.replaceAll(secret, '***');
    const line = String(error?.stack).match(/checks\.mjs:(\d+)/g)?.at(-1);
    console.log(`FAIL browser ${name}: ${text} [${line}]`);
  } finally {
    for (const context of contexts) await context.close();
  }
}

function equal(actual, expected, what = '') {
  const [a, e] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== e) throw new Error(`${what} expected ${e}, got ${a}`);
}
const holds = (condition, what) => { if (!condition) throw new Error(what); };
const path = page => new URL(page.url()).pathname;
const word = () => `w${randomBytes(5).toString('hex')}`;

async function fillIn(page, person, password = person.password) {
  await page.getByLabel('E-mail address').fill(person.email);
  await page.getByLabel('Password').fill(password);
}

async function signIn(page, person = ben, at = '/login') {
  await page.goto(at);
  await fillIn(page, person);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(url => url.pathname !== '/login');
}

/** Keeps a picture where one is asked for. */
async function picture(page, name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: `${pictures}/${name.replaceAll(' ', '-')}.png`, fullPage: true });
}

/** What axe finds serious in a page, and whether the page is wider than its window. */
async function serious(page) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const found = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
  const words = found.map(({ id, nodes }) => `${id} ${nodes[0].target} ${nodes[0].any[0]?.message ?? ''}`);
  const excess = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return excess > 0 ? [...words, `${excess} px too wide`] : words;
}

/** Looks at one page on the way: a picture, and nothing serious. */
async function lookAt(page, name) {
  await picture(page, name);
  equal(await serious(page), [], name);
}

/** The code of an authenticator app (RFC 6238) at this moment. */
function codeOf(key) {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...key].map(letter => letters.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const secret = Buffer.from(bits.match(/.{8}/g).map(byte => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000)));
  const digest = createHmac('sha1', secret).update(step).digest();
  const number = digest.readUInt32BE(digest.at(-1) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, '0');
}

/** The status that a token gets. */
async function statusWith(person, token, base = BASE) {
  const credential = Buffer.from(`${person.email}:${token}`).toString('base64');
  const answer = await fetch(`${base}/rest/api/3/myself`, { headers: { Authorization: `Basic ${credential}` } });
  const body = await answer.text();
  return answer.ok ? [answer.status, JSON.parse(body).accountId] : [answer.status];
}

/** Makes a token by the form and returns its text. */
async function makeToken(page, label, fill = async () => {}) {
  await page.goto('/account/api-tokens');
  await page.getByLabel('What is it for?').fill(label);
  await fill();
  await page.getByRole('button', { name: 'Make token' }).click();
  const token = await page.getByLabel('Token', { exact: true }).inputValue();
  secrets.push(token);
  return token;
}

const row = (page, label) => page.getByRole('row').filter({ hasText: label });

async function revoke(page, label) {
  await page.goto('/account/api-tokens');
  await row(page, label).locator('summary', { hasText: 'Revoke' }).click();
  await row(page, label).getByRole('button', { name: `Revoke “${label}”` }).click();
  await page.getByRole('status').getByText('The token is revoked.').waitFor();
}

// ---- the same with and without JavaScript

for (const [how, options] of [['', {}], [', without JavaScript', { javaScriptEnabled: false }]]) {
  await check(`a wrong password and an unknown account get one answer${how}`, async visitor => {
    const page = await visitor(options);
    for (const person of [{ ...ben, password: 'not the password' }, { email: 'nobody@example.org', password: 'x' }]) {
      await page.goto('/login');
      await fillIn(page, person);
      const answered = page.waitForResponse(answer => answer.request().method() === 'POST');
      await page.getByRole('button', { name: 'Sign in' }).click();
      equal((await answered).status(), 401);
      equal(await page.getByRole('alert').innerText(), WRONG);
      equal(await page.getByLabel('E-mail address').inputValue(), person.email);
      equal(await page.getByLabel('Password').inputValue(), '');
    }
    equal((await page.context().cookies()).length, 0, 'cookies');
  });

  await check(`signing in shows the account, signing out ends the session${how}`, async visitor => {
    const page = await visitor(options);
    await signIn(page);
    equal(path(page), '/account');
    equal(await page.getByRole('heading', { level: 1 }).innerText(), ben.name);
    await page.getByText(ben.account_id).waitFor();
    const [cookie] = await page.context().cookies();
    equal([cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path], ['portcullis.session', true, 'Lax', '/']);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
    equal((await page.context().cookies()).length, 0, 'cookies');
    await page.goto('/account');
    equal(path(page), '/login');
    // Not only forgotten by the browser: the cookie itself is worth nothing any more.
    await page.context().addCookies([cookie]);
    await page.goto('/account');
    equal(path(page), '/login');
  });

  await check(`a token is made, shown once, used, listed and revoked${how}`, async visitor => {
    const page = await visitor(options);
    await signIn(page);
    const label = `Report ${word()}`;
    const token = await makeToken(page, label);
    holds(token.startsWith('ptat_'), 'not a token without scopes');
    equal(await statusWith(ben, token), [200, ben.account_id]);
    equal(await statusWith(dan, token), [401], 'with another account');
    await page.goto('/account/api-tokens');
    await row(page, label).getByText('Full access').waitFor();
    await row(page, label).getByText(token.slice(-4)).waitFor();
    holds(!(await page.content()).includes(token), 'shown twice');
    await revoke(page, label);
    equal(await row(page, label).count(), 0);
    equal(await statusWith(ben, token), [401]);
  });

  await check(`a token with scopes works at the gateway alone${how}`, async visitor => {
    const page = await visitor(options);
    await signIn(page);
    const label = `Scoped ${word()}`;
    const token = await makeToken(page, label, async () => {
      await page.getByLabel('Only chosen scopes').check();
      await page.getByLabel('read:jira-user').check();
    });
    equal(await statusWith(ben, token, GATEWAY), [200, ben.account_id]);
    equal(await statusWith(ben, token), [401], 'on the site');
    await revoke(page, label);
    equal(await statusWith(ben, token, GATEWAY), [401], 'after revoking');
  });

  await check(`a mistake in the form is said at its field and keeps what was written${how}`, async visitor => {
    const page = await visitor(options);
    await signIn(page);
    await page.goto('/account/api-tokens');
    await page.getByLabel('What is it for?').fill('Mistaken');
    await page.getByLabel('Only chosen scopes').check();
    await page.getByLabel('Other scopes, by name').fill('read:everything');
    await page.getByRole('button', { name: 'Make token' }).click();
    equal(await page.getByRole('alert').innerText(), 'There is no scope `read:everything`.');
    equal(await page.getByLabel('What is it for?').inputValue(), 'Mistaken');
    equal(await page.getByLabel('Only chosen scopes').isChecked(), true);
    equal(await page.getByLabel('Other scopes, by name').inputValue(), 'read:everything');
    equal(await row(page, 'Mistaken').count(), 0);
  });

  await check(`an authenticator app is added, asked for at the next sign-in, and removed${how}`, async visitor => {
    const [page, other] = [await visitor(options), await visitor(options)];
    await signIn(page, dan);
    await page.getByRole('link', { name: 'Add a second factor' }).click();
    await page.getByRole('button', { name: 'Add an authenticator app' }).click();
    await page.getByRole('img', { name: 'A picture to scan' }).waitFor();
    if (!how) await lookAt(page, 'second-factor-scan');
    await page.getByLabel('The code that it shows now').fill('000000');
    await page.getByRole('button', { name: 'Add it' }).click();
    await page.getByRole('alert').getByText('This is not the code').waitFor();
    const key = (await page.getByText('Or type this key:').locator('code').innerText()).replaceAll(' ', '');
    secrets.push(key);
    await page.getByLabel('The code that it shows now').fill(codeOf(key));
    await page.getByRole('button', { name: 'Add it' }).click();
    await page.getByText('Your second factor is added.').waitFor();
    const [first] = (await page.locator('pre code').innerText()).split('\n');
    secrets.push(first);
    if (!how) await lookAt(page, 'second-factor-added');
    await other.goto('/account/sessions');
    await fillIn(other, dan);
    await other.getByRole('button', { name: 'Sign in' }).click();
    await other.getByRole('heading', { name: 'Your second factor' }).waitFor();
    if (!how) await lookAt(other, 'sign-in-code');
    await other.getByLabel('Code').fill('000000');
    await other.keyboard.press('Enter');
    await other.getByRole('alert').waitFor();
    await other.getByLabel('Code').fill(first);
    await other.keyboard.press('Enter');
    await other.waitForURL(url => url.pathname === '/account/sessions');
    await page.goto('/account/second-factor');
    await page.locator('summary', { hasText: 'Remove it' }).click();
    await page.getByRole('button', { name: 'Remove the second factor' }).click();
    await page.getByText('Your second factor is removed.').waitFor();
  });

  await check(`sessions are listed, one and all others are ended${how}`, async visitor => {
    const [page, second, third] = [await visitor(options), await visitor({ userAgent: 'robot 2.0' }), await visitor({ userAgent: 'robot 3.0' })];
    for (const one of [page, second, third]) await signIn(one);
    await page.goto('/account/sessions');
    equal(await row(page, 'This session').count(), 1);
    await row(page, 'robot 2.0').getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('That session is signed out.').waitFor();
    await second.goto('/account');
    equal(path(second), '/login');
    await third.goto('/account');
    equal(path(third), '/account');
    await page.getByRole('button', { name: 'Sign out everywhere else' }).click();
    await page.getByText('All your other sessions are signed out.').waitFor();
    await third.goto('/account');
    equal(path(third), '/login');
    await page.goto('/account');
    equal(path(page), '/account');
    await page.goto('/account/sessions');
    await row(page, 'This session').getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
  });
}

// ---- with JavaScript only

await check('the copy button is there when scripts run, and copies', async visitor => {
  const page = await visitor({ permissions: ['clipboard-read', 'clipboard-write'] });
  await signIn(page);
  const label = `Copy ${word()}`;
  const token = await makeToken(page, label);
  await page.getByRole('button', { name: 'Copy' }).click();
  await page.getByText('Copied.').waitFor();
  equal(await page.evaluate(() => navigator.clipboard.readText()), token);
  await revoke(page, label);
  const plain = await visitor({ javaScriptEnabled: false });
  await signIn(plain);
  await makeToken(plain, label);
  equal(await plain.getByRole('button', { name: 'Copy' }).count(), 0);
  await revoke(plain, label);
});

// ---- by keyboard

await check('the keyboard alone signs in, walks the menu and signs out', async visitor => {
  const page = await visitor();
  const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); };
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id);
  await page.goto('/login');
  equal(await focused(), 'email', 'focus at first');
  await page.keyboard.type(ben.email);
  await press('Tab');
  await page.keyboard.type(ben.password);
  await press('Tab');
  equal(await focused(), 'Sign in');
  await press('Enter');
  await page.waitForURL('**/account');
  await press('Tab');
  equal(await focused(), 'Skip to the content');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  holds(outline !== 'none', 'the focus cannot be seen');
  const seen = [];
  for (let i = 0; i < 10 && seen.at(-1) !== 'Sign out'; i += 1) { await press('Tab'); seen.push(await focused()); }
  equal(seen.slice(-6), ['Account', 'API tokens', 'Sessions', 'Connected apps', 'Developer', 'Sign out']);
  await press('Enter');
  await page.waitForURL('**/login?done=signed-out');
});

await check('the keyboard alone opens the question and revokes a token', async visitor => {
  const page = await visitor();
  await signIn(page);
  const label = `Keyboard ${word()}`;
  await makeToken(page, label);
  await page.goto('/account/api-tokens');
  await row(page, label).locator('summary', { hasText: 'Revoke' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('The token is revoked.').waitFor();
});

// ---- where one is led

await check('a page that needs a sign-in is what one sees after it', async visitor => {
  const page = await visitor();
  await page.goto('/account/sessions');
  equal(path(page), '/login');
  await fillIn(page, ben);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL('**/account/sessions');
  await page.goto('/login?return_to=/account/api-tokens');
  equal(path(page), '/account/api-tokens', 'signed in already');
});

await check('return_to another site is ignored', async visitor => {
  for (const to of ['http://evil.example/', '//evil.example/', '/\\evil.example/', '/\t/evil.example/', 'javascript:alert(1)']) {
    const page = await visitor();
    await signIn(page, ben, `/login?return_to=${encodeURIComponent(to)}`);
    equal(page.url(), `${BASE}/account`, to);
    const body = new URLSearchParams({ email: ben.email, password: ben.password, return_to: to });
    const answer = await fetch(`${BASE}/login`, { method: 'POST', body, redirect: 'manual' });
    equal([answer.status, answer.headers.get('location')], [303, '/account'], `posted ${to}`);
  }
});

// ---- what other sites can cause

const posted = async (where, headers, fields) => {
  const answer = await fetch(BASE + where, { method: 'POST', headers, body: new URLSearchParams(fields), redirect: 'manual' });
  return [answer.status, answer.headers.get('set-cookie')];
};

await check('a sign-in that another site posts is refused', async () => {
  const fields = { email: ben.email, password: ben.password };
  equal(await posted('/login', { Origin: 'http://evil.example' }, fields), [403, null]);
  equal(await posted('/login', { Origin: 'null' }, fields), [403, null]);
  equal((await posted('/login', { Origin: BASE }, fields))[0], 303, 'our own');
});

await check('pages of other origins cannot sign anybody in or out', async visitor => {
  const form = (action, fields) => `<!doctype html><form method="post" action="${BASE}${action}">${
    Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`).join('')}<button>Go</button></form>`;
  const evil = createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(request.url === '/in' ? form('/login', { email: dan.email, password: dan.password }) : form('/logout', {}));
  });
  await new Promise(ready => evil.listen(0, '127.0.0.1', ready));
  try {
    for (const host of ['127.0.0.1', 'localhost']) {
      const page = await visitor();
      for (const [where, signedIn] of [['/in', false], ['/out', true]]) {
        if (signedIn) await signIn(page);
        await page.goto(`http://${host}:${evil.address().port}${where}`);
        const answered = page.waitForResponse(answer => answer.request().method() === 'POST');
        await page.getByRole('button', { name: 'Go' }).click();
        equal((await answered).status(), 403, `${host}${where}`);
        await page.goto('/account');
        equal(path(page), signedIn ? '/account' : '/login', `${host}${where} afterwards`);
      }
    }
  } finally {
    evil.closeAllConnections();
    evil.close();
  }
});

await check('a form without its token, or with that of another action, does nothing', async visitor => {
  const page = await visitor();
  await signIn(page);
  const label = `Kept ${word()}`;
  const token = await makeToken(page, label);
  await page.goto('/account/api-tokens');
  const [cookie] = await page.context().cookies();
  const field = action => page.locator(`form[action="${action}"] [name="form_token"]`).first().getAttribute('value');
  const headers = { Cookie: `${cookie.name}=${cookie.value}`, Origin: BASE };
  for (const form_token of ['', 'x', await field('/logout'), await field('/account/api-tokens')]) {
    equal((await posted('/account/api-tokens/revoke-all', headers, { form_token }))[0], 403, 'status');
  }
  const own = await field('/account/api-tokens/revoke-all');
  equal((await posted('/account/api-tokens/revoke-all', { Cookie: headers.Cookie }, { form_token: own }))[0], 403, 'no proof of origin');
  equal(await statusWith(ben, token), [200, ben.account_id]);
  await revoke(page, label);
});

await check('pages cannot be framed, kept or given foreign scripts', async visitor => {
  const page = await visitor();
  await signIn(page);
  for (const where of ['/account', '/account/api-tokens', '/browse/NONE-1']) {
    const headers = (await page.request.get(where)).headers();
    for (const part of ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'", "script-src 'self'"]) {
      holds(headers['content-security-policy']?.includes(part), `${where}: ${part}`);
    }
    equal([headers['x-frame-options'], headers['x-content-type-options']], ['DENY', 'nosniff'], where);
    holds(headers['cache-control'].includes('no-store'), `${where} may be kept`);
  }
});

await check('nobody revokes what is another’s', async visitor => {
  const page = await visitor();
  await signIn(page);
  const label = `Own ${word()}`;
  const token = await makeToken(page, label);
  await page.goto('/account/api-tokens');
  const action = await row(page, label).locator('form').getAttribute('action');
  const other = await visitor();
  await signIn(other, dan);
  await makeToken(other, label);
  await other.goto('/account/api-tokens');
  await row(other, label).locator('form').evaluate((form, action) => { form.action = action; }, action);
  await row(other, label).locator('summary', { hasText: 'Revoke' }).click();
  await row(other, label).getByRole('button', { name: 'Revoke' }).click();
  equal(await other.getByText('There is no such API token.').count(), 1);
  equal(await statusWith(ben, token), [200, ben.account_id]);
  await revoke(page, label);
  await revoke(other, label);
});

await check('an issue page shows itself to those who see the issue, and to nobody else', async visitor => {
  const page = await visitor();
  await signIn(page);
  equal((await page.goto('/browse/DEMO-1')).status(), 200);
  await page.getByText('DEMO-1').first().waitFor();
  const other = await visitor();
  await signIn(other, dan);
  const [hidden, absent] = [await other.goto('/browse/DEMO-1'), await other.goto('/browse/NONE-1')];
  equal([hidden.status(), absent.status()], [404, 404]);
});

// ---- apps that people let in

const authorize = (scope, more = {}) => `/authorize?${new URLSearchParams({
  client_id: app.client_id, redirect_uri: app.redirect_uri, response_type: 'code', scope, state: 'a state', audience: 'api.atlassian.com', prompt: 'consent', ...more,
})}`;

/** The app's own address, where a small server of this run waits. */
async function withCallback(run) {
  const arrivals = [];
  const listener = createServer((request, answer) => {
    arrivals.push(new URL(request.url, app.redirect_uri).searchParams);
    answer.end('Back at the app.');
  });
  await new Promise(resolve => listener.listen(new URL(app.redirect_uri).port, 'localhost', resolve));
  try {
    await run(arrivals);
  } finally {
    listener.closeAllConnections();
    listener.close();
  }
}

async function exchange(code) {
  const answer = await fetch(card.endpoints.token, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: app.redirect_uri, client_id: app.client_id, client_secret: app.client_secret }),
  });
  equal(answer.status, 200, 'exchange');
  return answer.json();
}
const statusOf = async token => (await fetch(`${GATEWAY}/rest/api/3/issue/DEMO-1`, { headers: { Authorization: `Bearer ${token}` } })).status;

for (const [how, options] of [['', {}], [', without JavaScript', { javaScriptEnabled: false }]]) {
  await check(`an app asks, is approved, works, and is revoked${how}`, visitor => withCallback(async arrivals => {
    const page = await visitor(options);
    await page.goto(authorize('read:jira-work offline_access'));
    equal(path(page), '/login');
    await fillIn(page, cleo);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Sprint reporter' }).waitFor();
    await page.getByText('Read projects and issues').waitFor();
    await page.getByText('1 project', { exact: true }).waitFor();
    equal(await page.getByText('VAULT').count(), 0, 'what Cleo cannot see');
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByText('Back at the app.').waitFor();
    equal([arrivals[0].get('state'), arrivals[0].get('iss')], ['a state', BASE]);
    const tokens = await exchange(arrivals[0].get('code'));
    equal(await statusOf(tokens.access_token), 200);
    await page.goto('/account/apps');
    await row(page, 'Sprint reporter').locator('summary', { hasText: 'Revoke' }).click();
    await row(page, 'Sprint reporter').getByRole('button', { name: 'Revoke “Sprint reporter”' }).click();
    await page.getByRole('status').getByText('The app is revoked').waitFor();
    equal(await statusOf(tokens.access_token), 401);
  }));

  await check(`an app asks and is declined${how}`, visitor => withCallback(async arrivals => {
    const page = await visitor(options);
    await signIn(page, cleo);
    await page.goto(authorize('read:jira-work'));
    await page.getByRole('button', { name: 'Decline' }).click();
    await page.getByText('Back at the app.').waitFor();
    equal([arrivals[0].get('error'), arrivals[0].get('code')], ['access_denied', null]);
  }));

  await check(`a developer makes an app, chooses scopes and callbacks, changes its secret and deletes it${how}`, async visitor => {
    const page = await visitor(options);
    await signIn(page, ben);
    const name = `App ${word()}`;
    await page.goto('/console/apps');
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByLabel('Callback URL').fill('http://example.org/');
    await page.getByRole('button', { name: 'Make app' }).click();
    await page.getByRole('alert').getByText('use https').waitFor();
    equal(await page.getByLabel('Name', { exact: true }).inputValue(), name);
    await page.getByLabel('Callback URL').fill('https://example.org/callback');
    await page.getByRole('button', { name: 'Make app' }).click();
    const secret = await page.getByLabel('Client secret').inputValue();
    holds(secret.startsWith('ptcs_'), 'a secret');
    await page.goto('/console/apps');
    await page.getByRole('link', { name }).click();
    equal(await page.getByText(secret).count(), 0, 'shown once');
    await page.getByRole('checkbox', { name: /Change issues/ }).check();
    await page.getByRole('button', { name: 'Save permissions' }).click();
    await page.getByRole('status').getByText('The permissions are saved').waitFor();
    await page.getByLabel('One on each line').fill('https://example.org/callback\nhttps://example.org/*');
    await page.getByRole('button', { name: 'Save callback URLs' }).click();
    await page.getByRole('alert').getByText('wildcards').waitFor();
    await page.getByLabel('Path').fill('/rest/api/3/project/DEMO');
    await page.getByLabel('Method').fill('PUT');
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByRole('status').getByText('needs scopes that this app lacks').waitFor();
    await page.getByRole('button', { name: 'Make a new secret' }).click();
    holds(await page.getByLabel('Client secret').inputValue() !== secret, 'another secret');
    await page.locator('summary', { hasText: 'Delete the app' }).click();
    await page.getByRole('button', { name: `Delete “${name}”` }).click();
    await page.getByRole('status').getByText('The app is deleted').waitFor();
    equal(await page.getByRole('link', { name }).count(), 0);
  });

  await check(`an administrator sees who let an app in, and blocks it${how}`, visitor => withCallback(async arrivals => {
    const page = await visitor(options);
    await signIn(page, cleo);
    await page.goto(authorize('read:jira-work'));
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByText('Back at the app.').waitFor();
    const { access_token: token } = await exchange(arrivals[0].get('code'));
    const admin = await visitor(options);
    await signIn(admin, ada);
    await admin.getByRole('link', { name: 'Administration' }).click();
    await admin.getByRole('link', { name: 'Sprint reporter' }).click();
    await row(admin, 'Cleo').getByText('Read projects and issues').waitFor();
    await admin.getByRole('button', { name: 'Block the app for everyone' }).click();
    await admin.getByRole('status').getByText('The app is blocked').waitFor();
    equal(await statusOf(token), 401);
    await page.goto(authorize('read:jira-work'));
    await page.getByText('has blocked the app Sprint reporter').waitFor();
    await admin.getByRole('button', { name: 'Let the app in again' }).click();
    equal(await statusOf(token), 200);
    await admin.locator('summary', { hasText: 'Revoke for everyone' }).click();
    await admin.getByRole('button', { name: /Revoke for all/ }).click();
    equal(await statusOf(token), 401);
    equal((await page.goto('/admin/apps')).status(), 403);
  }));
}

// ---- apps that an administrator installs

/** A Connect app that has a page, and takes whatever it is told. */
const connectApp = createServer((request, answer) => {
  if (request.url.startsWith('/page')) {
    answer.setHeader('content-type', 'text/html');
    answer.end(`<!doctype html><html lang="en"><title>Week</title><script src="${BASE}/atlassian-connect/all.js"></script>
      <h1>Week</h1><p id="me"></p><p id="refused"></p><p id="token"></p><p id="away"></p><p id="missing"></p>
      <script>
        const show = (id, words) => { document.getElementById(id).textContent = words; };
        AP.request('/rest/api/3/myself').then(({ body }) => show('me', 'I see ' + JSON.parse(body).displayName));
        AP.request({ url: '/rest/api/3/project/DEMO', type: 'PUT', data: JSON.stringify({ name: 'Mine' }), contentType: 'application/json',
          success: () => show('refused', 'changed'), error: xhr => show('refused', 'refused with ' + xhr.status) });
        AP.request('/account').catch(({ err }) => show('away', err));
        AP.context.getToken(token => show('token', JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).context.jira.issue.key));
        try { AP.dialog.create(); } catch (error) { show('missing', error.message); }
      </script>`);
    return;
  }
  if (request.url !== '/atlassian-connect.json') { answer.statusCode = 204; answer.end(); return; }
  const scopes = ['READ', 'WRITE', 'PROJECT_ADMIN', 'ACT_AS_USER'];
  answer.end(JSON.stringify({
    key: 'com.example.timesheets', name: 'Timesheets', description: 'Adds up worklogs of a week.', vendor: { name: 'Example' }, scopes,
    baseUrl: connectBase(), authentication: { type: 'jwt' }, lifecycle: { installed: '/installed' },
    modules: { webhooks: [{ event: 'jira:issue_updated', url: '/hook' }], generalPages: [{ key: 'week', name: { value: 'My week' }, url: '/page?of={issue.key}' }] },
  }));
});
await new Promise(resolve => connectApp.listen(0, '127.0.0.1', resolve));
connectApp.unref();
const connectBase = () => `http://127.0.0.1:${connectApp.address().port}`;

async function lookAtConnectApp(page, url = `${connectBase()}/atlassian-connect.json`) {
  await page.goto('/admin/connect-apps');
  await page.getByLabel('Address of its descriptor').fill(url);
  await page.getByRole('button', { name: 'Look at it' }).click();
}

for (const [how, options] of [['', {}], [', without JavaScript', { javaScriptEnabled: false }]]) {
  await check(`an administrator looks at a Connect app, installs, stops and removes it${how}`, async visitor => {
    const page = await visitor(options);
    await signIn(page, ada);
    await lookAtConnectApp(page, 'http://10.0.0.1/atlassian-connect.json');
    await page.getByRole('alert').getByText('not a public address').waitFor();
    equal(await page.getByLabel('Address of its descriptor').inputValue(), 'http://10.0.0.1/atlassian-connect.json');
    await lookAtConnectApp(page);
    await page.getByRole('heading', { name: 'Timesheets' }).waitFor();
    await page.getByText('Act as any user').waitFor();
    await page.getByText('All 2 projects').waitFor();
    await page.getByRole('button', { name: 'Do not install' }).click();
    await page.getByRole('status').getByText('The app is not installed').waitFor();
    await lookAtConnectApp(page);
    await page.getByRole('button', { name: 'Install', exact: true }).click();
    await page.getByRole('status').getByText('The app is installed').waitFor();
    await row(page, 'Timesheets').getByRole('button', { name: 'Stop' }).click();
    await page.getByRole('status').getByText('The app is stopped').waitFor();
    await row(page, 'Timesheets').getByRole('button', { name: 'Let it work' }).click();
    await page.getByRole('status').getByText('may work again').waitFor();
    await row(page, 'Timesheets').locator('summary', { hasText: 'Uninstall' }).click();
    await page.getByRole('button', { name: 'Uninstall “Timesheets”' }).last().click();
    await page.getByRole('status').getByText('The app is uninstalled').waitFor();
    const other = await visitor(options);
    await signIn(other, ben);
    equal((await other.goto('/admin/connect-apps')).status(), 403);
  });
}

async function installed(visitor) {
  const page = await visitor();
  await signIn(page, ada);
  await lookAtConnectApp(page);
  await page.getByRole('button', { name: /^(Install|Update)$/ }).click();
  await page.getByRole('status').getByText('The app is installed').waitFor();
}
const WEEK = '/plugins/servlet/ac/com.example.timesheets/week?issue.key=DEMO-1';

await check('a page of a Connect app asks in the name of the person before it', async visitor => {
  await installed(visitor);
  const page = await visitor();
  await signIn(page, cleo);
  await page.goto(WEEK);
  const frame = page.frameLocator('iframe.app');
  await frame.getByText('I see Cleo').waitFor();
  await frame.getByText('refused with 403').waitFor();
  await frame.getByText('DEMO-1').waitFor();
  await frame.getByText('AP.request reaches the REST API alone.').waitFor();
  await frame.getByText('AP.dialog.create is not there in Portcullis').waitFor();
  // As tall as its content, and not as tall as it was before.
  await page.waitForFunction(() => { const { height } = document.querySelector('iframe.app').getBoundingClientRect(); return height > 60 && height < 420; });
});

await check('messages from elsewhere are not answered', async visitor => {
  const page = await visitor();
  await signIn(page, cleo);
  await page.goto(WEEK);
  await page.frameLocator('iframe.app').getByText('I see Cleo').waitFor();
  const heard = await page.evaluate(async () => {
    const answers = [];
    addEventListener('message', ({ data }) => { if (data.id === 7 && data.what === undefined) answers.push(data); });
    // The page around the frame is not the frame.
    postMessage({ portcullis: 1, id: 7, what: 'token' }, '*');
    await new Promise(resolve => setTimeout(resolve, 600));
    return answers;
  });
  equal(heard, []);
});

// ---- how it looks

async function tokensWithNew(page) {
  await makeToken(page, `Axe ${word()}`);
}
const looks = [
  ['sign-in', page => page.goto('/login')],
  ['sign-in-wrong', async page => {
    await page.goto('/login');
    await fillIn(page, { email: 'nobody@example.org', password: 'x' });
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
  }],
  ['account', page => signIn(page)],
  ['tokens-new', tokensWithNew],
  ['tokens', async page => {
    await page.goto('/account/api-tokens');
    await page.locator('.ask summary').first().click();
    await page.getByLabel('Only chosen scopes').check();
  }],
  ['tokens-wrong', async page => {
    await page.getByLabel('What is it for?').fill('x');
    await page.getByRole('button', { name: 'Make token' }).click();
    await page.getByRole('alert').waitFor();
  }],
  ['sessions', page => page.goto('/account/sessions')],
  ['consent', page => page.goto(authorize('read:me read:jira-work write:jira-work manage:jira-project manage:jira-configuration offline_access'))],
  ['device', page => page.goto('/device')],
  ['consent-wrong', page => page.goto('/authorize?client_id=nobody')],
  ['connected-apps', page => page.goto('/account/apps')],
  ['developer', page => page.goto('/console/apps')],
  ['developer-app', async page => { await page.goto('/console/apps'); await page.getByRole('link', { name: 'Sprint reporter' }).click(); }],
  ['issue', page => page.goto('/browse/DEMO-1')],
  ['error', page => page.goto('/browse/NONE-1')],
  ['admin-apps', async page => { await page.context().clearCookies(); await signIn(page, ada); await page.goto('/admin/apps'); }],
  ['connect-wrong', page => lookAtConnectApp(page, 'http://10.0.0.1/')],
  ['connect-preview', page => lookAtConnectApp(page)],
  ['connect-apps', async page => {
    await page.getByRole('button', { name: /^(Install|Update)$/ }).click();
    await page.locator('.ask summary').first().click();
  }],
  ['connect-page', async page => { await page.goto(WEEK); await page.frameLocator('iframe.app').getByText('I see Ada').waitFor(); }],
  ['deliveries', async page => {
    await page.evaluate(async () => fetch('/rest/api/3/issue/DEMO-1', { method: 'PUT', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ update: { labels: [{ add: `look-${Date.now()}` }] } }) }));
    // A delivery that is under way has no button yet.
    for (let n = 0; n < 50 && !(await page.getByRole('button', { name: /^Send again/ }).count()); n += 1) await page.goto('/admin/connect-apps/com.example.timesheets/deliveries');
    await page.getByRole('button', { name: /^Send again/ }).first().waitFor();
  }],
];

// ---- a Forge app, deployed as its developer's tools would

/** An archive of files as they are (PKWARE's APPNOTE, method 0). */
function archive(files) {
  const crc = bytes => {
    let sum = ~0;
    for (const byte of bytes) { sum ^= byte; for (let n = 0; n < 8; n += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0); }
    return ~sum >>> 0;
  };
  const parts = [], directory = [];
  let at = 0;
  for (const [name, text] of Object.entries(files)) {
    const [label, content] = [Buffer.from(name), Buffer.from(text)];
    const facts = Buffer.alloc(26);
    facts.writeUInt16LE(20, 0);
    facts.writeUInt32LE(crc(content), 10);
    facts.writeUInt32LE(content.length, 14);
    facts.writeUInt32LE(content.length, 18);
    facts.writeUInt16LE(label.length, 22);
    const end = Buffer.alloc(14);
    end.writeUInt32LE(at, 10);
    parts.push(Buffer.from('PK\x03\x04'), facts, label, content);
    directory.push(Buffer.from('PK\x01\x02\x14\x00'), facts, end, label);
    at += 4 + facts.length + label.length + content.length;
  }
  const tail = Buffer.alloc(22);
  tail.write('PK\x05\x06');
  tail.writeUInt16LE(Object.keys(files).length, 8);
  tail.writeUInt16LE(Object.keys(files).length, 10);
  tail.writeUInt32LE(directory.reduce((sum, part) => sum + part.length, 0), 12);
  tail.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, tail]);
}

/** An app that works once and fails once; the id of its installation. */
async function forgeApp() {
  const forge = '/api/portcullis/v1/forge';
  const ask = async (method, where, body, raw) => {
    const Authorization = `Basic ${Buffer.from(`${ada.email}:${ada.api_token}`).toString('base64')}`;
    const headers = raw ? { 'content-type': 'application/zip' } : { Authorization, 'content-type': 'application/json' };
    const answer = await fetch(where.startsWith('http') ? where : BASE + where, { method, headers, body: raw ?? JSON.stringify(body) });
    holds(answer.ok, `${where}: ${answer.status}`);
    return answer.json().catch(() => undefined);
  };
  const { id } = await ask('POST', `${forge}/apps`, { name: 'Standup notes' });
  const manifest = {
    app: { id: `ari:cloud:ecosystem::app/${id}` },
    modules: { 'jira:issuePanel': [{ key: 'panel', title: 'Notes', resolver: { function: 'run' } }], function: [{ key: 'run', handler: 'index.run' }] },
    permissions: { scopes: ['read:jira-work', 'storage:app'], external: { fetch: { backend: ['https://api.example.com'] } } },
  };
  const code = "exports.run = async ({ call }) => { console.log('notes for', call.payload.day); if (call.payload.day > 5) throw new Error('no notes at weekends'); return 1; };";
  const { uploadUrl } = await ask('POST', `${forge}/apps/${id}/uploads`, {});
  await ask('PUT', uploadUrl, undefined, archive({ 'manifest.yml': JSON.stringify(manifest), 'index.cjs': code }));
  const deployed = await ask('POST', `${forge}/apps/${id}/environments/default/deployments`, { artifactUrl: uploadUrl });
  equal(deployed.status, 'DONE', JSON.stringify(deployed.errors));
  const installation = (await ask('POST', `${forge}/installations`, { appId: id, environmentKey: 'default' })).id;
  for (const day of [1, 6]) await ask('POST', `${forge}/installations/${installation}/invoke`, { moduleKey: 'panel', payload: { day } });
  return installation;
}

let notes;
await check('an administrator sees what a Forge app may do, what it did, and ends it', async visitor => {
  const gone = await forgeApp();
  notes = await forgeApp();
  const page = await visitor({ javaScriptEnabled: false });
  await signIn(page, ada);
  await page.goto('/admin/apps');
  await page.getByRole('link', { name: 'Forge apps' }).click();
  equal(await page.getByRole('link', { name: 'Standup notes' }).count(), 2);
  for (let n = 0; n < 50; n += 1) {
    await page.goto(`/admin/forge-apps/${gone}`);
    if (await page.getByText('Failed', { exact: true }).count()) break;
  }
  await page.locator('summary', { hasText: 'lines of run' }).first().click();
  await page.getByText('no notes at weekends').first().waitFor();
  await page.locator('summary', { hasText: 'Uninstall' }).click();
  await page.getByRole('button', { name: 'Uninstall “Standup notes”' }).click();
  await page.getByRole('status').getByText('The app is uninstalled').waitFor();
  equal(await page.getByRole('link', { name: 'Standup notes' }).count(), 1);
});

await check('an administrator closes a project to an app, and opens it again', async visitor => {
  const page = await visitor({ javaScriptEnabled: false });
  await signIn(page, ada);
  await page.goto('/admin/apps');
  await page.getByRole('link', { name: 'App access rules' }).click();
  await page.getByLabel('Project', { exact: true }).selectOption('VAULT');
  await page.getByLabel('Closed to', { exact: true }).selectOption('*');
  await page.getByRole('button', { name: 'Close it' }).click();
  await page.getByRole('status').getByText('closed to it from the next request on').waitFor();
  await page.getByLabel('Project', { exact: true }).selectOption('VAULT');
  await page.getByRole('button', { name: 'Close it' }).click();
  await page.getByRole('alert').getByText('closed to this app already').waitFor();
  await row(page, 'VAULT').locator('summary').click();
  await page.getByRole('button', { name: 'Open VAULT to Every app' }).click();
  await page.getByRole('status').getByText('The rule is removed').waitFor();
});

await check('a developer makes a test call, and is told what is missing', visitor => withCallback(async () => {
  const page = await visitor();
  await signIn(page, ben);
  await page.goto('/console/apps');
  await page.getByRole('link', { name: 'Sprint reporter' }).click();
  await page.getByLabel('Address below the site').fill('/rest/api/3/issue/DEMO-1?fields=summary');
  await page.getByRole('button', { name: 'Make the call' }).click();
  await page.getByRole('alert').getByText('Connect the app to your own account first').waitFor();
  await page.goto(authorize('read:jira-work'));
  await page.getByRole('button', { name: 'Approve' }).click();
  await page.getByText('Back at the app.').waitFor();
  await page.goto('/console/apps');
  await page.getByRole('link', { name: 'Sprint reporter' }).click();
  await page.getByLabel('Address below the site').fill('/rest/api/3/issue/DEMO-1?fields=summary');
  await page.getByRole('button', { name: 'Make the call' }).click();
  await page.getByRole('status').getByText('Answered with status 200').waitFor();
}));

looks.push(
  ['app-rules', page => page.goto('/admin/app-rules')],
  ['forge-apps', page => page.goto('/admin/forge-apps')],
  ['forge-app', async page => { await page.goto(`/admin/forge-apps/${notes}`); await page.locator('summary', { hasText: 'lines of run' }).first().click(); }],
);

for (const [mode, options] of [
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['on a phone', { viewport: PHONE, colorScheme: 'light' }],
]) {
  await check(`axe finds nothing serious, and nothing is cut off, ${mode}`, async visitor => {
    const page = await visitor(options);
    const found = [];
    for (const [name, go] of looks) {
      await go(page);
      await picture(page, `${name}-${mode}`);
      for (const words of await serious(page)) found.push(`${name}: ${words}`);
    }
    await page.goto('/account/api-tokens');
    for (const label of await page.locator('th .name', { hasText: /^Axe / }).allInnerTexts()) await revoke(page, label);
    equal(found, []);
  });
}

await check('the emulator’s warning is on every page of a demo', async visitor => {
  const page = await visitor();
  await page.goto('/login');
  await page.getByRole('complementary', { name: 'Emulator controls' }).waitFor();
});

await check('what gives power away asks who is there after a while, and keeps what was typed', async visitor => {
  const page = await visitor();
  await signIn(page);
  await page.goto('/account/api-tokens');
  const label = `Later ${word()}`;
  await page.getByLabel('What is it for?').fill(label);
  const moved = await fetch(`${BASE}/_emulator/clock`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ advance_ms: 16 * 60_000 }) });
  equal(moved.status, 200);
  await page.getByRole('button', { name: 'Make token' }).click();
  await page.getByRole('heading', { name: 'Confirm that it is you' }).waitFor();
  await lookAt(page, 'confirm');
  await page.getByLabel('Password of').fill('not the password');
  await page.keyboard.press('Enter');
  await page.getByRole('alert').getByText('This is not your password').waitFor();
  await page.getByLabel('Password of').fill(ben.password);
  await page.keyboard.press('Enter');
  secrets.push(await page.getByLabel('Token', { exact: true }).inputValue());
  await revoke(page, label);
  equal((await fetch(`${BASE}/_emulator/reset`, { method: 'POST' })).ok, true);
});

// Last, because it uses up attempts.
await check('too many wrong passwords have to wait, and others do not', async visitor => {
  const page = await visitor();
  const email = `${word()}@example.org`;
  const attempt = () => posted('/login', { Origin: BASE }, { email, password: 'x' });
  let status;
  for (let i = 0; i < 60 && status !== 429; i += 1) [status] = await attempt();
  equal(status, 429);
  await page.goto('/login');
  await fillIn(page, { email, password: 'x' });
  await page.getByRole('button', { name: 'Sign in' }).click();
  holds((await page.getByRole('alert').innerText()).startsWith('Too many failed attempts. Wait '), 'no wait is named');
  await signIn(page);
});

await check('no page broke its own content security policy', async () => equal(violations, []));

await browser.close();
process.exitCode = failed ? 10 : 0;
