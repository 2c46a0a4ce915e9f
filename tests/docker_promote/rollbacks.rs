//! Rollbacks to an earlier build, also when a build happens at the same time.

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::command::Outcome;
use testbed::proxy::{From, Hits, Mode, Proxy, Rule};
use testbed::registry::{Auth, PrivateRegistry, View};

use crate::stock::{BOUND, MANIFEST, Stock, tags};

/// Three commits whose builds were all published one after the other.
struct Scene {
    stock: Stock,
    registry: PrivateRegistry,
    proxy: Proxy,
    /// Build tags, oldest first.
    builds: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let mut stock = Stock::new();
        let registry = PrivateRegistry::start(Auth::None);
        let mut builds = Vec::new();
        for number in 1..=3 {
            if number > 1 {
                stock.tree.change("science/base/data", number.to_string());
            }
            stock.publish(registry.view(), "x", &["--all"]);
            builds.push(stock.build_tag("1.0", number));
        }
        Self { proxy: Proxy::tcp(registry.address()), stock, registry, builds }
    }

    fn rollback(&self, arguments: &[&str]) -> Outcome {
        let repo = format!("{}/x", self.proxy.address());
        let outcome =
            self.stock.program(&["rollback", "sky:1.0", "--repo", &repo]).args(arguments).run(BOUND);
        self.stock.nothing_is_left();
        outcome
    }

    fn shown(&self) -> BTreeMap<String, String> {
        tags(self.registry.view(), "x")
    }

    /// Asserts which builds the product's moving tags show: lower science layer, upper science
    /// layer, product.
    #[track_caller]
    fn expect(&self, builds: [&str; 3], outcome: &Outcome) {
        let shown = self.shown();
        for (name, build) in ["sci/sky", "sci/sky-more", "rel/sky"].into_iter().zip(builds) {
            let (moving, build) = (&shown[&format!("{name}:1.0")], &shown[&format!("{name}:{build}")]);
            assert_eq!(moving, build, "{name}: {}\n{}", outcome.said(), self.proxy.show());
        }
    }
}

