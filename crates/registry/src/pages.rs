//! The bounds of a list that comes in pages: bytes, pages, and circles.

use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind};
use crate::limits::PAGES;

/// The pages of one list so far.
pub(crate) struct Pages<'a> {
    what: &'a str,
    registry: &'a str,
    asked: BTreeSet<String>,
    /// Bytes that may still be read.
    left: usize,
}

impl<'a> Pages<'a> {
    /// None yet; all together have at most `limit` bytes.
    pub(crate) fn new(what: &'a str, registry: &'a str, limit: usize) -> Self {
        Self { what, registry, asked: BTreeSet::new(), left: limit }
    }

    /// Before a page is asked for by its query: how many bytes it may have.
    pub(crate) fn turn(&mut self, query: &str) -> Result<usize, Error> {
        if !self.asked.insert(query.to_owned()) {
            return Err(self.error("leads from page to page in a circle"));
        }
        if self.asked.len() > PAGES {
            return Err(self.error(&format!("has more than {PAGES} pages")));
        }
        Ok(self.left)
    }

    /// After a page of this many bytes.
    pub(crate) fn read(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// The error for a `Link` header that cannot be read.
    pub(crate) fn unclear(&self) -> Error {
        self.error("announces a next page in a Link header that cannot be read")
            .help("a proxy before the registry may have changed the header (RFC 8288)")
    }

    fn error(&self, why: &str) -> Error {
        Error::new(ErrorKind::Protocol, format!("{}: {} {why}", self.what, self.registry))
    }
}
