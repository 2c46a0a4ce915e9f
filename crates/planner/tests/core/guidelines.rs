//! Guidelines: findings that a check reports and a plan does not, their levels and fixes.

use planner::config::Level;
use planner::{Finding, Request, dockerfile, fixture};

use crate::{plan, refused, short};

const TREE: &str = r#"
//- /compat/common/Dockerfile
USER root
//- /compat/common/etc/profile
common
//- /compat/common/same
same
//- /compat/common/sciserver-image.json
{}
//- /compat/jupyter/Dockerfile
LABEL org.example.mine=1 org.sciserver.compat.version=2
COPY --from=debian:12 /etc/os-release /
//- /compat/jupyter/etc/profile
jupyter
//- /compat/jupyter/same
same
//- /compat/jupyter/sciserver-image.json
{ "includes": ["common"] }
//- /science/sky/Dockerfile
ARG VERSION=12
ARG BASE=debian:12
FROM golang AS build
LABEL org.opencontainers.image.title=elsewhere
FROM ${BASE} AS other
FROM docker.io/library/debian:${VERSION}
LABEL "org.opencontainers.image.title"="Sky" \
      org.sciserver.science.sky.inputs=x
LABEL org.opencontainers.image.licenses MIT
LABEL org.sciserver.science.sky.mine=x $KEY=y
//- /science/sky/sciserver-image.json
{ "image": "sky", "compat": "jupyter" }
//- /science/exact/Dockerfile
FROM quay.io/a/b:1@sha256:0000000000000000000000000000000000000000000000000000000000000000
COPY --from=sci/sky:1.0 /a /a
RUN --mount=type=bind,from=localhost:5000/x:latest,target=/x true
//- /science/exact/sciserver-image.json
{ "image": "exact", "compat": null }
"#;

fn found(tree: &str) -> Vec<Finding> {
    planner::check(&fixture::tree(tree), None, None, &Request::default()).findings
}

fn told(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { level, problem } in findings {
        let width = problem.width.map(|width| format!("+{width}")).unwrap_or_default();
        text.push_str(&format!("{level:?}{width} {problem}\n"));
    }
    text
}

