//! Reports published layers and products whose external base images moved, as text and as data.
//!
//! The text lists those that moved and those whose state is unknown; with `-v` all. The output of
//! `--format json` is published data with the version [`FORMAT_VERSION`].

use std::collections::BTreeSet;

use plan::{Family, Revision, Role};
use planner::published::stale::{Base, Layer, State};
use serde::Serialize;

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, as_of, count, day, list, short_digest, short_list};

/// Version of the document.
const FORMAT_VERSION: &str = "1.1";

/// Everything that the report shows.
pub(crate) struct StaleReport<'a> {
    /// `{repo}`.
    pub(crate) repo: &'a str,
    /// The commit of the tree.
    pub(crate) revision: &'a Revision,
    /// Layers and products with external base images: layers by path, then products.
    pub(crate) layers: &'a [Layer],
}

/// The document of `--format json`.
pub(crate) fn document<'a>(report: &'a StaleReport<'a>) -> impl Serialize + 'a {
    #[derive(Serialize)]
    struct Document<'a> {
        format_version: &'static str,
        repo: &'a str,
        revision: &'a Revision,
        total: usize,
        stale: usize,
        layers: Vec<One<'a>>,
    }
    #[derive(Serialize)]
    struct One<'a> {
        #[serde(flatten)]
        layer: &'a Layer,
        stale: bool,
    }
    Document {
        format_version: FORMAT_VERSION,
        repo: report.repo,
        revision: report.revision,
        total: report.layers.len(),
        stale: report.layers.iter().filter(|layer| layer.is_stale()).count(),
        layers: report.layers.iter().map(|layer| One { layer, stale: layer.is_stale() }).collect(),
    }
}

/// The text for stdout.
pub(crate) fn text(report: &StaleReport<'_>, verbose: bool, paint: Paint) -> String {
    let mut out = String::new();
    for layer in report.layers {
        let bases: Vec<&Base> =
            layer.bases.iter().filter(|base| verbose || is_worth_a_word(&base.state)).collect();
        if bases.is_empty() {
            continue;
        }
        out.push_str(&format!("{}{}\n", paint.bold(&escape(&layer.layer)), build(layer)));
        for base in bases {
            push_base(&mut out, base, paint);
        }
        if (layer.is_stale() || verbose) && !layer.dependents.is_empty() {
            let named = if verbose { list(&layer.dependents) } else { short_list(&layer.dependents) };
            out.push_str(&format!("  below   {named}\n"));
        }
        out.push('\n');
    }
    out.push_str(&total(report));
    out
}

/// `, 1.0-12-05ea881, built 2026-03-02`
fn build(layer: &Layer) -> String {
    let Some(build) = &layer.published else { return String::new() };
    let tag = build.build_tag.as_deref().map(|tag| format!("  {}", escape(tag))).unwrap_or_default();
    let built = build.built.and_then(day).map(|day| format!("  built {day}")).unwrap_or_default();
    format!("{tag}{built}")
}

fn is_worth_a_word(state: &State) -> bool {
    !matches!(state, State::Same { .. } | State::Pinned { .. })
}

fn push_base(out: &mut String, base: &Base, paint: Paint) {
    let image = escape(&base.image);
    let role = match base.role {
        Role::Base | Role::Stage => "",
        Role::Copy | Role::Mount => ", copied from",
    };
    let (mark, more) = match &base.state {
        State::Moved { from, to } => (
            paint.yellow("moved "),
            format!("was {}, its tag shows {} now", short_digest(from), short_digest(to)),
        ),
        State::Same { digest } => (paint.green("same  "), format!("still {}", short_digest(digest))),
        State::Gone { from } => (
            paint.red("gone  "),
            format!("was {}, its registry has no such tag any more", short_digest(from)),
        ),
        State::Pinned { .. } => (paint.green("pinned"), String::new()),
        State::PinBehind { to: Some(to), .. } => (
            paint.dim("pinned"),
            format!("its tag shows {} now: `pin --update` follows it", short_digest(to)),
        ),
        State::PinBehind { to: None, .. } => {
            (paint.dim("pinned"), "its registry has no such tag any more".to_owned())
        }
        State::Untold => {
            (paint.dim("?     "), "the published image does not record the digest it was built on".to_owned())
        }
        State::Unanswered => (paint.red("?     "), "its registry could not be asked".to_owned()),
        State::NotPublished => {
            (paint.dim("-     "), "it is not published; --since-published builds it".to_owned())
        }
    };
    out.push_str(&format!("  {mark}  {image}{role}\n"));
    if !more.is_empty() {
        out.push_str(&format!("          {more}\n"));
    }
}

fn total(report: &StaleReport<'_>) -> String {
    let as_of = as_of(report.revision);
    let stale: Vec<&Layer> = report.layers.iter().filter(|layer| layer.is_stale()).collect();
    let all = report.layers.len();
    if all == 0 {
        return format!("no layer names an image of another maker, as of {as_of}\n");
    }
    if stale.is_empty() {
        let unsure = |base: &Base| matches!(base.state, State::Untold | State::Unanswered);
        let known =
            if report.layers.iter().flat_map(|layer| &layer.bases).any(unsure) { " known to be" } else { "" };
        let have = if all == 1 { "has" } else { "have" };
        return format!(
            "nothing is{known} stale: {} {have} a base of another maker, as of {as_of}\n",
            all_of(report)
        );
    }
    let verb = if stale.len() == 1 { "is" } else { "are" };
    let mut out = format!(
        "{} of {} with a base of another maker {verb} stale, as of {as_of}\n",
        stale.len(),
        all_of(report)
    );
    let touched: BTreeSet<&str> = stale
        .iter()
        .flat_map(|layer| layer.dependents.iter().chain([&layer.layer]))
        .map(String::as_str)
        .collect();
    let products = touched.iter().filter(|id| is_product(id)).count();
    out.push_str(&format!(
        "to follow: {} and {} (`image-builder stale --plan`)\n",
        count(touched.len() - products, "science build"),
        count(products, "compat build")
    ));
    out
}

/// Whether an id is that of a product, not the path of a layer.
fn is_product(id: &str) -> bool {
    matches!(Family::split(id), Some((Family::Rel, _)))
}

/// `2 science layers and 1 product`
fn all_of(report: &StaleReport<'_>) -> String {
    let products = report.layers.iter().filter(|layer| is_product(&layer.layer)).count();
    let layers = report.layers.len() - products;
    match (layers, products) {
        (layers, 0) => count(layers, "science layer"),
        (0, products) => count(products, "product"),
        (layers, products) => {
            format!("{} and {}", count(layers, "science layer"), count(products, "product"))
        }
    }
}

#[cfg(test)]
mod tests;
