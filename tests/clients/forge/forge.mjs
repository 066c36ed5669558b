// The unmodified command line of Forge, run as somebody against the demo, and the apps that it deploys.
import { deepStrictEqual as same, match } from 'node:assert';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BASE, people } from './harness.mjs';

export const here = dirname(fileURLToPath(import.meta.url));
const node = ['x64', 'arm64'].map(kind => join(here, `node_modules/node-linux-${kind}/bin/node`)).find(existsSync);
export const site = new URL(BASE).host;
const { ada, ben } = people;

// What the command line would otherwise fetch from the vendor: the platform's own wrapper, which is not used here.
const runtime = join(here, 'runtime');
mkdirSync(join(runtime, 'dist'), { recursive: true });
for (const name of ['loader', 'wrapper']) writeFileSync(join(runtime, `dist/${name}.js`), '// not used here');
writeFileSync(join(runtime, 'package.json'), '{"version":"1.0.0"}');

/** Runs the command line as somebody; its output, whatever its exit status. */
export function forge(who, folder, ...args) {
  const env = {
    ...process.env, NODE_OPTIONS: '', CI: 'true', FORGE_GRAPHQL_GATEWAY: `${BASE}/graphql`, FORGE_EMAIL: who.email, FORGE_API_TOKEN: who.api_token,
    FORGE_RUNTIME_PATH: runtime, FORGE_DISABLE_ANALYTICS: 'true', FORGE_CLI_DISABLE_DEV_SPACE: 'true', PATH: `${dirname(node)}:${process.env.PATH}`,
  };
  const cli = join(here, 'node_modules/@forge/cli/out/bin/cli.js');
  return new Promise(resolve => {
    execFile(node, [cli, ...args], { cwd: folder, env, timeout: 90_000 }, (error, stdout, stderr) => resolve({ status: error ? error.code ?? 1 : 0, text: stdout + stderr }));
  });
}

export async function asked(who, method, path, body) {
  const credential = Buffer.from(`${who.email}:${who.api_token}`).toString('base64');
  const headers = { Authorization: `Basic ${credential}`, 'Content-Type': 'application/json' };
  const answer = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : undefined };
}

/** A copy of an app, which finds the packages beside this script; `change` gets each text of it, and its name. */
export function copyOf(app, change = text => text) {
  const folder = mkdtempSync(join(here, 'app-'));
  cpSync(join(here, app), folder, { recursive: true });
  if (!existsSync(join(folder, 'static'))) mkdirSync(join(folder, 'static'));
  if (!existsSync(join(folder, 'static/index.html'))) writeFileSync(join(folder, 'static/index.html'), '<!doctype html><html lang="en"><head><title>Not drawn here</title></head><body></body></html>');
  if (!existsSync(join(folder, 'package.json'))) writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: app.split('/').at(-1), version: '1.0.0' }));
  for (const name of readdirSync(folder, { recursive: true })) {
    if (/\.(js|ts|yml)$/.test(name)) edit(folder, name, text => change(text, name));
  }
  return folder;
}

export const edit = (folder, file, change) => writeFileSync(join(folder, file), change(readFileSync(join(folder, file), 'utf8')));
export const develop = ['--non-interactive', '-e', 'development'];
export const deploy = ['deploy', ...develop, '--no-verify'];
export const install = ['install', ...develop, '--site', site, '--product', 'jira', '--confirm-scopes'];
const space = (await asked(ada, 'GET', '/_edge/tenant_info')).body.cloudId;

/** Registers and deploys an app, as its developer; what the command line said. */
export async function register(folder, name) {
  match((await forge(ben, folder, 'register', name, '-y', '-s', space)).text, /Registered/);
  const deployed = await forge(ben, folder, ...deploy);
  same(deployed.status, 0, deployed.text);
  return deployed.text;
}

/** Installs a deployed app, as the administrator of the site; how to call one of its modules, and its web triggers. */
export async function admit(folder, module = 'panel') {
  const installed = await forge(ada, folder, ...install);
  match(installed.text, /Install in Jira complete/, installed.text);
  const id = /app\/([0-9a-f-]{36})/.exec(readFileSync(join(folder, 'manifest.yml'), 'utf8'))[1];
  const { values } = (await asked(ada, 'GET', `/api/portcullis/v1/forge/installations?appId=${id}`)).body;
  const installation = values[0].id;
  const at = `/api/portcullis/v1/forge/installations/${installation}`;
  const call = async (who, functionKey, payload = {}, { issue = 'DEMO-1', moduleKey = module } = {}) =>
    (await asked(who, 'POST', `${at}/invoke`, { moduleKey, functionKey, payload, issue })).body;
  /** What a resolver returns; an error of the app's is one here. */
  const value = async (...args) => {
    const answer = await call(...args);
    if (!answer.success) throw new Error(JSON.stringify(answer));
    return answer.body;
  };
  const address = async triggerKey => (await asked(ada, 'POST', `${at}/web-triggers`, { triggerKey })).body.url;
  return { id, installation, folder, call, value, address };
}

/** Both. */
export async function start(folder, name, module) {
  await register(folder, name);
  return admit(folder, module);
}

/** Asks until the answer is there. */
export async function until(ask, holds) {
  for (let i = 0; i < 100; i += 1) {
    const answer = await ask();
    if (holds(answer)) return answer;
    await new Promise(later => { setTimeout(later, 100); });
  }
  return ask();
}
