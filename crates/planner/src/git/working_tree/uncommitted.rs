//! Lists differences from HEAD, and computes the digits that represent them in a build tag.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use crate::tree::Mode;

use crate::git::listing::{Entry, Listing};
use crate::git::working_tree::disk::hex;

/// A path at which two sides differ, with the entry of the new side.
pub(in crate::git) struct Difference<'list> {
    pub(in crate::git) path: &'list str,
    now: Option<&'list Entry>,
}

/// Returns every path at which `now` differs from `head`, sorted.
pub(in crate::git) fn differences<'list>(
    head: &'list Listing,
    now: &'list Listing,
) -> Vec<Difference<'list>> {
    let mut differences = Vec::new();
    let (mut old, mut new) = (head.entries.iter().peekable(), now.entries.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.path.as_bytes().cmp(new.path.as_bytes()),
        };
        let old = if order.is_le() { old.next() } else { None };
        let new = if order.is_ge() { new.next() } else { None };
        match (old, new) {
            (Some(old), Some(new)) if old.same(new) => {}
            (Some(old), None) => differences.push(Difference { path: &old.path, now: None }),
            (_, Some(new)) => differences.push(Difference { path: &new.path, now: Some(new) }),
            (None, None) => {}
        }
    }
}

/// Returns eight hex digits that identify the differing paths, their modes and contents; equal
/// differences give equal digits. `None` if there are no differences.
///
/// The digits are from a SHA-256 over, for each path, the path's length (8 bytes, big-endian), the
/// path, git's mode (or `deleted`) and, unless the path is deleted, its blob id. The last two are
/// each followed by a NUL.
pub(in crate::git) fn digits(differences: &[Difference<'_>]) -> Option<String> {
    if differences.is_empty() {
        return None;
    }
    let mut digest = Sha256::new();
    for difference in differences {
        digest.update((difference.path.len() as u64).to_be_bytes());
        digest.update(difference.path);
        let mode = match difference.now.map(|entry| &entry.mode) {
            None => "deleted",
            Some(Mode::File) => "100644",
            Some(Mode::Executable) => "100755",
            Some(Mode::Symlink(_)) => "120000",
        };
        digest.update(mode);
        digest.update([0]);
        if let Some(entry) = difference.now {
            digest.update(entry.id.to_string());
            digest.update([0]);
        }
    }
    Some(hex(&digest.finalize()[..4]))
}
