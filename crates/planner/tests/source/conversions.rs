//! Files whose bytes in git and on disk differ: line ends, `$Id$`, Git LFS.

use std::fs;

use git2::{ObjectType, Oid};
use plan::Expect;
use sha2::{Digest, Sha256};

use crate::history::{History, file, lacking, layer};

fn blob(text: &str) -> String {
    Oid::hash_object(ObjectType::Blob, text.as_bytes()).unwrap().to_string()
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Makes the state of a file in git's index outdated.
fn touch(history: &History, path: &str) {
    let text = fs::read(history.path(path)).unwrap();
    fs::write(history.path(path), text).unwrap();
}

#[test]
fn line_ends_are_those_of_git() {
    for (setting, attributes) in
        [("true", ""), ("input", ""), ("false", "* text=auto\n"), ("false", "science/** text eol=crlf\n")]
    {
        let history = History::empty();
        history.configure("core.autocrlf", setting);
        if !attributes.is_empty() {
            history.write(".gitattributes", attributes);
        }
        history.layer("science/a");
        history.write("science/a/Dockerfile", "FROM scratch\r\n");
        history.write("science/a/file", "text\r\n");
        history.write("science/a/unix", "text\n");
        history.commit("one");
        let shown = format!("{setting} {attributes:?}");
        for round in ["as the index knows it", "touched"] {
            let opened = history.open("HEAD");
            let now = &opened.inputs.now;
            let text = file(now, "science/a", "file");
            assert_eq!(opened.uncommitted, Vec::<String>::new(), "{shown}, {round}");
            assert_eq!(text.id.to_string(), blob("text\n"), "{shown}, {round}");
            // The tree's own attributes decide which bytes are sent, not this machine's disk.
            let sent = match attributes.contains("eol=crlf") {
                true => Expect::Sha256(sha256("text\r\n")),
                false => Expect::GitBlob(blob("text\n")),
            };
            assert_eq!(text.expect(), sent, "{shown}, {round}");
            let unix = file(now, "science/a", "unix");
            let sent = match attributes.contains("eol=crlf") {
                true => Expect::Sha256(sha256("text\r\n")),
                false => Expect::GitBlob(blob("text\n")),
            };
            assert_eq!(unix.expect(), sent, "{shown}, {round}");
            let dockerfile = layer(now, "science/a").dockerfile.clone().unwrap();
            assert_eq!(dockerfile.text, "FROM scratch\n", "{shown}, {round}");
            touch(&history, "science/a/file");
            touch(&history, "science/a/Dockerfile");
        }
        history.write("science/a/Dockerfile", "FROM scratch\r\nUSER 1\r\n");
        history.write("science/a/file", "more\r\ntext\r\n");
        let opened = history.open("HEAD");
        assert_eq!(opened.uncommitted, ["science/a/Dockerfile", "science/a/file"], "{shown}");
        assert_eq!(
            file(&opened.inputs.now, "science/a", "file").id.to_string(),
            blob("more\ntext\n"),
            "{shown}"
        );
        let dockerfile = layer(&opened.inputs.now, "science/a").dockerfile.clone().unwrap();
        assert_eq!(dockerfile.text, "FROM scratch\nUSER 1\n", "{shown}");
    }
}

#[test]
fn without_a_rule_line_ends_are_contents() {
    let history = History::small();
    history.write("science/a/Dockerfile", "FROM scratch\r\n");
    history.commit("crlf");
    let opened = history.open("HEAD^");
    assert_eq!(layer(&opened.inputs.now, "science/a").dockerfile.clone().unwrap().text, "FROM scratch\r\n");
    let dockerfile = file(&opened.inputs.now, "science/a", "Dockerfile");
    assert_eq!(dockerfile.expect(), Expect::GitBlob(blob("FROM scratch\r\n")));
}

#[test]
fn idents_are_those_of_git() {
    let history = History::small();
    history.write(".gitattributes", "file ident\n");
    history.write("science/a/file", "$Id$\n");
    history.commit("ident");
    history.write("science/a/file", "$Id: 0123 $\n");
    let opened = history.open("HEAD");
    assert_eq!(opened.uncommitted, Vec::<String>::new());
    let text = file(&opened.inputs.now, "science/a", "file");
    let expanded = format!("$Id: {} $\n", blob("$Id$\n"));
    assert_eq!(text.expect(), Expect::Sha256(sha256(&expanded)));
}

fn pointer(text: &str) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", sha256(text), text.len())
}

