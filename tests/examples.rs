//! Every example results in its expected plan.
//!
//! `UPDATE_EXAMPLES=1 cargo test --test examples` writes the output to `expected.txt`, for review
//! and commit.

mod support;

use std::collections::BTreeSet;
use std::fs;

use support::{Repository, workspace};

fn check(name: &str) {
    let transcript = transcript(&Repository::example(name), &["-v", "--dryrun"]);
    let file = workspace().join("examples").join(name).join("expected.txt");
    if std::env::var_os("UPDATE_EXAMPLES").is_some() {
        fs::write(&file, &transcript).expect("the example can be written");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(transcript, expected, "{} says otherwise", file.display());
}

/// Returns the user's view: the command line, both streams, and the exit code unless it is 0.
fn transcript(repository: &Repository, arguments: &[&str]) -> String {
    let output = repository.image_builder(arguments);
    let mut text = format!("$ image-builder {}\n", arguments.join(" "));
    for stream in [&output.stdout, &output.stderr] {
        text.push_str(&String::from_utf8_lossy(stream));
    }
    match output.status.code() {
        Some(0) => {}
        code => text
            .push_str(&format!("exit {}\n", code.map_or("by a signal".to_owned(), |code| code.to_string()))),
    }
    text.replace(&*repository.root().to_string_lossy(), "$ROOT")
}

macro_rules! examples {
    ($($function:ident: $name:literal),+ $(,)?) => {
        $(#[test] fn $function() { check($name); })+

        #[test]
        fn no_example_is_left_out() {
            let tested = BTreeSet::from([$($name.to_owned()),+]);
            let there = fs::read_dir(workspace().join("examples"))
                .expect("examples/ is there")
                .map(|entry| entry.expect("readable").path())
                .filter(|path| path.join("make.sh").is_file())
                .map(|path| path.file_name().expect("an entry has a name").to_string_lossy().into_owned())
                .collect::<BTreeSet<_>>();
            assert_eq!(tested, there);
        }
    };
}

examples! {
    add_without_version: "add-without-version",
    change_in_place: "change-in-place",
    compat_update: "compat-update",
    copy_from: "copy-from",
    deleted_top_layer: "deleted-top-layer",
    new_version: "new-version",
    nothing_to_build: "nothing-to-build",
    orphan_refused: "orphan-refused",
    other_compat: "other-compat",
    pinned_reference: "pinned-reference",
    predecessor_sample: "predecessor-sample",
}
