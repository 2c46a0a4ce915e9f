//! Coverage reports, as text and as documents.

use planner::published::Build;

use super::*;

fn revision(dirty: bool) -> Revision {
    Revision {
        commit: format!("1a2b3c4{}", "0".repeat(33)),
        count: Some(47),
        short: "1a2b3c4".to_owned(),
        dirty: dirty.then(|| "0a1b2c3d".to_owned()),
        shallow: false,
    }
}

fn covered(product: &str, inputs: Option<&str>, state: State) -> Covered {
    let build = Build {
        digest: format!("sha256:{}", "a".repeat(64)),
        build_tag: Some("1.0-46-b9947d2".to_owned()),
        built: Some(1_763_600_000.5),
        inputs: inputs.map(str::to_owned),
    };
    Covered {
        product: product.to_owned(),
        reference: format!("r.example.org/images/rel/{product}"),
        layer: "science/x".to_owned(),
        stack: vec!["common".to_owned(), "jupyter".to_owned()],
        held: false,
        published: (state != State::NotPublished).then_some(build),
        state,
    }
}

fn behind(layers: &[&str], paths: &[&str], why: Option<&str>) -> State {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    State::Behind {
        layers: owned(layers),
        paths: owned(paths),
        commit: Some("b9947d2".to_owned()),
        why: why.map(str::to_owned),
    }
}

/// One product of each kind.
fn products() -> Vec<Covered> {
    vec![
        covered("astronomy:1.0", Some("v1:x"), behind(&["jupyter"], &["compat/jupyter/Dockerfile"], None)),
        covered("numerics:1.0", Some("v1:x"), State::Carries),
        covered("new:1.0", Some("v1:x"), State::NotPublished),
        Covered {
            held: true,
            ..covered(
                "nist-basic:2.0",
                None,
                behind(&["common", "jupyter"], &["compat/common/\u{1b}[1m"], None),
            )
        },
        covered(
            "old:1.0",
            None,
            State::Untold {
                why: "commit 0123456, from which it was built, is not in this repository".to_owned(),
            },
        ),
        covered("other:1.0", Some("v1:x"), behind(&[], &[], Some("it was made from other inputs"))),
    ]
}

fn check(products: &[Covered], dirty: bool, compat: Option<&str>, paint: Paint) -> String {
    let touched = ChangeCommit {
        commit: format!("81e972c{}", "0".repeat(33)),
        summary: "Close a hole in the notebook that anybody could have seen who looked at it for long"
            .to_owned(),
        time: 1_763_700_000,
    };
    let rows = products
        .iter()
        .map(|product| Row { product, since: (product.product == "astronomy:1.0").then_some(&touched) })
        .collect();
    let report = CoverageReport { repo: "r.example.org/images", revision: &revision(dirty), compat, rows };
    text(&report, paint)
}

