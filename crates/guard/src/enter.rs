//! The monitor itself: authenticate, enter (locate and decide inside the transaction), run the handler, settle.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use portcullis_authz::decide::{Decision, Outcome as Verdict, Reason, TargetSeen};
use portcullis_authz::policy::IssueFacts;
use portcullis_authz::{Operation, Row, decide};
use portcullis_crypto::{Entropy, Purpose, SealingKeys};
use portcullis_model::mode::HasModeKind;
use portcullis_model::{
    AccessKind, ApiTokenId, AppGrantId, ClientSecretId, Clock, IssueId, Problem, ProblemKind, ProjectPermission,
    Surface, Timestamp, UserId,
};
use portcullis_store::{AuditEntry, Message, Mode, Policy, PolicyLogEntry, Read, Store, StoreError, Tx, Write};
use serde_json::Value as Json;

use crate::addresses::Addresses;
use crate::audit::{self, RefusalLog};
use crate::authn::client::{Client, ClientProof, ClientRefusal};
use crate::authn::password::{Checked, SignIn, Stored};
use crate::authn::second_factor::{self, FRESH_MS, Factor, Proof};
use crate::authn::{self, RequestHead, bearer, dpop};
use crate::caller::{Caller, CredentialRef};
use crate::ctx::{AuditNotes, Ctx, Done, Outcome, Target, View};
use crate::explain;
use crate::forge::ForgeToken;
use crate::input::Input;
use crate::locate::{self, Directory, Located};
use crate::refusal::{Refusal, RefusalKind, kind_of};
use crate::reply::Reply;
use crate::snapshot::{self, Entity, Snapshot};
use crate::throttle::Throttle;
use crate::trouble::{Trouble, Troubles};

/// Attempts at a request whose transaction lost a race.
const ATTEMPTS_MAX: u32 = 3;
/// Times that a transaction is opened anew because the policy moved on before the decision.
const ENTRIES_MAX: u32 = 20;

const PAGE: Purpose = Purpose::new("page token");

/// What a guard is made of.
pub struct Deployment {
    /// The database.
    pub store: Store,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Seals page tokens and decision ids.
    pub keys: SealingKeys,
    /// Where the site, the authorization server and the API gateway are reached.
    pub addresses: Addresses,
}

struct Inner {
    deployment: Deployment,
    snapshot: RwLock<Snapshot>,
    throttle: Throttle,
    refusals: RefusalLog,
    last_used: Mutex<HashMap<Used, i64>>,
    bearer: bearer::Remembered,
    proofs: dpop::UsedProofs,
    troubles: Troubles,
    decisions: Mutex<HashMap<DecisionLabels, u64>>,
    hashing: Arc<tokio::sync::Semaphore>,
    hashing_queue: Arc<tokio::sync::Semaphore>,
    built: OnceLock<HashSet<u16>>,
    outgoing: tokio::sync::Notify,
}

/// A place to hash a password at; moves into the work, so that a caller who goes away does not make room for more.
pub(crate) struct HashingPermit {
    _place: tokio::sync::OwnedSemaphorePermit,
    _turn: tokio::sync::OwnedSemaphorePermit,
}

/// A credential whose last use is written down by a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Used {
    /// An API token.
    ApiToken(ApiTokenId),
    /// What an account lets an app do.
    AppGrant(AppGrantId),
    /// A secret of an OAuth 2.0 client.
    ClientSecret(ClientSecretId),
}

/// Labels of `portcullis_decisions_total`: operation, access kind, outcome, reason.
pub type DecisionLabels = (&'static str, &'static str, &'static str, &'static str);

/// The reference monitor. Cheap to clone.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

/// Why a request gets no reply of its operation.
#[derive(Debug)]
pub enum Stop {
    /// The guard refused.
    Refused(Box<Refusal>),
    /// The operation could not do it.
    Problem(Problem),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Stop::Problem(Problem::from(error))
    }
}

