//! Build specs beside an image, written by a hostile client with push access: row 46.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plan::Build;
use plan::spec::{Contents, Spec};
use planner::build_spec::SpecDrafts;
use planner::{Request, Selection, fixture};

use crate::served::{Registry, digest};
use crate::support::{Run, Tree};

const BASE: &str = "docker.io/library/debian:12";
const HARMLESS: &str = "FROM docker.io/library/debian:12\nCOPY data /opt/\n# harmless\n";

/// An image with one science layer in a registry, and its genuine spec.
struct Scene {
    registry: Registry,
    tree: Tree,
    build: Build,
    genuine: Spec,
}

impl Scene {
    fn new() -> Self {
        let inputs = fixture::first(&format!(
            "//- /image-builder.toml\nrepo = \"r.example/x\"\n\
             //- /science/sky/sciserver-image.json\n{{\"image\": \"sky\", \"version\": \"1.0\"}}\n\
             //- /science/sky/Dockerfile\nFROM {BASE}\nCOPY data /opt/\n\
             //- /science/sky/data\n1\n"
        ));
        let request = Request { selection: Selection::All, ..Request::default() };
        let planned = planner::plan(&inputs, &request).expect("it is sound");
        let build = planned.plan.builds[0].clone();
        let mut genuine = SpecDrafts::new(&inputs.now, &request).of(&planned.plan, &build).spec;
        let data = genuine.files.get_mut("science/sky/data").expect("it is sent");
        data.contents = Some(Contents::Text("1\n".to_owned()));
        assert!(genuine.is_whole());
        Self { registry: Registry::start(), tree: Tree::new(), build, genuine }
    }

    /// Publishes the image with these artifacts, and with a spec in its label if one is given.
    fn show(&self, label: Option<&Spec>, artifacts: &[&[&[u8]]]) {
        let mut labels: BTreeMap<&str, String> =
            self.build.labels.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let from = serde_json::json!({"layers": {}, "images": {BASE: digest(b"base")}}).to_string();
        labels.insert("org.sciserver.science.sky.from", from);
        labels.insert("org.sciserver.science.sky.buildtime", "1".to_owned());
        labels.insert("org.sciserver.spec", label.map(packed).unwrap_or_default());
        let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let image = self.registry.image("x/sci/sky:1.0", &labels);
        self.registry.artifacts("x/sci/sky", &image, artifacts);
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let reference = format!("{}/x/sci/sky:1.0", self.registry.host());
        self.tree.run(&[&[arguments[0], &reference, "--from", "registry"], &arguments[1..]].concat())
    }

    /// Asserts that both commands find the genuine spec.
    #[track_caller]
    fn finds_the_genuine(&self, by: &str) {
        let told = self.run(&["inspect", "--spec"]).code(0);
        let commit = format!("  commit {}, from the {by}\n", self.genuine.revision.commit);
        assert!(told.stdout.contains(&commit), "{}", told.stdout);
        assert!(!told.stdout.contains("harmless"), "{}", told.stdout);
        let rebuilt = self.run(&["rebuild", "--from-spec", "out", "--dryrun"]).code(0);
        let inputs = format!("  inputs {}, as recorded\n", self.genuine.inputs);
        assert!(
            rebuilt.stdout.contains(&inputs) && !rebuilt.stdout.contains("harmless"),
            "{}",
            rebuilt.stdout
        );
        let written = std::fs::read_to_string(self.tree.root().join("out/science/sky/Dockerfile"));
        assert_eq!(written.expect("it was written"), format!("FROM {BASE}\nCOPY data /opt/\n"));
        std::fs::remove_dir_all(self.tree.root().join("out")).expect("it is there");
    }

    /// Asserts that neither command shows any of the forged contents.
    #[track_caller]
    fn finds_none(&self, why: &str) {
        for arguments in [&["inspect", "--spec"][..], &["rebuild", "--from-spec", "out", "--yes"]] {
            let run = self.run(arguments).code(7);
            assert_eq!(run.stdout, "", "{arguments:?}");
            assert!(run.stderr.contains(why) && run.stderr.contains("do not trust it"), "{}", run.stderr);
            assert!(!self.tree.root().join("out").exists(), "{arguments:?}");
        }
    }

    /// Returns the genuine spec with a change.
    fn other(&self, change: impl FnOnce(&mut Spec)) -> Vec<u8> {
        let mut spec = self.genuine.clone();
        change(&mut spec);
        spec.to_json().into_bytes()
    }

    fn genuine(&self) -> Vec<u8> {
        self.genuine.to_json().into_bytes()
    }

    /// Returns a spec with another text in place of the Dockerfile, under the id of the genuine
    /// one.
    fn tampered(&self) -> Vec<u8> {
        self.other(|spec| {
            let file = spec.files.get_mut("science/sky/Dockerfile").expect("a layer has one");
            file.contents = Some(Contents::Text(HARMLESS.to_owned()));
        })
    }
}

