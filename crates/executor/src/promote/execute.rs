//! Carries out a promotion: copies all builds in dependency order, then updates all moving tags in
//! the same order.
//!
//! No tag is moved before every build is copied. A promotion that failed or was interrupted can be
//! repeated.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::promote::copy::Copier;
use crate::promote::preview::references;
use crate::promote::{Copying, Event, History, Item, MoveState, Promotion, Route};
use crate::push::build_tag::{PushFailure, push_with_retries};
use crate::push::moving_tag::{MovingTag, MovingTagTarget, Observed};
use crate::run::result::Failure;
use crate::run::schedule::{Ended as BuildEnded, Schedule};
use crate::run::tag_order::{Push, PushSchedule};

/// Maximum number of builds copied concurrently.
const IMAGES: usize = 4;
/// Maximum number of tags moved concurrently.
const TAGS: usize = 4;
/// Time that a tag being moved gets to finish after a cancellation.
const GRACE: Duration = Duration::from_secs(5);

/// How a promotion ended; the outcome of each build is in the [`Promotion`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The failures, the most important one first.
    pub failures: Vec<Failure>,
    /// Whether it was cancelled before everything was done.
    pub interrupted: bool,
}

/// Copies builds, then moves tags. `streamed` counts the bytes that pass through this process.
pub async fn carry_out(
    promotion: &mut Promotion,
    route: &Route,
    registry: &Registry,
    history: History<'_>,
    (emit, streamed): (&(dyn Fn(Event) + Send + Sync), &AtomicU64),
    cancel: &CancellationToken,
) -> Ended {
    let mut ended = Ended { failures: Vec::new(), interrupted: false };
    let copier = Copier::new(registry, route, emit, streamed);
    let failed = copy(&promotion.images, &copier, cancel, &mut ended).await;
    for (at, result) in failed {
        let item = &mut promotion.images[at];
        match result {
            Ok(()) => item.state = Copying::Copied,
            Err(failure) => {
                let what = format!("{}/{}:{}", route.to, item.image, item.build_tag);
                emit(Event::Failed { what, error: failure.message.clone() });
                item.state = Copying::Failed;
                item.error = Some(failure.message);
                ended.failures.push(failure.failure);
            }
        }
    }
    if ended.interrupted || !ended.failures.is_empty() {
        for item in &mut promotion.images {
            if item.state == Copying::ToCopy {
                item.state = Copying::Skipped;
            }
            if let Some(moving) = item.moving.as_mut().filter(|moving| moving.state == MoveState::ToMove) {
                moving.state = MoveState::Skipped;
            }
        }
        return ended;
    }
    let moved = move_tags(promotion, route, registry, history, emit, cancel, &mut ended).await;
    for (at, moved) in moved {
        let item = &mut promotion.images[at];
        let Some(moving) = &mut item.moving else { continue };
        match moved {
            None => moving.state = MoveState::Skipped,
            Some(Ok(_)) if moving.state == MoveState::Kept => {}
            Some(Ok(_)) => moving.state = MoveState::Moved,
            Some(Err(failure)) => {
                moving.state = MoveState::Failed;
                item.error = Some(failure.message);
                ended.failures.push(failure.failure);
            }
        }
    }
    ended
}

/// Copies all builds that the target lacks; starts no more of them after a failure.
async fn copy(
    items: &[Item],
    copier: &Copier<'_>,
    cancel: &CancellationToken,
    ended: &mut Ended,
) -> Vec<(usize, Result<(), PushFailure>)> {
    let needs: Vec<Vec<usize>> = items.iter().map(|item| item.needs.clone()).collect();
    let mut schedule = Schedule::new(&needs, IMAGES);
    for (at, _) in items.iter().enumerate().filter(|(_, item)| item.state == Copying::There) {
        schedule.reuse(at);
    }
    let (mut running, mut results) = (FuturesUnordered::new(), Vec::new());
    let mut good = true;
    loop {
        while let Some(at) = good.then(|| schedule.start()).flatten() {
            running.push(async move { (at, copier.copy(&items[at]).await) });
        }
        let done = tokio::select! {
            biased;
            () = cancel.cancelled() => {
                ended.interrupted = true;
                return results;
            }
            done = running.next() => done,
        };
        let Some((at, result)) = done else { return results };
        good &= result.is_ok();
        schedule.finish(at, if result.is_ok() { BuildEnded::Built } else { BuildEnded::Failed });
        results.push((at, result));
    }
}

