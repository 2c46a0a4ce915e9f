//! Checks the invariants on a trace of requests, the results, and the final tags.
//!
//! Does not depend on how a trace was recorded, so traces of real components can be checked too.

use std::collections::{BTreeMap, BTreeSet};

use plan::{BuildId, Plan};

use crate::{BuildResult, Outcome, Relation};

/// The client that made a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The run with this number.
    Run(usize),
    /// Any other client.
    Person,
}

/// An event of a trace. Only requests that took effect, or whose response was received, are
/// recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// A build began.
    Started(BuildId),
    /// A build failed.
    Failed(BuildId),
    /// A read of a tag before the first build.
    LookedFirst { tag: String, shown: Option<String> },
    /// A read of a tag during its push.
    Looked { tag: String, shown: Option<String> },
    /// A tag points to this digest from now on.
    Put { tag: String, digest: String },
    /// A tag does not exist from now on.
    Deleted { tag: String },
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub by: By,
    pub act: Act,
}

/// A request that violated invariant 9.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Break {
    pub tag: String,
    pub what: String,
    /// Whether another client's change happened between this run's read, its last request before,
    /// and its put. A registry has no compare-and-swap (distribution-spec, "Pushing Manifests"), so
    /// this cannot be prevented.
    pub in_window: bool,
}

/// For each build, the positions of all its ancestors in the plan.
pub(crate) fn ancestors(plan: &Plan) -> Vec<BTreeSet<usize>> {
    let position: BTreeMap<&BuildId, usize> =
        plan.builds.iter().enumerate().map(|(index, build)| (&build.id, index)).collect();
    let mut all: Vec<BTreeSet<usize>> = Vec::new();
    for build in &plan.builds {
        let parents = build.needs.iter().map(|need| position[need]);
        let own = parents.flat_map(|parent| all[parent].iter().copied().chain([parent]).collect::<Vec<_>>());
        let own = own.collect();
        all.push(own);
    }
    all
}

