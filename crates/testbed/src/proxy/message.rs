//! HTTP/1.1 on the wire (RFC 9112): heads, and where a body ends. Bytes are passed on as they came,
//! never written anew.

use std::io;

use super::socket::{Socket, Wire};

/// The longest head that is understood.
const LONGEST_HEAD: usize = 256 * 1024;

/// Names and values in the order of the wire; the names in lower case.
pub type Headers = Vec<(String, String)>;

/// The value of a header.
pub(crate) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn mentions(headers: &Headers, name: &str, word: &str) -> bool {
    let values = headers.iter().filter(|(key, _)| key == name);
    let mut words = values.flat_map(|(_, value)| value.split(',')).map(str::trim);
    words.any(|found| found.eq_ignore_ascii_case(word))
}

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Headers,
    /// As it came.
    pub(crate) raw: Vec<u8>,
    pub(crate) keep_alive: bool,
}

/// An answer without its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    /// As it came.
    pub(crate) raw: Vec<u8>,
    pub(crate) keep_alive: bool,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// A number of bytes.
    Length(u64),
    /// After an empty chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

impl Request {
    /// The next request; `None` when the other side ended, or does not speak HTTP.
    pub(crate) fn read(wire: &mut Wire) -> Result<Self, NoRequest> {
        loop {
            let mut slots = [httparse::EMPTY_HEADER; 128];
            let mut parsed = httparse::Request::new(&mut slots);
            match parsed.parse(wire.ahead()) {
                Ok(httparse::Status::Complete(length)) => {
                    let headers = owned(parsed.headers);
                    let keep_alive = parsed.version == Some(1) && !mentions(&headers, "connection", "close");
                    let method = parsed.method.unwrap_or_default().to_owned();
                    let target = parsed.path.unwrap_or_default().to_owned();
                    return Ok(Self { method, target, headers, raw: wire.take(length), keep_alive });
                }
                Ok(httparse::Status::Partial) if wire.ahead().len() < LONGEST_HEAD => {}
                _ => return Err(NoRequest::NotHttp),
            }
            if !wire.fill().unwrap_or(false) {
                return Err(NoRequest::Ended);
            }
        }
    }

    pub(crate) fn framing(&self) -> Framing {
        if mentions(&self.headers, "transfer-encoding", "chunked") {
            return Framing::Chunked;
        }
        match length(&self.headers) {
            Some(0) | None => Framing::None,
            Some(length) => Framing::Length(length),
        }
    }

    /// Whether the client waits for a 100 before it sends the body.
    pub(crate) fn expects(&self) -> bool {
        mentions(&self.headers, "expect", "100-continue")
    }
}

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRequest {
    Ended,
    NotHttp,
}

impl Answer {
    /// Reads the next head from upstream, as long as `client` is connected.
    pub(crate) fn read(wire: &mut Wire, client: &Socket) -> io::Result<Self> {
        loop {
            let mut slots = [httparse::EMPTY_HEADER; 128];
            let mut parsed = httparse::Response::new(&mut slots);
            let status = parsed.parse(wire.ahead());
            match status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))? {
                httparse::Status::Complete(length) => {
                    let headers = owned(parsed.headers);
                    let keep_alive = parsed.version == Some(1) && !mentions(&headers, "connection", "close");
                    let status = parsed.code.unwrap_or_default();
                    return Ok(Self { status, headers, raw: wire.take(length), keep_alive });
                }
                httparse::Status::Partial => {}
            }
            if wire.ahead().len() > LONGEST_HEAD || !wire.fill_unless_gone(client)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    pub(crate) fn framing(&self, method: &str) -> Framing {
        if method == "HEAD" || self.status < 200 || matches!(self.status, 204 | 304) {
            Framing::None
        } else if mentions(&self.headers, "transfer-encoding", "chunked") {
            Framing::Chunked
        } else {
            length(&self.headers).map_or(Framing::UntilClose, Framing::Length)
        }
    }

    /// Whether what follows is no HTTP any more: 101, or docker's older way of taking a connection
    /// over.
    pub(crate) fn is_takeover(&self, method: &str) -> bool {
        let docker = header(&self.headers, "content-type")
            .is_some_and(|kind| kind.starts_with("application/vnd.docker.") && kind.ends_with("-stream"));
        self.status == 101 || docker && self.framing(method) == Framing::UntilClose
    }
}

fn owned(headers: &[httparse::Header<'_>]) -> Headers {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|header| (header.name.to_ascii_lowercase(), text(header.value))).collect()
}

fn length(headers: &Headers) -> Option<u64> {
    header(headers, "content-length")?.trim().parse().ok()
}

/// A body on the wire, cut into pieces as they come.
#[derive(Debug)]
pub(crate) struct Body {
    left: Left,
}

#[derive(Debug, Clone, Copy)]
enum Left {
    Bytes(u64),
    /// The line with a chunk's size.
    ChunkHead,
    /// Of a chunk, with the line's end behind it.
    Chunk(u64),
    /// Lines up to an empty one.
    Trailers,
    All,
    Nothing,
}

/// A part of a body.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// Whether the body is not over without it: the empty chunk and what follows.
    pub(crate) closes: bool,
}

impl Body {
    pub(crate) fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::None | Framing::Length(0) => Left::Nothing,
            Framing::Length(count) => Left::Bytes(count),
            Framing::Chunked => Left::ChunkHead,
            Framing::UntilClose => Left::All,
        };
        Self { left }
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    /// The next part, `None` at the end. `fill` reads more, and says `false` at the connection's
    /// end.
    pub(crate) fn next(
        &mut self,
        wire: &mut Wire,
        mut fill: impl FnMut(&mut Wire) -> io::Result<bool>,
    ) -> io::Result<Option<Piece>> {
        loop {
            if self.is_over() {
                return Ok(None);
            }
            if let Some((count, closes, left)) = self.step(wire.ahead())? {
                self.left = left;
                return Ok(Some(Piece { bytes: wire.take(count), closes }));
            }
            if !fill(wire)? {
                if !matches!(self.left, Left::All) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                self.left = Left::Nothing;
            }
        }
    }

    /// How many of the bytes to take, whether they end the body, and what remains then. `None`:
    /// more is needed.
    fn step(&self, ahead: &[u8]) -> io::Result<Option<(usize, bool, Left)>> {
        let after = |left: u64, then: Left| {
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(ahead.len());
            (count, left - count as u64, then)
        };
        Ok(match self.left {
            Left::Nothing => None,
            _ if ahead.is_empty() => None,
            Left::All => Some((ahead.len(), false, Left::All)),
            Left::Bytes(left) => {
                let (count, left, done) = after(left, Left::Nothing);
                Some((count, false, if left == 0 { done } else { Left::Bytes(left) }))
            }
            Left::Chunk(left) => {
                let (count, left, done) = after(left, Left::ChunkHead);
                Some((count, false, if left == 0 { done } else { Left::Chunk(left) }))
            }
            Left::ChunkHead => {
                let Some(end) = line(ahead) else { return Ok(None) };
                let text = String::from_utf8_lossy(&ahead[..end]);
                let digits = text.split(';').next().unwrap_or_default().trim();
                match u64::from_str_radix(digits, 16) {
                    Ok(0) => Some((end, true, Left::Trailers)),
                    Ok(size) => Some((end, false, Left::Chunk(size + 2))),
                    Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
                }
            }
            Left::Trailers => {
                let Some(end) = line(ahead) else { return Ok(None) };
                Some((end, true, if end <= 2 { Left::Nothing } else { Left::Trailers }))
            }
        })
    }
}

/// Length of the first line with its end.
fn line(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}
