//! How fast Portcullis decides, and how much faster than Cedar and Casbin, on the same questions in the same run.
//!
//! `cargo run --release -p decision-bench [-- small|large] [alone]`; `alone` leaves the peers out. Nothing here fails on a time; what fails is a disagreement.

mod casbin_peer;
mod cedar;
mod question;
mod random;
mod timing;
mod token;
mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use portcullis_authz::Policy;
use portcullis_authz::policy::UserFacts;
use portcullis_model::{GroupId, ProjectPermission, UserId};

use casbin_peer::Casbin;
use cedar::{Cedar, Model};
use question::Question;
use random::Random;
use timing::{Samples, clock_ns, resident_mib, row, show};
use world::{LARGE, SMALL, Size, World};

const QUESTIONS: usize = 1 << 16;
const BATCH: usize = 64;
const PASSES: usize = 4;
const COPIES: usize = 8;
const PEER_TIME_MAX: Duration = Duration::from_secs(6);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let alone = words.iter().any(|word| word == "alone");
    let wanted = |size: Size| words.iter().all(|word| word == "alone" || word == size.name);
    println!("Reading the clock takes {}; it is part of every p99 below, and of no median.", show(clock_ns()));
    if wanted(SMALL) {
        measure(SMALL, alone, 300.0, None);
    }
    if wanted(LARGE) {
        measure(LARGE, alone, 1_000.0, Some(5_000.0));
    }
}

fn measure(size: Size, alone: bool, median_max_ns: f64, p99_max_ns: Option<f64>) {
    let Size { name, users, groups, projects, schemes, issues } = size;
    println!("\n## {name}: {users} users, {groups} groups, {projects} projects, {schemes} schemes, {issues} issues\n");
    let world = World::new(size);
    let questions = question::draw(&world, QUESTIONS, 7);
    let start = Instant::now();
    let policy = world.compile();
    let compiled_ns = start.elapsed().as_nanos() as f64;
    // Several, so that what the allocator had left over does not count.
    let before = resident_mib();
    let copies = vec![policy.clone(); COPIES];
    println!("Compiled in {}; {:.1} MiB.", show(compiled_ns), (resident_mib() - before) / COPIES as f64);
    drop(copies);
    let (allows, refusals): (Vec<Question>, Vec<Question>) =
        questions.iter().cloned().partition(|question| question.ask(&policy).is_allow());
    let allowed = allows.len();
    println!("{QUESTIONS} questions, {:.0} % allowed.\n", 100.0 * allowed as f64 / QUESTIONS as f64);
    println!("| what | measured | limit | of limit |\n|---|---|---|---|");

    let mut batches = decide_all(&policy, &questions, PASSES);
    let mut singles = Samples::default();
    for _ in 0..PASSES {
        for batch in questions.chunks_exact(BATCH) {
            let located = batch.to_vec();
            for question in &located {
                let start = Instant::now();
                black_box(question.ask(black_box(&policy)));
                singles.push(start.elapsed(), 1);
            }
        }
    }
    row("full decision, median", batches.median(), Some(median_max_ns));
    row("full decision, mean", batches.mean(), None);
    row("full decision that allows, median", decide_all(&policy, &allows, PASSES).median(), None);
    row("full decision that refuses, median", decide_all(&policy, &refusals, PASSES).median(), None);
    row("full decision, p99", singles.percentile(99.0), p99_max_ns);
    row("full decision, p99.9", singles.percentile(99.9), None);

    for question in &questions[..4_096] {
        let Question { user, project, issue, .. } = question;
        let all = policy.permissions_in(*user, *project, issue.as_ref());
        for permission in ProjectPermission::ALL {
            let one = policy.holds(*user, permission, *project, issue.as_ref());
            assert_eq!(all.contains(permission), one.is_some(), "{permission:?} {question:?}");
        }
    }
    let mut all = Samples::default();
    for batch in questions.chunks_exact(16) {
        let start = Instant::now();
        for question in batch {
            black_box(policy.permissions_in(question.user, question.project, question.issue.as_ref()));
        }
        all.push(start.elapsed(), batch.len());
    }
    row("all permissions of a user in a project, median", all.median(), Some(2_000.0));

    let ours_changed = change(policy.clone(), &world, &questions);
    row("membership change and the next decision, median", ours_changed, Some(10_000.0));
    token::measure(users);

    if alone {
        return;
    }
    println!("\n| peer, the permission part alone | made in | median | mean | Portcullis is faster: median | mean |");
    println!("|---|---|---|---|---|---|");
    for model in [Model::PerPermission, Model::PerScheme, Model::Flat] {
        let start = Instant::now();
        let mut cedar = Cedar::new(&world, model);
        let made = start.elapsed();
        let name = format!("Cedar, {model:?}, {} policies in a set", cedar.policies_per_set());
        let prepare = |question: &Question| cedar.prepare(&world, question);
        peer(&name, made, &questions, &policy, prepare, |question| cedar.permitted(question));
        if model == Model::Flat {
            let mut samples = Samples::default();
            for (changed, question) in changes(&world, &questions).take(12) {
                let prepared = cedar.prepare(&world, question);
                let start = Instant::now();
                cedar.put_user(&changed);
                black_box(cedar.permitted(&prepared));
                samples.push(start.elapsed(), 1);
            }
            println!(
                "| {name}: membership change and the next decision | | {} | | {:.0} | |",
                show(samples.median()),
                samples.median() / ours_changed
            );
        }
    }
    if size.name == SMALL.name {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let start = Instant::now();
        let casbin = runtime.block_on(Casbin::new(&world));
        let made = start.elapsed();
        let prepare = |question: &Question| Casbin::prepare(&world, question);
        peer("Casbin", made, &questions, &policy, prepare, |question| casbin.permitted(question));
    }
}

