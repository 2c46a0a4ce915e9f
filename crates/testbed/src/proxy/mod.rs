//! An HTTP/1.1 proxy between a client and a registry or an engine that injects faults and records
//! all requests.
//!
//! Each request goes upstream on a connection of its own, so how upstream handles idle connections
//! is not visible. Heads and bodies are forwarded byte for byte without delay, the `Host` too: a
//! `Location` of the registry leads back here. 1xx responses, upgrades (101 and docker's raw
//! streams) and a response before the request's end work as without a proxy.

mod exchange;
mod message;
mod rule;
mod seen;
mod shared;
mod socket;

use std::fs;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use message::Headers;
pub use rule::{Hits, Hook, Kind, Mode, Reply, Rule, RuleId};
pub use seen::{From, Seen};
pub use socket::Upstream;

use exchange::Then;
use rule::Active;
use shared::Shared;
use socket::{Socket, Wire};

/// Where the proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A free port of 127.0.0.1.
    Tcp,
    /// This path, which must be free.
    Unix(PathBuf),
}

/// A running proxy; dropped, it cuts all connections and is gone.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listen: Listen,
    address: String,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts one. Upstream needs not be there yet; a request that cannot reach it is reset.
    #[must_use]
    pub fn start(listen: Listen, upstream: Upstream) -> Self {
        let shared = Arc::new(Shared::new(upstream));
        let ours = Arc::clone(&shared);
        let (address, acceptor) = match &listen {
            Listen::Tcp => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("127.0.0.1 has a free port");
                let address = listener.local_addr().expect("it is bound").to_string();
                let sockets = move || {
                    let (stream, _) = listener.accept().ok()?;
                    stream.set_nodelay(true).ok()?;
                    Some(Socket::Tcp(stream))
                };
                (address, thread::spawn(move || accept(&ours, sockets)))
            }
            Listen::Unix(path) => {
                let listener = UnixListener::bind(path)
                    .unwrap_or_else(|error| panic!("cannot listen on {}: {error}", path.display()));
                let sockets = move || Some(Socket::Unix(listener.accept().ok()?.0));
                (format!("unix://{}", path.display()), thread::spawn(move || accept(&ours, sockets)))
            }
        };
        Self { shared, listen, address, acceptor: Some(acceptor) }
    }

    /// One on a free port, for what listens at `127.0.0.1:port`, a URL, or `unix:///path`.
    #[must_use]
    pub fn tcp(upstream: &str) -> Self {
        Self::start(Listen::Tcp, Upstream::parse(upstream))
    }

    /// `127.0.0.1:port`, or `unix:///path`: what `--repo` begins with, or `DOCKER_HOST`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Adds a rule behind those that are there. The first that takes a request decides.
    pub fn rule(&self, rule: Rule) -> RuleId {
        self.shared.change(|state| {
            state.next_rule += 1;
            let id = RuleId(state.next_rule);
            state.rules.push(Active::new(id, rule));
            id
        })
    }

    /// Takes a rule away; clients that it keeps waiting are let go.
    pub fn clear(&self, id: RuleId) {
        self.shared.change(|state| state.rules.retain(|active| active.id != id));
    }

    /// Takes all rules away.
    pub fn clear_all(&self) {
        self.shared.change(|state| state.rules.clear());
    }

    /// How many requests a rule took; 0 when it is not there any more.
    #[must_use]
    pub fn taken(&self, id: RuleId) -> u64 {
        self.shared.state().rules.iter().find(|active| active.id == id).map_or(0, |active| active.taken)
    }

    /// All requests so far, in order of arrival.
    #[must_use]
    pub fn trace(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// The trace, one line a request, for a failing test's message.
    #[must_use]
    pub fn show(&self) -> String {
        self.trace().iter().map(|seen| format!("{seen}\n")).collect()
    }

    /// Empties the trace; numbers go on.
    pub fn forget(&self) {
        self.shared.change(|state| state.seen.clear());
    }

    /// Waits for the first request, of the past too, that is so.
    ///
    /// # Panics
    /// When there is none within `bound`, with the trace.
    #[track_caller]
    pub fn wait_for(&self, wanted: impl Fn(&Seen) -> bool, bound: Duration) -> Seen {
        let found = self.shared.wait(bound, |state| state.seen.iter().find(|seen| wanted(seen)).cloned());
        found.unwrap_or_else(|| panic!("no such request within {bound:?}; the trace:\n{}", self.show()))
    }

    /// From now on requests go there.
    pub fn set_upstream(&self, upstream: Upstream) {
        self.shared.change(|state| state.upstream = upstream);
    }

    /// Cuts all connections that are open now.
    pub fn cut(&self) {
        self.shared.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.change(|state| state.closed = true);
        // Wakes the acceptor, which then sees that it is over.
        match &self.listen {
            Listen::Tcp => drop(TcpStream::connect(&self.address)),
            Listen::Unix(path) => {
                drop(UnixStream::connect(path));
                let _ = fs::remove_file(path);
            }
        }
        self.shared.cut();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        // A hook may still be at work; its thread ends behind us.
        let _ = self.shared.wait(Duration::from_secs(5), |state| (state.serving == 0).then_some(()));
    }
}

fn accept(shared: &Arc<Shared>, next: impl Fn() -> Option<Socket>) {
    loop {
        let socket = next();
        if shared.state().closed {
            return;
        }
        let Some(socket) = socket else { continue };
        let (socket, connection) = (Arc::new(socket), shared.came());
        shared.register(&socket);
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(&shared, connection, socket));
    }
}

fn serve(shared: &Shared, connection: usize, socket: Arc<Socket>) {
    /// Counts down also when a hook panics.
    struct Served<'a>(&'a Shared);
    impl Drop for Served<'_> {
        fn drop(&mut self) {
            self.0.change(|state| state.serving -= 1);
        }
    }
    let _served = Served(shared);
    let mut client = Wire::new(socket);
    loop {
        match exchange::next(shared, connection, &mut client) {
            Some(Then::Next) => {}
            Some(Then::Reset) => return client.socket.reset_on_close(),
            Some(Then::Close) | None => return client.socket.shutdown(Shutdown::Both),
        }
    }
}
