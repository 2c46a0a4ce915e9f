//! Reads rpm's package database in the SQLite format (rpm 4.16 and later): a table `Packages` with
//! one package header a row, as rpm documents under "RPM database" and "Header format". The older
//! formats, Berkeley DB and ndb, are not supported.
//!
//! The files are untrusted. SQLite opens copies of them, read-only and in defensive mode, without
//! views and triggers, with limits for memory, statements and the bytes that are read of headers.
//! SQLite also reads the write-ahead log beside a database.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::{self, BufRead, Write};
use std::path::Path;

use rusqlite::blob::Blob;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit as SqliteLimit;
use rusqlite::{Connection, Error, ErrorCode, MAIN_DB, OpenFlags};
use tempfile::{NamedTempFile, TempDir};

use super::architecture::by_name;
use super::{Keeper, Named};
use crate::limits::{Beyond, Limit};

/// Bytes that SQLite may hold in this process, for all databases together.
const HEAP: i64 = 64 << 20;
/// Virtual machine instructions after which a statement is aborted: a row takes about three.
const INSTRUCTIONS: i32 = 10 * Limit::RecordPackages.length() as i32;
/// Maximum length of a statement in a database's schema, and maximum number of columns of a table.
const STATEMENT: i32 = 64 << 10;
const COLUMNS: i32 = 64;
/// Offset in a header up to which names and versions are read; rpm writes them far before.
const HEADER: usize = 16 << 20;
/// Longest text in a header, with its terminating NUL.
const TEXT: usize = Limit::Text.length() + 1;
/// Maximum number of entries of a header (rpm's own limit).
const ENTRIES: usize = 0xffff;

/// The tags of a header that are read.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
/// Types of entries.
const INT32: u32 = 4;
const STRING: u32 = 6;

/// Copies of the database files of one layer. SQLite needs random access, which the stream of a
/// layer does not give.
#[derive(Default)]
pub(crate) struct Databases {
    /// The copy of each database or log, by its path in the layer. Dropped before its directory is.
    files: BTreeMap<String, NamedTempFile>,
    /// A temporary directory for each directory of the layer, since SQLite reads a log from the
    /// directory of its database.
    directories: BTreeMap<String, TempDir>,
}

impl Databases {
    /// Copies a database or its log; the inner error is a local one, such as a full disk, that the
    /// layer did not cause.
    pub(crate) fn copy(&mut self, path: &str, mut reader: impl BufRead) -> io::Result<Result<(), String>> {
        self.forget(path);
        let file = match self.create(path) {
            Ok(file) => file,
            Err(error) => return Ok(Err(not_copied(&error))),
        };
        let mut size = 0;
        loop {
            let bytes = reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(Ok(()));
            }
            let read = bytes.len();
            size += read as u64;
            Limit::Database.check(size)?;
            if let Err(error) = file.write_all(bytes) {
                self.forget(path);
                return Ok(Err(not_copied(&error)));
            }
            reader.consume(read);
        }
    }

    /// Removes the copy of a file that a later entry of the layer replaces.
    pub(crate) fn forget(&mut self, path: &str) {
        self.files.remove(path);
    }

    /// The copied databases and logs, by their paths in the layer.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether the write-ahead log of a database, given by the log's path, is missing or empty.
    pub(crate) fn is_empty(&self, log: &str) -> bool {
        let size = self.files.get(log).map(|copy| copy.as_file().metadata().map_or(1, |found| found.len()));
        size.is_none_or(|size| size == 0)
    }

    /// Reads the packages of a database, including the changes in its log.
    pub(crate) fn read(
        &self,
        path: &str,
        keeper: &mut Keeper<'_>,
    ) -> Result<Result<Vec<Named>, String>, Beyond> {
        let Some(copy) = self.files.get(path) else { return Ok(Err("it was not copied".to_owned())) };
        let mut beyond = None;
        let found = packages(copy.path(), |texts| {
            keeper.package(texts).map_err(|why| {
                beyond = Some(why);
                why.to_string()
            })
        });
        match beyond {
            Some(beyond) => Err(beyond),
            None => Ok(found),
        }
    }

    fn create(&mut self, path: &str) -> io::Result<&mut NamedTempFile> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = match self.directories.entry(parent.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(tempfile::tempdir()?),
        };
        let file = tempfile::Builder::new().prefix(name).rand_bytes(0).tempfile_in(directory.path())?;
        Ok(self.files.entry(path.to_owned()).insert_entry(file).into_mut())
    }
}

/// Reads a rollback journal, which rpm does not use: one that is not empty is an error, since its
/// changes are not undone here.
pub(super) fn read_journal(mut reader: impl BufRead) -> io::Result<Result<Vec<Named>, String>> {
    match reader.fill_buf()?.is_empty() {
        true => Ok(Ok(Vec::new())),
        false => Ok(Err("a change of its database was not completed".to_owned())),
    }
}

fn not_copied(error: &io::Error) -> String {
    format!("it cannot be copied to a temporary file: {error}")
}

