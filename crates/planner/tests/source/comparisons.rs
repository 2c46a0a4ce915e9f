//! The commits that are compared, and their names.

use std::fs;

use git2::Oid;
use plan::Relation;
use planner::git::{Buildable, ErrorKind, Options, SourceError, open, relation};
use planner::tree::Base;

use crate::history::{History, base, base_commit, file, layer, paths};

#[test]
fn a_first_commit_is_compared_with_nothing() {
    let history = History::small();
    for comparison in ["HEAD^", "HEAD~1"] {
        let opened = history.open(comparison);
        assert!(matches!(opened.inputs.base, Base::Empty), "{comparison}");
        assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a"]);
        assert_eq!(opened.inputs.revision.count, Some(1));
        assert_eq!(opened.buildable, Buildable::WorkingTree);
    }
    assert!(matches!(history.fails("HEAD^..HEAD"), SourceError::NotACommit { .. }));
}

#[test]
fn the_default_is_the_first_parent_also_of_a_merge() {
    let history = History::small();
    let root = history.git.refname_to_id("HEAD").unwrap();
    history.write("science/a/file", "ours\n");
    let ours = history.commit_on("ours", &[root]);
    history.write("science/a/file", "theirs\n");
    let theirs = history.commit_on("theirs", &[root]);
    let merge = history.commit_on("merge", &[ours, theirs]);

    let opened = history.open("HEAD^");
    assert_eq!(base_commit(&opened), ours.to_string());
    assert_eq!(opened.inputs.revision.commit, merge.to_string());
    assert_eq!(opened.inputs.revision.short, merge.to_string()[..7]);
    assert_eq!(opened.inputs.revision.count, Some(4));
    assert_eq!(opened.inputs.revision.dirty, None);
    for (comparison, commit) in [
        ("HEAD^2", theirs),
        ("HEAD^2~1", root),
        ("main~2", root),
        ("main", merge),
        ("@", merge),
        (&merge.to_string()[..9], merge),
        (&format!("{theirs}^"), root),
    ] {
        assert_eq!(base_commit(&history.open(comparison)), commit.to_string(), "{comparison}");
    }
}

#[test]
fn whoever_only_looks_at_two_commits_never_meets_the_working_tree() {
    let history = History::small();
    history.write("science/a/file", "second\n");
    history.commit("second");
    let look = |from: &str| Options { dry_run: true, ..history.options(from) };
    let ids = |opened: &planner::git::OpenedTree| -> Vec<String> {
        let files = |tree: &planner::tree::Tree| {
            let files = tree.layers.iter().flat_map(|layer| &layer.files);
            files.map(|file| format!("{} {}", file.path, file.id)).collect::<Vec<_>>()
        };
        [files(&opened.inputs.now), files(base(opened))].concat()
    };
    let with_files = history.open("HEAD^..HEAD");
    assert_eq!(with_files.buildable, Buildable::Head);
    for layer in ["science/a", "compat/c"] {
        std::fs::remove_dir_all(history.path(layer)).unwrap();
        std::fs::write(history.path(layer), "no directory").unwrap();
    }

    let opened = open(&look("HEAD^..HEAD")).unwrap();
    assert_eq!(opened.buildable, Buildable::Unasked);
    assert_eq!((&opened.uncommitted, &opened.inputs.revision.dirty), (&vec![], &None));
    assert_eq!(ids(&opened), ids(&with_files));
    // The working tree is read anyway if it is a side of the comparison.
    let opened = open(&look("HEAD^")).unwrap();
    assert_eq!((opened.buildable, opened.inputs.now.layers.len()), (Buildable::WorkingTree, 0));
}

