//! The name of a product.

use std::fmt;

use plan::{Family, Name, Version};

/// `image:version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProductName {
    pub(crate) image: Name,
    pub(crate) version: Version,
}

impl ProductName {
    /// The product's image by its moving tag, `rel/nist-basic:2.0`.
    pub(crate) fn reference(&self) -> String {
        Family::Rel.repository(self.image.as_str()).tagged(&self.version)
    }
}

impl fmt::Display for ProductName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.image, self.version)
    }
}
