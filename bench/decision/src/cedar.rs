//! The permission part of the questions, asked of Cedar, in three models:
//!
//! * [`Model::PerPermission`]: one policy set per permission, a policy per grant. How one would write it down.
//! * [`Model::PerScheme`]: one policy set per permission and scheme; the caller finds the set. What Cedar calls policy slicing.
//! * [`Model::Flat`]: one policy per operation; everyone who holds a permission is flattened by hand into an attribute of the
//!   project. The least that Cedar can be asked, at the price that each change of a scheme rewrites all its projects.
//!
//! In all three, requests, contexts, policies and entities are made before the clock starts; there is no schema, so nothing is
//! validated; issues are no entities but the request's context; a security level is one policy over attributes.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use portcullis_authz::policy::{Actor, Holder, LevelFacts, ProjectFacts, UserFacts};
use portcullis_model::{ProjectPermission, RoleId, SchemeId, UserId};

use crate::question::{Asked, PERMISSIONS, Question};
use crate::world::{ROLES, World};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Model {
    PerPermission,
    PerScheme,
    Flat,
}

pub struct Cedar {
    model: Model,
    authorizer: Authorizer,
    entities: Entities,
    /// By permission; with the scheme in [`Model::PerScheme`].
    sets: HashMap<(ProjectPermission, Option<SchemeId>), PolicySet>,
    level: PolicySet,
    /// [`Model::Flat`]: by operation.
    flat: Vec<PolicySet>,
}

/// A question made ready.
pub struct Prepared {
    asked: Asked,
    scheme: SchemeId,
    has_level: bool,
    request: Request,
}

fn uid(kind: &str, id: i64) -> EntityUid {
    format!("{kind}::\"{id}\"").parse().expect("an entity name")
}

fn entity(uid: EntityUid) -> RestrictedExpression {
    RestrictedExpression::new_entity_uid(uid)
}

fn any_application() -> EntityUid {
    uid("App", 0)
}

fn word(permission: ProjectPermission) -> String {
    format!("p{}", permission as usize)
}

impl Cedar {
    pub fn new(world: &World, model: Model) -> Self {
        let mut all = vec![Entity::new_no_attrs(any_application(), HashSet::new())];
        for (id, group) in (1..).zip(&world.groups) {
            let parents = (group.applications != 0).then(any_application).into_iter().collect();
            all.push(Entity::new_no_attrs(uid("Group", id), parents));
        }
        all.extend(world.users.iter().map(user));
        all.extend((1..).zip(&world.schemes).map(|(id, _)| Entity::new_no_attrs(uid("Scheme", id), HashSet::new())));
        all.extend(world.projects.iter().map(|facts| project(world, facts, model)));
        all.extend((1..).zip(&world.levels).map(|(id, facts)| level(id, facts)));
        let entities = Entities::from_entities(all, None).expect("entities");
        let mut sets = HashMap::new();
        if model != Model::Flat {
            for permission in PERMISSIONS {
                let mut texts: HashMap<Option<SchemeId>, String> = HashMap::new();
                for (id, scheme) in (1..).map(SchemeId).zip(&world.schemes) {
                    let text = texts.entry((model == Model::PerScheme).then_some(id)).or_default();
                    World::holders(scheme, permission).for_each(|holder| policy(text, id, holder));
                }
                for (scheme, text) in texts {
                    sets.insert((permission, scheme), text.parse().expect("policies"));
                }
            }
        }
        let level = format!("permit(principal, action, resource) when {{ {} }};", in_level());
        let flat = Asked::ALL.map(|asked| flat_policy(asked).parse().expect("a policy")).into();
        Self { model, authorizer: Authorizer::new(), entities, sets, level: level.parse().expect("a policy"), flat }
    }

    pub fn policies_per_set(&self) -> usize {
        self.sets.values().map(|set| set.policies().count()).max().unwrap_or(1)
    }

    pub fn prepare(&self, world: &World, question: &Question) -> Prepared {
        let project = world.project(question.project);
        let issue = question.issue.as_ref();
        let person = |user: Option<UserId>| entity(uid("User", user.map_or(-1, |user| user.0)));
        let level = issue.and_then(|issue| issue.level);
        let context = Context::from_pairs([
            ("reporter".to_owned(), person(issue.and_then(|issue| issue.reporter))),
            ("assignee".to_owned(), person(issue.and_then(|issue| issue.assignee))),
            ("hasLevel".to_owned(), RestrictedExpression::new_bool(level.is_some())),
            ("level".to_owned(), entity(uid("Level", level.map_or(0, |level| level.0)))),
        ]);
        let request = Request::new(
            uid("User", question.user.map_or(0, |user| user.0)),
            "Action::\"use\"".parse().expect("an entity name"),
            uid("Project", project.id.0),
            context.expect("a context"),
            None,
        );
        Prepared {
            asked: question.asked,
            scheme: project.scheme,
            has_level: level.is_some(),
            request: request.expect("a request"),
        }
    }

    pub fn permitted(&self, question: &Prepared) -> bool {
        let ask = |set: &PolicySet| {
            self.authorizer.is_authorized(&question.request, set, &self.entities).decision() == Decision::Allow
        };
        match self.model {
            Model::Flat => ask(&self.flat[question.asked as usize]),
            Model::PerPermission | Model::PerScheme => {
                let scheme = (self.model == Model::PerScheme).then_some(question.scheme);
                question.asked.permissions().iter().all(|permission| ask(&self.sets[&(*permission, scheme)]))
                    && (!question.has_level || ask(&self.level))
            }
        }
    }

