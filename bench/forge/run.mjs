// What a developer and a user wait for, and what apps cost that nobody uses. See run.sh.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';

const [cardFile, pid, appsWanted] = process.argv.slice(2);
const card = JSON.parse(readFileSync(cardFile, 'utf8'));
const base = new URL(card.base_url);
const person = name => card.people.find(one => one.name.startsWith(name));
const credential = ({ email, api_token }) => `Basic ${Buffer.from(`${email}:${api_token}`).toString('base64')}`;
const [ada, ben] = [person('Ada'), person('Ben')].map(credential);
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
const forge = '/api/portcullis/v1/forge';

/** One request over a connection that stays open. */
function ask(authorization, method, path, body) {
  const bytes = Buffer.isBuffer(body);
  const content = body === undefined ? undefined : bytes ? body : JSON.stringify(body);
  const headers = { authorization, ...(content === undefined ? {} : { 'content-type': bytes ? 'application/zip' : 'application/json', 'content-length': Buffer.byteLength(content) }) };
  const { pathname, search } = new URL(path, base);
  return new Promise((resolve, reject) => {
    const sent = request({ agent, host: base.hostname, port: base.port, method, path: pathname + search, headers }, answer => {
      const parts = [];
      answer.on('data', part => parts.push(part)).on('end', () => {
        const text = Buffer.concat(parts).toString();
        if (answer.statusCode >= 300) reject(new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 300)}`));
        else resolve(text ? JSON.parse(text) : undefined);
      });
    });
    sent.on('error', reject);
    sent.end(content);
  });
}

const table = Array.from({ length: 256 }, (_, n) => { let c = n; for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1; return c >>> 0; });
const crc = bytes => { let c = 0xffffffff; for (const byte of bytes) c = table[(c ^ byte) & 255] ^ (c >>> 8); return (c ^ 0xffffffff) >>> 0; };
/** A zip archive whose files are stored as they are. */
function archive(files) {
  const [locals, central] = [[], []];
  let offset = 0;
  for (const [name, text] of Object.entries(files)) {
    const [file, content] = [Buffer.from(name), Buffer.from(text)];
    const head = Buffer.alloc(26);
    head.writeUInt16LE(20, 0); head.writeUInt32LE(crc(content), 10); head.writeUInt32LE(content.length, 14); head.writeUInt32LE(content.length, 18); head.writeUInt16LE(file.length, 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), head, file, content]);
    const entry = Buffer.alloc(42);
    entry.writeUInt16LE(20, 0); head.copy(entry, 2); entry.writeUInt32LE(offset, 38);
    central.push(Buffer.concat([Buffer.from('PK\x01\x02'), entry, file]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(central.length, 4); end.writeUInt16LE(central.length, 6); end.writeUInt32LE(directory.length, 8); end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, directory, Buffer.from('PK\x05\x06'), end]);
}

/** 80 KB of code, of which a call uses little. */
function code() {
  let text = '';
  for (let n = 0; text.length < 80_000; n += 1) text += `exports.f${n} = (a, b) => { const c = [a, b].map((x) => x + ${n}); return c.join(','); };\n`;
  return `${text}exports.run = async ({ call }) => {
  if (!call.payload.ask) return { hello: call.payload.name };
  const answer = await __forge_fetch__({ type: 'fpp', provider: 'user', remote: 'jira' }, '/rest/api/3/issue/DEMO-1');
  return { status: answer.status, key: (await answer.json()).key };
};\n`;
}
const manifest = id => ({
  app: { id: `ari:cloud:ecosystem::app/${id}`, runtime: { name: 'nodejs22.x' } },
  modules: { 'jira:issuePanel': [{ key: 'panel', title: 'Panel', resolver: { function: 'run' } }], function: [{ key: 'run', handler: 'index.run' }] },
  permissions: { scopes: ['read:jira-work'] },
});

const milliseconds = () => Number(process.hrtime.bigint()) / 1e6;
const tree = root => {
  const children = readdirSync(`/proc/${root}/task`).flatMap(task => readFileSync(`/proc/${root}/task/${task}/children`, 'utf8').trim().split(' ').filter(Boolean));
  return [root, ...children.flatMap(tree)];
};
/** Processor time of the server and its workers, in milliseconds. */
const processor = () => tree(pid).reduce((sum, one) => { const fields = readFileSync(`/proc/${one}/stat`, 'utf8').split(') ')[1].split(' '); return sum + (Number(fields[11]) + Number(fields[12])) * 10; }, 0);
/** What of the memory is theirs: shared pages count once. */
const memory = () => tree(pid).reduce((sum, one) => sum + Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, 'utf8'))[1]) / 1024, 0);
const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
const spread = times => { const sorted = [...times].sort((a, b) => a - b); return `p50 ${at(sorted, 0.5).toFixed(2)} ms  p99 ${at(sorted, 0.99).toFixed(2)} ms`; };
const say = (what, figures) => console.log(`${what.padEnd(44)} ${figures}`);

const source = code();
async function deployed(name) {
  const { id } = await ask(ben, 'POST', `${forge}/apps`, { name });
  const began = milliseconds();
  const { uploadUrl } = await ask(ben, 'POST', `${forge}/apps/${id}/uploads`, {});
  await ask(ben, 'PUT', uploadUrl, archive({ 'manifest.yml': JSON.stringify(manifest(id)), 'index.cjs': source }));
  const made = await ask(ben, 'POST', `${forge}/apps/${id}/environments/default/deployments`, { artifactUrl: uploadUrl });
  if (made.status !== 'DONE') throw new Error(JSON.stringify(made));
  return { id, took: milliseconds() - began };
}
const install = async id => (await ask(ada, 'POST', `${forge}/installations`, { appId: id, environmentKey: 'default' })).id;
// An account has 500 requests in a second: three take turns, and then all wait.
const people = ['Ada', 'Ben', 'Cleo'].map(name => credential(person(name)));
let asked = 0;
const pause = () => new Promise(later => { setTimeout(later, 1100); });
const invoke = async (installation, payload) => {
  const answer = await ask(people[Math.floor(asked / 400) % people.length], 'POST', `${forge}/installations/${installation}/invoke`, { moduleKey: 'panel', payload });
  if (!answer.success) throw new Error(JSON.stringify(answer));
  return answer.body;
};

const before = memory();
const installations = [];
const deployments = [];
for (let n = 0; n < Number(appsWanted); n += 1) {
  const { id, took } = await deployed(`App ${n}`);
  deployments.push(took);
  installations.push(await install(id));
  if (process.stderr.isTTY && n % 50 === 0) process.stderr.write(`\r${n} apps`);
}
say('deployment of 80 KB', `${spread(deployments)}  (goal 1 s; of ${deployments.length})`);

async function measured(name, count, payload, goal) {
  await pause();
  for (let n = 0; n < 50; n += 1) await invoke(installations[0], payload);
  await pause();
  const times = [];
  const began = processor();
  for (let n = 0; n < count; n += 1) {
    asked += 1;
    if (asked % (400 * people.length) === 0) await pause();
    const start = milliseconds();
    await invoke(installations[0], payload);
    times.push(milliseconds() - start);
  }
  const spent = (processor() - began) / count;
  say(name, `${spread(times)}  processor ${spent.toFixed(3)} ms, ${Math.round(1000 / spent)}/s per core  (${goal})`);
  return at([...times].sort((a, b) => a - b), 0.5);
}
const hello = await measured('hello over HTTP, a fresh isolate each', 3000, { name: 'Ada' }, 'goal p50 0.15 ms, 5,000/s per core');
await measured('with one requestJira', 2000, { ask: true }, 'goal p50 0.5 ms');

await pause();
const cold = [];
for (const installation of installations.slice(1, 301)) {
  const start = milliseconds();
  await invoke(installation, { name: 'Ada' });
  cold.push(milliseconds() - start);
}
say('an app that nobody used yet, its code loaded', spread(cold));
// Workers of apps that are not used end after a while; the images stay as far as there is room.
await new Promise(later => { setTimeout(later, Number(process.env.IDLE_MS ?? 75_000)); });
say(`${installations.length} apps, idle`, `${memory().toFixed(0)} MB in ${tree(pid).length} processes, ${before.toFixed(0)} MB before  (goal 1,000 apps in 1 GB)`);

const node = [];
for (let n = 0; n < 20; n += 1) {
  const start = milliseconds();
  execFileSync(process.execPath, ['-e', 'console.log(JSON.stringify({ hello: "Ada" }))']);
  node.push(milliseconds() - start);
}
say('a Node.js process each', `${spread(node)}  ${(at([...node].sort((a, b) => a - b), 0.5) / hello).toFixed(0)} times hello`);
agent.destroy();
