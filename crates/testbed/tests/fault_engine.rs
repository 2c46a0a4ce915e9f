//! Private engines and small disks: they start, die and come again, and leave nothing. For root,
//! with `dockerd`.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use testbed::engine::{self, Options, PrivateEngine};
use testbed::http::{self, Response};
use testbed::mounts;
use testbed::orphans::Leftovers;
use testbed::process::{unique, wait_until};
use testbed::proxy::{From, Hits, Kind, Listen, Mode, Proxy, Rule, Upstream};
use testbed::registry::{Auth, PrivateRegistry};

/// Nothing here takes longer.
const BOUND: Duration = Duration::from_secs(60);
const BASE: &str = "docker.io/library/busybox:1.35";

fn post(host: &str, target: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/json")];
    http::ask(&Upstream::parse(host), "POST", target, &headers, body.as_bytes()).unwrap()
}

fn pull(host: &str) -> Response {
    post(host, "/images/create?fromImage=docker.io/library/busybox&tag=1.35", "")
}

/// Starts a container that sleeps, and returns its id.
fn sleeper(host: &str, label: &str) -> String {
    let body = format!(
        "{{\"Image\":\"{BASE}\",\"Cmd\":[\"sleep\",\"600\"],\"Labels\":{{\"{label}\":\"\"}},\"StopTimeout\":1,\"HostConfig\":{{\"NetworkMode\":\"none\"}}}}"
    );
    let made = post(host, "/containers/create", &body);
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["Id"].as_str().unwrap().to_owned();
    let started = post(host, &format!("/containers/{id}/start"), "");
    assert_eq!(started.status, 204, "{}", started.text());
    id
}

/// Processes, mounts, bridges and groups of engines that this process started.
fn traces(dir: &Path) -> Vec<String> {
    let dir = dir.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&dir) {
            found.push(format!("process {}", entry.file_name().display()));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    found.extend(mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned));
    found
}

fn bridges() -> usize {
    let ours = format!("tb{:x}x", std::process::id());
    let all = fs::read_dir("/sys/class/net").unwrap().flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours)).count()
}

/// One engine at a time: what this process leaves is counted.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock()
}