#[test]
fn the_build_before_is_shown_and_hold_is_told() {
    let mut scene = Scene::new();
    let builds = scene.builds.clone();
    let [one, two, three] = [0, 1, 2].map(|at| builds[at].as_str());
    let before = scene.shown();
    let dry = scene.rollback(&["--dryrun"]).expect_code(0);
    assert_eq!(scene.shown(), before);
    assert!(
        dry.stdout.contains(&format!("rel/sky:1.0       shows {three}, will show {two}")),
        "{}",
        dry.said()
    );

    let outcome = scene.rollback(&[]).expect_code(0);
    scene.expect([two; 3], &outcome);
    assert!(outcome.stderr.contains("\n    hold = [\"sky:1.0\"]\n"), "{}", outcome.said());
    assert!(outcome.stderr.contains("image-builder.toml"), "{}", outcome.said());
    assert!(outcome.stderr.contains("sea:1.0 is based on these layers"), "{}", outcome.said());
    let changed: Vec<String> = scene
        .shown()
        .into_iter()
        .filter(|(name, digest)| before[name] != *digest)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(changed, ["rel/sky:1.0", "sci/sky-more:1.0", "sci/sky:1.0"], "nothing else moved");

    // A second rollback without `--to` could be a mistake, or a build could be setting the tag.
    let again = scene.rollback(&[]).expect_code(6);
    assert!(again.stderr.contains(&format!("{three} is in the registry")), "{}", again.said());
    assert!(again.stderr.contains("write `hold = [\"sky:1.0\"]`"), "{}", again.said());
    scene.expect([two; 3], &again);

    // With `hold` no build moves the tags: the next nightly run plans no build of the product.
    let repo = format!("{}/x", scene.registry.address());
    let night = ["plan", "--since-published", "--format", "json", "--repo", &repo];
    let planned = |scene: &Scene| {
        let plan = scene.stock.program(&night).run(BOUND).expect_code(0).stdout;
        let plan: Value = serde_json::from_str(&plan).expect("a plan is JSON");
        let builds = plan["builds"].as_array().expect("builds").iter();
        builds.filter_map(|build| build["id"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert!(planned(&scene).contains(&"science/sky".to_owned()), "without it the rollback is undone");
    scene.stock.tree.change("image-builder.toml", "hold = [\"sky:1.0\"]\n");
    assert_eq!(
        planned(&scene),
        ["science/sea", "rel/sea:1.0"],
        "what stands on it is built on what is shown"
    );
    let further = scene.rollback(&["--format", "json"]).expect_code(0);
    let doc: Value = serde_json::from_str(&further.stdout).expect("a document");
    assert_eq!((&doc["format_version"], &doc["build_tag"]), (&"1.0".into(), &one.into()));
    assert!(doc["tags"].as_array().expect("a list").iter().all(|tag| tag["state"] == "moved"), "{doc}");
    scene.expect([one; 3], &further);
    let forward = scene.rollback(&["--to", three]).expect_code(0);
    scene.expect([three; 3], &forward);
    let nothing = scene.rollback(&["--to", three]).expect_code(0);
    assert!(nothing.stderr.contains("nothing to do"), "{}", nothing.said());
}

#[test]
fn where_it_is_not_clear_builds_are_told_to_choose_from() {
    let scene = Scene::new();
    let before = scene.shown();
    // A build of another history with the same number of commits.
    let other = scene.registry.view().manifest("x/rel/sky", &scene.builds[0]).expect("there").body;
    scene.registry.view().put_manifest("x/rel/sky", "1.0-2-abcdef0", MANIFEST, &other);
    let outcome = scene.rollback(&[]).expect_code(2);
    assert!(outcome.stderr.contains("unclear which build came before"), "{}", outcome.said());
    for build in scene.builds.iter().map(String::as_str).chain(["1.0-2-abcdef0"]) {
        assert!(outcome.stdout.contains(build), "{}", outcome.said());
    }
    assert!(
        outcome.stdout.contains("is shown now") && outcome.stdout.contains("built 1970-01-01"),
        "{}",
        outcome.said()
    );
    for (arguments, code, words) in [
        (&["--to", "2.0-1-aaaaaaa"][..], 2, "is not a build tag of sky:1.0"),
        (&["--to", "nonsense"], 2, "is not a build tag of sky:1.0"),
        (&["--to", "1.0-9-aaaaaaa"], 5, "rel/sky:1.0-9-aaaaaaa is not there"),
        (&["--to", "1.0-2-abcdef0"], 5, "does not record in its labels that it is this build"),
    ] {
        let outcome = scene.rollback(arguments).expect_code(code);
        assert!(outcome.stderr.contains(words), "{}", outcome.said());
    }
    // A build whose parent is missing.
    scene.registry.lose_tag("x/sci/sky", &scene.builds[0]);
    let outcome = scene.rollback(&["--to", &scene.builds[0]]).expect_code(5);
    assert!(outcome.stderr.contains(&format!("x/sci/sky:{}", scene.builds[0])), "{}", outcome.said());
    let mut after = scene.shown();
    after.insert(
        format!("sci/sky:{}", scene.builds[0]),
        before[&format!("sci/sky:{}", scene.builds[0])].clone(),
    );
    after.remove("rel/sky:1.0-2-abcdef0");
    assert_eq!(after, before);
}

/// Does what a build pushes: its build tag, then its moving tag.
fn build(view: &View, name: &str, build_tag: &str) {
    let mut body = view.manifest(&format!("x/{name}"), "1.0").expect("there").body;
    // A different image, made of the same blobs.
    body.push(b'\n');
    view.put_manifest(&format!("x/{name}"), build_tag, MANIFEST, &body);
    view.put_manifest(&format!("x/{name}"), "1.0", MANIFEST, &body);
}

const NEWER: &str = "1.0-4-0123456";

#[test]
fn a_build_between_the_look_and_the_change_keeps_its_tag() {
    for (name, nth) in [("sci/sky", 0), ("rel/sky", 2)] {
        let scene = Scene::new();
        let [_, _, three] = [0, 1, 2].map(|at| scene.builds[at].as_str());
        let view = scene.registry.view().clone();
        let hook = Mode::hook(move |_| build(&view, name, NEWER));
        let rule =
            Rule::new("PUT", &format!("/v2/x/{name}/manifests/1.0"), Hits::Nth(1), hook).from(From::Us);
        let rule = scene.proxy.rule(rule);
        let outcome = scene.rollback(&[]).expect_code(6);
        assert_eq!(scene.proxy.taken(rule), 1, "{}", scene.proxy.show());
        let mut expect = [three; 3];
        expect[nth] = NEWER;
        scene.expect(expect, &outcome);
        let text = format!("shows {NEWER}, a newer build pushed during this rollback");
        assert!(outcome.stderr.contains(&text), "{}", outcome.said());
        assert!(!outcome.stderr.contains("hold ="), "{}", outcome.said());
    }
}

#[test]
fn a_build_between_the_change_and_the_second_look_keeps_its_tag() {
    // During the reads after the change: the list of tags, then the tag itself.
    for (method, path) in [("GET", "tags/list"), ("HEAD", "manifests/1.0")] {
        for (name, nth) in [("sci/sky", 0), ("rel/sky", 2)] {
            let scene = Scene::new();
            let three = scene.builds[2].clone();
            let view = scene.registry.view().clone();
            let hook = Mode::hook(move |_| build(&view, name, NEWER));
            // Requests before the change are counted, because the tag is read twice, at the start
            // and right before the change, and listed twice.
            let path = format!("/v2/x/{name}/{path}");
            let changed = Rule::new("PUT", &format!("/v2/x/{name}/manifests/1.0"), Hits::Every, Mode::Pass);
            let changed = scene.proxy.rule(changed);
            let before = looks_before_the_change(&scene, method, &path);
            let rule = scene.proxy.rule(Rule::new(method, &path, Hits::Nth(before + 1), hook).from(From::Us));
            let outcome = scene.rollback(&[]).expect_code(6);
            assert_eq!(scene.proxy.taken(rule), 1, "{}", scene.proxy.show());
            assert!(scene.proxy.taken(changed) >= 1, "{}", scene.proxy.show());
            let mut expect = [three.as_str(); 3];
            expect[nth] = NEWER;
            scene.expect(expect, &outcome);
            assert!(outcome.stderr.contains("during this rollback"), "{}", outcome.said());
        }
    }
}

/// Counts a rollback's requests of this kind before its first change of a tag. Undoes this rollback
/// afterwards.
fn looks_before_the_change(scene: &Scene, method: &str, path: &str) -> u64 {
    let (_, three) = (scene.rollback(&[]).expect_code(0), scene.builds[2].clone());
    let trace = scene.proxy.trace();
    let (repository, _) =
        path.split_once("/tags/").or_else(|| path.split_once("/manifests/")).expect("a repository");
    let put = format!("{repository}/manifests/1.0");
    let until =
        trace.iter().position(|seen| seen.method == "PUT" && seen.path == put).expect("it was changed");
    let count = trace[..until].iter().filter(|seen| seen.method == method && seen.path == path).count();
    // Restores the tags.
    for name in ["sci/sky", "sci/sky-more", "rel/sky"] {
        let view = scene.registry.view();
        let body = view.manifest(&format!("x/{name}"), &three).expect("there").body;
        view.put_manifest(&format!("x/{name}"), "1.0", MANIFEST, &body);
    }
    scene.proxy.forget();
    u64::try_from(count).expect("few")
}

#[test]
fn a_build_that_is_on_its_way_is_waited_for() {
    let scene = Scene::new();
    let before = scene.shown();
    let body = scene.registry.view().manifest("x/rel/sky", "1.0").expect("there").body;
    scene.registry.view().put_manifest("x/rel/sky", NEWER, MANIFEST, &[&body[..], b"\n"].concat());
    let outcome = scene.rollback(&["--to", &scene.builds[0]]).expect_code(6);
    assert!(outcome.stderr.contains(&format!("{NEWER} is in the registry")), "{}", outcome.said());
    let mut after = scene.shown();
    after.remove(&format!("rel/sky:{NEWER}"));
    assert_eq!(after, before);
}
