//! Reads tar streams of contexts back.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;

use super::*;

/// Entries of an archive: path, kind, mode, link target, contents. Times and owners are asserted to
/// be constant.
type Listing = Vec<(String, char, u32, String, Vec<u8>)>;

fn read_back(bytes: &[u8]) -> Listing {
    let mut archive = tar::Archive::new(bytes);
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), CONSTANT_TIME as u64);
            let kind = match header.entry_type() {
                tar::EntryType::Regular => 'f',
                tar::EntryType::Directory => 'd',
                tar::EntryType::Symlink => 'l',
                other => panic!("{other:?}"),
            };
            let link = entry
                .link_name_bytes()
                .map_or(String::new(), |name| String::from_utf8(name.into_owned()).unwrap());
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut contents = Vec::new();
            entry.read_to_end(&mut contents).unwrap();
            (path, kind, header.mode().unwrap(), link, contents)
        })
        .collect()
}

pub(super) fn blob(contents: &[u8]) -> Expect {
    let mut hash = Sha1::new_with_prefix(format!("blob {}\0", contents.len()));
    hash.update(contents);
    Expect::GitBlob(hex::encode(hash.finalize()))
}

pub(super) fn file(root: &Path, path: &str, contents: &[u8], executable: bool) -> Entry {
    let source = root.join(path);
    std::fs::create_dir_all(source.parent().unwrap()).unwrap();
    std::fs::write(&source, contents).unwrap();
    Entry { path: path.into(), source, kind: EntryKind::File { executable, expect: blob(contents) } }
}

pub(super) fn link(root: &Path, path: &str, target: &str) -> Entry {
    let source = root.join(path);
    std::fs::create_dir_all(source.parent().unwrap()).unwrap();
    symlink(target, &source).unwrap();
    Entry { path: path.into(), source, kind: EntryKind::Symlink { target: target.into() } }
}

pub(super) fn sorted(mut entries: Vec<Entry>) -> Context {
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Context { entries }
}

fn dockerfile(context: &Context) -> Generated {
    Generated::new("FROM x\n".into(), context)
}

fn archive(context: &Context) -> Result<Vec<u8>, ContextError> {
    let mut bytes = Vec::new();
    write_tar(&mut bytes, context, &dockerfile(context), CONSTANT_TIME).map(|()| bytes)
}

#[test]
fn modes_links_long_names_and_empty_files_survive() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let long = format!("{}/{}", "d".repeat(120), "é".repeat(100));
    let far = format!("../{}", "t".repeat(180));
    let context = sorted(vec![
        file(root, "a/b/deep", b"1", false),
        file(root, "a-b/x", b"2", false),
        file(root, "a/z", b"", false),
        file(root, "run.sh", b"#!/bin/sh\n", true),
        file(root, &long, b"long", false),
        link(root, "a/up", "./../../etc//passwd"),
        link(root, "far", &far),
        file(root, ".hidden", &[0, 255, 10], false),
    ]);
    let bytes = archive(&context).unwrap();
    let mut listed = read_back(&bytes);
    let mut first = |path: &str, text: &str| {
        assert_eq!(listed.remove(0), (path.into(), 'f', 0o644, String::new(), text.as_bytes().to_vec()));
    };
    first(".image-builder.Dockerfile", "FROM x\n");
    first(".dockerignore", ".image-builder.Dockerfile\n.dockerignore\n");
    let long_directory = format!("{}/", "d".repeat(120));
    let expect: Listing = vec![
        (".hidden".into(), 'f', 0o644, String::new(), vec![0, 255, 10]),
        ("a-b/".into(), 'd', 0o755, String::new(), vec![]),
        ("a-b/x".into(), 'f', 0o644, String::new(), b"2".to_vec()),
        ("a/".into(), 'd', 0o755, String::new(), vec![]),
        ("a/b/".into(), 'd', 0o755, String::new(), vec![]),
        ("a/b/deep".into(), 'f', 0o644, String::new(), b"1".to_vec()),
        ("a/up".into(), 'l', 0o777, "./../../etc//passwd".into(), vec![]),
        ("a/z".into(), 'f', 0o644, String::new(), vec![]),
        (long_directory, 'd', 0o755, String::new(), vec![]),
        (long, 'f', 0o644, String::new(), b"long".to_vec()),
        ("far".into(), 'l', 0o777, far, vec![]),
        ("run.sh".into(), 'f', 0o755, String::new(), b"#!/bin/sh\n".to_vec()),
    ];
    assert_eq!(listed, expect);
    assert_eq!(archive(&context).unwrap(), bytes, "the same files make the same bytes");
}

