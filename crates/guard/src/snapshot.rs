//! What is kept in memory to authenticate and decide without SQL, and how it stays exact.
//!
//! The snapshot reflects one revision of the policy head. An operation in mode `Policy` names the entities it changed; they are
//! read again inside its transaction and replaced here in the same step as the commit. A transaction that opens at a later
//! revision than the snapshot's (another node committed) catches up from `policy_log` first.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_authz::Policy;
use portcullis_authz::policy::{
    AccountKind, Actor, GroupFacts, Holder, HolderFacts, LevelFacts, ProjectFacts, SchemeFacts, UserFacts,
};
use portcullis_crypto::jws::SigningKey;
use portcullis_crypto::{SealingKeys, TokenHash};
use portcullis_model::{
    ApiTokenId, AppGrantId, AppId, ConnectAppId, FieldId, ForgeInstallationId, GlobalPermission, GlobalPermissionSet,
    GrantId, GroupId, LevelId, ProjectId, ProjectPermission, RoleId, SchemeId, ScopeSet, SecuritySchemeId, SessionId,
    TokenFamilyId, UserId, WebhookId,
};
use portcullis_store::{Mode, Row, Sql, StoreError, Tx};

use crate::app_rules::{self, AppRules};
use crate::connect::{self, ConnectSnapshot};
use crate::forge::{self, ForgeSnapshot};
use crate::oauth::{self, OauthSnapshot};
use crate::webhook::{self, WebhookSnapshot};

/// What an operation can change about the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// An account: its state, groups, e-mail.
    User(UserId),
    /// A group: applications, global permissions, name. Its members are entities of their own.
    Group(GroupId),
    /// Global permissions of everyone.
    GlobalGrants,
    /// A permission scheme.
    Scheme(SchemeId),
    /// An issue security scheme with its levels.
    SecurityScheme(SecuritySchemeId),
    /// A project with its role actors.
    Project(ProjectId),
    /// An API token.
    ApiToken(ApiTokenId),
    /// A browser session.
    Session(SessionId),
    /// An OAuth 2.0 client with its secrets.
    OauthClient(AppId),
    /// What an account lets an OAuth 2.0 app do.
    AppGrant(AppGrantId),
    /// A family of tokens that died.
    TokenFamily(TokenFamilyId),
    /// The keys that sign access tokens and installations.
    SigningKeys,
    /// A Connect app.
    ConnectApp(ConnectAppId),
    /// A Forge app on this site.
    ForgeInstallation(ForgeInstallationId),
    /// What an app wants to be told of.
    Webhook(WebhookId),
    /// The site's settings.
    Settings,
    /// The app access rules.
    AppRules,
    /// Anything; reads everything again.
    Everything,
}

impl Entity {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Entity::User(_) => "user",
            Entity::Group(_) => "group",
            Entity::GlobalGrants => "global_grants",
            Entity::Scheme(_) => "scheme",
            Entity::SecurityScheme(_) => "security_scheme",
            Entity::Project(_) => "project",
            Entity::ApiToken(_) => "api_token",
            Entity::Session(_) => "session",
            Entity::OauthClient(_) => "oauth_client",
            Entity::AppGrant(_) => "app_grant",
            Entity::TokenFamily(_) => "token_family",
            Entity::SigningKeys => "signing_keys",
            Entity::ConnectApp(_) => "connect_app",
            Entity::ForgeInstallation(_) => "forge_installation",
            Entity::Webhook(_) => "webhook",
            Entity::AppRules => "app_rules",
            Entity::Settings => "settings",
            Entity::Everything => "everything",
        }
    }

    pub(crate) fn id(self) -> String {
        match self {
            Entity::User(id) => id.to_string(),
            Entity::Group(id) => id.to_string(),
            Entity::Scheme(id) => id.to_string(),
            Entity::SecurityScheme(id) => id.to_string(),
            Entity::Project(id) => id.to_string(),
            Entity::ApiToken(id) => id.to_string(),
            Entity::Session(id) => id.to_string(),
            Entity::OauthClient(id) => id.to_string(),
            Entity::AppGrant(id) => id.to_string(),
            Entity::TokenFamily(id) => id.to_string(),
            Entity::ConnectApp(id) => id.to_string(),
            Entity::ForgeInstallation(id) => id.to_string(),
            Entity::Webhook(id) => id.to_string(),
            Entity::GlobalGrants | Entity::SigningKeys | Entity::AppRules | Entity::Settings | Entity::Everything => {
                String::new()
            }
        }
    }

    /// Any doubt about an entry reads everything again.
    fn parse(kind: &str, id: &str) -> Self {
        let id = id.parse::<i64>().ok();
        match (kind, id) {
            ("user", Some(id)) => Entity::User(UserId(id)),
            ("group", Some(id)) => Entity::Group(GroupId(id)),
            ("global_grants", _) => Entity::GlobalGrants,
            ("scheme", Some(id)) => Entity::Scheme(SchemeId(id)),
            ("security_scheme", Some(id)) => Entity::SecurityScheme(SecuritySchemeId(id)),
            ("project", Some(id)) => Entity::Project(ProjectId(id)),
            ("api_token", Some(id)) => Entity::ApiToken(ApiTokenId(id)),
            ("session", Some(id)) => Entity::Session(SessionId(id)),
            ("oauth_client", Some(id)) => Entity::OauthClient(AppId(id)),
            ("app_grant", Some(id)) => Entity::AppGrant(AppGrantId(id)),
            ("token_family", Some(id)) => Entity::TokenFamily(TokenFamilyId(id)),
            ("connect_app", Some(id)) => Entity::ConnectApp(ConnectAppId(id)),
            ("forge_installation", Some(id)) => Entity::ForgeInstallation(ForgeInstallationId(id)),
            ("webhook", Some(id)) => Entity::Webhook(WebhookId(id)),
            ("signing_keys", _) => Entity::SigningKeys,
            ("app_rules", _) => Entity::AppRules,
            ("settings", _) => Entity::Settings,
            _ => Entity::Everything,
        }
    }
}

