//! Reports on images: provenance, verdicts, differences.

pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod spec;
pub(crate) mod verify;
