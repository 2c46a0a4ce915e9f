//! Two sample images, and the reports on what differs between them.

use std::collections::BTreeMap;

use image_contents::{Configuration, Contents, Ecosystem, Package};

use super::*;
use crate::report::text::format::Paint;

fn packages(all: &[(Ecosystem, &str, &str, &str)]) -> Contents {
    let mut contents = Contents::default();
    for (ecosystem, place, name, version) in all {
        let package = Package { ecosystem: *ecosystem, place: (*place).to_owned(), name: (*name).to_owned() };
        contents.packages.entry(package).or_default().insert((*version).to_owned());
    }
    contents
}

fn image(name: &str, place: FoundIn, configuration: &serde_json::Value) -> Image {
    let bytes = serde_json::to_vec(configuration).unwrap();
    Image { name: name.to_owned(), place, configuration: Configuration::from_json(&bytes).unwrap() }
}

fn document() -> Document {
    use Ecosystem::{Apk, Conda, Dpkg, Python, R};
    let blob = |size| registry::Layer { digest: "sha256:blob".to_owned(), size };
    let registry = |sizes: &[u64]| FoundIn::Registry {
        digest: "sha256:m".to_owned(),
        blobs: sizes.iter().map(|n| blob(*n)).collect(),
    };
    let a = image(
        "localhost:5000/x/sci/nist:2.0",
        registry(&[30_000_000, 5_000_000, 1_200]),
        &serde_json::json!({
            "os": "linux", "architecture": "amd64", "created": "2026-01-02T03:04:05.678Z",
            "config": {
                "Env": ["PATH=/usr/bin:/bin", "GONE=1", "SAME=1", "EMPTIED=x"], "User": "idies",
                "Cmd": ["/bin/sh"], "ExposedPorts": {"8888/tcp": {}},
                "Labels": {"org.sciserver.science.nist.version": "2.0-7-0a1b2c3", "long": "x".repeat(100), "org.sciserver.spec": format!("H4sI{}", "x".repeat(100))}
            },
            "rootfs": {"diff_ids": ["sha256:base", "sha256:old", "sha256:older"]},
            "history": [
                {"created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
                {"created_by": "RUN /bin/sh -c pip install numpy==1.26.4 # buildkit"},
                {"created_by": "COPY \u{1b}[31m. . # buildkit"},
            ],
        }),
    );
    let b = image(
        "localhost:5000/x/sci/nist:2.0-8-4d5e6f7",
        FoundIn::Engine { id: "sha256:id".to_owned() },
        &serde_json::json!({
            "os": "linux", "architecture": "amd64", "created": "2026-02-03T04:05:06Z",
            "config": {
                "Env": ["PATH=/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SAME=1", "EMPTIED="],
                "User": "idies", "Cmd": ["/bin/bash", "-l"], "ExposedPorts": {"80/tcp": {}},
                "Labels": {"org.sciserver.science.nist.version": "2.0-8-4d5e6f7", "long": "y".repeat(100), "org.sciserver.spec": format!("H4sI{}", "y".repeat(90))}
            },
            "rootfs": {"diff_ids": ["sha256:base", "sha256:new"]},
        }),
    );
    let mut first = packages(&[
        (Dpkg, "", "libssl3", "3.0.15-1~deb12u1"),
        (Dpkg, "", "wget", "1.21.3-1"),
        (Apk, "", "same", "1"),
        (Python, "usr/lib/python3/dist-packages", "numpy", "1.26.4"),
        (Conda, "opt/conda", "astropy", "6.0.0 py311_0"),
    ]);
    first.unread.push(image_contents::Unread {
        path: "var/lib/rpm/rpmdb.sqlite".to_owned(),
        why: "not read".to_owned(),
        is_beyond: false,
    });
    let second = packages(&[
        (Dpkg, "", "libssl3", "3.0.17-1~deb12u2"),
        (Dpkg, "", "curl", "7.88.1-10"),
        (Apk, "", "same", "1"),
        (Python, "usr/lib/python3/dist-packages", "numpy", "2.0.0"),
        (Conda, "opt/conda", "astropy", "6.0.0 py311_1"),
        (R, "usr/lib/R/library", "ggplot2", "3.5.1"),
    ]);
    let compared = Compared {
        shared: 1,
        contents: [first, second],
        unpacked: BTreeMap::from([
            ("sha256:base".to_owned(), 80_000_000),
            ("sha256:new".to_owned(), 17_000_000),
        ]),
        made_by: BTreeMap::from([
            ("sha256:old".to_owned(), a.configuration.made_by[1].clone()),
            ("sha256:older".to_owned(), a.configuration.made_by[2].clone()),
            ("sha256:new".to_owned(), String::new()),
        ]),
    };
    let traffic = Traffic { engine: 97_001_024, registry: 5_001_200, layers: 2 };
    Document::new(&a, &b, &compared, traffic)
}

#[test]
fn a_person_reads_what_came_what_went_and_what_changed() {
    let document = document();
    insta::assert_snapshot!(text(&document, Paint::Plain), @r#"
    a localhost:5000/x/sci/nist:2.0  in the registry, made 2026-01-02 03:04 UTC, 3 layers, 35.0 MB packed
    b localhost:5000/x/sci/nist:2.0-8-4d5e6f7  on the engine, made 2026-02-03 04:05 UTC, 2 layers, 97.0 MB

    packages: 3 changed, 2 new, 1 gone
      dpkg
        + curl     7.88.1-10
        ~ libssl3  3.0.15-1~deb12u1 → 3.0.17-1~deb12u2
        - wget     1.21.3-1
      python in /usr/lib/python3/dist-packages
        ~ numpy  1.26.4 → 2.0.0
      conda in /opt/conda
        ~ astropy  6.0.0 py311_0 → 6.0.0 py311_1
      R in /usr/lib/R/library
        + ggplot2  3.5.1

    settings: 6 differences
      ~ environment EMPTIED  x → (empty)
      - environment GONE     1
      ~ environment PATH     /usr/bin:/bin
                           → /opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/…
      ~ cmd                  ["/bin/sh"] → ["/bin/bash","-l"]
      + port 80/tcp
      - port 8888/tcp

    labels: 3 differences
      ~ long                                xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
                                          → yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…
      ~ org.sciserver.science.nist.version  2.0-7-0a1b2c3 → 2.0-8-4d5e6f7
      ~ org.sciserver.spec                  (packed, 104 bytes) → (packed, 94 bytes)

    layers: 1 shared, 30.0 MB
      -    5.0 MB  RUN pip install numpy==1.26.4
      -    1.2 kB  COPY \x1b[31m. .
      +   17.0 MB  sha256:new

    unknown, because it was not read:
      a: /var/lib/rpm/rpmdb.sqlite: not read
    "#);
    assert_eq!(read(&document), "read 97.0 MB from the engine and 2 layers, 5.0 MB, from the registry\n");
    assert!(!document.holds());
}

#[test]
fn the_document_tells_all_of_it() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&document()).unwrap());
}

#[test]
fn the_same_image_is_said_to_be_the_same() {
    let place = FoundIn::Engine { id: "sha256:id".to_owned() };
    let one = image("x:1", place, &serde_json::json!({"os": "linux", "architecture": "amd64"}));
    let compared = Compared {
        shared: 0,
        contents: [Contents::default(), Contents::default()],
        unpacked: BTreeMap::new(),
        made_by: BTreeMap::new(),
    };
    let document = Document::new(&one, &one, &compared, Traffic::default());
    insta::assert_snapshot!(text(&document, Paint::Plain), @"
    a x:1  on the engine, 0 layers, 0 B
    b x:1  on the engine, 0 layers, 0 B

    they are the same image
    ");
    assert_eq!(read(&document), "read no layer\n");
    assert!(document.holds());
}
