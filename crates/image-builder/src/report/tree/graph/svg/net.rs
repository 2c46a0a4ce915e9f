//! Joins edges to the same card into one net, and lists the rows that it passes.

use std::collections::BTreeMap;

use crate::report::tree::graph::svg::chart::{Chart, Style};
use crate::report::tree::graph::svg::rows::Rows;

/// All ties of one style from other pieces to one card.
#[derive(Debug, Clone)]
pub(super) struct Net {
    pub(super) to: usize,
    pub(super) style: Style,
    pub(super) sources: Vec<usize>,
    /// Row of `to`.
    pub(super) bottom: usize,
    /// The highest row of a source.
    pub(super) top: usize,
}

/// Returns the nets of a chart, in a stable order. Ties inside a piece belong to no net.
pub(super) fn nets(chart: &Chart, rows: &Rows) -> Vec<Net> {
    let row = |card: usize| rows.row[rows.piece_of[card]];
    let mut nets: BTreeMap<(usize, Style), Vec<usize>> = BTreeMap::new();
    for tie in chart.ties.iter().filter(|tie| row(tie.from) > row(tie.to)) {
        nets.entry((tie.to, tie.style)).or_default().push(tie.from);
    }
    nets.into_iter()
        .map(|((to, style), sources)| Net {
            bottom: row(to),
            top: sources.iter().map(|card| row(*card)).max().unwrap_or(0),
            to,
            style,
            sources,
        })
        .collect()
}
