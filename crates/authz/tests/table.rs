//! What the operation table promises as a whole.

use portcullis_authz::op::{self, ROWS};
use portcullis_authz::row::{Area, ConnectRule, Expr, Locate, Operation, Row, Source, When};
use portcullis_model::mode::{HasModeKind, ModeKind};
use portcullis_model::scope_names::SCOPE_NAMES;
use portcullis_model::{AccessKind, GlobalPermission, ScopeSet};
use std::collections::BTreeSet;

/// The source of the generated rows, read here as plain text only.
const TABLE: &str = include_str!("../operations.toml");

fn row(id: &str) -> &'static Row {
    ROWS.iter().copied().find(|row| row.id == id).unwrap_or_else(|| panic!("no row `{id}`"))
}

#[test]
fn every_jira_platform_operation_has_a_row() {
    assert_eq!(ROWS.iter().filter(|row| row.area == Area::Jira).count(), 616);
}

#[test]
fn number_is_the_position() {
    for (position, row) in ROWS.iter().enumerate() {
        assert_eq!(usize::from(row.number), position, "{}", row.id);
    }
}

#[test]
fn ids_and_routes_are_unique() {
    let ids: BTreeSet<&str> = ROWS.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), ROWS.len());
    let routes: BTreeSet<(&str, &str)> = ROWS.iter().map(|row| (row.method.name(), row.path)).collect();
    assert_eq!(routes.len(), ROWS.len());
}

/// The full comparison is `xtask operations --check`, a test of xtask; this one needs no other crate.
#[test]
fn rows_are_those_of_the_source() {
    let cells = |name: &str| -> Vec<&str> {
        let start = format!("{name} = \"");
        TABLE.lines().filter_map(|line| line.strip_prefix(start.as_str())?.strip_suffix('"')).collect()
    };
    assert_eq!(cells("id"), ROWS.iter().map(|row| row.id).collect::<Vec<_>>());
    assert_eq!(cells("path"), ROWS.iter().map(|row| row.path).collect::<Vec<_>>());
    assert_eq!(cells("method"), ROWS.iter().map(|row| row.method.name()).collect::<Vec<_>>());
    let modes = ROWS.iter().map(|row| match row.mode {
        ModeKind::Read => "read",
        ModeKind::Write => "write",
        ModeKind::Policy => "policy",
    });
    assert_eq!(cells("mode"), modes.collect::<Vec<_>>());
}

#[test]
fn unclear_permissions_ask_for_administer_and_say_why() {
    let unclear: Vec<_> = ROWS.iter().filter(|row| matches!(row.source, Source::Unclear(_))).collect();
    assert_eq!(unclear.len(), 13);
    for row in unclear {
        assert!(matches!(row.source, Source::Unclear(reason) if !reason.is_empty()), "{}", row.id);
        assert!(matches!(row.permission, Expr::Global(GlobalPermission::Administer)), "{}", row.id);
    }
}

#[test]
fn scope_names_are_sorted_and_unique() {
    assert!(SCOPE_NAMES.is_sorted_by(|a, b| a < b));
    assert!(SCOPE_NAMES.len() <= 256);
}

#[test]
fn every_scope_of_the_source_has_its_bit() {
    let mut inside = false;
    let mut seen = 0;
    for line in TABLE.lines() {
        inside |= ["classic = [", "granular = [", "extra_scopes = ["].iter().any(|start| line.starts_with(start));
        if inside {
            for name in line.split('"').skip(1).step_by(2) {
                assert!(ScopeSet::default().insert(name), "{name}");
                seen += 1;
            }
            inside = !line.ends_with(']');
        }
    }
    let named: usize =
        ROWS.iter().flat_map(|row| [row.classic, row.granular]).flatten().map(|set| set.names().count()).sum();
    assert!(seen > named, "extra scopes come on top of the {named} named in rows");
}

#[test]
fn scopes_that_no_row_asks_for_are_known_too() {
    for name in
        ["read:me", "offline_access", "manage:jira-data-provider", "report:personal-data", "read:sprint:jira-software"]
    {
        assert!(ScopeSet::default().insert(name), "{name}");
    }
    assert!(!ScopeSet::default().insert("write:everything"));
}

#[test]
fn empty_scope_set_is_not_a_missing_one() {
    let asks_for_none = row("getServerInfo");
    assert_eq!(asks_for_none.classic, Some(ScopeSet::EMPTY));
    let has_no_granular_set = row("createPriority");
    assert!(has_no_granular_set.classic.is_some_and(|set| !set.is_empty()));
    assert_eq!(has_no_granular_set.granular, None);
}

