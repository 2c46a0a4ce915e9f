//! `diff`, on a real engine and a real registry: both tell the same, only layers that matter are read, and little memory is used.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::command::{Outcome, Program};
use testbed::proxy::Upstream;
use testbed::scale::{quick_or_long, record};
use testbed::tree::{BASE, Tree};

const BOUND: Duration = Duration::from_secs(300);

/// A repo of our own, whose images leave the engine with it.
struct Repo {
    name: String,
    images: Vec<String>,
}

impl Repo {
    fn new(name: &str) -> Self {
        let registry = std::env::var("IMAGE_BUILDER_TEST_REGISTRY").expect("run by cargo xtask test");
        Self { name: format!("{registry}/{name}-{}", testbed::process::unique()), images: Vec::new() }
    }

    /// Builds what the tree holds now, and pushes it; returns the build tag of `sci/a`.
    fn build(&mut self, tree: &Tree, flags: &[&str]) -> String {
        let planned = program(tree, &["plan", "--all", "--format", "json", "--repo", &self.name]);
        let plan: Value = serde_json::from_str(&planned.expect_code(0).stdout).expect("a plan is JSON");
        let tags = &plan["builds"][0]["tags"];
        self.images
            .extend(tags.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        program(tree, &[&["--all", "--repo", &self.name][..], flags].concat()).expect_code(0);
        tags[0].as_str().expect("a build has tags").to_owned()
    }
}

impl Drop for Repo {
    fn drop(&mut self) {
        let Ok(host) = std::env::var("IMAGE_BUILDER_TEST_HOST") else { return };
        for image in &self.images {
            let target = format!("/images/{image}?force=1");
            let _ = testbed::http::ask(&Upstream::parse(&host), "DELETE", &target, &[], b"");
        }
    }
}

fn program(tree: &Tree, arguments: &[&str]) -> Outcome {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree).args(arguments).run(BOUND)
}

fn diff(tree: &Tree, from: &str, a: &str, b: &str) -> Value {
    let outcome = program(tree, &["diff", a, b, "--from", from, "--format", "json"]).expect_code(0);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.said()))
}

/// One layer `a` with this Dockerfile below its base.
fn layer(dockerfile: &str) -> String {
    format!(
        "//- /science/a/Dockerfile\nFROM {BASE}\n{dockerfile}\n\
         //- /science/a/sciserver-image.json\n{{\"image\": \"a\", \"version\": \"1.0\"}}\n"
    )
}

