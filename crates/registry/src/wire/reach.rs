//! Decides how a registry is reached (verified TLS, unverified TLS, or plain HTTP) and keeps the
//! HTTP clients for that.
//!
//! The rules are dockerd's ("Insecure registries", "Verify repository client with certificates"):
//! TLS is verified, except for loopback addresses and registries named as insecure, which may also
//! use unverified TLS or plain HTTP. A registry named as insecure is tried with TLS first. A
//! loopback address is tried with plain HTTP first, which most of them use, unless `certs.d` has
//! certificates for it: then TLS is verified.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Identity};

use super::http::{root, user_agent};
use crate::error::{Error, ErrorKind};
use crate::limits::REDIRECTS;
use crate::trust::{Certificates, Trust, is_loopback};

/// The manner in which a registry is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scheme {
    /// HTTP.
    Plain,
    /// TLS.
    Checked,
    /// TLS with whatever certificate.
    Unchecked,
}

impl Scheme {
    pub(super) fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Checked | Self::Unchecked => "https",
        }
    }
}

/// How redirects are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Redirects {
    /// It is asked there, without credentials on another host, and never by HTTP after TLS.
    Follow,
    /// The redirect is the answer.
    Refuse,
}

impl Redirects {
    fn policy(self) -> Policy {
        match self {
            Self::Follow => Policy::custom(follow),
            Self::Refuse => Policy::none(),
        }
    }
}

fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS {
        return attempt.error("it redirects too often");
    }
    let is_checked = attempt.previous().iter().any(|url| url.scheme() == "https");
    if is_checked && attempt.url().scheme() != "https" {
        return attempt.error("it redirects from https to http, which is not followed");
    }
    attempt.follow()
}

/// The way to one registry.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownScheme {
    pub(super) way: Scheme,
    /// Whether an answer has shown it, or no other is allowed.
    pub(super) certain: bool,
}

/// The ways to all registries, by their `host` or `host:port`.
pub(super) struct Endpoints {
    trust: Trust,
    timeout: Duration,
    ways: Mutex<BTreeMap<String, KnownScheme>>,
    clients: Mutex<BTreeMap<(String, Scheme, Redirects), Client>>,
}

impl Endpoints {
    /// Opens no connection and no file yet.
    pub(super) fn new(trust: Trust, timeout: Duration) -> Self {
        // The HTTP client takes the process's provider and panics without one; a second one is
        // refused, which leaves the first in place.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { trust, timeout, ways: Mutex::default(), clients: Mutex::default() }
    }

    pub(super) async fn way(&self, host: &str) -> KnownScheme {
        if let Some(known) = self.ways.lock().get(host) {
            return *known;
        }
        let known = if is_loopback(host) {
            match self.trust.has_certificates(host) {
                true => KnownScheme { way: Scheme::Checked, certain: true },
                false => KnownScheme { way: Scheme::Plain, certain: false },
            }
        } else if self.trust.is_insecure(host).await {
            KnownScheme { way: Scheme::Unchecked, certain: false }
        } else {
            KnownScheme { way: Scheme::Checked, certain: true }
        };
        *self.ways.lock().entry(host.to_owned()).or_insert(known)
    }

    /// From now on a registry is reached this way.
    pub(super) fn settle(&self, host: &str, way: Scheme) {
        self.ways.lock().insert(host.to_owned(), KnownScheme { way, certain: true });
    }

    pub(super) fn client(&self, host: &str, way: Scheme) -> Result<Client, Error> {
        self.client_with(host, way, Redirects::Follow)
    }

