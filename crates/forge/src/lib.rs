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
//! | what an app keeps | [`storage`] |
//! | what ran, and what it said | [`log`] |
//! | how the outside reaches an app | [`web_trigger`] |
//! | the command line of Forge | [`graphql`] |
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod app;
pub mod archive;
pub mod broker;
pub mod deploy;
pub mod egress;
pub mod graphql;
pub mod install;
pub mod invoke;
pub mod log;
pub mod manifest;
pub mod storage;
pub mod variable;
pub mod web_trigger;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use portcullis_apps::connect::AppAccounts;
use portcullis_guard::{Caller, Guard, Handlers};
use portcullis_model::{Problem, ProblemKind};
use portcullis_outbound::Outbound;
use portcullis_sandbox::{Limits, Pool, PoolConfig, PoolError, Program, Walls};

/// Which operations a call may reach; the edge checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaches {
    /// Jira's.
    Jira,
    /// Storage of Forge apps.
    Storage,
    /// The management API.
    Management,
}

/// A request that comes from code that runs here, or from a translation of ours.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks.
    pub caller: Caller,
    /// What may be asked for.
    pub reaches: Reaches,
    /// The method.
    pub method: http::Method,
    /// Path and query.
    pub path: String,
    /// Headers; those of the body count.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Its answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// The edge, as it answers code that runs here: routes, decisions and handlers are those of everybody.
pub trait Edge: Send + Sync + 'static {
    /// Answers a call.
    fn answer(&self, call: Call) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>>;
}

/// What running apps takes. Cheap to clone.
#[derive(Clone)]
pub struct Forge(Arc<Inner>);

struct Inner {
    pool: Pool,
    limits: Limits,
    outbound: Outbound,
    accounts: Arc<dyn AppAccounts>,
    serving: OnceLock<(Guard, Arc<dyn Edge>)>,
    loaded: invoke::Loaded,
    journal: log::Journal,
}

impl Forge {
    /// Workers start as `program`; `limits` bound each invocation. Nothing can run before [`Forge::serve_by`].
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
            serving: OnceLock::new(),
            loaded: invoke::Loaded::default(),
            journal: log::Journal::default(),
        }))
    }

    /// Names the guard that decides for apps, and the edge that answers their calls; the first ones count.
    pub fn serve_by(&self, guard: Guard, edge: Arc<dyn Edge>) {
        let _ = self.0.serving.set((guard, edge));
    }

    /// Keeps workers ready and writes the journal, for as long as it is polled.
    pub async fn run(&self, guard: Guard) {
        tokio::join!(self.0.pool.keep(), log::keep(self, &guard));
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
        self.0.serving.get().ok_or_else(|| Problem::new(ProblemKind::Unavailable, "The server is starting."))
    }
}

/// Adds every handler of this crate.
pub fn handlers(handlers: &mut Handlers, forge: &Forge) {
    app::handlers(handlers);
    deploy::handlers(handlers, forge);
    graphql::handlers(handlers, forge);
    install::handlers(handlers, forge);
    invoke::handlers(handlers, forge);
    log::handlers(handlers);
    storage::handlers(handlers);
    variable::handlers(handlers);
    web_trigger::handlers(handlers, forge);
}
