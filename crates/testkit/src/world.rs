//! The whole server in this process: the demo's people and projects on a database of its own, a clock that tests move, and
//! requests without sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use portcullis::seed::{self, Person};
use portcullis_crypto::{KeyId, SealingKey, SealingKeys, SystemEntropy};
use portcullis_forge::Forge;
use portcullis_gateway::{Config, Gateway};
use portcullis_guard::{Addresses, Deployment, EmulatedClock, Guard, Handlers};
use portcullis_model::{Clock, Timestamp};
use portcullis_outbound::{AddressRules, Outbound};
use portcullis_sandbox::{Limits, PoolConfig, Program};
use portcullis_store::{Store, StoreConfig};
use serde_json::Value as Json;

/// When the world's clock starts: 2026-11-25T12:00:00Z.
pub const START: Timestamp = Timestamp(1_795_608_000_000);
/// Where the world's site is reached.
pub const BASE_URL: &str = "http://portcullis.test";

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file in a folder of its own.
    Sqlite,
    /// A schema of its own in the server that `PORTCULLIS_TEST_POSTGRES` names.
    Postgres,
}

impl Engine {
    /// Both: a test that is not about one engine runs on each.
    pub const ALL: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
}

/// Tests that run on each engine: `async fn name(world: World) { … }` becomes two of them.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$doc:meta])* async fn $name:ident($world:ident: World) $body:block)+) => {$(
        mod $name {
            use super::*;
            async fn test($world: $crate::world::World) $body
            $(#[$doc])*
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                test($crate::world::World::start($crate::world::Engine::Sqlite).await).await;
            }
            $(#[$doc])*
            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                test($crate::world::World::start($crate::world::Engine::Postgres).await).await;
            }
        }
    )+};
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running site.
pub struct World {
    /// The edge.
    pub gateway: Arc<Gateway>,
    /// Runs Forge apps.
    pub forge: Forge,
    /// Moves time.
    pub clock: Arc<EmulatedClock>,
    /// Ada, Ben, Cleo, Dan.
    pub people: Vec<Person>,
    folder: PathBuf,
    store: StoreConfig,
}

impl World {
    /// The demo site on `engine`.
    ///
    /// # Panics
    /// When it cannot be made; PostgreSQL without a server is such a case, never a skipped test.
    pub async fn start(engine: Engine) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis_world_{}_{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let store = match engine {
            Engine::Sqlite => StoreConfig::Sqlite { path: folder.join("portcullis.db") },
            Engine::Postgres => {
                let url = std::env::var("PORTCULLIS_TEST_POSTGRES")
                    .expect("PORTCULLIS_TEST_POSTGRES names the PostgreSQL server for tests; `./x test` starts one");
                StoreConfig::Postgres { url, schema: Some(name) }
            }
        };
        let clock = Arc::new(EmulatedClock::standing_at(START));
        let opened = Store::open(&store).await.expect("a database");
        let people = seed::demo_people(&opened, START).await.expect("people");
        drop(opened);
        let (gateway, forge) = gateway(&store, &clock).await;
        let gateway = Arc::new(gateway);
        portcullis::site::serve_apps(&gateway, &forge);
        seed::demo_contents(&gateway, &people).await.expect("contents");
        Self { gateway, forge, clock, people, folder, store }
    }

    /// Sends webhooks from here on, as a server that is started does.
    ///
    /// # Panics
    /// When outgoing connections cannot be set up.
    pub fn sends_webhooks(&self) {
        let outbound = Outbound::new(AddressRules::default().and_loopback()).expect("outgoing connections");
        tokio::spawn(portcullis_apps::webhook::deliver::run(
            self.gateway.guard().clone(),
            outbound,
            Arc::new(self.forge.clone()),
        ));
    }

    /// A second server over the same database, as another node or after a restart. SQLite allows one at a time.
    ///
    /// # Panics
    /// When the database does not open.
    pub async fn another_node(&self) -> Gateway {
        gateway(&self.store, &self.clock).await.0
    }

    /// A second server over the same database that is reached at another address.
    ///
    /// # Panics
    /// When the database does not open.
    pub async fn another_node_at(&self, base_url: &str) -> Gateway {
        gateway_at(&self.store, &self.clock, base_url).await.0
    }

    /// The same site behind an edge without a single handler: every decision is made, nothing is done, and what is allowed is
    /// answered with 501. For tests that call every operation.
    #[must_use]
    pub fn without_handlers(mut self) -> Self {
        let guard = self.gateway.guard().clone();
        self.gateway = Arc::new(Gateway::new(guard, Handlers::default(), config(&self.clock)));
        self
    }

    /// A person by name.
    ///
    /// # Panics
    /// For a name the demo does not have.
    pub fn person(&self, name: &str) -> &Person {
        self.people.iter().find(|person| person.name == name).expect("a person of the demo")
    }

