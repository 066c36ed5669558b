//! Small random worlds and questions, the same from the same seed, and smaller ones that still show a disagreement.

use portcullis_authz::decide::Fact;
use portcullis_authz::op::ROWS;
use portcullis_authz::row::{ConnectRule, Expr, Locate, Of, Row, When};
use portcullis_model::{AccessKind, ConnectScope, GlobalPermission, ProjectPermission};

use super::question::{CONNECT_CHAIN, Question, Targets};
use super::world::{APPLICATIONS, Grant, Group, Issue, Level, Project, RoleActor, Scheme, User, World};

/// splitmix64: one word of state, good enough to wander, and in no way secret.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not give shifted copies of one sequence.
        let mut rng = Self(seed);
        Self(rng.word() ^ seed.rotate_left(32))
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is small.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.word() % bound.max(1) as u64).expect("below a usize")
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    /// An id from 1 to `most`.
    fn id(&mut self, most: i64) -> i64 {
        1 + i64::try_from(self.below(usize::try_from(most).expect("small"))).expect("small")
    }
}

const USERS: i64 = 6;
const GROUPS: i64 = 4;
const ROLES: i64 = 3;
const PROJECTS: i64 = 3;
const SCHEMES: i64 = 3;
const SECURITY_SCHEMES: i64 = 2;
const LEVELS: i64 = 4;
const FIELDS: i64 = 2;

impl World {
    /// A world from nothing to six users, four groups and three projects.
    pub fn random(rng: &mut Rng) -> Self {
        let mut world = Self::default();
        for id in 1..=rng.id(GROUPS) {
            world.groups.push(Group::random(rng, id));
        }
        for id in 1..=rng.id(USERS) {
            let user = User::random(rng, id, &world.groups);
            world.users.push(user);
        }
        for permission in GlobalPermission::ALL {
            if rng.percent(4) {
                world.anyone_global.push(permission.key());
            }
        }
        let mut next_grant = 1;
        for id in 1..=rng.id(SCHEMES) {
            world.schemes.push(Scheme::random(rng, id, &mut next_grant));
        }
        for id in 1..=rng.id(LEVELS) {
            world.levels.push(Level::random(rng, id, &mut next_grant));
        }
        for id in 1..=rng.id(PROJECTS) {
            world.projects.push(Project::random(rng, id));
        }
        for id in 1..=rng.id(6) {
            world.issues.push(Issue::random(rng, id));
        }
        world
    }

    /// Every world that is this one without one thing.
    fn smaller(&self) -> Vec<Self> {
        let mut out = Vec::new();
        macro_rules! without_each {
            ($($field:ident)+) => {$(
                for position in 0..self.$field.len() {
                    let mut world = self.clone();
                    world.$field.remove(position);
                    out.push(world);
                }
            )+};
        }
        macro_rules! without_each_part {
            ($($outer:ident.$inner:ident)+) => {$(
                for (position, thing) in self.$outer.iter().enumerate() {
                    for part in 0..thing.$inner.len() {
                        let mut world = self.clone();
                        world.$outer[position].$inner.remove(part);
                        out.push(world);
                    }
                }
            )+};
        }
        without_each!(users groups anyone_global schemes levels projects);
        without_each_part!(schemes.grants levels.members projects.actors users.groups groups.applications groups.global
            issues.user_fields issues.group_fields);
        out
    }
}

impl Group {
    pub fn random(rng: &mut Rng, id: i64) -> Self {
        let applications = APPLICATIONS.into_iter().filter(|_| rng.percent(30)).collect();
        let global = GlobalPermission::ALL.iter().map(|one| one.key()).filter(|_| rng.percent(25)).collect();
        Self { id, applications, global, site_admin: rng.percent(20) }
    }
}

impl User {
    pub fn random(rng: &mut Rng, id: i64, groups: &[Group]) -> Self {
        let account_type = rng.pick(&["atlassian", "atlassian", "atlassian", "service", "app"]);
        let mut groups: Vec<i64> = groups.iter().map(|group| group.id).filter(|_| rng.percent(45)).collect();
        if rng.percent(10) {
            groups.extend(groups.first().copied());
        }
        groups.reverse();
        Self { id, active: !rng.percent(12), account_type, groups }
    }
}

