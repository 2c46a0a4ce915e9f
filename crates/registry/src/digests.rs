//! Hashes of what came, and the parts of addresses that are made of digests and tags.
//!
//! A registry's digests are parsed before anything is asked for with them, so that none leads to
//! another path.

use bytes::Bytes;
use plan::{Digest, ImageName, is_tag};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, ErrorKind, plain};

/// The digest of bytes as this crate names them.
pub(crate) fn sha256(body: &[u8]) -> String {
    text("sha256", &Sha256::digest(body))
}

/// The digest of bytes by the algorithm of another one.
pub(crate) fn like(digest: &Digest, body: &[u8]) -> String {
    match digest.algorithm() {
        "sha512" => text("sha512", &Sha512::digest(body)),
        _ => sha256(body),
    }
}

/// `algorithm:hex`.
pub(crate) fn text(algorithm: &str, hash: &[u8]) -> String {
    format!("{algorithm}:{}", hex::encode(hash))
}

/// A digest that a caller or a registry gives as text; `what` names it in the error.
pub(crate) fn parse(digest: &str, what: &str) -> Result<Digest, Error> {
    Digest::parse(digest)
        .map_err(|why| Error::new(ErrorKind::Protocol, format!("{what}: {:?} is {why}", plain(digest, 80))))
}

/// A digest from a header. An invalid digest is ignored: the specification only recommends the
/// header, and proxies corrupt it.
pub(crate) fn of_header(value: Option<&str>) -> Option<Digest> {
    Digest::parse(value?).ok()
}

/// `blobs/{digest}`.
pub(crate) fn blob_path(digest: &str, image: &ImageName) -> Result<String, Error> {
    Ok(format!("blobs/{}", parse(digest, &format!("a blob of {}", image.name()))?))
}

/// `manifests/{reference}`, which is a digest or a tag.
pub(crate) fn manifest_path(reference: &str, image: &ImageName) -> Result<String, Error> {
    if is_tag(reference) {
        return Ok(format!("manifests/{reference}"));
    }
    Ok(format!("manifests/{}", parse(reference, &format!("a manifest of {}", image.name()))?))
}

/// Holds bytes against the digest that was asked for or shown.
pub(crate) fn expect(image: &ImageName, expected: &Digest, body: &Bytes) -> Result<(), Error> {
    expect_same(image, expected.as_str(), &like(expected, body))
}

/// Holds one digest against another one.
pub(crate) fn expect_same(image: &ImageName, expected: &str, found: &str) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    let message = format!("{image}: {} gave {found} where {expected} was asked for", image.registry);
    Err(Error::new(ErrorKind::Protocol, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_digests_in_urls_are_parsed_first() {
        let image = ImageName::parse("r.example/a/b:1").expect("a reference");
        let good = sha256(b"x");
        assert_eq!(blob_path(&good, &image), Ok(format!("blobs/{good}")));
        assert_eq!(manifest_path(&good, &image), Ok(format!("manifests/{good}")));
        assert_eq!(manifest_path("1.0-rc_1", &image), Ok("manifests/1.0-rc_1".to_owned()));
        for bad in [
            "",
            "sha256:",
            "../../../../v2/secret/blobs/sha256:1",
            "sha256:../../../v2/victim/manifests/latest",
            &format!("{good}&from=secret/repo&x="),
            &format!("{good}?x"),
            &format!("{good}#x"),
            &good.to_uppercase(),
        ] {
            assert_eq!(blob_path(bad, &image).map_err(|error| error.kind), Err(ErrorKind::Protocol), "{bad}");
            assert_eq!(
                manifest_path(bad, &image).map_err(|error| error.kind),
                Err(ErrorKind::Protocol),
                "{bad}"
            );
        }
    }

    #[test]
    fn both_algorithms_are_computed() {
        let long = text("sha512", &Sha512::digest(b"x"));
        let digest = Digest::parse(&long).expect("a digest");
        assert_eq!(like(&digest, b"x"), long);
        assert_ne!(like(&digest, b"y"), long);
        for value in [None, Some(""), Some("sha256:0123"), Some("\"sha256:0\""), Some("not a digest")] {
            assert_eq!(of_header(value), None, "{value:?}");
        }
    }
}
