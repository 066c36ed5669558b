//! What a handler gets after a decision: the permit, the transaction, the clock and randomness. Made by the guard alone.

use std::sync::Arc;

use portcullis_authz::decide;
use portcullis_authz::policy::IssueFacts;
use portcullis_authz::{Decision, Operation, Row, Visibility};
use portcullis_crypto::{Entropy, SealingKeys};
use portcullis_model::{
    AccessKind, AppId, GlobalPermission, Problem, ProjectId, ProjectPermission, Timestamp, TokenFamilyId, UserId,
};
use portcullis_store::{Message, Mode, Policy, Tx, Write};
use serde_json::Value as Json;

use crate::addresses::Addresses;
use crate::authn::bearer::AccessToken;
use crate::caller::Caller;
use crate::enter::{Guard, OpMode};
use crate::explain::Record;
use crate::locate::Located;
use crate::reply::Reply;
use crate::snapshot::{Entity, Snapshot};
use crate::trouble::Trouble;
use crate::webhook::{About, Listener};

/// What was located and decided upon.
#[derive(Clone, Debug)]
pub struct Target {
    /// The project, for operations on one.
    pub project: Option<ProjectId>,
    /// The issue, for operations on one.
    pub issue: Option<IssueFacts>,
    /// The second issue of an operation on two.
    pub other_issue: Option<IssueFacts>,
    /// The comment, worklog, attachment, version, component, link or filter of the path.
    pub thing: Option<i64>,
    /// The account that the request is about.
    pub user: Option<UserId>,
}

impl Target {
    pub(crate) fn of(located: &Located) -> Self {
        Self {
            project: located.project.known().copied(),
            issue: located.issue.known().cloned(),
            other_issue: located.other_issue.known().cloned(),
            thing: located.thing,
            user: located.user,
        }
    }

    /// The project; for operations whose row locates one.
    ///
    /// # Errors
    /// A bug: the row locates none.
    pub fn project(&self) -> Result<ProjectId, Problem> {
        self.project.ok_or_else(|| Problem::bug("operation without a located project"))
    }

    /// The issue; for operations whose row locates one.
    ///
    /// # Errors
    /// A bug: the row locates none.
    pub fn issue(&self) -> Result<&IssueFacts, Problem> {
        self.issue.as_ref().ok_or_else(|| Problem::bug("operation without a located issue"))
    }

    /// The thing of the path; for operations whose row locates one.
    ///
    /// # Errors
    /// A bug: the row locates none.
    pub fn thing(&self) -> Result<i64, Problem> {
        self.thing.ok_or_else(|| Problem::bug("operation without a located thing"))
    }
}

/// The policy as one caller's request sees it: questions that a handler asks about single fields and items.
#[derive(Clone)]
pub struct View {
    pub(crate) guard: Guard,
    pub(crate) caller: Arc<Caller>,
}

