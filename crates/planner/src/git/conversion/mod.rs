//! Converts a file's bytes between disk and blob as git does without external programs: line ends
//! (gitattributes(5), "text" and "eol"; `core.autocrlf`) and `$Id$`. Filter drivers are programs
//! that a tree names, so none is run; Git LFS pointers, a documented format, are read here instead.
//!
//! There are two sets of rules. Those of the *machine* (its settings, and attributes from all
//! places) decide whether git considers a file unmodified. Those of the *tree* (its
//! `.gitattributes` alone) decide which bytes a commit contains, regardless of the machine.
//!
//! Bytes are not converted to or from a `working-tree-encoding`: such a file counts as modified
//! unless git's index records it as unmodified.

pub(in crate::git) mod attributes;
pub(in crate::git) mod rules;

use git2::{AttrCheckFlags, AttrValue, Config, Repository};

use crate::git::error::SourceError;

/// The names of the attributes that determine a conversion.
pub(in crate::git) const NAMES: [&str; 6] =
    ["text", "crlf", "eol", "ident", "filter", "working-tree-encoding"];

/// The conversions of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::git) struct Conversion {
    line_ends: LineEnds,
    /// `eol=crlf`: LF becomes CR LF when a file is written to disk.
    to_crlf: bool,
    ident: bool,
    /// `filter=lfs`: the blob is a pointer to the contents.
    pub(in crate::git) lfs: bool,
    /// Another `filter`: a program that only some machines have.
    pub(in crate::git) filter: Option<String>,
    /// `working-tree-encoding`.
    pub(in crate::git) is_encoded: bool,
}

/// Whether CR LF becomes LF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LineEnds {
    #[default]
    Kept,
    /// Only if the file seems to be text, and its blob does not have CR LF already.
    Guessed,
    Text,
}

/// The conversions that a repository's configuration and attributes request on this machine.
pub(in crate::git) struct Conversions {
    guess: bool,
}

impl Conversions {
    /// Reads the configuration.
    pub(in crate::git) fn of(config: &Config) -> Self {
        let is_input = |value: String| value.eq_ignore_ascii_case("input");
        let guess = config.get_string("core.autocrlf").is_ok_and(is_input)
            || config.get_bool("core.autocrlf").unwrap_or(false);
        Self { guess }
    }

    /// Whether files without attributes can be converted.
    pub(in crate::git) fn by_default(&self) -> bool {
        self.guess
    }

    /// Returns the conversion of the file at a path of the repository.
    pub(in crate::git) fn at(&self, repository: &Repository, path: &str) -> Result<Conversion, SourceError> {
        let value = |name: &str| {
            repository
                .get_attr_bytes(path.as_ref(), name, AttrCheckFlags::FILE_THEN_INDEX)
                .map(|value| Attribute::from(AttrValue::from_bytes(value)))
                .map_err(SourceError::git(format!("cannot read the git attributes of {path}")))
        };
        let mut values = Vec::with_capacity(NAMES.len());
        for name in NAMES {
            values.push(value(name)?);
        }
        let values: [Attribute; NAMES.len()] = values.try_into().expect("one for each name");
        Ok(Conversion::of(values, self.guess))
    }
}

/// The state of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::git) enum Attribute {
    #[default]
    Unspecified,
    Set,
    Unset,
    Value(String),
}

impl From<AttrValue<'_>> for Attribute {
    fn from(value: AttrValue<'_>) -> Self {
        match value {
            AttrValue::True => Self::Set,
            AttrValue::False => Self::Unset,
            AttrValue::String(text) => Self::Value(text.to_owned()),
            AttrValue::Bytes(bytes) => Self::Value(String::from_utf8_lossy(bytes).into_owned()),
            AttrValue::Unspecified => Self::Unspecified,
        }
    }
}

