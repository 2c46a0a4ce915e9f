//! The source tree as the command opens and changes it.

pub(crate) mod committed_bytes;
pub(crate) mod json_difference;
pub(crate) mod open;
pub(crate) mod rewrite;
pub(crate) mod run_files;
