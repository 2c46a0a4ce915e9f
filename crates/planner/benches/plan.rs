//! Benchmarks the pure parts of the planner, from prepared values: `cargo bench -p planner`.
//!
//! `cargo xtask bench` measures the whole command; this benchmark excludes disk and git.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use planner::tree::Inputs;
use planner::{Request, Selection, fixture};

/// The number of fragments of the compat stack.
const STACK: usize = 20;

/// Creates a tree with a base, and products of three layers each based on it, all with a stack of
/// two compat layers. `changed` is a line of the base's Dockerfile.
fn tree(layers: usize, changed: &str) -> String {
    let mut text = format!(
        "//- /compat/common/Dockerfile\nENV A=1\n//- /compat/common/sciserver-image.json\n{{}}\n\
         //- /compat/web/Dockerfile\nCMD [\"web\"]\n//- /compat/web/sciserver-image.json\n{{\"includes\": [\"common\"]}}\n\
         //- /science/base/Dockerfile\nFROM docker.io/library/debian:12\n{changed}\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\", \"compat\": null}}\n"
    );
    for layer in 1..layers {
        let from = if layer % 3 == 1 { "base".to_owned() } else { format!("l{}", layer - 1) };
        let product = (layer - 1) / 3;
        write!(
            text,
            "//- /science/l{layer}/Dockerfile\nFROM sci/{from}:1.0\nCOPY data.txt /opt/\nRUN echo {layer} && \\\n    true\n\
             //- /science/l{layer}/data.txt\n{layer}\n//- /science/l{layer}/README.md\nlayer {layer}\n\
             //- /science/l{layer}/sciserver-image.json\n{{\"image\": \"p{product}\", \"version\": \"1.0\", \"compat\": \"web\"}}\n"
        )
        .expect("a string takes everything");
    }
    text
}

/// Creates one product on a deep stack of compat layers, each of which overrides the one before.
fn stacked() -> Inputs {
    let mut text = tree(2, "").replace("\"compat\": \"web\"", &format!("\"compat\": \"c{}\"", STACK - 1));
    for number in 0..STACK {
        let includes = number.checked_sub(1).map_or(String::new(), |below| format!("\"c{below}\""));
        write!(
            text,
            "//- /compat/c{number}/Dockerfile\nCOPY start-{number} /opt/\nENV SHARED={number}\nRUN echo {number}\nCMD [\"{number}\"]\n\
             //- /compat/c{number}/start-{number}\n{number}\n//- /compat/c{number}/sciserver-image.json\n{{\"includes\": [{includes}]}}\n"
        )
        .expect("a string takes everything");
    }
    fixture::first(&text)
}

fn plans(criterion: &mut Criterion) {
    let all = Request { selection: Selection::All, ..Request::default() };
    let mut group = criterion.benchmark_group("plan");
    for layers in [100, 1000] {
        let same = fixture::inputs(&tree(layers, ""), &tree(layers, ""));
        let base = fixture::inputs(&tree(layers, "RUN echo changed"), &tree(layers, ""));
        for (name, inputs, request) in [
            ("nothing changed", &same, &Request::default()),
            ("the base changed", &base, &Request::default()),
            ("all", &same, &all),
        ] {
            planner::plan(inputs, request).expect("the tree is right");
            group.bench_with_input(BenchmarkId::new(name, layers), inputs, |bencher, inputs| {
                bencher.iter(|| black_box(planner::plan(inputs, request)));
            });
        }
    }
    group.finish();
}

fn parts(criterion: &mut Criterion) {
    let inputs = fixture::first(&tree(1000, ""));
    criterion.bench_function("graph of 1000 layers", |bencher| {
        bencher.iter(|| black_box(planner::graph(&inputs.now, &Request::default())));
    });
    criterion.bench_function("inputs digests of 1000 layers", |bencher| {
        bencher.iter(|| black_box(planner::identities(&inputs.now, &Request::default())));
    });
    let (stacked, all) = (stacked(), Request { selection: Selection::All, ..Request::default() });
    planner::plan(&stacked, &all).expect("the tree is right");
    criterion.bench_function("a stack of 20 fragments joined", |bencher| {
        bencher.iter(|| black_box(planner::plan(&stacked, &all)));
    });
}

criterion_group!(benches, plans, parts);
criterion_main!(benches);
