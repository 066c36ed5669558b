//! The decision engine and its naive twin agree.
//!
//! `PORTCULLIS_TWIN_QUESTIONS=100000000` asks more questions, `PORTCULLIS_TWIN_SEED=n` starts at another world.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use portcullis_authz::Policy;
use portcullis_authz::decide::{Fact, project_visible};
use portcullis_authz::op::ROWS;
use portcullis_authz::policy::Match;
use portcullis_authz::row::{Expr, Row, When};
use portcullis_model::{AccessKind, GlobalPermission, ProjectId, ProjectPermission, RoleId, UserId};
use portcullis_testkit::twin::random::{change, shrink};
use portcullis_testkit::twin::rules::passes;
use portcullis_testkit::twin::world::{Grant, Issue, World};
use portcullis_testkit::twin::{Answer, Question, Rng};

/// Questions asked about one world before the next is drawn.
const QUESTIONS_PER_WORLD: u64 = 250;
const THREADS: u64 = 2;

fn number_from_environment(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.replace('_', "").parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")),
        Err(_) => otherwise,
    }
}

/// How often each row was allowed, refused for a permission and hidden.
#[derive(Default)]
struct Seen {
    allowed: AtomicU64,
    permission: AtomicU64,
    hidden: AtomicU64,
}

#[test]
fn decisions_agree() {
    let questions = number_from_environment("PORTCULLIS_TWIN_QUESTIONS", 1_000_000);
    let first_seed = number_from_environment("PORTCULLIS_TWIN_SEED", 20_261_125);
    let worlds = questions.div_ceil(QUESTIONS_PER_WORLD);
    let seen: Vec<Seen> = ROWS.iter().map(|_| Seen::default()).collect();
    let next = AtomicU64::new(0);
    let failed = AtomicBool::new(false);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= worlds || failed.load(Ordering::Relaxed) {
                        return;
                    }
                    if let Err(text) = agree_in_world(first_seed + number, &seen) {
                        failed.store(true, Ordering::Relaxed);
                        panic!("{text}");
                    }
                }
            });
        }
    });
    let (asked, elapsed) = (worlds * QUESTIONS_PER_WORLD, start.elapsed());
    let sum = |of: fn(&Seen) -> &AtomicU64| -> u64 { seen.iter().map(|seen| of(seen).load(Ordering::Relaxed)).sum() };
    println!(
        "{asked} questions in {elapsed:.1?}, {:.0} per second: {} allowed, {} without permission, {} hidden",
        asked as f64 / elapsed.as_secs_f64(),
        sum(|seen| &seen.allowed),
        sum(|seen| &seen.permission),
        sum(|seen| &seen.hidden),
    );
    // A generator that never gets through proves nothing about what is behind the doors it did not open.
    if questions >= 1_000_000 {
        for (row, seen) in ROWS.iter().zip(&seen) {
            let allowed = seen.allowed.load(Ordering::Relaxed) > 0;
            assert_eq!(allowed, can_be_allowed(row, &row.permission), "whether `{}` was ever allowed", row.id);
        }
    }
}

/// Whether some caller could ever satisfy the rule.
fn can_be_allowed(row: &Row, rule: &Expr) -> bool {
    match rule {
        Expr::NeverKnown(_) => false,
        Expr::Caller(caller) => {
            caller.connect && row.access.contains(AccessKind::Connect)
                || caller.forge && row.access.contains(AccessKind::Forge)
                || caller.oauth && row.access.contains(AccessKind::OAuth)
        }
        Expr::All(rules) => rules.iter().all(|rule| can_be_allowed(row, rule)),
        Expr::Any(rules) => rules.iter().any(|rule| can_be_allowed(row, rule)),
        Expr::Cases(cases) => {
            cases.iter().any(|(when, rule)| !matches!(when, When::NeverKnown(_)) && can_be_allowed(row, rule))
        }
        _ => true,
    }
}

