//! One request to one registry: its address, its login, its time limit, and what its status means.
//!
//! Speaks the distribution specification's HTTP. `oci-client` loses the status of an error, `Retry-After`
//! and the token server's own answer, and a retry has to know all three, so the requests are made here,
//! over the HTTP client that it uses too. Nothing is tried again here, but for one new login after a 401.

mod greeting;
mod reach;
mod stream;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use plan::ImageName;
use reqwest::header::{AUTHORIZATION, HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use crate::credentials::{Credential, Origin};
use crate::error::{Error, ErrorKind, plain, said, status_error};
use crate::limits::{FAILURE, TOKEN};
use crate::login::{self, Authorization, Challenge};
use crate::registry::Options;
use crate::trust::is_loopback;
use crate::wire::reach::{Reach, Redirects, Way};

/// What a login has to allow.
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
    /// What a login has to allow.
    pub(crate) access: Access,
    /// GET, HEAD, PUT.
    pub(crate) method: Method,
    /// Behind `/v2/{repository}/`, with its query.
    pub(crate) path: String,
    /// Headers besides the login.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What is sent.
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

/// Registry, repository, what is to be allowed there, and another repository that is read besides.
type Scope = (String, String, Access, Option<String>);

/// Begins the path of a request that mounts a blob, before the blob's digest and `&from={repository}`.
pub(crate) const MOUNT: &str = "blobs/uploads/?mount=";

impl Request<'_> {
    /// What its login has to allow. Who mounts a blob must be allowed to read where it comes from.
    fn scope(&self) -> Scope {
        let mounted = self.path.strip_prefix(MOUNT).and_then(|rest| rest.split_once("&from="));
        let other = mounted.map(|(_, repository)| repository.to_owned());
        (self.image.registry.clone(), self.image.repository.clone(), self.access, other)
    }
}

/// The way to all registries, with the logins that are still good.
pub(crate) struct Wire {
    options: Options,
    reach: Reach,
    challenges: Mutex<BTreeMap<String, Challenge>>,
    credentials: Mutex<BTreeMap<String, Credential>>,
    authorizations: Mutex<BTreeMap<Scope, Authorization>>,
    /// Servers that were seen to be registries.
    registries: Mutex<BTreeMap<String, Arc<tokio::sync::OnceCell<()>>>>,
}

impl Wire {
    pub(crate) fn new(options: Options) -> Self {
        let reach = Reach::new(options.config.trust().clone(), options.timeout);
        Self {
            options,
            reach,
            challenges: Mutex::default(),
            credentials: Mutex::default(),
            authorizations: Mutex::default(),
            registries: Mutex::default(),
        }
    }

    /// Sends a request, logged in where the registry asks for it. `what` names its subject in errors.
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
            lock(&self.challenges).insert(registry.clone(), challenge);
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

    /// What a status means that is no success. A login that was refused is forgotten.
    fn failure(&self, scope: &Scope, what: &str, status: u16, headers: &HeaderMap, body: &[u8]) -> Error {
        let said = said(body, &self.secrets(scope));
        let credential = lock(&self.credentials).get(&scope.0).cloned();
        if status == 401 {
            self.forget(scope, true);
        }
        let error = status_error(status, &scope.0, what, &said, retry_after(headers));
        match credential {
            Some(credential) => self.with_login(error, &scope.0, what, &credential, &said),
            None => error,
        }
    }

