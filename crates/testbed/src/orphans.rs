//! Checks what must be gone after a run: containers, temporary files, held locks.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::{self, Container};
use crate::process::wait_until;

/// Records what exists before, and reports what was added.
#[derive(Debug, Default)]
pub struct Leftovers {
    engine: Option<(String, Option<String>)>,
    containers: BTreeSet<String>,
    files: BTreeSet<PathBuf>,
    dirs: Vec<PathBuf>,
    locks: Vec<PathBuf>,
}

impl Leftovers {
    /// Nothing is watched yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Containers on this engine; on one that others use too, only those with this label (its key,
    /// with any value).
    #[must_use]
    pub fn engine(mut self, host: &str, label: Option<&str>) -> Self {
        self.engine = Some((host.to_owned(), label.map(str::to_owned)));
        self.containers = self.seen_containers().into_iter().map(|container| container.id).collect();
        self
    }

    /// The entries of this directory, such as a tree's `temporary()`.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.files.extend(entries(dir));
        self.dirs.push(dir.to_owned());
        self
    }

    /// A lock file: it may stay, but not locked.
    #[must_use]
    pub fn lock(mut self, file: &Path) -> Self {
        self.locks.push(file.to_owned());
        self
    }

    /// What was added, one line each.
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        let containers = self.seen_containers().into_iter().filter(|one| !self.containers.contains(&one.id));
        let mut found: Vec<_> = containers
            .map(|one| format!("container {} of {}, {}", &one.id[..12], one.image, one.state))
            .collect();
        let files = self.dirs.iter().flat_map(|dir| entries(dir)).filter(|file| !self.files.contains(file));
        found.extend(files.map(|file| format!("file {}", file.display())));
        found.extend(
            self.locks.iter().filter(|lock| is_held(lock)).map(|lock| format!("lock {}", lock.display())),
        );
        found
    }

    /// Asserts that nothing is left within `bound`.
    ///
    /// # Panics
    /// When something is, with its names.
    #[track_caller]
    pub fn expect_none(&self, bound: Duration) {
        let mut found = Vec::new();
        let none = wait_until(bound, || {
            found = self.found();
            found.is_empty()
        });
        assert!(none, "left after {bound:?}:\n{}", found.join("\n"));
    }

    fn seen_containers(&self) -> Vec<Container> {
        let Some((host, label)) = &self.engine else { return Vec::new() };
        let ours = |one: &Container| label.as_ref().is_none_or(|label| one.labels.contains_key(label));
        engine::containers(host).into_iter().filter(ours).collect()
    }
}

/// Whether somebody holds a lock of the operating system (`flock`) on this file.
#[must_use]
pub fn is_held(file: &Path) -> bool {
    let Ok(file) = File::open(file) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
