//! Settings of the site: every key with its type, default and bounds, in one table. What follows them is in the guard's snapshot.

use portcullis_authz::op;
use portcullis_guard::{AnyMode, Ctx, Entity, Handlers, Input, Outcome, Reply, StoreError, Tx, Writes};
use portcullis_model::Problem;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

use crate::wire;

/// The site's name.
pub const SITE_NAME: &str = "site.name";
/// The site's public id.
pub const SITE_CLOUD_ID: &str = "site.cloud_id";
/// Whether people may use API tokens.
pub const API_TOKENS_ALLOWED: &str = "api_tokens.allowed";
/// Longest life of an API token.
pub const API_TOKENS_DAYS_MAX: &str = "api_tokens.days_max";
/// Whether people may let apps in.
pub const APPS_USER_INSTALLED: &str = "apps.user_installed";
/// Whether apps may register themselves.
pub const APPS_REGISTRATION_OPEN: &str = "apps.registration_open";
/// Who has to have a second factor.
pub const SECOND_FACTOR: &str = "accounts.second_factor";
/// How a failed Basic credential is answered.
pub const BASIC_FAILED_IS_ANONYMOUS: &str = "basic.failed_is_anonymous";

/// Type and bounds of a value, with its default.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text {
        default: &'static str,
        chars_max: usize,
    },
    /// Set once, when the site is made.
    Fixed,
    Bool {
        default: bool,
    },
    /// One of these words; the first is the default.
    Word {
        of: &'static [&'static str],
    },
    Int {
        default: i64,
        min: i64,
        max: i64,
    },
}

struct Setting {
    key: &'static str,
    kind: Kind,
    meaning: &'static str,
}

const SETTINGS: [Setting; 8] = [
    Setting {
        key: SITE_NAME,
        kind: Kind::Text { default: "", chars_max: 100 },
        meaning: "The site's name, on its pages and in what apps are told about it.",
    },
    Setting { key: SITE_CLOUD_ID, kind: Kind::Fixed, meaning: "The site's public id; fixed." },
    Setting {
        key: BASIC_FAILED_IS_ANONYMOUS,
        kind: Kind::Bool { default: true },
        meaning: "A wrong Basic credential on a read that anyone may make is answered as if none had been sent, as Atlassian does; else with 401.",
    },
    Setting {
        key: API_TOKENS_ALLOWED,
        kind: Kind::Bool { default: true },
        meaning: "API tokens may be made and used. Off refuses every existing one at once.",
    },
    Setting {
        key: API_TOKENS_DAYS_MAX,
        kind: Kind::Int { default: 365, min: 1, max: 365 },
        meaning: "Longest life of an API token in days. Older ones are refused from the moment this is lowered.",
    },
    Setting {
        key: APPS_USER_INSTALLED,
        kind: Kind::Bool { default: true },
        meaning: "People may connect OAuth 2.0 apps to their own accounts. Off refuses every such app at once; it can be switched on again.",
    },
    Setting {
        key: APPS_REGISTRATION_OPEN,
        kind: Kind::Bool { default: false },
        meaning: "Apps may register themselves (RFC 7591), as agents that speak MCP do. They are public clients and get nothing that no person approves.",
    },
    Setting {
        key: SECOND_FACTOR,
        kind: Kind::Word { of: &["nobody", "administrators", "everyone"] },
        meaning: "Who has to have a second factor to work in a browser. Whoever has to and has none can only add one. API tokens are not asked.",
    },
];

impl Setting {
    fn default(&self) -> Json {
        match self.kind {
            Kind::Text { default, .. } => default.into(),
            Kind::Fixed => Json::Null,
            Kind::Bool { default } => default.into(),
            Kind::Word { of } => of.first().copied().into(),
            Kind::Int { default, .. } => default.into(),
        }
    }

    /// The door for a new value.
    fn parse(&self, value: &Json) -> Result<Json, Problem> {
        let wrong = |what: String| Err(Problem::field(self.key, format!("{} must be {what}.", self.key)));
        match (self.kind, value) {
            (Kind::Fixed, _) => Err(Problem::field(self.key, format!("{} cannot be changed.", self.key))),
            (Kind::Text { chars_max, .. }, Json::String(text)) => Ok(wire::line(self.key, text, chars_max)?.into()),
            (Kind::Bool { .. }, Json::Bool(_)) => Ok(value.clone()),
            (Kind::Word { of }, Json::String(word)) if of.contains(&word.as_str()) => Ok(value.clone()),
            (Kind::Word { of }, _) => wrong(format!("one of {}", of.join(", "))),
            (Kind::Int { min, max, .. }, Json::Number(number)) => match number.as_i64() {
                Some(n) if (min..=max).contains(&n) => Ok(n.into()),
                _ => wrong(format!("a whole number from {min} to {max}")),
            },
            (Kind::Text { .. }, _) => wrong("a text".to_owned()),
            (Kind::Bool { .. }, _) => wrong("true or false".to_owned()),
            (Kind::Int { min, max, .. }, _) => wrong(format!("a whole number from {min} to {max}")),
        }
    }

    fn json(&self, value: &Json) -> Json {
        let mut out = json!({
            "key": self.key,
            "value": value,
            "default": self.default(),
            "type": match self.kind {
                Kind::Text { .. } | Kind::Fixed | Kind::Word { .. } => "string",
                Kind::Bool { .. } => "boolean",
                Kind::Int { .. } => "integer",
            },
            "readOnly": matches!(self.kind, Kind::Fixed),
            "meaning": self.meaning,
        });
        if let Some(members) = out.as_object_mut() {
            match self.kind {
                Kind::Int { min, max, .. } => {
                    members.insert("minimum".into(), min.into());
                    members.insert("maximum".into(), max.into());
                }
                Kind::Word { of } => {
                    members.insert("enum".into(), json!(of));
                }
                Kind::Text { .. } | Kind::Fixed | Kind::Bool { .. } => {}
            }
        }
        out
    }
}

