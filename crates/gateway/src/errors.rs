//! The shapes of errors. The only place that knows how a refusal or a problem looks on the wire.

use portcullis_authz::{Area, Locate, Row};
use portcullis_guard::{Refusal, RefusalKind};
use portcullis_model::{Problem, ProblemKind, Surface};
use serde_json::{Map, Value as Json, json};

/// Status, type and text of an error, with extra headers.
pub(crate) struct Shape {
    pub status: u16,
    pub content_type: &'static str,
    pub text: String,
    pub headers: Vec<(&'static str, String)>,
}

pub(crate) const JSON: &str = "application/json;charset=UTF-8";
const PROBLEM: &str = "application/problem+json;charset=UTF-8";
/// What Jira answers to a caller without a usable credential, 53 bytes.
const GATE: &str = "Client must be authenticated to access this resource.";

fn shape(status: u16, content_type: &'static str, text: String) -> Shape {
    Shape { status, content_type, text, headers: Vec::new() }
}

/// `{"errorMessages": [...], "errors": {...}}`.
pub(crate) fn messages(status: u16, messages: &[String], fields: &[(String, String)]) -> Shape {
    let errors: Map<String, Json> = fields.iter().map(|(field, text)| (field.clone(), text.clone().into())).collect();
    shape(status, JSON, json!({"errorMessages": messages, "errors": errors}).to_string())
}

/// A body that could not be read: `errorMessages` alone.
pub(crate) fn unreadable(message: &str) -> Shape {
    shape(400, JSON, json!({"errorMessages": [message]}).to_string())
}

/// RFC 9457 as Jira's framework writes it.
pub(crate) fn problem_document(status: u16, title: &str, detail: &str, instance: &str) -> Shape {
    let body = json!({"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": instance});
    shape(status, PROBLEM, body.to_string())
}

/// The gate's 401; its type follows what the caller accepts.
pub(crate) fn gate(accept: Option<&str>, base_url: &str) -> Shape {
    let content_type = match accept {
        None => "text/plain",
        Some(accept) if accept.contains("json") => "application/json",
        Some(_) => "text/html",
    };
    let realm = percent_encoding::utf8_percent_encode(base_url, percent_encoding::NON_ALPHANUMERIC);
    let mut out = shape(401, content_type, GATE.to_owned());
    out.headers.push(("www-authenticate", format!("OAuth realm=\"{realm}\"")));
    out
}

/// What a refusal looks like, by where the request arrived.
pub(crate) fn refusal(
    refusal: &Refusal,
    surface: Surface,
    accept: Option<&str>,
    base_url: &str,
    strict: bool,
) -> Shape {
    let row = refusal.row;
    match refusal.kind {
        RefusalKind::TooMany { retry_after_s } => {
            let mut out = messages(429, &["Too many failed attempts. Wait before you try again.".to_owned()], &[]);
            out.headers.push(("retry-after", retry_after_s.to_string()));
            out
        }
        RefusalKind::Unavailable => {
            messages(503, &["The server cannot decide at the moment. Try again.".to_owned()], &[])
        }
        RefusalKind::NotFresh => {
            let words = "You signed in more than 15 minutes ago, and this asks for a fresh proof. POST your password as confirm_password to /confirm, or sign in again.";
            messages(403, &[words.to_owned()], &[])
        }
        RefusalKind::NoSecondFactor => {
            let words = "This site asks you for a second factor. Add one at /account/second-factor.";
            messages(403, &[words.to_owned()], &[])
        }
        RefusalKind::CrossSite => shape(403, "text/plain", "XSRF check failed".to_owned()),
        RefusalKind::Unauthenticated => unauthenticated(refusal, surface, accept, base_url, strict),
        RefusalKind::WrongCredential if surface == Surface::Gateway => gateway(401, "Unauthorized"),
        RefusalKind::WrongCredential if refusal.authenticated => {
            messages(403, &["This operation does not accept this kind of credential.".to_owned()], &[])
        }
        RefusalKind::WrongCredential => {
            shape(403, "application/json", json!({"error": "Failed to parse Connect Session Auth Token"}).to_string())
        }
        RefusalKind::Scope if surface != Surface::Gateway => {
            messages(403, &["Request not in an authorized API scope".to_owned()], &[])
        }
        RefusalKind::Scope => gateway(401, "Unauthorized; scope does not match"),
        RefusalKind::Forbidden => forbidden(refusal, row),
        RefusalKind::Hidden => hidden(refusal, row),
    }
}

/// What the gateway answers an app about a site that it has no grant for.
pub(crate) fn not_installed() -> Shape {
    gateway(403, "The app is not installed on this instance")
}

/// `WWW-Authenticate` of the gateway (RFC 6750, section 3).
pub(crate) fn challenge(refusal: &Refusal, metadata: &str) -> String {
    let scheme = "Bearer realm=\"OAuth\"";
    match refusal.kind {
        RefusalKind::Scope => {
            let scopes = refusal.missing_scopes.join(" ");
            let words = "The token lacks scopes that this operation needs.";
            format!(
                "{scheme}, error=\"insufficient_scope\", error_description=\"{words}\", scope=\"{scopes}\", resource_metadata=\"{metadata}\""
            )
        }
        _ if refusal.failed_login => {
            let words = "The access token is malformed, has expired or was revoked.";
            format!(
                "{scheme}, error=\"invalid_token\", error_description=\"{words}\", resource_metadata=\"{metadata}\""
            )
        }
        _ => format!("{scheme}, resource_metadata=\"{metadata}\""),
    }
}

/// An error in the words of an area: the authorization server speaks OAuth 2.0 (RFC 6749, section 5.2).
pub(crate) fn for_area(area: Area, shape: Shape) -> Shape {
    if area != Area::Authorization || shape.content_type.starts_with("text/html") {
        return shape;
    }
    let body: Json = serde_json::from_str(&shape.text).unwrap_or_default();
    let words = body.pointer("/errorMessages/0").or(body.get("detail")).and_then(Json::as_str);
    let (status, error) = match shape.status {
        429 => (429, "temporarily_unavailable"),
        500 => (500, "server_error"),
        501 => (501, "unsupported_grant_type"),
        503 => (503, "temporarily_unavailable"),
        404 => (404, "not_found"),
        413 => (413, "invalid_request"),
        status if status >= 500 => (status, "server_error"),
        _ => (400, "invalid_request"),
    };
    let words = words.unwrap_or("The request cannot be answered.");
    let text = json!({"error": error, "error_description": words}).to_string();
    Shape { status, content_type: JSON, text, headers: shape.headers }
}

fn gateway(code: u16, message: &str) -> Shape {
    shape(code, JSON, json!({"code": code, "message": message}).to_string())
}

fn unauthenticated(refusal: &Refusal, surface: Surface, accept: Option<&str>, base_url: &str, strict: bool) -> Shape {
    if surface == Surface::Gateway {
        return gateway(401, "Unauthorized");
    }
    if matches!(refusal.row.area, Area::Management) || (strict && refusal.failed_login) {
        let words = if refusal.failed_login {
            "The e-mail or the API token is wrong, or the token has expired or was revoked."
        } else {
            "Authentication is required: send an e-mail and an API token with Basic authentication, or sign in."
        };
        let mut out = messages(401, &[words.to_owned()], &[]);
        out.headers.push(("www-authenticate", "Basic realm=\"Portcullis\"".to_owned()));
        return out;
    }
    gate(accept, base_url)
}

fn forbidden(refusal: &Refusal, row: &Row) -> Shape {
    if !refusal.authenticated {
        let words = "You are not authenticated. Authentication required to perform this operation.";
        return messages(401, &[words.to_owned()], &[]);
    }
    if matches!(row.locate, Locate::BodyCreateIssue | Locate::BodyCreateIssues) {
        let words = "You do not have permission to create issues in this project.";
        return messages(400, &[words.to_owned()], &[]);
    }
    let words = match (refusal.missing_permissions.as_slice(), row.locate) {
        ([], _) => "You do not have permission to perform this operation.".to_owned(),
        (missing, Locate::Project(_) | Locate::ProjectUpdate(_) | Locate::Version(_) | Locate::Component(_)) => {
            format!("You cannot edit the configuration of this project. Permission needed: {}.", missing.join(" or "))
        }
        (missing, _) => {
            format!(
                "You do not have permission to perform this operation. Permission needed: {}.",
                missing.join(" or ")
            )
        }
    };
    messages(row.deny.unwrap_or(403), &[words], &[])
}

/// Absence and hiding are one answer.
fn hidden(refusal: &Refusal, row: &Row) -> Shape {
    const ISSUE: &str = "Issue does not exist or you do not have permission to see it.";
    let name = &refusal.target_name;
    let words = match row.locate {
        Locate::BodyCreateIssue | Locate::BodyCreateIssues => {
            return messages(400, &[], &[("project".to_owned(), "valid project is required".to_owned())]);
        }
        Locate::Issue(_) | Locate::IssueAndUser(_) | Locate::BodyIssueLink => ISSUE.to_owned(),
        Locate::OnIssue(..) if !refusal.issue_seen => ISSUE.to_owned(),
        Locate::OnIssue(_, portcullis_authz::Thing::Comment, _) | Locate::CommentById(_) => {
            "Can not find a comment with this id, or you do not have permission to see it.".to_owned()
        }
        Locate::OnIssue(..) => {
            "Cannot find a worklog with this id, or you do not have permission to see it.".to_owned()
        }
        Locate::Project(_)
        | Locate::ProjectUpdate(_)
        | Locate::BodyVersion
        | Locate::BodyComponent
        | Locate::QueryProject => no_project(name),
        Locate::Attachment(_) => format!("The attachment with id '{name}' does not exist"),
        Locate::Version(_) => format!("Could not find version for id '{name}'"),
        Locate::Component(_) => format!("The component with id {name} does not exist."),
        Locate::IssueLink(_) => {
            "No issue link with the given id exists, or you do not have permission to see it.".to_owned()
        }
        Locate::Filter(_) => {
            let words = "The selected filter is not available to you, perhaps it has been deleted or had its permissions changed.";
            return messages(row.deny.unwrap_or(404), &[words.to_owned()], &[]);
        }
        Locate::Nothing | Locate::NotLocated | Locate::User | Locate::UsedEverywhere => {
            "The requested object does not exist, or you do not have permission to see it.".to_owned()
        }
    };
    messages(404, &[words], &[])
}

/// Jira's words for a project that is not there.
fn no_project(name: &str) -> String {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("No project could be found with id '{name}'.")
    } else {
        format!("No project could be found with key '{name}'.")
    }
}

