//! Queries on a small site with something to hide.
//!
//! Ben sees everything. Cleo browses DEMO, is in no security level and not in the role that reads restricted comments, and sees in
//! COND only what she reported. Nora browses nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_authz::Policy;
use portcullis_authz::policy::{
    AccountKind, Actor, GroupFacts, Holder, HolderFacts, LevelFacts, ProjectFacts, SchemeFacts, UserFacts,
};
use portcullis_guard::{Tx, Write};
use portcullis_model::{
    GlobalPermission, GlobalPermissionSet, GrantId, GroupId, LevelId, ProjectId, ProjectPermission, RoleId, SchemeId,
    SecuritySchemeId, UserId,
};
use portcullis_store::{Store, StoreConfig};

use crate::jql::{parse, parse_strict};
use crate::search::asker::Asker;
use crate::search::evaluate::{NotCompiled, Start, compile, compile_within};
use crate::search::fields::system_field;
use crate::search::sanitise::sanitised;
use crate::search::suggestions::found;

const BEN: UserId = UserId(1);
const CLEO: UserId = UserId(2);
const NORA: UserId = UserId(3);

/// 2026-03-11 12:00 UTC, a Wednesday.
const NOW: i64 = 1_773_230_400_000;

/// What Cleo sees: DEMO-1, DEMO-2, DEMO-4, COND-1.
const CLEO_SEES: [i64; 4] = [105, 104, 101, 100];

