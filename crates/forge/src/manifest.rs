//! What an app says of itself, validated again here: the command line can be told not to.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_model::ScopeSet;
use serde_json::{Map, Value as Json};

use crate::remote::{self, Remote};

/// Longest manifest, in bytes.
pub const BYTES_MAX: usize = 1 << 20;

const KEY_CHARS_MAX: usize = 128;
/// Scheduled triggers of an app, the vendor's number.
const SCHEDULED_MAX: usize = 5;

/// The longest that a function may ask for, in seconds.
pub(crate) const TIMEOUT_S_MAX: u16 = 900;

/// Module types whose functions this server calls, or that need nothing called.
const MODULES: &[&str] = &[
    "function",
    "trigger",
    "scheduledTrigger",
    "webtrigger",
    "consumer",
    "preUninstall",
    "endpoint",
    "jira:adminPage",
    "jira:backlogAction",
    "jira:boardAction",
    "jira:dashboardBackgroundScript",
    "jira:dashboardGadget",
    "jira:entityProperty",
    "jira:fullPage",
    "jira:globalBackgroundScript",
    "jira:globalPage",
    "jira:issueAction",
    "jira:issueActivity",
    "jira:issueContext",
    "jira:issueGlance",
    "jira:issueNavigatorAction",
    "jira:issuePanel",
    "jira:issueViewBackgroundScript",
    "jira:personalSettingsPage",
    "jira:projectPage",
    "jira:projectSettingsPage",
    "jira:sprintAction",
];

/// Further modules of the vendor's Jira that an app may bring along: what is written there is kept, and nothing here calls it.
const IDLE_MODULES: &[&str] = &[
    "action",
    "apiRoute",
    "event",
    "jira:command",
    "jira:customField",
    "jira:customFieldType",
    "jira:globalPermission",
    "jira:issueActivityTab",
    "jira:jqlFunction",
    "jira:projectPermission",
    "jira:timeTrackingProvider",
    "jira:uiModifications",
    "jira:workflowCondition",
    "jira:workflowPostFunction",
    "jira:workflowValidator",
    "macro",
    "migration:dataResidency",
];

/// Products and parts of the vendor's that are not behind this server: their modules are kept and never called.
const IDLE_PRODUCTS: &[&str] = &[
    "assets",
    "automation",
    "bitbucket",
    "compass",
    "confluence",
    "core",
    "customer",
    "dashboards",
    "devops",
    "graph",
    "jiraServiceManagement",
    "rovo",
];

/// How scopes without a product end that open something else than Jira.
const IDLE_SCOPES: &[&str] =
    &["-confluence", ":servicedesk-request", ":servicedesk-customer", ":graphql", ":personal-data"];

/// Whether a scope is of another product or part: then its name ends with one (`view:team:teams`). It opens nothing here. One of
/// Jira's that is not known is a mistake.
fn is_idle_scope(scope: &str) -> bool {
    let parts: Vec<&str> = scope.split(':').collect();
    let named =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || b".-".contains(&byte));
    let of_another = matches!(parts.as_slice(), [_, _, product] if *product != "jira") && parts.iter().all(named);
    of_another
        || IDLE_SCOPES.iter().any(|end| scope.ends_with(end))
        || ["read:app-system-token", "read:app-user-token"].contains(&scope)
}

fn is_idle_module(kind: &str) -> bool {
    IDLE_MODULES.contains(&kind) || kind.split_once(':').is_some_and(|(product, _)| IDLE_PRODUCTS.contains(&product))
}

/// A manifest that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The app's UUID.
    pub app: String,
    /// Handlers by function key.
    pub functions: BTreeMap<String, Handler>,
    /// Every other module.
    pub modules: Vec<Module>,
    /// Scopes, sorted.
    pub scopes: BTreeSet<String>,
    /// Those that the app may use for a user who is not there.
    pub impersonation: BTreeSet<String>,
    /// Addresses that the app's code may fetch from.
    pub egress: BTreeSet<String>,
    /// What else an administrator consents to, as it is written.
    pub reach: Json,
    /// Servers of its own.
    pub(crate) remotes: Vec<Remote>,
    /// Storage entities by name, as they are written.
    pub entities: BTreeMap<String, Json>,
    /// What it names that has no effect on this server, each a sentence for the developer.
    pub idle: Vec<String>,
}

