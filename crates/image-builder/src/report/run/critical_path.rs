//! Computes the slowest path of a run: the chain of builds that took the longest. More jobs cannot
//! make a run shorter than that.

use std::collections::HashMap;

use plan::Plan;

/// Returns, for each build of a plan, the positions of the builds that it needs. They all precede
/// the build's own position.
pub(crate) fn needs(plan: &Plan) -> Vec<Vec<usize>> {
    let positions: HashMap<_, _> =
        plan.builds.iter().enumerate().map(|(position, build)| (&build.id, position)).collect();
    let needs = plan.builds.iter().enumerate().map(|(position, build)| {
        let known = build.needs.iter().filter_map(|id| positions.get(id).copied());
        known.filter(|need| *need < position).collect()
    });
    needs.collect()
}

/// Returns the slowest path, from base to dependent, and its duration. `seconds` has the duration
/// of each build, 0 for a build that did not run.
pub(crate) fn slowest(needs: &[Vec<usize>], seconds: &[f64]) -> (Vec<usize>, f64) {
    let mut totals: Vec<(f64, Option<usize>)> = Vec::with_capacity(seconds.len());
    for (build, own) in seconds.iter().enumerate() {
        let below = needs[build].iter().copied().max_by(|a, b| totals[*a].0.total_cmp(&totals[*b].0));
        totals.push((own + below.map_or(0.0, |below| totals[below].0), below));
    }
    let top = (0..totals.len()).rev().max_by(|a, b| totals[*a].0.total_cmp(&totals[*b].0));
    let mut path = Vec::new();
    let mut next = top;
    while let Some(build) = next {
        if seconds[build] > 0.0 {
            path.push(build);
        }
        next = totals[build].1;
    }
    path.reverse();
    (path, top.map_or(0.0, |top| totals[top].0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chain_by_time_is_found() {
        // 0 ← 1 ← 3, 0 ← 2 ← 3, 4 alone.
        let needs = vec![vec![], vec![0], vec![0], vec![1, 2], vec![]];
        for (seconds, path, total) in [
            (vec![1.0, 2.0, 3.0, 4.0, 5.0], vec![0, 2, 3], 8.0),
            (vec![1.0, 2.0, 1.0, 4.0, 9.0], vec![4], 9.0),
            (vec![0.0, 2.0, 1.0, 4.0, 5.0], vec![1, 3], 6.0),
            (vec![3.0, 0.0, 0.0, 4.0, 5.0], vec![0, 3], 7.0),
            (vec![3.0, 0.0, 0.0, 0.0, 0.0], vec![0], 3.0),
            (vec![0.0; 5], vec![], 0.0),
        ] {
            assert_eq!(slowest(&needs, &seconds), (path, total), "{seconds:?}");
        }
        assert_eq!(slowest(&[], &[]), (vec![], 0.0));
    }
}
