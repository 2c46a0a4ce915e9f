//! Responses of registries, and how they are interpreted.

use std::time::Duration;

use registry::{DockerConfig, Error, ErrorKind, Options, Registry};

use crate::process::sha256;
use crate::scripted::{Reply, Server};

const SECRET: &str = "hunter2+/hunter2";

fn client(config: DockerConfig) -> Registry {
    let timeout = Duration::from_secs(20);
    Registry::new(Options { config, timeout, page: 2, ..Options::default() })
}

fn entry(server: &Server, entry: &serde_json::Value) -> DockerConfig {
    DockerConfig::parse(&serde_json::json!({"auths": {server.address(): entry}}).to_string()).expect("good")
}

fn found() -> Reply {
    Reply::new(200).header("docker-content-digest", &sha256(b"x"))
}

fn wants_token(address: &str) -> Reply {
    let challenge = format!(r#"Bearer realm="http://{address}/token?a=b",service="the service",scope="x""#);
    Reply::new(401).header("www-authenticate", &challenge)
}

async fn error_of(script: fn(&str, usize) -> Option<Reply>) -> Error {
    let server = Server::start(move |address, before, _| script(address, before));
    let error = client(DockerConfig::default()).resolve(&server.name("a:1")).await;
    error.expect_err("no success")
}

#[tokio::test]
async fn each_status_has_its_kind() {
    for (error, kind, text) in [
        (error_of(|_, _| Some(Reply::new(403))).await, ErrorKind::Denied, "403"),
        (
            error_of(|_, _| Some(Reply::new(429).header("retry-after", "17"))).await,
            ErrorKind::RateLimited,
            "429",
        ),
        (error_of(|_, _| Some(Reply::new(429))).await, ErrorKind::RateLimited, "wait"),
        (error_of(|_, _| Some(Reply::new(500))).await, ErrorKind::Server(500), "500"),
        (error_of(|_, _| Some(Reply::new(503))).await, ErrorKind::Server(503), "503"),
        (error_of(|_, _| Some(Reply::new(413))).await, ErrorKind::Refused(413), "413"),
        (error_of(|_, _| Some(Reply::new(401))).await, ErrorKind::Unauthorized, "401"),
        (error_of(|_, _| None).await, ErrorKind::Connection, "cannot talk to"),
    ] {
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(text) && error.message.contains("/a:1"), "{error}");
    }
}

#[tokio::test]
async fn only_404_is_absence_whatever_a_registry_says_with_it() {
    for body in ["", "<html>", r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#, r#"{"errors":[{"code":"ODD"}]}"#] {
        let server = Server::start(move |_, _, _| Some(Reply::new(404).body(body)));
        let registry = client(DockerConfig::default());
        assert_eq!(registry.resolve(&server.name("a:1")).await, Ok(None), "{body}");
        assert_eq!(registry.image(&server.name("a:1"), "linux/amd64").await, Ok(None), "{body}");
        assert_eq!(registry.tags(&server.name("a")).await, Ok(Vec::new()), "{body}");
    }
}

