//! Answers on the wire: bodies, ranges, and the headers that every answer carries.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http_body_util::Full;
use portcullis_guard::{Reply, ReplyBody};
use portcullis_model::Surface;

use crate::errors::{self, Shape};
use crate::pages::page_headers;
use crate::trail::Trail;

/// The answer.
pub type Response = http::Response<Full<Bytes>>;

pub(crate) fn of_reply(reply: Reply, range: Option<&str>) -> Response {
    let mut headers: Vec<(&'static str, String)> = reply.headers;
    let (content_type, content): (String, Bytes) = match reply.body {
        ReplyBody::Empty => (String::new(), Bytes::new()),
        ReplyBody::Json(json) => (errors::JSON.to_owned(), serde_json::to_vec(&json).unwrap_or_default().into()),
        ReplyBody::Html(page) => {
            // A page that needs other rules (consent leads to the app's own address) brings them along.
            let own: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
            let usual: Vec<_> = page_headers().into_iter().filter(|(name, _)| !own.contains(name)).collect();
            headers.extend(usual);
            ("text/html;charset=UTF-8".to_owned(), page.into())
        }
        ReplyBody::Text(content_type, text) => (content_type.to_owned(), text.into()),
        ReplyBody::Relayed { content_type, headers: theirs, text } => {
            let mut response = build(reply.status, &content_type, text.into(), headers);
            for (name, value) in theirs {
                if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                    // What this server says of an answer stands.
                    response.headers_mut().entry(name).or_insert(value);
                }
            }
            return response;
        }
        ReplyBody::Bytes { content_type, file_name, content } => {
            let name = percent_encoding::utf8_percent_encode(&file_name, percent_encoding::NON_ALPHANUMERIC);
            headers.push(("content-disposition", format!("attachment; filename*=UTF-8''{name}")));
            headers.push(("content-security-policy", "sandbox; default-src 'none'".to_owned()));
            headers.push(("accept-ranges", "bytes".to_owned()));
            return ranged(reply.status, content_type, content.into(), headers, range);
        }
    };
    build(reply.status, &content_type, content, headers)
}

/// The headers that every answer carries.
pub(crate) fn put_headers(response: &mut Response, trail: &Trail, emulator: bool, tls: bool) {
    let out = response.headers_mut();
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.insert(HeaderName::from_static(name), value);
        }
    };
    put("atl-traceid", &trail.request_id);
    put("atl-request-id", &as_uuid(&trail.request_id));
    put("x-arequestid", &trail.request_id);
    put("x-request-id", &trail.request_id);
    put("x-content-type-options", "nosniff");
    put("x-xss-protection", "1; mode=block");
    put("timing-allow-origin", "*");
    put("vary", "Accept-Encoding");
    if let Some(account_id) = &trail.account_id {
        put("x-aaccountid", account_id);
    }
    if trail.failed_login {
        put("x-seraph-loginreason", "AUTHENTICATED_FAILED");
    }
    if let Some(decision) = trail.decision.as_deref().filter(|decision| !decision.is_empty()) {
        put("portcullis-decision", decision);
    }
    if let Some((left, limit)) = trail.remaining {
        put("x-ratelimit-limit", &limit.to_string());
        put("x-ratelimit-remaining", &left.to_string());
        put("ratelimit-policy", &format!("\"jira-burst-based\";q={limit};w=1"));
        if left.saturating_mul(5) < limit {
            put("x-ratelimit-nearlimit", "true");
        }
    }
    if trail.surface == Surface::Gateway {
        put("access-control-allow-origin", "*");
        put("access-control-expose-headers", "*");
    }
    if let Some(origin) = &trail.readable_by {
        put("access-control-allow-origin", origin);
        put("vary", "Accept-Encoding, Origin");
    }
    if tls {
        put("strict-transport-security", "max-age=63072000");
    }
    if emulator {
        put("portcullis-emulator", "on");
    }
    if !out.contains_key(header::CACHE_CONTROL) {
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, no-transform"));
    }
}

pub(crate) fn shaped(shape: Shape) -> Response {
    build(shape.status, shape.content_type, shape.text.into(), shape.headers)
}

fn build(status: u16, content_type: &str, content: Bytes, headers: Vec<(&'static str, String)>) -> Response {
    let mut response = http::Response::new(Full::new(content));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let out = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(content_type)
        && !content_type.is_empty()
    {
        out.insert(header::CONTENT_TYPE, value);
    }
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            out.append(HeaderName::from_static(name), value);
        }
    }
    response
}

/// One range of a download; anything else that is asked for gets the whole.
fn ranged(
    status: u16,
    content_type: String,
    content: Bytes,
    mut headers: Vec<(&'static str, String)>,
    range: Option<&str>,
) -> Response {
    let length = content.len();
    let Some(spec) = range.and_then(|range| range.strip_prefix("bytes=")).filter(|spec| !spec.contains(',')) else {
        return build(status, &content_type, content, headers);
    };
    let bounds = spec.split_once('-').and_then(|(from, to)| {
        let (from, to) = match (from.trim(), to.trim()) {
            ("", last) => (length.saturating_sub(last.parse().ok()?), length.checked_sub(1)?),
            (from, "") => (from.parse().ok()?, length.checked_sub(1)?),
            (from, to) => (from.parse().ok()?, to.parse::<usize>().ok()?.min(length.checked_sub(1)?)),
        };
        (from <= to && to < length).then_some((from, to))
    });
    match bounds {
        Some((from, to)) => {
            headers.push(("content-range", format!("bytes {from}-{to}/{length}")));
            build(206, &content_type, content.slice(from..=to), headers)
        }
        None => {
            headers.push(("content-range", format!("bytes */{length}")));
            build(416, &content_type, Bytes::new(), headers)
        }
    }
}

/// 32 hexadecimal digits written as a UUID.
fn as_uuid(id: &str) -> String {
    let part = |from: usize, to: usize| id.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

pub(crate) fn rate_limited(limit: u32, retry_after_s: u32) -> Shape {
    let mut out = errors::messages(429, &["Rate limit exceeded".to_owned()], &[]);
    out.headers.push(("retry-after", retry_after_s.to_string()));
    out.headers.push(("x-ratelimit-limit", limit.to_string()));
    out.headers.push(("x-ratelimit-remaining", "0".to_owned()));
    out.headers.push(("ratelimit-reason", "jira-burst-based".to_owned()));
    out
}
