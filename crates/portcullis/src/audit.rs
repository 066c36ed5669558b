//! `portcullis audit`.

use clap::Args as ClapArgs;
use http::Method;

use crate::client::{Where, print, segment};

/// Show the audit log, newest first.
#[derive(ClapArgs)]
#[command(after_help = "Example:\n  portcullis audit --outcome denied --limit 20")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    /// Entries of one operation.
    #[arg(long)]
    operation: Option<String>,
    /// allowed, denied or failed.
    #[arg(long)]
    outcome: Option<String>,
    /// Entries of one account.
    #[arg(long)]
    subject: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let site = args.place.open().await?;
    let mut path = format!("/api/portcullis/v1/audit?maxResults={}", args.limit);
    for (name, value) in [("operation", &args.operation), ("outcome", &args.outcome), ("subject", &args.subject)] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", segment(value)));
        }
    }
    let answer = site.call(Method::GET, &path, None).await?;
    let columns = [
        ("TIME", "at"),
        ("WHO", "subject"),
        ("ACCESS", "access"),
        ("OPERATION", "operation"),
        ("TARGET", "target"),
        ("OUTCOME", "outcome"),
        ("REASON", "reason"),
    ];
    print(&answer, args.place.json, &columns)
}
