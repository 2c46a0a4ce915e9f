//! The command `image-builder`: arguments → library calls → text and exit codes.
//!
//! Reading order: [`arguments`] is what can be typed, [`commands`] has one file for each subcommand, [`planning`] is
//! what they share, [`report`] turns values into text, [`exit`] maps how it ended to an exit code. The libraries
//! never see the terminal or the environment; what they need from there is read in [`environment`] and handed in.

mod arguments;
mod commands;
mod difference;
mod environment;
mod escape;
mod exit;
mod output;
mod planning;
mod report;
mod signals;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let text = escape::escape(&panic.to_string()).into_owned();
        output::tell(&format!(
            "defect in image-builder: {text}\n  help: please report it with what you typed\n"
        ));
    }));
    let arguments = arguments::Arguments::parse();
    let code = match panic::catch_unwind(AssertUnwindSafe(|| commands::run(arguments))) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            output::tell(&exit::text(&error, output::stderr_paint()));
            exit::of_error(&error)
        }
        Err(_) => exit::DEFECT,
    };
    ExitCode::from(code)
}
