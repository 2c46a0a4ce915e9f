//! Registries that mean harm, or are broken in the same ways: each test is named after the case
//! that it holds.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry::{DockerConfig, ErrorKind, Layer, Options, Registry};

use crate::process::{OCI_IMAGE, OCI_INDEX, sha256};
use crate::scripted::{Asked, Reply, Server};

fn client() -> Registry {
    Registry::new(Options::default())
}

fn login(server: &Server, entry: &serde_json::Value) -> Registry {
    let json = serde_json::json!({"auths": {server.address(): entry}}).to_string();
    let config = DockerConfig::parse(&json).expect("good");
    Registry::new(Options { config, ..Options::default() })
}

const MANIFEST: &str = r#"{"schemaVersion": 2}"#;

#[tokio::test]
async fn case_digest_header_not_checked() {
    let (right, other) = (sha256(MANIFEST.as_bytes()), sha256(b"something else"));
    let upper = format!("SHA256:{}", &right[7..]);
    let injected = format!("{right} /etc/passwd");
    let quoted = format!("\"{right}\"");
    for header in ["", "sha256:0123", "not a digest", "sha256:zz", &upper, &injected, &quoted, &right[7..]] {
        let value = header.to_owned();
        let server = Server::start(move |_, _, _| {
            let reply = Reply::new(200).header("content-type", OCI_IMAGE).body(MANIFEST);
            Some(reply.header("docker-content-digest", &value))
        });
        let name = server.name("a:1");
        assert_eq!(client().resolve(&name).await, Ok(Some(right.clone())), "{header}");
        assert_eq!(server.lines(), ["HEAD /v2/a/manifests/1", "GET /v2/a/manifests/1"], "{header}");
        assert_eq!(client().resolve_verified(&name).await, Ok(Some(right.clone())), "{header}");
    }
    // A digest that is one, and not the manifest's, is found out where it matters.
    let server = Server::start(move |_, _, _| {
        let reply = Reply::new(200).header("content-type", OCI_IMAGE).body(MANIFEST);
        Some(reply.header("docker-content-digest", &other))
    });
    let error = client().resolve_verified(&server.name("a:1")).await.expect_err("a lie");
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert_eq!(server.lines(), ["GET /v2/a/manifests/1"], "whatever a HEAD would say");
}

#[tokio::test]
async fn a_digest_of_the_other_algorithm_is_computed() {
    // `printf '{"schemaVersion": 2}' | sha512sum`
    let digest = sha512(MANIFEST.as_bytes());
    let shown = digest.clone();
    let server = Server::start(move |_, _, asked| {
        let body = if asked.line.contains("lie") { "{}" } else { MANIFEST };
        let reply = Reply::new(200).header("content-type", OCI_IMAGE).body(body);
        Some(reply.header("docker-content-digest", &shown))
    });
    assert_eq!(client().resolve_verified(&server.name("a:1")).await, Ok(Some(digest.clone())));
    let by_digest = server.name(&format!("a@{digest}"));
    assert_eq!(client().resolve_verified(&by_digest).await, Ok(Some(digest.clone())));
    let error = client().resolve_verified(&server.name("a:lie")).await.expect_err("other bytes");
    assert_eq!(error.kind, ErrorKind::Protocol);
}

fn sha512(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex = hex::encode(sha2::Sha512::digest(bytes));
    format!("sha512:{hex}")
}

#[tokio::test]
async fn case_digests_in_urls() {
    let good = sha256(b"{}");
    for bad in [
        "../../../../v2/secret/blobs/sha256:1",
        "sha256:../../../v2/victim/manifests/latest",
        &format!("{good}&from=secret/repo&x="),
        &format!("{good}?x"),
        "sha256:1",
    ] {
        for manifest in [
            serde_json::json!({"schemaVersion": 2, "config": {"digest": bad, "size": 2}, "layers": []}),
            serde_json::json!({"schemaVersion": 2, "config": {"digest": good, "size": 2}, "layers": [{"digest": bad, "size": 1}]}),
            serde_json::json!({"schemaVersion": 2, "manifests": [
                {"digest": bad, "platform": {"os": "linux", "architecture": "amd64"}}]}),
        ] {
            let (is_index, body) = (manifest.get("manifests").is_some(), manifest.to_string());
            let server = Server::start(move |_, _, _| {
                let kind = if is_index { OCI_INDEX } else { OCI_IMAGE };
                Some(Reply::new(200).header("content-type", kind).body(&body))
            });
            let name = server.name("a:1");
            let error = client().image(&name, "linux/amd64").await.expect_err(bad);
            assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
            let error = client().stored(&name).await.expect_err(bad);
            assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
            assert_eq!(server.lines(), ["GET /v2/a/manifests/1"; 2], "nothing is asked for it");
        }
        // A digest from another source, such as a label.
        let server = Server::start(|_, _, _| Some(Reply::new(200).body("{}")));
        let name = server.name("a:1");
        let layer = Layer { digest: bad.to_owned(), size: 1 };
        assert!(client().configuration(&name, bad).await.is_err(), "{bad}");
        assert!(client().blob(&name, &layer).await.is_err(), "{bad}");
        assert!(client().artifact(&name, bad, 100).await.is_err(), "{bad}");
        assert!(client().bring(&layer, &name, &server.name("b:1"), None, |_| ()).await.is_err(), "{bad}");
        assert!(client().set_tag(&name, "../../victim/manifests/x").await.is_err(), "{bad}");
        let by_digest = plan::ImageName { digest: Some(bad.to_owned()), ..name.clone() };
        assert!(client().resolve(&by_digest).await.is_err(), "{bad}");
        assert!(client().referrers(&by_digest, "x").await.is_err(), "{bad}");
        let asked = server.lines();
        assert!(asked.iter().all(|line| line == "GET /v2/a/manifests/1"), "{asked:?}");
    }
}