/// Stores a value as it is. The caller names [`Entity::Settings`] as changed.
///
/// # Errors
/// The database's.
pub(crate) async fn store<M: Writes>(tx: &mut Tx<M>, key: &str, value: &Json) -> Result<(), StoreError> {
    let sql = "INSERT INTO account_setting (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    tx.execute(sql, &[key.into(), value.to_string().into()]).await.map(drop)
}

/// Says whether people may let apps in. The caller names [`Entity::Settings`] as changed.
///
/// # Errors
/// The database's.
pub async fn allow_user_apps<M: Writes>(tx: &mut Tx<M>, allowed: bool) -> Result<(), StoreError> {
    store(tx, APPS_USER_INSTALLED, &allowed.into()).await
}

async fn values<M: AnyMode>(tx: &mut Tx<M>) -> Result<HashMap<String, Json>, StoreError> {
    let mut out = HashMap::new();
    for row in tx.query("SELECT key, value FROM account_setting", &[]).await? {
        out.insert(row.get("key")?, serde_json::from_str(&row.get::<String>("value")?).unwrap_or_default());
    }
    Ok(out)
}

async fn get(mut cx: Ctx<op::ManageGetSettings>, _: Input) -> Outcome<op::ManageGetSettings> {
    let stored = values(cx.tx()).await?;
    let all = SETTINGS.iter().map(|setting| {
        let value = stored.get(setting.key).cloned().unwrap_or_else(|| setting.default());
        setting.json(&value)
    });
    let all = all.collect();
    cx.done(Reply::json(wire::whole(all)))
}

async fn change(mut cx: Ctx<op::ManageChangeSetting>, input: Input) -> Outcome<op::ManageChangeSetting> {
    let key = input.param("settingKey");
    let setting = SETTINGS
        .iter()
        .find(|setting| setting.key == key)
        .ok_or_else(|| Problem::not_found("There is no setting with this key."))?;
    let value = input.json().get("value").ok_or_else(|| Problem::field("value", "value is missing."))?;
    let value = setting.parse(value)?;
    let before = values(cx.tx()).await?.remove(key).unwrap_or_else(|| setting.default());
    store(cx.tx(), setting.key, &value).await?;
    cx.audit(format!("setting:{key}"), Some(json!({"value": before})), Some(json!({"value": value})));
    cx.changed(Entity::Settings);
    cx.done(Reply::json(setting.json(&value)))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(get);
    handlers.on(change);
}

#[cfg(test)]
mod tests {
    use super::{
        API_TOKENS_ALLOWED, API_TOKENS_DAYS_MAX, APPS_REGISTRATION_OPEN, APPS_USER_INSTALLED,
        BASIC_FAILED_IS_ANONYMOUS, SECOND_FACTOR, SETTINGS, SITE_CLOUD_ID, SITE_NAME,
    };
    use portcullis_guard::{SecondFactorOf, Settings};
    use serde_json::{Value as Json, json};

    fn accepts(key: &str, value: Json) -> bool {
        SETTINGS.iter().find(|setting| setting.key == key).unwrap().parse(&value).is_ok()
    }

    #[test]
    fn values_have_their_type_and_bounds() {
        for (key, good, bad) in [
            (SITE_NAME, json!("Acme"), json!("")),
            (SITE_NAME, json!("A"), json!(1)),
            (BASIC_FAILED_IS_ANONYMOUS, json!(false), json!("false")),
            (API_TOKENS_ALLOWED, json!(true), json!(1)),
            (API_TOKENS_DAYS_MAX, json!(1), json!(0)),
            (API_TOKENS_DAYS_MAX, json!(365), json!(366)),
            (API_TOKENS_DAYS_MAX, json!(90), json!(1.5)),
            (SECOND_FACTOR, json!("everyone"), json!("somebody")),
        ] {
            assert!(accepts(key, good.clone()), "{key} {good}");
            assert!(!accepts(key, bad.clone()), "{key} {bad}");
        }
        assert!(!accepts(SITE_CLOUD_ID, json!("x")));
    }

    #[test]
    fn defaults_are_those_of_the_guard() {
        let guard = Settings::default();
        let default = |key: &str| SETTINGS.iter().find(|setting| setting.key == key).unwrap().default();
        assert_eq!(default(BASIC_FAILED_IS_ANONYMOUS), json!(guard.failed_basic_is_anonymous));
        assert_eq!(default(API_TOKENS_ALLOWED), json!(guard.api_tokens_allowed));
        assert_eq!(default(API_TOKENS_DAYS_MAX), json!(guard.api_token_days_max));
        assert_eq!(default(APPS_USER_INSTALLED), json!(guard.user_apps_allowed));
        assert_eq!(default(APPS_REGISTRATION_OPEN), json!(guard.app_registration_open));
        let words = SecondFactorOf::WORDS;
        let of = words.iter().find(|(_, of)| *of == guard.second_factor_of).unwrap();
        assert_eq!(default(SECOND_FACTOR), json!(of.0));
        assert!(words.iter().all(|(word, _)| accepts(SECOND_FACTOR, json!(word))));
    }
}
