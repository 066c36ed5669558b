//! What administrators have configured, compiled for deciding: people, groups, roles, schemes, projects.
//!
//! A [`Policy`] is built from plain facts and changed by replacing the facts of one entity at a time, so that one membership
//! change costs the same in a small site and a large one. Ids are positions: tables are dense vectors, because the store
//! hands out ids in sequence.

use std::collections::HashMap;

use portcullis_model::{
    FieldId, GlobalPermission, GlobalPermissionSet, GrantId, GroupId, IssueId, LevelId, ProjectId, ProjectPermission,
    ProjectPermissionSet, RoleId, SchemeId, SecuritySchemeId, UserId,
};

/// Distinct roles with actors in one project.
pub const ROLES_PER_PROJECT_MAX: usize = 64;

/// Largest id a dense table takes; a larger one is not stored, and what is not stored refuses.
const ID_MAX: usize = 1 << 26;

/// A dense table by id.
#[derive(Clone, Debug)]
struct Table<T>(Vec<Option<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    fn at(&self, slot: Option<usize>) -> Option<&T> {
        self.0.get(slot?)?.as_ref()
    }

    fn put(&mut self, slot: Option<usize>, value: Option<T>) {
        let Some(slot) = slot.filter(|slot| *slot <= ID_MAX) else { return };
        if slot >= self.0.len() {
            if value.is_none() {
                return;
            }
            self.0.resize_with(slot + 1, || None);
        }
        if let Some(place) = self.0.get_mut(slot) {
            *place = value;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }
}

/// What kind of account a user is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountKind {
    /// A person.
    Person,
    /// A service account.
    Service,
    /// The user of an app.
    App,
}

/// An account as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFacts {
    /// The account.
    pub id: UserId,
    /// Deactivated accounts are refused everything.
    pub active: bool,
    /// Person, service account or app user.
    pub kind: AccountKind,
    /// Groups, in any order.
    pub groups: Vec<GroupId>,
}

/// What being in a group gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Positions of the applications (see [`Applications`]) that members may use.
    pub applications: u64,
    /// Global permissions granted to the group.
    pub global: GlobalPermissionSet,
    /// Whether members administer the site's people and groups.
    pub site_admin: bool,
}

/// Who holds a permission or belongs to a security level. The order of [`Holder`] variants is the order of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderFacts {
    /// Which grant or member row this is, for the trace.
    pub grant: GrantId,
    /// Who.
    pub holder: Holder,
}

/// The holder types of a permission scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Everyone, without signing in.
    Anyone,
    /// Users of any application.
    AnyApplication,
    /// Users of the application at this position.
    Application(u8),
    /// One account.
    User(UserId),
    /// Members of a group.
    Group(GroupId),
    /// Actors of a role in the project.
    Role(RoleId),
    /// The project's lead.
    ProjectLead,
    /// The issue's reporter.
    Reporter,
    /// The issue's assignee.
    Assignee,
    /// The users in a custom field of the issue.
    UserField(FieldId),
    /// Members of the groups in a custom field of the issue.
    GroupField(FieldId),
    /// Customers of a service project, in the portal only: nobody through this API.
    PortalCustomer,
}

/// A permission scheme: holders per permission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemeFacts {
    /// Every grant.
    pub grants: Vec<(ProjectPermission, HolderFacts)>,
}

/// A level of an issue security scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelFacts {
    /// The scheme it belongs to.
    pub scheme: SecuritySchemeId,
    /// Its members.
    pub members: Vec<HolderFacts>,
}

/// A project as the engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFacts {
    /// The project.
    pub id: ProjectId,
    /// Its key, as in `KEY-1`.
    pub key: String,
    /// Its lead.
    pub lead: Option<UserId>,
    /// Its permission scheme.
    pub scheme: SchemeId,
    /// Its issue security scheme.
    pub security_scheme: Option<SecuritySchemeId>,
    /// Team-managed (`next-gen`) rather than company-managed.
    pub team_managed: bool,
    /// In the trash: it does not exist for anyone.
    pub trashed: bool,
    /// Role actors.
    pub actors: Vec<(RoleId, Actor)>,
}

