//! A server of Bearer tokens (distribution's token authentication specification), whose tokens can
//! end soon.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;

use super::{PASSWORD, USER};

/// The registry accepts a token for this long after its end, in seconds.
const LEEWAY: i64 = 60;

/// A running server, for [`USER`] with [`PASSWORD`].
#[derive(Debug)]
pub struct TokenServer {
    address: String,
    signer: Signer,
    state: Arc<Mutex<State>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    lifetime: i64,
    refuse: Option<u16>,
    issued: Vec<Issued>,
}

/// A token that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its scopes, such as `repository:a/b:pull,push`.
    pub scopes: Vec<String>,
    /// The answer: 200, 401 for a wrong password, or what [`TokenServer::refuse`] said.
    pub status: u16,
}

impl TokenServer {
    /// The registry's name in tokens.
    pub const SERVICE: &str = "testbed-registry";
    /// The server's name in tokens.
    pub const ISSUER: &str = "testbed-issuer";

    /// Starts one whose tokens are good for ten minutes.
    #[must_use]
    pub fn start() -> Self {
        let signer = Signer::new();
        let listener = TcpListener::bind("127.0.0.1:0").expect("127.0.0.1 has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(Mutex::new(State { lifetime: 600, ..State::default() }));
        let over = Arc::new(AtomicBool::new(false));
        let (ours, end, key) = (Arc::clone(&state), Arc::clone(&over), signer.clone());
        let thread = thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                // A client that goes in the middle is its own loss.
                let _ = answer(&stream, &ours, &key);
            }
        });
        Self { address, signer, state, over, thread: Some(thread) }
    }

    /// Where tokens are asked for.
    #[must_use]
    pub fn realm(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// From now on tokens are good for this long: to the second, and less than one second is none.
    pub fn set_lifetime(&self, lifetime: Duration) {
        let seconds = i64::try_from(lifetime.as_secs()).expect("a lifetime of a token");
        self.state.lock().lifetime = seconds;
    }

    /// From now on every question gets this status, such as 401 or 503; `None` is the usual way
    /// again.
    pub fn refuse(&self, status: Option<u16>) {
        self.state.lock().refuse = status;
    }

    /// All requests so far, in order.
    #[must_use]
    pub fn issued(&self) -> Vec<Issued> {
        self.state.lock().issued.clone()
    }

    /// The certificate that the registry checks tokens against, in PEM.
    pub(super) fn certificate(&self) -> String {
        self.signer.read("certificate.pem")
    }

    pub(super) fn signer(&self) -> Signer {
        self.signer.clone()
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>, signer: &Signer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    let target = line.split(' ').nth(1).unwrap_or_default();
    let (mut authorization, mut length) = (String::new(), 0);
    for line in lines.by_ref() {
        let line = line?;
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                value.trim().clone_into(&mut authorization);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let scopes: Vec<_> =
        query.split('&').filter_map(|pair| pair.strip_prefix("scope=")).map(decoded).collect();
    let right = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    let (status, lifetime) = {
        let mut state = state.lock();
        // A POST is the OAuth2 way, which clients try second or not at all.
        let usual = if length > 0 || line.starts_with("POST") {
            405
        } else if authorization == right {
            200
        } else {
            401
        };
        let status = state.refuse.unwrap_or(usual);
        state.issued.push(Issued { scopes: scopes.clone(), status });
        (status, state.lifetime)
    };
    let body = if status == 200 {
        let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
        let token = signer.token(&scopes, lifetime);
        json!({"token": token, "access_token": token, "expires_in": lifetime.max(60)}).to_string()
    } else {
        json!({"errors": [{"code": "UNAUTHORIZED", "message": "refused on cue"}]}).to_string()
    };
    let head = format!("HTTP/1.1 {status} On Cue\r\nContent-Type: application/json\r\nConnection: close\r\n");
    let mut stream = stream;
    stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// `%3A` and the like.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code =
            if *first == b'%' { tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()) } else { None };
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A key and its certificate.
#[derive(Debug, Clone)]
pub(super) struct Signer {
    directory: Arc<TempDir>,
}

impl Signer {
    fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=testbed", "-days", "2"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("openssl cannot be run: apt-get install openssl");
        assert!(made.success(), "openssl makes a certificate");
        Self { directory: Arc::new(directory) }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).expect("it was written")
    }

    /// A token that the registry accepts for this many seconds.
    pub(super) fn token(&self, scopes: &[&str], lifetime: i64) -> String {
        let certificate: String =
            self.read("certificate.pem").lines().filter(|line| !line.starts_with("-----")).collect();
        let now = i64::try_from(UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs())
            .expect("not that late");
        let access: Vec<_> = scopes
            .iter()
            .filter_map(|scope| {
                let (kind, rest) = scope.split_once(':')?;
                let (name, actions) = rest.rsplit_once(':')?;
                Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
            })
            .collect();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [certificate]});
        let claims = json!({
            "iss": TokenServer::ISSUER, "aud": TokenServer::SERVICE, "sub": USER, "jti": crate::process::unique(),
            "iat": now, "nbf": now - LEEWAY, "exp": now + lifetime - LEEWAY, "access": access,
        });
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(self.directory.path(), &signed)))
    }
}

fn sign(directory: &Path, text: &str) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign", "key.pem"])
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("openssl reads");
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "openssl signs");
    output.stdout
}
