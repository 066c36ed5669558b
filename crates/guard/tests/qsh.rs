//! The query string hash against vectors that npm `atlassian-jwt` computed (`data/qsh.json`), what Java and PyPI make of the same requests,
//! and hashes that Jira itself sent.

use portcullis_guard::qsh::{SortedBy, canonical, hash, matches};
use serde_json::Value as Json;

/// Made by a client that takes the request for another one: a dot segment resolved, a path cut off. The request that arrives is then
/// another too, or the token cannot hold.
const NOT_THE_REQUEST: [&str; 4] =
    ["path-dots", "path-colon-first-segment", "double-leading-slash", "double-trailing-slash"];

#[test]
fn vectors_of_the_vendor_agree() {
    let data: Json = serde_json::from_str(include_str!("data/qsh.json")).unwrap();
    let vectors = data["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 64);
    for vector in vectors {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        let (id, method) = (text("id"), text("method"));
        let (path, query) = wire(text("url"));
        let base = text("base_url").splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
        let base = base.trim_end_matches('/');
        // There the vendor's library cuts a base path off in the middle of a segment.
        if id != "base-url-naive-prefix" {
            assert!(matches(text("qsh"), method, &path, &query, base), "{id}");
        }
        if base.is_empty() {
            let own = canonical(method, &path, &query, SortedBy::Decoded);
            assert_eq!((own.as_str(), hash(&own).as_str()), (text("canonical"), text("qsh")), "{id}");
        }
        for client in ["java", "pypi", "jira_js"] {
            if let Some(qsh) = vector["others"][client].as_str()
                && !NOT_THE_REQUEST.contains(&id)
            {
                assert!(matches(qsh, method, &path, &query, base), "{id} as {client} makes it");
            }
        }
    }
    for observed in data["sent_by_jira"].as_array().unwrap() {
        let (url, qsh) = observed["url"].as_str().zip(observed["qsh"].as_str()).unwrap();
        let (path, query) = wire(url);
        assert_eq!(hash(&canonical("GET", &path, &query, SortedBy::Decoded)), qsh);
    }
}

/// Path and query as they would be on the wire.
fn wire(url: &str) -> (String, String) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| {
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        rest.get(at..).unwrap_or_default()
    });
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (if path.is_empty() { "/".to_owned() } else { path.to_owned() }, query.to_owned())
}
