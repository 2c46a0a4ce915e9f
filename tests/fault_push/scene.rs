//! A tree, a private repo behind a proxy, and the expected final state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;
use testbed::command::Program;
use testbed::proxy::{Proxy, Seen, Upstream};
use testbed::registry::View;
use testbed::tree::Tree;
use testbed::{engine, http, process};

/// Time-out, longer than any of these runs takes on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(180);

/// The images of [`Tree::standard`] with one product.
pub(crate) const NAMES: [&str; 3] = ["sci/base", "sci/leaf-1", "rel/leaf-1"];

pub(crate) struct Scene {
    pub(crate) tree: Tree,
    pub(crate) proxy: Proxy,
    pub(crate) view: View,
    /// Path of the repo below the registry.
    pub(crate) path: String,
}

pub(crate) fn shared_registry() -> String {
    std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test")
}

impl Scene {
    pub(crate) fn new(name: &str) -> Self {
        let registry = shared_registry();
        Self::at(&registry, View::new(&registry), &format!("{name}-{}", process::unique()))
    }

    /// Uses this registry and path. Two scenes with one path act as two machines.
    pub(crate) fn at(registry: &str, view: View, path: &str) -> Self {
        Self { tree: Tree::standard(1), proxy: Proxy::tcp(registry), view, path: path.to_owned() }
    }

    fn repo(&self) -> String {
        format!("{}/{}", self.proxy.address(), self.path)
    }

    /// Returns the command that builds and pushes everything.
    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree)
            .args(["--all", "--push", "--repo", &self.repo()])
            .args(arguments)
    }

    /// Returns the build tag of the tree's commit, the `number`-th.
    pub(crate) fn build_tag(&self, number: u32) -> String {
        format!("1.0-{number}-{}", &self.tree.head()[..7])
    }

    /// Returns the digest of a tag for each repository below the path.
    pub(crate) fn shown(&self, tag: &str) -> BTreeMap<&'static str, Option<String>> {
        NAMES.map(|name| (name, self.view.digest(&format!("{}/{name}", self.path), tag))).into()
    }

    /// Asserts that exactly the planned tags exist, and that each moving tag shows the image of its
    /// build tag.
    pub(crate) fn expect_all(&self, number: u32) {
        let build_tag = self.build_tag(number);
        let builds = self.shown(&build_tag);
        assert!(builds.values().all(Option::is_some), "{builds:?}\n{}", self.proxy.show());
        assert_eq!(self.shown("1.0"), builds, "{}", self.proxy.show());
        let planned: Vec<_> = NAMES
            .iter()
            .map(|name| format!("{}/{name}", self.path))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        for name in planned {
            assert_eq!(self.view.tags(&name), ["1.0", &build_tag], "{name}");
        }
    }

    /// Asserts for every prefix of the requests that the registry accepted: a build tag keeps its
    /// digest, and a moving tag follows the build tags of the same image and of its ancestors.
    pub(crate) fn expect_order(&self) {
        let trace = self.proxy.trace();
        let mut builds: BTreeMap<(String, String), String> = BTreeMap::new();
        for seen in &trace {
            let Some((repository, tag)) = seen.written_tag() else { continue };
            let digest = seen.answered("docker-content-digest").unwrap_or_default().to_owned();
            let Some(name) = repository.strip_prefix(&format!("{}/", self.path)) else { continue };
            if tag.contains('-') {
                let before = builds.insert((name.to_owned(), tag.to_owned()), digest.clone());
                assert!(before.is_none_or(|before| before == digest), "{seen}\n{}", self.proxy.show());
                continue;
            }
            let at = NAMES.iter().position(|known| *known == name).expect("one of ours");
            for needed in &NAMES[..=at] {
                let there = builds.iter().any(|((name, _), _)| name == needed);
                assert!(there, "{needed} is not there before {seen}\n{}", self.proxy.show());
            }
            let verified = builds.iter().any(|((of, _), shown)| of == name && *shown == digest);
            assert!(verified, "no build tag of {name} shows {digest}: {seen}\n{}", self.proxy.show());
        }
    }

    /// Returns the matching requests of the trace.
    pub(crate) fn seen(&self, wanted: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        self.proxy.trace().into_iter().filter(wanted).collect()
    }
}

/// Serialises the cleanup: the engine answers with a conflict when two clients remove the same
/// image.
static CLEANING: Mutex<()> = Mutex::new(());

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let _one = CLEANING.lock();
        let host = std::env::var("IMAGE_BUILDER_TEST_HOST").expect("run by cargo xtask test");
        for name in engine::images(&host).iter().filter(|name| name.starts_with(&self.repo())) {
            // The image may have been removed with another name of the same image.
            let _ =
                http::ask(&Upstream::parse(&host), "DELETE", &format!("/images/{name}?force=true"), &[], b"");
        }
    }
}
