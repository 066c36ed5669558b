//! One TOML file; unknown keys are rejected; a [`Config`] that exists is valid.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use portcullis_gateway::Hosts;
use portcullis_guard::Addresses;
use portcullis_outbound::AddressRules;
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
    hosts: Option<HostNames>,
    #[serde(default)]
    tls: Option<TlsFiles>,
    #[serde(default)]
    outbound: Calls,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    danger: Danger,
    #[serde(default)]
    log: Log,
}

/// Host names of the roles besides the site's, which `base_url` names; a role without one is on the site's.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostNames {
    /// The authorization server, such as `auth.atlassian.com`.
    auth: Option<String>,
    /// The API gateway, such as `api.atlassian.com`.
    api: Option<String>,
}

/// Files of the listener's certificate, both PEM.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFiles {
    certificate_file: PathBuf,
    key_file: PathBuf,
}

/// Calls to apps.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Calls {
    /// Networks beside the public internet where apps may be, such as `10.1.0.0/16`.
    allow: Vec<String>,
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
    pub addresses: Addresses,
    pub hosts: Option<Hosts>,
    pub tls_files: Option<(PathBuf, PathBuf)>,
    pub key_file: PathBuf,
    pub store: StoreConfig,
    pub outbound: AddressRules,
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
        let mut allowed = Vec::new();
        for text in &file.outbound.allow {
            allowed.push(text.parse().with_context(|| format!("[outbound] allow: `{text}`"))?);
        }
        let rules = AddressRules::with(allowed);
        // The apps of a demo run beside it.
        let outbound = if file.danger.emulator_controls { rules.and_loopback() } else { rules };
        let (addresses, hosts) = roles(&base_url, file.hosts.unwrap_or_default())?;
        Ok(Self {
            listen: file.listen,
            addresses,
            hosts,
            tls_files: file.tls.map(|tls| (folder.join(tls.certificate_file), folder.join(tls.key_file))),
            base_url,
            key_file: folder.join(file.key_file),
            store,
            outbound,
            limits: file.limits,
            danger: file.danger,
            log: file.log,
        })
    }
}

/// Addresses and host names of the roles.
fn roles(base_url: &str, names: HostNames) -> anyhow::Result<(Addresses, Option<Hosts>)> {
    if names.auth.is_none() && names.api.is_none() {
        return Ok((Addresses::one(base_url), None));
    }
    let (scheme, authority) = base_url.split_once("://").context("`base_url` has no scheme")?;
    let (site, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, format!(":{port}")),
        _ => (authority, String::new()),
    };
    let name = |name: Option<String>| -> anyhow::Result<String> {
        let name = name.unwrap_or_else(|| site.to_owned()).to_ascii_lowercase();
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if name.is_empty() || !name.bytes().all(allowed) {
            bail!("[hosts] holds host names alone, like auth.example.org, without a scheme or a port");
        }
        Ok(name)
    };
    let hosts = Hosts { site: site.to_ascii_lowercase(), auth: name(names.auth)?, api: name(names.api)? };
    let address = |host: &str| format!("{scheme}://{host}{port}");
    let addresses = Addresses { site: base_url.to_owned(), issuer: address(&hosts.auth), api: address(&hosts.api) };
    Ok((addresses, Some(hosts)))
}

/// One line for a mistake in the file: where it is and what is wrong.
fn not_valid(path: &Path, text: &str, error: &toml::de::Error) -> anyhow::Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map(|before| format!(", line {}", before.matches('\n').count() + 1)).unwrap_or_default();
    let words = error.message().lines().collect::<Vec<_>>().join(", ");
    anyhow::anyhow!("`{}`{line}: {words}", path.display())
}
