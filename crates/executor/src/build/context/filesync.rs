//! Serves a context over a BuildKit session: BuildKit receives all names, and requests the files
//! that it lacks.
//!
//! The protocol is that of fsutil, which BuildKit calls `FileSync/DiffCopy`: a packet for each name
//! with its size, mode and time, and an empty packet after the last one. Contents are sent in the
//! order of the requests, between names and after them. They are verified as for the tar, and a
//! file that changed ends the stream with an error. A file that is not requested is not read: the
//! engine's copy under the key of this context came from a session that verified it, so it is the
//! planned file even if the local one changed since. Does not know about engines or sessions, only
//! about packets.
//!
//! A session offers two directories: `context`, the files that `COPY` can use, and `dockerfile`,
//! which contains only the generated Dockerfile.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;
use plan::{Context, Entry, EntryKind, Expect};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tonic::Status;

use crate::build::context::packet_writer::{CHUNK, Pieces, packet};
use crate::build::context::{
    CheckedDirectories, ContextError, Hashing, IGNORE_FILE, check_link, check_path, directories, open,
};

/// Maximum number of pieces in flight.
const PIECES_UNDERWAY: usize = 8;

/// Number of names in a piece.
const NAMES_AT_ONCE: usize = 64;

/// File kinds in the encoding of Go's `fs.FileMode`, which the protocol uses.
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_SYMLINK: u32 = 1 << 27;

/// The name of the Dockerfile in its directory.
pub(crate) const DOCKERFILE: &str = "Dockerfile";

/// The files that a session offers for one build.
#[derive(Debug)]
pub(crate) struct Source {
    context: Context,
    dockerfile: String,
    mtime: i64,
    /// Bytes of files sent so far.
    pub sent: Arc<AtomicU64>,
    failure: Mutex<Option<ContextError>>,
}

/// The requested directory, and the requested paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Requested {
    /// The directory that contains only the Dockerfile.
    Dockerfile,
    /// All of the context.
    All,
    /// These paths and everything below them.
    Paths(Vec<String>),
}

impl Requested {
    /// Parses a request: the directory's name, and the paths that the engine will read. Announcing
    /// more paths is harmless, so patterns are not interpreted. `.dockerignore` was applied when
    /// the context was planned: an engine that requests only that file, to apply its patterns,
    /// receives nothing.
    pub(crate) fn new(directory: &str, paths: &[String]) -> Option<Self> {
        match directory {
            "dockerfile" => return Some(Self::Dockerfile),
            "context" => {}
            _ => return None,
        }
        let paths: Vec<String> =
            paths.iter().map(|path| path.trim_matches('/').trim_start_matches("./").to_owned()).collect();
        let is_plain =
            |path: &String| !path.is_empty() && path != "." && !path.contains(['*', '?', '[', '\\', '%']);
        if paths.is_empty() || !paths.iter().all(is_plain) {
            return Some(Self::All);
        }
        Some(Self::Paths(paths.into_iter().filter(|path| path != IGNORE_FILE).collect()))
    }

    fn has(&self, path: &str) -> bool {
        match self {
            Self::Dockerfile => false,
            Self::All => true,
            Self::Paths(paths) => paths.iter().any(|wanted| {
                path.strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }),
        }
    }
}

/// A name in the requested directory.
#[derive(Debug, Clone, Copy)]
enum Name<'a> {
    Directory(&'a str),
    Dockerfile,
    Entry(&'a Entry),
}

impl<'a> Name<'a> {
    fn path(self) -> &'a str {
        match self {
            Self::Directory(path) => path,
            Self::Dockerfile => DOCKERFILE,
            Self::Entry(entry) => &entry.path,
        }
    }
}

impl Source {
    pub(crate) fn new(context: Context, dockerfile: String, mtime: i64) -> Self {
        Self { context, dockerfile, mtime, sent: Arc::default(), failure: Mutex::default() }
    }

    /// The key under which an engine caches what it fetched. The engine considers a file unchanged
    /// if size and time are the same. All files have the same time here, so the key covers every
    /// byte of the context. The time of the generated Dockerfile depends on its text instead.
    pub(crate) fn key(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        part("image-builder context 2");
        part(&self.mtime.to_string());
        for entry in &self.context.entries {
            part(&entry.path);
            match &entry.kind {
                EntryKind::File { executable, expect } => {
                    part(if *executable { "program" } else { "file" });
                    part(match expect {
                        Expect::GitBlob(hex) | Expect::Sha256(hex) => hex,
                    });
                }
                EntryKind::Symlink { target } => {
                    part("link");
                    part(target);
                }
            }
        }
        hex::encode(hash.finalize())
    }

