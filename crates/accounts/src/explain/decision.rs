//! `GET decisions/{id}`: one refusal, as far as the reader may know it.

use portcullis_authz::decide::project_visible;
use portcullis_authz::{Locate, Row, op};
use portcullis_guard::explain::Record;
use portcullis_guard::{Ctx, Input, Outcome, Reply, View};
use portcullis_model::{IssueId, Problem, ProjectId, UserId};
use serde_json::{Map, Value as Json, json};

use super::change::{self, Question};
use super::site::{self, Site};
use super::words;
use crate::{api_token, wire};

/// Projects whose schemes are read for one explanation.
const PROJECTS_MAX: usize = 20;

/// What a hidden target is called; equal for one that does not exist.
const HIDDEN: &str = "What the request named does not exist, or you may not see it.";

pub(super) async fn get(mut cx: Ctx<op::ManageGetDecision>, input: Input) -> Outcome<op::ManageGetDecision> {
    let view = cx.view().clone();
    let id = input.param("decisionId");
    let user = if view.is_ours() { None } else { Some(cx.user()?) };
    // One answer for an id that is none and for one that is somebody else's.
    let none = || Problem::not_found("There is no decision with this id that you may see.");
    let record = view.open_decision(id).ok_or_else(none)?;
    let site_admin = user.is_none_or(|user| view.with(|snapshot| snapshot.policy.is_site_admin(user)));
    let own = user.filter(|_| view.caller().account_id() == Some(record.subject.as_str()));
    let mut out = base(id, &record);
    if site_admin {
        let credential = match record.credential.as_deref().and_then(|word| word.strip_prefix("api_token:")) {
            Some(token) => api_token::label_of(cx.tx(), token.parse().unwrap_or(0)).await?,
            None => None,
        };
        if let Some((label, hint)) = credential {
            out.insert("apiToken".into(), json!({"label": label, "hint": hint}));
        }
        let subject = view.with(|snapshot| snapshot.user_by_account_id(&record.subject));
        let issue = match record.issue {
            Some(issue) => site::issue(cx.tx(), IssueId(issue)).await?,
            None => None,
        };
        let schemes = schemes(&view, &record);
        let site = Site::read(cx.tx(), &schemes, issue).await?;
        everything(&mut out, &record, subject, &view, &site);
    } else if let Some(user) = own {
        what_is_the_callers(&mut out, &record, user, &view);
    } else {
        return Err(none());
    }
    cx.done(Reply::json(Json::Object(out)))
}

/// What both readers see.
fn base(id: &str, record: &Record) -> Map<String, Json> {
    let mut out = Map::new();
    out.insert("id".into(), id.into());
    out.insert("at".into(), wire::moment(record.at_ms).into());
    out.insert("outcome".into(), "denied".into());
    let operation = match record.row() {
        Some(row) => json!({"id": row.id, "method": row.method.name(), "path": row.path}),
        None => json!({"id": record.operation}),
    };
    out.insert("operation".into(), operation);
    out.insert("access".into(), record.access.clone().into());
    if let Some(credential) = &record.credential {
        out.insert("credential".into(), credential.clone().into());
    }
    out.insert("requestId".into(), record.request_id.clone().into());
    out
}

/// Projects of the decision with their schemes today.
fn schemes(view: &View, record: &Record) -> Vec<(ProjectId, i64)> {
    let mut ids: Vec<i64> = record.project.into_iter().collect();
    ids.extend(
        record.trace.iter().filter_map(|step| step.strip_prefix("project:")?.split(':').nth(1)?.parse::<i64>().ok()),
    );
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(PROJECTS_MAX);
    view.with(|snapshot| {
        let scheme = |id: &i64| snapshot.policy.project(ProjectId(*id)).map(|project| (project.id, project.scheme.0));
        ids.iter().filter_map(scheme).collect()
    })
}

/// Credential trouble in words, by the reason; what has to change about the credential itself.
fn credential_change(record: &Record, row: Option<&'static Row>) -> Option<String> {
    match record.reason.as_str() {
        "not_authenticated" => {
            Some("Sign in, or send an e-mail address with an API token that is in force.".to_owned())
        }
        "access_kind" => {
            let kinds = row.map(|row| crate::operation::access_words(row).join(", ")).unwrap_or_default();
            Some(format!("Use another kind of credential: {kinds}."))
        }
        "scope" => Some(format!("The credential needs the scope(s) {}.", record.missing_scopes.join(", "))),
        _ => None,
    }
}

