//! What is kept in memory of OAuth 2.0 apps: clients, what people let them do, families of tokens that died, signing keys.
//!
//! An access token says itself which grant and which family it belongs to. It counts while the grant is here, the family is not
//! among the dead, the client is not blocked and its account has not been shut out since: so a revocation is complete when its
//! transaction commits, and a check costs no SQL.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portcullis_crypto::jws::{SigningKey, VerifyingKey};
use portcullis_crypto::{ExposeSecret, Purpose, SealingKeys, TokenHash};
use portcullis_model::{AppGrantId, AppId, ClientSecretId, ScopeSet, TokenFamilyId, UserId};
use portcullis_store::{Mode, StoreError, Tx};

use crate::snapshot::{hash_of, one_or_all};

/// What the private half of a signing key is sealed for.
pub const SIGNING_KEY: Purpose = Purpose::new("signing key");

/// How a client can prove itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// It has a secret or a key (RFC 6749, section 2.1).
    Confidential,
    /// It has neither, so that a code proves itself with PKCE.
    Public,
    /// It acts for one service account and asks nobody.
    Service,
}

/// Which words a client gets for its mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireProfile {
    /// The RFCs' statuses and codes.
    Rfc,
    /// What Atlassian's token endpoint answers.
    Atlassian,
}

/// How a client came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registered {
    /// A developer made it in the console.
    Console,
    /// It registered itself (RFC 7591).
    Dynamic,
    /// Its id is the URL of its metadata document.
    Metadata,
}

/// A secret of a client.
#[derive(Clone, Debug)]
pub struct SecretFacts {
    /// Its id.
    pub id: ClientSecretId,
    /// What it is found by.
    pub hash: TokenHash,
    /// Refused from here on; `None`: while it is there.
    pub expires_at_ms: Option<i64>,
}

/// An OAuth 2.0 client as the authorization server sees it.
#[derive(Debug)]
pub struct ClientFacts {
    /// Its id.
    pub id: AppId,
    /// Its public id.
    pub client_id: String,
    /// How it can prove itself.
    pub kind: ClientKind,
    /// How it came to be known.
    pub registered: Registered,
    /// The name people see.
    pub name: String,
    /// Who made it.
    pub owner: Option<UserId>,
    /// Whom a service client acts for.
    pub service_user: Option<UserId>,
    /// The words it gets for its mistakes.
    pub profile: WireProfile,
    /// The most it may ask for.
    pub scopes: ScopeSet,
    /// Where answers may go, exactly.
    pub redirect_uris: Vec<String>,
    /// Keys for `private_key_jwt`.
    pub keys: Vec<VerifyingKey>,
    /// Its secrets.
    pub secrets: Vec<SecretFacts>,
    /// A code is not given without a PKCE challenge.
    pub pkce_required: bool,
    /// Authorization starts with a pushed request only.
    pub par_required: bool,
    /// Tokens are bound to a key of the client.
    pub dpop_required: bool,
    /// People other than its owner may let it in.
    pub shared: bool,
    /// An administrator shut it out.
    pub blocked: bool,
}

/// What an account lets an app do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantFacts {
    /// Its id.
    pub id: AppGrantId,
    /// The app.
    pub client: AppId,
    /// The account.
    pub user: UserId,
    /// What may be done.
    pub scopes: ScopeSet,
}

/// The part of the snapshot about OAuth 2.0.
#[derive(Debug, Default)]
pub struct OauthSnapshot {
    clients: HashMap<AppId, Arc<ClientFacts>>,
    by_client_id: HashMap<String, AppId>,
    grants: HashMap<AppGrantId, GrantFacts>,
    by_pair: HashMap<(AppId, UserId), AppGrantId>,
    dead: HashSet<TokenFamilyId>,
    signing: Vec<Arc<SigningKey>>,
    verifying: HashMap<String, Arc<VerifyingKey>>,
}

impl OauthSnapshot {
    /// The client with this id.
    pub fn client(&self, id: AppId) -> Option<&Arc<ClientFacts>> {
        self.clients.get(&id)
    }

