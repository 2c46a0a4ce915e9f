//! Streams response bodies as they arrive and request bodies as they are produced, so that neither
//! is held in memory.

use std::pin::pin;

use reqwest::Response;
use reqwest::header::HeaderMap;

use super::http::host;
use super::{Request, Scope, Wire, beginning};
use crate::error::{Error, ErrorKind};
use crate::limits::{FAILURE, UPLOAD_ANSWER};
use crate::login;
use crate::pace::{TooSlow, TransferRate};

impl Wire {
    /// Sends a request, logged in where the registry asks for it, and returns the answer with its
    /// body still to come. The time limit is for its head, and later for each piece; the request's
    /// own limit of its length does not count.
    pub(crate) async fn open(&self, request: &Request<'_>, what: &str) -> Result<Response, Error> {
        let registry = &request.image.registry;
        let scope = request.scope();
        let authorization = self.authorization(&scope).await?;
        let used = authorization.is_some();
        let mut response = self.head(request, authorization.as_ref(), what).await?;
        if response.status() == 401
            && let Some(challenge) = login::challenge(response.headers())
        {
            self.forget(&scope, used);
            self.challenges.lock().insert(registry.clone(), challenge);
            if let Some(authorization) = self.authorization(&scope).await? {
                response = self.head(request, Some(&authorization), what).await?;
            }
        }
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if (200..300).contains(&status) {
            return Ok(response);
        }
        Err(self.refusal(response, (status, &headers), &request.scope(), what).await)
    }

    /// Sends a body that arrives meanwhile: `feed` brings it, and its failure takes precedence. A
    /// rejected login is forgotten and reported, since the body cannot be sent again.
    pub(crate) async fn upload(
        &self,
        request: &Request<'_>,
        body: reqwest::Body,
        feed: impl Future<Output = Result<(), Error>>,
        what: &str,
    ) -> Result<(), Error> {
        let registry = &request.image.registry;
        let scope = request.scope();
        let authorization = self.authorization(&scope).await?;
        // The upload was begun, so the way there is known.
        let way = self.reach.way(host(registry)).await.way;
        let sending = self.prepared(request, authorization.as_ref(), way)?.body(body).send();
        let (mut sending, mut feed) = (pin!(sending), pin!(feed));
        let response = tokio::select! {
            biased;
            // Before the end of the body: that is a refusal.
            response = &mut sending => response,
            fed = &mut feed => {
                fed?;
                // The registry may have much to verify before it answers.
                match tokio::time::timeout(self.options.timeout * UPLOAD_ANSWER, sending).await {
                    Ok(response) => response,
                    Err(_) => return Err(self.silent(registry, what)),
                }
            }
        };
        let response = response.map_err(|cause| self.unreachable(&cause, registry, what))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        tracing::debug!(host = registry, path = request.path, status, "upload");
        match status {
            200..300 => Ok(()),
            _ => Err(self.refusal(response, (status, &headers), &scope, what).await),
        }
    }

    /// Converts a rejection to an error.
    async fn refusal(
        &self,
        response: Response,
        (status, headers): (u16, &HeaderMap),
        scope: &Scope,
        what: &str,
    ) -> Error {
        // The registry's description is optional.
        let body = tokio::time::timeout(self.options.timeout, beginning(response, FAILURE)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        self.failure(scope, what, status, headers, &body)
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
        pace: &mut TransferRate,
        registry: &str,
        what: &str,
    ) -> Result<Option<bytes::Bytes>, Error> {
        let piece = match pace.wait(self.options.timeout, response.chunk()).await {
            Ok(piece) => piece.map_err(|cause| self.unreachable(&cause, registry, what))?,
            Err(_) => return Err(self.silent(registry, what)),
        };
        let Some(piece) = piece else { return Ok(None) };
        match pace.came(piece.len()) {
            Ok(()) => Ok(Some(piece)),
            Err(TooSlow { bytes, waited }) => {
                let message =
                    format!("{what}: {registry} gave only {bytes} bytes in {} seconds", waited.as_secs());
                Err(Error::new(ErrorKind::Connection, message))
            }
        }
    }

    fn silent(&self, registry: &str, what: &str) -> Error {
        let message = format!("{what}: nothing came from {registry} for {:?}", self.options.timeout);
        Error::new(ErrorKind::Connection, message)
    }
}
