//! `promote` and `rollback` against real registries, with images that were pushed by nobody's engine.

mod copies;
mod faults;
mod rollbacks;
mod stock;
