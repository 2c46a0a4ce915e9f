//! Which request a rule matches, and what the trace records of it.

use std::time::Duration;

use testbed::proxy::{From, Hits, Kind, Mode, Proxy, Rule};

use crate::client::{BOUND, exchange, last};
use crate::server::Server;

/// The statuses of these requests under these rules.
fn statuses(rules: Vec<Rule>, requests: &[&str]) -> Vec<u16> {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    for rule in rules {
        proxy.rule(rule);
    }
    let ask = |request: &&str| {
        let (method, path) = request.split_once(' ').unwrap();
        let (text, _) = exchange(proxy.address(), &last(method, path, ""), BOUND);
        text[9..12].parse().unwrap()
    };
    requests.iter().map(ask).collect()
}

#[test]
fn hits_are_counted_per_rule_from_one() {
    let check = |hits| {
        statuses(
            vec![Rule::new("GET", "/a*", hits, Mode::status(500))],
            &["GET /a", "GET /b", "GET /ab", "HEAD /a", "GET /a?x"],
        )
    };
    assert_eq!(check(Hits::Nth(2)), [200, 200, 500, 200, 200]);
    assert_eq!(check(Hits::FromNth(2)), [200, 200, 500, 200, 500]);
    assert_eq!(check(Hits::First(2)), [500, 200, 500, 200, 200]);
    assert_eq!(check(Hits::Every), [500, 200, 500, 200, 500]);
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let run = |seed| {
        statuses(vec![Rule::new("*", "*", Hits::Random(0.5, seed), Mode::status(500))], &["GET /"; 24])
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
    assert!(run(7).contains(&500) && run(7).contains(&200));
}

#[test]
fn the_first_rule_that_takes_it_decides_and_all_count() {
    let rules = vec![
        Rule::new("GET", "*", Hits::Nth(1), Mode::status(500)),
        Rule::new("GET", "*", Hits::Nth(2), Mode::status(429)),
        Rule::new("GET", "*", Hits::Nth(3), Mode::Pass),
        Rule::new("GET", "*", Hits::FromNth(2), Mode::status(404)),
    ];
    assert_eq!(statuses(rules, &["GET /"; 4]), [500, 429, 200, 404]);
}

#[test]
fn the_kinds_of_registry_request_are_told_apart() {
    let requests = [
        (Kind::Ping, "GET /v2/"),
        (Kind::BlobHead, "HEAD /v2/a/b/blobs/sha256:0"),
        (Kind::BlobGet, "GET /v2/a/b/blobs/sha256:0"),
        (Kind::UploadStart, "POST /v2/a/b/blobs/uploads/"),
        (Kind::UploadStart, "POST /v2/a/b/blobs/uploads/?mount=sha256:0&from=c"),
        (Kind::UploadData, "PATCH /v2/a/b/blobs/uploads/id?_state=x"),
        (Kind::UploadEnd, "PUT /v2/a/b/blobs/uploads/id?digest=sha256:0"),
        (Kind::ManifestHead, "HEAD /v2/a/b/manifests/1.0"),
        (Kind::ManifestGet, "GET /v2/a/b/manifests/1.0"),
        (Kind::ManifestPut, "PUT /v2/a/b/manifests/1.0"),
        (Kind::Tags, "GET /v2/a/b/tags/list"),
    ];
    let lines = requests.map(|(_, line)| line);
    for (kind, _) in requests {
        let expect: Vec<_> =
            requests.iter().map(|(other, _)| if *other == kind { 418 } else { 200 }).collect();
        assert_eq!(
            statuses(vec![Rule::on(kind, Hits::Every, Mode::status(418))], &lines),
            expect,
            "{kind:?}"
        );
    }
}

#[test]
fn the_one_that_asks_is_known_by_what_it_calls_itself() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    proxy.rule(Rule::new("*", "*", Hits::Every, Mode::status(500)).from(From::Engine));
    for (agent, expect) in
        [("docker/20.10.24 go/1.19", "500"), ("image-builder/0.1.0", "200"), ("curl/8", "200")]
    {
        let request =
            format!("GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n");
        assert_eq!(&exchange(proxy.address(), &request, BOUND).0[9..12], expect);
    }
    assert_eq!(
        proxy.trace().iter().map(|seen| seen.from).collect::<Vec<_>>(),
        [From::Engine, From::Us, From::Other]
    );
}

#[test]
fn the_trace_tells_what_was_asked_and_what_was_written() {
    let server = Server::tcp();
    let proxy = Proxy::tcp(&server.address);
    let put = "PUT /v2/a/b/manifests/1.0?x=y HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eDp5\r\nConnection: close\r\n\r\n";
    exchange(proxy.address(), put, BOUND);
    proxy.rule(Rule::on(Kind::ManifestPut, Hits::Every, Mode::status(201)));
    exchange(proxy.address(), put, BOUND);
    let trace = proxy.trace();
    assert_eq!((trace[0].path.as_str(), trace[0].query.as_str()), ("/v2/a/b/manifests/1.0", "x=y"));
    assert!(trace[0].is_authorized());
    assert_eq!(trace[0].written_tag(), Some(("a/b", "1.0")));
    assert_eq!(trace[1].written_tag(), None, "upstream never heard of it");
    assert!(proxy.show().contains("PUT /v2/a/b/manifests/1.0 [status] 201 of our own"), "{}", proxy.show());
    proxy.forget();
    assert!(proxy.trace().is_empty());
}

#[test]
#[should_panic(expected = "no such request within")]
fn a_request_that_never_comes_is_a_failure() {
    let proxy = Proxy::tcp("127.0.0.1:1");
    proxy.wait_for(|_| true, Duration::from_millis(20));
}