#[tokio::test]
async fn case_digests_in_urls_uploads_stay_in_their_repository() {
    for location in [
        "/v2/dst/blobs/uploads/../../../victim/manifests/latest",
        "/v2/dst/blobs/uploads/%2e%2e/%2e%2e/%2e%2e/victim/manifests/latest",
        "/v2/victim/blobs/uploads/1",
        "https://elsewhere.example/",
        "",
    ] {
        let server = Server::start(move |_, _, asked| {
            Some(match asked.line.split(' ').next() {
                Some("HEAD") => Reply::new(404),
                Some("POST") => Reply::new(202).header("location", location),
                _ => Reply::new(200).header("content-type", OCI_IMAGE).body(MANIFEST),
            })
        });
        let name = server.name("dst:1");
        let error = client().attach(&name, "application/x", bytes::Bytes::from_static(b"{}")).await;
        assert_eq!(error.map_err(|error| error.kind), Err(ErrorKind::Protocol), "{location}");
        let asked = server.lines();
        assert!(asked.iter().all(|line| !line.starts_with("PUT") && line.contains("/v2/dst/")), "{asked:?}");
    }
}

fn challenge(realm: &str) -> Reply {
    Reply::new(401).header("www-authenticate", &format!("Bearer realm=\"{realm}\",service=\"s\""))
}