/// Where a function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The file's name without ending.
    pub file: String,
    /// The name it exports.
    pub export: String,
    /// `timeoutSeconds`, 1 to 900. What the function is called for may allow less.
    pub timeout_s: Option<u16>,
}

/// What is run for a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A function of the app's code, by its key.
    Function(String),
    /// An endpoint of a remote, by its key.
    Endpoint(String),
}

impl Behind {
    /// The key, as the log names it.
    pub fn key(&self) -> &str {
        match self {
            Behind::Function(key) | Behind::Endpoint(key) => key,
        }
    }
}

/// A module.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its type, as `jira:issuePanel`.
    pub kind: String,
    /// Its key.
    pub key: String,
    /// What is run for it, where there is something.
    pub behind: Option<Behind>,
    /// As it is written.
    pub content: Json,
}

impl Manifest {
    /// Reads a manifest, which the command line sends as JSON.
    ///
    /// # Errors
    /// Every fault that was found, each a sentence for the developer.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        if text.len() > BYTES_MAX {
            return Err(vec![format!("The manifest is larger than {BYTES_MAX} bytes.")]);
        }
        let json: Json = serde_json::from_str(text)
            .map_err(|error| vec![format!("The manifest is not JSON, as which the command line sends it: {error}.")])?;
        let Json::Object(top) = json else { return Err(vec!["The manifest is not an object.".to_owned()]) };
        let mut faults = Vec::new();
        let manifest = read(&top, &mut faults);
        if faults.is_empty() { Ok(manifest) } else { Err(faults) }
    }

    /// The scopes as decisions know them.
    pub fn scope_set(&self) -> ScopeSet {
        ScopeSet::of_names(&self.scopes())
    }

    /// The scopes, joined by blanks.
    pub fn scopes(&self) -> String {
        self.scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// The scopes that may be used for a user who is not there.
    pub fn impersonation_set(&self) -> ScopeSet {
        ScopeSet::of_names(&self.impersonation.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }

    /// A module by type and key.
    pub fn module(&self, kind: &str, key: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.kind == kind && module.key == key)
    }

    /// Whether an administrator has to consent before `next` takes the place of this one.
    pub fn asks_for_other(&self, next: &Self) -> bool {
        self.scopes != next.scopes
            || self.impersonation != next.impersonation
            || !next.egress.is_subset(&self.egress)
            || self.reach != next.reach
    }
}

fn text<'a>(json: &'a Json, name: &str) -> Option<&'a str> {
    json.get(name).and_then(Json::as_str)
}

fn read(top: &Map<String, Json>, faults: &mut Vec<String>) -> Manifest {
    const TOP: &[&str] = &[
        "app",
        "modules",
        "connectModules",
        "permissions",
        "resources",
        "remotes",
        "providers",
        "environment",
        "translations",
        "services",
        "overrides",
    ];
    let null = Json::Null;
    for name in top.keys().filter(|name| !TOP.contains(&name.as_str())) {
        faults.push(format!("`{name}` is not part of a manifest."));
    }
    for name in ["connectModules", "providers", "services"] {
        if top.get(name).is_some_and(|value| value.as_object().is_none_or(|object| !object.is_empty())) {
            faults.push(format!("`{name}` is not built on this server."));
        }
    }
    let app = top.get("app").unwrap_or(&null);
    let id = text(app, "id").unwrap_or_default();
    let uuid = id.strip_prefix("ari:cloud:ecosystem::app/").unwrap_or_default();
    if uuid.len() != 36 || !uuid.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
        faults.push("`app.id` is not that of a registered app; run `forge register`.".to_owned());
    }
    let mut idle = Vec::new();
    let (functions, modules) = read_modules(top.get("modules").unwrap_or(&null), faults, &mut idle);
    let permissions = top.get("permissions").unwrap_or(&null);
    let (scopes, impersonation) = read_scopes(permissions.get("scopes").unwrap_or(&null), faults, &mut idle);
    let egress = read_egress(permissions, faults);
    let mut reach = permissions.clone();
    if let Some(object) = reach.as_object_mut() {
        object.remove("scopes");
    }
    if let Some(external) = reach.pointer_mut("/external/fetch").and_then(Json::as_object_mut) {
        external.remove("backend");
    }
    let entities = app.pointer("/storage/entities").and_then(Json::as_array).into_iter().flatten();
    let entities = entities.filter_map(|entity| Some((text(entity, "name")?.to_owned(), entity.clone()))).collect();
    let written = top.get("remotes").cloned().unwrap_or_default();
    let remotes = remote::read(Some(&written), faults);
    let mut endpoints: Vec<&Json> = Vec::new();
    for endpoint in modules.iter().filter(|module| module.kind == "endpoint") {
        let named = text(&endpoint.content, "remote").unwrap_or_default();
        if !remotes.iter().any(|remote| remote.key == named) {
            faults.push(format!("The endpoint `{}` names the remote `{named}`, which there is not.", endpoint.key));
        }
        endpoints.push(&endpoint.content);
    }
    let reach = serde_json::json!({"permissions": reach, "remotes": written, "endpoints": endpoints});
    Manifest { app: uuid.to_owned(), functions, modules, scopes, impersonation, egress, reach, remotes, entities, idle }
}