impl View {
    /// Looks at the snapshot. The closure must not wait for anything.
    pub fn with<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        self.guard.with_snapshot(look)
    }

    /// Whether the caller holds a project permission, on an issue when one is given.
    pub fn may(&self, permission: ProjectPermission, project: ProjectId, issue: Option<&IssueFacts>) -> bool {
        self.is_ours() || (!self.is_closed(project) && self.user_may(self.caller.user, permission, project, issue))
    }

    /// Whether the caller sees an issue.
    pub(crate) fn sees(&self, issue: &IssueFacts) -> bool {
        !self.is_closed(issue.project)
            && self.with(|snapshot| decide::issue_visible(&snapshot.policy, self.caller.user, issue))
    }

    /// Whether app access rules keep the caller out of a project's content in this operation.
    fn is_closed(&self, project: ProjectId) -> bool {
        !self.caller.rule_exempt && self.with(|snapshot| self.caller.closed(&snapshot.app_rules).contains(&project))
    }

    /// The projects that app access rules close to the caller, for an app that asks.
    pub fn closed_to_caller(&self) -> Vec<ProjectId> {
        self.with(|snapshot| self.caller.closed(&snapshot.app_rules).to_vec())
    }

    /// Whether the caller is the operator or a job of ours, who have the database in hand anyway.
    pub fn is_ours(&self) -> bool {
        matches!(self.caller.access, AccessKind::Operator | AccessKind::System)
    }

    /// Whether some account holds a project permission.
    pub fn user_may(
        &self,
        user: Option<UserId>,
        permission: ProjectPermission,
        project: ProjectId,
        issue: Option<&IssueFacts>,
    ) -> bool {
        self.with(|snapshot| snapshot.policy.holds(user, permission, project, issue).is_some())
    }

    /// Whether the caller holds a global permission.
    pub fn may_global(&self, permission: GlobalPermission) -> bool {
        self.is_ours() || self.with(|snapshot| snapshot.policy.holds_global(self.caller.user, permission))
    }

    /// Whether the operation has a handler; one without answers 501 after its decision.
    pub fn is_built(&self, row: &Row) -> bool {
        self.guard.is_built(row)
    }

    /// What the caller may see; the filter of lists and searches.
    pub fn visibility(&self) -> Visibility {
        self.with(|snapshot| {
            if self.is_ours() {
                return snapshot.policy.visibility_of_everything();
            }
            let visible = snapshot.policy.visibility(self.caller.user);
            if self.caller.rule_exempt {
                return visible;
            }
            visible.without(self.caller.closed(&snapshot.app_rules))
        })
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.guard.now()
    }

    /// Randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        self.guard.entropy()
    }

    /// Where the roles of this deployment are reached.
    pub fn addresses(&self) -> &Addresses {
        self.guard.addresses()
    }

    /// The deployment's keys, to seal and to open.
    pub fn keys(&self) -> &SealingKeys {
        self.guard.keys()
    }

    /// A fresh random id, 32 lower-case hexadecimal digits.
    pub fn fresh_id(&self) -> String {
        self.guard.fresh_id()
    }

    /// What went wrong for an app lately, the newest first; as far as this node knows.
    pub fn troubles(&self, app: AppId) -> Vec<Trouble> {
        self.guard.troubles().of(app)
    }

    /// Notes for an app's developer what went wrong.
    pub fn note_trouble(&self, app: AppId, trouble: Trouble) {
        self.guard.troubles().note(app, trouble);
    }

    /// What an access token of ours says, whether it still counts or not; `None` for any other text.
    pub fn read_access_token(&self, text: &str) -> Option<Arc<AccessToken>> {
        self.guard.read_access_token(text)
    }

    /// What a decision id holds; `None` for any text that is none of ours. Who may read it is for the handler to say.
    pub fn open_decision(&self, id: &str) -> Option<Record> {
        self.guard.open_decision(id)
    }

    /// Seals the state of a page token for this caller.
    ///
    /// # Errors
    /// A bug.
    pub fn seal_page(&self, state: &[u8]) -> Result<String, Problem> {
        self.guard.seal_page(&self.caller, state)
    }

    /// Opens a page token that was sealed for this caller; `None` for any other text.
    pub fn open_page(&self, token: &str) -> Option<Vec<u8>> {
        self.guard.open_page(&self.caller, token)
    }
}

#[derive(Debug, Default)]
pub(crate) struct AuditNotes {
    pub target: Option<String>,
    pub before: Option<Json>,
    pub after: Option<Json>,
    /// Who acts and for whom, where the caller itself is nobody: a client at the token endpoint.
    pub actors: Option<(String, Option<String>)>,
}

/// The context of one decided request. A handler's only way to the database.
pub struct Ctx<O: Operation>
where
    O::Mode: OpMode,
{
    pub(crate) tx: Tx<O::Mode>,
    pub(crate) view: View,
    pub(crate) target: Target,
    pub(crate) decision: Decision,
    pub(crate) notes: AuditNotes,
    pub(crate) changes: Vec<Entity>,
    pub(crate) messages: Vec<Message>,
}

