//! `stale`: base images that moved in their registry, and the plan for the rebuild.

use std::collections::BTreeMap;

use serde_json::json;
use testbed::registry::Shelf;

use crate::support::{Run, Tree};

struct Scene {
    tree: Tree,
    shelf: Shelf,
}

/// Two layers on an external base image, and one on top of the first.
const FILES: &str = r#"
//- /science/one/sciserver-image.json
{"image": "one", "version": "1.0"}
//- /science/one/Dockerfile
FROM $HOST/os/linux:12
//- /science/two/sciserver-image.json
{"image": "two", "version": "1.0", "compat": "web"}
//- /science/two/Dockerfile
FROM sci/one:1.0
//- /science/three/sciserver-image.json
{"image": "three", "version": "1.0", "compat": "web"}
//- /science/three/Dockerfile
FROM $HOST/os/linux:12
COPY --from=$HOST/os/tools:1 /t /t
//- /compat/web/sciserver-image.json
{}
//- /compat/web/Dockerfile
CMD ["true"]
"#;

impl Scene {
    /// The tree with all images published.
    fn published() -> Self {
        let shelf = Shelf::start();
        let mut tree = Tree::new();
        tree.write_all(&FILES.replace("$HOST", &shelf.address()));
        tree.commit();
        let scene = Self { tree, shelf };
        scene.base("linux", "12", "old");
        scene.base("tools", "1", "tools");
        let plan = scene.plain(&["plan", "--since-published", "--format", "json"]).code(0);
        assert!(scene.shelf.publish(&plan.stdout, &[]).is_empty());
        let _ = scene.shelf.asked();
        scene
    }

    /// Points the tag of a base image to an image with these contents.
    fn base(&self, name: &str, tag: &str, contents: &str) {
        let labels = BTreeMap::from([("contents".to_owned(), contents.to_owned())]);
        self.shelf.put(&format!("os/{name}"), tag, &labels);
    }

    fn plain(&self, arguments: &[&str]) -> Run {
        let repo = format!("{}/x", self.shelf.address());
        self.tree.run(&[arguments, &["--repo", &repo]].concat())
    }

    /// Runs the command and replaces values that differ between runs by names.
    fn run(&self, arguments: &[&str]) -> Run {
        let mut run = self.plain(arguments);
        let mut names = vec![(self.tree.head()[..7].to_owned(), "$HEAD")];
        for (name, tag, shown) in [("linux", "12", "$LINUX"), ("tools", "1", "$TOOLS")] {
            if let Some(digest) = self.shelf.digest(&format!("os/{name}"), tag) {
                names.push((digest, shown));
            }
        }
        for text in [&mut run.stdout, &mut run.stderr] {
            for (value, name) in &names {
                *text = text.replace(value.as_str(), name).replace(&value[..value.len().min(19)], name);
            }
            *text = text.replace(&self.shelf.address(), "$HOST");
        }
        run
    }
}

/// Replaces digests that no fixture names.
fn unnamed(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("sha256:") {
        let hex = after.len() - after.trim_start_matches(|c: char| c.is_ascii_hexdigit()).len();
        out.push_str(before);
        out.push_str("$OLD");
        rest = &after[hex..];
    }
    out + rest
}

