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
async fn a_busy_tenant_leaves_workers_to_others() {
    let pool = pool(PoolConfig { workers_max: 2, tenant_workers_max: 1, ..PoolConfig::default() });
    let image =
        build(&pool, "exports.run = (event) => new Promise((done) => setTimeout(() => done(event), event));").await;
    let ask = |tenant, ms: u64| {
        let (pool, image) = (pool.clone(), image.clone());
        tokio::spawn(async move {
            let (limits, host) = (Limits::default(), Arc::new(TestHost::default()));
            value(pool.invoke(&image, tenant, &message("run", json!(ms)), &limits, host).await.expect("a worker").ended)
        })
    };
    let busy = [ask(1, 3_000), ask(1, 3_001), ask(1, 3_002)];
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ask(2, 1).await.unwrap(), json!(1));
    assert!(busy.iter().all(|one| !one.is_finished()), "nobody waited for those");
}

#[tokio::test]
async fn bodies_are_read_as_text_and_as_bytes_and_once() {
    let code = r#"
        exports.run = async () => {
            const text = 'aä€😀'.repeat(40);
            const bytes = Buffer.from(text);
            const of = () => new Response(text);
            const streamed = [];
            for await (const part of of().body) streamed.push(Buffer.from(part));
            const twice = of();
            await twice.text();
            const cloned = of();
            const copy = cloned.clone();
            const sent = await (await fetch('https://a.example', { method: 'POST', body: text + '\ud800' })).json();
            return {
                array: Buffer.from(await of().arrayBuffer()).equals(bytes), blob: (await of().blob()).size === bytes.length,
                bytes: Buffer.from(await of().bytes()).toString() === text, streamed: Buffer.concat(streamed).toString() === text,
                twice: await twice.text().catch((error) => error.message), clone: [await cloned.text(), await copy.text()].every((one) => one === text),
                binary: Buffer.from(await new Response(Buffer.from([255, 254, 0])).arrayBuffer()).toString('hex'),
                broken: Buffer.from([...Buffer.alloc(80, 97), 255]).toString().endsWith('a\ufffd'), marked: await new Response('\ufeffx').text(),
                request: await new Request('https://a.example', { method: 'POST', body: new URLSearchParams({ a: 'b c' }) }).text(),
                sent: sent.text === text + '\ufffd',
            };
        };"#;
    let expected = json!({
        "array": true, "blob": true, "bytes": true, "streamed": true, "twice": "Body is unusable: Body has already been read",
        "clone": true, "binary": "fffe00", "broken": true, "marked": "x", "request": "a=b+c", "sent": true,
    });
    assert_eq!(value(run(&pool(PoolConfig::default()), code, Json::Null).await), expected);
}

