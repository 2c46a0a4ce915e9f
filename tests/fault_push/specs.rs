//! Signals while build specs are being attached, after everything was pushed: row 55.

use std::fs;
use std::time::{Duration, Instant};

use testbed::command::Signal;
use testbed::process::wait_until;
use testbed::proxy::{From, Hits, Mode, Rule};

use crate::scene::{BOUND, Scene};

/// Time limit from the first signal to the end.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn row_55_a_signal_ends_the_attaching_of_specs_and_loses_nothing() {
    // A second signal may come after the end of the run, and of two simultaneous signals either may
    // arrive first.
    for (signals, codes) in [
        (&[Signal::INT][..], &[0][..]),
        (&[Signal::TERM], &[0]),
        (&[Signal::HUP], &[0]),
        (&[Signal::INT, Signal::INT], &[0, 130]),
        (&[Signal::INT, Signal::TERM], &[0, 130, 143]),
    ] {
        let scene = Scene::new("attaching");
        // The registry accepts images, and never responds to the artifact.
        let artifact = Rule::new("PUT", "/v2/*/manifests/sha256:*", Hits::Every, Mode::Silence);
        let rule = scene.proxy.rule(artifact.from(From::Us));
        let (summary, junit) = (scene.tree.home().join("summary.md"), scene.tree.home().join("junit.xml"));
        let files = [summary.to_str().expect("UTF-8"), junit.to_str().expect("UTF-8")];
        let mut running =
            scene.program(&["--summary", files[0], "--junit", files[1]]).hearing_hangups().spawn();
        let began = wait_until(BOUND, || scene.proxy.taken(rule) > 0);
        assert!(began, "{}\n{}", running.said(), scene.proxy.show());
        let sent = Instant::now();
        for signal in signals {
            running.signal(*signal);
        }
        let outcome = running.wait(BOUND);
        assert!(sent.elapsed() < SOON, "{:?}\n{}", sent.elapsed(), outcome.said());
        let is_expected = outcome.code.is_some_and(|code| codes.contains(&code));
        assert!(is_expected, "{:?}\n{}", outcome.code, outcome.said());
        if signals.len() == 1 {
            let said = "all that was planned is built and pushed; attaching build specs was interrupted";
            assert!(outcome.stderr.contains(said), "{}", outcome.said());
        }
        let read = |path| fs::read_to_string(path).expect("it was written");
        assert!(read(&summary).starts_with("## ✅ image-builder: "), "{}", read(&summary));
        assert!(read(&junit).contains("failures=\"0\""), "{}", read(&junit));
        scene.expect_all(1);
        assert!(scene.view.referrers(&format!("{}/sci/base", scene.path), &digest(&scene)).is_empty());
        // The next run attaches the missing spec.
        scene.proxy.clear_all();
        scene.program(&[]).run(BOUND).expect_code(0);
        assert_eq!(scene.view.referrers(&format!("{}/sci/base", scene.path), &digest(&scene)).len(), 1);
    }
}

fn digest(scene: &Scene) -> String {
    scene.shown("1.0")["sci/base"].clone().expect("it was pushed")
}
