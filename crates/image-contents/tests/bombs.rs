//! Layers that are made to exhaust their reader (`cases/bombs-in-layers`). Each is a stream that is
//! generated while it is read. The tests assert the outcome, how much of the stream was read, and
//! the peak memory of the reader.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Cursor, Read};

use image_contents::{Beyond, Budget, Contents, Ecosystem, Layer, Limit, contents, read_layer};
use tar::{EntryType, Header};

const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;

/// The system's allocator, which counts the current and the peak memory of each thread.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let now = NOW.get() + bytes;
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

// SAFETY: the system's allocator does the work; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

/// Runs `work`; returns its result and peak memory, without the memory that the thread held before.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    MOST.set(before);
    let done = work();
    (done, usize::try_from(MOST.get() - before).unwrap())
}

/// The same bytes, repeated up to a length.
struct Again {
    text: Vec<u8>,
    at: usize,
    left: u64,
}

fn again(text: &[u8], length: u64) -> Again {
    // Long, so that copying is fast.
    let text = text.repeat((64 << 10) / text.len() + 1);
    Again { text, at: 0, left: length }
}

impl Read for Again {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most =
            usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len()).min(self.text.len() - self.at);
        buffer[..most].copy_from_slice(&self.text[self.at..self.at + most]);
        self.at = (self.at + most) % self.text.len();
        self.left -= most as u64;
        Ok(most)
    }
}

/// Records that are generated one by one.
struct Made<F> {
    make: F,
    number: u64,
    count: u64,
    text: Cursor<Vec<u8>>,
}

fn made<F: FnMut(u64) -> Vec<u8>>(count: u64, make: F) -> Made<F> {
    Made { make, number: 0, count, text: Cursor::default() }
}

impl<F: FnMut(u64) -> Vec<u8>> Read for Made<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.text.read(buffer)?;
            if read > 0 || self.number == self.count {
                return Ok(read);
            }
            self.text = Cursor::new((self.make)(self.number));
            self.number += 1;
        }
    }
}

fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header
}

fn head(name: &str, kind: EntryType, size: u64) -> Cursor<Vec<u8>> {
    Cursor::new(header(name, kind, size).as_bytes().to_vec())
}

fn padding(size: u64) -> Again {
    again(b"\0", size.wrapping_neg() % 512)
}

/// A file as a part of a tar.
fn file<R: Read>(name: &str, size: u64, content: R) -> impl Read + use<R> {
    head(name, EntryType::Regular, size).chain(content).chain(padding(size))
}

fn small(name: &str, content: &str) -> impl Read + use<> {
    file(name, content.len() as u64, Cursor::new(content.as_bytes().to_vec()))
}

/// A pax header.
fn pax(records: &[(&str, &str)]) -> impl Read + use<> {
    let record = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        let digits = (1..).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap();
        format!("{}{rest}", rest.len() + digits)
    };
    let text: String = records.iter().map(record).collect();
    let size = text.len() as u64;
    head("pax", EntryType::XHeader, size).chain(Cursor::new(text.into_bytes())).chain(padding(size))
}

/// A file whose path is in a pax header.
fn by_pax(path: &str, content: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    pax(&[("path", path)]).chain(small("x", content)).read_to_end(&mut bytes).unwrap();
    bytes
}

fn end() -> Again {
    again(b"\0", 1024)
}

/// A valid record after the bomb.
fn survivor() -> impl Read {
    small("l/site-packages/a-1.dist-info/METADATA", "Name: a\nVersion: 1\n").chain(end())
}

/// The result of reading a layer.
struct Outcome {
    read: io::Result<Layer>,
    /// Bytes that were read from the stream.
    taken: u64,
    peak: usize,
}

fn outcome(stream: impl Read) -> Outcome {
    with(&Budget::default(), stream)
}

/// A sixteenth of the memory limit, which is reached sooner.
const LESS: u64 = Limit::Kept.most() / 16;

fn with(budget: &Budget, stream: impl Read) -> Outcome {
    let mut stream = Counted { stream, taken: 0 };
    let (read, peak) = peak(|| read_layer(&mut stream, budget));
    Outcome { read, taken: stream.taken, peak }
}

struct Counted<R> {
    stream: R,
    taken: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buffer)?;
        self.taken += read as u64;
        Ok(read)
    }
}

impl Outcome {
    /// Asserts that the layer is refused for a limit before much of it is read.
    #[track_caller]
    fn refused(self, limit: Limit, memory: usize, taken: u64) {
        let error = self.read.unwrap_err();
        assert_eq!(Beyond::of(&error), Some(Beyond(limit)), "{error}");
        assert!(self.peak < memory, "{} bytes of memory", self.peak);
        assert!(self.taken < taken, "{} bytes were taken", self.taken);
    }

