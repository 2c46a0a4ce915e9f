//! Reports of stale images, as text and as documents.

use planner::published::Build;

use super::*;

fn digest(of: &str) -> String {
    format!("sha256:{}", of.repeat(64))
}

fn layer(path: &str, states: Vec<(&str, Role, State)>, dependents: &[&str]) -> Layer {
    let build = Build {
        digest: digest("d"),
        build_tag: Some("1.0-12-05ea881".to_owned()),
        built: Some(1_763_600_000.5),
        inputs: Some("v1:x".to_owned()),
    };
    let is_published = states.iter().all(|(.., state)| *state != State::NotPublished);
    Layer {
        layer: path.to_owned(),
        reference: format!("r.example.org/images/sci/{path}:1.0"),
        published: is_published.then_some(build),
        bases: states
            .into_iter()
            .map(|(image, role, state)| Base { image: image.to_owned(), role, state })
            .collect(),
        dependents: dependents.iter().map(|id| (*id).to_owned()).collect(),
    }
}

const DEBIAN: &str = "docker.io/library/debian:12";

/// One layer of each kind.
fn layers() -> Vec<Layer> {
    let pinned = "docker.io/library/debian:12@sha256:aaa";
    vec![
        layer(
            "science/base",
            vec![
                (DEBIAN, Role::Base, State::Moved { from: digest("a"), to: digest("b") }),
                ("quay.io/tools/uv:1", Role::Copy, State::Same { digest: digest("c") }),
            ],
            &["science/one", "science/two", "rel/one:1.0", "rel/two:1.0"],
        ),
        layer("science/fine", vec![(DEBIAN, Role::Base, State::Same { digest: digest("b") })], &[]),
        layer(
            "science/gone",
            vec![("r.example.org/x:1", Role::Base, State::Gone { from: digest("a") })],
            &[],
        ),
        layer(
            "science/pins",
            vec![
                (pinned, Role::Base, State::PinBehind { digest: digest("a"), to: Some(digest("b")) }),
                (
                    "r.example.org/y:1@sha256:bbb",
                    Role::Stage,
                    State::PinBehind { digest: digest("b"), to: None },
                ),
                ("r.example.org/z@sha256:ccc", Role::Mount, State::Pinned { digest: digest("c") }),
            ],
            &[],
        ),
        layer("science/predecessor", vec![(DEBIAN, Role::Base, State::Untold)], &["rel/old:1.0"]),
        layer("science/unasked", vec![("away.example.org/x:1\u{1b}", Role::Base, State::Unanswered)], &[]),
        layer("science/unpublished", vec![(DEBIAN, Role::Base, State::NotPublished)], &[]),
    ]
}

fn revision() -> plan::Revision {
    plan::Revision {
        commit: format!("1a2b3c4{}", "0".repeat(33)),
        count: Some(47),
        short: "1a2b3c4".to_owned(),
        dirty: None,
        shallow: false,
    }
}

fn check(layers: &[Layer], verbose: bool, paint: Paint) -> String {
    text(&StaleReport { repo: "r.example.org/images", revision: &revision(), layers }, verbose, paint)
}

