// Deploys and installs forge-hello on a running demo, as its administrator: what `./forge register`, `deploy` and `install` do by hand,
// without Forge's own command line, which takes longer to fetch than the demo to start. Ends when that is done.
//
//   node demo.mjs CARD CACHE     (the card.json of the demo; a folder for the packages that the app is built of)
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const [card, cache] = process.argv.slice(2).map(path => resolve(path));
const say = (...words) => console.log('forge-hello:', ...words);
if (!card || !cache) {
  console.error('usage: node demo.mjs CARD CACHE');
  process.exit(2);
}
const FORGE = '/api/portcullis/v1/forge';
const BUILD = { esbuild: '0.28.2', fflate: '0.8.2', 'js-yaml': '4.1.0' };
const later = ms => new Promise(done => { setTimeout(done, ms); });

let base, person;
async function ask(method, path, body) {
  const raw = body instanceof Uint8Array;
  const headers = { 'Content-Type': raw ? 'application/zip' : 'application/json' };
  if (!raw) headers.Authorization = `Basic ${Buffer.from(`${person.email}:${person.api_token}`).toString('base64')}`;
  const answer = await fetch(path.startsWith('http') ? path : base + path, { method, headers, body: raw || body === undefined ? body : JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text.slice(0, 300)}`);
  return text ? JSON.parse(text) : undefined;
}

/** Until the server of this card answers; an older demo's card may still lie there. */
async function started() {
  for (;;) {
    try {
      const read = JSON.parse(readFileSync(card));
      base = read.base_url;
      person = read.people.find(one => one.name === 'Ada');
      await ask('GET', '/rest/api/3/myself');
      return;
    } catch { await later(500); }
  }
}

/** The app in one file, built of Forge's real packages. */
async function bundle() {
  const { dependencies } = JSON.parse(readFileSync(join(here, 'package.json')));
  const wanted = Object.entries({ ...dependencies, ...BUILD });
  if (!wanted.every(([name]) => existsSync(join(cache, 'node_modules', name)))) {
    say('fetching the packages it is built of, once');
    mkdirSync(cache, { recursive: true });
    const options = ['--prefix', cache, '--no-save', '--no-audit', '--no-fund', '--loglevel=error'];
    execFileSync('npm', ['install', ...options, ...wanted.map(([name, version]) => `${name}@${version}`)], { stdio: ['ignore', 'ignore', 'inherit'] });
  }
  const require = createRequire(join(cache, 'package.json'));
  const built = await require('esbuild').build({
    entryPoints: [join(here, 'src/index.js')], bundle: true, platform: 'node', format: 'cjs', target: 'es2022', write: false, nodePaths: [join(cache, 'node_modules')], logLevel: 'error',
  });
  return { require, code: built.outputFiles[0].contents };
}

async function install() {
  const { values } = await ask('GET', `${FORGE}/installations`);
  const there = values.find(one => one.name === 'forge-hello');
  if (there) return there.id;
  const { require, code } = await bundle();
  const app = await ask('POST', `${FORGE}/apps`, { name: 'forge-hello' });
  const manifest = require('js-yaml').load(readFileSync(join(here, 'manifest.yml'), 'utf8'));
  manifest.app.id = `ari:cloud:ecosystem::app/${app.id}`;
  const archive = require('fflate').zipSync({ 'manifest.yml': Buffer.from(JSON.stringify(manifest)), 'index.cjs': code });
  const { uploadUrl } = await ask('POST', `${FORGE}/apps/${app.id}/uploads`, {});
  await ask('PUT', uploadUrl, archive);
  const deployed = await ask('POST', `${FORGE}/apps/${app.id}/environments/default/deployments`, { artifactUrl: uploadUrl });
  if (deployed.status !== 'DONE') throw new Error(deployed.errors.join(' '));
  return (await ask('POST', `${FORGE}/installations`, { appId: app.id, environmentKey: 'default' })).id;
}

await started();
try {
  const id = await install();
  say(`installed; ${base}/admin/forge-apps shows it. Its panel's backend: POST ${FORGE}/installations/${id}/invoke {"moduleKey":"hello","functionKey":"summary","issue":"DEMO-1"}`);
} catch (error) {
  console.error('forge-hello: not installed:', error.message);
  process.exit(1);
}
