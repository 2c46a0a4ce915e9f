//! Redacts the texts of events and results. Names, tags and digests come from the plan or a
//! registry and stay as they are, because programs use them.

use image_contents::Move;

use super::Redactor;
use crate::run::result::{BuildResult, FailedAt, RunResult, TestResult};
use crate::{Event, RunError};

impl Redactor {
    /// Redacts an event. Output lines are not changed, since [`Lines`](super::Lines) redacted them
    /// already.
    pub(crate) fn event(&self, event: Event) -> Event {
        match event {
            Event::RunStarted { .. }
            | Event::Resolved { .. }
            | Event::BuildStarted { .. }
            | Event::ContextSent { .. }
            | Event::Output { .. }
            | Event::PushStarted { .. }
            | Event::Pushed { .. } => event,
            Event::Notice { message } => Event::Notice { message: self.text(&message) },
            Event::Step { id, name, cached } => Event::Step { id, name: self.text(&name), cached },
            Event::BuildFinished { id, outcome, seconds, error, log_tail, failed_at, log, at } => {
                let error = error.map(|error| self.text(&error));
                let failed_at = failed_at.map(|place| self.place(place));
                Event::BuildFinished { id, outcome, seconds, error, log_tail, failed_at, log, at }
            }
            Event::TestStarted { id, test } => Event::TestStarted { id, test: self.text(&test) },
            Event::TestFinished { id, test, passed, error, seconds } => {
                let error = error.map(|error| self.text(&error));
                Event::TestFinished { id, test: self.text(&test), passed, error, seconds }
            }
            Event::PushRetried { id, tag, attempts, error, wait } => {
                Event::PushRetried { id, tag, attempts, error: self.text(&error), wait }
            }
            Event::PushFailed { id, tag, error } => Event::PushFailed { id, tag, error: self.text(&error) },
            Event::RunFinished { result, path } => Event::RunFinished { result: self.result(result), path },
        }
    }

    /// Redacts a result.
    pub(crate) fn result(&self, result: RunResult) -> RunResult {
        let text = |text: Option<String>| text.map(|text| self.text(&text));
        let tests = |tests: Vec<TestResult>| {
            let test = |test: TestResult| TestResult {
                test: self.text(&test.test),
                error: text(test.error),
                ..test
            };
            tests.into_iter().map(test).collect()
        };
        let build = |build: BuildResult| BuildResult {
            error: text(build.error),
            tests: tests(build.tests),
            failed_at: build.failed_at.map(|place| self.place(place)),
            moved: build.moved.into_iter().map(|one| self.moved(one)).collect(),
            ..build
        };
        RunResult {
            error: text(result.error),
            builds: result.builds.into_iter().map(build).collect(),
            ..result
        }
    }

    /// Package names and versions may contain a secret.
    fn moved(&self, one: Move) -> Move {
        let texts = |texts: Vec<String>| texts.iter().map(|text| self.text(text)).collect();
        Move {
            place: self.text(&one.place),
            name: self.text(&one.name),
            from: texts(one.from),
            to: texts(one.to),
            ..one
        }
    }

    fn place(&self, place: FailedAt) -> FailedAt {
        FailedAt { instruction: self.text(&place.instruction), ..place }
    }

    /// Redacts an error.
    pub(crate) fn error(&self, error: RunError) -> RunError {
        error.map_texts(|text| self.text(text))
    }
}
