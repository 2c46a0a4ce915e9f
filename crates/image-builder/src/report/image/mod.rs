//! What is shown of images: their provenance, verdicts and differences.

pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod spec;
pub(crate) mod verify;
