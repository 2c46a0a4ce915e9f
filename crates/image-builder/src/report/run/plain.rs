//! Writes events as plain lines, one for each, prefixed by the build's id so that a log can be
//! searched.

use executor::{Event, Outcome};

use crate::cli::escape::{escape, escape_output};
use crate::report::run::failed;
use crate::report::text::format::{Paint, count, duration};

/// Selects additional lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Resolved references, and each tag that is pushed: `-v`.
    pub(crate) steps: bool,
    /// Output of builds: `-vv`, or `--logs`.
    pub(crate) output: bool,
}

impl Detail {
    /// No additional lines.
    pub(crate) const NONE: Self = Self { steps: false, output: false };
}

/// Returns the lines for an event, possibly none, each with its line end.
pub(crate) fn lines(event: &Event, detail: Detail, paint: Paint) -> String {
    match event {
        Event::RunStarted { run, builds, jobs, engine, builder } => format!(
            "run {}: {}, {jobs} at a time, on {} with {}\n",
            escape(run),
            count(builds.len(), "build"),
            escape(engine),
            escape(builder)
        ),
        Event::Notice { message } => format!("{} {}\n", paint.yellow("note:"), escape(message)),
        Event::Resolved { reference, exact } if detail.steps && reference != exact => {
            format!("resolved {} to {}\n", escape(reference), escape(exact))
        }
        Event::Resolved { .. } | Event::ContextSent { .. } | Event::RunFinished { .. } => String::new(),
        Event::BuildStarted { id, log, .. } => {
            format!("{}: build started, log: {}\n", escape(&id.0), escape(log))
        }
        Event::Step { id, name, cached } => {
            format!("{}: {}{}\n", escape(&id.0), escape_output(name), if *cached { " (cached)" } else { "" })
        }
        Event::Output { id, line } if detail.output => output_line(&id.0, line),
        Event::Output { .. } => String::new(),
        Event::BuildFinished { id, outcome, seconds, error, log_tail, failed_at, log, .. } => {
            let mut out: String = log_tail.iter().map(|line| output_line(&id.0, line)).collect();
            out.push_str(&format!("{}: {}", escape(&id.0), outcome_words(*outcome, paint)));
            match outcome {
                Outcome::Built | Outcome::PushFailed => out.push_str(&format!(" in {}", duration(*seconds))),
                Outcome::Failed | Outcome::Cancelled if *seconds > 0.0 => {
                    out.push_str(&format!(" after {}", duration(*seconds)));
                }
                Outcome::Failed | Outcome::Cancelled | Outcome::Reused | Outcome::Skipped => {}
            }
            if let Some(error) = error {
                out.push_str(&format!(": {}", escape(error)));
            }
            out.push('\n');
            if let Some(failed) = failed_at {
                let first = failed.instruction.lines().next().unwrap_or_default();
                let instruction = escape_output(first);
                out.push_str(&format!("{}: at {}: {instruction}\n", escape(&id.0), failed::place(failed)));
            }
            if let (Outcome::Failed, Some(log)) = (outcome, log) {
                out.push_str(&format!("{}: whole log: {}\n", escape(&id.0), escape(log)));
            }
            out
        }
        Event::TestStarted { id, test } => format!("{}: test {}\n", escape(&id.0), escape(test)),
        Event::TestFinished { passed: true, .. } => String::new(),
        Event::TestFinished { id, test, error, seconds, .. } => {
            let error = error.as_deref().map_or(String::new(), |error| format!(": {}", escape(error)));
            let (id, test, after) = (escape(&id.0), escape(test), duration(*seconds));
            format!("{id}: {} {test} after {after}{error}\n", paint.red("failed test"))
        }
        Event::PushRetried { id, tag, attempts, error, wait } => format!(
            "{}: {} of {}, attempt {attempts}: {}; again in {}\n",
            escape(&id.0),
            paint.yellow("failed push"),
            escape(tag),
            escape(error),
            duration(*wait)
        ),
        Event::PushStarted { id, tag } => format!("{}: pushing {}\n", escape(&id.0), escape(tag)),
        Event::Pushed { id, tag, digest, seconds } => format!(
            "{}: pushed {} as {} in {}\n",
            escape(&id.0),
            escape(tag),
            escape(digest),
            duration(*seconds)
        ),
        Event::PushFailed { id, tag, error } => {
            format!("{}: {} {}: {}\n", escape(&id.0), paint.red("could not push"), escape(tag), escape(error))
        }
    }
}

