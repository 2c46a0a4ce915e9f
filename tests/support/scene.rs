//! A tree, a private repo in the shared registry, and the invariants that must always hold there.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use testbed::command::{Outcome, Program};
use testbed::process;
use testbed::registry::View;
use testbed::tree::Tree;

/// Time-out, longer than any of these runs takes on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

pub(crate) struct Scene {
    pub(crate) tree: Tree,
    pub(crate) view: View,
    /// Path of the repo below the registry.
    pub(crate) path: String,
    /// The registry for `--repo`: the registry itself, or a proxy in front of it.
    pub(crate) registry: String,
    /// Address of the engine, if it is not the shared one.
    pub(crate) host: Option<String>,
    /// Digests of all build tags that were seen so far.
    seen: BTreeMap<String, String>,
    products: usize,
}

pub(crate) fn shared_registry() -> String {
    std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test")
}

impl Scene {
    pub(crate) fn new(name: &str, products: usize) -> Self {
        let registry = shared_registry();
        Self {
            tree: Tree::standard(products),
            view: View::new(&registry),
            path: format!("{name}-{}", process::unique()),
            registry,
            host: None,
            seen: BTreeMap::new(),
            products,
        }
    }

    /// Returns the command that builds and pushes everything.
    pub(crate) fn program(&self) -> Program {
        let repo = format!("{}/{}", self.registry, self.path);
        let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree)
            .args(["--all", "--push", "--repo", &repo]);
        match &self.host {
            Some(host) => program.host(host),
            None => program,
        }
    }

    /// Creates a commit that changes every image.
    pub(crate) fn commit(&mut self) {
        self.tree.change("science/base/data", process::unique());
    }

    /// Checks the invariants: no build tag ever changes; a moving tag shows the image of a build
    /// tag; the recorded base image of an image exists.
    pub(crate) fn check(&mut self) {
        let shown = self.view.all_tags(&format!("{}/", self.path));
        for (name, digest) in &self.seen {
            assert_eq!(shown.get(name), Some(digest), "the build tag {name} changed");
        }
        for (name, digest) in &shown {
            let (repository, tag) = name.rsplit_once(':').expect("a tag");
            if tag.contains('-') {
                self.seen.insert(name.clone(), digest.clone());
                continue;
            }
            let builds = format!("{repository}:{tag}-");
            let of_build = shown.iter().any(|(other, shown)| other.starts_with(&builds) && shown == digest);
            assert!(of_build, "{name} shows {digest}, which no build tag does:\n{shown:#?}");
            let labels = self.view.labels(repository, tag).expect("it was there");
            let from = labels.iter().filter(|(key, _)| key.ends_with(".from"));
            for (target, parent) in from.flat_map(|(_, from)| layers(from)) {
                let wanted = format!("{}/sci/{target}:{parent}", self.path);
                assert!(shown.contains_key(&wanted), "{name} stands on {wanted}, which is not there");
            }
        }
        self.check_results();
    }

    /// Asserts that each `result.json` is complete or missing.
    fn check_results(&self) {
        let runs = fs::read_dir(self.tree.root().join(".image-builder/runs"));
        for run in runs.into_iter().flatten().flatten() {
            if let Ok(text) = fs::read_to_string(run.path().join("result.json")) {
                let result: Value = serde_json::from_str(&text).expect("a result is whole JSON");
                assert!(result["success"].is_boolean(), "{result}");
            }
        }
    }

    /// Asserts that an undisturbed run succeeds, whatever the earlier state, and leaves nothing
    /// behind.
    pub(crate) fn converge(&mut self) -> Outcome {
        let outcome = self.program().run(BOUND).expect_code(0);
        self.check();
        let shown = self.view.all_tags(&format!("{}/", self.path));
        let short = &self.tree.head()[..7];
        let names = (1..=self.products)
            .flat_map(|number| [format!("sci/leaf-{number}"), format!("rel/leaf-{number}")]);
        for name in names.chain(["sci/base".to_owned()]) {
            let repository = format!("{}/{name}", self.path);
            let ours = |tag: &String| tag.starts_with("1.0-") && tag.ends_with(short);
            let tags = self.view.tags(&repository);
            let build =
                tags.iter().find(|tag| ours(tag)).unwrap_or_else(|| panic!("{name} has only {tags:?}"));
            let of = |tag: &str| shown.get(&format!("{repository}:{tag}"));
            assert_eq!(of("1.0"), of(build), "{name} shows another build than that of this commit");
        }
        self.nothing_is_left();
        outcome
    }

    pub(crate) fn nothing_is_left(&self) {
        let files = fs::read_dir(self.tree.temporary()).expect("the directory is ours");
        let left: Vec<_> = files.flatten().map(|file| file.path()).collect();
        assert!(left.is_empty(), "temporary files are left: {left:?}");
        assert!(!self.tree.root().join(".image-builder/lock").exists(), "the lock is left");
    }
}

/// Returns `(target, build tag)` of the layers in a `.from` label.
fn layers(from: &str) -> Vec<(String, String)> {
    let from: Value = serde_json::from_str(from).expect("a from label is JSON");
    let layers = from["layers"].as_object().into_iter().flatten();
    let named = layers.filter_map(|(layer, tag)| {
        let (target, _) = layer.split_once(':')?;
        Some((target.to_owned(), tag.as_str()?.to_owned()))
    });
    named.collect()
}
