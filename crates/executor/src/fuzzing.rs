//! Exposes private functions to the crate `fuzzing`, behind a feature that no release enables.

use std::io::Write;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::rt::TokioIo;
use plan::{Context, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::build::context::{self, CONSTANT_TIME, ContextError, Generated};
use crate::build::progress::ProgressEvent;
use crate::build::{self, dockerfile};

/// The archive of a context, as it is sent.
///
/// # Errors
/// What cannot be sent.
pub fn write_tar(writer: impl Write, context: &Context, dockerfile: &str) -> Result<(), ContextError> {
    let dockerfile = Generated::new(dockerfile.to_owned(), context);
    context::write_tar(writer, context, &dockerfile, CONSTANT_TIME)
}

/// A Dockerfile with other names in it, as it is sent.
///
/// # Errors
/// Which span names nothing.
pub fn replace(text: &str, replacements: &[(Span, String)]) -> Result<String, String> {
    dockerfile::replace(text, replacements)
}

/// How an engine's answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As HTTP says that it ends.
    Whole,
    /// The connection is gone in the middle.
    Cut,
}

/// The outcome of an answer.
#[derive(Debug)]
pub struct Answer {
    /// The image's id, or why there is none.
    pub image: Result<String, String>,
    /// Names of steps and lines of output.
    pub texts: Vec<String>,
}

/// Answers a build over a real connection, in pieces, and takes the answer as a build does: through bollard, its
/// reader of JSON, and ours of what it says.
///
/// # Panics
/// Outside of a tokio runtime.
pub async fn receive(pieces: Vec<Vec<u8>>, end: End) -> Answer {
    let transport = move |request: BollardRequest| {
        let pieces = pieces.clone();
        async move {
            let (ours, engines) = tokio::io::duplex(64 * 1024);
            tokio::spawn(serve(engines, pieces, end));
            let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(ours)).await?;
            tokio::spawn(connection);
            Ok(client.send_request(request).await?)
        }
    };
    let engine =
        Docker::connect_with_custom_transport(transport, Some("http://engine"), 60, API_DEFAULT_VERSION)
            .expect("nothing is opened yet");
    let mut heard = Vec::new();
    let image = build::answer(&engine, &mut heard).await.map_err(|failure| failure.message);
    let text = |heard| match heard {
        ProgressEvent::Step { name, .. } => name,
        ProgressEvent::Line(line) => line,
    };
    Answer { image, texts: heard.into_iter().map(text).collect() }
}

/// An engine that reads no request and answers all the same.
async fn serve(mut connection: tokio::io::DuplexStream, pieces: Vec<Vec<u8>>, end: End) {
    let mut request = [0; 4096];
    let _ = connection.read(&mut request).await;
    let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        answer.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        answer.extend(piece);
        answer.extend(b"\r\n");
    }
    if end == End::Whole {
        answer.extend(b"0\r\n\r\n");
    }
    // A client that closed the connection has read enough.
    let _ = connection.write_all(&answer).await;
    let _ = connection.shutdown().await;
}
