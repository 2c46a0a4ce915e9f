//! The output of `plan` and `--dryrun`.

use serde_json::Value;

use crate::support::Tree;

#[test]
fn the_sample_of_the_predecessor_gives_its_sentences() {
    let tree = Tree::sample();
    let short = &tree.head()[..7];
    let run = tree.run(&["-v", "--dryrun"]).code(0);
    for sentence in [
        format!("change results in final image nist-basic => nist-basic:1.0-2-{short}, nist-basic:1.0\n"),
        format!("change results in final image nist-basic => nist-basic:2.0-2-{short}, nist-basic:2.0\n"),
        "final plan includes 2 science builds and 2 compat builds\n".to_owned(),
    ] {
        assert!(run.stdout.contains(&sentence), "{sentence}in {}", run.stdout);
    }
    assert_eq!(run.stderr, "");
}

#[test]
fn more_is_told_with_each_v() {
    let tree = Tree::sample();
    insta::assert_snapshot!(tree.run(&["plan"]).code(0).stdout, @"
    plan for commit 77fe882, compared with 1ae6dd9
    images are named under containers.repo.sciserver.org/compute-images (linux/amd64)
    change results in final image nist-basic => nist-basic:1.0-2-77fe882, nist-basic:1.0
    change results in final image nist-basic => nist-basic:2.0-2-77fe882, nist-basic:2.0
    final plan includes 2 science builds and 2 compat builds
    ");
    insta::assert_snapshot!(tree.run(&["plan", "-v"]).code(0).stdout, @"
    plan for commit 77fe882, compared with 1ae6dd9
    images are named under containers.repo.sciserver.org/compute-images (linux/amd64)
    change results in final image nist-basic => nist-basic:1.0-2-77fe882, nist-basic:1.0
    change results in final image nist-basic => nist-basic:2.0-2-77fe882, nist-basic:2.0

    builds, in an order in which they could run:
      science/nist-basic => sci/nist-basic:1.0-2-77fe882, sci/nist-basic:1.0
          changed: science/nist-basic/packages.txt
      rel/nist-basic:1.0 => rel/nist-basic:1.0-2-77fe882, rel/nist-basic:1.0
          needs science/nist-basic, which is built
          replaced: CMD of common by jupyter
      science/nist-basic-2 => sci/nist-basic-2:2.0-2-77fe882, sci/nist-basic-2:2.0
          needs science/nist-basic, which is built
      rel/nist-basic:2.0 => rel/nist-basic:2.0-2-77fe882, rel/nist-basic:2.0
          needs science/nist-basic-2, which is built
          replaced: CMD of common by jupyter

    final plan includes 2 science builds and 2 compat builds
    ");
    insta::assert_snapshot!(tree.run(&["plan", "-vv"]).code(0).stdout, @"
    plan for commit 77fe882, compared with 1ae6dd9
    images are named under containers.repo.sciserver.org/compute-images (linux/amd64)
    change results in final image nist-basic => nist-basic:1.0-2-77fe882, nist-basic:1.0
    change results in final image nist-basic => nist-basic:2.0-2-77fe882, nist-basic:2.0

    builds, in an order in which they could run:
      science/nist-basic => sci/nist-basic:1.0-2-77fe882, sci/nist-basic:1.0
          changed: science/nist-basic/packages.txt
      rel/nist-basic:1.0 => rel/nist-basic:1.0-2-77fe882, rel/nist-basic:1.0
          needs science/nist-basic, which is built
          compat stack: common and jupyter
          replaced: CMD of common by jupyter
      science/nist-basic-2 => sci/nist-basic-2:2.0-2-77fe882, sci/nist-basic-2:2.0
          needs science/nist-basic, which is built
      rel/nist-basic:2.0 => rel/nist-basic:2.0-2-77fe882, rel/nist-basic:2.0
          needs science/nist-basic-2, which is built
          compat stack: common and jupyter
          replaced: CMD of common by jupyter

    final plan includes 2 science builds and 2 compat builds
    ");
}

#[test]
fn a_plan_and_a_dry_run_are_the_same() {
    let tree = Tree::sample();
    let plan = tree.run(&["plan", "--format", "json"]).code(0).stdout;
    for arguments in [["--dryrun", "--format", "json"], ["--dry-run", "--format", "json"]] {
        assert_eq!(tree.run(&arguments).code(0).stdout, plan);
    }
    assert_eq!(tree.run(&["build", "--dryrun", "--format=json"]).code(0).stdout, plan);
}

#[test]
fn the_document_is_that_of_the_specification() {
    let tree = Tree::sample();
    let text = tree.run(&["plan", "--format", "json", "--repo", "localhost:5000/x"]).code(0).stdout;
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["format_version"], "1.3");
    assert_eq!(plan["revision"]["commit"], tree.head());
    assert_eq!(plan["revision"]["count"], 2);
    assert_eq!(plan["repo"], "localhost:5000/x");
    let ids: Vec<&str> =
        plan["builds"].as_array().unwrap().iter().map(|b| b["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    for (child, parent) in [
        ("science/nist-basic-2", "science/nist-basic"),
        ("rel/nist-basic:1.0", "science/nist-basic"),
        ("rel/nist-basic:2.0", "science/nist-basic-2"),
    ] {
        let at = |id| ids.iter().position(|found| *found == id).unwrap();
        assert!(at(parent) < at(child), "{ids:?}");
    }
}

#[test]
fn the_repo_of_the_environment_yields_to_the_flag_and_an_empty_one_is_none() {
    let tree = Tree::sample();
    let repo = |variable: &str, arguments: &[&str]| {
        let output = tree
            .command(&[&["plan", "--format", "json"], arguments].concat())
            .env("IMAGE_BUILDER_REPO", variable)
            .output()
            .unwrap();
        let plan: Value = serde_json::from_str(&tree.outcome(&output).code(0).stdout).unwrap();
        plan["repo"].as_str().unwrap().to_owned()
    };
    assert_eq!(repo("localhost:5000/a", &[]), "localhost:5000/a");
    assert_eq!(repo("localhost:5000/a", &["--repo", "localhost:5000/b"]), "localhost:5000/b");
    assert_eq!(repo("", &[]), "containers.repo.sciserver.org/compute-images");
}

#[test]
fn a_saved_plan_is_the_printed_one() {
    let tree = Tree::sample();
    let file = tree.home().join("plan.json");
    let run = tree.run(&["plan", "--format=json", "--out", file.to_str().unwrap()]).code(0);
    assert_eq!(std::fs::read_to_string(file).unwrap(), run.stdout);
}

#[test]
fn an_empty_plan_says_why() {
    let mut tree = Tree::sample();
    tree.write("notes.txt", "not a layer");
    tree.commit();
    let run = tree.run(&["plan"]).code(0);
    assert!(run.stdout.contains("nothing to build: no layer changed since "), "{}", run.stdout);
    tree.write("science/nist-basic/README.md", "What this is for, and more.");
    tree.commit();
    let run = tree.run(&["plan", "-v"]).code(0);
    insta::assert_snapshot!(run.stdout, @r"
    plan for commit 5901acc, compared with 39396c8
    images are named under containers.repo.sciserver.org/compute-images (linux/amd64)

    changed, and builds nothing:
      science/nist-basic
          science/nist-basic/README.md
          these files are not sent to the build

    final plan includes 0 science builds and 0 compat builds
    nothing to build: what changed since 39396c8 in 1 layer changes no image
      this says nothing of what is published: --since-published builds what the registry lacks, --all builds everything
    ");
}

#[test]
fn a_compat_change_plans_compat_builds_only() {
    let mut tree = Tree::sample();
    tree.write("compat/common/start.sh", "#!/bin/sh\n");
    tree.commit();
    let run = tree.run(&["plan"]).code(0);
    assert!(
        run.stdout.ends_with("final plan includes 0 science builds and 2 compat builds\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn lists_of_layers_end_at_the_next_flag() {
    let tree = Tree::sample();
    let run = tree.run(&["--ignore", "science/nist-basic", "science/nist-basic-2", "--dryrun", "-v"]).code(0);
    assert!(
        run.stdout.contains("final plan includes 0 science builds and 0 compat builds\n"),
        "{}",
        run.stdout
    );
    let run = tree.run(&["--include", "science/nist-basic-2", "--dryrun"]).code(0);
    assert!(
        run.stdout.contains("final plan includes 1 science build and 1 compat build\n"),
        "{}",
        run.stdout
    );
}

#[test]
fn the_first_commit_plans_everything() {
    let mut tree = Tree::new();
    tree.write_all(crate::support::SAMPLE);
    tree.commit();
    let run = tree.run(&["plan"]).code(0);
    assert!(
        run.stdout.contains("final plan includes 2 science builds and 2 compat builds\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("the first one, where everything is new"), "{}", run.stdout);
}

#[test]
fn schema_and_completions_need_no_source_tree() {
    let empty = Tree::new();
    for kind in ["science", "compat"] {
        let schema: Value = serde_json::from_str(&empty.run(&["schema", kind]).code(0).stdout).unwrap();
        assert!(schema["properties"]["description"].is_object(), "{schema}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(empty.run(&["completions", shell]).code(0).stdout.contains("image-builder"));
    }
}

/// CI systems use a variable with the workspace's absolute path; the previous tool also accepts
/// paths below the current directory.
#[test]
fn case_absolute_include() {
    let mut tree = Tree::new();
    tree.write_all(
        "//- /science/a/Dockerfile\nFROM docker.io/library/debian:12\n\
         //- /science/a/sciserver-image.json\n{\"image\":\"a\",\"version\":\"1.0\",\"compat\":null}\n\
         //- /science/b/Dockerfile\nFROM docker.io/library/debian:12\n\
         //- /science/b/sciserver-image.json\n{\"image\":\"b\",\"version\":\"1.0\",\"compat\":null}\n",
    );
    tree.commit();
    let absolute = tree.root().join("science/a").display().to_string();
    let ids = |arguments: &[&str]| {
        let run = tree.run(&[&["plan", "--format", "json"], arguments].concat()).code(0);
        let plan: Value = serde_json::from_str(&run.stdout).expect("JSON");
        let builds = plan["builds"].as_array().expect("a list").clone();
        builds.iter().map(|build| build["id"].as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    for directory in [&absolute, &format!("{absolute}/"), "science/a", "./science/a/", "science/b/../a"] {
        assert_eq!(ids(&["--include", directory]), ["science/a"], "{directory}");
        assert_eq!(ids(&["--ignore", directory]), ["science/b"], "{directory}");
    }
    let run = tree.run(&["plan", "--include", "/nowhere/science/a"]).code(2);
    assert!(
        run.stderr.contains("--include /nowhere/science/a is not a layer of this source tree"),
        "{}",
        run.stderr
    );
}

/// docker build follows a link to another file of the directory.
#[test]
fn case_symlink_dockerfile() {
    let mut tree = Tree::new();
    tree.write_all(
        "//- /science/a/Dockerfile.centos\nFROM docker.io/library/debian:12\n\
         //- /science/a/sciserver-image.json\n{\"image\":\"a\",\"version\":\"1.0\",\"compat\":null}\n\
         //- /science/a/.dockerignore\nDockerfile.centos\n",
    );
    tree.link("science/a/Dockerfile", "Dockerfile.centos");
    tree.commit();
    let plan = |tree: &Tree| -> Value {
        let run = tree.run(&["plan", "--format", "json"]).code(0);
        serde_json::from_str(&run.stdout).expect("JSON")
    };
    let first = plan(&tree);
    assert_eq!(first["builds"][0]["dockerfile"], "FROM docker.io/library/debian:12\n");
    // A change of the link's target is a change of the layer, even if the target is not part of the
    // context.
    tree.write("science/a/Dockerfile.centos", "FROM docker.io/library/debian:13\n");
    let dirty = plan(&tree);
    assert_eq!(dirty["builds"][0]["dockerfile"], "FROM docker.io/library/debian:13\n");
    tree.commit();
    let second = plan(&tree);
    assert_eq!(second["builds"][0]["dockerfile"], "FROM docker.io/library/debian:13\n");
    let inputs = |plan: &Value| plan["builds"][0]["context"]["inputs"].clone();
    assert_ne!(inputs(&first), inputs(&second));
    assert_eq!(inputs(&dirty), inputs(&second));
    // Links that lead out of the layer are rejected, and the contents of their targets are not
    // shown.
    for target in ["../../canary", "../b/Dockerfile", "/etc/passwd", "nowhere", "Dockerfile"] {
        tree.write("canary", "FROM docker.io/library/canary:1\n");
        tree.remove("science/a/Dockerfile");
        tree.link("science/a/Dockerfile", target);
        tree.git(&["add", "--all"]);
        let run = tree.run(&["plan"]).code(2);
        assert!(run.stderr.contains("[symlink]"), "{target}: {}", run.stderr);
        assert!(
            !run.stderr.contains("canary:1") && !run.stderr.contains("root:"),
            "{target}: {}",
            run.stderr
        );
    }
}
