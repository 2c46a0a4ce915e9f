//! Opens the directory of a path without following a link of the source tree.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, readlinkat, statat};

/// Maximum number of links in one path, as in Linux.
const MOST_LINKS: usize = 40;

/// Device and inode, which identify a directory independent of its path.
type Identity = (u64, u64);

/// A directory of the path, and whether it is the source tree or lies in it.
struct Step {
    fd: OwnedFd,
    in_tree: bool,
}

/// Opens the directory `path`. Below the directory `tree` no link is followed; outside of it, links
/// are followed as usual.
pub(crate) fn open_dir(path: &Path, tree: Option<&Path>) -> io::Result<(OwnedFd, bool)> {
    let tree = tree.map(identity_of).transpose()?;
    let absolute = std::path::absolute(path)?;
    let mut way = vec![root(tree)?];
    let mut rest: VecDeque<OsString> = components(&absolute);
    let mut links = 0;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            if way.len() > 1 {
                way.pop();
            }
            continue;
        }
        let here = way.last().expect("the root is never taken away");
        let found = statat(&here.fd, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
            if here.in_tree {
                return Err(refused(&name, "is a link of the source tree, which is not followed"));
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(rustix::io::Errno::LOOP.into());
            }
            // Links of the kernel (`/proc/self/fd/3`) may have a target that no path leads to.
            let target = readlinkat(&here.fd, &name, Vec::new())?.into_bytes();
            let target = PathBuf::from(OsString::from_vec(target));
            if target.is_absolute() {
                way.truncate(1);
            }
            for part in components(&target).into_iter().rev() {
                rest.push_front(part);
            }
            continue;
        }
        let fd = openat(
            &here.fd,
            &name,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let in_tree = here.in_tree || tree.is_some_and(|tree| identity(&fd).is_ok_and(|own| own == tree));
        way.push(Step { fd, in_tree });
    }
    let last = way.pop().expect("the root is never taken away");
    Ok((last.fd, last.in_tree))
}

fn root(tree: Option<Identity>) -> io::Result<Step> {
    let fd = open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let in_tree = tree.is_some_and(|tree| identity(&fd).is_ok_and(|own| own == tree));
    Ok(Step { fd, in_tree })
}

/// The components of a path, including `..`.
fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn identity_of(path: &Path) -> io::Result<Identity> {
    let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    identity(&fd)
}

fn identity(fd: &impl AsFd) -> io::Result<Identity> {
    let found = fstat(fd)?;
    Ok((found.st_dev, found.st_ino))
}

pub(crate) fn refused(name: &OsStr, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{} {why}", name.as_bytes().escape_ascii()))
}
