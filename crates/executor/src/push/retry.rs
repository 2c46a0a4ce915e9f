//! Decides whether a failed push is retried, by the text in which the engine reports a registry's answer.
//!
//! The engine tries a manifest once and gives up, and of the registry's answer only words are left. They are read in one
//! table; what is in none of its lines is tried again, since a nightly job has time. Waits are `registry::retry`'s.

use std::sync::LazyLock;

use regex::Regex;
use registry::Again;

use crate::engine::{EngineError, EngineErrorKind};

/// A status as engines write it, in lower case: `HTTP status: 503 …`, `status code 503`, `StatusCode: 503`, `HTTP 503 response`,
/// `status from PUT request to https://…: 503 …`. Digits elsewhere may belong to a digest.
static STATUS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?-u:\b)(?:status(?: ?code)?(?: from (?:registry|[^ ]+ request to [^ ]+))?[: ]+|http )([1-5][0-9][0-9])(?-u:\b)",
    )
    .expect("a constant pattern")
});

/// Words in lower case, and what follows from them. The first that is found counts.
const WORDS: [(&str, Again); 19] = [
    // Before "unauthorized": a login that is good and has not the right gets no better by a new one.
    ("denied", Again::Never),
    ("insufficient_scope", Again::Never),
    ("unauthorized", Again::NewLogin),
    ("authentication required", Again::NewLogin),
    ("no basic auth credentials", Again::NewLogin),
    ("incorrect username or password", Again::NewLogin),
    ("name unknown", Again::Never),
    ("repository name not known", Again::Never),
    ("request entity too large", Again::Never),
    ("does not exist locally", Again::Never),
    ("no such image", Again::Never),
    ("manifest invalid", Again::Never),
    ("name invalid", Again::Never),
    ("tag invalid", Again::Never),
    ("invalid reference", Again::Never),
    ("unsupported", Again::Never),
    ("x509", Again::Never),
    ("certificate", Again::Never),
    ("http response to https client", Again::Never),
];

const LATER: Again = Again::Later { asked: None };

/// Judges what the engine said about a push, or about asking a registry.
pub(crate) fn judge(error: &EngineError) -> Again {
    match error.kind {
        // It hangs at one request; another attempt makes new ones.
        EngineErrorKind::Silent => LATER,
        // It may be starting anew, and each attempt waits for it first.
        EngineErrorKind::Lost | EngineErrorKind::Rest => LATER,
        EngineErrorKind::Failed => judge_words(&error.message),
        EngineErrorKind::NotFound | EngineErrorKind::Full | EngineErrorKind::Platform => Again::Never,
    }
}

/// Judges a question that a registry was asked through the engine, before the first build. Where nobody listens, nobody is
/// waited for, and a login was just read.
pub(crate) fn judge_question(error: &EngineError) -> Again {
    match judge(error) {
        // That is no registry's trouble.
        Again::Later { .. } if error.kind == EngineErrorKind::Lost => Again::Never,
        Again::Later { .. } if error.message.contains("connection refused") => Again::Never,
        Again::Later { .. } if error.message.contains("no such host") => Again::Never,
        Again::NewLogin => Again::Never,
        again => again,
    }
}

