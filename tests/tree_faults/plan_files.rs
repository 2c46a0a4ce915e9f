//! Values of `--plan FILE` that are not a plan are rejected, and the contents of the file have no
//! effect.

use std::fs;
use std::os::unix::fs::symlink;

use crate::fixture::{listing, refused, run};
use crate::support::Tree;

#[test]
fn a_plan_file_that_is_none_is_refused() {
    let tree = Tree::sample();
    let file = tree.home().join("plan.json");
    let path = file.to_str().unwrap();
    run(&tree, &["plan", "--out", path]).code(0);
    let text = fs::read(&file).unwrap();
    let good = String::from_utf8(text.clone()).unwrap();
    // Counter-test: the saved file itself is accepted.
    run(&tree, &["build", "--dryrun", "--plan", path]).code(0);
    let version = format!("\"{}\"", plan::FORMAT_VERSION);
    let mut latin = text.clone();
    latin.insert(10, 0xe9);
    let cases: [(&str, Vec<u8>, &str); 10] = [
        ("not UTF-8", latin, "UTF-8"),
        ("UTF-16", good.encode_utf16().flat_map(u16::to_le_bytes).collect(), "plan"),
        ("empty", Vec::new(), "plan"),
        ("cut off", text[..text.len() / 2].to_vec(), "plan"),
        ("trailing data", [&text[..], b"{}"].concat(), "plan"),
        ("no JSON", b"\x1b[31m::error::x".to_vec(), "plan"),
        ("another major", good.replacen(&version, "\"2.0\"", 1).into_bytes(), "format version 2.0"),
        ("no version", b"{}".to_vec(), "plan"),
        ("a version that is none", good.replacen(&version, "\"one\"", 1).into_bytes(), "plan"),
        ("200,000 levels", "[".repeat(200_000).into_bytes(), "plan"),
    ];
    for (what, bytes, word) in cases {
        fs::write(&file, bytes).unwrap();
        let before = listing(&tree.root());
        for arguments in [
            &["build", "--plan", path][..],
            &["build", "--push", "--plan", path],
            &["--dryrun", "--plan", path],
        ] {
            let run = refused(&tree, arguments, 2, &[word]);
            assert!(run.stderr.contains("plan.json"), "{what}: {}", run.stderr);
        }
        assert_eq!(listing(&tree.root()), before, "{what}");
    }
}

#[test]
fn a_plan_file_that_cannot_be_read_is_the_environment() {
    let tree = Tree::sample();
    let directory = tree.home();
    let dangling = tree.home().join("dangling");
    symlink("/nonexistent", &dangling).unwrap();
    for path in ["/nonexistent/plan.json", directory.to_str().unwrap(), dangling.to_str().unwrap()] {
        refused(&tree, &["build", "--plan", path], 5, &["cannot read"]);
    }
}
