//! `cargo xtask check`: runs all checks of the code that do not execute it.

use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{place, process, tidy};

/// Whether the database of security advisories is queried. It is on the internet, not in the
/// package registries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advisories {
    /// Fetch and query the database.
    Ask,
    /// Skip the query.
    Leave,
}

/// Runs every check, cheap ones first, and prints the time of each.
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
    step("book", || process::run(cargo().args(["run", "--package", "book", "--locked"])))?;
    step("licences and sources", || licences(advisories))
}

/// Runs one step and prints a heading and its time.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    let start = Instant::now();
    work().with_context(|| name.to_owned())?;
    println!("   {name}: good, {:.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

/// Returns `cargo` of the toolchain that runs xtask, in the workspace. It shows its progress on a
/// terminal and is quiet elsewhere.
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

/// Returns a cargo tool from `PATH`, or builds it once and keeps it.
pub(crate) fn tool(name: &str) -> Result<Option<PathBuf>> {
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(found) = env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file()) {
        return Ok(Some(found));
    }
    let tools = place::cache()?.join("tools");
    let tool = tools.join("bin").join(name);
    if !tool.is_file() {
        println!("   building {name} once");
        // Debug build: compiling the tool takes longer than running it.
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