#[test]
fn two_commits_are_compared_by_what_they_hold() {
    let history = History::small();
    history.write("science/a/file", "second\n");
    let second = history.commit("second");
    history.layer("science/b");
    history.commit("third");
    history.write("science/a/file", "not committed\n");

    let opened = history.open("HEAD~2..HEAD~1");
    assert_eq!(opened.buildable, Buildable::OtherCommit { commit: second.to_string() });
    assert_eq!(opened.inputs.revision.commit, second.to_string());
    assert_eq!(opened.inputs.revision.count, Some(2));
    assert_eq!((opened.inputs.revision.dirty, opened.uncommitted), (None, vec![]));
    assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a"]);
    assert_eq!(file(&opened.inputs.now, "science/a", "file").on_disk, None);

    let opened = history.open("HEAD~2..");
    assert_eq!(opened.buildable, Buildable::HeadUnderChanges);
    assert_eq!(opened.uncommitted, ["science/a/file"]);
    assert_eq!(opened.inputs.revision.dirty, None);
    assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a", "science/b"]);
    let committed = git2::Oid::hash_object(git2::ObjectType::Blob, b"second\n").unwrap().to_string();
    assert_eq!(file(&opened.inputs.now, "science/a", "file").id.to_string(), committed);

    history.write("science/a/file", "second\n");
    let opened = history.open("HEAD~2..HEAD");
    assert_eq!(opened.buildable, Buildable::Head);
    assert_eq!(layer(&opened.inputs.now, "science/a").directory, history.path("science/a"));
    assert!(file(&opened.inputs.now, "science/a", "file").on_disk.is_some());
}

