//! BuildKit's `FileSync`, by the bytes that a context makes of its packets.
//!
//! What is generated for a service has each message as a value, and copies its contents once more. Here they go on as they were
//! read; requests are read as everywhere.

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

use crate::context::fetched::{Source, Wanted};

/// How an engine calls it.
pub(super) const DIFF_COPY: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// What is built from.
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
        let told = |key: &str| -> Vec<String> {
            let values = request.headers().get_all(key).iter();
            // What cannot be read is a pattern, and so stands for all there is.
            values.map(|value| value.to_str().unwrap_or("*").to_owned()).collect()
        };
        let directory = told("dir-name").pop().unwrap_or_default();
        let paths = [told("followpaths"), told("include-patterns")].concat();
        let wanted = Wanted::new(&directory, &paths)
            .ok_or_else(|| Status::not_found(format!("this build has no directory {directory:?}")))?;
        let asks = Streaming::<Packet>::new_request(ProstDecoder::default(), request.into_body(), None, None);
        let pieces = Arc::clone(&self.0).serve(wanted, asks);
        let mut answer = Response::new(Body::new(Pieces { pieces, is_over: false }));
        answer.headers_mut().insert(CONTENT_TYPE, tonic::metadata::GRPC_CONTENT_TYPE);
        Ok(answer)
    }
}

/// Pieces, and how it ended.
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
