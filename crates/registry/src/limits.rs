//! Limits of size and time for everything that is read from a registry.
//!
//! A registry and its contents can be a stranger's. Anything larger or slower ends with an error.

use std::time::Duration;

/// One manifest or index, in bytes; registries take 4 MiB (distribution-spec, "Pushing Manifests").
pub(crate) const MANIFEST: usize = 4 << 20;
/// One configuration of an image, in bytes.
pub(crate) const CONFIG: usize = 16 << 20;
/// A token server's response, in bytes.
pub(crate) const TOKEN: usize = 1 << 20;
/// The text of a failure, in bytes; the rest is not read.
pub(crate) const FAILURE: usize = 64 << 10;
/// The response to the check whether a server is a registry, in bytes; the rest is not read.
pub(crate) const GREETING: usize = 64 << 10;
/// All pages of a list of tags together, in bytes.
pub(crate) const TAGS: usize = 64 << 20;
/// All pages of a list of referrers together, in bytes.
pub(crate) const REFERRERS: usize = 16 << 20;
/// Pages of one list: a hundred thousand tags where a registry gives no more than a hundred at a
/// time.
pub(crate) const PAGES: usize = 1000;
/// Indexes in each other.
pub(crate) const DEPTH: usize = 4;
/// Redirects of one request.
pub(crate) const REDIRECTS: usize = 10;
/// The slowest stream of a blob, in bytes per second, over each [`WINDOW`] that is spent waiting
/// for it.
pub(crate) const RATE: u64 = 16 << 10;
/// How long the rate is averaged over.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// The answer to an upload may take this many time limits of a request once all is sent: a registry
/// may verify it first.
pub(crate) const UPLOAD_ANSWER: u32 = 10;