/// Invariant 8: a moving tag is set after the build's own verified build tag and those of all its
/// planned ancestors.
pub(crate) fn push_order(steps: &[Step], plans: &[&Plan]) -> Result<(), String> {
    for (number, plan) in plans.iter().enumerate() {
        let ancestors = ancestors(plan);
        let moving: BTreeMap<&str, usize> =
            plan.builds.iter().enumerate().map(|(index, build)| (build.moving_tag(), index)).collect();
        let mut shown: BTreeMap<&str, &str> = BTreeMap::new();
        for step in steps.iter().filter(|step| step.by == By::Run(number)) {
            match &step.act {
                Act::LookedFirst { tag, shown: Some(digest) } | Act::Looked { tag, shown: Some(digest) } => {
                    shown.insert(tag, digest);
                }
                Act::Put { tag, digest } => {
                    let Some(build) = moving.get(tag.as_str()) else { continue };
                    let own = plan.builds[*build].build_tag();
                    if shown.get(own) != Some(&digest.as_str()) {
                        return Err(format!(
                            "8: {tag} was set to {digest}, which {own} was not seen to show"
                        ));
                    }
                    for ancestor in &ancestors[*build] {
                        let below = plan.builds[*ancestor].build_tag();
                        if !shown.contains_key(below) {
                            return Err(format!("8: {tag} was set before {below} was seen in the registry"));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Invariant 9: finds changes of a build tag, and moving tags that were set to a build that does
/// not follow the previous one. `relation(shown, set)` is the relation of the first digest's commit
/// to the second's; `forced` are the runs that move a tag even if the relation is unknown.
pub(crate) fn breaks(
    steps: &[Step],
    before: &BTreeMap<String, String>,
    is_build_tag: impl Fn(&str) -> bool,
    relation: impl Fn(&str, &str) -> Relation,
    forced: &BTreeSet<usize>,
) -> Vec<Break> {
    let mut tags = before.clone();
    let mut found = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        match (&step.act, step.by) {
            (Act::Put { tag, digest }, By::Run(run)) => {
                let old = tags.insert(tag.clone(), digest.clone()).filter(|old| old != digest);
                let Some(old) = old else { continue };
                let bad = if is_build_tag(tag) {
                    true
                } else {
                    match relation(&old, digest) {
                        Relation::Ancestor | Relation::Same => false,
                        Relation::Descendant => true,
                        Relation::Diverged | Relation::Unknown => !forced.contains(&run),
                    }
                };
                if bad {
                    let what = format!("9: run {run} changed {tag} from {old} to {digest}");
                    found.push(Break {
                        tag: tag.clone(),
                        what,
                        in_window: in_window(steps, at, tag, step.by),
                    });
                }
            }
            (Act::Put { tag, digest }, By::Person) => {
                tags.insert(tag.clone(), digest.clone());
            }
            (Act::Deleted { tag }, _) => {
                tags.remove(tag);
            }
            _ => {}
        }
    }
    found
}

/// Whether another client wrote a tag between this run's read, in the same push, and its put.
fn in_window(steps: &[Step], put: usize, tag: &str, by: By) -> bool {
    for step in steps[..put].iter().rev() {
        match &step.act {
            Act::Put { tag: other, .. } | Act::Deleted { tag: other } if other == tag && step.by != by => {
                return last_was_a_look(&steps[..put], tag, by);
            }
            Act::Looked { tag: other, .. } | Act::Put { tag: other, .. } if other == tag && step.by == by => {
                return false;
            }
            _ => {}
        }
    }
    false
}

fn last_was_a_look(steps: &[Step], tag: &str, by: By) -> bool {
    let own = steps.iter().rev().filter(|step| step.by == by).find_map(|step| match &step.act {
        Act::LookedFirst { tag: other, .. } | Act::Put { tag: other, .. } if other == tag => Some(false),
        Act::Looked { tag: other, .. } if other == tag => Some(true),
        _ => None,
    });
    own == Some(true)
}

/// Invariant 7, first half: no descendant of a failed build starts.
pub(crate) fn nothing_starts_after(steps: &[Step], run: usize, plan: &Plan) -> Result<(), String> {
    let ancestors = ancestors(plan);
    let acts = || steps.iter().filter(|step| step.by == By::Run(run)).map(|step| &step.act);
    let failed: BTreeSet<&BuildId> =
        acts().filter_map(|act| if let Act::Failed(id) = act { Some(id) } else { None }).collect();
    for (build, below) in plan.builds.iter().zip(&ancestors) {
        let on = below.iter().map(|index| &plan.builds[*index].id).find(|id| failed.contains(id));
        if let Some(on) = on.filter(|_| acts().any(|act| *act == Act::Started(build.id.clone()))) {
            return Err(format!("7: {} started, and {on} failed", build.id));
        }
    }
    Ok(())
}

/// Invariant 7, second half: a build that neither failed nor descends from a failed one ended as in
/// the run `without` the failure.
pub(crate) fn contained(plan: &Plan, with: &[BuildResult], without: &[BuildResult]) -> Result<(), String> {
    let ancestors = ancestors(plan);
    let failed: BTreeSet<usize> = (0..with.len())
        .filter(|index| {
            let own_failure = with[*index].outcome == Outcome::Failed
                || with[*index].outcome == Outcome::PushFailed && !is_given_up(&with[*index]);
            own_failure && !matches!(without[*index].outcome, Outcome::Failed | Outcome::PushFailed)
        })
        .collect();
    for (index, below) in ancestors.iter().enumerate() {
        if failed.contains(&index) || !below.is_disjoint(&failed) {
            continue;
        }
        let (with, without) = (&with[index], &without[index]);
        if with.outcome != without.outcome || with.pushed != without.pushed {
            return Err(format!(
                "7: {} ended {:?} and would have ended {:?} without a failure elsewhere",
                with.id, with.outcome, without.outcome
            ));
        }
    }
    Ok(())
}

fn is_given_up(build: &BuildResult) -> bool {
    build.error.as_deref().is_some_and(|error| error.starts_with("not pushed: "))
}

/// Invariant 10: a run reports success exactly if it found both tags of every planned build in the
/// registry, and its result matches what it read. `left` contains the final tags that no other
/// client wrote; they still point to that build.
pub(crate) fn truthful(
    steps: &[Step],
    run: usize,
    plan: &Plan,
    success: bool,
    results: &[BuildResult],
    left: Option<&BTreeMap<String, String>>,
) -> Result<(), String> {
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for step in steps.iter().filter(|step| step.by == By::Run(run)) {
        if let Act::LookedFirst { tag, shown: Some(digest) } | Act::Looked { tag, shown: Some(digest) } =
            &step.act
        {
            seen.insert((tag, digest));
        }
    }
    let mut all = true;
    for (build, result) in plan.builds.iter().zip(results) {
        let digest = result.digest.as_deref().unwrap_or_default();
        for tag in &result.pushed {
            if !seen.contains(&(tag.as_str(), digest)) {
                return Err(format!("10: {} says that {tag} shows {digest}, which was not seen", build.id));
            }
            if let Some(left) = left
                && left.get(tag).map(String::as_str) != Some(digest)
            {
                let shows = left.get(tag);
                return Err(format!("10: {} says that {tag} shows {digest}, it shows {shows:?}", build.id));
            }
        }
        let there = build.tags.iter().all(|tag| result.pushed.contains(tag));
        let good = matches!(result.outcome, Outcome::Built | Outcome::Reused);
        if good != there {
            return Err(format!(
                "10: {} ended {:?}, and its tags in the registry are {:?}",
                build.id, result.outcome, result.pushed
            ));
        }
        all &= there;
    }
    if success != all {
        return Err(format!("10: success is {success}, and all planned builds are there: {all}"));
    }
    Ok(())
}

/// Invariant 4: every tag of a plan exists, and each moving tag points to the same digest as its
/// build tag.
pub(crate) fn converged(plan: &Plan, left: &BTreeMap<String, String>) -> Result<(), String> {
    for build in &plan.builds {
        let (fixed, moving) = (left.get(build.build_tag()), left.get(build.moving_tag()));
        if fixed.is_none() || fixed != moving {
            return Err(format!(
                "4: {} shows {fixed:?} and {} shows {moving:?} after a clean run",
                build.build_tag(),
                build.moving_tag()
            ));
        }
    }
    Ok(())
}
