//! Summaries of runs, as text.

use super::*;
use crate::report::run::sample::{self, compared, ended, planned, result};

#[test]
fn a_table_the_names_what_went_wrong_and_a_sentence() {
    let (plan, result) = sample::run();
    insta::assert_snapshot!(text(&result, &plan, Some(".image-builder/runs/r/result.json"), Paint::Plain), @r"
    build         outcome   time      size    change  layers      tests
    science/base  reused          333.0 MB
    science/sky   built     34 s  333.0 MB  +12.3 MB  14, 9 kept  1 passed
    rel/sky:1.0   failed   3.0 s
    rel/sea:1.0   skipped                                                   rel/sky:1.0 failed
    change and layers: beside what the moving tag showed in the registry, compressed as it is stored there

    science/base
        registry.example.org/x/sci/base:1.0-2-abcdef0 (pushed)
        registry.example.org/x/sci/base:1.0 (pushed)
        sha256:0123
    science/sky
        registry.example.org/x/sci/sky:1.0-2-abcdef0 (pushed)
        registry.example.org/x/sci/sky:1.0 (pushed)
        sha256:0123

    rel/sky:1.0 failed: executor failed running [/bin/sh -c make | tee `log` <x>]: exit code: 2
      at compat/jupyter/Dockerfile:9
         9 | RUN make \
        10 |     | tee `log` <x>
      whole log: .image-builder/runs/20261120-120000-0a1b2c/003-rel-sky-1.0.log

    not done in 1 min 20 s: of 4 builds, 1 built, 1 reused, 1 failed, 1 skipped
    slowest path: 37 s for science/sky → rel/sky:1.0
    result: .image-builder/runs/r/result.json, logs beside it
    ");
}

#[test]
fn what_was_reused_is_not_said_to_be_built() {
    let build = planned("science/a", &[]);
    let kept = BuildResult {
        error: Some("sci/a:1.0 shows a newer build".to_owned()),
        ..ended(&build, Outcome::PushFailed)
    };
    let made = BuildResult { image_id: Some("sha256:1".to_owned()), seconds: 34.0, ..kept.clone() };
    let plan = sample::plan(vec![build]);
    insta::assert_snapshot!(text(&result(false, vec![kept, made]), &plan, None, Paint::Plain), @"
    build      outcome                     time  size  change  layers
    science/a  reused, moving tag not set
    science/a  built, not pushed           34 s

    science/a could not be pushed: sci/a:1.0 shows a newer build

    science/a could not be pushed: sci/a:1.0 shows a newer build

    not done in 1 min 20 s: of 2 builds, 1 built but not pushed, 1 reused without moving tag
    ");
}

#[test]
fn reuse_of_everything_is_said() {
    let builds = [planned("science/a", &[]), planned("science/b", &[])];
    let all = result(true, builds.iter().map(|build| ended(build, Outcome::Reused)).collect());
    let plan = sample::plan(builds.to_vec());
    let report = text(&all, &plan, None, Paint::Plain);
    assert!(report.ends_with("reused: all 2 builds were already in the registry\n"), "{report}");
    let some = result(true, vec![ended(&builds[0], Outcome::Reused), ended(&builds[1], Outcome::Built)]);
    let report = text(&some, &plan, None, Paint::Plain);
    assert!(report.ends_with("done in 1 min 20 s: of 2 builds, 1 built, 1 reused\n"), "{report}");
}

#[test]
fn a_run_that_did_not_begin_has_no_table() {
    let build = planned("science/a", &[]);
    let mut stopped = result(false, vec![ended(&build, Outcome::Cancelled)]);
    stopped.error = Some("no engine".to_owned());
    let report = text(&stopped, &sample::plan(vec![build]), None, Paint::Plain);
    assert_eq!(report, "not done in 1 min 20 s: of 1 build, 1 cancelled\n");
}

#[test]
fn changes_read_as_sums() {
    for (earlier, size, layers, shared, expect) in [
        (None, 5, 3, 0, "new / 3"),
        (Some(5), 5, 3, 3, "same size / 3, all kept"),
        (Some(1_000), 2_500, 3, 2, "+1.5 kB / 3, 2 kept"),
        (Some(3_000_000), 2_000_000, 3, 0, "-1.0 MB / 3, 0 kept"),
    ] {
        let compared = compared(earlier, size, layers, shared).unwrap();
        assert_eq!(format!("{} / {}", change(&compared), super::layers(&compared)), expect);
    }
}
