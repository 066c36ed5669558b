//! Scopes as people and developers meet them: what each lets an app do, and what an operation needs.

use portcullis_authz::{Area, Row, op};
use portcullis_guard::{Ctx, Handlers, Input, Outcome, Reply};
use portcullis_model::{Problem, ScopeSet};
use serde_json::{Value as Json, json};

/// The scope that gives refresh tokens. No API asks for it.
pub const OFFLINE: &str = "offline_access";

/// How much harm a scope can do, for the order and the look of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It reads.
    Reads,
    /// It changes or deletes.
    Changes,
    /// It changes settings.
    Administers,
}

/// A scope as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: &'static str,
    /// A few words.
    pub title: String,
    /// What it lets an app do.
    pub words: String,
    /// How much harm it can do.
    pub weight: Weight,
    /// One of the few broad ones.
    pub is_classic: bool,
    /// Operations for which it is needed.
    pub operations: usize,
}

/// Classic scopes in the order they are offered.
const CLASSIC: [(&str, &str, &str, Weight); 9] = [
    ("read:me", "See who you are", "Your name, e-mail address, picture and time zone.", Weight::Reads),
    ("read:account", "See profiles", "Public profiles of people, by their account id.", Weight::Reads),
    (
        "read:jira-user",
        "See people in Jira",
        "Names, e-mail addresses and groups of people, as far as you see them.",
        Weight::Reads,
    ),
    (
        "read:jira-work",
        "Read projects and issues",
        "Projects, issues, comments, worklogs and attachments that you can see, and search in them.",
        Weight::Reads,
    ),
    (
        "write:jira-work",
        "Change issues",
        "Create, edit and delete issues, comments, worklogs and attachments, as you.",
        Weight::Changes,
    ),
    (
        "manage:jira-webhook",
        "Be told of changes",
        "Register addresses to which changes of issues are sent.",
        Weight::Changes,
    ),
    (
        "manage:jira-project",
        "Change settings of projects",
        "Details, versions, components and people in roles, where you administer the project.",
        Weight::Administers,
    ),
    (
        "manage:jira-configuration",
        "Change settings of Jira",
        "Schemes, fields, workflows and projects as such, if you administer Jira.",
        Weight::Administers,
    ),
    (
        "manage:jira-data-provider",
        "Add development data",
        "Builds, deployments and feature flags on issues.",
        Weight::Changes,
    ),
];

/// What a scope means.
pub fn shown(name: &'static str) -> Shown {
    let operations = op::ROWS.iter().filter(|row| asks_for(row, name)).count();
    if let Some((name, title, words, weight)) = CLASSIC.iter().find(|(known, ..)| *known == name) {
        let (title, words) = ((*title).to_owned(), (*words).to_owned());
        return Shown { name, title, words, weight: *weight, is_classic: true, operations };
    }
    if name == OFFLINE {
        return Shown {
            name,
            title: "Keep access while you are away".to_owned(),
            words: "Without this, access ends an hour after you approve.".to_owned(),
            weight: Weight::Reads,
            is_classic: true,
            operations,
        };
    }
    if name == "storage:app" {
        return Shown {
            name,
            title: "Keep data of its own".to_owned(),
            words: "Values and secrets that this app alone reads.".to_owned(),
            is_classic: false,
            weight: Weight::Changes,
            operations,
        };
    }
    let mut parts = name.split(':');
    let (verb, entity) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let (does, weight) = match verb {
        "read" => ("Read", Weight::Reads),
        "write" => ("Create and change", Weight::Changes),
        "delete" => ("Delete", Weight::Changes),
        "manage" => ("Manage", Weight::Administers),
        "send" => ("Send", Weight::Changes),
        "validate" => ("Check", Weight::Reads),
        _ => ("Use", Weight::Changes),
    };
    let thing = entity.replace(['-', '.'], " ");
    Shown {
        name,
        title: format!("{does}: {thing}"),
        words: match operations {
            0 => "No operation of this site asks for it.".to_owned(),
            1 => "Needed, with others, by 1 operation.".to_owned(),
            many => format!("Needed, with others, by {many} operations."),
        },
        weight,
        is_classic: false,
        operations,
    }
}

/// Every scope that an app can be given, classic ones first.
pub fn every() -> Vec<Shown> {
    let classic = CLASSIC.iter().map(|(name, ..)| *name);
    let granular = portcullis_model::scope_names::SCOPE_NAMES.iter().copied().filter(|name| {
        *name != OFFLINE && !CLASSIC.iter().any(|(classic, ..)| classic == name) && *name != "report:personal-data"
    });
    classic.chain(granular).map(shown).collect()
}

/// The scopes of a text in the order of weight, the heaviest last.
pub fn of_text(scopes: &str) -> Vec<Shown> {
    let mut out: Vec<Shown> = ScopeSet::of_names(scopes).names().map(shown).collect();
    out.sort_by_key(|scope| (scope.name == OFFLINE, scope.weight));
    out
}

fn asks_for(row: &Row, name: &str) -> bool {
    [row.classic, row.granular].iter().flatten().any(|set| set.names().any(|needed| needed == name))
}

