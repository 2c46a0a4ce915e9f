//! `image-builder coverage`: reports which products have the tree's present compat stack, and since
//! when the others do not.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use planner::Request;
use planner::git::{self, Comparison, Since};
use planner::published::References;
use planner::published::coverage::{Coverage, State};
use registry::Pushes;

use crate::cli::args::{Format, FrontendArguments};
use crate::cli::exit::{self, InvalidTree};
use crate::cli::{env, output};
use crate::registries::published;
use crate::report::registry::coverage as report;
use crate::report::registry::coverage::CoverageReport;
use crate::tree::open;

/// `image-builder coverage`
#[derive(Debug, Args)]
pub(crate) struct CoverageArguments {
    /// Only this compat layer, with its includes: its name or path
    ///
    /// Only products with it in their compat stack are listed.
    #[arg(long, value_name = "LAYER")]
    compat: Option<String>,
    /// Fail with exit code 7 unless every product carries it; those under `hold` do not count
    #[arg(long)]
    strict: bool,
    /// The source tree: a directory with science/ and compat/
    ///
    /// Default: the nearest one from the current directory upwards.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Registry host and path of the images' names
    ///
    /// Overrides `repo` of image-builder.toml.
    #[arg(long, value_name = "REPO", env = "IMAGE_BUILDER_REPO", hide_env_values = true)]
    repo: Option<String>,
    #[command(flatten)]
    frontends: FrontendArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints the report.
pub(crate) fn run(arguments: &CoverageArguments) -> anyhow::Result<u8> {
    let start = open::start(arguments.root.as_deref())?;
    let options = git::Options { start, comparison: Comparison::parse("HEAD")?, ..git::Options::default() };
    let opened = git::open(&options)?;
    let request = Request {
        repo: env::given(arguments.repo.as_deref()),
        allow_frontend: arguments.frontends.allowed(),
        ..Request::default()
    };
    let coverage =
        Coverage::new(&opened.inputs, &request, arguments.compat.as_deref()).map_err(InvalidTree)?;
    let references = References { images: coverage.references(), ..References::default() };
    let config = published::configuration(&opened);
    let images = published::read(references, &config, Pushes::Nowhere, &opened.repository)?;
    let commits = git::recorded(&options, &opened.inputs.now, &coverage.commits(&images))?;
    let products = coverage.judge(&images, &commits);
    let asked = |state: &State| match state {
        State::Behind { paths, commit: Some(commit), .. } if !paths.is_empty() => {
            Some(Since { commit: commit.clone(), paths: paths.clone() })
        }
        _ => None,
    };
    let questions: BTreeSet<Since> = products.iter().filter_map(|product| asked(&product.state)).collect();
    let since = git::first_touched(&opened.root, &opened.inputs.revision.commit, &questions)?;
    let rows = products
        .iter()
        .map(|product| {
            let since = asked(&product.state).and_then(|question| since.get(&question)?.as_ref());
            report::Row { product, since }
        })
        .collect();
    let told = CoverageReport {
        repo: coverage.repo(),
        revision: &opened.inputs.revision,
        compat: coverage.of(),
        rows,
    };
    let text = match arguments.format {
        Format::Text => report::text(&told, output::stdout_paint()),
        Format::Json => output::json(&report::document(&told))?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    let fails = arguments.strict && !report::holds(&told);
    Ok(if fails { exit::DOES_NOT_HOLD } else { exit::DONE })
}