fn everything(out: &mut Map<String, Json>, record: &Record, subject: Option<UserId>, view: &View, site: &Site) {
    let row = record.row();
    view.with(|snapshot| {
        let person = subject.and_then(|user| snapshot.person(user));
        let subject_json = match person {
            Some(person) => json!({"accountId": record.subject, "displayName": person.display_name}),
            None => json!({"name": record.subject}),
        };
        out.insert("subject".into(), subject_json);
        let mut target = Map::new();
        target.insert("name".into(), record.target.clone().into());
        if let Some(project) = record.project {
            let key = site::project_key(snapshot, ProjectId(project));
            target.insert("project".into(), json!({"id": project.to_string(), "key": key}));
        }
        if let Some(issue) = record.issue {
            target.insert("issue".into(), json!({"id": issue.to_string(), "key": site.issue_key}));
        }
        target.insert("seenByCaller".into(), record.target_seen.into());
        out.insert("target".into(), Json::Object(target));
        out.insert("reason".into(), record.reason.clone().into());
        let name = person.map_or("The caller", |person| person.display_name.as_str());
        out.insert("text".into(), reason_words(record, name).into());
        out.insert("missingScopes".into(), record.missing_scopes.clone().into());
        let steps: Vec<Json> = record.trace.iter().map(|step| words::step_json(step, snapshot, site)).collect();
        out.insert("steps".into(), steps.into());
        out.insert("revision".into(), record.revision.into());

        let credential = credential_change(record, row);
        let named = record.project.is_some() || record.issue.is_some();
        let needed = match (subject, row) {
            (_, Some(row)) if record.reason == "not_visible" && !named && locates(row) => {
                Err("what was named does not exist".to_owned())
            }
            (Some(user), Some(row)) => {
                let question = Question {
                    snapshot,
                    site,
                    user,
                    project: record.project.map(ProjectId),
                    issue: site.issue.as_ref(),
                    trace: &record.trace,
                    holding: site::conditions(snapshot, record.project.map(ProjectId)),
                    rule_reached: credential.is_none() && record.reason != "inactive",
                };
                question.needed(&row.permission)
            }
            // Nobody in particular has nothing that could be changed but to become somebody.
            (None, _) if credential.is_some() => Ok(Vec::new()),
            (None, _) if record.access == "anonymous" => Err("nobody in particular holds rights; sign in".to_owned()),
            _ => Err("the account or the operation is gone".to_owned()),
        };
        out.insert("smallestChange".into(), change::json_of(&needed, credential, snapshot));
    });
}

fn locates(row: &Row) -> bool {
    !matches!(row.locate, Locate::Nothing | Locate::NotLocated | Locate::UsedEverywhere | Locate::User)
}

fn reason_words(record: &Record, name: &str) -> String {
    match record.reason.as_str() {
        "not_authenticated" => match &record.why_not {
            Some(why) => format!("The token that was shown does not hold. {why}"),
            None => "No credential was shown that is in force.".to_owned(),
        },
        "inactive" => format!("{name} is deactivated or gone."),
        "access_kind" => "This kind of credential is not accepted for the operation.".to_owned(),
        "scope" => format!("The credential lacks the scope(s) {}.", record.missing_scopes.join(", ")),
        "app_access_rule" => "An app access rule closes the project to the app.".to_owned(),
        "permission" => format!("{name} lacks a permission that the operation needs."),
        "not_visible" => format!("What the request named does not exist, or {name} may not see it."),
        "unknown_fact" => {
            "The operation asks for a fact that Portcullis could not find out, and so refuses.".to_owned()
        }
        other => other.to_owned(),
    }
}

/// Credential and scopes always; missing permissions only where the target was seen.
fn what_is_the_callers(out: &mut Map<String, Json>, record: &Record, user: UserId, view: &View) {
    let site = Site::default();
    let mut target = Map::new();
    target.insert("name".into(), record.target.clone().into());
    out.insert("target".into(), Json::Object(target));
    view.with(|snapshot| {
        let name = snapshot.person(user).map_or("You", |person| person.display_name.as_str());
        let text = if record.target_seen { reason_words(record, name) } else { HIDDEN.to_owned() };
        // INVARIANT: without a seen target nothing is told that differs between hidden and absent.
        let reason = if record.target_seen { record.reason.as_str() } else { "not_visible" };
        out.insert("reason".into(), reason.into());
        out.insert("text".into(), text.into());
        out.insert("missingScopes".into(), record.missing_scopes.clone().into());
        let own = record.trace.iter().filter(|step| words::is_about_credential(step));
        let steps: Vec<Json> = own.map(|step| words::step_json(step, snapshot, &site)).collect();
        out.insert("steps".into(), steps.into());
        if let Some(text) = credential_change(record, record.row()) {
            out.insert("smallestChange".into(), change::json_of(&Ok(Vec::new()), Some(text), snapshot));
        } else if record.target_seen {
            out.insert("missingPermissions".into(), missing_permissions(record, user, snapshot).into());
        }
    });
}

/// Permissions that were asked for in vain, by key, and the project where the caller sees it today.
fn missing_permissions(record: &Record, user: UserId, snapshot: &portcullis_guard::Snapshot) -> Vec<Json> {
    let mut out: Vec<Json> = Vec::new();
    for step in &record.trace {
        let Some(rule) = step.strip_suffix(":no") else { continue };
        let mut parts = rule.split(':');
        let missing = match (parts.next(), parts.next(), parts.next()) {
            (Some("global"), Some(permission), _) => json!({"permission": permission}),
            (Some("project"), Some(permission), project) => {
                let project = project
                    .and_then(|id| id.parse().ok().map(ProjectId))
                    .filter(|id| project_visible(&snapshot.policy, Some(user), *id));
                match project {
                    Some(id) => json!({"permission": permission, "project": site::project_key(snapshot, id)}),
                    None => json!({"permission": permission}),
                }
            }
            (Some("site_admin"), ..) => json!({"permission": "site administrator"}),
            (Some("jira_access"), ..) => json!({"permission": "access to Jira"}),
            _ => continue,
        };
        if !out.contains(&missing) {
            out.push(missing);
        }
    }
    out
}
