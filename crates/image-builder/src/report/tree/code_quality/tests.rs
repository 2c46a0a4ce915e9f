//! Code-quality documents, checked against what their standards require.

use planner::{Request, fixture};

use super::*;

/// A tree with a warning, a problem, a directory name that needs escaping, and two findings that
/// are alike.
const TREE: &str = r#"
//- /science/a b/sciserver-image.json
{"image": "a", "target": "a", "compat": null, "verison": "1.0"}
//- /science/a b/Dockerfile
FROM docker.io/library/debian:12
COPY --from=docker.io/library/debian:12 /a /b
"#;

fn checked() -> Checked {
    planner::check(
        &fixture::tree(TREE),
        None,
        None,
        &Request { repo: Some("x".to_owned()), ..Request::default() },
    )
}

#[test]
fn sarif_names_rules_places_and_levels() {
    insta::assert_snapshot!(sarif(&checked(), "below/"), @r#"
    {
      "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
      "runs": [
        {
          "columnKind": "unicodeCodePoints",
          "results": [
            {
              "level": "error",
              "message": {
                "text": "--repo \"x\" is not a repo; give a registry host, with a path or without, as in registry.example.org/images: lower case, without tag"
              },
              "partialFingerprints": {
                "imageBuilder/v1": "895eea4f3c39d4acc3d917e91eefe00f"
              },
              "ruleId": "repo",
              "ruleIndex": 2
            },
            {
              "level": "warning",
              "locations": [
                {
                  "physicalLocation": {
                    "artifactLocation": {
                      "uri": "below/science/a%20b/Dockerfile",
                      "uriBaseId": "%SRCROOT%"
                    },
                    "region": {
                      "endColumn": 33,
                      "startColumn": 6,
                      "startLine": 1
                    }
                  }
                }
              ],
              "message": {
                "text": "docker.io/library/debian:12 is not pinned by digest: the tag can be moved to another image; `image-builder pin` asks the registry, and writes the digest behind the tag"
              },
              "partialFingerprints": {
                "imageBuilder/v1": "8a04bf811162a5ec8bcd06095adf130c"
              },
              "ruleId": "from-unpinned",
              "ruleIndex": 1
            },
            {
              "level": "warning",
              "locations": [
                {
                  "physicalLocation": {
                    "artifactLocation": {
                      "uri": "below/science/a%20b/Dockerfile",
                      "uriBaseId": "%SRCROOT%"
                    },
                    "region": {
                      "endColumn": 40,
                      "startColumn": 13,
                      "startLine": 2
                    }
                  }
                }
              ],
              "message": {
                "text": "docker.io/library/debian:12 is not pinned by digest: the tag can be moved to another image; `image-builder pin` asks the registry, and writes the digest behind the tag"
              },
              "partialFingerprints": {
                "imageBuilder/v1": "a33e1161f0b60317fab123e199d63b66"
              },
              "ruleId": "from-unpinned",
              "ruleIndex": 1
            },
            {
              "level": "error",
              "locations": [
                {
                  "physicalLocation": {
                    "artifactLocation": {
                      "uri": "below/science/a%20b/sciserver-image.json",
                      "uriBaseId": "%SRCROOT%"
                    },
                    "region": {
                      "endColumn": 63,
                      "startColumn": 47,
                      "startLine": 1
                    }
                  }
                }
              ],
              "message": {
                "text": "unknown field \"verison\"; did you mean \"version\"? fields of your own begin with \"x-\""
              },
              "partialFingerprints": {
                "imageBuilder/v1": "568fe7e787997032c0d890ed207c6664"
              },
              "ruleId": "descriptor-field",
              "ruleIndex": 0
            }
          ],
          "tool": {
            "driver": {
              "name": "image-builder",
              "rules": [
                {
                  "defaultConfiguration": {
                    "level": "error"
                  },
                  "id": "descriptor-field",
                  "shortDescription": {
                    "text": "a field of a descriptor is unknown or missing"
                  }
                },
                {
                  "defaultConfiguration": {
                    "level": "warning"
                  },
                  "id": "from-unpinned",
                  "shortDescription": {
                    "text": "an external image is not pinned by digest"
                  }
                },
                {
                  "defaultConfiguration": {
                    "level": "error"
                  },
                  "id": "repo",
                  "shortDescription": {
                    "text": "a flag names no repo"
                  }
                }
              ],
              "semanticVersion": "0.1.0"
            }
          }
        }
      ],
      "version": "2.1.0"
    }
    "#);
}

#[test]
fn sarif_keeps_what_the_standard_asks_for() {
    let document: Value = serde_json::from_str(&sarif(&checked(), "")).unwrap();
    assert_eq!(document["version"], "2.1.0");
    let run = &document["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), checked().findings.len());
    for result in results {
        // 3.27.6: ruleIndex names the rule of ruleId; 3.27.10: one of four levels; 3.11: a message
        // has a text.
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[rule]["id"], result["ruleId"]);
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        for place in result["locations"].as_array().into_iter().flatten() {
            let physical = &place["physicalLocation"];
            let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
            assert!(!uri.starts_with('/') && !uri.contains([' ', '\\']), "{uri}");
            let region = &physical["region"];
            for number in ["startLine", "startColumn", "endColumn"] {
                assert!(region[number].is_null() || region[number].as_u64() >= Some(1), "{region}");
            }
        }
    }
    let mut fingerprints: Vec<_> =
        results.iter().map(|result| result["partialFingerprints"]["imageBuilder/v1"].as_str()).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), results.len(), "each finding has its own");
}