#[test]
fn engine_and_registry_tell_the_same_and_only_what_matters_is_read() {
    let first = "\
RUN mkdir -p /var/lib/dpkg /opt/v/lib/python3/site-packages/numpy-1.26.4.dist-info /opt/conda/conda-meta /opt/old/conda-meta \\
 && printf 'Package: libc6\\nStatus: install ok installed\\nVersion: 2.36-9\\n\\nPackage: wget\\nVersion: 1.21\\n' \\
    > /var/lib/dpkg/status \\
 && printf 'Name: NumPy\\nVersion: 1.26.4\\n' > /opt/v/lib/python3/site-packages/numpy-1.26.4.dist-info/METADATA \\
 && echo '{\"name\": \"astropy\", \"version\": \"6.0.0\", \"build\": \"py311_0\"}' > /opt/conda/conda-meta/astropy.json \\
 && echo '{\"name\": \"old\", \"version\": \"1\"}' > /opt/old/conda-meta/old.json
ENV PLACE=first";
    // A directory that is made anew is opaque, a file and a directory that are gone leave a mark each.
    let second = format!(
        "{first}
RUN printf 'Package: libc6\\nVersion: 2.36-10\\n\\nPackage: curl\\nVersion: 7.88\\n' > /var/lib/dpkg/status \\
 && rm -r /opt/v/lib/python3/site-packages/numpy-1.26.4.dist-info \\
 && mkdir -p /opt/v/lib/python3/site-packages/numpy-2.0.0.dist-info \\
 && printf 'Name: numpy\\nVersion: 2.0.0\\n' > /opt/v/lib/python3/site-packages/numpy-2.0.0.dist-info/METADATA \\
 && rm -r /opt/old && mkdir -p /opt/old/conda-meta \\
 && echo '{{\"name\": \"new\", \"version\": \"1\"}}' > /opt/old/conda-meta/new.json
ENV PLACE=second
EXPOSE 8888
STOPSIGNAL SIGINT"
    );
    let third = format!("{second}\nRUN echo a script > /opt/script.sh");
    let mut repo = Repo::new("diff");
    let mut tree = Tree::of(&layer(first));
    let mut names = vec![repo.build(&tree, &["--push"])];
    for dockerfile in [second, third] {
        tree.write_all(&layer(&dockerfile));
        tree.commit();
        names.push(repo.build(&tree, &["--push"]));
    }

    let packages = json!([
        {"ecosystem": "dpkg", "name": "curl", "from": [], "to": ["7.88"]},
        {"ecosystem": "dpkg", "name": "libc6", "from": ["2.36-9"], "to": ["2.36-10"]},
        {"ecosystem": "dpkg", "name": "wget", "from": ["1.21"], "to": []},
        {"ecosystem": "python", "place": "opt/v/lib/python3/site-packages", "name": "numpy", "from": ["1.26.4"], "to": ["2.0.0"]},
        {"ecosystem": "conda", "place": "opt/old", "name": "new", "from": [], "to": ["1"]},
        {"ecosystem": "conda", "place": "opt/old", "name": "old", "from": ["1"], "to": []},
    ]);
    for from in ["engine", "registry"] {
        let document = diff(&tree, from, &names[0], &names[1]);
        assert_eq!(document["packages"], packages, "{from}");
        let settings: Vec<&Value> = document["settings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["kind"] != "label")
            .collect();
        let expect = json!([
            {"kind": "environment", "name": "PLACE", "from": "first", "to": "second"},
            {"kind": "port", "name": "8888/tcp", "from": null, "to": ""},
            {"kind": "stop-signal", "name": null, "from": null, "to": "SIGINT"},
        ]);
        assert_eq!(json!(settings), expect, "{from}");
        assert_eq!(document["unread"], json!([]));
        let layers = document["b"]["layers"].as_array().expect("a list");
        let made_by = layers.last().expect("layers")["made_by"].as_str().expect("what made it is told");
        assert!(made_by.contains("Version: 2.36-10"), "{from}: {made_by}");
    }

    // A layer that says nothing of packages is read alone, and what is the same on both sides not at all.
    let script = diff(&tree, "registry", &names[1], &names[2]);
    assert_eq!((&script["packages"], &script["read"]["registry_layers"]), (&json!([]), &json!(1)));
    assert_eq!(script["read"]["engine_bytes"], json!(0));
    let same = diff(&tree, "registry", &names[2], &format!("{}/sci/a:1.0", repo.name));
    assert_eq!((&same["packages"], &same["read"]["registry_layers"]), (&json!([]), &json!(0)));

    for (a, b, code) in [(&names[0], &names[1], 7), (&names[1], &names[2], 0)] {
        let checked = program(&tree, &["diff", "--check", "--from", "registry", a, b]).expect_code(code);
        assert!(checked.stdout.contains("\npackages: "), "{}", checked.said());
    }
    let missing = program(&tree, &["diff", &names[0], &format!("{}/sci/a:9", repo.name)]).expect_code(5);
    assert!(missing.stderr.contains("sci/a:9 is neither on the engine nor in"), "{}", missing.stderr);
}

/// The peak of a running process's resident memory, in bytes; zero when it is over.
fn peak(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024
}

#[test]
fn two_large_images_are_compared_in_little_memory() {
    // About 45 MB are used whatever the size: who held one layer of either would use more than is left.
    let (megabytes, limit) = quick_or_long((48, 72 << 20), (500, 100 << 20));
    let dockerfile = |version: u32| {
        format!(
            "RUN mkdir -p /var/lib/dpkg && dd if=/dev/urandom of=/big bs=1M count={megabytes} \\
 && printf 'Package: big\\nVersion: {version}\\n' > /var/lib/dpkg/status"
        )
    };
    let mut repo = Repo::new("large");
    let mut tree = Tree::of(&layer(&dockerfile(1)));
    let a = repo.build(&tree, &["--push"]);
    tree.write_all(&layer(&dockerfile(2)));
    tree.commit();
    let b = repo.build(&tree, &["--push"]);
    let mut figures = json!({"megabytes_each": megabytes});
    for (from, field) in [("engine", "engine_bytes"), ("registry", "registry_bytes")] {
        let mut running = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree)
            .args(["diff", &a, &b, "--from", from, "--format", "json"])
            .spawn();
        let mut most = 0;
        while running.lives() {
            most = most.max(peak(running.id()));
            std::thread::sleep(Duration::from_millis(2));
        }
        let outcome = running.wait(BOUND).expect_code(0);
        let document: Value = serde_json::from_str(&outcome.stdout).expect("a document");
        assert_eq!(
            document["packages"],
            json!([{"ecosystem": "dpkg", "name": "big", "from": ["1"], "to": ["2"]}]),
            "{from}"
        );
        let read = document["read"][field].as_u64().expect("a number");
        assert!(read >= (2 * megabytes) << 20, "{from} gave only {read} bytes");
        assert!(most > 0 && most < limit, "{from}: {most} bytes of memory");
        figures[from] =
            json!({"bytes_read": read, "peak_bytes": most, "seconds": outcome.took.as_secs_f64()});
    }
    eprintln!("{figures:#}");
    record("diff", &figures);
}
