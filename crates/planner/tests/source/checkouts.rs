//! One commit, checked out in many ways: the inputs digests are the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use planner::git::{Comparison, Options, open};
use planner::{Request, Selection};
use proptest::prelude::*;

use crate::history::History;

/// A file of a layer.
#[derive(Debug, Clone)]
enum Kind {
    Plain(Vec<u8>),
    Executable(String),
    Link(String),
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Kind::Plain),
        "[a-z\r\n]{0,20}".prop_map(Kind::Executable),
        "[a-z/.]{1,12}".prop_map(Kind::Link),
    ]
}

fn history(files: &BTreeMap<String, Kind>) -> History {
    let history = History::empty();
    history.write("science/a/sciserver-image.json", r#"{"image": "a", "version": "1.0", "compat": "c"}"#);
    history.write("science/a/Dockerfile", "FROM docker.io/library/debian:12\nCOPY . /\n");
    history.write("science/a/.dockerignore", "ignored\n");
    history
        .write("science/b/sciserver-image.json", r#"{"image": "b", "version": "2.0", "args": {"X": "1"}}"#);
    history.write("science/b/Dockerfile", "FROM sci/a:1.0\r\nCOPY . /\r\n");
    history.write("compat/c/sciserver-image.json", "{}");
    history.write("compat/c/Dockerfile", "COPY . /\n");
    for layer in ["science/a", "science/b", "compat/c"] {
        for (name, kind) in files {
            let path = format!("{layer}/files/{name}");
            match kind {
                Kind::Plain(bytes) => history.write(&path, bytes),
                Kind::Executable(text) => {
                    history.write(&path, text);
                    history.executable(&path);
                }
                Kind::Link(target) => history.link(&path, target),
            }
        }
    }
    history.commit("before");
    history.write("science/a/files/last", "1\n");
    history.commit("now");
    history
}

/// Returns the digests of all builds of a comparison's right-hand side.
fn digests(root: &Path, comparison: &str) -> BTreeMap<String, String> {
    let comparison = Comparison::parse(comparison).unwrap();
    let options = Options { start: root.to_owned(), comparison, build_number: Some(1), ..Options::default() };
    let opened = open(&options).unwrap();
    assert_eq!(opened.uncommitted, Vec::<String>::new(), "{}", root.display());
    let all = Request { selection: Selection::All, ..Request::default() };
    let planned = planner::plan(&opened.inputs, &all).unwrap_or_else(|problems| panic!("{problems:?}"));
    planned.plan.builds.into_iter().map(|build| (build.id.0, build.context.inputs)).collect()
}

/// Runs git in a directory, with a file mode mask.
fn git(below: &Path, mask: &str, arguments: &[&str]) {
    let output = Command::new("sh")
        .args(["-c", &format!("umask {mask}; exec git \"$@\""), "git"])
        .args(["-c", "protocol.file.allow=always", "-c", "user.name=A", "-c", "user.email=a@example.org"])
        .args(arguments)
        .current_dir(below)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Changes the times of all files and directories of a tree, and sets modes that git does not
/// store.
fn disturb(root: &Path) {
    let mut open = vec![root.join("science"), root.join("compat")];
    let mut hours = 0;
    while let Some(path) = open.pop() {
        let found = path.symlink_metadata().unwrap();
        if found.is_symlink() {
            continue;
        }
        let mode = if found.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            0o711
        } else if found.permissions().mode() & 0o100 == 0 {
            0o604
        } else {
            0o741
        };
        hours += 1;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_300_000_000 + hours * 3600);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_checkout_of_a_commit_has_the_same_digests(files in prop::collection::btree_map("[a-e]{1,3}", kinds(), 0..6)) {
        let history = history(&files);
        let root = history.root();
        let expect = digests(&root, "HEAD^");
        prop_assert_eq!(expect.len(), 3);

        // Reads from git's objects alone, with another commit checked out.
        let now = history.git.refname_to_id("HEAD").unwrap();
        let side = tempfile::tempdir().unwrap();
        let url = format!("file://{}", root.display());
        let clone = |at: &Path, mask: &str, more: &[&str]| -> PathBuf {
            let at = at.join(format!("clone-{mask}-{}", more.len()));
            let target = at.display().to_string();
            git(&root, mask, &[&["clone", "--quiet"], more, &[url.as_str(), &target]].concat());
            at
        };
        prop_assert_eq!(&digests(&clone(side.path(), "022", &[]), "HEAD^"), &expect, "a fresh clone");
        prop_assert_eq!(&digests(&clone(side.path(), "077", &["--depth=1"]), "HEAD"), &expect, "a shallow clone");
        let disturbed = clone(side.path(), "000", &["--no-local"]);
        disturb(&disturbed);
        prop_assert_eq!(&digests(&disturbed, "HEAD^"), &expect, "other times and modes");
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            let memory = tempfile::tempdir_in(memory).unwrap();
            prop_assert_eq!(&digests(&clone(memory.path(), "027", &[]), "HEAD^"), &expect, "in memory");
        }
        let linked = side.path().join("worktree");
        git(&root, "022", &["worktree", "add", "--quiet", "--detach", &linked.display().to_string(), "HEAD"]);
        prop_assert_eq!(&digests(&linked, "HEAD^"), &expect, "a worktree");

        // A repository with another history, in which the tree is a subdirectory.
        let below = side.path().join("other/tree");
        fs::create_dir_all(&below).unwrap();
        let copy = |name: &str| {
            let done = Command::new("cp").arg("-a").args([root.join(name), below.join(name)]).status().unwrap();
            assert!(done.success());
        };
        for name in ["science", "compat"] {
            copy(name);
        }
        git(&side.path().join("other"), "022", &["init", "--quiet"]);
        git(&side.path().join("other"), "022", &["add", "--all"]);
        git(&side.path().join("other"), "022", &["commit", "--quiet", "--message=x"]);
        prop_assert_eq!(&digests(&below, "HEAD"), &expect, "a directory of another repository");

        history.write("science/a/files/last", "2\n");
        history.commit("later");
        prop_assert_eq!(&digests(&root, &format!("{now}..{now}")), &expect, "from git's objects");
        prop_assert_ne!(&digests(&root, "HEAD^"), &expect);
    }
}
