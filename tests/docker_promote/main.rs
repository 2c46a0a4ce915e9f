//! `promote` and `rollback` against real registries. The images are pushed without an engine,
//! except in [`races`].

mod copies;
mod faults;
mod races;
mod rollbacks;
#[path = "../support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;
mod stock;
