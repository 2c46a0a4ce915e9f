//! A dependency graph over numbers: dependents, cycles, order.
//!
//! Nodes are indices. Every walk is a loop, so that long chains do not overflow the stack. Base
//! chains and final layers are in [`crate::tree::base_chains`].

use std::collections::{BTreeSet, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// At most this many cycles of one strongly connected component are reported. The others disappear,
/// or are found, once these are fixed.
const MAX_CYCLES_PER_COMPONENT: usize = 20;

/// Nodes with their dependencies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    parents: Vec<Vec<usize>>,
    children: Vec<Vec<usize>>,
}

impl Graph {
    /// Creates a graph from the dependencies of each node, in any order and with repetitions.
    pub(crate) fn new(mut parents: Vec<Vec<usize>>) -> Self {
        let mut children = vec![Vec::new(); parents.len()];
        for (node, needed) in parents.iter_mut().enumerate() {
            needed.sort_unstable();
            needed.dedup();
            for parent in needed {
                children[*parent].push(node);
            }
        }
        Self { parents, children }
    }

    /// Returns the dependencies of a node, sorted.
    pub(crate) fn parents(&self, node: usize) -> &[usize] {
        &self.parents[node]
    }

    /// Returns the marked nodes and all their direct and indirect dependents.
    pub(crate) fn with_descendants(&self, marked: &[bool]) -> Vec<bool> {
        self.with_free_descendants(marked, &vec![false; marked.len()])
    }

    /// As [`Graph::with_descendants`], but without blocked nodes and nodes that are reached only
    /// through them.
    pub(crate) fn with_free_descendants(&self, marked: &[bool], blocked: &[bool]) -> Vec<bool> {
        let mut reached: Vec<bool> =
            marked.iter().zip(blocked).map(|(marked, blocked)| *marked && !blocked).collect();
        let mut open: Vec<usize> = (0..reached.len()).filter(|node| reached[*node]).collect();
        while let Some(node) = open.pop() {
            for child in &self.children[node] {
                if !blocked[*child] && !std::mem::replace(&mut reached[*child], true) {
                    open.push(*child);
                }
            }
        }
        reached
    }

    /// Returns the length of the longest path from each node to a node without dependencies,
    /// counting marked nodes only.
    ///
    /// Nodes on a cycle and their dependents have no such length and get 0.
    pub(crate) fn levels(&self, marked: &[bool]) -> Vec<usize> {
        let mut level = vec![0; self.parents.len()];
        let mut missing: Vec<usize> = self.parents.iter().map(Vec::len).collect();
        let mut open: VecDeque<usize> = (0..missing.len()).filter(|node| missing[*node] == 0).collect();
        while let Some(node) = open.pop_front() {
            for child in &self.children[node] {
                if marked[*child] && marked[node] {
                    level[*child] = level[*child].max(level[node] + 1);
                }
                missing[*child] -= 1;
                if missing[*child] == 0 {
                    open.push_back(*child);
                }
            }
        }
        level
    }

