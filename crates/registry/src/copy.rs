//! Copies manifests and blobs from one repository to another, byte for byte.
//!
//! A blob is checked for first, then mounted if the same registry has it in another repository
//! (distribution-spec, "Mounting a blob from another repository"), and otherwise streamed from one
//! side to the other, checked against its digest, and stored nowhere. The caller decides the order.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use plan::{Digest, ImageName};
use reqwest::Method;
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::digests::{blob_path, parse};
use crate::error::{Error, ErrorKind, plain};
use crate::limits::MANIFEST;
use crate::manifest::{Layer, Stored};
use crate::pace::TransferRate;
use crate::referrers::below;
use crate::registry::{Registry, reference};
use crate::wire::{Access, Request};

/// Pieces of a blob that are read and not written yet.
const AHEAD: usize = 2;

/// How a blob came to be where it was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobTransfer {
    /// It was there.
    Found,
    /// The registry had it in another repository.
    Mounted,
    /// It came through here.
    Streamed,
}

impl Registry {
    /// The manifest that a reference names, with what it needs; `None` when it is not there.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] when it is no manifest that we know, and what every request can meet.
    pub async fn stored(&self, image: &ImageName) -> Result<Option<Stored>, Error> {
        match self.get_manifest(image, reference(image)).await? {
            Some((body, digest, media_type)) => read(body, digest, media_type, &image.to_string()).map(Some),
            None => Ok(None),
        }
    }

    /// Stores a manifest under the tag of `image`, or by its digest where that has none. What it needs must be there. Returns
    /// whether the registry keeps the list of what refers to an image by itself, as far as it says so.
    ///
    /// # Errors
    /// What every request can meet.
    pub async fn store(&self, image: &ImageName, stored: &Stored) -> Result<bool, Error> {
        let to = image.tag.as_deref().unwrap_or(&stored.digest);
        let answer = self.put_manifest(image, to, &stored.media_type, stored.body.clone()).await?;
        Ok(answer.header("oci-subject").is_some())
    }

    /// Brings a blob into a repository. `near` is another repository of the same registry that has it, if one is known. `told` hears of
    /// each piece that came through here, by its length.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when the source does not have it; [`ErrorKind::Protocol`] when it has another digest or
    /// length; and what every request of both sides can meet.
    pub async fn bring(
        &self,
        blob: &Layer,
        from: &ImageName,
        to: &ImageName,
        near: Option<&str>,
        told: impl Fn(u64),
    ) -> Result<BlobTransfer, Error> {
        if self.has_blob(to, &blob.digest).await? {
            return Ok(BlobTransfer::Found);
        }
        let same = (from.registry == to.registry).then_some(from.repository.as_str());
        let mut upload = None;
        if let Some(other) = same.or(near).filter(|other| *other != to.repository) {
            match self.mount(to, &blob.digest, other).await {
                Ok(None) => return Ok(BlobTransfer::Mounted),
                Ok(Some(begun)) => upload = Some(begun),
                // The caller may lack read access there and still be able to copy it here.
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => {}
            }
        }
        let mut source = self.blob(from, blob).await?;
        let upload = match upload {
            Some(begun) => begun,
            None => self.begin_upload(to, &blob.digest).await?,
        };
        let what = format!("blob {} of {}", blob.digest, to.name());
        let join = if upload.contains('?') { '&' } else { '?' };
        let request = Request {
            image: to,
            access: Access::Push,
            method: Method::PUT,
            path: format!("{upload}{join}digest={}", blob.digest),
            headers: vec![
                ("content-type", "application/octet-stream".to_owned()),
                ("content-length", blob.size.to_string()),
            ],
            body: Bytes::new(),
            limit: MANIFEST,
        };
        let (sender, pieces) = channel(AHEAD);
        let body = Pieces { pieces, left: blob.size };
        let limit = self.wire().limit();
        let feed = async {
            let (mut left, mut pace) = (blob.size, TransferRate::default());
            while let Some(piece) = source.piece().await? {
                let length = piece.len() as u64;
                left = left.checked_sub(length).ok_or_else(|| wrong_length(&what, from))?;
                if pass_on(&sender, piece, limit, &mut pace).await.is_err() {
                    let message =
                        format!("{what}: {} accepted no data, or too little, for {limit:?}", to.registry);
                    return Err(Error::new(ErrorKind::Connection, message));
                }
                told(length);
            }
            drop(sender);
            if left == 0 { Ok(()) } else { Err(wrong_length(&what, from)) }
        };
        self.wire().upload(&request, reqwest::Body::wrap(body), feed, &what).await?;
        Ok(BlobTransfer::Streamed)
    }

