//! `image-builder rollback`: points the moving tags of a product to an earlier build.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use executor::promote::MoveState;
use executor::rollback::{self, Candidate, Outlook, Rollback, RollbackRequest};
use plan::{BuildTag, Family, tag_of};

use super::promote::{self as promoting, Names, NamesArguments};
use crate::cli::args::Format;
use crate::cli::exit::{self, CliError};
use crate::cli::signals::{self, Signals};
use crate::cli::{env, escape, output};
use crate::registries::products;
use crate::report::registry::rollback as report;
use crate::report::text::problems;

const EXAMPLES: &str = "\
Examples:
  image-builder rollback sky:1.0 --dryrun                   what the build before is
  image-builder rollback sky:1.0                            back to it
  image-builder rollback sky:1.0 --to 1.0-44-0a1b2c3        to that one, also forward again

Exit codes: 0 done, also when the tags show it already · 2 usage, or it is not clear which build is meant · 4 a registry refused ·
5 something is not there, or a registry does not answer · 6 a build came in between, and keeps its tags · 130/143/129 interrupted.";

/// `image-builder rollback`
///
/// The science images of the product go with it. Build tags stay as they are. The next build moves
/// the tags forward again, unless the product is under `hold` in image-builder.toml.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RollbackArguments {
    /// A product, or another image with its version
    #[arg(value_name = "IMAGE:VERSION")]
    product: String,
    /// The build to go to [default: the one before the current one]
    #[arg(long, value_name = "BUILD_TAG")]
    to: Option<String>,
    /// Registry host and path of the images' names
    ///
    /// Overrides `repo` of image-builder.toml.
    #[arg(long, value_name = "REPO", env = "IMAGE_BUILDER_REPO", hide_env_values = true)]
    repo: Option<String>,
    /// Show what would be done, and change nothing
    #[arg(long, visible_alias = "dry-run")]
    dryrun: bool,
    /// Retry transient failures of one tag for this long
    #[arg(long, value_name = "TIME", default_value = "5m")]
    push_timeout: humantime::Duration,
    #[command(flatten)]
    tree: NamesArguments,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Rolls a product back.
pub(crate) fn run(arguments: &RollbackArguments) -> anyhow::Result<u8> {
    let names = arguments.tree.read()?;
    let unit = products::unit(&names.units, &arguments.product)?;
    let version = tag_of(&arguments.product).unwrap_or_default();
    let to = match &arguments.to {
        None => None,
        Some(text) => {
            let tag = BuildTag::parse(text).filter(|tag| tag.version.as_str() == version);
            Some(tag.ok_or_else(|| {
                CliError::usage(format!("--to {text:?} is not a build tag of {}", arguments.product))
                    .help(format!("a build tag looks like {version}-42-f90dbd6"))
            })?)
        }
    };
    let repo = match env::given(arguments.repo.as_deref()) {
        Some(repo) => promoting::repo("--repo", &repo)?,
        None => names.config.repo.clone(),
    };
    let wanted = RollbackRequest {
        repo,
        product: unit.product,
        top: unit.top,
        own: unit.own,
        to,
        held: names.config.hold.contains(&arguments.product),
        platform: names.platform.clone(),
        label_prefix: names.config.label_prefix.clone(),
        push_timeout: arguments.push_timeout.into(),
    };
    signals::run(|signals| roll_back(arguments, &names, &wanted, signals))
}

async fn roll_back(
    arguments: &RollbackArguments,
    names: &Names,
    wanted: &RollbackRequest,
    signals: Signals,
) -> anyhow::Result<u8> {
    let registry = promoting::registry(wanted.push_timeout, &names.repository)?;
    let history = promoting::history(&names.root);
    let survey = async { Ok(rollback::survey(&registry, wanted, &history).await?) };
    let mut rollback = match signals.unless_stopped(survey).await? {
        Outlook::Clear(rollback) => rollback,
        Outlook::Unclear(why, found) => return unclear(arguments, &why, &found),
    };
    if arguments.format == Format::Text {
        let text = report::outlook(&rollback, output::stdout_paint());
        output::print_stdout(&text).context("cannot write to stdout")?;
    }
    if !rollback.conflicts.is_empty() {
        for text in &rollback.conflicts {
            output::print_stderr(&format!("  {}\n", problems::message(text)));
        }
        tell_json(arguments, &rollback)?;
        let line = products::hold_line(&names.config.hold, &wanted.product);
        return Err(CliError::conflict(format!("a build of {} may be on its way; nothing was done", wanted.product))
            .help(format!(
                "wait for that build; or, if it is the one that was rolled back before, write `{line}` into image-builder.toml, \
                 so that no build moves these tags, and roll back again"
            ))
            .into());
    }
    let needed = rollback.tags.iter().any(|tag| tag.state == MoveState::ToMove);
    if arguments.dryrun || !needed {
        if !needed {
            output::print_stderr("nothing to do: these tags show that build already\n");
        }
        tell_json(arguments, &rollback)?;
        keep(names, wanted, &rollback);
        return Ok(exit::DONE);
    }
    let retry = |what: &str, error: &str, attempts: u32, wait: Duration| {
        let seconds = crate::report::text::format::duration(wait.as_secs_f64());
        let text = format!("{what}: attempt {attempts} failed, the next one in {seconds}: {error}");
        output::print_stderr(&format!("{}\n", escape::escape(&text)));
    };
    let ended =
        rollback::carry_out(&mut rollback, wanted, &registry, &history, &retry, &signals.cancel).await;
    output::print_stderr(&report::ended(&rollback, output::stderr_paint()));
    tell_json(arguments, &rollback)?;
    let failures: Vec<_> = ended.failure.into_iter().collect();
    let interrupted = ended.interrupted.then(|| signals.code().unwrap_or(exit::INTERRUPTED));
    let code = promoting::code(&failures, interrupted);
    if code == exit::DONE {
        keep(names, wanted, &rollback);
    }
    Ok(code)
}

/// Prints how to keep the next build from undoing the rollback.
fn keep(names: &Names, wanted: &RollbackRequest, rollback: &Rollback) {
    let line = (!wanted.held).then(|| products::hold_line(&names.config.hold, &wanted.product));
    let science = |name: &str| matches!(Family::split(name), Some((Family::Sci, _)));
    let touched = rollback.tags.iter().any(|tag| tag.state != MoveState::Kept && science(&tag.name));
    let others = if touched { products::based_on(&names.graph, &wanted.product) } else { Vec::new() };
    output::print_stderr(&format!(
        "\n{}",
        report::hold(&wanted.product, line.as_deref(), &others, output::stderr_paint())
    ));
}

fn unclear(arguments: &RollbackArguments, why: &str, found: &[Candidate]) -> anyhow::Result<u8> {
    if arguments.format == Format::Json {
        let json =
            serde_json::json!({"format_version": rollback::FORMAT_VERSION, "unclear": why, "builds": found});
        output::print_stdout(&output::json(&json)?).context("cannot write to stdout")?;
    } else {
        output::print_stdout(&report::candidates(found, output::stdout_paint()))
            .context("cannot write to stdout")?;
    }
    Err(CliError::usage(why).help("choose one: --to BUILD_TAG").into())
}

fn tell_json(arguments: &RollbackArguments, rollback: &Rollback) -> anyhow::Result<()> {
    if arguments.format == Format::Json {
        output::print_stdout(&output::json(rollback)?).context("cannot write to stdout")?;
    }
    Ok(())
}