/// A builder that receives a tar hides these two files if `.dockerignore` excludes them.
#[test]
fn case_dockerfile_in_context_of_a_tar() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let context = sorted(vec![
        file(root, ".dockerignore", b"*.pyc", false),
        file(root, ".image-builder.Dockerfile", b"a file of the layer", false),
        file(root, "Dockerfile", b"FROM a:1\n", false),
    ]);
    let listed = read_back(&archive(&context).unwrap());
    let contents = |name: &str| {
        let found: Vec<_> = listed.iter().filter(|(path, ..)| path == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        String::from_utf8(found[0].4.clone()).unwrap()
    };
    assert_eq!(contents(".image-builder-1.Dockerfile"), "FROM x\n");
    assert_eq!(contents(".image-builder.Dockerfile"), "a file of the layer");
    assert_eq!(contents("Dockerfile"), "FROM a:1\n");
    assert_eq!(contents(".dockerignore"), "*.pyc\n.image-builder-1.Dockerfile\n");
    std::fs::write(root.join(".dockerignore"), "*.pyd").unwrap();
    assert!(matches!(archive(&context), Err(ContextError::Changed { path }) if path == ".dockerignore"));
}

#[test]
fn a_file_that_changed_is_never_sent_as_whole() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let context = sorted(vec![file(root, "a/data", b"planned", false)]);
    let path = root.join("a/data");
    for contents in [&b"changed"[..], b"plan", b"planned and more", b""] {
        std::fs::write(&path, contents).unwrap();
        let error = archive(&context).unwrap_err();
        assert_eq!(error.to_string(), "a/data changed after the plan was made");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(archive(&context), Err(ContextError::Read { .. })));
    std::fs::write(root.join("elsewhere"), b"planned").unwrap();
    symlink(root.join("elsewhere"), &path).unwrap();
    assert!(matches!(archive(&context), Err(ContextError::Changed { .. })), "a link is not followed");
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_dir(root.join("a")).unwrap();
    std::fs::create_dir(root.join("real")).unwrap();
    std::fs::write(root.join("real/data"), b"planned").unwrap();
    symlink("real", root.join("a")).unwrap();
    assert!(matches!(archive(&context), Err(ContextError::Changed { .. })), "nor one on the way");
}

#[test]
fn contents_are_also_known_by_sha256_and_links_by_their_target() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let mut lfs = file(root, "lfs", b"big", false);
    let digest = hex::encode(Sha256::digest(b"big"));
    lfs.kind = EntryKind::File { executable: false, expect: Expect::Sha256(digest) };
    let context = sorted(vec![lfs, link(root, "link", "a")]);
    assert!(archive(&context).is_ok());
    std::fs::write(root.join("lfs"), b"bag").unwrap();
    assert!(matches!(archive(&context), Err(ContextError::Changed { .. })));
    std::fs::write(root.join("lfs"), b"big").unwrap();
    std::fs::remove_file(root.join("link")).unwrap();
    symlink("b", root.join("link")).unwrap();
    assert!(matches!(archive(&context), Err(ContextError::Changed { .. })));
}

