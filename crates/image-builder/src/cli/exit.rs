//! Exit codes, and the one place that maps an error to one.

use executor::engine::endpoint::EndpointError;
use executor::{Failure, RunError, RunErrorKind, RunResult};
use planner::Problem;
use planner::git::{ErrorKind, SourceError};

use crate::report::text::format::Paint;
use crate::report::text::problems::{self, help_lines};

/// Success, also if there was nothing to do.
pub(crate) const DONE: u8 = 0;
/// A defect of this program, including a panic.
pub(crate) const DEFECT: u8 = 1;
/// A usage error, an unknown revision, or a rejected source tree.
pub(crate) const USAGE: u8 = 2;
/// A build failed.
pub(crate) const BUILD: u8 = 3;
/// A push failed.
pub(crate) const PUSH: u8 = 4;
/// The environment: git, engine, registry, disk.
pub(crate) const ENVIRONMENT: u8 = 5;
/// Another run holds the lock, a build tag exists with other content, or a newer build is
/// published.
pub(crate) const CONFLICT: u8 = 6;
/// A check failed, for instance of `verify`.
pub(crate) const DOES_NOT_HOLD: u8 = 7;
/// SIGHUP.
pub(crate) const HUNG_UP: u8 = 129;
/// SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// SIGTERM.
pub(crate) const TERMINATED: u8 = 143;

/// The planner rejects the source tree or the request.
#[derive(Debug, thiserror::Error)]
#[error("{} problems", .0.len())]
pub(crate) struct InvalidTree(pub(crate) Vec<Problem>);

/// An error of the command itself, with its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CliError {
    code: u8,
    message: String,
    /// Lines below the message.
    list: Vec<String>,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CliError {
    fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), list: Vec::new(), help: None, source: None }
    }

    /// Exit code [`USAGE`].
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message)
    }

    /// Exit code [`ENVIRONMENT`].
    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(ENVIRONMENT, message)
    }

    /// Exit code [`CONFLICT`].
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(CONFLICT, message)
    }

    /// Exit code [`DOES_NOT_HOLD`].
    pub(crate) fn does_not_hold(message: impl Into<String>) -> Self {
        Self::new(DOES_NOT_HOLD, message)
    }

    /// An error with the exit code of a signal.
    pub(crate) fn interrupted(code: u8) -> Self {
        Self::new(code, "interrupted by a signal")
    }

    /// Adds lines below the message.
    pub(crate) fn list(self, list: Vec<String>) -> Self {
        Self { list, ..self }
    }

    /// Adds the cause, and keeps its type.
    pub(crate) fn caused_by(self, source: impl Into<anyhow::Error>) -> Self {
        let source = source.into().reallocate_into_boxed_dyn_error_without_backtrace();
        Self { source: Some(source), ..self }
    }

    /// Adds the help text.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Returns the exit code of an error: that of the first cause whose kind is known.
pub(crate) fn of_error(error: &anyhow::Error) -> u8 {
    let context = error.downcast_ref::<CliError>().map(|stop| stop.code);
    context.or_else(|| error.chain().find_map(of_cause)).unwrap_or(DEFECT)
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(stop) = cause.downcast_ref::<CliError>() {
        return Some(stop.code);
    }
    if let Some(error) = cause.downcast_ref::<SourceError>() {
        return Some(match error.kind() {
            ErrorKind::Usage => USAGE,
            ErrorKind::Environment => ENVIRONMENT,
        });
    }
    if let Some(error) = cause.downcast_ref::<RunError>() {
        return Some(match error.kind() {
            RunErrorKind::Refused => USAGE,
            RunErrorKind::Environment => ENVIRONMENT,
            RunErrorKind::Conflict => CONFLICT,
            RunErrorKind::Interrupted => INTERRUPTED,
        });
    }
    if cause.is::<EndpointError>() || cause.is::<registry::Error>() {
        return Some(ENVIRONMENT);
    }
    if cause.is::<InvalidTree>() || cause.is::<plan::PlanFormatError>() {
        return Some(USAGE);
    }
    cause.is::<std::io::Error>().then_some(ENVIRONMENT)
}