fn agree_in_world(seed: u64, seen: &[Seen]) -> Result<(), String> {
    let mut rng = Rng::new(seed);
    let world = World::random(&mut rng);
    let policy = world.compile();
    if let Err(what) = same_policy(&world, &policy) {
        return Err(format!("{what}\nseed {seed} (PORTCULLIS_TWIN_SEED={seed} starts here)\n{world:#?}"));
    }
    for _ in 0..QUESTIONS_PER_WORLD {
        let question = Question::random(&mut rng, &world);
        let engine = question.ask(&policy, &world);
        let naive = world.naive_decide(&question);
        if engine != naive {
            return Err(report(seed, world, question));
        }
        if matches!(question.access, AccessKind::Operator | AccessKind::System) {
            continue;
        }
        let seen = &seen[usize::from(question.row.number)];
        let counter = match engine {
            Answer::Allowed => &seen.allowed,
            Answer::Refused { reason: "permission", .. } => &seen.permission,
            Answer::Refused { reason: "not_visible", .. } => &seen.hidden,
            Answer::Refused { .. } => continue,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The smallest world and question that still differ, and the seed.
fn report(seed: u64, world: World, question: Question) -> String {
    let answer = question.ask(&world.compile(), &world);
    let (world, question) = shrink(world, question, |world, question| {
        let smaller = question.ask(&world.compile(), world);
        smaller == answer && smaller != world.naive_decide(question)
    });
    format!(
        "engine: {:?}\ntwin:   {:?}\nseed {seed} (PORTCULLIS_TWIN_SEED={seed} starts here)\n{question:#?}\n{world:#?}",
        question.ask(&world.compile(), &world),
        world.naive_decide(&question),
    )
}

/// Everything else a policy can be asked, over every account, project, issue, role and permission of the world.
fn same_policy(world: &World, policy: &Policy) -> Result<(), String> {
    let mut callers: Vec<Option<i64>> = (1..=8).map(Some).collect();
    callers.push(None);
    callers.push(Some(-1));
    for user in callers {
        let id = user.map(UserId);
        let filter = policy.visibility(id);
        for permission in GlobalPermission::ALL {
            let naive = world.holds_global(user, permission.key());
            expect(policy.holds_global(id, permission), naive, || format!("{permission} of {user:?}"))?;
        }
        if let (Some(user), Some(id)) = (user, id) {
            expect(policy.has_access(id), world.has_access(user), || format!("access of {user}"))?;
            expect(policy.is_site_admin(id), world.is_site_admin(user), || format!("site admin {user}"))?;
        }
        for project in -1..=4 {
            let naive = world.project_visible(user, project);
            expect(project_visible(policy, id, ProjectId(project)), naive, || {
                format!("project {project} for {user:?}")
            })?;
            if let (Some(user), Some(id)) = (user, id) {
                for role in 0..=4 {
                    let naive = world.has_role(user, project, role);
                    let engine = policy.has_role(id, ProjectId(project), RoleId(role));
                    expect(engine, naive, || format!("role {role} of {user} in {project}"))?;
                }
            }
            let issues = world.issues.iter().filter(|issue| issue.project == project).map(Some);
            for issue in issues.chain([None]) {
                same_permissions(world, policy, user, project, issue)?;
            }
        }
        for issue in &world.issues {
            let level = policy.in_level(id, &issue.facts());
            let naive = world.in_level(user, issue);
            expect(level.is_ok(), naive, || format!("level of issue {} for {user:?}", issue.id))?;
            if let Ok(Some(found)) = level {
                let members = world.levels.iter().filter(|level| Some(level.id) == issue.level);
                let members = members.flat_map(|level| &level.members);
                witness(world, members, found, user, issue.project, Some(issue))?;
            }
            let naive = world.issue_visible(user, issue);
            expect(passes(&filter, world, issue), naive, || {
                format!("issue {} in the filter of {user:?}: {filter:?}", issue.id)
            })?;
        }
    }
    Ok(())
}

fn same_permissions(
    world: &World,
    policy: &Policy,
    user: Option<i64>,
    project: i64,
    issue: Option<&Issue>,
) -> Result<(), String> {
    let id = user.map(UserId);
    let facts = issue.map(Issue::facts);
    let all = policy.permissions_in(id, ProjectId(project), facts.as_ref());
    for permission in ProjectPermission::ALL {
        let naive = world.holds(user, permission.key(), project, issue);
        let found = policy.holds(id, permission, ProjectId(project), facts.as_ref());
        let what = || format!("{permission} of {user:?} in project {project}, issue {:?}", issue.map(|issue| issue.id));
        expect(found.is_some(), naive, what)?;
        expect(all.contains(permission), naive, what)?;
        if issue.is_none() {
            let naive = world.could_hold(user, permission.key(), project);
            expect(policy.could_hold(id, permission, ProjectId(project)), naive, || format!("could be: {}", what()))?;
            let depends = !world.participant_grants(permission.key(), project).is_empty();
            expect(policy.depends_on_issue(permission, ProjectId(project)), depends, what)?;
        }
        if let Some(found) = found {
            let scheme = world.projects.iter().find(|one| one.id == project).map(|one| one.scheme);
            let grants = world.schemes.iter().filter(|one| Some(one.id) == scheme).flat_map(|scheme| &scheme.grants);
            let grants = grants.filter(|grant| grant.permission == permission.key());
            witness(world, grants, found, user, project, issue)?;
        }
    }
    Ok(())
}

/// The grant that the engine names really gives it.
fn witness<'a>(
    world: &World,
    mut grants: impl Iterator<Item = &'a Grant>,
    found: Match,
    user: Option<i64>,
    project: i64,
    issue: Option<&Issue>,
) -> Result<(), String> {
    let grant =
        grants.find(|grant| grant.id == found.grant.0).ok_or_else(|| format!("{found:?} is not one of the grants"))?;
    let project = world.project_there(project).ok_or("the project is not there")?;
    expect(found.holder, grant.holder().holder, || format!("holder of {grant:?}"))?;
    expect(world.is_holder(user, grant, project, issue), true, || format!("{grant:?} gives it to {user:?}"))
}

fn expect<T: PartialEq + std::fmt::Debug>(engine: T, naive: T, what: impl FnOnce() -> String) -> Result<(), String> {
    if engine == naive { Ok(()) } else { Err(format!("{}\nengine: {engine:?}\ntwin:   {naive:?}", what())) }
}

#[test]
fn policy_changed_step_by_step_equals_one_compiled_from_scratch() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let mut world = World::random(&mut rng);
        let mut policy = world.compile();
        let mut next_grant = 10_000;
        for step in 0..30 {
            let changed = change(&mut rng, &mut world, &mut next_grant);
            changed.tell(&mut policy, &world);
            let scratch = world.compile();
            let checked = same_policy(&world, &policy);
            checked.unwrap_or_else(|what| panic!("seed {seed}, step {step}, {changed:?}: {what}\n{world:#?}"));
            for user in (1..=8).map(|id| Some(UserId(id))).chain([None]) {
                let (changed_step_by_step, from_scratch) = (policy.visibility(user), scratch.visibility(user));
                assert_eq!(changed_step_by_step, from_scratch, "seed {seed}, step {step}, {changed:?}");
            }
            for _ in 0..40 {
                let question = Question::random(&mut rng, &world);
                let (changed_step_by_step, from_scratch) =
                    (question.ask(&policy, &world), question.ask(&scratch, &world));
                assert_eq!(changed_step_by_step, from_scratch, "seed {seed}, step {step}, {changed:?}: {question:#?}");
            }
        }
    }
}

