//! The permissions a permission scheme or a global grant can name.
//!
//! Keys and numeric ids are those of `GET /rest/api/3/permissions` and `mypermissions`; `-1` marks one
//! that a product part defines rather than the platform.

use std::fmt;
use std::str::FromStr;

/// A text that names no permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a permission key")]
pub struct UnknownPermission;

/// Granted to groups for the whole site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GlobalPermission {
    /// Configure Jira; all schemes.
    Administer,
    /// Server-only super admin; inert.
    SystemAdmin,
    /// See all users and groups.
    UserPicker,
    /// Share dashboards and filters.
    CreateSharedObjects,
    /// Manage group filter subscriptions.
    ManageGroupFilterSubscriptions,
    /// Bulk-modify issues.
    BulkChange,
    /// Create team-managed projects.
    CreateProject,
}

impl GlobalPermission {
    /// Every value, in the order of the enum; the position is the bit in a [`GlobalPermissionSet`].
    pub const ALL: [GlobalPermission; 7] = [
        GlobalPermission::Administer,
        GlobalPermission::SystemAdmin,
        GlobalPermission::UserPicker,
        GlobalPermission::CreateSharedObjects,
        GlobalPermission::ManageGroupFilterSubscriptions,
        GlobalPermission::BulkChange,
        GlobalPermission::CreateProject,
    ];

    /// The key used on the wire.
    pub const fn key(self) -> &'static str {
        match self {
            GlobalPermission::Administer => "ADMINISTER",
            GlobalPermission::SystemAdmin => "SYSTEM_ADMIN",
            GlobalPermission::UserPicker => "USER_PICKER",
            GlobalPermission::CreateSharedObjects => "CREATE_SHARED_OBJECTS",
            GlobalPermission::ManageGroupFilterSubscriptions => "MANAGE_GROUP_FILTER_SUBSCRIPTIONS",
            GlobalPermission::BulkChange => "BULK_CHANGE",
            GlobalPermission::CreateProject => "CREATE_PROJECT",
        }
    }

    /// The numeric id as `mypermissions` prints it.
    pub const fn id(self) -> &'static str {
        match self {
            GlobalPermission::Administer => "0",
            GlobalPermission::SystemAdmin => "44",
            GlobalPermission::UserPicker => "27",
            GlobalPermission::CreateSharedObjects => "22",
            GlobalPermission::ManageGroupFilterSubscriptions => "24",
            GlobalPermission::BulkChange => "33",
            GlobalPermission::CreateProject => "-1",
        }
    }

    /// What holding it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            GlobalPermission::Administer => "Configure Jira; all schemes",
            GlobalPermission::SystemAdmin => "Server-only super admin; inert",
            GlobalPermission::UserPicker => "See all users and groups",
            GlobalPermission::CreateSharedObjects => "Share dashboards and filters",
            GlobalPermission::ManageGroupFilterSubscriptions => "Manage group filter subscriptions",
            GlobalPermission::BulkChange => "Bulk-modify issues",
            GlobalPermission::CreateProject => "Create team-managed projects",
        }
    }
}

impl FromStr for GlobalPermission {
    type Err = UnknownPermission;
    /// Accepts the exact key only.
    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL.into_iter().find(|permission| permission.key() == text).ok_or(UnknownPermission)
    }
}

impl fmt::Display for GlobalPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// A set of global permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalPermissionSet(u64);

impl GlobalPermissionSet {
    /// The set that holds nothing.
    pub const EMPTY: Self = Self(0);