/// What a problem looks like.
pub(crate) fn problem(problem: &Problem, path: &str, request_id: &str) -> Shape {
    let status = problem.status.unwrap_or(match problem.kind {
        ProblemKind::Invalid => 400,
        ProblemKind::NotFound => 404,
        ProblemKind::Forbidden => 403,
        ProblemKind::Conflict => 409,
        ProblemKind::Gone => 410,
        ProblemKind::TooLarge => 413,
        ProblemKind::TooMany => 429,
        ProblemKind::NotImplemented => 501,
        ProblemKind::Unavailable => 503,
        ProblemKind::Bug => 500,
    });
    if let [only] = problem.messages.as_slice()
        && problem.fields.is_empty()
        && status == 400
    {
        if only.starts_with("Failed to convert '") {
            return problem_document(400, "Bad Request", only, path);
        }
        if only.starts_with("No content to map") || only.starts_with("Invalid request payload") {
            return unreadable(only);
        }
    }
    let mut out = match problem.kind {
        ProblemKind::Bug => messages(
            status,
            &[format!("Internal server error. Tell the administrator this request id: {request_id}")],
            &[],
        ),
        ProblemKind::Unavailable => messages(status, &["The server is busy. Try again in a moment.".to_owned()], &[]),
        _ => messages(status, &problem.messages, &problem.fields),
    };
    if status == 503 || status == 429 {
        out.headers.push(("retry-after", "1".to_owned()));
    }
    out
}
