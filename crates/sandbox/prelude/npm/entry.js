// What Node's modules are here: kept libraries. ../prelude.js adds the rest, and hands them out by name.
const g = globalThis;
g.global = g;
g.process = {
  env: {}, argv: ['node'], execArgv: [], version: 'v22.0.0', versions: { node: '22.0.0' }, platform: 'linux', arch: 'x64', pid: 1, browser: false,
  title: 'node', exitCode: undefined, release: { name: 'node' }, features: {},
  cwd: () => '/', nextTick: (f, ...a) => queueMicrotask(() => f(...a)), hrtime: Object.assign(() => [0, 0], { bigint: () => 0n }),
  uptime: () => 0, memoryUsage: () => ({ rss: 0, heapTotal: 0, heapUsed: 0, external: 0, arrayBuffers: 0 }),
  emitWarning() {}, on() { return this; }, once() { return this; }, off() { return this; }, emit: () => false, removeListener() { return this; },
  listeners: () => [], exit() { throw new Error('process.exit is not available to apps'); },
};
require('fast-text-encoding');
const buffer = require('buffer');
g.Buffer = buffer.Buffer;
const targets = require('event-target-shim');
g.EventTarget = targets.EventTarget;
g.Event = targets.Event;
require('./abort.js');
const streams = require('web-streams-polyfill');
for (const name of Object.keys(streams)) g[name] = streams[name];
// The clock of timers is ../prelude.js's; modules that keep one at load time find a function that leads there.
for (const name of ['setTimeout', 'setImmediate', 'setInterval', 'clearTimeout', 'clearImmediate', 'clearInterval']) {
  const early = (...args) => (g[name] === early ? 0 : g[name](...args));
  g[name] = early;
}
const structuredClone = require('@ungap/structured-clone').default;
g.structuredClone = (value) => structuredClone(value, { lossy: false });
g.__modules = {
  assert: require('assert'), buffer, events: require('events'), path: require('path-browserify'), punycode: require('punycode'),
  querystring: require('querystring-es3'), stream: require('readable-stream'), string_decoder: require('string_decoder'),
  url: require('url'), util: require('util'), zlib: require('browserify-zlib'),
};
