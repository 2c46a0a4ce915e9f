//! Combines small writes of a connection into large ones.
//!
//! HTTP/2 writes frame by frame with a flush after each, and engines accept frames of at most 16
//! KiB. Each flush is a system call that wakes the engine, which wakes this process as soon as it
//! has read; that costs more than copying the bytes. So written bytes are collected until the
//! connection has nothing more to write for now, or until [`MOST`] bytes are collected.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use parking_lot::{Mutex, MutexGuard};

/// Collected bytes that trigger a write: more than a socket accepts at once.
const MOST: usize = 256 * 1024;

/// Runs a connection over `stream` to its end.
pub(super) async fn run<T, F>(stream: T, connection: impl FnOnce(WriteCoalescer<T>) -> F) -> Option<F::Output>
where
    T: Read + Write + Unpin,
    F: Future,
{
    let gathered = WriteCoalescer(Arc::new(Mutex::new(Buffered {
        stream,
        bytes: Vec::new(),
        sent: 0,
        is_flushed: true,
    })));
    let held = WriteCoalescer(Arc::clone(&gathered.0));
    let mut connection = pin!(connection(gathered));
    poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(ended));
        }
        // The reader is waiting, perhaps for an answer to bytes that are still buffered.
        match held.held().poll_flush(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A stream whose writes are collected; only [`run`] flushes it.
#[derive(Debug)]
pub(super) struct WriteCoalescer<T>(Arc<Mutex<Buffered<T>>>);

#[derive(Debug)]
struct Buffered<T> {
    stream: T,
    bytes: Vec<u8>,
    /// Number of these bytes that were written already.
    sent: usize,
    is_flushed: bool,
}

impl<T> WriteCoalescer<T> {
    /// Never contended: one task holds both ends.
    fn held(&self) -> MutexGuard<'_, Buffered<T>> {
        self.0.lock()
    }
}

impl<T: Write + Unpin> Buffered<T> {
    /// Copies as much of `parts` as fits into the buffer, after sending the buffer if it is full.
    fn poll_take(&mut self, cx: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.bytes.len() >= MOST {
            ready!(self.poll_send(cx))?;
        }
        let before = self.bytes.len();
        for part in parts {
            let room = MOST - self.bytes.len();
            self.bytes.extend_from_slice(&part[..part.len().min(room)]);
        }
        Poll::Ready(Ok(self.bytes.len() - before))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.bytes.len() {
            self.is_flushed = false;
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes[self.sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        self.bytes.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        if !self.is_flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Read + Unpin> Read for WriteCoalescer<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.held().stream).poll_read(cx, buffer)
    }
}

impl<T: Write + Unpin> Write for WriteCoalescer<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.held().poll_take(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.held().poll_take(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Does nothing, since h2 calls it after every frame; [`run`] flushes.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut held = self.held();
        ready!(held.poll_flush(cx))?;
        Pin::new(&mut held.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    /// A stream that counts the bytes of each write.
    struct Counting(TokioIo<DuplexStream>, Arc<AtomicUsize>);

    impl Read for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl Write for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, data)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn frames_leave_together_and_none_is_lost() {
        // More bytes than are collected at once, and a reader that accepts fewer at a time.
        let (here, mut there) = tokio::io::duplex(100_000);
        let frames: Vec<Vec<u8>> = (0..3_000_u32).map(|number| number.to_be_bytes().repeat(100)).collect();
        let (sent, writes) = (frames.clone(), Arc::new(AtomicUsize::new(0)));
        let counting = Counting(TokioIo::new(here), Arc::clone(&writes));
        let connection = tokio::spawn(run(counting, |stream| async move {
            let mut stream = TokioIo::new(stream);
            for frame in sent {
                stream.write_all(&frame).await?;
                stream.flush().await?;
            }
            stream.shutdown().await
        }));
        let mut read = Vec::new();
        there.read_to_end(&mut read).await.expect("it is in memory");
        let ended = connection.await.expect("it does not panic");
        assert!(matches!(ended, Some(Ok(()))), "{ended:?}");
        assert!(read == frames.concat());
        let writes = writes.load(Ordering::Relaxed);
        assert!(writes < 100, "{writes} writes of 3000 frames");
    }

    #[tokio::test]
    async fn what_was_said_is_sent_before_an_answer_is_waited_for() {
        let (here, mut there) = tokio::io::duplex(100);
        let connection = tokio::spawn(run(TokioIo::new(here), |stream| async move {
            let mut stream = TokioIo::new(stream);
            let mut answer = [0; 4];
            stream.write_all(b"ping").await?;
            stream.read_exact(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        }));
        let mut asked = [0; 4];
        there.read_exact(&mut asked).await.expect("it was sent");
        assert_eq!(&asked, b"ping");
        there.write_all(b"pong").await.expect("it listens");
        let answer = connection.await.expect("it does not panic");
        assert!(matches!(answer, Some(Ok(answer)) if &answer == b"pong"));
    }

    #[tokio::test]
    async fn a_connection_ends_with_its_other_side() {
        let (here, there) = tokio::io::duplex(100);
        drop(there);
        let ended = run(TokioIo::new(here), |stream| async move {
            TokioIo::new(stream).write_all(b"ping").await?;
            std::future::pending::<io::Result<()>>().await
        });
        assert!(ended.await.is_none());
    }
}