    /// Takes the error that prevented serving the context, if any.
    pub(crate) fn failure(&self) -> Option<ContextError> {
        self.failure.lock().take()
    }

    /// Serves the requested files to the peer that sends `requests`. Returns gRPC messages in
    /// pieces, each of which ends with a complete message.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn serve(
        self: Arc<Self>,
        wanted: Requested,
        requests: impl Stream<Item = Result<Packet, Status>> + Send + Unpin + 'static,
    ) -> mpsc::Receiver<Result<Bytes, Status>> {
        let (sender, pieces) = mpsc::channel(PIECES_UNDERWAY);
        let (asks, asked) = mpsc::unbounded_channel();
        // Requests are read as they arrive: if they are not read, the peer stops reading too.
        tokio::spawn(receive(requests, asks));
        tokio::task::spawn_blocking(move || {
            let give = |piece| sender.blocking_send(Ok(piece)).map_err(|_| ContextError::Closed);
            if let Err(error) = self.give(&wanted, asked, Pieces::new(&give)) {
                let status = Status::aborted(error.to_string());
                // Record the failure first: it is read when the engine reports an error.
                if !matches!(error, ContextError::Closed) {
                    *self.failure.lock() = Some(error);
                }
                let _ = sender.blocking_send(Err(status));
            }
        });
        pieces
    }

    fn give(
        &self,
        wanted: &Requested,
        mut asked: UnboundedReceiver<PeerMessage>,
        mut pieces: Pieces<'_>,
    ) -> Result<(), ContextError> {
        let names = self.names(wanted)?;
        let mut checked = CheckedDirectories::default();
        // Announced sizes of the files that may still be requested.
        let mut sizes = Vec::with_capacity(names.len());
        let mut next = None;
        for name in &names {
            let stat = self.stat(*name, &mut checked)?;
            let is_file = stat.mode & (MODE_DIRECTORY | MODE_SYMLINK) == 0;
            sizes.push(is_file.then_some(stat.size));
            pieces.packet(&Packet { stat: Some(stat), ..packet(PacketType::PacketStat) })?;
            // Send small batches: otherwise the engine would request nothing until all names were
            // sent.
            if sizes.len().is_multiple_of(NAMES_AT_ONCE) {
                pieces.hand_on()?;
            }
            // The engine creates files from names while it receives contents, so names and contents
            // are interleaved.
            next = next.or_else(|| asked.try_recv().ok());
            if let Some(PeerMessage::File(id)) = next
                && (id as usize) < sizes.len()
            {
                next = None;
                self.give_file(id, &names, &mut sizes, &mut pieces)?;
            }
        }
        pieces.packet(&packet(PacketType::PacketStat))?;
        loop {
            next = next.or_else(|| asked.try_recv().ok());
            if next.is_none() {
                pieces.hand_on()?;
                next = asked.blocking_recv();
            }
            match next.take() {
                Some(PeerMessage::File(id)) => self.give_file(id, &names, &mut sizes, &mut pieces)?,
                Some(PeerMessage::End) => {
                    pieces.packet(&packet(PacketType::PacketFin))?;
                    return pieces.hand_on();
                }
                None => return Err(ContextError::Closed),
            }
        }
    }

    /// Sends the contents of an announced file. `sizes` contains the files that may still be
    /// requested.
    fn give_file(
        &self,
        id: u32,
        names: &[Name<'_>],
        sizes: &mut [Option<i64>],
        pieces: &mut Pieces<'_>,
    ) -> Result<(), ContextError> {
        let at = id as usize;
        // Each file is sent once, so that a peer cannot make us read a file repeatedly.
        let size = sizes.get_mut(at).and_then(Option::take).ok_or(ContextError::Closed)?;
        match names[at] {
            Name::Dockerfile => {
                let text = self.dockerfile.as_bytes();
                pieces.contents(id, text.len(), |space| space.copy_from_slice(text))?;
                self.sent.fetch_add(text.len() as u64, Ordering::Relaxed);
            }
            Name::Entry(entry) => read(entry, size, |contents, count| {
                let read = pieces.contents(id, count, |space| contents.read_exact(space))?;
                self.sent.fetch_add(count as u64, Ordering::Relaxed);
                Ok(read)
            })?,
            Name::Directory(_) => {}
        }
        pieces.packet(&Packet { id, ..packet(PacketType::PacketData) })
    }

    /// All requested names, each directory before its contents.
    fn names(&self, wanted: &Requested) -> Result<Vec<Name<'_>>, ContextError> {
        if *wanted == Requested::Dockerfile {
            return Ok(vec![Name::Dockerfile]);
        }
        // A requested path may be reached through a link.
        let links = self.context.entries.iter().any(|entry| matches!(entry.kind, EntryKind::Symlink { .. }));
        let all = &Requested::All;
        let wanted = if links && !matches!(wanted, Requested::Paths(paths) if paths.is_empty()) {
            all
        } else {
            wanted
        };
        let mut names: Vec<Name<'_>> = Vec::new();
        let (mut checked, mut reported): (Option<&str>, Option<&str>) = (None, None);
        for entry in &self.context.entries {
            check_path(entry, checked)?;
            checked = Some(&entry.path);
            if wanted.has(&entry.path) {
                for directory in directories(&self.context, reported, entry) {
                    names.push(Name::Directory(directory?));
                }
                names.push(Name::Entry(entry));
                reported = Some(&entry.path);
            }
        }
        names.sort_by(|one, other| one.path().split('/').cmp(other.path().split('/')));
        Ok(names)
    }

    fn stat(&self, name: Name<'_>, checked: &mut CheckedDirectories) -> Result<Stat, ContextError> {
        let time = self.mtime.saturating_mul(1_000_000_000);
        let stat = Stat { path: name.path().to_owned(), mod_time: time, ..Stat::default() };
        Ok(match name {
            Name::Directory(_) => Stat { mode: MODE_DIRECTORY | 0o755, ..stat },
            Name::Dockerfile => Stat {
                mode: 0o644,
                size: self.dockerfile.len() as i64,
                mod_time: dockerfile_time(&self.dockerfile),
                ..stat
            },
            Name::Entry(entry) => {
                checked.check(entry)?;
                match &entry.kind {
                    EntryKind::Symlink { target } => {
                        check_link(entry, target)?;
                        let size = target.len() as i64;
                        Stat { mode: MODE_SYMLINK | 0o777, size, linkname: target.clone(), ..stat }
                    }
                    EntryKind::File { executable, .. } => {
                        let read = |source| ContextError::Read { path: entry.path.clone(), source };
                        let metadata = entry.source.symlink_metadata().map_err(read)?;
                        if !metadata.is_file() {
                            return Err(ContextError::Changed { path: entry.path.clone() });
                        }
                        let mode = if *executable { 0o755 } else { 0o644 };
                        Stat { mode, size: i64::try_from(metadata.len()).unwrap_or(i64::MAX), ..stat }
                    }
                }
            }
        })
    }
}

