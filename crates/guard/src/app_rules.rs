//! App access rules: projects whose content apps may not reach, whatever their scopes and accounts allow. An administrator closes a
//! project to one app or to all; API tokens and sessions are not apps and are left alone, as in the vendor's data security policies.

use std::collections::HashMap;

use portcullis_model::ProjectId;
use portcullis_store::{Mode, StoreError, Tx};

/// The word for every app.
pub const ALL_APPS: &str = "*";

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppRules {
    /// Closed to every app.
    all: Vec<ProjectId>,
    /// Closed to an app by its word, those closed to every app among them.
    by_app: HashMap<String, Vec<ProjectId>>,
}

impl AppRules {
    fn new(rules: Vec<(ProjectId, String)>) -> Self {
        let all: Vec<ProjectId> =
            rules.iter().filter(|(_, app)| app == ALL_APPS).map(|(project, _)| *project).collect();
        let mut by_app: HashMap<String, Vec<ProjectId>> = HashMap::new();
        for (project, app) in rules.into_iter().filter(|(_, app)| app != ALL_APPS) {
            let closed = by_app.entry(app).or_insert_with(|| all.clone());
            if !closed.contains(&project) {
                closed.push(project);
            }
        }
        Self { all, by_app }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.by_app.is_empty()
    }

    /// The projects that are closed to an app: `connect:{key}`, `forge:{id}` or `oauth:{client id}`.
    pub fn closed_to(&self, app: &str) -> &[ProjectId] {
        self.by_app.get(app).unwrap_or(&self.all)
    }
}

pub(crate) async fn load<M: Mode>(tx: &mut Tx<M>) -> Result<AppRules, StoreError> {
    let rows = tx.query("SELECT project_id, app FROM app_access_rule ORDER BY id", &[]).await?;
    let rules = rows.iter().map(|row| Ok((ProjectId(row.get("project_id")?), row.get("app")?)));
    Ok(AppRules::new(rules.collect::<Result<_, StoreError>>()?))
}

#[cfg(test)]
mod tests {
    use super::{ALL_APPS, AppRules};
    use portcullis_model::ProjectId;

    #[test]
    fn a_rule_for_all_holds_for_apps_with_rules_of_their_own() {
        let rules = vec![
            (ProjectId(2), "connect:a".to_owned()),
            (ProjectId(1), ALL_APPS.to_owned()),
            (ProjectId(1), "connect:a".to_owned()),
        ];
        let rules = AppRules::new(rules);
        assert_eq!(rules.closed_to("oauth:x"), [ProjectId(1)]);
        assert_eq!(rules.closed_to("connect:a"), [ProjectId(1), ProjectId(2)]);
        assert_eq!(AppRules::default().closed_to("connect:a"), []);
    }
}
