//! A minimal HTTP server: one request for each connection, answered by the test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

/// A request without its body; `line` is, for instance, `HEAD /v2/sky/manifests/1.0`.
pub(crate) struct Request {
    pub(crate) line: String,
    /// Empty without credentials.
    pub(crate) authorization: String,
}

/// The server stops when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a free port of 127.0.0.1; `answer` writes the whole response.
    pub(crate) fn start(mut answer: impl FnMut(&TcpStream, Request) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
                let Some(request) = read(&stream) else { continue };
                if request.line == END {
                    break;
                }
                answer(&stream, request);
            }
        });
        Self { address, thread: Some(thread) }
    }
}

/// The request that stops the server.
const END: &str = "END";

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(self.address) {
            let _ = write!(stream, "{END}\r\n\r\n");
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?;
    let line = line.strip_suffix(" HTTP/1.1").unwrap_or(&line).to_owned();
    let mut authorization = String::new();
    for header in lines.take_while(|header| !header.is_empty()) {
        if let Some((name, value)) = header.split_once(": ")
            && name.eq_ignore_ascii_case("authorization")
        {
            value.clone_into(&mut authorization);
        }
    }
    Some(Request { line, authorization })
}
