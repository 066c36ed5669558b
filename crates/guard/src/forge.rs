//! What is kept in memory of Forge apps on this site, and the callers that their code becomes. No credential is involved: the
//! server runs the code itself, and says which installation asks.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_authz::policy::AccountKind;
use portcullis_crypto::{Purpose, SealingKeys};
use portcullis_model::{AccessKind, ForgeInstallationId, ScopeSet, Surface, Timestamp, UserId, WebhookId};
use portcullis_store::{Mode, StoreError, Tx};
use serde_json::Value as Json;

use crate::caller::{Caller, CredentialRef};
use crate::enter::Guard;
use crate::snapshot::{Snapshot, one_or_all};
use crate::webhook::{Trigger, WebhookFacts, WebhookOwner};

/// An installed Forge app as decisions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgeFacts {
    /// Its id.
    pub id: ForgeInstallationId,
    /// Its id to the outside.
    pub uuid: String,
    /// The app's id to the outside.
    pub app_uuid: String,
    /// The name people see.
    pub name: String,
    /// The account it acts with.
    pub user: UserId,
    /// The scopes that an administrator consented to.
    pub scopes: ScopeSet,
    /// What its code is run for when it happens.
    pub triggers: Vec<Arc<WebhookFacts>>,
}

/// The events of this product that an event of Forge is made of.
const EVENTS: &[(&str, &[&str])] = &[
    ("avi:jira:created:issue", &["jira:issue_created"]),
    ("avi:jira:updated:issue", &["jira:issue_updated"]),
    ("avi:jira:assigned:issue", &["jira:issue_updated"]),
    ("avi:jira:deleted:issue", &["jira:issue_deleted"]),
    ("avi:jira:commented:issue", &["comment_created", "comment_updated"]),
    ("avi:jira:deleted:comment", &["comment_deleted"]),
    ("avi:jira:created:issuelink", &["issuelink_created"]),
    ("avi:jira:deleted:issuelink", &["issuelink_deleted"]),
    ("avi:jira:created:worklog", &["worklog_created"]),
    ("avi:jira:updated:worklog", &["worklog_updated"]),
    ("avi:jira:deleted:worklog", &["worklog_deleted"]),
    ("avi:jira:created:attachment", &["attachment_created"]),
    ("avi:jira:deleted:attachment", &["attachment_deleted"]),
    ("avi:jira:set:issue-property", &["issue_property_set"]),
    ("avi:jira:deleted:issue-property", &["issue_property_deleted"]),
    ("avi:jira:created:version", &["jira:version_created"]),
    ("avi:jira:updated:version", &["jira:version_updated"]),
    ("avi:jira:released:version", &["jira:version_released"]),
    ("avi:jira:unreleased:version", &["jira:version_unreleased"]),
    ("avi:jira:moved:version", &["jira:version_moved"]),
    ("avi:jira:deleted:version", &["jira:version_deleted"]),
    ("avi:jira:created:project", &["project_created"]),
    ("avi:jira:updated:project", &["project_updated"]),
    ("avi:jira:archived:project", &["project_archived"]),
    ("avi:jira:unarchived:project", &["project_restored_archived"]),
    ("avi:jira:softdeleted:project", &["project_soft_deleted"]),
    ("avi:jira:restored:project", &["project_restored_deleted"]),
    ("avi:jira:deleted:project", &["project_deleted"]),
];

/// The events of this product that an event of Forge is made of; empty for one that does not happen here.
pub fn events_of(event: &str) -> &'static [&'static str] {
    EVENTS.iter().find(|(name, _)| *name == event).map_or(&[], |(_, events)| events)
}

/// Whether an app with these scopes may be told of an event: the classic scope, or the granular one of what it is about.
fn may_hear(scopes: &ScopeSet, event: &str) -> bool {
    let has = |wanted: &str| scopes.names().any(|name| name == wanted);
    let granular = match event.rsplit(':').next().unwrap_or_default() {
        "comment" => "read:comment:jira",
        "issuelink" => "read:issue-link:jira",
        "worklog" => "read:issue-worklog:jira",
        "attachment" => "read:attachment:jira",
        "issue-property" => "read:issue.property:jira",
        "version" => "read:project-version:jira",
        "project" => "read:project:jira",
        _ => "read:issue:jira",
    };
    has("read:jira-work") || has(granular)
}

