//! `cargo xtask check`: all that can be said about the code without running it.

use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{place, process, tidy};

/// Whether the database of security advisories is asked: it lies outside the package registries, on
/// the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// It is fetched and asked.
    Ask,
    /// It is left alone.
    Leave,
}

/// Runs every check, cheap ones first, and prints how long each took.
pub(crate) fn run(advisories: Advisories) -> Result<()> {
    step("formatting", || process::run(cargo().args(["fmt", "--all", "--check"])))?;
    step("rules of the house", rules)?;
    step("lints", || {
        process::run(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-Dwarnings"]))
    })?;
    step("documentation", || {
        let mut doc = cargo();
        doc.env("RUSTDOCFLAGS", "-Dwarnings").args(["doc", "--workspace", "--no-deps", "--locked"]);
        process::run(doc.arg("--document-private-items"))
    })?;
    step("licences and sources", || licences(advisories))
}

/// Runs one step under a heading.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    work().with_context(|| name.to_owned())?;
    println!("   {name}: good, {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

/// `cargo` of the toolchain that runs us, in the workspace. On a terminal it shows its progress,
/// elsewhere it is quiet.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(place::workspace());
    if !std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_QUIET", "true");
    }
    command
}

fn rules() -> Result<()> {
    let findings = tidy::findings(&tidy::read()?, &place::workspace().display().to_string());
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("1 finding"),
        count => bail!("{count} findings"),
    }
}

fn licences(advisories: Advisories) -> Result<()> {
    let Some(deny) = tool("cargo-deny")? else {
        println!("   skipped: cargo-deny is not here and cannot be installed");
        return Ok(());
    };
    let check = |what: &[&str]| {
        let mut command = Command::new(&deny);
        command.current_dir(place::workspace()).args(["--log-level", "error", "--all-features", "check"]);
        command.arg("--hide-inclusion-graph").args(what);
        command
    };
    process::run(&mut check(&["bans", "licenses", "sources"]))?;
    match advisories {
        Advisories::Ask => process::run(&mut check(&["advisories"])),
        Advisories::Leave => {
            println!("   advisories: not asked, their database is on the internet; --advisories asks it");
            Ok(())
        }
    }
}

/// A tool of cargo's from the path, or built once and kept.
pub(crate) fn tool(name: &str) -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(found) = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()) {
        return Ok(Some(found));
    }
    let tools = place::cache()?.join("tools");
    let tool = tools.join("bin").join(name);
    if !tool.is_file() {
        println!("   building {name} once");
        // Without optimisation: it is built more often than it is waited for.
        let scratch = tempfile::tempdir_in(place::cache()?)?;
        let mut install = cargo();
        install.env("CARGO_TARGET_DIR", scratch.path()).env_remove("RUSTFLAGS");
        install.args(["install", "--quiet", "--locked", "--debug", name, "--root"]).arg(&tools);
        if let Err(error) = process::read(&mut install) {
            if process::interrupted() {
                return Err(error);
            }
            eprintln!("   {error:#}");
            return Ok(None);
        }
        fs::metadata(&tool).with_context(|| format!("{name} was installed elsewhere"))?;
    }
    Ok(Some(tool))
}
