//! Row 16: cycles of dependencies.

use std::time::{Duration, Instant};

use crate::fixture::{compat, layer, refused, tree};
use crate::support::Tree;

fn of(image: &str) -> String {
    format!("{{\"image\": \"{image}\", \"compat\": null}}")
}

/// Asserts that the error names the whole cycle and comes within a second. The best of three runs
/// counts, because the machine may be busy for a moment.
#[track_caller]
fn whole(tree: &Tree, cycle: &str) {
    let best = (0..3)
        .map(|_| {
            let start = Instant::now();
            refused(tree, &["plan"], 2, &[cycle]);
            start.elapsed()
        })
        .min();
    assert!(best < Some(Duration::from_secs(1)), "{best:?}");
    refused(tree, &["build", "--push"], 2, &[cycle]);
    refused(tree, &["graph"], 2, &[cycle]);
}

#[test]
fn row_16_a_layer_that_needs_itself() {
    whole(&tree(&layer("a", "FROM sci/a:1.0", &of("a"))), ": science/a → science/a");
    let copies = layer("a", "FROM scratch\nCOPY --from=sci/a:1.0 / /", &of("a"));
    whole(&tree(&copies), ": science/a → science/a");
    let mounts = layer("a", "FROM scratch\nRUN --mount=from=sci/a:1.0,target=/x true", &of("a"));
    whole(&tree(&mounts), ": science/a → science/a");
}

#[test]
fn row_16_a_cycle_across_images() {
    let files = layer("a", "FROM sci/c:1.0", &of("a"))
        + &layer("b", "FROM scratch\nCOPY --from=sci/a:1.0 / /", &of("b"))
        + &layer("c", "FROM scratch AS x\nRUN x\nFROM sci/b:1.0", &of("c"))
        + &layer("above", "FROM sci/c:1.0", &of("above"));
    whole(&tree(&files), ": science/a → science/c → science/b → science/a");
}

#[test]
fn row_16_a_cycle_through_ones_own_product() {
    let files = "//- /image-builder.toml\n[check]\nfrom-rel = \"warn\"\n".to_owned()
        + &layer("a", "FROM rel/b:1.0", &of("a"))
        + &layer("b", "FROM sci/a:1.0", "{\"image\": \"b\", \"compat\": \"empty\"}")
        + &compat("empty", "", "{}");
    whole(&tree(&files), ": science/a → rel/b:1.0 → science/b → science/a");
}

#[test]
fn row_16_a_cycle_of_includes() {
    let files = layer("s", "FROM scratch", &of("s"))
        + &compat("a", "", "{\"includes\": [\"b\"]}")
        + &compat("b", "", "{\"includes\": [\"c\"]}")
        + &compat("c", "", "{\"includes\": [\"a\"]}")
        + &compat("self", "", "{\"includes\": [\"self\"]}");
    let tree = tree(&files);
    whole(&tree, ": compat/a → compat/b → compat/c → compat/a");
    refused(&tree, &["plan"], 2, &[": compat/self → compat/self"]);
}

#[test]
fn row_16_a_ring_of_five_hundred_is_named_whole() {
    let name = |index: usize| format!("l{:03}", index % 500);
    let files: String = (0..500)
        .map(|index| layer(&name(index), &format!("FROM sci/{}:1.0", name(index + 1)), &of(&name(index))))
        .collect();
    let ring: Vec<String> = (0..=500).map(|index| format!("science/{}", name(index))).collect();
    whole(&tree(&files), &format!(": {}", ring.join(" → ")));
}
