//! The meaning of each kind of reference: the table in the specification.

use plan::{Build, BuildId, Target};
use planner::{Request, fixture};

use crate::{plan, refused};

/// A layer `own` (1.0) with one reference, in a tree with `nist` (1.0), under the repo
/// `r.example.org/ci`.
fn tree(reference: &str) -> String {
    format!(
        r#"
//- /image-builder.toml
repo = "r.example.org/ci"
aliases = ["old.example.org"]
published = ["given-up"]
[check]
from-rel = "warn"
//- /science/nist/Dockerfile
FROM docker.io/library/debian:12
//- /science/nist/sciserver-image.json
{{ "image": "nist", "version": "1.0", "compat": null }}
//- /science/own/Dockerfile
FROM {reference}
//- /science/own/sciserver-image.json
{{ "image": "own", "version": "1.0", "compat": null }}
"#
    )
}

fn own(reference: &str, request: &Request) -> (Build, Vec<String>) {
    let base = tree("docker.io/library/busybox:1");
    let planned = plan(&fixture::inputs(&tree(reference), &base), request);
    let build = planned.plan.build(&BuildId("science/own".to_owned())).expect("it changed").clone();
    (build, planned.plan.warnings.into_iter().map(|warning| warning.code).collect())
}

#[test]
fn every_kind_of_reference() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let by_digest = format!("sci/nist@{digest}");
    let by_both = format!("old.example.org/sci/nist:1.0@{digest}");
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let long = format!("sci/nist:1.0-7-{hash}");
    let table: [(&str, &str, &[&str]); 27] = [
        ("sci/nist:1.0", "layer r.example.org/ci/sci/nist:1.0", &[]),
        ("r.example.org/ci/sci/nist:1.0", "layer r.example.org/ci/sci/nist:1.0", &[]),
        ("old.example.org/sci/nist:1.0", "layer r.example.org/ci/sci/nist:1.0", &[]),
        ("nist:1.0", "layer r.example.org/ci/sci/nist:1.0", &["bare-target"]),
        ("sci/nist:1.0-7-0a1b2c3", "pinned r.example.org/ci/sci/nist:1.0-7-0a1b2c3", &[]),
        (&long, &format!("pinned r.example.org/ci/{long}"), &[]),
        (
            "sci/nist:1.0-7-0a1b2c3-dirty-01234567-r2",
            "pinned r.example.org/ci/sci/nist:1.0-7-0a1b2c3-dirty-01234567-r2",
            &[],
        ),
        ("old.example.org/sci/nist:0.9-7-0a1b2c3", "pinned old.example.org/sci/nist:0.9-7-0a1b2c3", &[]),
        ("sci/gone:1.0-7-0a1b2c3", "pinned r.example.org/ci/sci/gone:1.0-7-0a1b2c3", &[]),
        (&by_digest, &format!("pinned r.example.org/ci/{by_digest}"), &[]),
        (&by_both, &format!("pinned {by_both}"), &[]),
        ("sci/nist:0.9", "layer r.example.org/ci/sci/nist:0.9", &["version-gone"]),
        ("sci/nist:1.0-7-0a1b2c", "layer r.example.org/ci/sci/nist:1.0-7-0a1b2c", &["version-gone"]),
        ("sci/nist:latest", "layer r.example.org/ci/sci/nist:latest", &["version-gone"]),
        ("sci/given-up:3.1", "layer r.example.org/ci/sci/given-up:3.1", &[]),
        ("rel/nist:1.0", "external r.example.org/ci/rel/nist:1.0", &["from-rel"]),
        ("old.example.org/rel/nist:1.0", "external old.example.org/rel/nist:1.0", &["from-rel"]),
        ("own:1.0", "external docker.io/library/own:1.0", &[]),
        ("nist:1.1", "external docker.io/library/nist:1.1", &["external-like-layer"]),
        ("nist", "external docker.io/library/nist:latest", &["external-like-layer"]),
        ("old.example.org/nist:1.0", "external old.example.org/nist:1.0", &["external-like-layer"]),
        ("debian", "external docker.io/library/debian:latest", &[]),
        ("docker.io/sci/nist:1.0", "external docker.io/sci/nist:1.0", &["external-like-layer"]),
        (
            "other.example.org/x/sci/nist:1.0",
            "external other.example.org/x/sci/nist:1.0",
            &["external-like-layer"],
        ),
        (
            "r.example.org/ci-two/sci/nist:1.0",
            "external r.example.org/ci-two/sci/nist:1.0",
            &["external-like-layer"],
        ),
        ("r.example.org/ci/base/x:1", "external r.example.org/ci/base/x:1", &[]),
        ("scratch", "scratch", &[]),
    ];
    for (reference, meaning, warnings) in table {
        let (build, codes) = own(reference, &Request::default());
        let shown: Vec<String> = build.references.iter().map(|reference| show(&reference.target)).collect();
        assert_eq!(
            (shown, codes.iter().map(String::as_str).collect()),
            (vec![meaning.to_owned()], warnings.to_vec()),
            "{reference}"
        );
        assert_eq!(
            build.labels["org.opencontainers.image.base.name"],
            meaning.rsplit(' ').next().filter(|_| meaning != "scratch").unwrap_or(""),
            "{reference}"
        );
    }
}

