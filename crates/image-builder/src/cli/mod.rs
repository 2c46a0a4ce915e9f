//! The terminal side of the command: arguments, environment, streams, signals and exit codes.

pub(crate) mod args;
pub(crate) mod drift;
pub(crate) mod env;
pub(crate) mod escape;
pub(crate) mod exit;
pub(crate) mod output;
pub(crate) mod secrets;
pub(crate) mod signals;
