//! Registries as they were met: each test is named after the case that it holds.

use registry::{DockerConfig, ErrorKind, Options, Pushes, Registry};

use crate::process::sha256;
use crate::scripted::{Reply, Server};

fn client(page: usize) -> Registry {
    Registry::new(Options { page, ..Options::default() })
}

fn login(server: &Server) -> Registry {
    let entry = serde_json::json!({"username": "me", "password": "secret"});
    let json = serde_json::json!({"auths": {server.address(): entry}}).to_string();
    let config = DockerConfig::parse(&json).expect("good");
    Registry::new(Options { config, ..Options::default() })
}

/// A registry as Quay is: a repository that does not exist answers `status` to a token without
/// `push`.
fn without_repositories(status: u16) -> Server {
    Server::start(move |address, _, asked| {
        let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"s\"");
        Some(match asked {
            asked if asked.line.starts_with("GET /token") => {
                let scope = asked.line.split("scope=").nth(1).unwrap_or_default();
                let token = if scope.contains("push") { "push" } else { "pull" };
                Reply::new(200).body(&format!("{{\"token\": \"{token}\"}}"))
            }
            asked if asked.authorization == "Bearer push" => {
                let body = r#"{"errors":[{"code":"NAME_UNKNOWN"}]}"#;
                Reply::new(404).body(body)
            }
            asked if asked.authorization == "Bearer pull" && status == 403 => Reply::new(403),
            _ => Reply::new(401).header("www-authenticate", &challenge),
        })
    })
}

#[tokio::test]
async fn case_first_push_into_new_repository() {
    for (status, kind) in [(401, ErrorKind::Unauthorized), (403, ErrorKind::Denied)] {
        let server = without_repositories(status);
        let (name, full) = (server.name("a/new:1"), format!("{}/a/new:1", server.address()));
        let repo = |path: &str| Pushes::Below(format!("{}{path}", server.address()));
        for pushes in [Pushes::to([full.as_str()]), repo("/a"), repo(""), repo("/a/new"), repo("/a/")] {
            let registry = login(&server).pushing(pushes.clone());
            assert_eq!(registry.resolve(&name).await, Ok(None), "{pushes:?}");
            assert_eq!(registry.image(&name, "linux/amd64").await, Ok(None), "{pushes:?}");
            assert_eq!(registry.tags(&name).await, Ok(Vec::new()), "{pushes:?}");
            assert_eq!(registry.without_retries().resolve(&name).await, Ok(None), "{pushes:?}");
        }
        // A read requests read access only, and a rejection is not retried.
        let other = format!("{}/a/newer:1", server.address());
        for pushes in [Pushes::Nowhere, Pushes::to([other.as_str()]), repo("/a/n"), repo("/b")] {
            let registry = login(&server).pushing(pushes.clone());
            let error = registry.resolve(&name).await.expect_err("a token for reading");
            assert_eq!(error.kind, kind, "{pushes:?}");
        }
    }
}

#[tokio::test]
async fn case_first_push_refused_also_for_pushing() {
    for (status, kind) in [(401, ErrorKind::Unauthorized), (403, ErrorKind::Denied)] {
        let server = Server::start(move |address, _, asked| {
            let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"s\"");
            Some(match asked.line.starts_with("GET /token") {
                true => Reply::new(200).body(r#"{"token": "t"}"#),
                false if asked.authorization.is_empty() => {
                    Reply::new(401).header("www-authenticate", &challenge)
                }
                false => Reply::new(status),
            })
        });
        let name = server.name("a/new:1");
        let registry = login(&server).pushing(Pushes::Below(server.address()));
        assert_eq!(registry.resolve(&name).await.map_err(|error| error.kind), Err(kind));
        let asked = server.lines();
        let tokens: Vec<_> = asked.iter().filter(|line| line.starts_with("GET /token")).collect();
        assert!(tokens.iter().all(|line| line.contains("pull%2Cpush")), "{tokens:?}");
    }
}

/// Two pages of tags, the first with these `Link` lines.
fn two_pages(lines: &'static [&'static str]) -> Server {
    Server::start(move |_, _, asked| {
        let page = |tags: &[&str]| Reply::new(200).body(&serde_json::json!({"tags": tags}).to_string());
        if asked.line.contains("last=b") {
            return Some(page(&["c", "d"]));
        }
        if asked.line.contains("last=d") {
            return Some(page(&[]));
        }
        Some(lines.iter().fold(page(&["a", "b"]), |page, line| page.header("link", line)))
    })
}

#[tokio::test]
async fn case_link_header_truncates_tags_over_http() {
    for lines in [
        &["</v2/r/tags/list?last=b&n=9>; rel=\"next\""][..],
        &["<https://proxy.example/>; rel=\"preconnect\"", "</v2/r/tags/list?last=b>; rel=\"next\""],
        &["</v2/r/tags/list?cursor=x,y&last=b>; rel=\"next\""],
        &["</v2/r/tags/list?last=b> ; title=\"a, b\"; rel = \"next last\""],
    ] {
        let tags = client(9).tags(&two_pages(lines).name("r")).await;
        assert_eq!(tags, Ok(["a", "b", "c", "d"].map(str::to_owned).to_vec()), "{lines:?}");
    }
    for lines in
        [&["</v2/r/tags/list?last=b; rel=next"][..], &["next page"], &["</v2/r/tags/list>; rel=next"]]
    {
        let error = client(9).tags(&two_pages(lines).name("r")).await.expect_err("no end is known");
        assert_eq!(error.kind, ErrorKind::Protocol);
        assert!(error.message.contains("Link header that cannot be read"), "{error}");
        // A full page goes on behind its last tag.
        let tags = client(2).tags(&two_pages(lines).name("r")).await;
        assert_eq!(tags.map(|tags| tags.len()), Ok(4), "{lines:?}");
    }
    let other = two_pages(&["</v2/r/tags/list?n=2>; rel=\"prev\""]);
    assert_eq!(client(9).tags(&other.name("r")).await.map(|tags| tags.len()), Ok(2));
}

#[tokio::test]
async fn entries_that_are_no_tags_are_left_out() {
    let server = Server::start(|_, _, _| {
        Some(Reply::new(200).body(r#"{"tags": ["1.0", "../x", "", "a b", "-x", "1\n2", "x&y", "é"]}"#))
    });
    assert_eq!(client(99).tags(&server.name("r")).await, Ok(vec!["1.0".to_owned()]));
}

#[tokio::test]
async fn a_list_of_referrers_comes_in_pages_too() {
    const TYPE: &str = "application/vnd.test";
    let (one, two) = (sha256(b"1"), sha256(b"2"));
    let expect = [one.clone(), two.clone()];
    for (link, whole) in [
        ("</v2/a/referrers/x?last=1>; rel=\"next\"", true),
        ("</v2/a/referrers/x?last=1; rel=\"next\"", false),
    ] {
        let (one, two) = (one.clone(), two.clone());
        let server = Server::start(move |_, _, asked| {
            let is_second = asked.line.contains("?last=1");
            let digest = if is_second { &two } else { &one };
            let entry = serde_json::json!({"digest": digest, "artifactType": TYPE});
            let body = serde_json::json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
            let reply = Reply::new(200).body(&body);
            Some(if is_second { reply } else { reply.header("link", link) })
        });
        let image = server.name(&format!("a@{}", sha256(b"x")));
        let found = client(9).referrers(&image, TYPE).await;
        match whole {
            true => assert!(found.expect("a list").iter().map(|found| &found.digest).eq(&expect)),
            false => assert_eq!(found.map_err(|error| error.kind), Err(ErrorKind::Protocol)),
        }
    }
}
