//! Tools for tests: an engine written twice, and more.

pub mod connect;
pub mod forge;
pub mod oauth;
pub mod rows;
pub mod twin;
pub mod world;
