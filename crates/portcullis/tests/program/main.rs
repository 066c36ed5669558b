//! The program itself: commands and their exit statuses, files, signals, a crash. One program, so that it is linked once.

mod cli;
mod durability;
mod refresh;
mod run;
mod serving;
mod webhooks;
