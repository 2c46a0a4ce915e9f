//! The command `image-builder`: maps arguments to library calls, and results to text and exit
//! codes.
//!
//! Reading order: [`cli::args`] defines the shared flags, [`commands`] has one file for each
//! subcommand, [`tree::open`] is shared by them, [`report`] turns values into text, [`cli::exit`]
//! maps an error to an exit code. The libraries never access the terminal or the environment;
//! [`cli::env`] reads the environment for them.

mod cli;
mod commands;
mod image;
mod registries;
mod report;
mod tree;

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{escape, exit, output};

/// Planning allocates many short strings on several threads, where mimalloc is faster than glibc's
/// allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    panic::set_hook(Box::new(|panic| {
        let text = escape::escape(&panic.to_string()).into_owned();
        output::print_stderr(&format!(
            "defect in image-builder: {text}\n  help: please report it with what you typed\n"
        ));
    }));
    // Huge pages would keep several times the memory in use. A kernel without them returns an
    // error.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = match commands::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return unreadable(&error),
    };
    let code = match panic::catch_unwind(AssertUnwindSafe(|| commands::run(arguments))) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            output::print_stderr(&exit::text(&error, output::stderr_paint()));
            exit::of_error(&error)
        }
        Err(_) => exit::DEFECT,
    };
    ExitCode::from(code)
}

/// Prints clap's help or error. Its text repeats arguments and environment variables, which may
/// hold control sequences: if so, it is printed escaped and without colours.
fn unreadable(error: &clap::Error) -> ExitCode {
    let is_safe =
        |text: OsString| text.to_str().is_some_and(|text| matches!(escape::escape(text), Cow::Borrowed(_)));
    let is_harmless = env::args_os().all(is_safe)
        && env::vars_os()
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(b"IMAGE_BUILDER_"))
            .all(|(_, value)| is_safe(value));
    if !error.use_stderr() || is_harmless {
        error.exit();
    }
    for line in error.render().to_string().lines() {
        output::print_stderr(&format!("{}\n", escape::escape(line)));
    }
    ExitCode::from(exit::USAGE)
}
