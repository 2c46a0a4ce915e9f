//! Source trees with a history, in a temporary directory with a home of their own. Knows the shape
//! of a tree, not its rules.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use git2::{IndexAddOption, Repository, Signature, Time};
use serde_json::Value;
use tempfile::TempDir;

/// The base image of the trees here; the engine's mirror has it.
pub const BASE: &str = "docker.io/library/busybox:1.35";

/// A git repository with a source tree at its root, and a home directory beside it.
pub struct Tree {
    directory: TempDir,
    repository: Repository,
    commits: i64,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tree").field("root", &self.root()).finish_non_exhaustive()
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// A repository without commits.
    #[must_use]
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        for name in ["home", "tmp"] {
            fs::create_dir(directory.path().join(name)).expect("a fresh directory");
        }
        let repository = Repository::init(directory.path().join("tree")).expect("git init");
        Self { directory, repository, commits: 0 }
    }

    /// One commit with these files, see [`Tree::write_all`].
    #[must_use]
    pub fn of(files: &str) -> Self {
        let mut tree = Self::new();
        tree.write_all(files);
        tree.commit();
        tree
    }

    /// `base`, on which `products` layers are based (`leaf-1` …), each of them a product on the
    /// compat `batch`: 1 + 2 × `products` builds. Every layer has a file `data` to change.
    #[must_use]
    pub fn standard(products: usize) -> Self {
        let mut files = format!(
            "//- /science/base/Dockerfile\nFROM {BASE}\nCOPY data /data/base\nRUN echo base > /built\n\
             //- /science/base/data\n1\n\
             //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n\
             //- /compat/batch/Dockerfile\nCMD [\"/bin/sh\"]\n//- /compat/batch/sciserver-image.json\n{{}}\n"
        );
        for number in 1..=products {
            let leaf = format!("leaf-{number}");
            write!(
                files,
                "//- /science/{leaf}/Dockerfile\nFROM sci/base:1.0\nCOPY data /data/{leaf}\nRUN echo {leaf} >> /built\n\
                 //- /science/{leaf}/data\n1\n//- /science/{leaf}/sciserver-image.json\n\
                 {{\"image\": \"{leaf}\", \"version\": \"1.0\", \"compat\": \"batch\"}}\n"
            )
            .expect("a string takes text");
        }
        Self::of(&files)
    }

    /// The history that a script makes in the directory that it is given, such as
    /// `examples/*/make.sh`.
    #[must_use]
    pub fn by_script(script: &Path) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        for name in ["home", "tmp"] {
            fs::create_dir(directory.path().join(name)).expect("a fresh directory");
        }
        let root = directory.path().join("tree");
        let output =
            Command::new("sh").arg(script).arg(&root).stdin(Stdio::null()).output().expect("sh runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", script.display());
        Self {
            directory,
            repository: Repository::open(&root).expect("the script made a repository"),
            commits: 1,
        }
    }

    /// The source tree's root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    /// `HOME` of programs that run here.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// `TMPDIR` of programs that run here: a file that remains in it is a leftover.
    #[must_use]
    pub fn temporary(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// Files in one text: each begins with a line `//- /path`.
    pub fn write_all(&self, files: &str) {
        for file in files.split("//- /").skip(1) {
            let (path, text) = file.split_once('\n').expect("a path on a line of its own");
            self.write(path, text);
        }
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("directories");
        fs::write(&path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Makes a symbolic link, with the directories above it.
    pub fn link(&self, path: &str, target: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("directories");
        std::os::unix::fs::symlink(target, &path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Removes a file or a directory with all that it holds.
    pub fn remove(&self, path: &str) {
        let path = self.root().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it was there");
    }

    /// Commits all files with a fixed author, at a time that depends only on the number of the
    /// commit. Returns its id.
    pub fn commit(&mut self) -> String {
        let mut index = self.repository.index().expect("an index");
        index.add_all(["*"], IndexAddOption::DEFAULT, None).expect("git add");
        index.update_all(["*"], None).expect("git add -u");
        index.write().expect("the index is written");
        let tree = self.repository.find_tree(index.write_tree().expect("a tree")).expect("it was written");
        self.commits += 1;
        let time = Time::new(1_700_000_000 + self.commits, 0);
        let nobody = Signature::new("Nobody", "nobody@example.org", &time).expect("a good name");
        let head = self.repository.head().ok().map(|head| head.peel_to_commit().expect("a commit"));
        let parents: Vec<_> = head.iter().collect();
        let commit = self.repository.commit(Some("HEAD"), &nobody, &nobody, "x", &tree, &parents);
        commit.expect("git commit").to_string()
    }

    /// Writes one file and commits all files.
    pub fn change(&mut self, path: &str, contents: impl AsRef<[u8]>) -> String {
        self.write(path, contents);
        self.commit()
    }

    /// All digits of HEAD's commit.
    #[must_use]
    pub fn head(&self) -> String {
        self.repository.head().expect("a commit").target().expect("HEAD leads to one").to_string()
    }

    /// Runs git here, with nobody's settings but the repository's own, and returns what it said.
    ///
    /// # Panics
    /// When it fails.
    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Nobody", "-c", "user.email=nobody@example.org"])
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("PATH", crate::process::path())
            .env("HOME", self.home())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::null())
            .output()
            .expect("git runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {}: {said}", arguments.join(" "));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// `result.json` of the latest run in this tree, by the names of runs, which sort by time.
    ///
    /// # Panics
    ///
    /// When there was no run, or the latest left no whole result.
    #[must_use]
    pub fn last_result(&self) -> Value {
        let runs = fs::read_dir(self.root().join(".image-builder/runs")).expect("there were runs");
        let latest = runs.map(|run| run.expect("a run").path()).max().expect("there was a run");
        let text = fs::read(latest.join("result.json")).expect("a result is written");
        serde_json::from_slice(&text).expect("it is whole")
    }

    /// What that run did, sorted: `science/base built`.
    ///
    /// # Panics
    ///
    /// As `last_result`.
    #[must_use]
    pub fn last_outcomes(&self) -> Vec<String> {
        let result = self.last_result();
        let text = |build: &Value, key: &str| build[key].as_str().expect("a text").to_owned();
        let builds = result["builds"].as_array().expect("builds").iter();
        let mut outcomes: Vec<String> =
            builds.map(|build| format!("{} {}", text(build, "id"), text(build, "outcome"))).collect();
        outcomes.sort();
        outcomes
    }

    /// Writes docker's configuration into the home, such as `registry::docker_config` makes it.
    pub fn write_docker_config(&self, json: &str) {
        let dir = self.home().join(".docker");
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("config.json"), json).expect("a file");
    }
}
