//! The program: configuration, commands, wiring, background jobs.

mod admin;
mod app_accounts;
mod audit;
mod backup;
mod check;
mod client;
mod config;
mod demo;
mod doctor;
mod explain;
mod forge_edge;
mod init;
mod jobs;
mod keys;
mod local_ca;
pub mod seed;
mod serve;
pub mod site;
mod terminal;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// A server through which apps and scripts reach an organisation's Jira data without ever holding its keys.
#[derive(Parser)]
#[command(name = "portcullis", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a small site to try things out: people, projects, issues, tokens.
    Demo(demo::Args),
    /// Run a site from a configuration file.
    Serve(serve::Args),
    /// Make a new site: configuration, keys, database, administrator.
    Init(init::Args),
    /// Bring the database to this program's schema.
    Migrate(check::ConfigArg),
    /// Read a configuration file and say what it means.
    Check(check::Args),
    /// Test a deployment and say what to mend.
    Doctor(doctor::Args),
    /// Explain a refused request, or whether somebody may do something.
    Explain(explain::Args),
    /// Write a consistent copy of the database, also while the server runs.
    Backup(backup::BackupArgs),
    /// Put a backup in place.
    Restore(backup::RestoreArgs),
    /// Show the audit log.
    Audit(audit::Args),
    /// Manage people, groups, roles, schemes, tokens and settings.
    Admin(admin::Args),
    /// Be a worker of the sandbox: started by the server, never by hand.
    #[command(name = forge_edge::WORKER_COMMAND, hide = true)]
    SandboxWorker,
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  portcullis completions bash > /etc/bash_completion.d/portcullis")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Reads the command line and runs the command; what `main` returns.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "portcullis", &mut script);
            terminal::write(&String::from_utf8_lossy(&script))
        }
        Command::Check(args) => check::run(&args),
        Command::SandboxWorker => portcullis_sandbox::worker::main().map_err(anyhow::Error::msg),
        Command::Restore(args) => backup::restore(&args),
        command => runtime().and_then(|runtime| runtime.block_on(run(command))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<terminal::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "portcullis: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Migrate(args) => check::migrate(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Backup(args) => backup::backup(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Admin(args) => admin::run(args).await,
        Command::Completions { .. } | Command::Check(_) | Command::Restore(_) | Command::SandboxWorker => Ok(()),
    }
}
