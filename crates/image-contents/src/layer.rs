//! Reads one layer in one pass: the package records that it adds and the paths that it removes.
//!
//! Follows the OCI image specification, "Image Layer Filesystem Changeset": a file replaces the one
//! in a lower layer, `.wh.NAME` removes NAME, and `.wh..wh..opq` removes everything in its
//! directory. A layer is read without the lower ones, since an engine's archive has layers in no
//! order.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, Read};
use std::iter;

use tar::EntryType;

use crate::compression::unpacked;
use crate::limits::{Beyond, Budget, Consequence, Limit};
use crate::members::{Member, Members};
use crate::parse::rpm::Databases;
use crate::parse::{self, Keeper, Named};
use crate::record::Record;

/// Approximate memory that is counted against [`Limit::Kept`]: for a path of which only the hash is
/// kept, for one that may replace a directory of records, for a record, and for each directory
/// above a record, which is looked up.
const HASH: u64 = 8;
const REMOVAL: u64 = 40;
const RECORD: u64 = 160;
const ABOVE: u64 = 24;

/// Why a log is not read: each layer is read separately.
pub(crate) const LOG_ALONE: &str = "it is the write-ahead log of a database in another layer";

/// The effect of a layer on the records of packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Records by their paths, without a leading `/`.
    pub(crate) records: BTreeMap<String, Found>,
    /// Hashes of the paths that hide everything of the lower layers at and below them, sorted:
    /// whiteouts, and everything that is no directory.
    pub(crate) covers: Vec<u64>,
    /// Hashes of opaque directories, sorted: they hide everything of the lower layers below them.
    pub(crate) opaque: Vec<u64>,
    /// Hashes of those paths that may replace a directory of records: whiteouts and links.
    pub(crate) removals: BTreeSet<u64>,
    /// Bytes of the tar.
    pub bytes: u64,
    /// Bytes counted against [`Limit::Kept`]: approximately the memory that it takes.
    pub kept: u64,
}

/// The content at the path of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its packages.
    Packages(Vec<Named>),
    /// The write-ahead log of the database beside it, whose packages include what the log adds.
    Log,
    /// A hard link to another file of the layer.
    Link(String),
    /// A record that was not read, and why.
    Unread(String),
    /// A record that exceeds a limit.
    Beyond(Beyond),
}

impl Layer {
    fn keep(&mut self, bytes: u64, budget: &Budget) -> Result<(), Beyond> {
        budget.keep(bytes)?;
        self.kept += bytes;
        Ok(())
    }

    fn entry(
        &mut self,
        path: String,
        member: &Member,
        content: impl Read,
        budget: &Budget,
        databases: &mut Databases,
    ) -> io::Result<()> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if name == ".wh..wh..opq" {
            self.keep(HASH + REMOVAL, budget)?;
            let hash = hash(parent);
            self.removals.insert(hash);
            self.opaque.push(hash);
            return Ok(());
        }
        if let Some(name) = name.strip_prefix(".wh.") {
            // Other names with this prefix belong to aufs.
            if !name.starts_with(".wh.") {
                self.keep(HASH + REMOVAL, budget)?;
                let gone =
                    hash(&if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") });
                self.removals.insert(gone);
                self.covers.push(gone);
            }
            return Ok(());
        }
        let kind = member.kind;
        if kind.is_dir() {
            return Ok(());
        }
        self.keep(HASH, budget)?;
        self.covers.push(hash(&path));
        if kind.is_symlink() {
            self.keep(REMOVAL, budget)?;
            self.removals.insert(hash(&path));
        }
        let Some(record) = Record::of(&path) else { return Ok(()) };
        let link = member.link.as_deref().map(clean).transpose()?.flatten();
        let texts = path.len() + link.as_ref().map_or(0, String::len);
        self.keep(RECORD + texts as u64 + ABOVE * depth(&path), budget)?;
        let found = match kind {
            EntryType::Link => match link {
                Some(target) => Found::Link(target),
                None => Found::Unread("a link to nowhere".to_owned()),
            },
            kind if !is_file(kind) => Found::Unread("it is no file".to_owned()),
            _ if member.is_sparse => {
                Found::Unread("it is stored as a sparse file, which is not read".to_owned())
            }
            _ => self.record(record, &path, content, budget, databases)?,
        };
        if !matches!(found, Found::Packages(_)) {
            databases.forget(&path);
        }
        self.records.insert(path, found);
        Ok(())
    }