#[test]
fn paths_that_leave_the_context_are_never_sent() {
    let root = tempfile::tempdir().unwrap();
    for path in ["../x", "/x", "a/../x", "a//x", "./x", "", "a/", "a\0b"] {
        let kind = EntryKind::File { executable: false, expect: blob(b"") };
        let entry = Entry { path: path.into(), source: root.path().join("x"), kind };
        let error = archive(&Context { entries: vec![entry] }).unwrap_err();
        assert!(matches!(error, ContextError::Path { .. }), "{path:?}: {error}");
    }
    let two = |a: &str, b: &str| Context {
        entries: vec![file(root.path(), a, b"", false), file(root.path(), b, b"", false)],
    };
    assert!(matches!(archive(&two("b", "a")), Err(ContextError::Path { .. })), "not sorted");
    let mut clash = two("c", "d");
    clash.entries[1].path = "c/d".into();
    assert!(matches!(archive(&clash), Err(ContextError::Path { .. })), "a file and a directory");
}

#[test]
fn links_that_an_archive_cannot_hold_are_never_sent() {
    let root = tempfile::tempdir().unwrap();
    let file = file(root.path(), "a", b"as git checks links out where there are none", false);
    for target in ["", "b\0c", "\0"] {
        let kind = EntryKind::Symlink { target: target.into() };
        let context = Context { entries: vec![Entry { kind, ..file.clone() }] };
        assert!(matches!(archive(&context), Err(ContextError::Path { .. })), "{target:?}");
    }
}

#[test]
fn fifos_are_not_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let entry = file(root.path(), "pipe", b"", false);
    std::fs::remove_file(&entry.source).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&entry.source).status().unwrap();
    assert!(made.success());
    assert!(matches!(archive(&sorted(vec![entry])), Err(ContextError::Changed { .. })));
}

#[tokio::test]
async fn a_stream_ends_with_an_error_when_a_file_changed() {
    let root = tempfile::tempdir().unwrap();
    let big = vec![7; 300_000];
    let context = sorted(vec![file(root.path(), "a", &big, false), file(root.path(), "b", b"b", false)]);
    for (change, expect_ok) in [(false, true), (true, false)] {
        if change {
            std::fs::write(root.path().join("b"), b"x").unwrap();
        }
        let mut stream = stream(context.clone(), dockerfile(&context), CONSTANT_TIME);
        let mut bytes = Vec::new();
        let mut failed = false;
        while let Some(chunk) = stream.chunks.recv().await {
            match chunk {
                Ok(chunk) => bytes.extend_from_slice(&chunk),
                Err(_) => failed = true,
            }
        }
        assert_eq!(stream.end.await.unwrap().is_ok(), expect_ok);
        assert_eq!(failed, !expect_ok);
        if expect_ok {
            assert_eq!(stream.sent.load(Ordering::Relaxed), bytes.len() as u64);
            let sizes: BTreeMap<String, usize> =
                read_back(&bytes).into_iter().map(|(path, .., contents)| (path, contents.len())).collect();
            assert_eq!((sizes["a"], sizes["b"]), (300_000, 1));
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_a_stream_that_is_dropped() {
    let root = tempfile::tempdir().unwrap();
    let context = sorted(vec![file(root.path(), "a", &vec![7; 5_000_000], false)]);
    let dockerfile = dockerfile(&context);
    let ContextStream { chunks, end, .. } = stream(context, dockerfile, CONSTANT_TIME);
    drop(chunks);
    assert!(matches!(end.await.unwrap(), Err(ContextError::Closed)));
}

#[test]
fn a_link_that_leads_out_of_the_context_is_found() {
    for (path, target, leaves) in [
        ("link", "../far", true),
        ("link", "near", false),
        ("link", "./a/../../far", true),
        ("a/link", "../near", false),
        ("a/link", "../../far", true),
        ("a/b/link", "../../near", false),
        ("link", "/etc/passwd", false),
    ] {
        let kind = EntryKind::Symlink { target: target.into() };
        let context = Context { entries: vec![Entry { path: path.into(), source: "/nowhere".into(), kind }] };
        assert_eq!(link_that_leaves(&context), leaves.then_some((path, target)));
    }
}
