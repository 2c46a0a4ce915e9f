//! The proxy between a plain client and a plain server: every mode does what it says, and without a
//! rule nothing changes.

#![expect(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

mod client;
mod faults;
mod passing;
mod rules;
mod server;
