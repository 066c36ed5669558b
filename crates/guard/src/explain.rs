//! Why a request was refused: recorded in the decision id itself, sealed, so that nothing has to be stored and a flood of
//! refusals pushes none out.

use portcullis_authz::decide::{Decision, Fact, Reason, Rule, Step, TargetSeen, Verdict};
use portcullis_authz::policy::{Holder, Match};
use portcullis_authz::{ConnectRule, Row, op};
use portcullis_crypto::{Entropy, Purpose, SealingKeys};
use portcullis_model::{ScopeSet, Timestamp};
use serde::{Deserialize, Serialize};

use crate::caller::Caller;
use crate::locate::Located;

const DECISION: Purpose = Purpose::new("decision id");
/// Length that every id is filled up to, in bytes before sealing: sealing hides what is in an id and not how long it is, and a
/// target that is hidden has more to tell than one that does not exist.
const ID_BYTES: usize = 1_536;
/// Steps kept in an id; a rule over many objects may have more.
const STEPS_MAX: usize = 40;

/// What a decision id holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The operation.
    #[serde(rename = "o")]
    pub operation: String,
    /// The caller: account id, or `anonymous`.
    #[serde(rename = "s")]
    pub subject: String,
    /// Kind of access.
    #[serde(rename = "k")]
    pub access: String,
    /// The credential, by id.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
    /// When, in milliseconds since 1970.
    #[serde(rename = "t")]
    pub at_ms: i64,
    /// What the request named.
    #[serde(rename = "n")]
    pub target: String,
    /// Project id, when it was found.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none", default)]
    pub project: Option<i64>,
    /// Issue id, when it was found.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none", default)]
    pub issue: Option<i64>,
    /// Why.
    #[serde(rename = "y")]
    pub reason: String,
    /// Whether the caller may know that the target exists.
    #[serde(rename = "v")]
    pub target_seen: bool,
    /// Policy revision.
    #[serde(rename = "r")]
    pub revision: i64,
    /// Request id.
    #[serde(rename = "q")]
    pub request_id: String,
    /// Scopes the credential lacks.
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty", default)]
    pub missing_scopes: Vec<String>,
    /// What was wrong with the credential.
    #[serde(rename = "w", skip_serializing_if = "Option::is_none", default)]
    pub why_not: Option<String>,
    /// The steps, as [`step_word`] writes them.
    #[serde(rename = "x")]
    pub trace: Vec<String>,
}

impl Record {
    #[expect(clippy::too_many_arguments, reason = "one constructor gathers everything that a record tells")]
    pub(crate) fn new(
        row: &Row,
        caller: &Caller,
        located: Option<&Located>,
        decision: &Decision,
        reason: Reason,
        target: TargetSeen,
        now: Timestamp,
        revision: i64,
    ) -> Self {
        let known = |fact: &Fact<portcullis_model::ProjectId>| fact.known().map(|id| id.0);
        Self {
            operation: row.id.to_owned(),
            subject: caller.subject_word(),
            access: caller.access.word().to_owned(),
            credential: caller.credential_word(),
            at_ms: now.0,
            target: located.map(|located| located.name.chars().take(80).collect()).unwrap_or_default(),
            project: located.and_then(|located| known(&located.project)),
            issue: located.and_then(|located| located.issue.known().map(|issue| issue.id.0)),
            reason: reason.word().to_owned(),
            target_seen: target == TargetSeen::Yes,
            revision,
            request_id: caller.request_id.clone(),
            missing_scopes: match reason {
                Reason::Scope if caller.connect.is_some() => vec![connect_scope(row).to_owned()],
                Reason::Scope => missing_scopes(row, caller.scopes).into_iter().map(str::to_owned).collect(),
                _ => Vec::new(),
            },
            why_not: caller.why_not.clone(),
            trace: words(&decision.trace),
        }
    }

    pub(crate) fn trace_json(&self) -> String {
        serde_json::to_string(&self.trace).unwrap_or_default()
    }

    pub(crate) fn seal(mut self, keys: &SealingKeys, entropy: &dyn Entropy) -> String {
        loop {
            let mut json = serde_json::to_vec(&self).unwrap_or_default();
            // INVARIANT: the id of a refusal that looks like absence has one length. Blanks after JSON mean nothing.
            if json.len() > ID_BYTES && !self.target_seen && !self.trace.is_empty() {
                self.trace.truncate(self.trace.len() / 2);
                continue;
            }
            json.resize(json.len().max(ID_BYTES), b' ');
            match keys.seal_to_text(&json, DECISION, b"", entropy) {
                Ok(text) => return text,
                // Too long for a header: leave steps out, the last first.
                Err(_) if !self.trace.is_empty() => {
                    let half = self.trace.len() / 2;
                    self.trace.truncate(half);
                }
                Err(_) => return String::new(),
            }
        }
    }