#[tokio::test]
async fn case_refresh_token_redirect() {
    for (entry, status) in [
        (serde_json::json!({"identitytoken": "IDENTITYCANARY"}), 307),
        (serde_json::json!({"identitytoken": "IDENTITYCANARY"}), 308),
        (serde_json::json!({"identitytoken": "IDENTITYCANARY"}), 302),
        (serde_json::json!({"username": "me", "password": "CANARY"}), 307),
        (serde_json::json!({"username": "me", "password": "CANARY"}), 302),
    ] {
        let other = Server::start(|_, _, _| Some(Reply::new(200).body(r#"{"token": "t"}"#)));
        let target = format!("http://{}/token2", other.address());
        let server = Server::start(move |address, _, asked| {
            Some(match asked.line.contains("/token") {
                // To another host, and to itself: a redirect is not followed at all.
                true if asked.line.contains("same") => Reply::new(status).header("location", "/token3"),
                true => Reply::new(status).header("location", &target),
                false if asked.line.contains("/same/") => challenge(&format!("http://{address}/token/same")),
                false => challenge(&format!("http://{address}/token")),
            })
        });
        for name in ["a:1", "same:1"] {
            let error = login(&server, &entry).resolve(&server.name(name)).await.expect_err("no token");
            assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
            assert!(error.message.contains("redirects a request that carries credentials"), "{error}");
        }
        assert_eq!(other.lines(), Vec::<String>::new(), "{entry} {status}");
        assert!(!server.lines().iter().any(|line| line.contains("token3")));
    }
    // A request without a secret may be led on.
    let other = Server::start(|_, _, _| Some(Reply::new(200).body(r#"{"token": "t"}"#)));
    let target = format!("http://{}/token2", other.address());
    let server = Server::start(move |address, _, asked| {
        Some(match asked {
            asked if asked.line.contains("/token") => Reply::new(307).header("location", &target),
            asked if asked.authorization == "Bearer t" => {
                Reply::new(200).header("docker-content-digest", &sha256(b"x"))
            }
            _ => challenge(&format!("http://{address}/token")),
        })
    });
    assert_eq!(client().resolve(&server.name("a:1")).await, Ok(Some(sha256(b"x"))));
}

#[tokio::test]
async fn blobs_lie_elsewhere_and_the_login_stays_here() {
    let elsewhere = Server::start(|_, _, _| Some(Reply::new(200).body("layer")));
    let target = format!("http://{}/bucket/1?signed=1", elsewhere.address());
    let server = Server::start(move |_, _, asked| {
        Some(match asked.authorization.is_empty() {
            true => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
            false => Reply::new(307).header("location", &target),
        })
    });
    let registry = login(&server, &serde_json::json!({"username": "me", "password": "CANARY"}));
    let layer = Layer { digest: sha256(b"layer"), size: 5 };
    let mut blob = registry.blob(&server.name("a:1"), &layer).await.expect("it is there");
    assert_eq!(blob.piece().await, Ok(Some(bytes::Bytes::from_static(b"layer"))));
    assert_eq!(blob.piece().await, Ok(None));
    let asked: Vec<Asked> = elsewhere.asked();
    assert_eq!((asked.len(), asked[0].authorization.as_str()), (1, ""));
}

/// A server that answers every request with an endless body, and counts the bytes that were taken.
fn endless(head: &'static str) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, sent) = (listener.local_addr().expect("bound"), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&sent);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            use std::io::Read as _;
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
            // Ends when the client has gone.
            while let Ok(written) = stream.write(&[b'x'; 1024]) {
                count.fetch_add(written, Ordering::Relaxed);
            }
        }
    });
    (address, sent)
}

#[tokio::test]
async fn case_bombs_in_layers_endless_blob() {
    let (address, _) = endless("200 OK");
    let name = plan::ImageName::parse(&format!("{address}/a:1")).expect("a reference");
    let layer = Layer { digest: sha256(b"x"), size: 1000 };
    let mut blob = client().blob(&name, &layer).await.expect("it begins");
    let (mut got, error) = (0, loop_to_error(&mut blob).await);
    got += error.1;
    assert_eq!(error.0.kind, ErrorKind::Protocol);
    assert!(error.0.message.contains("more than the 1000 bytes"), "{}", error.0);
    assert!(got <= 1000, "{got}");
    // Announced with another length than its descriptor has: not even begun.
    let server = Server::start(|_, _, _| Some(Reply::new(200).body("longer")));
    let layer = Layer { digest: sha256(b"longer"), size: 5 };
    let error = client().blob(&server.name("a:1"), &layer).await.expect_err("too long");
    assert_eq!(error.kind, ErrorKind::Protocol);
}

async fn loop_to_error(blob: &mut registry::Blob) -> (registry::Error, usize) {
    let mut got = 0;
    loop {
        match blob.piece().await {
            Ok(Some(piece)) => got += piece.len(),
            Ok(None) => panic!("it has no end"),
            Err(error) => return (error, got),
        }
    }
}

#[tokio::test]
async fn case_bombs_in_layers_answers_without_end() {
    let (good, _) = endless("200 OK");
    let (bad, _) = endless("403 No");
    for (address, kind) in [(good, ErrorKind::Protocol), (bad, ErrorKind::Denied)] {
        let name = |rest: &str| plan::ImageName::parse(&format!("{address}/{rest}")).expect("a reference");
        let (registry, digest) = (client(), sha256(b"x"));
        let by_digest = name(&format!("a@{digest}"));
        let errors = [
            registry.image(&name("a:1"), "linux/amd64").await.expect_err("a manifest"),
            registry.tags(&name("a")).await.expect_err("tags"),
            registry.referrers(&by_digest, "x").await.expect_err("referrers"),
            registry.configuration(&name("a:1"), &digest).await.expect_err("a configuration"),
        ];
        for error in errors {
            assert_eq!(error.kind, kind, "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_longer_than_its_descriptor_says_is_not_read() {
    let config = r#"{"os":"linux","architecture":"amd64"}"#;
    for (size, is_good) in [(config.len(), true), (config.len() - 1, false), (config.len() + 1, true)] {
        let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": OCI_IMAGE, "layers": [],
            "config": {"digest": sha256(config.as_bytes()), "size": size}})
        .to_string();
        let server = Server::start(move |_, _, asked| {
            let is_manifest = asked.line.contains("/manifests/");
            Some(Reply::new(200).body(if is_manifest { &manifest } else { config }))
        });
        let image = client().image(&server.name("a:1"), "linux/amd64").await;
        match is_good {
            true => assert!(image.expect("an answer").is_some(), "{size}"),
            false => assert_eq!(image.map_err(|error| error.kind), Err(ErrorKind::Protocol), "{size}"),
        }
    }
}
