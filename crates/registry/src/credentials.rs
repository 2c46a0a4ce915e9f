//! Reads the docker client's configuration: logins, credential helpers and proxies.
//!
//! Reads `config.json` from a directory that the caller names; independent of the environment and
//! of HTTP. The rules are those of the docker client (`docker login`, "Credential stores",
//! "Credential helpers"; "Use a proxy server with the Docker CLI"): a helper configured for the
//! registry comes first, then the store, then the file. The crate `docker_credential` uses another
//! order, waits for a helper without a time-out and takes its directory from the environment, so
//! the file is read here.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use crate::credential::{Credential, host_of, server_address};
use crate::error::{Error, ErrorKind};
use crate::helper;
use crate::trust::Trust;

/// Padding is written by docker and left out by others.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where the credentials of a registry come from, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This file.
    File(PathBuf),
    /// This file, which is not there.
    NoFile(PathBuf),
    /// The credential helper of this name.
    Helper(String),
    /// Text that was given, or no configuration at all.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) | Self::NoFile(file) => write!(f, "{}", file.display()),
            Self::Helper(name) => write!(f, "docker-credential-{name}"),
            Self::Nowhere => f.write_str("the docker configuration"),
        }
    }
}

/// The relevant parts of the docker client's `config.json`. [`fmt::Debug`] omits secrets.
#[derive(Clone)]
pub struct DockerConfig {
    file: File,
    origin: Origin,
    helper_path: Option<OsString>,
    helper_timeout: Duration,
    trust: Trust,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
    proxies: BTreeMap<String, Proxy>,
    current_context: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Proxy {
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    ftp_proxy: Option<String>,
    no_proxy: Option<String>,
    all_proxy: Option<String>,
}

impl Default for DockerConfig {
    fn default() -> Self {
        Self {
            file: File::default(),
            origin: Origin::Nowhere,
            helper_path: None,
            helper_timeout: Duration::from_secs(30),
            trust: Trust::default(),
        }
    }
}

impl fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerConfig")
            .field("auths", &self.file.auths.keys().collect::<Vec<_>>())
            .field("cred_helpers", &self.file.cred_helpers)
            .field("creds_store", &self.file.creds_store)
            .field("current_context", &self.file.current_context)
            .finish_non_exhaustive()
    }
}

