//! Access tokens: JWTs as RFC 9068 profiles them, signed with ES256, for the API gateway alone.

use std::sync::Arc;

use portcullis_crypto::jws::SigningKey;
use portcullis_guard::View;
use portcullis_guard::authn::bearer;
use portcullis_model::{Problem, UserId};
use serde_json::{Map, Value as Json, json};

use super::family::Family;

/// Seconds that a token lives.
pub const LIFE_S: i64 = 3_600;

/// A token that says everything and is not signed yet.
pub struct Unsigned {
    key: Arc<SigningKey>,
    claims: Json,
}

impl Unsigned {
    /// Signs it.
    ///
    /// # Errors
    /// 500 when the library refuses, which it has no reason to.
    pub fn sign(&self) -> Result<String, Problem> {
        self.key.sign(bearer::ACCESS_TOKEN_TYPE, &self.claims).map_err(Problem::bug)
    }
}

/// A token of a family for `scopes`.
///
/// # Errors
/// 500 when there is no key.
pub fn of(view: &View, client_id: &str, user: UserId, family: &Family, scopes: &str) -> Result<Unsigned, Problem> {
    let now_s = view.now().0.div_euclid(1_000);
    let (key, account_id) = view.with(|snapshot| {
        let account_id = snapshot.person(user).map(|person| person.account_id.clone());
        (snapshot.oauth().signing_key().cloned(), account_id)
    });
    let key = key.ok_or_else(|| Problem::bug("there is no signing key"))?;
    let account_id = account_id.ok_or_else(|| Problem::bug("a token for an account that is gone"))?;
    let addresses = view.addresses();
    let mut claims = Map::new();
    let mut put = |name: &str, value: Json| claims.insert(name.to_owned(), value);
    put("iss", addresses.issuer.clone().into());
    put("sub", account_id.into());
    put("aud", addresses.api.clone().into());
    put("client_id", client_id.into());
    put("scope", scopes.into());
    put("iat", now_s.into());
    put("nbf", now_s.into());
    put("exp", (now_s + LIFE_S).into());
    put("jti", view.fresh_id().into());
    put("sid", bearer::session_id(family.id, family.started_at_ms).into());
    put("gid", family.grant.to_string().into());
    if let Some(thumbprint) = &family.key_thumbprint {
        put("cnf", json!({"jkt": thumbprint}));
    }
    Ok(Unsigned { key, claims: Json::Object(claims) })
}
