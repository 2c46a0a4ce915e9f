//! The files of the working tree that count, and the digits of uncommitted changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use git2::{IndexAddOption, Oid, Repository};
use planner::git::{ErrorKind, OpenedTree, Options, SourceError, open};
use planner::tree::Mode;

use crate::history::{History, age, base, file, files, lacking, layer, paths, problems};

fn dirty(opened: &OpenedTree) -> Option<&str> {
    opened.inputs.revision.dirty.as_deref()
}

#[test]
fn tracked_files_count_as_they_are_on_disk() {
    let history = History::small();
    history.layer("science/gone");
    history.commit("more");
    assert_eq!(dirty(&history.open("HEAD")), None);

    history.write("science/a/file", "edited\n");
    history.write("science/a/staged", "new\n");
    history.stage();
    history.write("science/a/staged", "new, and edited\n");
    history.write("science/a/untracked", "unseen\n");
    history.layer("science/untracked");
    history.remove("science/gone/sciserver-image.json");
    history.remove("compat/c/file");
    let opened = history.open("HEAD");
    let now = &opened.inputs.now;
    assert_eq!(paths(now), ["compat/c", "science/a"]);
    assert_eq!(files(layer(now, "science/a")), ["Dockerfile", "file", "sciserver-image.json", "staged"]);
    assert_eq!(files(layer(now, "compat/c")), ["Dockerfile", "sciserver-image.json"]);
    let id = |text: &str| Oid::hash_object(git2::ObjectType::Blob, text.as_bytes()).unwrap().to_string();
    assert_eq!(file(now, "science/a", "file").id.to_string(), id("edited\n"));
    assert_eq!(file(now, "science/a", "staged").id.to_string(), id("new, and edited\n"));
    assert_eq!(
        opened.uncommitted,
        ["compat/c/file", "science/a/file", "science/a/staged", "science/gone/sciserver-image.json"]
    );
    assert_eq!(paths(base(&opened)), ["compat/c", "science/a", "science/gone"]);
    assert!(dirty(&opened).is_some_and(|digits| digits.len() == 8));
}

#[test]
fn what_lies_outside_of_the_two_roots_is_of_no_interest() {
    let history = History::small();
    history.write("README", "edited\n");
    history.stage();
    let opened = history.open("HEAD");
    assert_eq!((dirty(&opened), opened.uncommitted.len()), (None, 0));
    history.write("image-builder.toml", "x = 1\n");
    assert_eq!(dirty(&history.open("HEAD")), None);
    history.stage();
    assert_eq!(history.open("HEAD").uncommitted, ["image-builder.toml"]);
}

#[test]
fn a_touched_file_is_not_changed_and_an_edit_that_keeps_time_and_size_is() {
    let history = History::small();
    let file = fs::File::options().write(true).open(history.path("science/a/file")).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    fs::copy(history.path("compat/c/Dockerfile"), history.path("copy")).unwrap();
    fs::rename(history.path("copy"), history.path("compat/c/Dockerfile")).unwrap();
    assert_eq!(dirty(&history.open("HEAD")), None);

    fs::write(history.path("science/a/file"), "CONTENTS\n").unwrap();
    age(&history.path("science/a/file"));
    assert_eq!(history.open("HEAD").uncommitted, ["science/a/file"]);
}

#[test]
fn a_file_written_in_the_same_tick_as_the_index_is_read() {
    let history = History::small();
    // git's "racy" case: the index cannot distinguish this edit, of the same size, from the
    // original.
    let index = history.path(".git/index");
    let entry_time = fs::metadata(history.path("science/a/file")).unwrap().modified().unwrap();
    fs::write(history.path("science/a/file"), "CONTENTS\n").unwrap();
    age(&history.path("science/a/file"));
    let mut edited = history.git.index().unwrap();
    let mut entry = edited.get_path("science/a/file".as_ref(), 0).unwrap();
    let found = fs::metadata(history.path("science/a/file")).unwrap();
    use std::os::unix::fs::MetadataExt;
    entry.ctime = git2::IndexTime::new(found.ctime() as i32, found.ctime_nsec() as u32);
    edited.add(&entry).unwrap();
    edited.write().unwrap();
    assert_eq!(dirty(&history.open("HEAD")), None, "the index vouches for it");
    fs::File::options().write(true).open(index).unwrap().set_modified(entry_time).unwrap();
    assert_eq!(history.open("HEAD").uncommitted, ["science/a/file"]);
}