impl Grant {
    fn random(rng: &mut Rng, id: i64, permission: &'static str) -> Self {
        let holder_type = rng.pick(&[
            "anyone",
            "applicationRole",
            "applicationRole",
            "user",
            "group",
            "projectRole",
            "projectLead",
            "reporter",
            "assignee",
            "userCustomField",
            "groupCustomField",
            "sd.customer.portal.only",
        ]);
        let parameter = match holder_type {
            "applicationRole" if rng.percent(60) => Some(rng.pick(&APPLICATIONS).to_owned()),
            "user" => Some(rng.id(USERS).to_string()),
            "group" => Some(rng.id(GROUPS).to_string()),
            "projectRole" => Some(rng.id(ROLES).to_string()),
            "userCustomField" | "groupCustomField" => Some(rng.id(FIELDS).to_string()),
            _ => None,
        };
        Self { id, permission, holder_type, parameter }
    }
}

impl Scheme {
    pub fn random(rng: &mut Rng, id: i64, next_grant: &mut i64) -> Self {
        let mut grants = Vec::new();
        // Empty, sparse, usual, or generous.
        let most = rng.pick(&[0, 1, 2, 2, 3, 5]);
        for permission in ProjectPermission::ALL {
            for _ in 0..rng.below(most + 1) {
                grants.push(Grant::random(rng, *next_grant, permission.key()));
                *next_grant += 1;
            }
        }
        if rng.percent(25) {
            // As a fresh site has it: whoever uses Jira may do everything.
            for permission in ProjectPermission::ALL {
                let holder_type = "applicationRole";
                grants.push(Grant { id: *next_grant, permission: permission.key(), holder_type, parameter: None });
                *next_grant += 1;
            }
        }
        Self { id, grants }
    }
}

impl Level {
    pub fn random(rng: &mut Rng, id: i64, next_grant: &mut i64) -> Self {
        let mut members = Vec::new();
        for _ in 0..rng.below(4) {
            members.push(Grant::random(rng, *next_grant, ""));
            *next_grant += 1;
        }
        Self { id, security_scheme: rng.id(SECURITY_SCHEMES), members }
    }
}

impl Project {
    pub fn random(rng: &mut Rng, id: i64) -> Self {
        let mut actors = Vec::new();
        for _ in 0..rng.below(6) {
            let role = rng.id(ROLES);
            let (actor_type, id) = if rng.percent(50) {
                ("atlassian-user-role-actor", rng.id(USERS))
            } else {
                ("atlassian-group-role-actor", rng.id(GROUPS))
            };
            actors.push(RoleActor { role, actor_type, id });
        }
        Self {
            id,
            lead: rng.percent(70).then(|| rng.id(USERS)),
            scheme: rng.id(SCHEMES),
            security_scheme: rng.percent(70).then(|| rng.id(SECURITY_SCHEMES)),
            team_managed: rng.percent(25),
            trashed: rng.percent(10),
            actors,
        }
    }
}

impl Issue {
    pub fn random(rng: &mut Rng, id: i64) -> Self {
        let user_fields = (0..rng.below(3)).map(|_| (rng.id(FIELDS), rng.id(USERS))).collect();
        let group_fields = (0..rng.below(3)).map(|_| (rng.id(FIELDS), rng.id(GROUPS))).collect();
        Self {
            id,
            project: rng.id(PROJECTS),
            level: rng.percent(40).then(|| rng.id(LEVELS)),
            reporter: rng.percent(85).then(|| rng.id(USERS)),
            assignee: rng.percent(70).then(|| rng.id(USERS)),
            user_fields,
            group_fields,
        }
    }
}

impl Question {
    /// A question about any row of the table, more often nearly allowed than hopeless.
    pub fn random(rng: &mut Rng, world: &World) -> Self {
        // Most rows ask for ADMINISTER alone; those that look at something deserve as many questions.
        let mut row = rng.pick(ROWS);
        for _ in 0..rng.below(6) {
            if !LookedAt::by(row).anything() {
                row = rng.pick(ROWS);
            }
        }
        Self::random_about(rng, world, row)
    }

