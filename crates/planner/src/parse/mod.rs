//! Parsers of the files of a source tree: text in, values or problems out.

pub mod config;
pub mod descriptor;
pub mod dockerfile;
pub mod dockerignore;
pub(crate) mod jsonc;
pub(crate) mod test_scripts;
