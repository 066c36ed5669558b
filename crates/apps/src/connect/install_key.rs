//! The RSA keys that sign `installed` and `uninstalled`. Apps look the public half up by its id and may keep it for ever, so a
//! new key has a new id and old ones stay.

use std::sync::Arc;

use portcullis_authz::op;
use portcullis_crypto::ExposeSecret;
use portcullis_crypto::jws::SigningKey;
use portcullis_guard::connect::INSTALL_KEY;
use portcullis_guard::{Ctx, Entity, Guard, Handlers, Input, Outcome, Policy, Reply, ReplyBody, View};
use portcullis_model::Problem;

/// Makes a key where there is none. Run at every start.
///
/// # Errors
/// The database's; 500 when no key can be made.
pub async fn ensure(guard: &Guard) -> Result<(), Problem> {
    let mut job = guard.begin_job::<Policy>("install_key").await?;
    if job.tx().query_one("SELECT count(*) AS n FROM app_install_key", &[]).await?.get::<i64>("n")? > 0 {
        return Ok(());
    }
    let view = guard.system_view("install_key");
    let kid = view.entropy().uuid();
    let (key, private) = SigningKey::generate_rs256(kid.clone()).map_err(Problem::bug)?;
    let pem = key.public_pem().ok_or_else(|| Problem::bug("an RSA key without a public half"))?;
    let sealed =
        view.keys().seal(private.expose_secret(), INSTALL_KEY, kid.as_bytes(), view.entropy()).map_err(Problem::bug)?;
    let sql = "INSERT INTO app_install_key (kid, sealed, public_pem, created_at_ms) VALUES ($1, $2, $3, $4)";
    job.tx().execute(sql, &[kid.into(), sealed.into(), pem.into(), view.now().0.into()]).await?;
    job.changed(Entity::SigningKeys);
    job.commit().await?;
    Ok(())
}

/// The key that signs now.
///
/// # Errors
/// 500 when there is none.
pub fn current(view: &View) -> Result<Arc<SigningKey>, Problem> {
    let key = view.with(|snapshot| snapshot.connect().install_key().cloned());
    key.ok_or_else(|| Problem::bug("there is no key that signs installations"))
}

async fn get(mut cx: Ctx<op::ConnectInstallKey>, input: Input) -> Outcome<op::ConnectInstallKey> {
    let sql = "SELECT public_pem FROM app_install_key WHERE kid = $1";
    match cx.tx().query_opt(sql, &[input.param("kid").into()]).await? {
        Some(row) => {
            let body = ReplyBody::Text("text/plain;charset=UTF-8", row.get("public_pem")?);
            cx.done(Reply { status: 200, headers: vec![("cache-control", "public, max-age=86400".to_owned())], body })
        }
        // Without a body: a client that does not look at the status would take one for a key.
        None => cx.done(Reply::empty(404)),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
}
