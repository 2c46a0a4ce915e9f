//! `check`: the real binary on small trees, with its output, its files and its exit code.

use std::fs;

use crate::support::{SAMPLE, Tree};

/// A layer with comments, DOS line ends, a byte order mark, and many warnings.
fn untidy() -> Tree {
    let tree = Tree::new();
    tree.write_all(SAMPLE);
    tree.write(
        "science/nist-basic-2/sciserver-image.json",
        "{\r\n  // twice as good\r\n  \"image\": \"nist-basic\",\r\n  \"version\": 2.0, # a number\r\n  \"compat\": \"jupyter\",\r\n}\r\n",
    );
    tree.write(
        "science/nist-basic-2/Dockerfile",
        "\u{feff}# build first\r\nARG V=1.22\r\nFROM golang:${V} AS build\r\nFROM sci/nist-basic:1.0\r\nCOPY --from=build /a /b\r\nCOPY --from=busybox:1.36 /bin/sh \\\r\n  /bin/sh",
    );
    tree.git(&["add", "--all"]);
    tree
}

#[test]
fn a_tree_needs_no_commit() {
    let run = untidy().run(&["check"]).code(0);
    assert_eq!(run.stderr, "");
    insta::assert_snapshot!(run.stdout, @r#"
    science/nist-basic-2/Dockerfile:3:6: warning: golang:1.22 is not pinned by digest: the tag can be moved to another image [from-unpinned]
    science/nist-basic-2/Dockerfile:3:6: warning: golang:1.22 does not say which registry it comes from [from-unqualified]
        |
      3 | FROM golang:${V} AS build
        |      ^^^^^^^^^^^
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
      help: write docker.io/library/golang:1.22: engines can be set up to look elsewhere first

    science/nist-basic-2/Dockerfile:6:13: warning: busybox:1.36 is not pinned by digest: the tag can be moved to another image [from-unpinned]
    science/nist-basic-2/Dockerfile:6:13: warning: busybox:1.36 does not say which registry it comes from [from-unqualified]
        |
      6 | COPY --from=busybox:1.36 /bin/sh \
        |             ^^^^^^^^^^^^
      help: `image-builder pin` asks the registry, and writes the digest behind the tag
      help: write docker.io/library/busybox:1.36: engines can be set up to look elsewhere first

    science/nist-basic-2/sciserver-image.json:4:14: warning: the version 2.0 is a number [version-unquoted]
        |
      4 |   "version": 2.0, # a number
        |              ^^^
      help: put it into quotes: "2.0"

    science/nist-basic/Dockerfile:1:6: warning: docker.io/library/debian:12.5 is not pinned by digest: the tag can be moved to another image [from-unpinned]
        |
      1 | FROM docker.io/library/debian:12.5
        |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      help: `image-builder pin` asks the registry, and writes the digest behind the tag

    4 layers: 6 warnings; `image-builder check --fix` fixes 3 of them
    "#);
}

#[test]
fn a_tree_that_is_right_says_so() {
    let tree = Tree::new();
    tree.write_all(SAMPLE);
    let digest = "0123456789abcdef".repeat(4);
    tree.write(
        "science/nist-basic/Dockerfile",
        format!("FROM docker.io/library/debian:12.5@sha256:{digest}\nCOPY packages.txt /opt/\n"),
    );
    tree.git(&["add", "--all"]);
    let run = tree.run(&["check"]).code(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("4 layers: nothing to mend\n", ""));
}

#[test]
fn what_is_refused_or_denied_gives_seven() {
    let tree = untidy();
    assert_eq!(tree.run(&["check", "--deny", "compat-shadowed"]).code(0).stderr, "");
    for deny in ["warnings", "from-unpinned"] {
        let run = tree.run(&["check", "--deny", deny]).code(7);
        assert!(run.stdout.contains("error: golang:1.22 is not pinned by digest"), "{}", run.stdout);
    }
    let run = tree.run(&["check", "--deny", "from-unpined"]).code(2);
    assert!(
        run.stderr.contains("there is no code from-unpined; did you mean from-unpinned?"),
        "{}",
        run.stderr
    );
    tree.write("image-builder.toml", "[check]\nfrom-unqualified = \"deny\"\nfrom-unpinned = \"allow\"\n");
    tree.git(&["add", "--all"]);
    let run = tree.run(&["check"]).code(7);
    assert!(
        run.stdout
            .ends_with("4 layers: 2 problems and 1 warning; `image-builder check --fix` fixes 3 of them\n"),
        "{}",
        run.stdout
    );
    // Without a source tree there are no findings.
    assert!(Tree::new().run(&["check"]).code(2).stdout.is_empty());
}

#[test]
fn fix_shows_first_then_writes_and_leaves_nothing_of_its_kind() {
    let tree = untidy();
    let before = |file: &str| fs::read_to_string(tree.root().join(file)).unwrap();
    let texts = ["science/nist-basic-2/Dockerfile", "science/nist-basic-2/sciserver-image.json"];
    let [dockerfile, descriptor] = texts.map(before);
    insta::assert_snapshot!(tree.run(&["check", "--fix", "--dryrun"]).code(0).stdout, @r#"
    --- a/science/nist-basic-2/Dockerfile
    +++ b/science/nist-basic-2/Dockerfile
    @@ -1,7 +1,7 @@
     \u{feff}# build first
     ARG V=1.22
    -FROM golang:${V} AS build
    +FROM docker.io/library/golang:${V} AS build
     FROM sci/nist-basic:1.0
     COPY --from=build /a /b
    -COPY --from=busybox:1.36 /bin/sh \
    +COPY --from=docker.io/library/busybox:1.36 /bin/sh \
       /bin/sh
    --- a/science/nist-basic-2/sciserver-image.json
    +++ b/science/nist-basic-2/sciserver-image.json
    @@ -2,5 +2,5 @@
       // twice as good
       "image": "nist-basic",
    -  "version": 2.0, # a number
    +  "version": "2.0", # a number
       "compat": "jupyter",
     }
    "#);
    assert_eq!(texts.map(before), [dockerfile.clone(), descriptor.clone()]);

    let run = tree.run(&["check", "--fix"]).code(0);
    insta::assert_snapshot!(run.stderr, @r#"
    science/nist-basic-2/Dockerfile:3: golang => docker.io/library/golang
    science/nist-basic-2/Dockerfile:6: busybox => docker.io/library/busybox
    science/nist-basic-2/sciserver-image.json:4: 2.0 => "2.0"
    "#);
    for code in ["from-unqualified", "version-unquoted", "--fix"] {
        assert!(!run.stdout.contains(code), "{}", run.stdout);
    }
    let expect = dockerfile
        .replace("golang:", "docker.io/library/golang:")
        .replace("busybox:", "docker.io/library/busybox:");
    assert_eq!(texts.map(before), [expect, descriptor.replace("2.0", "\"2.0\"")]);
    // The second time there is nothing to fix.
    assert_eq!(tree.run(&["check", "--fix"]).code(0).stderr, "");
}

#[test]
fn fix_writes_where_git_has_other_line_ends() {
    let mut tree = untidy();
    tree.write(".gitattributes", "Dockerfile text eol=crlf\n*.json text eol=crlf\n");
    tree.git(&["add", "--all", "--renormalize"]);
    tree.commit();
    let file = tree.root().join("science/nist-basic-2/Dockerfile");
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains("\r\n"));
    tree.run(&["check", "--fix"]).code(0);
    let expect = before
        .replace("golang:", "docker.io/library/golang:")
        .replace("busybox:", "docker.io/library/busybox:");
    assert_eq!(fs::read_to_string(&file).unwrap(), expect);
}

#[test]
fn lost_products_are_told_when_there_is_a_base() {
    let mut tree = Tree::sample();
    tree.write(
        "science/nist-basic-2/sciserver-image.json",
        r#"{"image": "nist-basic", "version": "2.0", "compat": null}"#,
    );
    tree.commit();
    assert!(!tree.run(&["check"]).code(0).stdout.contains("orphan"));
    let run = tree.run(&["check", "--ref", "HEAD^"]).code(7);
    assert!(run.stdout.contains("nist-basic:2.0 would be orphaned"), "{}", run.stdout);
    tree.run(&["check", "--ref", "HEAD^", "--allow-orphan", "nist-basic:2.0"]).code(0);
    // A commit can be checked as well.
    tree.write("science/nist-basic/Dockerfile", "FORM x\n");
    tree.run(&["check", "--ref", "HEAD^..HEAD"]).code(7);
    let run = tree.run(&["check"]).code(7);
    assert!(run.stdout.contains("did you mean FROM?"), "{}", run.stdout);
}

#[test]
fn reports_name_files_below_the_repository() {
    let tree = Tree::new();
    for (at, part) in SAMPLE.split("//- /").enumerate().skip(1) {
        let (path, text) = part.split_once('\n').unwrap_or_else(|| panic!("part {at}"));
        tree.write(&format!("images/{path}"), text);
    }
    tree.git(&["add", "--all"]);
    let gitlab = tree.run(&["check", "--root", "images", "--format", "gitlab"]).code(0);
    insta::assert_snapshot!(gitlab.stdout, @r#"
    [
      {
        "check_name": "from-unpinned",
        "description": "docker.io/library/debian:12.5 is not pinned by digest: the tag can be moved to another image; `image-builder pin` asks the registry, and writes the digest behind the tag",
        "fingerprint": "d60303ef1007a42e6f4319755a1be19f",
        "location": {
          "lines": {
            "begin": 1
          },
          "path": "images/science/nist-basic/Dockerfile"
        },
        "severity": "minor"
      }
    ]
    "#);
    let run = tree.run(&["check", "--root", "images", "--format", "sarif", "--out", "check.sarif"]).code(0);
    assert!(run.stdout.contains("science/nist-basic/Dockerfile:1:6: warning"), "{}", run.stdout);
    let sarif: serde_json::Value =
        serde_json::from_slice(&fs::read(tree.root().join("check.sarif")).unwrap()).unwrap();
    let place = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "images/science/nist-basic/Dockerfile");
    let json = tree.run(&["check", "--root", "images", "--format", "json"]).code(0);
    insta::assert_snapshot!(json.stdout, @r#"
    {
      "format_version": "1.0",
      "layers": 4,
      "problems": 0,
      "warnings": 1,
      "findings": [
        {
          "code": "from-unpinned",
          "level": "warning",
          "file": "science/nist-basic/Dockerfile",
          "line": 1,
          "column": 6,
          "end_column": 35,
          "message": "docker.io/library/debian:12.5 is not pinned by digest: the tag can be moved to another image",
          "help": "`image-builder pin` asks the registry, and writes the digest behind the tag",
          "fix": null
        }
      ]
    }
    "#);
}

#[test]
fn a_plan_stays_silent_about_what_only_a_check_tells() {
    let mut tree = untidy();
    tree.commit();
    let run = tree.run(&["plan"]).code(0);
    assert!(!run.stderr.contains("from-"), "{}", run.stderr);
    tree.write("image-builder.toml", "[check]\nfrom-unpinned = \"deny\"\n");
    tree.git(&["add", "--all"]);
    let run = tree.run(&["plan"]).code(2);
    assert!(run.stderr.contains("is not pinned by digest"), "{}", run.stderr);
}
