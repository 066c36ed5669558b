//! OAuth 2.0 apps as their developers keep them: made, changed, given secrets, deleted. Administrators see all and shut any out.

use portcullis_authz::op;
use portcullis_authz::policy::AccountKind;
use portcullis_crypto::{Entropy, ExposeSecret, PlainToken, Purpose, TokenKind};
use portcullis_guard::oauth::{ClientKind, Registered, WireProfile};
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Policy, Reply, Row, StoreError, Tx, View};
use portcullis_model::{AppGrantId, AppId, ClientSecretId, Problem, ScopeSet, UserId};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::grant::{self, Of};
use super::metadata_document::Document;
use super::{redirect_uri, scope};
use crate::wire;

const NAME_CHARS_MAX: usize = 100;
const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Apps of one developer.
const PER_OWNER_MAX: i64 = 100;
/// Secrets of one app at once: the old one and the new one.
pub const SECRETS_MAX: usize = 2;
/// Clients that may have introduced themselves by an address.
const INTRODUCED_MAX: usize = 5_000;
const JWKS_BYTES_MAX: usize = 16 << 10;
/// What a secret is sealed for: signing what is sent to the app, which needs the secret itself.
const SECRET: Purpose = Purpose::new("client secret");
/// Letters of a client id, as developers know them.
const CLIENT_ID_LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CLIENT_ID_CHARS: usize = 32;

/// An app as its developer sees it.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id in addresses of ours.
    pub id: AppId,
    /// Its public id.
    pub client_id: String,
    /// `confidential`, `public` or `service`.
    pub kind: String,
    /// `console`, `dynamic` or `metadata`.
    pub registered: String,
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// Who made it.
    pub owner: Option<UserId>,
    /// `rfc` or `atlassian`.
    pub profile: String,
    /// What it may ask for.
    pub scopes: String,
    /// Where answers may go.
    pub redirect_uris: Vec<String>,
    /// Its public keys.
    pub jwks: Option<String>,
    /// PKCE is a must.
    pub pkce_required: bool,
    /// Pushed requests are a must.
    pub par_required: bool,
    /// Bound tokens are a must.
    pub dpop_required: bool,
    /// Others than its owner may connect it.
    pub shared: bool,
    /// An administrator shut it out.
    pub blocked: bool,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it was changed last.
    pub changed_at_ms: i64,
}

/// A secret as lists show it.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its id.
    pub id: ClientSecretId,
    /// What it begins and ends with.
    pub hint: String,
    /// When it was made.
    pub created_at_ms: i64,
    /// When it was used last.
    pub last_used_at_ms: Option<i64>,
}

const COLUMNS: &str = "SELECT id, client_id, kind, registered, name, description, owner_id, profile, scopes, redirect_uris, jwks,
        pkce_required, par_required, dpop_required, shared, blocked, created_at_ms, changed_at_ms FROM app_oauth_client";

fn of_row(row: &Row) -> Result<App, StoreError> {
    Ok(App {
        id: AppId(row.get("id")?),
        client_id: row.get("client_id")?,
        kind: row.get("kind")?,
        registered: row.get("registered")?,
        name: row.get("name")?,
        description: row.get("description")?,
        owner: row.get::<Option<i64>>("owner_id")?.map(UserId),
        profile: row.get("profile")?,
        scopes: row.get("scopes")?,
        redirect_uris: row.get::<String>("redirect_uris")?.split_whitespace().map(str::to_owned).collect(),
        jwks: row.get("jwks")?,
        pkce_required: row.get("pkce_required")?,
        par_required: row.get("par_required")?,
        dpop_required: row.get("dpop_required")?,
        shared: row.get("shared")?,
        blocked: row.get("blocked")?,
        created_at_ms: row.get("created_at_ms")?,
        changed_at_ms: row.get("changed_at_ms")?,
    })
}

/// Apps of a developer, or all; the newest first.
///
/// # Errors
/// The database's.
pub async fn list<M: AnyMode>(tx: &mut Tx<M>, owner: Option<UserId>) -> Result<Vec<App>, StoreError> {
    let mut sql = portcullis_guard::SqlBuilder::new(COLUMNS);
    if let Some(owner) = owner {
        sql.push(" WHERE kind <> 'service' AND owner_id = ").bind(owner.0);
    }
    sql.push(" ORDER BY created_at_ms DESC, id DESC LIMIT ").bind(1_000_i64);
    tx.query(sql, &[]).await?.iter().map(of_row).collect()
}

