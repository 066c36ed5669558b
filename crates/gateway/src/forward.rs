//! Requests of code that this server runs itself, and of its own translations: they come without a connection, from a caller who is
//! proven already, and are decided and answered like everybody's.

use bytes::Bytes;
use portcullis_authz::{Area, Row};
use portcullis_guard::{Body, Caller, Input};
use portcullis_model::Surface;

use crate::accept::{self, BodyKind};
use crate::body::{self, BadBody};
use crate::dispatch::Gateway;
use crate::errors::{self, Shape};
use crate::head;
use crate::response::{self, Response};
use crate::routes::{Found, normalise};
use crate::trail::Trail;

/// Which operations a forwarded request may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaches {
    /// Jira's.
    Jira,
    /// Storage of Forge apps.
    ForgeStorage,
    /// The management API.
    Management,
}

impl Reaches {
    fn contains(self, row: &Row) -> bool {
        match self {
            Reaches::Jira => row.area == Area::Jira,
            Reaches::ForgeStorage => row.area == Area::Gateway && row.path.starts_with("/forge/storage/"),
            Reaches::Management => row.area == Area::Management,
        }
    }
}

/// A request without a connection.
#[derive(Debug)]
pub struct Forwarded {
    /// Who asks.
    pub caller: Caller,
    /// What may be asked for.
    pub reaches: Reaches,
    /// The method.
    pub method: http::Method,
    /// Path and query, as the code gave it: normalised and matched to an operation here.
    pub path_and_query: String,
    /// Headers; only those about the body are looked at.
    pub headers: http::HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Gateway {
    /// Answers a forwarded request.
    pub async fn forward(&self, request: Forwarded) -> Response {
        let Forwarded { caller, reaches, method, path_and_query, headers, body } = request;
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let surface = if reaches == Reaches::Management { Surface::Management } else { Surface::Gateway };
        let mut trail = Trail {
            request_id: caller.request_id().to_owned(),
            method,
            path: path.to_owned(),
            accept: Some("application/json".to_owned()),
            operation: "none",
            access: caller.access().word(),
            account_id: caller.account_id().map(str::to_owned),
            failed_login: false,
            decision: None,
            reason: "",
            surface,
            query: Some(query.to_owned()),
            readable_by: None,
            remaining: None,
        };
        let answered = self.answer_forwarded(caller, reaches, query, &headers, body, &mut trail);
        let mut response = match tokio::time::timeout(self.config().request_timeout, answered).await {
            Ok(Ok(reply)) => response::of_reply(reply, None),
            Ok(Err(shape)) => response::shaped(shape),
            Err(_) => {
                let words = "The request took too long and was stopped.".to_owned();
                response::shaped(errors::messages(503, &[words], &[]))
            }
        };
        response::put_headers(&mut response, &trail, self.config().emulator.is_some(), false);
        response
    }

    async fn answer_forwarded(
        &self,
        caller: Caller,
        reaches: Reaches,
        query: &str,
        headers: &http::HeaderMap,
        body: Bytes,
        trail: &mut Trail,
    ) -> Result<portcullis_guard::Reply, Shape> {
        let not_here = |path: &str| errors::problem_document(404, "Not Found", "No endpoint there.", path);
        let Some(path) = normalise(&trail.path) else {
            let detail = "The request URI is improperly formed.";
            return Err(errors::problem_document(400, "Bad Request", detail, &trail.path));
        };
        let (row, params, version) = match self.find(&trail.method, &path) {
            Found::Row(row, params, version) if reaches.contains(row) => (row, params, version),
            Found::OtherMethods(_) => {
                let detail = format!("Method '{}' is not supported.", trail.method);
                return Err(errors::problem_document(405, "Method Not Allowed", &detail, &path));
            }
            Found::Row(..) | Found::Nothing => return Err(not_here(&path)),
        };
        trail.operation = row.id;
        let query = head::pairs(query);
        if query.iter().any(|(name, value)| name.contains('\0') || value.contains('\0')) {
            return Err(errors::problem_document(400, "Bad Request", body::NUL, &path));
        }
        self.rate(row, &caller, trail)?;
        let kind = accept::body_kind(row, accept::media_type(headers).as_deref(), !body.is_empty(), trail)?;
        if body.len() > self.config().body_bytes_max {
            let words = format!("The body is larger than {} bytes.", self.config().body_bytes_max);
            return Err(errors::messages(413, &[words], &[]));
        }
        let parsed = match kind {
            BodyKind::None => Ok(Body::Empty),
            BodyKind::Json if body.is_empty() => Ok(Body::Empty),
            BodyKind::Json => body::json(&body),
            BodyKind::Multipart => body::multipart(body, head::text(headers, "content-type").unwrap_or_default()).await,
            BodyKind::Form | BodyKind::Parameters | BodyKind::Bytes => return Err(not_here(&path)),
        };
        let body = parsed.map_err(|bad| match bad {
            BadBody::Unreadable(words) => errors::unreadable(&words),
            BadBody::TooLarge | BadBody::Interrupted | BadBody::NoRoom => {
                errors::messages(413, &["The body is too large.".to_owned()], &[])
            }
        })?;
        let base_url = match reaches {
            Reaches::Management => self.config().base_url.clone(),
            Reaches::Jira | Reaches::ForgeStorage => {
                let (_, cloud_id) = self.guard().site();
                self.guard().addresses().gateway(&cloud_id)
            }
        };
        self.carry_out(row, caller, Input::new(params, query, body, version, base_url), trail).await
    }
}
