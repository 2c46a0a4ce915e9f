//! Reports of inspections, as text and as documents.

use plan::ImageName;
use plan::label::oci;

use super::*;

const DEBIAN: &str = "docker.io/library/debian:12";

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn product() -> BTreeMap<String, String> {
    labels(&[
        ("org.sciserver.science.nist.version", "1.0-41-0a1b2c3"),
        ("org.sciserver.science.nist.buildtime", "1700000000"),
        ("org.sciserver.science.nist.inputs", "v1:sha256:11"),
        (
            "org.sciserver.science.nist.from",
            r#"{"layers":{},"images":{"docker.io/library/debian:12":"sha256:dd"}}"#,
        ),
        ("org.sciserver.science.sky.version", "2.0-42-f90dbd6"),
        ("org.sciserver.science.sky.buildtime", "1700000010.5"),
        (
            "org.sciserver.science.sky.from",
            r#"{"layers":{"nist:1.0":"1.0-41-0a1b2c3","tools:1.0":"1.0-3-aaaaaaa"},"images":{"docker.io/library/busybox:1":null}}"#,
        ),
        ("org.sciserver.compat.version", "sky:2.0-42-f90dbd6"),
        ("org.sciserver.compat.buildtime", "1700000020"),
        ("org.sciserver.compat.inputs", "v1:sha256:33"),
        (
            "org.sciserver.compat.from",
            r#"{"layers":{"sky:2.0":"2.0-42-f90dbd6"},"stack":["common","jupyter"]}"#,
        ),
        (oci::REF_NAME, "registry.example.org/images/rel/sky:2.0"),
        (oci::REVISION, "f90dbd6000000000000000000000000000000000"),
        (oci::TITLE, "sky 2.0"),
        ("maintainer", "de\u{1b}[1mbian"),
        ("made.by.a.layer", "1"),
    ])
}

fn seen(labels: BTreeMap<String, String>) -> ImageInfo {
    ImageInfo {
        name: ImageName::parse("registry.example.org/images/rel/sky:2.0").unwrap(),
        place: FoundIn::Registry,
        digest: Some("sha256:ab".into()),
        id: "sha256:cd".into(),
        platform: "linux/amd64".into(),
        created: Some(1_700_000_021),
        size: Some(12_345_678),
        labels,
        layers: vec!["sha256:1".into(), "sha256:2".into()],
    }
}

fn inspection(seen: ImageInfo, bases: &BTreeMap<String, BTreeMap<String, String>>) -> Inspection {
    let trail = Provenance::read(&seen.labels, Some("org.sciserver"));
    Inspection::new(seen, trail.as_ref(), bases)
}

