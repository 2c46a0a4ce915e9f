//! Views of a source tree other than the plan; each serves one command.

pub(crate) mod check;
pub mod explain;
pub mod layer_graph;
pub mod name_lookup;
pub mod pin;
pub mod schema;
pub(crate) mod subgraph;
pub(crate) mod suggest;