    /// A question about one row.
    pub fn random_about(rng: &mut Rng, world: &World, row: &'static Row) -> Self {
        const KINDS: [AccessKind; 7] = [
            AccessKind::Anonymous,
            AccessKind::ApiToken,
            AccessKind::ScopedApiToken,
            AccessKind::Session,
            AccessKind::OAuth,
            AccessKind::Connect,
            AccessKind::Forge,
        ];
        let accepted: Vec<AccessKind> = KINDS.into_iter().filter(|kind| row.access.contains(*kind)).collect();
        let access = match rng.below(20) {
            0 if rng.percent(20) => rng.pick(&[AccessKind::Operator, AccessKind::System]),
            0..=2 => rng.pick(&KINDS),
            _ if accepted.is_empty() => rng.pick(&KINDS),
            _ => rng.pick(&accepted),
        };
        let app_only = matches!(access, AccessKind::Connect | AccessKind::Forge) && rng.percent(60);
        let in_page = access == AccessKind::Connect && !app_only && rng.percent(30);
        let user = random_user(rng, world, access, app_only);
        let is_app = matches!(access, AccessKind::Connect | AccessKind::Forge | AccessKind::OAuth);
        let mut blocked = Vec::new();
        if is_app && rng.percent(35) {
            blocked = (1..=PROJECTS).filter(|_| rng.percent(35)).collect();
        }
        Self {
            row,
            access,
            user,
            scopes: random_scopes(rng, access, row),
            connect: random_connect(rng, access, app_only, row),
            app_only,
            in_page,
            blocked,
            targets: Targets::random(rng, world, row, user),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let mut out = Vec::new();
        for position in 0..self.blocked.len() {
            let mut question = self.clone();
            question.blocked.remove(position);
            out.push(question);
        }
        for position in 0..self.scopes.as_ref().map_or(0, Vec::len) {
            let mut question = self.clone();
            if let Some(scopes) = &mut question.scopes {
                scopes.remove(position);
            }
            out.push(question);
        }
        for position in 0..self.targets.holding.len() {
            let mut question = self.clone();
            question.targets.holding.remove(position);
            out.push(question);
        }
        macro_rules! forget_each {
            ($($field:ident)+) => {$(
                if !matches!(self.targets.$field, Fact::Unknown) {
                    let mut question = self.clone();
                    question.targets.$field = Fact::Unknown;
                    out.push(question);
                }
            )+};
        }
        forget_each!(project other_project issue other_issue issues projects using participates restriction owner shared editable);
        out
    }
}

fn random_user(rng: &mut Rng, world: &World, access: AccessKind, app_only: bool) -> Option<i64> {
    if access == AccessKind::Anonymous {
        // Now and then a caller that contradicts itself.
        return rng.percent(2).then(|| rng.id(USERS));
    }
    if rng.percent(3) {
        return None;
    }
    if rng.percent(3) {
        return Some(rng.id(USERS + 2));
    }
    let wanted = if app_only { "app" } else { "atlassian" };
    let fitting: Vec<i64> =
        world.users.iter().filter(|user| user.active && user.account_type == wanted).map(|user| user.id).collect();
    let anybody: Vec<i64> = world.users.iter().map(|user| user.id).collect();
    let from = if fitting.is_empty() || rng.percent(25) { &anybody } else { &fitting };
    if from.is_empty() { None } else { Some(rng.pick(from)) }
}

fn random_scopes(rng: &mut Rng, access: AccessKind, row: &Row) -> Option<Vec<&'static str>> {
    match access {
        AccessKind::OAuth | AccessKind::Forge | AccessKind::ScopedApiToken => {
            if rng.percent(3) {
                return None;
            }
        }
        AccessKind::ApiToken | AccessKind::Session => {
            if !rng.percent(2) {
                return None;
            }
        }
        _ => return None,
    }
    let sets: Vec<Vec<&'static str>> =
        [row.classic, row.granular].into_iter().flatten().map(|set| set.names().collect()).collect();
    let mut scopes = if sets.is_empty() || rng.percent(5) { Vec::new() } else { rng.pick(&sets) };
    if rng.percent(20) && !scopes.is_empty() {
        scopes.remove(rng.below(scopes.len()));
    }
    for _ in 0..rng.below(3) {
        scopes.push(rng.pick(portcullis_model::scope_names::SCOPE_NAMES));
    }
    Some(scopes)
}

