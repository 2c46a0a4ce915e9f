//! Decides in which order tags are pushed, and when a moving tag may be updated.
//!
//! Pure: `build_state` takes the next push from [`PushSchedule::start`] and reports how it ended; `push`
//! carries it out. The order keeps invariant 8: in every prefix of the pushes, a moving tag comes
//! after its own verified build tag and after the verified build tags of all its planned ancestors.

use std::collections::BTreeSet;

use plan::BuildTag;

use crate::Relation;

/// One push: a tag of the build at this position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Push {
    /// The tag that never changes.
    BuildTag(usize),
    /// The tag that points to the newest build.
    MovingTag(usize),
}

impl Push {
    pub(crate) fn build(self) -> usize {
        match self {
            Self::BuildTag(build) | Self::MovingTag(build) => build,
        }
    }
}

/// The state of the tags of one build. Only [`PushSchedule::set`] changes it:
///
/// ```text
///   Absent ──→ Local ──→ PushingBuild ──→ Verified ──→ PushingMoving ──→ Done
///      └────────────────────────────────────↑ (reused)
///   any state but Done ──→ GivenUp     a push failed, here or of a parent; or the run was stopped
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PushState {
    /// Not built.
    Absent,
    /// On the engine.
    Local,
    /// Its build tag is being pushed.
    PushingBuild,
    /// The registry has its build tag.
    Verified,
    /// Its moving tag is being pushed.
    PushingMoving,
    /// The registry has both tags.
    Done,
    /// It will not be pushed.
    GivenUp,
}

/// The pushes of a run.
#[derive(Debug)]
pub(crate) struct PushSchedule {
    states: Vec<PushState>,
    needs: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
    /// Builds whose next push may be due.
    candidates: BTreeSet<usize>,
    running: usize,
    at_once: usize,
}

impl PushSchedule {
    /// `needs` is that of [`Schedule::new`](crate::run::schedule::Schedule::new); at most `at_once`
    /// pushes run concurrently.
    pub(crate) fn new(needs: &[Vec<usize>], at_once: usize) -> Self {
        let mut children = vec![Vec::new(); needs.len()];
        for (build, parents) in needs.iter().enumerate() {
            for parent in parents {
                children[*parent].push(build);
            }
        }
        Self {
            states: vec![PushState::Absent; needs.len()],
            needs: needs.to_vec(),
            children,
            candidates: BTreeSet::new(),
            running: 0,
            at_once: at_once.max(1),
        }
    }

    /// Records that the engine has the image.
    pub(crate) fn built(&mut self, build: usize) {
        if self.states[build] != PushState::GivenUp {
            self.set(build, PushState::Local);
        }
    }

    /// Records that the registry had the build tag before the run.
    pub(crate) fn reused(&mut self, build: usize) {
        self.set(build, PushState::Verified);
    }

    /// Takes a push that may start now: build tags before moving tags, in the plan's order.
    pub(crate) fn start(&mut self) -> Option<Push> {
        if self.running >= self.at_once {
            return None;
        }
        let shows = |build: &usize| {
            matches!(self.states[*build], PushState::Verified | PushState::PushingMoving | PushState::Done)
        };
        let moved = |build: &usize| self.states[*build] == PushState::Done;
        let build_tag = self
            .candidates
            .iter()
            .find(|build| self.states[**build] == PushState::Local && self.needs[**build].iter().all(shows));
        if let Some(build) = build_tag.copied() {
            self.set(build, PushState::PushingBuild);
            return Some(Push::BuildTag(build));
        }
        let moving_tag = self.candidates.iter().find(|build| {
            self.states[**build] == PushState::Verified && self.needs[**build].iter().all(moved)
        });
        let build = moving_tag.copied()?;
        self.set(build, PushState::PushingMoving);
        Some(Push::MovingTag(build))
    }

    /// Records a push that succeeded and was verified. Ignored if the build was given up in the
    /// meantime.
    pub(crate) fn verified(&mut self, push: Push) {
        if self.states[push.build()] == PushState::GivenUp {
            return;
        }
        match push {
            Push::BuildTag(build) => self.set(build, PushState::Verified),
            Push::MovingTag(build) => self.set(build, PushState::Done),
        }
    }

    /// Gives up the pushes of a build and of its descendants, because a push failed permanently or
    /// the image was not built. Returns those descendants in the plan's order.
    pub(crate) fn give_up(&mut self, build: usize) -> Vec<usize> {
        let mut given_up = BTreeSet::new();
        let mut open = vec![build];
        while let Some(next) = open.pop() {
            if !matches!(self.states[next], PushState::Done | PushState::GivenUp) {
                self.set(next, PushState::GivenUp);
                given_up.insert(next);
                open.extend(&self.children[next]);
            }
        }
        given_up.remove(&build);
        given_up.into_iter().collect()
    }