#[test]
fn credential_kinds_follow_from_the_cells() {
    for row in ROWS.iter().filter(|row| row.area == Area::Jira) {
        let scoped = row.classic.is_some() || row.granular.is_some();
        for kind in [AccessKind::ScopedApiToken, AccessKind::OAuth, AccessKind::Forge] {
            assert_eq!(row.access.contains(kind), scoped, "{} {}", row.id, kind.word());
        }
        assert_eq!(row.access.contains(AccessKind::Connect), row.connect != ConnectRule::Inaccessible, "{}", row.id);
        assert_eq!(row.access.contains(AccessKind::Anonymous), row.anonymous, "{}", row.id);
        assert!(row.access.contains(AccessKind::ApiToken) && row.access.contains(AccessKind::Session), "{}", row.id);
    }
}

#[test]
fn no_app_reaches_what_is_ours() {
    // The two paths of the API gateway outside a site are made for apps, and so is what a Connect app asks about itself.
    let ours = |row: &&&Row| !matches!(row.area, Area::Jira | Area::Gateway) && row.id != "connectAddonInfo";
    for row in ROWS.iter().filter(ours) {
        assert!(matches!(row.source, Source::Ours), "{}", row.id);
        for kind in [AccessKind::OAuth, AccessKind::Connect, AccessKind::Forge, AccessKind::ScopedApiToken] {
            assert!(!row.access.contains(kind), "{} {}", row.id, kind.word());
        }
    }
}

#[test]
fn open_operations_are_ours_and_ask_for_nothing() {
    let listed: Vec<String> = include_str!("../open-operations.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_owned)
        .collect();
    let open: Vec<_> = ROWS.iter().filter(|row| row.open.is_some()).collect();
    assert_eq!(
        listed,
        open.iter().map(|row| format!("{} {} {}", row.id, row.method.name(), row.path)).collect::<Vec<_>>()
    );
    for row in open {
        assert_ne!(row.area, Area::Jira, "{}", row.id);
        assert!(row.anonymous && matches!(row.permission, Expr::Nothing), "{}", row.id);
    }
}

#[test]
fn rights_change_only_in_policy_mode() {
    for id in [
        "createUser",
        "addUserToGroup",
        "createPermissionGrant",
        "assignPermissionScheme",
        "addActorUsers",
        "addSecurityLevelMembers",
    ] {
        assert_eq!(row(id).mode, ModeKind::Policy, "{id}");
    }
    for row in ROWS.iter().filter(|row| row.area == Area::Management || row.area == Area::Console) {
        assert_ne!(row.mode, ModeKind::Write, "{}", row.id);
    }
    assert_eq!(<op::UpdateProject as Operation>::Mode::KIND, op::UpdateProject::ROW.mode);
}

/// A condition that is never known does not hold; what comes after it must not be open to everyone.
#[test]
fn unknown_condition_is_never_followed_by_an_open_case() {
    fn visit(id: &str, rule: &Expr) {
        match rule {
            Expr::All(rules) | Expr::Any(rules) => rules.iter().for_each(|rule| visit(id, rule)),
            Expr::Cases(cases) => {
                let unknown = cases.iter().any(|(when, _)| matches!(when, When::NeverKnown(_)));
                for (when, rule) in *cases {
                    visit(id, rule);
                    assert!(!(unknown && *when == When::Otherwise && matches!(rule, Expr::Nothing)), "{id}");
                }
            }
            _ => {}
        }
    }
    ROWS.iter().for_each(|row| visit(row.id, &row.permission));
}

#[test]
fn path_parameters_of_locate_exist() {
    for row in ROWS {
        let parameters: Vec<&str> = match row.locate {
            Locate::OnIssue(issue, _, thing) => vec![issue, thing],
            Locate::Project(name)
            | Locate::ProjectUpdate(name)
            | Locate::Issue(name)
            | Locate::IssueAndUser(name)
            | Locate::Attachment(name)
            | Locate::Version(name)
            | Locate::Component(name)
            | Locate::IssueLink(name)
            | Locate::Filter(name)
            | Locate::CommentById(name) => vec![name],
            _ => vec![],
        };
        for name in parameters {
            assert!(row.path.contains(&format!("{{{name}}}")), "{} {name}", row.id);
        }
    }
}
