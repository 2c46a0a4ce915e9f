//! A registry over TLS, with its own CA: a second `docker-registry` that serves the data of a first
//! one, with the same logins.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::PrivateRegistry;
use crate::process::Service;
use crate::proxy::Upstream;

/// Whom it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Everybody.
    All,
    /// Clients with a certificate of the CA.
    Certified,
}

/// A running one.
#[derive(Debug)]
pub struct Secure {
    _service: Service,
    port: u16,
    directory: TempDir,
}

impl Secure {
    /// Serves what `registry` holds, for as long as that lives.
    ///
    /// # Panics
    /// When `openssl` or `docker-registry` cannot be run.
    #[must_use]
    pub fn start(registry: &PrivateRegistry, clients: Clients) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        certificates(directory.path());
        let listener = TcpListener::bind("127.0.0.1:0").expect("127.0.0.1 has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        let path = directory.path().display();
        let wanted = match clients {
            Clients::All => String::new(),
            Clients::Certified => format!(", clientcas: ['{path}/ca.pem']"),
        };
        let http = format!(
            "addr: '127.0.0.1:{port}', tls: {{certificate: '{path}/server.pem', key: '{path}/server.key'{wanted}}}"
        );
        let file = directory.path().join("registry.yml");
        fs::write(&file, registry.configuration(&http, false)).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file);
        let mut service = Service::start(&mut command, &directory.path().join("log"));
        let upstream = Upstream::parse(&format!("127.0.0.1:{port}"));
        // A plain HTTP request gets an error response, which shows that the server is ready.
        service.wait_until_ready(Duration::from_secs(20), || {
            crate::http::ask(&upstream, "GET", "/v2/", &[], b"").is_ok()
        });
        Self { _service: service, port, directory }
    }

    /// `0.0.0.0:port`: it reaches this machine, and nothing takes it for a loopback address.
    #[must_use]
    pub fn far(&self) -> String {
        format!("0.0.0.0:{}", self.port)
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn near(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The authority's certificate, in PEM.
    #[must_use]
    pub fn authority(&self) -> String {
        self.read("ca.pem")
    }

    /// A certificate of a client and its key, in PEM.
    #[must_use]
    pub fn client(&self) -> (String, String) {
        (self.read("client.pem"), self.read("client.key"))
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).expect("it was written")
    }
}

/// Makes an authority, and certificates of it for a server on this machine and for a client: `ca`, `server` and `client`,
/// each a `.pem` and a `.key`.
///
/// # Panics
/// When `openssl` cannot be run.
pub fn certificates(directory: &Path) {
    authority(directory);
    signed(directory, "server", "subjectAltName=IP:0.0.0.0,IP:127.0.0.1,DNS:localhost");
    signed(directory, "client", "extendedKeyUsage=clientAuth");
}

fn authority(directory: &Path) {
    openssl(directory, &["-subj", "/CN=testbed authority", "-keyout", "ca.key", "-out", "ca.pem"]);
}

/// A certificate `{name}.pem` of the authority, with its key.
fn signed(directory: &Path, name: &str, extension: &str) {
    let (key, out, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN=testbed {name}"));
    let authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    let own = ["-addext", extension, "-subj", &subject, "-keyout", &key, "-out", &out];
    openssl(directory, &[&authority[..], &own].concat());
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("openssl cannot be run: apt-get install openssl");
    assert!(made.status.success(), "openssl makes a certificate: {}", String::from_utf8_lossy(&made.stderr));
}
