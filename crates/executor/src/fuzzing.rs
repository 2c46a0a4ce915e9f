//! Exposes private functions to the crate `fuzzing`, behind a feature that no release enables.

use std::io::Write;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::rt::TokioIo;
use plan::{Context, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::build::context::{self, CONSTANT_TIME, ContextError, Generated};
use crate::build::progress::ProgressEvent;
use crate::build::{self, dockerfile};

/// Writes the archive of a context, as it is sent to an engine.
///
/// # Errors
/// If a file of the context cannot be sent.
pub fn write_tar(writer: impl Write, context: &Context, dockerfile: &str) -> Result<(), ContextError> {
    let dockerfile = Generated::new(dockerfile.to_owned(), context);
    context::write_tar(writer, context, &dockerfile, CONSTANT_TIME)
}

/// Replaces names in a Dockerfile, as before it is sent.
///
/// # Errors
/// Names the invalid span.
pub fn replace(text: &str, replacements: &[(Span, String)]) -> Result<String, String> {
    dockerfile::replace(text, replacements)
}

/// How an engine's response ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// As HTTP declares.
    Whole,
    /// The connection breaks in the middle.
    Cut,
}

/// The outcome of a response.
#[derive(Debug)]
pub struct Answer {
    /// The image's id, or the error.
    pub image: Result<String, String>,
    /// Names of steps and lines of output.
    pub texts: Vec<String>,
}

/// Sends a build's response over a real connection, in pieces, and reads it as a build does:
/// through bollard, its JSON reader, and our parser.
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

/// An engine that answers without parsing the request.
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
