//! Rows 7 and 8: uncommitted files, and a tree that changes while it is being read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use crate::fixture::{bounded, git_at_home, git_says, run, sane};
use crate::support::Tree;

/// An uncommitted change of a tree.
type Change = fn(&Tree);

#[test]
fn row_07_uncommitted_changes_are_not_pushed() {
    let changes: [(&str, Change); 5] = [
        ("science/nist-basic/packages.txt", |tree| tree.write("science/nist-basic/packages.txt", "edited\n")),
        ("science/nist-basic/packages.txt", |tree| {
            tree.remove("science/nist-basic/packages.txt");
            tree.write("science/nist-basic/Dockerfile", "FROM docker.io/library/debian:12\n");
        }),
        ("compat/common/start", |tree| {
            tree.write("compat/common/start", "staged\n");
            git_says(tree, &["add", "compat/common/start"]);
        }),
        ("science/nist-basic-2/Dockerfile", |tree| {
            let path = tree.root().join("science/nist-basic-2/Dockerfile");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }),
        ("image-builder.toml", |tree| {
            tree.write("image-builder.toml", "repo = \"localhost:1/other\"\n");
            git_says(tree, &["add", "image-builder.toml"]);
        }),
    ];
    for (path, change) in changes {
        let tree = Tree::sample();
        change(&tree);
        for arguments in
            [&["--push"][..], &["build", "--push"], &["build", "--push", "--repo", "localhost:1/x"]]
        {
            let run = run(&tree, arguments).code(2);
            for word in [path, "in no commit", "--allow-dirty"] {
                assert!(run.stderr.contains(word), "{path}: no {word:?} in {}", run.stderr);
            }
        }
        // To another repo with `--allow-dirty`: the run continues until it needs the engine, which
        // is missing.
        let other = ["build", "--push", "--allow-dirty", "--repo", "localhost:1/x"];
        let run = run(&tree, &other).code(5);
        assert!(run.stdout.contains("-dirty-"), "{}", run.stdout);
    }
}

#[test]
fn row_07_uncommitted_changes_never_go_to_the_repo_of_the_tree() {
    let tree = Tree::sample();
    tree.write("science/nist-basic/packages.txt", "edited\n");
    // Every way to name the tree's own repo: by default, by flag, in another case, by an alias, and
    // with an uncommitted configuration that names another repo.
    tree.write("image-builder.toml", "repo = \"localhost:1/mine\"\n");
    git_says(&tree, &["add", "image-builder.toml"]);
    for repo in [
        "localhost:1/mine",
        "LOCALHOST:1/mine",
        "containers.repo.sciserver.org/compute-images",
        "Containers.Repo.SciServer.org/compute-images",
        "compute.repo.sciserver.org",
    ] {
        let run = run(&tree, &["build", "--push", "--allow-dirty", "--repo", repo]).code(2);
        assert!(
            run.stderr.contains("the tree's own repo") || run.stderr.contains("is not a repo"),
            "{}",
            run.stderr
        );
    }
    let run = run(&tree, &["build", "--push", "--allow-dirty"]).code(2);
    assert!(run.stderr.contains("the tree's own repo"), "{}", run.stderr);
}

/// git alternates between two commits that differ in every file while the program plans. A plan
/// that names a commit is exactly that commit's plan; a plan from any other state says `dirty`, or
/// fails.
#[test]
fn row_08_a_plan_is_of_one_commit_while_the_tree_changes() {
    let mut tree = Tree::sample();
    let base = git_says(&tree, &["rev-parse", "HEAD^"]);
    // Equal lengths, so that file sizes do not show a change.
    let fill = |tree: &Tree, digit: usize| {
        for layer in 0..40 {
            tree.write(
                &format!("science/l{layer:02}/sciserver-image.json"),
                format!("{{\"image\": \"l{layer:02}\", \"version\": \"{digit}.0\", \"compat\": null}}"),
            );
            tree.write(
                &format!("science/l{layer:02}/Dockerfile"),
                format!("FROM docker.io/library/busybox:{digit}\n"),
            );
            tree.write(&format!("science/l{layer:02}/file"), format!("{digit}\n"));
        }
    };
    let flags = ["--format", "json", "--ref", &base, "--allow-orphan", "x:1.0"];
    let mut expected = BTreeMap::new();
    for digit in [1, 2] {
        fill(&tree, digit);
        tree.commit();
        let arguments = [&["--dryrun"], &flags[..4]].concat();
        let plan = run(&tree, &arguments).code(0).stdout;
        assert!(
            plan.contains(&format!("busybox:{digit}")) && !plan.contains(&format!("busybox:{}", 3 - digit))
        );
        expected.insert(tree.head(), plan);
    }
    let commits: Vec<String> = expected.keys().cloned().collect();
    let stop = AtomicBool::new(false);
    let mut seen = BTreeMap::<&str, usize>::new();
    let (home, root) = (tree.home(), tree.root());
    thread::scope(|scope| {
        let mutator = scope.spawn(|| {
            let mut turns = 0;
            while !stop.load(Ordering::Relaxed) {
                let commit = &commits[turns % 2];
                let output =
                    git_at_home(&home, &root, &["checkout", "--quiet", "--force", "--detach", commit]);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                turns += 1;
            }
            turns
        });
        for _ in 0..60 {
            let output = bounded(&mut tree.command(&[&["--dryrun"], &flags[..4]].concat()));
            let run = tree.outcome(&output);
            sane(&run);
            let outcome = match run.code {
                Some(0) => {
                    let plan: Value = serde_json::from_str(&run.stdout).unwrap();
                    if plan["revision"]["dirty"].is_null() {
                        let commit = plan["revision"]["commit"].as_str().unwrap();
                        assert_eq!(run.stdout, expected[commit], "a mixture under the name of {commit}");
                        "clean"
                    } else {
                        "dirty"
                    }
                }
                Some(2 | 5) => {
                    assert_eq!(run.stdout, "");
                    "refused"
                }
                code => panic!("exit {code:?}: {}", run.stderr),
            };
            *seen.entry(outcome).or_default() += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let turns = mutator.join().expect("the mutator goes on to its end");
        assert!(turns >= 2, "the tree did change");
    });
    println!("while the tree changed: {seen:?}");
    // A disturbed run leaves nothing behind: the next one is complete.
    let run = run(&tree, &[&["--dryrun"], &flags[..4]].concat()).code(0);
    assert_eq!(run.stdout, expected[&git_says(&tree, &["rev-parse", "HEAD"])]);
}

/// A comparison of two named commits does not depend on the files on disk.
#[test]
fn row_08_two_commits_are_compared_whatever_moves_on_disk() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/more", "more\n");
    tree.commit();
    let range = git_says(&tree, &["rev-parse", "HEAD^^"]) + ".." + &git_says(&tree, &["rev-parse", "HEAD^"]);
    let arguments = ["plan", "--format", "json", "--ref", &range];
    let plan = run(&tree, &arguments).code(0).stdout;
    let (stop, root) = (AtomicBool::new(false), tree.root());
    thread::scope(|scope| {
        let mutator = scope.spawn(|| {
            let mut turns = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                fs::write(root.join("science/nist-basic/packages.txt"), format!("{turns}\n")).unwrap();
                let file = root.join("science/nist-basic-2/sciserver-image.json");
                let text = fs::read(&file).unwrap();
                fs::remove_file(&file).unwrap();
                fs::write(&file, text).unwrap();
                turns += 1;
            }
            turns
        });
        for _ in 0..20 {
            assert_eq!(run(&tree, &arguments).code(0).stdout, plan);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(mutator.join().expect("the mutator goes on to its end") > 0);
    });
}
