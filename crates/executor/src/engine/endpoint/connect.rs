//! Opens a connection to an engine: through a socket, over TCP, with TLS, or through ssh.
//!
//! Certificates and addresses are read once. Does not know about HTTP or the use of a connection.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::engine::endpoint::{Endpoint, Tls, ssh};

/// Time-out for opening a connection.
const OPENING: Duration = Duration::from_secs(30);

/// A stream to the engine.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// How an engine is reached.
#[derive(Clone)]
pub(crate) enum Transport {
    /// The path of a socket.
    Socket(PathBuf),
    Network {
        at: Uri,
        tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    },
    Ssh {
        program: String,
        target: ssh::Target,
    },
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => f.debug_tuple("Socket").field(path).finish(),
            Self::Network { at, .. } => f.debug_struct("Network").field("at", at).finish_non_exhaustive(),
            Self::Ssh { target, .. } => f.debug_struct("Ssh").field("target", target).finish_non_exhaustive(),
        }
    }
}

impl Transport {
    /// The transport to an endpoint. Checks what can be checked locally, and opens no connection.
    pub(crate) fn to(endpoint: &Endpoint) -> io::Result<Self> {
        let host = endpoint.host.as_str();
        if let Some(path) = host.strip_prefix("unix://") {
            return match Path::new(path).metadata() {
                Ok(_) => Ok(Self::Socket(path.into())),
                Err(error) => {
                    let why = match error.kind() {
                        io::ErrorKind::PermissionDenied => {
                            format!("permission denied on the directory of {path}, the socket of the engine")
                        }
                        io::ErrorKind::NotFound => format!("Socket not found: {path}"),
                        _ => format!("the socket {path} cannot be read: {error}"),
                    };
                    Err(io::Error::new(error.kind(), why))
                }
            };
        }
        if host.starts_with("ssh://") {
            let target = ssh::Target::parse(host).map_err(io::Error::other)?;
            return Ok(Self::Ssh { program: "ssh".to_owned(), target });
        }
        let address = host.split_once("://").map_or(host, |(_, address)| address);
        let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
        let at = format!("{scheme}://{address}").parse().map_err(io::Error::other)?;
        let tls = match &endpoint.tls {
            Some(tls) => {
                let name = address.rsplit_once(':').map_or(address, |(name, _)| name);
                let name = name.trim_matches(['[', ']']).to_owned();
                Some((ServerName::try_from(name).map_err(io::Error::other)?, Arc::new(client(tls)?)))
            }
            None => None,
        };
        Ok(Self::Network { at, tls })
    }

    /// The base URL of requests.
    pub(crate) fn base(&self) -> String {
        match self {
            Self::Network { at, .. } => at.to_string().trim_end_matches('/').to_owned(),
            Self::Socket(_) | Self::Ssh { .. } => "http://engine".to_owned(),
        }
    }

    /// Opens a connection.
    pub(crate) async fn dial(&self) -> io::Result<Box<dyn Connection>> {
        tokio::time::timeout(OPENING, self.open()).await.unwrap_or_else(|_| {
            let bound = humantime::format_duration(OPENING);
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("no connection was opened within {bound}")))
        })
    }

    async fn open(&self) -> io::Result<Box<dyn Connection>> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Ssh { program, target } => Ok(Box::new(ssh::Pipe::open(program, target)?)),
            Self::Network { at, tls } => {
                let mut connector = HttpConnector::new();
                connector.enforce_http(false);
                connector.set_nodelay(true);
                let stream = connector.call(at.clone()).await;
                let stream = stream.map_err(|cause| io::Error::other(root(&cause)))?.into_inner();
                let Some((name, config)) = tls else { return Ok(Box::new(stream)) };
                let connector = TlsConnector::from(Arc::clone(config));
                Ok(Box::new(connector.connect(name.clone(), stream).await?))
            }
        }
    }
}

/// The innermost error, without the wrappers of libraries.
pub(crate) fn root(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The TLS configuration. As in the Docker client, the engine's certificate must be signed by the
/// given CA; the system's CAs are not trusted.
fn client(tls: &Tls) -> io::Result<ClientConfig> {
    let unusable = |path: &Path, cause: &dyn std::fmt::Display| {
        io::Error::other(format!("{} cannot be used: {cause}", path.display()))
    };
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| unusable(path, &cause))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|cause| unusable(&tls.ca, &cause))?;
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|cause| unusable(&tls.key, &cause))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&tls.cert)?, key)
        .map_err(|cause| unusable(&tls.cert, &cause))
}
