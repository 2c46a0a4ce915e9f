//! `planner::source` on real git histories.

mod comparisons;
mod conversions;
mod history;
mod hostile;
mod layers;
mod working_tree;
