//! House rules that the compiler does not know: who imports whom, what a crate may name or write, which operations are open.

use crate::table::Table;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

const TABLE: &str = "crates/authz/operations.toml";
const OPEN_OPERATIONS: &str = "crates/authz/open-operations.txt";

/// What a crate may import of ours; the same table stands in docs/ARCHITECTURE.md.
const IMPORTS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("authz", &["model"]),
    ("crypto", &["model"]),
    ("store", &["model"]),
    ("outbound", &["model"]),
    ("guard", &["model", "authz", "crypto", "store"]),
    ("accounts", &["model", "authz", "crypto", "guard"]),
    ("jira", &["model", "authz", "crypto", "guard"]),
    ("apps", &["model", "authz", "crypto", "guard", "outbound"]),
    ("forge", &["model", "authz", "crypto", "guard", "apps", "outbound", "sandbox"]),
    ("sandbox", &["crypto"]),
    ("console", &["model", "authz", "guard", "accounts", "jira", "apps", "forge"]),
    // The gateway serves the console's pages on the same listener.
    ("gateway", &["model", "authz", "guard", "accounts", "jira", "apps", "forge", "outbound", "console"]),
    ("xtask", &["model"]),
];

/// Programs and tools that may import everything of ours.
const IMPORT_EVERYTHING: &[&str] = &["portcullis", "testkit"];

/// Outside crates that one crate alone may name.
const RESERVED: &[(&str, &str)] = &[
    ("rusqlite", "store"),
    ("tokio-postgres", "store"),
    ("deadpool-postgres", "store"),
    ("aws-lc-rs", "crypto"),
    ("argon2", "crypto"),
];

/// Prefixes of the tables that a crate may write. A crate that is not here writes none.
const WRITES: &[(&str, &[&str])] = &[
    ("store", &["store_", "audit_", "policy_"]),
    ("guard", &["guard_", "policy_"]),
    ("accounts", &["account_"]),
    ("jira", &["jira_"]),
    ("apps", &["app_"]),
    ("forge", &["forge_"]),
];

/// Tools whose SQL never runs in the product.
const WRITES_ANYTHING: &[&str] = &["testkit", "xtask"];

/// Crates in which an impossible case is a refusal, not a panic.
const NO_PANIC: &[&str] = &["guard", "authz", "crypto"];

/// What those crates do not say outside tests, and what to do instead.
const BANNED: &[(&str, &str)] = &[
    (".unwrap()", "refuse, or return an error"),
    (".expect(", "refuse, or return an error"),
    ("panic!(", "refuse, or return an error"),
    ("unreachable!(", "refuse, or return an error"),
    ("SystemTime::now", "take the clock from Ctx"),
];

/// The places where a banned word is right, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("crates/guard/src/clock.rs", "SystemTime::now", "the one module that reads the system clock"),
    ("crates/crypto/src/entropy.rs", "panic!(", "no caller may go on without random bytes"),
];

/// Lints that those crates deny for themselves. Indexing is left to clippy, which knows a type from a place.
const NO_PANIC_LINTS: &[&str] = &["clippy::unwrap_used", "clippy::indexing_slicing"];

pub fn check(root: &Path) -> Result<()> {
    let mut findings = Vec::new();
    imports(root, &mut findings)?;
    sources(root, &mut findings)?;
    open_operations(root, &mut findings)?;
    for finding in &findings {
        println!("{finding}");
    }
    ensure!(findings.is_empty(), "{} findings", findings.len());
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or null for what goes into the product.
    kind: Option<String>,
    /// Set for our own crates.
    path: Option<PathBuf>,
}

fn imports(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output().context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    for package in &metadata.packages {
        imports_of(package, findings);
    }
    Ok(())
}

fn imports_of(package: &Package, findings: &mut Vec<String>) {
    let name = short(&package.name);
    let allowed = IMPORTS.iter().find(|(crate_name, _)| *crate_name == name).map(|(_, allowed)| *allowed);
    if allowed.is_none() && !IMPORT_EVERYTHING.contains(&name) {
        findings.push(format!(
            "{name}: not in the table of imports; docs/ARCHITECTURE.md and xtask/src/tidy.rs name every crate"
        ));
        return;
    }
    // What only tests use does not reach the product; it may stand on anything.
    for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.as_deref() != Some("dev")) {
        let used = short(&dependency.name);
        if dependency.path.is_some() {
            if allowed.is_some_and(|allowed| !allowed.contains(&used)) {
                findings.push(format!("{name}: may not import {used}"));
            }
        } else if name == "authz" {
            findings.push(format!("authz: may not import {used}; the engine stands on model alone"));
        } else if let Some((_, owner)) = RESERVED.iter().find(|(reserved, _)| *reserved == used)
            && *owner != name
        {
            findings.push(format!("{name}: may not import {used}; only {owner} does"));
        }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("portcullis-").unwrap_or(name)
}

fn sources(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    for folder in sorted(&root.join("crates"))? {
        let name =
            folder.file_name().and_then(|name| name.to_str()).context("a crate's folder has no name")?.to_owned();
        for file in rust_files(&folder.join("src"))? {
            let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let product = without_tests(&shown, &text);
            if NO_PANIC.contains(&name.as_str()) {
                panics(&shown, product, findings);
                if shown.ends_with("/src/lib.rs") {
                    lints(&shown, product, findings);
                }
            }
            if !WRITES_ANYTHING.contains(&name.as_str()) {
                writes(&name, &shown, product, findings);
            }
        }
    }
    Ok(())
}

/// A file up to its tests: they stand last, or are a file of their own.
fn without_tests<'a>(file: &str, text: &'a str) -> &'a str {
    if file.ends_with("/tests.rs") || file.contains("/tests/") {
        return "";
    }
    text.find("#[cfg(test)]\nmod ").map_or(text, |tests| &text[..tests])
}

