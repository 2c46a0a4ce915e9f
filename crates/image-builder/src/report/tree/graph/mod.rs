//! Formats the layer graph for people and programs: a list, DOT for graphviz, Mermaid, SVG, JSON.
//!
//! Each form has a file. [`grouping`] has the parts that they share: which layers belong together,
//! their order, and the verbs for edges.

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
