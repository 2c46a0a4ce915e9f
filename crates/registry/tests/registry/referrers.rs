//! Artifacts that refer to an image: on a registry with and without a referrers API.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use registry::{ErrorKind, Options, Registry};

use crate::process::{OCI_IMAGE, OCI_INDEX, Process, sha256};
use crate::scripted::{Reply, Server};

const TYPE: &str = "application/vnd.test.one+json";

fn client() -> Registry {
    Registry::new(Options::default())
}

#[tokio::test]
async fn artifacts_are_listed_under_a_tag_where_the_registry_has_no_list() {
    let process = Process::open();
    let registry = client();
    let (digest, _) = process.push_image("a/b:1", OCI_IMAGE, "{}").await;
    let image = process.name(&format!("a/b@{digest}"));
    assert_eq!(registry.referrers(&image, TYPE).await, Ok(Vec::new()));
    let first = registry.attach(&image, TYPE, Bytes::from_static(b"{\"n\":1}")).await.expect("attached");
    let again = registry.attach(&image, TYPE, Bytes::from_static(b"{\"n\":1}")).await;
    assert_eq!(again, Ok(first.clone()), "the same bytes are the same artifact");
    // Several at once, of another type too: none is lost.
    let others = (2..6).map(|n| {
        let (registry, image) = (registry.clone(), image.clone());
        let of = if n == 5 { "application/vnd.test.other" } else { TYPE };
        tokio::spawn(async move { registry.attach(&image, of, Bytes::from(format!("{{\"n\":{n}}}"))).await })
    });
    for other in others.collect::<Vec<_>>() {
        other.await.expect("no panic").expect("attached");
    }
    let found = registry.referrers(&image, TYPE).await.expect("a list");
    assert_eq!((found.len(), &found[0].digest), (4, &first));
    assert_eq!(registry.artifact(&image, &first, 100).await, Ok(Some(Bytes::from_static(b"{\"n\":1}"))));
    assert_eq!(
        registry.artifact(&image, &first, 3).await.map_err(|error| error.kind),
        Err(ErrorKind::Protocol)
    );
    assert_eq!(registry.resolve(&process.name("a/b:1")).await, Ok(Some(digest)), "the image is as it was");
    let tags = registry.tags(&process.name("a/b")).await.expect("tags");
    assert_eq!(tags, ["1".to_owned(), image.digest.expect("a digest").replace(':', "-")]);
}

#[tokio::test]
async fn nothing_is_attached_to_an_image_that_is_not_there() {
    let process = Process::open();
    let nowhere = process.name(&format!("a/b@{}", sha256(b"none")));
    let error = client().attach(&nowhere, TYPE, Bytes::from_static(b"{}")).await.expect_err("no image");
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_registry_that_keeps_the_list_is_asked_for_it() {
    let (one, bad) = (sha256(b"1"), "v2/victim/manifests/x");
    let list = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"digest": bad, "artifactType": TYPE}, {"digest": one, "artifactType": TYPE}, {"digest": sha256(b"2")}, 7]})
    .to_string();
    let server = Server::start(move |_, _, asked| match asked.line.split_once(" /v2/a/") {
        Some(("GET", path)) if path.starts_with("referrers/sha256:") => Some(Reply::new(200).body(&list)),
        Some(("GET", path)) if path.starts_with("manifests/") => {
            let body = r#"{"schemaVersion":2,"config":{"digest":"sha256:c"},"layers":[]}"#;
            Some(Reply::new(200).header("content-type", OCI_IMAGE).body(body))
        }
        Some(("HEAD", _)) => Some(Reply::new(200)),
        Some(("PUT", _)) => Some(Reply::new(201).header("oci-subject", "sha256:x")),
        _ => Some(Reply::new(500)),
    });
    let image = server.name(&format!("a@{}", sha256(b"x")));
    let found = client().referrers(&image, TYPE).await.expect("a list");
    assert_eq!(found.iter().map(|found| found.digest.as_str()).collect::<Vec<_>>(), [&one]);
    assert_eq!(client().all_referrers(&image).await, Ok(vec![one, sha256(b"2")]));
    client().attach(&server.name("a:1"), TYPE, Bytes::from_static(b"{}")).await.expect("attached");
    let puts: Vec<String> = server.lines().into_iter().filter(|line| line.starts_with("PUT ")).collect();
    assert_eq!(puts.len(), 1, "no list of ours is written: {puts:?}");
}

/// A registry without the referrers API, which keeps the list of one image, and calls `before` on
/// each read.
fn listing(before: impl Fn(usize, &mut Option<String>, Duration) + Send + 'static) -> Server {
    let state = Mutex::new((None::<String>, 0, Instant::now()));
    Server::start(move |_, _, asked| {
        let (list, looks, written) = &mut *state.lock();
        let is_list = asked.line.contains("/manifests/sha256-");
        match asked.line.split_once(' ') {
            Some(("GET", path)) if path.contains("/referrers/") => Some(Reply::new(404)),
            Some(("GET", _)) if is_list => {
                *looks += 1;
                before(*looks, list, written.elapsed());
                Some(match list {
                    Some(list) => Reply::new(200).header("content-type", OCI_INDEX).body(list),
                    None => Reply::new(404),
                })
            }
            Some(("GET", _)) => {
                let body = r#"{"schemaVersion":2,"config":{"digest":"sha256:c"},"layers":[]}"#;
                Some(Reply::new(200).header("content-type", OCI_IMAGE).body(body))
            }
            Some(("PUT", _)) => {
                if is_list {
                    (*list, *written) = (Some(asked.body.clone()), Instant::now());
                }
                Some(Reply::new(201))
            }
            _ => Some(Reply::new(200)),
        }
    })
}

const OTHERS: &str = r#"{"schemaVersion":2,"manifests":[{"digest":"sha256:others"}]}"#;

#[tokio::test]
async fn an_entry_that_another_machine_wrote_over_is_entered_again() {
    // The other read the list when it was empty, and writes after us.
    let server = listing(|look, list, since| {
        if look == 2 {
            assert!(since >= Duration::from_millis(250), "it was looked at again after {since:?} already");
            *list = Some(OTHERS.to_owned());
        }
    });
    let image = server.name("a:1");
    let ours = client().attach(&image, TYPE, Bytes::from_static(b"{}")).await.expect("attached");
    let puts: Vec<String> = server
        .asked()
        .into_iter()
        .filter(|asked| asked.line.starts_with("PUT ") && asked.line.contains("/manifests/sha256-"))
        .map(|asked| asked.body)
        .collect();
    assert_eq!(puts.len(), 2, "{puts:?}");
    let last: serde_json::Value = serde_json::from_str(&puts[1]).expect("an index");
    let digests: Vec<_> =
        last["manifests"].as_array().expect("a list").iter().map(|one| &one["digest"]).collect();
    assert_eq!(digests, ["sha256:others", ours.as_str()]);
}

#[tokio::test]
async fn a_list_that_others_write_all_the_time_is_given_up() {
    let server = listing(|_, list, _| *list = Some(OTHERS.to_owned()));
    let image = server.name("a:1");
    let error = client().attach(&image, TYPE, Bytes::from_static(b"{}")).await.expect_err("no end");
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("others write this list"), "{error}");
}
