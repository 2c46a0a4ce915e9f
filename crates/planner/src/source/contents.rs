//! What the contents of a file on disk are to git: the id of their blob, and what the disk must hold when they are
//! sent. A file is read no more than is needed to tell.

use git2::Oid;

use crate::Problem;
use crate::tree::OnDisk;

use super::SourceError;
use super::commit::blob;
use super::conversion::{Conversion, Pointer};
use super::disk;
use super::layers::is_text;
use super::listing::Listing;
use super::look::FoundFile;
use super::repository::Stores;
use super::rules::RepositoryRules;
use super::tracked::{Known, Tracked};

/// What a file on disk is in git.
pub(super) struct Contents {
    pub(super) id: Oid,
    pub(super) on_disk: OnDisk,
    /// As git has it, where it matters and is another than git's index knows.
    pub(super) text: Option<Vec<u8>>,
}

/// Finds out what a file's contents are in git, reading it no more than is needed.
pub(super) fn of(
    stores: &Stores,
    rules: &RepositoryRules,
    tracked: &Tracked,
    file: FoundFile,
    listing: &mut Listing,
) -> Result<Contents, SourceError> {
    let known = tracked.known.as_ref();
    let as_on_disk = |id: Oid, text| Contents { id, on_disk: OnDisk::Blob, text };
    // What git has is what lies on disk: nothing converts it, or its size or id says so.
    let unread = match (file.id, known) {
        (Some(id), Some(known)) if id == known.id => Some(id),
        (None, Some(known)) if !rules.may_convert || blob_size(tracked, known)? == file.size => {
            Some(known.id)
        }
        _ => None,
    };
    if let Some(id) = unread {
        if rules.may_convert && file.size <= Pointer::MAX as u64 && file.size > 0 {
            bare_pointer(stores, rules, tracked, &file, listing)?;
        }
        return Ok(as_on_disk(id, file.bytes));
    }
    let conversion = rules.conversion(tracked)?;
    if conversion.lfs {
        return large(stores, tracked, &file, listing);
    }
    match (known, file.id) {
        // git's index says unmodified, whatever was done to the bytes on their way.
        (Some(known), _) if file.is_remembered => {
            let on_disk = OnDisk::Sha256(digests(stores, tracked)?.sha256.into());
            Ok(Contents { id: known.id, on_disk, text: None })
        }
        (_, Some(id)) if !conversion.rewrites() => Ok(as_on_disk(id, file.bytes)),
        _ => rewritten(stores, conversion, tracked, file),
    }
}

/// A file whose line ends or `$Id$` git has otherwise.
fn rewritten(
    stores: &Stores,
    conversion: Conversion,
    tracked: &Tracked,
    file: FoundFile,
) -> Result<Contents, SourceError> {
    let digests = digests(stores, tracked)?;
    let bytes = match file.bytes {
        Some(bytes) => bytes,
        None => read(stores, tracked)?,
    };
    let known_blob = match &tracked.known {
        Some(known) => blob(&tracked.store.repository, known.id, usize::MAX)?,
        None => None,
    };
    let converted = conversion.to_git(bytes, known_blob.as_deref());
    let id = disk::blob_id(&converted);
    let on_disk = if id == digests.blob { OnDisk::Blob } else { OnDisk::Sha256(digests.sha256.into()) };
    Ok(Contents { id, on_disk, text: is_text(&tracked.path).then_some(converted) })
}

/// A file that Git LFS keeps: its blob is a pointer.
fn large(
    stores: &Stores,
    tracked: &Tracked,
    file: &FoundFile,
    listing: &mut Listing,
) -> Result<Contents, SourceError> {
    let pointer = match &tracked.known {
        Some(known) => {
            blob(&tracked.store.repository, known.id, Pointer::MAX)?.and_then(|text| Pointer::parse(&text))
        }
        None => None,
    };
    if let (Some(known), Some(pointer), true) = (&tracked.known, &pointer, file.is_remembered) {
        // git's index says unmodified, so the pointer tells the contents without reading them.
        return Ok(Contents {
            id: known.id,
            on_disk: OnDisk::Sha256(pointer.sha256.as_str().into()),
            text: None,
        });
    }
    let digests = digests(stores, tracked)?;
    if file.size <= Pointer::MAX as u64 && Pointer::parse(&read(stores, tracked)?).is_some() {
        listing.problems.push(not_pulled(&tracked.path));
        return Ok(Contents { id: digests.blob, on_disk: OnDisk::Blob, text: None });
    }
    let now = Pointer { sha256: digests.sha256.clone(), size: file.size };
    let id = match (&tracked.known, pointer) {
        (Some(known), Some(pointer)) if pointer == now => known.id,
        _ if file.size == 0 => digests.blob,
        _ => now.blob_id(),
    };
    Ok(Contents { id, on_disk: OnDisk::Sha256(digests.sha256.into()), text: None })
}

/// Finds a pointer of Git LFS that lies on disk in place of its contents.
fn bare_pointer(
    stores: &Stores,
    rules: &RepositoryRules,
    tracked: &Tracked,
    file: &FoundFile,
    listing: &mut Listing,
) -> Result<(), SourceError> {
    let is_pointer = match &file.bytes {
        Some(bytes) => Pointer::parse(bytes).is_some(),
        None => Pointer::parse(&read(stores, tracked)?).is_some(),
    };
    if is_pointer && rules.conversion(tracked)?.lfs {
        listing.problems.push(not_pulled(&tracked.path));
    }
    Ok(())
}

fn not_pulled(path: &str) -> Problem {
    Problem::in_file("lfs-pointer", path, "this file is in Git LFS, and only its pointer is on disk")
        .help("fetch it: git lfs pull")
}

fn blob_size(tracked: &Tracked, known: &Known) -> Result<u64, SourceError> {
    let odb = tracked.store.repository.odb().map_err(SourceError::git("cannot open git's objects"))?;
    let header = odb
        .read_header(known.id)
        .map_err(SourceError::git(format!("cannot read git's object {}", known.id)))?;
    Ok(header.0 as u64)
}

fn digests(stores: &Stores, tracked: &Tracked) -> Result<disk::Digests, SourceError> {
    let path = stores.root().join(&tracked.path);
    match disk::metadata(&path)? {
        Some(looked_at) => disk::digests(&path, &looked_at),
        None => Err(SourceError::ChangedWhileReading { path }),
    }
}

fn read(stores: &Stores, tracked: &Tracked) -> Result<Vec<u8>, SourceError> {
    let path = stores.root().join(&tracked.path);
    match disk::metadata(&path)? {
        Some(looked_at) => disk::read(&path, &looked_at),
        None => Err(SourceError::ChangedWhileReading { path }),
    }
}
