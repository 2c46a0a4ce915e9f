//! An open directory, and the files that are written in it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, fsync, mkdirat, openat, renameat,
    statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::walk::{open_dir, refused};

/// The permissions of a new file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// All users, less the umask.
    Shared,
    /// The owner only.
    Private,
}

impl Access {
    fn file(self) -> Mode {
        match self {
            Self::Shared => Mode::from_raw_mode(0o666),
            Self::Private => Mode::from_raw_mode(0o600),
        }
    }

    fn dir(self) -> Mode {
        match self {
            Self::Shared => Mode::from_raw_mode(0o777),
            Self::Private => Mode::from_raw_mode(0o700),
        }
    }
}

/// An open directory. Names are resolved in this directory, even after the path that led to it was
/// changed.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// The path that it was opened by, for messages.
    path: PathBuf,
    /// Whether it is the source tree or lies in it.
    in_tree: bool,
}

/// A complete file with a temporary name. [`Staged::commit`] renames it to its final name.
#[derive(Debug)]
pub struct Staged<'dir> {
    /// The directory of the final name.
    dir: &'dir Dir,
    /// The directory of the temporary name.
    staging: &'dir Dir,
    temporary: String,
    access: Access,
    is_there: bool,
}

impl Dir {
    /// Opens a directory; no link of the source tree at `tree` is followed.
    ///
    /// # Errors
    /// If it does not exist, or a link of the tree is in the way.
    pub fn open(path: &Path, tree: Option<&Path>) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let (fd, in_tree) = open_dir(path, tree)?;
        Ok(Self { fd, path: path.to_owned(), in_tree })
    }

    /// Opens the directory of a file; returns it and the file's name in it.
    ///
    /// # Errors
    /// As [`Dir::open`], and if the path does not end in a name.
    pub fn parent_of(path: &Path, tree: Option<&Path>) -> io::Result<(Self, OsString)> {
        let name = path.file_name().ok_or_else(|| refused(path.as_os_str(), "names no file"))?;
        Ok((Self::open(path.parent().unwrap_or(Path::new("")), tree)?, name.to_owned()))
    }

    /// Opens a subdirectory, creating it if it is missing. A link of that name is not followed.
    ///
    /// # Errors
    /// If it is not a directory, or cannot be created.
    pub fn make(&self, name: impl AsRef<OsStr>, access: Access) -> io::Result<Self> {
        match mkdirat(&self.fd, name.as_ref(), access.dir()) {
            Ok(()) | Err(Errno::EXIST) => self.enter(name),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a subdirectory that must not exist yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if anything of that name exists.
    pub fn make_new(&self, name: impl AsRef<OsStr>, access: Access) -> io::Result<Self> {
        mkdirat(&self.fd, name.as_ref(), access.dir())?;
        self.enter(name)
    }

    /// Opens a subdirectory. A link of that name is not followed.
    ///
    /// # Errors
    /// If it does not exist, or is not a directory.
    pub fn enter(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let shown = self.path.join(name);
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("{} is not a directory", shown.display()),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Self { fd, path: self.path.join(name), in_tree: self.in_tree })
    }

    /// The path that it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file under a temporary name and renames it. An existing file or link is replaced;
    /// the mode of an existing file is kept.
    ///
    /// # Errors
    /// If it cannot be written, or a directory, pipe or device has that name.
    pub fn replace(&self, name: impl AsRef<OsStr>, contents: &[u8], access: Access) -> io::Result<()> {
        self.stage(name.as_ref(), contents, access)?.commit(name.as_ref())
    }

    /// The first half of [`Dir::replace`]: writes the file under a temporary name. Dropping the
    /// result removes the file.
    ///
    /// # Errors
    /// As [`Dir::replace`].
    pub fn stage(&self, name: impl AsRef<OsStr>, contents: &[u8], access: Access) -> io::Result<Staged<'_>> {
        self.stage_in(self, name.as_ref(), contents, access)
    }

    /// As [`Dir::stage`], but the temporary name is in another directory, so that a killed process
    /// leaves nothing in this one.
    ///
    /// # Errors
    /// As [`Dir::replace`].
    pub fn stage_in<'dir>(
        &'dir self,
        staging: &'dir Dir,
        name: impl AsRef<OsStr>,
        contents: &[u8],
        access: Access,
    ) -> io::Result<Staged<'dir>> {
        let there = match statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => Some(found),
                FileType::Symlink => None,
                _ => return Err(refused(name.as_ref(), "is not a regular file")),
            },
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let (mut file, temporary) = staging.temporary(access)?;
        // From here on, an error removes the file.
        let staged = Staged { dir: self, staging, temporary, access, is_there: true };
        if let Some(there) = there {
            // Only a privileged user can restore another owner, and only such a user needs to.
            let owner = (Uid::from_raw(there.st_uid), Gid::from_raw(there.st_gid));
            let _ = fchown(&file, Some(owner.0), Some(owner.1));
            fchmod(&file, Mode::from_raw_mode(there.st_mode))?;
        }
        file.write_all(contents)?;
        fsync(&file)?;
        Ok(staged)
    }

    /// Creates a file in this directory under an unused name.
    fn temporary(&self, access: Access) -> io::Result<(File, String)> {
        loop {
            let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(8).collect();
            let name = format!(".image-builder-{random}");
            match self.create_new(&name, access) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok((created?, name)),
            }
        }
    }

    /// Creates a file that must not exist yet, for writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if anything of that name exists, including a link.
    pub fn create_new(&self, name: impl AsRef<OsStr>, access: Access) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.fd, name.as_ref(), flags, access.file())?.into())
    }

    /// Opens a file for reading and writing, for locks. A missing file is created; the contents of
    /// an existing file are kept.
    ///
    /// # Errors
    /// If it is a link or not a regular file. Does not wait for a pipe.
    pub fn open_or_create(&self, name: impl AsRef<OsStr>, access: Access) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // In a world-writable directory, Linux rejects opening another user's file with `O_CREAT`
        // (`fs.protected_regular`).
        let fd = match openat(&self.fd, name.as_ref(), flags, Mode::empty()) {
            Err(Errno::NOENT) => openat(&self.fd, name.as_ref(), flags | OFlags::CREATE, access.file())?,
            opened => opened?,
        };
        regular(fd)
    }

    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// If it does not exist, is a link or not a regular file, or is longer. Does not wait for a
    /// pipe.
    pub fn read(&self, name: impl AsRef<OsStr>, limit: u64) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        read_regular(openat(&self.fd, name.as_ref(), flags, Mode::empty())?, limit)
    }

    /// Creates a symbolic link that must not exist yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if anything of that name exists.
    pub fn link(&self, name: impl AsRef<OsStr>, target: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(symlinkat(target.as_ref(), &self.fd, name.as_ref())?)
    }

    /// Returns the names of the entries of this directory, in no order.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        // A path descriptor (`O_PATH`) cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let entries = rustix::fs::Dir::new(openat(&self.fd, ".", flags, Mode::empty())?)?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        Ok(names)
    }

    /// Removes a file or link.
    ///
    /// # Errors
    /// If it does not exist, or is a directory.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_ref(), AtFlags::empty())?)
    }

    /// Syncs the directory, so that renames in it survive a crash of the machine.
    ///
    /// # Errors
    /// If the sync fails.
    pub fn sync(&self) -> io::Result<()> {
        // A path descriptor (`O_PATH`) cannot be synced.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fsync(openat(&self.fd, ".", flags, Mode::empty())?)?)
    }

    /// Whether a name is a device, a pipe or any entry of `/dev` or `/proc`, outside of the source
    /// tree.
    pub(crate) fn is_device(&self, name: &OsStr) -> bool {
        if self.in_tree {
            return false;
        }
        let is_special = statat(&self.fd, name, AtFlags::empty()).is_ok_and(|found| {
            !matches!(
                FileType::from_raw_mode(found.st_mode),
                FileType::RegularFile | FileType::Directory | FileType::Symlink
            )
        });
        let absolute = std::path::absolute(&self.path).unwrap_or_default();
        let is_kernels = ["/dev", "/proc"].iter().any(|root| absolute.starts_with(root));
        is_special || is_kernels
    }

    pub(crate) fn write_to_device(&self, name: &OsStr, contents: &[u8]) -> io::Result<()> {
        let fd = openat(&self.fd, name, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?;
        File::from(fd).write_all(contents)
    }
}

impl Staged<'_> {
    /// Renames the file to its final name atomically, replacing an existing file.
    ///
    /// # Errors
    /// If it cannot be renamed.
    pub fn commit(mut self, name: impl AsRef<OsStr>) -> io::Result<()> {
        match renameat(&self.staging.fd, &self.temporary, &self.dir.fd, name.as_ref()) {
            Ok(()) => self.is_there = false,
            // Another file system, or the same one mounted twice: the file is copied into the
            // target directory first.
            Err(Errno::XDEV) => {
                let contents = self.staging.read(&self.temporary, u64::MAX)?;
                self.dir.replace(name.as_ref(), &contents, self.access)?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if self.is_there {
            let _ = self.staging.remove(&self.temporary);
        }
    }
}

/// Returns the file of a descriptor that was opened without blocking, if it is a regular file.
fn regular(fd: OwnedFd) -> io::Result<File> {
    match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
        FileType::RegularFile => Ok(fd.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

pub(crate) fn read_regular(fd: OwnedFd, limit: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    regular(fd)?.take(limit.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(contents)
}
