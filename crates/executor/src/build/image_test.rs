//! Runs the tests of a new image, each in its own container, before the image gets a tag.
//!
//! A test container has no capabilities, no network unless the test requests it, and bounded
//! memory, processes, time and output. Its output is reported line by line.

use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use plan::{Build, ImageTest, TestAction};

use crate::build::output_buffer::{OutputBuffer, OutputStream};
use crate::build::progress::ProgressEvent;
use crate::build::{BuildFailure, BuildUpdate};
use crate::cleanup::{OwnedResources, Resource};
use crate::engine::container::{ContainerExit, ContainerSpec, MEMORY};
use crate::engine::{Engine, EngineError, EngineErrorKind};
use crate::run::result::{Failure, TestResult, seconds};

/// How long to read output after its container has ended: bytes written before may still be in
/// flight.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The environment in which tests run.
pub(crate) struct ImageTestRunner<'a> {
    pub engine: &'a Engine,
    pub own: &'a OwnedResources,
    pub build: &'a Build,
    /// The position of the build in its plan.
    pub position: usize,
    /// `NAME=value`: proxies, for tests that have a network.
    pub proxies: Vec<String>,
}

/// The outcome of a test that could be run; environment errors are separate.
enum TestVerdict {
    Passed,
    Failed(String),
}

impl ImageTestRunner<'_> {
    /// Runs every test of the build, even after one failed, so that all failures are reported at
    /// once.
    pub(crate) async fn run(
        &self,
        image: &str,
        report: &mut (dyn FnMut(BuildUpdate) + Send),
    ) -> Result<(), BuildFailure> {
        let mut failed = Vec::new();
        for (number, test) in self.build.tests.iter().enumerate() {
            let (title, began) = (test.title(), Instant::now());
            report(BuildUpdate::TestStarted(title.clone()));
            let ended = self.one(image, number, test, report).await;
            let error = match &ended {
                Ok(TestVerdict::Passed) => None,
                Ok(TestVerdict::Failed(why)) => Some(why.clone()),
                Err(error) => Some(error.message.clone()),
            };
            report(BuildUpdate::TestFinished(TestResult {
                test: title.clone(),
                layer: test.layer.clone(),
                passed: error.is_none(),
                error: error.clone(),
                seconds: seconds(began.elapsed()),
            }));
            if let Err(error) = ended {
                let message = format!("the test {title} could not be run: {}", error.message);
                return Err(BuildFailure { failure: error.failure(Failure::Build), message });
            }
            failed.extend(error.map(|why| format!("{title}: {why}")));
        }
        let message = match failed.as_slice() {
            [] => return Ok(()),
            [one] => format!("the image was built, and its test failed: {one}"),
            [first, ..] => format!(
                "the image was built, and {} of its {} tests failed, the first: {first}",
                failed.len(),
                self.build.tests.len()
            ),
        };
        Err(BuildFailure { failure: Failure::Build, message })
    }

    async fn one(
        &self,
        image: &str,
        number: usize,
        test: &ImageTest,
        report: &mut (dyn FnMut(BuildUpdate) + Send),
    ) -> Result<TestVerdict, EngineError> {
        let number = format!("{}-{number}", self.position);
        let script = format!("image-builder-test-{number}");
        let command = match &test.action {
            TestAction::Run(words) => words.clone(),
            TestAction::Script { .. } => vec![format!("/{script}")],
        };
        let wanted = ContainerSpec {
            image,
            mark: &self.own.mark,
            number: &number,
            command: &command,
            network: test.network,
            user: test.user.as_deref(),
            environment: if test.network { self.proxies.clone() } else { Vec::new() },
        };
        let noted = Resource::Container(wanted.name());
        self.own.note(noted.clone());
        let container = self.engine.create(&wanted).await?;
        let ended = self.in_container(&container, &script, test, report).await;
        match self.own.remove(self.engine, &noted).await {
            // The test's outcome takes precedence; the end of the run tries again to remove the
            // container.
            Err(error) if error.kind == EngineErrorKind::ConnectionLost && ended.is_ok() => Err(error),
            _ => ended,
        }
    }

    async fn in_container(
        &self,
        container: &str,
        script: &str,
        test: &ImageTest,
        report: &mut (dyn FnMut(BuildUpdate) + Send),
    ) -> Result<TestVerdict, EngineError> {
        if let TestAction::Script { text, .. } = &test.action {
            self.engine.put(container, script, text).await?;
        }
        let output = self.engine.attach(container).await?;
        if let Err(error) = self.engine.start(container).await {
            return match error.kind {
                EngineErrorKind::ConnectionLost
                | EngineErrorKind::Timeout
                | EngineErrorKind::NoSpace
                | EngineErrorKind::Platform
                | EngineErrorKind::Truncated => Err(error),
                EngineErrorKind::NotFound | EngineErrorKind::Failed => {
                    Ok(TestVerdict::Failed(format!("it cannot be started: {}", error.message)))
                }
            };
        }
        let limit = Duration::from_secs(test.timeout);
        let mut printed = OutputBuffer::default();
        let mut reported = |lines: Vec<String>| {
            lines.into_iter().for_each(|line| report(BuildUpdate::Progress(ProgressEvent::Line(line))));
        };
        let ended =
            tokio::time::timeout(limit, self.follow(container, output, &mut printed, &mut reported)).await;
        let time_limit = printed.is_endless();
        reported(printed.rest());
        match ended {
            Err(_) => {
                let limit = humantime::format_duration(limit);
                Ok(TestVerdict::Failed(format!("it did not end within {limit}, and was ended")))
            }
            Ok(_) if time_limit => {
                Ok(TestVerdict::Failed("it printed more than 64 MiB, and was ended".to_owned()))
            }
            Ok(Ok(ended)) => Ok(verdict(ended)),
            Ok(Err(error)) => Err(error),
        }
    }

    /// Reads the output of a container until it has ended or exceeded the output limit.
    async fn follow(
        &self,
        container: &str,
        mut output: BoxStream<'static, Result<LogOutput, EngineError>>,
        printed: &mut OutputBuffer,
        reported: &mut (dyn FnMut(Vec<String>) + Send),
    ) -> Result<ContainerExit, EngineError> {
        const NOT_YET: ContainerExit = ContainerExit { code: -1, out_of_memory: false };
        let mut wait = std::pin::pin!(self.engine.wait(container));
        let mut ended = None;
        let last_words = tokio::time::sleep(Duration::MAX);
        let mut last_words = std::pin::pin!(last_words);
        let mut open = true;
        loop {
            tokio::select! {
                piece = output.next(), if open => match piece {
                    Some(Ok(piece)) => {
                        let (from, bytes) = match &piece {
                            LogOutput::StdErr { message } => (OutputStream::Stderr, message),
                            LogOutput::StdOut { message }
                            | LogOutput::StdIn { message }
                            | LogOutput::Console { message } => (OutputStream::Stdout, message),
                        };
                        reported(printed.take(from, bytes));
                        if printed.is_endless() {
                            return Ok(NOT_YET);
                        }
                    }
                    // Either the engine is gone or the container ended; the exit state decides.
                    Some(Err(_)) | None => open = false,
                },
                end = &mut wait, if ended.is_none() => {
                    ended = Some(end?);
                    last_words.as_mut().reset(tokio::time::Instant::now() + LAST_WORDS);
                }
                () = &mut last_words, if ended.is_some() => open = false,
            }
            if let (Some(ended), false) = (ended, open) {
                return Ok(ended);
            }
        }
    }
}