#[test]
fn a_check_tells_every_guideline_that_is_broken() {
    insta::assert_snapshot!(told(&found(TREE)), @r#"
    Warn+28 compat/jupyter/Dockerfile:1:26: the label org.sciserver.compat.version is set by image-builder, so this one has no effect [label-overridden]
      help: remove it: it is written anew for each build
    Warn+9 compat/jupyter/Dockerfile:2:13: debian:12 is not pinned by digest: the tag can be moved to another image [from-unpinned]
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
    Warn+9 compat/jupyter/Dockerfile:2:13: debian:12 does not say which registry it comes from [from-unqualified]
      help: write docker.io/library/debian:12: engines can be set up to look elsewhere first
    Warn compat/jupyter/etc/profile: etc/profile of compat/common is replaced by this one in the stack of jupyter [compat-shadowed]
      help: give one of the two another name; if it is meant, set compat-shadowed = "allow" under [check]
    Warn+23 science/exact/Dockerfile:3:28: localhost:5000/x:latest is not pinned by digest: the tag can be moved to another image [from-unpinned]
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
    Warn+23 science/exact/Dockerfile:3:28: localhost:5000/x:latest: `latest` is not a version [from-unversioned]
      help: name a fixed version: without one, builds pick up new images unnoticed
    Warn+6 science/sky/Dockerfile:3:6: golang is not pinned by digest: the tag can be moved to another image [from-unpinned]
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
    Warn+6 science/sky/Dockerfile:3:6: golang does not say which registry it comes from [from-unqualified]
      help: write docker.io/library/golang: engines can be set up to look elsewhere first
    Warn+6 science/sky/Dockerfile:3:6: golang names no version [from-unversioned]
      help: name a fixed version: without one, builds pick up new images unnoticed
    Warn+7 science/sky/Dockerfile:5:6: debian:12 is not pinned by digest: the tag can be moved to another image [from-unpinned]
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
    Warn+7 science/sky/Dockerfile:5:6: debian:12 does not say which registry it comes from [from-unqualified]
      help: write docker.io/library/debian:12: engines can be set up to look elsewhere first
    Warn+35 science/sky/Dockerfile:6:6: docker.io/library/debian:12 is not pinned by digest: the tag can be moved to another image [from-unpinned]
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
    Warn+32 science/sky/Dockerfile:7:7: the label org.opencontainers.image.title is set by image-builder, so this one has no effect [label-overridden]
      help: remove it: it is written anew for each build
    Warn+32 science/sky/Dockerfile:8:7: the label org.sciserver.science.sky.inputs is set by image-builder, so this one has no effect [label-overridden]
      help: remove it: it is written anew for each build
    Warn+33 science/sky/Dockerfile:9:7: the label org.opencontainers.image.licenses is set by image-builder, so this one has no effect [label-overridden]
      help: set "licenses" in sciserver-image.json instead
    "#);
}

#[test]
fn a_plan_is_silent_about_them_and_takes_no_notice() {
    let planned = plan(&fixture::first(TREE), &Request::default());
    assert_eq!(planned.plan.warnings, []);
    let deny = format!("//- /image-builder.toml\n[check]\nfrom-unversioned = \"deny\"\n{TREE}");
    let told = refused(&fixture::first(&deny), &Request::default());
    assert!(told.contains("golang names no version [from-unversioned]"), "{told}");
    assert!(!told.contains("from-unpinned"), "{told}");
    assert!(!short(&planned).contains("warning"));
}

#[test]
fn the_configuration_says_how_heavy_each_is() {
    let config = "//- /image-builder.toml\n[check]\nfrom-unpinned = \"allow\"\nfrom-unversioned = \"deny\"\n";
    let findings = found(&format!("{config}{TREE}"));
    let level = |code: &str| {
        let of_code = findings.iter().filter(|finding| finding.problem.code == code);
        of_code.map(|finding| finding.level).collect::<Vec<_>>()
    };
    assert_eq!(level("from-unpinned"), []);
    assert_eq!(level("from-unversioned"), [Level::Deny; 2]);
    assert_eq!(level("from-unqualified"), [Level::Warn; 3]);
}

#[test]
fn what_can_be_mended_is_and_the_rest_of_the_text_stays() {
    for (before, after) in [
        ("FROM debian:12", "FROM docker.io/library/debian:12"),
        (
            "from  --platform=$TARGETPLATFORM  a/b:1  as x \r\n",
            "from  --platform=$TARGETPLATFORM  docker.io/a/b:1  as x \r\n",
        ),
        ("\u{feff}FROM a/b:1 AS x\r\nRUN x", "\u{feff}FROM docker.io/a/b:1 AS x\r\nRUN x"),
        ("ARG V=1\nFROM debian:${V:-2}", "ARG V=1\nFROM docker.io/library/debian:${V:-2}"),
        ("FROM debian\\\n:12", ""),
        (
            "FROM scratch\nCOPY --from=busybox a b\nCOPY --from=busybox:1 --chown=1 a b",
            "FROM scratch\nCOPY --from=docker.io/library/busybox a b\nCOPY --from=docker.io/library/busybox:1 --chown=1 a b",
        ),
        ("ARG B=debian\nFROM $B:12", ""),
        ("FROM \"debian:12\"", ""),
        ("FROM docker.io/debian:12", ""),
        ("FROM localhost/x", ""),
    ] {
        let tree = format!(
            "//- /science/a/sciserver-image.json\n{{\"image\":\"a\",\"compat\":null}}\n//- /science/a/Dockerfile\n{before}"
        );
        let edits: Vec<_> = found(&tree).into_iter().filter_map(|finding| finding.problem.fix).collect();
        let replacements: Vec<_> = edits.iter().map(|edit| (edit.span, edit.text.clone())).collect();
        let expect = if after.is_empty() { before } else { after };
        assert_eq!(dockerfile::rewrite(before, &replacements), expect, "{:?}", told(&found(&tree)));
        let mended = found(&tree.replace(before, expect));
        assert!(mended.iter().all(|finding| finding.problem.fix.is_none()), "{}", told(&mended));
    }
}
