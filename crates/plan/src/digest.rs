//! Digests of blobs, manifests and images.
//!
//! The grammar is that of the OCI image specification, "Digests", with its two registered
//! algorithms only: digests of other algorithms could not be verified.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `sha256:` and 64 hex digits in lower case, or `sha512:` and 128.
///
/// Safe to be a part of an address, a file name or a Dockerfile as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a digest, which is sha256: and 64 hex digits, or sha512: and 128")]
pub struct DigestError;

impl Digest {
    /// Reads a digest.
    ///
    /// # Errors
    /// For another algorithm, length or case, and for blanks around it.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        if is_digest(text) { Ok(Self(text.to_owned())) } else { Err(DigestError) }
    }

    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `sha256` or `sha512`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

pub(crate) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let digits = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == digits && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        if is_digest(&text) { Ok(Self(text)) } else { Err(DigestError) }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_an_algorithm_and_its_hex_digits() {
        let (short, long) = ("0a".repeat(32), "0a".repeat(64));
        let good = Digest::parse(&format!("sha256:{short}")).expect("a digest");
        assert_eq!(
            (good.algorithm(), good.hex(), good.to_string()),
            ("sha256", &*short, format!("sha256:{short}"))
        );
        assert_eq!(Digest::parse(&format!("sha512:{long}")).map(|digest| digest.hex().len()), Ok(128));
        for bad in [
            String::new(),
            "sha256:".to_owned(),
            "sha256:0123".to_owned(),
            short.clone(),
            format!("sha256:{long}"),
            format!("sha512:{short}"),
            format!("sha384:{}", "0a".repeat(48)),
            format!("SHA256:{short}"),
            format!("sha256:{}", short.to_uppercase()),
            format!("\"sha256:{short}\""),
            format!("sha256:{short} /etc/passwd"),
            format!("sha256:{short}\n"),
            format!(" sha256:{short}"),
            format!("sha256:../../{}", &short[6..]),
            format!("sha256:{}&x=y", &short[4..]),
        ] {
            assert_eq!(Digest::parse(&bad), Err(DigestError), "{bad:?}");
            assert!(serde_json::from_value::<Digest>(bad.clone().into()).is_err(), "{bad:?}");
        }
    }
}
