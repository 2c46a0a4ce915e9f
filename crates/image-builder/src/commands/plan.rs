//! `image-builder plan`, and `--dryrun`: prints the plan. Writes only the file of `--out`.

use std::path::Path;

use anyhow::Context as _;
use plan::{Plan, Warning};

use crate::cli::args::{Format, Purpose, ShowArguments, TreeArguments};
use crate::cli::{escape, exit, output};
use crate::registries::published;
use crate::report;
use crate::tree::open;

/// Makes a plan and shows it.
pub(crate) fn run(tree: &TreeArguments, show: &ShowArguments) -> anyhow::Result<u8> {
    let (opened, planned) = open::planned(tree, open::baseline(tree)?, Purpose::Look)?;
    self::show(&planned.plan, show, &opened.repository)?;
    published::settled(&planned)?;
    Ok(exit::DONE)
}

/// Shows a plan as the flags request: the plan on stdout, its warnings on stderr, the document in
/// the file of `--out`. `repository` is the root of the git repository.
pub(crate) fn show(plan: &Plan, show: &ShowArguments, repository: &Path) -> anyhow::Result<()> {
    warn(plan);
    let text = match show.format {
        Format::Json => document(plan),
        Format::Text => report::tree::plan::text(plan, show.verbose, output::stdout_paint()),
    };
    output::print_stdout(&text).context("cannot write to stdout")?;
    save(plan, show, repository)
}

/// Prints the plan's warnings, and a warning if the tags are unknown.
pub(crate) fn warn(plan: &Plan) {
    let mut warnings = plan.warnings.clone();
    if plan.revision.count.is_none() && !plan.builds.is_empty() {
        warnings.push(Warning {
            code: "shallow-clone".to_owned(),
            message: "this shallow clone does not have the commit count, so build tags have a ? instead".to_owned(),
            file: None,
            line: None,
            help: Some(
                "fetch the whole history (git fetch --unshallow; in GitLab CI GIT_DEPTH: 0), or give --build-number N"
                    .to_owned(),
            ),
        });
    }
    output::print_stderr(&report::text::problems::warnings(&warnings, output::stderr_paint()));
}

/// Writes the document to the file of `--out`, if there is one.
pub(crate) fn save(plan: &Plan, show: &ShowArguments, repository: &Path) -> anyhow::Result<()> {
    match &show.out {
        Some(path) => output::save(path, Some(repository), &document(plan)),
        None => Ok(()),
    }
}

/// Returns the plan as JSON: the same data as [`Plan::to_json`], safe to print.
fn document(plan: &Plan) -> String {
    escape::escape_json(&plan.to_json()).into_owned()
}
