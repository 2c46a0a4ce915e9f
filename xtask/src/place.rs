//! Paths: the workspace, an engine's data, the short directory of its sockets, caches.

use std::env;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// The root of this workspace.
pub(crate) fn workspace() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("xtask lies inside the workspace").to_owned()
}

/// Cargo's target directory.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => workspace().join(dir),
        _ => workspace().join("target"),
    }
}

/// Directory for data that later runs reuse: base images, roots, tools. It is outside of `target/`,
/// so that it survives `cargo clean`.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let dir = base.join("image-builder-xtask");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}

/// Directory of one engine: images, registry contents, logs, state file.
pub(crate) fn engine(name: &str) -> PathBuf {
    target().join("engine").join(name)
}

/// Returns eight hexadecimal digits that identify this engine of this checkout, for names that must
/// be unique on the machine.
pub(crate) fn mark(name: &str) -> String {
    let digest = Sha256::digest(engine(name).as_os_str().as_encoded_bytes());
    hex::encode(&digest[..4])
}

/// Directory of an engine's sockets. It is short because the path of a unix socket must be shorter
/// than 108 bytes.
pub(crate) fn sockets(name: &str) -> PathBuf {
    PathBuf::from(format!("/tmp/ib-{}", mark(name)))
}

/// Creates [`sockets`], accessible for the current user only. The name is predictable, so a
/// directory that another user created is rejected.
pub(crate) fn make_sockets(name: &str) -> Result<PathBuf> {
    let dir = sockets(name);
    if let Err(error) = fs::DirBuilder::new().mode(0o700).create(&dir)
        && error.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("cannot make {}", dir.display()));
    }
    let metadata = fs::symlink_metadata(&dir)?;
    if !metadata.is_dir() || metadata.uid() != user()? {
        bail!("{} belongs to somebody else", dir.display());
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;
    Ok(dir)
}

/// Returns the id of the current user.
pub(crate) fn user() -> Result<u32> {
    Ok(fs::metadata("/proc/self").context("no /proc here; private engines need Linux")?.uid())
}