/// Who has a role in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// One account.
    User(UserId),
    /// Members of a group.
    Group(GroupId),
}

/// An issue as the engine sees it; located per request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueFacts {
    /// The issue.
    pub id: IssueId,
    /// Its project.
    pub project: ProjectId,
    /// Its security level.
    pub level: Option<LevelId>,
    /// Its reporter.
    pub reporter: Option<UserId>,
    /// Its assignee.
    pub assignee: Option<UserId>,
    /// Users in its user picker fields, of fields that some holder names.
    pub user_fields: Vec<(FieldId, UserId)>,
    /// Groups in its group picker fields, of fields that some holder names.
    pub group_fields: Vec<(FieldId, GroupId)>,
}

#[derive(Clone, Debug)]
struct User {
    facts: UserFacts,
    groups: Box<[GroupId]>,
    applications: u64,
    global: GlobalPermissionSet,
    site_admin: bool,
}

/// Holders of one permission or level, by type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders {
    anyone: Option<GrantId>,
    any_application: Option<GrantId>,
    applications: Box<[(u8, GrantId)]>,
    users: Box<[(UserId, GrantId)]>,
    groups: Box<[(GroupId, GrantId)]>,
    roles: Box<[(RoleId, GrantId)]>,
    lead: Option<GrantId>,
    reporter: Option<GrantId>,
    assignee: Option<GrantId>,
    user_fields: Box<[(FieldId, GrantId)]>,
    group_fields: Box<[(FieldId, GrantId)]>,
}

impl Holders {
    fn compile<'a>(holders: impl Iterator<Item = &'a HolderFacts>) -> Self {
        let mut out = Self::default();
        let (mut applications, mut users, mut groups) = (Vec::new(), Vec::new(), Vec::new());
        let (mut roles, mut user_fields, mut group_fields) = (Vec::new(), Vec::new(), Vec::new());
        for HolderFacts { grant, holder } in holders {
            let grant = *grant;
            match *holder {
                Holder::Anyone => out.anyone = Some(grant),
                Holder::AnyApplication => out.any_application = Some(grant),
                Holder::Application(position) => applications.push((position, grant)),
                Holder::User(user) => users.push((user, grant)),
                Holder::Group(group) => groups.push((group, grant)),
                Holder::Role(role) => roles.push((role, grant)),
                Holder::ProjectLead => out.lead = Some(grant),
                Holder::Reporter => out.reporter = Some(grant),
                Holder::Assignee => out.assignee = Some(grant),
                Holder::UserField(field) => user_fields.push((field, grant)),
                Holder::GroupField(field) => group_fields.push((field, grant)),
                Holder::PortalCustomer => {}
            }
        }
        users.sort_unstable();
        groups.sort_unstable();
        out.applications = applications.into();
        out.users = users.into();
        out.groups = groups.into();
        out.roles = roles.into();
        out.user_fields = user_fields.into();
        out.group_fields = group_fields.into();
        out
    }

    fn needs_issue(&self) -> bool {
        self.reporter.is_some()
            || self.assignee.is_some()
            || !self.user_fields.is_empty()
            || !self.group_fields.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Scheme {
    permissions: Vec<Holders>,
    /// The same by holder, for [`Policy::permissions_in`].
    by_holder: Box<[(Holder, ProjectPermissionSet)]>,
}

#[derive(Clone, Debug)]
struct Level {
    scheme: SecuritySchemeId,
    members: Holders,
}

#[derive(Clone, Debug)]
struct Project {
    facts: ProjectFacts,
    /// Roles with actors here; the position is the bit in the masks.
    roles: Box<[RoleId]>,
    users: Box<[(UserId, u64)]>,
    groups: Box<[(GroupId, u64)]>,
}

/// Why a holder matched, for the trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The grant or member row.
    pub grant: GrantId,
    /// The holder that matched; a group also for a role held through that group is not told apart here.
    pub holder: Holder,
}