/// How each mode opens and settles its transaction.
pub trait OpMode: Mode + HasModeKind + Sized {
    #[doc(hidden)]
    fn open(guard: &Guard) -> impl Future<Output = Result<Tx<Self>, StoreError>> + Send;
    #[doc(hidden)]
    fn settle(
        guard: &Guard,
        tx: Tx<Self>,
        entry: impl FnOnce() -> AuditEntry + Send,
        changes: Vec<Entity>,
        messages: &[Message],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl OpMode for Read {
    async fn open(guard: &Guard) -> Result<Tx<Read>, StoreError> {
        guard.0.deployment.store.read().await
    }
    async fn settle(
        _: &Guard,
        tx: Tx<Read>,
        _: impl FnOnce() -> AuditEntry + Send,
        _: Vec<Entity>,
        _: &[Message],
    ) -> Result<(), StoreError> {
        tx.finish().await
    }
}

impl OpMode for Write {
    async fn open(guard: &Guard) -> Result<Tx<Write>, StoreError> {
        guard.0.deployment.store.write().await
    }
    async fn settle(
        guard: &Guard,
        mut tx: Tx<Write>,
        entry: impl FnOnce() -> AuditEntry + Send,
        withdrawn: Vec<Entity>,
        messages: &[Message],
    ) -> Result<(), StoreError> {
        guard.enqueue(&mut tx, messages).await?;
        tx.commit(&entry()).await?;
        if !withdrawn.is_empty() {
            guard.withdraw(withdrawn).await;
        }
        Ok(())
    }
}

impl OpMode for Policy {
    async fn open(guard: &Guard) -> Result<Tx<Policy>, StoreError> {
        guard.0.deployment.store.policy().await
    }
    async fn settle(
        guard: &Guard,
        mut tx: Tx<Policy>,
        entry: impl FnOnce() -> AuditEntry + Send,
        changes: Vec<Entity>,
        messages: &[Message],
    ) -> Result<(), StoreError> {
        guard.enqueue(&mut tx, messages).await?;
        let loaded = snapshot::load(&mut tx, &guard.0.deployment.keys, &changes).await?;
        let log: Vec<PolicyLogEntry> =
            changes.iter().map(|entity| PolicyLogEntry { kind: entity.kind(), id: entity.id() }).collect();
        let publish = |revision: i64| {
            let mut snapshot = guard.0.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            // Another node's commit in between is not in `loaded`: the next transaction catches up from the log.
            if snapshot.policy.revision() + 1 == revision {
                snapshot.apply(loaded, revision);
            }
        };
        match tx.commit_publishing(&entry(), &log, publish).await {
            Ok(_) => Ok(()),
            Err(error) => {
                if matches!(error, StoreError::CommitUnknown(_)) {
                    guard.doubt();
                }
                Err(error)
            }
        }
    }
}

/// What a handler left behind, to be committed.
struct Settled<M: Mode> {
    tx: Tx<M>,
    view: View,
    target: Target,
    decision: Decision,
    notes: AuditNotes,
    changes: Vec<Entity>,
    messages: Vec<Message>,
    reply: Reply,
}

struct Entered<M: Mode> {
    tx: Tx<M>,
    located: Located,
    decision: Decision,
}

impl Guard {
    /// Loads the snapshot and stands ready.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(deployment: Deployment) -> Result<Self, StoreError> {
        let mut tx = deployment.store.read().await?;
        let mut snapshot = Snapshot::default();
        let revision = tx.revision();
        snapshot.apply(snapshot::load(&mut tx, &deployment.keys, &[Entity::Everything]).await?, revision);
        tx.finish().await?;
        Ok(Self(Arc::new(Inner {
            deployment,
            snapshot: RwLock::new(snapshot),
            throttle: Throttle::default(),
            refusals: RefusalLog::default(),
            last_used: Mutex::new(HashMap::new()),
            bearer: bearer::Remembered::default(),
            proofs: dpop::UsedProofs::default(),
            troubles: Troubles::default(),
            decisions: Mutex::new(HashMap::new()),
            hashing: Arc::new(tokio::sync::Semaphore::new(authn::password::HASHES_AT_ONCE_MAX)),
            hashing_queue: Arc::new(tokio::sync::Semaphore::new(
                authn::password::HASHES_AT_ONCE_MAX + authn::password::HASHES_WAITING_MAX,
            )),
            built: OnceLock::new(),
            outgoing: tokio::sync::Notify::new(),
        })))
    }

    /// The present.
    pub fn now(&self) -> Timestamp {
        self.0.deployment.clock.now()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.0.deployment.entropy.as_ref()
    }

    /// Where the roles of this deployment are reached.
    pub fn addresses(&self) -> &Addresses {
        &self.0.deployment.addresses
    }

    pub(crate) fn keys(&self) -> &SealingKeys {
        &self.0.deployment.keys
    }

    pub(crate) fn remember_proof(&self, proven: &dpop::Proven, now: Timestamp) -> bool {
        self.0.proofs.remember(proven, now)
    }

    pub(crate) fn troubles(&self) -> &Troubles {
        &self.0.troubles
    }

    pub(crate) fn note_used(&self, used: Used) {
        if let Ok(mut last_used) = self.0.last_used.lock() {
            last_used.insert(used, self.now().0);
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.deployment.store
    }

    pub(crate) fn outgoing_notify(&self) -> &tokio::sync::Notify {
        &self.0.outgoing
    }

    /// Makes a revocation that an operation in mode `Write` led to (a refresh token or a code that came twice) take effect: the rows
    /// are committed, and no answer goes out before every further decision sees it.
    async fn withdraw(&self, withdrawn: Vec<Entity>) {
        let result = async {
            let mut job = self.begin_job::<Policy>("withdraw").await?;
            withdrawn.into_iter().for_each(|entity| job.changed(entity));
            job.commit().await
        };
        if let Err(error) = result.await {
            tracing::error!(%error, "a revocation could not be announced; this node reads everything again");
            self.doubt();
        }
    }

    /// Whether a page of this origin may read what the authorization server answers: a public client has a redirect there.
    pub fn is_origin_of_public_client(&self, origin: &str) -> bool {
        self.with_snapshot(|snapshot| {
            snapshot.oauth().clients().filter(|client| client.kind == crate::oauth::ClientKind::Public).any(|client| {
                client.redirect_uris.iter().any(|uri| {
                    uri.strip_prefix(origin).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
                })
            })
        })
    }

    pub(crate) fn with_snapshot<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(&self.0.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The site's name and cloud id, which are public.
    pub fn site(&self) -> (String, String) {
        self.with_snapshot(|snapshot| (snapshot.settings.site_name.clone(), snapshot.settings.cloud_id.clone()))
    }

    /// Whether a failed Basic credential is answered as if there were none; else with 401.
    pub fn failed_basic_is_anonymous(&self) -> bool {
        self.with_snapshot(|snapshot| snapshot.settings.failed_basic_is_anonymous)
    }

    /// The revision of the policy in memory; every change of rights raises it.
    pub fn revision(&self) -> i64 {
        self.with_snapshot(|snapshot| snapshot.policy.revision())
    }

    /// A fresh random id, 32 lower-case hexadecimal digits.
    pub fn fresh_id(&self) -> String {
        let bytes: [u8; 16] = self.entropy().array();
        format!("{:032x}", u128::from_be_bytes(bytes))
    }

    /// Makes the snapshot be read anew by the next transaction.
    fn doubt(&self) {
        let mut snapshot = self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        *snapshot = Snapshot::default();
        snapshot.policy.set_revision(-1);
    }

    /// Says which operations have a handler, once; for the list of operations.
    pub fn announce(&self, handlers: &Handlers) {
        // A second edge over the same guard (tests) changes nothing.
        let _ = self.0.built.set(handlers.0.keys().copied().collect());
    }

    pub(crate) fn is_built(&self, row: &Row) -> bool {
        self.0.built.get().is_some_and(|built| built.contains(&row.number))
    }

    /// Refuses what the edge itself refuses to a proven caller (too many requests, another site's form), with an id that explains it.
    pub fn refuse_at_edge(&self, row: &'static Row, caller: &Caller, kind: RefusalKind) -> Stop {
        let outcome = Verdict::Deny { reason: Reason::AtEdge, target: TargetSeen::Yes };
        self.refuse(row, caller, None, &Decision { outcome, trace: Vec::new() }, Some(kind))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// The database's.
    pub async fn ready(&self) -> Result<(), StoreError> {
        self.0.deployment.store.ping().await
    }

    /// Writes an online copy of the database.
    ///
    /// # Errors
    /// The database's; PostgreSQL has its own tools for this.
    pub async fn backup(&self, to: &std::path::Path) -> Result<(), StoreError> {
        self.0.deployment.store.backup(to).await
    }

    /// Proves who sends a request.
    ///
    /// # Errors
    /// The refusal, for a credential that fails and may not be treated as none.
    pub async fn authenticate(&self, row: &'static Row, head: &RequestHead<'_>) -> Result<Caller, Stop> {
        // Another node may have issued the credential. What this node knows of it is checked again, at the head's revision, when
        // the operation's transaction is open.
        let mut presented = self.read_bearer(head);
        let known =
            |snapshot: &Snapshot| authn::is_known(snapshot, self.addresses(), head, presented.as_ref(), self.now());
        if !self.0.deployment.store.is_embedded() && !self.with_snapshot(known) {
            let mut tx = self.0.deployment.store.read().await?;
            self.catch_up(&mut tx).await?;
            tx.finish().await?;
            presented = self.read_bearer(head);
        }
        let now = self.now();
        if head.surface == Surface::Authorization {
            // Clients prove themselves there, in the head or in the body; the endpoint asks for it once the body is read.
            let url = format!("{}{}", self.addresses().issuer, head.path);
            return Ok(Caller { client_proof: ClientProof::of(head, url), ..authn::nobody(head) });
        }
        let proof = self.read_proof(head, now);
        let proven = self.with_snapshot(|snapshot| {
            authn::authenticate(snapshot, self.addresses(), &self.0.throttle, row, head, presented.as_ref(), proof, now)
        });
        match proven {
            Ok(caller) => {
                match caller.credential {
                    CredentialRef::ApiToken(id) => self.note_used(Used::ApiToken(id)),
                    CredentialRef::AccessToken { grant, .. } => self.note_used(Used::AppGrant(grant)),
                    CredentialRef::None
                    | CredentialRef::Session(_)
                    | CredentialRef::Connect(_)
                    | CredentialRef::ActAs(_)
                    | CredentialRef::Framed { .. }
                    | CredentialRef::Forge(_)
                    | CredentialRef::Operator => {}
                }
                Ok(caller)
            }
            Err(not_proven) => {
                let nobody =
                    Caller { failed_login: not_proven.failed_login, why_not: not_proven.why, ..authn::nobody(head) };
                let decision = Decision {
                    outcome: Verdict::Deny { reason: not_proven.reason, target: TargetSeen::Yes },
                    trace: Vec::new(),
                };
                Err(self.refuse(row, &nobody, None, &decision, Some(not_proven.kind)))
            }
        }
    }

    /// The caller that an app of the caller's own is for the caller, with what the caller let it have. `None` when it is not theirs or
    /// not let in, or when they are limited by scopes already.
    pub fn with_own_app(&self, caller: &Caller, client: portcullis_model::AppId) -> Option<Caller> {
        let now = self.now();
        self.with_snapshot(|snapshot| bearer::with_own_app(snapshot, caller.clone(), client, now))
    }

    pub(crate) fn read_access_token(&self, text: &str) -> Option<Arc<bearer::AccessToken>> {
        let look = |with: &mut dyn FnMut(&Snapshot)| self.with_snapshot(with);
        match self.0.bearer.read(text, look, self.addresses(), self.now()) {
            bearer::Presented::Token(token) => Some(token),
            bearer::Presented::ActAs(_)
            | bearer::Presented::Forge(_)
            | bearer::Presented::OtherJwt
            | bearer::Presented::Opaque => None,
        }
    }

    /// The view of a job of ours.
    pub fn system_view(&self, name: &str) -> View {
        View { guard: self.clone(), caller: Arc::new(self.system(name)) }
    }

    /// What stands after `Bearer ` or `DPoP `, looked at where such a token can be used or has to be told apart.
    fn read_bearer(&self, head: &RequestHead<'_>) -> Option<bearer::Presented> {
        let text = head.authorization?;
        let token = text.strip_prefix("Bearer ").or_else(|| text.strip_prefix("DPoP "))?;
        if !matches!(head.surface, Surface::Gateway | Surface::Site) {
            return None;
        }
        if let Some(token) = ForgeToken::open(self.keys(), token) {
            return Some(bearer::Presented::Forge(token));
        }
        let look = |with: &mut dyn FnMut(&Snapshot)| self.with_snapshot(with);
        Some(self.0.bearer.read(token, look, self.addresses(), self.now()))
    }

    /// The DPoP proof of a request at the gateway.
    fn read_proof(&self, head: &RequestHead<'_>, now: Timestamp) -> authn::Proof {
        let (Some(text), Surface::Gateway) = (head.dpop, head.surface) else { return authn::Proof::None };
        let token = head.authorization.and_then(|text| text.strip_prefix("DPoP "));
        let Some(token) = token else { return authn::Proof::None };
        let url = format!("{}{}", self.addresses().api, head.path);
        match dpop::verify(text, head.method, &url, Some(token), now) {
            Ok(proven) if self.remember_proof(&proven, now) => authn::Proof::Of(proven.thumbprint),
            Ok(_) | Err(_) => authn::Proof::Bad,
        }
    }

    pub(crate) async fn hashing_permit(&self) -> Result<HashingPermit, Problem> {
        let Ok(place) = Arc::clone(&self.0.hashing_queue).try_acquire_owned() else {
            return Err(Problem::new(ProblemKind::Unavailable, "Too many sign-ins at once. Try again in a moment."));
        };
        let turn = Arc::clone(&self.0.hashing).acquire_owned().await.map_err(Problem::bug)?;
        Ok(HashingPermit { _place: place, _turn: turn })
    }

    /// What is stored about the active account of an e-mail address (in lower case), and the revision at which it was read.
    pub(crate) async fn stored_of_email(&self, email: &str) -> Result<(Option<Stored>, i64), StoreError> {
        self.stored_of(|snapshot| snapshot.user_by_email(email)).await
    }

    /// The same of an account whose password was right a moment ago.
    pub(crate) async fn stored_of_user(&self, user: UserId) -> Result<(Option<Stored>, i64), StoreError> {
        self.stored_of(|_| Some(user)).await
    }

    async fn stored_of(
        &self,
        find: impl FnOnce(&Snapshot) -> Option<UserId>,
    ) -> Result<(Option<Stored>, i64), StoreError> {
        let mut tx = self.0.deployment.store.read().await?;
        // Another node may have made, changed or shut out the account.
        self.catch_up(&mut tx).await?;
        let user = self.with_snapshot(|snapshot| {
            find(snapshot).filter(|user| snapshot.policy.user(*user).is_some_and(|facts| facts.active))
        });
        // No account has the id 0: the same question is asked for nobody, so that the time taken does not tell.
        let sql = "SELECT password_hash, factor.secret, factor.last_step
                     FROM account_user LEFT JOIN account_second_factor factor ON factor.user_id = id WHERE id = $1";
        let row = tx.query_opt(sql, &[user.map_or(0, |user| user.0).into()]).await?;
        let at = tx.revision();
        tx.finish().await?;
        let Some((user, row)) = user.zip(row) else { return Ok((None, at)) };
        let hash = row.get::<Option<String>>("password_hash")?.and_then(|text| text.parse().ok());
        let sealed = row.get::<Option<Vec<u8>>>("secret")?.zip(row.get::<Option<i64>>("last_step")?);
        let factor = sealed.map(|(sealed, last_step)| Factor { sealed, last_step });
        Ok((Some(Stored { user, hash, factor }), at))
    }

    pub(crate) fn throttle_begin(&self, address: Option<std::net::IpAddr>, account: &str) -> Result<(), u32> {
        self.0.throttle.begin(address, account, self.now())
    }

    pub(crate) fn throttle_succeeded(&self, address: Option<std::net::IpAddr>, account: &str) {
        self.0.throttle.succeeded(address, account);
    }

    pub(crate) fn throttle_begin_code(&self, user: UserId) -> Result<(), u32> {
        self.0.throttle.begin_code(user, self.now())
    }

    pub(crate) fn throttle_code_succeeded(&self, user: UserId) {
        self.0.throttle.code_succeeded(user);
    }

    /// Whether a person in a browser has to prove anew who they are before this operation.
    pub fn wants_fresh_proof(&self, row: &Row, caller: &Caller) -> bool {
        let Some(session) = caller.session().filter(|_| row.fresh) else { return false };
        let oldest = self.now().0.saturating_sub(FRESH_MS);
        !self.with_snapshot(|snapshot| {
            snapshot.session_by_id(session.id).is_some_and(|facts| facts.proven_at_ms > oldest)
        })
    }

    /// What a browser session has to bring besides being one.
    fn session_lacks(&self, row: &Row, caller: &Caller) -> Option<RefusalKind> {
        let user = caller.user.filter(|_| caller.session.is_some())?;
        if !row.without_second_factor && self.with_snapshot(|snapshot| second_factor::is_missing(snapshot, user)) {
            return Some(RefusalKind::NoSecondFactor);
        }
        self.wants_fresh_proof(row, caller).then_some(RefusalKind::NotFresh)
    }

    /// Forgets failed attempts; an emulator control.
    pub fn reset_throttle(&self) {
        self.0.throttle.reset();
    }

    /// The operator at the command line, named for the audit log.
    pub fn operator(&self, name: &str) -> Caller {
        self.actor(AccessKind::Operator, format!("operator:{name}"))
    }

    /// A job of ours, named for the audit log.
    pub fn system(&self, name: &str) -> Caller {
        self.actor(AccessKind::System, format!("system:{name}"))
    }

    fn actor(&self, access: AccessKind, actor: String) -> Caller {
        Caller {
            access,
            rule_exempt: false,
            surface: Surface::Operations,
            user: None,
            account_id: None,
            credential: CredentialRef::Operator,
            scopes: None,
            session: None,
            failed_login: false,
            address: None,
            request_id: self.fresh_id(),
            user_agent: String::new(),
            actor: Some(actor),
            access_token: None,
            connect: None,
            app_only: false,
            act_as: None,
            why_not: None,
            webhook_trace: None,
            client_proof: ClientProof::default(),
        }
    }

    async fn catch_up<M: Mode>(&self, tx: &mut Tx<M>) -> Result<(), StoreError> {
        loop {
            let at = self.with_snapshot(|snapshot| snapshot.policy.revision());
            if at >= tx.revision() {
                return Ok(());
            }
            let entities = if at < 0 { vec![Entity::Everything] } else { snapshot::changes_since(tx, at).await? };
            let loaded = snapshot::load(tx, &self.0.deployment.keys, &entities).await?;
            let mut snapshot = self.0.snapshot.write().unwrap_or_else(PoisonError::into_inner);
            if snapshot.policy.revision() == at {
                snapshot.apply(loaded, tx.revision());
            }
        }
    }

    /// Opens the operation's transaction, locates the target in it and decides.
    ///
    /// Boxed, so that it is compiled once per mode and not into every handler.
    fn enter<'a, M: OpMode>(
        &'a self,
        row: &'static Row,
        caller: &'a Caller,
        input: &'a Input,
    ) -> Pin<Box<dyn Future<Output = Result<Entered<M>, Stop>> + Send + 'a>> {
        Box::pin(self.enter_inline(row, caller, input))
    }

    async fn enter_inline<M: OpMode>(
        &self,
        row: &'static Row,
        caller: &Caller,
        input: &Input,
    ) -> Result<Entered<M>, Stop> {
        for _ in 0..ENTRIES_MAX {
            if let Some(entered) = self.enter_once(row, caller, input).await? {
                return Ok(entered);
            }
        }
        Err(StoreError::Busy.into())
    }

    /// `None` when the policy moved on after the transaction had opened: what was allowed later may not be done to what was there
    /// earlier.
    async fn enter_once<M: OpMode>(
        &self,
        row: &'static Row,
        caller: &Caller,
        input: &Input,
    ) -> Result<Option<Entered<M>>, Stop> {
        let mut tx = M::open(self).await?;
        self.catch_up(&mut tx).await?;
        let now = self.now();
        if !self.with_snapshot(|snapshot| authn::still_good(snapshot, caller, now)) {
            let decision = Decision {
                outcome: Verdict::Deny { reason: Reason::NotAuthenticated, target: TargetSeen::Yes },
                trace: Vec::new(),
            };
            return Err(self.refuse(row, caller, None, &decision, Some(RefusalKind::Unauthenticated)));
        }
        if let Some(kind) = self.session_lacks(row, caller) {
            return Err(self.refuse_at_edge(row, caller, kind));
        }
        let located = self.locate(&mut tx, row, caller.user, input).await?;
        let at = tx.revision();
        let decision = self.with_snapshot(|snapshot| {
            let same = snapshot.policy.revision() == at;
            same.then(|| decide(&snapshot.policy, row, &caller.subject(&snapshot.app_rules), &located.facts()))
        });
        let Some(decision) = decision else { return Ok(None) };
        if decision.is_allow() {
            self.count(row, caller, "allow", "");
            Ok(Some(Entered { tx, located, decision }))
        } else {
            Err(self.refuse(row, caller, Some(&located), &decision, None))
        }
    }

    async fn locate<M: Mode>(
        &self,
        tx: &mut Tx<M>,
        row: &'static Row,
        user: Option<UserId>,
        input: &Input,
    ) -> Result<Located, StoreError> {
        let directory = Directory {
            project: &|name| self.with_snapshot(|snapshot| locate::project_named(snapshot, name)),
            user: &|account_id| self.with_snapshot(|snapshot| snapshot.user_by_account_id(account_id)),
            browse_conditions: &|project| {
                self.with_snapshot(|snapshot| {
                    snapshot.policy.conditions(user, ProjectPermission::BrowseProjects, project)
                })
            },
            team_managed: &|project| {
                self.with_snapshot(|snapshot| snapshot.policy.project(project).map(|facts| facts.team_managed))
            },
            has_key: &|project, key| {
                self.with_snapshot(|snapshot| snapshot.policy.project(project).is_some_and(|facts| facts.key == key))
            },
            scheme: &|project| {
                self.with_snapshot(|snapshot| snapshot.policy.project(project).map(|facts| facts.scheme.0))
            },
            share_matches: &|share| self.with_snapshot(|snapshot| share.admits(snapshot, user)),
            all_projects: &|| {
                self.with_snapshot(|snapshot| snapshot.policy.projects().map(|project| project.id).collect())
            },
            connect_app: &|key| self.with_snapshot(|snapshot| snapshot.connect().app_named(key).map(|app| app.user)),
            names_fields: self.with_snapshot(Snapshot::names_fields),
        };
        locate::locate(tx, &directory, row, user, input).await
    }

    /// An issue as it is now; `None` when there is none.
    pub(crate) async fn issue_by_id(&self, id: IssueId) -> Result<Option<IssueFacts>, StoreError> {
        let mut tx = self.0.deployment.store.read().await?;
        self.catch_up(&mut tx).await?;
        let names_fields = self.with_snapshot(Snapshot::names_fields);
        let found = locate::issue_by_id(&mut tx, names_fields, id.0).await?;
        tx.finish().await?;
        Ok(found.known().cloned())
    }

    fn count(&self, row: &Row, caller: &Caller, outcome: &'static str, reason: &'static str) {
        if let Ok(mut decisions) = self.0.decisions.lock() {
            *decisions.entry((row.id, caller.access.word(), outcome, reason)).or_insert(0) += 1;
        }
    }

    /// Decisions so far, by label; for the metrics page.
    pub fn decision_counts(&self) -> Vec<(DecisionLabels, u64)> {
        let mut out: Vec<_> = self
            .0
            .decisions
            .lock()
            .map(|decisions| decisions.iter().map(|(k, v)| (*k, *v)).collect())
            .unwrap_or_default();
        out.sort_unstable();
        out
    }

    /// Refusals that did not fit the audit buffer.
    pub fn refusals_lost(&self) -> u64 {
        self.0.refusals.lost()
    }

    fn refuse(
        &self,
        row: &'static Row,
        caller: &Caller,
        located: Option<&Located>,
        decision: &Decision,
        kind: Option<RefusalKind>,
    ) -> Stop {
        let (reason, target) = match decision.outcome {
            Verdict::Deny { reason, target } => (reason, target),
            // Not reached: only denials are refused. A missing fact is a refusal.
            Verdict::Allow => (Reason::Unknown, TargetSeen::No),
        };
        let kind = kind.unwrap_or_else(|| kind_of(reason, target, row));
        self.count(row, caller, "deny", reason.word());
        let record = explain::Record::new(row, caller, located, decision, reason, target, self.now(), self.revision());
        let (subject, on_behalf_of) = caller.audit_words();
        let entry = AuditEntry {
            id: self.fresh_id(),
            at_ms: self.now().0,
            request_id: caller.request_id.clone(),
            subject,
            on_behalf_of,
            credential_id: caller.credential_word(),
            access_kind: caller.access.word().to_owned(),
            operation: row.id.to_owned(),
            target: located.map(|located| audit::shortened(&located.name)).filter(|name| !name.is_empty()),
            outcome: "denied".to_owned(),
            reason: Some(reason.word().to_owned()),
            trace: Some(record.trace_json()),
            revision: self.revision(),
            before: None,
            after: None,
            remote_address: caller.address.map(|address| address.to_string()),
        };
        self.0.refusals.push(entry);
        let missing_scopes =
            if reason == Reason::Scope { explain::missing_scopes(row, caller.scopes) } else { Vec::new() };
        let sealed = record.seal(&self.0.deployment.keys, self.entropy());
        if let Some(app) = caller.app() {
            let missing = missing_scopes.join(" ");
            let trouble = Trouble {
                at_ms: self.now().0,
                operation: row.id,
                account_id: caller.account_id.clone(),
                reason: reason.word(),
                // What is hidden from the account is hidden from the app's developer.
                details: if kind == RefusalKind::Scope { missing } else { String::new() },
                decision: sealed.clone(),
            };
            self.0.troubles.note(app, trouble);
        }
        Stop::Refused(Box::new(Refusal {
            kind,
            row,
            reason: Some(reason),
            decision: sealed,
            target_name: located.map(|located| located.name.clone()).unwrap_or_default(),
            authenticated: caller.user.is_some(),
            issue_seen: located.and_then(|located| located.issue.known()).is_some_and(|issue| {
                self.with_snapshot(|snapshot| {
                    !caller.closed(&snapshot.app_rules).contains(&issue.project)
                        && portcullis_authz::decide::issue_visible(&snapshot.policy, caller.user, issue)
                })
            }),
            missing_permissions: explain::missing_permissions(&decision.trace),
            failed_login: caller.failed_login,
            account_id: caller.account_id.clone(),
            missing_scopes,
        }))
    }

    /// What was tried in vain before any transaction is written down like a refusal: soon, bounded, and counted together when there
    /// are many.
    fn note_failed(&self, row: &'static Row, caller: &Caller, reason: &'static str) {
        self.count(row, caller, "deny", Reason::NotAuthenticated.word());
        self.0.refusals.push(AuditEntry {
            id: self.fresh_id(),
            at_ms: self.now().0,
            request_id: caller.request_id.clone(),
            subject: caller.subject_word(),
            credential_id: caller.credential_word(),
            access_kind: caller.access.word().to_owned(),
            operation: row.id.to_owned(),
            outcome: "failed".to_owned(),
            reason: Some(reason.to_owned()),
            revision: self.revision(),
            remote_address: caller.address.map(|address| address.to_string()),
            ..AuditEntry::default()
        });
    }

    /// Another node may have made what a request shows, before any transaction of its own.
    async fn catch_up_before(&self) -> Result<(), StoreError> {
        if self.0.deployment.store.is_embedded() {
            return Ok(());
        }
        let mut tx = self.0.deployment.store.read().await?;
        self.catch_up(&mut tx).await?;
        tx.finish().await
    }

    /// Opens a sealed decision id; `None` for any other text.
    pub fn open_decision(&self, id: &str) -> Option<explain::Record> {
        explain::Record::open(&self.0.deployment.keys, id)
    }

    pub(crate) fn seal_page(&self, caller: &Caller, state: &[u8]) -> Result<String, Problem> {
        let bound_to = caller.subject_word();
        self.0.deployment.keys.seal_to_text(state, PAGE, bound_to.as_bytes(), self.entropy()).map_err(Problem::bug)
    }

    pub(crate) fn open_page(&self, caller: &Caller, token: &str) -> Option<Vec<u8>> {
        self.0.deployment.keys.open_text(token, PAGE, caller.subject_word().as_bytes()).ok()
    }

    /// Runs an operation that has no handler: the decision is made, then 501.
    pub async fn run_unbuilt(&self, row: &'static Row, caller: &Caller, input: &Input) -> Result<Reply, Stop> {
        let entered = self.enter::<Read>(row, caller, input).await?;
        entered.tx.finish().await?;
        Err(Stop::Problem(Problem::not_implemented(format!(
            "{} {} ({}) is not implemented by Portcullis. You are allowed to call it.",
            row.method.name(),
            row.path,
            row.id
        ))))
    }

    async fn run<O, F, Fut>(&self, caller: Caller, input: Input, work: F) -> Result<Reply, Stop>
    where
        O: Operation,
        O::Mode: OpMode,
        F: Fn(Ctx<O>, Input) -> Fut + Send + Sync,
        Fut: Future<Output = Outcome<O>> + Send,
    {
        let caller = Arc::new(Caller { rule_exempt: O::ROW.rule_exempt, ..caller });
        let mut attempt = 1;
        loop {
            let entered = self.enter::<O::Mode>(O::ROW, &caller, &input).await?;
            let cx = Ctx {
                tx: entered.tx,
                view: View { guard: self.clone(), caller: Arc::clone(&caller) },
                target: Target::of(&entered.located),
                decision: entered.decision,
                notes: AuditNotes::default(),
                changes: Vec::new(),
                messages: Vec::new(),
            };
            let result = match work(cx, input.by(&caller)).await {
                Ok(Done { cx, reply, finish }) => {
                    let Ctx { tx, view, target, decision, notes, changes, messages } = cx;
                    let settled = Settled { tx, view, target, decision, notes, changes, messages, reply };
                    match (self.settle(O::ROW, settled).await, finish) {
                        (Ok(reply), Some(finish)) => return finish(reply).map_err(Stop::Problem),
                        (settled, _) => settled.map_err(Problem::from),
                    }
                }
                Err(problem) => Err(problem),
            };
            match result {
                Ok(reply) => return Ok(reply),
                Err(problem) if lost_a_race(&problem) && attempt < ATTEMPTS_MAX => attempt += 1,
                Err(problem) => return Err(Stop::Problem(problem)),
            }
        }
    }

    /// The same for every operation of a mode, so that it is compiled once per mode and not once per handler.
    fn settle<'a, M: OpMode>(
        &'a self,
        row: &'static Row,
        settled: Settled<M>,
    ) -> Pin<Box<dyn Future<Output = Result<Reply, StoreError>> + Send + 'a>> {
        Box::pin(async move {
            let Settled { tx, view, target, decision, notes, changes, messages, reply } = settled;
            let entry = || {
                let caller = &view.caller;
                let (subject, on_behalf_of) = notes.actors.unwrap_or_else(|| caller.audit_words());
                AuditEntry {
                    id: self.fresh_id(),
                    at_ms: self.now().0,
                    request_id: caller.request_id.clone(),
                    subject,
                    on_behalf_of,
                    credential_id: caller.credential_word(),
                    access_kind: caller.access.word().to_owned(),
                    operation: row.id.to_owned(),
                    target: notes.target.or_else(|| target.issue.map(|issue| format!("issue:{}", issue.id))),
                    outcome: if reply.status < 400 { "allowed" } else { "failed" }.to_owned(),
                    reason: None,
                    trace: Some(explain::trace_json(&decision.trace)),
                    revision: self.revision(),
                    before: notes.before.as_ref().and_then(|json| serde_json::to_string(json).ok()),
                    after: notes.after.as_ref().and_then(|json| serde_json::to_string(json).ok()),
                    remote_address: caller.address.map(|address| address.to_string()),
                }
            };
            M::settle(self, tx, entry, changes, &messages).await?;
            if !messages.is_empty() {
                self.wake_outgoing();
            }
            Ok(reply)
        })
    }