#[test]
fn the_same_changes_have_the_same_digits_everywhere() {
    let digits = |change: &dyn Fn(&History)| {
        let history = History::small();
        change(&history);
        dirty(&history.open("HEAD")).map(str::to_owned)
    };
    let edit = |text: &'static str| move |history: &History| history.write("science/a/file", text);
    let one = digits(&edit("one\n"));
    assert!(one.is_some());
    assert_eq!(one, digits(&edit("one\n")));
    let all = [
        one,
        digits(&edit("two\n")),
        digits(&|history| history.remove("science/a/file")),
        digits(&|history| history.remove("compat/c/file")),
        digits(&|history| history.executable("science/a/file")),
        digits(&|history| {
            history.remove("science/a/file");
            history.link("science/a/file", "one\n");
        }),
        digits(&|_| ()),
    ];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "{all:?}");
}

#[test]
fn the_executable_bit_is_the_index_s_where_the_file_system_has_none() {
    let history = History::small();
    history.executable("science/a/file");
    history.commit("executable");
    fs::set_permissions(history.path("science/a/file"), fs::Permissions::from_mode(0o644)).unwrap();
    let opened = history.open("HEAD");
    assert_eq!(file(&opened.inputs.now, "science/a", "file").mode, Mode::File);
    assert_eq!(opened.uncommitted, ["science/a/file"]);
    history.configure("core.fileMode", "false");
    history.executable("compat/c/file");
    let opened = history.open("HEAD");
    assert_eq!(file(&opened.inputs.now, "science/a", "file").mode, Mode::Executable);
    assert_eq!(file(&opened.inputs.now, "compat/c", "file").mode, Mode::File);
    assert_eq!(dirty(&opened), None);
}