    /// Replaces one user, in place.
    pub fn put_user(&mut self, facts: &UserFacts) {
        let entities = std::mem::take(&mut self.entities);
        self.entities = entities.upsert_entities([user(facts)], None).expect("entities");
    }
}

fn user(facts: &UserFacts) -> Entity {
    let groups = facts.groups.iter().map(|group| uid("Group", group.0)).collect();
    Entity::new_no_attrs(uid("User", facts.id.0), groups)
}

fn actor(actor: Actor) -> EntityUid {
    match actor {
        Actor::User(user) => uid("User", user.0),
        Actor::Group(group) => uid("Group", group.0),
    }
}

fn actors(facts: &ProjectFacts, role: RoleId) -> impl Iterator<Item = EntityUid> {
    facts.actors.iter().filter(move |(of, _)| *of == role).map(|(_, who)| actor(*who))
}

fn set(members: impl IntoIterator<Item = EntityUid>) -> RestrictedExpression {
    RestrictedExpression::new_set(members.into_iter().map(entity))
}

fn project(world: &World, facts: &ProjectFacts, model: Model) -> Entity {
    let mut attributes = HashMap::new();
    // Levels name roles.
    for role in 1..=ROLES {
        attributes.insert(format!("r{role}"), set(actors(facts, RoleId(role))));
    }
    attributes.insert("lead".to_owned(), entity(uid("User", facts.lead.map_or(-1, |lead| lead.0))));
    if model == Model::Flat {
        for permission in PERMISSIONS {
            let holders: Vec<_> = World::holders(world.scheme_of(facts), permission).collect();
            let word = word(permission);
            let mut flat: HashSet<EntityUid> = HashSet::new();
            for holder in &holders {
                match *holder {
                    Holder::User(user) => flat.extend([uid("User", user.0)]),
                    Holder::Group(group) => flat.extend([uid("Group", group.0)]),
                    Holder::Role(role) => flat.extend(actors(facts, role)),
                    Holder::ProjectLead => flat.extend(facts.lead.map(|lead| uid("User", lead.0))),
                    Holder::AnyApplication => flat.extend([any_application()]),
                    _ => {}
                }
            }
            let flag = |holder| RestrictedExpression::new_bool(holders.contains(&holder));
            attributes.insert(format!("{word}anyone"), flag(Holder::Anyone));
            attributes.insert(format!("{word}reporter"), flag(Holder::Reporter));
            attributes.insert(format!("{word}assignee"), flag(Holder::Assignee));
            attributes.insert(word, set(flat));
        }
    }
    let parents = HashSet::from([uid("Scheme", facts.scheme.0)]);
    Entity::new(uid("Project", facts.id.0), attributes, parents).expect("an entity")
}

fn level(id: i64, facts: &LevelFacts) -> Entity {
    let holds = |holder| facts.members.iter().any(|member| member.holder == holder);
    let flag = |holder| RestrictedExpression::new_bool(holds(holder));
    let groups = facts.members.iter().filter_map(|member| match member.holder {
        Holder::Group(group) => Some(uid("Group", group.0)),
        _ => None,
    });
    let mut attributes = HashMap::from([
        ("groups".to_owned(), set(groups)),
        ("reporter".to_owned(), flag(Holder::Reporter)),
        ("assignee".to_owned(), flag(Holder::Assignee)),
    ]);
    for role in 1..=2 {
        attributes.insert(format!("r{role}"), flag(Holder::Role(RoleId(role))));
    }
    Entity::new(uid("Level", id), attributes, HashSet::new()).expect("an entity")
}

fn in_level() -> &'static str {
    "principal in context.level.groups || (context.level.r1 && principal in resource.r1) \
     || (context.level.r2 && principal in resource.r2) \
     || (context.level.reporter && principal == context.reporter) \
     || (context.level.assignee && principal == context.assignee)"
}

fn policy(out: &mut String, scheme: SchemeId, holder: Holder) {
    let (principal, when) = match holder {
        Holder::Anyone => ("principal".to_owned(), String::new()),
        Holder::AnyApplication => (format!("principal in {}", any_application()), String::new()),
        Holder::User(user) => (format!("principal == User::\"{user}\""), String::new()),
        Holder::Group(group) => (format!("principal in Group::\"{group}\""), String::new()),
        Holder::Role(role) => ("principal".to_owned(), format!(" when {{ principal in resource.r{role} }}")),
        Holder::ProjectLead => ("principal".to_owned(), " when { principal == resource.lead }".to_owned()),
        Holder::Reporter => ("principal".to_owned(), " when { principal == context.reporter }".to_owned()),
        Holder::Assignee => ("principal".to_owned(), " when { principal == context.assignee }".to_owned()),
        Holder::Application(_) | Holder::UserField(_) | Holder::GroupField(_) | Holder::PortalCustomer => {
            unreachable!("worlds have none")
        }
    };
    writeln!(out, "permit({principal}, action, resource in Scheme::\"{scheme}\"){when};").expect("memory");
}

fn flat_policy(asked: Asked) -> String {
    let mut rules: Vec<String> = asked
        .permissions()
        .iter()
        .map(|permission| {
            let p = word(*permission);
            format!(
                "(principal in resource.{p} || resource.{p}anyone \
                 || (resource.{p}reporter && principal == context.reporter) \
                 || (resource.{p}assignee && principal == context.assignee))"
            )
        })
        .collect();
    if asked != Asked::UpdateProject {
        rules.push(format!("(!context.hasLevel || {})", in_level()));
    }
    format!("permit(principal, action, resource) when {{ {} }};", rules.join(" && "))
}
