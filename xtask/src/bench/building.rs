//! Builds against `docker build` in sequence, against the bound that no order gets below, and against `buildx bake`.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::bench::docker::Docker;
use crate::bench::measure::{Measured, Side, in_turns, median, timed};
use crate::bench::page::{Bound, Row, Section};
use crate::bench::trees::{SourceTree, name};
use crate::process;

const BASE: &str = "docker.io/library/busybox:1.35";
/// Leaves of the wide graph, and how long each waits.
const LEAVES: usize = 16;
const WAIT: Duration = Duration::from_secs(2);
/// Layers of the chain.
const CHAIN: usize = 10;

/// A wide graph and a chain.
pub(crate) fn section(bench: &Bench, docker: &Docker) -> Result<Section> {
    let mut rows = wide(bench, docker)?;
    rows.push(chain(bench, docker)?);
    let mut notes = vec![
        "The bound is what `docker build` takes for the base, and two seconds for each wave of leaves: nothing of a client or an engine is \
         in it but the base. Each round builds everything: the base is never the same."
            .to_owned(),
    ];
    if docker.bake().is_none() {
        notes.push(
            "`docker buildx bake` was not compared: it comes with the modern engine (`cargo xtask bench --only build --engine modern`)."
                .to_owned(),
        );
    }
    Ok(Section {
        title: "Building".to_owned(),
        about: format!(
            "One base and {LEAVES} leaves that each wait {} s, and a chain of {CHAIN} small layers. {}.",
            WAIT.as_secs(),
            docker.describe()?
        ),
        rows,
        notes,
    })
}

/// The same graph for both sides: layer 0, and the others on it or on each other.
struct Graph {
    layers: usize,
    chain: bool,
}

impl Graph {
    fn from(&self, layer: usize) -> Option<usize> {
        if self.chain { layer.checked_sub(1) } else { (layer > 0).then_some(0) }
    }

    fn run(&self, layer: usize) -> String {
        match (self.chain, layer) {
            (true, _) | (_, 0) => format!("echo {layer} > /built-{layer}"),
            _ => format!("sleep {} && echo {layer} > /built-{layer}", WAIT.as_secs()),
        }
    }

    fn dockerfile(&self, layer: usize, sibling: impl Fn(usize) -> String, salt: &str) -> String {
        let from = self.from(layer).map_or(BASE.to_owned(), sibling);
        let salt = if layer == 0 { format!("RUN echo {salt} > /salt\n") } else { String::new() };
        format!("FROM {from}\n{salt}RUN {}\n", self.run(layer))
    }

    fn tree(&self) -> Result<SourceTree> {
        let files: Vec<_> = (0..self.layers)
            .flat_map(|layer| {
                let directory = format!("science/{}", name(layer));
                let descriptor =
                    format!("{{\"image\": \"{}\", \"version\": \"1.0\", \"compat\": null}}\n", name(layer));
                [
                    (format!("{directory}/Dockerfile"), self.science(layer, "none")),
                    (format!("{directory}/sciserver-image.json"), descriptor),
                ]
            })
            .collect();
        SourceTree::of_files(&files)
    }

    fn science(&self, layer: usize, salt: &str) -> String {
        self.dockerfile(layer, |on| format!("sci/{}:1.0", name(on)), salt)
    }

    /// A directory for each layer, for `docker build`.
    fn directories(&self, docker: &Docker) -> Result<TempDir> {
        let directory = tempfile::Builder::new().prefix("image-builder-bench-").tempdir()?;
        for layer in 0..self.layers {
            self.write(docker, directory.path(), layer, "none")?;
        }
        Ok(directory)
    }

    fn write(&self, docker: &Docker, directory: &Path, layer: usize, salt: &str) -> Result<()> {
        let text = self.dockerfile(layer, |on| docker.name(&name(on)), salt);
        process::write(&directory.join(name(layer)).join("Dockerfile"), &text)
    }
}

/// What no cache has seen.
fn salt() -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{}-{}", std::process::id(), now.as_nanos()))
}

/// Ours: everything, since the base is another one.
fn ours(bench: &Bench, docker: &Docker, graph: &Graph, tree: &SourceTree, jobs: usize) -> Result<Duration> {
    tree.change(&format!("science/{}/Dockerfile", name(0)), &graph.science(0, &salt()?))?;
    let mut command = bench.command();
    docker.surround(&mut command);
    command.arg("--root").arg(tree.root()).args(["--all", "--repo", &docker.repo()]);
    timed(command.args(["--jobs", &jobs.to_string()]))
}

