//! Errors that stop a run as a whole.

use crate::run::result::RunResult;

/// Why a run stopped. Failures of single builds are in its result instead.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}{}", .list.iter().map(|item| format!("\n  {item}")).collect::<String>())]
pub struct RunError {
    kind: RunErrorKind,
    message: String,
    list: Vec<String>,
    help: Option<String>,
    result: Option<Box<RunResult>>,
}

/// Decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunErrorKind {
    /// The request is invalid.
    Refused,
    /// Engine, registry or disk.
    Environment,
    /// Another run holds the lock, a build tag exists with other content, or a newer build is
    /// published.
    Conflict,
    /// The run was cancelled before its first build.
    Interrupted,
}

impl From<registry::Error> for RunError {
    /// Converts the error of a registry that gave no usable answer.
    fn from(error: registry::Error) -> Self {
        Self { help: error.help, ..Self::environment(error.message) }
    }
}

impl RunError {
    pub(crate) fn new(kind: RunErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), list: Vec::new(), help: None, result: None }
    }

    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(RunErrorKind::Refused, message)
    }

    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(RunErrorKind::Environment, message)
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(RunErrorKind::Conflict, message)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(RunErrorKind::Interrupted, "the run was interrupted before its first build")
    }

    pub(crate) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds the items that the message refers to, one per line.
    pub(crate) fn with_list(self, list: Vec<String>) -> Self {
        Self { list, ..self }
    }

    pub(crate) fn with_result(self, result: RunResult) -> Self {
        Self { result: Some(Box::new(result)), ..self }
    }

    /// Applies `change` to the message, the list and the help, but not to the result.
    pub(crate) fn map_texts(self, change: impl Fn(&str) -> String) -> Self {
        Self {
            message: change(&self.message),
            list: self.list.iter().map(|item| change(item)).collect(),
            help: self.help.as_deref().map(change),
            ..self
        }
    }

    /// Decides the exit code.
    #[must_use]
    pub fn kind(&self) -> RunErrorKind {
        self.kind
    }

    /// The message without the list.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The items that the message refers to, one per line; empty if there are none.
    #[must_use]
    pub fn list(&self) -> &[String] {
        &self.list
    }

    /// Suggests how to fix the error.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The content of `result.json`, if the run got as far as creating its directory.
    #[must_use]
    pub fn result(&self) -> Option<&RunResult> {
        self.result.as_deref()
    }
}