#[test]
fn gitlab_gets_a_list_of_issues() {
    insta::assert_snapshot!(gitlab(&checked(), ""), @r#"
    [
      {
        "check_name": "repo",
        "description": "--repo \"x\" is not a repo; give a registry host, with a path or without, as in registry.example.org/images: lower case, without tag",
        "fingerprint": "895eea4f3c39d4acc3d917e91eefe00f",
        "location": {
          "lines": {
            "begin": 1
          },
          "path": "image-builder.toml"
        },
        "severity": "critical"
      },
      {
        "check_name": "from-unpinned",
        "description": "docker.io/library/debian:12 is not pinned by digest: the tag can be moved to another image; `image-builder pin` asks the registry, and writes the digest behind the tag",
        "fingerprint": "8a04bf811162a5ec8bcd06095adf130c",
        "location": {
          "lines": {
            "begin": 1
          },
          "path": "science/a b/Dockerfile"
        },
        "severity": "minor"
      },
      {
        "check_name": "from-unpinned",
        "description": "docker.io/library/debian:12 is not pinned by digest: the tag can be moved to another image; `image-builder pin` asks the registry, and writes the digest behind the tag",
        "fingerprint": "a33e1161f0b60317fab123e199d63b66",
        "location": {
          "lines": {
            "begin": 2
          },
          "path": "science/a b/Dockerfile"
        },
        "severity": "minor"
      },
      {
        "check_name": "descriptor-field",
        "description": "unknown field \"verison\"; did you mean \"version\"? fields of your own begin with \"x-\"",
        "fingerprint": "568fe7e787997032c0d890ed207c6664",
        "location": {
          "lines": {
            "begin": 1
          },
          "path": "science/a b/sciserver-image.json"
        },
        "severity": "critical"
      }
    ]
    "#);
}

#[test]
fn a_fingerprint_stays_when_lines_move() {
    let moved = TREE.replace("FROM docker", "# a comment\nFROM docker");
    let request = Request { repo: Some("x".to_owned()), ..Request::default() };
    let moved = planner::check(&fixture::tree(&moved), None, None, &request);
    assert_eq!(fingerprints(&moved), fingerprints(&checked()));
}

#[test]
fn paths_are_relative_references() {
    assert_eq!(uri("science/a b/Größe#1"), "science/a%20b/Gr%C3%B6%C3%9Fe%231");
}
