//! The proxy's record: an entry for each request, in order of arrival.

use std::fmt;
use std::time::Duration;

use super::message::{Headers, header};

/// The client, by its user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// `image-builder/…`
    Us,
    /// `docker/…`
    Engine,
    /// Anybody else.
    Other,
}

impl From {
    pub(crate) fn of(user_agent: &str) -> Self {
        if user_agent.starts_with("image-builder/") {
            Self::Us
        } else if user_agent.starts_with("docker/") {
            Self::Engine
        } else {
            Self::Other
        }
    }
}

/// One request and its outcome.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Counted from 1, in the order in which the heads were read.
    pub number: usize,
    /// The client's connection, counted from 1.
    pub connection: usize,
    /// Such as `GET`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Behind the `?`, else empty.
    pub query: String,
    /// By its `User-Agent`.
    pub from: From,
    /// As the client sent them, credentials included; names in lower case.
    pub headers: Headers,
    /// When the head was read, since the proxy started.
    pub began: Duration,
    /// The fault's name, see `Mode::name`; `None` when no rule took it. `unreachable`: upstream
    /// could not be reached.
    pub mode: Option<&'static str>,
    /// The status that the client received.
    pub status: Option<u16>,
    /// The status of upstream.
    pub upstream_status: Option<u16>,
    /// Headers of upstream's answer; names in lower case.
    pub answer: Headers,
    /// When the exchange was over, well or not.
    pub finished: Option<Duration>,
}

impl Seen {
    /// A header that the client sent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, &name.to_ascii_lowercase())
    }

    /// A header that upstream answered.
    #[must_use]
    pub fn answered(&self, name: &str) -> Option<&str> {
        header(&self.answer, &name.to_ascii_lowercase())
    }

    /// Whether it carried a credential.
    #[must_use]
    pub fn is_authorized(&self) -> bool {
        self.header("authorization").is_some() || self.header("x-registry-auth").is_some()
    }

    /// `(repository, tag)` if upstream accepted a manifest. Artifacts that refer to an image, by
    /// digest or in the list `sha256-…`, are not tags of one.
    #[must_use]
    pub fn written_tag(&self) -> Option<(&str, &str)> {
        let accepted = self.upstream_status.is_some_and(|status| (200..300).contains(&status));
        if self.method != "PUT" || !accepted {
            return None;
        }
        let written = self.path.strip_prefix("/v2/")?.split_once("/manifests/");
        written.filter(|(_, tag)| !tag.starts_with("sha256"))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, method, path, from, began, .. } = self;
        write!(formatter, "{number:4} {:9.4} {from:?} {method} {path}", began.as_secs_f64())?;
        if let Some(mode) = self.mode {
            write!(formatter, " [{mode}]")?;
        }
        match (self.status, self.upstream_status) {
            (Some(told), Some(said)) if told == said => write!(formatter, " {told}"),
            (Some(told), Some(said)) => write!(formatter, " {told} instead of {said}"),
            (Some(told), None) => write!(formatter, " {told} of our own"),
            (None, Some(said)) => write!(formatter, " nothing instead of {said}"),
            (None, None) if self.finished.is_some() => formatter.write_str(" no answer"),
            (None, None) => formatter.write_str(" …"),
        }
    }
}
