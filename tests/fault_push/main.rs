//! Pushes through a registry that fails on cue: every fault at every kind of request, expiring
//! logins, lying registries, and concurrent runs. The tests use the command, a real engine and a
//! real registry, with a proxy in between.

mod answers;
mod matrix;
mod races;
mod scene;
mod specs;