/// Whether an app that has `enabled` may ask for `scopes`, with the first that it may not in words.
pub(crate) fn check(scopes: &str, enabled: &ScopeSet) -> Result<(), String> {
    let mut any = false;
    for name in scopes.split(' ').filter(|name| !name.is_empty()) {
        any = true;
        let mut one = ScopeSet::EMPTY;
        let known = one.insert(name);
        if name != OFFLINE && !(known && enabled.covers(&one)) {
            let name: String = name.chars().filter(|letter| letter.is_ascii_graphic()).take(80).collect();
            return Err(match known {
                true => format!("The scope {name} is not enabled for this app in the developer console."),
                false => format!("There is no scope {name}."),
            });
        }
    }
    if any { Ok(()) } else { Err("No scope is asked for.".to_owned()) }
}

/// What a call needs: by method and path, as a developer writes them.
fn row_of(method: &str, path: &str) -> Option<&'static Row> {
    let path = path.split('?').next().unwrap_or_default();
    let path = match path.strip_prefix("/ex/jira/") {
        Some(rest) => rest.split_once('/').map_or("", |(_, rest)| rest),
        None => path.trim_start_matches('/'),
    };
    let path = path.replacen("rest/api/2/", "rest/api/3/", 1).replacen("rest/api/latest/", "rest/api/3/", 1);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let fits = |row: &&&'static Row| {
        let pattern: Vec<&str> = row.path.split('/').filter(|part| !part.is_empty()).collect();
        row.method.name() == method
            && pattern.len() == parts.len()
            && pattern.iter().zip(&parts).all(|(pattern, part)| pattern.starts_with('{') || pattern == part)
    };
    let literal = |row: &&'static Row| row.path.split('/').filter(|part| !part.starts_with('{')).count();
    op::ROWS.iter().filter(fits).max_by_key(|row| literal(row)).copied()
}

/// What a call needs, and what `have` lacks of it.
pub fn explain(method: &str, path: &str, have: Option<&ScopeSet>) -> Option<Json> {
    let row = row_of(&method.to_ascii_uppercase(), path)?;
    let names = |set: Option<ScopeSet>| set.map(|set| set.names().collect::<Vec<_>>());
    let missing = have.map(|have| {
        let sets = [row.classic, row.granular];
        let missing = sets.iter().flatten().map(|set| have.missing(set).names().collect::<Vec<_>>());
        missing.min_by_key(Vec::len)
    });
    Some(json!({
        "operation": row.id,
        "method": row.method.name(),
        "path": row.path,
        "forApps": row.area == Area::Jira && (row.classic.is_some() || row.granular.is_some()) || row.area == Area::Gateway,
        "classic": names(row.classic),
        "granular": names(row.granular),
        "missing": missing,
    }))
}

async fn explain_scopes(cx: Ctx<op::ManageExplainScopes>, input: Input) -> Outcome<op::ManageExplainScopes> {
    let (method, path) = (input.query("method").unwrap_or("GET"), input.query("path").unwrap_or_default());
    if path.is_empty() {
        return Err(Problem::invalid(
            "Name a path, and a method if it is not GET: ?method=GET&path=/rest/api/3/myself",
        ));
    }
    let have = input.query("scopes").map(|scopes| ScopeSet::of_names(&scopes.replace(',', " ")));
    let found =
        explain(method, path, have.as_ref()).ok_or_else(|| Problem::not_found("There is no such operation."))?;
    cx.done(Reply::json(found))
}

pub(crate) fn handlers(handlers: &mut Handlers) {
    handlers.on(explain_scopes);
}

/// What a client that registers itself may ask for: what it names as far as it is known (RFC 7591, section 2), or what most need.
pub fn of_registration(text: Option<&str>) -> ScopeSet {
    let usual = "read:me read:jira-user read:jira-work write:jira-work";
    ScopeSet::of_names(text.filter(|scopes| !scopes.is_empty()).unwrap_or(usual))
}

#[cfg(test)]
mod tests {
    use super::{check, every, explain};
    use portcullis_model::ScopeSet;

    #[test]
    fn an_app_asks_only_for_what_was_enabled() {
        let enabled = ScopeSet::of_names("read:jira-work read:me");
        assert!(check("read:jira-work", &enabled).is_ok());
        assert!(check("read:me read:jira-work offline_access", &enabled).is_ok());
        for scopes in ["", " ", "write:jira-work", "read:jira-work openid", "read:jira-work READ:ME"] {
            assert!(check(scopes, &enabled).is_err(), "{scopes:?}");
        }
    }

    #[test]
    fn every_scope_is_said_in_words() {
        let every = every();
        assert!(every.len() > 150);
        assert!(every.iter().all(|scope| !scope.title.is_empty() && !scope.words.is_empty()));
    }

    #[test]
    fn a_call_names_what_it_needs_and_what_is_missing() {
        let have = ScopeSet::of_names("read:jira-work");
        let found = explain("put", "/rest/api/2/project/DEMO?x=1", Some(&have)).expect("an operation");
        assert_eq!(found["operation"], "updateProject");
        assert_eq!(found["missing"], serde_json::json!(["manage:jira-project"]));
        let found = explain("GET", "/ex/jira/abc/rest/api/3/project/search", Some(&have)).expect("an operation");
        assert_eq!(
            (found["operation"].as_str(), found["missing"].as_array().map(Vec::len)),
            (Some("searchProjects"), Some(0))
        );
        assert!(explain("GET", "/nowhere", None).is_none());
    }
}
