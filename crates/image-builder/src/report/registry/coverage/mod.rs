//! Reports which products have the compat stack of a tree, as text and as data.
//!
//! The text is a table of 80 columns for usual names: products with the current stack first, so
//! that the others are next to the total. The output of `--format json` is published data with the
//! version [`FORMAT_VERSION`].

use plan::Revision;
use planner::git::ChangeCommit;
use planner::published::coverage::{Covered, State};
use serde::Serialize;

use crate::cli::escape::escape;
use crate::report::text::columns::{self, Colour, fit, plain};
use crate::report::text::format::{Paint, as_of, count, day, list, rfc3339, short_commit, short_list};

/// Version of the document.
const FORMAT_VERSION: &str = "1.0";
/// Wanted line width, if names allow it.
const WIDTH: usize = 80;
/// Indentation of notes below a row.
const INDENT: &str = "       ";

/// Everything that the report shows.
pub(crate) struct CoverageReport<'a> {
    /// `{repo}`.
    pub(crate) repo: &'a str,
    /// The commit of the tree.
    pub(crate) revision: &'a Revision,
    /// The requested compat layer.
    pub(crate) compat: Option<&'a str>,
    /// One row for each product.
    pub(crate) rows: Vec<Row<'a>>,
}

/// One product.
pub(crate) struct Row<'a> {
    /// The product's state.
    pub(crate) product: &'a Covered,
    /// The first commit after which the image no longer matched the tree.
    pub(crate) since: Option<&'a ChangeCommit>,
}

/// Whether every product that is not held has the stack.
pub(crate) fn holds(report: &CoverageReport<'_>) -> bool {
    report.rows.iter().all(|row| row.product.held || row.product.state == State::Carries)
}

/// The document of `--format json`.
pub(crate) fn document<'a>(report: &'a CoverageReport<'a>) -> impl Serialize + 'a {
    #[derive(Serialize)]
    struct Document<'a> {
        format_version: &'static str,
        repo: &'a str,
        revision: &'a Revision,
        compat: Option<&'a str>,
        total: usize,
        carries: usize,
        holds: bool,
        products: Vec<Product<'a>>,
    }
    #[derive(Serialize)]
    struct Product<'a> {
        #[serde(flatten)]
        product: &'a Covered,
        since: Option<Since<'a>>,
    }
    #[derive(Serialize)]
    struct Since<'a> {
        commit: &'a str,
        time: Option<String>,
        summary: &'a str,
    }
    let since = |touched: &'a ChangeCommit| Since {
        commit: &touched.commit,
        time: rfc3339(touched.time as f64),
        summary: &touched.summary,
    };
    let product = |row: &Row<'a>| Product { product: row.product, since: row.since.map(since) };
    Document {
        format_version: FORMAT_VERSION,
        repo: report.repo,
        revision: report.revision,
        compat: report.compat,
        total: report.rows.len(),
        carries: carries(report),
        holds: holds(report),
        products: report.rows.iter().map(product).collect(),
    }
}

fn carries(report: &CoverageReport<'_>) -> usize {
    report.rows.iter().filter(|row| row.product.state == State::Carries).count()
}

/// The text for stdout.
pub(crate) fn text(report: &CoverageReport<'_>, paint: Paint) -> String {
    let mut rows: Vec<&Row<'_>> = report.rows.iter().collect();
    rows.sort_by_key(|row| row.product.state != State::Carries);
    let cells: Vec<_> = rows.iter().map(|row| cells(row.product)).collect();
    let mut out = String::new();
    for (row, line) in rows.iter().zip(columns::table(&cells, &[], paint).lines()) {
        out.push_str(&format!("{line}\n"));
        for note in notes(row, report) {
            out.push_str(&format!("{INDENT}{}\n", paint.dim(&fit(&note, WIDTH - INDENT.len()))));
        }
    }
    if !rows.is_empty() {
        out.push('\n');
    }
    out.push_str(&total(report));
    out
}

/// `37 of 40 products carry jupyter as of 1a2b3c4`
fn total(report: &CoverageReport<'_>) -> String {
    let what = match report.compat {
        Some(compat) => escape(compat).into_owned(),
        None => "their compat stack".to_owned(),
    };
    let (all, carrying) = (report.rows.len(), carries(report));
    match (all, report.compat) {
        (0, None) => "the source tree makes no product\n".to_owned(),
        (0, Some(_)) => format!("no product has {what} in its compat stack\n"),
        _ => {
            let verb = if carrying == 1 { "carries" } else { "carry" };
            let as_of = as_of(report.revision);
            format!("{carrying} of {} {verb} {what} as of {as_of}\n", count(all, "product"))
        }
    }
}

fn cells(product: &Covered) -> Vec<(String, Colour)> {
    let (mark, colour): (_, Colour) = match product.state {
        State::Carries => ("yes", Paint::green),
        State::Behind { .. } | State::NotPublished => ("no", Paint::red),
        State::Untold { .. } => ("?", Paint::yellow),
    };
    let stack = product.stack.last().map(|top| escape(top).into_owned()).unwrap_or_default();
    let (tag, built) = match &product.published {
        None => ("not published".to_owned(), String::new()),
        Some(build) => (
            build
                .build_tag
                .as_deref()
                .map_or_else(|| "tells no build".to_owned(), |tag| escape(tag).into_owned()),
            build.built.and_then(day).map(|day| format!("built {day}")).unwrap_or_default(),
        ),
    };
    vec![
        (mark.to_owned(), colour),
        (escape(&product.product).into_owned(), plain),
        (stack, plain),
        (tag, plain),
        (built, plain),
    ]
}

/// Notes below the row of a product.
fn notes(row: &Row<'_>, report: &CoverageReport<'_>) -> Vec<String> {
    let product = row.product;
    let mut notes = Vec::new();
    match &product.state {
        State::Carries | State::NotPublished => {}
        State::Untold { why } => notes.push(escape(why).into_owned()),
        State::Behind { layers, paths, why, .. } => {
            notes.extend(why.as_ref().map(|why| escape(why).into_owned()));
            let what =
                if layers.is_empty() { "changed".to_owned() } else { format!("{} changed", list(layers)) };
            match row.since {
                Some(touched) => {
                    let first = if layers.len() > 1 { ", first" } else { "" };
                    let on = day(touched.time as f64).map(|day| format!(" on {day}")).unwrap_or_default();
                    let by = format!("{what}{first}{on}: {}", short_commit(&touched.commit));
                    let left = WIDTH.saturating_sub(INDENT.len() + by.chars().count() + 3);
                    notes.push(format!("{by} \"{}\"", fit(&escape(&touched.summary), left)));
                }
                None if report.revision.dirty.is_some() && !paths.is_empty() => {
                    notes.push(format!("{what}, in no commit yet"));
                }
                None if !layers.is_empty() => notes.push(what),
                None => {}
            }
            if !paths.is_empty() {
                notes.push(short_list(paths));
            }
        }
    }
    if product.published.as_ref().is_some_and(|build| build.inputs.is_none()) {
        notes.push("without an inputs digest, as of the predecessor: judged by its commit".to_owned());
    }
    if product.held {
        notes.push("under `hold` in image-builder.toml: no plan builds it".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
