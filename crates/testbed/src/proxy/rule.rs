//! When the proxy does what: a request's kind, its n-th time, and the fault.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::seen::{From, Seen};

/// A fault for matching requests. Counts the requests that match it, including those that another
/// rule took.
#[derive(Debug, Clone)]
pub struct Rule {
    method: String,
    pattern: Regex,
    from: Option<From>,
    hits: Hits,
    pub(crate) mode: Mode,
}

/// Which of the matching requests, counted from 1.
#[derive(Debug, Clone)]
pub enum Hits {
    /// The n-th only.
    Nth(u64),
    /// The n-th and all that follow.
    FromNth(u64),
    /// The first n.
    First(u64),
    /// All.
    Every,
    /// Each with this probability, of 0 to 1, by a generator with this seed.
    Random(f64, u64),
}

/// A callback at a request.
pub type Hook = Arc<dyn Fn(&Seen) + Send + Sync>;

/// The fault. Bytes of a body are counted as on the wire, a chunk's size line included.
#[derive(Clone)]
pub enum Mode {
    /// An answer of our own; upstream is not asked.
    Status(Reply),
    /// Upstream did it, and the client hears this instead.
    StatusAfter(Reply),
    /// RST as soon as the head was read; upstream is not asked.
    Reset,
    /// Upstream did it, and the client gets an RST.
    ResetAfter,
    /// The connection ends without an answer; upstream is not asked.
    Eof,
    /// Upstream did it, and the connection ends without an answer.
    EofAfter,
    /// The response's body is truncated after this many bytes, and always before its end. Without a
    /// body, its head is truncated.
    Truncate(u64),
    /// The connections to both sides are closed after this many bytes of the request's body;
    /// without a body, at once.
    TruncateRequest(u64),
    /// Passed on after this time.
    Delay(Duration),
    /// Forwarded, both bodies no faster than this many bytes per second.
    Throttle(u64),
    /// No answer, until the rule is cleared, the client goes, or the proxy ends; upstream is not
    /// asked.
    Silence,
    /// The response stalls after this many bytes of its body, like [`Mode::Silence`].
    Stall(u64),
    /// 200 and this text again and again, with this pause, until the rule is cleared; upstream is
    /// not asked.
    Endless(String, Duration),
    /// Calls this, then passes on. The proxy goes on with other requests meanwhile.
    Hook(Hook),
    /// Passes on. As the first rule that takes a request, it keeps it from the rules behind it.
    Pass,
}

impl Mode {
    /// A status without headers, with a body as a registry would write it.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status(Reply::new(status))
    }

    /// See [`Mode::Hook`].
    pub fn hook(hook: impl Fn(&Seen) + Send + Sync + 'static) -> Self {
        Self::Hook(Arc::new(hook))
    }

    /// In one word, as the trace has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::StatusAfter(_) => "status-after",
            Self::Reset => "reset",
            Self::ResetAfter => "reset-after",
            Self::Eof => "eof",
            Self::EofAfter => "eof-after",
            Self::Truncate(_) => "truncate",
            Self::TruncateRequest(_) => "truncate-request",
            Self::Delay(_) => "delay",
            Self::Throttle(_) => "throttle",
            Self::Silence => "silence",
            Self::Stall(_) => "stall",
            Self::Endless(..) => "endless",
            Self::Hook(_) => "hook",
            Self::Pass => "pass",
        }
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// An answer of the proxy's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// With the error body of the distribution specification from 400 on, else empty.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let error =
            format!("{{\"errors\":[{{\"code\":\"UNKNOWN\",\"message\":\"fault {status} on cue\"}}]}}");
        let body = if status >= 400 { error.into_bytes() } else { Vec::new() };
        let kind = ("Content-Type".to_owned(), "application/json".to_owned());
        Self { status, headers: vec![kind], body }
    }

    /// Adds a header, such as `Retry-After` or `WWW-Authenticate`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// The kinds of request that a push or a pull consists of (OCI distribution specification,
