//! Addresses that an app's code may fetch from: what its manifest names, an administrator consented to, and the server may call.

use url::{Host, Url};

/// Ports that may be named; the vendor's list.
const PORTS: &[u16] = &[80, 8080, 443, 8443, 8444, 7990, 8089, 8090, 8085, 8060];

/// One entry of a manifest's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    scheme: String,
    host: HostRule,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostRule {
    Any,
    /// Names that end so, the dot in front included.
    Under(String),
    Exact(String),
}

impl Rule {
    /// Reads an entry: a host, with `https://` in front if nothing else is; a star may stand at its beginning. `None` for what cannot be
    /// such an entry.
    pub fn parse(entry: &str) -> Option<Self> {
        let entry = entry.trim();
        let (scheme, rest) = entry.split_once("://").unwrap_or(("https", entry));
        if !["https", "http"].contains(&scheme) {
            return None;
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority == "*" {
            return Some(Self { scheme: scheme.to_owned(), host: HostRule::Any, port: None });
        }
        let (under, plain) = match authority.strip_prefix("*.") {
            Some(plain) => (true, plain),
            None => (false, authority),
        };
        if plain.contains(['*', '@', '\\']) {
            return None;
        }
        let url = Url::parse(&format!("{scheme}://{plain}/")).ok()?;
        let host = url.host_str()?.to_owned();
        let host = if under { HostRule::Under(format!(".{host}")) } else { HostRule::Exact(host) };
        Some(Self { scheme: scheme.to_owned(), host, port: url.port() })
    }

    fn allows(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let host_holds = match &self.host {
            HostRule::Any => true,
            HostRule::Under(end) => matches!(url.host(), Some(Host::Domain(_))) && host.ends_with(end),
            HostRule::Exact(name) => host == name,
        };
        let port_holds = self.host == HostRule::Any || url.port() == self.port;
        self.scheme == url.scheme() && host_holds && port_holds
    }
}

/// Reads an address as code gave it, strictly: what parsers read in different ways is none.
pub fn address(text: &str) -> Option<Url> {
    let strange = |c: char| c == '\\' || c.is_control() || c.is_whitespace();
    let url = Url::parse(text).ok()?;
    let plain = !text.contains(strange) && url.username().is_empty() && url.password().is_none();
    let web = matches!(url.scheme(), "https" | "http");
    (plain && web && url.port_or_known_default().is_some_and(|port| PORTS.contains(&port) || is_loopback(&url)))
        .then_some(url)
}

/// This machine itself, which only a demo or test may call at all: servers beside it have any port.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Whether one of the entries lets an address be fetched from.
pub fn is_allowed<'a>(entries: impl IntoIterator<Item = &'a String>, url: &Url) -> bool {
    entries.into_iter().filter_map(|entry| Rule::parse(entry)).any(|rule| rule.allows(url))
}

#[cfg(test)]
mod tests {
    use super::{Rule, address, is_allowed};

    fn allowed(entry: &str, url: &str) -> bool {
        address(url).is_some_and(|url| is_allowed(&[entry.to_owned()], &url))
    }

    #[test]
    fn hosts_are_matched_as_urls_not_as_texts() {
        for (entry, url) in [
            ("api.example.com", "https://api.example.com/x"),
            ("https://api.example.com/v1", "https://api.example.com/v2"),
            ("*.example.com", "https://a.b.example.com/"),
            ("*.example.com", "HTTPS://A.example.com/"),
            ("https://API.example.com", "https://api.example.com:443/"),
            ("*", "https://anything.example/"),
            ("http://a.example", "http://a.example/"),
            ("https://a.example:8443", "https://a.example:8443/"),
        ] {
            assert!(allowed(entry, url), "{entry} {url}");
        }
        for (entry, url) in [
            ("*.example.com", "https://example.com/"),
            ("*.example.com", "https://evil.com\\.example.com/x"),
            ("*.example.com", "https://evil.com\\@a.example.com"),
            ("*.example.com", "https://a.example.com@evil.com/"),
            ("*.example.com", "https://evil.com/#.example.com"),
            ("*.example.com", "https://a.example.com.evil.com/"),
            ("api.example.com", "http://api.example.com/"),
            ("api.example.com", "https://api.example.com:8443/"),
            ("api.example.com", "https://api.example.com.:443/"),
            ("*", "ftp://a.example/"),
            ("*", "https://a.example:22/"),
            ("*", "https://a.exa\tmple/"),
        ] {
            assert!(!allowed(entry, url), "{entry} {url}");
        }
    }

    #[test]
    fn an_entry_that_is_none_is_refused() {
        for entry in ["api.*.example.com", "file:///x", "https://a@b", "", "https://", "*.*.a"] {
            assert_eq!(Rule::parse(entry), None, "{entry}");
        }
    }
}
