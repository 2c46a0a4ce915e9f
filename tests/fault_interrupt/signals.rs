//! SIGINT and SIGTERM: row 32.

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use testbed::command::{Program, Signal};
use testbed::process::wait_until;
use testbed::time_scale;
use testbed::tree::{BASE, Tree};

use crate::scene::{BOUND, Scene};

/// The time limit that the list of faults promises.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn row_32_signalled_at_random_instants_it_stops_soon_and_one_run_converges() {
    let seed = time_scale::seed();
    let (threads, rounds, signals) = time_scale::quick_or_long((2, 1, 4), (2, 10, 5));
    thread::scope(|scope| {
        for thread in 0..threads {
            let mut chance = seed.generator(100 + thread);
            scope.spawn(move || {
                let mut scene = Scene::new("signalled", 2);
                let usual = scene.converge().took;
                for _ in 0..rounds {
                    scene.commit();
                    for _ in 0..signals {
                        let (signal, code) =
                            if chance.bool() { (Signal::INT, 130) } else { (Signal::TERM, 143) };
                        let mut running = scene.program().spawn();
                        thread::sleep(usual.mul_f64(chance.f64() * 1.1));
                        running.signal(signal);
                        let sent = Instant::now();
                        let outcome = running.wait(BOUND);
                        assert!(sent.elapsed() < SOON, "{:?}\n{}", sent.elapsed(), outcome.said());
                        // If the signal comes before there is anything to stop, the default action
                        // ends the process; a shell shows the same exit code then.
                        let at_once = outcome.signal == Some(code - 128);
                        let stopped = outcome.code == Some(code) || outcome.code == Some(0);
                        assert!(at_once || stopped, "{outcome:?}");
                        scene.check();
                        scene.nothing_is_left();
                    }
                    scene.converge();
                }
            });
        }
    });
    let figures = serde_json::json!({ "signals": threads * rounds * signals, "violations": 0, "reruns": threads * rounds });
    time_scale::record("signals-at-random-instants", &figures);
}

fn waiting_tree() -> Tree {
    Tree::of(&format!(
        "//- /science/slow/Dockerfile\nFROM {BASE}\nRUN echo begun && sleep 300\n\
         //- /science/slow/sciserver-image.json\n{{\"image\": \"slow\", \"version\": \"1.0\", \"compat\": null}}\n"
    ))
}

#[test]
fn row_32_a_running_build_is_ended_and_told() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let tree = waiting_tree();
        let repo = format!("127.0.0.1:1/{}", testbed::process::unique());
        let program = Program::new(env!("CARGO_BIN_EXE_image-builder"), &tree);
        let mut running = program.args(["--all", "--repo", &repo, "-vv", "--no-cache"]).spawn();
        assert!(wait_until(BOUND, || running.said().contains("| begun")), "{}", running.said());
        running.signal(signal);
        let sent = Instant::now();
        let outcome = running.wait(BOUND).expect_code(code);
        assert!(sent.elapsed() < SOON);
        assert!(outcome.stderr.contains("cancelled"), "{}", outcome.stderr);
        let result = tree.last_result();
        assert_eq!(result["builds"][0]["outcome"], "cancelled", "{result}");
    }
}

/// A reader that reads nothing fills the pipe, so our output blocks. A first signal must end the
/// run soon nevertheless, a second one at once.
#[test]
fn row_32_nobody_who_reads_holds_up_the_end_and_a_second_signal_ends_it_at_once() {
    for signals in [1, 2] {
        let tree = Tree::of(&format!(
            "//- /science/loud/Dockerfile\nFROM {BASE}\nRUN yes '0123456789 0123456789 0123456789' | head -n 20000; sleep 300\n\
             //- /science/loud/sciserver-image.json\n{{\"image\": \"loud\", \"version\": \"1.0\", \"compat\": null}}\n"
        ));
        let repo = format!("127.0.0.1:1/{}", testbed::process::unique());
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_image-builder"))
            .args(["--all", "--repo", &repo, "--no-cache", "--progress", "json"])
            .current_dir(tree.root())
            .env("HOME", tree.home())
            .env("DOCKER_HOST", std::env::var_os("IMAGE_BUILDER_TEST_HOST").expect("run by cargo xtask test"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("the command runs");
        let mut stdout = child.stdout.take().expect("it is piped");
        let mut first = [0; 4096];
        stdout.read_exact(&mut first).expect("it speaks");
        // The pipe is full once the build's lines arrive, some time after its first ones.
        let log = || {
            let runs =
                std::fs::read_dir(tree.root().join(".image-builder/runs")).into_iter().flatten().flatten();
            let logs = runs.flat_map(|run| std::fs::read_dir(run.path()).into_iter().flatten().flatten());
            logs.filter_map(|file| file.metadata().ok()).map(|file| file.len()).max().unwrap_or(0)
        };
        assert!(wait_until(BOUND, || log() > 150_000), "the build's log has {} bytes", log());
        let pid =
            rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("not 0");
        let began = Instant::now();
        for _ in 0..signals {
            rustix::process::kill_process(pid, Signal::INT).expect("it runs");
            thread::sleep(Duration::from_millis(300));
        }
        let mut status = None;
        assert!(wait_until(SOON, || {
            status = child.try_wait().expect("it is ours");
            status.is_some()
        }));
        assert_eq!(status.and_then(|status| status.code()), Some(130));
        if signals == 2 {
            assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
        }
        drop(stdout);
    }
}
