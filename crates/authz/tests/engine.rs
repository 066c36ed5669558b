//! The decision engine, rule by rule.

use portcullis_authz::decide::{
    Conditions, ConnectGrant, Fact, Facts, Outcome, Reason, Restriction, Subject, TargetSeen,
};
use portcullis_authz::decide::{Rule, Verdict, decide};
use portcullis_authz::policy::{
    AccountKind, Actor, GroupFacts, Holder, HolderFacts, IssueFacts, LevelFacts, Policy, ProjectFacts,
    ROLES_PER_PROJECT_MAX, SchemeFacts, UserFacts,
};
use portcullis_authz::row::{
    AccessSet, Area, CallerRule, ConnectRule, Expr, Locate, Method, Of, Row, Source, Thing, When,
};
use portcullis_model::mode::ModeKind;
use portcullis_model::{
    AccessKind, ConnectScope, FieldId, GlobalPermission, GlobalPermissionSet, GrantId, GroupId, IssueId, LevelId,
    ProjectId, ProjectPermission, RoleId, SchemeId, ScopeSet, SecuritySchemeId, UserId,
};

// The site of these tests: Ada administers, Bob and Cleo are members, Dora was deactivated, Eve has an account without access
// to Jira, Robot is the user of an app.
const ADA: UserId = UserId(1);
const BOB: UserId = UserId(2);
const CLEO: UserId = UserId(3);
const DORA: UserId = UserId(4);
const EVE: UserId = UserId(5);
const ROBOT: UserId = UserId(6);
const NOBODY: UserId = UserId(99);

const ADMINISTRATORS: GroupId = GroupId(1);
const MEMBERS: GroupId = GroupId(2);
const VISITORS: GroupId = GroupId(3);

const ACME: ProjectId = ProjectId(10);
const SCHEME: SchemeId = SchemeId(7);
const SECURITY: SecuritySchemeId = SecuritySchemeId(3);
const SECRET: LevelId = LevelId(30);
const DEVELOPERS: RoleId = RoleId(10002);
const REVIEWER: FieldId = FieldId(10010);

const BROWSE: ProjectPermission = ProjectPermission::BrowseProjects;
const EDIT: ProjectPermission = ProjectPermission::EditIssues;

const SOFTWARE: u64 = 1;

/// A site in which the project ACME gives these permissions.
fn site(grants: &[(ProjectPermission, Holder)]) -> Policy {
    let mut policy = Policy::empty();
    let administrators = GroupFacts {
        applications: SOFTWARE,
        global: [GlobalPermission::Administer].into_iter().collect(),
        site_admin: true,
    };
    policy.put_group(ADMINISTRATORS, Some(administrators));
    policy.put_group(MEMBERS, Some(GroupFacts { applications: SOFTWARE, ..GroupFacts::default() }));
    policy.put_group(VISITORS, Some(GroupFacts { global: user_picker(), ..GroupFacts::default() }));
    policy.put_user(ADA, Some(person(ADA, &[ADMINISTRATORS])));
    policy.put_user(BOB, Some(person(BOB, &[MEMBERS])));
    policy.put_user(CLEO, Some(person(CLEO, &[MEMBERS])));
    policy.put_user(DORA, Some(UserFacts { active: false, ..person(DORA, &[ADMINISTRATORS]) }));
    policy.put_user(EVE, Some(person(EVE, &[VISITORS])));
    policy.put_user(ROBOT, Some(UserFacts { kind: AccountKind::App, ..person(ROBOT, &[]) }));
    policy.put_scheme(SCHEME, Some(scheme(grants)));
    policy.put_project(ACME, Some(acme()));
    policy
}

fn user_picker() -> GlobalPermissionSet {
    [GlobalPermission::UserPicker].into_iter().collect()
}

fn person(id: UserId, groups: &[GroupId]) -> UserFacts {
    UserFacts { id, active: true, kind: AccountKind::Person, groups: groups.to_vec() }
}

fn scheme(grants: &[(ProjectPermission, Holder)]) -> SchemeFacts {
    let numbered = (1..).zip(grants);
    let grants = numbered.map(|(id, (permission, holder))| {
        let holder = HolderFacts { grant: GrantId(id), holder: *holder };
        (*permission, holder)
    });
    SchemeFacts { grants: grants.collect() }
}

fn level(members: &[Holder]) -> LevelFacts {
    let members = (100..).zip(members).map(|(id, holder)| HolderFacts { grant: GrantId(id), holder: *holder });
    LevelFacts { scheme: SECURITY, members: members.collect() }
}

fn acme() -> ProjectFacts {
    ProjectFacts {
        id: ACME,
        key: "ACME".to_owned(),
        lead: None,
        scheme: SCHEME,
        security_scheme: Some(SECURITY),
        team_managed: false,
        trashed: false,
        actors: Vec::new(),
    }
}

fn issue() -> IssueFacts {
    IssueFacts {
        id: IssueId(1),
        project: ACME,
        level: None,
        reporter: None,
        assignee: None,
        user_fields: Vec::new(),
        group_fields: Vec::new(),
    }
}