/// The triggers of a manifest, which was validated when it was deployed.
fn triggers(id: ForgeInstallationId, manifest: &str, scopes: &ScopeSet) -> Vec<Arc<WebhookFacts>> {
    let manifest: Json = serde_json::from_str(manifest).unwrap_or_default();
    let mut out = Vec::new();
    for module in manifest.pointer("/modules/trigger").and_then(Json::as_array).into_iter().flatten() {
        let Some(key) = module.get("key").and_then(Json::as_str) else { continue };
        let ignore_self = module.pointer("/filter/ignoreSelf") == Some(&Json::Bool(true));
        let events = module.get("events").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        for event in events.filter(|event| may_hear(scopes, event)) {
            let names = events_of(event);
            if names.is_empty() {
                continue;
            }
            out.push(Arc::new(WebhookFacts {
                id: WebhookId(id.0),
                owner: WebhookOwner::Forge(id),
                fixed: true,
                url: String::new(),
                events: names.iter().map(|name| (*name).to_owned()).collect(),
                jql: String::new(),
                field_ids: if event == "avi:jira:assigned:issue" { vec!["assignee".to_owned()] } else { Vec::new() },
                property_keys: Vec::new(),
                exclude_body: false,
                expires_at_ms: None,
                trigger: Some(Trigger { module: key.to_owned(), event: event.to_owned(), ignore_self }),
            }));
        }
    }
    out
}

/// The part of the snapshot about Forge apps. What was uninstalled is not in it.
#[derive(Debug, Default)]
pub struct ForgeSnapshot {
    installations: HashMap<ForgeInstallationId, Arc<ForgeFacts>>,
    by_event: HashMap<String, Vec<Arc<WebhookFacts>>>,
}

impl ForgeSnapshot {
    /// The installation with this id.
    pub fn installation(&self, id: ForgeInstallationId) -> Option<&Arc<ForgeFacts>> {
        self.installations.get(&id)
    }

    /// Every installation, in no order.
    pub fn installations(&self) -> impl Iterator<Item = &Arc<ForgeFacts>> {
        self.installations.values()
    }

    /// Triggers of an event of this product, in no order.
    pub(crate) fn listening(&self, event: &str) -> impl Iterator<Item = &Arc<WebhookFacts>> {
        self.by_event.get(event).into_iter().flatten()
    }

    pub(crate) fn apply(&mut self, id: ForgeInstallationId, facts: Option<Arc<ForgeFacts>>) {
        for listening in self.by_event.values_mut() {
            listening.retain(|webhook| webhook.owner != WebhookOwner::Forge(id));
        }
        self.by_event.retain(|_, listening| !listening.is_empty());
        for webhook in facts.iter().flat_map(|facts| &facts.triggers) {
            for event in &webhook.events {
                self.by_event.entry(event.clone()).or_default().push(Arc::clone(webhook));
            }
        }
        match facts {
            Some(facts) => self.installations.insert(id, facts),
            None => self.installations.remove(&id),
        };
    }
}

pub(crate) type Change = (ForgeInstallationId, Option<Arc<ForgeFacts>>);

pub(crate) async fn installations<M: Mode>(
    tx: &mut Tx<M>,
    only: Option<ForgeInstallationId>,
) -> Result<Vec<Change>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT i.id, i.uuid, i.user_id, i.scopes, a.uuid AS app_uuid, a.name, v.manifest FROM forge_installation i
         JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app JOIN forge_version v ON v.id = i.code
         WHERE i.uninstalled_at_ms IS NULL AND i.id = $1",
        "SELECT i.id, i.uuid, i.user_id, i.scopes, a.uuid AS app_uuid, a.name, v.manifest FROM forge_installation i
         JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app JOIN forge_version v ON v.id = i.code
         WHERE i.uninstalled_at_ms IS NULL",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = ForgeInstallationId(row.get("id")?);
        let scopes = ScopeSet::of_names(&row.get::<String>("scopes")?);
        let facts = ForgeFacts {
            id,
            triggers: triggers(id, &row.get::<String>("manifest")?, &scopes),
            uuid: row.get("uuid")?,
            app_uuid: row.get("app_uuid")?,
            name: row.get("name")?,
            user: UserId(row.get("user_id")?),
            scopes,
        };
        out.push((id, Some(Arc::new(facts))));
    }
    Ok(out)
}

/// For whom an app's code acts in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgeActs<'a> {
    /// As itself, with its own account.
    App,
    /// For the person with this account id, who started it.
    User(&'a str),
    /// For the person with this account id, who is not there, within some of the app's scopes.
    Absent(&'a str, ScopeSet),
    /// For nobody.
    Nobody,
}

/// Seals tokens of remotes.
const TOKEN: Purpose = Purpose::new("forge remote token");
/// How they begin; no other token of ours does.
const TOKEN_PREFIX: &str = "ptfg_";
const TOKEN_MS: i64 = 3 * 3_600_000;

/// A token that a remote of a Forge app was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForgeToken {
    installation: ForgeInstallationId,
    /// For whom it acts; as the app without one.
    user: Option<UserId>,
    issued_at_ms: i64,
    expires_at_ms: i64,
}

