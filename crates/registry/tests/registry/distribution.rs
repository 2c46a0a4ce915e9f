//! Against a real registry: present and missing images, configurations, and tags that keep the
//! digest.

use std::net::TcpListener;

use crate::process::{DOCKER_IMAGE, OCI_IMAGE, OCI_INDEX, Process};
use plan::ImageName;
use registry::{DockerConfig, ErrorKind, Options, Registry};

fn client() -> Registry {
    Registry::new(Options { page: 10, ..Options::default() })
}

fn config(architecture: &str, label: &str) -> String {
    format!(
        r#"{{"architecture": "{architecture}", "os": "linux", "created": "2026-01-02T03:04:05Z",
            "config": {{"Labels": {{"name": "{label}", "empty": ""}}, "Env": ["PATH=/bin", "A=b=c"]}},
            "rootfs": {{"type": "layers", "diff_ids": []}}}}"#
    )
}

#[tokio::test]
async fn only_what_is_there_resolves() {
    let process = Process::open();
    let registry = client();
    assert_eq!(registry.resolve(&process.name("a/b:1")).await, Ok(None), "no repository");
    let (digest, _) = process.push_image("a/b:1", OCI_IMAGE, &config("amd64", "one")).await;
    assert_eq!(registry.resolve(&process.name("a/b:1")).await, Ok(Some(digest.clone())));
    assert_eq!(registry.resolve(&process.name(&format!("a/b@{digest}"))).await, Ok(Some(digest.clone())));
    assert_eq!(registry.resolve(&process.name(&format!("a/b:9@{digest}"))).await, Ok(Some(digest)));
    assert_eq!(registry.resolve(&process.name("a/b:2")).await, Ok(None), "no tag");
    let other = crate::process::sha256(b"other");
    assert_eq!(registry.resolve(&process.name(&format!("a/b@{other}"))).await, Ok(None), "no digest");
    assert_eq!(registry.image(&process.name("a/b:2"), "linux/amd64").await, Ok(None));
}

#[tokio::test]
async fn docker_and_oci_images_keep_the_digest_that_was_pushed() {
    let process = Process::open();
    let registry = client();
    for (tag, media_type) in [("oci", OCI_IMAGE), ("docker", DOCKER_IMAGE)] {
        let (digest, config_digest) =
            process.push_image(&format!("x:{tag}"), media_type, &config("amd64", tag)).await;
        let name = process.name(&format!("x:{tag}"));
        assert_eq!(registry.resolve(&name).await, Ok(Some(digest.clone())), "{tag}");
        let image = registry.image(&name, "linux/amd64").await.expect("an answer").expect("an image");
        assert_eq!((&image.digest, &image.manifest_digest), (&digest, &digest));
        assert_eq!(image.config_digest, config_digest);
        assert_eq!(image.labels.get("name").map(String::as_str), Some(tag));
        assert_eq!(image.labels.get("empty").map(String::as_str), Some(""));
        assert_eq!(image.env, ["PATH=/bin", "A=b=c"]);
        assert_eq!(image.platform, "linux/amd64");
        assert_eq!(image.created.as_deref(), Some("2026-01-02T03:04:05Z"));
        let layers: Vec<_> = image.layers.iter().map(|layer| (layer.digest.clone(), layer.size)).collect();
        assert_eq!(layers, [(crate::process::sha256(b"layer"), 5)]);
    }
}

