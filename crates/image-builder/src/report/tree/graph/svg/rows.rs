//! Assigns groups to rows: each group below all groups that depend on it, external images at the
//! bottom.
//!
//! Groups that need each other (layers of one product with another product's layer in between) are
//! split into single cards, so that every tie leads down.

use std::collections::VecDeque;

use crate::report::tree::graph::svg::chart::Chart;

/// A group, or a card of a group that was split.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) group: usize,
    /// From the bottom to the top.
    pub(super) cards: Vec<usize>,
}

/// Pieces and their rows, counted from the bottom.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) pieces: Vec<Piece>,
    pub(super) piece_of: Vec<usize>,
    pub(super) row: Vec<usize>,
    /// Pieces of each row, ordered so that pieces with the same base are neighbours.
    pub(super) rows: Vec<Vec<usize>>,
}

/// Assigns pieces to rows. `width` returns the width of a piece; a row is wider than `widest` only
/// if that cannot be avoided.
pub(super) fn rows(chart: &Chart, width: impl Fn(&Piece) -> f64, widest: f64) -> Rows {
    let whole = chart.groups.iter().enumerate().map(|(group, g)| Piece { group, cards: g.cards.clone() });
    let mut pieces: Vec<Piece> = whole.collect();
    let (mut piece_of, mut needs) = needs(chart, &pieces);
    let knotted = knotted(&needs);
    if knotted.iter().any(|knotted| *knotted) {
        let taken_apart = pieces.iter().zip(&knotted).flat_map(|(piece, knotted)| {
            let size = if *knotted { 1 } else { piece.cards.len().max(1) };
            piece
                .cards
                .chunks(size)
                .map(|cards| Piece { group: piece.group, cards: cards.to_vec() })
                .collect::<Vec<_>>()
        });
        pieces = taken_apart.collect();
        (piece_of, needs) = self::needs(chart, &pieces);
    }
    let level = levels(chart, &pieces, &needs);
    let order = kin(&needs, &level);
    let mut by_level: Vec<Vec<usize>> = vec![Vec::new(); level.iter().max().map_or(0, |max| max + 1)];
    for piece in order {
        by_level[level[piece]].push(piece);
    }
    let mut rows = Vec::new();
    for level in by_level.into_iter().filter(|level| !level.is_empty()) {
        let total: f64 = level.iter().map(|piece| width(&pieces[*piece])).sum();
        let parts = (total / widest).ceil().max(1.0);
        let share = total / parts;
        let mut filled = 0.0;
        let mut part: Vec<usize> = Vec::new();
        for piece in level {
            let own = width(&pieces[piece]);
            if !part.is_empty() && filled + own / 2.0 > share {
                rows.push(std::mem::take(&mut part));
                filled = 0.0;
            }
            filled += own;
            part.push(piece);
        }
        rows.push(part);
    }
    let mut row = vec![0; pieces.len()];
    for (at, members) in rows.iter().enumerate() {
        for piece in members {
            row[*piece] = at;
        }
    }
    Rows { pieces, piece_of, row, rows }
}

/// Returns the piece of each card, and the pieces that each piece needs.
fn needs(chart: &Chart, pieces: &[Piece]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut piece_of = vec![0; chart.cards.len()];
    for (at, piece) in pieces.iter().enumerate() {
        for card in &piece.cards {
            piece_of[*card] = at;
        }
    }
    let mut needs = vec![Vec::new(); pieces.len()];
    for tie in &chart.ties {
        let (from, to) = (piece_of[tie.from], piece_of[tie.to]);
        if from != to {
            needs[from].push(to);
        }
    }
    for needed in &mut needs {
        needed.sort_unstable();
        needed.dedup();
    }
    (piece_of, needs)
}

fn turned(needs: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut by = vec![Vec::new(); needs.len()];
    for (piece, needed) in needs.iter().enumerate() {
        for below in needed {
            by[*below].push(piece);
        }
    }
    by
}

/// Marks pieces that lie on a cycle, or between two cycles.
fn knotted(needs: &[Vec<usize>]) -> Vec<bool> {
    let turned = turned(needs);
    let loose_from_below = sorted(needs, &turned);
    let loose_from_above = sorted(&turned, needs);
    let mut knotted = vec![true; needs.len()];
    for piece in loose_from_below.into_iter().chain(loose_from_above) {
        knotted[piece] = false;
    }
    knotted
}

/// Sorts pieces so that each comes after all pieces that it needs. Pieces on cycles, and pieces
/// that need them, are left out.
fn sorted(needs: &[Vec<usize>], needed_by: &[Vec<usize>]) -> Vec<usize> {
    let mut missing: Vec<usize> = needs.iter().map(Vec::len).collect();
    let mut open: VecDeque<usize> = (0..needs.len()).filter(|piece| missing[*piece] == 0).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(piece) = open.pop_front() {
        order.push(piece);
        for above in &needed_by[piece] {
            missing[*above] -= 1;
            if missing[*above] == 0 {
                open.push_back(*above);
            }
        }
    }
    order
}

fn levels(chart: &Chart, pieces: &[Piece], needs: &[Vec<usize>]) -> Vec<usize> {
    let outside = |piece: usize| chart.groups[pieces[piece].group].outside;
    let lowest = usize::from((0..pieces.len()).any(outside));
    let mut level: Vec<usize> =
        (0..pieces.len()).map(|piece| if outside(piece) { 0 } else { lowest }).collect();
    for piece in sorted(needs, &turned(needs)) {
        for below in &needs[piece] {
            level[piece] = level[piece].max(level[*below] + 1);
        }
    }
    level
}

/// Orders all pieces so that each comes shortly after its base.
fn kin(needs: &[Vec<usize>], level: &[usize]) -> Vec<usize> {
    let needed_by = turned(needs);
    let mut order = Vec::with_capacity(needs.len());
    let mut seen = vec![false; needs.len()];
    let mut roots: Vec<usize> = (0..needs.len()).collect();
    roots.sort_by_key(|piece| (level[*piece], *piece));
    for root in roots {
        let mut open = vec![root];
        while let Some(piece) = open.pop() {
            if !std::mem::replace(&mut seen[piece], true) {
                order.push(piece);
                open.extend(needed_by[piece].iter().rev());
            }
        }
    }
    order
}
