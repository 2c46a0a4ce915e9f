//! Build specs end to end: an image is built and pushed, inspected, and rebuilt, in its tree and
//! without one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use testbed::command::{Outcome, Program};
use testbed::process::unique;
use testbed::registry::View;
use testbed::tree::{BASE, Tree};

const BOUND: Duration = Duration::from_secs(120);

/// Returns two science layers and a compat layer that only copy files, so that equal files make
/// equal image layers.
fn tree() -> Tree {
    let nonce = unique();
    Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {BASE}\nCOPY data /data-base\n\
         //- /science/base/data\n{nonce}\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n\
         //- /science/sky/Dockerfile\nFROM sci/base:1.0\nARG NAME\nCOPY data bin/run.sh /opt/\nCOPY . /all/\nENV NAME=$NAME\n\
         //- /science/sky/data\n{nonce} sky\n//- /science/sky/bin/run.sh\n#!/bin/sh\n\
         //- /science/sky/sciserver-image.json\n\
         {{\"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"batch\", \"args\": {{\"NAME\": \"sky\"}}}}\n\
         //- /compat/batch/Dockerfile\nCOPY . /\nCMD [\"/bin/sh\"]\n//- /compat/batch/start.sh\nexec true\n\
         //- /compat/batch/sciserver-image.json\n{{}}\n"
    ))
}

/// Runs the command in a tree, which may be a different tree than the one that the image was built
/// from.
fn run(tree: &Tree, arguments: &[&str]) -> Outcome {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(arguments).run(BOUND)
}

struct Published {
    tree: Tree,
    registry: String,
    path: String,
}

impl Published {
    fn new() -> Self {
        let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run this by `cargo xtask test`");
        let published = Self { tree: tree(), registry, path: format!("rebuild-{}", unique()) };
        published.build().expect_code(0);
        published
    }

    fn repo(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    fn build(&self) -> Outcome {
        run(&self.tree, &["--all", "--push", "--repo", &self.repo(), "--wait=1m"])
    }

    fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.repo())
    }

    /// Returns the artifacts attached to an image.
    fn artifacts(&self, name: &str) -> Vec<String> {
        let (view, repository) = (View::new(&self.registry), format!("{}/{name}", self.path));
        let digest = view.digest(&repository, "1.0").expect("it was pushed");
        view.referrers(&repository, &digest)
    }
}

fn spec(outcome: &Outcome) -> serde_json::Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.said()))
}

#[test]
fn an_image_is_made_again_without_its_tree_and_comes_out_the_same() {
    let published = Published::new();
    let empty = Tree::new();
    for name in ["rel/sky:1.0", "sci/sky:1.0", "sci/base:1.0"] {
        let reference = published.reference(name);
        let told = run(&empty, &["inspect", "--spec", &reference, "--from", "registry", "--format", "json"]);
        let told = spec(&told.expect_code(0));
        let directory = format!("spec-{}", unique());
        let asked =
            run(&empty, &["rebuild", &reference, "--from-spec", &format!("{directory}-x")]).expect_code(2);
        assert!(asked.stderr.contains("use --yes"), "{}", asked.said());
        let made = run(&empty, &["rebuild", &reference, "--from-spec", &directory, "--yes"]).expect_code(0);
        assert!(
            made.stdout
                .contains(&format!("  inputs {}, as recorded", told["inputs"].as_str().expect("text")))
        );
        assert!(made.stdout.contains("inputs: the same\nlayers: the same, "), "{}", made.said());
        let dockerfile = fs::read_to_string(empty.root().join(&directory).join("science/base/Dockerfile"));
        assert!(dockerfile.expect("the chain travels").starts_with(&format!("FROM {BASE}")));
    }
    // Rebuilt without any cache, copied files make the same image layers.
    let reference = published.reference("sci/base:1.0");
    let fresh =
        run(&empty, &["rebuild", &reference, "--from-spec", "fresh", "--yes", "--no-cache"]).expect_code(0);
    assert!(fresh.stdout.contains("layers: the same, "), "{}", fresh.said());
}

