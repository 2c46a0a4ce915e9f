//! Writes the result of a run as JUnit XML: a test case for each build and each image test.
//!
//! Own code rather than a library: a few elements, whose texts were written by others and have to be made safe first.

use std::time::{Duration, SystemTime};

use executor::{BuildResult, Failure, Outcome, RunResult, TestResult};
use plan::{Build, BuildId, Plan};

use crate::cli::escape::{escape, escape_output, escape_xml};
use crate::report::run::failed;
use crate::report::run::summary::outcome;

/// How a testcase ended.
enum Verdict {
    Passed,
    Skipped(String),
    /// Element, message, text.
    Bad(&'static str, String, String),
}

struct Case {
    class: String,
    name: String,
    file: Option<String>,
    seconds: f64,
    verdict: Verdict,
}

/// The document.
pub(crate) fn text(result: &RunResult, plan: &Plan) -> String {
    let planned = |id: &BuildId| plan.builds.iter().find(|build| build.id == *id);
    let cases: Vec<Case> =
        result.builds.iter().flat_map(|build| cases(build, planned(&build.id), result)).collect();
    let of = |wanted: &str| {
        let is = |case: &&Case| match &case.verdict {
            Verdict::Passed => false,
            Verdict::Skipped(_) => wanted == "skipped",
            Verdict::Bad(element, ..) => *element == wanted,
        };
        cases.iter().filter(is).count()
    };
    let sums = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
        cases.len(),
        of("failure"),
        of("error"),
        of("skipped"),
        result.seconds
    );
    let began = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(result.started.clamp(0.0, 1e11));
    let began = humantime::format_rfc3339_seconds(began).to_string();
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"image-builder\" {sums}>\n  \
         <testsuite name=\"image-builder\" {sums} timestamp=\"{}\">\n",
        began.trim_end_matches('Z')
    );
    for case in &cases {
        push_case(&mut out, case);
    }
    if let Some(error) = &result.error {
        out.push_str(&format!("    <system-err>{}</system-err>\n", escape_xml(&escape(error))));
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

/// A build's own testcase, and those of its image's tests, the ones that did not run too.
fn cases(build: &BuildResult, planned: Option<&Build>, result: &RunResult) -> Vec<Case> {
    let mut cases = vec![Case {
        class: "build".to_owned(),
        name: build.id.0.clone(),
        file: build.failed_at.as_ref().and_then(|failed| failed.file.clone()),
        seconds: build.seconds,
        verdict: verdict(build, result),
    }];
    let case = |test: &str, seconds, verdict| Case {
        class: build.id.0.clone(),
        name: test.to_owned(),
        file: None,
        seconds,
        verdict,
    };
    for TestResult { test, passed, error, seconds, .. } in &build.tests {
        let why = || error.clone().unwrap_or_else(|| "it failed".to_owned());
        let verdict = if *passed { Verdict::Passed } else { Verdict::Bad("failure", why(), String::new()) };
        cases.push(case(test, *seconds, verdict));
    }
    let unrun = planned.iter().flat_map(|planned| planned.tests.iter().skip(build.tests.len()));
    cases.extend(unrun.map(|test| case(&test.title(), 0.0, Verdict::Skipped("it was not run".to_owned()))));
    cases
}

fn verdict(build: &BuildResult, result: &RunResult) -> Verdict {
    let error = build.error.clone();
    match build.outcome {
        Outcome::Built | Outcome::Reused => Verdict::Passed,
        Outcome::Skipped => Verdict::Skipped(error.unwrap_or_else(|| "skipped".to_owned())),
        Outcome::Cancelled => {
            let why = result.error.clone().or(error);
            let why = why.unwrap_or_else(|| "the run ended before this was done".to_owned());
            Verdict::Bad("error", why, String::new())
        }
        Outcome::Failed | Outcome::PushFailed => {
            let element = match build.failure {
                Some(Failure::Environment) => "error",
                Some(Failure::Build | Failure::Push | Failure::Conflict | Failure::Drift) | None => "failure",
            };
            Verdict::Bad(element, error.unwrap_or_else(|| outcome(build).0.to_owned()), details(build))
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

fn push_case(out: &mut String, case: &Case) {
    let attribute = |text: &str| escape_xml(&escape(text));
    let file = case.file.iter().map(|file| format!(" file=\"{}\"", attribute(file))).collect::<String>();
    out.push_str(&format!(
        "    <testcase classname=\"{}\" name=\"{}\"{file} time=\"{:.3}\"",
        attribute(&case.class),
        attribute(&case.name),
        case.seconds
    ));
    match &case.verdict {
        Verdict::Passed => out.push_str("/>\n"),
        Verdict::Skipped(why) => {
            out.push_str(&format!(">\n      <skipped message=\"{}\"/>\n    </testcase>\n", attribute(why)));
        }
        Verdict::Bad(element, message, text) => out.push_str(&format!(
            ">\n      <{element} message=\"{}\">{}</{element}>\n    </testcase>\n",
            attribute(message),
            escape_xml(text)
        )),
    }
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
        <testsuites name="image-builder" tests="6" failures="1" errors="0" skipped="2" time="80.000">
          <testsuite name="image-builder" tests="6" failures="1" errors="0" skipped="2" time="80.000" timestamp="2026-11-20T12:00:00">
            <testcase classname="build" name="science/base" time="0.000"/>
            <testcase classname="build" name="science/sky" time="34.000"/>
            <testcase classname="science/sky" name="python3 -c &#39;import astropy&#39;" time="0.500"/>
            <testcase classname="build" name="rel/sky:1.0" file="compat/jupyter/Dockerfile" time="3.000">
              <failure message="executor failed running [/bin/sh -c make | tee `log` &lt;x&gt;]: exit code: 2">at compat/jupyter/Dockerfile:9
             9 | RUN make \
            10 |     | tee `log` &lt;x&gt;

        cc x.c
        ```\x1b[31m ]]&gt; error\u{202e}
        whole log: .image-builder/runs/20261120-120000-0a1b2c/003-rel-sky-1.0.log</failure>
            </testcase>
            <testcase classname="rel/sky:1.0" name="true" time="0.000">
              <skipped message="it was not run"/>
            </testcase>
            <testcase classname="build" name="rel/sea:1.0" time="0.000">
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
