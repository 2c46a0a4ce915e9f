//! Requests that are rejected before a build, with text and exit code.

use crate::support::{SAMPLE, Tree};

#[test]
fn ten_wrong_things_give_ten_findings() {
    let mut tree = Tree::new();
    tree.write_all(SAMPLE);
    tree.write_all(
        r#"
//- /science/broken/sciserver-image.json
{"image": "broken", "imag": 1}
//- /science/broken/Dockerfile
FROM scratch
//- /science/twin/sciserver-image.json
{"image": "twin", "target": "nist-basic", "compat": null}
//- /science/twin/Dockerfile
FROM scratch
//- /science/lower/sciserver-image.json
{"image": "nist-basic", "version": "0.9", "compat": null}
//- /science/lower/Dockerfile
FROM sci/nist-basic-2:2.0
//- /science/lost/sciserver-image.json
{"image": "lost", "compat": "jupiter"}
//- /science/lost/Dockerfile
FROM scratch
//- /compat/a/sciserver-image.json
{"includes": ["b"]}
//- /compat/a/Dockerfile
//- /compat/b/sciserver-image.json
{"includes": ["a"]}
//- /compat/b/Dockerfile
//- /science/bare/sciserver-image.json
{"image": "bare", "compat": null}
//- /compat/stage/sciserver-image.json
{}
//- /compat/stage/Dockerfile
FROM debian:12
//- /science/frontend/sciserver-image.json
{"image": "frontend", "compat": null}
//- /science/frontend/Dockerfile
# syntax=example.org/evil:1
FROM scratch
//- /science/dangling/sciserver-image.json
{"image": "dangling", "compat": null}
//- /science/dangling/Dockerfile
FROM sci/nist-basicc:1.0
//- /science/self/sciserver-image.json
{"image": "self", "compat": null}
//- /science/self/Dockerfile
FROM sci/self:1.0
"#,
    );
    tree.commit();
    let run = tree.run(&["plan"]).code(2);
    assert_eq!(run.stdout, "");
    insta::assert_snapshot!(run.stderr, @r#"
    compat/a/sciserver-image.json:1:15: error: compat layers include each other: compat/a → compat/b → compat/a [include-cycle]
      help: remove one of these includes
    compat/stage/Dockerfile:1:1: error: a compat fragment has a FROM [fragment-from]
      help: remove it: the fragment is put on top of a science image
    science/bare/Dockerfile: error: the layer science/bare has no Dockerfile [no-dockerfile]
      help: write one, or remove the directory's sciserver-image.json; git must track it
    science/broken/sciserver-image.json:1:21: error: unknown field "imag" [descriptor-field]
      help: did you mean "image"? fields of your own begin with "x-"
    science/dangling/Dockerfile:1:6: error: no layer of the tree has the target nist-basicc [unknown-target]
      help: did you mean nist-basic? a layer that exists in the registry only is named in image-builder.toml: published = ["nist-basicc"]
    science/frontend/Dockerfile:1:1: error: the frontend "example.org/evil:1" is not allowed: it would run in place of the builder's own [frontend]
      help: remove the line, use docker/dockerfile:1, or pass `--allow-frontend example.org/evil:1` if you trust it
    science/lost/sciserver-image.json:1:29: error: there is no compat layer jupiter [unknown-compat]
      help: did you mean jupyter?
    science/lower/sciserver-image.json:1:36: error: nist-basic 0.9 is based on science/nist-basic-2, which is nist-basic 2.0 [version-below]
      help: give it a version of at least 2.0
    science/self/Dockerfile:1:6: error: layers need each other: science/self → science/self [cycle]
      help: remove one of these references, or name a build tag in it, which is not a dependency
    science/twin/sciserver-image.json:1:29: error: target nist-basic is that of science/nist-basic too [duplicate-target]
      help: give one of the two another "target"; images and labels are named by it
    10 problems in the source tree or the flags
    "#);
}

#[test]
fn what_git_cannot_give_has_its_exit_code() {
    let tree = Tree::sample();
    let zeros = format!("{}..HEAD", "0".repeat(40));
    let gone = "1234567890123456789012345678901234567890";
    for (revision, code, text) in [
        ("nowhere", 2, "unknown revision"),
        ("--output=F", 2, "begins with '-'"),
        (zeros.as_str(), 2, "all zeros"),
        (gone, 5, gone),
    ] {
        let run = tree.run(&["plan", &format!("--ref={revision}")]).code(code);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(text), "{}", run.stderr);
        assert!(run.stderr.contains("\n  help: "), "{}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    assert!(!tree.root().join("F").exists());
}

#[test]
fn no_source_tree_and_bad_flags_are_usage() {
    let tree = Tree::new();
    tree.run(&["plan"]).code(2);
    tree.run(&["--no-such-flag"]).code(2);
    tree.run(&["--jobs", "0"]).code(2);
    tree.run(&["build", "--format", "json", "--progress", "json"]).code(2);
    Tree::sample().run(&["plan", "--root", "/nonexistent"]).code(2);
}

#[test]
fn a_directory_that_is_no_layer_is_named_with_the_closest() {
    let tree = Tree::sample();
    let run = tree.run(&["plan", "--ignore", "science/nist-basik"]).code(2);
    assert!(run.stderr.contains("science/nist-basik"), "{}", run.stderr);
    assert!(run.stderr.contains("science/nist-basic"), "{}", run.stderr);
}

#[test]
fn a_deleted_product_is_refused_until_it_is_given_up() {
    let mut tree = Tree::sample();
    tree.remove("science/nist-basic-2");
    tree.commit();
    let run = tree.run(&["plan"]).code(2);
    assert!(run.stderr.contains("nist-basic:2.0") && run.stderr.contains("--allow-orphan"), "{}", run.stderr);
    tree.run(&["plan", "--allow-orphan", "nist-basic:2.0"]).code(0);
}

#[test]
fn a_frontend_is_allowed_by_flag_or_environment_only() {
    let mut tree = Tree::sample();
    tree.write(
        "science/nist-basic/Dockerfile",
        "# syntax=example.org/frontend:1\nFROM docker.io/library/debian:12.5\nCOPY packages.txt /opt/\n",
    );
    tree.commit();
    tree.run(&["plan"]).code(2);
    tree.run(&["plan", "--allow-frontend", "example.org/frontend:1"]).code(0);
    let output = tree
        .command(&["plan"])
        .env("IMAGE_BUILDER_ALLOW_FRONTEND", "example.org/other:1, example.org/frontend:1")
        .output()
        .unwrap();
    tree.outcome(&output).code(0);
}

#[test]
fn hostile_names_reach_the_terminal_escaped() {
    let mut tree = Tree::sample();
    tree.write(
        "science/nist-basic/sciserver-image.json",
        "{\"image\": \"nist-basic\", \"version\": \"1.0\", \"\\u001b[31m\\u202e::error::x\": 1, \"compat\": \"jupyter\"}",
    );
    tree.commit();
    let run = tree.run(&["plan"]).code(2);
    assert!(!run.stderr.contains(['\x1b', '\u{202e}', '\r']), "{:?}", run.stderr);
    assert!(!run.stderr.lines().any(|line| line.trim_start().starts_with("::")), "{}", run.stderr);
}
