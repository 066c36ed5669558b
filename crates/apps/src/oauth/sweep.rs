//! Removes what is over: codes, pushed requests, devices, assertions, families. Run by a job.

use portcullis_guard::{Entity, Guard, Policy, StoreError, Tx, Used, Write, Writes};
use portcullis_model::TokenFamilyId;

use super::access_token;

/// A used code is remembered for this long, so that one that comes again is told apart.
const CODE_KEPT_MS: i64 = 3_600_000;
const AT_ONCE: i64 = 500;

/// Removes some of what is over.
///
/// # Errors
/// The database's.
pub async fn sweep(guard: &Guard) -> Result<(), StoreError> {
    let now = guard.now();
    let mut job = guard.begin_job::<Write>("sweep_oauth").await?;
    let ended = now.0;
    for (sql, before) in [
        ("DELETE FROM app_oauth_code WHERE expires_at_ms < $1", ended.saturating_sub(CODE_KEPT_MS)),
        ("DELETE FROM app_oauth_pushed WHERE expires_at_ms < $1", ended),
        ("DELETE FROM app_oauth_device WHERE expires_at_ms < $1", ended.saturating_sub(CODE_KEPT_MS)),
        ("DELETE FROM app_oauth_assertion WHERE expires_at_ms < $1", ended),
        ("DELETE FROM app_oauth_family WHERE died_at_ms IS NULL AND expires_at_ms < $1", ended),
    ] {
        job.tx().execute(sql, &[before.into()]).await?;
    }
    job.commit().await?;
    // A family that died is kept in memory until its last access token has expired.
    let mut job = guard.begin_job::<Policy>("sweep_dead_families").await?;
    let sql = "DELETE FROM app_oauth_family WHERE id IN
                 (SELECT id FROM app_oauth_family WHERE died_at_ms < $1 ORDER BY id LIMIT $2) RETURNING id";
    let before = now.0.saturating_sub(2 * access_token::LIFE_S * 1_000);
    let rows = job.tx().query(sql, &[before.into(), AT_ONCE.into()]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    for row in rows {
        job.changed(Entity::TokenFamily(TokenFamilyId(row.get("id")?)));
    }
    job.commit().await
}

/// Writes down when grants and secrets were last used, as the guard noticed it. Changes nobody's rights.
///
/// # Errors
/// The database's.
pub async fn note_last_used<M: Writes>(tx: &mut Tx<M>, used: &[(Used, i64)]) -> Result<(), StoreError> {
    for (used, at_ms) in used {
        let (sql, id) = match used {
            Used::AppGrant(id) => ("UPDATE app_oauth_grant SET last_used_at_ms = $2 WHERE id = $1", id.0),
            Used::ClientSecret(id) => ("UPDATE app_oauth_secret SET last_used_at_ms = $2 WHERE id = $1", id.0),
            Used::ApiToken(_) => continue,
        };
        tx.execute(sql, &[id.into(), (*at_ms).into()]).await?;
    }
    Ok(())
}
