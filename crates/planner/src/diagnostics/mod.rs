//! Problems and warnings with their codes and places.

pub mod code;
pub(crate) mod finding;
pub mod problem;
