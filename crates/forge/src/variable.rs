//! Variables of an environment: what an app's code finds in `process.env`. Sealed here, all of them.

use portcullis_authz::op;
use portcullis_crypto::{ExposeSecret, Purpose};
use portcullis_guard::{AnyMode, Ctx, Handlers, Input, Outcome, Reply, Tx, View};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};

use crate::app;
use crate::wire::whole;

const VARIABLE: Purpose = Purpose::new("forge variable");

const KEY_CHARS_MAX: usize = 128;
const VALUE_BYTES_MAX: usize = 3 << 10;
const PLAIN_MAX: i64 = 50;
const SECRET_MAX: i64 = 10;

fn bound_to(environment: i64, key: &str) -> Vec<u8> {
    format!("{environment}/{key}").into_bytes()
}

/// All of an environment's, with their values.
///
/// # Errors
/// The database's; a bug when one does not open.
pub(crate) async fn all<M: AnyMode>(
    tx: &mut Tx<M>,
    keys: &portcullis_crypto::SealingKeys,
    environment: i64,
) -> Result<Vec<(String, String)>, Problem> {
    let sql = "SELECT key, value FROM forge_variable WHERE environment = $1 ORDER BY key";
    let mut out = Vec::new();
    for row in tx.query(sql, &[environment.into()]).await? {
        let key: String = row.get("key")?;
        let value =
            keys.open(&row.get::<Vec<u8>>("value")?, VARIABLE, &bound_to(environment, &key)).map_err(Problem::bug)?;
        out.push((key, String::from_utf8_lossy(value.expose_secret()).into_owned()));
    }
    Ok(out)
}

async fn list(mut cx: Ctx<op::ManageListForgeVariables>, input: Input) -> Outcome<op::ManageListForgeVariables> {
    let view = cx.view().clone();
    let app = app::find(cx.tx(), &view, input.param("appId")).await?;
    let environment = app::environment(cx.tx(), &app, input.param("environmentKey")).await?;
    let values = all(cx.tx(), view.keys(), environment.id).await?;
    let sql = "SELECT key FROM forge_variable WHERE environment = $1 AND secret = 1";
    let secret = cx.tx().query(sql, &[environment.id.into()]).await?;
    let secret = secret.iter().map(|row| row.get::<String>("key")).collect::<Result<Vec<_>, _>>()?;
    let out = values.into_iter().map(|(key, value)| {
        let hidden = secret.contains(&key);
        json!({"key": key, "value": (!hidden).then_some(value), "encrypt": hidden})
    });
    let out = out.collect();
    cx.done(Reply::json(whole(out)))
}

async fn set(mut cx: Ctx<op::ManageSetForgeVariable>, input: Input) -> Outcome<op::ManageSetForgeVariable> {
    let view = cx.view().clone();
    let app = app::find(cx.tx(), &view, input.param("appId")).await?;
    let environment = app::environment(cx.tx(), &app, input.param("environmentKey")).await?;
    let key = input.param("variableKey");
    let letters =
        key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.starts_with(|c: char| c.is_ascii_digit());
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX || !letters {
        return Err(Problem::field(
            "key",
            format!("key has 1 to {KEY_CHARS_MAX} letters, digits and underscores, no digit first."),
        ));
    }
    let Some(value) = input.json().get("value").and_then(Json::as_str).filter(|value| value.len() <= VALUE_BYTES_MAX)
    else {
        return Err(Problem::field("value", format!("value is a text of at most {VALUE_BYTES_MAX} bytes.")));
    };
    let secret = input.json().get("encrypt").and_then(Json::as_bool).unwrap_or(false);
    let sql = "SELECT count(*) AS n FROM forge_variable WHERE environment = $1 AND secret = $2 AND key <> $3";
    let others: i64 = cx.tx().query_one(sql, &[environment.id.into(), secret.into(), key.into()]).await?.get("n")?;
    if others >= if secret { SECRET_MAX } else { PLAIN_MAX } {
        return Err(Problem::invalid(format!(
            "An environment has at most {PLAIN_MAX} variables and {SECRET_MAX} encrypted ones."
        )));
    }
    let sealed = view
        .keys()
        .seal(value.as_bytes(), VARIABLE, &bound_to(environment.id, key), view.entropy())
        .map_err(Problem::bug)?;
    let sql = "INSERT INTO forge_variable (environment, key, value, secret) VALUES ($1, $2, $3, $4)
               ON CONFLICT (environment, key) DO UPDATE SET value = $3, secret = $4";
    cx.tx().execute(sql, &[environment.id.into(), key.into(), sealed.into(), secret.into()]).await?;
    let installed = app::installed(cx.tx(), environment.id).await?;
    if let Some(entity) = app::changed(installed) {
        cx.changed(entity);
    }
    cx.audit(format!("forge_variable:{}/{}/{key}", app.uuid, environment.key), None, Some(json!({"encrypt": secret})));
    cx.done(Reply::no_content())
}

async fn delete(mut cx: Ctx<op::ManageDeleteForgeVariable>, input: Input) -> Outcome<op::ManageDeleteForgeVariable> {
    let view: View = cx.view().clone();
    let app = app::find(cx.tx(), &view, input.param("appId")).await?;
    let environment = app::environment(cx.tx(), &app, input.param("environmentKey")).await?;
    let key = input.param("variableKey");
    let sql = "DELETE FROM forge_variable WHERE environment = $1 AND key = $2";
    if cx.tx().execute(sql, &[environment.id.into(), key.into()]).await? == 0 {
        return Err(Problem::not_found(format!("The environment has no variable `{key}`.")));
    }
    let installed = app::installed(cx.tx(), environment.id).await?;
    if let Some(entity) = app::changed(installed) {
        cx.changed(entity);
    }
    cx.audit(format!("forge_variable:{}/{}/{key}", app.uuid, environment.key), None, None);
    cx.done(Reply::no_content())
}

pub(super) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(set);
    handlers.on(delete);
}