/// An app, or `None`.
///
/// # Errors
/// The database's.
pub async fn get<M: AnyMode>(tx: &mut Tx<M>, id: AppId) -> Result<Option<App>, StoreError> {
    let mut sql = portcullis_guard::SqlBuilder::new(COLUMNS);
    sql.push(" WHERE id = ").bind(id.0);
    tx.query_opt(sql, &[]).await?.map(|row| of_row(&row)).transpose()
}

fn no_app() -> Problem {
    Problem::not_found("There is no such app, or it is not yours.")
}

/// The app of the path, where it is the caller's own; the operator at the command line may name any.
///
/// # Errors
/// 404 for any other.
pub async fn own<M: AnyMode>(tx: &mut Tx<M>, view: &View, input: &Input) -> Result<App, Problem> {
    let id = input.param("appId").parse().map(AppId).map_err(|_| no_app())?;
    let app = get(tx, id).await?.ok_or_else(no_app)?;
    let is_own = app.owner.is_some() && app.owner == view.caller().user() && app.kind != "service";
    if is_own || view.is_ours() { Ok(app) } else { Err(no_app()) }
}

/// The app of the path as decisions see it, where it is the caller's own.
///
/// # Errors
/// 404 for any other.
pub fn own_named(view: &View, input: &Input) -> Result<AppId, Problem> {
    let id = input.param("appId").parse().map(AppId).map_err(|_| no_app())?;
    let owner = view.with(|snapshot| snapshot.oauth().client(id).and_then(|client| client.owner));
    if owner.is_some() && owner == view.caller().user() { Ok(id) } else { Err(no_app()) }
}

/// The app of the path, whoever's; for administrators.
///
/// # Errors
/// 404 when there is none.
pub async fn any<M: AnyMode>(tx: &mut Tx<M>, input: &Input) -> Result<App, Problem> {
    let id = input.param("appId").parse().map(AppId).map_err(|_| no_app())?;
    get(tx, id).await?.ok_or_else(no_app)
}

/// Secrets of an app, the newest first.
///
/// # Errors
/// The database's.
pub async fn secrets<M: AnyMode>(tx: &mut Tx<M>, id: AppId) -> Result<Vec<Secret>, StoreError> {
    let sql =
        "SELECT id, hint, created_at_ms, last_used_at_ms FROM app_oauth_secret WHERE client = $1 ORDER BY id DESC";
    let rows = tx.query(sql, &[id.0.into()]).await?;
    rows.iter()
        .map(|row| {
            Ok(Secret {
                id: ClientSecretId(row.get("id")?),
                hint: row.get("hint")?,
                created_at_ms: row.get("created_at_ms")?,
                last_used_at_ms: row.get("last_used_at_ms")?,
            })
        })
        .collect()
}

/// An app to be made.
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it says of itself.
    pub description: &'a str,
    /// How it proves itself.
    pub kind: ClientKind,
    /// How it comes to be known.
    pub registered: Registered,
    /// Who makes it.
    pub owner: Option<UserId>,
    /// Whom a service client acts for.
    pub service_user: Option<UserId>,
    /// The words it gets for its mistakes.
    pub profile: WireProfile,
    /// What it may ask for.
    pub scopes: ScopeSet,
    /// Where answers may go.
    pub redirect_uris: &'a [String],
    /// Others may connect it.
    pub shared: bool,
    /// PKCE is a must; always so for a public client.
    pub pkce_required: bool,
}

/// An app that was made.
pub struct Made {
    /// Its id.
    pub id: AppId,
    /// Its public id.
    pub client_id: String,
    /// Its first secret, shown once; a public client has none.
    pub secret: Option<PlainToken>,
}

fn client_id(entropy: &dyn Entropy) -> String {
    let mut out = String::with_capacity(CLIENT_ID_CHARS);
    while out.len() < CLIENT_ID_CHARS {
        let [byte]: [u8; 1] = entropy.array();
        // 248 is the largest multiple of 62 in a byte.
        if byte < 248
            && let Some(letter) = CLIENT_ID_LETTERS.get(usize::from(byte) % CLIENT_ID_LETTERS.len())
        {
            out.push(char::from(*letter));
        }
    }
    out
}

/// The door for an app's name.
pub(super) fn parse_name(text: &str) -> Result<String, Problem> {
    wire::line("name", text, NAME_CHARS_MAX)
}

pub(super) fn parse_uris(uris: &[impl AsRef<str>], is_public: bool) -> Result<Vec<String>, Problem> {
    let mut out: Vec<String> = Vec::new();
    for uri in uris {
        let uri = redirect_uri::parse(uri.as_ref(), is_public)?;
        if !out.contains(&uri) {
            out.push(uri);
        }
    }
    if out.len() > redirect_uri::PER_APP_MAX {
        let words = format!("An app has at most {} callback URLs.", redirect_uri::PER_APP_MAX);
        return Err(Problem::field("redirect_uris", words));
    }
    Ok(out)
}

