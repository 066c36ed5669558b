//! The smallest change of rights after which a rule would hold for an account.
//!
//! The rule of the operation is walked on today's snapshot. Where several changes would do, the one that gives least wins: a role
//! in one project before a group, a group before a new grant, all of these before administration of the site.

use portcullis_authz::policy::{IssueFacts, UserFacts};
use portcullis_authz::{Conditions, Expr, Of, When};
use portcullis_guard::Snapshot;
use portcullis_model::{GlobalPermission, GroupId, IssueId, LevelId, ProjectId, ProjectPermission, RoleId, UserId};
use serde_json::{Value as Json, json};

use super::site::{Site, Who, group_name, project_key};

/// What somebody has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Activate,
    JoinGroup(GroupId),
    JoinRole(ProjectId, RoleId),
    Lead(ProjectId),
    Assign(IssueId),
    Report(IssueId),
    Field(IssueId, i64),
    Grant(i64, ProjectPermission),
    GrantAnywhere(ProjectPermission),
    GrantGlobal(GlobalPermission),
    JoinLevel(LevelId),
    Restore(ProjectId),
}

/// A step of the change, with what it costs: more for what gives more besides.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub action: Action,
    pub text: String,
    cost: u32,
}

/// Costs. Only their order means anything.
mod cost {
    pub(super) const ACTIVATE: u32 = 1;
    pub(super) const ROLE: u32 = 10;
    pub(super) const ACCESS: u32 = 15;
    pub(super) const GROUP: u32 = 20;
    pub(super) const ON_ISSUE: u32 = 25;
    pub(super) const LEAD: u32 = 30;
    pub(super) const NEW_GRANT: u32 = 40;
    pub(super) const GLOBAL: u32 = 60;
    pub(super) const SITE_ADMIN: u32 = 200;
    /// Groups and roles that are meant for apps.
    pub(super) const FOR_APPS: u32 = 100;
}

/// A question on today's snapshot.
pub(super) struct Question<'a> {
    pub snapshot: &'a Snapshot,
    pub site: &'a Site,
    pub user: UserId,
    pub project: Option<ProjectId>,
    pub issue: Option<&'a IssueFacts>,
    /// The steps of the decision, for what cannot be found out again.
    pub trace: &'a [String],
    /// Conditions of the rule's cases that are known to hold.
    pub holding: Conditions,
    /// Whether the decision came as far as the rule; if not, which case applies may be open.
    pub rule_reached: bool,
}

/// The steps, or why no change of rights would do.
pub(super) type Needed = Result<Vec<Step>, String>;

