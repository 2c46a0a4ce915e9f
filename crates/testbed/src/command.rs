//! Runs a program in a clean environment: with a time-out, its output kept, killed on demand.
//! Independent of the program.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process_group};
use tempfile::TempDir;

use crate::process::{path, signal, wait_until};
use crate::tree::Tree;

/// A program that is not running yet. It gets `PATH`, `HOME`, `TMPDIR` and the variables set here,
/// and no others.
#[derive(Debug)]
pub struct Program {
    command: std::process::Command,
}

/// The same command with the system's default for SIGHUP, which it inherits ignored where the tests
/// run under `nohup`. Standard input is empty; other streams are still to be set.
#[must_use]
pub fn hearing_hangups(command: &std::process::Command) -> std::process::Command {
    let mut hearing = std::process::Command::new("/usr/bin/env");
    hearing.arg("--default-signal=HUP").arg(command.get_program()).args(command.get_args());
    hearing.env_clear().stdin(Stdio::null());
    hearing.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        hearing.current_dir(directory);
    }
    hearing
}

impl Program {
    /// The binary, in a tree: its root is the working directory, its home is `HOME`. The engine is
    /// the one that `IMAGE_BUILDER_TEST_HOST` names, and none where that is not set.
    #[must_use]
    pub fn new(binary: &str, tree: &Tree) -> Self {
        let mut command = std::process::Command::new(binary);
        let nowhere = || format!("unix://{}", tree.home().join("no.sock").display()).into();
        command
            .current_dir(tree.root())
            .env_clear()
            .env("PATH", path())
            .env("HOME", tree.home())
            .env("TMPDIR", tree.temporary())
            .env("DOCKER_HOST", std::env::var_os("IMAGE_BUILDER_TEST_HOST").unwrap_or_else(nowhere))
            .stdin(Stdio::null());
        Self { command }
    }

    /// Has it hear SIGHUP also where the tests run under `nohup`.
    #[must_use]
    pub fn hearing_hangups(self) -> Self {
        Self { command: hearing_hangups(&self.command) }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The engine to use, as `unix:///path` or `tcp://…`.
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        self.env("DOCKER_HOST", host)
    }

    /// Another working directory.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.command.current_dir(dir.into());
        self
    }

    /// Another directory for temporary files.
    #[must_use]
    pub fn temporary(mut self, dir: impl Into<PathBuf>) -> Self {
        self.command.env("TMPDIR", dir.into());
        self
    }

    /// Runs it to its end, and gives its output byte for byte.
    ///
    /// # Panics
    /// When it cannot be run, or is not over after ten minutes.
    #[must_use]
    #[track_caller]
    pub fn output(self) -> Output {
        let mut running = self.spawn();
        running.await_end(Duration::from_secs(600));
        let status = running.ended.expect("it is over");
        Output { status, stdout: running.bytes("stdout"), stderr: running.bytes("stderr") }
    }

    /// Starts it, in a process group of its own.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn spawn(mut self) -> Running {
        let output = TempDir::new().expect("a temporary directory");
        let file = |name: &str| File::create(output.path().join(name)).expect("a file");
        self.command.stdout(file("stdout")).stderr(file("stderr")).process_group(0);
        let program = self.command.get_program().to_owned();
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        Running { child, output, began: Instant::now(), program, ended: None }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it is not over within `bound`, with what it said; it is killed then.
    #[must_use]
    #[track_caller]
    pub fn run(self, bound: Duration) -> Outcome {
        self.spawn().wait(bound)
    }
}

/// A program that runs; dropped, its whole group is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: TempDir,
    began: Instant,
    program: OsString,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn lives(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("it is ours to wait for");
        }
        self.ended.is_none()
    }

    /// Sends a signal to it alone; one that ended already does not get it.
    pub fn signal(&mut self, which: Signal) {
        if self.lives() {
            signal(self.child.id(), which);
        }
    }

    /// Something that sends signals from another thread, such as a proxy's hook, as long as this is
    /// not dropped.
    pub fn signaller(&self) -> impl Fn(Signal) + Send + Sync + 'static {
        let id = self.child.id();
        move |which| signal(id, which)
    }

    /// Its output so far, stdout before stderr.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.read("stdout"), self.read("stderr"))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it is not over within `bound`, with what it said; it is killed then.
    #[must_use]
    #[track_caller]
    pub fn wait(mut self, bound: Duration) -> Outcome {
        self.await_end(bound);
        self.outcome()
    }

    #[track_caller]
    fn await_end(&mut self, bound: Duration) {
        let over = wait_until(bound, || !self.lives());
        assert!(over, "{} is not over after {bound:?}; it said:\n{}", self.program.display(), self.said());
    }

    /// SIGKILL to it and its group, and what it said until then.
    #[must_use]
    pub fn kill(mut self) -> Outcome {
        self.end();
        self.outcome()
    }

    fn end(&mut self) {
        if !self.lives() {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.ended = self.child.wait().ok();
    }

    fn outcome(&self) -> Outcome {
        let status = self.ended.expect("it is over");
        Outcome {
            code: status.code(),
            signal: status.signal(),
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
            took: self.began.elapsed(),
        }
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.bytes(name)).into_owned()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.output.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The result of a program.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its output; invalid UTF-8 is shown as �.
    pub stdout: String,
    /// The same.
    pub stderr: String,
    /// From its start until its end was noticed.
    pub took: Duration,
}

impl Outcome {
    /// Asserts the exit code.
    ///
    /// # Panics
    /// When it is another, with what it said.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "signal {:?}, said:\n{}", self.signal, self.said());
        self
    }

    /// stdout and stderr.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}