#[tokio::test]
async fn what_a_registry_says_is_told_without_the_secret() {
    let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"\u001b[31m{SECRET} no"}}]}}"#);
    let server = Server::start(move |_, before, _| match before {
        0 => Some(Reply::new(401).header("www-authenticate", "Basic realm=\"x\"")),
        _ => Some(Reply::new(403).body(&body)),
    });
    let config = entry(&server, &serde_json::json!({"username": "me", "password": SECRET}));
    let error = client(config).tags(&server.name("a")).await.expect_err("denied");
    assert!(error.message.contains("DENIED: \\u{1b}[31m*** no"), "{error}");
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_used() {
    let server = Server::start(|address, _, asked| {
        Some(match asked {
            asked if asked.line.starts_with("GET /token") => Reply::new(200).body(r#"{"token": "t1"}"#),
            asked if asked.authorization == "Bearer t1" => found(),
            _ => wants_token(address),
        })
    });
    let registry = client(entry(&server, &serde_json::json!({"username": "me", "password": SECRET})));
    for name in ["a/b:1", "a/b:2", "c:1"] {
        assert_eq!(registry.resolve(&server.name(name)).await, Ok(Some(sha256(b"x"))));
    }
    let token = |scope: &str| {
        format!("GET /token?a=b&service=the+service&scope=repository%3A{scope}%3Apull&account=me")
    };
    let expect = [
        "HEAD /v2/a/b/manifests/1".to_owned(),
        token("a%2Fb"),
        "HEAD /v2/a/b/manifests/1".to_owned(),
        "HEAD /v2/a/b/manifests/2".to_owned(),
        token("c"),
        "HEAD /v2/c/manifests/1".to_owned(),
    ];
    assert_eq!(server.lines(), expect);
    assert!(server.asked()[1].authorization.starts_with("Basic bWU6"), "the token server gets the login");
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let server = Server::start(|address, _, asked| {
        Some(match asked {
            asked if asked.line.starts_with("POST /token") => {
                Reply::new(200).body(r#"{"access_token": "t2"}"#)
            }
            asked if asked.authorization == "Bearer t2" => found(),
            _ => wants_token(address),
        })
    });
    let registry = client(entry(&server, &serde_json::json!({"identitytoken": SECRET})));
    assert_eq!(registry.resolve(&server.name("a:1")).await, Ok(Some(sha256(b"x"))));
    let body = &server.asked()[1].body;
    assert!(body.contains("grant_type=refresh_token"), "{body}");
    assert!(body.contains("refresh_token=hunter2%2B%2Fhunter2"), "{body}");
    assert!(body.contains("scope=repository%3Aa%3Apull"), "{body}");
}

#[tokio::test]
async fn a_refused_login_is_not_tried_as_nobody() {
    for (reply, kind) in [
        (Reply::new(401).body(SECRET), ErrorKind::Unauthorized),
        (Reply::new(403).body(SECRET), ErrorKind::Denied),
        (Reply::new(502).body(SECRET), ErrorKind::Server(502)),
        (Reply::new(200).body("{}"), ErrorKind::Protocol),
    ] {
        let server = Server::start(move |address, _, asked| {
            let token = asked.line.starts_with("GET /token");
            Some(if token { reply.clone() } else { wants_token(address) })
        });
        let registry = client(entry(&server, &serde_json::json!({"username": "me", "password": SECRET})));
        let error = registry.resolve(&server.name("a:1")).await.expect_err("refused");
        assert_eq!(error.kind, kind, "{error}");
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
        assert_eq!(server.lines().len(), 2, "{:?}", server.lines());
    }
}

#[tokio::test]
async fn a_token_that_ran_out_is_renewed_once() {
    // The first token is good for one request.
    let server = Server::start(|address, before, asked| {
        Some(match asked {
            asked if asked.line.starts_with("GET /token") => {
                Reply::new(200).body(if before < 3 { r#"{"token": "old"}"# } else { r#"{"token": "new"}"# })
            }
            asked if asked.authorization == "Bearer old" && before < 3 => found(),
            asked if asked.authorization == "Bearer new" && asked.line.contains("/2") => found(),
            _ => wants_token(address),
        })
    });
    let registry = client(DockerConfig::default());
    assert_eq!(registry.resolve(&server.name("a:1")).await, Ok(Some(sha256(b"x"))));
    assert_eq!(registry.resolve(&server.name("a:2")).await, Ok(Some(sha256(b"x"))), "with a new token");
    let before = server.lines().len();
    let error = registry.resolve(&server.name("a:3")).await.expect_err("no token opens this");
    assert_eq!(error.kind, ErrorKind::Unauthorized);
    assert_eq!(server.lines().len() - before, 3, "one try, one login, one try: {:?}", server.lines());
}

#[tokio::test]
async fn a_digest_is_computed_where_none_is_shown_and_checked_where_one_is() {
    let manifest = r#"{"schemaVersion": 2}"#;
    let server = Server::start(move |_, _, asked| {
        let reply = Reply::new(200).header("content-type", "application/x").body(manifest);
        Some(if asked.line.contains("lie") {
            reply.header("docker-content-digest", &sha256(b"something else"))
        } else {
            reply
        })
    });
    let registry = client(DockerConfig::default());
    assert_eq!(registry.resolve(&server.name("a:1")).await, Ok(Some(sha256(manifest.as_bytes()))));
    assert_eq!(server.lines(), ["HEAD /v2/a/manifests/1", "GET /v2/a/manifests/1"]);
    let error = registry.image(&server.name("a:lie"), "linux/amd64").await.expect_err("another digest");
    assert_eq!(error.kind, ErrorKind::Protocol, "{error}");
    let asked = server.name(&format!("lie@{}", sha256(b"asked")));
    assert_eq!(registry.resolve(&asked).await.expect_err("another digest").kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_tag_that_is_confirmed_and_not_held_is_an_error() {
    for (shown, text) in [(None, "does not have it"), (Some("something else"), "and shows")] {
        let server = Server::start(move |_, _, asked| {
            Some(match (asked.line.as_str(), shown) {
                (line, _) if line.starts_with("GET ") => {
                    Reply::new(200).header("content-type", "application/x").body("{}")
                }
                (line, _) if line.starts_with("PUT ") => Reply::new(201),
                (_, Some(shown)) => {
                    Reply::new(200).header("docker-content-digest", &sha256(shown.as_bytes()))
                }
                (_, None) => Reply::new(404),
            })
        });
        let error =
            client(DockerConfig::default()).tag(&server.name("a:1"), "2").await.expect_err("not held");
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(error.message.contains(text), "{error}");
        assert_eq!(
            server.lines(),
            ["GET /v2/a/manifests/1", "PUT /v2/a/manifests/2", "HEAD /v2/a/manifests/2"]
        );
        assert_eq!(server.asked()[1].body, "{}");
    }
}

#[tokio::test]
async fn tags_come_in_pages_of_every_sort() {
    let all = ["a", "b", "c", "d", "e"];
    let page = move |from: usize, length: usize| {
        let end = all.len().min(from + length);
        serde_json::json!({"name": "r", "tags": all[from..end]}).to_string()
    };
    // By Link, whose address is absolute and names another host; by n and last alone; not at all.
    let by_link = Server::start(move |_, before, _| {
        let reply = Reply::new(200).body(&page(before * 2, 2));
        Some(if before < 2 {
            let link = format!("<https://elsewhere.example/v2/r/tags/list?n=2&token={before}>; rel=\"next\"");
            reply.header("link", &link)
        } else {
            reply
        })
    });
    let by_last = Server::start(move |_, _, asked| {
        let last = asked.line.split("last=").nth(1);
        let from = last.map_or(0, |last| 1 + all.iter().position(|tag| *tag == last).expect("one of ours"));
        Some(Reply::new(200).body(&page(from, 2)))
    });
    let at_once = Server::start(move |_, _, _| Some(Reply::new(200).body(&page(0, 9))));
    for (server, requests) in [(&by_link, 3), (&by_last, 3), (&at_once, 2)] {
        let tags = client(DockerConfig::default()).tags(&server.name("r")).await;
        assert_eq!(tags, Ok(all.map(str::to_owned).to_vec()));
        assert_eq!(server.lines().len(), requests, "{:?}", server.lines());
    }
    assert_eq!(by_link.lines()[2], "GET /v2/r/tags/list?n=2&token=1");
    let none = Server::start(|_, _, _| Some(Reply::new(200).body(r#"{"name": "r", "tags": null}"#)));
    assert_eq!(client(DockerConfig::default()).tags(&none.name("r")).await, Ok(Vec::new()));
    // A later page that is missing, and a page that is no list, are no ends.
    let cut = Server::start(move |_, before, _| {
        Some(if before == 0 { Reply::new(200).body(&page(0, 2)) } else { Reply::new(404) })
    });
    let error = client(DockerConfig::default()).tags(&cut.name("r")).await.expect_err("cut off");
    assert_eq!(error.kind, ErrorKind::NotFound);
    let broken = Server::start(|_, _, _| Some(Reply::new(200).body("<html>")));
    let error = client(DockerConfig::default()).tags(&broken.name("r")).await.expect_err("no list");
    assert_eq!(error.kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn pages_without_end_are_refused() {
    let page = |number: usize, next: usize| {
        let body = serde_json::json!({"name": "r", "tags": [number.to_string()]}).to_string();
        Reply::new(200)
            .body(&body)
            .header("link", &format!("</v2/r/tags/list?n=1&last={next}>; rel=\"next\""))
    };
    let circle = Server::start(move |_, before, _| Some(page(before % 3, before % 3)));
    let endless = Server::start(move |_, before, _| Some(page(before, before)));
    for (server, why, most) in [(&circle, "in a circle", 4), (&endless, "more than 1000 pages", 1000)] {
        let error = client(DockerConfig::default()).tags(&server.name("r")).await.expect_err(why);
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(error.message.contains(why), "{error}");
        assert_eq!(server.lines().len(), most, "{why}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_not_kept() {
    let long = "x".repeat(5 << 20);
    let server = Server::start(move |_, _, _| Some(Reply::new(200).body(&long)));
    let error =
        client(DockerConfig::default()).image(&server.name("a:1"), "linux/amd64").await.expect_err("long");
    assert_eq!(error.kind, ErrorKind::Protocol);
    assert!(error.message.contains("more than 4194304 bytes"), "{error}");
}

#[tokio::test]
async fn silence_ends_in_time() {
    // Accepts into its backlog and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let name = plan::ImageName::parse(&format!("{address}/a:1")).expect("a reference");
    let options = Options { timeout: Duration::from_millis(300), ..Options::default() };
    let error = Registry::new(options).resolve(&name).await.expect_err("silence");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(error.message.contains("no answer from 127.0.0.1") && error.is_transient(), "{error}");
}

#[tokio::test]
async fn the_login_does_not_follow_to_another_host() {
    let other = Server::start(|_, _, _| Some(found()));
    let address = other.address();
    let server = Server::start(move |_, _, asked| {
        Some(if asked.authorization.is_empty() {
            Reply::new(401).header("www-authenticate", "Basic realm=\"x\"")
        } else {
            Reply::new(307).header("location", &format!("http://{address}/elsewhere"))
        })
    });
    let registry = client(entry(&server, &serde_json::json!({"username": "me", "password": SECRET})));
    assert_eq!(registry.resolve(&server.name("a:1")).await, Ok(Some(sha256(b"x"))));
    let asked = other.asked();
    assert_eq!((asked.len(), asked[0].authorization.as_str()), (1, ""));
}

/// A client that retries for this many seconds.
fn patient(seconds: u64) -> Registry {
    let (retry_for, timeout) = (Duration::from_secs(seconds), Duration::from_secs(20));
    Registry::new(Options { retry_for, timeout, ..Options::default() })
}

#[tokio::test]
async fn a_question_is_put_again_where_that_may_help() {
    type Script = fn(usize) -> Option<Reply>;
    let scripts: [(&str, Script); 5] = [
        ("a status", |before| (before > 0).then(found).or_else(|| Some(Reply::new(503)))),
        ("two of them", |before| Some(if before > 1 { found() } else { Reply::new(408) })),
        ("no answer", |before| (before > 0).then(found)),
        ("a wait", |before| {
            Some(if before > 0 { found() } else { Reply::new(429).header("retry-after", "1") })
        }),
        ("a wait by date", |before| {
            // To the second: from one to two of them away.
            let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(2));
            Some(if before > 0 { found() } else { Reply::new(429).header("retry-after", &date) })
        }),
    ];
    for (what, script) in scripts {
        let began = std::time::Instant::now();
        let server = Server::start(move |_, before, _| script(before));
        let shown = patient(20).resolve(&server.name("a:1")).await;
        assert_eq!(shown, Ok(Some(sha256(b"x"))), "{what}");
        let asked = Duration::from_secs(u64::from(what == "a wait"));
        assert!(began.elapsed() >= asked, "{what}: {:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_cut_answer_is_asked_for_again() {
    let manifest = r#"{"schemaVersion": 2}"#;
    let server = Server::start(move |_, before, _| {
        let whole = Reply::new(200).header("content-type", "application/x").body(manifest);
        Some(if before == 0 { whole.cut(7) } else { whole })
    });
    let error = patient(20).image(&server.name("a:1"), "linux/amd64").await.expect_err("no image");
    assert_eq!((error.kind, server.lines().len()), (ErrorKind::Protocol, 2), "whole at last: {error}");
}

#[tokio::test]
async fn asking_has_an_end_and_the_last_answer_is_told() {
    let server = Server::start(|_, _, _| Some(Reply::new(502)));
    let error = patient(2).resolve(&server.name("a:1")).await.expect_err("down");
    let asked = server.lines().len();
    assert!(asked >= 2, "{asked}");
    assert_eq!(error.kind, ErrorKind::Server(502));
    assert!(
        error.message.contains("failed, 502") && error.message.contains(&format!(", after {asked} attempts"))
    );

    let server = Server::start(|_, _, _| {
        let far = std::time::SystemTime::now() + Duration::from_secs(3600);
        Some(Reply::new(429).header("retry-after", &httpdate::fmt_http_date(far)))
    });
    let error = patient(2).resolve(&server.name("a:1")).await.expect_err("busy");
    assert_eq!((server.lines().len(), error.kind), (1, ErrorKind::RateLimited));
    assert!(
        error.message.contains("asks to wait") && error.message.ends_with("which is too long"),
        "{error}"
    );

    let server = Server::start(|_, _, _| Some(Reply::new(503).header("retry-after", "3600")));
    let error = patient(2).resolve(&server.name("a:1")).await.expect_err("down");
    assert_eq!((server.lines().len(), error.retry_after), (1, Some(Duration::from_secs(3600))));
    assert!(error.message.ends_with("asks to wait 3600 seconds, which is too long"), "{error}");
}

#[tokio::test]
async fn what_is_refused_or_not_there_is_asked_once_and_a_change_is_made_once() {
    for (status, requests) in [(401, 1), (403, 1), (404, 1), (413, 1)] {
        let server = Server::start(move |_, _, _| Some(Reply::new(status)));
        let _ = patient(20).resolve(&server.name("a:1")).await;
        assert_eq!(server.lines().len(), requests, "{status}");
    }
    let server = Server::start(|_, _, asked| {
        Some(match asked.line.starts_with("PUT ") {
            true => Reply::new(503),
            false => Reply::new(200).header("content-type", "application/x").body("{}"),
        })
    });
    let error = patient(20).tag(&server.name("a:1"), "2").await.expect_err("503");
    assert_eq!((error.kind, server.lines().len()), (ErrorKind::Server(503), 2), "{:?}", server.lines());
    // A closed port is not waited for.
    let gone = Server::start(|_, _, _| None).name("a:1");
    let began = std::time::Instant::now();
    let error = patient(20).resolve(&gone).await.expect_err("nobody");
    assert_eq!(error.kind, ErrorKind::Connection);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