fn packed(spec: &Spec) -> String {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(spec.to_json().as_bytes()).expect("memory");
    STANDARD.encode(packed.finish().expect("memory"))
}

#[test]
fn case_spec_poisoning_lie() {
    let scene = Scene::new();
    let lie = scene.other(|spec| {
        spec.revision.commit = "d".repeat(40);
        HARMLESS.clone_into(&mut spec.dockerfile);
    });
    scene.show(Some(&scene.genuine), &[&[&lie]]);
    scene.finds_the_genuine("label");
    // A label without the files of the context, and the genuine artifact after the forged one.
    scene.show(Some(&scene.genuine.clone().definition()), &[&[&lie], &[&scene.genuine()]]);
    scene.finds_the_genuine("artifact");
    // A forged artifact alone does not replace the label.
    scene.show(Some(&scene.genuine.clone().definition()), &[&[&lie]]);
    let told = scene.run(&["inspect", "--spec"]).code(0);
    assert!(told.stdout.contains("from the label\n") && !told.stdout.contains("harmless"), "{}", told.stdout);
    scene.show(None, &[&[&lie]]);
    scene.finds_none("the spec has the commit");
}

#[test]
fn case_spec_poisoning_junk3() {
    let scene = Scene::new();
    let genuine = scene.genuine();
    let large = vec![b'x'; 300 << 10];
    for junk in [3, 300] {
        let mut artifacts: Vec<&[&[u8]]> = vec![&[b"junk"]; junk];
        artifacts.push(&[b"[]"]);
        let large: &[&[u8]] = &[&large];
        artifacts.push(large);
        let genuine: &[&[u8]] = &[&genuine];
        artifacts.push(genuine);
        scene.show(None, &artifacts);
        scene.finds_the_genuine("artifact");
    }
    scene.show(None, &[&[b"junk"]]);
    scene.finds_none("none is its build spec");
}

#[test]
fn case_spec_poisoning_nolayer() {
    let scene = Scene::new();
    scene.show(None, &[&[], &[&scene.genuine()]]);
    scene.finds_the_genuine("artifact");
    scene.show(None, &[&[]]);
    scene.finds_none("has no layer");
}

#[test]
fn case_rebuild_tampered_dockerfile() {
    let scene = Scene::new();
    let tampered = scene.tampered();
    scene.show(None, &[&[&tampered]]);
    scene.finds_none("science/sky/Dockerfile does not match its id");
    scene.show(None, &[&[&tampered], &[&scene.genuine()]]);
    scene.finds_the_genuine("artifact");
    // A changed file of the context, and a file without an id.
    let context = scene.other(|spec| {
        let data = spec.files.get_mut("science/sky/data").expect("it is sent");
        data.contents = Some(Contents::Text("2\n".to_owned()));
    });
    scene.show(None, &[&[&context]]);
    scene.finds_none("science/sky/data does not match its id");
    let without = scene.other(|spec| {
        spec.files.get_mut("science/sky/Dockerfile").expect("a layer has one").id.clear();
    });
    scene.show(None, &[&[&without]]);
    scene.finds_none("science/sky/Dockerfile has the id");
    // The label has the definition only, and the only artifact is forged.
    scene.show(Some(&scene.genuine.clone().definition()), &[&[&tampered]]);
    let run = scene.run(&["rebuild", "--from-spec", "out", "--yes"]).code(7);
    assert!(run.stderr.contains("science/sky/Dockerfile does not match its id"), "{}", run.stderr);
    assert!(run.stdout.is_empty() && !scene.tree.root().join("out").exists(), "{}", run.stdout);
}

/// A spec contains the repo in which layers are looked up, and the exact images that are shown.
/// Another repo is rejected; exact images that the labels do not confirm are not used.
#[test]
fn a_spec_leads_to_no_other_repo_and_vouches_for_no_image() {
    let scene = Scene::new();
    let elsewhere = scene.other(|spec| "evil.example/x".clone_into(&mut spec.repo));
    scene.show(None, &[&[&elsewhere]]);
    scene.finds_none("evil.example/x");
    let exact = |digest: &str| {
        let digest = digest.to_owned();
        scene.other(|spec| {
            spec.resolved.insert(BASE.to_owned(), format!("docker.io/library/debian@{digest}"));
        })
    };
    let (right, wrong) = (digest(b"base"), digest(b"evil"));
    for (given, is_shown) in [(&right, true), (&wrong, false)] {
        let artifact = exact(given);
        scene.show(None, &[&[&artifact]]);
        let told = scene.run(&["inspect", "--spec"]).code(0);
        assert_eq!(told.stdout.contains(given.as_str()), is_shown, "{}", told.stdout);
        assert_eq!(told.stdout.contains("debian:12 was "), is_shown, "{}", told.stdout);
        let plan = scene.run(&["rebuild", "--from-spec", "out", "--dryrun"]).code(0);
        assert!(plan.stdout.contains(&right) && !plan.stdout.contains(&wrong), "{}", plan.stdout);
        std::fs::remove_dir_all(scene.tree.root().join("out")).expect("it is there");
    }
}