/// What is known of an account besides its rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonInfo {
    /// The id on the wire.
    pub account_id: String,
    /// E-mail in lower case; what Basic authentication names.
    pub email_folded: Option<String>,
    /// The name people see.
    pub display_name: String,
    /// What apps were issued before this moment counts no more.
    pub apps_since_ms: i64,
    /// Whether the account has a second factor.
    pub second_factor: bool,
}

/// An API token as authentication sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Its id.
    pub id: ApiTokenId,
    /// Whose it is.
    pub user: UserId,
    /// Scopes; `None`: a token without scopes.
    pub scopes: Option<ScopeSet>,
    /// Refused from here on.
    pub expires_at_ms: i64,
    /// Made at, for the site's limit on the age of tokens.
    pub created_at_ms: i64,
}

/// A browser session as authentication sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// Ties form tokens to it.
    pub form_key: [u8; 32],
    /// Refused from here on.
    pub expires_at_ms: i64,
    /// When the person last proved with a password, and a second factor if there is one, that it is them.
    pub proven_at_ms: i64,
}

/// Settings of the site that authentication and the edge follow. Defaults are the strict reading of the vendor's behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The site's name.
    pub site_name: String,
    /// The site's public id (UUID).
    pub cloud_id: String,
    /// A failed Basic credential is answered as if there were none (`true`, as Atlassian does) or with 401.
    pub failed_basic_is_anonymous: bool,
    /// Whether people may use API tokens at all.
    pub api_tokens_allowed: bool,
    /// Longest life of an API token, in days; older ones are refused too.
    pub api_token_days_max: i64,
    /// Whether people may let apps in that no administrator installed.
    pub user_apps_allowed: bool,
    /// Whether apps may register themselves (RFC 7591).
    pub app_registration_open: bool,
    /// Who has to have a second factor to work in a browser.
    pub second_factor_of: SecondFactorOf,
}

/// Who has to have a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecondFactorOf {
    /// Nobody has to; everyone may.
    #[default]
    Nobody,
    /// Site administrators.
    Administrators,
    /// Everyone who signs in.
    Everyone,
}

impl SecondFactorOf {
    /// Each with its word in the settings.
    pub const WORDS: [(&'static str, SecondFactorOf); 3] =
        [("nobody", Self::Nobody), ("administrators", Self::Administrators), ("everyone", Self::Everyone)];
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            site_name: String::new(),
            cloud_id: String::new(),
            failed_basic_is_anonymous: true,
            api_tokens_allowed: true,
            api_token_days_max: 365,
            user_apps_allowed: true,
            app_registration_open: false,
            second_factor_of: SecondFactorOf::Nobody,
        }
    }
}

/// The snapshot.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Rights, compiled.
    pub policy: Policy,
    people: HashMap<UserId, PersonInfo>,
    by_account_id: HashMap<String, UserId>,
    by_email: HashMap<String, UserId>,
    tokens: HashMap<TokenHash, TokenFacts>,
    token_hashes: HashMap<ApiTokenId, TokenHash>,
    sessions: HashMap<TokenHash, SessionFacts>,
    session_hashes: HashMap<SessionId, TokenHash>,
    project_keys: HashMap<String, ProjectId>,
    keys_of_project: HashMap<ProjectId, Vec<String>>,
    applications: Vec<(String, u8)>,
    levels_of_scheme: HashMap<SecuritySchemeId, Vec<LevelId>>,
    group_names: HashMap<GroupId, (String, String)>,
    names_fields: bool,
    oauth: OauthSnapshot,
    connect: ConnectSnapshot,
    forge: ForgeSnapshot,
    webhooks: WebhookSnapshot,
    /// Settings of the site.
    pub settings: Settings,
    pub(crate) app_rules: AppRules,
}

