//! Checks that no two modules of a crate import each other in a circle.
//!
//! Reads `crate::` and `super::` paths from the text, without unit tests. A path belongs to the
//! module that is its longest known prefix. Re-exports of a crate's root are not followed.

use std::collections::BTreeMap;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use super::{File, without_tests};

/// A module's path within its crate; empty for the root.
type Module<'a> = Vec<&'a str>;

pub(super) fn findings(files: &[File]) -> Vec<String> {
    let mut crates: BTreeMap<&str, BTreeMap<Module<'_>, &File>> = BTreeMap::new();
    for file in files {
        if let Some((root, module)) = module(&file.path) {
            crates.entry(root).or_default().insert(module, file);
        }
    }
    crates.into_iter().flat_map(|(root, modules)| circles(root, &modules)).collect()
}

/// Returns the crate's directory and the module path of a file, or `None` for tests and for files
/// that are not modules.
fn module(path: &str) -> Option<(&str, Module<'_>)> {
    let (root, rest) =
        path.split_once("/src/").filter(|_| path.starts_with("crates/") || path.starts_with("xtask/"))?;
    let mut module: Module<'_> = rest.strip_suffix(".rs")?.split('/').collect();
    if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
        module.pop();
    }
    (!module.contains(&"tests")).then_some((root, module))
}

fn circles(root: &str, modules: &BTreeMap<Module<'_>, &File>) -> Vec<String> {
    let names: Vec<&Module<'_>> = modules.keys().collect();
    let mut graph: DiGraph<(), ()> = DiGraph::new();
    let nodes: Vec<NodeIndex> = names.iter().map(|_| graph.add_node(())).collect();
    for (from, (module, file)) in modules.iter().enumerate() {
        for path in paths(&file.text, module) {
            let prefixes = (1..=path.len()).rev().map(|length| &path[..length]);
            let known = prefixes.filter_map(|prefix| {
                names
                    .binary_search_by(|name| name.iter().copied().cmp(prefix.iter().map(String::as_str)))
                    .ok()
            });
            if let Some(to) = known.into_iter().next().filter(|to| *to != from) {
                graph.add_edge(nodes[from], nodes[to], ());
            }
        }
    }
    let circles = tarjan_scc(&graph).into_iter().filter(|circle| circle.len() > 1);
    let named = circles.map(|mut circle| {
        circle.sort_unstable();
        let names: Vec<String> = circle.into_iter().map(|node| names[node.index()].join("::")).collect();
        format!("{root}/src: these modules import each other in a circle: {}", names.join(", "))
    });
    named.collect()
}

/// Returns the paths that a module names, relative to the crate's root.
fn paths(text: &str, module: &[&str]) -> Vec<Vec<String>> {
    let lines = without_tests(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut found = Vec::new();
    for (at, start) in text.match_indices("crate::").chain(text.match_indices("super::")) {
        let before = &text[..at];
        let is_part = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':'));
        if is_part || before.ends_with("pub(in ") {
            continue;
        }
        let mut rest = &text[at + start.len()..];
        let mut base: Vec<String> = match start {
            "crate::" => Vec::new(),
            _ => module.iter().take(module.len().saturating_sub(1)).map(|part| (*part).to_owned()).collect(),
        };
        while let Some(above) = rest.strip_prefix("super::") {
            base.pop();
            rest = above;
        }
        tree(rest, &base, &mut found);
    }
    found
}

/// Parses `a::b` or `a::{b, c::d}` below a path. Returns the rest of the text.
fn tree<'a>(text: &'a str, base: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = base.to_vec();
    let mut rest = text.trim_start();
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        if !word.is_empty() && word != "self" {
            path.push(word.to_owned());
        }
        if let Some(mut group) = behind.strip_prefix('{') {
            loop {
                group = group.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
                if group.is_empty() || group.starts_with('}') {
                    return group.get(1..).unwrap_or_default();
                }
                let after = tree(group, &path, found);
                // Skips `as`, `*` and other text after a name.
                let next = after.find([',', '}']).unwrap_or(after.len());
                group = &after[next..];
            }
        }
        match behind.strip_prefix("::") {
            Some(more) => rest = more,
            None => {
                found.push(path);
                return behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn circles_are_named() {
        let check = |a: &str, b: &str| {
            let files = [
                file("crates/x/src/lib.rs", "mod a;\nmod b;\npub use a::A;\n"),
                file("crates/x/src/a/mod.rs", a),
                file("crates/x/src/a/inner.rs", "use super::super::b::B;\n"),
                file("crates/x/src/b.rs", b),
                file("crates/x/src/b/tests.rs", "use crate::a::A;\n"),
            ];
            findings(&files).join("\n")
        };
        for (a, b, expect) in [
            ("use crate::b::B;", "", ""),
            ("use crate::b::B;", "use crate::a::A;", "a, b"),
            ("use crate::b::B;", "fn f() { crate::a::f() }", "a, b"),
            ("use crate::{b::{self, B}, c};", "use super::a::{\n    A,\n    f as g,\n};", "a, b"),
            ("", "use crate::a::{A, inner::{C, D}};", "a::inner, b"),
            ("use crate::b::B;", "// use crate::a::A;\npub(in crate::a) fn f() {}", ""),
            ("use crate::b::B;", "#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}", ""),
            ("use crate::b::B;", "use crate::A;", ""),
            ("use crate::b::B;", "use other_crate::a::A;", ""),
        ] {
            let told = check(a, b);
            let names = told.rsplit(": ").next().unwrap_or_default();
            assert_eq!(names, expect, "{a} {b}");
        }
    }
}
