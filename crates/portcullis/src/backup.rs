//! `portcullis backup` and `portcullis restore`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use portcullis_store::{Overwrite, StoreConfig, backup_file};

use crate::config::Config;
use crate::site;
use crate::terminal::{progress, say};

/// Write a consistent copy of the database, also while the server runs.
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  portcullis backup --config portcullis.toml --to /backups/portcullis-monday.db")]
pub(crate) struct BackupArgs {
    /// The configuration file.
    #[arg(long, default_value = "portcullis.toml")]
    config: PathBuf,
    /// The database file itself, instead of a configuration.
    #[arg(long, conflicts_with = "config")]
    database: Option<PathBuf>,
    /// Where to write the copy.
    #[arg(long)]
    to: PathBuf,
}

/// Put a backup in place. The server must not be running.
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  portcullis restore --from /backups/portcullis-monday.db --database portcullis.db --overwrite"
)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(long)]
    from: PathBuf,
    /// The database file to make.
    #[arg(long)]
    database: PathBuf,
    /// Replace the database that is there.
    #[arg(long)]
    overwrite: bool,
}

pub(crate) async fn backup(args: BackupArgs) -> anyhow::Result<()> {
    let database = match args.database {
        Some(database) => database,
        None => match Config::read(&args.config)?.store {
            StoreConfig::Sqlite { path } => path,
            StoreConfig::Postgres { .. } => bail!("PostgreSQL has its own tools for this: use pg_dump"),
        },
    };
    site::must_exist(&StoreConfig::Sqlite { path: database.clone() })?;
    let _progress = progress(format!("Copying `{}`", database.display()));
    backup_file(&database, &args.to).context("the backup was not written")?;
    say(format_args!("Wrote `{}`.", args.to.display()))
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let _progress = progress(format!("Checking and copying `{}`", args.from.display()));
    let overwrite = if args.overwrite { Overwrite::Yes } else { Overwrite::No };
    portcullis_store::restore(&args.from, &args.database, overwrite).context("nothing was restored")?;
    say(format_args!("Restored `{}` from `{}`.", args.database.display(), args.from.display()))
}
