//! What an invocation costs: from a message in the server to a fresh isolate in a locked worker and back. Beside it, in the same run, a
//! Node.js process for each invocation.
//!
//! ```sh
//! cargo build --release -p portcullis-sandbox --bins && cargo run --release -p portcullis-sandbox --example bench
//! ```

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_sandbox::{Ended, Host, HostCall, Image, Limits, Pool, PoolConfig, Program};
use serde_json::{Value as Json, json};

const WARM: usize = 20_000;
const COLD: usize = 300;
const BUILDS: usize = 20;
const NODE: usize = 20;

struct Answering;

impl Host for Answering {
    fn call(self: Arc<Self>, _: HostCall) -> Pin<Box<dyn Future<Output = Result<Json, String>> + Send>> {
        Box::pin(async {
            Ok(json!({"status": 200, "statusText": "OK", "headers": [], "text": "{\"key\":\"DEMO-1\"}"}))
        })
    }

    fn log(&self, _: &[u8]) {}
}

/// 80 KB of code, of which a call uses little.
fn script() -> String {
    let mut code = String::new();
    for number in 0.. {
        if code.len() > 80_000 {
            break;
        }
        code.push_str(&format!(
            "exports.f{number} = (a, b) => {{ const c = [a, b].map((x) => x + {number}); return c.join(','); }};\n"
        ));
    }
    code.push_str("exports.hello = ({ name }) => ({ hello: name });\nexports.ask = async () => (await __forge_fetch__({ type: 'fpp' }, '/rest/api/3/issue/DEMO-1')).json();\n");
    format!(
        "__load({{ sources: {{ 'i.js': function (module, exports, require) {{\n{code}\n}} }}, texts: {{}}, entries: {{ i: 'i.js' }}, variables: {{}} }});"
    )
}

fn message(name: &str) -> Vec<u8> {
    json!({"t": "invoke", "entry": "i", "name": name, "event": {"name": "Ada"}, "context": {}, "runtime": {}, "variables": {}}).to_string().into_bytes()
}

/// Processor time of a process with one thread, in microseconds, to the nanosecond: the kernel's ticks miss what runs shortly.
fn cpu_us(of: rustix::process::Pid) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", of.as_raw_nonzero())).unwrap_or_default();
    stat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e3
}

/// The same of the workers.
fn workers() -> f64 {
    let me = std::process::id().to_string();
    let mut sum = 0.0;
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<i32>() else { continue };
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).map(str::to_owned);
        if parent.as_deref() == Some(&me)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            sum += cpu_us(pid);
        }
    }
    sum
}

fn say(what: &str, mut times: Vec<Duration>, cpu_us: Option<f64>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e6;
    let cpu = cpu_us.map(|cpu| {
        format!("  processor {:.0} us each, {:.0}/s/core", cpu / times.len() as f64, 1e6 * times.len() as f64 / cpu)
    });
    println!("{what:34} n={:<6} p50 {:8.0} us  p99 {:8.0} us{}", times.len(), at(50), at(99), cpu.unwrap_or_default());
}

async fn run(pool: &Pool, image: &Image, tenant: u64, name: &str) {
    let invocation =
        pool.invoke(image, tenant, &message(name), &Limits::default(), Arc::new(Answering)).await.expect("a worker");
    assert!(matches!(invocation.ended, Ended::Returned(_)), "{:?}", invocation.ended);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let own = std::env::current_exe().expect("this program");
    let worker = own.ancestors().map(|folder| folder.join("sandbox-worker")).find(|file| file.is_file());
    let program = Program { path: worker.expect("sandbox-worker, built before"), arguments: Vec::new() };
    let pool = Pool::new(
        program,
        PoolConfig { compare: false, spares: 4, invocations_max: u32::MAX, ..PoolConfig::default() },
    );
    let keeper = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.keep().await })
    };
    println!("{:?}", pool.walls().await.expect("a worker"));
    let script = script();
    let me = rustix::process::getpid();

    let mut times = Vec::new();
    let mut image = None;
    for _ in 0..BUILDS {
        let start = Instant::now();
        image = Some(pool.build("app.js", &script, &Limits::default()).await.expect("the code loads"));
        times.push(start.elapsed());
    }
    let image = image.expect("an image");
    println!("image {} KiB", image.bytes() / 1024);
    say("load 80 KB of code", times, None);

    for name in ["hello", "ask"] {
        for _ in 0..500 {
            run(&pool, &image, 1, name).await;
        }
        let (before, mut times) = (cpu_us(me) + workers(), Vec::with_capacity(WARM));
        for _ in 0..WARM {
            let start = Instant::now();
            run(&pool, &image, 1, name).await;
            times.push(start.elapsed());
        }
        say(
            if name == "hello" { "hello" } else { "one call to the host" },
            times,
            Some(cpu_us(me) + workers() - before),
        );
    }

    // A spare worker waits, and has never seen the app.
    let mut times = Vec::new();
    for tenant in 0..COLD {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let start = Instant::now();
        run(&pool, &image, 1_000 + tenant as u64, "hello").await;
        times.push(start.elapsed());
        pool.forget(&image);
    }
    say("cold app, worker waiting", times, None);
    keeper.abort();

    let code = "const f = ({ name }) => ({ hello: name }); console.log(JSON.stringify(f({ name: 'Ada' })))";
    let mut times = Vec::new();
    for _ in 0..NODE {
        let start = Instant::now();
        match Command::new("node").args(["-e", code]).output() {
            Ok(output) => assert!(output.status.success()),
            Err(error) => return println!("node is not there to compare with: {error}"),
        }
        times.push(start.elapsed());
    }
    say("a Node.js process each", times, None);
}