fn random_connect(rng: &mut Rng, access: AccessKind, app_only: bool, row: &Row) -> Option<Vec<&'static str>> {
    if access != AccessKind::Connect || rng.percent(3) {
        return None;
    }
    let mut scopes = Vec::new();
    let needed = match row.connect {
        ConnectRule::Scope(needed) => CONNECT_CHAIN.iter().position(|(_, scope)| *scope == needed),
        ConnectRule::Inaccessible => None,
    };
    let top = match needed {
        Some(position) if rng.percent(80) => position + rng.below(CONNECT_CHAIN.len() - position),
        _ => rng.below(CONNECT_CHAIN.len()),
    };
    scopes.push(CONNECT_CHAIN[top].0);
    let alone = |wanted| row.connect == ConnectRule::Scope(wanted);
    if rng.percent(if alone(ConnectScope::ActAsUser) || !app_only { 75 } else { 20 }) {
        scopes.push("ACT_AS_USER");
    }
    if rng.percent(if alone(ConnectScope::AccessEmailAddresses) { 75 } else { 10 }) {
        scopes.push("ACCESS_EMAIL_ADDRESSES");
    }
    Some(scopes)
}

fn fact<T>(rng: &mut Rng, value: T) -> Fact<T> {
    match rng.below(20) {
        0 => Fact::Missing,
        1 => Fact::Unknown,
        _ => Fact::Known(value),
    }
}

fn random_issue(rng: &mut Rng, world: &World) -> Fact<i64> {
    if world.issues.is_empty() {
        return Fact::Missing;
    }
    let id = rng.pick(&world.issues).id;
    fact(rng, id)
}

/// What a row's rule and its place in the table look at.
#[derive(Clone, Copy, Debug, Default)]
struct LookedAt {
    project: bool,
    other_project: bool,
    issue: bool,
    other_issue: bool,
    issues: bool,
    projects: bool,
    using: bool,
    restriction: bool,
    owner: bool,
    shares: bool,
}

impl LookedAt {
    fn by(row: &Row) -> Self {
        let mut out = Self::default();
        out.rule(&row.permission);
        match row.locate {
            Locate::Nothing | Locate::User | Locate::UsedEverywhere | Locate::NotLocated => {}
            Locate::Project(_)
            | Locate::ProjectUpdate(_)
            | Locate::Version(_)
            | Locate::Component(_)
            | Locate::QueryProject
            | Locate::BodyCreateIssue
            | Locate::BodyVersion
            | Locate::BodyComponent => out.project = true,
            Locate::Issue(_) | Locate::IssueAndUser(_) => out.issue = true,
            Locate::OnIssue(..) | Locate::Attachment(_) | Locate::CommentById(_) => {
                (out.issue, out.restriction, out.owner) = (true, true, true);
            }
            Locate::IssueLink(_) | Locate::BodyIssueLink => (out.issue, out.other_issue) = (true, true),
            Locate::BodyCreateIssues => out.projects = true,
            Locate::Filter(_) => (out.owner, out.shares) = (true, true),
        }
        out
    }

    fn anything(self) -> bool {
        self.project
            || self.other_project
            || self.issue
            || self.other_issue
            || self.issues
            || self.projects
            || self.using
            || self.restriction
            || self.owner
            || self.shares
    }