#[tokio::test]
async fn an_index_leads_to_the_platform() {
    let process = Process::open();
    let registry = client();
    let mut entries = Vec::new();
    for architecture in ["arm64", "amd64"] {
        let rest = format!("multi:{architecture}");
        let (digest, _) = process.push_image(&rest, OCI_IMAGE, &config(architecture, architecture)).await;
        entries.push(format!(
            r#"{{"mediaType": "{OCI_IMAGE}", "size": 1000, "digest": "{digest}",
                "platform": {{"os": "linux", "architecture": "{architecture}"}}}}"#
        ));
    }
    let index = format!(
        r#"{{"schemaVersion": 2, "mediaType": "{OCI_INDEX}", "manifests": [{}]}}"#,
        entries.join(",")
    );
    let digest = process.push_manifest("multi:1", OCI_INDEX, &index).await;
    let name = process.name("multi:1");
    assert_eq!(registry.resolve(&name).await, Ok(Some(digest.clone())));
    for (platform, architecture) in [("linux/amd64", "amd64"), ("linux/arm64/v8", "arm64")] {
        let image = registry.image(&name, platform).await.expect("an answer").expect("an image");
        assert_eq!(image.digest, digest);
        assert_eq!(image.labels.get("name").map(String::as_str), Some(architecture));
        let single = registry.resolve(&process.name(&format!("multi:{architecture}"))).await;
        assert_eq!(single, Ok(Some(image.manifest_digest)));
    }
    let error = registry.image(&name, "linux/riscv64").await.expect_err("not there");
    assert_eq!(error.kind, ErrorKind::Platform);
    assert_eq!(error.help.as_deref(), Some("it has linux/amd64, linux/arm64"));
    assert_eq!(registry.tag(&name, "2").await, Ok(digest.clone()), "an index is tagged as it is");
    assert_eq!(registry.resolve(&process.name("multi:2")).await, Ok(Some(digest)));
}

#[tokio::test]
async fn a_tag_keeps_the_digest_and_moves() {
    let process = Process::open();
    let registry = client();
    let (first, _) = process.push_image("p/q:1.0-1-aaaaaaa", DOCKER_IMAGE, &config("amd64", "first")).await;
    let (second, _) = process.push_image("p/q:1.0-2-bbbbbbb", OCI_IMAGE, &config("amd64", "second")).await;
    assert_ne!(first, second);
    assert_eq!(registry.tag(&process.name("p/q:1.0-1-aaaaaaa"), "1.0").await, Ok(first.clone()));
    assert_eq!(registry.resolve(&process.name("p/q:1.0")).await, Ok(Some(first.clone())));
    let by_digest = process.name(&format!("p/q@{second}"));
    assert_eq!(registry.tag(&by_digest, "1.0").await, Ok(second.clone()));
    assert_eq!(registry.resolve(&process.name("p/q:1.0")).await, Ok(Some(second)));
    assert_eq!(registry.resolve(&process.name("p/q:1.0-1-aaaaaaa")).await, Ok(Some(first)));
    let error = registry.tag(&process.name("p/q:nothing"), "1.0").await.expect_err("nothing to tag");
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.message.contains("p/q:nothing"), "{error}");
}

#[tokio::test]
async fn all_tags_are_listed() {
    let process = Process::open();
    let registry = client();
    assert_eq!(registry.tags(&process.name("t")).await, Ok(Vec::new()), "no repository");
    process.push_image("t:base", OCI_IMAGE, &config("amd64", "t")).await;
    let mut expect = vec!["base".to_owned()];
    for number in 0..24 {
        let tag = format!("1.{number}");
        registry.tag(&process.name("t:base"), &tag).await.expect("tagged");
        expect.push(tag);
    }
    expect.sort();
    assert_eq!(registry.tags(&process.name("t")).await, Ok(expect));
}

#[tokio::test]
async fn many_questions_at_once() {
    let process = Process::with_login();
    let (digest, _) = process.push_image("m:1", OCI_IMAGE, &config("amd64", "m")).await;
    let text = format!(
        r#"{{"auths": {{"{}": {{"username": "{}", "password": "{}"}}}}}}"#,
        process.address(),
        crate::process::USER,
        crate::process::PASSWORD
    );
    let config = DockerConfig::parse(&text).expect("good");
    let registry = Registry::new(Options { config, ..Options::default() });
    let mut questions = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let (registry, name) = (registry.clone(), process.name("m:1"));
        questions.spawn(async move { registry.resolve(&name).await });
    }
    for answer in questions.join_all().await {
        assert_eq!(answer, Ok(Some(digest.clone())));
    }
}

#[tokio::test]
async fn a_dead_port_is_no_absence() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let name = ImageName::parse(&format!("127.0.0.1:{port}/a:1")).expect("a reference");
    let error = client().resolve(&name).await.expect_err("nobody listens");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.is_transient());
    assert!(error.message.contains(&port.to_string()) && error.message.contains("refused"), "{error}");
}
