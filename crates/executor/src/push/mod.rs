//! Pushes an image: its build tag with retries, then its moving tag; both are verified in the
//! registry.

pub(crate) mod build_tag;
pub(crate) mod image_size;
pub(crate) mod moving_tag;
pub(crate) mod retry;
