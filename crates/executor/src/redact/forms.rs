//! The encodings in which a secret is recognised: plain, base64, hex, URL-encoded, JSON-escaped.
//!
//! Pure. Long secrets are searched in pieces, so that parts of them are found too, and so that
//! little output is held back.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Secrets shorter than this many bytes are not redacted.
const SHORTEST: usize = 4;
/// A line of a multi-line secret is also redacted separately if it has at least this many bytes.
const SHORTEST_LINE: usize = 8;
/// Size of the pieces of a long secret, in bytes.
const PIECE: usize = 48;

/// Searches texts for all forms of the secrets.
#[derive(Default)]
pub(crate) struct Forms {
    finder: Option<AhoCorasick>,
    /// Sorted, so that forms that begin with given bytes can be searched.
    forms: Vec<(Vec<u8>, Kind)>,
    longest: usize,
}

/// Whether bytes beside a form belong to the secret too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Whole,
    /// The digits before and after also contain bits of the secret, and padding may follow.
    Base64,
}

impl Forms {
    /// Computes all forms of all secrets.
    pub(crate) fn of<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut all: BTreeMap<Vec<u8>, Kind> = BTreeMap::new();
        for secret in secrets {
            of_secret(secret, &mut |form, kind| {
                if form.len() >= SHORTEST {
                    all.insert(form, kind);
                }
            });
        }
        let forms: Vec<(Vec<u8>, Kind)> = all.into_iter().collect();
        let finder = AhoCorasick::new(forms.iter().map(|(form, _)| form))
            .expect("secrets are limited in size, so their forms are no more than a finder takes");
        let longest = forms.iter().map(|(form, _)| form.len()).max().unwrap_or(0);
        Self { finder: (!forms.is_empty()).then_some(finder), forms, longest }
    }

    /// Whether there are no secrets.
    pub(crate) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// Marks every byte of `text` that belongs to a secret.
    pub(super) fn mark(&self, text: &[u8], marked: &mut [bool]) {
        let Some(finder) = &self.finder else { return };
        for found in finder.find_overlapping_iter(text) {
            let (mut start, mut end) = (found.start(), found.end());
            if self.forms[found.pattern().as_usize()].1 == Kind::Base64 {
                start -= usize::from(start > 0 && is_base64(text[start - 1]));
                end += usize::from(text.get(end).copied().is_some_and(is_base64));
                end += text[end..].iter().take(2).take_while(|byte| **byte == b'=').count();
            }
            marked[start..end].fill(true);
        }
    }

    /// The position at which a form may begin that continues after the end of the text.
    pub(super) fn begun(&self, text: &[u8]) -> Option<usize> {
        let first = text.len().saturating_sub(self.longest.saturating_sub(1));
        (first..text.len()).find(|start| {
            let end = &text[*start..];
            let at = self.forms.partition_point(|(form, _)| form.as_slice() <= end);
            self.forms.get(at).is_some_and(|(form, _)| form.starts_with(end))
        })
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_')
}

fn of_secret(secret: &[u8], add: &mut impl FnMut(Vec<u8>, Kind)) {
    // A final line end is rarely part of the secret, and shells remove it.
    let secret = secret.trim_ascii();
    if secret.len() < SHORTEST {
        return;
    }
    for piece in pieces(secret) {
        of_piece(piece, add);
    }
    let lines = secret.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for piece in lines.filter(|line| line.len() >= SHORTEST_LINE).flat_map(pieces) {
        add(piece.to_vec(), Kind::Whole);
    }
}

/// Splits a long secret into pieces; the last one is the longest.
fn pieces(mut secret: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while secret.len() >= 2 * PIECE {
        let (piece, rest) = secret.split_at(PIECE);
        pieces.push(piece);
        secret = rest;
    }
    pieces.push(secret);
    pieces
}

fn of_piece(piece: &[u8], add: &mut impl FnMut(Vec<u8>, Kind)) {
    // Texts are searched without their line ends.
    let without_ends = |text: &[u8]| text.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
    add(without_ends(piece), Kind::Whole);
    let lossy = String::from_utf8_lossy(piece);
    add(without_ends(lossy.as_bytes()), Kind::Whole);
    let json = serde_json::to_string(&lossy).expect("a text is JSON");
    let json = &json[1..json.len() - 1];
    add(json.as_bytes().to_vec(), Kind::Whole);
    // Go escapes these characters too.
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    add(go.into_bytes(), Kind::Whole);
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        add(piece.iter().flat_map(|byte| hex(*byte, digits)).collect(), Kind::Whole);
        for space in ["%20", "+"] {
            add(url_encoded(piece, digits, space), Kind::Whole);
        }
    }
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(piece);
        // Only digits without bits of neighbouring bytes; each digit has six bits.
        let digits = (before * 8).div_ceil(6)..bytes.len() * 8 / 6;
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            add(engine.encode(&bytes).as_bytes()[digits.clone()].to_vec(), Kind::Base64);
        }
    }
}

