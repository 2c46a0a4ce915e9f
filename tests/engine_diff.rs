//! `diff` on a real engine and a real registry: both give the same result, and only relevant layers
//! are read.

use serde_json::{Value, json};
use testbed::tree::Tree;

use crate::diff_support::{Repo, layer, program};

mod diff_support;

fn diff(tree: &Tree, from: &str, a: &str, b: &str) -> Value {
    let outcome = program(tree, &["diff", a, b, "--from", from, "--format", "json"]).expect_code(0);
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {}", outcome.said()))
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
    // A recreated directory is opaque in its layer; a removed file and a removed directory are
    // recorded as a whiteout each.
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

    // Only the layer without package records is read, and no shared layers.
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
