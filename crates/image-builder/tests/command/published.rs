//! `--since-published`: requests to the registry, the evaluation of its responses, and the cache.

use std::fs;
use std::path::PathBuf;

use crate::shelved::{Scene, build_tag};
use crate::support::Run;

impl Scene {
    /// Runs a subcommand with `--since-published`.
    fn run(&self, command: &str, arguments: &[&str]) -> Run {
        self.command(&[&[command, "--since-published"], arguments].concat())
    }

    /// Returns the builds of the plan, with their reasons.
    fn builds(&self, arguments: &[&str]) -> String {
        let plan = self.run("plan", &[&["--format", "json"], arguments].concat()).code(0);
        let plan: serde_json::Value = serde_json::from_str(&plan.stdout).expect("JSON");
        assert_eq!(plan["compared_with"], "published");
        let builds = plan["builds"].as_array().expect("builds").iter();
        let line = |build: &serde_json::Value| {
            format!("{} {}\n", build["id"].as_str().expect("an id"), build["reasons"])
        };
        builds.map(line).collect()
    }
}

#[test]
fn after_a_good_run_there_is_nothing_to_do_and_after_a_failed_one_what_is_missing() {
    let mut scene = Scene::published();
    assert_eq!(scene.builds(&[]), "");
    let said = scene.run("plan", &[]).code(0).stdout;
    assert!(said.ends_with("nothing to build: everything is published\n"), "{said}");

    let before = scene.tree.head();
    scene.tree.write("science/nist-basic/packages.txt", "scipy\n");
    scene.tree.commit();
    let missing = scene.publish(&["science/nist-basic-2"]);
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["rel/nist-basic:2.0", "science/nist-basic-2"]);
    let said = scene.run("plan", &["-v"]).code(0).stdout;
    let said = said.replace(&scene.tree.head()[..7], "$NOW").replace(&before[..7], "$BEFORE");
    insta::assert_snapshot!(said, @r"
    plan for commit $NOW, compared with the registry
    images are named under $REPO (linux/amd64)
    change results in final image nist-basic => nist-basic:2.0-3-$NOW, nist-basic:2.0

    builds, in an order in which they could run:
      science/nist-basic-2 => sci/nist-basic-2:2.0-3-$NOW, sci/nist-basic-2:2.0
          was built on science/nist-basic as of 1.0-2-$BEFORE, which is 1.0-3-$NOW now
      rel/nist-basic:2.0 => rel/nist-basic:2.0-3-$NOW, rel/nist-basic:2.0
          needs science/nist-basic-2, which is built
          replaced: CMD of common by jupyter

    final plan includes 1 science build and 1 compat build
    ");
}

#[test]
fn an_image_costs_three_questions_and_two_when_its_configuration_is_known() {
    let scene = Scene::published();
    // Gives the images other digests than the products record.
    for (repository, tag) in [("x/sci/nist-basic", "1.0"), ("x/sci/nist-basic-2", "2.0")] {
        let mut labels = scene.shelf.labels(repository, tag).expect("it is published");
        labels.insert("other".to_owned(), "image".to_owned());
        scene.show(repository, tag, &labels);
    }
    assert_eq!(scene.builds(&[]), "");
    let asked = scene.shelf.asked();
    assert_eq!(asked.len(), 12, "{asked:#?}");
    let cached: PathBuf = scene.tree.home().join(".cache/image-builder/configs/sha256");
    let files = || {
        fs::read_dir(&cached)
            .expect("it was made")
            .flat_map(|part| fs::read_dir(part.expect("a directory").path()).expect("a directory"))
    };
    assert_eq!(files().count(), 4);
    assert_eq!(scene.builds(&[]), "");
    let asked = scene.shelf.asked();
    assert!(asked.len() == 8 && asked.iter().all(|line| line.contains("/manifests/")), "{asked:#?}");
    // Only the digest of the build tag is requested.
    let heads = asked.iter().filter(|line| line.starts_with("HEAD ") && line.contains("-2-")).count();
    assert_eq!(heads, 4, "{asked:#?}");
    // A tampered file is fetched again.
    for file in files() {
        fs::write(file.expect("a file").path(), "{}").expect("it is ours");
    }
    assert_eq!(scene.builds(&[]), "");
    assert_eq!(scene.shelf.asked().len(), 12);
    fs::remove_dir_all(scene.tree.home().join(".cache")).expect("it is ours");
    assert_eq!(scene.builds(&[]), "");
    assert_eq!(scene.shelf.asked().len(), 12);
}

