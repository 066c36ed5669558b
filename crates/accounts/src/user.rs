//! People and service accounts: made, listed, changed, shut out and let in again.

use std::collections::HashMap;

use portcullis_authz::op;
use portcullis_authz::policy::AccountKind;
use portcullis_crypto::{Entropy, PasswordHash};
use portcullis_guard::{
    AnyMode, Ctx, Entity, FromValue, Handlers, Input, Outcome, Reply, Row, SqlBuilder, StoreError, Tx, View, Writes,
};
use portcullis_model::{GroupId, Problem, Timestamp, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::wire::{self, Paging};
use crate::{api_token, group, password, session};

const DISPLAY_NAME_CHARS_MAX: usize = 255;
/// RFC 5321, section 4.5.3.1.3, less the angle brackets.
const EMAIL_CHARS_MAX: usize = 254;
/// Groups that one request may name.
const GROUPS_NAMED_MAX: usize = 100;

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// E-mail, which signs in and names the account in Basic authentication. A service account without one gets an address
    /// that cannot receive mail; an app's user has none.
    pub email: Option<String>,
    /// The name people see.
    pub display_name: String,
    /// Person, service account or app user.
    pub kind: AccountKind,
    /// IANA zone; UTC when absent.
    pub time_zone: Option<String>,
    /// As `en_US`, which is also the default.
    pub locale: Option<String>,
    /// What [`password::hash`] made; without one nobody signs in.
    pub password_hash: Option<PasswordHash>,
}

/// Makes an account. The caller names [`Entity::User`] as changed.
///
/// # Errors
/// 400 for what is wrong with the fields, 409 for an e-mail that another account has.
pub async fn create<M: Writes>(
    tx: &mut Tx<M>,
    new: NewUser,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<(UserId, String), Problem> {
    let display_name = wire::line("displayName", &new.display_name, DISPLAY_NAME_CHARS_MAX)?;
    let uuid = entropy.uuid();
    let email = match (new.email, new.kind) {
        (Some(email), _) => Some(parse_email(&email)?),
        (None, AccountKind::Person) => {
            return Err(Problem::field("emailAddress", "A person needs an e-mail address."));
        }
        (None, AccountKind::Service) => Some(format!("{uuid}@serviceaccount.invalid")),
        (None, AccountKind::App) => None,
    };
    if let Some(email) = &email {
        refuse_taken(tx, email, None).await?;
    }
    let time_zone = parse_time_zone(new.time_zone.as_deref().unwrap_or("Etc/UTC"))?;
    let locale = parse_locale(new.locale.as_deref().unwrap_or("en_US"))?;
    // Never digits alone, so that it is not taken for a number.
    let account_id = format!("712020:{uuid}");
    let sql =
        "INSERT INTO account_user (account_id, kind, email, email_folded, display_name, name_folded, active, time_zone,
                      locale, password_hash, created_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10) RETURNING id";
    let params = [
        account_id.as_str().into(),
        kind_word(new.kind).into(),
        email.clone().into(),
        email.map(|email| email.to_lowercase()).into(),
        display_name.as_str().into(),
        display_name.to_lowercase().into(),
        time_zone.into(),
        locale.into(),
        new.password_hash.map(|hash| hash.expose_phc()).into(),
        now.0.into(),
    ];
    let id = tx.query_one(sql, &params).await?.get("id")?;
    Ok((UserId(id), account_id))
}

/// Puts an account into a group; `false` when it is there already. The caller names [`Entity::User`] as changed.
///
/// # Errors
/// The database's.
pub async fn add_to_group<M: Writes>(tx: &mut Tx<M>, user: UserId, group: GroupId) -> Result<bool, StoreError> {
    let sql = "INSERT INTO account_membership (user_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    Ok(tx.execute(sql, &[user.0.into(), group.0.into()]).await? > 0)
}

/// Takes an account out of a group; `false` when it is not in it. The caller names [`Entity::User`] as changed.
///
/// # Errors
/// The database's.
pub async fn remove_from_group<M: Writes>(tx: &mut Tx<M>, user: UserId, group: GroupId) -> Result<bool, StoreError> {
    let sql = "DELETE FROM account_membership WHERE user_id = $1 AND group_id = $2";
    Ok(tx.execute(sql, &[user.0.into(), group.0.into()]).await? > 0)
}