#[test]
fn three_dots_compare_with_the_merge_base() {
    let history = History::small();
    let root = history.git.refname_to_id("HEAD").unwrap();
    history.write("science/a/file", "main\n");
    let main = history.commit("main");
    history.write("science/a/file", "topic\n");
    let topic = history.commit_on("topic", &[root]);

    let opened = history.open(&format!("{main}..."));
    assert_eq!(base_commit(&opened), root.to_string());
    assert_eq!(opened.inputs.revision.commit, topic.to_string());
    assert_eq!(base_commit(&history.open(&format!("{topic}...{topic}"))), topic.to_string());

    let stranger = history.commit_on("stranger", &[]);
    let error = history.fails(&format!("{main}...{stranger}"));
    assert!(matches!(error, SourceError::NoMergeBase { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn the_newest_of_several_merge_bases_is_taken() {
    let history = History::small();
    let root = history.git.refname_to_id("HEAD").unwrap();
    let a = history.commit_on("a", &[root]);
    let b = history.commit_on("b", &[history.commit_on("before b", &[root])]);
    let left = history.commit_on("left", &[a, b]);
    let right = history.commit_on("right", &[b, a]);
    assert_eq!(base_commit(&history.open(&format!("{left}...{right}"))), b.to_string());
    assert_eq!(base_commit(&history.open(&format!("{right}...{left}"))), b.to_string());
}

#[test]
fn revisions_that_cannot_be_meant() {
    let history = History::small();
    let tree = history.git.head().unwrap().peel_to_tree().unwrap().id();
    let gone = "0123456789012345678901234567890123456789";
    for (comparison, kind, says) in [
        ("--output=F", ErrorKind::Usage, "begins with '-'"),
        ("HEAD..-x", ErrorKind::Usage, "begins with '-'"),
        ("nonesuch", ErrorKind::Usage, "unknown revision \"nonesuch\""),
        ("nonesuch^..HEAD", ErrorKind::Usage, "unknown revision \"nonesuch^\""),
        ("HEAD^2", ErrorKind::Usage, "has 0 parents"),
        (&tree.to_string(), ErrorKind::Usage, "it is a tree"),
        ("HEAD:science", ErrorKind::Usage, "it is a tree"),
        (&"0".repeat(40), ErrorKind::Usage, "all zeros"),
        (gone, ErrorKind::Environment, gone),
        (&format!("{gone}..HEAD"), ErrorKind::Environment, gone),
        (&format!("{gone}...HEAD"), ErrorKind::Environment, gone),
    ] {
        let error = history.fails(comparison);
        assert_eq!(error.kind(), kind, "{comparison}: {error}");
        assert!(error.to_string().contains(says), "{comparison}: {error}");
        assert!(error.help().is_some(), "{comparison}: {error}");
    }
    assert!(!history.path("F").exists());
}

#[test]
fn an_annotated_tag_names_its_commit() {
    let history = History::small();
    let head = history.git.head().unwrap().peel_to_commit().unwrap();
    let who = head.author().to_owned();
    history.git.tag("v1", head.as_object(), &who, "one", false).unwrap();
    history.commit("later");
    assert_eq!(base_commit(&history.open("v1")), head.id().to_string());
}

/// Three commits, of which the clone lacks the first, as after `git clone --depth 2`.
fn shallow() -> (History, [Oid; 3]) {
    let history = History::small();
    let first = history.git.refname_to_id("HEAD").unwrap();
    history.write("science/a/file", "second\n");
    let second = history.commit("second");
    history.write("science/a/file", "third\n");
    let third = history.commit("third");
    let hex = first.to_string();
    history.remove(&format!(".git/objects/{}/{}", &hex[..2], &hex[2..]));
    history.write(".git/shallow", format!("{second}\n"));
    (history.reopened(), [first, second, third])
}

#[test]
fn a_shallow_clone_does_not_know_its_count() {
    let (history, [_, second, third]) = shallow();
    let opened = history.open("HEAD^");
    assert_eq!(base_commit(&opened), second.to_string());
    assert_eq!(opened.inputs.revision.commit, third.to_string());
    assert_eq!((opened.inputs.revision.count, opened.inputs.revision.shallow), (None, true));

    let opened = open(&Options { build_number: Some(7), ..history.options("HEAD^") }).unwrap();
    assert_eq!((opened.inputs.revision.count, opened.inputs.revision.shallow), (Some(7), true));
}

#[test]
fn a_base_that_a_shallow_clone_lacks_is_named() {
    let (history, [first, second, third]) = shallow();
    for comparison in
        ["HEAD~2", "HEAD^^", &format!("{second}^..HEAD"), &first.to_string(), &first.to_string()[..8]]
    {
        let error = history.fails(comparison);
        assert_eq!(error.kind(), ErrorKind::Environment, "{comparison}: {error}");
        assert!(error.to_string().contains(&first.to_string()[..8]), "{comparison}: {error}");
        assert!(error.help().unwrap().contains("--unshallow"), "{comparison}");
    }
    history.check_out(second);
    let error = history.fails("HEAD^");
    assert!(error.to_string().contains(&first.to_string()), "{error}");
    let stranger = history.commit_on("stranger", &[]);
    let error = history.fails(&format!("{third}...{stranger}"));
    assert!(matches!(error, SourceError::ShallowBase { .. }), "{error}");
}

#[test]
fn replace_refs_grafts_and_local_settings_change_no_name() {
    let history = History::small();
    for n in 0..3 {
        history.write("science/a/file", format!("{n}\n"));
        history.commit("more");
    }
    let before = history.open("HEAD^").inputs.revision;
    let [head, parent] = ["HEAD", "HEAD~1"].map(|name| history.git.revparse_single(name).unwrap().id());

    history.git.reference(&format!("refs/replace/{head}"), parent, true, "test").unwrap();
    history.configure("core.abbrev", "12");
    history.write(".git/info/grafts", format!("{head}\n"));
    let opened = history.open("HEAD^");
    assert_eq!(opened.inputs.revision, before);
    assert_eq!(base_commit(&opened), parent.to_string());
    assert_eq!(base_commit(&history.open("HEAD~1")), parent.to_string());
    assert_eq!(relation(&history.root(), &before.commit, &parent.to_string()), Relation::Ancestor);
}

#[test]
fn relations_of_commits() {
    let history = History::small();
    let root = history.git.refname_to_id("HEAD").unwrap().to_string();
    let left = history.commit("left").to_string();
    let right = history.commit_on("right", &[Oid::from_str(&root).unwrap()]).to_string();
    for (ours, other, expect) in [
        (&left, left.as_str(), Relation::Same),
        (&left, &left[..7], Relation::Same),
        (&left, &root[..7], Relation::Ancestor),
        (&root, &left[..10], Relation::Descendant),
        (&left, &right[..7], Relation::Diverged),
        (&left, "0123456", Relation::Unknown),
        (&left, "nonsense", Relation::Unknown),
    ] {
        assert_eq!(relation(&history.root(), ours, other), expect, "{ours} {other}");
    }
    let (history, [first, second, third]) = shallow();
    let related = |ours: Oid, other: Oid| relation(&history.root(), &ours.to_string(), &other.to_string());
    assert_eq!(related(third, first), Relation::Unknown);
    assert_eq!(related(third, second), Relation::Ancestor);
}

#[test]
fn a_source_tree_may_be_a_part_of_a_repository_or_be_entered_deeper() {
    let history = History::empty();
    history.layer("images/science/a");
    history.write("images/image-builder.toml", "repo = \"x/y\"\n");
    history.write("science/other", "not of the tree\n");
    history.commit("one");
    history.write("images/science/a/file", "changed\n");
    history.write("elsewhere", "changed\n");
    for start in ["images", "images/science", "images/science/a"] {
        let opened = open(&Options { start: history.path(start), ..history.options("HEAD") }).unwrap();
        assert_eq!((&opened.root, &opened.repository), (&history.path("images"), &history.root()), "{start}");
        assert_eq!(paths(&opened.inputs.now), ["science/a"]);
        assert_eq!(layer(&opened.inputs.now, "science/a").descriptor.path, "science/a/sciserver-image.json");
        assert_eq!(opened.inputs.now.config.unwrap().text, "repo = \"x/y\"\n");
        assert_eq!(opened.uncommitted, ["science/a/file"]);
    }
    let before = history.commit("two");
    history.write("images/science/a/file", "again\n");
    assert_eq!(
        paths(base(&open(&Options { start: history.path("images"), ..history.options("HEAD") }).unwrap())),
        ["science/a"]
    );
    assert_eq!(before, history.git.refname_to_id("HEAD").unwrap());
}

#[test]
fn a_linked_working_tree_is_a_working_tree() {
    let history = History::small();
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().canonicalize().unwrap().join("linked");
    history.git.worktree("linked", &at, None).unwrap();
    fs::write(at.join("science/a/file"), "there\n").unwrap();
    let opened = open(&Options { start: at.clone(), ..history.options("HEAD") }).unwrap();
    assert_eq!((opened.root, opened.uncommitted), (at, vec!["science/a/file".to_owned()]));
    assert_eq!(history.open("HEAD").uncommitted, Vec::<String>::new());
}

#[test]
fn what_is_no_source_tree_is_told_apart() {
    let nothing = tempfile::tempdir().unwrap();
    let at =
        |path: &std::path::Path| open(&Options { start: path.to_owned(), ..Options::default() }).unwrap_err();
    let error = at(nothing.path());
    assert!(matches!(error, SourceError::NoSourceTree { .. }), "{error}");
    assert!(error.help().unwrap().contains("--root"));
    assert!(matches!(at(&nothing.path().join("nonesuch")), SourceError::NoDirectory { .. }));

    fs::create_dir(nothing.path().join("science")).unwrap();
    let error = at(nothing.path());
    assert!(matches!(error, SourceError::NoRepository { .. }), "{error}");

    let history = History::empty();
    history.layer("science/a");
    let error = at(&history.root());
    assert!(matches!(error, SourceError::NoCommit), "{error}");
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[test]
fn a_base_without_the_roots_is_empty() {
    let history = History::empty();
    history.write("README", "nothing yet\n");
    history.commit("one");
    history.layer("science/a");
    history.commit("two");
    let opened = history.open("HEAD^");
    assert_eq!(paths(base(&opened)), Vec::<&str>::new());
    assert_eq!(paths(&opened.inputs.now), ["science/a"]);
}