/// What the caller is, looked up once per decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    id: UserId,
    groups: &'a [GroupId],
    applications: u64,
}

/// The compiled configuration at one revision.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    revision: i64,
    users: Table<User>,
    groups: Table<GroupFacts>,
    schemes: Table<Scheme>,
    levels: Table<Level>,
    projects: Table<Project>,
    anyone_global: GlobalPermissionSet,
}

impl Policy {
    /// A policy in which nobody may do anything.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The revision of the store it reflects.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Says which revision it reflects now.
    pub fn set_revision(&mut self, revision: i64) {
        self.revision = revision;
    }

    /// Replaces the facts of an account; `None` removes it.
    pub fn put_user(&mut self, id: UserId, facts: Option<UserFacts>) {
        let user = facts.map(|facts| self.compile_user(facts));
        self.users.put(id.slot(), user);
    }

    fn compile_user(&self, facts: UserFacts) -> User {
        let mut groups = facts.groups.clone();
        groups.sort_unstable();
        groups.dedup();
        let (mut applications, mut global, mut site_admin) = (0, GlobalPermissionSet::EMPTY, false);
        for group in groups.iter().filter_map(|group| self.groups.at(group.slot())) {
            applications |= group.applications;
            global = global.union(group.global);
            site_admin |= group.site_admin;
        }
        User { facts, groups: groups.into(), applications, global, site_admin }
    }

    /// Replaces what a group gives; members are compiled again, so it costs a walk over all accounts.
    pub fn put_group(&mut self, id: GroupId, facts: Option<GroupFacts>) {
        if self.groups.at(id.slot()) == facts.as_ref() {
            return;
        }
        self.groups.put(id.slot(), facts);
        let mut users = std::mem::take(&mut self.users);
        for user in users.0.iter_mut().flatten() {
            if user.groups.binary_search(&id).is_ok() {
                *user = self.compile_user(user.facts.clone());
            }
        }
        self.users = users;
    }

    /// Replaces the global permissions that everyone holds, signed in or not.
    pub fn set_anyone_global(&mut self, global: GlobalPermissionSet) {
        self.anyone_global = global;
    }

    /// Replaces a permission scheme.
    pub fn put_scheme(&mut self, id: SchemeId, facts: Option<SchemeFacts>) {
        let scheme = facts.map(|facts| Scheme {
            permissions: ProjectPermission::ALL
                .into_iter()
                .map(|wanted| {
                    let grants = facts.grants.iter().filter(|(permission, _)| *permission == wanted);
                    Holders::compile(grants.map(|(_, holder)| holder))
                })
                .collect(),
            by_holder: by_holder(&facts.grants),
        });
        self.schemes.put(id.slot(), scheme);
    }

    /// Replaces a security level.
    pub fn put_level(&mut self, id: LevelId, facts: Option<LevelFacts>) {
        let level = facts.map(|facts| Level { scheme: facts.scheme, members: Holders::compile(facts.members.iter()) });
        self.levels.put(id.slot(), level);
    }

    /// Replaces a project. Roles beyond [`ROLES_PER_PROJECT_MAX`] are left out, which can only refuse.
    pub fn put_project(&mut self, id: ProjectId, facts: Option<ProjectFacts>) {
        let project = facts.map(|facts| {
            let mut roles: Vec<RoleId> = facts.actors.iter().map(|(role, _)| *role).collect();
            roles.sort_unstable();
            roles.dedup();
            roles.truncate(ROLES_PER_PROJECT_MAX);
            let (mut users, mut groups) = (Vec::new(), Vec::new());
            for (role, actor) in &facts.actors {
                let Ok(position) = roles.binary_search(role) else { continue };
                let bit = 1u64 << position;
                match *actor {
                    Actor::User(user) => users.push((user, bit)),
                    Actor::Group(group) => groups.push((group, bit)),
                }
            }
            Project { facts, roles: roles.into(), users: merge(users), groups: merge(groups) }
        });
        self.projects.put(id.slot(), project);
    }