impl Conversion {
    /// Returns the conversion for values of [`NAMES`]. `guess` is the setting `core.autocrlf`.
    pub(in crate::git) fn of(values: [Attribute; NAMES.len()], guess: bool) -> Self {
        let [text, crlf, eol, ident, filter, encoding] = values;
        let line_ends = line_ends(text, crlf, &eol, guess);
        let (lfs, filter) = match filter {
            Attribute::Value(name) if name == "lfs" => (true, None),
            Attribute::Value(name) => (false, Some(name)),
            _ => (false, None),
        };
        Self {
            to_crlf: line_ends != LineEnds::Kept && eol == Attribute::Value("crlf".to_owned()),
            line_ends,
            ident: ident == Attribute::Set,
            lfs,
            filter,
            is_encoded: matches!(encoding, Attribute::Value(_)),
        }
    }

    /// Whether a program or an encoding can change the bytes without changing their number.
    pub(in crate::git) fn is_opaque(&self) -> bool {
        self.filter.is_some() || self.is_encoded
    }

    /// Whether [`Self::to_disk`] changes anything.
    pub(in crate::git) fn changes_disk(&self) -> bool {
        self.to_crlf || self.ident
    }

    /// Returns the bytes of the blob that git makes from these bytes on disk. `known` is the blob
    /// that git has at that path now.
    pub(in crate::git) fn to_git(&self, disk: Vec<u8>, known: Option<&[u8]>) -> Vec<u8> {
        let convert = match self.line_ends {
            LineEnds::Kept => false,
            LineEnds::Text => true,
            LineEnds::Guessed => {
                !is_binary(&disk) && !known.is_some_and(|known| has_crlf(known) && !is_binary(known))
            }
        };
        let bytes = if convert && has_crlf(&disk) { without_crlf(&disk) } else { disk };
        if self.ident { without_ident(bytes) } else { bytes }
    }

    /// Returns the bytes that git writes to disk for these bytes of a blob.
    pub(in crate::git) fn to_disk(&self, blob: Vec<u8>) -> Vec<u8> {
        let bytes = if self.ident { with_ident(blob) } else { blob };
        let guessed = self.line_ends == LineEnds::Guessed;
        if !self.to_crlf || guessed && (has_crlf(&bytes) || is_binary(&bytes)) {
            return bytes;
        }
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for (at, c) in bytes.iter().enumerate() {
            if *c == b'\n' && (at == 0 || bytes[at - 1] != b'\r') {
                out.push(b'\r');
            }
            out.push(*c);
        }
        out
    }
}

/// Decides as git's convert.c: `text`, otherwise the old `crlf`; a set `eol` alone makes the file
/// text.
fn line_ends(text: Attribute, crlf: Attribute, eol: &Attribute, guess: bool) -> LineEnds {
    let decided = match text {
        Attribute::Unspecified => crlf,
        specified => specified,
    };
    let has_eol = matches!(eol, Attribute::Value(value) if value == "lf" || value == "crlf");
    match decided {
        Attribute::Unset => LineEnds::Kept,
        Attribute::Set => LineEnds::Text,
        Attribute::Value(value) if value == "auto" => LineEnds::Guessed,
        Attribute::Value(value) if value == "input" => LineEnds::Text,
        _ if has_eol => LineEnds::Text,
        _ if guess => LineEnds::Guessed,
        _ => LineEnds::Kept,
    }
}

fn has_crlf(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\r\n")
}

fn without_crlf(bytes: &[u8]) -> Vec<u8> {
    let before_newline = |at: usize| bytes.get(at + 1) == Some(&b'\n');
    bytes.iter().enumerate().filter(|(at, c)| **c != b'\r' || !before_newline(*at)).map(|(_, c)| *c).collect()
}