    fn rule(&mut self, rule: &Expr) {
        match rule {
            Expr::Project(_, of) | Expr::IssueSecurity(of) => match of {
                Of::Project => self.project = true,
                Of::OtherProject => self.other_project = true,
                Of::Issue => self.issue = true,
                Of::OtherIssue => self.other_issue = true,
                Of::BothIssues => (self.issue, self.other_issue) = (true, true),
                Of::EachIssue => self.issues = true,
                Of::EachProject => self.projects = true,
                Of::AnyProject => {}
                Of::AnyProjectUsing => self.using = true,
            },
            Expr::Visible(_) => self.restriction = true,
            Expr::Owner(_) => self.owner = true,
            Expr::Caller(rule) => self.owner |= rule.owns.is_some(),
            Expr::Shared(_) | Expr::Editable(_) => self.shares = true,
            Expr::All(rules) | Expr::Any(rules) => rules.iter().for_each(|rule| self.rule(rule)),
            Expr::Cases(cases) => cases.iter().for_each(|(_, rule)| self.rule(rule)),
            Expr::Nothing
            | Expr::LoggedIn
            | Expr::Account
            | Expr::SiteAdmin
            | Expr::OrgAdmin
            | Expr::Global(_)
            | Expr::NeverKnown(_) => {}
        }
    }
}

impl Targets {
    /// Usually what the row looks at and nothing else, as the guard finds it; sometimes anything at all.
    fn random(rng: &mut Rng, world: &World, row: &Row, user: Option<i64>) -> Self {
        let looked = LookedAt::by(row);
        let wild = rng.percent(10);
        let mut out = Self::unknown();
        macro_rules! fill {
            ($wanted:expr, $field:ident, $value:expr) => {
                if if wild { rng.percent(50) } else { $wanted } {
                    out.$field = $value;
                }
            };
        }
        let ids = |rng: &mut Rng| -> Vec<i64> { (0..rng.below(4)).map(|_| rng.id(PROJECTS)).collect() };
        fill!(looked.issue, issue, random_issue(rng, world));
        fill!(looked.other_issue, other_issue, random_issue(rng, world));
        fill!(looked.issues, issues, {
            let count = if world.issues.is_empty() { 0 } else { rng.below(4) };
            let issues = (0..count).map(|_| rng.pick(&world.issues).id).collect();
            fact(rng, issues)
        });
        fill!(looked.project, project, {
            let id = rng.id(PROJECTS);
            fact(rng, id)
        });
        if looked.issue && !wild && rng.percent(70) {
            out.project = match out.issue {
                Fact::Known(id) => world.issue(id).map_or(Fact::Missing, |issue| Fact::Known(issue.project)),
                Fact::Missing => Fact::Missing,
                Fact::Unknown => Fact::Unknown,
            };
        }
        fill!(looked.other_project, other_project, {
            let id = rng.id(PROJECTS);
            fact(rng, id)
        });
        fill!(looked.projects, projects, {
            let projects = ids(rng).into_iter().map(|id| fact(rng, id)).collect();
            fact(rng, projects)
        });
        fill!(looked.using, using, {
            let using = ids(rng);
            fact(rng, using)
        });
        fill!(looked.project && rng.percent(60), participates, {
            let takes_part = rng.percent(50);
            fact(rng, takes_part)
        });
        fill!(looked.restriction, restriction, {
            let restriction = match rng.below(6) {
                0 => Some(("group", rng.id(GROUPS))),
                1 => Some(("role", rng.id(ROLES))),
                2 => Some(("gone", 0)),
                _ => None,
            };
            fact(rng, restriction)
        });
        fill!(looked.owner, owner, {
            let owner = match rng.below(10) {
                0 => None,
                1..=5 => user,
                _ => Some(rng.id(USERS)),
            };
            fact(rng, owner)
        });
        fill!(looked.shares, shared, {
            let shared = rng.percent(50);
            fact(rng, shared)
        });
        fill!(looked.shares, editable, {
            let editable = rng.percent(50);
            fact(rng, editable)
        });
        for when in [
            When::TargetUserIsCaller,
            When::AccountIsCaller,
            When::ChangesKeyOrScheme,
            When::KeepsKeyAndSchemes,
            When::CompanyManaged,
            When::TeamManaged,
            When::SystemAvatar,
            When::ProjectAvatar,
            When::IssueTypeAvatar,
            When::ProjectOrIssueGiven,
            When::ConnectAppOnly,
        ] {
            if rng.percent(25) {
                out.holding.push(when);
            }
        }
        out
    }
}

