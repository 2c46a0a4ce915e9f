//! Promotes builds from one repo to another: looks them up, copies them by build tag, then updates
//! moving tags.
//!
//! [`survey()`] queries both sides and changes nothing; its result says what would be done and what
//! prevents it. [`carry_out`] does it. A build is copied with all builds that its provenance names,
//! so that the provenance resolves in the target too; what the target already has is left alone.
//! Moving tags are updated last, by the same rules as after a build. This needs neither engine nor
//! source tree: the caller says which names make up a product.
mod copy;
mod execute;
mod preview;

use std::collections::BTreeSet;
use std::time::Duration;

use plan::{BuildTag, Kind};
use serde::Serialize;

use crate::run::options::Relation;

pub use execute::{Ended, carry_out};
pub use preview::survey;

/// The version of [`Promotion`] as published data.
pub const FORMAT_VERSION: &str = "1.0";

/// How a commit, the second, lies to another one, the first.
pub type History<'a> = &'a (dyn Fn(&str, &str) -> Relation + Send + Sync);

/// From where to where, and how.
#[derive(Debug, Clone)]
pub struct Route {
    /// The repo that has the builds.
    pub from: String,
    /// The repo that is to have them.
    pub to: String,
    /// The platform whose labels are read, of an image for several. All are copied.
    pub platform: String,
    /// First part of the keys of breadcrumb labels.
    pub label_prefix: String,
    /// Move a tag also when it cannot be known whether it shows something newer.
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
    /// Below the repo, with the moving tag: `rel/nist-basic:2.0`.
    pub top: String,
    /// The names that belong to it, and are moved with it: `sci/nist-basic-2:2.0` and so on, `top`
    /// too.
    pub own: BTreeSet<String>,
}

/// A promotion: what has to be done, and the outcome.
///
/// Published data: `image-builder promote --format json` writes it. Field names are fixed; a new
/// field or state is a minor change of [`FORMAT_VERSION`], anything else a major one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promotion {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: &'static str,
    /// The repo that has the builds.
    pub from: String,
    /// The repo that is to have them.
    pub to: String,
    /// The promoted product, `nist-basic:2.0`.
    pub products: Vec<String>,
    /// Full names that are not in `from`; nothing is done while there are any.
    pub missing: Vec<String>,
    /// Other obstacles; nothing is done while there is any.
    pub conflicts: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
    /// All builds that the products are made of, parents first.
    pub images: Vec<Item>,
}

/// One build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// Below the repo: `sci/nist-basic`.
    pub image: String,
    /// Its build tag.
    pub build_tag: String,
    /// The digest that it shows.
    pub digest: String,
    /// Bytes of its layers as they are stored; null where only `to` has it.
    pub bytes: Option<u64>,
    /// Whether it has to be copied, and the outcome.
    pub state: Copying,
    /// Its moving tag; null for a build that only comes along.
    pub moving: Option<Moving>,
    /// Its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The commit that it was built from, as many digits as are known.
    #[serde(skip)]
    pub(crate) commit: String,
    /// How many of the science builds that it was made from are of that commit, if its image says
    /// so.
    #[serde(skip)]
    pub(crate) current_parents: Option<usize>,
    /// Positions of what it was made from, each before its own.
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
    /// What it shows before: a build tag, or a digest if the image has none; null without such a
    /// tag.
    pub shows: Option<String>,
    /// Whether it has to be moved, and the outcome.
    pub state: MoveState,
}

/// The state of a tag's move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MoveState {
    /// It shows something else.
    ToMove,
    /// It shows the build already.
    Kept,
    /// It shows the build now.
    Moved,
    /// It was moved, and shows again what it did before, or a newer build, because of something
    /// else.
    PutBack,
    /// It could not be moved.
    Failed,
    /// Not attempted, because of another failure.
    Skipped,
}

/// Progress events. Published data, like [`Promotion`]: `--progress json` writes one a line.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The copy of a build began.
    CopyStarted {
        /// Below the repo.
        image: String,
        /// Its build tag.
        build_tag: String,
    },
    /// A blob is in `to`.
    Blob {
        /// Below the repo.
        image: String,
        /// The blob's digest.
        digest: String,
        /// Its bytes.
        bytes: u64,
        /// `found`, `mounted` or `streamed`.
        how: &'static str,
    },
    /// A build is in `to`, and its build tag shows it there.
    Copied {
        /// Below the repo.
        image: String,
        /// Its build tag.
        build_tag: String,
        /// The digest that it shows.
        digest: String,
        /// How its blobs came there.
        blobs: BlobCounts,
        /// How long it took.
        seconds: f64,
    },
    /// A moving tag of `to` shows its build.
    Moved {
        /// The full reference.
        tag: String,
        /// The build's tag.
        build_tag: String,
        /// What it shows.
        digest: String,
    },
    /// Something failed, and is done again after a wait.
    Retry {
        /// The subject.
        what: String,
        /// Why.
        error: String,
        /// How often it was tried.
        attempts: u32,
        /// Seconds until the next time.
        wait: f64,
    },
    /// Something failed for good.
    Failed {
        /// The subject.
        what: String,
        /// Why.
        error: String,
    },
    /// A note for the user.
    Note {
        /// As a sentence.
        message: String,
    },
}

/// How the blobs of a build came there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BlobCounts {
    /// Were there.
    pub found: usize,
    /// The registry had them in another repository.
    pub mounted: usize,
    /// Came through here.
    pub streamed: usize,
    /// Bytes that came through here.
    pub bytes: u64,
}

impl Promotion {
    /// Whether something is to be copied or moved.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let moved = |item: &Item| item.moving.as_ref().is_none_or(|moving| moving.state != MoveState::ToMove);
        self.images.iter().all(|item| item.state != Copying::ToCopy && moved(item))
    }
}

impl Item {
    /// The kind of image, and its own name: the target of a science layer.
    pub(crate) fn sort(&self) -> (Kind, &str) {
        sort(&self.image)
    }

    /// Whether it holds changes that are in no commit.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        BuildTag::parse(&self.build_tag).is_some_and(|tag| tag.dirty.is_some())
    }
}

/// The kind of image of `sci/nist` or `rel/nist`, and its own name.
pub(crate) fn sort(image: &str) -> (Kind, &str) {
    match image.split_once('/') {
        Some(("rel", name)) => (Kind::Compat, name),
        Some((_, name)) => (Kind::Science, name),
        None => (Kind::Science, image),
    }
}