fn read_modules(
    json: &Json,
    faults: &mut Vec<String>,
    idle: &mut Vec<String>,
) -> (BTreeMap<String, Handler>, Vec<Module>) {
    let mut functions = BTreeMap::new();
    let mut modules = Vec::new();
    let Some(kinds) = json.as_object() else {
        faults.push("The manifest has no `modules`.".to_owned());
        return (functions, modules);
    };
    let mut keys = BTreeSet::new();
    for (kind, list) in kinds {
        let is_idle = is_idle_module(kind);
        if is_idle {
            idle.push(format!("Nothing on this server calls `modules.{kind}`."));
        }
        if !is_idle && !MODULES.contains(&kind.as_str()) {
            faults.push(format!("`modules.{kind}` is not a kind of module that this server has."));
            continue;
        }
        let Some(list) = list.as_array() else {
            if is_idle {
                continue;
            }
            faults.push(format!("`modules.{kind}` is not a list."));
            continue;
        };
        for module in list {
            let key = text(module, "key").unwrap_or_default();
            if is_idle && key.is_empty() {
                continue;
            }
            if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
                faults.push(format!("A module of `modules.{kind}` has no key of 1 to {KEY_CHARS_MAX} characters."));
                continue;
            }
            if !keys.insert((kind == "function", key.to_owned())) {
                faults.push(format!("The module key `{key}` stands twice."));
            }
            if kind == "function" {
                let timeout_s = timeout_s(module, key, faults);
                match handler(module, timeout_s) {
                    Some(handler) => {
                        functions.insert(key.to_owned(), handler);
                    }
                    None => faults.push(format!("The function `{key}` has no handler like `index.run`.")),
                }
                continue;
            }
            modules.push(Module {
                kind: kind.clone(),
                key: key.to_owned(),
                behind: behind(module),
                content: module.clone(),
            });
        }
    }
    for module in &modules {
        read_events(module, faults);
        let (kind, key) = (&module.kind, &module.key);
        let there = |endpoint: &String| modules.iter().any(|other| other.kind == "endpoint" && other.key == *endpoint);
        match &module.behind {
            Some(Behind::Function(function)) if !functions.contains_key(function) => {
                faults.push(format!("`{kind}` `{key}` names the function `{function}`, which there is not."));
            }
            Some(Behind::Endpoint(endpoint)) if !there(endpoint) => {
                faults.push(format!("`{kind}` `{key}` names the endpoint `{endpoint}`, which there is not."));
            }
            None if ["trigger", "scheduledTrigger", "webtrigger", "consumer"].contains(&kind.as_str()) => {
                faults.push(format!("`{kind}` `{key}` names no function."));
            }
            Some(_) | None => {}
        }
    }
    let scheduled = modules.iter().filter(|module| module.kind == "scheduledTrigger");
    if scheduled.count() > SCHEDULED_MAX {
        faults.push(format!("An app has at most {SCHEDULED_MAX} scheduled triggers."));
    }
    (functions, modules)
}