    /// Writes buffered refusals to the audit log; run by a job every 250 ms and at shutdown.
    ///
    /// # Errors
    /// The database's; the entries of this flush are then lost and counted by the caller's log.
    pub async fn flush_refusals(&self) -> Result<usize, StoreError> {
        let entries = self.0.refusals.take();
        if !entries.is_empty() {
            self.0.deployment.store.append_audit_batch(&entries).await?;
        }
        Ok(entries.len())
    }

    /// Takes the moments at which credentials were last used since the last call.
    pub fn take_last_used(&self) -> Vec<(Used, i64)> {
        self.0.last_used.lock().map(|mut used| used.drain().collect()).unwrap_or_default()
    }
}

/// A write of a job of ours, named in the audit log.
pub struct Job<M: OpMode> {
    tx: Tx<M>,
    guard: Guard,
    name: &'static str,
    found: Option<Json>,
    changes: Vec<Entity>,
}

impl<M: OpMode> Job<M> {
    /// The transaction, lent.
    pub fn tx(&mut self) -> &mut Tx<M> {
        &mut self.tx
    }

    /// Says for the audit log what the job found. No secrets.
    pub fn found(&mut self, found: Json) {
        self.found = Some(found);
    }

    /// Commits with the job's audit entry.
    ///
    /// # Errors
    /// The database's.
    pub async fn commit(self) -> Result<(), StoreError> {
        let caller = self.guard.system(self.name);
        let entry = AuditEntry {
            id: self.guard.fresh_id(),
            at_ms: self.guard.now().0,
            request_id: caller.request_id.clone(),
            subject: caller.subject_word(),
            access_kind: caller.access.word().to_owned(),
            operation: self.name.to_owned(),
            outcome: "allowed".to_owned(),
            revision: self.tx.revision(),
            after: self.found.map(|found| found.to_string()),
            ..AuditEntry::default()
        };
        M::settle(&self.guard, self.tx, || entry, self.changes, &[]).await
    }
}