    /// The account's facts.
    pub fn user(&self, id: UserId) -> Option<&UserFacts> {
        self.users.at(id.slot()).map(|user| &user.facts)
    }

    /// The project's facts, trashed or not.
    pub fn project(&self, id: ProjectId) -> Option<&ProjectFacts> {
        self.projects.at(id.slot()).map(|project| &project.facts)
    }

    /// Every project that is not in the trash, by id.
    pub fn projects(&self) -> impl Iterator<Item = &ProjectFacts> {
        self.projects.iter().map(|project| &project.facts).filter(|facts| !facts.trashed)
    }

    /// Whether the account is active and has access to Jira (an application, or it is an app's user).
    pub fn has_access(&self, id: UserId) -> bool {
        self.users.at(id.slot()).is_some_and(|user| user.facts.active && Self::licensed(user))
    }

    fn licensed(user: &User) -> bool {
        user.applications != 0 || user.facts.kind == AccountKind::App
    }

    /// Whether the account is active and administers people and groups.
    pub fn is_site_admin(&self, id: UserId) -> bool {
        self.users.at(id.slot()).is_some_and(|user| user.facts.active && user.site_admin)
    }

    /// Whether the caller holds a global permission. `None` is an anonymous caller.
    ///
    /// Groups give global permissions; the account must be active and have access to Jira to use one, except that a
    /// permission granted to everyone needs nothing.
    pub fn holds_global(&self, user: Option<UserId>, permission: GlobalPermission) -> bool {
        // Listed by Jira Cloud, and false for everyone there.
        if permission == GlobalPermission::SystemAdmin {
            return false;
        }
        if self.anyone_global.contains(permission) {
            return true;
        }
        user.and_then(|id| self.users.at(id.slot()))
            .is_some_and(|user| user.facts.active && Self::licensed(user) && user.global.contains(permission))
    }

    /// The groups of an active account, sorted.
    pub fn groups_of(&self, user: UserId) -> &[GroupId] {
        self.users.at(user.slot()).filter(|user| user.facts.active).map_or(&[], |user| &user.groups)
    }

    /// Whether an active account is in a group.
    pub fn is_member(&self, user: UserId, group: GroupId) -> bool {
        self.groups_of(user).binary_search(&group).is_ok()
    }

