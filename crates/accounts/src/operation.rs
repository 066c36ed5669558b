//! The operation table, for whoever writes a client or an app: which credential, which scopes.

use portcullis_authz::row::{Area, ConnectRule};
use portcullis_authz::{Row, op};
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::mode::ModeKind;
use portcullis_model::{AccessKind, ConnectScope, ScopeSet};
use serde_json::{Value as Json, json};

use crate::wire::Paging;

const PAGE_ITEMS_DEFAULT: i64 = 100;
const PAGE_ITEMS_MAX: i64 = 1_000;

async fn list(cx: Ctx<op::ManageListOperations>, input: Input) -> Outcome<op::ManageListOperations> {
    let paging = Paging::up_to(&input, PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX)?;
    let wanted = input.query("query").unwrap_or_default().trim().to_lowercase();
    let found: Vec<&Row> = op::ROWS
        .iter()
        .copied()
        .filter(|row| row.id.to_lowercase().contains(&wanted) || row.path.to_lowercase().contains(&wanted))
        .collect();
    let total = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let values = paging.cut(found.into_iter()).into_iter().map(|row| json_of(row, cx.view().is_built(row))).collect();
    cx.done(Reply::json(paging.page(total, values)))
}

const ACCESS_KINDS: [AccessKind; 7] = [
    AccessKind::Anonymous,
    AccessKind::ApiToken,
    AccessKind::ScopedApiToken,
    AccessKind::Session,
    AccessKind::OAuth,
    AccessKind::Connect,
    AccessKind::Forge,
];

/// Kinds of credential that an operation accepts, as words.
pub(crate) fn access_words(row: &Row) -> Vec<&'static str> {
    ACCESS_KINDS.into_iter().filter(|kind| row.access.contains(*kind)).map(AccessKind::word).collect()
}

fn json_of(row: &Row, built: bool) -> Json {
    json!({
        "id": row.id,
        "method": row.method.name(),
        "path": row.path,
        "area": match row.area {
            Area::Jira => "jira",
            Area::Site => "site",
            Area::Authorization => "authorization",
            Area::Gateway => "gateway",
            Area::Management => "management",
            Area::Console => "console",
            Area::Operations => "operations",
        },
        "mode": match row.mode {
            ModeKind::Read => "read",
            ModeKind::Write => "write",
            ModeKind::Policy => "policy",
        },
        "built": built,
        "access": access_words(row),
        "scopes": {
            "classic": row.classic.as_ref().map(names),
            "granular": row.granular.as_ref().map(names),
            "connect": connect(row.connect),
        },
    })
}

fn names(set: &ScopeSet) -> Vec<&'static str> {
    set.names().collect()
}

fn connect(rule: ConnectRule) -> Option<&'static str> {
    match rule {
        ConnectRule::Inaccessible => None,
        ConnectRule::Scope(scope) => Some(match scope {
            ConnectScope::None => "NONE",
            ConnectScope::Read => "READ",
            ConnectScope::Write => "WRITE",
            ConnectScope::Delete => "DELETE",
            ConnectScope::ProjectAdmin => "PROJECT_ADMIN",
            ConnectScope::Admin => "ADMIN",
            ConnectScope::ActAsUser => "ACT_AS_USER",
            ConnectScope::AccessEmailAddresses => "ACCESS_EMAIL_ADDRESSES",
        }),
    }
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(list);
}