/// An operation that asks for this permission and accepts every kind of credential.
const fn row(permission: Expr) -> Row {
    Row {
        id: "test",
        number: 0,
        method: Method::Get,
        path: "/test",
        area: Area::Jira,
        mode: ModeKind::Read,
        anonymous: true,
        access: AccessSet::of(&[
            AccessKind::Anonymous,
            AccessKind::ApiToken,
            AccessKind::ScopedApiToken,
            AccessKind::Session,
            AccessKind::OAuth,
            AccessKind::Connect,
            AccessKind::Forge,
        ]),
        classic: None,
        granular: None,
        connect: ConnectRule::Scope(ConnectScope::Read),
        rule_exempt: false,
        fresh: false,
        without_second_factor: false,
        permission,
        locate: Locate::Nothing,
        deny: Some(403),
        hide: false,
        source: Source::Ours,
        open: None,
    }
}

const BROWSE_PROJECT: Expr = Expr::Project(BROWSE, Of::Project);
const SEE_ISSUE: Expr = Expr::All(&[Expr::Project(BROWSE, Of::Issue), Expr::IssueSecurity(Of::Issue)]);
const ADMINISTER: Expr = Expr::Global(GlobalPermission::Administer);

fn token(user: UserId) -> Subject<'static> {
    Subject {
        access: AccessKind::ApiToken,
        user: Some(user),
        scopes: None,
        connect: None,
        app_only: false,
        in_page: false,
        blocked: &[],
    }
}

fn anonymous() -> Subject<'static> {
    Subject { access: AccessKind::Anonymous, user: None, ..token(NOBODY) }
}

fn oauth(user: UserId, scopes: &[&str]) -> Subject<'static> {
    Subject { access: AccessKind::OAuth, scopes: Some(scope_set(scopes)), ..token(user) }
}

fn connect_app(top: ConnectScope) -> Subject<'static> {
    let grant = ConnectGrant { top, act_as_user: false, emails: false };
    Subject { access: AccessKind::Connect, connect: Some(grant), app_only: true, ..token(ROBOT) }
}

fn scope_set(names: &[&str]) -> ScopeSet {
    let mut set = ScopeSet::EMPTY;
    names.iter().for_each(|name| assert!(set.insert(name), "{name}"));
    set
}

fn on_project() -> Facts<'static> {
    Facts { project: Fact::Known(ACME), ..Facts::unknown() }
}

fn on_issue(issue: &IssueFacts) -> Facts<'_> {
    Facts { project: Fact::Known(issue.project), issue: Fact::Known(issue), ..Facts::unknown() }
}

const ALLOW: Outcome = Outcome::Allow;
const HIDDEN: Outcome = Outcome::Deny { reason: Reason::NotVisible, target: TargetSeen::No };

const fn refused(reason: Reason) -> Outcome {
    Outcome::Deny { reason, target: TargetSeen::Yes }
}

#[track_caller]
fn check(policy: &Policy, permission: Expr, subject: Subject<'_>, facts: &Facts<'_>, expected: Outcome) {
    check_row(policy, &row(permission), subject, facts, expected);
}

#[track_caller]
fn check_row(policy: &Policy, row: &Row, subject: Subject<'_>, facts: &Facts<'_>, expected: Outcome) {
    let decision = decide(policy, row, &subject, facts);
    assert_eq!(decision.outcome, expected, "{:#?}", decision.trace);
}

// Accounts and credentials

#[test]
fn deactivated_account_is_refused_everything() {
    let policy = site(&[(BROWSE, Holder::Anyone)]);
    for permission in [Expr::Nothing, Expr::Account, Expr::LoggedIn, Expr::SiteAdmin, ADMINISTER, BROWSE_PROJECT] {
        check(&policy, permission, token(DORA), &on_project(), refused(Reason::Inactive));
    }
}

#[test]
fn account_that_does_not_exist_is_refused() {
    check(&site(&[]), Expr::Nothing, token(NOBODY), &Facts::unknown(), refused(Reason::Inactive));
}

#[test]
fn credential_of_nobody_is_refused() {
    let subject = Subject { user: None, ..token(NOBODY) };
    check(&site(&[]), Expr::Nothing, subject, &Facts::unknown(), refused(Reason::Inactive));
}

#[test]
fn caller_without_credential_is_asked_for_one_where_anonymous_is_not_accepted() {
    let row = Row { access: AccessSet::of(&[AccessKind::ApiToken]), ..row(Expr::Nothing) };
    check_row(&site(&[]), &row, anonymous(), &Facts::unknown(), refused(Reason::NotAuthenticated));
    check_row(&site(&[]), &row, oauth(BOB, &[]), &Facts::unknown(), refused(Reason::AccessKind));
    check_row(&site(&[]), &row, token(BOB), &Facts::unknown(), ALLOW);
}

#[test]
fn account_without_any_application_has_no_access_to_jira() {
    let policy = site(&[]);
    check(&policy, Expr::LoggedIn, token(EVE), &Facts::unknown(), refused(Reason::Permission));
    check(&policy, Expr::Account, token(EVE), &Facts::unknown(), ALLOW);
    check(&policy, Expr::LoggedIn, token(BOB), &Facts::unknown(), ALLOW);
}

#[test]
fn app_user_has_access_to_jira_without_a_group() {
    check(&site(&[]), Expr::LoggedIn, connect_app(ConnectScope::Read), &Facts::unknown(), ALLOW);
}

#[test]
fn global_permission_is_of_no_use_without_access_to_jira() {
    let picker = Expr::Global(GlobalPermission::UserPicker);
    let mut policy = site(&[]);
    check(&policy, picker, token(EVE), &Facts::unknown(), refused(Reason::Permission));
    policy.put_user(EVE, Some(person(EVE, &[VISITORS, MEMBERS])));
    check(&policy, picker, token(EVE), &Facts::unknown(), ALLOW);
}

