//! The layer graph as cards, groups of cards and edges, before layout.

use std::collections::BTreeMap;

use planner::layer_graph::{EdgeRole, LayerGraph, Node};

use crate::cli::escape::escape;
use crate::report::tree::graph::grouping::{TouchedIds, by_product, edges_by_layer, need};
use crate::report::tree::graph::svg::letters::{self, NAME, NOTE};

/// Pixels between a card's border and its text.
const PADDING: f64 = 10.0;
/// Height of a line of text.
pub(super) const LINE: f64 = 17.0;

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct Chart {
    pub(super) cards: Vec<Card>,
    pub(super) groups: Vec<Group>,
    pub(super) ties: Vec<Tie>,
}

/// A box with text.
#[derive(Debug)]
pub(super) struct Card {
    pub(super) kind: CardKind,
    /// The lines of text; the first ones are the name, in bold.
    pub(super) lines: Vec<String>,
    /// Number of lines of the name.
    pub(super) name_lines: usize,
    /// The tooltip.
    pub(super) title: String,
    /// Whether the plan builds it.
    pub(super) touched: bool,
}

/// The kind of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CardKind {
    Science,
    /// The final layer of its product.
    Final,
    /// A compat image: the lines after its name are the layers of its stack, the top one first.
    Product,
    Compat,
    /// A science layer that only the registry has.
    Published,
    /// One build of a layer.
    Pinned,
    External,
}

/// Cards in a column, from the bottom to the top.
#[derive(Debug)]
pub(super) struct Group {
    /// `image:version`; `None` for a single card.
    pub(super) title: Option<String>,
    pub(super) cards: Vec<usize>,
    /// Whether the group is placed at the very bottom.
    pub(super) outside: bool,
}

/// A card's dependency on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tie {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) style: Style,
}

/// The style of a tie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Style {
    /// The target is the base image.
    Base,
    /// Copies from the target, mounts it, or uses it as the base of a stage.
    Other,
    /// Names one build of the target.
    Pinned,
}

impl Card {
    fn new(kind: CardKind, name: &str, notes: &[String], touched: bool) -> Self {
        let name = escape(name);
        let mut lines = letters::lines(&name);
        let name_lines = lines.len();
        for note in notes {
            lines.extend(letters::lines(&escape(note)));
        }
        let mut title = name.into_owned();
        if touched {
            title.push_str(": touched by the plan");
        }
        Self { kind, lines, name_lines, title, touched }
    }

    pub(super) fn width(&self) -> f64 {
        let widths = self.lines.iter().enumerate().map(|(at, line)| {
            if at < self.name_lines {
                letters::width(line, NAME, true)
            } else {
                letters::width(line, NOTE, false)
            }
        });
        let mark = if self.touched { 14.0 } else { 0.0 };
        (widths.fold(70.0, f64::max) + 2.0 * PADDING + mark).ceil()
    }

    pub(super) fn height(&self) -> f64 {
        self.lines.len() as f64 * LINE + PADDING
    }
}