impl Question<'_> {
    /// What the account lacks for a rule; no steps: it holds today.
    pub(super) fn needed(&self, rule: &Expr) -> Needed {
        match self.facts() {
            None => return Err("the account does not exist any more".to_owned()),
            // An inactive account holds nothing, so what it would hold cannot be asked.
            Some(facts) if !facts.active => return Ok(vec![self.activate()]),
            Some(_) => {}
        }
        let mut chosen = Vec::new();
        if let Some(project) =
            self.project.and_then(|id| self.snapshot.policy.project(id)).filter(|facts| facts.trashed)
        {
            let text = format!("Restore the project {} from the trash.", project.key);
            chosen.push(Step { action: Action::Restore(project.id), text, cost: 0 });
        }
        self.rule(rule, &mut chosen)?;
        Ok(chosen)
    }

    /// The same for one project permission, with the issue's security level where there is an issue.
    pub(super) fn needed_for_permission(&self, permission: ProjectPermission) -> Needed {
        if self.issue.is_some() {
            let browse = Expr::Project(ProjectPermission::BrowseProjects, Of::Issue);
            let mut chosen = self.needed(&Expr::Project(permission, Of::Issue))?;
            if chosen.iter().any(|step| step.action == Action::Activate) {
                return Ok(chosen);
            }
            self.rule(&browse, &mut chosen)?;
            self.rule(&Expr::IssueSecurity(Of::Issue), &mut chosen)?;
            return Ok(chosen);
        }
        self.needed(&Expr::Project(permission, Of::Project))
    }

    fn facts(&self) -> Option<&UserFacts> {
        self.snapshot.policy.user(self.user)
    }

    fn name(&self) -> String {
        self.snapshot.person(self.user).map_or_else(|| "the account".to_owned(), |person| person.display_name.clone())
    }

    fn activate(&self) -> Step {
        let text = format!("Activate {}, who is deactivated, and ask again.", self.name());
        Step { action: Action::Activate, text, cost: cost::ACTIVATE }
    }

    fn rule(&self, rule: &Expr, chosen: &mut Vec<Step>) -> Result<(), String> {
        let policy = &self.snapshot.policy;
        match rule {
            Expr::Nothing | Expr::Account => Ok(()),
            Expr::LoggedIn => {
                if policy.has_access(self.user) {
                    Ok(())
                } else {
                    self.access(chosen)
                }
            }
            Expr::SiteAdmin | Expr::OrgAdmin => {
                if policy.is_site_admin(self.user) {
                    return Ok(());
                }
                let options = self.site.site_admin_groups.iter().map(|group| {
                    let why = "whose members administer the site's people and groups";
                    vec![self.join_group(*group, why, cost::SITE_ADMIN)]
                });
                self.choose(options.collect(), chosen, "no group administers the site")
            }
            Expr::Global(permission) => self.global(*permission, chosen),
            Expr::Project(permission, of) => self.project(*permission, *of, chosen),
            Expr::IssueSecurity(_) => self.security(chosen),
            Expr::Visible(thing) => self.seen(&format!("restriction:{thing:?}"), "it is restricted to a group or role"),
            Expr::Owner(thing) => self.by_trace(&format!("owner:{thing:?}"), "it belongs to somebody else"),
            Expr::Shared(thing) => self.by_trace(&format!("shared:{thing:?}"), "it is not shared with the account"),
            Expr::Editable(thing) => self.by_trace(&format!("editable:{thing:?}"), "it is not shared for editing"),
            Expr::Caller(_) => Err("only apps call this operation, not people".to_owned()),
            Expr::NeverKnown(words) => Err(format!("it depends on what Portcullis does not keep: {words}")),
            Expr::All(rules) => rules.iter().try_for_each(|rule| self.rule(rule, chosen)),
            Expr::Any(rules) => self.any(rules, chosen),
            Expr::Cases(cases) => {
                let applied = |when: &When| self.trace.contains(&format!("case:{when:?}:yes"));
                let case = cases.iter().find(|(when, _)| applied(when));
                let case = case.or_else(|| cases.iter().find(|(when, _)| self.holding.holds(*when)));
                match case {
                    Some((_, rule)) => self.rule(rule, chosen),
                    None if !self.rule_reached => Ok(()),
                    None => Err("the operation has no rule for what was asked".to_owned()),
                }
            }
        }
    }

    fn any(&self, rules: &[Expr], chosen: &mut Vec<Step>) -> Result<(), String> {
        let mut best: Option<Vec<Step>> = None;
        let mut reasons = Vec::new();
        for rule in rules {
            let mut attempt = chosen.clone();
            match self.rule(rule, &mut attempt) {
                Ok(()) if best.as_ref().is_none_or(|best| total(&attempt) < total(best)) => best = Some(attempt),
                Ok(()) => {}
                Err(reason) => reasons.push(reason),
            }
        }
        match best {
            Some(steps) => {
                *chosen = steps;
                Ok(())
            }
            None => Err(reasons.join("; or ")),
        }
    }

    /// Takes the cheapest option; one whose steps are chosen already costs nothing.
    fn choose(&self, options: Vec<Vec<Step>>, chosen: &mut Vec<Step>, none: &str) -> Result<(), String> {
        let fresh = |option: Vec<Step>| -> Vec<Step> {
            option.into_iter().filter(|step| !chosen.iter().any(|have| have.action == step.action)).collect()
        };
        let best = options.into_iter().map(fresh).min_by_key(|option| total(option));
        chosen.extend(best.ok_or_else(|| none.to_owned())?);
        Ok(())
    }

    fn join_group(&self, group: GroupId, why: &str, cost: u32) -> Step {
        let name = group_name(self.snapshot, group);
        let for_apps = if name.starts_with("atlassian-addons") { cost::FOR_APPS } else { 0 };
        let rights = self.site.global.iter().filter(|(_, holder)| *holder == group).count();
        let admin = if self.site.site_admin_groups.contains(&group) { cost::SITE_ADMIN } else { 0 };
        Step {
            action: Action::JoinGroup(group),
            text: format!("Add {} to the group {name}, {why}.", self.name()),
            cost: cost.max(admin).saturating_add(for_apps).saturating_add(u32::try_from(rights).unwrap_or(u32::MAX)),
        }
    }

    /// Access to Jira.
    fn access(&self, chosen: &mut Vec<Step>) -> Result<(), String> {
        let options = self.site.application_groups.iter().map(|(key, group, is_default)| {
            let why = format!("which gives access to {}", self.site.application(key));
            let cost = if *is_default { cost::ACCESS } else { cost::GROUP };
            vec![self.join_group(*group, &why, cost)]
        });
        self.choose(options.collect(), chosen, "no group gives access to Jira")
    }

    fn gives_access(&self, group: GroupId) -> bool {
        self.site.application_groups.iter().any(|(_, holder, _)| *holder == group)
    }

    fn global(&self, permission: GlobalPermission, chosen: &mut Vec<Step>) -> Result<(), String> {
        if self.snapshot.policy.holds_global(Some(self.user), permission) {
            return Ok(());
        }
        let member = |group: GroupId| self.facts().is_some_and(|facts| facts.groups.contains(&group));
        let licensed = self.snapshot.policy.has_access(self.user);
        let mut options = Vec::new();
        for (_, group) in self.site.global.iter().filter(|(key, _)| key == permission.key()) {
            let mut option = Vec::new();
            if !member(*group) {
                let why = format!("which holds the global permission {permission}");
                option.push(self.join_group(*group, &why, cost::GLOBAL));
            }
            // A global permission is of use only with access to Jira.
            if !licensed && !self.gives_access(*group) && self.access(&mut option).is_err() {
                continue;
            }
            options.push(option);
        }
        if options.is_empty() {
            let text = format!("Grant the global permission {permission} to a group of {}.", self.name());
            options.push(vec![Step {
                action: Action::GrantGlobal(permission),
                text,
                cost: cost::GLOBAL + cost::NEW_GRANT,
            }]);
        }
        self.choose(options, chosen, "")
    }

    /// The project that a permission was asked for: the one located, else the one in the step that failed.
    fn project_of(&self, permission: ProjectPermission, of: Of) -> Option<ProjectId> {
        let prefix = format!("project:{permission}:");
        let failed = || {
            self.trace.iter().find_map(|step| {
                let id = step.strip_prefix(&prefix)?.strip_suffix(":no")?.split(':').next()?;
                id.parse().ok().map(ProjectId)
            })
        };
        match of {
            Of::Project => self.project,
            Of::Issue => self.issue.map(|issue| issue.project).or(self.project),
            Of::OtherIssue | Of::BothIssues | Of::EachIssue | Of::EachProject | Of::OtherProject => {
                failed().or(self.project)
            }
            Of::AnyProject | Of::AnyProjectUsing => self.project.or_else(failed),
        }
    }

    fn project(&self, permission: ProjectPermission, of: Of, chosen: &mut Vec<Step>) -> Result<(), String> {
        let policy = &self.snapshot.policy;
        if matches!(of, Of::AnyProject | Of::AnyProjectUsing)
            && policy.projects().any(|project| policy.holds(Some(self.user), permission, project.id, None).is_some())
        {
            return Ok(());
        }
        let Some(project) = self.project_of(permission, of).and_then(|id| policy.project(id)) else {
            if !matches!(of, Of::AnyProject | Of::AnyProjectUsing) {
                return Err("what was named does not exist".to_owned());
            }
            let text = format!("Give {} {permission} in any project, by a role or a grant there.", self.name());
            chosen.push(Step { action: Action::GrantAnywhere(permission), text, cost: cost::NEW_GRANT });
            return Ok(());
        };
        let issue = self.issue.filter(|issue| issue.project == project.id && of != Of::Project);
        if !project.trashed && policy.holds(Some(self.user), permission, project.id, issue).is_some() {
            return Ok(());
        }
        let scheme = project.scheme.0;
        let grants =
            || self.site.grants.iter().filter(|grant| grant.scheme == scheme && grant.permission == permission.key());
        if project.trashed && grants().any(|grant| self.is(&grant.who, project.id, issue)) {
            return Ok(());
        }
        let mut options = Vec::new();
        for grant in grants() {
            let by = format!("grant {} of the scheme {}", grant.id, self.site.scheme(scheme));
            let gives = format!("which {by} gives {permission}");
            options.extend(self.becoming(&grant.who, project.id, issue, &gives));
        }
        let text =
            format!("Grant {permission} to {} in the permission scheme {}.", self.name(), self.site.scheme(scheme));
        options.push(vec![Step { action: Action::Grant(scheme, permission), text, cost: cost::NEW_GRANT }]);
        self.choose(options, chosen, "")
    }

    /// Whether the account is such a holder already; asked where the project is in the trash, so that the engine says no.
    fn is(&self, who: &Who, project: ProjectId, issue: Option<&IssueFacts>) -> bool {
        let groups = self.facts().map(|facts| facts.groups.as_slice()).unwrap_or_default();
        let Some(facts) = self.snapshot.policy.project(project) else { return false };
        match who {
            Who::Anyone => true,
            Who::Application(_) => self.snapshot.policy.has_access(self.user),
            Who::User(user) => *user == self.user,
            Who::Group(group) => groups.contains(group),
            Who::Role(role) => facts.actors.iter().any(|(held, actor)| {
                held == role
                    && match actor {
                        portcullis_authz::policy::Actor::User(user) => *user == self.user,
                        portcullis_authz::policy::Actor::Group(group) => groups.contains(group),
                    }
            }),
            Who::Lead => facts.lead == Some(self.user),
            Who::Reporter => issue.is_some_and(|issue| issue.reporter == Some(self.user)),
            Who::Assignee => issue.is_some_and(|issue| issue.assignee == Some(self.user)),
            Who::UserField(_) | Who::GroupField(_) | Who::Other => false,
        }
    }

    /// How the account would become such a holder.
    fn becoming(&self, who: &Who, project: ProjectId, issue: Option<&IssueFacts>, gives: &str) -> Option<Vec<Step>> {
        let name = self.name();
        let key = project_key(self.snapshot, project);
        let on_issue = |action: Action, text: String| Some(vec![Step { action, text, cost: cost::ON_ISSUE }]);
        let issue_key = || self.site.issue_key.clone().unwrap_or_else(|| "the issue".to_owned());
        match (who, issue) {
            (Who::Role(role), _) => {
                let role_name = self.site.role(*role);
                let for_apps = if role_name.starts_with("atlassian-addons") { cost::FOR_APPS } else { 0 };
                let text = format!("Add {name} to the role {role_name} of {key}, {gives}.");
                Some(vec![Step { action: Action::JoinRole(project, *role), text, cost: cost::ROLE + for_apps }])
            }
            (Who::Group(group), _) => Some(vec![self.join_group(*group, gives, cost::GROUP)]),
            (Who::Application(_), _) => {
                let mut steps = Vec::new();
                self.access(&mut steps).ok()?;
                Some(steps)
            }
            (Who::Lead, _) => {
                let text = format!("Make {name} the lead of {key}, {gives}.");
                Some(vec![Step { action: Action::Lead(project), text, cost: cost::LEAD }])
            }
            (Who::Assignee, Some(issue)) => on_issue(
                Action::Assign(issue.id),
                format!("Assign {} to {name}: the assignee is one {gives}.", issue_key()),
            ),
            (Who::Reporter, Some(issue)) => on_issue(
                Action::Report(issue.id),
                format!("Make {name} the reporter of {}: the reporter is one {gives}.", issue_key()),
            ),
            (Who::UserField(field), Some(issue)) => on_issue(
                Action::Field(issue.id, field.0),
                format!("Name {name} in the field {} of {}, {gives}.", self.site.field(*field), issue_key()),
            ),
            (Who::Assignee | Who::Reporter | Who::UserField(_), None)
            | (Who::Anyone | Who::User(_) | Who::GroupField(_) | Who::Other, _) => None,
        }
    }

    fn security(&self, chosen: &mut Vec<Step>) -> Result<(), String> {
        let Some(issue) = self.issue else { return Ok(()) };
        if self.snapshot.policy.in_level(Some(self.user), issue).is_ok() {
            return Ok(());
        }
        let Some((level, level_name)) = &self.site.level else {
            return Err("the issue's security level does not exist any more".to_owned());
        };
        let gives = format!("which the security level {level_name} admits");
        let mut options: Vec<Vec<Step>> = self
            .site
            .level_members
            .iter()
            .filter_map(|who| self.becoming(who, issue.project, Some(issue), &gives))
            .collect();
        let text = format!("Add {} to the security level {level_name} of the issue.", self.name());
        options.push(vec![Step { action: Action::JoinLevel(*level), text, cost: cost::NEW_GRANT }]);
        self.choose(options, chosen, "")
    }

    /// A rule that only the trace knows of; taken to hold where the trace did not come to it.
    fn seen(&self, rule: &str, reason: &str) -> Result<(), String> {
        let rule = rule.to_lowercase();
        if self.trace.contains(&format!("{rule}:no")) { Err(reason.to_owned()) } else { Ok(()) }
    }

    /// A rule that only the trace knows of; taken not to hold where the trace did not come to it.
    fn by_trace(&self, rule: &str, reason: &str) -> Result<(), String> {
        let rule = rule.to_lowercase();
        if self.trace.contains(&format!("{rule}:yes")) { Ok(()) } else { Err(reason.to_owned()) }
    }
}

