//! The head of a request: single-valued headers, cookies, query.

use http::HeaderMap;

/// The one value of a header; `Err` when it stands twice or is not text.
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// A header's text, or nothing.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of a cookie; `Err` when there are two with different values: a neighbouring site may have set one of them, and which
/// comes first is for whoever set it to choose.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| {
            let (key, value) = pair.trim().split_once('=')?;
            (key == name).then_some(value)
        });
    let first = values.next();
    if values.any(|other| Some(other) != first) { Err(()) } else { Ok(first) }
}

/// Pairs of `application/x-www-form-urlencoded` text: a query or a posted form. A `+` is a space.
/// Headers that say who somebody is to us, or how two machines talk: nobody else's business.
const NOT_RELAYED: [&str; 8] =
    ["cookie", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "dpop"];

/// What is handed on of a request.
pub(crate) fn relayed(method: &http::Method, headers: &HeaderMap) -> portcullis_guard::Relayed {
    let ours = |text: &str| {
        // One that is none of ours is the app's: web triggers are proven by whatever the app agreed on.
        portcullis_guard::authn::is_ours(text)
    };
    let handed_on = headers.iter().filter_map(|(name, value)| {
        let text = value.to_str().ok()?;
        let kept = match name.as_str() {
            "authorization" => !ours(text),
            name => !NOT_RELAYED.contains(&name),
        };
        kept.then(|| (name.as_str().to_owned(), text.to_owned()))
    });
    portcullis_guard::Relayed { method: method.as_str().to_owned(), headers: handed_on.collect() }
}

pub(crate) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unplus(key), unplus(value))
        })
        .collect()
}

fn unplus(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