    /// Reads a record. A record that exceeds its own limit is skipped; the rest of the layer is
    /// read.
    fn record(
        &mut self,
        record: Record,
        path: &str,
        content: impl Read,
        budget: &Budget,
        databases: &mut Databases,
    ) -> io::Result<Found> {
        let mut keeper = Keeper::new(budget);
        let most = match record {
            Record::Rpm | Record::RpmLog => Limit::Database,
            _ => Limit::Record,
        };
        let content = BufReader::new(Bounded { reader: content, read: 0, most });
        let read = parse::record(record, path, content, &mut keeper, databases);
        self.settle(read, &keeper, budget)
    }

    /// Reads the copied databases at the end of the layer, when their logs are complete too.
    fn databases(&mut self, databases: &Databases, budget: &Budget) -> io::Result<()> {
        for path in databases.paths() {
            let found = match path.strip_suffix("-wal") {
                None => {
                    let mut keeper = Keeper::new(budget);
                    let read = databases.read(path, &mut keeper).map_err(Beyond::into);
                    self.settle(read, &keeper, budget)?
                }
                Some(_) if databases.is_empty(path) => continue,
                Some(database) if databases.paths().any(|path| path == database) => Found::Log,
                Some(_) => Found::Unread(LOG_ALONE.to_owned()),
            };
            self.records.insert(path.to_owned(), found);
        }
        Ok(())
    }

    /// Counts the memory of a record's packages, or returns it to the budget if there are none.
    fn settle(
        &mut self,
        read: io::Result<Result<Vec<Named>, String>>,
        keeper: &Keeper<'_>,
        budget: &Budget,
    ) -> io::Result<Found> {
        let found = match read {
            Ok(Ok(packages)) => {
                self.kept += keeper.kept;
                return Ok(Found::Packages(packages));
            }
            Ok(Err(why)) => Found::Unread(why),
            Err(error) => match Beyond::of(&error) {
                Some(beyond) if beyond.0.then() == Consequence::Record => Found::Beyond(beyond),
                _ => {
                    budget.give_back(keeper.kept);
                    return Err(error);
                }
            },
        };
        budget.give_back(keeper.kept);
        Ok(found)
    }
}

/// Reads a layer, compressed or not, to its end.
///
/// # Errors
/// If the stream breaks, is not a layer, or exceeds a limit that is not one of a single record. In
/// the last case, the error contains [`Beyond`].
pub fn read_layer(reader: impl Read, budget: &Budget) -> io::Result<Layer> {
    let mut layer = Layer::default();
    match fill(&mut layer, reader, budget) {
        Ok(()) => Ok(layer),
        Err(error) => {
            budget.give_back(layer.kept);
            Err(error)
        }
    }
}

fn fill(layer: &mut Layer, mut reader: impl Read, budget: &Budget) -> io::Result<()> {
    let mut bytes = 0;
    {
        let metered = Metered { reader: unpacked(&mut reader)?, bytes: &mut bytes, budget };
        let mut members = Members::new(metered);
        let mut databases = Databases::default();
        while let Some(member) = members.next()? {
            let Some(path) = clean(&member.path)? else { continue };
            layer.entry(path, &member, members.content(), budget, &mut databases)?;
        }
        layer.databases(&databases, budget)?;
        // The tar may be followed by padding, which belongs to the blob as well.
        io::copy(&mut members.into_rest(), &mut io::sink())?;
    }
    io::copy(&mut reader, &mut io::sink())?;
    layer.bytes = bytes;
    for set in [&mut layer.covers, &mut layer.opaque] {
        set.sort_unstable();
        set.dedup();
        set.shrink_to_fit();
    }
    Ok(())
}

fn is_file(kind: EntryType) -> bool {
    kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse()
}

/// Normalizes a path: without `./`, without a leading or trailing `/`. Returns `None` for a path
/// that leads out of the image, or that is not UTF-8, since paths of records are.
fn clean(path: &[u8]) -> Result<Option<String>, Beyond> {
    let Ok(path) = str::from_utf8(path) else { return Ok(None) };
    let mut clean = String::with_capacity(path.len());
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    for (above, part) in (0..).zip(parts) {
        if part == ".." {
            return Ok(None);
        }
        Limit::Depth.check(above)?;
        if !clean.is_empty() {
            clean.push('/');
        }
        clean.push_str(part);
    }
    Ok((!clean.is_empty()).then_some(clean))
}

