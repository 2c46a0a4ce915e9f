//! Compares builds with `docker build` in sequence, with lower bounds for any build order, and with
//! `buildx bake`.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;

use crate::bench::Bench;
use crate::bench::critical;
use crate::bench::docker::Docker;
use crate::bench::measure::{Measured, Side, in_turns, median, timed};
use crate::bench::page::{Bound, Row, Section};
use crate::bench::processors;
use crate::bench::trees::{SourceTree, name};
use crate::process;

const BASE: &str = "docker.io/library/busybox:1.35";
/// Number of leaves of the wide graph, and how long the build of each leaf sleeps.
const LEAVES: usize = 16;
const WAIT: Duration = Duration::from_secs(2);
/// Time after which a leaf that is built alone is certainly asleep, and stays asleep for a while.
const WAITS_BY_THEN: Duration = Duration::from_millis(1500);
/// Number of layers of the chain.
const CHAIN: usize = 10;

/// Measures a wide graph and a chain.
pub(crate) fn section(bench: &Bench, docker: &Docker) -> Result<Section> {
    let mut rows = wide(bench, docker)?;
    rows.push(chain(bench, docker)?);
    let notes = [
        "Each round builds everything: the base is never the same. `docker build` is told the order by the benchmark, which ours has to \
         find out; it neither plans, labels, looks anything up nor writes logs.",
        "The bound of its own builds is computed from the times that the builds of each run took: the largest of its critical path, \
         its work divided by the slots, and the base plus the builds on it divided by the slots. What ours takes beyond that is what its order, idle slots, planning and the end of a run cost. It says nothing of what an engine takes longer for where it \
         has much to do at once; the other bounds do.",
        "The bound of single builds is what `docker build` takes for the base and, for each wave of leaves, what it takes for one leaf \
         alone: no order gets below that with this engine, even if builds beside each other cost each other nothing. The bound of sleeping \
         counts two seconds for a leaf, as if an engine started and stored containers in no time.",
        "The bound with processors is what is left to win on this machine: an engine needs processor time until a leaf waits (measured of one alone, the \
         client's own left out), so the last of those that begin together waits only when all have had theirs. Then it waits, and what follows in \
         its slot takes what it takes alone.",
        "`docker build`, as many at once by xargs, shows what the engine can do.",
    ];
    Ok(Section {
        title: "Building".to_owned(),
        about: format!("{} {}.", what(), docker.describe()?),
        rows,
        notes: notes.map(str::to_owned).to_vec(),
    })
}

/// Compares the wide graph with `docker buildx bake`.
pub(crate) fn baked(bench: &Bench, docker: &Docker) -> Result<Section> {
    let graph = Graph { layers: LEAVES + 1, chain: false };
    let (tree, directory) = (graph.tree()?, graph.directories(docker)?);
    docker.bake().context("the modern engine comes without docker-buildx")?;
    let sides = vec![
        Side::new(format!("image-builder --all --jobs {LEAVES}"), || {
            ours(bench, docker, &graph, &tree, LEAVES)
        }),
        Side::new("docker buildx bake", || bake(docker, &graph, directory.path())),
    ];
    let measured = in_turns(sides, bench.rounds.min(5))?;
    let row = Row::of("wide", &measured[0], Some(&measured[1])).bound(Bound::Ratio(1.0));
    Ok(Section {
        title: "Building beside bake".to_owned(),
        about: format!("The wide graph once more, on an engine that has buildx. {}.", docker.describe()?),
        rows: vec![row],
        notes: vec![
            "`bake` has all layers in one request, so the engine itself knows what stands on what; the base is a named context of each \
             leaf, and all images are loaded with their tags."
                .to_owned(),
        ],
    })
}

fn what() -> String {
    format!(
        "One base and {LEAVES} leaves that each wait {} s, and a chain of {CHAIN} small layers.",
        WAIT.as_secs()
    )
}

/// The graph that both sides build: all other layers use layer 0 as their base image, or each layer
/// uses the previous one.
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

    /// Creates a directory for each layer, for `docker build`.
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

/// Returns a value that differs in each call, so that no cache has it.
fn salt() -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(format!("{}-{}", std::process::id(), now.as_nanos()))
}

/// Times our build of all layers. Everything is rebuilt, because the base layer changes first.
fn ours(bench: &Bench, docker: &Docker, graph: &Graph, tree: &SourceTree, jobs: usize) -> Result<Duration> {
    tree.change(&format!("science/{}/Dockerfile", name(0)), &graph.science(0, &salt()?))?;
    let mut command = bench.command();
    docker.surround(&mut command);
    command.arg("--root").arg(tree.root()).args(["--all", "--repo", &docker.repo()]);
    timed(command.args(["--jobs", &jobs.to_string()]))
}

/// Times `docker build` of one layer after the other.
fn in_sequence(docker: &Docker, graph: &Graph, directory: &Path) -> Result<Duration> {
    graph.write(docker, directory, 0, &salt()?)?;
    let mut all = Duration::ZERO;
    for layer in 0..graph.layers {
        all += timed(&mut docker.build(&directory.join(name(layer)), &name(layer)))?;
    }
    Ok(all)
}