fn parse_description(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > DESCRIPTION_CHARS_MAX || text.contains('\0') {
        return Err(Problem::field(
            "description",
            format!("description can have at most {DESCRIPTION_CHARS_MAX} characters."),
        ));
    }
    Ok(text.to_owned())
}

fn names(scopes: &ScopeSet) -> String {
    scopes.names().collect::<Vec<_>>().join(" ")
}

/// Makes an app. The caller names [`Entity::OauthClient`] as changed and shows the secret once.
///
/// # Errors
/// 400 about a field, 409 when the developer has very many.
pub async fn create(tx: &mut Tx<Policy>, view: &View, new: &New<'_>) -> Result<Made, Problem> {
    let name = parse_name(new.name)?;
    let description = parse_description(new.description)?;
    let is_public = new.kind == ClientKind::Public;
    let uris = parse_uris(new.redirect_uris, is_public)?;
    if let Some(owner) = new.owner {
        let sql = "SELECT count(*) AS n FROM app_oauth_client WHERE owner_id = $1";
        if tx.query_one(sql, &[owner.0.into()]).await?.get::<i64>("n")? >= PER_OWNER_MAX {
            return Err(Problem::conflict(format!("You have {PER_OWNER_MAX} apps already. Delete some first.")));
        }
    }
    let client_id = client_id(view.entropy());
    let now = view.now();
    let sql = "INSERT INTO app_oauth_client (client_id, kind, registered, name, description, owner_id, service_user_id, profile,
                      scopes, redirect_uris, pkce_required, par_required, dpop_required, shared, blocked, created_at_ms, changed_at_ms)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, 0, $12, 0, $13, $13) RETURNING id";
    let params = [
        client_id.as_str().into(),
        match new.kind {
            ClientKind::Confidential => "confidential",
            ClientKind::Public => "public",
            ClientKind::Service => "service",
        }
        .into(),
        match new.registered {
            Registered::Console => "console",
            Registered::Dynamic => "dynamic",
            Registered::Metadata => "metadata",
        }
        .into(),
        name.into(),
        description.into(),
        new.owner.map(|owner| owner.0).into(),
        new.service_user.map(|user| user.0).into(),
        match new.profile {
            WireProfile::Rfc => "rfc",
            WireProfile::Atlassian => "atlassian",
        }
        .into(),
        names(&new.scopes).into(),
        uris.join(" ").into(),
        (is_public || new.pkce_required).into(),
        new.shared.into(),
        now.0.into(),
    ];
    let id = AppId(tx.query_one(sql, &params).await?.get("id")?);
    let secret = if is_public { None } else { Some(add_secret(tx, view, id).await?.1) };
    Ok(Made { id, client_id, secret })
}

/// Stores what a client that is named by its address says of itself, at the moment somebody lets it in. The caller names
/// [`Entity::OauthClient`] as changed.
///
/// # Errors
/// 429 when very many have introduced themselves.
pub async fn introduce(tx: &mut Tx<Policy>, view: &View, document: &Document) -> Result<AppId, Problem> {
    let (known, many) = view.with(|snapshot| {
        let clients = snapshot.oauth().clients();
        (
            snapshot.oauth().client_named(&document.client_id).map(|client| client.id),
            clients.filter(|client| client.registered == Registered::Metadata).count(),
        )
    });
    if known.is_none() && many >= INTRODUCED_MAX {
        return Err(Problem::new(portcullis_model::ProblemKind::TooMany, "Too many apps have introduced themselves."));
    }
    let sql = "INSERT INTO app_oauth_client (client_id, kind, registered, name, description, owner_id, service_user_id, profile,
                      scopes, redirect_uris, pkce_required, par_required, dpop_required, shared, blocked, created_at_ms, changed_at_ms)
               VALUES ($1, 'public', 'metadata', $2, '', NULL, NULL, 'rfc', $3, $4, 1, 0, 0, 1, 0, $5, $5)
               ON CONFLICT (client_id) DO UPDATE SET name = excluded.name, scopes = excluded.scopes,
                      redirect_uris = excluded.redirect_uris, changed_at_ms = excluded.changed_at_ms RETURNING id";
    let params = [
        document.client_id.as_str().into(),
        document.name.as_str().into(),
        names(&document.scopes()).into(),
        document.redirect_uris.join(" ").into(),
        view.now().0.into(),
    ];
    Ok(AppId(tx.query_one(sql, &params).await?.get("id")?))
}