fn judge_words(message: &str) -> Again {
    let message = message.to_ascii_lowercase();
    match STATUS.captures(&message).and_then(|found| found[1].parse::<u16>().ok()) {
        Some(401) => return Again::NewLogin,
        Some(408 | 429 | 500..) => return LATER,
        Some(400..500) => return Again::Never,
        _ => {}
    }
    WORDS.iter().find(|(word, _)| message.contains(word)).map_or(LATER, |(_, again)| *again)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_understood() {
        let never = Again::Never;
        let login = Again::NewLogin;
        let address = "http://127.0.0.1:5000/v2/a/manifests/1.0";
        for (message, expect) in [
            // Docker Engine 20.10 and 26.1, which share docker's distribution client.
            ("received unexpected HTTP status: 408 Request Timeout", LATER),
            ("received unexpected HTTP status: 500 Internal Server Error", LATER),
            ("received unexpected HTTP status: 502 Bad Gateway", LATER),
            ("received unexpected HTTP status: 503 Service Unavailable", LATER),
            ("received unexpected HTTP status: 504 Gateway Timeout", LATER),
            ("received unexpected HTTP status: 413 Request Entity Too Large", never),
            ("toomanyrequests: fault 429 on cue", LATER),
            ("toomanyrequests: You have reached your pull rate limit.", LATER),
            (
                "error parsing HTTP 429 response body: invalid character '<' looking for beginning of value",
                LATER,
            ),
            ("error parsing HTTP 403 response body: unexpected end of JSON input: \"\"", never),
            ("error parsing HTTP 404 response body: invalid character 'p' after top-level value", never),
            ("error parsing HTTP 408 response body: no error details found in HTTP response body", LATER),
            ("denied: requested access to the resource is denied", never),
            ("unauthorized: authentication required", login),
            ("no basic auth credentials", login),
            ("name unknown: repository name not known to registry", never),
            ("manifest invalid: manifest invalid", never),
            ("manifest blob unknown: blob unknown to registry", LATER),
            ("blob upload unknown: blob upload unknown to registry", LATER),
            ("An image does not exist locally with the tag: 127.0.0.1:5000/a", never),
            ("EOF", LATER),
            ("unexpected EOF", LATER),
            ("Put \"http://127.0.0.1:5000/v2/a/manifests/1.0\": EOF", LATER),
            ("Put \"http://127.0.0.1:5000/v2/a/manifests/1.0\": read: connection reset by peer", LATER),
            (
                "Get \"http://127.0.0.1:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused",
                LATER,
            ),
            ("Get \"https://r.example/v2/\": net/http: TLS handshake timeout", LATER),
            ("Get \"https://r.example/v2/\": x509: certificate signed by unknown authority", never),
            ("http: server gave HTTP response to HTTPS client", never),
            ("dial tcp: lookup r.example: Temporary failure in name resolution", LATER),
            // Docker Engine with containerd's images.
            (&format!("failed to do request: Put \"{address}\": EOF"), LATER),
            (&format!("unexpected status from PUT request to {address}: 503 Service Unavailable"), LATER),
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
                LATER,
            ),
            (
                "writing blob: initiating layer upload to /v2/a/blobs/uploads/ in 127.0.0.1:5000: StatusCode: 429, <html>",
                LATER,
            ),
            (
                "trying to reuse blob sha256:413: invalid status code from registry 500 (Internal Server Error)",
                LATER,
            ),
            ("writing blob: initiating layer upload: unauthorized: authentication required", login),
            // Digits of a digest are no status, and an unknown text is worth another try.
            ("something odd with sha256:4134030000401", LATER),
        ] {
            assert_eq!(judge_words(message), expect, "{message}");
        }
    }

    #[test]
    fn a_question_waits_for_nobody_who_is_not_there() {
        for (message, expect) in [
            ("received unexpected HTTP status: 503 Service Unavailable", LATER),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                Again::Never,
            ),
            ("dial tcp: lookup r.example: no such host", Again::Never),
            ("unauthorized: authentication required", Again::Never),
        ] {
            assert_eq!(
                judge_question(&EngineError::new(EngineErrorKind::Failed, message)),
                expect,
                "{message}"
            );
        }
    }

    #[test]
    fn what_the_engine_itself_suffers_is_not_the_pushs_affair() {
        for (kind, expect) in [
            (EngineErrorKind::Silent, LATER),
            (EngineErrorKind::Lost, LATER),
            (EngineErrorKind::Full, Again::Never),
            (EngineErrorKind::NotFound, Again::Never),
        ] {
            assert_eq!(judge(&EngineError::new(kind, "EOF")), expect);
        }
    }
}
