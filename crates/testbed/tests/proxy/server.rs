//! A plain server of std: it knows nothing of the proxy, and remembers what reached it.

use parking_lot::Mutex;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A request that reached the server: request line, `Host`, and received bytes of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) line: String,
    pub(crate) host: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body came whole.
    pub(crate) whole: bool,
}

/// It runs as long as the test's process: its threads wait for connections that no longer come.
pub(crate) struct Server {
    pub(crate) address: String,
    reached: Arc<Mutex<Vec<Reached>>>,
    gone: Arc<Mutex<usize>>,
}

trait Stream: Read + Write + Send {
    fn copy(&self) -> Box<dyn Stream>;
    fn end(&self);
}

impl Stream for TcpStream {
    fn copy(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Stream for UnixStream {
    fn copy(&self) -> Box<dyn Stream> {
        Box::new(self.try_clone().unwrap())
    }
    fn end(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Server {
    pub(crate) fn tcp() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::run(address, move || Box::new(listener.accept().unwrap().0))
    }

    pub(crate) fn unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::run(format!("unix://{}", path.display()), move || Box::new(listener.accept().unwrap().0))
    }

    fn run(address: String, accept: impl Fn() -> Box<dyn Stream> + Send + 'static) -> Self {
        let (reached, gone) = (Arc::<Mutex<Vec<Reached>>>::default(), Arc::<Mutex<usize>>::default());
        let (ours, ends) = (Arc::clone(&reached), Arc::clone(&gone));
        std::thread::spawn(move || {
            loop {
                let stream = accept();
                let (ours, ends) = (Arc::clone(&ours), Arc::clone(&ends));
                std::thread::spawn(move || {
                    let _ = serve(&*stream, &ours, &ends);
                    stream.end();
                });
            }
        });
        Self { address, reached, gone }
    }

    pub(crate) fn reached(&self) -> Vec<Reached> {
        self.reached.lock().clone()
    }

    /// Number of endless responses that ended because the client disconnected.
    pub(crate) fn gone(&self) -> usize {
        *self.gone.lock()
    }
}

fn serve(stream: &dyn Stream, reached: &Mutex<Vec<Reached>>, gone: &Mutex<usize>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream.copy()), stream.copy());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (mut host, mut length, mut chunked, mut expects, mut last) =
            (String::new(), 0, false, false, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "host" => value.clone_into(&mut host),
                "content-length" => length = value.parse().unwrap(),
                "transfer-encoding" => chunked = value == "chunked",
                "expect" => expects = true,
                "connection" => last = value == "close",
                _ => {}
            }
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        if path == "/early" {
            writer.write_all(b"HTTP/1.1 413 Early\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
            return Ok(());
        }
        if expects {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let (body, whole) = body(&mut reader, length, chunked);
        let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        reached.lock().push(Reached { line: line.clone(), host, body: body.clone(), whole });
        match path.as_str() {
            "/chunked" => {
                writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n")?;
            }
            "/close" => {
                writer.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")?;
                return Ok(());
            }
            "/cut" => {
                writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all")?;
                return Ok(());
            }
            "/endless" => {
                writer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                while writer.write_all(b"1\r\n.\r\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(5));
                }
                *gone.lock() += 1;
                return Ok(());
            }
            "/upgrade" => {
                writer.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")?;
                return echo(&mut reader, &mut *writer);
            }
            "/attach" => {
                writer.write_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n",
                )?;
                return echo(&mut reader, &mut *writer);
            }
            _ => {
                let body = if body.is_empty() { b"0123456789".to_vec() } else { body };
                write!(
                    writer,
                    "HTTP/1.1 200 OK\r\nX-From: upstream\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                )?;
                if !line.starts_with("HEAD") {
                    writer.write_all(&body)?;
                }
            }
        }
        if !whole || last {
            return Ok(());
        }
    }
}

fn echo(reader: &mut impl BufRead, writer: &mut dyn Write) -> std::io::Result<()> {
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        writer.write_all(line.to_uppercase().as_bytes())?;
        line.clear();
    }
    writer.write_all(b"end of the server\n")
}

fn body(reader: &mut impl BufRead, length: usize, chunked: bool) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    if !chunked {
        let whole = reader.take(length as u64).read_to_end(&mut all).is_ok_and(|read| read == length);
        return (all, whole);
    }
    loop {
        let mut line = String::new();
        let Ok(size) = reader.read_line(&mut line).map(|_| usize::from_str_radix(line.trim(), 16)) else {
            return (all, false);
        };
        let Ok(size) = size else { return (all, false) };
        let mut part = vec![0; size + 2];
        if reader.read_exact(&mut part).is_err() {
            return (all, false);
        }
        if size == 0 {
            return (all, true);
        }
        all.extend_from_slice(&part[..size]);
    }
}
