//! `build`, as far as the command gets without an engine: rejected requests, and plan files.

use std::process::Command;

use crate::support::Tree;

#[test]
fn an_engine_that_is_not_there_is_the_environment() {
    let tree = Tree::sample();
    let run = tree.run(&["build"]).code(5);
    assert!(
        run.stdout.contains("final plan includes 2 science builds and 2 compat builds"),
        "{}",
        run.stdout
    );
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
    let run = tree.run(&[]).code(5);
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
}

#[test]
fn nothing_to_do_is_done_without_an_engine() {
    let tree = Tree::sample();
    let run = tree.run(&["build", "--push", "--ref", "HEAD"]).code(0);
    assert!(run.stdout.contains("nothing to build: no layer changed since "), "{}", run.stdout);
}

#[test]
fn another_commit_is_planned_and_not_built() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/x", "x");
    tree.commit();
    tree.run(&["plan", "--ref", "HEAD~2..HEAD~1"]).code(0);
    let run = tree.run(&["build", "--ref", "HEAD~2..HEAD~1"]).code(2);
    assert!(run.stderr.contains("is not checked out"), "{}", run.stderr);
    tree.write("science/nist-basic-2/x", "changed");
    let run = tree.run(&["build", "--ref", "HEAD^..HEAD"]).code(2);
    assert!(run.stderr.contains("science/nist-basic-2/x"), "{}", run.stderr);
}

#[test]
fn what_is_in_no_commit_is_not_pushed_to_the_repo_of_the_tree() {
    let tree = Tree::sample();
    tree.write("science/nist-basic/packages.txt", "astropy\n");
    let run = tree.run(&["build", "--push"]).code(2);
    assert!(run.stderr.contains("science/nist-basic/packages.txt"), "{}", run.stderr);
    assert!(run.stderr.contains("--allow-dirty"), "{}", run.stderr);
    let own = "containers.repo.sciserver.org/compute-images";
    for arguments in
        [&["build", "--push", "--allow-dirty"][..], &["build", "--push", "--allow-dirty", "--repo", own]]
    {
        let run = tree.run(arguments).code(2);
        assert!(run.stderr.contains("the tree's own repo"), "{}", run.stderr);
    }
    // The uncommitted configuration does not change the tree's own repo.
    tree.write("image-builder.toml", "repo = \"localhost:1/mine\"\n");
    for repo in [own, "localhost:1/mine"] {
        let run = tree.run(&["build", "--push", "--allow-dirty", "--untracked", "--repo", repo]).code(2);
        assert!(run.stderr.contains("the tree's own repo"), "{}", run.stderr);
    }
    // A dry run shows the plan, and reports how the run would end.
    let run = tree.run(&["--push", "--dryrun"]).code(0);
    assert!(run.stdout.contains("final plan includes"), "{}", run.stdout);
    let said =
        "note: without --dryrun this is refused, exit code 2: --push with changes that are in no commit";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let run = tree.run(&["--push", "--dryrun", "--allow-dirty", "--repo", "localhost:1/other"]).code(0);
    assert!(!run.stderr.contains("refused"), "{}", run.stderr);
    // With another repo the command continues until it finds no engine.
    tree.run(&["build", "--push", "--allow-dirty", "--repo", "localhost:1/other"]).code(5);
}

#[test]
fn a_shallow_clone_is_built_with_a_build_number_only() {
    let tree = Tree::sample();
    let clone = Tree::new();
    let target = clone.home().join("clone");
    let git = Command::new("git")
        .args(["clone", "--quiet", "--depth", "1"])
        .arg(format!("file://{}", tree.root().display()))
        .arg(&target)
        .env_clear()
        .env("HOME", clone.home())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git runs");
    assert!(git.status.success(), "{}", String::from_utf8_lossy(&git.stderr));
    let run = |arguments: &[&str]| {
        let output = clone.command(arguments).current_dir(&target).output().unwrap();
        clone.outcome(&output)
    };
    // The default comparison needs a parent that the clone lacks; other commands do not.
    run(&["plan"]).code(5);
    run(&["graph", "--planned"]).code(5);
    run(&["graph"]).code(0);
    let shown = run(&["plan", "--all", "--ref", "HEAD"]).code(0);
    assert!(shown.stdout.contains("nist-basic:2.0-?-"), "{}", shown.stdout);
    assert!(shown.stderr.contains("warning: this shallow clone") && shown.stderr.contains("--unshallow"));
    let refused = run(&["build", "--all", "--ref", "HEAD"]).code(5);
    assert!(refused.stderr.contains("--build-number"), "{}", refused.stderr);
    let numbered = run(&["build", "--all", "--ref", "HEAD", "--build-number", "7"]).code(5);
    assert!(numbered.stdout.contains("nist-basic:2.0-7-"), "{}", numbered.stdout);
    assert!(!numbered.stderr.contains("--build-number"), "{}", numbered.stderr);
}

