//! The layer graph for people and programs: a list, DOT for graphviz, Mermaid, SVG, JSON.
//!
//! Each form has a file; what they share is here: which layers belong together, in which order, and
//! what an edge is called.

mod dot;
mod grouping;
mod json;
mod mermaid;
mod svg;
mod text;

pub(crate) use crate::report::tree::graph::dot::dot;
pub(crate) use crate::report::tree::graph::grouping::touched;
pub(crate) use crate::report::tree::graph::json::json;
pub(crate) use crate::report::tree::graph::mermaid::mermaid;
pub(crate) use crate::report::tree::graph::svg::svg;
pub(crate) use crate::report::tree::graph::text::text;

#[cfg(test)]
mod tests;
