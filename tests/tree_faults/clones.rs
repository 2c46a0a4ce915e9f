//! Rows 4 and 6: clones that lack what the plan needs.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::fixture::{finish, git, git_says};
use crate::support::{Run, Tree};

/// A clone of a tree, as a CI job creates it.
struct Clone<'tree> {
    of: &'tree Tree,
    directory: PathBuf,
}

impl<'tree> Clone<'tree> {
    fn new(of: &'tree Tree, flags: &[&str]) -> Self {
        let directory = of.home().join("clone");
        let (from, to) = (format!("file://{}", of.root().display()), directory.display().to_string());
        git_says(of, &[&["clone", "--quiet"], flags, &[&from, &to]].concat());
        Self { of, directory }
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Run {
        finish(self.of, self.of.command(arguments).current_dir(&self.directory))
    }

    #[track_caller]
    fn git(&self, arguments: &[&str]) -> String {
        let output = git(self.of, &self.directory, arguments);
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

#[test]
fn row_04_a_shallow_clone_gets_no_wrong_tag() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/more", "more\n");
    tree.commit();
    let clone = Clone::new(&tree, &["--depth", "2"]);
    assert_eq!(clone.git(&["rev-list", "--count", "HEAD"]), "2", "git itself would count wrongly");
    let shown = clone.run(&["plan", "--format", "json"]).code(0);
    let plan: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(
        (&plan["revision"]["count"], &plan["revision"]["shallow"]),
        (&Value::Null, &Value::Bool(true))
    );
    let short = &tree.head()[..7];
    assert!(shown.stdout.contains(&format!("-?-{short}")), "{}", shown.stdout);
    assert!(!shown.stdout.contains(&format!("-2-{short}")), "{}", shown.stdout);
    for push in [&["build"][..], &["build", "--push"], &[], &["--push"]] {
        let run = clone.run(push).code(5);
        for word in ["shallow", "git fetch --unshallow", "--build-number"] {
            assert!(run.stderr.contains(word), "{push:?}: {}", run.stderr);
        }
    }
    // With a build number the run continues until it needs the engine, which is missing.
    let numbered = clone.run(&["build", "--build-number", "7"]).code(5);
    assert!(numbered.stdout.contains(&format!("-7-{short}")), "{}", numbered.stdout);
    assert!(!numbered.stderr.contains("--build-number"), "{}", numbered.stderr);
    // The fix that the error suggests.
    clone.git(&["fetch", "--quiet", "--unshallow"]);
    let whole = clone.run(&["plan"]).code(0);
    assert!(whole.stdout.contains(&format!("-3-{short}")), "{}", whole.stdout);
    // A known commit count is not overridden.
    let whole = clone.run(&["plan", "--build-number", "7"]).code(0);
    assert!(whole.stdout.contains(&format!("-3-{short}")), "{}", whole.stdout);
}

#[test]
fn row_04_a_base_beyond_a_shallow_clone_is_not_everything_new() {
    let tree = Tree::sample();
    let base = git_says(&tree, &["rev-parse", "HEAD^"]);
    let clone = Clone::new(&tree, &["--depth", "1"]);
    for reference in ["HEAD^", "HEAD~1", &base, &format!("{base}..HEAD"), &format!("{base}...HEAD")] {
        let run = clone.run(&["plan", "--ref", reference]).code(5);
        assert!(run.stderr.contains("git fetch --unshallow"), "{reference}: {}", run.stderr);
        assert!(run.stderr.contains(&base), "{reference}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{reference}");
    }
    assert!(clone.run(&["build", "--push"]).code(5).stderr.contains(&base));
}

#[test]
fn row_06_a_base_that_a_force_push_took_away_is_named() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic-2/more", "pushed first\n");
    tree.commit();
    let gone = tree.head();
    git_says(&tree, &["reset", "--quiet", "--hard", "HEAD^"]);
    tree.write("science/nist-basic-2/more", "pushed over it\n");
    tree.commit();
    assert_ne!(tree.head(), gone);
    // As in CI: a clone of the current branch, and the previous commit, which the clone lacks.
    let clone = Clone::new(&tree, &[]);
    assert!(!git(&tree, &clone.directory, &["cat-file", "-e", &gone]).status.success(), "the fault is there");
    for reference in [gone.clone(), format!("{gone}..HEAD"), format!("{gone}...HEAD"), format!("{gone}..")] {
        for command in [&["plan"][..], &["--dryrun"], &["build", "--push"], &["graph"]] {
            let run = clone.run(&[command, &["--ref", &reference]].concat()).code(5);
            assert!(run.stderr.contains(&gone), "{command:?} {reference}: {}", run.stderr);
            assert!(run.stderr.contains("\n  help: "), "{}", run.stderr);
            assert_eq!(run.stdout, "", "{command:?} {reference}");
        }
    }
}

#[test]
fn row_06_a_clone_that_lost_objects_is_no_tree_without_changes() {
    for lost in ["HEAD^", "HEAD^^{tree}", "HEAD^:science"] {
        let tree = Tree::sample();
        let id = git_says(&tree, &["rev-parse", lost]);
        fs::remove_file(tree.root().join(".git/objects").join(&id[..2]).join(&id[2..]))
            .expect("fresh objects are loose");
        for reference in [&[][..], &["--ref", "HEAD^"], &["--ref", "HEAD^..HEAD"]] {
            let run = finish(&tree, &mut tree.command(&[&["plan"], reference].concat())).code(5);
            assert!(run.stderr.contains(&id), "{lost} {reference:?}: {}", run.stderr);
            assert_eq!(run.stdout, "", "{lost} {reference:?}");
        }
    }
}
