//! Connect apps: remote apps that are installed from a descriptor, prove themselves with a JWT, and act with an account of their own.
//!
//! | what | where |
//! |---|---|
//! | what an app says of itself | [`descriptor`] |
//! | installed, enabled, disabled, uninstalled | [`life`], and what is sent to the app: [`call`] |
//! | the plugin manager's API, by which scripts and frameworks install | `upm` |
//! | keys that sign the installation | [`install_key`] |
//! | pages in frames | [`module`] |
//! | modules that a running app adds | [`dynamic`] |
//! | acting for a user | `act_as` |
//! | what an app asks about itself, and keeps here | `addon` |

mod act_as;
mod addon;
pub mod call;
pub mod descriptor;
pub mod dynamic;
pub mod install_key;
pub mod life;
pub mod module;
mod upm;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use portcullis_guard::{Entity, Handlers, Policy, Tx, View};
use portcullis_model::{Problem, UserId};
use portcullis_outbound::Outbound;

use crate::edge::Serving;

/// A future of this crate's traits.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, Problem>> + Send + 'a>>;

/// What an app's account is let do when it is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The app asks to change things: its account gets a role in every project.
    pub writes: bool,
    /// The app asks to administer: its account gets Administer Jira.
    pub administers: bool,
}

/// Accounts of apps: made and let in by the crates that own accounts, roles and schemes.
pub trait AppAccounts: Send + Sync + 'static {
    /// Makes an account that nobody can sign in with.
    fn make<'a>(&'a self, tx: &'a mut Tx<Policy>, view: &'a View, name: &'a str) -> Boxed<'a, UserId>;

    /// Proposes what an account may do, once: what an administrator takes away is not given again by an update. Names what changed.
    fn let_in<'a>(&'a self, tx: &'a mut Tx<Policy>, user: UserId, reach: Reach) -> Boxed<'a, Vec<Entity>>;

    /// Lets an account work, or stops it.
    fn set_active<'a>(&'a self, tx: &'a mut Tx<Policy>, user: UserId, active: bool) -> Boxed<'a, ()>;
}

/// Which queries a webhook may be restricted by; known by the crate that owns the query language.
pub trait WebhookQueries: Send + Sync + 'static {
    /// Says in one sentence what is wrong with a query.
    ///
    /// # Errors
    /// That sentence.
    fn check(&self, jql: &str) -> Result<(), String>;
}

/// What the life of Connect apps needs of others.
#[derive(Clone)]
pub struct Services {
    /// Calls apps.
    pub outbound: Outbound,
    /// Makes their accounts.
    pub accounts: Arc<dyn AppAccounts>,
    /// Knows which queries may stand in a webhook.
    pub queries: Arc<dyn WebhookQueries>,
    /// Answers calls that are made here.
    pub edge: Serving,
}

pub(crate) fn handlers(handlers: &mut Handlers, services: &Services) {
    life::handlers(handlers, services);
    upm::handlers(handlers, services);
    act_as::handlers(handlers);
    addon::handlers(handlers);
    dynamic::handlers(handlers);
    install_key::handlers(handlers);
}
