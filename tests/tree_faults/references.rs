//! Row 17: every form in which a Dockerfile names an image, and the resulting edge in the plan.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fixture::{layer, refused, run, tree};

/// The layer `nist` (1.0) and the other files of the tree that contains the table's Dockerfiles.
const BESIDE: &str = r#"
//- /image-builder.toml
repo = "r.example.org/ci"
aliases = ["old.example.org"]
published = ["given-up"]
[check]
from-rel = "warn"
//- /science/nist/sciserver-image.json
{"image": "nist", "version": "1.0", "compat": "common"}
//- /science/nist/Dockerfile
FROM docker.io/library/debian:12
//- /compat/common/sciserver-image.json
{}
//- /compat/common/Dockerfile
USER root
"#;

const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// Dockerfiles, each with its expected references as `role kind target`, and the layers that it
/// depends on.
fn table() -> Vec<(&'static str, String, Vec<&'static str>)> {
    let nist = "build science/nist";
    let debian = "external docker.io/library/debian:12";
    let of = |text: &'static str, references: &[&str], needs: &[&'static str]| {
        let references =
            references.join(", ").replace("NIST", nist).replace("DEBIAN", debian).replace("DIGEST", DIGEST);
        (text, references, needs.to_vec())
    };
    let edge = &["science/nist"][..];
    vec![
        // References that name the layer.
        of("FROM sci/nist:1.0", &["base NIST"], edge),
        of("FROM r.example.org/ci/sci/nist:1.0", &["base NIST"], edge),
        of("FROM old.example.org/sci/nist:1.0", &["base NIST"], edge),
        of("FROM nist:1.0", &["base NIST"], edge),
        of("from sci/nist:1.0 as X", &["base NIST"], edge),
        of("FrOm\t sci/nist:1.0   aS x", &["base NIST"], edge),
        of("FROM --platform=linux/amd64 sci/nist:1.0", &["base NIST"], edge),
        of("FROM --platform=$BUILDPLATFORM sci/nist:1.0", &["base NIST"], edge),
        of("\u{feff}FROM sci/nist:1.0", &["base NIST"], edge),
        of("FROM sci/nist:1.0\r\nRUN x\r\n", &["base NIST"], edge),
        of("FROM \\\n  sci/nist:1.0", &["base NIST"], edge),
        of("FROM \\\n# a comment\n\n  sci/nist:1.0 \\\n AS x", &["base NIST"], edge),
        of("# escape=`\nFROM `\n  sci/nist:1.0", &["base NIST"], edge),
        of("FROM \"sci/nist:1.0\"", &["base NIST"], edge),
        of("FROM sci/ni\\st:1.0", &["base NIST"], edge),
        // Arguments.
        of("ARG V=1.0\nFROM sci/nist:$V", &["base NIST"], edge),
        of("ARG V=1.0\nFROM sci/nist:${V}", &["base NIST"], edge),
        of("ARG V\nFROM sci/nist:${V:-1.0}", &["base NIST"], edge),
        of("ARG V=x\nFROM sci/nist:${V:+1.0}", &["base NIST"], edge),
        of("ARG A=nist B=sci/$A\nFROM $B:1.0", &["base NIST"], edge),
        of("ARG A='sci/nist:1.0'\nFROM $A", &["base NIST"], edge),
        of("ARG SET\nFROM sci/nist:$SET", &["base NIST"], edge),
        of("ARG SET=9\nFROM sci/nist:$SET", &["base NIST"], edge),
        of("FROM sci/nist:1.0-$TARGETARCH", &["base layer r.example.org/ci/sci/nist:1.0-amd64"], &[]),
        // Stages.
        of("FROM sci/nist:1.0 AS s\nFROM debian:12\nCOPY --from=s / /", &["stage NIST", "base DEBIAN"], edge),
        of("FROM sci/nist:1.0\nFROM debian:12\nCOPY --from=0 / /", &["stage NIST", "base DEBIAN"], edge),
        of("FROM sci/nist:1.0 AS S\nFROM s", &["base NIST"], edge),
        of("FROM debian:12 AS nist\nFROM nist", &["base DEBIAN"], &[]),
        of("FROM debian:12\nCOPY --from=sci/nist:1.0 / /", &["base DEBIAN", "copy NIST"], edge),
        of("FROM debian:12\ncopy --link --from=nist:1.0 / /", &["base DEBIAN", "copy NIST"], edge),
        of("FROM debian:12\nCOPY --from=\\\nsci/nist:1.0 / /", &["base DEBIAN", "copy NIST"], edge),
        of(
            "FROM debian:12\nRUN --mount=type=bind,from=sci/nist:1.0,target=/x true",
            &["base DEBIAN", "mount NIST"],
            edge,
        ),
        of(
            "FROM debian:12\nRUN --mount=type=cache,target=/c --mount=target=/x,from=sci/nist:1.0 true",
            &["base DEBIAN", "mount NIST"],
            edge,
        ),
        of(
            "FROM debian:12 AS s\nONBUILD COPY --from=sci/nist:1.0 / /\nFROM s",
            &["base DEBIAN", "copy NIST"],
            edge,
        ),
        // Texts that look similar but are not references to the layer.
        of("FROM debian:12\nRUN echo FROM sci/nist:1.0", &["base DEBIAN"], &[]),
        // A trigger runs in builds that use this image as their base image.
        of("FROM debian:12\nONBUILD COPY --from=sci/nist:1.0 / /", &["base DEBIAN"], &[]),
        of("FROM debian:12\nRUN x \\\nFROM sci/nist:1.0", &["base DEBIAN"], &[]),
        of(
            "FROM debian:12\nRUN <<EOF\nFROM sci/nist:1.0\nCOPY --from=sci/nist:1.0 / /\nEOF",
            &["base DEBIAN"],
            &[],
        ),
        of("FROM debian:12\nCOPY <<'A' <<-B /x/\nFROM sci/nist:1.0\nA\nx\n\tB", &["base DEBIAN"], &[]),
        of("# FROM sci/nist:1.0\nFROM debian:12", &["base DEBIAN"], &[]),
        of("FROM debian:12\n  # COPY --from=sci/nist:1.0 / /", &["base DEBIAN"], &[]),
        of("FROM debian:12\nRUN echo --mount=from=sci/nist:1.0", &["base DEBIAN"], &[]),
        of(
            "FROM debian:12 AS s\nFROM debian:12\nCOPY --from=s /a --from=sci/nist:1.0 /",
            &["stage DEBIAN", "base DEBIAN"],
            &[],
        ),
        of("FROM debian:12\nLABEL x=\"--from=sci/nist:1.0\"", &["base DEBIAN"], &[]),
        of("FROM scratch", &["base scratch"], &[]),
        of("FROM debian:12", &["base DEBIAN"], &[]),
        of("FROM nist:1.1", &["base external docker.io/library/nist:1.1"], &[]),
        of("FROM nist", &["base external docker.io/library/nist:latest"], &[]),
        of("FROM docker.io/sci/nist:1.0", &["base external docker.io/sci/nist:1.0"], &[]),
        of("FROM other.example.org/sci/nist:1.0", &["base external other.example.org/sci/nist:1.0"], &[]),
        of(
            "FROM r.example.org/ci-two/sci/nist:1.0",
            &["base external r.example.org/ci-two/sci/nist:1.0"],
            &[],
        ),
        of("FROM sci/given-up:3", &["base layer r.example.org/ci/sci/given-up:3"], &[]),
        of("FROM sci/nist:0.9", &["base layer r.example.org/ci/sci/nist:0.9"], &[]),
        // Pinned references are not dependencies.
        of("FROM sci/nist:1.0-7-0a1b2c3", &["base pinned r.example.org/ci/sci/nist:1.0-7-0a1b2c3"], &[]),
        of("FROM sci/nist@DIGEST", &["base pinned r.example.org/ci/sci/nist@DIGEST"], &[]),
        of("FROM sci/nist:1.0@DIGEST", &["base pinned r.example.org/ci/sci/nist:1.0@DIGEST"], &[]),
        of("FROM debian@DIGEST", &["base external docker.io/library/debian@DIGEST"], &[]),
        of("FROM SCI/nist:1.0", &["base external SCI/nist:1.0"], &[]),
        // This configuration permits references to products with a warning; they count as external
        // images.
        of("FROM rel/nist:1.0", &["base external r.example.org/ci/rel/nist:1.0"], &[]),
        of("FROM old.example.org/rel/nist:1.0", &["base external old.example.org/rel/nist:1.0"], &[]),
    ]
}

