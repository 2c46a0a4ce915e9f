//! One image, on an engine or in a registry, and the build spec that came with it.

pub(crate) mod build_spec;
pub(crate) mod locate;