fn hex(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]
}

/// Escapes all but the unreserved characters of RFC 3986.
fn url_encoded(bytes: &[u8], digits: &[u8; 16], space: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b' ' => encoded.extend_from_slice(space.as_bytes()),
            b'-' | b'.' | b'_' | b'~' => encoded.push(*byte),
            byte if byte.is_ascii_alphanumeric() => encoded.push(*byte),
            byte => {
                encoded.push(b'%');
                encoded.extend(hex(*byte, digits));
            }
        }
    }
    encoded
}

/// Decodes a URL-encoded text; invalid escapes are kept.
pub(super) fn url_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hex digits are a byte"));
                rest = &behind[2..];
            }
            _ => {
                decoded.push(*first);
                rest = behind;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    use super::*;

    /// Redacts a text in one go.
    fn shown(secret: &[u8], text: &str) -> String {
        let forms = Forms::of([secret]);
        let mut lines = super::super::Lines::default();
        let mut shown = lines.push(text, &forms);
        shown.extend(lines.rest());
        shown.join("\n")
    }

    #[test]
    fn every_form_is_found() {
        let secret = "~~~>>>??? \"ü\"&x";
        let json = serde_json::to_string(secret).unwrap();
        for (text, expect) in [
            (format!("a {secret} b {secret}"), "a *** b ***".to_owned()),
            (format!("a {json} b"), "a \"***\" b".to_owned()),
            (format!("a={};", STANDARD.encode(secret)), "a=***;".to_owned()),
            (format!("a {} b", URL_SAFE.encode(secret)), "a *** b".to_owned()),
            ("~~~%3E%3E%3E%3F%3F%3F%20%22%C3%BC%22%26x".to_owned(), "***".to_owned()),
            ("~~~%3e%3e%3e%3f%3f%3f+%22%c3%bc%22%26x".to_owned(), "***".to_owned()),
            ("7e7e7e3e3e3e3f3f3f2022c3bc222678.".to_owned(), "***.".to_owned()),
            ("nothing of it: ~~~>>>".to_owned(), "nothing of it: ~~~>>>".to_owned()),
        ] {
            assert_eq!(shown(secret.as_bytes(), &text), expect, "{text}");
        }
    }

    #[test]
    fn short_ones_are_left_alone() {
        assert_eq!(shown(b"abc\n", "abc"), "abc");
        assert_eq!(shown(b"abcd\n", "abcde"), "***e");
    }

    #[test]
    fn lines_and_parts_of_long_secrets_are_found() {
        let key = format!(
            "-----BEGIN KEY-----\n{}\n{}\nab\n-----END KEY-----\n",
            "A1b2".repeat(16),
            "x9Y8".repeat(16)
        );
        for line in key.lines() {
            let expect = if line == "ab" { "ab" } else { "***" };
            assert_eq!(shown(key.as_bytes(), line), expect);
        }
    }

    proptest! {
        #[test]
        fn no_encoding_at_any_place_shows_a_secret(
            secret in proptest::collection::vec(any::<u8>(), 4..200),
            before in proptest::collection::vec(any::<u8>(), 0..7),
            after in proptest::collection::vec(any::<u8>(), 0..7),
        ) {
            prop_assume!(secret.trim_ascii().len() == secret.len());
            let all = [before.as_slice(), &secret, &after].concat();
            for text in [STANDARD.encode(&all), URL_SAFE.encode(&all)] {
                let shown = shown(&secret, &text);
                let left = shown.replace(super::super::MARK, "");
                // The rest contains at most the neighbouring bytes, in whole digits.
                prop_assert!(left.trim_end_matches('=').len() <= (before.len() + after.len()) * 8 / 6 + 2, "{shown}");
            }
        }

        #[test]
        fn escapes_are_undone(text in "[a-z%@ü]{0,12}") {
            let encoded = url_encoded(text.as_bytes(), b"0123456789abcdef", "%20");
            prop_assert_eq!(url_decoded(std::str::from_utf8(&encoded).unwrap()), text.as_bytes());
        }
    }
}
