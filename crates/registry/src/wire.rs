//! Sends one request to one registry: its address, login and time-out, and the meaning of its
//! status.
//!
//! Speaks the distribution specification's HTTP. `oci-client` loses the status of an error,
//! `Retry-After` and the token server's response, all of which a retry needs, so requests are made
//! here, with the same HTTP client. Nothing is retried here, except for one new login after a 401.

mod greeting;
mod http;
mod logins;
mod reach;
mod stream;

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use plan::ImageName;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use crate::credential::Credential;
use crate::error::{Error, ErrorKind, plain};
use crate::limits::FAILURE;
use crate::login::{self, Authorization, Challenge};
use crate::options::Options;
use crate::wire::http::{host, root};
use crate::wire::reach::{Endpoints, Scheme};

/// The access that a login needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    Push,
}

/// One request to a repository.
pub(crate) struct Request<'a> {
    /// Registry and repository.
    pub(crate) image: &'a ImageName,
    /// The access that a login needs.
    pub(crate) access: Access,
    /// GET, HEAD, PUT.
    pub(crate) method: Method,
    /// Behind `/v2/{repository}/`, with its query.
    pub(crate) path: String,
    /// Headers besides the login.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body to send.
    pub(crate) body: Bytes,
    /// The longest answer that is read, in bytes.
    pub(crate) limit: usize,
}

/// An answer whose status is a success or 404; everything else is an error.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// Registry, repository, access, and another repository that needs read access.
type Scope = (String, String, Access, Option<String>);

/// Begins the path of a request that mounts a blob, before the blob's digest and
/// `&from={repository}`.
pub(crate) const MOUNT: &str = "blobs/uploads/?mount=";

impl Request<'_> {
    /// The scope of its login. Mounting a blob needs read access to its source.
    fn scope(&self) -> Scope {
        let mounted = self.path.strip_prefix(MOUNT).and_then(|rest| rest.split_once("&from="));
        let other = mounted.map(|(_, repository)| repository.to_owned());
        (self.image.registry.clone(), self.image.repository.clone(), self.access, other)
    }
}

/// The way to all registries, with the logins that are still good.
pub(crate) struct Wire {
    options: Options,
    reach: Endpoints,
    challenges: Mutex<BTreeMap<String, Challenge>>,
    credentials: Mutex<BTreeMap<String, Credential>>,
    authorizations: Mutex<BTreeMap<Scope, Authorization>>,
    /// Servers that were seen to be registries.
    registries: Mutex<BTreeMap<String, Arc<tokio::sync::OnceCell<()>>>>,
}

impl Wire {
    pub(crate) fn new(options: Options) -> Self {
        let reach = Endpoints::new(options.config.trust().clone(), options.timeout);
        Self {
            options,
            reach,
            challenges: Mutex::default(),
            credentials: Mutex::default(),
            authorizations: Mutex::default(),
            registries: Mutex::default(),
        }
    }

    /// Sends a request, logged in where the registry asks for it. `what` names its subject in
    /// errors.
    pub(crate) async fn send(&self, request: &Request<'_>, what: &str) -> Result<Answer, Error> {
        let registry = &request.image.registry;
        let scope = request.scope();
        let authorization = self.authorization(&scope).await?;
        let used = authorization.is_some();
        let mut answer = self.attempt(request, authorization.as_ref(), what).await?;
        if answer.status == 401
            && let Some(challenge) = login::challenge(&answer.headers)
        {
            self.forget(&scope, used);
            self.challenges.lock().insert(registry.clone(), challenge);
            if let Some(authorization) = self.authorization(&scope).await? {
                answer = self.attempt(request, Some(&authorization), what).await?;
            }
        }
        match answer.status {
            200..300 => Ok(answer),
            404 => {
                self.believe_absence(registry, &answer, what).await?;
                Ok(answer)
            }
            status => Err(self.failure(&scope, what, status, &answer.headers, &answer.body)),
        }
    }

    async fn attempt(
        &self,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
        what: &str,
    ) -> Result<Answer, Error> {
        let registry = &request.image.registry;
        let response = self.dispatch(request, authorization, what, Some(self.options.timeout)).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        tracing::debug!(method = %request.method, host = host(registry), path = request.path, status, "registry");
        let body = match status {
            200..300 => read(response, request.limit).await,
            _ => beginning(response, FAILURE).await.map_err(Unread::Cut),
        };
        let body = body.map_err(|cause| self.unreadable(cause, registry, what))?;
        Ok(Answer { status, headers, body })
    }

