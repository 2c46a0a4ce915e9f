//! Limits for reading layers, all in one table, and the budget that all layers of a comparison
//! share.
//!
//! Layers are untrusted. Each limit is far above the values that package managers and builders
//! write, and low enough that a layer made to exhaust the reader costs little memory and a bounded
//! number of unpacked bytes. `docs/layer-limits.md` has the same table for users; a test compares
//! the two.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A bounded quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Layers of an image.
    Layers,
    /// Unpacked bytes of all layers of a comparison.
    Unpacked,
    /// Unpacked bytes of a layer.
    LayerUnpacked,
    /// Memory for everything that is kept of the layers of a comparison.
    Kept,
    /// Entries of a layer's tar.
    Members,
    /// A GNU long name or a pax header.
    Extension,
    /// The path of a file.
    Path,
    /// Directories above a file.
    Depth,
    /// The window of a zstd frame.
    Window,
    /// A text record of a package manager.
    Record,
    /// A database of rpm.
    Database,
    /// Packages of a record.
    RecordPackages,
    /// A name, version or architecture of a package.
    Text,
    /// A string in one of conda's records.
    JsonString,
    /// Lists and objects inside each other in one of conda's records.
    JsonDepth,
    /// Packages of an image.
    Packages,
    /// Unread records that are listed by name.
    Unread,
}

/// The consequence of exceeding a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// The image is not read: the comparison fails.
    Image,
    /// The layer is not read: the comparison fails.
    Layer,
    /// The record is not read: the comparison lists it and continues.
    Record,
    /// The rest is only counted.
    Rest,
}

/// The unit of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Bytes,
    Of(&'static str),
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
struct Row {
    what: &'static str,
    most: u64,
    unit: Unit,
    then: Consequence,
    why: &'static str,
}

impl Limit {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::Layers,
        Self::Unpacked,
        Self::LayerUnpacked,
        Self::Kept,
        Self::Members,
        Self::Extension,
        Self::Path,
        Self::Depth,
        Self::Window,
        Self::Record,
        Self::Database,
        Self::RecordPackages,
        Self::Text,
        Self::JsonString,
        Self::JsonDepth,
        Self::Packages,
        Self::Unread,
    ];

    /// The table.
    const fn row(self) -> Row {
        use Consequence::{Image, Layer, Record, Rest};
        use Unit::{Bytes, Of};
        let (what, most, unit, then, why) = match self {
            Self::Layers => ("an image", 1024, Of("layers"), Image, "Docker mounts 127, overlayfs 500"),
            Self::Unpacked => (
                "the layers of a comparison, unpacked,",
                512 * GIB,
                Bytes,
                Layer,
                "more than an hour of unpacking",
            ),
            Self::LayerUnpacked => {
                ("a layer, unpacked,", 128 * GIB, Bytes, Layer, "one with models of AI has tens")
            }
            Self::Kept => (
                "the memory for what the layers of a comparison hold",
                128 * MIB,
                Bytes,
                Layer,
                "8 bytes a file, about 120 a package, 300 a record",
            ),
            Self::Members => ("a layer", 4 << 20, Of("files"), Layer, "8 bytes of memory each"),
            Self::Extension => (
                "a long name or pax header",
                MIB,
                Bytes,
                Layer,
                "held in memory; Go's archive/tar takes no more",
            ),
            Self::Path => ("a path", 4096, Bytes, Layer, "PATH_MAX of Linux"),
            Self::Depth => ("a path", 256, Of("directories"), Layer, "each is looked up"),
            Self::Window => (
                "the window of a zstd frame",
                32 * MIB,
                Bytes,
                Layer,
                "held in memory; what writers of layers use at most",
            ),
            Self::Record => ("a record", 64 * MIB, Bytes, Record, "dpkg's status of 5,000 packages has 6 MB"),
            Self::Database => ("a database of rpm", GIB, Bytes, Record, "laid by in a temporary file"),
            Self::RecordPackages => {
                ("a record", 1 << 17, Of("packages"), Record, "all of Debian 13 are 70,000")
            }
            Self::Text => ("a name or version of a package", KIB, Bytes, Record, "held in memory"),
            Self::JsonString => ("a string in a record of conda", 64 * KIB, Bytes, Record, "held in memory"),
            Self::JsonDepth => ("a record of conda", 128, Of("levels"), Record, "as other readers of JSON"),
            Self::Packages => ("an image", 1 << 18, Of("packages"), Record, "held in memory, and shown"),
            Self::Unread => ("a list of what was not read", 1000, Of("records"), Rest, "it is for people"),
        };
        Row { what, most, unit, then, why }
    }

    /// The limit.
    #[must_use]
    pub const fn most(self) -> u64 {
        self.row().most
    }

    /// The consequence of exceeding it.
    #[must_use]
    pub const fn then(self) -> Consequence {
        self.row().then
    }

    /// Why there is a limit, and why it is not lower.
    #[must_use]
    pub const fn why(self) -> &'static str {
        self.row().why
    }

    /// [`Self::most`] as a length in memory.
    pub(crate) const fn length(self) -> usize {
        self.most() as usize
    }

    /// Returns an error if `found` exceeds the limit.
    pub(crate) fn check(self, found: u64) -> Result<(), Beyond> {
        if found > self.most() { Err(Beyond(self)) } else { Ok(()) }
    }

    /// `64 KiB`, `1,024 layers`
    #[must_use]
    pub fn amount(self) -> String {
        let Row { most, unit, .. } = self.row();
        match unit {
            Unit::Of(what) => format!("{} {what}", grouped(most)),
            Unit::Bytes => match [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
                .into_iter()
                .find(|(size, _)| most.is_multiple_of(*size))
            {
                Some((size, name)) => format!("{} {name}", grouped(most / size)),
                None => format!("{} bytes", grouped(most)),
            },
        }
    }
}

