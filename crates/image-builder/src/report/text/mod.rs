//! Building blocks of text for people.

pub(crate) mod columns;
pub(crate) mod format;
pub(crate) mod markdown;
pub(crate) mod problems;
pub(crate) mod snippet;
