//! The relation of two commits in a history.

/// The relation of a commit to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// It is ours.
    Same,
    /// Ours descends from it.
    Ancestor,
    /// It descends from ours: it is newer.
    Descendant,
    /// Neither descends from the other.
    Diverged,
    /// It is not in this clone, or the clone is too shallow to decide.
    Unknown,
}