/// "Endpoints").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `GET /v2/`: does it speak our language, and does it want a login.
    Ping,
    /// Is the blob there.
    BlobHead,
    /// The blob itself.
    BlobGet,
    /// Begins an upload, or mounts the blob from another repository.
    UploadStart,
    /// The upload's bytes.
    UploadData,
    /// Ends the upload.
    UploadEnd,
    /// Is the manifest there.
    ManifestHead,
    /// The manifest itself.
    ManifestGet,
    /// Writes a manifest, that is a tag.
    ManifestPut,
    /// The list of tags.
    Tags,
}

impl Kind {
    /// The six that an image's push consists of.
    pub const PUSH: [Self; 6] = [
        Self::BlobHead,
        Self::UploadStart,
        Self::UploadData,
        Self::UploadEnd,
        Self::ManifestHead,
        Self::ManifestPut,
    ];

    /// Its method.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Ping | Self::BlobGet | Self::ManifestGet | Self::Tags => "GET",
            Self::BlobHead | Self::ManifestHead => "HEAD",
            Self::UploadStart => "POST",
            Self::UploadData => "PATCH",
            Self::UploadEnd | Self::ManifestPut => "PUT",
        }
    }

    /// Its path, for [`Rule::new`].
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Ping => "/v2/",
            Self::BlobHead | Self::BlobGet => "/v2/*/blobs/sha256:*",
            Self::UploadStart => "/v2/*/blobs/uploads/",
            Self::UploadData | Self::UploadEnd => "/v2/*/blobs/uploads/*",
            Self::ManifestHead | Self::ManifestGet | Self::ManifestPut => "/v2/*/manifests/*",
            Self::Tags => "/v2/*/tags/list",
        }
    }
}

impl Rule {
    /// `method` is one method, or `*` for all. In `path` a `*` matches any text, `/` included; the
    /// query is ignored.
    #[must_use]
    pub fn new(method: &str, path: &str, hits: Hits, mode: Mode) -> Self {
        let parts: Vec<_> = path.split('*').map(regex::escape).collect();
        let pattern = Regex::new(&format!("^(?s:{})$", parts.join(".*"))).expect("its text was escaped");
        Self { method: method.to_owned(), pattern, from: None, hits, mode }
    }

    /// For a kind of registry request.
    #[must_use]
    pub fn on(kind: Kind, hits: Hits, mode: Mode) -> Self {
        Self::new(kind.method(), kind.path(), hits, mode)
    }

    /// Only where the one that asks calls itself so.
    #[must_use]
    pub fn from(mut self, from: From) -> Self {
        self.from = Some(from);
        self
    }

    fn matches(&self, seen: &Seen) -> bool {
        (self.method == "*" || self.method == seen.method)
            && self.pattern.is_match(&seen.path)
            && self.from.is_none_or(|from| from == seen.from)
    }
}

/// Names a rule of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub(crate) u64);

/// A rule at work.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) id: RuleId,
    rule: Rule,
    random: fastrand::Rng,
    matched: u64,
    /// How often it took a request.
    pub(crate) taken: u64,
}

impl Active {
    pub(crate) fn new(id: RuleId, rule: Rule) -> Self {
        let seed = if let Hits::Random(_, seed) = rule.hits { seed } else { 0 };
        Self { id, rule, random: fastrand::Rng::with_seed(seed), matched: 0, taken: 0 }
    }
}

/// Counts the request in all rules, and returns what the first that takes it wants.
pub(crate) fn decide(rules: &mut [Active], seen: &Seen) -> Option<(RuleId, Mode)> {
    let mut first = None;
    for active in rules.iter_mut().filter(|active| active.rule.matches(seen)) {
        active.matched += 1;
        let takes = match active.rule.hits {
            Hits::Nth(wanted) => active.matched == wanted,
            Hits::FromNth(wanted) => active.matched >= wanted,
            Hits::First(count) => active.matched <= count,
            Hits::Every => true,
            Hits::Random(probability, _) => active.random.f64() < probability,
        };
        if takes && first.is_none() {
            active.taken += 1;
            first = Some((active.id, active.rule.mode.clone()));
        }
    }
    first
}
