//! `inspect`: the real binary against a registry in memory.

use crate::served::Registry;
use crate::support::Tree;

const LABELS: [(&str, &str); 8] = [
    ("org.sciserver.science.nist.version", "1.0-41-0a1b2c3"),
    ("org.sciserver.science.nist.buildtime", "1700000000"),
    ("org.sciserver.science.nist.from", r#"{"images":{"docker.io/library/debian:12":"sha256:dd"}}"#),
    ("org.sciserver.compat.version", "nist:1.0-42-f90dbd6"),
    ("org.sciserver.compat.buildtime", "1700000020"),
    ("org.sciserver.compat.inputs", "v1:sha256:33"),
    ("org.sciserver.compat.from", r#"{"layers":{"nist:1.0":"1.0-41-0a1b2c3"},"stack":["jupyter"]}"#),
    ("org.opencontainers.image.ref.name", "registry.example.org/images/rel/nist:1.0"),
];

#[test]
fn an_image_of_a_gigabyte_is_told_from_kilobytes() {
    let registry = Registry::start();
    registry.image("x/rel/nist:1.0", &LABELS);
    let tree = Tree::new();
    let repo = format!("{}/x", registry.host());
    // No engine is running here, so the registry is asked without a flag.
    let told = tree.run(&["inspect", "rel/nist:1.0", "--repo", &repo]).code(0);
    let shown = told.stdout.replace(&registry.host(), "$REGISTRY");
    let (first, rest) = shown.split_once('\n').unwrap();
    let (digest, rest) = rest.split_once('\n').unwrap();
    assert!(first == "$REGISTRY/x/rel/nist:1.0" && digest.starts_with("  sha256:"), "{shown}");
    insta::assert_snapshot!(rest, @r"
      linux/amd64, made 2023-11-14 22:13:41 UTC, 2 layers, 1.0 GB compressed; read from the registry

    rel/nist 1.0-42-f90dbd6, built 2023-11-14 22:13:40 UTC from commit f90dbd6
    │  compat stack: jupyter
    └─ sci/nist 1.0-41-0a1b2c3, built 2023-11-14 22:13:20 UTC from commit 0a1b2c3
       └─ docker.io/library/debian:12@sha256:dd

    labels of another name: it was built as registry.example.org/images/rel/nist: this is a copy of it, or was derived from it with other tools
    ");
    let asked = registry.asked();
    assert_eq!(asked.len(), 2, "a manifest and a configuration: {asked:?}");
    assert!(registry.sent() < 4096, "{} bytes for {asked:?}", registry.sent());
}

#[test]
fn the_document_can_be_read_by_a_program() {
    let registry = Registry::start();
    let digest = registry.image("x/rel/nist:1.0", &LABELS);
    let reference = format!("{}/x/rel/nist@{digest}", registry.host());
    let told = Tree::new().run(&["inspect", &reference, "--from", "registry", "--format", "json"]).code(0);
    let document: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(document["format_version"], "1.1");
    assert_eq!(document["digest"], digest.as_str());
    assert_eq!(document["trail"]["builds"][1]["name"], "sci/nist");
    assert_eq!(document["trail"]["builds"][0]["from"]["stack"][0], "jupyter");
    assert_eq!(document["trail"]["built_as"], "registry.example.org/images/rel/nist");
}

#[test]
fn an_image_without_a_trail_says_so_and_one_that_is_not_there_is_another_matter() {
    let registry = Registry::start();
    registry.image("x/y:1", &[("maintainer", "nobody")]);
    let tree = Tree::new();
    let reference = |name: &str| format!("{}/{name}", registry.host());
    let told = tree.run(&["inspect", &reference("x/y:1")]).code(7);
    assert!(told.stdout.contains("no provenance: none of its labels was written"), "{}", told.stdout);
    let absent = tree.run(&["inspect", &reference("x/none:1"), "--from", "registry"]).code(5);
    insta::assert_snapshot!(absent.stderr.replace(&registry.host(), "$REGISTRY"), @"error: $REGISTRY/x/none:1 is not in its registry");
    let nobody = tree.run(&["inspect", &reference("x/y:1"), "--from", "engine"]).code(5);
    assert!(nobody.stderr.starts_with("error: no engine at unix://$HOME/no.sock"), "{}", nobody.stderr);
    tree.run(&["inspect", "Not/A Name"]).code(2);
}

/// Enough labels to make quadratic work too slow: sixteen megabytes of labels are processed as fast
/// as they are read.
#[test]
fn case_quadratic_cpu_of_labels() {
    let registry = Registry::start();
    let tree = Tree::new();
    let old: Vec<(String, String)> = (0..100_000)
        .flat_map(|number| {
            let key = |field: &str| format!("org.sciserver.science.l{number}.{field}");
            [(key("version"), "1.0-4-aaaaaaa".to_owned()), (key("buildtime"), number.to_string())]
        })
        .collect();
    let layers: Vec<String> = (0..300_000).map(|number| format!("\"l{number}:1\":null")).collect();
    let wide = vec![
        ("org.sciserver.science.l0.version".to_owned(), "1.0-4-aaaaaaa".to_owned()),
        ("org.sciserver.science.l0.from".to_owned(), format!("{{\"layers\":{{{}}}}}", layers.join(","))),
    ];
    for (tag, labels) in [("old", old), ("wide", wide)] {
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (&key[..], &value[..])).collect();
        registry.image(&format!("x/y:{tag}"), &labels);
        let told = tree.run(&["inspect", &format!("{}/x/y:{tag}", registry.host())]).code(7);
        assert!(told.stdout.contains("no provenance: "), "{:.300}", told.stdout);
    }
}