/// What makes a module run by itself has to be understood; what is not built is said.
fn read_events(module: &Module, faults: &mut Vec<String>) {
    let (kind, key) = (&module.kind, &module.key);
    match kind.as_str() {
        "trigger" => {
            let events = module.content.get("events").and_then(Json::as_array);
            if events.is_none_or(|events| events.is_empty() || events.iter().any(|event| !event.is_string())) {
                faults.push(format!("`{kind}` `{key}` names no events."));
            }
            if module.content.pointer("/filter/expression").is_some() {
                faults.push(format!(
                    "`{kind}` `{key}` has a filter expression, which is not built on this server; `ignoreSelf` is."
                ));
            }
        }
        "scheduledTrigger" if crate::schedule::interval_ms(&module.content).is_none() => {
            faults.push(format!("`{kind}` `{key}` has no interval of fiveMinute, hour, day or week."));
        }
        "consumer" if text(&module.content, "queue").is_none_or(str::is_empty) => {
            faults.push(format!("`{kind}` `{key}` names no queue."));
        }
        _ => {}
    }
}

/// The function or endpoint is named in several places, by kind and age of the module.
fn behind(module: &Json) -> Option<Behind> {
    let named = |name: &str| {
        let places = [
            module.get(name),
            module.pointer(&format!("/resolver/{name}")),
            module.pointer(&format!("/view/resolver/{name}")),
        ];
        places.into_iter().flatten().find_map(Json::as_str).map(str::to_owned)
    };
    named("function").map(Behind::Function).or_else(|| named("endpoint").map(Behind::Endpoint))
}

fn timeout_s(module: &Json, key: &str, faults: &mut Vec<String>) -> Option<u16> {
    let said = module.get("timeoutSeconds")?;
    let holds = said.as_u64().and_then(|s| u16::try_from(s).ok()).filter(|s| (1..=TIMEOUT_S_MAX).contains(s));
    if holds.is_none() {
        faults.push(format!("`timeoutSeconds` of the function `{key}` is not between 1 and {TIMEOUT_S_MAX}."));
    }
    holds
}

fn handler(module: &Json, timeout_s: Option<u16>) -> Option<Handler> {
    let (file, export) = text(module, "handler")?.rsplit_once('.')?;
    let named = |text: &str| !text.is_empty() && !text.contains("..") && !text.starts_with('/') && !text.contains('\\');
    let identifier = export.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$');
    (named(file) && named(export) && identifier).then(|| Handler {
        file: file.to_owned(),
        export: export.to_owned(),
        timeout_s,
    })
}

fn read_scopes(json: &Json, faults: &mut Vec<String>, idle: &mut Vec<String>) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut impersonation = BTreeSet::new();
    let scopes: BTreeSet<String> = match json {
        Json::Null => BTreeSet::new(),
        Json::Array(list) => list.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        Json::Object(map) => {
            let allowed = |value: &Json| value.get("allowImpersonation") == Some(&Json::Bool(true));
            impersonation = map.iter().filter(|(_, value)| allowed(value)).map(|(name, _)| name.clone()).collect();
            map.keys().cloned().collect()
        }
        _ => {
            faults.push("`permissions.scopes` is neither a list nor an object.".to_owned());
            BTreeSet::new()
        }
    };
    for scope in &scopes {
        let mut known = ScopeSet::EMPTY;
        if is_idle_scope(scope) && !known.insert(scope) {
            idle.push(format!("The scope `{scope}` opens nothing here: what it is for is not behind this server."));
        } else if !known.insert(scope) {
            faults.push(format!("The scope `{scope}` is none that this server knows."));
        }
    }
    (scopes, impersonation)
}

