//! Caches image configurations on disk, by their digest.
//!
//! Contents never become outdated, and tampered files are detected: each file is checked against
//! its name. The cache is safe to delete at any time; a file that cannot be read or written is
//! fetched again.
//!
//! The directory may be in a source tree (CI systems cache only paths below their checkout), so it
//! may hold a stranger's files: no link is followed, a pipe is not waited for, and every file that
//! is written is a new one.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use files::{Access, Dir};
use plan::Digest;

use crate::digests;

/// A directory of our own, below one of the user's.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
    tree: Option<PathBuf>,
    /// The directory of the algorithm, opened once: files are opened relative to it, without
    /// resolving the whole path again.
    opened: OnceLock<Dir>,
}

impl Cache {
    /// Opens and makes nothing yet. No link of the repository at `tree` is followed.
    pub(crate) fn new(directory: PathBuf, tree: Option<PathBuf>) -> Self {
        Self { directory, tree, opened: OnceLock::new() }
    }

    /// The content with this digest; no more than `limit` bytes are read.
    pub(crate) fn get(&self, digest: &Digest, limit: usize) -> Option<Bytes> {
        let (algorithm, prefix, name) = names(digest)?;
        let body =
            self.existing(algorithm).and_then(|directory| directory.enter(prefix)?.read(name, limit as u64));
        match body {
            Ok(body) => (digests::like(digest, &body) == digest.as_str()).then(|| Bytes::from(body)),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::debug!(%error, %digest, "a configuration is not read from the cache");
                }
                None
            }
        }
    }

    /// Stores the content with this digest. A reader of a partly written file computes another
    /// digest and ignores it, so no temporary name and no renaming are needed, which would take
    /// most of the time.
    pub(crate) fn put(&self, digest: &Digest, body: &[u8]) {
        if let Err(error) = self.write(digest, body) {
            tracing::debug!(%error, %digest, directory = %self.directory.display(), "a configuration is not kept");
        }
    }

    fn write(&self, digest: &Digest, body: &[u8]) -> io::Result<()> {
        let Some((algorithm, prefix, name)) = names(digest) else { return Ok(()) };
        let directory = self.made(algorithm)?.make(prefix, Access::Private)?;
        let mut file = match directory.create_new(name, Access::Private) {
            // A file with other contents, a link, a pipe: taken away, and never written to.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                directory.remove(name)?;
                directory.create_new(name, Access::Private)?
            }
            created => created?,
        };
        file.write_all(body).inspect_err(|_| drop(directory.remove(name)))
    }

    fn existing(&self, algorithm: &str) -> io::Result<&Dir> {
        match self.opened.get() {
            Some(opened) => Ok(opened),
            None => {
                let opened = Dir::open(&self.directory, self.tree.as_deref())?.enter(algorithm)?;
                Ok(self.opened.get_or_init(|| opened))
            }
        }
    }

    fn made(&self, algorithm: &str) -> io::Result<&Dir> {
        match self.existing(algorithm) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made =
                    make_all(&self.directory, self.tree.as_deref())?.make(algorithm, Access::Private)?;
                Ok(self.opened.get_or_init(|| made))
            }
            opened => opened,
        }
    }
}

/// Opens a directory, and creates missing ones on the way.
fn make_all(path: &Path, tree: Option<&Path>) -> io::Result<Dir> {
    match (Dir::open(path, tree), path.parent(), path.file_name()) {
        (Err(error), Some(parent), Some(name)) if error.kind() == io::ErrorKind::NotFound => {
            make_all(parent, tree)?.make(name, Access::Private)
        }
        (opened, ..) => opened,
    }
}

