//! Configurations of images on disk, by their digest.
//!
//! A digest never means anything else, so what lies here never grows old, and what was tampered with is not believed: each
//! file is checked against its name. Safe to delete at any time; what cannot be read or written is fetched again.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::registry::sha256;

/// A directory of our own, below one of the user's.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// What has this digest; no more than `limit` bytes are read.
    pub(crate) fn get(&self, digest: &str, limit: usize) -> Option<Bytes> {
        let mut body = Vec::new();
        File::open(self.file(digest)?).ok()?.take(limit as u64 + 1).read_to_end(&mut body).ok()?;
        (body.len() <= limit && sha256(&body) == digest).then(|| Bytes::from(body))
    }

    /// Keeps what has this digest. Who reads it half-written finds another digest, and so nothing: no second name and no renaming is
    /// needed, which would take most of the time.
    pub(crate) fn put(&self, digest: &str, body: &[u8]) {
        let Some(file) = self.file(digest) else { return };
        if let Err(error) = self.write(&file, body) {
            tracing::debug!(%error, file = %file.display(), "a configuration is not kept");
        }
    }

    fn write(&self, file: &Path, body: &[u8]) -> io::Result<()> {
        let open = || File::options().write(true).create(true).truncate(true).mode(0o600).open(file);
        let opened = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = file.parent().ok_or_else(|| io::Error::other("it has no directory"))?;
                DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
                open()
            }
            opened => opened,
        };
        let written = opened?.write_all(body);
        if written.is_err() {
            let _ = fs::remove_file(file);
        }
        written
    }

    /// `sha256/0a/0a1b…`; nothing for another algorithm, or what is no digest at all.
    fn file(&self, digest: &str) -> Option<PathBuf> {
        let hex = digest.strip_prefix("sha256:")?;
        let is_hex = hex.len() == 64 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        is_hex.then(|| self.directory.join("sha256").join(&hex[..2]).join(hex))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_is_found_and_what_was_changed_is_not_believed() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(directory.path().join("configs"));
        let (body, digest) = (b"{}", sha256(b"{}"));
        assert_eq!(cache.get(&digest, 100), None);
        cache.put(&digest, body);
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&body[..]));
        assert_eq!(cache.get(&digest, 1), None, "more than was asked for");
        let file = cache.file(&digest).expect("a digest");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(&directory.path().join("configs"))), (0o600, 0o700));
        for broken in [&b"{ }"[..], b"", b"{}{}"] {
            fs::write(&file, broken).expect("a file");
            assert_eq!(cache.get(&digest, 100), None, "{broken:?}");
        }
        cache.put(&digest, body);
        assert_eq!(cache.get(&digest, 100).as_deref(), Some(&body[..]));
        let left = fs::read_dir(file.parent().expect("a directory")).expect("it is there").count();
        assert_eq!(left, 1, "nothing else is left");
    }

    #[test]
    fn no_name_leads_out_and_no_failure_matters() {
        let directory = tempfile::tempdir().expect("a directory");
        let cache = Cache::new(directory.path().join("configs"));
        for name in ["", "sha256:", "sha256:../../x", "sha512:00", "x", &format!("sha256:{}", "A".repeat(64))]
        {
            assert_eq!(cache.file(name), None, "{name}");
            cache.put(name, b"x");
        }
        assert!(!directory.path().join("configs").exists());
        // A file where the directory should be.
        fs::write(directory.path().join("configs"), "x").expect("a file");
        cache.put(&sha256(b"{}"), b"{}");
        assert_eq!(cache.get(&sha256(b"{}"), 100), None);
    }
}
