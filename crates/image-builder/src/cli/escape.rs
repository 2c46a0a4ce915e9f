//! Escapes text from files, git, registry or engine so that it is safe to print.
//!
//! Terminals interpret control characters, bidirectional marks mislead readers, and CI systems
//! execute commands in a job's log. External text must not do any of this, so it is shown escaped.

use std::borrow::Cow;

pub(crate) use plan::escape_json;
use plan::{is_marked_command, misleads};

/// Escapes a part of a line: the result has no line end, no control character and no CI command.
///
/// Escapes are `\n`, `\t`, `\r`, `\x1b`, `\u{202e}`. A backslash stays unchanged: the result is for
/// people, and cannot be unescaped.
#[must_use]
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if is_safe(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let indent = text.len() - text.trim_start().len();
    for (at, c) in text.char_indices() {
        let rest = &text[at..];
        match c {
            // GitHub executes `::command::` at the start of a line, after optional white space.
            ':' if at == indent && rest.starts_with("::") => out.push_str("\\x3a"),
            // GitHub and Azure execute `##[…]` and `##vso[…]` anywhere, TeamCity `##teamcity[…]`.
            '#' if is_marked_command(rest) => out.push_str("\\x23"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if misleads(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Escapes a line of output: as [`escape`], without the line end or carriage return that ends it.
#[must_use]
pub(crate) fn escape_output(line: &str) -> Cow<'_, str> {
    escape(line.trim_end_matches(['\r', '\n']))
}

fn is_safe(text: &str) -> bool {
    !text.chars().any(|c| c.is_ascii_control() || misleads(c))
        && !text.contains("##")
        && !text.trim_start().starts_with("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_or_a_ci_system_would_obey_is_escaped() {
        for (text, expect) in [
            ("science/nist", "science/nist"),
            ("Größe — 水 ✓ \\n", "Größe — 水 ✓ \\n"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[31mred\x07\x7f\0", "\\x1b[31mred\\x07\\x7f\\x00"),
            ("a\u{202e}b\u{2066}c\u{200b}", "a\\u{202e}b\\u{2066}c\\u{200b}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("line\u{2028}end", "line\\u{2028}end"),
            ("::set-output name=a::b", "\\x3a:set-output name=a::b"),
            ("  ::add-mask::x", "  \\x3a:add-mask::x"),
            ("see std::io and [::1]:5000", "see std::io and [::1]:5000"),
            ("x ##vso[task.setvariable]y", "x \\x23#vso[task.setvariable]y"),
            ("##[error]x", "\\x23#[error]x"),
            ("###[error]x", "#\\x23#[error]x"),
            ("##teamcity[x]", "\\x23#teamcity[x]"),
            ("## a heading", "## a heading"),
            ("section_start:1:a\r\x1b[0K", "section_start:1:a\\r\\x1b[0K"),
        ] {
            assert_eq!(escape(text), expect, "{text:?}");
        }
    }

    #[test]
    fn output_lines_lose_their_end_only() {
        assert_eq!(escape_output("50%\r100%\r\n"), "50%\\r100%");
    }
}
