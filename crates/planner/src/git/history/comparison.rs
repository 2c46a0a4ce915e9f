//! Parses `--ref`: the two sides of a comparison. Does not access a repository.

use std::fmt;

use crate::git::error::SourceError;

/// The two sides of a comparison. The default compares the working tree with the first parent of
/// HEAD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comparison {
    pub(in crate::git) form: ComparisonForm,
}

/// The forms that a comparison can have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::git) enum ComparisonForm {
    /// HEAD's first parent, or nothing if there is none, and the working tree.
    #[default]
    Parent,
    /// `A`: that commit and the working tree.
    WorkingTree { base: String },
    /// `A..B`: two commits.
    Commits { base: String, head: String },
    /// `A...B`: the merge base of A and B, and B.
    MergeBase { base: String, head: String },
}

impl Comparison {
    /// Parses `A`, `A..B` or `A...B`, where an empty side is HEAD.
    ///
    /// # Errors
    /// [`SourceError::BadRevision`] if a side cannot be a revision, [`SourceError::ZeroRevision`]
    /// if it is all zeros.
    pub fn parse(text: &str) -> Result<Self, SourceError> {
        let form = if let Some((base, head)) = text.split_once("...") {
            ComparisonForm::MergeBase { base: side(base, text)?, head: side(head, text)? }
        } else if let Some((base, head)) = text.split_once("..") {
            ComparisonForm::Commits { base: side(base, text)?, head: side(head, text)? }
        } else if text.is_empty() {
            return Err(SourceError::BadRevision { text: String::new(), why: "it is empty" });
        } else if matches!(text, "HEAD^" | "HEAD~" | "HEAD^1" | "HEAD~1" | "@^" | "@~" | "@^1" | "@~1") {
            ComparisonForm::Parent
        } else {
            ComparisonForm::WorkingTree { base: side(text, text)? }
        };
        Ok(Self { form })
    }
}

fn side(side: &str, whole: &str) -> Result<String, SourceError> {
    let bad = |why| Err(SourceError::BadRevision { text: whole.to_owned(), why });
    if side.starts_with('-') {
        return bad("it begins with '-'");
    }
    if side.starts_with('.') || side.contains("..") {
        return bad("it has more than two sides");
    }
    if side.chars().any(|c| c.is_control() || c == ' ') {
        return bad("it holds a space or a control character");
    }
    if side.len() >= 40 && side.bytes().all(|c| c == b'0') {
        return Err(SourceError::ZeroRevision { text: side.to_owned() });
    }
    Ok(if side.is_empty() { "HEAD".to_owned() } else { side.to_owned() })
}

impl fmt::Display for Comparison {
    /// Writes the comparison as typed on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.form {
            ComparisonForm::Parent => f.write_str("HEAD^"),
            ComparisonForm::WorkingTree { base } => f.write_str(base),
            ComparisonForm::Commits { base, head } => write!(f, "{base}..{head}"),
            ComparisonForm::MergeBase { base, head } => write!(f, "{base}...{head}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, shown) in [
            ("HEAD^", "HEAD^"),
            ("HEAD~1", "HEAD^"),
            ("@^", "HEAD^"),
            ("HEAD^2", "HEAD^2"),
            ("main", "main"),
            ("main..", "main..HEAD"),
            ("..topic", "HEAD..topic"),
            ("..", "HEAD..HEAD"),
            ("origin/main...", "origin/main...HEAD"),
            ("a...b", "a...b"),
            ("v1.0", "v1.0"),
        ] {
            assert_eq!(Comparison::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Comparison::parse("HEAD^").unwrap(), Comparison::default());
    }

    #[test]
    fn what_no_revision_looks_like_is_refused() {
        for text in
            ["", "-x", "--output=F", "a..-x", "a...-x", "-x..b", "a..b..c", "a....b", "a\nb", "a b", "\0"]
        {
            let error = Comparison::parse(text).unwrap_err();
            assert!(matches!(error, SourceError::BadRevision { .. }), "{text:?}: {error}");
            assert!(!error.to_string().contains(['\n', '\0']), "{error:?}");
        }
    }

    #[test]
    fn zeros_say_what_to_use() {
        let error = Comparison::parse(&format!("{}..HEAD", "0".repeat(40))).unwrap_err();
        assert!(matches!(error, SourceError::ZeroRevision { .. }));
        assert!(error.help().unwrap().contains("origin/main...HEAD"));
    }
}
