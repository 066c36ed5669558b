//! A request that does not go on, before it has a wire shape.

use portcullis_authz::decide::Reason;
use portcullis_authz::{Row, TargetSeen};

/// What the outside may learn of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// 401 before the operation: no (usable) credential and the operation needs one.
    Unauthenticated,
    /// The credential's kind may not be used here.
    WrongCredential,
    /// Scopes are missing.
    Scope,
    /// The permission is missing; the row's status.
    Forbidden,
    /// Must look exactly like absence.
    Hidden,
    /// Too many failed attempts; try again after so many seconds.
    TooMany {
        /// Whole seconds.
        retry_after_s: u32,
    },
    /// A state-changing request that a page of another site could have made.
    CrossSite,
    /// The person's last proof is too old for this; it has to be given anew.
    NotFresh,
    /// The person has to have a second factor first.
    NoSecondFactor,
    /// The database is away.
    Unavailable,
}

/// A refusal with what the edge needs to word it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the outside may learn.
    pub kind: RefusalKind,
    /// The operation.
    pub row: &'static Row,
    /// Why, for the log and the audit; `None` when no decision was reached.
    pub reason: Option<Reason>,
    /// The sealed decision, for `Portcullis-Decision`.
    pub decision: String,
    /// What the path named, for texts like "No project could be found with key 'X'".
    pub target_name: String,
    /// Whether the caller proved to be someone.
    pub authenticated: bool,
    /// Whether the issue of the path, where there is one, is visible, so that it is the comment or worklog that is not.
    pub issue_seen: bool,
    /// Keys of the permissions that were asked for and not held.
    pub missing_permissions: Vec<&'static str>,
    /// A credential was shown that did not verify.
    pub failed_login: bool,
    /// The caller's account id.
    pub account_id: Option<String>,
    /// Names of missing scopes.
    pub missing_scopes: Vec<&'static str>,
}

/// The kind of refusal that a reason leads to.
pub(crate) fn kind_of(reason: Reason, target: TargetSeen, row: &Row) -> RefusalKind {
    match (reason, target) {
        (Reason::NotAuthenticated | Reason::Inactive, _) => RefusalKind::Unauthenticated,
        (Reason::AccessKind, _) => RefusalKind::WrongCredential,
        (Reason::Scope, _) => RefusalKind::Scope,
        (Reason::AppAccessRule | Reason::NotVisible, _) | (_, TargetSeen::No) => RefusalKind::Hidden,
        (Reason::Permission | Reason::Unknown | Reason::AtEdge, TargetSeen::Yes) => {
            if row.deny.is_none() && row.hide {
                RefusalKind::Hidden
            } else {
                RefusalKind::Forbidden
            }
        }
    }
}
