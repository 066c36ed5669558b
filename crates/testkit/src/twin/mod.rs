//! The naive twin of the decision engine.
//!
//! Written from the documents (the vendor's permission model and our own promises), slowly and obviously: lists that are
//! scanned, permission keys and holder types as they are on the wire. It shares no code with `authz` beyond the operation
//! table. Where two readings of the same documents agree on millions of random questions, a mistake has to be made twice.

pub mod question;
pub mod random;
pub mod rules;
pub mod world;

pub use question::{Answer, Question, Targets};
pub use random::Rng;
pub use world::World;
