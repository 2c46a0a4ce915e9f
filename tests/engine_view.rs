//! The output of a run on a real engine, for people and for CI systems: the failed line in its
//! source file, image sizes compared with the earlier image, files for merge requests, and the
//! terminal.

use std::path::Path;
use std::time::Duration;

use testbed::command::{Outcome, Program, Signal};
use testbed::process::{unique, wait_until};
use testbed::registry::View;
use testbed::tree::Tree;

const BASE: &str = "docker.io/library/busybox:1.35";
const BOUND: Duration = Duration::from_secs(300);

fn registry() -> String {
    std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("this is run by `cargo xtask test`")
}

/// Returns a tree with a product of one science layer, with a compat layer that includes another.
fn tree(science: &str, common: &str, web: &str) -> Tree {
    Tree::of(&format!(
        "//- /science/sky/Dockerfile\n# what it stands on\nFROM {BASE}\n{science}\n\
         //- /science/sky/sciserver-image.json\n{{ \"image\": \"sky\", \"version\": \"1.0\", \"compat\": \"web\" }}\n\
         //- /compat/common/Dockerfile\n{common}\n//- /compat/common/sciserver-image.json\n{{}}\n\
         //- /compat/web/Dockerfile\n{web}\n\
         //- /compat/web/sciserver-image.json\n{{ \"includes\": [\"common\"] }}\n"
    ))
}

fn run(tree: &Tree, repo: &str, arguments: &[&str]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(["--all", "--repo", repo]).args(arguments)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[track_caller]
fn says(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        assert!(outcome.stderr.contains(part), "{part:?} is missing in\n{}", outcome.stderr);
    }
}

#[test]
fn a_failure_is_told_at_the_line_of_its_fragment() {
    for builder in ["auto", "classic"] {
        let science = format!("RUN echo {} > /stars", unique());
        let common = "# for all\n\nUSER root\nRUN echo common > /common";
        let web = "LABEL a=b\n# what breaks\nRUN echo before && \\\n    echo on the way && exit 7\nENV X=1";
        let tree = tree(&science, common, web);
        let files = ["--summary", "summary.md", "--junit", "junit.xml"];
        let repo = format!("127.0.0.1:1/view-{}", unique());
        let arguments = [["--builder", builder].as_slice(), &files, &["--progress", "plain"]].concat();
        let outcome = run(&tree, &repo, &arguments).run(BOUND).expect_code(3);
        let at = "at compat/web/Dockerfile:3";
        says(
            &outcome,
            &[
                "rel/sky:1.0: | on the way",
                &format!("rel/sky:1.0: {at}: RUN echo before && \\"),
                "rel/sky:1.0: whole log: .image-builder/runs/",
                &format!("  {at}\n    3 | RUN echo before && \\\n    4 |     echo on the way && exit 7\n"),
            ],
        );
        let result = tree.last_result();
        let failed = &result["builds"][1];
        assert_eq!(failed["failed_at"]["file"], "compat/web/Dockerfile", "{failed}");
        assert_eq!(failed["failed_at"]["line"], 3, "{failed}");
        let tail = failed["log_tail"].to_string();
        assert!(tail.contains("on the way"), "{tail}");

        let page = read(&tree.root().join("summary.md"));
        for part in [
            "## ❌ image-builder: not done",
            "At `compat/web/Dockerfile:3`:",
            "echo on the way",
            "science/sky",
        ] {
            assert!(page.contains(part), "{part:?} is missing in\n{page}");
        }
        let document = read(&tree.root().join("junit.xml"));
        let document = roxmltree::Document::parse(&document).expect("XML");
        let failure = document.descendants().find(|node| node.has_tag_name("failure")).expect("a failure");
        let case = failure.parent().expect("of a case");
        assert_eq!(
            (case.attribute("name"), case.attribute("file")),
            (Some("rel/sky:1.0"), Some("compat/web/Dockerfile"))
        );
        assert!(failure.text().expect("with details").contains("on the way"));
        assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), 2);
    }
}

#[test]
fn a_failure_in_a_stage_of_a_science_layer_is_told_too() {
    for (builder, science, line) in [
        ("auto", "ARG FILE=missing\nCOPY $FILE /there", 4),
        ("classic", "ARG FILE=missing\nCOPY $FILE /there", 4),
        (
            "auto",
            "RUN true\nFROM busybox:1.35 AS other\nRUN echo other > /o\nRUN echo a; exit 3\nFROM other\nRUN true",
            6,
        ),
        (
            "classic",
            "RUN true\nFROM busybox:1.35 AS other\nRUN echo other > /o\nRUN echo a; exit 3\nFROM other\nRUN true",
            6,
        ),
    ] {
        let tree = tree(&science.replace("busybox:1.35", BASE), "USER root", "USER root");
        let repo = format!("127.0.0.1:1/view-{}", unique());
        let outcome =
            run(&tree, &repo, &["--builder", builder, "--progress", "plain"]).run(BOUND).expect_code(3);
        says(
            &outcome,
            &[&format!("science/sky: at science/sky/Dockerfile:{line}: "), "rel/sky:1.0: skipped"],
        );
    }
}