fn verdict(ended: ContainerExit) -> TestVerdict {
    let text = match ended {
        ContainerExit { out_of_memory: true, .. } => {
            format!("it exceeded its memory limit ({} GiB) and was killed", MEMORY >> 30)
        }
        ContainerExit { code: 0, .. } => return TestVerdict::Passed,
        ContainerExit { code: 126, .. } => "it exited with 126: a program cannot be executed".to_owned(),
        ContainerExit { code: 127, .. } => "it exited with 127: a program was not found".to_owned(),
        ContainerExit { code: code @ 129..=192, .. } => {
            let signal = code - 128;
            match signal_name(signal) {
                Some(name) => format!("it exited with {code}: signal {signal} ({name})"),
                None => format!("it exited with {code}: signal {signal}"),
            }
        }
        ContainerExit { code, .. } => format!("it exited with {code}"),
    };
    TestVerdict::Failed(text)
}

/// Names from signal(7) of the signals that end programs.
fn signal_name(signal: i64) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_in_words() {
        let reported = |code, out_of_memory| match verdict(ContainerExit { code, out_of_memory }) {
            TestVerdict::Passed => "passed".to_owned(),
            TestVerdict::Failed(why) => why,
        };
        for (code, out_of_memory, expect) in [
            (0, false, "passed"),
            (0, true, "it exceeded its memory limit (4 GiB) and was killed"),
            (137, true, "it exceeded its memory limit (4 GiB) and was killed"),
            (1, false, "it exited with 1"),
            (127, false, "it exited with 127: a program was not found"),
            (139, false, "it exited with 139: signal 11 (SIGSEGV)"),
            (162, false, "it exited with 162: signal 34"),
            (255, false, "it exited with 255"),
        ] {
            assert_eq!(reported(code, out_of_memory), expect);
        }
    }
}
