//! One request through the proxy: passed on as it is, or with the fault that a rule wants.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Answer, Body, Framing, Piece, Request};
use super::rule::{Mode, Reply, RuleId};
use super::shared::Shared;
use super::socket::{Socket, Wire};

/// How long a request's body may go on after the answer before the connection is closed over it.
const GRACE: Duration = Duration::from_millis(300);

/// How the client's connection continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next request may come.
    Next,
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
}

/// One request, its client, and how to go about it.
struct Exchange<'a> {
    shared: &'a Shared,
    request: &'a Request,
    number: usize,
    faults: Faults,
}

/// The faults of an exchange.
#[derive(Debug, Default)]
struct Faults {
    /// Instead of upstream's answer.
    instead: Option<Instead>,
    /// Bytes of the answer's body, and what happens then.
    answer: Option<(u64, Ending)>,
    /// Bytes of the request's body.
    request: Option<u64>,
    /// Bytes per second.
    rate: Option<u64>,
}

#[derive(Debug)]
enum Instead {
    Reply(Reply),
    Reset,
    Eof,
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Cut,
    Stall(RuleId),
}

/// Reads one request and carries it out; `None` when there is none.
pub(crate) fn next(shared: &Shared, connection: usize, client: &mut Wire) -> Option<Then> {
    let request = match Request::read(client) {
        Ok(request) => request,
        Err(super::message::NoRequest::Ended) => return None,
        Err(super::message::NoRequest::NotHttp) => {
            // The engine tries TLS first: it takes this as "speaks HTTP only".
            let _ = client.socket.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            return None;
        }
    };
    let (seen, decided) = shared.begin(connection, &request);
    let mut exchange = Exchange { shared, request: &request, number: seen.number, faults: Faults::default() };
    let then = match decided {
        None | Some((_, Mode::Pass)) => exchange.forward(client),
        Some((_, Mode::Status(reply))) => exchange
            .absorb(client)
            .unwrap_or_else(|| exchange.reply(&client.socket, &reply, !request.expects())),
        Some((_, Mode::Reset)) => Then::Reset,
        Some((_, Mode::Eof)) => exchange.absorb(client).unwrap_or(Then::Close),
        Some((id, Mode::Silence)) => {
            shared.hold(id, client);
            Then::Close
        }
        Some((id, Mode::Endless(text, pause))) => exchange.endless(client, id, &text, pause),
        Some((_, Mode::Delay(time))) => {
            if shared.pause(time) {
                exchange.forward(client)
            } else {
                Then::Close
            }
        }
        Some((_, Mode::Hook(hook))) => {
            hook(&seen);
            exchange.forward(client)
        }
        Some((id, mode)) => {
            match mode {
                Mode::StatusAfter(reply) => exchange.faults.instead = Some(Instead::Reply(reply)),
                Mode::ResetAfter => exchange.faults.instead = Some(Instead::Reset),
                Mode::EofAfter => exchange.faults.instead = Some(Instead::Eof),
                Mode::Truncate(bytes) => exchange.faults.answer = Some((bytes, Ending::Cut)),
                Mode::Stall(bytes) => exchange.faults.answer = Some((bytes, Ending::Stall(id))),
                Mode::TruncateRequest(bytes) => exchange.faults.request = Some(bytes),
                Mode::Throttle(rate) => exchange.faults.rate = Some(rate.max(1)),
                _ => unreachable!("the modes above were taken before"),
            }
            exchange.forward(client)
        }
    };
    shared.finish(exchange.number);
    Some(then)
}

