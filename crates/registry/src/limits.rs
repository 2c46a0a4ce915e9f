//! How much of a registry is read, and for how long: all bounds in one place.
//!
//! A registry can be a stranger's, and so can what it stores. What is larger, or takes longer, ends with an error.

/// All pages of a list of tags together, in bytes.
pub(crate) const TAGS: usize = 64 << 20;
/// All pages of a list of referrers together, in bytes.
pub(crate) const REFERRERS: usize = 16 << 20;
/// Pages of one list: a hundred thousand tags where a registry gives no more than a hundred at a time.
pub(crate) const PAGES: usize = 1000;