/// Times full decisions, in batches.
fn decide_all(policy: &Policy, questions: &[Question], passes: usize) -> Samples {
    let mut samples = Samples::default();
    for _ in 0..passes {
        for batch in questions.chunks_exact(BATCH) {
            // The guard has just located the issue and proven the caller when it decides: those are warm, the policy is not.
            let located = batch.to_vec();
            let start = Instant::now();
            for question in &located {
                black_box(question.ask(black_box(policy)));
            }
            samples.push(start.elapsed(), BATCH);
        }
    }
    samples
}

/// Asks a peer for as long as it may, checks each answer against ours, and compares the times over the very questions asked.
fn peer<P>(
    name: &str,
    made: Duration,
    questions: &[Question],
    policy: &Policy,
    prepare: impl Fn(&Question) -> P,
    permitted: impl Fn(&P) -> bool,
) {
    let mut theirs = Samples::default();
    let began = Instant::now();
    let mut asked = 0;
    for batch in questions.chunks_exact(BATCH) {
        if began.elapsed() > PEER_TIME_MAX {
            break;
        }
        let prepared: Vec<P> = batch.iter().map(&prepare).collect();
        let start = Instant::now();
        let answers: Vec<bool> = prepared.iter().map(|question| black_box(permitted(question))).collect();
        theirs.push(start.elapsed(), BATCH);
        for (question, answer) in batch.iter().zip(answers) {
            let expected = question.permitted(policy);
            assert_eq!(
                answer, expected,
                "{name} disagrees: {:?} {:?} {:?}",
                question.asked, question.user, question.issue
            );
        }
        asked += BATCH;
    }
    let mut ours = decide_all(policy, &questions[..asked], QUESTIONS / asked);
    println!(
        "| {name}; {asked} questions, all answered alike | {} | {} | {} | {:.0} | {:.0} |",
        show(made.as_nanos() as f64),
        show(theirs.median()),
        show(theirs.mean()),
        theirs.median() / ours.median(),
        theirs.mean() / ours.mean(),
    );
}

/// People with one group more, and a question of theirs.
fn changes<'a>(world: &'a World, questions: &'a [Question]) -> impl Iterator<Item = (UserFacts, &'a Question)> {
    let mut random = Random::new(11);
    questions.iter().filter_map(move |question| {
        let UserId(id) = question.user?;
        let mut facts = world.users[id as usize - 1].clone();
        facts.groups.push(GroupId(random.id(world.groups.len())));
        Some((facts, question))
    })
}

fn change(mut policy: Policy, world: &World, questions: &[Question]) -> f64 {
    let mut samples = Samples::default();
    for (facts, question) in changes(world, questions).take(20_000) {
        let start = Instant::now();
        policy.put_user(facts.id, Some(facts));
        black_box(question.ask(&policy));
        samples.push(start.elapsed(), 1);
    }
    samples.median()
}
