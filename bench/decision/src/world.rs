//! A site of a given size: people in groups, schemes with a holder or more for every permission, projects with role actors,
//! issues with reporter, assignee and, some, a security level.

use portcullis_authz::Policy;
use portcullis_authz::policy::{
    AccountKind, Actor, GroupFacts, Holder, HolderFacts, IssueFacts, LevelFacts, ProjectFacts, SchemeFacts, UserFacts,
};
use portcullis_model::{
    GlobalPermissionSet, GrantId, GroupId, IssueId, LevelId, ProjectId, ProjectPermission, RoleId, SchemeId,
    SecuritySchemeId, UserId,
};

use crate::random::Random;

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub name: &'static str,
    pub users: usize,
    pub groups: usize,
    pub projects: usize,
    pub schemes: usize,
    pub issues: usize,
}

pub const SMALL: Size =
    Size { name: "small", users: 10_000, groups: 1_000, projects: 500, schemes: 50, issues: 100_000 };
pub const LARGE: Size =
    Size { name: "large", users: 100_000, groups: 10_000, projects: 10_000, schemes: 500, issues: 1_000_000 };

pub const ADMINISTRATORS: i64 = 1;
pub const DEVELOPERS: i64 = 2;
pub const PEOPLE: i64 = 3;
/// Roles of the site; each project fills them.
pub const ROLES: i64 = 6;
const LEVELS_PER_SCHEME: usize = 4;

pub struct World {
    pub users: Vec<UserFacts>,
    pub groups: Vec<GroupFacts>,
    pub schemes: Vec<SchemeFacts>,
    pub levels: Vec<LevelFacts>,
    pub projects: Vec<ProjectFacts>,
    pub issues: Vec<IssueFacts>,
    /// By group id.
    pub members: Vec<Vec<UserId>>,
}

impl World {
    pub fn new(size: Size) -> Self {
        let random = &mut Random::new(20);
        let groups: Vec<_> = (1..=size.groups)
            .map(|id| GroupFacts {
                // The first group is everyone's; a few others give the same application or another.
                applications: if id == 1 || id % 50 == 0 { 1 << (id % 3) } else { 0 },
                global: GlobalPermissionSet::default(),
                site_admin: id == 2,
            })
            .collect();
        let mut members = vec![Vec::new(); size.groups + 1];
        let users: Vec<_> = (1..=size.users as i64)
            .map(|id| {
                let mut groups: Vec<_> = (0..random.between(4, 12)).map(|_| GroupId(random.id(size.groups))).collect();
                if random.percent(95) {
                    groups.push(GroupId(1));
                }
                groups.sort_unstable();
                groups.dedup();
                groups.iter().for_each(|group| members[group.0 as usize].push(UserId(id)));
                UserFacts { id: UserId(id), active: true, kind: AccountKind::Person, groups }
            })
            .collect();
        let mut grant = 0;
        let mut holder = |holder| {
            grant += 1;
            HolderFacts { grant: GrantId(grant), holder }
        };
        let schemes: Vec<_> = (0..size.schemes).map(|_| scheme(random, size, &mut holder)).collect();
        let security_schemes = size.schemes / 2;
        let levels: Vec<_> = (0..security_schemes * LEVELS_PER_SCHEME)
            .map(|n| LevelFacts {
                scheme: SecuritySchemeId((n / LEVELS_PER_SCHEME) as i64 + 1),
                members: level(random, size).into_iter().map(&mut holder).collect(),
            })
            .collect();
        let projects: Vec<_> = (1..=size.projects as i64)
            .map(|id| ProjectFacts {
                id: ProjectId(id),
                key: format!("P{id}"),
                lead: Some(UserId(random.id(size.users))),
                scheme: SchemeId(random.id(size.schemes)),
                security_scheme: random.percent(40).then(|| SecuritySchemeId(random.id(security_schemes))),
                team_managed: false,
                trashed: false,
                actors: actors(random, size),
            })
            .collect();
        let issues = (1..=size.issues as i64)
            .map(|id| {
                let project: &ProjectFacts = random.pick(&projects);
                let level = project
                    .security_scheme
                    .filter(|_| random.percent(30))
                    .map(|scheme| LevelId((scheme.0 - 1) * LEVELS_PER_SCHEME as i64 + random.id(LEVELS_PER_SCHEME)));
                IssueFacts {
                    id: IssueId(id),
                    project: project.id,
                    level,
                    reporter: someone(random, project, &members),
                    assignee: someone(random, project, &members).filter(|_| random.percent(80)),
                    user_fields: Vec::new(),
                    group_fields: Vec::new(),
                }
            })
            .collect();
        Self { users, groups, schemes, levels, projects, issues, members }
    }

