//! `portcullis serve`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::config::Config;
use crate::site;

/// Run a site from a configuration file.
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  portcullis init --config /etc/portcullis/portcullis.toml --email ada@example.org\n  portcullis serve --config /etc/portcullis/portcullis.toml"
)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(long, default_value = "portcullis.toml")]
    config: PathBuf,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = Config::read(&args.config)?;
    site::start_log(config.log);
    if config.danger.emulator_controls {
        tracing::warn!(
            "[danger] emulator_controls is on: anyone who reaches this server can move its clock and inject faults"
        );
    }
    let listener = site::listen(config.listen, "with `listen` in the configuration").await?;
    let site = site::open(&config, config.base_url.clone()).await?;
    tracing::info!(address = %listener.local_addr()?, base_url = %config.base_url, "serving");
    site::run(site, listener).await
}
