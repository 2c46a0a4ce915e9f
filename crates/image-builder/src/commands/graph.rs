//! `image-builder graph`: draws the layers and their dependencies, and marks the planned builds.
//! Writes only the file of `--out`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use planner::Direction;
use planner::explain::Knowledge;
use planner::git::Comparison;

use super::explain;
use crate::cli::args::{Purpose, TreeArguments};
use crate::cli::exit::{self, InvalidTree};
use crate::cli::output;
use crate::registries::published;
use crate::report::text::format::Paint;
use crate::report::tree::graph as drawing;
use crate::tree::open;

/// `image-builder graph`
#[derive(Debug, Args)]
pub(crate) struct GraphArguments {
    #[command(flatten)]
    tree: TreeArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = GraphFormat::Text)]
    format: GraphFormat,
    /// Mark what the plan builds; implied by --ref, --include, --ignore, --all and
    /// --since-published
    #[arg(long)]
    planned: bool,
    /// Only these layers with their parents and dependents
    ///
    /// A layer's path or target, a product (image:version), or a compat layer.
    #[arg(long, value_name = "LAYER", num_args = 1..)]
    layer: Vec<String>,
    /// With --layer: only the parents; together with --down both
    #[arg(long, requires = "layer")]
    up: bool,
    /// With --layer: only the dependents
    #[arg(long, requires = "layer")]
    down: bool,
    /// Write to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// `--format` of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphFormat {
    /// Readable text
    Text,
    /// For graphviz
    Dot,
    /// For Markdown pages on GitLab and GitHub
    Mermaid,
    /// A picture
    Svg,
    /// A versioned JSON document
    Json,
}

/// Prints the graph, or writes it to a file.
pub(crate) fn run(arguments: &GraphArguments) -> anyhow::Result<u8> {
    let tree = &arguments.tree;
    let asks_for_plan = arguments.planned
        || tree.all
        || tree.since_published
        || tree.reference.is_some()
        || !tree.include.is_empty()
        || !tree.ignore.is_empty();
    let mut settled = Ok(());
    let (graph, touched, repository) = if asks_for_plan {
        let (opened, planned) = open::planned(tree, open::baseline(tree)?, Purpose::Look)?;
        let graph = planned.graph();
        let touched = drawing::touched(&planned.plan, &graph);
        settled = published::settled(&planned);
        (graph, Some(touched), opened.repository)
    } else {
        // Without a plan, no base of a comparison is needed, which a shallow clone may lack.
        let opened = open::open(tree, Comparison::parse("HEAD")?)?;
        let graph = planner::graph(&opened.inputs.now, &open::request(tree)).map_err(InvalidTree)?;
        (graph, None, opened.repository)
    };
    let graph = if arguments.layer.is_empty() {
        graph
    } else {
        let subjects = arguments.layer.iter().map(|name| explain::find(name, &graph, None, Knowledge::Tree));
        let direction = match (arguments.up, arguments.down) {
            (true, false) => Direction::Needed,
            (false, true) => Direction::Needing,
            _ => Direction::Both,
        };
        graph.around(&subjects.collect::<anyhow::Result<Vec<_>>>()?, direction)
    };
    let touched = touched.as_ref();
    let paint = if arguments.out.is_some() { Paint::Plain } else { output::stdout_paint() };
    let text = match arguments.format {
        GraphFormat::Text => drawing::text(&graph, touched, paint),
        GraphFormat::Dot => drawing::dot(&graph, touched),
        GraphFormat::Mermaid => drawing::mermaid(&graph, touched),
        GraphFormat::Svg => drawing::svg(&graph, touched),
        GraphFormat::Json => drawing::json(&graph, touched).context("cannot write JSON")?,
    };
    match &arguments.out {
        Some(file) => output::save(file, Some(&repository), &text)?,
        None => output::print_stdout(&text).context("cannot write to stdout")?,
    }
    settled?;
    Ok(exit::DONE)
}
