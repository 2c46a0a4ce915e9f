//! Decides whether a failed push is retried, from the text in which the engine reports a registry's
//! response.
//!
//! The engine tries a manifest once, and passes on only the text of the registry's response. One
//! table classifies these texts. An unknown text is retried, since a nightly job has time. The
//! waits are those of `registry::retry`.

use std::sync::LazyLock;

use regex::Regex;
use registry::RetryDecision;

use crate::engine::{EngineError, EngineErrorKind};

/// An HTTP status as engines write it, in lower case: `HTTP status: 503 …`, `status code 503`,
/// `StatusCode: 503`, `HTTP 503 response`, `status from PUT request to https://…: 503 …`. Digits
/// elsewhere may belong to a digest.
static STATUS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?-u:\b)(?:status(?: ?code)?(?: from (?:registry|[^ ]+ request to [^ ]+))?[: ]+|http )([1-5][0-9][0-9])(?-u:\b)",
    )
    .expect("a constant pattern")
});

/// Lower-case words and the decision for each. The first match counts.
const WORDS: [(&str, RetryDecision); 19] = [
    // Before "unauthorized": if a valid login lacks a permission, a new login does not help.
    ("denied", RetryDecision::Never),
    ("insufficient_scope", RetryDecision::Never),
    ("unauthorized", RetryDecision::NewLogin),
    ("authentication required", RetryDecision::NewLogin),
    ("no basic auth credentials", RetryDecision::NewLogin),
    ("incorrect username or password", RetryDecision::NewLogin),
    ("name unknown", RetryDecision::Never),
    ("repository name not known", RetryDecision::Never),
    ("request entity too large", RetryDecision::Never),
    ("does not exist locally", RetryDecision::Never),
    ("no such image", RetryDecision::Never),
    ("manifest invalid", RetryDecision::Never),
    ("name invalid", RetryDecision::Never),
    ("tag invalid", RetryDecision::Never),
    ("invalid reference", RetryDecision::Never),
    ("unsupported", RetryDecision::Never),
    ("x509", RetryDecision::Never),
    ("certificate", RetryDecision::Never),
    ("http response to https client", RetryDecision::Never),
];

const RETRY_LATER: RetryDecision = RetryDecision::Later { asked: None };

/// Decides whether a failed push, or a failed query of a registry by the engine, is retried.
pub(crate) fn judge(error: &EngineError) -> RetryDecision {
    match error.kind {
        // One request hangs; another attempt makes new ones.
        EngineErrorKind::Timeout => RETRY_LATER,
        // The engine may be restarting, and each attempt waits for it first.
        EngineErrorKind::ConnectionLost | EngineErrorKind::Truncated => RETRY_LATER,
        EngineErrorKind::Failed => judge_words(&error.message),
        EngineErrorKind::NotFound | EngineErrorKind::NoSpace | EngineErrorKind::Platform => {
            RetryDecision::Never
        }
    }
}

/// Decides about a query that the engine sent to a registry before the first build. An unreachable
/// registry is not retried, and a rejected login is not renewed, since it was just read.
pub(crate) fn judge_query(error: &EngineError) -> RetryDecision {
    match judge(error) {
        // The engine failed, not the registry.
        RetryDecision::Later { .. } if error.kind == EngineErrorKind::ConnectionLost => RetryDecision::Never,
        RetryDecision::Later { .. } if error.message.contains("connection refused") => RetryDecision::Never,
        RetryDecision::Later { .. } if error.message.contains("no such host") => RetryDecision::Never,
        RetryDecision::NewLogin => RetryDecision::Never,
        again => again,
    }
}