#[test]
fn a_product_tells_of_the_science_image_of_the_same_run() {
    let scene = Scene::published();
    let repository = "x/sci/nist-basic-2";
    let asked = || {
        let _ = fs::remove_dir_all(scene.tree.home().join(".cache"));
        assert_eq!(scene.builds(&[]), "");
        let asked = scene.shelf.asked();
        asked.into_iter().filter(|line| line.contains(&format!("{repository}/"))).collect::<Vec<_>>()
    };
    let of = |asked: &[String]| asked.iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(asked(), [format!("GET /v2/{repository}/manifests/2.0")]);
    // The tag points to an index whose image for our platform has the same configuration, so the
    // tag has the digest of the index.
    let labels = scene.shelf.labels(repository, "2.0").expect("it is published");
    let mut foreign = labels.clone();
    foreign.insert("other".to_owned(), "platform".to_owned());
    scene.shelf.put_index(repository, "2.0", &[("arm64", &foreign), ("amd64", &labels)]);
    let by_index = asked();
    assert_eq!((by_index.len(), of(&by_index)), (2, 0), "{by_index:#?}");
    // The configuration for another platform does not count.
    for tag in ["2.0", &build_tag(repository, &labels)] {
        scene.shelf.put_index(repository, tag, &[("arm64", &labels), ("amd64", &foreign)]);
    }
    let by_index = asked();
    assert_eq!((by_index.len(), of(&by_index)), (4, 1), "{by_index:#?}");
    // Nor does the configuration of another image, although its build tag is the same.
    scene.show(repository, "2.0", &foreign);
    let other = asked();
    assert_eq!((other.len(), of(&other)), (3, 1), "{other:#?}");
}

#[test]
fn a_product_tells_of_the_science_image_that_it_was_built_on() {
    let mut scene = Scene::published();
    scene.tree.write("compat/jupyter/Dockerfile", "CMD [\"jupyter-lab\"]\n");
    scene.tree.commit();
    assert!(scene.publish(&[]).is_empty());
    drop(scene.shelf.asked());
    let asked = |scene: &Scene| {
        fs::remove_dir_all(scene.tree.home().join(".cache")).expect("it was made");
        assert_eq!(scene.builds(&[]), "");
        let asked = scene.shelf.asked();
        asked.iter().filter(|line| line.contains("/sci/") && line.contains("/blobs/")).count()
    };
    assert_eq!(asked(&scene), 0);
    // A changed image is read itself, since only its own labels name its whole commit.
    scene.tree.write("science/nist-basic-2/data", "more\n");
    scene.tree.commit();
    let said = scene.run("plan", &["-vv"]).code(0).stdout;
    assert!(
        said.contains("science/nist-basic-2/Dockerfile") || said.contains("science/nist-basic-2/data"),
        "{said}"
    );
    let asked_for: Vec<String> =
        scene.shelf.asked().into_iter().filter(|line| line.contains("/sci/nist-basic-2/")).collect();
    assert_eq!(asked_for.len(), 4, "{asked_for:#?}");
    // Another image under the same build tag: the product does not record it.
    let mut labels = scene.shelf.labels("x/sci/nist-basic-2", "2.0").expect("it is published");
    labels.insert("other".to_owned(), "image".to_owned());
    scene.show("x/sci/nist-basic-2", "2.0", &labels);
    drop(scene.run("plan", &[]).code(0));
    let asked_for = scene.shelf.asked();
    assert!(asked_for.iter().any(|line| line.contains("/sci/nist-basic-2/blobs/")), "{asked_for:#?}");
}

