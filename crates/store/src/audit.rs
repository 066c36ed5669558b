use crate::Value;

/// Who did what, by which right, with what outcome. Holds no secret: the caller summarizes. A NUL character in a text is
/// stored as U+FFFD.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditEntry {
    /// Unique; made by the caller.
    pub id: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// The request this belongs to.
    pub request_id: String,
    /// Who: user, app or system.
    pub subject: String,
    /// For whom, when an app acts for a user.
    pub on_behalf_of: Option<String>,
    /// The token, session or installation that was presented; its id, not itself.
    pub credential_id: Option<String>,
    /// Kind of access.
    pub access_kind: String,
    /// Name of the operation.
    pub operation: String,
    /// What it was done to.
    pub target: Option<String>,
    /// Allowed, denied, failed.
    pub outcome: String,
    /// Why, in a word.
    pub reason: Option<String>,
    /// The decision's trace, as JSON.
    pub trace: Option<String>,
    /// The policy revision that the decision was made at.
    pub revision: i64,
    /// State before, in short.
    pub before: Option<String>,
    /// State after, in short.
    pub after: Option<String>,
    /// The caller's network address.
    pub remote_address: Option<String>,
}

pub(crate) const INSERT_AUDIT_ENTRY: &str = "
    INSERT INTO audit_entry (id, at_ms, request_id, subject, on_behalf_of, credential_id, access_kind, operation, target, outcome,
           reason, trace, revision, before_summary, after_summary, remote_address)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

impl AuditEntry {
    pub(crate) fn values(&self) -> [Value; 16] {
        [
            storable(&self.id),
            self.at_ms.into(),
            storable(&self.request_id),
            storable(&self.subject),
            self.on_behalf_of.as_deref().map(storable).into(),
            self.credential_id.as_deref().map(storable).into(),
            storable(&self.access_kind),
            storable(&self.operation),
            self.target.as_deref().map(storable).into(),
            storable(&self.outcome),
            self.reason.as_deref().map(storable).into(),
            self.trace.as_deref().map(storable).into(),
            self.revision.into(),
            self.before.as_deref().map(storable).into(),
            self.after.as_deref().map(storable).into(),
            self.remote_address.as_deref().map(storable).into(),
        ]
    }
}

/// A NUL, which the store refuses elsewhere, is replaced: whoever sends one must not get rid of the entry about it.
fn storable(text: &str) -> Value {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}

/// One thing that a policy change touched, for those who follow the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyLogEntry {
    /// What kind of thing, for example `user`.
    pub kind: &'static str,
    /// Which one.
    pub id: String,
}

pub(crate) const RAISE_POLICY_HEAD: &str =
    "UPDATE policy_head SET revision = revision + 1 WHERE one = 1 RETURNING revision";

/// The same thing touched twice in one change is one entry.
pub(crate) const APPEND_POLICY_LOG: &str = "
    INSERT INTO policy_log (revision, kind, id) VALUES ($1, $2, $3) ON CONFLICT (revision, kind, id) DO NOTHING";
