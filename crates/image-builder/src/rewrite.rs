//! Edits → files of the source tree, changed whole or not at all, and shown before that as a diff.
//!
//! What an edit leaves alone stays as it is to the byte: comments, line ends, a byte order mark, the file's mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use plan::Span;
use planner::Edit;
use planner::tree::{SourceFile, Tree};
use similar::{ChangeTag, TextDiff};
use tempfile::NamedTempFile;

use crate::escape::{escape, escape_output};
use crate::exit::Stop;
use crate::report::words::Paint;

/// How many lines around a change are shown.
const CONTEXT: usize = 2;

/// A file that is to change.
#[derive(Debug)]
pub(crate) struct Change {
    /// Below the source tree's root.
    pub(crate) file: String,
    before: String,
    after: String,
    /// What is replaced, in the order of the text.
    pub(crate) edits: Vec<Replaced>,
}

/// One piece of text that is replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// The change that edits make to a text. An edit that stands there twice counts once.
pub(crate) fn change(file: &str, text: &str, edits: impl IntoIterator<Item = Edit>) -> Change {
    let edits: BTreeSet<Edit> = edits.into_iter().collect();
    let replaced = |edit: &Edit| Replaced {
        line: text[..edit.span.start].matches('\n').count() + 1,
        old: text[edit.span.start..edit.span.end].to_owned(),
        new: edit.text.clone(),
    };
    let replacements: Vec<(Span, String)> = edits.iter().map(|edit| (edit.span, edit.text.clone())).collect();
    Change {
        file: file.to_owned(),
        before: text.to_owned(),
        after: planner::dockerfile::rewrite(text, &replacements),
        edits: edits.iter().map(replaced).collect(),
    }
}

/// Puts the texts that lie on disk in the place of those that git would have, for these files; says whether any differs.
/// They do where git converts line ends, and edits are made on disk.
pub(crate) fn take_from_disk(tree: &mut Tree, root: &Path, files: &BTreeSet<String>) -> anyhow::Result<bool> {
    let mut differ = false;
    for layer in &mut tree.layers {
        let names = [Some(&layer.descriptor), layer.dockerfile.as_ref()];
        let wanted = |file: &&Arc<SourceFile>| files.contains(&file.path);
        if !names.into_iter().flatten().any(|file| wanted(&file)) {
            continue;
        }
        let layer = Arc::make_mut(layer);
        for file in [Some(&mut layer.descriptor), layer.dockerfile.as_mut()].into_iter().flatten() {
            if !files.contains(&file.path) {
                continue;
            }
            let text = read(&root.join(&file.path))?;
            differ |= text != file.text;
            Arc::make_mut(file).text = text;
        }
    }
    Ok(differ)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes the files: all of them first beside their places, then each into its place at once. Until then, what goes wrong
/// leaves everything as it was.
///
/// # Errors
/// When a file cannot be written, or changed while it was being judged.
pub(crate) fn write(root: &Path, changes: &[Change]) -> anyhow::Result<()> {
    let mut staged: Vec<(NamedTempFile, PathBuf)> = Vec::with_capacity(changes.len());
    for change in changes {
        let path = root.join(&change.file);
        let ready = stage(&path, change).with_context(|| format!("cannot write {}", path.display()))?;
        staged.push((ready, path));
    }
    for (file, path) in staged {
        file.persist(&path)
            .map_err(|error| error.error)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn stage(path: &Path, change: &Change) -> anyhow::Result<NamedTempFile> {
    if read(path)? != change.before {
        return Err(Stop::environment(format!("{} changed while it was being checked", path.display()))
            .help("run it again")
            .into());
    }
    let there = path.symlink_metadata()?;
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".image-builder-")
        .permissions(there.permissions())
        .tempfile_in(directory)?;
    file.write_all(change.after.as_bytes())?;
    // The umask took a part of that away.
    file.as_file().set_permissions(there.permissions())?;
    let here = file.as_file().metadata()?;
    if (here.uid(), here.gid()) != (there.uid(), there.gid()) {
        // Only a privileged user can, and only that one has to.
        let _ = std::os::unix::fs::fchown(file.as_file(), Some(there.uid()), Some(there.gid()));
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// What would change, as `diff -u` writes it.
pub(crate) fn diff(changes: &[Change], paint: Paint) -> String {
    let mut out = String::new();
    for Change { file, before, after, .. } in changes {
        let file = escape(file);
        out.push_str(&format!(
            "{}\n{}\n",
            paint.bold(&format!("--- a/{file}")),
            paint.bold(&format!("+++ b/{file}"))
        ));
        let diff = TextDiff::from_lines(before, after);
        for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
            out.push_str(&format!("{}\n", paint.dim(&hunk.header().to_string())));
            for line in hunk.iter_changes() {
                let text = escape_output(line.value());
                out.push_str(&match line.tag() {
                    ChangeTag::Equal => format!(" {text}\n"),
                    ChangeTag::Delete => format!("{}\n", paint.red(&format!("-{text}"))),
                    ChangeTag::Insert => format!("{}\n", paint.green(&format!("+{text}"))),
                });
            }
        }
    }
    out
}

/// What changes, place by place: `file:line: old => new`.
pub(crate) fn list(changes: &[Change]) -> String {
    let mut out = String::new();
    for change in changes {
        for Replaced { line, old, new } in &change.edits {
            let (file, old, new) = (escape(&change.file), escape(old), escape(new));
            out.push_str(&format!("{file}:{line}: {old} => {new}\n"));
        }
    }
    out
}

/// Edits by file.
pub(crate) fn by_file(edits: impl IntoIterator<Item = (String, Edit)>) -> BTreeMap<String, Vec<Edit>> {
    let mut files: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
    for (file, edit) in edits {
        files.entry(file).or_default().push(edit);
    }
    files
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
