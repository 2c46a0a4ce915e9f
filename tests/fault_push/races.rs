//! Two concurrent runs, as on two machines: each has its own tree and its own address of the
//! registry, so they share no lock. Row 39.

use parking_lot::Mutex;
use std::thread;
use std::time::Duration;

use testbed::proxy::{From, Hits, Kind, Mode, Rule};
use testbed::registry::View;
use testbed::{process, time_scale};

use crate::scene::{BOUND, NAMES, Scene, shared_registry};

/// Returns an older and a newer commit for the same repo. Each clone knows only its own history.
fn two(name: &str) -> (Scene, Scene) {
    let (registry, path) = (shared_registry(), format!("{name}-{}", process::unique()));
    let older = Scene::at(&registry, View::new(&registry), &path);
    let mut newer = Scene::at(&registry, View::new(&registry), &path);
    newer.tree.change("science/base/data", "2");
    (older, newer)
}

/// Asserts that all moving tags show the newer build.
fn expect_newer(older: &Scene, newer: &Scene) {
    let builds = newer.shown(&newer.build_tag(2));
    assert!(builds.values().all(Option::is_some), "{builds:?}");
    let traces = || format!("older:\n{}\nnewer:\n{}", older.proxy.show(), newer.proxy.show());
    assert_eq!(newer.shown("1.0"), builds, "{}", traces());
}

#[test]
fn row_39_an_older_commit_never_moves_a_tag_that_a_newer_one_set() {
    let seed = time_scale::seed();
    let rounds = time_scale::quick_or_long(10, 100);
    let next = Mutex::new(0_u64);
    let conflicts = Mutex::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let round = {
                        let mut next = next.lock();
                        *next += 1;
                        *next
                    };
                    if round > rounds {
                        return;
                    }
                    let mut chance = seed.generator(round);
                    let (older, newer) = two("race");
                    for scene in [&older, &newer] {
                        for kind in [Kind::ManifestGet, Kind::ManifestHead, Kind::ManifestPut, Kind::Tags] {
                            let delay = Mode::Delay(Duration::from_millis(chance.u64(0..1500)));
                            let hits = Hits::Random(0.4, chance.u64(..));
                            scene.proxy.rule(Rule::on(kind, hits, delay).from(From::Us));
                        }
                    }
                    let first = older.program(&[]).spawn();
                    thread::sleep(Duration::from_millis(chance.u64(0..1500)));
                    let second = newer.program(&[]).spawn();
                    let (first, second) = (first.wait(BOUND), second.wait(BOUND).expect_code(0));
                    assert!(matches!(first.code, Some(0 | 6)), "{}\n{}", first.said(), second.said());
                    *conflicts.lock() += u32::from(first.code == Some(6));
                    expect_newer(&older, &newer);
                }
            });
        }
    });
    let conflicts = conflicts.into_inner();
    let figures =
        serde_json::json!({ "interleavings": rounds, "set back": 0, "told as conflicts": conflicts });
    time_scale::record("push-races", &figures);
}

#[test]
fn row_39_an_older_run_that_looked_first_and_set_last_sets_it_right() {
    let (older, newer) = two("late");
    // While the older run's change is in progress, the newer run starts and completes.
    let other = Mutex::new(Some(newer.program(&[])));
    let hook = Mode::hook(move |_| {
        let program = other.lock().take().expect("called once");
        let _ = program.run(BOUND).expect_code(0);
    });
    let path = format!("/v2/{}/sci/base/manifests/1.0", older.path);
    let rule = older.proxy.rule(Rule::new("PUT", &path, Hits::Nth(1), hook).from(From::Us));
    let outcome = older.program(&["--idle-timeout", "120s"]).run(BOUND).expect_code(6);
    assert_eq!(older.proxy.taken(rule), 1);
    assert!(outcome.said().contains("newer build"), "{}", outcome.said());
    expect_newer(&older, &newer);
}

#[test]
fn row_39_what_an_older_run_overwrote_is_set_again() {
    let (older, newer) = two("overwritten");
    let _ = older.program(&[]).run(BOUND).expect_code(0);
    let repository = format!("{}/{}", older.path, NAMES[0]);
    let old = older.view.manifest(&repository, "1.0").expect("just pushed");
    let kind = old.header("content-type").expect("it has one").to_owned();
    let (view, name) = (older.view.clone(), repository.clone());
    let hook = Mode::hook(move |_| view.put_manifest(&name, "1.0", &kind, &old.body));
    let path = format!("/v2/{repository}/manifests/1.0");
    let rule = newer.proxy.rule(Rule::new("HEAD", &path, Hits::Nth(1), hook).from(From::Us));
    let _ = newer.program(&[]).run(BOUND).expect_code(0);
    assert_eq!(newer.proxy.taken(rule), 1, "{}", newer.proxy.show());
    expect_newer(&older, &newer);
}
