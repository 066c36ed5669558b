//! Families of tokens: what one authorization led to, each refresh token made from the one before.
//!
//! A client that lost an answer asks again with the same token and gets the same successor: nothing is lost, and there are never
//! two branches. A token that comes again later was stolen, from the client or by it: the family dies (RFC 9700, section 4.14.2).

use portcullis_crypto::{PlainToken, TokenFamily, TokenHash, TokenKind};
use portcullis_guard::{AnyMode, StoreError, Tx, View, Writes};
use portcullis_model::{AppGrantId, AppId, Problem, Timestamp, TokenFamilyId, UserId};

use super::access_token;

/// A family without use for this long is over.
pub const IDLE_MS: i64 = 90 * 86_400_000;
/// A family is over this long after it began, used or not.
pub const LIFE_MS: i64 = 365 * 86_400_000;
/// A token that was used is answered again for this long, with the same successor.
pub const LEEWAY_MS: i64 = 10 * 60_000;

/// A family in use.
#[derive(Clone, Debug)]
pub struct Family {
    /// Its id.
    pub id: TokenFamilyId,
    /// The grant it draws on.
    pub grant: AppGrantId,
    /// The account.
    pub user: UserId,
    /// What was granted, in the words and the order that were asked for.
    pub scopes: String,
    /// The key that its tokens are bound to.
    pub key_thumbprint: Option<String>,
    /// When it began.
    pub started_at_ms: i64,
    /// When it is over, used or not.
    pub expires_at_ms: i64,
}

/// What a new family is made of.
pub struct NewFamily<'a> {
    /// The client.
    pub client: AppId,
    /// The grant it draws on.
    pub grant: AppGrantId,
    /// The account.
    pub user: UserId,
    /// What was granted.
    pub scopes: &'a str,
    /// The key that its tokens are bound to.
    pub key_thumbprint: Option<&'a str>,
    /// Whether it has refresh tokens.
    pub lasting: bool,
}

/// Begins a family; its first refresh token where it has any.
///
/// # Errors
/// The database's.
pub async fn begin<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    new: NewFamily<'_>,
) -> Result<(Family, Option<PlainToken>), StoreError> {
    let now = view.now();
    let handle = TokenFamily::issue(view.entropy());
    let refresh = new.lasting.then(|| PlainToken::issue_in_family(TokenKind::RefreshToken, handle, view.entropy()));
    let expires_at_ms = if new.lasting { now.0 + LIFE_MS } else { now.0 + access_token::LIFE_S * 1_000 };
    let sql = "INSERT INTO app_oauth_family (handle, client, grant_id, user_id, scopes, key_thumbprint, generation,
                      current_hash, rotated_at_ms, created_at_ms, expires_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $8, $9) RETURNING id";
    let params = [
        handle.to_column().into(),
        new.client.0.into(),
        new.grant.0.into(),
        new.user.0.into(),
        new.scopes.into(),
        new.key_thumbprint.map(str::to_owned).into(),
        refresh.as_ref().map(|token| token.hash().to_bytes().to_vec()).into(),
        now.0.into(),
        expires_at_ms.into(),
    ];
    let id = TokenFamilyId(tx.query_one(sql, &params).await?.get("id")?);
    let family = Family {
        id,
        grant: new.grant,
        user: new.user,
        scopes: new.scopes.to_owned(),
        key_thumbprint: new.key_thumbprint.map(str::to_owned),
        started_at_ms: now.0,
        expires_at_ms,
    };
    Ok((family, refresh))
}

/// What became of a refresh token that was presented.
pub enum Rotation {
    /// Here is the next one; the same again for a client that asks again.
    Next(Family, PlainToken),
    /// It is unknown, over, or another client's.
    Unknown,
    /// It had been used long before: the family is dead from now on.
    Replayed(TokenFamilyId, UserId),
}

const ONE: &str =
    "SELECT id, client, grant_id, user_id, scopes, key_thumbprint, current_hash, previous_hash, rotated_at_ms,
        created_at_ms, expires_at_ms, died_at_ms FROM app_oauth_family WHERE handle = $1";

