//! A revocation is complete when it is answered: no request that starts after it succeeds, on either engine, on any node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http_body_util::Full;
use portcullis_gateway::Gateway;
use portcullis_testkit::world::{Engine, World};
use serde_json::json;

async fn status(gateway: &Gateway, credential: &str) -> u16 {
    let request = http::Request::builder()
        .uri("/rest/api/3/issue/DEMO-1")
        .header("host", "portcullis.test")
        .header("authorization", credential)
        .body(Full::new(Bytes::new()))
        .expect("a request");
    gateway.handle(request, None).await.status().as_u16()
}

async fn no_request_after_a_revocation_succeeds(engine: Engine) {
    let world = World::start(engine).await;
    // On PostgreSQL the requests run on another node than the revocation.
    let node = match engine {
        Engine::Sqlite => Arc::clone(&world.gateway),
        Engine::Postgres => Arc::new(world.another_node().await),
    };
    for _ in 0..5 {
        let made = world.by("Cleo").post("/api/portcullis/v1/me/api-tokens", json!({"label": "used", "days": 1})).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let email = &world.person("Cleo").email;
        let pair = format!("{email}:{}", made.at("/token"));
        let credential = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let (revoked, before, after) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (node, credential) = (Arc::clone(&node), credential.clone());
            let (revoked, before, after, stop) =
                (Arc::clone(&revoked), Arc::clone(&before), Arc::clone(&after), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let started_after = revoked.load(Ordering::SeqCst);
                    if status(&node, &credential).await == 200 {
                        if started_after { &after } else { &before }.fetch_add(1, Ordering::SeqCst);
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
        let gone = world.by("Cleo").delete(&format!("/api/portcullis/v1/me/api-tokens/{}", made.at("/id"))).await;
        revoked.store(true, Ordering::SeqCst);
        assert_eq!(gone.status, 204, "{}", gone.text);
        tokio::time::sleep(Duration::from_millis(60)).await;
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            task.await.expect("a task");
        }
        assert!(before.load(Ordering::SeqCst) > 0, "the token was in use");
        assert_eq!(after.load(Ordering::SeqCst), 0, "requests succeeded after the revocation was answered");
        world.gateway.guard().reset_throttle();
        node.guard().reset_throttle();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_sqlite() {
    no_request_after_a_revocation_succeeds(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_postgres_across_nodes() {
    no_request_after_a_revocation_succeeds(Engine::Postgres).await;
}