    /// Asserts that the layer is read, that the record is named as unread, and that the record
    /// behind it is found.
    #[track_caller]
    fn unread(self, path: &str, why: &str, is_beyond: bool, memory: usize) {
        let layer = self.read.unwrap();
        let Contents { packages, unread } = contents(&[&layer]);
        let unread: Vec<_> =
            unread.iter().map(|one| (one.path.as_str(), one.why.as_str(), one.is_beyond)).collect();
        assert_eq!(unread, [(path, why, is_beyond)]);
        let packages: Vec<_> =
            packages.keys().map(|package| (package.ecosystem, package.name.as_str())).collect();
        assert_eq!(packages, [(Ecosystem::Python, "a")]);
        assert!(self.peak < memory, "{} bytes of memory", self.peak);
    }
}

const STATUS: &str = "var/lib/dpkg/status";

/// 512 bytes that expand to 2^60.
#[test]
fn case_bombs_in_layers_sparse() {
    let mut sparse = header(STATUS, EntryType::GNUSparse, 0);
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.set_real_size(1 << 60);
    gnu.sparse[0].set_offset(1 << 60);
    gnu.sparse[0].set_length(0);
    sparse.set_cksum();
    let why = "it is stored as a sparse file, which is not read";
    outcome(Cursor::new(sparse.as_bytes().to_vec()).chain(survivor())).unread(STATUS, why, false, MIB);

    // The pax format: the map of the holes is a part of the content.
    let real = (1_u64 << 60).to_string();
    let pax = pax(&[("GNU.sparse.major", "1"), ("GNU.sparse.name", STATUS), ("GNU.sparse.realsize", &real)]);
    let parts = pax.chain(small("GNUSparseFile.1/status", "1\n0\n")).chain(survivor());
    outcome(parts).unread(STATUS, why, false, MIB);
}

#[test]
fn case_bombs_in_layers_longname() {
    for kind in [EntryType::GNULongName, EntryType::GNULongLink] {
        let bomb = head("././@LongLink", kind, 4 * GIB).chain(again(b"a", 4 * GIB)).chain(survivor());
        outcome(bomb).refused(Limit::Extension, MIB, MIB as u64);
    }
}

#[test]
fn case_bombs_in_layers_pax() {
    for kind in [EntryType::XHeader, EntryType::XGlobalHeader] {
        let record = format!("{} comment=", 4 * GIB);
        let bomb =
            head("pax", kind, 4 * GIB).chain(Cursor::new(record.into_bytes())).chain(again(b"a", 4 * GIB));
        outcome(bomb.chain(survivor())).refused(Limit::Extension, MIB, MIB as u64);
    }
    // Thousands of small records, up to the limit: none of them is kept.
    let size = 12 * 87_381;
    let many =
        head("pax", EntryType::XHeader, size).chain(again(b"12 abc=defg\n", size)).chain(padding(size));
    let read = outcome(many.chain(small(STATUS, "Package: b\nVersion: 1\n")).chain(end()));
    assert_eq!(contents(&[&read.read.unwrap()]).packages.len(), 1);
    assert!(read.peak < 4 * MIB, "{}", read.peak);
}

#[test]
fn case_bombs_in_layers_dpkg() {
    let size = 3 * GIB;
    let bomb = file(STATUS, size, again(b"Package:a\nVersion:1\n\n", size)).chain(survivor());
    outcome(bomb).unread(STATUS, "a record of more than 131,072 packages", true, 24 * MIB);
}

/// The same, compressed: bytes beyond the limit are skipped as they are decompressed.
#[test]
fn case_bombs_in_layers_dpkg_packed() {
    let size = GIB / 4;
    let bomb = file(STATUS, size, again(b"Package:a\nVersion:1\n\n", size)).chain(survivor());
    let packed = flate2::read::GzEncoder::new(bomb, flate2::Compression::fast());
    let outcome = outcome(packed);
    assert!(outcome.taken < 8 * MIB as u64, "it is a bomb: {}", outcome.taken);
    outcome.unread(STATUS, "a record of more than 131,072 packages", true, 32 * MIB);
}

#[test]
fn case_bombs_in_layers_dpkg_distinct() {
    let stanza = |number: u64| format!("Package:p{number:07}\nVersion:1\n\n").into_bytes();
    let size = 3_000_000 * stanza(0).len() as u64;
    let bomb =
        file(STATUS, size, made(150_000, stanza).chain(again(b"\n", size)).take(size)).chain(survivor());
    outcome(bomb).unread(STATUS, "a record of more than 131,072 packages", true, 32 * MIB);

    // No single record is too large, but all together are: kept data has a common limit.
    let stanza = |number: u64| format!("Package:p{number:07}\nVersion:{:0900}\n\n", 0).into_bytes();
    let (count, size) = (1000, 1000 * stanza(0).len() as u64);
    let bomb = made(1000, move |number| {
        let mut record = Vec::new();
        let name = format!("var/lib/dpkg/status.d/{number}");
        file(&name, size, made(count, stanza)).read_to_end(&mut record).unwrap();
        record
    });
    with(&Budget::keeping(LESS), bomb).refused(Limit::Kept, 12 * MIB, 12 * MIB as u64);
}

