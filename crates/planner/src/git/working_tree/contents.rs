//! Determines the blob id of a file on disk, and the bytes that are sent for it.
//!
//! A commit gives the same image from every clone: for a file that git considers unmodified, the
//! bytes of its blob are sent, converted by the attributes of the tree itself. Settings of this
//! machine (`core.autocrlf`, `core.eol`, filter programs, attributes outside of the tree) can put
//! other bytes on disk; then the bytes come from git ([`OnDisk::Other`]). If the tree requires a
//! filter program and the bytes on disk show that it ran, the bytes of the commit are unknown
//! ([`OnDisk::Lacking`]).
//!
//! A file is read only as far as the decision requires.

use git2::Oid;
use sha2::{Digest as _, Sha256};

use crate::Problem;
use crate::tree::OnDisk;

use crate::git::conversion::rules::RepositoryRules;
use crate::git::conversion::{Conversion, Pointer};
use crate::git::error::SourceError;
use crate::git::history::commit::blob;
use crate::git::layers::is_text;
use crate::git::repository::Stores;
use crate::git::working_tree::disk;
use crate::git::working_tree::stat_files::FoundFile;
use crate::git::working_tree::tracked::{Known, Tracked};

/// A file on disk as git sees it.
pub(in crate::git) struct Contents {
    pub(in crate::git) id: Oid,
    pub(in crate::git) on_disk: OnDisk,
    /// The contents in git, if they are needed and differ from git's index.
    pub(in crate::git) text: Option<Vec<u8>>,
    /// A warning.
    pub(in crate::git) notice: Option<Problem>,
}

impl Contents {
    fn new(id: Oid, on_disk: OnDisk, text: Option<Vec<u8>>) -> Self {
        Self { id, on_disk, text, notice: None }
    }
}

/// Determines a file's contents in git, reading no more than necessary.
pub(in crate::git) fn of(
    stores: &Stores,
    rules: &RepositoryRules,
    tracked: &Tracked,
    file: FoundFile,
) -> Result<Contents, SourceError> {
    if !rules.may_convert {
        let id = file.id.or(tracked.known.as_ref().map(|known| known.id));
        let id = match id {
            Some(id) => id,
            None => digests(stores, tracked)?.blob,
        };
        return Ok(Contents::new(id, OnDisk::Blob, file.bytes));
    }
    let tree = rules.of_tree(tracked);
    if let Some(known) = &tracked.known
        && is_the_blob(stores, rules, tracked, &tree, &file, known)?
    {
        return unconverted(stores, rules, tracked, &tree, file, known.id);
    }
    let machine = rules.of_machine(tracked)?;
    if machine.lfs || tree.lfs {
        return large(stores, tracked, &file);
    }
    match &tracked.known {
        // The index records the file as unmodified, regardless of conversions.
        Some(known) if file.is_remembered => unmodified(stores, tracked, &tree, known.id),
        _ => converted(stores, &machine, &tree, tracked, file),
    }
}

/// Whether the disk has exactly the bytes of the blob in git's index.
fn is_the_blob(
    stores: &Stores,
    rules: &RepositoryRules,
    tracked: &Tracked,
    tree: &Conversion,
    file: &FoundFile,
    known: &Known,
) -> Result<bool, SourceError> {
    if let Some(id) = file.id {
        return Ok(id == known.id);
    }
    if blob_size(tracked, known)? != file.size {
        return Ok(false);
    }
    // The index remembers the file, and its size equals that of the blob: only a conversion that
    // keeps the size can have changed it.
    if rules.is_opaque(tracked, tree)? {
        return Ok(digests(stores, tracked)?.blob == known.id);
    }
    Ok(true)
}

/// Handles a file whose bytes on disk are those of the blob. Attributes of the tree may require
/// other bytes.
fn unconverted(
    stores: &Stores,
    rules: &RepositoryRules,
    tracked: &Tracked,
    tree: &Conversion,
    file: FoundFile,
    id: Oid,
) -> Result<Contents, SourceError> {
    let is_small = file.size <= Pointer::MAX as u64 && file.size > 0;
    let is_pointer = || match &file.bytes {
        Some(bytes) => Ok(Pointer::parse(bytes).is_some()),
        None => read(stores, tracked).map(|bytes| Pointer::parse(&bytes).is_some()),
    };
    let on_disk = if is_small && is_pointer()? && (tree.lfs || rules.of_machine(tracked)?.lfs) {
        OnDisk::Lacking(not_pulled(&tracked.path).into())
    } else if tree.changes_disk() {
        let bytes = match &file.bytes {
            Some(bytes) => bytes.clone(),
            None => read(stores, tracked)?,
        };
        let sent = tree.to_disk(bytes);
        if disk::blob_id(&sent) == id { OnDisk::Blob } else { other(&sent) }
    } else {
        OnDisk::Blob
    };
    Ok(Contents::new(id, on_disk, file.bytes))
}

/// Handles a file that git considers unmodified although its bytes differ from the blob.
fn unmodified(
    stores: &Stores,
    tracked: &Tracked,
    tree: &Conversion,
    id: Oid,
) -> Result<Contents, SourceError> {
    let on_disk = if let Some(filter) = &tree.filter {
        OnDisk::Lacking(filtered(&tracked.path, filter).into())
    } else if tree.is_encoded {
        // The tree's attributes determine the encoding.
        OnDisk::Sha256(digests(stores, tracked)?.sha256.into())
    } else if tree.changes_disk() {
        let known = blob(&tracked.store.repository, id, usize::MAX)?.unwrap_or_default();
        let sent = tree.to_disk(known);
        let digest = sha256(&sent);
        match *digests(stores, tracked)?.sha256 == *digest {
            true => OnDisk::Sha256(digest),
            false => OnDisk::Other { sha256: Some(digest) },
        }
    } else {
        OnDisk::Other { sha256: None }
    };
    Ok(Contents::new(id, on_disk, None))
}