/// `sha256`, `0a`, `0a1b…`; nothing for another algorithm, as one directory is kept open.
fn names(digest: &Digest) -> Option<(&str, &str, &str)> {
    let (algorithm, hex) = (digest.algorithm(), digest.hex());
    (algorithm == "sha256").then(|| (algorithm, &hex[..2], hex))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::{Duration, Instant};

    use super::*;

    fn digest(body: &[u8]) -> Digest {
        Digest::parse(&digests::sha256(body)).expect("a digest")
    }

    fn file(directory: &Path, digest: &Digest) -> PathBuf {
        let (algorithm, prefix, name) = names(digest).expect("sha256");
        directory.join(algorithm).join(prefix).join(name)
    }

    #[test]
    fn what_is_kept_is_found_and_what_was_changed_is_not_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let configs = directory.path().join("some/configs");
        let cache = Cache::new(configs.clone(), None);
        let (body, digest) = (b"{}", digest(b"{}"));
        assert_eq!(cache.get(&digest, 100), None);
        assert!(!configs.exists(), "reading makes nothing");
        cache.put(&digest, body);
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&body[..]));
        assert_eq!(cache.get(&digest, 1), None, "more than was asked for");
        let file = file(&configs, &digest);
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        let parent = file.parent().expect("a directory");
        assert_eq!((mode(&file), mode(parent), mode(&configs)), (0o600, 0o700, 0o700));
        for broken in [&b"{ }"[..], b"", b"{}{}"] {
            fs::write(&file, broken).expect("a file");
            assert_eq!(cache.get(&digest, 100), None, "{broken:?}");
        }
        cache.put(&digest, body);
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&body[..]));
        assert_eq!(Cache::new(configs, None).get(&digest, 100).as_deref(), Some(&body[..]), "another run");
        assert_eq!(fs::read_dir(parent).expect("it is there").count(), 1, "nothing else is left");
    }

    #[test]
    fn no_failure_matters() {
        let directory = tempfile::tempdir().expect("a directory");
        let configs = directory.path().join("configs");
        let cache = Cache::new(configs.clone(), None);
        let long =
            digests::like(&Digest::parse(&format!("sha512:{}", "0".repeat(128))).expect("a digest"), b"{}");
        cache.put(&Digest::parse(&long).expect("a digest"), b"{}");
        assert!(!configs.exists(), "another algorithm is not kept");
        // A file where the directory should be, and where one below it should be.
        fs::write(&configs, "x").expect("a file");
        cache.put(&digest(b"{}"), b"{}");
        assert_eq!(cache.get(&digest(b"{}"), 100), None);
        fs::remove_file(&configs).expect("it is there");
        fs::create_dir_all(file(&configs, &digest(b"{}"))).expect("directories");
        cache.put(&digest(b"{}"), b"{}");
        assert_eq!(cache.get(&digest(b"{}"), 100), None);
    }

    /// A cache in a tree, and a file outside that nothing may change.
    fn scene() -> (tempfile::TempDir, Cache, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let (tree, victim) = (directory.path().join("tree"), directory.path().join("victim"));
        fs::create_dir_all(tree.join(".cache")).expect("a directory");
        fs::create_dir(&victim).expect("a directory");
        fs::write(victim.join("file"), "precious").expect("a file");
        let configs = tree.join(".cache/image-builder/configs");
        (directory, Cache::new(configs.clone(), Some(tree)), configs, victim)
    }

    fn untouched(victim: &Path) {
        assert_eq!(fs::read_to_string(victim.join("file")).expect("it is there"), "precious");
        assert_eq!(fs::read_dir(victim).expect("it is there").count(), 1, "nothing new is there");
    }

    #[test]
    fn case_cache_follows_links() {
        let (body, digest) = (b"{}", digest(b"{}"));
        // The file itself is a link: replaced.
        let (_directory, cache, configs, victim) = scene();
        let place = file(&configs, &digest);
        fs::create_dir_all(place.parent().expect("it has one")).expect("directories");
        symlink(victim.join("file"), &place).expect("a link");
        assert_eq!(cache.get(&digest, 100), None);
        cache.put(&digest, body);
        untouched(&victim);
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&body[..]));
        assert!(fs::symlink_metadata(&place).expect("it is there").is_file());
        // A dangling one.
        fs::remove_file(&place).expect("it is there");
        symlink(victim.join("new"), &place).expect("a link");
        cache.put(&digest, body);
        untouched(&victim);
        // A directory on the way is a link: no cache.
        for at in [
            ".cache/image-builder",
            ".cache/image-builder/configs",
            ".cache/image-builder/configs/sha256",
            "two",
        ] {
            let (directory, cache, configs, victim) = scene();
            let link = match at {
                "two" => place_of_two(&configs, &digest),
                at => directory.path().join("tree").join(at),
            };
            fs::create_dir_all(link.parent().expect("it has one")).expect("directories");
            symlink(&victim, &link).expect("a link");
            cache.put(&digest, body);
            assert_eq!(cache.get(&digest, 100), None, "{at}");
            untouched(&victim);
        }
    }

    fn place_of_two(configs: &Path, digest: &Digest) -> PathBuf {
        file(configs, digest).parent().expect("it has one").to_owned()
    }

    #[test]
    fn case_cache_follows_links_waits_for_no_pipe() {
        let (body, digest) = (b"{}", digest(b"{}"));
        let (_directory, cache, configs, _) = scene();
        let place = file(&configs, &digest);
        fs::create_dir_all(place.parent().expect("it has one")).expect("directories");
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &place, pipe, rustix::fs::Mode::from_raw_mode(0o600), 0)
            .expect("a pipe");
        let began = Instant::now();
        assert_eq!(cache.get(&digest, 100), None);
        cache.put(&digest, body);
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&body[..]));
    }

    #[test]
    fn links_of_the_user_outside_of_the_tree_are_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (real, tree) = (directory.path().join("real"), directory.path().join("tree"));
        fs::create_dir(&real).expect("a directory");
        fs::create_dir(&tree).expect("a directory");
        symlink(&real, directory.path().join("cache")).expect("a link");
        let cache = Cache::new(directory.path().join("cache/configs"), Some(tree));
        cache.put(&digest(b"{}"), b"{}");
        assert!(file(&real.join("configs"), &digest(b"{}")).is_file());
    }
}
