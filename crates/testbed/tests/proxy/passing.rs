//! Without a rule: the same as without a proxy.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use testbed::process::wait_until;
use testbed::proxy::{Listen, Proxy, Upstream};

use crate::client::{BOUND, End, exchange, last, next, read, read_until};
use crate::server::Server;

#[track_caller]
fn check(request: &str) -> String {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let without = exchange(&server.address, request, BOUND);
    let with = exchange(proxy.address(), request, BOUND);
    assert_eq!(with, without);
    assert_eq!(with.1, End::Fin);
    assert_eq!(server.reached()[0], server.reached()[1]);
    with.0
}

#[test]
fn every_framing_comes_through_to_the_byte() {
    assert!(check(&last("GET", "/a?b=c", "")).ends_with("\r\n\r\n0123456789"));
    assert!(check(&last("POST", "/echo", "some text")).ends_with("\r\n\r\nsome text"));
    assert!(check(&last("HEAD", "/a", "")).ends_with("Content-Length: 10\r\n\r\n"));
    assert!(check(&last("GET", "/chunked", "")).ends_with("6;x=y\r\n world\r\n0\r\n\r\n"));
    assert!(check(&last("GET", "/close", "")).ends_with("until the end"));
    assert!(check(&last("GET", "/cut", "")).ends_with("not all"));
    let chunked = "PATCH /e HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert!(check(chunked).ends_with("\r\n\r\nabc"));
}

#[test]
fn many_requests_share_one_connection() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    for request in
        [next("GET", "/one"), next("HEAD", "/two"), next("GET", "/chunked"), last("GET", "/four", "")]
    {
        stream.write_all(request.as_bytes()).unwrap();
        if request.starts_with("GET /one") {
            read_until(&mut stream, "0123456789");
        } else if request.starts_with("HEAD") {
            read_until(&mut stream, "\r\n\r\n");
        } else if request.contains("chunked") {
            read_until(&mut stream, "0\r\n\r\n");
        }
    }
    assert_eq!(read(&mut stream).1, End::Fin);
    let trace = proxy.trace();
    assert_eq!(
        trace.iter().map(|seen| seen.path.as_str()).collect::<Vec<_>>(),
        ["/one", "/two", "/chunked", "/four"]
    );
    assert!(trace.iter().all(|seen| seen.connection == 1 && seen.status == Some(200) && seen.mode.is_none()));
    assert!(
        trace.windows(2).all(|pair| pair[0].began <= pair[1].began && pair[0].number + 1 == pair[1].number)
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let both = format!("{}{}", next("GET", "/chunked"), last("POST", "/echo", "second"));
    let (text, end) = exchange(proxy.address(), &both, BOUND);
    assert!(text.contains("0\r\n\r\nHTTP/1.1 200 OK") && text.ends_with("second"), "{text}");
    assert_eq!(end, End::Fin);
}

#[test]
fn a_client_may_wait_to_be_asked_for_the_body() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    let head = "PUT /e HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    assert_eq!(read_until(&mut stream, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"body").unwrap();
    assert!(read(&mut stream).0.ends_with("\r\n\r\nbody"));
}

#[test]
fn an_answer_before_the_body_is_over_gets_through() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream
        .write_all(b"PUT /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nonly so much")
        .unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 413"));
    proxy.wait_for(|seen| seen.finished.is_some(), BOUND);
}

#[test]
fn a_takeover_carries_bytes_both_ways() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    for (path, end_of_head) in [("/upgrade", "tcp\r\n\r\n"), ("/attach", "stream\r\n\r\n")] {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
        // The first words may come with the head.
        stream.write_all(format!("{head}first\n").as_bytes()).unwrap();
        read_until(&mut stream, end_of_head);
        assert_eq!(read_until(&mut stream, "\n"), "FIRST\n");
        stream.write_all(b"second\n").unwrap();
        assert_eq!(read_until(&mut stream, "\n"), "SECOND\n");
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read(&mut stream), ("end of the server\n".to_owned(), End::Fin));
    }
}

#[test]
fn upstream_learns_that_the_client_is_gone() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(next("GET", "/endless").as_bytes()).unwrap();
    read_until(&mut stream, "1\r\n.\r\n1\r\n.\r\n");
    drop(stream);
    assert!(wait_until(BOUND, || server.gone() == 1));
}

#[test]
fn it_works_on_unix_sockets_and_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::unix(&dir.path().join("server.sock"));
    let path = dir.path().join("proxy.sock");
    let proxy = Proxy::start(Listen::Unix(path.clone()), Upstream::parse(&server.address));
    assert_eq!(proxy.address(), format!("unix://{}", path.display()));
    let answer =
        testbed::http::ask(&Upstream::parse(proxy.address()), "POST", "/e", &[("Host", "x")], b"text")
            .unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "text"));
    assert_eq!(server.reached()[0].body, b"text");
    drop(proxy);
    assert!(!path.exists());
}

#[test]
fn what_is_no_http_is_told_so() {
    let proxy = Proxy::tcp("127.0.0.1:1");
    let (text, end) = exchange(proxy.address(), "\u{16}\u{3}\u{1}\r\n\r\n", BOUND);
    assert!(text.starts_with("HTTP/1.1 400 ") && end == End::Fin, "{text} {end:?}");
    assert!(proxy.trace().is_empty());
}

#[test]
fn an_upstream_that_is_not_there_is_a_reset_and_may_come_later() {
    let proxy = Proxy::tcp("127.0.0.1:1");
    assert_eq!(exchange(proxy.address(), &last("GET", "/a", ""), BOUND), (String::new(), End::Rst));
    assert_eq!(proxy.trace()[0].mode, Some("unreachable"));
    let server = Server::tcp();
    proxy.set_upstream(Upstream::parse(&server.address));
    assert!(exchange(proxy.address(), &last("GET", "/a", ""), BOUND).0.ends_with("0123456789"));
}

#[test]
fn dropped_it_lets_everybody_go() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(next("GET", "/endless").as_bytes()).unwrap();
    read_until(&mut stream, ".");
    let address = proxy.address().to_owned();
    drop(proxy);
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_ne!(read(&mut stream).1, End::Open);
    assert!(TcpStream::connect(address).is_err());
    assert!(wait_until(BOUND, || server.gone() == 1));
}