#[test]
fn global_permission_of_everyone_needs_no_account() {
    let mut policy = site(&[]);
    let picker = Expr::Global(GlobalPermission::UserPicker);
    check(&policy, picker, anonymous(), &Facts::unknown(), refused(Reason::Permission));
    policy.set_anyone_global(user_picker());
    check(&policy, picker, anonymous(), &Facts::unknown(), ALLOW);
}

#[test]
fn jira_administrator_is_not_by_that_a_site_administrator() {
    let mut policy = site(&[]);
    let facts = GroupFacts { applications: SOFTWARE, global: administer_alone(), site_admin: false };
    policy.put_group(ADMINISTRATORS, Some(facts));
    check(&policy, ADMINISTER, token(ADA), &Facts::unknown(), ALLOW);
    check(&policy, Expr::SiteAdmin, token(ADA), &Facts::unknown(), refused(Reason::Permission));
    check(&policy, Expr::OrgAdmin, token(ADA), &Facts::unknown(), refused(Reason::Permission));
}

fn administer_alone() -> GlobalPermissionSet {
    [GlobalPermission::Administer].into_iter().collect()
}

// Scopes

const WORK: &str = "read:jira-work";
const PROJECT_SCOPE: &str = "read:project:jira";
const AVATAR_SCOPE: &str = "read:avatar:jira";

#[test]
fn one_scope_set_must_be_covered_completely() {
    let policy = site(&[]);
    let row = Row {
        classic: Some(scope_set(&[WORK])),
        granular: Some(scope_set(&[PROJECT_SCOPE, AVATAR_SCOPE])),
        ..row(Expr::Nothing)
    };
    for (scopes, expected) in [
        (&[WORK][..], ALLOW),
        (&[PROJECT_SCOPE, AVATAR_SCOPE], ALLOW),
        (&[PROJECT_SCOPE], refused(Reason::Scope)),
        (&["write:jira-work"], refused(Reason::Scope)),
        (&[], refused(Reason::Scope)),
    ] {
        check_row(&policy, &row, oauth(BOB, scopes), &Facts::unknown(), expected);
    }
}

#[test]
fn empty_scope_set_is_covered_by_any_scoped_token() {
    let row = Row { classic: Some(ScopeSet::EMPTY), ..row(Expr::Nothing) };
    check_row(&site(&[]), &row, oauth(BOB, &[]), &Facts::unknown(), ALLOW);
}

#[test]
fn absent_scope_set_is_covered_by_none() {
    let everything = Subject { scopes: Some(scope_set(portcullis_model::scope_names::SCOPE_NAMES)), ..oauth(ADA, &[]) };
    check(&site(&[]), Expr::Nothing, everything, &Facts::unknown(), refused(Reason::Scope));
}

#[test]
fn scoped_credential_whose_scopes_are_lost_is_refused() {
    let row = Row { classic: Some(ScopeSet::EMPTY), ..row(Expr::Nothing) };
    for access in [AccessKind::OAuth, AccessKind::Forge, AccessKind::ScopedApiToken] {
        let subject = Subject { access, ..token(BOB) };
        check_row(&site(&[]), &row, subject, &Facts::unknown(), refused(Reason::Scope));
    }
}

#[test]
fn scopes_never_widen_permissions() {
    let row = Row { classic: Some(scope_set(&["manage:jira-configuration"])), ..row(ADMINISTER) };
    let (bob, ada) = (oauth(BOB, &["manage:jira-configuration"]), oauth(ADA, &[WORK]));
    check_row(&site(&[]), &row, bob, &Facts::unknown(), refused(Reason::Permission));
    check_row(&site(&[]), &row, ada, &Facts::unknown(), refused(Reason::Scope));
}

#[test]
fn connect_scopes_imply_lower_ones_but_not_those_that_stand_alone() {
    let policy = site(&[]);
    let asks = |scope| Row { connect: ConnectRule::Scope(scope), ..row(Expr::Nothing) };
    for (granted, needed, expected) in [
        (ConnectScope::Admin, ConnectScope::Delete, ALLOW),
        (ConnectScope::ProjectAdmin, ConnectScope::Write, ALLOW),
        (ConnectScope::None, ConnectScope::None, ALLOW),
        (ConnectScope::Write, ConnectScope::Delete, refused(Reason::Scope)),
        (ConnectScope::None, ConnectScope::Read, refused(Reason::Scope)),
        (ConnectScope::Admin, ConnectScope::ActAsUser, refused(Reason::Scope)),
        (ConnectScope::Admin, ConnectScope::AccessEmailAddresses, refused(Reason::Scope)),
    ] {
        check_row(&policy, &asks(needed), connect_app(granted), &Facts::unknown(), expected);
    }
    let without_grant = Subject { connect: None, ..connect_app(ConnectScope::Admin) };
    check_row(&policy, &asks(ConnectScope::None), without_grant, &Facts::unknown(), refused(Reason::Scope));
}

#[test]
fn inaccessible_operation_is_closed_to_connect_apps_whatever_their_scopes() {
    let row = Row { connect: ConnectRule::Inaccessible, ..row(Expr::Nothing) };
    check_row(&site(&[]), &row, connect_app(ConnectScope::Admin), &Facts::unknown(), refused(Reason::Scope));
}

