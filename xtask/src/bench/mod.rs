//! `cargo xtask bench`: compares the speed of the command with the tools that users would use
//! instead, in the same run on the same machine.
//!
//! Each part of the benchmark is a section of `BENCHMARKS.md`. A run of some parts, or a quick run,
//! prints its figures and leaves the page unchanged.

mod building;
mod contexts;
mod critical;
mod docker;
mod measure;
mod page;
mod planning;
mod processors;
mod published;
mod startup;
mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::bench::page::Section;
use crate::check::{cargo, step};
use crate::engine::Kind;
use crate::{place, process};

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Asked {
    /// Small trees and few rounds: shows that everything works, and no figures to rely on.
    #[arg(long)]
    quick: bool,
    /// Only these parts; BENCHMARKS.md is left alone.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The engine that builds are compared on.
    #[arg(long, value_enum, default_value_t = Kind::Debian)]
    engine: Kind,
    /// Measure this binary instead of a fresh release build.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// The parts, in the page's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// How soon the command is there.
    Start,
    /// Plans against git.
    Plan,
    /// Plans of more and more layers.
    Growth,
    /// Builds against `docker build`.
    Build,
    /// Builds against `docker buildx bake`, on a modern engine of its own.
    Bake,
    /// Contexts against the docker client.
    Context,
    /// What is published against `skopeo inspect`.
    Published,
}

impl Part {
    fn needs_engine(self) -> bool {
        matches!(self, Self::Build | Self::Context | Self::Published)
    }
}

/// The size of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Full,
    Quick,
}

impl Scale {
    fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// Settings that all parts share.
struct Bench {
    binary: PathBuf,
    scale: Scale,
    rounds: usize,
}

impl Bench {
    /// Returns the measured command, in English and without the user's settings.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("LC_ALL", "C").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for name in ["IMAGE_BUILDER_REPO", "DOCKER_HOST", "DOCKER_CONTEXT"] {
            command.env_remove(name);
        }
        command
    }

    fn binary(&self) -> &Path {
        &self.binary
    }
}

/// Runs the benchmark, and writes the page if all parts were measured.
pub(crate) fn run(asked: &Asked) -> Result<()> {
    let start = Instant::now();
    let binary = match &asked.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("no {}", binary.display()))?,
        None => {
            step("release build of the command", || {
                process::run(cargo().args(["build", "--release", "--locked", "--package", "image-builder"]))
            })?;
            place::target().join("release/image-builder")
        }
    };
    let (scale, rounds) = if asked.quick { (Scale::Quick, 3) } else { (Scale::Full, 11) };
    let bench = Bench { binary, scale, rounds };
    let parts: Vec<Part> =
        if asked.only.is_empty() { Part::value_variants().to_vec() } else { asked.only.clone() };
    let mut docker = None;
    if parts.iter().any(|part| part.needs_engine()) {
        step("start an engine and a registry", || {
            docker = Some(docker::start(asked.engine)?);
            Ok(())
        })?;
    }
    let mut sections = Vec::new();
    for part in parts {
        let name = part.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        step(&format!("bench {name}"), || {
            let section = measure(part, &bench, docker.as_ref())?;
            println!("{}", section.markdown());
            sections.push(section);
            Ok(())
        })?;
    }
    drop(docker);
    let machine = machine()?;
    let document = json!({ "machine": machine, "quick": asked.quick, "sections": sections });
    let file = place::target().join("bench.json");
    process::write(&file, &format!("{document:#}\n"))?;
    let missed = sections.iter().flat_map(|section| &section.rows).flat_map(|row| &row.bounds);
    let missed = missed.filter(|held| !held.kept).count();
    println!("{} bounds were missed; figures in {}", missed, file.display());
    if asked.quick || !asked.only.is_empty() {
        println!("a part or a quick run: BENCHMARKS.md is left as it is");
        return Ok(());
    }
    let minutes = start.elapsed().as_secs().div_ceil(60);
    let page = place::workspace().join("BENCHMARKS.md");
    process::write(&page, &text(&machine, &sections, minutes))?;
    println!("written to BENCHMARKS.md");
    Ok(())
}

fn measure(part: Part, bench: &Bench, docker: Option<&docker::Docker>) -> Result<Section> {
    let docker = || docker.context("the engine was started before");
    match part {
        Part::Start => startup::section(bench),
        Part::Plan => planning::plans(bench),
        Part::Growth => planning::growth(bench),
        Part::Build => building::section(bench, docker()?),
        Part::Bake => building::baked(bench, &docker::start_modern()?),
        Part::Context => contexts::section(bench, docker()?),
        Part::Published => published::section(bench, docker()?),
    }
}

fn text(machine: &Value, sections: &[Section], minutes: u64) -> String {
    let mut text = format!(
        "# Benchmarks\n\nWritten by `cargo xtask bench` ({minutes} minutes) on {}. Each side ran once unmeasured, then all sides in turns, on one machine; times are \
         medians, ratios the medians of the rounds' ratios. To repeat it, as root on Debian or Ubuntu:\n\n    cargo xtask bench             # all of it; writes this page \
         and target/bench.json\n    cargo xtask bench --only plan # one part; --quick for a small one\n\n| \
         | |\n| --- | --- |\n",
        machine["day"].as_str().unwrap_or_default()
    );
    for (name, value) in machine.as_object().into_iter().flatten() {
        text.push_str(&format!("| {name} | {} |\n", value.as_str().unwrap_or_default()));
    }
    for section in sections {
        text.push_str(&format!("\n{}", section.markdown()));
    }
    text
}

/// Returns the properties of the machine that affect the figures.
fn machine() -> Result<Value> {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    let ask = |program: &str, arguments: &[&str]| -> String {
        let said = process::read(Command::new(program).args(arguments)).unwrap_or_default();
        said.lines().next().unwrap_or_default().trim().to_owned()
    };
    let commit = process::read(Command::new("git").arg("-C").arg(place::workspace()).args([
        "log",
        "-1",
        "--format=%h",
    ]))?;
    Ok(json!({
        "day": ask("date", &["-u", "+%Y-%m-%d"]),
        "commit": commit.trim(),
        "processors": format!("{count} × {}", model.map_or("unknown", |(_, model)| model)),
        "memory": kib.map_or_else(String::new, |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0)),
        "system": ask("uname", &["-sr"]),
        "git": ask("git", &["--version"]),
        "rustc": ask("rustc", &["--version"]),
        "skopeo": ask("skopeo", &["--version"]),
    }))
}
