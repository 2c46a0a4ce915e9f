//! Computes git's id of a file's contents (a blob id).

use std::fmt;
use std::str::FromStr;

use sha1::{Digest as _, Sha1};

/// SHA-1 of a blob object: git's default object format. Displayed as 40 lower-case hex digits;
/// upper case is accepted when parsing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; 20]);

/// The error for a text that is not a git id, which has 40 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id of git has 40 hex digits")]
pub struct NoBlobId;

impl BlobId {
    /// Returns the id of a blob with these contents.
    #[must_use]
    pub fn of(contents: &[u8]) -> Self {
        let header = format!("blob {}\0", contents.len());
        Self(Sha1::new_with_prefix(header).chain_update(contents).finalize().into())
    }

    /// Returns the bytes of the digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl From<[u8; 20]> for BlobId {
    fn from(digest: [u8; 20]) -> Self {
        Self(digest)
    }
}

impl FromStr for BlobId {
    type Err = NoBlobId;

    fn from_str(text: &str) -> Result<Self, NoBlobId> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(NoBlobId) };
        let mut id = [0; 20];
        if pairs.len() != id.len() {
            return Err(NoBlobId);
        }
        for (byte, pair) in id.iter_mut().zip(pairs) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(id))
    }
}

fn digit(character: u8) -> Result<u8, NoBlobId> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        b'A'..=b'F' => Ok(character - b'A' + 10),
        _ => Err(NoBlobId),
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |at: u8| char::from(DIGITS[usize::from(at)]);
        let text: String = self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
        f.pad(&text)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{BlobId, NoBlobId};

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let digits = "0123456789abcdef0123456789abcdef01234567";
        let id: BlobId = digits.parse().unwrap();
        assert_eq!((id.to_string().as_str(), format!("{id:?}").as_str()), (digits, digits));
        assert_eq!(digits.to_uppercase().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let digits = "0".repeat(40);
        for text in [
            "",
            &digits[1..],
            &format!("{digits}0"),
            &format!("{}g", &digits[1..]),
            &format!("+{}", &digits[1..]),
        ] {
            assert_eq!(text.parse::<BlobId>(), Err(NoBlobId), "{text}");
        }
    }
}