    /// Requests of a person with the API token of the card.
    pub fn by(&self, name: &str) -> Client<'_> {
        let person = self.person(name);
        self.with_basic(&person.email, &person.api_token)
    }

    /// Requests with any Basic credential.
    pub fn with_basic(&self, email: &str, token: &str) -> Client<'_> {
        let credential = base64::engine::general_purpose::STANDARD.encode(format!("{email}:{token}"));
        self.with_header("authorization", &format!("Basic {credential}"))
    }

    /// Requests without a credential.
    pub fn anonymous(&self) -> Client<'_> {
        Client { gateway: &self.gateway, headers: Vec::new() }
    }

    /// Requests with one header.
    pub fn with_header(&self, name: &str, value: &str) -> Client<'_> {
        Client { gateway: &self.gateway, headers: vec![(name.to_owned(), value.to_owned())] }
    }

    /// The site's public id.
    pub fn cloud_id(&self) -> String {
        self.gateway.guard().site().1
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn gateway(store: &StoreConfig, clock: &Arc<EmulatedClock>) -> (Gateway, Forge) {
    gateway_at(store, clock, BASE_URL).await
}

async fn gateway_at(store: &StoreConfig, clock: &Arc<EmulatedClock>, base_url: &str) -> (Gateway, Forge) {
    let store = Store::open(store).await.expect("a database");
    let keys = SealingKeys::new(SealingKey::new(KeyId(1), &[7; 32]).expect("a key"));
    let deployment = Deployment {
        store,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy::new()),
        keys,
        addresses: Addresses::one(base_url),
    };
    let guard = Guard::open(deployment).await.expect("a guard");
    portcullis_apps::signing_key::ensure(&guard).await.expect("a signing key");
    portcullis_apps::connect::install_key::ensure(&guard).await.expect("an installation key");
    let outbound = Outbound::new(AddressRules::default().and_loopback()).expect("outgoing connections");
    // Short, so that a test of what never ends does.
    let (cpu, wall) = (Duration::from_millis(500), Duration::from_secs(5));
    let limits = Limits { cpu, wall, heap_bytes: 96 << 20, ..Limits::default() };
    let config_of_pool = PoolConfig { compare: true, ..PoolConfig::default() };
    let forge = portcullis::site::forge(worker(), config_of_pool, limits, outbound.clone());
    (Gateway::new(guard, portcullis::site::handlers(outbound, &forge), config(clock)), forge)
}

/// The server's own program beside the test's, which a build of the whole workspace makes.
fn worker() -> Program {
    let test = std::env::current_exe().expect("the test's own file");
    let built = test.ancestors().map(|folder| folder.join("portcullis")).find(|file| file.is_file());
    // Where only this test was built, those that run apps fail; the others need none.
    let path = built.unwrap_or_else(|| PathBuf::from("portcullis"));
    Program { path, arguments: vec!["sandbox-worker".into()] }
}

fn config(clock: &Arc<EmulatedClock>) -> Config {
    let mut config = Config::new(BASE_URL.to_owned());
    config.emulator = Some(Arc::clone(clock));
    config.account_requests_per_s_max = 1_000_000;
    config
}

/// Sends requests.
#[derive(Clone)]
pub struct Client<'a> {
    gateway: &'a Gateway,
    headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Headers.
    pub headers: http::HeaderMap,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The text at a JSON pointer; empty when there is none.
    pub fn at(&self, pointer: &str) -> String {
        match self.json().pointer(pointer) {
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

impl Client<'_> {
    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends a request; a body is sent as JSON.
    ///
    /// # Panics
    /// When the request itself cannot be built.
    pub async fn send(&self, method: &str, path: &str, body: Option<Json>) -> Answer {
        let content_type = body.as_ref().map(|_| "application/json");
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.send_bytes(method, path, content_type, bytes).await
    }

    /// Sends a request with any body.
    ///
    /// # Panics
    /// When the request itself cannot be built.
    pub async fn send_bytes(&self, method: &str, path: &str, content_type: Option<&str>, bytes: Bytes) -> Answer {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", "portcullis.test");
        }
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if !bytes.is_empty() {
            request = request.header("content-length", bytes.len());
        }
        let request = request.body(Full::new(bytes)).expect("a request");
        let response = self.gateway.handle(request, Some("127.0.0.1".parse().expect("an address"))).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body in memory").to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// POST with JSON.
    pub async fn post(&self, path: &str, body: Json) -> Answer {
        self.send("POST", path, Some(body)).await
    }

    /// PUT with JSON.
    pub async fn put(&self, path: &str, body: Json) -> Answer {
        self.send("PUT", path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }
}
