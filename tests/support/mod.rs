//! What the end-to-end tests share: histories from `examples/`, the command in a hermetic environment.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("the package lies two levels below the workspace's root").to_path_buf()
}

/// A git repository in a temporary directory, with a home of its own.
pub(crate) struct Repository {
    directory: TempDir,
}

impl Repository {
    /// The history that `examples/{name}/make.sh` makes.
    pub(crate) fn example(name: &str) -> Self {
        let repository = Self { directory: TempDir::new().expect("a temporary directory") };
        fs::create_dir(repository.home()).expect("an empty directory takes a home");
        let script = workspace().join("examples").join(name).join("make.sh");
        let output = Command::new("sh")
            .arg(&script)
            .arg(repository.root())
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        assert!(output.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&output.stderr));
        repository
    }

    /// The source tree's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// The command in this source tree, with nothing of the caller's environment.
    pub(crate) fn image_builder(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("HOME", self.home())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        if let Some(host) = std::env::var_os("IMAGE_BUILDER_TEST_HOST") {
            command.env("DOCKER_HOST", host);
        }
        command.output().expect("the command runs")
    }
}
