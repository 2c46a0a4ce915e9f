//! The name of a product.

use std::fmt;

use plan::{Name, Version};

/// `image:version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProductName {
    pub(crate) image: Name,
    pub(crate) version: Version,
}

impl fmt::Display for ProductName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.image, self.version)
    }
}
