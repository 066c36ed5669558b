//! Who was proven. Made by `authn` alone.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_authz::{ConnectGrant, Subject};
use portcullis_crypto::{PlainToken, TokenKind};
use portcullis_model::{
    AccessKind, ApiTokenId, AppGrantId, AppId, ConnectAppId, ForgeInstallationId, ProjectId, ScopeSet, SessionId,
    Surface, TokenFamilyId, UserId,
};

use crate::app_rules::AppRules;
use crate::authn::bearer::AccessToken;
use crate::authn::client::ClientProof;
use crate::authn::connect::ActAsToken;

/// Which credential was used, for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialRef {
    None,
    ApiToken(ApiTokenId),
    Session(SessionId),
    AccessToken {
        client: AppId,
        grant: AppGrantId,
        family: TokenFamilyId,
    },
    /// A Connect app's own token.
    Connect(ConnectAppId),
    /// A Connect app's token to act for a user.
    ActAs(ConnectAppId),
    /// A browser session, in a page of a Connect app.
    Framed {
        session: SessionId,
        app: ConnectAppId,
    },
    /// A Forge app's code, which this server runs.
    Forge(ForgeInstallationId),
    Operator,
}

/// The browser session a caller came with.
#[derive(Clone)]
pub struct SessionRef {
    /// Its id.
    pub id: SessionId,
    /// Ties form tokens to the session.
    pub(crate) form_key: [u8; 32],
}

impl std::fmt::Debug for SessionRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionRef({})", self.id)
    }
}

impl SessionRef {
    fn derive(&self, operation: &str) -> PlainToken {
        PlainToken::derive(TokenKind::FormToken, &self.form_key, operation.as_bytes())
    }

    fn form_token(&self, operation: &str) -> String {
        self.derive(operation).expose_secret().to_owned()
    }
}

/// A proven caller: an account, or nobody in particular. Handlers read it; only the guard makes one.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) access: AccessKind,
    /// Whether the operation is one that app access rules leave alone.
    pub(crate) rule_exempt: bool,
    pub(crate) surface: Surface,
    pub(crate) user: Option<UserId>,
    pub(crate) account_id: Option<String>,
    pub(crate) credential: CredentialRef,
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) session: Option<SessionRef>,
    pub(crate) failed_login: bool,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: String,
    pub(crate) user_agent: String,
    /// Who is written in the audit log as the one who acts, where that is not the account: an app, the operator, a job.
    pub(crate) actor: Option<String>,
    /// What an access token said.
    pub(crate) access_token: Option<Arc<AccessToken>>,
    /// What a Connect app may do.
    pub(crate) connect: Option<ConnectGrant>,
    /// An app acts as itself.
    pub(crate) app_only: bool,
    /// What a Connect app's token to act for a user said.
    pub(crate) act_as: Option<Arc<ActAsToken>>,
    /// What is wrong with the credential that was shown; for the decision, never for the answer.
    pub(crate) why_not: Option<String>,
    /// What an app wrote beside its request to recognise the events that come of it.
    pub(crate) webhook_trace: Option<String>,
    /// What a client sent in the head to prove itself; the authorization server's endpoints look at it.
    pub(crate) client_proof: ClientProof,
}

impl Caller {
    /// The account, unless anonymous.
    pub fn user(&self) -> Option<UserId> {
        self.user
    }

    /// The account id on the wire.
    pub fn account_id(&self) -> Option<&str> {
        self.account_id.as_deref()
    }

    /// The kind of access.
    pub fn access(&self) -> AccessKind {
        self.access
    }

    /// Where the request arrived.
    pub fn surface(&self) -> Surface {
        self.surface
    }

    /// Whether a credential was shown that did not verify, and the request went on as anonymous.
    pub fn failed_login(&self) -> bool {
        self.failed_login
    }

    /// The browser session, for callers with one.
    pub fn session(&self) -> Option<&SessionRef> {
        self.session.as_ref()
    }

    /// The hidden field that ties a form to this session and to the operation it posts to; empty without a session.
    pub fn form_token(&self, operation: &str) -> String {
        self.session.as_ref().map(|session| session.form_token(operation)).unwrap_or_default()
    }