#[test]
fn untracked_and_ignored_files_count_when_asked_for() {
    let history = History::small();
    history.write(".gitignore", "*.log\nbuild/\n");
    history.commit("ignore");
    history.write("science/a/new", "new\n");
    history.write("science/a/x.log", "ignored\n");
    history.write("science/a/build/out", "ignored\n");
    history.write("science/a/build/sub/out", "ignored\n");
    history.layer("science/fresh");
    history.write("image-builder.toml", "\n");
    let read = |untracked, with_ignored: &[&str]| {
        let with_ignored = with_ignored.iter().map(PathBuf::from).collect();
        open(&Options { untracked, with_ignored, ..history.options("HEAD") }).unwrap()
    };
    let added = |opened: &OpenedTree| {
        files(layer(&opened.inputs.now, "science/a")).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let (tracked, new) = (
        ["Dockerfile", "file", "sciserver-image.json"],
        ["Dockerfile", "file", "new", "sciserver-image.json"],
    );

    let opened = read(false, &[]);
    assert_eq!((added(&opened).as_slice(), dirty(&opened)), (tracked.map(str::to_owned).as_slice(), None));
    assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a"]);
    let opened = read(true, &[]);
    assert_eq!(added(&opened), new);
    assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a", "science/fresh"]);
    assert!(opened.inputs.now.config.is_some());
    assert!(dirty(&opened).is_some());
    let opened = read(false, &["science/a/build"]);
    assert_eq!(added(&opened), ["Dockerfile", "build/out", "build/sub/out", "file", "sciserver-image.json"]);
    assert_eq!(opened.uncommitted, ["science/a/build/out", "science/a/build/sub/out"]);
    let opened = read(true, &["./science/a/x.log", "science/a/build/sub"]);
    assert_eq!(
        added(&opened),
        ["Dockerfile", "build/sub/out", "file", "new", "sciserver-image.json", "x.log"]
    );

    for (path, says) in [
        ("science/nonesuch", "does not exist"),
        ("science/../README", "'..'"),
        ("/etc/passwd", "not below"),
        ("docs", "not below science/"),
    ] {
        let error =
            open(&Options { with_ignored: vec![path.into()], ..history.options("HEAD") }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{path}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn a_repository_among_untracked_files_is_not_entered() {
    let history = History::small();
    history.write("science/a/vendor/file", "of another repository\n");
    Repository::init(history.path("science/a/vendor")).unwrap();
    let opened = open(&Options { untracked: true, ..history.options("HEAD") }).unwrap();
    assert_eq!(problems(&opened.inputs.now), [("nested-repository", "science/a/vendor")]);
    assert_eq!(dirty(&opened), None);
}

/// A history with a submodule at `science/a/lib`, and the submodule's source.
fn with_submodule() -> (History, History) {
    let library = History::empty();
    library.write("code", "one\n");
    library.write("deep/code", "deep\n");
    library.commit("one");
    let history = History::small();
    let url = library.root();
    let mut submodule = history.git.submodule(url.to_str().unwrap(), "science/a/lib".as_ref(), true).unwrap();
    submodule.clone(None).unwrap();
    submodule.add_finalize().unwrap();
    drop(submodule);
    history.commit("with a submodule");
    (history, library)
}

#[test]
fn the_files_of_a_submodule_count() {
    let (history, _library) = with_submodule();
    let opened = history.open("HEAD^");
    let now = &opened.inputs.now;
    let all = ["Dockerfile", "file", "lib/code", "lib/deep/code", "sciserver-image.json"];
    assert_eq!(files(layer(now, "science/a")), all);
    assert_eq!(problems(now), []);
    assert_eq!(dirty(&opened), None);
    assert_eq!(files(layer(base(&opened), "science/a")), ["Dockerfile", "file", "sciserver-image.json"]);
    assert_eq!(files(layer(&history.open("HEAD^..HEAD~0").inputs.now, "science/a")), all);

    history.write("science/a/lib/deep/code", "edited\n");
    history.write("science/a/lib/new", "untracked\n");
    let opened = open(&Options { untracked: true, ..history.options("HEAD") }).unwrap();
    assert_eq!(opened.uncommitted, ["science/a/lib/deep/code", "science/a/lib/new"]);
    history.remove("science/a/lib/new");

    // The checked-out commit differs from the recorded one.
    let lib = Repository::open(history.path("science/a/lib")).unwrap();
    let mut index = lib.index().unwrap();
    index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = lib.find_tree(index.write_tree().unwrap()).unwrap();
    let parent = lib.head().unwrap().peel_to_commit().unwrap();
    let who = parent.author().to_owned();
    lib.commit(Some("HEAD"), &who, &who, "two", &tree, &[&parent]).unwrap();
    assert_eq!(history.open("HEAD").uncommitted, ["science/a/lib/deep/code"]);
    history.commit("the new commit is recorded");
    let opened = history.open("HEAD^");
    assert_eq!(dirty(&opened), None);
    assert_ne!(
        file(&opened.inputs.now, "science/a", "lib/deep/code").id,
        file(base(&opened), "science/a", "lib/deep/code").id
    );
}

#[test]
fn a_submodule_that_is_not_there_is_refused() {
    let (history, _library) = with_submodule();
    history.remove("science/a/lib");
    fs::create_dir(history.path("science/a/lib")).unwrap();
    let opened = history.open("HEAD");
    assert_eq!(lacking(&opened.inputs.now)[0].file.as_deref(), Some("science/a/lib"));
    let help = lacking(&opened.inputs.now)[0].help.clone().unwrap();
    assert!(help.contains("git submodule update --init"), "{help}");
    assert_eq!(dirty(&opened), None);
    assert_eq!(lacking(&history.open("HEAD^..HEAD~0").inputs.now)[0].code, "submodule");
}

#[test]
fn a_merge_conflict_is_refused() {
    let history = History::small();
    let mut index = history.git.index().unwrap();
    let entry = index.get_path("science/a/file".as_ref(), 0).unwrap();
    index.remove("science/a/file".as_ref(), 0).unwrap();
    for stage in [2, 3] {
        let flags = (entry.flags & !0x3000) | (stage << 12);
        index.add(&git2::IndexEntry { flags, path: entry.path.clone(), ..copy(&entry) }).unwrap();
    }
    index.write().unwrap();
    assert_eq!(problems(&history.open("HEAD").inputs.now), [("merge-conflict", "science/a/file")]);
}

fn copy(entry: &git2::IndexEntry) -> git2::IndexEntry {
    git2::IndexEntry { path: entry.path.clone(), ..*entry }
}

#[test]
fn a_sparse_checkout_is_no_deletion() {
    let history = History::small();
    let mut index = history.git.index().unwrap();
    let mut entry = index.get_path("science/a/Dockerfile".as_ref(), 0).unwrap();
    entry.flags |= git2::IndexEntryFlag::EXTENDED.bits();
    entry.flags_extended |= git2::IndexEntryExtendedFlag::SKIP_WORKTREE.bits();
    index.add(&entry).unwrap();
    index.write().unwrap();
    history.remove("science/a/Dockerfile");
    let opened = history.open("HEAD");
    assert_eq!(dirty(&opened), None);
    let dockerfile = layer(&opened.inputs.now, "science/a").dockerfile.clone().unwrap();
    assert_eq!(dockerfile.text, "FROM scratch\nCOPY file /\n");
}

#[test]
fn a_broken_index_is_an_error_of_the_machine() {
    let history = History::small();
    history.write(".git/index", "no index");
    let error = history.fails("HEAD");
    assert!(matches!(error, SourceError::Git { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Environment);
}