#[test]
fn what_moved_and_what_nobody_can_tell_is_named() {
    let found = check(&layers(), false, Paint::Plain);
    insta::assert_snapshot!(found, @r"
    science/base  1.0-12-05ea881  built 2025-11-20
      moved   docker.io/library/debian:12
              was sha256:aaaaaaaaaaaa, its tag shows sha256:bbbbbbbbbbbb now
      below   science/one, science/two and 2 more

    science/gone  1.0-12-05ea881  built 2025-11-20
      gone    r.example.org/x:1
              was sha256:aaaaaaaaaaaa, its registry has no such tag any more

    science/pins  1.0-12-05ea881  built 2025-11-20
      pinned  docker.io/library/debian:12@sha256:aaa
              its tag shows sha256:bbbbbbbbbbbb now: `pin --update` follows it
      pinned  r.example.org/y:1@sha256:bbb
              its registry has no such tag any more

    science/predecessor  1.0-12-05ea881  built 2025-11-20
      ?       docker.io/library/debian:12
              the published image does not record the digest it was built on

    science/unasked  1.0-12-05ea881  built 2025-11-20
      ?       away.example.org/x:1\x1b
              its registry could not be asked

    science/unpublished
      -       docker.io/library/debian:12
              it is not published; --since-published builds it

    1 of 7 science layers with a base of another maker is stale, as of 1a2b3c4
    to follow: 3 science builds and 2 compat builds (`image-builder stale --plan`)
    ");
    assert!(found.lines().all(|line| line.chars().count() <= 80), "{found}");
    assert_eq!(console::strip_ansi_codes(&check(&layers(), false, Paint::Colour)), found);
}

#[test]
fn more_is_told_for_the_asking() {
    let found = check(&layers()[..2], true, Paint::Plain);
    insta::assert_snapshot!(found, @r"
    science/base  1.0-12-05ea881  built 2025-11-20
      moved   docker.io/library/debian:12
              was sha256:aaaaaaaaaaaa, its tag shows sha256:bbbbbbbbbbbb now
      same    quay.io/tools/uv:1, copied from
              still sha256:cccccccccccc
      below   science/one, science/two, rel/one:1.0 and rel/two:1.0

    science/fine  1.0-12-05ea881  built 2025-11-20
      same    docker.io/library/debian:12
              still sha256:bbbbbbbbbbbb

    1 of 2 science layers with a base of another maker is stale, as of 1a2b3c4
    to follow: 3 science builds and 2 compat builds (`image-builder stale --plan`)
    ");
}

#[test]
fn where_nothing_moved_one_line_is_enough() {
    assert_eq!(
        check(&layers()[1..2], false, Paint::Plain),
        "nothing is stale: 1 science layer has a base of another maker, as of 1a2b3c4\n"
    );
    let untold = check(&layers()[4..5], false, Paint::Plain);
    assert!(untold.ends_with(
        "nothing is known to be stale: 1 science layer has a base of another maker, as of 1a2b3c4\n"
    ));
    assert_eq!(check(&[], false, Paint::Plain), "no layer names an image of another maker, as of 1a2b3c4\n");
}

#[test]
fn the_document_has_its_documented_form() {
    let layers = &layers()[..1];
    let report = StaleReport { repo: "r.example.org/images", revision: &revision(), layers };
    insta::assert_snapshot!(serde_json::to_string_pretty(&document(&report)).expect("JSON"), @r#"
    {
      "format_version": "1.1",
      "repo": "r.example.org/images",
      "revision": {
        "commit": "1a2b3c4000000000000000000000000000000000",
        "count": 47,
        "short": "1a2b3c4",
        "dirty": null,
        "shallow": false
      },
      "total": 1,
      "stale": 1,
      "layers": [
        {
          "layer": "science/base",
          "reference": "r.example.org/images/sci/science/base:1.0",
          "published": {
            "digest": "sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
            "build_tag": "1.0-12-05ea881",
            "built": 1763600000.5,
            "inputs": "v1:x"
          },
          "bases": [
            {
              "image": "docker.io/library/debian:12",
              "role": "base",
              "state": "moved",
              "from": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
              "to": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
            },
            {
              "image": "quay.io/tools/uv:1",
              "role": "copy",
              "state": "same",
              "digest": "sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
            }
          ],
          "dependents": [
            "science/one",
            "science/two",
            "rel/one:1.0",
            "rel/two:1.0"
          ],
          "stale": true
        }
      ]
    }
    "#);
}

#[test]
fn a_product_that_copies_by_itself_counts_beside_layers() {
    let moved = || State::Moved { from: digest("a"), to: digest("b") };
    let same = || State::Same { digest: digest("a") };
    let tools = "quay.io/tools/uv:1";
    let both = [
        layer("science/base", vec![(DEBIAN, Role::Base, same())], &[]),
        layer("rel/one:1.0", vec![(tools, Role::Copy, moved())], &[]),
    ];
    insta::assert_snapshot!(check(&both, false, Paint::Plain), @r"
    rel/one:1.0  1.0-12-05ea881  built 2025-11-20
      moved   quay.io/tools/uv:1, copied from
              was sha256:aaaaaaaaaaaa, its tag shows sha256:bbbbbbbbbbbb now

    1 of 1 science layer and 1 product with a base of another maker is stale, as of 1a2b3c4
    to follow: 0 science builds and 1 compat build (`image-builder stale --plan`)
    ");
    let fine = [layer("rel/one:1.0", vec![(tools, Role::Copy, same())], &[])];
    let said = check(&fine, false, Paint::Plain);
    assert_eq!(said, "nothing is stale: 1 product has a base of another maker, as of 1a2b3c4\n");
}
