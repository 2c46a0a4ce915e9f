//! The private registry and its tokens, with docker-registry itself; and the proxy in front of it.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::time::Duration;

use testbed::http::{self, Response};
use testbed::process::wait_until;
use testbed::proxy::{Hits, Kind, Mode, Proxy, Rule, Upstream};
use testbed::registry::{Auth, PASSWORD, PrivateRegistry, TokenServer, USER, View, docker_config};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Pushes an image whose configuration is `{}`.
fn push(view: &View, repository: &str, tag: &str) -> String {
    view.put_image(repository, tag, "{}")
}

fn ask(address: &str, target: &str, authorization: Option<&str>) -> Response {
    let headers: Vec<_> = authorization.map(|text| ("Authorization", text)).into_iter().collect();
    http::ask(&Upstream::parse(address), "GET", target, &headers, b"").unwrap()
}

#[test]
fn what_it_holds_outlives_a_kill_at_the_same_address() {
    let mut registry = PrivateRegistry::start(Auth::None);
    let digest = push(registry.view(), "a/b", "1.0");
    assert_eq!(registry.view().repositories(), ["a/b"]);
    assert_eq!(registry.view().tags("a/b"), ["1.0"]);
    assert!(registry.view().tags("none").is_empty());
    assert_eq!(registry.view().digest("a/b", "2.0"), None);
    assert!(registry.view().labels("a/b", "1.0").unwrap().is_empty());

    let address = registry.address().to_owned();
    registry.stop();
    assert!(http::ask(&Upstream::parse(&address), "GET", "/v2/", &[], b"").is_err());
    registry.restart();
    assert_eq!(registry.address(), address);
    assert_eq!(
        registry.view().all_tags("a/").into_iter().collect::<Vec<_>>(),
        [("a/b:1.0".to_owned(), digest.clone())]
    );

    registry.restart_read_only();
    assert_eq!(registry.view().ask("POST", "/v2/a/b/blobs/uploads/", &[], b"").status, 405);
    assert_eq!(registry.view().digest("a/b", "1.0"), Some(digest.clone()));

    registry.restart();
    registry.lose_tag("a/b", "1.0");
    assert_eq!(registry.view().digest("a/b", "1.0"), None);
    registry.view().delete("a/b", &digest);
    assert_eq!(registry.view().digest("a/b", &digest), None);
}

#[test]
fn a_password_is_asked_for() {
    let registry = PrivateRegistry::start(Auth::Basic);
    assert_eq!(ask(registry.address(), "/v2/", None).status, 401);
    push(registry.view(), "a", "1");
    let config: serde_json::Value =
        serde_json::from_str(&docker_config(registry.address(), USER, PASSWORD)).unwrap();
    let auth = config["auths"][registry.address()]["auth"].as_str().unwrap();
    assert!(auth.contains(['+', '/']), "it needs both of base64's own characters: {auth}");
    assert_eq!(ask(registry.address(), "/v2/a/tags/list", Some(&format!("Basic {auth}"))).status, 200);
}

#[test]
fn a_token_is_asked_for_and_ends_in_time() {
    let server = TokenServer::start();
    let registry = PrivateRegistry::start(Auth::Token(&server));
    let refused = ask(registry.address(), "/v2/a/tags/list", None);
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.contains(&server.realm()) && challenge.contains("repository:a:pull"), "{challenge}");
    push(registry.view(), "a", "1");

    let token = |scope: &str| {
        let address = server.realm().trim_start_matches("http://").trim_end_matches("/token").to_owned();
        let login = docker_config("x", USER, PASSWORD);
        let login = login.split('"').rev().nth(1).unwrap().to_owned();
        let answer =
            ask(&address, &format!("/token?service=x&scope={scope}"), Some(&format!("Basic {login}")));
        (answer.status, answer.json()["token"].as_str().map(|token| format!("Bearer {token}")))
    };
    let tags = |token: &Option<String>| ask(registry.address(), "/v2/a/tags/list", token.as_deref()).status;
    let (status, good) = token("repository%3Aa%3Apull");
    assert_eq!((status, tags(&good)), (200, 200));
    assert_eq!(server.issued().last().unwrap().scopes, ["repository:a:pull"]);
    assert_eq!(tags(&token("repository:b:pull").1), 401, "it opens another repository");

    server.set_lifetime(Duration::from_secs(2));
    let (_, short) = token("repository:a:pull");
    assert_eq!(tags(&short), 200);
    assert!(wait_until(Duration::from_secs(10), || tags(&short) == 401), "it ends");
    assert_eq!(tags(&good), 200);
    server.refuse(Some(503));
    assert_eq!(token("repository:a:pull").0, 503);
}

#[test]
fn behind_the_proxy_locations_lead_back_to_the_proxy() {
    let registry = PrivateRegistry::start(Auth::None);
    let proxy = Proxy::tcp(registry.address());
    let answer = http::ask(&Upstream::parse(proxy.address()), "POST", "/v2/a/blobs/uploads/", &[], b"");
    let answer = answer.unwrap();
    let location = answer.header("location").unwrap();
    assert!(location.starts_with(&format!("http://{}/", proxy.address())), "{location}");
    let (through, rule) =
        (View::new(proxy.address()), Rule::on(Kind::ManifestPut, Hits::Nth(2), Mode::ResetAfter));
    let rule = proxy.rule(rule);
    push(&through, "a", "1");
    let body = registry.view().manifest("a", "1").unwrap().body;
    let cut = http::ask(
        &Upstream::parse(proxy.address()),
        "PUT",
        "/v2/a/manifests/2",
        &[("Content-Type", OCI)],
        &body,
    );
    assert!(cut.is_err());
    assert_eq!(proxy.taken(rule), 1);
    assert!(registry.view().digest("a", "2").is_some(), "it got through, and nobody heard");
    let written: Vec<_> = proxy
        .trace()
        .iter()
        .filter_map(|seen| seen.written_tag().map(|(name, tag)| format!("{name}:{tag}")))
        .collect();
    assert_eq!(written, ["a:1", "a:2"]);
}
