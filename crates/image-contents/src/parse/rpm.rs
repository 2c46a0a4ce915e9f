//! rpm's database since 4.16: SQLite, with a header of each package as a blob (rpm's documents "RPM database" and "Header
//! format"). The older forms, Berkeley DB and ndb, are not read.

use std::io::{self, BufRead, Seek, Write};

use super::architecture::by_name;
use super::sqlite::{Column, Database, Row};
use super::{Keeper, Named};
use crate::limits::{Beyond, Limit};

/// A database beyond this waits in a file without a name; SQLite's pages can be read in no order of a stream.
const IN_MEMORY: usize = 32 << 20;
/// What names a package lies in the first so many bytes of its header, in all that rpm writes by far.
const HEADER: usize = 16 << 20;
/// The longest text in a header.
const TEXT: usize = Limit::Text.length() + 1;
/// The header follows the row's head and the package's number: so far from the row's beginning.
const NUMBER: usize = 64;
/// A header has no more entries than this (rpm's own bound).
const ENTRIES: usize = 0xffff;

/// What is asked of a header, by rpm's tags.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
/// Types of entries.
const INT32: u32 = 4;
const STRING: u32 = 6;

pub(super) fn read(
    mut reader: impl BufRead,
    keeper: &mut Keeper<'_>,
) -> io::Result<Result<Vec<Named>, String>> {
    let mut laid_by = tempfile::spooled_tempfile(IN_MEMORY);
    let mut size = 0;
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        let read = bytes.len();
        size += read as u64;
        Limit::Database.check(size)?;
        // A full disk is no fault of the image's.
        if let Err(error) = laid_by.write_all(bytes) {
            return Ok(Err(format!("it cannot be laid by to be read: {error}")));
        }
        reader.consume(read);
    }
    let mut beyond = None;
    let found = packages(laid_by, |texts| {
        keeper.package(texts).map_err(|why| {
            beyond = Some(why);
            why.to_string()
        })
    });
    match beyond {
        Some(beyond) => Err(Beyond::into(beyond)),
        None => Ok(found),
    }
}

/// What SQLite did not yet write into the database.
pub(super) fn read_log(mut reader: impl BufRead) -> io::Result<Result<Vec<Named>, String>> {
    match reader.fill_buf()?.is_empty() {
        true => Ok(Ok(Vec::new())),
        false => Ok(Err("what rpm had not yet moved from here into its database is not read".to_owned())),
    }
}

fn packages(
    file: impl io::Read + Seek,
    mut keep: impl FnMut(&[&String]) -> Result<(), String>,
) -> Result<Vec<Named>, String> {
    let mut database = Database::open(file)?;
    let root = database.table("Packages")?;
    let mut found = Vec::new();
    database.rows(root, |row| {
        // hnum, blob
        let columns = row.columns()?;
        let Some(Column::Bytes(blob)) = columns.get(1) else {
            return Err("a package has no header".to_owned());
        };
        if blob.start > NUMBER {
            return Err("a package's header does not follow its number".to_owned());
        }
        let (named, architecture) = header(row, blob.start)?;
        keep(&[&named.name, &named.version, &architecture])?;
        found.push((named, architecture));
        Ok(())
    })?;
    Ok(by_name(found))
}

