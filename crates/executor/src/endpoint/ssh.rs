//! An engine behind ssh: `ssh … docker system dial-stdio` is a connection, as for the docker client.
//!
//! bollard's own way needs a socket multiplexer of ssh, and takes a port for a part of the host's name.
//! Here the user's ssh does everything that its configuration says; connections that are idle are used again.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bollard::BollardRequest;
use bollard::errors::Error;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// How long an idle connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// So much of what ssh complains about is kept, in bytes.
const COMPLAINT: u64 = 4096;

/// Where ssh goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    socket: Option<String>,
}

impl Target {
    /// Reads `ssh://[user@]host[:port][/path of the socket]`, or says why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("ssh://").ok_or("it does not begin with ssh://")?;
        let (authority, socket) = match rest.find('/') {
            Some(at) => (&rest[..at], Some(&rest[at..]).filter(|path| *path != "/")),
            None => (rest, None),
        };
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("ssh takes no password in an address");
        }
        if user.is_some_and(|user| !is_word(user)) {
            return Err("the user's name is empty or has strange characters");
        }
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or("a bracket is not closed")?;
                (host, after.strip_prefix(':').or((!after.is_empty()).then_some("")))
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        let port =
            port.map(|port| port.parse().map_err(|_| "the port is no number up to 65535")).transpose()?;
        // What begins with a dash would be an option of ssh, and could run a program.
        if !is_word(&host.replace(':', "")) {
            return Err("the host's name is empty or has strange characters");
        }
        if socket.is_some_and(|socket| {
            socket.contains(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c))
        }) {
            return Err("the socket's path has characters that a shell would read");
        }
        Ok(Self {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            socket: socket.map(str::to_owned),
        })
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
        if let Some(user) = &self.user {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = self.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["--".to_owned(), self.host.clone(), "docker".to_owned()]);
        if let Some(socket) = &self.socket {
            arguments.extend(["--host".to_owned(), format!("unix://{socket}")]);
        }
        arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
        arguments
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

type Answer = Pin<Box<dyn Future<Output = Result<hyper::Response<hyper::body::Incoming>, Error>> + Send>>;

/// What carries bollard's requests over ssh.
pub(crate) fn transport(target: Target) -> impl Fn(BollardRequest) -> Answer + Send + Sync {
    transport_by("ssh", target)
}

fn transport_by(program: &str, target: Target) -> impl Fn(BollardRequest) -> Answer + Send + Sync + use<> {
    let connector = Connector { program: program.to_owned(), target: Arc::new(target) };
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector);
    move |request| {
        let client = client.clone();
        Box::pin(async move { client.request(request).await.map_err(|cause| told(&cause)) })
    }
}

/// The client's own words are "client error (SendRequest)"; what ssh said is behind them.
fn told(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Error::IOError { err: io::Error::other(cause.to_string()) }
}

#[derive(Clone)]
struct Connector {
    program: String,
    target: Arc<Target>,
}

impl tower_service::Service<hyper::Uri> for Connector {
    type Response = TokioIo<Pipe>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<TokioIo<Pipe>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        std::future::ready(Pipe::open(&self.program, &self.target).map(TokioIo::new))
    }
}

/// A running ssh, read and written like a socket. Dropped, it ends.
pub(crate) struct Pipe {
    io: Join<ChildStdout, ChildStdin>,
    complaint: JoinHandle<String>,
    silent: bool,
    _child: Child,
}

impl Pipe {
    pub(crate) fn open(program: &str, target: &Target) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(target.arguments())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|cause| io::Error::new(cause.kind(), format!("{program} cannot be run: {cause}")))?;
        let closed = || io::Error::other("ssh has no pipes");
        let stdin = child.stdin.take().ok_or_else(closed)?;
        let stdout = child.stdout.take().ok_or_else(closed)?;
        let mut stderr = child.stderr.take().ok_or_else(closed)?;
        let complaint = tokio::spawn(async move {
            let mut kept = Vec::new();
            // What cannot be read is not worth a second failure. The rest is read away, or ssh would block.
            let _ = (&mut stderr).take(COMPLAINT).read_to_end(&mut kept).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&kept).trim().to_owned()
        });
        Ok(Self { io: tokio::io::join(stdout, stdin), complaint, silent: true, _child: child })
    }
}

