//! What a Connect app says of itself in `atlassian-connect.json`, read as what a stranger sends.

use portcullis_crypto::{hex, sha256};
use portcullis_guard::connect::grant_of;
use portcullis_model::ConnectScope;
use serde_json::{Map, Value as Json, json};
use url::{Host, Url};

/// Longest descriptor, in bytes.
pub const BYTES_MAX: usize = 256 << 10;

/// The scopes, lowest first; the last two stand alone. Words for the person who decides.
pub const SCOPES: [(&str, &str, &str); 7] = [
    (
        ConnectScope::Read.name(),
        "Read",
        "See projects, issues, comments, attachments and people, as far as the app's account sees them.",
    ),
    (ConnectScope::Write.name(), "Write", "Create and change issues, comments and worklogs. Reads too."),
    (ConnectScope::Delete.name(), "Delete", "Delete issues, comments and the like. Writes and reads too."),
    (
        "PROJECT_ADMIN",
        "Administer projects",
        "Change settings of projects, their versions and people. All of the above too.",
    ),
    (ConnectScope::Admin.name(), "Administer Jira", "Change settings of the whole site. All of the above too."),
    (
        ConnectScope::ActAsUser.name(),
        "Act as any user",
        "Do in anybody's name what that person may do, within the other scopes. Nobody is asked again.",
    ),
    (ConnectScope::AccessEmailAddresses.name(), "Read e-mail addresses", "See the e-mail address of every user."),
];

/// A descriptor that can be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Names the app, and is the issuer of its tokens.
    pub key: String,
    /// The name people see.
    pub name: String,
    /// What it says it does.
    pub description: String,
    /// Who says to have made it.
    pub vendor: String,
    /// Where everything of it is, without a slash at the end.
    pub base_url: String,
    /// Scopes by their names, in the order of [`SCOPES`].
    pub scopes: Vec<&'static str>,
    /// Path that `installed` is sent to, below [`Descriptor::base_url`].
    pub installed: String,
    /// Path of `enabled`.
    pub enabled: Option<String>,
    /// Path of `disabled`.
    pub disabled: Option<String>,
    /// Path of `uninstalled`.
    pub uninstalled: Option<String>,
    /// Modules, by kind.
    pub modules: Vec<(String, usize)>,
    /// What it wants to be told of.
    pub webhooks: Vec<Described>,
    /// The whole text.
    pub text: String,
}

impl Descriptor {
    /// SHA-256 of the text, in hex: what was shown is what is installed.
    pub fn hash(&self) -> String {
        hex(&sha256(self.text.as_bytes()))
    }
}

/// A webhook that a descriptor names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The event's name.
    pub event: String,
    /// Path below [`Descriptor::base_url`], with variables in braces.
    pub path: String,
    /// JQL; empty: all issues that the app's account sees.
    pub filter: String,
    /// Sent without a body.
    pub exclude_body: bool,
    /// Of issue properties, these alone; empty: all.
    pub property_keys: Vec<String>,
}

/// Reads a descriptor.
///
/// # Errors
/// One sentence for the administrator.
pub fn parse(bytes: &[u8]) -> Result<Descriptor, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "The descriptor is not UTF-8 text.".to_owned())?;
    let json: Json =
        serde_json::from_str(text).map_err(|error| format!("The descriptor is not well-formed JSON: {error}."))?;
    let members = json.as_object().ok_or("The descriptor is no JSON object.")?;
    let key = text_of(members, "key", 80)?.ok_or("The descriptor has no key.")?;
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')) {
        return Err("The app's key may have letters, digits, `-`, `.` and `_` alone.".to_owned());
    }
    if key.chars().all(|c| c == '.') {
        return Err("The app's key has to have a letter or a digit.".to_owned());
    }
    let base_url = base_url(&text_of(members, "baseUrl", 200)?.ok_or("The descriptor has no baseUrl.")?)?;
    let kind = members.get("authentication").and_then(|it| it.get("type")).map_or(Some("jwt"), Json::as_str);
    match kind {
        Some("jwt" | "JWT") => {}
        Some("none" | "NONE") => {
            return Err(
                "The app uses no authentication. Portcullis installs apps that prove themselves (`jwt`) alone."
                    .to_owned(),
            );
        }
        _ => return Err("authentication.type has to be jwt.".to_owned()),
    }
    let name = text_of(members, "name", 80)?.filter(|name| !name.is_empty()).unwrap_or_else(|| key.clone());
    let vendor = match members.get("vendor") {
        Some(Json::Object(vendor)) => text_of(vendor, "name", 100)?.unwrap_or_default(),
        _ => String::new(),
    };
    let lifecycle = members.get("lifecycle").and_then(Json::as_object);
    let path = |event: &str| -> Result<Option<String>, String> {
        match lifecycle.and_then(|paths| paths.get(event)) {
            None | Some(Json::Null) => Ok(None),
            Some(Json::String(path)) => below(&base_url, path).map(Some),
            Some(_) => Err(format!("lifecycle.{event} is no text.")),
        }
    };
    let modules = members.get("modules").and_then(Json::as_object);
    let descriptor = Descriptor {
        scopes: scopes(members)?,
        installed: path("installed")?
            .ok_or("The descriptor has no lifecycle.installed, where the app is given its secret.")?,
        enabled: path("enabled")?,
        disabled: path("disabled")?,
        uninstalled: path("uninstalled")?,
        modules: modules
            .into_iter()
            .flatten()
            .map(|(kind, of)| (kind.chars().take(80).collect(), of.as_array().map_or(1, Vec::len)))
            .collect(),
        webhooks: webhooks(modules, &base_url)?,
        description: text_of(members, "description", 1_400)?.unwrap_or_default(),
        text: text.to_owned(),
        key,
        name,
        vendor,
        base_url,
    };
    if !descriptor.webhooks.is_empty() && grant_of(&descriptor.scopes.join(" ")).top == ConnectScope::None {
        return Err("The app asks for webhooks, which need the scope READ.".to_owned());
    }
    Ok(descriptor)
}