/// Takes a refresh token and makes its successor. A replay has to be named as withdrawn.
///
/// # Errors
/// The database's.
pub async fn rotate<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    client: AppId,
    presented: &str,
    key_thumbprint: Option<&str>,
) -> Result<Rotation, Problem> {
    let now = view.now();
    let Some((TokenKind::RefreshToken, hash)) = TokenHash::parse(presented) else { return Ok(Rotation::Unknown) };
    let Some(handle) = TokenFamily::of(presented) else { return Ok(Rotation::Unknown) };
    let Some(row) = tx.query_opt(ONE, &[handle.to_column().into()]).await? else { return Ok(Rotation::Unknown) };
    let family = Family {
        id: TokenFamilyId(row.get("id")?),
        grant: AppGrantId(row.get("grant_id")?),
        user: UserId(row.get("user_id")?),
        scopes: row.get("scopes")?,
        key_thumbprint: row.get("key_thumbprint")?,
        started_at_ms: row.get("created_at_ms")?,
        expires_at_ms: row.get("expires_at_ms")?,
    };
    let rotated_at_ms: i64 = row.get("rotated_at_ms")?;
    let hash_in = |column: &str| -> Result<Option<TokenHash>, StoreError> {
        let bytes: Option<Vec<u8>> = row.get(column)?;
        Ok(bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(TokenHash::from_bytes))
    };
    let (current, previous) = (hash_in("current_hash")?, hash_in("previous_hash")?);
    // E23: of another client it says nothing and does nothing to the family.
    if row.get::<i64>("client")? != client.0 || row.get::<Option<i64>>("died_at_ms")?.is_some() {
        return Ok(Rotation::Unknown);
    }
    if now.0 >= family.expires_at_ms || now.0 >= rotated_at_ms.saturating_add(IDLE_MS) {
        return Ok(Rotation::Unknown);
    }
    if family.key_thumbprint.is_some() && family.key_thumbprint.as_deref() != key_thumbprint {
        return Ok(Rotation::Unknown);
    }
    if !counts(view, client, &family) {
        return Ok(Rotation::Unknown);
    }
    let mut successors = view.keys().successors(TokenKind::RefreshToken, handle, presented);
    if current == Some(hash) {
        let next = successors.next().ok_or_else(|| Problem::bug("no key to make a token with"))?;
        let sql =
            "UPDATE app_oauth_family SET previous_hash = current_hash, current_hash = $2, generation = generation + 1,
                          rotated_at_ms = $3 WHERE id = $1";
        tx.execute(sql, &[family.id.0.into(), next.hash().to_bytes().to_vec().into(), now.0.into()]).await?;
        return Ok(Rotation::Next(family, next));
    }
    if previous == Some(hash) && now.0 <= rotated_at_ms.saturating_add(LEEWAY_MS) {
        return Ok(match successors.find(|next| Some(next.hash()) == current) {
            Some(next) => Rotation::Next(family, next),
            // The deployment's key was changed and the old one thrown away meanwhile.
            None => Rotation::Unknown,
        });
    }
    kill(tx, family.id, "refresh_token_replayed", now).await?;
    Ok(Rotation::Replayed(family.id, family.user))
}

/// What the family of a refresh token was granted; `None` for a token of none.
///
/// # Errors
/// The database's.
pub(crate) async fn scopes_of<M: Writes>(tx: &mut Tx<M>, presented: &str) -> Result<Option<String>, StoreError> {
    let Some(handle) = TokenHash::parse(presented).and_then(|_| TokenFamily::of(presented)) else { return Ok(None) };
    let sql = "SELECT scopes FROM app_oauth_family WHERE handle = $1";
    let row = tx.query_opt(sql, &[handle.to_column().into()]).await?;
    row.map(|row| row.get("scopes")).transpose()
}

/// The grant that a family draws on.
///
/// # Errors
/// The database's; there has to be such a family.
pub(crate) async fn grant_of<M: AnyMode>(tx: &mut Tx<M>, id: TokenFamilyId) -> Result<AppGrantId, StoreError> {
    let row = tx.query_one("SELECT grant_id FROM app_oauth_family WHERE id = $1", &[id.0.into()]).await?;
    row.get("grant_id").map(AppGrantId)
}

/// Whether the grant is still there, and nothing has shut its account or client out since.
pub(crate) fn counts(view: &View, client: AppId, family: &Family) -> bool {
    view.with(|snapshot| {
        let grant = snapshot.oauth().grant(family.grant);
        let person = snapshot.person(family.user);
        let active = snapshot.policy.user(family.user).is_some_and(|facts| facts.active);
        active
            && grant.is_some_and(|grant| grant.client == client && grant.user == family.user)
            && person.is_some_and(|person| person.apps_since_ms <= family.started_at_ms)
    })
}

/// Marks a family as dead; `false` when it was before. It has to be named as changed or withdrawn.
///
/// # Errors
/// The database's.
pub async fn kill<M: Writes>(
    tx: &mut Tx<M>,
    id: TokenFamilyId,
    why: &'static str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE app_oauth_family SET died_at_ms = $2, died_of = $3 WHERE id = $1 AND died_at_ms IS NULL";
    Ok(tx.execute(sql, &[id.0.into(), now.0.into(), why.into()]).await? > 0)
}

/// Tells an account about one of its apps; shown on its page of connected apps.
///
/// # Errors
/// The database's.
pub async fn tell<M: Writes>(
    tx: &mut Tx<M>,
    user: UserId,
    client: AppId,
    kind: &'static str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO app_notice (user_id, client, kind, at_ms) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &[user.0.into(), client.0.into(), kind.into(), now.0.into()]).await.map(|_| ())
}
