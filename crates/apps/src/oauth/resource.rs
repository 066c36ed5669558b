//! What a token leads to: the sites it works at, and whom it acts for.

use portcullis_authz::op;
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use serde_json::{Value as Json, json};

/// `GET /oauth/token/accessible-resources`: exactly what the token can use.
async fn accessible(cx: Ctx<op::GatewayAccessibleResources>, _: Input) -> Outcome<op::GatewayAccessibleResources> {
    let view = cx.view();
    let (name, cloud_id) =
        view.with(|snapshot| (snapshot.settings.site_name.clone(), snapshot.settings.cloud_id.clone()));
    let scopes = view.caller().scopes().unwrap_or_default();
    // Protocol scopes and those of other products are none of the site's.
    let of_site: Vec<&str> =
        scopes.names().filter(|name| name.contains("jira") || name.contains("servicedesk")).collect();
    let site = &view.addresses().site;
    let mut sites: Vec<Json> = Vec::new();
    if !of_site.is_empty() {
        sites.push(json!({
            "id": cloud_id,
            "name": name,
            "url": site,
            "scopes": of_site,
            "avatarUrl": format!("{site}/static/portcullis.svg"),
        }));
    }
    cx.done(Reply::json(Json::Array(sites)))
}

/// `GET /me`, as Atlassian's User Identity API answers it.
async fn me(mut cx: Ctx<op::GatewayMe>, _: Input) -> Outcome<op::GatewayMe> {
    let user = cx.user()?;
    let sql = "SELECT account_id, kind, email, display_name, time_zone, locale, active FROM account_user WHERE id = $1";
    let row = cx.tx().query_one(sql, &[user.0.into()]).await?;
    let account_type = if row.get::<String>("kind")? == "person" { "atlassian" } else { "app" };
    let name: String = row.get("display_name")?;
    let json = json!({
        "account_type": account_type,
        "account_id": row.get::<String>("account_id")?,
        "email": row.get::<Option<String>>("email")?,
        "name": name,
        "picture": format!("{}/static/portcullis.svg", cx.view().addresses().site),
        "account_status": if row.get::<bool>("active")? { "active" } else { "inactive" },
        "nickname": name,
        "zoneinfo": row.get::<String>("time_zone")?,
        "locale": row.get::<String>("locale")?.replace('_', "-"),
        "extended_profile": {"job_title": "", "organization": "", "department": "", "location": ""},
    });
    cx.done(Reply::json(json))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(accessible);
    handlers.on(me);
}
