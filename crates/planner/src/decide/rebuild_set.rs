//! Decides the builds and their reasons: changed layers, their dependents, and the products on top.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use plan::{BuildId, Reason, Unbuilt};

use crate::decide::difference::{self, Difference};
use crate::decide::selection::{Flags, Judged};
use crate::diagnostics::finding::Findings;
use crate::parse::config::Config;
use crate::request::Request;
use crate::tree::Tree;
use crate::tree::model::{TreeModel, layers_in};
use crate::tree::product_name::ProductName;

/// The builds with their reasons, and changes that build nothing.
#[derive(Debug, Default)]
pub(crate) struct RebuildSet {
    /// Reasons by science layer; empty if the layer is not built.
    pub(crate) science: Vec<Vec<Reason>>,
    /// Builds by product, with the final layer and the stack.
    pub(crate) compat: BTreeMap<ProductName, CompatBuild>,
    /// Changes that build nothing, sorted.
    pub(crate) unbuilt: Vec<Unbuilt>,
}

/// A product whose compat image is built.
#[derive(Debug)]
pub(crate) struct CompatBuild {
    pub(crate) science: usize,
    pub(crate) stack: Vec<usize>,
    pub(crate) reasons: Vec<Reason>,
}

/// Returns the id of a product's build.
pub(crate) fn product_id(product: &ProductName) -> BuildId {
    BuildId(product.reference())
}

/// The state of a layer in the comparison.
#[derive(Debug, Clone)]
enum State {
    /// The base has no layer of that name.
    New,
    /// The base has the layer, with these differences.
    Known(Difference),
}

/// Decides the builds.
pub(crate) fn affected(
    (now, tree): (&TreeModel, &Tree),
    base: &TreeModel,
    request: &Request,
    config: &Config,
    findings: &mut Findings,
) -> RebuildSet {
    let flags = Flags::new(request, tree, findings);
    let science: Vec<State> = now
        .side
        .science
        .iter()
        .map(|layer| match base.layer_of_target(layer.descriptor.target.as_str()) {
            Some(other) => State::Known(difference::science(layer, &base.side.science[other])),
            None => State::New,
        })
        .collect();
    let compat: Vec<State> = now
        .side
        .compat
        .iter()
        .map(|layer| match base.compat_of_name(layer.name()) {
            Some(other) => State::Known(difference::compat(layer, &base.side.compat[other])),
            None => State::New,
        })
        .collect();

    let comparison = Comparison { now, base, flags, science, compat };
    let own = (0..now.side.science.len()).map(|layer| comparison.own_reasons(layer)).collect();
    let mut affected = add_dependents(now, own, config, |product, layer, stack| {
        comparison.product_reasons(product, layer, stack)
    });
    affected.unbuilt.extend(comparison.unbuilt(&affected));
    affected.unbuilt.sort();
    affected
}

