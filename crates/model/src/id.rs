//! Typed ids: things that look alike are different types, so that mixing them does not compile.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl $name {
            /// The id as a position in a dense table; `None` when it is negative.
            pub fn slot(self) -> Option<usize> {
                usize::try_from(self.0).ok()
            }
        }
    )+};
}

ids! {
    /// A person, service account or app user; internal, the wire shows the account id.
    UserId;
    /// A group; the wire shows its name and `groupId`.
    GroupId;
    /// A project role.
    RoleId;
    /// A project; numeric on the wire too.
    ProjectId;
    /// An issue; numeric on the wire too.
    IssueId;
    /// A permission scheme.
    SchemeId;
    /// One grant of a permission scheme.
    GrantId;
    /// An issue security scheme.
    SecuritySchemeId;
    /// A level of an issue security scheme.
    LevelId;
    /// A custom field, the number in `customfield_10010`.
    FieldId;
    /// An OAuth 2.0 client: a row of `app_oauth_client`.
    AppId;
    /// A row of `account_api_token`.
    ApiTokenId;
    /// A row of `account_session`.
    SessionId;
    /// What an account lets an OAuth 2.0 app do: a row of `app_oauth_grant`.
    AppGrantId;
    /// The tokens that come of one authorization, each made from the one before: a row of `app_oauth_family`.
    TokenFamilyId;
    /// A Connect app: a row of `app_connect`.
    ConnectAppId;
    /// A Forge app's environment on this site: a row of `forge_installation`.
    ForgeInstallationId;
    /// A secret of an OAuth 2.0 client.
    ClientSecretId;
    /// What an app wants to be told of: a row of `app_webhook`.
    WebhookId;
}
