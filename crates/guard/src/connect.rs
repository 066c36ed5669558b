//! What is kept in memory of Connect apps: enough to verify their tokens and to decide, without SQL.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_authz::ConnectGrant;
use portcullis_crypto::jws::{SigningKey, VerifyingKey};
use portcullis_crypto::{ExposeSecret, Purpose, SealingKeys};
use portcullis_model::{ConnectAppId, ConnectScope, UserId};
use portcullis_store::{Mode, StoreError, Tx};

use crate::snapshot::one_or_all;

/// What an app's shared secret is sealed for.
pub const SHARED_SECRET: Purpose = Purpose::new("connect secret");

/// What the keys that sign `installed` and `uninstalled` are sealed for.
pub const INSTALL_KEY: Purpose = Purpose::new("install key");

/// Where an app is told of its life, where it wants to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// After it was installed or let work again.
    pub enabled: Option<String>,
    /// Before it is stopped.
    pub disabled: Option<String>,
    /// Before its secret is destroyed.
    pub uninstalled: Option<String>,
}

/// An installed Connect app as authentication sees it.
pub struct ConnectFacts {
    /// Its id.
    pub id: ConnectAppId,
    /// Its key, which is the issuer of its tokens.
    pub key: String,
    /// The name people see.
    pub name: String,
    /// Where it is reached, without a slash at the end.
    pub base_url: String,
    /// Paths of `enabled`, `disabled` and `uninstalled` below it.
    pub paths: Paths,
    /// The account it acts with.
    pub user: UserId,
    /// What it may do.
    pub grant: ConnectGrant,
    /// Names this site to the app.
    pub client_key: String,
    /// Its id at the impersonation grant.
    pub oauth_client_id: String,
    /// Whether an administrator lets it work.
    pub enabled: bool,
    /// Tokens to act for users count when they were issued after this moment.
    pub since_ms: i64,
    /// Checks and makes HS256 tokens with the secret in force.
    pub secret: Arc<SigningKey>,
    /// Checks tokens with the secret in force.
    pub verifying: VerifyingKey,
    /// Checks tokens with the secret before it, until a moment.
    pub previous: Option<(VerifyingKey, i64)>,
}

impl std::fmt::Debug for ConnectFacts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectFacts").field("id", &self.id).field("key", &self.key).finish_non_exhaustive()
    }
}

/// The part of the snapshot about Connect apps. Apps that were uninstalled are not in it.
#[derive(Debug, Default)]
pub struct ConnectSnapshot {
    apps: HashMap<ConnectAppId, Arc<ConnectFacts>>,
    by_key: HashMap<String, ConnectAppId>,
    install_key: Option<Arc<SigningKey>>,
}

impl ConnectSnapshot {
    /// The app with this id.
    pub fn app(&self, id: ConnectAppId) -> Option<&Arc<ConnectFacts>> {
        self.apps.get(&id)
    }

    /// The app with this key.
    pub fn app_named(&self, key: &str) -> Option<&Arc<ConnectFacts>> {
        self.app(*self.by_key.get(key)?)
    }

    /// The app with this id at the impersonation grant.
    pub fn app_of_client(&self, oauth_client_id: &str) -> Option<&Arc<ConnectFacts>> {
        self.apps.values().find(|app| app.oauth_client_id == oauth_client_id)
    }

    /// Every installed app, in no order.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<ConnectFacts>> {
        self.apps.values()
    }

    /// The key that signs installations; `None` before the first start has made one.
    pub fn install_key(&self) -> Option<&Arc<SigningKey>> {
        self.install_key.as_ref()
    }

    pub(crate) fn set_install_key(&mut self, key: Option<Arc<SigningKey>>) {
        self.install_key = key;
    }

    pub(crate) fn apply(&mut self, id: ConnectAppId, app: Option<Arc<ConnectFacts>>) {
        if let Some(old) = self.apps.remove(&id) {
            self.by_key.remove(&old.key);
        }
        if let Some(app) = app {
            self.by_key.insert(app.key.clone(), id);
            self.apps.insert(id, app);
        }
    }
}