/// Adds to the changed layers everything that must be built because of them: dependents and
/// products. Held products and their layers are not built, so that a rollback stays in effect.
pub(crate) fn add_dependents(
    now: &TreeModel,
    mut reasons: Vec<Vec<Reason>>,
    config: &Config,
    product_reasons: impl Fn(&ProductName, usize, &[usize]) -> Vec<Reason>,
) -> RebuildSet {
    let marked: Vec<bool> = reasons.iter().map(|reasons| !reasons.is_empty()).collect();
    let held: Vec<bool> = (0..marked.len()).map(|layer| is_held(now, layer, config)).collect();
    let planned = now.graph.with_free_descendants(&marked, &held);
    // All layers that would be built without `hold`.
    let touched = now.graph.with_descendants(&marked);
    let id = |layer: usize| BuildId(now.side.science[layer].path().to_owned());
    let mut unbuilt = Vec::new();
    for (layer, reasons) in reasons.iter_mut().enumerate() {
        let counts = if held[layer] { &touched } else { &planned };
        let parents = now.graph.parents(layer).iter().filter(|parent| counts[**parent]);
        reasons.extend(parents.map(|parent| Reason::ParentRebuilt { via: id(*parent) }));
        reasons.sort();
        if held[layer] && !reasons.is_empty() {
            let changed: BTreeSet<String> =
                std::mem::take(reasons).into_iter().flat_map(what_changed).collect();
            let (layer, product) = (id(layer).0, now.product_of(layer));
            unbuilt.push(Unbuilt { layer, changed: changed.into_iter().collect(), why: why_held(&product) });
        }
    }

    let mut affected = RebuildSet { science: reasons, unbuilt, ..RebuildSet::default() };
    for (product, layer, top) in now.products() {
        let stack = now.stack(top);
        let mut reasons = product_reasons(product, layer, &stack);
        let is_held = config.hold.contains(&product.to_string());
        let mut parents = parents_of_product(now, layer, &stack);
        parents.retain(|parent| if is_held { touched[*parent] } else { planned[*parent] });
        reasons.extend(parents.into_iter().map(|parent| Reason::ParentRebuilt { via: id(parent) }));
        reasons.sort();
        if reasons.is_empty() {
            continue;
        }
        if is_held {
            affected.unbuilt.push(Unbuilt {
                layer: now.side.science[layer].path().to_owned(),
                changed: vec![product_id(product).0],
                why: why_held(product),
            });
            continue;
        }
        affected.compat.insert(product.clone(), CompatBuild { science: layer, stack, reasons });
    }
    affected
}

/// Whether a science layer belongs to a product that is held.
pub(crate) fn is_held(now: &TreeModel, layer: usize, config: &Config) -> bool {
    !config.hold.is_empty() && config.hold.contains(&now.product_of(layer).to_string())
}

fn why_held(product: &ProductName) -> String {
    format!("{product} is under `hold` in image-builder.toml")
}

/// Returns the changes behind a reason to build a layer.
fn what_changed(reason: Reason) -> Vec<String> {
    match reason {
        Reason::Forced { flag } => vec![flag],
        Reason::NewLayer => vec!["the whole layer".to_owned()],
        Reason::FileChanged { paths } | Reason::CompatChanged { paths, .. } => paths,
        Reason::DescriptorChanged { fields } => fields,
        Reason::ParentRebuilt { via } => vec![via.0],
        Reason::FinalChanged { to, .. } => vec![to],
        Reason::NotPublished { reference } | Reason::TagMoved { reference, .. } => vec![reference],
        Reason::InputsChanged { paths, fields, .. } => [paths, fields].concat(),
        Reason::ParentMoved { layer, .. } => vec![layer],
        Reason::BaseMoved { image, .. } => vec![image],
    }
}

/// Returns the science layers that a product's compat image needs: the final layer, and those that
/// fragments copy from.
pub(crate) fn parents_of_product(now: &TreeModel, layer: usize, stack: &[usize]) -> Vec<usize> {
    let copied = stack.iter().flat_map(|compat| layers_in(&now.compat_needs[*compat]));
    let parents: BTreeSet<usize> = copied.chain([layer]).collect();
    parents.into_iter().collect()
}

struct Comparison<'a> {
    now: &'a TreeModel,
    base: &'a TreeModel,
    flags: Flags<'a>,
    science: Vec<State>,
    compat: Vec<State>,
}