impl Exchange<'_> {
    /// Reads the request's body and drops it, unless the client waits to be asked for it. `Some`
    /// when the client is gone.
    fn absorb(&self, client: &mut Wire) -> Option<Then> {
        if self.request.expects() {
            return None;
        }
        let mut body = Body::new(self.request.framing());
        loop {
            match body.next(client, Wire::fill) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(_) => return Some(Then::Close),
            }
        }
    }

    /// Answers by ourselves.
    fn reply(&self, client: &Socket, reply: &Reply, body_is_read: bool) -> Then {
        self.shared.note(self.number, |seen| seen.status = Some(reply.status));
        let next = self.request.keep_alive && body_is_read;
        let mut bytes = format!("HTTP/1.1 {} On Cue\r\n", reply.status);
        for (name, value) in &reply.headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if !matches!(reply.status, 204 | 304) {
            bytes.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
        }
        bytes.push_str(if next { "\r\n" } else { "Connection: close\r\n\r\n" });
        let mut bytes = bytes.into_bytes();
        if self.request.method != "HEAD" && !matches!(reply.status, 204 | 304) {
            bytes.extend_from_slice(&reply.body);
        }
        let sent = client.write(&bytes).is_ok();
        if sent && next { Then::Next } else { Then::Close }
    }

    fn endless(&self, client: &mut Wire, id: RuleId, text: &str, pause: Duration) -> Then {
        if let Some(then) = self.absorb(client) {
            return then;
        }
        self.shared.note(self.number, |seen| seen.status = Some(200));
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("{:x}\r\n{text}\r\n", text.len());
        let mut sent = client.socket.write(head.as_bytes());
        while sent.is_ok() && self.shared.holds(id) && self.shared.pause(pause) {
            sent = client.socket.write(chunk.as_bytes());
        }
        Then::Close
    }

    /// Forwards the request and returns the response, with its faults.
    fn forward(&self, client: &mut Wire) -> Then {
        let framing = self.request.framing();
        if self.faults.request.is_some() && framing == Framing::None {
            return Then::Reset;
        }
        let upstream = self.shared.state().upstream.clone();
        let Ok(upstream) = upstream.connect() else {
            self.shared.note(self.number, |seen| seen.mode = Some("unreachable"));
            return Then::Reset;
        };
        self.shared.register(&upstream);
        if upstream.write(&self.request.raw).is_err() {
            return Then::Close;
        }
        let (to_client, mut answers) = (Arc::clone(&client.socket), Wire::new(Arc::clone(&upstream)));
        let outcome = thread::scope(|scope| {
            let body = (framing != Framing::None).then(|| {
                let (client, upstream) = (&mut *client, &*upstream);
                scope.spawn(move || self.send_body(client, upstream, framing))
            });
            let mut outcome = self.answer(&mut answers, &to_client);
            let Some(body) = body else { return outcome };
            // Most bodies are over by now, and their thread about to notice.
            let end = Instant::now() + GRACE;
            while !body.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
            if !body.is_finished() {
                to_client.shutdown(Shutdown::Read);
                upstream.shutdown(Shutdown::Both);
            }
            if !body.join().unwrap_or(false) && outcome == Outcome::Then(Then::Next) {
                outcome = Outcome::Then(Then::Close);
            }
            outcome
        });
        match outcome {
            Outcome::Then(_) if self.faults.request.is_some() => Then::Reset,
            Outcome::Then(Then::Next) if !self.request.keep_alive => Then::Close,
            Outcome::Then(then) => then,
            Outcome::Stalled(id) => {
                self.shared.hold(id, client);
                Then::Close
            }
            Outcome::Takeover => self.take_over(client, &mut answers),
        }
    }

    /// Sends the request's body; whether it went through whole.
    fn send_body(&self, client: &mut Wire, upstream: &Socket, framing: Framing) -> bool {
        let (mut body, mut cut) = (Body::new(framing), Cut { left: self.faults.request });
        loop {
            match body.next(client, Wire::fill) {
                Ok(Some(piece)) => {
                    let (bytes, over) = cut.take(&piece, body.is_over());
                    let sent = self.write(upstream, bytes);
                    if over {
                        upstream.shutdown(Shutdown::Both);
                    }
                    if sent.is_err() || over {
                        return false;
                    }
                }
                Ok(None) => return true,
                Err(_) => {
                    upstream.shutdown(Shutdown::Both);
                    return false;
                }
            }
        }
    }

    /// Brings the answer back.
    fn answer(&self, answers: &mut Wire, client: &Socket) -> Outcome {
        let answer = loop {
            match Answer::read(answers, client) {
                Ok(answer) if answer.status < 200 && answer.status != 101 => {
                    if client.write(&answer.raw).is_err() {
                        return Outcome::Then(Then::Close);
                    }
                }
                Ok(answer) => break answer,
                Err(error) => return Outcome::lost(&error),
            }
        };
        self.shared.note_answer(self.number, &answer);
        if let Some(instead) = &self.faults.instead {
            return self.answer_otherwise(instead, &answer, answers, client);
        }
        let framing = answer.framing(&self.request.method);
        self.shared.note(self.number, |seen| seen.status = Some(answer.status));
        let takeover = answer.is_takeover(&self.request.method);
        let head = match self.faults.answer {
            // Nothing to cut but the head.
            Some(_) if matches!(framing, Framing::None | Framing::Length(0)) && !takeover => {
                &answer.raw[..answer.raw.len() / 2]
            }
            _ => &answer.raw[..],
        };
        if client.write(head).is_err() {
            return Outcome::Then(Then::Close);
        }
        if takeover {
            return Outcome::Takeover;
        }
        if head.len() < answer.raw.len() {
            return self.ending(framing);
        }
        let (mut body, mut cut) =
            (Body::new(framing), Cut { left: self.faults.answer.map(|(bytes, _)| bytes) });
        loop {
            match body.next(answers, |wire| wire.fill_unless_gone(client)) {
                Ok(Some(piece)) => {
                    let (bytes, over) = cut.take(&piece, body.is_over());
                    if self.write(client, bytes).is_err() {
                        return Outcome::Then(Then::Close);
                    }
                    if over {
                        return self.ending(framing);
                    }
                }
                Ok(None) if self.faults.answer.is_some() => return self.ending(framing),
                Ok(None) if framing == Framing::UntilClose || !answer.keep_alive => {
                    return Outcome::Then(Then::Close);
                }
                Ok(None) => return Outcome::Then(Then::Next),
                Err(error) => return Outcome::lost(&error),
            }
        }
    }

    /// Upstream did it: waits until it said all, and lets the client hear something else.
    fn answer_otherwise(
        &self,
        instead: &Instead,
        answer: &Answer,
        answers: &mut Wire,
        client: &Socket,
    ) -> Outcome {
        let mut body = Body::new(answer.framing(&self.request.method));
        while let Ok(Some(_)) = body.next(answers, |wire| wire.fill_unless_gone(client)) {}
        Outcome::Then(match instead {
            Instead::Reset => Then::Reset,
            Instead::Eof => Then::Close,
            Instead::Reply(reply) => self.reply(client, reply, true),
        })
    }

    /// How a truncated response ends.
    fn ending(&self, framing: Framing) -> Outcome {
        match self.faults.answer {
            Some((_, Ending::Stall(id))) => Outcome::Stalled(id),
            // An orderly end would look like a complete response.
            _ if framing == Framing::UntilClose => Outcome::Then(Then::Reset),
            _ => Outcome::Then(Then::Close),
        }
    }

    /// Both directions as bytes, until upstream ends.
    fn take_over(&self, client: &mut Wire, answers: &mut Wire) -> Then {
        let (to_client, upstream) = (Arc::clone(&client.socket), Arc::clone(&answers.socket));
        let mut cut = Cut { left: self.faults.answer.map(|(bytes, _)| bytes) };
        thread::scope(|scope| {
            scope.spawn(|| {
                loop {
                    let bytes = client.take(client.ahead().len());
                    if self.write(&upstream, &bytes).is_err() || !client.fill().unwrap_or(false) {
                        break upstream.shutdown(Shutdown::Write);
                    }
                }
            });
            let then = loop {
                let piece = Piece { bytes: answers.take(answers.ahead().len()), closes: false };
                let (bytes, over) = cut.take(&piece, false);
                if self.write(&to_client, bytes).is_err() {
                    break Then::Close;
                }
                if over {
                    if let Some((_, Ending::Stall(id))) = self.faults.answer {
                        // The client's thread reads it, so its going is seen there.
                        while self.shared.holds(id) && self.shared.pause(Duration::from_millis(20)) {}
                    }
                    break Then::Reset;
                }
                match answers.fill() {
                    Ok(true) => {}
                    Ok(false) => break Then::Close,
                    Err(_) => break Then::Reset,
                }
            };
            upstream.shutdown(Shutdown::Both);
            to_client.shutdown(if then == Then::Reset { Shutdown::Read } else { Shutdown::Both });
            then
        })
    }

    /// Writes, no faster than the rule wants.
    fn write(&self, to: &Socket, bytes: &[u8]) -> io::Result<()> {
        let Some(rate) = self.faults.rate else { return to.write(bytes) };
        let step = usize::try_from(rate / 20).unwrap_or(usize::MAX).max(1);
        for part in bytes.chunks(step) {
            to.write(part)?;
            if !self.shared.pause(Duration::from_secs_f64(part.len() as f64 / rate as f64)) {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    }
}

/// How passing on ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Then(Then),
    Stalled(RuleId),
    Takeover,
}

impl Outcome {
    /// Upstream ended in the middle: the client sees the same.
    fn lost(error: &io::Error) -> Self {
        Self::Then(if error.kind() == io::ErrorKind::ConnectionReset { Then::Reset } else { Then::Close })
    }
}

/// Passes a number of bytes, and never a whole body.
struct Cut {
    left: Option<u64>,
}

impl Cut {
    /// The part of this piece that passes, and whether that was all.
    fn take<'a>(&mut self, piece: &'a Piece, last: bool) -> (&'a [u8], bool) {
        let Some(left) = &mut self.left else { return (&piece.bytes, false) };
        let length = piece.bytes.len();
        let most = if piece.closes { 0 } else { length - usize::from(last) };
        let count = usize::try_from(*left).unwrap_or(usize::MAX).min(most);
        *left -= count as u64;
        (&piece.bytes[..count], count < length)
    }
}
