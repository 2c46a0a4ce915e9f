//! Source tree → plan.
//!
//! [`source`] reads a directory and its git repository into [`tree::Inputs`]; everything else is pure: text and
//! values in, values out. [`plan()`] is the one entry.
//!
//! Invariant: nothing but `source` opens a file, asks the time or the environment, or knows git. So a plan can be
//! tested as data, is the same to the byte for the same inputs, and is safe on a stranger's pull request.

pub mod config;
pub mod descriptor;
pub mod dockerfile;
pub mod dockerignore;
mod jsonc;
pub mod problem;
pub mod request;
pub mod source;
mod suggest;
pub mod tree;

pub use problem::Problem;
pub use request::{Request, Selection};