/// How a build ended, in words.
pub(crate) fn outcome_words(outcome: Outcome, paint: Paint) -> String {
    match outcome {
        Outcome::Built => paint.green("built"),
        Outcome::Reused => paint.green("reused"),
        Outcome::Failed => paint.red("failed"),
        Outcome::PushFailed => paint.red("built, not pushed"),
        Outcome::Skipped => paint.yellow("skipped"),
        Outcome::Cancelled => paint.yellow("cancelled"),
    }
}

fn output_line(id: &str, line: &str) -> String {
    format!("{}: | {}\n", escape(id), escape_output(line))
}

#[cfg(test)]
mod tests {
    use executor::FailedAt;
    use plan::{BuildId, Kind};

    use super::*;

    fn id() -> BuildId {
        BuildId("science/nist".to_owned())
    }

    fn run() -> Vec<Event> {
        let tag = "localhost:5000/x/sci/nist:1.0-42-f90dbd6".to_owned();
        vec![
            Event::RunStarted {
                run: "20261120T120000Z-1".to_owned(),
                builds: vec![id()],
                jobs: 2,
                engine: "Docker 26.1.5".to_owned(),
                builder: "buildkit".to_owned(),
            },
            Event::Resolved { reference: "debian:12".to_owned(), exact: "debian:12@sha256:0".to_owned() },
            Event::BuildStarted { id: id(), kind: Kind::Science, log: "l".to_owned(), at: 0.0 },
            Event::ContextSent { id: id(), bytes: 12 },
            Event::Step { id: id(), name: "[2/5] RUN true".to_owned(), cached: true },
            Event::Output { id: id(), line: "::error::50%\r\x1b[1m\r\n".to_owned() },
            Event::BuildFinished {
                id: id(),
                outcome: Outcome::Built,
                seconds: 34.2,
                error: None,
                log_tail: Vec::new(),
                failed_at: None,
                log: None,
                at: 35.0,
            },
            Event::PushStarted { id: id(), tag: tag.clone() },
            Event::Pushed { id: id(), tag: tag.clone(), digest: "sha256:00".to_owned(), seconds: 0.3 },
            Event::PushFailed { id: id(), tag, error: "503 after 3 attempts".to_owned() },
            Event::BuildFinished {
                id: id(),
                outcome: Outcome::Failed,
                seconds: 3.0,
                error: Some("`RUN make` exited with 2".to_owned()),
                log_tail: vec!["cc x.c".to_owned(), "error".to_owned()],
                failed_at: Some(FailedAt {
                    file: Some("compat/web/Dockerfile".to_owned()),
                    line: 7,
                    instruction: "RUN make \\\n  install".to_owned(),
                }),
                log: Some("runs/r/001.log".to_owned()),
                at: 40.0,
            },
            Event::BuildFinished {
                id: id(),
                outcome: Outcome::Skipped,
                seconds: 0.0,
                error: Some("science/a failed".to_owned()),
                log_tail: Vec::new(),
                failed_at: None,
                log: None,
                at: 40.0,
            },
        ]
    }

    #[test]
    fn a_run_reads_as_a_log() {
        let report: String = run().iter().map(|event| lines(event, Detail::NONE, Paint::Plain)).collect();
        insta::assert_snapshot!(report, @r"
        run 20261120T120000Z-1: 1 build, 2 at a time, on Docker 26.1.5 with buildkit
        science/nist: build started, log: l
        science/nist: [2/5] RUN true (cached)
        science/nist: built in 34 s
        science/nist: pushing localhost:5000/x/sci/nist:1.0-42-f90dbd6
        science/nist: pushed localhost:5000/x/sci/nist:1.0-42-f90dbd6 as sha256:00 in 0.3 s
        science/nist: could not push localhost:5000/x/sci/nist:1.0-42-f90dbd6: 503 after 3 attempts
        science/nist: | cc x.c
        science/nist: | error
        science/nist: failed after 3.0 s: `RUN make` exited with 2
        science/nist: at compat/web/Dockerfile:7: RUN make \
        science/nist: whole log: runs/r/001.log
        science/nist: skipped: science/a failed
        ");
    }

    #[test]
    fn more_is_told_when_asked_for() {
        let report: String = run()[1..6]
            .iter()
            .map(|event| lines(event, Detail { steps: true, output: true }, Paint::Plain))
            .collect();
        insta::assert_snapshot!(report, @r"
        resolved debian:12 to debian:12@sha256:0
        science/nist: build started, log: l
        science/nist: [2/5] RUN true (cached)
        science/nist: | \x3a:error::50%\r\x1b[1m
        ");
    }
}