#[test]
fn a_base_that_moved_is_told_once_for_each_layer_and_asked_for_once() {
    let scene = Scene::published();
    let said = scene.run(&["stale"]).code(0).stdout;
    assert_eq!(said, "nothing is stale: 2 science layers have a base of another maker, as of $HEAD\n");
    let asked = scene.shelf.asked();
    let of = |part: &str| asked.iter().filter(|line| line.contains(part)).count();
    assert_eq!(
        (of("/v2/os/"), of("HEAD /v2/os/linux/manifests/12"), of("HEAD /v2/os/tools/manifests/1")),
        (2, 1, 1),
        "{asked:#?}"
    );
    assert_eq!((of("/v2/x/sci/two/"), of("/v2/x/rel/")), (0, 0), "{asked:#?}");

    scene.base("linux", "12", "new");
    let run = scene.run(&["stale"]).code(0);
    insta::assert_snapshot!(unnamed(&run.stdout), @r"
    science/one  1.0-1-$HEAD  built 1970-01-01
      moved   $HOST/os/linux:12
              was $OLD, its tag shows $LINUX now
      below   science/two and rel/two:1.0

    science/three  1.0-1-$HEAD  built 1970-01-01
      moved   $HOST/os/linux:12
              was $OLD, its tag shows $LINUX now
      below   rel/three:1.0

    2 of 2 science layers with a base of another maker are stale, as of $HEAD
    to follow: 3 science builds and 2 compat builds (`image-builder stale --plan`)
    ");
    assert_eq!(run.stderr, "");
    let verbose = scene.run(&["stale", "-v"]).code(0).stdout;
    assert!(verbose.contains("  same    $HOST/os/tools:1, copied from\n"), "{verbose}");

    let json = scene.plain(&["stale", "--format", "json"]).code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(
        (&json["format_version"], &json["stale"], &json["total"]),
        (&json!("1.1"), &json!(2), &json!(2))
    );
    let base = &json["layers"][0]["bases"][0];
    assert_eq!((&base["state"], &base["role"]), (&json!("moved"), &json!("base")));
    assert_eq!(base["to"].as_str(), scene.shelf.digest("os/linux", "12").as_deref());
    assert_eq!(json["layers"][0]["dependents"], json!(["science/two", "rel/two:1.0"]));
}

#[test]
fn case_stale_ignores_from_platform_of_a_stage() {
    let mut scene = Scene::published();
    let labels = |text: &str| BTreeMap::from([("contents".to_owned(), text.to_owned())]);
    let show = |scene: &Scene, ours: &str, other: &str| {
        let images = [("amd64", &labels(ours)), ("arm64", &labels(other))];
        scene.shelf.put_index("os/tools", "1", &images);
    };
    let stage = |platform: &str, address: &str| {
        format!(
            "FROM --platform={platform} {address}/os/tools:1 AS x\nFROM {address}/os/linux:12\nCOPY --from=x /t /t\n"
        )
    };
    show(&scene, "ours", "other");
    for (platform, ours_moves, other_moves) in
        [("linux/arm64", false, true), ("$TARGETPLATFORM", true, false)]
    {
        scene.tree.write("science/three/Dockerfile", stage(platform, &scene.shelf.address()));
        scene.tree.commit();
        show(&scene, "ours", "other");
        let plan = scene.plain(&["plan", "--since-published", "--format", "json"]).code(0);
        assert!(scene.shelf.publish(&plan.stdout, &[]).is_empty());
        let stale = |scene: &Scene| {
            let json = scene.plain(&["stale", "--format", "json"]).code(0).stdout;
            serde_json::from_str::<serde_json::Value>(&json).expect("JSON")["stale"] != 0
        };
        assert!(!stale(&scene), "{platform}");
        show(&scene, "ours", "moved");
        assert_eq!(stale(&scene), other_moves, "{platform}: the other platform's image moved");
        show(&scene, "moved", "other");
        assert_eq!(stale(&scene), ours_moves, "{platform}: the plan's platform's image moved");
    }
}

#[test]
fn an_index_that_moved_for_another_platform_is_no_move() {
    let scene = Scene::published();
    let labels = |text: &str| BTreeMap::from([("contents".to_owned(), text.to_owned())]);
    let show = |ours: &str, other: &str| {
        let images = [("amd64", &labels(ours)), ("arm64", &labels(other))];
        scene.shelf.put_index("os/linux", "12", &images);
    };
    let stale = || -> bool {
        let json = scene.plain(&["stale", "--format", "json"]).code(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        json["stale"] != 0
    };
    // A single image was replaced by an index.
    show("old", "other");
    assert!(!stale(), "{}", scene.run(&["stale", "-v"]).stdout);
    show("new", "other");
    assert!(stale());
    // Publishes the layers on the index; then another platform's image moves, and then ours.
    let plan = scene.plain(&["stale", "--plan", "--rebuild", "7", "--format", "json"]).code(0);
    assert!(scene.shelf.publish(&plan.stdout, &[]).is_empty());
    assert!(!stale());
    show("new", "moved");
    assert!(!stale(), "{}", scene.run(&["stale", "-v"]).stdout);
    show("newer", "moved");
    assert!(stale());
}

#[test]
fn the_plan_follows_the_moves_and_is_planned_again_by_build() {
    let scene = Scene::published();
    let nothing = scene.run(&["stale", "--plan"]).code(0).stdout;
    assert!(
        nothing.ends_with("nothing to build: no external base of a published layer moved\n"),
        "{nothing}"
    );
    scene.base("linux", "12", "new");
    let refused = scene.run(&["stale", "--plan"]).code(2).stderr;
    assert!(refused.contains("5 build tags are published already and never change"), "{refused}");
    assert!(refused.contains("give --rebuild N"), "{refused}");

    let file = scene.tree.home().join("plan.json").display().to_string();
    let run = scene.run(&["stale", "--plan", "--rebuild", "7", "-v", "--out", &file]).code(0);
    insta::assert_snapshot!(unnamed(&run.stdout), @r"
    plan for commit $HEAD, for external bases that moved
    images are named under $HOST/x (linux/amd64)
    change results in final image three => three:1.0-1-$HEAD-r7, three:1.0
    change results in final image two => two:1.0-1-$HEAD-r7, two:1.0

    builds, in an order in which they could run:
      science/one => sci/one:1.0-1-$HEAD-r7, sci/one:1.0
          $HOST/os/linux:12 moved from $OLD to $LINUX
      science/three => sci/three:1.0-1-$HEAD-r7, sci/three:1.0
          $HOST/os/linux:12 moved from $OLD to $LINUX
      rel/three:1.0 => rel/three:1.0-1-$HEAD-r7, rel/three:1.0
          needs science/three, which is built
      science/two => sci/two:1.0-1-$HEAD-r7, sci/two:1.0
          needs science/one, which is built
      rel/two:1.0 => rel/two:1.0-1-$HEAD-r7, rel/two:1.0
          needs science/two, which is built

    final plan includes 3 science builds and 2 compat builds
    ");
    let build = |more: &[&str]| scene.run(&[&["build", "--plan", &file, "--dryrun"], more].concat());
    assert!(build(&["--rebuild", "7"]).code(0).stdout.contains("3 science builds and 2 compat builds"));
    assert!(build(&[]).code(2).stderr.contains("--rebuild"), "a plan file chooses nothing");
    let explained = scene.tree.run(&["explain", "--plan", &file, "two:1.0"]).code(0).stdout;
    assert!(explained.contains("/os/linux:12 moved from sha256:"), "{explained}");
    // The base image moves again, so the plan differs from the one that was shown.
    scene.base("linux", "12", "newer");
    let refused = build(&["--rebuild", "7"]).code(2).stderr;
    assert!(refused.contains("another plan"), "{refused}");
    let only = scene.run(&["stale", "--plan", "--rebuild", "7", "--ignore", "science/one"]).code(0).stdout;
    assert!(only.contains("1 science build and 1 compat build"), "{only}");
}

#[test]
fn a_base_that_cannot_be_asked_for_hides_no_other() {
    let scene = Scene::published();
    scene.base("linux", "12", "new");
    scene.shelf.trouble("/v2/os/tools/manifests/1", 403);
    let run = scene.run(&["stale"]).code(5);
    assert!(
        run.stdout.contains("2 of 2 science layers with a base of another maker are stale"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("  ?       $HOST/os/tools:1, copied from\n"), "{}", run.stdout);
    assert!(run.stderr.contains("$HOST/os/tools:1") && run.stderr.contains("403"), "{}", run.stderr);
    // No plan is made while the state of a base image is unknown.
    let run = scene.run(&["stale", "--plan", "--rebuild", "7"]).code(5);
    assert_eq!(run.stdout, "");
    // An unknown published image is an error too.
    scene.shelf.trouble("/v2/x/sci/one/manifests/1.0", 401);
    assert!(scene.run(&["stale"]).code(5).stderr.contains("cannot determine what is published"));
    let run = scene.run(&["stale", "--out", "plan.json"]).code(2);
    assert!(run.stderr.contains("--plan"), "{}", run.stderr);
}
