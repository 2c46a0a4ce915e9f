//! A registry in memory: images that consist of labels, over plain HTTP, and a count of all bytes
//! that it sent.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use crate::server::Server;

/// The served bodies: paths after `/v2/` with media type and body.
type Served = Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>;

pub(crate) struct Registry {
    server: Server,
    served: Served,
    sent: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Registry {
    pub(crate) fn start() -> Self {
        let (served, sent) = (Served::default(), Arc::<AtomicUsize>::default());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (ours, count, remember) = (Arc::clone(&served), Arc::clone(&sent), Arc::clone(&asked));
        let server = Server::start(move |stream, request| {
            let bytes = answer(stream, &request.line, &ours.lock());
            count.fetch_add(bytes.unwrap_or_default(), Ordering::Relaxed);
            remember.lock().push(request.line);
        });
        Self { server, served, sent, asked }
    }

    pub(crate) fn host(&self) -> String {
        self.server.address.to_string()
    }

    /// Publishes an image of two layers of 500 MB each, which do not exist, under `repository:tag`.
    /// Returns its digest.
    pub(crate) fn image(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let config = serde_json::json!({
            "os": "linux", "architecture": "amd64", "created": "2023-11-14T22:13:41.5Z",
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [digest(b"1"), digest(b"2")]},
        })
        .to_string();
        let layer = |of: &[u8]| serde_json::json!({"digest": digest(of), "size": 500_000_000});
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"digest": digest(config.as_bytes()), "size": config.len()},
            "layers": [layer(b"a"), layer(b"b")],
        })
        .to_string();
        let (repository, tag) = name.rsplit_once(':').expect("a tag");
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        let digest = digest(manifest.as_bytes());
        let mut served = self.served.lock();
        for path in [format!("{repository}/manifests/{tag}"), format!("{repository}/manifests/{digest}")] {
            served.insert(path, (media_type.clone(), manifest.clone().into_bytes()));
        }
        let path = format!("{repository}/blobs/{}", self::digest(config.as_bytes()));
        served.insert(path, ("application/octet-stream".to_owned(), config.into_bytes()));
        digest
    }

    /// Points a tag to another image with the same configuration.
    pub(crate) fn move_tag(&self, name: &str) {
        let (repository, tag) = name.rsplit_once(':').expect("a tag");
        let mut served = self.served.lock();
        let (media_type, manifest) = served[&format!("{repository}/manifests/{tag}")].clone();
        let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("a manifest");
        let layers = manifest["layers"].as_array_mut().expect("a list");
        layers.push(serde_json::json!({"digest": digest(b"evil"), "size": 1}));
        let manifest = manifest.to_string().into_bytes();
        for tag in [tag.to_owned(), digest(&manifest)] {
            served.insert(format!("{repository}/manifests/{tag}"), (media_type.clone(), manifest.clone()));
        }
    }

    /// Lists artifacts of a build spec's type for an image of a repository, each with these layers.
    pub(crate) fn artifacts(&self, repository: &str, image: &str, artifacts: &[&[&[u8]]]) {
        let manifest_type = "application/vnd.oci.image.manifest.v1+json";
        let mut served = self.served.lock();
        let mut listed = Vec::new();
        for (number, layers) in artifacts.iter().enumerate() {
            let mut entries = Vec::new();
            for layer in *layers {
                let (digest, size) = (digest(layer), layer.len());
                entries.push(serde_json::json!({"digest": digest, "size": size}));
                let blob = ("application/octet-stream".to_owned(), layer.to_vec());
                served.insert(format!("{repository}/blobs/{digest}"), blob);
            }
            let manifest = serde_json::json!({
                "schemaVersion": 2, "mediaType": manifest_type, "layers": entries,
                "annotations": {"number": number.to_string()},
            });
            let manifest = manifest.to_string().into_bytes();
            let digest = digest(&manifest);
            listed.push(serde_json::json!({
                "mediaType": manifest_type, "digest": digest, "size": manifest.len(),
                "artifactType": plan::spec::ARTIFACT_TYPE,
            }));
            served.insert(format!("{repository}/manifests/{digest}"), (manifest_type.to_owned(), manifest));
        }
        let index = "application/vnd.oci.image.index.v1+json";
        let list = serde_json::json!({"schemaVersion": 2, "mediaType": index, "manifests": listed});
        served.insert(
            format!("{repository}/referrers/{image}"),
            (index.to_owned(), list.to_string().into_bytes()),
        );
    }

    /// Returns the number of bytes of all bodies so far.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Returns all requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }
}

/// Returns the digest of bytes: `sha256:…`.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex = hex::encode(Sha256::digest(bytes));
    format!("sha256:{hex}")
}

fn answer(
    mut stream: &TcpStream,
    line: &str,
    served: &BTreeMap<String, (String, Vec<u8>)>,
) -> std::io::Result<usize> {
    let (method, path) = line.split_once(" /v2/").unwrap_or((line, ""));
    let Some((media_type, body)) = served.get(path) else {
        stream.write_all(
            b"HTTP/1.1 404 Not Found\r\ndocker-distribution-api-version: registry/2.0\r\ncontent-length: 0\r\n\
              connection: close\r\n\r\n",
        )?;
        return Ok(0);
    };
    let (length, body) = (body.len(), if method == "HEAD" { &[][..] } else { body });
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)?;
    Ok(body.len())
}