#[test]
fn a_trail_reads_as_a_tree() {
    let bases = BTreeMap::from([
        (DEBIAN.to_owned(), labels(&[("maintainer", "de\u{1b}[1mbian")])),
        ("docker.io/library/busybox:1".to_owned(), labels(&[])),
    ]);
    insta::assert_snapshot!(text(&inspection(seen(product()), &bases), false, Paint::Plain), @r"
    registry.example.org/images/rel/sky:2.0
      sha256:ab
      linux/amd64, made 2023-11-14 22:13:41 UTC, 2 layers, 12.3 MB compressed; read from the registry

    rel/sky 2.0-42-f90dbd6, built 2023-11-14 22:13:40 UTC from commit f90dbd6
    │  compat stack: common, jupyter
    └─ sci/sky 2.0-42-f90dbd6, built 2023-11-14 22:13:30 UTC from commit f90dbd6
       ├─ sci/nist 1.0-41-0a1b2c3, built 2023-11-14 22:13:20 UTC from commit 0a1b2c3
       │  └─ docker.io/library/debian:12@sha256:dd
       ├─ files of sci/tools 1.0-3-aaaaaaa
       └─ docker.io/library/busybox:1, which had no digest

    1 label inherited from the foreign base docker.io/library/debian:12: maintainer
    1 label set by a Dockerfile of a layer: made.by.a.layer
    ");
    let report = text(&inspection(seen(product()), &bases), true, Paint::Plain);
    let (_, report) = report.split_once("\nlabels\n").unwrap();
    insta::assert_snapshot!(report, @r#"
    made.by.a.layer=1
      set by a Dockerfile of a layer
    maintainer=de\x1b[1mbian
      inherited from the foreign base docker.io/library/debian:12
    org.opencontainers.image.ref.name=registry.example.org/images/rel/sky:2.0
      written by the build of rel/sky
    org.opencontainers.image.revision=f90dbd6000000000000000000000000000000000
      written by the build of rel/sky
    org.opencontainers.image.title=sky 2.0
      written by the build of rel/sky
    org.sciserver.compat.buildtime=1700000020
      written by the build of rel/sky
    org.sciserver.compat.from={"layers":{"sky:2.0":"2.0-42-f90dbd6"},"stack":["common","jupyter"]}
      written by the build of rel/sky
    org.sciserver.compat.inputs=v1:sha256:33
      written by the build of rel/sky
    org.sciserver.compat.version=sky:2.0-42-f90dbd6
      written by the build of rel/sky
    org.sciserver.science.nist.buildtime=1700000000
      written by the build of sci/nist
    org.sciserver.science.nist.from={"layers":{},"images":{"docker.io/library/debian:12":"sha256:dd"}}
      written by the build of sci/nist
    org.sciserver.science.nist.inputs=v1:sha256:11
      written by the build of sci/nist
    org.sciserver.science.nist.version=1.0-41-0a1b2c3
      written by the build of sci/nist
    org.sciserver.science.sky.buildtime=1700000010.5
      written by the build of sci/sky
    org.sciserver.science.sky.from={"layers":{"nist:1.0":"1.0-41-0a1b2c3","tools:1.0":"1.0-3-aaaaaaa"},"images":{"docker.io/library/busybox:1":null}}
      written by the build of sci/sky
    org.sciserver.science.sky.version=2.0-42-f90dbd6
      written by the build of sci/sky
    "#);
}

#[test]
fn what_cannot_be_asked_is_not_guessed() {
    let report = text(&inspection(seen(product()), &BTreeMap::new()), false, Paint::Plain);
    insta::assert_snapshot!(report.lines().last().unwrap(), @"2 labels set by a Dockerfile, or inherited from a foreign base that was not asked: made.by.a.layer and maintainer");
}

#[test]
fn images_of_the_predecessor_and_of_strangers() {
    let old = labels(&[
        ("org.sciserver.science.a.version", "1.0-9-0a1b2c3"),
        ("org.sciserver.science.a.buildtime", "1600000000.25"),
        ("org.sciserver.science.z.version", "1.0-7-0a1b2c3"),
        ("org.sciserver.science.z.buildtime", "1500000000"),
        ("org.sciserver.compat.version", "a:1.0-10-1a1b2c3"),
        ("org.sciserver.compat.buildtime", "1600000001"),
    ]);
    insta::assert_snapshot!(text(&inspection(seen(old), &BTreeMap::new()), false, Paint::Plain), @r"
    registry.example.org/images/rel/sky:2.0
      sha256:ab
      linux/amd64, made 2023-11-14 22:13:41 UTC, 2 layers, 12.3 MB compressed; read from the registry

    rel/a 1.0-10-1a1b2c3, built 2020-09-13 12:26:41 UTC from commit 1a1b2c3
    └─ sci/a 1.0-9-0a1b2c3, built 2020-09-13 12:26:40 UTC from commit 0a1b2c3
       └─ sci/z 1.0-7-0a1b2c3, built 2017-07-14 02:40:00 UTC from commit 0a1b2c3

    the order is derived from build times: the previous tool did not record base images
    ");
    let stranger = labels(&[("maintainer", "nobody")]);
    insta::assert_snapshot!(text(&inspection(seen(stranger), &BTreeMap::new()), false, Paint::Plain), @r"
    registry.example.org/images/rel/sky:2.0
      sha256:ab
      linux/amd64, made 2023-11-14 22:13:41 UTC, 2 layers, 12.3 MB compressed; read from the registry

    no provenance: none of its labels was written by image-builder or its previous tool

    it has the labels: maintainer
    ");
}

#[test]
fn what_came_with_a_foreign_base_is_marked() {
    let mut labels = product();
    labels.insert("org.sciserver.science.alien.version".into(), "1.0-4-bbbbbbb".into());
    let mut seen = seen(labels);
    seen.name = ImageName::parse("localhost/mine:1").unwrap();
    seen.place = FoundIn::Engine;
    seen.digest = None;
    insta::assert_snapshot!(text(&inspection(seen, &BTreeMap::new()), false, Paint::Plain), @r"
    localhost/mine:1
      linux/amd64, made 2023-11-14 22:13:41 UTC, 2 layers, 12.3 MB; read from the engine

    rel/sky 2.0-42-f90dbd6, built 2023-11-14 22:13:40 UTC from commit f90dbd6
    │  compat stack: common, jupyter
    └─ sci/sky 2.0-42-f90dbd6, built 2023-11-14 22:13:30 UTC from commit f90dbd6
       ├─ sci/nist 1.0-41-0a1b2c3, built 2023-11-14 22:13:20 UTC from commit 0a1b2c3
       │  └─ docker.io/library/debian:12@sha256:dd
       ├─ files of sci/tools 1.0-3-aaaaaaa
       └─ docker.io/library/busybox:1, which had no digest

    labels only inherited: the builds above did not write sci/alien 1.0-4-bbbbbbb, whose labels came with a foreign base

    labels of another name: it was built as registry.example.org/images/rel/sky: this is a copy of it, or was derived from it with other tools

    2 labels set by a Dockerfile, or inherited from a foreign base that was not asked: made.by.a.layer and maintainer
    ");
}

#[test]
fn the_document_has_its_published_form() {
    let mut labels = product();
    labels.retain(|key, _| !key.contains(".science."));
    let document = inspection(seen(labels), &BTreeMap::new());
    insta::assert_json_snapshot!(document, @r#"
    {
      "format_version": "1.1",
      "reference": "registry.example.org/images/rel/sky:2.0",
      "read_from": "registry",
      "digest": "sha256:ab",
      "id": "sha256:cd",
      "platform": "linux/amd64",
      "created": "2023-11-14T22:13:41Z",
      "size": 12345678,
      "layers": 2,
      "trail": {
        "prefix": "org.sciserver",
        "repo": "registry.example.org/images",
        "built_as": null,
        "builds": [
          {
            "kind": "compat",
            "name": "rel/sky",
            "version": "2.0-42-f90dbd6",
            "commit": "f90dbd6000000000000000000000000000000000",
            "count": 42,
            "built": "2023-11-14T22:13:40Z",
            "build_time": 1700000020.0,
            "inputs": "v1:sha256:33",
            "from": {
              "layers": {
                "sky:2.0": "2.0-42-f90dbd6"
              },
              "images": {},
              "stack": [
                "common",
                "jupyter"
              ]
            },
            "known": "top"
          }
        ]
      },
      "labels": [
        {
          "key": "made.by.a.layer",
          "value": "1",
          "written_by": "dockerfile"
        },
        {
          "key": "maintainer",
          "value": "de\u001b[1mbian",
          "written_by": "dockerfile"
        },
        {
          "key": "org.opencontainers.image.ref.name",
          "value": "registry.example.org/images/rel/sky:2.0",
          "written_by": "build",
          "build": "rel/sky"
        },
        {
          "key": "org.opencontainers.image.revision",
          "value": "f90dbd6000000000000000000000000000000000",
          "written_by": "build",
          "build": "rel/sky"
        },
        {
          "key": "org.opencontainers.image.title",
          "value": "sky 2.0",
          "written_by": "build",
          "build": "rel/sky"
        },
        {
          "key": "org.sciserver.compat.buildtime",
          "value": "1700000020",
          "written_by": "build",
          "build": "rel/sky"
        },
        {
          "key": "org.sciserver.compat.from",
          "value": "{\"layers\":{\"sky:2.0\":\"2.0-42-f90dbd6\"},\"stack\":[\"common\",\"jupyter\"]}",
          "written_by": "build",
          "build": "rel/sky"
        },
        {
          "key": "org.sciserver.compat.inputs",
          "value": "v1:sha256:33",
          "written_by": "build",
          "build": "rel/sky"
        },
        {
          "key": "org.sciserver.compat.version",
          "value": "sky:2.0-42-f90dbd6",
          "written_by": "build",
          "build": "rel/sky"
        }
      ]
    }
    "#);
}
