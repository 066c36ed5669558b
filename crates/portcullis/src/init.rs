//! `portcullis init`: a new site with its first administrator.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use portcullis_store::StoreConfig;

use crate::config::Config;
use crate::terminal::say;
use crate::{keys, seed};

/// Make a new site: configuration, keys, database, administrator.
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  portcullis init --config portcullis.toml --site Acme --email ada@acme.example --password-file ./password\n  portcullis serve --config portcullis.toml"
)]
pub(crate) struct Args {
    /// Where to write the configuration; data and keys go beside it.
    #[arg(long, default_value = "portcullis.toml")]
    config: PathBuf,
    /// The site's name.
    #[arg(long, default_value = "My site")]
    site: String,
    /// Address and port to listen on.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where people will reach the site; http:// and the listening address if not given.
    #[arg(long)]
    base_url: Option<String>,
    /// The administrator's e-mail address.
    #[arg(long)]
    email: String,
    /// The administrator's name.
    #[arg(long, default_value = "Administrator")]
    name: String,
    /// A file with the administrator's password; one is made and shown if not given.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// A file with the connection string of a PostgreSQL database, to keep the data there.
    #[arg(long)]
    postgres_url_file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if args.config.exists() {
        bail!("`{}` exists already; nothing was changed", args.config.display());
    }
    let password = match &args.password_file {
        Some(path) => Some(
            fs::read_to_string(path)
                .with_context(|| format!("cannot read `{}`", path.display()))?
                .trim_end_matches(['\r', '\n'])
                .to_owned(),
        ),
        None => None,
    };
    let base_url = args.base_url.clone().unwrap_or_else(|| format!("http://{}", args.listen));
    let quoted = toml::Value::String(base_url).to_string();
    let database = match &args.postgres_url_file {
        Some(path) => {
            let path = fs::canonicalize(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            format!("postgres_url_file = {}", toml::Value::String(path.to_string_lossy().into_owned()))
        }
        None => "sqlite = \"data/portcullis.db\"".to_owned(),
    };
    let text = format!(
        "listen = \"{}\"\nbase_url = {quoted}\nkey_file = \"keys/sealing.key\"\n\n[database]\n{database}\n",
        args.listen
    );
    let config = Config::parse(&args.config, &text)?;
    if let StoreConfig::Sqlite { path } = &config.store {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    keys::create_if_absent(&config.key_file)?;
    // The configuration comes last: while it is not there, there is no site, and the command can be given again.
    let shown = seed::first_site(&config, &args.site, &args.email, &args.name, password).await?;
    keys::write_private(&args.config, &text)?;
    say(format_args!("Made the site \"{}\" with the administrator {}.", args.site, args.email))?;
    if let Some(password) = shown {
        say(format_args!("Password, shown once: {password}"))?;
    }
    say(format_args!("Start it with: portcullis serve --config {}", args.config.display()))
}