impl Job<Policy> {
    /// Names an entity that the job changes.
    pub fn changed(&mut self, entity: Entity) {
        self.changes.push(entity);
    }
}

impl Guard {
    /// Begins a write of a job of ours, in the mode that its type says.
    ///
    /// # Errors
    /// The database's.
    pub async fn begin_job<M: OpMode>(&self, name: &'static str) -> Result<Job<M>, StoreError> {
        let mut tx = M::open(self).await?;
        self.catch_up(&mut tx).await?;
        Ok(Job { tx, guard: self.clone(), name, found: None, changes: Vec::new() })
    }
}

fn lost_a_race(problem: &Problem) -> bool {
    problem
        .cause
        .as_ref()
        .and_then(|cause| cause.downcast_ref::<StoreError>())
        .is_some_and(|error| matches!(error, StoreError::Conflict))
        && problem.kind != ProblemKind::Bug
}

/// A handler without its type, for the route table.
pub type Handler =
    Arc<dyn Fn(Guard, Caller, Input) -> Pin<Box<dyn Future<Output = Result<Reply, Stop>> + Send>> + Send + Sync>;

/// What an endpoint answers before any transaction is open.
#[derive(Debug)]
pub struct RefusedEarly {
    /// The answer.
    pub reply: Reply,
    /// Why, for the audit log.
    pub word: &'static str,
}

