//! Faults of engines during runs: they stall, never finish, die, restart, run out of disk space, or
//! keep old images. All engines are private, so root and `dockerd` are required.

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
