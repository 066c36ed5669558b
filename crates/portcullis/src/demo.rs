//! `portcullis demo`: a small site to try things out.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use portcullis_gateway::{Gateway, Hosts};
use portcullis_guard::{Addresses, SystemClock};
use portcullis_model::Clock;
use portcullis_outbound::AddressRules;
use portcullis_store::{Store, StoreConfig, StoreError};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::config::{Config, Danger, Limits, Log};
use crate::seed::{self, OauthApp, Person};
use crate::{keys, local_ca, site};

/// Run a small site to try things out: people, projects, issues, tokens.
#[derive(ClapArgs)]
#[command(
    after_help = "Examples:\n  portcullis demo --listen 127.0.0.1:9000 --data ./my-demo --fresh\n  portcullis demo --listen 127.0.0.77:443 --vendor-hosts"
)]
pub(crate) struct Args {
    /// Address and port; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the demo keeps its data.
    #[arg(long, default_value = "./portcullis-demo")]
    data: PathBuf,
    /// Where to write the card that scripts read; `card.json` in the data folder if not given.
    #[arg(long)]
    card: Option<PathBuf>,
    /// Serve HTTPS under the vendor's host names, for clients that know no others: acme.atlassian.net, auth.atlassian.com and
    /// api.atlassian.com have to lead to this machine for them.
    #[arg(long)]
    vendor_hosts: bool,
    /// Throw away what an earlier demo left in the data folder.
    #[arg(long)]
    fresh: bool,
}

/// Host names that clients of the vendor's cloud have in their code.
struct VendorHosts {
    site: &'static str,
    auth: &'static str,
    api: &'static str,
}

const VENDOR_HOSTS: VendorHosts =
    VendorHosts { site: "acme.atlassian.net", auth: "auth.atlassian.com", api: "api.atlassian.com" };

/// Files of a demo, all in its data folder.
struct Files {
    database: PathBuf,
    key: PathBuf,
    /// There while the demo is being made: a folder with it was not finished and is made anew.
    unfinished: PathBuf,
    /// Written last.
    people: PathBuf,
    oauth_app: PathBuf,
}

impl Files {
    fn of(data: &Path) -> Self {
        Self {
            database: data.join("portcullis.db"),
            key: data.join("sealing.key"),
            unfinished: data.join("demo.unfinished"),
            people: data.join("people.json"),
            oauth_app: data.join("oauth-app.json"),
        }
    }

    fn remove(&self) -> anyhow::Result<()> {
        let database = self.database.to_string_lossy();
        let with = |end: &str| PathBuf::from(format!("{database}{end}"));
        for path in
            [&self.people, &self.oauth_app, &self.database, &with("-wal"), &with("-shm"), &self.key, &self.unfinished]
        {
            remove(path)?;
        }
        Ok(())
    }

    /// Makes room for a new site, in a folder that is empty or a demo's.
    async fn clear(&self) -> anyhow::Result<()> {
        if !self.people.exists() && !self.unfinished.exists() {
            return match [&self.database, &self.key].into_iter().find(|path| path.exists()) {
                Some(path) => bail!("`{}` is not a demo's; choose another folder with --data", path.display()),
                None => Ok(()),
            };
        }
        // Nothing is removed under a running demo: opening takes the lock. What else is wrong with it is about to go.
        if self.database.exists()
            && let Err(error @ StoreError::Locked { .. }) = self.open().await
        {
            return Err(error).context("a demo is running on this folder");
        }
        self.remove()
    }

