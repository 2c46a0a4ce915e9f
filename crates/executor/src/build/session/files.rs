//! Implements BuildKit's `FileSync` service with the packets of a context.
//!
//! A generated gRPC service would decode every message to a value and copy the file contents once
//! more. This one forwards the contents as they were read; requests are decoded as usual.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bollard_buildkit_proto::fsutil::types::Packet;
use bytes::Bytes;
use hyper::body::Frame;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request, Response};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Status, Streaming};
use tonic_prost::ProstDecoder;
use tower_service::Service;

use crate::build::context::filesync::{Requested, Source};

/// The path by which an engine calls the service.
pub(super) const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// The service, with the files of one build.
#[derive(Clone)]
pub(super) struct Files(pub(super) Arc<Source>);

impl NamedService for Files {
    const NAME: &'static str = "moby.filesync.v1.FileSync";
}

impl Service<Request<Body>> for Files {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ready(Ok(self.answer(request).unwrap_or_else(Status::into_http)))
    }
}

impl Files {
    fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        if request.uri().path() != DIFF_COPY {
            return Err(Status::unimplemented("a session gives its files by DiffCopy"));
        }
        let reported = |key: &str| -> Vec<String> {
            let values = request.headers().get_all(key).iter();
            // A value that is not text is treated as a pattern, that is, as all paths.
            values.map(|value| value.to_str().unwrap_or("*").to_owned()).collect()
        };
        let directory = reported("dir-name").pop().unwrap_or_default();
        let paths = [reported("followpaths"), reported("include-patterns")].concat();
        let wanted = Requested::new(&directory, &paths)
            .ok_or_else(|| Status::not_found(format!("this build has no directory {directory:?}")))?;
        let asks = Streaming::<Packet>::new_request(ProstDecoder::default(), request.into_body(), None, None);
        let pieces = Arc::clone(&self.0).serve(wanted, asks);
        let mut answer = Response::new(Body::new(Pieces { pieces, is_over: false }));
        answer.headers_mut().insert(CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
        Ok(answer)
    }
}

/// A response body made of pieces; ends with a gRPC status in the trailers.
struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes, Status>>,
    is_over: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let status = match ready!(self.pieces.poll_recv(cx)) {
            Some(Ok(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.is_over = true;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::convert::Infallible;

    use bollard_buildkit_proto::fsutil::types::packet::PacketType;
    use bytes::{BufMut as _, BytesMut};
    use hyper::body::Body as _;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use plan::{Context as Contents, Entry, EntryKind, Expect};
    use prost::Message as _;
    use tonic::service::Routes;

    use super::*;
    use crate::build::context::CONSTANT_TIME;

    /// A request whose frames are all available at once.
    struct Frames(VecDeque<Bytes>);

    impl hyper::body::Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|bytes| Ok(Frame::data(bytes))))
        }
    }

    fn asked(kind: PacketType, id: u32) -> Bytes {
        let packet = Packet { r#type: kind.into(), id, ..Packet::default() };
        let mut bytes = BytesMut::new();
        bytes.put_u8(0);
        bytes.put_u32(packet.encoded_len() as u32);
        packet.encode(&mut bytes).expect("a buffer takes everything");
        bytes.freeze()
    }

    /// Models an engine with a context of small files while this process gets no CPU time: the
    /// requests queue up, one frame each.
    #[tokio::test]
    async fn an_engine_may_ask_for_thousands_of_files_before_one_is_read() {
        const FILES: u32 = 5_000;
        let directory = tempfile::tempdir().expect("there is room");
        let source = directory.path().join("file");
        std::fs::write(&source, "x").expect("there is room");
        // git's digest of a blob with one x.
        let expect = Expect::GitBlob("c1b0730e0133447badcfd47fd144e254807b06e1".to_owned());
        let kind = EntryKind::File { executable: false, expect };
        let entries = (0..FILES)
            .map(|number| Entry { path: format!("{number:05}"), source: source.clone(), kind: kind.clone() })
            .collect();
        let context = Contents { entries };
        let files = Files(Arc::new(Source::new(context, "FROM scratch\n".to_owned(), CONSTANT_TIME)));

        let (here, there) = tokio::io::duplex(1024 * 1024);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(there));
        let (mut sender, connection) = handshake.await.expect("it is in memory");
        let driver = tokio::spawn(connection);
        let mut frames: VecDeque<Bytes> = (0..FILES).map(|id| asked(PacketType::PacketReq, id)).collect();
        frames.push_back(asked(PacketType::PacketFin, 0));
        let request = Request::post(format!("http://session{DIFF_COPY}"))
            .header("dir-name", "context")
            .header(CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE)
            .body(Frames(frames))
            .expect("it is a request");
        let answer = tokio::spawn(async move { sender.send_request(request).await });
        // Let everything be sent that the connection's first window has room for.
        for _ in 0..100_000 {
            tokio::task::yield_now().await;
        }
        let served = tokio::spawn(super::super::serve(TokioIo::new(here), Routes::new(files)));
        let mut body = answer.await.expect("it does not panic").expect("the connection stands").into_body();
        let mut trailers = None;
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let frame = frame.expect("the connection stands");
            trailers = frame.into_trailers().ok().or(trailers);
        }
        let status = trailers.and_then(|trailers| trailers.get("grpc-status").cloned());
        assert!(status.as_ref().is_some_and(|status| status == "0"), "{status:?}");
        drop(body);
        driver.abort();
        served.abort();
    }
}
