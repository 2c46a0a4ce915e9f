//! Finds products that would be lost: removed from the tree, without a compat layer, or published
//! again with less content.

use std::collections::BTreeMap;

use crate::Problem;
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::request::Request;
use crate::tree::image_reference::Meaning;
use crate::tree::model::{self, TreeModel};
use crate::tree::product_name::ProductName;

/// Rejects the loss of a product of the base, unless it is removed on purpose.
pub(crate) fn check(
    now: &TreeModel,
    base: &TreeModel,
    config: &Config,
    request: &Request,
    findings: &mut Findings,
) {
    for (product, layer, _) in base.products() {
        let name = product.to_string();
        let given_up = config.retired.contains(&name) || request.allow_orphan.contains(&name);
        if !given_up
            && !now.in_doubt(product)
            && let Some(problem) = loss(now, base, product, layer)
        {
            findings.refuse(problem.help(given_up_by(&name)));
        }
    }
}

fn loss(now: &TreeModel, base: &TreeModel, product: &ProductName, was_final: usize) -> Option<Problem> {
    let old = &base.side.science[was_final];
    let old_target = old.descriptor.target.as_str();
    let kept = now.layer_of_target(old_target);
    let Some(is_final) = now.finals.get(product).copied() else {
        let message = format!(
            "{product} would be orphaned: no layer makes it any more, and the published image would get no compat updates"
        );
        return Some(match kept.map(|layer| &now.side.science[layer]) {
            Some(layer) if layer.descriptor.image != product.image => {
                layer.problem("image", "orphan", message)
            }
            Some(layer) => layer.problem("version", "orphan", message),
            None => Problem::in_file("orphan", old.path(), message),
        });
    };
    let layer = &now.side.science[is_final];
    if now.compat_name_of(is_final).is_none() {
        let message =
            format!("{product} would be orphaned: its final layer {} has no compat any more", layer.path());
        return Some(layer.problem("compat", "orphan", message));
    }
    downgrade(now, is_final, product, old_target)
}

/// Rejects products whose final layer is neither the final layer of the published image nor a
/// descendant of it. `before` contains the target of that published layer by product.
pub(crate) fn check_published(
    now: &TreeModel,
    before: &BTreeMap<ProductName, String>,
    config: &Config,
    request: &Request,
    findings: &mut Findings,
) {
    for (product, layer, _) in now.products() {
        let name = product.to_string();
        let given_up = config.retired.contains(&name) || request.allow_orphan.contains(&name);
        if let Some(target) = before.get(product)
            && !given_up
            && let Some(problem) = downgrade(now, layer, product, target)
        {
            findings.refuse(problem.help(given_up_by(&name)));
        }
    }
}

fn given_up_by(name: &str) -> String {
    format!(
        "keep it, or give it up on purpose: list \"{name}\" under `retired` in image-builder.toml, or \
         pass --allow-orphan {name}"
    )
}

/// Reports a product that would be published again without the contents of its former final layer.
fn downgrade(now: &TreeModel, is_final: usize, product: &ProductName, old_target: &str) -> Option<Problem> {
    let kept = now.layer_of_target(old_target);
    if now.chains.unknown[is_final] || is_based_on(now, is_final, product, old_target, kept) {
        return None;
    }
    let layer = &now.side.science[is_final];
    let message = format!(
        "{product} would silently lose the contents of {old_target}: its final layer is {} now, which does not descend from it",
        layer.path()
    );
    Some(match (model::base(&now.science_needs[is_final]), &layer.files.dockerfile) {
        (Some(base), Some(file)) => Problem::in_file("silent-downgrade", &file.path, message)
            .span(&file.text, base.span.start..base.span.end),
        _ => layer.problem("version", "silent-downgrade", message),
    })
}

/// Whether a layer is the layer `kept`, or is based on it or on a published build of `target`.
fn is_based_on(
    now: &TreeModel,
    layer: usize,
    product: &ProductName,
    target: &str,
    kept: Option<usize>,
) -> bool {
    if kept.is_some_and(|kept| now.chains.is_based_on(layer, kept)) {
        return true;
    }
    let same = |version: Option<&str>| version.is_none_or(|version| version == product.version.as_str());
    match model::base(&now.science_needs[now.chains.bottom(layer)]).map(|base| &base.meaning) {
        Some(Meaning::Pinned { target: on, version, .. }) => on == target && same(version.as_deref()),
        Some(Meaning::Registry { target: on, version, .. }) => on == target && same(Some(version)),
        _ => false,
    }
}
