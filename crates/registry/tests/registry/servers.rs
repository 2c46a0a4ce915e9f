//! Servers that are no registries, registries that lack a method, and messages about logins and
//! names.

use registry::{DockerConfig, ErrorKind, Options, Registry};

use crate::process::{OCI_IMAGE, sha256};
use crate::scripted::{Reply, Server};

fn client() -> Registry {
    Registry::new(Options::default())
}

#[tokio::test]
async fn a_web_server_is_not_a_registry_without_the_image() {
    type Front = fn() -> Reply;
    let fronts: [(&str, Front); 5] = [
        ("not found", || Reply::new(404).body("<html>")),
        ("forbidden", || Reply::new(403)),
        ("a page for everything", || Reply::new(200).header("content-type", "text/html").body("<html>")),
        ("a login page", || Reply::new(401).header("www-authenticate", "Negotiate")),
        ("a method that it does not know", || Reply::new(501)),
    ];
    for (what, front) in fronts {
        let server = Server::start(move |_, _, asked| {
            Some(if asked.line == "GET /v2/" { front() } else { Reply::new(404).body("<html>") }.web())
        });
        for error in [
            client().resolve(&server.name("a:1")).await.expect_err(what),
            client().image(&server.name("a:1"), "linux/amd64").await.expect_err(what),
            client().tags(&server.name("a")).await.expect_err(what),
        ] {
            assert_eq!(error.kind, ErrorKind::Protocol, "{what}: {error}");
            assert!(error.message.contains("is not a registry"), "{what}: {error}");
            assert!(error.help.is_some_and(|help| help.contains("127.0.0.1")), "{what}");
        }
    }
}

#[tokio::test]
async fn the_first_absence_is_believed_of_a_registry() {
    type Front = fn() -> Reply;
    let fronts: [(&str, Front); 4] = [
        ("OCI", || Reply::new(200)),
        ("docker", || Reply::new(404).header("docker-distribution-api-version", "registry/2.0")),
        ("Basic", || Reply::new(401).header("www-authenticate", "Basic realm=\"x\"")),
        ("Bearer", || Reply::new(401).header("www-authenticate", "Bearer realm=\"https://x.example/\"")),
    ];
    for (what, front) in fronts {
        let server = Server::start(move |_, _, asked| {
            Some(if asked.line == "GET /v2/" { front() } else { Reply::new(404) }.web())
        });
        let registry = client();
        for tag in ["1", "2"] {
            assert_eq!(registry.resolve(&server.name(&format!("a:{tag}"))).await, Ok(None), "{what}");
        }
        let expect = ["HEAD /v2/a/manifests/1", "GET /v2/", "HEAD /v2/a/manifests/2"];
        assert_eq!(server.lines(), expect, "{what}: it is asked once");
    }
    // Where the answer itself is that of a registry nothing more is asked.
    let json = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}"#;
    let server = Server::start(move |_, _, _| Some(Reply::new(404).body(json).web()));
    assert_eq!(client().image(&server.name("a:1"), "linux/amd64").await, Ok(None));
    assert_eq!(server.lines(), ["GET /v2/a/manifests/1"]);
}

#[tokio::test]
async fn a_registry_with_trouble_is_asked_again_whether_it_is_one() {
    let server = Server::start(|_, before, asked| {
        let trouble = asked.line == "GET /v2/" && before < 2;
        Some(
            Reply::new(if trouble {
                503
            } else if asked.line == "GET /v2/" {
                200
            } else {
                404
            })
            .web(),
        )
    });
    let registry = client();
    let error = registry.resolve(&server.name("a:1")).await.expect_err("503");
    assert_eq!(error.kind, ErrorKind::Server(503));
    assert_eq!(registry.resolve(&server.name("a:1")).await, Ok(None));
}