    /// A refusal, with who was refused, and where the credentials were read or looked for.
    fn with_login(
        &self,
        error: Error,
        registry: &str,
        what: &str,
        credential: &Credential,
        said: &str,
    ) -> Error {
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        let origin = self.options.config.origin(registry);
        let (status, verb) = match error.kind {
            ErrorKind::Unauthorized => (401, "rejected"),
            ErrorKind::Denied => (403, "refuses access to"),
            _ => return error,
        };
        let message = match (credential, &origin) {
            (Credential::Anonymous, Origin::Nowhere) => {
                format!(
                    "{what}: no credentials for {registry}: no docker configuration is known, {status}{said}"
                )
            }
            (Credential::Anonymous, Origin::NoFile(file)) => {
                format!(
                    "{what}: no credentials for {registry}: there is no {}, {status}{said}",
                    file.display()
                )
            }
            (Credential::Anonymous, origin) => {
                format!("{what}: no credentials for {registry} in {origin}, {status}{said}")
            }
            (Credential::Basic { user, .. }, origin) => {
                let user = plain(user, 60);
                format!("{what}: {registry} {verb} user {user}, from {origin}, {status}{said}")
            }
            (Credential::IdentityToken(_), origin) => {
                format!("{what}: {registry} {verb} the identity token from {origin}, {status}{said}")
            }
        };
        Error { message, ..error }
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

    /// Sends a request the way its registry is reached, and finds that out where it is not certain. `limit` is that of the whole
    /// answer.
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
            // That is how servers of TLS answer those who do not speak it.
            Ok(response) if known.way == Way::Plain && response.status() == StatusCode::BAD_REQUEST => {
                Some(Way::Unchecked)
            }
            Ok(_) => {
                self.reach.settle(host, known.way);
                None
            }
            Err(cause) if known.way == Way::Unchecked && cause.is_connect() && !cause.is_timeout() => {
                Some(Way::Plain)
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
        way: Way,
    ) -> Result<RequestBuilder, Error> {
        let host = host(&request.image.registry);
        let repository = format!("/v2/{}/", request.image.repository);
        let url = format!("{}://{host}{repository}{}", way.scheme(), request.path);
        // Parts of the path come from registries. They are parsed where they are read; this holds whatever was overlooked.
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

    /// The login for a scope, from an earlier request or, once the registry's challenge is known, a new one.
    async fn authorization(&self, scope: &Scope) -> Result<Option<Authorization>, Error> {
        let known = lock(&self.authorizations).get(scope).cloned();
        if let Some(known) = known.filter(|known| known.until.is_none_or(|until| Instant::now() < until)) {
            return Ok(Some(known));
        }
        let (registry, repository, access, other) = scope;
        let Some(challenge) = lock(&self.challenges).get(registry).cloned() else { return Ok(None) };
        let credential = self.credential(registry).await?;
        let authorization = match (&challenge, &credential) {
            (Challenge::Basic, Credential::Basic { user, password }) => {
                let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                Authorization { value, until: None }
            }
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service }, credential) => {
                let actions = if *access == Access::Push { "pull,push" } else { "pull" };
                let mut wanted = format!("repository:{repository}:{actions}");
                if let Some(other) = other {
                    wanted.push_str(&format!(" repository:{other}:pull"));
                }
                self.token(registry, realm, service.as_deref(), &wanted, credential).await?
            }
        };
        lock(&self.authorizations).insert(scope.clone(), authorization.clone());
        Ok(Some(authorization))
    }

