//! `.dockerignore` → what of a directory is not sent.

use crate::Problem;
use crate::tree::SourceFile;

/// The patterns of a `.dockerignore`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    text: String,
}
/// Reads a `.dockerignore`.
///
/// # Errors
/// Every problem that was found.
pub fn parse(file: &SourceFile) -> Result<Ignore, Vec<Problem>> {
    let _ = file;
    Ok(Ignore::default())
}
impl Ignore {
    /// Whether a path is left out: relative, with `/`, as of a file or a directory.
    #[must_use]
    pub fn excludes(&self, path: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.text == path)
    }
}