fn wide(bench: &Bench, docker: &Docker) -> Result<Vec<Row>> {
    let graph = Graph { layers: LEAVES + 1, chain: false };
    let (tree, directory) = (graph.tree()?, graph.directories(docker)?);
    let (graph, tree, directory) = (&graph, &tree, directory.path());
    let (few, many) = (LEAVES / 2, LEAVES);
    let (of_few, of_many) = (RefCell::default(), RefCell::default());
    let ours = |jobs: usize, bounds: &RefCell<Vec<f64>>| {
        let took = ours(bench, docker, graph, tree, jobs)?;
        let bound = critical::of_last_run(tree.root(), jobs, |layer| graph.from(layer))?;
        bounds.borrow_mut().push(bound.as_secs_f64() * 1000.0);
        Ok(took)
    };
    let name_of = |jobs: usize| format!("image-builder --all --jobs {jobs}");
    let at_once = |jobs: usize| {
        Side::new(format!("docker build, {jobs} at once"), move || at_once(docker, graph, directory, jobs))
    };
    let alone = |layer: usize| move || alone(docker, graph, directory, layer);
    let starting = Side::new("processor time until a leaf waits", || {
        self::alone(docker, graph, directory, 0)?;
        processors::used_by_others(&mut docker.build(&directory.join(name(1)), &name(1)), WAITS_BY_THEN)
    });
    let sequence = Side::new("docker build in sequence", || in_sequence(docker, graph, directory));
    let first = Side::new(name_of(few), || ours(few, &RefCell::default()));
    let slow = in_turns(vec![first, sequence], 1)?;
    let sides = vec![
        Side::new(name_of(few), || ours(few, &of_few)),
        at_once(few),
        Side::new(name_of(many), || ours(many, &of_many)),
        at_once(many),
        Side::new("the base alone", alone(0)),
        Side::new("a leaf alone", alone(1)),
        starting,
    ];
    let measured = in_turns(sides, bench.rounds.min(5))?;
    let [ours_few, docker_few, ours_many, docker_many, base, leaf, starting] = &measured[..] else {
        unreachable!("as many as sides");
    };
    let wait = WAIT.as_secs_f64() * 1000.0;
    let bound = |name: &str, first: f64, further: f64, jobs: usize| {
        let bound = base.median_ms + first + (LEAVES.div_ceil(jobs) - 1) as f64 * further;
        Measured { side: name.to_owned(), median_ms: bound, rounds_ms: vec![bound; base.rounds_ms.len()] }
    };
    // The warm-up round is left out.
    let of_run = |bounds: &RefCell<Vec<f64>>| {
        let rounds_ms = bounds.borrow()[1..].to_vec();
        Measured { side: "bound of its own builds".to_owned(), median_ms: median(&rounds_ms), rounds_ms }
    };
    let (leaf, processors) = (leaf.median_ms, processors::count()? as f64);
    let mut rows = vec![Row::of("wide", &slow[0], Some(&slow[1]))];
    for (ours, docker, jobs, own) in
        [(ours_few, docker_few, few, of_run(&of_few)), (ours_many, docker_many, many, of_run(&of_many))]
    {
        for bound in [own, bound("bound of single builds", leaf, leaf, jobs)] {
            let row = Row::of("wide", ours, Some(&bound));
            rows.push(if jobs == few { row.bound(Bound::Ratio(1.15)) } else { row });
        }
        let started = starting.median_ms * jobs as f64 / processors + wait;
        let bounds = [
            bound("bound with processors", started.max(leaf), leaf, jobs),
            bound("bound of sleeping", wait, wait, jobs),
        ];
        rows.extend(bounds.map(|bound| Row::of("wide", ours, Some(&bound))));
        rows.push(Row::of("wide", ours, Some(docker)));
    }
    Ok(rows)
}

/// Times `docker build` of one layer that no cache has.
fn alone(docker: &Docker, graph: &Graph, directory: &Path, layer: usize) -> Result<Duration> {
    graph.write(docker, directory, 0, &salt()?)?;
    let base = timed(&mut docker.build(&directory.join(name(0)), &name(0)))?;
    if layer == 0 { Ok(base) } else { timed(&mut docker.build(&directory.join(name(layer)), &name(layer))) }
}

/// Times `docker build` of the base, then of the leaves with this many builds at a time, as with
/// xargs in a shell.
fn at_once(docker: &Docker, graph: &Graph, directory: &Path, jobs: usize) -> Result<Duration> {
    let base = alone(docker, graph, directory, 0)?;
    let names: String = (1..graph.layers).map(|layer| format!("{}\n", name(layer))).collect();
    let list = directory.join("leaves");
    process::write(&list, &names)?;
    Ok(base + timed(&mut docker.build_at_once(directory, &list, jobs))?)
}

/// Times `bake` of the same graph: each layer is a target, and each leaf has the base as a named
/// context.
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
    let mut command: Command = docker.bake().context("there is no docker-buildx")?;
    timed(command.arg("--file").arg(&file).arg("--progress=quiet"))
}

fn chain(bench: &Bench, docker: &Docker) -> Result<Row> {
    let graph = Graph { layers: CHAIN, chain: true };
    let (tree, directory) = (graph.tree()?, graph.directories(docker)?);
    let sides = vec![
        Side::new("image-builder --all", || ours(bench, docker, &graph, &tree, 4)),
        Side::new("docker build in sequence", || in_sequence(docker, &graph, directory.path())),
    ];
    let measured = in_turns(sides, bench.rounds.min(5))?;
    Ok(Row::of(format!("chain of {CHAIN}"), &measured[0], Some(&measured[1])).bound(Bound::Ratio(1.1)))
}