#[test]
fn case_bombs_in_layers_conda_string() {
    let path = "opt/conda/conda-meta/x.json";
    let (before, after) = (r#"{"version":"1","name":""#, r#""}"#);
    let size = 4 * GIB;
    let content =
        Cursor::new(before.as_bytes()).chain(again(b"a", size)).chain(Cursor::new(after.as_bytes()));
    let whole = size + (before.len() + after.len()) as u64;
    outcome(file(path, whole, content).chain(survivor())).unread(
        path,
        "a string in a record of conda of more than 64 KiB",
        true,
        MIB,
    );
}

/// A record of 4 GiB, nearly all of it in a line that is skipped.
#[test]
fn case_bombs_in_layers_record() {
    let size = 4 * GIB;
    let content = Cursor::new(&b"Package: b\nDescription: "[..]).chain(again(b"a", size)).take(size);
    outcome(file(STATUS, size, content).chain(survivor())).unread(
        STATUS,
        "a record of more than 64 MiB",
        true,
        MIB,
    );
}

#[test]
fn case_bombs_in_layers_conda_deep() {
    let path = "opt/conda/conda-meta/x.json";
    let content = Cursor::new(&b"{\"files\":"[..]).chain(again(b"[", GIB)).take(GIB);
    outcome(file(path, GIB, content).chain(survivor())).unread(
        path,
        "a record of conda of more than 128 levels",
        true,
        MIB,
    );
}

#[test]
fn case_bombs_in_layers_sizes() {
    for size in [&[0xff; 12], b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"] {
        let mut claim = header(STATUS, EntryType::Regular, 0);
        claim.as_old_mut().size.copy_from_slice(size);
        claim.set_cksum();
        let bomb = Cursor::new(claim.as_bytes().to_vec()).chain(again(b"\n", 1 << 40));
        outcome(bomb).refused(Limit::LayerUnpacked, MIB, MIB as u64);
    }
}

#[test]
fn case_bombs_in_layers_paths() {
    let long = by_pax(&format!("{}conda-meta/x.json", "a/".repeat(20_000)), "{}");
    outcome(Cursor::new(long).chain(survivor())).refused(Limit::Path, MIB, MIB as u64);
    let deep = by_pax(&format!("{}conda-meta/x.json", "a/".repeat(300)), "{}");
    outcome(Cursor::new(deep).chain(survivor())).refused(Limit::Depth, MIB, MIB as u64);
}

/// Very many small records with the longest paths.
#[test]
fn case_bombs_in_layers_records() {
    let directory = "d".repeat(250);
    let directory = format!("{directory}/").repeat(15);
    let bomb = made(1 << 20, |number| {
        by_pax(&format!("{directory}{number}/conda-meta/x.json"), r#"{"name":"p","version":"1"}"#)
    });
    with(&Budget::keeping(LESS), bomb).refused(Limit::Kept, 12 * MIB, 64 * MIB as u64);
}

/// Hard links that repeat the packages of one record.
#[test]
fn case_bombs_in_layers_links_to_a_record() {
    let stanza = |number: u64| format!("Package:p{number:07}\nVersion:1\n\n").into_bytes();
    let (count, size) = (100_000, 100_000 * stanza(0).len() as u64);
    let links = made(5000, |number| {
        let mut link = header(&format!("var/lib/dpkg/status.d/z{number}"), EntryType::Link, 0);
        link.as_old_mut().linkname[..STATUS.len()].copy_from_slice(STATUS.as_bytes());
        link.set_cksum();
        link.as_bytes().to_vec()
    });
    let bomb = file(STATUS, size, made(count, stanza)).chain(links).chain(end());
    let layer = read_layer(bomb, &Budget::default()).unwrap();
    let (found, peak) = peak(|| contents(&[&layer]));
    assert_eq!(found.packages.len(), 100_000);
    assert_eq!((found.unread.len(), found.unread[0].is_beyond), (1000, true));
    assert_eq!(found.unread[0].why, "an image of more than 262,144 packages");
    assert!(
        found.unread[999].why.ends_with("; 3999 further records were not read either"),
        "{:?}",
        found.unread[999]
    );
    assert!(peak < 80 * MIB, "{peak}");
}

/// Unread records are listed by name up to a maximum number.
#[test]
fn many_unread_records_are_counted() {
    let links = made(5000, |number| {
        let path = format!("l/site-packages/{number:04}.egg-info");
        header(&path, EntryType::Symlink, 0).as_bytes().to_vec()
    });
    let layer = read_layer(links.chain(end()), &Budget::default()).unwrap();
    let unread = contents(&[&layer]).unread;
    assert_eq!(unread.len(), 1000);
    assert_eq!(unread[999].why, "it is no file; 4000 further records were not read either");
}
