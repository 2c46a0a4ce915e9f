//! The command behind two proxies without faults behaves as without proxies; and all requests of a
//! push are in the right order.

use std::time::Duration;

use testbed::command::Program;
use testbed::engine;
use testbed::orphans::Leftovers;
use testbed::process::unique;
use testbed::proxy::{From, Hits, Kind, Listen, Mode, Proxy, Rule, Upstream};
use testbed::registry::View;
use testbed::tree::Tree;

const BOUND: Duration = Duration::from_secs(120);

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run this by `cargo xtask test`"))
}

#[test]
fn a_push_between_two_proxies_is_as_without_them() {
    let shared = variable("IMAGE_BUILDER_TEST_REGISTRY");
    let registry = Proxy::tcp(&shared);
    for builder in ["auto", "classic"] {
        let tree = Tree::standard(2);
        let socket = tree.home().join("proxy.sock");
        let engine =
            Proxy::start(Listen::Unix(socket), Upstream::parse(&variable("IMAGE_BUILDER_TEST_HOST")));
        let path = format!("proxied-{}", unique());
        let repo = format!("{}/{path}", registry.address());
        registry.forget();
        let leftovers = Leftovers::new().dir(&tree.temporary());
        let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree).host(engine.address());
        let outcome = program
            .args(["--all", "--push", "--builder", builder, "--repo", &repo])
            .run(BOUND)
            .expect_code(0);

        let said = outcome.said();
        assert!(said.contains("3 science builds and 2 compat builds"), "{said}");
        let held = View::new(&shared).all_tags(&path);
        assert_eq!(held.len(), 10, "a build tag and a moving tag for each build: {held:?}");
        let trace = registry.trace();
        let written: Vec<_> =
            trace.iter().filter_map(|seen| Some((seen.from, seen.written_tag()?))).collect();
        assert_eq!(written.len(), 10, "{}", registry.show());
        // Invariant 8, as far as it concerns a single image: its moving tag follows its build tag.
        for (name, digest) in held.iter().filter(|(name, _)| name.ends_with(":1.0")) {
            let at = |wanted: &dyn Fn(&str) -> bool| {
                written.iter().position(|(_, (repository, tag))| {
                    format!("{repository}:{tag}").starts_with(name.as_str()) && wanted(tag)
                })
            };
            let (build, moving) = (at(&|tag| tag != "1.0"), at(&|tag| tag == "1.0"));
            assert!(build.is_some() && build < moving, "{name} {digest}\n{}", registry.show());
        }
        // The engine pushes build tags only; the command sets the moving tags.
        for (from, (_, tag)) in written {
            assert_eq!(
                from,
                if tag == "1.0" { From::Us } else { From::Engine },
                "{tag}\n{}",
                registry.show()
            );
        }
        assert!(engine.trace().iter().any(|seen| seen.path.ends_with("/build")), "{}", engine.show());
        leftovers.expect_none(BOUND);
    }
}

#[test]
fn a_build_that_is_cut_on_the_socket_is_never_a_success() {
    let tree = Tree::standard(1);
    let host = variable("IMAGE_BUILDER_TEST_HOST");
    let engine = Proxy::start(Listen::Unix(tree.home().join("proxy.sock")), Upstream::parse(&host));
    let rule = engine.rule(Rule::new("POST", "*/build", Hits::Nth(1), Mode::Truncate(40)));
    let shared = variable("IMAGE_BUILDER_TEST_REGISTRY");
    let path = format!("cut-{}", unique());
    let repo = format!("{shared}/{path}");
    let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree).host(engine.address());
    let outcome = program.args(["--all", "--push", "--repo", &repo]).run(BOUND);
    assert_eq!(engine.taken(rule), 1, "{}", engine.show());
    assert!(matches!(outcome.code, Some(3 | 5)), "{:?} {}", outcome.code, outcome.said());
    assert!(View::new(&shared).all_tags(&path).is_empty());
    assert!(engine::images(&host).iter().all(|name| !name.contains(&path)));
}

#[test]
fn a_tag_that_the_registry_says_it_took_and_has_not_is_no_success() {
    let shared = variable("IMAGE_BUILDER_TEST_REGISTRY");
    let proxy = Proxy::tcp(&shared);
    let confirmed = testbed::proxy::Reply::new(201);
    let rule =
        proxy.rule(Rule::on(Kind::ManifestPut, Hits::Every, Mode::Status(confirmed)).from(From::Engine));
    let tree = Tree::standard(1);
    let path = format!("lied-{}", unique());
    let repo = format!("{}/{path}", proxy.address());
    let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree);
    let outcome = program.args(["--all", "--push", "--push-timeout=3s", "--repo", &repo]).run(BOUND);
    assert!(proxy.taken(rule) >= 1, "{}", proxy.show());
    assert_eq!(outcome.code, Some(4), "{}\n{}", outcome.said(), proxy.show());
    assert!(View::new(&shared).all_tags(&path).is_empty(), "{}", proxy.show());
}
