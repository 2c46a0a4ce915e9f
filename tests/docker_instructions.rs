//! Valid and invalid Dockerfiles: which of them the engine's BuildKit accepts, and that `check` and
//! `plan` agree with it.
//!
//! `docker_instructions.tsv` was recorded from BuildKit of Docker 26.1.5 and of 20.10 and from the
//! classic builder of 20.10. [`Check`] explains the words of its second column.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use testbed::command::Program;
use testbed::http;
use testbed::process::unique;
use testbed::proxy::Upstream;
use testbed::tree::Tree;

const TABLE: &str = include_str!("docker_instructions.tsv");

/// Files in every context; each contains its own path.
const FILES: [&str; 4] = ["a", "b", "dir/f", "dir/sub/g"];

const BOUND: Duration = Duration::from_secs(120);

/// Number of concurrent builds.
const JOBS: usize = 8;

/// The expected result of `check` and `plan` for a Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Accepted without an error; warnings are permitted.
    Accepted,
    /// An error: every builder rejects it, or it must not reach a builder.
    Refused,
    /// An error or a warning, because builders interpret it differently.
    Differs,
    /// No error: builders newer than those of the table accept it.
    Newer,
    /// Not specified: the result depends on the base image, or is known only when a command runs.
    Any,
}

struct Row {
    id: &'static str,
    check: Check,
    /// By name of the engine: whether the engine builds it, or `None` if it is not tested there.
    builds: BTreeMap<&'static str, Option<bool>>,
    dockerfile: String,
}

fn rows() -> Vec<Row> {
    TABLE.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

fn row(line: &'static str) -> Row {
    let columns: Vec<_> = line.split('\t').collect();
    let &[id, check, modern, debian, text] = columns.as_slice() else { panic!("five columns: {line}") };
    let check = match check {
        "accepted" => Check::Accepted,
        "refused" => Check::Refused,
        "differs" => Check::Differs,
        "newer" => Check::Newer,
        "any" => Check::Any,
        _ => panic!("{id}: {check}"),
    };
    let builds = |word: &str| match word {
        "ok" => Some(true),
        "no" => Some(false),
        "-" => None,
        _ => panic!("{id}: {word}"),
    };
    let builds = BTreeMap::from([("modern", builds(modern)), ("debian", builds(debian))]);
    Row { id, check, builds, dockerfile: unescaped(text) }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('0') => '\0',
                Some('\\') => '\\',
                other => panic!("no escape of the table: {other:?}"),
            },
            other => other,
        });
    }
    plain
}

/// Returns a tree with a layer for each row, named after the row.
fn tree(rows: &[Row]) -> Tree {
    let mut tree = Tree::new();
    for row in rows {
        let directory = format!("science/{}", row.id);
        tree.write(&format!("{directory}/Dockerfile"), &row.dockerfile);
        for file in FILES {
            tree.write(&format!("{directory}/{file}"), format!("{file}\n"));
        }
        let descriptor = format!("{{\"image\": \"{}\", \"version\": \"1.0\", \"compat\": null}}\n", row.id);
        tree.write(&format!("{directory}/sciserver-image.json"), descriptor);
    }
    tree.commit();
    tree
}

fn image_builder(tree: &Tree) -> Program {
    Program::new(env!("CARGO_BIN_EXE_image-builder"), tree)
}

/// Returns the name of the layer that contains a path.
fn layer(path: &str) -> Option<&str> {
    path.strip_prefix("science/")?.split('/').next()
}

/// Findings that do not concern the syntax of a Dockerfile.
const ABOUT_BASES: [&str; 3] = ["from-unpinned", "from-unversioned", "from-unqualified"];