fn judge_words(message: &str) -> RetryDecision {
    let message = message.to_ascii_lowercase();
    match STATUS.captures(&message).and_then(|found| found[1].parse::<u16>().ok()) {
        Some(401) => return RetryDecision::NewLogin,
        Some(408 | 429 | 500..) => return RETRY_LATER,
        Some(400..500) => return RetryDecision::Never,
        _ => {}
    }
    WORDS.iter().find(|(word, _)| message.contains(word)).map_or(RETRY_LATER, |(_, again)| *again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_understood() {
        let never = RetryDecision::Never;
        let login = RetryDecision::NewLogin;
        let address = "http://127.0.0.1:5000/v2/a/manifests/1.0";
        for (message, expect) in [
            // Docker Engine 20.10 and 26.1, which share docker's distribution client.
            ("received unexpected HTTP status: 408 Request Timeout", RETRY_LATER),
            ("received unexpected HTTP status: 500 Internal Server Error", RETRY_LATER),
            ("received unexpected HTTP status: 502 Bad Gateway", RETRY_LATER),
            ("received unexpected HTTP status: 503 Service Unavailable", RETRY_LATER),
            ("received unexpected HTTP status: 504 Gateway Timeout", RETRY_LATER),
            ("received unexpected HTTP status: 413 Request Entity Too Large", never),
            ("toomanyrequests: fault 429 on cue", RETRY_LATER),
            ("toomanyrequests: You have reached your pull rate limit.", RETRY_LATER),
            (
                "error parsing HTTP 429 response body: invalid character '<' looking for beginning of value",
                RETRY_LATER,
            ),
            ("error parsing HTTP 403 response body: unexpected end of JSON input: \"\"", never),
            ("error parsing HTTP 404 response body: invalid character 'p' after top-level value", never),
            (
                "error parsing HTTP 408 response body: no error details found in HTTP response body",
                RETRY_LATER,
            ),
            ("denied: requested access to the resource is denied", never),
            ("unauthorized: authentication required", login),
            ("no basic auth credentials", login),
            ("name unknown: repository name not known to registry", never),
            ("manifest invalid: manifest invalid", never),
            ("manifest blob unknown: blob unknown to registry", RETRY_LATER),
            ("blob upload unknown: blob upload unknown to registry", RETRY_LATER),
            ("An image does not exist locally with the tag: 127.0.0.1:5000/a", never),
            ("EOF", RETRY_LATER),
            ("unexpected EOF", RETRY_LATER),
            ("Put \"http://127.0.0.1:5000/v2/a/manifests/1.0\": EOF", RETRY_LATER),
            ("Put \"http://127.0.0.1:5000/v2/a/manifests/1.0\": read: connection reset by peer", RETRY_LATER),
            (
                "Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
                RETRY_LATER,
            ),
            ("Get \"https://r.example/v2/\": net/http: TLS handshake timeout", RETRY_LATER),
            ("Get \"https://r.example/v2/\": x509: certificate signed by unknown authority", never),
            ("http: server gave HTTP response to HTTPS client", never),
            ("dial tcp: lookup r.example: Temporary failure in name resolution", RETRY_LATER),
            // Docker Engine with containerd's images.
            (&format!("failed to do request: Put \"{address}\": EOF"), RETRY_LATER),
            (
                &format!("unexpected status from PUT request to {address}: 503 Service Unavailable"),
                RETRY_LATER,
            ),
            (&format!("unexpected status from PUT request to {address}: 401 Unauthorized"), login),
            (&format!("unexpected status from PUT request to {address}: 413 Payload Too Large"), never),
            (
                "push access denied, repository does not exist or may require authorization: \
                 server message: insufficient_scope: authorization failed",
                never,
            ),
            // Podman 4.3.
            (
                "uploading manifest 1.0 to 127.0.0.1:5000/a: received unexpected HTTP status: 503 Service Unavailable",
                RETRY_LATER,
            ),
            (
                "writing blob: initiating layer upload to /v2/a/blobs/uploads/ in 127.0.0.1:5000: StatusCode: 429, <html>",
                RETRY_LATER,
            ),
            (
                "trying to reuse blob sha256:413: invalid status code from registry 500 (Internal Server Error)",
                RETRY_LATER,
            ),
            ("writing blob: initiating layer upload: unauthorized: authentication required", login),
            // Digits of a digest are no status, and an unknown text is retried.
            ("something odd with sha256:4134030000401", RETRY_LATER),
        ] {
            assert_eq!(judge_words(message), expect, "{message}");
        }
    }

    #[test]
    fn a_question_waits_for_nobody_who_is_not_there() {
        for (message, expect) in [
            ("received unexpected HTTP status: 503 Service Unavailable", RETRY_LATER),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                RetryDecision::Never,
            ),
            ("dial tcp: lookup r.example: no such host", RetryDecision::Never),
            ("unauthorized: authentication required", RetryDecision::Never),
        ] {
            assert_eq!(judge_query(&EngineError::new(EngineErrorKind::Failed, message)), expect, "{message}");
        }
    }

    #[test]
    fn what_the_engine_itself_suffers_is_not_the_pushs_affair() {
        for (kind, expect) in [
            (EngineErrorKind::Timeout, RETRY_LATER),
            (EngineErrorKind::ConnectionLost, RETRY_LATER),
            (EngineErrorKind::NoSpace, RetryDecision::Never),
            (EngineErrorKind::NotFound, RetryDecision::Never),
        ] {
            assert_eq!(judge(&EngineError::new(kind, "EOF")), expect);
        }
    }
}
