//! Reports on what registries hold, and on what is moved there.

pub(crate) mod coverage;
pub(crate) mod pin;
pub(crate) mod promote;
pub(crate) mod rollback;
pub(crate) mod stale;
