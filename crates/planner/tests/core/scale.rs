//! Unrealistically large trees: checks that they can be planned at all.

use std::collections::BTreeMap;

use planner::tree::{Mode, Tree};
use planner::{Request, fixture};

use crate::plan;

/// A tree of layers with these bases; each layer is a separate product.
fn tree(layers: usize, base: impl Fn(usize) -> String, changed: &str) -> Tree {
    let mut files = BTreeMap::new();
    let mut add = |path: String, text: String| files.insert(path, (Mode::File, text));
    for layer in 0..layers {
        let changed = if layer == 0 { changed } else { "" };
        add(format!("science/l{layer}/Dockerfile"), format!("FROM {}\n{changed}", base(layer)));
        add(
            format!("science/l{layer}/sciserver-image.json"),
            format!("{{ \"image\": \"i{layer}\", \"compat\": \"c\" }}"),
        );
    }
    add("compat/c/Dockerfile".to_owned(), String::new());
    add("compat/c/sciserver-image.json".to_owned(), "{}".to_owned());
    fixture::of_files(&files)
}

#[test]
fn a_chain_of_ten_thousand() {
    let base = |layer: usize| match layer {
        0 => "docker.io/library/debian:12".to_owned(),
        layer => format!("sci/l{}:1.0", layer - 1),
    };
    let inputs = fixture::compare(tree(10_000, base, "RUN x\n"), tree(10_000, base, ""));
    let planned = plan(&inputs, &Request::default());
    assert_eq!(planned.plan.builds.len(), 20_000);
    assert_eq!(planned.plan.builds.last().map(|build| build.id.0.as_str()), Some("rel/i9999:1.0"));
}

#[test]
fn a_ring_of_ten_thousand_is_named_whole() {
    let base = |layer: usize| format!("sci/l{}:1.0", (layer + 9_999) % 10_000);
    let inputs = fixture::first("");
    let inputs = planner::tree::Inputs { now: tree(10_000, base, ""), ..inputs };
    let problems = planner::plan(&inputs, &Request::default()).expect_err("a cycle");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message.matches(" → ").count(), 10_000);
}

#[test]
fn a_hundred_thousand_side_by_side() {
    let base = |_: usize| "docker.io/library/debian:12".to_owned();
    // Both sides share all layers except the first, as trees read by `git` do.
    let now = tree(100_000, base, "RUN x\n");
    let mut before = now.clone();
    let first = now.layers.iter().position(|layer| layer.path == "science/l0").expect("it is there");
    before.layers[first] = tree(1, base, "").layers.pop().expect("the compat layer comes first");
    let inputs = fixture::compare(now, before);
    let planned = plan(&inputs, &Request::default());
    assert_eq!(planned.plan.builds.len(), 2);
}
