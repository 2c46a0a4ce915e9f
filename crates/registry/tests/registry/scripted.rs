//! A server that gives the answers a test wants, and remembers what it was asked.

use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use plan::ImageName;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method and path with query.
    pub(crate) line: String,
    /// `authorization`, or nothing.
    pub(crate) authorization: String,
    /// The body as text.
    pub(crate) body: String,
}

/// A response: status, headers, body.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    /// How much of the body is sent, of the length that is announced.
    sent: usize,
    /// Whether it comes from a web server that is no registry.
    is_web: bool,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new(), sent: usize::MAX, is_web: false }
    }

    /// Cuts the response off after this many bytes of the body.
    pub(crate) fn cut(mut self, sent: usize) -> Self {
        self.sent = sent;
        self
    }

    /// Without the header that every answer of a registry has.
    pub(crate) fn web(mut self) -> Self {
        self.is_web = true;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers each request by `script`, which gets the server's address, how many were asked
    /// before, and the request; `None` closes the connection without a word.
    pub(crate) fn start(script: impl Fn(&str, usize, &Asked) -> Option<Reply> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (seen, end) = (Arc::clone(&asked), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let Some(request) = read(&stream) else { continue };
                let before = {
                    let mut seen = seen.lock();
                    seen.push(request.clone());
                    seen.len() - 1
                };
                if let Some(reply) = script(&address.to_string(), before, &request) {
                    // The client may have gone already.
                    let _ = write(&stream, &request, &reply);
                }
            }
        });
        Self { address, asked, over, thread: Some(thread) }
    }

    /// A name at this server.
    pub(crate) fn name(&self, rest: &str) -> ImageName {
        ImageName::parse(&format!("{}/{rest}", self.address)).expect("a reference")
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// All that was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// Method and path of all that was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => value.clone_into(&mut authorization),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Asked { line, authorization, body: String::from_utf8_lossy(&body).into_owned() })
}

fn write(mut stream: &TcpStream, request: &Asked, reply: &Reply) -> std::io::Result<()> {
    let mut text = format!("HTTP/1.1 {} Status\r\nconnection: close\r\n", reply.status);
    if !reply.is_web {
        text.push_str("docker-distribution-api-version: registry/2.0\r\n");
    }
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
    if !request.line.starts_with("HEAD ") {
        text.push_str(&reply.body[..reply.sent.min(reply.body.len())]);
    }
    stream.write_all(text.as_bytes())
}
