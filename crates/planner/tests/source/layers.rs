//! The directories that are layers, the layers that two sides share, and errors.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use plan::Kind;
use planner::tree::{Mode, OnDisk};

use crate::history::{History, base, file, files, layer, paths, problems};

#[test]
fn a_layer_is_read_with_its_texts_and_files() {
    let history = History::empty();
    history.layer("science/deep/er/a");
    history.write("science/deep/er/a/.dockerignore", "ignored\n");
    history.write("science/deep/er/a/bin/run", "#!/bin/sh\n");
    history.executable("science/deep/er/a/bin/run");
    history.link("science/deep/er/a/link", "bin/run");
    history.write("science/README", "of no layer\n");
    history.commit("one");

    let opened = history.open("HEAD");
    let tree = &opened.inputs.now;
    assert_eq!(paths(tree), ["science/deep/er/a"]);
    let a = layer(tree, "science/deep/er/a");
    assert_eq!(a.kind, Kind::Science);
    assert_eq!(a.descriptor.text, "{}\n");
    assert_eq!(a.dockerfile.as_ref().unwrap().text, "FROM scratch\nCOPY file /\n");
    assert_eq!(a.ignore_file.as_ref().unwrap().path, "science/deep/er/a/.dockerignore");
    assert_eq!(files(a), [".dockerignore", "Dockerfile", "bin/run", "file", "link", "sciserver-image.json"]);

    let run = file(tree, "science/deep/er/a", "bin/run");
    assert_eq!(run.mode, Mode::Executable);
    assert_eq!(a.directory, history.path("science/deep/er/a"));
    assert_eq!(run.on_disk, Some(OnDisk::Blob));
    assert_eq!(run.id.to_string(), "1a2485251c33a70432394c93fb89330ef214bfc9");
    let link = file(tree, "science/deep/er/a", "link");
    assert_eq!((&link.mode, &link.on_disk), (&Mode::Symlink("bin/run".to_owned()), &None));

    history.write("science/deep/er/a/Dockerfile.dockerignore", "other\n");
    history.commit("two");
    let opened = history.open("HEAD");
    let ignore_file = layer(&opened.inputs.now, "science/deep/er/a").ignore_file.clone().unwrap();
    assert_eq!(ignore_file.path, "science/deep/er/a/Dockerfile.dockerignore");
}

#[test]
fn what_both_sides_hold_alike_is_read_once() {
    let history = History::small();
    history.layer("science/b");
    history.write("science/b/sub/same", "same\n");
    history.commit("b");
    history.write("science/b/file", "changed\n");
    history.commit("changed");
    for comparison in ["HEAD^", "HEAD^..HEAD", "HEAD~1..HEAD~0"] {
        let opened = history.open(comparison);
        let (now, base) = (&opened.inputs.now, base(&opened));
        assert!(Arc::ptr_eq(layer(now, "science/a"), layer(base, "science/a")), "{comparison}");
        assert!(Arc::ptr_eq(layer(now, "compat/c"), layer(base, "compat/c")), "{comparison}");
        assert!(!Arc::ptr_eq(layer(now, "science/b"), layer(base, "science/b")), "{comparison}");
        assert_eq!(files(layer(base, "science/b")), files(layer(now, "science/b")));
        assert_eq!(file(base, "science/b", "sub/same").id, file(now, "science/b", "sub/same").id);
        assert_ne!(file(base, "science/b", "file").id, file(now, "science/b", "file").id);
        assert_eq!(file(base, "science/b", "file").on_disk, None);
        assert!(file(now, "science/a", "file").on_disk.is_some());
    }
}

#[test]
fn the_base_has_the_texts_of_its_time() {
    let history = History::small();
    history.write("science/a/sciserver-image.json", "{\"version\": \"2.0\"}\n");
    history.write("image-builder.toml", "platform = \"linux/arm64\"\n");
    history.commit("new");
    history.write("science/a/Dockerfile", "FROM later\n");
    let opened = history.open("HEAD^");
    let (now, base) = (&opened.inputs.now, base(&opened));
    assert_eq!(layer(base, "science/a").descriptor.text, "{}\n");
    assert_eq!(layer(now, "science/a").descriptor.text, "{\"version\": \"2.0\"}\n");
    assert_eq!(layer(now, "science/a").dockerfile.as_ref().unwrap().text, "FROM later\n");
    assert_eq!(base.config, None);
    assert_eq!(now.config.as_ref().unwrap().text, "platform = \"linux/arm64\"\n");
}