    /// Through the engine's public door.
    pub fn compile(&self) -> Policy {
        let mut policy = Policy::empty();
        for (id, group) in (1..).zip(&self.groups) {
            policy.put_group(GroupId(id), Some(group.clone()));
        }
        for user in &self.users {
            policy.put_user(user.id, Some(user.clone()));
        }
        for (id, scheme) in (1..).zip(&self.schemes) {
            policy.put_scheme(SchemeId(id), Some(scheme.clone()));
        }
        for (id, level) in (1..).zip(&self.levels) {
            policy.put_level(LevelId(id), Some(level.clone()));
        }
        for project in &self.projects {
            policy.put_project(project.id, Some(project.clone()));
        }
        policy
    }

    pub fn project(&self, id: ProjectId) -> &ProjectFacts {
        &self.projects[id.0 as usize - 1]
    }

    pub fn scheme_of(&self, project: &ProjectFacts) -> &SchemeFacts {
        &self.schemes[project.scheme.0 as usize - 1]
    }

    /// Holders of a permission in a scheme.
    pub fn holders(scheme: &SchemeFacts, permission: ProjectPermission) -> impl Iterator<Item = Holder> {
        scheme.grants.iter().filter(move |(of, _)| *of == permission).map(|(_, facts)| facts.holder)
    }
}

/// Someone with a role in the project.
pub fn someone(random: &mut Random, project: &ProjectFacts, members: &[Vec<UserId>]) -> Option<UserId> {
    match random.pick(&project.actors).1 {
        Actor::User(user) => Some(user),
        Actor::Group(group) => {
            let members = &members[group.0 as usize];
            (!members.is_empty()).then(|| *random.pick(members))
        }
    }
}

fn scheme(random: &mut Random, size: Size, holder: &mut impl FnMut(Holder) -> HolderFacts) -> SchemeFacts {
    let mut grants = Vec::new();
    for permission in ProjectPermission::ALL {
        let mut give = |who| grants.push((permission, holder(who)));
        give(Holder::Role(RoleId(ADMINISTRATORS)));
        let administers = permission == ProjectPermission::AdministerProjects;
        if !administers && random.percent(80) {
            give(Holder::Role(RoleId(DEVELOPERS)));
        }
        if permission == ProjectPermission::BrowseProjects {
            give(Holder::Role(RoleId(PEOPLE)));
            if random.percent(10) {
                give(Holder::AnyApplication);
            }
            if random.percent(2) {
                give(Holder::Anyone);
            }
        }
        if random.percent(25) {
            give(Holder::Role(RoleId(random.id(ROLES as usize - 3) + 3)));
        }
        if random.percent(50) {
            for _ in 0..random.between(1, 3) {
                give(Holder::Group(GroupId(random.id(size.groups - 1) + 1)));
            }
        }
        if random.percent(10) {
            give(Holder::User(UserId(random.id(size.users))));
        }
        if random.percent(40) {
            give(Holder::ProjectLead);
        }
        if !administers && random.percent(30) {
            give(Holder::Reporter);
        }
        if !administers && random.percent(30) {
            give(Holder::Assignee);
        }
    }
    SchemeFacts { grants }
}

fn level(random: &mut Random, size: Size) -> Vec<Holder> {
    let mut out = vec![Holder::Role(RoleId(ADMINISTRATORS))];
    if random.percent(60) {
        out.push(Holder::Role(RoleId(DEVELOPERS)));
    }
    if random.percent(60) {
        out.push(Holder::Reporter);
    }
    if random.percent(40) {
        out.push(Holder::Assignee);
    }
    for _ in 0..random.between(0, 2) {
        out.push(Holder::Group(GroupId(random.id(size.groups - 1) + 1)));
    }
    out
}

fn actors(random: &mut Random, size: Size) -> Vec<(RoleId, Actor)> {
    let mut out = Vec::new();
    for role in 1..=ROLES {
        let (groups, users) = match role {
            ADMINISTRATORS => (random.between(0, 1), random.between(1, 4)),
            DEVELOPERS | PEOPLE => (random.between(1, 4), random.between(2, 20)),
            _ => (random.between(0, 2), random.between(0, 5)),
        };
        for _ in 0..groups {
            out.push((RoleId(role), Actor::Group(GroupId(random.id(size.groups - 1) + 1))));
        }
        for _ in 0..users {
            out.push((RoleId(role), Actor::User(UserId(random.id(size.users)))));
        }
    }
    out
}
