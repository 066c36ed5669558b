//! `portcullis doctor`.

use clap::Args as ClapArgs;
use portcullis_store::{Store, StoreConfig, StoreError};

use crate::check::ConfigArg;
use crate::config::Config;
use crate::keys;

/// Test a deployment and say what to mend.
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  portcullis doctor --config /etc/portcullis/portcullis.toml")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigArg,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut bad = 0;
    let mut say = |good: bool, what: &str, mend: &str| {
        println!("{} {what}", if good { "ok  " } else { "BAD " });
        if !good {
            bad += 1;
            println!("     {mend}");
        }
    };
    let config = Config::read(&args.config.config)?;
    say(true, "the configuration is valid", "");
    match keys::read(&config.key_file) {
        Ok(_) => say(true, "the key file is there and private", ""),
        Err(error) => say(
            false,
            &format!("key file: {error:#}"),
            "`portcullis init` makes one; restore it from your backup if it is lost",
        ),
    }
    match Store::open(&config.store).await {
        Ok(store) => {
            say(true, "the database opens and has this program's schema", "");
            say(store.ping().await.is_ok(), "the database answers", "look at the database's own log");
        }
        Err(StoreError::Locked { .. }) => say(true, "the database is in use by a running server", ""),
        Err(error) => say(
            false,
            &format!("database: {error}"),
            "check [database] in the configuration and the rights of its files",
        ),
    }
    if let StoreConfig::Sqlite { path } = &config.store {
        let folder = path.parent().unwrap_or(path);
        let writable = std::fs::metadata(folder).is_ok_and(|metadata| !metadata.permissions().readonly());
        say(writable, "the database's folder can be written", "give the server's user the right to write there");
    }
    let secure = config.base_url.starts_with("https://") || config.listen.ip().is_loopback();
    say(
        secure,
        "people reach the site over TLS, or on this machine only",
        "put a TLS proxy in front and set base_url to https://",
    );
    say(!config.danger.emulator_controls, "the emulator controls are off", "remove emulator_controls from [danger]");
    if bad == 0 { Ok(()) } else { anyhow::bail!("{bad} finding(s)") }
}
