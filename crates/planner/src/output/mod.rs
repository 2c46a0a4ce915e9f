//! Converts decisions to published data: the plan, build specs, names and digests.

pub(crate) mod assemble;
pub mod build_spec;
pub(crate) mod inputs_digest;
pub(crate) mod published_names;
pub(crate) mod source_map;
