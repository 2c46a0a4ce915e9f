//! What no scheduler gets below, by the times that the builds of one run took: its critical path, or its work divided by the slots.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

/// The bound of the last run in a source tree. `from` tells for each of its builds, in the plan's order, which one it stands on.
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

/// The bound of a run, by its `result.json`.
fn bound(result: &Value, jobs: usize, from: impl Fn(usize) -> Option<usize>) -> Result<Duration> {
    let builds = result["builds"].as_array().context("a result lists its builds")?;
    let mut ends: Vec<f64> = Vec::with_capacity(builds.len());
    let mut work = 0.0;
    for (build, told) in builds.iter().enumerate() {
        let took = told["seconds"].as_f64().context("a build tells how long it took")?;
        let begins = from(build).map_or(0.0, |below| ends[below]);
        ends.push(begins + took);
        work += took;
    }
    let critical = ends.into_iter().fold(0.0, f64::max);
    Ok(Duration::from_secs_f64(critical.max(work / jobs as f64)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_way_or_the_work_whichever_is_longer() {
        let result = json!({ "builds": [{ "seconds": 1.0 }, { "seconds": 2.0 }, { "seconds": 3.0 }] });
        let wide = |build| (build > 0).then_some(0);
        for (jobs, seconds) in [(1, 6.0), (2, 4.0), (3, 4.0)] {
            assert_eq!(bound(&result, jobs, wide).unwrap(), Duration::from_secs_f64(seconds), "{jobs}");
        }
        let chain = |build: usize| build.checked_sub(1);
        assert_eq!(bound(&result, 3, chain).unwrap(), Duration::from_secs(6));
        assert!(bound(&json!({ "builds": [{}] }), 1, wide).is_err());
    }
}
