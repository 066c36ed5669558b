//! `portcullis doctor`.

use std::fs::OpenOptions;
use std::path::Path;

use clap::Args as ClapArgs;
use portcullis_store::{Store, StoreConfig, StoreError};
use serde_json::{Value as Json, json};

use crate::check::ConfigArg;
use crate::config::Config;
use crate::terminal::{progress, say};
use crate::{keys, site};

/// Test a deployment and say what to mend.
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  portcullis doctor --config /etc/portcullis/portcullis.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at; with what to do where it is not well.
struct Finding {
    text: String,
    mend: Option<&'static str>,
}

fn good(text: &str) -> Finding {
    Finding { text: text.to_owned(), mend: None }
}

fn bad(text: impl Into<String>, mend: &'static str) -> Finding {
    Finding { text: text.into(), mend: Some(mend) }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config.config)?;
    let progress = progress("Opening the database");
    let mut findings = vec![good("the configuration is valid"), key_file(&config)];
    findings.extend(database(&config.store).await);
    if let StoreConfig::Sqlite { path } = &config.store {
        findings.push(match can_write_beside(path) {
            Ok(()) => good("the database's folder can be written"),
            Err(error) => bad(
                format!("the database's folder cannot be written: {error}"),
                "give the server's user the right to write there",
            ),
        });
    }
    findings.push(if config.base_url.starts_with("https://") || config.listen.ip().is_loopback() {
        good("people reach the site over TLS, or on this machine only")
    } else {
        bad("people reach the site without TLS", "put a TLS proxy in front and set base_url to https://")
    });
    findings.push(if config.danger.emulator_controls {
        bad("the emulator controls are on", "remove emulator_controls from [danger]")
    } else {
        good("the emulator controls are off")
    });
    findings.push(sandbox().await);
    drop(progress);
    report(&findings, args.json)
}

/// Starts a worker of the sandbox and looks at the walls around it.
async fn sandbox() -> Finding {
    let mend = "run on Linux 6.7 or newer, with seccomp, Landlock and user namespaces allowed";
    let walls = async {
        let program = crate::forge_edge::worker_program().map_err(|error| error.to_string())?;
        let pool = portcullis_sandbox::Pool::new(program, portcullis_sandbox::PoolConfig::default());
        pool.walls().await.map_err(|error| error.to_string())
    };
    match walls.await {
        Err(error) => bad(format!("Forge apps cannot run: {error}"), mend),
        Ok(walls) => {
            let missing: Vec<&str> =
                walls.layers().into_iter().filter(|(_, stands)| !stands).map(|(name, _)| name).collect();
            match missing.is_empty() {
                true => good("Forge apps run behind every wall: system-call filter, Landlock, namespaces"),
                false => bad(format!("Forge apps run without: {}", missing.join(", ")), mend),
            }
        }
    }
}

fn key_file(config: &Config) -> Finding {
    match keys::read(&config.key_file) {
        Ok(_) => good("the key file is there and private"),
        Err(error) => bad(format!("{error:#}"), "restore the key file from your backup, or set its rights"),
    }
}

async fn database(store: &StoreConfig) -> Vec<Finding> {
    if let Err(error) = site::must_exist(store) {
        return vec![bad(error.to_string(), "check [database] in the configuration")];
    }
    match Store::open(store).await {
        Ok(store) => vec![
            good("the database opens and has this program's schema"),
            match store.ping().await {
                Ok(()) => good("the database answers"),
                Err(error) => bad(format!("the database does not answer: {error}"), "look at the database's own log"),
            },
        ],
        Err(StoreError::Locked { .. }) => vec![good("the database is in use by a running server")],
        Err(error) => vec![bad(
            format!("the database does not open: {:#}", anyhow::Error::from(error)),
            "check [database] in the configuration and the rights of its files",
        )],
    }
}

/// Tries it: rights alone do not tell, for example where the disk is mounted to be read only.
fn can_write_beside(database: &Path) -> std::io::Result<()> {
    let probe = database.with_extension("doctor");
    OpenOptions::new().write(true).create(true).truncate(true).open(&probe)?;
    std::fs::remove_file(&probe)
}

fn report(findings: &[Finding], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let list: Vec<Json> = findings
            .iter()
            .map(|finding| json!({"ok": finding.mend.is_none(), "text": finding.text, "mend": finding.mend}))
            .collect();
        say(format_args!("{:#}", json!({"findings": list})))?;
    } else {
        for finding in findings {
            say(format_args!("{}  {}", if finding.mend.is_none() { "ok " } else { "BAD" }, finding.text))?;
            if let Some(mend) = finding.mend {
                say(format_args!("     {mend}"))?;
            }
        }
    }
    match findings.iter().filter(|finding| finding.mend.is_some()).count() {
        0 => Ok(()),
        1 => anyhow::bail!("1 thing to mend"),
        count => anyhow::bail!("{count} things to mend"),
    }
}
