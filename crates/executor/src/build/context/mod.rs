//! Writes a build's context as a tar stream; `filesync` serves the same files one by one.
//!
//! The same files produce the same bytes: entries are sorted, and have one constant time, user id 0
//! and one of two modes. Files are streamed through a bounded channel and never held in memory.
//! Each file is compared with the digest in the plan; a file that changed ends the stream with an
//! error, so that the engine never takes a partial context for the whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use plan::{Context, Entry, EntryKind, Expect};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use tokio::sync::mpsc;

pub(crate) mod filesync;
mod packet_writer;

/// 1980-01-01, the earliest time that every archive format can represent.
pub const CONSTANT_TIME: i64 = 315_532_800;

/// The ignore file of a context.
const IGNORE_FILE: &str = ".dockerignore";

const CHUNK: usize = 64 * 1024;
const CHUNKS_UNDERWAY: usize = 8;

/// Why a context cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The file differs from the plan.
    #[error("{path} changed after the plan was made")]
    Changed {
        /// Its path in the context.
        path: String,
    },
    /// The file cannot be opened or read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// Its path in the context.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// A path that is not allowed in a context; the planner never produces one.
    #[error("{path:?} cannot be sent: {why}")]
    Path {
        /// The path.
        path: String,
        /// Why it is not allowed.
        why: &'static str,
    },
    /// The engine closed the stream. The request that sends the context has the better error.
    #[error("the engine stopped reading the context")]
    Closed,
}

/// A context that is being sent.
#[derive(Debug)]
pub struct ContextStream {
    /// Chunks of the tar, or an error if it cannot be completed.
    pub chunks: mpsc::Receiver<io::Result<Bytes>>,
    /// Bytes sent so far.
    pub sent: Arc<AtomicU64>,
    /// The outcome; available once the last chunk was taken.
    pub end: tokio::task::JoinHandle<Result<(), ContextError>>,
}

/// The generated Dockerfile of a build whose context is a single tar, as for the classic builder
/// and podman.
///
/// These builders hide the Dockerfile from `COPY` if the `.dockerignore` in the tar excludes it. So
/// the tar's `.dockerignore` lists the generated Dockerfile, and also lists itself if the context
/// has no `.dockerignore`. If the context has one, `COPY` sees that file with one more line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Its text.
    pub text: String,
    /// Its path, which is not the path of a file of the context.
    pub path: String,
}

impl Generated {
    /// Creates a Dockerfile for a context. The path depends only on the names in the context, so
    /// that equal contexts produce equal layers.
    #[must_use]
    pub fn new(text: String, context: &Context) -> Self {
        let is_taken = |path: &String| {
            context.entries.iter().any(|entry| entry.path.split('/').next() == Some(path.as_str()))
        };
        let names = (0_u64..).map(|number| match number {
            0 => ".image-builder.Dockerfile".to_owned(),
            _ => format!(".image-builder-{number}.Dockerfile"),
        });
        let mut free = names.skip_while(is_taken);
        Self { text, path: free.next().expect("a context has a finite number of files") }
    }
}

/// Starts to stream a context with a generated Dockerfile. Every entry gets the time `mtime`, in
/// Unix seconds.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn stream(context: Context, dockerfile: Generated, mtime: i64) -> ContextStream {
    let (sender, chunks) = mpsc::channel(CHUNKS_UNDERWAY);
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let end = tokio::task::spawn_blocking(move || {
        let writer =
            ChannelWriter { sender: sender.clone(), buffer: BytesMut::with_capacity(CHUNK), counter };
        let written = write_tar(writer, &context, &dockerfile, mtime);
        if let Err(error) = &written {
            // Aborts the request: the engine could take a short tar for the whole context.
            let _ = sender.blocking_send(Err(io::Error::other(error.to_string())));
        }
        written
    });
    ContextStream { chunks, sent, end }
}

/// Finds the first symbolic link whose target is outside of the context. podman's service rejects
/// such a context.
pub(crate) fn link_that_leaves(context: &Context) -> Option<(&str, &str)> {
    context.entries.iter().find_map(|entry| {
        let EntryKind::Symlink { target } = &entry.kind else { return None };
        let mut depth = entry.path.split('/').count() - 1;
        let leaves = target.split('/').any(|part| match part {
            "" | "." => false,
            ".." if depth == 0 => true,
            ".." => {
                depth -= 1;
                false
            }
            _ => {
                depth += 1;
                false
            }
        });
        leaves.then_some((entry.path.as_str(), target.as_str()))
    })
}

