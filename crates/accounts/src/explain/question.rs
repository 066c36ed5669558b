//! `POST explain`: whether an account may call an operation, or holds a permission, and through what.

use portcullis_authz::decide::{
    Conditions, Decision, Fact, Facts, Outcome as Verdict, Restriction, Subject, decide, issue_visible, project_visible,
};
use portcullis_authz::policy::IssueFacts;
use portcullis_authz::{Locate, Row, When, op};
use portcullis_guard::{Ctx, Input, Outcome, Reply, Snapshot, View, explain as recorded};
use portcullis_model::{AccessKind, GlobalPermission, Problem, ProjectId, ProjectPermission, ScopeSet, UserId};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::change::{self, Question};
use super::site::{self, Site};
use super::words;
use crate::{api_token, user};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    account_id: Option<String>,
    method: Option<String>,
    path: Option<String>,
    operation: Option<String>,
    permission: Option<String>,
    project_id_or_key: Option<Json>,
    issue_id_or_key: Option<Json>,
    /// Asks for a credential with these scopes.
    scopes: Option<Vec<String>>,
}

pub(super) async fn explain(mut cx: Ctx<op::ManageExplain>, input: Input) -> Outcome<op::ManageExplain> {
    let view = cx.view().clone();
    let body: Body = input.parse()?;
    let caller = if view.is_ours() { None } else { Some(cx.user()?) };
    let administers = view.may_global(GlobalPermission::Administer)
        || caller.is_some_and(|caller| view.with(|snapshot| snapshot.policy.is_site_admin(caller)));
    let subject = match body.account_id.as_deref() {
        None => caller.ok_or_else(|| Problem::field("accountId", "Name an account."))?,
        Some(account_id) if view.caller().account_id() == Some(account_id) => cx.user()?,
        // Before the look-up, so that it does not tell which accounts there are.
        Some(_) if !administers => {
            return Err(Problem::forbidden("Only administrators may ask about other accounts."));
        }
        Some(account_id) => user::named(&view, account_id)?,
    };
    let asked = asked(&body)?;

    let (project, issue) = target(&mut cx, &view, &body, &asked, if administers { None } else { caller }).await?;
    let scheme = |id: ProjectId| view.with(|snapshot| snapshot.policy.project(id).map(|facts| (id, facts.scheme.0)));
    let schemes: Vec<(ProjectId, i64)> = project.and_then(scheme).into_iter().collect();
    let site = Site::read(cx.tx(), &schemes, issue).await?;

    let mut out = Map::new();
    view.with(|snapshot| {
        out.insert("account".into(), account_json(snapshot, subject));
        if let Some(project) = project {
            let key = site::project_key(snapshot, project);
            out.insert("project".into(), json!({"id": project.to_string(), "key": key}));
        }
        if let (Some(issue), Some(key)) = (&site.issue, &site.issue_key) {
            out.insert("issue".into(), json!({"id": issue.id.to_string(), "key": key}));
        }
        let may_change = administers
            || project.is_some_and(|id| {
                let administer = ProjectPermission::AdministerProjects;
                snapshot.policy.holds(caller, administer, id, None).is_some()
            });
        let answer = Answer { snapshot, site: &site, subject, project, may_change };
        match &asked {
            Asked::Project(permission) => answer.project(*permission, &mut out),
            Asked::Global(permission) => answer.global(*permission, &mut out),
            Asked::Operation { row, scopes, .. } => answer.operation(row, *scopes, &mut out),
        }
    });
    cx.done(Reply::json(Json::Object(out)))
}

fn account_json(snapshot: &Snapshot, user: UserId) -> Json {
    match snapshot.person(user) {
        Some(person) => json!({"accountId": person.account_id, "displayName": person.display_name}),
        None => Json::Null,
    }
}

/// What is asked for, parsed.
enum Asked {
    Project(ProjectPermission),
    Global(GlobalPermission),
    Operation { row: &'static Row, params: Params, scopes: Option<ScopeSet> },
}

fn asked(body: &Body) -> Result<Asked, Problem> {
    let operation = |row: &'static Row, params| -> Result<Asked, Problem> {
        let scopes = match &body.scopes {
            Some(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Some(api_token::parse_scopes(&names)?)
            }
            None => None,
        };
        Ok(Asked::Operation { row, params, scopes })
    };
    match (&body.permission, &body.operation, &body.method, &body.path) {
        (Some(key), None, None, None) => {
            if let Ok(permission) = key.parse() {
                return Ok(Asked::Project(permission));
            }
            let unknown = |_| Problem::field("permission", "There is no permission with this key.");
            key.parse().map(Asked::Global).map_err(unknown)
        }
        (None, Some(id), None, None) => {
            let row = op::ROWS.iter().find(|row| row.id == id).copied();
            let row = row.ok_or_else(|| Problem::field("operation", "There is no operation with this id."))?;
            operation(row, Vec::new())
        }
        (None, None, Some(method), Some(path)) => {
            let (row, params) = row_at(method, path)
                .ok_or_else(|| Problem::field("path", "There is no operation with this method and path."))?;
            operation(row, params)
        }
        _ => Err(Problem::invalid("Ask for one of: permission; operation; method and path.")),
    }
}

