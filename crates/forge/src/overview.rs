//! Installed apps as administrators see them: what each may do, what it keeps, how it has been running.

use std::collections::HashMap;

use portcullis_guard::{AnyMode, Tx};
use portcullis_model::{Problem, UserId};

use crate::manifest::Manifest;
use crate::wire::bare;

/// Runs of the last day are counted.
const COUNTED_MS: i64 = 86_400_000;
/// Lines of one invocation that are shown.
const LINES_MAX: i64 = 100;

/// An installed app.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Its id to the outside.
    pub id: String,
    /// The app's name.
    pub name: String,
    /// `production`, or the developer's own name for it.
    pub environment: String,
    /// The version that was consented to.
    pub version: String,
    /// A newer version asks for more, and waits for consent.
    pub newer_waits: bool,
    /// Scopes that were consented to.
    pub scopes: Vec<String>,
    /// Addresses that its code may fetch from.
    pub egress: Vec<String>,
    /// The account it acts with.
    pub user: UserId,
    /// Whose app it is.
    pub owner: UserId,
    /// When it was installed.
    pub installed_at_ms: i64,
    /// Values it keeps.
    pub stored: i64,
    /// Their size.
    pub stored_bytes: i64,
    /// Invocations of the last day.
    pub runs: i64,
    /// Of these, how many threw.
    pub threw: i64,
    /// How many hit a limit.
    pub limited: i64,
    /// How many ended with their worker.
    pub crashed: i64,
}

/// Every installed app, by name; or the one with this id.
///
/// # Errors
/// The database's; a bug when a manifest does not read.
pub async fn installed<M: AnyMode>(tx: &mut Tx<M>, id: Option<&str>, now_ms: i64) -> Result<Vec<Installed>, Problem> {
    let sql = "SELECT installation, outcome, count(*) AS n FROM forge_invocation WHERE started_at_ms > $1 GROUP BY installation, outcome";
    let mut counted: HashMap<(i64, String), i64> = HashMap::new();
    for row in tx.query(sql, &[(now_ms - COUNTED_MS).into()]).await? {
        counted.insert((row.get("installation")?, row.get("outcome")?), row.get("n")?);
    }
    let sql = "SELECT i.id, i.uuid, i.scopes, i.user_id, i.installed_at_ms, a.name, a.owner, e.key, v.major, v.minor, v.manifest,
                      (SELECT max(major) FROM forge_version WHERE environment = e.id) AS newest,
                      (SELECT count(*) FROM forge_value WHERE installation = i.id) AS stored,
                      (SELECT coalesce(sum(bytes), 0) FROM forge_value WHERE installation = i.id) AS stored_bytes
               FROM forge_installation i JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app
               JOIN forge_version v ON v.id = i.version
               WHERE i.uninstalled_at_ms IS NULL AND ($1 = '' OR i.uuid = $1) ORDER BY a.name, i.id";
    let mut out = Vec::new();
    for row in tx.query(sql, &[id.map_or("", bare).into()]).await? {
        let manifest =
            Manifest::parse(&row.get::<String>("manifest")?).map_err(|faults| Problem::bug(faults.join(" ")))?;
        let (row_id, major, minor): (i64, i64, i64) = (row.get("id")?, row.get("major")?, row.get("minor")?);
        let of = |outcome: &str| counted.get(&(row_id, outcome.to_owned())).copied().unwrap_or(0);
        let scopes: String = row.get("scopes")?;
        out.push(Installed {
            id: row.get("uuid")?,
            name: row.get("name")?,
            environment: row.get("key")?,
            version: format!("{major}.{minor}.0"),
            newer_waits: row.get::<i64>("newest")? > major,
            scopes: scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
            egress: manifest.egress.into_iter().collect(),
            user: UserId(row.get("user_id")?),
            owner: UserId(row.get("owner")?),
            installed_at_ms: row.get("installed_at_ms")?,
            stored: row.get("stored")?,
            stored_bytes: row.get("stored_bytes")?,
            runs: of("ok") + of("threw") + of("limited") + of("crashed"),
            threw: of("threw"),
            limited: of("limited"),
            crashed: of("crashed"),
        });
    }
    Ok(out)
}

/// An invocation, with what it said.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its id.
    pub id: String,
    /// The function's key.
    pub function: String,
    /// Type and key of the module it ran for.
    pub module: String,
    /// When it began.
    pub started_at_ms: i64,
    /// How long it took, in microseconds.
    pub took_us: i64,
    /// `ok`, `threw`, `limited` or `crashed`.
    pub outcome: String,
    /// What was thrown, or which limit was hit.
    pub detail: String,
    /// Level and text of what it logged.
    pub lines: Vec<(String, String)>,
}

/// The newest invocations of an installation.
///
/// # Errors
/// The database's.
pub async fn invocations<M: AnyMode>(tx: &mut Tx<M>, id: &str, most: i64) -> Result<Vec<Invocation>, Problem> {
    let sql = "SELECT i.id, i.uuid, i.function_key, i.module_type, i.module_key, i.started_at_ms, i.took_us, i.outcome, i.detail
               FROM forge_invocation i JOIN forge_installation n ON n.id = i.installation
               WHERE n.uuid = $1 ORDER BY i.id DESC LIMIT $2";
    let mut out = Vec::new();
    for row in tx.query(sql, &[bare(id).into(), most.into()]).await? {
        let sql = "SELECT level, text FROM forge_log WHERE invocation = $1 ORDER BY id LIMIT $2";
        let lines = tx.query(sql, &[row.get::<i64>("id")?.into(), LINES_MAX.into()]).await?;
        let lines = lines.iter().map(|line| Ok((line.get("level")?, line.get("text")?)));
        out.push(Invocation {
            id: row.get("uuid")?,
            function: row.get("function_key")?,
            module: format!("{} {}", row.get::<String>("module_type")?, row.get::<String>("module_key")?),
            started_at_ms: row.get("started_at_ms")?,
            took_us: row.get("took_us")?,
            outcome: row.get("outcome")?,
            detail: row.get("detail")?,
            lines: lines.collect::<Result<_, portcullis_guard::StoreError>>()?,
        });
    }
    Ok(out)
}
