//! Reports on runs: their progress and their results.

pub(crate) mod critical_path;
pub(crate) mod failed;
pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod live;
pub(crate) mod live_state;
pub(crate) mod markdown;
pub(crate) mod package_changes;
pub(crate) mod plain;
pub(crate) mod progress;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod silence;
pub(crate) mod summary;
