//! A problem in a source tree: code, position, message and help.

use std::fmt;
use std::ops::Range;

use plan::Span;

use crate::diagnostics::code;

/// In lines longer than this, in bytes, columns are not counted, since repeated counting is slow.
const LONG_LINE: usize = 10_000;

/// A problem. The planner collects all problems before it fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File or directory below the source tree's root; `None` for a problem of a flag.
    pub file: Option<String>,
    /// Line in that file, counted from 1.
    pub line: Option<u32>,
    /// Column in that line, in characters, counted from 1.
    pub column: Option<u32>,
    /// The number of marked characters from there, within the line; `None` if only the beginning is
    /// known.
    pub width: Option<u32>,
    /// A stable name of the kind of problem, in kebab case.
    pub code: &'static str,
    /// The message, in lower case and without a full stop.
    pub message: String,
    /// A suggested solution.
    pub help: Option<String>,
    /// A fix that needs no decision.
    pub fix: Option<Box<Edit>>,
}

/// A replacement of a part of a file's text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// The byte range in the file's text, byte order mark included.
    pub span: Span,
    /// The replacement.
    pub text: String,
}

impl Problem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn in_file(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: Some(file.into()), ..Self::in_flags(code, message) }
    }

    /// A problem of the request.
    #[must_use]
    pub fn in_flags(code: &'static str, message: impl Into<String>) -> Self {
        debug_assert!(code::summary(code).is_some(), "the code {code:?} is missing in planner::code::CODES");
        let message = message.into();
        Self { file: None, line: None, column: None, width: None, code, message, help: None, fix: None }
    }

    /// Sets the line.
    #[must_use]
    pub fn line(self, line: u32) -> Self {
        Self { line: Some(line), ..self }
    }

    /// Sets line and column from a byte offset into the file's text.
    #[must_use]
    pub fn at(self, text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = u32::try_from(before[line_start..].chars().count() + 1).unwrap_or(u32::MAX);
        Self { line: Some(line_of(text, offset)), column: Some(column), ..self }
    }

    /// Sets line, column and width from a byte range of the file's text. If the range crosses a
    /// line end, only the part in the first line is marked.
    #[must_use]
    pub fn span(self, text: &str, range: Range<usize>) -> Self {
        let meant = text.get(range.clone()).unwrap_or_default();
        let meant = meant.split(['\r', '\n']).next().unwrap_or_default();
        let width = u32::try_from(meant.chars().count()).ok().filter(|width| *width > 0);
        Self { width, ..self.at(text, range.start) }
    }

    /// As [`Problem::span`] if the line is known, for texts with many such positions. Leaves out
    /// the column far out in a very long line.
    #[must_use]
    pub(crate) fn span_in_line(self, text: &str, range: Range<usize>, line: u32) -> Self {
        let near = text.as_bytes()[..range.start.min(text.len())].iter().rev().take(LONG_LINE);
        match near.clone().position(|byte| *byte == b'\n').or((near.len() < LONG_LINE).then(|| near.len())) {
            None => Self { line: Some(line), ..self },
            Some(before) => {
                let start = range.start.min(text.len()) - before;
                let here = self.span(&text[start..], before..range.end.saturating_sub(start));
                Self { line: Some(line), ..here }
            }
        }
    }

    /// Sets the fix.
    #[must_use]
    pub fn fix(self, span: Span, text: impl Into<String>) -> Self {
        Self { fix: Some(Box::new(Edit { span, text: text.into() })), ..self }
    }

    /// Sets the help.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Returns the line of a byte offset into a text, counted from 1.
pub(crate) fn line_of(text: &str, offset: usize) -> u32 {
    let before = &text.as_bytes()[..offset.min(text.len())];
    u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).unwrap_or(u32::MAX)
}

impl fmt::Display for Problem {
    /// Writes `file:line: message`, and the help on a separate line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
                if let Some(column) = self.column {
                    write!(f, "{column}:")?;
                }
            }
            f.write_str(" ")?;
        }
        write!(f, "{} [{}]", self.message, self.code)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}
