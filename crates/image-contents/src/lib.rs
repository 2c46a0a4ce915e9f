//! Reads the contents of an image: the packages that its layers hold and the settings of its
//! configuration, and the differences between two images.
//!
//! Nothing is run or unpacked to disk: layers are parsed as they stream by, and only the records of
//! package managers are kept. Independent of engines and registries; the caller passes their bytes
//! as [`std::io::Read`].

mod archive;
mod compression;
mod configuration;
mod difference;
mod layer;
mod limits;
mod members;
mod packages;
mod parse;
mod record;
mod stack;

pub use archive::{Archive, Archived, read_archive};
pub use configuration::{Configuration, Setting, Settings};
pub use difference::{Changed, Move, moves, setting_changes};
pub use layer::{Layer, read_layer};
pub use limits::{Beyond, Budget, Consequence, Limit};
pub use packages::{Contents, Ecosystem, Package, Packages, Unread};
pub use stack::{contents, is_decided, shared};