#[test]
fn a_killed_engine_leaves_nothing_and_comes_again_with_its_data() {
    let _alone = alone();
    let mut engine = PrivateEngine::start(Options::default());
    let (host, data) = (engine.host(), engine.data());
    let directory = data.parent().unwrap().to_owned();
    assert!(pull(&host).text().contains("Downloaded newer image"), "{}", engine.log());
    let label = format!("testbed-{}", unique());
    let leftovers = Leftovers::new().engine(&host, Some(&label));
    sleeper(&host, &label);
    assert_eq!(leftovers.found().len(), 1);
    assert_eq!(bridges(), 1);

    let times: Vec<_> = (0..3)
        .map(|_| {
            let start = Instant::now();
            engine.kill();
            assert!(!engine.lives() && !directory.join("pid").exists());
            assert_eq!(traces(&directory), Vec::<String>::new());
            engine.restart();
            assert_eq!(engine::images(&host), ["busybox:1.35"]);
            assert!(engine::containers(&host).iter().all(|one| one.state == "exited"), "nothing runs on");
            start.elapsed()
        })
        .collect();
    testbed::time_scale::record(
        "engine_restart",
        &serde_json::json!({"seconds": times.iter().map(Duration::as_secs_f64).collect::<Vec<_>>()}),
    );
    sleeper(&host, &label);
    engine.stop();
    assert_eq!(traces(&directory), Vec::<String>::new());
    drop(engine);
    assert!(!directory.exists(), "{}", directory.display());
    assert_eq!(bridges(), 0);
    let groups = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().flat_map(|hierarchy| {
        fs::read_dir(hierarchy.path()).into_iter().flatten().flatten().map(|group| group.path())
    });
    let ours = format!("p{:x}n", std::process::id());
    let left: Vec<_> = groups.filter(|path| path.to_string_lossy().contains(&ours)).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_engine_on_a_small_disk_says_that_it_is_full() {
    let _alone = alone();
    let engine = PrivateEngine::start(Options { disk: Some(16 << 20), ..Options::default() });
    assert!(pull(&engine.host()).text().contains("Downloaded newer image"), "{}", engine.log());
    // Fills the rest of the disk.
    let mut filler = fs::File::create(engine.data().join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
    let said = post(&engine.host(), "/images/busybox:1.35/tag?repo=other&tag=1", "");
    assert_eq!(said.status, 500, "{}", said.text());
    assert!(said.text().contains("no space left on device"), "{}", said.text());
}

#[test]
fn a_proxy_on_the_socket_kills_at_the_second_request() {
    let _alone = alone();
    let mut engine = PrivateEngine::start(Options::default());
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(Listen::Unix(dir.path().join("proxy.sock")), engine.upstream());
    let killer = engine.killer();
    proxy.rule(Rule::new("GET", "/*info", Hits::Nth(2), Mode::hook(move |_| killer())));
    let ask =
        || http::ask(&Upstream::parse(proxy.address()), "GET", "/info", &[], b"").map(|answer| answer.status);
    assert_eq!(ask().unwrap(), 200);
    // The signal may come while the answer is already under way.
    let _ = ask();
    assert!(wait_until(BOUND, || !engine.lives()));
    engine.restart();
    assert_eq!(ask().unwrap(), 200);
}

#[test]
fn an_engine_pushes_through_the_proxy_with_every_kind_of_request() {
    let _alone = alone();
    let engine = PrivateEngine::start(Options::default());
    let registry = PrivateRegistry::start(Auth::None);
    let proxy = Proxy::tcp(registry.address());
    let host = engine.host();
    assert!(pull(&host).text().contains("Downloaded newer image"), "{}", engine.log());
    let push = |name: &str, rule: Option<Rule>| {
        let rule = rule.map(|rule| proxy.rule(rule));
        let image = format!("{}/{name}", proxy.address());
        assert_eq!(post(&host, &format!("/images/busybox:1.35/tag?repo={image}&tag=1"), "").status, 201);
        let headers = [("X-Registry-Auth", "e30=")];
        let target = format!("/images/{image}/push?tag=1");
        let said = http::ask(&Upstream::parse(&host), "POST", &target, &headers, b"").unwrap();
        if let Some(rule) = rule {
            assert_eq!(proxy.taken(rule), 1, "{}", proxy.show());
            proxy.clear(rule);
        }
        said.text()
    };
    let said = push("a", None);
    assert!(said.contains("\"Digest\":\"sha256:"), "{said}\n{}", proxy.show());
    assert!(registry.view().digest("a", "1").is_some());
    let trace = proxy.trace();
    assert!(trace.iter().all(|seen| seen.from == From::Engine), "{}", proxy.show());
    // The read of the tag before it is written is ours; the engine does not need it.
    for kind in Kind::PUSH.into_iter().filter(|kind| *kind != Kind::ManifestHead) {
        let rule = Rule::on(kind, Hits::Nth(1), Mode::Pass);
        push(&format!("{kind:?}").to_lowercase(), Some(rule));
    }
    let refused = push(
        "refused",
        Some(Rule::on(Kind::ManifestPut, Hits::Nth(1), Mode::status(500)).from(From::Engine)),
    );
    assert!(refused.contains("error"), "{refused}");
    assert_eq!(registry.view().digest("refused", "1"), None);
}

#[test]
fn a_small_disk_is_full_and_a_read_only_one_takes_nothing() {
    let small = mounts::tmpfs(64 << 10);
    let error = fs::write(small.path().join("a"), vec![0; 100 << 10]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "text").unwrap();
    let mount = mounts::read_only(dir.path());
    let error = fs::write(dir.path().join("a"), "other").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "text");
    drop(mount);
    fs::write(dir.path().join("a"), "other").unwrap();
    let gone = small.path().to_owned();
    drop(small);
    assert!(!gone.exists());
}
