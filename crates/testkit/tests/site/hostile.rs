//! A hundred hostile programs as an app's code: each is contained, named in the log, and leaves the server and the next invocation unharmed.
//!
//! They run by `eval` in an app that is let do that: nothing in the sandbox depends on what code can say.

use portcullis_testkit::forge::{ForgeApp, invoke, manifest};
use portcullis_testkit::world::{Engine, World};
use serde_json::{Value as Json, json};

const APP: &str = "exports.run = ({ call: { payload } }) => payload.code === undefined ? 'hello' : (0, eval)('(async () => {' + payload.code + '})()'); exports.hook = () => null;";

/// What has to come of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A bound ends it, or it throws.
    Ends,
    /// It runs to its end and got nothing: `null` or `undefined`, `false`, or a list of refusals.
    Nothing,
    /// Either.
    Any,
}
use Fate::{Any, Ends, Nothing};

/// Processor time, memory, stack.
const EXHAUSTING: &[(&str, Fate)] = &[
    ("for (;;) {}", Ends),
    ("while (true) { try { for (;;) {} } catch {} finally { continue } }", Ends),
    ("await new Promise(() => {})", Ends),
    ("const f = () => Promise.resolve().then(f); await f()", Ends),
    ("const f = () => queueMicrotask(f); f(); await new Promise(() => {})", Ends),
    ("const f = async () => { for (;;) await null }; await f()", Ends),
    ("/^(a+)+$/.test('a'.repeat(50) + 'b')", Ends),
    ("/(x+x+)+y/.test('x'.repeat(60))", Ends),
    ("/^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(60))", Ends),
    ("'a'.repeat(100000).replace(/(a|a)*b/g, '')", Ends),
    ("new Array(5e7).fill(0).map(Math.random).sort()", Ends),
    ("let s = 'x'; for (;;) s += s", Ends),
    ("const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1))", Ends),
    ("const all = []; for (;;) all.push({ all })", Ends),
    ("const m = new Map(); for (let n = 0; ; n++) m.set(n, 'x'.repeat(1000) + n)", Ends),
    ("new ArrayBuffer(2 ** 40)", Ends),
    ("'x'.repeat(2 ** 29)", Ends),
    ("const f = (n) => f(n + 1) + 1; f(0)", Ends),
    ("const a = []; a[0] = a; JSON.stringify(a)", Ends),
    ("let deep = []; for (let n = 0; n < 1e6; n++) deep = [deep]; return JSON.stringify(deep)", Ends),
    ("JSON.parse('['.repeat(1e6))", Ends),
    ("eval('('.repeat(1e6))", Ends),
    ("new RegExp('('.repeat(1e5))", Ends),
    ("new Function('a'.repeat(10) + '=>'.repeat(1e5))", Ends),
    ("const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x", Ends),
    ("const o = { toString() { return String(o) } }; String(o)", Ends),
    (
        "class A extends Array { static get [Symbol.species]() { return A } }; let a = new A(1e6).fill(1); for (;;) a = a.map((x) => x)",
        Ends,
    ),
    ("const g = (function* () { for (;;) yield 1 })(); [...g]", Ends),
    ("BigInt('9'.repeat(1e6)) ** 1000n", Ends),
    ("let b = 2n; for (;;) b *= b", Ends),
    ("for (;;) structuredClone(new Array(1e5).fill({}))", Ends),
    ("for (;;) crypto.getRandomValues(new Uint8Array(65536))", Ends),
    ("const { createHash } = require('crypto'); for (;;) createHash('sha512').update('x'.repeat(1e6)).digest()", Ends),
    ("for (;;) new URL('https://a.example/' + 'x'.repeat(1e5))", Ends),
    ("require('zlib').inflateSync(Buffer.alloc(1e6, 255))", Ends),
    ("for (let n = 0; n < 1e6; n++) setTimeout(() => {}, 1e9); await new Promise(() => {})", Ends),
    ("setInterval(() => { for (;;) {} }, 1); await new Promise(() => {})", Ends),
    ("new WeakRef({}); new FinalizationRegistry(() => { for (;;) {} }).register({}, 1); for (;;) new Array(1e5)", Ends),
    ("throw null", Ends),
    ("throw { get message() { for (;;) {} } }", Ends),
    ("throw { name: 'x'.repeat(1e7), message: 'y'.repeat(1e7) }", Ends),
    ("throw Object.assign(new Error('x'), { stack: 'z'.repeat(2e7) })", Ends),
    ("return 'x'.repeat(1e7)", Ends),
    ("return { toJSON() { for (;;) {} } }", Ends),
    ("return { get x() { throw new Error('later') } }", Ends),
    ("return 10n", Ends),
    ("for (;;) console.log('x'.repeat(1e5))", Ends),
    ("for (let n = 0; n < 1e5; n++) console.log(n); return null", Any),
    ("for (;;) await fetch('https://evil.example/')", Ends),
    (
        "await Promise.all(Array.from({ length: 5000 }, () => __forge_fetch__({ type: 'kvs' }, '/api/v1/get', { method: 'POST', body: '{}' })))",
        Ends,
    ),
    ("await __forge_fetch__({ type: 'kvs' }, '/api/v1/set', { method: 'POST', body: 'x'.repeat(2e7) })", Ends),
];