#[test]
fn an_image_is_shown_beside_what_its_moving_tag_showed() {
    for push in [true, false] {
        let name = format!("view-{}", unique());
        let repo = format!("{}/{name}", registry());
        let mut tree = tree(&format!("RUN echo {name} > /stars"), "USER root", "RUN echo web > /web");
        let arguments: &[&str] = if push { &["--push"] } else { &[] };
        let first = run(&tree, &repo, arguments).run(BOUND).expect_code(0);
        says(&first, &["build        outcome", " new  "]);
        let shown = tree.last_result()["builds"][1].clone();
        assert_eq!(shown["compared"]["earlier"], serde_json::Value::Null, "{shown}");

        tree.change("compat/web/Dockerfile", "RUN echo web > /web && head -c 100000 /dev/urandom > /more\n");
        let second = run(&tree, &repo, arguments).run(BOUND).expect_code(0);
        says(&second, &["all kept", " kept\n", "change and layers: beside what the moving tag showed"]);
        // podman includes the configuration in the size, and the build time in it is sometimes one
        // digit longer.
        if std::env::var("IMAGE_BUILDER_TEST_ENGINE").is_ok_and(|engine| engine != "podman") {
            says(&second, &["same size"]);
        }
        let compared = &tree.last_result()["builds"][1]["compared"];
        let earlier = if push { &shown["digest"] } else { &shown["image_id"] };
        assert_eq!(&compared["earlier"], earlier, "{compared}");
        let number = |name: &str| compared[name].as_u64().unwrap_or_else(|| panic!("{name} in {compared}"));
        assert!(number("size") >= number("earlier_size") + 90_000, "{compared}");
        assert!(number("shared") >= 1 && number("shared") < number("layers"), "{compared}");
        if push {
            assert_eq!(
                View::new(&registry()).digest(&format!("{name}/rel/sky"), "1.0"),
                tree.last_result()["builds"][1]["digest"].as_str().map(str::to_owned)
            );
        }
    }
}

#[test]
fn files_of_a_run_that_was_cut_off_say_so() {
    let tree = tree("RUN echo begun && sleep 300", "USER root", "USER root");
    let repo = format!("127.0.0.1:1/view-{}", unique());
    let files = ["--summary", "summary.md", "--junit", "junit.xml", "--no-cache", "-vv"];
    let (page, junit) = (tree.root().join("summary.md"), tree.root().join("junit.xml"));
    let mut running = run(&tree, &repo, &files).spawn();
    assert!(wait_until(BOUND, || running.said().contains("| begun")), "{}", running.said());
    // The files as they are during the run, or after a kill.
    let killed = "the run was cut off: it is still running, or was killed";
    assert!(read(&page).contains(killed) && read(&junit).contains(killed));
    running.signal(Signal::TERM);
    let outcome = running.wait(BOUND).expect_code(143);
    assert!(outcome.stderr.contains("cancelled"), "{}", outcome.stderr);
    assert!(read(&page).contains("of 2 builds, 2 cancelled"), "{}", read(&page));
    let document = read(&junit);
    let document = roxmltree::Document::parse(&document).expect("XML");
    assert_eq!(document.root_element().attribute("errors"), Some("2"));
    let left = std::fs::read_dir(tree.root()).expect("a tree").flatten();
    assert!(left.into_iter().all(|file| !file.file_name().to_string_lossy().starts_with(".image-builder-")));

    // A run that does not start gives the reason.
    let outcome = run(&tree, &repo, &["--summary", "summary.md", "--host", "unix:///nowhere.sock"])
        .run(BOUND)
        .expect_code(5);
    assert!(read(&page).contains("/nowhere.sock"), "{}\n{}", outcome.stderr, read(&page));
    let nowhere = run(&tree, &repo, &["--junit", "no/such/junit.xml"]).run(BOUND).expect_code(5);
    assert!(!nowhere.stderr.contains("build started"), "{}", nowhere.stderr);
    let _ = run(&tree, &repo, &["--dryrun", "--junit", "other.xml"]).run(BOUND).expect_code(2);
}

#[test]
fn a_terminal_shows_what_runs_and_what_waits() {
    let name = unique();
    let tree = tree(
        &format!("RUN echo {name} > /stars\nRUN sleep 2"),
        "USER root",
        "RUN echo web > /web\nRUN sleep 1 && cat /no-such-file",
    );
    let repo = format!("127.0.0.1:1/view-{name}");
    let command =
        format!("stty cols 100 rows 30; {} --all --repo {repo}", env!("CARGO_BIN_EXE_image-builder"));
    let outcome = Program::new("script", &tree)
        .env("TERM", "xterm")
        .args(["--quiet", "--return", "--command", &command, "typescript"])
        .run(BOUND)
        .expect_code(3);
    let shown = outcome.stdout;
    for part in [
        "science/sky\u{1b}[0m [",
        "rel/sky:1.0 waits for science/sky",
        "0 of 2 builds done",
        "1 of 2 builds done",
        "science/sky: \u{1b}[32mbuilt\u{1b}[0m in",
        "slowest path: ",
        "compat/web/Dockerfile:2",
    ] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown:?}");
    }
}
