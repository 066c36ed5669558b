//! Which role a host name has, where the configuration gives each its own: the site, the authorization server, the API gateway.

use http::header::HeaderMap;

use crate::head;

/// Host names of the roles, in lower case and without ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The site: pages, `/rest`, our management API.
    pub site: String,
    /// The authorization server.
    pub auth: String,
    /// The API gateway.
    pub api: String,
}

/// What a host and a path come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The path is one of this host's.
    Here,
    /// Another host's: as if it were not there.
    Elsewhere,
    /// No host of ours (RFC 9110, section 15.5.20).
    Misdirected,
}

/// Paths of the authorization server; people sign in there too, with a session of its own, because the consent page is there.
const AUTH: [&str; 10] =
    ["/authorize", "/oauth", "/oidc", "/.well-known", "/login", "/logout", "/static", "/device", "/oauth2", "/connect"];
/// Paths of the API gateway.
const API: [&str; 7] = [
    "/ex",
    "/me",
    "/graphql",
    "/forge",
    "/admin/api-access",
    "/oauth/token/accessible-resources",
    "/.well-known/oauth-protected-resource",
];
/// Paths that each host answers.
const EVERYWHERE: [&str; 2] = ["/healthz", "/readyz"];

fn is_under(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Hosts {
    pub(crate) fn place(&self, headers: &HeaderMap, path: &str) -> Place {
        let host = head::text(headers, "host").unwrap_or_default().to_ascii_lowercase();
        let host = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host.as_str(),
        };
        let listed = |paths: &[&str]| paths.iter().any(|start| is_under(path, start));
        let is = |name: &str| name == host;
        if !(is(&self.site) || is(&self.auth) || is(&self.api)) {
            return Place::Misdirected;
        }
        // Two roles may share a host.
        let here = listed(&EVERYWHERE)
            || (is(&self.auth) && listed(&AUTH))
            || (is(&self.api) && listed(&API))
            || (is(&self.site) && (self.is_of_site(path)));
        if here { Place::Here } else { Place::Elsewhere }
    }

    /// Everything that is not another role's alone: `/login` and `/device` are on the site too, where people are signed in.
    fn is_of_site(&self, path: &str) -> bool {
        let of_people = ["/login", "/logout", "/static", "/device"].iter().any(|start| is_under(path, start));
        let of_others = AUTH.iter().chain(&API).any(|start| is_under(path, start));
        of_people || !of_others
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HOST, HeaderMap, HeaderValue};

    use super::{Hosts, Place};

    fn place(host: &str, path: &str) -> Place {
        let hosts = Hosts {
            site: "acme.atlassian.net".to_owned(),
            auth: "auth.atlassian.com".to_owned(),
            api: "api.atlassian.com".to_owned(),
        };
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::from_str(host) {
            headers.insert(HOST, host);
        }
        hosts.place(&headers, path)
    }

    #[test]
    fn each_path_is_on_the_host_of_its_role() {
        for (host, path) in [
            ("acme.atlassian.net", "/rest/api/3/issue/DEMO-1"),
            ("acme.atlassian.net", "/account/apps"),
            ("acme.atlassian.net", "/login"),
            ("acme.atlassian.net", "/"),
            ("acme.atlassian.net", "/admin/apps"),
            ("ACME.atlassian.NET:443", "/_edge/tenant_info"),
            ("auth.atlassian.com", "/authorize"),
            ("auth.atlassian.com", "/login"),
            ("auth.atlassian.com", "/oauth/token"),
            ("auth.atlassian.com", "/oauth/token/accessible-resources"),
            ("auth.atlassian.com", "/.well-known/jwks.json"),
            ("api.atlassian.com", "/oauth/token/accessible-resources"),
            ("api.atlassian.com", "/me"),
            ("api.atlassian.com", "/ex/jira/x/rest/api/3/myself"),
            ("api.atlassian.com", "/healthz"),
        ] {
            assert_eq!(place(host, path), Place::Here, "{host}{path}");
        }
    }

    #[test]
    fn a_path_of_another_role_is_not_there_and_no_other_host_is_ours() {
        for (host, path) in [
            ("acme.atlassian.net", "/oauth/token"),
            ("acme.atlassian.net", "/ex/jira/x/rest/api/3/myself"),
            ("acme.atlassian.net", "/me"),
            ("auth.atlassian.com", "/rest/api/3/myself"),
            ("auth.atlassian.com", "/account/apps"),
            ("auth.atlassian.com", "/me"),
            ("auth.atlassian.com", "/oauthx"),
            ("api.atlassian.com", "/rest/api/3/myself"),
            ("api.atlassian.com", "/authorize"),
            ("api.atlassian.com", "/login"),
        ] {
            assert_eq!(place(host, path), Place::Elsewhere, "{host}{path}");
        }
        for host in ["", "evil.example", "acme.atlassian.net.evil.example", "acme.atlassian.net:x", "127.0.0.1"] {
            assert_eq!(place(host, "/rest/api/3/myself"), Place::Misdirected, "{host}");
        }
    }
}
