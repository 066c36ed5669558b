//! An app's code in real workers, behind both walls.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_sandbox::{BuildError, Ended, Host, HostCall, Image, Limit, Limits, Pool, PoolConfig, Program};
use serde_json::{Value as Json, json};

/// Answers what a test says, and keeps the log.
#[derive(Default)]
struct TestHost {
    log: Mutex<Vec<String>>,
}

impl Host for TestHost {
    fn call(self: Arc<Self>, call: HostCall) -> Pin<Box<dyn Future<Output = Result<Json, String>> + Send>> {
        Box::pin(async move {
            match call.op.as_str() {
                "fetch" => Ok(
                    json!({"status": 200, "statusText": "OK", "headers": [["content-type", "application/json"]], "text": call.data.to_string()}),
                ),
                "forge_fetch" => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok(json!({"status": 404, "statusText": "", "headers": [], "text": "{\"code\":\"KEY_NOT_FOUND\"}"}))
                }
                other => Err(format!("there is no {other}")),
            }
        })
    }

    fn log(&self, line: &[u8]) {
        self.log.lock().unwrap().push(String::from_utf8_lossy(line).into_owned());
    }
}

fn pool(config: PoolConfig) -> Pool {
    let program = Program { path: env!("CARGO_BIN_EXE_sandbox-worker").into(), arguments: Vec::new() };
    Pool::new(program, PoolConfig { compare: true, spares: 0, ..config })
}

/// The script that carries an app of one file.
fn script(code: &str) -> String {
    format!(
        "__load({{ sources: {{ 'index.js': function (module, exports, require, __filename, __dirname) {{\n{code}\n}} }}, texts: {{}}, entries: {{ index: 'index.js' }}, variables: {{ KIND: 'plain' }} }});"
    )
}

fn message(name: &str, event: Json) -> Vec<u8> {
    let runtime = json!({"appContext": {"invocationId": "i"}});
    json!({"t": "invoke", "entry": "index", "name": name, "event": event, "context": {}, "runtime": runtime, "variables": {"KIND": "fresh"}})
        .to_string()
        .into_bytes()
}

async fn build(pool: &Pool, code: &str) -> Image {
    pool.build("app.js", &script(code), &Limits::default()).await.expect("the code loads")
}

async fn run(pool: &Pool, code: &str, event: Json) -> Ended {
    let image = build(pool, code).await;
    invoke(pool, &image, event, &Limits::default()).await
}

async fn invoke(pool: &Pool, image: &Image, event: Json, limits: &Limits) -> Ended {
    pool.invoke(image, 1, &message("run", event), limits, Arc::new(TestHost::default())).await.expect("a worker").ended
}