    pub(crate) fn person(&self, user: Option<UserId>) -> Option<Person<'_>> {
        let user = self.users.at(user?.slot()).filter(|user| user.facts.active)?;
        let applications = if user.facts.kind == AccountKind::App { u64::MAX } else { user.applications };
        Some(Person { id: user.facts.id, groups: &user.groups, applications })
    }

    fn live(&self, id: ProjectId) -> Option<&Project> {
        self.projects.at(id.slot()).filter(|project| !project.facts.trashed)
    }

    /// Whether an active account has a role in a project, directly or through a group.
    pub fn has_role(&self, user: UserId, project: ProjectId, role: RoleId) -> bool {
        let (Some(person), Some(project)) = (self.person(Some(user)), self.live(project)) else { return false };
        role_bit(project, role) & role_mask(project, &person) != 0
    }

    /// Whether the caller holds a project permission, in full: on an issue when one is given, else without regard to
    /// holders that need an issue.
    pub fn holds(
        &self,
        user: Option<UserId>,
        permission: ProjectPermission,
        project: ProjectId,
        issue: Option<&IssueFacts>,
    ) -> Option<Match> {
        let project = self.live(project)?;
        let scheme = self.schemes.at(project.facts.scheme.slot())?;
        let holders = scheme.permissions.get(permission as usize)?;
        self.matches(self.person(user), holders, project, issue)
    }

    /// Whether the caller could hold the permission on some issue of the project, which is what `mypermissions` tells for a
    /// project. Never used to allow anything.
    pub fn could_hold(&self, user: Option<UserId>, permission: ProjectPermission, project: ProjectId) -> bool {
        self.holds(user, permission, project, None).is_some() || !self.conditions(user, permission, project).is_empty()
    }

    /// Conditions on an issue under which the caller would hold the permission there.
    pub fn conditions(
        &self,
        user: Option<UserId>,
        permission: ProjectPermission,
        project: ProjectId,
    ) -> Vec<Condition> {
        let holders = self
            .live(project)
            .and_then(|project| self.schemes.at(project.facts.scheme.slot()))
            .and_then(|scheme| scheme.permissions.get(permission as usize));
        let (Some(holders), Some(person)) = (holders, self.person(user)) else { return Vec::new() };
        let mut out = Vec::new();
        conditions(holders, &person, |condition| out.push(condition));
        out
    }

    /// Whether some holder of the permission needs an issue (reporter, assignee, picker fields).
    pub fn depends_on_issue(&self, permission: ProjectPermission, project: ProjectId) -> bool {
        self.live(project)
            .and_then(|project| self.schemes.at(project.facts.scheme.slot()))
            .and_then(|scheme| scheme.permissions.get(permission as usize))
            .is_some_and(Holders::needs_issue)
    }

    /// Whether the caller is in the issue's security level; `Ok(None)` when the issue has none.
    pub fn in_level(&self, user: Option<UserId>, issue: &IssueFacts) -> Result<Option<Match>, NotInLevel> {
        let Some(level) = issue.level else { return Ok(None) };
        let (Some(project), Some(level)) = (self.live(issue.project), self.levels.at(level.slot())) else {
            return Err(NotInLevel);
        };
        if project.facts.security_scheme != Some(level.scheme) {
            return Err(NotInLevel);
        }
        self.matches(self.person(user), &level.members, project, Some(issue)).map(Some).ok_or(NotInLevel)
    }

    fn matches(
        &self,
        person: Option<Person<'_>>,
        holders: &Holders,
        project: &Project,
        issue: Option<&IssueFacts>,
    ) -> Option<Match> {
        // A team-managed project is never public.
        if let Some(grant) = holders.anyone
            && (person.is_some() || !project.facts.team_managed)
        {
            return Some(Match { grant, holder: Holder::Anyone });
        }
        let person = person?;
        if person.applications != 0
            && let Some(grant) = holders.any_application
        {
            return Some(Match { grant, holder: Holder::AnyApplication });
        }
        for (position, grant) in &holders.applications {
            if *position < 64 && person.applications & (1 << position) != 0 {
                return Some(Match { grant: *grant, holder: Holder::Application(*position) });
            }
        }
        if let Some(grant) = find(&holders.users, person.id) {
            return Some(Match { grant, holder: Holder::User(person.id) });
        }
        if let Some((group, grant)) = first_common(&holders.groups, person.groups) {
            return Some(Match { grant, holder: Holder::Group(group) });
        }
        if !holders.roles.is_empty() {
            let mask = role_mask(project, &person);
            for (role, grant) in &holders.roles {
                if role_bit(project, *role) & mask != 0 {
                    return Some(Match { grant: *grant, holder: Holder::Role(*role) });
                }
            }
        }
        if let Some(grant) = holders.lead
            && project.facts.lead == Some(person.id)
        {
            return Some(Match { grant, holder: Holder::ProjectLead });
        }
        let issue = issue?;
        if let Some(grant) = holders.reporter
            && issue.reporter == Some(person.id)
        {
            return Some(Match { grant, holder: Holder::Reporter });
        }
        if let Some(grant) = holders.assignee
            && issue.assignee == Some(person.id)
        {
            return Some(Match { grant, holder: Holder::Assignee });
        }
        for (field, grant) in &holders.user_fields {
            if issue.user_fields.iter().any(|(f, user)| f == field && *user == person.id) {
                return Some(Match { grant: *grant, holder: Holder::UserField(*field) });
            }
        }
        for (field, grant) in &holders.group_fields {
            if issue.group_fields.iter().any(|(f, group)| f == field && person.groups.binary_search(group).is_ok()) {
                return Some(Match { grant: *grant, holder: Holder::GroupField(*field) });
            }
        }
        None
    }

    /// All project permissions the caller holds in a project (on an issue, when one is given).
    pub fn permissions_in(
        &self,
        user: Option<UserId>,
        project: ProjectId,
        issue: Option<&IssueFacts>,
    ) -> ProjectPermissionSet {
        let Some((project, scheme)) =
            self.live(project).and_then(|project| Some((project, self.schemes.at(project.facts.scheme.slot())?)))
        else {
            return ProjectPermissionSet::EMPTY;
        };
        let person = self.person(user);
        let roles = person.map_or(0, |person| role_mask(project, &person));
        let holds = |holder| match (holder, person) {
            // A team-managed project is never public.
            (Holder::Anyone, _) => person.is_some() || !project.facts.team_managed,
            (_, None) | (Holder::PortalCustomer, _) => false,
            (Holder::AnyApplication, Some(person)) => person.applications != 0,
            (Holder::Application(position), Some(person)) => {
                position < 64 && person.applications & (1 << position) != 0
            }
            (Holder::User(user), Some(person)) => user == person.id,
            (Holder::Group(group), Some(person)) => person.groups.binary_search(&group).is_ok(),
            (Holder::Role(role), Some(_)) => role_bit(project, role) & roles != 0,
            (Holder::ProjectLead, Some(person)) => project.facts.lead == Some(person.id),
            (Holder::Reporter, Some(person)) => issue.is_some_and(|issue| issue.reporter == Some(person.id)),
            (Holder::Assignee, Some(person)) => issue.is_some_and(|issue| issue.assignee == Some(person.id)),
            (Holder::UserField(field), Some(person)) => {
                issue.is_some_and(|issue| issue.user_fields.contains(&(field, person.id)))
            }
            (Holder::GroupField(field), Some(person)) => issue.is_some_and(|issue| {
                issue.group_fields.iter().any(|(of, group)| *of == field && person.groups.binary_search(group).is_ok())
            }),
        };
        scheme
            .by_holder
            .iter()
            .filter(|(holder, _)| holds(*holder))
            .fold(ProjectPermissionSet::EMPTY, |all, (_, set)| all.union(*set))
    }

    /// A filter that hides nothing, for the operator: every project that is not in the trash, and every level.
    pub fn visibility_of_everything(&self) -> Visibility {
        let mut out = Visibility::default();
        for project in self.projects() {
            out.projects.push(project.id);
            let Some(security) = project.security_scheme else { continue };
            for (slot, level) in self.levels.0.iter().enumerate() {
                if level.as_ref().is_some_and(|level| level.scheme == security) {
                    out.levels.push((project.id, LevelId(i64::try_from(slot).unwrap_or(i64::MAX))));
                }
            }
        }
        out
    }

    /// What the caller may see, as a filter for SQL.
    pub fn visibility(&self, user: Option<UserId>) -> Visibility {
        let mut out = Visibility { user, ..Visibility::default() };
        let person = self.person(user);
        for project in self.projects.iter().filter(|project| !project.facts.trashed) {
            let Some(scheme) = self.schemes.at(project.facts.scheme.slot()) else { continue };
            let Some(browse) = scheme.permissions.get(ProjectPermission::BrowseProjects as usize) else { continue };
            let id = project.facts.id;
            if self.matches(person, browse, project, None).is_some() {
                out.projects.push(id);
            } else if let Some(person) = &person {
                conditions(browse, person, |condition| out.conditional.push((id, condition)));
            }
        }
        for project in self.projects.iter().filter(|project| !project.facts.trashed) {
            let Some(security) = project.facts.security_scheme else { continue };
            for (slot, level) in self.levels.0.iter().enumerate() {
                let Some(level) = level.as_ref().filter(|level| level.scheme == security) else { continue };
                let id = LevelId(i64::try_from(slot).unwrap_or(i64::MAX));
                if self.matches(person, &level.members, project, None).is_some() {
                    out.levels.push((project.facts.id, id));
                } else if let Some(person) = &person {
                    conditions(&level.members, person, |condition| {
                        out.conditional_levels.push((project.facts.id, id, condition));
                    });
                }
            }
        }
        out
    }
}