/// Takes things away as long as `differs` holds.
pub fn shrink(
    mut world: World,
    mut question: Question,
    differs: impl Fn(&World, &Question) -> bool,
) -> (World, Question) {
    loop {
        if let Some(smaller) = world.smaller().into_iter().find(|smaller| differs(smaller, &question)) {
            world = smaller;
        } else if let Some(smaller) = question.smaller().into_iter().find(|smaller| differs(&world, smaller)) {
            question = smaller;
        } else {
            return (world, question);
        }
    }
}

/// Changes one thing of a world and returns how to tell a policy of it.
pub fn change(rng: &mut Rng, world: &mut World, next_grant: &mut i64) -> Changed {
    match rng.below(7) {
        0 => {
            let id = rng.id(USERS);
            world.users.retain(|user| user.id != id);
            if !rng.percent(25) {
                let user = User::random(rng, id, &world.groups);
                world.users.push(user);
            }
            Changed::User(id)
        }
        1 | 2 => {
            let id = rng.id(GROUPS);
            let was_there = world.groups.iter().any(|group| group.id == id);
            world.groups.retain(|group| group.id != id);
            if was_there && rng.percent(25) {
                // A deleted group has no members.
                world.users.iter_mut().for_each(|user| user.groups.retain(|group| *group != id));
                Changed::GroupGone(id)
            } else {
                let group = Group::random(rng, id);
                world.groups.push(group);
                Changed::Group(id)
            }
        }
        3 => {
            let id = rng.id(SCHEMES);
            world.schemes.retain(|scheme| scheme.id != id);
            if !rng.percent(25) {
                world.schemes.push(Scheme::random(rng, id, next_grant));
            }
            Changed::Scheme(id)
        }
        4 => {
            let id = rng.id(PROJECTS);
            world.projects.retain(|project| project.id != id);
            if !rng.percent(25) {
                world.projects.push(Project::random(rng, id));
            }
            Changed::Project(id)
        }
        5 => {
            let id = rng.id(LEVELS);
            world.levels.retain(|level| level.id != id);
            if !rng.percent(25) {
                world.levels.push(Level::random(rng, id, next_grant));
            }
            Changed::Level(id)
        }
        _ => {
            world.anyone_global =
                GlobalPermission::ALL.iter().map(|one| one.key()).filter(|_| rng.percent(10)).collect();
            Changed::AnyoneGlobal
        }
    }
}

/// What [`change`] replaced.
#[derive(Clone, Copy, Debug)]
pub enum Changed {
    User(i64),
    Group(i64),
    /// The group, and with it every membership.
    GroupGone(i64),
    Scheme(i64),
    Project(i64),
    Level(i64),
    AnyoneGlobal,
}

impl Changed {
    /// Tells the policy of this one change.
    pub fn tell(self, policy: &mut portcullis_authz::Policy, world: &World) {
        use super::world::globals;
        use portcullis_model::{GroupId, LevelId, ProjectId, SchemeId, UserId};
        let user = |id: i64| world.users.iter().find(|user| user.id == id).map(User::facts);
        match self {
            Changed::User(id) => policy.put_user(UserId(id), user(id)),
            Changed::Group(id) => {
                let group = world.groups.iter().find(|group| group.id == id).map(Group::facts);
                policy.put_group(GroupId(id), group);
            }
            Changed::GroupGone(id) => {
                policy.put_group(GroupId(id), None);
                world.users.iter().for_each(|user| policy.put_user(UserId(user.id), Some(user.facts())));
            }
            Changed::Scheme(id) => {
                policy.put_scheme(SchemeId(id), world.schemes.iter().find(|one| one.id == id).map(Scheme::facts));
            }
            Changed::Project(id) => {
                policy.put_project(ProjectId(id), world.projects.iter().find(|one| one.id == id).map(Project::facts));
            }
            Changed::Level(id) => {
                policy.put_level(LevelId(id), world.levels.iter().find(|one| one.id == id).map(Level::facts));
            }
            Changed::AnyoneGlobal => policy.set_anyone_global(globals(&world.anyone_global)),
        }
    }
}