impl Comparison<'_> {
    /// Returns the reasons to build a science layer, except for changed parents.
    fn own_reasons(&self, layer: usize) -> Vec<Reason> {
        match self.flags.judge(self.now.side.science[layer].path()) {
            Judged::Forced(flag) => vec![Reason::Forced { flag }],
            Judged::Unchanged(_) => Vec::new(),
            Judged::Compared => match &self.science[layer] {
                State::New => {
                    let mut reasons = vec![Reason::NewLayer];
                    if self.had_another_target(layer) {
                        reasons.push(Reason::DescriptorChanged { fields: vec!["target".to_owned()] });
                    }
                    reasons
                }
                State::Known(difference) => {
                    let mut reasons = Vec::new();
                    if !difference.paths.is_empty() {
                        reasons.push(Reason::FileChanged { paths: difference.paths.clone() });
                    }
                    if !difference.fields.is_empty() {
                        reasons.push(Reason::DescriptorChanged { fields: difference.fields.clone() });
                    }
                    reasons
                }
            },
        }
    }

    /// Whether the base has a layer with another name in the same directory.
    fn had_another_target(&self, layer: usize) -> bool {
        let path = self.now.side.science[layer].path();
        self.base.side.science.binary_search_by(|other| other.path().cmp(path)).is_ok()
    }

    /// Returns the reasons to build a product's compat image, except for rebuilt science layers.
    fn product_reasons(&self, product: &ProductName, layer: usize, stack: &[usize]) -> Vec<Reason> {
        let flags: BTreeSet<String> = stack
            .iter()
            .filter_map(|compat| match self.flags.judge(self.now.side.compat[*compat].path()) {
                Judged::Forced(flag) => Some(flag),
                Judged::Compared | Judged::Unchanged(_) => None,
            })
            .collect();
        let mut reasons: Vec<Reason> = flags.into_iter().map(|flag| Reason::Forced { flag }).collect();
        reasons.extend(self.stack_changed(stack));
        if matches!(self.flags.judge(self.now.side.science[layer].path()), Judged::Compared) {
            reasons.extend(self.final_changed(product, layer));
            reasons.extend(self.compat_field_changed(product, layer));
        }
        reasons
    }

    fn stack_changed(&self, stack: &[usize]) -> Option<Reason> {
        let mut layers = Vec::new();
        let mut paths = Vec::new();
        for compat in stack {
            let layer = &self.now.side.compat[*compat];
            if !matches!(self.flags.judge(layer.path()), Judged::Compared) {
                continue;
            }
            match &self.compat[*compat] {
                State::New => {
                    paths.push(layer.files.descriptor.path.clone());
                    paths.extend(layer.files.dockerfile.iter().map(|file| file.path.clone()));
                    paths.extend(layer.context().map(|file| format!("{}/{}", layer.path(), file.path)));
                }
                State::Known(difference) if difference.builds() => {
                    paths.extend(difference.paths.iter().cloned());
                    if !difference.fields.is_empty() {
                        paths.push(layer.files.descriptor.path.clone());
                    }
                }
                State::Known(_) => continue,
            }
            layers.push(layer.name().to_owned());
        }
        layers.sort();
        paths.sort();
        (!layers.is_empty()).then_some(Reason::CompatChanged { layers, paths })
    }

    fn final_changed(&self, product: &ProductName, layer: usize) -> Option<Reason> {
        let to = self.now.side.science[layer].descriptor.target.as_str();
        let from = self
            .base
            .finals
            .get(product)
            .map(|layer| self.base.side.science[*layer].descriptor.target.as_str().to_owned());
        (from.as_deref() != Some(to)).then(|| Reason::FinalChanged { from, to: to.to_owned() })
    }

    /// Returns a reason if the product had another compat layer or none.
    fn compat_field_changed(&self, product: &ProductName, layer: usize) -> Option<Reason> {
        let before = self.base.compat_name_of(*self.base.finals.get(product)?);
        (before != self.now.compat_name_of(layer))
            .then(|| Reason::DescriptorChanged { fields: vec!["compat".to_owned()] })
    }

    /// Lists changes that build nothing.
    fn unbuilt(&self, affected: &RebuildSet) -> Vec<Unbuilt> {
        let mut unbuilt = Vec::new();
        let products: HashSet<usize> = affected.compat.values().map(|build| build.science).collect();
        for (index, (layer, state)) in self.now.side.science.iter().zip(&self.science).enumerate() {
            self.quiet(layer.path(), &layer.files.descriptor.path, state, &mut unbuilt);
            if let State::Known(difference) = state
                && difference.compat
                && !products.contains(&index)
                && matches!(self.flags.judge(layer.path()), Judged::Compared)
            {
                let product = self.now.product_of(index);
                let why = match self.now.finals.get(&product) {
                    Some(is_final) if *is_final == index => format!("no compat image of {product} is wanted"),
                    _ => format!("only the compat of the final layer of {product} counts"),
                };
                let changed = vec!["compat".to_owned()];
                unbuilt.push(Unbuilt { layer: layer.path().to_owned(), changed, why });
            }
        }
        let mut used = vec![false; self.now.side.compat.len()];
        for (_, _, top) in self.now.products() {
            for compat in self.now.stack(top) {
                used[compat] = true;
            }
        }
        for (index, (layer, state)) in self.now.side.compat.iter().zip(&self.compat).enumerate() {
            self.quiet(layer.path(), &layer.files.descriptor.path, state, &mut unbuilt);
            if !used[index] && matches!(self.flags.judge(layer.path()), Judged::Compared) {
                let changed = match state {
                    State::New => vec![layer.files.descriptor.path.clone()],
                    State::Known(difference) => [&difference.paths[..], &difference.fields].concat(),
                };
                if !changed.is_empty() {
                    let why = "no product has this layer in its compat stack".to_owned();
                    unbuilt.push(Unbuilt { layer: layer.path().to_owned(), changed, why });
                }
            }
        }
        unbuilt.extend(self.deleted());
        unbuilt
    }

    /// Lists changes of one layer that do not affect its build.
    fn quiet(&self, path: &str, descriptor: &str, state: &State, unbuilt: &mut Vec<Unbuilt>) {
        let mut add = |changed: Vec<String>, why: &str| {
            unbuilt.push(Unbuilt { layer: path.to_owned(), changed, why: why.to_owned() });
        };
        let judged = self.flags.judge(path);
        let difference = match (state, judged) {
            (_, Judged::Forced(_)) => return,
            (State::New, Judged::Unchanged(flag)) => return add(vec![descriptor.to_owned()], &flag),
            (State::New, Judged::Compared) => return,
            (State::Known(difference), Judged::Unchanged(flag)) => {
                let compat = difference.compat.then(|| "compat".to_owned());
                let changed: Vec<String> =
                    difference.paths.iter().chain(&difference.fields).cloned().chain(compat).collect();
                if !changed.is_empty() {
                    add(changed, &flag);
                }
                return;
            }
            (State::Known(difference), Judged::Compared) => difference,
        };
        if !difference.quiet_paths.is_empty() {
            add(difference.quiet_paths.clone(), "these files are not sent to the build");
        }
        if !difference.quiet_fields.is_empty() {
            add(
                difference.quiet_fields.clone(),
                "these fields of the descriptor decide nothing that is built",
            );
        }
        if difference.layout {
            add(vec![descriptor.to_owned()], "the descriptor says the same as before");
        }
        if let Some(before) = &difference.moved_from {
            add(vec![before.clone()], "a layer is the same by its target, wherever its directory is");
        }
    }

    fn deleted(&self) -> Vec<Unbuilt> {
        let mut deleted = Vec::new();
        let mut add = |path: &str, descriptor: &str, why: &str| {
            let changed = vec![descriptor.to_owned()];
            deleted.push(Unbuilt { layer: path.to_owned(), changed, why: why.to_owned() });
        };
        let here: HashSet<&str> = self.now.side.science.iter().map(|layer| layer.path()).collect();
        for layer in &self.base.side.science {
            let gone = self.now.layer_of_target(layer.descriptor.target.as_str()).is_none();
            if gone && !here.contains(layer.path()) {
                add(
                    layer.path(),
                    &layer.files.descriptor.path,
                    "the layer is gone: its images stay in the registry",
                );
            }
        }
        for layer in &self.base.side.compat {
            if self.now.compat_of_name(layer.name()).is_none() {
                add(layer.path(), &layer.files.descriptor.path, "the layer is gone");
            }
        }
        deleted
    }
}
