//! `image-builder explain`: explains why a layer or product is in the plan, or is not. Writes
//! nothing; queries the registry with `--since-published`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use plan::Plan;
use planner::explain::{self, Knowledge};
use planner::layer_graph::LayerGraph;
use planner::name_lookup::{self, Subject, UnknownName};

use crate::cli::args::{Purpose, TreeArguments};
use crate::cli::exit::{self, CliError};
use crate::cli::output;
use crate::registries::published;
use crate::report;
use crate::tree::open;

/// `image-builder explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// A layer's path or target, a product (image:version), or a compat layer
    #[arg(value_name = "LAYER", required = true)]
    layers: Vec<String>,
    #[command(flatten)]
    tree: TreeArguments,
    /// Explain a plan that `--out` wrote, without its source tree
    ///
    /// The file does not have what the plan does not build, unless it changed.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["root", "reference", "ignore", "include", "all", "untracked",
        "with_ignored", "allow_orphan", "build_number", "rebuild", "since_published", "adopt"])]
    plan: Option<PathBuf>,
    /// Show all files and all chains
    #[arg(short, long)]
    verbose: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    format: ExplainFormat,
}

/// `--format` of an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExplainFormat {
    /// Readable text
    Text,
    /// A versioned JSON document: a list with one explanation for each name
    Json,
}

/// Prints the explanations.
pub(crate) fn run(arguments: &ExplainArguments) -> anyhow::Result<u8> {
    let (plan, graph, knowledge, settled) = match &arguments.plan {
        Some(file) => {
            let plan = open::read(file)?;
            let graph = explain::graph_of(&plan);
            (plan, graph, Knowledge::PlanOnly, Ok(()))
        }
        None => {
            let (_, planned) =
                open::planned(&arguments.tree, open::baseline(&arguments.tree)?, Purpose::Look)?;
            let settled = published::settled(&planned);
            let graph = planned.graph();
            (planned.plan, graph, Knowledge::Tree, settled)
        }
    };
    let subjects: Vec<Subject> = arguments
        .layers
        .iter()
        .map(|name| find(name, &graph, Some(&plan), knowledge))
        .collect::<anyhow::Result<_>>()?;
    let explanations: Vec<_> =
        subjects.iter().map(|subject| explain::explain(&plan, &graph, knowledge, subject)).collect();
    let text = match arguments.format {
        ExplainFormat::Text => {
            report::tree::explain::text(&plan, &explanations, arguments.verbose, output::stdout_paint())
        }
        ExplainFormat::Json => output::json(&explanations)?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    settled?;
    Ok(exit::DONE)
}

/// Finds the layer or product with a name.
pub(crate) fn find(
    name: &str,
    graph: &LayerGraph,
    plan: Option<&Plan>,
    knowledge: Knowledge,
) -> anyhow::Result<Subject> {
    name_lookup::find(name, graph, plan).map_err(|UnknownName { closest }| {
        let message = match knowledge {
            Knowledge::Tree => format!("no layer or product of this source tree is called {name:?}"),
            Knowledge::PlanOnly => {
                format!("the plan neither builds {name:?} nor lists it as changed")
            }
        };
        let help = match (closest, knowledge) {
            (Some(closest), _) => format!("did you mean {closest}?"),
            (None, Knowledge::Tree) => {
                "give a path (science/nist), a target (nist), a product (nist:1.0) or a compat layer; \
                 `image-builder graph` lists them"
                    .to_owned()
            }
            (None, Knowledge::PlanOnly) => {
                "without --plan, the source tree shows why a layer is not built".to_owned()
            }
        };
        CliError::usage(message).help(help).into()
    })
}
