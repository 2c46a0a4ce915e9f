//! Registries that stay down, refuse, lie, request a wait, or let a login expire during a push:
//! rows 35 to 38.

use std::sync::Arc;
use std::time::Duration;

use testbed::proxy::{From, Hits, Kind, Mode, Reply, Rule};
use testbed::registry::{Auth, PASSWORD, PrivateRegistry, TokenServer, USER, docker_config};

use crate::scene::{BOUND, NAMES, Scene};

fn error(status: u16, code: &str) -> Mode {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"on cue"}}]}}"#);
    Mode::Status(Reply::new(status).body(body))
}

/// Asserts that no tag exists.
fn expect_nothing(scene: &Scene) {
    for name in NAMES {
        assert_eq!(scene.view.tags(&format!("{}/{name}", scene.path)), [""; 0], "{name}");
    }
}

#[test]
fn row_35_a_registry_that_stays_down_ends_in_4_with_status_and_attempts() {
    let scene = Scene::new("down");
    let down = Rule::on(Kind::ManifestPut, Hits::Every, Mode::status(503)).from(From::Engine);
    let rule = scene.proxy.rule(down);
    let outcome = scene.program(&["--push-timeout", "4s"]).run(BOUND).expect_code(4);
    let attempts = scene.proxy.taken(rule);
    let said = outcome.said();
    assert!((3..=8).contains(&attempts), "{attempts}\n{}", scene.proxy.show());
    assert!(said.contains("503") && said.contains(&format!("after {attempts} attempts")), "{said}");
    expect_nothing(&scene);
    // The next run completes it.
    scene.proxy.clear_all();
    let _ = scene.program(&[]).run(BOUND).expect_code(0);
    scene.expect_all(1);
    scene.expect_order();
}

#[test]
fn row_35_a_look_before_the_builds_ends_in_5_with_status_and_attempts() {
    let scene = Scene::new("unseen");
    scene.proxy.rule(Rule::on(Kind::ManifestGet, Hits::Every, Mode::status(502)).from(From::Us));
    let outcome = scene.program(&["--push-timeout", "3s"]).run(BOUND).expect_code(5);
    let said = outcome.said();
    assert!(said.contains("502") && said.contains("attempts"), "{said}");
    assert!(scene.seen(|seen| seen.from == From::Engine && seen.method != "GET").is_empty(), "nothing began");
    expect_nothing(&scene);
}

#[test]
fn row_35_what_the_registry_asks_to_wait_is_waited() {
    let scene = Scene::new("wait");
    let busy = Mode::Status(Reply::new(429).header("Retry-After", "3"));
    // Both for our own requests and for the engine's. The engine does not pass the requested wait
    // on, so it is read from the registry.
    let ours = scene.proxy.rule(Rule::on(Kind::ManifestPut, Hits::Nth(1), busy.clone()).from(From::Us));
    let base = format!("/v2/{}/sci/base/manifests/1.0-*", scene.path);
    scene.proxy.rule(Rule::new("PUT", &base, Hits::Nth(1), busy.clone()).from(From::Engine));
    scene.proxy.rule(Rule::new("HEAD", &base, Hits::Nth(1), busy).from(From::Us));
    let _ = scene.program(&[]).run(BOUND).expect_code(0);
    assert_eq!(scene.proxy.taken(ours), 1);
    scene.expect_all(1);
    scene.expect_order();
    for (from, tag) in [(From::Us, "1.0"), (From::Engine, "1.0-")] {
        let path = format!("/v2/{}/sci/base/manifests/{tag}", scene.path);
        let puts =
            scene.seen(|seen| seen.method == "PUT" && seen.from == from && seen.path.starts_with(&path));
        assert_eq!(puts.len(), 2, "{}", scene.proxy.show());
        let gap = puts[1].began - puts[0].began;
        assert!(gap >= Duration::from_secs(3), "{gap:?}\n{}", scene.proxy.show());
    }
}

#[test]
fn row_36_what_is_refused_is_refused_at_once() {
    let html =
        || Mode::Status(Reply::new(413).header("Content-Type", "text/html").body("<html>too large</html>"));
    for (fault, text) in
        [(error(403, "DENIED"), "denied"), (html(), "413"), (error(404, "NAME_UNKNOWN"), "name unknown")]
    {
        for from in [From::Engine, From::Us] {
            let scene = Scene::new("refused");
            let rule = scene.proxy.rule(Rule::on(Kind::ManifestPut, Hits::Every, fault.clone()).from(from));
            let outcome = scene.program(&[]).run(BOUND).expect_code(4);
            assert_eq!(scene.proxy.taken(rule), 1, "{text} {from:?}\n{}", scene.proxy.show());
            let said = outcome.said().to_lowercase();
            assert!(said.contains(text) || from == From::Us, "{text}: {said}");
            assert!(scene.shown("1.0").values().all(Option::is_none));
            scene.expect_order();
        }
    }
}

