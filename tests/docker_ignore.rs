//! `.dockerignore`, end to end: image-builder puts the same files into an image as `docker buildx
//! build`.
//!
//! `docker_ignore.tsv` was recorded with buildx 0.13.1 and the engine of Docker 26.1.5. The rules
//! themselves are tested with a longer table beside `planner::dockerignore`; here one image is
//! built for each line.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;
use testbed::command::Program;
use testbed::http;
use testbed::process::unique;
use testbed::proxy::Upstream;
use testbed::tree::Tree;

const TABLE: &str = include_str!("docker_ignore.tsv");

/// Files in every context, besides `Dockerfile` and `.dockerignore`.
const FILES: [&str; 35] = [
    "!bang",
    "#hash",
    ".env",
    "README.md",
    "[odd]",
    "a.txt",
    "b.md",
    "back\\slash",
    "bar/baz.txt",
    "bar/deep/er/x.md",
    "bar/deep/foo",
    "bar/foo",
    "docker/app/conf",
    "docker/app/other",
    "docker/conf",
    "docker/web/conf",
    "docs/README.md",
    "docs/a.md",
    "docs/b/c.md",
    "foo",
    "foobar",
    "node_modules/p/index.js",
    "pkg/inner/data.csv",
    "pkg/inner/n.py",
    "pkg/m.py",
    "src/.hidden",
    "src/main.rs",
    "src/main.rs.bak",
    "star*name",
    "sub/node_modules/q.js",
    "tests/data/d.csv",
    "tests/t.py",
    "top.py",
    "x y.txt",
    "é.txt",
];

const LINKS: [(&str, &str); 4] =
    [("dangling", "nowhere"), ("flink", "foo"), ("link", "bar"), ("pkg/dlink", "../docs")];

const DOCKERFILE: &str = "FROM scratch\nCOPY . /ctx/\n";

const BOUND: Duration = Duration::from_secs(180);

struct Row {
    patterns: String,
    /// The files of [`all`] that must be in the image.
    sent: BTreeSet<String>,
}

fn all() -> BTreeSet<String> {
    let names =
        FILES.iter().chain(LINKS.iter().map(|(name, _)| name)).chain(&["Dockerfile", ".dockerignore"]);
    names.map(|name| (*name).to_owned()).collect()
}

fn rows() -> Vec<Row> {
    TABLE.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

fn row(line: &str) -> Row {
    let columns: Vec<_> = line.split('\t').collect();
    let &[patterns, sign, names] = columns.as_slice() else { panic!("three columns: {line}") };
    let named: BTreeSet<_> = names.split('|').filter(|name| !name.is_empty()).map(unescaped).collect();
    let unknown: Vec<_> = named.difference(&all()).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let sent = match sign {
        "+" => named,
        "-" => all().difference(&named).cloned().collect(),
        _ => panic!("{line}"),
    };
    Row { patterns: unescaped(patterns), sent }
}

fn unescaped(text: &str) -> String {
    text.replace("\\\\", "\0").replace("\\n", "\n").replace("\\r", "\r").replace('\0', "\\")
}

/// Returns a tree with a layer for each row: `case-1` and so on.
fn tree(rows: &[Row]) -> Tree {
    let mut tree = Tree::new();
    for (number, row) in (1..).zip(rows) {
        let at = |name: &str| format!("science/case-{number}/{name}");
        for file in FILES {
            tree.write(&at(file), format!("{file}\n"));
        }
        for (name, target) in LINKS {
            tree.link(&at(name), target);
        }
        tree.write(&at("Dockerfile"), DOCKERFILE);
        tree.write(&at(".dockerignore"), &row.patterns);
        let descriptor =
            format!("{{\"image\": \"case-{number}\", \"version\": \"1.0\", \"compat\": null}}\n");
        tree.write(&at("sciserver-image.json"), descriptor);
    }
    tree.commit();
    tree
}

#[test]
fn case_dockerignore_wildcard_exceptions() {
    let host = std::env::var("IMAGE_BUILDER_TEST_HOST").expect("run by cargo xtask test");
    let engine = Upstream::parse(&host);
    let rows = rows();
    assert!(rows.len() > 50, "{}", rows.len());
    let tree = tree(&rows);
    let repo = format!("ignore.invalid/{}", unique());
    let _ = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree)
        .args(["--all", "--jobs", "8", "--repo", &repo])
        .run(BOUND)
        .expect_code(0);

    let made = testbed::engine::images(&host).into_iter().filter(|name| name.starts_with(&repo));
    let made: Vec<_> = made.collect();
    let mut wrong = Vec::new();
    for (number, row) in (1..).zip(&rows) {
        let files = files(&engine, &format!("{repo}/sci/case-{number}:1.0"));
        let sent: BTreeSet<_> = files.intersection(&all()).cloned().collect();
        if sent != row.sent {
            let more: Vec<_> = sent.difference(&row.sent).collect();
            let less: Vec<_> = row.sent.difference(&sent).collect();
            wrong.push(format!("{:?}: too many: {more:?}, missing: {less:?}", row.patterns));
        }
    }
    for image in made {
        let _ = http::ask(&engine, "DELETE", &format!("/images/{image}?force=1"), &[], b"");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Returns the paths below `/ctx` in an image, without directories.
fn files(engine: &Upstream, image: &str) -> BTreeSet<String> {
    let saved =
        http::ask(engine, "GET", &format!("/images/{image}/get"), &[], b"").expect("the engine answers");
    assert_eq!(saved.status, 200, "{image}: {}", saved.text());
    let manifest: Value = serde_json::from_slice(&member(&saved.body, "manifest.json")).expect("JSON");
    let mut files = BTreeSet::new();
    for layer in manifest[0]["Layers"].as_array().expect("a list") {
        let layer = member(&saved.body, layer.as_str().expect("a path"));
        let mut layer = tar::Archive::new(layer.as_slice());
        for entry in layer.entries().expect("a tar") {
            let entry = entry.expect("a whole tar");
            let path = entry.path().expect("a path").to_string_lossy().into_owned();
            if let Some(path) = path.strip_prefix("ctx/")
                && !entry.header().entry_type().is_dir()
            {
                files.insert(path.to_owned());
            }
        }
    }
    files
}

/// Returns the contents of a file in a tar.
fn member(tar: &[u8], wanted: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a whole tar");
        if entry.path().is_ok_and(|path| path.as_os_str() == wanted) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("memory");
            return bytes;
        }
    }
    panic!("{wanted} is not in it")
}
