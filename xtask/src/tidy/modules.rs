//! Checks that every Rust file is part of a crate: a file without a `mod` is not compiled, and its
//! tests never run.

use std::collections::BTreeSet;

use super::File;

pub(super) fn findings(files: &[File]) -> Vec<String> {
    let known: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut reached = BTreeSet::new();
    let mut next: Vec<String> =
        known.iter().filter(|path| is_root(path)).map(|path| (*path).to_owned()).collect();
    next.extend(files.iter().flat_map(named_targets));
    while let Some(path) = next.pop() {
        if reached.contains(&path) {
            continue;
        }
        if let Some(file) = files.iter().find(|file| file.path == path) {
            let is_root = is_root(&path) || !path.starts_with("crates/") && path.starts_with("tests/");
            next.extend(modules(file, is_root, &known));
        }
        reached.insert(path);
    }
    let ours = |path: &&&str| path.ends_with(".rs") && !path.contains("/snapshots/");
    let lost = known.iter().filter(ours).filter(|path| !reached.contains(**path));
    lost.map(|path| format!("{path}: no crate names this file, so nothing in it is compiled or run"))
        .collect()
}

/// Whether cargo finds the file by itself, as the root of a target.
fn is_root(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    match parts[..] {
        [.., "src", "lib.rs" | "main.rs"] | ["crates", _, "build.rs"] => true,
        // The top-level `tests/` has no manifest, so cargo does not find its files: the manifests
        // list them one by one.
        ["crates", _, "tests" | "benches" | "examples", file] => file.ends_with(".rs"),
        ["crates", _, "tests" | "benches", _, "main.rs"] => true,
        _ => path.ends_with("/src/bin.rs") || path.contains("/src/bin/") && path.ends_with(".rs"),
    }
}

/// Returns the files of `path = "….rs"` in a manifest.
fn named_targets(file: &File) -> Vec<String> {
    let Some(dir) = file.path.strip_suffix("Cargo.toml") else { return Vec::new() };
    let values = file.text.lines().filter_map(|line| line.strip_prefix("path = \"")?.strip_suffix('"'));
    values.filter(|value| value.ends_with(".rs")).map(|value| join(dir, value)).collect()
}

/// Returns the files that the `mod` lines of one file name.
fn modules(file: &File, is_root: bool, known: &BTreeSet<&str>) -> Vec<String> {
    let (dir, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let below = if is_root || stem == "mod" { dir.to_owned() } else { format!("{dir}/{stem}") };
    let mut found = Vec::new();
    let mut written = None;
    for line in file.text.lines().map(str::trim) {
        if let Some(path) = line.strip_prefix("#[path = \"").and_then(|rest| rest.strip_suffix("\"]")) {
            written = Some(join(&format!("{dir}/"), path));
        }
        let Some(name) = module(line) else { continue };
        let usual = [format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")];
        found.extend(written.take().into_iter().chain(usual).filter(|path| known.contains(path.as_str())));
    }
    found
}

/// Parses `mod name;` with any visibility.
fn module(line: &str) -> Option<&str> {
    let (head, name) = line.strip_suffix(';')?.rsplit_once(' ')?;
    let head = head.trim_end();
    (head == "mod" || head.starts_with("pub") && head.ends_with(" mod")).then_some(name)
}

fn join(dir: &str, path: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn a_file_that_nobody_names_is_found() {
        let files = [
            file("crates/a/Cargo.toml", "[[test]]\npath = \"../../tests/named.rs\"\n"),
            file("crates/a/src/lib.rs", "mod one;\npub(crate) mod two;\n"),
            file("crates/a/src/one.rs", "#[cfg(test)]\nmod tests;"),
            file("crates/a/src/one/tests.rs", ""),
            file("crates/a/src/two/mod.rs", ""),
            file("crates/a/src/lost.rs", ""),
            file("crates/a/tests/found.rs", ""),
            file("crates/a/tests/group/main.rs", "mod inner;"),
            file("crates/a/tests/group/inner.rs", ""),
            file("crates/a/tests/group/forgotten.rs", ""),
            file("tests/named.rs", "mod support;"),
            file("tests/support/mod.rs", ""),
            file("tests/unnamed.rs", ""),
        ];
        let lost: Vec<_> =
            findings(&files).into_iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(lost, ["crates/a/src/lost.rs", "crates/a/tests/group/forgotten.rs", "tests/unnamed.rs"]);
    }
}
