//! Simulated nightly runs: from any published state, the plan contains exactly the missing builds.
//! After a failure its dependents are planned again, and after a successful run nothing is planned.

use std::collections::{BTreeMap, BTreeSet};

use plan::BuildId;
use planner::Request;
use proptest::prelude::*;

use super::properties::{Model, models, name};
use super::world::World;

/// The actual state of a build, recorded independently of labels.
#[derive(Debug, Clone)]
struct Made {
    /// The night of the build, used as its build tag.
    night: u64,
    /// Whether the build includes the changes.
    changes: bool,
    /// The nights of the parents that it was built on.
    parents: BTreeMap<usize, u64>,
}

/// Actual states by build id.
type Truth = BTreeMap<String, Made>;

fn science(layer: usize) -> String {
    format!("science/{}", name(layer))
}

/// Returns all possible builds, parents first, with their parents and whether they contain a
/// change.
fn all_builds(model: &Model) -> Vec<(String, BTreeSet<usize>, bool)> {
    let mut all: Vec<_> = (0..model.layers.len())
        .map(|layer| (science(layer), model.needs(layer), model.layers[layer].changed))
        .collect();
    for (product, finals) in model.finals() {
        let Some(compat) = model.layers[finals[0]].compat else { continue };
        let stack = model.stack(compat);
        let copied = stack.iter().filter_map(|compat| model.compats[*compat].copy);
        let changed = stack.iter().any(|compat| model.compats[*compat].changed);
        all.push((format!("rel/{product}"), copied.chain([finals[0]]).collect(), changed));
    }
    all
}

/// Returns the builds that are needed according to the actual states.
fn wanted(model: &Model, truth: &Truth, changes: bool) -> BTreeSet<String> {
    let mut wanted = BTreeSet::new();
    for (id, needs, changed) in all_builds(model) {
        let is_good = truth.get(&id).is_some_and(|made| {
            let text = !changed || made.changes == changes;
            let parents = needs.iter().all(|need| {
                !wanted.contains(&science(*need))
                    && truth.get(&science(*need)).map(|parent| parent.night)
                        == made.parents.get(need).copied()
            });
            text && parents
        });
        if !is_good {
            wanted.insert(id);
        }
    }
    wanted
}

/// Simulates one night: plans, compares the plan with the actual states, and builds with failures.
/// Returns the builds that are missing afterwards.
fn night(
    (model, number, changes): (&Model, u64, bool),
    world: &mut World,
    truth: &mut Truth,
    failing: &[prop::sample::Index],
) -> Result<BTreeSet<String>, TestCaseError> {
    let inputs = world.commit(number, &model.tree(changes));
    let planned = world.plan(&inputs, &Request::default()).expect("the tree is right");
    prop_assert!(planned.undecided.is_empty());
    let found: BTreeSet<String> = planned.plan.builds.iter().map(|build| build.id.0.clone()).collect();
    prop_assert_eq!(&found, &wanted(model, truth, changes), "night {}", number);
    prop_assert!(planned.plan.builds.iter().all(|build| !build.reasons.is_empty()));
    let fails: BTreeSet<BuildId> = failing
        .iter()
        .filter(|_| !planned.plan.builds.is_empty())
        .map(|at| planned.plan.builds[at.index(planned.plan.builds.len())].id.clone())
        .collect();
    let missing: BTreeSet<String> =
        world.build(&planned.plan, &fails).into_iter().map(|BuildId(id)| id).collect();
    for (id, needs, _) in all_builds(model) {
        if found.contains(&id) && !missing.contains(&id) {
            let parents = needs.iter().map(|need| (*need, truth[&science(*need)].night)).collect();
            truth.insert(id, Made { night: number, changes, parents });
        }
    }
    Ok(missing)
}

/// The number of cases: a few by default, many in `cargo xtask soak`.
fn cases() -> u32 {
    if std::env::var("IMAGE_BUILDER_SOAK").is_ok_and(|value| value == "1") { 1000 } else { 24 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_night_builds_what_is_missing_and_nothing_else(
        model in models(),
        first_fails in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        second_fails in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        same_commit in any::<bool>(),
    ) {
        prop_assume!(model.wrong().is_empty());
        let (mut world, mut truth) = (World::default(), Truth::new());
        night((&model, 1, false), &mut world, &mut truth, &first_fails)?;
        // Remove tags, as a registry cleanup does.
        for at in lost.iter().filter(|_| !world.images.is_empty()).collect::<Vec<_>>() {
            let Some(tag) = world.images.keys().nth(at.index(world.images.len().max(1))).cloned() else { continue };
            world.images.remove(&tag);
            let (_, name) = tag.rsplit_once('/').expect("a path");
            let is_science = tag.contains("/sci/");
            let id = match name.split_once(':') {
                Some((target, _)) if is_science => format!("science/{target}"),
                _ => format!("rel/{name}"),
            };
            truth.remove(&id).expect("it was built");
        }
        let missing = night((&model, 2, true), &mut world, &mut truth, &second_fails)?;
        // The plan contains exactly the missing builds, with or without a commit in between.
        prop_assert_eq!(&wanted(&model, &truth, true), &missing);
        let third = if same_commit { 2 } else { 3 };
        let missing = night((&model, third, true), &mut world, &mut truth, &[])?;
        prop_assert!(missing.is_empty());
        let inputs = world.commit(4, &model.tree(true));
        let planned = world.plan(&inputs, &Request::default()).expect("the tree is right");
        prop_assert!(planned.plan.builds.is_empty(), "after a good night");
    }
}