/// The parameters of a concrete path, by name.
type Params = Vec<(&'static str, String)>;

/// The row of a method and a concrete path, with the path's parameters. A literal segment wins over a parameter.
fn row_at(method: &str, path: &str) -> Option<(&'static Row, Params)> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let method = if method.eq_ignore_ascii_case("HEAD") { "GET" } else { method };
    let segments: Vec<&str> = path.split('/').collect();
    let mut best: Option<(usize, &'static Row, Params)> = None;
    for row in op::ROWS.iter().copied().filter(|row| row.method.name().eq_ignore_ascii_case(method)) {
        let template: Vec<&'static str> = row.path.split('/').collect();
        if template.len() != segments.len() {
            continue;
        }
        let (mut params, mut literals, mut fits) = (Vec::new(), 0, true);
        for (at, (wanted, given)) in template.iter().zip(&segments).enumerate() {
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) if !given.is_empty() => params.push((name, (*given).to_owned())),
                Some(_) => fits = false,
                // `/rest/api/2` and `/rest/api/latest` are the same operations.
                None if at == 3 && *wanted == "3" && row.path.starts_with("/rest/api/3") => {
                    fits &= ["3", "2", "latest"].contains(given);
                }
                None => {
                    fits &= wanted == given;
                    literals += 1;
                }
            }
        }
        if fits && best.as_ref().is_none_or(|(most, ..)| literals > *most) {
            best = Some((literals, row, params));
        }
    }
    best.map(|(_, row, params)| (row, params))
}

/// The project and issue that the question names. With a viewer, what it may not know of is absent.
async fn target(
    cx: &mut Ctx<op::ManageExplain>,
    view: &View,
    body: &Body,
    asked: &Asked,
    viewer: Option<UserId>,
) -> Result<(Option<ProjectId>, Option<(IssueFacts, String)>), Problem> {
    let from_path = |issue: bool| {
        let Asked::Operation { row, params, .. } = asked else { return None };
        let name = match (issue, row.locate) {
            (false, Locate::Project(name) | Locate::ProjectUpdate(name)) => name,
            (true, Locate::Issue(name) | Locate::OnIssue(name, ..) | Locate::IssueAndUser(name)) => name,
            _ => return None,
        };
        params.iter().find(|(param, _)| *param == name).map(|(_, value)| value.clone())
    };
    let issue_name = text_of("issueIdOrKey", body.issue_id_or_key.as_ref())?.or_else(|| from_path(true));
    if let Some(name) = issue_name {
        let none = || Problem::not_found("Issue does not exist or you do not have permission to see it.");
        let by_key = |key: &str| view.with(|snapshot| snapshot.project_by_key(key));
        let (issue, key) = site::issue_named(cx.tx(), by_key, &name).await?.ok_or_else(none)?;
        if let Some(viewer) = viewer
            && !view.with(|snapshot| issue_visible(&snapshot.policy, Some(viewer), &issue))
        {
            return Err(none());
        }
        return Ok((Some(issue.project), Some((issue, key))));
    }
    let project_name = text_of("projectIdOrKey", body.project_id_or_key.as_ref())?.or_else(|| from_path(false));
    if let Some(name) = project_name {
        let none = || Problem::not_found("Project does not exist or you do not have permission to see it.");
        let project = view.with(|snapshot| {
            let id = match name.parse::<i64>() {
                Ok(id) => Some(ProjectId(id)),
                Err(_) => snapshot.project_by_key(&name),
            };
            id.filter(|id| snapshot.policy.project(*id).is_some())
                .filter(|id| viewer.is_none_or(|viewer| project_visible(&snapshot.policy, Some(viewer), *id)))
        });
        return Ok((Some(project.ok_or_else(none)?), None));
    }
    if matches!(asked, Asked::Project(_)) {
        return Err(Problem::invalid("Name the project or the issue: projectIdOrKey or issueIdOrKey."));
    }
    Ok((None, None))
}

/// An id may come as a number.
fn text_of(field: &str, value: Option<&Json>) -> Result<Option<String>, Problem> {
    match value {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text.clone())),
        Some(Json::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Problem::field(field, format!("{field} is an id or a key."))),
    }
}

/// The answer on one snapshot.
struct Answer<'a> {
    snapshot: &'a Snapshot,
    site: &'a Site,
    subject: UserId,
    project: Option<ProjectId>,
    /// Whether the caller could do something about it; others are not told who is in which group or scheme.
    may_change: bool,
}

