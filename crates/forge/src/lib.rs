//! Forge apps: the server runs their code, keeps their data and acts for them.
//!
//! | what | where |
//! |---|---|
//! | what an app says of itself, and what of it this server takes | [`manifest`] |
//! | what was uploaded | [`archive`] |
//! | apps, environments, variables | [`app`], [`variable`] |
//! | a version of the code | [`deploy`] |
//! | on a site, with consent | [`install`] |
//! | running a function | [`invoke`], and what it may reach: [`broker`], [`egress`] |
//! | running it because something happened, was queued, or is due | `event`, `queue`, `schedule` |
//! | servers of the app's own, and how calls prove themselves to them | `remote` |
//! | what an app keeps | [`storage`], `property` |
//! | what ran, and what it said | [`log`], and for administrators [`overview`] |
//! | how the outside reaches an app | [`web_trigger`] |
//! | the command line of Forge | [`graphql`] |
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod app;
pub mod archive;
pub mod broker;
pub mod deploy;
pub mod egress;
mod event;
pub mod graphql;
pub mod install;
pub mod invoke;
pub mod log;
pub mod manifest;
pub mod overview;
mod property;
mod queue;
mod remote;
mod schedule;
pub mod storage;
pub mod variable;
pub mod web_trigger;
mod wire;

use std::sync::Arc;

use portcullis_apps::connect::AppAccounts;
use portcullis_apps::edge::{Edge, Serving};
use portcullis_guard::{Guard, Handlers};
use portcullis_model::Problem;
use portcullis_outbound::Outbound;
use portcullis_sandbox::{Limits, Pool, PoolConfig, PoolError, Program, Walls};

/// What running apps takes. Cheap to clone.
#[derive(Clone)]
pub struct Forge(Arc<Inner>);

struct Inner {
    pool: Pool,
    limits: Limits,
    outbound: Outbound,
    accounts: Arc<dyn AppAccounts>,
    serving: Serving,
    loaded: invoke::Loaded,
    journal: log::Journal,
}

impl Forge {
    /// Workers start as `program`; `limits` bound each invocation. Nothing can run before [`Forge::edge`] serves.
    pub fn new(
        program: Program,
        config: PoolConfig,
        limits: Limits,
        outbound: Outbound,
        accounts: Arc<dyn AppAccounts>,
    ) -> Self {
        Self(Arc::new(Inner {
            pool: Pool::new(program, config),
            limits,
            outbound,
            accounts,
            serving: Serving::default(),
            loaded: invoke::Loaded::default(),
            journal: log::Journal::default(),
        }))
    }

    /// The edge that answers apps' calls; nothing can run before it is there.
    pub fn edge(&self) -> &Serving {
        &self.0.serving
    }

    /// Keeps workers ready and writes the journal, for as long as it is polled.
    pub async fn run(&self, guard: Guard) {
        tokio::join!(self.0.pool.keep(), log::keep(self, &guard), schedule::keep(&guard));
    }

    /// Puts scheduled triggers that are due into the outbox; how many. [`Forge::run`] does it every few seconds.
    ///
    /// # Errors
    /// The database's.
    pub async fn look_at_schedule(&self, guard: &Guard) -> Result<usize, portcullis_guard::StoreError> {
        schedule::look(guard).await
    }

    /// Writes what waits in the journal, at shutdown.
    pub async fn flush(&self, guard: &Guard) {
        log::flush(self, guard).await;
    }

    /// The walls around apps' code on this machine.
    ///
    /// # Errors
    /// No worker can be started.
    pub async fn walls(&self) -> Result<Walls, PoolError> {
        self.0.pool.walls().await
    }

    fn serving(&self) -> Result<&(Guard, Arc<dyn Edge>), Problem> {
        self.0.serving.get()
    }
}

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers, forge: &Forge) {
    app::handlers(handlers);
    deploy::handlers(handlers, forge);
    graphql::handlers(handlers, forge);
    install::handlers(handlers, forge);
    invoke::handlers(handlers, forge);
    remote::handlers(handlers);
    log::handlers(handlers);
    property::handlers(handlers);
    storage::handlers(handlers);
    variable::handlers(handlers);
    web_trigger::handlers(handlers, forge);
}