impl Snapshot {
    /// What is known of an account.
    pub fn person(&self, user: UserId) -> Option<&PersonInfo> {
        self.people.get(&user)
    }

    /// The account with this account id.
    pub fn user_by_account_id(&self, account_id: &str) -> Option<UserId> {
        self.by_account_id.get(account_id).copied()
    }

    /// The account with this e-mail, compared in lower case.
    pub fn user_by_email(&self, email_folded: &str) -> Option<UserId> {
        self.by_email.get(email_folded).copied()
    }

    /// The API token with this hash.
    pub fn token(&self, hash: &TokenHash) -> Option<TokenFacts> {
        self.tokens.get(hash).copied()
    }

    /// Whether the site asks this account for a second factor.
    pub fn second_factor_required(&self, user: UserId) -> bool {
        match self.settings.second_factor_of {
            SecondFactorOf::Nobody => false,
            SecondFactorOf::Administrators => self.policy.is_site_admin(user),
            SecondFactorOf::Everyone => true,
        }
    }

    /// The projects that app access rules close to an app, by its word.
    pub fn closed_to(&self, app: &str) -> &[ProjectId] {
        self.app_rules.closed_to(app)
    }

    /// The session with this hash.
    pub fn session(&self, hash: &TokenHash) -> Option<SessionFacts> {
        self.sessions.get(hash).copied()
    }

    pub(crate) fn token_by_id(&self, id: ApiTokenId) -> Option<TokenFacts> {
        self.token(self.token_hashes.get(&id)?)
    }

    pub(crate) fn session_by_id(&self, id: SessionId) -> Option<SessionFacts> {
        self.session(self.session_hashes.get(&id)?)
    }

    /// OAuth 2.0 clients, grants, dead families and signing keys.
    pub fn oauth(&self) -> &OauthSnapshot {
        &self.oauth
    }

    /// Installed Forge apps.
    pub fn forge(&self) -> &ForgeSnapshot {
        &self.forge
    }

    /// Installed Connect apps.
    pub fn connect(&self) -> &ConnectSnapshot {
        &self.connect
    }

    /// What apps want to be told of.
    pub fn webhooks(&self) -> &WebhookSnapshot {
        &self.webhooks
    }

    /// The project with this key, now or formerly; exact spelling.
    pub fn project_by_key(&self, key: &str) -> Option<ProjectId> {
        self.project_keys.get(key).copied()
    }

    /// A group's name and `groupId`.
    pub fn group(&self, group: GroupId) -> Option<&(String, String)> {
        self.group_names.get(&group)
    }

    /// Whether any holder names a custom field, so that `locate` has to read them.
    pub fn names_fields(&self) -> bool {
        self.names_fields
    }

    /// The position of an application in the engine's bit set.
    pub fn application(&self, key: &str) -> Option<u8> {
        self.applications.iter().find(|(k, _)| k == key).map(|(_, position)| *position)
    }

    pub(crate) fn apply(&mut self, loaded: Vec<Loaded>, revision: i64) {
        for change in loaded {
            self.apply_one(change);
        }
        self.policy.set_revision(revision);
    }

