//! Compares the planner on random trees with a simple model: sets, and walks from each layer.
//!
//! The numbers are those of the invariants: 1 closed and minimal, 2 in order, 3 deterministic, 6
//! injective.

use std::collections::{BTreeMap, BTreeSet};

use plan::{ImageName, Kind, Version};
use planner::tree::{Inputs, Mode, Tree};
use planner::{Request, fixture};
use proptest::prelude::*;

/// A science layer. It refers to earlier layers by their indices in the list.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    image: usize,
    version: u8,
    base: Option<usize>,
    copies: BTreeSet<usize>,
    pub(super) compat: Option<usize>,
    pub(super) changed: bool,
}

/// A compat layer, with its includes and the layer that it copies from.
#[derive(Debug, Clone)]
pub(super) struct Compat {
    includes: BTreeSet<usize>,
    pub(super) copy: Option<usize>,
    pub(super) changed: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) layers: Vec<Layer>,
    pub(super) compats: Vec<Compat>,
}

/// How a layer uses the image of its base: most begin a new image, some continue that of the base.
#[derive(Debug, Clone, Copy)]
enum Image {
    Own,
    Continue {
        version_up: u8,
    },
    /// Any image with any version: mostly invalid.
    Wild(usize, u8),
}

pub(super) fn models() -> impl Strategy<Value = Model> {
    let image = prop_oneof![
        4 => Just(Image::Own),
        4 => (0..2u8).prop_map(|version_up| Image::Continue { version_up }),
    ];
    let sometimes_wild = prop_oneof![
        60 => image,
        1 => (0..200usize, 1..12u8).prop_map(|(image, version)| Image::Wild(image, version)),
    ];
    let layer = (
        sometimes_wild,
        proptest::option::weighted(0.8, any::<prop::sample::Index>()),
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        proptest::option::weighted(0.9, 0..5usize),
        prop::bool::weighted(0.05),
    );
    let compat = (
        prop::collection::vec(any::<prop::sample::Index>(), 0..3),
        proptest::option::weighted(0.2, any::<prop::sample::Index>()),
        prop::bool::weighted(0.1),
    );
    (prop::collection::vec(layer, 1..200), prop::collection::vec(compat, 5)).prop_map(|(layers, compats)| {
        let mut done: Vec<Layer> = Vec::new();
        for (index, (image, base, copies, compat, changed)) in layers.into_iter().enumerate() {
            let earlier = |at: prop::sample::Index| (index > 0).then(|| at.index(index.max(1)));
            let base = base.and_then(earlier);
            let goes_on =
                |with: &Layer| !done.iter().any(|other| other.base == base && other.image == with.image);
            let (image, version) = match (image, base.map(|base| &done[base])) {
                (Image::Wild(image, version), _) => (image, version),
                (Image::Continue { version_up }, Some(below)) if goes_on(below) => {
                    (below.image, below.version + version_up)
                }
                _ => (index, 9),
            };
            let copies = copies.into_iter().filter_map(earlier).collect();
            done.push(Layer { image, version, base, copies, compat, changed });
        }
        let compats = compats
            .into_iter()
            .enumerate()
            .map(|(index, (includes, copy, changed))| Compat {
                includes: includes
                    .into_iter()
                    .filter(|_| index > 0)
                    .map(|at| at.index(index.max(1)))
                    .collect(),
                copy: copy.map(|at| at.index(done.len())),
                changed,
            })
            .collect();
        Model { layers: done, compats }
    })
}

/// Names whose order differs from the order of the list.
pub(super) fn name(index: usize) -> String {
    format!("l{}", (index * 7919) % 10_007)
}

impl Model {
    pub(super) fn sci(&self, layer: usize) -> String {
        format!("sci/{}:{}.0", name(layer), self.layers[layer].version)
    }

    fn product(&self, layer: usize) -> String {
        format!("i{}:{}.0", self.layers[layer].image, self.layers[layer].version)
    }

