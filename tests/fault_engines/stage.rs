//! A private engine behind a proxy, and small trees to build on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testbed::command::Program;
use testbed::engine::{Options, PrivateEngine};
use testbed::http;
use testbed::process::{unique, wait_until};
use testbed::proxy::{Hits, Listen, Mode, Proxy, Rule, RuleId, Seen};
use testbed::tree::{BASE, Tree};

use crate::scene::BOUND;

pub(crate) struct Stage {
    pub(crate) proxy: Proxy,
    pub(crate) engine: PrivateEngine,
    _directory: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let engine = PrivateEngine::start(options);
        let directory = TempDir::new().expect("a temporary directory");
        let proxy = Proxy::start(Listen::Unix(directory.path().join("between.sock")), engine.upstream());
        Self { proxy, engine, _directory: directory }
    }

    /// Address of the engine for the command.
    pub(crate) fn host(&self) -> &str {
        self.proxy.address()
    }

    /// Kills the engine as soon as it receives such a request.
    pub(crate) fn dies_at(&self, method: &str, path: &str, hits: Hits) -> RuleId {
        let killer = self.engine.killer();
        self.proxy.rule(Rule::new(method, path, hits, Mode::hook(move |_| killer())))
    }

    /// Waits until the engine has ended.
    pub(crate) fn wait_for_death(&mut self) {
        let engine = &mut self.engine;
        assert!(wait_until(BOUND, || !engine.lives()), "the engine lives:\n{}", self.proxy.show());
    }

    /// Counts such requests.
    pub(crate) fn count(&self, wanted: impl Fn(&Seen) -> bool) -> usize {
        self.proxy.trace().iter().filter(|seen| wanted(seen)).count()
    }

    /// Counts the builds that started.
    pub(crate) fn builds(&self) -> usize {
        self.count(|seen| seen.method == "POST" && seen.path.ends_with("/build"))
    }
}

/// Returns independent layers without products, each with these instructions after its `FROM`.
pub(crate) fn layers(count: usize, instructions: &str) -> Tree {
    let mut files = String::new();
    for number in 1..=count {
        write!(
            files,
            "//- /science/a{number}/Dockerfile\nFROM {BASE}\n{instructions}\n\
             //- /science/a{number}/sciserver-image.json\n\
             {{\"image\": \"a{number}\", \"version\": \"1.0\", \"compat\": null}}\n"
        )
        .expect("a string takes text");
    }
    Tree::of(&files)
}

/// Returns the command that builds all layers of a tree on a host, for a repo on a closed port.
pub(crate) fn program(tree: &Tree, host: &str) -> Program {
    let repo = format!("127.0.0.1:1/{}", unique());
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(["--all", "--repo", &repo]).host(host)
}

/// Sends a request to an engine, which must succeed.
#[track_caller]
pub(crate) fn post(engine: &PrivateEngine, target: &str) -> String {
    let answer = http::ask(&engine.upstream(), "POST", target, &[], b"").expect("the engine answers");
    assert!((200..300).contains(&answer.status), "{target}: {} {}", answer.status, answer.text());
    answer.text()
}

/// Returns the labels of an image on an engine.
#[track_caller]
pub(crate) fn labels_on(engine: &PrivateEngine, image: &str) -> BTreeMap<String, String> {
    let target = format!("/images/{image}/json");
    let answer = http::ask(&engine.upstream(), "GET", &target, &[], b"").expect("the engine answers");
    assert_eq!(answer.status, 200, "{image}: {}", answer.text());
    let labels = answer.json()["Config"]["Labels"].clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    labels.as_object().into_iter().flatten().map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Whether a process runs whose command line contains this text.
pub(crate) fn runs(mark: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("it is mounted").flatten();
    let mut commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.any(|command| String::from_utf8_lossy(&command).contains(mark))
}

/// Asserts that no process of a build still runs.
#[track_caller]
pub(crate) fn expect_gone(mark: &str) {
    assert!(wait_until(Duration::from_secs(15), || !runs(mark)), "{mark} still runs");
}

/// The values of `--builder` for both builders.
pub(crate) const BUILDERS: [&str; 2] = ["buildkit", "classic"];
