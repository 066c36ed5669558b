//! The whole site in one process, asked over its edge. One program, so that it is linked once.

mod app_rules;
mod attack;
mod bad_input;
mod configuration;
mod connect;
mod connect_pages;
mod doors;
mod forge;
mod forge_events;
mod forge_remotes;
mod hostile;
mod issues;
mod leaks;
mod matrix;
mod oauth;
mod oauth_checklist;
mod on_issues;
mod operations;
mod revocation;
mod scripts_gate;
mod second_factor;
mod webhooks;
