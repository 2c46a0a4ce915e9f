//! Small questions about requests and answers.

use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::error::plain;

/// Where a registry is reached: Docker Hub's images live at another name than its own.
pub(super) fn host(registry: &str) -> &str {
    if registry == "docker.io" || registry == "index.docker.io" { "registry-1.docker.io" } else { registry }
}

/// The innermost cause, which is the informative one; never an address, which can be signed.
pub(super) fn root(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if std::ptr::addr_eq(cause, error) {
        return "the request failed".to_owned();
    }
    plain(&cause.to_string(), 300)
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    wait_of(headers.get(RETRY_AFTER)?.to_str().ok()?.trim(), SystemTime::now())
}

/// The wait that a `Retry-After` asks for: seconds, or a date (RFC 9110, section 10.2.3), which may
/// be past.
fn wait_of(text: &str, now: SystemTime) -> Option<Duration> {
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

pub(super) fn user_agent() -> String {
    format!("image-builder/{}", env!("CARGO_PKG_VERSION"))
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
}