impl Pipe {
    /// Why ssh ended before the engine said anything: ssh itself failed, and told it on another way.
    fn complain(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let why = ready!(Pin::new(&mut self.complaint).poll(cx)).unwrap_or_default();
        // A task's answer can be taken once.
        self.silent = false;
        Poll::Ready(io::Error::other(format!("ssh ended: {}", why.escape_debug())))
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.silent = false;
        } else if self.silent {
            return self.complain(cx).map(Err);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.io).poll_write(cx, bytes)) {
            Err(cause) if self.silent && cause.kind() == io::ErrorKind::BrokenPipe => {
                self.complain(cx).map(Err)
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use bollard::{API_DEFAULT_VERSION, Docker};

    use super::*;

    /// An engine behind a program that stands in for ssh.
    fn engine(directory: &tempfile::TempDir, script: &str) -> Docker {
        let path = directory.path().join("ssh");
        // By another process: a child of a parallel test could hold our own writing end open for a moment,
        // and the kernel runs no file that is open for writing.
        let written = std::process::Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(&path)
            .arg(script)
            .status();
        assert!(written.expect("sh runs").success());
        let target = Target::parse("ssh://me@lab:2222").expect("good");
        let transport = transport_by(&path.display().to_string(), target);
        Docker::connect_with_custom_transport(transport, Some("http://engine"), 60, API_DEFAULT_VERSION)
            .expect("nothing is opened yet")
    }

    #[tokio::test]
    async fn requests_go_through_ssh_and_connections_are_used_again() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let script = format!(
            r#"echo "$@" >> '{}'
            end="$(printf '\r')"
            while read -r line; do
                if [ "$line" = "$end" ]; then printf 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK'; fi
            done"#,
            log.display()
        );
        let docker = engine(&directory, &script);
        for _ in 0..3 {
            assert_eq!(docker.ping().await.expect("an answer"), "OK");
        }
        let asked = std::fs::read_to_string(log).expect("written");
        assert_eq!(asked, "-o ConnectTimeout=30 -T -l me -p 2222 -- lab docker system dial-stdio\n");
    }

    #[tokio::test]
    async fn what_ssh_complains_about_is_told() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let docker = engine(&directory, "echo 'me@lab: Permission denied (publickey).' >&2; exit 255");
        let error = docker.ping().await.expect_err("no connection").to_string();
        assert!(error.contains("Permission denied (publickey)"), "{error}");
    }

    #[test]
    fn addresses_become_arguments() {
        for (text, expect) in [
            ("ssh://host", "-- host docker system dial-stdio"),
            ("ssh://me@host/", "-l me -- host docker system dial-stdio"),
            ("ssh://me@host:2222", "-l me -p 2222 -- host docker system dial-stdio"),
            ("ssh://[fe80::1]:22", "-p 22 -- fe80::1 docker system dial-stdio"),
            ("ssh://host/run/d.sock", "-- host docker --host unix:///run/d.sock system dial-stdio"),
        ] {
            let arguments = Target::parse(text).map(|target| target.arguments().join(" "));
            assert_eq!(arguments, Ok(format!("-o ConnectTimeout=30 -T {expect}")), "{text}");
        }
        for bad in [
            "ssh://",
            "ssh://-oProxyCommand=x",
            "ssh://me:secret@host",
            "ssh://@host",
            "ssh://host:",
            "ssh://host:99999",
            "ssh://[::1",
            "ssh://[::1]x",
            "ssh://ho$t",
            "ssh://host/a;b",
            "ssh://-l@host",
            "tcp://host",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