fn packages(
    database: &Path,
    mut keep: impl FnMut(&[&String]) -> Result<(), String>,
) -> Result<Vec<Named>, String> {
    let connection = open(database).map_err(|error| explain(&error))?;
    let log = database.with_file_name("rpmdb.sqlite-wal");
    let size = |path: &Path| path.metadata().map_or(0, |found| found.len());
    // Headers do not share pages, so all of them together are no longer than the files.
    let mut left = size(database) + size(&log);
    let mut statement = match connection.prepare("SELECT rowid FROM Packages") {
        Err(Error::SqlInputError { .. }) => return Err("its table Packages is not one of rpm's".to_owned()),
        statement => statement.map_err(|error| explain(&error))?,
    };
    let mut rows = statement.query([]).map_err(|error| explain(&error))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(|error| explain(&error))? {
        let id = row.get(0).map_err(|error| explain(&error))?;
        let blob = connection.blob_open(MAIN_DB, "Packages", "blob", id, true);
        let blob = blob.map_err(|error| match error {
            Error::SqliteFailure(_, Some(_)) | Error::SqlInputError { .. } => {
                "a package has no header".to_owned()
            }
            error => explain(&error),
        })?;
        let (named, architecture) = header(&blob, &mut left)?;
        keep(&[&named.name, &named.version, &architecture])?;
        found.push((named, architecture));
    }
    Ok(by_name(found))
}

