//! Small and read-only file systems, unmounted when dropped. For root only.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use tempfile::TempDir;

/// A mounted directory.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    _directory: Option<TempDir>,
}

/// A file system in memory that takes so many bytes, rounded up to pages.
///
/// # Panics
/// When it cannot be mounted.
#[must_use]
pub fn tmpfs(bytes: u64) -> Mount {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("mount");
    fs::create_dir(&path).expect("a fresh directory");
    let options = std::ffi::CString::new(format!("size={bytes},mode=755")).expect("no NUL");
    mount("tmpfs", &path, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
        .unwrap_or_else(|error| panic!("cannot mount a tmpfs: {error}; it takes root"));
    let _ = mount_change(&path, MountPropagationFlags::PRIVATE);
    Mount { path, _directory: Some(directory) }
}

/// Makes a directory read-only where it is, with all that it holds.
///
/// # Panics
/// When it cannot be mounted.
#[must_use]
pub fn read_only(dir: &Path) -> Mount {
    let refused = |error| panic!("cannot mount {} read-only: {error}; it takes root", dir.display());
    mount_bind(dir, dir).unwrap_or_else(refused);
    let made = Mount { path: dir.to_owned(), _directory: None };
    mount_remount(dir, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap_or_else(refused);
    made
}

/// Shows a directory at another one, which is there already.
///
/// # Panics
/// When it cannot be mounted.
#[must_use]
pub fn bind(what: &Path, at: &Path) -> Mount {
    mount_bind(what, at)
        .unwrap_or_else(|error| panic!("cannot mount at {}: {error}; it takes root", at.display()));
    Mount { path: at.to_owned(), _directory: None }
}

impl Mount {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A process with an open file keeps it; the mount is hidden from others.
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
