//! The queries that the command sends to registries, many at a time.

pub(crate) mod base_images;
pub(crate) mod products;
pub(crate) mod published;
pub(crate) mod queries;
