//! Every mode does what it says.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use testbed::process::wait_until;
use testbed::proxy::{Hits, Mode, Proxy, Reply, Rule, Seen};

use crate::client::{BOUND, End, exchange, last, next, read, read_until};
use crate::server::Server;

/// One request under one mode: what the client saw, what reached the server, and the record.
fn one(request: &str, mode: Mode) -> (String, End, usize, Seen) {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    proxy.rule(Rule::new("*", "*", Hits::Every, mode));
    let (text, end) = exchange(proxy.address(), request, Duration::from_millis(700));
    let seen = proxy.wait_for(|_| true, BOUND);
    (text, end, server.reached().len(), seen)
}

#[test]
fn status_is_answered_without_asking() {
    let reply = Reply::new(429).header("Retry-After", "3").body("slowly");
    let (text, end, reached, seen) = one(&last("PUT", "/a", "some body"), Mode::Status(reply));
    assert!(text.starts_with("HTTP/1.1 429 ") && text.contains("\r\nRetry-After: 3\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nslowly"));
    assert_eq!((end, reached), (End::Fin, 0));
    assert_eq!((seen.mode, seen.status, seen.upstream_status), (Some("status"), Some(429), None));
}

#[test]
fn status_to_head_has_no_body_and_keeps_the_connection() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    proxy.rule(Rule::new("HEAD", "*", Hits::Every, Mode::status(503)));
    let both = format!("{}{}", next("HEAD", "/a"), last("GET", "/b", ""));
    let (text, end) = exchange(proxy.address(), &both, BOUND);
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("\r\n\r\nHTTP/1.1 200 OK"), "{text}");
    assert_eq!(end, End::Fin);
}

#[test]
fn status_does_not_wait_for_a_body_that_waits_itself() {
    let request = "PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let (text, end, ..) = one(request, Mode::status(500));
    assert!(text.starts_with("HTTP/1.1 500 "), "{text}");
    assert_eq!(end, End::Fin);
}

#[test]
fn status_after_lets_upstream_do_it() {
    let (text, _, reached, seen) = one(&last("PUT", "/a", "body"), Mode::StatusAfter(Reply::new(502)));
    assert!(text.starts_with("HTTP/1.1 502 ") && !text.contains("upstream"), "{text}");
    assert_eq!(reached, 1);
    assert_eq!((seen.status, seen.upstream_status), (Some(502), Some(200)));
    assert_eq!(seen.answered("X-From"), Some("upstream"));
}

#[test]
fn resets_and_ends() {
    let check = |mode: Mode, expect: (End, usize)| {
        let name = mode.name();
        let (text, end, reached, seen) = one(&last("PUT", "/a", "body"), mode);
        assert_eq!((text.as_str(), end, reached), ("", expect.0, expect.1), "{name}");
        assert_eq!((seen.mode, seen.status), (Some(name), None));
    };
    check(Mode::Reset, (End::Rst, 0));
    check(Mode::ResetAfter, (End::Rst, 1));
    check(Mode::Eof, (End::Fin, 0));
    check(Mode::EofAfter, (End::Fin, 1));
}

#[test]
fn truncate_announces_all_and_sends_less() {
    let cut = |target: &str, bytes| {
        let (text, end, ..) = one(&last("GET", target, ""), Mode::Truncate(bytes));
        (text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or(text), end)
    };
    assert_eq!(cut("/a", 4), ("0123".to_owned(), End::Fin));
    assert_eq!(cut("/a", 0), (String::new(), End::Fin));
    assert_eq!(cut("/a", 1000), ("012345678".to_owned(), End::Fin), "never a whole body");
    assert_eq!(cut("/chunked", 1000), ("5\r\nhello\r\n6;x=y\r\n world\r\n".to_owned(), End::Fin));
    assert_eq!(cut("/chunked", 6), ("5\r\nhel".to_owned(), End::Fin));
    assert_eq!(cut("/close", 5).1, End::Rst, "a plain end would be a whole body");
    assert_eq!(cut("/close", 1000).1, End::Rst);
    let (text, end, ..) = one(&last("HEAD", "/a", ""), Mode::Truncate(0));
    assert!(text.starts_with("HTTP/1.1 200") && !text.contains("\r\n\r\n"), "{text}");
    assert_eq!(end, End::Fin);
}

