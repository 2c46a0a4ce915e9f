//! A minimal engine for tests, on loopback or a socket, with or without TLS. It records connections
//! and requests.

use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use crate::engine::endpoint::connect::Connection;

/// Time-out for everything that a test waits for.
const BOUND: Duration = Duration::from_secs(30);

/// How the engine handles a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    Answer,
    /// Answers, then closes the connection without announcing that.
    AnswerAndClose,
    Close,
    /// Sends a status line and nothing else.
    Begin,
    /// Sends nothing, but continues to read.
    Nothing,
    /// Switches protocols, and echoes all bytes.
    Switch,
    /// Answers once this many requests have arrived.
    AnswerAt(usize),
}

type Script = Arc<dyn Fn(usize, usize) -> Action + Send + Sync>;

/// Connections and requests that an engine received.
pub(super) struct Received {
    /// Total number of connections.
    came: AtomicUsize,
    /// Number of open connections.
    open: watch::Sender<usize>,
    /// Connection and first line of each request.
    asked: watch::Sender<Vec<(usize, String)>>,
    /// The most recent `Host` header.
    host: Mutex<String>,
}

/// A running engine; dropping it stops it.
pub(super) struct TestEngine {
    pub(super) host: String,
    pub(super) seen: Arc<Received>,
    _accepting: AbortOnDropHandle<()>,
}

enum Listener {
    Network(TcpListener),
    Socket(UnixListener),
    Tls(TcpListener, TlsAcceptor),
}

impl Listener {
    async fn next(&self) -> Option<Box<dyn Connection>> {
        Some(match self {
            Self::Network(listener) => Box::new(listener.accept().await.ok()?.0),
            Self::Socket(listener) => Box::new(listener.accept().await.ok()?.0),
            Self::Tls(listener, acceptor) => {
                let stream = listener.accept().await.ok()?.0;
                Box::new(acceptor.accept(stream).await.ok()?)
            }
        })
    }
}

impl TestEngine {
    /// Starts an engine on a free port. `what` maps the number of the connection, and of the
    /// request on it, both from 1, to an action.
    pub(super) async fn start(what: impl Fn(usize, usize) -> Action + Send + Sync + 'static) -> Self {
        let (listener, host) = port().await;
        Self::behind(Listener::Network(listener), host, Arc::new(what))
    }

    /// Starts an engine that answers everything, on a socket.
    pub(super) fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("the path is free");
        Self::behind(
            Listener::Socket(listener),
            format!("unix://{}", path.display()),
            Arc::new(|_, _| Action::Answer),
        )
    }

    /// Starts an engine that answers all clients that have a certificate, with the files of
    /// `testbed::registry::certificates`.
    pub(super) async fn certified(directory: &Path) -> Self {
        let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
            let all = CertificateDer::pem_file_iter(directory.join(name)).expect("a file");
            all.collect::<Result<_, _>>().expect("certificates")
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates("ca.pem"));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients.build().expect("an authority"))
            .with_single_cert(certificates("server.pem"), key)
            .expect("a certificate and its key");
        let (listener, host) = port().await;
        let door = Listener::Tls(listener, TlsAcceptor::from(Arc::new(config)));
        Self::behind(door, host, Arc::new(|_, _| Action::Answer))
    }

    fn behind(door: Listener, host: String, what: Script) -> Self {
        let seen = Arc::new(Received {
            came: AtomicUsize::new(0),
            open: watch::Sender::new(0),
            asked: watch::Sender::new(Vec::new()),
            host: Mutex::new(String::new()),
        });
        let ours = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let Some(stream) = door.next().await else { continue };
                let number = ours.came.fetch_add(1, Ordering::Relaxed) + 1;
                ours.open.send_modify(|open| *open += 1);
                let (seen, what) = (Arc::clone(&ours), Arc::clone(&what));
                tokio::spawn(async move {
                    // A client may disconnect at any time.
                    let _ = serve(stream, number, &seen, &what).await;
                    seen.open.send_modify(|open| *open -= 1);
                });
            }
        });
        Self { host, seen, _accepting: AbortOnDropHandle::new(accepting) }
    }
}

async fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let host = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    (listener, host)
}

impl Received {
    pub(super) fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    pub(super) fn asked(&self, method: &str) -> usize {
        self.asked.borrow().iter().filter(|(_, line)| line.starts_with(method)).count()
    }

    /// The connection of each request.
    pub(super) fn connections(&self) -> Vec<usize> {
        self.asked.borrow().iter().map(|(connection, _)| *connection).collect()
    }

    pub(super) fn host(&self) -> String {
        self.host.lock().clone()
    }

    /// Waits until this many connections are open.
    pub(super) async fn are_open(&self, count: usize) {
        let mut open = self.open.subscribe();
        let waited = tokio::time::timeout(BOUND, open.wait_for(|open| *open == count)).await;
        assert!(waited.is_ok(), "{} connections are open, and not {count}", *self.open.borrow());
    }

    /// Waits until this many requests have arrived.
    pub(super) async fn were_asked(&self, count: usize) {
        let mut asked = self.asked.subscribe();
        let waited = tokio::time::timeout(BOUND, asked.wait_for(|asked| asked.len() >= count)).await;
        assert!(waited.is_ok(), "there were {} requests, and not {count}", self.asked.borrow().len());
    }
}

async fn serve(
    stream: Box<dyn Connection>,
    number: usize,
    seen: &Received,
    what: &Script,
) -> Result<(), std::io::Error> {
    let mut stream = BufReader::new(stream);
    for request in 1.. {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let value = |name: &str| head.iter().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        *seen.host.lock() = value("host: ").to_owned();
        let length: usize = value("content-length: ").parse().unwrap_or(0);
        stream.read_exact(&mut vec![0; length]).await?;
        seen.asked.send_modify(|asked| asked.push((number, head[0].clone())));
        let what = what(number, request);
        if let Action::AnswerAt(count) = what {
            seen.were_asked(count).await;
        }
        match what {
            Action::Answer | Action::AnswerAndClose | Action::AnswerAt(_) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK").await?;
            }
            Action::Begin => {
                let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head).await?;
                stream.write_all(b"13\r\n{\"stream\":\"first\"}\n\r\n").await?;
            }
            Action::Switch => {
                let head = b"HTTP/1.1 101 UPGRADED\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n";
                stream.write_all(head).await?;
                let (mut read, mut write) = tokio::io::split(stream);
                return tokio::io::copy(&mut read, &mut write).await.map(|_| ());
            }
            Action::Close | Action::Nothing => {}
        }
        match what {
            Action::AnswerAndClose | Action::Close => return Ok(()),
            // Wait until the client disconnects.
            Action::Begin | Action::Nothing => {
                return tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(|_| ());
            }
            _ => {}
        }
    }
    Ok(())
}
