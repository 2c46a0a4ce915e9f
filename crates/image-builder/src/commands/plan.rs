//! `image-builder plan`, and `--dryrun`: prints the plan and touches nothing but the file that `--out` names.

use anyhow::Context as _;
use plan::Plan;

use crate::arguments::{Format, ShowArguments, TreeArguments};
use crate::planning::Purpose;
use crate::{escape, exit, output, planning, published, report};

/// Plans and shows.
pub(crate) fn run(tree: &TreeArguments, show: &ShowArguments) -> anyhow::Result<u8> {
    let (opened, planned) = planning::planned(tree, planning::against(tree)?, Purpose::Look)?;
    self::show(&planned.plan, show)?;
    published::settled(&planned)?;
    planning::leave(opened, planned);
    Ok(exit::DONE)
}

/// Shows a plan as the flags ask: the plan on stdout, its warnings on stderr, the document in `--out`.
pub(crate) fn show(plan: &Plan, show: &ShowArguments) -> anyhow::Result<()> {
    warn(plan);
    let text = match show.format {
        Format::Json => document(plan),
        Format::Text => report::plan::text(plan, show.verbose, output::stdout_paint()),
    };
    output::data(&text).context("cannot write to stdout")?;
    save(plan, show)
}

/// Tells the plan's warnings.
pub(crate) fn warn(plan: &Plan) {
    output::tell(&report::problems::warnings(&plan.warnings, output::stderr_paint()));
}

/// Writes the document to where `--out` says, if it does.
pub(crate) fn save(plan: &Plan, show: &ShowArguments) -> anyhow::Result<()> {
    match &show.out {
        Some(path) => {
            output::save(path, &document(plan)).with_context(|| format!("cannot write {}", path.display()))
        }
        None => Ok(()),
    }
}

/// The plan as JSON: the same data as [`Plan::to_json`], safe to print.
fn document(plan: &Plan) -> String {
    escape::escape_json(&plan.to_json()).into_owned()
}
