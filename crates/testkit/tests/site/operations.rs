//! `docs/OPERATIONS.md` says which operations are built, and stays true.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use portcullis_authz::{Area, op};
use portcullis_testkit::world::{Engine, World};

/// `PORTCULLIS_WRITE_OPERATIONS=1 cargo nextest run -p portcullis-testkit operations` writes the page anew.
#[tokio::test]
async fn the_page_of_built_operations_is_true() {
    let world = World::start(Engine::Sqlite).await;
    let built = world.gateway.built();
    let mut groups: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    let mut counts = (0, 0);
    for row in op::ROWS.iter().filter(|row| row.area == Area::Jira) {
        let group = row.path.trim_start_matches("/rest/api/3/").split('/').next().unwrap_or_default();
        let (done, missing) = groups.entry(group).or_default();
        if built.contains(&row.number) {
            counts.0 += 1;
            done.push(format!("`{}`", row.id));
        } else {
            counts.1 += 1;
            missing.push(format!("`{}`", row.id));
        }
    }
    let mut out = format!(
        "# Operations\n\nOf Jira's {} platform operations, {} are built. The other {} are decided like all others and then answer 501.\n\
         By the first segment of the path below `/rest/api/3`; `GET /api/portcullis/v1/operations` lists them with scopes.\n\n\
         | path | built | not built |\n|---|---|---|\n",
        counts.0 + counts.1,
        counts.0,
        counts.1
    );
    for (group, (done, missing)) in groups {
        let _ = writeln!(out, "| {group} | {} | {} |", done.join(" "), missing.join(" "));
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/OPERATIONS.md");
    if std::env::var_os("PORTCULLIS_WRITE_OPERATIONS").is_some() {
        std::fs::write(&file, &out).expect("the page");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), out, "write the page anew");
}
