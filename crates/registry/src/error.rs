//! The errors of registry requests, and what to do about them.
//!
//! No text in here holds a password, a token or a signed address.

use std::fmt;
use std::time::Duration;

use crate::retry::RetryDecision;

/// Why a registry, or the way to it, did not give what was asked.
///
/// The kind alone decides what a caller does; the texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The kind of failure.
    pub kind: ErrorKind,
    /// What happened, in lower case, without full stop.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// The wait that the registry requests, in `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Whether the connection was refused, which rarely changes soon.
    pub(crate) is_refused: bool,
}

/// The sorts of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// 404 where something had to be there.
    NotFound,
    /// 401: no login, or one that the registry does not take.
    Unauthorized,
    /// 403: a login without the right.
    Denied,
    /// 429.
    RateLimited,
    /// 5xx and 408: the registry's own trouble, which may pass.
    Server(u16),
    /// Any other status that is no success.
    Refused(u16),
    /// No answer: name, address, TLS, reset, timeout.
    Connection,
    /// An answer that the distribution specification does not allow, or a digest that does not fit.
    Protocol,
    /// An image that does not exist for the wanted platform.
    Platform,
    /// The docker configuration or a credential helper.
    Credentials,
}

impl Error {
    /// An error without help.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, retry_after: None, is_refused: false }
    }

    /// The same with a help line.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, ErrorKind::RateLimited | ErrorKind::Server(_) | ErrorKind::Connection)
    }

    /// Whether the server does not know the method of the request (RFC 9110, sections 15.5.6 and
    /// 15.6.2).
    pub(crate) fn is_unknown_method(&self) -> bool {
        matches!(self.kind, ErrorKind::Refused(405 | 501))
    }

    /// How a caller should retry. A 401 was already retried with a new login.
    #[must_use]
    pub fn retry_decision(&self) -> RetryDecision {
        if self.is_transient() {
            RetryDecision::Later { asked: self.retry_after }
        } else {
            RetryDecision::Never
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// An error for a status that is no success. `host` is the registry, `what` what was asked for,
/// `said` what the registry wrote, already made safe by [`said`].
pub(crate) fn status_error(
    status: u16,
    host: &str,
    what: &str,
    said: &str,
    retry_after: Option<Duration>,
) -> Error {
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    let error =
        |kind, text: &str| Error { retry_after, ..Error::new(kind, format!("{what}: {host} {text}{said}")) };
    match status {
        401 => error(ErrorKind::Unauthorized, "wants a login that it accepts, 401")
            .help(format!("docker login {host}")),
        403 => error(ErrorKind::Denied, "refuses, 403")
            .help(format!("request access on {host}, or docker login {host} as a user with access")),
        404 => error(ErrorKind::NotFound, "does not have it, 404"),
        429 => error(ErrorKind::RateLimited, "asks to wait, 429"),
        // An unsupported request stays unsupported.
        501 | 505 => error(ErrorKind::Refused(status), &format!("answered {status}")),
        408 | 500..=599 => error(ErrorKind::Server(status), &format!("failed, {status}")),
        _ => error(ErrorKind::Refused(status), &format!("answered {status}")),
    }
}

/// A registry's description of a failure: `code: message` of its error envelope (distribution-spec,
/// "Error Codes"), or the beginning of the text, on one line, without control characters and
/// without `secrets`.
pub(crate) fn said(body: &[u8], secrets: &[String]) -> String {
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        code: serde_json::Value,
        #[serde(default)]
        message: Option<String>,
    }
    let text = match serde_json::from_slice::<Envelope>(body) {
        Ok(envelope) => envelope
            .errors
            .iter()
            .map(|entry| {
                let code = entry.code.as_str().map_or_else(|| entry.code.to_string(), str::to_owned);
                match entry.message.as_deref() {
                    Some(message) if !message.is_empty() => format!("{code}: {message}"),
                    _ => code,
                }
            })
            .collect::<Vec<_>>()
            .join("; "),
        // A page of a proxy in between says less than its status.
        Err(_) if body.trim_ascii_start().starts_with(b"<") => String::new(),
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let mut text = text;
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.as_str(), "***");
    }
    plain(&text, 300)
}

/// At most `limit` characters, control and direction characters escaped.
pub(crate) fn plain(text: &str, limit: usize) -> String {
    let mut plain = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == limit {
            plain.push('…');
            break;
        }
        match c {
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                plain.extend(c.escape_unicode());
            }
            c if c.is_control() => plain.extend(c.escape_default()),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_made_safe() {
        let secrets = ["hunter2".to_owned(), String::new()];
        for (body, expect) in [
            (r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, "DENIED: no"),
            (
                r#"{"errors":[{"code":"DENIED"},{"code":"NAME_UNKNOWN","message":"x"}]}"#,
                "DENIED; NAME_UNKNOWN: x",
            ),
            (r#"{"errors":[{"code":404,"message":""}]}"#, "404"),
            ("<html>bad gateway</html>", ""),
            ("\x1b[31mred\nline", "\\u{1b}[31mred\\nline"),
            ("password hunter2 is wrong", "password *** is wrong"),
            ("", ""),
        ] {
            assert_eq!(said(body.as_bytes(), &secrets), expect, "{body}");
        }
        assert_eq!(said(&[0xff; 9], &[]), "\u{fffd}".repeat(9));
        assert_eq!(plain(&"é".repeat(400), 300).chars().count(), 301);
        assert_eq!(plain("a\u{202e}b", 9), "a\\u{202e}b");
    }

    #[test]
    fn a_status_has_one_kind() {
        let wait = Some(Duration::from_secs(7));
        for (status, kind, transient) in [
            (401, ErrorKind::Unauthorized, false),
            (403, ErrorKind::Denied, false),
            (404, ErrorKind::NotFound, false),
            (408, ErrorKind::Server(408), true),
            (413, ErrorKind::Refused(413), false),
            (418, ErrorKind::Refused(418), false),
            (429, ErrorKind::RateLimited, true),
            (500, ErrorKind::Server(500), true),
            (501, ErrorKind::Refused(501), false),
            (503, ErrorKind::Server(503), true),
        ] {
            let error = status_error(status, "r.example", "x:1", "SAID", wait);
            assert_eq!((error.kind, error.is_transient()), (kind, transient), "{status}");
            let again = if transient { RetryDecision::Later { asked: wait } } else { RetryDecision::Never };
            assert_eq!(error.retry_decision(), again, "{status}");
            assert!(error.message.contains("r.example") && error.message.contains("SAID"), "{error}");
        }
    }
}
