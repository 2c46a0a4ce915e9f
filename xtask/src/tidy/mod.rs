//! Checks rules that no compiler checks, on the text of the files. Pure, except for [`read`], which
//! reads the files.

mod circles;
mod edges;
mod links;
mod modules;
mod promises;
mod text;

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{place, process};

/// One file of the repository, with the contents that git would commit.
pub(crate) struct File {
    /// Path from the root, with `/`.
    pub(crate) path: String,
    /// Contents of the file.
    pub(crate) text: String,
}

/// Reads every text file that git tracks or that the next `git add` would add.
pub(crate) fn read() -> Result<Vec<File>> {
    let root = place::workspace();
    let mut git = Command::new("git");
    git.arg("-C").arg(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = process::read(&mut git).context("the house's rules are checked over a git repository")?;
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // No rule applies to files that are deleted but not yet committed, to links, and to files
        // that are not text.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}

/// Returns all violations of the rules, one line each.
pub(crate) fn findings(files: &[File], workspace: &str) -> Vec<String> {
    let mut findings = edges::findings(files);
    findings.extend(circles::findings(files));
    findings.extend(links::findings(files));
    findings.extend(modules::findings(files));
    findings.extend(promises::findings(files));
    findings.extend(text::findings(files, workspace));
    findings
}

/// Returns the part of a file before its unit tests.
fn without_tests(text: &str) -> &str {
    let ends = ["#[cfg(test)]\nmod ", "#[cfg(test)]\npub(crate) mod "].map(|begin| text.find(begin));
    ends.into_iter().flatten().min().map_or(text, |at| &text[..at])
}

#[cfg(test)]
fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_keeps_its_own_rules() {
        let findings = findings(&read().unwrap(), &place::workspace().display().to_string());
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
