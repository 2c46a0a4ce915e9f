//! Runs that are cut off: by signals, by SIGKILL at random instants and at each request, by full
//! and read-only disks, by another run. After each of them nothing wrong is published, and one
//! clean run brings everything into order.

mod disks;
mod kills;
mod locks;
mod nights;
#[path = "../support/scene.rs"]
mod scene;
mod signals;
