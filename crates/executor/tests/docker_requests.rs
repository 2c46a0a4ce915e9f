//! Counts the requests of a run to engine and registry, and the bytes that BuildKit fetches: files
//! of an earlier build are not sent again, and are never confused with other files.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod fixture;

use std::collections::BTreeMap;

use executor::{BuilderChoice, Event, Options, Outcome, Relation};
use fixture::{Lab, built, external};
use plan::{Build, BuildId, Context};
use testbed::proxy::{From, Listen, Proxy, Seen, Upstream};

const MIB: usize = 1024 * 1024;

/// Builds with this Dockerfile and these files, without the cache. Returns the number of bytes
/// sent, or the error.
async fn build(lab: &Lab, steps: &str, files: &[(&str, &[u8])]) -> Result<u64, String> {
    let plan = lab.plan(vec![lab.science("files", external(), steps)]);
    let entries = files.iter().map(|(path, contents)| lab.file(path, contents, false)).collect();
    let contexts = BTreeMap::from([(BuildId("science/files".into()), Context { entries })]);
    let options = Options { no_cache: true, ..lab.options() };
    let (result, events) = lab.run_with(&plan, contexts, &options, Relation::Ancestor).await;
    let result = result.unwrap();
    let built = &result.builds[0];
    match built.outcome {
        Outcome::Built => Ok(events.iter().filter_map(sent).next_back().unwrap()),
        _ => Err(built.error.clone().unwrap()),
    }
}

fn sent(event: &Event) -> Option<u64> {
    match event {
        Event::ContextSent { bytes, .. } => Some(*bytes),
        _ => None,
    }
}

/// A file that no earlier test sent: its end is unique.
fn large(lab: &Lab) -> Vec<u8> {
    let mut contents = vec![b'x'; MIB];
    contents.extend(lab.repo.as_bytes());
    contents
}

#[tokio::test]
async fn what_an_engine_has_of_an_earlier_build_is_not_sent_again() {
    let lab = Lab::new();
    let large = large(&lab);
    let files: [(&str, &[u8]); 2] = [("data/large", &large), ("z", b"1")];
    let first =
        build(&lab, "COPY . /c\nRUN test -s /c/data/large && test ! -e /c/Dockerfile", &files).await.unwrap();
    assert!(first > large.len() as u64, "{first}");
    let again = build(&lab, "COPY . /c\nRUN test -s /c/data/large # once more", &files).await.unwrap();
    assert!(again < 10_000, "{again} bytes");
    // Files that are not copied are not sent.
    let none =
        build(&lab, "COPY z /z\nRUN test ! -e /data", &[("data/large", &large), ("z", b"3")]).await.unwrap();
    assert!(none < 10_000, "{none} bytes");
}

/// All files have the same time, so the files of each pair here have equal size and time.
#[tokio::test]
async fn another_file_of_the_same_size_is_another_file() {
    let lab = Lab::new();
    let name = lab.repo.as_bytes();
    let (one, two) = ([name, b"-1"].concat(), [name, b"-2"].concat());
    let has =
        |end: &str, word: &str| format!("COPY . /c\nRUN grep -q -e '-{end}$' /c/a && test {word} = good");
    build(&lab, &has("1", "good"), &[("a", &one)]).await.unwrap();
    build(&lab, &has("2", "good"), &[("a", &two)]).await.unwrap();
    // The older file again, with another Dockerfile of the same length: the new Dockerfile is used.
    build(&lab, &has("1", "evil"), &[("a", &one)]).await.unwrap_err();
    build(&lab, &has("1", "good"), &[("a", &one)]).await.unwrap();
    // A link or an executable is not confused with a plain file of the same size.
    build(&lab, "COPY . /c\nRUN test ! -e /c/a && test -f /c/b", &[("b", &one)]).await.unwrap();
}

/// The plan has applied `.dockerignore`; BuildKit must not apply it again.
#[tokio::test]
async fn what_is_in_the_list_is_what_is_copied() {
    let lab = Lab::new();
    let files: [(&str, &[u8]); 3] = [(".dockerignore", b"*\n"), ("a", lab.repo.as_bytes()), ("d/e f", b"1")];
    build(
        &lab,
        "COPY . /c\nCOPY d/e* /d/\nRUN test ! -e /c/Dockerfile && test -f /c/a && test -f /c/.dockerignore && test -f '/d/e f'",
        &files,
    )
    .await
    .unwrap();
    let error = build(&lab, "COPY gone /c", &files).await.unwrap_err();
    assert!(error.contains("gone"), "{error}");
}

/// The number of requests of each kind, without names and ids.
fn counts(proxy: &Proxy) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for Seen { method, path, .. } in proxy.trace() {
        // The number of lookups of the base depends on earlier uses of this engine.
        if path.contains("busybox") {
            continue;
        }
        let path = path.strip_prefix("/v1.").map_or(path.as_str(), |rest| &rest[rest.find('/').unwrap()..]);
        let path = match path.strip_prefix("/images/") {
            Some("json") | None => path,
            Some(rest) if rest.ends_with("/json") => "/images/…/json",
            Some(rest) if rest.ends_with("/tag") => "/images/…/tag",
            Some(_) => "/images/…",
        };
        *counts.entry(format!("{method} {path}")).or_default() += 1;
    }
    counts
}