fn panics(file: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        let excepted = |word: &str| EXCEPTIONS.iter().any(|(place, known, _)| *place == file && word == *known);
        for (word, instead) in BANNED {
            if code.contains(word) && !excepted(word) {
                findings.push(format!("{file}:{}: no `{word}` here; {instead}", number + 1));
            }
        }
    }
}

/// `#![deny(..)]` at the head of a crate names the lints.
fn lints(file: &str, text: &str, findings: &mut Vec<String>) {
    let denied: String = text.split("#![deny(").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    for lint in NO_PANIC_LINTS.iter().filter(|lint| !denied.contains(**lint)) {
        findings.push(format!("{file}: does not deny `{lint}`"));
    }
}

fn writes(name: &str, file: &str, text: &str, findings: &mut Vec<String>) {
    let allowed = WRITES.iter().find(|(crate_name, _)| *crate_name == name).map_or(&[][..], |(_, prefixes)| *prefixes);
    for table in written_tables(text) {
        if !allowed.iter().any(|prefix| table.starts_with(prefix)) {
            findings.push(format!("{file}: {name} may not write `{table}`"));
        }
    }
}

/// Tables behind INSERT INTO, UPDATE .. SET and DELETE FROM; SQL words are written in capitals here.
fn written_tables(text: &str) -> Vec<String> {
    let words: Vec<&str> =
        text.split(|c: char| c.is_whitespace() || c == '"' || c == '(').filter(|word| !word.is_empty()).collect();
    let mut tables = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let after = |steps: usize| words.get(at + steps).copied().unwrap_or_default();
        let table = match (*word, after(1)) {
            ("INTO", table)
                if at > 0 && words[..at].iter().rev().take(3).any(|word| matches!(*word, "INSERT" | "REPLACE")) =>
            {
                table
            }
            ("DELETE", "FROM") => after(2),
            // `UPDATE table SET`, `UPDATE table AS t SET`, `UPDATE table t SET`; not `DO UPDATE SET` nor `FOR UPDATE`.
            ("UPDATE", table) if table != "SET" && [after(2), after(3), after(4)].contains(&"SET") => table,
            _ => continue,
        };
        tables.push(table.trim_end_matches([';', ',', ')', '\\']).to_owned());
    }
    tables
}

/// The open operations are a list of their own, so that a new one is seen in review.
fn open_operations(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let table = Table::read(&root.join(TABLE))?;
    let text = std::fs::read_to_string(root.join(OPEN_OPERATIONS))
        .with_context(|| format!("cannot read {OPEN_OPERATIONS}"))?;
    let listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let open = table.open_lines();
    for line in &open {
        if !listed.contains(&line.as_str()) {
            findings.push(format!("{OPEN_OPERATIONS}: open, but not listed: {line}"));
        }
    }
    for line in listed {
        if !open.iter().any(|known| known == line) {
            findings.push(format!("{OPEN_OPERATIONS}: listed, but not open: {line}"));
        }
    }
    Ok(())
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in sorted(folder)? {
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_tables_are_found() {
        let text = r#"
            "INSERT INTO jira_issue (id) VALUES ($1) ON CONFLICT (id) DO UPDATE SET id = $1"
            "INSERT OR IGNORE INTO jira_a(x) SELECT 1"
            "UPDATE jira_b SET x = 1" "UPDATE jira_c AS c SET x = 1" "DELETE FROM jira_d WHERE x = 1"
            "SELECT x FROM jira_e FOR UPDATE" "SELECT x INTO y"
        "#;
        assert_eq!(written_tables(text), ["jira_issue", "jira_a", "jira_b", "jira_c", "jira_d"]);
    }

    #[test]
    fn writing_a_foreign_table_is_found() {
        let mut findings = Vec::new();
        writes("jira", "x.rs", "\"DELETE FROM account_user\" \"DELETE FROM jira_issue\"", &mut findings);
        writes("gateway", "y.rs", "\"DELETE FROM jira_issue\"", &mut findings);
        assert_eq!(findings, ["x.rs: jira may not write `account_user`", "y.rs: gateway may not write `jira_issue`"]);
    }

    #[test]
    fn tests_may_panic() {
        let mut findings = Vec::new();
        let text = "fn f() {\n    g().unwrap();\n}\n\n#[cfg(test)]\nmod tests {\n    h().unwrap();\n}\n";
        panics("crates/guard/src/f.rs", without_tests("crates/guard/src/f.rs", text), &mut findings);
        assert_eq!(findings, ["crates/guard/src/f.rs:2: no `.unwrap()` here; refuse, or return an error"]);
    }

    #[test]
    fn missing_lint_is_found() {
        let mut findings = Vec::new();
        lints("x", "#![deny(missing_docs, clippy::unwrap_used)]\n#![warn(clippy::indexing_slicing)]", &mut findings);
        assert_eq!(findings, ["x: does not deny `clippy::indexing_slicing`"]);
    }

    #[test]
    fn forbidden_import_is_found() {
        let json = r#"{ "name": "portcullis-jira", "dependencies": [
            { "name": "portcullis-guard", "kind": null, "path": "/x" },
            { "name": "portcullis-store", "kind": null, "path": "/x" },
            { "name": "portcullis-testkit", "kind": "dev", "path": "/x" },
            { "name": "rusqlite", "kind": null, "path": null } ] }"#;
        let mut findings = Vec::new();
        imports_of(&serde_json::from_str(json).unwrap(), &mut findings);
        assert_eq!(findings, ["jira: may not import store", "jira: may not import rusqlite; only store does"]);
    }
}
