//! What engines do to runs: they fall silent, never end, die, come again, have no room, and keep what is old. Private
//! engines throughout, so for root, with `dockerd`.

mod deaths;
mod disks;
mod insecure;
mod kills;
mod parents;
mod restarts;
#[path = "../support/scene.rs"]
mod scene;
mod silence;
mod stage;
