//! The query string hash of Connect's JWTs: what ties a token to one request.
//!
//! `hex(sha256(METHOD & path & query))`, the query decoded, sorted and encoded again. Implementations differ in two places, and
//! real clients of both kinds exist: whether names are sorted as they are or as they are encoded, and whether a base path belongs
//! to the path. Every form here is a function of the same bytes on the wire, so taking any of them opens nothing.

use std::borrow::Cow;
use std::cmp::Ordering;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, percent_decode_str, utf8_percent_encode};
use portcullis_crypto::{constant_time_eq, hex, sha256};

/// Unreserved characters (RFC 3986, section 2.3) stay; all else becomes `%XX` of its UTF-8.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// By what names are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortedBy {
    /// What they mean, in UTF-16 code units (npm `atlassian-jwt`).
    Decoded,
    /// What they look like on the wire (Java, PyPI).
    Encoded,
}

/// The canonical request: what is hashed. `path` and `query` as on the wire, the query without its question mark.
pub fn canonical(method: &str, path: &str, query: &str, by: SortedBy) -> String {
    let path = if path.contains('&') { Cow::Owned(path.replace('&', "%26")) } else { Cow::Borrowed(path) };
    let path = match path.strip_suffix('/') {
        Some("") => "/",
        Some(shorter) => shorter,
        None => &path,
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    });
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs.filter(|(name, _)| name != "jwt").collect();
    pairs.sort_by(|(a, value), (b, other)| {
        let names = match by {
            SortedBy::Decoded => by_code_units(a, b),
            SortedBy::Encoded => encode(a).to_string().cmp(&encode(b).to_string()),
        };
        names.then_with(|| by_code_units(value, other))
    });
    let mut out = String::with_capacity(method.len() + path.len() + query.len() + 16);
    out.push_str(&method.to_ascii_uppercase());
    out.push('&');
    out.push_str(slash);
    out.push_str(path);
    out.push('&');
    let mut before: Option<&str> = None;
    for (name, value) in &pairs {
        if before == Some(name) {
            out.push(',');
        } else {
            if before.is_some() {
                out.push('&');
            }
            out.extend(encode(name));
            out.push('=');
        }
        out.extend(encode(value));
        before = Some(name);
    }
    out
}

/// The order of UTF-16 code units, which for ASCII is that of bytes.
fn by_code_units(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// The hash of a canonical request, in lower-case hex.
pub fn hash(canonical: &str) -> String {
    hex(&sha256(canonical.as_bytes()))
}

/// Whether `qsh` is that of this request in any accepted form. `base` is the path at which the site begins, without its last slash.
pub fn matches(qsh: &str, method: &str, path: &str, query: &str, base: &str) -> bool {
    let inner = path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    // One name has one order.
    let orders: &[SortedBy] =
        if query.contains('&') { &[SortedBy::Decoded, SortedBy::Encoded] } else { &[SortedBy::Decoded] };
    let fits = |path: &str| {
        orders.iter().any(|by| constant_time_eq(hash(&canonical(method, path, query, *by)).as_bytes(), qsh.as_bytes()))
    };
    // Some clients keep a slash at the end of the path, which the others drop.
    let keeps_slash = || path.len() > 1 && path.ends_with('/') && fits(&format!("{path}/"));
    fits(inner) || (inner != path && fits(path)) || keeps_slash()
}

/// Form decoding: `+` is a blank; what is no escape stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['+', '%']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn encode(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::{SortedBy, canonical, hash, matches};

    #[test]
    fn the_documented_example() {
        let query = "zee_last=param&repeated=parameter 1&first=param&repeated=parameter 2";
        let text = canonical("get", "/path/to/service", query, SortedBy::Decoded);
        assert_eq!(text, "GET&/path/to/service&first=param&repeated=parameter%201,parameter%202&zee_last=param");
    }

    #[test]
    fn another_request_does_not_match() {
        let qsh = hash(&canonical("GET", "/rest/api/3/myself", "expand=groups", SortedBy::Decoded));
        assert!(matches(&qsh, "GET", "/rest/api/3/myself", "expand=groups", ""));
        assert!(matches(&qsh, "GET", "/rest/api/3/myself", "expand=groups&jwt=x", ""));
        assert!(matches(&qsh, "GET", "/jira/rest/api/3/myself", "expand=groups", "/jira"));
        for (method, path, query) in [
            ("POST", "/rest/api/3/myself", "expand=groups"),
            ("GET", "/rest/api/3/myself", ""),
            ("GET", "/rest/api/3/myself", "expand=groups&a=b"),
            ("GET", "/rest/api/3/myself", "expand=groups&JWT=x"),
            ("GET", "/rest/api/3/project", "expand=groups"),
            ("GET", "/rest/api/3/%6dyself", "expand=groups"),
        ] {
            assert!(!matches(&qsh, method, path, query, ""), "{method} {path} {query}");
        }
        assert!(!matches("context-qsh", "GET", "/rest/api/3/myself", "", ""));
        assert!(!matches("", "GET", "/", "", ""));
    }
}
