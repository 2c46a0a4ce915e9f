//! `cargo xtask test`: runs the checks, every test once, and the engine tests again on each further
//! engine.

use std::io::IsTerminal;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;
use clap::ValueEnum;

use crate::check::{self, Advisories, cargo, step};
use crate::engine::{Kind, Session};
use crate::{place, process};

/// The values of `--engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engines {
    /// Docker Engine 20.10 of Debian 12, or what this machine has as `dockerd`.
    Debian,
    /// Docker Engine 26.1 of Debian 13.
    Modern,
    /// podman's service.
    Podman,
    /// All three.
    All,
}

/// Returns the requested engines, each once, in order.
pub(crate) fn expand(asked: &[Engines]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for engines in asked {
        let these: &[Kind] = match engines {
            Engines::Debian => &[Kind::Debian],
            Engines::Modern => &[Kind::Modern],
            Engines::Podman => &[Kind::Podman],
            Engines::All => &Kind::ALL,
        };
        for kind in these {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
    }
    kinds
}

/// Runs the tests. For tests without an engine, the variables that name one are unset.
pub(crate) fn run(engines: &[Kind]) -> Result<()> {
    let start = Instant::now();
    check::run(Advisories::Leave)?;
    let Some((first, others)) = engines.split_first() else {
        step("tests without an engine", || process::run(without_engine(&mut tests(&["--lib", "--bins"]))))?;
        step("tests of the command without an engine", || {
            process::run(without_engine(&mut tests(&selection(&targets(|name| !needs_engine(name))?))))
        })?;
        close("without an engine; what needs one was not run", start);
        return Ok(());
    };
    let is_root = place::user()? == 0;
    if is_root && *first != Kind::Podman {
        on(*first, "all tests", &[])?;
    } else {
        if !is_root {
            println!(
                "   skipped: the tests named fault_*, which kill engines of their own, as only root can start them"
            );
        }
        if *first == Kind::Podman {
            println!("   skipped: the tests named docker_* and fault_*, which are for Docker's engine");
        }
        let names = targets(|name| fits(name, *first, is_root))?;
        on(*first, "all tests for it", &[&["--lib", "--bins"], selection(&names).as_slice()].concat())?;
    }
    for kind in others {
        let names = targets(|name| needs_engine(name) && !needs_root(name) && fits(name, *kind, is_root))?;
        on(*kind, "engine tests", &selection(&names))?;
    }
    let names: Vec<_> = engines.iter().map(|kind| kind.name()).collect();
    close(&format!("on {}", names.join(", ")), start);
    Ok(())
}

fn on(kind: Kind, what: &str, selection: &[&str]) -> Result<()> {
    step(&format!("{what} on {}", kind.name()), || {
        let session = Session::start(kind)?;
        let mut command = tests(selection);
        command.envs(session.state().environment());
        if kind == Kind::Podman {
            // podman's builds and lists fail ("layer not known") while another test removes an
            // image: run one test at a time.
            command.env("RUST_TEST_THREADS", "1");
        }
        process::run(&mut command)
    })
}

pub(crate) fn tests(selection: &[&str]) -> Command {
    let mut command = cargo();
    command.args(["test", "--locked", "--no-fail-fast", "--workspace"]).args(selection);
    // Where cargo is quiet, it already passes `--quiet` to the tests, which do not accept it twice.
    if std::io::stderr().is_terminal() {
        command.args(["--", "--quiet"]);
    }
    command
}

fn without_engine(command: &mut Command) -> &mut Command {
    for name in ["IMAGE_BUILDER_TEST_HOST", "IMAGE_BUILDER_TEST_REGISTRY", "IMAGE_BUILDER_TEST_ENGINE"] {
        command.env_remove(name);
    }
    command
}

/// Whether tests need an engine: a given one of any kind (`engine_`), a given Docker engine
/// (`docker_`), or private engines.
fn needs_engine(name: &str) -> bool {
    name.starts_with("engine_") || name.starts_with("docker_") || needs_root(name)
}

/// Whether a test can run on an engine. Features that podman's service lacks (secrets, ONBUILD,
/// ending abandoned builds) are tested on Docker only.
fn fits(name: &str, kind: Kind, is_root: bool) -> bool {
    let for_docker = name.starts_with("docker_") || needs_root(name);
    (kind != Kind::Podman || !for_docker) && (is_root || !needs_root(name))
}

/// Whether tests start, kill and fill private engines and registries.
fn needs_root(name: &str) -> bool {
    name.starts_with("fault_")
}

fn selection(names: &[String]) -> Vec<&str> {
    names.iter().flat_map(|name| ["--test", name.as_str()]).collect()
}

/// Returns the test targets of the workspace whose names are wanted, from `cargo metadata`.
fn targets(wanted: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let text = process::read(cargo().args(["metadata", "--format-version=1", "--no-deps", "--locked"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let tests =
        targets.filter(|target| target["kind"][0] == "test").filter_map(|target| target["name"].as_str());
    Ok(tests.filter(|name| wanted(name)).map(str::to_owned).collect())
}

fn close(what: &str, start: Instant) {
    let seconds = start.elapsed().as_secs();
    println!("\nall good {what}, in {} min {} s", seconds / 60, seconds % 60);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_asked_for_twice_is_used_once() {
        assert_eq!(expand(&[Engines::Podman, Engines::All]), [Kind::Podman, Kind::Debian, Kind::Modern]);
    }

    #[test]
    fn podman_runs_what_is_for_any_engine() {
        let all = ["command", "engine_run", "docker_stale", "fault_push"];
        let fit =
            |kind, is_root| all.into_iter().filter(|name| fits(name, kind, is_root)).collect::<Vec<_>>();
        assert_eq!(fit(Kind::Debian, true), all);
        assert_eq!(fit(Kind::Modern, false), ["command", "engine_run", "docker_stale"]);
        assert_eq!(fit(Kind::Podman, true), ["command", "engine_run"]);
        assert_eq!(fit(Kind::Podman, false), ["command", "engine_run"]);
        assert!(targets(|name| needs_engine(name) && fits(name, Kind::Podman, true)).unwrap().len() > 3);
    }
}
