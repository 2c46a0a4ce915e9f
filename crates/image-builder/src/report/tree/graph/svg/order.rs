//! Orders groups within a row and positions them: few crossings, close to what they connect to.

use crate::report::tree::graph::svg::block::Block;
use crate::report::tree::graph::svg::net::Net;
use crate::report::tree::graph::svg::rows::Rows;

/// Pixels between two neighbours in a row.
const GAP: f64 = 26.0;
/// Pixels between a line that passes through a row and its neighbours.
const LANE: f64 = 13.0;
/// Number of passes over the rows to find the order, and again to find the positions.
const SWEEPS: usize = 12;

/// An item with a width in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Piece(usize),
    /// A net that passes through the row.
    Lane(usize),
}

/// The items of each row from left to right, with the positions of their centres.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) rows: Vec<Vec<(Item, f64)>>,
}

/// A line between two items of neighbouring rows, with offsets from their centres.
#[derive(Debug, Clone, Copy)]
struct Line {
    upper: usize,
    upper_offset: f64,
    lower: usize,
    lower_offset: f64,
}

impl Line {
    /// Aligns the columns of two pieces vertically, although the line between them then has a bend.
    fn centred(self, items: &[Vec<Item>], blocks: &[Block], upper: usize) -> Self {
        let middle = |row: usize, at: usize| match items[row][at] {
            Item::Piece(piece) => {
                let block = &blocks[piece];
                Some(block.column.0 + block.column.1 / 2.0 - block.width / 2.0)
            }
            Item::Lane(_) => None,
        };
        match (middle(upper, self.upper), middle(upper - 1, self.lower)) {
            (Some(upper_offset), Some(lower_offset)) => Self { upper_offset, lower_offset, ..self },
            _ => self,
        }
    }
}

/// Computes the order and the positions.
pub(super) fn order(rows: &Rows, nets: &[Net], blocks: &[Block]) -> Order {
    let mut items: Vec<Vec<Item>> =
        rows.rows.iter().map(|row| row.iter().map(|piece| Item::Piece(*piece)).collect()).collect();
    for (at, net) in nets.iter().enumerate() {
        for row in &mut items[net.bottom + 1..net.top] {
            row.push(Item::Lane(at));
        }
    }
    let width = |item: &Item| match item {
        Item::Piece(piece) => blocks[*piece].width,
        Item::Lane(_) => 0.0,
    };
    let mut places: Vec<Vec<f64>> = items.iter().map(|row| packed(row, &width)).collect();
    let mut best = (usize::MAX, items.clone());
    for sweep in 0..SWEEPS {
        let upwards = sweep % 2 == 0;
        let count = items.len();
        for step in 1..count {
            let (row, other) = if upwards { (step, step - 1) } else { (count - 1 - step, count - step) };
            let lines = lines(rows, nets, blocks, &items, row.max(other));
            let wanted = wanted(&lines, &places[row], &places[other], row > other);
            let mut by: Vec<usize> = (0..items[row].len()).collect();
            by.sort_by(|a, b| wanted[*a].0.total_cmp(&wanted[*b].0));
            items[row] = by.iter().map(|at| items[row][*at]).collect();
            places[row] = packed(&items[row], &width);
        }
        let crossings: usize = (1..count)
            .map(|row| crossings(&lines(rows, nets, blocks, &items, row), &places[row], &places[row - 1]))
            .sum();
        if crossings < best.0 {
            best = (crossings, items.clone());
        }
    }
    let items = best.1;
    let mut places: Vec<Vec<f64>> = items.iter().map(|row| packed(row, &width)).collect();
    let between: Vec<Vec<Line>> = (0..items.len())
        .map(|row| if row == 0 { Vec::new() } else { lines(rows, nets, blocks, &items, row) })
        .collect();
    let between: Vec<Vec<Line>> = between
        .into_iter()
        .enumerate()
        .map(|(row, lines)| lines.into_iter().map(|line| line.centred(&items, blocks, row)).collect())
        .collect();
    for sweep in 0..SWEEPS {
        let count = items.len();
        for step in 0..count {
            let row = if sweep % 2 == 0 { step } else { count - 1 - step };
            let mut target: Vec<(f64, f64)> = vec![(0.0, 0.0); items[row].len()];
            let mut pull = |wanted: Vec<(f64, f64)>| {
                for (sum, (place, weight)) in target.iter_mut().zip(wanted) {
                    *sum = (sum.0 + place * weight, sum.1 + weight);
                }
            };
            if row > 0 {
                pull(wanted(&between[row], &places[row], &places[row - 1], true));
            }
            if row + 1 < count {
                pull(wanted(&between[row + 1], &places[row], &places[row + 1], false));
            }
            let target: Vec<(f64, f64)> =
                target.iter().map(|(sum, weight)| (sum / weight, *weight)).collect();
            places[row] = spaced(&items[row], &target, &width);
        }
    }
    Order {
        rows: items
            .into_iter()
            .zip(places)
            .map(|(row, places)| row.into_iter().zip(places).collect())
            .collect(),
    }
}

