//! Lower bound of the run time for any scheduler, from the build times of one run. It is the
//! largest of three: the critical path; the total work divided by the slots; and, since no
//! descendant of a build can start before that build is done, the chain to a build plus the work of
//! its descendants divided by the slots.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// Returns the bound of the last run in a source tree. `from` returns the parent of each build;
/// builds are numbered in the plan's order.
pub(crate) fn of_last_run(
    root: &Path,
    jobs: usize,
    from: impl Fn(usize) -> Option<usize>,
) -> Result<Duration> {
    let runs = root.join(".image-builder/runs");
    let runs: Vec<_> = fs::read_dir(&runs)?.collect::<Result<_, _>>()?;
    let last = runs.iter().map(fs::DirEntry::path).max().context("no run left a result")?;
    let text = fs::read_to_string(last.join("result.json"))?;
    bound(&serde_json::from_str(&text)?, jobs, from)
}

/// Returns the bound of a run from its `result.json`.
fn bound(result: &Value, jobs: usize, from: impl Fn(usize) -> Option<usize>) -> Result<Duration> {
    let builds = result["builds"].as_array().context("a result lists its builds")?;
    let took = builds.iter().map(|build| build["seconds"].as_f64().context("a build tells how long it took"));
    let took: Vec<f64> = took.collect::<Result<_>>()?;
    let mut ends: Vec<f64> = Vec::with_capacity(took.len());
    for (build, took) in took.iter().enumerate() {
        ends.push(from(build).map_or(0.0, |below| ends[below]) + took);
    }
    let mut above = vec![0.0; took.len()];
    for (build, took) in took.iter().enumerate().rev() {
        if let Some(below) = from(build) {
            above[below] += took + above[build];
        }
    }
    let work = took.iter().sum::<f64>() / jobs as f64;
    let ways = ends.iter().zip(&above).map(|(end, above)| end + above / jobs as f64);
    Ok(Duration::from_secs_f64(ways.fold(work, f64::max)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_longest_of_ways_and_work_counts() {
        let result = json!({ "builds": [{ "seconds": 1.0 }, { "seconds": 2.0 }, { "seconds": 3.0 }] });
        let wide = |build| (build > 0).then_some(0);
        // The critical path is 1 + 3. With two slots the total work gives 3, and the work after the
        // base is done gives 1 + 2.5.
        for (jobs, seconds) in [(1, 6.0), (2, 4.0), (3, 4.0)] {
            assert_eq!(bound(&result, jobs, wide).unwrap(), Duration::from_secs_f64(seconds), "{jobs}");
        }
        let alike = json!({ "builds": [{ "seconds": 1.0 }, { "seconds": 2.0 }, { "seconds": 2.0 }, { "seconds": 2.0 }] });
        assert_eq!(bound(&alike, 2, wide).unwrap(), Duration::from_secs(4));
        assert_eq!(bound(&alike, 2, |_| None).unwrap(), Duration::from_secs_f64(3.5));
        let chain = |build: usize| build.checked_sub(1);
        assert_eq!(bound(&result, 3, chain).unwrap(), Duration::from_secs(6));
        assert!(bound(&json!({ "builds": [{}] }), 1, wide).is_err());
    }
}
