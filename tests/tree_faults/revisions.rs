//! Rows 1 and 5: values of revisions, and settings that change how git itself resolves a revision.

use std::fs;

use crate::fixture::{git_says, listing, refused, run};
use crate::support::Tree;

#[test]
fn row_01_a_revision_that_begins_with_a_dash_is_no_option() {
    let tree = Tree::sample();
    let before = (listing(&tree.root()), listing(&tree.home()));
    for revision in [
        "--output=F",
        "-OF",
        "-",
        "--",
        "--upload-pack=touch F",
        "--exec=touch F",
        "--output=F..HEAD",
        "HEAD..--output=F",
        "HEAD...--output=F",
        "--output=F...HEAD",
        "..-x",
        "-n1",
    ] {
        for command in ["plan", "build", "graph"] {
            refused(&tree, &[command, &format!("--ref={revision}")], 2, &["error: ", "\n  help: "]);
        }
        let run = run(&tree, &["plan", "--ref", revision]).code(2);
        assert_eq!(run.stdout, "", "{revision}");
        assert_eq!((listing(&tree.root()), listing(&tree.home())), before, "{revision}");
    }
}

/// Creates the history that all plans here use. A plan's bytes must not depend on this machine's
/// configuration.
fn three() -> (Tree, String) {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/more", "more\n");
    tree.commit();
    let plan = run(&tree, &["plan", "--format", "json"]).code(0).stdout;
    assert!(plan.contains(&format!("-3-{}", &tree.head()[..7])), "{plan}");
    (tree, plan)
}

#[test]
fn row_05_replaced_commits_change_no_tag() {
    let (tree, plan) = three();
    let parent = git_says(&tree, &["rev-parse", "HEAD^"]);
    let files = git_says(&tree, &["rev-parse", "HEAD^^{tree}"]);
    let orphan = git_says(&tree, &["commit-tree", "-m", "no parents, other files", &files]);
    git_says(&tree, &["replace", &parent, &orphan]);
    assert_eq!(git_says(&tree, &["rev-list", "--count", "HEAD"]), "2", "the fault is there");
    assert_eq!(run(&tree, &["plan", "--format", "json"]).code(0).stdout, plan);
    let head = tree.head();
    git_says(&tree, &["replace", "--force", &head, &orphan]);
    assert_eq!(git_says(&tree, &["rev-list", "--count", "HEAD"]), "1", "the fault is there");
    assert_eq!(run(&tree, &["plan", "--format", "json"]).code(0).stdout, plan);
    assert_eq!(run(&tree, &["plan", "--format", "json", "--ref", &parent]).code(0).stdout, plan);
}

#[test]
fn row_05_grafts_change_no_tag() {
    let (tree, plan) = three();
    fs::create_dir_all(tree.root().join(".git/info")).unwrap();
    fs::write(tree.root().join(".git/info/grafts"), format!("{}\n", tree.head())).unwrap();
    assert_eq!(git_says(&tree, &["rev-list", "--count", "HEAD"]), "1", "the fault is there");
    assert_eq!(run(&tree, &["plan", "--format", "json"]).code(0).stdout, plan);
}

#[test]
fn row_05_local_settings_change_no_tag() {
    let (tree, plan) = three();
    for (key, value) in [
        ("core.abbrev", "40"),
        ("core.abbrev", "4"),
        ("core.commitGraph", "false"),
        ("core.quotePath", "true"),
        ("core.precomposeUnicode", "true"),
        ("log.showSignature", "true"),
        ("i18n.logOutputEncoding", "UTF-16"),
        ("status.relativePaths", "true"),
    ] {
        git_says(&tree, &["config", key, value]);
        assert_eq!(run(&tree, &["plan", "--format", "json"]).code(0).stdout, plan, "{key}={value}");
    }
    assert_eq!(git_says(&tree, &["rev-parse", "--short", "HEAD"]).len(), 4, "the fault is there");
    let mut command = tree.command(&["plan", "--format", "json"]);
    command.envs([
        ("GIT_DIR", "/nonexistent"),
        ("GIT_WORK_TREE", "/nonexistent"),
        ("GIT_INDEX_FILE", "/dev/null"),
    ]);
    command.envs([
        ("GIT_OBJECT_DIRECTORY", "/nonexistent"),
        ("GIT_NAMESPACE", "x"),
        ("GIT_CEILING_DIRECTORIES", "/"),
    ]);
    let output = command.output().unwrap();
    assert_eq!(tree.outcome(&output).code(0).stdout, plan, "git's variables");
}
