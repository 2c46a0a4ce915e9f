//! Lays out the inside of a group: its cards in a column, and the gutters through which edges enter
//! and leave.
//!
//! An edge from above runs down the left gutter and enters its card from the left. An edge to below
//! leaves the lowest card at the bottom, and any other card to the right. In both gutters the lines
//! are ordered so that none crosses another.

use crate::report::tree::graph::svg::chart::{Chart, Style};
use crate::report::tree::graph::svg::letters::{self, NAME};
use crate::report::tree::graph::svg::net::Net;
use crate::report::tree::graph::svg::rows::Rows;

/// Pixels between two lines in a gutter.
const WAY: f64 = 11.0;
/// Pixels around the cards of a group.
const MARGIN: f64 = 12.0;
/// Height of the strip with a group's title.
const TITLE: f64 = 22.0;
/// Pixels between two cards of a column, with an arrow in between.
const GAP: f64 = 20.0;

/// The layout of a piece; offsets are from its left and top border.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub(super) width: f64,
    pub(super) height: f64,
    /// Offset and width of the column of cards.
    pub(super) column: (f64, f64),
    /// Top and height of each card, ordered from the bottom of the column.
    pub(super) cards: Vec<(f64, f64)>,
    /// Nets that enter.
    pub(super) entries: Vec<Entry>,
    /// Nets that leave.
    pub(super) exits: Vec<Exit>,
    /// Ties between cards of this piece that pass by another card.
    pub(super) inner: Vec<Inner>,
}

/// A net that ends at a card here.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) net: usize,
    pub(super) x: f64,
    /// Where the net meets the card's left border; `None` if it enters from straight above.
    pub(super) y: Option<f64>,
}

/// A net that begins at a card here.
#[derive(Debug, Clone)]
pub(super) struct Exit {
    pub(super) net: usize,
    pub(super) card: usize,
    pub(super) x: f64,
    /// Where the net leaves the card's right border; `None` if it leaves at the bottom.
    pub(super) y: Option<f64>,
}

/// A tie between two cards of the column that are not neighbours.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    pub(super) style: Style,
    pub(super) x: f64,
    pub(super) from_y: f64,
    pub(super) to_y: f64,
}

/// Computes the layout of one piece.
pub(super) fn block(chart: &Chart, rows: &Rows, nets: &[Net], piece: usize) -> Block {
    let cards = &rows.pieces[piece].cards;
    let title = chart.groups[rows.pieces[piece].group].title.as_deref();
    let place = |card: usize| cards.iter().position(|other| *other == card);
    let framed = title.is_some();
    let mut column = cards.iter().map(|card| chart.cards[*card].width()).fold(0.0, f64::max);
    if let Some(title) = title {
        column = column.max(letters::width(title, NAME, true));
    }
    let mut block = Block::default();

    // From the bottom up.
    let mut height = if framed { MARGIN } else { 0.0 };
    let mut bottoms = Vec::new();
    for (at, card) in cards.iter().enumerate() {
        height += if at > 0 { GAP } else { 0.0 };
        bottoms.push(height);
        height += chart.cards[*card].height();
    }
    height += if framed { MARGIN / 2.0 + TITLE } else { 0.0 };
    block.height = height;
    block.cards = cards
        .iter()
        .zip(&bottoms)
        .map(|(card, bottom)| {
            let own = chart.cards[*card].height();
            (height - bottom - own, own)
        })
        .collect();

    let mut entering: Vec<(usize, usize)> =
        nets.iter().enumerate().filter_map(|(net, n)| Some((net, place(n.to)?))).collect();
    // Lines that enter higher run nearer to the cards.
    entering.sort_by_key(|(net, card)| (std::cmp::Reverse(*card), *net));
    let mut leaving: Vec<(usize, usize)> = Vec::new();
    for (net, n) in nets.iter().enumerate() {
        leaving.extend(n.sources.iter().filter_map(|card| Some((net, place(*card)?))));
    }
    leaving.sort_by_key(|(net, card)| (*card, *net));
    let mut passing: Vec<(usize, usize, Style)> = chart
        .ties
        .iter()
        .filter_map(|tie| Some((place(tie.from)?, place(tie.to)?, tie.style)))
        .filter(|(from, to, _)| from.abs_diff(*to) > 1)
        .collect();
    passing.sort_by_key(|(from, to, _)| from.abs_diff(*to));

    let on_left = if framed { entering.len() } else { 0 };
    let aside: Vec<(usize, usize)> = leaving.iter().copied().filter(|(_, card)| *card > 0).collect();
    let mut ways: Vec<usize> = Vec::new();
    for (net, _) in &aside {
        if !ways.contains(net) {
            ways.push(*net);
        }
    }
    let on_right = ways.len() + passing.len();
    let gutter = |ways: usize| if framed { MARGIN + WAY * ways as f64 } else { 0.0 };
    let left = gutter(on_left);
    block.column = (left, column);
    block.width = left + column + gutter(on_right);

    let spread = |card: usize, at: usize, of: usize| {
        let (top, own) = block.cards[card];
        top + own * (at + 1) as f64 / (of + 1) as f64
    };
    for (at, (net, card)) in entering.iter().enumerate() {
        let same: Vec<usize> = entering.iter().filter(|(_, c)| c == card).map(|(net, _)| *net).collect();
        let nth = same.iter().position(|other| other == net).unwrap_or(0);
        block.entries.push(if framed {
            let x = left - WAY * (at + 1) as f64;
            Entry { net: *net, x, y: Some(spread(*card, nth, same.len())) }
        } else {
            let x = left + column * (nth + 1) as f64 / (same.len() + 1) as f64;
            Entry { net: *net, x, y: None }
        });
    }
    let attached = |card: usize| {
        aside.iter().filter(|(_, c)| *c == card).count()
            + passing.iter().map(|(f, t, _)| usize::from(*f == card) + usize::from(*t == card)).sum::<usize>()
    };
    let mut used = vec![0; cards.len()];
    let mut attach = |card: usize| {
        used[card] += 1;
        spread(card, used[card] - 1, attached(card))
    };
    for (at, (from, to, style)) in passing.iter().enumerate() {
        let x = left + column + WAY * (at + 1) as f64;
        block.inner.push(Inner { style: *style, x, from_y: attach(*from), to_y: attach(*to) });
    }
    for (net, card) in &leaving {
        let exit = if *card == 0 {
            let below: Vec<usize> = leaving.iter().filter(|(_, c)| *c == 0).map(|(net, _)| *net).collect();
            let nth = below.iter().position(|other| other == net).unwrap_or(0);
            let x = left + column * (nth + 1) as f64 / (below.len() + 1) as f64;
            Exit { net: *net, card: *card, x, y: None }
        } else {
            // Lines that leave higher run further out.
            let way = ways.iter().position(|other| other == net).unwrap_or(0) + passing.len();
            let x = left + column + WAY * (way + 1) as f64;
            Exit { net: *net, card: *card, x, y: Some(attach(*card)) }
        };
        block.exits.push(exit);
    }
    block
}
