//! What is kept in memory of Forge apps on this site, and the callers that their code becomes. No credential is involved: the
//! server runs the code itself, and says which installation asks.

use std::collections::HashMap;
use std::sync::Arc;

use portcullis_authz::policy::AccountKind;
use portcullis_model::{AccessKind, ForgeInstallationId, ScopeSet, Surface, UserId};
use portcullis_store::{Mode, StoreError, Tx};

use crate::caller::{Caller, CredentialRef};
use crate::enter::Guard;
use crate::snapshot::one_or_all;

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
}

/// The part of the snapshot about Forge apps. What was uninstalled is not in it.
#[derive(Debug, Default)]
pub struct ForgeSnapshot {
    installations: HashMap<ForgeInstallationId, Arc<ForgeFacts>>,
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

    pub(crate) fn apply(&mut self, id: ForgeInstallationId, facts: Option<Arc<ForgeFacts>>) {
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
        "SELECT i.id, i.uuid, i.user_id, i.scopes, a.uuid AS app_uuid, a.name FROM forge_installation i
         JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app
         WHERE i.uninstalled_at_ms IS NULL AND i.id = $1",
        "SELECT i.id, i.uuid, i.user_id, i.scopes, a.uuid AS app_uuid, a.name FROM forge_installation i
         JOIN forge_environment e ON e.id = i.environment JOIN forge_app a ON a.id = e.app
         WHERE i.uninstalled_at_ms IS NULL",
    );
    let rows = tx.query(sql, &params).await?;
    if let (Some(id), true) = (only, rows.is_empty()) {
        return Ok(vec![(id, None)]);
    }
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let id = ForgeInstallationId(row.get("id")?);
        let facts = ForgeFacts {
            id,
            uuid: row.get("uuid")?,
            app_uuid: row.get("app_uuid")?,
            name: row.get("name")?,
            user: UserId(row.get("user_id")?),
            scopes: ScopeSet::of_names(&row.get::<String>("scopes")?),
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

impl Guard {
    /// The caller that an installation's code is. `None` when it is not installed, or may not act for that person: an account that is
    /// not active, or an app's.
    ///
    /// Whoever runs the code says which installation it belongs to and for whom it was started; nothing that the code says may end
    /// up here.
    pub fn forge(&self, installation: ForgeInstallationId, acts: ForgeActs<'_>) -> Option<Caller> {
        let nobody = self.nobody_of_forge();
        self.with_snapshot(|snapshot| {
            let app = snapshot.forge().installation(installation)?;
            let user = match acts {
                ForgeActs::App => app.user,
                ForgeActs::User(account_id) | ForgeActs::Absent(account_id, _) => {
                    snapshot.user_by_account_id(account_id)?
                }
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
        })
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