    fn apply_one(&mut self, change: Loaded) {
        match change {
            Loaded::Fresh => *self = Snapshot::default(),
            Loaded::Applications(applications) => self.applications = applications,
            Loaded::User(id, user) => {
                if let Some(old) = self.people.remove(&id) {
                    self.by_account_id.remove(&old.account_id);
                    if let Some(email) = old.email_folded {
                        self.by_email.remove(&email);
                    }
                }
                let facts = user.map(|(facts, person)| {
                    self.by_account_id.insert(person.account_id.clone(), id);
                    if let Some(email) = &person.email_folded {
                        self.by_email.insert(email.clone(), id);
                    }
                    self.people.insert(id, person);
                    facts
                });
                self.policy.put_user(id, facts);
            }
            Loaded::Group(id, group) => {
                self.group_names.remove(&id);
                let facts = group.map(|(facts, name, uuid)| {
                    self.group_names.insert(id, (name, uuid));
                    facts
                });
                self.policy.put_group(id, facts);
            }
            Loaded::AnyoneGlobal(set) => self.policy.set_anyone_global(set),
            Loaded::Scheme(id, facts) => {
                if let Some(facts) = &facts {
                    self.names_fields |= facts.grants.iter().any(|(_, holder)| names_field(holder));
                }
                self.policy.put_scheme(id, facts);
            }
            Loaded::SecurityScheme(id, levels) => {
                for level in self.levels_of_scheme.remove(&id).unwrap_or_default() {
                    self.policy.put_level(level, None);
                }
                let ids = levels.iter().map(|(level, _)| *level).collect();
                for (level, facts) in levels {
                    self.names_fields |= facts.members.iter().any(names_field);
                    self.policy.put_level(level, Some(facts));
                }
                self.levels_of_scheme.insert(id, ids);
            }
            Loaded::Project(id, project) => {
                for key in self.keys_of_project.remove(&id).unwrap_or_default() {
                    self.project_keys.remove(&key);
                }
                let facts = project.map(|(facts, former)| {
                    let mut keys = former;
                    keys.push(facts.key.clone());
                    for key in &keys {
                        self.project_keys.insert(key.clone(), id);
                    }
                    self.keys_of_project.insert(id, keys);
                    facts
                });
                self.policy.put_project(id, facts);
            }
            Loaded::ApiToken(id, token) => {
                if let Some(hash) = self.token_hashes.remove(&id) {
                    self.tokens.remove(&hash);
                }
                if let Some((hash, facts)) = token {
                    self.token_hashes.insert(id, hash);
                    self.tokens.insert(hash, facts);
                }
            }
            Loaded::Session(id, session) => {
                if let Some(hash) = self.session_hashes.remove(&id) {
                    self.sessions.remove(&hash);
                }
                if let Some((hash, facts)) = session {
                    self.session_hashes.insert(id, hash);
                    self.sessions.insert(hash, facts);
                }
            }
            Loaded::Oauth(change) => {
                if let oauth::Change::Grant(id, None) = change {
                    self.webhooks.forget_grant(id);
                }
                self.oauth.apply(change);
            }
            Loaded::Connect((id, app)) => self.connect.apply(id, app),
            Loaded::Forge((id, facts)) => self.forge.apply(id, facts),
            Loaded::InstallKey(key) => self.connect.set_install_key(key),
            Loaded::Webhook((id, webhook)) => self.webhooks.apply(id, webhook),
            Loaded::Settings(settings) => self.settings = settings,
            Loaded::AppRules(rules) => self.app_rules = rules,
        }
    }
}

fn names_field(holder: &HolderFacts) -> bool {
    matches!(holder.holder, Holder::UserField(_) | Holder::GroupField(_))
}

/// Facts of one entity as read inside a transaction; applied in order.
pub(crate) enum Loaded {
    Fresh,
    Applications(Vec<(String, u8)>),
    User(UserId, Option<(UserFacts, PersonInfo)>),
    Group(GroupId, Option<(GroupFacts, String, String)>),
    AnyoneGlobal(GlobalPermissionSet),
    Scheme(SchemeId, Option<SchemeFacts>),
    SecurityScheme(SecuritySchemeId, Vec<(LevelId, LevelFacts)>),
    Project(ProjectId, Option<(ProjectFacts, Vec<String>)>),
    ApiToken(ApiTokenId, Option<(TokenHash, TokenFacts)>),
    Session(SessionId, Option<(TokenHash, SessionFacts)>),
    Oauth(oauth::Change),
    Connect(connect::Change),
    Forge(forge::Change),
    InstallKey(Option<Arc<SigningKey>>),
    Webhook(webhook::Change),
    Settings(Settings),
    AppRules(AppRules),
}

/// Reads the entities again.
pub(crate) async fn load<M: Mode>(
    tx: &mut Tx<M>,
    keys: &SealingKeys,
    entities: &[Entity],
) -> Result<Vec<Loaded>, StoreError> {
    if entities.contains(&Entity::Everything) {
        return load_everything(tx, keys).await;
    }
    let mut out = Vec::with_capacity(entities.len());
    let applications = applications(tx).await?;
    for entity in entities {
        match *entity {
            Entity::User(id) => out.extend(users(tx, Some(id)).await?),
            Entity::Group(id) => out.extend(groups(tx, Some(id), &applications).await?),
            Entity::GlobalGrants => out.push(anyone_global(tx).await?),
            Entity::Scheme(id) => out.extend(schemes(tx, Some(id), &applications).await?),
            Entity::SecurityScheme(id) => out.extend(security_schemes(tx, Some(id), &applications).await?),
            Entity::Project(id) => out.extend(projects(tx, Some(id)).await?),
            Entity::ApiToken(id) => out.extend(api_tokens(tx, Some(id)).await?),
            Entity::Session(id) => out.extend(sessions(tx, Some(id)).await?),
            Entity::OauthClient(id) => out.extend(oauth::clients(tx, Some(id)).await?.into_iter().map(Loaded::Oauth)),
            Entity::AppGrant(id) => out.extend(oauth::grants(tx, Some(id)).await?.into_iter().map(Loaded::Oauth)),
            Entity::TokenFamily(id) => out.extend(oauth::families(tx, Some(id)).await?.into_iter().map(Loaded::Oauth)),
            Entity::SigningKeys => {
                out.push(Loaded::Oauth(oauth::signing_keys(tx, keys).await?));
                out.push(Loaded::InstallKey(connect::install_key(tx, keys).await?));
            }
            Entity::ConnectApp(id) => {
                out.extend(connect::apps(tx, keys, Some(id)).await?.into_iter().map(Loaded::Connect));
            }
            Entity::ForgeInstallation(id) => {
                out.extend(forge::installations(tx, Some(id)).await?.into_iter().map(Loaded::Forge));
            }
            Entity::Webhook(id) => out.extend(webhook::webhooks(tx, Some(id)).await?.into_iter().map(Loaded::Webhook)),
            Entity::Settings => out.push(settings(tx).await?),
            Entity::AppRules => out.push(Loaded::AppRules(app_rules::load(tx).await?)),
            Entity::Everything => {}
        }
    }
    Ok(out)
}

