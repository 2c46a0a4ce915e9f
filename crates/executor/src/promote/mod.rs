//! Promotes builds from one repo to another: looks them up, copies them by build tag, then updates
//! moving tags.
//!
//! [`survey()`] queries both repos and changes nothing; its result lists what would be done and the
//! obstacles. [`carry_out`] does it. A build is copied together with all builds in its provenance,
//! so that the provenance resolves in the target too; builds that the target has already are left
//! alone. Moving tags are updated last, by the same rules as after a build. Neither an engine nor a
//! source tree is needed: the caller passes the names that make up a product.
mod copy;
mod execute;
mod preview;

use std::collections::BTreeSet;
use std::time::Duration;

use plan::{BuildTag, Family, Kind};
use serde::Serialize;

use crate::Relation;

pub use execute::{Ended, carry_out};
pub use preview::survey;

/// The version of [`Promotion`] as published data.
pub const FORMAT_VERSION: &str = "1.0";

/// Returns how the second commit relates to the first one.
pub type History<'a> = &'a (dyn Fn(&str, &str) -> Relation + Send + Sync);

/// The source, the target and the options of a promotion.
#[derive(Debug, Clone)]
pub struct Route {
    /// The repo that has the builds.
    pub from: String,
    /// The repo that the builds are copied to.
    pub to: String,
    /// The platform whose labels are read from a multi-platform image. All platforms are copied.
    pub platform: String,
    /// Prefix of the keys of provenance labels.
    pub label_prefix: String,
    /// Update a moving tag even if it may point to a newer build.
    pub allow_older: bool,
    /// Skip products that are not in `from`, instead of failing.
    pub only_present: bool,
    /// Transient failures of one request are retried for at most this long.
    pub push_timeout: Duration,
}

/// The unit of a promotion: a product, or an image and version without a compat image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// `nist-basic:2.0`.
    pub product: String,
    /// Its name below the repo, with the moving tag: `rel/nist-basic:2.0`.
    pub top: String,
    /// The names whose moving tags are updated together: `sci/nist-basic-2:2.0` and so on,
    /// including `top`.
    pub own: BTreeSet<String>,
}

/// A promotion: the builds to copy, the tags to move, and the outcome.
///
/// Published data: `image-builder promote --format json` writes it. Field names are fixed; a new
/// field or state is a minor change of [`FORMAT_VERSION`], anything else a major one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promotion {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: &'static str,
    /// The repo that has the builds.
    pub from: String,
    /// The repo that the builds are copied to.
    pub to: String,
    /// The promoted products, such as `nist-basic:2.0`.
    pub products: Vec<String>,
    /// Full names that `from` lacks; nothing is done if there are any.
    pub missing: Vec<String>,
    /// Other obstacles; nothing is done if there are any.
    pub conflicts: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// All builds of the products' provenance, parents first.
    pub images: Vec<Item>,
}

/// One build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Name below the repo: `sci/nist-basic`.
    pub image: String,
    /// Its build tag.
    pub build_tag: String,
    /// The digest of its build tag.
    pub digest: String,
    /// Stored bytes of its layers; null if only `to` has it.
    pub bytes: Option<u64>,
    /// Whether it needs to be copied, and the outcome.
    pub state: Copying,
    /// Its moving tag; null for a build that is only copied.
    pub moving: Option<Moving>,
    /// Its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The commit that it was built from, possibly abbreviated.
    #[serde(skip)]
    pub(crate) commit: String,
    /// Number of science builds it was made from that are of that commit, if recorded in its
    /// labels.
    #[serde(skip)]
    pub(crate) current_parents: Option<usize>,
    /// Positions of the builds that it was made from; each precedes this one.
    #[serde(skip)]
    pub(crate) needs: Vec<usize>,
}

/// The state of a build's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Copying {
    /// It is not in `to` yet.
    ToCopy,
    /// It was in `to` before.
    There,
    /// It is in `to` now.
    Copied,
    /// It could not be copied.
    Failed,
    /// Not attempted, because of another failure.
    Skipped,
}

/// A moving tag of `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moving {
    /// `2.0`.
    pub tag: String,
    /// The image that it pointed to before: a build tag, or a digest if the image has none; null if
    /// there was no such tag.
    pub shows: Option<String>,
    /// Whether it needs to be moved, and the outcome.
    pub state: MoveState,
}

/// The state of a tag's move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveState {
    /// It points to something else.
    ToMove,
    /// It points to the build already.
    Kept,
    /// It points to the build now.
    Moved,
    /// It was moved, and points to its previous build again, or to a newer one, because of another
    /// failure.
    PutBack,
    /// It could not be moved.
    Failed,
    /// Not attempted, because of another failure.
    Skipped,
}

/// Progress events. Published data, like [`Promotion`]: `--progress json` prints one event per
/// line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The copy of a build began.
    CopyStarted {
        /// Name below the repo.
        image: String,
        /// Its build tag.
        build_tag: String,
    },
    /// A blob is present in `to`.
    Blob {
        /// Name below the repo.
        image: String,
        /// The blob's digest.
        digest: String,
        /// Its bytes.
        bytes: u64,
        /// `found`, `mounted` or `streamed`.
        how: &'static str,
    },
    /// A build was copied, and its build tag in `to` resolves to it.
    Copied {
        /// Name below the repo.
        image: String,
        /// Its build tag.
        build_tag: String,
        /// The digest of its build tag.
        digest: String,
        /// How its blobs were transferred.
        blobs: BlobCounts,
        /// Duration in seconds.
        seconds: f64,
    },
    /// A moving tag of `to` now points to its build.
    Moved {
        /// The full reference.
        tag: String,
        /// The build's tag.
        build_tag: String,
        /// The digest that it points to.
        digest: String,
    },
    /// A request failed and will be retried.
    Retry {
        /// The operation.
        what: String,
        /// The error as text.
        error: String,
        /// Attempts so far.
        attempts: u32,
        /// Seconds until the next attempt.
        wait: f64,
    },
    /// An operation failed permanently.
    Failed {
        /// The operation.
        what: String,
        /// The error as text.
        error: String,
    },
    /// A note for the user.
    Note {
        /// As a sentence.
        message: String,
    },
}

/// How the blobs of a build were transferred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BlobCounts {
    /// Blobs that existed already.
    pub found: usize,
    /// Blobs that the registry mounted from another repository.
    pub mounted: usize,
    /// Blobs that passed through this process.
    pub streamed: usize,
    /// Bytes that passed through this process.
    pub bytes: u64,
}

impl Promotion {
    /// Whether nothing is left to copy or move.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let moved = |item: &Item| item.moving.as_ref().is_none_or(|moving| moving.state != MoveState::ToMove);
        self.images.iter().all(|item| item.state != Copying::ToCopy && moved(item))
    }
}

impl Item {
    /// The kind of image, and its name without the family; for a science layer, its target.
    pub(crate) fn sort(&self) -> (Kind, &str) {
        sort(&self.image)
    }

    /// Whether it contains uncommitted changes.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        BuildTag::parse(&self.build_tag).is_some_and(|tag| tag.dirty.is_some())
    }
}

/// The kind of image of `sci/nist` or `rel/nist`, and its name without the family.
pub(crate) fn sort(image: &str) -> (Kind, &str) {
    match Family::split(image) {
        Some((Family::Rel, name)) => (Kind::Compat, name),
        Some((Family::Sci, name)) => (Kind::Science, name),
        None => (Kind::Science, image),
    }
}
