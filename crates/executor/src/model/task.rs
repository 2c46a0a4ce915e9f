//! The pending work of a modelled run.

use crate::run::tag_order::Push;

/// The next request of a push.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    Look,
    Put,
    Verify,
}

/// A pending task.
#[derive(Debug)]
pub(super) enum Task {
    Build(usize),
    Push { push: Push, attempt: u32, at: At },
}
