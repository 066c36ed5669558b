//! The matrix: every operation by every kind of caller, as a committed file, so that a change of rights shows in review as flipped cells.

use std::fmt::Write;
use std::path::Path;

use portcullis_authz::op;
use portcullis_testkit::rows::call;
use portcullis_testkit::world::{Engine, World};

/// `PORTCULLIS_WRITE_MATRIX=1 cargo nextest run -p portcullis-testkit matrix` writes the file anew.
#[tokio::test]
async fn matrix_is_as_committed() {
    let world = World::start(Engine::Sqlite).await.without_handlers();
    let mut out = String::from(
        "# Every operation, called on DEMO (and its issue DEMO-1) by: nobody, Dan (no access to Jira), Cleo (member),\n\
         # Ben (administers DEMO), Ada (administers the site). ok: allowed by the guard. Else the status of the refusal.\n\
         # Pages and management are called with an API token; pages accept none.\n",
    );
    for row in op::ROWS {
        let mut cells = Vec::new();
        // Pages refuse a token as a failed attempt; what comes next must not be slowed for it.
        world.gateway.guard().reset_throttle();
        for who in ["nobody", "Dan", "Cleo", "Ben", "Ada"] {
            let client = if who == "nobody" { world.anonymous() } else { world.by(who) };
            let answer = call(&client, row, "", "DEMO", "DEMO-1").await;
            let allowed = answer.status == 501 || row.open.is_some() && answer.status < 400;
            cells.push(if allowed { "ok".to_owned() } else { answer.status.to_string() });
        }
        let _ = writeln!(out, "{:<55} {}", row.id, cells.iter().map(|cell| format!("{cell:>4}")).collect::<String>());
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/site/matrix.txt");
    if std::env::var_os("PORTCULLIS_WRITE_MATRIX").is_some() {
        std::fs::write(&file, &out).expect("the matrix file");
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    for (new, old) in out.lines().zip(committed.lines()) {
        assert_eq!(new, old, "rights changed; if that is meant, write the matrix anew");
    }
    assert_eq!(out.lines().count(), committed.lines().count(), "rows came or went; write the matrix anew");
}