/// Gives an app one more secret; the old one stays in force until it is revoked. The caller names [`Entity::OauthClient`] as
/// changed and shows the secret once.
///
/// # Errors
/// 409 when it has two already.
pub async fn add_secret(tx: &mut Tx<Policy>, view: &View, id: AppId) -> Result<(ClientSecretId, PlainToken), Problem> {
    if secrets(tx, id).await?.len() >= SECRETS_MAX {
        return Err(Problem::conflict("The app has two secrets. Revoke the one that is not used any more first."));
    }
    let secret = PlainToken::issue(TokenKind::ClientSecret, view.entropy());
    let sealed = view
        .keys()
        .seal(secret.expose_secret().as_bytes(), SECRET, id.to_string().as_bytes(), view.entropy())
        .map_err(Problem::bug)?;
    let sql = "INSERT INTO app_oauth_secret (client, hash, sealed, hint, created_at_ms) VALUES ($1, $2, $3, $4, $5) RETURNING id";
    let params = [
        id.0.into(),
        secret.hash().to_bytes().to_vec().into(),
        sealed.into(),
        secret.hint().into(),
        view.now().0.into(),
    ];
    Ok((ClientSecretId(tx.query_one(sql, &params).await?.get("id")?), secret))
}

/// The newest secret of an app in clear, to sign with what is sent to it.
///
/// # Errors
/// The database's; 500 when it does not open.
pub async fn newest_secret<M: AnyMode>(tx: &mut Tx<M>, view: &View, id: AppId) -> Result<Option<Vec<u8>>, Problem> {
    let sql = "SELECT sealed FROM app_oauth_secret WHERE client = $1 ORDER BY id DESC LIMIT 1";
    let Some(row) = tx.query_opt(sql, &[id.0.into()]).await? else { return Ok(None) };
    let sealed: Vec<u8> = row.get("sealed")?;
    let opened = view.keys().open(&sealed, SECRET, id.to_string().as_bytes()).map_err(Problem::bug)?;
    Ok(Some(opened.expose_secret().to_vec()))
}

/// Takes a secret away; its hint. The caller names [`Entity::OauthClient`] as changed.
///
/// # Errors
/// 404 when the app has none of that id; 409 for its only one.
pub async fn revoke_secret(tx: &mut Tx<Policy>, id: AppId, secret: ClientSecretId) -> Result<String, Problem> {
    let all = secrets(tx, id).await?;
    let Some(found) = all.iter().find(|one| one.id == secret) else {
        return Err(Problem::not_found("The app has no such secret. It may be revoked already."));
    };
    if all.len() == 1 {
        return Err(Problem::conflict("This is the app's only secret. Make a new one first."));
    }
    tx.execute("DELETE FROM app_oauth_secret WHERE id = $1", &[secret.0.into()]).await?;
    Ok(found.hint.clone())
}

/// What is changed of an app; what is `None` stays.
#[derive(Default)]
pub struct Change<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// What it says of itself.
    pub description: Option<&'a str>,
    /// What it may ask for. What is taken away here is taken away from every token at once.
    pub scopes: Option<ScopeSet>,
    /// Where answers may go.
    pub redirect_uris: Option<&'a [String]>,
    /// Its public keys (RFC 7517), empty for none.
    pub jwks: Option<&'a str>,
    /// The words it gets for its mistakes.
    pub profile: Option<WireProfile>,
    /// Others may connect it.
    pub shared: Option<bool>,
    /// PKCE is a must.
    pub pkce_required: Option<bool>,
    /// Pushed requests are a must.
    pub par_required: Option<bool>,
    /// Bound tokens are a must.
    pub dpop_required: Option<bool>,
}

/// Changes an app. The caller names [`Entity::OauthClient`] as changed.
///
/// # Errors
/// 400 about a field.
pub async fn update(tx: &mut Tx<Policy>, view: &View, app: &App, change: &Change<'_>) -> Result<App, Problem> {
    let mut new = app.clone();
    let is_public = app.kind == "public";
    if let Some(name) = change.name {
        new.name = parse_name(name)?;
    }
    if let Some(description) = change.description {
        new.description = parse_description(description)?;
    }
    if let Some(scopes) = &change.scopes {
        new.scopes = names(scopes);
    }
    if let Some(uris) = change.redirect_uris {
        new.redirect_uris = parse_uris(uris, is_public)?;
    }
    if let Some(jwks) = change.jwks {
        new.jwks = parse_jwks(jwks)?;
    }
    if let Some(profile) = change.profile {
        new.profile = if profile == WireProfile::Atlassian { "atlassian" } else { "rfc" }.to_owned();
    }
    new.shared = change.shared.unwrap_or(app.shared);
    new.pkce_required = is_public || change.pkce_required.unwrap_or(app.pkce_required);
    new.par_required = change.par_required.unwrap_or(app.par_required);
    new.dpop_required = change.dpop_required.unwrap_or(app.dpop_required);
    new.changed_at_ms = view.now().0;
    let sql = "UPDATE app_oauth_client SET name = $2, description = $3, scopes = $4, redirect_uris = $5, jwks = $6, profile = $7,
                      shared = $8, pkce_required = $9, par_required = $10, dpop_required = $11, changed_at_ms = $12 WHERE id = $1";
    let params = [
        app.id.0.into(),
        new.name.as_str().into(),
        new.description.as_str().into(),
        new.scopes.as_str().into(),
        new.redirect_uris.join(" ").into(),
        new.jwks.clone().into(),
        new.profile.as_str().into(),
        new.shared.into(),
        new.pkce_required.into(),
        new.par_required.into(),
        new.dpop_required.into(),
        new.changed_at_ms.into(),
    ];
    tx.execute(sql, &params).await?;
    Ok(new)
}