#[test]
fn an_image_is_made_again_at_its_commit_though_the_tree_went_on() {
    let mut published = Published::new();
    let reference = published.reference("rel/sky:1.0");
    published.tree.change("science/sky/data", "another\n");
    published.tree.change("compat/batch/start.sh", "exec false\n");
    let shown = run(&published.tree, &["rebuild", &reference, "--dryrun"]).expect_code(0);
    assert!(shown.stdout.contains("is ") && shown.stdout.contains("@sha256:"), "{}", shown.said());
    let made = run(&published.tree, &["rebuild", &reference, "--yes"]).expect_code(0);
    assert!(made.stdout.contains("inputs: the same\nlayers: the same, "), "{}", made.said());
    let left: Vec<_> = fs::read_dir(published.tree.temporary()).expect("it is there").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_spec_is_attached_once_and_again_when_it_is_missing() {
    let published = Published::new();
    let first = published.artifacts("rel/sky");
    assert_eq!(first.len(), 1);
    let again = published.build().expect_code(0);
    assert!(again.said().contains("reused"), "{}", again.said());
    assert_eq!(published.artifacts("rel/sky"), first);
    // The list of artifacts is deleted, as if a run had been interrupted before it wrote the list.
    let (view, repository) = (View::new(&published.registry), format!("{}/rel/sky", published.path));
    let digest = view.digest(&repository, "1.0").expect("it was pushed");
    let list = view.digest(&repository, &digest.replace(':', "-")).expect("a list");
    view.delete(&repository, &list);
    assert_eq!(published.artifacts("rel/sky"), Vec::<String>::new());
    published.build().expect_code(0);
    assert_eq!(published.artifacts("rel/sky").len(), 1);
}

#[test]
fn what_is_too_large_for_a_label_travels_in_the_artifact_and_nothing_where_that_is_asked() {
    let published = Published::new();
    // 40 kB that do not compress.
    let noise: Vec<u8> =
        (0..40_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (n % 251) as u8).collect();
    let reference = published.reference("sci/base:1.0");
    let mut published = published;
    published.tree.change("science/base/data", noise);
    published.build().expect_code(0);
    let whole = spec(&run(
        &published.tree,
        &["inspect", "--spec", &reference, "--from", "registry", "--format", "json"],
    ));
    assert!(whole["files"]["science/base/data"]["base64"].is_string(), "{}", whole["files"]);
    assert_eq!(whole["resolved"][BASE].as_str().map(|exact| exact.contains("@sha256:")), Some(true));
    published.tree.change("science/base/data", "3\n");
    let silent = ["--all", "--push", "--repo", &published.repo(), "--wait=1m", "--spec", "none"];
    run(&published.tree, &silent).expect_code(0);
    let none = run(&published.tree, &["inspect", "--spec", &reference, "--from", "registry"]).expect_code(7);
    assert!(none.stderr.contains("no build spec travelled with"), "{}", none.said());
    assert!(Path::new(&published.tree.root()).is_dir());
}

#[test]
fn what_became_of_a_rebuild_is_written_for_a_merge_request_and_for_ci() {
    let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run this by `cargo xtask test`");
    let tree = Tree::of(&format!(
        "//- /science/now/Dockerfile\nFROM {BASE}\nRUN cat /proc/sys/kernel/random/uuid > /now\n\
         //- /science/now/sciserver-image.json\n{{\"image\": \"now\", \"version\": \"1.0\"}}\n"
    ));
    let repo = format!("{registry}/rebuilt-{}", unique());
    run(&tree, &["--all", "--push", "--repo", &repo, "--wait=1m"]).expect_code(0);
    let reference = format!("{repo}/sci/now:1.0");
    let files = ["--summary", "summary.md", "--junit", "junit.xml"];
    let read = |name: &str| fs::read_to_string(tree.root().join(name)).expect("it was written");
    let again = |flags: &[&str]| run(&tree, &[&["rebuild", &reference, "--yes"], &files[..], flags].concat());
    again(&[]).expect_code(0);
    assert!(read("summary.md").starts_with("## ✅ image-builder: "), "{}", read("summary.md"));
    assert!(read("junit.xml").contains("failures=\"0\""), "{}", read("junit.xml"));
    // A rebuilt image that differs is a failure in both files.
    again(&["--no-cache"]).expect_code(7);
    let (summary, junit) = (read("summary.md"), read("junit.xml"));
    let why = format!("it did not come out as {reference}: of the layers, the upper 1 of 2 are others");
    assert!(summary.starts_with("## ❌ image-builder: ") && summary.contains(&why), "{summary}");
    assert!(junit.contains("failures=\"1\"") && junit.contains(&why), "{junit}");
}