impl Answer<'_> {
    fn name(&self) -> &str {
        self.snapshot.person(self.subject).map_or("The account", |person| person.display_name.as_str())
    }

    fn question<'a>(&'a self, trace: &'a [String], holding: Conditions) -> Question<'a> {
        Question {
            snapshot: self.snapshot,
            site: self.site,
            user: self.subject,
            project: self.project,
            issue: self.site.issue.as_ref(),
            trace,
            holding,
            rule_reached: true,
        }
    }

    fn change(&self, out: &mut Map<String, Json>, needed: &change::Needed, credential: Option<String>) {
        if self.may_change {
            out.insert("smallestChange".into(), change::json_of(needed, credential, self.snapshot));
        } else if let Some(text) = credential {
            out.insert("smallestChange".into(), change::json_of(&Ok(Vec::new()), Some(text), self.snapshot));
        }
    }

    fn project(&self, permission: ProjectPermission, out: &mut Map<String, Json>) {
        let Some(project) = self.project else { return };
        let issue = self.site.issue.as_ref();
        let policy = &self.snapshot.policy;
        let found = policy.holds(Some(self.subject), permission, project, issue);
        let seen = issue.is_none_or(|issue| issue_visible(policy, Some(self.subject), issue));
        let key = site::project_key(self.snapshot, project);
        out.insert("permission".into(), permission.key().into());
        out.insert("holds".into(), (found.is_some() && seen).into());
        let place = self.site.issue_key.clone().unwrap_or(key);
        let text = match (found, seen) {
            (Some(_), true) => format!("{} holds {permission} on {place}.", self.name()),
            (Some(_), false) => format!("{} would hold {permission}, but may not see {place}.", self.name()),
            (None, _) => format!("{} does not hold {permission} on {place}.", self.name()),
        };
        out.insert("text".into(), text.into());
        if let Some(found) = found {
            let mut through = words::through(found, self.subject, project, self.snapshot, self.site);
            let grant = self.site.grants.iter().find(|grant| grant.id == found.grant.0);
            if let (Some(members), Some(grant)) = (through.as_object_mut(), grant) {
                let scheme = json!({"id": grant.scheme.to_string(), "name": self.site.scheme(grant.scheme)});
                members.insert("grant".into(), json!({"id": grant.id.to_string()}));
                members.insert("scheme".into(), scheme);
            }
            out.insert("through".into(), through);
        }
        if let Some(issue) = issue
            && let Some((level, level_name)) = &self.site.level
        {
            let within = policy.in_level(Some(self.subject), issue);
            let mut security =
                json!({"level": {"id": level.to_string(), "name": level_name}, "member": within.is_ok()});
            if let (Ok(Some(found)), Some(members)) = (within, security.as_object_mut()) {
                let through = words::through(found, self.subject, project, self.snapshot, self.site);
                members.insert("through".into(), through);
            }
            out.insert("issueSecurity".into(), security);
        }
        if found.is_none() || !seen {
            self.change(out, &self.question(&[], Conditions::NONE).needed_for_permission(permission), None);
        }
    }

    fn global(&self, permission: GlobalPermission, out: &mut Map<String, Json>) {
        let policy = &self.snapshot.policy;
        let holds = policy.holds_global(Some(self.subject), permission);
        out.insert("permission".into(), permission.key().into());
        out.insert("holds".into(), holds.into());
        let groups: Vec<Json> = self
            .site
            .global
            .iter()
            .filter(|(key, group)| key == permission.key() && policy.is_member(self.subject, *group))
            .filter_map(|(_, group)| self.snapshot.group(*group))
            .map(|(name, uuid)| json!({"groupId": uuid, "name": name}))
            .collect();
        let text = match (holds, groups.is_empty()) {
            (true, true) => format!("{} holds {permission}: everyone does.", self.name()),
            (true, false) => format!("{} holds {permission} through groups.", self.name()),
            (false, false) => {
                format!("{} is in a group that holds {permission}, but has no access to Jira.", self.name())
            }
            (false, true) => format!("{} does not hold {permission}.", self.name()),
        };
        out.insert("text".into(), text.into());
        out.insert("throughGroups".into(), groups.into());
        if !holds {
            let needed = self.question(&[], Conditions::NONE).needed(&portcullis_authz::Expr::Global(permission));
            self.change(out, &needed, None);
        }
    }

    fn operation(&self, row: &'static Row, scopes: Option<ScopeSet>, out: &mut Map<String, Json>) {
        let (decision, assumed) = self.decide(row, scopes);
        let trace = recorded::words(&decision.trace);
        let operation = json!({"id": row.id, "method": row.method.name(), "path": row.path});
        out.insert("operation".into(), operation);
        let (allowed, reason) = match decision.outcome {
            Verdict::Allow => (Some(true), None),
            Verdict::Deny { reason: portcullis_authz::Reason::Unknown, .. } => (None, Some("unknown_fact")),
            Verdict::Deny { reason, .. } => (Some(false), Some(reason.word())),
        };
        out.insert("allowed".into(), allowed.into());
        if let Some(reason) = reason {
            out.insert("reason".into(), reason.into());
        }
        let text = match allowed {
            Some(true) => format!("{} may call it.", self.name()),
            Some(false) => format!("{} may not call it.", self.name()),
            None => "It depends on facts that the question does not name, as the owner of a comment.".to_owned(),
        };
        out.insert("text".into(), text.into());
        if !assumed.is_empty() {
            out.insert("assumed".into(), assumed.into());
        }
        let steps: Vec<Json> = trace.iter().map(|step| words::step_json(step, self.snapshot, self.site)).collect();
        out.insert("steps".into(), steps.into());
        if allowed == Some(true) {
            return;
        }
        let credential = match reason {
            Some("scope") => {
                let missing = missing_scopes(row, scopes);
                let text = if missing.is_empty() {
                    "No API token with scopes can call this operation.".to_owned()
                } else {
                    format!("The credential needs the scope(s) {}.", missing.join(", "))
                };
                out.insert("missingScopes".into(), missing.into());
                Some(text)
            }
            Some("access_kind") => {
                Some(format!("Use another kind of credential: {}.", crate::operation::access_words(row).join(", ")))
            }
            _ => None,
        };
        self.change(out, &self.question(&trace, self.holding(row)).needed(&row.permission), credential);
    }

    fn holding(&self, row: &Row) -> Conditions {
        let holding = site::conditions(self.snapshot, self.project);
        if matches!(row.locate, Locate::ProjectUpdate(_)) { holding.with(When::KeepsKeyAndSchemes) } else { holding }
    }

    /// The engine's own decision, on what the question names.
    fn decide(&self, row: &'static Row, scopes: Option<ScopeSet>) -> (Decision, Vec<&'static str>) {
        let policy = &self.snapshot.policy;
        let mut assumed = Vec::new();
        let access = match scopes {
            Some(_) => AccessKind::ScopedApiToken,
            None if !row.access.contains(AccessKind::ApiToken) && row.access.contains(AccessKind::Session) => {
                AccessKind::Session
            }
            None => AccessKind::ApiToken,
        };
        let subject = Subject {
            access,
            user: Some(self.subject),
            scopes,
            connect: None,
            app_only: false,
            in_page: false,
            blocked: &[],
        };
        let holding = self.holding(row);
        if matches!(row.locate, Locate::ProjectUpdate(_)) {
            assumed.push("The request changes neither the project's key nor a scheme.");
        }
        let restriction = if matches!(row.locate, Locate::OnIssue(..) | Locate::Attachment(_) | Locate::CommentById(_))
        {
            assumed.push("What it is about is not restricted to a group or role.");
            Fact::Known(Restriction::None)
        } else {
            Fact::Unknown
        };
        let all: Vec<ProjectId> = match row.locate {
            Locate::UsedEverywhere => policy.projects().map(|project| project.id).collect(),
            _ => Vec::new(),
        };
        let facts = Facts {
            project: self.project.map_or(Fact::Unknown, Fact::Known),
            issue: self.site.issue.as_ref().map_or(Fact::Unknown, Fact::Known),
            using: if matches!(row.locate, Locate::UsedEverywhere) { Fact::Known(&all) } else { Fact::Unknown },
            restriction,
            holding,
            ..Facts::unknown()
        };
        (decide(policy, row, &subject, &facts), assumed)
    }
}

/// What the smaller missing set lacks.
fn missing_scopes(row: &Row, have: Option<ScopeSet>) -> Vec<&'static str> {
    let have = have.unwrap_or(ScopeSet::EMPTY);
    let sets = [row.classic, row.granular];
    let missing = sets.iter().flatten().map(|set| have.missing(set).names().collect::<Vec<_>>());
    missing.min_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::row_at;

    #[test]
    fn paths_find_their_rows() {
        let found = |method: &str, path: &str| row_at(method, path).map(|(row, params)| (row.id, params));
        for version in ["2", "3", "latest"] {
            let path = format!("/rest/api/{version}/project/DEMO?expand=lead");
            assert_eq!(found("put", &path), Some(("updateProject", vec![("projectIdOrKey", "DEMO".to_owned())])));
        }
        assert_eq!(found("GET", "/rest/api/3/project/search").map(|(id, _)| id), Some("searchProjects"));
        assert_eq!(found("GET", "/rest/api/4/project/search"), None);
        assert_eq!(found("GET", "/rest/api/3/project/"), None);
        let users = found("GET", "/api/portcullis/v1/users");
        assert_eq!(users.map(|(id, _)| id), Some("manageListUsers"));
    }
}