fn parse_jwks(text: &str) -> Result<Option<String>, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |words: &str| Problem::field("jwks", words.to_owned());
    if text.len() > JWKS_BYTES_MAX {
        return Err(wrong("The key set is too long."));
    }
    let set: Json = serde_json::from_str(text).map_err(|_| wrong("This is not JSON."))?;
    let keys = set.get("keys").and_then(Json::as_array).ok_or_else(|| wrong("A key set has a member `keys`."))?;
    if keys.is_empty() || keys.len() > 10 {
        return Err(wrong("Give one to ten public keys."));
    }
    for key in keys {
        if portcullis_crypto::jws::VerifyingKey::from_jwk(key).is_err() {
            return Err(wrong("Each key is a public key for ES256 (EC P-256) or RS256 (RSA, 2048 bits or more)."));
        }
    }
    Ok(Some(set.to_string()))
}

/// Deletes an app with everything that came of it; the grants that went with it, each to be named as changed, as the app itself.
///
/// # Errors
/// The database's.
pub async fn delete(tx: &mut Tx<Policy>, id: AppId) -> Result<Vec<AppGrantId>, StoreError> {
    let grants = grant::revoke_all(tx, Of::Client(id)).await?;
    for sql in [
        "DELETE FROM app_oauth_family WHERE client = $1",
        "DELETE FROM app_oauth_code WHERE client = $1",
        "DELETE FROM app_oauth_pushed WHERE client = $1",
        "DELETE FROM app_oauth_device WHERE client = $1",
        "DELETE FROM app_oauth_assertion WHERE client = $1",
        "DELETE FROM app_webhook WHERE client = $1",
        "DELETE FROM app_oauth_secret WHERE client = $1",
        "DELETE FROM app_oauth_client WHERE id = $1",
    ] {
        tx.execute(sql, &[id.0.into()]).await?;
    }
    Ok(grants.into_iter().map(|grant| grant.id).collect())
}

/// Shuts an app out, or lets it in again; `false` when nothing changed. The caller names [`Entity::OauthClient`] as changed.
///
/// # Errors
/// The database's.
pub async fn block(tx: &mut Tx<Policy>, id: AppId, blocked: bool) -> Result<bool, StoreError> {
    let sql = "UPDATE app_oauth_client SET blocked = $2 WHERE id = $1 AND blocked <> $2";
    Ok(tx.execute(sql, &[id.0.into(), blocked.into()]).await? > 0)
}

/// What the audit log may know of an app.
pub fn public_json(app: &App) -> Json {
    json!({
        "id": app.id.to_string(),
        "clientId": app.client_id,
        "kind": app.kind,
        "registered": app.registered,
        "name": app.name,
        "description": app.description,
        "profile": app.profile,
        "scopes": app.scopes.split(' ').filter(|scope| !scope.is_empty()).collect::<Vec<_>>(),
        "redirectUris": app.redirect_uris,
        "jwks": app.jwks.as_deref().and_then(|text| serde_json::from_str::<Json>(text).ok()),
        "pkceRequired": app.pkce_required,
        "parRequired": app.par_required,
        "dpopRequired": app.dpop_required,
        "shared": app.shared,
        "blocked": app.blocked,
        "created": wire::moment(app.created_at_ms),
        "changed": wire::moment(app.changed_at_ms),
    })
}

fn with_secrets(app: &App, secrets: &[Secret]) -> Json {
    let mut json = public_json(app);
    let secrets: Vec<Json> = secrets
        .iter()
        .map(|secret| {
            json!({
                "id": secret.id.to_string(),
                "hint": secret.hint,
                "created": wire::moment(secret.created_at_ms),
                "lastUsed": secret.last_used_at_ms.map(wire::moment),
            })
        })
        .collect();
    if let Some(members) = json.as_object_mut() {
        members.insert("secrets".into(), secrets.into());
    }
    json
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    name: Option<String>,
    description: Option<String>,
    kind: Option<String>,
    profile: Option<String>,
    scopes: Option<Vec<String>>,
    redirect_uris: Option<Vec<String>>,
    jwks: Option<Json>,
    shared: Option<bool>,
    pkce_required: Option<bool>,
    par_required: Option<bool>,
    dpop_required: Option<bool>,
}

