//! What git holds of files, by the ids of their contents.

use std::collections::BTreeMap;
use std::path::Path;

use git2::Oid;

use super::SourceError;
use super::commit::blob;
use super::repository;

/// Reads contents by id. What is not in the source tree's own repository (a submodule's file), or larger than `limit`
/// bytes, is left out.
///
/// # Errors
/// [`SourceError`], when the repository cannot be opened.
pub fn blobs<'a>(
    root: &Path,
    ids: impl IntoIterator<Item = &'a str>,
    limit: usize,
) -> Result<BTreeMap<String, Vec<u8>>, SourceError> {
    let (git, _) = repository::open_above(root)?;
    let mut found = BTreeMap::new();
    for id in ids {
        let read = Oid::from_str(id).ok().and_then(|id| blob(&git, id, limit).ok().flatten());
        if let Some(bytes) = read {
            found.insert(id.to_owned(), bytes);
        }
    }
    Ok(found)
}
