//! Processor time of `GET /rest/api/3/issue/{key}` through the whole edge, in this process, without sockets.
//!
//! `request-bench` prints the time per request; `run.sh` compares it with the same program built on a copy of the sources in
//! which the guard is bypassed. `request-bench token` measures the guard's check of an
//! API token and of an access token.

use std::hint::black_box;
use std::time::Instant;

use base64::Engine as _;
use portcullis_authz::{Operation, op};
use portcullis_guard::RequestHead;
use portcullis_model::Surface;
use portcullis_testkit::connect::{ConnectApp, hs256};
use portcullis_testkit::world::{Engine, World};

/// As in the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const WARM_UP: usize = 1_000;
/// The bypassed copy bypasses for this program alone, so that the site is still filled through the guard.
const USER_AGENT: &str = "request-bench";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let world = World::start(Engine::Sqlite).await;
        match what.as_str() {
            "token" => token(&world).await,
            count => requests(&world, count.parse().unwrap_or(20_000)).await,
        }
    });
}

/// Prints microseconds of processor time per request, of all threads.
async fn requests(world: &World, count: usize) {
    let ben = world.by("Ben").header("user-agent", USER_AGENT);
    let ask = || ben.get("/rest/api/3/issue/DEMO-1");
    let answer = ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for _ in 0..WARM_UP {
        ask().await;
    }
    let before = processor_ns();
    for _ in 0..count {
        assert_eq!(ask().await.status, 200);
    }
    println!("{:.3}", (processor_ns() - before) as f64 / 1e3 / count as f64);
}

/// The time that all threads of this process spent running.
fn processor_ns() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").expect("procfs");
    threads
        .filter_map(|thread| {
            let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum()
}

/// `Guard::authenticate`, from the header's text to the proven caller.
async fn token(world: &World) {
    let ben = world.person("Ben");
    let credential = format!("{}:{}", ben.email, ben.api_token);
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(credential));
    let app = world.app("Ben", serde_json::json!({})).await;
    let tokens = world.tokens("Ben", &app, "read:jira-work offline_access").await;
    let bearer = format!("Bearer {}", tokens.access);
    let head = RequestHead {
        surface: Surface::Site,
        method: "GET",
        path: "/rest/api/3/issue/DEMO-1",
        query: "",
        authorization: Some(&basic),
        dpop: None,
        session_cookie: None,
        origin: None,
        sec_fetch_site: None,
        own_origin: "http://portcullis.test",
        address: Some("127.0.0.1".parse().expect("an address")),
        ap_client_key: None,
        webhook_trace: None,
        user_agent: "token",
        request_id: "0123456789abcdef0123456789abcdef",
    };
    prove(world, "An API token", &head, 1_000).await;
    let head = RequestHead { surface: Surface::Gateway, authorization: Some(&bearer), ..head };
    prove(world, "An access token (after its first use)", &head, 1_000).await;
    let app = ConnectApp::start("com.example.bench", &["READ"]).await;
    assert_eq!(world.install(&app).await.status, 201);
    let target = "/rest/api/3/issue/DEMO-1?fields=summary&fields=status&expand=names";
    let token = hs256(&app.secret().await, &world.connect_claims(&app, "GET", target));
    let authorization = format!("JWT {token}");
    let head = RequestHead {
        surface: Surface::Site,
        query: "fields=summary&fields=status&expand=names",
        authorization: Some(&authorization),
        ..head
    };
    prove(world, "A Connect app's JWT with its query string hash", &head, 3_000).await;
}

async fn prove(world: &World, what: &str, head: &RequestHead<'_>, limit_ns: u64) {
    let guard = world.gateway.guard();
    let mut samples = Vec::new();
    for _ in 0..20_000 {
        let start = Instant::now();
        for _ in 0..16 {
            let caller = guard.authenticate(op::GetIssue::ROW, black_box(head)).await;
            assert!(black_box(caller).is_ok_and(|caller| caller.user().is_some()));
        }
        samples.push(start.elapsed().as_nanos() as u64 / 16);
    }
    samples.sort_unstable();
    println!(
        "{what} proven by the guard: median {} ns, p99 {} ns; limit {limit_ns} ns.",
        samples[samples.len() / 2],
        samples[samples.len() * 99 / 100]
    );
}
