//! Errors that prevent a source tree from being read. Problems *in* a tree are [`crate::Problem`]s
//! instead.

use std::path::PathBuf;

/// The kind of an error, which alone decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is invalid: an unknown revision, no source tree here (exit 2).
    Usage,
    /// The machine or the clone does not give it: git, a base that vanished, the disk (exit 5).
    Environment,
}

/// Why a source tree cannot be read. Messages hold their causes, which are therefore no sources.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither the directory nor any above it has `science/` or `compat/`.
    #[error("no source tree in {} or above it", shown(.start))]
    NoSourceTree {
        /// Where the search began.
        start: PathBuf,
    },
    /// The directory that was given is none.
    #[error("{} is not a directory that can be entered: {cause}", shown(.path))]
    NoDirectory {
        /// As given.
        path: PathBuf,
        /// The system's error.
        cause: std::io::Error,
    },
    /// The source tree lies in no git repository.
    #[error("{} is not in a git repository", shown(.root))]
    NoRepository {
        /// The source tree's root.
        root: PathBuf,
    },
    /// The repository's configuration says that its files are somewhere else.
    #[error("the git repository at {} keeps its files elsewhere", shown(.root))]
    OtherWorktree {
        /// Where `.git` is.
        root: PathBuf,
    },
    /// The repository belongs to somebody else.
    #[error("the git repository at {} belongs to another user", shown(.root))]
    ForeignOwner {
        /// The directory that would have to be trusted.
        root: PathBuf,
    },
    /// There is no commit yet.
    #[error("the git repository has no commit yet")]
    NoCommit,
    /// The text of a revision can be none.
    #[error("{text:?} is not a revision: {why}")]
    BadRevision {
        /// As given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The commit that GitLab gives for a branch that was not there before.
    #[error("the revision {text} is all zeros, which names no commit")]
    ZeroRevision {
        /// As given.
        text: String,
    },
    /// Nothing has this name.
    #[error("unknown revision {text:?}")]
    UnknownRevision {
        /// As given.
        text: String,
    },
    /// Several commits could be meant.
    #[error("the revision {text:?} is ambiguous")]
    AmbiguousRevision {
        /// As given.
        text: String,
    },
    /// A tree, a blob, or a commit without such a parent.
    #[error("the revision {text:?} names no commit: {why}")]
    NotACommit {
        /// As given.
        text: String,
        /// Why it is invalid.
        why: String,
    },
    /// The two sides of `A...B` have no history in common.
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
        /// As given.
        text: String,
        /// The missing commit, if its id is known.
        commit: Option<String>,
    },
    /// A commit that was named by all its digits is not there: a force push, or it was never
    /// fetched.
    #[error("the base of the comparison, commit {commit}, is not in this repository")]
    BaseGone {
        /// All digits.
        commit: String,
    },
    /// An object that the history needs is not there.
    #[error("the git repository lacks object {id}, which {wanted} needs")]
    MissingObject {
        /// All digits.
        id: String,
        /// What it is needed for.
        wanted: String,
    },
    /// A path given to `--with-ignored` that is not there, or not below the source tree's root.
    #[error("--with-ignored {}: {why}", shown(.path))]
    WithIgnored {
        /// As given.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file of attributes that is too large to be meant.
    #[error("{path} is larger than 1 MiB")]
    LargeAttributes {
        /// Its path in the repository.
        path: String,
    },
    /// git's data cannot be read.
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

    /// What to do about it.
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

    /// Something that libgit2 could not do.
    pub(super) fn git(what: impl Into<String>) -> impl FnOnce(git2::Error) -> Self {
        let what = what.into();
        move |cause| Self::Git { what, cause }
    }
}

/// Forms of a repository that git reads and libgit2 does not: what its message says of them, and
/// what brings the repository into a form that both read.
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

/// The remedy for a form of a repository that libgit2 does not read.
fn format_remedy(message: &str) -> Option<String> {
    let (_, remedy) = FORMATS.iter().find(|(mark, _)| message.to_lowercase().contains(mark))?;
    Some((*remedy).to_owned())
}

/// A path for a message, with invalid UTF-8 escaped.
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

/// A path as a word that can be pasted into a shell.
fn shell_word(path: &std::path::Path) -> String {
    let text = shown(path);
    if text.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-+:@".contains(&c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
