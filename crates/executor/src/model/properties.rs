//! The properties over random stories, and tests that the checks detect each broken rule.

use std::collections::{BTreeMap, BTreeSet};

use plan::Plan;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::checks::{self, Act, Break, By};
use super::outside::{Outside, Policy, is_build_tag};
use super::play::{MACHINES, Together, alone, clean, count, figures, play};
use super::runner::{End, Rule};
use super::story::{Kind, RunSeed, Story, What, story};
use super::tree::Tree;
use crate::Relation;
use crate::run::build_state::is_success;

/// The plan of a commit in a story. The first commit has no parent to compare with, so everything
/// is planned.
fn plan_of(story: &Story, tree: &Tree, commit: usize) -> Plan {
    if story.whole || commit == 0 { tree.plan_all(commit) } else { tree.plan_changed(commit) }
}

fn breaks(
    outside: &Outside,
    tree: &Tree,
    from: usize,
    before: &BTreeMap<String, String>,
    forced: &BTreeSet<usize>,
) -> Vec<Break> {
    let commit = |digest: &str| outside.images.get(digest).and_then(|image| image.commit);
    let relation = |shown: &str, set: &str| match (commit(shown), commit(set)) {
        (Some(shown), Some(set)) => tree.relation(shown, set),
        _ => Relation::Unknown,
    };
    checks::breaks(&outside.steps[from..], before, is_build_tag, relation, forced)
}

