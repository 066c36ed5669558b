//! What apps want to be told of, kept in memory: an event finds its listeners without SQL, and each listener comes with the view of
//! the account that it may see with. Who is stopped, uninstalled, revoked or over is no listener.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_authz::Operation;
use portcullis_authz::op;
use portcullis_authz::policy::IssueFacts;
use portcullis_model::{
    AccessKind, AppGrantId, AppId, ConnectAppId, ConnectScope, ForgeInstallationId, IssueId, Problem, ProjectId,
    ProjectPermission, Timestamp, UserId, WebhookId,
};
use portcullis_store::{Message, Mode, Row, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::authn::bearer;
use crate::caller::{Caller, CredentialRef};
use crate::ctx::View;
use crate::explain;
use crate::snapshot::{Snapshot, one_or_all};

/// Whose webhook it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookOwner {
    /// A Connect app; it sees what its own account sees.
    Connect(ConnectAppId),
    /// An OAuth 2.0 app under a grant; it sees what the account sees that gave it.
    Oauth {
        /// The app.
        client: AppId,
        /// What the account lets it do.
        grant: AppGrantId,
    },
    /// An installed Forge app, whose code is run; it sees what its own account sees.
    Forge(ForgeInstallationId),
}

impl WebhookOwner {
    /// The owner of its messages in the outbox.
    pub fn word(self) -> String {
        match self {
            WebhookOwner::Connect(app) => format!("connect:{app}"),
            WebhookOwner::Oauth { client, .. } => format!("oauth:{client}"),
            WebhookOwner::Forge(installation) => format!("forge:{installation}"),
        }
    }
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookFacts {
    /// Its id.
    pub id: WebhookId,
    /// Whose it is.
    pub owner: WebhookOwner,
    /// It stands in the app's descriptor, and was not registered by the running app.
    pub fixed: bool,
    /// Where it is sent.
    pub url: String,
    /// Names of events.
    pub events: Vec<String>,
    /// Which issues it is about; empty: all that the account sees.
    pub jql: String,
    /// Of updates, only those of these fields; empty: all.
    pub field_ids: Vec<String>,
    /// Of issue properties, only these; empty: all.
    pub property_keys: Vec<String>,
    /// It is sent without a body.
    pub exclude_body: bool,
    /// Over from here on.
    pub expires_at_ms: Option<i64>,
    /// The module of a Forge app that is run instead of a call.
    pub trigger: Option<Trigger>,
}

/// A module of a Forge app that is run when something happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The module's key.
    pub module: String,
    /// The event as the app knows it, `avi:jira:updated:issue`.
    pub event: String,
    /// What the app itself did is no news to it.
    pub ignore_self: bool,
}

/// The part of the snapshot about webhooks.
#[derive(Debug, Default)]
pub struct WebhookSnapshot {
    all: HashMap<WebhookId, Arc<WebhookFacts>>,
    by_event: HashMap<String, Vec<WebhookId>>,
}

impl WebhookSnapshot {
    /// The webhook with this id.
    pub fn get(&self, id: WebhookId) -> Option<&Arc<WebhookFacts>> {
        self.all.get(&id)
    }

    /// Every webhook of an owner, by id.
    pub fn of(&self, owner: WebhookOwner) -> Vec<Arc<WebhookFacts>> {
        let mut out: Vec<_> = self.all.values().filter(|webhook| webhook.owner == owner).cloned().collect();
        out.sort_unstable_by_key(|webhook| webhook.id);
        out
    }

    /// What was registered under a grant goes with it.
    pub(crate) fn forget_grant(&mut self, gone: AppGrantId) {
        let of_grant =
            |webhook: &WebhookFacts| matches!(webhook.owner, WebhookOwner::Oauth { grant, .. } if grant == gone);
        let ids: Vec<WebhookId> = self.all.values().filter(|webhook| of_grant(webhook)).map(|found| found.id).collect();
        for id in ids {
            self.apply(id, None);
        }
    }

    pub(crate) fn apply(&mut self, id: WebhookId, webhook: Option<Arc<WebhookFacts>>) {
        if let Some(old) = self.all.remove(&id) {
            for event in &old.events {
                if let Some(ids) = self.by_event.get_mut(event) {
                    ids.retain(|other| *other != id);
                }
            }
        }
        if let Some(webhook) = webhook {
            for event in &webhook.events {
                let ids = self.by_event.entry(event.clone()).or_default();
                if let Err(place) = ids.binary_search(&id) {
                    ids.insert(place, id);
                }
            }
            self.all.insert(id, webhook);
        }
    }
}

pub(crate) type Change = (WebhookId, Option<Arc<WebhookFacts>>);

pub(crate) async fn webhooks<M: Mode>(tx: &mut Tx<M>, only: Option<WebhookId>) -> Result<Vec<Change>, StoreError> {
    let (sql, params) = one_or_all(
        only.map(|id| id.0),
        "SELECT id, connect_app, client, grant_id, fixed, url, events, jql, field_ids, property_keys, exclude_body, expires_at_ms
           FROM app_webhook WHERE id = $1",
        "SELECT id, connect_app, client, grant_id, fixed, url, events, jql, field_ids, property_keys, exclude_body, expires_at_ms
           FROM app_webhook",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![(id, None)]);
    }
    rows.iter().map(|row| facts(row).map(|facts| (WebhookId(facts.0), facts.1.map(Arc::new)))).collect()
}

