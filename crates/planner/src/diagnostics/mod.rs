//! Problems and warnings with their codes and positions.

pub mod code;
pub(crate) mod finding;
pub mod problem;