fn total(steps: &[Step]) -> u32 {
    steps.iter().fold(0, |sum, step| sum.saturating_add(step.cost))
}

/// The steps for an answer, `{"steps": [..], "text": ".."}`; what the credential lacks comes first.
pub(super) fn json_of(needed: &Needed, credential: Option<String>, snapshot: &Snapshot) -> Json {
    let mut steps: Vec<Json> = Vec::new();
    if let Some(text) = credential {
        steps.push(json!({"action": "changeCredential", "text": text}));
    }
    match needed {
        Ok(changes) => steps.extend(changes.iter().map(|step| step_json(step, snapshot))),
        Err(reason) => {
            let text = format!("No change of rights would allow it: {reason}.");
            return json!({"possible": false, "steps": steps, "text": text});
        }
    }
    let texts: Vec<&str> = steps.iter().filter_map(|step| step.get("text").and_then(Json::as_str)).collect();
    let text = if texts.is_empty() { "None is needed: it would be allowed now.".to_owned() } else { texts.join(" ") };
    json!({"possible": true, "steps": steps, "text": text})
}

fn step_json(step: &Step, snapshot: &Snapshot) -> Json {
    let project = |id: ProjectId| json!({"id": id.to_string(), "key": project_key(snapshot, id)});
    let mut out = match &step.action {
        Action::Activate => json!({"action": "activateAccount"}),
        Action::JoinGroup(group) => {
            let (name, uuid) = snapshot.group(*group).cloned().unwrap_or_default();
            json!({"action": "addToGroup", "group": {"groupId": uuid, "name": name}})
        }
        Action::JoinRole(id, role) => {
            json!({"action": "addToRole", "project": project(*id), "role": {"id": role.to_string()}})
        }
        Action::Lead(id) => json!({"action": "makeLead", "project": project(*id)}),
        Action::Assign(issue) => json!({"action": "assignIssue", "issue": {"id": issue.to_string()}}),
        Action::Report(issue) => json!({"action": "changeReporter", "issue": {"id": issue.to_string()}}),
        Action::Field(issue, field) => {
            json!({"action": "changeField", "issue": {"id": issue.to_string()}, "field": format!("customfield_{field}")})
        }
        Action::Grant(scheme, permission) => {
            json!({"action": "addGrant", "scheme": {"id": scheme.to_string()}, "permission": permission.key()})
        }
        Action::GrantAnywhere(permission) => json!({"action": "addGrant", "permission": permission.key()}),
        Action::GrantGlobal(permission) => json!({"action": "grantGlobalPermission", "permission": permission.key()}),
        Action::JoinLevel(level) => json!({"action": "addToSecurityLevel", "level": {"id": level.to_string()}}),
        Action::Restore(id) => json!({"action": "restoreProject", "project": project(*id)}),
    };
    if let Some(members) = out.as_object_mut() {
        members.insert("text".into(), step.text.clone().into());
    }
    out
}