    /// The client with this public id.
    pub fn client_named(&self, client_id: &str) -> Option<&Arc<ClientFacts>> {
        self.client(*self.by_client_id.get(client_id)?)
    }

    /// Every client, in no order.
    pub fn clients(&self) -> impl Iterator<Item = &Arc<ClientFacts>> {
        self.clients.values()
    }

    /// A grant.
    pub fn grant(&self, id: AppGrantId) -> Option<&GrantFacts> {
        self.grants.get(&id)
    }

    /// What an account lets an app do.
    pub fn grant_of(&self, client: AppId, user: UserId) -> Option<&GrantFacts> {
        self.grant(*self.by_pair.get(&(client, user))?)
    }

    /// Whether a family of tokens died.
    pub fn is_dead(&self, family: TokenFamilyId) -> bool {
        self.dead.contains(&family)
    }

    /// The key that signs now; `None` before the first start has made one.
    pub fn signing_key(&self) -> Option<&Arc<SigningKey>> {
        self.signing.first()
    }

    /// Every key that verifies, the one that signs first.
    pub fn signing_keys(&self) -> &[Arc<SigningKey>] {
        &self.signing
    }

    pub(crate) fn verifying_key(&self, kid: &str) -> Option<&Arc<VerifyingKey>> {
        self.verifying.get(kid)
    }

    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Client(id, client) => {
                if let Some(old) = self.clients.remove(&id) {
                    self.by_client_id.remove(&old.client_id);
                }
                if let Some(client) = client {
                    self.by_client_id.insert(client.client_id.clone(), id);
                    self.clients.insert(id, client);
                }
            }
            Change::Grant(id, grant) => {
                if let Some(old) = self.grants.remove(&id) {
                    self.by_pair.remove(&(old.client, old.user));
                }
                if let Some(grant) = grant {
                    self.by_pair.insert((grant.client, grant.user), id);
                    self.grants.insert(id, grant);
                }
            }
            Change::Family(id, dead) => {
                if dead {
                    self.dead.insert(id);
                } else {
                    self.dead.remove(&id);
                }
            }
            Change::SigningKeys(keys) => {
                let verifying =
                    keys.iter().filter_map(|key| Some((key.kid().to_owned(), Arc::new(key.verifying_key().ok()?))));
                self.verifying = verifying.collect();
                self.signing = keys;
            }
        }
    }
}

/// What was read of one entity.
pub(crate) enum Change {
    Client(AppId, Option<Arc<ClientFacts>>),
    Grant(AppGrantId, Option<GrantFacts>),
    /// Whether it died; one that is not there did not.
    Family(TokenFamilyId, bool),
    /// The newest first.
    SigningKeys(Vec<Arc<SigningKey>>),
}