/// Most requests are cheap, but listing thousands of images takes nearly half a second.
#[tokio::test]
async fn an_engine_is_asked_for_what_is_needed_and_no_more() {
    let mut lab = Lab::new();
    let socket = lab.root.path().join("engine.sock");
    let proxy = Proxy::start(Listen::Unix(socket), Upstream::parse(&lab.host));
    let base = lab.science("base", external(), "RUN true");
    let leaf = lab.science("leaf", built(&base), "RUN true");
    let plan = lab.plan(vec![base, leaf.clone(), lab.compat(&leaf, "USER 0")]);
    let engine = std::mem::replace(&mut lab.host, proxy.address().to_owned());
    let result = lab.run(&plan, &lab.options()).await.unwrap();
    lab.host = engine;
    assert!(result.success, "{result:#?}");
    let expect = [
        // Once.
        ("GET /version", 1),
        ("GET /info", 1),
        ("GET /containers/json", 1),
        ("GET /images/json", 1),
        // For each build.
        ("GET /_ping", 3),
        ("POST /session", 3),
        ("POST /build", 3),
        ("POST /images/…/tag", 2 * 3),
        ("DELETE /images/…", 3),
        // The moving tag's previous image and the new image; for builds on our own base image, also
        // that base before and after.
        ("GET /images/…/json", 3 * 2 + 2 * 2),
    ];
    let expect: BTreeMap<String, usize> = expect.map(|(request, count)| (request.to_owned(), count)).into();
    assert_eq!(counts(&proxy), expect, "{}", proxy.show());
}

/// Six pushed builds, two at a time: each has one or two long requests and about ten short ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runs_requests_share_a_few_connections() {
    for builder in [BuilderChoice::BuildKit, BuilderChoice::Classic] {
        let mut lab = Lab::new();
        let socket = lab.root.path().join("engine.sock");
        let proxy = Proxy::start(Listen::Unix(socket), Upstream::parse(&lab.host));
        let base = lab.science("base", external(), "RUN true");
        let leaf = |number: u8| lab.science(&format!("leaf-{number}"), built(&base), "RUN true");
        let builds: Vec<Build> = (1..6).map(leaf).collect();
        let plan = lab.plan([vec![base], builds].concat());
        let engine = std::mem::replace(&mut lab.host, proxy.address().to_owned());
        let result = lab.run(&plan, &Options { builder, ..lab.pushing() }).await.unwrap();
        lab.host = engine;
        assert!(result.success, "{result:#?}");
        let trace = proxy.trace();
        // A session leaves HTTP, so it has its own connection. Connections are counted when they
        // open, with or without a request.
        let sessions = trace.iter().filter(|seen| seen.path.ends_with("/session")).count();
        let connections = trace.iter().map(|seen| seen.connection).max().unwrap() - sessions;
        assert!(trace.len() >= 60 && connections <= 10, "{connections} connections for {}", proxy.show());
    }
}

#[tokio::test]
async fn a_push_of_layers_that_the_registry_has_sends_the_configuration_only() {
    let mut lab = Lab::new();
    let (registry, path) = lab.repo.split_once('/').unwrap();
    let proxy = Proxy::tcp(registry);
    lab.repo = format!("{}/{path}", proxy.address());
    let mut plan = lab.plan(vec![lab.science("one", external(), "RUN head -c 100000 /dev/urandom > /data")]);
    assert!(lab.run(&plan, &lab.pushing()).await.unwrap().success);
    let first = lab.published(plan.builds[0].moving_tag()).await.unwrap();

    // The next commit, which does not change the layers.
    plan.revision.count = Some(8);
    plan.builds[0].tags.build = lab.sci("one", "1.0-8-0a1b2c3");
    plan.builds[0].labels.insert(format!("{}.science.one.version", fixture::PREFIX), "1.0-8-0a1b2c3".into());
    proxy.forget();
    assert!(lab.run(&plan, &lab.pushing()).await.unwrap().success);
    let second = lab.published(plan.builds[0].moving_tag()).await.unwrap();
    assert_ne!(first.config_digest, second.config_digest);
    let by_engine = |method: &str, part: &str| {
        let trace = proxy.trace().into_iter();
        trace
            .filter(|seen| seen.from == From::Engine && seen.method == method && seen.path.contains(part))
            .count()
    };
    assert_eq!(by_engine("POST", "/blobs/uploads/"), 1, "{}", proxy.show());
    // Each of the two layers once; the configuration before and after it was sent.
    assert!(by_engine("HEAD", "/blobs/") <= 2 + 2, "{}", proxy.show());
    assert_eq!(by_engine("GET", "/blobs/"), 0, "{}", proxy.show());
}