/// The outcome for the moving tag of a build; `None` if it was not attempted.
type Moved = (usize, Option<Result<String, PushFailure>>);

async fn move_tags(
    promotion: &Promotion,
    route: &Route,
    registry: &Registry,
    history: History<'_>,
    emit: &(dyn Fn(Event) + Send + Sync),
    cancel: &CancellationToken,
    ended: &mut Ended,
) -> Vec<Moved> {
    let items = &promotion.images;
    let named: Vec<(usize, (String, String))> =
        items.iter().zip(0..).filter_map(|(item, at)| Some((at, references(item, route)?))).collect();
    let mut publish = PushSchedule::new(&needs(items, &named), TAGS);
    for place in 0..named.len() {
        publish.reused(place);
    }
    // Each attempt begins by reading the registry, so whole attempts are retried instead of single
    // requests.
    let once = &registry.without_retries();
    let push = async |place: usize| {
        let (at, (build_tag, moving)) = &named[place];
        let item = &items[*at];
        let relation = |other: &str| history(&item.commit, other);
        let (kind, target) = item.sort();
        let (prefix, platform) = (&route.label_prefix, &route.platform);
        let moving_tag = MovingTag {
            subject: MovingTagTarget { kind, target, build_tag, moving, prefix, platform },
            digest: &item.digest,
            current_parents: item.current_parents,
            history: &relation,
            allow_older: route.allow_older,
            registry: once,
            observed: Observed::default(),
        };
        let reported = |error: &str, attempts, wait: Duration| {
            let (what, error, wait) = (moving.clone(), error.to_owned(), wait.as_secs_f64());
            emit(Event::Retry { what, error, attempts, wait });
        };
        (place, push_with_retries(route.push_timeout, |_| moving_tag.push(), reported).await)
    };
    let mut results: Vec<Moved> = named.iter().map(|(at, _)| (*at, None)).collect();
    let mut running = FuturesUnordered::new();
    let stopped = async {
        cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let mut stopped = std::pin::pin!(stopped);
    loop {
        // All build tags exist, so only moving tags can start.
        while let Some(Push::MovingTag(place)) = (!cancel.is_cancelled()).then(|| publish.start()).flatten() {
            running.push(push(place));
        }
        let done = tokio::select! {
            done = running.next() => done,
            () = &mut stopped => None,
        };
        let Some((place, result)) = done else { break };
        let (at, (_, moving)) = &named[place];
        match &result {
            Ok(digest) => {
                publish.verified(Push::MovingTag(place));
                if items[*at].moving.as_ref().is_some_and(|moving| moving.state == MoveState::ToMove) {
                    let (tag, build_tag) = (moving.clone(), items[*at].build_tag.clone());
                    emit(Event::Moved { tag, build_tag, digest: digest.clone() });
                }
            }
            Err(failure) => {
                publish.give_up(place);
                emit(Event::Failed { what: moving.clone(), error: failure.message.clone() });
            }
        }
        results[place].1 = Some(result);
    }
    ended.interrupted = cancel.is_cancelled() && results.iter().any(|(_, result)| result.is_none());
    results
}

/// For each build whose tag moves, the builds of the same promotion that it descends from.
fn needs<T>(items: &[Item], named: &[(usize, T)]) -> Vec<Vec<usize>> {
    let mut below: Vec<BTreeSet<usize>> = Vec::with_capacity(items.len());
    for item in items {
        let own = item.needs.iter().flat_map(|need| below[*need].iter().copied().chain([*need])).collect();
        below.push(own);
    }
    let place = |at: &usize| named.iter().position(|(other, _)| other == at);
    named.iter().map(|(at, _)| below[*at].iter().filter_map(place).collect()).collect()
}