#[test]
fn what_does_not_carry_it_stands_beside_the_total() {
    let found = check(&products(), false, None, Paint::Plain);
    insta::assert_snapshot!(found, @r#"
    yes  numerics:1.0    jupyter  1.0-46-b9947d2  built 2025-11-20
    no   astronomy:1.0   jupyter  1.0-46-b9947d2  built 2025-11-20
           jupyter changed on 2025-11-21: 81e972c "Close a hole in the notebook th…"
           compat/jupyter/Dockerfile
    no   new:1.0         jupyter  not published
    no   nist-basic:2.0  jupyter  1.0-46-b9947d2  built 2025-11-20
           common and jupyter changed
           compat/common/\x1b[1m
           without an inputs digest, as of the predecessor: judged by its commit
           under `hold` in image-builder.toml: no plan builds it
    ?    old:1.0         jupyter  1.0-46-b9947d2  built 2025-11-20
           commit 0123456, from which it was built, is not in this repository
           without an inputs digest, as of the predecessor: judged by its commit
    no   other:1.0       jupyter  1.0-46-b9947d2  built 2025-11-20
           it was made from other inputs

    1 of 6 products carries their compat stack as of 1a2b3c4
    "#);
    assert!(found.lines().all(|line| line.chars().count() <= WIDTH), "{found}");
}

#[test]
fn the_total_is_a_sentence() {
    let carrying = || covered("a:1.0", Some("v1:x"), State::Carries);
    for (products, dirty, compat, expect) in [
        (vec![], false, None, "the source tree makes no product\n"),
        (vec![], false, Some("web"), "no product has web in its compat stack\n"),
        (vec![carrying()], false, Some("web"), "1 of 1 product carries web as of 1a2b3c4\n"),
        (
            vec![carrying(), carrying()],
            true,
            None,
            "2 of 2 products carry their compat stack as of 1a2b3c4 with uncommitted changes\n",
        ),
    ] {
        let found = check(&products, dirty, compat, Paint::Plain);
        assert!(found.ends_with(expect), "{found}");
    }
    let uncommitted = covered("a:1.0", Some("v1:x"), behind(&["web"], &["compat/web/x"], None));
    assert!(check(&[uncommitted], true, None, Paint::Plain).contains("web changed, in no commit yet\n"));
}

#[test]
fn colour_changes_no_letter() {
    let coloured = check(&products(), false, None, Paint::Colour);
    assert!(coloured.contains("\x1b[32myes\x1b[0m"), "{coloured}");
    assert_eq!(console::strip_ansi_codes(&coloured), check(&products(), false, None, Paint::Plain));
}

#[test]
fn what_is_held_fails_nobody() {
    let held = Covered { held: true, ..covered("a:1.0", None, behind(&["web"], &[], None)) };
    let (carries, absent) =
        (covered("b:1.0", None, State::Carries), covered("c:1.0", None, State::NotPublished));
    for (products, expect) in
        [(vec![], true), (vec![&held, &carries], true), (vec![&carries, &absent], false)]
    {
        let rows = products.iter().map(|product| Row { product, since: None }).collect();
        let report = CoverageReport { repo: "r", revision: &revision(false), compat: None, rows };
        assert_eq!(holds(&report), expect);
    }
}

#[test]
fn the_document_has_its_documented_form() {
    let products = &products()[..1];
    let touched =
        ChangeCommit { commit: "81e972c".to_owned(), summary: "Close".to_owned(), time: 1_763_700_000 };
    let rows = vec![Row { product: &products[0], since: Some(&touched) }];
    let report = CoverageReport {
        repo: "r.example.org/images",
        revision: &revision(false),
        compat: Some("jupyter"),
        rows,
    };
    insta::assert_snapshot!(serde_json::to_string_pretty(&document(&report)).expect("JSON"), @r#"
    {
      "format_version": "1.0",
      "repo": "r.example.org/images",
      "revision": {
        "commit": "1a2b3c4000000000000000000000000000000000",
        "count": 47,
        "short": "1a2b3c4",
        "dirty": null,
        "shallow": false
      },
      "compat": "jupyter",
      "total": 1,
      "carries": 0,
      "holds": false,
      "products": [
        {
          "product": "astronomy:1.0",
          "reference": "r.example.org/images/rel/astronomy:1.0",
          "layer": "science/x",
          "stack": [
            "common",
            "jupyter"
          ],
          "held": false,
          "published": {
            "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "build_tag": "1.0-46-b9947d2",
            "built": 1763600000.5,
            "inputs": "v1:x"
          },
          "state": "behind",
          "changed_layers": [
            "jupyter"
          ],
          "changed_paths": [
            "compat/jupyter/Dockerfile"
          ],
          "built_from": "b9947d2",
          "why": null,
          "since": {
            "commit": "81e972c",
            "time": "2025-11-21T04:40:00Z",
            "summary": "Close"
          }
        }
      ]
    }
    "#);
}
