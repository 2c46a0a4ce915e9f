//! Reads the contents of files from git by blob id.

use std::collections::BTreeMap;
use std::path::Path;

use git2::Oid;

use crate::tree::BlobId;

use crate::git::error::SourceError;
use crate::git::history::commit::blob;
use crate::git::repository;

/// Reads contents by id. Leaves out contents that are not in the source tree's own repository
/// (files of a submodule) or are larger than `limit` bytes.
///
/// # Errors
/// [`SourceError`], if the repository cannot be opened.
pub fn blobs(
    root: &Path,
    ids: impl IntoIterator<Item = BlobId>,
    limit: usize,
) -> Result<BTreeMap<BlobId, Vec<u8>>, SourceError> {
    let (git, _) = repository::open_above(root)?;
    let mut found = BTreeMap::new();
    for id in ids {
        let read = Oid::from_bytes(id.as_bytes()).ok().and_then(|id| blob(&git, id, limit).ok().flatten());
        if let Some(bytes) = read {
            found.insert(id, bytes);
        }
    }
    Ok(found)
}
