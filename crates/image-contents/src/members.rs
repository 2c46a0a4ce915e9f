//! Iterates over the members of a tar, within limits.
//!
//! Engines unpack layers with Go's archive/tar, so its rules apply: a GNU long name takes
//! precedence over pax's `path`, a pax `size` over that of the header, and links, directories and
//! devices have no content. Extension headers are read into memory, so they are bounded; all others
//! stream. Sparse files are recognised, and their content is not expanded. The `tar` crate parses
//! headers; its own archive reader accepts extension headers of any size and expands sparse files.

use std::io::{self, ErrorKind, Read};

use tar::{EntryType, Header};

use crate::limits::Limit;

const BLOCK: usize = 512;
/// Offset of the flag for further blocks of a sparse file's map, in a GNU header and in such a
/// block.
const IS_EXTENDED: usize = 482;
const GOES_ON: usize = 504;

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its path as in the header.
    pub path: Vec<u8>,
    /// Its kind.
    pub kind: EntryType,
    /// The target of a link.
    pub link: Option<Vec<u8>>,
    /// Bytes of content that follow.
    pub size: u64,
    /// Whether the content is only the parts of a sparse file that are not holes.
    pub is_sparse: bool,
}

/// Reads the members of a tar one by one.
pub(crate) struct Members<R> {
    reader: R,
    /// Bytes left of the current member's content, and of the padding of its last block.
    left: u64,
    padding: u64,
    count: u64,
}

/// Values of extension headers for the next member.
#[derive(Default)]
struct ExtensionHeaders {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Option<Vec<u8>>,
}

/// The parts of a pax header that are used.
#[derive(Default)]
struct Pax<'a> {
    path: Option<&'a [u8]>,
    link: Option<&'a [u8]>,
    size: Option<u64>,
    is_sparse: bool,
}

impl<R: Read> Members<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, left: 0, padding: 0, count: 0 }
    }

    /// Returns the next member, skipping the unread content of the previous one; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Member>> {
        let mut told = ExtensionHeaders::default();
        loop {
            self.pass()?;
            let Some(header) = self.header()? else {
                return match told.is_empty() {
                    true => Ok(None),
                    false => Err(damaged("the file that a header tells of is missing")),
                };
            };
            self.count()?;
            let size = header.entry_size()?;
            Limit::LayerUnpacked.check(size)?;
            let place = match header.entry_type() {
                EntryType::GNULongName => &mut told.name,
                EntryType::GNULongLink => &mut told.link,
                EntryType::XHeader => &mut told.pax,
                // Defaults for all members that follow, none of which is used here.
                EntryType::XGlobalHeader => {
                    Limit::Extension.check(size)?;
                    self.expect(size);
                    continue;
                }
                _ => return self.member(&header, size, &told).map(Some),
            };
            if place.is_some() {
                return Err(damaged("two headers tell the same of a file"));
            }
            Limit::Extension.check(size)?;
            self.expect(size);
            let mut text = Vec::new();
            self.content().read_to_end(&mut text)?;
            *place = Some(text);
        }
    }

    /// The content of the current member.
    pub(crate) fn content(&mut self) -> Content<'_, R> {
        Content(self)
    }

    /// The reader after the last member.
    pub(crate) fn into_rest(self) -> R {
        self.reader
    }

    fn member(&mut self, header: &Header, size: u64, told: &ExtensionHeaders) -> io::Result<Member> {
        let pax = told.pax.as_deref().map(Pax::read).transpose()?.unwrap_or_default();
        let kind = header.entry_type();
        let mut is_sparse = pax.is_sparse;
        if kind.is_gnu_sparse() {
            is_sparse = true;
            let mut goes_on = header.as_bytes()[IS_EXTENDED] == 1;
            while goes_on {
                self.count()?;
                let mut block = [0; BLOCK];
                self.reader.read_exact(&mut block)?;
                goes_on = block[GOES_ON] == 1;
            }
        }
        let has_content = !matches!(
            kind,
            EntryType::Link
                | EntryType::Symlink
                | EntryType::Char
                | EntryType::Block
                | EntryType::Directory
                | EntryType::Fifo
        );
        let size = if has_content { pax.size.unwrap_or(size) } else { 0 };
        Limit::LayerUnpacked.check(size)?;
        self.expect(size);
        let path = match (told.name.as_deref().map(text), pax.path) {
            (Some(path), _) | (None, Some(path)) => path.to_vec(),
            (None, None) => header.path_bytes().into_owned(),
        };
        let link = match (told.link.as_deref().map(text), pax.link) {
            (Some(link), _) | (None, Some(link)) => Some(link.to_vec()),
            (None, None) => header.link_name_bytes().map(std::borrow::Cow::into_owned),
        };
        for path in [Some(&path), link.as_ref()].into_iter().flatten() {
            Limit::Path.check(path.len() as u64)?;
        }
        Ok(Member { path, kind, link, size, is_sparse })
    }

    fn count(&mut self) -> io::Result<()> {
        self.count += 1;
        Ok(Limit::Members.check(self.count)?)
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    /// Skips the rest of the current member.
    fn pass(&mut self) -> io::Result<()> {
        let mut buffer = [0; 32 << 10];
        self.left += std::mem::take(&mut self.padding);
        while self.left > 0 {
            self.take(&mut buffer)?;
        }
        Ok(())
    }

    /// Reads from the current member; zero bytes at its end.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let read = loop {
            match self.reader.read(&mut buffer[..most]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            return Err(cut());
        }
        self.left -= read as u64;
        Ok(read)
    }

    /// Reads the next header; `None` at the end.
    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        let bytes = header.as_mut_bytes();
        let mut read = 0;
        while read < BLOCK {
            match self.reader.read(&mut bytes[read..]) {
                Ok(0) if read == 0 => return Ok(None),
                Ok(0) => return Err(cut()),
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        // The checksum field itself counts as blanks.
        let sum = bytes[..148].iter().chain(&bytes[156..]).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
        match header.cksum() {
            Ok(told) if told == sum => Ok(Some(header)),
            _ => Err(damaged("a header has another checksum than it tells")),
        }
    }
}