    /// Whether `permission` is in the set.
    pub const fn contains(self, permission: GlobalPermission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Adds `permission`.
    pub const fn insert(&mut self, permission: GlobalPermission) {
        self.0 |= 1 << permission as u8;
    }

    /// Everything in either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members, in the order of [`GlobalPermission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = GlobalPermission> {
        GlobalPermission::ALL.into_iter().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<GlobalPermission> for GlobalPermissionSet {
    fn from_iter<I: IntoIterator<Item = GlobalPermission>>(items: I) -> Self {
        let mut set = Self::EMPTY;
        for item in items {
            set.insert(item);
        }
        set
    }
}

/// Granted by the permission scheme of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProjectPermission {
    /// Administer one project.
    AdministerProjects,
    /// Edit project workflow.
    EditWorkflow,
    /// Edit issue layout.
    EditIssueLayout,
    /// See project and issues.
    BrowseProjects,
    /// Manage sprints (software).
    ManageSprintsPermission,
    /// Act as service agent.
    ServicedeskAgent,
    /// See combined project data.
    ViewAggregatedData,
    /// See development panel.
    ViewDevTools,
    /// See workflow read-only.
    ViewReadonlyWorkflow,
    /// May be assigned issues.
    AssignableUser,
    /// Assign issues to people.
    AssignIssues,
    /// Close issues.
    CloseIssues,
    /// Create issues.
    CreateIssues,
    /// Delete issues.
    DeleteIssues,
    /// Edit issues.
    EditIssues,
    /// Link issues.
    LinkIssues,
    /// Change the reporter.
    ModifyReporter,
    /// Move issues across projects.
    MoveIssues,
    /// Resolve; set fix version.
    ResolveIssues,
    /// View or edit due date.
    ScheduleIssues,
    /// Set issue security level.
    SetIssueSecurity,
    /// Transition issues.
    TransitionIssues,
    /// Manage watcher list.
    ManageWatchers,
    /// See voters and watchers.
    ViewVotersAndWatchers,
    /// Comment on issues.
    AddComments,
    /// Delete any comment.
    DeleteAllComments,
    /// Delete own comments.
    DeleteOwnComments,
    /// Edit any comment.
    EditAllComments,
    /// Edit own comments.
    EditOwnComments,
    /// Attach files.
    CreateAttachments,
    /// Delete any attachment.
    DeleteAllAttachments,
    /// Delete own attachments.
    DeleteOwnAttachments,
    /// Delete any worklog.
    DeleteAllWorklogs,
    /// Delete own worklogs.
    DeleteOwnWorklogs,
    /// Edit any worklog.
    EditAllWorklogs,
    /// Edit own worklogs.
    EditOwnWorklogs,
    /// Log work.
    WorkOnIssues,
}

impl ProjectPermission {
    /// Every value, in the order of the enum; the position is the bit in a [`ProjectPermissionSet`].
    pub const ALL: [ProjectPermission; 37] = [
        ProjectPermission::AdministerProjects,
        ProjectPermission::EditWorkflow,
        ProjectPermission::EditIssueLayout,
        ProjectPermission::BrowseProjects,
        ProjectPermission::ManageSprintsPermission,
        ProjectPermission::ServicedeskAgent,
        ProjectPermission::ViewAggregatedData,
        ProjectPermission::ViewDevTools,
        ProjectPermission::ViewReadonlyWorkflow,
        ProjectPermission::AssignableUser,
        ProjectPermission::AssignIssues,
        ProjectPermission::CloseIssues,
        ProjectPermission::CreateIssues,
        ProjectPermission::DeleteIssues,
        ProjectPermission::EditIssues,
        ProjectPermission::LinkIssues,
        ProjectPermission::ModifyReporter,
        ProjectPermission::MoveIssues,
        ProjectPermission::ResolveIssues,
        ProjectPermission::ScheduleIssues,
        ProjectPermission::SetIssueSecurity,
        ProjectPermission::TransitionIssues,
        ProjectPermission::ManageWatchers,
        ProjectPermission::ViewVotersAndWatchers,
        ProjectPermission::AddComments,
        ProjectPermission::DeleteAllComments,
        ProjectPermission::DeleteOwnComments,
        ProjectPermission::EditAllComments,
        ProjectPermission::EditOwnComments,
        ProjectPermission::CreateAttachments,
        ProjectPermission::DeleteAllAttachments,
        ProjectPermission::DeleteOwnAttachments,
        ProjectPermission::DeleteAllWorklogs,
        ProjectPermission::DeleteOwnWorklogs,
        ProjectPermission::EditAllWorklogs,
        ProjectPermission::EditOwnWorklogs,
        ProjectPermission::WorkOnIssues,
    ];