/// The engine, the globals and the prelude.
const PRYING: &[(&str, Fate)] = &[
    (
        "return globalThis.__send ?? globalThis.__ask ?? globalThis.__load ?? globalThis.__modules ?? globalThis.__on_message ?? null",
        Nothing,
    ),
    ("return (function () { return this })().__send ?? null", Nothing),
    ("return new Function('return typeof __send')() === 'undefined' ? null : 1", Nothing),
    (
        "return Object.getOwnPropertyNames(globalThis).filter((name) => /^__(send|ask|load|on|modules)/.test(name))",
        Nothing,
    ),
    (
        "return typeof SharedArrayBuffer === 'undefined' && typeof Atomics === 'undefined' && typeof WebAssembly === 'undefined' ? null : 1",
        Nothing,
    ),
    (
        "return typeof std === 'undefined' && typeof os === 'undefined' && typeof scriptArgs === 'undefined' ? null : 1",
        Nothing,
    ),
    ("try { await import('std') } catch { return null }", Nothing),
    ("try { await import('/etc/passwd') } catch { return null }", Nothing),
    ("try { await import('file:///etc/passwd') } catch { return null }", Nothing),
    ("try { require('/etc/passwd') } catch { return null }", Nothing),
    ("try { require('../../etc/passwd') } catch { return null }", Nothing),
    ("try { return require('fs').readFileSync('/etc/passwd', 'utf8') } catch { return null }", Nothing),
    ("try { return require('fs').readFileSync('../../../../etc/passwd', 'utf8') } catch { return null }", Nothing),
    ("try { return require('fs').readFileSync('/proc/self/environ', 'utf8') } catch { return null }", Nothing),
    ("try { return await require('fs').promises.readFile('/proc/self/maps', 'utf8') } catch { return null }", Nothing),
    ("try { require('fs').writeFileSync('/tmp/x', 'x') } catch { return null }", Nothing),
    ("try { require('child_process').execSync('id') } catch { return null }", Nothing),
    ("try { require('net').connect(22) } catch { return null }", Nothing),
    ("try { require('dns').lookup('evil.example') } catch { return null }", Nothing),
    ("try { require('vm').runInThisContext('1') } catch { return null }", Nothing),
    ("try { process.binding('fs') } catch { return null }", Nothing),
    ("try { process.exit(0) } catch { return null }", Nothing),
    ("try { process.kill(1) } catch { return null }", Nothing),
    ("return Object.keys(process.env)", Nothing),
    ("return __forge_runtime__.proxy.token", Any),
    ("__forge_runtime__.appContext.installationId = 'other'; return null", Nothing),
    ("Object.prototype.then = (done) => done('polluted'); return {}", Any),
    ("Object.prototype.toJSON = () => 'polluted'; return null", Any),
    ("Array.prototype.push = () => { throw 1 }; console.log('x'); return null", Any),
    ("JSON.stringify = () => '{\"id\":1}'; JSON.parse = () => { throw 1 }; console.log(1); return null", Any),
    ("Promise.prototype.then = () => {}; return null", Any),
    ("globalThis.Promise = null; globalThis.Map = null; return null", Any),
    ("Map.prototype.get = () => ({ resolve() {}, reject() {} }); await fetch('https://evil.example/')", Any),
    ("String.prototype.charCodeAt = () => 0; return null", Any),
    (
        "Object.defineProperty(Object.prototype, 'headers', { get() { throw 1 } }); await fetch('https://evil.example/')",
        Any,
    ),
    ("Symbol.prototype[Symbol.toPrimitive] = null; return null", Any),
    ("Error.prepareStackTrace = () => { for (;;) {} }; throw new Error('x')", Ends),
    ("const b = Buffer.allocUnsafe(1 << 20); return b.every((byte) => byte === 0) ? null : 1", Any),
    ("const a = new Uint32Array(8); return a[2 ** 30] ?? null", Nothing),
    ("const d = new DataView(new ArrayBuffer(8)); try { return d.getUint32(2 ** 31) } catch { return null }", Nothing),
    (
        "const a = new ArrayBuffer(8); const v = new Uint8Array(a); structuredClone(a, { transfer: [a] }); return v[0] ?? null",
        Any,
    ),
    ("const a = [1.1, 2.2]; const o = { valueOf() { a.length = 0; return 1 } }; a.splice(o, 1, 3); return null", Any),
    ("const a = []; a.length = 2 ** 32 - 1; a.sort(); return null", Any),
    (
        "const r = /a/g; r.lastIndex = { valueOf() { r.compile('b'.repeat(1e5)); return 0 } }; r.exec('aaa'); return null",
        Any,
    ),
    ("'abc'.replace(/b/, () => { throw new Error('inside') })", Ends),
    ("[3, 1, 2].sort(() => { throw new Error('inside') })", Ends),
    ("new Proxy([], { get() { return [] } }).map((x) => x); return null", Any),
    ("const it = { [Symbol.iterator]() { return { next: () => ({ done: false, value: 1 }) } } }; new Set(it)", Ends),
];

