//! One TOML file; unknown keys are rejected; a [`Config`] that exists is valid.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portcullis_store::StoreConfig;
use serde::Deserialize;

/// The configuration file as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Address and port to listen on.
    listen: SocketAddr,
    /// Where people reach the site, `https://jira.example.org`.
    base_url: String,
    /// File with the deployment's key.
    key_file: PathBuf,
    database: Database,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    danger: Danger,
    #[serde(default)]
    log: Log,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Database {
    /// SQLite: the file.
    sqlite: Option<PathBuf>,
    /// PostgreSQL: a file that holds the connection string, which has a password in it.
    postgres_url_file: Option<PathBuf>,
}

/// Bounds; names carry their units.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Largest body.
    pub body_bytes_max: usize,
    /// Largest upload.
    pub upload_bytes_max: usize,
    /// Longest request.
    pub request_ms_max: u64,
    /// Requests of one account in a second.
    pub account_requests_per_s_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            upload_bytes_max: 32 << 20,
            request_ms_max: 60_000,
            account_requests_per_s_max: 500,
        }
    }
}

/// Settings that weaken something; logged at start.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Danger {
    /// Adds `/_emulator/`: anyone who reaches the server can move its clock.
    pub emulator_controls: bool,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Log {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

/// A valid configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub listen: SocketAddr,
    pub base_url: String,
    pub key_file: PathBuf,
    pub store: StoreConfig,
    pub limits: Limits,
    pub danger: Danger,
    pub log: Log,
}

impl Config {
    /// Reads and checks a file. Relative paths in it start at its folder.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read `{}`; `portcullis init` makes a new site", path.display()))?;
        Self::parse(path, &text)
    }

    /// Checks the text of a file that is or will be at `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| not_valid(path, text, &error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let base_url = file.base_url.trim_end_matches('/').to_owned();
        let authority = base_url.strip_prefix("http://").or_else(|| base_url.strip_prefix("https://"));
        if authority.is_none_or(|rest| rest.is_empty() || rest.contains(['/', '?', '#', ' ', '@'])) {
            bail!(
                "`base_url` must be http:// or https:// with a host and nothing after it, like https://jira.example.org"
            );
        }
        let store = match (file.database.sqlite, file.database.postgres_url_file) {
            (Some(sqlite), None) => StoreConfig::Sqlite { path: folder.join(sqlite) },
            (None, Some(url_file)) => {
                let url_file = folder.join(url_file);
                let url =
                    fs::read_to_string(&url_file).with_context(|| format!("cannot read `{}`", url_file.display()))?;
                StoreConfig::Postgres { url: url.trim().to_owned(), schema: None }
            }
            _ => bail!("[database] needs either `sqlite` or `postgres_url_file`"),
        };
        if file.limits.body_bytes_max == 0
            || file.limits.request_ms_max == 0
            || file.limits.account_requests_per_s_max == 0
        {
            bail!("[limits] must be larger than 0");
        }
        Ok(Self {
            listen: file.listen,
            base_url,
            key_file: folder.join(file.key_file),
            store,
            limits: file.limits,
            danger: file.danger,
            log: file.log,
        })
    }
}

/// One line for a mistake in the file: where it is and what is wrong.
fn not_valid(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!(", line {}", before.matches('\n').count() + 1)).unwrap_or_default();
    let words = error.message().lines().collect::<Vec<_>>().join(", ");
    anyhow::anyhow!("`{}`{line}: {words}", path.display())
}
