//! Changes that affect the inputs digest, and changes that do not.

use std::collections::{BTreeMap, BTreeSet};

use planner::tree::Inputs;
use planner::{Request, Selection, fixture};

use super::plan;

const TREE: &str = r#"
//- /image-builder.toml
repo = "r.example.org/x"
platform = "linux/amd64"
//- /science/base/Dockerfile
FROM docker.io/library/debian:12
//- /science/base/sciserver-image.json
{ "image": "base", "version": "1.0" }
//- /science/leaf/Dockerfile
FROM sci/base:1.0
COPY --from=docker.io/library/busybox:1 / /
//- /science/leaf/.dockerignore
*.log
//- /science/leaf/data
1
//- /science/leaf/link -> data
//- /science/leaf/noise.log
x
//- /science/leaf/sciserver-image.json
{ "image": "leaf", "version": "1.0", "target": "leaf", "compat": "web", "args": {"A": "1"} }
//- /compat/core/Dockerfile
RUN core
//- /compat/core/etc/conf
core
//- /compat/core/sciserver-image.json
{}
//- /compat/other/Dockerfile
RUN other
//- /compat/other/sciserver-image.json
{}
//- /compat/web/Dockerfile
RUN web
//- /compat/web/sciserver-image.json
{ "includes": ["core"] }
"#;

/// The digest of each build.
fn digests(inputs: &Inputs, request: &Request) -> BTreeMap<String, String> {
    let all = Request { selection: Selection::All, ..request.clone() };
    let builds = plan(inputs, &all).plan.builds;
    builds.into_iter().map(|build| (build.id.0, build.context.inputs)).collect()
}

fn of(text: &str) -> BTreeMap<String, String> {
    digests(&fixture::first(text), &Request::default())
}

/// Ids of the builds whose digest changed.
fn changed(text: &str) -> BTreeSet<String> {
    let before = of(TREE);
    let after = of(text);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    before.into_iter().filter(|(id, digest)| after[id] != *digest).map(|(id, _)| id).collect()
}

#[test]
fn each_thing_that_matters_changes_it() {
    let (base, leaf, product) = ("science/base", "science/leaf", "rel/leaf:1.0");
    for (from, to, expect) in [
        ("debian:12", "debian:13", &[base][..]),
        ("FROM sci/base", "from sci/base", &[leaf]),
        ("busybox:1 /", "busybox:2 /", &[leaf]),
        ("leaf/data\n1", "leaf/data\n2", &[leaf]),
        ("leaf/data\n1", "leaf/data\n1\n", &[leaf]),
        ("/leaf/data\n", "/leaf/data +x\n", &[leaf]),
        ("/leaf/data\n", "/leaf/datum\n", &[leaf]),
        ("link -> data", "link -> other", &[leaf]),
        ("//- /science/leaf/link -> data\n", "", &[leaf]),
        ("//- /science/leaf/link", "//- /science/leaf/new\n//- /science/leaf/link", &[leaf]),
        ("*.log\n", "*.txt\n", &[leaf]),
        (r#""A": "1""#, r#""A": "2""#, &[leaf]),
        (r#""A": "1""#, r#""B": "1""#, &[leaf]),
        (r#", "args": {"A": "1"}"#, "", &[leaf]),
        ("linux/amd64", "linux/arm64", &[base, leaf, product]),
        ("RUN core", "RUN more", &[product]),
        ("RUN web", "RUN net", &[product]),
        ("conf\ncore", "conf\nmore", &[product]),
        ("/etc/conf\n", "/etc/conf +x\n", &[product]),
        (r#""includes": ["core"]"#, r#""includes": ["core", "other"]"#, &[product]),
        (r#""includes": ["core"]"#, r#""includes": []"#, &[product]),
        (r#""includes": ["core"]"#, r#""includes": ["core"], "args": {"A": "1"}"#, &[product]),
        (r#""compat": "web""#, r#""compat": "core""#, &[product]),
        (r#""target": "leaf""#, r#""target": "tree""#, &[product]),
    ] {
        assert!(TREE.contains(from), "{from}");
        let expect = expect.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(changed(&TREE.replacen(from, to, 1)), expect, "{from} => {to}");
    }
}

#[test]
fn nothing_else_does() {
    for (from, to) in [
        ("noise.log\nx", "noise.log\ny"),
        ("//- /science/leaf/noise.log\nx\n", ""),
        (r#""version": "1.0" }"#, r#""version": "1.0", "description": "d", "authors": "a", "url": "u" }"#),
        (r#"{ "image": "leaf", "#, "# a comment\n{ \"image\": \"leaf\",\n "),
        (r#"{ "image": "base", "#, r#"{ "tests": [{"run": ["true"]}], "image": "base", "#),
        ("r.example.org/x", "q.example.org/y"),
        ("RUN other", "RUN something"),
        ("platform =", "label_prefix = \"org.example\"\nplatform ="),
        (r#"{ "includes""#, r#"{ "description": "d", "tests": [{"run": ["true"]}], "includes""#),
    ] {
        assert!(TREE.contains(from), "{from}");
        assert_eq!(changed(&TREE.replacen(from, to, 1)), BTreeSet::new(), "{from} => {to}");
    }
    // Neither the commit, nor flags, nor a layer's directory affect it.
    let mut inputs = fixture::first(TREE);
    inputs.revision.count = Some(7);
    inputs.revision.dirty = Some("01234567".to_owned());
    let flags = Request { repo: Some("localhost:5000/z".to_owned()), rebuild: Some(9), ..Request::default() };
    assert_eq!(digests(&inputs, &flags), of(TREE));
    let moved = of(&TREE.replace("/science/leaf/", "/science/deep/tree/"));
    assert_eq!(moved["science/deep/tree"], of(TREE)["science/leaf"]);
    assert_eq!(moved["rel/leaf:1.0"], of(TREE)["rel/leaf:1.0"]);
}

#[test]
fn no_two_builds_share_it_by_how_fields_meet() {
    // The same bytes, split into fields differently.
    let leaf = |args: &str| {
        let text = TREE.replace(r#"{"A": "1"}"#, args);
        of(&text)["science/leaf"].clone()
    };
    let all = [r#"{"AB": "1"}"#, r#"{"A": "B1"}"#, r#"{"A": "", "B": "1"}"#, r#"{"AB1": ""}"#, "{}"];
    let digests: BTreeSet<String> = all.iter().map(|args| leaf(args)).collect();
    assert_eq!(digests.len(), all.len());
}
