//! Connects to an engine through `ssh … docker system dial-stdio`, as the Docker client does.
//!
//! bollard's ssh support needs ssh's connection multiplexing, and treats a port as a part of the
//! host name. This module runs the user's ssh, which applies all of its configuration.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, ReadBuf};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

/// Maximum number of bytes of ssh's stderr in an error.
const COMPLAINT: u64 = 4096;

/// The destination of ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    user: Option<String>,
    host: String,
    port: Option<u16>,
    socket: Option<String>,
}

impl Target {
    /// Parses `ssh://[user@]host[:port][/path of the socket]`, or returns why it is invalid.
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
            port.map(|port| port.parse().map_err(|_| "the port is not a number up to 65535")).transpose()?;
        // ssh would take a host that begins with a dash for an option, which could run a program.
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

/// A running ssh process, read and written like a socket. Dropping it kills the process.
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
            // A read error would only hide the first failure. The rest is drained, because ssh
            // would block otherwise.
            let _ = (&mut stderr).take(COMPLAINT).read_to_end(&mut kept).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&kept).trim().to_owned()
        });
        Ok(Self { io: tokio::io::join(stdout, stdin), complaint, silent: true, _child: child })
    }
}

impl Pipe {
    /// Returns the error of an ssh that ended before the engine answered, from its stderr.
    fn complain(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let why = ready!(Pin::new(&mut self.complaint).poll(cx)).unwrap_or_default();
        // The result of a task can be taken only once.
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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use bollard::Docker;
    use futures_util::StreamExt;

    use super::*;
    use crate::engine::endpoint::{KEEP, Transport, client};

    /// An engine behind a program that replaces ssh.
    fn engine(directory: &tempfile::TempDir, script: &str) -> Docker {
        let path = directory.path().join("ssh");
        // Written by another process: a child of a parallel test could still hold our file open for
        // writing, and the kernel does not execute such a file.
        let written = std::process::Command::new("sh")
            .args(["-c", "printf '#!/bin/sh\n%s\n' \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"])
            .arg(&path)
            .arg(script)
            .status();
        assert!(written.expect("sh runs").success());
        let target = Target::parse("ssh://me@lab:2222").expect("good");
        let way = Transport::Ssh { program: path.display().to_string(), target };
        client(&way, Duration::from_secs(60), KEEP)
    }

    /// A script that records its process id and arguments, and answers each request head with the
    /// same response. It does not end by itself.
    fn script(log: &Path, answer: &str) -> String {
        format!(
            r#"echo "$$ $@" >> '{}'
            end="$(printf '\r')"
            while read -r line; do
                if [ "$line" = "$end" ]; then printf 'HTTP/1.1 200 OK\r\n{answer}'; fi
            done
            exec sleep 60"#,
            log.display()
        )
    }

    const OK: &str = r"content-length: 2\r\n\r\nOK";

    /// The process ids in a log, with the arguments of each.
    fn asked(log: &Path) -> Vec<(u32, String)> {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(id, rest)| (id.parse().expect("a number"), rest.to_owned())).collect()
    }

    /// Whether a process is running; a zombie is not.
    fn runs(id: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
    }

    async fn none_runs(log: &Path) {
        let end = std::time::Instant::now() + Duration::from_secs(30);
        while asked(log).iter().any(|(id, _)| runs(*id)) {
            assert!(std::time::Instant::now() < end, "one of {:?} still runs", asked(log));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn requests_go_through_ssh_and_connections_are_used_again() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let docker = engine(&directory, &script(&log, OK));
        for _ in 0..3 {
            assert_eq!(docker.ping().await.expect("an answer"), "OK");
        }
        let asked = asked(&log);
        assert_eq!(asked.len(), 1, "{asked:?}");
        assert_eq!(asked[0].1, "-o ConnectTimeout=30 -T -l me -p 2222 -- lab docker system dial-stdio");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_ssh_outlives_its_client() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let docker = engine(&directory, &script(&log, OK));
        for _ in 0..5 {
            for answer in futures_util::future::join_all([docker.ping(), docker.ping(), docker.ping()]).await
            {
                assert_eq!(answer.expect("an answer"), "OK");
            }
        }
        // A request that arrives while a connection is being returned to the pool opens another
        // one, which then stays in the pool too.
        let count = asked(&log).len();
        assert!((1..15).contains(&count), "{count} for 15 requests");
        drop(docker);
        none_runs(&log).await;
    }

    #[tokio::test]
    async fn a_dropped_answer_ends_its_ssh() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let begun = r#"transfer-encoding: chunked\r\n\r\n13\r\n{"stream":"first"}\n\r\n"#;
        let docker = engine(&directory, &script(&log, begun));
        let options = bollard::query_parameters::BuildImageOptionsBuilder::default().t("x").build();
        let body = bollard::body_full(bytes::Bytes::new());
        let mut answers = Box::pin(docker.build_image(options, None, Some(body)));
        answers.next().await.expect("a line").expect("a good one");
        assert!(asked(&log).iter().all(|(id, _)| runs(*id)));
        drop(answers);
        none_runs(&log).await;
        drop(docker);
    }

    #[test]
    fn no_ssh_outlives_its_runtime() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = directory.path().join("log");
        let docker = engine(&directory, &script(&log, OK));
        let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        let first = runtime();
        assert_eq!(first.block_on(docker.ping()).expect("an answer"), "OK");
        assert!(runs(asked(&log)[0].0));
        drop(first);
        runtime().block_on(none_runs(&log));
        drop(docker);
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
