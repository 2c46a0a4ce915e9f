//! `cargo xtask simulate`: the real scheduler over a virtual clock, with more layers and slots than anybody has at hand.
//!
//! The run itself is the example `simulate` of the executor; here its figures become a table.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::check::cargo;
use crate::process;

/// What is simulated.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Asked {
    /// Builds in the graph.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) layers: usize,
    /// Builds at a time, one or more numbers.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 30, 100, 300, 1000])]
    pub(crate) slots: Vec<usize>,
    /// Graphs of each shape, each with times of its own; the same number gives the same figures.
    #[arg(long, default_value_t = 5)]
    pub(crate) repeats: u64,
    /// Results of real runs (`.image-builder/runs/*/result.json`) that tell how long builds take.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) times: Vec<PathBuf>,
    /// Write the figures as JSON here too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// How long builds take: a lognormal distribution.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    /// In seconds.
    pub(crate) median: f64,
    /// Standard deviation of the logarithm.
    pub(crate) sigma: f64,
    /// Where it is from.
    pub(crate) source: String,
}

/// One line of the table.
#[derive(Debug, Deserialize)]
struct Line {
    shape: String,
    layers: usize,
    slots: usize,
    work_seconds: f64,
    critical_path_seconds: f64,
    bound_seconds: f64,
    built_seconds: f64,
    efficiency: f64,
    worst_efficiency: f64,
}

/// What came out.
pub(crate) struct Figures {
    /// A table of Markdown.
    pub(crate) table: String,
    /// The same as the example printed it.
    pub(crate) json: Value,
    /// The times that it was made with.
    pub(crate) times: Times,
}

/// `cargo xtask simulate`.
pub(crate) fn run(asked: &Asked) -> Result<()> {
    let figures = figures(asked)?;
    println!("build times: {}\n\n{}", figures.times.words(), figures.table);
    if let Some(path) = &asked.json {
        process::write(path, &format!("{:#}\n", figures.json))?;
    }
    Ok(())
}

/// Runs it.
pub(crate) fn figures(asked: &Asked) -> Result<Figures> {
    let times = if asked.times.is_empty() { Times::default() } else { Times::of(&asked.times)? };
    let mut command = cargo();
    command.args(["run", "--quiet", "--locked", "--package", "executor", "--example", "simulate", "--"]);
    command.args([asked.layers.to_string(), asked.repeats.to_string()]);
    command.args([times.median.to_string(), times.sigma.to_string()]);
    command.args(asked.slots.iter().map(ToString::to_string));
    let text = process::read(&mut command)?;
    let json: Value = serde_json::from_str(&text).context("the example prints JSON")?;
    let lines: Vec<Line> = serde_json::from_value(json.clone()).context("the example prints what we read")?;
    Ok(Figures { table: table(&lines), json, times })
}

impl Default for Times {
    /// Of the layers that this repository ships, most of them Debian's packages by apt: the 14 builds of two runs of
    /// `cargo xtask demo` of 21 November 2026, which took from 2 s to 2 min 49 s.
    fn default() -> Self {
        Self {
            median: 30.0,
            sigma: 1.15,
            source: "the 14 builds of two runs of `cargo xtask demo`, on two cores that had other work too"
                .to_owned(),
        }
    }
}

impl Times {
    /// From what builds of real runs took: the mean and the deviation of the logarithms.
    fn of(files: &[PathBuf]) -> Result<Self> {
        let mut seconds = Vec::new();
        for file in files {
            seconds.extend(seconds_of(file)?);
        }
        ensure!(seconds.len() >= 2, "the results hold {} builds that were built; give more", seconds.len());
        let logarithms: Vec<f64> = seconds.iter().map(|seconds| seconds.ln()).collect();
        let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
        let squares: f64 = logarithms.iter().map(|value| (value - mean).powi(2)).sum();
        Ok(Self {
            median: mean.exp(),
            sigma: (squares / (logarithms.len() - 1) as f64).sqrt(),
            source: format!("{} builds of {} real runs", seconds.len(), files.len()),
        })
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        format!(
            "lognormal, median {:.1} s, σ of the logarithm {:.2}; from {}",
            self.median, self.sigma, self.source
        )
    }
}

fn seconds_of(file: &Path) -> Result<Vec<f64>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let result: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    let builds =
        result["builds"].as_array().with_context(|| format!("{} is no result of a run", file.display()))?;
    let built = builds.iter().filter(|build| build["outcome"] == "built");
    Ok(built.filter_map(|build| build["seconds"].as_f64()).filter(|seconds| *seconds > 0.0).collect())
}

fn table(lines: &[Line]) -> String {
    let mut text = "| graph | layers | slots | work | critical path | bound | run | efficiency | worst |\n\
                    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    for line in lines {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {:.1} % | {:.1} % |\n",
            line.shape,
            line.layers,
            line.slots,
            span(line.work_seconds),
            span(line.critical_path_seconds),
            span(line.bound_seconds),
            span(line.built_seconds),
            line.efficiency * 100.0,
            line.worst_efficiency * 100.0
        ));
    }
    text
}

/// Seconds as people say them.
fn span(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        medium if medium < 7200.0 => format!("{:.0} min", medium / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_what_was_built() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let build = |outcome: &str, seconds: f64| serde_json::json!({"outcome": outcome, "seconds": seconds});
        let builds = [build("built", 2.0), build("built", 8.0), build("reused", 100.0), build("built", 0.0)];
        fs::write(file.path(), serde_json::json!({ "builds": builds }).to_string()).unwrap();
        let times = Times::of(&[file.path().to_owned()]).unwrap();
        assert!((times.median - 4.0).abs() < 1e-9, "{times:?}");
        assert!((times.sigma - 4.0_f64.ln() / 2.0_f64.sqrt()).abs() < 1e-9, "{times:?}");
        fs::write(file.path(), "{}").unwrap();
        assert!(Times::of(&[file.path().to_owned()]).is_err());
    }
}
