//! Errors that prevent a source tree from being read. Problems *in* a tree are [`crate::Problem`]s
//! instead.

use std::path::PathBuf;

/// The kind of an error. It determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is invalid, for example an unknown revision or a missing source tree (exit 2).
    Usage,
    /// The machine or the clone fails: git, a vanished base, the disk (exit 5).
    Environment,
}

/// The reason why a source tree cannot be read. Messages contain the underlying error, so there is
/// no `source`.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither the directory nor any parent contains `science/` or `compat/`.
    #[error("no source tree in {} or above it", shown(.start))]
    NoSourceTree {
        /// The directory where the search began.
        start: PathBuf,
    },
    /// The given path is not a directory that can be entered.
    #[error("{} is not a directory that can be entered: {cause}", shown(.path))]
    NoDirectory {
        /// The path as given.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The source tree is not in a git repository.
    #[error("{} is not in a git repository", shown(.root))]
    NoRepository {
        /// The source tree's root.
        root: PathBuf,
    },
    /// The repository's configuration names another working tree.
    #[error("the git repository at {} keeps its files elsewhere", shown(.root))]
    OtherWorktree {
        /// The directory of `.git`.
        root: PathBuf,
    },
    /// The repository belongs to another user.
    #[error("the git repository at {} belongs to another user", shown(.root))]
    ForeignOwner {
        /// The directory that the user would have to trust.
        root: PathBuf,
    },
    /// There is no commit yet.
    #[error("the git repository has no commit yet")]
    NoCommit,
    /// The text cannot be a revision.
    #[error("{text:?} is not a revision: {why}")]
    BadRevision {
        /// The text as given.
        text: String,
        /// The reason.
        why: &'static str,
    },
    /// The all-zero commit that GitLab passes for a new branch.
    #[error("the revision {text} is all zeros, which names no commit")]
    ZeroRevision {
        /// The text as given.
        text: String,
    },
    /// The revision does not exist.
    #[error("unknown revision {text:?}")]
    UnknownRevision {
        /// The text as given.
        text: String,
    },
    /// The text could denote several commits.
    #[error("the revision {text:?} is ambiguous")]
    AmbiguousRevision {
        /// The text as given.
        text: String,
    },
    /// The revision is a tree, a blob, or a parent that the commit does not have.
    #[error("the revision {text:?} names no commit: {why}")]
    NotACommit {
        /// The text as given.
        text: String,
        /// The reason.
        why: String,
    },
    /// The two sides of `A...B` have no common history.
    #[error("{left:?} and {right:?} have no commit in common")]
    NoMergeBase {
        /// The left side.
        left: String,
        /// The right side.
        right: String,
    },
    /// The clone ends before the base of the comparison.
    #[error("the base of the comparison, {text}, is not in this shallow clone{}", named(.commit.as_deref()))]
    ShallowBase {
        /// The text as given.
        text: String,
        /// The missing commit, if its id is known.
        commit: Option<String>,
    },
    /// A commit named by all its digits is missing: after a force push, or because it was never
    /// fetched.
    #[error("the base of the comparison, commit {commit}, is not in this repository")]
    BaseGone {
        /// The id with all digits.
        commit: String,
    },
    /// An object that the history needs is missing.
    #[error("the git repository lacks object {id}, which {wanted} needs")]
    MissingObject {
        /// The id with all digits.
        id: String,
        /// The purpose of the object.
        wanted: String,
    },
    /// A path given to `--with-ignored` does not exist, or is not below the source tree's root.
    #[error("--with-ignored {}: {why}", shown(.path))]
    WithIgnored {
        /// The path as given.
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
    /// A file of attributes is too large.
    #[error("{path} is larger than 1 MiB")]
    LargeAttributes {
        /// The path in the repository.
        path: String,
    },
    /// Data of git cannot be read.
    #[error("{what}: {}", .cause.message())]
    Git {
        /// The operation.
        what: String,
        /// libgit2's error.
        cause: git2::Error,
    },
    /// A file or directory cannot be read.
    #[error("cannot read {}: {cause}", shown(.path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// A file changed or disappeared between two system calls.
    #[error("{} changed while it was read", shown(.path))]
    ChangedWhileReading {
        /// The file.
        path: PathBuf,
    },
}

impl SourceError {
    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSourceTree { .. }
            | Self::NoDirectory { .. }
            | Self::NoRepository { .. }
            | Self::OtherWorktree { .. }
            | Self::NoCommit
            | Self::BadRevision { .. }
            | Self::ZeroRevision { .. }
            | Self::UnknownRevision { .. }
            | Self::AmbiguousRevision { .. }
            | Self::NotACommit { .. }
            | Self::NoMergeBase { .. }
            | Self::LargeAttributes { .. }
            | Self::WithIgnored { .. } => ErrorKind::Usage,
            Self::ForeignOwner { .. }
            | Self::ShallowBase { .. }
            | Self::BaseGone { .. }
            | Self::MissingObject { .. }
            | Self::Git { .. }
            | Self::Io { .. }
            | Self::ChangedWhileReading { .. } => ErrorKind::Environment,
        }
    }

    /// Returns a suggested solution.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::NoSourceTree { .. } => {
                "a source tree has the directories science/ and compat/; go there, or name it with --root"
                    .to_owned()
            }
            Self::NoDirectory { .. } => "name an existing directory with --root".to_owned(),
            Self::NoRepository { .. } => "put it under git: git init && git add -A && git commit".to_owned(),
            Self::OtherWorktree { .. } => "unset core.worktree, or work in a plain clone".to_owned(),
            Self::ForeignOwner { root } => {
                format!("if you trust it: git config --global --add safe.directory {}", shell_word(root))
            }
            Self::NoCommit => "commit something first: tags are named after a commit".to_owned(),
            Self::BadRevision { .. } | Self::NotACommit { .. } => {
                "name a commit, a branch or a tag: A, A..B or A...B".to_owned()
            }
            Self::ZeroRevision { .. } => {
                "GitLab sets CI_COMMIT_BEFORE_SHA so on a new branch: use the branch \
                 that it left from, --ref origin/main...HEAD, or leave --ref out"
                    .to_owned()
            }
            Self::UnknownRevision { .. } => {
                "a branch of the remote is origin/NAME; git fetch brings what is new there".to_owned()
            }
            Self::AmbiguousRevision { .. } => "give more digits, or the full name".to_owned(),
            Self::NoMergeBase { .. } => "compare them directly: A..B".to_owned(),
            Self::ShallowBase { .. } => {
                "fetch the whole history: git fetch --unshallow (in GitLab CI GIT_DEPTH: 0)".to_owned()
            }
            Self::BaseGone { commit } => format!(
                "after a force push the old commit is no longer there; fetch it (git fetch origin {commit}) or compare with another revision"
            ),
            Self::MissingObject { .. } => {
                "the clone is partial or damaged: run git fsck, or make a new full clone".to_owned()
            }
            Self::WithIgnored { .. } => "give a path below the source tree's root".to_owned(),
            Self::LargeAttributes { .. } => "attributes are some lines of text: shorten the file".to_owned(),
            Self::ChangedWhileReading { .. } => {
                "run it again when no other program writes to the tree".to_owned()
            }
            Self::Git { cause, .. } => return format_remedy(cause.message()),
            Self::Io { .. } => return None,
        };
        Some(text)
    }

    /// Wraps an error of libgit2 with the failed operation.
    pub(super) fn git(what: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let what = what.into();
        move |cause| Self::Git { what, cause }
    }
}