/// Refuses a change after which nobody could administer the site; called after the change, whose transaction is given up.
pub(crate) async fn keep_an_administrator<M: AnyMode>(tx: &mut Tx<M>) -> Result<(), Problem> {
    let sql = "SELECT 1 AS one FROM account_user u
                 JOIN account_membership m ON m.user_id = u.id
                 JOIN account_group g ON g.id = m.group_id
                WHERE g.site_admin = 1 AND u.active = 1 AND u.kind = 'person' LIMIT 1";
    match tx.query_opt(sql, &[]).await? {
        Some(_) => Ok(()),
        None => Err(Problem::conflict("The site would have no active administrator left. Add another one first.")),
    }
}

/// The account with this account id.
pub(crate) fn named(view: &View, account_id: &str) -> Result<UserId, Problem> {
    view.with(|snapshot| snapshot.user_by_account_id(account_id))
        .ok_or_else(|| Problem::not_found("There is no account with this id."))
}

pub(crate) const fn kind_word(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Person => "person",
        AccountKind::Service => "service",
        AccountKind::App => "app",
    }
}

/// Trims and checks the shape; whether mail arrives is another question. A colon would end the user part of Basic
/// authentication (RFC 7617, section 2).
fn parse_email(text: &str) -> Result<String, Problem> {
    let email = wire::line("emailAddress", text, EMAIL_CHARS_MAX)?;
    let bad = |c: char| c.is_whitespace() || matches!(c, ':' | '<' | '>' | ',' | ';');
    match email.rsplit_once('@') {
        Some((local, host)) if !local.is_empty() && !host.is_empty() && !email.contains(bad) => Ok(email),
        _ => Err(Problem::field("emailAddress", "This is not an e-mail address.")),
    }
}

/// The shape of an IANA zone name.
fn parse_time_zone(text: &str) -> Result<String, Problem> {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'+'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Problem::field("timeZone", "This is not a time zone, as Europe/Paris."))
    }
}

/// `en` or `en_US`.
fn parse_locale(text: &str) -> Result<String, Problem> {
    let (language, country) =
        text.split_once('_').map_or((text, None), |(language, country)| (language, Some(country)));
    let fits = (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_lowercase())
        && country.is_none_or(|country| country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()));
    if fits { Ok(text.to_owned()) } else { Err(Problem::field("locale", "This is not a locale, as en_US.")) }
}

async fn refuse_taken<M: AnyMode>(tx: &mut Tx<M>, email: &str, but: Option<UserId>) -> Result<(), Problem> {
    let sql = "SELECT id FROM account_user WHERE email_folded = $1";
    match tx.query_opt(sql, &[email.to_lowercase().into()]).await? {
        Some(row) if Some(row.get("id")?) != but.map(|id| id.0) => {
            Err(Problem::conflict("Another account has this e-mail address."))
        }
        _ => Ok(()),
    }
}

/// A column of an account.
async fn column<M: AnyMode, T: FromValue>(
    tx: &mut Tx<M>,
    user: UserId,
    sql: &'static str,
    name: &str,
) -> Result<T, Problem> {
    let row = tx.query_opt(sql, &[user.0.into()]).await?;
    let row = row.ok_or_else(|| Problem::not_found("There is no account with this id."))?;
    Ok(row.get(name)?)
}

async fn kind_of<M: AnyMode>(tx: &mut Tx<M>, user: UserId) -> Result<String, Problem> {
    column(tx, user, "SELECT kind FROM account_user WHERE id = $1", "kind").await
}

const COLUMNS: &str = "SELECT id, account_id, kind, email, display_name, active, time_zone, locale, created_at_ms,
       CASE WHEN password_hash IS NULL THEN 0 ELSE 1 END AS has_password FROM account_user WHERE ";