/// The door for scopes of an app: names that the table knows.
///
/// # Errors
/// 400 with the first that is not known.
pub fn parse_scopes(names: &[String]) -> Result<ScopeSet, Problem> {
    let mut set = ScopeSet::EMPTY;
    for name in names.iter().filter(|name| *name != scope::OFFLINE) {
        if !set.insert(name) {
            let shown: String = name.chars().take(80).collect();
            return Err(Problem::field("scopes", format!("There is no scope `{shown}`.")));
        }
    }
    Ok(set)
}

/// The door for a profile.
///
/// # Errors
/// 400 for another word.
pub fn parse_profile(text: &str) -> Result<WireProfile, Problem> {
    match text {
        "rfc" => Ok(WireProfile::Rfc),
        "atlassian" => Ok(WireProfile::Atlassian),
        _ => Err(Problem::field("profile", "profile is rfc or atlassian.")),
    }
}

async fn list_mine(mut cx: Ctx<op::ManageListOauthApps>, _: Input) -> Outcome<op::ManageListOauthApps> {
    let user = cx.user()?;
    let apps = list(cx.tx(), Some(user)).await?;
    cx.done(Reply::json(wire::whole(apps.iter().map(public_json).collect())))
}

async fn create_mine(mut cx: Ctx<op::ManageCreateOauthApp>, input: Input) -> Outcome<op::ManageCreateOauthApp> {
    let view = cx.view().clone();
    let user = cx.user()?;
    let body: Body = input.parse()?;
    let kind = match body.kind.as_deref() {
        None | Some("confidential") => ClientKind::Confidential,
        Some("public") => ClientKind::Public,
        Some(_) => return Err(Problem::field("kind", "kind is confidential or public.")),
    };
    let profile = body.profile.as_deref().map_or(Ok(WireProfile::Rfc), parse_profile)?;
    let new = New {
        name: body.name.as_deref().unwrap_or_default(),
        description: body.description.as_deref().unwrap_or_default(),
        kind,
        registered: Registered::Console,
        owner: Some(user),
        service_user: None,
        profile,
        scopes: parse_scopes(&body.scopes.unwrap_or_default())?,
        redirect_uris: &body.redirect_uris.unwrap_or_default(),
        shared: body.shared.unwrap_or(false),
        pkce_required: body.pkce_required.unwrap_or(profile == WireProfile::Rfc),
    };
    let made = create(cx.tx(), &view, &new).await?;
    let app = get(cx.tx(), made.id).await?.ok_or_else(no_app)?;
    let mut shown = with_secrets(&app, &secrets(cx.tx(), made.id).await?);
    if let (Some(secret), Some(members)) = (&made.secret, shown.as_object_mut()) {
        members.insert("clientSecret".into(), secret.expose_secret().into());
    }
    cx.audit(format!("oauth_app:{}", made.id), None, Some(public_json(&app)));
    cx.changed(Entity::OauthClient(made.id));
    cx.done(Reply::created(shown).with_header("cache-control", "no-store"))
}

async fn get_mine(mut cx: Ctx<op::ManageGetOauthApp>, input: Input) -> Outcome<op::ManageGetOauthApp> {
    let view = cx.view().clone();
    let app = own(cx.tx(), &view, &input).await?;
    let secrets = secrets(cx.tx(), app.id).await?;
    cx.done(Reply::json(with_secrets(&app, &secrets)))
}

async fn update_mine(mut cx: Ctx<op::ManageUpdateOauthApp>, input: Input) -> Outcome<op::ManageUpdateOauthApp> {
    let view = cx.view().clone();
    let app = own(cx.tx(), &view, &input).await?;
    let body: Body = input.parse()?;
    if body.kind.is_some_and(|kind| kind != app.kind) {
        return Err(Problem::field("kind", "The kind of an app cannot be changed: make a new one."));
    }
    let jwks = body.jwks.map(|jwks| if jwks.is_null() { String::new() } else { jwks.to_string() });
    let change = Change {
        name: body.name.as_deref(),
        description: body.description.as_deref(),
        scopes: body.scopes.as_deref().map(parse_scopes).transpose()?,
        redirect_uris: body.redirect_uris.as_deref(),
        jwks: jwks.as_deref(),
        profile: body.profile.as_deref().map(parse_profile).transpose()?,
        shared: body.shared,
        pkce_required: body.pkce_required,
        par_required: body.par_required,
        dpop_required: body.dpop_required,
    };
    let new = update(cx.tx(), &view, &app, &change).await?;
    let secrets = secrets(cx.tx(), app.id).await?;
    cx.audit(format!("oauth_app:{}", app.id), Some(public_json(&app)), Some(public_json(&new)));
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::json(with_secrets(&new, &secrets)))
}