pub(crate) async fn clients<M: Mode>(tx: &mut Tx<M>, only: Option<AppId>) -> Result<Vec<Change>, StoreError> {
    let id = only.map(|id| id.0);
    let (sql, params) = one_or_all(
        id,
        "SELECT id, client, hash, expires_at_ms FROM app_oauth_secret WHERE client = $1 ORDER BY id",
        "SELECT id, client, hash, expires_at_ms FROM app_oauth_secret ORDER BY id",
    );
    let mut secrets: HashMap<AppId, Vec<SecretFacts>> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        let Some(hash) = hash_of(&row)? else { continue };
        let facts = SecretFacts { id: ClientSecretId(row.get("id")?), hash, expires_at_ms: row.get("expires_at_ms")? };
        secrets.entry(AppId(row.get("client")?)).or_default().push(facts);
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT id, client_id, kind, registered, name, owner_id, service_user_id, profile, scopes, redirect_uris, jwks,
                pkce_required, par_required, dpop_required, shared, blocked FROM app_oauth_client WHERE id = $1",
        "SELECT id, client_id, kind, registered, name, owner_id, service_user_id, profile, scopes, redirect_uris, jwks,
                pkce_required, par_required, dpop_required, shared, blocked FROM app_oauth_client",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Change::Client(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = AppId(row.get("id")?);
        let kind = match row.get::<String>("kind")?.as_str() {
            "confidential" => ClientKind::Confidential,
            "service" => ClientKind::Service,
            _ => ClientKind::Public,
        };
        let registered = match row.get::<String>("registered")?.as_str() {
            "console" => Registered::Console,
            "dynamic" => Registered::Dynamic,
            _ => Registered::Metadata,
        };
        let profile = match row.get::<String>("profile")?.as_str() {
            "atlassian" => WireProfile::Atlassian,
            _ => WireProfile::Rfc,
        };
        let facts = ClientFacts {
            id,
            client_id: row.get("client_id")?,
            kind,
            registered,
            name: row.get("name")?,
            owner: row.get::<Option<i64>>("owner_id")?.map(UserId),
            service_user: row.get::<Option<i64>>("service_user_id")?.map(UserId),
            profile,
            scopes: ScopeSet::of_names(&row.get::<String>("scopes")?),
            redirect_uris: row.get::<String>("redirect_uris")?.split_whitespace().map(str::to_owned).collect(),
            keys: keys_of(row.get::<Option<String>>("jwks")?.as_deref()),
            secrets: secrets.remove(&id).unwrap_or_default(),
            pkce_required: row.get("pkce_required")?,
            par_required: row.get("par_required")?,
            dpop_required: row.get("dpop_required")?,
            shared: row.get("shared")?,
            blocked: row.get("blocked")?,
        };
        out.push(Change::Client(id, Some(Arc::new(facts))));
    }
    Ok(out)
}

/// The keys of a JWK set (RFC 7517, section 5); one that cannot be used verifies nothing.
fn keys_of(jwks: Option<&str>) -> Vec<VerifyingKey> {
    let set = jwks.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()).unwrap_or_default();
    let keys = set.get("keys").and_then(serde_json::Value::as_array);
    keys.into_iter().flatten().filter_map(|jwk| VerifyingKey::from_jwk(jwk).ok()).collect()
}

pub(crate) async fn grants<M: Mode>(tx: &mut Tx<M>, only: Option<AppGrantId>) -> Result<Vec<Change>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id, client, user_id, scopes FROM app_oauth_grant WHERE id = $1",
        "SELECT id, client, user_id, scopes FROM app_oauth_grant",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Change::Grant(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let facts = GrantFacts {
            id: AppGrantId(row.get("id")?),
            client: AppId(row.get("client")?),
            user: UserId(row.get("user_id")?),
            scopes: ScopeSet::of_names(&row.get::<String>("scopes")?),
        };
        out.push(Change::Grant(facts.id, Some(facts)));
    }
    Ok(out)
}

pub(crate) async fn families<M: Mode>(tx: &mut Tx<M>, only: Option<TokenFamilyId>) -> Result<Vec<Change>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id FROM app_oauth_family WHERE id = $1 AND died_at_ms IS NOT NULL",
        "SELECT id FROM app_oauth_family WHERE died_at_ms IS NOT NULL",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Change::Family(id, false)]);
    }
    rows.iter().map(|row| Ok(Change::Family(TokenFamilyId(row.get("id")?), true))).collect()
}

pub(crate) async fn signing_keys<M: Mode>(tx: &mut Tx<M>, keys: &SealingKeys) -> Result<Change, StoreError> {
    let sql = "SELECT kid, sealed FROM app_signing_key ORDER BY created_at_ms DESC, kid";
    let mut out = Vec::new();
    for row in tx.query(sql, &[]).await? {
        let kid: String = row.get("kid")?;
        let sealed: Vec<u8> = row.get("sealed")?;
        let opened = keys.open(&sealed, SIGNING_KEY, kid.as_bytes());
        match opened.ok().and_then(|pkcs8| SigningKey::es256_from_pkcs8(kid.clone(), pkcs8.expose_secret()).ok()) {
            Some(key) => out.push(Arc::new(key)),
            // What it signed is refused; the others go on.
            None => tracing::error!(%kid, "a signing key does not open with the deployment's key"),
        }
    }
    Ok(Change::SigningKeys(out))
}
