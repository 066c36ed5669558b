//! `portcullis init`: a new site with its first administrator.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use portcullis_store::StoreConfig;

use crate::config::Config;
use crate::terminal::say;
use crate::{keys, local_ca, seed};

/// Make a new site: configuration, keys, database, administrator.
#[derive(ClapArgs)]
#[command(
    after_help = "Example:\n  portcullis init --config portcullis.toml --site Acme --email ada@acme.example --password-file ./password\n  portcullis serve --config portcullis.toml\n\n  portcullis init --email ada@acme.example --listen 127.0.0.77:443 --local-ca \\\n    --base-url https://acme.atlassian.net --auth-host auth.atlassian.com --api-host api.atlassian.com"
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
    /// Make a certificate authority of this machine and a certificate for the site's host names, and serve HTTPS with them.
    #[arg(long)]
    local_ca: bool,
    /// Host name of the authorization server, where it has its own.
    #[arg(long)]
    auth_host: Option<String>,
    /// Host name of the API gateway, where it has its own.
    #[arg(long)]
    api_host: Option<String>,
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
    let scheme = if args.local_ca { "https" } else { "http" };
    let base_url = args.base_url.clone().unwrap_or_else(|| format!("{scheme}://{}", args.listen));
    let quoted = toml::Value::String(base_url).to_string();
    let database = match &args.postgres_url_file {
        Some(path) => {
            let path = fs::canonicalize(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            format!("postgres_url_file = {}", toml::Value::String(path.to_string_lossy().into_owned()))
        }
        None => "sqlite = \"data/portcullis.db\"".to_owned(),
    };
    let mut text = format!(
        "listen = \"{}\"\nbase_url = {quoted}\nkey_file = \"keys/sealing.key\"\n\n[database]\n{database}\n",
        args.listen
    );
    if args.auth_host.is_some() || args.api_host.is_some() {
        text.push_str("\n[hosts]\n");
        for (name, host) in [("auth", &args.auth_host), ("api", &args.api_host)] {
            if let Some(host) = host {
                text.push_str(&format!("{name} = {}\n", toml::Value::String(host.clone())));
            }
        }
    }
    if args.local_ca {
        text.push_str("\n[tls]\ncertificate_file = \"keys/server.pem\"\nkey_file = \"keys/server.key\"\n");
    }
    let config = Config::parse(&args.config, &text)?;
    if let StoreConfig::Sqlite { path } = &config.store {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder `{}`", folder.display()))?;
    }
    keys::create_if_absent(&config.key_file)?;
    if args.local_ca {
        let host = |url: &str| {
            let authority = url.split("://").nth(1).unwrap_or_default();
            authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']).to_owned()
        };
        let addresses = &config.addresses;
        let mut names: Vec<String> = [&addresses.site, &addresses.issuer, &addresses.api].map(|url| host(url)).to_vec();
        names.extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        names.sort_unstable();
        names.dedup();
        let folder = config.key_file.parent().unwrap_or(&config.key_file);
        let files = local_ca::make(folder, &names)?;
        say(format_args!("Clients have to trust {}.", files.authority.display()))?;
    }
    // The configuration comes last: while it is not there, there is no site, and the command can be given again.
    let shown = seed::first_site(&config, &args.site, &args.email, &args.name, password).await?;
    keys::write_private(&args.config, &text)?;
    say(format_args!("Made the site \"{}\" with the administrator {}.", args.site, args.email))?;
    if let Some(password) = shown {
        say(format_args!("Password, shown once: {password}"))?;
    }
    say(format_args!("Start it with: portcullis serve --config {}", args.config.display()))
}