fn json_of(row: &Row, view: &View, groups: &[(GroupId, String, String)]) -> Result<Json, StoreError> {
    let id = UserId(row.get("id")?);
    let (site_admin, jira_access) =
        view.with(|snapshot| (snapshot.policy.is_site_admin(id), snapshot.policy.has_access(id)));
    let mut out = Map::new();
    out.insert("accountId".into(), row.get::<String>("account_id")?.into());
    out.insert("kind".into(), row.get::<String>("kind")?.into());
    if let Some(email) = row.get::<Option<String>>("email")? {
        out.insert("emailAddress".into(), email.into());
    }
    out.insert("displayName".into(), row.get::<String>("display_name")?.into());
    out.insert("active".into(), row.get::<bool>("active")?.into());
    out.insert("siteAdmin".into(), site_admin.into());
    out.insert("jiraAccess".into(), jira_access.into());
    out.insert("hasPassword".into(), row.get::<bool>("has_password")?.into());
    out.insert("timeZone".into(), row.get::<String>("time_zone")?.into());
    out.insert("locale".into(), row.get::<String>("locale")?.into());
    out.insert("created".into(), wire::moment(row.get("created_at_ms")?).into());
    let groups: Vec<Json> = groups.iter().map(|(_, name, uuid)| json!({"groupId": uuid, "name": name})).collect();
    out.insert("groups".into(), groups.into());
    Ok(Json::Object(out))
}

/// Accounts with their groups; the builder holds what stands behind `WHERE`.
async fn read<M: AnyMode>(tx: &mut Tx<M>, view: &View, sql: SqlBuilder) -> Result<Vec<Json>, StoreError> {
    let rows = tx.query(sql, &[]).await?;
    let ids = rows.iter().map(|row| row.get("id")).collect::<Result<Vec<i64>, _>>()?;
    let mut groups = groups_of(tx, &ids).await?;
    let mut out = Vec::with_capacity(rows.len());
    for row in &rows {
        let own = groups.remove(&row.get("id")?).unwrap_or_default();
        out.push(json_of(row, view, &own)?);
    }
    Ok(out)
}

async fn groups_of<M: AnyMode>(
    tx: &mut Tx<M>,
    users: &[i64],
) -> Result<HashMap<i64, Vec<(GroupId, String, String)>>, StoreError> {
    let mut sql = SqlBuilder::new(
        "SELECT m.user_id, g.id, g.name, g.uuid FROM account_membership m JOIN account_group g ON g.id = m.group_id
          WHERE m.user_id IN ",
    );
    sql.ids(users).push(" ORDER BY g.name_folded {{c}}, g.id");
    let mut out: HashMap<i64, Vec<(GroupId, String, String)>> = HashMap::new();
    for row in tx.query(sql, &[]).await? {
        let group = (GroupId(row.get("id")?), row.get("name")?, row.get("uuid")?);
        out.entry(row.get("user_id")?).or_default().push(group);
    }
    Ok(out)
}

/// The account as it stands now, for an answer within the transaction that changed it.
async fn one<M: AnyMode>(tx: &mut Tx<M>, view: &View, user: UserId) -> Result<Json, Problem> {
    let mut sql = SqlBuilder::new(COLUMNS);
    sql.push("id = ").bind(user.0);
    let found = read(tx, view, sql).await?.into_iter().next();
    found.ok_or_else(|| Problem::not_found("There is no account with this id."))
}

/// The same when the snapshot is behind: who is in which group decides about access, and both are read back later.
async fn changed_one<M: AnyMode>(tx: &mut Tx<M>, view: &View, user: UserId) -> Result<Json, Problem> {
    let mut json = one(tx, view, user).await?;
    if let Some(members) = json.as_object_mut() {
        let sql = "SELECT u.kind, u.active, coalesce(max(g.site_admin), 0) AS site_admin, count(a.application_key) AS applications
                     FROM account_user u
                     LEFT JOIN account_membership m ON m.user_id = u.id
                     LEFT JOIN account_group g ON g.id = m.group_id
                     LEFT JOIN account_application_group a ON a.group_id = g.id
                    WHERE u.id = $1 GROUP BY u.kind, u.active";
        let row = tx.query_one(sql, &[user.0.into()]).await?;
        let active: bool = row.get("active")?;
        let licensed = row.get::<i64>("applications")? > 0 || row.get::<String>("kind")? == "app";
        members.insert("siteAdmin".into(), (active && row.get::<bool>("site_admin")?).into());
        members.insert("jiraAccess".into(), (active && licensed).into());
    }
    Ok(json)
}

async fn list(mut cx: Ctx<op::ManageListUsers>, input: Input) -> Outcome<op::ManageListUsers> {
    let view = cx.view().clone();
    let paging = Paging::of(&input)?;
    let filter = Filter::of(&input)?;
    let mut count = SqlBuilder::new("SELECT count(*) AS n FROM account_user WHERE ");
    filter.push(&mut count);
    let total = cx.tx().query_one(count, &[]).await?.get("n")?;
    let mut sql = SqlBuilder::new(COLUMNS);
    filter.push(&mut sql);
    sql.push(" ORDER BY name_folded {{c}}, id LIMIT ").bind(paging.max_results);
    sql.push(" OFFSET ").bind(paging.start_at);
    let values = read(cx.tx(), &view, sql).await?;
    cx.done(Reply::json(paging.page(total, values)))
}

