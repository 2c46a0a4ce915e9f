//! Writes the result of a run as JUnit XML: a test case for each build and each image test.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use executor::{BuildResult, Failure, Outcome, RunResult, TestResult};
use plan::{Build, BuildId, Plan};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::cli::escape::{escape, escape_output};
use crate::report::run::failed;
use crate::report::run::summary::outcome;

/// Returns the document. Control characters in text from images and registries are escaped.
pub(crate) fn text(result: &RunResult, plan: &Plan) -> String {
    let planned = |id: &BuildId| plan.builds.iter().find(|build| build.id == *id);
    let time = seconds(result.seconds);
    let started = SystemTime::UNIX_EPOCH + seconds(result.started);
    let mut suite = TestSuite::new("image-builder");
    suite.set_time(time).set_timestamp(DateTime::<Utc>::from(started));
    suite
        .add_test_cases(result.builds.iter().flat_map(|build| test_cases(build, planned(&build.id), result)));
    if let Some(error) = &result.error {
        suite.set_system_err(escape(error));
    }
    let mut report = Report::new("image-builder");
    report.set_time(time).add_test_suite(suite);
    report.to_string().expect("quick-junit writes to memory")
}

/// Durations of a result are finite in practice, and bounded here because a hostile clock could
/// make them anything.
fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.clamp(0.0, 1e11))
}

/// The test case of a build, then those of its image's tests, including tests that did not run.
fn test_cases(build: &BuildResult, planned: Option<&Build>, result: &RunResult) -> Vec<TestCase> {
    let mut own = test_case("build", &build.id.0, build.seconds, status(build, result));
    if let Some(file) = build.failed_at.as_ref().and_then(|failed| failed.file.as_ref()) {
        own.extra.insert("file".into(), escape(file).as_ref().into());
    }
    let mut cases = vec![own];
    for TestResult { test, passed, error, seconds, .. } in &build.tests {
        let status = if *passed {
            TestCaseStatus::success()
        } else {
            let message = error.as_deref().unwrap_or("it failed");
            non_success(NonSuccessKind::Failure, message, String::new())
        };
        cases.push(test_case(&build.id.0, test, *seconds, status));
    }
    let not_run = planned.iter().flat_map(|planned| planned.tests.iter().skip(build.tests.len()));
    cases.extend(not_run.map(|test| test_case(&build.id.0, &test.title(), 0.0, skipped("it was not run"))));
    cases
}

fn test_case(class: &str, name: &str, time: f64, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(escape(name).as_ref(), status);
    case.set_classname(escape(class).as_ref()).set_time(seconds(time));
    case
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(escape(message).as_ref());
    status
}

fn non_success(kind: NonSuccessKind, message: &str, description: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(escape(message).as_ref());
    if !description.is_empty() {
        status.set_description(description);
    }
    status
}

fn status(build: &BuildResult, result: &RunResult) -> TestCaseStatus {
    let error = build.error.as_deref();
    match build.outcome {
        Outcome::Built | Outcome::Reused => TestCaseStatus::success(),
        Outcome::Skipped => skipped(error.unwrap_or("skipped")),
        Outcome::Cancelled => {
            let message = result.error.as_deref().or(error);
            let message = message.unwrap_or("the run ended before this was done");
            non_success(NonSuccessKind::Error, message, String::new())
        }
        Outcome::Failed | Outcome::PushFailed => {
            let kind = match build.failure {
                Some(Failure::Environment) => NonSuccessKind::Error,
                Some(Failure::Build | Failure::Push | Failure::Conflict | Failure::Drift) | None => {
                    NonSuccessKind::Failure
                }
            };
            non_success(kind, error.unwrap_or(outcome(build).0), details(build))
        }
    }
}

fn details(build: &BuildResult) -> String {
    let mut lines = Vec::new();
    if let Some(failed) = &build.failed_at {
        lines.push(format!("at {}", failed::place(failed)));
        lines.extend(
            failed::numbered(failed).into_iter().map(|(number, line)| format!("{number:>6} | {line}")),
        );
        lines.push(String::new());
    }
    lines.extend(build.log_tail.iter().map(|line| escape_output(line).into_owned()));
    lines.extend(build.log.iter().map(|log| format!("whole log: {}", escape(log))));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use plan::{ImageTest, TestAction};

    use super::*;
    use crate::report::run::sample;

    #[test]
    fn a_case_for_each_build_and_each_test() {
        let (mut plan, result) = sample::run();
        let test = |layer: &str| ImageTest {
            layer: layer.to_owned(),
            action: TestAction::Run(vec!["true".to_owned()]),
            timeout: 60,
            network: false,
            user: None,
        };
        plan.builds[2].tests = vec![test("compat/jupyter")];
        let document = text(&result, &plan);
        roxmltree::Document::parse(&document).expect("XML");
        insta::assert_snapshot!(document, @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="image-builder" tests="6" skipped="2" failures="1" errors="0" time="80.000">
            <testsuite name="image-builder" tests="6" skipped="2" errors="0" failures="1" timestamp="2026-11-20T12:00:00.000+00:00" time="80.000">
                <testcase name="science/base" classname="build" time="0.000"/>
                <testcase name="science/sky" classname="build" time="34.000"/>
                <testcase name="python3 -c &apos;import astropy&apos;" classname="science/sky" time="0.500"/>
                <testcase name="rel/sky:1.0" classname="build" time="3.000" file="compat/jupyter/Dockerfile">
                    <failure message="executor failed running [/bin/sh -c make | tee `log` &lt;x&gt;]: exit code: 2">at compat/jupyter/Dockerfile:9
             9 | RUN make \
            10 |     | tee `log` &lt;x&gt;

        cc x.c
        ```\x1b[31m ]]&gt; error\u{202e}
        whole log: .image-builder/runs/20261120-120000-0a1b2c/003-rel-sky-1.0.log</failure>
                </testcase>
                <testcase name="true" classname="rel/sky:1.0" time="0.000">
                    <skipped message="it was not run"/>
                </testcase>
                <testcase name="rel/sea:1.0" classname="build" time="0.000">
                    <skipped message="rel/sky:1.0 failed"/>
                </testcase>
            </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn what_was_cut_off_is_no_success() {
        let build = sample::planned("science/<a>&\u{1b}\u{0}\"", &[]);
        let mut result = sample::result(false, vec![sample::ended(&build, Outcome::Cancelled)]);
        let plan = sample::plan(vec![build]);
        for error in [None, Some("no engine".to_owned())] {
            result.error = error.clone();
            let document = text(&result, &plan);
            let parsed = roxmltree::Document::parse(&document).expect("XML");
            let found = parsed.descendants().find(|node| node.has_tag_name("error")).expect("an error");
            let why = error.as_deref().unwrap_or("the run ended before this was done");
            assert_eq!(found.attribute("message"), Some(why));
            let suite = parsed.descendants().find(|node| node.has_tag_name("testsuite")).expect("a suite");
            assert_eq!((suite.attribute("tests"), suite.attribute("errors")), (Some("1"), Some("1")));
        }
    }
}
