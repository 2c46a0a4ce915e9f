//! `image-builder stale`: reports published layers whose external base images moved, and with
//! `--plan` plans their rebuild. Builds nothing.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use planner::Request;
use planner::git::{self, Comparison};

use super::plan as planned_text;
use crate::cli::args::{Format, FrontendArguments, ShowArguments};
use crate::cli::exit::{self, CliError};
use crate::cli::{env, output};
use crate::registries::{base_images, published};
use crate::report::registry::stale as report;
use crate::report::registry::stale::StaleReport;
use crate::tree::open;

/// `image-builder stale`
#[derive(Debug, Args)]
pub(crate) struct StaleArguments {
    /// Print a plan that rebuilds them: the layers and all dependents
    ///
    /// It is printed like any other plan, and `build --plan FILE` carries it out after --out wrote
    /// it. A commit that was built before needs --rebuild N, for both.
    #[arg(long)]
    plan: bool,
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
    /// With --plan: leave the base images of these layers as they are
    #[arg(long, value_name = "DIR", num_args = 1.., requires = "plan")]
    ignore: Vec<String>,
    /// With --plan: allow this product to be removed
    #[arg(long, value_name = "IMAGE:VERSION", num_args = 1.., requires = "plan")]
    allow_orphan: Vec<String>,
    #[command(flatten)]
    frontends: FrontendArguments,
    /// The commit count for build tags, if a shallow clone does not have it
    #[arg(long, value_name = "N", requires = "plan")]
    build_number: Option<u64>,
    /// With --plan: -rN on every build tag, required for a commit that was built before
    #[arg(long, value_name = "N", requires = "plan")]
    rebuild: Option<u64>,
    #[command(flatten)]
    show: ShowArguments,
}

/// Prints the report, or plans the rebuild.
pub(crate) fn run(arguments: &StaleArguments) -> anyhow::Result<u8> {
    if arguments.show.out.is_some() && !arguments.plan {
        return Err(CliError::usage("--out saves a plan: it needs --plan").into());
    }
    let options = git::Options {
        start: open::start(arguments.root.as_deref())?,
        comparison: Comparison::parse("HEAD")?,
        build_number: arguments.build_number,
        ..git::Options::default()
    };
    let opened = git::open(&options)?;
    let request = Request {
        ignore: arguments.ignore.clone(),
        repo: env::given(arguments.repo.as_deref()),
        allow_orphan: arguments.allow_orphan.clone(),
        allow_frontend: arguments.frontends.allowed(),
        rebuild: arguments.rebuild,
        ..Request::default()
    };
    if arguments.plan {
        let planned = base_images::plan(&opened, &request)?;
        planned_text::show(&planned.plan, &arguments.show, &opened.repository)?;
        return Ok(exit::DONE);
    }
    let (layers, failed) = base_images::layers(&opened, &request)?;
    let repo = request.repo.unwrap_or_else(|| published::configuration(&opened).repo);
    let told = StaleReport { repo: &repo, revision: &opened.inputs.revision, layers: &layers };
    let text = match arguments.show.format {
        Format::Text => report::text(&told, arguments.show.verbose > 0, output::stdout_paint()),
        Format::Json => output::json(&report::document(&told))?,
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    // Each failed query is printed as a separate error.
    let mut code = exit::DONE;
    for error in failed.into_values() {
        output::print_stderr(&exit::text(&anyhow::Error::new(error), output::stderr_paint()));
        code = exit::ENVIRONMENT;
    }
    Ok(code)
}