struct Filter {
    pattern: Option<String>,
    kind: Option<&'static str>,
    active: Option<bool>,
}

impl Filter {
    fn of(input: &Input) -> Result<Self, Problem> {
        let kind = match input.query("kind") {
            None | Some("") => None,
            Some("person") => Some("person"),
            Some("service") => Some("service"),
            Some("app") => Some("app"),
            Some(_) => return Err(Problem::invalid("The parameter 'kind' is person, service or app.")),
        };
        let pattern = input.query("query").map(str::trim).filter(|text| !text.is_empty()).map(wire::contains_pattern);
        Ok(Self { pattern, kind, active: input.query_bool("active")? })
    }

    fn push(&self, sql: &mut SqlBuilder) {
        sql.push("1 = 1");
        if let Some(pattern) = &self.pattern {
            sql.push(" AND (name_folded LIKE ").bind(pattern).push(" ESCAPE '!' OR email_folded LIKE ");
            sql.bind(pattern).push(" ESCAPE '!' OR lower(account_id) LIKE ").bind(pattern).push(" ESCAPE '!')");
        }
        if let Some(kind) = self.kind {
            sql.push(" AND kind = ").bind(kind);
        }
        if let Some(active) = self.active {
            sql.push(" AND active = ").bind(active);
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateBody {
    email_address: Option<String>,
    display_name: String,
    kind: Option<String>,
    password: Option<String>,
    time_zone: Option<String>,
    locale: Option<String>,
    /// `groupId`s.
    #[serde(default)]
    groups: Vec<String>,
    /// Keys of applications to give access to, by their default groups.
    #[serde(default)]
    applications: Vec<String>,
}

async fn create_one(mut cx: Ctx<op::ManageCreateUser>, input: Input) -> Outcome<op::ManageCreateUser> {
    let view = cx.view().clone();
    let body: CreateBody = input.parse()?;
    if body.groups.len() + body.applications.len() > GROUPS_NAMED_MAX {
        return Err(Problem::invalid(format!("At most {GROUPS_NAMED_MAX} groups can be named at once.")));
    }
    let kind = match body.kind.as_deref() {
        None | Some("person") => AccountKind::Person,
        Some("service") => AccountKind::Service,
        Some(_) => return Err(Problem::field("kind", "kind is person or service.")),
    };
    let password_hash = match (&body.password, kind) {
        (None, _) => None,
        (Some(text), AccountKind::Person) => Some(password::hash(password::parse(text)?, view.entropy()).await?),
        (Some(_), AccountKind::Service | AccountKind::App) => {
            return Err(Problem::field(
                "password",
                "A service account has no password. Give it API tokens with scopes.",
            ));
        }
    };
    let new = NewUser {
        email: body.email_address,
        display_name: body.display_name,
        kind,
        time_zone: body.time_zone,
        locale: body.locale,
        password_hash,
    };
    let (user, account_id) = create(cx.tx(), new, view.now(), view.entropy()).await?;
    for uuid in &body.groups {
        let (group, _) = group::named(cx.tx(), uuid).await?;
        add_to_group(cx.tx(), user, group).await?;
    }
    for key in &body.applications {
        for group in default_groups(cx.tx(), key).await? {
            add_to_group(cx.tx(), user, group).await?;
        }
    }
    let json = changed_one(cx.tx(), &view, user).await?;
    cx.audit(format!("user:{account_id}"), None, Some(json.clone()));
    cx.changed(Entity::User(user));
    cx.done(Reply::created(json))
}

async fn default_groups<M: AnyMode>(tx: &mut Tx<M>, application: &str) -> Result<Vec<GroupId>, Problem> {
    let sql = "SELECT group_id FROM account_application_group WHERE application_key = $1 AND is_default = 1 ORDER BY group_id";
    let rows = tx.query(sql, &[wire::comparable(application).into()]).await?;
    if rows.is_empty() {
        return Err(Problem::field("applications", "One of the applications is unknown or has no default group."));
    }
    Ok(rows.iter().map(|row| row.get("group_id").map(GroupId)).collect::<Result<_, _>>()?)
}

async fn get(mut cx: Ctx<op::ManageGetUser>, input: Input) -> Outcome<op::ManageGetUser> {
    let view = cx.view().clone();
    let user = named(&view, input.param("accountId"))?;
    let json = one(cx.tx(), &view, user).await?;
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateBody {
    email_address: Option<String>,
    display_name: Option<String>,
    time_zone: Option<String>,
    locale: Option<String>,
}

async fn update(mut cx: Ctx<op::ManageUpdateUser>, input: Input) -> Outcome<op::ManageUpdateUser> {
    let view = cx.view().clone();
    let user = named(&view, input.param("accountId"))?;
    let body: UpdateBody = input.parse()?;
    refuse_app_user(cx.tx(), user).await?;
    let before = one(cx.tx(), &view, user).await?;
    if let Some(name) = &body.display_name {
        let name = wire::line("displayName", name, DISPLAY_NAME_CHARS_MAX)?;
        let sql = "UPDATE account_user SET display_name = $2, name_folded = $3 WHERE id = $1";
        cx.tx().execute(sql, &[user.0.into(), name.as_str().into(), name.to_lowercase().into()]).await?;
    }
    if let Some(email) = &body.email_address {
        let email = parse_email(email)?;
        refuse_taken(cx.tx(), &email, Some(user)).await?;
        let sql = "UPDATE account_user SET email = $2, email_folded = $3 WHERE id = $1";
        cx.tx().execute(sql, &[user.0.into(), email.as_str().into(), email.to_lowercase().into()]).await?;
    }
    if let Some(zone) = &body.time_zone {
        let sql = "UPDATE account_user SET time_zone = $2 WHERE id = $1";
        cx.tx().execute(sql, &[user.0.into(), parse_time_zone(zone)?.into()]).await?;
    }
    if let Some(locale) = &body.locale {
        let sql = "UPDATE account_user SET locale = $2 WHERE id = $1";
        cx.tx().execute(sql, &[user.0.into(), parse_locale(locale)?.into()]).await?;
    }
    let after = one(cx.tx(), &view, user).await?;
    cx.audit(format!("user:{}", input.param("accountId")), Some(before), Some(after.clone()));
    cx.changed(Entity::User(user));
    cx.done(Reply::json(after))
}

async fn refuse_app_user<M: AnyMode>(tx: &mut Tx<M>, user: UserId) -> Result<(), Problem> {
    if kind_of(tx, user).await? == "app" {
        return Err(Problem::conflict("This account belongs to an app and follows the app's installation."));
    }
    Ok(())
}

async fn deactivate(mut cx: Ctx<op::ManageDeactivateUser>, input: Input) -> Outcome<op::ManageDeactivateUser> {
    let view = cx.view().clone();
    let user = named(&view, input.param("accountId"))?;
    if view.caller().user() == Some(user) {
        return Err(Problem::conflict("You cannot deactivate your own account. Ask another administrator."));
    }
    let sql = "UPDATE account_user SET active = 0 WHERE id = $1 AND active = 1";
    let was_active = cx.tx().execute(sql, &[user.0.into()]).await? > 0;
    keep_an_administrator(cx.tx()).await?;
    // The account alone would be enough to refuse; what is gone cannot come back when it is activated again.
    let now = cx.now();
    let ended = end_credentials(cx.tx(), user, now).await?;
    ended.name_to(|entity| cx.changed(entity));
    let json = changed_one(cx.tx(), &view, user).await?;
    cx.audit(
        format!("user:{}", input.param("accountId")),
        Some(json!({"active": was_active})),
        Some(json!({"active": false, "apiTokensRevoked": ended.tokens.len(), "sessionsEnded": ended.sessions.len()})),
    );
    cx.changed(Entity::User(user));
    cx.done(Reply::json(json))
}

/// Credentials that were ended; each has to be named as changed.
struct Ended {
    tokens: Vec<portcullis_model::ApiTokenId>,
    sessions: Vec<portcullis_model::SessionId>,
}

impl Ended {
    fn name_to(&self, mut changed: impl FnMut(Entity)) {
        self.tokens.iter().for_each(|id| changed(Entity::ApiToken(*id)));
        self.sessions.iter().for_each(|id| changed(Entity::Session(*id)));
    }
}

async fn end_credentials<M: Writes>(tx: &mut Tx<M>, user: UserId, now: Timestamp) -> Result<Ended, StoreError> {
    end_app_tokens(tx, user, now).await?;
    Ok(Ended { tokens: api_token::revoke_of(tx, user).await?, sessions: session::end_of(tx, user, None).await? })
}

/// What apps were issued for the account counts no more; it has to be named as changed.
async fn end_app_tokens<M: Writes>(tx: &mut Tx<M>, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE account_user SET apps_since_ms = $2 WHERE id = $1";
    tx.execute(sql, &[user.0.into(), now.0.into()]).await.map(|_| ())
}

async fn activate(mut cx: Ctx<op::ManageActivateUser>, input: Input) -> Outcome<op::ManageActivateUser> {
    let view = cx.view().clone();
    let user = named(&view, input.param("accountId"))?;
    refuse_app_user(cx.tx(), user).await?;
    let sql = "UPDATE account_user SET active = 1 WHERE id = $1 AND active = 0";
    let was_inactive = cx.tx().execute(sql, &[user.0.into()]).await? > 0;
    let json = changed_one(cx.tx(), &view, user).await?;
    let target = format!("user:{}", input.param("accountId"));
    cx.audit(target, Some(json!({"active": !was_inactive})), Some(json!({"active": true})));
    cx.changed(Entity::User(user));
    cx.done(Reply::json(json))
}

#[derive(Deserialize)]
struct PasswordBody {
    password: String,
}

async fn set_password(mut cx: Ctx<op::ManageSetUserPassword>, input: Input) -> Outcome<op::ManageSetUserPassword> {
    let view = cx.view().clone();
    let user = named(&view, input.param("accountId"))?;
    let body: PasswordBody = input.parse()?;
    let new = password::parse(&body.password)?;
    if kind_of(cx.tx(), user).await? != "person" {
        return Err(Problem::conflict("Only people have passwords."));
    }
    let hash = password::hash(new, view.entropy()).await?.expose_phc();
    cx.tx().execute("UPDATE account_user SET password_hash = $2 WHERE id = $1", &[user.0.into(), hash.into()]).await?;
    end_app_tokens(cx.tx(), user, view.now()).await?;
    let own = view.caller().session().map(|session| session.id);
    let sessions = session::end_of(cx.tx(), user, own).await?;
    sessions.iter().for_each(|id| cx.changed(Entity::Session(*id)));
    let target = format!("user:{}", input.param("accountId"));
    cx.audit(target, None, Some(json!({"password": "changed", "sessionsEnded": sessions.len()})));
    cx.changed(Entity::User(user));
    cx.done(Reply::no_content())
}

async fn revoke_credentials(
    mut cx: Ctx<op::ManageRevokeUserCredentials>,
    input: Input,
) -> Outcome<op::ManageRevokeUserCredentials> {
    let user = named(cx.view(), input.param("accountId"))?;
    let now = cx.now();
    let ended = end_credentials(cx.tx(), user, now).await?;
    ended.name_to(|entity| cx.changed(entity));
    let json = json!({"apiTokensRevoked": ended.tokens.len(), "sessionsEnded": ended.sessions.len()});
    cx.audit(format!("user:{}", input.param("accountId")), None, Some(json.clone()));
    cx.changed(Entity::User(user));
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
    handlers.on(create_one);
    handlers.on(get);
    handlers.on(update);
    handlers.on(deactivate);
    handlers.on(activate);
    handlers.on(set_password);
    handlers.on(revoke_credentials);
}

#[cfg(test)]
mod tests {
    use super::{parse_email, parse_locale, parse_time_zone};

    #[test]
    fn emails_have_their_shape() {
        assert_eq!(parse_email(" Ada@Acme.example ").ok().as_deref(), Some("Ada@Acme.example"));
        for text in ["", "ada", "@acme", "ada@", "a:b@acme", "a b@acme", "a@b\0"] {
            assert!(parse_email(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn zones_and_locales_have_their_shape() {
        assert!(parse_time_zone("Europe/Paris").is_ok());
        assert!(parse_time_zone("Europe Paris").is_err());
        assert!(parse_locale("en_US").is_ok());
        assert!(parse_locale("de").is_ok());
        assert!(parse_locale("en-US").is_err());
        assert!(parse_locale("EN_us").is_err());
    }
}
