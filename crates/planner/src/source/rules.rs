//! What the configuration and the attributes of a repository say of its files on disk.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use git2::Repository;

use super::SourceError;
use super::conversion::{Conversion, Conversions};
use super::tracked::Tracked;

/// The rules of every repository that holds files of the tree.
pub(super) struct Rules<'run> {
    /// The numbers of those that have files with attributes in the tree.
    with_attributes: HashSet<usize>,
    root: &'run Path,
    repositories: HashMap<usize, RepositoryRules>,
}

/// The rules of one repository.
pub(super) struct RepositoryRules {
    conversions: Conversions,
    /// Whether anything at all can be converted.
    pub(super) may_convert: bool,
    /// Whether the file system knows what may be executed (`core.fileMode`).
    pub(super) has_modes: bool,
}

impl<'run> Rules<'run> {
    pub(super) fn new(paths: &[Tracked], root: &'run Path) -> Self {
        let is_attributes = |path: &str| path.rsplit('/').next() == Some(ATTRIBUTES);
        let with_attributes = paths.iter().filter(|tracked| is_attributes(&tracked.path));
        let with_attributes = with_attributes.map(|tracked| tracked.store.number).collect();
        Self { with_attributes, root, repositories: HashMap::new() }
    }

    /// The rules of the repository that holds a file.
    pub(super) fn of(&mut self, tracked: &Tracked) -> Result<&RepositoryRules, SourceError> {
        let number = tracked.store.number;
        if !self.repositories.contains_key(&number) {
            let repository = &tracked.store.repository;
            let config = repository.config().map_err(SourceError::git("cannot read git's configuration"))?;
            let conversions = Conversions::of(&config);
            let may_convert = conversions.by_default()
                || self.with_attributes.contains(&number)
                || self.root.ancestors().any(|dir| dir.join(ATTRIBUTES).is_file())
                || shared_attributes(repository, &config).iter().any(|path| path.is_file());
            let has_modes = config.get_bool("core.filemode").unwrap_or(true);
            self.repositories.insert(number, RepositoryRules { conversions, may_convert, has_modes });
        }
        Ok(&self.repositories[&number])
    }
}

impl RepositoryRules {
    /// The conversions of one file.
    pub(super) fn conversion(&self, tracked: &Tracked) -> Result<Conversion, SourceError> {
        if !self.may_convert {
            return Ok(Conversion::default());
        }
        self.conversions.at(&tracked.store.repository, &tracked.store.own_path(&tracked.path))
    }
}

/// The name of the files that hold attributes.
const ATTRIBUTES: &str = ".gitattributes";

/// Where attributes can be beside the working tree: gitattributes(5).
fn shared_attributes(repository: &Repository, config: &git2::Config) -> Vec<PathBuf> {
    let mut places =
        vec![repository.commondir().join("info/attributes"), PathBuf::from("/etc/gitattributes")];
    places.extend(config.get_path("core.attributesfile").ok());
    let home = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config_home = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")));
    places.extend(config_home.map(|dir| dir.join("git/attributes")));
    places
}
