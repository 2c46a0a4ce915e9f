//! Interrupted runs: by signals, by SIGKILL at random moments and at each request, by full and
//! read-only disks, by another run. After each of them nothing wrong is published, and one
//! undisturbed run completes everything.

mod disks;
mod kills;
mod locks;
mod nights;
#[path = "../support/scene.rs"]
mod scene;
mod signals;
