//! Authorization codes: opaque, used once, for a minute (RFC 6749, section 4.1.2; RFC 7636).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_crypto::{PlainToken, TokenHash, TokenKind, constant_time_eq, sha256};
use portcullis_guard::{StoreError, Tx, View, Writes};
use portcullis_model::{AppGrantId, AppId, Problem, TokenFamilyId, UserId};

use super::authorize::Asked;
use super::family::{self, Family, NewFamily};

/// A code is refused after this long.
pub const LIFE_MS: i64 = 60_000;

/// Makes the code that answers a request that was approved.
///
/// # Errors
/// The database's.
pub async fn issue<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    asked: &Asked,
    grant: AppGrantId,
    user: UserId,
) -> Result<PlainToken, StoreError> {
    let now = view.now();
    let code = PlainToken::issue(TokenKind::AuthorizationCode, view.entropy());
    let sql = "INSERT INTO app_oauth_code (hash, client, grant_id, user_id, redirect_uri, redirect_named, challenge,
                      key_thumbprint, scopes, created_at_ms, expires_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let params = [
        code.hash().to_bytes().to_vec().into(),
        asked.client.into(),
        grant.0.into(),
        user.0.into(),
        asked.redirect_uri.as_str().into(),
        asked.redirect_named.into(),
        asked.challenge.clone().into(),
        asked.key_thumbprint.clone().into(),
        asked.scopes.as_str().into(),
        now.0.into(),
        now.plus_ms(LIFE_MS).0.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(code)
}

/// What a client shows with a code.
pub(crate) struct Shown<'a> {
    pub client: AppId,
    pub code: &'a str,
    pub redirect_uri: Option<&'a str>,
    pub verifier: Option<&'a str>,
    pub key_thumbprint: Option<&'a str>,
    pub pkce_required: bool,
    pub dpop_required: bool,
}

/// What became of a code.
pub(crate) enum Exchange {
    Done(Family, Option<PlainToken>),
    /// It is unknown, too old, or not for this; it stays as it was. What is wrong, for the developer.
    Refused(&'static str),
    /// It was used before: what came of it is dead from now on.
    Replayed(TokenFamilyId, UserId),
}

/// Takes a code and begins a family. A replay has to be named as withdrawn.
pub(crate) async fn exchange<M: Writes>(tx: &mut Tx<M>, view: &View, shown: &Shown<'_>) -> Result<Exchange, Problem> {
    const UNKNOWN: &str = "The code is unknown, was used, has expired, or is another client's.";
    let now = view.now();
    let Some((TokenKind::AuthorizationCode, hash)) = TokenHash::parse(shown.code) else {
        return Ok(Exchange::Refused(UNKNOWN));
    };
    let sql = "SELECT client, grant_id, user_id, redirect_uri, redirect_named, challenge, key_thumbprint, scopes,
                      created_at_ms, expires_at_ms, family FROM app_oauth_code WHERE hash = $1";
    let key = hash.to_bytes().to_vec();
    let Some(row) = tx.query_opt(sql, &[key.clone().into()]).await? else { return Ok(Exchange::Refused(UNKNOWN)) };
    if row.get::<i64>("client")? != shown.client.0 {
        return Ok(Exchange::Refused(UNKNOWN));
    }
    let user = UserId(row.get("user_id")?);
    if let Some(id) = row.get::<Option<i64>>("family")? {
        // RFC 6749, section 4.1.2: whoever of the two is the thief, the tokens count no more.
        let id = TokenFamilyId(id);
        family::kill(tx, id, "code_replayed", now).await?;
        return Ok(Exchange::Replayed(id, user));
    }
    if now.0 >= row.get::<i64>("expires_at_ms")? {
        return Ok(Exchange::Refused(UNKNOWN));
    }
    let redirect_uri: String = row.get("redirect_uri")?;
    match shown.redirect_uri {
        Some(shown) if shown != redirect_uri => {
            return Ok(Exchange::Refused("redirect_uri is not the one of the authorization request."));
        }
        None if row.get::<bool>("redirect_named")? => {
            return Ok(Exchange::Refused("redirect_uri is missing: it stood in the authorization request."));
        }
        Some(_) | None => {}
    }
    match (row.get::<Option<String>>("challenge")?, shown.verifier) {
        (Some(challenge), Some(verifier)) if fits(&challenge, verifier) => {}
        (Some(_), Some(_)) => return Ok(Exchange::Refused("code_verifier does not fit the code_challenge.")),
        (Some(_), None) => {
            return Ok(Exchange::Refused("code_verifier is missing: the authorization request had a code_challenge."));
        }
        (None, Some(_)) => {
            return Ok(Exchange::Refused("code_verifier without a code_challenge in the authorization request."));
        }
        (None, None) if shown.pkce_required => return Ok(Exchange::Refused("The client needs PKCE.")),
        (None, None) => {}
    }
    let bound: Option<String> = row.get("key_thumbprint")?;
    if bound.is_some() && bound.as_deref() != shown.key_thumbprint {
        return Ok(Exchange::Refused("The DPoP proof is not by the key that the authorization request named."));
    }
    if shown.dpop_required && shown.key_thumbprint.is_none() {
        return Ok(Exchange::Refused("The client needs a DPoP proof."));
    }
    let scopes: String = row.get("scopes")?;
    let new = NewFamily {
        client: shown.client,
        grant: AppGrantId(row.get("grant_id")?),
        user,
        scopes: &scopes,
        key_thumbprint: shown.key_thumbprint,
        lasting: scopes.split(' ').any(|scope| scope == super::scope::OFFLINE),
    };
    let asked_at_ms: i64 = row.get("created_at_ms")?;
    let (mut family, refresh) = family::begin(tx, view, new).await?;
    // What shut the account out after it approved shuts out what comes of the code too.
    family.started_at_ms = family.started_at_ms.min(now.0);
    let since_ms = view.with(|snapshot| snapshot.person(user).map_or(i64::MAX, |person| person.apps_since_ms));
    if since_ms > asked_at_ms || !family::counts(view, shown.client, &family) {
        return Err(Problem::conflict(GONE));
    }
    let sql = "UPDATE app_oauth_code SET family = $2 WHERE hash = $1";
    tx.execute(sql, &[key.into(), family.id.0.into()]).await?;
    Ok(Exchange::Done(family, refresh))
}

/// The words by which the token endpoint knows that consent is gone; nothing is kept of the attempt.
pub(crate) const GONE: &str = "What the person approved was withdrawn meanwhile.";

/// RFC 7636, section 4.6, method S256.
fn fits(challenge: &str, verifier: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(allowed)
        && constant_time_eq(URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())).as_bytes(), challenge.as_bytes())
}

/// Whether a text can be the challenge of method S256: 32 bytes in base64url.
pub(crate) fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::{fits, is_challenge};

    #[test]
    fn e6_the_vector_of_rfc_7636_appendix_b_fits() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(is_challenge(challenge));
        assert!(fits(challenge, verifier));
        assert!(!fits(verifier, verifier), "the method plain is none of ours");
        assert!(!fits(challenge, &verifier[1..]));
    }

    #[test]
    fn e8_a_verifier_has_43_to_128_characters() {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let challenge = |verifier: &str| URL_SAFE_NO_PAD.encode(portcullis_crypto::sha256(verifier.as_bytes()));
        for (length, allowed) in [(42, false), (43, true), (128, true), (129, false)] {
            let verifier = "a".repeat(length);
            assert_eq!(fits(&challenge(&verifier), &verifier), allowed, "{length}");
        }
        let odd = format!("{}+", "a".repeat(50));
        assert!(!fits(&challenge(&odd), &odd));
    }
}
