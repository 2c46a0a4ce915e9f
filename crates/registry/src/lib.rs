//! An OCI distribution client for image-builder: resolves references, reads image configurations,
//! lists tags, reads blobs, adds tags, reads and writes the artifacts that refer to an image, and
//! copies all of these between repositories.
//!
//! Independent of plans and engines, and reads no environment: the caller passes the directories of
//! the docker configuration ([`DockerConfig`], [`Trust`]). Only a 404 means "not there".

mod blob;
mod cache;
mod copy;
mod credential;
mod credentials;
mod digests;
mod error;
mod helper;
mod limits;
mod link;
mod login;
mod manifest;
mod options;
mod pace;
mod pages;
mod pushes;
mod referrers;
mod registry;
mod retry;
mod tags;
mod trust;
mod wire;

pub use blob::Blob;
pub use copy::BlobTransfer;
pub use credential::Credential;
pub use credentials::{DockerConfig, Origin};
pub use error::{Error, ErrorKind};
#[doc(hidden)]
pub use link::{Next, next};
pub use manifest::{Image, Layer, Stored};
pub use options::Options;
pub use pushes::Pushes;
pub use referrers::Referrer;
pub use registry::{Registry, Shown};
pub use retry::{Attempt, Backoff, GivenUp, RetryDecision, retry};
pub use trust::{Trust, is_loopback};