#[test]
fn a_layer_inside_a_layer_is_refused_with_both_names() {
    let history = History::small();
    history.layer("science/a-b");
    history.layer("science/a/deep/inner");
    history.write("compat/sciserver-image.json", "{}\n");
    history.commit("nested");
    let opened = history.open("HEAD");
    assert_eq!(
        problems(&opened.inputs.now),
        [
            ("layer-at-root", "compat/sciserver-image.json"),
            ("nested-layer", "science/a/deep/inner/sciserver-image.json"),
        ]
    );
    let message = &opened.inputs.now.problems[1].message;
    assert!(message.contains("science/a/deep/inner") && message.contains("science/a,"), "{message}");
    assert_eq!(problems(&history.open("HEAD..HEAD").inputs.now), problems(&opened.inputs.now));
}

#[test]
fn texts_that_are_none_are_refused_and_not_read() {
    let history = History::small();
    history.write("science/a/sciserver-image.json", vec![b' '; (1 << 20) + 1]);
    history.write("compat/c/Dockerfile", b"RUN caf\xe9\n");
    history.commit("bad");
    history.write("compat/c/file", "dirty\n");
    for comparison in ["HEAD", "HEAD^..HEAD"] {
        let opened = history.open(comparison);
        let tree = &opened.inputs.now;
        assert_eq!(
            problems(tree),
            [("not-utf8", "compat/c/Dockerfile"), ("too-large", "science/a/sciserver-image.json")],
            "{comparison}"
        );
        assert!(tree.problems.iter().all(|problem| problem.help.is_some()));
        assert_eq!(paths(tree), ["compat/c"]);
        assert_eq!(layer(tree, "compat/c").dockerfile, None);
    }
    // Not committed, so git does not have it either.
    history.write("science/a/sciserver-image.json", vec![b'x'; 2 << 20]);
    let opened = history.open("HEAD");
    assert_eq!(problems(&opened.inputs.now)[1], ("too-large", "science/a/sciserver-image.json"));
    history.write("science/a/sciserver-image.json", vec![b' '; 1 << 20]);
    assert_eq!(paths(&history.open("HEAD").inputs.now), ["compat/c", "science/a"]);
}

#[test]
fn paths_that_cannot_be_shown_are_refused_escaped() {
    let history = History::small();
    history.write("science/a/two\nlines", "x\n");
    history.write("science/a/esc\u{1b}[31m", "x\n");
    let latin = history.path("science/a").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::write(latin, "x\n").unwrap();
    history.commit("bad names");
    for comparison in ["HEAD", "HEAD^..HEAD"] {
        let opened = history.open(comparison);
        let tree = &opened.inputs.now;
        assert_eq!(
            problems(tree),
            [
                ("bad-path", "science/a/caf\\xe9"),
                ("bad-path", "science/a/esc\\u{1b}[31m"),
                ("bad-path", "science/a/two\\nlines"),
            ],
            "{comparison}"
        );
        assert!(tree.problems.iter().all(|problem| !problem.to_string().contains(['\u{1b}', '\u{fffd}'])));
        assert_eq!(files(layer(tree, "science/a")), ["Dockerfile", "file", "sciserver-image.json"]);
    }
    assert_eq!(history.open("HEAD").uncommitted, Vec::<String>::new());
}

