//! A source tree, and a registry in memory that holds the images of its builds.

use std::collections::{BTreeMap, BTreeSet};

use testbed::registry::Shelf;

use crate::support::{Run, Tree};

/// The tree and the registry.
pub(crate) struct Scene {
    pub(crate) tree: Tree,
    pub(crate) shelf: Shelf,
}

impl Scene {
    /// The sample with nothing published.
    pub(crate) fn sample() -> Self {
        Self { tree: Tree::sample(), shelf: Shelf::start() }
    }

    /// The sample with all images published.
    pub(crate) fn published() -> Self {
        let scene = Self::sample();
        assert!(scene.publish(&[]).is_empty());
        assert_eq!(scene.shelf.asked().len(), 4, "what is absent needs no second question");
        scene
    }

    /// Publishes the plan except for failing builds and their dependents, which are returned.
    pub(crate) fn publish(&self, failing: &[&str]) -> BTreeSet<String> {
        let repo = self.repo();
        let plan = self.tree.run(&["plan", "--since-published", "--repo", &repo, "--format", "json"]).code(0);
        self.shelf.publish(&plan.stdout, failing)
    }

    /// Publishes an image under a moving tag and under the build tag that its labels name.
    pub(crate) fn show(&self, repository: &str, tag: &str, labels: &BTreeMap<String, String>) {
        self.shelf.put(repository, tag, labels);
        self.shelf.put(repository, &build_tag(repository, labels), labels);
    }

    /// `{repo}`.
    pub(crate) fn repo(&self) -> String {
        format!("{}/x", self.shelf.address())
    }

    /// Runs the command with that repo. The output has `$REPO` for the repo and `$HOST` for the
    /// registry.
    pub(crate) fn command(&self, arguments: &[&str]) -> Run {
        let repo = self.repo();
        let mut run = self.tree.run(&[arguments, &["--repo", &repo]].concat());
        for text in [&mut run.stdout, &mut run.stderr] {
            *text = text.replace(&repo, "$REPO").replace(&self.shelf.address(), "$HOST");
        }
        run
    }
}

/// Returns the build tag that labels name for an image of a repository.
pub(crate) fn build_tag(repository: &str, labels: &BTreeMap<String, String>) -> String {
    let (family, name) = repository.rsplit_once('/').expect("a family and a name");
    let key = match family.ends_with("rel") {
        true => "org.sciserver.compat.version".to_owned(),
        false => format!("org.sciserver.science.{name}.version"),
    };
    labels[&key].rsplit(':').next().expect("a build tag").to_owned()
}