/// Role and picker conditions that only a look at the issue can settle.
fn conditions(holders: &Holders, person: &Person<'_>, mut found: impl FnMut(Condition)) {
    if holders.reporter.is_some() {
        found(Condition::Reporter);
    }
    if holders.assignee.is_some() {
        found(Condition::Assignee);
    }
    for (field, _) in &holders.user_fields {
        found(Condition::UserField(*field));
    }
    if !person.groups.is_empty() {
        for (field, _) in &holders.group_fields {
            found(Condition::GroupField(*field));
        }
    }
}

/// The issue has a security level and the caller is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInLevel;

/// A condition on the issue that makes it visible to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The caller is the reporter.
    Reporter,
    /// The caller is the assignee.
    Assignee,
    /// The caller is in this user picker field.
    UserField(FieldId),
    /// A group of the caller is in this group picker field.
    GroupField(FieldId),
}

/// What a caller may see: the filter that list and search queries over protected tables must carry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visibility {
    /// The caller; `None` is anonymous.
    pub user: Option<UserId>,
    /// Projects whose issues are visible, security levels aside.
    pub projects: Vec<ProjectId>,
    /// Projects in which single issues are visible.
    pub conditional: Vec<(ProjectId, Condition)>,
    /// Levels the caller is in, per project.
    pub levels: Vec<(ProjectId, LevelId)>,
    /// Levels the caller is in for single issues.
    pub conditional_levels: Vec<(ProjectId, LevelId, Condition)>,
}

