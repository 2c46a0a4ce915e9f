//! Decides which build may start, and which builds a failure skips.
//!
//! Pure: knows positions in a plan, but no engine, task or clock. `build_state` takes work from
//! [`Schedule::start`] and reports how each build ended.
//!
//! The build with the longest chain of dependents starts first. Graham's bound for list scheduling
//! applies: at most 2 - 1/jobs times the optimal time. Build times are unknown in advance, so the
//! length of a chain is its number of builds.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use plan::Plan;

/// The state of a build. Only [`Schedule::set`] changes it:
///
/// ```text
///              ┌──────────→ Reused          its build tag was in the registry before the run
///              │
///   Waiting ───┼──→ Running ──┬──→ Built
///              │              ├──→ Failed   descendants that wait become Skipped
///              │              └──→ Cancelled
///              ├──────────→ Skipped         something that it needs failed
///              └──────────→ Cancelled       the run was stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Running,
    Built,
    Reused,
    Failed,
    Skipped,
    Cancelled,
}

/// How a running build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Built,
    Failed,
    Cancelled,
}

/// The builds of a plan by position, and their dependencies.
#[derive(Debug)]
pub(crate) struct Schedule {
    states: Vec<State>,
    /// For each build, the number of its parents that are not done yet.
    missing: Vec<usize>,
    /// For each build, the builds that need it.
    children: Vec<Vec<usize>>,
    /// For each build, the number of builds in the longest chain that begins with it.
    chain_lengths: Vec<usize>,
    /// Waiting builds whose parents are all done: longest chain first, then in the plan's order.
    ready: BTreeSet<(Reverse<usize>, usize)>,
    running: usize,
    jobs: usize,
}

impl Schedule {
    /// `needs[i]` lists the positions of the builds that build `i` needs, without duplicates, each
    /// less than `i`.
    pub(crate) fn new(needs: &[Vec<usize>], jobs: usize) -> Self {
        let mut children = vec![Vec::new(); needs.len()];
        for (build, parents) in needs.iter().enumerate() {
            for parent in parents {
                children[*parent].push(build);
            }
        }
        let mut chain_lengths = vec![1; needs.len()];
        for build in (0..needs.len()).rev() {
            let below = children[build].iter().map(|child| chain_lengths[*child]).max();
            chain_lengths[build] += below.unwrap_or(0);
        }
        let missing: Vec<usize> = needs.iter().map(Vec::len).collect();
        let free = (0..needs.len()).filter(|build| missing[*build] == 0);
        let ready = free.map(|build| (Reverse(chain_lengths[build]), build)).collect();
        Self {
            states: vec![State::Waiting; needs.len()],
            missing,
            children,
            chain_lengths,
            ready,
            running: 0,
            jobs: jobs.max(1),
        }
    }

    /// Counts a build as done without running it.
    pub(crate) fn reuse(&mut self, build: usize) {
        self.set(build, State::Reused);
        self.release_children(build);
    }

    /// Takes the startable build with the longest chain of dependents, if a slot is free.
    pub(crate) fn start(&mut self) -> Option<usize> {
        if self.running >= self.jobs {
            return None;
        }
        let (_, build) = *self.ready.first()?;
        self.set(build, State::Running);
        Some(build)
    }

    /// Records how a running build ended, and returns the builds that are skipped because of that,
    /// in the plan's order.
    pub(crate) fn finish(&mut self, build: usize, ended: Ended) -> Vec<usize> {
        match ended {
            Ended::Built => {
                self.set(build, State::Built);
                self.release_children(build);
                Vec::new()
            }
            Ended::Failed => {
                self.set(build, State::Failed);
                self.skip_descendants(build)
            }
            Ended::Cancelled => {
                self.set(build, State::Cancelled);
                Vec::new()
            }
        }
    }

    /// Cancels all waiting builds and returns them in the plan's order.
    pub(crate) fn stop(&mut self) -> Vec<usize> {
        let waiting: Vec<usize> =
            (0..self.states.len()).filter(|build| self.states[*build] == State::Waiting).collect();
        for build in &waiting {
            self.set(*build, State::Cancelled);
        }
        waiting
    }

    pub(crate) fn state(&self, build: usize) -> State {
        self.states[build]
    }

    fn release_children(&mut self, build: usize) {
        for child in self.children[build].clone() {
            self.missing[child] -= 1;
            if self.missing[child] == 0 && self.states[child] == State::Waiting {
                self.ready.insert((Reverse(self.chain_lengths[child]), child));
            }
        }
    }

    fn skip_descendants(&mut self, build: usize) -> Vec<usize> {
        let mut skipped = BTreeSet::new();
        let mut open = self.children[build].clone();
        while let Some(descendant) = open.pop() {
            if self.states[descendant] == State::Waiting {
                self.set(descendant, State::Skipped);
                skipped.insert(descendant);
                open.extend(&self.children[descendant]);
            }
        }
        skipped.into_iter().collect()
    }

