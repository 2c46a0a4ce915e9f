//! The plan as a document: its top-level fields, and how it is written and read.
//!
//! Published data. Field names are fixed; a new field is a minor change of [`FORMAT_VERSION`], a
//! field that is renamed, removed or changes its meaning is a major one. A reader ignores unknown
//! fields.

use serde::{Deserialize, Serialize};

use crate::Build;

/// The version that is written. Readers accept every minor version of the same major.
pub const FORMAT_VERSION: &str = "1.3";

/// A plan: what to build, in an order in which it could run, and why.
///
/// The same source tree, the same comparison and the same flags give the same bytes: nothing in
/// here comes from a clock, a host or a locale.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: String,
    /// The commit that is built, as far as names depend on it.
    pub revision: Revision,
    /// The other side of the comparison.
    pub compared_with: ComparedWith,
    /// `{repo}`: registry host and path under which images are named.
    pub repo: String,
    /// The platform of every build, as `os/arch[/variant]`.
    pub platform: String,
    /// First part of the keys of the provenance labels, `org.sciserver` unless configured.
    pub label_prefix: String,
    /// Parents first, then by level and name.
    pub builds: Vec<Build>,
    /// Changed layers that need no build.
    pub unbuilt: Vec<Unbuilt>,
    /// Warnings; they do not prevent a build.
    pub warnings: Vec<Warning>,
}

/// The commit that a plan is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// All hex digits of the commit's id.
    pub commit: String,
    /// How many commits are reachable from it; `None` in a shallow clone, where the number is
    /// unknown.
    pub count: Option<u64>,
    /// The first seven digits of `commit`, whatever git is configured to show.
    pub short: String,
    /// Eight hex digits of a digest over the contents, if some of them are not in `commit`.
    pub dirty: Option<String>,
    /// Whether the clone lacks a part of its history.
    pub shallow: bool,
}

/// The other side of a comparison; written as one string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ComparedWith {
    /// A commit, by all its digits.
    Commit(String),
    /// Nothing: the repository's first commit, where everything is new.
    Empty,
    /// `--all`: everything counts as changed.
    All,
    /// `--include`: exactly the named layers count as changed.
    Include,
    /// `--since-published`: the images in the registry.
    Published,
    /// `stale --plan`: the current digests of the external images that published layers were built
    /// from. Since format version 1.2.
    Bases,
}

impl From<String> for ComparedWith {
    fn from(text: String) -> Self {
        match text.as_str() {
            "empty" => Self::Empty,
            "all" => Self::All,
            "include" => Self::Include,
            "published" => Self::Published,
            "bases" => Self::Bases,
            _ => Self::Commit(text),
        }
    }
}

impl From<ComparedWith> for String {
    fn from(compared: ComparedWith) -> Self {
        compared.to_string()
    }
}

impl std::fmt::Display for ComparedWith {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Commit(commit) => commit,
            Self::Empty => "empty",
            Self::All => "all",
            Self::Include => "include",
            Self::Published => "published",
            Self::Bases => "bases",
        })
    }
}

/// A changed layer that needs no build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unbuilt {
    /// The layer's path, `science/nist`.
    pub layer: String,
    /// The changes: paths below the layer, or fields of its descriptor.
    pub changed: Vec<String>,
    /// Why no build is needed, as a sentence.
    pub why: String,
}

/// A warning; it does not prevent a build.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Warning {
    /// File below the source tree's root, if any.
    pub file: Option<String>,
    /// Line in that file, counted from 1.
    pub line: Option<u32>,
    /// A stable name of the kind of warning, in kebab case.
    pub code: String,
    /// The message.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Why a text is not a plan that this program can read.
#[derive(Debug, thiserror::Error)]
pub enum PlanFormatError {
    /// Another major version wrote it.
    #[error("the plan has format version {found}, this program reads {FORMAT_VERSION}")]
    Version {
        /// The version in the document.
        found: String,
    },
    /// It is not JSON, or a field is missing or of another type.
    #[error("not a plan: {0}")]
    Json(#[from] serde_json::Error),
}

impl Plan {
    /// Returns the document as it is printed and saved: indented JSON with a trailing newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("a plan holds only strings, numbers and lists");
        text.push('\n');
        text
    }

    /// Reads a document that [`Plan::to_json`] of this or another version wrote.
    ///
    /// # Errors
    /// [`PlanFormatError`]; the version is checked before the other fields.
    pub fn from_json(text: &str) -> Result<Self, PlanFormatError> {
        #[derive(Deserialize)]
        struct Head {
            format_version: String,
        }
        let Head { format_version } = serde_json::from_str(text)?;
        let major = |version: &str| version.split('.').next().map(str::to_owned);
        if major(&format_version) != major(FORMAT_VERSION) {
            return Err(PlanFormatError::Version { found: format_version });
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The build of this id.
    #[must_use]
    pub fn build(&self, id: &crate::BuildId) -> Option<&Build> {
        self.builds.iter().find(|build| build.id == *id)
    }
}