#[test]
fn row_17_every_form_gives_the_right_edge() {
    let table = table();
    let name = |index: usize| format!("f{index:02}");
    let mut files = BESIDE.to_owned();
    for (index, (dockerfile, _, _)) in table.iter().enumerate() {
        let descriptor =
            format!("{{\"image\": \"{}\", \"compat\": null, \"args\": {{\"SET\": \"1.0\"}}}}", name(index));
        files += &layer(&name(index), &dockerfile.replace("DIGEST", DIGEST), &descriptor);
    }
    let tree = tree(&files);
    let plan: Value =
        serde_json::from_str(&run(&tree, &["plan", "--format", "json"]).code(0).stdout).unwrap();
    let builds: BTreeMap<&str, &Value> = plan["builds"]
        .as_array()
        .unwrap()
        .iter()
        .map(|build| (build["id"].as_str().unwrap(), build))
        .collect();
    let order: Vec<&str> =
        plan["builds"].as_array().unwrap().iter().map(|build| build["id"].as_str().unwrap()).collect();
    let mut wrong = String::new();
    for (index, (dockerfile, references, needs)) in table.iter().enumerate() {
        let id = format!("science/{}", name(index));
        let build = builds[id.as_str()];
        let text = build["dockerfile"].as_str().unwrap();
        let mut found = Vec::new();
        for reference in build["references"].as_array().unwrap() {
            found.push(shown(reference));
            // The span must be a valid range of the text.
            let span = &reference["span"];
            let (start, end) = (span["start"].as_u64().unwrap(), span["end"].as_u64().unwrap());
            assert!(
                text.get(start as usize..end as usize).is_some_and(|name| !name.is_empty()),
                "{dockerfile:?}"
            );
        }
        let waits: Vec<&str> =
            build["needs"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        if found.join(", ") != *references || waits != *needs {
            wrong += &format!("{dockerfile:?}\n  {}\n  needs {waits:?}\n", found.join(", "));
        }
        for need in waits {
            let at = |id: &str| order.iter().position(|found| *found == id);
            assert!(at(need) < at(&id), "{dockerfile:?}: {order:?}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Formats a reference, such as `base build science/nist`.
fn shown(reference: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let what = text(&reference["id"]) + &text(&reference["reference"]);
    format!("{} {} {what}", text(&reference["role"]), text(&reference["kind"])).trim_end().to_owned()
}

#[test]
fn row_17_what_has_no_right_edge_is_an_error() {
    for (dockerfile, code) in [
        ("", "no-from"),
        ("# FROM sci/nist:1.0", "no-from"),
        ("RUN x\nFROM sci/nist:1.0", "no-from"),
        ("FROM", "from"),
        ("FROM sci/nist:1.0 x", "from"),
        ("FROM sci/nist:1.0 AS", "from"),
        ("FROM sci/nist:$V", "unknown-reference"),
        ("ARG V\nFROM sci/nist:$V", "unknown-reference"),
        ("FROM debian:12\nARG V=1.0\nFROM sci/nist:$V", "unknown-reference"),
        ("FROM sci/nist:${V", "unknown-reference"),
        ("FROM sci/nist:$SET", "unknown-reference"),
        ("FROM sci/nits:1.0", "unknown-target"),
        ("FROM old.example.org/sci/nits:1.0", "unknown-target"),
        ("FROM debian:12\nCOPY --from=sci/nits:1.0 / /", "unknown-target"),
        ("FROM sci/nist:1.0:2", "reference"),
        ("FROM sci/nist@sha256:00", "reference"),
        ("FROM debian:12\nCOPY --from=$X / /", "variable"),
        ("FROM debian:12\nCOPY --from=1 / /", "stage"),
        ("FROM debian:12\nCOPY --from=s / /\nFROM debian:12 AS s", "stage"),
        ("FROM debian:12 AS s\nFROM S", "stage"),
        ("FROM debian:12\nRUN <<EOF\nCOPY --from=sci/nist:1.0 / /", "heredoc-open"),
        ("FROM debian:12\nONBUILD FROM sci/nist:1.0", "onbuild"),
        ("FORM sci/nist:1.0", "instruction"),
    ] {
        let descriptor = "{\"image\": \"x\", \"compat\": null, \"args\": {\"SET\": \"1.0\"}}";
        let tree = tree(&(BESIDE.to_owned() + &layer("x", dockerfile, descriptor)));
        refused(&tree, &["plan"], 2, &["science/x/Dockerfile:", &format!("[{code}]")]);
    }
}