fn open(database: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut connection = Connection::open_with_flags(database, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    for unused in [
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW,
        DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
    ] {
        connection.set_db_config(unused, false)?;
    }
    connection.set_limit(SqliteLimit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT)?;
    connection.set_limit(SqliteLimit::SQLITE_LIMIT_COLUMN, COLUMNS)?;
    connection.progress_handler(INSTRUCTIONS, Some(|| true))?;
    connection.pragma_update(None, "hard_heap_limit", HEAP)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

fn explain(error: &Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => "it is not an SQLite database".to_owned(),
        Some(ErrorCode::OperationInterrupted) => "reading its table takes too many steps".to_owned(),
        _ => format!("SQLite cannot read it: {error}"),
    }
}

/// Reads name, version and architecture from a package header: two counts, the entries, then the
/// data that they point to. `left` is the number of bytes of headers that may still be skipped.
fn header(blob: &Blob<'_>, left: &mut u64) -> Result<(Named, String), String> {
    let number = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).unwrap_or_default()
    };
    let mut furthest = 0;
    let mut bytes = |from: usize, most: usize| -> Result<Vec<u8>, String> {
        let to = blob.len().min(from + most);
        let more = to.saturating_sub(furthest) as u64;
        *left = left.checked_sub(more).ok_or_else(|| "its headers are longer than its files".to_owned())?;
        furthest = furthest.max(to);
        let mut bytes = vec![0; to.saturating_sub(from)];
        blob.read_at_exact(&mut bytes, from).map_err(|error| explain(&error))?;
        Ok(bytes)
    };
    let entries = number(&bytes(0, 8)?, 0) as usize;
    if entries > ENTRIES {
        return Err(format!("the header of a package has {entries} entries"));
    }
    let data = 8 + 16 * entries;
    let mut found: [Option<usize>; 5] = [None; 5];
    for entry in bytes(8, data - 8)?.chunks_exact(16) {
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
        let bytes = bytes(at, TEXT)?;
        let end = bytes.iter().position(|byte| *byte == 0);
        let end = end.ok_or_else(|| "a text in the header of a package has no end".to_owned())?;
        Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
    };
    let [name, version, release, epoch, architecture] = found;
    let (Some(name), Some(mut version)) = (text(name)?, text(version)?) else {
        return Err("the header of a package has no name or no version".to_owned());
    };
    if let Some(release) = text(release)? {
        version = format!("{version}-{release}");
    }
    let architecture = text(architecture)?.unwrap_or_default();
    if let Some(at) = epoch {
        version = format!("{}:{version}", number(&bytes(at, 4)?, 0));
    }
    Ok((Named { name, version }, architecture))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;
    use crate::limits::Budget;
    use crate::parse::show;

    const PATH: &str = "var/lib/rpm/rpmdb.sqlite";

    /// A database that rpm 4.18 wrote: twelve packages, one with a long description, one for
    /// another architecture.
    fn database() -> Vec<u8> {
        let mut bytes = Vec::new();
        let packed = &include_bytes!("fixtures/rpmdb.sqlite.gz")[..];
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn read(database: &[u8], keeper: &mut Keeper<'_>) -> io::Result<Result<Vec<Named>, String>> {
        read_with(database, None, keeper)
    }

    fn read_with(
        database: &[u8],
        log: Option<&[u8]>,
        keeper: &mut Keeper<'_>,
    ) -> io::Result<Result<Vec<Named>, String>> {
        let mut databases = Databases::default();
        databases.copy(PATH, database)?.unwrap();
        if let Some(log) = log {
            databases.copy(&format!("{PATH}-wal"), log)?.unwrap();
        }
        Ok(databases.read(PATH, keeper)?)
    }

    /// The files of a database after some statements, before SQLite moves its log into the
    /// database.
    fn after(statements: &str) -> (Vec<u8>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("rpmdb.sqlite");
        fs::write(&file, database()).unwrap();
        let connection = Connection::open(&file).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection.execute_batch(statements).unwrap();
        (fs::read(&file).unwrap(), fs::read(file.with_file_name("rpmdb.sqlite-wal")).unwrap())
    }

    #[test]
    fn a_database_that_rpm_wrote_is_read() {
        let text = show(&database(), read);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        insta::assert_snapshot!(lines.join("\n"), @r"
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
    fn the_write_ahead_log_is_read_with_its_database() {
        let (main, log) = after(
            "DELETE FROM Packages WHERE instr(blob, CAST('lib1' AS BLOB)) > 0;
             DELETE FROM Packages WHERE instr(blob, CAST('lib2' AS BLOB)) > 0",
        );
        assert!(!log.is_empty());
        assert_eq!(show(&main, read), show(&database(), read), "without its log nothing was deleted");
        let text = show(&main, |main, keeper| read_with(main, Some(&log), keeper));
        assert_eq!(text.lines().count(), 10, "{text}");
        assert!(!text.contains("lib1") && !text.contains("lib2"), "{text}");
        // SQLite ignores a log whose checksums do not match, as it does after a crash.
        let text = show(&main, |main, keeper| read_with(main, Some(b"no log"), keeper));
        assert_eq!(text.lines().count(), 12, "{text}");
    }

    #[test]
    fn a_database_that_is_none_or_damaged_is_an_error() {
        let whole = database();
        let mut circle = whole.clone();
        // The root page of a table that has pages below it becomes its own last child.
        let page = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let root = (1..whole.len() / 4096).find(|n| whole[n * 4096] == 5).unwrap();
        assert_ne!(page(&whole[root * 4096 + 8..]), 0);
        circle[root * 4096 + 8..][..4].copy_from_slice(&u32::try_from(root + 1).unwrap().to_be_bytes());
        let all = [Vec::new(), b"no database".to_vec(), whole[..8192].to_vec(), circle];
        let text: Vec<String> = all.iter().map(|bytes| show(bytes, read)).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        error: SQLite cannot read it: no such table: Packages
        error: it is not an SQLite database
        error: SQLite cannot read it: database disk image is malformed
        error: its headers are longer than its files
        ");
    }

    #[test]
    fn tables_that_rpm_does_not_write_are_errors() {
        let text: Vec<String> = [
            "DROP TABLE Packages",
            "DROP TABLE Packages; CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 \
             FROM n) SELECT blob, blob AS rowid FROM n",
            "DROP TABLE Packages; CREATE VIRTUAL TABLE Packages USING fts5(blob); INSERT INTO Packages VALUES ('a')",
            "DROP TABLE Packages; CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, blob)  WITHOUT ROWID",
            "DROP TABLE Packages; CREATE TABLE Packages(hnum INTEGER PRIMARY KEY, other); INSERT INTO Packages VALUES (1, 2)",
            "DELETE FROM Packages; INSERT INTO Packages VALUES (1, 7)",
            "DELETE FROM Packages; INSERT INTO Packages VALUES (1, zeroblob(100))",
            "DELETE FROM Packages; INSERT INTO Packages VALUES (1, x'7fffffff')",
        ]
        .into_iter()
        .map(|statements| {
            let (main, log) = after(statements);
            show(&main, |main, keeper| read_with(main, Some(&log), keeper))
        })
        .collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        error: SQLite cannot read it: no such table: Packages
        error: SQLite cannot read it: no such table: main.n
        error: a package has no header
        error: its table Packages is not one of rpm's
        error: a package has no header
        error: a package has no header
        error: the header of a package has no name or no version
        error: the header of a package has 2147483647 entries
        ");
    }

    #[test]
    fn a_schema_that_takes_much_memory_is_an_error() {
        let columns: String = (0..60).map(|n| format!("c{n},")).collect();
        // Inserted as rows, so that the limit does not affect the connection that writes them.
        let (main, log) = after(&format!(
            "PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema(type, name, tbl_name, rootpage, sql)
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 60000)
             SELECT 'table', 't' || n, 't' || n, 2, 'CREATE TABLE t' || n || '({columns} d)' FROM n"
        ));
        let text = show(&main, |main, keeper| read_with(main, Some(&log), keeper));
        assert_eq!(text, "error: SQLite cannot read it: out of memory");
    }

    #[test]
    fn a_journal_counts_when_there_is_something_in_it() {
        assert_eq!(show(b"", |text, _| read_journal(text)), "");
        assert_eq!(
            show(b"7", |text, _| read_journal(text)),
            "error: a change of its database was not completed"
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
            // The header of a page contains its type.
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
