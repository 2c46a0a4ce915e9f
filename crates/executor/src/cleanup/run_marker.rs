//! Identifies the run that owns a temporary resource on a shared engine, and decides whether that
//! run has ended.
//!
//! A run marker contains the run's name, its process id and start time, and a digest of the place
//! in which these numbers are meaningful: the boot of a machine and the process namespace. Whether
//! a process of the same place is alive is known; of other processes, only the age of the resource
//! is known.

use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The identity of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunMarker {
    run: String,
    process: u32,
    /// Start time in kernel ticks since the boot.
    began: u64,
    place: String,
}

impl RunMarker {
    /// The marker of a run of this process.
    pub(crate) fn of_run(run: &str) -> Self {
        let process = std::process::id();
        Self { run: run.to_owned(), process, began: began(process).unwrap_or_default(), place: place() }
    }

    /// Parses a marker; `None` for any other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (run, process, began, place) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        let mark = Self {
            run: run.to_owned(),
            process: process.parse().ok()?,
            began: began.parse().ok()?,
            place: place.to_owned(),
        };
        // A text that is not in canonical form is not ours.
        (plain(run) && plain(place) && mark.to_string() == text).then_some(mark)
    }

    /// Whether the run that owns a resource of this age is known to have ended. A run in another
    /// place counts as ended once the resource is older than `limit`.
    pub(crate) fn is_over(&self, age: Option<Duration>, limit: Duration) -> bool {
        if self.began > 0 && self.place != NOWHERE && self.place == place() {
            return began(self.process) != Some(self.began);
        }
        age.is_some_and(|age| age > limit)
    }
}

impl fmt::Display for RunMarker {
    /// Letters, digits, `.` and `-`: valid in tags, labels and container names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}.{}", self.run, self.process, self.began, self.place)
    }
}

/// The value if the place cannot be determined.
const NOWHERE: &str = "nowhere";

fn place() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = std::fs::read_link("/proc/self/ns/pid");
    let (Ok(boot), Ok(namespace)) = (boot, namespace) else { return NOWHERE.to_owned() };
    let digest = Sha256::digest(format!("{} {}", boot.trim(), namespace.display()));
    hex::encode(&digest[..8])
}

/// The start time of a process; `None` if it has ended. See proc(5).
fn began(process: u32) -> Option<u64> {
    began_in(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

fn began_in(stat: &str) -> Option<u64> {
    // The program's name is in parentheses and may contain any character. The state is the third
    // field, the start time the 22nd.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_mark_comes_back_as_it_was_written() {
        let mark = RunMarker::of_run("20261120-145310-0a1b2c");
        assert_eq!(RunMarker::parse(&mark.to_string()), Some(mark.clone()));
        assert!(mark.to_string().len() < 100, "{mark}");
        for text in ["", "a", "a.1.2", "a.1.2.b.c", "a.x.2.b", "a.1.2.", "a b.1.2.c", "a.01.2.b", ".1.2.b"] {
            assert_eq!(RunMarker::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_run_is_over_when_its_process_is() {
        let ours = RunMarker::of_run("a");
        assert!(!ours.is_over(Some(1000 * HOUR), HOUR), "we live");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let began = began(child.id()).unwrap();
        let other = RunMarker { process: child.id(), began, ..ours.clone() };
        assert!(!other.is_over(None, HOUR));
        assert!(
            RunMarker { began: began + 1, ..other.clone() }.is_over(None, HOUR),
            "the number went to another process"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(other.is_over(None, HOUR));
    }

    #[test]
    fn of_a_run_elsewhere_only_the_age_is_known() {
        let ours = RunMarker::of_run("a");
        for place in ["0011223344556677", NOWHERE] {
            let there = RunMarker { place: place.into(), ..ours.clone() };
            for (age, over) in [(None, false), (Some(HOUR / 2), false), (Some(2 * HOUR), true)] {
                assert_eq!(there.is_over(age, HOUR), over, "{place} {age:?}");
            }
        }
    }

    #[test]
    fn the_start_of_a_process_is_found_behind_any_name() {
        let fields = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(began_in(&format!("42 (a) b) S {fields}")), Some(4711));
        assert_eq!(began_in(&format!("42 (a) Z {fields}")), None);
        assert_eq!(began_in("42 (a) S 1 2"), None);
        assert_eq!(began_in(""), None);
    }
}
