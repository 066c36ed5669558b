//! Where a command's operations run: in a running server through its management API, or in the database directly.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args as ClapArgs;
use std::sync::Arc;

use portcullis_gateway::Gateway;
use portcullis_guard::ReplyBody;
use portcullis_store::StoreError;
use serde_json::Value as Json;

use crate::config::Config;
use crate::site;
use crate::terminal::say;

/// Where to find the site.
#[derive(ClapArgs)]
pub(crate) struct Where {
    /// The configuration file of a site whose server is not running.
    #[arg(long, global = true, default_value = "portcullis.toml")]
    config: PathBuf,
    /// Print JSON as the operation answers it.
    #[arg(long, global = true)]
    pub json: bool,
}

/// A site to run operations on.
pub(crate) struct Site(Arc<Gateway>);

impl Where {
    /// Opens the site.
    pub(crate) async fn open(&self) -> anyhow::Result<Site> {
        let config = Config::read(&self.config)?;
        match site::open(&config, config.base_url.clone()).await {
            Ok(site) => Ok(Site(site.gateway)),
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::Locked { .. })) => {
                Err(error.context(format!(
                    "while the server runs, use its management API at {}/api/portcullis/v1 instead",
                    config.base_url
                )))
            }
            Err(error) => Err(error),
        }
    }
}

impl Site {
    /// Runs one operation as the operator and gives its JSON.
    pub(crate) async fn call(&self, method: http::Method, path: &str, body: Option<Json>) -> anyhow::Result<Json> {
        let operator = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
        match self.0.operate(&operator, &method, path, body).await {
            Ok(reply) => Ok(match reply.body {
                ReplyBody::Json(json) => json,
                ReplyBody::Text(_, text) | ReplyBody::Html(text) | ReplyBody::Relayed { text, .. } => {
                    Json::String(text)
                }
                ReplyBody::Empty | ReplyBody::Bytes { .. } => Json::Null,
            }),
            Err((status, text)) => {
                let words =
                    serde_json::from_str::<Json>(&text).ok().map(|json| words(&json)).filter(|words| !words.is_empty());
                bail!("{} ({status})", words.unwrap_or(text))
            }
        }
    }
}

/// The sentences of an error body.
fn words(json: &Json) -> String {
    let messages = json.get("errorMessages").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let fields = json.get("errors").and_then(Json::as_object).into_iter().flatten();
    let fields = fields.map(|(field, words)| format!("{field}: {}", words.as_str().unwrap_or_default()));
    messages.map(str::to_owned).chain(fields).collect::<Vec<_>>().join(" ")
}

/// Percent-encodes one segment of a path.
pub(crate) fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b':') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// Prints a list as columns, or as JSON.
pub(crate) fn print(json: &Json, as_json: bool, columns: &[(&str, &str)]) -> anyhow::Result<()> {
    let list = ["values", "permissionSchemes"].iter().find_map(|name| json.get(name)).unwrap_or(json);
    let rows = match list {
        Json::Array(rows) => rows.clone(),
        Json::Null => Vec::new(),
        other => vec![other.clone()],
    };
    if as_json || columns.is_empty() {
        return if json.is_null() { Ok(()) } else { say(format_args!("{json:#}")) };
    }
    let cell = |row: &Json, name: &str| match row.pointer(&format!("/{}", name.replace('.', "/"))) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let mut table = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect::<Vec<_>>()];
    table.extend(rows.iter().map(|row| columns.iter().map(|(_, name)| cell(row, name)).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| table.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max().unwrap_or(0))
        .collect();
    for row in table {
        let line: Vec<String> = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        say(line.join("  ").trim_end())?;
    }
    Ok(())
}
