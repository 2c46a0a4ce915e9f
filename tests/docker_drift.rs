//! `--forbid-drift` and `--show-drift` on a real engine and a real registry: which packages may
//! change, and which may not.

use std::time::Duration;

use plan::ImageName;
use registry::Registry;
use testbed::command::{Outcome, Program};
use testbed::registry::View;
use testbed::tree::{BASE, Tree};

const BOUND: Duration = Duration::from_secs(120);

/// `base` has a package whose version changes with every installation; `leaf` is based on it and
/// adds no package.
fn tree() -> Tree {
    Tree::of(&format!(
        "//- /science/base/Dockerfile\nFROM {BASE}\nCOPY data /data/base\n\
         RUN mkdir -p /var/lib/dpkg && printf 'Package: numpy\\nVersion: 1.%s\\n' $(od -An -N4 -tu4 /dev/urandom) \
         > /var/lib/dpkg/status\n\
         //- /science/base/data\n1\n\
         //- /science/base/sciserver-image.json\n{{\"image\": \"base\", \"version\": \"1.0\"}}\n\
         //- /science/leaf/Dockerfile\nFROM sci/base:1.0\nCOPY data /data/leaf\n\
         //- /science/leaf/data\n1\n\
         //- /science/leaf/sciserver-image.json\n{{\"image\": \"leaf\", \"version\": \"1.0\"}}\n"
    ))
}

struct Scene {
    tree: Tree,
    repo: String,
}

impl Scene {
    fn new() -> Self {
        let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
        Self { tree: tree(), repo: format!("{registry}/drift-{}", testbed::process::unique()) }
    }

    fn run(&self, arguments: &[&str], code: i32) -> Outcome {
        let arguments = [&["--push", "--repo", &self.repo][..], arguments].concat();
        Program::new(env!("CARGO_BIN_EXE_image-builder"), &self.tree)
            .args(arguments)
            .run(BOUND)
            .expect_code(code)
    }

    /// Returns every tag of both layers with its digest.
    fn shown(&self) -> Vec<(String, Option<String>)> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let registry = Registry::new(registry::Options::default());
            let mut shown = Vec::new();
            for layer in ["base", "leaf"] {
                let name = ImageName::parse(&format!("{}/sci/{layer}", self.repo)).expect("a name");
                let tags = registry.tags(&name).await.expect("the registry answers");
                // Tags that begin with `sha256-` list artifacts of images, such as build specs.
                for tag in tags.into_iter().filter(|tag| !tag.starts_with("sha256-")) {
                    let image = ImageName { tag: Some(tag), ..name.clone() };
                    let digest = registry.resolve(&image).await.expect("the registry answers");
                    shown.push((image.to_string(), digest));
                }
            }
            shown
        })
    }
}

impl Scene {
    /// Adds a layer to the image of the moving tag of `base`, as any client with push access can.
    fn tamper(&self, layer: &[u8]) {
        let (registry, repository) = self.repo.split_once('/').expect("a host and a path");
        let (view, repository) = (View::new(registry), format!("{repository}/sci/base"));
        let mut manifest = view.manifest(&repository, "1.0").expect("it is published").json();
        let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
        let at = format!("/v2/{repository}/blobs/{}", text(&manifest["config"]["digest"]));
        let mut config = view.ask("GET", &at, &[], b"").json();
        let digest = view.put_blob(&repository, layer);
        let push = |list: &mut serde_json::Value, item| list.as_array_mut().expect("a list").push(item);
        push(&mut config["rootfs"]["diff_ids"], digest.clone().into());
        let config = config.to_string();
        manifest["config"]["digest"] = view.put_blob(&repository, config.as_bytes()).into();
        manifest["config"]["size"] = config.len().into();
        let media = manifest["layers"][0]["mediaType"].clone();
        let item = serde_json::json!({"mediaType": media, "digest": digest, "size": layer.len()});
        push(&mut manifest["layers"], item);
        let media = text(&manifest["mediaType"]);
        view.put_manifest(&repository, "1.0", &media, manifest.to_string().as_bytes());
    }
}