const ROWS: &[&str] = &[
    "INSERT INTO account_user (id, account_id, kind, email, email_folded, display_name, name_folded, active, time_zone, locale, created_at_ms) VALUES
        (1, 'acc-ben', 'person', 'ben@x.org', 'ben@x.org', 'Ben Boss', 'ben boss', 1, 'UTC', 'en_US', 0),
        (2, 'acc-cleo', 'person', 'cleo@x.org', 'cleo@x.org', 'Cleo Clerk', 'cleo clerk', 1, 'UTC', 'en_US', 0),
        (3, 'acc-nora', 'person', 'nora@x.org', 'nora@x.org', 'Nora None', 'nora none', 1, 'UTC', 'en_US', 0)",
    "INSERT INTO account_group (id, uuid, name, name_folded, site_admin) VALUES (1, 'g-all', 'Everyone', 'everyone', 0), (2, 'g-board', 'Board', 'board', 0)",
    "INSERT INTO account_membership (user_id, group_id) VALUES (1, 1), (2, 1), (3, 1), (1, 2)",
    "INSERT INTO jira_role (id, name, name_folded, description) VALUES (1, 'Leads', 'leads', '')",
    "INSERT INTO jira_permission_scheme (id, name, name_folded, description) VALUES (1, 'Open', 'open', ''), (2, 'Closed', 'closed', ''), (3, 'Reporters', 'reporters', '')",
    "INSERT INTO jira_security_scheme (id, name, description) VALUES (1, 'S', '')",
    "INSERT INTO jira_security_level (id, scheme_id, name, description) VALUES (1, 1, 'Board only', '')",
    "INSERT INTO jira_project (id, uuid, key, name, name_folded, description, url, lead_id, type_key, team_managed, assignee_type, permission_scheme_id, security_scheme_id, next_issue_number, created_at_ms) VALUES
        (1, 'u1', 'DEMO', 'Demonstration', 'demonstration', '', '', 1, 'software', 0, 'UNASSIGNED', 1, 1, 5, 0),
        (2, 'u2', 'VAULT', 'Vault', 'vault', '', '', 1, 'software', 0, 'UNASSIGNED', 2, NULL, 2, 0),
        (3, 'u3', 'COND', 'Conditional', 'conditional', '', '', 1, 'software', 0, 'UNASSIGNED', 3, NULL, 3, 0)",
    "INSERT INTO jira_project_former_key (key, project_id) VALUES ('OLDDEMO', 1), ('OLDVAULT', 2)",
    "INSERT INTO jira_issue_type (id, name, description, hierarchy_level) VALUES (1, 'Task', '', 0), (2, 'Sub-task', '', -1), (3, 'Epic', '', 1)",
    "INSERT INTO jira_status (id, name, description, category) VALUES (1, 'To Do', '', 'new'), (2, 'In Progress', '', 'indeterminate'), (3, 'Done', '', 'done')",
    "INSERT INTO jira_priority (id, name, description, color, position) VALUES (1, 'Highest', '', '#f00', 1), (2, 'Medium', '', '#ff0', 2), (3, 'Lowest', '', '#0f0', 3)",
    "INSERT INTO jira_resolution (id, name, description) VALUES (1, 'Fixed', '')",
    "INSERT INTO jira_link_type (id, name, inward, outward) VALUES (1, 'Blocks', 'is blocked by', 'blocks'), (2, 'Relates', 'relates to', 'relates to')",
    "INSERT INTO jira_issue (id, project_id, number, issue_type_id, status_id, priority_id, resolution_id, security_level_id, parent_id, creator_id, reporter_id, assignee_id, summary, summary_folded, description, description_folded, environment, environment_folded, due_date, created_at_ms, updated_at_ms, resolved_at_ms, status_changed_at_ms, original_estimate_s, remaining_estimate_s) VALUES
        (100, 1, 1, 1, 1, 1, NULL, NULL, NULL, 2, 2, 1, 'Login crash', 'login crash', NULL, 'out of memory', NULL, '', '2026-03-10', 1773100000000, 1773200000000, NULL, 0, 7200, NULL),
        (101, 1, 2, 2, 3, 3, 1, NULL, 100, 1, 1, NULL, '100% done_x', '100% done_x', NULL, '', NULL, 'linux', NULL, 1773140000000, 1773150000000, 1773150000000, 0, NULL, NULL),
        (102, 1, 3, 1, 1, 1, NULL, 1, NULL, 1, 1, 1, 'Board crash', 'board crash', NULL, '', NULL, '', NULL, 1773150000000, 1773150000000, NULL, 0, NULL, NULL),
        (103, 2, 1, 3, 1, NULL, NULL, NULL, NULL, 1, 1, 1, 'Vault crash', 'vault crash', NULL, '', NULL, '', NULL, 1773160000000, 1773160000000, NULL, 0, NULL, NULL),
        (104, 1, 4, 1, 2, NULL, NULL, NULL, 103, 1, 1, 2, 'Child of a hidden epic', 'child of a hidden epic', NULL, '', NULL, '', NULL, 1773170000000, 1773170000000, NULL, 0, NULL, NULL),
        (105, 3, 1, 1, 1, 2, NULL, NULL, NULL, 2, 2, NULL, 'Reported by Cleo', 'reported by cleo', NULL, '', NULL, '', NULL, 1773180000000, 1773180000000, NULL, 0, NULL, NULL),
        (106, 3, 2, 1, 1, 2, NULL, NULL, NULL, 1, 1, NULL, 'Reported by Ben', 'reported by ben', NULL, '', NULL, '', NULL, 1773190000000, 1773190000000, NULL, 0, NULL, NULL)",
    "INSERT INTO jira_issue_former_key (project_key, number, issue_id) VALUES ('GONE', 7, 100), ('GONE', 8, 103)",
    "INSERT INTO jira_issue_label (issue_id, label) VALUES (100, 'Urgent'), (100, 'ui'), (101, 'ui'), (103, 'hush')",
    "INSERT INTO jira_component (id, project_id, name, name_folded, description, assignee_type) VALUES (1, 1, 'Core', 'core', '', 'X'), (2, 2, 'Safe', 'safe', '', 'X'), (3, 1, 'Edge', 'edge', '', 'X')",
    "INSERT INTO jira_issue_component (issue_id, component_id) VALUES (100, 1), (100, 3), (101, 3), (103, 2)",
    "INSERT INTO jira_version (id, project_id, name, name_folded, archived, released, position) VALUES (1, 1, '1.0', '1.0', 0, 1, 1), (2, 1, '2.0', '2.0', 0, 0, 2), (3, 2, '9.9', '9.9', 0, 1, 1)",
    "INSERT INTO jira_issue_version (issue_id, version_id, kind) VALUES (100, 1, 'fix'), (101, 2, 'fix'), (100, 2, 'affects'), (103, 3, 'fix')",
    "INSERT INTO jira_field (id, name, description, kind) VALUES (10, 'Story points', '', 'float'), (11, 'Team', '', 'select'), (12, 'Kickoff', '', 'datepicker'), (13, 'Notes', '', 'textarea'), (14, 'Reviewer', '', 'userpicker'), (15, 'Starts', '', 'datetime')",
    "INSERT INTO jira_field_option (id, field_id, value, position, disabled) VALUES (1, 11, 'Red', 1, 0), (2, 11, 'Blue', 2, 0)",
    "INSERT INTO jira_issue_value (issue_id, field_id, position, value, value_folded, user_id, option_id) VALUES
        (100, 10, 0, '5', '5', NULL, NULL), (101, 10, 0, '13.5', '13.5', NULL, NULL), (100, 11, 0, '1', 'red', NULL, 1), (101, 11, 0, '2', 'blue', NULL, 2),
        (100, 12, 0, '2026-03-01', '2026-03-01', NULL, NULL), (100, 13, 0, 'x', 'remember the milk', NULL, NULL), (100, 14, 0, 'acc-ben', 'ben boss', 1, NULL),
        (100, 15, 0, '2026-03-01T10:00:00.000+0000', '', NULL, NULL)",
    "INSERT INTO jira_comment (id, issue_id, body, body_folded, restriction_type, role_id, created_at_ms, updated_at_ms) VALUES (1, 100, 'x', 'public words', NULL, NULL, 0, 0), (2, 100, 'x', 'whisper of leads', 'role', 1, 0, 0), (3, 101, 'x', 'whisper of nobody', 'group', NULL, 0, 0)",
    "INSERT INTO jira_worklog (id, issue_id, author_id, restriction_type, role_id, started_at_ms, time_spent_s, created_at_ms, updated_at_ms) VALUES (1, 100, 1, NULL, NULL, 1773100000000, 3600, 0, 0), (2, 101, 1, 'role', 1, 1773100000000, 7200, 0, 0)",
    "INSERT INTO jira_watcher (issue_id, user_id) VALUES (100, 1), (101, 2), (103, 2)",
    "INSERT INTO jira_vote (issue_id, user_id) VALUES (100, 1)",
    "INSERT INTO jira_attachment (id, issue_id, comment_id, file_name, mime_type, size_bytes, created_at_ms) VALUES (1, 100, NULL, 'a', 'b', 1, 0), (2, 101, 3, 'a', 'b', 1, 0)",
    "INSERT INTO jira_issue_link (id, type_id, source_id, destination_id) VALUES (1, 1, 100, 103), (2, 2, 100, 101)",
    "INSERT INTO jira_filter (id, owner_id, name, name_folded, description, jql) VALUES
        (1, 1, 'Private', 'private', '', 'project = DEMO'), (2, 1, 'Shared', 'shared', '', 'project = VAULT OR labels = ui'), (3, 2, 'Own', 'own', '', 'filter = Shared AND status = Done'), (4, 2, 'Circle', 'circle', '', 'filter = Circle')",
    "INSERT INTO jira_filter_share (id, filter_id, share_type, rights, group_id) VALUES (1, 2, 'group', 'view', 1)",
];