/// Repository formats that git reads and libgit2 does not: a part of libgit2's message, and a
/// command that converts the repository to a format that both read.
const FORMATS: [(&str, &str); 6] = [
    ("extension: 'sdir'", "libgit2 reads no sparse index: git sparse-checkout reapply --no-sparse-index"),
    ("extension: 'link'", "libgit2 reads no split index: git update-index --no-split-index"),
    (
        "extensions.refstorage",
        "libgit2 reads no reftable: git refs migrate --ref-format=files (git 2.46 or later), or clone with --ref-format=files",
    ),
    (
        "object format",
        "libgit2 reads no SHA-256 repositories: use a clone with --object-format=sha1, where the server has one",
    ),
    (
        "extensions.partialclone",
        "in a clone that has all objects: git config --unset extensions.partialClone; else make a full clone",
    ),
    ("unsupported", "this repository has a newer format than libgit2 reads: use a plain clone of it"),
];

/// Returns the remedy for a repository format that libgit2 does not read.
fn format_remedy(message: &str) -> Option<String> {
    let (_, remedy) = FORMATS.iter().find(|(mark, _)| message.to_lowercase().contains(mark))?;
    Some((*remedy).to_owned())
}

/// Converts a path to text for a message, with invalid UTF-8 escaped.
fn shown(path: &std::path::Path) -> String {
    path.as_os_str().as_encoded_bytes().utf8_chunks().fold(String::new(), |mut text, chunk| {
        for c in chunk.valid().chars() {
            if c.is_control() { text.extend(c.escape_default()) } else { text.push(c) }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
        text
    })
}

fn named(commit: Option<&str>) -> String {
    commit.map(|commit| format!(" (commit {commit})")).unwrap_or_default()
}

/// Converts a path to a word that can be pasted into a shell.
fn shell_word(path: &std::path::Path) -> String {
    let text = shown(path);
    if text.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-+:@".contains(&c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
