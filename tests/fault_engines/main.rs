//! Faults of engines during runs: they stall, never finish, die, restart, have no space, or keep
//! old images. Private engines only, so it needs root and `dockerd`.

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
