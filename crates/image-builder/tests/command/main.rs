//! The real binary on small git histories: arguments, planner, texts, streams and exit codes
//! together. No engine is needed; builds are tested in the workspace's `tests/`.

mod bad_inputs;
mod build;
mod carried;
mod check;
mod coverage;
mod diagnostics;
mod diff;
mod explain;
mod first_push;
mod graph;
mod inert;
mod inspect;
mod interrupted;
mod outputs;
mod pin;
mod plan;
mod published;
mod reference;
mod refused;
mod registries;
mod served;
mod server;
mod shelved;
mod stale;
mod streams;
mod support;
mod verify;