impl ForgeToken {
    /// Opens a token; `None` for any other text.
    pub(crate) fn open(keys: &SealingKeys, text: &str) -> Option<Self> {
        let state = keys.open_text(text.strip_prefix(TOKEN_PREFIX)?, TOKEN, &[]).ok()?;
        let state = String::from_utf8(state).ok()?;
        let mut numbers = state.split(' ').map(str::parse::<i64>);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            installation: ForgeInstallationId(next()?),
            user: Some(next()?).filter(|user| *user > 0).map(UserId),
            issued_at_ms: next()?,
            expires_at_ms: next()?,
        })
    }

    /// The caller that it makes, if it still counts: installed, in time, and not revoked by the person since.
    pub(crate) fn caller(&self, snapshot: &Snapshot, nobody: Caller, now: Timestamp) -> Option<Caller> {
        if now.0 >= self.expires_at_ms {
            return None;
        }
        let person = match self.user {
            Some(user) => Some(snapshot.person(user).filter(|person| person.apps_since_ms <= self.issued_at_ms)?),
            None => None,
        };
        let acts = person.map_or(ForgeActs::App, |person| ForgeActs::User(&person.account_id));
        caller_of(snapshot, nobody, self.installation, acts)
    }
}

fn caller_of(
    snapshot: &Snapshot,
    nobody: Caller,
    installation: ForgeInstallationId,
    acts: ForgeActs<'_>,
) -> Option<Caller> {
    let app = snapshot.forge().installation(installation)?;
    let user = match acts {
        ForgeActs::App => app.user,
        ForgeActs::User(account_id) | ForgeActs::Absent(account_id, _) => snapshot.user_by_account_id(account_id)?,
        ForgeActs::Nobody => return Some(Caller { actor: Some(format!("forge:{}", app.app_uuid)), ..nobody }),
    };
    let facts = snapshot.policy.user(user).filter(|facts| facts.active)?;
    let app_only = acts == ForgeActs::App;
    if !app_only && facts.kind != AccountKind::Person {
        return None;
    }
    Some(Caller {
        access: AccessKind::Forge,
        user: Some(user),
        account_id: Some(snapshot.person(user)?.account_id.clone()),
        credential: CredentialRef::Forge(installation),
        scopes: Some(match acts {
            ForgeActs::Absent(_, scopes) => app.scopes.intersection(&scopes),
            ForgeActs::App | ForgeActs::User(_) | ForgeActs::Nobody => app.scopes,
        }),
        app_only,
        actor: Some(format!("forge:{}", app.app_uuid)),
        ..nobody
    })
}

impl Guard {
    /// The caller that an installation's code is. `None` when it is not installed, or may not act for that person: an account that is
    /// not active, or an app's.
    ///
    /// Whoever runs the code says which installation it belongs to and for whom it was started; nothing that the code says may end
    /// up here.
    pub fn forge(&self, installation: ForgeInstallationId, acts: ForgeActs<'_>) -> Option<Caller> {
        let nobody = self.nobody_of_forge();
        self.with_snapshot(|snapshot| caller_of(snapshot, nobody, installation, acts))
    }

    /// A token for the API gateway, by which a remote acts as the app or, while somebody uses the app, for the person with that account
    /// id: what the app's own code could do. Good for three hours, and no longer than the app is installed.
    pub fn forge_token(&self, installation: ForgeInstallationId, account_id: Option<&str>) -> Option<String> {
        let acts = account_id.map_or(ForgeActs::App, ForgeActs::User);
        let user = self.forge(installation, acts)?.user.filter(|_| account_id.is_some());
        let issued_at_ms = self.now().0;
        let until = issued_at_ms.saturating_add(TOKEN_MS);
        let state = format!("{} {} {issued_at_ms} {until}", installation.0, user.map_or(0, |user| user.0));
        let sealed = self.keys().seal_to_text(state.as_bytes(), TOKEN, &[], self.entropy()).ok()?;
        Some(format!("{TOKEN_PREFIX}{sealed}"))
    }

    fn nobody_of_forge(&self) -> Caller {
        Caller {
            access: AccessKind::Anonymous,
            surface: Surface::Gateway,
            credential: CredentialRef::None,
            ..self.system("forge")
        }
    }
}
