//! Collects findings: problems, which fail a plan at its end, and warnings, which do not.

use plan::Warning;

use crate::Problem;
use crate::parse::config::{Config, Level};

/// Guidelines that a plan does not report as warnings: they concern the maintainers of the tree,
/// and `check` reports them. Denied guidelines fail a plan like any other problem.
const FOR_CHECK: [&str; 5] =
    ["compat-shadowed", "from-unpinned", "from-unqualified", "from-unversioned", "label-overridden"];

/// The guidelines that are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Interest {
    /// Guidelines that matter for a plan.
    #[default]
    Plan,
    /// All guidelines.
    Check,
    /// No guidelines, as at the base of a comparison.
    Nothing,
}

/// All findings so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings {
    /// Problems. A tree with problems is rejected.
    pub(crate) problems: Vec<Problem>,
    /// Warnings.
    pub(crate) warnings: Vec<Problem>,
    interest: Interest,
}

impl Findings {
    /// Creates a list that ignores guidelines.
    pub(crate) fn lenient() -> Self {
        Self { interest: Interest::Nothing, ..Self::default() }
    }

    /// Creates a list that accepts every guideline.
    pub(crate) fn thorough() -> Self {
        Self { interest: Interest::Check, ..Self::default() }
    }

    /// Adds a problem.
    pub(crate) fn refuse(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Whether defects that builders report are collected. They are ignored at the base of a
    /// comparison, which is not built.
    pub(crate) fn wants_defects(&self) -> bool {
        self.interest != Interest::Nothing
    }

    /// Adds a warning.
    pub(crate) fn warn(&mut self, problem: Problem) {
        self.warnings.push(problem);
    }

    /// Whether a guideline must be checked.
    pub(crate) fn wants(&self, config: &Config, code: &str) -> bool {
        match (self.interest, config.level(code)) {
            (Interest::Nothing, _) | (_, Level::Allow) => false,
            (Interest::Plan, Level::Warn) => !FOR_CHECK.contains(&code),
            (Interest::Plan | Interest::Check, Level::Warn | Level::Deny) => true,
        }
    }

    /// Adds a violation of a guideline, with the level from the configuration.
    pub(crate) fn guideline(&mut self, config: &Config, problem: Problem) {
        if !self.wants(config, problem.code) {
            return;
        }
        match config.level(problem.code) {
            Level::Allow => {}
            Level::Warn => self.warn(problem),
            Level::Deny => self.refuse(problem),
        }
    }

    /// Adds all findings of another list.
    pub(crate) fn extend(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.warnings.extend(other.warnings);
    }

    /// Sorts the findings by file and line, and removes duplicates.
    pub(crate) fn sorted(mut self) -> Self {
        self.problems.sort();
        self.problems.dedup();
        self.warnings.sort();
        self.warnings.dedup();
        self
    }
}

/// Converts a problem to a warning of a plan.
pub(crate) fn warning(problem: Problem) -> Warning {
    let Problem { file, line, code, message, help, .. } = problem;
    Warning { file, line, code: code.to_owned(), message, help }
}