type Mutation = (&'static str, fn(&mut World, &mut Question));

/// Faults that an engine could have. Each is put between the twin and the engine, which must then be caught.
const MUTATIONS: [Mutation; 20] = [
    ("a grant is lost", |world, _| {
        for scheme in &mut world.schemes {
            scheme.grants.pop();
        }
    }),
    ("a member of a level is lost", |world, _| {
        for level in &mut world.levels {
            level.members.pop();
        }
    }),
    ("levels bind nobody", |world, _| world.issues.iter_mut().for_each(|issue| issue.level = None)),
    ("levels of other schemes count", |world, _| {
        let scheme_of =
            |world: &World, id: i64| world.levels.iter().find(|one| one.id == id).map(|one| one.security_scheme);
        for position in 0..world.issues.len() {
            let issue = world.issues[position].clone();
            let scheme = issue.level.and_then(|level| scheme_of(world, level));
            for project in world.projects.iter_mut().filter(|one| one.id == issue.project && scheme.is_some()) {
                project.security_scheme = scheme;
            }
        }
    }),
    ("deactivated accounts are active", |world, _| world.users.iter_mut().for_each(|user| user.active = true)),
    ("trashed projects are there", |world, _| world.projects.iter_mut().for_each(|project| project.trashed = false)),
    ("group actors of roles are lost", |world, _| {
        for project in &mut world.projects {
            project.actors.retain(|actor| actor.actor_type == "atlassian-user-role-actor");
        }
    }),
    ("what everyone has globally is lost", |world, _| world.anyone_global.clear()),
    ("the reporter is taken for the assignee", |world, _| {
        world.issues.iter_mut().for_each(|issue| issue.assignee = issue.reporter);
    }),
    ("group pickers are lost", |world, _| world.issues.iter_mut().for_each(|issue| issue.group_fields.clear())),
    ("app users are people", |world, _| world.users.iter_mut().for_each(|user| user.account_type = "atlassian")),
    ("everyone administers people and groups", |world, _| {
        world.groups.iter_mut().for_each(|group| group.site_admin = true);
    }),
    ("app access rules are forgotten", |_, question| question.blocked.clear()),
    ("ACT_AS_USER and others come with ADMIN", |_, question| {
        if let Some(scopes) = question.connect.as_mut().filter(|scopes| scopes.contains(&"ADMIN")) {
            scopes.extend(["ACT_AS_USER", "ACCESS_EMAIL_ADDRESSES"]);
        }
    }),
    ("write implies read", |_, question| {
        if let Some(scopes) = question.scopes.as_mut().filter(|scopes| scopes.contains(&"write:jira-work")) {
            scopes.push("read:jira-work");
        }
    }),
    ("no scopes are no restriction", |_, question| {
        if question.scopes.is_none() {
            question.scopes = Some(portcullis_model::scope_names::SCOPE_NAMES.to_vec());
        }
    }),
    ("an app with a user is taken for the app alone", |_, question| {
        question.app_only |= question.connect.is_some() && question.user.is_some();
    }),
    ("an unknown restriction is none", |_, question| {
        if question.targets.restriction == Fact::Unknown {
            question.targets.restriction = Fact::Known(None);
        }
    }),
    ("a missing owner is the caller", |_, question| {
        if question.targets.owner == Fact::Missing {
            question.targets.owner = Fact::Known(question.user);
        }
    }),
    ("the second issue is not looked at", |_, question| {
        if question.targets.other_issue.known().is_some() {
            question.targets.other_issue = question.targets.issue;
        }
    }),
];

#[test]
fn every_mutation_is_caught() {
    for (name, mutate) in MUTATIONS {
        let caught = (0..800_u64).find(|seed| {
            let mut rng = Rng::new(*seed);
            let world = World::random(&mut rng);
            (0..QUESTIONS_PER_WORLD).any(|_| {
                let question = Question::random(&mut rng, &world);
                let (mut other_world, mut other_question) = (world.clone(), question.clone());
                mutate(&mut other_world, &mut other_question);
                let engine = other_question.ask(&other_world.compile(), &other_world);
                engine != world.naive_decide(&question)
            })
        });
        let worlds = caught.unwrap_or_else(|| panic!("not caught: {name}")) + 1;
        println!("{name}: caught within {} questions", worlds * QUESTIONS_PER_WORLD);
    }
}
