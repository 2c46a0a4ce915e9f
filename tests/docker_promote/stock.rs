//! Publishes builds in real registries: the images that a plan would push, with their labels and
//! with layers of a few bytes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::command::{Outcome, Program};
use testbed::process::unique;
use testbed::registry::{Shelf, View};
use testbed::tree::Tree;

/// Time-out, longer than any of these runs takes on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(120);

pub(crate) const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A tree with `tools` without a compat layer, `sky` 1.0 of two layers that copies from `tools`,
/// and `sea` based on `sky`.
const TREE: &str = r#"
//- /science/base/Dockerfile
FROM docker.io/library/busybox:1.35
COPY data /data
//- /science/base/data
1
//- /science/base/sciserver-image.json
{"image": "base", "version": "1.0", "compat": null}
//- /science/tools/Dockerfile
FROM docker.io/library/busybox:1.35
//- /science/tools/sciserver-image.json
{"image": "tools", "version": "3.0", "compat": null}
//- /science/sky/Dockerfile
FROM sci/base:1.0
COPY --from=sci/tools:3.0 /bin/true /copied
//- /science/sky/sciserver-image.json
{"image": "sky", "version": "1.0"}
//- /science/sky-more/Dockerfile
FROM sci/sky:1.0
COPY data /data
//- /science/sky-more/data
1
//- /science/sky-more/sciserver-image.json
{"image": "sky", "version": "1.0", "compat": "batch"}
//- /science/sea/Dockerfile
FROM sci/sky:1.0
//- /science/sea/sciserver-image.json
{"image": "sea", "version": "1.0", "compat": "batch"}
//- /compat/batch/Dockerfile
CMD ["/bin/sh"]
//- /compat/batch/sciserver-image.json
{}
"#;

/// A source tree, and the builds that it would produce.
pub(crate) struct Stock {
    pub(crate) tree: Tree,
    shelf: Shelf,
    /// Digests of the layers in each repository, by repository and content. Each path is used in
    /// one registry only.
    pushed: RefCell<BTreeMap<(String, String), String>>,
    /// Size of each layer in bytes.
    weight: usize,
}

impl Stock {
    pub(crate) fn new() -> Self {
        Self { tree: Tree::of(TREE), shelf: Shelf::start(), pushed: RefCell::default(), weight: 100 }
    }

    /// Uses layers of this size: different images of the same builds.
    pub(crate) fn of_weight(weight: usize) -> Self {
        Self { weight, ..Self::new() }
    }

    /// Returns the build tag of a version at HEAD, the `number`-th commit.
    pub(crate) fn build_tag(&self, version: &str, number: u32) -> String {
        format!("{version}-{number}-{}", &self.tree.head()[..7])
    }

    /// Publishes the builds of a plan with these flags below a path of a registry. Returns the
    /// pushed tags, such as `sci/base:1.0` and `sci/base:1.0-1-0123456`, with their digests.
    pub(crate) fn publish(&self, view: &View, path: &str, flags: &[&str]) -> BTreeMap<String, String> {
        let repo = format!("{}/x", self.shelf.address());
        let planned = self.program(&["plan", "--format", "json", "--repo", &repo]).args(flags);
        let plan = planned.run(BOUND).expect_code(0).stdout;
        assert!(self.shelf.publish(&plan, &[]).is_empty());
        let plan: Value = serde_json::from_str(&plan).expect("a plan is JSON");
        let mut pushed = BTreeMap::new();
        let mut layers: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for build in plan["builds"].as_array().expect("builds") {
            let id = build["id"].as_str().expect("an id").to_owned();
            let tags: Vec<&str> =
                build["tags"].as_array().expect("tags").iter().filter_map(Value::as_str).collect();
            let (name, build_tag) = tags[0]
                .strip_prefix(&format!("{repo}/"))
                .and_then(|name| name.rsplit_once(':'))
                .expect("a name");
            let (_, moving) = tags[1].rsplit_once(':').expect("a tag");
            let labels = self.shelf.labels(&format!("x/{name}"), moving).expect("just published");
            let base = build["references"]
                .as_array()
                .expect("a list")
                .iter()
                .find(|reference| reference["role"] == "base");
            let below = base.and_then(|base| base["id"].as_str()).and_then(|id| layers.get(id).cloned());
            let repository = format!("{path}/{name}");
            let below = below.unwrap_or_else(|| vec![self.layer(view, &repository, "busybox")]);
            let mut all = Vec::new();
            for layer in below {
                // Like an engine: the layers of a parent are pushed to each repository.
                all.push(self.layer(view, &repository, layer["of"].as_str().expect("a text")));
            }
            all.push(self.layer(view, &repository, &format!("{id} {build_tag}")));
            layers.insert(id, all.clone());
            let digest = push(view, &repository, &all, &labels);
            let (media_type, manifest) = digest;
            for tag in [build_tag, moving] {
                view.put_manifest(&repository, tag, media_type, &manifest);
                let shown = view.digest(&repository, tag).expect("just pushed");
                pushed.insert(format!("{name}:{tag}"), shown);
            }
        }
        pushed
    }

