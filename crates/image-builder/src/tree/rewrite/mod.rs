//! Applies edits to files of the source tree, each file completely or not at all, and shows them as
//! a diff.
//!
//! All other bytes of a file are preserved: comments, line ends, a byte order mark. So is the
//! file's mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use files::Access;
use plan::Span;
use planner::Edit;
use planner::tree::{SourceFile, Tree};
use similar::{ChangeTag, TextDiff};

use crate::cli::escape::{escape, escape_output};
use crate::cli::exit::CliError;
use crate::report::text::format::Paint;

/// The largest file that is edited; the planner reads no larger ones.
const LARGEST: u64 = 16 << 20;
/// Number of lines around a change that are shown.
const CONTEXT: usize = 2;

/// The changes of one file.
#[derive(Debug)]
pub(crate) struct Change {
    /// The path below the source tree's root.
    pub(crate) file: String,
    before: String,
    after: String,
    /// The replacements, in the order of the text.
    pub(crate) edits: Vec<Replaced>,
}

/// A piece of text that is replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) old: String,
    pub(crate) new: String,
}

/// Applies edits to a text. A duplicate edit counts once.
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

/// Replaces git's texts of these files by those on disk; returns whether any differs. They differ
/// if git converts line ends, and edits are made on disk.
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
    let bytes = files::read(path, LARGEST);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    text.with_context(|| format!("cannot read {}", path.display()))
}

/// The directory below the source tree's root in which changed files are staged until all of them
/// are complete. Git ignores the directory.
const STAGING: [&str; 2] = [".image-builder", "staging"];
/// Time limit for waiting for another process that writes files of this tree.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval of attempts to take the lock.
const TICK: Duration = Duration::from_millis(20);

/// Writes the files: first all of them to the staging directory, outside of every layer, then
/// renames each into its place. An error before the renames leaves everything unchanged. Removes
/// the staged files of a killed process.
///
/// `repository` is the root of the git repository that contains the source tree.
///
/// # Errors
/// If a file cannot be written, or changed since it was read.
pub(crate) fn write(root: &Path, repository: &Path, changes: &[Change]) -> anyhow::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let (staging, _lock) = staging(root, repository)
        .with_context(|| format!("cannot write below {}", root.join(STAGING[0]).display()))?;
    let mut places = Vec::with_capacity(changes.len());
    for change in changes {
        let path = place(root, repository, change)?;
        let failed = || format!("cannot write {}", path.display());
        let (dir, name) = files::Dir::parent_of(&path, Some(repository)).with_context(failed)?;
        places.push((change, path, dir, name));
    }
    let mut staged = Vec::with_capacity(changes.len());
    for (change, path, dir, name) in &places {
        let ready = dir.stage_in(&staging, name, change.after.as_bytes(), Access::Shared);
        staged.push((ready.with_context(|| format!("cannot write {}", path.display()))?, path, name));
    }
    for (file, path, name) in staged {
        file.commit(name).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Returns the empty staging directory, and the lock that excludes other processes.
fn staging(root: &Path, repository: &Path) -> anyhow::Result<(files::Dir, File)> {
    let [home, staging] = STAGING;
    let home = files::Dir::open(root, Some(repository))?.make(home, Access::Shared)?;
    match home.create_new(".gitignore", Access::Shared) {
        Ok(mut file) => file.write_all(b"*\n")?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    let lock = home.open_or_create("staging.lock", Access::Private)?;
    let began = Instant::now();
    while let Err(error) = lock.try_lock() {
        match error {
            TryLockError::WouldBlock if began.elapsed() < PATIENCE => std::thread::sleep(TICK),
            TryLockError::WouldBlock => {
                return Err(CliError::conflict("another process writes files of this source tree")
                    .help("wait until that one has ended, and run it again")
                    .into());
            }
            TryLockError::Error(error) => return Err(error.into()),
        }
    }
    let staging = home.make(staging, Access::Private)?;
    // Only the holder of the lock has files here, so these were left by a killed process.
    for name in staging.names()? {
        // A directory is left alone: this program never creates one here.
        let _ = staging.remove(name);
    }
    Ok((staging, lock))
}

/// Returns the path to write: the file itself, or the target of a link, which must be in the same
/// repository.
fn place(root: &Path, repository: &Path, change: &Change) -> anyhow::Result<PathBuf> {
    let path = root.join(&change.file);
    if read(&path)? != change.before {
        return Err(CliError::environment(format!("{} changed while it was being checked", path.display()))
            .help("run it again")
            .into());
    }
    if !path.symlink_metadata()?.is_symlink() {
        return Ok(path);
    }
    let target = path.canonicalize().with_context(|| format!("cannot open {}", path.display()))?;
    let repository =
        repository.canonicalize().with_context(|| format!("cannot open {}", repository.display()))?;
    if !target.starts_with(&repository) {
        return Err(CliError::usage(format!(
            "{} is a link that leads out of the source tree",
            path.display()
        ))
        .into());
    }
    Ok(target)
}

/// Formats the changes like `diff -u`.
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

/// Formats the changes as lines `file:line: old => new`.
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

/// Groups edits by file.
pub(crate) fn by_file(edits: impl IntoIterator<Item = (String, Edit)>) -> BTreeMap<String, Vec<Edit>> {
    let mut files: BTreeMap<String, Vec<Edit>> = BTreeMap::new();
    for (file, edit) in edits {
        files.entry(file).or_default().push(edit);
    }
    files
}

#[cfg(test)]
mod tests;
