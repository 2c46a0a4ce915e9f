//! Git histories for tests: in a temporary directory, with fixed authors and times, independent of
//! the machine's configuration.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime};

use git2::{ConfigLevel, IndexAddOption, Oid, Repository, Signature, Time};
use planner::Problem;
use planner::git::{Comparison, OpenedTree, Options, SourceError, open};
use planner::tree::{Base, LayerFiles, OnDisk, Tree, TreeFile};
use tempfile::TempDir;

/// A repository that is or contains a source tree.
pub(crate) struct History {
    directory: TempDir,
    pub(crate) git: Repository,
}

impl History {
    /// An empty repository.
    pub(crate) fn empty() -> Self {
        blind();
        let directory = tempfile::tempdir().unwrap();
        let git = Repository::init(directory.path()).unwrap();
        Self { directory, git }
    }

    /// Two layers, `science/a` and `compat/c`, in one commit.
    pub(crate) fn small() -> Self {
        let history = Self::empty();
        history.layer("science/a");
        history.layer("compat/c");
        history.commit("two layers");
        history
    }

    /// Reopens the repository without libgit2's caches.
    pub(crate) fn reopened(self) -> Self {
        let git = Repository::open(self.directory.path()).unwrap();
        Self { git, ..self }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file with a time long before that of the index, so that the index is trusted.
    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        age(&path);
    }

    /// Writes a directory with a descriptor, a Dockerfile and one more file.
    pub(crate) fn layer(&self, directory: &str) {
        self.write(&format!("{directory}/sciserver-image.json"), "{}\n");
        self.write(&format!("{directory}/Dockerfile"), "FROM scratch\nCOPY file /\n");
        self.write(&format!("{directory}/file"), "contents\n");
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    pub(crate) fn executable(&self, path: &str) {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.path(path);
        if path.symlink_metadata().unwrap().is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
    }

    /// Adds everything on disk to the index.
    pub(crate) fn stage(&self) {
        let mut index = self.git.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
    }

    /// Commits everything on disk.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        let parents: Vec<Oid> = self.git.refname_to_id("HEAD").into_iter().collect();
        self.commit_on(message, &parents)
    }

    /// Commits everything on disk with these parents, and checks the commit out.
    pub(crate) fn commit_on(&self, message: &str, parents: &[Oid]) -> Oid {
        self.stage();
        let tree = self.git.find_tree(self.git.index().unwrap().write_tree().unwrap()).unwrap();
        let parents: Vec<_> = parents.iter().map(|id| self.git.find_commit(*id).unwrap()).collect();
        let time = parents.iter().map(|parent| parent.time().seconds() + 1).max().unwrap_or(1_500_000_000);
        let who = Signature::new("A", "a@example.org", &Time::new(time, 0)).unwrap();
        let id =
            self.git.commit(None, &who, &who, message, &tree, &parents.iter().collect::<Vec<_>>()).unwrap();
        self.check_out(id);
        id
    }

    /// Moves the branch to a commit that matches the files on disk.
    pub(crate) fn check_out(&self, id: Oid) {
        self.git.reference("refs/heads/main", id, true, "test").unwrap();
        self.git.set_head("refs/heads/main").unwrap();
    }

    pub(crate) fn configure(&self, name: &str, value: &str) {
        self.git.config().unwrap().set_str(name, value).unwrap();
    }

    /// Options for this root and comparison.
    pub(crate) fn options(&self, comparison: &str) -> Options {
        let comparison = Comparison::parse(comparison).unwrap();
        Options { start: self.root(), comparison, ..Options::default() }
    }

    /// Opens a comparison that must succeed.
    pub(crate) fn open(&self, comparison: &str) -> OpenedTree {
        open(&self.options(comparison)).unwrap_or_else(|error| panic!("{comparison}: {error}"))
    }

    /// Returns the error of a comparison.
    pub(crate) fn fails(&self, comparison: &str) -> SourceError {
        match Comparison::parse(comparison) {
            Ok(comparison) => open(&Options { start: self.root(), comparison, ..Options::default() })
                .expect_err("the comparison cannot be read"),
            Err(error) => error,
        }
    }
}

/// Sets a time that differs from that of any index.
pub(crate) fn age(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_500_000_000)).unwrap();
}

/// Prevents libgit2 from reading the configuration of the machine.
#[expect(unsafe_code, reason = "libgit2's search paths are global; they are set once, before it is used")]
fn blind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let nowhere = "/nonexistent";
        for level in [ConfigLevel::ProgramData, ConfigLevel::System, ConfigLevel::XDG, ConfigLevel::Global] {
            // SAFETY: no other thread uses libgit2 yet, since each test begins here.
            unsafe { git2::opts::set_search_path(level, nowhere) }.unwrap();
        }
    });
}

/// Returns the tree of a comparison's base.
pub(crate) fn base(opened: &OpenedTree) -> &Tree {
    match &opened.inputs.base {
        Base::Commit { tree, .. } => tree,
        Base::Empty => panic!("the base is empty"),
    }
}

/// Returns the commit of a comparison's base.
pub(crate) fn base_commit(opened: &OpenedTree) -> &str {
    match &opened.inputs.base {
        Base::Commit { commit, .. } => commit,
        Base::Empty => panic!("the base is empty"),
    }
}

/// The paths of a tree's layers.
pub(crate) fn paths(tree: &Tree) -> Vec<&str> {
    tree.layers.iter().map(|layer| layer.path.as_str()).collect()
}

/// One layer of a tree.
pub(crate) fn layer<'tree>(tree: &'tree Tree, path: &str) -> &'tree Arc<LayerFiles> {
    tree.layers
        .iter()
        .find(|layer| layer.path == path)
        .unwrap_or_else(|| panic!("no {path} in {:?}", paths(tree)))
}

/// The names of a layer's files.
pub(crate) fn files(layer: &LayerFiles) -> Vec<&str> {
    layer.files.iter().map(|file| file.path.as_str()).collect()
}

/// One file of a layer.
pub(crate) fn file<'tree>(tree: &'tree Tree, directory: &str, name: &str) -> &'tree TreeFile {
    let layer = layer(tree, directory);
    layer
        .files
        .iter()
        .find(|file| file.path == name)
        .unwrap_or_else(|| panic!("no {name} in {:?}", files(layer)))
}

/// Code and file of each problem.
pub(crate) fn problems(tree: &Tree) -> Vec<(&str, &str)> {
    fn place(problem: &Problem) -> (&str, &str) {
        (problem.code, problem.file.as_deref().unwrap_or_default())
    }
    tree.problems.iter().map(place).collect()
}

/// Returns the problems of files that cannot be sent.
pub(crate) fn lacking(tree: &Tree) -> Vec<Problem> {
    let files = tree.layers.iter().flat_map(|layer| &layer.files);
    let lacking = files.filter_map(|file| match &file.on_disk {
        Some(OnDisk::Lacking(problem)) => Some(Problem::clone(problem)),
        _ => None,
    });
    lacking.collect()
}