impl Chart {
    /// Charts science layers, products, and their base images.
    pub(super) fn of_layers(graph: &LayerGraph, touched: Option<&TouchedIds>) -> Self {
        let is_touched = |id: &str| touched.is_some_and(|touched| touched.contains(id));
        let needs = edges_by_layer(graph);
        let mut chart = Self::default();
        let mut science: BTreeMap<&str, usize> = BTreeMap::new();
        let mut products: BTreeMap<&str, usize> = BTreeMap::new();
        let mut grouped = by_product(graph, &needs);
        for product in &graph.products {
            grouped.entry((&product.image, &product.version)).or_default();
        }
        for ((image, version), layers) in grouped {
            let mut cards = Vec::new();
            for layer in layers {
                let kind = if layer.is_final { CardKind::Final } else { CardKind::Science };
                let note = layer.reference();
                let mut card = Card::new(kind, &layer.path, &[note], is_touched(&layer.path));
                for edge in needs.get(layer.path.as_str()).into_iter().flatten() {
                    card.title.push_str(&format!("\n{}", need(edge)));
                }
                cards.push(chart.add(card));
                science.insert(&layer.path, chart.cards.len() - 1);
            }
            for product in graph.products.iter().filter(|p| p.image == image && p.version == version) {
                let stack: Vec<String> =
                    product.stack.iter().rev().map(|name| format!("compat/{name}")).collect();
                let card = Card::new(CardKind::Product, &product.id, &stack, is_touched(&product.id));
                cards.push(chart.add(card));
                products.insert(&product.id, chart.cards.len() - 1);
            }
            chart.groups.push(Group { title: Some(format!("{image}:{version}")), cards, outside: false });
        }
        for product in &graph.products {
            if let (Some(from), Some(to)) =
                (products.get(product.id.as_str()), science.get(product.final_layer.as_str()))
            {
                chart.ties.push(Tie { from: *from, to: *to, style: Style::Base });
            }
        }
        let mut outside: BTreeMap<(&str, bool), usize> = BTreeMap::new();
        for edge in graph.edges.iter().filter(|edge| edge.role != EdgeRole::Include) {
            let (to, pinned) = match &edge.to {
                Node::Layer { path } => (science.get(path.as_str()).copied(), false),
                Node::Pinned { reference, layer } => {
                    let of = layer.as_ref().map(|layer| format!("one build of {layer}"));
                    let of = of.unwrap_or_else(|| "one build".to_owned());
                    (Some(chart.outside(&mut outside, (reference, true), CardKind::Pinned, &of)), true)
                }
                Node::Published { reference } => {
                    let note = "published, not in this tree";
                    (Some(chart.outside(&mut outside, (reference, false), CardKind::Published, note)), false)
                }
                Node::External { reference } => {
                    let key = (reference.as_str(), false);
                    (Some(chart.outside(&mut outside, key, CardKind::External, "")), false)
                }
            };
            let Some(to) = to else { continue };
            let style = match edge.role {
                _ if pinned => Style::Pinned,
                EdgeRole::Base => Style::Base,
                _ => Style::Other,
            };
            match science.get(edge.from.as_str()) {
                Some(from) => chart.ties.push(Tie { from: *from, to, style }),
                // Products with the fragment in their stack need the images that the fragment
                // copies from.
                None => {
                    let name =
                        graph.compat.iter().find(|layer| layer.path == edge.from).map(|layer| &layer.name);
                    let having =
                        graph.products.iter().filter(|p| name.is_some_and(|name| p.stack.contains(name)));
                    let from: Vec<usize> =
                        having.filter_map(|p| products.get(p.id.as_str()).copied()).collect();
                    chart.ties.extend(from.into_iter().map(|from| Tie { from, to, style }));
                }
            }
        }
        chart.ties.sort();
        chart.ties.dedup();
        chart
    }

    /// Charts compat layers and the layers that they include.
    pub(super) fn of_fragments(graph: &LayerGraph, touched: Option<&TouchedIds>) -> Self {
        let mut chart = Self::default();
        let mut at: BTreeMap<&str, usize> = BTreeMap::new();
        for layer in &graph.compat {
            let is_touched = touched.is_some_and(|touched| touched.contains(&layer.path));
            let copies =
                graph.edges.iter().filter(|edge| edge.from == layer.path && edge.role != EdgeRole::Include);
            let notes: Vec<String> = copies.map(need).collect();
            let card = chart.add(Card::new(CardKind::Compat, &layer.path, &notes, is_touched));
            chart.groups.push(Group { title: None, cards: vec![card], outside: false });
            at.insert(&layer.path, card);
        }
        for edge in graph.edges.iter().filter(|edge| edge.role == EdgeRole::Include) {
            if let Node::Layer { path } = &edge.to
                && let (Some(from), Some(to)) = (at.get(edge.from.as_str()), at.get(path.as_str()))
            {
                chart.ties.push(Tie { from: *from, to: *to, style: Style::Base });
            }
        }
        chart
    }

    fn add(&mut self, card: Card) -> usize {
        self.cards.push(card);
        self.cards.len() - 1
    }

    fn outside<'a>(
        &mut self,
        known: &mut BTreeMap<(&'a str, bool), usize>,
        key: (&'a str, bool),
        kind: CardKind,
        note: &str,
    ) -> usize {
        if let Some(card) = known.get(&key) {
            return *card;
        }
        let notes: Vec<String> =
            Some(note).filter(|note| !note.is_empty()).map(str::to_owned).into_iter().collect();
        let card = self.add(Card::new(kind, key.0, &notes, false));
        self.groups.push(Group { title: None, cards: vec![card], outside: true });
        known.insert(key, card);
        card
    }
}
