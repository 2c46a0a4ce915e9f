//! Faults on cue, for tests only: what stands between the parts, breaks them, and tells in which order things happened.
//!
//! - [`proxy`]: between us and a registry, an engine and a registry, or us and an engine; faults by rule, a trace of all requests.
//! - [`registry`]: a private `docker-registry` (open, password, tokens that end soon; [`registry::Secure`] adds TLS), stopped and restarted; [`registry::Shelf`], one in
//!   memory that only shows; [`registry::View`] says what any registry holds.
//! - [`engine`]: a private `dockerd`, killed and restarted with its data, on a small disk (root). [`orphans`]: what a run left.
//! - [`tree`]: source trees with a history. [`command`]: a program in an environment of its own, bounded, killed on cue.
//! - [`mounts`]: a full disk, a read-only one (root). [`time_scale`]: quick or long, seeds, figures. [`process`]: bounded waiting.
//!
//! Whatever is wrong with the set-up itself panics and says so. All that is started ends when it is dropped.
//!
//! ```no_run
//! use std::time::Duration;
//! use testbed::{command::Program, proxy::{From, Hits, Kind, Mode, Proxy, Reply, Rule}, registry::View, tree::Tree};
//!
//! let shared = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
//! let proxy = Proxy::tcp(&shared); // for the engine and for us: both go to whom `--repo` names
//! let unavailable = Reply::new(503).header("Retry-After", "1");
//! let rule = proxy.rule(Rule::on(Kind::ManifestPut, Hits::Nth(1), Mode::Status(unavailable)).from(From::Engine));
//! let (tree, path) = (Tree::standard(1), format!("retried-{}", testbed::process::unique()));
//! let repo = format!("{}/{path}", proxy.address());
//! // In a test of the command: env!("CARGO_BIN_EXE_image-builder").
//! let program = Program::new("image-builder", &tree).args(["--all", "--push", "--repo", &repo]);
//! let outcome = program.run(Duration::from_secs(120)).expect_code(0);
//! assert_eq!(proxy.taken(rule), 1, "{}\n{}", proxy.show(), outcome.said());
//! let order: Vec<_> = proxy.trace().iter().filter_map(|seen| Some(seen.written_tag()?.1.to_owned())).collect();
//! assert_eq!(order.last().map(String::as_str), Some("1.0"), "a moving tag comes last");
//! assert!(View::new(&shared).digest(&format!("{path}/rel/leaf-1"), "1.0").is_some());
//! ```

pub mod command;
pub mod engine;
pub mod http;
pub mod mounts;
pub mod orphans;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod time_scale;
pub mod tree;
