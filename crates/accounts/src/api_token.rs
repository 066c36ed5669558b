//! API tokens of people and service accounts: made and shown once, listed by their hint, revoked.

use portcullis_authz::op;
use portcullis_crypto::{Entropy, PlainToken, TokenKind};
use portcullis_guard::{
    AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View, Writes,
};
use portcullis_model::{ApiTokenId, Problem, ScopeSet, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::user;
use crate::wire::{self, Paging};

const LABEL_CHARS_MAX: usize = 255;
const DAY_MS: i64 = 86_400_000;
/// Days of a token whose maker names none, unless the site allows fewer.
const DAYS_DEFAULT: i64 = 365;
const DAYS_MAX: i64 = 365;
/// Tokens of one account.
const TOKENS_PER_ACCOUNT_MAX: i64 = 100;
/// Scopes that one request may name.
const SCOPES_NAMED_MAX: usize = 400;

/// Makes a token. With scopes it works at the API gateway, without on the site's own address. The caller names
/// [`Entity::ApiToken`] as changed and shows the token once.
///
/// # Errors
/// 400 for a label, number of days or scope that is none; 409 when the account has very many tokens.
pub async fn issue<M: Writes>(
    tx: &mut Tx<M>,
    user: UserId,
    label: &str,
    days: i64,
    scopes: Option<&[&str]>,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(ApiTokenId, PlainToken), Problem> {
    let label = wire::line("label", label, LABEL_CHARS_MAX)?;
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::field("days", format!("days must be a whole number from 1 to {DAYS_MAX}.")));
    }
    let scopes = scopes.map(parse_scopes).transpose()?;
    let sql = "SELECT count(*) AS n FROM account_api_token WHERE user_id = $1";
    if tx.query_one(sql, &[user.0.into()]).await?.get::<i64>("n")? >= TOKENS_PER_ACCOUNT_MAX {
        let words = format!("The account has {TOKENS_PER_ACCOUNT_MAX} API tokens already. Revoke some first.");
        return Err(Problem::conflict(words));
    }
    let kind = if scopes.is_some() { TokenKind::ScopedApiToken } else { TokenKind::ApiToken };
    let token = PlainToken::issue(kind, entropy);
    let sql = "INSERT INTO account_api_token (user_id, label, hash, hint, scopes, created_at_ms, expires_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id";
    let params = [
        user.0.into(),
        label.into(),
        token.hash().to_bytes().to_vec().into(),
        token.hint().into(),
        scopes.map(|scopes| scopes.names().collect::<Vec<_>>().join(" ")).into(),
        now.0.into(),
        now.plus_ms(days * DAY_MS).0.into(),
    ];
    let id = tx.query_one(sql, &params).await?.get("id")?;
    Ok((ApiTokenId(id), token))
}

/// Revokes every token of an account; each has to be named as changed.
///
/// # Errors
/// The database's.
pub async fn revoke_of<M: Writes>(tx: &mut Tx<M>, user: UserId) -> Result<Vec<ApiTokenId>, StoreError> {
    let rows = tx.query("DELETE FROM account_api_token WHERE user_id = $1 RETURNING id", &[user.0.into()]).await?;
    rows.iter().map(|row| row.get("id").map(ApiTokenId)).collect()
}

/// Revokes one token of an account, which has to be named as changed; its label and hint, or `None` when it has none of that id.
///
/// # Errors
/// The database's.
pub async fn revoke_own<M: Writes>(
    tx: &mut Tx<M>,
    user: UserId,
    id: ApiTokenId,
) -> Result<Option<(String, String)>, StoreError> {
    let sql = "DELETE FROM account_api_token WHERE id = $1 AND user_id = $2 RETURNING label, hint";
    let row = tx.query_opt(sql, &[id.0.into(), user.0.into()]).await?;
    row.map(|row| Ok((row.get("label")?, row.get("hint")?))).transpose()
}

/// Writes down when tokens were last used, as the guard noticed it; run by a job. Changes nobody's rights.
///
/// # Errors
/// The database's.
pub async fn note_last_used<M: Writes>(tx: &mut Tx<M>, used: &[(ApiTokenId, i64)]) -> Result<(), StoreError> {
    for (id, at_ms) in used {
        let sql = "UPDATE account_api_token SET last_used_at_ms = $2 WHERE id = $1";
        tx.execute(sql, &[id.0.into(), (*at_ms).into()]).await?;
    }
    Ok(())
}

/// The door for scopes: names that the table knows, at least one.
pub(crate) fn parse_scopes(names: &[&str]) -> Result<ScopeSet, Problem> {
    if names.len() > SCOPES_NAMED_MAX {
        return Err(Problem::field("scopes", "Too many scopes."));
    }
    let mut set = ScopeSet::EMPTY;
    for name in names {
        if !set.insert(name) {
            let shown: String = name.chars().take(80).collect();
            return Err(Problem::field("scopes", format!("There is no scope `{shown}`.")));
        }
    }
    if set.is_empty() {
        return Err(Problem::field("scopes", "Name at least one scope."));
    }
    Ok(set)
}

