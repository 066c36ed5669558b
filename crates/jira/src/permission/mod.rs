//! Permission schemes and their grants, which scheme a project has, and questions about the permissions someone holds.

mod assign;
mod check;
mod grant;
pub(crate) mod holder;
mod mine;
mod scheme;

use std::str::FromStr;

use portcullis_guard::Handlers;
use portcullis_model::{GlobalPermission, Problem, ProjectPermission};
use serde_json::{Map, Value as Json};

pub(crate) fn handlers(handlers: &mut Handlers) {
    scheme::handlers(handlers);
    grant::handlers(handlers);
    assign::handlers(handlers);
    mine::handlers(handlers);
    check::handlers(handlers);
}

/// A permission of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Permission {
    Global(GlobalPermission),
    Project(ProjectPermission),
}

impl FromStr for Permission {
    type Err = Problem;

    /// Accepts the exact key only.
    fn from_str(text: &str) -> Result<Self, Problem> {
        if let Ok(permission) = text.parse() {
            return Ok(Permission::Global(permission));
        }
        match text.parse() {
            Ok(permission) => Ok(Permission::Project(permission)),
            Err(_) => Err(Problem::invalid(format!("Unrecognized permission: {text}"))),
        }
    }
}

impl Permission {
    fn all() -> impl Iterator<Item = Self> {
        let global = GlobalPermission::ALL.into_iter().map(Permission::Global);
        global.chain(ProjectPermission::ALL.into_iter().map(Permission::Project))
    }

    const fn key(self) -> &'static str {
        match self {
            Permission::Global(permission) => permission.key(),
            Permission::Project(permission) => permission.key(),
        }
    }

    const fn id(self) -> &'static str {
        match self {
            Permission::Global(permission) => permission.id(),
            Permission::Project(permission) => permission.id(),
        }
    }

    /// `{key,name,type,description}`.
    fn json(self) -> Map<String, Json> {
        let (kind, meaning) = match self {
            Permission::Global(permission) => ("GLOBAL", permission.meaning()),
            Permission::Project(permission) => ("PROJECT", permission.meaning()),
        };
        let mut out = Map::new();
        out.insert("key".into(), self.key().into());
        out.insert("name".into(), self.name().into());
        out.insert("type".into(), kind.into());
        out.insert("description".into(), meaning.into());
        out
    }

    /// The key as words.
    fn name(self) -> String {
        if self == Permission::Global(GlobalPermission::Administer) {
            return "Administer Jira".to_owned();
        }
        let words = self.key().trim_end_matches("_PERMISSION").split('_').map(|word| {
            let (first, rest) = word.split_at_checked(1).unwrap_or((word, ""));
            format!("{first}{}", rest.to_ascii_lowercase())
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::Permission;

    #[test]
    fn names_are_the_keys_in_words() {
        let name = |key: &str| key.parse::<Permission>().unwrap().name();
        assert_eq!(name("ADMINISTER"), "Administer Jira");
        assert_eq!(name("BROWSE_PROJECTS"), "Browse Projects");
        assert_eq!(name("MANAGE_SPRINTS_PERMISSION"), "Manage Sprints");
        assert!("browse_projects".parse::<Permission>().is_err());
    }
}
