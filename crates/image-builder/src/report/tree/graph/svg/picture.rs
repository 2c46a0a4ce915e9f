//! Turns positions into shapes: one chart as boxes and lines, in its own coordinates.

use crate::report::tree::graph::svg::block::{Block, block};
use crate::report::tree::graph::svg::chart::{Chart, Style};
use crate::report::tree::graph::svg::net::{Net, nets};
use crate::report::tree::graph::svg::order::{Item, Order, order};
use crate::report::tree::graph::svg::route::{Wire, tracks};
use crate::report::tree::graph::svg::rows::{Rows, rows};

/// Pixels between two tracks, the heights at which nets run horizontally.
const TRACK: f64 = 9.0;
/// Pixels between a row and the nearest track.
const APPROACH: f64 = 18.0;
/// Radius of a line's corner.
const CORNER: f64 = 6.0;
/// Rows are broken only if they are wider than this.
const ROW: f64 = 1500.0;

/// A chart with all positions.
#[derive(Debug, Default)]
pub(super) struct Picture {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) frames: Vec<Frame>,
    pub(super) boxes: Vec<Shape>,
    pub(super) lines: Vec<Stroke>,
}

/// The border around a group.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    pub(super) area: Area,
    /// Where the title begins.
    pub(super) text_x: f64,
}

/// A card and its position.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) card: usize,
    pub(super) area: Area,
}

/// Left, top, width, height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line.
#[derive(Debug)]
pub(super) struct Stroke {
    /// SVG path data.
    pub(super) path: String,
    pub(super) style: Style,
    /// Nets of different colours can be distinguished where they cross.
    pub(super) colour: usize,
    /// Tip of the arrow, and the direction in which it points.
    pub(super) tip: Option<(f64, f64, Points)>,
}

/// The direction of an arrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Points {
    Right,
    Down,
    Left,
}

/// Computes the layout of a chart.
pub(super) fn picture(chart: &Chart) -> Picture {
    if chart.cards.is_empty() {
        return Picture::default();
    }
    let card_width =
        |cards: &[usize]| cards.iter().map(|card| chart.cards[*card].width()).fold(0.0, f64::max) + 60.0;
    let area: f64 =
        chart.groups.iter().map(|group| card_width(&group.cards) * 75.0 * group.cards.len() as f64).sum();
    let rows = rows(chart, |piece| card_width(&piece.cards), ROW.max((area * 2.5).sqrt()));
    let nets = nets(chart, &rows);
    let blocks: Vec<Block> = (0..rows.pieces.len()).map(|piece| block(chart, &rows, &nets, piece)).collect();
    let order = order(&rows, &nets, &blocks);
    Drawing { chart, rows: &rows, nets: &nets, blocks: &blocks, order: &order, picture: Picture::default() }
        .draw()
}

struct Drawing<'a> {
    chart: &'a Chart,
    rows: &'a Rows,
    nets: &'a [Net],
    blocks: &'a [Block],
    order: &'a Order,
    picture: Picture,
}

