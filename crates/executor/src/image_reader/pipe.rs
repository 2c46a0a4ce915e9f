//! A bounded pipe from async code to a reader on another thread.
//!
//! Neither side runs ahead of the other, so a stream of any length takes the same memory.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Maximum number of chunks in flight.
const PIECES: usize = 8;

/// The writing end. The reader sees the end of the stream only after [`Input::end`]; if the writing
/// end is dropped before, the reader gets an error.
pub(super) struct Input {
    sender: Sender<Option<Bytes>>,
}

/// The reading end, which blocks.
pub(super) struct Output {
    receiver: Receiver<Option<Bytes>>,
    piece: Bytes,
    ended: bool,
}

pub(super) fn pipe() -> (Input, Output) {
    let (sender, receiver) = channel(PIECES);
    (Input { sender }, Output { receiver, piece: Bytes::new(), ended: false })
}

impl Input {
    /// Sends a chunk. Returns false if the reader is gone.
    pub(super) async fn put(&self, piece: Bytes) -> bool {
        self.sender.send(Some(piece)).await.is_ok()
    }

    pub(super) async fn end(self) {
        // An error means that the reader is gone.
        let _ = self.sender.send(None).await;
    }
}

impl Read for Output {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Some(piece)) => self.piece = piece,
                Some(None) => self.ended = true,
                None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream broke off")),
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_come_out_as_they_went_in_and_an_end_is_no_break() {
        for ends in [true, false] {
            let (input, mut output) = pipe();
            let reading = tokio::task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                let read = output.read_to_end(&mut bytes);
                (bytes, read.is_ok())
            });
            for piece in 0..100_u8 {
                assert!(input.put(Bytes::from(vec![piece; usize::from(piece)])).await);
            }
            if ends {
                input.end().await;
            } else {
                drop(input);
            }
            let (bytes, whole) = reading.await.unwrap();
            let expect: Vec<u8> = (0..100_u8).flat_map(|piece| vec![piece; usize::from(piece)]).collect();
            assert_eq!((bytes == expect, whole), (true, ends));
        }
        let (input, output) = pipe();
        drop(output);
        assert!(!input.put(Bytes::from_static(b"x")).await);
    }
}
