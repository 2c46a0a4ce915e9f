//! Computes compat stacks: the order of their layers, and their merged files.

use std::collections::BTreeMap;

use plan::Shadowed;

use crate::Problem;
use crate::tree::layers::CompatLayer;
use crate::tree::{LayerFiles, TreeFile};

/// Returns the layers of a stack: included layers before the including one, each once at its first
/// place. A layer that includes itself, directly or not, is reported elsewhere; here it ends the
/// search.
pub(crate) fn order(top: usize, includes: &[Vec<usize>]) -> Vec<usize> {
    let mut stack = Vec::new();
    let mut met = std::collections::HashSet::from([top]);
    let mut open = vec![(top, 0)];
    while let Some((layer, next)) = open.last_mut() {
        let include = includes[*layer].get(*next).copied();
        *next += 1;
        match include {
            Some(include) => {
                if met.insert(include) {
                    open.push((include, 0));
                }
            }
            None => {
                stack.push(*layer);
                open.pop();
            }
        }
    }
    stack
}

/// The files of a stack.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    /// Files by path in the context: the layer that a file comes from, and the file.
    pub(crate) files: BTreeMap<&'a str, (&'a LayerFiles, &'a TreeFile)>,
    /// Settings that a later layer overrides, sorted.
    pub(crate) shadowed: Vec<Shadowed>,
    /// Files that replace a directory, or the reverse.
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Overlay<'a> {
    /// Merges the files of the layers. Later layers override earlier ones.
    pub(crate) fn new(layers: &[&'a CompatLayer]) -> Self {
        let mut files: BTreeMap<&str, (&CompatLayer, &TreeFile)> = BTreeMap::new();
        let mut shadowed = Vec::new();
        for layer in layers {
            for file in layer.context() {
                if let Some((earlier, replaced)) = files.insert(&file.path, (layer, file))
                    && (&replaced.mode, &replaced.id) != (&file.mode, &file.id)
                {
                    shadowed.push(loss(format!("file:{}", file.path), earlier, layer));
                }
            }
        }
        shadowed.extend(lost_settings(layers));
        shadowed.sort();
        shadowed.dedup();
        let problems = files_over_directories(&files);
        let files = files.into_iter().map(|(path, (layer, file))| (path, (&*layer.files, file))).collect();
        Self { files, shadowed, problems }
    }
}

/// Merges the build arguments of a stack. Values of later layers override earlier ones.
pub(crate) fn args(layers: &[&CompatLayer]) -> BTreeMap<String, String> {
    layers.iter().flat_map(|layer| layer.descriptor.args.clone()).collect()
}

fn lost_settings(layers: &[&CompatLayer]) -> Vec<Shadowed> {
    let mut lost = Vec::new();
    let mut instructions: BTreeMap<&str, &CompatLayer> = BTreeMap::new();
    let mut args: BTreeMap<&str, (&str, &CompatLayer)> = BTreeMap::new();
    for layer in layers {
        for (what, _) in layer.fragment.iter().flat_map(|fragment| &fragment.overrides) {
            if let Some(earlier) = instructions.insert(what, layer)
                && earlier.path() != layer.path()
            {
                lost.push(loss(what.clone(), earlier, layer));
            }
        }
        for (key, value) in &layer.descriptor.args {
            if let Some((replaced, earlier)) = args.insert(key, (value, layer))
                && replaced != value
            {
                lost.push(loss(format!("arg:{key}"), earlier, layer));
            }
        }
    }
    lost
}

fn loss(what: String, from: &CompatLayer, by: &CompatLayer) -> Shadowed {
    Shadowed { what, from: from.name().to_owned(), by: by.name().to_owned() }
}

fn files_over_directories(files: &BTreeMap<&str, (&CompatLayer, &TreeFile)>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, (layer, _)) in files {
        for (end, _) in path.match_indices('/') {
            if let Some((other, _)) = files.get(&path[..end]) {
                problems.push(
                    Problem::in_file(
                        "file-over-directory",
                        format!("{}/{path}", layer.path()),
                        format!(
                            "{} is a file in {} and a directory in {}",
                            &path[..end],
                            other.path(),
                            layer.path()
                        ),
                    )
                    .help("the layers of a stack are laid over each other: give one of the two another name"),
                );
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn an_include_comes_before_what_includes_it_and_once() {
        for (includes, expect) in [
            (vec![vec![]], vec![0]),
            (vec![vec![1, 2], vec![], vec![]], vec![1, 2, 0]),
            (vec![vec![2, 1], vec![3], vec![3], vec![]], vec![3, 2, 1, 0]),
            (vec![vec![1], vec![0]], vec![1, 0]),
        ] {
            assert_eq!(order(0, &includes), expect, "{includes:?}");
        }
        let n = 100_000;
        let chain: Vec<Vec<usize>> = (0..n).map(|layer| (layer + 1..n.min(layer + 2)).collect()).collect();
        assert_eq!(order(0, &chain).len(), n);
    }
}
