//! `promote` and `rollback` against real registries, with images that were pushed without an
//! engine, except for [`races`].

mod copies;
mod faults;
mod races;
mod rollbacks;
#[path = "../support/scene.rs"]
#[expect(dead_code, reason = "tests of faults use more of it")]
mod scene;
mod stock;
