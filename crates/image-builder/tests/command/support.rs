//! Source trees with a history, and the binary in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use git2::{IndexAddOption, Repository, Signature, Time};
use tempfile::TempDir;

/// The layers of the predecessor's documentation: `nist-basic` 1.0, and 2.0 that stands on it.
pub(crate) const SAMPLE: &str = r#"
//- /science/nist-basic/sciserver-image.json
{
  # comments are allowed, since people copy the documented examples
  "image": "nist-basic",
  "version": "1.0",
  "compat": "jupyter",
}
//- /science/nist-basic/Dockerfile
FROM docker.io/library/debian:12.5
COPY packages.txt /opt/
//- /science/nist-basic/packages.txt
numpy
//- /science/nist-basic/README.md
What this is for.
//- /science/nist-basic/.dockerignore
README.md
//- /science/nist-basic-2/sciserver-image.json
{"image": "nist-basic", "version": "2.0", "compat": "jupyter"}
//- /science/nist-basic-2/Dockerfile
FROM sci/nist-basic:1.0
RUN echo 2 > /etc/nist
//- /compat/common/sciserver-image.json
{}
//- /compat/common/Dockerfile
USER 1000
CMD ["true"]
//- /compat/jupyter/sciserver-image.json
{"includes": ["common"]}
//- /compat/jupyter/Dockerfile
CMD ["jupyter-notebook"]
"#;

/// A git repository with a source tree at its root, and a home directory beside it.
pub(crate) struct Tree {
    directory: TempDir,
    repository: Repository,
    commits: i64,
}

/// What a run of the binary left behind, with temporary paths shown as `$ROOT` and `$HOME`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tree {
    /// A repository without commits.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        fs::create_dir(directory.path().join("home")).expect("a fresh directory");
        let repository = Repository::init(directory.path().join("tree")).expect("git init");
        Self { directory, repository, commits: 0 }
    }

    /// The predecessor's sample with a second commit, in which a file of the lower layer changed.
    pub(crate) fn sample() -> Self {
        let mut tree = Self::new();
        tree.write_all(SAMPLE);
        tree.commit();
        tree.write("science/nist-basic/packages.txt", "numpy\nscipy\n");
        tree.commit();
        tree
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Files in one text: each begins with a line `//- /path`.
    pub(crate) fn write_all(&self, files: &str) {
        for file in files.split("//- /").skip(1) {
            let (path, text) = file.split_once('\n').expect("a path on a line of its own");
            self.write(path, text);
        }
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a file has a parent")).expect("directories");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = self.root().join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it was there");
    }

    /// Commits all that is there, by nobody, at a time that depends on the number of the commit only.
    pub(crate) fn commit(&mut self) {
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
        self.repository.commit(Some("HEAD"), &nobody, &nobody, "x", &tree, &parents).expect("git commit");
    }

    /// All digits of HEAD's commit.
    pub(crate) fn head(&self) -> String {
        self.repository.head().expect("a commit").target().expect("HEAD leads to one").to_string()
    }

    /// The binary, in this tree, with nothing of the caller's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
        command
            .args(arguments)
            .current_dir(self.root())
            .env_clear()
            .env("HOME", self.home())
            .env("DOCKER_HOST", format!("unix://{}", self.home().join("no.sock").display()))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.outcome(&self.command(arguments).output().expect("the binary runs"))
    }

    pub(crate) fn outcome(&self, output: &Output) -> Run {
        let text = |bytes: &[u8]| {
            let shown = |path: &Path| path.display().to_string();
            String::from_utf8(bytes.to_vec())
                .expect("the command speaks UTF-8")
                .replace(&shown(&self.root()), "$ROOT")
                .replace(&shown(&self.home()), "$HOME")
        };
        Run { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Run {
    /// Asserts the exit code, and returns what went to stdout.
    #[track_caller]
    pub(crate) fn code(self, expect: i32) -> Self {
        assert_eq!(self.code, Some(expect), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}