/// Calls to the server in the wrong words.
const FORGING: &[(&str, Fate)] = &[
    (
        "return (await __forge_fetch__({ type: 'fpp', provider: 'user', remote: 'jira', accountId: 'admin' }, '/rest/api/3/myself')).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'fpp', provider: 'operator', remote: 'jira' }, '/rest/api/3/myself')).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'fpp', provider: ['app'], remote: 'jira' }, '/rest/api/3/users/search')).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'fpp', provider: 'app', remote: 'jira', installation: 1 }, '/rest/api/3/serverInfo/../../../admin')).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'fpp', provider: 'app', remote: 'jira' }, '/rest/api/3/issue/VAULT-1', { headers: { authorization: 'Basic eDp4', cookie: 'portcullis_session=x' } })).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'fpp', provider: 'app', remote: 'jira' }, '/rest/api/3/issue/VAULT-1', { headers: { 'x-forwarded-for': '127.0.0.1', host: 'x' } })).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'kvs', provider: 'app', remote: 'kvs' }, '/api/v1/../../../management')).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'kvs', installation: 1 }, '/api/v1/get', { method: 'POST', body: JSON.stringify({ key: 'a', installation: 1 }) })).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'kvs' }, '/api/v1/get', { method: 'TRACE' })).status < 300 ? 1 : null",
        Nothing,
    ),
    (
        "return (await __forge_fetch__({ type: 'sql' }, '/api/v1/execute', { method: 'POST', body: '{}' })).status < 300 ? 1 : null",
        Nothing,
    ),
    ("return (await __forge_fetch__(null, null)).status < 300 ? 1 : null", Any),
    (
        "try { return (await __forge_fetch__({ type: 'fpp', provider: 'app', remote: 'jira' }, '/rest/api/3/issue/DEMO-1\\r\\nX: y')).status < 300 ? 1 : null } catch { return null }",
        Nothing,
    ),
    ("return (await fetch('https://evil.example/')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('http://127.0.0.1:22/')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('http://169.254.169.254/latest/meta-data/')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('http://[::1]/')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('http://0x7f000001/')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('file:///etc/passwd')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('data:text/plain,x')).status < 300 ? 1 : null", Nothing),
    ("return (await fetch('gopher://evil.example/')).status < 300 ? 1 : null", Nothing),
    (
        "try { await fetch('https://evil.example/', { headers: { 'x': 'a\\r\\nhost: b' } }) } catch { return null }",
        Nothing,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_hostile_programs_are_contained_and_named_in_the_log() {
    let world = World::start(Engine::Sqlite).await;
    let (app, id) = ForgeApp::installed(&world, manifest(&["read:jira-work", "storage:app"], &[]), APP).await;
    let programs: Vec<_> = [EXHAUSTING, PRYING, FORGING].concat();
    assert!(programs.len() >= 100, "{}", programs.len());
    let mut escaped = Vec::new();
    for (code, fate) in &programs {
        let answer = invoke(&world, "Cleo", &id, None, json!({"code": code})).await;
        assert_eq!(answer.status, 200, "{code}: {}", answer.text);
        let answer = answer.json();
        let ended = answer["success"] == json!(false);
        let nothing = match &answer["body"] {
            Json::Null | Json::Bool(false) => true,
            Json::Array(list) => list.is_empty(),
            _ => false,
        };
        let fits = match fate {
            Ends => ended,
            Nothing => !ended && nothing,
            Any => true,
        };
        // What came before it left nothing behind.
        let next = invoke(&world, "Cleo", &id, None, json!({})).await.json();
        assert_eq!(next["body"], "hello", "after {code}");
        let log = app.log(&world).await;
        let entry = log.iter().find(|entry| entry["invocationId"] == answer["invocationId"]).unwrap_or(&Json::Null);
        let named = entry["outcome"].is_string() && entry["outcome"] != "crashed";
        if !(fits && named) {
            let answer: String = answer.to_string().chars().take(300).collect();
            escaped.push(format!("{code}: {fate:?}, but {} {answer}", entry["outcome"]));
        }
    }
    assert!(escaped.is_empty(), "{}", escaped.join("\n"));
    assert_eq!(world.by("Ada").get("/rest/api/3/myself").await.status, 200);
}
