//! Reads files from disk without following links, and detects changes between stat and read. Of git
//! it knows only how a blob id is computed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use git2::Oid;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::tree::BlobId;

use crate::git::error::SourceError;

/// Returns the metadata of a path, without following a link; `None` if the path does not exist.
pub(in crate::git) fn metadata(path: &Path) -> Result<Option<Metadata>, SourceError> {
    match path.symlink_metadata() {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(SourceError::Io { path: path.to_owned(), cause: source }),
    }
}

/// Reads a file whose metadata was read before.
pub(in crate::git) fn read(path: &Path, stat: &Metadata) -> Result<Vec<u8>, SourceError> {
    all_of(&mut open(path, stat)?, || path.to_owned(), stat.len())
}

/// Reads a file that has this many bytes. Requests one more byte, so that a single call also
/// detects the end.
pub(in crate::git) fn all_of(
    file: &mut File,
    path: impl Fn() -> PathBuf,
    length: u64,
) -> Result<Vec<u8>, SourceError> {
    let length = usize::try_from(length).map_err(|_| changed(&path()))?;
    let (mut bytes, mut filled) = (vec![0; length + 1], 0);
    loop {
        match file.read(&mut bytes[filled..]) {
            Ok(count) => {
                filled += count;
                if count == 0 || filled >= length {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(vanished(&path(), error)),
        }
    }
    bytes.truncate(filled);
    if filled == length { Ok(bytes) } else { Err(changed(&path())) }
}

/// The digests of a file's bytes.
pub(in crate::git) struct Digests {
    pub(in crate::git) blob: Oid,
    /// The SHA-256 in hex.
    pub(in crate::git) sha256: String,
}

/// Hashes a file whose metadata was read before, in chunks.
pub(in crate::git) fn digests(path: &Path, stat: &Metadata) -> Result<Digests, SourceError> {
    let mut file = open(path, stat)?;
    let mut blob = Sha1::new_with_prefix(blob_header(stat.len()));
    let mut sha256 = Sha256::new();
    let (mut buffer, mut length) = (vec![0; 64 << 10], 0);
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(vanished(path, error)),
        };
        length += count as u64;
        blob.update(&buffer[..count]);
        sha256.update(&buffer[..count]);
    }
    if length != stat.len() {
        return Err(changed(path));
    }
    Ok(Digests { blob: oid(&blob.finalize()), sha256: hex(&sha256.finalize()) })
}

/// Returns the id of a blob with these contents.
pub(in crate::git) fn blob_id(bytes: &[u8]) -> Oid {
    oid(&Sha1::new_with_prefix(blob_header(bytes.len() as u64)).chain_update(bytes).finalize())
}

/// Returns the id of a tree object with these contents.
pub(in crate::git) fn tree_id(bytes: &[u8]) -> Oid {
    oid(&Sha1::new_with_prefix(format!("tree {}\0", bytes.len())).chain_update(bytes).finalize())
}

/// Converts an id to the type that the rest of the planner uses.
pub(in crate::git) fn public_id(id: Oid) -> BlobId {
    BlobId::from(<[u8; 20]>::try_from(id.as_bytes()).expect("SHA-1 has 20 bytes"))
}

fn blob_header(length: u64) -> String {
    format!("blob {length}\0")
}

fn oid(bytes: &[u8]) -> Oid {
    Oid::from_bytes(bytes).expect("SHA-1 has the length of an id")
}

/// Converts bytes to lower-case hex digits.
pub(in crate::git) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    String::from_utf8(text).expect("digits are ASCII")
}

/// Joins a path to a root with one allocation, since there are many paths.
pub(in crate::git) fn below(root: &Path, path: &str) -> PathBuf {
    let mut full = PathBuf::with_capacity(root.as_os_str().len() + 1 + path.len());
    full.push(root);
    full.push(path);
    full
}

/// Opens a file if it is still the one whose metadata was read.
fn open(path: &Path, stat: &Metadata) -> Result<File, SourceError> {
    let file = open_unfollowed(path).map_err(|error| vanished(path, error))?;
    let opened = file.metadata().map_err(|error| vanished(path, error))?;
    let same = opened.is_file() && (opened.dev(), opened.ino()) == (stat.dev(), stat.ino());
    if same { Ok(file) } else { Err(changed(path)) }
}

/// Opens a path without following a link, and without waiting for a special file.
fn open_unfollowed(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

pub(in crate::git) fn changed(path: &Path) -> SourceError {
    SourceError::ChangedWhileReading { path: PathBuf::from(path) }
}

/// Returns the error for a file that existed when its metadata was read.
pub(in crate::git) fn vanished(path: &Path, error: std::io::Error) -> SourceError {
    let gone =
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidInput)
            || error.raw_os_error() == Some(libc::ELOOP);
    if gone { changed(path) } else { SourceError::Io { path: path.to_owned(), cause: error } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file's metadata, changes the directory, and reads the file.
    fn read_after(change: impl FnOnce(&Path)) -> (Result<Vec<u8>, SourceError>, Result<Oid, SourceError>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "as planned").unwrap();
        let stat = metadata(&path).unwrap().unwrap();
        change(&path);
        (read(&path, &stat), digests(&path, &stat).map(|digests| digests.blob))
    }

    #[test]
    fn what_changes_between_look_and_read_is_an_error() {
        let (bytes, id) = read_after(|_| ());
        assert_eq!(blob_id(&bytes.unwrap()), id.unwrap());
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("removed", |path| std::fs::remove_file(path).unwrap()),
            ("appended to", |path| std::fs::write(path, "as planned, and more").unwrap()),
            ("cut", |path| std::fs::write(path, "as").unwrap()),
            ("a link now", |path| {
                std::fs::rename(path, path.with_extension("old")).unwrap();
                std::os::unix::fs::symlink(path.with_extension("old"), path).unwrap();
            }),
            ("a directory now", |path| {
                std::fs::remove_file(path).unwrap();
                std::fs::create_dir(path).unwrap();
            }),
        ];
        for (what, change) in changes {
            let (bytes, id) = read_after(change);
            assert!(matches!(bytes, Err(SourceError::ChangedWhileReading { .. })), "{what}: {bytes:?}");
            assert!(matches!(id, Err(SourceError::ChangedWhileReading { .. })), "{what}: {id:?}");
        }
    }

    #[test]
    fn ids_are_those_of_git() {
        assert_eq!(blob_id(b"").to_string(), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(blob_id(b"hello\n").to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
    }
}
