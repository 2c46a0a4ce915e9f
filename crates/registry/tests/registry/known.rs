//! Requests that are saved for an image that the caller knows by a digest.

use registry::{Options, Registry, Shown};

use crate::process::sha256;
use crate::scripted::{Reply, Server};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = r#"{"os":"linux","architecture":"amd64","config":{"Labels":{"a":"b"}}}"#;

/// An image that `one` shows, and an index of it that `many` shows.
struct Images {
    server: Server,
    config: String,
    manifest: String,
    index: String,
}

fn images() -> Images {
    let other = sha256(b"another platform's");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {"digest": sha256(CONFIG.as_bytes())},
    })
    .to_string();
    let digest = sha256(manifest.as_bytes());
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [
            {"digest": other, "platform": {"os": "linux", "architecture": "arm64"}},
            {"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}},
        ],
    })
    .to_string();
    let names = (sha256(CONFIG.as_bytes()), digest.clone(), sha256(index.as_bytes()));
    let by_digest = format!("/manifests/{digest}");
    let server = Server::start(move |_, _, asked| {
        let shown = |kind: &str, body: &str| Reply::new(200).header("content-type", kind).body(body);
        Some(match asked.line.as_str() {
            line if line.ends_with("/manifests/one") || line.ends_with(&by_digest) => {
                shown(MANIFEST, &manifest)
            }
            line if line.ends_with("/manifests/many") => shown(INDEX, &index),
            line if line.contains("/blobs/") => shown("application/octet-stream", CONFIG),
            _ => Reply::new(404),
        })
    });
    let (config, manifest, index) = names;
    Images { server, config, manifest, index }
}

/// The result for a name when one digest is known, and the number of requests.
async fn asked(images: &Images, tag: &str, known: &str) -> (Shown, usize) {
    let before = images.server.asked().len();
    let name = images.server.name(&format!("a:{tag}"));
    let registry = Registry::new(Options::default());
    let shown = registry.image_unless(&name, "linux/amd64", |digest| digest == known).await;
    (shown.expect("it answers").expect("it is there"), images.server.asked().len() - before)
}

#[tokio::test]
async fn each_digest_that_stands_for_the_whole_image_is_known() {
    let images = images();
    let Images { config, manifest, index, .. } = &images;
    for (tag, known, requests) in [
        ("one", manifest, 1),
        ("one", config, 1),
        ("many", index, 1),
        ("many", manifest, 2),
        ("many", config, 2),
    ] {
        let digest = if tag == "one" { manifest } else { index };
        let expect = (Shown::Known(digest.clone()), requests);
        assert_eq!(asked(&images, tag, known).await, expect, "{tag} by {known}");
    }
}

#[tokio::test]
async fn what_is_not_known_is_read_whole() {
    let images = images();
    let other = sha256(b"another platform's");
    for (tag, requests) in [("one", 2), ("many", 3)] {
        for known in [&other, &images.config.to_uppercase(), &images.config[..70].to_owned(), &String::new()]
        {
            let (shown, took) = asked(&images, tag, known).await;
            let Shown::Image(image) = shown else { panic!("{tag} by {known}: {shown:?}") };
            assert_eq!((image.labels["a"].as_str(), took), ("b", requests));
            assert_eq!(image.config_digest, images.config);
        }
    }
}
