//! Opens every file that the program writes.
//!
//! A source tree can come from a stranger: nothing in it, such as a link, may redirect a write out
//! of it. So the directory of an output is opened component by component ([`Dir::open`]): within
//! the source tree no link is followed, outside of it links are the user's own. A file is written
//! beside its place and renamed into it ([`Dir::replace`]), so the last component is replaced and
//! never followed, and the old contents stay until the new ones are complete.

mod dir;
mod walk;

use std::io;
use std::path::Path;

pub use dir::{Access, Dir, Staged};

/// Writes a file: whole, or not at all. An existing file keeps its mode.
///
/// `tree` is the root of the source tree's repository; no link below it is followed. A device or pipe
/// outside of the tree (`/dev/stdout`, `/dev/null`, a shell's `>(…)`) is written to as it is.
///
/// # Errors
/// When the file cannot be written: what was there before is still there. The error is of the kind
/// [`io::ErrorKind::InvalidInput`] where a link or a special file of the tree is in the way.
pub fn save(path: &Path, tree: Option<&Path>, contents: &[u8]) -> io::Result<()> {
    let (dir, name) = Dir::parent_of(path, tree)?;
    if dir.is_device(&name) {
        return dir.write_to_device(&name, contents);
    }
    dir.replace(&name, contents, Access::Shared)
}

/// Reads a regular file that a user named, at most `limit` bytes of it. A pipe is not waited for.
///
/// # Errors
/// When it cannot be read, is no regular file, or is longer than `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    dir::read_regular(open(path, flags, Mode::empty())?, limit)
}