    /// The key used on the wire.
    pub const fn key(self) -> &'static str {
        match self {
            ProjectPermission::AdministerProjects => "ADMINISTER_PROJECTS",
            ProjectPermission::EditWorkflow => "EDIT_WORKFLOW",
            ProjectPermission::EditIssueLayout => "EDIT_ISSUE_LAYOUT",
            ProjectPermission::BrowseProjects => "BROWSE_PROJECTS",
            ProjectPermission::ManageSprintsPermission => "MANAGE_SPRINTS_PERMISSION",
            ProjectPermission::ServicedeskAgent => "SERVICEDESK_AGENT",
            ProjectPermission::ViewAggregatedData => "VIEW_AGGREGATED_DATA",
            ProjectPermission::ViewDevTools => "VIEW_DEV_TOOLS",
            ProjectPermission::ViewReadonlyWorkflow => "VIEW_READONLY_WORKFLOW",
            ProjectPermission::AssignableUser => "ASSIGNABLE_USER",
            ProjectPermission::AssignIssues => "ASSIGN_ISSUES",
            ProjectPermission::CloseIssues => "CLOSE_ISSUES",
            ProjectPermission::CreateIssues => "CREATE_ISSUES",
            ProjectPermission::DeleteIssues => "DELETE_ISSUES",
            ProjectPermission::EditIssues => "EDIT_ISSUES",
            ProjectPermission::LinkIssues => "LINK_ISSUES",
            ProjectPermission::ModifyReporter => "MODIFY_REPORTER",
            ProjectPermission::MoveIssues => "MOVE_ISSUES",
            ProjectPermission::ResolveIssues => "RESOLVE_ISSUES",
            ProjectPermission::ScheduleIssues => "SCHEDULE_ISSUES",
            ProjectPermission::SetIssueSecurity => "SET_ISSUE_SECURITY",
            ProjectPermission::TransitionIssues => "TRANSITION_ISSUES",
            ProjectPermission::ManageWatchers => "MANAGE_WATCHERS",
            ProjectPermission::ViewVotersAndWatchers => "VIEW_VOTERS_AND_WATCHERS",
            ProjectPermission::AddComments => "ADD_COMMENTS",
            ProjectPermission::DeleteAllComments => "DELETE_ALL_COMMENTS",
            ProjectPermission::DeleteOwnComments => "DELETE_OWN_COMMENTS",
            ProjectPermission::EditAllComments => "EDIT_ALL_COMMENTS",
            ProjectPermission::EditOwnComments => "EDIT_OWN_COMMENTS",
            ProjectPermission::CreateAttachments => "CREATE_ATTACHMENTS",
            ProjectPermission::DeleteAllAttachments => "DELETE_ALL_ATTACHMENTS",
            ProjectPermission::DeleteOwnAttachments => "DELETE_OWN_ATTACHMENTS",
            ProjectPermission::DeleteAllWorklogs => "DELETE_ALL_WORKLOGS",
            ProjectPermission::DeleteOwnWorklogs => "DELETE_OWN_WORKLOGS",
            ProjectPermission::EditAllWorklogs => "EDIT_ALL_WORKLOGS",
            ProjectPermission::EditOwnWorklogs => "EDIT_OWN_WORKLOGS",
            ProjectPermission::WorkOnIssues => "WORK_ON_ISSUES",
        }
    }

