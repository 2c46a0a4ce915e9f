//! Row 44: a product of the comparison's base that is missing now, or would be published again
//! without its earlier contents.

use crate::fixture::{compat, layer, refused, run};
use crate::support::Tree;

fn of(image: &str, version: &str, compat: &str) -> String {
    format!("{{\"image\": \"{image}\", \"version\": \"{version}\", \"compat\": {compat}}}")
}

/// Creates a tree with the product `sky:1.0` of two layers, one based on the other, and a compat
/// layer.
fn product() -> Tree {
    let mut tree = Tree::new();
    tree.write_all(
        &(layer("sky", "FROM docker.io/library/debian:12", &of("sky", "1.0", "\"common\""))
            + &layer("more", "FROM sci/sky:1.0", &of("sky", "1.0", "\"common\""))
            + &compat("common", "USER x", "{}")),
    );
    tree.commit();
    tree
}

/// Asserts that every way to plan the tree fails, until a flag or the tree gives the product up.
#[track_caller]
fn lost(change: impl Fn(&Tree), code: &str, place: &str) {
    let mut tree = product();
    change(&tree);
    let words = ["sky:1.0", &format!("[{code}]"), place, "--allow-orphan sky:1.0", "retired"];
    // Both before and after the commit.
    refused(&tree, &["plan", "--untracked", "--ref", "HEAD"], 2, &words);
    tree.commit();
    for arguments in [
        &["plan"][..],
        &["plan", "--all"],
        &["--dryrun", "--ref", "HEAD^..HEAD"],
        &["plan", "--ref", "HEAD^...HEAD"],
        &["build", "--push"],
        &["plan", "--allow-orphan", "sky:1.1", "other:1.0"],
    ] {
        refused(&tree, arguments, 2, &words);
    }
    run(&tree, &["plan", "--allow-orphan", "sky:1.0"]).code(0);
    run(&tree, &["plan", "--allow-orphan", "other:1.0", "sky:1.0"]).code(0);
    tree.write("image-builder.toml", "retired = [\"sky:1.1\"]\n");
    refused(&tree, &["plan", "--untracked"], 2, &words);
    tree.write("image-builder.toml", "retired = [\"sky:1.0\"]\n");
    run(&tree, &["plan", "--untracked"]).code(0);
    tree.commit();
    run(&tree, &["plan", "--ref", "HEAD~2"]).code(0);
}

#[test]
fn row_44_a_product_whose_layers_are_gone() {
    lost(
        |tree| {
            tree.remove("science/more");
            tree.remove("science/sky");
        },
        "orphan",
        "science/more",
    );
}

#[test]
fn row_44_a_product_whose_version_was_changed_in_place() {
    let change = |tree: &Tree| {
        tree.write_all(&layer("sky", "FROM docker.io/library/debian:12", &of("sky", "1.1", "\"common\"")));
        tree.write_all(&layer("more", "FROM sci/sky:1.1", &of("sky", "1.1", "\"common\"")));
    };
    lost(change, "orphan", "science/more/sciserver-image.json:1");
}

#[test]
fn row_44_a_product_whose_image_was_renamed() {
    let change = |tree: &Tree| {
        tree.write_all(&layer("sky", "FROM docker.io/library/debian:12", &of("night", "1.0", "\"common\"")));
        tree.write_all(&layer("more", "FROM sci/sky:1.0", &of("night", "1.0", "\"common\"")));
    };
    lost(change, "orphan", "science/more/sciserver-image.json:1");
}

#[test]
fn row_44_a_product_that_lost_its_compat() {
    for without in ["null", "\"common\", \"x-was\": \"a field\""] {
        if without == "null" {
            let change =
                |tree: &Tree| tree.write_all(&layer("more", "FROM sci/sky:1.0", &of("sky", "1.0", "null")));
            lost(change, "orphan", "science/more/sciserver-image.json:1");
        } else {
            // Counter-test: a change that keeps the product is no loss.
            let mut tree = product();
            tree.write_all(&layer("more", "FROM sci/sky:1.0", &of("sky", "1.0", without)));
            tree.commit();
            run(&tree, &["plan"]).code(0);
        }
    }
    let removed = |tree: &Tree| {
        tree.write("science/more/sciserver-image.json", "{\"image\": \"sky\", \"version\": \"1.0\"}");
    };
    lost(removed, "orphan", "science/more/sciserver-image.json");
}

#[test]
fn row_44_a_top_layer_that_is_gone_takes_what_it_had_along() {
    lost(|tree| tree.remove("science/more"), "silent-downgrade", "science/sky/Dockerfile:1");
}

#[test]
fn row_44_a_top_layer_that_stands_elsewhere_now() {
    // Another layer defines the product, on the same base layer but without the old layer's
    // contents.
    let change = |tree: &Tree| {
        tree.remove("science/more");
        tree.write_all(&layer("other", "FROM sci/sky:1.0", &of("sky", "1.0", "\"common\"")));
    };
    lost(change, "silent-downgrade", "science/other/Dockerfile:1");
    // The old layer now defines another product, and the old product is defined without that layer.
    let beside = |tree: &Tree| {
        tree.write_all(&layer("more", "FROM sci/sky:1.0", &of("night", "1.0", "\"common\"")));
    };
    lost(beside, "silent-downgrade", "science/sky/Dockerfile:1");
}

#[test]
fn row_44_what_loses_nothing_is_planned() {
    for (what, change) in [
        ("one more on top", {
            fn change(tree: &Tree) {
                tree.write_all(&layer("third", "FROM sci/more:1.0", &of("sky", "1.0", "\"common\"")));
            }
            change as fn(&Tree)
        }),
        ("another directory", |tree| {
            tree.remove("science/more");
            let own =
                "{\"image\": \"sky\", \"version\": \"1.0\", \"target\": \"more\", \"compat\": \"common\"}";
            tree.write_all(&layer("renamed", "FROM sci/sky:1.0", own));
        }),
        ("a build of it that is pinned", |tree| {
            tree.remove("science/more");
            tree.write_all(&layer("sky", "FROM docker.io/library/debian:12", &of("sky", "0.9", "null")));
            tree.write_all(&layer("third", "FROM sci/more:1.0-1-0a1b2c3", &of("sky", "1.0", "\"common\"")));
        }),
        ("another compat", |tree| {
            tree.write_all(&compat("other", "USER y", "{}"));
            tree.write_all(&layer("more", "FROM sci/sky:1.0", &of("sky", "1.0", "\"other\"")));
        }),
    ] {
        let mut tree = product();
        change(&tree);
        tree.commit();
        let run = run(&tree, &["plan"]);
        assert_eq!(run.code, Some(0), "{what}: {}", run.stderr);
    }
}
