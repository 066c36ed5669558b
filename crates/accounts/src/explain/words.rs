//! Steps of a decision, and holders of a grant, in words.

use portcullis_authz::policy::{Actor, Holder, Match};
use portcullis_guard::Snapshot;
use portcullis_model::{FieldId, GroupId, ProjectId, RoleId, UserId};
use serde_json::{Value as Json, json};

use super::site::{Site, group_name, project_key};

/// A step as the guard records it, taken apart: the rule, its details, what it said.
struct Recorded<'a> {
    rule: &'a str,
    details: &'a str,
    verdict: &'a str,
}

fn parse(step: &str) -> Recorded<'_> {
    let (rest, verdict) = step.rsplit_once(':').unwrap_or((step, ""));
    let (rule, details) = rest.split_once(':').unwrap_or((rest, ""));
    Recorded { rule, details, verdict }
}

/// The step for people: `{"step", "holds", "text"}`; `holds` is null where a fact was missing.
pub(super) fn step_json(step: &str, snapshot: &Snapshot, site: &Site) -> Json {
    let recorded = parse(step);
    let holds = match recorded.verdict {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    json!({"step": step, "holds": holds, "text": sentence(&recorded, snapshot, site)})
}

/// Whether the step is about the credential and the account alone, which its owner may know whatever the target.
pub(super) fn is_about_credential(step: &str) -> bool {
    let rule = parse(step).rule;
    ["access", "active", "classic_scopes", "granular_scopes", "connect_scope"].contains(&rule)
}

fn sentence(step: &Recorded<'_>, snapshot: &Snapshot, site: &Site) -> String {
    let (yes, details) = (step.verdict == "yes", step.details);
    let pick = |holds: &str, lacks: &str| if yes { holds.to_owned() } else { lacks.to_owned() };
    let text = match step.rule {
        "access" => format!("The kind of credential ({details}) is {} here.", pick("accepted", "not accepted")),
        "active" => pick("The account is active.", "The account is deactivated or gone."),
        "classic_scopes" => pick("The classic scopes suffice.", "Classic scopes are missing."),
        "granular_scopes" => pick("The granular scopes suffice.", "Granular scopes are missing."),
        "connect_scope" => pick("The app's Connect scope suffices.", "The app's Connect scope does not suffice."),
        "app_access_rule" => {
            let project = number(details).map(|id| project_key(snapshot, ProjectId(id))).unwrap_or_default();
            format!("An app access rule {} {project} to the app.", pick("leaves", "closes"))
        }
        "jira_access" => pick("The account has access to Jira.", "The account has no access to Jira."),
        "account" => pick("The caller has an account.", "The caller is anonymous."),
        "site_admin" => pick("The account administers the site.", "The account does not administer the site."),
        "global" => format!("The global permission {details} is {}.", pick("held", "not held")),
        "project" => project_sentence(details, yes, snapshot, site),
        "issue_security" if yes && details.is_empty() => "The issue has no security level.".to_owned(),
        "issue_security" if yes => {
            format!("The account is in the issue's security level: {}.", holder_words(details, snapshot, site))
        }
        "issue_security" => "The account is not in the issue's security level.".to_owned(),
        "restriction" => {
            format!(
                "The {details} is {} the account.",
                pick("not restricted to others than", "restricted to others than")
            )
        }
        "owner" => format!("The {details} {} the account.", pick("belongs to", "does not belong to")),
        "shared" => format!("The {details} is {} with the account.", pick("shared", "not shared")),
        "editable" => format!("The {details} is {} for editing with the account.", pick("shared", "not shared")),
        "caller" => pick("The caller is the kind of app that may do this.", "Only apps of a certain kind may do this."),
        "not_kept" => format!("It depends on what Portcullis does not keep: {details}."),
        "case" => format!("The case of the operation that applies: {details}."),
        "target_visible" => pick(
            "The account may know what was named.",
            "What was named does not exist, or the account may not know of it.",
        ),
        _ => format!("{} {details}", step.rule),
    };
    if step.verdict == "unknown" { format!("Not found out, so refused: {text}") } else { text }
}

/// `ADMINISTER_PROJECTS:10000:grant 12 to role 5`.
fn project_sentence(details: &str, yes: bool, snapshot: &Snapshot, site: &Site) -> String {
    let mut parts = details.splitn(3, ':');
    let (permission, project, found) =
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let place = number(project).map_or_else(String::new, |id| format!(" in {}", project_key(snapshot, ProjectId(id))));
    match (yes, found.is_empty()) {
        (true, false) => format!("{permission} is held{place}: {}.", holder_words(found, snapshot, site)),
        (true, true) => format!("{permission} is held{place} on single issues."),
        (false, _) => format!("{permission} is not held{place}."),
    }
}

/// `grant 12 to role 5` with names for numbers.
fn holder_words(found: &str, snapshot: &Snapshot, site: &Site) -> String {
    let Some((grant, holder)) = found.split_once(" to ") else { return found.to_owned() };
    let (kind, id) = holder.split_once(' ').unwrap_or((holder, ""));
    let name = match (kind, number(id)) {
        ("user", Some(id)) => {
            snapshot.person(UserId(id)).map_or_else(|| "a deleted account".to_owned(), |p| p.display_name.clone())
        }
        ("group", Some(id)) => format!("the group {}", group_name(snapshot, GroupId(id))),
        ("role", Some(id)) => format!("the role {}", site.role(RoleId(id))),
        ("userCustomField", Some(id)) => format!("people in the field {}", site.field(FieldId(id))),
        ("groupCustomField", Some(id)) => format!("groups in the field {}", site.field(FieldId(id))),
        ("anyone", _) => "anyone".to_owned(),
        ("applicationRole" | "application", _) => "everyone with access to Jira".to_owned(),
        ("projectLead", _) => "the project's lead".to_owned(),
        ("reporter", _) => "the reporter".to_owned(),
        ("assignee", _) => "the assignee".to_owned(),
        _ => holder.to_owned(),
    };
    format!("{grant} to {name}")
}

fn number(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// Through what an account matches a grant: `{"type", ..names.., "text"}`.
pub(super) fn through(found: Match, user: UserId, project: ProjectId, snapshot: &Snapshot, site: &Site) -> Json {
    let group_json = |group: GroupId| {
        let (name, uuid) = snapshot.group(group).cloned().unwrap_or_default();
        json!({"groupId": uuid, "name": name})
    };
    let name = snapshot.person(user).map(|person| person.display_name.clone()).unwrap_or_default();
    let key = project_key(snapshot, project);
    match found.holder {
        Holder::Anyone => json!({"type": "anyone", "text": "Anyone holds it, signed in or not."}),
        Holder::AnyApplication => {
            json!({"type": "applicationRole", "text": format!("{name} has access to Jira, and everyone who has holds it.")})
        }
        Holder::Application(position) => {
            let application = site
                .applications
                .iter()
                .find(|(key, _)| snapshot.application(key) == Some(position))
                .map(|(key, name)| (key.clone(), name.clone()))
                .unwrap_or_default();
            json!({
                "type": "applicationRole",
                "application": {"key": application.0, "name": application.1},
                "text": format!("{name} has access to {}.", application.1),
            })
        }
        Holder::User(_) => json!({"type": "user", "text": format!("It is granted to {name} by name.")}),
        Holder::Group(group) => json!({
            "type": "group",
            "group": group_json(group),
            "text": format!("{name} is in the group {}.", group_name(snapshot, group)),
        }),
        Holder::Role(role) => {
            let role_name = site.role(role);
            let mut out = json!({"type": "projectRole", "role": {"id": role.to_string(), "name": role_name}});
            let by_group = role_group(user, project, role, snapshot);
            let text = match by_group {
                Some(group) => format!(
                    "{name} has the role {role_name} in {key} through the group {}.",
                    group_name(snapshot, group)
                ),
                None => format!("{name} has the role {role_name} in {key}."),
            };
            if let Some(members) = out.as_object_mut() {
                if let Some(group) = by_group {
                    members.insert("group".into(), group_json(group));
                }
                members.insert("text".into(), text.into());
            }
            out
        }
        Holder::ProjectLead => json!({"type": "projectLead", "text": format!("{name} leads {key}.")}),
        Holder::Reporter => json!({"type": "reporter", "text": format!("{name} is the reporter.")}),
        Holder::Assignee => json!({"type": "assignee", "text": format!("{name} is the assignee.")}),
        Holder::UserField(field) => json!({
            "type": "userCustomField",
            "field": format!("customfield_{field}"),
            "text": format!("{name} stands in the field {}.", site.field(field)),
        }),
        Holder::GroupField(field) => json!({
            "type": "groupCustomField",
            "field": format!("customfield_{field}"),
            "text": format!("A group of {name} stands in the field {}.", site.field(field)),
        }),
        Holder::PortalCustomer => json!({"type": "sd.customer.portal.only", "text": "Customers, in the portal only."}),
    }
}

/// The group through which an account has a role; `None` when it has it in person.
fn role_group(user: UserId, project: ProjectId, role: RoleId, snapshot: &Snapshot) -> Option<GroupId> {
    let actors = &snapshot.policy.project(project)?.actors;
    if actors.contains(&(role, Actor::User(user))) {
        return None;
    }
    actors.iter().find_map(|(held, actor)| match actor {
        Actor::Group(group) if *held == role && snapshot.policy.is_member(user, *group) => Some(*group),
        Actor::Group(_) | Actor::User(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{is_about_credential, step_json};
    use crate::explain::site::Site;
    use portcullis_guard::Snapshot;
    use portcullis_model::RoleId;

    #[test]
    fn recorded_steps_become_sentences() {
        let mut site = Site::default();
        site.roles.insert(RoleId(5), "Administrators".to_owned());
        let text = |step: &str| {
            let json = step_json(step, &Snapshot::default(), &site);
            json.get("text").and_then(|text| text.as_str()).unwrap().to_owned()
        };
        assert_eq!(text("access:api_token:yes"), "The kind of credential (api_token) is accepted here.");
        assert_eq!(text("global:ADMINISTER:no"), "The global permission ADMINISTER is not held.");
        assert_eq!(text("project:ADMINISTER_PROJECTS::no"), "ADMINISTER_PROJECTS is not held.");
        assert_eq!(
            text("project:BROWSE_PROJECTS:7:grant 12 to role 5:yes"),
            "BROWSE_PROJECTS is held in the project with id 7: grant 12 to the role Administrators."
        );
        assert_eq!(
            text("not_kept:a: b:unknown"),
            "Not found out, so refused: It depends on what Portcullis does not keep: a: b."
        );
    }

    #[test]
    fn only_steps_on_the_credential_are_the_owners() {
        assert!(is_about_credential("granular_scopes:no"));
        for step in
            ["project:BROWSE_PROJECTS:7::no", "target_visible:no", "restriction:comment:no", "case:Otherwise:yes"]
        {
            assert!(!is_about_credential(step), "{step}");
        }
    }
}