// Kinds of principal

const fn callers(connect: bool, forge: bool, owns: Option<&'static str>, app_only: bool) -> Expr {
    Expr::Caller(CallerRule { connect, forge, oauth: false, internal: false, owns, app_only })
}

#[test]
fn app_only_operation_refuses_people_and_apps_acting_for_people() {
    let policy = site(&[]);
    let rule = callers(true, true, None, true);
    let grant = ConnectGrant { top: ConnectScope::Admin, act_as_user: true, emails: false };
    let for_bob =
        Subject { app_only: false, user: Some(BOB), connect: Some(grant), ..connect_app(ConnectScope::Admin) };
    check(&policy, rule, connect_app(ConnectScope::Read), &Facts::unknown(), ALLOW);
    check(&policy, rule, for_bob, &Facts::unknown(), refused(Reason::Permission));
    check(&policy, rule, token(ADA), &Facts::unknown(), refused(Reason::Permission));
}

#[test]
fn app_reaches_only_what_it_owns() {
    let policy = site(&[]);
    let rule = callers(true, false, Some("webhook"), false);
    let owned_by = |owner| Facts { owner, ..Facts::unknown() };
    let app = connect_app(ConnectScope::Admin);
    check(&policy, rule, app, &owned_by(Fact::Known(Some(ROBOT))), ALLOW);
    check(&policy, rule, app, &owned_by(Fact::Known(Some(BOB))), refused(Reason::Permission));
    check(&policy, rule, app, &owned_by(Fact::Known(None)), refused(Reason::Permission));
    check(&policy, rule, app, &owned_by(Fact::Unknown), refused(Reason::Unknown));
    check(&policy, rule, app, &owned_by(Fact::Missing), HIDDEN);
}

// App access rules

const CLOSED: Outcome = Outcome::Deny { reason: Reason::AppAccessRule, target: TargetSeen::No };

#[test]
fn app_access_rule_hides_a_project_that_the_app_could_browse() {
    let policy = site(&[(BROWSE, Holder::Anyone)]);
    let blocked = Subject { blocked: &[ACME], ..connect_app(ConnectScope::Admin) };
    let issue = issue();
    check(&policy, BROWSE_PROJECT, connect_app(ConnectScope::Admin), &on_project(), ALLOW);
    check(&policy, BROWSE_PROJECT, blocked, &on_project(), CLOSED);
    check(&policy, SEE_ISSUE, blocked, &Facts { issue: Fact::Known(&issue), ..Facts::unknown() }, CLOSED);
    check(&policy, Expr::Nothing, blocked, &Facts { other_issue: Fact::Known(&issue), ..Facts::unknown() }, CLOSED);
    let projects = [Fact::Known(ACME)];
    check(&policy, Expr::Nothing, blocked, &Facts { projects: Fact::Known(&projects), ..Facts::unknown() }, CLOSED);
}

#[test]
fn app_access_rule_leaves_exempt_operations_and_other_projects_alone() {
    let policy = site(&[(BROWSE, Holder::Anyone)]);
    let blocked = Subject { blocked: &[ACME], ..connect_app(ConnectScope::Admin) };
    check_row(&policy, &Row { rule_exempt: true, ..row(BROWSE_PROJECT) }, blocked, &on_project(), ALLOW);
    let elsewhere = Subject { blocked: &[ProjectId(11)], ..connect_app(ConnectScope::Admin) };
    check(&policy, BROWSE_PROJECT, elsewhere, &on_project(), ALLOW);
}

#[test]
fn scopes_are_looked_at_before_the_app_access_rule() {
    let blocked = Subject { blocked: &[ACME], ..connect_app(ConnectScope::None) };
    check(&site(&[]), BROWSE_PROJECT, blocked, &on_project(), refused(Reason::Scope));
}

// Projects

#[test]
fn administer_does_not_give_browse() {
    let policy = site(&[(BROWSE, Holder::User(BOB))]);
    check(&policy, ADMINISTER, token(ADA), &on_project(), ALLOW);
    // Administrators see that the project is there, so the refusal need not hide it.
    check(&policy, BROWSE_PROJECT, token(ADA), &on_project(), refused(Reason::Permission));
    let issue = issue();
    check(&policy, SEE_ISSUE, token(ADA), &on_issue(&issue), HIDDEN);
}

#[test]
fn administer_projects_does_not_give_browse() {
    let policy = site(&[(ProjectPermission::AdministerProjects, Holder::User(BOB))]);
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), refused(Reason::Permission));
}

#[test]
fn project_without_any_permission_looks_absent() {
    let policy = site(&[]);
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), HIDDEN);
    check(&policy, BROWSE_PROJECT, token(BOB), &Facts { project: Fact::Missing, ..Facts::unknown() }, HIDDEN);
}

#[test]
fn visible_project_is_refused_openly() {
    let policy = site(&[(BROWSE, Holder::AnyApplication)]);
    let rule = Expr::Project(ProjectPermission::CreateIssues, Of::Project);
    check(&policy, rule, token(BOB), &on_project(), refused(Reason::Permission));
}