/// See [`Members::content`].
pub(crate) struct Content<'a, R>(&'a mut Members<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.take(buffer)
    }
}

impl ExtensionHeaders {
    fn is_empty(&self) -> bool {
        self.name.is_none() && self.link.is_none() && self.pax.is_none()
    }
}

impl<'a> Pax<'a> {
    /// Parses records `LENGTH KEY=VALUE\n` (POSIX pax, "pax Extended Header"). The last value of a
    /// key wins.
    fn read(mut bytes: &'a [u8]) -> io::Result<Self> {
        let wrong = || damaged("a pax header cannot be read");
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let blank = bytes.iter().take(8).position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length = str::from_utf8(&bytes[..blank]).ok().and_then(|length| length.parse::<usize>().ok());
            let record = length.and_then(|length| bytes.get(blank + 1..length)).ok_or_else(wrong)?;
            let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                // An empty value deletes an earlier one.
                b"path" => pax.path = Some(value).filter(|value| !value.is_empty()),
                b"linkpath" => pax.link = Some(value).filter(|value| !value.is_empty()),
                b"size" if value.is_empty() => pax.size = None,
                b"size" => {
                    let size = str::from_utf8(value).ok().and_then(|size| size.parse().ok());
                    pax.size = Some(size.ok_or_else(wrong)?);
                }
                _ if key.starts_with(b"GNU.sparse.") => pax.is_sparse = true,
                _ => {}
            }
            if key == b"GNU.sparse.name" {
                pax.path = Some(value);
            }
            bytes = &bytes[blank + 1 + record.len() + 1..];
        }
        Ok(pax)
    }
}

/// A long name without its terminating NUL.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn damaged(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the tar is damaged: {why}"))
}

