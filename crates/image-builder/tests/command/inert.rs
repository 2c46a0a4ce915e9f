//! A plan has no side effects: it opens no socket, reads no credential and writes no file.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::support::Tree;

/// Lists every file below a directory, with metadata that would show a write.
fn listing(directory: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory that nobody changes") {
            let path = entry.expect("a directory that nobody changes").path();
            let metadata = fs::symlink_metadata(&path).expect("a directory that nobody changes");
            if metadata.is_dir() {
                open.push(path.clone());
            }
            found.insert(
                path,
                (metadata.len(), metadata.modified().expect("a directory that nobody changes")),
            );
        }
    }
    found
}

#[test]
fn a_plan_asks_no_engine_reads_no_credential_and_writes_no_file() {
    let tree = Tree::sample();
    tree.write("science/nist-basic/untracked.txt", "x");
    // An invalid configuration: reading it fails.
    fs::create_dir(tree.home().join(".docker")).unwrap();
    fs::write(tree.home().join(".docker/config.json"), "no JSON").unwrap();
    let socket = tree.home().join("engine.sock");
    let engine = UnixListener::bind(&socket).unwrap();
    engine.set_nonblocking(true).unwrap();
    let host = format!("unix://{}", socket.display());
    let before = (listing(&tree.root()), listing(&tree.home()));
    for arguments in [
        &["--dryrun", "-vv"][..],
        &["--dryrun", "--push", "--all", "--rebuild", "3", "--format", "json"],
        &["plan", "--untracked"],
        &["check"],
        &["check", "--fix", "--dryrun", "--untracked"],
        &["graph"],
        &["graph", "--format", "dot", "--all"],
        &["schema"],
        &["completions", "bash"],
    ] {
        let output = tree.command(arguments).env("DOCKER_HOST", &host).output().unwrap();
        tree.outcome(&output).code(0);
        assert_eq!((listing(&tree.root()), listing(&tree.home())), before, "{arguments:?}");
        let nobody = engine.accept().expect_err("nobody connects");
        assert_eq!(nobody.kind(), ErrorKind::WouldBlock, "{arguments:?}");
    }
    // The counter-test: a build does read that configuration.
    let output = tree.command(&["build"]).env("DOCKER_HOST", &host).output().unwrap();
    let run = tree.outcome(&output).code(5);
    assert!(run.stderr.contains("config.json"), "{}", run.stderr);
}

#[test]
fn a_plan_needs_no_home() {
    let tree = Tree::sample();
    for home in ["/nonexistent", ""] {
        let output = tree.command(&["plan"]).env("HOME", home).output().unwrap();
        tree.outcome(&output).code(0);
    }
    let output = tree.command(&["plan"]).env_clear().output().unwrap();
    tree.outcome(&output).code(0);
}