    /// Sends a request the way its registry is reached, and finds that out where it is not certain.
    /// `limit` is that of the whole answer.
    async fn dispatch(
        &self,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
        what: &str,
        limit: Option<Duration>,
    ) -> Result<Response, Error> {
        let registry = &request.image.registry;
        let host = host(registry);
        let known = self.reach.way(host).await;
        let send = async |way| {
            let builder = self.prepared(request, authorization, way)?;
            let builder = limit.into_iter().fold(builder, RequestBuilder::timeout);
            Ok::<_, Error>(builder.send().await)
        };
        let sent = send(known.way).await?;
        let other = match &sent {
            _ if known.certain => None,
            // TLS servers answer plain HTTP like this.
            Ok(response) if known.way == Scheme::Plain && response.status() == StatusCode::BAD_REQUEST => {
                Some(Scheme::Unchecked)
            }
            Ok(_) => {
                self.reach.settle(host, known.way);
                None
            }
            Err(cause) if known.way == Scheme::Unchecked && cause.is_connect() && !cause.is_timeout() => {
                Some(Scheme::Plain)
            }
            Err(_) => None,
        };
        if let Some(other) = other
            && let Ok(response) = send(other).await?
        {
            self.reach.settle(host, other);
            return Ok(response);
        }
        sent.map_err(|cause| self.unreachable(&cause, registry, what))
    }

    /// A request with its address, headers and login, and no time limit yet.
    fn prepared(
        &self,
        request: &Request<'_>,
        authorization: Option<&Authorization>,
        way: Scheme,
    ) -> Result<RequestBuilder, Error> {
        let host = host(&request.image.registry);
        let repository = format!("/v2/{}/", request.image.repository);
        let url = format!("{}://{host}{repository}{}", way.scheme(), request.path);
        // Parts of the path come from registries. They are parsed where they are read; this holds
        // whatever was overlooked.
        let url = Url::parse(&url).ok().filter(|url| url.path().starts_with(&repository));
        let url = url.ok_or_else(|| {
            let path = plain(&request.path, 200);
            Error::new(ErrorKind::Protocol, format!("{}: {path:?} leads out of it", request.image.name()))
        })?;
        let client = self.reach.client(host, way)?;
        let mut builder = client.request(request.method.clone(), url).body(request.body.clone());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, &authorization.value);
        }
        Ok(builder)
    }

    /// How long one answer may take, or a piece of one.
    pub(crate) fn limit(&self) -> Duration {
        self.options.timeout
    }

    fn unreachable(&self, cause: &reqwest::Error, host: &str, what: &str) -> Error {
        if cause.is_timeout() {
            let message = format!("{what}: no answer from {host} within {:?}", self.options.timeout);
            return Error::new(ErrorKind::Connection, message);
        }
        let kind = if cause.is_redirect() || cause.is_builder() {
            ErrorKind::Protocol
        } else {
            ErrorKind::Connection
        };
        let why = root(cause);
        if is_unresolved(cause) {
            // Of a redirect, or of Docker Hub, that is another one.
            let name = cause.url().and_then(Url::host_str).unwrap_or(host);
            let message = format!("{what}: the name of the host {name} cannot be resolved: {why}");
            let help = format!("is {host} the right name; does this machine reach a name server");
            return Error { is_refused: cause.is_connect(), ..Error::new(kind, message).help(help) };
        }
        if cause.is_redirect() {
            return Error::new(kind, format!("{what}: {host} leads elsewhere: {why}"));
        }
        let help = self.reach.advice(host, &why);
        let error = Error::new(kind, format!("{what}: cannot talk to {host}: {why}")).help(help);
        Error { is_refused: cause.is_connect(), ..error }
    }

    fn unreadable(&self, cause: Unread, host: &str, what: &str) -> Error {
        match cause {
            Unread::Cut(cause) => self.unreachable(&cause, host, what),
            Unread::TooLong(limit) => {
                let message = format!("{what}: {host} answers with more than {limit} bytes");
                Error::new(ErrorKind::Protocol, message)
            }
        }
    }
}

enum Unread {
    Cut(reqwest::Error),
    TooLong(usize),
}

async fn read(mut response: reqwest::Response, limit: usize) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Cut)? {
        if body.len() + chunk.len() > limit {
            return Err(Unread::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The beginning of a body that describes a failure; the rest is not read.
async fn beginning(mut response: Response, limit: usize) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while body.len() < limit
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
    }
    Ok(body.freeze())
}

/// Whether a request failed because the host name cannot be resolved.
fn is_unresolved(error: &reqwest::Error) -> bool {
    let first: &dyn std::error::Error = error;
    // hyper-util has no type for it.
    std::iter::successors(Some(first), |cause| cause.source()).any(|cause| cause.to_string() == "dns error")
}