    async fn token(
        &self,
        registry: &str,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credential: &Credential,
    ) -> Result<Authorization, Error> {
        let what = format!("a token for {scope}");
        let broken = |why: &str| Error::new(ErrorKind::Protocol, format!("{registry}'s token server {why}"));
        let mut url = Url::parse(realm).map_err(|_| broken("has no address that can be read"))?;
        let name = url.host_str().unwrap_or_default();
        let server = url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
        let way = self.reach.way(host(registry)).await.way;
        // A registry that speaks TLS must not make us send a password in the clear.
        if url.scheme() != "https" && !(url.scheme() == "http" && (way == Way::Plain || is_loopback(&server)))
        {
            return Err(broken("is not reached by https"));
        }
        let ask = login::token_request(service, scope, credential);
        // A redirect would send the secret again, and to whom is the token server's choice.
        let redirects = match credential {
            Credential::Anonymous => Redirects::Follow,
            Credential::Basic { .. } | Credential::IdentityToken(_) => Redirects::Refuse,
        };
        let client = self.reach.client_of_tokens(&server, url.scheme(), (host(registry), way), redirects)?;
        let mut builder = if ask.post {
            let form = form(&ask.fields);
            client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form)
        } else {
            url.query_pairs_mut().extend_pairs(&ask.fields);
            client.get(url)
        };
        if let Some((user, password)) = ask.basic {
            builder = builder.basic_auth(user, Some(password));
        }
        let response = builder
            .timeout(self.options.timeout)
            .send()
            .await
            .map_err(|cause| self.unreachable(&cause, &server, &what))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = match status {
            200..300 => read(response, TOKEN).await,
            _ => beginning(response, FAILURE).await.map_err(Unread::Cut),
        };
        let body = body.map_err(|cause| self.unreadable(cause, &server, &what))?;
        match status {
            200..300 => login::read_token(&body, registry, Instant::now()),
            300..400 => Err(broken(&format!(
                "at {server} redirects a request that carries credentials, {status}; that is not followed"
            ))),
            // OAuth 2 says 400 for a refresh token that is not good any more (RFC 6749, section 5.2).
            400 if ask.post => Err(self.refused(401, registry, &what, &body, credential, &headers)),
            _ => Err(self.refused(status, registry, &what, &body, credential, &headers)),
        }
    }

    fn refused(
        &self,
        status: u16,
        registry: &str,
        what: &str,
        body: &[u8],
        credential: &Credential,
        headers: &HeaderMap,
    ) -> Error {
        lock(&self.credentials).remove(registry);
        let said = said(body, &credential.secrets());
        let error = status_error(status, registry, what, &said, retry_after(headers));
        self.with_login(error, registry, what, credential, &said)
    }

    /// Asked once: a helper may be slow, or ask a person.
    async fn credential(&self, registry: &str) -> Result<Credential, Error> {
        if let Some(known) = lock(&self.credentials).get(registry) {
            return Ok(known.clone());
        }
        let credential = self.options.config.credential(registry).await?;
        lock(&self.credentials).insert(registry.to_owned(), credential.clone());
        Ok(credential)
    }

    /// Drops a login that was refused; with the credential when it was really used, since a helper's
    /// password can run out too.
    fn forget(&self, scope: &Scope, used: bool) {
        lock(&self.authorizations).remove(scope);
        if used {
            lock(&self.credentials).remove(&scope.0);
        }
    }

    /// Every credential and token that is in use, in the forms in which they are sent.
    pub(crate) fn all_secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> =
            lock(&self.credentials).values().flat_map(Credential::secrets).collect();
        let values = lock(&self.authorizations).values().map(|known| known.value.clone()).collect::<Vec<_>>();
        secrets.extend(values.iter().filter_map(|value| Some(value.split_once(' ')?.1.to_owned())));
        secrets
    }

    fn secrets(&self, scope: &Scope) -> Vec<String> {
        let mut secrets = lock(&self.credentials).get(&scope.0).map(Credential::secrets).unwrap_or_default();
        let value = lock(&self.authorizations).get(scope).map(|known| known.value.clone());
        secrets.extend(value.and_then(|value| Some(value.split_once(' ')?.1.to_owned())));
        secrets
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
            let message = format!("{what}: the name of the host {host} cannot be resolved: {why}");
            let help = format!("is {host} the right name; does this machine reach a name server");
            return Error { nobody: cause.is_connect(), ..Error::new(kind, message).help(help) };
        }
        let help = self.reach.advice(host, &why);
        let error = Error::new(kind, format!("{what}: cannot talk to {host}: {why}")).help(help);
        Error { nobody: cause.is_connect(), ..error }
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

/// The beginning of a body that says something about a failure; what is longer is left unread.
async fn beginning(mut response: Response, limit: usize) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while body.len() < limit
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk[..chunk.len().min(limit - body.len())]);
    }
    Ok(body.freeze())
}

/// Where a registry is reached: Docker Hub's images live at another name than its own.
fn host(registry: &str) -> &str {
    if registry == "docker.io" || registry == "index.docker.io" { "registry-1.docker.io" } else { registry }
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://form").expect("a constant address parses");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// The innermost cause, which is the one that tells something; never an address, which can be signed.
fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, error) {
        return "the request failed".to_owned();
    }
    plain(&cause.to_string(), 300)
}

/// Whether a request failed since nobody knows the host's name.
fn is_unresolved(error: &reqwest::Error) -> bool {
    let first: &dyn std::error::Error = error;
    // hyper-util has no type of its own for it.
    std::iter::successors(Some(first), |cause| cause.source()).any(|cause| cause.to_string() == "dns error")
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wait_of(headers.get(RETRY_AFTER)?.to_str().ok()?.trim(), SystemTime::now())
}

/// The wait that a `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3), which may be past.
fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

fn user_agent() -> String {
    format!("image-builder/{}", env!("CARGO_PKG_VERSION"))
}

/// The maps stay whole whatever happens to who holds them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_asked_for_in_seconds_or_by_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expect) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sunday, 06-Nov-94 08:49:40 GMT", Some(3)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(wait_of(text, now), expect.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn a_form_is_escaped() {
        assert_eq!(form(&[("a", "b&c=d"), ("e", "+/ é")]), "a=b%26c%3Dd&e=%2B%2F+%C3%A9");
    }
}
