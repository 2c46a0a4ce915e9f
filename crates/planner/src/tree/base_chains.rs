//! Computes base chains: the base image of a layer's last stage, the base image of that one, and so
//! on. They determine the final layers and the dependencies.
//!
//! Nodes, products and images are numbers. One walk over all layers computes everything, in linear
//! time.

use hashbrown::HashMap;
use plan::Version;

/// The base of a layer's last stage, if it is a layer of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerBase {
    /// The layer that is the base.
    pub(crate) on: usize,
    /// Whether the reference names one build of that layer, which is not a dependency.
    pub(crate) pinned: bool,
}

/// The properties of a layer that matter for chains.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    /// The base of the layer.
    pub(crate) layer_base: Option<LayerBase>,
    /// Whether the base could not be determined.
    pub(crate) unknown: bool,
    /// The image of the layer: equal numbers for equal images.
    pub(crate) image: usize,
    /// The version of the layer.
    pub(crate) version: &'a Version,
}

/// The results, by layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chains {
    /// Whether no other layer of the same image and version is based on this one. `false` if that
    /// cannot be determined.
    pub(crate) is_final: Vec<bool>,
    /// Whether the base chain is unknown: the Dockerfile of the layer or of an ancestor is broken,
    /// or there is a cycle.
    pub(crate) unknown: Vec<bool>,
    /// Pairs of a layer and an ancestor of the same image with a higher version.
    pub(crate) higher_below: Vec<(usize, usize)>,
    below: Vec<Option<usize>>,
    visits: Vec<Option<(usize, usize)>>,
}