/// Returns a tar header followed by this content.
fn member(name: &str, kind: u8, size: usize, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar  \0");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut member = [&header[..], content].concat();
    member.resize(member.len().next_multiple_of(512) + 1024, 0);
    member
}

/// Any client with push access can write a published image. Such an image must not stop a nightly
/// run, nor let forbidden drift pass.
#[test]
fn case_bombs_in_layers_of_a_published_image() {
    let scene = Scene::new();
    scene.run(&["--all"], 0);
    let status = "Package:a\nVersion:1\n\n".repeat((1 << 17) + 1);
    let record = member("var/lib/dpkg/status", b'0', status.len(), status.as_bytes());
    let name = member("././@LongLink", b'L', 4 << 30, b"a");
    for (number, layer, forbidden, shown) in [
        (
            1,
            &record,
            "/var/lib/dpkg/status is not read: a record of more than 131,072 packages",
            "cannot compare the packages of /var/lib/dpkg/status",
        ),
        (3, &name, "a long name or pax header of more than 1 MiB", "cannot compare packages: "),
    ] {
        scene.tamper(layer);
        let before = scene.shown();
        let refused = scene.run(&["--all", "--rebuild", &number.to_string(), "--forbid-drift"], 5);
        assert!(
            refused.stderr.contains("cannot compare packages, required by --forbid-drift"),
            "{}",
            refused.said()
        );
        assert!(refused.stderr.contains(forbidden), "{}", refused.said());
        assert_eq!(scene.shown(), before, "nothing is published");
        assert_eq!(scene.tree.last_result()["builds"][0]["failure"], "environment");

        let noticed = scene.run(&["--all", "--rebuild", &(number + 1).to_string(), "--show-drift"], 0);
        assert!(noticed.stderr.contains(shown), "{}", noticed.said());
    }
}

/// Message for the leaf: its inherited changes are reported once.
const FROM_BELOW: &str = "packages changed in science/leaf: the same as in science/base";

#[test]
fn packages_move_only_with_their_layer() {
    let mut scene = Scene::new();
    // Nothing was published before, so there is no drift.
    scene.run(&["--all", "--forbid-drift"], 0);
    let before = scene.shown();
    assert_eq!(before.len(), 4, "{before:?}");

    let refused = scene.run(&["--all", "--rebuild", "1", "--forbid-drift"], 7);
    assert!(refused.stderr.contains("dpkg numpy 1."), "{}", refused.said());
    assert!(refused.stderr.contains("packages changed in science/base: 1 changed"), "{}", refused.said());
    assert_eq!(scene.shown(), before, "nothing is published");
    let result = scene.tree.last_result();
    assert_eq!(result["builds"][0]["failure"], "drift", "{result:#}");
    assert_eq!(
        (&result["builds"][0]["outcome"], &result["builds"][1]["outcome"]),
        (&"failed".into(), &"skipped".into())
    );
    assert_eq!(result["builds"][0]["tags"], serde_json::json!([]));

    // A published rebuild reports package changes, including inherited ones.
    let shown = scene.run(&["--all", "--rebuild", "2"], 0);
    assert!(shown.stderr.contains("packages changed in science/base: 1 changed"), "{}", shown.said());
    assert!(shown.stderr.contains(FROM_BELOW), "{}", shown.said());
    let moved = &scene.tree.last_result()["builds"][1]["moved"];
    assert_eq!((&moved[0]["ecosystem"], &moved[0]["name"]), (&"dpkg".into(), &"numpy".into()), "{moved}");

    // A file of the base changed: its packages may change, and those of its descendants with them.
    scene.tree.change("science/base/data", "2\n");
    let allowed = scene.run(&["--forbid-drift"], 0);
    assert!(allowed.stderr.contains(FROM_BELOW), "{}", allowed.said());
    assert_eq!(scene.shown().len(), 8);
}
