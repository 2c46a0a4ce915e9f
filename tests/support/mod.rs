//! Shared by the end-to-end tests: histories from `examples/`, and the command in an isolated
//! environment.

use std::path::{Path, PathBuf};
use std::process::Output;

use testbed::command::Program;
use testbed::tree::Tree;

/// Root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the package lies two levels below the workspace's root").to_path_buf()
}

/// A git repository in a temporary directory, with a private home.
pub(crate) struct Repository {
    tree: Tree,
}

impl Repository {
    /// Creates the history of `examples/{name}/make.sh`.
    pub(crate) fn example(name: &str) -> Self {
        Self { tree: Tree::by_script(&workspace().join("examples").join(name).join("make.sh")) }
    }

    /// Root of the source tree.
    pub(crate) fn root(&self) -> PathBuf {
        self.tree.root()
    }

    /// Runs the command in this source tree, without the caller's environment.
    pub(crate) fn image_builder(&self, arguments: &[&str]) -> Output {
        Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree).args(arguments).output()
    }
}