/// A handler's result: a reply together with the context it was made in, or a problem that rolls back.
pub type Outcome<O> = Result<Done<O>, Problem>;

/// A reply that becomes visible once the guard has settled it.
pub struct Done<O: Operation>
where
    O::Mode: OpMode,
{
    pub(crate) cx: Ctx<O>,
    pub(crate) reply: Reply,
    pub(crate) finish: Option<Finish>,
}

/// What completes a reply once everything is stored.
pub(crate) type Finish = Box<dyn FnOnce(Reply) -> Result<Reply, Problem> + Send>;

impl<O: Operation> Ctx<O>
where
    O::Mode: OpMode,
{
    /// The transaction, lent.
    pub fn tx(&mut self) -> &mut Tx<O::Mode> {
        &mut self.tx
    }

    /// The policy as this caller sees it. Cheap to clone.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// What was decided upon.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.view.caller
    }

    /// The caller's account, for operations that nobody anonymous reaches.
    ///
    /// # Errors
    /// 401 in Jira's words.
    pub fn user(&self) -> Result<UserId, Problem> {
        self.view.caller.user.ok_or_else(|| {
            Problem::forbidden("You are not authenticated. Authentication required to perform this operation.")
                .with_status(401)
        })
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.view.guard.now()
    }

    /// Randomness.
    pub fn entropy(&self) -> &dyn Entropy {
        self.view.guard.entropy()
    }

    /// Says for the audit log what is acted upon and how it changes. No secrets.
    pub fn audit(&mut self, target: impl Into<String>, before: Option<Json>, after: Option<Json>) {
        self.notes.target = Some(target.into());
        self.notes.before = before;
        self.notes.after = after;
    }

    /// Says for the audit log which app acts, and for which account.
    pub fn acts(&mut self, client_id: &str, account_id: Option<String>) {
        self.notes.actors = Some((format!("app:{client_id}"), account_id));
    }

    /// Tells a listener of an event, once it is stored. `names` may stand in braces in its address.
    ///
    /// # Errors
    /// A bug.
    pub fn tell(
        &mut self,
        listener: &Listener,
        event: &str,
        about: About,
        names: Vec<(String, String)>,
        body: Arc<str>,
    ) -> Result<(), Problem> {
        self.messages.push(listener.message(event, about, names, &self.view.caller, body)?);
        Ok(())
    }

    /// Ends the work with a reply.
    ///
    /// # Errors
    /// Never; the type lets a handler end with `cx.done(reply)`.
    pub fn done(self, reply: Reply) -> Outcome<O> {
        Ok(Done { cx: self, reply, finish: None })
    }

    /// Ends the work with a reply that `finish` completes once everything is stored. For what takes long and needs nothing of
    /// the transaction, such as a signature: nobody who wants to write waits for it.
    ///
    /// # Errors
    /// Never. An error of `finish` becomes the answer; what was stored stays.
    pub fn done_then(
        self,
        reply: Reply,
        finish: impl FnOnce(Reply) -> Result<Reply, Problem> + Send + 'static,
    ) -> Outcome<O> {
        Ok(Done { cx: self, reply, finish: Some(Box::new(finish)) })
    }
}

impl<O: Operation<Mode = Policy>> Ctx<O> {
    /// Names an entity that this operation changes, so that every decision after it sees the change.
    pub fn changed(&mut self, entity: Entity) {
        if !self.changes.contains(&entity) {
            self.changes.push(entity);
        }
    }
}

impl<O: Operation<Mode = Write>> Ctx<O> {
    /// Names a family of tokens that this operation found stolen or given back and marked as dead, so that it is refused everywhere
    /// before the answer goes out. A write otherwise changes nobody's rights.
    pub fn withdrew(&mut self, family: TokenFamilyId) {
        self.changes.push(Entity::TokenFamily(family));
    }
}

/// Any mode at all; for helpers of domain crates that read in whatever transaction they are given.
pub trait AnyMode: Mode {}
impl<M: Mode> AnyMode for M {}