    /// Whether a repository has a blob. Without support for HEAD it is copied, which is harmless if
    /// it exists.
    pub(crate) async fn has_blob(&self, image: &ImageName, digest: &str) -> Result<bool, Error> {
        let path = blob_path(digest, image)?;
        let what = format!("blob {digest} of {}", image.name());
        match self.change(image, Method::HEAD, path, Vec::new(), Bytes::new(), &what).await {
            Ok(answer) => Ok(answer.status != 404),
            Err(error) if error.is_unknown_method() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Mounts a blob of another repository. Where the registry does not do it, it begins an upload,
    /// which is returned.
    async fn mount(&self, to: &ImageName, digest: &str, other: &str) -> Result<Option<String>, Error> {
        let what = format!("blob {digest} of {}", to.name());
        let path = format!("{}{}&from={other}", crate::wire::MOUNT, parse(digest, &what)?);
        let answer = self.change(to, Method::POST, path, Vec::new(), Bytes::new(), &what).await?;
        if answer.status == 201 {
            return Ok(None);
        }
        let upload = answer.header("location").and_then(|location| below(location, &to.repository));
        upload.map(|upload| Some(upload.to_owned())).ok_or_else(|| no_place(&what, to))
    }

    /// Begins an upload, and returns where it goes on.
    pub(crate) async fn begin_upload(&self, to: &ImageName, digest: &str) -> Result<String, Error> {
        let what = format!("blob {digest} of {}", to.name());
        let begin = Method::POST;
        let begun =
            self.change(to, begin, "blobs/uploads/".to_owned(), Vec::new(), Bytes::new(), &what).await?;
        let upload = begun.header("location").and_then(|location| below(location, &to.repository));
        upload.map(str::to_owned).ok_or_else(|| no_place(&what, to))
    }
}

fn no_place(what: &str, to: &ImageName) -> Error {
    let message = format!("{what}: {} names no place for an upload that can be used", to.registry);
    Error::new(ErrorKind::Protocol, message)
}

fn wrong_length(what: &str, from: &ImageName) -> Error {
    let message = format!("{what}: {} has another length than its manifest declares", from.registry);
    Error::new(ErrorKind::Protocol, message)
}

/// Passes a piece on within the time limit of a piece and of the transfer rate. If the receiver is
/// gone, the piece counts as passed on: the receiver has the reason.
async fn pass_on(
    sender: &Sender<Bytes>,
    piece: Bytes,
    limit: std::time::Duration,
    pace: &mut TransferRate,
) -> Result<(), ()> {
    let length = piece.len();
    pace.wait(limit, sender.send(piece)).await.map(drop).map_err(drop)?;
    pace.came(length).map_err(drop)
}

/// The body to send, as it arrives.
struct Pieces {
    pieces: Receiver<Bytes>,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.pieces.poll_recv(context).map(|piece| {
            let piece = piece?;
            self.left = self.left.saturating_sub(piece.len() as u64);
            Some(Ok(Frame::data(piece)))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Takes a manifest apart; `what` names it in errors.
fn read(body: Bytes, digest: String, media_type: String, what: &str) -> Result<Stored, Error> {
    let error = |why: &str| Error::new(ErrorKind::Protocol, format!("{what}: {}", plain(why, 200)));
    let manifest: Value =
        serde_json::from_slice(&body).map_err(|cause| error(&format!("no manifest: {cause}")))?;
    if manifest["schemaVersion"] != 2 {
        return Err(error("the manifest is not of schema version 2"));
    }
    let list = |key: &str| manifest[key].as_array().into_iter().flatten();
    let layers = list("layers").filter(|layer| layer["urls"].as_array().is_none_or(Vec::is_empty));
    let blobs = manifest.get("config").into_iter().chain(layers);
    let blobs = blobs
        .map(|blob| serde_json::from_value(blob.clone()).map_err(|_| error("a blob without digest or size")));
    let manifests = list("manifests").map(|entry| {
        let digest = entry["digest"].as_str().and_then(|digest| Digest::parse(digest).ok());
        digest.map(String::from).ok_or_else(|| error("an index with an entry without digest"))
    });
    Ok(Stored {
        blobs: blobs.collect::<Result<_, _>>()?,
        manifests: manifests.collect::<Result<_, _>>()?,
        artifact_type: manifest["artifactType"].as_str().map(str::to_owned),
        body,
        digest,
        media_type,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(text: &str) -> Result<Stored, Error> {
        read(Bytes::from(text.to_owned()), "sha256:d".to_owned(), "application/x".to_owned(), "r/a:1")
    }

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn a_manifest_tells_what_it_needs() {
        let image = parsed(
            &json!({"schemaVersion": 2, "config": {"digest": digest('c'), "size": 2, "mediaType": "x"}, "layers": [
                {"digest": digest('1'), "size": 3}, {"digest": digest('2'), "size": 4, "urls": ["https://x"]},
                {"digest": digest('3'), "size": 5, "urls": []}]})
            .to_string(),
        )
        .expect("an image");
        let blobs: Vec<_> = image.blobs.into_iter().map(|blob| (blob.digest, blob.size)).collect();
        assert_eq!(blobs, [(digest('c'), 2), (digest('1'), 3), (digest('3'), 5)]);
        assert!(image.manifests.is_empty() && image.artifact_type.is_none());
        let entries = json!([{"digest": digest('1')}, {"digest": digest('2')}]);
        let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
        let index = parsed(&index).expect("an index");
        assert_eq!((index.manifests, index.blobs), (vec![digest('1'), digest('2')], vec![]));
        for (text, why) in [
            ("[", "no manifest"),
            (r#"{"schemaVersion": 1, "fsLayers": []}"#, "schema version 2"),
            (r#"{"schemaVersion": 2, "layers": [{"size": 1}]}"#, "without digest or size"),
            (
                r#"{"schemaVersion": 2, "layers": [{"size": 1, "digest": "sha256:../../x"}]}"#,
                "without digest or size",
            ),
            (
                r#"{"schemaVersion": 2, "config": {"size": 1, "digest": "sha256:0"}}"#,
                "without digest or size",
            ),
            (r#"{"schemaVersion": 2, "manifests": [{}]}"#, "entry without digest"),
            (r#"{"schemaVersion": 2, "manifests": [{"digest": "v2/victim"}]}"#, "entry without digest"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.message.contains(why), "{error}");
        }
    }
}
