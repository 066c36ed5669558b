//! Who was proven. Made by `authn` alone.

use std::net::IpAddr;

use portcullis_authz::Subject;
use portcullis_crypto::{PlainToken, TokenKind};
use portcullis_model::{AccessKind, ApiTokenId, ScopeSet, SessionId, Surface, UserId};

/// Which credential was used, for the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialRef {
    None,
    ApiToken(ApiTokenId),
    Session(SessionId),
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
    pub(crate) actor: Option<String>,
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
            CredentialRef::None | CredentialRef::Session(_) | CredentialRef::Operator => None,
        }
    }

    /// The program the caller says it uses.
    pub fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// The remote address.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The same as the engine sees it.
    pub(crate) fn subject(&self) -> Subject<'static> {
        Subject {
            access: self.access,
            user: self.user,
            scopes: self.scopes,
            connect: None,
            app_only: false,
            blocked: &[],
        }
    }

    pub(crate) fn credential_word(&self) -> Option<String> {
        match self.credential {
            CredentialRef::None => None,
            CredentialRef::ApiToken(id) => Some(format!("api_token:{id}")),
            CredentialRef::Session(id) => Some(format!("session:{id}")),
            CredentialRef::Operator => Some("operator".to_owned()),
        }
    }

    pub(crate) fn subject_word(&self) -> String {
        match (&self.actor, &self.account_id) {
            (Some(actor), _) => actor.clone(),
            (None, Some(account_id)) => account_id.clone(),
            (None, None) => "anonymous".to_owned(),
        }
    }
}
