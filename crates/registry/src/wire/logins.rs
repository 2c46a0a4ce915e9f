//! Logins: tokens for scopes, the credentials behind them, and errors when one is rejected.
//!
//! A credential goes to its registry and to that registry's token server, and nowhere else: no
//! redirect is followed with one.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderMap;

use super::http::{host, retry_after};
use super::reach::{Redirects, Scheme};
use super::{Access, Scope, Unread, Wire, beginning, read};
use crate::credential::Credential;
use crate::credentials::Origin;
use crate::error::{Error, ErrorKind, plain, said, status_error};
use crate::limits::{FAILURE, TOKEN};
use crate::login::{self, Authorization, Challenge};
use crate::trust::is_loopback;

impl Wire {
    /// The login for a scope, from an earlier request or, once the registry's challenge is known, a
    /// new one.
    pub(super) async fn authorization(&self, scope: &Scope) -> Result<Option<Authorization>, Error> {
        let known = self.authorizations.lock().get(scope).cloned();
        if let Some(known) = known.filter(|known| known.until.is_none_or(|until| Instant::now() < until)) {
            return Ok(Some(known));
        }
        let (registry, repository, access, other) = scope;
        let Some(challenge) = self.challenges.lock().get(registry).cloned() else { return Ok(None) };
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
        self.authorizations.lock().insert(scope.clone(), authorization.clone());
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
        if url.scheme() != "https"
            && !(url.scheme() == "http" && (way == Scheme::Plain || is_loopback(&server)))
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
            // OAuth 2 says 400 for a refresh token that is not good any more (RFC 6749, section
            // 5.2).
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
        self.credentials.lock().remove(registry);
        let said = said(body, &credential.secrets());
        let error = status_error(status, registry, what, &said, retry_after(headers));
        self.with_login(error, registry, what, credential, &said)
    }

    /// Asked once: a helper may be slow, or ask a person.
    async fn credential(&self, registry: &str) -> Result<Credential, Error> {
        if let Some(known) = self.credentials.lock().get(registry) {
            return Ok(known.clone());
        }
        let credential = self.options.config.credential(registry).await?;
        self.credentials.lock().insert(registry.to_owned(), credential.clone());
        Ok(credential)
    }

    /// Drops a login that was refused; with the credential when it was really used, since a
    /// helper's password can run out too.
    pub(super) fn forget(&self, scope: &Scope, used: bool) {
        self.authorizations.lock().remove(scope);
        if used {
            self.credentials.lock().remove(&scope.0);
        }
    }

    /// Every credential and token that is in use, in the forms in which they are sent.
    pub(crate) fn all_secrets(&self) -> Vec<String> {
        let mut secrets: Vec<String> =
            self.credentials.lock().values().flat_map(Credential::secrets).collect();
        let values = self.authorizations.lock().values().map(|known| known.value.clone()).collect::<Vec<_>>();
        secrets.extend(values.iter().filter_map(|value| Some(value.split_once(' ')?.1.to_owned())));
        secrets
    }

    fn secrets(&self, scope: &Scope) -> Vec<String> {
        let mut secrets = self.credentials.lock().get(&scope.0).map(Credential::secrets).unwrap_or_default();
        let value = self.authorizations.lock().get(scope).map(|known| known.value.clone());
        secrets.extend(value.and_then(|value| Some(value.split_once(' ')?.1.to_owned())));
        secrets
    }

    /// Converts an unsuccessful status to an error. A rejected login is forgotten.
    pub(super) fn failure(
        &self,
        scope: &Scope,
        what: &str,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Error {
        let said = said(body, &self.secrets(scope));
        let credential = self.credentials.lock().get(&scope.0).cloned();
        if status == 401 {
            self.forget(scope, true);
        }
        let error = status_error(status, &scope.0, what, &said, retry_after(headers));
        match credential {
            Some(credential) => self.with_login(error, &scope.0, what, &credential, &said),
            None => error,
        }
    }

    /// Adds to a rejection which login was rejected, and where its credentials came from.
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
}

fn form(fields: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://form").expect("a constant address parses");
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_escaped() {
        assert_eq!(form(&[("a", "b&c=d"), ("e", "+/ é")]), "a=b%26c%3Dd&e=%2B%2F+%C3%A9");
    }
}
