//! What is inside an image: the packages that its layers hold and the settings of its configuration, and what
//! differs between two images.
//!
//! Nothing is run, unpacked or written: layers are read as they stream by, and of each only the records of its package
//! managers are kept. Knows neither engines nor registries; who has one hands in its bytes as [`std::io::Read`].

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
pub use limits::{Beyond, Budget, Limit, Then};
pub use packages::{Contents, Ecosystem, Package, Packages, Unread};
pub use stack::{contents, is_decided, shared};
