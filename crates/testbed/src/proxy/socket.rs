//! A TCP or Unix stream with its read buffer. Independent of HTTP.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;

/// Where somebody listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstream {
    /// `127.0.0.1:port`.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

impl Upstream {
    /// From `unix:///path`, `tcp://host:port`, `http://host:port` or `host:port`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("unix://") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.rsplit("//").next().unwrap_or(text).trim_end_matches('/').to_owned()),
        }
    }

    pub(crate) fn connect(&self) -> io::Result<Arc<Socket>> {
        Ok(Arc::new(match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
            Self::Unix(path) => Socket::Unix(UnixStream::connect(path)?),
        }))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => formatter.write_str(address),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

/// One connection. Reading and writing work on a shared reference, so that two threads can have a
/// direction each.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).write_all(bytes),
            Self::Unix(stream) => (&mut &*stream).write_all(bytes),
        }
    }

    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            Self::Unix(stream) => (&mut &*stream).read(buffer),
        }
    }

    /// Makes reads fail that get nothing for this long.
    pub(crate) fn limit_waiting(&self, limit: Duration) -> io::Result<()> {
        Ok(sockopt::set_socket_timeout(self, sockopt::Timeout::Recv, Some(limit))?)
    }

    /// All until the other side ends.
    pub(crate) fn read_to_end(&self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        match self {
            Self::Tcp(stream) => (&mut &*stream).read_to_end(&mut all)?,
            Self::Unix(stream) => (&mut &*stream).read_to_end(&mut all)?,
        };
        Ok(all)
    }

    /// Shuts directions down. A peer that closed first is no error.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(how),
            Self::Unix(stream) => stream.shutdown(how),
        };
    }

    /// From now on closing means RST. A unix socket has no such thing: there the other side sees
    /// the end, or with bytes unread `ECONNRESET`.
    pub(crate) fn reset_on_close(&self) {
        if let Self::Tcp(stream) = self {
            let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
        }
    }

    /// Waits until there is something to read, at most `limit`. Returns what came first.
    pub(crate) fn wait(&self, watch: Option<&Socket>, limit: Duration) -> Woken {
        let mut all = vec![PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN | PollFlags::RDHUP)];
        all.extend(watch.map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::RDHUP)));
        let limit = Timespec::try_from(limit).expect("waits are short");
        if poll(&mut all, Some(&limit)).is_err() {
            return Woken::Nothing;
        }
        if !all[0].revents().is_empty() {
            Woken::Readable
        } else if all.get(1).is_some_and(|watched| !watched.revents().is_empty()) {
            Woken::WatchedIsGone
        } else {
            Woken::Nothing
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Why [`Socket::wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Bytes, or the end.
    Readable,
    /// The other socket was closed by its far side.
    WatchedIsGone,
    /// The time was over.
    Nothing,
}

/// A connection with what was read ahead.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) socket: Arc<Socket>,
    ahead: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self { socket, ahead: Vec::new() }
    }

    /// Bytes that were read and not yet used.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Takes bytes that were read ahead.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Reads more. `false` is the end.
    pub(crate) fn fill(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 32 * 1024];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(count) => {
                    self.ahead.extend_from_slice(&buffer[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Like [`Wire::fill`], and gives up when `watch` was closed by its far side.
    pub(crate) fn fill_unless_gone(&mut self, watch: &Socket) -> io::Result<bool> {
        loop {
            match self.socket.wait(Some(watch), Duration::from_secs(1)) {
                Woken::Readable => return self.fill(),
                Woken::WatchedIsGone => {
                    return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody waits for it any more"));
                }
                Woken::Nothing => {}
            }
        }
    }
}
