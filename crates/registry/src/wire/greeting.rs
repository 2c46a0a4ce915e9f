//! Decides whether a server that answers 404 is a registry at all.
//!
//! A web server at a mistyped address answers 404 too, and then everything would be rebuilt as
//! missing. So the first 404 counts only if the server was seen to implement the distribution API:
//! by a header or error of that API, by a challenge, or by its response to `GET /v2/`
//! (distribution-spec, "Determining Support"; older: "API Version Check").

use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::http::{host, retry_after};
use super::{Answer, Wire, beginning};
use crate::error::{Error, ErrorKind, status_error};
use crate::limits::GREETING;
use crate::login;

/// The docker registry sends it with every response, others at least with that to `GET /v2/`.
const VERSION: &str = "docker-distribution-api-version";

impl Wire {
    /// Succeeds if a 404 comes from a registry; if the response does not show it, the server is
    /// queried once.
    pub(super) async fn believe_absence(
        &self,
        registry: &str,
        answer: &Answer,
        what: &str,
    ) -> Result<(), Error> {
        let known = Arc::clone(self.registries.lock().entry(registry.to_owned()).or_default());
        let asked = known.get_or_try_init(|| async {
            let is_told = speaks(&answer.headers) || is_error(&answer.body);
            if is_told || self.challenges.lock().contains_key(registry) {
                return Ok(());
            }
            self.greet(registry, what).await
        });
        asked.await.copied()
    }

    async fn greet(&self, registry: &str, what: &str) -> Result<(), Error> {
        let host = host(registry);
        let way = self.reach.way(host).await.way;
        let url = format!("{}://{host}/v2/", way.scheme());
        let sent = self.reach.client(host, way)?.get(url).timeout(self.options.timeout).send().await;
        let response = sent.map_err(|cause| self.unreachable(&cause, registry, what))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        tracing::debug!(host, status, "is it a registry");
        // The connection can be used again once its answer was read.
        drop(beginning(response, GREETING).await);
        if is_registry(status, &headers) {
            return Ok(());
        }
        match status {
            408 | 429 | 500 | 502..=504 => {
                Err(status_error(status, registry, what, "", retry_after(&headers)))
            }
            _ => Err(Error::new(
                ErrorKind::Protocol,
                format!("{what}: {registry} is not a registry: it answers {status} to GET /v2/"),
            )
            .help(format!(
                "is {registry} the right name and port; a registry answers 200 there, or 401 with a challenge"
            ))),
        }
    }
}

fn speaks(headers: &HeaderMap) -> bool {
    headers.contains_key(VERSION)
}

/// A registry's answer to `GET /v2/`.
fn is_registry(status: u16, headers: &HeaderMap) -> bool {
    // A web site may show its front page for every address.
    let is_page = || {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        kind.trim_start().to_ascii_lowercase().starts_with("text/html")
    };
    match status {
        _ if speaks(headers) => true,
        200..300 => !is_page(),
        401 => login::challenge(headers).is_some(),
        _ => false,
    }
}

/// An error of the distribution API (distribution-spec, "Error Codes"): codes in a list.
fn is_error(body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = body["errors"].as_array();
    errors.is_some_and(|errors| !errors.is_empty() && errors.iter().all(|error| error["code"].is_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_told_from_a_web_server() {
        for (status, name, value, expect) in [
            (200, "x", "y", true),
            (200, "content-type", "application/json", true),
            (200, "content-type", "text/html; charset=utf-8", false),
            (200, VERSION, "registry/2.0", true),
            (401, "www-authenticate", "Bearer realm=\"https://a/token\"", true),
            (401, "www-authenticate", "Basic realm=\"x\"", true),
            (401, "www-authenticate", "Negotiate", false),
            (401, "x", "y", false),
            (404, "x", "y", false),
            (404, VERSION, "registry/2.0", true),
            (403, "x", "y", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a value"));
            assert_eq!(is_registry(status, &headers), expect, "{status} {name}: {value}");
        }
        for (body, expect) in [
            (r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x","detail":{}}]}"#, true),
            (r#"{"errors":[]}"#, false),
            (r#"{"errors":["x"]}"#, false),
            (r#"{"error":"not found"}"#, false),
            ("<html>", false),
            ("", false),
        ] {
            assert_eq!(is_error(body.as_bytes()), expect, "{body}");
        }
    }
}
