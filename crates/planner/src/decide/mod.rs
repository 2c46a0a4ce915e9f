//! Decides which builds a plan contains, and why.

pub(crate) mod difference;
pub(crate) mod guidelines;
pub(crate) mod orphans;
pub mod published;
pub(crate) mod rebuild_set;
pub(crate) mod selection;