    async fn open(&self) -> Result<Store, StoreError> {
        Store::open(&StoreConfig::Sqlite { path: self.database.clone() }).await
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // The log is for operators; the demo prints its card for people, and only what goes wrong.
    if std::env::var_os("PORTCULLIS_LOG").is_some() {
        site::start_log(Log::Text);
    }
    let listener = site::listen(args.listen, "with --listen").await?;
    let local = listener.local_addr()?;
    // Clients that have the vendor's names in their code know no ports either: what leads them here leads to the listening port.
    let base_url = match args.vendor_hosts {
        true => format!("https://{}", VENDOR_HOSTS.site),
        false => format!("http://{local}"),
    };
    fs::create_dir_all(&args.data).with_context(|| format!("cannot write in `{}`", args.data.display()))?;
    let files = Files::of(&args.data);
    if args.fresh || !files.people.exists() || !files.database.exists() {
        files.clear().await?;
        keys::write_private(&files.unfinished, "")?;
    }
    keys::create_if_absent(&files.key)?;
    let vendor = match args.vendor_hosts {
        true => {
            let names =
                ["*.atlassian.net", VENDOR_HOSTS.site, VENDOR_HOSTS.auth, VENDOR_HOSTS.api, "localhost", "127.0.0.1"];
            Some(local_ca::make(&args.data.join("tls"), &names.map(str::to_owned))?)
        }
        false => None,
    };
    let config = Config {
        outbound: AddressRules::default().and_loopback(),
        listen: args.listen,
        addresses: match args.vendor_hosts {
            true => Addresses {
                site: base_url.clone(),
                issuer: format!("https://{}", VENDOR_HOSTS.auth),
                api: format!("https://{}", VENDOR_HOSTS.api),
            },
            false => Addresses::one(&base_url),
        },
        hosts: args.vendor_hosts.then(|| Hosts {
            site: VENDOR_HOSTS.site.to_owned(),
            auth: VENDOR_HOSTS.auth.to_owned(),
            api: VENDOR_HOSTS.api.to_owned(),
        }),
        tls_files: vendor.as_ref().map(|files| (files.certificate.clone(), files.key.clone())),
        base_url: base_url.clone(),
        key_file: files.key.clone(),
        store: StoreConfig::Sqlite { path: files.database.clone() },
        limits: Limits::default(),
        danger: Danger { emulator_controls: true },
        log: Log::Text,
    };
    let people = if files.people.exists() {
        let text = fs::read_to_string(&files.people)?;
        serde_json::from_str(&text)
            .with_context(|| format!("`{}` is damaged; start with --fresh", files.people.display()))?
    } else {
        eprintln!("Making the demo site in `{}` ...", args.data.display());
        let store = files.open().await.context("cannot make the database")?;
        let people = seed::demo_people(&store, SystemClock.now()).await?;
        drop(store);
        let site = site::open(&config, base_url.clone()).await?;
        seed::demo_contents(&site.gateway, &people).await?;
        drop(site);
        keys::write_private(&files.people, &serde_json::to_string_pretty(&people)?)?;
        remove(&files.unfinished)?;
        people
    };
    portcullis_console::set_emulator(true);
    let site = site::open(&config, base_url.clone()).await?;
    let oauth_app = oauth_app(&site.gateway, &files, &people).await?;
    let card_file = args.card.unwrap_or_else(|| args.data.join("card.json"));
    // An earlier card may name another address; whoever waits for the card waits for this server.
    remove(&card_file)?;
    let mut card = card(&site.gateway, &base_url, &people, &oauth_app).await?;
    if let (Some(files), Some(members)) = (&vendor, card.as_object_mut()) {
        members.insert("ca_file".into(), fs::canonicalize(&files.authority)?.to_string_lossy().into());
        members.insert("address".into(), local.to_string().into());
    }
    let running = tokio::spawn(site::run(site, listener));
    if vendor.is_none() {
        answers(local).await?;
    }
    keys::write_private(&card_file, &format!("{card:#}\n"))?;
    // The server runs on when nobody reads what it prints.
    let _ = print_card(&base_url, &people, &oauth_app, &card_file);
    running.await?
}

/// Waits until the server answers.
async fn answers(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await.context("the server does not answer")?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if !answer.starts_with("HTTP/1.1 200 ") {
        bail!("the server is not well: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(())
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// The demo's app: made with the site, or now in one that an earlier version made.
async fn oauth_app(gateway: &Gateway, files: &Files, people: &[Person]) -> anyhow::Result<OauthApp> {
    if files.oauth_app.exists() {
        let text = fs::read_to_string(&files.oauth_app)?;
        return serde_json::from_str(&text)
            .with_context(|| format!("`{}` is damaged; start with --fresh", files.oauth_app.display()));
    }
    let app = seed::demo_oauth_app(gateway, people).await?;
    keys::write_private(&files.oauth_app, &serde_json::to_string_pretty(&app)?)?;
    Ok(app)
}

async fn card(gateway: &Gateway, base_url: &str, people: &[Person], oauth_app: &OauthApp) -> anyhow::Result<Json> {
    let (name, cloud_id) = gateway.guard().site();
    let addresses = gateway.guard().addresses();
    let (issuer, api) = (&addresses.issuer, &addresses.api);
    let ada = people.first().context("the demo has people")?;
    let projects = seed::send(gateway, ada, "GET", "/rest/api/3/project/search?orderBy=key", Json::Null).await?;
    let projects: Vec<Json> = projects
        .get("values")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .map(|project| json!({"key": project.get("key"), "id": project.get("id")}))
        .collect();
    Ok(json!({
        "base_url": base_url,
        "site": {"name": name, "cloud_id": cloud_id, "url": base_url},
        "people": people,
        "projects": projects,
        "oauth_app": oauth_app,
        "endpoints": {
            "authorize": format!("{issuer}/authorize"),
            "token": format!("{issuer}/oauth/token"),
            "accessible_resources": format!("{api}/oauth/token/accessible-resources"),
            "me": format!("{api}/me"),
            "gateway": addresses.gateway(&cloud_id),
            "connect_token": format!("{issuer}/oauth2/token"),
            "install_keys": format!("{issuer}/connect/install-keys"),
            "management": format!("{base_url}/api/portcullis/v1"),
            "graphql": format!("{api}/graphql"),
            "metrics": format!("{base_url}/metrics"),
        },
    }))
}

fn print_card(base_url: &str, people: &[Person], app: &OauthApp, card_file: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n  Portcullis demo: site Acme at {base_url}\n")?;
    writeln!(out, "  {:<6} {:<20} {:<24} API token", "who", "e-mail", "password")?;
    for person in people {
        writeln!(out, "  {:<6} {:<20} {:<24} {}", person.name, person.email, person.password, person.api_token)?;
    }
    if let Some(ben) = people.iter().find(|person| person.name == "Ben") {
        writeln!(
            out,
            "\n  Ada administers the site, Ben the project DEMO; Cleo is a member; Dan has no access to Jira."
        )?;
        writeln!(out, "  VAULT is Ada's and Ben's: for everyone else it does not exist.\n")?;
        writeln!(out, "  Try:  curl -u '{}:{}' {base_url}/rest/api/3/issue/DEMO-1", ben.email, ben.api_token)?;
    }
    writeln!(out, "  OAuth 2.0 app of Ben's:  client {}  callback {}", app.client_id, app.redirect_uri)?;
    writeln!(out, "  Sign in:  {base_url}/login      Card for scripts:  {}", card_file.display())?;
    writeln!(out, "  Ctrl-C stops it; the data stays.\n")?;
    out.flush()?;
    Ok(())
}