/// Writes the whole archive.
pub(crate) fn write_tar(
    writer: impl Write,
    context: &Context,
    dockerfile: &Generated,
    mtime: i64,
) -> Result<(), ContextError> {
    let mtime = u64::try_from(mtime).unwrap_or(0);
    let mut archive = Archive { builder: tar::Builder::new(writer), mtime };
    archive.bytes(&dockerfile.path, dockerfile.text.as_bytes())?;
    if context.entries.iter().all(|entry| entry.path.split('/').next() != Some(IGNORE_FILE)) {
        archive.bytes(IGNORE_FILE, format!("{}\n{IGNORE_FILE}\n", dockerfile.path).as_bytes())?;
    }
    let mut previous: Option<&str> = None;
    let mut checked = CheckedDirectories::default();
    for entry in &context.entries {
        check_path(entry, previous)?;
        for directory in directories(context, previous, entry) {
            archive.directory(directory?)?;
        }
        match &entry.kind {
            EntryKind::File { executable, expect } => {
                checked.check(entry)?;
                let behind = if entry.path == IGNORE_FILE {
                    format!("\n{}\n", dockerfile.path)
                } else {
                    String::new()
                };
                archive.file(entry, *executable, expect, &behind)?;
            }
            EntryKind::Symlink { target } => {
                checked.check(entry)?;
                check_link(entry, target)?;
                archive.link(&entry.path, target)?;
            }
        }
        previous = Some(&entry.path);
    }
    let mut writer = archive.builder.into_inner().map_err(|_| ContextError::Closed)?;
    writer.flush().map_err(|_| ContextError::Closed)
}

fn path_error(path: &str, why: &'static str) -> ContextError {
    ContextError::Path { path: path.to_owned(), why }
}

fn check_path(entry: &Entry, previous: Option<&str>) -> Result<(), ContextError> {
    let path = entry.path.as_str();
    if path.contains('\0') || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(path_error(path, "it does not stay in its directory"));
    }
    if previous.is_some_and(|previous| previous >= path) {
        return Err(path_error(path, "the files are not sorted"));
    }
    Ok(())
}

/// The directories to add before an entry; an error if one of them has the name of a file.
fn directories<'a>(
    context: &'a Context,
    previous: Option<&str>,
    entry: &'a Entry,
) -> impl Iterator<Item = Result<&'a str, ContextError>> {
    new_directories(previous, &entry.path).map(|directory| {
        let taken = context.entries.binary_search_by(|other| other.path.as_str().cmp(directory)).is_ok();
        if taken {
            Err(path_error(&entry.path, "a file has the name of its directory"))
        } else {
            Ok(directory)
        }
    })
}

/// The directories of `path` that the previous path did not have, outermost first. The list is
/// sorted, so each directory is returned once.
fn new_directories<'a>(previous: Option<&str>, path: &'a str) -> impl Iterator<Item = &'a str> {
    let previous = previous.unwrap_or_default().to_owned();
    path.match_indices('/').map(|(end, _)| end).filter_map(move |end| {
        let known = previous.len() > end && previous.as_bytes()[..=end] == path.as_bytes()[..=end];
        (!known).then(|| &path[..end])
    })
}

/// Checks that directories are not symbolic links, so that no link leads out of a layer. Remembers
/// the last one.
#[derive(Default)]
struct CheckedDirectories {
    last: Option<PathBuf>,
}

impl CheckedDirectories {
    fn check(&mut self, entry: &Entry) -> Result<(), ContextError> {
        let depth = entry.path.matches('/').count();
        let Some(parent) = entry.source.parent() else { return Ok(()) };
        if depth == 0 || self.last.as_deref() == Some(parent) {
            return Ok(());
        }
        for directory in parent.ancestors().take(depth) {
            let kind = directory
                .symlink_metadata()
                .map_err(|source| ContextError::Read { path: entry.path.clone(), source })?;
            if !kind.is_dir() {
                return Err(ContextError::Changed { path: entry.path.clone() });
            }
        }
        self.last = Some(parent.to_owned());
        Ok(())
    }
}

/// Checks that a symbolic link still has the planned target, if it is checked out as a link.
fn check_link(entry: &Entry, target: &str) -> Result<(), ContextError> {
    if target.is_empty() || target.contains('\0') {
        return Err(path_error(&entry.path, "it is a link to nothing that a system could name"));
    }
    let read = |source| ContextError::Read { path: entry.path.clone(), source };
    let metadata = entry.source.symlink_metadata().map_err(read)?;
    if metadata.is_symlink() && entry.source.read_link().map_err(read)? != Path::new(target) {
        return Err(ContextError::Changed { path: entry.path.clone() });
    }
    Ok(())
}

struct Archive<W: Write> {
    builder: tar::Builder<W>,
    mtime: u64,
}

impl<W: Write> Archive<W> {
    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    fn append(&mut self, mut header: tar::Header, path: &str, data: impl Read) -> Result<(), ContextError> {
        // As in GNU tar, names of more than 100 bytes go into a separate entry before this one.
        self.builder.append_data(&mut header, path, data).map_err(|_| ContextError::Closed)
    }

