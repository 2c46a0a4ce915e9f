//! The state of every build of a run: decides what may start next, and how the end of a build or
//! push affects the results.
//!
//! Pure: combines the schedule of builds and the order of pushes. Does not know about engines,
//! registries or clocks; `event_loop` carries out the builds and pushes and reports how they ended.
//! Times are seconds since the run began.

use plan::{Build, Plan};

use crate::Event;
use crate::build::{BuildFailure, BuiltImage};
use crate::push::build_tag::PushFailure;
use crate::run::result::{BuildResult, Failure, Outcome};
use crate::run::schedule::{Ended, Schedule, State};
use crate::run::tag_order::{Push, PushSchedule};

/// Minimum number of concurrent pushes. With more concurrent builds, that many pushes run, so that
/// they keep up. The engine limits concurrent layer uploads across all pushes.
const PUSHES: usize = 4;

/// A run in progress.
pub(crate) struct RunState<'a> {
    plan: &'a Plan,
    /// Whether images go to the registry.
    push: bool,
    schedule: Schedule,
    publish: PushSchedule,
    /// One entry per build of the plan.
    pub results: &'a mut [BuildResult],
}

impl<'a> RunState<'a> {
    /// `needs` as returned by [`crate::run::schedule::positions`].
    pub(crate) fn new(
        plan: &'a Plan,
        needs: &[Vec<usize>],
        jobs: usize,
        push: bool,
        results: &'a mut [BuildResult],
    ) -> Self {
        Self {
            plan,
            push,
            schedule: Schedule::new(needs, jobs),
            publish: PushSchedule::new(needs, jobs.max(PUSHES)),
            results,
        }
    }

    /// Takes the next build that may start now.
    pub(crate) fn next_build(&mut self) -> Option<usize> {
        self.schedule.start()
    }

    /// Takes the next push that may start now.
    pub(crate) fn next_push(&mut self) -> Option<Push> {
        if self.push { self.publish.start() } else { None }
    }

    /// Counts a build as done because the registry had it before the run.
    pub(crate) fn reuse(&mut self, build: usize, digest: &str, at: f64) -> Event {
        self.schedule.reuse(build);
        self.publish.reused(build);
        let tag = self.plan.builds[build].build_tag().to_owned();
        let result = &mut self.results[build];
        result.outcome = Outcome::Reused;
        result.digest = Some(digest.to_owned());
        result.tags = vec![tag.clone()];
        result.pushed = vec![tag];
        self.finished(build, at)
    }

    /// Records how a build ended.
    pub(crate) fn built(
        &mut self,
        build: usize,
        made: Result<BuiltImage, BuildFailure>,
        log_tail: Vec<String>,
        seconds: f64,
        at: f64,
    ) -> Vec<Event> {
        let planned = &self.plan.builds[build];
        let result = &mut self.results[build];
        result.seconds = seconds;
        match made {
            Ok(made) => {
                result.outcome = if made.resumed { Outcome::Reused } else { Outcome::Built };
                result.image_id = Some(made.image_id);
                result.size = made.size;
                result.tags = planned.tags.iter().cloned().collect();
                result.compared = made.compared;
                self.schedule.finish(build, Ended::Built);
                self.publish.built(build);
                vec![self.finished(build, at)]
            }
            Err(failure) => {
                result.outcome = Outcome::Failed;
                result.failure = Some(failure.failure);
                result.error = Some(failure.message);
                result.log_tail = log_tail;
                let mut events = vec![self.finished(build, at)];
                for descendant in self.schedule.finish(build, Ended::Failed) {
                    let result = &mut self.results[descendant];
                    result.outcome = Outcome::Skipped;
                    result.error = Some(format!("{} failed", planned.id));
                    events.push(self.finished(descendant, at));
                }
                self.give_pushes_up(build, &format!("{} was not built", planned.id), None);
                events
            }
        }
    }

    /// Records how a push ended.
    pub(crate) fn pushed(&mut self, push: Push, pushed: Result<String, PushFailure>, seconds: f64) -> Event {
        let build = push.build();
        let planned = &self.plan.builds[build];
        let (id, tag) = (planned.id.clone(), tag_of(planned, push).to_owned());
        let result = &mut self.results[build];
        match pushed {
            Ok(digest) => {
                self.publish.verified(push);
                result.digest = Some(digest.clone());
                for tags in [&mut result.pushed, &mut result.tags] {
                    if !tags.contains(&tag) {
                        tags.push(tag.clone());
                    }
                }
                Event::Pushed { id, tag, digest, seconds }
            }
            Err(failure) => {
                result.outcome = Outcome::PushFailed;
                result.failure = Some(failure.failure);
                result.error = Some(failure.message.clone());
                self.give_pushes_up(build, &format!("the push of {id} failed"), Some(failure.failure));
                Event::PushFailed { id, tag, error: failure.message }
            }
        }
    }

    /// Gives up the pushes of a build and its descendants. `failure` is that of the push that
    /// caused it.
    fn give_pushes_up(&mut self, build: usize, reason: &str, failure: Option<Failure>) {
        for descendant in self.publish.give_up(build) {
            let result = &mut self.results[descendant];
            if result.error.is_none() {
                result.error = Some(format!("not pushed: {reason}"));
                result.failure = failure;
            }
        }
    }

    /// Cancels everything that waits or runs; the futures of running builds were dropped already.
    pub(crate) fn stop(&mut self, at: f64) -> Vec<Event> {
        let running: Vec<usize> =
            (0..self.results.len()).filter(|build| self.schedule.state(*build) == State::Running).collect();
        for build in &running {
            self.schedule.finish(*build, Ended::Cancelled);
        }
        let cancelled = running.into_iter().chain(self.schedule.stop());
        cancelled
            .map(|build| {
                self.results[build].outcome = Outcome::Cancelled;
                self.finished(build, at)
            })
            .collect()
    }

    /// Decides the outcome of built images by whether they had to be pushed and whether they were.
    pub(crate) fn settle(&mut self) {
        if !self.push {
            return;
        }
        for build in 0..self.results.len() {
            let there = matches!(self.schedule.state(build), State::Built | State::Reused);
            if there && !self.publish.is_done(build) {
                let result = &mut self.results[build];
                result.outcome =
                    if result.error.is_some() { Outcome::PushFailed } else { Outcome::Cancelled };
            }
        }
    }

    /// Returns the event for the end of a build, from its result.
    fn finished(&self, build: usize, at: f64) -> Event {
        let result = &self.results[build];
        Event::BuildFinished {
            id: result.id.clone(),
            outcome: result.outcome,
            seconds: result.seconds,
            error: result.error.clone(),
            log_tail: result.log_tail.clone(),
            failed_at: result.failed_at.clone(),
            log: result.log.clone(),
            at,
        }
    }
}

/// The full reference that a push sets.
pub(crate) fn tag_of(build: &Build, push: Push) -> &str {
    match push {
        Push::BuildTag(_) => build.build_tag(),
        Push::MovingTag(_) => build.moving_tag(),
    }
}

/// Whether a run succeeded: every planned build exists and, if requested, is pushed.
pub(crate) fn is_success(builds: &[BuildResult]) -> bool {
    builds.iter().all(|build| matches!(build.outcome, Outcome::Built | Outcome::Reused))
}
