//! The whole site in one process, asked over its edge. One program, so that it is linked once.

mod bad_input;
mod configuration;
mod doors;
mod issues;
mod matrix;
mod on_issues;
mod revocation;
mod scripts_gate;