/// Makes the answer to what was proven in vain.
pub type RefusedSignIn = fn(&View, &Input, &SignIn) -> Result<Reply, Problem>;

impl Guard {
    /// Runs `work` for the account that was proven, or answers that none was.
    async fn run_proven<O, F, Fut>(
        &self,
        caller: Caller,
        input: Input,
        checked: Checked,
        work: F,
        refused: RefusedSignIn,
    ) -> Result<Reply, Stop>
    where
        O: Operation,
        O::Mode: OpMode,
        F: Fn(Ctx<O>, Input, Proof) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let (proof, at) = match checked {
            Ok(proven) => proven,
            Err(sign_in) => {
                if sign_in.is_failure() {
                    self.note_failed(O::ROW, &caller, sign_in.word());
                }
                let view = View { guard: self.clone(), caller: Arc::new(caller) };
                return refused(&view, &input, &sign_in).map_err(Stop::Problem);
            }
        };
        let again = move |mut cx: Ctx<O>, input: Input| async move {
            // Hashing took its time: a password, an account or a credential that was withdrawn meanwhile proves nothing.
            let changed = snapshot::changes_since(&mut cx.tx, at).await?;
            let user = proof.user;
            if changed.iter().any(|entity| matches!(entity, Entity::Everything) || *entity == Entity::User(user)) {
                return Err(Problem::from(StoreError::Conflict));
            }
            work(cx, input, proof).await
        };
        self.run(caller, input, again).await
    }
}