impl DockerConfig {
    /// Reads `config.json` in a directory; no directory and no such file are an empty configuration.
    ///
    /// # Errors
    /// A file that cannot be read, or that is not the JSON which docker writes.
    pub fn load(directory: Option<&Path>) -> Result<Self, Error> {
        let Some(directory) = directory else { return Ok(Self::default()) };
        let path = directory.join("config.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { origin: Origin::NoFile(path), ..Self::default() });
            }
            Err(error) => {
                let message = format!("cannot read {}: {error}", path.display());
                return Err(Error::new(ErrorKind::Credentials, message)
                    .help("make it readable, or name another directory in DOCKER_CONFIG"));
            }
        };
        match Self::parse(&text) {
            Ok(config) => Ok(Self { origin: Origin::File(path), ..config }),
            Err(error) => Err(Error { message: format!("{}: {}", path.display(), error.message), ..error }),
        }
    }

    /// Reads the text of a `config.json`.
    ///
    /// # Errors
    /// Text that is not the JSON which docker writes.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // serde's own words can quote a value, and every value in this file may be a secret.
        let file = serde_json::from_str(text).map_err(|error| {
            let message =
                format!("not a docker configuration, line {} column {}", error.line(), error.column());
            Error::new(ErrorKind::Credentials, message).help("docker login writes a good one")
        })?;
        Ok(Self { file, ..Self::default() })
    }

    /// Where `docker-credential-*` is searched, in the format of `PATH`. By default, as the system
    /// does.
    #[must_use]
    pub fn with_helper_path(mut self, path: impl Into<OsString>) -> Self {
        self.helper_path = Some(path.into());
        self
    }

    /// How long a helper may take; 30 seconds unless said.
    #[must_use]
    pub fn with_helper_timeout(mut self, timeout: Duration) -> Self {
        self.helper_timeout = timeout;
        self
    }

    /// The same with how registries are trusted, which is not in `config.json`.
    #[must_use]
    pub fn with_trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// How registries are trusted.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The current docker context, if one was chosen.
    #[must_use]
    pub fn current_context(&self) -> Option<&str> {
        self.file.current_context.as_deref().filter(|name| !name.is_empty())
    }

    /// Who we are to a registry, given as a host with its port, `docker.io` for Docker Hub.
    ///
    /// Runs a credential helper where one is configured for the registry.
    ///
    /// # Errors
    /// [`ErrorKind::Credentials`]: a helper that is missing, fails or does not answer in time, or an entry
    /// that cannot be read.
    pub async fn credential(&self, registry: &str) -> Result<Credential, Error> {
        match self.helper_for(registry) {
            Some(name) => {
                let server = server_address(registry);
                helper::get(name, &server, self.helper_path.as_deref(), self.helper_timeout).await
            }
            None => self.entry(registry).map_or(Ok(Credential::Anonymous), |auth| read_auth(auth, registry)),
        }
    }

    /// Where [`DockerConfig::credential`] reads the credentials of a registry, for messages.
    #[must_use]
    pub fn origin(&self, registry: &str) -> Origin {
        match self.helper_for(registry) {
            Some(name) => Origin::Helper(name.to_owned()),
            None => self.origin.clone(),
        }
    }

    /// The build arguments that the docker client passes for its configured proxies, in upper and
    /// lower case. `daemon_host` is the engine's address; `default` applies if it has no settings
    /// of its own.
    #[must_use]
    pub fn proxies(&self, daemon_host: &str) -> BTreeMap<String, String> {
        let proxies = &self.file.proxies;
        let Some(proxy) = proxies.get(daemon_host).or_else(|| proxies.get("default")) else {
            return BTreeMap::new();
        };
        [
            ("HTTP_PROXY", &proxy.http_proxy),
            ("HTTPS_PROXY", &proxy.https_proxy),
            ("FTP_PROXY", &proxy.ftp_proxy),
            ("NO_PROXY", &proxy.no_proxy),
            ("ALL_PROXY", &proxy.all_proxy),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref().filter(|value| !value.is_empty())?)))
        .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())])
        .collect()
    }

    fn helper_for(&self, registry: &str) -> Option<&str> {
        lookup(&self.file.cred_helpers, registry)
            .or(self.file.creds_store.as_ref())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    fn entry(&self, registry: &str) -> Option<&Auth> {
        lookup(&self.file.auths, registry)
    }
}

/// The entry under the very name that docker uses, else the first whose host is that registry.
fn lookup<'a, T>(entries: &'a BTreeMap<String, T>, registry: &str) -> Option<&'a T> {
    let address = server_address(registry);
    let host = host_of(&address);
    entries
        .get(&address)
        .or_else(|| entries.iter().find(|(key, _)| host_of(key) == host).map(|(_, value)| value))
}