fn text_of(members: &Map<String, Json>, name: &str, chars_max: usize) -> Result<Option<String>, String> {
    match members.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if text.chars().count() > chars_max => {
            Err(format!("{name} has more than {chars_max} characters."))
        }
        Some(Json::String(text)) if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => {
            Err(format!("{name} has control characters."))
        }
        Some(Json::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(_) => Err(format!("{name} is no text.")),
    }
}

/// An address of an app: https, or http on this machine, without user, query and fragment. Without a slash at its end.
pub fn base_url(text: &str) -> Result<String, String> {
    let url = Url::parse(text).map_err(|_| format!("`{text}` is no address."))?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return Err(format!("`{text}` has to begin with https://: the app's secret is sent there.")),
        _ => return Err(format!("`{text}` has to begin with https://.")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("`{text}` must not have a user, a query or a fragment."));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A path below the app's address. One that leads elsewhere is refused.
fn below(base: &str, path: &str) -> Result<String, String> {
    let elsewhere = || format!("`{path}` has to be below the app's baseUrl.");
    let path_only = path.strip_prefix(base).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    let relative = if path_only.starts_with('/') { path_only.to_owned() } else { format!("/{path_only}") };
    // What a browser or we would make of it has to be what it says.
    let joined = Url::parse(&format!("{base}{relative}")).map_err(|_| elsewhere())?;
    if path_only.contains("://") || relative.starts_with("//") || joined.as_str() != format!("{base}{relative}") {
        return Err(elsewhere());
    }
    Ok(relative)
}

fn scopes(members: &Map<String, Json>) -> Result<Vec<&'static str>, String> {
    let asked = match members.get("scopes") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(scopes)) => scopes,
        Some(_) => return Err("scopes is no list.".to_owned()),
    };
    let mut names = Vec::new();
    for scope in asked {
        let name = scope.as_str().ok_or("scopes holds something that is no text.")?.to_ascii_uppercase();
        if name != "NONE" && !SCOPES.iter().any(|(known, ..)| *known == name) {
            return Err(format!("The app asks for a scope that is not known here: {name}."));
        }
        names.push(name);
    }
    Ok(SCOPES.iter().map(|(known, ..)| *known).filter(|known| names.iter().any(|name| name == known)).collect())
}

/// Webhooks of one descriptor.
const WEBHOOKS_MAX: usize = 100;

