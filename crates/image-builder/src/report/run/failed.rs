//! Shows a failed build: the engine's message, the source line, and the log.

use executor::{BuildResult, FailedAt, Outcome, RunResult};

use crate::cli::escape::{escape, escape_output};
use crate::report::text::format::Paint;

/// Formats the location of the failure: `compat/jupyter/Dockerfile:7`, or the line of the generated
/// Dockerfile.
pub(crate) fn place(failed: &FailedAt) -> String {
    match &failed.file {
        Some(file) => format!("{}:{}", escape(file), failed.line),
        None => format!("line {} of the Dockerfile, which is generated", failed.line),
    }
}

/// Returns the lines of the failed instruction, escaped, with their line numbers in the file.
pub(crate) fn numbered(failed: &FailedAt) -> Vec<(String, String)> {
    let number = |line: &str, number: u32| if line == "…" { String::new() } else { number.to_string() };
    let lines = failed.instruction.lines().zip(failed.line..);
    lines
        .map(|(line, at)| (number(line, at), escape_output(&line.replace('\t', "    ")).into_owned()))
        .collect()
}

/// Builds that failed or could not be pushed, in the plan's order.
pub(crate) fn builds(result: &RunResult) -> impl Iterator<Item = &BuildResult> {
    result.builds.iter().filter(|build| matches!(build.outcome, Outcome::Failed | Outcome::PushFailed))
}

/// The report of a failed build at the end of a run.
pub(crate) fn text(build: &BuildResult, paint: Paint) -> String {
    let what = if build.outcome == Outcome::Failed { "failed" } else { "could not be pushed" };
    let error = build.error.as_deref().unwrap_or("no error message");
    let mut out = format!("{} {}: {}\n", paint.bold(&escape(&build.id.0)), paint.red(what), escape(error));
    if let Some(failed) = &build.failed_at {
        out.push_str(&format!("  at {}\n", paint.bold(&place(failed))));
        let lines = numbered(failed);
        let width = lines.iter().map(|(number, _)| number.len()).max().unwrap_or(0);
        for (number, line) in lines {
            out.push_str(&format!("    {} {line}\n", paint.dim(&format!("{number:>width$} |"))));
        }
    }
    if let (Outcome::Failed, Some(log)) = (build.outcome, &build.log) {
        out.push_str(&format!("  whole log: {}\n", escape(log)));
    }
    out
}