async fn delete_mine(mut cx: Ctx<op::ManageDeleteOauthApp>, input: Input) -> Outcome<op::ManageDeleteOauthApp> {
    let view = cx.view().clone();
    let app = own(cx.tx(), &view, &input).await?;
    let grants = delete(cx.tx(), app.id).await?;
    let after = json!({"grantsRevoked": grants.len()});
    cx.audit(format!("oauth_app:{}", app.id), Some(public_json(&app)), Some(after));
    grants.into_iter().for_each(|grant| cx.changed(Entity::AppGrant(grant)));
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::no_content())
}

async fn create_secret(
    mut cx: Ctx<op::ManageCreateOauthAppSecret>,
    input: Input,
) -> Outcome<op::ManageCreateOauthAppSecret> {
    let view = cx.view().clone();
    let app = own(cx.tx(), &view, &input).await?;
    if app.kind == "public" {
        return Err(Problem::conflict("A public app has no secret: it proves itself with PKCE."));
    }
    let (id, secret) = add_secret(cx.tx(), &view, app.id).await?;
    cx.audit(format!("oauth_app:{}", app.id), None, Some(json!({"secret": id.to_string(), "hint": secret.hint()})));
    cx.changed(Entity::OauthClient(app.id));
    let shown = json!({"id": id.to_string(), "hint": secret.hint(), "clientSecret": secret.expose_secret()});
    cx.done(Reply::created(shown).with_header("cache-control", "no-store"))
}

/// The secret of the path.
///
/// # Errors
/// 404 for what cannot be one.
pub fn secret_of(input: &Input) -> Result<ClientSecretId, Problem> {
    let none = |_| Problem::not_found("The app has no such secret. It may be revoked already.");
    input.param("secretId").parse().map(ClientSecretId).map_err(none)
}

async fn delete_secret(
    mut cx: Ctx<op::ManageRevokeOauthAppSecret>,
    input: Input,
) -> Outcome<op::ManageRevokeOauthAppSecret> {
    let view = cx.view().clone();
    let app = own(cx.tx(), &view, &input).await?;
    let secret = secret_of(&input)?;
    let hint = revoke_secret(cx.tx(), app.id, secret).await?;
    cx.audit(format!("oauth_app:{}", app.id), Some(json!({"secret": secret.to_string(), "hint": hint})), None);
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::no_content())
}

async fn troubles(
    mut cx: Ctx<op::ManageListOauthAppTroubles>,
    input: Input,
) -> Outcome<op::ManageListOauthAppTroubles> {
    let view = cx.view().clone();
    let app = own(cx.tx(), &view, &input).await?;
    let values = view.troubles(app.id).into_iter().map(|trouble| {
        json!({
            "at": wire::moment(trouble.at_ms),
            "operation": trouble.operation,
            "accountId": trouble.account_id,
            "reason": trouble.reason,
            "details": trouble.details,
            "decision": if trouble.decision.is_empty() { Json::Null } else { trouble.decision.into() },
        })
    });
    let values = values.collect();
    cx.done(Reply::json(wire::whole(values)))
}

async fn list_all(mut cx: Ctx<op::ManageListAllOauthApps>, _: Input) -> Outcome<op::ManageListAllOauthApps> {
    let apps = list(cx.tx(), None).await?;
    cx.done(Reply::json(wire::whole(apps.iter().map(public_json).collect())))
}

#[derive(Deserialize)]
struct Blocked {
    blocked: bool,
}

async fn block_one(mut cx: Ctx<op::ManageBlockOauthApp>, input: Input) -> Outcome<op::ManageBlockOauthApp> {
    let app = any(cx.tx(), &input).await?;
    let body: Blocked = input.parse()?;
    block(cx.tx(), app.id, body.blocked).await?;
    let (before, after) = (json!({"blocked": app.blocked}), json!({"blocked": body.blocked}));
    cx.audit(format!("oauth_app:{}", app.id), Some(before), Some(after));
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::json(public_json(&App { blocked: body.blocked, ..app })))
}

