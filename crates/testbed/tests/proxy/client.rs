//! A client that shows everything, the way in which a connection ended too.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Nothing here takes longer.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Rst,
    /// It did not: nothing came any more.
    Open,
}

/// Sends this and reads until nothing more comes for `patience`.
pub(crate) fn exchange(address: &str, request: &str, patience: Duration) -> (String, End) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    // The connection may be reset before all of it was sent.
    let _ = stream.write_all(request.as_bytes());
    read(&mut stream)
}

/// Reads until the end.
pub(crate) fn read(stream: &mut TcpStream) -> (String, End) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    let end = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break End::Fin,
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Rst,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break End::Open,
            Err(error) => panic!("{error}"),
        }
    };
    (String::from_utf8(all).unwrap(), end)
}

/// Reads until this text appears.
pub(crate) fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let (mut all, mut byte, end) = (String::new(), [0], Instant::now() + BOUND);
    stream.set_read_timeout(Some(BOUND)).unwrap();
    while !all.ends_with(wanted) {
        assert!(
            Instant::now() < end && stream.read(&mut byte).unwrap() == 1,
            "{wanted:?} did not come: {all}"
        );
        all.push(char::from(byte[0]));
    }
    all
}

/// One request whose connection closes after it.
pub(crate) fn last(method: &str, target: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n{length}\r\n{body}")
}

/// One request on a connection that stays.
pub(crate) fn next(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: here\r\n\r\n")
}