#[tokio::test]
async fn a_head_that_is_not_allowed_is_a_get() {
    let manifest = r#"{"schemaVersion": 2}"#;
    for status in [405, 501] {
        let server = Server::start(move |_, _, asked| {
            Some(match asked.line.as_str() {
                line if line.starts_with("HEAD ") => Reply::new(status),
                line if line.ends_with("/1") => {
                    Reply::new(200).header("content-type", OCI_IMAGE).body(manifest)
                }
                line if line.ends_with("/long") => Reply::new(200).body(&"x".repeat(5 << 20)),
                _ => Reply::new(404),
            })
        });
        let resolve = async |tag: &str| client().resolve(&server.name(&format!("a:{tag}"))).await;
        assert_eq!(resolve("1").await, Ok(Some(sha256(manifest.as_bytes()))), "{status}");
        assert_eq!(resolve("2").await, Ok(None), "{status}");
        assert_eq!(resolve("long").await.map_err(|error| error.kind), Err(ErrorKind::Protocol), "{status}");
        let expect = ["HEAD /v2/a/manifests/1", "GET /v2/a/manifests/1"];
        assert_eq!(server.lines()[..2], expect, "{status} is not tried again");
    }
}

/// The error if a registry answers this status to every login.
async fn refused(
    challenge: &'static str,
    status: u16,
    directory: Option<&std::path::Path>,
) -> (String, String) {
    let server = Server::start(move |address, _, asked| {
        let challenge = challenge.replace("$", address);
        Some(match asked.authorization.is_empty() {
            _ if asked.line.contains("/token") => Reply::new(200).body(r#"{"token": "t"}"#),
            true => Reply::new(401).header("www-authenticate", &challenge),
            false => Reply::new(status).header("www-authenticate", &challenge),
        })
    });
    if let Some(file) = directory.map(|directory| directory.join("config.json")).filter(|file| file.exists())
    {
        let text =
            std::fs::read_to_string(&file).expect("it is there").replace("REGISTRY", &server.address());
        std::fs::write(&file, text).expect("a file");
    }
    let config = DockerConfig::load(directory).expect("good");
    let registry = Registry::new(Options { config, ..Options::default() });
    let error = registry.resolve(&server.name("a:1")).await.expect_err("refused");
    let clean = |text: &str| text.replace(&server.address(), "HOST");
    (clean(&error.message), clean(&error.help.unwrap_or_default()))
}

#[tokio::test]
async fn a_missing_login_is_told_from_a_rejected_one() {
    const BASIC: &str = "Basic realm=\"x\"";
    const BEARER: &str = "Bearer realm=\"http://$/token\"";
    let directory = tempfile::tempdir().expect("a directory");
    let (file, there) = (directory.path().join("config.json"), Some(directory.path()));
    let shown = file.display().to_string();
    let (message, help) = refused(BASIC, 401, there).await;
    assert_eq!(message, format!("HOST/a:1: no credentials for HOST: there is no {shown}, 401"));
    assert_eq!(help, "docker login HOST");
    let write = |entry: &str| std::fs::write(&file, format!("{{\"auths\": {{{entry}}}}}")).expect("a file");
    write("\"elsewhere.example\": {\"username\": \"bob\", \"password\": \"x\"}");
    let (message, _) = refused(BASIC, 401, there).await;
    assert_eq!(message, format!("HOST/a:1: no credentials for HOST in {shown}, 401"));
    let alice = "\"REGISTRY\": {\"username\": \"alice\", \"password\": \"wrong-canary\"}";
    for challenge in [BASIC, BEARER] {
        write(alice);
        let (message, help) = refused(challenge, 401, there).await;
        assert_eq!(message, format!("HOST/a:1: HOST rejected user alice, from {shown}, 401"));
        assert!(help.starts_with("docker login HOST") && !message.contains("canary"), "{help}");
        write(alice);
        let (message, _) = refused(challenge, 403, there).await;
        assert_eq!(message, format!("HOST/a:1: HOST refuses access to user alice, from {shown}, 403"));
    }
    let (message, _) = refused(BASIC, 401, None).await;
    assert_eq!(message, "HOST/a:1: no credentials for HOST: no docker configuration is known, 401");
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_told_as_that() {
    // Names below .invalid are never resolved (RFC 6761, section 6.4).
    let name = plan::ImageName::parse("registry.invalid/a:1").expect("a reference");
    let error = client().resolve(&name).await.expect_err("no such name");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.message.contains("the name of the host registry.invalid cannot be resolved"), "{error}");
    assert!(error.help.is_some_and(|help| help.contains("name server")));
}
