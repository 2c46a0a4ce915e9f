//! A stranger's repository: none of its programs run, none of its settings are trusted, and nothing
//! is written.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use git2::Repository;
use planner::git::{ErrorKind, Options, SourceError, open};

use crate::history::{History, paths};

#[test]
fn no_program_that_a_repository_names_is_run() {
    let history = History::small();
    let canary = history.path("canary");
    history.write("program", format!("#!/bin/sh\ntouch {}\ncat\n", canary.display()));
    history.executable("program");
    history.write("science/a/text", "filtered\n");
    history.write("science/a/image", "converted\n");
    history.commit("before anything is configured");
    let program = history.path("program");
    let program = program.to_str().unwrap();
    assert!(Command::new(program).stdin(Stdio::null()).status().unwrap().success());
    fs::remove_file(&canary).expect("the program leaves its mark when it is run");
    for key in [
        "core.fsmonitor",
        "core.pager",
        "core.editor",
        "core.sshCommand",
        "core.askPass",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "filter.evil.clean",
        "filter.evil.smudge",
        "filter.evil.process",
        "filter.lfs.clean",
        "filter.lfs.process",
        "merge.evil.driver",
        "gpg.program",
        "credential.helper",
        "uploadpack.packObjectsHook",
    ] {
        history.configure(key, program);
    }
    history.configure("filter.evil.required", "true");
    history.configure("core.hooksPath", history.path("hooks").to_str().unwrap());
    history.configure("core.untrackedCache", "true");
    for hook in
        ["fsmonitor-watchman", "post-index-change", "reference-transaction", "post-checkout", "pre-commit"]
    {
        for place in ["hooks", ".git/hooks"] {
            fs::create_dir_all(history.path(place)).unwrap();
            fs::copy(program, history.path(&format!("{place}/{hook}"))).unwrap();
        }
    }
    history.write(".gitattributes", "* filter=evil diff=evil merge=evil\nimage filter=lfs\n");
    history.write("science/a/text", "filtered, and edited\n");
    history.write("science/a/image", "converted, and edited\n");
    history.write("science/a/untracked", "new\n");
    for comparison in ["HEAD", "HEAD..HEAD", "HEAD...HEAD", "HEAD^{commit}"] {
        let options = Options {
            untracked: true,
            with_ignored: vec![PathBuf::from("science")],
            ..history.options(comparison)
        };
        let opened = open(&options).unwrap();
        assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a"], "{comparison}");
        assert!(!opened.uncommitted.is_empty(), "{comparison}");
    }
    assert!(!canary.exists());
}

/// Returns every path below a directory, with the length and time of its contents.
fn state(directory: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            (entry.path().to_owned(), (found.len(), found.modified().unwrap()))
        })
        .collect()
}

#[test]
fn nothing_is_written() {
    let history = History::small();
    history.commit("two");
    history.write("science/a/file", "edited\n");
    history.write("science/a/untracked", "new\n");
    let before = state(&history.root());
    for comparison in ["HEAD^", "HEAD^..HEAD", "HEAD^...HEAD"] {
        open(&Options { untracked: true, ..history.options(comparison) }).unwrap();
    }
    assert_eq!(state(&history.root()), before);
}

#[test]
fn a_repository_of_another_user_is_refused_with_the_remedy() {
    let history = History::small();
    history.open("HEAD");
    for path in ["", ".git"] {
        chown(history.path(path), Some(12345), None).expect("tests run as root, who may give files away");
    }
    let error = history.fails("HEAD");
    assert!(matches!(error, SourceError::ForeignOwner { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Environment);
    let remedy = format!("git config --global --add safe.directory {}", history.root().display());
    assert!(error.help().unwrap().contains(&remedy), "{:?}", error.help());
    // The repository's own settings have no effect.
    history.configure("safe.directory", "*");
    assert!(matches!(history.fails("HEAD"), SourceError::ForeignOwner { .. }));
}

#[test]
fn a_directory_that_looks_like_a_bare_repository_is_none() {
    let history = History::small();
    let evil = history.path("science/evil");
    let bare = Repository::init_bare(&evil).unwrap();
    bare.config().unwrap().set_str("core.worktree", "/").unwrap();
    fs::create_dir(evil.join("science")).unwrap();
    history.write("science/evil/sciserver-image.json", "{}\n");
    history.write("science/evil/science/x", "x\n");
    history.commit("an embedded repository");
    for start in ["science/evil", "science/evil/science", "science/evil/objects"] {
        let opened = open(&Options { start: history.path(start), ..history.options("HEAD") }).unwrap();
        assert_eq!((&opened.root, &opened.repository), (&history.root(), &history.root()), "{start}");
        assert_eq!(opened.inputs.revision.count, Some(2));
    }
}

#[test]
fn a_repository_that_keeps_its_files_elsewhere_is_refused() {
    let history = History::small();
    let elsewhere = tempfile::tempdir().unwrap();
    history.configure("core.worktree", elsewhere.path().to_str().unwrap());
    let error = history.fails("HEAD");
    assert!(matches!(error, SourceError::OtherWorktree { .. }), "{error}");
    history.configure("core.worktree", history.root().to_str().unwrap());
    history.open("HEAD");
    history.configure("core.bare", "true");
    fs::write(history.path(".git/config"), "[core]\nbare = true\n").unwrap();
    let error = history.fails("HEAD");
    assert!(matches!(error, SourceError::OtherWorktree { .. }), "{error}");
}
