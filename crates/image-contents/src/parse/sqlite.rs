//! SQLite's file format, as far as reading the rows of one table needs it ("Database File Format", sqlite.org/fileformat2.html).
//!
//! Nothing of a stranger's file is believed: each of its pages is read once at most, so that nothing goes round in circles,
//! and of a row only its beginning is held. Knows no SQL, and nothing of what lies in a log beside the file.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

const MAGIC: &[u8] = b"SQLite format 3\0";
/// The file's own head, on its first page.
const HEAD: usize = 100;
/// Pages below pages: no file of any size has more.
const DEPTH: usize = 20;
/// So many bytes at the beginning of a row tell what its columns are, and what a table is called.
const COLUMNS: usize = 1024;
/// Tables, indexes and views of a database.
const SCHEMA: usize = 4096;

/// A database.
#[derive(Debug)]
pub(super) struct Database<R> {
    reader: R,
    page_size: usize,
    /// Of a page, without what extensions keep at its end.
    usable: usize,
    pages: u64,
    /// How many pages may still be read.
    left: u64,
}

/// A row, of which more is read as it is asked for.
pub(super) struct Row<'a, R> {
    database: &'a mut Database<R>,
    /// Its bytes so far.
    begin: Vec<u8>,
    /// All of its bytes.
    size: u64,
    /// The page with those that follow; zero when there are none.
    next: u32,
}

/// A column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Column {
    /// A number.
    Integer(i64),
    /// A text or a blob: where it lies in its row.
    Bytes(Range<usize>),
    /// Anything else.
    Other,
}

impl<R: Read + Seek> Database<R> {
    /// Opens a database.
    pub(super) fn open(mut reader: R) -> Result<Self, String> {
        let bytes = reader.seek(SeekFrom::End(0)).map_err(|error| unreadable(&error))?;
        let mut head = [0; HEAD];
        if bytes >= HEAD as u64 {
            reader
                .rewind()
                .and_then(|()| reader.read_exact(&mut head))
                .map_err(|error| unreadable(&error))?;
        }
        if !head.starts_with(MAGIC) {
            return Err("it is no database of SQLite".to_owned());
        }
        let page_size = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 1 << 16,
            size => usize::from(size),
        };
        let usable = page_size.saturating_sub(usize::from(head[20]));
        if !(512..=1 << 16).contains(&page_size) || !page_size.is_power_of_two() || usable < 480 {
            return Err(damaged("its pages have no size that SQLite gives them"));
        }
        if u32::from_be_bytes([head[56], head[57], head[58], head[59]]) > 1 {
            return Err("its texts are not in UTF-8".to_owned());
        }
        let pages = bytes / page_size as u64;
        Ok(Self { reader, page_size, usable, pages, left: pages })
    }

    /// The page where a table begins.
    pub(super) fn table(&mut self, wanted: &str) -> Result<u32, String> {
        let (mut found, mut rows) = (None, 0);
        self.rows(1, |row| {
            rows += 1;
            if rows > SCHEMA {
                return Err(damaged("it has too many tables"));
            }
            // type, name, tbl_name, rootpage, sql
            if let [Column::Bytes(kind), Column::Bytes(name), _, Column::Integer(root), ..] =
                &row.columns()?[..]
                && kind.end <= COLUMNS
                && name.end <= COLUMNS
                && row.bytes(kind)? == b"table"
                && row.bytes(name)? == wanted.as_bytes()
            {
                found = u32::try_from(*root).ok();
            }
            Ok(())
        })?;
        found.ok_or_else(|| format!("it has no table {wanted}"))
    }

    /// Hands on every row of the table that begins at a page, until one is found wrong.
    pub(super) fn rows(
        &mut self,
        root: u32,
        mut each: impl FnMut(&mut Row<'_, R>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut open = vec![(root, 0)];
        while let Some((number, depth)) = open.pop() {
            let page = self.page(number)?;
            let at = if number == 1 { HEAD } else { 0 };
            let (kind, cells) = (page[at], usize::from(short(&page, at + 3)?));
            let pointers = at + if kind == INTERIOR { 12 } else { 8 };
            let cell = |cell: usize| short(&page, pointers + 2 * cell).map(usize::from);
            match kind {
                INTERIOR if depth < DEPTH => {
                    open.push((long(&page, at + 8)?, depth + 1));
                    for n in (0..cells).rev() {
                        open.push((long(&page, cell(n)?)?, depth + 1));
                    }
                }
                LEAF => {
                    for n in 0..cells {
                        each(&mut self.row(&page, cell(n)?)?)?;
                    }
                }
                _ => return Err(damaged(&format!("page {number} belongs to no table"))),
            }
        }
        Ok(())
    }

    /// The row in a cell of a leaf: its size, its number, its beginning, and where it goes on.
    fn row(&mut self, page: &[u8], at: usize) -> Result<Row<'_, R>, String> {
        let (size, at) = varint(page, at)?;
        let (_, at) = varint(page, at)?;
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        let all = usize::try_from(size).unwrap_or(usize::MAX);
        let here = match all {
            all if all <= most => all,
            all => match least + (all - least) % (self.usable - 4) {
                some if some <= most => some,
                _ => least,
            },
        };
        let begin = page.get(at..at + here).ok_or_else(|| damaged("a row goes beyond its page"))?.to_vec();
        let next = if here < all { long(page, at + here)? } else { 0 };
        Ok(Row { database: self, begin, size, next })
    }

    fn page(&mut self, number: u32) -> Result<Vec<u8>, String> {
        let Some(index) = u64::from(number).checked_sub(1).filter(|index| *index < self.pages) else {
            return Err(damaged(&format!("it has no page {number}")));
        };
        self.left = self.left.checked_sub(1).ok_or_else(|| damaged("its pages go round in a circle"))?;
        let mut page = vec![0; self.page_size];
        let from = SeekFrom::Start(index * self.page_size as u64);
        self.reader
            .seek(from)
            .and_then(|_| self.reader.read_exact(&mut page))
            .map_err(|error| unreadable(&error))?;
        page.truncate(self.usable);
        Ok(page)
    }
}

