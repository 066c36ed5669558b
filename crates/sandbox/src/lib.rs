//! Runs an app's JavaScript where it reaches nothing but what it is handed.
//!
//! An app's code becomes an [`Image`] once: the memory of an isolate in which the code has been loaded. Each invocation starts
//! from that image and leaves nothing behind. Two walls stand around it. The engine itself is WebAssembly, so that a fault of the
//! engine stays in the isolate's own memory; and the isolate lives in a worker, a process with one socket and nothing else
//! ([`Walls`]), so that a fault of the first wall finds nothing.
//!
//! What the code wants from outside it asks the [`Host`], in words of its own choosing: every byte that comes from a worker is
//! the app's.

mod ask;
mod frame;
mod isolate;
mod lock;
mod memory;
mod pool;
mod shape;
#[cfg(test)]
mod tests;
pub mod worker;

pub use lock::Walls;
pub use pool::{
    BuildError, Ended, Host, HostCall, Image, Invocation, Limit, Limits, Pool, PoolConfig, PoolError, Program, Usage,
};