fn read_auth(auth: &Auth, registry: &str) -> Result<Credential, Error> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(token) = filled(&auth.identitytoken) {
        return Ok(Credential::IdentityToken(token));
    }
    if let Some(encoded) = filled(&auth.auth) {
        let decoded = BASE64.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
            let message =
                format!("the docker configuration's entry for {registry} is not base64 of user:password");
            return Err(Error::new(ErrorKind::Credentials, message).help(format!("docker login {registry}")));
        };
        // Old clients padded the password with NUL.
        return Ok(Credential::Basic {
            user: user.to_owned(),
            password: password.trim_matches('\0').to_owned(),
        });
    }
    match (filled(&auth.username), filled(&auth.password)) {
        (Some(user), Some(password)) => Ok(Credential::Basic { user, password }),
        _ => Ok(Credential::Anonymous),
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose;

    use super::*;

    fn basic(user: &str, password: &str) -> Credential {
        Credential::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    #[tokio::test]
    async fn the_file_is_read_as_docker_reads_it() {
        let encode = |text: &str| general_purpose::STANDARD.encode(text);
        let config = DockerConfig::parse(&format!(
            r#"{{"auths": {{
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "plain.example:5000": {{"auth": "{}"}},
                "https://scheme.example/v2/": {{"username": "u", "password": "p"}},
                "unpadded.example": {{"auth": "{}"}},
                "nul.example": {{"auth": "{}"}},
                "token.example": {{"auth": "{}", "identitytoken": "refresh"}},
                "empty.example": {{}},
                "broken.example": {{"auth": "c2VjcmV0"}}
            }}, "HttpHeaders": {{"X": "y"}}}}"#,
            encode("hub:secret"),
            encode("a:b:c"),
            encode("ab:c").trim_end_matches('='),
            encode("n:pw\0\0"),
            encode("00000000-0000-0000-0000-000000000000:"),
        ))
        .expect("good");
        for (registry, expect) in [
            ("docker.io", basic("hub", "secret")),
            ("index.docker.io", basic("hub", "secret")),
            ("registry-1.docker.io", basic("hub", "secret")),
            ("plain.example:5000", basic("a", "b:c")),
            ("plain.example", Credential::Anonymous),
            ("scheme.example", basic("u", "p")),
            ("unpadded.example", basic("ab", "c")),
            ("nul.example", basic("n", "pw")),
            ("token.example", Credential::IdentityToken("refresh".to_owned())),
            ("empty.example", Credential::Anonymous),
            ("elsewhere.example", Credential::Anonymous),
        ] {
            assert_eq!(config.credential(registry).await, Ok(expect), "{registry}");
        }
        let error = config.credential("broken.example").await.expect_err("no colon in it");
        assert_eq!(error.kind, ErrorKind::Credentials);
        assert!(error.message.contains("broken.example") && !error.message.contains("secret"), "{error}");
    }

    #[test]
    fn the_engine_gets_url_safe_base64() {
        // The standard alphabet would show + and / for these.
        let header = basic("ÿþ", "~~~???>>>").x_registry_auth("r.example");
        assert!(!header.contains(['+', '/']) && header.contains(['-', '_']), "{header}");
        let json: serde_json::Value =
            serde_json::from_slice(&general_purpose::URL_SAFE.decode(&header).expect("base64"))
                .expect("JSON");
        let expect =
            serde_json::json!({"username": "ÿþ", "password": "~~~???>>>", "serveraddress": "r.example"});
        assert_eq!(json, expect);
    }

    #[test]
    fn nothing_shows_a_secret() {
        let config = DockerConfig::parse(r#"{"auths":{"r.example":{"username":"u","password":"hunter2"}}}"#);
        let shown = format!(
            "{config:?} {:?} {:?}",
            basic("u", "hunter2"),
            Credential::IdentityToken("hunter2".to_owned())
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("r.example"), "{shown}");
        let error = DockerConfig::parse(r#"{"auths": {"r.example": "hunter2"}}"#).expect_err("no object");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(error.message.contains("line 1"), "{error}");
    }

    #[test]
    fn proxies_are_those_of_the_engine_or_the_default() {
        let config = DockerConfig::parse(
            r#"{"proxies": {
                "default": {"httpProxy": "http://p:1", "noProxy": "localhost", "ftpProxy": ""},
                "tcp://engine:2376": {"httpsProxy": "http://q:2", "allProxy": "socks5://s"}
            }}"#,
        )
        .expect("good");
        let pairs = |host: &str| {
            config.proxies(host).iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            pairs("unix:///var/run/docker.sock"),
            ["HTTP_PROXY=http://p:1", "NO_PROXY=localhost", "http_proxy=http://p:1", "no_proxy=localhost"]
        );
        assert_eq!(
            pairs("tcp://engine:2376"),
            [
                "ALL_PROXY=socks5://s",
                "HTTPS_PROXY=http://q:2",
                "all_proxy=socks5://s",
                "https_proxy=http://q:2"
            ]
        );
        assert!(DockerConfig::default().proxies("x").is_empty());
    }

    #[test]
    fn a_missing_file_is_an_empty_configuration() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let config = DockerConfig::load(Some(directory.path())).expect("no file");
        assert_eq!(config.current_context(), None);
        std::fs::write(directory.path().join("config.json"), r#"{"currentContext": "lab"}"#)
            .expect("written");
        let config = DockerConfig::load(Some(directory.path())).expect("good");
        assert_eq!(config.current_context(), Some("lab"));
        std::fs::write(directory.path().join("config.json"), "{").expect("written");
        let error = DockerConfig::load(Some(directory.path())).expect_err("cut off");
        assert!(error.message.contains("config.json") && error.help.is_some(), "{error}");
        assert!(DockerConfig::load(None).is_ok());
    }
}
