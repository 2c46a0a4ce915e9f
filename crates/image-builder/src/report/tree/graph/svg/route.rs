//! Routes the lines between two rows: assigns each net a track, the height at which it runs
//! horizontally, so that no two nets overlap and few cross.

/// A net between two rows: its ends above, and its end below.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) net: usize,
    /// Positions of the ends above, with the height at which each line begins.
    pub(super) tops: Vec<(f64, f64)>,
    /// Position of the end below, with the height at which the line ends.
    pub(super) bottom: (f64, f64),
}

/// Positions that differ by less than this are equal.
const SAME: f64 = 4.0;
/// Two nets side by side on one track keep this distance.
const APART: f64 = 12.0;

impl Wire {
    pub(super) fn is_straight(&self) -> bool {
        self.tops.iter().all(|(x, _)| (x - self.bottom.0).abs() < 0.5)
    }

    fn extent(&self) -> (f64, f64) {
        let xs = || self.tops.iter().map(|(x, _)| *x).chain([self.bottom.0]);
        (xs().fold(f64::MAX, f64::min), xs().fold(f64::MIN, f64::max))
    }
}

/// Returns the track of each wire, counted from the top, and the number of tracks. Straight wires
/// need none.
pub(super) fn tracks(wires: &[Wire]) -> (Vec<usize>, usize) {
    let extents: Vec<(f64, f64)> = wires.iter().map(Wire::extent).collect();
    let mut order: Vec<usize> = (0..wires.len()).filter(|at| !wires[*at].is_straight()).collect();
    order.sort_by(|a, b| wires[*a].bottom.0.total_cmp(&wires[*b].bottom.0));
    for _ in 0..order.len().min(40) {
        let mut moved = false;
        for at in 1..order.len() {
            let (upper, lower) = (order[at - 1], order[at]);
            if cost(wires, &extents, lower, upper) < cost(wires, &extents, upper, lower) {
                order.swap(at - 1, at);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let mut track = vec![0; wires.len()];
    let mut count = 0;
    for (at, wire) in order.iter().enumerate() {
        let touching = order[..at].iter().filter(|other| overlap(extents[**other], extents[*wire]));
        track[*wire] = touching.map(|other| track[*other] + 1).max().unwrap_or(0);
        count = count.max(track[*wire] + 1);
    }
    (track, count)
}

fn overlap(a: (f64, f64), b: (f64, f64)) -> bool {
    a.0 - APART < b.1 && b.0 - APART < a.1
}

/// The cost of running `upper` above `lower`: crossings, and much more for lines that would
/// overlap.
fn cost(wires: &[Wire], extents: &[(f64, f64)], upper: usize, lower: usize) -> usize {
    if !overlap(extents[upper], extents[lower]) {
        return 0;
    }
    let inside = |x: f64, extent: (f64, f64)| extent.0 < x && x < extent.1;
    let mut cost = usize::from(inside(wires[upper].bottom.0, extents[lower]));
    for (x, _) in &wires[lower].tops {
        cost += usize::from(inside(*x, extents[upper]));
        if (x - wires[upper].bottom.0).abs() < SAME {
            cost += 1000;
        }
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(net: usize, tops: &[f64], bottom: f64) -> Wire {
        Wire { net, tops: tops.iter().map(|x| (*x, 0.0)).collect(), bottom: (bottom, 0.0) }
    }

    #[test]
    fn wires_that_overlap_get_tracks_of_their_own() {
        let (track, count) =
            tracks(&[wire(0, &[0.0], 100.0), wire(1, &[50.0], 200.0), wire(2, &[400.0], 300.0)]);
        assert_eq!(count, 2);
        assert_ne!(track[0], track[1]);
        assert_eq!(track[2], 0);
        assert_eq!(tracks(&[wire(0, &[5.0], 5.0)]).1, 0);
    }

    #[test]
    fn the_order_avoids_crossings_and_lines_on_each_other() {
        // Wire 0 ends where wire 1 begins: wire 1 must end before wire 0 comes down.
        let (track, _) = tracks(&[wire(0, &[0.0], 100.0), wire(1, &[100.0], 300.0)]);
        assert!(track[1] < track[0], "{track:?}");
        // One inside of the other: the inner one turns first.
        let (track, _) = tracks(&[wire(0, &[0.0], 300.0), wire(1, &[100.0], 400.0)]);
        assert!(track[1] < track[0], "{track:?}");
    }
}