/// What other nodes changed after `revision`.
pub(crate) async fn changes_since<M: Mode>(tx: &mut Tx<M>, revision: i64) -> Result<Vec<Entity>, StoreError> {
    let sql = "SELECT kind, id FROM policy_log WHERE revision > $1 ORDER BY revision";
    let mut out: Vec<Entity> = Vec::new();
    for row in tx.query(sql, &[revision.into()]).await? {
        let entity = Entity::parse(&row.get::<String>("kind")?, &row.get::<String>("id")?);
        if !out.contains(&entity) {
            out.push(entity);
        }
    }
    Ok(out)
}

async fn load_everything<M: Mode>(tx: &mut Tx<M>, keys: &SealingKeys) -> Result<Vec<Loaded>, StoreError> {
    let applications = applications(tx).await?;
    let mut out = vec![Loaded::Fresh, Loaded::Applications(applications.clone())];
    // Groups before accounts, so that each account is compiled once.
    out.extend(groups(tx, None, &applications).await?);
    out.push(anyone_global(tx).await?);
    out.extend(users(tx, None).await?);
    out.extend(schemes(tx, None, &applications).await?);
    out.extend(security_schemes(tx, None, &applications).await?);
    out.extend(projects(tx, None).await?);
    out.extend(api_tokens(tx, None).await?);
    out.extend(sessions(tx, None).await?);
    out.extend(oauth::clients(tx, None).await?.into_iter().map(Loaded::Oauth));
    out.extend(oauth::grants(tx, None).await?.into_iter().map(Loaded::Oauth));
    out.extend(oauth::families(tx, None).await?.into_iter().map(Loaded::Oauth));
    out.push(Loaded::Oauth(oauth::signing_keys(tx, keys).await?));
    out.push(Loaded::InstallKey(connect::install_key(tx, keys).await?));
    out.extend(connect::apps(tx, keys, None).await?.into_iter().map(Loaded::Connect));
    out.extend(forge::installations(tx, None).await?.into_iter().map(Loaded::Forge));
    out.extend(webhook::webhooks(tx, None).await?.into_iter().map(Loaded::Webhook));
    out.push(settings(tx).await?);
    out.push(Loaded::AppRules(app_rules::load(tx).await?));
    Ok(out)
}

async fn applications<M: Mode>(tx: &mut Tx<M>) -> Result<Vec<(String, u8)>, StoreError> {
    let sql = "SELECT key, position FROM account_application ORDER BY position";
    let mut out = Vec::new();
    for row in tx.query(sql, &[]).await? {
        if let Ok(position) = u8::try_from(row.get::<i64>("position")?) {
            out.push((row.get("key")?, position));
        }
    }
    Ok(out)
}

/// `all` when no id is given, else `one` with the id bound.
pub(crate) fn one_or_all(id: Option<i64>, one: &'static str, all: &'static str) -> (Sql, Vec<portcullis_store::Value>) {
    match id {
        Some(id) => (one.into(), vec![id.into()]),
        None => (all.into(), Vec::new()),
    }
}

async fn users<M: Mode>(tx: &mut Tx<M>, only: Option<UserId>) -> Result<Vec<Loaded>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT user_id, group_id FROM account_membership WHERE user_id = $1",
        "SELECT user_id, group_id FROM account_membership",
    );
    let mut groups: HashMap<UserId, Vec<GroupId>> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        groups.entry(UserId(row.get("user_id")?)).or_default().push(GroupId(row.get("group_id")?));
    }
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id, account_id, kind, email_folded, display_name, active, apps_since_ms, factor.user_id AS second_factor
           FROM account_user LEFT JOIN account_second_factor factor ON factor.user_id = id WHERE id = $1",
        "SELECT id, account_id, kind, email_folded, display_name, active, apps_since_ms, factor.user_id AS second_factor
           FROM account_user LEFT JOIN account_second_factor factor ON factor.user_id = id",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Loaded::User(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = UserId(row.get("id")?);
        let kind = match row.get::<String>("kind")?.as_str() {
            "person" => AccountKind::Person,
            "service" => AccountKind::Service,
            "app" => AccountKind::App,
            _ => continue,
        };
        let facts = UserFacts { id, active: row.get("active")?, kind, groups: groups.remove(&id).unwrap_or_default() };
        let person = PersonInfo {
            account_id: row.get("account_id")?,
            email_folded: row.get("email_folded")?,
            display_name: row.get("display_name")?,
            apps_since_ms: row.get("apps_since_ms")?,
            second_factor: row.get::<Option<i64>>("second_factor")?.is_some(),
        };
        out.push(Loaded::User(id, Some((facts, person))));
    }
    Ok(out)
}