fn facts(row: &Row) -> Result<(i64, Option<WebhookFacts>), StoreError> {
    let id: i64 = row.get("id")?;
    let connect: Option<i64> = row.get("connect_app")?;
    let (client, grant): (Option<i64>, Option<i64>) = (row.get("client")?, row.get("grant_id")?);
    let owner = match (connect, client, grant) {
        (Some(app), None, _) => WebhookOwner::Connect(ConnectAppId(app)),
        (None, Some(client), Some(grant)) => WebhookOwner::Oauth { client: AppId(client), grant: AppGrantId(grant) },
        _ => return Ok((id, None)),
    };
    let list = |column: &str| -> Result<Vec<String>, StoreError> {
        Ok(serde_json::from_str(&row.get::<String>(column)?).unwrap_or_default())
    };
    let facts = WebhookFacts {
        id: WebhookId(id),
        owner,
        fixed: row.get("fixed")?,
        url: row.get("url")?,
        events: list("events")?,
        jql: row.get("jql")?,
        field_ids: list("field_ids")?,
        property_keys: list("property_keys")?,
        exclude_body: row.get("exclude_body")?,
        expires_at_ms: row.get("expires_at_ms")?,
        trigger: None,
    };
    Ok((id, Some(facts)))
}

/// The app behind a webhook as a caller, when it may be told of anything at this moment.
fn listening(snapshot: &Snapshot, webhook: &WebhookFacts, now: Timestamp, nobody: Caller) -> Option<Caller> {
    if webhook.expires_at_ms.is_some_and(|until| until <= now.0) {
        return None;
    }
    let active = |user: UserId| {
        let person = snapshot.person(user)?;
        snapshot.policy.user(user).is_some_and(|facts| facts.active).then(|| person.account_id.clone())
    };
    match webhook.owner {
        WebhookOwner::Connect(id) => {
            let app = snapshot.connect().app(id).filter(|app| app.enabled)?;
            if app.grant.top.rank() < ConnectScope::Read.rank() {
                return None;
            }
            Some(Caller {
                access: AccessKind::Connect,
                user: Some(app.user),
                account_id: Some(active(app.user)?),
                credential: CredentialRef::Connect(id),
                connect: Some(app.grant),
                app_only: true,
                actor: Some(format!("app:{}", app.key)),
                ..nobody
            })
        }
        WebhookOwner::Forge(id) => {
            let app = snapshot.forge().installation(id)?;
            Some(Caller {
                access: AccessKind::Forge,
                user: Some(app.user),
                account_id: Some(active(app.user)?),
                credential: CredentialRef::Forge(id),
                scopes: Some(app.scopes),
                app_only: true,
                actor: Some(format!("forge:{}", app.app_uuid)),
                ..nobody
            })
        }
        WebhookOwner::Oauth { client, grant } => {
            let grant = snapshot.oauth().grant(grant).filter(|grant| grant.client == client)?;
            let app = snapshot.oauth().client(client).filter(|app| !app.blocked)?;
            let scopes = grant.scopes.intersection(&app.scopes);
            let may = bearer::may_be_used(snapshot, app, grant.user)
                && (app.shared || app.owner == Some(grant.user) || app.service_user == Some(grant.user))
                && explain::missing_scopes(op::RegisterDynamicWebhooks::ROW, Some(scopes)).is_empty();
            let account_id = active(grant.user).filter(|_| may)?;
            Some(Caller {
                access: AccessKind::OAuth,
                user: Some(grant.user),
                account_id: Some(account_id),
                scopes: Some(scopes),
                actor: Some(format!("app:{}", app.client_id)),
                ..nobody
            })
        }
    }
}

/// A webhook that may be told of an event, and what its account sees.
#[derive(Clone)]
pub struct Listener {
    /// The webhook.
    pub webhook: Arc<WebhookFacts>,
    /// The policy as its account sees it.
    pub view: View,
}

impl View {
    /// Who listens to an event, by id. Whether a listener may know of the thing that it happened to is for its view to say.
    pub fn listeners(&self, event: &str) -> Vec<Listener> {
        let now = self.now();
        let found: Vec<Arc<WebhookFacts>> = self.with(|snapshot| {
            let ids = snapshot.webhooks().by_event.get(event).into_iter().flatten();
            let registered = ids.filter_map(|id| snapshot.webhooks().get(*id).cloned());
            let of_forge = snapshot.forge().listening(event).filter(|webhook| {
                let ignores = webhook.trigger.as_ref().is_some_and(|trigger| trigger.ignore_self);
                !(ignores && self.is_forge(snapshot, webhook.owner))
            });
            registered.chain(of_forge.cloned()).collect()
        });
        found.into_iter().filter_map(|webhook| self.listener(webhook, now)).collect()
    }