/// A history whose `science/a/data` is in Git LFS, with its pointer on disk.
fn large() -> History {
    let history = History::small();
    history.write(".gitattributes", "data filter=lfs diff=lfs merge=lfs -text\n");
    history.write("science/a/data", pointer("the contents"));
    history.commit("large");
    history
}

#[test]
fn a_bare_pointer_is_refused() {
    let history = large();
    let opened = history.open("HEAD");
    let [problem] = lacking(&opened.inputs.now).try_into().unwrap();
    assert_eq!((problem.code, problem.file.as_deref()), ("lfs-pointer", Some("science/a/data")));
    assert!(problem.help.as_ref().unwrap().contains("git lfs pull"));
    assert_eq!(opened.uncommitted, Vec::<String>::new());

    touch(&history, "science/a/data");
    assert_eq!(lacking(&history.open("HEAD").inputs.now).len(), 1);
    history.write("science/a/data", pointer("something else"));
    assert_eq!(lacking(&history.open("HEAD").inputs.now).len(), 1);

    let history = History::small();
    history.write("science/a/data", pointer("the contents"));
    history.commit("what looks like a pointer and is none");
    assert_eq!(lacking(&history.open("HEAD").inputs.now), []);
}

#[test]
fn a_large_file_is_its_pointer_to_git() {
    let history = large();
    history.write("science/a/data", "the contents");
    let opened = history.open("HEAD");
    let data = file(&opened.inputs.now, "science/a", "data");
    assert_eq!(opened.uncommitted, Vec::<String>::new());
    assert_eq!(lacking(&opened.inputs.now), []);
    assert_eq!(data.id.to_string(), blob(&pointer("the contents")));
    assert_eq!(data.expect(), Expect::Sha256(sha256("the contents")));

    history.write("science/a/data", "other contents");
    let opened = history.open("HEAD");
    let data = file(&opened.inputs.now, "science/a", "data");
    assert_eq!(opened.uncommitted, ["science/a/data"]);
    assert_eq!(data.id.to_string(), blob(&pointer("other contents")));
    assert_eq!(data.expect(), Expect::Sha256(sha256("other contents")));
}

#[test]
fn a_large_file_that_the_index_knows_is_not_read() {
    use std::os::unix::fs::MetadataExt;
    let history = large();
    history.write("science/a/data", "the contents");
    // As after `git lfs`: the index has the pointer's id and the state of the real file.
    let found = fs::metadata(history.path("science/a/data")).unwrap();
    let mut index = history.git.index().unwrap();
    let mut entry = index.get_path("science/a/data".as_ref(), 0).unwrap();
    entry.file_size = u32::try_from(found.size()).unwrap();
    entry.ino = found.ino() as u32;
    entry.mtime = git2::IndexTime::new(found.mtime() as i32, found.mtime_nsec() as u32);
    entry.ctime = git2::IndexTime::new(found.ctime() as i32, found.ctime_nsec() as u32);
    index.add(&entry).unwrap();
    index.write().unwrap();
    let before = fs::metadata(history.path("science/a/data")).unwrap().accessed().unwrap();
    let opened = history.open("HEAD");
    let data = file(&opened.inputs.now, "science/a", "data");
    assert_eq!(data.expect(), Expect::Sha256(sha256("the contents")));
    assert_eq!(opened.uncommitted, Vec::<String>::new());
    assert_eq!(fs::metadata(history.path("science/a/data")).unwrap().accessed().unwrap(), before);
}