#[test]
fn any_answer_but_a_404_stops_the_run() {
    for status in [401, 403, 410] {
        let scene = Scene::published();
        scene.shelf.trouble("/v2/x/rel/nist-basic/manifests/2.0", status);
        for command in ["plan", "build", "graph"] {
            let run = scene.run(command, &[]).code(5);
            assert!(run.stderr.contains("cannot determine what is published"), "{}", run.stderr);
            assert!(run.stderr.contains("$REPO/rel/nist-basic:2.0"), "{}", run.stderr);
            assert!(run.stderr.contains(&status.to_string()), "{}", run.stderr);
            assert_eq!(run.stdout, "");
        }
    }
    // A missing configuration does not make the image absent.
    let scene = Scene::published();
    let asked = {
        let _ = scene.builds(&[]);
        scene.shelf.asked()
    };
    let blob = asked.iter().find(|line| line.contains("/blobs/")).expect("it was asked for");
    scene.shelf.trouble(blob.trim_start_matches("GET "), 404);
    fs::remove_dir_all(scene.tree.home().join(".cache")).expect("it is ours");
    assert!(scene.run("plan", &[]).code(5).stderr.contains("404"));
    // The registry cannot be reached.
    let scene = Scene::sample();
    let away = "127.0.0.1:1/x";
    let run = scene.tree.run(&["plan", "--since-published", "--repo", away]).code(5);
    assert!(run.stderr.contains("127.0.0.1:1"), "{}", run.stderr);
}

#[test]
fn connections_are_used_again() {
    let scene = Scene::published();
    let before = scene.shelf.connections();
    assert_eq!(scene.builds(&[]), "");
    assert!(scene.shelf.connections() - before <= 32, "{} connections", scene.shelf.connections() - before);
}

#[test]
fn what_nobody_can_tell_is_shown_and_stops_a_build() {
    let scene = Scene::published();
    let mut labels = scene.shelf.labels("x/sci/nist-basic", "1.0").expect("it is published");
    labels.retain(|key, _| !key.ends_with(".inputs"));
    let tag = labels.get_mut("org.sciserver.science.nist-basic.version").expect("it was written");
    "1.0-1-0123456".clone_into(tag);
    scene.show("x/sci/nist-basic", "1.0", &labels);
    let told = "  $REPO/sci/nist-basic:1.0: commit 0123456, from which it was built, is not in this repository\n\
                error: cannot determine whether a published science image matches the tree; they are not \
                planned by themselves\n";
    for (command, arguments) in [
        ("plan", &[][..]),
        ("plan", &["-v"]),
        ("build", &[]),
        ("build", &["--dryrun"]),
        ("graph", &[]),
        ("explain", &["nist-basic"]),
    ] {
        let run = scene.run(command, arguments).code(5);
        assert!(run.stderr.contains(told), "{command}: {}", run.stderr);
        assert!(!run.stdout.is_empty(), "{command}");
    }
    let said = scene.run("explain", &["nist-basic"]).code(5).stdout;
    assert!(
        said.contains(
            "  sci/nist-basic:1.0: commit 0123456, from which it was built, is not in this repository\n"
        ),
        "{said}"
    );
    // The descendant was built on another image.
    assert_eq!(scene.builds(&["--adopt"]).lines().count(), 3);
    assert_eq!(scene.builds(&["--rebuild", "2"]).lines().count(), 4);
}

