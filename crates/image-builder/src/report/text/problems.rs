//! Formats problems and warnings: place, message, help.

use plan::Warning;
use planner::Problem;

use crate::cli::escape::escape;
use crate::report::text::format::{Paint, count};

/// Formats every problem, then their number.
pub(crate) fn problems(problems: &[Problem], paint: Paint) -> String {
    let mut out = String::new();
    for problem in problems {
        let place = place(problem.file.as_deref(), problem.line, problem.column);
        push(
            &mut out,
            &place,
            &paint.red("error"),
            &problem.message,
            problem.code,
            problem.help.as_deref(),
            paint,
        );
    }
    out.push_str(&format!("{} in the source tree or the flags\n", count(problems.len(), "problem")));
    out
}

/// Formats every warning.
pub(crate) fn warnings(warnings: &[Warning], paint: Paint) -> String {
    let mut out = String::new();
    for warning in warnings {
        let place = place(warning.file.as_deref(), warning.line, None);
        push(
            &mut out,
            &place,
            &paint.yellow("warning"),
            &warning.message,
            &warning.code,
            warning.help.as_deref(),
            paint,
        );
    }
    out
}

/// `file:line:column: `, as far as it is known.
pub(crate) fn place(file: Option<&str>, line: Option<u32>, column: Option<u32>) -> String {
    let Some(file) = file else { return String::new() };
    let mut place = escape(file).into_owned();
    for number in [line, line.and(column)].into_iter().flatten() {
        place.push_str(&format!(":{number}"));
    }
    place.push_str(": ");
    place
}

/// `file:line:column: error: message [code]`, as compilers write it, so that editors and CI find
/// the place.
fn push(
    out: &mut String,
    place: &str,
    level: &str,
    message: &str,
    code: &str,
    help: Option<&str>,
    paint: Paint,
) {
    out.push_str(&format!(
        "{place}{level}: {} {}\n",
        escape(message),
        paint.dim(&format!("[{}]", escape(code)))
    ));
    if let Some(help) = help {
        out.push_str(&help_lines(help));
    }
}

/// A message on one line.
pub(crate) fn message(text: &str) -> String {
    escape(text).into_owned()
}

/// A note that does not stop the run.
pub(crate) fn note(text: &str) -> String {
    format!("note: {}\n", escape(text))
}

/// A help text, which may have several lines.
pub(crate) fn help_lines(help: &str) -> String {
    let lines: Vec<_> = help.lines().map(escape).collect();
    format!("  help: {}\n", lines.join("\n        "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_tells_where_what_and_what_to_do() {
        let found = [
            Problem::in_file("descriptor-field", "science/a/sciserver-image.json", "unknown field `imag`")
                .at("{\n  \"imag\": 1\n}", 4)
                .help("did you mean `image`?\nfields are those of the specification"),
            Problem::in_file("bad-path", "science/\x1b[31m\n::x", "::error::x \u{202e}"),
            Problem::in_flags("no-such-layer", "`science/x` is not a layer"),
        ];
        insta::assert_snapshot!(problems(&found, Paint::Plain), @r"
        science/a/sciserver-image.json:2:3: error: unknown field `imag` [descriptor-field]
          help: did you mean `image`?
                fields are those of the specification
        science/\x1b[31m\n::x: error: \x3a:error::x \u{202e} [bad-path]
        error: `science/x` is not a layer [no-such-layer]
        3 problems in the source tree or the flags
        ");
    }

    #[test]
    fn warnings_look_alike() {
        let found = [Warning {
            file: Some("science/a/Dockerfile".to_owned()),
            line: Some(3),
            code: "bare-reference".to_owned(),
            message: "`nist:1.0` means a layer".to_owned(),
            help: Some("write `sci/nist:1.0`".to_owned()),
        }];
        insta::assert_snapshot!(warnings(&found, Paint::Plain), @"
        science/a/Dockerfile:3: warning: `nist:1.0` means a layer [bare-reference]
          help: write `sci/nist:1.0`
        ");
    }
}