fn read_egress(permissions: &Json, faults: &mut Vec<String>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let list = permissions.pointer("/external/fetch/backend").and_then(Json::as_array);
    for entry in list.into_iter().flatten() {
        match entry.as_str().or_else(|| text(entry, "address")) {
            Some(address) if crate::egress::Rule::parse(address).is_some() => {
                out.insert(address.to_owned());
            }
            Some(address) => faults.push(format!("`{address}` is not an address that an app may be let fetch from.")),
            None if entry.get("remote").is_some() => {}
            None => faults.push("An entry of `permissions.external.fetch.backend` has no address.".to_owned()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Behind, Manifest};
    use serde_json::json;

    fn manifest() -> serde_json::Value {
        json!({
            "app": {"id": "ari:cloud:ecosystem::app/11111111-1111-4111-8111-111111111111"},
            "modules": {
                "function": [{"key": "main", "handler": "index.run"}],
                "webtrigger": [{"key": "hook", "function": "main"}],
                "jira:issuePanel": [{"key": "panel", "resolver": {"function": "main"}}],
            },
            "permissions": {"scopes": ["read:jira-work", "storage:app"], "external": {"fetch": {"backend": ["https://api.example.com"]}}},
        })
    }

    #[test]
    fn a_manifest_is_read() {
        let read = Manifest::parse(&manifest().to_string()).expect("it holds");
        assert_eq!(read.scopes(), "read:jira-work storage:app");
        assert_eq!(
            read.module("jira:issuePanel", "panel").and_then(|module| module.behind.as_ref()),
            Some(&Behind::Function("main".to_owned()))
        );
    }

    #[test]
    fn every_lie_is_named() {
        for (pointer, value, fault) in [
            ("/app/id", json!("x"), "`app.id`"),
            ("/modules/webtrigger/0/function", json!("other"), "names the function `other`"),
            ("/modules/webtrigger", json!({}), "is not a list"),
            ("/modules/function/0/handler", json!("../../etc/passwd.x"), "no handler"),
            ("/modules/jira:issuePanel/0/key", json!("hook"), "stands twice"),
            ("/permissions/scopes/0", json!("read:everything"), "`read:everything`"),
            ("/permissions/external/fetch/backend/0", json!("file:///etc"), "`file:///etc`"),
            ("/modules/jira:issuePanel/0/resolver", json!({"endpoint": "nowhere"}), "the endpoint `nowhere`"),
        ] {
            let mut lie = manifest();
            *lie.pointer_mut(pointer).expect("it is there") = value;
            let faults = Manifest::parse(&lie.to_string()).expect_err(pointer);
            assert!(faults.iter().any(|said| said.contains(fault)), "{pointer}: {faults:?}");
        }
        for (timeout, holds) in [
            (json!(1), true),
            (json!(900), true),
            (json!(0), false),
            (json!(901), false),
            (json!("55"), false),
            (json!(1.5), false),
        ] {
            let mut of = manifest();
            of["modules"]["function"][0]["timeoutSeconds"] = timeout.clone();
            assert_eq!(Manifest::parse(&of.to_string()).is_ok(), holds, "{timeout}");
        }
        let mut idle = manifest();
        idle["modules"]["rovo:agent"] = json!([{"key": "agent"}]);
        idle["modules"]["jira:workflowValidator"] = json!([{"key": "validator", "function": "main"}]);
        idle["permissions"]["scopes"] = json!(["read:component:compass"]);
        let read = Manifest::parse(&idle.to_string()).expect("what belongs to another product is kept");
        assert_eq!(read.idle.len(), 3, "{:?}", read.idle);
        let mut unknown = manifest();
        unknown["modules"]["jira:teapot"] = json!([]);
        unknown["surprise"] = json!(1);
        assert_eq!(Manifest::parse(&unknown.to_string()).expect_err("two faults").len(), 2);
        for (scope, holds) in
            [("view:team:teams", true), ("read:app-user-token", true), ("read:teapot:jira", false), ("a:b:", false)]
        {
            let mut of = manifest();
            of["permissions"]["scopes"] = json!([scope]);
            assert_eq!(Manifest::parse(&of.to_string()).is_ok(), holds, "{scope}");
        }
        assert!(Manifest::parse("app:\n  id: x").is_err());
    }

    #[test]
    fn what_reaches_further_asks_for_consent() {
        let read = |json: &serde_json::Value| Manifest::parse(&json.to_string()).expect("it holds");
        let before = read(&manifest());
        let mut next = manifest();
        next["modules"]["webtrigger"][0]["key"] = json!("renamed");
        assert!(!before.asks_for_other(&read(&next)));
        next["permissions"]["scopes"] = json!(["read:jira-work", "storage:app", "write:jira-work"]);
        assert!(before.asks_for_other(&read(&next)));
        let mut next = manifest();
        next["permissions"]["external"]["fetch"]["backend"] =
            json!(["https://api.example.com", "https://other.example"]);
        assert!(before.asks_for_other(&read(&next)));
        next["permissions"]["external"]["fetch"]["backend"] = json!([]);
        assert!(!before.asks_for_other(&read(&next)));
    }
}