    pub(super) fn tree(&self, changes: bool) -> Tree {
        let mut files = BTreeMap::new();
        let mut add = |path: String, text: String| files.insert(path, (Mode::File, text));
        for (index, layer) in self.layers.iter().enumerate() {
            let base = layer.base.map_or("docker.io/library/debian:12".to_owned(), |base| self.sci(base));
            let mut text = format!("FROM {base}\n");
            for copy in &layer.copies {
                text += &format!("COPY --from={} / /\n", self.sci(*copy));
            }
            if layer.changed && changes {
                text += "RUN changed\n";
            }
            let compat = layer.compat.map_or("null".to_owned(), |compat| format!("\"c{compat}\""));
            add(format!("science/{}/Dockerfile", name(index)), text);
            add(
                format!("science/{}/sciserver-image.json", name(index)),
                format!(
                    r#"{{ "image": "i{}", "version": "{}.0", "compat": {compat} }}"#,
                    layer.image, layer.version
                ),
            );
        }
        for (index, compat) in self.compats.iter().enumerate() {
            let mut text = String::new();
            if let Some(copy) = compat.copy {
                text += &format!("COPY --from={} / /\n", self.sci(copy));
            }
            if compat.changed && changes {
                text += "RUN changed\n";
            }
            let includes: Vec<String> =
                compat.includes.iter().map(|include| format!("\"c{include}\"")).collect();
            add(format!("compat/c{index}/Dockerfile"), text);
            add(
                format!("compat/c{index}/sciserver-image.json"),
                format!("{{ \"includes\": [{}] }}", includes.join(", ")),
            );
        }
        fixture::of_files(&files)
    }

    fn inputs(&self) -> Inputs {
        fixture::compare(self.tree(true), self.tree(false))
    }

    pub(super) fn needs(&self, layer: usize) -> BTreeSet<usize> {
        self.layers[layer].base.into_iter().chain(self.layers[layer].copies.iter().copied()).collect()
    }

    fn below(&self, layer: usize) -> Vec<usize> {
        std::iter::successors(self.layers[layer].base, |base| self.layers[*base].base).collect()
    }

    /// Returns for each product the layers that are not the base of another of its layers.
    pub(super) fn finals(&self) -> BTreeMap<String, Vec<usize>> {
        let mut finals: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for layer in 0..self.layers.len() {
            let covered = (0..self.layers.len()).any(|other| {
                self.product(other) == self.product(layer) && self.below(other).contains(&layer)
            });
            if !covered {
                finals.entry(self.product(layer)).or_default().push(layer);
            }
        }
        finals
    }

