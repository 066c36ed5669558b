//! `portcullis check` and `portcullis migrate`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args as ClapArgs;
use portcullis_store::{Store, StoreConfig};
use serde_json::json;

use crate::config::Config;
use crate::site;
use crate::terminal::{progress, say};

/// Which configuration.
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  portcullis migrate --config /etc/portcullis/portcullis.toml")]
pub(crate) struct ConfigArg {
    /// The configuration file.
    #[arg(long, default_value = "portcullis.toml")]
    pub config: PathBuf,
}

/// Read a configuration file and say what it means.
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  portcullis check --config /etc/portcullis/portcullis.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config.config)?;
    let database = match &config.store {
        StoreConfig::Sqlite { path } => format!("SQLite in `{}`", path.display()),
        StoreConfig::Postgres { .. } => "PostgreSQL".to_owned(),
    };
    if args.json {
        let out = json!({
            "listen": config.listen.to_string(), "baseUrl": config.base_url, "database": database,
            "keyFile": config.key_file, "emulatorControls": config.danger.emulator_controls,
            "limits": {"bodyBytesMax": config.limits.body_bytes_max, "uploadBytesMax": config.limits.upload_bytes_max,
                       "requestMsMax": config.limits.request_ms_max,
                       "accountRequestsPerSMax": config.limits.account_requests_per_s_max},
        });
        return say(format_args!("{out:#}"));
    }
    say(format_args!("Listens on {} and is reached at {}.", config.listen, config.base_url))?;
    say(format_args!("Keeps its data in {database}; its key is in `{}`.", config.key_file.display()))?;
    if config.danger.emulator_controls {
        say("DANGER: emulator controls are on; anyone who reaches the server can move its clock.")?;
    }
    Ok(())
}

pub(crate) async fn migrate(args: ConfigArg) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    site::must_exist(&config.store)?;
    let _progress = progress("Bringing the database to this program's schema");
    Store::open(&config.store).await.context("cannot bring the database up to date")?;
    say("The database has this program's schema.")
}
