//! Who searches: the policy as one caller sees it, and when.

use portcullis_authz::{Policy, Visibility};
use portcullis_guard::{AnyMode, StoreError, Tx, View};
use portcullis_model::{GlobalPermission, ProjectId, ProjectPermission, RoleId, Timestamp, UserId};

use crate::search::fragment::Fragment;

/// Where questions about rights are answered.
enum Source {
    View(View),
    #[cfg(test)]
    Policy(Box<Policy>),
}

/// The caller of a search. Everything that decides what a query may name or match is asked here.
pub struct Asker {
    source: Source,
    /// The account, unless anonymous.
    pub user: Option<UserId>,
    /// What the caller may see; every statement carries it.
    pub visibility: Visibility,
    /// The present.
    pub now_ms: i64,
    /// The caller's time zone, as an offset from UTC now.
    pub zone_minutes: i32,
}

const TIME_ZONE: &str = "SELECT time_zone FROM account_user WHERE id = $1";

impl Asker {
    /// The caller behind a view.
    ///
    /// # Errors
    /// The database's.
    pub async fn of<M: AnyMode>(tx: &mut Tx<M>, view: &View, now: Timestamp) -> Result<Self, StoreError> {
        let user = view.caller().user();
        let zone = match user {
            Some(user) => tx.query_opt(TIME_ZONE, &[user.0.into()]).await?,
            None => None,
        };
        let zone = zone.map(|row| row.get::<String>("time_zone")).transpose()?;
        Ok(Self {
            source: Source::View(view.clone()),
            user,
            visibility: view.visibility(),
            now_ms: now.0,
            zone_minutes: zone.map_or(0, |zone| offset_minutes(&zone, now.0)),
        })
    }

    /// Some account, or nobody in particular, as others see what it sees; for texts, in which no date is compared.
    pub fn named(view: &View, user: Option<UserId>, now: Timestamp) -> Self {
        let visibility = view.with(|snapshot| snapshot.policy.visibility(user));
        Self { source: Source::View(view.clone()), user, visibility, now_ms: now.0, zone_minutes: 0 }
    }

    /// A caller known by a policy alone.
    #[cfg(test)]
    pub fn of_policy(policy: Policy, user: Option<UserId>, now_ms: i64) -> Self {
        let visibility = policy.visibility(user);
        Self { source: Source::Policy(Box::new(policy)), user, visibility, now_ms, zone_minutes: 0 }
    }

    fn with<R>(&self, look: impl FnOnce(&Policy) -> R) -> R {
        match &self.source {
            Source::View(view) => view.with(|snapshot| look(&snapshot.policy)),
            #[cfg(test)]
            Source::Policy(policy) => look(policy),
        }
    }

    /// The caller's groups.
    pub fn groups(&self) -> Vec<i64> {
        let Some(user) = self.user else { return Vec::new() };
        self.with(|policy| policy.groups_of(user).iter().map(|group| group.0).collect())
    }

    /// The caller's roles, each with the projects in which the caller has it.
    pub fn roles(&self) -> Vec<(RoleId, Vec<i64>)> {
        let Some(user) = self.user else { return Vec::new() };
        let mut pairs: Vec<(RoleId, ProjectId)> = self.with(|policy| {
            let all = policy.projects().flat_map(|project| project.actors.iter().map(|(role, _)| (*role, project.id)));
            all.filter(|(role, project)| policy.has_role(user, *project, *role)).collect()
        });
        pairs.sort_unstable();
        pairs.dedup();
        let mut out: Vec<(RoleId, Vec<i64>)> = Vec::new();
        for (role, project) in pairs {
            match out.last_mut() {
                Some((last, projects)) if *last == role => projects.push(project.0),
                _ => out.push((role, vec![project.0])),
            }
        }
        out
    }

    /// Whether the caller may look people and groups up.
    pub fn picks_users(&self) -> bool {
        self.with(|policy| policy.holds_global(self.user, GlobalPermission::UserPicker))
    }

    /// Whether the caller has access to Jira, which is what sharing with all signed-in people means.
    pub fn has_access(&self) -> bool {
        self.user.is_some_and(|user| self.with(|policy| policy.has_access(user)))
    }

    /// The browsable projects in which the caller holds a permission without regard to single issues.
    pub fn projects_with(&self, permission: ProjectPermission) -> Vec<i64> {
        let conditional = self.visibility.conditional.iter().map(|(project, _)| *project);
        let mut projects: Vec<ProjectId> = self.visibility.projects.iter().copied().chain(conditional).collect();
        projects.sort_unstable();
        projects.dedup();
        self.with(|policy| projects.retain(|project| policy.holds(self.user, permission, *project, None).is_some()));
        projects.into_iter().map(|project| project.0).collect()
    }

    /// `(..)`: a comment or worklog, under the alias `c`, of the issue `i` is not restricted to others.
    pub fn unrestricted(&self) -> Fragment {
        let mut out = Fragment::new("(c.restriction_type IS NULL OR (c.restriction_type = 'group' AND c.group_id IN ");
        out.ids(&self.groups()).push(")");
        for (role, projects) in self.roles() {
            out.push(" OR (c.restriction_type = 'role' AND c.role_id = ").bind(role.0);
            out.push(" AND i.project_id IN ").ids(&projects).push(")");
        }
        out.push(")");
        out
    }

    /// The seconds of the worklogs of `i` that the caller may read, as issues show them; empty when there are none.
    pub fn time_spent(&self) -> Fragment {
        // A sum of integers is no longer one on PostgreSQL.
        let mut out = Fragment::new(
            "(SELECT CAST(SUM(c.time_spent_s) AS BIGINT) FROM jira_worklog c WHERE c.issue_id = i.id AND ",
        );
        out.add(self.unrestricted()).push(")");
        out
    }

    /// `(..)`: a saved filter, under the alias `f`, is the caller's or shared with the caller. The same rule decides a filter named
    /// in a path.
    pub fn filter_visible(&self) -> Fragment {
        let mut out = Fragment::new("(");
        if let Some(user) = self.user {
            out.push("f.owner_id = ").bind(user.0).push(" OR ");
        }
        out.push("EXISTS (SELECT 1 FROM jira_filter_share s WHERE s.filter_id = f.id AND (s.share_type = 'global'");
        if self.has_access() {
            out.push(" OR s.share_type = 'authenticated'");
        }
        if let Some(user) = self.user {
            out.push(" OR (s.share_type = 'user' AND s.user_id = ").bind(user.0).push(")");
        }
        let groups = self.groups();
        if !groups.is_empty() {
            out.push(" OR (s.share_type = 'group' AND s.group_id IN ").ids(&groups).push(")");
        }
        let projects: Vec<i64> = self.visibility.projects.iter().map(|project| project.0).collect();
        if !projects.is_empty() {
            out.push(" OR (s.share_type = 'project' AND s.project_id IN ").ids(&projects).push(")");
        }
        for (role, projects) in self.roles() {
            out.push(" OR (s.share_type = 'projectRole' AND s.role_id = ").bind(role.0);
            out.push(" AND s.project_id IN ").ids(&projects).push(")");
        }
        out.push(")))");
        out
    }
}

/// A zone whose rules are not known here counts as UTC.
fn offset_minutes(zone: &str, now_ms: i64) -> i32 {
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::tz::TimeZone::get(zone).map_or(0, |zone| zone.to_offset(now).seconds() / 60)
}