impl<R: Read + Seek> Row<'_, R> {
    /// Its columns.
    pub(super) fn columns(&mut self) -> Result<Vec<Column>, String> {
        let begin = self.begin(COLUMNS)?;
        let (head, mut at) = varint(begin, 0)?;
        let head = usize::try_from(head).ok().filter(|head| *head <= begin.len());
        let head = head.ok_or_else(|| damaged("a row has too many columns"))?;
        let (mut columns, mut from) = (Vec::new(), head);
        while at < head {
            let (kind, next) = varint(begin, at)?;
            let size = match kind {
                0 | 8 | 9 => 0,
                1..=4 => usize::try_from(kind).unwrap_or_default(),
                5 => 6,
                6 | 7 => 8,
                10 | 11 => return Err(damaged("a column has a type that is none")),
                more => usize::try_from((more - 12) / 2).unwrap_or(usize::MAX),
            };
            let to = from.saturating_add(size);
            columns.push(match kind {
                8 | 9 => Column::Integer(i64::from(kind == 9)),
                1..=6 => begin.get(from..to).map_or(Column::Other, |bytes| Column::Integer(integer(bytes))),
                12.. => Column::Bytes(from..to),
                _ => Column::Other,
            });
            (at, from) = (next, to);
        }
        Ok(columns)
    }

    /// Some of its bytes; an error where it ends before.
    pub(super) fn bytes(&mut self, range: &Range<usize>) -> Result<&[u8], String> {
        self.begin(range.end)?.get(range.clone()).ok_or_else(|| damaged("a row is cut off"))
    }

    /// Its first bytes, so many or all.
    pub(super) fn begin(&mut self, bytes: usize) -> Result<&[u8], String> {
        while self.begin.len() < bytes && self.next != 0 {
            let page = self.database.page(self.next)?;
            self.next = long(&page, 0)?;
            self.begin.extend_from_slice(&page[4..]);
            let all = usize::try_from(self.size).unwrap_or(usize::MAX);
            if self.begin.len() >= all {
                self.begin.truncate(all);
                self.next = 0;
            }
        }
        Ok(&self.begin[..bytes.min(self.begin.len())])
    }
}

/// Kinds of pages of a table.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// A number in one to nine bytes, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize), String> {
    let mut value = 0;
    for n in 0..9 {
        let byte = *bytes.get(at + n).ok_or_else(|| damaged("a number goes beyond its page"))?;
        if n == 8 {
            return Ok((value << 8 | u64::from(byte), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Ok((value, at + n + 1));
        }
    }
    unreachable!("the ninth byte is the last")
}

/// Big endian, with a sign.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    bytes.iter().fold(if negative { -1 } else { 0 }, |value: i64, byte| value << 8 | i64::from(*byte))
}

fn short(page: &[u8], at: usize) -> Result<u16, String> {
    let bytes = page.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u16::from_be_bytes).ok_or_else(|| damaged("a page ends too early"))
}

fn long(page: &[u8], at: usize) -> Result<u32, String> {
    let bytes = page.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or_else(|| damaged("a page ends too early"))
}

fn damaged(what: &str) -> String {
    format!("the database is damaged: {what}")
}

fn unreadable(error: &std::io::Error) -> String {
    format!("it cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read() {
        for (bytes, expect) in [
            (&[0x00][..], (0, 1)),
            (&[0x7f], (127, 1)),
            (&[0x81, 0x00], (128, 2)),
            (&[0xff, 0x7f, 0x55], (16383, 2)),
            (&[0xff; 9], (u64::MAX, 9)),
        ] {
            assert_eq!(varint(bytes, 0), Ok(expect));
        }
        assert!(varint(&[0x80], 0).is_err());
        assert_eq!((integer(&[0xff, 0xfe]), integer(&[0x01, 0x00]), integer(&[])), (-2, 256, 0));
    }
}