    fn client_with(&self, host: &str, way: Scheme, redirects: Redirects) -> Result<Client, Error> {
        let key = (host.to_owned(), way, redirects);
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = self.make(host, way, redirects)?;
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// The client for a registry's token server, which shares the registry's certificates unless it
    /// has its own.
    pub(super) fn client_of_tokens(
        &self,
        server: &str,
        scheme: &str,
        (registry, way): (&str, Scheme),
        redirects: Redirects,
    ) -> Result<Client, Error> {
        let (host, way) = match way {
            _ if scheme == "http" => (server, Scheme::Plain),
            _ if self.trust.has_certificates(server) => (server, Scheme::Checked),
            Scheme::Checked | Scheme::Unchecked => (registry, way),
            Scheme::Plain if is_loopback(server) => (server, Scheme::Unchecked),
            Scheme::Plain => (server, Scheme::Checked),
        };
        self.client_with(host, way, redirects)
    }

    fn make(&self, host: &str, way: Scheme, redirects: Redirects) -> Result<Client, Error> {
        let own = match way {
            Scheme::Plain => Certificates::default(),
            Scheme::Checked | Scheme::Unchecked => self.trust.certificates(host)?,
        };
        let mut authorities = Vec::new();
        for (file, pem) in &own.authorities {
            // A file without a certificate is read as an empty list.
            let read = Certificate::from_pem_bundle(pem).unwrap_or_default();
            if read.is_empty() {
                let message = format!("{} holds no certificate in PEM", file.display());
                return Err(Error::new(ErrorKind::Credentials, message));
            }
            authorities.extend(read);
        }
        let identity = match &own.identity {
            None => None,
            Some((file, pem)) => Some(Identity::from_pem(pem).map_err(|_| {
                let message = format!("{} and its key are no certificate and key in PEM", file.display());
                Error::new(ErrorKind::Credentials, message)
            })?),
        };
        let begun = || {
            let builder = Client::builder().user_agent(user_agent()).connect_timeout(self.timeout);
            let builder = builder.redirect(redirects.policy());
            let builder = if is_loopback(host) { builder.no_proxy() } else { builder };
            match &identity {
                Some(identity) => builder.identity(identity.clone()),
                None => builder,
            }
        };
        // A bare machine may lack the system's certificates, which not everybody needs.
        let without_the_system = || begun().tls_certs_only(authorities.clone());
        let built = match way {
            Scheme::Plain if is_loopback(host) => without_the_system().build(),
            Scheme::Plain => begun().build().or_else(|_| without_the_system().build()),
            Scheme::Unchecked => unchecked(without_the_system()).build(),
            Scheme::Checked if authorities.is_empty() => begun().build(),
            Scheme::Checked => {
                begun().tls_certs_merge(authorities.clone()).build().or_else(|_| without_the_system().build())
            }
        };
        built.map_err(|cause| {
            Error::new(ErrorKind::Credentials, format!("no TLS to {host}: {}", root(&cause)))
                .help("install ca-certificates, or name a file of them in SSL_CERT_FILE")
        })
    }

    /// Help for a host that cannot be reached; `why` is the innermost cause.
    pub(super) fn advice(&self, host: &str, why: &str) -> String {
        let places = self.trust.places(host);
        let place = places.iter().find(|place| place.is_dir()).or(places.first());
        let place = |file: &str| match place {
            Some(place) => place.join(file).display().to_string(),
            None => format!("docker's certs.d/{host}/{file}"),
        };
        let looked = match places.as_slice() {
            [] => String::new(),
            _ if self.trust.has_certificates(host) => {
                " (there are certificates for it, and none of them fits)".to_owned()
            }
            places => {
                let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
                format!(" (none is there; looked for {})", places.join(", "))
            }
        };
        if why.contains("not valid for name") || why.contains("NotValidForName") {
            return format!("its certificate is for other names than {host}: use one of these");
        }
        if why.contains("expired") || why.contains("Expired") || why.contains("NotValidYet") {
            return "its certificate is out of date, or this machine's clock is wrong".to_owned();
        }
        if why.contains("certificate") && !why.contains("alert") {
            return format!(
                "if it is {host} indeed, put the certificate of its authority into {}{looked}, among the system's, or into a \
                 file that SSL_CERT_FILE names, which stands for the system's",
                place("ca.crt")
            );
        }
        let speaks_tls = self.ways.lock().get(host).is_some_and(|known| known.way != Scheme::Plain);
        if why.contains("fatal alert") || speaks_tls && is_cut(why) {
            let ended = if is_cut(why) { "it ended the connection without a word: " } else { "" };
            return format!(
                "{ended}if it wants a certificate of ours, put it and its key into {} and {}{looked}",
                place("client.cert"),
                place("client.key")
            );
        }
        let plain = "plain http is spoken to loopback addresses, and to what insecure-registries of docker's daemon.json or \
                     podman's registries.conf names";
        if why.contains("InvalidContentType") {
            return format!("it does not speak TLS; {plain}");
        }
        format!("is {host} the right name, and does it run; {plain}")
    }
}

/// Whether a server ended a connection and nothing says why. One that misses a certificate of ours
/// does so after the handshake of TLS 1.3, and its alert is lost where the request was about to be
/// sent.
fn is_cut(why: &str) -> bool {
    let cuts = [
        "connection was not ready",
        "connection closed",
        "Connection reset",
        "Broken pipe",
        "close_notify",
        "unexpected end of file",
    ];
    cuts.iter().any(|cut| why.contains(cut))
}

fn unchecked(builder: ClientBuilder) -> ClientBuilder {
    builder.tls_danger_accept_invalid_certs(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn checked_tls_is_left_only_where_that_is_allowed() {
        let trust = Trust::default().with_insecure(["r.example:5000".to_owned()]);
        let reach = Endpoints::new(trust, Duration::from_secs(1));
        for (host, way, certain) in [
            ("r.example", Scheme::Checked, true),
            ("r.example:5000", Scheme::Unchecked, false),
            ("127.0.0.1:5000", Scheme::Plain, false),
        ] {
            let known = reach.way(host).await;
            assert_eq!((known.way, known.certain), (way, certain), "{host}");
        }
        reach.settle("127.0.0.1:5000", Scheme::Unchecked);
        assert_eq!(reach.way("127.0.0.1:5000").await.way, Scheme::Unchecked);
    }

    #[test]
    fn advice_says_which_file_was_looked_for() {
        let directory = tempfile::tempdir().expect("a directory");
        let trust = Trust::load(&[directory.path().to_owned()]).expect("nothing there");
        let reach = Endpoints::new(trust, Duration::from_secs(1));
        let said = |why| {
            reach.advice("r.example:5000", why).replace(&directory.path().display().to_string(), "/etc")
        };
        let unknown = said("invalid peer certificate: UnknownIssuer");
        assert!(
            unknown.contains("into /etc/docker/certs.d/r.example:5000/ca.crt (none is there"),
            "{unknown}"
        );
        assert!(unknown.contains("SSL_CERT_FILE"), "{unknown}");
        for (why, expect) in [
            (
                "invalid peer certificate: certificate not valid for name \"x\"",
                "for other names than r.example:5000",
            ),
            ("invalid peer certificate: certificate expired: verification time", "out of date"),
            ("received fatal alert: CertificateRequired", "/etc/docker/certs.d/r.example:5000/client.key"),
            ("received corrupt message of type InvalidContentType", "does not speak TLS"),
            ("tcp connect error", "the right name"),
        ] {
            assert!(said(why).contains(expect), "{why}: {}", said(why));
        }
        // The same server, if the connection was cut before its alert was read.
        let cut = "connection was not ready";
        assert!(said(cut).contains("the right name"), "{}", said(cut));
        reach.settle("r.example:5000", Scheme::Checked);
        assert!(said(cut).contains("/etc/docker/certs.d/r.example:5000/client.key"), "{}", said(cut));
    }
}
