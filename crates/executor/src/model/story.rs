//! A random case: a tree, its history, runs with their faults, and the order of steps.

use proptest::prelude::*;
use proptest::sample::Index;

/// A case. Indexes are taken modulo the number of choices.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    pub layers: Vec<LayerSeed>,
    pub commits: Vec<CommitSeed>,
    /// Whether plans contain everything, or what changed since the previous commit.
    pub whole: bool,
    pub runs: Vec<RunSeed>,
    /// Changes by other clients in the registry: after how many steps, and which tag.
    pub persons: Vec<(usize, Index, Deed)>,
    /// The task that takes each next step; repeated in a cycle.
    pub picks: Vec<Index>,
}

/// A layer; its parents are among the layers before it.
#[derive(Debug, Clone)]
pub(crate) struct LayerSeed {
    pub parents: Vec<Index>,
    /// Whether a compat image is based on it.
    pub is_final: bool,
}

/// A commit after the first; its parent is one of the commits before it.
#[derive(Debug, Clone)]
pub(crate) struct CommitSeed {
    pub parent: Index,
    pub changed: Vec<Index>,
}

/// A run of the command.
#[derive(Debug, Clone)]
pub(crate) struct RunSeed {
    pub commit: Index,
    pub jobs: usize,
    pub fail_fast: bool,
    pub allow_older: bool,
    /// Whether images that an earlier run left on the engine are reused.
    pub resume: bool,
    /// The machine that it runs on, if shared with other runs.
    pub machine: usize,
    pub faults: Vec<FaultSeed>,
    pub cut: Option<(Cut, usize)>,
}

/// How a run is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// SIGKILL: the run does nothing more.
    Killed,
    /// SIGTERM: the run stops and reports its result.
    Stopped,
}

/// A fault at one build.
#[derive(Debug, Clone)]
pub(crate) struct FaultSeed {
    pub build: Index,
    pub what: What,
}

/// A fault.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    /// The build fails.
    Build,
    /// The n-th request of its kind fails, counted from 0 for each tag.
    Request { kind: Kind, moving: bool, nth: u8, how: How },
}

/// Requests by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A read before the first build.
    FirstLook,
    /// A read before or after a put.
    Look,
    /// A put of a manifest under a tag.
    Put,
}

/// How a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Before it takes effect; a retry may help.
    Before,
    /// It is rejected permanently.
    Refused,
    /// After it took effect: the response is lost.
    After,
    /// It is confirmed but does not take effect.
    NotHeld,
}

/// A change of a tag by another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Overwrite,
    Delete,
}

fn fault() -> impl Strategy<Value = FaultSeed> {
    let kind = prop_oneof![1 => Just(Kind::FirstLook), 8 => Just(Kind::Look), 8 => Just(Kind::Put)];
    let how = prop_oneof![3 => Just(How::Before), 1 => Just(How::Refused), 3 => Just(How::After), 1 => Just(How::NotHeld)];
    let request = (kind, any::<bool>(), 0_u8..3, how).prop_map(|(kind, moving, nth, how)| What::Request {
        kind,
        moving,
        nth,
        how,
    });
    (any::<Index>(), prop_oneof![1 => Just(What::Build), 4 => request])
        .prop_map(|(build, what)| FaultSeed { build, what })
}

fn run() -> impl Strategy<Value = RunSeed> {
    let cut = prop_oneof![2 => Just(Cut::Killed), 1 => Just(Cut::Stopped)];
    (
        any::<Index>(),
        1_usize..5,
        prop::bool::weighted(0.15),
        prop::bool::weighted(0.15),
        any::<bool>(),
        0_usize..2,
        prop::collection::vec(fault(), 0..12),
        prop::option::of((cut, 0_usize..150)),
    )
        .prop_map(|(commit, jobs, fail_fast, allow_older, resume, machine, faults, cut)| RunSeed {
            commit,
            jobs,
            fail_fast,
            allow_older,
            resume,
            machine,
            faults,
            cut,
        })
}

/// Any case with a number of runs in this range.
pub(crate) fn story(runs: std::ops::Range<usize>) -> impl Strategy<Value = Story> {
    let layer = (prop::collection::vec(any::<Index>(), 0..3), prop::bool::weighted(0.6))
        .prop_map(|(parents, is_final)| LayerSeed { parents, is_final });
    let commit = (any::<Index>(), prop::collection::vec(any::<Index>(), 1..4))
        .prop_map(|(parent, changed)| CommitSeed { parent, changed });
    let deed = prop_oneof![Just(Deed::Overwrite), Just(Deed::Delete)];
    (
        prop::collection::vec(layer, 1..16),
        prop::collection::vec(commit, 1..4),
        any::<bool>(),
        prop::collection::vec(run(), runs),
        prop::collection::vec((0_usize..400, any::<Index>(), deed), 0..3),
        prop::collection::vec(any::<Index>(), 1..60),
    )
        .prop_map(|(layers, commits, whole, runs, persons, picks)| Story {
            layers,
            commits,
            whole,
            runs,
            persons,
            picks,
        })
}