/// The webhooks among some modules of an app at `base`.
///
/// # Errors
/// One sentence for the administrator.
pub fn webhooks(modules: Option<&Map<String, Json>>, base: &str) -> Result<Vec<Described>, String> {
    let mut out = Vec::new();
    for webhook in modules.and_then(|modules| modules.get("webhooks")).and_then(Json::as_array).into_iter().flatten() {
        let text = |name: &str| webhook.get(name).and_then(Json::as_str);
        let (Some(event), Some(url)) = (text("event"), text("url")) else {
            return Err("A webhook has no event or no url.".to_owned());
        };
        // Variables in braces are filled in when it is sent.
        let path = below(base, &url.replace('{', "__open__").replace('}', "__close__"))?;
        let keys = webhook.get("propertyKeys").and_then(Json::as_array);
        out.push(Described {
            event: event.chars().take(80).collect(),
            path: path.replace("__open__", "{").replace("__close__", "}"),
            filter: text("filter").unwrap_or_default().chars().take(2_000).collect(),
            exclude_body: webhook.get("excludeBody").and_then(Json::as_bool).unwrap_or(false),
            property_keys: keys.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect(),
        });
    }
    if out.len() > WEBHOOKS_MAX {
        return Err(format!("The app asks for more than {WEBHOOKS_MAX} webhooks."));
    }
    Ok(out)
}

/// Scopes as pages and answers show them.
pub fn scope_words(scopes: &[&str]) -> Vec<Json> {
    let shown = SCOPES.iter().filter(|(name, ..)| scopes.contains(name));
    shown.map(|(name, title, words)| json!({"name": name, "title": title, "words": words})).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{below, parse};

    fn with(change: Json) -> Result<super::Descriptor, String> {
        let mut json = json!({
            "key": "com.example.app", "name": "App", "baseUrl": "https://app.example/base/",
            "authentication": {"type": "jwt"}, "lifecycle": {"installed": "/installed"}, "scopes": ["read", "ACT_AS_USER"],
            "modules": {"webhooks": [{"event": "jira:issue_created", "url": "/hook"}]},
        });
        for (name, value) in change.as_object().unwrap() {
            json[name] = value.clone();
        }
        parse(json.to_string().as_bytes())
    }

    #[test]
    fn a_descriptor_is_read() {
        let app = with(json!({})).unwrap();
        assert_eq!(app.base_url, "https://app.example/base");
        assert_eq!((app.installed.as_str(), app.enabled), ("/installed", None));
        assert_eq!(app.scopes, ["READ", "ACT_AS_USER"]);
        assert_eq!(app.webhooks.iter().map(|it| it.event.as_str()).collect::<Vec<_>>(), ["jira:issue_created"]);
        assert_eq!(with(json!({"name": Json::Null})).unwrap().name, "com.example.app");
        assert_eq!(with(json!({"baseUrl": "http://localhost:3000"})).unwrap().base_url, "http://localhost:3000");
    }

    #[test]
    fn what_cannot_be_installed_is_said_in_words() {
        for (change, words) in [
            (json!({"key": Json::Null}), "no key"),
            (json!({"key": "a b"}), "letters, digits"),
            (json!({"key": "../x"}), "letters, digits"),
            (json!({"key": "x".repeat(81)}), "80 characters"),
            (json!({"baseUrl": "http://app.example"}), "https://"),
            (json!({"baseUrl": "ftp://app.example"}), "https://"),
            (json!({"baseUrl": "https://user@app.example"}), "user"),
            (json!({"baseUrl": "https://app.example?x=1"}), "query"),
            (json!({"baseUrl": "x"}), "no address"),
            (json!({"authentication": {"type": "none"}}), "no authentication"),
            (json!({"authentication": {"type": "oauth"}}), "has to be jwt"),
            (json!({"lifecycle": {}}), "lifecycle.installed"),
            (json!({"lifecycle": {"installed": "https://other.example/"}}), "below"),
            (json!({"lifecycle": {"installed": "//other.example/"}}), "below"),
            (json!({"lifecycle": {"installed": "/../up"}}), "below"),
            (json!({"scopes": ["SUPER"]}), "SUPER"),
            (json!({"scopes": []}), "READ"),
            (json!({"modules": {"webhooks": [{"event": "x", "url": "https://other.example/"}]}}), "below"),
        ] {
            let said = with(change.clone()).unwrap_err();
            assert!(said.contains(words), "{change}: {said}");
        }
        for bytes in [b"".as_slice(), b"[]", b"{", b"\xff"] {
            assert!(parse(bytes).is_err());
        }
    }

    #[test]
    fn a_path_stays_below_its_base() {
        assert_eq!(below("https://a.example/b", "installed").as_deref(), Ok("/installed"));
        assert_eq!(below("https://a.example/b", "https://a.example/b/installed").as_deref(), Ok("/installed"));
        for path in ["https://a.example/c", "/x/../..", "/%2e%2e/x", "\\x", "/x\n", "@other.example"] {
            let out = below("https://a.example/b", path);
            assert!(out.is_err() || path == "@other.example", "{path}: {out:?}");
        }
        assert!(below("https://a.example", "https://a.example.evil/x").is_err());
    }
}
