//! Converts judged images to builds, and to decisions that the user must make.

use std::collections::BTreeSet;

use plan::{Reason, Unbuilt};

use crate::decide::rebuild_set::{RebuildSet, add_dependents, is_held};
use crate::decide::selection::{Flags, Judged};
use crate::diagnostics::finding::Findings;
use crate::request::Request;
use crate::tree::Tree;

use crate::decide::published::Undecided;
use crate::decide::published::judge::{Judge, Verdict};

/// Decides the builds. A layer that `--ignore` names counts as unchanged; changes of its parents
/// still count.
pub(super) fn affected(
    judge: &Judge<'_>,
    tree: &Tree,
    request: &Request,
    findings: &mut Findings,
) -> (RebuildSet, Vec<Undecided>) {
    let now = &judge.side.now;
    let flags = Flags::new(request, tree, findings);
    let mut unbuilt = Vec::new();
    let mut undecided = Vec::new();
    let mut science = Vec::with_capacity(now.side.science.len());
    for (index, layer) in now.side.science.iter().enumerate() {
        let mut reasons = judge.moved_below_science(index);
        let (path, reference) = (layer.path(), judge.side.science(index));
        match (judge.science(index), flags.judge(path)) {
            (Verdict::Same, _) => {}
            (_, Judged::Unchanged(why)) => {
                unbuilt.push(Unbuilt { layer: path.to_owned(), changed: vec![reference], why });
            }
            (Verdict::Build(reason), Judged::Compared | Judged::Forced(_)) => reasons.push(reason),
            // A held image needs no decision.
            (Verdict::Undecided(_), _) if is_held(now, index, &judge.side.config) => {}
            (Verdict::Undecided(why), Judged::Compared | Judged::Forced(_)) => {
                undecided.push(Undecided { layer: path.to_owned(), reference, why });
            }
        }
        science.push(reasons);
    }
    let mut affected = add_dependents(now, science, &judge.side.config, |product, layer, stack| {
        let mut reasons = judge.moved_below_product(product, layer, stack);
        let ignored = |path: &str| matches!(flags.judge(path), Judged::Unchanged(_));
        let all_ignored =
            !stack.is_empty() && stack.iter().all(|compat| ignored(now.side.compat[*compat].path()));
        if !all_ignored {
            reasons.extend(judge.product(product, layer, stack));
        }
        reasons
    });
    let built: BTreeSet<&str> = (0..now.side.science.len())
        .filter(|layer| !affected.science[*layer].is_empty())
        .map(|layer| now.side.science[layer].path())
        .collect();
    forget_moves(&mut affected, &built);
    // A layer that is built because of a parent needs no decision.
    undecided.retain(|undecided| !built.contains(undecided.layer.as_str()));
    unbuilt.extend(undecided.iter().map(|undecided| Unbuilt {
        layer: undecided.layer.clone(),
        changed: vec![undecided.reference.clone()],
        why: undecided.why.clone(),
    }));
    unbuilt.retain(|unbuilt| !built.contains(unbuilt.layer.as_str()));
    affected.unbuilt.extend(unbuilt);
    affected.unbuilt.sort();
    undecided.sort();
    (affected, undecided)
}

/// Removes `ParentMoved` reasons for parents that are rebuilt: they move in any case, and one
/// reason is enough.
fn forget_moves(affected: &mut RebuildSet, built: &BTreeSet<&str>) {
    let forget = |reasons: &mut Vec<Reason>| {
        reasons.retain(
            |reason| !matches!(reason, Reason::ParentMoved { layer, .. } if built.contains(layer.as_str())),
        );
    };
    affected.science.iter_mut().for_each(forget);
    for build in affected.compat.values_mut() {
        forget(&mut build.reasons);
    }
}