    /// The only place where a state changes.
    fn set(&mut self, build: usize, to: State) {
        let from = self.states[build];
        let allowed = match to {
            State::Waiting => false,
            State::Running => from == State::Waiting && self.missing[build] == 0,
            State::Built | State::Failed => from == State::Running,
            State::Reused | State::Skipped => from == State::Waiting,
            State::Cancelled => matches!(from, State::Waiting | State::Running),
        };
        assert!(allowed, "build {build} cannot go from {from:?} to {to:?}");
        self.ready.remove(&(Reverse(self.chain_lengths[build]), build));
        self.running += usize::from(to == State::Running);
        self.running -= usize::from(from == State::Running);
        self.states[build] = to;
    }
}

/// Returns the positions of each build's parents. The error names, by id, a parent that does not
/// precede its child in the plan, or a build that is in the plan twice.
pub(crate) fn positions(plan: &Plan) -> Result<Vec<Vec<usize>>, String> {
    let mut position = std::collections::BTreeMap::new();
    let mut needs = Vec::with_capacity(plan.builds.len());
    for (index, build) in plan.builds.iter().enumerate() {
        let mut parents = BTreeSet::new();
        for need in &build.needs {
            let parent = position.get(need).ok_or_else(|| {
                format!("{} needs {need}, which the plan does not hold before it", build.id)
            })?;
            parents.insert(*parent);
        }
        needs.push(parents.into_iter().collect());
        if position.insert(&build.id, index).is_some() {
            return Err(format!("{} is in the plan twice", build.id));
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs a schedule to its end. Builds in `failing` fail; `picks`, taken modulo the number of
    /// running builds, selects which one ends next. Returns the states and the order of starts.
    fn drive(
        needs: &[Vec<usize>],
        jobs: usize,
        failing: &BTreeSet<usize>,
        picks: &[usize],
    ) -> (Vec<State>, Vec<usize>) {
        let mut schedule = Schedule::new(needs, jobs);
        let mut running = Vec::new();
        let mut started = Vec::new();
        let mut picks = picks.iter().cycle();
        loop {
            while let Some(build) = schedule.start() {
                running.push(build);
                started.push(build);
            }
            assert!(running.len() <= jobs, "{} builds at once, {jobs} allowed", running.len());
            let is_there = |build: &usize| matches!(schedule.state(*build), State::Built | State::Reused);
            let could_start = |build: &usize| {
                schedule.state(*build) == State::Waiting && needs[*build].iter().all(is_there)
            };
            let idle = (0..needs.len()).find(could_start).filter(|_| running.len() < jobs);
            assert_eq!(idle, None, "it could start, and {} of {jobs} slots are free", jobs - running.len());
            if running.is_empty() {
                break;
            }
            let build = running.remove(picks.next().unwrap() % running.len());
            let ended = if failing.contains(&build) { Ended::Failed } else { Ended::Built };
            schedule.finish(build, ended);
        }
        ((0..needs.len()).map(|build| schedule.state(build)).collect(), started)
    }

    fn word(states: &[State]) -> String {
        states
            .iter()
            .map(|state| match state {
                State::Waiting => 'w',
                State::Running => 'r',
                State::Built => 'b',
                State::Reused => 'u',
                State::Failed => 'f',
                State::Skipped => 's',
                State::Cancelled => 'c',
            })
            .collect()
    }

    #[test]
    fn a_failure_skips_descendants_and_nothing_else() {
        // 0 ← 1 ← 2, 0 ← 3, 4 alone, 5 needs 2 and 4
        let needs = vec![vec![], vec![0], vec![1], vec![0], vec![], vec![2, 4]];
        for (failing, expect) in [
            (vec![], "bbbbbb"),
            (vec![0], "fsssbs"),
            (vec![1], "bfsbbs"),
            (vec![2], "bbfbbs"),
            (vec![3], "bbbfbb"),
            (vec![4], "bbbbfs"),
            (vec![1, 3, 4], "bfsffs"),
        ] {
            for jobs in 1..4 {
                let (states, _) = drive(&needs, jobs, &failing.iter().copied().collect(), &[0, 1]);
                assert_eq!(word(&states), expect, "failing {failing:?}, {jobs} jobs");
            }
        }
    }

    #[test]
    fn one_at_a_time_runs_in_the_plans_order() {
        let needs = vec![vec![], vec![], vec![0], vec![1], vec![2, 3]];
        assert_eq!(drive(&needs, 1, &BTreeSet::new(), &[0]).1, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn the_longest_way_starts_first() {
        // 0 and 1 alone, 2 ← 3 ← 4, 5 ← 6
        let needs = vec![vec![], vec![], vec![], vec![2], vec![3], vec![], vec![5]];
        assert_eq!(drive(&needs, 1, &BTreeSet::new(), &[0]).1, [2, 3, 5, 0, 1, 4, 6]);
        assert_eq!(drive(&needs, 2, &BTreeSet::new(), &[0]).1, [2, 5, 3, 0, 1, 4, 6]);
    }

    #[test]
    fn what_is_reused_never_runs_and_lets_children_start() {
        let mut schedule = Schedule::new(&[vec![], vec![0], vec![1]], 4);
        schedule.reuse(0);
        schedule.reuse(1);
        assert_eq!(schedule.start(), Some(2));
        assert_eq!(schedule.start(), None);
        assert_eq!(schedule.finish(2, Ended::Built), [] as [usize; 0]);
        assert_eq!((schedule.state(0), schedule.state(2)), (State::Reused, State::Built));
    }

    #[test]
    fn a_child_can_be_reused_before_its_parent_is_built() {
        let mut schedule = Schedule::new(&[vec![], vec![0]], 4);
        schedule.reuse(1);
        assert_eq!(schedule.start(), Some(0));
        schedule.finish(0, Ended::Built);
        assert_eq!(schedule.start(), None);
        assert_eq!(schedule.state(1), State::Reused);
    }

    #[test]
    fn stopping_cancels_what_waits_and_leaves_what_is_done() {
        let mut schedule = Schedule::new(&[vec![], vec![0], vec![], vec![1]], 1);
        assert_eq!(schedule.start(), Some(0));
        schedule.finish(0, Ended::Built);
        assert_eq!(schedule.start(), Some(1));
        assert_eq!(schedule.stop(), [2, 3]);
        assert_eq!(schedule.start(), None);
        schedule.finish(1, Ended::Cancelled);
        assert_eq!(word(&(0..4).map(|build| schedule.state(build)).collect::<Vec<_>>()), "bccc");
    }

    #[test]
    #[should_panic(expected = "cannot go from Built to Failed")]
    fn a_build_ends_once() {
        let mut schedule = Schedule::new(&[vec![]], 1);
        schedule.start();
        schedule.finish(0, Ended::Built);
        schedule.finish(0, Ended::Failed);
    }

    prop_compose! {
        /// Dependencies that point backwards, as in every plan.
        fn graph()(rows in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..60))
            -> Vec<Vec<usize>>
        {
            backwards(&rows)
        }
    }

    fn backwards(rows: &[Vec<prop::sample::Index>]) -> Vec<Vec<usize>> {
        let parents = |(build, row): (usize, &Vec<prop::sample::Index>)| {
            let parents: BTreeSet<usize> =
                row.iter().filter(|_| build > 0).map(|index| index.index(build.max(1))).collect();
            parents.into_iter().collect()
        };
        rows.iter().enumerate().map(parents).collect()
    }

    /// The length of the longest chain that begins with a build, by enumerating all chains.
    fn longest_way(needs: &[Vec<usize>], build: usize) -> usize {
        let children = (build + 1..needs.len()).filter(|child| needs[*child].contains(&build));
        1 + children.map(|child| longest_way(needs, child)).max().unwrap_or(0)
    }

    proptest! {
        /// No startable build has a longer chain than the one that starts. `drive` asserts that no
        /// slot is idle meanwhile.
        #[test]
        fn what_starts_has_the_longest_way(
            needs in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..14)
                .prop_map(|rows| backwards(&rows)),
            jobs in 1_usize..6,
            picks in prop::collection::vec(any::<usize>(), 1..20),
        ) {
            let mut schedule = Schedule::new(&needs, jobs);
            let mut running = Vec::new();
            for pick in picks.iter().cycle() {
                loop {
                    let is_built = |build: &usize| schedule.state(*build) == State::Built;
                    let is_ready = |build: &usize| {
                        schedule.state(*build) == State::Waiting && needs[*build].iter().all(is_built)
                    };
                    let best = (0..needs.len()).filter(is_ready).map(|build| longest_way(&needs, build)).max();
                    let Some(build) = schedule.start() else { break };
                    prop_assert_eq!(Some(longest_way(&needs, build)), best);
                    running.push(build);
                }
                if running.is_empty() {
                    break;
                }
                schedule.finish(running.swap_remove(pick % running.len()), Ended::Built);
            }
        }

        /// Invariant 7, and parents start before their children.
        #[test]
        fn failures_are_contained(
            needs in graph(),
            failing in prop::collection::btree_set(0_usize..60, 0..6),
            jobs in 1_usize..6,
            picks in prop::collection::vec(any::<usize>(), 1..20),
        ) {
            let (states, started) = drive(&needs, jobs, &failing, &picks);
            for (build, parents) in needs.iter().enumerate() {
                // Parents come first, so this is the definition: a build is skipped if a parent
                // failed or was skipped.
                let stopped = parents.iter().any(|parent| matches!(states[*parent], State::Failed | State::Skipped));
                let expect = match (stopped, failing.contains(&build)) {
                    (true, _) => State::Skipped,
                    (false, true) => State::Failed,
                    (false, false) => State::Built,
                };
                prop_assert_eq!(states[build], expect);
                let at = |build: &usize| started.iter().position(|other| other == build);
                prop_assert_eq!(at(&build).is_some(), !stopped);
                for parent in parents {
                    prop_assert!(stopped || at(parent) < at(&build));
                }
            }
        }
    }
}