/// Guesses as git's convert.c: a NUL, a CR without LF, or more than one unprintable byte in 128.
fn is_binary(bytes: &[u8]) -> bool {
    let (mut printable, mut unprintable) = (0_usize, 0_usize);
    for (at, c) in bytes.iter().enumerate() {
        match c {
            b'\r' if bytes.get(at + 1) == Some(&b'\n') => {}
            b'\r' | 0 => return true,
            b'\n' => {}
            0x08 | b'\t' | 0x1b | 0x0c => printable += 1,
            0x1a if at + 1 == bytes.len() => {}
            0x00..0x20 | 0x7f => unprintable += 1,
            _ => printable += 1,
        }
    }
    (printable >> 7) < unprintable
}

/// Replaces `$Id: anything$` by `$Id$`, on one line.
fn without_ident(bytes: Vec<u8>) -> Vec<u8> {
    const START: &[u8] = b"$Id:";
    if !bytes.windows(START.len()).any(|window| window == START) {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some(c) = rest.first() {
        if rest.starts_with(START)
            && let Some(end) = rest[START.len()..].iter().position(|c| matches!(c, b'$' | b'\n'))
            && rest[START.len() + end] == b'$'
        {
            out.extend_from_slice(b"$Id$");
            rest = &rest[START.len() + end + 1..];
        } else {
            out.push(*c);
            rest = &rest[1..];
        }
    }
    out
}

/// Replaces `$Id$` by `$Id: {the blob's id} $`.
fn with_ident(blob: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"$Id$";
    if !blob.windows(MARK.len()).any(|window| window == MARK) {
        return blob;
    }
    let id = format!("$Id: {} $", crate::git::working_tree::disk::blob_id(&blob));
    let mut out = Vec::with_capacity(blob.len() + id.len());
    let mut rest = blob.as_slice();
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(MARK) {
            Some(behind) => {
                out.extend_from_slice(id.as_bytes());
                rest = behind;
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// A Git LFS pointer (git-lfs' docs/spec.md, version 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::git) struct Pointer {
    /// SHA-256 of the contents, in hex.
    pub(in crate::git) sha256: String,
    /// The length of the contents in bytes.
    pub(in crate::git) size: u64,
}

impl Pointer {
    /// The largest size of a pointer, in bytes.
    pub(in crate::git) const MAX: usize = 1024;

    /// Parses a pointer; `None` if the bytes are not a pointer.
    pub(in crate::git) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= Self::MAX)?;
        let mut lines = text.lines();
        let version = lines.next()?.strip_prefix("version ")?;
        if !matches!(version, "https://git-lfs.github.com/spec/v1" | "http://git-media.io/v/2") {
            return None;
        }
        let (mut sha256, mut size) = (None, None);
        for line in lines {
            match line.split_once(' ')? {
                ("oid", oid) => sha256 = Some(oid.strip_prefix("sha256:")?),
                ("size", bytes) => size = Some(bytes.parse().ok()?),
                _ => {}
            }
        }
        let sha256 = sha256
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')))?;
        Some(Self { sha256: sha256.to_owned(), size: size? })
    }

    /// Returns the id of the blob that `git lfs clean` would make.
    pub(in crate::git) fn blob_id(&self) -> git2::Oid {
        let Self { sha256, size } = self;
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n");
        crate::git::working_tree::disk::blob_id(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_those_of_git() {
        use LineEnds::{Guessed, Kept, Text};
        for (line_ends, disk, known, expect) in [
            (Kept, "a\r\nb\r\n", None, "a\r\nb\r\n"),
            (Text, "a\r\nb\r\n", None, "a\nb\n"),
            (Text, "a\rb\r\r\n", None, "a\rb\r\n"),
            (Text, "\0\r\n", None, "\0\n"),
            (Guessed, "a\r\nb\n", None, "a\nb\n"),
            (Guessed, "a\r\nb\r", None, "a\r\nb\r"),
            (Guessed, "a\0\r\n", None, "a\0\r\n"),
            (Guessed, "a\x01\r\n", None, "a\x01\r\n"),
            (Guessed, "a\r\nb\r\n", Some("x\r\n"), "a\r\nb\r\n"),
            (Guessed, "a\r\nb\r\n", Some("x\n"), "a\nb\n"),
        ] {
            let conversion = Conversion { line_ends, ..Conversion::default() };
            let made = conversion.to_git(disk.as_bytes().to_vec(), known.map(str::as_bytes));
            assert_eq!(String::from_utf8(made).unwrap(), expect, "{line_ends:?} {disk:?} {known:?}");
        }
    }

    #[test]
    fn attributes_decide_as_git_does() {
        use Attribute::{Set, Unset, Unspecified};
        let value = |text: &str| Attribute::Value(text.to_owned());
        for (guess, text, crlf, eol, expect) in [
            (false, Unspecified, Unspecified, Unspecified, LineEnds::Kept),
            (true, Unspecified, Unspecified, Unspecified, LineEnds::Guessed),
            (true, Unset, Set, value("lf"), LineEnds::Kept),
            (false, Set, Unspecified, Unspecified, LineEnds::Text),
            (false, value("auto"), Unspecified, value("lf"), LineEnds::Guessed),
            (false, Unspecified, Unspecified, value("crlf"), LineEnds::Text),
            (false, Unspecified, value("input"), Unspecified, LineEnds::Text),
            (true, Unspecified, Unset, Unspecified, LineEnds::Kept),
        ] {
            let shown = format!("{text:?} {crlf:?} {eol:?}");
            assert_eq!(line_ends(text, crlf, &eol, guess), expect, "{shown}");
        }
    }

    #[test]
    fn line_ends_on_disk_are_those_of_the_attributes() {
        use Attribute::{Set, Unset, Unspecified};
        let value = |text: &str| Attribute::Value(text.to_owned());
        for (text, eol, blob, expect) in [
            (Unspecified, value("crlf"), "a\nb\r\nc", "a\r\nb\r\nc"),
            (Set, value("crlf"), "\n\n", "\r\n\r\n"),
            (value("auto"), value("crlf"), "a\nb\n", "a\r\nb\r\n"),
            (value("auto"), value("crlf"), "a\nb\r\n", "a\nb\r\n"),
            (value("auto"), value("crlf"), "a\0\n", "a\0\n"),
            (Unset, value("crlf"), "a\n", "a\n"),
            (Set, value("lf"), "a\n", "a\n"),
            (Set, Unspecified, "a\n", "a\n"),
        ] {
            let shown = format!("{text:?} {eol:?} {blob:?}");
            let values = [text, Unspecified, eol, Unspecified, Unspecified, Unspecified];
            let made = Conversion::of(values, false).to_disk(blob.as_bytes().to_vec());
            assert_eq!(String::from_utf8(made).unwrap(), expect, "{shown}");
        }
    }

    #[test]
    fn idents_are_expanded() {
        let conversion = Conversion { ident: true, ..Conversion::default() };
        let made = conversion.to_disk(b"a $Id$ b $Id: x$ $Id".to_vec());
        let id = crate::git::working_tree::disk::blob_id(b"a $Id$ b $Id: x$ $Id");
        assert_eq!(String::from_utf8(made).unwrap(), format!("a $Id: {id} $ b $Id: x$ $Id"));
    }

    #[test]
    fn idents_are_collapsed() {
        let conversion = Conversion { ident: true, ..Conversion::default() };
        let made = conversion.to_git(b"a $Id: 1234 $ b $Id: open\n$Id$ $Id:$".to_vec(), None);
        assert_eq!(String::from_utf8(made).unwrap(), "a $Id$ b $Id: open\n$Id$ $Id$");
    }

    #[test]
    fn pointers() {
        let hex = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let text = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize 12345\n");
        let pointer = Pointer::parse(text.as_bytes()).unwrap();
        assert_eq!((pointer.sha256.as_str(), pointer.size), (hex, 12345));
        assert_eq!(pointer.blob_id(), crate::git::working_tree::disk::blob_id(text.as_bytes()));
        for bad in [
            "",
            "version x\n",
            "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 1\n",
            &text[..80],
        ] {
            assert_eq!(Pointer::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
