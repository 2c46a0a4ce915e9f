//! Checks the relative links of Markdown pages: the file exists, and the heading too.

use std::collections::{BTreeMap, BTreeSet};

use super::File;

pub(super) fn findings(files: &[File]) -> Vec<String> {
    let mut paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for file in files {
        // Links may name directories.
        paths.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    let pages: Vec<&File> = files.iter().filter(|file| file.path.ends_with(".md")).collect();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.as_str(), anchors(&page.text))).collect();
    let mut findings = Vec::new();
    for page in &pages {
        for (line, target) in links(&page.text) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { Some(page.path.clone()) } else { resolve(&page.path, path) };
            let known = file.as_deref().filter(|file| paths.contains(file));
            let Some(file) = known else {
                findings.push(format!("{}:{line}: {target}: there is no such file", page.path));
                continue;
            };
            if !anchor.is_empty() && anchors.get(file).is_some_and(|anchors| !anchors.contains(anchor)) {
                findings.push(format!("{}:{line}: {target}: there is no such heading", page.path));
            }
        }
    }
    findings
}

/// The lines of a page outside of code blocks, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            return None;
        }
        (!is_code && !line.starts_with("    ")).then_some((number + 1, line))
    })
}

/// The targets of relative links, `[text](target)` outside of code spans.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let without_code: String =
            line.split('`').enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, part)| part).collect();
        for (at, _) in without_code.match_indices("](") {
            let rest = &without_code[at + 2..];
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            if !target.contains(':') && !target.is_empty() {
                found.push((number, target.to_owned()));
            }
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.trim())
    });
    let anchor = |title: &str| -> String {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

/// The path that a link of a page leads to; `None` outside of the repository.
fn resolve(page: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::file;

    #[test]
    fn links_lead_to_files_and_headings() {
        let files = [
            file(
                "docs/a/one.md",
                "# One\n\n## A `code` word\n\n[x](../two.md#two) [y](#a-code-word) [z](../../src)\n",
            ),
            file(
                "docs/two.md",
                "# Two\n\n[x](a/none.md) [y](a/one.md#none)\n`[no](link)`\n\n    [no](link)\n",
            ),
            file("docs/three.md", "[out](../../x.md) [w](https://example.org/x.md)\n```\n[no](link)\n```\n"),
            file("src/main.rs", ""),
        ];
        assert_eq!(
            findings(&files),
            [
                "docs/two.md:3: a/none.md: there is no such file",
                "docs/two.md:3: a/one.md#none: there is no such heading",
                "docs/three.md:1: ../../x.md: there is no such file",
            ]
        );
    }
}
