//! Provides the committed bytes of files whose bytes on disk differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::Oid;
use hashbrown::HashSet;
use plan::{BuildId, Context, Entry, EntryKind, Expect};
use sha2::{Digest as _, Sha256};

use crate::tree::{OnDisk, Tree};

use crate::git::conversion::rules::Rules;
use crate::git::error::SourceError;
use crate::git::history::commit::blob;
use crate::git::options::Options;
use crate::git::repository::{self, Stores};
use crate::git::working_tree::contents::{read, to_git};
use crate::git::working_tree::disk;
use crate::git::working_tree::tracked::{Known, Tracked, tracked};
use crate::git::working_tree::untracked::{self, Additions};

/// Receives the bytes of one entry: the build, the entry's position in its context, the bytes.
pub type Take<'a> = dyn FnMut(&BuildId, usize, Vec<u8>) -> std::io::Result<()> + 'a;

/// Passes the bytes to send for context files whose bytes on disk differ ([`OnDisk::Other`]) to
/// `take`. The bytes are those that the plan expects.
///
/// `tree` is the tree that the contexts were planned from, and `options` are the options that it
/// was read with.
///
/// # Errors
/// [`SourceError`], also if a file changed since then, or if `take` fails.
pub fn contents_of_commit(
    options: &Options,
    tree: &Tree,
    contexts: &BTreeMap<BuildId, Context>,
    take: &mut Take<'_>,
) -> Result<(), SourceError> {
    let wanted = entries(tree, contexts);
    if wanted.is_empty() {
        return Ok(());
    }
    let root = repository::find_root(&options.start)?;
    let (git, top) = repository::open_above(&root)?;
    let additions = Additions::of(options, &root)?;
    let mut stores = Stores::new(&root, git, &top)?;
    let mut listing = crate::git::Listing::default();
    let mut known = tracked(&mut stores, &mut listing)?;
    let more = untracked::find(&stores, &additions, &known.paths, &mut listing)?;
    known.paths.extend(more);
    known.paths.sort_by(|a, b| a.path.cmp(&b.path));
    let mut rules = Rules::new(&stores, &known)?;
    for (build, at, Entry { source, kind, .. }) in wanted {
        let EntryKind::File { expect, .. } = kind else { continue };
        let changed = || SourceError::ChangedWhileReading { path: source.clone() };
        let path = source.strip_prefix(&root).ok().and_then(Path::to_str).ok_or_else(changed)?;
        let tracked = known.paths.binary_search_by(|tracked| tracked.path.as_str().cmp(path));
        let tracked = &known.paths[tracked.map_err(|_| changed())?];
        let rules = rules.of(tracked)?;
        let is_expected = |bytes: &[u8]| match expect {
            Expect::GitBlob(id) => disk::blob_id(bytes).to_string() == *id,
            Expect::Sha256(digest) => disk::hex(&Sha256::digest(bytes)) == *digest,
        };
        let tree = rules.of_tree(tracked);
        let committed = match &tracked.known {
            Some(known) => in_git(tracked, known)?.map(|bytes| tree.to_disk(bytes)),
            None => None,
        };
        let bytes = match committed.filter(|bytes| is_expected(bytes)) {
            Some(bytes) => bytes,
            // The file is not in git yet: convert it as git would.
            None => {
                let machine = rules.of_machine(tracked)?;
                let bytes = tree.to_disk(to_git(&machine, tracked, read(&stores, tracked)?)?);
                if !is_expected(&bytes) {
                    return Err(changed());
                }
                bytes
            }
        };
        take(build, at, bytes).map_err(|error| SourceError::Io { path: source.clone(), cause: error })?;
    }
    Ok(())
}

fn in_git(tracked: &Tracked, known: &Known) -> Result<Option<Vec<u8>>, SourceError> {
    let id: Oid = known.id;
    blob(&tracked.store.repository, id, usize::MAX)
}

/// Returns the entries of contexts whose bytes are not on disk.
fn entries<'a>(
    tree: &Tree,
    contexts: &'a BTreeMap<BuildId, Context>,
) -> Vec<(&'a BuildId, usize, &'a Entry)> {
    let files = tree.layers.iter().flat_map(|layer| layer.files.iter().map(move |file| (layer, file)));
    let others: HashSet<PathBuf> = files
        .filter(|(_, file)| matches!(file.on_disk, Some(OnDisk::Other { .. })))
        .map(|(layer, file)| layer.directory.join(&file.path))
        .collect();
    if others.is_empty() {
        return Vec::new();
    }
    let all = contexts.iter().flat_map(|(build, context)| {
        context.entries.iter().enumerate().map(move |(at, entry)| (build, at, entry))
    });
    all.filter(|(.., entry)| others.contains(&entry.source)).collect()
}
