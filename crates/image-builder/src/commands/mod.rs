//! The subcommands, one file each, with their arguments.

mod arguments;
mod build;
pub(crate) mod check;
mod completions;
pub(crate) mod coverage;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod inspect;
pub(crate) mod pin;
mod plan;
pub(crate) mod promote;
pub(crate) mod rebuild;
pub(crate) mod rollback;
mod schema;
pub(crate) mod stale;
pub(crate) mod verify;

use anyhow::Context as _;

use crate::cli::signals;

pub(crate) use arguments::Arguments;
use arguments::Command;

/// Runs the requested subcommand and returns the exit code.
///
/// # Errors
/// Any error that [`crate::cli::exit`] maps to an exit code and a text.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    if !only_plans(&arguments) {
        signals::listen().context("cannot listen to signals")?;
    }
    match arguments.command {
        None => build::run(&arguments.build),
        Some(Command::Build(arguments)) => build::run(&arguments),
        Some(Command::Plan(arguments)) => plan::run(&arguments.tree, &arguments.show),
        Some(Command::Check(arguments)) => check::run(&arguments),
        Some(Command::Pin(arguments)) => pin::run(&arguments),
        Some(Command::Explain(arguments)) => explain::run(&arguments),
        Some(Command::Graph(arguments)) => graph::run(&arguments),
        Some(Command::Inspect(arguments)) => inspect::run(&arguments),
        Some(Command::Rebuild(arguments)) => rebuild::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Coverage(arguments)) => coverage::run(&arguments),
        Some(Command::Stale(arguments)) => stale::run(&arguments),
        Some(Command::Diff(arguments)) => diff::run(&arguments),
        Some(Command::Promote(arguments)) => promote::run(&arguments),
        Some(Command::Rollback(arguments)) => rollback::run(&arguments),
        Some(Command::Schema(arguments)) => schema::run(&arguments),
        Some(Command::Completions(arguments)) => completions::run(&arguments),
    }
}

/// Whether the command only plans, so that a signal can simply kill the process.
fn only_plans(arguments: &Arguments) -> bool {
    match &arguments.command {
        None => arguments.build.run.dryrun,
        Some(Command::Build(build)) => build.run.dryrun,
        Some(Command::Plan(_) | Command::Check(_) | Command::Explain(_) | Command::Graph(_)) => true,
        Some(_) => false,
    }
}
