//! Pages of a Connect app that this site shows in a frame: which there are, the signed address of one, and the token that the app's
//! page shows to its own server.
//!
//! Conditions hide a page and protect nothing: the app has to look at the signed address itself, as with Jira.

use portcullis_guard::connect::ConnectFacts;
use portcullis_guard::{AnyMode, Tx, View};
use portcullis_model::{ConnectAppId, GlobalPermission, Problem};
use serde_json::{Map, Value as Json, json};
use url::Url;

use super::{call, dynamic};

/// Seconds that a context token lives.
const CONTEXT_LIFE_S: i64 = 900;

/// Kinds of modules that are pages of their own, and whether only Jira's administrators see them.
const PAGES: [(&str, bool); 11] = [
    ("generalPages", false),
    ("adminPages", true),
    ("configurePage", true),
    ("postInstallPage", true),
    ("webPanels", false),
    ("jiraProjectPages", false),
    ("jiraProjectAdminTabPanels", false),
    ("jiraIssueTabPanels", false),
    ("jiraIssueContents", false),
    ("jiraIssueGlances", false),
    ("jiraReports", false),
];

/// A page that an app brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// `generalPages` and the like.
    pub kind: &'static str,
    /// Its key.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// Its address below the app's, with variables in braces.
    pub url: String,
    /// Only Jira's administrators see it.
    pub for_administrators: bool,
    /// The page is the same for everyone: its address holds no token, and it asks for one.
    pub cacheable: bool,
    conditions: Vec<Json>,
}

/// Every page of an app, of its descriptor and those that it added. What is not well-formed is left out.
///
/// # Errors
/// The database's.
pub async fn of_app<M: AnyMode>(tx: &mut Tx<M>, app: ConnectAppId) -> Result<Vec<Module>, Problem> {
    let mut out = pages(&dynamic::described(tx, app).await?);
    out.extend(pages(&dynamic::modules(tx, app).await?));
    Ok(out)
}

fn pages(all: &Map<String, Json>) -> Vec<Module> {
    let mut out = Vec::new();
    for (kind, for_administrators) in PAGES {
        let found = match all.get(kind) {
            Some(Json::Array(several)) => several.iter().collect(),
            Some(one @ Json::Object(_)) => vec![one],
            _ => Vec::new(),
        };
        out.extend(found.into_iter().filter_map(|module| read(kind, for_administrators, module)));
    }
    out
}

fn read(kind: &'static str, for_administrators: bool, module: &Json) -> Option<Module> {
    let text = |pointer: &str| module.pointer(pointer).and_then(Json::as_str);
    let key = text("/key").filter(|key| dynamic::is_key(key))?;
    let url = ["/url", "/target/url", "/content/target/url"].iter().find_map(|place| text(place))?;
    // An address of its own would lead the frame, and the token, to somebody else.
    let is_below = url.starts_with('/') && !url.starts_with("//") && !url.contains('\\');
    is_below.then(|| Module {
        kind,
        key: key.to_owned(),
        name: text("/name/value").or_else(|| text("/name")).unwrap_or(key).chars().take(100).collect(),
        url: url.to_owned(),
        for_administrators,
        cacheable: module.get("cacheable").and_then(Json::as_bool).unwrap_or(false),
        conditions: module.get("conditions").and_then(Json::as_array).cloned().unwrap_or_default(),
    })
}

impl Module {
    /// Whether the person may open it. A condition that is not known here does not hold.
    pub fn is_for(&self, view: &View) -> bool {
        let administers = view.may_global(GlobalPermission::Administer);
        (!self.for_administrators || administers) && self.conditions.iter().all(|condition| holds(view, condition))
    }
}

fn holds(view: &View, condition: &Json) -> bool {
    if let Some(any) = condition.get("or").and_then(Json::as_array) {
        return any.iter().any(|condition| holds(view, condition));
    }
    if let Some(all) = condition.get("and").and_then(Json::as_array) {
        return all.iter().all(|condition| holds(view, condition));
    }
    let inverted = condition.get("invert").and_then(Json::as_bool).unwrap_or(false);
    let holds = match condition.get("condition").and_then(Json::as_str) {
        Some("user_is_logged_in") => view.caller().user().is_some(),
        Some("user_is_admin" | "user_is_sysadmin") => view.may_global(GlobalPermission::Administer),
        _ => return false,
    };
    holds != inverted
}

/// What a page is about: a project or an issue that the person sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its id and key.
    pub project: Option<(i64, String)>,
    /// Its id, key and type.
    pub issue: Option<(i64, String, i64)>,
}

impl About {
    fn names(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        if let Some((id, key)) = &self.project {
            out.push(("project.id".to_owned(), id.to_string()));
            out.push(("project.key".to_owned(), key.clone()));
        }
        if let Some((id, key, kind)) = &self.issue {
            out.push(("issue.id".to_owned(), id.to_string()));
            out.push(("issue.key".to_owned(), key.clone()));
            out.push(("issuetype.id".to_owned(), kind.to_string()));
        }
        out
    }

