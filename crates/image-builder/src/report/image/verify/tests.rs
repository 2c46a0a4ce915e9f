//! Every verdict, as text.

use plan::Kind;
use plan::provenance::BuiltFrom;

use super::*;

fn crumb(version: &str, inputs: Option<&str>, from: Option<BuiltFrom>) -> BuildLabels {
    BuildLabels {
        kind: Kind::Science,
        name: "nist".into(),
        version: Some(version.into()),
        build_time: None,
        inputs: inputs.map(str::to_owned),
        from,
    }
}

fn facts(relation: Relation, then: Option<&str>, now: Option<&str>) -> Facts {
    let identity =
        |inputs: &str| PublishedNames { inputs: inputs.into(), layers: vec!["science/nist".into()] };
    Facts {
        head: "81e972c".repeat(6)[..40].to_owned(),
        relation,
        then: then.map(identity),
        now: now.map(identity),
        touched: Vec::new(),
    }
}

fn parent(recorded: Option<&str>, published: Published) -> Parent {
    Parent { layer: "base:1.0".into(), recorded: recorded.map(str::to_owned), published }
}

fn report(verdict: Verdict) -> String {
    text(&[Verified { reference: "r.example/x/sci/nist:1.0".into(), builds: vec![verdict] }], Paint::Plain)
}

#[test]
fn what_holds_is_said_claim_by_claim() {
    let facts = facts(Relation::Ancestor, Some("v1:sha256:1"), Some("v1:sha256:1"));
    let parents = [parent(Some("1.0-3-aaaaaaa"), Published::Build("1.0-3-aaaaaaa".into()))];
    let verdict = Verdict::of(
        &crumb("1.0-4-bbbbbbb", Some("v1:sha256:1"), Some(BuiltFrom::default())),
        &facts,
        &parents,
        false,
    );
    assert!(verdict.holds());
    insta::assert_snapshot!(report(verdict), @r"
    r.example/x/sci/nist:1.0
      sci/nist 1.0-4-bbbbbbb
        holds  commit bbbbbbb is in the history of HEAD (81e972c)
        holds  its inputs are what commit bbbbbbb gives
        holds  HEAD gives the same inputs
        holds  it was built on sci/base:1.0-3-aaaaaaa, which is published
      all holds: 1 build
    ");
}

#[test]
fn what_changed_since_fails_and_names_its_commits_or_is_a_note() {
    let mut facts = facts(Relation::Ancestor, Some("v1:sha256:1"), Some("v1:sha256:2"));
    facts.touched = vec![
        ChangeCommit { commit: "c".repeat(40), summary: "Update \u{1b}[1mnumpy".into(), time: 1_700_000_000 },
        ChangeCommit { commit: "d".repeat(40), summary: "Begin".into(), time: 1_600_000_000 },
    ];
    let parents = [
        parent(Some("1.0-3-aaaaaaa"), Published::Build("1.0-5-ccccccc".into())),
        parent(Some("1.0-3-aaaaaaa"), Published::Silent),
        parent(Some("1.0-3-aaaaaaa"), Published::Absent),
        parent(None, Published::Absent),
    ];
    let crumb = crumb("1.0-4-bbbbbbb", Some("v1:sha256:1"), Some(BuiltFrom::default()));
    insta::assert_snapshot!(report(Verdict::of(&crumb, &facts, &parents, false)), @r#"
    r.example/x/sci/nist:1.0
      sci/nist 1.0-4-bbbbbbb
        holds  commit bbbbbbb is in the history of HEAD (81e972c)
        holds  its inputs are what commit bbbbbbb gives
        fails  changed since by ccccccc "Update \x1b[1mnumpy" (2023-11-14), before that by ddddddd "Begin" (2020-09-13)
        fails  it was built on sci/base:1.0-3-aaaaaaa, and published is 1.0-5-ccccccc
        fails  it was built on sci/base:1.0-3-aaaaaaa, and the published sci/base:1.0 does not record its build
        fails  it was built on sci/base:1.0-3-aaaaaaa, and no sci/base:1.0 is published
        -      it was built on a sci/base:1.0 that did not record its build
      does not hold: 1 of 1 build
    "#);
    let lenient = Verdict::of(&crumb, &facts, &parents, true);
    assert!(lenient.holds());
    assert!(report(lenient).contains("note   changed since by ccccccc"));
    facts.touched.clear();
    facts.now = None;
    assert!(report(Verdict::of(&crumb, &facts, &[], false)).contains("fails  gone from the tree since"));
}

#[test]
fn what_the_commit_does_not_give_fails_with_or_without_provenance() {
    let recorded = Some("v1:sha256:1");
    let same = "v1:sha256:1";
    for (version, relation, then, expect) in [
        (
            "1.0-4-bbbbbbb",
            Relation::Ancestor,
            Some("v1:sha256:9"),
            "its inputs are v1:sha256:1, and commit bbbbbbb gives v1:sha256:9",
        ),
        ("1.0-4-bbbbbbb", Relation::Ancestor, None, "at commit bbbbbbb there is no such layer"),
        (
            "1.0-4-bbbbbbb",
            Relation::Diverged,
            Some(same),
            "commit bbbbbbb is not in the history of HEAD (81e972c)",
        ),
        ("1.0-4-bbbbbbb", Relation::Descendant, Some(same), "commit bbbbbbb comes after HEAD"),
        ("1.0-4-bbbbbbb", Relation::Unknown, None, "commit bbbbbbb is not in this clone"),
        (
            "1.0-4-bbbbbbb-dirty-01234567",
            Relation::Same,
            Some(same),
            "built from files that were in no commit",
        ),
        ("nonsense", Relation::Unknown, None, "its version is not a build tag"),
    ] {
        let facts = facts(relation, then, Some(same));
        let verdict = Verdict::of(&crumb(version, recorded, Some(BuiltFrom::default())), &facts, &[], true);
        assert!(!verdict.holds(), "{version} {relation:?}");
        let report = report(verdict);
        let line = report.lines().find(|line| line.contains(expect)).unwrap_or_else(|| panic!("{report}"));
        assert!(line.starts_with("    fails  "), "{report}");
        assert!(report.ends_with("  does not hold: 1 of 1 build\n"), "{report}");
    }
}

#[test]
fn an_image_of_the_predecessor_holds_by_its_commit() {
    let facts = facts(Relation::Same, Some("v1:sha256:1"), Some("v1:sha256:1"));
    let verdict = Verdict::of(&crumb("1.0-4-bbbbbbb", None, None), &facts, &[], false);
    assert!(verdict.holds());
    insta::assert_snapshot!(report(verdict), @r"
    r.example/x/sci/nist:1.0
      sci/nist 1.0-4-bbbbbbb
        holds  commit bbbbbbb is HEAD
        -      its inputs are not recorded; commit bbbbbbb has a layer or product of that name
        holds  HEAD gives the same inputs
        -      its base is not recorded, like in all images of the previous tool
      all holds: 1 build
    ");
    let none = [Verified { reference: "r.example/x:1".into(), builds: Vec::new() }];
    assert!(!none[0].holds());
    insta::assert_snapshot!(text(&none, Paint::Plain), @r"
    r.example/x:1
      no provenance: none of its labels was written by image-builder or its previous tool
      nothing to verify
    ");
}