fn show(target: &Target) -> String {
    match target {
        Target::Build { id } => format!("build {id}"),
        Target::Layer { reference, .. } => format!("layer {reference}"),
        Target::Pinned { reference } => format!("pinned {reference}"),
        Target::External { reference } => format!("external {reference}"),
        Target::Scratch => "scratch".to_owned(),
    }
}

#[test]
fn another_repo_has_its_own_parents() {
    let request = Request { repo: Some("localhost:5000/test".to_owned()), ..Request::default() };
    for (reference, meaning) in [
        ("sci/nist:1.0", "layer localhost:5000/test/sci/nist:1.0"),
        ("localhost:5000/test/sci/nist:1.0", "layer localhost:5000/test/sci/nist:1.0"),
        ("r.example.org/ci/sci/nist:1.0", "layer localhost:5000/test/sci/nist:1.0"),
        ("old.example.org/sci/nist:1.0", "layer localhost:5000/test/sci/nist:1.0"),
        ("sci/nist:1.0-7-0a1b2c3", "pinned localhost:5000/test/sci/nist:1.0-7-0a1b2c3"),
    ] {
        let (build, _) = own(reference, &request);
        assert_eq!(show(&build.references[0].target), meaning, "{reference}");
        assert_eq!(build.tags.moving, "localhost:5000/test/sci/own:1.0");
    }
}

#[test]
fn repos_may_begin_alike() {
    let request = Request { repo: Some("r.example.org/ci".to_owned()), ..Request::default() };
    for (own_repo, aliases, reference) in [
        ("r.example.org/ci/images", "[]", "r.example.org/ci/images/sci/nist:1.0"),
        (
            "q.example.org/x",
            r#"["r.example.org", "r.example.org/ci/sci"]"#,
            "r.example.org/ci/sci/sci/nist:1.0",
        ),
        ("q.example.org/x", r#"["r.example.org/sci", "r.example.org"]"#, "r.example.org/sci/nist:1.0"),
    ] {
        let configured = |reference: &str| {
            tree(reference)
                .replace("repo = \"r.example.org/ci\"", &format!("repo = \"{own_repo}\""))
                .replace(r#"["old.example.org"]"#, aliases)
        };
        let inputs = fixture::inputs(&configured(reference), &configured("docker.io/library/busybox:1"));
        let planned = plan(&inputs, &request);
        let build = planned.plan.build(&BuildId("science/own".to_owned())).expect("it changed");
        assert_eq!(show(&build.references[0].target), "layer r.example.org/ci/sci/nist:1.0", "{reference}");
    }
}

#[test]
fn warnings_say_where_and_what_to_do() {
    let base = tree("docker.io/library/busybox:1");
    let of =
        |reference: &str| crate::short(&plan(&fixture::inputs(&tree(reference), &base), &Request::default()));
    insta::assert_snapshot!(of("nist:1.0"), @r"
    science/own
        files science/own/Dockerfile
    warning science/own/Dockerfile:1: nist:1.0 is treated as the layer science/nist [bare-target]
      help: write sci/nist:1.0 for that layer, or docker.io/library/nist:1.0 for another image
    ");
    insta::assert_snapshot!(of("sci/nist:0.9"), @r"
    science/own
        files science/own/Dockerfile
    warning science/own/Dockerfile:1: the tree has nist at version 1.0, not 0.9: sci/nist:0.9 will be taken from the registry [version-gone]
      help: write sci/nist:1.0 to use science/nist as the base
    ");
    insta::assert_snapshot!(of("docker.io/sci/nist:1.0"), @r#"
    science/own
        files science/own/Dockerfile
    warning science/own/Dockerfile:1: docker.io/sci/nist:1.0 is an image of another maker, though science/nist has that name [external-like-layer]
      help: write sci/nist:1.0 to use that layer as the base; if the other is meant, external-like-layer = "allow" under [check] says so
    "#);
    let missing = tree("sci/nist:1.0").replace("\"own\", \"version\": \"1.0\", \"compat\": null", "\"own\"");
    insta::assert_snapshot!(crate::short(&plan(&fixture::inputs(&missing, &missing), &Request::default())), @r#"
    warning science/own/sciserver-image.json:1: own:1.0 ends here without a compat, so it has no image to run [no-compat]
      help: name a compat layer ("compat": "…"), or write "compat": null if that is meant
    "#);
}

#[test]
fn unknown_targets_are_refused_in_every_form() {
    for reference in
        ["sci/nost:1.0", "r.example.org/ci/sci/nost:1.0", "old.example.org/sci/nost", "sci/a/b:1"]
    {
        let told = refused(&fixture::first(&tree(reference)), &Request::default());
        assert!(
            told.starts_with("science/own/Dockerfile:1:6: no layer of the tree has the target"),
            "{told}"
        );
    }
}
