//! How a caller reached us.

/// Which kind of credential was shown. One vocabulary for the table, the log, the metrics and the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AccessKind {
    /// No credential, or one that Jira answers as if there were none.
    Anonymous,
    /// Basic authentication with e-mail and an API token without scopes.
    ApiToken,
    /// Basic authentication with e-mail and an API token that has scopes; gateway only.
    ScopedApiToken,
    /// A browser session.
    Session,
    /// An OAuth 2.0 (3LO) app acting for a user.
    OAuth,
    /// A Connect app with its JWT, as itself or for a user.
    Connect,
    /// A Forge app, as itself or for a user.
    Forge,
    /// The operator at the command line.
    Operator,
    /// A job of ours.
    System,
}

impl AccessKind {
    /// The word used in logs, metrics and the audit log.
    pub const fn word(self) -> &'static str {
        match self {
            AccessKind::Anonymous => "anonymous",
            AccessKind::ApiToken => "api_token",
            AccessKind::ScopedApiToken => "scoped_api_token",
            AccessKind::Session => "session",
            AccessKind::OAuth => "oauth",
            AccessKind::Connect => "connect",
            AccessKind::Forge => "forge",
            AccessKind::Operator => "operator",
            AccessKind::System => "system",
        }
    }

    /// Whether an app, not a person, holds the credential.
    pub const fn is_app(self) -> bool {
        matches!(self, AccessKind::OAuth | AccessKind::Connect | AccessKind::Forge)
    }
}

/// Where a request arrived. A credential is valid on some surfaces only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Surface {
    /// The site host: `/rest/api/...`.
    Site,
    /// The API gateway: `/ex/jira/{cloudId}/...`.
    Gateway,
    /// The authorization server: `/oauth/...`, `/.well-known/...`.
    Authorization,
    /// Server-rendered pages.
    Console,
    /// Our management API: `/api/portcullis/v1/...`.
    Management,
    /// Health, metrics and the emulator controls.
    Operations,
}