    /// Returns cycles, each as its nodes in the order of dependency, beginning with the smallest.
    /// Every node that is on a cycle is on one of the returned cycles, up to [`MAX_CYCLES_PER_COMPONENT`]
    /// cycles of a component.
    pub(crate) fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        for component in self.knots() {
            let members: BTreeSet<usize> = component.iter().copied().collect();
            let mut untold = members.clone();
            for _ in 0..MAX_CYCLES_PER_COMPONENT {
                let Some(start) = untold.pop_first() else { break };
                let mut cycle = self.shortest_cycle(start, &members);
                for node in &cycle {
                    untold.remove(node);
                }
                let smallest = (0..cycle.len()).min_by_key(|at| cycle[*at]).unwrap_or(0);
                cycle.rotate_left(smallest);
                cycles.push(cycle);
            }
        }
        cycles.sort();
        cycles.dedup();
        cycles
    }

    /// Returns the strongly connected components that contain a cycle.
    fn knots(&self) -> Vec<Vec<usize>> {
        let edges =
            self.parents.iter().enumerate().flat_map(|(node, needed)| needed.iter().map(move |p| (node, *p)));
        let mut graph = DiGraph::<(), (), usize>::with_capacity(self.parents.len(), 0);
        for _ in &self.parents {
            graph.add_node(());
        }
        for (node, parent) in edges {
            graph.add_edge(NodeIndex::new(node), NodeIndex::new(parent), ());
        }
        // Not `tarjan_scc`, which is recursive.
        kosaraju_scc(&graph)
            .into_iter()
            .map(|component| component.into_iter().map(NodeIndex::index).collect::<Vec<_>>())
            .filter(|component| component.len() > 1 || self.parents[component[0]].contains(&component[0]))
            .collect()
    }

    /// Returns the shortest path from a node back to itself within its component.
    fn shortest_cycle(&self, start: usize, component: &BTreeSet<usize>) -> Vec<usize> {
        let mut reached_from = std::collections::BTreeMap::new();
        let mut open = VecDeque::from([start]);
        'search: while let Some(node) = open.pop_front() {
            for parent in self.parents[node].iter().filter(|parent| component.contains(parent)) {
                if *parent == start {
                    reached_from.insert(start, node);
                    break 'search;
                }
                if !reached_from.contains_key(parent) {
                    reached_from.insert(*parent, node);
                    open.push_back(*parent);
                }
            }
        }
        let mut cycle = vec![start];
        let mut node = reached_from[&start];
        while node != start {
            cycle.push(node);
            node = reached_from[&node];
        }
        cycle[1..].reverse();
        cycle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_followed_to_the_end() {
        let graph = Graph::new(vec![vec![], vec![0], vec![1, 0, 1], vec![]]);
        assert_eq!(graph.with_descendants(&[false, true, false, false]), [false, true, true, false]);
        assert_eq!(graph.with_descendants(&[true, false, false, false]), [true, true, true, false]);
        let second = [false, true, false, false];
        assert_eq!(
            graph.with_free_descendants(&[true, true, false, false], &second),
            [true, false, true, false]
        );
        assert_eq!(graph.with_free_descendants(&second, &second), [false; 4]);
        assert_eq!(graph.parents(2), [0, 1]);
    }

    #[test]
    fn levels_count_marked_nodes_only() {
        let graph = Graph::new(vec![vec![], vec![0], vec![1], vec![0, 2]]);
        assert_eq!(graph.levels(&[true; 4]), [0, 1, 2, 3]);
        assert_eq!(graph.levels(&[false, false, true, true]), [0, 0, 0, 1]);
    }

    #[test]
    fn cycles_are_whole_and_in_order_of_need() {
        assert_eq!(Graph::new(vec![vec![0]]).cycles(), [vec![0]]);
        assert_eq!(Graph::new(vec![vec![2], vec![0], vec![1], vec![2]]).cycles(), [vec![0, 2, 1]]);
        // Two cycles that share a node, and a separate one.
        let graph = Graph::new(vec![vec![1], vec![0, 2], vec![1], vec![], vec![5], vec![4]]);
        assert_eq!(graph.cycles(), [vec![0, 1], vec![1, 2], vec![4, 5]]);
        assert!(Graph::new(vec![vec![], vec![0]]).cycles().is_empty());
    }

    #[test]
    fn long_ways_fit_the_stack() {
        let n = 100_000;
        let ring = Graph::new((0..n).map(|node| vec![(node + 1) % n]).collect());
        assert_eq!(ring.cycles().first().map(Vec::len), Some(n));
        let line = Graph::new((0..n).map(|node| node.checked_sub(1).into_iter().collect()).collect());
        assert!(line.cycles().is_empty());
        assert_eq!(line.levels(&vec![true; n]).last(), Some(&(n - 1)));
    }
}
