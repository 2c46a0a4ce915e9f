//! Inspections as people and programs read them.

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
        ("org.sciserver.compat.from", r#"{"layers":{"sky:2.0":"2.0-42-f90dbd6"},"stack":["common","jupyter"]}"#),
        (oci::REF_NAME, "registry.example.org/images/rel/sky:2.0"),
        (oci::REVISION, "f90dbd6000000000000000000000000000000000"),
        (oci::TITLE, "sky 2.0"),
        ("maintainer", "de\u{1b}[1mbian"),
        ("made.by.a.layer", "1"),
    ])
}

fn seen(labels: BTreeMap<String, String>) -> Seen {
    Seen {
        name: ImageName::parse("registry.example.org/images/rel/sky:2.0").unwrap(),
        place: Place::Registry,
        digest: Some("sha256:ab".into()),
        id: "sha256:cd".into(),
        platform: "linux/amd64".into(),
        created: Some(1_700_000_021),
        size: Some(12_345_678),
        labels,
        layers: vec!["sha256:1".into(), "sha256:2".into()],
    }
}

fn inspection(seen: Seen, bases: &BTreeMap<String, BTreeMap<String, String>>) -> Inspection {
    let trail = Trail::read(&seen.labels, Some("org.sciserver"));
    Inspection::new(seen, trail.as_ref(), bases)
}

#[test]
fn a_trail_reads_as_a_tree() {
    let bases = BTreeMap::from([
        (DEBIAN.to_owned(), labels(&[("maintainer", "de\u{1b}[1mbian")])),
        ("docker.io/library/busybox:1".to_owned(), labels(&[])),
    ]);
    insta::assert_snapshot!(text(&inspection(seen(product()), &bases), false, Paint::Plain), @"");
    let told = text(&inspection(seen(product()), &bases), true, Paint::Plain);
    let (_, told) = told.split_once("\nlabels\n").unwrap();
    insta::assert_snapshot!(told, @"");
}

#[test]
fn what_cannot_be_asked_is_not_guessed() {
    let told = text(&inspection(seen(product()), &BTreeMap::new()), false, Paint::Plain);
    insta::assert_snapshot!(told.lines().last().unwrap(), @"");
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
    insta::assert_snapshot!(text(&inspection(seen(old), &BTreeMap::new()), false, Paint::Plain), @"");
    let stranger = labels(&[("maintainer", "nobody")]);
    insta::assert_snapshot!(text(&inspection(seen(stranger), &BTreeMap::new()), false, Paint::Plain), @"");
}

#[test]
fn what_came_with_a_foreign_base_is_marked() {
    let mut labels = product();
    labels.insert("org.sciserver.science.alien.version".into(), "1.0-4-bbbbbbb".into());
    let mut seen = seen(labels);
    seen.name = ImageName::parse("localhost/mine:1").unwrap();
    seen.place = Place::Engine;
    seen.digest = None;
    insta::assert_snapshot!(text(&inspection(seen, &BTreeMap::new()), false, Paint::Plain), @"");
}

#[test]
fn the_document_has_its_published_form() {
    let mut labels = product();
    labels.retain(|key, _| !key.contains(".science."));
    let document = inspection(seen(labels), &BTreeMap::new());
    insta::assert_json_snapshot!(document, @"");
}