#[test]
fn check_and_plan_refuse_what_every_builder_refuses() {
    let rows = rows();
    let tree = tree(&rows);
    let checked = image_builder(&tree).args(["check", "--format", "json"]).run(BOUND).expect_code(7);
    let checked: Value = serde_json::from_str(&checked.stdout).expect("JSON");
    let (mut errors, mut told) = (BTreeSet::new(), BTreeSet::new());
    for finding in checked["findings"].as_array().expect("a list") {
        let code = finding["code"].as_str().expect("a code");
        let Some(layer) = finding["file"].as_str().and_then(layer) else { panic!("of no layer: {finding}") };
        if finding["level"] == "error" {
            assert!(finding["line"].is_number() || code == "no-from", "without a place: {finding}");
            errors.insert(layer);
        }
        if !ABOUT_BASES.contains(&code) {
            told.insert(layer);
        }
    }
    let mut wrong = Vec::new();
    for row in &rows {
        let right = match row.check {
            Check::Accepted | Check::Newer => !errors.contains(row.id),
            Check::Refused => errors.contains(row.id),
            Check::Differs => told.contains(row.id),
            Check::Any => true,
        };
        if !right {
            wrong.push(format!("{}: not {:?}: {:?}", row.id, row.check, row.dockerfile));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));

    let planned = image_builder(&tree).args(["plan", "--all"]).run(BOUND).expect_code(2);
    let silent: Vec<_> =
        errors.iter().filter(|layer| !planned.stderr.contains(&format!("science/{layer}/"))).collect();
    assert!(silent.is_empty(), "a plan does not name {silent:?}");

    let good: Vec<_> =
        rows.into_iter().filter(|row| matches!(row.check, Check::Accepted | Check::Newer)).collect();
    let _ = image_builder(&self::tree(&good)).args(["plan", "--all"]).run(BOUND).expect_code(0);
}

#[test]
fn the_engine_accepts_and_refuses_what_the_table_says() {
    let host = std::env::var("IMAGE_BUILDER_TEST_HOST").expect("run by cargo xtask test");
    let engine = std::env::var("IMAGE_BUILDER_TEST_ENGINE").expect("run by cargo xtask test");
    let rows = rows();
    let asked: Vec<_> = rows.iter().filter_map(|row| Some((row, row.builds[engine.as_str()]?))).collect();
    assert!(asked.len() > 450, "{engine} is asked {} rows", asked.len());
    let (left, wrong, made) = (Mutex::new(asked.iter()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let next = left.lock().next();
                    let Some((row, builds)) = next else { break };
                    let built = build(&Upstream::parse(&host), &row.dockerfile);
                    match &built {
                        Ok(image) => made.lock().push(image.clone()),
                        Err(told) => assert!(!told.is_empty(), "{}: no image, and no reason", row.id),
                    }
                    if built.is_ok() != *builds {
                        let line = format!("{}: {built:?}: {:?}", row.id, row.dockerfile);
                        wrong.lock().push(line);
                    }
                }
            });
        }
    });
    for image in made.into_inner() {
        let target = format!("/images/{image}?force=1");
        let _ = http::ask(&Upstream::parse(&host), "DELETE", &target, &[], b"");
    }
    let wrong = wrong.into_inner();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), asked.len(), wrong.join("\n"));
}

/// Sends a context to the engine's BuildKit as the docker client does with a context from its
/// standard input: one request waits for the build, another uploads the files. Returns the image
/// id, or the engine's error.
fn build(engine: &Upstream, dockerfile: &str) -> Result<String, String> {
    let id = format!("instructions-{}", unique());
    let context = context(dockerfile);
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| {
            let target = format!("/build?version=2&buildid=upload-request:{id}");
            http::ask(engine, "POST", &target, &[("Content-Type", "application/x-tar")], &context)
        });
        let target = format!("/build?version=2&remote=upload-request&buildid={id}");
        http::ask(engine, "POST", &target, &[], b"").expect("the engine answers")
    });
    let text = answer.text();
    let said = serde_json::Deserializer::from_str(&text).into_iter::<Value>().filter_map(Result::ok);
    for said in said {
        if let Some(error) = said["error"].as_str().or(said["message"].as_str()) {
            return Err(error.to_owned());
        }
        if said["id"] == "moby.image.id" {
            return Ok(said["aux"]["ID"].as_str().expect("an id").to_owned());
        }
    }
    Err(format!("{} {text}", answer.status))
}

fn context(dockerfile: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, text: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_size(text.len() as u64);
        tar.append_data(&mut header, path, text.as_bytes()).expect("memory takes it");
    };
    add("Dockerfile", dockerfile);
    for file in FILES {
        add(file, &format!("{file}\n"));
    }
    tar.into_inner().expect("memory takes it")
}