async fn groups<M: Mode>(
    tx: &mut Tx<M>,
    only: Option<GroupId>,
    applications: &[(String, u8)],
) -> Result<Vec<Loaded>, StoreError> {
    let id = only.map(|id| id.0);
    let (sql, params) = one_or_all(
        id,
        "SELECT id, uuid, name, site_admin FROM account_group WHERE id = $1",
        "SELECT id, uuid, name, site_admin FROM account_group",
    );
    let mut found: HashMap<GroupId, (GroupFacts, String, String)> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        let facts = GroupFacts { site_admin: row.get("site_admin")?, ..GroupFacts::default() };
        found.insert(GroupId(row.get("id")?), (facts, row.get("name")?, row.get("uuid")?));
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT application_key, group_id FROM account_application_group WHERE group_id = $1",
        "SELECT application_key, group_id FROM account_application_group",
    );
    for row in tx.query(sql, &params).await? {
        let key: String = row.get("application_key")?;
        let position = applications.iter().find(|(k, _)| *k == key).map(|(_, position)| *position);
        if let (Some((facts, ..)), Some(position)) = (found.get_mut(&GroupId(row.get("group_id")?)), position) {
            facts.applications |= 1u64 << (position & 63);
        }
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT permission, group_id FROM account_global_grant WHERE group_id = $1",
        "SELECT permission, group_id FROM account_global_grant WHERE group_id IS NOT NULL",
    );
    for row in tx.query(sql, &params).await? {
        let permission = row.get::<String>("permission")?.parse::<GlobalPermission>();
        if let (Some((facts, ..)), Ok(permission)) = (found.get_mut(&GroupId(row.get("group_id")?)), permission) {
            facts.global.insert(permission);
        }
    }
    if let (Some(id), true) = (only, found.is_empty()) {
        return Ok(vec![Loaded::Group(id, None)]);
    }
    Ok(found.into_iter().map(|(id, group)| Loaded::Group(id, Some(group))).collect())
}

async fn anyone_global<M: Mode>(tx: &mut Tx<M>) -> Result<Loaded, StoreError> {
    let sql = "SELECT permission FROM account_global_grant WHERE group_id IS NULL";
    let mut set = GlobalPermissionSet::EMPTY;
    for row in tx.query(sql, &[]).await? {
        if let Ok(permission) = row.get::<String>("permission")?.parse() {
            set.insert(permission);
        }
    }
    Ok(Loaded::AnyoneGlobal(set))
}

/// A holder of a grant or a level; `None` when its reference is gone, which grants nobody anything.
fn holder(row: &Row, applications: &[(String, u8)]) -> Result<Option<HolderFacts>, StoreError> {
    let user = row.get::<Option<i64>>("user_id")?.map(UserId);
    let group = row.get::<Option<i64>>("group_id")?.map(GroupId);
    let role = row.get::<Option<i64>>("role_id")?.map(RoleId);
    let field = row.get::<Option<i64>>("field_id")?.map(FieldId);
    let application = row.get::<Option<String>>("application_key")?;
    let holder = match (row.get::<String>("holder_type")?.as_str(), user, group, role, field) {
        ("anyone", ..) => Some(Holder::Anyone),
        ("applicationRole", ..) => match application {
            None => Some(Holder::AnyApplication),
            Some(key) => applications.iter().find(|(k, _)| *k == key).map(|(_, p)| Holder::Application(*p)),
        },
        ("user", Some(user), ..) => Some(Holder::User(user)),
        ("group", _, Some(group), ..) => Some(Holder::Group(group)),
        ("projectRole", _, _, Some(role), _) => Some(Holder::Role(role)),
        ("projectLead", ..) => Some(Holder::ProjectLead),
        ("reporter", ..) => Some(Holder::Reporter),
        ("assignee", ..) => Some(Holder::Assignee),
        ("userCustomField", _, _, _, Some(field)) => Some(Holder::UserField(field)),
        ("groupCustomField", _, _, _, Some(field)) => Some(Holder::GroupField(field)),
        ("sd.customer.portal.only", ..) => Some(Holder::PortalCustomer),
        _ => None,
    };
    let grant = GrantId(row.get("id")?);
    Ok(holder.map(|holder| HolderFacts { grant, holder }))
}

