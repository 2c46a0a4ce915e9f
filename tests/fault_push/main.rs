//! Pushes through a registry that fails on cue: every fault at every kind of request, logins that
//! run out, registries that lie, and other runs at the same moment. The command, a real engine and
//! a real registry, with a proxy in between.

mod answers;
mod matrix;
mod races;
mod scene;
mod specs;
