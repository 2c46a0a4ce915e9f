//! `image-builder graph`: prints the layers and what stands on what, and marks what a plan would build.

use anyhow::Context as _;
use planner::source::Comparison;

use crate::arguments::{GraphArguments, GraphFormat};
use crate::exit::Refused;
use crate::report::graph::{self as drawing, Planned};
use crate::{exit, output, planning};

/// Draws it.
pub(crate) fn run(arguments: &GraphArguments) -> anyhow::Result<u8> {
    let tree = &arguments.tree;
    let asks_for_plan = arguments.planned
        || tree.all
        || tree.reference.is_some()
        || !tree.include.is_empty()
        || !tree.ignore.is_empty();
    // Without a plan no base is needed, which a shallow clone may lack.
    let comparison = if asks_for_plan { planning::comparison(tree)? } else { Comparison::parse("HEAD")? };
    let opened = planning::open(tree, comparison)?;
    let (graph, planned): (_, Option<Planned>) = if asks_for_plan {
        let planned = planning::plan(tree, &opened)?;
        let ids = planned.plan.builds.iter().map(|build| build.id.0.clone()).collect();
        (planned.graph, Some(ids))
    } else {
        (planner::graph(&opened.inputs.now, &planning::request(tree)).map_err(Refused)?, None)
    };
    let text = match arguments.format {
        GraphFormat::Text => drawing::text(&graph, planned.as_ref(), output::stdout_paint()),
        GraphFormat::Dot => drawing::dot(&graph, planned.as_ref()),
    };
    output::data(&text).context("cannot write to stdout")?;
    Ok(exit::DONE)
}