async fn schemes<M: Mode>(
    tx: &mut Tx<M>,
    only: Option<SchemeId>,
    applications: &[(String, u8)],
) -> Result<Vec<Loaded>, StoreError> {
    let id = only.map(|id| id.0);
    let (sql, params) =
        one_or_all(id, "SELECT id FROM jira_permission_scheme WHERE id = $1", "SELECT id FROM jira_permission_scheme");
    let mut found: HashMap<SchemeId, SchemeFacts> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        found.insert(SchemeId(row.get("id")?), SchemeFacts::default());
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT id, scheme_id, permission, holder_type, user_id, group_id, role_id, field_id, application_key
           FROM jira_permission_grant WHERE scheme_id = $1 ORDER BY id",
        "SELECT id, scheme_id, permission, holder_type, user_id, group_id, role_id, field_id, application_key
           FROM jira_permission_grant ORDER BY id",
    );
    for row in tx.query(sql, &params).await? {
        let permission = row.get::<String>("permission")?.parse::<ProjectPermission>();
        let (Ok(permission), Some(holder)) = (permission, holder(&row, applications)?) else { continue };
        if let Some(scheme) = found.get_mut(&SchemeId(row.get("scheme_id")?)) {
            scheme.grants.push((permission, holder));
        }
    }
    if let (Some(id), true) = (only, found.is_empty()) {
        return Ok(vec![Loaded::Scheme(id, None)]);
    }
    Ok(found.into_iter().map(|(id, facts)| Loaded::Scheme(id, Some(facts))).collect())
}

async fn security_schemes<M: Mode>(
    tx: &mut Tx<M>,
    only: Option<SecuritySchemeId>,
    applications: &[(String, u8)],
) -> Result<Vec<Loaded>, StoreError> {
    let id = only.map(|id| id.0);
    let (sql, params) = one_or_all(
        id,
        "SELECT id, scheme_id FROM jira_security_level WHERE scheme_id = $1",
        "SELECT id, scheme_id FROM jira_security_level",
    );
    let mut levels: HashMap<LevelId, LevelFacts> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        let facts = LevelFacts { scheme: SecuritySchemeId(row.get("scheme_id")?), members: Vec::new() };
        levels.insert(LevelId(row.get("id")?), facts);
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT m.id, m.level_id, m.holder_type, m.user_id, m.group_id, m.role_id, m.field_id, m.application_key
           FROM jira_security_member m JOIN jira_security_level l ON l.id = m.level_id WHERE l.scheme_id = $1 ORDER BY m.id",
        "SELECT id, level_id, holder_type, user_id, group_id, role_id, field_id, application_key
           FROM jira_security_member ORDER BY id",
    );
    for row in tx.query(sql, &params).await? {
        let Some(holder) = holder(&row, applications)? else { continue };
        if let Some(level) = levels.get_mut(&LevelId(row.get("level_id")?)) {
            level.members.push(holder);
        }
    }
    let mut schemes: HashMap<SecuritySchemeId, Vec<(LevelId, LevelFacts)>> = HashMap::new();
    if let Some(id) = only {
        schemes.insert(id, Vec::new());
    }
    for (level, facts) in levels {
        schemes.entry(facts.scheme).or_default().push((level, facts));
    }
    Ok(schemes.into_iter().map(|(id, levels)| Loaded::SecurityScheme(id, levels)).collect())
}

async fn projects<M: Mode>(tx: &mut Tx<M>, only: Option<ProjectId>) -> Result<Vec<Loaded>, StoreError> {
    let id = only.map(|id| id.0);
    let (sql, params) = one_or_all(
        id,
        "SELECT project_id, role_id, user_id, group_id FROM jira_role_actor WHERE project_id = $1",
        "SELECT project_id, role_id, user_id, group_id FROM jira_role_actor",
    );
    let mut actors: HashMap<ProjectId, Vec<(RoleId, Actor)>> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        let user = row.get::<Option<i64>>("user_id")?.map(|id| Actor::User(UserId(id)));
        let group = row.get::<Option<i64>>("group_id")?.map(|id| Actor::Group(GroupId(id)));
        if let Some(actor) = user.or(group) {
            actors.entry(ProjectId(row.get("project_id")?)).or_default().push((RoleId(row.get("role_id")?), actor));
        }
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT key, project_id FROM jira_project_former_key WHERE project_id = $1",
        "SELECT key, project_id FROM jira_project_former_key",
    );
    let mut former: HashMap<ProjectId, Vec<String>> = HashMap::new();
    for row in tx.query(sql, &params).await? {
        former.entry(ProjectId(row.get("project_id")?)).or_default().push(row.get("key")?);
    }
    let (sql, params) = one_or_all(
        id,
        "SELECT id, key, lead_id, permission_scheme_id, security_scheme_id, team_managed, trashed_at_ms
           FROM jira_project WHERE id = $1",
        "SELECT id, key, lead_id, permission_scheme_id, security_scheme_id, team_managed, trashed_at_ms FROM jira_project",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Loaded::Project(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = ProjectId(row.get("id")?);
        let facts = ProjectFacts {
            id,
            key: row.get("key")?,
            lead: row.get::<Option<i64>>("lead_id")?.map(UserId),
            scheme: SchemeId(row.get("permission_scheme_id")?),
            security_scheme: row.get::<Option<i64>>("security_scheme_id")?.map(SecuritySchemeId),
            team_managed: row.get("team_managed")?,
            trashed: row.get::<Option<i64>>("trashed_at_ms")?.is_some(),
            actors: actors.remove(&id).unwrap_or_default(),
        };
        out.push(Loaded::Project(id, Some((facts, former.remove(&id).unwrap_or_default()))));
    }
    Ok(out)
}

