//! Executes one modelled run, request by request, with the model's engine and registry.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use plan::label::{self, Field};
use plan::{Plan, Reference, Role, Target};
use proptest::sample::Index;

use super::checks::{Act, By};
use super::outside::{Image, Outside};
use super::story::{Cut, How, Kind, RunSeed, What};
use super::task::{At, Task};
use super::tree::{PREFIX, Tree};
use crate::build::labels::{self, KnownBase, Timestamp};
use crate::build::{BuildFailure, BuiltImage};
use crate::preflight::resolve::{Lookup, ResolvedImage};
use crate::preflight::reuse::{self, BuildTagState};
use crate::preflight::{Resolved, complete};
use crate::run::build_state::RunState;
use crate::run::result::Failure;
use crate::run::schedule::positions;
use crate::run::tag_order::Push;
use crate::{BuildResult, Outcome};

/// Which rule of a run is broken, if any: the checks must detect each. In parentheses, the number
/// of the violated invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    Kept,
    /// A build that the registry has already is not pushed again (4).
    ReusedIsDone,
    /// Descendants of a failed build start (7).
    FailureIsIgnored,
    /// A failure stops everything (7).
    FailureStopsAll,
    /// A moving tag is set before its build tag is verified (8).
    MovesBeforeVerified,
    /// A moving tag is set regardless of the build that it points to (9).
    AlwaysMoves,
    /// A build tag is pushed without checking for another client's tag (9).
    PushesBlindly,
    /// An image of an earlier run is reused by its labels, regardless of its base image (8).
    ResumesByName,
    /// A registry's confirmation of a moving tag is not verified (10).
    BelievesConfirmation,
    /// A run that could not push everything reports success (10).
    ForgivesPushes,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Interrupted,
    /// It ended before its first build.
    Refused,
    Done,
}

