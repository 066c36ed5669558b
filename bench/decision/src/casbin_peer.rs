//! The permission part of the questions, asked of Casbin: role-based access with domains, one enforcer per permission and one
//! for security levels, over one role manager. The group actors of roles are flattened to people, so that each look-up is one
//! step; the matcher names the cheapest condition first; `enforce` stops at the first policy that allows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use casbin::{CoreApi, DefaultModel, DefaultRoleManager, Enforcer, MemoryAdapter, MgmtApi, RoleManager};
use parking_lot::RwLock;
use portcullis_authz::policy::{Actor, Holder};
use portcullis_model::ProjectPermission;

use crate::question::{Asked, PERMISSIONS, Question};
use crate::world::World;

const MODEL: &str = r#"
[request_definition]
r = sub, scheme, proj, reporter, assignee, lead

[policy_definition]
p = scheme, kind, holder

[role_definition]
g = _, _, _

[policy_effect]
e = some(where (p.eft == allow))

[matchers]
m = r.scheme == p.scheme && (p.kind == "role" && g(r.sub, p.holder, r.proj) || p.kind == "group" && g(r.sub, p.holder, "groups") || p.kind == "user" && r.sub == p.holder || p.kind == "anyone" || p.kind == "reporter" && r.sub == r.reporter || p.kind == "assignee" && r.sub == r.assignee || p.kind == "lead" && r.sub == r.lead)
"#;

const GROUPS: &str = "groups";

pub struct Casbin {
    permissions: HashMap<ProjectPermission, Enforcer>,
    levels: Enforcer,
}

/// A question made ready.
pub struct Prepared {
    asked: Asked,
    level: Option<String>,
    scheme: String,
    /// Subject, project, reporter, assignee, lead.
    rest: [String; 5],
}

fn line(scheme: i64, holder: Holder) -> Vec<String> {
    let (kind, holder) = match holder {
        Holder::Anyone => ("anyone", String::new()),
        Holder::AnyApplication => ("group", "app".to_owned()),
        Holder::User(user) => ("user", format!("u{user}")),
        Holder::Group(group) => ("group", format!("g{group}")),
        Holder::Role(role) => ("role", format!("r{role}")),
        Holder::ProjectLead => ("lead", String::new()),
        Holder::Reporter => ("reporter", String::new()),
        Holder::Assignee => ("assignee", String::new()),
        Holder::Application(_) | Holder::UserField(_) | Holder::GroupField(_) | Holder::PortalCustomer => {
            unreachable!("worlds have none")
        }
    };
    vec![scheme.to_string(), kind.to_owned(), holder]
}

async fn enforcer(lines: BTreeSet<Vec<String>>, roles: &Arc<RwLock<DefaultRoleManager>>) -> Enforcer {
    let model = DefaultModel::from_str(MODEL).await.expect("a model");
    let mut enforcer = Enforcer::new(model, MemoryAdapter::default()).await.expect("an enforcer");
    enforcer.enable_auto_build_role_links(false);
    let roles: Arc<RwLock<dyn RoleManager>> = Arc::clone(roles) as _;
    enforcer.set_role_manager(roles).expect("a role manager");
    enforcer.add_policies(lines.into_iter().collect()).await.expect("policies");
    enforcer
}

impl Casbin {
    pub async fn new(world: &World) -> Self {
        let roles = Arc::new(RwLock::new(DefaultRoleManager::new(2)));
        let mut permissions = HashMap::new();
        for permission in PERMISSIONS {
            let lines = (1..)
                .zip(&world.schemes)
                .flat_map(|(id, scheme)| World::holders(scheme, permission).map(move |holder| line(id, holder)))
                .collect();
            permissions.insert(permission, enforcer(lines, &roles).await);
        }
        let members = (1..).zip(&world.levels).flat_map(|(id, level)| {
            level.members.iter().map(move |member| line(id, member.holder)).collect::<Vec<_>>()
        });
        let levels = enforcer(members.collect(), &roles).await;
        let mut links = roles.write();
        // Unknown names are sought by a walk over all; nobody's is known.
        links.add_link("u0", "nothing", Some(GROUPS));
        for user in &world.users {
            let name = format!("u{}", user.id);
            for group in &user.groups {
                links.add_link(&name, &format!("g{group}"), Some(GROUPS));
                if world.groups[group.0 as usize - 1].applications != 0 {
                    links.add_link(&name, "app", Some(GROUPS));
                }
            }
        }
        for project in &world.projects {
            let domain = project.id.to_string();
            for (role, actor) in &project.actors {
                let role = format!("r{role}");
                let mut link = |user: i64| links.add_link(&format!("u{user}"), &role, Some(&domain));
                match actor {
                    Actor::User(user) => link(user.0),
                    Actor::Group(group) => world.members[group.0 as usize].iter().for_each(|user| link(user.0)),
                }
            }
        }
        drop(links);
        Self { permissions, levels }
    }

    pub fn prepare(world: &World, question: &Question) -> Prepared {
        let project = world.project(question.project);
        let issue = question.issue.as_ref();
        let name = |user: Option<portcullis_model::UserId>| user.map_or("nobody".to_owned(), |user| format!("u{user}"));
        Prepared {
            asked: question.asked,
            level: issue.and_then(|issue| issue.level).map(|level| level.to_string()),
            scheme: project.scheme.to_string(),
            rest: [
                question.user.map_or("u0".to_owned(), |user| format!("u{user}")),
                project.id.to_string(),
                name(issue.and_then(|issue| issue.reporter)),
                name(issue.and_then(|issue| issue.assignee)),
                name(project.lead),
            ],
        }
    }

    pub fn permitted(&self, question: &Prepared) -> bool {
        let [subject, project, reporter, assignee, lead] = question.rest.each_ref().map(String::as_str);
        let ask = |enforcer: &Enforcer, scheme: &str| {
            enforcer.enforce((subject, scheme, project, reporter, assignee, lead)).expect("an answer")
        };
        question.asked.permissions().iter().all(|permission| ask(&self.permissions[permission], &question.scheme))
            && question.level.as_ref().is_none_or(|level| ask(&self.levels, level))
    }
}