    fn bytes(&mut self, path: &str, data: &[u8]) -> Result<(), ContextError> {
        self.append(self.header(tar::EntryType::Regular, 0o644, data.len() as u64), path, data)
    }

    fn directory(&mut self, path: &str) -> Result<(), ContextError> {
        self.append(self.header(tar::EntryType::Directory, 0o755, 0), &format!("{path}/"), io::empty())
    }

    fn link(&mut self, path: &str, target: &str) -> Result<(), ContextError> {
        let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
        if header.set_link_name_literal(target).is_err() {
            // GNU tar's format for long targets. The crate could write it too, but would normalise
            // the target first.
            let mut long = self.header(tar::EntryType::GNULongLink, 0o644, target.len() as u64 + 1);
            long.set_path("././@LongLink").map_err(|_| path_error(path, "its target is too long"))?;
            long.set_cksum();
            self.builder
                .append(&long, target.as_bytes().chain(&b"\0"[..]))
                .map_err(|_| ContextError::Closed)?;
            let mut cut = 100;
            while !target.is_char_boundary(cut) {
                cut -= 1;
            }
            header
                .set_link_name_literal(&target[..cut])
                .map_err(|_| path_error(path, "its target is too long"))?;
        }
        self.append(header, path, io::empty())
    }

    /// Adds a file, with the bytes of `behind` appended to its contents.
    fn file(
        &mut self,
        entry: &Entry,
        executable: bool,
        expect: &Expect,
        behind: &str,
    ) -> Result<(), ContextError> {
        let (file, size) = open(entry)?;
        let mut contents = Hashing::new(&file, expect, size);
        let mode = if executable { 0o755 } else { 0o644 };
        let header = self.header(tar::EntryType::Regular, mode, size.saturating_add(behind.len() as u64));
        let appended = self.append(header, &entry.path, (&mut contents).chain(behind.as_bytes()));
        if let Some(source) = contents.error.take() {
            return Err(ContextError::Read { path: entry.path.clone(), source });
        }
        appended?;
        contents.finish(entry, expect)
    }
}

/// Opens a file and returns its size, without following a link or blocking on a pipe.
fn open(entry: &Entry) -> Result<(File, u64), ContextError> {
    let read = |source| ContextError::Read { path: entry.path.clone(), source };
    let changed = || ContextError::Changed { path: entry.path.clone() };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&entry.source)
        .map_err(|error| if error.raw_os_error() == Some(libc::ELOOP) { changed() } else { read(error) })?;
    let metadata = file.metadata().map_err(read)?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(changed()) }
}

/// Reads a file of known size and hashes its bytes.
struct Hashing<'a> {
    file: &'a File,
    left: u64,
    digest: ContentDigest,
    error: Option<io::Error>,
}

enum ContentDigest {
    GitBlob(Sha1),
    Sha256(Sha256),
}

impl ContentDigest {
    fn is(self, expect: &Expect) -> bool {
        match (self, expect) {
            (Self::GitBlob(hash), Expect::GitBlob(hex)) => *hex == hex::encode(hash.finalize()),
            (Self::Sha256(hash), Expect::Sha256(hex)) => *hex == hex::encode(hash.finalize()),
            _ => false,
        }
    }
}

impl<'a> Hashing<'a> {
    fn new(file: &'a File, expect: &Expect, size: u64) -> Self {
        let digest = match expect {
            Expect::GitBlob(_) => ContentDigest::GitBlob(Sha1::new_with_prefix(format!("blob {size}\0"))),
            Expect::Sha256(_) => ContentDigest::Sha256(Sha256::new()),
        };
        Self { file, left: size, digest, error: None }
    }

    /// Checks that the file has ended and is the planned one.
    fn finish(mut self, entry: &Entry, expect: &Expect) -> Result<(), ContextError> {
        let read = |source| ContextError::Read { path: entry.path.clone(), source };
        let grown = self.file.read(&mut [0]).map_err(read)? > 0;
        if self.left > 0 || grown || !self.digest.is(expect) {
            return Err(ContextError::Changed { path: entry.path.clone() });
        }
        Ok(())
    }
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = match self.file.read(&mut buffer[..most]) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let again = io::Error::from(error.kind());
                self.error = Some(error);
                return Err(again);
            }
        };
        match &mut self.digest {
            ContentDigest::GitBlob(hash) => hash.update(&buffer[..count]),
            ContentDigest::Sha256(hash) => hash.update(&buffer[..count]),
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// Sends the written bytes in chunks, and blocks while too many are in flight.
struct ChannelWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: BytesMut,
    counter: Arc<AtomicU64>,
}

impl Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = data.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&data[..count]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, BytesMut::with_capacity(CHUNK)).freeze();
        let bytes = chunk.len() as u64;
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.counter.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
