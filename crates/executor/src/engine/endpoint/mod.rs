//! Selects the engine and its transport by the Docker client's rules for hosts and contexts.
//!
//! The rules ("Docker contexts", "Environment variables"): an address takes precedence over a
//! context, `DOCKER_HOST` over `DOCKER_CONTEXT`, that over the current context, and the system's
//! socket comes last. Reads the context store below the configuration directory; the caller passes
//! the environment ([`EndpointRequest`]).
pub(crate) mod connect;
mod pool;
mod ssh;
#[cfg(test)]
mod test_engine;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use registry::DockerConfig;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use connect::Transport;
pub(crate) use pool::{KEEP, PoolConfig};

/// The default address of an engine.
const DEFAULT_HOST: &str = "unix:///var/run/docker.sock";

/// The settings that select an engine: one flag, and environment variables. An empty variable
/// counts as unset.
#[derive(Debug, Clone, Default)]
pub struct EndpointRequest {
    /// An address from the command line.
    pub flag: Option<String>,
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `DOCKER_TLS_VERIFY`: any value enables TLS for a `tcp://` address.
    pub tls_verify: Option<String>,
    /// `DOCKER_CERT_PATH`: the directory of `ca.pem`, `cert.pem` and `key.pem`; by default the
    /// configuration directory.
    pub cert_path: Option<PathBuf>,
    /// The Docker client's configuration directory, `DOCKER_CONFIG` or `~/.docker`.
    pub config_dir: Option<PathBuf>,
}

/// An engine's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `unix:///path`, `tcp://host:port` or `ssh://[user@]host[:port][/path]`.
    pub host: String,
    /// The certificates, if TLS is used.
    pub tls: Option<Tls>,
    /// The source of the setting, for messages: `DOCKER_HOST`, `docker context lab`, `default`.
    pub origin: String,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self { host: DEFAULT_HOST.to_owned(), tls: None, origin: "default".to_owned() }
    }
}

/// The files of a TLS connection, all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The CA of the engine's certificate.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Our key.
    pub key: PathBuf,
}

/// Why an engine cannot be selected or reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EndpointError {
    /// The error.
    pub message: String,
    /// Suggests how to fix the error.
    pub help: Option<String>,
}

impl EndpointError {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: Some(help.into()) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.host, self.origin)
    }
}

/// Finds the engine's address. Opens no connection.
///
/// # Errors
/// An invalid address, an unknown context, or missing certificates.
pub fn resolve(request: &EndpointRequest, config: &DockerConfig) -> Result<Endpoint, EndpointError> {
    let directory = request.config_dir.as_deref();
    match choose(request, config.current_context()) {
        Choice::Host(host, origin) => {
            let tls = request.tls_verify.as_deref().is_some_and(|value| !value.is_empty());
            let certificates = request.cert_path.as_deref().or(directory);
            let host = normal_host(host, if tls { 2376 } else { 2375 }, origin)?;
            let tls = match certificates {
                Some(certificates) if tls && host.starts_with("tcp://") => {
                    Some(tls_files(certificates, origin)?)
                }
                None if tls && host.starts_with("tcp://") => {
                    let message = "DOCKER_TLS_VERIFY is set, but the directory of the certificates is not";
                    return Err(EndpointError::new(message, "name their directory in DOCKER_CERT_PATH"));
                }
                _ => None,
            };
            Ok(Endpoint { host, tls, origin: origin.to_owned() })
        }
        Choice::Context(name, origin) => context(directory, name, origin),
    }
}

/// Creates a client for an engine. Checks what can be checked locally, and sends nothing yet.
/// Connections are kept open for later requests of this client and its clones, and close with the
/// last of them.
///
/// `timeout` limits the wait for the head of a response, which for a build takes as long as sending
/// its context.
///
/// # Errors
/// A missing socket, or unreadable certificates.
pub fn connect(endpoint: &Endpoint, timeout: Duration) -> Result<Docker, EndpointError> {
    Ok(client(&way(endpoint)?, timeout, KEEP))
}

/// Help for a user who may not connect to an engine's socket.
pub(crate) const NOT_PERMITTED: &str = "join the group that may use it (as a rule: `sudo usermod -aG docker $USER`, then \
     log in again), or name another engine in DOCKER_HOST";

