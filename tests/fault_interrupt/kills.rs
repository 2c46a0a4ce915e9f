//! SIGKILL: rows 33 and 40.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;

use testbed::command::Signal;
use testbed::process::wait_until;
use testbed::proxy::{Hits, Listen, Mode, Proxy, Rule, Upstream};
use testbed::time_scale;

use crate::scene::{BOUND, Scene, shared_registry};

type Signaller = Box<dyn Fn(Signal) + Send + Sync>;

#[test]
fn row_33_killed_at_random_instants_nothing_is_wrong_and_one_run_converges() {
    let seed = time_scale::seed();
    let (threads, rounds, kills) = time_scale::quick_or_long((2, 1, 4), (3, 20, 5));
    thread::scope(|scope| {
        for thread in 0..threads {
            let mut chance = seed.generator(thread);
            scope.spawn(move || {
                let mut scene = Scene::new("killed", 2);
                let usual = scene.converge().took;
                for _ in 0..rounds {
                    scene.commit();
                    for _ in 0..kills {
                        let running = scene.program().spawn();
                        thread::sleep(usual.mul_f64(chance.f64() * 1.1));
                        let _ = running.kill();
                        scene.check();
                    }
                    scene.converge();
                }
            });
        }
    });
    let figures =
        serde_json::json!({ "kills": threads * rounds * kills, "violations": 0, "reruns": threads * rounds });
    time_scale::record("kills-at-random-instants", &figures);
}

/// Kills a run at its n-th request through a proxy, for some or all n.
fn at_each_request(name: &str, proxy: &Proxy, mut scene: Scene, host: Option<&str>) {
    let program = |scene: &Scene| match host {
        Some(host) => scene.program().host(host),
        None => scene.program(),
    };
    program(&scene).run(BOUND).expect_code(0);
    let requests = proxy.trace().len();
    assert!(requests > 10, "{name}: only {requests} requests");
    let step = time_scale::quick_or_long(requests.div_ceil(5), 1);
    let mut kills = 0;
    for nth in (1..=requests).step_by(step) {
        scene.commit();
        proxy.clear_all();
        let kill: Arc<OnceLock<Signaller>> = Arc::default();
        let hook = {
            let kill = Arc::clone(&kill);
            Mode::hook(move |_| {
                assert!(wait_until(BOUND, || kill.get().is_some()), "the program was started");
                kill.get().expect("just seen")(Signal::KILL);
            })
        };
        let rule = proxy.rule(Rule::new("*", "*", Hits::Nth(nth as u64), hook));
        let running = program(&scene).spawn();
        assert!(kill.set(Box::new(running.signaller())).is_ok(), "set once");
        let outcome = running.wait(BOUND);
        // The number of requests differs a little from run to run.
        if proxy.taken(rule) > 0 {
            assert_eq!(outcome.signal, Some(9), "{}", outcome.said());
            kills += 1;
        }
        proxy.clear_all();
        scene.check();
        scene.converge();
    }
    assert!(kills >= 3, "{name}: {kills} kills");
    time_scale::record(
        &format!("kills-at-each-request-to-the-{name}"),
        &serde_json::json!({
            "requests": requests, "kills": kills, "violations": 0,
        }),
    );
}

#[test]
fn row_40_killed_at_requests_to_the_registry_a_rerun_finishes() {
    let proxy = Proxy::tcp(&shared_registry());
    let mut scene = Scene::new("killed-push", 1);
    proxy.address().clone_into(&mut scene.registry);
    at_each_request("registry", &proxy, scene, None);
}

#[test]
fn row_33_killed_at_requests_to_the_engine_a_rerun_finishes() {
    let host = std::env::var("IMAGE_BUILDER_TEST_HOST").expect("run by cargo xtask test");
    let socket = host.strip_prefix("unix://").expect("the tests' engine has a socket");
    let scene = Scene::new("killed-build", 1);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let between = directory.path().join("between.sock");
    let proxy = Proxy::start(Listen::Unix(between), Upstream::Unix(Path::new(socket).to_owned()));
    let host = proxy.address().to_owned();
    at_each_request("engine", &proxy, scene, Some(&host));
}