/// The grant that scope names of a descriptor make. Unknown names give nothing.
pub fn grant_of(scopes: &str) -> ConnectGrant {
    let mut grant = ConnectGrant { top: ConnectScope::None, act_as_user: false, emails: false };
    for name in scopes.split(' ') {
        match ConnectScope::ALL.into_iter().find(|scope| scope.name() == name) {
            Some(ConnectScope::ActAsUser) => grant.act_as_user = true,
            Some(ConnectScope::AccessEmailAddresses) => grant.emails = true,
            Some(scope) if scope.rank() > grant.top.rank() => grant.top = scope,
            Some(_) | None => {}
        }
    }
    grant
}

/// What both grants allow: the lower of the ordered scopes, and the others where both have them.
pub fn intersection(a: ConnectGrant, b: ConnectGrant) -> ConnectGrant {
    ConnectGrant {
        top: if a.top.rank() <= b.top.rank() { a.top } else { b.top },
        act_as_user: a.act_as_user && b.act_as_user,
        emails: a.emails && b.emails,
    }
}

pub(crate) type Change = (ConnectAppId, Option<Arc<ConnectFacts>>);

pub(crate) async fn apps<M: Mode>(
    tx: &mut Tx<M>,
    keys: &SealingKeys,
    only: Option<ConnectAppId>,
) -> Result<Vec<Change>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id, app_key, name, base_url, enabled_path, disabled_path, uninstalled_path, user_id, scopes, client_key, oauth_client_id, enabled, since_ms, secret,
                previous_secret, previous_until_ms FROM app_connect WHERE uninstalled_at_ms IS NULL AND id = $1",
        "SELECT id, app_key, name, base_url, enabled_path, disabled_path, uninstalled_path, user_id, scopes, client_key, oauth_client_id, enabled, since_ms, secret,
                previous_secret, previous_until_ms FROM app_connect WHERE uninstalled_at_ms IS NULL",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = ConnectAppId(row.get("id")?);
        let key: String = row.get("app_key")?;
        let opened = |sealed: Option<Vec<u8>>| keys.open(&sealed?, SHARED_SECRET, key.as_bytes()).ok();
        let Some(secret) = opened(row.get("secret")?) else {
            // Its tokens are refused; the others go on.
            tracing::error!(app = %key, "the secret of a Connect app does not open with the deployment's key");
            out.push((id, None));
            continue;
        };
        let until: Option<i64> = row.get("previous_until_ms")?;
        let previous = opened(row.get("previous_secret")?)
            .and_then(|secret| VerifyingKey::hs256(secret.expose_secret()).ok())
            .zip(until);
        let pair = SigningKey::hs256(String::new(), secret.expose_secret())
            .and_then(|signing| Ok((signing, VerifyingKey::hs256(secret.expose_secret())?)));
        let Ok((signing, verifying)) = pair else {
            out.push((id, None));
            continue;
        };
        let facts = ConnectFacts {
            id,
            name: row.get("name")?,
            base_url: row.get("base_url")?,
            paths: Paths {
                enabled: row.get("enabled_path")?,
                disabled: row.get("disabled_path")?,
                uninstalled: row.get("uninstalled_path")?,
            },
            user: UserId(row.get("user_id")?),
            grant: grant_of(&row.get::<String>("scopes")?),
            client_key: row.get("client_key")?,
            oauth_client_id: row.get("oauth_client_id")?,
            enabled: row.get("enabled")?,
            since_ms: row.get("since_ms")?,
            secret: Arc::new(signing),
            verifying,
            previous,
            key,
        };
        out.push((id, Some(Arc::new(facts))));
    }
    Ok(out)
}

/// The newest key that signs installations.
pub(crate) async fn install_key<M: Mode>(
    tx: &mut Tx<M>,
    keys: &SealingKeys,
) -> Result<Option<Arc<SigningKey>>, StoreError> {
    let sql = "SELECT kid, sealed FROM app_install_key ORDER BY created_at_ms DESC, kid LIMIT 1";
    let Some(row) = tx.query_opt(sql, &[]).await? else { return Ok(None) };
    let (kid, sealed): (String, Vec<u8>) = (row.get("kid")?, row.get("sealed")?);
    let opened = keys.open(&sealed, INSTALL_KEY, kid.as_bytes()).ok();
    let key = opened.and_then(|private| SigningKey::rs256_from_pkcs8(kid.clone(), private.expose_secret()).ok());
    if key.is_none() {
        tracing::error!(%kid, "the key that signs installations does not open with the deployment's key");
    }
    Ok(key.map(Arc::new))
}
