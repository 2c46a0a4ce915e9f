//! Processes in the background: their log in a file, their end by their own id, nothing that waits
//! for ever.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Interval of polling for a condition.
const LOOK: Duration = Duration::from_millis(5);

/// Whether `done` became true within `bound`.
pub fn wait_until(bound: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK);
    }
}

/// A service that runs until it is ended.
#[derive(Debug)]
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it with nothing of our environment but the path, and its output behind what the log
    /// holds already.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("the log can be written");
        let second = file.try_clone().expect("a descriptor can be copied");
        command.env_clear().env("PATH", path()).stdin(Stdio::null()).stdout(file).stderr(second);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{program} cannot be run: {error}; it is a package of Debian, `cargo xtask test` installs it"
            )
        });
        Self { child, log: log.to_owned() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until `ready`.
    ///
    /// # Panics
    /// When it ended before, or is not ready within `bound`, with the end of its log.
    pub(crate) fn wait_until_ready(&mut self, bound: Duration, mut ready: impl FnMut() -> bool) {
        let mut lives = true;
        let good = wait_until(bound, || {
            lives = self.lives();
            !lives || ready()
        });
        let what = if lives { "does not answer" } else { "ended at once" };
        assert!(good && lives, "it {what}:\n{}", tail(&self.log));
    }

    /// Whether it ended within `bound`.
    pub(crate) fn ends(&mut self, bound: Duration) -> bool {
        wait_until(bound, || !self.lives())
    }

    /// SIGKILL, reaped.
    pub(crate) fn kill(&mut self) -> Option<ExitStatus> {
        // Both fail only when it ended by itself.
        let _ = self.child.kill();
        self.child.wait().ok()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a child process that was not reaped yet. One that ended already is no error.
pub(crate) fn signal(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Runs a short program and returns what it said.
///
/// # Panics
/// When it cannot be run or fails, with what it said.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a short program for taking down; whether it ended well.
pub(crate) fn quiet(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The search path for programs.
pub(crate) fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())
}

/// A unique part of a name on this machine: lower case letters and digits.
#[must_use]
pub fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_micros();
    format!("{now:x}p{:x}n{:x}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
