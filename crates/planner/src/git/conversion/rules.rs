//! The conversion rules of a repository: its configuration and attributes.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use git2::Repository;
use hashbrown::HashMap;

use crate::git::conversion::attributes::{ATTRIBUTES, TreeAttributes};
use crate::git::conversion::{Conversion, Conversions};
use crate::git::error::SourceError;
use crate::git::history::commit::blob;
use crate::git::repository::Stores;
use crate::git::working_tree::tracked::{Tracked, TrackedFiles};

/// Size limit of a `.gitattributes` file, in bytes. The limit of git is 100 MiB.
const MOST_ATTRIBUTES: usize = 1 << 20;

/// The rules of every repository that contains files of the tree.
pub(in crate::git) struct Rules<'run> {
    root: &'run Path,
    /// The attributes of trees that have any, by the number of their repository.
    trees: HashMap<usize, TreeAttributes>,
    repositories: HashMap<usize, RepositoryRules>,
}

/// The rules of one repository.
pub(in crate::git) struct RepositoryRules {
    conversions: Conversions,
    /// Whether any file can be converted.
    pub(in crate::git) may_convert: bool,
    /// Whether attributes are set outside of the tree, as programs such as nbstripout do.
    has_attributes_of_machine: bool,
    /// Whether the file system stores the executable bit (`core.fileMode`).
    pub(in crate::git) has_modes: bool,
    /// Whether the file system supports links (`core.symlinks`). If not, git writes their targets
    /// to small files.
    pub(in crate::git) has_links: bool,
    tree: RefCell<TreeAttributes>,
}

impl<'run> Rules<'run> {
    /// Reads the attributes of the trees.
    pub(in crate::git) fn new(stores: &'run Stores, tracked: &TrackedFiles) -> Result<Self, SourceError> {
        let mut texts: HashMap<usize, Vec<(String, Vec<u8>)>> = HashMap::new();
        for (store, path, id) in &tracked.attributes {
            let text = blob(&stores.get(*store).repository, *id, MOST_ATTRIBUTES)?;
            let text = text.ok_or_else(|| SourceError::LargeAttributes { path: path.clone() })?;
            texts.entry(*store).or_default().push((path.clone(), text));
        }
        let trees = texts.into_iter().map(|(store, texts)| (store, TreeAttributes::new(texts))).collect();
        Ok(Self { root: stores.root(), trees, repositories: HashMap::new() })
    }

    /// Returns the rules of the repository that contains a file.
    pub(in crate::git) fn of(&mut self, tracked: &Tracked) -> Result<&RepositoryRules, SourceError> {
        let number = tracked.store.number;
        if !self.repositories.contains_key(&number) {
            let repository = &tracked.store.repository;
            let config = repository.config().map_err(SourceError::git("cannot read git's configuration"))?;
            let conversions = Conversions::of(&config);
            let tree = self.trees.remove(&number).unwrap_or_else(|| TreeAttributes::new([]));
            let has_attributes_of_machine =
                shared_attributes(repository, &config).iter().any(|path| path.is_file());
            let may_convert = conversions.by_default()
                || !tree.is_empty()
                || has_attributes_of_machine
                || self.root.ancestors().any(|dir| dir.join(ATTRIBUTES).is_file());
            let rules = RepositoryRules {
                conversions,
                may_convert,
                has_attributes_of_machine,
                has_modes: config.get_bool("core.filemode").unwrap_or(true),
                has_links: config.get_bool("core.symlinks").unwrap_or(true),
                tree: RefCell::new(tree),
            };
            self.repositories.insert(number, rules);
        }
        Ok(&self.repositories[&number])
    }
}

impl RepositoryRules {
    /// Returns the conversion of a file on this machine, which decides whether git considers the
    /// file unmodified.
    pub(in crate::git) fn of_machine(&self, tracked: &Tracked) -> Result<Conversion, SourceError> {
        if !self.may_convert {
            return Ok(Conversion::default());
        }
        self.conversions.at(&tracked.store.repository, &tracked.store.own_path(&tracked.path))
    }

    /// Whether bytes on disk can differ from those in git although their number is equal.
    pub(in crate::git) fn is_opaque(
        &self,
        tracked: &Tracked,
        tree: &Conversion,
    ) -> Result<bool, SourceError> {
        let of_machine = || Ok(self.of_machine(tracked)?.is_opaque());
        if tree.is_opaque() || !self.has_attributes_of_machine { Ok(tree.is_opaque()) } else { of_machine() }
    }

    /// Returns the conversion of a file by the tree alone, which decides the bytes that a commit
    /// contains.
    pub(in crate::git) fn of_tree(&self, tracked: &Tracked) -> Conversion {
        self.tree.borrow_mut().at(&tracked.store.own_path(&tracked.path))
    }
}

/// Returns the places of attributes outside of the working tree: gitattributes(5).
fn shared_attributes(repository: &Repository, config: &git2::Config) -> Vec<PathBuf> {
    let mut places =
        vec![repository.commondir().join("info/attributes"), PathBuf::from("/etc/gitattributes")];
    places.extend(config.get_path("core.attributesfile").ok());
    let home = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let config_home = home("XDG_CONFIG_HOME").or_else(|| home("HOME").map(|home| home.join(".config")));
    places.extend(config_home.map(|dir| dir.join("git/attributes")));
    places
}