    /// A webhook as a listener; `None` when it may not be told of anything now.
    pub fn listener_of(&self, id: WebhookId) -> Option<Listener> {
        let webhook = self.with(|snapshot| snapshot.webhooks().get(id).cloned())?;
        self.listener(webhook, self.now())
    }

    /// A trigger of a Forge app as a listener; `None` when there is none, or it may not be told of anything now.
    pub fn trigger_of(&self, installation: ForgeInstallationId, module: &str, event: &str) -> Option<Listener> {
        let found = self.with(|snapshot| {
            let app = snapshot.forge().installation(installation)?;
            let same = |trigger: &Trigger| trigger.module == module && trigger.event == event;
            app.triggers.iter().find(|webhook| webhook.trigger.as_ref().is_some_and(same)).cloned()
        });
        self.listener(found?, self.now())
    }

    /// Whether the caller is this Forge app, for itself or for somebody.
    fn is_forge(&self, snapshot: &Snapshot, owner: WebhookOwner) -> bool {
        let WebhookOwner::Forge(id) = owner else { return false };
        self.caller.credential == CredentialRef::Forge(id)
            || snapshot.forge().installation(id).is_some_and(|app| self.caller.user == Some(app.user))
    }

    fn listener(&self, webhook: Arc<WebhookFacts>, now: Timestamp) -> Option<Listener> {
        let nobody = self.guard.system("webhooks");
        let caller = self.with(|snapshot| listening(snapshot, &webhook, now, nobody))?;
        Some(Listener { webhook, view: View { guard: self.guard.clone(), caller: Arc::new(caller) } })
    }
}

impl Listener {
    /// Whether its account sees an issue.
    pub fn sees(&self, issue: &IssueFacts) -> bool {
        self.view.sees(issue)
    }

    /// What is stored to be sent; `by` is whoever caused it.
    pub(crate) fn message(
        &self,
        event: &str,
        about: About,
        names: Vec<(String, String)>,
        by: &Caller,
        body: Arc<str>,
    ) -> Result<Message, Problem> {
        let mut names = names;
        if let Some(trigger) = &self.webhook.trigger {
            let is_own = self.view.with(|snapshot| {
                let account = snapshot.person(self.view.caller.user?).map(|person| &person.account_id);
                Some(account == by.account_id.as_ref() || by.credential == self.view.caller.credential)
            });
            names = vec![
                (MessageHead::MODULE.to_owned(), trigger.module.clone()),
                (MessageHead::FORGE_EVENT.to_owned(), trigger.event.clone()),
                (MessageHead::BY_ITSELF.to_owned(), (is_own == Some(true)).to_string()),
            ];
        }
        let head = MessageHead {
            event: event.to_owned(),
            about,
            by: by.account_id.clone(),
            trace: by.webhook_trace.clone(),
            revision: self.view.with(|snapshot| snapshot.policy.revision()),
            names,
        };
        Ok(Message {
            identifier: self.view.entropy().uuid(),
            owner: self.webhook.owner.word(),
            target: self.webhook.id.0,
            head: serde_json::to_string(&head).map_err(Problem::bug)?,
            body,
            delay_ms: 0,
        })
    }
}

/// What a message tells of, so that it can be asked again whether the listener may know of it when rights have changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// An issue, or something of it. One that is gone meanwhile was seen when it was there.
    Issue(i64),
    /// A project, or something of it.
    Project(i64),
    /// Something that nobody sees any more; whoever is told saw it.
    Nothing,
}

/// What is kept beside the body of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageHead {
    /// The event's name.
    pub event: String,
    /// What it tells of.
    pub about: About,
    /// The account that caused it.
    pub by: Option<String>,
    /// What the app wrote beside the request that caused it.
    pub trace: Option<String>,
    /// The policy revision that it was decided at.
    pub revision: i64,
    /// What may stand in braces in the address: `issue.key` and the like.
    #[serde(default)]
    pub names: Vec<(String, String)>,
}

impl MessageHead {
    /// Name of the module of a Forge app that is run.
    pub const MODULE: &'static str = "forge.module";
    /// Name of the event as the Forge app knows it.
    pub const FORGE_EVENT: &'static str = "forge.event";
    /// Whether the Forge app caused it itself: `true` or `false`.
    pub const BY_ITSELF: &'static str = "forge.self";

    /// One of the names that are kept with the message; empty when there is none.
    pub fn named(&self, name: &str) -> &str {
        self.names.iter().find(|(has, _)| has == name).map_or("", |(_, value)| value)
    }
}

impl View {
    /// Whether a listener may be told of something that it was allowed to be told of at a revision.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_be_told(&self, listener: &Listener, head: &MessageHead) -> Result<bool, StoreError> {
        if self.with(|snapshot| snapshot.policy.revision()) == head.revision {
            return Ok(true);
        }
        match head.about {
            About::Nothing => Ok(true),
            About::Project(project) => {
                Ok(listener.view.may(ProjectPermission::BrowseProjects, ProjectId(project), None))
            }
            About::Issue(id) => {
                let found = self.guard.issue_by_id(IssueId(id)).await?;
                Ok(found.is_none_or(|issue| listener.sees(&issue)))
            }
        }
    }
}
