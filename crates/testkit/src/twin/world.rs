//! A site as an administrator would describe it, and the same as the engine's facts.

use portcullis_authz::Policy;
use portcullis_authz::policy::{
    AccountKind, Actor, GroupFacts, Holder, HolderFacts, IssueFacts, LevelFacts, ProjectFacts, SchemeFacts, UserFacts,
};
use portcullis_model::{
    FieldId, GlobalPermission, GlobalPermissionSet, GrantId, GroupId, IssueId, LevelId, ProjectId, RoleId, SchemeId,
    SecuritySchemeId, UserId,
};

/// Application keys; the position is what the engine keeps.
pub const APPLICATIONS: [&str; 3] = ["jira-software", "jira-servicedesk", "jira-core"];

/// Everything that is configured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    /// Keys of global permissions that everyone has.
    pub anyone_global: Vec<&'static str>,
    pub schemes: Vec<Scheme>,
    pub levels: Vec<Level>,
    pub projects: Vec<Project>,
    pub issues: Vec<Issue>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: i64,
    pub active: bool,
    /// `atlassian`, `service` or `app`.
    pub account_type: &'static str,
    pub groups: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub id: i64,
    /// Applications that members may use.
    pub applications: Vec<&'static str>,
    /// Keys of global permissions.
    pub global: Vec<&'static str>,
    pub site_admin: bool,
}

/// A grant of a scheme, or a member of a level (which has no permission).
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub id: i64,
    pub permission: &'static str,
    /// As in `holder.type`.
    pub holder_type: &'static str,
    /// As in `holder.parameter`.
    pub parameter: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Scheme {
    pub id: i64,
    pub grants: Vec<Grant>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    pub id: i64,
    pub security_scheme: i64,
    pub members: Vec<Grant>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Project {
    pub id: i64,
    pub lead: Option<i64>,
    pub scheme: i64,
    pub security_scheme: Option<i64>,
    pub team_managed: bool,
    pub trashed: bool,
    pub actors: Vec<RoleActor>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RoleActor {
    pub role: i64,
    /// `atlassian-user-role-actor` or `atlassian-group-role-actor`.
    pub actor_type: &'static str,
    pub id: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Issue {
    pub id: i64,
    pub project: i64,
    pub level: Option<i64>,
    pub reporter: Option<i64>,
    pub assignee: Option<i64>,
    /// Values of user picker fields: field, account.
    pub user_fields: Vec<(i64, i64)>,
    /// Values of group picker fields: field, group.
    pub group_fields: Vec<(i64, i64)>,
}

impl World {
    /// The engine's policy for this world, built through its public door.
    pub fn compile(&self) -> Policy {
        let mut policy = Policy::empty();
        for group in &self.groups {
            policy.put_group(GroupId(group.id), Some(group.facts()));
        }
        for user in &self.users {
            policy.put_user(UserId(user.id), Some(user.facts()));
        }
        policy.set_anyone_global(globals(&self.anyone_global));
        for scheme in &self.schemes {
            policy.put_scheme(SchemeId(scheme.id), Some(scheme.facts()));
        }
        for level in &self.levels {
            policy.put_level(LevelId(level.id), Some(level.facts()));
        }
        for project in &self.projects {
            policy.put_project(ProjectId(project.id), Some(project.facts()));
        }
        policy
    }

    /// The issue with this id.
    pub fn issue(&self, id: i64) -> Option<&Issue> {
        self.issues.iter().find(|issue| issue.id == id)
    }
}

impl User {
    pub fn facts(&self) -> UserFacts {
        let kind = match self.account_type {
            "app" => AccountKind::App,
            "service" => AccountKind::Service,
            _ => AccountKind::Person,
        };
        UserFacts {
            id: UserId(self.id),
            active: self.active,
            kind,
            groups: self.groups.iter().map(|id| GroupId(*id)).collect(),
        }
    }
}

impl Group {
    pub fn facts(&self) -> GroupFacts {
        let mut applications = 0;
        for key in &self.applications {
            applications |= 1 << position_of(key);
        }
        GroupFacts { applications, global: globals(&self.global), site_admin: self.site_admin }
    }
}

impl Grant {
    /// The holder in the engine's words.
    pub fn holder(&self) -> HolderFacts {
        let number = || self.parameter.as_deref().and_then(|text| text.parse().ok()).unwrap_or(-1);
        let holder = match self.holder_type {
            "anyone" => Holder::Anyone,
            "applicationRole" => match &self.parameter {
                None => Holder::AnyApplication,
                Some(key) => Holder::Application(position_of(key)),
            },
            "user" => Holder::User(UserId(number())),
            "group" => Holder::Group(GroupId(number())),
            "projectRole" => Holder::Role(RoleId(number())),
            "projectLead" => Holder::ProjectLead,
            "reporter" => Holder::Reporter,
            "assignee" => Holder::Assignee,
            "userCustomField" => Holder::UserField(FieldId(number())),
            "groupCustomField" => Holder::GroupField(FieldId(number())),
            "sd.customer.portal.only" => Holder::PortalCustomer,
            other => panic!("no holder type `{other}`"),
        };
        HolderFacts { grant: GrantId(self.id), holder }
    }
}

impl Scheme {
    pub fn facts(&self) -> SchemeFacts {
        let grant = |grant: &Grant| (grant.permission.parse().expect("a permission key"), grant.holder());
        SchemeFacts { grants: self.grants.iter().map(grant).collect() }
    }
}

impl Level {
    pub fn facts(&self) -> LevelFacts {
        LevelFacts {
            scheme: SecuritySchemeId(self.security_scheme),
            members: self.members.iter().map(Grant::holder).collect(),
        }
    }
}

impl Project {
    pub fn facts(&self) -> ProjectFacts {
        let actor = |actor: &RoleActor| {
            let who = match actor.actor_type {
                "atlassian-group-role-actor" => Actor::Group(GroupId(actor.id)),
                _ => Actor::User(UserId(actor.id)),
            };
            (RoleId(actor.role), who)
        };
        ProjectFacts {
            id: ProjectId(self.id),
            key: format!("P{}", self.id),
            lead: self.lead.map(UserId),
            scheme: SchemeId(self.scheme),
            security_scheme: self.security_scheme.map(SecuritySchemeId),
            team_managed: self.team_managed,
            trashed: self.trashed,
            actors: self.actors.iter().map(actor).collect(),
        }
    }
}

impl Issue {
    pub fn facts(&self) -> IssueFacts {
        IssueFacts {
            id: IssueId(self.id),
            project: ProjectId(self.project),
            level: self.level.map(LevelId),
            reporter: self.reporter.map(UserId),
            assignee: self.assignee.map(UserId),
            user_fields: self.user_fields.iter().map(|(field, user)| (FieldId(*field), UserId(*user))).collect(),
            group_fields: self.group_fields.iter().map(|(field, group)| (FieldId(*field), GroupId(*group))).collect(),
        }
    }
}

/// Keys to the engine's set.
pub fn globals(keys: &[&str]) -> GlobalPermissionSet {
    keys.iter().map(|key| key.parse::<GlobalPermission>().expect("a global permission key")).collect()
}

fn position_of(application: &str) -> u8 {
    let position = APPLICATIONS.iter().position(|key| *key == application).expect("an application key");
    u8::try_from(position).expect("few applications")
}