/// Returns the exit code of a finished run; for several failures, the one that is first in the
/// specification's list.
pub(crate) fn of_result(result: &RunResult) -> u8 {
    if result.success {
        return DONE;
    }
    let failed = |kind| result.builds.iter().any(|build| build.failure == Some(kind));
    [
        (Failure::Environment, ENVIRONMENT),
        (Failure::Conflict, CONFLICT),
        (Failure::Build, BUILD),
        (Failure::Push, PUSH),
        (Failure::Drift, DOES_NOT_HOLD),
    ]
    .into_iter()
    .find_map(|(kind, code)| failed(kind).then_some(code))
    // A result with neither success nor a failure is a defect of the executor.
    .unwrap_or(DEFECT)
}

/// Returns the text for stderr: the chain of causes on one line, then the help text.
pub(crate) fn text(error: &anyhow::Error, paint: Paint) -> String {
    if let Some(InvalidTree(found)) = error.downcast_ref::<InvalidTree>() {
        return problems::problems(found, paint);
    }
    let mut chain: Vec<String> = Vec::new();
    let words = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<RunError>() {
        Some(error) => error.message().to_owned(),
        None => cause.to_string(),
    };
    for cause in error.chain().map(words) {
        // libgit2 appends the module in which an error arose, which does not help a user.
        let cause = cause.split("; class=").next().unwrap_or_default();
        // Some libraries repeat their cause in their own text.
        if !chain.iter().any(|before| before.contains(cause)) {
            chain.push(cause.to_owned());
        }
    }
    let mut out = format!("{} {}\n", paint.red("error:"), problems::message(&chain.join(": ")));
    // A `CliError` that is anyhow's context is found only this way; any other is in the chain.
    let mut stops: Vec<&CliError> = error.downcast_ref::<CliError>().into_iter().collect();
    stops.extend(error.chain().filter_map(|cause| cause.downcast_ref::<CliError>()));
    let runs = error.chain().filter_map(|cause| cause.downcast_ref::<RunError>());
    let items = stops.iter().flat_map(|stop| &stop.list).chain(runs.flat_map(RunError::list));
    let mut items: Vec<&String> = items.collect();
    items.dedup();
    for item in items {
        out.push_str(&format!("  {}\n", problems::message(item)));
    }
    let mut helps: Vec<String> = stops.iter().filter_map(|stop| stop.help.clone()).collect();
    for cause in error.chain() {
        helps.extend(
            cause
                .downcast_ref::<SourceError>()
                .and_then(SourceError::help)
                .or_else(|| cause.downcast_ref::<RunError>().and_then(|e| e.help().map(str::to_owned)))
                .or_else(|| cause.downcast_ref::<EndpointError>().and_then(|e| e.help.clone()))
                .or_else(|| cause.downcast_ref::<registry::Error>().and_then(|e| e.help.clone())),
        );
    }
    helps.dedup();
    for help in helps {
        out.push_str(&help_lines(&help));
    }
    if of_error(error) == DEFECT {
        out.push_str(&help_lines("this is a defect of image-builder: please report it with what you typed"));
    }
    out
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use executor::{BuildResult, Outcome};
    use plan::{BuildId, Kind};

    use super::*;

    fn result(failures: &[Option<Failure>]) -> RunResult {
        RunResult {
            format_version: executor::run::result::FORMAT_VERSION.to_owned(),
            run: "r".to_owned(),
            commit: "0".repeat(40),
            repo: "localhost:5000/x".to_owned(),
            push: true,
            success: failures.iter().all(Option::is_none),
            started: 0.0,
            seconds: 1.0,
            error: None,
            builds: failures
                .iter()
                .map(|failure| {
                    let outcome = if failure.is_some() { Outcome::Failed } else { Outcome::Built };
                    let built = BuildResult::new(BuildId("science/a".to_owned()), Kind::Science, outcome);
                    BuildResult { failure: *failure, ..built }
                })
                .collect(),
        }
    }

    #[test]
    fn of_several_failures_the_order_of_the_specification_decides() {
        use Failure::{Build, Conflict, Drift, Environment, Push};
        for (failures, expect) in [
            (vec![], DONE),
            (vec![None, None], DONE),
            (vec![Some(Push)], PUSH),
            (vec![None, Some(Drift)], DOES_NOT_HOLD),
            (vec![Some(Drift), Some(Push)], PUSH),
            (vec![Some(Push), Some(Build)], BUILD),
            (vec![Some(Build), Some(Conflict), None], CONFLICT),
            (vec![Some(Conflict), Some(Push), Some(Environment), Some(Build)], ENVIRONMENT),
        ] {
            assert_eq!(of_result(&result(&failures)), expect, "{failures:?}");
        }
    }

    #[test]
    fn the_kind_of_an_error_decides_and_its_context_does_not() {
        let io = || std::io::Error::other("no space left on device");
        for (error, expect) in [
            (anyhow::Error::new(CliError::usage("x")).context("while y"), USAGE),
            (CliError::environment("x").into(), ENVIRONMENT),
            (InvalidTree(vec![Problem::in_flags("repo", "y")]).into(), USAGE),
            (Err::<(), _>(io()).context("cannot write plan.json").unwrap_err(), ENVIRONMENT),
            (anyhow::anyhow!("surprise"), DEFECT),
            (CliError::usage("x").caused_by(io()).into(), USAGE),
            (
                anyhow::Error::new(CliError::usage("x").caused_by(anyhow::Error::new(io()).context("y"))),
                USAGE,
            ),
            (anyhow::Error::new(io()).context(CliError::usage("x")).context("while y"), USAGE),
            (anyhow::Error::new(io()).context(CliError::does_not_hold("x").caused_by(io())), DOES_NOT_HOLD),
        ] {
            assert_eq!(of_error(&error), expect, "{error:?}");
        }
    }

    #[test]
    fn a_stop_is_found_wherever_it_is_in_the_chain() {
        let io = || std::io::Error::other("connection refused");
        let stop = || CliError::usage("no engine").list(vec!["tried a".to_owned()]).help("start it");
        let expect = "  tried a\n  help: start it\n";
        for (error, first) in [
            (anyhow::Error::new(stop()), "error: no engine\n"),
            (anyhow::Error::new(stop()).context("cannot look"), "error: cannot look: no engine\n"),
            (stop().caused_by(io()).into(), "error: no engine: connection refused\n"),
            (anyhow::Error::new(io()).context(stop()), "error: no engine: connection refused\n"),
            (
                anyhow::Error::new(io()).context(stop()).context("cannot look"),
                "error: cannot look: no engine: connection refused\n",
            ),
            (
                anyhow::Error::new(CliError::environment("cannot look").caused_by(stop())),
                "error: cannot look: no engine\n",
            ),
        ] {
            assert_eq!(text(&error, Paint::Plain), format!("{first}{expect}"));
        }
    }

    #[test]
    fn case_git_formats_without_remedy_each_cause_is_told_once() {
        let inner = std::io::Error::other("unsupported mandatory extension: 'sdir'; class=Index (10)");
        let error = CliError::environment("cannot read git's index: unsupported mandatory extension: 'sdir'");
        let error = anyhow::Error::new(error.caused_by(inner)).context("cannot read --root");
        assert_eq!(
            text(&error, Paint::Plain),
            "error: cannot read --root: cannot read git's index: unsupported mandatory extension: 'sdir'\n"
        );
    }

    #[test]
    fn an_error_is_one_line_and_a_help() {
        let error =
            anyhow::Error::new(CliError::usage("no `x`\n\x1b[1m").help("give `--x`")).context("cannot start");
        assert_eq!(
            text(&error, Paint::Plain),
            "error: cannot start: no `x`\\n\\x1b[1m\n  help: give `--x`\n"
        );
    }
}
