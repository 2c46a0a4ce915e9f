//! Reports on the contents of registries, and on tags that are moved in them.

pub(crate) mod coverage;
pub(crate) mod pin;
pub(crate) mod promote;
pub(crate) mod rollback;
pub(crate) mod stale;