/// Number of directories above a path.
fn depth(path: &str) -> u64 {
    path.bytes().filter(|byte| *byte == b'/').count() as u64
}

/// Hash of a path. Hashes are short, and a layer can have hundreds of thousands of paths.
fn hash(path: &str) -> u64 {
    hashes(path).last().unwrap_or_default()
}

/// Hashes of the root, of each directory above a path, and of the path, in one pass over it. The
/// same in every run.
pub(crate) fn hashes(path: &str) -> impl Iterator<Item = u64> + '_ {
    let mut hasher = DefaultHasher::new();
    let parts = path.split('/').filter(|part| !part.is_empty());
    iter::once(hasher.finish()).chain(parts.map(move |part| {
        #[cfg(test)]
        tests::HASHED.with(|hashed| hashed.set(hashed.get() + 1));
        part.hash(&mut hasher);
        hasher.finish()
    }))
}

/// Reads a record, up to a limit.
struct Bounded<R> {
    reader: R,
    read: u64,
    most: Limit,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.most.most() - self.read).unwrap_or(usize::MAX);
        if left == 0 && !buffer.is_empty() {
            return match self.reader.read(&mut buffer[..1])? {
                0 => Ok(0),
                _ => Err(Beyond(self.most).into()),
            };
        }
        let most = left.min(buffer.len());
        let read = self.reader.read(&mut buffer[..most])?;
        self.read += read as u64;
        Ok(read)
    }
}