#[test]
fn anonymous_needs_a_grant_to_anyone() {
    let every_other_holder = [
        (BROWSE, Holder::AnyApplication),
        (BROWSE, Holder::Application(0)),
        (BROWSE, Holder::Group(MEMBERS)),
        (BROWSE, Holder::Role(DEVELOPERS)),
        (BROWSE, Holder::ProjectLead),
        (BROWSE, Holder::Reporter),
        (BROWSE, Holder::Assignee),
        (BROWSE, Holder::UserField(REVIEWER)),
        (BROWSE, Holder::GroupField(REVIEWER)),
        (BROWSE, Holder::PortalCustomer),
    ];
    let issue = issue();
    check(&site(&every_other_holder), SEE_ISSUE, anonymous(), &on_issue(&issue), HIDDEN);
    check(&site(&[(BROWSE, Holder::Anyone)]), SEE_ISSUE, anonymous(), &on_issue(&issue), ALLOW);
}

#[test]
fn each_holder_type_gives_to_its_own_only() {
    let issue = IssueFacts {
        reporter: Some(BOB),
        assignee: Some(BOB),
        user_fields: vec![(REVIEWER, BOB)],
        group_fields: vec![(REVIEWER, VISITORS)],
        ..issue()
    };
    for (holder, holds) in [
        (Holder::User(BOB), BOB),
        (Holder::Group(MEMBERS), BOB),
        (Holder::Role(DEVELOPERS), BOB),
        (Holder::ProjectLead, BOB),
        (Holder::Reporter, BOB),
        (Holder::Assignee, BOB),
        (Holder::UserField(REVIEWER), BOB),
        (Holder::GroupField(REVIEWER), EVE),
        (Holder::AnyApplication, BOB),
        (Holder::Application(0), BOB),
    ] {
        let mut policy = site(&[(BROWSE, holder)]);
        let actors = vec![(DEVELOPERS, Actor::User(BOB))];
        policy.put_project(ACME, Some(ProjectFacts { lead: Some(BOB), actors, ..acme() }));
        let other = if holds == BOB { EVE } else { BOB };
        assert!(policy.holds(Some(holds), BROWSE, ACME, Some(&issue)).is_some(), "{holder:?}");
        assert!(policy.holds(Some(other), BROWSE, ACME, Some(&issue)).is_none(), "{holder:?}");
    }
}

#[test]
fn another_application_does_not_count() {
    let policy = site(&[(BROWSE, Holder::Application(1))]);
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), HIDDEN);
}

#[test]
fn portal_customer_grant_gives_nothing() {
    let policy = site(&[(BROWSE, Holder::PortalCustomer)]);
    for user in [ADA, BOB, EVE, ROBOT] {
        assert!(policy.holds(Some(user), BROWSE, ACME, Some(&issue())).is_none());
    }
}

#[test]
fn role_counts_in_its_own_project_only() {
    let mut policy = site(&[(BROWSE, Holder::Role(DEVELOPERS))]);
    let elsewhere = ProjectId(11);
    let actors = vec![(DEVELOPERS, Actor::Group(MEMBERS))];
    policy.put_project(elsewhere, Some(ProjectFacts { id: elsewhere, key: "ELSE".to_owned(), actors, ..acme() }));
    assert!(policy.holds(Some(BOB), BROWSE, elsewhere, None).is_some());
    assert!(policy.holds(Some(BOB), BROWSE, ACME, None).is_none());
}

#[test]
fn roles_beyond_the_bound_refuse() {
    let mut policy = site(&[(BROWSE, Holder::Role(RoleId(1))), (EDIT, Holder::Role(RoleId(999)))]);
    let mut actors: Vec<_> = (1..=ROLES_PER_PROJECT_MAX as i64).map(|role| (RoleId(role), Actor::User(BOB))).collect();
    actors.push((RoleId(999), Actor::User(BOB)));
    policy.put_project(ACME, Some(ProjectFacts { actors, ..acme() }));
    assert!(policy.has_role(BOB, ACME, RoleId(ROLES_PER_PROJECT_MAX as i64)));
    assert!(policy.holds(Some(BOB), BROWSE, ACME, None).is_some());
    assert!(policy.holds(Some(BOB), EDIT, ACME, None).is_none());
}

#[test]
fn trashed_project_hides_everything() {
    let mut policy = site(&[(BROWSE, Holder::Anyone), (ProjectPermission::AdministerProjects, Holder::Anyone)]);
    policy.put_project(
        ACME,
        Some(ProjectFacts { trashed: true, actors: vec![(DEVELOPERS, Actor::User(BOB))], ..acme() }),
    );
    let issue = issue();
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), HIDDEN);
    check(&policy, SEE_ISSUE, token(ADA), &on_issue(&issue), HIDDEN);
    check(&policy, Expr::Project(BROWSE, Of::AnyProject), token(BOB), &Facts::unknown(), refused(Reason::Permission));
    assert!(!policy.has_role(BOB, ACME, DEVELOPERS));
    assert_eq!(policy.visibility(Some(BOB)).projects, []);
    assert_eq!(policy.projects().count(), 0);
}

#[test]
fn project_whose_scheme_is_gone_gives_nothing() {
    let mut policy = site(&[(BROWSE, Holder::Anyone)]);
    policy.put_scheme(SCHEME, None);
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), HIDDEN);
}

