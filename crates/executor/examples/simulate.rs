//! Runs of many layers on many slots, by the real scheduler over a virtual clock: `cargo xtask simulate` shows what comes out.
//!
//! Usage: `simulate LAYERS REPEATS MEDIAN SIGMA [SLOTS…]`. Build times are lognormal: MEDIAN in seconds, SIGMA of their logarithm.
//! Prints a JSON array, one object for each shape of graph and number of slots. The same arguments give the same bytes.

use std::env;
use std::time::Duration;

use executor::simulation::{Case, simulate};
use fastrand::Rng;
use serde_json::{Value, json};

/// Layers of a chain.
const CHAIN: usize = 10;

fn main() {
    let Some(asked) = Asked::of(&env::args().skip(1).collect::<Vec<_>>()) else {
        eprintln!("usage: simulate LAYERS REPEATS MEDIAN SIGMA [SLOTS...]");
        std::process::exit(2);
    };
    let rows: Vec<Value> = [Shape::Chains, Shape::Wide, Shape::Mix]
        .iter()
        .flat_map(|shape| {
            let cases: Vec<Case> = (0..asked.repeats).map(|seed| asked.case(*shape, seed)).collect();
            asked.slots.iter().map(move |slots| row(*shape, *slots, &cases)).collect::<Vec<_>>()
        })
        .collect();
    println!("{:#}", Value::Array(rows));
}

struct Asked {
    layers: usize,
    repeats: u64,
    median: f64,
    sigma: f64,
    slots: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Shape {
    Chains,
    Wide,
    Mix,
}

impl Asked {
    fn of(arguments: &[String]) -> Option<Self> {
        let [layers, repeats, median, sigma, slots @ ..] = arguments else { return None };
        let slots: Vec<usize> = slots.iter().map(|slots| slots.parse().ok()).collect::<Option<_>>()?;
        Some(Self {
            layers: layers.parse().ok()?,
            repeats: repeats.parse().ok().filter(|repeats| *repeats > 0)?,
            median: median.parse().ok()?,
            sigma: sigma.parse().ok()?,
            slots: if slots.is_empty() { vec![10, 30, 100, 300, 1000] } else { slots },
        })
    }

    fn case(&self, shape: Shape, seed: u64) -> Case {
        let mut rng = Rng::with_seed(seed);
        let needs = (0..self.layers).map(|build| needs(shape, build, &mut rng)).collect();
        let builds = (0..self.layers).map(|_| self.time(&mut rng)).collect();
        Case { needs, builds, pushes: None }
    }

    /// Lognormal, from two even numbers (Box and Muller).
    fn time(&self, rng: &mut Rng) -> Duration {
        let (one, two) = (1.0 - rng.f64(), rng.f64());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        Duration::from_secs_f64(self.median * (self.sigma * normal).exp())
    }
}

fn needs(shape: Shape, build: usize, rng: &mut Rng) -> Vec<usize> {
    match shape {
        Shape::Chains if build.is_multiple_of(CHAIN) => Vec::new(),
        Shape::Chains => vec![build - 1],
        Shape::Wide if build == 0 => Vec::new(),
        Shape::Wide => vec![0],
        // Few bases; the others stand on any earlier layer, and one in ten copies from a second one.
        Shape::Mix if build == 0 || rng.usize(..100) == 0 => Vec::new(),
        Shape::Mix => {
            let mut needs = vec![rng.usize(..build)];
            if rng.usize(..10) == 0 {
                needs.push(rng.usize(..build));
            }
            needs.sort_unstable();
            needs.dedup();
            needs
        }
    }
}

/// Medians over the cases, and the worst efficiency.
fn row(shape: Shape, slots: usize, cases: &[Case]) -> Value {
    let runs = cases.iter().map(|case| {
        let (bound, built) = (case.bound(slots).as_secs_f64(), simulate(case, slots).built.as_secs_f64());
        (bound / built, built, bound, case)
    });
    let mut runs: Vec<_> = runs.collect();
    runs.sort_by(|(one, ..), (two, ..)| one.total_cmp(two));
    let (efficiency, built, bound, case) = &runs[runs.len() / 2];
    json!({
        "shape": match shape { Shape::Chains => "chains of 10", Shape::Wide => "one base, all others on it", Shape::Mix => "mix" },
        "layers": case.needs.len(),
        "slots": slots,
        "work_seconds": case.work().as_secs_f64(),
        "critical_path_seconds": case.critical_path().as_secs_f64(),
        "bound_seconds": bound,
        "built_seconds": built,
        "efficiency": efficiency,
        "worst_efficiency": runs[0].0,
        "runs": runs.len(),
    })
}
