//! The registry crate from outside: against a real registry, against answers that a real one gives
//! only on bad days, and with credential helpers.

mod answers;
mod cases;
mod distribution;
mod downgrade;
mod helpers;
mod hostile;
mod known;
mod login;
mod process;
mod referrers;
mod scripted;
mod servers;
mod tls;