    fn layer(&self, view: &View, repository: &str, of: &str) -> Value {
        let blob = of.repeat(self.weight / of.len() + 1).into_bytes();
        let mut pushed = self.pushed.borrow_mut();
        let digest = pushed.entry((repository.to_owned(), of.to_owned()));
        let digest = digest.or_insert_with(|| view.put_blob(repository, &blob));
        json!({"digest": digest, "size": blob.len(), "of": of,
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"})
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree).args(arguments)
    }

    /// Runs `promote` from one repo to another.
    pub(crate) fn promote(&self, from: &str, to: &str, arguments: &[&str]) -> Outcome {
        let outcome = self.program(&["promote", "--from", from, "--to", to]).args(arguments).run(BOUND);
        self.nothing_is_left();
        outcome
    }

    /// Asserts that no files remain, except for the cache.
    pub(crate) fn nothing_is_left(&self) {
        let left: Vec<_> = fs::read_dir(self.tree.temporary()).expect("it is ours").flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        let home: Vec<_> = fs::read_dir(self.tree.home())
            .expect("it is ours")
            .flatten()
            .map(|file| file.file_name())
            .collect();
        assert!(home.iter().all(|name| name == ".cache" || name == ".docker"), "{home:?}");
        assert!(!self.tree.root().join(".image-builder").exists());
    }
}

/// Pushes the configuration and returns the manifest, with spaces that a serialiser would not
/// write.
fn push(
    view: &View,
    repository: &str,
    layers: &[Value],
    labels: &BTreeMap<String, String>,
) -> (&'static str, Vec<u8>) {
    let config = json!({"os": "linux", "architecture": "amd64", "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|layer| &layer["digest"]).collect::<Vec<_>>()}})
    .to_string();
    let digest = view.put_blob(repository, config.as_bytes());
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| json!({"digest": layer["digest"], "size": layer["size"], "mediaType": layer["mediaType"]}))
        .collect();
    let manifest = format!(
        "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"{MANIFEST}\",\n   \"config\":  {{\"mediaType\": \
         \"application/vnd.docker.container.image.v1+json\", \"size\": {}, \"digest\": \"{digest}\"}},\n   \"layers\": {}\n}}\n",
        config.len(),
        Value::from(layers)
    );
    (MANIFEST, manifest.into_bytes())
}

/// Returns an unused path.
pub(crate) fn path(name: &str) -> String {
    format!("{name}-{}", unique())
}

/// Returns all tags below a path of a registry with their digests, without the path.
pub(crate) fn tags(view: &View, path: &str) -> BTreeMap<String, String> {
    let all = view.all_tags(&format!("{path}/")).into_iter();
    all.map(|(name, digest)| (name[path.len() + 1..].to_owned(), digest)).collect()
}