impl Visibility {
    /// The same without some projects: those that are closed to the app that asks.
    #[must_use]
    pub fn without(mut self, closed: &[ProjectId]) -> Self {
        if !closed.is_empty() {
            self.projects.retain(|project| !closed.contains(project));
            self.conditional.retain(|(project, _)| !closed.contains(project));
            self.levels.retain(|(project, _)| !closed.contains(project));
            self.conditional_levels.retain(|(project, ..)| !closed.contains(project));
        }
        self
    }
}

/// What each holder has been granted.
fn by_holder(grants: &[(ProjectPermission, HolderFacts)]) -> Box<[(Holder, ProjectPermissionSet)]> {
    let mut out: HashMap<Holder, Vec<ProjectPermission>> = HashMap::new();
    for (permission, facts) in grants {
        out.entry(facts.holder).or_default().push(*permission);
    }
    out.into_iter().map(|(holder, permissions)| (holder, permissions.into_iter().collect())).collect()
}

fn find<K: Ord + Copy>(sorted: &[(K, GrantId)], key: K) -> Option<GrantId> {
    let position = sorted.binary_search_by_key(&key, |(k, _)| *k).ok()?;
    sorted.get(position).map(|(_, grant)| *grant)
}

fn first_common(holders: &[(GroupId, GrantId)], groups: &[GroupId]) -> Option<(GroupId, GrantId)> {
    holders.iter().find(|(group, _)| groups.binary_search(group).is_ok()).copied()
}

fn role_bit(project: &Project, role: RoleId) -> u64 {
    project.roles.binary_search(&role).map_or(0, |position| 1 << position)
}

fn role_mask(project: &Project, person: &Person<'_>) -> u64 {
    let mut mask = match project.users.binary_search_by_key(&person.id, |(user, _)| *user) {
        Ok(position) => project.users.get(position).map_or(0, |(_, mask)| *mask),
        Err(_) => 0,
    };
    for (group, bits) in &project.groups {
        if mask & bits != *bits && person.groups.binary_search(group).is_ok() {
            mask |= bits;
        }
    }
    mask
}

/// One entry per actor, with all its role bits.
fn merge<K: Ord + Copy>(mut actors: Vec<(K, u64)>) -> Box<[(K, u64)]> {
    actors.sort_unstable_by_key(|(key, _)| *key);
    let mut out: Vec<(K, u64)> = Vec::with_capacity(actors.len());
    for (key, bit) in actors {
        match out.last_mut() {
            Some((last, mask)) if *last == key => *mask |= bit,
            _ => out.push((key, bit)),
        }
    }
    out.into()
}