fn value(ended: Ended) -> Json {
    match ended {
        Ended::Returned(text) => serde_json::from_slice(&text).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_function_returns_what_it_computes() {
    let pool = pool(PoolConfig::default());
    let code = "exports.run = async (event) => ({ greeting: `Hello ${event.name}`, kind: process.env.KIND });";
    let returned = value(run(&pool, code, json!({"name": "Ada"})).await);
    assert_eq!(returned, json!({"greeting": "Hello Ada", "kind": "fresh"}));
    let walls = pool.walls().await.expect("a worker");
    assert!(walls.system_calls);
}

#[tokio::test]
async fn an_invocation_leaves_nothing_behind() {
    let pool = pool(PoolConfig::default());
    let code = "let count = 0; globalThis.seen ??= []; exports.run = (event) => { count++; seen.push(event.secret); Object.prototype.polluted = event.secret; Array.prototype.map = null; return { count, seen: [...seen], polluted: ({}).polluted }; };";
    let image = build(&pool, code).await;
    for secret in ["a", "b", "c"] {
        let returned = value(invoke(&pool, &image, json!({"secret": secret}), &Limits::default()).await);
        assert_eq!(returned, json!({"count": 1, "seen": [secret], "polluted": secret}));
    }
    assert_eq!(pool.idle(), 1, "one worker served all of them");
}

#[tokio::test]
async fn randomness_and_time_are_fresh_in_each_invocation() {
    let pool = pool(PoolConfig::default());
    let code = "exports.run = () => [Math.random(), crypto.randomUUID(), Date.now()];";
    let image = build(&pool, code).await;
    let first = value(invoke(&pool, &image, Json::Null, &Limits::default()).await);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = value(invoke(&pool, &image, Json::Null, &Limits::default()).await);
    for at in 0..3 {
        assert_ne!(first[at], second[at]);
    }
}

#[tokio::test]
async fn hosts_answer_and_timers_fire() {
    let pool = pool(PoolConfig::default());
    let code = r#"
        exports.run = async () => {
            const order = [];
            setTimeout(() => order.push('late'), 30);
            const stopped = setTimeout(() => order.push('never'), 1); clearTimeout(stopped);
            const [a, b] = await Promise.all([fetch('https://a.example/x', { method: 'POST', body: new URLSearchParams({ q: '1 2' }) }), __forge_fetch__({ type: 'kvs' }, '/api/v1/get', { method: 'POST', body: '{}' })]);
            order.push(b.status, (await b.json()).code);
            await new Promise((done) => setTimeout(done, 40));
            const sent = await a.json();
            return { order, url: sent.url, text: sent.text, type: sent.headers[0][1] };
        };"#;
    let returned = value(run(&pool, code, Json::Null).await);
    assert_eq!(
        returned,
        json!({"order": [404, "KEY_NOT_FOUND", "late"], "url": "https://a.example/x", "text": "q=1+2", "type": "application/x-www-form-urlencoded;charset=UTF-8"})
    );
}

#[tokio::test]
async fn what_an_app_throws_is_told_with_its_name() {
    let pool = pool(PoolConfig::default());
    let ended = run(&pool, "exports.run = () => { throw new RangeError('no'); };", Json::Null).await;
    let Ended::Threw(text) = ended else { panic!("{ended:?}") };
    let thrown: Json = serde_json::from_slice(&text).expect("JSON");
    assert_eq!((thrown["name"].as_str(), thrown["message"].as_str()), (Some("RangeError"), Some("no")));
    let ended = run(&pool, "exports.run = () => new Promise(() => {});", Json::Null).await;
    assert!(matches!(ended, Ended::Stalled), "{ended:?}");
    let ended = run(
        &pool,
        "exports.run = () => new Promise(() => setTimeout(() => { throw new Error('late'); }, 1));",
        Json::Null,
    )
    .await;
    assert!(matches!(&ended, Ended::Uncaught(text) if text.contains("late")), "{ended:?}");
}

#[tokio::test]
async fn code_that_does_not_load_says_why() {
    let pool = pool(PoolConfig::default());
    for (code, why) in [
        ("throw new Error('at load');", "at load"),
        ("exports.run = (", "SyntaxError"),
        ("require('left-pad');", "Cannot find module 'left-pad'"),
        ("fetch('https://a.example/');", "calls the host while it is loaded"),
    ] {
        match pool.build("app.js", &script(code), &Limits::default()).await {
            Err(BuildError::Code(said)) => assert!(said.contains(why), "{code}: {said}"),
            other => panic!("{code}: {other:?}"),
        }
    }
    let limits = Limits::default();
    assert!(matches!(pool.build("app.js", &script("for (;;) {}"), &limits).await, Err(BuildError::Limit(Limit::Cpu))));
}

#[tokio::test]
async fn every_limit_ends_the_invocation_and_nothing_else() {
    let pool = pool(PoolConfig::default());
    let limits = Limits {
        cpu: Duration::from_millis(200),
        wall: Duration::from_millis(1_500),
        heap_bytes: 64 << 20,
        message_bytes: 1 << 20,
        host_calls: 10,
        ..Limits::default()
    };
    let cases = [
        ("for (;;) {}", Limit::Cpu),
        ("/^(a+)+$/.test('a'.repeat(40) + 'b')", Limit::Cpu),
        ("try { for (;;) {} } catch { return 1; } finally { for (;;) {} }", Limit::Cpu),
        ("await new Promise((r) => setTimeout(r, 60000))", Limit::Wall),
        ("return 'x'.repeat(2 << 20)", Limit::Message),
        ("for (;;) await fetch('https://a.example/')", Limit::HostCalls),
    ];
    for (code, expected) in cases {
        let image = build(&pool, &format!("exports.run = async () => {{ {code}; }};")).await;
        let ended = invoke(&pool, &image, Json::Null, &limits).await;
        assert!(matches!(ended, Ended::Limited(limit) if limit == expected), "{code}: {ended:?}");
    }
    // Running out of memory is an exception, which an app may catch.
    let image =
        build(&pool, "exports.run = () => { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); };")
            .await;
    match invoke(&pool, &image, Json::Null, &limits).await {
        Ended::Threw(text) => assert!(String::from_utf8_lossy(&text).contains("out of memory")),
        Ended::Limited(Limit::Memory) => {}
        other => panic!("{other:?}"),
    }
    // Deep recursion too.
    let image = build(
        &pool,
        "const f = (n) => f(n + 1) + 1; exports.run = () => { try { return f(0); } catch (e) { return e.name; } };",
    )
    .await;
    assert_eq!(value(invoke(&pool, &image, Json::Null, &limits).await), "RangeError");
}

#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    let pool = pool(PoolConfig::default());
    let image =
        build(&pool, "exports.run = () => { for (let n = 0; n < 1000; n++) console.log('x'.repeat(1000)); };").await;
    let host = Arc::new(TestHost::default());
    let limits = Limits { log_bytes: 10_000, ..Limits::default() };
    let invocation =
        pool.invoke(&image, 1, &message("run", Json::Null), &limits, Arc::clone(&host)).await.expect("a worker");
    assert!(matches!(invocation.ended, Ended::Returned(_)));
    assert_eq!(host.log.lock().unwrap().len(), 9);
    assert_eq!(invocation.usage.log_lines_dropped, 991);
}

#[tokio::test]
async fn tenants_never_share_a_worker() {
    let pool = pool(PoolConfig::default());
    let image = build(&pool, "exports.run = () => 1;").await;
    for tenant in 1..=3 {
        let host = Arc::new(TestHost::default());
        pool.invoke(&image, tenant, &message("run", Json::Null), &Limits::default(), host).await.expect("a worker");
    }
    assert_eq!(pool.idle(), 3);
    pool.forget(&image);
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn nodes_modules_work_or_say_that_they_do_not() {
    let pool = pool(PoolConfig::default());
    let code = r#"
        const { createHmac, createHash, timingSafeEqual } = require('node:crypto');
        const { AsyncLocalStorage } = require('async_hooks');
        const refused = (run) => { try { run(); return null; } catch (error) { return error.message; } };
        exports.run = async () => {
            const storage = new AsyncLocalStorage();
            const stored = await storage.run(7, async () => { await null; return storage.getStore(); });
            const url = new URL('../b?x=1', 'https://Example.com:443/a/c');
            url.searchParams.append('y', 'ä b'); url.hash = 'h';
            return {
                hmac: createHmac('sha256', 'Jefe').update('what do ya want for nothing?').digest('hex').slice(0, 8),
                sha: createHash('sha1').update('').digest('hex').slice(0, 8),
                equal: timingSafeEqual(Buffer.from('a'), Buffer.from('a')),
                stored, href: url.href, base64: Buffer.from('héllo').toString('base64'), text: new TextDecoder().decode(new TextEncoder().encode('€')),
                path: require('path').join('/a', '..', 'b'), format: require('util').format('%s-%d', 'a', 1),
                zip: require('zlib').inflateSync(require('zlib').deflateSync(Buffer.from('abc'))).toString(),
                clone: structuredClone({ a: [new Date(0)] }).a[0] instanceof Date,
                streamed: await new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('s')); c.close(); } })).text(),
                refused: [refused(() => require('child_process').exec('id')), refused(() => require('fs').writeFileSync('/x', '')), refused(() => require('net').connect(1))],
                missing: refused(() => require('sqlite3')),
            };
        };"#;
    let returned = value(run(&pool, code, Json::Null).await);
    assert_eq!(
        returned,
        json!({
            "hmac": "5bdcc146", "sha": "da39a3ee", "equal": true, "stored": 7, "href": "https://example.com/b?x=1&y=%C3%A4+b#h",
            "base64": "aMOpbGxv", "text": "€", "path": "/b", "format": "a-1", "zip": "abc", "clone": true, "streamed": "s",
            "refused": [
                "child_process.exec is not available to apps: they have no processes here.",
                "fs.writeFileSync is not available to apps: they have no files here.",
                "net.connect is not available to apps: they have no network here.",
            ],
            "missing": "Cannot find module 'sqlite3'",
        })
    );
}
