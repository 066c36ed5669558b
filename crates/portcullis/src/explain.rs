//! `portcullis explain`.

use clap::Args as ClapArgs;
use http::Method;
use serde_json::{Value as Json, json};

use crate::client::{Where, print, segment};
use crate::terminal::say;

/// Explain a refused request by its `Portcullis-Decision` id, or whether somebody may do something.
#[derive(ClapArgs)]
#[command(
    after_help = "Examples:\n  portcullis explain --decision AQAAAAF…\n  portcullis explain --account 712020:0f… --permission ADMINISTER_PROJECTS --project DEMO"
)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,
    /// The id from the header `Portcullis-Decision`.
    #[arg(long, required_unless_present = "account")]
    decision: Option<String>,
    /// The account to ask about.
    #[arg(long, requires = "permission")]
    account: Option<String>,
    /// A permission key.
    #[arg(long)]
    permission: Option<String>,
    /// A project key or id.
    #[arg(long)]
    project: Option<String>,
    /// An issue key or id.
    #[arg(long)]
    issue: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let site = args.place.open().await?;
    let answer = match (args.decision, args.account) {
        (Some(decision), _) => {
            site.call(Method::GET, &format!("/api/portcullis/v1/decisions/{}", segment(&decision)), None).await?
        }
        (None, account) => {
            let mut body = json!({"accountId": account, "permission": args.permission});
            if let Some(body) = body.as_object_mut() {
                body.extend(args.project.map(|project| ("projectIdOrKey".to_owned(), project.into())));
                body.extend(args.issue.map(|issue| ("issueIdOrKey".to_owned(), issue.into())));
            }
            site.call(Method::POST, "/api/portcullis/v1/explain", Some(body)).await?
        }
    };
    if args.place.json { print(&answer, true, &[]) } else { say(sentences(&answer).join("\n")) }
}

/// What an explanation says, in the order in which one asks.
fn sentences(answer: &Json) -> Vec<String> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Json::as_str).map(str::to_owned);
    let mut out: Vec<String> = text("/text").into_iter().chain(text("/through/text")).collect();
    if let Some(operation) = text("/operation/id") {
        out.push(format!("Operation: {operation}"));
    }
    for step in answer.get("steps").and_then(Json::as_array).into_iter().flatten() {
        let mark = if step.get("holds").and_then(Json::as_bool) == Some(true) { "yes" } else { "no " };
        out.push(format!("  {mark}  {}", step.get("text").and_then(Json::as_str).unwrap_or_default()));
    }
    out.extend(text("/smallestChange/text").map(|text| format!("Smallest change: {text}")));
    out
}
