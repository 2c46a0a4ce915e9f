//! Failures during a promotion: they are retried, or the next promotion continues where this one
//! stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use testbed::command::{Outcome, Signal};
use testbed::process::wait_until;
use testbed::proxy::{Hits, Kind, Mode, Proxy, Reply, Rule};
use testbed::registry::{Auth, PrivateRegistry};

use crate::stock::{BOUND, Stock, path, tags};

type Signaller = Box<dyn Fn(Signal) + Send + Sync>;

/// Two registries; the first has all builds.
struct Place {
    stock: Stock,
    a: PrivateRegistry,
    b: PrivateRegistry,
}

impl Place {
    fn new(stock: Stock) -> Self {
        let (a, b) = (PrivateRegistry::start(Auth::None), PrivateRegistry::start(Auth::None));
        stock.publish(a.view(), "test", &["--all"]);
        Self { stock, a, b }
    }

    /// Creates a private repo and a proxy in front of each registry.
    fn way(&self) -> Way<'_> {
        let path = path("images");
        Way { from: Proxy::tcp(self.a.address()), to: Proxy::tcp(self.b.address()), path, place: self }
    }
}

struct Way<'a> {
    place: &'a Place,
    from: Proxy,
    to: Proxy,
    path: String,
}

impl Way<'_> {
    fn promote(&self, arguments: &[&str]) -> Outcome {
        let (from, to) = self.repos();
        self.place.stock.promote(&from, &to, arguments)
    }

    fn repos(&self) -> (String, String) {
        (format!("{}/test", self.from.address()), format!("{}/{}", self.to.address(), self.path))
    }

    fn shown(&self) -> BTreeMap<String, String> {
        tags(self.place.b.view(), &self.path)
    }

    /// Asserts that the target has all tags of the source, with the same digests.
    fn expect_all(&self) {
        assert_eq!(self.shown(), tags(self.place.a.view(), "test"), "{}", self.to.show());
    }
}

#[test]
fn what_passes_is_tried_again() {
    let place = Place::new(Stock::of_weight(2000));
    let unavailable = || Mode::Status(Reply::new(503).header("Retry-After", "1"));
    for (side, rule) in [
        ("source", Rule::on(Kind::ManifestGet, Hits::Nth(1), unavailable())),
        ("source", Rule::new("GET", "/v2/*/blobs/*", Hits::Nth(9), Mode::Truncate(50))),
        ("source", Rule::new("GET", "/v2/*/blobs/*", Hits::Nth(9), Mode::Reset)),
        ("target", Rule::new("POST", "/v2/*/blobs/uploads/", Hits::Nth(1), unavailable())),
        ("target", Rule::new("PUT", "/v2/*/blobs/uploads/*", Hits::Nth(1), unavailable())),
        ("target", Rule::new("PUT", "/v2/*/blobs/uploads/*", Hits::Nth(2), Mode::TruncateRequest(20))),
        ("target", Rule::new("PUT", "/v2/*/blobs/uploads/*", Hits::Nth(1), Mode::ResetAfter)),
        ("target", Rule::new("PUT", "/v2/*/blobs/uploads/*", Hits::Nth(1), Mode::status(401))),
        ("target", Rule::on(Kind::ManifestPut, Hits::Nth(1), Mode::ResetAfter)),
        ("target", Rule::on(Kind::ManifestPut, Hits::Nth(6), Mode::status(429))),
    ] {
        let name = format!("{side} {rule:?}");
        let way = place.way();
        let proxy = if side == "source" { &way.from } else { &way.to };
        let rule = proxy.rule(rule);
        let outcome = way.promote(&["sky:1.0", "sea:1.0", "base:1.0", "tools:3.0"]).expect_code(0);
        assert_eq!(proxy.taken(rule), 1, "{name}: {}", outcome.said());
        way.expect_all();
    }
}

#[test]
fn what_does_not_pass_ends_it_with_no_tag_moved() {
    let place = Place::new(Stock::new());
    for (rule, code) in [
        (Rule::new("PUT", "/v2/*/blobs/uploads/*", Hits::Every, Mode::status(403)), 4),
        (Rule::on(Kind::ManifestPut, Hits::Every, Mode::status(405)), 4),
        (Rule::new("PUT", "/v2/*/blobs/uploads/*", Hits::Every, Mode::status(503)), 4),
        (Rule::new("GET", "/v2/*/manifests/*", Hits::Every, Mode::status(403)), 5),
    ] {
        let way = place.way();
        way.to.rule(rule);
        let outcome = way.promote(&["--push-timeout", "1s"]).expect_code(code);
        let moved = way.shown().into_keys().find(|name| name.ends_with(":1.0") || name.ends_with(":3.0"));
        assert_eq!(moved, None, "{}", outcome.said());
        way.to.clear_all();
        way.promote(&[]).expect_code(0);
        way.expect_all();
    }
}

#[test]
fn a_blob_that_is_not_what_its_digest_says_does_not_come_over() {
    let place = Place::new(Stock::new());
    let way = place.way();
    let lie = Mode::Status(Reply::new(200).body("another text of another length"));
    way.from.rule(Rule::new("GET", "/v2/test/*/blobs/*", Hits::FromNth(8), lie));
    let outcome = way.promote(&["--push-timeout", "1s"]).expect_code(4);
    assert!(outcome.stderr.contains("gave"), "{}", outcome.said());
    assert!(way.shown().is_empty(), "{}", outcome.said());
}

#[test]
fn interrupted_it_leaves_moving_tags_alone_and_a_rerun_finishes() {
    let place = Place::new(Stock::new());
    for (rule, moved) in [
        (("PUT", "/v2/*/blobs/uploads/*", 3), false),
        (("PUT", "/v2/images-*/manifests/*", 4), false),
        // At the second moving tag: operations in progress finish, and no other starts.
        (("PUT", "/v2/images-*/manifests/?.0", 2), true),
    ] {
        let way = place.way();
        let interrupt: Arc<OnceLock<Signaller>> = Arc::default();
        let hook = {
            let interrupt = Arc::clone(&interrupt);
            Mode::hook(move |_| {
                assert!(wait_until(BOUND, || interrupt.get().is_some()), "the program was started");
                interrupt.get().expect("just seen")(Signal::INT);
            })
        };
        let (method, path, nth) = rule;
        let path = path.replace('?', "*");
        let rule = way.to.rule(Rule::new(method, &path, Hits::Nth(nth), hook));
        let (from, to) = way.repos();
        let running = place.stock.program(&["promote", "--from", &from, "--to", &to]).spawn();
        assert!(interrupt.set(Box::new(running.signaller())).is_ok(), "set once");
        let outcome = running.wait(BOUND).expect_code(130);
        assert_eq!(way.to.taken(rule), 1, "{}", way.to.show());
        let shown = way.shown();
        let moving = shown.keys().filter(|name| name.ends_with(":1.0") || name.ends_with(":3.0")).count();
        assert!(if moved { moving < 7 } else { moving == 0 }, "{shown:?}\n{}", outcome.said());
        place.stock.nothing_is_left();
        let there: Vec<String> = shown.into_keys().collect();
        way.to.clear_all();
        way.to.forget();
        way.promote(&[]).expect_code(0);
        way.expect_all();
        // Tags that exist are not written again.
        let trace = way.to.trace();
        let written = trace.iter().filter_map(|seen| seen.written_tag());
        let again: Vec<_> = written
            .filter(|(repository, tag)| {
                there.contains(&format!("{}:{tag}", &repository[way.path.len() + 1..]))
            })
            .collect();
        assert!(again.is_empty(), "{again:?}");
    }
}
