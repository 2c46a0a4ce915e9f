//! Rows 2 and 3: a checkout whose git configuration names programs to run, and one that belongs to
//! another user.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;

use crate::fixture::{finish, git, git_says, is_root, listing, run};
use crate::support::Tree;

/// Every hook of git.
const HOOKS: [&str; 28] = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
    "p4-pre-submit",
    "post-index-change",
];

/// Every setting that makes git run a program while it reads.
const PROGRAMS: [&str; 20] = [
    "core.fsmonitor",
    "core.pager",
    "core.editor",
    "core.sshCommand",
    "core.gitProxy",
    "core.askPass",
    "core.alternateRefsCommand",
    "diff.external",
    "diff.evil.command",
    "diff.evil.textconv",
    "filter.evil.clean",
    "filter.evil.smudge",
    "filter.evil.process",
    "merge.evil.driver",
    "gpg.program",
    "credential.helper",
    "pager.diff",
    "uploadpack.packObjectsHook",
    "interactive.diffFilter",
    "sequence.editor",
];

/// Puts a program into a tree that creates a file whenever it runs.
fn canary(tree: &Tree) -> (String, PathBuf) {
    let (program, mark) = (tree.home().join("program"), tree.home().join("canary"));
    fs::write(&program, format!("#!/bin/sh\n: > {}\n/bin/cat\n", mark.display()))
        .expect("a fresh tree takes it");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a fresh tree takes it");
    (program.display().to_string(), mark)
}

/// Runs everything that plans, and a build until it needs the engine.
#[track_caller]
fn run_everything(tree: &Tree, mark: &std::path::Path) {
    for (arguments, code) in [
        (&["plan", "-vv"][..], 0),
        (&["plan", "--format", "json", "--ref", "HEAD"], 0),
        (&["plan", "--ref", "HEAD^..HEAD"], 0),
        (&["plan", "--ref", "HEAD^...HEAD"], 0),
        (&["--dryrun", "--push", "--all", "--untracked"], 0),
        (&["graph", "--format", "dot"], 0),
        (&["build", "--all"], 5),
    ] {
        run(tree, arguments).code(code);
        assert!(!mark.exists(), "{arguments:?} ran it");
    }
}

#[test]
fn row_02_no_program_of_a_hostile_configuration_runs() {
    let mut tree = Tree::sample();
    tree.write("science/nist-basic/notes", "one\n");
    tree.commit();
    tree.write("science/nist-basic/notes", "two\n");
    tree.commit();
    let (program, mark) = canary(&tree);
    tree.write(".gitattributes", "* filter=evil diff=evil merge=evil text eol=crlf\n");
    fs::copy(tree.root().join(".gitattributes"), tree.root().join("science/.gitattributes")).unwrap();
    for key in PROGRAMS {
        git_says(&tree, &["config", key, &program]);
    }
    git_says(&tree, &["config", "filter.evil.required", "true"]);
    git_says(&tree, &["config", "core.hooksPath", &tree.home().join("hooks").display().to_string()]);
    for hook in HOOKS {
        for place in [tree.home().join("hooks"), tree.root().join(".git/hooks")] {
            fs::create_dir_all(&place).unwrap();
            fs::copy(&program, place.join(hook)).unwrap();
        }
    }
    tree.write("science/nist-basic/notes", "edited\n");
    tree.write("science/nist-basic/new", "untracked\n");
    // Counter-test: git itself runs the program.
    git(&tree, &tree.root(), &["status"]);
    assert!(mark.exists(), "the fault is there");
    fs::remove_file(&mark).unwrap();
    git(&tree, &tree.root(), &["diff"]);
    assert!(mark.exists(), "the fault is there");
    fs::remove_file(&mark).unwrap();
    run_everything(&tree, &mark);
}

#[test]
fn row_02_an_embedded_bare_repository_is_files() {
    let mut tree = Tree::sample();
    let (program, mark) = canary(&tree);
    let evil = tree.root().join("science/nist-basic/evil");
    git_says(&tree, &["init", "--quiet", "--bare", "science/nist-basic/evil"]);
    fs::write(
        evil.join("config"),
        format!(
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = {program}\n"
        ),
    )
    .unwrap();
    for kept in ["refs/heads/x", "objects/x"] {
        fs::write(evil.join(kept), "").unwrap();
    }
    tree.commit();
    // Counter-test: git in that directory runs the program.
    git(&tree, &evil, &["status"]);
    assert!(mark.exists(), "the fault is there");
    fs::remove_file(&mark).unwrap();
    for untouched in ["index", "canary"] {
        let _ = fs::remove_file(evil.join(untouched));
    }
    let plan = run(&tree, &["plan", "-vv"]).code(0).stdout;
    assert!(plan.contains("science/nist-basic/evil/config"), "{plan}");
    run_everything(&tree, &mark);
    // Even when started inside the embedded repository, the program plans the outer repository,
    // with identical output.
    for start in ["science/nist-basic/evil", "science/nist-basic/evil/refs/heads"] {
        let started =
            finish(&tree, tree.command(&["plan", "-vv"]).current_dir(tree.root().join(start))).code(0);
        assert_eq!(started.stdout, plan, "{start}");
        assert!(!mark.exists(), "{start}");
    }
}

#[test]
fn row_03_a_checkout_of_another_user_is_not_trusted() {
    if !is_root("giving a checkout away") {
        return;
    }
    let tree = Tree::sample();
    let plan = run(&tree, &["plan"]).code(0).stdout;
    for path in [tree.root(), tree.root().join(".git")] {
        chown(path, Some(12345), None).expect("root may give files away");
    }
    let before = listing(&tree.home());
    let remedy = "help: if you trust it: git config --global --add safe.directory $ROOT";
    let refuse = || {
        for arguments in [&["plan"][..], &["--dryrun"], &["graph"], &["build", "--push"], &[]] {
            let run = run(&tree, arguments).code(5);
            assert!(run.stderr.contains("belongs to another user"), "{}", run.stderr);
            assert!(run.stderr.contains(remedy), "{}", run.stderr);
            assert_eq!(run.stdout, "", "{arguments:?}");
        }
    };
    refuse();
    assert_eq!(listing(&tree.home()), before, "nothing is trusted on one's behalf");
    // The repository's own settings have no effect.
    let config = tree.root().join(".git/config");
    let own = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{own}[safe]\n\tdirectory = *\n")).unwrap();
    refuse();
    // Trust of another directory does not apply.
    let global = tree.home().join(".gitconfig");
    fs::write(&global, "[safe]\n\tdirectory = /somewhere/else\n").unwrap();
    refuse();
    // The fix that the error suggests.
    fs::remove_file(&global).unwrap();
    git_says(&tree, &["config", "--global", "--add", "safe.directory", &tree.root().display().to_string()]);
    assert_eq!(run(&tree, &["plan"]).code(0).stdout, plan);
    // The form that git supports since 2.46, and that CI systems write.
    let root = tree.root();
    let above = root.parent().expect("it lies in a directory").display();
    fs::write(&global, format!("[safe]\n\tdirectory = {above}/*\n")).unwrap();
    assert_eq!(run(&tree, &["plan"]).code(0).stdout, plan);
}