    pub(crate) fn open(keys: &SealingKeys, text: &str) -> Option<Self> {
        serde_json::from_slice(&keys.open_text(text, DECISION, b"").ok()?).ok()
    }

    /// The row of the operation.
    pub fn row(&self) -> Option<&'static Row> {
        op::ROWS.iter().find(|row| row.id == self.operation).copied()
    }
}

/// The Connect scope that an operation asks for.
const fn connect_scope(row: &Row) -> &'static str {
    match row.connect {
        ConnectRule::Inaccessible => "INACCESSIBLE (no Connect app may do this)",
        ConnectRule::Scope(scope) => scope.name(),
    }
}

/// Names of the scopes that would have been enough: what is missing of the smaller missing set.
pub(crate) fn missing_scopes(row: &Row, have: Option<ScopeSet>) -> Vec<&'static str> {
    let have = have.unwrap_or(ScopeSet::EMPTY);
    let sets = [row.classic, row.granular];
    let missing = sets.iter().flatten().map(|set| have.missing(set).names().collect::<Vec<_>>());
    missing.min_by_key(Vec::len).unwrap_or_default()
}

/// Permissions that the trace asked for in vain, each once.
pub(crate) fn missing_permissions(trace: &[Step]) -> Vec<&'static str> {
    let mut out: Vec<&'static str> = Vec::new();
    for step in trace.iter().filter(|step| step.verdict == Verdict::No) {
        let key = match step.rule {
            Rule::Global(permission) => permission.key(),
            Rule::Project(permission, ..) => permission.key(),
            _ => continue,
        };
        if !out.contains(&key) {
            out.push(key);
        }
    }
    out
}

/// The trace as the audit log keeps it.
pub(crate) fn trace_json(trace: &[Step]) -> String {
    serde_json::to_string(&words(trace)).unwrap_or_default()
}

/// The steps as words, bounded.
pub fn words(trace: &[Step]) -> Vec<String> {
    trace.iter().take(STEPS_MAX).map(step_word).collect()
}

/// One step as `rule:details:verdict`, stable for machines and short enough for a header.
pub fn step_word(step: &Step) -> String {
    let verdict = match step.verdict {
        Verdict::Yes => "yes",
        Verdict::No => "no",
        Verdict::Unknown => "unknown",
    };
    let rule = match step.rule {
        Rule::AccessKind(kind) => format!("access:{}", kind.word()),
        Rule::Active => "active".to_owned(),
        Rule::ClassicScopes => "classic_scopes".to_owned(),
        Rule::GranularScopes => "granular_scopes".to_owned(),
        Rule::ConnectScope(_) => "connect_scope".to_owned(),
        Rule::AppAccessRule(project) => format!("app_access_rule:{project}"),
        Rule::LoggedIn => "jira_access".to_owned(),
        Rule::Account => "account".to_owned(),
        Rule::SiteAdmin => "site_admin".to_owned(),
        Rule::Global(permission) => format!("global:{permission}"),
        Rule::Project(permission, project, found) => {
            let project = project.map(|id| id.to_string()).unwrap_or_default();
            format!("project:{permission}:{project}:{}", found.map(match_word).unwrap_or_default())
        }
        Rule::IssueSecurity(found) => format!("issue_security:{}", found.map(match_word).unwrap_or_default()),
        Rule::Restriction(thing) => format!("restriction:{}", thing_word(thing)),
        Rule::Owner(thing) => format!("owner:{}", thing_word(thing)),
        Rule::Shared(thing) => format!("shared:{}", thing_word(thing)),
        Rule::Editable(thing) => format!("editable:{}", thing_word(thing)),
        Rule::Caller(_) => "caller".to_owned(),
        Rule::NeverKnown(words) => format!("not_kept:{words}"),
        Rule::Case(when) => format!("case:{when:?}"),
        Rule::TargetVisible => "target_visible".to_owned(),
    };
    format!("{rule}:{verdict}")
}

fn thing_word(thing: portcullis_authz::Thing) -> String {
    format!("{thing:?}").to_lowercase()
}

fn match_word(found: Match) -> String {
    let holder = match found.holder {
        Holder::Anyone => "anyone".to_owned(),
        Holder::AnyApplication => "applicationRole".to_owned(),
        Holder::Application(position) => format!("application {position}"),
        Holder::User(user) => format!("user {user}"),
        Holder::Group(group) => format!("group {group}"),
        Holder::Role(role) => format!("role {role}"),
        Holder::ProjectLead => "projectLead".to_owned(),
        Holder::Reporter => "reporter".to_owned(),
        Holder::Assignee => "assignee".to_owned(),
        Holder::UserField(field) => format!("userCustomField {field}"),
        Holder::GroupField(field) => format!("groupCustomField {field}"),
        Holder::PortalCustomer => "sd.customer.portal.only".to_owned(),
    };
    format!("grant {} to {holder}", found.grant)
}
