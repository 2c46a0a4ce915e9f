//! `image-builder completions`: prints a completion script for a shell.

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::args::CompletionsArguments;
use crate::cli::{exit, output};
use crate::commands::arguments::Arguments;

/// Prints the script.
pub(crate) fn run(arguments: &CompletionsArguments) -> anyhow::Result<u8> {
    let mut command = Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "image-builder", &mut script);
    let script = String::from_utf8(script).context("a completion script is text")?;
    output::print_stdout(&script).context("cannot write to stdout")?;
    Ok(exit::DONE)
}