impl Chains {
    /// Walks all chains.
    pub(crate) fn new(links: &[Link<'_>]) -> Self {
        let below = without_pinned_cycles(links);
        let mut above = vec![Vec::new(); links.len()];
        for (node, on) in below.iter().enumerate() {
            if let Some(on) = on {
                above[*on].push(node);
            }
        }
        let mut chains = Self {
            is_final: vec![false; links.len()],
            unknown: vec![true; links.len()],
            higher_below: Vec::new(),
            below,
            visits: vec![None; links.len()],
        };
        let mut path = Path::default();
        let mut clock = 0;
        for root in 0..links.len() {
            if chains.below[root].is_some() {
                continue;
            }
            // Enters a node, visits all its descendants, then leaves it.
            let mut open = vec![(root, Step::Enter)];
            while let Some((node, step)) = open.pop() {
                clock += 1;
                match step {
                    Step::Enter => {
                        chains.visits[node] = Some((clock, usize::MAX));
                        chains.unknown[node] =
                            links[node].unknown || chains.below[node].is_some_and(|on| chains.unknown[on]);
                        chains.is_final[node] = true;
                        path.enter(node, links, &mut chains);
                        open.push((node, Step::Leave));
                        open.extend(above[node].iter().map(|child| (*child, Step::Enter)));
                    }
                    Step::Leave => {
                        path.leave(node, links);
                        if let Some((_, left)) = &mut chains.visits[node] {
                            *left = clock;
                        }
                    }
                }
            }
        }
        chains.higher_below.sort_unstable();
        chains
    }

    /// Whether `layer` is `other` or descends from it.
    pub(crate) fn is_based_on(&self, layer: usize, other: usize) -> bool {
        match (self.visits[layer], self.visits[other]) {
            (Some((entered, _)), Some((first, last))) => first <= entered && entered <= last,
            _ => layer == other,
        }
    }

    /// Returns the last layer of the tree in a layer's base chain; the layer itself if the chain is
    /// unknown.
    pub(crate) fn bottom(&self, layer: usize) -> usize {
        let mut bottom = layer;
        while let Some(below) = self.below[bottom].filter(|_| self.visits[layer].is_some()) {
            bottom = below;
        }
        bottom
    }
}

enum Step {
    Enter,
    Leave,
}

/// The layers between a root and the present node of the walk.
#[derive(Default)]
struct Path<'a> {
    /// Layers by image and version, from the root upwards.
    products: HashMap<(usize, &'a str), Vec<usize>>,
    /// By image: for each layer of that image on the path, the layer with the highest version so
    /// far.
    highest: HashMap<usize, Vec<usize>>,
}

impl<'a> Path<'a> {
    fn enter(&mut self, node: usize, links: &[Link<'a>], chains: &mut Chains) {
        let Link { image, version, .. } = links[node];
        let same = self.products.entry((image, version.as_str())).or_default();
        if let Some(below) = same.last() {
            chains.is_final[*below] = false;
        }
        same.push(node);
        let highest = self.highest.entry(image).or_default();
        match highest.last().copied().filter(|below| links[*below].version > version) {
            Some(below) => {
                chains.higher_below.push((node, below));
                highest.push(below);
            }
            None => highest.push(node),
        }
    }

    fn leave(&mut self, node: usize, links: &[Link<'a>]) {
        let Link { image, version, .. } = links[node];
        self.products.entry((image, version.as_str())).or_default().pop();
        self.highest.entry(image).or_default().pop();
    }
}

/// Returns the base of each layer. A pinned build was made from an older tree, so pinned bases may
/// form a cycle through present layers; such a cycle is cut at its pinned bases.
fn without_pinned_cycles(links: &[Link<'_>]) -> Vec<Option<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        No,
        InWalk(usize),
        Done,
    }
    let mut below: Vec<Option<usize>> =
        links.iter().map(|link| link.layer_base.map(|layer_base| layer_base.on)).collect();
    let mut seen = vec![Seen::No; links.len()];
    for start in 0..links.len() {
        let mut walk = Vec::new();
        let mut next = Some(start);
        while let Some(node) = next.filter(|node| seen[*node] == Seen::No) {
            seen[node] = Seen::InWalk(walk.len());
            walk.push(node);
            next = below[node];
        }
        if let Some(Seen::InWalk(first)) = next.map(|node| seen[node]) {
            for node in &walk[first..] {
                if links[*node].layer_base.is_some_and(|layer_base| layer_base.pinned) {
                    below[*node] = None;
                }
            }
        }
        for node in walk {
            seen[node] = Seen::Done;
        }
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers as `(image, version, base)`; a negative number is a pinned base.
    fn chains(layers: &[(usize, &str, Option<i32>)]) -> (Chains, Vec<usize>) {
        let versions: Vec<Version> =
            layers.iter().map(|(_, version, _)| Version::parse(version).expect("valid")).collect();
        let links: Vec<Link<'_>> = layers
            .iter()
            .zip(&versions)
            .map(|((image, _, on), version)| Link {
                layer_base: on.map(|on| LayerBase { on: on.unsigned_abs() as usize, pinned: on < 0 }),
                unknown: false,
                image: *image,
                version,
            })
            .collect();
        let chains = Chains::new(&links);
        let finals = (0..layers.len()).filter(|node| chains.is_final[*node]).collect();
        (chains, finals)
    }

    #[test]
    fn the_final_layer_has_none_of_its_product_above() {
        // 0 ← 1 (another image) ← 2, including the layers in between.
        let (chains, finals) = chains(&[(0, "1.0", None), (1, "1.0", Some(0)), (0, "1.0", Some(1))]);
        assert_eq!(finals, [1, 2]);
        assert!(chains.is_based_on(2, 0) && chains.is_based_on(2, 2) && !chains.is_based_on(0, 2));
    }

    #[test]
    fn another_version_is_another_product() {
        let (result, finals) = chains(&[(0, "1.0", None), (0, "2.0", Some(0)), (0, "1.0", None)]);
        assert_eq!(finals, [0, 1, 2]);
        assert!(result.higher_below.is_empty());
    }

    #[test]
    fn a_higher_version_below_is_found_at_any_depth() {
        let (result, _) =
            chains(&[(0, "2.10", None), (1, "1", Some(0)), (0, "2.9", Some(1)), (0, "3", Some(2))]);
        assert_eq!(result.higher_below, [(2, 0)]);
    }

    #[test]
    fn pinned_circles_are_cut_and_others_are_not_judged() {
        // Node 1 is based on 2, and 2 on a pinned build of 1.
        let (result, finals) = chains(&[(9, "1", None), (0, "1", Some(2)), (0, "1", Some(-1))]);
        assert_eq!(finals, [0, 1]);
        assert!(!result.unknown[1]);
        let (result, finals) = chains(&[(9, "1", None), (0, "1", Some(2)), (0, "1", Some(1))]);
        assert_eq!(finals, [0]);
        assert!(result.unknown[1] && result.unknown[2]);
    }

    #[test]
    fn long_chains_fit_the_stack() {
        let n = 100_000;
        let layers: Vec<(usize, &str, Option<i32>)> =
            (0..n).map(|node| (0, "1.0", (node > 0).then(|| node - 1))).collect();
        let (result, finals) = chains(&layers);
        assert_eq!(finals, [n as usize - 1]);
        assert!(result.is_based_on(n as usize - 1, 0));
    }
}
