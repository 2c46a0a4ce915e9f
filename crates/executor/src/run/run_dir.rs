//! The directory of a run, `.image-builder/runs/{id}/`: one log per build, and `result.json`.
//!
//! A `.gitignore` excludes the directory. The files are for people and for later runs; this run
//! does not read them.

use std::fs::File;
use std::io::{self, LineWriter, Write};
use std::path::Path;
use std::time::SystemTime;

use files::{Access, Dir};
use plan::BuildId;
use sha2::{Digest, Sha256};

use crate::RunError;
use crate::redact::{Forms, Lines};
use crate::run::result::RunResult;

/// The directory below a source tree that holds all runs.
const DIRECTORY: &str = ".image-builder";

/// Limit in bytes for reading an existing `.gitignore`, to check that it is a regular file.
const IGNORE_FILE_LIMIT: u64 = 64 * 1024;

/// Number of log lines in the event of a failed build.
const TAIL: usize = 20;

/// A run's directory.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    /// Name of the run.
    pub run: String,
    directory: Dir,
    /// Its path below the source tree's root, for messages.
    shown: String,
}

impl RunDirectory {
    /// Creates the directory of a new run.
    pub(crate) fn create(root: &Path, now: SystemTime) -> io::Result<Self> {
        let runs = home(root)?.make("runs", Access::Shared)?;
        let mut attempt = 0_u32;
        loop {
            let run = name(now, std::process::id(), attempt);
            match runs.make_new(&run, Access::Shared) {
                Ok(directory) => {
                    let shown = format!("{DIRECTORY}/runs/{run}");
                    return Ok(Self { run, directory, shown });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Opens the log of the build at `position` in its plan.
    pub(crate) fn log(&self, position: usize, id: &BuildId) -> io::Result<Log> {
        let file = self.directory.create_new(log_name(position, id), Access::Shared)?;
        let file = LineWriter::new(file);
        Ok(Log { file, tail: Vec::new(), lines: Lines::default() })
    }

    /// The path of that log below the source tree's root.
    pub(crate) fn log_path(&self, position: usize, id: &BuildId) -> String {
        format!("{}/{}", self.shown, log_name(position, id))
    }

    /// The path of the result below the source tree's root.
    pub(crate) fn result_path(&self) -> String {
        format!("{}/result.json", self.shown)
    }

    /// Writes `result.json` atomically.
    pub(crate) fn write(&self, result: &RunResult) -> io::Result<()> {
        // The result contains output of builds and may be read in terminals, so it is escaped.
        let json = plan::escape_json(&serde_json::to_string_pretty(result)?).into_owned();
        self.directory.replace("result.json", (json + "\n").as_bytes(), Access::Shared)?;
        self.directory.sync()
    }
}

/// Opens or creates the directory below a source tree for locks and runs.
///
/// An untrusted source tree may contain anything under this name, so no link is followed.
pub(crate) fn home(root: &Path) -> io::Result<Dir> {
    let home = Dir::open(root, None)?.make(DIRECTORY, Access::Shared)?;
    match home.create_new(".gitignore", Access::Shared) {
        Ok(mut file) => file.write_all(b"*\n")?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match home.read(".gitignore", IGNORE_FILE_LIMIT) {
                Err(error) if error.kind() != io::ErrorKind::FileTooLarge => {
                    let text = format!("{DIRECTORY}/.gitignore is not a readable file ({error})");
                    return Err(io::Error::new(error.kind(), text));
                }
                _ => {}
            }
        }
        Err(error) => return Err(error),
    }
    Ok(home)
}

/// The error for a directory that cannot be written to.
pub(crate) fn unwritable(root: &Path, error: &io::Error) -> RunError {
    RunError::environment(format!("the run cannot be recorded in {}: {error}", root.display()))
        .with_help(format!(
            "the source tree must be writable, with room for logs; {DIRECTORY} must be a directory of its own and \
             may be removed while no run is at work"
        ))
}

/// The log of one build.
#[derive(Debug)]
pub(crate) struct Log {
    file: LineWriter<File>,
    tail: Vec<String>,
    lines: Lines,
}

impl Log {
    /// Adds a line, and returns the lines written, redacted. A line whose end may be the beginning
    /// of a secret is held back until the next one.
    pub(crate) fn line(&mut self, line: &str, forms: &Forms) -> io::Result<Vec<String>> {
        let lines = self.lines.push(line, forms);
        self.write(lines)
    }

    /// Writes the lines held back, when no more output follows.
    pub(crate) fn flush(&mut self) -> io::Result<Vec<String>> {
        let lines = self.lines.rest();
        self.write(lines)
    }

    /// Writes a line to the log only, not to events or the tail.
    pub(crate) fn note(&mut self, line: &str, forms: &Forms) -> io::Result<()> {
        let mut lines = self.lines.push(line, forms);
        lines.extend(self.lines.rest());
        lines.iter().try_for_each(|line| self.print(line))
    }

    fn print(&mut self, line: &str) -> io::Result<()> {
        // Logs are read in terminals, so control characters are escaped.
        let plain: String = line.chars().flat_map(plain_character).collect();
        writeln!(self.file, "{plain}")
    }

    fn write(&mut self, lines: Vec<String>) -> io::Result<Vec<String>> {
        for line in &lines {
            self.print(line)?;
            if self.tail.len() == TAIL {
                self.tail.remove(0);
            }
            self.tail.push(line.clone());
        }
        Ok(lines)
    }

    /// The last lines that were written.
    pub(crate) fn tail(mut self) -> Vec<String> {
        std::mem::take(&mut self.tail)
    }
}

impl Drop for Log {
    /// Writes the lines held back; errors are ignored, since the build was dropped.
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

fn plain_character(c: char) -> impl Iterator<Item = char> {
    let escape = (c.is_control() && c != '\t') || plan::misleads(c);
    let escaped = escape.then(|| c.escape_default()).into_iter().flatten();
    escaped.chain((!escape).then_some(c))
}

/// The name of a run, such as `20261120-145310-042-0a1b2c`: sorts by time, to the millisecond, and
/// differs between machines that share a directory.
fn name(now: SystemTime, process: u32, attempt: u32) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since.min(LAST_TIME)).to_string();
    let digits: String = time.chars().filter(char::is_ascii_digit).collect();
    let (day, time, millis) = (&digits[..8], &digits[8..14], &digits[14..]);
    let hash = Sha256::digest(format!("{} {process} {attempt}", since.as_nanos()));
    format!("{day}-{time}-{millis}-{}", hex::encode(&hash[..3]))
}

/// The last second that RFC 3339 can represent.
const LAST_TIME: std::time::Duration = std::time::Duration::from_secs(253_402_300_799);

fn log_name(position: usize, id: &BuildId) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' };
    let id: String = id.0.chars().map(plain).take(100).collect();
    format!("{:03}-{id}.log", position + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn result(run: &str) -> RunResult {
        RunResult {
            format_version: crate::run::result::FORMAT_VERSION.into(),
            run: run.into(),
            commit: "0".repeat(40),
            repo: "r/x".into(),
            push: false,
            success: true,
            started: 1.5,
            seconds: 2.0,
            error: None,
            builds: vec![],
        }
    }

    #[test]
    fn a_run_keeps_its_files_out_of_git() {
        let root = tempfile::tempdir().unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let first = RunDirectory::create(root.path(), now).unwrap();
        let second = RunDirectory::create(root.path(), now).unwrap();
        assert!(first.run.starts_with("20231114-221320-000-"), "{}", first.run);
        assert_ne!(first.run, second.run);
        for millis in 1..100 {
            let next = RunDirectory::create(root.path(), now + Duration::from_millis(millis)).unwrap();
            assert!(next.run > first.run && next.run > second.run, "{} is to sort behind", next.run);
        }
        let ignore = fs::read_to_string(root.path().join(".image-builder/.gitignore")).unwrap();
        assert_eq!(ignore, "*\n");
    }

    #[test]
    fn results_replace_each_other_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let record = RunDirectory::create(root.path(), SystemTime::now()).unwrap();
        record.write(&result("a")).unwrap();
        record.write(&result("b")).unwrap();
        let text = fs::read_to_string(root.path().join(record.result_path())).unwrap();
        assert_eq!(serde_json::from_str::<RunResult>(&text).unwrap(), result("b"));
        let files = fs::read_dir(root.path().join(".image-builder/runs").join(&record.run)).unwrap();
        assert_eq!(files.count(), 1, "no temporary file is left");
    }

    #[test]
    fn logs_hold_no_secrets_and_steer_no_terminal() {
        let root = tempfile::tempdir().unwrap();
        let record = RunDirectory::create(root.path(), SystemTime::now()).unwrap();
        let id = BuildId("science/a b/../c".into());
        let mut log = record.log(0, &id).unwrap();
        let forms = Forms::of([b"hunter2".as_slice()]);
        let shown = log.line("\u{1b}[31mred\u{202e}\twith hunter2", &forms).unwrap();
        assert_eq!(shown, ["\u{1b}[31mred\u{202e}\twith ***"]);
        for line in 0..29 {
            log.line(&line.to_string(), &forms).unwrap();
        }
        assert_eq!(log.line("29 hunt", &forms).unwrap(), Vec::<String>::new());
        assert_eq!(log.flush().unwrap(), ["29 hunt"]);
        let tail = log.tail();
        assert_eq!((tail.len(), tail[0].as_str(), tail[19].as_str()), (20, "10", "29 hunt"));
        let path = record.log_path(0, &id);
        assert!(path.ends_with("/001-science-a-b-..-c.log"), "{path}");
        let text = fs::read_to_string(root.path().join(path)).unwrap();
        assert!(text.starts_with("\\u{1b}[31mred\\u{202e}\twith ***\n0\n1\n"), "{text}");
    }

    #[test]
    fn case_dotdir_gitignore() {
        let elsewhere = tempfile::tempdir().unwrap();
        let canary = elsewhere.path().join("nologin");
        for link in [true, false] {
            let root = tempfile::tempdir().unwrap();
            let home = root.path().join(DIRECTORY);
            fs::create_dir(&home).unwrap();
            let ignore = home.join(".gitignore");
            if link {
                std::os::unix::fs::symlink(&canary, &ignore).unwrap();
            } else {
                assert!(std::process::Command::new("mkfifo").arg(&ignore).status().unwrap().success());
            }
            let error = RunDirectory::create(root.path(), SystemTime::now()).unwrap_err();
            assert!(
                error.to_string().starts_with(".image-builder/.gitignore is not a readable file"),
                "{error}"
            );
            let run_error = unwritable(root.path(), &error);
            assert_eq!(run_error.kind(), crate::RunErrorKind::Environment);
            assert!(!canary.exists(), "a link is not followed");
        }
        // A `.gitignore` of the source tree itself is not changed.
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(DIRECTORY)).unwrap();
        fs::write(root.path().join(DIRECTORY).join(".gitignore"), "runs\n").unwrap();
        RunDirectory::create(root.path(), SystemTime::now()).unwrap();
        let ignore = fs::read_to_string(root.path().join(".image-builder/.gitignore")).unwrap();
        assert_eq!(ignore, "runs\n");
    }

    /// A log or result file that cannot be written is left alone; a pipe in its place does not
    /// block.
    #[test]
    fn what_is_in_the_place_of_a_log_or_result_is_not_written_to() {
        let root = tempfile::tempdir().unwrap();
        let record = RunDirectory::create(root.path(), SystemTime::now()).unwrap();
        let at = root.path().join(".image-builder/runs").join(&record.run);
        let fifo = |name: &str| {
            assert!(std::process::Command::new("mkfifo").arg(at.join(name)).status().unwrap().success());
        };
        fifo("001-science-a.log");
        fifo("result.json");
        assert!(record.log(0, &BuildId("science/a".into())).is_err());
        assert!(record.write(&result("a")).is_err());
        let mut names: Vec<_> = fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["001-science-a.log", "result.json"]);
    }

    #[test]
    fn a_link_in_the_place_of_the_directory_is_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), root.path().join(DIRECTORY)).unwrap();
        assert!(RunDirectory::create(root.path(), SystemTime::now()).is_err());
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