/// The lines between a row and the one below it.
fn lines(rows: &Rows, nets: &[Net], blocks: &[Block], items: &[Vec<Item>], upper: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let find = |row: usize| {
        let mut pieces = std::collections::BTreeMap::new();
        let mut lanes = std::collections::BTreeMap::new();
        for (at, item) in items[row].iter().enumerate() {
            match item {
                Item::Piece(piece) => pieces.insert(*piece, at),
                Item::Lane(net) => lanes.insert(*net, at),
            };
        }
        (pieces, lanes)
    };
    let (upper_pieces, upper_lanes) = find(upper);
    let (lower_pieces, lower_lanes) = find(upper - 1);
    for (at, net) in nets.iter().enumerate() {
        let piece = rows.piece_of[net.to];
        let lower = match (lower_lanes.get(&at), lower_pieces.get(&piece)) {
            (Some(lane), _) => (*lane, 0.0),
            (None, Some(lower)) if net.bottom + 1 == upper => {
                let entry = blocks[piece].entries.iter().find(|entry| entry.net == at);
                (*lower, entry.map_or(0.0, |entry| entry.x - blocks[piece].width / 2.0))
            }
            _ => continue,
        };
        if let Some(lane) = upper_lanes.get(&at) {
            lines.push(Line { upper: *lane, upper_offset: 0.0, lower: lower.0, lower_offset: lower.1 });
        }
        for source in &net.sources {
            let piece = rows.piece_of[*source];
            let Some(upper) = upper_pieces.get(&piece) else { continue };
            for exit in blocks[piece]
                .exits
                .iter()
                .filter(|exit| exit.net == at && rows.pieces[piece].cards[exit.card] == *source)
            {
                let upper_offset = exit.x - blocks[piece].width / 2.0;
                lines.push(Line { upper: *upper, upper_offset, lower: lower.0, lower_offset: lower.1 });
            }
        }
    }
    lines
}

/// Returns the position that the lines to a neighbouring row suggest for each item of a row, and
/// its weight. An item without lines stays where it is.
fn wanted(lines: &[Line], own: &[f64], other: &[f64], own_is_upper: bool) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); own.len()];
    for line in lines {
        let (item, place) = if own_is_upper {
            (line.upper, other[line.lower] + line.lower_offset - line.upper_offset)
        } else {
            (line.lower, other[line.upper] + line.upper_offset - line.lower_offset)
        };
        sums[item].0 += place;
        sums[item].1 += 1.0;
    }
    let mean = |(at, (sum, count)): (usize, &(f64, f64))| {
        if *count > 0.0 { (sum / count, 1.0) } else { (own[at], 0.01) }
    };
    sums.iter().enumerate().map(mean).collect()
}

fn gap(left: &Item, right: &Item) -> f64 {
    match (left, right) {
        (Item::Piece(_), Item::Piece(_)) => GAP,
        _ => LANE,
    }
}

/// Centres of adjacent items, around 0.
fn packed(row: &[Item], width: &impl Fn(&Item) -> f64) -> Vec<f64> {
    let mut places = Vec::with_capacity(row.len());
    let mut x = 0.0;
    for (at, item) in row.iter().enumerate() {
        if at > 0 {
            x += gap(&row[at - 1], item);
        }
        places.push(x + width(item) / 2.0);
        x += width(item);
    }
    places.iter().map(|place| place - x / 2.0).collect()
}

/// Returns centres as close to the wanted ones as the order and the widths allow. Minimises the
/// squared distances by merging neighbours whose wanted positions conflict.
fn spaced(row: &[Item], wanted: &[(f64, f64)], width: &impl Fn(&Item) -> f64) -> Vec<f64> {
    let room = packed(row, width);
    let mut merged: Vec<(f64, f64, usize)> = Vec::new();
    for ((place, weight), room) in wanted.iter().zip(&room) {
        let mut last = (place - room, *weight, 1);
        while let Some(before) = merged.last().filter(|before| before.0 > last.0) {
            let weight = before.1 + last.1;
            last = ((before.0 * before.1 + last.0 * last.1) / weight, weight, before.2 + last.2);
            merged.pop();
        }
        merged.push(last);
    }
    let shifts = merged.iter().flat_map(|(shift, _, count)| std::iter::repeat_n(*shift, *count));
    shifts.zip(&room).map(|(shift, room)| shift + room).collect()
}

/// How many pairs of lines cross.
fn crossings(lines: &[Line], upper: &[f64], lower: &[f64]) -> usize {
    let mut ends: Vec<(f64, f64)> = lines
        .iter()
        .map(|line| (upper[line.upper] + line.upper_offset, lower[line.lower] + line.lower_offset))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut seen: Vec<f64> = Vec::with_capacity(ends.len());
    let mut count = 0;
    for (_, low) in ends {
        let at = seen.partition_point(|other| *other <= low + 0.5);
        count += seen.len() - at;
        seen.insert(at, low);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_and_their_distance() {
        let row = [Item::Piece(0), Item::Lane(0), Item::Piece(1)];
        let width = |item: &Item| if matches!(item, Item::Piece(_)) { 100.0 } else { 0.0 };
        // All items want the same position: they share the space around it.
        let places = spaced(&row, &[(500.0, 1.0); 3], &width);
        assert_eq!(places, [500.0 - 63.0, 500.0, 500.0 + 63.0]);
        // Without neighbours in the way each item gets its wanted position.
        assert_eq!(spaced(&row, &[(0.0, 1.0), (300.0, 1.0), (900.0, 1.0)], &width), [0.0, 300.0, 900.0]);
    }

    #[test]
    fn crossings_are_counted() {
        let line = |upper, lower| Line { upper, upper_offset: 0.0, lower, lower_offset: 0.0 };
        let places = [0.0, 100.0, 200.0];
        assert_eq!(crossings(&[line(0, 0), line(1, 1), line(2, 2)], &places, &places), 0);
        assert_eq!(crossings(&[line(0, 2), line(1, 1), line(2, 0)], &places, &places), 3);
        assert_eq!(crossings(&[line(0, 1), line(2, 1)], &places, &places), 0);
    }
}
