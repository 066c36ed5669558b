//! The keys that sign access tokens: made at the first start, changed every three months or on demand, sealed at rest.

use portcullis_authz::op;
use portcullis_crypto::ExposeSecret;
use portcullis_crypto::jws::SigningKey;
use portcullis_guard::oauth::SIGNING_KEY;
use portcullis_guard::{Ctx, Entity, Guard, Handlers, Input, Outcome, Policy, Reply, Tx, View};
use portcullis_model::Problem;
use serde_json::json;

use crate::oauth::access_token;
use crate::wire;

/// A key signs for this long; the next one is then made at a start or by the daily job.
const LIFE_MS: i64 = 90 * 86_400_000;

/// Makes a signing key where there is none in force. Run at every start and once a day.
///
/// # Errors
/// The database's; 500 when no key can be made.
pub async fn ensure(guard: &Guard) -> Result<(), Problem> {
    let mut job = guard.begin_job::<Policy>("signing_key").await?;
    let now = guard.now();
    let sql = "SELECT count(*) AS n FROM app_signing_key WHERE created_at_ms > $1 AND retired_at_ms IS NULL";
    let oldest = now.0.saturating_sub(LIFE_MS);
    if job.tx().query_one(sql, &[oldest.into()]).await?.get::<i64>("n")? > 0 {
        return Ok(());
    }
    let view = guard.system_view("signing_key");
    make(job.tx(), &view).await?;
    job.changed(Entity::SigningKeys);
    job.commit().await?;
    Ok(())
}

/// Makes the key that signs from now on, and drops keys whose last token has expired.
async fn make(tx: &mut Tx<Policy>, view: &View) -> Result<String, Problem> {
    let now = view.now();
    let kid = view.fresh_id();
    let (_, private) = SigningKey::generate_es256(kid.clone()).map_err(Problem::bug)?;
    let sealed =
        view.keys().seal(private.expose_secret(), SIGNING_KEY, kid.as_bytes(), view.entropy()).map_err(Problem::bug)?;
    let sql = "UPDATE app_signing_key SET retired_at_ms = $1 WHERE retired_at_ms IS NULL";
    tx.execute(sql, &[now.0.into()]).await?;
    let sql = "DELETE FROM app_signing_key WHERE retired_at_ms < $1";
    tx.execute(sql, &[now.0.saturating_sub(2 * access_token::LIFE_S * 1_000).into()]).await?;
    let sql = "INSERT INTO app_signing_key (kid, sealed, created_at_ms) VALUES ($1, $2, $3)";
    tx.execute(sql, &[kid.as_str().into(), sealed.into(), now.0.into()]).await?;
    Ok(kid)
}

async fn rotate(mut cx: Ctx<op::ManageRotateSigningKey>, input: Input) -> Outcome<op::ManageRotateSigningKey> {
    let view = cx.view().clone();
    // After a leak the old keys may verify nothing any more: every access token is then refused and has to be refreshed.
    let leaked = input.json().get("leaked").and_then(serde_json::Value::as_bool) == Some(true);
    if leaked {
        cx.tx().execute("DELETE FROM app_signing_key", &[]).await?;
    }
    let kid = make(cx.tx(), &view).await?;
    let json = json!({"kid": kid, "created": wire::moment(view.now().0), "oldTokensRefused": leaked});
    cx.audit(format!("signing_key:{kid}"), None, Some(json.clone()));
    cx.changed(Entity::SigningKeys);
    cx.done(Reply::created(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(rotate);
}