#[test]
fn rename_asks_for_less_than_a_change_of_scheme() {
    const UPDATE: Expr = Expr::Cases(&[
        (When::ChangesKeyOrScheme, Expr::Global(GlobalPermission::Administer)),
        (When::KeepsKeyAndSchemes, Expr::Project(ProjectPermission::AdministerProjects, Of::Project)),
    ]);
    let policy = site(&[(ProjectPermission::AdministerProjects, Holder::User(BOB))]);
    let with = |when| Facts { holding: Conditions::NONE.with(when), ..on_project() };
    check(&policy, UPDATE, token(BOB), &with(When::KeepsKeyAndSchemes), ALLOW);
    check(&policy, UPDATE, token(BOB), &with(When::ChangesKeyOrScheme), refused(Reason::Permission));
    check(&policy, UPDATE, token(ADA), &with(When::ChangesKeyOrScheme), ALLOW);
    check(&policy, UPDATE, token(ADA), &with(When::KeepsKeyAndSchemes), refused(Reason::Permission));
    // A body that nobody looked at is neither.
    check(&policy, UPDATE, token(BOB), &on_project(), refused(Reason::Permission));
}

#[test]
fn the_row_of_update_project_is_that_rule() {
    let row = portcullis_authz::op::ROWS.iter().find(|row| row.id == "updateProject").expect("a row");
    let policy = site(&[(ProjectPermission::AdministerProjects, Holder::User(BOB))]);
    check_row(&policy, row, token(BOB), &on_project(), refused(Reason::Permission));
}

#[test]
fn participant_sees_the_project_and_a_stranger_does_not() {
    let policy = site(&[(BROWSE, Holder::Reporter)]);
    let takes_part = |fact| Facts { participates: fact, ..on_project() };
    check(&policy, BROWSE_PROJECT, token(BOB), &takes_part(Fact::Known(true)), ALLOW);
    check(&policy, BROWSE_PROJECT, token(BOB), &takes_part(Fact::Known(false)), HIDDEN);
    check(&policy, BROWSE_PROJECT, token(BOB), &takes_part(Fact::Unknown), HIDDEN);
    // Taking part gives nothing that the scheme does not give to participants.
    let edit = Expr::Project(EDIT, Of::Project);
    check(&policy, edit, token(BOB), &takes_part(Fact::Known(true)), refused(Reason::Permission));
    assert!(policy.could_hold(Some(BOB), BROWSE, ACME) && !policy.could_hold(None, BROWSE, ACME));
}

#[test]
fn each_project_must_allow() {
    let policy = site(&[(BROWSE, Holder::AnyApplication)]);
    let rule = Expr::Project(BROWSE, Of::EachProject);
    for (projects, expected) in [
        (&[Fact::Known(ACME)][..], ALLOW),
        (&[Fact::Known(ACME), Fact::Missing], HIDDEN),
        (&[Fact::Known(ACME), Fact::Unknown], refused(Reason::Unknown)),
        (&[], refused(Reason::Permission)),
    ] {
        check(&policy, rule, token(BOB), &Facts { projects: Fact::Known(projects), ..Facts::unknown() }, expected);
    }
}

// Issues

#[test]
fn reporter_grant_shows_only_own_issues() {
    let policy = site(&[(BROWSE, Holder::Reporter)]);
    let own = IssueFacts { reporter: Some(BOB), ..issue() };
    let other = IssueFacts { reporter: Some(CLEO), assignee: Some(BOB), ..issue() };
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&own), ALLOW);
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&other), HIDDEN);
    check(&policy, SEE_ISSUE, anonymous(), &on_issue(&issue()), HIDDEN);
}

#[test]
fn security_level_applies_to_administrators() {
    let mut policy = site(&[(BROWSE, Holder::AnyApplication)]);
    policy.put_level(SECRET, Some(level(&[Holder::User(BOB)])));
    let secret = IssueFacts { level: Some(SECRET), ..issue() };
    check(&policy, SEE_ISSUE, token(ADA), &on_issue(&secret), HIDDEN);
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&secret), ALLOW);
}

#[test]
fn security_level_does_not_give_browse() {
    let mut policy = site(&[]);
    policy.put_level(SECRET, Some(level(&[Holder::Anyone])));
    let secret = IssueFacts { level: Some(SECRET), ..issue() };
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&secret), HIDDEN);
}

#[test]
fn level_that_is_gone_or_of_another_scheme_lets_nobody_in() {
    let mut policy = site(&[(BROWSE, Holder::Anyone)]);
    let secret = IssueFacts { level: Some(SECRET), ..issue() };
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&secret), HIDDEN);
    policy.put_level(SECRET, Some(LevelFacts { scheme: SecuritySchemeId(4), ..level(&[Holder::Anyone]) }));
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&secret), HIDDEN);
    policy.put_level(SECRET, Some(level(&[Holder::Anyone])));
    check(&policy, SEE_ISSUE, token(BOB), &on_issue(&secret), ALLOW);
}

#[test]
fn both_issues_must_allow() {
    let policy = site(&[(BROWSE, Holder::Reporter)]);
    let own = IssueFacts { reporter: Some(BOB), ..issue() };
    let other = IssueFacts { id: IssueId(2), reporter: Some(CLEO), ..issue() };
    let rule = Expr::Project(BROWSE, Of::BothIssues);
    let facts =
        |first, second| Facts { issue: Fact::Known(first), other_issue: Fact::Known(second), ..Facts::unknown() };
    check(&policy, rule, token(BOB), &facts(&own, &own), ALLOW);
    check(&policy, rule, token(BOB), &facts(&own, &other), HIDDEN);
    check(&policy, rule, token(BOB), &facts(&other, &own), HIDDEN);
}

