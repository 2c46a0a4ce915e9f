//! Measures how much processor time other processes use while a command runs: an engine's share of
//! a build, from the counters of Linux.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::bench::measure::timed;

/// Clock ticks per second in the counters of Linux (`USER_HZ`, proc(5)).
const TICKS: f64 = 100.0;

/// Returns the processor time of all processes except the command itself, from the command's start
/// until `after`. Then waits for the command to end.
pub(crate) fn used_by_others(command: &mut Command, after: Duration) -> Result<Duration> {
    let before = busy()?;
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    thread::sleep(after);
    let own = own(child.id());
    let all = busy()?.saturating_sub(before);
    let status = child.wait()?;
    if !status.success() {
        // Runs it once more, to get its error output.
        timed(command)?;
        bail!("it failed once and not again: {status}");
    }
    let own = own.context("it ended before it was looked at")?;
    Ok(Duration::from_secs_f64(all.saturating_sub(own) as f64 / TICKS))
}

/// Returns the number of processors.
pub(crate) fn count() -> Result<usize> {
    Ok(thread::available_parallelism()?.get())
}

/// Returns the ticks that all processors were busy since the machine started.
fn busy() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    text.lines().next().and_then(worked).context("/proc/stat begins otherwise than expected")
}

/// Parses the line that sums up all processors: the ticks that were neither idle nor spent waiting
/// for a disk. The time of guests is included in that of users.
fn worked(line: &str) -> Option<u64> {
    let numbers = line.strip_prefix("cpu ")?.split_whitespace().map(|number| number.parse::<u64>().ok());
    let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
    let [user, nice, system, _idle, _io, interrupts, soft_interrupts, ..] = numbers[..] else { return None };
    Some(user + nice + system + interrupts + soft_interrupts)
}

/// Returns the ticks of one process, including its children that it waited for.
fn own(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The process name is in parentheses, and may contain any character.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().skip(11).take(4).map(|number| number.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_idle_does_not_count() {
        assert_eq!(worked("cpu  10 20 30 4000 500 6 7 8 9 9"), Some(73));
        assert_eq!(worked("cpu0 10 20 30 4000 500 6 7 8 9 9"), None);
        assert_eq!(worked("cpu  10 20"), None);
    }

    #[test]
    fn work_is_counted_for_its_process_and_for_the_machine() {
        let pid = std::process::id();
        let (before, all_before) = (own(pid).expect("it runs"), busy().expect("Linux tells"));
        let began = std::time::Instant::now();
        while own(pid).expect("it runs") < before + 3 {
            assert!(began.elapsed() < Duration::from_secs(60), "work that nobody counts");
        }
        assert!(busy().expect("Linux tells") > all_before);
        assert_eq!(own(u32::MAX), None);
    }

    #[test]
    fn what_fails_is_told() {
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo no room >&2; exit 3"]);
        let error = used_by_others(&mut fails, Duration::from_millis(100)).expect_err("it fails");
        assert!(error.to_string().contains("no room"), "{error}");
    }
}
