//! A login at a registry.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose;

/// The name under which the docker client keeps its login for Docker Hub.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// A credential for a registry. [`fmt::Debug`] omits the secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// No login.
    Anonymous,
    /// A name with a password, or with a token in its place.
    Basic {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// An OAuth 2 refresh token, which is exchanged for an access token at the registry's token
    /// server.
    IdentityToken(String),
}

impl Credential {
    /// The value of the engine's `X-Registry-Auth` header for this registry: JSON in URL-safe
    /// base64 with padding (Engine API, "Authentication"), the empty object when anonymous.
    #[must_use]
    pub fn x_registry_auth(&self, registry: &str) -> String {
        let address = server_address(registry);
        let json = match self {
            Self::Anonymous => serde_json::json!({}),
            Self::Basic { user, password } => {
                serde_json::json!({ "username": user, "password": password, "serveraddress": address })
            }
            Self::IdentityToken(token) => {
                serde_json::json!({ "identitytoken": token, "serveraddress": address })
            }
        };
        general_purpose::URL_SAFE.encode(json.to_string())
    }

    /// Every form in which the secret could show in a text.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        match self {
            Self::Anonymous => Vec::new(),
            Self::Basic { user, password } => {
                vec![password.clone(), general_purpose::STANDARD.encode(format!("{user}:{password}"))]
            }
            Self::IdentityToken(token) => vec![token.clone()],
        }
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Basic { user, .. } => write!(f, "Basic {{ user: {user:?}, password: *** }}"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(***)"),
        }
    }
}

/// The name under which docker keeps the login of a registry.
pub(crate) fn server_address(registry: &str) -> String {
    if host_of(registry) == host_of(HUB) { HUB.to_owned() } else { registry.to_owned() }
}

/// The host of `https://host/v1/`, `host/path` or `host`; all names of Docker Hub are one.
pub(crate) fn host_of(key: &str) -> &str {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    match rest.split('/').next().unwrap_or(rest) {
        "docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "index.docker.io",
        host => host,
    }
}