/// Checks that a published image is based on the images that its parents' build tags pointed to
/// when they were last read.
fn stands_on_what_is_shown(outside: &Outside, run: usize, plan: &Plan) -> Result<(), String> {
    let mut shown: BTreeMap<&str, &str> = BTreeMap::new();
    for step in outside.steps.iter().filter(|step| step.by == By::Run(run)) {
        match &step.act {
            Act::LookedFirst { tag, shown: Some(digest) } | Act::Looked { tag, shown: Some(digest) } => {
                shown.insert(tag, digest);
            }
            Act::Put { tag, digest } => {
                let Some(build) = plan.builds.iter().find(|build| build.build_tag() == tag) else { continue };
                for need in &build.needs {
                    let parent =
                        plan.builds.iter().find(|build| build.id == *need).expect("needs are planned");
                    let parent = shown.get(parent.build_tag()).copied().unwrap_or("nothing");
                    if !outside.images[digest].parents.iter().any(|own| own == parent) {
                        return Err(format!("8: {tag} does not stand on {parent}, which {need} shows"));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Consecutive runs on two machines, as a lock on one machine enforces, each with its own faults;
/// any of them may be cut off.
fn one_after_another(story: &Story, rule: Rule) -> Result<(), String> {
    let tree = Tree::new(story);
    let mut outside = Outside::new(MACHINES, Policy::Open);
    for (number, seed) in story.runs.iter().enumerate() {
        let plan = plan_of(story, &tree, seed.commit.index(tree.commits()));
        let (from, before) = (outside.steps.len(), outside.tags.clone());
        let ended = alone(&mut outside, (&tree, &plan), seed, number, &story.picks, rule);
        let mut plans: Vec<&Plan> = Vec::new();
        plans.resize(number + 1, &plan);
        checks::push_order(&outside.steps[from..], &plans)?;
        stands_on_what_is_shown(&outside, number, &plan)?;
        checks::nothing_starts_after(&outside.steps[from..], number, &plan)?;
        let forced = if seed.allow_older { BTreeSet::from([number]) } else { BTreeSet::new() };
        if let Some(found) = breaks(&outside, &tree, from, &before, &forced).first() {
            return Err(found.what.clone());
        }
        if matches!(ended.end, End::Done | End::Interrupted) {
            let success = is_success(&ended.results);
            checks::truthful(&outside.steps, number, &plan, success, &ended.results, Some(&outside.tags))?;
        }
    }
    count("faults", outside.injected);
    Ok(())
}

/// A run with failures, compared with the same run without them.
fn contained(story: &Story, rule: Rule) -> Result<(), String> {
    let tree = Tree::new(story);
    let mut seed = RunSeed { cut: None, fail_fast: false, ..story.runs[0].clone() };
    seed.faults.retain(|fault| !matches!(fault.what, What::Request { kind: Kind::FirstLook, .. }));
    let plan = tree.plan_all(seed.commit.index(tree.commits()));
    let mut world = Outside::new(MACHINES, Policy::Open);
    let with = alone(&mut world, (&tree, &plan), &seed, 0, &story.picks, rule);
    checks::nothing_starts_after(&world.steps, 0, &plan)?;
    count("faults", world.injected);
    let mut world = Outside::new(MACHINES, Policy::Open);
    let without = alone(&mut world, (&tree, &plan), &clean(&seed), 0, &story.picks, Rule::Kept);
    checks::contained(&plan, &with.results, &without.results)
}

/// Any runs of a commit and its history that were cut off, then an undisturbed one.
fn convergent(story: &Story, rule: Rule) -> Result<(), String> {
    let tree = Tree::new(story);
    let last = tree.commits() - 1;
    let plan = plan_of(story, &tree, last);
    let mut outside = Outside::new(MACHINES, Policy::Open);
    let mut calm = Outside::new(MACHINES, Policy::Open);
    let first = tree.plan_all(0);
    let undisturbed = clean(&story.runs[0]);
    if !story.whole {
        // Parents that are not planned must have been published.
        for world in [&mut outside, &mut calm] {
            alone(world, (&tree, &first), &undisturbed, 0, &story.picks, Rule::Kept);
        }
    }
    for (number, seed) in story.runs.iter().enumerate() {
        let seed = RunSeed { allow_older: false, ..seed.clone() };
        alone(&mut outside, (&tree, &plan), &seed, 1 + number, &story.picks, rule);
    }
    count("faults", outside.injected);
    let number = 1 + story.runs.len();
    let rerun = alone(&mut outside, (&tree, &plan), &undisturbed, number, &story.picks, rule);
    checks::converged(&plan, &outside.tags)?;
    if !rerun.success() {
        return Err(format!("4: the clean run after those that were cut off ended {:?}", rerun.end));
    }
    alone(&mut calm, (&tree, &plan), &undisturbed, 1, &story.picks, Rule::Kept);
    if !outside.tags.keys().eq(calm.tags.keys()) {
        return Err("4: the tags are not those of an undisturbed run".to_owned());
    }
    let from = outside.steps.len();
    let again = alone(&mut outside, (&tree, &plan), &undisturbed, number + 1, &story.picks, rule);
    let idle =
        outside.steps[from..].iter().all(|step| !matches!(step.act, Act::Started(_) | Act::Put { .. }));
    if again.success() && idle { Ok(()) } else { Err("4: a run after a good one does something".to_owned()) }
}

/// Concurrent runs of any commits on different machines, which our locks do not exclude, with
/// changes by other clients. Returns how many changes happened between a read and its put.
fn at_the_same_time(story: &Story, policy: Policy, rule: Rule) -> Result<usize, String> {
    let tree = Tree::new(story);
    let mut outside = Outside::new(MACHINES + story.runs.len(), policy);
    let calm = clean(&story.runs[0]);
    alone(&mut outside, (&tree, &tree.plan_all(0)), &calm, 0, &story.picks, Rule::Kept);
    let plans: Vec<Plan> =
        story.runs.iter().map(|seed| plan_of(story, &tree, seed.commit.index(tree.commits()))).collect();
    let runs: Vec<(&Plan, RunSeed)> = plans.iter().zip(story.runs.iter().cloned()).collect();
    let (from, before) = (outside.steps.len(), outside.tags.clone());
    let together = Together {
        tree: &tree,
        runs: &runs,
        first: 1,
        engine: MACHINES,
        persons: &story.persons,
        picks: &story.picks,
        rule,
    };
    let ended = play(&mut outside, &together);
    count("faults", outside.injected);
    let first = tree.plan_all(0);
    let all: Vec<&Plan> = std::iter::once(&first).chain(&plans).collect();
    checks::push_order(&outside.steps[from..], &all)?;
    for (number, (plan, ended)) in plans.iter().zip(&ended).enumerate() {
        stands_on_what_is_shown(&outside, 1 + number, plan)?;
        if matches!(ended.end, End::Done | End::Interrupted) {
            let success = is_success(&ended.results);
            checks::truthful(&outside.steps, 1 + number, plan, success, &ended.results, None)?;
        }
    }
    let forced =
        (0..story.runs.len()).filter(|run| story.runs[*run].allow_older).map(|run| 1 + run).collect();
    let breaks = breaks(&outside, &tree, from, &before, &forced);
    if let Some(found) = breaks.iter().find(|found| !found.in_window) {
        return Err(found.what.clone());
    }
    if let Some(found) = breaks.iter().find(|found| policy == Policy::Immutable && is_build_tag(&found.tag)) {
        return Err(found.what.clone());
    }
    Ok(breaks.len())
}

/// Checks a property on many random stories. Failing cases are stored in `proptest-regressions` and
/// replayed first.
fn hold(name: &'static str, runs: std::ops::Range<usize>, property: impl Fn(&Story) -> Result<(), String>) {
    let config = Config {
        cases: testbed::time_scale::quick_or_long(1_000, 15_000),
        max_shrink_iters: 20_000,
        source_file: Some(file!()),
        test_name: Some(name),
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let held = runner.run(&story(runs), |story| {
        count("cases", 1);
        property(&story).map_err(TestCaseError::fail)
    });
    testbed::time_scale::record("model", &figures());
    if let Err(error) = held {
        panic!("{error}");
    }
}

/// Invariants 7 (first half), 8, 9 and 10, as long as one run at a time writes.
#[test]
fn runs_one_after_another_keep_every_invariant() {
    hold("one after another", 1..5, |story| one_after_another(story, Rule::Kept));
}

/// Invariant 7.
#[test]
fn a_failure_changes_nothing_else() {
    hold("contained", 1..2, |story| contained(story, Rule::Kept));
}

/// Invariant 4.
#[test]
fn one_clean_run_after_any_that_were_cut_off_ends_as_if_undisturbed() {
    hold("convergent", 1..4, |story| convergent(story, Rule::Kept));
}

/// Invariants 8, 9 and 10 with runs from several machines: they are violated only between a read
/// and the put that follows it, which a registry without compare-and-swap cannot prevent.
#[test]
fn runs_at_the_same_time_break_nothing_but_in_the_window_of_the_protocol() {
    hold("at the same time", 2..5, |story| {
        let changed = at_the_same_time(story, Policy::Open, Rule::Kept)?;
        count("changes in the window", changed);
        Ok(())
    });
}

/// If the registry rejects changes of build tags, no order of requests changes one.
#[test]
fn a_registry_with_immutable_tags_closes_the_window_for_build_tags() {
    hold("immutable", 2..5, |story| {
        let story = Story { persons: Vec::new(), ..story.clone() };
        at_the_same_time(&story, Policy::Immutable, Rule::Kept).map(|_| ())
    });
}

/// The first failure of a property, with the same cases each time.
fn find(property: impl Fn(&Story) -> Result<(), String>, runs: std::ops::Range<usize>) -> Option<String> {
    let config = Config { cases: 5_000, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    match runner.run(&story(runs), |story| property(&story).map_err(TestCaseError::fail)) {
        Ok(()) => None,
        Err(TestError::Fail(reason, _)) => Some(reason.message().to_owned()),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn every_broken_rule_is_found() {
    type Property = fn(&Story, Rule) -> Result<(), String>;
    let together: Property = |story, rule| at_the_same_time(story, Policy::Open, rule).map(|_| ());
    for (rule, property, runs, invariant) in [
        (Rule::ReusedIsDone, convergent as Property, 1..4, "4: "),
        (Rule::FailureIsIgnored, one_after_another, 1..4, "7: "),
        (Rule::FailureIsIgnored, contained, 1..4, "7: "),
        (Rule::FailureStopsAll, contained, 1..4, "7: "),
        (Rule::MovesBeforeVerified, one_after_another, 1..4, "8: "),
        (Rule::ResumesByName, one_after_another, 3..6, "8: "),
        (Rule::AlwaysMoves, one_after_another, 1..4, "9: "),
        (Rule::PushesBlindly, together, 2..5, "9: "),
        (Rule::BelievesConfirmation, one_after_another, 1..4, "10: "),
        (Rule::ForgivesPushes, one_after_another, 1..4, "10: "),
    ] {
        let found = find(|story| property(story, rule), runs);
        assert!(found.as_ref().is_some_and(|found| found.starts_with(invariant)), "{rule:?}: {found:?}");
    }
}

/// Documents that the window exists, so that the property above is not overrated.
#[test]
fn two_machines_without_a_lock_can_change_a_build_tag_in_the_window() {
    let found = find(
        |story| match at_the_same_time(
            &Story { persons: Vec::new(), ..story.clone() },
            Policy::Open,
            Rule::Kept,
        ) {
            Ok(0) => Ok(()),
            Ok(count) => Err(format!("{count} in the window")),
            Err(found) => Err(found),
        },
        2..5,
    );
    assert!(found.as_ref().is_some_and(|found| found.ends_with("in the window")), "{found:?}");
}