/// `docker build` of one layer after the other. What each took is left in `each`.
fn in_sequence(
    docker: &Docker,
    graph: &Graph,
    directory: &Path,
    each: &RefCell<Vec<f64>>,
) -> Result<Duration> {
    graph.write(docker, directory, 0, &salt()?)?;
    let mut all = Duration::ZERO;
    for layer in 0..graph.layers {
        let took = timed(&mut docker.build(&directory.join(name(layer)), &name(layer)))?;
        if layer == 0 {
            each.borrow_mut().push(took.as_secs_f64() * 1000.0);
        }
        all += took;
    }
    Ok(all)
}

fn wide(bench: &Bench, docker: &Docker) -> Result<Vec<Row>> {
    let graph = Graph { layers: LEAVES + 1, chain: false };
    let (tree, directory) = (graph.tree()?, graph.directories(docker)?);
    let base = RefCell::new(Vec::new());
    let command = |jobs: usize| format!("image-builder --all --jobs {jobs}");
    let few = vec![
        Side::new(command(8), || ours(bench, docker, &graph, &tree, 8)),
        Side::new("docker build in sequence", || in_sequence(docker, &graph, directory.path(), &base)),
    ];
    let few = in_turns(few, 1)?;
    let mut sides = vec![
        Side::new(command(8), || ours(bench, docker, &graph, &tree, 8)),
        Side::new(command(16), || ours(bench, docker, &graph, &tree, 16)),
        Side::new("the base alone", || {
            graph.write(docker, directory.path(), 0, &salt()?)?;
            let took = timed(&mut docker.build(&directory.path().join(name(0)), &name(0)))?;
            base.borrow_mut().push(took.as_secs_f64() * 1000.0);
            Ok(took)
        }),
    ];
    if let Some(command) = docker.bake() {
        drop(command);
        sides.push(Side::new("docker buildx bake", || bake(docker, &graph, directory.path())));
    }
    let measured = in_turns(sides, bench.rounds.min(5))?;
    let base = median(&base.borrow());
    let mut rows = vec![Row::of("wide", &few[0], Some(&few[1]))];
    for (measured, jobs) in measured.iter().zip([8, 16]) {
        let waves = LEAVES.div_ceil(jobs) as f64;
        let bound = base + waves * WAIT.as_secs_f64() * 1000.0;
        let computed = Measured {
            side: "computed bound".to_owned(),
            median_ms: bound,
            rounds_ms: vec![bound; measured.rounds_ms.len()],
        };
        let row = Row::of("wide", measured, Some(&computed));
        rows.push(if jobs == 8 { row.bound(Bound::Ratio(1.15)) } else { row });
    }
    if let Some(bake) = measured.get(3) {
        rows.push(Row::of("wide", &measured[1], Some(bake)).bound(Bound::Ratio(1.0)));
    }
    Ok(rows)
}

/// The same graph as targets of `bake`, each leaf with the base as a named context.
fn bake(docker: &Docker, graph: &Graph, directory: &Path) -> Result<Duration> {
    graph.write(docker, directory, 0, &salt()?)?;
    let targets = (0..graph.layers).map(|layer| {
        let contexts = match graph.from(layer) {
            Some(on) => json!({ docker.name(&name(on)): format!("target:{}", name(on)) }),
            None => json!({}),
        };
        let target = json!({
            "context": directory.join(name(layer)),
            "contexts": contexts,
            "tags": [docker.name(&name(layer))],
            "output": ["type=docker"],
        });
        (name(layer), target)
    });
    let file = directory.join("bake.json");
    let targets: serde_json::Map<String, serde_json::Value> = targets.collect();
    let all: Vec<&String> = targets.keys().collect();
    let text = json!({ "group": { "default": { "targets": all } }, "target": targets });
    process::write(&file, &text.to_string())?;
    let mut command: Command = docker.bake().expect("it was there a moment ago");
    timed(command.arg("--file").arg(&file).arg("--progress=quiet"))
}

fn chain(bench: &Bench, docker: &Docker) -> Result<Row> {
    let graph = Graph { layers: CHAIN, chain: true };
    let (tree, directory) = (graph.tree()?, graph.directories(docker)?);
    let unused = RefCell::new(Vec::new());
    let sides = vec![
        Side::new("image-builder --all", || ours(bench, docker, &graph, &tree, 4)),
        Side::new("docker build in sequence", || in_sequence(docker, &graph, directory.path(), &unused)),
    ];
    let measured = in_turns(sides, bench.rounds.min(5))?;
    Ok(Row::of(format!("chain of {CHAIN}"), &measured[0], Some(&measured[1])).bound(Bound::Ratio(1.1)))
}
