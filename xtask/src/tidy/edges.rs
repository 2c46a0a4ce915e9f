//! Checks the permitted imports: between crates, and in the planner between pure modules and I/O
//! modules.

use super::{File, without_tests};

/// The crates of this workspace, each with those that it may depend on.
const ALLOWED: [(&str, &[&str]); 12] = [
    ("plan", &[]),
    ("planner", &["plan"]),
    ("files", &[]),
    ("registry", &["plan", "files"]),
    ("image-contents", &[]),
    ("executor", &["plan", "files", "registry", "image-contents"]),
    // For tests only: every crate may have it as a dev-dependency, none as a dependency.
    ("testbed", &["plan"]),
    ("image-builder", &["plan", "files", "planner", "registry", "executor", "image-contents"]),
    ("xtask", &[]),
    ("book", &[]),
    ("fuzzing", &["plan", "planner", "executor", "image-contents", "registry"]),
    ("image-builder-fuzz", &["fuzzing"]),
];

/// Names of I/O that the pure part of the planner must not contain.
const OUTSIDE: [&str; 15] = [
    "std::fs",
    "std::env",
    "std::process",
    "TcpStream",
    "UdpSocket",
    "std::os::unix",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "git2",
    "walkdir",
    "crate::git",
    "super::git",
    "println!",
    "eprintln!",
];

/// The one pure file that may use threads: it runs work that itself does not use threads.
const THREADS: (&str, &str) = ("crates/planner/src/parallel.rs", "std::thread");

pub(super) fn findings(files: &[File]) -> Vec<String> {
    let manifests =
        files.iter().filter(|file| file.path.ends_with("Cargo.toml") && file.path != "Cargo.toml");
    let mut findings: Vec<_> = manifests.flat_map(crate_edges).collect();
    findings.extend(files.iter().filter(|file| is_pure(&file.path)).flat_map(outside));
    findings
}

fn crate_edges(file: &File) -> Vec<String> {
    let name = field(&file.text, "name").unwrap_or_default();
    let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "{}: the crate {name:?} is not in the picture of who may import whom",
            file.path
        )];
    };
    let mut findings = Vec::new();
    let mut section = "";
    for (number, line) in file.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']', ' ']);
            continue;
        }
        let dependency = line.split(['.', '=', ' ']).next().unwrap_or_default();
        let ours = ALLOWED.iter().any(|(known, _)| *known == dependency);
        if section == "dependencies" && ours && !allowed.contains(&dependency) {
            findings.push(format!("{}:{}: {name} must not depend on {dependency}", file.path, number + 1));
        }
    }
    findings
}

fn field<'a>(manifest: &'a str, name: &str) -> Option<&'a str> {
    let value = manifest.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='))?;
    Some(value.trim().trim_matches('"'))
}

fn is_pure(path: &str) -> bool {
    let planner = path.strip_prefix("crates/planner/src/").is_some_and(|rest| !rest.starts_with("git/"));
    (planner || path.starts_with("crates/plan/src/")) && path.ends_with(".rs") && !path.ends_with("tests.rs")
}

fn outside(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in without_tests(&file.text).lines().enumerate() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let is_meant = |name: &str| THREADS == (file.path.as_str(), name);
        for name in OUTSIDE.iter().filter(|name| line.contains(**name) && !is_meant(name)) {
            findings.push(format!(
                "{}:{}: {name} in the pure part; only `git` does I/O",
                file.path,
                number + 1
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    fn check(path: &str, text: &str) -> String {
        findings(&[file(path, text)]).join("\n")
    }

    #[test]
    fn a_crate_may_depend_only_on_those_below_it() {
        let manifest =
            |dependency: &str| format!("[package]\nname = \"registry\"\n[dependencies]\n{dependency}\n");
        assert_eq!(
            check("crates/registry/Cargo.toml", &manifest("plan.workspace = true\nserde = \"1\"")),
            ""
        );
        assert_eq!(
            check("crates/registry/Cargo.toml", &manifest("planner = { path = \"../planner\" }")),
            "crates/registry/Cargo.toml:4: registry must not depend on planner"
        );
        let tests_only = "[package]\nname = \"registry\"\n[dev-dependencies]\nplanner.workspace = true\n";
        assert_eq!(check("crates/registry/Cargo.toml", tests_only), "");
        let testbed =
            |section: &str| manifest("").replace("dependencies", section) + "testbed.workspace = true\n";
        assert_eq!(check("crates/registry/Cargo.toml", &testbed("dev-dependencies")), "");
        assert!(
            check("crates/registry/Cargo.toml", &testbed("dependencies"))
                .contains("must not depend on testbed")
        );
        assert!(check("crates/new/Cargo.toml", "[package]\nname = \"new\"").contains("not in the picture"));
    }

    #[test]
    fn only_git_does_io() {
        assert!(
            check("crates/planner/src/tree/graph.rs", "use std::fs;\n")
                .starts_with("crates/planner/src/tree/graph.rs:1: std::fs")
        );
        assert!(check("crates/planner/src/tree/graph.rs", "use crate::git::Tree;").contains("crate::git"));
        assert_eq!(check("crates/planner/src/git/working_tree/disk.rs", "use std::fs;\n"), "");
        assert_eq!(check("crates/planner/src/parallel.rs", "std::thread::sleep"), "");
        assert!(check("crates/planner/src/parallel.rs", "use std::fs;").contains("std::fs"));
        assert!(check("crates/planner/src/tree/graph.rs", "std::thread::sleep").contains("std::thread"));
        assert_eq!(
            check(
                "crates/planner/src/tree/graph.rs",
                "// std::fs is for git\n#[cfg(test)]\nmod tests { use std::fs; }"
            ),
            ""
        );
    }
}