#[derive(Deserialize)]
struct NewToken {
    label: String,
    days: Option<i64>,
    scopes: Option<Vec<String>>,
}

/// The life of a token that is asked for, or the longest the site allows when none is.
///
/// # Errors
/// 403 where the site allows no API tokens, 400 for more days than it allows.
pub fn days_allowed(view: &View, wanted: Option<i64>) -> Result<i64, Problem> {
    let (allowed, max) =
        view.with(|snapshot| (snapshot.settings.api_tokens_allowed, snapshot.settings.api_token_days_max));
    if !allowed {
        return Err(Problem::forbidden("API tokens are switched off on this site."));
    }
    match wanted {
        None => Ok(max.min(DAYS_DEFAULT)),
        Some(days) if days > max => {
            Err(Problem::field("days", format!("API tokens of this site live for at most {max} days.")))
        }
        Some(days) => Ok(days),
    }
}

/// Makes the token that a body describes; the answer, which alone holds the token, and what the audit log may know of it.
async fn issue_described<M: Writes>(
    tx: &mut Tx<M>,
    view: &View,
    user: UserId,
    new: &NewToken,
) -> Result<(ApiTokenId, Json, Json), Problem> {
    let days = days_allowed(view, new.days)?;
    let scopes: Option<Vec<&str>> = new.scopes.as_ref().map(|names| names.iter().map(String::as_str).collect());
    let (id, token) = issue(tx, user, &new.label, days, scopes.as_deref(), view.now(), view.entropy()).await?;
    let row = tx.query_one(ONE, &[id.0.into()]).await?;
    let public = json_of(&row)?;
    let mut shown = public.clone();
    if let Some(members) = shown.as_object_mut() {
        members.insert("token".into(), token.expose_secret().into());
    }
    Ok((id, shown, public))
}

const ONE: &str = "SELECT id, label, hint, scopes, created_at_ms, expires_at_ms, last_used_at_ms FROM account_api_token WHERE id = $1";

fn json_of(row: &Row) -> Result<Json, StoreError> {
    let scopes =
        row.get::<Option<String>>("scopes")?.map(|names| names.split(' ').map(str::to_owned).collect::<Vec<_>>());
    Ok(json!({
        "id": row.get::<i64>("id")?.to_string(),
        "label": row.get::<String>("label")?,
        "hint": row.get::<String>("hint")?,
        "scopes": scopes,
        "created": wire::moment(row.get("created_at_ms")?),
        "expires": wire::moment(row.get("expires_at_ms")?),
        "lastUsed": row.get::<Option<i64>>("last_used_at_ms")?.map(wire::moment),
    }))
}

async fn list_mine(mut cx: Ctx<op::ManageListMyApiTokens>, _: Input) -> Outcome<op::ManageListMyApiTokens> {
    let user = cx.user()?;
    let sql = "SELECT id, label, hint, scopes, created_at_ms, expires_at_ms, last_used_at_ms
                 FROM account_api_token WHERE user_id = $1 ORDER BY created_at_ms DESC, id DESC";
    let rows = cx.tx().query(sql, &[user.0.into()]).await?;
    let values = rows.iter().map(json_of).collect::<Result<_, _>>()?;
    cx.done(Reply::json(wire::whole(values)))
}

async fn create_mine(mut cx: Ctx<op::ManageCreateMyApiToken>, input: Input) -> Outcome<op::ManageCreateMyApiToken> {
    let view = cx.view().clone();
    let user = cx.user()?;
    let new: NewToken = input.parse()?;
    let (id, shown, public) = issue_described(cx.tx(), &view, user, &new).await?;
    cx.audit(format!("api_token:{id}"), None, Some(public));
    cx.changed(Entity::ApiToken(id));
    cx.done(Reply::created(shown).with_header("cache-control", "no-store"))
}

async fn create_for_service(
    mut cx: Ctx<op::ManageCreateServiceAccountApiToken>,
    input: Input,
) -> Outcome<op::ManageCreateServiceAccountApiToken> {
    let view = cx.view().clone();
    let user = user::named(&view, input.param("accountId"))?;
    let facts = view.with(|snapshot| snapshot.policy.user(user).map(|facts| (facts.kind, facts.active)));
    match facts {
        Some((portcullis_authz::policy::AccountKind::Service, true)) => {}
        Some((portcullis_authz::policy::AccountKind::Service, false)) => {
            return Err(Problem::conflict("The service account is deactivated."));
        }
        _ => return Err(Problem::not_found("There is no service account with this id.")),
    }
    let new: NewToken = input.parse()?;
    if new.scopes.is_none() {
        return Err(Problem::field("scopes", "A service account's token needs scopes."));
    }
    let (id, shown, public) = issue_described(cx.tx(), &view, user, &new).await?;
    cx.audit(format!("api_token:{id}"), None, Some(public));
    cx.changed(Entity::ApiToken(id));
    cx.done(Reply::created(shown).with_header("cache-control", "no-store"))
}

fn no_token() -> Problem {
    Problem::not_found("There is no API token with this id.")
}

fn token_id(input: &Input) -> Result<i64, Problem> {
    input.param("tokenId").parse().map_err(|_| no_token())
}