#[test]
fn row_36_a_401_gets_one_new_login_and_no_second() {
    for from in [From::Engine, From::Us] {
        let scene = Scene::new("login");
        let fault = error(401, "UNAUTHORIZED");
        let fault = match (from, fault) {
            // Without a challenge there is no way to log in.
            (From::Us, _) => {
                Mode::Status(Reply::new(401).header("WWW-Authenticate", "Basic realm=\"on cue\""))
            }
            (_, fault) => fault,
        };
        scene.tree.write_docker_config(&docker_config(scene.proxy.address(), USER, PASSWORD));
        let rule = scene.proxy.rule(Rule::on(Kind::ManifestPut, Hits::Every, fault).from(from));
        let outcome = scene.program(&[]).run(BOUND).expect_code(4);
        assert_eq!(scene.proxy.taken(rule), 2, "{from:?} {}\n{}", outcome.said(), scene.proxy.show());
        assert!(!outcome.said().contains(PASSWORD));
        assert!(scene.shown("1.0").values().all(Option::is_none));
    }
}

#[test]
fn row_36_a_token_that_expires_during_a_push_is_asked_for_again() {
    let tokens = TokenServer::start();
    let registry = PrivateRegistry::start(Auth::Token(&tokens));
    let scene = Scene::at(registry.address(), registry.view().clone(), "expiring");
    scene.tree.write_docker_config(&docker_config(scene.proxy.address(), USER, PASSWORD));
    tokens.set_lifetime(Duration::from_secs(4));
    // The delay exceeds the lifetime of a token, so the engine's next request uses an expired one.
    let late = Mode::Delay(Duration::from_secs(7));
    let rule = scene.proxy.rule(Rule::on(Kind::UploadData, Hits::Nth(1), late).from(From::Engine));
    let outcome = scene.program(&[]).run(BOUND).expect_code(0);
    assert_eq!(scene.proxy.taken(rule), 1);
    let expired = scene.seen(|seen| seen.status == Some(401) && seen.is_authorized());
    assert!(!expired.is_empty(), "no token ran out\n{}\n{}", outcome.said(), scene.proxy.show());
    scene.expect_all(1);
    scene.expect_order();
}

#[test]
fn row_37_a_confirmation_alone_is_not_believed() {
    let digest = format!("sha256:{}", "0".repeat(64));
    for from in [From::Engine, From::Us] {
        let scene = Scene::new("lie");
        let lie = Mode::Status(Reply::new(201).header("Docker-Content-Digest", &digest));
        let rule = scene.proxy.rule(Rule::on(Kind::ManifestPut, Hits::Nth(1), lie).from(from));
        let outcome = scene.program(&[]).run(BOUND).expect_code(4);
        assert_eq!(scene.proxy.taken(rule), 1);
        assert!(outcome.said().contains("does not have it"), "{}", outcome.said());
        assert!(scene.shown("1.0").values().all(Option::is_none), "{}", scene.proxy.show());
        let _ = scene.program(&[]).run(BOUND).expect_code(0);
        scene.expect_all(1);
    }
}

#[test]
fn row_38_a_build_tag_that_somebody_set_during_the_run_is_not_overwritten() {
    let mut scene = Scene::new("taken");
    let _ = scene.program(&[]).run(BOUND).expect_code(0);
    let repository = format!("{}/sci/base", scene.path);
    let other = scene.view.manifest(&repository, "1.0").expect("just pushed");
    let (kind, digest) = (
        other.header("content-type").expect("it has one").to_owned(),
        scene.shown("1.0")["sci/base"].clone(),
    );
    scene.tree.change("science/base/data", "2");
    let tag = scene.build_tag(2);
    // The first read is before the builds, the second before the push.
    let path = format!("/v2/{repository}/manifests/{tag}");
    let (view, body) = (Arc::new(scene.view.clone()), other.body.clone());
    let taken = tag.clone();
    let hook = Mode::hook(move |_| view.put_manifest(&repository, &taken, &kind, &body));
    let rule = scene.proxy.rule(Rule::new("GET", &path, Hits::Nth(2), hook).from(From::Us));
    let outcome = scene.program(&[]).run(BOUND).expect_code(6);
    assert_eq!(scene.proxy.taken(rule), 1);
    assert!(outcome.said().contains("pushed by another client"), "{}", outcome.said());
    assert_eq!(scene.shown(&tag)["sci/base"], digest);
    scene.proxy.clear_all();
    // The foreign image stays: the next run fails before any work.
    let _ = scene.program(&[]).run(BOUND).expect_code(6);
    assert_eq!(scene.shown(&tag)["sci/base"], digest);
}
