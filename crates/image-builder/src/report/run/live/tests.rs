//! The live view, as a terminal of a given size shows it.

use executor::FailedAt;
use indicatif::InMemoryTerm;
use plan::{BuildId, Kind};

use super::*;
use crate::report::run::sample::{plan, planned};

fn id(name: &str) -> BuildId {
    BuildId(name.to_owned())
}

fn started(name: &str) -> Event {
    Event::BuildStarted { id: id(name), kind: Kind::Science, log: String::new(), at: 0.0 }
}

fn step(name: &str, step: &str, cached: bool) -> Event {
    Event::Step { id: id(name), name: step.to_owned(), cached }
}

fn finished(name: &str, outcome: Outcome, seconds: f64) -> Event {
    Event::BuildFinished {
        id: id(name),
        outcome,
        seconds,
        error: None,
        log_tail: Vec::new(),
        failed_at: None,
        log: None,
        at: 0.0,
    }
}

/// Two chains, one of them in progress; `more` builds wait for the other.
fn watch(more: usize) -> RunView {
    let mut builds = vec![
        planned("science/base", &[]),
        planned("science/numerics", &["science/base"]),
        planned("science/fonts", &[]),
        planned("science/spectra", &["science/numerics", "science/fonts"]),
        planned("science/alone", &[]),
        planned("rel/spectra:1.0", &["science/spectra"]),
    ];
    let others: Vec<String> = (0..more).map(|number| format!("rel/other-{number}:1.0")).collect();
    builds.extend(others.iter().map(|id| planned(id, &["science/numerics"])));
    let mut watch = RunView::new(&plan(builds), Paint::Plain);
    let (run, builds) = ("r".to_owned(), Vec::new());
    let (engine, builder) = ("Docker 26".to_owned(), "buildkit".to_owned());
    watch.event(&Event::RunStarted { run, builds, jobs: 2, engine, builder }, 0.0);
    watch.event(&started("science/base"), 0.0);
    watch.event(&step("science/base", "[internal] load build definition", false), 0.5);
    watch.event(&step("science/base", "[1/2] FROM debian:12", true), 1.0);
    watch.event(&step("science/base", "[2/2] RUN apt-get update", false), 1.0);
    watch.event(&finished("science/base", Outcome::Built, 34.0), 34.0);
    watch.event(&started("science/fonts"), 0.0);
    watch.event(&Event::ContextSent { id: id("science/fonts"), bytes: 12_400_000 }, 35.0);
    watch.event(&started("science/numerics"), 34.0);
    let tag = "registry.example.org/x/sci/base:1.0-42-f90dbd6".to_owned();
    watch.event(&Event::PushStarted { id: id("science/base"), tag: tag.clone() }, 34.0);
    watch.event(&step("science/numerics", "[1/3] FROM sci/base:1.0", true), 35.0);
    watch.event(&step("science/numerics", "[2/3] COPY requirements.txt /", true), 35.0);
    let install = "[3/3] RUN pip install --no-cache-dir -r /requirements.txt && rm -r /root/.cache\x1b[2J";
    watch.event(&step("science/numerics", install, false), 36.0);
    watch.event(
        &Event::PushRetried { id: id("science/base"), tag, attempts: 1, error: "503".to_owned(), wait: 2.0 },
        40.0,
    );
    watch
}

