//! Runs the sides of a comparison in turns, and returns the times of each and their median.
//!
//! A machine's speed changes from one minute to the next. So every side runs once as a warm-up,
//! then in each round one side after the other; a ratio is the median of the ratios of the rounds.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::process;

/// Time-out of a measured program.
const LIMIT: Duration = Duration::from_secs(1200);

/// A side of a comparison: its name, and the function that runs and times it.
pub(crate) struct Side<'a> {
    name: String,
    run: Box<dyn FnMut() -> Result<Duration> + 'a>,
}

impl<'a> Side<'a> {
    /// Creates a side that measures its time itself, because not all of its work counts.
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> Result<Duration> + 'a) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }

    /// Creates a side that is a program, measured from start to end.
    pub(crate) fn program(name: impl Into<String>, command: impl Fn() -> Command + 'a) -> Self {
        Self::new(name, move || timed(&mut command()))
    }
}

/// The times of one side, by round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// Name of the side.
    pub(crate) side: String,
    /// Median of the rounds.
    pub(crate) median_ms: f64,
    /// Time of each round.
    pub(crate) rounds_ms: Vec<f64>,
}

/// Runs the sides in turns. The results are in the order of the sides.
pub(crate) fn in_turns(mut sides: Vec<Side<'_>>, rounds: usize) -> Result<Vec<Measured>> {
    let mut taken = vec![Vec::new(); sides.len()];
    for round in 0..=rounds {
        for (side, taken) in sides.iter_mut().zip(&mut taken) {
            let took = (side.run)().with_context(|| side.name.clone())?;
            if round > 0 {
                taken.push(took.as_secs_f64() * 1000.0);
            }
        }
    }
    let measured = sides.into_iter().zip(taken).map(|(side, rounds_ms)| Measured {
        side: side.name,
        median_ms: median(&rounds_ms),
        rounds_ms,
    });
    Ok(measured.collect())
}

/// Returns the middle value, or the mean of the two middle values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (length, middle) if length.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        (_, middle) => sorted[middle],
    }
}

/// Returns how many times as long as `other` our side took: the median of the rounds' ratios.
pub(crate) fn ratio(ours: &Measured, other: &Measured) -> f64 {
    let rounds = ours.rounds_ms.iter().zip(&other.rounds_ms);
    median(&rounds.map(|(ours, other)| ours / other).collect::<Vec<_>>())
}

/// Runs a program that must succeed and returns its duration. Its output is dropped, unless it
/// fails.
pub(crate) fn timed(command: &mut Command) -> Result<Duration> {
    if process::interrupted() {
        bail!("interrupted");
    }
    let said = tempfile::NamedTempFile::new()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.reopen()?);
    let name = command.get_program().to_string_lossy().into_owned();
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let status = child.wait();
        let _ = sender.send((status, start.elapsed()));
    });
    loop {
        match receiver.recv_timeout(Duration::from_millis(100)) {
            Ok((status, took)) => {
                if status?.success() {
                    return Ok(took);
                }
                bail!("{name} failed: {}", fs::read_to_string(said.path())?.trim());
            }
            Err(RecvTimeoutError::Disconnected) => bail!("nobody waits for {name}"),
            Err(RecvTimeoutError::Timeout) if process::interrupted() || start.elapsed() > LIMIT => {
                process::signal(&pid.to_string(), "TERM");
                let _ = receiver.recv_timeout(Duration::from_secs(20));
                bail!("{name} was ended: it was interrupted, or took too long");
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Returns the peak memory of a program in MiB, as Linux counts it (`VmHWM`), sampled every
/// millisecond.
pub(crate) fn peak_mib(command: &mut Command) -> Result<f64> {
    if process::interrupted() {
        bail!("interrupted");
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let (start, mut peak) = (Instant::now(), 0.0_f64);
    loop {
        peak = peak.max(fs::read_to_string(&status).ok().and_then(|text| high_water(&text)).unwrap_or(0.0));
        match child.try_wait()? {
            Some(ended) if ended.success() && peak > 0.0 => return Ok(peak),
            Some(ended) => bail!("the program whose memory was measured ended with {ended}"),
            None if process::interrupted() || start.elapsed() > LIMIT => {
                child.kill()?;
                child.wait()?;
                bail!("the program whose memory was measured took too long");
            }
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn high_water(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_ratios() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let measured = |rounds: &[f64]| Measured {
            side: String::new(),
            median_ms: median(rounds),
            rounds_ms: rounds.to_vec(),
        };
        // One slow round, for example because the machine was busy, does not change the ratio.
        assert_eq!(ratio(&measured(&[2.0, 200.0, 2.0]), &measured(&[1.0, 1.0, 1.0])), 2.0);
    }

    #[test]
    fn sides_take_turns_and_the_first_round_does_not_count() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: &'static str| {
            let order = &order;
            Side::new(name, move || {
                order.borrow_mut().push_str(name);
                Ok(Duration::from_millis(order.borrow().len() as u64))
            })
        };
        let measured = in_turns(vec![side("a"), side("b")], 2).unwrap();
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!(measured[0].rounds_ms, [3.0, 5.0]);
        assert_eq!(measured[1].rounds_ms, [4.0, 6.0]);
    }

    #[test]
    fn memory_is_read_as_linux_tells_it() {
        assert_eq!(high_water("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n"), Some(2.0));
        assert_eq!(high_water("Name:\tx\n"), None);
    }
}
