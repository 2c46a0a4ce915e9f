//! Finds the source tree, its git repository, and the repositories of its submodules.
//!
//! A repository is a directory that contains `.git`: a directory that merely looks like a bare
//! repository, which can be committed in any tree, is never treated as one. For the permitted
//! owners see `trust`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use git2::{ErrorCode, Repository};

use crate::git::error::SourceError;
use crate::git::trust;

/// The directories that identify a source tree.
pub(super) const ROOTS: [&str; 2] = ["science", "compat"];
/// The configuration file at a source tree's root.
pub(super) const CONFIG: &str = "image-builder.toml";
/// The file that identifies a layer's directory.
pub(super) const DESCRIPTOR: &str = "sciserver-image.json";

/// Returns the nearest parent directory that has one of the two roots. A subdirectory with that
/// name within a layer does not count.
pub(super) fn find_root(start: &Path) -> Result<PathBuf, SourceError> {
    let start = if start.as_os_str().is_empty() { Path::new(".") } else { start };
    let absolute = start
        .canonicalize()
        .map_err(|source| SourceError::NoDirectory { path: start.to_owned(), cause: source })?;
    absolute
        .ancestors()
        .find(|dir| {
            let is_root = |name: &&str| {
                dir.join(name).symlink_metadata().is_ok_and(|found| found.is_dir() || found.is_symlink())
            };
            ROOTS.iter().any(is_root) && !dir.join(DESCRIPTOR).is_file()
        })
        .map(Path::to_owned)
        .ok_or(SourceError::NoSourceTree { start: absolute.clone() })
}

/// Opens the repository that contains a source tree.
pub(super) fn open_above(root: &Path) -> Result<(Repository, PathBuf), SourceError> {
    let dir = root
        .ancestors()
        .find(|dir| dir.join(".git").symlink_metadata().is_ok())
        .ok_or_else(|| SourceError::NoRepository { root: root.to_owned() })?;
    Ok((open_at(dir)?, dir.to_owned()))
}

/// Opens the repository of a directory that contains `.git`.
fn open_at(dir: &Path) -> Result<Repository, SourceError> {
    let repository = trust::open(dir).map_err(|error| match error.code() {
        ErrorCode::Owner => SourceError::ForeignOwner { root: dir.to_owned() },
        ErrorCode::NotFound => SourceError::NoRepository { root: dir.to_owned() },
        _ => SourceError::git(format!("cannot open the git repository at {}", dir.display()))(error),
    })?;
    let at_home =
        repository.workdir().and_then(|workdir| workdir.canonicalize().ok()).as_deref() == Some(dir);
    if at_home { Ok(repository) } else { Err(SourceError::OtherWorktree { root: dir.to_owned() }) }
}

/// The repository of the source tree and those of its submodules, by their mount points below the
/// source tree's root. The first one is mounted at or above the root, so its paths begin with
/// `prefix`.
pub(super) struct Stores {
    root: PathBuf,
    stores: Vec<Rc<Store>>,
    /// `None` if the submodule is not initialised.
    mounted: BTreeMap<String, Option<usize>>,
}

/// One repository.
pub(super) struct Store {
    pub(super) repository: Repository,
    /// The index in `stores`.
    pub(super) number: usize,
    /// The mount point below the source tree's root; empty for the source tree's own repository.
    pub(super) mount: String,
    /// The prefix of the repository's paths before those below the source tree's root; empty, or
    /// ends in `/`.
    pub(super) prefix: String,
}

impl Stores {
    /// Creates the stores with the source tree's own repository at `top`.
    pub(super) fn new(root: &Path, repository: Repository, top: &Path) -> Result<Self, SourceError> {
        let below = root.strip_prefix(top).expect("the repository was found above the root");
        let mut prefix = below
            .to_str()
            .ok_or_else(|| SourceError::Io {
                path: root.to_owned(),
                cause: std::io::Error::other("its path in the repository is not UTF-8"),
            })?
            .to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let store = Rc::new(Store { repository, number: 0, mount: String::new(), prefix });
        Ok(Self { root: root.to_owned(), stores: vec![store], mounted: BTreeMap::new() })
    }

    /// The source tree's root.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the repository with a number.
    pub(super) fn get(&self, number: usize) -> Rc<Store> {
        Rc::clone(&self.stores[number])
    }

    /// Returns the repository of the submodule at `path` below the source tree's root; `None` if it
    /// is not initialised.
    pub(super) fn submodule(&mut self, path: &str) -> Result<Option<Rc<Store>>, SourceError> {
        if let Some(known) = self.mounted.get(path) {
            return Ok(known.map(|number| self.get(number)));
        }
        let dir = self.root.join(path);
        // A link in the path would lead to a repository that is not the submodule's.
        let real = dir.canonicalize().is_ok_and(|real| real == dir);
        let opened = if real && dir.join(".git").symlink_metadata().is_ok() {
            let (number, mount) = (self.stores.len(), path.to_owned());
            let repository = open_at(&dir)?;
            self.stores.push(Rc::new(Store { repository, number, mount, prefix: String::new() }));
            Some(number)
        } else {
            None
        };
        self.mounted.insert(path.to_owned(), opened);
        Ok(opened.map(|number| self.get(number)))
    }

    /// Whether an initialised submodule is at this path.
    pub(super) fn is_mounted(&self, path: &str) -> bool {
        self.mounted.get(path).is_some_and(Option::is_some)
    }

    /// Returns the repository whose working tree contains a path below the source tree's root.
    pub(super) fn holding(&self, path: &str) -> Rc<Store> {
        let inside = |mount: &str| path.strip_prefix(mount).is_some_and(|rest| rest.starts_with('/'));
        let innermost = self
            .mounted
            .iter()
            .filter_map(|(mount, number)| {
                number.filter(|_| inside(mount)).map(|number| (mount.len(), number))
            })
            .max();
        self.get(innermost.map_or(0, |(_, number)| number))
    }
}

impl Store {
    /// Converts a path below the source tree's root to a path of this repository.
    pub(super) fn own_path(&self, path: &str) -> String {
        let below = if self.mount.is_empty() { path } else { &path[self.mount.len() + 1..] };
        format!("{}{below}", self.prefix)
    }
}
