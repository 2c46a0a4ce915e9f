//! Keeps connections to an engine open for later requests.
//!
//! bollard's own clients open a connection for each request, which costs a handshake with TLS and a
//! process with ssh. Here one pool serves all requests to an engine, with any transport.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::http::Extensions;
use hyper::{Method, Request, Response, Uri};
use hyper_util::client::legacy::connect::Connected;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::engine::endpoint::connect::{Connection, Transport, root};

/// Limits for idle connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolConfig {
    /// Maximum number of idle connections. The number of connections in use is not limited.
    pub(crate) most: usize,
    /// How long an idle connection is kept.
    pub(crate) time: Duration,
}

/// A build sends its next request within seconds, and few builds send requests at the same time.
pub(crate) const KEEP: PoolConfig = PoolConfig { most: 8, time: Duration::from_secs(30) };

type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Error>> + Send>>;

/// The transport for bollard's requests. All connections close when the last clone of bollard's
/// client is dropped.
pub(crate) fn transport(
    way: Transport,
    keep: PoolConfig,
) -> impl Fn(BollardRequest) -> ResponseFuture + Send + Sync + use<> {
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(keep.time)
        .pool_max_idle_per_host(keep.most)
        .build(Connector(Arc::new(way)));
    move |request| {
        let client = client.clone();
        let empty = || bollard::body_full(Bytes::new());
        Box::pin(
            async move { ask(&client, request, empty, keep.most).await.map_err(|cause| reported(&cause)) },
        )
    }
}

/// Sends a request. The pool repeats requests that could not be sent. A query is also repeated if a
/// reused connection ended without a response, since the engine may have closed it at that moment.
/// Any other request fails then, because the engine may have executed it.
async fn ask<B>(
    client: &Client<Connector, B>,
    mut request: Request<B>,
    empty: impl Fn() -> B,
    most: usize,
) -> Result<Response<Incoming>, legacy::Error>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let is_query = *request.method() == Method::GET || *request.method() == Method::HEAD;
    let repeatable = is_query && request.body().size_hint().exact() == Some(0);
    let mut left = if repeatable { most } else { 0 };
    loop {
        let mut again = Request::new(empty());
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        match client.request(request).await {
            Ok(answer) => {
                if let Some(used) = answer.extensions().get::<HadResponse>() {
                    used.0.store(true, Ordering::Relaxed);
                }
                return Ok(answer);
            }
            Err(cause) if left > 0 && was_used(&cause) => (request, left) = (again, left - 1),
            Err(cause) => return Err(cause),
        }
    }
}

/// Whether a connection has delivered a response.
#[derive(Debug, Clone, Default)]
struct HadResponse(Arc<AtomicBool>);

fn was_used(error: &legacy::Error) -> bool {
    let mut extras = Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extras);
    }
    extras.get::<HadResponse>().is_some_and(|used| used.0.load(Ordering::Relaxed))
}

/// The message of the client's error is only "client error (SendRequest)"; the cause is at the end
/// of the chain.
fn reported(error: &legacy::Error) -> Error {
    Error::IOError { err: io::Error::other(root(error)) }
}

#[derive(Clone)]
struct Connector(Arc<Transport>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = Arc::clone(&self.0);
        Box::pin(async move { Ok(TokioIo::new(way.dial().await?)) })
    }
}

impl legacy::connect::Connection for Box<dyn Connection> {
    fn connected(&self) -> Connected {
        Connected::new().extra(HadResponse::default())
    }
}

#[cfg(test)]
mod tests;