    /// `{jira: {project: {id, key}, issue: {..}}}`, as context tokens and pages get it.
    pub fn json(&self) -> Json {
        let mut jira = Map::new();
        if let Some((id, key)) = &self.project {
            jira.insert("project".into(), json!({"id": id.to_string(), "key": key}));
        }
        if let Some((id, key, kind)) = &self.issue {
            let of_kind = json!({"id": kind.to_string()});
            jira.insert("issue".into(), json!({"id": id.to_string(), "key": key, "issuetype": of_kind}));
        }
        json!({"jira": jira})
    }
}

/// What a frame is opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Framed {
    /// The address, signed for the person who looks at it.
    pub url: String,
    /// The only origin that the frame's messages may come from.
    pub origin: String,
}

/// Makes the frame of a page for the caller.
///
/// # Errors
/// 403 for an app of this site's own origin: its page could do whatever the person may.
pub fn framed(view: &View, app: &ConnectFacts, module: &Module, about: &About) -> Result<Framed, Problem> {
    let origin = |text: &str| text.parse::<Url>().map(|url| url.origin().ascii_serialization()).map_err(Problem::bug);
    let url = frame_url(view, app, module, about)?;
    let framed = Framed { origin: origin(&url)?, url };
    if framed.origin == origin(&view.addresses().site)? {
        return Err(Problem::forbidden("The app has the same origin as this site, so its pages are not shown."));
    }
    Ok(framed)
}

fn frame_url(view: &View, app: &ConnectFacts, module: &Module, about: &About) -> Result<String, Problem> {
    let mut target = crate::webhook::deliver::filled_in(&module.url, &about.names());
    let site = &view.addresses().site;
    let path_at = site.find("://").map_or(0, |at| at + 3);
    let (origin, context_path) = match site.get(path_at..).and_then(|rest| rest.find('/')) {
        Some(slash) => site.split_at(path_at + slash),
        None => (site.as_str(), ""),
    };
    let channel = format!("channel-{}__{}", app.key, module.key);
    for (name, value) in [
        ("xdm_e", origin),
        ("xdm_c", channel.as_str()),
        ("cp", context_path),
        ("xdm_deprecated_addon_key_do_not_use", app.key.as_str()),
        ("lic", "active"),
        ("cv", "1001.0.0-SNAPSHOT"),
    ] {
        let value = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        target.push(if target.contains('?') { '&' } else { '?' });
        target.push_str(&format!("{name}={value}"));
    }
    if !module.cacheable {
        let token = call::token(view, &call::callee(app), &app.secret, "GET", &target)?;
        target.push_str(&format!("&jwt={token}"));
    }
    Ok(format!("{}{target}", app.base_url))
}

/// A token for the app's own server, which no API of ours takes.
///
/// # Errors
/// 500 when the library refuses to sign.
pub fn context_token(view: &View, app: &ConnectFacts, about: &About) -> Result<String, Problem> {
    let now_s = view.now().0.div_euclid(1_000);
    let claims = json!({
        "iss": app.client_key,
        "sub": view.caller().account_id(),
        "iat": now_s,
        "exp": now_s + CONTEXT_LIFE_S,
        "qsh": "context-qsh",
        "context": about.json(),
    });
    app.secret.sign("JWT", &claims).map_err(Problem::bug)
}

#[cfg(test)]
mod tests {
    use super::pages;

    #[test]
    fn pages_are_read_from_a_descriptor_and_none_leads_elsewhere() {
        let text = r#"{"modules": {
            "generalPages": [
                {"key": "one", "url": "/one?x={project.key}", "name": {"value": "One"}},
                {"key": "two", "url": "https://other.example/", "name": {"value": "Two"}},
                {"key": "three", "url": "//other.example/", "name": {"value": "Three"}},
                {"key": "a key", "url": "/x", "name": {"value": "Four"}}
            ],
            "configurePage": {"key": "set", "url": "/set", "name": {"value": "Settings"}},
            "jiraIssueContents": [{"key": "panel", "name": {"value": "Panel"}, "target": {"type": "web_panel", "url": "/panel"}}],
            "webhooks": [{"event": "x", "url": "/y"}]
        }}"#;
        let json: serde_json::Value = serde_json::from_str(text).unwrap();
        let found: Vec<_> = pages(json["modules"].as_object().unwrap())
            .into_iter()
            .map(|it| (it.kind, it.key, it.for_administrators))
            .collect();
        let expected =
            [("generalPages", "one", false), ("configurePage", "set", true), ("jiraIssueContents", "panel", false)];
        assert_eq!(found, expected.map(|(kind, key, admin)| (kind, key.to_owned(), admin)));
    }
}
