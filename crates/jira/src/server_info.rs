//! `GET /serverInfo`: what clients read first.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use serde_json::json;

use crate::wire::moment;

/// Clients tell Cloud from Server by these.
const VERSION: &str = "1001.0.0-SNAPSHOT";
const BUILD_NUMBER: i64 = 100_286;
const BUILD_DATE_MS: i64 = 1_763_942_400_000;

async fn get(cx: Ctx<op::GetServerInfo>, input: Input) -> Outcome<op::GetServerInfo> {
    let title = cx.view().with(|snapshot| snapshot.settings.site_name.clone());
    let now = moment(cx.now().0);
    cx.done(Reply::json(json!({
        "baseUrl": input.base_url(),
        "displayUrl": input.base_url(),
        "displayUrlServicedeskHelpCenter": input.base_url(),
        "version": VERSION,
        "versionNumbers": [1001, 0, 0],
        "deploymentType": "Cloud",
        "buildNumber": BUILD_NUMBER,
        "buildDate": moment(BUILD_DATE_MS),
        "serverTime": now,
        "scmInfo": env!("CARGO_PKG_VERSION"),
        "serverTitle": title,
        "defaultLocale": {"locale": "en_US"},
        "serverTimeZone": "UTC",
    })))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
}