    /// Whether both tags of a build are in the registry.
    pub(crate) fn is_done(&self, build: usize) -> bool {
        self.states[build] == PushState::Done
    }

    /// The only place where a state changes.
    fn set(&mut self, build: usize, to: PushState) {
        let from = self.states[build];
        let allowed = match to {
            PushState::Absent => false,
            PushState::Local => from == PushState::Absent,
            PushState::PushingBuild => from == PushState::Local,
            PushState::Verified => matches!(from, PushState::PushingBuild | PushState::Absent),
            PushState::PushingMoving => from == PushState::Verified,
            PushState::Done => from == PushState::PushingMoving,
            PushState::GivenUp => from != PushState::Done,
        };
        assert!(allowed, "the tags of build {build} cannot go from {from:?} to {to:?}");
        let on_the_way = |state| matches!(state, PushState::PushingBuild | PushState::PushingMoving);
        self.running += usize::from(on_the_way(to));
        self.running -= usize::from(on_the_way(from));
        self.states[build] = to;
        if matches!(to, PushState::Local | PushState::Verified) {
            self.candidates.insert(build);
        } else {
            self.candidates.remove(&build);
        }
    }
}

/// Orders the builds of one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rank<'a> {
    pub tag: &'a BuildTag,
    /// Number of science builds it was made from that are of its own commit; `None` if unknown.
    pub current_parents: Option<usize>,
}

impl Rank<'_> {
    /// Whether this build replaces another one of the same commit: it was made from more science
    /// builds of that commit, or from equally many and has a higher `--rebuild`. So if a product
    /// was rebuilt on an old science image because the science build of the commit was missing, the
    /// product on the new science image replaces it, and never the other way round.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        match (self.current_parents, other.current_parents) {
            (Some(ours), Some(theirs)) if ours != theirs => ours > theirs,
            _ => self.tag.rebuild > other.tag.rebuild,
        }
    }
}

/// The decision about a moving tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MoveDecision {
    /// It points to our build already.
    Keep,
    /// Point it to our build.
    Set,
    /// It points to a newer build: leave it.
    Newer,
    /// Unknown whether it points to a newer build.
    Unclear,
}