#[test]
fn explain_and_graph_tell_the_same_plan() {
    let scene = Scene::published();
    let labels = scene.shelf.labels("x/sci/nist-basic", "1.0").expect("it is published");
    let moved = labels.into_iter().map(|(key, value)| match key.ends_with("nist-basic.version") {
        true => (key, format!("{value}-r1")),
        false => (key, value),
    });
    scene.show("x/sci/nist-basic", "1.0", &moved.collect());
    let said = scene.run("explain", &["nist-basic:2.0", "science/nist-basic"]).code(0).stdout;
    insta::assert_snapshot!(said.replace(&scene.tree.head()[..7], "$HASH"), @r"
    plan for commit $HASH, compared with the registry

    rel/nist-basic:2.0 is built => rel/nist-basic:2.0-2-$HASH, rel/nist-basic:2.0
      science/nist-basic-2: was built on science/nist-basic as of 1.0-2-$HASH, which is 1.0-2-$HASH-r1 now
        └─ rel/nist-basic:2.0 is its compat image

    science/nist-basic is not built
      it is published unchanged
      it needs no other layer of the tree
      the compat image on top of it, rel/nist-basic:1.0, is built
    ");
    let drawn = scene.run("graph", &[]).code(0).stdout;
    assert!(drawn.contains("science/nist-basic-2"), "{drawn}");
}

#[test]
fn a_saved_plan_is_planned_again_from_what_is_published() {
    let scene = Scene::published();
    scene.shelf.remove("x/rel/nist-basic", "2.0");
    let file = scene.tree.home().join("plan.json");
    let path = file.display().to_string();
    let _ = scene.run("plan", &["--out", &path]).code(0);
    let repo = scene.repo();
    let build = |more: &[&str]| {
        let all = [&["build", "--plan", &path, "--repo", &repo, "--dryrun"], more].concat();
        scene.tree.run(&all)
    };
    assert!(build(&[]).code(0).stdout.contains("0 science builds and 1 compat build"));
    scene.shelf.remove("x/rel/nist-basic", "1.0");
    let refused = build(&[]).code(2).stderr;
    assert!(refused.contains("builds[rel/nist-basic:1.0]: not in the file"), "{refused}");
}

#[test]
fn a_comparison_with_a_commit_is_another_thing() {
    let scene = Scene::sample();
    for arguments in [&["--ref", "HEAD"][..], &["--all"], &["--include", "science/nist-basic"]] {
        let run = scene.run("plan", arguments).code(2);
        assert!(run.stderr.contains("cannot be used with"), "{}", run.stderr);
    }
    let run = scene.tree.run(&["plan", "--adopt"]).code(2);
    assert!(run.stderr.contains("--since-published"), "{}", run.stderr);
    assert!(scene.shelf.asked().is_empty());
    // No query is sent for an invalid tree.
    scene.tree.write("science/nist-basic-2/Dockerfile", "FROM sci/nothing:1.0\n");
    let run = scene.run("plan", &[]).code(2);
    assert!(run.stderr.contains("nothing"), "{}", run.stderr);
    assert!(scene.shelf.asked().is_empty());
}

#[test]
fn row_51_a_tag_that_was_moved_to_an_image_with_the_right_labels_is_told_or_set_right() {
    let mut scene = Scene::published();
    // The labels are the same and the image is another one: only the build tag still points to the
    // right image.
    for (repository, tag) in [("x/sci/nist-basic", "1.0"), ("x/rel/nist-basic", "2.0")] {
        let mut labels = scene.shelf.labels(repository, tag).expect("it is published");
        labels.insert("org.example.layer".to_owned(), "one more".to_owned());
        scene.shelf.put(repository, tag, &labels);
    }
    // At the commit of those builds, a run takes the published builds again and corrects the tags.
    let builds = scene.builds(&[]);
    assert!(builds.starts_with("science/nist-basic [{\"build_tag\":\"1.0-2-"), "{builds}");
    assert_eq!(builds.matches("tag-moved").count(), 2, "{builds}");
    // A science image that exists is never replaced automatically.
    scene.tree.write("README", "1");
    scene.tree.commit();
    let run = scene.run("plan", &["-v"]).code(5);
    let why = "  $REPO/sci/nist-basic:1.0: its tag shows sha256:";
    assert!(
        run.stderr.contains(why) && run.stderr.contains("another client moved one of them"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("its tag shows an image that is not the build 2.0-2-"), "{}", run.stdout);
    assert_eq!(scene.builds(&["--rebuild", "3"]).lines().count(), 4);
}
