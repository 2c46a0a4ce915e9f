//! Explanations, as text.

use plan::{FORMAT_VERSION, Revision};
use planner::explain;

use super::*;

fn plan() -> Plan {
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
        repo: "registry.example.org/images".to_owned(),
        platform: "linux/amd64".to_owned(),
        label_prefix: "org.sciserver".to_owned(),
        builds: Vec::new(),
        unbuilt: Vec::new(),
        warnings: Vec::new(),
    }
}

fn step(id: &str, link: Link) -> Step {
    Step { id: id.to_owned(), link }
}

fn explanation(name: &str, chains: Vec<Chain>, obstacles: Vec<Obstacle>) -> Explanation {
    Explanation {
        format_version: explain::FORMAT_VERSION,
        subject: Subject::Science { path: name.to_owned() },
        built: !chains.is_empty(),
        tags: chains.iter().map(|_| "registry.example.org/images/sci/x:1.0".to_owned()).take(1).collect(),
        chains,
        obstacles,
        products: Vec::new(),
    }
}

fn files(paths: &[&str]) -> Reason {
    Reason::FileChanged { paths: paths.iter().map(|path| (*path).to_owned()).collect() }
}

fn report(explanation: Explanation, verbose: bool) -> String {
    text(&plan(), &[explanation], verbose, Paint::Plain)
}

#[test]
fn a_chain_goes_from_the_cause_to_what_was_asked_for() {
    let needs = |role| Link::Needs { role, file: None, line: None };
    let chain = Chain {
        cause: files(&["science/a/1", "science/a/2", "science/a/3", "science/a/4"]),
        steps: vec![
            step("science/a", Link::Cause),
            step(
                "science/b",
                Link::Needs {
                    role: Some(Role::Copy),
                    file: Some("science/b/Dockerfile".to_owned()),
                    line: Some(7),
                },
            ),
            step("science/c", needs(Some(Role::Mount))),
            step("science/d", needs(None)),
            step(
                "rel/d:1.0",
                Link::Needs {
                    role: Some(Role::Stage),
                    file: Some("compat/e/Dockerfile".to_owned()),
                    line: None,
                },
            ),
        ],
    };
    insta::assert_snapshot!(report(explanation("rel/d:1.0", vec![chain.clone()], Vec::new()), false), @"
    plan for commit f90dbd6, compared with 1a2b3c4

    rel/d:1.0 is built => sci/x:1.0
      science/a: changed: science/a/1, science/a/2 and 2 more
        └─ science/b copies from it (Dockerfile:7)
           └─ science/c mounts it
              └─ science/d needs it
                 └─ rel/d:1.0 builds a stage on it (compat/e/Dockerfile)
    ");
    assert!(report(explanation("x", vec![chain], Vec::new()), true).contains("science/a/3 and science/a/4"));
}

#[test]
fn every_obstacle_is_a_sentence() {
    let layer = || "science/below".to_owned();
    let pinned = |of: Option<&str>, built| Obstacle::Pinned {
        by: "science/x".to_owned(),
        reference: "registry.example.org/images/sci/below:1.0-2-abcdef0".to_owned(),
        layer: of.map(str::to_owned),
        built,
    };
    let obstacles = vec![
        Obstacle::Quiet { changed: vec!["description".to_owned()], why: "it decides nothing".to_owned() },
        Obstacle::Unchanged,
        Obstacle::NoParentBuilt { needs: Vec::new() },
        Obstacle::NoParentBuilt { needs: vec![layer()] },
        Obstacle::NoParentBuilt { needs: vec![layer(), "science/lower".to_owned()] },
        pinned(Some("science/below"), true),
        pinned(Some("science/below"), false),
        pinned(None, false),
        Obstacle::NotFinal { product: "rel/x:1.0".to_owned(), final_layer: layer() },
        Obstacle::NoCompat { final_layer: layer() },
        Obstacle::FinalNotBuilt { final_layer: layer(), because: vec![Obstacle::Unchanged] },
        Obstacle::StackUnchanged { stack: vec!["compat/common".to_owned(), "compat/jupyter".to_owned()] },
        Obstacle::InNoStack { included_by: Vec::new() },
        Obstacle::InNoStack { included_by: vec!["compat/other".to_owned()] },
        Obstacle::NotInFile,
    ];
    insta::assert_snapshot!(report(explanation("science/x", Vec::new(), obstacles), false), @"
    plan for commit f90dbd6, compared with 1a2b3c4

    science/x is not built
      changed: description: it decides nothing
      nothing in it changed since 1a2b3c4
      it needs no other layer of the tree
      the layer that it needs is not built either: science/below
      none of the 2 layers that it needs is built: science/below and science/lower
      science/x names one build, registry.example.org/images/sci/below:1.0-2-abcdef0, which is not a dependency: that science/below is built changes nothing here
      science/x names one build, registry.example.org/images/sci/below:1.0-2-abcdef0, which is not a dependency
      science/x names one build, registry.example.org/images/sci/below:1.0-2-abcdef0, which is not a dependency
      its compat does not count: science/below is the final layer of x:1.0
      its final layer, science/below, has no compat, so there is no compat image
      its final layer, science/below, is not built:
        nothing in it changed since 1a2b3c4
      no layer of its compat stack changed in what it builds: compat/common and compat/jupyter
      no product has it in its compat stack
      no product has it in its compat stack, though compat/other includes it
      the plan's file has no more information; use the source tree, without --plan
    ");
}

#[test]
fn what_unchanged_means_depends_on_what_was_compared() {
    let mut plan = plan();
    let mut report = |compared_with| {
        plan.compared_with = compared_with;
        let explanation = explanation("science/x", Vec::new(), vec![Obstacle::Unchanged]);
        text(&plan, &[explanation], false, Paint::Plain).lines().last().map(str::to_owned)
    };
    assert_eq!(report(ComparedWith::Include).as_deref(), Some("  it is not among the layers of --include"));
    assert_eq!(report(ComparedWith::Published).as_deref(), Some("  it is published unchanged"));
    assert_eq!(report(ComparedWith::All).as_deref(), Some("  a flag treats it as unchanged"));
}

#[test]
fn long_chains_and_many_of_them_stay_readable() {
    let steps = (0..60).map(|n| step(&format!("science/l{n}"), Link::Includes)).collect();
    let long = Chain { cause: Reason::NewLayer, steps };
    let text = report(explanation("science/l59", vec![long; 11], Vec::new()), false);
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest < Some(100), "{widest:?}");
    assert!(text.contains("  and 3 other reasons (-v lists all)\n"), "{text}");
}

#[test]
fn names_from_outside_are_escaped() {
    let hostile = "science/a\x1b[2J\n::error::x\u{202e}";
    let chain = Chain {
        cause: files(&[hostile]),
        steps: vec![step(hostile, Link::Cause), step(hostile, Link::Includes)],
    };
    let quiet = Obstacle::Quiet { changed: vec![hostile.to_owned()], why: hostile.to_owned() };
    let text = report(explanation(hostile, vec![chain], vec![quiet]), true);
    assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{text}");
}
