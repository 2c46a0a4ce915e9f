//! Writes committed bytes to temporary files if the files on disk differ from them, so that the
//! executor can read them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use files::{Access, Dir};
use plan::{BuildId, Context};
use planner::git;
use planner::tree::Tree;
use tempfile::TempDir;

/// Writes the bytes of such files into a temporary directory, and changes the contexts to these
/// paths. The directory is removed when the result is dropped; `None` if all files on disk have the
/// bytes to be sent.
pub(crate) fn stage(
    options: &git::Options,
    tree: &Tree,
    contexts: &mut BTreeMap<BuildId, Context>,
) -> anyhow::Result<Option<TempDir>> {
    let mut directory = None;
    let mut staged = Vec::new();
    git::contents_of_commit(options, tree, contexts, &mut |build, at, bytes| {
        let directory: &TempDir = match &directory {
            Some(directory) => directory,
            None => directory.insert(tempfile::tempdir()?),
        };
        // As deep as in the context, because the sender checks the parent directories.
        let number = staged.len().to_string();
        let mut dir = Dir::open(directory.path(), None)?.make(&number, Access::Private)?;
        let mut path = directory.path().join(&number);
        let name = &contexts[build].entries[at].path;
        let (above, last) = name.rsplit_once('/').unwrap_or(("", name));
        for part in above.split('/').filter(|part| !part.is_empty()) {
            dir = dir.make(part, Access::Private)?;
        }
        dir.replace(last, &bytes, Access::Private)?;
        path.push(name);
        staged.push((build.clone(), at, path));
        Ok(())
    })
    .context("cannot read the contents of a commit from git")?;
    for (build, at, path) in staged {
        if let Some(context) = contexts.get_mut(&build) {
            context.entries[at].source = path;
        }
    }
    Ok(directory)
}
