//! A registry in memory that only shows: manifests and configurations, put there by the test. It
//! counts what it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How long a connection may be silent.
const LIMIT: Duration = Duration::from_secs(60);
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A running registry; it ends when dropped.
#[derive(Debug)]
pub struct Shelf {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    connections: AtomicUsize,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// By `repository:tag`.
    labels: BTreeMap<String, BTreeMap<String, String>>,
    /// By request path: `/v2/…`.
    bodies: BTreeMap<String, Vec<u8>>,
    /// Statuses that are answered whatever there is.
    troubles: BTreeMap<String, u16>,
    /// Of what only the first half is sent; then nothing more comes.
    stalls: BTreeSet<String>,
    asked: Vec<String>,
    builds: u32,
}

impl Shelf {
    /// Starts an empty one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no such port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared: Arc<Shared> = Arc::default();
        let all = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if all.over.load(Ordering::SeqCst) {
                    break;
                }
                all.connections.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&all);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Shows an image with these labels under a tag.
    pub fn put(&self, repository: &str, tag: &str, labels: &BTreeMap<String, String>) {
        let config =
            json!({"os": "linux", "architecture": "amd64", "config": {"Labels": labels}}).to_string();
        let digest = digest(config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()},
        });
        let manifest = manifest.to_string().into_bytes();
        let of_manifest = self::digest(&manifest);
        let mut state = self.shared.state();
        state.bodies.insert(format!("/v2/{repository}/blobs/{digest}"), config.into_bytes());
        state.bodies.insert(format!("/v2/{repository}/manifests/{of_manifest}"), manifest.clone());
        state.bodies.insert(format!("/v2/{repository}/manifests/{tag}"), manifest);
        state.labels.insert(format!("{repository}:{tag}"), labels.clone());
    }

    /// Serves an image of these layers under a tag, each with the size that its manifest declares;
    /// returns their request paths.
    pub fn put_layers(&self, repository: &str, tag: &str, layers: &[(Vec<u8>, usize)]) -> Vec<String> {
        let digests: Vec<String> = layers.iter().map(|(bytes, _)| digest(bytes)).collect();
        let config = json!({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": digests}});
        let config = config.to_string();
        let blob = |media: &str, digest: &str, size: usize| json!({"mediaType": format!("application/vnd.oci.image.{media}"), "digest": digest, "size": size});
        let all =
            digests.iter().zip(layers).map(|(digest, (_, size))| blob("layer.v1.tar+gzip", digest, *size));
        let of_config = digest(config.as_bytes());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": all.collect::<Vec<_>>(),
            "config": blob("config.v1+json", &of_config, config.len()),
        });
        let manifest = manifest.to_string().into_bytes();
        let at = |digest: &str| format!("/v2/{repository}/blobs/{digest}");
        let mut state = self.shared.state();
        state.bodies.insert(at(&of_config), config.into_bytes());
        state
            .bodies
            .extend(digests.iter().zip(layers).map(|(digest, (bytes, _))| (at(digest), bytes.clone())));
        state.bodies.insert(format!("/v2/{repository}/manifests/{}", digest(&manifest)), manifest.clone());
        state.bodies.insert(format!("/v2/{repository}/manifests/{tag}"), manifest);
        digests.iter().map(|digest| at(digest)).collect()
    }

    /// From now on sends half of this response, and then nothing until the client disconnects.
    pub fn stall(&self, target: &str) {
        self.shared.state().stalls.insert(target.to_owned());
    }

    /// Shows an index under a tag: for each architecture an image with these labels, which `{tag}-{architecture}` shows too.
    ///
    /// # Panics
    /// Never: what it asks for was put there.
    pub fn put_index(&self, repository: &str, tag: &str, images: &[(&str, &BTreeMap<String, String>)]) {
        let mut manifests = Vec::new();
        for (architecture, labels) in images {
            let own = format!("{tag}-{architecture}");
            self.put(repository, &own, labels);
            let digest = self.digest(repository, &own).expect("it was put there");
            let size = self.shared.state().bodies[&format!("/v2/{repository}/manifests/{own}")].len();
            let platform = json!({"os": "linux", "architecture": architecture});
            manifests
                .push(json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform}));
        }
        let index =
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}).to_string().into_bytes();
        let mut state = self.shared.state();
        state.bodies.insert(format!("/v2/{repository}/manifests/{}", digest(&index)), index.clone());
        state.bodies.insert(format!("/v2/{repository}/manifests/{tag}"), index);
    }

    /// The labels of what a tag shows.
    #[must_use]
    pub fn labels(&self, repository: &str, tag: &str) -> Option<BTreeMap<String, String>> {
        self.shared.state().labels.get(&format!("{repository}:{tag}")).cloned()
    }

    /// The digest that a tag shows.
    #[must_use]
    pub fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let state = self.shared.state();
        state.bodies.get(&format!("/v2/{repository}/manifests/{tag}")).map(|manifest| digest(manifest))
    }

    /// The digest of the configuration of what a tag shows, which an engine has for an id.
    ///
    /// # Panics
    /// When that is an index.
    #[must_use]
    pub fn id(&self, repository: &str, tag: &str) -> Option<String> {
        let state = self.shared.state();
        let manifest = state.bodies.get(&format!("/v2/{repository}/manifests/{tag}"))?;
        let manifest: Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
        Some(manifest["config"]["digest"].as_str().expect("it has a configuration").to_owned())
    }

    /// Takes a tag away.
    pub fn remove(&self, repository: &str, tag: &str) {
        let mut state = self.shared.state();
        state.labels.remove(&format!("{repository}:{tag}"));
        state.bodies.remove(&format!("/v2/{repository}/manifests/{tag}"));
    }

    /// From now on answers a question, `/v2/…`, with this status.
    pub fn trouble(&self, target: &str, status: u16) {
        self.shared.state().troubles.insert(target.to_owned(), status);
    }

    /// The requests since the last call, `GET /v2/…` each.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().asked)
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Shows what a plan, the JSON of `image-builder plan`, would push, with the labels that its images would have. Builds of
    /// `failing` fail, and what needs them is skipped; those are returned.
    ///
    /// # Panics
    /// When that is no plan for this registry.
    pub fn publish(&self, plan: &str, failing: &[&str]) -> BTreeSet<String> {
        let plan: Value = serde_json::from_str(plan).expect("a plan is JSON");
        let prefix = text(&plan["label_prefix"]).to_owned();
        let builds = plan["builds"].as_array().expect("a plan has builds");
        let by_id: BTreeMap<&str, &Value> = builds.iter().map(|build| (text(&build["id"]), build)).collect();
        let mut missing = BTreeSet::new();
        for build in builds {
            let id = text(&build["id"]);
            let needs = build["needs"].as_array().expect("a list");
            if failing.contains(&id) || needs.iter().any(|need| missing.contains(text(need))) {
                missing.insert(id.to_owned());
                continue;
            }
            let labels = self.labels_of(build, &by_id, &prefix);
            for tag in build["tags"].as_array().expect("a list") {
                let (repository, tag) = self.below(text(tag));
                self.put(&repository, &tag, &labels);
            }
        }
        missing
    }

    /// Inherited labels, the plan's, and those that are known when an image is built.
    fn labels_of(
        &self,
        build: &Value,
        by_id: &BTreeMap<&str, &Value>,
        prefix: &str,
    ) -> BTreeMap<String, String> {
        let (mut labels, mut layers, mut images) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut base_digest, mut ids) = (String::new(), BTreeMap::new());
        for reference in build["references"].as_array().expect("a list") {
            let (moving, target) = match text(&reference["kind"]) {
                "build" => {
                    let parent = by_id[text(&reference["id"])];
                    (text(&parent["tags"][1]), text(&parent["target"]))
                }
                "layer" => (text(&reference["reference"]), text(&reference["target"])),
                "external" => {
                    let name = text(&reference["reference"]);
                    images.insert(name.to_owned(), self.digest_of(name));
                    continue;
                }
                _ => continue,
            };
            let (repository, tag) = self.below(moving);
            let parent = self
                .labels(&repository, &tag)
                .unwrap_or_else(|| panic!("{} needs {moving}, which is not there", build["id"]));
            layers.insert(
                format!("{target}:{tag}"),
                parent.get(&format!("{prefix}.science.{target}.version")).cloned(),
            );
            if reference["role"] == "base" {
                labels = parent;
                // An image of the same run has no digest yet, but an id.
                if reference["kind"] == "layer" {
                    base_digest = self.digest(&repository, &tag).unwrap_or_default();
                } else {
                    ids.insert(format!("{target}:{tag}"), self.id(&repository, &tag));
                }
            }
        }
        let own = match text(&build["kind"]) {
            "science" => format!("{prefix}.science.{}", text(&build["target"])),
            _ => format!("{prefix}.compat"),
        };
        let of_plan = build["labels"].as_object().expect("labels");
        labels.extend(of_plan.iter().map(|(key, value)| (key.clone(), text(value).to_owned())));
        labels.insert("org.opencontainers.image.base.digest".to_owned(), base_digest);
        let mut state = self.shared.state();
        state.builds += 1;
        labels.insert(format!("{own}.buildtime"), state.builds.to_string());
        let from = json!({"layers": layers, "images": images, "ids": ids});
        labels.insert(format!("{own}.from"), from.to_string());
        labels
    }

    /// The digest of an external image: its own, else that of its tag here; none if it is
    /// elsewhere.
    fn digest_of(&self, reference: &str) -> Option<String> {
        if let Some((_, digest)) = reference.split_once('@') {
            return Some(digest.to_owned());
        }
        let here = reference.starts_with(&format!("{}/", self.address));
        let (repository, tag) = here.then(|| self.below(reference))?;
        self.digest(&repository, &tag)
    }

    fn below(&self, reference: &str) -> (String, String) {
        let ours = reference.strip_prefix(&format!("{}/", self.address)).expect("a name at this registry");
        let (repository, tag) = ours.rsplit_once(':').expect("a tag");
        (repository.to_owned(), tag.to_owned())
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn answer(&self, line: &str) -> (u16, Vec<u8>) {
        let target = line.split(' ').nth(1).unwrap_or_default();
        let mut state = self.state();
        state.asked.push(line.trim_end_matches(" HTTP/1.1").to_owned());
        match (state.troubles.get(target), state.bodies.get(target)) {
            (Some(status), _) => {
                (*status, br#"{"errors":[{"code":"TROUBLE","message":"on purpose"}]}"#.to_vec())
            }
            (None, Some(body)) => (200, body.clone()),
            (None, None) => (404, br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#.to_vec()),
        }
    }
}

/// Tells a registry from a web server.
const VERSION: &str = "Docker-Distribution-Api-Version: registry/2.0\r\n";

/// One connection, to its end.
fn serve(stream: &TcpStream, shared: &Shared) {
    if stream.set_read_timeout(Some(LIMIT)).is_err() || stream.set_nodelay(true).is_err() {
        return;
    }
    let mut reader = BufReader::new(stream);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let Some(first) = lines.first() else { return };
        let (status, body) = shared.answer(first);
        let kind = if first.contains("/manifests/") && status == 200 { MANIFEST } else { "application/json" };
        let shown = match kind {
            MANIFEST => format!("Docker-Content-Digest: {}\r\n", digest(&body)),
            _ => String::new(),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{VERSION}{shown}Content-Length: {length}\r\n\r\n"
        );
        let sent = if first.starts_with("HEAD ") { Vec::new() } else { body };
        let mut stream = stream;
        let stalls = first.split(' ').nth(1).is_some_and(|target| shared.state().stalls.contains(target));
        let sent = if stalls { &sent[..sent.len() / 2] } else { &sent[..] };
        if stream.write_all(&[head.as_bytes(), sent].concat()).is_err() {
            return;
        }
        if stalls {
            // Ends with the connection, or after the time for which one may be silent.
            let _ = reader.read_line(&mut String::new());
            return;
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `sha256:…` of bytes.
pub(super) fn digest(body: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(body)))
}