#[test]
fn truncate_request_cuts_both_sides() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    proxy.rule(Rule::new("*", "*", Hits::Every, Mode::TruncateRequest(4)));
    let (text, end) = exchange(proxy.address(), &last("PUT", "/a", "0123456789"), BOUND);
    assert_eq!((text.as_str(), end), ("", End::Rst));
    assert!(wait_until(BOUND, || server.reached().len() == 1));
    let reached = &server.reached()[0];
    assert_eq!((reached.body.as_slice(), reached.whole), (b"0123".as_slice(), false));
    let (text, end) = exchange(proxy.address(), &last("GET", "/a", ""), BOUND);
    assert_eq!((text.as_str(), end), ("", End::Rst));
    assert_eq!(server.reached().len(), 1);
}

#[test]
fn delay_and_throttle_take_their_time() {
    let start = Instant::now();
    let (text, end, ..) = one(&last("GET", "/a", ""), Mode::Delay(Duration::from_millis(300)));
    assert!(text.ends_with("0123456789") && end == End::Fin);
    assert!(start.elapsed() >= Duration::from_millis(300));

    let start = Instant::now();
    let body = "x".repeat(100);
    let (text, ..) = one(&last("POST", "/echo", &body), Mode::Throttle(500));
    assert!(text.ends_with(&body));
    assert!(start.elapsed() >= Duration::from_millis(300), "both ways: {:?}", start.elapsed());
}

#[test]
fn silence_lasts_until_the_rule_goes() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let rule = proxy.rule(Rule::new("*", "*", Hits::Every, Mode::Silence));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(last("PUT", "/a", "body").as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(read(&mut stream), (String::new(), End::Open));
    proxy.clear(rule);
    stream.set_read_timeout(Some(BOUND)).unwrap();
    assert_eq!(read(&mut stream), (String::new(), End::Fin));
    assert!(server.reached().is_empty());
}

#[test]
fn silence_ends_when_the_client_goes() {
    let proxy = Proxy::tcp("127.0.0.1:1");
    proxy.rule(Rule::new("*", "*", Hits::Every, Mode::Silence));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(next("GET", "/a").as_bytes()).unwrap();
    proxy.wait_for(|seen| seen.finished.is_none(), BOUND);
    drop(stream);
    proxy.wait_for(|seen| seen.finished.is_some(), BOUND);
}

#[test]
fn stall_begins_and_falls_silent() {
    let (text, end, reached, _) = one(&last("GET", "/a", ""), Mode::Stall(3));
    assert!(text.ends_with("\r\n\r\n012"), "{text}");
    assert_eq!((end, reached), (End::Open, 1));
    let (text, end, ..) = one(&next("POST", "/upgrade"), Mode::Stall(3));
    assert!(text.ends_with("tcp\r\n\r\n"), "{text}");
    assert_eq!(end, End::Open);
}

#[test]
fn endless_goes_on_until_the_rule_goes() {
    let proxy = Proxy::tcp("127.0.0.1:1");
    let mode = Mode::Endless("{\"stream\":\".\"}\n".to_owned(), Duration::from_millis(2));
    let rule = proxy.rule(Rule::new("*", "*", Hits::Every, mode));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(next("POST", "/build").as_bytes()).unwrap();
    for _ in 0..20 {
        read_until(&mut stream, "f\r\n{\"stream\":\".\"}\n\r\n");
    }
    proxy.clear(rule);
    assert_eq!(read(&mut stream).1, End::Fin);
}

#[test]
fn a_hook_is_called_and_the_request_passed_on() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let called = Arc::new(AtomicUsize::new(0));
    let ours = Arc::clone(&called);
    let hook = Mode::hook(move |seen| {
        ours.fetch_add(seen.number, Ordering::SeqCst);
    });
    proxy.rule(Rule::new("GET", "/a", Hits::Nth(2), hook));
    for _ in 0..3 {
        assert!(exchange(proxy.address(), &last("GET", "/a", ""), BOUND).0.ends_with("0123456789"));
    }
    assert_eq!(called.load(Ordering::SeqCst), 2);
    assert_eq!(server.reached().len(), 3);
}

#[test]
fn a_takeover_can_be_cut() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    proxy.rule(Rule::new("*", "*", Hits::Every, Mode::Truncate(3)));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(format!("{}hello\n", next("POST", "/upgrade")).as_bytes()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let (text, end) = read(&mut stream);
    assert!(text.ends_with("\r\n\r\nHEL"), "{text}");
    assert_eq!(end, End::Rst);
}

#[test]
fn all_connections_can_be_cut_at_once() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(next("GET", "/endless").as_bytes()).unwrap();
    read_until(&mut stream, ".");
    proxy.cut();
    assert_ne!(read(&mut stream).1, End::Open);
    assert!(exchange(proxy.address(), &last("GET", "/a", ""), BOUND).0.ends_with("0123456789"));
}