/// Decides whether a moving tag is updated.
///
/// `shown` is the digest that the tag points to, and the build tag recorded in that image;
/// `relation` is how the commit of that build relates to ours.
pub(crate) fn decide_move(
    ours: (&str, Rank<'_>),
    shown: Option<(&str, Option<Rank<'_>>)>,
    relation: Relation,
    allow_older: bool,
) -> MoveDecision {
    let Some((shown_digest, shown_build)) = shown else { return MoveDecision::Set };
    let (our_digest, our_build) = ours;
    if shown_digest == our_digest {
        return MoveDecision::Keep;
    }
    match relation {
        Relation::Ancestor => MoveDecision::Set,
        Relation::Same if shown_build.is_some_and(|shown| shown.replaces(&our_build)) => MoveDecision::Newer,
        Relation::Same => MoveDecision::Set,
        Relation::Descendant => MoveDecision::Newer,
        Relation::Diverged | Relation::Unknown if allow_older => MoveDecision::Set,
        Relation::Diverged | Relation::Unknown => MoveDecision::Unclear,
    }
}

/// Whether another build tag of the same version belongs to a newer build than ours.
///
/// A commit that is missing from this clone counts as newer if its commit count is higher. With
/// `allow_older`, only known commits count.
pub(crate) fn is_newer(
    other: &BuildTag,
    ours: &BuildTag,
    relation: impl Fn(&str) -> Relation,
    allow_older: bool,
) -> bool {
    if other.version != ours.version || other == ours {
        return false;
    }
    if other.hash == ours.hash {
        return other.rebuild > ours.rebuild;
    }
    // A descendant has more commits, so most tags are decided without reading the history.
    other.count > ours.count
        && match relation(&other.hash) {
            Relation::Descendant => true,
            Relation::Unknown => !allow_older,
            Relation::Same | Relation::Ancestor | Relation::Diverged => false,
        }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tag(text: &str) -> BuildTag {
        BuildTag::parse(text).unwrap()
    }

    #[test]
    fn moving_tags_are_not_set_back() {
        let ours = tag("1.0-5-aaaaaaa");
        let other = tag("1.0-7-bbbbbbb");
        let (first, second) = (tag("1.0-5-aaaaaaa-r1"), tag("1.0-5-aaaaaaa-r2"));
        for (ours, shown, relation, allow_older, expect) in [
            (&ours, None, Relation::Unknown, false, MoveDecision::Set),
            (&ours, Some(("sha256:1", Some(&ours))), Relation::Same, false, MoveDecision::Keep),
            (&ours, Some(("sha256:2", Some(&other))), Relation::Ancestor, false, MoveDecision::Set),
            (&ours, Some(("sha256:2", Some(&other))), Relation::Descendant, false, MoveDecision::Newer),
            (&ours, Some(("sha256:2", Some(&other))), Relation::Descendant, true, MoveDecision::Newer),
            (&ours, Some(("sha256:2", Some(&other))), Relation::Diverged, false, MoveDecision::Unclear),
            (&ours, Some(("sha256:2", Some(&other))), Relation::Diverged, true, MoveDecision::Set),
            (&ours, Some(("sha256:2", None)), Relation::Unknown, false, MoveDecision::Unclear),
            (&ours, Some(("sha256:2", None)), Relation::Unknown, true, MoveDecision::Set),
            (&second, Some(("sha256:2", Some(&first))), Relation::Same, false, MoveDecision::Set),
            (&first, Some(("sha256:2", Some(&second))), Relation::Same, false, MoveDecision::Newer),
            (&ours, Some(("sha256:2", Some(&first))), Relation::Same, false, MoveDecision::Newer),
        ] {
            let rank = |tag| Rank { tag, current_parents: None };
            let shown = shown.map(|(digest, tag): (&str, Option<&BuildTag>)| (digest, tag.map(rank)));
            let decided = decide_move(("sha256:1", rank(ours)), shown, relation, allow_older);
            assert_eq!(decided, expect, "{ours:?} {shown:?} {relation:?}");
        }
    }

    /// A nightly rebuild on an old science image neither blocks nor replaces the build on the new
    /// science image.
    #[test]
    fn of_one_commit_the_build_on_the_newer_science_stays() {
        let (first, eighth) = (tag("1.0-5-aaaaaaa"), tag("1.0-5-aaaaaaa-r8"));
        let rank = |tag, parents| Rank { tag, current_parents: Some(parents) };
        for (ours, shown, expect) in [
            (rank(&first, 1), rank(&eighth, 0), MoveDecision::Set),
            (rank(&eighth, 0), rank(&first, 1), MoveDecision::Newer),
            (rank(&first, 1), rank(&eighth, 1), MoveDecision::Newer),
            (rank(&eighth, 1), rank(&first, 1), MoveDecision::Set),
            (rank(&first, 0), rank(&eighth, 0), MoveDecision::Newer),
        ] {
            let decided =
                decide_move(("sha256:1", ours), Some(("sha256:2", Some(shown))), Relation::Same, true);
            assert_eq!(decided, expect, "{ours:?} {shown:?}");
        }
    }

    proptest! {
        /// The image that stays does not depend on the order in which two builds of a commit are
        /// pushed.
        #[test]
        fn one_of_two_builds_of_a_commit_replaces_the_other(
            builds in proptest::collection::vec((0_usize..3, proptest::option::of(0_u64..4)), 3),
        ) {
            let tags: Vec<BuildTag> = builds
                .iter()
                .map(|(_, rebuild)| BuildTag { rebuild: *rebuild, ..tag("1.0-5-aaaaaaa") })
                .collect();
            let rank = |at: usize| Rank { tag: &tags[at], current_parents: Some(builds[at].0) };
            for (a, b, c) in [(0, 1, 2), (1, 2, 0), (2, 0, 1), (1, 0, 2)] {
                let (a, b, c) = (rank(a), rank(b), rank(c));
                prop_assert!(!(a.replaces(&b) && b.replaces(&a)));
                prop_assert!(!(a.replaces(&b) && b.replaces(&c)) || a.replaces(&c));
            }
        }
    }

    #[test]
    fn a_chain_is_pushed_from_its_root_and_build_tags_come_first() {
        use Push::{BuildTag, MovingTag};
        let mut publish = PushSchedule::new(&[vec![], vec![0], vec![1]], 1);
        let mut order = Vec::new();
        publish.built(0);
        publish.built(1);
        publish.built(2);
        while let Some(push) = publish.start() {
            order.push(push);
            publish.verified(push);
        }
        assert_eq!(order, [BuildTag(0), BuildTag(1), BuildTag(2), MovingTag(0), MovingTag(1), MovingTag(2)]);
        assert!((0..3).all(|build| publish.is_done(build)));
    }

    #[test]
    fn what_is_reused_gets_its_moving_tag_looked_after() {
        let mut publish = PushSchedule::new(&[vec![], vec![0]], 4);
        publish.reused(0);
        assert_eq!(publish.start(), Some(Push::MovingTag(0)));
        publish.verified(Push::MovingTag(0));
        assert_eq!(publish.start(), None);
        publish.built(1);
        assert_eq!(publish.start(), Some(Push::BuildTag(1)));
    }

    #[test]
    fn a_failed_push_ends_those_of_descendants() {
        let mut publish = PushSchedule::new(&[vec![], vec![0], vec![], vec![1, 2]], 4);
        for build in 0..3 {
            publish.built(build);
        }
        assert_eq!(publish.start(), Some(Push::BuildTag(0)));
        assert_eq!(publish.start(), Some(Push::BuildTag(2)));
        assert_eq!(publish.give_up(0), [1, 3]);
        publish.built(3);
        publish.verified(Push::BuildTag(2));
        assert_eq!(publish.start(), Some(Push::MovingTag(2)));
        assert_eq!(publish.start(), None);
    }

    #[test]
    fn newer_build_tags_are_known_by_history_or_by_number() {
        let ours = tag("1.0-5-aaaaaaa-r1");
        for (other, relation, allow_older, expect) in [
            ("1.0-5-aaaaaaa-r1", Relation::Same, false, false),
            ("1.0-5-aaaaaaa-r2", Relation::Same, false, true),
            ("1.0-5-aaaaaaa", Relation::Same, false, false),
            ("1.0-6-bbbbbbb", Relation::Descendant, false, true),
            ("1.0-6-bbbbbbb", Relation::Descendant, true, true),
            ("1.0-6-bbbbbbb", Relation::Unknown, false, true),
            ("1.0-6-bbbbbbb", Relation::Unknown, true, false),
            ("1.0-6-bbbbbbb", Relation::Diverged, false, false),
            ("1.0-4-bbbbbbb", Relation::Unknown, false, false),
            ("2.0-6-bbbbbbb", Relation::Descendant, false, false),
        ] {
            let newer = is_newer(&tag(other), &ours, |_| relation, allow_older);
            assert_eq!(newer, expect, "{other} {relation:?} {allow_older}");
        }
    }

    /// The next step of a random run.
    #[derive(Debug, Clone)]
    enum Turn {
        Build(prop::sample::Index),
        Verify(prop::sample::Index),
        Fail(prop::sample::Index),
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            6 => any::<prop::sample::Index>().prop_map(Turn::Build),
            8 => any::<prop::sample::Index>().prop_map(Turn::Verify),
            1 => any::<prop::sample::Index>().prop_map(Turn::Fail),
        ]
    }

    proptest! {
        /// Invariant 8, over random graphs, orders and failures.
        #[test]
        fn a_moving_tag_follows_all_that_it_stands_on(
            rows in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..30),
            reused in prop::collection::btree_set(0_usize..30, 0..5),
            turns in prop::collection::vec(turn(), 0..300),
        ) {
            let needs: Vec<Vec<usize>> = rows.iter().enumerate().map(|(build, row)| {
                let parents: BTreeSet<usize> =
                    row.iter().filter(|_| build > 0).map(|index| index.index(build.max(1))).collect();
                parents.into_iter().collect()
            }).collect();
            let mut publish = PushSchedule::new(&needs, 3);
            let mut unbuilt: Vec<usize> = Vec::new();
            let mut shown = BTreeSet::new();
            for build in 0..needs.len() {
                if reused.contains(&build) {
                    publish.reused(build);
                    shown.insert(Push::BuildTag(build));
                } else {
                    unbuilt.push(build);
                }
            }
            let ancestors: Vec<BTreeSet<usize>> = needs.iter().fold(Vec::new(), |mut all, parents| {
                let own = parents.iter().flat_map(|p: &usize| {
                    all.get(*p).cloned().unwrap_or_default().into_iter().chain([*p])
                }).collect();
                all.push(own);
                all
            });
            let mut running: Vec<Push> = Vec::new();
            for turn in turns {
                match turn {
                    Turn::Build(index) if !unbuilt.is_empty() => {
                        let build = unbuilt.remove(index.index(unbuilt.len()));
                        publish.built(build);
                    }
                    Turn::Verify(index) if !running.is_empty() => {
                        let push = running.remove(index.index(running.len()));
                        publish.verified(push);
                        shown.insert(push);
                    }
                    Turn::Fail(index) if !running.is_empty() => {
                        let push = running.remove(index.index(running.len()));
                        publish.give_up(push.build());
                    }
                    _ => {}
                }
                while let Some(push) = publish.start() {
                    let all = &ancestors[push.build()];
                    prop_assert!(needs[push.build()].iter().all(|parent| shown.contains(&Push::BuildTag(*parent))));
                    if let Push::MovingTag(build) = push {
                        prop_assert!(shown.contains(&Push::BuildTag(build)));
                        prop_assert!(all.iter().all(|parent| shown.contains(&Push::BuildTag(*parent))));
                        prop_assert!(all.iter().all(|parent| shown.contains(&Push::MovingTag(*parent))));
                    }
                    prop_assert!(!running.contains(&push));
                    running.push(push);
                }
                prop_assert!(running.iter().filter(|p| publish.states[p.build()] != PushState::GivenUp).count() <= 3);
            }
        }
    }
}