/// The transport to an engine.
pub(crate) fn way(endpoint: &Endpoint) -> Result<Transport, EndpointError> {
    Transport::to(endpoint).map_err(|cause| {
        if cause.kind() == std::io::ErrorKind::PermissionDenied {
            return EndpointError::new(cause.to_string(), NOT_PERMITTED);
        }
        EndpointError::new(
            format!("no engine at {endpoint}: {cause}"),
            "start it, or name another in DOCKER_HOST or by docker context use",
        )
    })
}

/// A client with its own connection pool.
pub(crate) fn client(way: &Transport, timeout: Duration, keep: PoolConfig) -> Docker {
    let (transport, seconds) = (pool::transport(way.clone(), keep), timeout.as_secs().max(1));
    Docker::connect_with_custom_transport(transport, Some(way.base()), seconds, API_DEFAULT_VERSION)
        .expect("a transport is taken as it is")
        .with_request_modifier(|request| for_own_session(url_safe_credentials(request)))
}

/// bollard opens its own session for a BuildKit build. So a build with our session is requested as
/// a classic build, and changed to BuildKit (`version=2`) here. A real classic build has no
/// session.
fn for_own_session(mut request: BollardRequest) -> BollardRequest {
    let uri = request.uri().to_string();
    if let Some((address, query)) = uri.split_once('?')
        && request.uri().path().ends_with("/build")
        && query.split('&').any(|pair| pair.starts_with("session="))
    {
        let pairs = query.split('&').map(|pair| if pair == "version=1" { "version=2" } else { pair });
        if let Ok(uri) = format!("{address}?{}", pairs.collect::<Vec<_>>().join("&")).parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// bollard encodes credentials in standard base64, but the engine expects the URL-safe alphabet
/// (Engine API, "Authentication") and silently continues without credentials if it cannot decode
/// them. So `+` and `/` are replaced.
fn url_safe_credentials(mut request: BollardRequest) -> BollardRequest {
    for name in ["x-registry-auth", "x-registry-config"] {
        let Some(value) = request.headers().get(name).and_then(|value| value.to_str().ok()) else { continue };
        let safe = value.replace('+', "-").replace('/', "_");
        if let Ok(safe) = safe.parse() {
            request.headers_mut().insert(name, safe);
        }
    }
    request
}

#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    Host(&'a str, &'static str),
    Context(&'a str, &'static str),
}

fn choose<'a>(request: &'a EndpointRequest, current: Option<&'a str>) -> Choice<'a> {
    fn filled(text: Option<&String>) -> Option<&str> {
        text.map(|text| text.trim()).filter(|text| !text.is_empty())
    }
    if let Some(host) = filled(request.flag.as_ref()) {
        return Choice::Host(host, "--host");
    }
    if let Some(host) = filled(request.docker_host.as_ref()) {
        return Choice::Host(host, "DOCKER_HOST");
    }
    let named = filled(request.docker_context.as_ref()).map(|name| (name, "DOCKER_CONTEXT"));
    match named.or(current.map(|name| (name, "docker context use"))) {
        None | Some(("default", _)) => Choice::Host(DEFAULT_HOST, "default"),
        Some((name, origin)) => Choice::Context(name, origin),
    }
}

/// Completes an address, or returns why it is invalid.
fn normal_host(text: &str, port: u16, origin: &str) -> Result<String, EndpointError> {
    let error = |why: &str| bad_host(text, origin, why);
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(error("it contains a blank"));
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    match scheme {
        "unix" if rest.is_empty() => Ok(DEFAULT_HOST.to_owned()),
        "unix" if rest.starts_with('/') => Ok(text.to_owned()),
        "unix" => Err(error("the path of a socket begins with a slash")),
        "" if rest.starts_with('/') => Err(error("a socket is written unix:///path")),
        "tcp" | "http" | "https" | "" => {
            let rest = rest.trim_end_matches('/');
            if rest.contains(['/', '@', '?', '#']) {
                return Err(error("a host and a port are all that it may have"));
            }
            let (name, given) = match rest.rsplit_once(':') {
                Some((name, given)) if !given.ends_with(']') => (name, Some(given)),
                _ => (rest, None),
            };
            let port = match given {
                Some(given) => {
                    given.parse::<u16>().map_err(|_| error("the port is not a number up to 65535"))?
                }
                None => port,
            };
            let bare_ipv6 = name.contains(':') && !(name.starts_with('[') && name.ends_with(']'));
            if bare_ipv6 {
                return Err(error("an IPv6 address stands in brackets"));
            }
            Ok(format!("tcp://{}:{port}", if name.is_empty() { "localhost" } else { name }))
        }
        "ssh" => ssh::Target::parse(text).map(|_| text.to_owned()).map_err(error),
        _ => Err(error("only unix, tcp and ssh are known")),
    }
}

fn bad_host(text: &str, origin: &str, why: &str) -> EndpointError {
    // The part before the @ may be a password.
    let shown = match text.rsplit_once('@') {
        Some((before, after)) => {
            format!(
                "{}…@{after}",
                before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"))
            )
        }
        None => text.to_owned(),
    };
    EndpointError::new(
        format!("{origin} gives {shown:?}, which is not the address of an engine: {why}"),
        "write unix:///path, tcp://host:port or ssh://user@host",
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Meta {
    name: String,
    #[serde(default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

/// Reads a context from the store: `contexts/meta/{sha256 of the name}/meta.json`, with its
/// certificates in `contexts/tls/{sha256 of the name}/docker`.
fn context(directory: Option<&Path>, name: &str, said_by: &str) -> Result<Endpoint, EndpointError> {
    let unknown = || {
        let known = directory.map(known_contexts).unwrap_or_default();
        EndpointError::new(
            format!("{said_by} names the docker context {name:?}, which does not exist"),
            format!("known are: default{}", known.iter().map(|name| format!(", {name}")).collect::<String>()),
        )
    };
    let contexts = directory.ok_or_else(unknown)?.join("contexts");
    let id = context_id(name);
    let path = contexts.join("meta").join(&id).join("meta.json");
    let broken = |why: &dyn fmt::Display| {
        EndpointError::new(
            format!("the docker context {name:?} cannot be read: {}: {why}", path.display()),
            format!("see docker context inspect {name}"),
        )
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Err(unknown()),
        Err(cause) => return Err(broken(&cause)),
    };
    let meta: Meta = serde_json::from_str(&text).map_err(|cause| broken(&cause))?;
    let docker = meta.endpoints.docker.ok_or_else(|| broken(&"it has no docker endpoint"))?;
    let origin = format!("docker context {name}");
    let certificates = contexts.join("tls").join(&id).join("docker");
    let tls = certificates.is_dir();
    let host = match docker.host.as_str() {
        "" => DEFAULT_HOST.to_owned(),
        host => normal_host(host, if tls { 2376 } else { 2375 }, &origin)?,
    };
    let over_tls = host.starts_with("tcp://") && (tls || docker.skip_tls_verify);
    if over_tls && docker.skip_tls_verify {
        return Err(EndpointError::new(
            format!("the docker context {name:?} does not want to verify its engine"),
            format!("give it the engine's CA: docker context update {name} --docker ca=…"),
        ));
    }
    let tls = if over_tls { Some(tls_files(&certificates, &origin)?) } else { None };
    Ok(Endpoint { host, tls, origin })
}

fn context_id(name: &str) -> String {
    hex::encode(Sha256::digest(name))
}

/// The names in the store, sorted; unreadable entries are left out.
fn known_contexts(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory.join("contexts/meta")) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("meta.json")).ok())
        .filter_map(|text| Some(serde_json::from_str::<Meta>(&text).ok()?.name))
        .collect();
    names.sort();
    names
}

fn tls_files(directory: &Path, origin: &str) -> Result<Tls, EndpointError> {
    let file = |name: &str| {
        let path = directory.join(name);
        if path.is_file() {
            return Ok(path);
        }
        Err(EndpointError::new(
            format!("{origin} requires TLS, but there is no {}", path.display()),
            "TLS needs three files: ca.pem, cert.pem and key.pem",
        ))
    };
    Ok(Tls { ca: file("ca.pem")?, cert: file("cert.pem")?, key: file("key.pem")? })
}

#[cfg(test)]
mod tests;
