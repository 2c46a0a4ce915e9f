//! Plans, as text.

use std::collections::BTreeMap;

use plan::{Build, BuildContext, BuildId, FORMAT_VERSION, Revision, Shadowed, Unbuilt};

use super::*;

const REPO: &str = "registry.example.org/compute-images";

fn build(id: &str, kind: Kind, image: &str, version: &str, target: &str, reasons: Vec<Reason>) -> Build {
    let name = match kind {
        Kind::Science => format!("{REPO}/sci/{target}"),
        Kind::Compat => format!("{REPO}/rel/{image}"),
    };
    Build {
        id: BuildId(id.to_owned()),
        kind,
        layer: if kind == Kind::Science { id.to_owned() } else { "compat/jupyter".to_owned() },
        image: image.to_owned(),
        version: version.to_owned(),
        target: target.to_owned(),
        is_final: true,
        references: Vec::new(),
        needs: Vec::new(),
        reasons,
        tags: plan::Tags {
            build: format!("{name}:{version}-42-f90dbd6"),
            moving: format!("{name}:{version}"),
        },
        labels: BTreeMap::new(),
        args: BTreeMap::new(),
        context: BuildContext { inputs: "v1:sha256:00".to_owned(), sources: vec![id.to_owned()] },
        compat_stack: Vec::new(),
        shadowed: Vec::new(),
        tests: Vec::new(),
        secrets: Vec::new(),
        origins: Vec::new(),
        dockerfile: "FROM scratch\n".to_owned(),
    }
}

fn plan(builds: Vec<Build>) -> Plan {
    Plan {
        format_version: FORMAT_VERSION.to_owned(),
        revision: Revision {
            commit: format!("f90dbd6{}", "0".repeat(33)),
            count: Some(42),
            short: "f90dbd6".to_owned(),
            dirty: None,
            shallow: false,
        },
        compared_with: ComparedWith::Commit(format!("1a2b3c4{}", "0".repeat(33))),
        repo: REPO.to_owned(),
        platform: "linux/amd64".to_owned(),
        label_prefix: "org.sciserver".to_owned(),
        builds,
        unbuilt: Vec::new(),
        warnings: Vec::new(),
    }
}

/// The sample of the previous tool's documentation: `nist-basic` changed, and `nist-basic-2` is
/// based on it.
fn sample() -> Plan {
    let via = |id: &str| Reason::ParentRebuilt { via: BuildId(id.to_owned()) };
    let paths = ["Dockerfile", "a.txt", "b.txt", "c.txt"].map(|file| format!("science/nist-basic/{file}"));
    let mut compat = build(
        "rel/nist-basic:1.0",
        Kind::Compat,
        "nist-basic",
        "1.0",
        "nist-basic",
        vec![
            via("science/nist-basic"),
            Reason::CompatChanged {
                layers: vec!["common".to_owned()],
                paths: vec!["compat/common/Dockerfile".to_owned()],
            },
        ],
    );
    compat.compat_stack = vec!["common".to_owned(), "jupyter".to_owned()];
    compat.shadowed =
        vec![Shadowed { what: "CMD".to_owned(), from: "common".to_owned(), by: "jupyter".to_owned() }];
    let mut plan = plan(vec![
        build(
            "science/nist-basic",
            Kind::Science,
            "nist-basic",
            "1.0",
            "nist-basic",
            vec![
                Reason::FileChanged { paths: paths.to_vec() },
                Reason::DescriptorChanged { fields: vec!["args".to_owned(), "version".to_owned()] },
            ],
        ),
        compat,
        build(
            "science/nist-basic-2",
            Kind::Science,
            "nist-basic",
            "2.0",
            "nist-basic-2",
            vec![via("science/nist-basic")],
        ),
        build(
            "rel/nist-basic:2.0",
            Kind::Compat,
            "nist-basic",
            "2.0",
            "nist-basic-2",
            vec![
                via("science/nist-basic-2"),
                Reason::FinalChanged { from: Some("old".to_owned()), to: "nist-basic-2".to_owned() },
            ],
        ),
    ]);
    plan.unbuilt = vec![Unbuilt {
        layer: "science/other".to_owned(),
        changed: vec!["description".to_owned()],
        why: "a description decides nothing of what a build makes".to_owned(),
    }];
    plan
}