#[test]
fn of_each_issue_one_refused_refuses_all_and_none_is_not_all() {
    let policy = site(&[(BROWSE, Holder::Reporter)]);
    let own = IssueFacts { reporter: Some(BOB), ..issue() };
    let rule = Expr::Project(BROWSE, Of::EachIssue);
    for (issues, expected) in
        [(&[own.clone(), own.clone()][..], ALLOW), (&[own, issue()], HIDDEN), (&[], refused(Reason::Permission))]
    {
        check(&policy, rule, token(BOB), &Facts { issues: Fact::Known(issues), ..Facts::unknown() }, expected);
    }
}

#[test]
fn visible_issue_is_refused_openly() {
    let policy = site(&[(BROWSE, Holder::AnyApplication)]);
    let rule = Expr::All(&[Expr::Project(BROWSE, Of::Issue), Expr::Project(EDIT, Of::Issue)]);
    check(&policy, rule, token(BOB), &on_issue(&issue()), refused(Reason::Permission));
}

// Things on issues

#[test]
fn restricted_comment_hides() {
    let mut policy = site(&[(BROWSE, Holder::Anyone)]);
    policy.put_project(ACME, Some(ProjectFacts { actors: vec![(DEVELOPERS, Actor::User(BOB))], ..acme() }));
    let issue = issue();
    let see = Expr::All(&[SEE_ISSUE, Expr::Visible(Thing::Comment)]);
    let restricted = |restriction| Facts { restriction, ..on_issue(&issue) };
    for (restriction, subject, expected) in [
        (Fact::Known(Restriction::None), anonymous(), ALLOW),
        (Fact::Known(Restriction::Group(MEMBERS)), token(BOB), ALLOW),
        (Fact::Known(Restriction::Group(MEMBERS)), token(ADA), HIDDEN),
        (Fact::Known(Restriction::Group(MEMBERS)), anonymous(), HIDDEN),
        (Fact::Known(Restriction::Role(DEVELOPERS)), token(BOB), ALLOW),
        (Fact::Known(Restriction::Role(DEVELOPERS)), token(CLEO), HIDDEN),
        (Fact::Known(Restriction::Nobody), token(ADA), HIDDEN),
        (Fact::Missing, token(BOB), HIDDEN),
        (Fact::Unknown, token(BOB), refused(Reason::Unknown)),
    ] {
        check(&policy, see, subject, &restricted(restriction), expected);
    }
}

#[test]
fn author_of_a_restricted_comment_has_no_special_pass() {
    let policy = site(&[(BROWSE, Holder::Anyone), (ProjectPermission::EditOwnComments, Holder::Anyone)]);
    let issue = issue();
    let edit = Expr::All(&[
        Expr::Project(ProjectPermission::EditOwnComments, Of::Issue),
        Expr::Owner(Thing::Comment),
        Expr::Visible(Thing::Comment),
    ]);
    let restriction = Fact::Known(Restriction::Group(ADMINISTRATORS));
    let facts = Facts { owner: Fact::Known(Some(BOB)), restriction, ..on_issue(&issue) };
    check(&policy, edit, token(BOB), &facts, HIDDEN);
}

#[test]
fn anonymous_owns_nothing_that_nobody_owns() {
    let policy = site(&[(BROWSE, Holder::Anyone)]);
    let issue = issue();
    let facts = Facts { owner: Fact::Known(None), ..on_issue(&issue) };
    check(&policy, Expr::Owner(Thing::Comment), anonymous(), &facts, refused(Reason::Permission));
}

#[test]
fn filter_that_is_neither_owned_nor_shared_looks_absent() {
    let policy = site(&[]);
    let rule = Expr::Any(&[Expr::Owner(Thing::Filter), Expr::Shared(Thing::Filter)]);
    let facts = |owner, shared| Facts { owner, shared, ..Facts::unknown() };
    check(&policy, rule, token(BOB), &facts(Fact::Known(Some(BOB)), Fact::Known(false)), ALLOW);
    check(&policy, rule, token(BOB), &facts(Fact::Known(Some(ADA)), Fact::Known(true)), ALLOW);
    check(&policy, rule, token(BOB), &facts(Fact::Known(Some(ADA)), Fact::Known(false)), HIDDEN);
    check(&policy, rule, token(BOB), &facts(Fact::Missing, Fact::Missing), HIDDEN);
}

// What is not known

#[test]
fn unknown_fact_refuses() {
    let policy = site(&[(BROWSE, Holder::Anyone), (EDIT, Holder::Anyone)]);
    for permission in [
        BROWSE_PROJECT,
        SEE_ISSUE,
        Expr::Project(EDIT, Of::OtherIssue),
        Expr::Project(EDIT, Of::OtherProject),
        Expr::Project(EDIT, Of::BothIssues),
        Expr::Project(EDIT, Of::EachIssue),
        Expr::Project(EDIT, Of::EachProject),
        Expr::Project(EDIT, Of::AnyProjectUsing),
        Expr::IssueSecurity(Of::EachIssue),
        Expr::Visible(Thing::Worklog),
        Expr::Owner(Thing::Task),
        Expr::Shared(Thing::Filter),
        Expr::Editable(Thing::Dashboard),
        Expr::NeverKnown("a condition that nobody keeps"),
    ] {
        check(&policy, permission, token(ADA), &Facts::unknown(), refused(Reason::Unknown));
    }
}

