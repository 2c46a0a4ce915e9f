//! What is noticed on the way: problems, which stop everything at the end, and warnings, which stop nothing.

use plan::Warning;

use crate::Problem;
use crate::config::{Config, Level};

/// All that was noticed so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// What refuses the tree.
    pub(crate) problems: Vec<Problem>,
    /// What is worth a look.
    pub(crate) warnings: Vec<Warning>,
    /// Whether guidelines are of no interest, as at the base of a comparison.
    lenient: bool,
}

impl Findings {
    /// A list that takes no notice of guidelines.
    pub(crate) fn lenient() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// Adds what refuses the tree.
    pub(crate) fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds what is worth a look, told like a problem.
    pub(crate) fn warn(&mut self, problem: Problem) {
        let Problem { file, line, code, message, help, .. } = problem;
        self.warnings.push(Warning { file, line, code: code.to_owned(), message, help });
    }

    /// Adds what breaks a guideline: as heavy as the configuration says.
    pub(crate) fn guideline(&mut self, config: &Config, problem: Problem) {
        match config.level(problem.code) {
            _ if self.lenient => {}
            Level::Allow => {}
            Level::Warn => self.warn(problem),
            Level::Deny => self.refuse(problem),
        }
    }

    /// Adds all of another list.
    pub(crate) fn extend(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.warnings.extend(other.warnings);
    }

    /// In order of file and line, each once.
    pub(crate) fn sorted(mut self) -> Self {
        self.problems.sort();
        self.problems.dedup();
        self.warnings.sort();
        self.warnings.dedup();
        self
    }
}
