//! A source tree, and a registry in memory that shows what would be built from it.

use std::collections::BTreeSet;

use testbed::registry::Shelf;

use crate::support::{Run, Tree};

/// Both.
pub(crate) struct Scene {
    pub(crate) tree: Tree,
    pub(crate) shelf: Shelf,
}

impl Scene {
    /// The sample with nothing published.
    pub(crate) fn sample() -> Self {
        Self { tree: Tree::sample(), shelf: Shelf::start() }
    }

    /// The sample with all of it published.
    pub(crate) fn published() -> Self {
        let scene = Self::sample();
        assert!(scene.publish(&[]).is_empty());
        assert_eq!(scene.shelf.asked().len(), 4, "what is absent needs no second question");
        scene
    }

    /// Publishes what is planned but for what fails, and what needs that; those are returned.
    pub(crate) fn publish(&self, failing: &[&str]) -> BTreeSet<String> {
        let repo = self.repo();
        let plan = self.tree.run(&["plan", "--since-published", "--repo", &repo, "--format", "json"]).code(0);
        self.shelf.publish(&plan.stdout, failing)
    }

    /// `{repo}`.
    pub(crate) fn repo(&self) -> String {
        format!("{}/x", self.shelf.address())
    }

    /// The command with that repo, which is shown as `$REPO`, and the registry as `$HOST`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Run {
        let repo = self.repo();
        let mut run = self.tree.run(&[arguments, &["--repo", &repo]].concat());
        for text in [&mut run.stdout, &mut run.stderr] {
            *text = text.replace(&repo, "$REPO").replace(&self.shelf.address(), "$HOST");
        }
        run
    }
}