#[test]
fn what_runs_what_waits_for_what_and_how_far_it_is() {
    let lines = watch(0).lines(99.0, 100, 40);
    insta::assert_snapshot!(lines.join("\n"), @"
    ⠴ science/base     pushing sci/base:1.0-42-f90dbd6: 1 failed, again in 2.0 s            1 min 05 s
    ⠴ science/numerics [3/3] RUN pip install --no-cache-dir -r /requ…  2 of 3 steps cached  1 min 05 s
    ⠴ science/fonts    context: 12.4 MB sent                                                1 min 39 s
      science/spectra  waits for science/numerics and science/fonts
      science/alone    waits for a place: 2 at a time
      rel/spectra:1.0  waits for science/spectra
    1 of 6 builds done, 1 min 39 s, 2 running, 1 pushing, 3 waiting, 3 of 5 steps cached
    slowest path: 1 min 39 s for science/base → science/numerics
    ");
}

#[test]
fn what_a_build_printed_last_is_shown_behind_its_step() {
    let mut watch = RunView::new(&plan(vec![planned("science/a", &[])]), Paint::Plain);
    let line = |watch: &RunView, width| watch.lines(5.0, width, 10)[0].clone();
    let printed = |line: &str| Event::Output { id: id("science/a"), line: line.to_owned() };
    watch.event(&started("science/a"), 0.0);
    watch.event(&Event::ContextSent { id: id("science/a"), bytes: 202 }, 0.1);
    assert_eq!(
        line(&watch, 80).trim_end(),
        "⠴ science/a context: 202 B sent                                          5.0 s"
    );
    watch.event(&step("science/a", "[2/3] RUN make", false), 1.0);
    // A context that is still being sent does not replace the running instruction.
    watch.event(&Event::ContextSent { id: id("science/a"), bytes: 203 }, 1.1);
    assert!(line(&watch, 80).starts_with("⠴ science/a [2/3] RUN make  "), "{}", line(&watch, 80));
    watch.event(&printed(" 10 %\r 20 % of x.c\x1b[2K\r\n"), 2.0);
    watch.event(&printed(" \r\n"), 2.0);
    assert!(
        line(&watch, 80).starts_with("⠴ science/a [2/3] RUN make | 20 % of x.c\\x1b[2K  "),
        "{}",
        line(&watch, 80)
    );
    // Both are shortened if there is no space.
    watch.event(&printed(&"y".repeat(500)), 2.0);
    for width in [20, 40, 60, 100] {
        assert!(line(&watch, width).chars().count() < width.max(21), "{width}: {}", line(&watch, width));
    }
    watch.event(&step("science/a", "[3/3] RUN x", false), 3.0);
    assert!(line(&watch, 80).starts_with("⠴ science/a [3/3] RUN x  "), "{}", line(&watch, 80));
}

#[test]
fn a_small_terminal_shows_what_there_is_room_for() {
    for (width, height) in [(60, 24), (60, 8), (20, 4), (0, 0), (200, 100)] {
        let lines = watch(30).lines(99.0, width, height);
        assert!(lines.len() < height.max(3), "{width}x{height}: {lines:#?}");
        for line in &lines {
            assert!(line.chars().count() < width.max(21), "{width}: {line:?}");
        }
    }
    insta::assert_snapshot!(watch(30).lines(99.0, 60, 9).join("\n"), @"
    ⠴ science/base     pushing sci/base:1.0-42-f9…  1 min 05 s
    ⠴ science/numerics [3/3] RUN pip install --no…  1 min 05 s
    ⠴ science/fonts    context: 12.4 MB sent        1 min 39 s
      science/spectra  waits for science/numerics and science/…
      science/alone    waits for a place: 2 at a time
      … and 31 more wait
    1 of 36 builds done, 1 min 39 s, 2 running, 1 pushing, 33 …
    slowest path: 1 min 39 s for science/base → science/numeri…
    ");
}

#[test]
fn a_run_at_its_end_waits_for_nothing() {
    let mut watch = watch(0);
    for (name, outcome) in [
        ("science/fonts", Outcome::Failed),
        ("science/numerics", Outcome::Built),
        ("science/spectra", Outcome::Skipped),
        ("rel/spectra:1.0", Outcome::Skipped),
        ("science/alone", Outcome::Reused),
    ] {
        watch.event(&finished(name, outcome, 0.0), 100.0);
    }
    let tag = String::new();
    watch.event(&Event::PushFailed { id: id("science/base"), tag, error: "403".to_owned() }, 100.0);
    insta::assert_snapshot!(watch.lines(100.0, 100, 40).join("\n"), @"6 of 6 builds done, 1 min 40 s, 1 reused, 1 failed, 2 skipped, 3 of 5 steps cached");
    assert_eq!(watch.cached(&id("science/numerics")), ", 2 of 3 steps cached");
    assert_eq!(watch.cached(&id("science/alone")), "");
}

#[test]
fn what_is_over_stands_above_the_live_lines() {
    let screen = InMemoryTerm::new(12, 80);
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    let watch = RunView::new(
        &plan(vec![planned("science/a", &[]), planned("science/b", &["science/a"])]),
        Paint::Plain,
    );
    let mut terminal = Terminal::on(target, watch, Detail::NONE, Paint::Plain, || (5.0, 80, 12));
    terminal.event(&started("science/a"));
    terminal.event(&step("science/a", "[1/1] RUN \x1b[2Jx", true));
    terminal.event(&finished("science/a", Outcome::Built, 12.0));
    terminal.event(&started("science/b"));
    terminal.event(&Event::BuildFinished {
        id: id("science/b"),
        outcome: Outcome::Failed,
        seconds: 1.0,
        error: Some("exit code: 1".to_owned()),
        log_tail: vec!["make: no".to_owned()],
        failed_at: Some(FailedAt { file: None, line: 1, instruction: "FROM x".to_owned() }),
        log: Some("runs/r/002.log".to_owned()),
        at: 13.0,
    });
    insta::assert_snapshot!(screen.contents(), @"
    science/a: built in 12 s, 1 of 1 step cached
    science/b: | make: no
    science/b: failed after 1.0 s: exit code: 1
    science/b: at line 1 of the Dockerfile, which is generated: FROM x
    science/b: whole log: runs/r/002.log
    2 of 2 builds done, 5.0 s, 1 failed, 1 of 1 step cached
    slowest path: 13 s for science/a → science/b
    ");
}
