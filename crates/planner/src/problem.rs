//! What is wrong with a source tree, told so that it can be put right.

use std::fmt;

/// One thing that is wrong. The planner collects all that it can find before it gives up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File or directory below the source tree's root; `None` when it lies in a flag.
    pub file: Option<String>,
    /// Line in that file, counted from 1.
    pub line: Option<u32>,
    /// Column in that line, in characters, counted from 1.
    pub column: Option<u32>,
    /// A stable name of the kind of problem, in kebab case.
    pub code: &'static str,
    /// What is the matter, in lower case and without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn in_file(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: Some(file.into()), line: None, column: None, code, message: message.into(), help: None }
    }

    /// A problem of what was asked for.
    #[must_use]
    pub fn in_flags(code: &'static str, message: impl Into<String>) -> Self {
        Self { file: None, line: None, column: None, code, message: message.into(), help: None }
    }

    /// The same at a line.
    #[must_use]
    pub fn line(self, line: u32) -> Self {
        Self { line: Some(line), ..self }
    }

    /// The same at the line and column of a byte offset into the file's text.
    #[must_use]
    pub fn at(self, text: &str, offset: usize) -> Self {
        let before = text.get(..offset.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            line: Some(count(before.bytes().filter(|byte| *byte == b'\n').count() + 1)),
            column: Some(count(before[line_start..].chars().count() + 1)),
            ..self
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

impl fmt::Display for Problem {
    /// `file:line: message`, and the help on a line of its own.
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
