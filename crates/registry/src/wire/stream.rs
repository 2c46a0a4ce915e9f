//! An answer that is read as it comes, since nobody wants all of it in memory.

use reqwest::Response;

use super::{Answer, Request, Wire, lock, read, retry_after};
use crate::error::{Error, ErrorKind, said, status_error};
use crate::login;

/// The longest text of a failure that is read, in bytes.
const SAID: usize = 64 << 10;

impl Wire {
    /// Sends a request, logged in where the registry asks for it, and returns the answer with its body still to come. The time limit
    /// is for its head, and later for each piece; the request's own limit of its length does not count.
    pub(crate) async fn open(&self, request: &Request<'_>, what: &str) -> Result<Response, Error> {
        let registry = &request.image.registry;
        let scope = (registry.clone(), request.image.repository.clone(), request.access);
        let authorization = self.authorization(&scope).await?;
        let used = authorization.is_some();
        let mut response = self.head(request, authorization.as_ref(), what).await?;
        if response.status() == 401
            && let Some(challenge) = login::challenge(response.headers())
        {
            self.forget(&scope, used);
            lock(&self.challenges).insert(registry.clone(), challenge);
            if let Some(authorization) = self.authorization(&scope).await? {
                response = self.head(request, Some(&authorization), what).await?;
            }
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if (200..300).contains(&status) {
            return Ok(response);
        }
        if status == 401 {
            self.forget(&scope, true);
        }
        // What a registry says about it is a courtesy.
        let body = tokio::time::timeout(self.options.timeout, read(response, SAID)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        let answer = Answer { status, headers, body };
        let said = said(&answer.body, &self.secrets(&scope));
        Err(status_error(status, registry, what, &said, retry_after(&answer.headers)))
    }

    async fn head(
        &self,
        request: &Request<'_>,
        authorization: Option<&login::Authorization>,
        what: &str,
    ) -> Result<Response, Error> {
        let registry = &request.image.registry;
        let sending = self.dispatch(request, authorization, what, None);
        match tokio::time::timeout(self.options.timeout, sending).await {
            Ok(response) => response,
            Err(_) => Err(self.silent(registry, what)),
        }
    }

    /// The next piece of an open answer; `None` behind its last one.
    pub(crate) async fn piece(
        &self,
        response: &mut Response,
        registry: &str,
        what: &str,
    ) -> Result<Option<bytes::Bytes>, Error> {
        match tokio::time::timeout(self.options.timeout, response.chunk()).await {
            Ok(piece) => piece.map_err(|cause| self.unreachable(&cause, registry, what)),
            Err(_) => Err(self.silent(registry, what)),
        }
    }

    fn silent(&self, registry: &str, what: &str) -> Error {
        let message = format!("{what}: nothing came from {registry} for {:?}", self.options.timeout);
        Error::new(ErrorKind::Connection, message)
    }
}