#[test]
fn the_sentences_of_the_predecessor_stand_word_for_word() {
    insta::assert_snapshot!(text(&sample(), 0, Paint::Plain), @"
    plan for commit f90dbd6, compared with 1a2b3c4
    images are named under registry.example.org/compute-images (linux/amd64)
    change results in final image nist-basic => nist-basic:1.0-42-f90dbd6, nist-basic:1.0
    change results in final image nist-basic => nist-basic:2.0-42-f90dbd6, nist-basic:2.0
    final plan includes 2 science builds and 2 compat builds
    ");
}

#[test]
fn one_is_singular() {
    let mut plan = sample();
    plan.builds.truncate(2);
    assert!(
        text(&plan, 0, Paint::Plain).contains("final plan includes 1 science build and 1 compat build\n"),
        "{}",
        text(&plan, 0, Paint::Plain)
    );
}

#[test]
fn once_verbose_tells_builds_and_reasons() {
    insta::assert_snapshot!(text(&sample(), 1, Paint::Plain), @"
    plan for commit f90dbd6, compared with 1a2b3c4
    images are named under registry.example.org/compute-images (linux/amd64)
    change results in final image nist-basic => nist-basic:1.0-42-f90dbd6, nist-basic:1.0
    change results in final image nist-basic => nist-basic:2.0-42-f90dbd6, nist-basic:2.0

    builds, in an order in which they could run:
      science/nist-basic => sci/nist-basic:1.0-42-f90dbd6, sci/nist-basic:1.0
          changed: science/nist-basic/Dockerfile, science/nist-basic/a.txt and 2 more
          changed in the descriptor: args and version
      rel/nist-basic:1.0 => rel/nist-basic:1.0-42-f90dbd6, rel/nist-basic:1.0
          needs science/nist-basic, which is built
          changed in its compat stack: common
          replaced: CMD of common by jupyter
      science/nist-basic-2 => sci/nist-basic-2:2.0-42-f90dbd6, sci/nist-basic-2:2.0
          needs science/nist-basic, which is built
      rel/nist-basic:2.0 => rel/nist-basic:2.0-42-f90dbd6, rel/nist-basic:2.0
          needs science/nist-basic-2, which is built
          its final layer was old and is nist-basic-2 now

    changed, and builds nothing:
      science/other
          description
          a description decides nothing of what a build makes

    final plan includes 2 science builds and 2 compat builds
    ");
}

#[test]
fn twice_verbose_tells_the_files() {
    insta::assert_snapshot!(text(&sample(), 2, Paint::Plain), @"
    plan for commit f90dbd6, compared with 1a2b3c4
    images are named under registry.example.org/compute-images (linux/amd64)
    change results in final image nist-basic => nist-basic:1.0-42-f90dbd6, nist-basic:1.0
    change results in final image nist-basic => nist-basic:2.0-42-f90dbd6, nist-basic:2.0

    builds, in an order in which they could run:
      science/nist-basic => sci/nist-basic:1.0-42-f90dbd6, sci/nist-basic:1.0
          changed:
            science/nist-basic/Dockerfile
            science/nist-basic/a.txt
            science/nist-basic/b.txt
            science/nist-basic/c.txt
          changed in the descriptor: args and version
      rel/nist-basic:1.0 => rel/nist-basic:1.0-42-f90dbd6, rel/nist-basic:1.0
          needs science/nist-basic, which is built
          changed in its compat stack: common
            compat/common/Dockerfile
          compat stack: common and jupyter
          replaced: CMD of common by jupyter
      science/nist-basic-2 => sci/nist-basic-2:2.0-42-f90dbd6, sci/nist-basic-2:2.0
          needs science/nist-basic, which is built
      rel/nist-basic:2.0 => rel/nist-basic:2.0-42-f90dbd6, rel/nist-basic:2.0
          needs science/nist-basic-2, which is built
          its final layer was old and is nist-basic-2 now

    changed, and builds nothing:
      science/other
          description
          a description decides nothing of what a build makes

    final plan includes 2 science builds and 2 compat builds
    ");
}

#[test]
fn an_empty_plan_says_so_and_why() {
    let mut empty = plan(Vec::new());
    insta::assert_snapshot!(text(&empty, 0, Paint::Plain), @r"
    plan for commit f90dbd6, compared with 1a2b3c4
    images are named under registry.example.org/compute-images (linux/amd64)
    final plan includes 0 science builds and 0 compat builds
    nothing to build: no layer changed since 1a2b3c4
      this says nothing of what is published: --since-published builds what the registry lacks, --all builds everything
    ");
    empty.unbuilt = sample().unbuilt;
    let report = text(&empty, 0, Paint::Plain);
    assert!(
        report.contains(
            "nothing to build: what changed since 1a2b3c4 in 1 layer changes no image (-v lists them)\n"
        ),
        "{report}"
    );
    empty.compared_with = ComparedWith::Empty;
    let report = text(&empty, 1, Paint::Plain);
    assert!(report.ends_with("nothing to build: the source tree has no layers\n"), "{report}");
}

#[test]
fn names_from_outside_are_escaped() {
    let mut hostile = sample();
    hostile.builds[0].reasons = vec![Reason::FileChanged {
        paths: vec!["science/a\n::error::x".to_owned(), "b\x1b[2J".to_owned(), "c\u{202e}".to_owned()],
    }];
    hostile.unbuilt[0].changed = vec!["##vso[task.complete]".to_owned()];
    for verbose in 0..3 {
        let report = text(&hostile, verbose, Paint::Plain);
        assert!(!report.contains(['\x1b', '\u{202e}', '\r']), "{report}");
        assert!(
            !report.contains("##vso[") && !report.lines().any(|line| line.trim_start().starts_with("::"))
        );
    }
}

#[test]
fn colour_wraps_and_changes_nothing_else() {
    let coloured = text(&sample(), 2, Paint::Colour);
    let mut bare = coloured.clone();
    for code in ["\x1b[1m", "\x1b[2m", "\x1b[0m"] {
        bare = bare.replace(code, "");
    }
    assert_ne!(coloured, bare);
    assert_eq!(bare, text(&sample(), 2, Paint::Plain));
}
