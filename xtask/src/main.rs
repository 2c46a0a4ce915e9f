//! Developer tool of this repository: `cargo xtask demo`, `test`, `check`, `bench`, `engine` and
//! more.
//!
//! It uses packages, processes, bridges and the command line of image-builder, but not its
//! libraries: the demonstration shows what a user would see.

mod bench;
mod check;
mod demo;
mod engine;
mod fuzz;
mod image;
mod place;
mod process;
mod soak;
mod suite;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::check::Advisories;
use crate::engine::Kind;

/// Demo, tests, checks and private engines of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the product: plan, build, push, change a compat file, build again, open Jupyter's page.
    Demo {
        /// The engine that it runs on.
        #[arg(long, value_enum, default_value_t = Kind::Debian)]
        engine: Kind,
        /// Leave the engine, the registry and the started image up at the end.
        #[arg(long)]
        keep: bool,
    },
    /// Check, then run every test; the engine tests on two engines of their own.
    Test {
        /// The engines that the engine tests run on, in this order: all tests on the first, the
        /// engine tests on the others.
        ///
        /// On podman only those named `engine_*`; those named `docker_*` and `fault_*` are for
        /// Docker's engine.
        #[arg(long, value_enum, value_delimiter = ',', default_values = ["debian", "podman"])]
        engine: Vec<suite::Engines>,
        /// Run only what needs no engine.
        #[arg(long, conflicts_with = "engine")]
        no_engine: bool,
    },
    /// Run every test in its long form (an hour or so), and write the figures into RELIABILITY.md.
    Soak {
        /// Run only the test targets of this name, such as `fault_push` or `fault_*`; the page is
        /// left alone.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
    },
    /// Formatting, lints, the house's own rules, licences, documentation.
    Check {
        /// Hold the dependencies against the database of security advisories too, which needs the
        /// internet.
        #[arg(long)]
        advisories: bool,
    },
    /// Look for inputs that the fuzz targets do not bear, with libFuzzer.
    Fuzz {
        /// Only these targets.
        #[arg(long)]
        target: Vec<String>,
        /// For how long in all; each target gets its share.
        #[arg(long, default_value_t = 8)]
        minutes: u64,
    },
    /// How fast it is, beside git, docker and skopeo in the same run; writes BENCHMARKS.md.
    Bench(bench::Asked),
    /// A private engine with a registry, for work by hand.
    Engine {
        #[command(subcommand)]
        action: Action,
    },
}

#[derive(Subcommand)]
enum Action {
    /// Start the engine and its registry, with the base images in it.
    Up {
        /// Which engine.
        #[arg(long, value_enum, default_value_t = Kind::Debian)]
        engine: Kind,
    },
    /// End exactly what `up` started; every engine unless one is named.
    Down {
        /// Which engine.
        #[arg(long, value_enum)]
        engine: Option<Kind>,
        /// Remove its images, its registry's contents and its root too.
        #[arg(long)]
        purge: bool,
    },
    /// Tell what is up.
    Status {
        /// Which engine.
        #[arg(long, value_enum)]
        engine: Option<Kind>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    process::watch_signals();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if process::interrupted() { ExitCode::from(130) } else { ExitCode::FAILURE }
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo { engine, keep } => demo::run(engine, keep),
        Command::Test { engine, no_engine } => {
            suite::run(&if no_engine { Vec::new() } else { suite::expand(&engine) })
        }
        Command::Soak { only } => soak::run(only.as_deref()),
        Command::Check { advisories: true } => check::run(Advisories::Ask),
        Command::Check { advisories: false } => check::run(Advisories::Leave),
        Command::Fuzz { target, minutes } => fuzz::run(&target, minutes),
        Command::Bench(asked) => bench::run(&asked),
        Command::Engine { action } => match action {
            Action::Up { engine } => engine::command_up(engine),
            Action::Down { engine, purge } => engine::command_down(engine, purge),
            Action::Status { engine } => engine::command_status(engine),
        },
    }
}
