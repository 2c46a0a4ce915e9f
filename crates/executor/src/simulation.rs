//! Simulates a run over a virtual clock: the real scheduler and tag order, with given durations in place of
//! an engine.
//!
//! It tells what a farm of engines would give, before there is one. Behind a feature that nothing that ships has on.
//! Knows no engine and no registry; nobody waits for anything.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use plan::{Build, BuildContext, BuildId, ComparedWith, FORMAT_VERSION, Kind, Plan, Revision};

use crate::BuildResult;
use crate::build::Made;
use crate::run::build_state::Course;
use crate::run::tag_order::Push;

/// What is run.
#[derive(Debug, Clone)]
pub struct Case {
    /// For each build the positions of what it needs, without repetitions, each before it.
    pub needs: Vec<Vec<usize>>,
    /// How long each build takes.
    pub builds: Vec<Duration>,
    /// How long the push of each build tag takes; that of a moving tag takes no time. `None`: nothing is pushed.
    pub pushes: Option<Vec<Duration>>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulated {
    /// When each build began.
    pub begun: Vec<Duration>,
    /// When the last build ended.
    pub built: Duration,
    /// When the last push ended too.
    pub done: Duration,
}

impl Case {
    /// The longest way through the builds, which no number of slots makes shorter.
    #[must_use]
    pub fn critical_path(&self) -> Duration {
        let mut ends: Vec<Duration> = Vec::with_capacity(self.builds.len());
        for (needs, own) in self.needs.iter().zip(&self.builds) {
            let begins = needs.iter().map(|need| ends[*need]).max().unwrap_or_default();
            ends.push(begins + *own);
        }
        ends.into_iter().max().unwrap_or_default()
    }

    /// All builds one after the other.
    #[must_use]
    pub fn work(&self) -> Duration {
        self.builds.iter().sum()
    }