/// The functions that handle operations, by row. A function can be added for the operation in its context's type only.
#[derive(Default)]
pub struct Handlers(HashMap<u16, Handler>);

impl Handlers {
    /// Adds the handler of `O`: `handlers.on(get)` for `async fn get(cx: Ctx<op::GetIssue>, input: Input) -> Outcome<op::GetIssue>`.
    pub fn on<O, F, Fut>(&mut self, work: F)
    where
        O: Operation,
        O::Mode: OpMode,
        F: Fn(Ctx<O>, Input) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |guard, caller, input| {
            Box::pin(async move { guard.run::<O, F, Fut>(caller, input, work).await })
        });
        self.0.insert(O::ROW.number, handler);
    }

    /// Adds the handler of a sign-in: the password of the form is checked before the transaction opens, and one that is not
    /// proven opens none. `refused` makes its answer; what strangers try is no change of rights and holds up nobody's. `work` uses the
    /// code of a second factor up.
    pub fn on_sign_in<O, F, Fut>(&mut self, work: F, refused: RefusedSignIn)
    where
        O: Operation,
        O::Mode: OpMode,
        F: Fn(Ctx<O>, Input, Proof) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |guard, caller, input| {
            Box::pin(async move {
                let checked = guard.verify_sign_in(&input, caller.address).await.map_err(Stop::Problem)?;
                guard.run_proven(caller, input, checked, work, refused).await
            })
        });
        self.0.insert(O::ROW.number, handler);
    }

    /// Adds the handler by which a person who is signed in proves anew that it is them; otherwise like [`Handlers::on_sign_in`].
    pub fn on_fresh_proof<O, F, Fut>(&mut self, work: F, refused: RefusedSignIn)
    where
        O: Operation,
        O::Mode: OpMode,
        F: Fn(Ctx<O>, Input, Proof) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |guard, caller, input| {
            Box::pin(async move {
                let checked = guard.verify_again(&caller, &input).await.map_err(Stop::Problem)?;
                guard.run_proven(caller, input, checked, work, refused).await
            })
        });
        self.0.insert(O::ROW.number, handler);
    }

    /// Adds the handler of an operation that first has to talk to somebody else, as to the app that is being installed: `prepare`
    /// does that while no transaction is open, and `work` stores what came of it. The decision is made before the first and
    /// again before the second. Both get `services`, by which they reach the outside.
    pub fn on_prepared<O, S, P, Prepare, PrepareFut, F, Fut>(&mut self, services: &S, prepare: Prepare, work: F)
    where
        O: Operation,
        O::Mode: OpMode,
        S: Clone + Send + Sync + 'static,
        P: Clone + Send + Sync + 'static,
        Prepare: Fn(S, View, Input) -> PrepareFut + Copy + Send + Sync + 'static,
        PrepareFut: Future<Output = Result<P, Problem>> + Send + 'static,
        F: Fn(Ctx<O>, Input, S, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let services = services.clone();
        let handler: Handler = Arc::new(move |guard, caller, input| {
            let services = services.clone();
            Box::pin(async move {
                guard.enter::<Read>(O::ROW, &caller, &input).await?.tx.finish().await?;
                let view = View { guard: guard.clone(), caller: Arc::new(caller.clone()) };
                let prepared = prepare(services.clone(), view, input.by(&caller)).await.map_err(Stop::Problem)?;
                let again = move |cx: Ctx<O>, input: Input| work(cx, input, services.clone(), prepared.clone());
                guard.run(caller, input, again).await
            })
        });
        self.0.insert(O::ROW.number, handler);
    }

    /// Adds the handler of an endpoint that OAuth 2.0 clients call: the client is proven before the transaction opens, and one that
    /// is not opens none. `refused` makes its answer.
    pub fn on_client<O, F, Fut>(
        &mut self,
        work: F,
        refused: fn(&View, &Input, &ClientRefusal) -> Result<Reply, Problem>,
    ) where
        O: Operation,
        O::Mode: OpMode,
        F: Fn(Ctx<O>, Input, Client) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |guard, caller, input| {
            Box::pin(async move {
                guard.catch_up_before().await?;
                let client = match guard.verify_client(&caller, &input) {
                    Ok(client) => client,
                    Err(refusal) => {
                        guard.note_failed(O::ROW, &caller, refusal.word());
                        let view = View { guard, caller: Arc::new(caller) };
                        return refused(&view, &input, &refusal).map_err(Stop::Problem);
                    }
                };
                if let Some(secret) = client.secret {
                    guard.note_used(Used::ClientSecret(secret));
                }
                let again = move |cx: Ctx<O>, input: Input| {
                    let mut client = client.clone();
                    async move {
                        let now = cx.now();
                        if !cx.view.with(|snapshot| authn::client::still_good(snapshot, &mut client, now)) {
                            let reply = refused(&cx.view, &input, &ClientRefusal::NotProven { by_header: false })?;
                            return cx.done(reply);
                        }
                        work(cx, input, client).await
                    }
                };
                guard.run(caller, input, again).await
            })
        });
        self.0.insert(O::ROW.number, handler);
    }

    /// Adds the handler of an endpoint that finds out by itself who asks, from memory: `check` looks before the transaction opens, and
    /// a request that it refuses, with an answer and a word for the audit log, opens none. It looks again once one is open.
    pub fn on_checked<O, P, F, Fut>(&mut self, check: fn(&View, &Input) -> Result<P, Box<RefusedEarly>>, work: F)
    where
        O: Operation,
        O::Mode: OpMode,
        P: Send + 'static,
        F: Fn(Ctx<O>, Input, P) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Outcome<O>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |guard, caller, input| {
            Box::pin(async move {
                guard.catch_up_before().await?;
                let view = View { guard: guard.clone(), caller: Arc::new(caller.clone()) };
                if let Err(refused) = check(&view, &input) {
                    guard.note_failed(O::ROW, &caller, refused.word);
                    return Ok(refused.reply);
                }
                let again = move |cx: Ctx<O>, input: Input| async move {
                    match check(&cx.view, &input) {
                        Ok(checked) => work(cx, input, checked).await,
                        Err(refused) => cx.done(refused.reply),
                    }
                };
                guard.run(caller, input, again).await
            })
        });
        self.0.insert(O::ROW.number, handler);
    }

    /// The handler of a row, where there is one.
    pub fn of(&self, row: &Row) -> Option<&Handler> {
        self.0.get(&row.number)
    }

    /// Which rows have a handler.
    pub fn numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.keys().copied()
    }
}