impl Drawing<'_> {
    fn draw(mut self) -> Picture {
        let half = |item: &Item| match item {
            Item::Piece(piece) => self.blocks[*piece].width / 2.0,
            Item::Lane(_) => 0.0,
        };
        let items = || self.order.rows.iter().flatten();
        let left = items().map(|(item, x)| x - half(item)).fold(f64::MAX, f64::min);
        let right = items().map(|(item, x)| x + half(item)).fold(f64::MIN, f64::max);
        self.picture.width = right - left;
        let mut y = 0.0;
        let mut begun: Vec<Vec<(f64, f64)>> = vec![Vec::new(); self.nets.len()];
        for row in (0..self.order.rows.len()).rev() {
            let height =
                self.order.rows[row].iter().filter_map(|(item, _)| self.block(*item)).map(|b| b.height);
            let height = height.fold(0.0, f64::max);
            let wires = apart(self.arriving(row, left, &begun));
            let (track, count) = tracks(&wires);
            let top =
                if row + 1 == self.order.rows.len() { y } else { y + 2.0 * APPROACH + TRACK * count as f64 };
            // The horizontal position at which each net reaches the row.
            let mut lanes = vec![None; self.nets.len()];
            for (wire, track) in wires.iter().zip(track) {
                let mut wire = wire.clone();
                wire.bottom.1 += top;
                self.comb(&wire, y + APPROACH + TRACK * track as f64 + TRACK / 2.0);
                lanes[wire.net] = Some(wire.bottom.0);
                begun[wire.net].clear();
            }
            for (item, x) in self.order.rows[row].clone() {
                match item {
                    Item::Lane(net) => {
                        if let Some(x) = lanes[net] {
                            begun[net].push((x, top));
                        }
                    }
                    Item::Piece(piece) => {
                        let block = &self.blocks[piece];
                        let corner = (x - left - block.width / 2.0, top + height - block.height);
                        self.piece(piece, corner, &lanes, &mut begun);
                    }
                }
            }
            y = top + height;
        }
        self.picture.height = y;
        self.picture
    }

    fn block(&self, item: Item) -> Option<&Block> {
        match item {
            Item::Piece(piece) => Some(&self.blocks[piece]),
            Item::Lane(_) => None,
        }
    }

    /// The wires between a row and the one above it; the lower ends are relative to the row's top.
    fn arriving(&self, row: usize, left: f64, begun: &[Vec<(f64, f64)>]) -> Vec<Wire> {
        let height = self.order.rows[row].iter().filter_map(|(item, _)| self.block(*item)).map(|b| b.height);
        let height = height.fold(0.0, f64::max);
        let mut wires = Vec::new();
        for (item, x) in &self.order.rows[row] {
            match item {
                Item::Lane(net) => {
                    let wire = Wire { net: *net, tops: begun[*net].clone(), bottom: (x - left, 0.0) };
                    wires.extend(Some(wire).filter(|wire| !wire.tops.is_empty()));
                }
                Item::Piece(piece) => {
                    let block = &self.blocks[*piece];
                    for entry in &block.entries {
                        let end = entry.y.map_or(0.0, |y| y - CORNER);
                        let bottom = (x - left - block.width / 2.0 + entry.x, height - block.height + end);
                        let wire = Wire { net: entry.net, tops: begun[entry.net].clone(), bottom };
                        wires.extend(Some(wire).filter(|wire| !wire.tops.is_empty()));
                    }
                }
            }
        }
        wires
    }

    /// Draws a net between two rows: down from each source above, horizontally at height `y`, and
    /// down to the item below.
    fn comb(&mut self, wire: &Wire, y: f64) {
        let (x, end) = wire.bottom;
        let mut path = String::new();
        let mut straight = None;
        let (mut leftmost, mut rightmost) = (x, x);
        for (top, from) in &wire.tops {
            let aside = top - x;
            if aside.abs() < 0.5 {
                straight = Some(*from);
                continue;
            }
            let corner = CORNER.min(aside.abs() / 2.0);
            let turn = top - corner * aside.signum();
            path.push_str(&format!(
                "M{} {}V{}Q{} {} {} {}",
                n(*top),
                n(*from),
                n(y - corner),
                n(*top),
                n(y),
                n(turn),
                n(y)
            ));
            (leftmost, rightmost) = (leftmost.min(turn), rightmost.max(turn));
        }
        let corner_left = CORNER.min((x - leftmost) / 2.0);
        let corner_right = CORNER.min((rightmost - x) / 2.0);
        for (outermost, corner, sign) in [(leftmost, corner_left, -1.0), (rightmost, corner_right, 1.0)] {
            if (outermost - x).abs() > 0.5 {
                let turn = x + sign * corner;
                path.push_str(&format!(
                    "M{} {}H{}Q{} {} {} {}",
                    n(outermost),
                    n(y),
                    n(turn),
                    n(x),
                    n(y),
                    n(x),
                    n(y + corner)
                ));
            }
        }
        let begin = straight.unwrap_or(y + corner_left.max(corner_right));
        path.push_str(&format!("M{} {}V{}", n(x), n(begin), n(end)));
        self.stroke(wire.net, path, None);
    }

    fn piece(
        &mut self,
        piece: usize,
        (left, top): (f64, f64),
        lanes: &[Option<f64>],
        begun: &mut [Vec<(f64, f64)>],
    ) {
        let block = &self.blocks[piece];
        let cards = &self.rows.pieces[piece].cards;
        let column = left + block.column.0;
        let right = column + block.column.1;
        if let Some(title) = self.chart.groups[self.rows.pieces[piece].group].title.clone() {
            let area = Area { x: left, y: top, width: block.width, height: block.height };
            self.picture.frames.push(Frame { title, area, text_x: column });
        }
        for (card, (offset, height)) in cards.iter().zip(&block.cards) {
            let area = Area { x: column, y: top + offset, width: block.column.1, height: *height };
            self.picture.boxes.push(Shape { card: *card, area });
        }
        for at in 1..cards.len() {
            let tie = self.chart.ties.iter().find(|tie| (tie.from, tie.to) == (cards[at], cards[at - 1]));
            let Some(tie) = tie else { continue };
            let (upper, lower) = (block.cards[at], block.cards[at - 1]);
            let x = column + block.column.1 / 2.0;
            let path = format!("M{} {}V{}", n(x), n(top + upper.0 + upper.1), n(top + lower.0));
            let tip = Some((x, top + lower.0, Points::Down));
            self.picture.lines.push(Stroke { path, style: tie.style, colour: 0, tip });
        }
        for inner in &block.inner {
            let (x, from, to) = (left + inner.x, top + inner.from_y, top + inner.to_y);
            let turn = CORNER.min((to - from).abs() / 2.0) * (to - from).signum();
            let path = format!(
                "M{} {}H{}Q{} {} {} {}V{}Q{} {} {} {}H{}",
                n(right),
                n(from),
                n(x - CORNER),
                n(x),
                n(from),
                n(x),
                n(from + turn),
                n(to - turn),
                n(x),
                n(to),
                n(x - CORNER),
                n(to),
                n(right)
            );
            let tip = Some((right, to, Points::Left));
            self.picture.lines.push(Stroke { path, style: inner.style, colour: 0, tip });
        }
        for entry in &block.entries {
            let x = lanes[entry.net].unwrap_or(left + entry.x);
            match entry.y.map(|y| top + y) {
                Some(y) => {
                    let path = format!(
                        "M{} {}Q{} {} {} {}H{}",
                        n(x),
                        n(y - CORNER),
                        n(x),
                        n(y),
                        n(x + CORNER),
                        n(y),
                        n(column)
                    );
                    self.stroke(entry.net, path, Some((column, y, Points::Right)));
                }
                None => self.stroke(entry.net, String::new(), Some((x, top, Points::Down))),
            }
        }
        let floor = top + block.height;
        for exit in &block.exits {
            let x = left + exit.x;
            let (path, begin) = match exit.y.map(|y| top + y) {
                Some(y) => (
                    format!(
                        "M{} {}H{}Q{} {} {} {}V{}",
                        n(right),
                        n(y),
                        n(x - CORNER),
                        n(x),
                        n(y),
                        n(x),
                        n(y + CORNER),
                        n(floor)
                    ),
                    floor,
                ),
                None => (String::new(), top + block.cards[exit.card].0 + block.cards[exit.card].1),
            };
            if !path.is_empty() {
                self.stroke(exit.net, path, None);
            }
            // Two cards of one piece may leave through the same line.
            if !begun[exit.net].iter().any(|(other, _)| (other - x).abs() < 0.5) {
                begun[exit.net].push((x, begin));
            }
        }
    }

    fn stroke(&mut self, net: usize, path: String, tip: Option<(f64, f64, Points)>) {
        self.picture.lines.push(Stroke { path, style: self.nets[net].style, colour: net, tip });
    }
}

/// Moves a net that would come down where another one begins, so that they are not confused. There
/// is space: lanes are further apart than the shift.
fn apart(mut wires: Vec<Wire>) -> Vec<Wire> {
    const NEAR: f64 = 3.0;
    for at in 0..wires.len() {
        let x = wires[at].bottom.0;
        let is_free = |x: f64| {
            wires.iter().enumerate().filter(|(other, _)| *other != at).all(|(_, other)| {
                let mut places = other.tops.iter().map(|(top, _)| *top).chain([other.bottom.0]);
                places.all(|place| (place - x).abs() >= NEAR)
            })
        };
        let moved = [0.0, 4.0, -4.0, 5.5, -5.5].map(|aside| x + aside).into_iter().find(|x| is_free(*x));
        wires[at].bottom.0 = moved.unwrap_or(x);
    }
    wires
}

/// Formats a number with one decimal, or with none if that is zero.
pub(super) fn n(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
