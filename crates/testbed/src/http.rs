//! The smallest client: one request on one connection, bounded. HTTP/1.0, so that no answer comes
//! in chunks.

use std::io;
use std::time::Duration;

use crate::proxy::Upstream;

/// How long one request may be silent.
const LIMIT: Duration = Duration::from_secs(30);

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Sends a request and reads the answer to its end.
///
/// # Errors
/// When nobody answers there, or not with HTTP.
pub fn ask(
    to: &Upstream,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Response> {
    let socket = to.connect()?;
    socket.limit_waiting(LIMIT)?;
    let host = if let Upstream::Tcp(address) = to { address } else { "localhost" };
    let mut head =
        format!("{method} {target} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    socket.write(&[head.as_bytes(), body].concat())?;
    let all = socket.read_to_end()?;
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut slots);
    match parsed.parse(&all) {
        Ok(httparse::Status::Complete(length)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = parsed.headers.iter();
            Ok(Response {
                status: parsed.code.unwrap_or_default(),
                headers: headers
                    .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
                    .collect(),
                body: all[length..].to_vec(),
            })
        }
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
