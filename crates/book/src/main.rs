//! Builds the documentation as a book: `cargo run -p book` writes `target/book/index.html`.
//!
//! The pages of the book are those of `docs/` and the pages at the root of the repository. They are
//! copied to one directory with the same relative paths, so that links work in the book, in the
//! repository and on the sites that show it. A crate of its own, because mdBook brings many
//! dependencies that no other program needs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use mdbook_driver::MDBook;

/// The pages at the root of the repository that the book includes.
const ROOT_PAGES: [&str; 7] = [
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "RELIABILITY.md",
    "TASKS.md",
];

const CONFIGURATION: &str = r#"[book]
title = "image-builder"
language = "en"
src = "src"

[build]
build-dir = "../book"
create-missing = false
"#;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let (source, output) = (target.join("book-source"), target.join("book"));
    for directory in [&source, &output] {
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot remove {}", directory.display()))?;
        }
    }
    let pages = source.join("src");
    copy(&root.join("docs"), &pages.join("docs"))?;
    for page in ROOT_PAGES {
        fs::copy(root.join(page), pages.join(page)).with_context(|| format!("cannot copy {page}"))?;
    }
    let summary = fs::read_to_string(root.join("docs/SUMMARY.md")).context("docs/SUMMARY.md")?;
    fs::write(pages.join("SUMMARY.md"), at_the_root(&summary))?;
    fs::write(source.join("book.toml"), CONFIGURATION)?;
    let book = MDBook::load(&source).context("mdBook cannot read the book")?;
    book.build().context("mdBook cannot build the book")?;
    ensure!(output.join("index.html").is_file(), "mdBook wrote no index.html");
    println!("the book is in {}", output.join("index.html").display());
    Ok(())
}

/// The table of contents for a directory above: links lose `../` or gain `docs/`.
fn at_the_root(summary: &str) -> String {
    summary.replace("](", "](docs/").replace("](docs/../", "](")
}

/// Copies a directory with everything in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let path = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &path)?;
        } else {
            fs::copy(entry.path(), &path)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_contents_moves_to_the_root() {
        let summary = "# Summary\n\n[image-builder](../README.md)\n\n- [Plans](guides/plans.md)\n";
        let expect = "# Summary\n\n[image-builder](README.md)\n\n- [Plans](docs/guides/plans.md)\n";
        assert_eq!(at_the_root(summary), expect);
    }
}
