//! Blobs: a layer as it streams by, and the bytes of a configuration.
//!
//! What came is what its digest says, or it is an error, once the last byte was read.

use std::sync::Arc;

use bytes::Bytes;
use plan::ImageName;
use reqwest::{Method, Response};
use sha2::{Digest as _, Sha256};

use crate::digests;
use crate::error::{Error, ErrorKind};
use crate::limits::CONFIG;
use crate::manifest::Layer;
use crate::pace::TransferRate;
use crate::registry::Registry;
use crate::wire::{Request, Wire};

/// A blob on its way.
pub struct Blob {
    wire: Arc<Wire>,
    response: Response,
    registry: String,
    what: String,
    digest: String,
    /// Bytes that its descriptor says.
    size: u64,
    /// Those still to come.
    left: u64,
    pace: TransferRate,
    hasher: Sha256,
}

impl std::fmt::Debug for Blob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blob").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Blob {
    /// The next piece; `None` when all is there and has the digest that was asked for.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when it has another digest, or more bytes than its descriptor says; [`ErrorKind::Connection`] when
    /// it breaks off or comes too slowly.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.wire.piece(&mut self.response, &mut self.pace, &self.registry, &self.what).await?;
        let Some(piece) = piece else {
            let found = digests::text("sha256", &self.hasher.finalize_reset());
            return match found == self.digest {
                true => Ok(None),
                false => Err(Error::new(
                    ErrorKind::Protocol,
                    format!("{}: {} gave {found}", self.what, self.registry),
                )),
            };
        };
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| too_long(&self.what, &self.registry, self.size))?;
        self.hasher.update(&piece);
        Ok(Some(piece))
    }
}

impl Registry {
    /// Opens a blob of an image's repository, as a manifest describes it. It is asked for once: who reads it tries again.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is not there, [`ErrorKind::Protocol`] when it is announced with more bytes than its
    /// descriptor says, and what every request can meet.
    pub async fn blob(&self, image: &ImageName, blob: &Layer) -> Result<Blob, Error> {
        let digest = digests::parse(&blob.digest, &format!("a blob of {}", image.name()))?;
        let what = format!("{digest} of {}", image.name());
        if digest.algorithm() != "sha256" {
            return Err(Error::new(ErrorKind::Protocol, format!("{what}: only sha256 is known")));
        }
        let request = Request {
            image,
            access: self.access(image),
            method: Method::GET,
            path: format!("blobs/{digest}"),
            headers: vec![("accept", "*/*".to_owned())],
            body: Bytes::new(),
            limit: 0,
        };
        let wire = Arc::clone(self.wire());
        let response = wire.open(&request, &what).await?;
        if response.content_length().is_some_and(|length| length > blob.size) {
            return Err(too_long(&what, &image.registry, blob.size));
        }
        let (registry, digest, size) = (image.registry.clone(), digest.into(), blob.size);
        Ok(Blob {
            wire,
            response,
            registry,
            what,
            digest,
            size,
            left: size,
            pace: TransferRate::default(),
            hasher: Sha256::new(),
        })
    }

    /// The bytes of an image's configuration, by its digest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when it is not there, [`ErrorKind::Protocol`] when it is too long to be one, and what every
    /// request can meet.
    pub async fn configuration(&self, image: &ImageName, digest: &str) -> Result<Vec<u8>, Error> {
        let digest = digests::parse(digest, &format!("the configuration of {image}"))?;
        Ok(self.config_bytes(image, &digest, CONFIG).await?.into())
    }
}

fn too_long(what: &str, registry: &str, size: u64) -> Error {
    let message = format!("{what}: {registry} sends more than the {size} bytes that its manifest declares");
    Error::new(ErrorKind::Protocol, message)
}
