//! Questions about a world, drawn at random: rows of the real table, every kind of credential that people and OAuth apps use.

use portcullis_authz::policy::IssueFacts;
use portcullis_authz::{Conditions, Decision, Fact, Facts, Operation, Policy, Row, Subject, When, decide, op};
use portcullis_model::{AccessKind, ProjectId, ProjectPermission, ScopeSet, UserId};

use crate::random::Random;
use crate::world::{World, someone};

/// Operations that are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    GetIssue,
    EditIssue,
    DeleteIssue,
    UpdateProject,
}

impl Asked {
    pub const ALL: [Asked; 4] = [Asked::GetIssue, Asked::EditIssue, Asked::DeleteIssue, Asked::UpdateProject];

    pub fn row(self) -> &'static Row {
        match self {
            Asked::GetIssue => op::GetIssue::ROW,
            Asked::EditIssue => op::EditIssue::ROW,
            Asked::DeleteIssue => op::DeleteIssue::ROW,
            Asked::UpdateProject => op::UpdateProject::ROW,
        }
    }

    /// The project permissions of the row, for the peers.
    pub fn permissions(self) -> &'static [ProjectPermission] {
        match self {
            Asked::GetIssue => &[ProjectPermission::BrowseProjects],
            Asked::EditIssue => &[ProjectPermission::BrowseProjects, ProjectPermission::EditIssues],
            Asked::DeleteIssue => &[ProjectPermission::BrowseProjects, ProjectPermission::DeleteIssues],
            Asked::UpdateProject => &[ProjectPermission::AdministerProjects],
        }
    }
}

/// Permissions that some question needs.
pub const PERMISSIONS: [ProjectPermission; 4] = [
    ProjectPermission::BrowseProjects,
    ProjectPermission::EditIssues,
    ProjectPermission::DeleteIssues,
    ProjectPermission::AdministerProjects,
];

/// Who asks for what.
#[derive(Clone, Debug)]
pub struct Question {
    pub asked: Asked,
    pub access: AccessKind,
    pub user: Option<UserId>,
    pub scopes: Option<ScopeSet>,
    pub blocked: Vec<ProjectId>,
    pub project: ProjectId,
    /// As freshly located; none for an operation on the project.
    pub issue: Option<IssueFacts>,
}

impl Question {
    /// The full decision of the guard: kind of credential, scopes, app access rule, permissions, issue security.
    pub fn ask(&self, policy: &Policy) -> Decision {
        self.ask_as(policy, self.access, self.scopes, &self.blocked)
    }

    /// The permission part alone, which is all that the peers are asked.
    pub fn permitted(&self, policy: &Policy) -> bool {
        let access = if self.user.is_some() { AccessKind::ApiToken } else { AccessKind::Anonymous };
        self.ask_as(policy, access, None, &[]).is_allow()
    }

    fn ask_as(&self, policy: &Policy, access: AccessKind, scopes: Option<ScopeSet>, blocked: &[ProjectId]) -> Decision {
        let subject = Subject { access, user: self.user, scopes, connect: None, app_only: false, blocked };
        let facts = Facts {
            project: Fact::Known(self.project),
            issue: self.issue.as_ref().map_or(Fact::Unknown, Fact::Known),
            participates: Fact::Known(false),
            holding: match self.asked {
                Asked::UpdateProject => Conditions::NONE.with(When::KeepsKeyAndSchemes),
                Asked::GetIssue | Asked::EditIssue | Asked::DeleteIssue => Conditions::NONE,
            },
            ..Facts::unknown()
        };
        decide(policy, self.asked.row(), &subject, &facts)
    }
}

/// Draws `count` questions.
pub fn draw(world: &World, count: usize, seed: u64) -> Vec<Question> {
    let random = &mut Random::new(seed);
    let (all_classic, all_granular) = (scopes(|row| row.classic), scopes(|row| row.granular));
    let reads = Asked::GetIssue.row().classic.unwrap_or_default();
    (0..count)
        .map(|_| {
            let issue = random.pick(&world.issues);
            let asked = match random.below(10) {
                0..=5 => Asked::GetIssue,
                6..=7 => Asked::EditIssue,
                8 => Asked::DeleteIssue,
                _ => Asked::UpdateProject,
            };
            let user = match random.below(50) {
                0 => None,
                1..=30 => someone(random, world.project(issue.project), &world.members),
                _ => Some(random.pick(&world.users).id),
            };
            let (access, scopes) = match (user, random.below(20)) {
                (None, _) => (AccessKind::Anonymous, None),
                (_, 0..=10) => (AccessKind::ApiToken, None),
                (_, 11..=12) => (AccessKind::Session, None),
                (_, 13) => (AccessKind::ScopedApiToken, Some(all_granular)),
                (_, 14..=15) => (AccessKind::OAuth, Some(all_granular)),
                (_, 16..=18) => (AccessKind::OAuth, Some(all_classic)),
                _ => (AccessKind::OAuth, Some(reads)),
            };
            let mut blocked = Vec::new();
            if access == AccessKind::OAuth && random.percent(30) {
                blocked.extend((0..random.between(1, 4)).map(|_| random.pick(&world.projects).id));
                if random.percent(10) {
                    blocked.push(issue.project);
                }
            }
            let on_issue = asked != Asked::UpdateProject;
            Question {
                asked,
                access,
                user,
                scopes,
                blocked,
                project: issue.project,
                issue: on_issue.then(|| issue.clone()),
            }
        })
        .collect()
}

fn scopes(set: impl Fn(&Row) -> Option<ScopeSet>) -> ScopeSet {
    let mut out = ScopeSet::EMPTY;
    for asked in Asked::ALL {
        set(asked.row()).unwrap_or_default().names().for_each(|name| assert!(out.insert(name)));
    }
    out
}