#[test]
fn unknown_alternative_does_not_stop_one_that_holds() {
    let never = Expr::NeverKnown("a condition that nobody keeps");
    let (first, last) = (Expr::Any(&[NEVER, ADMINISTER]), Expr::Any(&[ADMINISTER, NEVER]));
    check(&site(&[]), first, token(ADA), &Facts::unknown(), ALLOW);
    check(&site(&[]), last, token(ADA), &Facts::unknown(), ALLOW);
    check(&site(&[]), first, token(BOB), &Facts::unknown(), refused(Reason::Unknown));
    check(&site(&[]), never, token(ADA), &Facts::unknown(), refused(Reason::Unknown));
}

const NEVER: Expr = Expr::NeverKnown("a condition that nobody keeps");

#[test]
fn no_case_that_applies_refuses() {
    let rule =
        Expr::Cases(&[(When::NeverKnown("the moon is full"), Expr::Nothing), (When::TeamManaged, Expr::Nothing)]);
    check(&site(&[]), rule, token(ADA), &Facts::unknown(), refused(Reason::Permission));
}

#[test]
fn target_that_is_not_there_is_hidden_from_who_could_do_it_to_any() {
    let policy = site(&[]);
    check(&policy, ADMINISTER, token(ADA), &Facts { project: Fact::Missing, ..Facts::unknown() }, HIDDEN);
    check(&policy, ADMINISTER, token(ADA), &Facts { issue: Fact::Missing, ..Facts::unknown() }, HIDDEN);
}

// The trace, and lists

#[test]
fn trace_names_the_grant_that_sufficed() {
    let policy =
        site(&[(EDIT, Holder::Anyone), (BROWSE, Holder::Group(ADMINISTRATORS)), (BROWSE, Holder::Group(MEMBERS))]);
    let decision = decide(&policy, &row(BROWSE_PROJECT), &token(BOB), &on_project());
    let last = decision.trace.last().expect("a step");
    let Rule::Project(BROWSE, Some(ACME), Some(found)) = last.rule else { panic!("{:#?}", decision.trace) };
    assert_eq!((found.grant, found.holder), (GrantId(3), Holder::Group(MEMBERS)));
    assert_eq!(last.verdict, Verdict::Yes);
}

#[test]
fn trace_is_in_the_order_of_the_steps() {
    let row = Row { classic: Some(scope_set(&[WORK])), ..row(BROWSE_PROJECT) };
    let subject = Subject { blocked: &[ProjectId(11)], ..oauth(BOB, &[WORK]) };
    let decision = decide(&site(&[(BROWSE, Holder::AnyApplication)]), &row, &subject, &on_project());
    assert!(decision.is_allow());
    let rules: Vec<Rule> = decision.trace.iter().map(|step| step.rule).collect();
    assert!(
        matches!(
            rules[..],
            [
                Rule::AccessKind(AccessKind::OAuth),
                Rule::Active,
                Rule::ClassicScopes,
                Rule::AppAccessRule(ACME),
                Rule::Project(BROWSE, Some(ACME), Some(_)),
            ]
        ),
        "{rules:#?}"
    );
}

#[test]
fn visibility_names_projects_levels_and_conditions() {
    let mut policy = site(&[(BROWSE, Holder::Group(MEMBERS)), (BROWSE, Holder::Reporter)]);
    policy.put_level(SECRET, Some(level(&[Holder::User(CLEO), Holder::Assignee])));
    let cleo = policy.visibility(Some(CLEO));
    assert_eq!((&cleo.projects[..], &cleo.conditional[..]), (&[ACME][..], &[][..]));
    assert_eq!((&cleo.levels[..], &cleo.conditional_levels[..]), (&[(ACME, SECRET)][..], &[][..]));
    let ada = policy.visibility(Some(ADA));
    assert_eq!((ada.projects.len(), ada.conditional.len()), (0, 1));
    assert_eq!((ada.levels.len(), ada.conditional_levels.len()), (0, 1));
    let nobody = policy.visibility(None);
    assert!(nobody.projects.is_empty() && nobody.conditional.is_empty() && nobody.levels.is_empty());
    assert_eq!(policy.visibility(Some(DORA)).projects, []);
}

#[test]
fn membership_change_takes_effect_at_once() {
    let mut policy = site(&[(BROWSE, Holder::Group(MEMBERS))]);
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), ALLOW);
    policy.put_user(BOB, Some(person(BOB, &[])));
    check(&policy, BROWSE_PROJECT, token(BOB), &on_project(), HIDDEN);
}

#[test]
fn change_of_a_group_reaches_its_members() {
    let mut policy = site(&[]);
    policy.put_group(ADMINISTRATORS, Some(GroupFacts { applications: SOFTWARE, ..GroupFacts::default() }));
    check(&policy, ADMINISTER, token(ADA), &Facts::unknown(), refused(Reason::Permission));
    policy.put_group(ADMINISTRATORS, None);
    assert!(!policy.has_access(ADA));
}

#[test]
fn ids_that_no_table_can_hold_refuse() {
    let mut policy = site(&[(BROWSE, Holder::User(UserId(-1)))]);
    policy.put_user(UserId(-1), Some(person(UserId(-1), &[ADMINISTRATORS])));
    policy.put_user(UserId(i64::MAX), Some(person(UserId(i64::MAX), &[ADMINISTRATORS])));
    for id in [-1, i64::MAX] {
        check(&policy, Expr::Nothing, token(UserId(id)), &on_project(), refused(Reason::Inactive));
    }
}
