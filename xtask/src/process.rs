//! Runs other programs to the end or in the background, and ends them by their process id.
//!
//! An interruption ends the program in the foreground and makes every further step fail, so that
//! cleanup happens on the normal way out.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
const POLL: Duration = Duration::from_millis(20);

/// A process in the background. The start time is recorded because a process id can be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Process id.
    pub(crate) pid: u32,
    /// Start time, in clock ticks since the machine started.
    pub(crate) began: u64,
}

/// Records SIGINT and SIGTERM instead of ending the process; see [`interrupted`].
pub(crate) fn watch_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    thread::spawn(|| {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            loop {
                tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
                eprintln!("interrupted: taking down what was set up");
                INTERRUPTED.store(true, Ordering::SeqCst);
            }
        });
    });
}

/// Whether SIGINT or SIGTERM was received.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Runs a command and shows its output to the user. Errors contain the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let mut child = spawn(command.stdin(Stdio::null()), &shown)?;
    let success = loop {
        if let Some(status) = child.try_wait()? {
            break status.success();
        }
        if interrupted() {
            signal(&format!("-{}", child.id()), "TERM");
            bail_after(&mut child);
            bail!("interrupted in {shown}");
        }
        thread::sleep(POLL);
    };
    if interrupted() {
        bail!("interrupted in {shown}");
    }
    if !success {
        bail!("{shown} failed");
    }
    Ok(())
}

/// Runs a command and returns its standard output. An error contains the end of its standard error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = finish(command, &shown, None)?;
    if !output.status.success() {
        bail!("{shown} failed: {}", tail_of(&String::from_utf8_lossy(&output.stderr), 12));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Like [`read`], with a time-out.
pub(crate) fn read_within(command: &mut Command, limit: Duration) -> Result<String> {
    let shown = show(command);
    let output = finish(command, &shown, Some(limit))?;
    if !output.status.success() {
        bail!("{shown} failed: {}", tail_of(&String::from_utf8_lossy(&output.stderr), 12));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the output of a command if it succeeded in time. An interruption does not stop it, so
/// cleanup can use it.
pub(crate) fn ask(command: &mut Command, limit: Duration) -> Option<String> {
    let output = tempfile::NamedTempFile::new().ok()?;
    command.stdin(Stdio::null()).stdout(output.reopen().ok()?).stderr(Stdio::null()).process_group(0);
    let mut child = command.spawn().ok()?;
    if !wait_until(limit, || matches!(child.try_wait(), Ok(Some(_)) | Err(_))) {
        signal(&format!("-{}", child.id()), "KILL");
    }
    child.wait().is_ok_and(|status| status.success()).then(|| fs::read_to_string(output.path()).ok())?
}

/// Whether a command succeeded. Its output is dropped, and an interruption does not stop it. For
/// cleanup and for queries.
pub(crate) fn quiet(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.status().is_ok_and(|status| status.success())
}

/// Starts a command that outlives this process, in its own session, with its output in `log`.
pub(crate) fn background(command: &Command, log: &Path) -> Result<Process> {
    let mut detached = Command::new("setsid");
    detached.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => detached.env(name, value),
            None => detached.env_remove(name),
        };
    }
    let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    detached.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = detached.spawn().with_context(|| format!("cannot start {}", show(command)))?;
    let pid = child.id();
    let began = began(pid).with_context(|| format!("{} ended at once: {}", show(command), tail(log)))?;
    // While this process lives, it must reap the child, which otherwise stays as a zombie that
    // appears alive.
    thread::spawn(move || child.wait());
    Ok(Process { pid, began })
}

impl Process {
    /// Whether the process still runs.
    pub(crate) fn lives(&self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// Returns the direct children of the process.
    pub(crate) fn children(&self) -> Vec<Process> {
        let listed = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid)).unwrap_or_default();
        let numbers = listed.split_whitespace().filter_map(|number| number.parse().ok());
        numbers.filter_map(|pid| Some(Process { pid, began: began(pid)? })).collect()
    }

    /// Sends SIGTERM to `asked`, and SIGKILL to this process after `patience`. Returns whether this
    /// process ended.
    pub(crate) fn end(&self, asked: &Process, patience: Duration) -> bool {
        if asked.lives() {
            signal(&asked.pid.to_string(), "TERM");
        }
        if wait_until(patience, || !self.lives()) {
            return true;
        }
        if self.lives() {
            signal(&self.pid.to_string(), "KILL");
        }
        wait_until(Duration::from_secs(5), || !self.lives())
    }
}

/// Waits until `done` returns true, and returns whether it did in time. An interruption does not
/// shorten the wait.
pub(crate) fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Returns the last lines of a log, for an error.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    format!("\n--- the end of {}\n{}\n---", log.display(), tail_of(&text, 15))
}

/// Writes a file and creates its parent directories.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let mut file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

fn finish(command: &mut Command, shown: &str, limit: Option<Duration>) -> Result<Output> {
    let (stdout, stderr) = (tempfile::NamedTempFile::new()?, tempfile::NamedTempFile::new()?);
    command.stdin(Stdio::null()).stdout(stdout.reopen()?).stderr(stderr.reopen()?);
    let mut child = spawn(command, shown)?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        let late = limit.is_some_and(|limit| start.elapsed() > limit);
        if late || interrupted() {
            signal(&format!("-{}", child.id()), "TERM");
            bail_after(&mut child);
            bail!("{} {shown}", if late { "no answer in time from" } else { "interrupted in" });
        }
        thread::sleep(POLL);
    };
    Ok(Output { status, stdout: fs::read(stdout.path())?, stderr: fs::read(stderr.path())? })
}

fn spawn(command: &mut Command, shown: &str) -> Result<Child> {
    if interrupted() {
        bail!("interrupted before {shown}");
    }
    command.process_group(0).spawn().with_context(|| format!("cannot run {shown}"))
}

/// Waits for a child that received SIGTERM, then kills its process group.
fn bail_after(child: &mut Child) {
    if !wait_until(Duration::from_secs(10), || matches!(child.try_wait(), Ok(Some(_)) | Err(_))) {
        signal(&format!("-{}", child.id()), "KILL");
        let _ = child.wait();
    }
}

/// Sends a signal, by name, to a process or to a process group (`-` in front).
pub(crate) fn signal(target: &str, name: &str) {
    quiet(Command::new("sh").args(["-c", &format!("kill -{name} {target}")]));
}

/// Returns the start time of a process: field 22 of its `stat`, counted after the process name,
/// which can contain any character. Zombies count as ended.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let text: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let text = text.join(" ");
    if text.chars().count() > 160 { text.chars().take(160).chain(['…']).collect() } else { text }
}

fn tail_of(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let ours = Process { pid: std::process::id(), began: began(std::process::id()).unwrap() };
        assert!(ours.lives());
        assert!(!Process { began: ours.began + 1, ..ours }.lives());
    }

    #[test]
    fn a_failure_tells_what_the_program_said() {
        let error = read(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("failed: why"), "{error}");
    }

    #[test]
    fn a_slow_program_is_ended() {
        let start = Instant::now();
        let error = read_within(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("no answer in time"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}