#[test]
fn a_plan_file_chooses_nothing() {
    let mut tree = Tree::sample();
    let file = tree.home().join("plan.json");
    let file = file.to_str().unwrap();
    tree.run(&["plan", "--out", file]).code(0);
    // With the same tree and flags the command continues until it finds no engine.
    tree.run(&["build", "--plan", file]).code(5);
    tree.run(&["build", "--plan", file, "--dryrun"]).code(0);
    // Other flags are rejected.
    let run = tree.run(&["build", "--plan", file, "--repo", "localhost:1/other"]).code(2);
    assert!(
        run.stderr.contains(
            "repo: \"containers.repo.sciserver.org/compute-images\" in the file, \"localhost:1/other\" now"
        ),
        "{}",
        run.stderr
    );
    // An edited file is rejected.
    let text = std::fs::read_to_string(file).unwrap();
    let edited = tree.home().join("edited.json");
    std::fs::write(&edited, text.replace("debian:12.5", "evil:12.5")).unwrap();
    let run = tree.run(&["build", "--plan", edited.to_str().unwrap()]).code(2);
    assert!(run.stderr.contains("builds[science/nist-basic].dockerfile: "), "{}", run.stderr);
    // Another minor version of the format, with an additional field, is accepted.
    let version = format!("\"format_version\": \"{}\",", plan::FORMAT_VERSION);
    for minor in ["1.0", "1.7"] {
        let other = text.replacen(&version, &format!("\"format_version\": \"{minor}\", \"new\": 1,"), 1);
        assert_ne!(other, text);
        std::fs::write(&edited, other).unwrap();
        tree.run(&["build", "--plan", edited.to_str().unwrap()]).code(5);
    }
    // Another tree is rejected.
    tree.write("science/nist-basic/packages.txt", "astropy\n");
    tree.run(&["build", "--plan", file]).code(2);
    tree.commit();
    tree.run(&["build", "--plan", file]).code(2);
    // A file that is not a plan is rejected.
    std::fs::write(&edited, "{\"format_version\": \"2.0\"}").unwrap();
    let run = tree.run(&["build", "--plan", edited.to_str().unwrap()]).code(2);
    assert!(run.stderr.contains("format version 2.0"), "{}", run.stderr);
    tree.run(&["build", "--plan", "/nonexistent/plan.json"]).code(5);
}

#[test]
fn a_plan_of_all_or_of_some_layers_wants_the_same_flags() {
    let tree = Tree::sample();
    let file = tree.home().join("plan.json");
    let file = file.to_str().unwrap();
    for flags in [&["--all"][..], &["--include", "science/nist-basic-2"]] {
        tree.run(&[&["plan", "--out", file], flags].concat()).code(0);
        tree.run(&[&["build", "--plan", file], flags].concat()).code(5);
        let run = tree.run(&["build", "--plan", file]).code(2);
        // The error comes first, then the differences, then the help text.
        let places =
            ["error: the source tree and the flags give another plan", "\n  compared_with", "help: "];
        let places =
            places.map(|text| run.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", run.stderr)));
        assert!(places.is_sorted(), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("help: the plan was made with {}", flags[0])), "{}", run.stderr);
    }
}

#[test]
fn nothing_that_changed_is_not_everything_that_is_published() {
    let tree = Tree::sample();
    let run = tree.run(&["build", "--ref", "HEAD"]).code(0);
    assert!(run.stdout.contains("--since-published builds what the registry lacks, --all builds everything"));
}

#[test]
fn a_plan_of_a_dirty_tree_is_held_to_the_same_contents() {
    let tree = Tree::sample();
    let file = tree.home().join("plan.json");
    let file = file.to_str().unwrap();
    tree.write("science/nist-basic/packages.txt", "astropy\n");
    tree.run(&["plan", "--out", file]).code(0);
    tree.run(&["build", "--plan", file]).code(5);
    tree.write("science/nist-basic/packages.txt", "other\n");
    let run = tree.run(&["build", "--plan", file]).code(2);
    assert!(run.stderr.contains("revision.dirty: "), "{}", run.stderr);
}

#[test]
fn what_git_does_not_know_is_told_with_the_command_that_adds_it() {
    let mut tree = Tree::sample();
    tree.write("science/late/Dockerfile", "FROM docker.io/library/debian:12\n");
    tree.commit();
    tree.write("image-builder.toml", "repo = \"localhost:1/mine\"\n");
    tree.write("science/new/Dockerfile", "FROM docker.io/library/debian:12\n");
    tree.write("science/new/sciserver-image.json", "{\"image\": \"new\", \"version\": \"1.0\"}\n");
    for (arguments, code) in
        [(&["check"][..], 0), (&["plan"], 0), (&["plan", "--all"], 0), (&["build", "--all"], 5)]
    {
        let run = tree.run(arguments).code(code);
        let told = format!("{}{}", run.stdout, run.stderr);
        for expect in ["git add image-builder.toml", "git add science/new", "science/late/Dockerfile: "] {
            assert!(told.contains(expect), "{arguments:?}: {expect}\n{told}");
        }
    }
}