pub(crate) fn hash_of(row: &Row) -> Result<Option<TokenHash>, StoreError> {
    let bytes: Vec<u8> = row.get("hash")?;
    Ok(<[u8; 32]>::try_from(bytes).ok().map(TokenHash::from_bytes))
}

async fn api_tokens<M: Mode>(tx: &mut Tx<M>, only: Option<ApiTokenId>) -> Result<Vec<Loaded>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id, user_id, hash, scopes, created_at_ms, expires_at_ms FROM account_api_token WHERE id = $1",
        "SELECT id, user_id, hash, scopes, created_at_ms, expires_at_ms FROM account_api_token",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Loaded::ApiToken(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = ApiTokenId(row.get("id")?);
        let Some(hash) = hash_of(&row)? else { continue };
        let scopes = row.get::<Option<String>>("scopes")?.map(|names| ScopeSet::of_names(&names));
        let facts = TokenFacts {
            id,
            user: UserId(row.get("user_id")?),
            scopes,
            expires_at_ms: row.get("expires_at_ms")?,
            created_at_ms: row.get("created_at_ms")?,
        };
        out.push(Loaded::ApiToken(id, Some((hash, facts))));
    }
    Ok(out)
}

async fn sessions<M: Mode>(tx: &mut Tx<M>, only: Option<SessionId>) -> Result<Vec<Loaded>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id, user_id, hash, form_key, expires_at_ms, proven_at_ms FROM account_session WHERE id = $1",
        "SELECT id, user_id, hash, form_key, expires_at_ms, proven_at_ms FROM account_session",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![Loaded::Session(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = SessionId(row.get("id")?);
        let Some(hash) = hash_of(&row)? else { continue };
        let Ok(form_key) = <[u8; 32]>::try_from(row.get::<Vec<u8>>("form_key")?) else { continue };
        let facts = SessionFacts {
            id,
            user: UserId(row.get("user_id")?),
            form_key,
            expires_at_ms: row.get("expires_at_ms")?,
            proven_at_ms: row.get("proven_at_ms")?,
        };
        out.push(Loaded::Session(id, Some((hash, facts))));
    }
    Ok(out)
}

async fn settings<M: Mode>(tx: &mut Tx<M>) -> Result<Loaded, StoreError> {
    let mut settings = Settings::default();
    for row in tx.query("SELECT key, value FROM account_setting", &[]).await? {
        let value = serde_json::from_str::<serde_json::Value>(&row.get::<String>("value")?).unwrap_or_default();
        match row.get::<String>("key")?.as_str() {
            "site.name" => settings.site_name = value.as_str().unwrap_or_default().to_owned(),
            "site.cloud_id" => settings.cloud_id = value.as_str().unwrap_or_default().to_owned(),
            "basic.failed_is_anonymous" => settings.failed_basic_is_anonymous = value.as_bool() == Some(true),
            "api_tokens.allowed" => settings.api_tokens_allowed = value.as_bool() == Some(true),
            "apps.user_installed" => settings.user_apps_allowed = value.as_bool() == Some(true),
            "apps.registration_open" => settings.app_registration_open = value.as_bool() == Some(true),
            // A word that is not known asks for most.
            "accounts.second_factor" => {
                let known = SecondFactorOf::WORDS.iter().find(|(word, _)| value.as_str() == Some(word));
                settings.second_factor_of = known.map_or(SecondFactorOf::Everyone, |(_, of)| *of);
            }
            "api_tokens.days_max" => settings.api_token_days_max = value.as_i64().unwrap_or(0),
            _ => {}
        }
    }
    Ok(Loaded::Settings(settings))
}
