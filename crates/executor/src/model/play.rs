//! Executes modelled runs to their end, one after another or interleaved.

use parking_lot::Mutex;
use std::collections::BTreeMap;

use plan::Plan;
use proptest::sample::Index;

use super::outside::Outside;
use super::runner::{End, Rule, Run};
use super::story::{Deed, RunSeed};
use super::tree::Tree;
use crate::run::build_state::is_success;
use crate::{BuildResult, Outcome};

/// Statistics over all properties.
static FIGURES: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Adds to a statistic.
pub(crate) fn count(what: &str, number: usize) {
    let mut figures = FIGURES.lock();
    *figures.entry(what.to_owned()).or_default() += number as u64;
}

/// All statistics so far.
pub(crate) fn figures() -> serde_json::Value {
    serde_json::json!(*FIGURES.lock())
}

/// Number of machines whose runs never overlap.
pub(crate) const MACHINES: usize = 2;

/// How a run ended.
pub(crate) struct Ended {
    pub end: End,
    pub results: Vec<BuildResult>,
}

impl Ended {
    pub(crate) fn success(&self) -> bool {
        self.end == End::Done && is_success(&self.results)
    }
}

/// Concurrent runs, each on its own engine, with changes by other clients.
pub(crate) struct Together<'a> {
    pub tree: &'a Tree,
    pub runs: &'a [(&'a Plan, RunSeed)],
    /// The number of the first run, and the engine it uses.
    pub first: usize,
    pub engine: usize,
    pub persons: &'a [(usize, Index, Deed)],
    pub picks: &'a [Index],
    pub rule: Rule,
}

/// Executes the runs until all have ended.
pub(crate) fn play(outside: &mut Outside, story: &Together<'_>) -> Vec<Ended> {
    let mut results: Vec<Vec<BuildResult>> = story
        .runs
        .iter()
        .map(|(plan, _)| plan.builds.iter().map(BuildResult::not_started).collect())
        .collect();
    let mut runs: Vec<Run<'_>> = story
        .runs
        .iter()
        .zip(&mut results)
        .enumerate()
        .map(|(number, ((plan, seed), results))| {
            Run::new(
                (story.first + number, story.engine + number),
                story.tree,
                plan,
                seed,
                story.rule,
                results,
            )
        })
        .collect();
    let tags: Vec<&str> = story
        .runs
        .iter()
        .flat_map(|(plan, _)| &plan.builds)
        .flat_map(|build| build.tags.iter())
        .map(String::as_str)
        .collect();
    let mut picks = story.picks.iter().cycle();
    let mut pick = || picks.next().expect("a story has picks");
    for turn in 0.. {
        assert!(turn < 100_000, "the runs come to no end");
        for (_, tag, deed) in story.persons.iter().filter(|(at, ..)| *at == turn && !tags.is_empty()) {
            outside.person(tags[tag.index(tags.len())], *deed);
        }
        let open: Vec<usize> = (0..runs.len()).filter(|run| runs[*run].end.is_none()).collect();
        if open.is_empty() {
            break;
        }
        let run = *pick().get(&open);
        runs[run].step(outside, pick());
        count("steps", 1);
    }
    let ends: Vec<End> = runs.iter().map(|run| run.end.expect("all runs ended")).collect();
    drop(runs);
    if story.rule == Rule::ForgivesPushes {
        for result in results.iter_mut().flatten().filter(|result| result.outcome == Outcome::PushFailed) {
            result.outcome = Outcome::Built;
        }
    }
    ends.into_iter().zip(results).map(|(end, results)| Ended { end, results }).collect()
}

/// Executes a single run.
pub(crate) fn alone(
    outside: &mut Outside,
    (tree, plan): (&Tree, &Plan),
    seed: &RunSeed,
    number: usize,
    picks: &[Index],
    rule: Rule,
) -> Ended {
    let runs = [(plan, seed.clone())];
    let story =
        Together { tree, runs: &runs, first: number, engine: seed.machine, persons: &[], picks, rule };
    play(outside, &story).remove(0)
}

/// The same run without faults.
pub(crate) fn clean(seed: &RunSeed) -> RunSeed {
    RunSeed { faults: Vec::new(), cut: None, fail_fast: false, allow_older: false, ..seed.clone() }
}