#[test]
fn links_where_a_layer_must_lie_are_refused_and_never_followed() {
    const CANARY: &str = "the contents of a stranger's file";
    let outside = tempfile::tempdir().unwrap();
    let out = |name: &str| outside.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(out("layer")).unwrap();
    for name in ["layer/sciserver-image.json", "layer/Dockerfile", "secret"] {
        std::fs::write(out(name), CANARY).unwrap();
    }
    let history = History::small();
    for directory in ["descriptor", "dockerfile", "ignore", "replaced"] {
        history.layer(&format!("science/{directory}"));
    }
    for (link, target) in [
        ("science/descriptor/sciserver-image.json", "secret"),
        ("science/dockerfile/Dockerfile", "secret"),
        ("science/ignore/.dockerignore", "secret"),
    ] {
        if history.path(link).exists() {
            history.remove(link);
        }
        history.link(link, &out(target));
    }
    history.link("science/whole", &out("layer"));
    history.link("science/within", "a");
    history.link("science/LICENSE", "../LICENSE");
    history.link("image-builder.toml", &out("secret"));
    history.commit("links");
    let committed = [
        ("symlink", "image-builder.toml"),
        ("symlink", "science/descriptor/sciserver-image.json"),
        ("symlink", "science/dockerfile/Dockerfile"),
        ("symlink", "science/ignore/.dockerignore"),
        ("symlink", "science/whole"),
        ("symlink", "science/within"),
    ];
    let opened = history.open("HEAD^..HEAD~0");
    assert_eq!(problems(&opened.inputs.now), committed);
    history.remove("science/replaced");
    history.link("science/replaced", &out("layer"));
    let opened = history.open("HEAD");
    let mut on_disk = committed.to_vec();
    on_disk.insert(4, ("symlink", "science/replaced"));
    assert_eq!(problems(&opened.inputs.now), on_disk);
    assert_eq!(paths(&opened.inputs.now), ["compat/c", "science/a", "science/dockerfile", "science/ignore"]);
    assert!(!format!("{opened:?}").contains(CANARY));
}

#[test]
fn a_root_that_is_a_link_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("a")).unwrap();
    std::fs::write(outside.path().join("a/sciserver-image.json"), "secret").unwrap();
    let history = History::empty();
    history.link("science", outside.path().to_str().unwrap());
    history.commit("link");
    let opened = history.open("HEAD^");
    assert_eq!(problems(&opened.inputs.now), [("symlink", "science")]);
    assert_eq!(paths(&opened.inputs.now), Vec::<&str>::new());
}

/// A script that a descriptor names as a test is read as text, whether it is committed, changed,
/// new, or in another commit.
#[test]
fn scripts_of_tests_are_read_with_their_layer() {
    let history = History::empty();
    let scripts = |now: &planner::tree::Tree| {
        let scripts = &layer(now, "science/a").scripts;
        scripts.iter().map(|(path, file)| (path.clone(), file.text.clone())).collect::<Vec<_>>()
    };
    let read = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
    };
    history.layer("science/a");
    history.write("science/a/.dockerignore", "t\n");
    history.write("science/a/t/one.sh", "#!/bin/sh\necho 1\n");
    history.write("science/a/other.sh", "#!/bin/sh\n");
    history.link("science/a/link.sh", "t/one.sh");
    let tests = r#"{"image": "a", "tests": ["t/one.sh", "link.sh", "absent.sh"]}"#;
    history.write("science/a/sciserver-image.json", tests);
    history.commit("one");
    let committed = read(&[("t/one.sh", "#!/bin/sh\necho 1\n")]);
    assert_eq!(scripts(&history.open("HEAD").inputs.now), committed);
    assert_eq!(scripts(&history.open("HEAD..HEAD").inputs.now), committed);

    history.write("science/a/t/one.sh", "#!/bin/sh\necho 2\n");
    let opened = history.open("HEAD");
    assert_eq!(scripts(&opened.inputs.now), read(&[("t/one.sh", "#!/bin/sh\necho 2\n")]));
    let planner::tree::Base::Commit { tree, .. } = &opened.inputs.base else { panic!("there is a base") };
    assert_eq!(scripts(tree), committed, "the other side has its own");

    // Staged only; then too large, and not UTF-8.
    history.stage();
    assert_eq!(scripts(&history.open("HEAD").inputs.now), read(&[("t/one.sh", "#!/bin/sh\necho 2\n")]));
    for (bytes, code) in [(vec![b'x'; (1 << 20) + 1], "too-large"), (b"#!\xff\n".to_vec(), "not-utf8")] {
        history.write("science/a/t/one.sh", bytes);
        let opened = history.open("HEAD");
        let codes: Vec<&str> = opened.inputs.now.problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [code]);
        assert_eq!(scripts(&opened.inputs.now), []);
    }
}
