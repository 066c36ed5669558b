//! The rules, read from the documents one by one. `J` is the vendor's permission model, `A` our architecture, `C` Connect.

use portcullis_authz::decide::Fact;
use portcullis_authz::policy::{Condition, Visibility};
use portcullis_authz::row::{CallerRule, ConnectRule, Expr, Locate, Of, When};
use portcullis_model::{AccessKind, ConnectScope, ScopeSet};

use super::question::{Answer, CONNECT_CHAIN, Question};
use super::world::{Grant, Issue, Project, User, World};

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Yes,
    No,
    NotKnown,
}

fn says(holds: bool) -> Says {
    if holds { Says::Yes } else { Says::No }
}

fn refused(reason: &'static str, seen: bool) -> Answer {
    Answer::Refused { reason, seen }
}

impl World {
    /// Decides, step by step in the order of A 7.
    pub fn naive_decide(&self, question: &Question) -> Answer {
        Naive { world: self, question }.decide()
    }

    /// J 3.4: whether some grant of the project's scheme gives the permission. Holders that need an issue need it here.
    pub fn holds(&self, user: Option<i64>, permission: &str, project: i64, issue: Option<&Issue>) -> bool {
        let Some(project) = self.project_there(project) else { return false };
        for scheme in &self.schemes {
            if scheme.id == project.scheme {
                for grant in &scheme.grants {
                    if grant.permission == permission && self.is_holder(user, grant, project, issue) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// J 3.7: an issue without level is open to all who browse; else the caller must be a member of the level, and the level
    /// must belong to the security scheme of the project.
    pub fn in_level(&self, user: Option<i64>, issue: &Issue) -> bool {
        let Some(wanted) = issue.level else { return true };
        let Some(project) = self.project_there(issue.project) else { return false };
        for level in &self.levels {
            if level.id == wanted && project.security_scheme == Some(level.security_scheme) {
                for member in &level.members {
                    if self.is_holder(user, member, project, Some(issue)) {
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Whether the account holds the grant, or is the member.
    pub fn is_holder(&self, user: Option<i64>, grant: &Grant, project: &Project, issue: Option<&Issue>) -> bool {
        let person = user.and_then(|id| self.person(id));
        if grant.holder_type == "anyone" {
            return person.is_some() || !project.team_managed;
        }
        let Some(person) = person else { return false };
        let parameter = grant.parameter.as_deref();
        match grant.holder_type {
            "applicationRole" => match parameter {
                None => self.has_access(person.id),
                Some(key) => self.uses_application(person, key),
            },
            "user" => parameter == Some(person.id.to_string().as_str()),
            "group" => person.groups.iter().any(|group| parameter == Some(group.to_string().as_str())),
            "projectRole" => project
                .actors
                .iter()
                .any(|actor| parameter == Some(actor.role.to_string().as_str()) && is_actor(person, actor)),
            "projectLead" => project.lead == Some(person.id),
            "reporter" => issue.is_some_and(|issue| issue.reporter == Some(person.id)),
            "assignee" => issue.is_some_and(|issue| issue.assignee == Some(person.id)),
            "userCustomField" => issue.is_some_and(|issue| {
                issue
                    .user_fields
                    .iter()
                    .any(|(field, user)| parameter == Some(field.to_string().as_str()) && *user == person.id)
            }),
            "groupCustomField" => issue.is_some_and(|issue| {
                issue.group_fields.iter().any(|(field, group)| {
                    parameter == Some(field.to_string().as_str()) && person.groups.contains(group)
                })
            }),
            // Customers use the portal, which is not here.
            "sd.customer.portal.only" => false,
            other => panic!("no holder type `{other}`"),
        }
    }

    /// J 3.5: an actor of the role in the project, directly or through a group.
    pub fn has_role(&self, user: i64, project: i64, role: i64) -> bool {
        let Some(person) = self.person(user) else { return false };
        let Some(project) = self.project_there(project) else { return false };
        project.actors.iter().any(|actor| actor.role == role && is_actor(person, actor))
    }

    /// J 3.11: BROWSE_PROJECTS on the issue, and its level.
    pub fn issue_visible(&self, user: Option<i64>, issue: &Issue) -> bool {
        self.holds(user, "BROWSE_PROJECTS", issue.project, Some(issue)) && self.in_level(user, issue)
    }

    /// J 3.3: a project shows itself to who may browse it, administer it, or administer Jira.
    pub fn project_visible(&self, user: Option<i64>, project: i64) -> bool {
        self.project_there(project).is_some()
            && (self.holds(user, "BROWSE_PROJECTS", project, None)
                || self.holds(user, "ADMINISTER_PROJECTS", project, None)
                || self.holds_global(user, "ADMINISTER"))
    }

    /// J 3.1: given to everyone, or to a group of an account that has access to Jira.
    pub fn holds_global(&self, user: Option<i64>, permission: &str) -> bool {
        if permission == "SYSTEM_ADMIN" {
            return false;
        }
        if self.anyone_global.contains(&permission) {
            return true;
        }
        let Some(person) = user.and_then(|id| self.person(id)) else { return false };
        self.has_access(person.id)
            && self.groups.iter().any(|group| person.groups.contains(&group.id) && group.global.contains(&permission))
    }

    /// J 3.6: a member of a group of any application, or an app user.
    pub fn has_access(&self, user: i64) -> bool {
        let Some(person) = self.person(user) else { return false };
        person.account_type == "app"
            || self.groups.iter().any(|group| person.groups.contains(&group.id) && !group.applications.is_empty())
    }

    /// Member of a group that administers people and groups.
    pub fn is_site_admin(&self, user: i64) -> bool {
        let Some(person) = self.person(user) else { return false };
        self.groups.iter().any(|group| person.groups.contains(&group.id) && group.site_admin)
    }

    /// The account, if it is there and active; a deactivated one is nobody.
    pub fn person(&self, id: i64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id && user.active)
    }

    /// The project, unless it is in the trash.
    pub fn project_there(&self, id: i64) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id && !project.trashed)
    }

    /// J 3.15: whether some issue of the project could give the permission. A group picker gives nothing to who is in no group.
    pub fn could_hold(&self, user: Option<i64>, permission: &str, project: i64) -> bool {
        if self.holds(user, permission, project, None) {
            return true;
        }
        let Some(person) = user.and_then(|id| self.person(id)) else { return false };
        self.participant_grants(permission, project)
            .iter()
            .any(|grant| grant.holder_type != "groupCustomField" || !person.groups.is_empty())
    }

    /// Grants of the permission to people who take part in an issue.
    pub fn participant_grants(&self, permission: &str, project: i64) -> Vec<&Grant> {
        const PARTICIPANTS: [&str; 4] = ["reporter", "assignee", "userCustomField", "groupCustomField"];
        let Some(project) = self.project_there(project) else { return Vec::new() };
        let schemes = self.schemes.iter().filter(|scheme| scheme.id == project.scheme);
        let grants = schemes.flat_map(|scheme| &scheme.grants);
        grants.filter(|grant| grant.permission == permission && PARTICIPANTS.contains(&grant.holder_type)).collect()
    }

    /// Whether BROWSE_PROJECTS is given to participants of issues.
    pub fn participants_browse(&self, project: i64) -> bool {
        !self.participant_grants("BROWSE_PROJECTS", project).is_empty()
    }

    /// J 3.10: app users are put into the default groups of every application.
    fn uses_application(&self, person: &User, key: &str) -> bool {
        person.account_type == "app"
            || self.groups.iter().any(|group| person.groups.contains(&group.id) && group.applications.contains(&key))
    }
}

fn is_actor(person: &User, actor: &super::world::RoleActor) -> bool {
    match actor.actor_type {
        "atlassian-user-role-actor" => actor.id == person.id,
        "atlassian-group-role-actor" => person.groups.contains(&actor.id),
        other => panic!("no actor type `{other}`"),
    }
}

/// Applies the engine's filter to one issue, as a database would.
pub fn passes(filter: &Visibility, world: &World, issue: &Issue) -> bool {
    let groups = match filter.user.and_then(|user| world.users.iter().find(|one| one.id == user.0)) {
        Some(user) => user.groups.clone(),
        None => Vec::new(),
    };
    let user = filter.user.map(|user| user.0);
    let met = |condition: &Condition| match condition {
        Condition::Reporter => user.is_some() && issue.reporter == user,
        Condition::Assignee => user.is_some() && issue.assignee == user,
        Condition::UserField(field) => issue.user_fields.iter().any(|(f, value)| *f == field.0 && Some(*value) == user),
        Condition::GroupField(field) => {
            issue.group_fields.iter().any(|(f, value)| *f == field.0 && groups.contains(value))
        }
    };
    let in_project = filter.projects.iter().any(|project| project.0 == issue.project)
        || filter.conditional.iter().any(|(project, condition)| project.0 == issue.project && met(condition));
    let in_level = match issue.level {
        None => true,
        Some(wanted) => {
            filter.levels.iter().any(|(project, level)| project.0 == issue.project && level.0 == wanted)
                || filter.conditional_levels.iter().any(|(project, level, condition)| {
                    project.0 == issue.project && level.0 == wanted && met(condition)
                })
        }
    };
    in_project && in_level
}

struct Naive<'a> {
    world: &'a World,
    question: &'a Question,
}

impl Naive<'_> {
    fn decide(&self) -> Answer {
        let (question, row) = (self.question, self.question.row);

        // A 5: jobs and the command line use the same door, for the audit log, with nobody's rights to ask for. What is
        // not there is not there for them either.
        if matches!(question.access, AccessKind::Operator | AccessKind::System) {
            return if self.target_there() { Answer::Allowed } else { refused("not_visible", false) };
        }

        // J 2, step 4, and the kinds the row accepts.
        if !row.access.contains(question.access) {
            let anonymous = question.access == AccessKind::Anonymous;
            return refused(if anonymous { "not_authenticated" } else { "access_kind" }, true);
        }

        // The account behind the credential.
        match self.user() {
            Some(id) => {
                if self.world.person(id).is_none() {
                    return refused("inactive", true);
                }
            }
            None => {
                let nobody_is_fine = question.access == AccessKind::Anonymous;
                if !nobody_is_fine {
                    return refused("inactive", true);
                }
            }
        }
        if let Some(refusal) = self.impersonation() {
            return refusal;
        }

        // J 2, step 5.
        if !self.scopes_suffice() {
            return refused("scope", true);
        }

        // J 2, step 6: answered as not visible.
        if self.closed_by_rule() {
            return refused("app_access_rule", false);
        }

        // J 2, step 7.
        let mut verdict = self.rule(&row.permission);
        if verdict == Says::Yes && self.may_be_closed_by_rule() {
            verdict = Says::NotKnown;
        }
        let there = self.target_there();
        if verdict == Says::Yes && there {
            return Answer::Allowed;
        }
        // J 3.11, rule 1: what the caller cannot see is not there, whatever else is wrong.
        if !there || !self.target_seen() {
            return refused("not_visible", false);
        }
        refused(if verdict == Says::NotKnown { "unknown_fact" } else { "permission" }, true)
    }

    fn user(&self) -> Option<i64> {
        if self.question.access == AccessKind::Anonymous {
            return None;
        }
        self.question.user
    }

    fn impersonation(&self) -> Option<Answer> {
        let question = self.question;
        if question.access != AccessKind::Connect || question.app_only || question.in_page {
            return None;
        }
        let shut_out = match self.user().and_then(|id| self.world.person(id)) {
            Some(person) => person.account_type == "app" || !self.world.has_access(person.id),
            None => true,
        };
        if shut_out {
            return Some(refused("inactive", true));
        }
        let granted = question.connect.as_ref().is_some_and(|scopes| scopes.contains(&"ACT_AS_USER"));
        if granted { None } else { Some(refused("scope", true)) }
    }

    fn scopes_suffice(&self) -> bool {
        let (question, row) = (self.question, self.question.row);
        match question.access {
            AccessKind::Connect => {
                let Some(granted) = &question.connect else { return false };
                match row.connect {
                    ConnectRule::Inaccessible => false,
                    ConnectRule::Scope(needed) => connect_granted(granted, needed),
                }
            }
            AccessKind::OAuth | AccessKind::Forge | AccessKind::ScopedApiToken => {
                let Some(have) = &question.scopes else { return false };
                one_set_covered(have, row.classic, row.granular)
            }
            AccessKind::ApiToken | AccessKind::Session => match &question.scopes {
                Some(have) => one_set_covered(have, row.classic, row.granular),
                None => true,
            },
            AccessKind::Anonymous | AccessKind::Operator | AccessKind::System => true,
        }
    }

    /// J 8.3: an object of a blocked project, in an operation that is not exempt.
    fn closed_by_rule(&self) -> bool {
        let (question, targets) = (self.question, &self.question.targets);
        if question.row.rule_exempt || question.blocked.is_empty() {
            return false;
        }
        let mut touched = Vec::new();
        touched.extend(targets.project.known().copied());
        touched.extend(targets.other_project.known().copied());
        for issue in [&targets.issue, &targets.other_issue] {
            touched.extend(issue.known().and_then(|id| self.world.issue(*id)).map(|issue| issue.project));
        }
        if let Fact::Known(issues) = &targets.issues {
            touched.extend(issues.iter().filter_map(|id| self.world.issue(*id)).map(|issue| issue.project));
        }
        if let Fact::Known(projects) = &targets.projects {
            touched.extend(projects.iter().filter_map(|one| one.known().copied()));
        }
        touched.iter().any(|project| question.blocked.contains(project))
    }

    /// Whether the project of what was not found out could be a blocked one.
    fn may_be_closed_by_rule(&self) -> bool {
        !self.question.row.rule_exempt && !self.question.blocked.is_empty() && self.located_is_unknown()
    }

    /// Whether something that the row locates was not found out.
    fn located_is_unknown(&self) -> bool {
        let targets = &self.question.targets;
        match self.question.row.locate {
            Locate::Nothing | Locate::User | Locate::Filter(_) | Locate::UsedEverywhere => false,
            Locate::Project(_)
            | Locate::ProjectUpdate(_)
            | Locate::Version(_)
            | Locate::Component(_)
            | Locate::QueryProject
            | Locate::BodyCreateIssue
            | Locate::BodyVersion
            | Locate::BodyComponent => targets.project == Fact::Unknown,
            Locate::Issue(_)
            | Locate::IssueAndUser(_)
            | Locate::OnIssue(..)
            | Locate::Attachment(_)
            | Locate::CommentById(_) => targets.issue == Fact::Unknown,
            Locate::IssueLink(_) | Locate::BodyIssueLink => {
                targets.issue == Fact::Unknown || targets.other_issue == Fact::Unknown
            }
            Locate::BodyCreateIssues => match &targets.projects {
                Fact::Known(projects) => projects.contains(&Fact::Unknown),
                Fact::Missing => false,
                Fact::Unknown => true,
            },
            Locate::NotLocated => true,
        }
    }

    fn rule(&self, expr: &Expr) -> Says {
        let targets = &self.question.targets;
        match expr {
            Expr::Nothing => Says::Yes,
            Expr::LoggedIn => says(self.user().is_some_and(|user| self.world.has_access(user))),
            Expr::Account => says(self.user().is_some_and(|user| self.world.person(user).is_some())),
            Expr::SiteAdmin | Expr::OrgAdmin => says(self.user().is_some_and(|user| self.world.is_site_admin(user))),
            Expr::Global(permission) => says(self.world.holds_global(self.user(), permission.key())),
            Expr::Project(permission, of) => self.project_permission(permission.key(), *of),
            Expr::IssueSecurity(of) => self.security(*of),
            Expr::Visible(_) => match targets.restriction {
                Fact::Known(restriction) => says(self.restriction_lets(restriction)),
                Fact::Missing => Says::No,
                Fact::Unknown => Says::NotKnown,
            },
            Expr::Owner(_) => self.owned(),
            Expr::Shared(_) => flag(targets.shared),
            Expr::Editable(_) => flag(targets.editable),
            Expr::Caller(rule) => self.caller(*rule),
            Expr::NeverKnown(_) => Says::NotKnown,
            Expr::All(rules) => {
                let answers: Vec<Says> = rules.iter().map(|rule| self.rule(rule)).collect();
                // Read left to right: the first that does not hold is the reason.
                answers.into_iter().find(|answer| *answer != Says::Yes).unwrap_or(Says::Yes)
            }
            Expr::Any(rules) => {
                let answers: Vec<Says> = rules.iter().map(|rule| self.rule(rule)).collect();
                if answers.contains(&Says::Yes) {
                    Says::Yes
                } else if answers.contains(&Says::NotKnown) {
                    Says::NotKnown
                } else {
                    Says::No
                }
            }
            Expr::Cases(cases) => {
                for (when, rule) in *cases {
                    if self.condition_holds(*when) {
                        return self.rule(rule);
                    }
                }
                Says::No
            }
        }
    }

    fn condition_holds(&self, when: When) -> bool {
        match when {
            When::Otherwise => true,
            When::NeverKnown(_) => false,
            When::ConnectAppOnly => {
                self.question.targets.holding.contains(&when)
                    || (self.question.access == AccessKind::Connect && self.question.app_only)
            }
            other => self.question.targets.holding.contains(&other),
        }
    }

    fn caller(&self, rule: CallerRule) -> Says {
        let right_kind = match self.question.access {
            AccessKind::Connect => rule.connect,
            AccessKind::Forge => rule.forge,
            AccessKind::OAuth => rule.oauth,
            _ => false,
        };
        if !right_kind || (rule.app_only && !self.question.app_only) {
            return Says::No;
        }
        match rule.owns {
            // What belongs to the app itself is named by its credential.
            None | Some("self") => Says::Yes,
            Some(_) => self.owned(),
        }
    }

    fn owned(&self) -> Says {
        match self.question.targets.owner {
            Fact::Known(Some(owner)) => says(self.user() == Some(owner)),
            Fact::Known(None) | Fact::Missing => Says::No,
            Fact::Unknown => Says::NotKnown,
        }
    }

    fn project_permission(&self, permission: &str, of: Of) -> Says {
        let targets = &self.question.targets;
        match of {
            Of::Project => self.on_project(permission, targets.project),
            Of::OtherProject => self.on_project(permission, targets.other_project),
            Of::Issue => self.on_issue(permission, targets.issue),
            Of::OtherIssue => self.on_issue(permission, targets.other_issue),
            Of::BothIssues => {
                first_no([targets.issue, targets.other_issue].map(|issue| self.on_issue(permission, issue)))
            }
            Of::EachIssue => match &targets.issues {
                Fact::Known(issues) if issues.is_empty() => Says::No,
                Fact::Known(issues) => first_no(issues.iter().map(|id| self.on_issue(permission, Fact::Known(*id)))),
                Fact::Missing => Says::No,
                Fact::Unknown => Says::NotKnown,
            },
            Of::EachProject => match &targets.projects {
                Fact::Known(projects) if projects.is_empty() => Says::No,
                Fact::Known(projects) => first_no(projects.iter().map(|one| self.on_project(permission, *one))),
                Fact::Missing => Says::No,
                Fact::Unknown => Says::NotKnown,
            },
            Of::AnyProject => {
                let all: Vec<i64> = self.world.projects.iter().map(|project| project.id).collect();
                says(all.iter().any(|project| self.gives(permission, *project)))
            }
            Of::AnyProjectUsing => match &targets.using {
                Fact::Known(projects) => says(projects.iter().any(|project| self.gives(permission, *project))),
                Fact::Missing => Says::No,
                Fact::Unknown => Says::NotKnown,
            },
        }
    }

    fn gives(&self, permission: &str, project: i64) -> bool {
        let closed = !self.question.row.rule_exempt && self.question.blocked.contains(&project);
        !closed && self.world.holds(self.user(), permission, project, None)
    }

    fn on_project(&self, permission: &str, project: Fact<i64>) -> Says {
        match project {
            Fact::Known(id) => {
                // J 3.3: browse through participation needs one real visible issue.
                let takes_part = permission == "BROWSE_PROJECTS"
                    && self.question.targets.project == Fact::Known(id)
                    && self.question.targets.participates == Fact::Known(true)
                    && self.world.participants_browse(id);
                says(takes_part || self.world.holds(self.user(), permission, id, None))
            }
            Fact::Missing => Says::No,
            Fact::Unknown => Says::NotKnown,
        }
    }

    fn on_issue(&self, permission: &str, issue: Fact<i64>) -> Says {
        match issue {
            Fact::Known(id) => match self.world.issue(id) {
                Some(issue) => says(self.world.holds(self.user(), permission, issue.project, Some(issue))),
                None => Says::No,
            },
            Fact::Missing => Says::No,
            Fact::Unknown => Says::NotKnown,
        }
    }

    fn security(&self, of: Of) -> Says {
        let targets = &self.question.targets;
        match of {
            Of::Issue => self.level_of(targets.issue),
            Of::OtherIssue => self.level_of(targets.other_issue),
            Of::BothIssues => first_no([targets.issue, targets.other_issue].map(|issue| self.level_of(issue))),
            Of::EachIssue => match &targets.issues {
                // Of no issue at all, each is in its level; the permissions beside it refuse that.
                Fact::Known(issues) => first_no(issues.iter().map(|id| self.level_of(Fact::Known(*id)))),
                Fact::Missing => Says::No,
                Fact::Unknown => Says::NotKnown,
            },
            // Projects have no level.
            Of::Project | Of::OtherProject | Of::EachProject | Of::AnyProject | Of::AnyProjectUsing => Says::NotKnown,
        }
    }

    fn level_of(&self, issue: Fact<i64>) -> Says {
        match issue {
            Fact::Known(id) => match self.world.issue(id) {
                Some(issue) => says(self.world.in_level(self.user(), issue)),
                None => Says::No,
            },
            Fact::Missing => Says::No,
            Fact::Unknown => Says::NotKnown,
        }
    }

    /// J 3.8: in the group, or in the role in the project of the issue; the author has no special pass.
    fn restriction_lets(&self, restriction: Option<(&'static str, i64)>) -> bool {
        let Some((kind, id)) = restriction else { return true };
        let Some(user) = self.user() else { return false };
        match kind {
            "group" => self.world.person(user).is_some_and(|person| person.groups.contains(&id)),
            "role" => match self.question.targets.issue.known().and_then(|id| self.world.issue(*id)) {
                Some(issue) => self.world.has_role(user, issue.project, id),
                None => false,
            },
            _ => false,
        }
    }

    /// Whether everything that the request names exists.
    fn target_there(&self) -> bool {
        let targets = &self.question.targets;
        if [targets.project, targets.issue, targets.other_issue].contains(&Fact::Missing)
            || targets.owner == Fact::Missing
        {
            return false;
        }
        if targets.other_project == Fact::Missing
            || targets.issues == Fact::Missing
            || targets.projects == Fact::Missing
            || targets.restriction == Fact::Missing
        {
            return false;
        }
        if self.question.row.id == "restore" {
            return true;
        }
        let mut projects: Vec<i64> =
            [targets.project, targets.other_project].iter().filter_map(Fact::known).copied().collect();
        for issue in [targets.issue, targets.other_issue] {
            projects.extend(issue.known().and_then(|id| self.world.issue(*id)).map(|issue| issue.project));
        }
        let in_trash = |id: &i64| self.world.projects.iter().any(|project| project.id == *id && project.trashed);
        !projects.iter().any(in_trash)
    }

    /// J 3.11: every object that was found must be one that the caller may know of. What is not there looks hidden; what
    /// was not found out tells nothing.
    fn target_seen(&self) -> bool {
        let targets = &self.question.targets;
        let mut issues = vec![targets.issue, targets.other_issue];
        match &targets.issues {
            Fact::Known(all) => issues.extend(all.iter().map(|id| Fact::Known(*id))),
            Fact::Missing => return false,
            Fact::Unknown => {}
        }
        for issue in issues {
            match issue {
                Fact::Known(id) => match self.world.issue(id) {
                    Some(issue) if self.world.issue_visible(self.user(), issue) => {}
                    _ => return false,
                },
                Fact::Missing => return false,
                Fact::Unknown => {}
            }
        }
        let mut projects = vec![targets.project, targets.other_project];
        match &targets.projects {
            Fact::Known(all) => projects.extend(all.iter().copied()),
            Fact::Missing => return false,
            Fact::Unknown => {}
        }
        for project in projects {
            match project {
                Fact::Known(id) if self.project_seen(id) => {}
                Fact::Known(_) | Fact::Missing => return false,
                Fact::Unknown => {}
            }
        }
        match targets.restriction {
            Fact::Known(restriction) if self.restriction_lets(restriction) => {}
            Fact::Known(_) | Fact::Missing => return false,
            Fact::Unknown => {}
        }
        if targets.owner == Fact::Missing {
            return false;
        }
        self.filter_seen()
    }

    fn project_seen(&self, project: i64) -> bool {
        let targets = &self.question.targets;
        let located_issue = targets.issue.known().and_then(|id| self.world.issue(*id));
        if located_issue.is_some_and(|issue| issue.project == project) {
            // The issue is visible, or we would not be here; its project is no secret then.
            return true;
        }
        let takes_part = targets.participates == Fact::Known(true)
            && targets.project == Fact::Known(project)
            && self.world.participants_browse(project);
        takes_part || self.world.project_visible(self.user(), project)
    }

    /// J 3.13: owned, or shared.
    fn filter_seen(&self) -> bool {
        let targets = &self.question.targets;
        let Fact::Known(owner) = targets.owner else { return true };
        let own = match owner {
            Some(_) => owner == self.user(),
            None => false,
        };
        own || targets.shared != Fact::Known(false)
    }
}

fn flag(fact: Fact<bool>) -> Says {
    match fact {
        Fact::Known(holds) => says(holds),
        Fact::Missing => Says::No,
        Fact::Unknown => Says::NotKnown,
    }
}

fn first_no(answers: impl IntoIterator<Item = Says>) -> Says {
    answers.into_iter().find(|answer| *answer != Says::Yes).unwrap_or(Says::Yes)
}

/// J 2, B.3: one listed set completely; a set that is listed but empty asks for nothing, one that is not listed gives nothing.
fn one_set_covered(have: &[&str], classic: Option<ScopeSet>, granular: Option<ScopeSet>) -> bool {
    for set in [classic, granular].into_iter().flatten() {
        let needed: Vec<&str> = set.names().collect();
        if needed.iter().all(|name| have.contains(name)) {
            return true;
        }
    }
    false
}

/// C 5.1: NONE needs no declaration; each of the chain implies those before it; the two others stand alone.
fn connect_granted(granted: &[&str], needed: ConnectScope) -> bool {
    match needed {
        ConnectScope::ActAsUser => granted.contains(&"ACT_AS_USER"),
        ConnectScope::AccessEmailAddresses => granted.contains(&"ACCESS_EMAIL_ADDRESSES"),
        ConnectScope::None => true,
        _ => {
            let start = CONNECT_CHAIN.iter().position(|(_, scope)| *scope == needed).expect("a scope of the chain");
            CONNECT_CHAIN[start..].iter().any(|(name, _)| granted.contains(name))
        }
    }
}
