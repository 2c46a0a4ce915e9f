//! `pin`: the real binary against a registry whose responses are set by each test.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use crate::server::{Request, Server};
use crate::support::{Run, Tree};

/// The served manifests by `repository:tag`; others are missing.
type Shown = Arc<Mutex<BTreeMap<String, Answer>>>;

#[derive(Debug, Clone, Copy)]
enum Answer {
    Digest(char),
    Status(u16),
    /// The first digit of a digest, for clients with a password only.
    Login(char),
    /// The first digit of a digest, with a response header.
    Header(char, &'static str),
}

/// A registry that serves manifests over plain HTTP, and records the requests.
struct Registry {
    server: Server,
    shown: Shown,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Registry {
    fn start() -> Self {
        let (shown, asked) = (Shown::default(), Arc::<Mutex<Vec<(String, String)>>>::default());
        let (seen, remember) = (Arc::clone(&shown), Arc::clone(&asked));
        let server = Server::start(move |stream, request| {
            let _ = answer(stream, &request, &seen.lock());
            let asked = (request.line, request.authorization);
            remember.lock().push(asked);
        });
        Self { server, shown, asked }
    }

    fn show(&self, image: &str, answer: Answer) {
        self.shown.lock().insert(image.to_owned(), answer);
    }

    /// Returns the requests, sorted and without duplicates.
    fn asked(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.credentials().into_iter().map(|(line, _)| line).collect();
        lines.sort();
        lines.dedup();
        lines
    }

    fn credentials(&self) -> Vec<(String, String)> {
        self.asked.lock().clone()
    }

    fn text(&self, run: &str) -> String {
        run.replace(&self.server.address.to_string(), "$REGISTRY")
    }
}

fn answer(
    mut stream: &TcpStream,
    request: &Request,
    shown: &BTreeMap<String, Answer>,
) -> std::io::Result<()> {
    let image = request.line.trim_start_matches("GET /v2/").replace("/manifests/", ":");
    let mut body = String::new();
    let reply = match shown.get(&image) {
        Some(Answer::Login(_)) if request.authorization.is_empty() => {
            "401 Unauthorized\r\nwww-authenticate: Basic realm=\"here\"".to_owned()
        }
        Some(Answer::Digest(digit) | Answer::Login(digit)) => {
            body = manifest(*digit);
            "200 OK\r\ncontent-type: application/vnd.oci.image.index.v1+json".to_owned()
        }
        // The header's value is not the manifest's digest.
        Some(Answer::Header(digit, value)) => {
            body = manifest(*digit);
            let kind = "application/vnd.oci.image.index.v1+json";
            format!("200 OK\r\ncontent-type: {kind}\r\ndocker-content-digest: {value}")
        }
        Some(Answer::Status(status)) => format!("{status} No"),
        None => "404 Not Found".to_owned(),
    };
    let version = "docker-distribution-api-version: registry/2.0";
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {reply}\r\n{version}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

/// Returns the manifest for a digit.
fn manifest(digit: char) -> String {
    format!("{{\"schemaVersion\": 2, \"manifests\": [], \"annotations\": {{\"digit\": \"{digit}\"}}}}")
}

fn digest(digit: char) -> String {
    crate::served::digest(manifest(digit).as_bytes())
}

const DOCKERFILE: &str = "science/a/Dockerfile";

/// Returns a tree whose only layer has this Dockerfile, with `$REGISTRY` replaced.
fn tree(registry: &Registry, dockerfile: &str) -> Tree {
    let tree = Tree::new();
    tree.write("science/a/sciserver-image.json", "{\"image\": \"a\", \"compat\": null}\n");
    tree.write(DOCKERFILE, dockerfile.replace("$REGISTRY", &registry.server.address.to_string()));
    tree.git(&["add", "--all"]);
    tree
}

fn text(registry: &Registry, tree: &Tree) -> String {
    registry.text(&fs::read_to_string(tree.root().join(DOCKERFILE)).expect("the test wrote it"))
}

fn told(registry: &Registry, run: &Run) -> String {
    let mut text = registry.text(&format!("{}---\n{}", run.stdout, run.stderr));
    for digit in 'a'..='d' {
        text = text.replace(&digest(digit), &format!("sha256:{}", digit.to_string().repeat(64)));
    }
    text.replace(&"a".repeat(62), "…")
}

#[test]
fn digests_are_written_behind_tags_and_all_else_stays() {
    let registry = Registry::start();
    registry.show("debian:12", Answer::Digest('a'));
    registry.show("go/lang:latest", Answer::Digest('b'));
    let tree = tree(
        &registry,
        "\u{feff}# syntax=docker/dockerfile:1\r\nFROM --platform=$TARGETPLATFORM $REGISTRY/go/lang AS build\r\n\
         FROM   $REGISTRY/debian:12   as x\r\n\tCOPY --from=build /a \\\r\n  # why\r\n  /b\r\n\
         COPY --chmod=755 --from=$REGISTRY/debian:12 /c /d\r\n\
         RUN --mount=type=bind,from=$REGISTRY/debian:12,target=/x true",
    );
    let before = text(&registry, &tree);
    tree.run(&["pin", "--dryrun"]).code(0);
    assert_eq!(text(&registry, &tree), before);
    let run = tree.run(&["pin"]).code(0);
    let after = before
        .replace("/debian:12", &format!("/debian:12@{}", digest('a')))
        .replace("/go/lang", &format!("/go/lang:latest@{}", digest('b')));
    assert_eq!(text(&registry, &tree), after);
    insta::assert_snapshot!(told(&registry, &run), @"
    science/a/Dockerfile:2: $REGISTRY/go/lang => $REGISTRY/go/lang:latest@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    science/a/Dockerfile:3: $REGISTRY/debian:12 => $REGISTRY/debian:12@sha256:…aa
    science/a/Dockerfile:7: $REGISTRY/debian:12 => $REGISTRY/debian:12@sha256:…aa
    science/a/Dockerfile:8: $REGISTRY/debian:12 => $REGISTRY/debian:12@sha256:…aa
    ---
    4 external images: 4 pinned now
    ");
    assert_eq!(
        registry.asked(),
        ["GET /v2/debian/manifests/12", "GET /v2/go/lang/manifests/latest"],
        "each is asked for once, and the frontend not at all"
    );
    // The warning is gone, and there is nothing left to pin.
    assert!(!tree.run(&["check"]).code(0).stdout.contains("from-unpinned"));
    let before = registry.credentials().len();
    insta::assert_snapshot!(told(&registry, &tree.run(&["pin"]).code(0)), @"
    ---
    4 external images: 4 pinned already
    ");
    assert_eq!(registry.credentials().len(), before, "what is pinned is not asked for");
}

#[test]
fn a_check_says_what_is_not_pinned_and_what_has_moved() {
    let registry = Registry::start();
    for (image, digit) in [("debian:12", 'a'), ("debian:11", 'b'), ("alpine:3", 'c')] {
        registry.show(image, Answer::Digest(digit));
    }
    let (same, other) = (digest('a'), digest('d'));
    let tree = tree(
        &registry,
        &format!(
            "FROM $REGISTRY/debian:12@{same} AS one\nFROM $REGISTRY/debian:11@{other} AS two\n\
             FROM $REGISTRY/busybox@{other} AS three\nFROM $REGISTRY/alpine:3\n"
        ),
    );
    let before = text(&registry, &tree);
    insta::assert_snapshot!(told(&registry, &tree.run(&["pin", "--check"]).code(7)), @"
    science/a/Dockerfile:2: error: $REGISTRY/debian:11@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd is pinned to another digest than its tag shows
      help: it shows sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb now: `image-builder pin --update` writes that
    science/a/Dockerfile:4: error: $REGISTRY/alpine:3 is not pinned
      help: its tag shows sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc now: `image-builder pin` writes that
    4 external images: 2 not pinned to what the tag shows
    ---
    ");
    assert_eq!(text(&registry, &tree), before);
    // A tag that moved is not followed unless a flag requests it.
    tree.run(&["pin"]).code(0);
    let pinned = before.replace("alpine:3", &format!("alpine:3@{}", digest('c')));
    assert_eq!(text(&registry, &tree), pinned);
    tree.run(&["pin", "--check"]).code(7);
    let run = tree.run(&["pin", "--update"]).code(0);
    assert_eq!(
        text(&registry, &tree),
        pinned.replace(&format!("11@{other}"), &format!("11@{}", digest('b')))
    );
    insta::assert_snapshot!(told(&registry, &run), @"
    science/a/Dockerfile:2: $REGISTRY/debian:11@sha256:dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd => $REGISTRY/debian:11@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    ---
    4 external images: 1 pinned now, 3 pinned already
    ");
    insta::assert_snapshot!(told(&registry, &tree.run(&["pin", "--check"]).code(0)), @"
    4 external images: all pinned to what their tags show
    ---
    ");
}

#[test]
fn what_comes_from_a_variable_is_told_and_the_rest_is_pinned() {
    let registry = Registry::start();
    registry.show("debian:12", Answer::Digest('a'));
    let tree = tree(
        &registry,
        "ARG VERSION=12\nARG BASE=$REGISTRY/debian:12\nFROM $BASE AS one\nFROM $REGISTRY/debian:${VERSION} AS two\n\
         FROM \"$REGISTRY/debian:12\" AS three\nFROM $REGISTRY/debian:12\n",
    );
    let before = text(&registry, &tree);
    let run = tree.run(&["pin"]).code(7);
    insta::assert_snapshot!(told(&registry, &run), @r#"
    science/a/Dockerfile:6: $REGISTRY/debian:12 => $REGISTRY/debian:12@sha256:…aa
    ---
    science/a/Dockerfile:3: error: $REGISTRY/debian:12 cannot be pinned here: it is put together as $BASE
      help: write $REGISTRY/debian:12@sha256:…aa where the variable gets its value, or in place of it
    science/a/Dockerfile:4: error: $REGISTRY/debian:12 cannot be pinned here: it is put together as $REGISTRY/debian:${VERSION}
      help: write $REGISTRY/debian:12@sha256:…aa where the variable gets its value, or in place of it
    science/a/Dockerfile:5: error: $REGISTRY/debian:12 cannot be pinned here: it is put together as "$REGISTRY/debian:12"
      help: write $REGISTRY/debian:12@sha256:…aa in place of it
    4 external images: 1 pinned now, 3 cannot be pinned where it is named
    "#);
    let last = format!("debian:12@{}\n", digest('a'));
    assert_eq!(text(&registry, &tree), format!("{}{last}", before.strip_suffix("debian:12\n").unwrap()));
    tree.run(&["pin", "--check"]).code(7);
}

#[test]
fn nothing_is_written_unless_everything_is_known() {
    let registry = Registry::start();
    registry.show("debian:12", Answer::Digest('a'));
    let tree = tree(&registry, "FROM $REGISTRY/debian:12 AS one\nFROM $REGISTRY/debian:13\n");
    let before = text(&registry, &tree);
    insta::assert_snapshot!(told(&registry, &tree.run(&["pin"]).code(7)), @"
    ---
    science/a/Dockerfile:2: error: $REGISTRY/debian:13: the registry has no such tag
      help: name a tag that is there; nothing is written before that
    ");
    registry.show("debian:13", Answer::Status(403));
    insta::assert_snapshot!(told(&registry, &tree.run(&["pin"]).code(5)), @r"
    ---
    error: $REGISTRY/debian:13: $REGISTRY refuses, 403
      help: request access on $REGISTRY, or docker login $REGISTRY as a user with access
    ");
    assert_eq!(text(&registry, &tree), before);
    // A tree in which a reference could be missed.
    tree.write(DOCKERFILE, "FROM $REGISTRY/debian:12 AS\n");
    tree.run(&["pin"]).code(2);
}

#[test]
fn case_pin_header_injection() {
    const GOOD: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (header, code) in [
        // Without a digest: as if the header were missing.
        ("", 0),
        ("not a digest", 0),
        ("sha256:zz", 0),
        ("sha256:0123", 0),
        ("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa /etc/passwd", 0),
        ("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa AS evil", 0),
        ("SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0),
        ("\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", 0),
        // A digest that is not the manifest's.
        (GOOD, 5),
    ] {
        let registry = Registry::start();
        registry.show("b3:1", Answer::Header('a', header));
        let tree = tree(&registry, "FROM scratch\nCOPY --from=$REGISTRY/b3:1 /x /x\n");
        let before = text(&registry, &tree);
        tree.run(&["pin"]).code(code);
        let expect = match code {
            0 => before.replace("b3:1", &format!("b3:1@{}", digest('a'))),
            _ => before,
        };
        assert_eq!(text(&registry, &tree), expect, "{header}");
        if code == 0 {
            tree.run(&["check"]).code(0);
        }
    }
}

#[test]
fn credentials_are_those_of_a_build_and_show_nowhere() {
    let registry = Registry::start();
    registry.show("debian:12", Answer::Login('a'));
    let tree = tree(&registry, "FROM $REGISTRY/debian:12\n");
    tree.run(&["pin", "--check"]).code(5);
    let config =
        format!("{{\"auths\": {{\"{}\": {{\"auth\": \"bWU6c2VjcmV0\"}}}}}}", registry.server.address);
    tree.write_docker_config(&config);
    let run = tree.run(&["pin"]).code(0);
    assert!(text(&registry, &tree).contains(&digest('a')));
    assert!(registry.credentials().iter().any(|(_, shown)| shown == "Basic bWU6c2VjcmV0"));
    assert!(!format!("{run:?}").contains("secret"), "{run:?}");
}
