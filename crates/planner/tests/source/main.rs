//! `planner::git` on real git histories.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops there")]

mod checkouts;
mod commit_bytes;
mod comparisons;
mod conversions;
mod formats;
mod history;
mod hostile;
mod layers;
mod touched;
mod working_tree;
