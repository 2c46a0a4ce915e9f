//! Authentication: a registry's challenge, and the token that answers it.
//!
//! Follows RFC 7235 for challenges, and the distribution project's "Token Authentication" (GET with
//! the credentials) and "OAuth2 Token Authentication" (POST with a refresh token) for tokens.
//! `oci-client` hides a token server's response and continues anonymously, and cannot use refresh
//! tokens, so this is ours.

use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use serde::Deserialize;

use crate::credential::Credential;
use crate::error::{Error, ErrorKind};

/// Tokens that say nothing about their life have this long (distribution's "Token Response
/// Fields").
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// Time before its end at which a token is no longer used.
const MARGIN: Duration = Duration::from_secs(10);

/// The authentication that a registry requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User and password.
    Basic,
    /// A token from a token server.
    Bearer {
        /// Its address.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
    },
}

/// The `Authorization` header's value, and until when it holds.
#[derive(Clone)]
pub(crate) struct Authorization {
    /// The whole value.
    pub(crate) value: String,
    /// When to ask for a new one.
    pub(crate) until: Option<Instant>,
}

/// Reads the challenge of a 401; a token is preferred where both are offered.
pub(crate) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut basic = None;
    for value in headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        for challenge in http_auth::parse_challenges(value).unwrap_or_default() {
            let parameter = |name: &str| {
                challenge
                    .params
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                if let Some(realm) = parameter("realm") {
                    return Some(Challenge::Bearer { realm, service: parameter("service") });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                basic = Some(Challenge::Basic);
            }
        }
    }
    basic
}

/// A request to a token server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenRequest<'a> {
    /// Query of a GET, or form of a POST.
    pub(crate) fields: Vec<(&'static str, &'a str)>,
    /// User and password of a GET; `None` for a POST and without a login.
    pub(crate) basic: Option<(&'a str, &'a str)>,
    /// GET or POST.
    pub(crate) post: bool,
}

/// The request for a token of these scopes, which are separated by blanks.
pub(crate) fn token_request<'a>(
    service: Option<&'a str>,
    scope: &'a str,
    credential: &'a Credential,
) -> TokenRequest<'a> {
    let mut fields = Vec::new();
    if let Some(service) = service {
        fields.push(("service", service));
    }
    match credential {
        // OAuth 2 has one list of them (RFC 6749, section 3.3), the older way one field for each.
        Credential::IdentityToken(_) => fields.push(("scope", scope)),
        _ => fields.extend(scope.split(' ').map(|scope| ("scope", scope))),
    }
    match credential {
        Credential::Anonymous => TokenRequest { fields, basic: None, post: false },
        Credential::Basic { user, password } => {
            fields.push(("account", user));
            TokenRequest { fields, basic: Some((user, password)), post: false }
        }
        Credential::IdentityToken(token) => {
            fields.push(("grant_type", "refresh_token"));
            fields.push(("client_id", "image-builder"));
            fields.push(("refresh_token", token));
            TokenRequest { fields, basic: None, post: true }
        }
    }
}

/// Reads what a token server gave.
pub(crate) fn read_token(body: &[u8], host: &str, now: Instant) -> Result<Authorization, Error> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u64>,
    }
    let unusable = || Error::new(ErrorKind::Protocol, format!("{host}'s token server gave no token"));
    let token: Token = serde_json::from_slice(body).map_err(|_| unusable())?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let text = filled(token.token).or(filled(token.access_token)).ok_or_else(unusable)?;
    // A year is as good as for ever, and cannot overflow an instant.
    let life = Duration::from_secs(token.expires_in.unwrap_or(0).min(31_536_000)).max(SHORTEST_LIFE);
    Ok(Authorization { value: format!("Bearer {text}"), until: Some(now + life - MARGIN) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (values, expect) in [
            (&[][..], None),
            (&["Basic realm=\"x\""][..], Some(Challenge::Basic)),
            (&["basic realm=\"a \\\"quoted\\\" realm\""], Some(Challenge::Basic)),
            (
                &[
                    "Bearer realm=\"https://auth.example/token\",service=\"r.example\",scope=\"repository:a/b:pull\"",
                ],
                bearer("https://auth.example/token", Some("r.example")),
            ),
            (&["bearer REALM=\"https://a/t\""], bearer("https://a/t", None)),
            (&["Basic realm=\"x\"", "Bearer realm=\"https://a/t\""], bearer("https://a/t", None)),
            (&["Basic realm=\"x\", Bearer realm=\"https://a/t\""], bearer("https://a/t", None)),
            (&["Negotiate"], None),
            (&["Bearer service=\"no realm\""], None),
            (&["\"garbage"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, value.parse().expect("a header"));
            }
            assert_eq!(challenge(&headers), expect, "{values:?}");
        }
    }

    #[test]
    fn each_credential_asks_in_its_way() {
        let ask = |credential: &Credential| {
            let request = token_request(Some("s"), "repository:a:pull", credential);
            let fields: Vec<_> =
                request.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (request.post, request.basic.is_some(), fields.join("&"))
        };
        let basic = Credential::Basic { user: "u".to_owned(), password: "p".to_owned() };
        assert_eq!(
            ask(&Credential::Anonymous),
            (false, false, "service=s&scope=repository:a:pull".to_owned())
        );
        assert_eq!(ask(&basic), (false, true, "service=s&scope=repository:a:pull&account=u".to_owned()));
        let (post, sent_basic, fields) = ask(&Credential::IdentityToken("t".to_owned()));
        assert!(post && !sent_basic && fields.contains("grant_type=refresh_token") && fields.contains("=t"));
    }

    #[test]
    fn tokens_live_as_long_as_they_say() {
        let now = Instant::now();
        for (body, expect) in [
            (r#"{"token":"a"}"#, Some(("Bearer a", 50))),
            (r#"{"token":"","access_token":"b","expires_in":3600}"#, Some(("Bearer b", 3590))),
            (r#"{"token":"a","access_token":"b","expires_in":1}"#, Some(("Bearer a", 50))),
            (r#"{"token":"a","expires_in":18446744073709551615}"#, Some(("Bearer a", 31_535_990))),
            (r#"{"access_token":""}"#, None),
            ("", None),
        ] {
            let read = read_token(body.as_bytes(), "r", now).ok();
            let read = read.as_ref().map(|token| {
                (token.value.as_str(), token.until.expect("tokens end").duration_since(now).as_secs())
            });
            assert_eq!(read, expect, "{body}");
        }
    }
}