async fn revoke_mine(mut cx: Ctx<op::ManageRevokeMyApiToken>, input: Input) -> Outcome<op::ManageRevokeMyApiToken> {
    let user = cx.user()?;
    let id = token_id(&input)?;
    let (label, hint) = revoke_own(cx.tx(), user, ApiTokenId(id)).await?.ok_or_else(no_token)?;
    let before = json!({"label": label, "hint": hint});
    cx.audit(format!("api_token:{id}"), Some(before), None);
    cx.changed(Entity::ApiToken(ApiTokenId(id)));
    cx.done(Reply::no_content())
}

async fn revoke_all_mine(
    mut cx: Ctx<op::ManageRevokeAllMyApiTokens>,
    _: Input,
) -> Outcome<op::ManageRevokeAllMyApiTokens> {
    let user = cx.user()?;
    let revoked = revoke_of(cx.tx(), user).await?;
    revoked.iter().for_each(|id| cx.changed(Entity::ApiToken(*id)));
    let json = json!({"apiTokensRevoked": revoked.len()});
    let target = format!("user:{}", cx.caller().account_id().unwrap_or_default());
    cx.audit(target, None, Some(json.clone()));
    cx.done(Reply::json(json))
}

async fn list_all(mut cx: Ctx<op::ManageListApiTokens>, input: Input) -> Outcome<op::ManageListApiTokens> {
    let paging = Paging::of(&input)?;
    let owner = match input.query("accountId").filter(|id| !id.is_empty()) {
        Some(account_id) => Some(user::named(cx.view(), account_id)?),
        None => None,
    };
    let mut count = SqlBuilder::new("SELECT count(*) AS n FROM account_api_token t WHERE 1 = 1");
    let mut sql = SqlBuilder::new(
        "SELECT t.id, t.label, t.hint, t.scopes, t.created_at_ms, t.expires_at_ms, t.last_used_at_ms,
                u.account_id, u.display_name, u.email, u.kind
           FROM account_api_token t JOIN account_user u ON u.id = t.user_id WHERE 1 = 1",
    );
    if let Some(owner) = owner {
        count.push(" AND t.user_id = ").bind(owner.0);
        sql.push(" AND t.user_id = ").bind(owner.0);
    }
    sql.push(" ORDER BY t.created_at_ms DESC, t.id DESC LIMIT ").bind(paging.max_results);
    sql.push(" OFFSET ").bind(paging.start_at);
    let total = cx.tx().query_one(count, &[]).await?.get("n")?;
    let mut values = Vec::new();
    for row in cx.tx().query(sql, &[]).await? {
        let mut token = json_of(&row)?;
        if let Some(members) = token.as_object_mut() {
            members.insert("owner".into(), owner_json(&row)?);
        }
        values.push(token);
    }
    cx.done(Reply::json(paging.page(total, values)))
}

fn owner_json(row: &Row) -> Result<Json, StoreError> {
    Ok(json!({
        "accountId": row.get::<String>("account_id")?,
        "displayName": row.get::<String>("display_name")?,
        "emailAddress": row.get::<Option<String>>("email")?,
        "kind": row.get::<String>("kind")?,
    }))
}

async fn revoke(mut cx: Ctx<op::ManageRevokeApiToken>, input: Input) -> Outcome<op::ManageRevokeApiToken> {
    let id = token_id(&input)?;
    let sql = "DELETE FROM account_api_token WHERE id = $1 RETURNING label, hint, user_id";
    let row = cx.tx().query_opt(sql, &[id.into()]).await?.ok_or_else(no_token)?;
    let owner = UserId(row.get("user_id")?);
    let owner = cx.view().with(|snapshot| snapshot.person(owner).map(|person| person.account_id.clone()));
    let before = json!({"label": row.get::<String>("label")?, "hint": row.get::<String>("hint")?, "owner": owner});
    cx.audit(format!("api_token:{id}"), Some(before), None);
    cx.changed(Entity::ApiToken(ApiTokenId(id)));
    cx.done(Reply::no_content())
}

/// How the explanation of a decision names a token.
pub(crate) async fn label_of<M: AnyMode>(tx: &mut Tx<M>, id: i64) -> Result<Option<(String, String)>, StoreError> {
    let row = tx.query_opt("SELECT label, hint FROM account_api_token WHERE id = $1", &[id.into()]).await?;
    row.map(|row| Ok((row.get("label")?, row.get("hint")?))).transpose()
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list_mine);
    handlers.on(create_mine);
    handlers.on(create_for_service);
    handlers.on(revoke_mine);
    handlers.on(revoke_all_mine);
    handlers.on(list_all);
    handlers.on(revoke);
}

#[cfg(test)]
mod tests {
    use super::parse_scopes;

    #[test]
    fn unknown_and_no_scopes_are_refused() {
        assert!(parse_scopes(&["read:jira-work", "write:jira-work"]).is_ok());
        assert!(parse_scopes(&["read:jira-work", "read:everything"]).is_err());
        assert!(parse_scopes(&[]).is_err());
    }
}