/// Handles a file that git's index does not identify: reads it, and converts it as git would.
fn converted(
    stores: &Stores,
    machine: &Conversion,
    tree: &Conversion,
    tracked: &Tracked,
    file: FoundFile,
) -> Result<Contents, SourceError> {
    let bytes = match file.bytes {
        Some(bytes) => bytes,
        None => read(stores, tracked)?,
    };
    let on_disk = disk::blob_id(&bytes);
    if machine.is_opaque() {
        // The result of a program or an encoding is unknown, so the bytes on disk count.
        let text = is_text(&tracked.path).then_some(bytes);
        let notice = tracked.known.as_ref().map(|_| only_git_can_tell(&tracked.path, machine));
        return Ok(Contents { id: on_disk, on_disk: OnDisk::Blob, text, notice });
    }
    let in_git = to_git(machine, tracked, bytes)?;
    let id = disk::blob_id(&in_git);
    let text = is_text(&tracked.path).then(|| in_git.clone());
    let sent = tree.to_disk(in_git);
    let sent_id = disk::blob_id(&sent);
    let on_disk = match (sent_id == on_disk, sent_id == id) {
        (true, true) => OnDisk::Blob,
        (true, false) => OnDisk::Sha256(sha256(&sent)),
        (false, true) => OnDisk::Other { sha256: None },
        (false, false) => OnDisk::Other { sha256: Some(sha256(&sent)) },
    };
    Ok(Contents::new(id, on_disk, text))
}

/// Returns the bytes that git would store for these bytes on disk.
pub(in crate::git) fn to_git(
    machine: &Conversion,
    tracked: &Tracked,
    bytes: Vec<u8>,
) -> Result<Vec<u8>, SourceError> {
    let known = match &tracked.known {
        Some(known) => blob(&tracked.store.repository, known.id, usize::MAX)?,
        None => None,
    };
    Ok(machine.to_git(bytes, known.as_deref()))
}

/// Handles a file that Git LFS stores: its blob is a pointer.
fn large(stores: &Stores, tracked: &Tracked, file: &FoundFile) -> Result<Contents, SourceError> {
    let pointer = match &tracked.known {
        Some(known) => {
            blob(&tracked.store.repository, known.id, Pointer::MAX)?.and_then(|text| Pointer::parse(&text))
        }
        None => None,
    };
    if let (Some(known), Some(pointer), true) = (&tracked.known, &pointer, file.is_remembered) {
        // The index records the file as unmodified, so the pointer has the digest of the contents.
        let on_disk = OnDisk::Sha256(pointer.sha256.as_str().into());
        return Ok(Contents::new(known.id, on_disk, None));
    }
    let digests = digests(stores, tracked)?;
    if file.size <= Pointer::MAX as u64 && Pointer::parse(&read(stores, tracked)?).is_some() {
        let on_disk = OnDisk::Lacking(not_pulled(&tracked.path).into());
        return Ok(Contents::new(digests.blob, on_disk, None));
    }
    let now = Pointer { sha256: digests.sha256.clone(), size: file.size };
    let id = match (&tracked.known, pointer) {
        (Some(known), Some(pointer)) if pointer == now => known.id,
        _ if file.size == 0 => digests.blob,
        _ => now.blob_id(),
    };
    Ok(Contents::new(id, OnDisk::Sha256(digests.sha256.into()), None))
}

fn not_pulled(path: &str) -> Problem {
    Problem::in_file("lfs-pointer", path, "this file is in Git LFS, and only its pointer is on disk")
        .help("fetch it: git lfs pull; or leave it out of the context with .dockerignore")
}

/// Creates the problem of a file whose state git's index does not remember: `git status` would run
/// the filter, but programs that a tree names are not run here.
fn only_git_can_tell(path: &str, machine: &Conversion) -> Problem {
    let by = match &machine.filter {
        Some(filter) => format!("its filter {filter:?}"),
        None => "its working-tree-encoding".to_owned(),
    };
    let message = format!("only {by} can tell whether this file is modified, so it counts as a change");
    Problem::in_file("filtered-file", path, message)
        .help("where it is not modified, `git status` lets git's index know that; then run this again")
}

fn filtered(path: &str, filter: &str) -> Problem {
    let message = format!(
        "the filter {filter:?} of this machine gave this file other bytes on disk than the commit holds"
    );
    let help = format!(
        "check out what git has: rm {path} && git -c filter.{filter}.smudge= -c filter.{filter}.process= \
         -c filter.{filter}.required=false checkout -- {path}; or leave the file out with .dockerignore; or \
         commit what is meant without a filter attribute"
    );
    Problem::in_file("filtered-file", path, message).help(help)
}

fn other(sent: &[u8]) -> OnDisk {
    OnDisk::Other { sha256: Some(sha256(sent)) }
}

fn sha256(bytes: &[u8]) -> Box<str> {
    disk::hex(&Sha256::digest(bytes)).into()
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
        Some(stat) => disk::digests(&path, &stat),
        None => Err(SourceError::ChangedWhileReading { path }),
    }
}

pub(in crate::git) fn read(stores: &Stores, tracked: &Tracked) -> Result<Vec<u8>, SourceError> {
    let path = stores.root().join(&tracked.path);
    match disk::metadata(&path)? {
        Some(stat) => disk::read(&path, &stat),
        None => Err(SourceError::ChangedWhileReading { path }),
    }
}