    /// The numeric id as `mypermissions` prints it.
    pub const fn id(self) -> &'static str {
        match self {
            ProjectPermission::AdministerProjects => "23",
            ProjectPermission::EditWorkflow => "-1",
            ProjectPermission::EditIssueLayout => "-1",
            ProjectPermission::BrowseProjects => "10",
            ProjectPermission::ManageSprintsPermission => "-1",
            ProjectPermission::ServicedeskAgent => "-1",
            ProjectPermission::ViewAggregatedData => "-1",
            ProjectPermission::ViewDevTools => "29",
            ProjectPermission::ViewReadonlyWorkflow => "45",
            ProjectPermission::AssignableUser => "17",
            ProjectPermission::AssignIssues => "13",
            ProjectPermission::CloseIssues => "18",
            ProjectPermission::CreateIssues => "11",
            ProjectPermission::DeleteIssues => "16",
            ProjectPermission::EditIssues => "12",
            ProjectPermission::LinkIssues => "21",
            ProjectPermission::ModifyReporter => "30",
            ProjectPermission::MoveIssues => "25",
            ProjectPermission::ResolveIssues => "14",
            ProjectPermission::ScheduleIssues => "28",
            ProjectPermission::SetIssueSecurity => "26",
            ProjectPermission::TransitionIssues => "46",
            ProjectPermission::ManageWatchers => "32",
            ProjectPermission::ViewVotersAndWatchers => "31",
            ProjectPermission::AddComments => "15",
            ProjectPermission::DeleteAllComments => "36",
            ProjectPermission::DeleteOwnComments => "37",
            ProjectPermission::EditAllComments => "34",
            ProjectPermission::EditOwnComments => "35",
            ProjectPermission::CreateAttachments => "19",
            ProjectPermission::DeleteAllAttachments => "38",
            ProjectPermission::DeleteOwnAttachments => "39",
            ProjectPermission::DeleteAllWorklogs => "43",
            ProjectPermission::DeleteOwnWorklogs => "42",
            ProjectPermission::EditAllWorklogs => "41",
            ProjectPermission::EditOwnWorklogs => "40",
            ProjectPermission::WorkOnIssues => "20",
        }
    }

    /// What holding it means, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            ProjectPermission::AdministerProjects => "Administer one project",
            ProjectPermission::EditWorkflow => "Edit project workflow",
            ProjectPermission::EditIssueLayout => "Edit issue layout",
            ProjectPermission::BrowseProjects => "See project and issues",
            ProjectPermission::ManageSprintsPermission => "Manage sprints (software)",
            ProjectPermission::ServicedeskAgent => "Act as service agent",
            ProjectPermission::ViewAggregatedData => "See combined project data",
            ProjectPermission::ViewDevTools => "See development panel",
            ProjectPermission::ViewReadonlyWorkflow => "See workflow read-only",
            ProjectPermission::AssignableUser => "May be assigned issues",
            ProjectPermission::AssignIssues => "Assign issues to people",
            ProjectPermission::CloseIssues => "Close issues",
            ProjectPermission::CreateIssues => "Create issues",
            ProjectPermission::DeleteIssues => "Delete issues",
            ProjectPermission::EditIssues => "Edit issues",
            ProjectPermission::LinkIssues => "Link issues",
            ProjectPermission::ModifyReporter => "Change the reporter",
            ProjectPermission::MoveIssues => "Move issues across projects",
            ProjectPermission::ResolveIssues => "Resolve; set fix version",
            ProjectPermission::ScheduleIssues => "View or edit due date",
            ProjectPermission::SetIssueSecurity => "Set issue security level",
            ProjectPermission::TransitionIssues => "Transition issues",
            ProjectPermission::ManageWatchers => "Manage watcher list",
            ProjectPermission::ViewVotersAndWatchers => "See voters and watchers",
            ProjectPermission::AddComments => "Comment on issues",
            ProjectPermission::DeleteAllComments => "Delete any comment",
            ProjectPermission::DeleteOwnComments => "Delete own comments",
            ProjectPermission::EditAllComments => "Edit any comment",
            ProjectPermission::EditOwnComments => "Edit own comments",
            ProjectPermission::CreateAttachments => "Attach files",
            ProjectPermission::DeleteAllAttachments => "Delete any attachment",
            ProjectPermission::DeleteOwnAttachments => "Delete own attachments",
            ProjectPermission::DeleteAllWorklogs => "Delete any worklog",
            ProjectPermission::DeleteOwnWorklogs => "Delete own worklogs",
            ProjectPermission::EditAllWorklogs => "Edit any worklog",
            ProjectPermission::EditOwnWorklogs => "Edit own worklogs",
            ProjectPermission::WorkOnIssues => "Log work",
        }
    }
}

impl FromStr for ProjectPermission {
    type Err = UnknownPermission;
    /// Accepts the exact key only.
    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        Self::ALL.into_iter().find(|permission| permission.key() == text).ok_or(UnknownPermission)
    }
}

impl fmt::Display for ProjectPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// A set of project permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectPermissionSet(u64);

impl ProjectPermissionSet {
    /// The set that holds nothing.
    pub const EMPTY: Self = Self(0);

    /// Whether `permission` is in the set.
    pub const fn contains(self, permission: ProjectPermission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Adds `permission`.
    pub const fn insert(&mut self, permission: ProjectPermission) {
        self.0 |= 1 << permission as u8;
    }

    /// Everything in either set.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The members, in the order of [`ProjectPermission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = ProjectPermission> {
        ProjectPermission::ALL.into_iter().filter(move |permission| self.contains(*permission))
    }
}

impl FromIterator<ProjectPermission> for ProjectPermissionSet {
    fn from_iter<I: IntoIterator<Item = ProjectPermission>>(items: I) -> Self {
        let mut set = Self::EMPTY;
        for item in items {
            set.insert(item);
        }
        set
    }
}