/// The package of a header, and its architecture: two counts, the entries, then what these point to.
fn header<R: io::Read + Seek>(row: &mut Row<'_, R>, start: usize) -> Result<(Named, String), String> {
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).unwrap_or_default()
    };
    let entries = number(row.bytes(&(start..start + 8))?, 0) as usize;
    if entries > ENTRIES {
        return Err(format!("the header of a package has {entries} entries"));
    }
    let data = start + 8 + 16 * entries;
    let mut found: [Option<usize>; 5] = [None; 5];
    for entry in row.bytes(&(start + 8..data))?.chunks_exact(16) {
        let (tag, kind, offset) = (number(entry, 0), number(entry, 4), number(entry, 8));
        let at = match (tag, kind) {
            (NAME, STRING) => 0,
            (VERSION, STRING) => 1,
            (RELEASE, STRING) => 2,
            (EPOCH, INT32) => 3,
            (ARCH, STRING) => 4,
            _ => continue,
        };
        found[at].get_or_insert(data + offset as usize);
    }
    if found.iter().flatten().any(|at| *at > HEADER) {
        return Err("the header of a package is longer than any that rpm writes".to_owned());
    }
    let mut text = |at: Option<usize>| -> Result<Option<String>, String> {
        let Some(at) = at else { return Ok(None) };
        let bytes = row.begin(at + TEXT)?.get(at..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| "a text in the header of a package has no end".to_owned())?;
        Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
    };
    let [name, version, release, epoch, architecture] = found;
    let (Some(name), Some(mut version)) = (text(name)?, text(version)?) else {
        return Err("the header of a package tells no name or no version".to_owned());
    };
    if let Some(release) = text(release)? {
        version = format!("{version}-{release}");
    }
    let architecture = text(architecture)?.unwrap_or_default();
    if let Some(at) = epoch {
        version = format!("{}:{version}", number(row.bytes(&(at..at + 4))?, 0));
    }
    Ok((Named { name, version }, architecture))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::Budget;
    use crate::parse::show;

    /// A database as rpm 4.18 wrote it: twelve packages, one with a long description, one of a foreign architecture.
    fn database() -> Vec<u8> {
        let mut bytes = Vec::new();
        let packed = &include_bytes!("fixtures/rpmdb.sqlite.gz")[..];
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_database_that_rpm_wrote_is_read() {
        let told = show(&database(), read);
        let mut told: Vec<&str> = told.lines().collect();
        told.sort_unstable();
        insta::assert_snapshot!(told.join("\n"), @r"
        bash 5.1.8-9.el9
        dbus 1:1.12.20-8.el9
        lib1 0.1-1
        lib2 0.2-1
        lib3 0.3-1
        lib4 0.4-1
        lib5 0.5-1
        lib6 0.6-1
        openssl 1:3.0.7-27.el9
        tzdata 2024a-1.el9
        zlib 1.2.11-40.el9
        zlib:i686 1.2.11-40.el9
        ");
    }

    #[test]
    fn one_that_is_not_kept_in_memory_tells_the_same() {
        let mut large = database();
        let small = show(&large, read);
        large.resize(IN_MEMORY + (1 << 20), 0);
        assert_eq!(show(&large, read), small);
    }

    #[test]
    fn what_is_no_database_says_so() {
        let whole = database();
        let mut circle = whole.clone();
        // The first page of a table that has pages below it, as its own last child.
        let page = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let root = (1..whole.len() / 4096).find(|n| whole[n * 4096] == 5).unwrap();
        assert_ne!(page(&whole[root * 4096 + 8..]), 0);
        circle[root * 4096 + 8..][..4].copy_from_slice(&u32::try_from(root + 1).unwrap().to_be_bytes());
        let mut other = whole.clone();
        let name = other.windows(8).position(|bytes| bytes == b"Packages").unwrap();
        other[name..name + 8].copy_from_slice(b"Verfugte");
        let all = [Vec::new(), b"no database".to_vec(), whole[..8192].to_vec(), circle, other];
        let told: Vec<String> = all.iter().map(|bytes| show(bytes, read)).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        error: it is no database of SQLite
        error: it is no database of SQLite
        error: the database is damaged: it has no page 33
        error: the database is damaged: its pages go round in a circle
        lib1 0.1-1
        bash 5.1.8-9.el9
        dbus 1:1.12.20-8.el9
        lib2 0.2-1
        lib4 0.4-1
        lib6 0.6-1
        lib5 0.5-1
        zlib 1.2.11-40.el9
        lib3 0.3-1
        openssl 1:3.0.7-27.el9
        zlib:i686 1.2.11-40.el9
        tzdata 2024a-1.el9
        ");
    }

    #[test]
    fn a_log_counts_when_there_is_something_in_it() {
        assert_eq!(show(b"", |text, _| read_log(text)), "");
        assert_eq!(
            show(b"7", |text, _| read_log(text)),
            "error: what rpm had not yet moved from here into its database is not read"
        );
    }

    proptest! {
        #[test]
        fn nothing_in_a_file_makes_it_fail(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
            heads in prop::collection::vec((0_usize..66, 0_usize..112, any::<u8>()), 0..20),
            end in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = database();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            // Where the pages say what they are.
            for (page, at, byte) in heads {
                bytes[page * 4096 + at] = byte;
            }
            if cut {
                bytes.truncate(end.index(bytes.len()));
            }
            prop_assert!(read(&bytes[..], &mut Keeper::new(&Budget::default())).is_ok());
        }
    }
}
