//! A bare connection to an engine, for the requests that change its protocol, which bollard keeps to itself.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Endpoint, Tls, ssh};

/// Something that is read and written.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Opens a connection, on the way that all requests to this engine go.
pub(crate) async fn dial(endpoint: &Endpoint) -> io::Result<Box<dyn Connection>> {
    let host = endpoint.host.as_str();
    if let Some(path) = host.strip_prefix("unix://") {
        return Ok(Box::new(UnixStream::connect(path).await?));
    }
    if host.starts_with("ssh://") {
        let target = ssh::Target::parse(host).map_err(io::Error::other)?;
        return Ok(Box::new(ssh::Pipe::open("ssh", &target)?));
    }
    let address = host.split_once("://").map_or(host, |(_, address)| address);
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = &endpoint.tls else { return Ok(Box::new(stream)) };
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name).trim_matches(['[', ']']);
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    Ok(Box::new(TlsConnector::from(Arc::new(client(tls)?)).connect(name, stream).await?))
}

/// As the docker client: nobody but the CA that was given may have signed the engine's certificate.
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