fn cut() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the tar ends too early")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::Beyond;

    fn header(name: &str, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn block(bytes: &[u8]) -> Vec<u8> {
        let mut block = bytes.to_vec();
        block.resize(bytes.len().next_multiple_of(BLOCK), 0);
        block
    }

    fn pax(records: &[(&str, &str)]) -> Vec<u8> {
        let record = |(key, value): &(&str, &str)| {
            let rest = format!(" {key}={value}\n");
            let length = (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap();
            format!("{}{rest}", rest.len() + length)
        };
        let text: String = records.iter().map(record).collect();
        [&header("pax", EntryType::XHeader, text.len() as u64).as_bytes()[..], &block(text.as_bytes())]
            .concat()
    }

    fn long(kind: EntryType, name: &str) -> Vec<u8> {
        let name = [name.as_bytes(), b"\0"].concat();
        [&header("././@LongLink", kind, name.len() as u64).as_bytes()[..], &block(&name)].concat()
    }

    fn file(name: &str, size: u64, content: &[u8]) -> Vec<u8> {
        [&header(name, EntryType::Regular, size).as_bytes()[..], &block(content)].concat()
    }

    /// Path, link, size and readable content of each member.
    fn all(bytes: &[u8]) -> io::Result<Vec<String>> {
        let (mut members, mut found) = (Members::new(bytes), Vec::new());
        while let Some(member) = members.next()? {
            let mut content = String::new();
            members.content().read_to_string(&mut content)?;
            let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let link = member.link.as_deref().map(|link| format!(" -> {}", show(link))).unwrap_or_default();
            let sparse = if member.is_sparse { " sparse" } else { "" };
            found.push(format!("{}{link}{sparse}: {content}", show(&member.path)));
        }
        Ok(found)
    }

    #[test]
    fn extension_headers_tell_of_the_member_that_follows() {
        let mut sparse = header("holes", EntryType::GNUSparse, 3);
        sparse.as_mut_bytes()[IS_EXTENDED] = 1;
        sparse.set_cksum();
        let mut map = [0; BLOCK];
        map[GOES_ON] = 1;
        let tar = [
            file("a", 3, b"one"),
            long(EntryType::GNULongName, &"n".repeat(200)),
            pax(&[("path", "by-pax"), ("size", "4"), ("SCHILY.xattr.user.x", "two\nlines 9 =")]),
            file("short", 0, b"four"),
            pax(&[("path", "by-pax"), ("path", "twice"), ("linkpath", "gone"), ("linkpath", "")]),
            file("short", 2, b"is"),
            long(EntryType::GNULongLink, "target"),
            header("link", EntryType::Symlink, 7).as_bytes().to_vec(),
            sparse.as_bytes().to_vec(),
            map.to_vec(),
            [0; BLOCK].to_vec(),
            block(b"abc"),
            pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.name", "real")]),
            file("GNUSparseFile.1/real", 1, b"x"),
            header("pax_global_header", EntryType::XGlobalHeader, 600).as_bytes().to_vec(),
            block(&[b'g'; 600]),
            file("last", 1, b"y"),
            vec![0; 2 * BLOCK],
            b"behind the end".to_vec(),
        ]
        .concat();
        insta::assert_snapshot!(all(&tar).unwrap().join("\n").replace(&"n".repeat(200), "LONG"), @r"
        a: one
        LONG: four
        twice: is
        link -> target: 
        holes sparse: abc
        real sparse: x
        last: y
        ");
    }

    #[test]
    fn what_is_beyond_a_bound_or_damaged_says_so() {
        let mut sum = header("a", EntryType::Regular, 0);
        sum.as_mut_bytes()[0] = b'b';
        let mut negative = header("a", EntryType::Regular, 0);
        negative.as_mut_bytes()[124..136].fill(0xff);
        negative.set_cksum();
        for (bytes, expect) in [
            (file("a", 3, b"one")[..BLOCK + 2].to_vec(), "the tar ends too early"),
            (file("a", 3, b"one")[..100].to_vec(), "the tar ends too early"),
            (sum.as_bytes().to_vec(), "the tar is damaged: a header has another checksum than it tells"),
            (negative.as_bytes().to_vec(), "a layer, unpacked, of more than 128 GiB"),
            (file("a", u64::MAX >> 1, b""), "a layer, unpacked, of more than 128 GiB"),
            (
                [pax(&[("size", "18446744073709551615")]), file("a", 0, b"")].concat(),
                "a layer, unpacked, of more than 128 GiB",
            ),
            (
                [pax(&[("size", "-1")]), file("a", 0, b"")].concat(),
                "the tar is damaged: a pax header cannot be read",
            ),
            (
                long(EntryType::GNULongName, "x"),
                "the tar is damaged: the file that a header tells of is missing",
            ),
            (
                [long(EntryType::GNULongName, "x"), long(EntryType::GNULongName, "x")].concat(),
                "the tar is damaged: two headers tell the same of a file",
            ),
            (
                [long(EntryType::GNULongName, &"x".repeat(4097)), file("a", 0, b"")].concat(),
                "a path of more than 4 KiB",
            ),
            (
                [pax(&[("linkpath", &"x/".repeat(2100))]), file("a", 0, b"")].concat(),
                "a path of more than 4 KiB",
            ),
            (
                header("x", EntryType::XHeader, (1 << 20) + 1).as_bytes().to_vec(),
                "a long name or pax header of more than 1 MiB",
            ),
            (
                header("x", EntryType::XGlobalHeader, (1 << 20) + 1).as_bytes().to_vec(),
                "a long name or pax header of more than 1 MiB",
            ),
        ] {
            assert_eq!(all(&bytes).unwrap_err().to_string(), expect);
        }
        let size = all(&header("L", EntryType::GNULongLink, 4 << 30).as_bytes()[..]).unwrap_err();
        assert_eq!(Beyond::of(&size), Some(Beyond(Limit::Extension)));
    }

    #[test]
    fn members_of_every_kind_are_counted() {
        let mut sparse = header("holes", EntryType::GNUSparse, 0);
        sparse.as_mut_bytes()[IS_EXTENDED] = 1;
        sparse.set_cksum();
        let map = [1; BLOCK];
        for bytes in [
            [file("a", 0, b""), file("b", 0, b"")].concat(),
            [pax(&[]), file("b", 0, b"")].concat(),
            [header("g", EntryType::XGlobalHeader, 0).as_bytes().to_vec(), file("b", 0, b"")].concat(),
            [&sparse.as_bytes()[..], &map].concat(),
        ] {
            let mut members = Members { count: Limit::Members.most() - 1, ..Members::new(&bytes[..]) };
            let error = loop {
                match members.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("all of {} bytes were read", bytes.len()),
                    Err(error) => break error,
                }
            };
            assert_eq!(Beyond::of(&error), Some(Beyond(Limit::Members)), "{error}");
        }
    }

    /// Bytes that differ from a tar in a few places.
    fn near_a_tar() -> impl Strategy<Value = Vec<u8>> {
        let tar = [
            long(EntryType::GNULongName, &"n".repeat(600)),
            file("short", 4, b"four"),
            pax(&[("path", "by-pax"), ("linkpath", "to"), ("mtime", "1.5")]),
            header("link", EntryType::Link, 0).as_bytes().to_vec(),
            file("last", 700, &[b'y'; 700]),
            vec![0; 2 * BLOCK],
        ]
        .concat();
        let change = (any::<prop::sample::Index>(), any::<u8>());
        (prop::collection::vec(change, 0..6), any::<bool>()).prop_map(move |(changes, sums)| {
            let mut bytes = tar.clone();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if sums {
                for header in bytes.chunks_exact_mut(BLOCK).filter(|block| &block[257..262] == b"ustar") {
                    let mut sealed = Header::new_old();
                    sealed.as_mut_bytes().copy_from_slice(header);
                    sealed.set_cksum();
                    header.copy_from_slice(sealed.as_bytes());
                }
            }
            bytes
        })
    }

    proptest! {
        /// The members equal those of the `tar` crate if it reads the whole archive, and if the
        /// archive contains nothing that is treated differently on purpose.
        #[test]
        fn members_are_those_that_the_tar_crate_finds(bytes in near_a_tar()) {
            let mut archive = tar::Archive::new(&bytes[..]);
            let mut theirs = Vec::new();
            let mut alike = true;
            for entry in archive.entries().unwrap() {
                let Ok(mut entry) = entry else { alike = false; break };
                let kind = entry.header().entry_type();
                let mut content = Vec::new();
                alike &= entry.read_to_end(&mut content).is_ok() && content.len() as u64 == entry.size();
                alike &= kind.is_file() || kind.is_hard_link() && entry.size() == 0;
                alike &= entry.header().as_gnu().is_some();
                // A name ends at its first NUL here, as in docker; the crate removes the last byte
                // only.
                let link = entry.link_name_bytes();
                alike &= !entry.path_bytes().contains(&0) && !link.is_some_and(|link| link.contains(&0));
                theirs.push((entry.path_bytes().into_owned(), entry.link_name_bytes().map(std::borrow::Cow::into_owned), content));
            }
            let (mut members, mut ours) = (Members::new(&bytes[..]), Vec::new());
            let read = loop {
                match members.next() {
                    Ok(Some(member)) => {
                        let mut content = Vec::new();
                        if members.content().read_to_end(&mut content).is_err() {
                            break Err(());
                        }
                        prop_assert_eq!(content.len() as u64, member.size);
                        ours.push((member.path, member.link, content));
                    }
                    Ok(None) => break Ok(()),
                    Err(_) => break Err(()),
                }
            };
            if alike && read.is_ok() {
                prop_assert_eq!(ours, theirs);
            }
        }
    }
}
