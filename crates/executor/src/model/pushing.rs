//! Executes a push of a modelled run, request by request, against the model's registry.

use super::outside::{Outside, Trouble};
use super::runner::{Rule, Run};
use super::story::Kind;
use super::task::{At, Task};
use super::tree::PREFIX;
use crate::Relation;
use crate::push::build_tag::{PushFailure, is_ours};
use crate::push::moving_tag::{current_parents, must_move, own_tag, read_shown};
use crate::run::result::Failure;
use crate::run::tag_order::{Push, Rank};

/// Number of attempts of a push. Waits are not modelled: any order of steps may come between two
/// attempts.
const ATTEMPTS: u32 = 3;

/// The result of a request.
enum Next {
    Go(At),
    Trouble(Trouble),
    End(Result<String, PushFailure>),
}

impl Run<'_> {
    /// Executes one request of a push. Returns whether the push failed permanently.
    pub(super) fn step_push(&mut self, push: Push, attempt: u32, at: At, outside: &mut Outside) -> bool {
        let next = match push {
            Push::BuildTag(build) => self.step_build_tag(build, at, outside),
            Push::MovingTag(build) => self.step_moving_tag(build, at, outside),
        };
        let pushed = match next {
            Next::Go(at) => {
                self.tasks.push(Task::Push { push, attempt, at });
                return false;
            }
            Next::Trouble(Trouble::Passing) if attempt < ATTEMPTS => {
                self.tasks.push(Task::Push { push, attempt: attempt + 1, at: At::Look });
                return false;
            }
            Next::Trouble(_) => Err(PushFailure::new(Failure::Push, "the registry refuses")),
            Next::End(pushed) => pushed,
        };
        let failed = pushed.is_err();
        self.course.pushed(push, pushed, 0.0);
        failed
    }

    fn look(&mut self, tag: &str, outside: &mut Outside) -> Result<Option<registry::Image>, Trouble> {
        let fault = self.fault(tag, Kind::Look);
        outside.look(self.by(), tag, false, fault)
    }

    /// Mirrors [`BuildTagPush::push`](crate::push::build_tag::BuildTagPush::push).
    fn step_build_tag(&mut self, build: usize, at: At, outside: &mut Outside) -> Next {
        let planned = &self.plan.builds[build];
        let tag = planned.build_tag();
        let image_id = self.course.results[build].image_id.clone().unwrap_or_default();
        let local = outside.engines[self.engine][tag].clone();
        let failed = |failure, text: &str| Next::End(Err(PushFailure::new(failure, text)));
        match at {
            At::Look => match self.look(tag, outside) {
                Err(trouble) => Next::Trouble(trouble),
                Ok(None) => Next::Go(At::Put),
                Ok(Some(shown)) if is_ours(&shown, &image_id) => Next::End(Ok(shown.digest)),
                Ok(Some(_)) => failed(Failure::Conflict, "somebody else was faster"),
            },
            At::Put => {
                let fault = self.fault(tag, Kind::Put);
                match outside.put(self.by(), tag, &local, fault) {
                    Err(trouble) => Next::Trouble(trouble),
                    Ok(()) if self.rule == Rule::MovesBeforeVerified => {
                        let fault = self.fault(planned.moving_tag(), Kind::Put);
                        match outside.put(self.by(), planned.moving_tag(), &local, fault) {
                            Ok(()) => Next::Go(At::Verify),
                            Err(trouble) => Next::Trouble(trouble),
                        }
                    }
                    Ok(()) => Next::Go(At::Verify),
                }
            }
            At::Verify => match self.look(tag, outside) {
                Err(trouble) => Next::Trouble(trouble),
                Ok(Some(shown)) if is_ours(&shown, &image_id) || shown.digest == local => {
                    Next::End(Ok(shown.digest))
                }
                Ok(_) => failed(Failure::Push, "the registry confirmed and shows something else"),
            },
        }
    }

    /// Mirrors [`MovingTag::push`](crate::push::moving_tag::MovingTag::push).
    fn step_moving_tag(&mut self, build: usize, at: At, outside: &mut Outside) -> Next {
        let planned = &self.plan.builds[build];
        let tag = planned.moving_tag();
        let digest = self.course.results[build].digest.clone().unwrap_or_default();
        if self.rule == Rule::ReusedIsDone && self.prepared().reused.contains_key(&build) {
            return Next::End(Ok(digest));
        }
        match at {
            At::Look => match self.look(tag, outside) {
                Err(trouble) => Next::Trouble(trouble),
                Ok(shown) => {
                    let shown = shown.map(|image| {
                        read_shown(planned.kind, &planned.target, PREFIX, image.digest, &image.labels)
                    });
                    let commit = shown.as_ref().and_then(|shown| shown.commit.as_deref());
                    let known = commit.and_then(|digits| self.tree.commit(digits));
                    let relation =
                        known.map_or(Relation::Unknown, |shown| self.tree.relation(shown, self.commit));
                    let forced = self.seed.allow_older;
                    let own = own_tag(planned.build_tag()).expect("the plan was made with good tags");
                    let from = self.prepared().from(self.plan, planned);
                    let current_parents = Some(current_parents(&from, &own.hash));
                    let own = Rank { tag: &own, current_parents };
                    match must_move(tag, (&digest, own), shown.as_ref(), relation, forced) {
                        _ if self.rule == Rule::AlwaysMoves => Next::Go(At::Put),
                        Ok(true) => Next::Go(At::Put),
                        Ok(false) => Next::End(Ok(digest)),
                        Err(failure) => Next::End(Err(failure)),
                    }
                }
            },
            At::Put => {
                let fault = self.fault(tag, Kind::Put);
                match outside.put(self.by(), tag, &digest, fault) {
                    Err(trouble) => Next::Trouble(trouble),
                    Ok(()) if self.rule == Rule::BelievesConfirmation => Next::End(Ok(digest)),
                    Ok(()) => Next::Go(At::Verify),
                }
            }
            At::Verify => match self.look(tag, outside) {
                Err(trouble) => Next::Trouble(trouble),
                Ok(Some(shown)) if shown.digest == digest => Next::End(Ok(digest)),
                Ok(_) => Next::End(Err(PushFailure::new(Failure::Push, "the tag shows something else"))),
            },
        }
    }
}
