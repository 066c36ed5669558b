//! The reference monitor: who someone is, what they may do, and the only way to the data.
//!
//! ```text
//! RequestHead -> Caller -> Input -> located facts -> decision -> Ctx<O> -> Done<O> -> committed, with its audit entry
//! ```
//! Only this crate makes a [`Caller`] or a [`Ctx`]; a handler's only way to the database is the [`Ctx`] it is given.
//! It must not know wire shapes: refusals and problems become JSON or HTML at the edge.
//!
//! # What does not compile
//! A handler for one operation cannot be added for another, and a handler cannot write in an operation that only reads:
//!
//! ```
//! # use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
//! # use portcullis_authz::op;
//! async fn read(mut cx: Ctx<op::GetIssue>, _: Input) -> Outcome<op::GetIssue> {
//!     cx.tx().query("SELECT 1 AS one", &[]).await?;
//!     cx.done(Reply::no_content())
//! }
//! Handlers::default().on(read);
//! ```
//! ```compile_fail
//! # use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
//! # use portcullis_authz::op;
//! async fn read(mut cx: Ctx<op::GetIssue>, _: Input) -> Outcome<op::GetIssue> {
//!     cx.tx().execute("SELECT 1 AS one", &[]).await?; // the transaction of a read has no `execute`
//!     cx.done(Reply::no_content())
//! }
//! Handlers::default().on(read);
//! ```
//! ```compile_fail
//! # use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
//! # use portcullis_authz::op;
//! async fn read(cx: Ctx<op::GetIssue>, _: Input) -> Outcome<op::DeleteIssue> { // another operation's outcome
//!     cx.done(Reply::no_content())
//! }
//! Handlers::default().on(read);
//! ```
//! Nobody else makes a caller or a context, and nobody commits without the guard:
//!
//! ```compile_fail
//! # use portcullis_guard::Caller;
//! fn forge(caller: Caller) -> Caller {
//!     Caller { user: None, ..caller } // private fields
//! }
//! ```
//! ```compile_fail
//! # use portcullis_guard::{Ctx, Input, Outcome, Reply};
//! # use portcullis_authz::op;
//! async fn write(cx: Ctx<op::EditIssue>, _: Input) -> Outcome<op::EditIssue> {
//!     cx.tx.commit(&Default::default()).await?; // the transaction is lent, not given
//!     cx.done(Reply::no_content())
//! }
//! ```
//! ```compile_fail
//! # use portcullis_guard::{Ctx, Entity, Outcome, Reply};
//! # use portcullis_authz::op;
//! fn quietly(cx: &mut Ctx<op::EditIssue>) {
//!     cx.changed(Entity::Everything); // only an operation in mode `Policy` changes rights
//! }
//! ```
#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

mod addresses;
mod app_rules;
mod audit;
pub mod authn;
mod caller;
mod clock;
pub mod connect;
mod ctx;
mod enter;
pub mod explain;
mod forge;
mod input;
mod locate;
pub mod oauth;
mod outbox;
pub mod qsh;
mod refusal;
mod reply;
mod snapshot;
mod throttle;
mod trouble;
mod webhook;

pub use addresses::Addresses;
pub use app_rules::{ALL_APPS, AppRules};
pub use authn::RequestHead;
pub use authn::client::{Client, ClientAuth, ClientRefusal};
pub use authn::password::SignIn;
pub use authn::second_factor::{Code, FRESH_MS, Proof, SECOND_FACTOR, recovery_code_hash};
pub use caller::{Caller, SessionRef};
pub use clock::{EmulatedClock, SystemClock};
pub use ctx::{AnyMode, Ctx, Done, Outcome, Target, View};
pub use enter::{DecisionLabels, Deployment, Guard, Handler, Handlers, Job, OpMode, RefusedEarly, Stop, Used};
pub use forge::{ForgeActs, ForgeFacts, ForgeSnapshot};
pub use input::{ApiVersion, Body, Input, Part, Relayed};
pub use portcullis_store::{
    AuditEntry, Claimed, Counted, FromValue, Message, Mode, Policy, Read, Row, Sent, Sql, SqlBuilder, StoreError, Tx,
    Value, Write, Writes,
};
pub use refusal::{Refusal, RefusalKind};
pub use reply::{Reply, ReplyBody};
pub use snapshot::{Entity, PersonInfo, SecondFactorOf, SessionFacts, Settings, Snapshot, TokenFacts};
pub use trouble::Trouble;
pub use webhook::{About, Listener, MessageHead, Trigger, WebhookFacts, WebhookOwner, WebhookSnapshot};