    /// No order of builds on so many slots ends before this: the critical path, or the work shared evenly.
    #[must_use]
    pub fn bound(&self, slots: usize) -> Duration {
        self.critical_path().max(self.work().div_f64(slots.max(1) as f64))
    }
}

/// Runs a case on so many slots.
///
/// # Panics
/// When its lists are of different lengths, or a build needs one that is not before it.
#[must_use]
pub fn simulate(case: &Case, slots: usize) -> Simulated {
    let plan = plan(case.builds.len());
    let mut results: Vec<_> = plan.builds.iter().map(BuildResult::not_started).collect();
    let mut course = Course::new(&plan, &case.needs, slots, case.pushes.is_some(), &mut results);
    let mut run = Simulated {
        begun: vec![Duration::ZERO; case.builds.len()],
        built: Duration::ZERO,
        done: Duration::ZERO,
    };
    let mut running = BinaryHeap::new();
    let mut now = Duration::ZERO;
    loop {
        while let Some(build) = course.next_build() {
            run.begun[build] = now;
            running.push(Reverse((now + case.builds[build], Work::Build(build))));
        }
        while let Some(push) = course.next_push() {
            let takes = match (push, &case.pushes) {
                (Push::BuildTag(build), Some(pushes)) => pushes[build],
                _ => Duration::ZERO,
            };
            running.push(Reverse((now + takes, Work::Push(push))));
        }
        let Some(Reverse((end, work))) = running.pop() else { break };
        now = end;
        run.done = now;
        match work {
            Work::Build(build) => {
                run.built = now;
                let made = Made { image_id: String::new(), size: None, resumed: false, compared: None };
                course.built(build, Ok(made), Vec::new(), 0.0, 0.0);
            }
            Work::Push(push) => {
                course.pushed(push, Ok(String::new()), 0.0);
            }
        }
    }
    run
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Build(usize),
    Push(Push),
}

/// A plan of so many builds, with nothing in it but names.
fn plan(builds: usize) -> Plan {
    let build = |build: usize| Build {
        id: BuildId(format!("science/{build}")),
        kind: Kind::Science,
        layer: String::new(),
        image: String::new(),
        version: String::new(),
        target: String::new(),
        is_final: false,
        references: Vec::new(),
        needs: Vec::new(),
        reasons: Vec::new(),
        tags: vec![format!("{build}:build"), format!("{build}:moving")],
        labels: BTreeMap::new(),
        args: BTreeMap::new(),
        context: BuildContext { inputs: String::new(), sources: Vec::new() },
        compat_stack: Vec::new(),
        shadowed: Vec::new(),
        tests: Vec::new(),
        secrets: Vec::new(),
        origins: Vec::new(),
        dockerfile: String::new(),
    };
    Plan {
        format_version: FORMAT_VERSION.to_owned(),
        revision: Revision {
            commit: String::new(),
            count: None,
            short: String::new(),
            dirty: None,
            shallow: false,
        },
        compared_with: ComparedWith::All,
        repo: String::new(),
        platform: String::new(),
        label_prefix: String::new(),
        builds: (0..builds).map(build).collect(),
        unbuilt: Vec::new(),
        warnings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn case(needs: Vec<Vec<usize>>, seconds: &[u64]) -> Case {
        let builds = seconds.iter().copied().map(Duration::from_secs).collect();
        Case { needs, builds, pushes: None }
    }

    #[test]
    fn a_wide_graph_takes_its_waves_and_a_chain_takes_its_length() {
        // The base, then 16 leaves in two waves of 8.
        let needs = (0..17).map(|build| if build == 0 { vec![] } else { vec![0] }).collect();
        let wide = case(needs, &[2; 17]);
        assert_eq!(simulate(&wide, 8).built, Duration::from_secs(6));
        assert_eq!(simulate(&wide, 16).built, wide.bound(16));
        let chain =
            case((0..5_usize).map(|build| build.checked_sub(1).into_iter().collect()).collect(), &[3; 5]);
        assert_eq!(simulate(&chain, 8).built, Duration::from_secs(15));
        assert_eq!(chain.bound(8), chain.critical_path());
    }

    #[test]
    fn a_long_chain_is_not_left_for_last() {
        // In the plan's order the four that stand alone would come first, and the chain would end at 6.
        let needs = vec![vec![], vec![], vec![], vec![], vec![], vec![4], vec![5], vec![6]];
        let chain_last = case(needs, &[1; 8]);
        assert_eq!(simulate(&chain_last, 2).built, chain_last.bound(2));
    }

    #[test]
    fn pushes_run_beside_builds() {
        let mut wide = case(vec![vec![], vec![0], vec![1]], &[10, 10, 10]);
        wide.pushes = Some([4, 4, 4].map(Duration::from_secs).to_vec());
        let run = simulate(&wide, 1);
        assert_eq!((run.built, run.done), (Duration::from_secs(30), Duration::from_secs(34)));
    }

    proptest! {
        /// No run ends before the bound, and none takes as long as Graham allows or longer.
        #[test]
        fn a_run_is_near_its_bound(
            rows in prop::collection::vec((prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1_u64..90), 1..60),
            slots in 1_usize..12,
        ) {
            let needs: Vec<Vec<usize>> = rows.iter().enumerate().map(|(build, (row, _))| {
                let parents: std::collections::BTreeSet<usize> =
                    row.iter().filter(|_| build > 0).map(|index| index.index(build.max(1))).collect();
                parents.into_iter().collect()
            }).collect();
            let seconds: Vec<u64> = rows.iter().map(|(_, seconds)| *seconds).collect();
            let case = case(needs.clone(), &seconds);
            let run = simulate(&case, slots);
            prop_assert!(run.built >= case.bound(slots));
            let most = case.work().div_f64(slots as f64)
                + case.critical_path().mul_f64((slots as f64 - 1.0) / slots as f64);
            prop_assert!(run.built <= most + Duration::from_micros(1), "{:?} of at most {most:?}", run.built);
            for (build, needs) in needs.iter().enumerate() {
                for need in needs {
                    prop_assert!(run.begun[build] >= run.begun[*need] + case.builds[*need]);
                }
            }
        }
    }
}