async fn revoke_grants(
    mut cx: Ctx<op::ManageRevokeOauthAppGrants>,
    input: Input,
) -> Outcome<op::ManageRevokeOauthAppGrants> {
    let app = any(cx.tx(), &input).await?;
    let grants = grant::revoke_all(cx.tx(), Of::Client(app.id)).await?;
    grants.iter().for_each(|grant| cx.changed(Entity::AppGrant(grant.id)));
    let json = json!({"grantsRevoked": grants.len()});
    cx.audit(format!("oauth_app:{}", app.id), None, Some(json.clone()));
    cx.done(Reply::json(json))
}

/// The service account of the path.
fn service_account(view: &View, input: &Input) -> Result<UserId, Problem> {
    let user = view.with(|snapshot| {
        let user = snapshot.user_by_account_id(input.param("accountId"))?;
        snapshot.policy.user(user).filter(|facts| facts.kind == AccountKind::Service).map(|facts| (user, facts.active))
    });
    match user {
        Some((user, true)) => Ok(user),
        Some((_, false)) => Err(Problem::conflict("The service account is deactivated.")),
        None => Err(Problem::not_found("There is no service account with this id.")),
    }
}

async fn of_service<M: AnyMode>(tx: &mut Tx<M>, user: UserId) -> Result<Vec<App>, StoreError> {
    let mut sql = portcullis_guard::SqlBuilder::new(COLUMNS);
    sql.push(" WHERE kind = 'service' AND service_user_id = ").bind(user.0);
    sql.push(" ORDER BY id");
    tx.query(sql, &[]).await?.iter().map(of_row).collect()
}

async fn list_service(
    mut cx: Ctx<op::ManageListServiceOauthClients>,
    input: Input,
) -> Outcome<op::ManageListServiceOauthClients> {
    let user = service_account(cx.view(), &input)?;
    let apps = of_service(cx.tx(), user).await?;
    cx.done(Reply::json(wire::whole(apps.iter().map(public_json).collect())))
}

#[derive(Deserialize)]
struct NewService {
    name: String,
    scopes: Vec<String>,
}

async fn create_service(
    mut cx: Ctx<op::ManageCreateServiceOauthClient>,
    input: Input,
) -> Outcome<op::ManageCreateServiceOauthClient> {
    let view = cx.view().clone();
    let user = service_account(&view, &input)?;
    let body: NewService = input.parse()?;
    let scopes = parse_scopes(&body.scopes)?;
    if scopes.is_empty() {
        return Err(Problem::field("scopes", "Name at least one scope: they are fixed from now on."));
    }
    let new = New {
        name: &body.name,
        description: "",
        kind: ClientKind::Service,
        registered: Registered::Console,
        owner: None,
        service_user: Some(user),
        profile: WireProfile::Rfc,
        scopes,
        redirect_uris: &[],
        shared: false,
        pkce_required: false,
    };
    let made = create(cx.tx(), &view, &new).await?;
    let grant = grant::give(cx.tx(), made.id, user, &names(&scopes), view.now()).await?;
    let app = get(cx.tx(), made.id).await?.ok_or_else(no_app)?;
    let mut shown = public_json(&app);
    if let (Some(secret), Some(members)) = (&made.secret, shown.as_object_mut()) {
        members.insert("clientSecret".into(), secret.expose_secret().into());
    }
    cx.audit(format!("oauth_app:{}", made.id), None, Some(public_json(&app)));
    cx.changed(Entity::OauthClient(made.id));
    cx.changed(Entity::AppGrant(grant));
    cx.done(Reply::created(shown).with_header("cache-control", "no-store"))
}

async fn delete_service(
    mut cx: Ctx<op::ManageDeleteServiceOauthClient>,
    input: Input,
) -> Outcome<op::ManageDeleteServiceOauthClient> {
    let app = any(cx.tx(), &input).await?;
    let user = cx.view().with(|snapshot| snapshot.user_by_account_id(input.param("accountId")));
    let its = cx.view().with(|snapshot| snapshot.oauth().client(app.id).and_then(|client| client.service_user));
    if its.is_none() || its != user {
        return Err(no_app());
    }
    let grants = delete(cx.tx(), app.id).await?;
    cx.audit(format!("oauth_app:{}", app.id), Some(public_json(&app)), None);
    grants.into_iter().for_each(|grant| cx.changed(Entity::AppGrant(grant)));
    cx.changed(Entity::OauthClient(app.id));
    cx.done(Reply::no_content())
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list_mine);
    handlers.on(create_mine);
    handlers.on(get_mine);
    handlers.on(update_mine);
    handlers.on(delete_mine);
    handlers.on(create_secret);
    handlers.on(delete_secret);
    handlers.on(troubles);
    handlers.on(list_all);
    handlers.on(block_one);
    handlers.on(revoke_grants);
    handlers.on(list_service);
    handlers.on(create_service);
    handlers.on(delete_service);
}
