//! The engine is killed at random moments of runs that build and push everything: row 28,
//! repeatedly.

use std::thread;

use testbed::engine::{Options, PrivateEngine};
use testbed::time_scale;

use crate::scene::{BOUND, Scene};

#[test]
fn row_28_an_engine_killed_at_random_instants_nothing_is_wrong_and_one_run_converges() {
    let seed = time_scale::seed();
    let (threads, rounds, kills) = time_scale::quick_or_long((2, 1, 2), (2, 5, 5));
    let ends = thread::scope(|scope| {
        let threads = (0..threads).map(|thread| {
            let mut chance = seed.generator(thread);
            scope.spawn(move || campaign(|| chance.f64(), rounds, kills))
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("its assertions hold")).collect::<Vec<_>>()
    });
    let in_time = ends.iter().filter(|code| **code == 0).count();
    time_scale::record(
        "engine-kills",
        &serde_json::json!({
            "kills": ends.len(), "violations": 0, "reruns": threads * rounds,
            "runs that ended with 5": ends.len() - in_time, "runs that were done": in_time,
        }),
    );
}

/// Returns the exit codes of the runs whose engine was killed. `chance` returns values from 0 to 1.
fn campaign(mut chance: impl FnMut() -> f64, rounds: u64, kills: u64) -> Vec<i32> {
    let mut engine = PrivateEngine::start(Options::default());
    let mut scene = Scene::new("engine-killed", 2);
    scene.host = Some(engine.host());
    // The first run also pulls the base image, so the second one gives the usual duration.
    scene.converge();
    scene.commit();
    let usual = scene.converge().took;
    let mut ends = Vec::new();
    for round in 0..rounds {
        scene.commit();
        let builder = if round % 2 == 0 { "buildkit" } else { "classic" };
        let (mut hit, mut done) = (0, false);
        for _ in 0..kills * 10 {
            if hit == kills {
                break;
            }
            // After a complete run, a new commit gives the next run work to do.
            if done {
                scene.commit();
            }
            let mut running = scene.program().args(["--engine-wait", "0s", "--builder", builder]).spawn();
            thread::sleep(usual.mul_f64(chance()));
            // A kill counts only if the run was still in progress.
            let counts = running.lives();
            engine.kill();
            let outcome = running.wait(BOUND);
            scene.check();
            // Either the run finished in time, or it reports that the engine is gone; never a build
            // or push failure.
            let code = outcome.code.expect("it ends by itself");
            assert!(matches!(code, 0 | 5), "{code}: {}", outcome.said());
            done = code == 0;
            if counts {
                ends.push(code);
                hit += 1;
            }
            engine.restart();
            scene.check();
        }
        assert_eq!(hit, kills, "runs end too soon");
        scene.converge();
    }
    ends
}