    /// Returns the codes of the expected problems.
    pub(super) fn wrong(&self) -> BTreeSet<&'static str> {
        let mut wrong = BTreeSet::new();
        if self.finals().values().any(|finals| finals.len() > 1) {
            wrong.insert("several-finals");
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let higher = |below: usize| {
                let below = &self.layers[below];
                below.image == layer.image && below.version > layer.version
            };
            if self.below(index).into_iter().any(higher) {
                wrong.insert("version-below");
            }
        }
        wrong
    }

    fn planned(&self) -> BTreeSet<usize> {
        let mut planned: BTreeSet<usize> =
            (0..self.layers.len()).filter(|layer| self.layers[*layer].changed).collect();
        loop {
            let more: BTreeSet<usize> = (0..self.layers.len())
                .filter(|layer| !planned.contains(layer) && !self.needs(*layer).is_disjoint(&planned))
                .collect();
            if more.is_empty() {
                return planned;
            }
            planned.extend(more);
        }
    }

    pub(super) fn stack(&self, compat: usize) -> BTreeSet<usize> {
        let includes = self.compats[compat].includes.iter().flat_map(|include| self.stack(*include));
        includes.chain([compat]).collect()
    }

    /// The parents of each build in the expected plan.
    fn expected(&self) -> BTreeMap<String, BTreeSet<String>> {
        let planned = self.planned();
        let id = |layer: &usize| format!("science/{}", name(*layer));
        let ids = |layers: BTreeSet<usize>| layers.intersection(&planned).map(id).collect::<BTreeSet<_>>();
        let mut builds: BTreeMap<String, BTreeSet<String>> =
            planned.iter().map(|layer| (id(layer), ids(self.needs(*layer)))).collect();
        for (product, finals) in self.finals() {
            let Some(compat) = self.layers[finals[0]].compat else { continue };
            let stack = self.stack(compat);
            let copied = stack.iter().filter_map(|compat| self.compats[*compat].copy);
            let needs = ids(copied.chain([finals[0]]).collect());
            if !needs.is_empty() || stack.iter().any(|compat| self.compats[*compat].changed) {
                builds.insert(format!("rel/{product}"), needs);
            }
        }
        builds
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_are_those_of_the_model(model in models(), turn in any::<prop::sample::Index>()) {
        let inputs = model.inputs();
        let planned = match planner::plan(&inputs, &Request::default()) {
            Ok(planned) => planned,
            Err(problems) => {
                let codes: BTreeSet<&str> = problems.iter().map(|problem| problem.code).collect();
                prop_assert_eq!(codes, model.wrong());
                return Ok(());
            }
        };
        prop_assert_eq!(model.wrong(), BTreeSet::new());
        let builds = &planned.plan.builds;

        // 1
        let found: BTreeMap<String, BTreeSet<String>> = builds
            .iter()
            .map(|build| (build.id.0.clone(), build.needs.iter().map(|id| id.0.clone()).collect()))
            .collect();
        prop_assert_eq!(found.len(), builds.len());
        prop_assert_eq!(found, model.expected());
        prop_assert!(builds.iter().all(|build| !build.reasons.is_empty()));

        // 2
        let mut done = BTreeSet::new();
        for build in builds {
            prop_assert!(build.needs.iter().all(|id| done.contains(id)), "{}", build.id);
            done.insert(&build.id);
        }

        // 3
        let mut turned = inputs.clone();
        let by = turn.index(turned.now.layers.len());
        turned.now.layers.rotate_left(by);
        turned.now.layers.reverse();
        if let planner::tree::Base::Commit { tree, .. } = &mut turned.base {
            tree.layers.rotate_right(by);
        }
        let again = planner::plan(&turned, &Request::default()).expect("the same tree");
        prop_assert_eq!(again.plan.to_json(), planned.plan.to_json());

        // 6
        let mut tags = BTreeSet::new();
        for build in builds {
            for tag in build.tags.iter() {
                let read = ImageName::parse(tag);
                prop_assert_eq!(read.map(|name| name.to_string()), Ok(tag.clone()));
                prop_assert!(tags.insert(tag.clone()), "{} is used twice", tag);
            }
            let family = if build.kind == Kind::Science { "/sci/" } else { "/rel/" };
            prop_assert!(build.tags.iter().all(|tag| tag.contains(family)));
        }
    }

    #[test]
    fn references_of_any_names_are_valid_and_apart(
        names in prop::collection::btree_set("[a-z0-9]{1,3}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}", 1..8),
        versions in prop::collection::btree_set("[0-9]{1,2}(\\.[0-9A-Za-z_]{1,2}){0,2}", 1..4),
    ) {
        let mut text = String::from(
            "//- /compat/c/Dockerfile\n//- /compat/c/sciserver-image.json\n{}\n",
        );
        let pairs = names.iter().flat_map(|name| versions.iter().map(move |version| (name, version)));
        for (index, (name, version)) in pairs.enumerate() {
            text += &format!(
                "//- /science/d{index}/Dockerfile\nFROM scratch\n//- /science/d{index}/sciserver-image.json\n\
                 {{ \"image\": \"{name}\", \"version\": \"{version}\", \"target\": \"{name}.{index}\", \"compat\": \"c\" }}\n"
            );
        }
        let folded: BTreeSet<String> = versions.iter().map(|version| version.to_lowercase()).collect();
        prop_assume!(folded.len() == versions.len());
        let planned = planner::plan(&fixture::first(&text), &Request::default()).expect("all names are right");
        prop_assert_eq!(planned.plan.builds.len(), 2 * names.len() * versions.len());
        let mut references = BTreeSet::new();
        let mut labels = BTreeSet::new();
        for build in &planned.plan.builds {
            prop_assert!(Version::parse(&build.version).is_ok());
            for tag in build.tags.iter() {
                prop_assert_eq!(ImageName::parse(tag).map(|name| name.to_string()), Ok(tag.clone()));
                prop_assert!(references.insert(tag.clone()), "{} is used twice", tag);
            }
            for label in build.labels.keys().filter(|key| key.starts_with("org.sciserver.science.")) {
                prop_assert!(labels.insert(label.clone()), "{} is used twice", label);
            }
        }
    }
}