/// Counts the unpacked bytes of this layer and of all that share the budget.
struct Metered<'a, R> {
    reader: R,
    bytes: &'a mut u64,
    budget: &'a Budget,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        *self.bytes += read as u64;
        Limit::LayerUnpacked.check(*self.bytes)?;
        self.budget.unpack(read as u64)?;
        Ok(read)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::stack::hides;

    thread_local! {
        /// Number of hashed components of paths.
        pub(crate) static HASHED: Cell<u64> = const { Cell::new(0) };
    }

    /// An entry of a layer.
    pub(crate) enum Entry<'a> {
        File(&'a str, &'a str),
        Dir(&'a str),
        Symlink(&'a str, &'a str),
        Hard(&'a str, &'a str),
    }

    pub(crate) fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for entry in entries {
            let mut header = tar::Header::new_gnu();
            let (path, kind, link, content) = match entry {
                Entry::File(path, content) => (path, EntryType::Regular, None, *content),
                Entry::Dir(path) => (path, EntryType::Directory, None, ""),
                Entry::Symlink(path, to) => (path, EntryType::Symlink, Some(to), ""),
                Entry::Hard(path, to) => (path, EntryType::Link, Some(to), ""),
            };
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            match link {
                Some(to) => tar.append_link(&mut header, path, to).unwrap(),
                None => tar.append_data(&mut header, path, content.as_bytes()).unwrap(),
            }
        }
        tar.into_inner().unwrap()
    }

    pub(crate) fn layer(entries: &[Entry<'_>]) -> Layer {
        read_layer(&tar(entries)[..], &Budget::default()).unwrap()
    }

    #[test]
    fn a_layer_keeps_records_and_what_it_hides() {
        let python = "opt/lib/python3/site-packages";
        let long = "x".repeat(120);
        let layer = layer(&[
            Entry::Dir("./opt/"),
            Entry::File(&format!("./{python}/a-1.dist-info/METADATA"), "Name: a\nVersion: 1\n"),
            Entry::File(&format!("{python}/{long}-1.dist-info/METADATA"), "Name: long\nVersion: 1\n"),
            Entry::Hard(
                &format!("{python}/b-1.dist-info/METADATA"),
                &format!("{python}/a-1.dist-info/METADATA"),
            ),
            Entry::Symlink(&format!("{python}/c-1.egg-info"), "elsewhere"),
            Entry::File("usr/share/big", &"x".repeat(5000)),
            Entry::File("etc/.wh.gone", ""),
            Entry::File("srv/.wh..wh..opq", ""),
            Entry::File("srv/.wh..wh.plnk", ""),
            Entry::File("opt/conda/conda-meta/x.json", "no"),
        ]);
        let records: Vec<String> =
            layer.records.iter().map(|(path, found)| format!("{path}: {found:?}")).collect();
        insta::assert_snapshot!(records.join("\n").replace(&long, "LONG"), @r#"
        opt/conda/conda-meta/x.json: Unread("it is not JSON as conda writes it, line 1")
        opt/lib/python3/site-packages/a-1.dist-info/METADATA: Packages([Named { name: "a", version: "1" }])
        opt/lib/python3/site-packages/b-1.dist-info/METADATA: Link("opt/lib/python3/site-packages/a-1.dist-info/METADATA")
        opt/lib/python3/site-packages/c-1.egg-info: Unread("it is no file")
        opt/lib/python3/site-packages/LONG-1.dist-info/METADATA: Packages([Named { name: "long", version: "1" }])
        "#);
        for (path, hidden) in [
            ("etc/gone", true),
            ("etc/gone/below", true),
            ("etc/goner", false),
            ("etc", false),
            ("srv", false),
            ("srv/www/x", true),
            ("usr/share/big/was/a/directory", true),
            ("opt/lib", false),
        ] {
            assert_eq!(hides(&layer, path), hidden, "{path}");
        }
        assert_eq!(layer.bytes % 512, 0);
        assert!(layer.bytes > 5000);
    }

    #[test]
    fn a_broken_stream_is_an_error() {
        let whole = tar(&[Entry::File("var/lib/dpkg/status", &"Package: a\nVersion: 1\n\n".repeat(100))]);
        let budget = Budget::default();
        assert!(read_layer(&whole[..1024], &budget).is_err());
        assert!(read_layer(&b"no tar"[..], &budget).is_err());
    }

    #[test]
    fn unpacked_bytes_are_counted_of_a_layer_and_of_all() {
        let read = |before: u64, budget: &Budget| {
            let mut bytes = before;
            Metered { reader: &b"x"[..], bytes: &mut bytes, budget }.read(&mut [0; 8])
        };
        let budget = Budget::default();
        let beyond = |read: io::Result<usize>| Beyond::of(&read.unwrap_err());
        assert_eq!(read(Limit::LayerUnpacked.most() - 1, &budget).unwrap(), 1);
        assert_eq!(beyond(read(Limit::LayerUnpacked.most(), &budget)), Some(Beyond(Limit::LayerUnpacked)));
        budget.unpack(Limit::Unpacked.most() - 1).unwrap();
        assert_eq!(beyond(read(0, &budget)), Some(Beyond(Limit::Unpacked)));
    }

    /// Files, removals and links take little memory each, but there may be many.
    #[test]
    fn files_of_every_kind_are_counted() {
        for entry in [
            Entry::File("x", ""),
            Entry::Symlink("x", "y"),
            Entry::Hard("x", "y"),
            Entry::File("a/.wh.x", ""),
            Entry::File("a/.wh..wh..opq", ""),
        ] {
            let budget = Budget::default();
            budget.keep(Limit::Kept.most() - HASH + 1).unwrap();
            let error = read_layer(&tar(&[entry])[..], &budget).unwrap_err();
            assert_eq!(Beyond::of(&error), Some(Beyond(Limit::Kept)));
        }
    }

    /// A layer that could not be read returns its memory to the budget.
    #[test]
    fn what_is_not_kept_is_given_back() {
        let whole = tar(&[Entry::File("var/lib/dpkg/status", &"Package: a\nVersion: 1\n\n".repeat(100))]);
        let budget = Budget::default();
        for _ in 0..3 {
            assert!(read_layer(&whole[..2048], &budget).is_err());
        }
        budget.keep(Limit::Kept.most()).unwrap();
        assert_eq!(Beyond::of(&read_layer(&whole[..], &budget).unwrap_err()), Some(Beyond(Limit::Kept)));
    }

    #[test]
    fn paths_are_compared_clean() {
        for (path, expect) in
            [("./a//b/", Some("a/b")), ("/a", Some("a")), ("a/../b", None), ("./", None), ("", None)]
        {
            assert_eq!(clean(path.as_bytes()).unwrap().as_deref(), expect, "{path}");
        }
        assert_eq!(clean(b"\xff"), Ok(None));
        // The maximum number of directories, and a file.
        assert!(clean(&b"a/".repeat(257)).unwrap().is_some());
        assert_eq!(clean(&b"a/".repeat(258)), Err(Beyond(Limit::Depth)));
    }
}