/// A run in progress.
pub(crate) struct Run<'a> {
    number: usize,
    pub(super) engine: usize,
    pub(super) tree: &'a Tree,
    pub(super) plan: &'a Plan,
    pub(super) commit: usize,
    pub(super) seed: &'a RunSeed,
    pub(super) rule: Rule,
    pub(super) course: RunState<'a>,
    /// Tags that are still to be read before the first build.
    first: VecDeque<String>,
    first_shown: BTreeMap<String, Option<registry::Image>>,
    prepared: Option<Resolved>,
    pub(super) tasks: Vec<Task>,
    failing: BTreeSet<usize>,
    faults: BTreeMap<(String, Kind, u8), How>,
    hits: BTreeMap<(String, Kind), u8>,
    steps: usize,
    pub end: Option<End>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        (number, engine): (usize, usize),
        tree: &'a Tree,
        plan: &'a Plan,
        seed: &'a RunSeed,
        rule: Rule,
        results: &'a mut [BuildResult],
    ) -> Self {
        let needs = positions(plan).expect("the model's plans are in order");
        let layers = plan.builds.iter().flat_map(|build| &build.references).filter_map(|reference| {
            if let Target::Layer { reference, .. } = &reference.target {
                Some(reference.clone())
            } else {
                None
            }
        });
        let tags = plan.builds.iter().map(|build| build.build_tag().to_owned());
        let mut run = Self {
            number,
            engine,
            tree,
            plan,
            commit: tree.commit(&plan.revision.commit).expect("a plan is of a commit"),
            seed,
            rule,
            course: RunState::new(plan, &needs, seed.jobs, true, results),
            first: tags.chain(layers.collect::<BTreeSet<_>>()).collect(),
            first_shown: BTreeMap::new(),
            prepared: None,
            tasks: Vec::new(),
            failing: BTreeSet::new(),
            faults: BTreeMap::new(),
            hits: BTreeMap::new(),
            steps: 0,
            end: None,
        };
        if plan.builds.is_empty() {
            run.end = Some(End::Done);
            return run;
        }
        for fault in &seed.faults {
            let build = fault.build.index(plan.builds.len());
            match fault.what {
                What::Build => {
                    run.failing.insert(build);
                }
                What::Request { kind, moving, nth, how } => {
                    let tag =
                        if moving { plan.builds[build].moving_tag() } else { plan.builds[build].build_tag() }
                            .to_owned();
                    run.faults.insert((tag, kind, nth), how);
                }
            }
        }
        run
    }

    pub(super) fn by(&self) -> By {
        By::Run(self.number)
    }

    /// The fault of the next request of this kind for a tag.
    pub(super) fn fault(&mut self, tag: &str, kind: Kind) -> Option<How> {
        let hit = self.hits.entry((tag.to_owned(), kind)).or_default();
        let fault = self.faults.get(&(tag.to_owned(), kind, *hit)).copied();
        *hit = hit.saturating_add(1);
        fault
    }

    /// Executes one request, or the end of one build; `pick` selects the task.
    pub(crate) fn step(&mut self, outside: &mut Outside, pick: &Index) {
        self.steps += 1;
        if let Some((cut, _)) = self.seed.cut.filter(|(_, at)| self.steps > *at) {
            outside.injected += 1;
            return self.cut(cut);
        }
        if self.prepared.is_none() {
            return self.look_first(outside);
        }
        let task = self.tasks.swap_remove(pick.index(self.tasks.len()));
        let failed = match task {
            Task::Build(build) => self.finish_build(build, outside),
            Task::Push { push, attempt, at } => self.step_push(push, attempt, at, outside),
        };
        if failed && (self.seed.fail_fast || self.rule == Rule::FailureStopsAll) {
            self.stop();
            self.end = Some(End::Done);
            return;
        }
        self.spawn(outside);
    }

    fn cut(&mut self, cut: Cut) {
        if cut == Cut::Stopped && self.prepared.is_some() {
            self.stop();
        }
        self.end = Some(if cut == Cut::Stopped { End::Interrupted } else { End::Killed });
    }

    fn stop(&mut self) {
        self.tasks.clear();
        self.course.stop(0.0);
        self.course.settle();
    }

    fn look_first(&mut self, outside: &mut Outside) {
        if let Some(tag) = self.first.pop_front() {
            let fault = self.fault(&tag, Kind::FirstLook);
            match outside.look(self.by(), &tag, true, fault) {
                Ok(shown) => {
                    self.first_shown.insert(tag, shown);
                }
                Err(_) => self.end = Some(End::Refused),
            }
            return;
        }
        match self.prepare() {
            Some(prepared) => {
                for (build, digest) in &prepared.reused {
                    self.course.reuse(*build, digest, 0.0);
                }
                self.prepared = Some(prepared);
                self.spawn(outside);
            }
            None => self.end = Some(End::Refused),
        }
    }

    /// Resolves images as `preflight` does.
    fn prepare(&self) -> Option<Resolved> {
        let there = |tag: &str| self.first_shown[tag].clone();
        let shown: BTreeMap<String, registry::Image> = self
            .plan
            .builds
            .iter()
            .filter_map(|build| Some((build.build_tag().to_owned(), there(build.build_tag())?)))
            .collect();
        let targets = self.plan.builds.iter().flat_map(|build| &build.references);
        let answers: BTreeMap<Target, Lookup> = targets
            .filter_map(|reference| {
                let Target::Layer { reference: tag, target } = &reference.target else { return None };
                let answer = there(tag).map_or(Lookup::Missing, |image| {
                    let version = image.labels.get(&label::science(PREFIX, target, Field::Version)).cloned();
                    let (exact, digest) = (image.digest.clone(), Some(image.digest));
                    Lookup::Found(ResolvedImage { name: tag.clone(), exact, digest, version })
                });
                Some((reference.target.clone(), answer))
            })
            .collect();
        let found = complete(self.plan, &answers, |build| shown.contains_key(build.build_tag())).ok()?;
        let mut prepared = Resolved::new(self.plan, found, BTreeMap::new());
        prepared.judge(self.plan, &shown).ok()?;
        Some(prepared)
    }

    /// Starts all builds and pushes that may start. If none are pending, the run is done.
    fn spawn(&mut self, outside: &mut Outside) {
        while let Some(build) = self.course.next_build() {
            outside.note(self.by(), Act::Started(self.plan.builds[build].id.clone()));
            self.tasks.push(Task::Build(build));
        }
        while let Some(push) = self.course.next_push() {
            let blind = self.rule == Rule::PushesBlindly && matches!(push, Push::BuildTag(_));
            let at = if blind { At::Put } else { At::Look };
            self.tasks.push(Task::Push { push, attempt: 1, at });
        }
        if self.tasks.is_empty() {
            self.course.settle();
            self.end = Some(End::Done);
        }
    }

    /// Finishes a build. Returns whether it failed.
    fn finish_build(&mut self, build: usize, outside: &mut Outside) -> bool {
        let planned = &self.plan.builds[build];
        let failed = self.failing.contains(&build);
        if failed {
            outside.injected += 1;
            outside.note(self.by(), Act::Failed(planned.id.clone()));
        }
        let made = if failed && self.rule != Rule::FailureIsIgnored {
            Err(BuildFailure { failure: Failure::Build, message: "RUN false".to_owned() })
        } else {
            let reusable = self.reusable(build, outside);
            let resumed = reusable.is_some();
            let image = reusable.unwrap_or_else(|| self.make(build, outside));
            outside.engines[self.engine].insert(planned.build_tag().to_owned(), image.digest);
            Ok(BuiltImage { image_id: image.id, size: None, resumed, compared: None })
        };
        let failed = made.is_err();
        self.course.built(build, made, Vec::new(), 0.0, 0.0);
        failed
    }

    pub(super) fn prepared(&self) -> &Resolved {
        self.prepared.as_ref().expect("builds and pushes start when all is looked up")
    }

    /// The digest that a reference resolves to now.
    fn digest_of(&self, target: &Target, outside: &Outside) -> Option<String> {
        let Target::Build { id } = target else { return self.prepared().found.get(target)?.digest.clone() };
        let parent = self.plan.builds.iter().position(|build| build.id == *id)?;
        let local = || outside.engines[self.engine].get(self.plan.builds[parent].build_tag()).cloned();
        let digest = self.prepared().reused.get(&parent).cloned().or_else(local);
        Some(digest.expect("a build starts when what it stands on is there"))
    }

    /// An image of an earlier run, if `resume::reusable` would accept it.
    fn reusable(&self, build: usize, outside: &Outside) -> Option<Image> {
        let planned = &self.plan.builds[build];
        let stands = |need: &plan::BuildId| {
            let parent = self.course.results.iter().find(|result| result.id == *need);
            parent.is_some_and(|parent| parent.outcome == Outcome::Reused)
        };
        if !self.seed.resume || !planned.needs.iter().all(stands) {
            return None;
        }
        let image = &outside.images[outside.engines[self.engine].get(planned.build_tag())?];
        let from = self.prepared().from(self.plan, planned);
        let reported = reuse::from(planned, PREFIX, &image.labels);
        let judged = reuse::judge(planned, PREFIX, &image.labels, &from.layers);
        let on_it = |reference: &Reference| match &reference.target {
            Target::Build { .. } => {
                reference.role == Role::Base
                    && self.digest_of(&reference.target, outside).as_ref() == image.parents.first()
            }
            _ => true,
        };
        let on_all = self.rule == Rule::ResumesByName || planned.references.iter().all(on_it);
        (judged == BuildTagState::Reuse && reported == from && on_all).then(|| image.clone())
    }

    fn make(&self, build: usize, outside: &mut Outside) -> Image {
        let planned = &self.plan.builds[build];
        let parents: Vec<String> = planned
            .references
            .iter()
            .filter_map(|reference| self.digest_of(&reference.target, outside))
            .collect();
        let base = parents.first().map(|digest| outside.images[digest].labels.clone());
        let from = self.prepared().from(self.plan, planned);
        let nameless = KnownBase { name: None, digest: None };
        let own = labels::complete(planned, PREFIX, &from, nameless, Timestamp::from_epoch(0));
        let mut labels = base.unwrap_or_default();
        labels.extend(own);
        outside.make(labels, parents, Some(self.commit))
    }
}