    /// Whether `presented` is the form token of this session for `operation`.
    pub fn form_token_matches(&self, operation: &str, presented: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.derive(operation).matches(presented))
    }

    /// The id of this request, in answers, logs and the audit.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The API token the caller used.
    pub fn api_token(&self) -> Option<ApiTokenId> {
        match self.credential {
            CredentialRef::ApiToken(id) => Some(id),
            CredentialRef::None
            | CredentialRef::Session(_)
            | CredentialRef::AccessToken { .. }
            | CredentialRef::Connect(_)
            | CredentialRef::ActAs(_)
            | CredentialRef::Framed { .. }
            | CredentialRef::Forge(_)
            | CredentialRef::Operator => None,
        }
    }

    /// The Connect app that acts, as itself, for the account, or in a page before it.
    pub fn connect_app(&self) -> Option<ConnectAppId> {
        match self.credential {
            CredentialRef::Connect(app) | CredentialRef::ActAs(app) | CredentialRef::Framed { app, .. } => Some(app),
            CredentialRef::None
            | CredentialRef::ApiToken(_)
            | CredentialRef::Session(_)
            | CredentialRef::AccessToken { .. }
            | CredentialRef::Forge(_)
            | CredentialRef::Operator => None,
        }
    }

    /// The Forge app whose code acts.
    pub fn forge_installation(&self) -> Option<ForgeInstallationId> {
        match self.credential {
            CredentialRef::Forge(installation) => Some(installation),
            _ => None,
        }
    }

    /// Whether an app acts as itself, for nobody else.
    pub fn is_app_only(&self) -> bool {
        self.app_only
    }

    /// The OAuth 2.0 app that acts for the account.
    pub fn app(&self) -> Option<AppId> {
        match self.credential {
            CredentialRef::AccessToken { client, .. } => Some(client),
            CredentialRef::None
            | CredentialRef::ApiToken(_)
            | CredentialRef::Session(_)
            | CredentialRef::Connect(_)
            | CredentialRef::ActAs(_)
            | CredentialRef::Framed { .. }
            | CredentialRef::Forge(_)
            | CredentialRef::Operator => None,
        }
    }

    /// What the app's credential may do; `None` for a credential without scopes.
    pub fn scopes(&self) -> Option<ScopeSet> {
        self.scopes
    }

    /// Whose budget of requests a request takes from: an app has one of its own for each account.
    pub fn budget(&self) -> Option<String> {
        let account_id = self.account_id.as_deref()?;
        Some(match (self.app(), self.connect_app()) {
            (Some(app), _) => format!("{account_id} {app}"),
            (None, Some(app)) => format!("{account_id} connect {app}"),
            (None, None) => match self.forge_installation() {
                Some(installation) => format!("{account_id} forge {installation}"),
                None => account_id.to_owned(),
            },
        })
    }

    /// The program the caller says it uses.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// The remote address.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The app that asks, as app access rules name it; `None` when it is no app.
    pub(crate) fn app_word(&self) -> Option<String> {
        let kind = match self.credential {
            CredentialRef::AccessToken { .. } => "oauth:",
            CredentialRef::Connect(_) | CredentialRef::ActAs(_) | CredentialRef::Framed { .. } => "connect:",
            CredentialRef::Forge(_) => "forge:",
            CredentialRef::None | CredentialRef::ApiToken(_) | CredentialRef::Session(_) | CredentialRef::Operator => {
                return None;
            }
        };
        let name = self.actor.as_deref().and_then(|actor| actor.split_once(':')).map_or("", |(_, name)| name);
        Some(format!("{kind}{name}"))
    }

    /// The projects that app access rules close to the caller.
    pub(crate) fn closed<'a>(&self, rules: &'a AppRules) -> &'a [ProjectId] {
        if rules.is_empty() {
            return &[];
        }
        self.app_word().map_or(&[], |app| rules.closed_to(&app))
    }

    /// The same as the engine sees it, with the projects that are closed to it.
    pub(crate) fn subject<'a>(&self, rules: &'a AppRules) -> Subject<'a> {
        Subject {
            access: self.access,
            user: self.user,
            scopes: self.scopes,
            connect: self.connect,
            app_only: self.app_only,
            in_page: matches!(self.credential, CredentialRef::Framed { .. }),
            blocked: self.closed(rules),
        }
    }

    pub(crate) fn credential_word(&self) -> Option<String> {
        match self.credential {
            CredentialRef::None => None,
            CredentialRef::ApiToken(id) => Some(format!("api_token:{id}")),
            CredentialRef::Session(id) => Some(format!("session:{id}")),
            CredentialRef::AccessToken { grant, family, .. } => Some(format!("app_grant:{grant}/{family}")),
            CredentialRef::Connect(app) => Some(format!("connect_app:{app}")),
            CredentialRef::ActAs(app) => Some(format!("connect_app:{app}/act_as")),
            CredentialRef::Framed { session, app } => Some(format!("session:{session}/connect_app:{app}")),
            CredentialRef::Forge(installation) => Some(format!("forge_installation:{installation}")),
            CredentialRef::Operator => Some("operator".to_owned()),
        }
    }

    /// The account, or whoever acts without one: who may ask why something was refused, and whose a page token is.
    pub(crate) fn subject_word(&self) -> String {
        match (&self.account_id, &self.actor) {
            (Some(account_id), _) => account_id.clone(),
            (None, Some(actor)) => actor.clone(),
            (None, None) => "anonymous".to_owned(),
        }
    }

    /// Who acts, and for whom where that is another.
    pub(crate) fn audit_words(&self) -> (String, Option<String>) {
        match (&self.actor, &self.account_id) {
            (Some(actor), account_id) => (actor.clone(), account_id.clone()),
            (None, Some(account_id)) => (account_id.clone(), None),
            (None, None) => ("anonymous".to_owned(), None),
        }
    }
}