fn policy() -> Policy {
    let mut policy = Policy::empty();
    let mut picks = GlobalPermissionSet::EMPTY;
    picks.insert(GlobalPermission::UserPicker);
    policy.put_group(GroupId(1), Some(GroupFacts { applications: 1, ..GroupFacts::default() }));
    policy.put_group(GroupId(2), Some(GroupFacts { global: picks, ..GroupFacts::default() }));
    for (id, groups) in [(BEN, vec![GroupId(1), GroupId(2)]), (CLEO, vec![GroupId(1)]), (NORA, vec![])] {
        policy.put_user(id, Some(UserFacts { id, active: true, kind: AccountKind::Person, groups }));
    }
    let holder = |holder| HolderFacts { grant: GrantId(1), holder };
    let browse = |who| (ProjectPermission::BrowseProjects, holder(who));
    let scheme = |grants| Some(SchemeFacts { grants });
    policy.put_scheme(
        SchemeId(1),
        scheme(vec![
            browse(Holder::AnyApplication),
            (ProjectPermission::ViewVotersAndWatchers, holder(Holder::User(BEN))),
        ]),
    );
    policy.put_scheme(SchemeId(2), scheme(vec![browse(Holder::User(BEN))]));
    policy.put_scheme(SchemeId(3), scheme(vec![browse(Holder::Reporter), browse(Holder::User(BEN))]));
    let level = LevelFacts { scheme: SecuritySchemeId(1), members: vec![holder(Holder::Group(GroupId(2)))] };
    policy.put_level(LevelId(1), Some(level));
    for (id, key, scheme, security) in
        [(1, "DEMO", 1, Some(SecuritySchemeId(1))), (2, "VAULT", 2, None), (3, "COND", 3, None)]
    {
        let facts = ProjectFacts {
            id: ProjectId(id),
            key: key.to_owned(),
            lead: Some(BEN),
            scheme: SchemeId(scheme),
            security_scheme: security,
            team_managed: false,
            trashed: false,
            actors: vec![(RoleId(1), Actor::User(BEN))],
        };
        policy.put_project(ProjectId(id), Some(facts));
    }
    policy
}

/// A database of its own; the rows live in a transaction that is never committed.
struct Site {
    tx: Tx<Write>,
    _store: Store,
    dir: PathBuf,
}

impl Site {
    async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("portcullis_search_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(&unique);
        std::fs::create_dir_all(&dir).unwrap();
        // As in the tests of the store: PostgreSQL when a server is named, a schema of its own for each test.
        let config = match std::env::var("PORTCULLIS_SEARCH_TEST_POSTGRES") {
            Ok(url) => StoreConfig::Postgres { url, schema: Some(unique) },
            Err(_) => StoreConfig::Sqlite { path: dir.join("data.db") },
        };
        let store = Store::open(&config).await.unwrap();
        let mut tx = store.write().await.unwrap();
        for sql in ROWS {
            tx.execute(*sql, &[]).await.unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
        Self { tx, _store: store, dir }
    }

    /// The ids that a query finds, in order; or its messages.
    async fn search(&mut self, user: Option<UserId>, jql: &str) -> Result<Vec<i64>, Vec<String>> {
        let asker = Asker::of_policy(policy(), user, NOW);
        let query = parse(jql).unwrap_or_else(|error| panic!("{error}: {jql}"));
        let compiled = match compile(&mut self.tx, &asker, &query).await {
            Ok(compiled) => compiled,
            Err(NotCompiled::Said(messages)) => return Err(messages),
            Err(NotCompiled::Store(error)) => panic!("{error}: {jql}"),
        };
        let rows = self.tx.query(compiled.select(&asker, Start::Offset(0), 100), &[]).await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}: {jql}"));
        let ids: Vec<i64> = rows.iter().map(|row| row.get("id").unwrap()).collect();
        let count: i64 = self.tx.query_one(compiled.count(&asker), &[]).await.unwrap().get("count").unwrap();
        assert_eq!(usize::try_from(count).unwrap(), ids.len(), "counts what it shows: {jql}");
        let all: Vec<i64> = (100..=106).collect();
        let among = self.tx.query(compiled.among(&asker, &all), &[]).await.unwrap();
        assert_eq!(among.len(), ids.len(), "matches what it shows: {jql}");
        Ok(ids)
    }

    async fn sorted(&mut self, user: UserId, jql: &str) -> Vec<i64> {
        let mut found = self.search(Some(user), jql).await.unwrap_or_else(|messages| panic!("{messages:?}: {jql}"));
        found.sort_unstable();
        found
    }

