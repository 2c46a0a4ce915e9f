//! Source trees with a history, and the binary in a clean environment.

use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The layers of the previous tool's documentation: `nist-basic` 1.0, and 2.0, which is based on
/// it.
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

/// A source tree with a history, in which the binary is run.
pub(crate) struct Tree {
    tree: testbed::tree::Tree,
}

impl Deref for Tree {
    type Target = testbed::tree::Tree;

    fn deref(&self) -> &Self::Target {
        &self.tree
    }
}

/// The result of a run of the binary, with temporary paths shown as `$ROOT` and `$HOME`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Tree {
    /// A repository without commits.
    pub(crate) fn new() -> Self {
        Self { tree: testbed::tree::Tree::new() }
    }

    /// The sample with a second commit, in which a file of the lower layer changed.
    pub(crate) fn sample() -> Self {
        let mut tree = Self::new();
        tree.write_all(SAMPLE);
        tree.commit();
        tree.write("science/nist-basic/packages.txt", "numpy\nscipy\n");
        tree.commit();
        tree
    }

    /// Commits all files.
    pub(crate) fn commit(&mut self) {
        self.tree.commit();
    }

    /// Returns the binary as a command in this tree, without the caller's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_image-builder"));
        command
            .args(arguments)
            .args(builds(arguments).then_some("--wait=1m"))
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

/// Whether a command with these arguments may take the lock of a repo, which all tests on this
/// machine share.
fn builds(arguments: &[&str]) -> bool {
    let is_build = matches!(arguments.first(), None | Some(&"build")) || arguments.contains(&"--push");
    is_build && !arguments.iter().any(|text| text.starts_with("--wait"))
}

impl Run {
    /// Asserts the exit code, and returns the run.
    #[track_caller]
    pub(crate) fn code(self, expect: i32) -> Self {
        assert_eq!(self.code, Some(expect), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}