/// Keys made by OpenSSL for this test: whoever has them has nothing.
const KEYS: &str = r#"
const rsa = `-----BEGIN PRIVATE KEY-----
MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCwjQocGSKWUwHD
pFlvVaOkDjchmW7VAFdxNGTglJvvzUbn4wUMKjMvBMyiImXSo5HOB7XUmz0reoss
l6uvYLcHW42c9MYdLS1zdUbB5UiJj4hwLp1KjxQoMa/2CnJJNGMjYcy1PZ8myATj
BimRjitgzHkQDjcnMl1h0h5uIVI09SHu5qG29FTDjOSQ6yHqP+YmF4W/sd5d6IpN
qHXerU8bjJLpMl06kEO1X7O8w2mIe6GxG9OhBgnwqQHtmv0RTT6L2zj9IfXtdyf7
osYEjKyi9luez0BbVApGCtYs9hzVtlCQSryQL4KOyFwJ5qT9yhjWesLPnrUuneN1
WshyGQvRAgMBAAECggEAAsrtrVgbG0mg2NlmrhjVXSj5vPGntn1/j0OG56Pc0O7s
VOAFxRV9zcaY/g+RO22+8Vq0iPJpBfZgRopM+u81YKEVcmAk1Mf8KhFhgdEAqWcN
1MhypdVG5QPe3AN6SfzRfKPKuyszCJ1YBnH4glw/WhP3Q5vAn5bFB2EYKMx6Imr0
zaRHVgPv7YWRCyNkm0+rdydXVBR78ja1GxPKyXsIUtp+spik7EUybXRAhPmlZnly
Vl3oGCXKLFKsb+rYT0B5n6xUIYAxAWOpY6VVJqp+jsvGEjcI8wbnwlIOBQ753yTq
Bajp6T1/6bHShi6YbtJ4hMkY2A9/jS6ga6YZDYFYyQKBgQDu1iqmi7SDR5VHp/D3
MIPjvMi9GpTVQy/Y6r0MSYyxSWDpefB9tQCq6amohoChxjEXTpr108b01+rtFeGI
sw7T55hx4ENJAWQltChjhYBo4dYQ4crlb7CsAqgqc9wdiPgAKF+CwEsYJtp2FuI7
gB69zjD5F4kvg6TFTX5TvwHp7wKBgQC9PQPZBJN26Bbq73RisMau57WPALGwsLPs
DERYo/0azbAiqYjIaYtPC5WeQMGeE+c7kq4GndyN6Ev4Nzj8qHaA/qeUcuRQAna/
R/VU1RKMM8qifTJUJ8ObM/THRUkENYBKLEGZGE94RO2t+VNyhlYTRcpKgNky2wBL
ho9meYkmPwKBgD1rynAmQXf5csSIxglr6p8or58iNOBbdPSd+ZwtVgdJzah9eYF6
iP9rM/xpCq+P3pQV3PgXTHUvCfWKyQN0uP1589RlTih6OR0RJcniTVGrsneI+brj
bFXwIPs57IOT8+NmfpmLhkRhyZDQ9cFDg6RgYGvOx7L2cetjsHctCfr1AoGAK4ju
6q0/05ofM5s09kNe4fwSa7yoJFLygXps+st3PgRV4hOIkTqevueWWxrgsCI6Dx12
hbUpeUgYuhjSNmX3JUPwf5lS5wk6ElVWnlaKdtCvbGRLAMtJF9qDFJje7GX2hpnZ
2YObPLr2xxBV30ICaVqj6DHuReHWFon1UYjiQXcCgYB+WSH/aVKc3Z7Vk8xCcHiP
2XkGKK3yb8b0vFMye8EQ+1R1hTSLN0xdrVBrKarpWxofF60op5Yiov1gyU+QwsCM
GwHgxDSSN9tqmNQHVJ65LQLzNhWQyBBM0kmhUDeqCh6nogzTaaTygvctFc+0CPth
rCvuO8YSnhmYNgLQqdGQ1A==
-----END PRIVATE KEY-----`;
const ec = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIHJcYJI41FOD/UbIlAqx9+44yhygeh6tkW4HPhoqULgUoAoGCCqGSM49
AwEHoUQDQgAEUzsiCaA3xEP7786gY2xXUmw/Q7fSaPVU9+LcSAWXWiQz7yZ/oPSX
O72O0NyEXme3vL3hwr57V3ffSu7ac9MCQw==
-----END EC PRIVATE KEY-----`;
const ed = `-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIKkExk0mgdy37PPfqevVpoEi+Ra4rZkMdFJ8h3itHFJS
-----END PRIVATE KEY-----`;
"#;

#[tokio::test]
async fn keys_sign_and_verify_as_in_node_and_on_the_web() {
    let code = format!(
        "{KEYS}{}",
        r#"
        const crypto = require('node:crypto');
        exports.run = async () => {
            const out = {};
            for (const [name, hash, pem] of [['rsa', 'RSA-SHA256', rsa], ['ec', 'sha256', ec]]) {
                const publicKey = crypto.createPublicKey(pem);
                const spki = publicKey.export({ type: 'spki', format: 'pem' });
                const signature = crypto.createSign(hash).update('a').update('b').sign(pem, 'base64');
                const check = (text, key, sig) => crypto.createVerify(hash).update(text).verify(key, sig, 'base64');
                const jwk = publicKey.export({ format: 'jwk' });
                const fixed = crypto.sign('sha256', Buffer.from('ab'), { key: pem, dsaEncoding: 'ieee-p1363' });
                out[name] = [
                    check('ab', spki, signature), check('ac', spki, signature), check('ab', publicKey, signature),
                    check('ab', { key: jwk, format: 'jwk' }, signature), publicKey.asymmetricKeyType,
                    crypto.verify('sha256', Buffer.from('ab'), { key: spki, dsaEncoding: 'ieee-p1363' }, fixed), jwk.kty,
                ];
            }
            out.bits = crypto.createPrivateKey(rsa).asymmetricKeyDetails.modulusLength;
            const pss = { key: rsa, padding: crypto.constants.RSA_PKCS1_PSS_PADDING };
            out.pss = crypto.verify('sha256', Buffer.from('m'), pss, crypto.sign('sha256', Buffer.from('m'), pss));
            const edSignature = crypto.sign(null, Buffer.from('m'), ed);
            out.ed = [crypto.verify(null, Buffer.from('m'), crypto.createPublicKey(ed), edSignature), crypto.verify(null, Buffer.from('n'), crypto.createPublicKey(ed), edSignature)];
            const der = Buffer.from(rsa.replace(/-----[A-Z ]+-----|\s/g, ''), 'base64');
            const name = 'RSASSA-PKCS1-v1_5';
            const key = await crypto.subtle.importKey('pkcs8', der, { name, hash: 'SHA-256' }, false, ['sign']);
            const signed = await crypto.subtle.sign(name, key, Buffer.from('web'));
            const jwk = { ...crypto.createPublicKey(rsa).export({ format: 'jwk' }), alg: 'RS256' };
            const verifying = await crypto.subtle.importKey('jwk', jwk, { name, hash: 'SHA-256' }, false, ['verify']);
            out.web = [await crypto.subtle.verify(name, verifying, signed, Buffer.from('web')), await crypto.subtle.verify(name, verifying, signed, Buffer.from('wed'))];
            out.refused = [];
            for (const wrong of ['plain secret', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----', { key: { kty: 'teapot' }, format: 'jwk' }]) {
                try { crypto.createPublicKey(wrong); out.refused.push('taken'); } catch { out.refused.push('refused'); }
            }
            return out;
        };"#
    );
    let expected = json!({
        "rsa": [true, false, true, true, "rsa", true, "RSA"],
        "ec": [true, false, true, true, "ec", true, "EC"],
        "bits": 2048, "pss": true, "ed": [true, false], "web": [true, false],
        "refused": ["refused", "refused", "refused"],
    });
    assert_eq!(value(run(&pool(PoolConfig::default()), &code, Json::Null).await), expected);
}

#[tokio::test]
async fn ciphers_and_derived_keys_are_those_of_the_standards() {
    let code = r#"
        const crypto = require('crypto');
        exports.run = async () => {
            const out = {};
            // NIST SP 800-38A, F.2.1 and F.5.1; McGrew and Viega's test case 4 for GCM.
            const key = Buffer.from('2b7e151628aed2a6abf7158809cf4f3c', 'hex');
            const plain = Buffer.from('6bc1bee22e409f96e93d7e117393172a', 'hex');
            const cbc = crypto.createCipheriv('aes-128-cbc', key, Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'));
            cbc.setAutoPadding(false);
            out.cbc = cbc.update(plain, null, 'hex') + cbc.final('hex');
            const ctr = crypto.createCipheriv('aes-128-ctr', key, Buffer.from('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff', 'hex'));
            out.ctr = ctr.update(plain, null, 'hex') + ctr.final('hex');
            const gcm = crypto.createCipheriv('aes-128-gcm', Buffer.from('feffe9928665731c6d6a8f9467308308', 'hex'), Buffer.from('cafebabefacedbaddecaf888', 'hex'));
            gcm.setAAD(Buffer.from('feedfacedeadbeeffeedfacedeadbeefabaddad2', 'hex'));
            gcm.update(Buffer.from('d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39', 'hex'));
            gcm.final();
            out.tag = gcm.getAuthTag().toString('hex');
            const open = (tag) => {
                const decipher = crypto.createDecipheriv('aes-256-gcm', Buffer.alloc(32, 7), Buffer.alloc(12, 1));
                decipher.setAuthTag(tag);
                return decipher.update(sealed, null, 'utf8') + decipher.final('utf8');
            };
            const cipher = crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32, 7), Buffer.alloc(12, 1));
            const sealed = Buffer.concat([cipher.update('quiet', 'utf8'), cipher.final()]);
            out.opened = open(cipher.getAuthTag());
            try { open(Buffer.alloc(16)); out.forged = 'opened'; } catch (error) { out.forged = error.message; }
            // RFC 7914, section 11, and RFC 5869, A.1.
            out.pbkdf2 = crypto.pbkdf2Sync('passwd', 'salt', 1, 64, 'sha256').toString('hex').slice(0, 16);
            out.hkdf = Buffer.from(crypto.hkdfSync('sha256', Buffer.alloc(22, 11), Buffer.from('000102030405060708090a0b0c', 'hex'), Buffer.from('f0f1f2f3f4f5f6f7f8f9', 'hex'), 42)).toString('hex').slice(0, 16);
            try { crypto.pbkdf2Sync('a', 'b', 1e9, 8, 'sha256'); out.endless = 'ran'; } catch (error) { out.endless = 'refused'; }
            const web = await crypto.webcrypto.subtle.importKey('raw', Buffer.alloc(32, 7), 'AES-GCM', false, ['encrypt', 'decrypt']);
            const iv = Buffer.alloc(12, 1);
            const box = await crypto.webcrypto.subtle.encrypt({ name: 'AES-GCM', iv }, web, Buffer.from('quiet'));
            out.same = Buffer.from(box).toString('hex') === Buffer.concat([sealed, cipher.getAuthTag()]).toString('hex');
            out.web = Buffer.from(await crypto.webcrypto.subtle.decrypt({ name: 'AES-GCM', iv }, web, box)).toString();
            return out;
        };"#;
    let expected = json!({
        "cbc": "7649abac8119b246cee98e9b12e9197d", "ctr": "874d6191b620e3261bef6864990db6ce",
        "tag": "5bc94fbc3221a5db94fae95ae7121a47", "opened": "quiet",
        "forged": "Unsupported state or unable to authenticate data", "pbkdf2": "55ac046e56e3089f",
        "hkdf": "3cb25f25faacd57a", "endless": "refused", "same": true, "web": "quiet",
    });
    assert_eq!(value(run(&pool(PoolConfig::default()), code, Json::Null).await), expected);
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
