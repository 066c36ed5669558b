//! What a request must look like before its operation sees it: media type, parameters, bodies that name a target, form tokens.

use http::header::{self, HeaderMap};
use portcullis_authz::{Area, Locate, Row};
use portcullis_guard::{Body, Caller};
use serde_json::Value as Json;

use crate::errors::{self, Shape};
use crate::head;
use crate::pages;
use crate::trail::Trail;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyKind {
    None,
    Json,
    Form,
    /// A form, or a JSON object of texts; either way pairs of texts.
    Parameters,
    Multipart,
    /// Bytes, whatever the type says.
    Bytes,
}

/// Whether the operation hands requests on to an app, headers and all.
pub(crate) fn relays(row: &Row) -> bool {
    row.id.starts_with("forgeWebTrigger")
}

pub(crate) fn media_type(headers: &HeaderMap) -> Option<String> {
    let text = head::text(headers, "content-type")?;
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

pub(crate) fn announces_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || head::text(headers, "content-length").is_some_and(|length| length.trim() != "0")
}

/// Which body the operation takes; 415 for another. Checked before who is asking, as Jira does.
pub(crate) fn body_kind(
    row: &Row,
    media: Option<&str>,
    announces_body: bool,
    trail: &Trail,
) -> Result<BodyKind, Shape> {
    if row.method == portcullis_authz::Method::Get {
        return Ok(BodyKind::None);
    }
    if relays(row) || row.id.starts_with("forgeUpload") {
        return Ok(BodyKind::Bytes);
    }
    let takes = match (row.area, row.id) {
        (_, "addAttachment") => BodyKind::Multipart,
        (Area::Console, _) => BodyKind::Form,
        (Area::Authorization, "oauthRegister") => BodyKind::Json,
        (Area::Authorization, _) => BodyKind::Parameters,
        _ => BodyKind::Json,
    };
    let expected = match takes {
        BodyKind::Multipart => "multipart/form-data",
        BodyKind::Bytes => "application/octet-stream",
        BodyKind::Form | BodyKind::Parameters => "application/x-www-form-urlencoded",
        BodyKind::Json | BodyKind::None => "application/json",
    };
    match media {
        None if !announces_body => Ok(BodyKind::None),
        Some("application/json") if takes == BodyKind::Parameters => Ok(takes),
        // The plugin manager's own types, which are JSON.
        Some("application/vnd.atl.plugins.install.uri+json" | "application/vnd.atl.plugins.remote.install+json")
            if row.id == "upmInstall" =>
        {
            Ok(takes)
        }
        Some(media) if media == expected => Ok(if takes == BodyKind::Parameters { BodyKind::Form } else { takes }),
        // A client that sends a type out of habit with an empty body means no body.
        Some(_) if !announces_body => Ok(BodyKind::None),
        other => {
            let named = other.unwrap_or("null");
            let detail = format!("Content-Type '{named}' is not supported.");
            let mut out = errors::problem_document(415, "Unsupported Media Type", &detail, &trail.path);
            out.headers.push(("accept", expected.to_owned()));
            Err(out)
        }
    }
}

/// `X-Atlassian-Token: no-check`; one client leaves the hyphen out.
pub(crate) fn is_no_check(headers: &HeaderMap) -> bool {
    head::text(headers, "x-atlassian-token").is_some_and(|text| matches!(text, "no-check" | "nocheck"))
}

/// Parameters are bound before permissions, so that the answer is the same for what is seen and unseen.
pub(crate) fn check_conversions(query: &[(String, String)], path: &str) -> Result<(), Shape> {
    for (name, value) in query {
        if matches!(name.as_str(), "startAt" | "maxResults") && !value.is_empty() && value.parse::<i64>().is_err() {
            let detail = format!("Failed to convert '{name}' with value: '{value}'");
            return Err(errors::problem_document(400, "Bad Request", &detail, path));
        }
    }
    Ok(())
}

/// Operations that name their target in the body need one that can be read.
pub(crate) fn check_located_body(row: &Row, body: &Body) -> Result<(), Shape> {
    let from_body = matches!(
        row.locate,
        Locate::BodyCreateIssue
            | Locate::BodyCreateIssues
            | Locate::BodyIssueLink
            | Locate::BodyVersion
            | Locate::BodyComponent
    );
    match body {
        Body::Json(Json::Object(_)) => Ok(()),
        Body::Empty if from_body => Err(errors::unreadable("No content to map to Object due to end of input")),
        _ if from_body => {
            Err(errors::unreadable("Invalid request payload. Refer to the REST API documentation and try again."))
        }
        _ => Ok(()),
    }
}

/// A form of ours carries the token that ties it to the session and to what it does.
pub(crate) fn check_form_token(caller: &Caller, row: &Row, body: &Body) -> Result<(), Shape> {
    let presented = match body {
        Body::Form(fields) => {
            fields.iter().find(|(name, _)| name == "form_token").map_or("", |(_, value)| value.as_str())
        }
        Body::Empty | Body::Json(_) | Body::Multipart(_) | Body::Bytes(_) => "",
    };
    if caller.session().is_none() || caller.form_token_matches(row.id, presented) {
        return Ok(());
    }
    let page =
        portcullis_console::error_page(403, "This form is out of date", "Go back, reload the page and try again.", "");
    Err(Shape { status: 403, content_type: "text/html;charset=UTF-8", text: page, headers: pages::page_headers() })
}