    async fn messages(&mut self, user: UserId, jql: &str) -> Vec<String> {
        match self.search(Some(user), jql).await {
            Ok(found) => panic!("{jql} found {found:?}"),
            Err(messages) => messages,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[tokio::test]
async fn queries_find_what_they_say() {
    let mut site = Site::new().await;
    let mut wrong = Vec::new();
    let all: &[i64] = &[100, 101, 102, 103, 104, 105, 106];
    let demo: &[i64] = &[100, 101, 102, 104];
    for (jql, expected) in [
        ("project = DEMO", demo),
        ("project = demonstration", demo),
        ("project = 1", demo),
        ("project = olddemo", demo),
        ("project in (DEMO, VAULT)", &[100, 101, 102, 103, 104]),
        ("project != DEMO", &[103, 105, 106]),
        ("NOT project = DEMO", &[103, 105, 106]),
        ("project in projectsLeadByUser()", all),
        ("key = demo-1", &[100]),
        ("issuekey in (DEMO-1, VAULT-1, 105)", &[100, 103, 105]),
        ("id = 101", &[101]),
        ("key = GONE-7", &[100]),
        ("key >= DEMO-3", &[102, 104]),
        ("NOT key >= DEMO-3", &[100, 101]),
        ("issuetype = Sub-task", &[101]),
        ("type in subTaskIssueTypes()", &[101]),
        ("type in (standardIssueTypes())", &[100, 102, 103, 104, 105, 106]),
        ("status = Done", &[101]),
        ("status != Done", &[100, 102, 103, 104, 105, 106]),
        ("statusCategory = \"To Do\"", &[100, 102, 103, 105, 106]),
        ("statusCategory not in (new, done)", &[104]),
        ("resolution = Unresolved", &[100, 102, 103, 104, 105, 106]),
        ("resolution is not EMPTY", &[101]),
        ("resolution = Fixed", &[101]),
        ("priority = Highest", &[100, 102]),
        ("priority > Medium", &[100, 102]),
        ("priority <= Medium", &[101, 105, 106]),
        ("priority is EMPTY", &[103, 104]),
        ("priority != Highest", &[101, 105, 106]),
        ("assignee = currentUser()", &[100, 102, 103]),
        ("assignee = acc-cleo", &[104]),
        ("assignee = \"Cleo Clerk\"", &[104]),
        ("assignee = 'cleo@x.org'", &[104]),
        ("assignee is EMPTY", &[101, 105, 106]),
        ("assignee in (acc-cleo, EMPTY)", &[101, 104, 105, 106]),
        ("assignee != currentUser()", &[104]),
        ("NOT assignee = currentUser()", &[104]),
        ("assignee in membersOf(Board)", &[100, 102, 103]),
        ("assignee not in membersOf(board)", &[104]),
        ("reporter = acc-cleo", &[100, 105]),
        ("creator = acc-cleo OR voter = acc-ben", &[100, 105]),
        ("summary ~ crash", &[100, 102, 103]),
        ("summary ~ \"crash login\"", &[100]),
        ("summary ~ \"log* crash\"", &[100]),
        ("summary ~ \"\\\"login crash\\\"\"", &[100]),
        ("summary ~ \"\\\"crash login\\\"\"", &[]),
        ("summary !~ crash", &[101, 104, 105, 106]),
        ("summary ~ \"100%\"", &[101]),
        ("summary ~ done_x", &[101]),
        ("summary ~ doneyx", &[]),
        ("description ~ memory", &[100]),
        ("description !~ memory", &[]),
        ("description is EMPTY", &[101, 102, 103, 104, 105, 106]),
        ("environment is not EMPTY", &[101]),
        ("comment ~ words", &[100]),
        ("comment ~ whisper", &[100]),
        ("comment !~ whisper", &[]),
        ("text ~ crash", &[100, 102, 103]),
        ("text ~ milk", &[100]),
        ("crash", &[100, 102, 103]),
        ("\"out of memory\"", &[100]),
        ("NOT text ~ crash", &[101, 104, 105, 106]),
        ("labels = URGENT", &[100]),
        ("labels in (ui, hush)", &[100, 101, 103]),
        ("labels != urgent", &[101, 103]),
        ("labels is EMPTY", &[102, 104, 105, 106]),
        ("component = Core", &[100]),
        ("component = 3", &[100, 101]),
        ("component != Core", &[101, 103]),
        ("component is EMPTY", &[102, 104, 105, 106]),
        ("fixVersion = 1.0", &[100]),
        ("fixVersion in releasedVersions()", &[100, 103]),
        ("fixVersion in unreleasedVersions(DEMO)", &[101]),
        ("fixVersion > 1.0", &[101]),
        ("affectedVersion = 2.0", &[100]),
        ("fixVersion not in (1.0, EMPTY)", &[101, 103]),
        ("parent = DEMO-1", &[101]),
        ("parent in (100, 103)", &[101, 104]),
        ("parent is EMPTY", &[100, 102, 103, 105, 106]),
        ("parent != DEMO-1", &[104]),
        ("level = \"Board only\"", &[102]),
        ("level is EMPTY AND project = DEMO", &[100, 101, 104]),
        ("created > \"2026-03-10\"", &[101, 102, 103, 104, 105, 106]),
        ("created >= -1d", &[102, 103, 104, 105, 106]),
        ("created = 1773100000000", &[100]),
        ("updated < startOfDay()", &[101, 102, 103, 104, 105]),
        ("due = 2026-03-10", &[100]),
        ("due < now()", &[100]),
        ("due is EMPTY AND type = Epic", &[103]),
        ("duedate != 2026-03-10", &[]),
        ("resolved is not EMPTY", &[101]),
        ("resolutiondate <= -1h", &[101]),
        ("watcher = acc-cleo", &[101]),
        ("watcher = currentUser()", &[100]),
        ("issue in watchedIssues()", &[100]),
        ("issue in votedIssues()", &[100]),
        ("issue in issueHistory()", &[]),
        ("issue not in issueHistory()", all),
        ("votes > 0", &[100]),
        ("watchers = 1", &[100, 101, 103]),
        ("NOT votes > 0 AND project = DEMO", &[101, 102, 104]),
        ("worklogAuthor = currentUser()", &[100, 101]),
        ("worklogDate = 2026-03-09", &[100, 101]),
        ("worklogDate > 2026-03-10", &[]),
        ("timespent > 1h", &[101]),
        ("timespent = 60", &[100]),
        ("timespent is EMPTY", &[102, 103, 104, 105, 106]),
        ("originalEstimate >= 2h", &[100]),
        ("remainingEstimate is not EMPTY", &[]),
        ("attachments is not EMPTY", &[100]),
        ("attachments is EMPTY", &[101, 102, 103, 104, 105, 106]),
        ("issueLinkType = Relates", &[100, 101]),
        ("issueLinkType = blocks", &[100]),
        ("issueLinkType = \"is blocked by\"", &[103]),
        ("issue in linkedIssues(DEMO-1)", &[101, 103]),
        ("issue in linkedIssues(DEMO-1, blocks)", &[103]),
        ("issue in linkedIssues(DEMO-1, \"is blocked by\")", &[]),
        ("filter = Private", demo),
        ("filter = 2", &[100, 101, 103]),
        // As `labels != ui`, it leaves out issues without labels.
        ("filter != Shared", &[]),
        ("lastViewed is EMPTY", all),
        ("lastViewed > -1d", &[]),
        ("cf[10] = 5", &[100]),
        ("\"Story points\" > 5", &[101]),
        ("cf[10] in (5, 13.5)", &[100, 101]),
        ("cf[10] != 5", &[101]),
        ("customfield_10 is EMPTY", &[102, 103, 104, 105, 106]),
        ("Team = Red", &[100]),
        ("Team != red", &[101]),
        ("Kickoff <= 2026-03-01", &[100]),
        ("Starts > \"2026-03-01 09:00\"", &[100]),
        ("Notes ~ milk", &[100]),
        ("Reviewer = currentUser()", &[100]),
        ("project = DEMO AND (labels = urgent OR NOT status != Done)", &[100, 101]),
    ] {
        let found = site.sorted(BEN, jql).await;
        if found != expected {
            wrong.push(format!("{jql}: {found:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn others_find_less_by_the_same_queries() {
    let mut site = Site::new().await;
    for (jql, expected) in [
        ("project = COND", [105].as_slice()),
        ("created > 0", &[100, 101, 104, 105]),
        ("text ~ crash", &[100]),
        ("comment ~ whisper", &[]),
        ("comment !~ whisper", &[100]),
        ("parent is EMPTY", &[100, 104, 105]),
        ("parent is not EMPTY", &[101]),
        ("parent != DEMO-2", &[101]),
        ("issueLinkType = Blocks", &[]),
        ("issueLinkType in (Blocks, Relates)", &[100, 101]),
        ("issueLinkType != Blocks", &[100, 101]),
        ("issue in linkedIssues(DEMO-1)", &[101]),
        ("attachments is not EMPTY", &[100]),
        ("timespent > 0", &[100]),
        ("worklogAuthor = acc-ben", &[100]),
        ("watcher = acc-ben", &[]),
        ("watcher = currentUser()", &[101]),
        ("watcher != currentUser()", &[]),
        ("voter = acc-ben", &[]),
        ("fixVersion in releasedVersions()", &[100]),
        ("filter = Shared", &[100, 101]),
        ("filter = Own", &[101]),
        ("project in projectsLeadByUser()", &[]),
        ("assignee != currentUser()", &[100]),
    ] {
        assert_eq!(site.sorted(CLEO, jql).await, expected, "{jql}");
    }
    assert_eq!(site.search(Some(NORA), "created > 0").await, Ok(vec![]));
    assert_eq!(site.search(None, "created > 0").await, Ok(vec![]));
    assert_eq!(site.search(None, "assignee = currentUser()").await, Ok(vec![]));
}

/// Each pair names something hidden and something that is not there.
const HIDDEN_AND_ABSENT: &[(&str, &str, &str)] = &[
    ("project = {}", "VAULT", "NOPEX"),
    ("project = {}", "vault", "nopex"),
    ("project = {}", "OLDVAULT", "OLDNOPEX"),
    ("project = {}", "2", "9"),
    ("project in (DEMO, {})", "VAULT", "NOPEX"),
    ("project != {}", "VAULT", "NOPEX"),
    ("project not in ({})", "VAULT", "NOPEX"),
    ("key = {}", "VAULT-1", "NOPEX-1"),
    ("key = {}", "DEMO-3", "DEMO-9"),
    ("key = {}", "COND-2", "COND-9"),
    ("key = {}", "GONE-8", "GONE-9"),
    ("key in (DEMO-1, {})", "VAULT-1", "NOPEX-1"),
    ("key > {}", "VAULT-1", "NOPEX-1"),
    ("id = {}", "103", "999"),
    ("id = '{}'", "103", "999"),
    ("parent = {}", "VAULT-1", "NOPEX-1"),
    ("parent != {}", "103", "999"),
    ("fixVersion = {}", "9.9", "8.8"),
    ("fixVersion = {}", "3", "9"),
    ("affectedVersion < {}", "9.9", "8.8"),
    ("component = {}", "Safe", "Nope"),
    ("component = {}", "2", "9"),
    ("component not in ({})", "safe", "nope"),
    ("level = {}", "'Board only'", "'Nobody only'"),
    ("level = {}", "1", "9"),
    ("filter = {}", "Private", "Nothing"),
    ("filter = {}", "1", "9"),
    ("filter != {}", "Private", "Nothing"),
    ("assignee = {}", "'Ben Boss'", "'Ben Bess'"),
    ("assignee = {}", "'ben@x.org'", "'bin@x.org'"),
    ("assignee in membersOf({})", "Board", "Bored"),
    ("issue in linkedIssues({})", "VAULT-1", "NOPEX-1"),
    ("issue in linkedIssues({})", "DEMO-3", "DEMO-9"),
    ("fixVersion in releasedVersions({})", "VAULT", "NOPEX"),
    ("fixVersion not in unreleasedVersions({})", "VAULT", "NOPEX"),
];

#[tokio::test]
async fn hidden_things_are_refused_in_the_words_for_absent_ones() {
    let mut site = Site::new().await;
    for place in [
        "{}",
        "NOT {}",
        "NOT NOT {}",
        "project = DEMO AND {}",
        "project = DEMO OR {}",
        "NOT ({} OR status = Done)",
        "{} AND {} ORDER BY key",
    ] {
        for (clause, hidden, absent) in HIDDEN_AND_ABSENT {
            let ask = |name: &str| place.replace("{}", &clause.replace("{}", name));
            let of_hidden = site.messages(CLEO, &ask(hidden)).await;
            let of_absent = site.messages(CLEO, &ask(absent)).await;
            let bare = |name: &str| name.trim_matches('\'').to_owned();
            let as_absent: Vec<String> =
                of_hidden.iter().map(|message| message.replace(&bare(hidden), &bare(absent))).collect();
            assert_eq!(as_absent, of_absent, "{}", ask(hidden));
            assert_eq!(of_absent.len(), 1, "{}", ask(absent));
        }
    }
}

#[tokio::test]
async fn no_query_shows_what_is_hidden() {
    let mut site = Site::new().await;
    let clauses = [
        "project != DEMO",
        "project is not EMPTY OR status is not EMPTY",
        "key != DEMO-1",
        "key not in (DEMO-1, DEMO-2)",
        "status != Done",
        "issuetype = Epic",
        "issuetype != Epic",
        "labels = hush",
        "labels != hush",
        "labels is EMPTY",
        "assignee = acc-ben",
        "assignee != acc-cleo",
        "summary ~ vault",
        "summary !~ vault",
        "text ~ board",
        "priority is EMPTY",
        "component != Core",
        "fixVersion != 1.0",
        "fixVersion > 1.0",
        "watcher = currentUser()",
        "issue in watchedIssues()",
        "issue not in watchedIssues()",
        "issue in linkedIssues(DEMO-1)",
        "filter = Shared",
        "filter != Shared",
        "level is EMPTY",
        "level is not EMPTY",
        "parent is EMPTY",
        "created > 0",
        "due is EMPTY",
        "votes = 0",
        "reporter = acc-ben",
        "resolution = Unresolved",
        "worklogAuthor = acc-ben",
        "attachments is EMPTY",
        "cf[10] is EMPTY",
        "lastViewed is EMPTY",
    ];
    for clause in clauses {
        for place in [
            "{}",
            "NOT ({})",
            "{} OR project = DEMO",
            "project = DEMO OR NOT {}",
            "{} ORDER BY parent, key",
            "NOT ({} AND created > 0)",
        ] {
            let jql = place.replace("{}", clause);
            let Ok(found) = site.search(Some(CLEO), &jql).await else { continue };
            let leaked: Vec<&i64> = found.iter().filter(|id| !CLEO_SEES.contains(id)).collect();
            assert!(leaked.is_empty(), "{jql}: {leaked:?}");
        }
    }
}

#[tokio::test]
async fn wrong_queries_are_refused_in_jiras_words() {
    let mut site = Site::new().await;
    for (jql, message) in [
        ("foo = 1", "Field 'foo' does not exist or you do not have permission to view it."),
        ("sprint = 1", "Field 'sprint' does not exist or you do not have permission to view it."),
        ("cf[99] = 1", "Field 'cf[99]' does not exist or you do not have permission to view it."),
        (
            "issue.property[a].b = 1",
            "Field 'issue.property[a].b' does not exist or you do not have permission to view it.",
        ),
        ("project ~ DEMO", "The operator '~' is not supported by the 'project' field."),
        ("summary = x", "The operator '=' is not supported by the 'summary' field."),
        ("text !~ x", "The operator '!~' is not supported by the 'text' field."),
        ("status WAS Done", "The operator 'was' is not supported by the 'status' field."),
        ("status CHANGED AFTER -1d", "The operator 'changed' is not supported by the 'status' field."),
        ("summary in test", "Operator 'in' does not support the non-list value '\"test\"' for field 'summary'."),
        ("status = (Done, 3)", "Operator '=' does not support the list value '(\"Done\", 3)' for field 'status'."),
        (
            "assignee = membersOf(Board)",
            "Operator '=' does not support the list value 'membersOf(Board)' for field 'assignee'.",
        ),
        (
            "assignee in currentUser()",
            "Operator 'in' does not support the non-list value 'currentUser()' for field 'assignee'.",
        ),
        ("status is Done", "Operator 'is' does not support searching for non-empty values for field 'status'."),
        (
            "created > EMPTY",
            "Operator '>' does not support the empty value representation 'EMPTY' for field 'created'.",
        ),
        (
            "assignee in EMPTY",
            "Operator 'in' does not support the empty value representation 'EMPTY' for field 'assignee'.",
        ),
        ("project in (DEMO, EMPTY)", "The field 'project' does not support searching for EMPTY values."),
        ("key in (DEMO-1, EMPTY)", "The field 'key' does not support searching for EMPTY values."),
        ("comment is EMPTY", "The field 'comment' does not support searching for EMPTY values."),
        ("project = NOPE", "The value 'NOPE' does not exist for the field 'project'."),
        ("status = Nope", "The value 'Nope' does not exist for the field 'status'."),
        ("status = 99", "A value with ID '99' does not exist for the field 'status'."),
        ("key = DEMO-99", "An issue with key 'DEMO-99' does not exist for field 'key'."),
        ("issue = bogus", "The issue key 'bogus' for field 'issue' is invalid."),
        ("summary ~ ''", "The field 'summary' does not support searching for an empty string."),
        ("text ~ AND", "Error"),
        ("text ~ 'AND'", "Unable to parse the text 'AND' for field 'text'."),
        ("assignee = bogus()", "Unable to find JQL function 'bogus()'."),
        ("status = currentUser()", "A value provided by the function 'currentUser' is invalid for the field 'status'."),
        (
            "created > currentUser()",
            "A date for the field 'created' provided by the function 'currentUser' is not valid.",
        ),
        (
            "key = currentUser()",
            "A value provided by the function 'currentUser' for the field 'key' is not a valid issue key.",
        ),
        ("votes = x", "Value 'x' is invalid for the 'votes' field. Votes must be a positive whole number."),
        (
            "timespent > x",
            "The value 'x' for field 'timespent' is invalid. Please specify a positive duration format; for example: '1h 30m', '2d'.",
        ),
        ("Team = Green", "The option 'Green' for field 'Team' does not exist."),
        ("assignee = nobody", "The value 'nobody' does not exist for the field 'assignee'."),
        (
            "assignee in membersOf(x)",
            "Function 'membersOf' can not generate a list of usernames for group 'x'; the group does not exist.",
        ),
        ("assignee in membersOf()", "Function 'membersOf' expected '1' arguments but received '0'."),
        ("type in standardIssueTypes(x)", "Function 'standardIssueTypes' expected '0' arguments but received '1'."),
        ("issue in linkedIssues(DEMO-1, x)", "Issue link type 'x' could not be found in function 'linkedIssues'."),
        ("status = Done ORDER BY bogus", "Not able to sort using field 'bogus'."),
        ("status = Done ORDER BY comment", "Field 'comment' does not support sorting."),
    ] {
        if message == "Error" {
            assert!(parse_strict(jql).is_err(), "{jql}");
            continue;
        }
        assert_eq!(site.messages(BEN, jql).await, [message], "{jql}");
    }
    let two = site.messages(BEN, "foo = 1 AND project = NOPE AND foo = 2").await;
    assert_eq!(two.len(), 2, "each message once: {two:?}");
    let anonymous = site.search(None, "issue in votedIssues()").await;
    assert_eq!(anonymous, Err(vec!["Function 'votedIssues' cannot be called as anonymous user.".to_owned()]));
}

#[tokio::test]
async fn orders_are_stable_and_put_empty_values_last() {
    let mut site = Site::new().await;
    for (order, expected) in [
        ("", [106, 105, 104, 103, 102, 101, 100]),
        ("ORDER BY key", [105, 106, 100, 101, 102, 104, 103]),
        ("ORDER BY created", [106, 105, 104, 103, 102, 101, 100]),
        ("ORDER BY created ASC", [100, 101, 102, 103, 104, 105, 106]),
        ("ORDER BY priority", [102, 100, 106, 105, 101, 104, 103]),
        ("ORDER BY priority ASC", [101, 106, 105, 102, 100, 104, 103]),
        ("ORDER BY assignee", [103, 102, 100, 104, 106, 105, 101]),
        ("ORDER BY due, key DESC", [100, 103, 104, 102, 101, 106, 105]),
        ("ORDER BY cf[10] DESC", [101, 100, 106, 105, 104, 103, 102]),
        ("ORDER BY Team", [100, 101, 106, 105, 104, 103, 102]),
        ("ORDER BY parent ASC", [101, 104, 106, 105, 103, 102, 100]),
        ("ORDER BY votes, id ASC", [100, 105, 106, 101, 102, 104, 103]),
    ] {
        let found = site.search(Some(BEN), &format!("created > 0 {order}")).await;
        assert_eq!(found, Ok(expected.to_vec()), "{order}");
    }
    for field in crate::search::fields::SYSTEM_FIELDS.iter().filter(|field| field.orderable) {
        let found = site.search(Some(BEN), &format!("created > 0 ORDER BY {} DESC", field.name)).await;
        assert_eq!(found.map(|ids| ids.len()), Ok(7), "{}", field.name);
    }
}

#[tokio::test]
async fn pages_follow_one_another() {
    let mut site = Site::new().await;
    let asker = Asker::of_policy(policy(), Some(CLEO), NOW);
    let compiled = compile(&mut site.tx, &asker, &parse("created > 0").unwrap()).await.unwrap();
    let mut seen = Vec::new();
    for start in [Start::Offset(0), Start::After(104), Start::After(100)] {
        for row in site.tx.query(compiled.select(&asker, start, 2), &[]).await.unwrap() {
            seen.push(row.get::<i64>("id").unwrap());
        }
    }
    assert_eq!(seen, CLEO_SEES);
}

#[tokio::test]
async fn saved_filters_must_not_go_in_circles() {
    let mut site = Site::new().await;
    assert_eq!(site.search(Some(CLEO), "filter = Circle").await, Ok(vec![]));
    let asker = Asker::of_policy(policy(), Some(CLEO), NOW);
    let query = parse_strict("filter = Circle").unwrap();
    let Err(NotCompiled::Said(messages)) = compile_within(&mut site.tx, &asker, &query, Some(4)).await else {
        panic!()
    };
    assert_eq!(
        messages,
        [
            "Field 'filter' with value 'Circle' matches filter 'Circle' and causes a cyclical reference, this query can not be executed and should be edited."
        ]
    );
}

#[tokio::test]
async fn large_queries_run_or_are_refused() {
    let mut site = Site::new().await;
    let keys: Vec<String> = (1..=5_000).map(|number| format!("{}", 100 + number % 7)).collect();
    let found = site.sorted(BEN, &format!("id in ({})", keys.join(","))).await;
    assert_eq!(found.len(), 7);
    let clauses = vec!["status = Done"; 500].join(" OR ");
    assert_eq!(site.sorted(BEN, &clauses).await, [101]);
    let nested = format!("{}status = Done{}", "NOT (".repeat(50), ")".repeat(50));
    assert_eq!(site.sorted(BEN, &nested).await, [101]);
    let texts = ["text ~ 'a b c d e f g h i j k l m n o p'"; 400].join(" OR ");
    assert_eq!(site.messages(BEN, &texts).await, ["The query is too complex. Use fewer clauses or values."]);
    let parents = ["parent is EMPTY"; 11].join(" OR ");
    assert_eq!(site.messages(BEN, &parents).await, ["The query is too complex. Use fewer clauses or values."]);
    assert_eq!(site.sorted(BEN, "labels = '\\u0000'").await, [] as [i64; 0]);
}

#[tokio::test]
async fn suggestions_offer_only_what_is_visible() {
    let mut site = Site::new().await;
    for (user, field, typed, expected) in [
        (BEN, "project", "", 3),
        (CLEO, "project", "", 2),
        (CLEO, "project", "vault", 0),
        (CLEO, "component", "", 2),
        (BEN, "component", "", 3),
        (CLEO, "fixVersion", "9", 0),
        (CLEO, "labels", "", 2),
        (BEN, "labels", "hu", 1),
        (CLEO, "level", "", 0),
        (CLEO, "filter", "", 3),
        (CLEO, "assignee", "be", 0),
        (CLEO, "assignee", "Ben Boss", 1),
        (BEN, "assignee", "be", 1),
        (BEN, "assignee", "cle", 1),
        (CLEO, "status", "do", 2),
        (CLEO, "statusCategory", "do", 2),
        (NORA, "project", "", 0),
    ] {
        let asker = Asker::of_policy(policy(), Some(user), NOW);
        let kind = &system_field(field).unwrap().kind;
        let offered = found(&mut site.tx, &asker, kind, typed).await.unwrap();
        assert_eq!(offered.len(), expected, "{user} {field} {typed}");
    }
}

#[tokio::test]
async fn a_shared_query_names_nothing_that_its_reader_does_not_see() {
    let mut site = Site::new().await;
    let text = "project in (DEMO, vault) AND (key = VAULT-1 OR parent = DEMO-3 OR key = DEMO-1) AND summary ~ VAULT";
    for (user, expected) in [
        (Some(BEN), text),
        (Some(CLEO), "project IN (DEMO, 2) AND (key = 103 OR parent = 102 OR key = DEMO-1) AND summary ~ VAULT"),
        (None, "project IN (1, 2) AND (key = 103 OR parent = 102 OR key = 100) AND summary ~ VAULT"),
    ] {
        let reader = Asker::of_policy(policy(), user, NOW);
        assert_eq!(sanitised(&mut site.tx, &reader, text).await.unwrap(), expected);
    }
}

/// The shape of the conditions, so that a change of it is seen.
#[tokio::test]
async fn conditions_are_bound_values_in_constant_text() {
    let mut site = Site::new().await;
    let asker = Asker::of_policy(policy(), Some(BEN), NOW);
    for (jql, expected) in [
        ("status = Done", "i.status_id IN [3]"),
        ("status != Done", "(i.status_id IS NOT NULL AND NOT i.status_id IN [3])"),
        ("assignee in (acc-ben, EMPTY)", "(i.assignee_id IN [1] OR i.assignee_id IS NULL)"),
        ("assignee is not EMPTY", "i.assignee_id IS NOT NULL"),
        (
            "NOT (status = Done OR due is EMPTY)",
            "((i.status_id IS NOT NULL AND NOT i.status_id IN [3]) AND i.due_date IS NOT NULL)",
        ),
        ("due < 2026-03-10", "i.due_date {{c}} < $1=Text(\"2026-03-10\")"),
        ("created >= 5", "i.created_at_ms >= $1=Int(5)"),
        (
            "summary ~ \"'; DROP\"",
            "(i.summary_folded LIKE $1=Text(\"%';%\") ESCAPE '\\' AND i.summary_folded LIKE $2=Text(\"%drop%\") ESCAPE '\\')",
        ),
        (
            "labels != ui",
            "(EXISTS (SELECT 1 FROM jira_issue_label x WHERE x.issue_id = i.id) AND NOT EXISTS (SELECT 1 FROM jira_issue_label x WHERE x.issue_id = i.id AND LOWER(x.label) = LOWER($1=Text(\"ui\"))))",
        ),
        ("component is EMPTY", "NOT EXISTS (SELECT 1 FROM jira_issue_component x WHERE x.issue_id = i.id)"),
        ("parent is not EMPTY", "i.parent_id IN (SELECT seen.id FROM seen)"),
        (
            "cf[10] > 5",
            "EXISTS (SELECT 1 FROM jira_issue_value x WHERE x.issue_id = i.id AND x.field_id = $1=Int(10) AND CASE WHEN x.field_id = $2=Int(10) THEN CAST(x.value AS DOUBLE PRECISION) END > CAST(CAST($3=Text(\"5\") AS TEXT) AS DOUBLE PRECISION))",
        ),
        ("key > DEMO-2", "(i.project_id = $1=Int(1) AND i.number > $2=Int(2))"),
    ] {
        let compiled = compile(&mut site.tx, &asker, &parse(jql).unwrap()).await.unwrap();
        assert_eq!(compiled.text(), expected, "{jql}");
    }
}