/// The error of an exceeded limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beyond(pub Limit);

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of more than {}", self.0.row().what, self.0.amount())
    }
}

impl std::error::Error for Beyond {}

impl From<Beyond> for io::Error {
    fn from(beyond: Beyond) -> Self {
        Self::new(io::ErrorKind::InvalidData, beyond)
    }
}

impl Beyond {
    /// Returns the exceeded limit that an error contains, if any.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// The remaining budget of one comparison, shared by all of its layers on all threads.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Left>);

#[derive(Debug)]
struct Left {
    unpacked: AtomicU64,
    kept: AtomicU64,
    stopped: AtomicBool,
}

impl Default for Budget {
    fn default() -> Self {
        Self::keeping(Limit::Kept.most())
    }
}

impl Budget {
    /// A budget with this much memory, at most [`Limit::Kept`].
    #[must_use]
    pub fn keeping(bytes: u64) -> Self {
        Self(Arc::new(Left {
            unpacked: AtomicU64::new(Limit::Unpacked.most()),
            kept: AtomicU64::new(bytes.min(Limit::Kept.most())),
            stopped: AtomicBool::new(false),
        }))
    }

    /// Stops reading all layers that share this budget: their next read fails.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn unpack(&self, bytes: u64) -> io::Result<()> {
        if self.0.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("reading was stopped"));
        }
        Ok(spend(&self.0.unpacked, bytes, Limit::Unpacked)?)
    }

    pub(crate) fn keep(&self, bytes: u64) -> Result<(), Beyond> {
        spend(&self.0.kept, bytes, Limit::Kept)
    }

    pub(crate) fn give_back(&self, bytes: u64) {
        self.0.kept.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn spend(left: &AtomicU64, amount: u64, limit: Limit) -> Result<(), Beyond> {
    let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount));
    spent.map(drop).map_err(|_| Beyond(limit))
}

/// `1,024`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table as `docs/layer-limits.md` shows it.
    fn table() -> String {
        let row = |limit: &Limit| {
            let Row { what, then, why, .. } = limit.row();
            let then = match then {
                Consequence::Image | Consequence::Layer => "the comparison fails, exit 5",
                Consequence::Record => "the record is named as not read",
                Consequence::Rest => "the rest is counted",
            };
            format!("| {} | {} | {then} | {why} |\n", what.trim_end_matches(','), limit.amount())
        };
        Limit::ALL.iter().map(row).collect()
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let page = include_str!("../../../docs/layer-limits.md");
        assert!(page.contains(&table()), "docs/layer-limits.md needs this table:\n{}", table());
    }

    #[test]
    fn a_bound_is_told_with_its_amount() {
        for (limit, expect) in [
            (Limit::Path, "a path of more than 4 KiB"),
            (Limit::Depth, "a path of more than 256 directories"),
            (Limit::RecordPackages, "a record of more than 131,072 packages"),
            (Limit::LayerUnpacked, "a layer, unpacked, of more than 128 GiB"),
        ] {
            assert_eq!(Beyond(limit).to_string(), expect);
            assert_eq!(Beyond::of(&Beyond(limit).into()), Some(Beyond(limit)));
            assert!(limit.check(limit.most()).is_ok() && limit.check(limit.most() + 1).is_err());
        }
        assert_eq!(Beyond::of(&io::Error::other("x")), None);
    }

    #[test]
    fn a_budget_is_shared_and_given_back() {
        let budget = Budget::default();
        let other = budget.clone();
        other.keep(Limit::Kept.most()).unwrap();
        assert_eq!(budget.keep(1), Err(Beyond(Limit::Kept)));
        other.give_back(1);
        budget.keep(1).unwrap();
        budget.unpack(1).unwrap();
        other.stop();
        assert_eq!(budget.unpack(1).unwrap_err().to_string(), "reading was stopped");
    }
}
