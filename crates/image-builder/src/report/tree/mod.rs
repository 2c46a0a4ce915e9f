//! Reports on source trees: plans, findings, explanations, the layer graph.

#[cfg(test)]
mod bad_input_tests;
pub(crate) mod code_quality;
pub(crate) mod explain;
pub(crate) mod findings;
pub(crate) mod graph;
pub(crate) mod plan;
