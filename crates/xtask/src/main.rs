//! The house's own tools: `cargo run --release -p xtask -- <command>`.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

mod expr;
mod generate;
mod table;
mod tidy;

const USAGE: &str = "\
usage: xtask <command>

  operations           write crates/authz/src/op.rs and crates/model/src/scope_names.rs from crates/authz/operations.toml
  operations --check   fail when those files are not what the table says
  tidy                 check the house rules: who imports whom, what a crate may write, which operations are open";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root()?;
    match words.as_slice() {
        ["operations"] => generate::write(&root),
        ["operations", "--check"] => generate::check(&root),
        ["tidy"] => tidy::check(&root),
        _ => bail!("{USAGE}"),
    }
}

/// The folder of the workspace.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2).context("xtask is not in crates/")?;
    Ok(root.to_path_buf())
}
