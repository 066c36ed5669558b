//! Where the roles of one deployment are reached.

/// The addresses that answers name and tokens are bound to, each without a slash at its end. They come from the configuration,
/// never from a request. With one origin for everything they are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The site: pages, `/rest/api`, our management API.
    pub site: String,
    /// The authorization server; the `iss` of what it signs (RFC 8414, section 2).
    pub issuer: String,
    /// The API gateway; the `aud` of access tokens.
    pub api: String,
}

impl Addresses {
    /// Every role at one address.
    pub fn one(base_url: &str) -> Self {
        let base_url = base_url.trim_end_matches('/').to_owned();
        Self { site: base_url.clone(), issuer: base_url.clone(), api: base_url }
    }

    /// The gateway of a site.
    pub fn gateway(&self, cloud_id: &str) -> String {
        format!("{}/ex/jira/{cloud_id}", self.api)
    }
}