/// Reads a file in chunks and checks that it is the planned file and has the announced size. The
/// caller does not send the end of the file before that check has passed.
fn read(
    entry: &Entry,
    reported: i64,
    mut take: impl FnMut(&mut Hashing<'_>, usize) -> Result<io::Result<()>, ContextError>,
) -> Result<(), ContextError> {
    let EntryKind::File { expect, .. } = &entry.kind else { return Ok(()) };
    let (file, size) = open(entry)?;
    if i64::try_from(size) != Ok(reported) {
        return Err(ContextError::Changed { path: entry.path.clone() });
    }
    let mut contents = Hashing::new(&file, expect, size);
    while contents.left > 0 {
        let count = usize::try_from(contents.left).unwrap_or(CHUNK).min(CHUNK);
        match take(&mut contents, count)? {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(source) => return Err(ContextError::Read { path: entry.path.clone(), source }),
        }
    }
    contents.finish(entry, expect)
}

/// A modification time derived from the Dockerfile's text.
fn dockerfile_time(text: &str) -> i64 {
    let hash = Sha256::digest(text);
    let number = hash[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (number >> 2) as i64
}

/// A message of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PeerMessage {
    File(u32),
    End,
}

async fn receive(
    mut requests: impl Stream<Item = Result<Packet, Status>> + Unpin,
    asks: mpsc::UnboundedSender<PeerMessage>,
) {
    let mut seen = BTreeSet::new();
    while let Some(Ok(packet)) = requests.next().await {
        let asked = match packet.r#type() {
            // Each id is queued once, so at most as many requests are queued as there are files.
            PacketType::PacketReq if seen.insert(packet.id) => PeerMessage::File(packet.id),
            PacketType::PacketFin => PeerMessage::End,
            _ => return,
        };
        if asks.send(asked).is_err() || asked == PeerMessage::End {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
