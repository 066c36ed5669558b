//! Wiring: database, keys, clock, guard, handlers, edge.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_apps::connect::Services;
use portcullis_crypto::SystemEntropy;
use portcullis_forge::Forge;
use portcullis_gateway::Gateway;
use portcullis_guard::{Deployment, EmulatedClock, Guard, Handlers, SystemClock};
use portcullis_model::Clock;
use portcullis_outbound::Outbound;
use portcullis_sandbox::{Limits, PoolConfig, Program};
use portcullis_store::{Store, StoreConfig};
use tokio::net::TcpListener;

use crate::app_accounts::{Accounts, Queries};
use crate::config::{Config, Log};
pub use crate::forge_edge::serve_apps;
use crate::{forge_edge, jobs, keys};

/// What runs Forge apps, with workers that start as `program`.
pub fn forge(program: Program, config: PoolConfig, limits: Limits, outbound: Outbound) -> Forge {
    Forge::new(program, config, limits, outbound, Arc::new(Accounts))
}

/// Every handler of the product. `outbound` calls Connect apps, `forge` runs Forge apps.
pub fn handlers(outbound: Outbound, forge: &Forge) -> Handlers {
    let mut handlers = Handlers::default();
    let services =
        Services { outbound, accounts: Arc::new(Accounts), queries: Arc::new(Queries), edge: forge.edge().clone() };
    portcullis_accounts::handlers(&mut handlers);
    portcullis_apps::handlers(&mut handlers, &services);
    portcullis_forge::handlers(&mut handlers, forge);
    portcullis_jira::handlers(&mut handlers);
    portcullis_console::handlers(&mut handlers, &services, forge);
    handlers
}

/// A site that can be served, and the way from it to apps.
pub(crate) struct Site {
    pub(crate) gateway: Arc<Gateway>,
    outbound: Outbound,
    forge: Forge,
}

/// Opens the site that a configuration describes.
pub(crate) async fn open(config: &Config, base_url: String) -> anyhow::Result<Site> {
    let keys = keys::read(&config.key_file)?;
    must_exist(&config.store)?;
    let store = Store::open(&config.store).await.context("cannot open the database")?;
    let emulator = config.danger.emulator_controls.then(|| Arc::new(EmulatedClock::following_system()));
    let clock: Arc<dyn Clock> = match &emulator {
        Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        None => Arc::new(SystemClock),
    };
    let entropy = Arc::new(SystemEntropy::new());
    let addresses = config.addresses.clone();
    let tls = match &config.tls_files {
        Some((certificate, key)) => {
            Some(portcullis_gateway::Tls::read(certificate, key).context("cannot use the certificate")?)
        }
        None => None,
    };
    let guard =
        Guard::open(Deployment { store, clock, entropy, keys, addresses }).await.context("cannot read the database")?;
    if guard.site().1.is_empty() {
        bail!("there is no site in the database; `portcullis init` makes a new one");
    }
    portcullis_apps::signing_key::ensure(&guard)
        .await
        .map_err(|problem| anyhow::anyhow!("cannot make the key that signs access tokens: {problem:?}"))?;
    portcullis_apps::connect::install_key::ensure(&guard)
        .await
        .map_err(|problem| anyhow::anyhow!("cannot make the key that signs installations: {problem:?}"))?;
    let mut edge = portcullis_gateway::Config::new(base_url);
    edge.body_bytes_max = config.limits.body_bytes_max;
    edge.upload_bytes_max = config.limits.upload_bytes_max;
    edge.request_timeout = Duration::from_millis(config.limits.request_ms_max);
    edge.account_requests_per_s_max = config.limits.account_requests_per_s_max;
    edge.hosts = config.hosts.clone();
    edge.tls = tls;
    edge.emulator = emulator;
    let outbound = Outbound::new(config.outbound.clone()).context("cannot set up outgoing connections")?;
    let program = forge_edge::worker_program().context("cannot find this program's own file")?;
    let forge = forge(program, PoolConfig::default(), Limits::default(), outbound.clone());
    let gateway = Arc::new(Gateway::new(guard, handlers(outbound.clone(), &forge), edge));
    serve_apps(&gateway, &forge);
    Ok(Site { gateway, outbound, forge })
}

/// Refuses a file that is not there: opening it would make an empty database.
pub(crate) fn must_exist(store: &StoreConfig) -> anyhow::Result<()> {
    match store {
        StoreConfig::Sqlite { path } if !path.exists() => bail!(
            "there is no database at `{}`; `portcullis init` makes a new site, `portcullis restore` puts a backup in place",
            path.display()
        ),
        StoreConfig::Sqlite { .. } | StoreConfig::Postgres { .. } => Ok(()),
    }
}

/// Listens on an address; `choose` says how to take another.
pub(crate) async fn listen(address: SocketAddr, choose: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}; choose another {choose}"))
}

/// Serves until the process is asked to stop, finishes what is in flight, and writes what is still buffered.
pub(crate) async fn run(site: Site, listener: TcpListener) -> anyhow::Result<()> {
    let Site { gateway, outbound, forge } = site;
    let guard = gateway.guard().clone();
    let background = jobs::start(guard.clone());
    let courier =
        tokio::spawn(portcullis_apps::webhook::deliver::run(guard.clone(), outbound, Arc::new(forge.clone())));
    let apps = tokio::spawn({
        let (forge, guard) = (forge.clone(), guard.clone());
        async move { forge.run(guard).await }
    });
    tokio::spawn(jobs::look_at_the_sandbox(Arc::clone(&gateway), forge.clone()));
    portcullis_gateway::serve(gateway, listener, asked_to_stop()).await?;
    background.abort();
    apps.abort();
    forge.flush(&guard).await;
    courier.abort();
    jobs::flush(&guard).await;
    Ok(())
}

async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}

/// Starts the log on standard error. `PORTCULLIS_LOG` filters it, as in `PORTCULLIS_LOG=warn`.
pub(crate) fn start_log(log: Log) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PORTCULLIS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first log.
    let _ = match log {
        Log::Json => builder.json().flatten_event(true).try_init(),
        Log::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
}
