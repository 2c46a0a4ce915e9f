//! The shared state of a proxy's threads: rules, records, open connections.

use std::net::Shutdown;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::message::{Answer, Request};
use super::rule::{self, Active, Mode, RuleId};
use super::seen::From;
use super::seen::Seen;
use super::socket::{Socket, Upstream, Wire, Woken};

/// Interval at which a thread that blocks a client checks whether to continue.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    start: Instant,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) closed: bool,
    pub(crate) upstream: Upstream,
    pub(crate) rules: Vec<Active>,
    pub(crate) next_rule: u64,
    pub(crate) seen: Vec<Seen>,
    numbered: usize,
    sockets: Vec<Weak<Socket>>,
    /// Connections from clients that are being served.
    pub(crate) serving: usize,
    opened: usize,
}

impl Shared {
    pub(crate) fn new(upstream: Upstream) -> Self {
        let state = State {
            closed: false,
            upstream,
            rules: Vec::new(),
            next_rule: 0,
            seen: Vec::new(),
            numbered: 0,
            sockets: Vec::new(),
            serving: 0,
            opened: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), start: Instant::now() }
    }

    /// The state. A thread that panicked, such as in a hook, does not take the proxy with it.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes the state and wakes all that wait for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_all();
        result
    }

    /// Waits until `wanted` gives something, at most until `limit` is over.
    pub(crate) fn wait<T>(&self, limit: Duration, mut wanted: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + limit;
        let mut state = self.state();
        loop {
            if let Some(found) = wanted(&state) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.changed.wait_for(&mut state, left);
        }
    }

    /// Lets time pass; `false` when the proxy ended meanwhile.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        self.wait(time, |state| state.closed.then_some(())).is_none()
    }

    /// Notes an open connection, so that it can be cut.
    pub(crate) fn register(&self, socket: &Arc<Socket>) {
        let mut state = self.state();
        state.sockets.retain(|known| known.strong_count() > 0);
        state.sockets.push(Arc::downgrade(socket));
        if state.closed {
            socket.shutdown(Shutdown::Both);
        }
    }

    /// A client came: its number, from 1.
    pub(crate) fn came(&self) -> usize {
        self.change(|state| {
            state.serving += 1;
            state.opened += 1;
            state.opened
        })
    }

    /// Cuts every connection, to both sides.
    pub(crate) fn cut(&self) {
        let sockets: Vec<_> = self.state().sockets.iter().filter_map(Weak::upgrade).collect();
        for socket in sockets {
            socket.shutdown(Shutdown::Both);
        }
    }

    /// Records a request and decides what happens to it.
    pub(crate) fn begin(&self, connection: usize, request: &Request) -> (Seen, Option<(RuleId, Mode)>) {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let agent = super::message::header(&request.headers, "user-agent").unwrap_or_default();
        let mut seen = Seen {
            number: 0,
            connection,
            method: request.method.clone(),
            path: path.to_owned(),
            query: query.to_owned(),
            from: From::of(agent),
            headers: request.headers.clone(),
            began: Duration::ZERO,
            mode: None,
            status: None,
            upstream_status: None,
            answer: Vec::new(),
            finished: None,
        };
        self.change(|state| {
            state.numbered += 1;
            seen.number = state.numbered;
            seen.began = self.start.elapsed();
            let decided = rule::decide(&mut state.rules, &seen);
            seen.mode = decided.as_ref().map(|(_, mode)| mode.name());
            state.seen.push(seen.clone());
            (seen, decided)
        })
    }

    /// Changes a record.
    pub(crate) fn note(&self, number: usize, note: impl FnOnce(&mut Seen)) {
        self.change(|state| {
            // The trace may have been forgotten since.
            if let Some(seen) = state.seen.iter_mut().find(|seen| seen.number == number) {
                note(seen);
            }
        });
    }

    /// Records upstream's response before the client gets it.
    pub(crate) fn note_answer(&self, number: usize, answer: &Answer) {
        self.note(number, |seen| {
            seen.upstream_status = Some(answer.status);
            seen.answer.clone_from(&answer.headers);
        });
    }

    /// Notes that the exchange is over.
    pub(crate) fn finish(&self, number: usize) {
        let now = self.start.elapsed();
        self.note(number, |seen| seen.finished = Some(now));
    }

    /// Whether the rule is still there, and the proxy too.
    pub(crate) fn holds(&self, id: RuleId) -> bool {
        let state = self.state();
        !state.closed && state.rules.iter().any(|active| active.id == id)
    }

    /// Blocks a client while the rule is active and the client is connected. Its bytes are dropped.
    pub(crate) fn hold(&self, id: RuleId, client: &mut Wire) {
        while self.holds(id) {
            if client.socket.wait(None, LOOK) == Woken::Readable {
                if !client.fill().unwrap_or(false) {
                    return;
                }
                client.take(client.ahead().len());
            }
        }
    }
}
