//! Opens every file that the program writes.
//!
//! A source tree is untrusted: nothing in it, such as a link, may redirect a write out of the tree.
//! So the directory of an output is opened component by component ([`Dir::open`]): links within the
//! source tree are not followed; links outside of the tree belong to the user and are followed. A
//! file is written under a temporary name and then renamed ([`Dir::replace`]), so the last
//! component is replaced and never followed, and the old contents stay until the new ones are
//! complete.

mod dir;
mod walk;

use std::io;
use std::path::Path;

pub use dir::{Access, Dir, Staged};

/// Writes a file completely or not at all. An existing file keeps its mode.
///
/// `tree` is the root of the source tree's repository; no link below it is followed. A device or
/// pipe outside of the tree (`/dev/stdout`, `/dev/null`, a shell's `>(…)`) is opened and written
/// to.
///
/// # Errors
/// If the file cannot be written; an existing file is unchanged then. The kind of the error is
/// [`io::ErrorKind::InvalidInput`] if a link or a special file of the tree is in the way.
pub fn save(path: &Path, tree: Option<&Path>, contents: &[u8]) -> io::Result<()> {
    let (dir, name) = Dir::parent_of(path, tree)?;
    if dir.is_device(&name) {
        return dir.write_to_device(&name, contents);
    }
    dir.replace(&name, contents, Access::Shared)
}

/// Reads a regular file that a user named, of at most `limit` bytes. Does not wait for a pipe.
///
/// # Errors
/// If it cannot be read, is not a regular file, or is longer than `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    dir::read_regular(open(path, flags, Mode::empty())?, limit)
}
