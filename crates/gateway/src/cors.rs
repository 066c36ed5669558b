//! Which pages of other origins may call us: the gateway with a token of their own, the authorization server for public clients.
//! Cookies never travel along, and the pages of people (sign-in, consent) are for nobody else's scripts.

use http::header::HeaderMap;
use portcullis_authz::{Area, Method, Row};
use portcullis_guard::{Guard, Reply};
use portcullis_model::Surface;

use crate::head;
use crate::routes::{Found, Routes};

/// The origin whose pages may read an answer of the authorization server: any for public documents, else a registered one of a
/// public client.
pub(crate) fn readable_by(guard: &Guard, row: &Row, headers: &HeaderMap) -> Option<String> {
    let origin = head::text(headers, "origin")?;
    if row.method == Method::Get {
        return Some("*".to_owned());
    }
    guard.is_origin_of_public_client(origin).then(|| origin.to_owned())
}

/// The answer to a preflight (Fetch, section 3.2.2); `None` where no page of another origin may call.
pub(crate) fn preflight(
    guard: &Guard,
    routes: &Routes,
    surface: Surface,
    path: &str,
    headers: &HeaderMap,
) -> Option<Reply> {
    let allowed = |origin: &str| {
        Reply::no_content()
            .with_header("access-control-allow-origin", origin)
            .with_header("access-control-allow-methods", "GET, POST, PUT, DELETE")
            .with_header("access-control-allow-headers", "Authorization, Content-Type, DPoP, X-Atlassian-Token")
            .with_header("access-control-max-age", "3600")
    };
    if surface == Surface::Gateway {
        return Some(allowed("*"));
    }
    let method = head::text(headers, "access-control-request-method")?.parse().ok()?;
    let Found::Row(row, ..) = routes.find(&method, path) else { return None };
    match row.area {
        Area::Gateway => Some(allowed("*")),
        Area::Authorization => readable_by(guard, row, headers).map(|origin| allowed(&origin)),
        Area::Jira | Area::Site | Area::Management | Area::Console | Area::Operations => None,
    }
}
